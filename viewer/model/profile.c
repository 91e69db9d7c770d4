#include "viewer/model/profile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/model/origin.h"

/* Ids count from 1 without large gaps, so they can be indexes. */
#define PROFILE_ID_MAX (1u << 28)

/* The highest id of a table, plus one: how many places an array of them needs. */
static int ids_of(struct db *db, const char *sql, size_t *ret_count, struct error *error)
{
	int64_t highest = 0;
	int result = rows_number(&highest, db, error, sql, "");

	if (!result && (highest < 0 || highest > PROFILE_ID_MAX))
		return error_set(error, -EUCLEAN,
				 "'%s' is damaged: the id %" PRId64 " is out of range", db->path,
				 highest);
	if (!result)
		*ret_count = (size_t)highest + 1;
	return result;
}

/* An id as an index, 0 when it is none: a damaged file may hold any number. */
static uint32_t checked_id(int64_t id, size_t limit)
{
	return id > 0 && id < (int64_t)limit ? (uint32_t)id : 0;
}

/* "libfoo.so.1.2" is "libfoo.so", "libfoo-1.2.so" too. */
static char *unversioned(const char *name)
{
	char *key = memory_copy(name), *so = strstr(key, ".so"), *dash;

	if (!so)
		return key;
	if (so[3] == '.' || !so[3])
		so[3] = '\0';
	*so = '\0';
	dash = strrchr(key, '-');
	if (dash && dash > key && dash[1] && !dash[1 + strspn(dash + 1, "0123456789.")])
		memmove(dash, ".so", 4);
	else
		*so = '.';
	return key;
}

static int program_of(struct db *db, const struct run *run, char **ret_path, struct error *error)
{
	static const struct row_field fields[] = { { "executable", ROW_COPY, 0, 0 }, ROW_END };
	int result = rows_one(ret_path, db, fields, 0, error,
			      "SELECT executable FROM processes WHERE run_id = ? "
			      "ORDER BY process_id LIMIT 1",
			      "i", run->run_id);

	return result < 0 ? result : 0;
}

struct module_row {
	int64_t module_id;
	const char *path;
};

static const struct row_field module_fields[] = {
	{ "module_id", ROW_COUNT, offsetof(struct module_row, module_id), 0 },
	{ "path", ROW_TEXT, offsetof(struct module_row, path), 0 },
	ROW_END
};

static void module_fill(struct module *module, const char *path, const char *program)
{
	const char *slash;

	free(module->path);
	free(module->key);
	module->path = memory_copy(path);
	slash = strrchr(module->path, '/');
	module->name = slash ? slash + 1 : module->path;
	module->shim = origin_is_shim(module->name);
	module->runtime = origin_is_runtime(module->name);
	module->made = origin_is_made(module->name);
	module->key = program && !strcmp(module->path, program) ? memory_copy("")
								: unversioned(module->name);
}

static int load_modules(struct db *db, const char *program, struct profile *profile,
			struct error *error)
{
	struct module_row row;
	struct rows rows;
	int result = ids_of(db, "SELECT max(module_id) AS number FROM modules",
			    &profile->module_count, error);

	if (result)
		return result;
	profile->modules = memory_alloc(profile->module_count * sizeof(*profile->modules));
	result = rows_open(&rows, db, module_fields, 0, error,
			   "SELECT module_id, path FROM modules WHERE module_id > 0", "");
	while (!result && (result = rows_next(&rows, &row, error)) > 0) {
		uint32_t id = checked_id(row.module_id, profile->module_count);

		if (id)
			module_fill(&profile->modules[id], row.path, program);
		result = 0;
	}
	for (size_t i = 0; i < profile->module_count; i++)
		if (!profile->modules[i].path) {
			profile->modules[i].path = memory_copy("");
			profile->modules[i].name = i ? "(unknown module)" : "";
		}
	return result;
}

struct frame_row {
	int64_t frame_id, module_id, offset, outer_frame_id, line;
	const char *function, *file, *name_key;
	bool pending;
};

