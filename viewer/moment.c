#include "viewer/moment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/cli.h"
#include "viewer/db.h"
#include "viewer/format.h"

static const struct {
	const char *name;
	double ns;
} units[] = {
	{ "", 1 },    { "ns", 1 },     { "us", 1e3 },	{ "ms", 1e6 },
	{ "s", 1e9 }, { "min", 60e9 }, { "h", 3600e9 },
};

/* "12.5s", "300 ms", "2min"; a number alone is nanoseconds. False: it is no time. */
static bool parse_time(const char *text, int64_t *ret_ns)
{
	char *end;
	double number;

	if (!*text || !strchr("0123456789.", *text))
		return false;
	number = strtod(text, &end);
	if (end == text)
		return false;
	end += strspn(end, " ");
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		double ns = number * units[i].ns;

		if (strcmp(end, units[i].name) != 0)
			continue;
		if (!isfinite(ns) || ns < 0 || ns > 9e18)
			return false;
		*ret_ns = (int64_t)ns;
		return true;
	}
	return false;
}

int64_t moment_select(sqlite3 *db, int64_t run_id, const char *name)
{
	sqlite3_stmt *row = db_query(db,
				     "SELECT at_ns FROM snapshots WHERE run_id = ? AND label = ? "
				     "ORDER BY at_ns DESC LIMIT 1",
				     "is", run_id, name);
	int64_t at_ns = -1;

	while (db_next(row))
		at_ns = sqlite3_column_int64(row, 0);
	if (at_ns >= 0 || parse_time(name, &at_ns))
		return at_ns;
	die("run %s has no snapshot '%s', and it is no time like 12.5s either. 'heaptape sql "
	    "\"SELECT * FROM snapshots\"' lists what there is.",
	    format_plain(run_id), name);
}
