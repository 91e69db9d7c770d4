/* Names of functions: what a symbol's demangler or debug information says, as shown and as compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/symbols/name.h"

#define CXX "_Z" /* any symbol of C++ */

static const struct {
	const char *symbol, *full, *display, *key; /* NULL: the display name */
} names[] = {
	{ CXX, "f(std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > const&)",
	  "f(std::string const&)", NULL },
	{ CXX, "f(std::__1::basic_string<char, std::__1::char_traits<char>, std::__1::allocator<char> >)",
	  "f(std::string)", NULL },
	{ CXX, "g(std::basic_string_view<wchar_t, std::char_traits<wchar_t> >)",
	  "g(std::wstring_view)", NULL },
	{ CXX, "std::basic_ostream<char, std::char_traits<char> >& h<int>(int)", "h<int>(int)", NULL },
	{ CXX, "std::vector<std::vector<int, std::allocator<int> >, std::allocator<std::vector<int, "
	       "std::allocator<int> > > >::push_back(int)",
	  "std::vector<std::vector<int>>::push_back(int)", NULL },
	{ CXX, "f(std::vector<int, pool<int> >)", "f(std::vector<int, pool<int>>)", NULL },
	{ CXX, "f(std::map<int, long, std::less<int>, std::allocator<std::pair<int const, long> > >)",
	  "f(std::map<int, long>)", NULL },
	{ CXX, "f(std::map<int, long, std::greater<long>, std::allocator<int> >)",
	  "f(std::map<int, long, std::greater<long>>)", NULL },
	{ CXX, "f(std::pair<int, std::allocator<int> >)", "f(std::pair<int, std::allocator<int>>)", NULL },
	{ CXX, "f(std::priority_queue<int, std::vector<int, std::allocator<int> >, std::less<int> >)",
	  "f(std::priority_queue<int>)", NULL },
	{ CXX, "f(std::unique_ptr<a::B, std::default_delete<a::B> >)", "f(std::unique_ptr<a::B>)", NULL },
	{ CXX, "main::{lambda(int)#1}::operator()(int) const", "main::{lambda(int)}", NULL },
	{ CXX, "main::$_0::operator()(int) const", "main::{lambda(int)}", NULL },
	{ CXX, "auto main::{lambda(auto:1)#2}::operator()<char>(char) const", "main::{lambda(char)}", NULL },
	{ CXX, "void run<main::{lambda(int)#1}>(main::{lambda(int)#1}&&)",
	  "run<main::{lambda(int)}>(main::{lambda(int)}&&)", "run<main::{lambda}>(main::{lambda}&&)" },
	{ CXX, "void run<main::$_1>(main::$_1&&)", "run<main::{lambda}>(main::{lambda}&&)", NULL },
	{ CXX, "f()::{lambda()#1}::operator()() const::{lambda(int)#3}::operator()(int) const",
	  "f()::{lambda()}::{lambda(int)}", NULL },
	{ CXX, "shop::tagged[abi:v2]()", "shop::tagged()", NULL },
	{ CXX, "int& std::vector<int, std::allocator<int> >::emplace_back<int>(int&&)",
	  "std::vector<int>::emplace_back<int>(int&&)", NULL },
	{ CXX, "(anonymous namespace)::S::f() const", "(anonymous namespace)::S::f() const",
	  "(anonymous namespace)::S::f()" },
	{ CXX, "int (anonymous namespace)::g<int>(int)", "(anonymous namespace)::g<int>(int)", NULL },
	{ CXX, "C::get() const &", "C::get() const &", "C::get()" },
	{ CXX, "C::operator bool() const", "C::operator bool() const", "C::operator bool()" },
	{ CXX, "C::operator<(C const&)", "C::operator<(C const&)", NULL },
	{ CXX, "bool operator< <int>(A<int> const&)", "operator< <int>(A<int> const&)", NULL },
	{ CXX, "C::operator->() const", "C::operator->() const", "C::operator->()" },
	{ CXX, "int (*id<int (*)(int)>(int (*)(int)))(int)", "int (*id<int (*)(int)>(int (*)(int)))(int)",
	  NULL },
	{ CXX, "operator new(unsigned long)", "operator new(unsigned long)", NULL },
	{ CXX, "f(A<(B)1>)", "f(A<(B)1>)", NULL },
	{ "parse", "parse", "parse", NULL },
	{ "_ZN1a1f17h0123456789abcdefE", "a::f::{{closure}}", "a::f::{{closure}}", "a::f::{closure}" },
	{ "_RNCNvC1a1f0B3_", "a::f::{closure#0}", "a::f::{closure#0}", "a::f::{closure}" },
	{ "_R", "<a::B<i32> as a::C<u8>>::d::<u8>", "<a::B<i32> as a::C<u8>>::d::<u8>", "<a::B as a::C>::d" },
	{ "_R", "<a::B<i32>>::get", "<a::B<i32>>::get", "a::B::get" },
	{ "_R", "<[u8] as a::C>::d", "<[u8] as a::C>::d", NULL },
	{ "_R", "a::f::<fn(u8) -> b::C<i32>>", "a::f::<fn(u8) -> b::C<i32>>", "a::f" },
	{ "_D1a1fFiZv", "a.f(int)", "a.f(int)", NULL },
	/* Broken ones stay as they are, more or less. */
	{ CXX, "", "", NULL },
	{ CXX, "<", "<", NULL },
	{ CXX, "a<b", "a<b", NULL },
	{ CXX, ">>>", ">>>", NULL },
	{ CXX, "{lambda(", "{lambda(}", NULL },
	{ CXX, "$_", "$_", NULL },
	{ CXX, "std", "std", NULL },
	{ CXX, "[abi:", "[abi:", NULL },
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct name name;

		name_make(names[i].full, names[i].symbol, &name);
		assert_string_equal(name.display, names[i].display);
		assert_string_equal(name.key, names[i].key ? names[i].key : names[i].display);
		name_release(&name);
	}
}

