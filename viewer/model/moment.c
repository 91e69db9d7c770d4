#include "viewer/model/moment.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/model/marks.h"

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
static int whole_of(struct db *db, int64_t run_id, int64_t *ret_ns, struct error *error)
{
	return rows_number(ret_ns, db, error,
			   "SELECT max(coalesce((SELECT max(ended_ns) FROM processes "
			   "WHERE run_id = ?1), 0), coalesce((SELECT max(last_ns) FROM chunks JOIN "
			   "processes USING (process_id) WHERE run_id = ?1), 0)) AS number",
			   "i", run_id);
}

int moment_select(struct db *db, const struct run *run, const char *name, int64_t *ret_at_ns,
		  struct error *error)
{
	int64_t at_ns = -1, whole_ns = 0;
	int result = mark_find(db, run->run_id, name, &at_ns, error);

	if (!result && at_ns < 0)
		result = whole_of(db, run->run_id, &whole_ns, error);
	if (result)
		return result;
	if (at_ns >= 0 || parse_time(name, whole_ns, &at_ns)) {
		*ret_at_ns = at_ns;
	} else if (!strcmp(name, "end")) {
		*ret_at_ns = INT64_MAX;
	} else if (!strcmp(name, "peak")) {
		if (run->peak_ns == UNKNOWN)
			return error_set(error, -ENOENT,
					 "run %" PRId64 " has no peak: nothing was allocated in it",
					 run->run_id);
		*ret_at_ns = run->peak_ns;
	} else if (*name && strspn(name, "0123456789.") == strlen(name)) {
		return error_set(
			error, -EINVAL,
			"'%s' has no unit; name one: %sns, %sus, %sms, %ss, %smin, %sh, or "
			"%s%%",
			name, name, name, name, name, name, name, name);
	} else {
		return error_set(
			error, -ENOENT,
			"run %" PRId64 " has no mark '%s'. A moment is a mark, a time since the "
			"run began such as 12.5s, 'peak', 'end', or a percentage of the run such "
			"as 40%%. 'heaptape mark --list' shows the marks",
			run->run_id, name);
	}
	return 0;
}
