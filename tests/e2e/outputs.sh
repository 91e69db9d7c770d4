#!/bin/sh
# Whatever form the totals of stacks are written in, they add up to the tables' sums; and two
# builds of a program are compared function by function, wherever those lie.
. "$(dirname "$0")/lib.sh"
need awk jq

mkdir account
record "$programs/wander" account 8 3
is "status" "$status" 0
"$B/heaptaped" --symbols "$HEAPTAPE_DB" 0 >/dev/null || fail "symbols"
invariants
sum() { query "SELECT sum($1) FROM stack_totals"; }
words='allocated count peak leaked temporary'
columns='allocated_bytes allocations peak_bytes live_bytes temporary'
want=
for column in $columns; do
	want="$want$(sum "$column") "
done
is "the sums of stacks are those of processes" "$want" "$(query "SELECT allocated_bytes, allocations,
	peak_bytes, live_bytes, temporary FROM processes" | tr , ' ') "

got=
for of in $words; do
	"$heaptape" export --format folded --of "$of" -o folded || fail "folded: $?"
	got="$got$(awk '{ sum += $NF } END { printf "%.0f ", sum }' folded)"
done
is "folded" "$got" "$want"
awk '{ sub(/ [0-9]+$/, ""); if (seen[$0]++) print "twice: " $0 }' folded >o
[ -s o ] && fail "folded: $(head -1 o)"

"$heaptape" export --format speedscope >o || fail "speedscope: $?"
is "speedscope" "$(jq -r '[.profiles[] | .weights | add] | join(" ")' o) " "$want"
is "speedscope: units" "$(jq -r '[.profiles[].unit] | join(" ")' o)" 'bytes none bytes bytes none'
is "speedscope: its schema" "$(jq '(.shared.frames | length) as $n |
	."$schema" == "https://www.speedscope.app/file-format-schema.json" and
	([.profiles[] | .type == "sampled" and .startValue == 0 and .endValue == (.weights | add) and
	(.samples | length) == (.weights | length) and (.unit == "bytes" or .unit == "none") and
	([.samples[][] | . >= 0 and . < $n] | all)] | all) and
	([.shared.frames[] | .name | type == "string"] | all)' o)" true

if command -v protoc >/dev/null 2>&1; then
	"$heaptape" export --format pprof -o profile.pb || fail "pprof: $?"
	protoc --decode perftools.profiles.Profile -I "$top/viewer/export" profile.proto <profile.pb >o ||
		fail "pprof: protoc: $?"
	is "pprof" "$(awk '/^sample {/ { n = 0 } /^  value: / { sum[n++] += $2 }
		END { for (i = 0; i < 5; i++) printf "%.0f ", sum[i] }' o)" "$want"
	is "pprof: what the values are" "$(awk '/^sample_type {/ { getline; type[n++] = $2 } /^string_table: / { text[m++] = $2 }
		END { for (i = 0; i < n; i++) printf "%s ", text[type[i]] }' o | tr -d '"')" "$words "
	# Every number that is referred to is defined.
	is "pprof: references" "$(awk '
		/^  location_id: / { used["l" $2] } /^    function_id: / { used["f" $2] }
		/^  mapping_id: / { used["m" $2] }
		/^(location|function|mapping) {/ { what = substr($1, 1, 1) }
		/^  id: / { defined[what $2] }
		END { for (id in used) if (!(id in defined)) print id }' o)" ""
fi
"$heaptape" peak --json >o
is "peak" "$(jq '[.children[].peak_bytes] | add <= '"$(sum peak_bytes)" o)" true
"$heaptape" peak --min 0 --top-down --json >o
is "peak, top-down, all of it" "$(jq '[.children[].peak_bytes] | add' o)" "$(sum peak_bytes)"
"$heaptape" peak --min 0 --json >o
is "peak, bottom-up, all of it" "$(jq '[.children[].peak_bytes] | add' o)" "$(sum peak_bytes)"
for min in 1 10; do
	is "peak --min $min" "$("$heaptape" peak --csv --min $min% | tail -n +2 | wc -l)" \
		"$("$heaptape" peak --csv --min 0 | awk -F, -v min=$min 'NR == 2 { least = int($4 * min / 100) }
			NR > 1 && $4 >= least { n++ } END { print n }')"
done
"$heaptape" leaks --all --json -n 0 >o
is "leaks" "$(jq '[.[].live_bytes] | add' o)" "$(sum live_bytes)"

# Another build: everything lies elsewhere, one function is new, one is gone, one asks for more.
command -v gcc >/dev/null 2>&1 || pass
cat >two.c <<'EOT'
#include <stdlib.h>
void *volatile kept;
#define FUNCTION(name, count, bytes) __attribute__((noinline)) void name(void) \
	{ for (int i = 0; i < (count); i++) kept = malloc(bytes); }
#ifdef AFTER
FUNCTION(added, 30, 77)
FUNCTION(grows, 400, 1000)
#else
FUNCTION(gone, 20, 50)
FUNCTION(grows, 100, 1000)
#endif
FUNCTION(same, 100, 100)
int main(void)
{
#ifdef AFTER
	added();
#else
	gone();
#endif
	same();
	grows();
	return 0;
}
EOT
mkdir before after
gcc -g -O2 -fno-builtin -o before/program two.c || die "cannot build"
gcc -g -O1 -fno-builtin -DAFTER -o after/program two.c || die "cannot build"
rm -f "$HEAPTAPE_DB"*
record before/program
record after/program
"$B/heaptaped" --symbols "$HEAPTAPE_DB" 0 >/dev/null || fail "symbols"
is "diff" "$("$heaptape" diff --json | jq -r '.sites[] | select(.change != 0) |
	"\(.function) \(.module) \(.change)"')" "grows program 300000
added program 2310
gone program -1000"
is "diff by count" "$("$heaptape" diff --by count --json | jq -r '.sites[0] |
	"\(.function) \(.before.allocations) \(.after.allocations)"')" "grows 100 400"
"$heaptape" diff --top 1 >o || fail "diff: $?"
has "diff" o '+293 KiB .* grows'
has "diff" o '[0-9] more'
pass