#define FRAME(member, type)                                          \
	{                                                            \
#member, type, offsetof(struct frame_row, member), 0 \
	}

static const struct row_field frame_fields[] = {
	FRAME(frame_id, ROW_COUNT),    FRAME(module_id, ROW_COUNT),
	FRAME(offset, ROW_COUNT),      FRAME(outer_frame_id, ROW_COUNT),
	FRAME(line, ROW_COUNT),	       FRAME(function, ROW_TEXT_OR_NULL),
	FRAME(file, ROW_TEXT_OR_NULL), FRAME(name_key, ROW_TEXT_OR_NULL),
	FRAME(pending, ROW_FLAG),      ROW_END
};

static char *copy_or_null(const char *text)
{
	return text ? memory_copy(text) : NULL;
}

static void frame_fill(struct frame *frame, const struct frame_row *row,
		       const struct profile *profile, const struct wrappers *wrappers)
{
	const struct module *module;

	free(frame->function);
	free(frame->file);
	free(frame->name_key);
	frame->module = checked_id(row->module_id, profile->module_count);
	frame->offset = (uint64_t)row->offset;
	frame->outer = checked_id(row->outer_frame_id, profile->frame_count);
	frame->function = copy_or_null(row->function);
	frame->file = copy_or_null(row->file);
	frame->name_key = copy_or_null(row->name_key);
	frame->line = (int32_t)row->line;
	module = &profile->modules[frame->module];
	/* Code made at run time has a name only if the program tells it. */
	frame->pending = row->pending && !module->made;
	frame->allocator =
		module->shim || (frame->function && (origin_is_allocator(frame->function) ||
						     wrappers_have(wrappers, frame->function)));
	frame->plumbing =
		frame->function ? origin_plumbing(frame->function, module->runtime) : NULL;
	frame->library = frame->file && origin_is_library_file(frame->file);
}

static int load_frames(struct db *db, const struct wrappers *wrappers, struct profile *profile,
		       struct error *error)
{
	struct frame_row row;
	struct rows rows;
	int result = ids_of(db, "SELECT max(frame_id) AS number FROM frames", &profile->frame_count,
			    error);

	if (result)
		return result;
	profile->frames = memory_alloc(profile->frame_count * sizeof(*profile->frames));
	result = rows_open(&rows, db, frame_fields, 0, error,
			   "SELECT frame_id, module_id, offset, outer_frame_id, function, file, "
			   "line, symbol_state = 'pending' AS pending, name_key "
			   "FROM frames WHERE frame_id > 0",
			   "");
	while (!result && (result = rows_next(&rows, &row, error)) > 0) {
		uint32_t id = checked_id(row.frame_id, profile->frame_count);

		if (id)
			frame_fill(&profile->frames[id], &row, profile, wrappers);
		result = 0;
	}
	return result;
}

struct stack_row {
	int64_t stack_id, parent_stack_id, frame_id;
};

static const struct row_field stack_fields[] = {
	{ "stack_id", ROW_COUNT, offsetof(struct stack_row, stack_id), 0 },
	{ "parent_stack_id", ROW_COUNT, offsetof(struct stack_row, parent_stack_id), 0 },
	{ "frame_id", ROW_COUNT, offsetof(struct stack_row, frame_id), 0 },
	ROW_END
};

static int load_stacks(struct db *db, struct profile *profile, struct error *error)
{
	struct stack_row row;
	struct rows rows;
	int result = ids_of(db, "SELECT max(stack_id) AS number FROM stacks", &profile->stack_count,
			    error);

	if (result)
		return result;
	profile->stacks = memory_alloc(profile->stack_count * sizeof(*profile->stacks));
	result = rows_open(&rows, db, stack_fields, 0, error,
			   "SELECT stack_id, parent_stack_id, frame_id FROM stacks "
			   "WHERE stack_id > 0",
			   "");
	while (!result && (result = rows_next(&rows, &row, error)) > 0) {
		uint32_t id = checked_id(row.stack_id, profile->stack_count);

		if (id)
			profile->stacks[id] = (struct stack_node){
				checked_id(row.parent_stack_id, profile->stack_count),
				checked_id(row.frame_id, profile->frame_count)
			};
		result = 0;
	}
	return result;
}

