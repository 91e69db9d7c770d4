/* Numbers, widths, tables, JSON and CSV of the command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <locale.h>

#include "viewer/print/format.h"
#include "viewer/print/json.h"
#include "viewer/print/shell.h"
#include "viewer/print/table.h"
#include "viewer/print/text.h"

static void test_bytes(void **state)
{
	(void)state;
	assert_string_equal(format_bytes(0), "0 B");
	assert_string_equal(format_bytes(1023), "1023 B");
	assert_string_equal(format_bytes(1024), "1.00 KiB");
	assert_string_equal(format_bytes(1536), "1.50 KiB");
	assert_string_equal(format_bytes(10240), "10.0 KiB");
	assert_string_equal(format_bytes(1023 * 1024), "1.00 MiB");
	assert_string_equal(format_bytes(999 * 1024), "999 KiB");
	assert_string_equal(format_bytes(INT64_MAX), "8.00 EiB");
	assert_string_equal(format_bytes(-1536), "-1.50 KiB");
}

static void test_counts(void **state)
{
	(void)state;
	assert_string_equal(format_count(0), "0");
	assert_string_equal(format_count(999), "999");
	assert_string_equal(format_count(1000), "1,000");
	assert_string_equal(format_count(-1234567), "-1,234,567");
	assert_string_equal(format_count(INT64_MIN), "-9,223,372,036,854,775,808");
	assert_string_equal(format_short_count(9999), "9,999");
	assert_string_equal(format_short_count(12345), "12.3 k");
	assert_string_equal(format_short_count(1300000), "1.30 M");
	assert_string_equal(format_plural(1, "block", "blocks"), "1 block");
	assert_string_equal(format_plural(2000, "block", "blocks"), "2,000 blocks");
}

static void test_durations(void **state)
{
	(void)state;
	assert_string_equal(format_duration(0), "0 ns");
	assert_string_equal(format_duration(999), "999 ns");
	assert_string_equal(format_duration(1500), "1.50 us");
	assert_string_equal(format_duration(12345678), "12.3 ms");
	assert_string_equal(format_duration(1240000000), "1.24 s");
	assert_string_equal(format_duration(192000000000), "3 min 12 s");
	assert_string_equal(format_duration(3600000000000), "1 h 0 min");
	assert_string_equal(format_percent(1, 8), "12.5 %");
	assert_string_equal(format_percent(1, 0), "-");
	assert_string_equal(format_percent(1, 1), "100 %");
}

static void check_fit(const char *text, size_t width, enum fit fit, const char *expected)
{
	char *fitted = text_fit(text, width, fit);

	assert_string_equal(fitted, expected);
	free(fitted);
}

static void test_fit(void **state)
{
	(void)state;
	check_fit("short", 10, FIT_START, "short");
	check_fit("exactly", 7, FIT_START, "exactly");
	check_fit("too long", 5, FIT_START, "too …");
	check_fit("too long", 5, FIT_END, "…long");
	check_fit("grüße über", 6, FIT_START, "grüße…");
	check_fit("a\033[31mb\nc\td\177", 0, FIT_START, "a?[31mb c d?");
	check_fit("bad \xff\xc0\x80 utf", 0, FIT_START, "bad \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd utf");
	check_fit("\xc2\x9b"
		  "0m",
		  0, FIT_START, "?0m");
	check_fit("", 3, FIT_START, "");
	/* The inner arguments are folded first, and the place is whole. */
	check_fit("f(std::vector<int>, g) a.c:1", 27, FIT_NAME, "f(std::vector<…>, g) a.c:1");
	check_fit("f(std::vector<int>, g) a.c:1", 20, FIT_NAME, "f(…) a.c:1");
	check_fit("a::b::f(std::vector<int>) a.c:1", 13, FIT_NAME, "…::f(…) a.c:1");
	check_fit("C::operator<(C const&) const a.c:1", 30, FIT_NAME, "C::operator<(…) const a.c:1");
	check_fit("C::operator()(int, int) a.c:1", 25, FIT_NAME, "C::operator()(…) a.c:1");
	check_fit("a_very_long_name_in_c a.c:1", 10, FIT_NAME, "…n_c a.c:1");
	assert_int_equal(text_width("grüße"), 5);
	assert_int_equal(text_width("a…b"), 3);
}

