// Allocations whose stacks the source says; see symbols_c.c for the marks.
//
// stack 100201: Grid::fill main
// stack 100202: Circle::draw Shape::show main
// stack 100203: lambda apply main
// stack 100204: risky guarded main
// stack 100205: hidden main
// stack 100206: Holder::Holder main
// stack 100207: operator() work
// stack 100208: twice twice main
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <thread>

#define NOINLINE __attribute__((noinline, noclone))
#define INLINE inline __attribute__((always_inline))

static void *volatile kept;

namespace plane
{
template <class T, int N> struct Grid {
	NOINLINE void fill()
	{
		kept = new char[sizeof(T) * 0 + N]; // 100201.0
	}
};

struct Shape {
	virtual ~Shape() = default;
	virtual void draw() = 0;
	NOINLINE void show()
	{
		draw(); // 100202.1
		kept = nullptr;
	}
};

struct Circle : Shape {
	NOINLINE void draw() override
	{
		kept = malloc(100202); // 100202.0
		kept = static_cast<char *>(kept) + 1;
	}
};
} // namespace plane

template <class F> NOINLINE static void apply(F function)
{
	function(100203); // 100203.1
	kept = nullptr;
}

NOINLINE static void risky(size_t bytes)
{
	kept = new char[bytes]; // 100204.0
	throw std::runtime_error("as meant");
}

NOINLINE static void guarded(size_t bytes)
{
	try {
		risky(bytes); // 100204.1
	} catch (const std::exception &) {
		kept = nullptr;
	}
}

namespace
{
NOINLINE void hidden(size_t bytes)
{
	kept = malloc(bytes); // 100205.0
	kept = nullptr;
}

struct Holder {
	void *block;
	NOINLINE explicit Holder(size_t bytes) : block(malloc(bytes)) // 100206.0
	{
		kept = block;
	}
};
} // namespace

struct Work {
	NOINLINE void operator()(size_t bytes)
	{
		kept = malloc(bytes); // 100207.0
		kept = nullptr;
	}
};

NOINLINE static void work()
{
	Work()(100207); // 100207.1
	kept = nullptr;
}

template <class T> INLINE static void twice(T bytes, long)
{
	kept = malloc(static_cast<size_t>(bytes)); // 100208.0
	kept = nullptr;
}

template <class T> NOINLINE static void twice(T bytes)
{
	twice(bytes, 1L); // 100208.1
	kept = nullptr;
}

int main()
{
	plane::Grid<double, 100201>().fill(); // 100201.1
	plane::Circle circle;
	circle.show();			  // 100202.2
	apply([](size_t bytes) NOINLINE { // 100203.2
		kept = malloc(bytes);	  // 100203.0
		kept = nullptr;
	});
	guarded(100204);       // 100204.2
	hidden(100205);	       // 100205.1
	Holder holder(100206); // 100206.1
	std::thread thread(work);
	thread.join();
	twice(100208); // 100208.2
	return 0;
}
