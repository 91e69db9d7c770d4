#!/bin/sh
# Every recorded stack against the program's own account of it: functions of every kind that call
# each other at random, with coroutines, signals, jumps and code without unwind rows, in threads
# (tests/programs/wander.c), as compilers lay out frames in various ways. HT_SCALE=10: more of it.
. "$(dirname "$0")/lib.sh"

wander() { # what program rounds threads seed
	rm -rf account
	mkdir account
	record "$2" account $(($3 * HT_SCALE)) "$4" "$5"
	is "$1: status" "$status" 0
	# shellcheck disable=SC2086 # no word, or one
	"$B/tests/tools/shadow" "$HEAPTAPE_DB" account ${depth:-} >compared ||
		fail "$1: $(cut -c1-1000 compared)"
	echo "$1: $(tail -1 compared)"
}

wander "as built" "$programs/wander" 40 3 1
wander "C++ as built" "$programs/wander_cxx" 40 3 1
invariants
depth=12
run_options="--depth $depth"
wander "--depth $depth" "$programs/wander" 10 2 2
depth='' run_options=''
seed=2
variant() { # compiler source flags…
	compiler=$1 source=$2
	shift 2
	command -v "$compiler" >/dev/null 2>&1 || return 0
	"$compiler" -D_GNU_SOURCE -I"$top" -fno-builtin -pthread "$@" -o variant \
		"$top/tests/programs/$source" 2>compile.err ||
		{ fail "$compiler $*: $(head -5 compile.err)"; return 0; }
	rm -f "$HEAPTAPE_DB"*
	wander "$compiler $*" ./variant 10 1 $seed
	seed=$((seed + 1))
}
variant gcc wander.c -O0
variant gcc wander.c -O1 -foptimize-sibling-calls -fno-pie -no-pie -Wl,-z,lazy
variant gcc wander.c -O3 -fno-omit-frame-pointer -fstack-protector-all
variant gcc wander.c -Os -fno-asynchronous-unwind-tables -fexceptions
variant gcc wander.c -O2 -fcf-protection=full -mno-red-zone
# Without unwind data: stacks end where no frame pointer is kept, but never lead elsewhere.
depth=0
variant gcc wander.c -O2 -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-exceptions -fno-omit-frame-pointer
variant gcc wander.c -O0 -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-exceptions
variant gcc wander.c -O2 -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-exceptions
depth=
variant clang wander.c -O2 -Wno-unknown-attributes
variant g++ wander_cxx.cc -std=gnu++17 -O3 -fno-omit-frame-pointer
variant g++ wander_cxx.cc -std=gnu++17 -Os -flto
variant clang++ wander_cxx.cc -std=gnu++17 -O2
pass
