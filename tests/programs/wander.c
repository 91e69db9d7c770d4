/*
 * Calls at random through functions whose frames are of every kind, allocating on the way, and
 * keeps account of its own stack (shadow.h): tests/e2e/stacks_random.sh compares. What a function
 * does depends on a few seeds alone, not on who called it, so that the same inner frames are met
 * again and again beneath others: that is where re-use of the last stack could go wrong.
 *
 * usage: wander FOLDER ROUNDS THREADS [SEED]
 */
#include <alloca.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>
#include <ucontext.h>

#include "tests/programs/shadow.h"

#define COROUTINES 3
#define COROUTINE_BYTES (256u << 10)
#define KEPT 16
#if defined(__x86_64__)
#define HAS_ASSEMBLY 1
#else
#define HAS_ASSEMBLY 0
#endif
#define ROUND_ALLOCATIONS 2000

struct coroutine {
	ucontext_t context, back;
	void *sp, *back_sp; /* of the kind that is switched by hand */
	uint32_t shadow;
	struct jump *jump;
};

struct jump {
	jmp_buf at;
	struct jump *outer;
};

static __thread uint64_t random_state, round_seed;
static __thread int left; /* allocations in this round */
static __thread struct jump *jump;
static __thread void *kept[KEPT];
static __thread struct coroutine coroutines[COROUTINES];
static __thread struct coroutine *inside;

static inline unsigned roll(unsigned sides)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(random_state >> 33) % sides;
}

/* -- allocations -- */

static void keep(void *block)
{
	static __thread unsigned turn;

	free(__atomic_exchange_n(&kept[turn++ % KEPT], block, __ATOMIC_RELAXED));
}

enum {
	SITE_MALLOC = SHADOW_FIRST_SITE,
	SITE_CALLOC,
	SITE_REALLOC,
	SITE_GROW,
	SITE_ALIGNED,
	SITE_ADVICE,
	SITE_STRDUP = SHADOW_FOREIGN_SITE,
};

#define ALLOCATION(name, site, expression)               \
	static SHADOW_NOINLINE void *name(void)          \
	{                                                \
		void *block;                             \
		size_t bytes;                            \
                                                         \
		SHADOW_ENTER();                          \
		bytes = shadow_note(shadow_get(), site); \
		block = (expression);                    \
		SHADOW_LEAVE();                          \
		return block;                            \
	}

ALLOCATION(by_malloc, SITE_MALLOC, malloc(bytes))
ALLOCATION(by_calloc, SITE_CALLOC, calloc(1, bytes))
ALLOCATION(by_realloc, SITE_REALLOC, realloc(NULL, bytes))
ALLOCATION(by_growing, SITE_GROW,
	   realloc(__atomic_exchange_n(&kept[0], NULL, __ATOMIC_RELAXED), bytes))
ALLOCATION(by_aligned, SITE_ALIGNED, memalign(64, bytes))

static char zeros[SHADOW_BYTES + SHADOW_BYTES_STEPS];

/* Called by the C library. */
static SHADOW_NOINLINE void *by_strdup(void)
{
	void *block;

	SHADOW_ENTER();
	block = strndup(zeros, shadow_note(shadow_get(), SITE_STRDUP) - 1);
	SHADOW_LEAVE();
	return block;
}

static SHADOW_NOINLINE void by_advice(void)
{
	static char page[4096] __attribute__((aligned(4096)));

	SHADOW_ENTER();
	madvise(page, shadow_note(shadow_get(), SITE_ADVICE), MADV_NORMAL);
	SHADOW_LEAVE();
}

/* By a jump: the frame is gone by then. */
#ifdef __OPTIMIZE__
static SHADOW_NOINLINE void *by_jump(void)
{
	return malloc(shadow_note(shadow_push(shadow_get(), __builtin_return_address(0)),
				  SHADOW_NO_FRAME));
}
#else
#define by_jump by_malloc
#endif

static void *(*const allocations[])(void) = { by_malloc,  by_malloc,  by_calloc, by_realloc,
					      by_growing, by_aligned, by_strdup, by_jump };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static SHADOW_NOINLINE void allocate(void)
{
	SHADOW_ENTER();
	if (roll(16) == 0)
		by_advice();
	else
		keep(allocations[roll(COUNT(allocations))]());
	SHADOW_KEEP;
	left--;
	SHADOW_LEAVE();
}

