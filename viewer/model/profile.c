#include "viewer/model/profile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/command/cli.h"
#include "viewer/model/db.h"
#include "viewer/print/format.h"
#include "viewer/model/site.h"
#include "viewer/print/table.h"
#include "viewer/model/wrappers.h"

/* Ids count from 1 without large gaps, so they can be indexes. */
#define PROFILE_ID_MAX (1u << 28)

static size_t ids_of(sqlite3 *db, const char *sql)
{
	int64_t highest = db_number(db, sql, "");

	if (highest < 0 || highest > PROFILE_ID_MAX)
		die("'%s' is damaged: an id of %s is out of all proportion", cli_database(),
		    format_plain(highest));
	return (size_t)highest + 1;
}

/* An id as an index, 0 when it is none: a damaged file may hold any number. */
static uint32_t checked_id(sqlite3_stmt *row, int column, size_t limit)
{
	int64_t id = sqlite3_column_int64(row, column);

	return id > 0 && id < (int64_t)limit ? (uint32_t)id : 0;
}

/* "libfoo.so.1.2" is "libfoo.so", "libfoo-1.2.so" too. */
static char *unversioned(const char *name)
{
	char *key = must_copy(name), *so = strstr(key, ".so"), *dash;

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

static void load_modules(sqlite3 *db, const struct run *run, struct profile *profile)
{
	char *program = NULL;
	sqlite3_stmt *row;

	row = db_query(
		db, "SELECT executable FROM processes WHERE run_id = ? ORDER BY process_id LIMIT 1",
		"i", run->run_id);
	while (db_next(row))
		program = column_copy(row, 0);
	profile->module_count = ids_of(db, "SELECT coalesce(max(module_id), 0) FROM modules");
	profile->modules = must_alloc(profile->module_count * sizeof(*profile->modules));
	row = db_query(db, "SELECT module_id, path FROM modules WHERE module_id > 0", "");
	while (db_next(row)) {
		struct module *module =
			&profile->modules[checked_id(row, 0, profile->module_count)];
		const char *slash;

		if (module == profile->modules)
			continue;
		free(module->path);
		module->path = must_copy(column_string(row, 1));
		slash = strrchr(module->path, '/');
		module->name = slash ? slash + 1 : module->path;
		module->shim = site_is_shim(module->name);
		module->runtime = site_is_runtime(module->name);
		module->made = site_is_made(module->name);
		free(module->key);
		module->key = program && !strcmp(module->path, program) ? must_copy("")
									: unversioned(module->name);
	}
	free(program);
	for (size_t i = 0; i < profile->module_count; i++)
		if (!profile->modules[i].path) {
			profile->modules[i].path = must_copy("");
			profile->modules[i].name = i ? "(unknown module)" : "";
		}
}

static void load_frames(sqlite3 *db, struct profile *profile)
{
	sqlite3_stmt *row;

	profile->frame_count = ids_of(db, "SELECT coalesce(max(frame_id), 0) FROM frames");
	profile->frames = must_alloc(profile->frame_count * sizeof(*profile->frames));
	row = db_query(db,
		       "SELECT frame_id, module_id, offset, outer_frame_id, function, file, line, "
		       "symbol_state = 'pending', name_key "
		       "FROM frames WHERE frame_id > 0",
		       "");
	while (db_next(row)) {
		struct frame *frame = &profile->frames[checked_id(row, 0, profile->frame_count)];

		if (frame == profile->frames)
			continue;
		free(frame->function);
		free(frame->file);
		free(frame->name_key);
		frame->module = checked_id(row, 1, profile->module_count);
		frame->offset = (uint64_t)sqlite3_column_int64(row, 2);
		frame->outer = checked_id(row, 3, profile->frame_count);
		frame->function = column_copy(row, 4);
		frame->file = column_copy(row, 5);
		frame->name_key = column_copy(row, 8);
		frame->line = (int32_t)sqlite3_column_int64(row, 6);
		/* Code made at run time has a name only if the program tells it. */
		frame->pending =
			sqlite3_column_int64(row, 7) && !profile->modules[frame->module].made;
		frame->allocator = profile->modules[frame->module].shim ||
				   (frame->function && (site_is_allocator(frame->function) ||
							wrappers_have(frame->function)));
		frame->library = frame->file && site_is_library_file(frame->file);
	}
}

static void load_stacks(sqlite3 *db, struct profile *profile)
{
	sqlite3_stmt *row;

	profile->stack_count = ids_of(db, "SELECT coalesce(max(stack_id), 0) FROM stacks");
	profile->stacks = must_alloc(profile->stack_count * sizeof(*profile->stacks));
	row = db_query(db,
		       "SELECT stack_id, parent_stack_id, frame_id FROM stacks WHERE stack_id > 0",
		       "");
	while (db_next(row)) {
		struct stack_node *node =
			&profile->stacks[checked_id(row, 0, profile->stack_count)];

		if (node == profile->stacks)
			continue;
		node->parent = checked_id(row, 1, profile->stack_count);
		node->frame = checked_id(row, 2, profile->frame_count);
	}
}

static void load_totals(sqlite3 *db, const struct run *run, int64_t process_id,
			struct profile *profile)
{
	static const char sql[] =
		"SELECT stack_id, total(allocations), total(allocated_bytes), total(frees), "
		"total(freed_bytes), total(temporary), "
		"total(iif(process_id = ?1, peak_blocks, 0)), total(iif(process_id = ?1, "
		"peak_bytes, 0)), "
		"total(live_blocks), total(live_bytes) FROM stack_totals "
		"WHERE process_id IN (SELECT process_id FROM processes WHERE run_id = ?2 "
		"AND (?3 = 0 OR process_id = ?3)) GROUP BY stack_id";
	sqlite3_stmt *row = db_query(db, sql, "iii", process_id ? process_id : run->peak_process_id,
				     run->run_id, process_id);
	size_t room = 0;

	while (db_next(row)) {
		struct total *total;

		if (profile->total_count == room) {
			room = room ? 2 * room : 256;
			profile->totals =
				must_grow(profile->totals, room * sizeof(*profile->totals));
		}
		total = &profile->totals[profile->total_count++];
		total->stack = checked_id(row, 0, profile->stack_count);
		for (int i = 0; i < METRIC_COUNT; i++) {
			total->values[i] = sqlite3_column_int64(row, 1 + i);
			profile->sums[i] += total->values[i];
		}
	}
}

void profile_clear_live(struct profile *profile)
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
		must_grow(profile->totals, (profile->total_count + 1) * sizeof(*profile->totals));
	total = &profile->totals[profile->total_count++];
	*total = (struct total){ .stack = stack };
	return total;
}

