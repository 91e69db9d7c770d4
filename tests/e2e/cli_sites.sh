#!/bin/sh
# Call sites in every command that names them: the program's own functions, with exact numbers.
. "$(dirname "$0")/lib.sh"
need jq

"$heaptape" run -q --label ten -- "$programs/sites" 10
"$heaptape" run -q --label thirty -- "$programs/sites" 30
"$heaptape" run -q --label bare --no-stacks -- "$programs/sites" 10

# site_of COMMAND RUN FUNCTION FIELDS
leaks_of() { "$heaptape" leaks --json "$1" | jq -c ".[] | select(.function == \"leak(int)\") | $2"; }
is "leaks" "$(leaks_of ten '[.live_blocks, .live_bytes, .allocations]')" '[10,10000,10]'
is "leaks" "$(leaks_of thirty '[.live_blocks, .live_bytes, .allocations]')" '[30,30000,30]'
has_line=$(leaks_of ten '.file + ":" + (.line | tostring)')
case $has_line in
*sites.cc:2[0-9]*) ;;
*) fail "leak()'s line: $has_line" ;;
esac
"$heaptape" leaks ten >o || fail "leaks: $?"
has "leaks" o 'leak(int) sites.cc:2'
"$heaptape" leaks --stacks ten >o || fail "leaks --stacks: $?"
has "the way to it" o '  main  sites.cc'
printf '# of LeakSanitizer\nleak:^leak(\n' >suppressions
"$heaptape" leaks --suppressions suppressions --json ten | jq -r '.[].function' >o
grep -q 'leak(int)' o && fail "leak() is suppressed and shown"
"$heaptape" leaks --all --suppressions suppressions ten >o
has "what is suppressed" o "in $(query "SELECT sum(live_blocks) - 10 FROM processes WHERE run_id = 1") blocks* never freed (and 9.77 KiB suppressed)"
echo 'race:leak' >wrong
code=0
"$heaptape" leaks --suppressions wrong ten >o 2>e || code=$?
is "a line that is no suppression" "$code" 3
has "a line that is no suppression" e 'wrong:1'

# What the C and C++ libraries keep for themselves is no leak of the program's; a stream it forgot is.
cat >clean.cc <<'EOT'
#include <clocale>
#include <cstdio>
#include <ctime>
#include <iostream>
int main(int argc, char **)
{
	time_t now = time(nullptr);
	setlocale(LC_ALL, "");
	localtime(&now);
	printf("x\n");
	std::cout << std::locale().name() << std::endl;
	try {
		throw std::string(argc > 1 ? argc : 100, 'x');
	} catch (const std::string &) {
	}
	if (argc > 1)
		fopen("/dev/null", "r");
}
EOT
g++ -g -o clean clean.cc 2>compile.err || fail "clean: $(head -3 compile.err)"
"$heaptape" run -q --label clean -- ./clean >/dev/null
"$heaptape" run -q --label forgets -- ./clean forgets >/dev/null
"$heaptape" leaks clean >o
has "a clean program" o '^Run [0-9]*: 0 B in 0 blocks never freed'
has "a clean program" o '^(and .* in [0-9]* blocks* kept by the C and C++ libraries: --all shows them)'
is "a clean program" "$("$heaptape" leaks --json clean)" "[]"
is "all of it" "$("$heaptape" leaks --all --json clean | jq 'map(.live_blocks) | add')" \
	"$(query "SELECT live_blocks FROM processes JOIN runs USING (run_id) WHERE label = 'clean'")"
"$heaptape" report clean >o
has "report: a clean program" o '^  still live  0 B in 0 blocks$'
has "report: a clean program" o '^  *and .* in [0-9]* blocks* kept by the C and C++ libraries (--all)$'
grep -q '^Never freed' o && fail "report: a clean program: something is listed as never freed"
"$heaptape" report --all clean >o
has "report --all" o '^Never freed'
grep -q 'kept by' o && fail "report --all: something is left out"
"$heaptape" report --json clean >o
"$heaptape" report --json --all clean >all
is "report --json" "$(jq -c '[.leaked.live_blocks, .leaked.live_bytes, ([.sites[].live_blocks] | add),
	.kept_by_libraries == { live_blocks: .run.live_blocks, live_bytes: .run.live_bytes }, .run.live_blocks > 0]' o)" \
	'[0,0,0,true,true]'
