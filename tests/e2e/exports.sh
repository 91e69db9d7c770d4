#!/bin/sh
# The shim exports the names it must, and nothing else: what a program can reach of malloc's and the
# pages' family is the shim's, and no name of the shim's own gets in a program's way.
. "$(dirname "$0")/lib.sh"
need nm

# The heap: the names of C23, POSIX and glibc.
cat >heap <<'NAMES'
malloc calloc realloc reallocarray free cfree free_sized free_aligned_sized
memalign aligned_alloc posix_memalign valloc pvalloc malloc_usable_size
malloc_trim mallopt mallinfo mallinfo2 malloc_stats malloc_info
__libc_malloc __libc_calloc __libc_realloc __libc_reallocarray __libc_free __libc_cfree
__libc_memalign __libc_valloc __libc_pvalloc __libc_mallopt __libc_mallinfo __posix_memalign
sbrk __sbrk brk mmap mmap64 munmap mremap madvise
NAMES

# What else stands in for libc's: a program that closes its descriptors leaves the shim's alone, one
# that ends, starts another or becomes one says so, an object that comes or goes is noticed, and so is
# a filter of system calls.
cat >guards <<'NAMES'
close close_range closefrom dup2 dup3
_exit _Exit quick_exit execv execve execveat execvp execvpe fexecve execl execle execlp
posix_spawn posix_spawnp system popen dlopen dlclose prctl syscall
NAMES

names() { tr ' ' '\n' <"$1" | sort; }

nm -D --defined-only "$B/libheaptape.so" | awk '$2 ~ /[A-Z]/ { print $3 }' | sed 's/@.*//' | sort -u >exported
names heap | comm -23 - exported >missing
is "missing" "$(cat missing)" ''
names guards | comm -23 - exported >missing
is "missing guards" "$(cat missing)" ''
cat heap guards >allowed
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

pass