void profile_add_live(struct profile *profile, int64_t stack_id, int64_t blocks, int64_t bytes)
{
	struct total *total = NULL;
	uint32_t stack;

	stack = stack_id > 0 && (size_t)stack_id < profile->stack_count ? (uint32_t)stack_id : 0;
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
	struct call *calls = must_alloc((profile->total_count + 1) * sizeof(*calls));
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

void profile_load(sqlite3 *db, const struct run *run, int64_t process_id,
		  struct profile *ret_profile)
{
	*ret_profile = (struct profile){ 0 };
	wrappers_load();
	load_modules(db, run, ret_profile);
	load_frames(db, ret_profile);
	load_stacks(db, ret_profile);
	load_totals(db, run, process_id, ret_profile);
	/* Twice: wrappers are wrapped too. */
	find_wrappers(ret_profile);
	find_wrappers(ret_profile);
	count_pending(ret_profile);
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

const char *frame_name(const struct profile *profile, uint32_t id)
{
	const struct frame *frame = &profile->frames[id];
	static char ring[8][512];
	static unsigned next;
	char *text;

	if (!id)
		return "(stack unknown)";
	if (frame->function)
		return frame->function;
	text = ring[next++ % 8];
	if (frame->module && !profile->modules[frame->module].made)
		snprintf(text, sizeof(ring[0]), "%s+0x%" PRIx64,
			 profile->modules[frame->module].name, frame->offset);
	else
		snprintf(text, sizeof(ring[0]), "0x%" PRIx64, frame->offset);
	return text;
}

const char *frame_place(const struct profile *profile, uint32_t id, bool whole_path)
{
	const struct frame *frame = &profile->frames[id];
	static char ring[8][600];
	static unsigned next;
	const char *slash, *file = frame->file;
	char *text;

	if (!id || !file)
		return "";
	slash = strrchr(file, '/');
	if (!whole_path && slash)
		file = slash + 1;
	text = ring[next++ % 8];
	if (frame->line > 0)
		snprintf(text, sizeof(ring[0]), "%s:%" PRId32, file, frame->line);
	else
		snprintf(text, sizeof(ring[0]), "%s", file);
	return text;
}

const char *frame_file(const struct profile *profile, uint32_t id)
{
	const char *file = profile->frames[id].file, *slash = file ? strrchr(file, '/') : NULL;

	return slash ? slash + 1 : file ? file : "";
}

char *frame_text(const struct profile *profile, uint32_t frame)
{
	const char *place = frame_place(profile, frame, false);

	return must_print("%s%s%s", frame_name(profile, frame), *place ? " " : "", place);
}

char *frame_key(const struct profile *profile, uint32_t id)
{
	const struct frame *frame = &profile->frames[id];
	const char *module = profile->modules[frame->module].key;

	return must_print("%s\n%s",
			  frame->name_key   ? frame->name_key
			  : frame->function ? frame->function
					    : frame_name(profile, id),
			  module ? module : "");
}

char *stack_lines(const struct profile *profile, uint32_t stack, int indent)
{
	uint32_t frames[PROFILE_DEPTH_MAX];
	size_t count = profile_frames(profile, stack, frames, PROFILE_DEPTH_MAX), bytes;
	char *lines = NULL;
	FILE *out = open_memstream(&lines, &bytes);
	int width = terminal_width(stdout);

	if (!out)
		die("out of memory");
	for (size_t i = 0; i < count; i++) {
		const struct frame *frame = &profile->frames[frames[i]];
		const char *place = frame_place(profile, frames[i], false);
		char *line = must_print(
			"%s%s%s%s%s%s", frame_name(profile, frames[i]), *place ? "  " : "", place,
			frame->function && frame->module ? "  " : "",
			frame->function && frame->module ? profile->modules[frame->module].name
							 : "",
			frames[i] && i + 1 < count && frame->outer == frames[i + 1] ? "  (inlined)"
										    : "");
		char *fitted =
			text_fit(line, width > indent ? (size_t)(width - indent) : 0, FIT_NAME);

		fprintf(out, "%*s%s\n", indent, "", fitted);
		free(line);
		free(fitted);
	}
	if (!count)
		fprintf(out, "%*s(no stack was recorded)\n", indent, "");
	fclose(out);
	return lines;
}
