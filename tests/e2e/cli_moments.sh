#!/bin/sh
# A moment is named by a time with its unit, a percentage, 'peak', 'end' or a mark's label.
. "$(dirname "$0")/lib.sh"
need jq gcc

cat >steps.c <<'EOT'
#include <stdlib.h>
#include <time.h>
static void rest(void) { nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL); }
int main(void)
{
	void *kept[30];
	for (int i = 0; i < 30; i++)
		kept[i] = malloc(1000);
	rest();
	for (int i = 10; i < 30; i++)
		free(kept[i]);
	rest();
	kept[10] = malloc(777);
	return kept[10] == NULL;
}
EOT
gcc -fno-builtin -o steps steps.c || die "cannot build"
record ./steps
is "status" "$status" 0
invariants

blocks() { "$heaptape" leaks --json "$@" | jq '[.[].live_blocks] | add // 0'; }
bytes() { "$heaptape" leaks --json "$@" | jq '[.[].live_bytes] | add // 0'; }
is "at the peak" "$(bytes --at peak)" "$(query 'SELECT peak_bytes FROM processes')"
is "blocks at the peak" "$(blocks --at peak)" "$(query 'SELECT peak_blocks FROM processes')"
is "at the end" "$(bytes --at end)" "$(query 'SELECT live_bytes FROM processes')"
is "at 100%" "$(bytes --at 100%)" "$(query 'SELECT live_bytes FROM processes')"
is "at 0%" "$(blocks --at 0%)" 0
is "since the peak" "$(bytes --since peak)" 777
is "since 0s" "$(bytes --since 0s)" "$(bytes)"
is "since the end" "$(blocks --since end)" 0
is "since the peak, at the peak" "$(blocks --since peak --at peak)" 0
# Between its two rests the program had 10 of 30 blocks.
middle=$(query "SELECT at_ns + 20000000 FROM events WHERE kind = 'free' AND size_bytes = 1000
	ORDER BY at_ns DESC LIMIT 1")
whole=$(query 'SELECT max(ended_ns) FROM processes')
live=$(query "SELECT sum(size_bytes) FROM allocations WHERE allocated_at_ns <= $middle AND
	(freed_at_ns IS NULL OR freed_at_ns > $middle)")
is "in nanoseconds" "$(bytes --at "${middle}ns")" "$live"
is "in microseconds" "$(bytes --at "$(jq -n "$middle / 1e3") us")" "$live"
is "in milliseconds" "$(bytes --at "$(jq -n "$middle / 1e6")ms")" "$live"
is "in seconds" "$(bytes --at "$(jq -n "$middle / 1e9")s")" "$live"
is "in minutes" "$(bytes --at "$(jq -n "$middle / 60e9")min")" "$live"
is "in hours" "$(bytes --at "$(jq -n "$middle / 3600e9")h")" "$live"
is "in percent" "$(bytes --at "$(jq -n "100 * $middle / $whole")%")" "$live"

# refused PATTERN ARGUMENTS…
refused() {
	pattern=$1
	shift
	code=0
	"$heaptape" "$@" >o 2>e || code=$?
	[ $code != 0 ] || fail "heaptape $*: done"
	has "heaptape $*" e "$pattern"
}
for text in 500 0 1.5; do
	refused "'$text' has no unit; name one: ${text}ns" leaks --since $text
	refused "'$text' has no unit" leaks --at $text
done
for text in 10x 5k -1s 101% nan infs '' ms 1e400s 'peak '; do
	refused 'A moment is' leaks --at "$text"
done
"$heaptape" leaks --help >o
for word in ns us ms min '%' "'peak'" "'end'"; do
	has "leaks --help" o "$word"
done
# These mean a moment of every run, so no mark takes their name.
for label in peak end 12s 40% 500; do
	refused 'already means a moment' mark "$label"
done
# Nothing was allocated.
cat >idle.c <<'EOT'
int main(void) { return 0; }
EOT
gcc -o idle idle.c || die "cannot build"
record ./idle
is "at the peak of nothing" "$(blocks --at peak)" 0
is "at the end of nothing" "$(blocks --at end)" 0
pass
