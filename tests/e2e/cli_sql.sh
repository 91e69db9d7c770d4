#!/bin/sh
# heaptape sql: a query, a script, read-only unless asked, plain tables for other clients.
. "$(dirname "$0")/lib.sh"
need jq sqlite3

"$heaptape" run -q -- ls / >/dev/null

is "table" "$("$heaptape" sql 'SELECT 1 AS a, NULL AS b, 2.5 AS c')" "$(printf 'a  b    c\n1     2.5')"
is "csv" "$("$heaptape" sql --csv "SELECT 'a,b' AS x, 'q\"q' AS y, '' AS z, NULL AS n")" \
	"$(printf 'x,y,z,n\n"a,b","q""q","",')"
is "csv: numbers" "$("$heaptape" sql --csv "SELECT 1.0 / 3 AS x, 9007199254740993 AS y" | tail -1)" 0.333333333333333,9007199254740993
is "json" "$("$heaptape" sql --json "SELECT 1 AS a, 'x' AS b, NULL AS c, x'00ff' AS d" | jq -c .)" \
	'[{"a":1,"b":"x","c":null,"d":"x'"'00ff'"'"}]'
is "no rows, json" "$("$heaptape" sql --json 'SELECT 1 WHERE 0' | jq -c .)" '[]'
is "no rows, csv" "$("$heaptape" sql --csv 'SELECT 1 AS a WHERE 0')" a
is "a bad number of bytes" "$("$heaptape" sql --json "SELECT cast(x'ff41' AS text) AS t" | jq -r '.[0].t')" \
	"$(printf '\357\277\275A')"

printf '%s\n' '-- a script' 'SELECT count(*) AS runs' 'FROM runs;' '.mode csv' "SELECT ';' AS semi;" \
	'.quit' 'nonsense' | "$heaptape" sql >o 2>e || fail "script: $?: $(cat e)"
is "script" "$(cat o)" "$(printf 'runs\n   1\nsemi\n;')"
"$heaptape" sql .tables >o || fail ".tables"
for table in runs processes events allocations pages leaks; do
	has ".tables" o "^$table "
done
"$heaptape" sql '.schema processes' >o || fail ".schema"
has ".schema with comments" o '-- requested'
"$heaptape" sql '.schema events' >o || fail ".schema events"
has ".schema of a virtual table" o size_bytes
for table in events allocations pages; do
	"$heaptape" sql ".schema $table" | sed -n 's/^  \([a-z_]*\) [A-Z].*/\1/p' >described
	query "SELECT name FROM pragma_table_xinfo('$table')" >columns
	same "$table: every column is explained" described columns
done
"$heaptape" sql .help >o || fail .help

# refused PATTERN ARGUMENTS…
refused() {
	pattern=$1
	shift
	code=0
	"$heaptape" sql "$@" >o 2>e </dev/null || code=$?
	is "$*: status" $code 3
	has "$*" e "$pattern"
}
refused 'syntax error' 'SELEC 1'
refused 'no such table' 'SELECT * FROM nowhere'
refused 'no .\.frob' .frob
refused "no table 'nowhere'" '.schema nowhere'
refused '\-\-write' 'DELETE FROM runs'
refused '\-\-write' 'CREATE TABLE t(a)'
is "nothing was deleted" "$("$heaptape" sql --csv 'SELECT count(*) FROM runs' | tail -1)" 1
"$heaptape" sql --write "UPDATE runs SET label = 'renamed'" || fail "--write: $?"
is "--write" "$("$heaptape" sql --csv 'SELECT label FROM runs' | tail -1)" renamed

"$heaptape" sql --materialize 2>e || fail "--materialize: $?: $(cat e)"
"$heaptape" sql --materialize last 2>e || fail "--materialize again: $?: $(cat e)"
for table in events allocations; do
	is "plain_$table" "$(sqlite3 "$HEAPTAPE_DB" "SELECT count(*) FROM plain_$table")" \
		"$("$heaptape" sql --csv "SELECT count(*) FROM $table" | tail -1)"
done
is "the same rows" "$("$heaptape" sql --csv 'SELECT * FROM events EXCEPT SELECT * FROM plain_events' |
	tail -n +2)" ""
pass
