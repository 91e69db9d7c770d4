/*
 * Recording is switched on: every block that is live is listed once, with what is known of it, and no
 * other. The test keeps its own account and switches as the daemon does.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shim/alloc/alloc.h"
#include "shim/api/malloc.h"
#include "shim/alloc/page_heap.h"
#include "shim/record/resume.h"
#include "tests/unit/shim/recording.h"

#define BLOCKS_MAX 3000

/* Blocks that are live by the test's own account. */
static struct block {
	void *at; /* NULL: freed */
	size_t size_bytes;
	uint64_t ticks; /* of its birth, 0 when that was not recorded */
	unsigned listed;
} blocks[BLOCKS_MAX];
static unsigned block_count;

static uint32_t turn;
static uint32_t seen; /* events of the main thread's buffer that were looked at */
static uint32_t seen_words;

static int set_up(void **state)
{
	int peer;

	(void)state;
	return recording_begin(false, &peer);
}

static void control(bool on)
{
	__atomic_store_n(&ht_ring.head->control,
			 turn << RING_CONTROL_TURN_SHIFT | (on ? RING_CONTROL_RECORD : 0),
			 __ATOMIC_SEQ_CST);
}

/* As daemon/control.c does. */
static void switch_on(void)
{
	for (uint32_t slot = 0; slot < ht_ring.head->buffers_used; slot++)
		ht_ring_buffer(&ht_ring, slot)->busy = RING_PARKED;
	turn++;
	control(true);
}

static struct block *note(void *at, size_t size_bytes)
{
	assert_non_null(at);
	assert_true(block_count < BLOCKS_MAX);
	blocks[block_count] = (struct block){ .at = at, .size_bytes = size_bytes };
	return &blocks[block_count++];
}

/* What is listed of a block that nobody recorded: a small one's size is not known. */
static size_t listed_size(void *at, size_t size_bytes)
{
	return size_bytes > SMALL_MAX_BYTES ? size_bytes : ht_api_malloc_usable_size(at);
}

static void drop(struct block *block)
{
	ht_api_free(block->at);
	block->at = NULL;
}

static const size_t sizes[] = { 0,    1,     16,    100,   1000,   5000,
				8192, 30000, 40000, 70000, 300000, 90000000 };
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* Of every kind of block: some live, some freed in all ways but the last. */
static void allocate(void)
{
	for (unsigned i = 0; i < 5 * SIZES; i++) {
		size_t size = sizes[i % SIZES];
		void *at = i % 2 ? ht_api_malloc(size) : ht_api_calloc(1, size);

		note(at, listed_size(at, size));
		if (size < 40000) {
			at = ht_api_memalign((size_t)32 << i % 8, size);
			note(at, listed_size(at, size));
		}
		/* Page-aligned blocks are large whatever their size. */
		note(ht_api_memalign(65536, size), size);
	}
	for (unsigned i = 0; i < 200; i++) {
		void *at = ht_api_malloc(48);

		note(at, listed_size(at, 48));
	}
	for (unsigned i = 3; i < block_count; i += 7)
		if (blocks[i].at)
			drop(&blocks[i]);
}

/* Recorded entries of a buffer that were not looked at yet, one after another. */
struct entry {
	unsigned kind;
	uintptr_t address;
	size_t size_bytes;
	uint64_t ticks;
	const uint64_t *details;
};

static bool next_of(const struct ring_buffer *buffer, uint32_t *at, uint32_t *words,
		    struct entry *entry)
{
	unsigned count;

	if (*at == buffer->count)
		return false;
	count = (unsigned)event_details(buffer->kinds[*at], buffer->classes[*at]);
	entry->kind = event_kind_of(buffer->kinds[*at]);
	entry->address = buffer->addresses[*at];
	entry->ticks = buffer->ticks[*at];
	entry->details = &buffer->details[*words];
	entry->size_bytes = buffer->sizes[*at];
	if (event_is_block((uint8_t)entry->kind) && !buffer->classes[*at])
		entry->size_bytes = entry->details[count - 2];
	(*at)++;
	*words += count;
	return true;
}

static struct ring_buffer *own_buffer(void)
{
	struct ring_buffer *buffer =
		ht_recorder->buffer ? ht_recorder->buffer : ht_recorder->hidden;

	assert_non_null(buffer);
	return buffer;
}

static bool next_entry(struct entry *entry)
{
	return next_of(own_buffer(), &seen, &seen_words, entry);
}

/* Nothing is sent here: all is read from the buffer, which has to have room. */
static void empty_buffer(void)
{
	struct ring_buffer *buffer = own_buffer();

	assert_int_equal(buffer->first_seq, 0);
	assert_int_equal(seen, buffer->count);
	buffer->last_ticks = buffer->ticks[buffer->count - 1];
	buffer->fill = 0;
	seen = seen_words = 0;
}

static struct block *find(uintptr_t address)
{
	for (unsigned i = 0; i < block_count; i++)
		if ((uintptr_t)blocks[i].at == address)
			return &blocks[i];
	return NULL;
}