is "report --json --all" "$(jq -c '[.leaked.live_blocks == .run.live_blocks, ([.sites[].live_bytes] | add) ==
	.run.live_bytes, .kept_by_libraries.live_blocks]' all)" '[true,true,0]'
is "a forgotten stream" "$("$heaptape" leaks --json forgets | jq -c 'map([.function, .live_blocks])')" '[["main",1]]'

# Functions that wrap an allocator, by the user's word: by a file, or the usual one.
printf '# ours\nleak\n' >wrappers
"$heaptape" leaks --wrappers wrappers ten >o
has "wrappers" o 'main sites.cc:'
mkdir -p .config/heaptape
echo 'le*(int)  # by a pattern' >.config/heaptape/wrappers
"$heaptape" leaks ten >o
has "the usual file" o 'main sites.cc:'
rm -r .config
code=0
"$heaptape" leaks --wrappers nowhere ten >o 2>e || code=$?
is "no such file" "$code $(cat e)" "3 heaptape: cannot read the wrappers 'nowhere': No such file or directory"

# Only stacks through what is named, or of one process.
is "--match" "$("$heaptape" leaks --match '^leak(' --json ten | jq -c 'map([.function, .live_blocks])')" '[["leak(int)",10]]'
is "--match: a file" "$("$heaptape" leaks --match 'sites.cc$' --json ten | jq -c 'map(.live_blocks) | add')" 10
is "--match nothing" "$("$heaptape" leaks --match nowhere --json ten)" "[]"
is "--module" "$("$heaptape" leaks --module '^sites$' --json ten | jq -c 'map(.live_blocks) | add')" 10
is "--module: another" "$("$heaptape" leaks --all --module '^libstdc++' --match '^leak(' --json ten)" "[]"
is "--match and --module" "$("$heaptape" leaks --module '^sites$' --match '^leak(' --json ten | jq length)" 1
pid=$(query "SELECT pid FROM processes JOIN runs USING (run_id) WHERE label = 'ten'")
is "--pid" "$("$heaptape" leaks --pid "$pid" --json ten | jq -c 'map(.live_blocks) | add')" 10
is "--pid and a moment" "$("$heaptape" leaks --pid "$pid" --at end --json ten | jq -c 'map(.live_blocks) | add')" 10
code=0
"$heaptape" leaks --pid 1 ten >o 2>e || code=$?
is "--pid of another" "$code" 3
is "peak --match" "$("$heaptape" peak --min 0 --match '^fill(' --json ten | jq '.peak_bytes > 0')" true
is "export --match" "$("$heaptape" export -f folded --match '^temp(' ten | awk '{ sum += $NF } END { print sum }')" 500000
"$heaptape" diff --by leaked --match '^leak(' --json ten thirty >o
is "diff --match" "$(jq -c '.sites | length' o)" 1

# The report: temporaries of temp(), the peak in fill().
"$heaptape" report --json ten >o
site() { jq -c "[.sites[] | select(.function == \"$1\") | .$2] | add" o; }
is "temporary" "$(site 'temp(int)' temporary)" 5000
is "temp's bytes" "$(site 'temp(int)' allocated_bytes)" 500000
# std::vector grows 1, 2, 4 ... 64: seven blocks; one node of the map. All are fill()'s.
is "fill's blocks" "$(site 'fill(int)' allocations)" 16000
is "fill's peak" "$(site 'fill(int)' peak_blocks)" "$(jq '[.sites[] | select(.function == "fill(int)")
	| .peak_blocks] | add' o)"
