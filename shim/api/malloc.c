/*
 * The names of malloc's family, as the program sees them.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

#include "shim/alloc/alloc.h"
#include "shim/alloc/heap.h"
#include "shim/api/malloc.h"
#include "shim/api/traced.h"
#include "shim/misuse/foreign.h"
#include "shim/misuse/guarded.h"
#include "shim/record/resume.h"

static __attribute__((noinline, cold)) void *no_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

static __attribute__((noinline)) void *malloc_slow(size_t size_bytes)
{
	struct span *span;
	void *block = block_take(size_bytes, &span);

	return likely(block != NULL) ? block : no_memory();
}

HT_EXPORT void *HT_API(malloc)(size_t size_bytes)
{
	struct span *span;
	void *block;

	if (unlikely(ht_traced()))
		return malloc_recorded(size_bytes);
	block = block_take_first(size_bytes, &span);
	return likely(block != NULL) ? block : malloc_slow(size_bytes);
}

/* Everything but a block of the calling thread's own that was never recorded. */
static __attribute__((noinline)) void free_other(void *block)
{
	struct span *span = block_to_free(block);
	struct block_meta *meta;

	if (!span)
		return;
	if (unlikely(ht_resume_overtakes(span, block))) {
		free_recorded(block);
		return;
	}
	meta = span_meta_if_any(span, block);
	if (meta)
		meta->ticks = 0;
	block_release(span, block);
}

HT_EXPORT void HT_API(free)(void *block)
{
	struct heap *heap;
	struct span *span;

	if (unlikely(ht_traced())) {
		free_recorded(block);
		return;
	}
	heap = ht_heap;
	span = span_of(block);
	if (likely(span && __atomic_load_n(&span->fast_owner, __ATOMIC_RELAXED) == heap &&
		   !heap->taken && block_is_start(span, block) &&
		   !(ht_look_at_marks ? block_is_marked(block) : block == span->free)))
		block_release_own(heap, span, block);
	else
		free_other(block);
}

HT_EXPORT void *HT_API(calloc)(size_t count, size_t size_bytes)
{
	struct span *span;
	size_t bytes;
	void *block;

	if (unlikely(ht_traced()))
		return calloc_recorded(count, size_bytes);
	if (unlikely(__builtin_mul_overflow(count, size_bytes, &bytes)))
		return no_memory();
	block = block_take_zeroed(bytes, &span);
	return likely(block != NULL) ? block : no_memory();
}

/* A recorded block that is resized while recording is off says so when it is listed. */
static __attribute__((noinline)) void resized(struct span *span, void *block, size_t size_bytes)
{
	struct block_meta *meta = span_meta_if_any(span, block);

	if (meta->ticks)
		meta->site = meta_site(size_bytes, meta_thread(meta->site), meta_stack(meta->site));
}

static void *realloc_bare(void *old, size_t size_bytes)
{
	struct span *span, *old_span;
	void *block;
	size_t copy;

	if (!old) {
		block = block_take(size_bytes, &span);
		return likely(block != NULL) ? block : no_memory();
	}
	old_span = block_to_realloc(old);
	if (unlikely(!old_span))
		return ht_foreign_realloc(old, size_bytes);
	if (size_bytes == 0) {
		free_other(old);
		return NULL;
	}
	if (block_resize(old_span, old, size_bytes)) {
		if (unlikely(old_span->meta))
			resized(old_span, old, size_bytes);
		block_trim(old_span);
		return old;
	}
	block = block_take_moved(old_span, size_bytes, &span);
	if (unlikely(!block))
		return no_memory();
	copy = span_usable(old_span) < size_bytes ? span_usable(old_span) : size_bytes;
	block_copy(span, block, old_span, old, copy);
	free_other(old);
	return block;
}

HT_EXPORT void *HT_API(realloc)(void *old, size_t size_bytes)
{
	if (unlikely(ht_traced()))
		return realloc_recorded(old, size_bytes);
	return realloc_bare(old, size_bytes);
}

HT_EXPORT void *HT_API(reallocarray)(void *old, size_t count, size_t size_bytes)
{
	size_t bytes;

	/* Refused, and recorded as such, like any request beyond PTRDIFF_MAX. */
	if (unlikely(__builtin_mul_overflow(count, size_bytes, &bytes)))
		bytes = SIZE_MAX;
	if (unlikely(ht_traced()))
		return realloc_recorded(old, bytes);
	return realloc_bare(old, bytes);
}

static inline void *take_aligned(size_t alignment, size_t size_bytes)
{
	struct span *span;
	void *block = block_take_aligned(alignment, size_bytes, &span);

	return likely(block != NULL) ? block : no_memory();
}

