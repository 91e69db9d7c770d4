// As wander.c, in C++: exceptions thrown through frames of every kind, caught, rethrown, and passed
// on by destructors that allocate; virtual functions, templates, lambdas.
//
// usage: wander_cxx FOLDER ROUNDS THREADS [SEED]

#include <alloca.h>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/programs/shadow.h"

namespace
{
thread_local uint64_t random_state, round_seed;
thread_local int left, catchers;
thread_local void *kept[16];
unsigned rounds, seed;

unsigned roll(unsigned sides)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return static_cast<unsigned>(random_state >> 33) % sides;
}

#define INLINE inline __attribute__((always_inline))

// The function it stands in is on the account until it is left, by an exception too.
class Scope
{
      public:
	INLINE explicit Scope(void *ret) : outer(shadow_get()), self(shadow_push(outer, ret))
	{
		shadow_set(self);
	}
	INLINE ~Scope()
	{
		shadow_set(outer);
	}
	Scope(const Scope &) = delete;
	Scope &operator=(const Scope &) = delete;
	INLINE void again() const
	{
		shadow_set(self);
	}

      private:
	uint32_t outer, self;
};

#define SCOPE() const Scope scope(__builtin_return_address(0))

enum {
	SITE_MALLOC = SHADOW_FIRST_SITE,
	SITE_NEW = SHADOW_FOREIGN_SITE, // operator new is in another object
	SITE_NEW_ARRAY,
};

SHADOW_NOINLINE void *by_malloc()
{
	SCOPE();
	return malloc(shadow_note(shadow_get(), SITE_MALLOC));
}

SHADOW_NOINLINE void *by_new()
{
	SCOPE();
	return ::operator new(shadow_note(shadow_get(), SITE_NEW));
}

SHADOW_NOINLINE void *by_new_array()
{
	SCOPE();
	return ::operator new[](shadow_note(shadow_get(), SITE_NEW_ARRAY));
}

SHADOW_NOINLINE void allocate()
{
	SCOPE();
	static void *(*const ways[])() = { by_malloc, by_new, by_new_array, by_new };
	void *block = ways[roll(4)]();

	std::swap(block, kept[roll(16)]);
	free(block);
	left--;
}

void go_on(int depth);
void catching(int depth);

struct Failure : std::runtime_error {
	explicit Failure(int how) : std::runtime_error("a failure"), severity(how)
	{
	}
	int severity;
};

// What each function does: as BODY in wander.c.
template <int Which> INLINE void body(int depth)
{
	for (unsigned turns = 1 + roll(3); turns && left > 0; turns--) {
		uint64_t state = random_state;
		int deeper = depth - 1 - static_cast<int>(roll(4));

		while (roll(4) == 0)
			allocate();
		if (roll(40) == 0 && catchers)
			throw Failure(static_cast<int>(roll(5)) + Which % 2);
		state += random_state;
		random_state = round_seed + static_cast<uint64_t>(deeper) * 977 + roll(2) * 31;
		if (deeper > 0)
			go_on(deeper);
		else
			allocate();
		random_state = state;
	}
}

template <int Which> SHADOW_NOINLINE void plain(int depth)
{
	SCOPE();
	body<Which>(depth);
	SHADOW_KEEP;
}

template <int Which> SHADOW_NOINLINE void varying(int depth)
{
	SCOPE();
	size_t bytes = 16 + 16 * roll(6);
	char *room = static_cast<char *>(alloca(bytes));

	memset(room, Which, bytes);
	__asm__ volatile("" : : "r"(room) : "memory");
	body<Which>(depth);
}

template <int Which> SHADOW_NOINLINE void aligned(int depth)
{
	SCOPE();
	alignas(64) char room[64];

	__asm__ volatile("" : : "r"(room) : "memory");
	body<Which>(depth);
}

SHADOW_NOINLINE void catching(int depth)
{
	SCOPE();
	uint64_t state = random_state;

	catchers++;
	try {
		body<10>(depth);
	} catch (const Failure &failure) {
		scope.again();
		allocate();
		catchers--;
		if (failure.severity > 3 && catchers) {
			random_state = state + 7;
			throw;
		}
		if (failure.severity > 2 && catchers)
			throw Failure(failure.severity - 1);
		random_state = state + 1;
		allocate();
		return;
	}
	catchers--;
}

