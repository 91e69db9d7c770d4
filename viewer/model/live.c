#include "viewer/model/live.h"

#include <stdlib.h>

#include "viewer/memory.h"

static void clear_live(struct profile *profile)
{
	for (size_t i = 0; i < profile->total_count; i++)
		profile->totals[i].values[METRIC_LIVE_BLOCKS] =
			profile->totals[i].values[METRIC_LIVE_BYTES] = 0;
	profile->sums[METRIC_LIVE_BLOCKS] = profile->sums[METRIC_LIVE_BYTES] = 0;
}

static struct total *add_total(struct profile *profile, uint32_t stack)
{
	struct total *total;

	profile->totals =
		memory_grow(profile->totals, (profile->total_count + 1) * sizeof(*profile->totals));
	total = &profile->totals[profile->total_count++];
	*total = (struct total){ .stack = stack };
	return total;
}

static void add_live(struct profile *profile, int64_t stack_id, int64_t blocks, int64_t bytes)
{
	struct total *total = NULL;
	uint32_t stack = profile_stack(profile, stack_id);

	/* Both come in the order of their ids, almost always. */
	for (size_t i = 0; i < profile->total_count && !total; i++) {
		if (profile->next_live >= profile->total_count)
			profile->next_live = 0;
		if (profile->totals[profile->next_live].stack == stack)
			total = &profile->totals[profile->next_live];
		else
			profile->next_live++;
	}
	if (!total)
		total = add_total(profile, stack);
	total->values[METRIC_LIVE_BLOCKS] += blocks;
	total->values[METRIC_LIVE_BYTES] += bytes;
	profile->sums[METRIC_LIVE_BLOCKS] += blocks;
	profile->sums[METRIC_LIVE_BYTES] += bytes;
}

struct live_row {
	int64_t stack_id, blocks, bytes;
	bool ageless;
};

static const struct row_field live_fields[] = {
	{ "stack_id", ROW_COUNT, offsetof(struct live_row, stack_id), 0 },
	{ "ageless", ROW_FLAG, offsetof(struct live_row, ageless), 0 },
	{ "blocks", ROW_COUNT, offsetof(struct live_row, blocks), 0 },
	{ "bytes", ROW_COUNT, offsetof(struct live_row, bytes), 0 },
	ROW_END
};

int live_load(struct db *db, const struct run *run, int64_t process_id, const char *threads,
	      int64_t since_ns, int64_t at_ns, struct profile *profile, int64_t *ret_ageless,
	      struct error *error)
{
	int64_t ageless = 0;
	struct live_row row;
	struct rows rows;
	/* A block that was listed after the moment may be older or younger. */
	char *sql = memory_print(
		"SELECT stack_id, allocated_at_ns IS NULL AND coalesce(listed_at_ns, ?4) > "
		"iif(?2 < 0, ?3, ?2) AS ageless, count(*) AS blocks, sum(size_bytes) AS bytes "
		"FROM allocations "
		"WHERE run_id = ?1 AND (?5 = 0 OR process_id = ?5) AND (freed_at_ns IS NULL OR "
		"freed_at_ns > ?3) AND "
		"(allocated_at_ns IS NULL OR allocated_at_ns > ?2 AND allocated_at_ns <= ?3) "
		"AND (allocated_at_ns IS NOT NULL OR ?2 < 0 OR "
		"coalesce(listed_at_ns, ?4) > ?2)%s%s%s GROUP BY 1, 2",
		threads ? " AND thread_id IN (" : "", threads ? threads : "", threads ? ")" : "");
	int result = rows_open(&rows, db, live_fields, 0, error, sql, "iiiii", run->run_id,
			       since_ns, at_ns, INT64_MAX, process_id);

	free(sql);

	if (result)
		return result;
	clear_live(profile);
	while ((result = rows_next(&rows, &row, error)) > 0)
		if (row.ageless)
			ageless += row.blocks;
		else
			add_live(profile, row.stack_id, row.blocks, row.bytes);
	if (!result)
		*ret_ageless = ageless;
	return result;
}
