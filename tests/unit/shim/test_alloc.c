/* The allocator under its names out of the way (ht_api_*), checked by its own checker. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shim/alloc/alloc.h"
#include "shim/api/malloc.h"
#include "shim/alloc/check.h"
#include "shim/misuse/foreign.h"
#include "shim/alloc/heap.h"
#include "shim/misuse/misuse.h"

static void check_all(void)
{
	ht_check_heap(ht_heap);
	ht_check_page_heap();
}

/* Must run first: the heap is new. */
static void starts_with_32_pages(void **state)
{
	void *block = ht_api_malloc(64);

	(void)state;
	assert_non_null(block);
	assert_int_equal(ht_page_heap.system_pages, HEAP_FIRST_PAGES);
	assert_int_equal(ht_page_heap.break_end - ht_page_heap.break_start,
			 HEAP_FIRST_PAGES * PAGE_BYTES);
	assert_true((uintptr_t)block >= ht_page_heap.break_start &&
		    (uintptr_t)block < ht_page_heap.break_end);
	check_all();
	ht_api_free(block);
	check_all();
}

static void zero_sizes(void **state)
{
	void *one = ht_api_malloc(0), *two = ht_api_calloc(0, 7), *three = ht_api_malloc(1);

	(void)state;
	assert_non_null(one);
	assert_non_null(two);
	assert_ptr_not_equal(one, two);
	assert_null(ht_api_realloc(three, 0));
	ht_api_free(one);
	ht_api_free(two);
	ht_api_free(NULL);
	assert_int_equal(ht_api_malloc_usable_size(NULL), 0);
}

static void impossible_sizes(void **state)
{
	size_t sizes[] = { SIZE_MAX, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX };
	void *block = ht_api_malloc(10), *ret = &ret;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		errno = 0;
		assert_null(ht_api_malloc(sizes[i]));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(ht_api_realloc(block, sizes[i]));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(ht_api_memalign(64, sizes[i]));
		assert_int_equal(errno, ENOMEM);
		errno = 4711;
		assert_int_equal(ht_api_posix_memalign(&ret, 64, sizes[i]), ENOMEM);
		assert_int_equal(errno, ENOMEM);
		assert_ptr_equal(ret, &ret);
	}
	errno = 0;
	assert_null(ht_api_calloc(SIZE_MAX / 2, 3));
	assert_int_equal(errno, ENOMEM);
	errno = 0;
	assert_null(ht_api_reallocarray(block, SIZE_MAX / 2, 3));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(ht_api_posix_memalign(&ret, 24, 8), EINVAL);
	assert_int_equal(ht_api_posix_memalign(&ret, 4, 8), EINVAL);
	ht_api_free(block);
	check_all();
}

static void alignments(void **state)
{
	(void)state;
	for (size_t alignment = 1; alignment <= (size_t)4 << 20; alignment *= 2) {
		for (size_t size = 0; size < 100000; size = size * 3 + 1) {
			void *block = ht_api_memalign(alignment, size);

			assert_non_null(block);
			assert_int_equal((uintptr_t)block % alignment, 0);
			assert_int_equal((uintptr_t)block % BLOCK_ALIGN, 0);
			assert_true(ht_api_malloc_usable_size(block) >= size);
			memset(block, 1, size);
			ht_api_free(block);
		}
	}
	check_all();
}

static void calloc_zeroes_used_pages(void **state)
{
	(void)state;
	for (size_t size = 1; size < 3000000; size = size * 2 + 5) {
		unsigned char *block = ht_api_malloc(size);

		memset(block, 0xff, size);
		ht_api_free(block);
		block = ht_api_calloc(1, size);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(block[i], 0);
		ht_api_free(block);
	}
	check_all();
}

