#!/bin/sh
# Fuzzes decoders: run.sh [NAME…]; all of them by default. SECONDS_EACH says how long each takes, or
# RUNS how many inputs each is given.
# Inputs that were found to matter stay in build-fuzz/corpus; the corpus in the tree is the start.
set -u
cd "$(dirname "$0")/../.." || exit 1
each=${SECONDS_EACH:-15}
status=0
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
	echo "fuzz $name: $limit"
	if ! build-fuzz/tests/fuzz/fuzz_"$name" "$limit" -timeout=10 -rss_limit_mb=1024 \
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
