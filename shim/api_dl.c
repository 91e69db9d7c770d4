/* dlclose: what stacks remember about an object goes with it (shim/modules.h). */
#include <dlfcn.h>
#include <errno.h>

#include "shim/modules.h"
#include "shim/types.h"

HT_EXPORT int HT_API(dlclose)(void *handle);

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
