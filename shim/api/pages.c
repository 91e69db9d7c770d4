/*
 * The calls by which the program itself asks for pages: recorded as its own, otherwise the system's.
 * A call that takes pages away is recorded before it happens, so that whoever gets them next is
 * later in the record; one that gives pages, afterwards.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "shim/alloc/alloc.h"
#include "shim/alloc/altered.h"
#include "shim/alloc/page_heap.h"
#include "shim/api/malloc.h"
#include "shim/prim.h"
#include "shim/record/record.h"
#include "shim/stack/capture.h"
#include "shim/stack/code.h"
#include "shim/stack/range.h"
#include "shim/sys.h"

static bool failed(long ret)
{
	return ret < 0 && ret > -4096;
}

static bool unmap_will_fail(const void *start, size_t bytes)
{
	return bytes == 0 || (uintptr_t)start % PAGE_BYTES || bytes > (size_t)PTRDIFF_MAX;
}

HT_EXPORT void *HT_API(sbrk)(intptr_t increment)
{
	uintptr_t old, new;
	int error = ht_break_by_program(increment, false, &old, &new);

	if (ht_recording())
		ht_record_pages_at(EVENT_SBRK, old, (uint64_t[]){ new, (uint64_t)increment },
				   HT_STACK_HERE());
	if (error) {
		errno = -error;
		return (void *)-1;
	}
	return (void *)old;
}

#if !(defined(HT_UNIT_TEST) && HT_UNIT_TEST)
API_TWIN(__sbrk, sbrk)
#endif

HT_EXPORT int HT_API(brk)(void *want)
{
	uintptr_t old, new;
	int error = ht_break_by_program((intptr_t)want, true, &old, &new);

	if (ht_recording())
		ht_record_pages_at(EVENT_BRK, old, (uint64_t[]){ new, (uintptr_t)want - old },
				   HT_STACK_HERE());
	return (int)sys_result(error);
}

static inline __attribute__((always_inline)) void *map(void *want, size_t bytes, int protection,
						       int flags, int fd, off_t offset)
{
	long ret;

	if (flags & MAP_FIXED && !(flags & MAP_FIXED_NOREPLACE)) {
		ht_stack_unmapped((uintptr_t)want, bytes);
		ht_pages_altered((uintptr_t)want, bytes, ALTERED_MAPPED);
	}
	ret = sys_call6(SYS_mmap, (long)want, (long)bytes, protection, flags, fd, offset);
	if (protection & PROT_EXEC && !failed(ret))
		ht_code_forget((uintptr_t)ret, (uintptr_t)ret + bytes);
	if (ht_recording())
		ht_record_pages_at(EVENT_MMAP, failed(ret) ? 0 : (uintptr_t)ret,
				   (uint64_t[]){ bytes, (uint64_t)(uint32_t)protection << 32 |
								(uint32_t)flags },
				   HT_STACK_HERE());
	return (void *)sys_result(ret);
}

HT_EXPORT void *HT_API(mmap)(void *want, size_t bytes, int protection, int flags, int fd,
			     off_t offset)
{
	return map(want, bytes, protection, flags, fd, offset);
}

HT_EXPORT void *HT_API(mmap64)(void *want, size_t bytes, int protection, int flags, int fd,
			       off64_t offset)
{
	return map(want, bytes, protection, flags, fd, offset);
}

HT_EXPORT int HT_API(munmap)(void *start, size_t bytes)
{
	if (!unmap_will_fail(start, bytes)) {
		ht_stack_unmapped((uintptr_t)start, bytes);
		ht_pages_altered((uintptr_t)start, bytes, ALTERED_GONE);
		if (ht_recording())
			ht_record_pages_at(EVENT_MUNMAP, (uintptr_t)start, (uint64_t[]){ bytes },
					   HT_STACK_HERE());
	}
	return (int)sys_result(sys_call2(SYS_munmap, start, bytes));
}

HT_EXPORT void *HT_API(mremap)(void *old, size_t old_bytes, size_t bytes, int flags, ...)
{
	void *want = NULL;
	long ret;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_list args;

		va_start(args, flags);
		want = va_arg(args, void *);
		va_end(args);
	}
	ht_stack_unmapped((uintptr_t)old, old_bytes);
	if (flags & MREMAP_FIXED) {
		ht_stack_unmapped((uintptr_t)want, bytes);
		ht_pages_altered((uintptr_t)want, bytes, ALTERED_MAPPED);
	}
	if (!(flags & MREMAP_DONTUNMAP))
		ht_pages_altered((uintptr_t)old, old_bytes, ALTERED_GONE);
	ret = sys_call5(SYS_mremap, old, old_bytes, bytes, flags, want);
	if (failed(ret))
		ht_pages_restored((uintptr_t)old, old_bytes, ALTERED_GONE);
	else if (ret == (long)old)
		ht_pages_restored((uintptr_t)old, bytes < old_bytes ? bytes : old_bytes,
				  ALTERED_GONE);
	if (ht_recording())
		ht_record_pages_at(EVENT_MREMAP, failed(ret) ? 0 : (uintptr_t)ret,
				   (uint64_t[]){ bytes, (uintptr_t)old, old_bytes },
				   HT_STACK_HERE());
	return (void *)sys_result(ret);
}

HT_EXPORT int HT_API(madvise)(void *start, size_t bytes, int advice)
{
	long ret;

	if (ht_recording())
		ht_record_pages_at(EVENT_MADVISE, (uintptr_t)start,
				   (uint64_t[]){ bytes, (uint32_t)advice }, HT_STACK_HERE());
	ret = sys_call3(SYS_madvise, start, bytes, advice);
	if (!ret && (advice == MADV_DONTFORK || advice == MADV_WIPEONFORK))
		ht_pages_altered((uintptr_t)start, bytes, ALTERED_FORK);
	if (!ret && (advice == MADV_DOFORK || advice == MADV_KEEPONFORK))
		ht_pages_restored((uintptr_t)start, bytes, ALTERED_FORK);
	return (int)sys_result(ret);
}

/* A program that handles SIGSEGV may want to know of the first write to pages of the heap, whosever
 * it is. */
static bool handles_faults(void)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} action = { 0 };

	return prim_may(PRIM_HANDLER) &&
	       sys_call4(SYS_rt_sigaction, SIGSEGV, 0, &action, sizeof(action.mask)) == 0 &&
	       (uintptr_t)action.handler > 1;
}

HT_EXPORT int HT_API(mprotect)(void *start, size_t bytes, int protection)
{
	const int both = PROT_READ | PROT_WRITE;
	long ret;

	ht_code_forget((uintptr_t)start, (uintptr_t)start + bytes);
	ret = sys_call3(SYS_mprotect, start, bytes, protection);
	if (!ret && (protection & both) == both)
		ht_pages_restored((uintptr_t)start, bytes, ALTERED_BARRED);
	else if (!ret && !handles_faults())
		ht_pages_altered((uintptr_t)start, bytes, ALTERED_BARRED);
	return (int)sys_result(ret);
}

/* What is attached there can be detached at any time: it counts as gone, so that nothing is mapped
 * over what comes after it. */
HT_EXPORT void *HT_API(shmat)(int id, const void *want, int flags)
{
	struct shmid_ds segment = { 0 };

	if (flags & SHM_REMAP && sys_call3(SYS_shmctl, id, IPC_STAT, &segment) == 0)
		ht_pages_altered((uintptr_t)want, segment.shm_segsz, ALTERED_GONE);
	return (void *)sys_result(sys_call3(SYS_shmat, id, want, flags));
}
