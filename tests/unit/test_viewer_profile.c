/* Call sites, trees and suppressions over a small profile made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "viewer/intern.h"
#include "viewer/model/frame.h"
#include "viewer/model/origin.h"
#include "viewer/model/profile.h"
#include "viewer/model/site.h"
#include "viewer/model/suppress.h"
#include "viewer/model/tree.h"
#include "viewer/pattern.h"

enum { APP = 1, LIBC, SHIM };
enum { MAIN = 1, PARSE, PUSH, NEW, SHIM_MALLOC, FOPEN, INLINED, UNKNOWN_CODE };

static struct module modules[] = {
	{ .path = (char *)"", .name = "" },
	{ .path = (char *)"/bin/app", .name = "app" },
	{ .path = (char *)"/lib/libc.so.6", .name = "libc.so.6", .runtime = true },
	{ .path = (char *)"/opt/libheaptape.so", .name = "libheaptape.so", .shim = true },
};

static struct frame frames[] = {
	{ 0 },
	[MAIN] = { .module = APP,
		   .function = (char *)"main",
		   .file = (char *)"/src/main.c",
		   .line = 9 },
	[PARSE] = { .module = APP,
		    .function = (char *)"parse",
		    .file = (char *)"/src/p.c",
		    .line = 5 },
	[PUSH] = { .module = APP,
		   .function = (char *)"std::vector<int>::push_back",
		   .allocator = true },
	[NEW] = { .module = LIBC,
		  .function = (char *)"operator new(unsigned long)",
		  .allocator = true },
	[SHIM_MALLOC] = { .module = SHIM, .function = (char *)"malloc", .allocator = true },
	[FOPEN] = { .module = LIBC, .function = (char *)"fopen" },
	[INLINED] = { .module = APP, .function = (char *)"inner", .outer = MAIN },
	[UNKNOWN_CODE] = { .module = APP, .offset = 0x1234 },
};

/* 1 main · 2 main;parse · 3 main;parse;push;new;malloc · 6 main;fopen · 7 inner inlined in main */
static struct stack_node stacks[] = {
	{ 0 },	     { 0, MAIN },	 { 1, PARSE },	      { 2, PUSH },
	{ 3, NEW },  { 4, SHIM_MALLOC }, { 1, FOPEN },	      { 0, INLINED },
	{ 9, MAIN }, { 8, MAIN },	 { 1, UNKNOWN_CODE },
};

static struct total totals[] = {
	{ .stack = 5, .values = { [METRIC_ALLOCATED_BYTES] = 100, [METRIC_LIVE_BYTES] = 10 } },
	{ .stack = 2, .values = { [METRIC_ALLOCATED_BYTES] = 50 } },
	{ .stack = 6, .values = { [METRIC_ALLOCATED_BYTES] = 30, [METRIC_LIVE_BYTES] = 30 } },
	{ .stack = 7, .values = { [METRIC_ALLOCATED_BYTES] = 20 } },
};

static struct profile profile = {
	.modules = modules,
	.frames = frames,
	.stacks = stacks,
	.module_count = sizeof(modules) / sizeof(*modules),
	.frame_count = sizeof(frames) / sizeof(*frames),
	.stack_count = sizeof(stacks) / sizeof(*stacks),
	.totals = totals,
	.total_count = sizeof(totals) / sizeof(*totals),
};

static void test_frames(void **state)
{
	uint32_t walk[PROFILE_DEPTH_MAX];

	(void)state;
	assert_int_equal(profile_frames(&profile, 5, walk, 16), 5);
	assert_int_equal(walk[0], SHIM_MALLOC);
	assert_int_equal(walk[4], MAIN);
	/* An inlined function and the one it stands in. */
	assert_int_equal(profile_frames(&profile, 7, walk, 16), 2);
	assert_int_equal(walk[0], INLINED);
	assert_int_equal(walk[1], MAIN);
	/* A ring of parents, as a damaged file may have one, ends. */
	assert_int_equal(profile_frames(&profile, 8, walk, PROFILE_DEPTH_MAX), PROFILE_DEPTH_MAX);
	assert_int_equal(profile_frames(&profile, 0, walk, 16), 0);
}

