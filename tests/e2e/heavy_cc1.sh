#!/bin/sh
# The compiler proper on 9 MB of C, more than SQLite's source.
. "$(dirname "$0")/lib.sh"
need gcc awk
awk -v bytes=9000000 -f "$top/tests/bench/source.awk" >big.c
identical "$(gcc -print-prog-name=cc1)" -quiet -O0 -w big.c -o -
few_cut
pass