static void realloc_keeps_contents(void **state)
{
	size_t size = 1, next;
	unsigned char *block = ht_api_malloc(size);
	void *wall = NULL;

	(void)state;
	block[0] = 0;
	for (; size < (size_t)80 << 20; size = next) {
		next = size + size / 2 + 1;
		block = ht_api_realloc(block, next);
		assert_non_null(block);
		for (size_t i = 0; i < size; i += size / 64 + 1)
			assert_int_equal(block[i], (unsigned char)(i * 7));
		for (size_t i = 0; i < next; i++)
			block[i] = (unsigned char)(i * 7);
		/* Now and then something stands in the way. */
		ht_api_free(wall);
		wall = ht_api_malloc(next / 3);
	}
	while (size > 1) {
		size = size / 3 + 1 < size ? size / 3 + 1 : 1;
		block = ht_api_realloc(block, size);
		assert_non_null(block);
		for (size_t i = 0; i < size; i += size / 64 + 1)
			assert_int_equal(block[i], (unsigned char)(i * 7));
	}
	ht_api_free(wall);
	ht_api_free(block);
	check_all();
}

static void pages_go_back(void **state)
{
	size_t count = 200000, most;
	void **blocks = calloc(count, sizeof(*blocks));

	(void)state;
	for (size_t i = 0; i < count; i++)
		blocks[i] = memset(ht_api_malloc(500), 1, 500);
	ht_api_malloc_trim(0);
	ht_page_heap.most_run_pages = ht_page_heap.system_pages;
	/* As in a program that does this once: nothing was learned from tests before. */
	ht_page_heap.patience = 0;
	ht_page_heap.given_pages = 0;
	ht_page_heap.retouched_pages = 0;
	ht_page_heap.epoch_pages = 0;
	most = ht_page_heap.system_pages;
	assert_true(most > 500 * count / PAGE_BYTES);
	check_all();
	for (size_t i = 0; i < count; i++)
		ht_api_free(blocks[i]);
	check_all();
	/* What is touched and free falls without being asked to, and to nothing when asked. */
	assert_true(ht_page_heap.free_dirty_pages < most / 2);
	ht_api_malloc_trim(0);
	assert_true(ht_page_heap.free_dirty_pages <= HEAP_FIRST_PAGES);
	check_all();
	free(blocks);
}

static void *allocate_all(void *context)
{
	void **blocks = context;

	for (size_t i = 0; i < 3000; i++)
		blocks[i] = memset(ht_api_malloc(100), 5, 100);
	return NULL;
}

static void *free_all(void *context)
{
	void **blocks = context;

	for (size_t i = 0; i < 3000; i++)
		ht_api_free(blocks[i]);
	return NULL;
}

static void run(void *(*work)(void *), void *context)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, work, context), 0);
	pthread_join(thread, NULL);
}

/* A thread ends with live blocks; others free them; nothing is left and nothing piles up. */
static void ended_threads_leave_nothing(void **state)
{
	static void *blocks[3000];
	size_t used = 0;

	(void)state;
	for (size_t round = 0; round < 300; round++) {
		run(allocate_all, blocks);
		check_all();
		if (round % 2)
			run(free_all, blocks);
		else
			free_all(blocks);
		check_all();
		if (round == 10)
			used = ht_page_heap.system_pages - ht_page_heap.free_pages;
	}
	assert_true(ht_page_heap.system_pages - ht_page_heap.free_pages <= used + 16);
	for (unsigned class = 1; class <= CLASS_COUNT; class ++)
		assert_int_equal(ht_page_heap.abandoned_count[class], 0);
}

static void misuse_is_noticed(void **state)
{
	static char foreign[128] __attribute__((aligned(64))); /* nothing like a block of libc's */
	char *small = ht_api_malloc(100), *other = ht_api_malloc(100);
	char *large = ht_api_malloc(200000);
	uint64_t before = ht_misuses;

	(void)state;
	setenv("HEAPTAPE_ON_ERROR", "continue", 1);
	ht_api_free(small + 16);
	ht_api_free(small + 1);
	ht_api_free(large + PAGE_BYTES);
	assert_int_equal(ht_misuses - before, 3);
	/* Where another allocator than libc's lies behind ours (a sanitiser's), it is asked. */
	if (!ht_foreign_owns(foreign + 64)) {
		ht_api_free(foreign + 64);
		ht_api_free((void *)0xdeadbeefcafef0f0);
		assert_int_equal(ht_misuses - before, 5);
		before += 2;
	}
	ht_api_free(small);
	ht_api_free(small);
	assert_int_equal(ht_misuses - before, 4);
	ht_api_free(large);
	ht_api_free(large);
	assert_int_equal(ht_misuses - before, 5);
	ht_api_free(other);
	check_all();
}

