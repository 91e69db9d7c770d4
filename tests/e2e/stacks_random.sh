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
	"$B/tests/tools/shadow" "$HEAPTAPE_DB" account >compared ||
		fail "$1: $(cut -c1-1000 compared)"
	echo "$1: $(tail -1 compared)"
}

wander "as built" "$programs/wander" 40 3 1
invariants
seed=2
variant() { # compiler flags…
	compiler=$1
	shift
	command -v "$compiler" >/dev/null 2>&1 || return 0
	"$compiler" -D_GNU_SOURCE -I"$top" -std=gnu17 -fno-builtin -pthread "$@" \
		-o variant "$top/tests/programs/wander.c" 2>compile.err ||
		{ fail "$compiler $*: $(head -5 compile.err)"; return 0; }
	rm -f "$HEAPTAPE_DB"*
	wander "$compiler $*" ./variant 10 1 $seed
	seed=$((seed + 1))
}
variant gcc -O0
variant gcc -O1 -foptimize-sibling-calls -fno-pie -no-pie -Wl,-z,lazy
variant gcc -O3 -fno-omit-frame-pointer -fstack-protector-all
variant gcc -Os -fno-asynchronous-unwind-tables -fexceptions
variant gcc -O2 -fcf-protection=full -mno-red-zone
variant clang -O2 -Wno-unknown-attributes
pass