struct total_row {
	int64_t stack_id;
	int64_t values[METRIC_COUNT];
};

#define TOTAL(name, metric)                                                    \
	{                                                                      \
		name, ROW_COUNT, offsetof(struct total_row, values[metric]), 0 \
	}

static const struct row_field total_fields[] = { { "stack_id", ROW_COUNT,
						   offsetof(struct total_row, stack_id), 0 },
						 TOTAL("allocations", METRIC_ALLOCATIONS),
						 TOTAL("allocated_bytes", METRIC_ALLOCATED_BYTES),
						 TOTAL("frees", METRIC_FREES),
						 TOTAL("freed_bytes", METRIC_FREED_BYTES),
						 TOTAL("temporary", METRIC_TEMPORARY),
						 TOTAL("peak_blocks", METRIC_PEAK_BLOCKS),
						 TOTAL("peak_bytes", METRIC_PEAK_BYTES),
						 TOTAL("live_blocks", METRIC_LIVE_BLOCKS),
						 TOTAL("live_bytes", METRIC_LIVE_BYTES),
						 ROW_END };

static void total_add(struct profile *profile, size_t *room, const struct total_row *row)
{
	struct total *total;

	if (profile->total_count == *room) {
		*room = *room ? 2 * *room : 256;
		profile->totals = memory_grow(profile->totals, *room * sizeof(*profile->totals));
	}
	total = &profile->totals[profile->total_count++];
	total->stack = checked_id(row->stack_id, profile->stack_count);
	for (int i = 0; i < METRIC_COUNT; i++) {
		total->values[i] = row->values[i];
		profile->sums[i] += row->values[i];
	}
}

static int load_totals(struct db *db, const struct run *run, int64_t process_id,
		       struct profile *profile, struct error *error)
{
	static const char sql[] =
		"SELECT stack_id, total(allocations) AS allocations, "
		"total(allocated_bytes) AS allocated_bytes, total(frees) AS frees, "
		"total(freed_bytes) AS freed_bytes, total(temporary) AS temporary, "
		"total(iif(process_id = ?1, peak_blocks, 0)) AS peak_blocks, "
		"total(iif(process_id = ?1, peak_bytes, 0)) AS peak_bytes, "
		"total(live_blocks) AS live_blocks, total(live_bytes) AS live_bytes "
		"FROM stack_totals "
		"WHERE process_id IN (SELECT process_id FROM processes WHERE run_id = ?2 "
		"AND (?3 = 0 OR process_id = ?3)) GROUP BY stack_id";
	struct total_row row;
	struct rows rows;
	size_t room = 0;
	int result =
		rows_open(&rows, db, total_fields, 0, error, sql, "iii",
			  process_id ? process_id : run->peak_process_id, run->run_id, process_id);

	while (!result && (result = rows_next(&rows, &row, error)) > 0) {
		total_add(profile, &room, &row);
		result = 0;
	}
	return result;
}

/* One call of an unnamed frame: which frame called it. */
struct call {
	uint32_t frame, caller;
};

static int compare_calls(const void *a, const void *b)
{
	const struct call *one = a, *other = b;

	if (one->frame != other->frame)
		return one->frame < other->frame ? -1 : 1;
	return (one->caller > other->caller) - (one->caller < other->caller);
}

/*
 * In a stripped program xmalloc has no name to know it by. But no other function has a single place
 * that allocates and that is reached from so many others.
 */
#define WRAPPER_CALLERS 16