static void test_suffixes(void **state)
{
	static const char *const symbols[][2] = {
		{ "parse", "parse" },
		{ "parse@@LIB_1.2", "parse" },
		{ "parse@LIB_1.2", "parse" },
		{ "@", "@" },
		{ "parse.isra.0", "parse" },
		{ "parse.part.1.cold", "parse" },
		{ "parse.constprop.0.isra.0.cold.5", "parse" },
		{ "parse.lto_priv.12", "parse" },
		{ "parse.llvm.123456789012345", "parse" },
		{ "parse.__uniq.4711.llvm.1", "parse" },
		{ "parse.localalias", "parse" },
		{ "parse.warm", "parse" },
		{ "counter.3", "counter" },
		{ "parse._entry", "parse._entry" },
		{ "parse.cold._entry", "parse.cold._entry" },
		{ "parse.isra", "parse.isra" },
		{ ".cold", ".cold" },
		{ ".0", ".0" },
		{ "1.0", "1" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++) {
		char symbol[64];

		strcpy(symbol, symbols[i][0]);
		name_bare(symbol);
		assert_string_equal(symbol, symbols[i][1]);
	}
}

/* What is nested deeper than any name is left alone, and nothing takes long. */
static void test_deep_names(void **state)
{
	static const char *const pieces[] = { "a<", "{lambda(", "(", "<", "$_0::operator()(", "std::vector<" };
	static char text[8193];

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		size_t bytes = strlen(pieces[i]), used = 0;
		struct name name;

		for (; used + bytes <= 8192; used += bytes)
			memcpy(text + used, pieces[i], bytes);
		text[used] = '\0';
		name_make(text, CXX, &name);
		assert_non_null(name.display);
		name_release(&name);
		name_make(text, "_R", &name);
		assert_non_null(name.key);
		name_release(&name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_suffixes),
		cmocka_unit_test(test_deep_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
