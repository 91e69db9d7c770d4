#!/bin/sh
# `make demo`: records two real programs, the compiler and heaptape itself, and asks a few questions.
# The recording stays in the build folder, for questions of one's own.
set -eu
cd "$(dirname "$0")/.."
B=${HT_BUILD:-build}
HEAPTAPE_DB=$B/demo.db
COLUMNS=${COLUMNS:-$(stty size 2>/dev/null <&2 | cut -d' ' -f2)}
[ "${COLUMNS:-0}" -gt 0 ] || COLUMNS=100
export HEAPTAPE_DB COLUMNS
rm -f "$B"/demo.db*

# The words a person would type, with the command's folder left out.
heaptape() { "$B/heaptape" "$@" 2>&1; }
say() { printf '\n# %s\n' "$*"; }
show() {
	printf '$ %s\n' "$*"
	"$@"
}

say 'Record a program: the compiler at work. Its output and exit status are what they always were.'
show heaptape run --label compiler -- gcc -O2 -I. -c -o "$B/demo.o" tests/tools/heap_model.c

say 'A program with debug information has functions, files and lines: heaptape reads that recording.'
printf '$ heaptape run --label itself -- heaptape report compiler >/dev/null\n'
"$B/heaptape" run --label itself -- "$B/heaptape" report compiler >/dev/null

say 'What was live when its heap was largest, and who had asked for it.'
show heaptape peak --top-down --depth 6 --min 10% itself

say 'Every event is a row. What the compiler asked of its heap, and what the heap asked of the system:'
printf '$ heaptape sql "%s"\n' "SELECT kind, origin, count(*) AS events, sum(size_bytes) AS bytes
    FROM events WHERE run_id = 1 GROUP BY 1, 2 ORDER BY events DESC"
heaptape sql "SELECT kind, origin, count(*) AS events, sum(size_bytes) AS bytes
    FROM events WHERE run_id = 1 GROUP BY 1, 2 ORDER BY events DESC"

cat <<END

# The recording is kept in $HEAPTAPE_DB. What to type next:
  export HEAPTAPE_DB=$HEAPTAPE_DB
  $B/heaptape report compiler        # the whole story of the first run
  $B/heaptape leaks --stacks itself  # what was never freed, with the way to each place
  $B/heaptape sql                    # ask anything; .help, .tables
  $B/heaptape run YOUR-PROGRAM       # now yours
END
[ ! -s "$B/web/flame.js" ] ||
	echo "  $B/heaptape flame itself           # heaptape-2.html, a page for your browser"
