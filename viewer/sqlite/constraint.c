/* From a WHERE clause to ranges; see constraint.h. */
#include "viewer/sqlite/constraint.h"

#include <math.h>
#include <string.h>

#include "proto/event.h"

/* SQLite reckons 3 for each row of a full scan, and a chunk's rows cost as much as plain ones. */
#define ROW_COST 3.0

static char operator_of(unsigned char op)
{
	switch (op) {
	case SQLITE_INDEX_CONSTRAINT_EQ:
		return '=';
	case SQLITE_INDEX_CONSTRAINT_GT:
		return '>';
	case SQLITE_INDEX_CONSTRAINT_GE:
		return 'g';
	case SQLITE_INDEX_CONSTRAINT_LT:
		return '<';
	case SQLITE_INDEX_CONSTRAINT_LE:
		return 'l';
	case SQLITE_INDEX_CONSTRAINT_ISNULL:
		return 'n';
	case SQLITE_INDEX_CONSTRAINT_ISNOTNULL:
		return 'N';
	default:
		return 0;
	}
}

static const struct constraint_column *find(const struct constraint_column *pushed, int column)
{
	for (; pushed->column >= 0; pushed++)
		if (pushed->column == column)
			return pushed;
	return NULL;
}

int constraint_plan(sqlite3_index_info *info, const struct constraint_column *pushed, double rows)
{
	double work = rows * ROW_COST;
	sqlite3_str *plan = sqlite3_str_new(NULL);
	int count = 0;

	for (int i = 0; i < info->nConstraint; i++) {
		const struct constraint_column *of;
		char op = operator_of(info->aConstraint[i].op);

		of = find(pushed, info->aConstraint[i].iColumn);
		if (!info->aConstraint[i].usable || !op || !of ||
		    strcmp(sqlite3_vtab_collation(info, i), "BINARY") != 0)
			continue;
		if ((op == 'n' || op == 'N') && !of->nullable)
			continue;
		sqlite3_str_appendchar(plan, 1, (char)('A' + of->column));
		sqlite3_str_appendchar(plan, 1, op);
		info->aConstraintUsage[i].argvIndex = ++count;
		/* a bound on one side leaves more than an equality */
		if (op == 'n' || op == 'N') {
			rows *= op == 'n' ? 0.1 : 0.9;
		} else {
			rows *= op == '=' ? of->rows_left : sqrt(sqrt(of->rows_left));
			work *= op == '=' ? of->work_left : sqrt(of->work_left);
		}
	}
	if (sqlite3_str_errcode(plan) != SQLITE_OK) {
		sqlite3_free(sqlite3_str_finish(plan));
		return SQLITE_NOMEM;
	}
	info->idxStr = sqlite3_str_finish(plan);
	info->needToFreeIdxStr = 1;
	info->estimatedRows = rows < 1 ? 1 : (sqlite3_int64)rows;
	info->estimatedCost = 100 + work;
	return SQLITE_OK;
}

static void narrow(struct range *range, char op, int64_t value)
{
	if (op == '=' || op == 'g' || op == '>') {
		if (op == '>' && value == INT64_MAX)
			range->high = INT64_MIN;
		else if (value + (op == '>') > range->low)
			range->low = value + (op == '>');
	}
	if (op == '=' || op == 'l' || op == '<') {
		if (op == '<' && value == INT64_MIN)
			range->low = INT64_MAX;
		else if (value - (op == '<') < range->high)
			range->high = value - (op == '<');
	}
}

static void narrow_real(struct range *range, char op, double value)
{
	/* beyond 2^62 the conversion may not be exact: leave the check to SQLite */
	if (!(fabs(value) < 4e18))
		return;
	if (op == '=') {
		narrow(range, 'g', (int64_t)floor(value));
		narrow(range, 'l', (int64_t)ceil(value));
	} else if (op == 'g' || op == '>') {
		narrow(range, 'g', (int64_t)floor(value));
	} else {
		narrow(range, 'l', (int64_t)ceil(value));
	}
}

static uint32_t kind_mask(sqlite3_value *value)
{
	const char *text = (const char *)sqlite3_value_text(value);

	for (unsigned kind = 1; text && kind < EVENT_KIND_COUNT; kind++)
		if (!strcmp(text, event_kind_name(kind)))
			return 1u << kind;
	return 0;
}

bool constraint_set_load(struct constraint_set *set, const char *plan, int argc,
			 sqlite3_value **argv, int kind_column)
{
	for (int i = 0; i < CONSTRAINT_COLUMNS; i++)
		set->range[i] = RANGE_ALL;
	set->kinds = ~0u;
	for (int i = 0; i < argc; i++) {
		int column = plan[2 * i] - 'A';
		char op = plan[2 * i + 1];
		int type = sqlite3_value_type(argv[i]);

		if (op == 'n' || op == 'N')
			continue;
		if (type == SQLITE_NULL)
			return true;
		if (column == kind_column) {
			if (op == '=' && type == SQLITE_TEXT)
				set->kinds &= kind_mask(argv[i]);
		} else if (type == SQLITE_INTEGER) {
			narrow(&set->range[column], op, sqlite3_value_int64(argv[i]));
		} else if (type == SQLITE_FLOAT) {
			narrow_real(&set->range[column], op, sqlite3_value_double(argv[i]));
		}
	}
	for (int i = 0; i < CONSTRAINT_COLUMNS; i++)
		if (set->range[i].low > set->range[i].high)
			return true;
	return set->kinds == 0;
}

double constraint_rows(sqlite3 *db)
{
	sqlite3_stmt *query = NULL;
	double rows = 0;

	if (sqlite3_prepare_v2(db, "SELECT total(events) FROM processes", -1, &query, NULL) ==
		    SQLITE_OK &&
	    sqlite3_step(query) == SQLITE_ROW)
		rows = sqlite3_column_double(query, 0);
	sqlite3_finalize(query);
	return rows > 1000 ? rows : 1000;
}
