/*
 * Compares recorded stacks with what the program itself kept account of (shadow.h): those of
 * every allocation and page call of the sizes that count, frame by frame. Frames of other objects
 * are not compared one by one, only that there are some where there should be.
 *
 * usage: shadow DATABASE FOLDER [DEPTH]   (0: stacks may end anywhere, but not lead elsewhere)
 * Reads the first process of the last run. Prints what differs and one line of summary.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/chunk.h"
#include "proto/event.h"
#include "tests/tools/shadow.h"

#define THREADS_MAX 64
#define DEPTH_LIMIT 2048 /* recorded stacks of so many frames may be cut, if no other is given */
#define LIST_MAX 4096
#define SITES 256

struct stack_row {
	uint32_t parent;
	uint64_t pc; /* offset in the program; 0: somewhere else */
};

struct thread {
	const struct shadow_file *file;
	int tid;
	uint32_t next; /* the first note that no event was found for */
	uint64_t compared;
	uint64_t sites[SITES]; /* the one address of each */
	uint8_t *done;
};

static struct stack_row *stacks;
static size_t stack_count;
static struct thread threads[THREADS_MAX], *by_number[THREADS_MAX];
static unsigned thread_count, depth_limit = DEPTH_LIMIT;
static uint64_t compared, wrong, cut, signals;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "shadow: %s: %s\n", what, why);
	exit(3);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql, int64_t id)
{
	sqlite3_stmt *statement;

	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		die(sql, sqlite3_errmsg(db));
	sqlite3_bind_int64(statement, 1, id);
	return statement;
}

static void *must(void *memory)
{
	if (!memory)
		die("memory", strerror(errno));
	return memory;
}

static void read_stacks(sqlite3 *db, int64_t process)
{
	sqlite3_stmt *rows = prepare(db, "SELECT max(stack_id) FROM stacks WHERE ? IS NOT NULL", 0);

	if (sqlite3_step(rows) == SQLITE_ROW)
		stack_count = (size_t)sqlite3_column_int64(rows, 0) + 1;
	sqlite3_finalize(rows);
	stacks = must(calloc(stack_count + 1, sizeof(*stacks)));
	rows = prepare(db,
		       "SELECT stack_id, parent_stack_id, CASE WHEN path = (SELECT executable FROM "
		       "processes WHERE process_id = ?) THEN offset ELSE 0 END FROM stacks JOIN "
		       "frames USING (frame_id) LEFT JOIN modules USING (module_id)",
		       process);
	while (sqlite3_step(rows) == SQLITE_ROW) {
		struct stack_row *stack = &stacks[sqlite3_column_int64(rows, 0)];

		stack->parent = (uint32_t)sqlite3_column_int64(rows, 1);
		stack->pc = (uint64_t)sqlite3_column_int64(rows, 2);
	}
	sqlite3_finalize(rows);
}

