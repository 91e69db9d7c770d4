/* Blocks freed by other threads than the one whose heap they are of: the remote list, frozen spans,
 * spans that outlive their thread, and the moments when two threads look at one of them. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shim/alloc/alloc.h"
#include "shim/alloc/check.h"
#include "shim/alloc/heap.h"
#include "shim/alloc/page_heap.h"
#include "shim/record/record.h"
#include "shim/alloc/span.h"

#define BLOCK_BYTES 3000 /* few to a span, of a class that nothing else here uses */
#define MOST 4000

static void *blocks[MOST];
static size_t block_count;

static int set_up(void **state)
{
	static const uint32_t off;

	(void)state;
	ht_control = &off;
	block_count = 0;
	return 0;
}

static struct class_spans *spans_of(struct heap *heap)
{
	return &heap->classes[size_class_of(BLOCK_BYTES)];
}

static void take(size_t count)
{
	struct span *span;

	for (size_t i = 0; i < count; i++) {
		blocks[block_count] = block_take(BLOCK_BYTES, &span);
		assert_non_null(blocks[block_count++]);
	}
}

static void give(void *block)
{
	struct span *span = block_to_free(block);

	assert_non_null(span);
	block_release(span, block);
}

static void in_thread(void *(*work)(void *), void *context)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, work, context), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void *its[MOST]; /* blocks of the span at hand, then NULL */

/* Takes blocks until a span is in the full list, which is returned; its blocks go into its[]. */
static struct span *fill_one(void)
{
	struct span *span;
	size_t count = 0;

	do {
		take(1);
		span = spans_of(ht_heap)->full.last;
	} while (!span || span->state == SPAN_HUSK);
	for (size_t i = 0; i < block_count; i++)
		if (blocks[i] && span_of(blocks[i]) == span) {
			its[count++] = blocks[i];
			blocks[i] = NULL;
		}
	its[count] = NULL;
	assert_int_equal(count, span->capacity);
	return span;
}

static void give_all(void)
{
	for (size_t i = 0; i < block_count; i++)
		if (blocks[i])
			give(blocks[i]);
	block_count = 0;
	ht_heap_flush();
	ht_check_heap(ht_heap);
	ht_check_page_heap();
}

static void *give_those(void *context)
{
	void **from = context;

	for (size_t i = 0; from[i]; i++)
		give(from[i]);
	return NULL;
}

static void others_free_the_last_block_of_a_full_span(void **state)
{
	struct span *span = fill_one();

	(void)state;
	in_thread(give_those, its);
	/* Its pages went back though its owner did nothing; the struct is a husk until it looks. */
	assert_int_equal(span->state, SPAN_HUSK);
	assert_true(remote_load(span) & REMOTE_DEAD);
	assert_true(span_of(its[0]) != span);
	ht_check_heap(ht_heap);
	ht_check_page_heap();
	give_all();
}

static void owner_and_others_free_a_full_span(void **state)
{
	struct span *span = fill_one();
	uint32_t count = span->capacity;
	void *last = its[count - 1];

	(void)state;
	its[count - 1] = NULL;
	in_thread(give_those, its);
	assert_int_equal(remote_count(remote_load(span)), count - 1);
	assert_int_equal(span->state, SPAN_SMALL);
	give(last);
	give_all();
}

/* A remote free that took an old look at the span has claimed it, and will find that it was wrong. */
struct claimer {
	struct span *span;
	bool ready;
};

static void *claim_in_vain(void *context)
{
	struct claimer *claimer = context;
	struct span *span = claimer->span;
	uint64_t word;

	assert_true(ht_page_heap_lock());
	word = __atomic_fetch_or(&span->remote, REMOTE_CLAIMED, __ATOMIC_ACQ_REL);
	__atomic_store_n(&claimer->ready, true, __ATOMIC_RELEASE);
	/* Until the owner waits for us, or goes on without. */
	while (__atomic_load_n(&ht_page_heap.lock.word, __ATOMIC_ACQUIRE) != 2 &&
	       __atomic_load_n(&span->listed_full, __ATOMIC_ACQUIRE))
		sched_yield();
	__atomic_store_n(&span->remote, word, __ATOMIC_RELEASE);
	ht_page_heap_unlock();
	return NULL;
}