static void find_wrappers(struct profile *profile)
{
	struct call *calls = memory_alloc((profile->total_count + 1) * sizeof(*calls));
	uint32_t walk[64];
	size_t count = 0, callers = 0;

	for (size_t i = 0; i < profile->total_count; i++) {
		size_t depth = profile_frames(profile, profile->totals[i].stack, walk, 64), at = 0;

		while (at < depth && profile->frames[walk[at]].allocator)
			at++;
		if (at + 1 < depth && !profile->frames[walk[at]].function)
			calls[count++] = (struct call){ walk[at], walk[at + 1] };
	}
	if (count)
		qsort(calls, count, sizeof(*calls), compare_calls);
	for (size_t i = 0; i < count; i++) {
		if (!i || calls[i].frame != calls[i - 1].frame)
			callers = 1;
		else if (calls[i].caller != calls[i - 1].caller)
			callers++;
		if (callers == WRAPPER_CALLERS)
			profile->frames[calls[i].frame].allocator = true;
	}
	free(calls);
}

static void count_pending(struct profile *profile)
{
	for (size_t i = 0; i < profile->total_count; i++)
		profile->pending +=
			profile->frames[profile_site(profile, profile->totals[i].stack)].pending;
}

static int profile_fill(struct db *db, const struct run *run, int64_t process_id,
			const struct wrappers *wrappers, struct profile *profile,
			struct error *error)
{
	char *program = NULL;
	int result = program_of(db, run, &program, error);

	if (!result)
		result = load_modules(db, program, profile, error);
	free(program);
	if (!result)
		result = load_frames(db, wrappers, profile, error);
	if (!result)
		result = load_stacks(db, profile, error);
	if (!result)
		result = load_totals(db, run, process_id, profile, error);
	return result;
}

int profile_load(struct db *db, const struct run *run, int64_t process_id,
		 const struct wrappers *wrappers, struct profile *ret_profile, struct error *error)
{
	struct profile profile = { 0 };
	int result = profile_fill(db, run, process_id, wrappers, &profile, error);

	if (result) {
		profile_release(&profile);
		return result;
	}
	/* Twice: wrappers are wrapped too. */
	find_wrappers(&profile);
	find_wrappers(&profile);
	count_pending(&profile);
	*ret_profile = profile;
	return 0;
}

void profile_release(struct profile *profile)
{
	for (size_t i = 0; i < profile->module_count; i++) {
		free(profile->modules[i].path);
		free(profile->modules[i].key);
	}
	for (size_t i = 0; i < profile->frame_count; i++) {
		free(profile->frames[i].function);
		free(profile->frames[i].name_key);
		free(profile->frames[i].file);
	}
	free(profile->modules);
	free(profile->frames);
	free(profile->stacks);
	free(profile->totals);
	*profile = (struct profile){ 0 };
}

void profile_unfold(struct profile *profile)
{
	for (size_t i = 0; i < profile->frame_count; i++)
		profile->frames[i].plumbing = NULL;
}

uint32_t profile_stack(const struct profile *profile, int64_t stack_id)
{
	return checked_id(stack_id, profile->stack_count);
}

size_t profile_frames(const struct profile *profile, uint32_t stack, uint32_t *frames, size_t room)
{
	size_t count = 0;

	for (uint32_t at = stack; at && count < room; at = profile->stacks[at].parent) {
		unsigned inlined = 0;

		/* A node without a frame still takes a step, so a ring of parents ends. */
		if (!profile->stacks[at].frame)
			frames[count++] = 0;
		for (uint32_t frame = profile->stacks[at].frame;
		     frame && count < room && inlined < 64;
		     frame = profile->frames[frame].outer, inlined++)
			frames[count++] = frame;
	}
	return count;
}

uint32_t profile_site(const struct profile *profile, uint32_t stack)
{
	uint32_t frames[PROFILE_DEPTH_MAX], named = 0;
	size_t count = profile_frames(profile, stack, frames, PROFILE_DEPTH_MAX);

	for (size_t i = 0; i < count; i++) {
		const struct frame *frame = &profile->frames[frames[i]];

		if (!frames[i] || frame->allocator)
			continue;
		if (!profile->modules[frame->module].runtime && !frame->library)
			return frames[i];
		named = named ? named : frames[i];
	}
	return named ? named : count ? frames[0] : 0;
}