[ "$(jq '.run.peak_blocks' o)" -ge 4000 ] || fail "the peak has few blocks"
"$heaptape" report ten >o
has "report" o 'fill(int) sites.cc'
has "report" o 'temp(int) sites.cc'
"$heaptape" report bare >o
has "without stacks" o 'stacks were not recorded'

# The peak as trees.
"$heaptape" peak ten >o
has "bottom-up" o 'fill(int) sites.cc'
"$heaptape" peak --top-down --json ten >o
is "top-down begins at main" "$(jq -r '[.children[].name] | index("main") != null' o)" true
is "children are no more than their parent" "$(jq '[.. | objects | select(.children)
	| (([.children[].peak_bytes] | add) <= .peak_bytes)] | all' o)" true
"$heaptape" peak --group module ten >o
has "by module" o '[└├] sites'
"$heaptape" peak --group file ten >o
has "by file" o 'sites.cc'

# What twenty more blocks do.
"$heaptape" diff --by leaked --json ten thirty >o
is "diff" "$(jq -c '.sites[0] | [.site, .change]' o)" '["leak(int)  sites",20000]'
is "diff: total" "$(jq -c '.totals[] | select(.name == "live_blocks") | .change' o)" 20
"$heaptape" diff --by leaked ten thirty >o
has "diff" o '+19.5 KiB .* leak(int)'

# Other tools.
"$heaptape" export --format folded --of leaked ten >o
has "folded" o 'main;leak(int) 10000$'
"$heaptape" export --format speedscope ten >o
is "speedscope" "$(jq -c '[.profiles[] | (.weights | add // 0) == .endValue] | all' o)" true
is "speedscope: frames" "$(jq '(.shared.frames | length) as $n | [.profiles[].samples[][] < $n] | all' o)" true
"$heaptape" export --format pprof -o pprof.pb ten || fail "pprof: $?"
if command -v protoc >/dev/null; then
	protoc --decode perftools.profiles.Profile -I "$top/viewer/export" profile.proto <pprof.pb >o 2>e ||
		fail "pprof: $(cat e)"
	has "pprof" o '"leak(int)"'
fi
"$heaptape" flame --of leaked -o page.html ten 2>e
case $? in
0)
	has "flame" page.html '"leak(int)"'
	grep -q 'https\?://[^w]' page.html && grep -o 'src="[^"]*"' page.html && fail "the page loads something"
	;;
3) has "flame" e 'npm was missing' ;;
*) fail "flame: $(cat e)" ;;
esac

# A function with several lines is one row, its lines below.
cat >lines.c <<'END'
#include <stdlib.h>
static void *volatile block;
static __attribute__((noinline)) void several(void)
{
	for (int i = 0; i < 3; i++)
		block = malloc(1000);
	block = malloc(700);
}
static __attribute__((noinline)) void one(void)
{
	block = malloc(3500);
}
int main(void)
{
	several();
	one();
	return 0;
}
END
gcc -g -fno-builtin -o lines lines.c || die "cannot build lines.c"
"$heaptape" run -q --label lines -- ./lines || fail "lines: $?"
"$heaptape" leaks --match lines.c lines | sed -n '/Call site/,/^$/p' | tail -n +2 >o
cat >expected <<'END'
  3.61 KiB  51.4 %       4   4  several lines.c
      2.93 KiB in 3 blocks at lines.c:6
      700 B in 1 block at lines.c:7
  3.42 KiB  48.6 %       1   1  one lines.c:11

END
same "several lines" o expected
is "several lines: JSON" "$("$heaptape" leaks --match lines.c --json lines | jq -c 'map([.function, .line, .live_bytes])')" \
	'[["one",11,3500],["several",6,3000],["several",7,700]]'
"$heaptape" leaks --match lines.c --stacks lines >o
is "several lines: --stacks" "$(grep -c '^        main  lines.c:' o)" 3
is "several lines: -n" "$("$heaptape" leaks --match lines.c -n 1 lines | grep -c 'lines\.c')" 3
pass
