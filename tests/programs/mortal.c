/*
 * mortal COUNTS HOW [THREADS [CHILDREN]]: allocates and frees in every thread of itself and of its
 * forked children until it dies, and counts in the file COUNTS, which it shares with whoever looks
 * there afterwards, what each thread has completed. HOW:
 *
 *   kill=US     SIGKILL by a timer after so many microseconds; group=US: its whole process group;
 *               forks=US: that too, and the first thread forks again and again until then
 *   segv=N abort=N exit=N raw=N
 *               after N calls of the first thread: a wild write, abort(), _exit(3), the exit_group
 *               system call with 3
 *   stack=N guard=N deep=N alternate=N
 *               after N calls a recursion without end: of the first thread, of another one onto its
 *               guard page, one that calls at each depth, and that with a handler on a stack of its
 *               own, which calls before it lets the program die
 *   heir=N      a child made by a bare system call keeps all descriptors open for a while;
 *               then SIGKILL
 *   as=MIB data=MIB eat=0
 *               keeps what it allocates until there is no more, with RLIMIT_AS or RLIMIT_DATA so
 *               much above what it has, or somebody else's limit; then writes to what malloc
 *               returned. as-abort=MIB, data-abort=MIB: abort() instead; as-stack=MIB: a recursion
 *               that finds no room
 *   stop=N      SIGSTOP after N calls
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
	_Atomic uint32_t begun; /* processes whose records have */
	struct {
		uint32_t tid;
		_Atomic uint64_t calls;
	} slots[SLOTS];
};

/* What a thread holds. */
struct blocks {
	void *kept[KEPT];
	void *latest;
};

static struct counts *counts;
static const char *how;
static long amount;
static _Atomic int ready;
static _Atomic uint64_t *first_calls;

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

/* The n-th call of a thread: allocations of all kinds, a realloc that moves, frees. */
static void call(struct blocks *blocks, uint64_t n)
{
	void **place = &blocks->kept[n / 4 % KEPT];

	switch (n % 4) {
	case 0:
		blocks->latest = malloc(SMALL);
		break;
	case 1:
		blocks->latest = realloc(blocks->latest, n % 256 == 1 ? LARGE : GROWN);
		break;
	case 2:
		free(blocks->latest);
		break;
	default:
		if (*place)
			free(*place);
		*place = *place ? NULL : calloc(1, SMALL);
		break;
	}
}

/* Without end, but the compiler does not know. */
static int deeper(volatile int *from)
{
	volatile int room[64];

	room[0] = *from + 1;
	return how ? deeper(room) + room[0] : 0;
}

static int deeper_calling(volatile int *from, struct blocks *blocks, _Atomic uint64_t *calls)
{
	volatile int room[64];

	room[0] = *from + 1;
	call(blocks, *calls);
	atomic_fetch_add(calls, 1);
	return how ? deeper_calling(room, blocks, calls) + room[0] : 0;
}

/* Whatever was interrupted, its blocks are left alone. */
static void on_overflow(int number)
{
	for (int i = 0; i < 8; i++) {
		free(malloc(SMALL));
		atomic_fetch_add(first_calls, 2);
	}
	signal(number, SIG_DFL);
}

static void overflow_handled(void)
{
	static char room[1 << 16];
	stack_t stack = { .ss_sp = room, .ss_size = sizeof(room) };
	struct sigaction action = { .sa_handler = on_overflow, .sa_flags = SA_ONSTACK };

	if (sigaltstack(&stack, NULL) || sigaction(SIGSEGV, &action, NULL))
		_exit(95);
}

static void *overflow(void *unused)
{
	(void)unused;
	deeper(&(volatile int){ 0 });
	return NULL;
}

static void die(struct blocks *blocks, _Atomic uint64_t *calls)
{
	pthread_t id;

	first_calls = calls;
	if (is("alternate"))
		overflow_handled();
	if (is("segv"))
		*(volatile int *)amount = 1;
	else if (is("abort"))
		abort();
	else if (is("exit"))
		_exit(3);
	else if (is("raw"))
		syscall(SYS_exit_group, 3);
	else if (is("stack"))
		overflow(NULL);
	else if (is("guard"))
		pthread_join((pthread_create(&id, NULL, overflow, NULL), id), NULL);
	else if (is("deep") || is("alternate"))
		deeper_calling(&(volatile int){ 0 }, blocks, calls);
	else if (is("stop"))
		raise(SIGSTOP);
	else if (is("heir") && syscall(SYS_fork) > 0)
		raise(SIGKILL);
	else if (is("heir"))
		_exit((int)sleep(2));
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

/* Keeps everything. */
static void eat(uint64_t n)
{
	volatile char *block = malloc(n % 64 ? GROWN : LARGE);

	if (!block && strstr(how, "-abort"))
		abort();
	if (!block && strstr(how, "-stack"))
		overflow(NULL);
	*block = 1;
}

/* A child that goes on for a while. */
static void *work(void *first);

static void fork_now(uint64_t n)
{
	if (fork() == 0) {
		amount = n % 3 ? 100 : 0;
		how = "exit=";
		work(&first_calls);
	}
}

static void *work(void *first)
{
	_Atomic uint64_t *calls = slot();
	struct blocks blocks = { .latest = NULL };
	bool eats = is("eat") || is("as") || is("data"), forks = first && is("forks");
	bool decides = first && !eats && !forks && !is("kill") && !is("group");

	atomic_fetch_add(&ready, 1);
	for (uint64_t n = 0;; n++) {
		if (eats)
			eat(n);
		else
			call(&blocks, n);
		atomic_store_explicit(calls, n + 1, memory_order_release);
		if (decides && n + 1 == (uint64_t)amount)
			die(&blocks, calls);
		if (forks && n % 512 == 511)
			fork_now(n / 512);
	}
	return NULL;
}

/* What /proc/self/status says, in bytes. */
static rlim_t used_bytes(const char *name)
{
	static char text[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	const char *found = read(fd, text, sizeof(text) - 1) > 0 ? strstr(text, name) : NULL;

	close(fd);
	return found ? (rlim_t)atol(found + strlen(name)) << 10 : 0;
}

static void limit_memory(int resource, const char *name)
{
	rlim_t bytes = used_bytes(name) + ((rlim_t)amount << 20);

	if (setrlimit(resource, &(struct rlimit){ bytes, bytes }))
		_exit(94);
}

/* A child kills the group from outside of it. */
static void kill_group(uint32_t processes)
{
	struct timespec time = { amount / 1000000, amount % 1000000 * 1000 };
	pid_t group = getpid();

	/* A child that ends before its record begins makes the run incomplete, and rightly so. */
	while (counts->begun < processes)
		sched_yield();
	if (fork())
		return;
	setpgid(0, 0);
	nanosleep(&time, NULL);
	kill(-group, SIGKILL);
	_exit(0);
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
	uint32_t processes = (uint32_t)children + 1;
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
	if (is("as"))
		limit_memory(RLIMIT_AS, "VmSize:");
	if (is("data"))
		limit_memory(RLIMIT_DATA, "VmData:");
	if (is("group") || is("forks"))
		setpgid(0, 0);
	if (is("forks"))
		signal(SIGCHLD, SIG_IGN);
	while (children-- > 0 && fork())
		;
	counts->begun++;
	if (is("kill"))
		die_after(amount);
	for (long i = 1; i < threads; i++)
		if (pthread_create(&id, NULL, work, NULL))
			return 96;
	while (ready + 1 < threads)
		sched_yield();
	if ((is("group") || is("forks")) && getpgrp() == getpid())
		kill_group(processes);
	work(&id);
	return 0;
}