/* -- functions -- */

typedef void function(int depth);

static function *pick(void);

/* Back to the innermost setjmp. */
static SHADOW_NOINLINE void jump_out(void)
{
	SHADOW_ENTER();
	allocate();
	if (jump) {
		shadow_unsure();
		longjmp(jump->at, 1);
	}
	SHADOW_LEAVE();
}

/* What every function does. In line, so that each has call sites of its own. */
#define BODY(depth)                                                                       \
	for (unsigned turns_ = 1 + roll(3); turns_ && left > 0; turns_--) {               \
		uint64_t state_;                                                          \
		function *next_ = pick();                                                 \
		int deeper_ = (depth)-1 - (int)roll(4);                                   \
                                                                                          \
		while (roll(4) == 0)                                                      \
			allocate();                                                       \
		if (roll(4) == 0) {                                                       \
			SHADOW_KEEP;                                                      \
			keep(malloc(shadow_note(shadow_get(), SHADOW_ANY_FRAME)));        \
			SHADOW_KEEP;                                                      \
			left--;                                                           \
		}                                                                         \
		if (roll(300) == 0)                                                       \
			jump_out();                                                       \
		state_ = random_state;                                                    \
		random_state = round_seed + (uint64_t)deeper_ * 977 + (roll(2) ? 31 : 0); \
		if (deeper_ > 0)                                                          \
			next_(deeper_);                                                   \
		else                                                                      \
			allocate();                                                       \
		random_state = state_;                                                    \
	}

#define FUNCTION(name, attributes)                                              \
	static SHADOW_NOINLINE __attribute__((attributes)) void name(int depth) \
	{                                                                       \
		SHADOW_ENTER();                                                 \
		BODY(depth);                                                    \
		SHADOW_LEAVE();                                                 \
	}

#define NO_FRAME_POINTER optimize("omit-frame-pointer")

FUNCTION(small_one, NO_FRAME_POINTER)
FUNCTION(small_two, NO_FRAME_POINTER)
FUNCTION(small_three, NO_FRAME_POINTER)
FUNCTION(framed_one, optimize("no-omit-frame-pointer"))
FUNCTION(framed_two, optimize("no-omit-frame-pointer"))

/* All registers saved; and a large frame. */
static SHADOW_NOINLINE void saving(int depth)
{
	SHADOW_ENTER();
#if defined(__x86_64__)
	__asm__ volatile("" ::: "rbx", "r12", "r13", "r14", "r15");
#endif
	BODY(depth);
	SHADOW_LEAVE();
}

static SHADOW_NOINLINE void large(int depth)
{
	char room[3000];

	SHADOW_ENTER();
	__asm__ volatile("" : : "r"(room) : "memory");
	BODY(depth);
	__asm__ volatile("" : : "r"(room) : "memory");
	SHADOW_LEAVE();
}

static SHADOW_NOINLINE void varying(int depth)
{
	size_t bytes = 16 + 16 * roll(6);
	char *room = alloca(bytes);

	SHADOW_ENTER();
	memset(room, 0x5a, bytes);
	BODY(depth);
	__asm__ volatile("" : : "r"(room) : "memory");
	room = alloca(bytes);
	memset(room, 0, bytes);
	BODY(depth);
	__asm__ volatile("" : : "r"(room) : "memory");
	SHADOW_LEAVE();
}

static SHADOW_NOINLINE void aligned(int depth)
{
	char room[64] __attribute__((aligned(64)));

	SHADOW_ENTER();
	__asm__ volatile("" : : "r"(room) : "memory");
	BODY(depth);
	__asm__ volatile("" : : "r"(room) : "memory");
	SHADOW_LEAVE();
}

static SHADOW_NOINLINE void realigned_at(int a, int b, int c, int d, int e, int f, int on_stack,
					 int depth)
{
	char room[64] __attribute__((aligned(64)));
	char *more = alloca(16 + 16 * roll(4));

	SHADOW_ENTER();
	memset(room, a + b + c + d + e + f + on_stack, sizeof(room));
	__asm__ volatile("" : : "r"(room), "r"(more) : "memory");
	BODY(depth);
	__asm__ volatile("" : : "r"(room), "r"(more), "r"(on_stack) : "memory");
	SHADOW_LEAVE();
}

