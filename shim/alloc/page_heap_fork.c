/* The page heap while the process is copied: see page_heap.h. */
#include "shim/alloc/alloc.h"
#include "shim/alloc/emergency.h"
#include "shim/alloc/page_heap.h"

/* So long fork is waited for. Most take less. */
#define PATIENCE_MS 10
#define PATIENT_TRIES 300
#define LOOK_MS 100

/* In place of a number of forks: this process is a copy that was made behind our back (_Fork, a clone
 * system call) while another thread was at work here. Nobody ever ends that. */
#define CLOSED_FOR_GOOD (1u << 31)

static uint32_t *copy_mark;
static __thread uint32_t forks_here __attribute__((tls_model("initial-exec")));

static __attribute__((constructor(101))) void begin(void)
{
	copy_mark = prim_copy_mark();
}

static void begin_anew(uint32_t closed)
{
	struct page_heap *heap = &ht_page_heap;

	if (copy_mark)
		__atomic_store_n(copy_mark, 1, __ATOMIC_RELAXED);
	forks_here = 0;
	heap->forks_are_slow = closed;
	__atomic_store_n(&heap->forks, closed, __ATOMIC_RELAXED);
}

/* True when the process is a copy that nobody has told us of, until now. `mine`: the lock is. */
static bool is_new_copy(bool mine)
{
	struct page_heap *heap = &ht_page_heap;
	uint32_t closed = heap->forks & CLOSED_FOR_GOOD;

	if (!copy_mark || __atomic_exchange_n(copy_mark, 1, __ATOMIC_ACQ_REL))
		return false;
	if (!mine && __atomic_exchange_n(&heap->lock.word, 0, __ATOMIC_ACQ_REL))
		closed = CLOSED_FOR_GOOD;
	begin_anew(closed);
	return true;
}

static bool others_fork(void)
{
	return __atomic_load_n(&ht_page_heap.forks, __ATOMIC_ACQUIRE) != forks_here;
}

/* True when it is worth another try. */
static bool wait_for_forks(void)
{
	struct page_heap *heap = &ht_page_heap;
	uint32_t forks = __atomic_load_n(&heap->forks, __ATOMIC_ACQUIRE);

	if (is_new_copy(false))
		return true;
	/* In fork ourselves: two could wait for one another. */
	if (forks_here || heap->forks_are_slow)
		return false;
	if (prim_sleep_on(&heap->forks, forks, PATIENCE_MS))
		return true;
	heap->forks_are_slow = true;
	return false;
}

static bool give_up(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	ht_page_heap_held = false;
	return false;
}

bool ht_page_heap_lock_slow(bool taken)
{
	struct prim_lock *lock = &ht_page_heap.lock;

	for (;;) {
		while (!taken) {
			taken = prim_lock_wait_for(lock, LOOK_MS);
			/* What holds it was interrupted by a handler that is in fork. */
			if (!taken && !is_new_copy(false) && others_fork())
				return give_up();
		}
		if (!others_fork())
			return true;
		prim_unlock(lock);
		if (!wait_for_forks())
			return give_up();
		taken = prim_try_lock(lock);
	}
}

bool ht_page_heap_lock_patiently(void)
{
	for (unsigned i = 0; i < PATIENT_TRIES && !ht_page_heap_held; i++) {
		if (ht_page_heap_lock())
			return true;
		prim_sleep_on(&ht_page_heap.forks, ht_page_heap.forks, PATIENCE_MS);
	}
	return false;
}

/* Waits until nobody is at work here; from then on nobody begins. */
void ht_alloc_fork_prepare(void)
{
	struct page_heap *heap = &ht_page_heap;
	bool handler =
		ht_page_heap_held; /* what it interrupted holds the lock, here and in the child */

	ht_page_heap_held = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	while (!handler && !prim_lock_wait_for(&heap->lock, LOOK_MS))
		is_new_copy(false);
	if (!__atomic_fetch_add(&heap->forks, 1, __ATOMIC_ACQ_REL))
		heap->forks_are_slow = false;
	forks_here++;
	if (!handler) {
		prim_unlock(&heap->lock);
		give_up();
	}
}

void ht_alloc_fork_parent(void)
{
	struct page_heap *heap = &ht_page_heap;

	if (!forks_here) /* a child of a handler's that interrupted fork */
		return;
	forks_here--;
	if (!__atomic_sub_fetch(&heap->forks, 1, __ATOMIC_ACQ_REL)) {
		heap->forks_are_slow = false;
		if (ht_page_heap_lock()) {
			ht_emergency_trim();
			ht_page_heap_unlock();
		}
	}
	prim_wake_all(&heap->forks);
}

/* The other threads' heaps stay as they were caught: blocks of theirs can be freed as remote ones,
 * but nobody allocates from them again. */
void ht_alloc_fork_child(void)
{
	struct page_heap *heap = &ht_page_heap;

	if (!forks_here) {
		is_new_copy(ht_page_heap_held);
		return;
	}
	/* Another thread may just have seen that it must not. */
	if (!ht_page_heap_held)
		prim_lock_reset(&heap->lock);
	begin_anew(heap->forks & CLOSED_FOR_GOOD);
}
