/* Lines of a JIT compiler's map, and what its names say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/symbols/symbols.h"

static void test_lines(void **state)
{
	static const struct {
		const char *line;
		bool good;
		uint64_t start, size;
		const char *name;
	} cases[] = {
		{ "7f00 10 f\n", true, 0x7f00, 0x10, "f" },
		{ "0x7F00 0x10 f", true, 0x7f00, 0x10, "f" },
		{ "7f00 10 a name with spaces\r\n", true, 0x7f00, 0x10, "a name with spaces" },
		{ "ffffffffffffff00 ff edge", true, 0xffffffffffffff00, 0xff, "edge" },
		{ "ffffffffffffff00 101 wraps", false, 0, 0, NULL },
		{ "10000000000000000 1 too long", false, 0, 0, NULL },
		{ "7f00 0 empty", false, 0, 0, NULL },
		{ "7f00 10", false, 0, 0, NULL },
		{ "7f00 10 \n", false, 0, 0, NULL },
		{ "7f00", false, 0, 0, NULL },
		{ "xyz 10 f", false, 0, 0, NULL },
		{ "", false, 0, 0, NULL },
		{ "\n", false, 0, 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct perf_map_entry entry;
		char line[100];

		snprintf(line, sizeof(line), "%s", cases[i].line);
		if (perf_map_parse(line, &entry) != cases[i].good)
			fail_msg("'%s'", cases[i].line);
		if (!cases[i].good)
			continue;
		assert_int_equal(entry.start, cases[i].start);
		assert_int_equal(entry.size, cases[i].size);
		assert_string_equal(entry.name, cases[i].name);
	}
}

static void test_names(void **state)
{
	static const struct {
		const char *name, *function, *file;
		uint32_t line;
	} cases[] = {
		{ "plain", "plain", NULL, 0 },
		{ "py::load:/app/a.py", "load", "/app/a.py", 0 },
		{ "py::Class.method:/a b.py", "Class.method", "/a b.py", 0 },
		{ "py::nofile:", "py::nofile:", NULL, 0 },
		{ "LazyCompile:*work /app/main.js:12:5", "work", "/app/main.js", 12 },
		{ "JS:~work /app/main.js:12:5", "work", "/app/main.js", 12 },
		{ "Function:^work file:///app/main.mjs:12:5", "work", "file:///app/main.mjs", 12 },
		{ "JS:* /app/main.js:3:9", "(anonymous)", "/app/main.js", 3 },
		{ "Script:~ /app/main.js:1:1", "(anonymous)", "/app/main.js", 1 },
		{ "LazyCompile:*emit node:events:465:44", "emit", "node:events", 465 },
		{ "Builtin:ArrayPrototypeJoin", "Builtin:ArrayPrototypeJoin", NULL, 0 },
		{ "Stub: CEntry", "Stub: CEntry", NULL, 0 },
		{ "Lcom/app/Main;::run", "Lcom/app/Main;::run", NULL, 0 },
		{ ":", ":", NULL, 0 },
		{ " : : ", " : : ", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct symbol_level level;
		char name[100];

		snprintf(name, sizeof(name), "%s", cases[i].name);
		perf_map_name(name, &level);
		if (strcmp(level.function, cases[i].function) != 0)
			fail_msg("'%s': '%s'", cases[i].name, level.function);
		if ((level.file == NULL) != (cases[i].file == NULL) ||
		    (level.file && strcmp(level.file, cases[i].file) != 0))
			fail_msg("'%s': file '%s'", cases[i].name, level.file ? level.file : "");
		assert_int_equal(level.line, cases[i].line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
