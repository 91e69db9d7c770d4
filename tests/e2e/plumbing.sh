#!/bin/sh
# What only passes a call on (std::function, std::invoke, std::thread, call_once) is one row of a stack and of
# a tree, unless --all-frames.
. "$(dirname "$0")/lib.sh"
need g++ jq

cat >calls.cc <<'END'
#include <cstdlib>
#include <functional>
#include <mutex>
#include <thread>
static void *volatile block;
static void *volatile other;
__attribute__((noinline)) void allocates() { block = malloc(1234); }
__attribute__((noinline)) void allocates_once() { other = malloc(4321); }
int main()
{
	std::function<void()> handler = [] { allocates(); };
	std::once_flag once;
	std::thread(handler).join();
	std::call_once(once, allocates_once);
	return 0;
}
END
g++ -g -O0 -pthread -o calls calls.cc || die "cannot build"
record ./calls
is "status" "$status" 0

# rows ARGUMENTS…: functions of the stacks, as they are printed.
rows() { "$heaptape" leaks --stacks --match calls.cc "$@" | sed -n 's/^        //p'; }
COLUMNS=200
export COLUMNS
rows >o
has "std::function" o '^main::.*lambda.*calls.cc:11'
has "folded" o '^\[.*std::function.*std::thread.*\]  [0-9]* frames$'
has "call_once" o '^\[.*std::call_once.*\]  [0-9]* frames$'
grep -q '^std::_Function_handler\|^std::__invoke\|^void std::__invoke' o && fail "not folded: $(cat o)"
rows --all-frames >all
has "--all-frames" all 'std::_Function_handler'
has "--all-frames" all 'std::__invoke'
grep -q '^\[std::' all && fail "--all-frames folds"
# No frame is lost: so many rows, and those that the folded ones stand for.
is "frames" "$(awk '/^\[.* frames$/ { n += $(NF - 1); next } { n++ } END { print n }' o)" "$(wc -l <all)"

"$heaptape" peak --top-down --whole --match calls.cc >o
has "peak" o '\[.*std::function.*\]$'
grep -q 'std::_Function_handler\|std::__invoke_impl' o && fail "peak: not folded: $(cat o)"
"$heaptape" peak --top-down --whole --match calls.cc --all-frames >o
has "peak --all-frames" o 'std::_Function_handler'
is "peak: the same bytes" "$("$heaptape" peak --json --match calls.cc | jq .peak_bytes)" \
	"$("$heaptape" peak --json --all-frames --match calls.cc | jq .peak_bytes)"
pass
