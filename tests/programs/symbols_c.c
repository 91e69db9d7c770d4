/*
 * Allocations whose stacks the source says: a comment SIZE.N marks the line of frame N of the
 * stack that allocates SIZE bytes, counted from the innermost frame in this file; a line
 * "stack SIZE: f g main" names its functions. tests/e2e/symbols.sh reads both.
 *
 * stack 100101: leaf middle main
 * stack 100102: inlined around main
 * stack 100103: compare main
 * stack 100104: descend descend descend main
 * stack 100105: odd even odd main
 * stack 100106: callback through main
 * stack 100107: deep_inner deep_middle deep_outer main
 * stack 100108: changing main
 */
#include <alloca.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))
#define INLINE static inline __attribute__((always_inline))

static void *volatile kept;

static NOINLINE void leaf(size_t bytes)
{
	kept = malloc(bytes); /* 100101.0 */
}

static NOINLINE void middle(size_t bytes)
{
	leaf(bytes); /* 100101.1 */
	kept = NULL;
}

INLINE void inlined(size_t bytes)
{
	kept = malloc(bytes); /* 100102.0 */
}

static NOINLINE void around(size_t bytes)
{
	inlined(bytes); /* 100102.1 */
	kept = NULL;
}

static NOINLINE int compare(const void *a, const void *b)
{
	static int once;

	if (!once++)
		kept = calloc(1, 100103); /* 100103.0 */
	return memcmp(a, b, 1);
}

static NOINLINE void descend(int depth)
{
	if (depth == 0)
		kept = malloc(100104); /* 100104.0 */
	else
		descend(depth - 1); /* 100104.1 100104.2 */
	kept = NULL;
}

static NOINLINE void odd(int depth);

static NOINLINE void even(int depth)
{
	odd(depth - 1); /* 100105.1 */
	kept = NULL;
}

static NOINLINE void odd(int depth)
{
	if (depth == 0)
		kept = realloc(NULL, 100105); /* 100105.0 */
	else
		even(depth); /* 100105.2 */
	kept = NULL;
}

static NOINLINE void callback(void *argument)
{
	kept = aligned_alloc(64, *(size_t *)argument); /* 100106.0 */
}

static NOINLINE void through(void (*volatile function)(void *), void *argument)
{
	function(argument); /* 100106.1 */
	kept = NULL;
}

INLINE void deep_inner(size_t bytes)
{
	kept = malloc(bytes); /* 100107.0 */
}

INLINE void deep_middle(size_t bytes)
{
	deep_inner(bytes); /* 100107.1 */
}

INLINE void deep_outer(size_t bytes)
{
	deep_middle(bytes); /* 100107.2 */
}

static NOINLINE void changing(size_t bytes, size_t room)
{
	char *space = alloca(room);

	memset(space, 1, room);
	kept = malloc(bytes + (size_t)(space[0] - 1)); /* 100108.0 */
	kept = NULL;
}

int main(void)
{
	char letters[] = "zyx";
	size_t bytes = 100106;

	middle(100101);		       /* 100101.2 */
	around(100102);		       /* 100102.2 */
	qsort(letters, 3, 1, compare); /* 100103.1 */
	descend(2);		       /* 100104.3 */
	odd(1);			       /* 100105.3 */
	through(callback, &bytes);     /* 100106.2 */
	deep_outer(100107);	       /* 100107.3 */
	changing(100108, 300);	       /* 100108.1 */
	return 0;
}