/* Looks at all new entries. Those of blocks in the list are ticked off. */
static void read_list(void)
{
	struct entry entry;

	while (next_entry(&entry)) {
		struct block *block = find(entry.address);

		if (entry.kind != EVENT_LIVE)
			continue;
		assert_non_null(block);
		assert_int_equal(entry.size_bytes, block->size_bytes);
		assert_int_equal(entry.details[0], block->ticks);
		block->listed++;
		if (!block->ticks)
			block->ticks = entry.ticks;
	}
}

static unsigned live_count(void)
{
	unsigned live = 0;

	for (unsigned i = 0; i < block_count; i++)
		live += blocks[i].at != NULL;
	return live;
}

static void all_are_listed(void)
{
	assert_int_equal(ht_ring.head->begun_turn, turn);
	assert_int_equal(ht_ring.head->listed_turn, turn);
	read_list();
	for (unsigned i = 0; i < block_count; i++) {
		if (blocks[i].at)
			assert_int_equal(blocks[i].listed, 1);
		blocks[i].listed = 0;
	}
	assert_int_equal(ht_ring.head->listed_blocks, live_count());
	empty_buffer();
}

static void each_is_listed_once(void **state)
{
	(void)state;
	allocate();
	switch_on();
	ht_api_free(ht_api_malloc(10));
	all_are_listed();
}

static void recorded_ones_keep_their_birth(void **state)
{
	struct entry entry;
	unsigned before;

	(void)state;
	/* Recorded: what is allocated, and that some of it goes. */
	for (unsigned i = 0; i < block_count; i += 5)
		if (blocks[i].at)
			drop(&blocks[i]);
	before = block_count;
	for (unsigned i = 0; i < 2 * SIZES; i++)
		note(ht_api_malloc(sizes[i % SIZES]), sizes[i % SIZES]);
	while (next_entry(&entry))
		if (entry.kind == EVENT_MALLOC && find(entry.address))
			find(entry.address)->ticks = entry.ticks;
	for (unsigned i = before; i < block_count; i++)
		assert_true(blocks[i].ticks != 0);
	/* Not recorded. */
	control(false);
	for (unsigned i = 1; i < block_count; i += 6)
		if (blocks[i].at)
			drop(&blocks[i]);
	allocate();
	switch_on();
	ht_api_free(ht_api_malloc(10));
	all_are_listed();
}

/* Takes the page heap from under a call that begins to list, and switches off meanwhile: the call goes
 * on with nothing listed, or one step further, as if its time were over. */
static sem_t holds;
static pthread_t holder;

static void *hold_up(void *unused)
{
	assert_true(ht_page_heap_lock());
	sem_post(&holds);
	while (__atomic_load_n(&ht_page_heap.lock.word, __ATOMIC_RELAXED) != 2)
		sched_yield();
	control(false);
	ht_page_heap_unlock();
	return unused;
}

static void hold(void)
{
	sem_init(&holds, 0, 0);
	pthread_create(&holder, NULL, hold_up, NULL);
	while (sem_wait(&holds))
		;
}

/* The block is freed, or moved, by the very call that finds nothing listed yet. */
static void leave_unlisted(struct block *block, bool moves)
{
	unsigned wanted = moves ? EVENT_REALLOC : EVENT_FREE;
	struct block was = *block;
	struct entry entry;
	void *at = NULL;

	hold();
	switch_on();
	if (moves)
		at = ht_api_realloc(block->at, block->size_bytes * 3 + 1000);
	else
		ht_api_free(block->at);
	block->at = NULL;
	pthread_join(holder, NULL);
	assert_int_equal(ht_ring.head->begun_turn, turn);
	assert_int_equal(ht_ring.head->listed_turn, turn - 1);

	assert_true(next_entry(&entry));
	assert_int_equal(entry.kind, EVENT_RESUME);
	do
		assert_true(next_entry(&entry));
	while (entry.kind != EVENT_LIVE && entry.kind != wanted);
	assert_int_equal(entry.kind, EVENT_LIVE);
	assert_int_equal(entry.address, (uintptr_t)was.at);
	assert_int_equal(entry.size_bytes, was.size_bytes);
	assert_int_equal(entry.details[0], was.ticks);
	if (!was.ticks)
		was.ticks = entry.ticks;
	do
		assert_true(next_entry(&entry));
	while (entry.kind != EVENT_LIVE && entry.kind != wanted);
	assert_int_equal(entry.kind, wanted);
	assert_int_equal(moves ? entry.details[0] : entry.address, (uintptr_t)was.at);
	assert_int_equal(entry.details[moves], was.ticks);

	control(true);
	ht_api_free(ht_api_malloc(10));
	assert_int_equal(ht_ring.head->listed_blocks, 1 + live_count());
	ht_ring.head->listed_blocks--;
	all_are_listed();
	control(false);
	ht_api_free(at); /* it was new, and was not listed */
}

