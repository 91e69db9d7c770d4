#!/bin/sh
# The shim exports the names it must, and nothing else: what a program can reach of malloc's and the
# pages' family is the shim's, and no name of the shim's own gets in a program's way. And it refers to
# nothing that the program could replace to its harm: other functions it finds by itself (shim/libc.h).
. "$(dirname "$0")/lib.sh"
need nm

# The heap: the names of C23, POSIX and glibc.
cat >heap <<'NAMES'
malloc calloc realloc reallocarray free cfree free_sized free_aligned_sized
memalign aligned_alloc posix_memalign valloc pvalloc malloc_usable_size
malloc_trim mallopt mallinfo mallinfo2 malloc_stats malloc_info
__libc_malloc __libc_calloc __libc_realloc __libc_reallocarray __libc_free __libc_cfree
__libc_memalign __libc_valloc __libc_pvalloc __libc_mallopt __libc_mallinfo __posix_memalign
sbrk __sbrk brk mmap mmap64 munmap mremap madvise mprotect shmat
NAMES

# What else stands in for libc's: a program that closes its descriptors leaves the shim's alone, one
# that ends, starts another or becomes one says so, an object that comes or goes is noticed, and so is
# a filter of system calls.
cat >guards <<'NAMES'
close close_range closefrom dup2 dup3
_exit _Exit quick_exit execv execve execveat execvp execvpe fexecve execl execle execlp
posix_spawn posix_spawnp system popen wordexp dlopen dlmopen dlclose prctl syscall
NAMES

# What a program calls on purpose.
cat >asked <<'NAMES'
heaptape_mark_here
NAMES

names() { tr ' ' '\n' <"$1" | sort; }

nm -D --defined-only "$B/libheaptape.so" | awk '$2 ~ /[A-Z]/ { print $3 }' | sed 's/@.*//' | sort -u >exported
names heap | comm -23 - exported >missing
is "missing" "$(cat missing)" ''
names guards | comm -23 - exported >missing
is "missing guards" "$(cat missing)" ''
cat heap guards asked >allowed
names allowed | comm -13 - exported >surplus
is "not on the list" "$(cat surplus)" ''

# Whatever libc calls by such a name for programs to use, is on the list.
libc=$(ldd "$programs/first" | awk '$1 ~ /^libc\.so/ { print $3 }')
nm -D --defined-only "$libc" |
	awk '$3 ~ /@@GLIBC_[0-9]/ && $2 ~ /[TWi]/ { sub(/@.*/, "", $3); print $3 }' |
	grep -E '^_*(libc_)?(malloc|calloc|realloc|free|cfree|memalign|aligned_alloc|posix_memalign|valloc|pvalloc|mallopt|mallinfo)(array|2|_[a-z_]*)?$|^_*(s?brk|mmap(64)?|munmap|mremap|madvise)$' |
	sort -u >libc_names
[ -s libc_names ] || fail "nothing found in $libc"
is "libc's and not ours" "$(comm -23 libc_names exported)" ''

# name, and why it may be there
cat >undefined_allowed <<'NAMES'
environ                    the program's variable, which is meant
__environ                  the same
stderr                     the program's variable, which is meant
_r_debug                   a variable of the dynamic linker, for debuggers
__curbrk                   a variable: the C library's own notion of the break is kept up
__libc_stack_end           a variable of the dynamic linker
__errno_location           what the program takes for errno is set, wherever that is
__sigsetjmp                pthread_cleanup_push expands to these four; only in system()
__pthread_register_cancel  the same
__pthread_unregister_cancel the same
__pthread_unwind_next      the same
NAMES
nm -D --undefined-only "$B/libheaptape.so" | awk '{ sub(/@.*/, "", $2); print $2 }' | sort -u >undefined
awk '{ print $1 }' undefined_allowed | sort >allowed
is "undefined and not on the list" "$(comm -23 undefined allowed)" ''

# A program with functions of the C library's names, which allocate: the shim calls none of them.
for way in preload run; do
	status=0
	case $way in
	preload) LD_PRELOAD=$B/libheaptape.so timeout -k 1 600 "$programs/replaced" >out 2>err || status=$? ;;
	run) timeout -k 1 600 "$heaptape" run -q -- "$programs/replaced" >out 2>err || status=$? ;;
	esac
	is "$way: status" "$status" 0
	is "$way: calls of what was replaced" "$(cat out)" 0
	is "$way: said" "$(cat err)" ''
done
is "the run's length makes sense" "$(query "SELECT ended_at >= started_at AND ended_at < started_at + 7200e9,
	(SELECT min(ended_ns >= started_ns AND ended_ns < 7200e9) FROM processes) FROM runs")" 1,1
recorded_whole
pass
