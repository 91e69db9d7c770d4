/* Names of C++, Rust (both schemes) and D, and names that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/symbols/symbols.h"

struct example {
	const char *mangled, *expected; /* NULL: not mangled */
};

static void check(const struct example *examples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *got = demangle(examples[i].mangled);
		const char *expected = examples[i].expected;

		if ((got == NULL) != (expected == NULL) || (got && strcmp(got, expected) != 0))
			fail_msg("%s: got '%s', expected '%s'", examples[i].mangled,
				 got ? got : "(none)", expected ? expected : "(none)");
		free(got);
	}
}

#define CHECK(examples) check(examples, sizeof(examples) / sizeof(*(examples)))

static void test_cxx(void **state)
{
	static const struct example examples[] = {
		{ "_Z3foov", "foo()" },
		{ "_ZN5outer5inner4Base4nameEv", "outer::inner::Base::name()" },
		{ "_ZNSt6vectorIiSaIiEE9push_backERKi",
		  "std::vector<int, std::allocator<int> >::push_back(int const&)" },
		{ "_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()(int) const" },
		{ "_ZN12_GLOBAL__N_16HiddenC2Ei", "(anonymous namespace)::Hidden::Hidden(int)" },
		{ "_Z3foov.cold", "foo() [clone .cold]" },
		{ "_Z3foov.isra.0", "foo() [clone .isra.0]" },
		{ "_ZTV4Base", "vtable for Base" },
		{ "_Znwm", "operator new(unsigned long)" },
		{ "_Z", NULL },
		{ "_Zfoo_bar", NULL },
	};

	(void)state;
	CHECK(examples);
}

static void test_rust_old(void **state)
{
	static const struct example examples[] = {
		{ "_ZN3std2rt10lang_start17h0123456789abcdefE", "std::rt::lang_start" },
		{ "_ZN4core3ptr85drop_in_place$LT$std..rt..lang_start$LT$$LP$$RP$$GT$..$u7b$$u7b$"
		  "closure$"
		  "u7d$$u7d$$GT$17h31c9a80bcd0ec5a7E",
		  "core::ptr::drop_in_place<std::rt::lang_start<()>::{{closure}}>" },
		{ "_ZN50_$LT$T$u20$as$u20$core..convert..Into$LT$U$GT$$GT$"
		  "4into17h5c2bd1f6bb1e2a0cE",
		  "<T as core::convert::Into<U>>::into" },
		{ "_ZN1r5outer5inner10gr$uf6$sse17h080605ecb05d72abE",
		  "r::outer::inner::gr\u00f6sse" },
		{ "_ZN3foo3bar17h0123456789abcdefE.llvm.12345", "foo::bar" },
		/* No hash: C++. */
		{ "_ZN3foo3barE", "foo::bar" },
		{ "_ZN3foo3barEv", "foo::bar()" },
	};

	(void)state;
	CHECK(examples);
}

static void test_rust_new(void **state)
{
	static const struct example examples[] = {
		{ "_RNvC6_123foo3bar", "123foo::bar" },
		{ "_RNvCs6GmmlP4bgsG_1r4main", "r::main" },
		{ "_RNCNvCs6GmmlP4bgsG_1r4main0B3_", "r::main::{closure#0}" },
		{ "_RNCNvCs6GmmlP4bgsG_1r4mains_0B3_", "r::main::{closure#1}" },
		{ "_RINvCs6GmmlP4bgsG_1r5applyNCNvB2_4mains_0EB2_",
		  "r::apply::<r::main::{closure#1}>" },
		{ "_RINvMNtCsgEmfK2I1SDS_4core6optionINtB3_6OptionReE11map_or_"
		  "elseNtNtCslNYArtu3iFV_5alloc"
		  "6string6StringNCNvNtB12_3fmt6format0NvYeNtNtB12_6borrow7ToOwned8to_"
		  "ownedECs6GmmlP4bgsG_"
		  "1r",
		  "<core::option::Option<&str>>::map_or_else::<alloc::string::String, "
		  "alloc::fmt::format::{closure#0}, <str as alloc::borrow::ToOwned>::to_owned>" },
		{ "_RINvNtCsgEmfK2I1SDS_4core6escape14escape_unicodeKja_ECsgY6Mt91CT9J_14rustc_"
		  "demangle",
		  "core::escape::escape_unicode::<10>" },
		{ "_RMC0INtC8arrayvec8ArrayVechKj7b_E", "<arrayvec::ArrayVec<u8, 123>>" },
		{ "_RMC0INtC4core3arrKsn8_E", "<core::arr<-8>>" },
		{ "_RMC0INtC4core3arrKb1_Kc41_E", "<core::arr<true, 'A'>>" },
		{ "_RMC0FG_RL0_hKCEu", NULL },
		{ "_RMC0FG_KCRL0_hEu", "<for<'a> extern \"C\" fn(&'a u8)>" },
		{ "_RMC0TRhQePlOTEE", "<(&u8, &mut str, *const i32, *mut ())>" },
		{ "_RMC0DNtC1a1TNtC1b1UEL_", "<dyn a::T + b::U>" },
		{ "_RMC0DINtC1a1TmEp4ItemhEL_", "<dyn a::T<u32, Item = u8>>" },
		{ "_RMC0AmSj_", NULL },
		{ "_RMC0ASmj4_", "<[[u32]; 4]>" },
		{ "_RXC0hNtC1a1T", "<u8 as a::T>" },
		{ "_RNSYhNtC1a1T3foo0", NULL },
		{ "_RNvCs_1au8grsse_3yab", NULL },
		{ "_RNvC1au6f_6ra", NULL },
		{ "_RNvC1au9grsse_kua", "a::gr\u00f6sse" },
		{ "_RNvC1a1b.llvm.123", "a::b" },
		{ "_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y",
		  "utf8_idents::\u10e1\u10d0\u10ed\u10db\u10d4\u10da\u10d0\u10d3_"
		  "\u10d2\u10d4\u10db\u10e0"
		  "\u10d8\u10d4\u10da\u10d8_\u10e1\u10d0\u10d3\u10d8\u10da\u10d8" },
		{ "_RIC1aFGzzzzzzzz_EuE", NULL }, /* more lifetimes than anybody could name */
		{ "_R", NULL },
		{ "_RNvC1a", NULL },
		{ "_R1NvC1a1b", NULL },
		{ "_RB_", NULL },
		{ "_RNvB_1a", NULL },
	};

	(void)state;
	CHECK(examples);
}

