#!/bin/sh
# Other allocators in the process. Blocks of the C library's own (which an object loaded with
# RTLD_DEEPBIND, or somebody who looks into libc.so.6, gets) and ours may be mixed; a program's own
# allocator is said.
. "$(dirname "$0")/lib.sh"
need gcc

cat >library.c <<'END'
#include <stdlib.h>
#include <string.h>
void *lib_malloc(size_t bytes) { return malloc(bytes); }
void lib_free(void *block) { free(block); }
void *lib_realloc(void *block, size_t bytes) { return realloc(block, bytes); }
char *lib_strdup(const char *text) { return strdup(text); }
/* While it is being loaded: what the C library gives out inside of itself comes from us. */
__attribute__((constructor)) static void start(void) { free(strdup("early")); free(malloc(99)); }
END
gcc -shared -fPIC -fno-builtin -o library.so library.c || die "gcc"
identical "$programs/foreign" ./library.so
is "status" "$status" 4
is "foreign frees" "$(query "SELECT foreign_frees FROM processes")" 0
[ "$(query "SELECT count(*) FROM events WHERE kind = 'malloc' AND size_bytes = 99")" = 1 ] ||
	fail "the library's own blocks are not recorded"
identical "$programs/foreign" libc
is "status" "$status" 4
is "foreign frees" "$(query "SELECT foreign_frees FROM processes WHERE run_id = $last_run")" 54
"$heaptape" report >report.out
has "report" report.out 'foreign *54 frees of blocks of another allocator'

# A pointer that nobody gave out is misuse all the same.
echo '#include <stdlib.h>
int main(void) { static char none[64]; free(none + 16); return 0; }' >misuse.c
gcc -fno-builtin -w -o misuse misuse.c || die "gcc"
record ./misuse
is "misuse: status" "$status" 134
has "misuse" err 'free(0x.*not a block'

# A malloc of the program's own.
cat >own.c <<'END'
#include <stddef.h>
#include <stdio.h>
#include <string.h>
static char pool[1 << 20];
static size_t used;
void *malloc(size_t bytes)
{
	size_t *block = (size_t *)(void *)(pool + used);
	used += ((bytes + 15) & ~(size_t)15) + 16;
	block[0] = bytes;
	return block + 2;
}
void free(void *block) { (void)block; }
void *calloc(size_t count, size_t bytes) { return memset(malloc(count * bytes), 0, count * bytes); }
void *realloc(void *old, size_t bytes)
{
	void *block = malloc(bytes);
	if (old)
		memcpy(block, old, ((size_t *)old)[-2] < bytes ? ((size_t *)old)[-2] : bytes);
	return block;
}
int main(void)
{
	char *text = strdup("own");
	puts(text);
	free(text);
	return (text >= pool && text < pool + used) ? 3 : 1;
}
END
gcc -fno-builtin -w -o own own.c || die "gcc"
identical ./own
is "own: status" "$status" 3
record ./own
has "own" err "brings its own allocator (./own), 4 symbols not ours"
"$heaptape" report >report.out
has "own: report" report.out "this program brings its own allocator (./own), 4 symbols not ours"
is "own: row" "$(query "SELECT foreign_symbols, foreign_path FROM processes WHERE run_id = $last_run")" \
	"4,./own"

# A plug-in in a namespace of its own, by path and by name: a C library and a malloc of its own.
cat >host.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	void *plug = dlmopen(LM_ID_NEWLM, argv[argc - 1], RTLD_NOW);
	void *(*get)(size_t) = plug ? (void *(*)(size_t))dlsym(plug, "lib_malloc") : NULL;
	void (*put)(void *) = plug ? (void (*)(void *))dlsym(plug, "lib_free") : NULL;
	if (!get || !put)
		return puts(dlerror()), 1;
	put(get(100));
	return dlclose(plug) ? 2 : 4;
}
END
gcc -w -o host host.c "-Wl,-rpath,$PWD" || die "gcc"
for plug in ./library.so library.so; do
	record ./host $plug
	is "namespace: status" "$status" 4
	has "namespace: summary" err "own allocator (.*library.so)"
	"$heaptape" report >report.out
	has "namespace: report" report.out "library.so was loaded into a namespace of its own"
	is "namespace: run" "$(query "SELECT state FROM runs WHERE run_id = $last_run")" incomplete
	has "namespace: row" report.out "incomplete: some events are missing"
done
echo 'int nothing(void) { return 0; }' >bare.c
gcc -shared -nostdlib -fPIC -o bare.so bare.c || die "gcc"
record ./host ./bare.so
is "bare: status" "$status" 1
is "bare: run" "$(query "SELECT state FROM runs WHERE run_id = $last_run")" complete

# An allocator that is linked in but comes after ours, as far as C goes; only C++'s operators stay its.
echo 'int main() { delete new int; return 5; }' >operators.cc
for library in tcmalloc_minimal jemalloc mimalloc; do
	g++ -O0 -o operators operators.cc -Wl,--no-as-needed -l$library 2>/dev/null || continue
	identical ./operators
	record ./operators
	has "$library" err "own allocator (.*lib$library.*), 1 symbol not ours"
done
record "$programs/first"
grep -q 'not ours' err && fail "said without reason: $(cat err)"
pass