static char *captured;
static size_t captured_bytes;

static FILE *capture(void)
{
	free(captured);
	return open_memstream(&captured, &captured_bytes);
}

static const struct column columns[] = {
	{ "name", "Name", CELL_TEXT, COLUMN_FLEX },
	{ "size_bytes", "Size", CELL_BYTES, 0 },
	{ "hidden", "Hidden", CELL_COUNT, COLUMN_DATA },
	{ "count", "Count", CELL_COUNT, COLUMN_SCREEN },
};

static struct table *example(void)
{
	struct table *table = table_new(columns, 4);

	table_text(table, "first, \"quoted\"");
	table_number(table, 2048);
	table_number(table, 7);
	table_number(table, 1234);
	table_text(table, NULL);
	table_null(table);
	table_real(table, 0.5);
	table_number(table, 1);
	return table;
}

static void test_table(void **state)
{
	struct table *table = example();
	struct json json;
	FILE *out;

	(void)state;
	assert_int_equal(table_rows(table), 2);
	out = capture();
	table_print(table, out, 1);
	fclose(out);
	assert_string_equal(captured, " Name                 Size  Count\n"
				      " first, \"quoted\"  2.00 KiB  1,234\n"
				      "                         -      1\n");
	out = capture();
	table_csv(table, out);
	fclose(out);
	assert_string_equal(captured, "name,size_bytes,hidden\n"
				      "\"first, \"\"quoted\"\"\",2048,7\n"
				      ",,0.5\n");
	out = capture();
	json_init(&json, out);
	table_json(table, &json, NULL);
	fclose(out);
	assert_string_equal(
		captured,
		"[\n"
		"  {\"name\": \"first, \\\"quoted\\\"\", \"size_bytes\": 2048, \"hidden\": 7},\n"
		"  {\"name\": null, \"size_bytes\": null, \"hidden\": 0.5}\n"
		"]\n");
	table_free(table);
}

static void test_narrow_table(void **state)
{
	struct table *table = example();
	FILE *out;

	(void)state;
	setenv("COLUMNS", "28", 1);
	out = capture();
	table_print(table, out, 0);
	fclose(out);
	unsetenv("COLUMNS");
	assert_string_equal(captured, "Name             Size  Count\n"
				      "first, \"qu…  2.00 KiB  1,234\n"
				      "                    -      1\n");
	table_free(table);
}

static void test_json(void **state)
{
	struct json json;
	FILE *out = capture();

	(void)state;
	json_init(&json, out);
	json_object(&json, NULL);
	json_text(&json, "text", "a\"b\\c\n\001\xff\xc3\xbc");
	json_array(&json, "empty");
	json_end(&json);
	json_array(&json, "list");
	json_number(&json, NULL, INT64_MIN);
	json_real(&json, NULL, 0.25);
	json_bool(&json, NULL, true);
	json_null(&json, NULL);
	json_end(&json);
	json_end(&json);
	fclose(out);
	assert_string_equal(captured, "{\n"
				      "  \"text\": \"a\\\"b\\\\c\\n\\u0001\xef\xbf\xbd\xc3\xbc\",\n"
				      "  \"empty\": [],\n"
				      "  \"list\": [\n"
				      "    -9223372036854775808,\n"
				      "    0.25,\n"
				      "    true,\n"
				      "    null\n"
				      "  ]\n"
				      "}\n");
}

static void test_shell_word(void **state)
{
	(void)state;
	assert_string_equal(shell_word("plain/file.db"), "plain/file.db");
	assert_string_equal(shell_word("two words"), "'two words'");
	assert_string_equal(shell_word("it's"), "'it'\\''s'");
	assert_string_equal(shell_word(""), "''");
}

static int finish(void **state)
{
	(void)state;
	free(captured);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),	  cmocka_unit_test(test_counts),
		cmocka_unit_test(test_durations), cmocka_unit_test(test_fit),
		cmocka_unit_test(test_table),	  cmocka_unit_test(test_narrow_table),
		cmocka_unit_test(test_json),	  cmocka_unit_test(test_shell_word),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	unsetenv("COLUMNS");
	return cmocka_run_group_tests(tests, NULL, finish);
}
