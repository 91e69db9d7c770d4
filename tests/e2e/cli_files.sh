#!/bin/sh
# -o is what a command writes, --db and -d what it reads; a recording is never overwritten with
# something else, and is its owner's alone.
. "$(dirname "$0")/lib.sh"
need sqlite3 python3

umask 022
record "$programs/first"
is "status" "$status" 0
is "the database's permissions" "$(stat -c %a "$HEAPTAPE_DB")" 600
"$heaptape" run -q -o second.db "$programs/first" >o || fail "run -o: $?"
is "the permissions of run -o" "$(stat -c %a second.db)" 600
touch third.db
chmod 640 third.db
"$heaptape" run -q --output third.db "$programs/first" >o || fail "run --output: $?"
is "permissions that the user chose" "$(stat -c %a third.db)" 640
"$heaptape" run -q -d second.db "$programs/first" >o || fail "run -d: $?"
is "run -d appends" "$("$heaptape" sql --csv -d second.db 'SELECT count(*) FROM runs' | tail -1)" 2

# refused FILE ARGUMENTS…: fails with a message, and FILE is as it was.
refused() {
	file=$1
	shift
	cp "$file" before
	code=0
	"$heaptape" "$@" >o 2>e || code=$?
	is "heaptape $*: status" $code 3
	has "heaptape $*" e "cannot write '$file'"
	cmp -s "$file" before || fail "heaptape $* changed $file"
	[ ! -s o ] || fail "heaptape $* wrote to standard output"
}
sqlite3 other.db 'CREATE TABLE t(x); INSERT INTO t VALUES (1)'
ln -s second.db link.db
for target in second.db other.db link.db; do
	refused $target flame -o $target
	refused $target flame --db second.db -o $target
	refused $target export -f folded -o $target
	refused $target export -f pprof -o $target
	refused $target export -f speedscope -o $target
	refused $target report -o $target
	refused $target report --json -o $target
	refused $target report --csv -o $target
done
echo 'somebody has it open' >second.db-wal
refused second.db-wal report -o second.db-wal
rm second.db-wal
code=0
"$heaptape" run -q -o other.db "$programs/first" >o 2>e || code=$?
is "run into a foreign SQLite file: status" $code 3
is "a foreign SQLite file" "$(sqlite3 other.db 'SELECT x FROM t')" 1
echo 'a page' >page.html
code=0
"$heaptape" run -q -o page.html "$programs/first" >o 2>e || code=$?
is "run into a page: status" $code 3
is "a page" "$(cat page.html)" 'a page'

# What is refused for a database is done for any other file, and says what it says on a terminal.
"$heaptape" report -o page.html || fail "report -o: $?"
"$heaptape" report >o
same "report -o" page.html o
"$heaptape" report --json --output - >o || fail "report -o -: $?"
python3 -m json.tool <o >/dev/null || fail "report -o -: no JSON"
"$heaptape" report -o /dev/full 2>e && fail "report -o /dev/full: done"
has "report -o /dev/full" e "cannot write to /dev/full"
for format in folded speedscope pprof; do
	code=0
	"$heaptape" export -f $format -o /dev/full 2>e || code=$?
	is "export -f $format -o /dev/full: status" $code 3
	has "export -f $format -o /dev/full" e "cannot write '/dev/full'"
done
"$heaptape" flame -o missing/page.html 2>e && fail "flame -o missing/page.html: done"
has "flame -o missing/page.html" e "cannot write 'missing/page.html'"

cp second.db "it's one.db"
"$heaptape" report --db "it's one.db" >o
has "a name that a shell takes apart" o "heaptape peak --db 'it'.''s one.db' "

# Commands that write no file say what to use instead.
for command in runs leaks peak diff sql pause resume mark; do
	code=0
	"$heaptape" $command -o second.db >o 2>e || code=$?
	is "$command -o: status" $code 2
	has "$command -o" e 'unknown option -o.*-d FILE'
done
for command in runs report leaks peak; do
	"$heaptape" $command -d second.db 2>e | sed 's/ --db second.db//' >o
	[ ! -s e ] || fail "$command -d: $(cat e)"
	HEAPTAPE_DB=second.db "$heaptape" $command >o2
	same "$command -d" o o2
done
is "integrity" "$(sqlite3 second.db 'PRAGMA integrity_check')" ok
pass
