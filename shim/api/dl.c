/*
 * dlclose: what stacks remember about an object goes with it (shim/stack/modules.h).
 * dlopen: who looks into the C library before us shall find us there, and a file that is deleted as soon
 * as it is loaded shall not lose its names.
 * dlmopen: a namespace of its own has a C library of its own, whose blocks are not recorded.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "shim/alloc/types.h"
#include "shim/libc.h"
#include "shim/misuse/foreign.h"
#include "shim/stack/modules.h"

HT_EXPORT int HT_API(dlclose)(void *handle);
HT_EXPORT void *HT_API(dlopen)(const char *file, int mode);
HT_EXPORT void *HT_API(dlmopen)(Lmid_t namespace, const char *file, int mode);

int HT_API(dlclose)(void *handle)
{
	static int (*real)(void *);
	int (*close)(void *) = __atomic_load_n(&real, __ATOMIC_RELAXED);
	int ret, error;

	if (!close) {
		close = (int (*)(void *))ht_libc()->dlsym(RTLD_NEXT, "dlclose");
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
		open = (open_function *)ht_libc()->dlsym(RTLD_NEXT, "dlopen");
		__atomic_store_n(&real, open, __ATOMIC_RELAXED);
	}
	if ((mode & RTLD_DEEPBIND) || is_libc(file))
		ht_foreign_rename();
	if (file && strchr(file, '/') && !(mode & RTLD_NOLOAD))
		ht_module_offer(file);
	return open;
}

/* The call is the last thing, and so a jump: where the file is searched for depends on the caller. */
void *HT_API(dlopen)(const char *file, int mode)
{
	return open_real(file, mode)(file, mode);
}

typedef void *open_namespace_function(Lmid_t, const char *, int);

static __attribute__((noinline)) open_namespace_function *open_namespace_real(void)
{
	static open_namespace_function *real;
	open_namespace_function *open = __atomic_load_n(&real, __ATOMIC_RELAXED);

	if (!open) {
		open = (open_namespace_function *)ht_libc()->dlsym(RTLD_NEXT, "dlmopen");
		__atomic_store_n(&real, open, __ATOMIC_RELAXED);
	}
	return open;
}

/* Where the file is searched for may depend on the caller: then the call is a jump here, too, and
 * what is loaded is told beforehand. */
void *HT_API(dlmopen)(Lmid_t namespace, const char *file, int mode)
{
	open_namespace_function *real = open_namespace_real();
	void *handle;
	int error;

	if (namespace == LM_ID_BASE || !file || !strchr(file, '/') || strchr(file, '$')) {
		if (namespace != LM_ID_BASE && file)
			ht_foreign_namespace(NULL, file);
		return real(namespace, file, mode);
	}
	handle = real(namespace, file, mode);
	error = errno;
	if (handle)
		ht_foreign_namespace(handle, file);
	errno = error;
	return handle;
}
