#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>

#include "shim/libc.h"
#include "shim/link.h"
#include "shim/prim.h"
#include "shim/record/batch.h"
#include "shim/record/thread.h"
#include "shim/ring.h"
#include "shim/stack/stack_table.h"
#include "shim/stack/unwind.h"
#include "shim/sys.h"

/* A thread's destructor puts itself off this often, so that what other destructors free is still in
 * the thread's record. The C library calls destructors four times at most. */
#define END_ROUNDS 3

static struct recorder nobody;
__thread struct recorder *ht_recorder = &nobody;

static struct ring_buffer bootstrap_buffer;
static struct recorder bootstrap = { .announced = true };
static uint32_t bootstrap_taken;

static uint32_t first_free; /* no slot below this is free */
static pthread_key_t end_key;
static bool have_end_key;

void ht_thread_name(struct ring_buffer *buffer)
{
	sys_call2(SYS_prctl, PR_GET_NAME, buffer->name);
}

static void start_buffer(struct ring_buffer *buffer, uint32_t number)
{
	buffer->tid = (uint32_t)sys_call0(SYS_gettid);
	ht_thread_name(buffer);
	buffer->first_seq = buffer->dropped_from = buffer->dropped_to = 0;
	buffer->details_used = 0;
	buffer->busy = 0;
	buffer->meta_thread = number <= META_THREAD_MAX ? number : 0;
	buffer->start_ticks = ht_clock_ticks();
	buffer->last_ticks = buffer->start_ticks;
	__atomic_store_n(&buffer->count, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&buffer->thread, number, __ATOMIC_RELEASE);
}

/* True when the thread that wrote here is no more; it ended without its destructor. */
static bool owner_is_gone(const struct ring_buffer *buffer)
{
	return prim_may(PRIM_SIGNAL) &&
	       sys_call3(SYS_tgkill, sys_call0(SYS_getpid), buffer->tid, 0) == -ESRCH;
}

/* The lock is held. */
static void free_slot(struct recorder *recorder)
{
	struct ring_buffer *buffer = recorder->buffer;

	recorder->buffer = NULL;
	__atomic_store_n(&buffer->thread, 0, __ATOMIC_RELEASE);
	ht_ring_close(&ht_ring, recorder->slot);
	if (recorder->slot < first_free)
		first_free = recorder->slot;
}

/* Where a buffer was hidden (shim/record/resume.h), its thread ends or has ended. */
static void show_buffer(struct recorder *recorder)
{
	if (!recorder->buffer) {
		recorder->buffer = recorder->hidden;
		recorder->hidden = NULL;
	}
}

/* Sends a recorder's last events and frees its slot. When that would mean to wait and events may be
 * dropped rather than waited for, the slot just stays, as that of a thread that went in silence. */
static bool finish(struct recorder *recorder)
{
	struct link_hold hold;
	int error;

	for (;;) {
		if (!ht_link.drop_when_full)
			ht_batch_send(recorder);
		ht_link_lock(&hold);
		error = ht_batch_try(recorder);
		if (!error)
			error = ht_batch_send_end(recorder);
		if (error != -EAGAIN || ht_link.drop_when_full)
			break;
		ht_link_unlock(&hold);
		ht_link_wait();
	}
	if (ht_recorder == recorder)
		ht_recorder = &nobody;
	if (error != -EAGAIN)
		free_slot(recorder);
	ht_link_unlock(&hold);
	return error != -EAGAIN;
}

/* Takes a slot from a thread that went away in silence. Its last events must go first, so the lock
 * is given up meanwhile, and the slot may be somebody else's before it is held again. */
static bool reclaim(struct link_hold *hold)
{
	uint32_t used = ht_ring.head->buffers_used;

	for (uint32_t slot = 0; slot < used; slot++) {
		struct ring_buffer *buffer = ht_ring_buffer(&ht_ring, slot);
		struct recorder *recorder = &ht_ring.recorders[slot];
		uint32_t owner = buffer->tid;
		bool finished;

		if (!buffer->thread || !owner_is_gone(buffer))
			continue;
		buffer->tid = (uint32_t)sys_call0(SYS_gettid); /* ours now, nobody else takes it */
		show_buffer(recorder);
		ht_link_unlock(hold);
		finished = finish(recorder);
		ht_link_lock(hold);
		if (finished)
			return true;
		buffer->tid = owner;
	}
	return false;
}

/* A free slot's index, or buffer_count. The lock is held. */
static uint32_t find_slot(void)
{
	struct ring_head *head = ht_ring.head;
	uint32_t slot = first_free;

	while (slot < head->buffers_used && ht_ring_buffer(&ht_ring, slot)->thread)
		slot++;
	first_free = slot;
	return slot;
}

/* The next thread's number, which the daemon can see before any of its events (proto/ring.h). The
 * lock is held. */
static uint32_t next_number(void)
{
	uint32_t number = ht_ring.head->threads + 1;

	__atomic_store_n(&ht_ring.head->threads, number, __ATOMIC_RELEASE);
	return number;
}

