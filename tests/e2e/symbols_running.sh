#!/bin/sh
# While a program runs its functions have names: soon, whether anybody asks or not, also those of
# libraries loaded later and of code made at run time that it names later. What looks them up may be
# killed or stopped: the recording does not notice.
. "$(dirname "$0")/lib.sh"
need gcc sqlite3 mkfifo

cat >plugin.c <<'EOT'
#include <stdlib.h>
static __attribute__((noinline)) void *inner_of_plugin(size_t n) { void *volatile p = malloc(n); return p; }
__attribute__((noinline)) void *plugin_entry(size_t n) { void *volatile p = inner_of_plugin(n); return p; }
EOT
gcc -g -O1 -shared -fPIC -o plugin.so plugin.c || die "gcc: $?"

texts() { sqlite3 heaptape.db "SELECT text FROM stack_text WHERE stack_id IN
	(SELECT stack_id FROM stack_totals)" 2>/dev/null; }

# soon WHAT PATTERN: a stack matches, without anybody's asking.
soon() {
	for _ in $(seq 600); do
		texts | grep -q -e "$2" && return
		sleep 0.1
	done
	fail "$1: no stack like '$2': $(texts | tail -5)"
}

# say WORDS: to the program; returns when it has done so.
say() {
	before=$(grep -c '^done' out)
	echo "$*" >&3
	while [ "$(grep -c '^done' out)" = "$before" ]; do
		kill -0 $recorder 2>/dev/null || die "the program has ended: $(cat out err)"
		sleep 0.05
	done
}

# allocated SIZE: returns when the database has the block.
allocated() {
	for _ in $(seq 600); do
		[ "$(sqlite3 heaptape.db ".load $B/heaptape_sqlite" \
			"SELECT count(*) FROM events WHERE size_bytes = $1")" -gt 0 ] && return
		sleep 0.1
	done
	fail "no block of $1 bytes"
}

mkfifo words
"$heaptape" run -- "$programs/talker" <words >out 2>err &
recorder=$!
exec 3>words
: >>out
say first
soon "nobody asks" ';first_place$'
is "what the run says" "$(sqlite3 heaptape.db 'SELECT state FROM runs')" running
"$heaptape" report >report.out || fail "report: $?"
has  "report" report.out 'first_place'
is "report: names that never come" "$(grep -c 'still being looked up' report.out)" 0

# Whoever asks gets the names of what was seen just now.
say load "$T/plugin.so"
allocated 100002
"$heaptape" leaks >leaks.out || fail "leaks: $?"
has "leaks" leaks.out 'inner_of_plugin'
say next
allocated 100010
query "SELECT text FROM stack_text" >sql
has "sql" sql ';place_0$'
say next
allocated 100011
"$heaptape" export --format folded -o folded || fail "export: $?"
has "export" folded ';place_1 '
soon "a library" ';plugin_entry;inner_of_plugin$'

if [ "$(uname -m)" = x86_64 ]; then
	say make
	allocated 100003
	soon "code made at run time" ';called_by_made_code$'
	say map
	soon "its name" 'made_code;called_by_made_code$'
	rm -f "$(grep '^/tmp/perf-' out)"
fi

# What looks names up is killed, and stopped, where it can be met. It is for the run's end, at the
# latest, to find what is missing.
for signal in KILL STOP; do
	say next
	for _ in $(seq 100); do
		# shellcheck disable=SC2013 # words
		for found in $(grep -l -a -F -e --symbols /proc/[0-9]*/cmdline 2>/dev/null); do
			{ tr '\0' ' ' <"$found"; } 2>/dev/null | grep -q -e "--symbols $HEAPTAPE_DB " || continue
			pid=${found#/proc/}
			kill -s $signal "${pid%/cmdline}" 2>/dev/null && echo met >>met && break 2
		done
	done
done
say next
exec 3>&-
wait $recorder
is "status" $? 0
for _ in $(seq 600); do
	[ "$(sqlite3 heaptape.db "SELECT count(*) FROM frames WHERE symbol_state = 'pending'")" = 0 ] && break
	sleep 0.1
done
is "the run" "$(query 'SELECT state FROM runs')" complete
is "names in the end" "$(query "SELECT DISTINCT function FROM frames WHERE function LIKE 'place_%'
	ORDER BY 1" | tr '\n' ' ')" "place_0 place_1 place_2 place_3 place_4 "
is "no place has a name twice" "$(query "SELECT count(*) FROM (SELECT 1 FROM frames
	GROUP BY module_id, offset, inline_depth HAVING count(*) > 1)")" 0
query "SELECT text FROM notes" >notes
is "notes" "$(cat notes)" ""
invariants
nothing_left
pass
