/*
 * dlclose: what stacks remember about an object goes with it (shim/modules.h).
 * dlopen: who looks into the C library before us shall find us there.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "shim/foreign.h"
#include "shim/modules.h"
#include "shim/types.h"

HT_EXPORT int HT_API(dlclose)(void *handle);
HT_EXPORT void *HT_API(dlopen)(const char *file, int mode);

int HT_API(dlclose)(void *handle)
{
	static int (*real)(void *);
	int (*close)(void *) = __atomic_load_n(&real, __ATOMIC_RELAXED);
	int ret, error;

	if (!close) {
		close = (int (*)(void *))dlsym(RTLD_NEXT, "dlclose");
		if (!close) {
			errno = ENOSYS;
			return -1;
		}
		__atomic_store_n(&real, close, __ATOMIC_RELAXED);
	}
	ht_modules_unload_begin();
	ret = close(handle);
	error = errno;
	ht_modules_unload_end();
	errno = error;
	return ret;
}

typedef void *open_function(const char *, int);

/* Who asks for the C library by name asks it for functions: for free, to free what came from us. */
static bool is_libc(const char *file)
{
	const char *name = file ? strrchr(file, '/') : NULL;

	name = name ? name + 1 : file;
	return name && !strncmp(name, "libc.so", 7);
}

static __attribute__((noinline)) open_function *open_real(const char *file, int mode)
{
	static open_function *real;
	open_function *open = __atomic_load_n(&real, __ATOMIC_RELAXED);

	if (!open) {
		open = (open_function *)dlsym(RTLD_NEXT, "dlopen");
		__atomic_store_n(&real, open, __ATOMIC_RELAXED);
	}
	if ((mode & RTLD_DEEPBIND) || is_libc(file))
		ht_foreign_rename();
	return open;
}

/* The call is the last thing, and so a jump: where the file is searched for depends on the caller. */
void *HT_API(dlopen)(const char *file, int mode)
{
	return open_real(file, mode)(file, mode);
}
