#!/bin/sh
# Sanitized programs bring their own allocator, and so do sanitizers' libraries in LD_PRELOAD: such a
# program runs without the shim, as it would alone; that is said, and it is a row with that reason.
. "$(dirname "$0")/lib.sh"
need gcc

cat >loses.c <<'END'
#include <stdio.h>
#include <stdlib.h>
__attribute__((noinline)) static void lose(void) { char *volatile p = malloc(109); p[0] = 1; p = NULL; }
__attribute__((noinline)) static void scribble(void) { volatile char room[4096]; for (int i = 0; i < 4096; i++) room[i] = 1; }
int main(void)
{
	for (int i = 0; i < 10; i++)
		free(malloc(100 + i));
	lose();
	scribble();
	puts("done");
	return 7;
}
END

# as_alone WHAT REASON PROGRAM ARGS...: status, output and what the sanitizer finds; REASON: of so many rows.
as_alone() {
	what=$1 reason=$2
	shift 2
	plain=0
	"$@" >plain.out 2>plain.err </dev/null || plain=$?
	record "$@"
	is "$what: status" "$status" "$plain"
	same "$what: output" out plain.out
	is "$what: found" "$(grep -c 'ERROR: \|SUMMARY: ' err)" "$(grep -c 'ERROR: \|SUMMARY: ' plain.err)"
	is "$what: reason" "$(query "SELECT count(*) FROM processes WHERE run_id = $last_run AND
		unrecorded_reason LIKE '%$reason%'")" 1
	is "$what: state" "$(query "SELECT state FROM runs WHERE run_id = $last_run")" incomplete
}

for flags in "gcc address" "gcc leak" "gcc thread" \
	"gcc address -static-libasan" "gcc leak -static-liblsan" "gcc thread -static-libtsan" \
	"gcc address -static-libasan -s" "gcc leak -static-liblsan -s" "gcc thread -static-libtsan -s" \
	"gcc address -static-libasan -s -no-pie -Wl,--hash-style=sysv" \
	"clang address" "clang thread" "clang memory" "clang leak" \
	"clang address -shared-libsan"; do
	# shellcheck disable=SC2086 # compiler, sanitizer, perhaps options
	set -- $flags
	compiler=$1 sanitizer=$2
	shift 2
	"$compiler" -g "-fsanitize=$sanitizer" "$@" -o loses loses.c 2>/dev/null || continue
	status=0
	./loses >plain.out 2>plain.err </dev/null || status=$?
	grep -q 'error while loading shared libraries' plain.err && continue
	as_alone "$flags" 'built with a sanitizer' ./loses
	is "$flags: said once" "$(grep -c "itself cannot be recorded: it is built with a sanitizer" err)" 1
	as_alone "$flags, a child" 'built with a sanitizer' sh -c './loses; exit $?'
	is "$flags, a child: said" "$(grep -c '^  unrecorded  *loses: it is built with a sanitizer' err)" 1
done

# UndefinedBehaviorSanitizer has no allocator.
for option in -shared-libgcc -static-libubsan; do
	gcc -g -fsanitize=undefined $option -o loses loses.c 2>/dev/null && identical ./loses
done

# Nor has a program that has the names in a text, or an allocator and a word for a runtime.
cat >talks.c <<'END'
#include <stdio.h>
#include <stdlib.h>
__attribute__((weak)) void __sanitizer_symbolize_code(void);
const char names[] = "__asan_init\0__sanitizer_symbolize_code\0malloc\0sigaction\0libasan.so.8";
int main(void)
{
	printf("%s %d\n", names, __sanitizer_symbolize_code != NULL);
	return malloc(10) ? 7 : 1;
}
END
gcc -fno-builtin -rdynamic -o talks talks.c || die "gcc"
identical ./talks

gcc -g -o loses loses.c || die "gcc"
for name in libasan libtsan liblsan libubsan; do
	library=$(gcc -print-file-name=$name.so)
	[ -e "$library" ] || continue
	library=$(readlink -f "$library")
	LD_PRELOAD=$library ./loses >/dev/null 2>&1 </dev/null || [ $? = 7 ] || [ $? = 23 ] || continue
	for order in "$library:\$LD_PRELOAD" "\$LD_PRELOAD:$library" "$library" "libm.so.6 $library \$LD_PRELOAD"; do
		# shellcheck disable=SC2016 # the shell under test expands it
		set -- sh -c 'eval "list=\"$1\""; LD_PRELOAD=$list ./loses; exit $?' sh "$order"
		if [ $name != libubsan ]; then
			as_alone "$order" 'memory checker' "$@"
		elif [ "$order" != "$library" ]; then
			identical "$@"
		fi
	done
done
pass
