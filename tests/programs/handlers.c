/*
 * Signal handlers that use malloc's whole family whatever they interrupt, most of all malloc itself,
 * for blocks of the very sizes that the program is taking and freeing right then, and for the very same
 * blocks: whoever empties a slot may resize or free what was in it, be it the program, a handler that
 * interrupted it, a handler that interrupted that one, or another thread. Every byte of every block is
 * looked at. (Under the C library's own malloc this hangs or dies at once.)
 *
 * With "jump", handlers leave by siglongjmp in the end, now and then out of malloc and free; what was
 * in hand then is lost, and all else goes on as ever.
 *
 * usage: handlers SIGNALS THREADS [jump]
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/programs/say.h"

#define OWN_SLOTS 64
#define SHARED_SLOTS 256
#define JUMPS 300
#define JUMP_BYTES 64
#define AFTER_BYTES 4321u /* asked for by the thread that was jumped about in, when that is over */
#define AFTER_BLOCKS 100

struct block {
	uint32_t bytes;
	uint8_t value;
	uint8_t rest[];
};

static struct block *shared[SHARED_SLOTS];
static atomic_long wrong, refused, handled;
static long signals;

static __thread struct block *own[OWN_SLOTS];
static __thread uint32_t random_state;
static __thread volatile sig_atomic_t may_jump, jumping, fired[2];
static __thread timer_t timers[2];
static __thread sigjmp_buf again;

/* Handlers use the same state: the more random the better. */
static uint32_t roll(uint32_t sides)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % sides;
}

static size_t some_bytes(void)
{
	uint32_t kind = roll(200);

	if (jumping)
		return 2 * JUMP_BYTES + roll(200);
	if (kind == 0)
		return 33000 + roll(60000);
	return kind < 20 ? 8 + roll(3000) : 8 + roll(64);
}

static struct block *fill(void *memory, size_t bytes)
{
	struct block *block = memory;

	if (!block) {
		refused++;
		return NULL;
	}
	block->bytes = (uint32_t)bytes;
	block->value = (uint8_t)roll(256);
	memset(block->rest, block->value, bytes - offsetof(struct block, rest));
	return block;
}

static void check(const struct block *block, size_t bytes)
{
	for (size_t i = 0; i < bytes - offsetof(struct block, rest); i++) {
		if (block->rest[i] != block->value) {
			wrong++;
			return;
		}
	}
}

static struct block *make(void)
{
	size_t bytes = some_bytes();
	uint8_t *zeroed;

	switch (roll(8)) {
	case 0:
		zeroed = calloc(1, bytes);
		for (size_t i = 0; zeroed && i < bytes; i++)
			wrong += zeroed[i] != 0;
		return fill(zeroed, bytes);
	case 1:
		return fill(memalign(64, bytes), bytes);
	case 2:
		return fill(realloc(NULL, bytes), bytes);
	default:
		return fill(malloc(bytes), bytes);
	}
}

static struct block *resize(struct block *block)
{
	size_t bytes = some_bytes(), old = block->bytes;
	struct block *resized = realloc(block, bytes);

	if (!resized) {
		refused++;
		return block;
	}
	check(resized, old < bytes ? old : bytes);
	return fill(resized, bytes);
}

static void drop(struct block *block)
{
	if (!block)
		return;
	check(block, block->bytes);
	free(block);
}

static void use_slot(void)
{
	struct block **slot = roll(4) ? &own[roll(OWN_SLOTS)] : &shared[roll(SHARED_SLOTS)];
	struct block *block = __atomic_exchange_n(slot, NULL, __ATOMIC_ACQ_REL);

	if (!block)
		block = make();
	else if (roll(4) == 0)
		block = resize(block);
	else {
		drop(block);
		block = roll(2) ? make() : NULL;
	}
	drop(__atomic_exchange_n(slot, block, __ATOMIC_ACQ_REL));
}