/* Last: the break is not the allocator's afterwards. */
static void program_moves_the_break(void **state)
{
	uintptr_t old, new, ours;
	char *mine;
	void *blocks[50];

	(void)state;
	assert_int_equal(ht_break_by_program(8192, false, &old, &new), 0);
	assert_int_equal(new - old, 8192);
	mine = (char *)old;
	memset(mine, 0x5a, 8192);
	ours = ht_page_heap.break_end;
	for (size_t i = 0; i < 50; i++) {
		blocks[i] = memset(ht_api_malloc(300000), 1, 300000);
		assert_true((char *)blocks[i] + 300000 <= mine || (char *)blocks[i] >= mine + 8192);
	}
	for (size_t i = 0; i < 50; i++)
		ht_api_free(blocks[i]);
	ht_api_malloc_trim(0);
	assert_int_equal(ht_page_heap.break_end, ours);
	for (size_t i = 0; i < 8192; i++)
		assert_int_equal(mine[i], 0x5a);
	assert_int_equal(ht_break_by_program((intptr_t)old, true, &new, &new), 0);
	check_all();
}

/* As a signal handler finds the heap that interrupted malloc or free. */
static void handlers_leave_a_taken_heap_alone(void **state)
{
	struct heap *heap = ht_heap;
	void *before = ht_api_malloc(48), *inside;
	struct span *span = span_of(before);
	uint32_t used = span->used;

	(void)state;
	assert_ptr_equal(span->owner, heap);
	heap->taken = (uintptr_t)__builtin_frame_address(0) + (64 << 10);
	inside = memset(ht_api_malloc(48), 1, 48);
	assert_ptr_not_equal(span_of(inside)->owner, heap);
	assert_ptr_equal(ht_heap, heap);
	ht_api_free(before);
	assert_int_equal(span->used, used);
	assert_int_equal(remote_count(remote_load(span)), 1);
	ht_api_malloc_trim(0);
	heap->taken = 0;
	ht_api_free(inside);
	check_all();
}

/* A handler jumped out of malloc: nothing but the block in hand is lost. */
static void a_heap_that_was_left_is_used_again(void **state)
{
	struct heap *heap = ht_heap;
	uint32_t used;
	void *block;

	(void)state;
	heap->taken = (uintptr_t)__builtin_frame_address(0) - (64 << 10);
	block = ht_api_malloc(48);
	assert_ptr_equal(span_of(block)->owner, heap);
	assert_int_equal(heap->taken, 0);
	heap->taken = (uintptr_t)__builtin_frame_address(0) - (64 << 10);
	used = span_of(block)->used;
	ht_api_free(block);
	assert_int_equal(heap->taken, 0);
	assert_int_equal(span_of(block)->used, used - 1);
	check_all();
	/* The same in the middle of its lists: nobody knows what they are like. */
	heap->taken = ((uintptr_t)__builtin_frame_address(0) - (64 << 10)) | HEAP_REARRANGED;
	block = ht_api_malloc(48);
	assert_ptr_not_equal(span_of(block)->owner, heap);
	assert_ptr_equal(span_of(block)->owner, ht_heap);
	ht_api_free(block);
	check_all();
}