static SHADOW_NOINLINE void realigned(int depth)
{
	SHADOW_ENTER();
	realigned_at(1, 2, 3, 4, 5, 6, 7, depth);
	SHADOW_LEAVE();
}

/* The frame pointer's register holds data: an address in the stack, at the worst. */
static SHADOW_NOINLINE __attribute__((NO_FRAME_POINTER)) void misleading(int depth)
{
	uintptr_t room[4] = { (uintptr_t)room, (uintptr_t)__builtin_return_address(0) };
#if defined(__x86_64__)
	register uintptr_t value __asm__("rbp") = (uintptr_t)room;
#else
	uintptr_t value = (uintptr_t)room;
#endif
	SHADOW_ENTER();
	__asm__ volatile("" : "+r"(value) : "r"(room) : "memory");
	BODY(depth);
	__asm__ volatile("" : "+r"(value) : "r"(room) : "memory");
	SHADOW_LEAVE();
}

/* Leaves return addresses lying about. */
static SHADOW_NOINLINE void littering(int depth)
{
	void *room[32];

	SHADOW_ENTER();
	for (unsigned i = 0; i < COUNT(room); i++)
		room[i] = i & 1 ? __builtin_return_address(0) : (void *)&room[i];
	__asm__ volatile("" : : "r"(room) : "memory");
	BODY(depth);
	SHADOW_LEAVE();
}

static SHADOW_NOINLINE void jumping(int depth)
{
#ifdef __OPTIMIZE__
	pick()(depth);
#else
	SHADOW_ENTER();
	pick()(depth);
	SHADOW_LEAVE();
#endif
}

static __thread int library_depth;

static int on_compare(const void *a, const void *b)
{
	int depth = library_depth;

	SHADOW_ENTER();
	BODY(depth - 2);
	library_depth = depth;
	SHADOW_LEAVE();
	return *(const int *)a - *(const int *)b;
}

static SHADOW_NOINLINE void sorting(int depth)
{
	int numbers[] = { 2, 1 };

	SHADOW_ENTER();
	library_depth = depth;
	shadow_mark(SHADOW_ANY);
	qsort(numbers, COUNT(numbers), sizeof(numbers[0]), on_compare);
	SHADOW_LEAVE();
}

static SHADOW_NOINLINE void catching(int depth)
{
	struct jump here = { .outer = jump };
	volatile uint64_t state = random_state;
	volatile uint32_t node;
	volatile int room = depth;

	SHADOW_ENTER();
	node = shadow_get();
	if (!setjmp(here.at)) {
		jump = &here;
		BODY(room);
	} else {
		shadow_sure(node);
		random_state = state + 1;
		allocate();
	}
	jump = here.outer;
	SHADOW_LEAVE();
}

/*
 * What only frame pointers tell apart: callers of one call site and one frame size leave room on the
 * stack, and whom they call leaves the rest of it, so that everything further in lies where it lay
 * before. Nothing is written there: the last return address into another one of them is still to be
 * found where it was. The same where a frame is aligned, which takes up what its caller left.
 */
#define SHIFT_BYTES 1024

#define LEAF(name)                             \
	static SHADOW_NOINLINE void name(void) \
	{                                      \
		SHADOW_ENTER();                \
		SHADOW_KEEP;                   \
		keep(by_malloc());             \
		SHADOW_KEEP;                   \
		SHADOW_LEAVE();                \
	}
LEAF(leaf_one)
LEAF(leaf_two)

static void (*const leaves[])(void) = { leaf_one, leaf_two };

#define SHIFTED_BODY(depth)                                     \
	for (unsigned times_ = 1 + roll(3); times_; times_--) { \
		leaves[roll(COUNT(leaves))]();                  \
		left--;                                         \
	}                                                       \
	if (roll(6) == 0)                                       \
	BODY((depth)-3)

