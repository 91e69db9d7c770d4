#!/bin/sh
# How a program is loaded: calls before any constructor, programs that cannot be recorded, a world
# without /proc.
. "$(dirname "$0")/lib.sh"
need gcc

# A library that allocates in a resolver (while the program is still being relocated) and in a
# constructor; the program frees both, and allocates before its own main.
cat >early.c <<'END'
#include <stdlib.h>
void *early_resolver, *early_start;
static int answer(void) { return 42; }
void *resolve(void);
int early_answer(void) __attribute__((ifunc("resolve")));
void *resolve(void) { early_resolver = malloc(6100); return (void *)answer; }
__attribute__((constructor(200))) static void start(void) { early_start = malloc(6101); }
END
cat >program.c <<'END'
#include <stdlib.h>
extern void *early_start;
extern int early_answer(void);
static void *before;
static void first(void) { before = malloc(6102); }
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) = first;
int main(void)
{
	free(early_start);
	free(before);
	return early_answer();
}
END
gcc -shared -fPIC -fno-builtin -o libearly.so early.c || die "gcc"
gcc -fno-builtin -o program program.c -L. -learly -Wl,-rpath,"$T" || die "gcc"
identical ./program
is "early: status" "$status" 42
is "early: blocks" "$(query "SELECT size_bytes, freed_at_ns IS NOT NULL FROM allocations
	WHERE size_bytes IN (6101, 6102) ORDER BY 1" | tr '\n' ' ')" "6101,1 6102,1 "

# unrecorded WHAT PATTERN STATUS PROGRAM: it runs as ever, nothing is recorded, and why is said.
unrecorded() {
	what=$1 pattern=$2 expected=$3
	shift 3
	"$@" >plain.out 2>plain.err
	record "$@"
	is "$what: status" "$status" "$expected"
	same "$what: output" out plain.out
	has "$what" err "$pattern"
	has "$what" err 'recorded *nothing'
	is "$what: row" "$(query "SELECT command, exit_code, unrecorded_reason LIKE '%$pattern%' FROM processes
		WHERE run_id = $last_run")" "$1,$expected,1"
}
echo '#include <stdio.h>
#include <stdlib.h>
int main(void) { free(malloc(1)); puts("plain"); return 9; }' >plain.c
gcc -fno-builtin -static -o static plain.c && unrecorded "static" "statically linked" 9 ./static
gcc -fno-builtin -static-pie -o static plain.c && unrecorded "static-pie" "statically linked" 9 ./static
gcc -fno-builtin -o plain plain.c || die "gcc"
if [ "$(id -u)" = 0 ] && cp plain setuid && chown 65534 setuid && chmod 4755 setuid; then
	unrecorded "setuid" "it is setuid" 9 ./setuid
	chown 0:65534 setuid
	chmod 2755 setuid
	unrecorded "setgid" "it is setgid" 9 ./setuid
fi

# No /proc: nothing tells the program's name but how it was called.
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
	record unshare -m sh -c 'umount -l /proc && ./plain one "two three"; exit 7'
	is "no /proc: status" "$status" 7
	is "no /proc" "$(query "SELECT executable, command, exit_code FROM processes
		WHERE run_id = $last_run AND exit_code = 9")" "./plain,./plain one 'two three',9"
	recorded_whole
fi
pass
