/*
 * Captured stacks against libgcc's unwinder, frame by frame, where re-use is most likely to go
 * wrong: every kind of frame in random order, the same sizes with other callers, frames whose size
 * varies, signal handlers, coroutines, code without rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "shim/stack/stack_table.h"
#include "shim/stack/range.h"
#include "shim/stack/unwind.h"
#include "shim/stack/unwind_proof.h"

static struct ring ring;

static struct ring_node *node_at(uint32_t node)
{
	return ht_ring_node(&ring, node);
}
static unsigned compared;

static uint64_t cuts(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STACK_CUT_COUNT; i++)
		sum += ring.head->cut_reasons[i];
	return sum;
}

/* The stack as libgcc sees it, from the first return address `from` outwards. */
struct expected {
	uintptr_t from;
	unsigned count;
	bool begun;
	uintptr_t pcs[2 * STACK_DEPTH_MAX];
};

static _Unwind_Reason_Code expect_one(struct _Unwind_Context *context, void *user)
{
	struct expected *expected = user;
	int before = 0;
	uintptr_t pc = _Unwind_GetIPInfo(context, &before);

	if (!pc)
		return _URC_NO_REASON;
	if (before)
		pc++;
	if (pc == expected->from)
		expected->begun = true;
	if (expected->begun && expected->count < sizeof(expected->pcs) / sizeof(*expected->pcs))
		expected->pcs[expected->count++] = pc;
	return _URC_NO_REASON;
}

static volatile int in_handler;

static __attribute__((noinline)) void compare(uint32_t node, uintptr_t from)
{
	static __thread struct expected by_level[3];
	struct expected *want = &by_level[in_handler];
	unsigned i = 0;

	want->from = from;
	want->count = 0;
	want->begun = false;
	_Unwind_Backtrace(expect_one, want);
	for (; node; node = node_at(node)->parent, i++) {
		if (i >= want->count || node_at(node)->pc != want->pcs[i])
			fail_msg("frame %u: captured %#lx, really %#lx", i,
				 (unsigned long)node_at(node)->pc,
				 i < want->count ? (unsigned long)want->pcs[i] : 0);
	}
	if (i != want->count && (want->count <= ht_stack_depth || i < ht_stack_depth / 2))
		fail_msg("captured %u frames, really %u", i, want->count);
	__atomic_fetch_add(&compared, 1, __ATOMIC_RELAXED);
}

/* Stands for malloc: its caller's stack is captured. */
static __attribute__((noinline)) void allocate(void)
{
	uint32_t node = HT_STACK_OF_CALLER();

	if (!node)
		fail_msg("no stack; %u nodes, %lu cut", ring.head->nodes_used,
			 (unsigned long)cuts());
	compare(node, (uintptr_t)__builtin_return_address(0));
}

static __attribute__((noinline, optimize("O2"))) void allocate_by_jump(void)
{
	allocate();
}

/* -- frames of every kind, calling each other at random -- */

static __thread uint64_t random_state;

static unsigned roll(unsigned sides)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(random_state >> 33) % sides;
}

static void go_on(int depth);

#define KEEP __asm__ volatile("" ::: "memory")

static __attribute__((noinline, optimize("O0"))) void frame_plain(int depth)
{
	go_on(depth);
	KEEP;
}

static __attribute__((noinline, optimize("O2", "omit-frame-pointer"))) void frame_small(int depth)
{
	go_on(depth);
	KEEP;
}

static __attribute__((noinline, optimize("O2", "omit-frame-pointer"))) void frame_same(int depth)
{
	go_on(depth);
	if (roll(4) == 0)
		go_on(depth - 2);
	KEEP;
}

static __attribute__((noinline, optimize("O2", "omit-frame-pointer"))) void frame_twin(int depth)
{
	go_on(depth);
	if (roll(4) == 0)
		go_on(depth - 3);
	KEEP;
}