static SHADOW_NOINLINE void shifted(size_t bytes, int depth, int c, int d, int e, int f,
				    int on_stack, int more)
{
	char *room = alloca(bytes);

	SHADOW_ENTER();
	__asm__ volatile("" : : "r"(room), "r"(c + d + e + f + on_stack + more) : "memory");
	SHIFTED_BODY(depth);
	__asm__ volatile("" : : "r"(room) : "memory");
	SHADOW_LEAVE();
}

/* With arguments on the stack and a size that varies: its CFA is kept in the frame. */
static SHADOW_NOINLINE void shifted_aligned(size_t bytes, int depth, int c, int d, int e, int f,
					    int on_stack, int more)
{
	char room[64] __attribute__((aligned(256)));
	char *varying_room = alloca((bytes & 1) + 16);

	SHADOW_ENTER();
	__asm__ volatile("" : : "r"(room), "r"(varying_room), "r"(c + d + e + f) : "memory");
	SHIFTED_BODY(depth);
	__asm__ volatile("" : : "r"(room), "r"(varying_room), "r"(on_stack + more) : "memory");
	SHADOW_LEAVE();
}

static void (*const inner_shifts[])(size_t bytes, int depth, int c, int d, int e, int f,
				    int on_stack, int more) = { shifted, shifted_aligned };

#define SHIFT(name)                                                              \
	static SHADOW_NOINLINE void name(size_t here, unsigned kind, int depth)  \
	{                                                                        \
		char *room = alloca(here);                                       \
                                                                                 \
		SHADOW_ENTER();                                                  \
		__asm__ volatile("" : : "r"(room) : "memory");                   \
		inner_shifts[kind](SHIFT_BYTES - here, depth, 1, 2, 3, 4, 5, 6); \
		__asm__ volatile("" : : "r"(room) : "memory");                   \
		SHADOW_LEAVE();                                                  \
	}
SHIFT(shift_one)
SHIFT(shift_two)
SHIFT(shift_three)

static void (*const shifts[])(size_t here, unsigned kind, int depth) = { shift_one, shift_two,
									 shift_three };

static SHADOW_NOINLINE void shifting(int depth)
{
	SHADOW_ENTER();
	for (unsigned i = 0; i < 5 && left > 0; i++) {
		unsigned kind = roll(2);

		shifts[roll(COUNT(shifts))](16 * (size_t)roll(kind ? 16 : SHIFT_BYTES / 16), kind,
					    depth);
	}
	SHADOW_LEAVE();
}

/* -- coroutines -- */

#if HAS_ASSEMBLY
void switch_by_hand(void **save_sp, void *sp);
/* No unwind rows, as libraries that switch stacks have none. */
__asm__(".text\n"
	".type switch_by_hand, @function\n"
	"switch_by_hand:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size switch_by_hand, .-switch_by_hand\n");

/*
 * Code without unwind rows that calls the function it is given: as it stands here, and copied, as code
 * made at run time. Some of it keeps a frame pointer, and is left by that; where it does not, nobody
 * can know its caller, though rbp leads to something that looks like a frame in all of them.
 */
extern const char bare_begin[], bare_end[];
typedef void bare_call(function *next, int depth);
bare_call bare_plain, bare_padded, bare_data, bare_data_used, bare_in_framed, bare_jumping;
bare_call framed_plain, framed_littered, framed_saving, framed_in_bare, framed_branching,
	framed_dispatching;
