#!/bin/sh
# Fuzzes decoders: run.sh [--keep] [NAME…]; all of them by default. SECONDS_EACH says how long each
# takes, or RUNS how many inputs each is given. All that is promised of a release:
#
#   make FUZZ=1 fuzzers && RUNS=10000000 sh tests/fuzz/run.sh
#
# Inputs that were found to matter stay in build-fuzz/corpus, from where the next run goes on; the corpus
# in the tree is the start. --keep fuzzes nothing, but adds to the tree those that reach what no other does.
set -u
cd "$(dirname "$0")/../.." || exit 1
each=${SECONDS_EACH:-12}
status=0
keep=
case ${1:-} in
-h | --help)
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
	exit 0
	;;
--keep)
	keep=1
	shift
	;;
esac
if [ $# = 0 ]; then
	for source in tests/fuzz/fuzz_*.c; do
		name=$(basename "$source" .c)
		set -- "$@" "${name#fuzz_}"
	done
fi
for name in "$@"; do
	found=build-fuzz/corpus/$name
	mkdir -p "$found" "tests/fuzz/corpus/$name"
	limit=-max_total_time=$each
	[ -z "${RUNS:-}" ] || limit=-runs=$RUNS
	if [ -n "$keep" ]; then
		build-fuzz/tests/fuzz/fuzz_"$name" -merge=1 -max_len=1024 -use_counters=0 "tests/fuzz/corpus/$name" \
			"$found" 2>&1 | grep 'new files' || status=1
		continue
	fi
	echo "fuzz $name: $limit"
	if ! build-fuzz/tests/fuzz/fuzz_"$name" "$limit" -timeout=60 -rss_limit_mb=1024 \
		-print_final_stats=1 -artifact_prefix="$found-crash-" "$found" \
		"tests/fuzz/corpus/$name" >"$found.log" 2>&1; then
		status=1
		tail -40 "$found.log"
		echo "fuzz $name: FAILED"
	else
		grep -E 'number_of_executed_units|average_exec' "$found.log"
	fi
done
exit $status
