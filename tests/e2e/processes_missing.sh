#!/bin/sh
# Processes that cannot be recorded, or ended before they were: how many is said, and the run is
# incomplete.
. "$(dirname "$0")/lib.sh"

first=$programs/first background=$programs/background

# missing: how many the notes of the last run say.
missing() {
	query "SELECT total(replace(text, rtrim(text, '0123456789'), '')) FROM notes WHERE run_id = $last_run AND
		(text LIKE 'forked children that ended before%' OR text LIKE 'programs that ended before%')" |
		sed 's/\..*//'
}
rows() { query "SELECT count(*) FROM processes WHERE run_id = $last_run AND $1"; }

# killed KIND WHERE: of a hundred each has a row, or is missing.
killed() {
	record "$background" "$1" "$first"
	is "$1: status" "$status" 20
	runs_over
	is "$1: rows and missing" "$(($(rows "$2") + $(missing)))" 100
	is "$1: state" "$(query "SELECT state FROM runs WHERE run_id = $last_run")" \
		"$([ "$(missing)" = 0 ] && echo complete || echo incomplete)"
	[ "$(missing)" = 0 ] || has "$1: summary" err 'some are missing'
}
killed kill-forks forked
killed kill-spawned "executable LIKE '%/first'"
killed kill-begun "executable LIKE '%/first'"
is "nothing has begun" "$(missing)" 100

# The dynamic linker loads nothing into a program with another effective user than the real one.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod 755 "$T"
	record setpriv --euid=65534 "$first"
	is "effective user: status" "$status" 0
	is "effective user: state" "$(query "SELECT state FROM runs WHERE run_id = $last_run")" incomplete
	is "effective user: said" "$(query "SELECT count(*) FROM processes WHERE run_id = $last_run AND
		unrecorded_reason LIKE '%effective user%'")" 1
fi

# Without memory to record in a program says so to the daemon, too.
if command -v prlimit >/dev/null; then
	record prlimit --as=9000000 "$first"
	if grep -q 'no memory to record in' err; then
		is "no memory" "$(query "SELECT state, (SELECT count(*) FROM notes n WHERE n.run_id = runs.run_id
			AND text LIKE '%no memory to record in') AS said FROM runs WHERE run_id = $last_run")" \
			incomplete,1
	fi
fi
invariants
pass