static __attribute__((noinline, optimize("O2"))) void frame_alloca(int depth)
{
	size_t bytes = 16 + 16 * roll(8);
	char *room = alloca(bytes);

	memset(room, 0x5a, bytes);
	go_on(depth);
	__asm__ volatile("" : : "r"(room) : "memory");
	if (roll(3) == 0) {
		room = alloca(bytes);
		memset(room, 0, bytes);
		go_on(depth - 1);
		__asm__ volatile("" : : "r"(room) : "memory");
	}
}

/* A realigned stack, with and without a size that varies. */
static __attribute__((noinline, optimize("O2"))) void frame_aligned(int depth)
{
	char room[64] __attribute__((aligned(64)));

	memset(room, depth, sizeof(room));
	__asm__ volatile("" : : "r"(room) : "memory");
	go_on(depth);
	__asm__ volatile("" : : "r"(room) : "memory");
}

static __attribute__((noinline, optimize("O2"))) void
frame_realigned(int depth, int a, int b, int c, int d, int e, int on_stack, int more)
{
	char aligned[64] __attribute__((aligned(64)));
	char *room = alloca(16 + 16 * roll(4));

	memset(aligned, a + b + c + d + e + on_stack + more, sizeof(aligned));
	__asm__ volatile("" : : "r"(aligned), "r"(room) : "memory");
	go_on(depth);
	__asm__ volatile("" : : "r"(aligned), "r"(room), "r"(on_stack), "r"(more) : "memory");
}

/* rbp holds data here, and whoever is called saves it. */
static __attribute__((noinline, optimize("O2", "omit-frame-pointer"))) void
frame_fp_is_data(int depth)
{
#if defined(__x86_64__)
	register uint64_t value __asm__("rbp") = random_state;

	__asm__ volatile("" : "+r"(value));
	go_on(depth);
	__asm__ volatile("" : "+r"(value));
#else
	go_on(depth);
	KEEP;
#endif
}

static __thread int sort_depth;

static int sort_compare(const void *a, const void *b)
{
	int depth = sort_depth;

	go_on(depth - 1);
	sort_depth = depth;
	return *(const int *)a - *(const int *)b;
}

static __attribute__((noinline, optimize("O2"))) void frame_library(int depth)
{
	int numbers[] = { 3, 1, 2 };

	sort_depth = depth < 3 ? depth : 3;
	qsort(numbers, 3, sizeof(numbers[0]), sort_compare);
}

static __attribute__((noinline, optimize("O2"))) void frame_nested(int depth)
{
	int seen = 0;

	__attribute__((noinline)) void inner(int further)
	{
		seen += further;
		go_on(further);
		KEEP;
	}
	inner(depth);
	__asm__ volatile("" : : "r"(&seen) : "memory");
}

static __attribute__((noinline)) void go_on(int depth)
{
	while (roll(3) == 0)
		allocate();
	if (depth <= 0) {
		allocate_by_jump();
		KEEP;
		return;
	}
	switch (roll(10)) {
	case 0:
		frame_plain(depth - 1);
		break;
	case 1:
		frame_small(depth - 1);
		break;
	case 2:
		frame_same(depth - 1);
		break;
	case 3:
		frame_twin(depth - 1);
		break;
	case 4:
		frame_alloca(depth - 1);
		break;
	case 5:
		frame_aligned(depth - 1);
		break;
	case 6:
		frame_realigned(depth - 1, 1, 2, 3, 4, 5, 6, 7);
		break;
	case 7:
		frame_fp_is_data(depth - 1);
		break;
	case 8:
		frame_library(depth - 1);
		break;
	default:
		frame_nested(depth - 1);
		break;
	}
	KEEP;
	if (roll(2))
		allocate();
	KEEP;
}

static void test_random_frames(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 400; round++) {
		random_state = round;
		go_on((int)(round % 24));
	}
	assert_int_equal(cuts(), 0);
	assert_true(compared > 1000);
	print_message("%u stacks compared\n", compared);
}

static void *thread_main(void *user)
{
	random_state = (uintptr_t)user;
	for (unsigned round = 0; round < 50; round++)
		go_on((int)(round % 16));
	ht_stack_thread_end();
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[8];

	(void)state;
	for (uintptr_t i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, thread_main, (void *)(i + 77)),
				 0);
	for (unsigned i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(cuts(), 0);
}

