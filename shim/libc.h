/*
 * The C library's own functions, found in its table of symbols: under their names the program, or
 * another object that it loads, may have functions of its own. None of these allocates for itself or
 * calls what can be replaced.
 *
 * And the kernel's clock, which is found likewise. No system call where the kernel offers better.
 */
#ifndef HEAPTAPE_SHIM_LIBC_H
#define HEAPTAPE_SHIM_LIBC_H

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <time.h>

#include "shim/common.h"

int __close(int fd);
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso);
#if !__GLIBC_PREREQ(2, 35)
struct dl_find_object;
int _dl_find_object(void *address, struct dl_find_object *ret);
#endif

#define LIBC_FUNCTIONS(F)                \
	F(__close)                       \
	F(__register_atfork)             \
	F(_dl_find_object)               \
	F(abort)                         \
	F(dl_iterate_phdr)               \
	F(dladdr)                        \
	F(dladdr1)                       \
	F(dlerror)                       \
	F(dlinfo)                        \
	F(dlsym)                         \
	F(fprintf)                       \
	F(fputs)                         \
	F(getauxval)                     \
	F(gnu_get_libc_version)          \
	F(on_exit)                       \
	F(posix_spawnattr_destroy)       \
	F(posix_spawnattr_init)          \
	F(posix_spawnattr_setflags)      \
	F(posix_spawnattr_setsigdefault) \
	F(posix_spawnattr_setsigmask)    \
	F(pthread_key_create)            \
	F(pthread_setspecific)           \
	F(strerrordesc_np)               \
	F(waitpid)

struct libc {
#define LIBC_POINTER(name) __typeof__(name) *name;
	LIBC_FUNCTIONS(LIBC_POINTER)
#undef LIBC_POINTER
	long (*clock_gettime)(clockid_t,
			      struct timespec *); /* the kernel's; NULL: by system call */
	bool found;
};

extern struct libc ht_libc_found;
void ht_libc_find(void);

/* Callable at any time. What an old C library does not have is NULL. */
static inline const struct libc *ht_libc(void)
{
	if (unlikely(!__atomic_load_n(&ht_libc_found.found, __ATOMIC_ACQUIRE)))
		ht_libc_find();
	return &ht_libc_found;
}

#endif