/* As glibc does: an alignment that is no power of two is rounded up to one. */
static size_t round_alignment(size_t alignment)
{
	if (alignment <= BLOCK_ALIGN)
		return BLOCK_ALIGN;
	if ((alignment & (alignment - 1)) == 0)
		return alignment;
	return (size_t)1 << (64 - __builtin_clzl(alignment));
}

HT_EXPORT void *HT_API(memalign)(size_t alignment, size_t size_bytes)
{
	if (unlikely(alignment > SIZE_MAX / 2 + 1)) {
		errno = EINVAL;
		return NULL;
	}
	alignment = round_alignment(alignment);
	if (unlikely(ht_traced()))
		return memalign_recorded(alignment, size_bytes);
	return take_aligned(alignment, size_bytes);
}

/* C23 and POSIX: an alignment that is none is refused. The size need not be a multiple of it. */
HT_EXPORT void *HT_API(aligned_alloc)(size_t alignment, size_t size_bytes)
{
	if (unlikely(alignment == 0 || (alignment & (alignment - 1)) != 0)) {
		errno = EINVAL;
		return NULL;
	}
	if (unlikely(ht_traced()))
		return memalign_recorded(alignment, size_bytes);
	return take_aligned(alignment, size_bytes);
}

HT_EXPORT int HT_API(posix_memalign)(void **ret, size_t alignment, size_t size_bytes)
{
	struct span *span;
	void *block;

	if (alignment == 0 || alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0)
		return EINVAL;
	if (unlikely(ht_traced()))
		return posix_memalign_recorded(ret, alignment, size_bytes);
	block = block_take_aligned(alignment, size_bytes, &span);
	if (unlikely(!block))
		return errno = ENOMEM; /* POSIX leaves errno open; glibc sets it */
	*ret = block;
	return 0;
}

HT_EXPORT void *HT_API(valloc)(size_t size_bytes)
{
	if (unlikely(ht_traced()))
		return memalign_recorded(PAGE_BYTES, size_bytes);
	return take_aligned(PAGE_BYTES, size_bytes);
}

HT_EXPORT void *HT_API(pvalloc)(size_t size_bytes)
{
	/* Refused, and recorded as such, before the rounding overflows. */
	size_bytes = size_bytes > PTRDIFF_MAX ? SIZE_MAX : PAGES_OF(size_bytes) * PAGE_BYTES;
	if (unlikely(ht_traced()))
		return memalign_recorded(PAGE_BYTES, size_bytes);
	return take_aligned(PAGE_BYTES, size_bytes);
}

HT_EXPORT size_t HT_API(malloc_usable_size)(void *block)
{
	struct span *span = span_of(block);

	if (unlikely(block == HT_OWN_PROBE))
		return HT_OWN_ANSWER;
	if (unlikely(!span || !block_looks_live(span, block)))
		span = ht_block_checked(block, "malloc_usable_size");
	if (unlikely(ht_guard_on && span))
		return ht_guarded_size(span, block);
	if (likely(span))
		return span_usable(span);
	return block && ht_foreign_owns(block) ? ht_foreign_usable(block) : 0;
}

#if !(defined(HT_UNIT_TEST) && HT_UNIT_TEST)
#define TWINS(TWIN)                             \
	TWIN(cfree, free)                       \
	TWIN(__libc_malloc, malloc)             \
	TWIN(__libc_free, free)                 \
	TWIN(__libc_cfree, free)                \
	TWIN(__libc_calloc, calloc)             \
	TWIN(__libc_realloc, realloc)           \
	TWIN(__libc_reallocarray, reallocarray) \
	TWIN(__libc_memalign, memalign)         \
	TWIN(__libc_valloc, valloc)             \
	TWIN(__libc_pvalloc, pvalloc)           \
	TWIN(__posix_memalign, posix_memalign)
TWINS(API_TWIN)

size_t ht_own_usable_size(void *block)
	__attribute__((visibility("hidden"), alias("malloc_usable_size"),
		       copy(malloc_usable_size)));

void free_sized(void *block, size_t size_bytes) __attribute__((visibility("default")));
void free_aligned_sized(void *block, size_t alignment, size_t size_bytes)
	__attribute__((visibility("default")));

/* C23: the sizes are a promise we need not take up. */
void free_sized(void *block, size_t size_bytes)
{
	(void)size_bytes;
	free(block);
}

void free_aligned_sized(void *block, size_t alignment, size_t size_bytes)
{
	(void)alignment;
	(void)size_bytes;
	free(block);
}
#endif