/* As a signal handler finds the page heap that interrupted its lock's holder. */
static void handlers_need_no_page_heap(void **state)
{
	const size_t sizes[] = { 0, 24, 5000, 100000, 40u << 20 };
	void *blocks[5], *aligned;

	(void)state;
	ht_page_heap_held = true;
	for (size_t i = 0; i < 5; i++) {
		/* Of a class that has no span yet. */
		blocks[i] = ht_api_malloc(i == 2 ? 31000 : sizes[i]);
		assert_non_null(blocks[i]);
		memset(blocks[i], (int)i, sizes[i]);
	}
	aligned = ht_api_memalign(1 << 16, 1000);
	assert_int_equal((uintptr_t)aligned % (1 << 16), 0);
	blocks[2] = ht_api_realloc(blocks[2], 200000);
	for (size_t i = 0; i < 200000; i++)
		assert_int_equal(((char *)blocks[2])[i], i < 5000 ? 2 : 0);
	ht_api_free(blocks[3]);
	ht_page_heap_held = false;
	check_all();
	ht_api_free(blocks[0]);
	ht_api_free(blocks[1]);
	ht_api_free(blocks[2]);
	ht_api_free(blocks[4]);
	ht_api_free(aligned);
	check_all();
}

/* Blocks of all kinds, by a thread that gets its heap here and ends. */
static void *use_all_kinds(void *context)
{
	const size_t sizes[] = { 1, 24, 5000, 31000, 100000, 1 << 20, 5 << 20, 40 << 20 };
	void *blocks[8];

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 8; i++) {
			blocks[i] = ht_api_calloc(1, sizes[i]);
			assert_non_null(blocks[i]);
			memset(blocks[i], (int)i, sizes[i]);
		}
		for (size_t i = 0; i < 8; i++) {
			blocks[i] = ht_api_realloc(blocks[i], sizes[i] * 2);
			assert_int_equal(((char *)blocks[i])[sizes[i] - 1], i);
			ht_api_free(blocks[i]);
		}
	}
	return context;
}

/* A fork may take as long as it likes: nobody waits for it but for a moment. */
static void nobody_waits_for_a_fork(void **state)
{
	pthread_t thread;

	(void)state;
	ht_alloc_fork_prepare();
	use_all_kinds(NULL);
	assert_int_equal(pthread_create(&thread, NULL, use_all_kinds, NULL), 0);
	pthread_join(thread, NULL);
	assert_int_not_equal(ht_page_heap.alone_pages, 0);
	ht_alloc_fork_prepare(); /* another one within */
	ht_alloc_fork_parent();
	assert_int_equal(ht_page_heap.forks, 1);
	ht_alloc_fork_parent();
	assert_int_equal(ht_page_heap.forks, 0);
	use_all_kinds(NULL);
	for (int i = 0; i < 100; i++)
		ht_api_free(ht_api_malloc(100000));
	assert_int_equal(pthread_create(&thread, NULL, use_all_kinds, NULL), 0);
	pthread_join(thread, NULL);
	assert_int_equal(ht_page_heap.alone_pages, 0);
	check_all();
}

static uint32_t holds;

static void *hold_it(void *context)
{
	assert_true(ht_page_heap_lock());
	__atomic_store_n(&holds, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&holds, __ATOMIC_ACQUIRE))
		sched_yield();
	ht_page_heap_unlock();
	return context;
}

/* No handler is called, and the heap is caught in the middle of somebody's work. */
static void a_copy_behind_our_back_goes_on(void **state)
{
	pthread_t thread;
	int status = -1;
	pid_t pid;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, hold_it, NULL), 0);
	while (!__atomic_load_n(&holds, __ATOMIC_ACQUIRE))
		sched_yield();
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		use_all_kinds(NULL);
		ht_alloc_fork_prepare();
		ht_alloc_fork_parent();
		use_all_kinds(NULL);
		_exit(ht_page_heap_lock() ? 4 : 3);
	}
	__atomic_store_n(&holds, 0, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 3 << 8);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		use_all_kinds(NULL);
		check_all();
		_exit(ht_page_heap_lock() ? 3 : 4);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 3 << 8);
}

