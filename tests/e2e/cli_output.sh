#!/bin/sh
# What the commands print: --json is JSON, --csv has one width, nothing is wider than the terminal,
# and nothing in a name can steer it.
. "$(dirname "$0")/lib.sh"
need jq python3 script

"$heaptape" run -q --label first -- sh -c 'ls / | sort >/dev/null'
"$heaptape" run -q --label 'a "quoted", label' -- sh -c 'exit 2; echo "a,b" $(printf "\033[31m")'
evil=$(printf 'esc\033]0;x\007\nline')
"$heaptape" run -q --label "$evil" -- ls "$evil" 2>/dev/null

# json ARGUMENTS…
json() {
	"$heaptape" "$@" >o 2>e || fail "$*: status $?: $(head -2 e)"
	jq -e . o >/dev/null 2>e || fail "$*: no JSON: $(head -2 e)"
}
# csv ARGUMENTS…
csv() {
	"$heaptape" "$@" >o 2>e || fail "$*: status $?: $(head -2 e)"
	python3 -c 'import csv, sys
rows = list(csv.reader(open("o", newline="")))
sys.exit(not rows or len({len(r) for r in rows}) != 1)' || fail "$*: no CSV"
}
for run in 1 first last last~1 'a "quoted", label'; do
	json report --json "$run"
	json leaks --json "$run"
	json peak --json "$run"
	csv report --csv "$run"
	csv leaks --csv "$run"
	csv peak --csv --top-down "$run"
	"$heaptape" report --stacks "$run" >o 2>e || fail "report $run: $?"
	"$heaptape" peak --group module "$run" >o 2>e || fail "peak $run: $?"
done
json runs --json
is "runs" "$(jq -r '[.[].run_id] | join(",")' o)" 1,2,3
is "label" "$(jq -r '.[1].label' o)" 'a "quoted", label'
csv runs --csv
json diff --json 1 2
csv diff --csv 1 2
"$heaptape" diff >o 2>e || fail "diff: $?"
json export --format speedscope
"$heaptape" export --format folded >o || fail "folded: $?"
grep -q -v ' [0-9][0-9]*$' o && fail "folded: a line without a number"
total=$(awk '{ sum += $NF } END { print sum }' o)
is "folded: sum" "$total" "$("$heaptape" report --json | jq .run.allocated_bytes)"

# The report's numbers are the tables'.
"$heaptape" report --json 1 >o
is "allocations" "$(jq .run.allocations o)" \
	"$(query 'SELECT sum(allocations) FROM processes WHERE run_id = 1')"
is "sites add up" "$(jq '[.sites[].allocations] | add' o)" "$(jq .run.allocations o)"
is "sizes add up" "$(jq '[.sizes[].allocations] | add' o)" "$(jq .run.allocations o)"

# 80 columns, and no control characters.
for command in runs report 'report --stacks' leaks peak diff 'report 1'; do
	# $command is one or more words.
	# shellcheck disable=SC2086
	COLUMNS=80 "$heaptape" $command >o 2>e || fail "$command: $?"
	python3 -c 'import sys, unicodedata
for line in open("o", encoding="utf-8"):
    line = line.rstrip("\n")
    if len(line) > 80 and "heaptape " not in line and "heaptaped " not in line: sys.exit("too long: " + line)
    if any(unicodedata.category(c) == "Cc" for c in line): sys.exit("control: " + repr(line))' ||
		fail "$command in 80 columns"
done

# To a terminal not even data has control characters; to a file they are what was recorded.
"$heaptape" sql --csv 'SELECT label FROM runs' >o
python3 -c 'import sys; sys.exit("\033" not in open("o").read())' || fail "CSV in a file is not what was recorded"
for command in 'sql --csv' 'sql --json'; do
	script -qec "'$heaptape' $command \"SELECT label, char(27), char(155), char(7) FROM runs\"" /dev/null >o </dev/null
	python3 -c 'import sys, unicodedata
text = open("o", encoding="utf-8", newline="").read().replace("\r\n", "").replace("\n", "")
sys.exit(any(unicodedata.category(c) == "Cc" for c in text))' || fail "$command writes control characters to a terminal"
done

# On a terminal there are colours, unless somebody wants none; in a file there are none.
escapes() { # ENVIRONMENT…: whether the report has some
	if script -qec "env COLUMNS=80 $* '$heaptape' report 1" /dev/null </dev/null | grep -q "$(printf '\033\[')"; then
		echo yes
	else
		echo no
	fi
}
is "colours" "$(escapes TERM=xterm)" yes
is "colours: NO_COLOR empty" "$(escapes TERM=xterm NO_COLOR=)" yes
is "colours: NO_COLOR" "$(escapes TERM=xterm NO_COLOR=1)" no
is "colours: dumb" "$(escapes TERM=dumb)" no
is "colours: no TERM" "$(escapes -u TERM)" no
TERM=xterm "$heaptape" report 1 >o
grep -q "$(printf '\033')" o && fail "colours in a file"

# Who asks for a run that is not there.
for run in 99 nobody last~77 0 -1 ''; do
	code=0
	"$heaptape" report -- "$run" >o 2>e || code=$?
	is "report '$run': status" $code 3
	has "report '$run'" e 'no run'
done

# Of many processes ten are listed; how many there are otherwise is said.
"$heaptape" run -q -- sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do /bin/true; done'
"$heaptape" report >o
rest=$(($("$heaptape" report --json | jq .run.processes) - 10))
[ $rest -gt 2 ] || fail "only $rest processes more than ten"
has "many processes" o "^  \.\.\. and $rest more; the table 'processes'"
is "many processes: rows" "$(sed -n '/^Processes with the most/,/^  \.\.\./p' o | wc -l)" 13

# One of several processes, and not the one with the highest peak.
pid=$(query "SELECT pid FROM processes WHERE run_id = 1 AND peak_bytes > 0 ORDER BY peak_bytes LIMIT 1")
of_pid="run_id = 1 AND process_id = (SELECT max(process_id) FROM processes WHERE run_id = 1 AND pid = $pid)"
is "export --pid" "$("$heaptape" export -f folded --pid "$pid" 1 | awk '{ sum += $NF } END { print sum }')" \
	"$(query "SELECT allocated_bytes FROM processes WHERE $of_pid")"
is "peak --pid" "$("$heaptape" peak --min 0 --json --pid "$pid" 1 | jq .peak_bytes)" \
	"$(query "SELECT peak_bytes FROM processes WHERE $of_pid")"
is "processes differ" "$(query "SELECT count(DISTINCT peak_bytes) > 1 FROM processes WHERE run_id = 1 AND peak_bytes > 0")" 1

# By name: the latest of a label, and so many before the last.
"$heaptape" run -q --label first -- true
is "label twice" "$("$heaptape" report --json first | jq .run.run_id)" "$(query 'SELECT max(run_id) FROM runs')"
is "last~2" "$("$heaptape" report --json last~2 | jq .run.run_id)" "$(query 'SELECT max(run_id) - 2 FROM runs')"

# A reader that goes away ends it quietly.
"$heaptape" sql --csv 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
	SELECT i FROM n' 2>e | head -1 >o
is "a closed pipe" "$(cat e)" ""
code=0
"$heaptape" runs >/dev/full 2>e || code=$?
is "a full device: status" $code 3
has "a full device" e 'cannot write'
pass