__asm__(".text\n"
	"bare_begin:\n"
	"bare_plain:\n" /* rbp is that of a frame further out */
	"	movq %rdi, %rax\n"
	"	movl %esi, %edi\n"
	"	subq $8, %rsp\n"
	"	callq *%rax\n"
	"	addq $8, %rsp\n"
	"	ret\n"
	"bare_padded:\n" /* the same, with a return address for litter */
	"	movq %rdi, %rax\n"
	"	movl %esi, %edi\n"
	"	pushq (%rsp)\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	callq *%rax\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rcx\n"
	"	ret\n"
	"bare_data:\n" /* rbp leads to what could be a frame, in the middle of its variables */
	"	pushq %rbp\n"
	"	subq $48, %rsp\n"
	"	movq 56(%rsp), %rax\n"
	"	movq %rax, 24(%rsp)\n"
	"	leaq 128(%rsp), %rax\n"
	"	movq %rax, 16(%rsp)\n"
	"	leaq 16(%rsp), %rbp\n"
	"	movq %rdi, %rax\n"
	"	movl %esi, %edi\n"
	"	callq *%rax\n"
	"	addq $48, %rsp\n"
	"	popq %rbp\n"
	"	ret\n"
	"bare_data_used:\n" /* and it accesses what lies below there */
	"	pushq %rbp\n"
	"	subq $48, %rsp\n"
	"	movq 56(%rsp), %rax\n"
	"	movq %rax, 24(%rsp)\n"
	"	leaq 128(%rsp), %rax\n"
	"	movq %rax, 16(%rsp)\n"
	"	leaq 16(%rsp), %rbp\n"
	"	movq %rdi, %rax\n"
	"	movl %esi, %edi\n"
	"	callq *%rax\n"
	"	movq $0, -8(%rbp)\n"
	"	testq %rsp, %rsp\n"
	"	jz 1f\n"
	"	addq $48, %rsp\n"
	"	popq %rbp\n"
	"	ret\n"
	"1:	addq $48, %rsp\n"
	"	popq %rbp\n"
	"	leaq bare_plain(%rip), %rax\n"
	"	jmpq *%rax\n"
	"bare_jumping:\n" /* accesses its caller's variables, and is left by a jump */
	"	movq %rdi, %rax\n"
	"	movl %esi, %edi\n"
	"	subq $8, %rsp\n"
	"	callq *%rax\n"
	"	leaq -8(%rbp), %rcx\n"
	"	addq $8, %rsp\n"
	"	leaq 1f(%rip), %rax\n"
	"	jmpq *%rax\n"
	"1:	ret\n"
	"framed_plain:\n"
	"	movq %rdi, %rax\n"
	"	movl %esi, %edi\n"
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	callq *%rax\n"
	"	popq %rbp\n"
	"	ret\n"
	"framed_littered:\n" /* return addresses lie about in it */
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	subq $64, %rsp\n"
	"	movq 8(%rbp), %rax\n"
	"	movq %rax, (%rsp)\n"
	"	movq %rax, 24(%rsp)\n"
	"	movq %rax, 56(%rsp)\n"
	"	movq %rdi, %rax\n"
	"	movl %esi, %edi\n"
	"	callq *%rax\n"
	"	leave\n"
	"	ret\n"
	"framed_saving:\n"
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	movq %rdi, %rax\n"
	"	movl %esi, %edi\n"
	"	callq *%rax\n"
	"	leaq -16(%rbp), %rsp\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	"framed_branching:\n" /* as it goes straight on, it does not come back */
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	movq %rdi, %rax\n"
	"	movl %esi, %edi\n"
	"	callq *%rax\n"
	"	testq %rsp, %rsp\n"
	"	jnz 2f\n"
	"1:	movq 4096, %rbp\n"
	"	jmp 1b\n"
	"2:	jmp 3f\n"
	"	ud2\n"
	"3:	movq (%rbp), %rbp\n"
	"	popq %rcx\n"
	"	popq %rcx\n"
	"	pushq %rcx\n"
	"	ret\n"
	"framed_dispatching:\n" /* how it is left cannot be seen */
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	pushq %rax\n"
	"	pushq %rax\n"
	"	movq $0, -8(%rbp)\n"
	"	movq $0, -16(%rbp)\n"
	"	movq %rdi, %rax\n"
	"	movl %esi, %edi\n"
	"	callq *%rax\n"
	"	movq $1, -8(%rbp)\n"
	"	leaq 1f(%rip), %rax\n"
	"	jmpq *%rax\n"
	"1:	leave\n"
	"	ret\n"
	"bare_in_framed:\n"
	"	pushq %rbp\n"
	"	movq %rsp, %rbp\n"
	"	callq bare_plain\n"
	"	popq %rbp\n"
	"	ret\n"
	"framed_in_bare:\n"
	"	subq $8, %rsp\n"
	"	callq framed_plain\n"
	"	addq $8, %rsp\n"
	"	ret\n"
	"bare_end:\n");
#endif