static void freed_while_others_wait(void **state)
{
	(void)state;
	control(false);
	for (unsigned kind = 0; kind < 8; kind++) {
		static const size_t some[] = { 10, 5000, 60000, 80000000 };
		size_t size = some[kind % 4];
		void *at = ht_api_malloc(size);

		/* Not recorded, then by the list of the turn before. */
		leave_unlisted(note(at, listed_size(at, size)), kind >= 4);
		at = kind % 2 ? ht_api_memalign(8192, size) : ht_api_malloc(size);
		note(at, kind % 2 ? size : listed_size(at, size));
		switch_on();
		ht_api_free(ht_api_malloc(10));
		all_are_listed();
		control(false);
		leave_unlisted(&blocks[block_count - 1], kind >= 4);
	}
}

/* Entries of a kind about an address. */
static unsigned count_of(unsigned kind, void *at)
{
	uint32_t from = 0, words = 0;
	struct entry entry;
	unsigned count = 0;

	while (next_of(own_buffer(), &from, &words, &entry))
		count += entry.kind == kind && entry.address == (uintptr_t)at;
	return count;
}

/* The walk goes by address: of the lowest and the highest block it has passed only one. */
static void freed_in_the_middle(void **state)
{
	struct block *low, *high;
	void *low_at, *high_at;

	(void)state;
	for (unsigned i = 0; i < 1200; i++)
		note(ht_api_malloc(112), 112);
	low = high = &blocks[block_count - 1];
	for (unsigned i = block_count - 1200; i < block_count; i++) {
		low = blocks[i].at < low->at ? &blocks[i] : low;
		high = blocks[i].at > high->at ? &blocks[i] : high;
	}
	low_at = low->at;
	high_at = high->at;
	switch_on();
	ht_api_free(ht_api_malloc(10));
	all_are_listed();
	control(false);

	hold();
	switch_on();
	ht_api_free(ht_api_malloc(10));
	pthread_join(holder, NULL);
	assert_int_equal(count_of(EVENT_LIVE, low_at), 0);
	hold();
	control(true);
	ht_api_free(high_at);
	pthread_join(holder, NULL);
	assert_int_equal(count_of(EVENT_LIVE, low_at), 1);
	assert_int_equal(count_of(EVENT_LIVE, high_at), 1);
	hold();
	control(true);
	ht_api_free(low_at);
	pthread_join(holder, NULL);
	assert_int_equal(ht_ring.head->listed_turn, turn - 1);
	control(true);
	ht_api_free(ht_api_malloc(10));
	assert_int_equal(count_of(EVENT_LIVE, low_at), 1);
	assert_int_equal(count_of(EVENT_FREE, low_at), 1);
	assert_int_equal(count_of(EVENT_LIVE, high_at), 1);
	assert_int_equal(count_of(EVENT_FREE, high_at), 1);
	all_are_listed();
	for (unsigned i = block_count - 1200; i < block_count; i++)
		if (blocks[i].at != low_at && blocks[i].at != high_at)
			ht_api_free(blocks[i].at);
	block_count -= 1200;
	control(false);
}

/* Another thread: asleep while its blocks are listed; a free that it had begun before it noticed. */
static sem_t asks, answers;
static void *its_block;

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem))
		;
}

static void *other_thread(void *unused)
{
	const struct ring_buffer *buffer;
	uint32_t at = 0, words = 0;
	struct entry entry;
	void *remote = ht_api_malloc(100);

	note(remote, listed_size(remote, 100));
	its_block = ht_api_malloc(100);
	sem_post(&answers);
	wait_for(&asks);
	/* What is left of a call of free that saw recording off. */
	block_release_own(ht_heap, span_of(its_block), its_block);
	ht_api_free(ht_api_malloc(10));
	buffer = ht_recorder->buffer;
	assert_non_null(buffer);
	assert_true(next_of(buffer, &at, &words, &entry));
	assert_int_equal(entry.kind, EVENT_FREE);
	assert_int_equal(entry.address, (uintptr_t)its_block);
	assert_true(entry.details[0] != 0);
	sem_post(&answers);
	wait_for(&asks);
	return unused;
}

static void blocks_of_other_threads(void **state)
{
	struct block *block;
	pthread_t thread;

	(void)state;
	control(false);
	sem_init(&asks, 0, 0);
	sem_init(&answers, 0, 0);
	pthread_create(&thread, NULL, other_thread, NULL);
	wait_for(&answers);
	/* Freed from here: in the other heap's hands, but dead. */
	drop(&blocks[block_count - 1]);
	block = note(its_block, listed_size(its_block, 100));
	switch_on();
	ht_api_free(ht_api_malloc(10));
	all_are_listed();
	block->at = NULL;
	sem_post(&asks);
	wait_for(&answers);
	sem_post(&asks);
	pthread_join(thread, NULL);
	/* An ended thread's blocks are as live as others. */
	control(false);
	switch_on();
	ht_api_free(ht_api_malloc(10));
	all_are_listed();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_listed_once),
		cmocka_unit_test(recorded_ones_keep_their_birth),
		cmocka_unit_test(freed_while_others_wait),
		cmocka_unit_test(freed_in_the_middle),
		cmocka_unit_test(blocks_of_other_threads),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
