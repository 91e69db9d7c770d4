#include <errno.h>
#include <pthread.h>

#include "shim/alloc.h"
#include "shim/capture.h"
#include "shim/fork.h"
#include "shim/lifecycle.h"
#include "shim/link.h"
#include "shim/resume.h"
#include "shim/ring.h"
#include "shim/settings.h"
#include "shim/shell.h"
#include "shim/stack_table.h"
#include "shim/thread.h"

bool ht_forking;

static int errno_before;

/* Is there a record that children are a part of? */
static bool is_recorded(void)
{
	return ht_link.state == LINK_ON && ht_settings.follow != FOLLOW_NONE;
}

static void prepare(void)
{
	ht_forking = true;
	if (is_recorded())
		__atomic_fetch_add(&ht_ring.head->forks, 1, __ATOMIC_RELAXED);
	ht_alloc_fork_prepare();
	errno_before = errno;
}

/* Called by a fork that failed, too: then there is another errno. (Should it be the same, one child
 * too many is announced, which is noticed when nobody has the connection any more.) */
static void parent(void)
{
	if (errno != errno_before && is_recorded())
		__atomic_fetch_sub(&ht_ring.head->forks, 1, __ATOMIC_RELAXED);
	ht_alloc_fork_parent();
	ht_forking = false;
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
		ht_control_set(&ht_ring.head->control);
	else
		ht_link_off(NULL, 0);
	ht_link_forget();
	ht_forking = false;
}

static void child(void)
{
	ht_alloc_fork_child();
	ht_shell_forked();
	begin_anew(true);
}

bool ht_fork_seen_to(void)
{
	uint32_t *alive = ht_ring.alive;

	if (!alive || __atomic_load_n(alive, __ATOMIC_RELAXED) == RING_ALIVE)
		return true;
	/* One of its threads sees to it, and none if fork is about to call us. */
	if (ht_forking || __atomic_exchange_n(alive, RING_BEGINS, __ATOMIC_RELAXED) != 0)
		return false;
	ht_alloc_fork_child();
	begin_anew(false);
	return ht_recording();
}

void ht_fork_watch(void)
{
	pthread_atfork(prepare, parent, child);
}