// Allocates when it is destroyed, most of all by an exception on its way.
struct Cleaner {
	int depth;

	SHADOW_NOINLINE ~Cleaner()
	{
		SCOPE();
		allocate();
		if (depth > 3 && roll(2))
			inner();
	}
	// Thrown and caught while another exception is on its way.
	SHADOW_NOINLINE void inner() const
	{
		SCOPE();
		int outer_catchers = catchers;

		catchers = 0; // nothing may leave the destructor
		catching(3);
		catchers = outer_catchers;
	}
};

SHADOW_NOINLINE void cleaning(int depth)
{
	SCOPE();
	Cleaner cleaner{ depth };

	body<11>(depth);
}

struct Shape {
	virtual ~Shape() = default;
	virtual void draw(int depth) const = 0;
};

template <int Which> struct Figure : Shape {
	SHADOW_NOINLINE void draw(int depth) const override
	{
		SCOPE();
		body<Which>(depth);
		SHADOW_KEEP;
	}
};

struct Secondary {
	virtual ~Secondary() = default;
	virtual void draw_too(int depth) const = 0;
};

// draw_too() by way of a thunk.
struct Both : Figure<20>, Secondary {
	SHADOW_NOINLINE void draw_too(int depth) const override
	{
		SCOPE();
		body<21>(depth);
		SHADOW_KEEP;
	}
};

SHADOW_NOINLINE void drawing(int depth)
{
	SCOPE();
	static const Figure<22> one;
	static const Figure<23> two;
	static const Both both;
	static const Shape *const shapes[] = { &one, &two, &both };

	shapes[roll(3)]->draw(depth);
	static_cast<const Secondary &>(both).draw_too(depth - 2);
	SHADOW_KEEP;
}

SHADOW_NOINLINE void through_qsort(int depth)
{
	SCOPE();
	static thread_local int library_depth;
	int numbers[] = { 2, 1 };

	library_depth = depth;
	catchers++;
	shadow_mark(SHADOW_ANY);
	try {
		qsort(numbers, 2, sizeof(numbers[0]), [](const void *a, const void *b) {
			SCOPE();
			int own = library_depth;

			body<30>(own - 2);
			library_depth = own;
			return *static_cast<const int *>(a) - *static_cast<const int *>(b);
		});
	} catch (const Failure &) {
		scope.again();
		allocate();
	}
	scope.again();
	catchers--;
	allocate();
}

void (*const functions[])(int) = {
	plain<0>, plain<1>, plain<2>, plain<3>, varying<4>, varying<5>,	   aligned<6>,
	catching, catching, cleaning, cleaning, drawing,    through_qsort,
};

void go_on(int depth)
{
	functions[roll(sizeof(functions) / sizeof(functions[0]))](depth);
}

SHADOW_NOINLINE void one_round(unsigned round)
{
	SCOPE();
	size_t bytes = 16 + round % 7 * 16;
	char *room = static_cast<char *>(alloca(bytes));

	memset(room, 0, bytes);
	__asm__ volatile("" : : "r"(room) : "memory");
	round_seed = seed + round % 61;
	random_state = round_seed;
	left = 2000;
	for (int i = 0; i < 20 && left > 0; i++)
		plain<3>(10 + static_cast<int>(round) % 30);
}

void wander(bool first)
{
	if (!first)
		shadow_begin();
	SCOPE();
	for (unsigned round = 0; round < rounds; round++)
		one_round(round);
}
} // namespace

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	shadow_folder = argv[1];
	rounds = static_cast<unsigned>(atoi(argv[2]));
	seed = argc > 4 ? static_cast<unsigned>(atoi(argv[4])) : 0;
	shadow_begin();
	SCOPE();
	std::vector<std::thread> threads;
	for (int i = 0; i < atoi(argv[3]); i++)
		threads.emplace_back([] { wander(false); });
	wander(true);
	for (std::thread &thread : threads)
		thread.join();
	return 0;
}