static void test_d(void **state)
{
	static const struct example examples[] = {
		{ "_Dmain", "D main" },
		{ "_D3std5stdio__T7writelnTAyaZQnFNfQjZv",
		  "std.stdio.writeln!(immutable(char)[]).writeln(immutable(char)[])" },
		{ "_D3foo3Bar6methodMxFNaNbNiNfiZi", "foo.Bar.method(int) const" },
		{ "_D3app4mainFZ9__lambda1FNaNbNiNfiZi", "app.main().__lambda1(int)" },
		{ "_D3foo3barFNcNdJaKiLlMfXi",
		  "foo.bar(out char, ref int, lazy long, scope float...)" },
		{ "_D6object9Throwable8toStringMxFMDFIAaZvZv",
		  "object.Throwable.toString(scope void(in char[]) delegate) const" },
		{ "_D3foo__T3barVii3VAyaa3_616263Vbi1Z6methodFZv",
		  "foo.bar!(3, \"abc\", true).method()" },
		{ "_D3app3genFHAyaiG4fPFNaiZvZv",
		  "app.gen(int[immutable(char)[]], float[4], void(int) pure function)" },
		{ "_D3foo__T1fS_D3foo3barFiZvZ1fFZv", "foo.f!(foo.bar(int)).f()" },
		{ "_D3app1C6__ctorMFiZC3app1C", "app.C.this(int)" },
		{ "_D3app1C6__initZ", "initializer for app.C" },
		{ "_D3foo1xi", "foo.x" },
		{ "_D8nonsense", NULL },
		{ "_D99foo", NULL },
		{ "_DQb", NULL },
		{ "_D", NULL },
	};

	(void)state;
	CHECK(examples);
}

static void test_plain(void **state)
{
	static const struct example examples[] = {
		{ "", NULL },
		{ "_", NULL },
		{ "main", NULL },
		{ "_start", NULL },
		{ "__libc_start_main", NULL },
	};

	(void)state;
	CHECK(examples);
}

/* Short names that mean long or endless ones end without a result, soon. */
static void test_hostile(void **state)
{
	char name[8192];
	size_t used;
	char *got;

	(void)state;
	/* Tuples of references to the tuple before: doubling with every step. */
	used = (size_t)sprintf(name, "_RINvC1a1bTTTTTTTTTTTTTTTTTTTTTTTTTTTT");
	for (int i = 0; i < 60; i++)
		used += (size_t)sprintf(name + used, "EB%c_", 'a' + i % 26);
	free(demangle(name));
	memset(name, 'S', sizeof(name) - 1);
	memcpy(name, "_RMC0", 5);
	name[sizeof(name) - 1] = '\0';
	got = demangle(name);
	assert_null(got);
	memset(name, 'A', sizeof(name) - 1);
	memcpy(name, "_D1a", 4);
	assert_null(demangle(name));
	/* Pairs of pairs: two to the thirty-sixth words. */
	used = (size_t)sprintf(name, "_Z1fSt4pairIiiE");
	for (int i = 0; i < 36; i++) {
		char level = (char)(i < 10 ? '0' + i : 'A' + i - 10);

		used += (size_t)sprintf(name + used, "S_IS%c_S%c_E", level, level);
	}
	got = demangle(name);
	assert_non_null(got);
	assert_int_equal(strlen(got), SYMBOL_NAME_MAX - 1);
	assert_int_equal(strncmp(got, "f(std::pair<int, int>, std::pair<std::pair<int, int>, ", 54),
			 0);
	free(got);
	memset(name, 'P', sizeof(name) - 1);
	memcpy(name, "_Z1a", 4);
	free(demangle(name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cxx),	 cmocka_unit_test(test_rust_old),
		cmocka_unit_test(test_rust_new), cmocka_unit_test(test_d),
		cmocka_unit_test(test_plain),	 cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