static SHADOW_NOINLINE void yield(struct coroutine *self)
{
	uint32_t node;

	SHADOW_ENTER();
	allocate();
	node = shadow_get();
	shadow_unsure();
#if HAS_ASSEMBLY
	if (self->back_sp)
		switch_by_hand(&self->sp, self->back_sp);
	else
#endif
		swapcontext(&self->context, &self->back);
	shadow_sure(node);
	allocate();
	SHADOW_LEAVE();
}

static void coroutine_main(void)
{
	unsigned turn = 0;

	SHADOW_ENTER();
	shadow_sure(shadow_get());
	(void)shadow_outer;
	for (;;) {
		random_state = round_seed + turn++ % 3;
		BODY(6);
		yield(inside);
	}
}

static SHADOW_NOINLINE void switching(int depth)
{
	struct coroutine *coroutine = &coroutines[roll(COROUTINES)];
	uint64_t state = random_state;
	struct jump *outer_jump = jump;
	uint32_t node;

	SHADOW_ENTER();
	if (inside || shadow.level) {
		if (inside && !shadow.level)
			yield(inside);
		SHADOW_LEAVE();
		return;
	}
	node = shadow_get();
	shadow_unsure();
	shadow_set(coroutine->shadow);
	jump = coroutine->jump;
	inside = coroutine;
#if HAS_ASSEMBLY
	if (coroutine->sp)
		switch_by_hand(&coroutine->back_sp, coroutine->sp);
	else
#endif
		swapcontext(&coroutine->back, &coroutine->context);
	inside = NULL;
	coroutine->jump = jump;
	coroutine->shadow = shadow_get();
	jump = outer_jump;
	shadow_sure(node);
	random_state = state;
	BODY(depth);
	SHADOW_LEAVE();
}

static SHADOW_NOINLINE void coroutine_make(struct coroutine *coroutine, bool by_hand)
{
	char *stack = mmap(NULL, COROUTINE_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void **top = (void **)(stack + COROUTINE_BYTES) - 3;

	if (stack == MAP_FAILED)
		_exit(95);
	if (by_hand) {
		top[0] = NULL; /* its entry's return address */
		top[-1] = (void *)coroutine_main;
		coroutine->sp = top - 7;
		return;
	}
	getcontext(&coroutine->context);
	coroutine->context.uc_stack.ss_sp = stack;
	coroutine->context.uc_stack.ss_size = COROUTINE_BYTES;
	makecontext(&coroutine->context, coroutine_main, 0);
}

static void coroutines_make(void)
{
	for (unsigned i = 0; i < COROUTINES; i++)
		coroutine_make(&coroutines[i], HAS_ASSEMBLY && i == 0);
}

/* -- code without unwind rows -- */

#if HAS_ASSEMBLY
static bare_call *const bare[] = { bare_plain,	 bare_padded,	 bare_data,	bare_data_used,
				   bare_jumping, bare_in_framed, framed_in_bare };
static bare_call *const framed[] = { framed_plain, framed_littered, framed_saving, framed_branching,
				     framed_dispatching };
static intptr_t made_code; /* how far from them they are once more */

static bare_call *bare_pick(bare_call *const calls[], unsigned count)
{
	bare_call *call = calls[roll(count)];

	return made_code && roll(2) ? (bare_call *)((uintptr_t)call + (uintptr_t)made_code) : call;
}

static void code_make(void)
{
	char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (code == MAP_FAILED)
		return;
	memcpy(code, bare_begin, (size_t)(bare_end - bare_begin));
	if (mprotect(code, 4096, PROT_READ | PROT_EXEC) == 0)
		made_code = code - bare_begin;
}
#else
static void code_make(void)
{
}
#endif

static SHADOW_NOINLINE void unknown(int depth)
{
	SHADOW_ENTER();
#if HAS_ASSEMBLY
	struct jump *outer_jump = jump;

	jump = NULL;
	if (roll(2)) {
		shadow_mark(SHADOW_ANY);
		bare_pick(framed, COUNT(framed))(pick(), depth < 4 ? depth : 4);
	} else {
		shadow_mark(SHADOW_CUT);
		bare_pick(bare, COUNT(bare))(pick(), depth < 4 ? depth : 4);
	}
	jump = outer_jump;
#else
	BODY(depth);
#endif
	SHADOW_LEAVE();
}

static function *const functions[] = { small_one, small_two,  small_three, framed_one, framed_two,
				       saving,	  large,      varying,	   varying,    aligned,
				       realigned, misleading, littering,   jumping,    jumping,
				       sorting,	  catching,   shifting,	   shifting };

static function *pick(void)
{
	if (roll(60) == 0)
		return roll(6) ? switching : unknown;
	return functions[roll(COUNT(functions))];
}

/* -- signals -- */

static void on_signal(int number)
{
	uint64_t state = random_state;
	struct jump *outer_jump = jump;
	int outer_left = left, depth = library_depth;
	int unsure = shadow_signal_enter();
	sigset_t other;

	SHADOW_ENTER();
	jump = NULL;
	left = 6;
	allocate();
	if (number == SIGUSR1) {
		sigemptyset(&other);
		sigaddset(&other, SIGUSR2);
		pthread_sigmask(SIG_UNBLOCK, &other, NULL);
	}
	BODY(5);
	if (number == SIGUSR1)
		pthread_sigmask(SIG_BLOCK, &other, NULL);
	SHADOW_LEAVE();
	shadow_signal_leave(unsure);
	left = outer_left;
	library_depth = depth;
	jump = outer_jump;
	random_state = state;
}

static void signals_begin(timer_t timers[2])
{
	const int numbers[] = { SIGUSR1, SIGUSR2 };
	stack_t stack = { .ss_size = 128u << 10 };

	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	sigaltstack(&stack, NULL);
	for (int i = 0; i < 2; i++) {
		struct sigaction action = { .sa_handler = on_signal,
					    .sa_flags = SA_RESTART | (i ? SA_ONSTACK : 0) };
		struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
					  .sigev_signo = numbers[i] };
		long every = i ? 1100000 : 700000;
		struct itimerspec times = { { 0, every }, { 0, every } };

		sigaddset(&action.sa_mask, SIGUSR1);
		sigaddset(&action.sa_mask, SIGUSR2);
		sigaction(numbers[i], &action, NULL);
		event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
		if (timer_create(CLOCK_MONOTONIC, &event, &timers[i]) < 0 ||
		    timer_settime(timers[i], 0, &times, NULL) < 0)
			_exit(94);
	}
}

