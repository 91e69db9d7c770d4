# Sourced by every end-to-end test: a private folder, a private database, an empty environment,
# and the few words the tests are written in. HT_BUILD names the build folder under test.
# shellcheck shell=sh
set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
B=${HT_BUILD:-build}
case $B in /*) ;; *) B=$top/$B ;; esac

# Once more from the start, with nothing of the caller's environment.
if [ "${HT_CLEAN:-}" != 1 ]; then
	exec env -i PATH="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" HT_CLEAN=1 HT_BUILD="$B" \
		HT_KEEP="${HT_KEEP:-}" HT_ACCEPT="${HT_ACCEPT:-}" HT_SCALE="${HT_SCALE:-1}" DEATHS="${DEATHS:-}" KINDS="${KINDS:-}" LC_ALL=C.UTF-8 \
		ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}" TMPDIR="${TMPDIR:-/tmp}" sh "$0" "$@"
fi

T=$(mktemp -d "$TMPDIR/heaptape-test.XXXXXX")
HOME=$T XDG_RUNTIME_DIR=$T HEAPTAPE_DB=$T/heaptape.db
# A daemon's words go where the test does not look: what ThreadSanitizer finds lies in files.
TSAN_OPTIONS=log_path=$T/races
export HOME XDG_RUNTIME_DIR HEAPTAPE_DB TSAN_OPTIONS
# shellcheck disable=SC2034 # for the tests
programs=$B/tests/programs
heaptape=$B/heaptape
last_run="(SELECT max(run_id) FROM runs WHERE command <> '')"
cd "$T" || exit 1

finish() {
	if [ -n "$HT_KEEP" ]; then
		echo "kept $T" >&2
	else
		cd /
		rm -rf "$T"
	fi
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# fail WORDS: notes a failure; the test goes on. In a file, for it may be said in a pipeline.
fail() {
	[ -z "${trying:-}" ] || return 0
	echo "FAIL: $*"
	echo >>"$T/.failed"
}
# failures: how many there were.
failures() { if [ -e "$T/.failed" ]; then wc -l <"$T/.failed"; else echo 0; fi; }

# die WORDS: the rest of the test makes no sense.
die() {
	echo "FAIL: $*"
	exit 1
}

# skip WORDS: the test cannot run here.
skip() {
	echo "skipped: $*"
	exit 77
}

need() {
	for tool in "$@"; do
		command -v "$tool" >/dev/null 2>&1 || skip "$tool is not installed"
	done
}

# until_true COMMAND…: waits until the command succeeds; what fails in it meanwhile is no failure. The time
# a machine needs is its own matter; five minutes only end a test that would wait for ever.
until_true() {
	until_tries=0
	trying=1
	until "$@" >/dev/null 2>&1; do
		until_tries=$((until_tries + 1))
		if [ $until_tries -gt 3000 ]; then
			trying=
			fail "waited in vain: $*"
			return
		fi
		if [ $until_tries -lt 50 ]; then sleep 0.02; else sleep 0.1; fi
	done
	trying=
}

# answers SQL ROW: whether the query gives just this; for until_true.
answers() { [ "$(query "$1")" = "$2" ]; }

# The last line of every test.
pass() {
	for report in "$T"/races.*; do
		[ ! -e "$report" ] || fail "$(head -30 "$report")"
	done
	[ "$(failures)" = 0 ] || exit 1
	exit 0
}

# is WHAT ACTUAL EXPECTED
is() {
	[ "$2" = "$3" ] || fail "$1: got '$2', expected '$3'"
}

# has WHAT FILE PATTERN: a line of FILE matches the basic regular expression.
has() {
	if ! grep -q -e "$3" "$2"; then
		fail "$1: nothing like '$3' in:"
		head -20 "$2" | sed 's/^/    /'
	fi
}

# same WHAT FILE EXPECTED-FILE
same() {
	if ! cmp -s "$2" "$3"; then
		fail "$1 differs (< got, > expected):"
		diff "$2" "$3" | head -20 | sed 's/^/    /'
	fi
}

# record PROGRAM ARGS…: its output in out and err, its status in $status.
# shellcheck disable=SC2086 # run_options is a list of words
record() {
	status=0
	"$heaptape" run ${run_options:-} -- "$@" >out 2>err </dev/null || status=$?
}

# query SQL: rows as CSV without the header line.
query() {
	"$heaptape" sql --csv "$1" >query.out 2>query.err || fail "query failed: $(cat query.err)"
	tail -n +2 query.out
}

# invariants [OPTIONS]: everything that must hold of what was recorded.
# shellcheck disable=SC2120 # tests may give options
invariants() {
	if ! "$B/tests/tools/invariants" "$@" "$HEAPTAPE_DB" >invariants.out 2>&1; then
		fail "invariants:"
		grep -v ' 0 problems$' invariants.out | head -30 | sed 's/^/    /'
	fi
}

# identical PROGRAM ARGS…: recorded or not, the program writes the same and ends the same; the
# record is complete and the invariants hold.
identical() {
	plain=0
	"$@" >plain.out 2>plain.err </dev/null || plain=$?
	record "$@"
	is "$1: status" "$status" "$plain"
	same "$1: output" out plain.out
	recorded_whole
}

# few_cut: of 10,000 stacks of the last run at most one was cut short, and each says why.
few_cut() {
	is "cut stacks" "$(query "SELECT sum(cut_stacks) <= (sum(allocations) + 9999) / 10000 FROM processes
		WHERE run_id = $last_run")" 1
	is "reasons for cut stacks" "$(query "SELECT count(*) FROM processes p WHERE run_id = $last_run
		AND cut_stacks <> (SELECT total(stacks) FROM stack_cuts WHERE process_id = p.process_id)")" 0
}

# recorded_whole: the last run lost nothing.
recorded_whole() {
	is "state" "$(query "SELECT state FROM runs WHERE run_id = $last_run")" complete
	is "events lost" "$(query "SELECT sum(lost_events) FROM processes WHERE run_id =
		$last_run")" 0
	invariants
}

# tree_whole N: the last run has at least N processes by pid, each with its parent, and all ended.
tree_whole() {
	[ "$(query "SELECT count(DISTINCT pid) FROM processes WHERE run_id = $last_run")" -ge "$1" ] ||
		fail "not all processes are there: $(query "SELECT pid, command FROM processes
			WHERE run_id = $last_run")"
	is "without an end" "$(query "SELECT pid, ending, command FROM processes WHERE run_id = $last_run
		AND ending NOT IN ('exited', 'signaled', 'exec')")" ""
	is "without a parent" "$(query "SELECT pid, command FROM processes p WHERE run_id = $last_run
		AND parent_process_id IS NULL AND pid <> (SELECT pid FROM processes
		WHERE run_id = p.run_id ORDER BY process_id LIMIT 1)")" ""
}

# ours: command lines of the processes that the test has started and that still run.
ours() {
	for folder in /proc/[0-9]*; do
		[ "${folder#/proc/}" != $$ ] || continue
		if { tr '\0' '\n' <"$folder/environ"; } 2>/dev/null | grep -q "^XDG_RUNTIME_DIR=$T\$"; then
			{ tr '\0' ' ' <"$folder/cmdline"; } 2>/dev/null
		fi
	done
}

# shellcheck disable=SC2317 # until_true calls it
none_of_ours() { [ -z "$(ours)" ]; }

# runs_over: waits until no run in the database goes on.
runs_over() {
	until_true answers "SELECT count(*) FROM runs WHERE state = 'running'" 0
}

# nothing_left: soon no process of ours runs, and no file is left but the database.
nothing_left() {
	until_true none_of_ours
	is "still running" "$(ours)" ""
	is "left behind" "$(find "$T" -mindepth 1 -maxdepth 1 -name "heaptape*" ! -name heaptape.db)" ""
}

# compare_rows: every event between each thread's two markers, row by row, with what the program
# printed (tests/programs/say.h).
compare_rows() {
	query "WITH marker AS (
		SELECT thread_id, min(CASE kind WHEN 'free' THEN seq END) AS low,
		       max(CASE kind WHEN 'malloc' THEN seq END) AS high
		FROM events WHERE size_bytes = 777001 AND kind IN ('malloc', 'free')
		      AND run_id = $last_run GROUP BY thread_id)
	SELECT tid, kind, coalesce(address, 0), iif(coalesce(address, 0), size_bytes, 0),
	       iif(coalesce(address, 0), usable_bytes, 0), coalesce(old_address, 0)
	FROM events JOIN marker USING (thread_id) JOIN threads USING (thread_id)
	WHERE seq > low AND seq < high
	      AND kind IN ('malloc', 'calloc', 'realloc', 'memalign', 'free')
	ORDER BY tid, seq" >rows
	sort -s -n -t, -k1,1 out >expected
	same "rows" rows expected
	[ -s expected ] || fail "the program printed nothing"
}