static void test_site(void **state)
{
	(void)state;
	assert_int_equal(profile_site(&profile, 5), PARSE);
	assert_int_equal(profile_site(&profile, 6), MAIN);
	assert_int_equal(profile_site(&profile, 7), INLINED);
	assert_int_equal(profile_site(&profile, 0), 0);
	assert_string_equal(frame_name(&profile, UNKNOWN_CODE), "app+0x1234");
	assert_string_equal(frame_name(&profile, 0), "(stack unknown)");
	assert_string_equal(frame_place(&profile, PARSE, false), "p.c:5");
	assert_string_equal(frame_place(&profile, PARSE, true), "/src/p.c:5");
}

static void test_sites(void **state)
{
	struct site *sites;
	size_t count = sites_group(&profile, &sites);

	(void)state;
	assert_int_equal(count, 3);
	sites_sort(sites, count, METRIC_ALLOCATED_BYTES);
	assert_string_equal(sites[0].text, "parse p.c:5");
	assert_int_equal(sites[0].values[METRIC_ALLOCATED_BYTES], 150);
	assert_int_equal(sites[0].stacks, 2);
	assert_int_equal(sites[0].main_stack, 5);
	sites_sort(sites, count, METRIC_LIVE_BYTES);
	assert_string_equal(sites[0].text, "main main.c:9");
	sites_free(sites, count);
}

static void test_names(void **state)
{
	static const char *const passed_over[] = {
		"malloc",
		"calloc",
		"xmalloc",
		"operator new(unsigned long)",
		"operator new[](unsigned long, std::align_val_t)",
		"std::vector<int, std::allocator<int> >::push_back(int const&)",
		"void std::vector<int, std::allocator<int> >::_M_realloc_insert<int>(int&&)",
		"std::__cxx11::basic_string<char>::_M_create(unsigned long&, unsigned long)",
		"__gnu_cxx::new_allocator<int>::allocate(unsigned long, void const*)",
		"alloc::vec::Vec<T,A>::push",
		"<alloc::string::String as core::clone::Clone>::clone",
		"__rust_alloc",
		"<u8 as alloc::slice::hack::ConvertVec>::to_vec",
		"<[u8] as core::clone::Clone>::clone",
		"<[u8]>::to_vec",
		"<alloc::vec::Vec<(u8, my::Thing)>>::push",
		"<T as core::convert::Into<U>>::into",
		"<&mut std::io::Stdout as std::io::Write>::write",
		"PyMem_RawMalloc",
	};
	static const char *const kept[] = {
		"main",
		"malloc_table_init",
		"parse(std::vector<int, std::allocator<int> >&)",
		"std_thing",
		"my::std::thing()",
		"Foo<std::string>::bar() const",
		"bool ns::fill<std::string>(std::vector<int> const&)",
		"operator_newton",
		"<my::Thing as core::clone::Clone>::clone",
		"<&my::Thing as core::convert::Into<alloc::string::String>>::into",
		"<alloc::vec::Vec<u8> as my::Trait>::fill",
		"<my::Holder<alloc::string::String>>::get",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(passed_over) / sizeof(*passed_over); i++)
		if (!origin_is_allocator(passed_over[i]))
			fail_msg("'%s' should be passed over", passed_over[i]);
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		if (origin_is_allocator(kept[i]))
			fail_msg("'%s' should be shown", kept[i]);
}