/* Two callers with frames of one size take turns at every level. */
static void recurse_a(int depth, unsigned turns);

static __attribute__((noinline, no_icf, optimize("O2"))) void recurse_b(int depth, unsigned turns)
{
	if (depth == 0)
		allocate();
	else if (turns & 1)
		recurse_b(depth - 1, turns >> 1);
	else
		recurse_a(depth - 1, turns >> 1);
	KEEP;
}

static __attribute__((noinline, no_icf, optimize("O2"))) void recurse_a(int depth, unsigned turns)
{
	if (depth == 0)
		allocate();
	else if (turns & 1)
		recurse_b(depth - 1, turns >> 1);
	else
		recurse_a(depth - 1, turns >> 1);
	KEEP;
}

static void test_alternating_recursion(void **state)
{
	(void)state;
	for (unsigned turns = 0; turns < 1024; turns++)
		recurse_a(10, turns * 0x9e3779b9u >> 22);
}

/* -- signals -- */

static void on_signal(int number)
{
	(void)number;
	in_handler++;
	random_state ^= 0x1234;
	allocate();
	frame_alloca((int)roll(2));
	in_handler--;
}

static void handle(int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
}

static __attribute__((noinline)) void raise_at(int depth)
{
	allocate();
	if (depth)
		raise_at(depth - 1);
	else
		kill(getpid(), SIGUSR1);
	allocate();
	KEEP;
}

static void test_signal_frames(void **state)
{
	(void)state;
	handle(0);
	for (int i = 0; i < 20; i++)
		raise_at(i);
	assert_int_equal(cuts(), 0);
}

static void test_signal_stack(void **state)
{
	stack_t stack = { .ss_size = 1 << 16 };

	(void)state;
	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	assert_int_equal(sigaltstack(&stack, NULL), 0);
	handle(SA_ONSTACK);
	for (int i = 0; i < 20; i++)
		raise_at(i);
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
	ht_stack_unmapped((uintptr_t)stack.ss_sp, stack.ss_size);
	munmap(stack.ss_sp, stack.ss_size);
	assert_int_equal(cuts(), 0);
}

/* A handler that captures while captures are going on. Only that it is safe is checked in the
 * interrupted one; the handler's own stack is compared. */