/* One block at a time, again and again: its span stays, until the pages are needed elsewhere. */
static void a_span_given_up_again_and_again_is_kept(void **state)
{
	static const size_t sizes[] = { 4096, 8192, 16384, 32768 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct span *span = NULL, *last = NULL;

		for (unsigned round = 0; round < 20; round++) {
			void *block = ht_api_malloc(sizes[i]);

			last = span;
			span = span_of(block);
			ht_api_free(block);
		}
		assert_ptr_equal(span, last);
		assert_int_equal(span->state, SPAN_SMALL);
		assert_ptr_equal(ht_heap->classes[size_class_of(sizes[i])].partial.first, span);
		ht_heap_flush();
		assert_null(ht_heap->classes[size_class_of(sizes[i])].partial.first);
	}
	check_all();
}

/* A heap that is filled and emptied in turn soon keeps its pages: hardly any is touched anew. Should the machine
 * have been busy with other things for a second, it is forgotten. */
static void pages_needed_again_are_kept(void **state)
{
	static void *blocks[1600000];
	size_t count = sizeof(blocks) / sizeof(blocks[0]), pages = count * 64 / PAGE_BYTES;
	struct rusage before, now;
	unsigned kept = 0;

	(void)state;
	getrusage(RUSAGE_SELF, &before);
	for (unsigned round = 0; round < 24 && kept < 6; round++) {
		for (size_t i = 0; i < count; i++) {
			blocks[i] = ht_api_malloc(16 + (i * 7919 + round) % 112);
			*(char *)blocks[i] = 1;
		}
		for (size_t i = 0; i < count; i++)
			ht_api_free(blocks[i]);
		getrusage(RUSAGE_SELF, &now);
		kept = now.ru_minflt - before.ru_minflt < (long)pages / 4 ? kept + 1 : 0;
		before = now;
	}
	assert_int_equal(kept, 6);
	check_all();
}

/* A huge block that grows a little at a time is moved a few times only, however it is interleaved with
 * another. */
static void huge_blocks_grow_in_place(void **state)
{
	size_t step = 65536, moved = 0, mib = (size_t)1 << 20;
	uint64_t *blocks[2] = { NULL };

	(void)state;
	for (size_t bytes = step; bytes <= 160 * mib; bytes += step)
		for (unsigned i = 0; i < 2; i++) {
			uint64_t *grown = ht_api_realloc(blocks[i], bytes);

			assert_non_null(grown);
			moved += grown != blocks[i];
			blocks[i] = grown;
			if (bytes % mib == 0)
				grown[bytes / sizeof(*grown) - 1] = bytes + i;
		}
	assert_true(moved < 100);
	for (unsigned i = 0; i < 2; i++) {
		for (size_t bytes = mib; bytes <= 160 * mib; bytes += mib)
			assert_int_equal(blocks[i][bytes / sizeof(*blocks[i]) - 1], bytes + i);
		ht_api_free(blocks[i]);
	}
	check_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_with_32_pages),
		cmocka_unit_test(a_span_given_up_again_and_again_is_kept),
		cmocka_unit_test(zero_sizes),
		cmocka_unit_test(impossible_sizes),
		cmocka_unit_test(alignments),
		cmocka_unit_test(calloc_zeroes_used_pages),
		cmocka_unit_test(realloc_keeps_contents),
		cmocka_unit_test(pages_go_back),
		cmocka_unit_test(pages_needed_again_are_kept),
		cmocka_unit_test(huge_blocks_grow_in_place),
		cmocka_unit_test(ended_threads_leave_nothing),
		cmocka_unit_test(misuse_is_noticed),
		cmocka_unit_test(program_moves_the_break),
		cmocka_unit_test(handlers_leave_a_taken_heap_alone),
		cmocka_unit_test(handlers_need_no_page_heap),
		cmocka_unit_test(a_heap_that_was_left_is_used_again),
		cmocka_unit_test(nobody_waits_for_a_fork),
		cmocka_unit_test(a_copy_behind_our_back_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
