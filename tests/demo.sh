#!/bin/sh
# `make demo`: records a real program, the compiler on a source file of ours, and asks questions.
set -eu
cd "$(dirname "$0")/.."
heaptape=$PWD/build/heaptape
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
HEAPTAPE_DB=$folder/heaptape.db
export HEAPTAPE_DB

show() {
	printf '\n$ %s\n' "$*"
	"$@"
}

# The words a person would type, with the command's full path left out.
heaptape() { "$heaptape" "$@"; }

show heaptape run --label demo -- gcc -O2 -D_GNU_SOURCE -I. -c -o "$folder/demo.o" \
	tests/tools/heap_model.c
show heaptape runs
show heaptape report
show heaptape sql "SELECT pid, ending, allocations, peak_bytes, live_bytes, peak_held_bytes,
       substr(executable, -24) AS executable
FROM processes ORDER BY process_id"
show heaptape sql "SELECT kind, count(*) AS events, sum(size_bytes) AS bytes
FROM events GROUP BY kind ORDER BY events DESC"
