/*
 * mortal COUNTS HOW [THREADS [CHILDREN]]: allocates and frees in every thread of itself and of its
 * forked children until it dies, and counts in the file COUNTS, which it shares with whoever looks
 * there afterwards, what each thread has completed. HOW:
 *
 *   kill=US     SIGKILL by a timer after so many microseconds; group=US: its whole process group
 *   segv=N abort=N exit=N raw=N stack=N
 *               after N calls of the first thread: a wild write, abort(), _exit(3), the exit_group
 *               system call with 3, a recursion without end
 *   heir=N      a child made by a bare system call keeps all descriptors open; then SIGKILL
 *   eat=MIB     keeps what it allocates, with memory limited to MIB (0: by someone else), and
 *               writes to whatever malloc returns; stop=N stops by SIGSTOP after N calls
 *
 * mortal COUNTS read: prints tid,calls of every thread that was counted.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/programs/say.h"

#define SLOTS 1000
/* Sizes that nothing else asks for: a small block, what it is reallocated to, a large block. */
#define SMALL 601
#define GROWN 1603
#define LARGE 70001
#define KEPT 64

struct counts {
	_Atomic uint32_t used;
	struct {
		uint32_t tid;
		_Atomic uint64_t calls;
	} slots[SLOTS];
};

static struct counts *counts;
static const char *how;
static long amount;
static _Atomic int ready;

static _Atomic uint64_t *slot(void)
{
	uint32_t at = atomic_fetch_add(&counts->used, 1);

	if (at >= SLOTS)
		_exit(98);
	counts->slots[at].tid = (uint32_t)self();
	return &counts->slots[at].calls;
}

static bool is(const char *name)
{
	return strncmp(how, name, strlen(name)) == 0;
}

/* Without end, but the compiler does not know. */
static int deeper(volatile int *from)
{
	volatile int room[64];

	room[0] = *from + 1;
	return amount ? deeper(room) + room[0] : 0;
}

static void die(void)
{
	if (is("segv"))
		*(volatile int *)amount = 1;
	else if (is("abort"))
		abort();
	else if (is("exit"))
		_exit(3);
	else if (is("raw"))
		syscall(SYS_exit_group, 3);
	else if (is("stack"))
		deeper(&(volatile int){ 0 });
	else if (is("stop"))
		raise(SIGSTOP);
	else if (is("heir") && syscall(SYS_fork) > 0)
		raise(SIGKILL);
	else if (is("heir"))
		_exit((int)sleep(8));
}

static void die_after(long microseconds)
{
	struct itimerspec when = { .it_value = { microseconds / 1000000,
						 microseconds % 1000000 * 1000 + 1 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &when, NULL))
		_exit(97);
}

/* The n-th call of a thread: allocations of all kinds, a realloc that moves, frees. */
static void call(void **kept, void **block, uint64_t n)
{
	void **place = &kept[n / 4 % KEPT];

	switch (n % 4) {
	case 0:
		*block = malloc(SMALL);
		break;
	case 1:
		*block = realloc(*block, n % 256 == 1 ? LARGE : GROWN);
		break;
	case 2:
		free(*block);
		break;
	default:
		if (*place)
			free(*place);
		*place = *place ? NULL : calloc(1, SMALL);
		break;
	}
}

static void *work(void *first)
{
	_Atomic uint64_t *calls = slot();
	void *kept[KEPT] = { NULL }, *block = NULL;
	bool eats = is("eat"), decides = first && !is("kill") && !is("group");

	atomic_fetch_add(&ready, 1);
	for (uint64_t n = 0;; n++) {
		if (eats)
			*(volatile char *)malloc(n % 64 ? GROWN : LARGE) = 1;
		else
			call(kept, &block, n);
		atomic_store_explicit(calls, n + 1, memory_order_release);
		if (decides && !eats && n + 1 == (uint64_t)amount)
			die();
	}
	return NULL;
}

static int print_counts(void)
{
	for (uint32_t i = 0; i < counts->used; i++)
		printf("%u,%lu\n", counts->slots[i].tid, (unsigned long)counts->slots[i].calls);
	return 0;
}

int main(int argc, char **argv)
{
	long threads = argc > 3 ? atol(argv[3]) : 1, children = argc > 4 ? atol(argv[4]) : 0;
	int fd = open(argc > 2 ? argv[1] : "", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct rlimit none = { 0, 0 };
	pthread_t id;

	if (fd < 0 || ftruncate(fd, sizeof(*counts)))
		return 99;
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counts == MAP_FAILED)
		return 99;
	how = argv[2];
	if (is("read"))
		return print_counts();
	if (!strchr(how, '='))
		return 99;
	amount = atol(strchr(how, '=') + 1);
	setrlimit(RLIMIT_CORE, &none);
	if (is("eat") && amount)
		setrlimit(RLIMIT_AS,
			  &(struct rlimit){ (rlim_t)amount << 20, (rlim_t)amount << 20 });
	if (is("group"))
		setpgid(0, 0);
	while (children-- > 0 && fork())
		;
	if (is("kill"))
		die_after(amount);
	for (long i = 1; i < threads; i++)
		if (pthread_create(&id, NULL, work, NULL))
			return 96;
	while (ready + 1 < threads)
		sched_yield();
	if (is("group") && getpgrp() == getpid()) {
		pid_t group = getpid();

		/* From outside of the group. */
		if (fork() == 0) {
			struct timespec time = { amount / 1000000, amount % 1000000 * 1000 };

			setpgid(0, 0);
			nanosleep(&time, NULL);
			kill(-group, SIGKILL);
			_exit(0);
		}
	}
	work(&id);
	return 0;
}
