#include <stdlib.h>
#include <string.h>

#include "shim/link.h"
#include "shim/prim.h"
#include "shim/record/freed.h"
#include "shim/record/hello.h"
#include "shim/record/lifecycle.h"
#include "shim/record/process_end.h"
#include "shim/record/record.h"
#include "shim/ring.h"
#include "shim/settings.h"
#include "shim/stack/capture.h"
#include "shim/stack/stack_table.h"
#include "shim/sys.h"

/* A stopped daemon must not keep a program from ending for long: what is in the shared memory is
 * not lost anyway. */
#define END_WAIT_MS 2000

static int say_hello(bool forked, const char *obstacle)
{
	/* Not on the stack: a thread with a small one may be the one that forks. */
	static uint8_t frame[HELLO_MAX_BYTES];
	struct iovec iov = { frame, ht_hello_frame(frame, forked, obstacle) };

	return ht_link_first(&iov, 1, ht_ring.shared && !obstacle ? ht_ring.fd : -1);
}

/* The memory stays mapped; who has the descriptor is the daemon. */
static void drop_descriptor(void)
{
	if (ht_ring.fd >= 0)
		sys_call1(SYS_close, ht_ring.fd);
	ht_ring.fd = -1;
}

/* In a child that cannot connect: says so where its parent's record is, then has nothing to do with
 * that any more. */
static void leave_parents_ring(void)
{
	__atomic_fetch_add(&ht_ring.head->lost_forks, 1, __ATOMIC_RELAXED);
	ht_ring_renew(&ht_ring);
	drop_descriptor();
}

void ht_watch(void)
{
	static const uint32_t off;

	ht_control_set(ht_replaced ? &off : &ht_ring.head->control);
}

bool ht_begin(bool forked)
{
	int error = prim_may(PRIM_START) ? ht_link_open(ht_settings.socket) : -EPERM;

	if (error) {
		if (forked)
			leave_parents_ring();
		ht_link_off("cannot reach heaptaped", -error);
		return false;
	}
	error = forked ? ht_ring_renew(&ht_ring) : ht_ring_make(&ht_ring);
	if (error) {
		say_hello(forked, "it has no memory to record in");
		ht_link_off("no memory to record in", -error);
		return false;
	}
	error = say_hello(forked, NULL);
	drop_descriptor();
	if (error) {
		ht_link_off("cannot send to heaptaped", -error);
		return false;
	}
	ht_pid = (int)sys_call0(SYS_getpid);
	ht_link.drop_when_full = ht_settings.drop_when_full;
	ht_link.state = LINK_ON;
	if (ht_settings.stacks)
		ht_stacks_attach(&ht_ring, ht_settings.depth);
	ht_stacks_on = ht_settings.stacks;
	if (ht_settings.stacks && ht_settings.free_stacks)
		ht_freed_init();
	ht_free_stacks_on = ht_settings.stacks && ht_settings.free_stacks;
	ht_quick_free = ht_clock_is_cycles && !ht_free_stacks_on && !ht_guard_on;
	return true;
}

void ht_ending(enum process_end how, int code)
{
	struct ring_head *head = ht_ring.head;

	if (ht_link.state != LINK_ON || sys_call0(SYS_getpid) != ht_pid)
		return;
	if (!ht_ring.shared)
		ht_process_end_send(how, code);
	ht_link_drain(END_WAIT_MS);
	head->end_code = code;
	head->end_ticks = ht_clock_ticks();
	__atomic_store_n(&head->end_how, (uint32_t)how, __ATOMIC_RELEASE);
}

void ht_ending_failed(void)
{
	if (ht_link.state == LINK_ON && sys_call0(SYS_getpid) == ht_pid)
		__atomic_store_n(&ht_ring.head->end_how, PROCESS_RUNNING, __ATOMIC_RELEASE);
}

void ht_stacks_alone(void)
{
	static int begun_by;
	int self = (int)sys_call0(SYS_getpid);

	if (ht_stacks_on || !ht_settings.stacks || ht_link.state != LINK_OFF ||
	    __atomic_exchange_n(&begun_by, self, __ATOMIC_RELAXED) == self ||
	    ht_ring_make(&ht_ring) != 0)
		return;
	drop_descriptor();
	ht_stacks_attach(&ht_ring, ht_settings.depth);
	ht_stacks_on = true;
}