static void on_signal(int number)
{
	int saved = errno;
	sigset_t other;

	handled++;
	fired[number == SIGUSR2] = 1;
	if (number == SIGUSR1) {
		sigemptyset(&other);
		sigaddset(&other, SIGUSR2);
		pthread_sigmask(SIG_UNBLOCK, &other, NULL);
	}
	for (uint32_t turns = 1 + roll(4); turns; turns--)
		use_slot();
	if (number == SIGUSR1)
		pthread_sigmask(SIG_BLOCK, &other, NULL);
	if (errno != saved)
		wrong++;
	if (number == SIGUSR1 && may_jump) {
		may_jump = 0;
		siglongjmp(again, 1);
	}
}

/* Each timer again, once the program has got on: handlers alone would get nowhere. */
static void go_on(void)
{
	for (int i = 0; i < 2; i++) {
		struct itimerspec once = { .it_value.tv_nsec = 2000 + roll(i ? 90000 : 50000) };

		if (!fired[i])
			continue;
		fired[i] = 0;
		timer_settime(timers[i], 0, &once, NULL);
	}
}

static void timers_begin(void)
{
	const int numbers[] = { SIGUSR1, SIGUSR2 };
	stack_t stack = { .ss_size = 256u << 10 };

	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	sigaltstack(&stack, NULL);
	for (int i = 0; i < 2; i++) {
		struct sigaction action = { .sa_handler = on_signal,
					    .sa_flags = SA_RESTART | (i ? SA_ONSTACK : 0) };
		struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
					  .sigev_signo = numbers[i] };
		sigaddset(&action.sa_mask, SIGUSR1);
		sigaddset(&action.sa_mask, SIGUSR2);
		sigaction(numbers[i], &action, NULL);
		event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
		if (timer_create(CLOCK_MONOTONIC, &event, &timers[i]) < 0)
			_exit(94);
		fired[i] = 1;
	}
}

static void pair(void)
{
	struct block *block = malloc(JUMP_BYTES);

	block->bytes = JUMP_BYTES;
	block->value = 0x5a;
	block->rest[0] = 0x5a;
	if (block->rest[0] != 0x5a || block->bytes != JUMP_BYTES)
		wrong++;
	free(block);
}

/* There are free blocks enough for all that the jumps will cost, and handlers keep to other sizes, so
 * that no jump leaves malloc while it holds a lock. */
static void jump_about(void)
{
	static struct block *reserve[8 * JUMPS];
	static volatile int jumps;

	jumping = 1;
	for (unsigned i = 0; i < 8 * JUMPS; i++)
		reserve[i] = fill(malloc(JUMP_BYTES), JUMP_BYTES);
	for (unsigned i = 0; i < 8 * JUMPS; i += 2)
		free(reserve[i]);
	if (sigsetjmp(again, 1))
		jumps++;
	may_jump = jumps < JUMPS;
	while (may_jump) {
		go_on();
		pair();
	}
	for (unsigned i = 1; i < 8 * JUMPS; i += 2)
		drop(reserve[i]);
}

static void *thread_main(void *first)
{
	random_state = (uint32_t)(uintptr_t)&timers;
	timers_begin();
	while (handled < signals) {
		go_on();
		use_slot();
	}
	if (first)
		jump_about();
	timer_delete(timers[0]);
	timer_delete(timers[1]);
	for (unsigned i = 0; first && i < AFTER_BLOCKS; i++)
		free(malloc(AFTER_BYTES));
	for (unsigned i = 0; i < OWN_SLOTS; i++)
		drop(own[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[16];
	long count;

	if (argc < 3)
		return 2;
	signals = atol(argv[1]);
	count = atol(argv[2]);
	if (count < 1 || count > 16)
		return 2;
	for (long i = 1; i < count; i++)
		pthread_create(&threads[i], NULL, thread_main, NULL);
	thread_main(argc > 3 ? argv[3] : NULL);
	for (long i = 1; i < count; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < SHARED_SLOTS; i++)
		drop(shared[i]);
	say("%ld wrong, %ld refused\n", (long)wrong, (long)refused);
	say_write();
	return 7;
}