/* -- */

static unsigned rounds, seed;

/* Each round begins somewhere else on the stack. */
static SHADOW_NOINLINE void one_round(unsigned round)
{
	size_t bytes = 16 + round % 7 * 16;
	char *room = alloca(bytes);

	SHADOW_ENTER();
	memset(room, 0, bytes);
	round_seed = seed + round % 61;
	random_state = round_seed;
	left = ROUND_ALLOCATIONS;
	for (int i = 0; i < 20 && left > 0; i++)
		BODY(round % 10 == 0 ? 300 : 10 + (int)round % 30);
	__asm__ volatile("" : : "r"(room) : "memory");
	SHADOW_LEAVE();
}

static void wander(void)
{
	timer_t timers[2];

	SHADOW_ENTER();
	coroutines_make();
	signals_begin(timers);
	for (unsigned round = 0; round < rounds; round++)
		one_round(round);
	timer_delete(timers[0]);
	timer_delete(timers[1]);
	SHADOW_LEAVE();
}

static void *thread_main(void *user)
{
	shadow_begin();
	SHADOW_ENTER();
	wander();
	SHADOW_LEAVE();
	return user;
}

int main(int argc, char **argv)
{
	pthread_t threads[16];
	unsigned count;

	if (argc < 4)
		return 2;
	shadow_folder = argv[1];
	rounds = (unsigned)atoi(argv[2]);
	count = (unsigned)atoi(argv[3]);
	seed = argc > 4 ? (unsigned)atoi(argv[4]) : 0;
	if (count > COUNT(threads))
		return 2;
	memset(zeros, 'x', sizeof(zeros));
	shadow_begin();
	SHADOW_ENTER();
	code_make();
	for (unsigned i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, thread_main, NULL);
	wander();
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	SHADOW_LEAVE();
	return 0;
}
