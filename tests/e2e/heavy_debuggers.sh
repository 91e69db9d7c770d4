#!/bin/sh
# Debuggers and memory checkers around and inside a recording: gdb running a program, valgrind.
. "$(dirname "$0")/lib.sh"
need gcc
cat >small.c <<'EOT'
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
	void *kept[100];
	for (int i = 0; i < 100; i++)
		kept[i] = malloc(100 + i);
	for (int i = 0; i < 100; i += 2)
		free(kept[i]);
	printf("%d\n", kept[1] != NULL);
	return 9;
}
EOT
gcc -g -O0 -fno-builtin -o small small.c || die "cannot build"
if command -v gdb >/dev/null 2>&1 &&
	gdb -nx -batch -ex run -ex bt ./small 2>&1 </dev/null | grep -q 'exited with code 011'; then
	record gdb -nx -batch -ex 'break free' -ex run -ex 'delete' -ex continue ./small
	is "gdb: status" "$status" 0
	has "gdb" out 'exited with code 011'
	runs_over
	is "gdb: the program's blocks" "$(query "SELECT count(*) FROM allocations JOIN processes USING (process_id)
		WHERE executable LIKE '%/small' AND size_bytes BETWEEN 100 AND 199")" 100
	invariants
else
	echo "gdb left out: it is not installed or cannot run programs here"
fi
if command -v valgrind >/dev/null 2>&1; then
	valgrind -q --leak-check=full ./small >plain.out 2>plain.err
	is "valgrind alone: status" $? 9
	record valgrind -q --leak-check=full ./small
	is "valgrind inside: status" "$status" 9
	same "valgrind inside: output" out plain.out
	strip() { sed 's/^==[0-9]*==//; /^heaptape/d; /^  [a-z]/d; /^ *this summary/d' "$1"; }
	strip plain.err >plain.said
	strip err >said
	is "valgrind inside: what it found" "$(grep -c 'definitely lost' said)" "$(grep -c 'definitely lost' plain.said)"
else
	echo "valgrind left out: it is not installed"
fi
pass