static void read_threads(sqlite3 *db, int64_t process, const char *folder)
{
	sqlite3_stmt *rows =
		prepare(db, "SELECT number, tid FROM threads WHERE process_id = ?", process);
	char path[4096];

	while (sqlite3_step(rows) == SQLITE_ROW) {
		int number = sqlite3_column_int(rows, 0), tid = sqlite3_column_int(rows, 1), fd;
		struct thread *thread = threads;

		/* Handlers that interrupt the recording are recorded as one more of the same. */
		while (thread < &threads[thread_count] && thread->tid != tid)
			thread++;
		if (number < 0 || number >= THREADS_MAX)
			die(folder, "too many threads");
		by_number[number] = thread;
		if (thread < &threads[thread_count])
			continue;
		thread_count++;
		snprintf(path, sizeof(path), "%s/%d", folder, tid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			die(path, strerror(errno));
		thread->tid = tid;
		thread->file = mmap(NULL, sizeof(struct shadow_file), PROT_READ, MAP_SHARED, fd, 0);
		if (thread->file == MAP_FAILED)
			die(path, strerror(errno));
		close(fd);
		thread->done = must(calloc(SHADOW_NOTES, 1));
	}
	sqlite3_finalize(rows);
}

/* A stack, innermost first: offsets in the program, or marks (below SHADOW_MARKS). */
struct list {
	unsigned count;
	bool whole;
	uint64_t at[LIST_MAX];
};

static void list_add(struct list *list, uint64_t what)
{
	if (what == SHADOW_FOREIGN && list->count && list->at[list->count - 1] == SHADOW_FOREIGN)
		return;
	if (list->count < LIST_MAX)
		list->at[list->count++] = what;
}

/* Where the C library begins a thread it may or may not have a frame. */
static void list_end(struct list *list)
{
	if (list->count && list->at[list->count - 1] == SHADOW_FOREIGN)
		list->count--;
}

static void list_recorded(struct list *list, const struct thread *thread, uint32_t stack_id)
{
	uint64_t entry = thread->file->entry - thread->file->base, outermost = 0;
	unsigned frames = 0;

	list->count = 0;
	for (; stack_id && stack_id < stack_count; stack_id = stacks[stack_id].parent, frames++) {
		outermost = stacks[stack_id].pc;
		list_add(list, outermost ? outermost : SHADOW_FOREIGN);
	}
	list->whole = frames < depth_limit;
	if (depth_limit && depth_limit != DEPTH_LIMIT && frames > depth_limit)
		list->count = 0;
	if (list->count && outermost - entry < 64)
		list->count--;
	list_end(list);
}

/* What the account says from this node outwards, to its root or the first mark of a signal, whose
 * node is returned. */
static uint32_t list_expected(struct list *list, const struct thread *thread, uint32_t node)
{
	const struct shadow_node *nodes = thread->file->nodes;

	list->whole = true;
	for (; node; node = nodes[node].parent) {
		if (nodes[node].ret == SHADOW_SIGNAL)
			return node;
		if (nodes[node].ret == SHADOW_CUT) {
			list->whole = false;
			break;
		}
		list_add(list, nodes[node].ret < SHADOW_MARKS
				       ? nodes[node].ret
				       : nodes[node].ret - thread->file->base);
	}
	list_end(list);
	return 0;
}

static bool lists_equal(const struct list *got, unsigned from, const struct list *want,
			unsigned want_from)
{
	unsigned got_count = got->count - from, want_count = want->count - want_from;
	unsigned count = got_count < want_count ? got_count : want_count;

	for (unsigned i = 0; i < count; i++)
		if (got->at[from + i] != want->at[want_from + i] &&
		    (want->at[want_from + i] != SHADOW_ANY || got->at[from + i] < SHADOW_MARKS))
			return false;
	return got_count == want_count || (!got->whole && got_count < want_count);
}

static void print_list(const char *name, const struct list *list)
{
	static const char *const marks[] = { "none", "foreign", "any", "signal", "cut", "unsure" };

	printf("  %s%s:", name, list->whole ? "" : " (cut)");
	for (unsigned i = 0; i < list->count && i < 300; i++)
		if (list->at[i] < SHADOW_MARKS)
			printf(" %s", marks[list->at[i]]);
		else
			printf(" %#" PRIx64, list->at[i]);
	putchar('\n');
}

/*
 * The rest of a stack from where a signal interrupted, `from` on: the frame that was interrupted,
 * which may be any function's; up to three more that are not on the account (the account's own
 * functions, and one that was just being entered or left); then what the account says.
 */
static bool interrupted_right(struct thread *thread, const struct list *got, unsigned from,
			      uint32_t node)
{
	const struct shadow_node *at = &thread->file->nodes[node];
	struct list want;
	uint32_t outer;
	unsigned own = 0;

	if (at->ret == SHADOW_UNSURE)
		return true;
	/* Before the call of what cuts the stack, or after it. */
	if (at->ret == SHADOW_CUT && interrupted_right(thread, got, from, at->parent))
		return true;
	/* In code without rows that was about to begin its frame, or to leave it. */
	if (at->ret == SHADOW_ANY && got->count - from <= 1)
		return true;
	want.count = 0;
	outer = list_expected(&want, thread, node);
	if (outer)
		list_add(&want, SHADOW_FOREIGN);
	for (; own <= 5; own++, from++) {
		for (unsigned skip = 0; skip < 2 && skip <= want.count; skip++) {
			if (skip && want.at[0] != SHADOW_FOREIGN)
				break;
			if (!outer && lists_equal(got, from, &want, skip))
				return true;
			if (outer && got->count - from + 1 >= want.count - skip) {
				struct list all = *got, head;

				/* Cut where this handler was entered. */
				if (got->count - from + 1 == want.count - skip)
					list_add(&all, SHADOW_FOREIGN);
				head = all;
				head.count = from + want.count - skip;
				if (lists_equal(&head, from, &want, skip) &&
				    interrupted_right(thread, &all, head.count,
						      thread->file->nodes[outer].parent))
					return true;
			}
		}
		if (from == got->count)
			return false;
	}
	return false;
}

static void compare(struct thread *thread, uint32_t note, uint32_t stack_id)
{
	static struct list got, want;
	unsigned site = note >> SHADOW_SITE_SHIFT, from = 0;
	uint32_t node = note & ((1u << SHADOW_SITE_SHIFT) - 1), signal;
	const char *problem = NULL;

	compared++;
	list_recorded(&got, thread, stack_id);
	if (site >= SHADOW_FOREIGN_SITE && got.count && got.at[0] == SHADOW_FOREIGN)
		from++;
	if (site != SHADOW_NO_FRAME && from < got.count) {
		uint64_t pc = got.at[from++];

		if (site != SHADOW_ANY_FRAME && !thread->sites[site])
			thread->sites[site] = pc;
		if (pc < SHADOW_MARKS || (site != SHADOW_ANY_FRAME && thread->sites[site] != pc))
			problem = "call of the allocator";
	}
	want.count = 0;
	signal = list_expected(&want, thread, node);
	if (!signal && !lists_equal(&got, from, &want, 0))
		problem = "stack";
	if (!want.whole)
		cut++;
	if (signal) {
		struct list head;

		/* Cut where the handler was entered. */
		if (got.count + 1 == from + want.count)
			list_add(&got, SHADOW_FOREIGN);
		head = got;
		signals++;
		if (head.count > from + want.count)
			head.count = from + want.count;
		if (!lists_equal(&head, from, &want, 0))
			problem = "handler's stack";
		else if (got.whole && !interrupted_right(thread, &got, head.count,
							 thread->file->nodes[signal].parent))
			problem = "interrupted stack";
	}
	if (!problem)
		return;
	if (wrong++ < 5) {
		printf("thread %d, stack %u, site %u: %s\n", thread->tid, stack_id, site, problem);
		print_list("recorded", &got);
		print_list("expected", &want);
		if (signal) {
			want.count = 0;
			list_expected(&want, thread, thread->file->nodes[signal].parent);
			print_list("interrupted", &want);
		}
	}
}

/* The note an event belongs to: the first one left with its size. A handler's come before the one
 * that it interrupted. */
static void one_event(struct thread *thread, uint64_t size_bytes, uint32_t stack_id)
{
	uint32_t used = thread->file->notes_used, note;

	note = (uint32_t)(size_bytes - SHADOW_BYTES);
	note += thread->next / SHADOW_BYTES_STEPS * SHADOW_BYTES_STEPS;
	if (note < thread->next)
		note += SHADOW_BYTES_STEPS;
	if (note >= used || thread->done[note]) {
		if (wrong++ < 5)
			printf("thread %d: an event of %" PRIu64 " bytes that was not noted\n",
			       thread->tid, size_bytes);
		return;
	}
	thread->done[note] = 1;
	while (thread->next < used && thread->done[thread->next])
		thread->next++;
	thread->compared++;
	compare(thread, thread->file->notes[note], stack_id);
}

static void read_events(sqlite3 *db, int64_t process)
{
	const unsigned kinds = 1u << EVENT_MALLOC | 1u << EVENT_CALLOC | 1u << EVENT_REALLOC |
			       1u << EVENT_MEMALIGN | 1u << EVENT_MADVISE;
	sqlite3_stmt *chunks = prepare(
		db, "SELECT blob FROM chunks WHERE process_id = ? ORDER BY chunk_id", process);
	struct chunk_reader *reader = must(chunk_reader_new());

	while (sqlite3_step(chunks) == SQLITE_ROW) {
		struct chunk_columns columns;
		struct event_row row;

		if (chunk_reader_decode(reader, sqlite3_column_blob(chunks, 0),
					(size_t)sqlite3_column_bytes(chunks, 0), CHUNK_ALL,
					&columns) < 0)
			die("chunk", chunk_reader_error(reader));
		for (unsigned i = 0; i < columns.events; i++) {
			chunk_row(&columns, i, &row);
			if (row.kind & EVENT_BY_ALLOCATOR ||
			    !(kinds >> event_kind_of(row.kind) & 1) ||
			    row.size_bytes - SHADOW_BYTES >= SHADOW_BYTES_STEPS)
				continue;
			if (row.thread < THREADS_MAX && by_number[row.thread])
				one_event(by_number[row.thread], row.size_bytes, row.stack_id);
		}
	}
	sqlite3_finalize(chunks);
	chunk_reader_free(reader);
}

int main(int argc, char **argv)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *row;
	int64_t process = 0, recorded_cut = 0;

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: shadow DATABASE FOLDER [DEPTH]\n");
		return 2;
	}
	if (argc == 4)
		depth_limit = (unsigned)atoi(argv[3]);
	if (sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
		die(argv[1], sqlite3_errmsg(db));
	row = prepare(db,
		      "SELECT process_id, cut_stacks FROM processes WHERE run_id = (SELECT "
		      "max(run_id) FROM runs) AND ? = 0 ORDER BY process_id LIMIT 1",
		      0);
	if (sqlite3_step(row) == SQLITE_ROW) {
		process = sqlite3_column_int64(row, 0);
		recorded_cut = sqlite3_column_int64(row, 1);
	}
	sqlite3_finalize(row);
	read_stacks(db, process);
	read_threads(db, process, argv[2]);
	read_events(db, process);
	for (unsigned i = 0; i < thread_count; i++)
		if (threads[i].compared != threads[i].file->notes_used && wrong++ < 5)
			printf("thread %d: %u noted, %" PRIu64 " recorded\n", threads[i].tid,
			       threads[i].file->notes_used, threads[i].compared);
	/* What a handler interrupted may be cut without being expected to. */
	if ((uint64_t)recorded_cut < cut ||
	    (depth_limit == DEPTH_LIMIT && (uint64_t)recorded_cut > cut + signals)) {
		printf("cut stacks are not those that were counted\n");
		wrong++;
	}
	printf("%" PRIu64 " stacks of %u threads compared, %" PRIu64 " in signal handlers, %" PRIu64
	       " cut short (%" PRId64 " counted), %" PRIu64 " wrong\n",
	       compared, thread_count, signals, cut, recorded_cut, wrong);
	sqlite3_close(db);
	return wrong ? 1 : 0;
}