static void test_interrupted_captures(void **state)
{
	struct itimerspec every = { { 0, 200000 }, { 0, 200000 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	timer_t timer;

	(void)state;
	handle(0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	timer_settime(timer, 0, &every, NULL);
	for (unsigned round = 0; round < 200; round++) {
		random_state = round + 1000;
		for (unsigned i = 0; i < 50; i++)
			recurse_a(10, roll(1024));
	}
	timer_delete(timer);
	assert_int_equal(cuts(), 0);
}

/* Out of a handler that interrupted anything. */
static sigjmp_buf jump;

static void on_signal_jump(int number)
{
	(void)number;
	allocate();
	siglongjmp(jump, 1);
}

static void test_longjmp(void **state)
{
	struct sigaction action = { .sa_handler = on_signal_jump };

	(void)state;
	sigaction(SIGUSR1, &action, NULL);
	for (volatile int i = 0; i < 50; i++) {
		if (!sigsetjmp(jump, 1))
			raise_at(i % 7);
		allocate();
		recurse_a(5, (unsigned)i);
	}
}

/* -- coroutines -- */

static ucontext_t main_context, contexts[2];

static void coroutine(int number)
{
	random_state = (uint64_t)number + 5;
	for (unsigned i = 0; i < 20; i++) {
		frame_alloca(3);
		frame_same(2);
		swapcontext(&contexts[number], i % 3 ? &contexts[1 - number] : &main_context);
		allocate();
	}
	for (;;)
		swapcontext(&contexts[number], &main_context);
}

static void test_coroutines(void **state)
{
	enum { BYTES = 1 << 18 };
	char *stacks[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		stacks[i] = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);
		getcontext(&contexts[i]);
		contexts[i].uc_stack.ss_sp = stacks[i];
		contexts[i].uc_stack.ss_size = BYTES;
		makecontext(&contexts[i], (void (*)(void))coroutine, 1, i);
	}
	for (unsigned i = 0; i < 30; i++) {
		swapcontext(&main_context, &contexts[i & 1]);
		allocate();
		recurse_b(4, i);
	}
	for (int i = 0; i < 2; i++) {
		ht_stack_unmapped((uintptr_t)stacks[i], BYTES);
		munmap(stacks[i], BYTES);
	}
	recurse_b(4, 0);
	assert_int_equal(cuts(), 0);
}

/*
 * -- captures that are interrupted --
 *
 * Deterministic: the walk comes to a page of the stack that may not be read, and the handler of the
 * fault allocates. Two coroutines and an alternate signal stack are neighbours in one mapping.
 */
enum { AREA_BYTES = 1 << 18, PAGE = 4096 };

static char *area, *hidden_page;
static ucontext_t below, above;
static char *alternate;
static void (*on_fault)(void);
static unsigned faults;
static sigjmp_buf out_of_fault;
static pid_t test_process;

static void show(void)
{
	mprotect(hidden_page, PAGE, PROT_READ | PROT_WRITE);
}

static void fault(int number)
{
	(void)number;
	show();
	faults++;
	in_handler++;
	on_fault();
	in_handler--;
}

/* Room for a few frames beyond the page that `room` fills. */
static __attribute__((noinline, optimize("O2", "omit-frame-pointer"))) void inner_frames(int depth)
{
	if (depth)
		inner_frames(depth - 1);
	else
		allocate();
	KEEP;
}

static __attribute__((noinline)) void interrupted_capture(void)
{
	volatile char room[3 * PAGE];

	room[0] = 0;
	/* Its caller's frame is above `room`: the last page that `room` is in ends below that. */
	hidden_page = (char *)(((uintptr_t)__builtin_frame_address(0)) & ~(uintptr_t)(PAGE - 1));
	/* A capture across two stacks leaves nothing to compare: the next one walks. */
	raise(SIGUSR1);
	mprotect(hidden_page, PAGE, PROT_NONE);
	inner_frames(5);
	(void)room[PAGE];
}

static void in_coroutine(void)
{
	char own[32 << 10];
	stack_t stack = { .ss_size = sizeof(own), .ss_sp = alternate ? alternate : own };

	assert_int_equal(sigaltstack(&stack, NULL), 0);
	interrupted_capture();
	allocate();
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
	setcontext(&main_context);
}

static void start(ucontext_t *context, char *stack, void (*function)(void))
{
	getcontext(context);
	context->uc_stack.ss_sp = stack;
	context->uc_stack.ss_size = AREA_BYTES;
	makecontext(context, function, 0);
}

/* flags: how SIGSEGV is handled. */
static void interrupt_capture(void (*handler)(void), int flags)
{
	struct sigaction action = { .sa_handler = fault, .sa_flags = flags | SA_NODEFER };
	struct sigaction before;
	unsigned faults_before = faults;

	area = mmap(NULL, 3 * AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	alternate = alternate ? area + 2 * AREA_BYTES : NULL;
	on_fault = handler;
	handle(SA_ONSTACK);
	sigaction(SIGSEGV, &action, &before);
	start(&below, area, in_coroutine);
	swapcontext(&main_context, &below);
	assert_true(faults > faults_before);
	sigaction(SIGSEGV, &before, NULL);
	ht_stack_unmapped((uintptr_t)area, 3 * AREA_BYTES);
	munmap(area, 3 * AREA_BYTES);
	recurse_a(5, 3);
	assert_int_equal(cuts(), 0);
}

static void allocate_in_handler(void)
{
	allocate();
	frame_alloca(2);
}

static void test_alternate_stack_above(void **state)
{
	(void)state;
	alternate = (char *)1;
	interrupt_capture(allocate_in_handler, SA_ONSTACK);
}

/* The handler's stack is an array on the interrupted one. */
static void test_alternate_stack_inside(void **state)
{
	(void)state;
	alternate = NULL;
	interrupt_capture(allocate_in_handler, SA_ONSTACK);
}

static void other_coroutine(void)
{
	in_handler--;
	allocate();
	frame_alloca(3);
	in_handler++;
	setcontext(&contexts[0]);
}

/* As schedulers do that interrupt coroutines by signals. */
static void switch_and_return(void)
{
	start(&above, area + AREA_BYTES, other_coroutine);
	swapcontext(&contexts[0], &above);
	allocate();
}

static void test_coroutine_above(void **state)
{
	(void)state;
	alternate = (char *)1;
	interrupt_capture(switch_and_return, 0);
}

static void raise_another(void)
{
	allocate();
	raise(SIGUSR1);
	allocate();
}

static void test_nested_handlers(void **state)
{
	(void)state;
	alternate = (char *)1;
	interrupt_capture(raise_another, SA_ONSTACK);
}

static void jump_out(void)
{
	in_handler = 0;
	siglongjmp(out_of_fault, 1);
}

/* The capture never goes on. Its stack stays as it was, at first. */
__attribute__((unused)) static void test_abandoned_capture(void **state)
{
	(void)state;
	alternate = (char *)1;
	for (volatile int i = 0; i < 4; i++) {
		if (!sigsetjmp(out_of_fault, 1))
			interrupt_capture(jump_out, i % 2 ? SA_ONSTACK : 0);
		for (unsigned turns = 0; turns < 20; turns++)
			recurse_a(5, turns);
		memset(area, 0, AREA_BYTES);
		for (unsigned turns = 0; turns < 20; turns++)
			recurse_a(5, turns);
	}
	assert_int_equal(cuts(), 0);
}

static void fork_in_handler(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		ht_ring_renew(&ring);
		ht_stacks_attach(&ring, 0);
		return;
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

/* In the child the capture goes on, too. */
static void test_fork_in_capture(void **state)
{
	(void)state;
	alternate = (char *)1;
	test_process = getpid();
	interrupt_capture(fork_in_handler, SA_ONSTACK);
	if (getpid() != test_process)
		_exit(0);
}

/* -- depth -- */

static __attribute__((noinline, optimize("O2"))) void deep(int depth)
{
	if (depth % 3 == 0)
		allocate();
	if (depth)
		deep(depth - 1);
	if (depth % 5 == 0)
		allocate();
	KEEP;
}

static void test_depth(void **state)
{
	uint64_t before = ring.head->cut_reasons[STACK_CUT_DEPTH];

	(void)state;
	deep(STACK_DEPTH_MAX - 200);
	assert_int_equal(ring.head->cut_reasons[STACK_CUT_DEPTH], before);
	deep(STACK_DEPTH_MAX + 2000);
	assert_true(ring.head->cut_reasons[STACK_CUT_DEPTH] > before);
	before = ring.head->cut_reasons[STACK_CUT_DEPTH];
	deep(20);
	assert_int_equal(ring.head->cut_reasons[STACK_CUT_DEPTH], before);
}

#if defined(__x86_64__)
/* Code without any unwind row: with a frame pointer it is followed, otherwise the stack ends there,
 * and that is counted. */
void without_row(void (*function)(void));
void without_row_fp(void (*function)(void));
__asm__(".text\n"
	".type without_row, @function\n"
	"without_row:\n"
	"	subq $24, %rsp\n"
	"	callq *%rdi\n"
	"	addq $24, %rsp\n"
	"	ret\n"
	".size without_row, .-without_row\n"
	".type without_row_fp, @function\n"
	"without_row_fp:\n"
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	subq $32, %rsp\n"
	"	movq $0, (%rsp)\n"
	"	movq %rdi, 8(%rsp)\n"
	"	movq $0, 16(%rsp)\n"
	"	movq $0, 24(%rsp)\n"
	"	callq *%rdi\n"
	"	leave\n"
	"	ret\n"
	".size without_row_fp, .-without_row_fp\n");

static void cut_here(void)
{
	uint32_t node = HT_STACK_OF_CALLER();
	unsigned frames = 0;

	for (; node; node = node_at(node)->parent)
		frames++;
	assert_int_equal(frames, 1);
}

/* fp is this function's in all of them. */
static __attribute__((optimize("no-omit-frame-pointer"))) void test_no_row(void **state)
{
	uint64_t before = ring.head->cut_reasons[STACK_CUT_NO_ROW];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		without_row(cut_here);
	assert_int_equal(ring.head->cut_reasons[STACK_CUT_NO_ROW], before + 3);
}

static uint32_t node_here;

static __attribute__((noinline)) void note_here(void)
{
	node_here = HT_STACK_OF_CALLER();
	KEEP;
}

static __attribute__((noinline)) void through_code_without_rows(int depth)
{
	uint32_t outer;

	if (depth) {
		through_code_without_rows(depth - 1);
		KEEP;
	}
	note_here();
	outer = node_at(node_here)->parent;
	assert_int_not_equal(outer, 0);
	for (unsigned i = 0; i < 3; i++) {
		without_row_fp(note_here);
		assert_int_equal(node_at(node_at(node_at(node_here)->parent)->parent)->pc,
				 node_at(outer)->pc);
		assert_int_equal(node_at(node_at(node_here)->parent)->parent, outer);
	}
	KEEP;
}

static void test_frame_pointer(void **state)
{
	uint64_t before = cuts();

	(void)state;
	through_code_without_rows(0);
	through_code_without_rows(5);
	through_code_without_rows(1);
	assert_int_equal(cuts(), before);
}

/*
 * -- interrupted at every instruction --
 *
 * Functions run step by step, and at each step a handler captures. What is beyond the interrupted frame
 * is always the same.
 */

/* Realigned, as gcc does it: the CFA is in r10 at the beginning and the end. Its rows do not say that
 * the registers were restored. */
void stepped_realigned(void);
extern const char stepped_realigned_end[];
__asm__(".text\n"
	".type stepped_realigned, @function\n"
	"stepped_realigned:\n"
	".cfi_startproc\n"
	"	leaq 8(%rsp), %r10\n"
	"	.cfi_def_cfa 10, 0\n"
	"	andq $-64, %rsp\n"
	"	pushq -8(%r10)\n"
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	.cfi_escape 0x10, 6, 2, 0x76, 0\n" /* rbp: at rbp */
	"	pushq %r12\n"
	"	.cfi_escape 0x10, 12, 2, 0x76, 0x78\n" /* r12: at rbp - 8 */
	"	pushq %r10\n"
	"	.cfi_escape 0x0f, 3, 0x76, 0x70, 6\n" /* CFA: word at rbp - 16 */
	"	xorl %r12d, %r12d\n"
	"	popq %r10\n"
	"	.cfi_def_cfa 10, 0\n"
	"	popq %r12\n"
	"	popq %rbp\n"
	"	leaq -8(%r10), %rsp\n"
	"	.cfi_def_cfa 7, 8\n"
	"	ret\n"
	".cfi_endproc\n"
	"stepped_realigned_end:\n"
	".size stepped_realigned, .-stepped_realigned\n");

/* Without any row; two moves before its frame pointer. */
void stepped_without_row(void);
extern const char stepped_without_row_end[];
__asm__(".text\n"
	".type stepped_without_row, @function\n"
	"stepped_without_row:\n"
	"	endbr64\n"
	"	movq %rdi, %rax\n"
	"	movl %esi, %edi\n"
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	xorl %eax, %eax\n"
	"	popq %rbp\n"
	"	ret\n"
	"stepped_without_row_end:\n"
	".size stepped_without_row, .-stepped_without_row\n");

static uintptr_t stepped_from, stepped_to;
static uint32_t beyond;
static unsigned steps, wrong_steps;
static bool through_made_code;

static void on_step(int number, siginfo_t *info, void *context)
{
	uintptr_t pc = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	uint32_t node;

	(void)number;
	(void)info;
	if (pc < stepped_from || pc >= stepped_to)
		return;
	/* No registers are known beyond code that only keeps a frame pointer. */
	if (through_made_code)
		without_row_fp(note_here);
	else
		note_here();
	for (node = node_here; node && node_at(node)->pc != pc + 1;)
		node = node_at(node)->parent;
	node = node_at(node)->parent; /* the call */
	wrong_steps += node_at(node)->parent != beyond;
	steps++;
}

static __attribute__((noinline, optimize("no-omit-frame-pointer"))) void
step_through(void (*function)(void), const char *end)
{
	/* This frame is found by its frame pointer. */
	char *room = alloca(16 + 16 * roll(4));

	__asm__ volatile("" : : "r"(room) : "memory");
	stepped_from = (uintptr_t)function;
	stepped_to = (uintptr_t)end;
	note_here();
	beyond = node_at(node_here)->parent;
	steps = 0;
	__asm__ volatile("subq $128, %%rsp\n"
			 "pushfq\n"
			 "orq $0x100, (%%rsp)\n"
			 "popfq\n" /* trap after each instruction */
			 "callq *%0\n"
			 "pushfq\n"
			 "andq $~0x100, (%%rsp)\n"
			 "popfq\n"
			 "addq $128, %%rsp\n"
			 :
			 : "r"(function)
			 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory",
			   "cc");
}

static void test_every_instruction(void **state)
{
	struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };
	uint64_t before = cuts();

	(void)state;
	assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
	for (int i = 0; i < 2; i++) {
		through_made_code = i;
		wrong_steps = 0;
		step_through(stepped_realigned, stepped_realigned_end);
		assert_int_equal(steps, 13);
		assert_int_equal(wrong_steps, 0);
		step_through(stepped_without_row, stepped_without_row_end);
		assert_int_equal(steps, 8);
		assert_int_equal(wrong_steps, 0);
	}
	assert_int_equal(cuts(), before);
}
#endif

#if defined(__x86_64__)
/* What code must look like that is left by its frame pointer; each piece follows a call. `at`: where
 * fp points, from sp on, in words; the return address lies above that. */
static void test_proof(void **state)
{
	static const struct {
		const char *code;
		unsigned bytes, at;
		bool keeps;
	} pieces[] = {
		{ "\xc9\xc3", 2, 4, true },		     /* leave; ret */
		{ "\x48\x83\xc4\x20\x5d\xc3", 6, 4, true },  /* add $32, %rsp; pop %rbp; ret */
		{ "\x48\x83\xc4\x18\x5d\xc3", 6, 4, false }, /* add $24, %rsp; pop %rbp; ret */
		{ "\x48\x83\xc4\x20\xc3", 5, 4, false },     /* add $32, %rsp; ret */
		{ "\x48\x89\xec\x5d\xc3", 5, 4, true },	     /* mov %rbp, %rsp; pop %rbp; ret */
		{ "\x48\x8d\x65\xf8\x5b\x5d\xc3", 7, 4,
		  true },				     /* lea -8(%rbp), %rsp; pop %rbx; ... */
		{ "\xc9\x59\xc3", 3, 4, false },	     /* leave; pop %rcx; ret */
		{ "\xc9\x59\x51\xc3", 4, 4, true },	     /* leave; pop %rcx; push %rcx; ret */
		{ "\xc9\x59\x31\xc9\x51\xc3", 6, 4, false }, /* ... xor %ecx, %ecx; ... */
		{ "\x31\xed\xc9\xc3", 4, 4, false },	     /* xor %ebp, %ebp; leave; ret */
		{ "\x75\x01\xcc\xc9\xc3", 5, 4, true },	     /* jne 1f; int3; 1: leave; ret */
		{ "\xeb\x01\xcc\xc9\xc3", 5, 4, true },	     /* jmp 1f; int3; 1: leave; ret */
		{ "\xeb\xfe", 2, 4, false },		     /* 1: jmp 1b */
		{ "\x8b\x45\xf8\xff\xe0", 5, 4, true },	     /* mov -8(%rbp), %eax; jmp *%rax */
		{ "\x8b\x45\x08\xff\xe0", 5, 4, false },     /* mov 8(%rbp), %eax; jmp *%rax */
		{ "\xff\xe0", 2, 4, false },		     /* jmp *%rax */
		{ "\x0f\x0b", 2, 4, false },		     /* ud2 */
	};
	uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t stack[16] = { 0 };
	struct code_view view;

	(void)state;
	assert_true(code != MAP_FAILED);
	for (unsigned i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		memset(code, 0xcc, 4096);
		memcpy(code + 64, pieces[i].code, pieces[i].bytes);
		code_view_begin(&view);
		if (ht_frame_keeps_fp(&view, (uintptr_t)code + 64, (uintptr_t)stack, true,
				      (uintptr_t)&stack[pieces[i].at]) != pieces[i].keeps)
			fail_msg("piece %u", i);
	}
	/* Nothing behind the end of what is mapped is read. */
	memset(code, 0x90, 4096);
	munmap(code, 4096);
	code_view_begin(&view);
	assert_false(ht_frame_keeps_fp(&view, (uintptr_t)code + 64, (uintptr_t)stack, true,
				       (uintptr_t)&stack[4]));
	assert_false(ht_is_return_address(&view, (uintptr_t)code + 64));
}

static uint8_t byte_at(uintptr_t address)
{
	struct code_view view;
	uint8_t byte = 0;

	code_view_begin(&view);
	return ht_code_read(&view, address, &byte, 1) ? byte : 0;
}

/* A file's code is kept until something changes there; code made at run time is not. */
static void test_kept_code(void **state)
{
	int fd = memfd_create("code", MFD_CLOEXEC);
	uint8_t *code, *made;

	(void)state;
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(pwrite(fd, "\x11", 1, 512), 1);
	code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	made = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	assert_true(code != MAP_FAILED && made != MAP_FAILED);
	made[512] = 0x11;
	assert_true(ht_code_is((uintptr_t)code) && ht_code_is((uintptr_t)made));
	assert_int_equal(byte_at((uintptr_t)code + 512), 0x11);
	assert_int_equal(byte_at((uintptr_t)made + 512), 0x11);
	assert_int_equal(pwrite(fd, "\x22", 1, 512), 1);
	made[512] = 0x22;
	assert_int_equal(byte_at((uintptr_t)code + 512), 0x11);
	assert_int_equal(byte_at((uintptr_t)made + 512), 0x22);
	ht_code_forget((uintptr_t)code + 512, (uintptr_t)code + 513);
	assert_int_equal(byte_at((uintptr_t)code + 512), 0x22);
	assert_true(ht_code_is((uintptr_t)code));
	assert_int_equal(byte_at((uintptr_t)code + 512), 0x22);
	ht_stack_unmapped((uintptr_t)code, 4096);
	munmap(code, 4096);
	munmap(made, 4096);
	assert_int_equal(byte_at((uintptr_t)code + 512), 0);
	close(fd);
}
#endif

static int attach(void **state)
{
	(void)state;
	if (ht_ring_make(&ring))
		return 1;
	ht_stacks_attach(&ring, 0);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_frames),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_alternating_recursion),
		cmocka_unit_test(test_signal_frames),
		cmocka_unit_test(test_signal_stack),
		cmocka_unit_test(test_interrupted_captures),
		cmocka_unit_test(test_longjmp),
		cmocka_unit_test(test_coroutines),
		cmocka_unit_test(test_alternate_stack_above),
		cmocka_unit_test(test_alternate_stack_inside),
		cmocka_unit_test(test_coroutine_above),
		cmocka_unit_test(test_nested_handlers),
#ifndef __SANITIZE_ADDRESS__ /* it takes a jump off a signal's stack for a mistake */
		cmocka_unit_test(test_abandoned_capture),
#endif
		cmocka_unit_test(test_fork_in_capture),
		cmocka_unit_test(test_depth),
#if defined(__x86_64__)
		cmocka_unit_test(test_no_row),
		cmocka_unit_test(test_frame_pointer),
		cmocka_unit_test(test_every_instruction),
		cmocka_unit_test(test_proof),
		cmocka_unit_test(test_kept_code),
#endif
	};

	return cmocka_run_group_tests(tests, attach, NULL);
}