/* A recorder with an empty buffer for the calling thread, NULL when all are taken. The lock is held,
 * and may be given up meanwhile. */
static struct recorder *take_slot(struct link_hold *hold)
{
	struct ring_head *head = ht_ring.head;
	struct ring_buffer *buffer;
	struct recorder *recorder;
	uint32_t slot = find_slot();

	while (slot == head->buffer_count && reclaim(hold))
		slot = find_slot();
	if (slot == head->buffer_count)
		return NULL;
	buffer = ht_ring_open(&ht_ring, slot);
	if (!buffer)
		return NULL;
	first_free = slot + 1;
	recorder = &ht_ring.recorders[slot];
	*recorder = (struct recorder){ .slot = slot, .buffer = buffer };
	start_buffer(recorder->buffer, next_number());
	if (slot >= head->buffers_used)
		__atomic_store_n(&head->buffers_used, slot + 1, __ATOMIC_RELEASE);
	ht_batch_send_start(recorder);
	return recorder;
}

static struct recorder *take_own_slot(void)
{
	struct link_hold hold;

	ht_link_lock(&hold);
	if (!ht_recorder->buffer) { /* else a signal handler was first */
		struct recorder *recorder = take_slot(&hold);

		if (recorder)
			ht_recorder = recorder;
	}
	ht_link_unlock(&hold);
	return ht_recorder->buffer ? ht_recorder : NULL;
}

struct recorder *ht_thread_nested(void)
{
	struct recorder *recorder = NULL;
	struct link_hold hold;

	if (ht_link.state != LINK_ON)
		return NULL;
	ht_link_lock(&hold);
	recorder = take_slot(&hold);
	ht_link_unlock(&hold);
	return recorder;
}

struct recorder *ht_thread_begin(void)
{
	struct recorder *recorder;

	if (ht_link.state == LINK_NONE) {
		if (__atomic_exchange_n(&bootstrap_taken, 1, __ATOMIC_RELAXED))
			return NULL;
		ht_clock_init();
		if (!ht_clock_is_cycles)
			ht_quick_malloc = ht_quick_free = false;
		start_buffer(&bootstrap_buffer, 1);
		bootstrap.buffer = &bootstrap_buffer;
		return ht_recorder = &bootstrap;
	}
	if (ht_link.state != LINK_ON)
		return NULL;
	recorder = take_own_slot();
	if (recorder && have_end_key)
		ht_libc()->pthread_setspecific(end_key, (void *)END_ROUNDS);
	return recorder;
}

void ht_thread_drop_bootstrap(void)
{
	ht_recorder = &nobody;
	bootstrap.buffer = NULL;
}

void ht_thread_adopt_bootstrap(void)
{
	struct recorder *recorder = take_own_slot();
	struct ring_buffer *to = recorder->buffer, *from = &bootstrap_buffer;
	uint32_t count = from->count;

	if (!bootstrap.buffer)
		return;
	to->start_ticks = from->start_ticks;
	memcpy(to->ticks, from->ticks, count * sizeof(to->ticks[0]));
	memcpy(to->addresses, from->addresses, count * sizeof(to->addresses[0]));
	memcpy(to->details, from->details, from->details_used * sizeof(to->details[0]));
	memcpy(to->sizes, from->sizes, count * sizeof(to->sizes[0]));
	memcpy(to->stacks, from->stacks, count * sizeof(to->stacks[0]));
	memcpy(to->kinds, from->kinds, count);
	memcpy(to->classes, from->classes, count);
	to->details_used = from->details_used;
	__atomic_store_n(&to->count, count, __ATOMIC_RELEASE);
	bootstrap.buffer = NULL;
}

/* The thread ends: its last events go out and its buffer is free for another. Should it still
 * allocate or free afterwards, it begins anew under another number. */
static void end_thread(void *rounds)
{
	struct recorder *recorder = ht_recorder, *nested;

	if ((uintptr_t)rounds > 1) {
		ht_libc()->pthread_setspecific(end_key, (void *)((uintptr_t)rounds - 1));
		return;
	}
	ht_stack_thread_end();
	show_buffer(recorder);
	if (!recorder->buffer || ht_link.state != LINK_ON)
		return;
	do {
		nested = recorder->nested;
		ht_thread_name(recorder->buffer);
		finish(recorder);
		recorder = nested;
	} while (recorder);
}

void ht_threads_init(void)
{
	have_end_key = ht_libc()->pthread_key_create(&end_key, end_thread) == 0;
}

void ht_threads_forget(void)
{
	ht_ring.kept = (uint32_t)(ht_recorder - ht_ring.recorders);
	if (!ht_ring.recorders || ht_recorder < ht_ring.recorders ||
	    ht_ring.kept >= ht_ring.buffers_mapped)
		ht_ring.kept = UINT32_MAX;
	ht_recorder = &nobody;
	first_free = 0;
}

void ht_threads_send_all(void)
{
	for (uint32_t slot = 0; slot < ht_ring.head->buffers_used; slot++) {
		show_buffer(&ht_ring.recorders[slot]);
		ht_batch_send_kept(&ht_ring.recorders[slot]);
	}
}
