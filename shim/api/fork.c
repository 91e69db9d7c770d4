#include <errno.h>
#include <pthread.h>

#include "shim/alloc/alloc.h"
#include "shim/api/fork.h"
#include "shim/api/shell.h"
#include "shim/libc.h"
#include "shim/link.h"
#include "shim/record/lifecycle.h"
#include "shim/record/resume.h"
#include "shim/record/thread.h"
#include "shim/ring.h"
#include "shim/settings.h"
#include "shim/stack/capture.h"
#include "shim/stack/stack_table.h"

/* This thread is in fork: what looks like a child that was made behind our back is the one that will
 * call us in a moment. */
static __thread bool forking;
static __thread int errno_before;

/* Is there a record that children are a part of? */
static bool is_recorded(void)
{
	return ht_link.state == LINK_ON && ht_settings.follow != FOLLOW_NONE;
}

static void prepare(void)
{
	forking = true;
	if (is_recorded())
		__atomic_fetch_add(&ht_ring.head->forks, 1, __ATOMIC_RELAXED);
	ht_alloc_fork_prepare();
	errno_before = errno;
	errno = 0;
}

/* Called by a fork that failed, too: then it has set errno. Ours are the last of the handlers before
 * it and the first after it. */
static void parent(void)
{
	int error = errno;

	if (error && is_recorded())
		__atomic_fetch_sub(&ht_ring.head->forks, 1, __ATOMIC_RELAXED);
	errno = error ? error : errno_before;
	ht_alloc_fork_parent();
	forking = false;
}

/* The parent's shared memory is never written again, but for the two counts: from the copied pages on
 * which recorders lie nothing is left, so no thread here has a buffer until this is done. */
static void begin_anew(bool announced)
{
	static const uint32_t off;
	/* As its parent does, until the daemon says otherwise. */
	bool dormant = ht_ring.head && ht_control == &ht_ring.head->control && !ht_recording();
	struct ring_head *parents = is_recorded() ? ht_ring.head : NULL;

	if (parents && !announced)
		__atomic_fetch_add(&parents->forks, 1, __ATOMIC_RELAXED);
	ht_control_set(&off);
	ht_stacks_on = false;
	ht_free_stacks_on = false;
	ht_stacks_detach();
	ht_threads_forget();
	ht_link_inherit();
	ht_resume_forget();
	ht_settings.dormant = dormant;
	ht_epoch_ticks = ht_clock_ticks();
	if (parents && ht_begin(true))
		ht_watch();
	else
		ht_link_off(NULL, 0);
	ht_link_forget();
}

static void begin_child(void)
{
	bool announced = forking;

	forking = false;
	if (announced)
		errno = errno_before;
	ht_alloc_fork_child();
	ht_shell_forked();
	begin_anew(announced);
}

/* A handler that was called before this one may have begun the record: it allocates. */
static void child(void)
{
	if (forking)
		begin_child();
}

void ht_fork_watch(void)
{
	ht_ring_on_copy(begin_child);
	ht_libc()->__register_atfork(prepare, parent, child, NULL);
}
