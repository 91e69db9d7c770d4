#include "viewer/model/origin.h"

#include <stdlib.h>
#include <string.h>

bool origin_is_shim(const char *name)
{
	return !strncmp(name, "libheaptape", 11);
}

/* The row that stands for a process's code outside of every module is named after its perf map. */
bool origin_is_made(const char *name)
{
	size_t length = strlen(name);

	return !strncmp(name, "perf-", 5) && length > 4 && !strcmp(name + length - 4, ".map");
}

bool origin_is_runtime(const char *name)
{
	static const char *const prefixes[] = { "libc.so",   "libc-2.",	  "libstdc++.so",
						"libc++.so", "libc++abi", "libgcc_s.so",
						"ld-linux",  "ld-2.",	  "libpthread",
						"libm.so",   "libdl" };

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

/* C names, exact. */
static const char *const allocator_names[] = {
	"malloc",
	"calloc",
	"realloc",
	"reallocarray",
	"free",
	"cfree",
	"memalign",
	"aligned_alloc",
	"posix_memalign",
	"valloc",
	"pvalloc",
	"strdup",
	"strndup",
	"__strdup",
	"__strndup",
	"asprintf",
	"vasprintf",
	"getdelim",
	"getline",
	"xmalloc",
	"xcalloc",
	"xrealloc",
	"xstrdup",
	"xstrndup",
	"xmemdup",
	"xzalloc",
	"xnmalloc",
	"x2realloc",
	"x2nrealloc",
	"xnrealloc",
	"ximalloc",
	"xirealloc",
	"xicalloc",
	"xcharalloc",
	"xpalloc",
	"zmalloc",
	"zcalloc",
	"zrealloc",
	"ztrymalloc_usable",
	"zmalloc_usable",
	"ztrymalloc_usable_internal",
	"g_malloc",
	"g_malloc0",
	"g_realloc",
	"g_strdup",
	"g_malloc_n",
	"g_malloc0_n",
	"g_slice_alloc",
	"g_slice_alloc0",
	"xmlMalloc",
	"sqlite3Malloc",
	"sqlite3MemMalloc",
	"sqlite3MemRealloc",
	"sqlite3DbMallocRaw",
	"sqlite3DbMallocRawNN",
	"sqlite3DbMallocZero",
	"sqlite3MallocZero",
	"sqlite3Realloc",
	"sqlite3DbRealloc",
	"sqlite3_malloc",
	"sqlite3_malloc64",
	"sqlite3_realloc",
	"sqlite3_realloc64",
	"mallocWithAlarm",
	"dbMallocRawFinish",
	"PyMem_Malloc",
	"PyMem_Calloc",
	"PyMem_Realloc",
	"PyMem_RawMalloc",
	"PyMem_RawCalloc",
	"PyMem_RawRealloc",
	"PyObject_Malloc",
	"PyObject_Calloc",
	"PyObject_Realloc",
	"_PyMem_RawMalloc",
	"_PyMem_RawCalloc",
	"_PyMem_RawRealloc",
	"_PyMem_DebugRawMalloc",
	"_PyObject_Malloc",
	"_PyObject_Calloc",
	"_PyObject_Realloc",
	"_PyObject_GC_Malloc",
	"_PyObject_GC_New",
	"_PyObject_GC_NewVar",
	"_PyObject_GC_Alloc",
	"_PyObject_New",
	"_PyObject_NewVar",
	"PyType_GenericAlloc",
	"Perl_safesysmalloc",
	"Perl_safesysrealloc",
	"Perl_safesyscalloc",
	"jv_mem_alloc",
	"jv_mem_realloc",
	"jv_mem_calloc",
	"jv_mem_alloc_unguarded",
	"do_xmalloc",
	"git__malloc",
	"git__calloc",
	"CRYPTO_malloc",
	"CRYPTO_zalloc",
	"CRYPTO_realloc",
	"CRYPTO_strdup",
	"CRYPTO_strndup",
	"CRYPTO_memdup",
	"__rust_alloc",
	"__rust_alloc_zeroed",
	"__rust_realloc",
	"__rdl_alloc",
	"__rdl_alloc_zeroed",
	"__rdl_realloc",
	"__rg_alloc",
	"__rg_realloc",
	"__rg_alloc_zeroed",
	"je_malloc",
	"mi_malloc",
};

/* C++ and Rust: the start of the demangled name, after a return type if there is one. */
static const char *const allocator_prefixes[] = {
	"operator new",	      "std::",	 "__gnu_cxx::", "__cxxabiv1::", "__cxa_allocate",
	"boost::container::", "alloc::", "core::",	"hashbrown::",	"__libc_",
	"__interceptor_",
};

/* "void std::vector<int>::push_back(...)" -> "std::vector<int>::push_back(...)": templates carry
 * their return type. The name begins after the last blank outside of brackets before '('. */
static const char *after_return_type(const char *function)
{
	const char *name = function;
	int depth = 0;

	for (const char *at = function; *at; at++) {
		if (*at == '<')
			depth++;
		else if (*at == '>' && depth > 0)
			depth--;
		else if (*at == '(' && !depth)
			break;
		else if (*at == ' ' && !depth && at[1] && at[1] != '(' && at[1] != '[' &&
			 strncmp(name, "operator", 8) != 0)
			name = at + 1;
	}
	return name;
}

static const char *const rust_libraries[] = { "alloc::", "core::", "std::", "hashbrown::" };

static bool is_of_rust_library(const char *path)
{
	for (size_t i = 0; i < sizeof(rust_libraries) / sizeof(*rust_libraries); i++)
		if (!strncmp(path, rust_libraries[i], strlen(rust_libraries[i])))
			return true;
	return false;
}

/*
 * "<u8 as alloc::slice::hack::ConvertVec>::to_vec", "<T as core::convert::Into<U>>::into", "<[u8]>::len":
 * what the library has for a type of the library, a primitive one, or any. For a type of the program's,
 * or a trait of it, it is the program's own code.
 */
static bool is_rust_library_method(const char *name)
{
	const char *type = name + 1, *end = type, *trait = NULL;
	int depth = 0;

	if (name[0] != '<')
		return false;
	for (; *end && depth >= 0 && !(!depth && *end == '>'); end++) {
		if (!depth && !strncmp(end, " as ", 4)) {
			trait = end + 4;
			break;
		}
		depth += (*end == '<') + (*end == '(') + (*end == '[');
		depth -= (*end == ')') + (*end == ']') + (*end == '>' && end[-1] != '-');
	}
	if (trait && !is_of_rust_library(trait))
		return false;
	type += strspn(type, "&*[(");
	if (!strncmp(type, "mut ", 4) || !strncmp(type, "dyn ", 4))
		type += 4;
	for (const char *at = type; at < end; at++)
		if (!strncmp(at, "::", 2))
			return is_of_rust_library(type);
	return true;
}

bool origin_is_library_file(const char *file)
{
	static const char *const folders[] = { "/rustc/",
					       "/rustc-1.",
					       "/lib/rustlib/src/",
					       "/.cargo/registry/src/",
					       "/cargo/registry/src/",
					       "/usr/share/cargo/registry/",
					       "/include/c++/" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (strstr(file, folders[i]))
			return true;
	return false;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool origin_is_allocator(const char *function)
{
	static const char *sorted[sizeof(allocator_names) / sizeof(*allocator_names)];
	const size_t count = sizeof(allocator_names) / sizeof(*allocator_names);
	const char *name = after_return_type(function);

	if (!sorted[0]) {
		memcpy(sorted, allocator_names, sizeof(allocator_names));
		qsort(sorted, count, sizeof(*sorted), compare_names);
	}
	if (bsearch(&function, sorted, count, sizeof(*sorted), compare_names))
		return true;
	for (size_t i = 0; i < sizeof(allocator_prefixes) / sizeof(*allocator_prefixes); i++)
		if (!strncmp(name, allocator_prefixes[i], strlen(allocator_prefixes[i])))
			return true;
	return is_rust_library_method(function);
}

/* Beginnings of names after a return type; the last column: only in the C and C++ libraries. */
static const struct {
	const char *prefix, *part;
	bool runtime;
} plumbing[] = {
	{ "std::__invoke", "std::invoke", false },
	{ "std::invoke<", "std::invoke", false },
	{ "std::_Bind", "std::bind", false },
	{ "std::_Mem_fn", "std::mem_fn", false },
	{ "std::function<", "std::function", false },
	{ "std::_Function_", "std::function", false },
	{ "std::__1::__function::", "std::function", false },
	{ "std::__function::", "std::function", false },
	{ "std::call_once", "std::call_once", false },
	{ "std::once_flag::", "std::call_once", false },
	{ "__once_proxy", "std::call_once", false },
	{ "std::__future_base::", "std::future", false },
	{ "std::__apply_impl", "std::apply", false },
	{ "std::apply<", "std::apply", false },
	{ "std::__detail::__variant::", "std::visit", false },
	{ "std::__do_visit", "std::visit", false },
	{ "std::visit<", "std::visit", false },
	{ "std::thread::_", "std::thread", false },
	{ "std::__thread_proxy", "std::thread", false },
	{ "std::__thread_execute", "std::thread", false },
	{ "execute_native_thread_routine", "std::thread", true },
	{ "__pthread_once", "pthread_once", true },
	{ "pthread_once", "pthread_once", true },
	{ "start_thread", "thread start", true },
	{ "clone3", "thread start", true },
	{ "__clone3", "thread start", true },
	{ "clone", "thread start", true },
	{ "__clone", "thread start", true },
	{ "core::ops::function::", "core::ops::function", false },
	{ "core::panic::unwind_safe::", "catch_unwind", false },
	{ "<core::panic::unwind_safe::", "catch_unwind", false },
	{ "std::panicking::", "catch_unwind", false },
	{ "std::panic::catch_unwind", "catch_unwind", false },
	{ "__rust_try", "catch_unwind", false },
	{ "std::sys::backtrace::__rust_begin_short_backtrace", "thread start", false },
	{ "std::sys_common::backtrace::__rust_begin_short_backtrace", "thread start", false },
	{ "std::thread::Builder::spawn_unchecked", "thread start", false },
	{ "std::sys::pal::unix::thread::Thread::new::thread_start", "thread start", false },
	{ "std::rt::lang_start", "program start", false },
};

/* "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once", but not the program's. */
static bool is_rust_call(const char *name)
{
	const char *trait = strstr(name, " as core::ops::function::Fn");

	return trait && (!strncmp(name, "<alloc::boxed::Box<", 19) || !strncmp(name, "<&", 2));
}

const char *origin_plumbing(const char *function, bool runtime)
{
	const char *name = after_return_type(function);

	for (size_t i = 0; i < sizeof(plumbing) / sizeof(*plumbing); i++)
		if ((runtime || !plumbing[i].runtime) &&
		    !strncmp(name, plumbing[i].prefix, strlen(plumbing[i].prefix)))
			return plumbing[i].part;
	return is_rust_call(function) ? "core::ops::function" : NULL;
}