static void test_tree(void **state)
{
	struct tree_options options = { .sort = METRIC_ALLOCATED_BYTES };
	struct tree tree;
	uint32_t top, second;

	(void)state;
	tree_build(&profile, &options, &tree);
	tree_sort(&tree);
	assert_int_equal(tree.nodes[0].values[METRIC_ALLOCATED_BYTES], 200);
	top = tree.nodes[0].first_child;
	assert_string_equal(tree_label(&tree, top), "main");
	assert_int_equal(tree.nodes[top].values[METRIC_ALLOCATED_BYTES], 200);
	second = tree.nodes[top].first_child;
	assert_string_equal(tree_label(&tree, second), "parse");
	assert_int_equal(tree.nodes[second].values[METRIC_ALLOCATED_BYTES], 150);
	/* The allocators' own frames are not shown. */
	assert_int_equal(tree.nodes[second].first_child, 0);
	tree_release(&tree);

	options.bottom_up = true;
	tree_build(&profile, &options, &tree);
	tree_sort(&tree);
	top = tree.nodes[0].first_child;
	assert_string_equal(tree_label(&tree, top), "parse");
	assert_string_equal(tree_label(&tree, tree.nodes[top].first_child), "main");
	tree_release(&tree);

	options.group = TREE_BY_MODULE;
	tree_build(&profile, &options, &tree);
	tree_sort(&tree);
	top = tree.nodes[0].first_child;
	assert_string_equal(tree_label(&tree, top), "app");
	assert_int_equal(tree.nodes[top].values[METRIC_ALLOCATED_BYTES], 200);
	tree_release(&tree);
}

static void test_patterns(void **state)
{
	(void)state;
	assert_true(pattern_matches("par", "parse"));
	assert_true(pattern_matches("arse", "parse"));
	assert_true(pattern_matches("p*e", "parse"));
	assert_true(pattern_matches("^parse$", "parse"));
	assert_true(pattern_matches("^*se$", "parse"));
	assert_true(pattern_matches("*", ""));
	assert_false(pattern_matches("^arse", "parse"));
	assert_false(pattern_matches("pars$", "parse"));
	assert_false(pattern_matches("p*x", "parse"));
	assert_false(pattern_matches("x", ""));
}

static void test_plumbing(void **state)
{
	static const struct {
		const char *function, *part;
		bool runtime;
	} cases[] = {
		{ "std::function<void ()>::operator()() const", "std::function", false },
		{ "std::_Function_handler<void (), main::{lambda()}>::_M_invoke", "std::function",
		  false },
		{ "void std::__invoke_impl<void, int (*)(int)>(std::__invoke_other)", "std::invoke",
		  false },
		{ "std::thread::_Invoker<std::tuple<void (*)()> >::operator()()", "std::thread",
		  false },
		{ "std::thread::thread<void (&)()>(void (&)())", NULL, false },
		{ "std::vector<int>::push_back(int const&)", NULL, false },
		{ "start_thread", "thread start", true },
		{ "start_thread", NULL, false },
		{ "clone", NULL, false },
		{ "core::ops::function::FnOnce::call_once", "core::ops::function", false },
		{ "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once",
		  "core::ops::function", false },
		{ "<shop::Till as core::ops::function::Fn<(u8,)>>::call", NULL, false },
		{ "main::{lambda()}::operator()() const", NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *part = origin_plumbing(cases[i].function, cases[i].runtime);

		if (!part != !cases[i].part || (part && strcmp(part, cases[i].part) != 0))
			fail_msg("'%s' is %s", cases[i].function, part ? part : "not plumbing");
	}
}

static void test_suppressions(void **state)
{
	char *patterns[] = { (char *)"^fopen$" };
	struct suppressions suppressions = { patterns, 1 };
	struct total kept[sizeof(totals) / sizeof(*totals)];
	struct profile copy = profile;
	struct suppressed suppressed;

	(void)state;
	memcpy(kept, totals, sizeof(totals));
	copy.totals = kept;
	suppressions_apply(&suppressions, &copy, METRIC_LIVE_BYTES, &suppressed);
	assert_int_equal(suppressed.stacks, 1);
	assert_int_equal(suppressed.bytes, 30);
	assert_int_equal(copy.total_count, 3);
}

static void test_intern(void **state)
{
	struct intern *intern = intern_new();
	char text[16];

	(void)state;
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 1000; i++) {
			snprintf(text, sizeof(text), "text %d", i);
			assert_int_equal(intern_put(intern, text), i);
		}
	assert_int_equal(intern_count(intern), 1000);
	assert_string_equal(intern_text(intern, 999), "text 999");
	intern_free(intern);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),	 cmocka_unit_test(test_site),
		cmocka_unit_test(test_sites),	 cmocka_unit_test(test_names),
		cmocka_unit_test(test_tree),	 cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_plumbing), cmocka_unit_test(test_suppressions),
		cmocka_unit_test(test_intern),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
