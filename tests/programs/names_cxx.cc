/* A block from functions of every kind of name, each of a size of its own; for tests/e2e/names.sh, which
 * builds this in many ways. The volatile word keeps calls from becoming jumps. */
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#define APART __attribute__((noinline))
#define TAKE(size)                          \
	do {                                \
		kept = malloc(size);        \
		used = used + (kept != 0);  \
	} while (0)

static void *volatile kept;
static volatile int used;

APART void plain() { TAKE(300001); }
extern "C" APART void c_name() { TAKE(300002); }
static APART void local(int n, int unused)
{
	(void)unused;
	TAKE(300003 + (n & 0));
}

namespace shop
{
namespace
{
APART void hidden(const std::string &name)
{
	TAKE(300004);
	used = used + (int)name.size();
}
struct Inner {
	APART void method() const { TAKE(300005); }
};
} // namespace

struct Sessions {
	std::vector<std::string> names;
	APART Sessions() { TAKE(300006); }
	APART ~Sessions() { TAKE(300007); }
	APART void login(const std::string &name, std::map<std::string, int> counts) const
	{
		TAKE(300008);
		used = used + (int)(name.size() + counts.size());
	}
	APART bool operator<(const Sessions &) const
	{
		TAKE(300009);
		return used;
	}
	APART operator bool() const
	{
		TAKE(300010);
		return used;
	}
	APART int operator()(int n)
	{
		TAKE(300011);
		return n;
	}
	static APART void fixed(std::unique_ptr<int>) { TAKE(300012); }
	virtual APART void changing(std::function<void(int)>) { TAKE(300013); }
};

template <typename T> struct Box {
	APART void put(T) { TAKE(300014); }
	template <typename U> APART U get(U value) const
	{
		TAKE(300015);
		return value;
	}
};
template <typename T> APART T same(T value)
{
	TAKE(300016);
	return value;
}
[[gnu::abi_tag("v2")]] APART void tagged() { TAKE(300017); }
} // namespace shop

/* In two parts: a rare one that compilers put elsewhere. */
static APART int rare(int n)
{
	if (__builtin_expect(n > 100, 0)) {
		TAKE(300018);
		return 1;
	}
	return n;
}

int main(int argc, char **argv)
{
	(void)argv;
	plain();
	c_name();
	local(argc, 2);
	shop::hidden("x");
	shop::Inner().method();
	{
		shop::Sessions one, other;
		one.login("x", {});
		used = used + (one < other) + (bool)one + one(argc);
		shop::Sessions::fixed(nullptr);
		one.changing(nullptr);
	}
	shop::Box<std::string>().put("x");
	shop::Box<std::vector<std::string>>().get(3L);
	shop::same(std::string("x"));
	shop::tagged();
	used = used + rare(100 + argc);
	auto lambda = [](int n) APART { TAKE(300019); return n; };
	auto generic = [](auto n) APART { TAKE(300020); return n; };
	lambda(argc);
	generic('c');
	return 0;
}
