#include "viewer/model/moment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/command/cli.h"
#include "viewer/model/db.h"
#include "viewer/print/format.h"

static const struct {
	const char *name;
	double ns;
} units[] = {
	{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "min", 60e9 }, { "h", 3600e9 },
};

/* "12.5s", "300 ms", "2min", and "40%" of `whole_ns`. False: it is none of these. */
static bool parse_time(const char *text, int64_t whole_ns, int64_t *ret_ns)
{
	double number, ns = -1;
	char *end;

	if (!*text || !strchr("0123456789.", *text))
		return false;
	number = strtod(text, &end);
	if (end == text)
		return false;
	end += strspn(end, " ");
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (!strcmp(end, units[i].name))
			ns = number * units[i].ns;
	if (!strcmp(end, "%") && number <= 100)
		ns = number / 100 * (double)whole_ns;
	if (!isfinite(ns) || ns < 0 || ns > 9e18)
		return false;
	*ret_ns = (int64_t)ns;
	return true;
}

bool moment_is_word(const char *name)
{
	int64_t ignored;

	return !strcmp(name, "peak") || !strcmp(name, "end") || parse_time(name, 0, &ignored) ||
	       (*name && strspn(name, "0123456789.") == strlen(name));
}

/* Nanoseconds from the run's beginning to its end, or to the last event stored so far. */
static int64_t whole_of(sqlite3 *db, int64_t run_id)
{
	return db_number(db,
			 "SELECT max(coalesce((SELECT max(ended_ns) FROM processes "
			 "WHERE run_id = ?1), 0), coalesce((SELECT max(last_ns) FROM chunks JOIN "
			 "processes USING (process_id) WHERE run_id = ?1), 0))",
			 "i", run_id);
}

int64_t moment_select(sqlite3 *db, const struct run *run, const char *name)
{
	sqlite3_stmt *row = db_query(db,
				     "SELECT at_ns FROM snapshots WHERE run_id = ? AND label = ? "
				     "ORDER BY at_ns DESC LIMIT 1",
				     "is", run->run_id, name);
	int64_t at_ns = -1;

	while (db_next(row))
		at_ns = sqlite3_column_int64(row, 0);
	if (at_ns >= 0 || parse_time(name, whole_of(db, run->run_id), &at_ns))
		return at_ns;
	if (!strcmp(name, "end"))
		return INT64_MAX;
	if (!strcmp(name, "peak") && run->peak_ns != UNKNOWN)
		return run->peak_ns;
	if (!strcmp(name, "peak"))
		die("run %s has no peak: nothing was allocated in it", format_plain(run->run_id));
	if (*name && strspn(name, "0123456789.") == strlen(name))
		die("'%s' has no unit; name one: %sns, %sus, %sms, %ss, %smin, %sh, or %s%%", name,
		    name, name, name, name, name, name, name);
	die("run %s has no snapshot '%s'. A moment is a snapshot's label, a time since the run "
	    "began such as 12.5s, 'peak', 'end', or a percentage of the run such as 40%%. "
	    "'heaptape sql \"SELECT * FROM snapshots\"' lists the snapshots",
	    format_plain(run->run_id), name);
}