static void owner_waits_for_a_claim(void **state)
{
	struct claimer claimer = { .span = fill_one() };
	struct span *span = claimer.span;
	void *remote[2] = { its[0], NULL };
	pthread_t thread;
	size_t i = 1;

	(void)state;
	in_thread(give_those, remote);
	assert_true(remote_load(span) & REMOTE_FROZEN);
	while (span->used != span->trigger + 1)
		give(its[i++]);
	assert_int_equal(pthread_create(&thread, NULL, claim_in_vain, &claimer), 0);
	while (!__atomic_load_n(&claimer.ready, __ATOMIC_ACQUIRE))
		sched_yield();
	give(its[i++]);
	pthread_join(thread, NULL);
	assert_false(span->listed_full);
	assert_int_equal(remote_load(span), 0);
	assert_int_equal(span->used + i, span->capacity);
	ht_check_heap(ht_heap);
	while (its[i])
		give(its[i++]);
	give_all();
}

static void *take_and_end(void *context)
{
	(void)context;
	take(200);
	for (size_t i = 0; i < block_count; i += 3) {
		give(blocks[i]);
		blocks[i] = NULL;
	}
	return NULL;
}

static uint32_t abandoned(void)
{
	return ht_page_heap.abandoned_count[size_class_of(BLOCK_BYTES)];
}

static void spans_outlive_their_thread(void **state)
{
	(void)state;
	in_thread(take_and_end, NULL);
	assert_true(abandoned() > 2);
	ht_check_page_heap();
	/* Freed by another they go back one by one, without an owner. */
	for (size_t i = 0; i < block_count; i++)
		if (blocks[i] && i % 2)
			give(blocks[i]), blocks[i] = NULL;
	ht_check_page_heap();
	/* Or another adopts them. */
	while (abandoned() > 0)
		take(1);
	ht_check_page_heap();
	ht_check_heap(ht_heap);
	give_all();
	assert_int_equal(abandoned(), 0);
}

/* Everybody frees what everybody took. */
#define PILE 512
#define HANDS 6

static void *pile[PILE];

static void *mix(void *context)
{
	uint64_t random = (uintptr_t)context * 0x9e3779b97f4a7c15ull + 1;
	struct span *span;

	for (unsigned i = 0; i < 60000; i++) {
		void *block = block_take(i % 7 ? BLOCK_BYTES : 30000, &span), *other;

		random = random * 6364136223846793005ull + 1442695040888963407ull;
		*(uintptr_t *)block = ~(uintptr_t)block;
		other = __atomic_exchange_n(&pile[random >> 33 & (PILE - 1)], block,
					    __ATOMIC_ACQ_REL);
		if (!other)
			continue;
		if (*(uintptr_t *)other != ~(uintptr_t)other)
			return (void *)1;
		give(other);
	}
	return NULL;
}

static void everybody_frees(void **state)
{
	pthread_t threads[HANDS];

	(void)state;
	for (unsigned round = 0; round < 4; round++) {
		for (uintptr_t i = 0; i < HANDS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, mix, (void *)(i + 1)),
					 0);
		for (unsigned i = 0; i < HANDS; i++) {
			void *wrong;

			pthread_join(threads[i], &wrong);
			assert_null(wrong);
		}
		ht_check_page_heap();
	}
	for (unsigned i = 0; i < PILE; i++)
		if (pile[i])
			give(pile[i]);
	give_all();
	assert_int_equal(abandoned(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(others_free_the_last_block_of_a_full_span, set_up),
		cmocka_unit_test_setup(owner_and_others_free_a_full_span, set_up),
		cmocka_unit_test_setup(owner_waits_for_a_claim, set_up),
		cmocka_unit_test_setup(spans_outlive_their_thread, set_up),
		cmocka_unit_test_setup(everybody_frees, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
