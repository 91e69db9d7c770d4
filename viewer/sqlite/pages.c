/*
 * The virtual table `pages`: the heap's map of a process at one moment, one row per page that the
 * allocator holds. As a function: pages(process_id, at_ns); at_ns may be left out and then means
 * the end. The events up to that moment are replayed into a set of live blocks and a set of pages.
 */
#include "viewer/sqlite/sqlite_api.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/event.h"
#include "viewer/sqlite/constraint.h"
#include "viewer/sqlite/live.h"
#include "viewer/sqlite/page_set.h"
#include "viewer/sqlite/tables.h"
#include "viewer/sqlite/vtab.h"

#define PAGE_BYTES 4096u
#define PAGE_ROUND(address) ((address) & ~(uint64_t)(PAGE_BYTES - 1))
/* More rows than this (1 TiB of heap) are a damaged record, not a heap. */
#define PAGES_MOST (1ull << 28)

/* Name, declaration. */
#define PAGE_COLUMNS(ROW)                                 \
	ROW(ADDRESS, "address INTEGER")                   \
	ROW(SPAN_ADDRESS, "span_address INTEGER")         \
	ROW(SPAN_PAGES, "span_pages INTEGER")             \
	ROW(SIZE_CLASS_BYTES, "size_class_bytes INTEGER") \
	ROW(LIVE_BLOCKS, "live_blocks INTEGER")           \
	ROW(LIVE_BYTES, "live_bytes INTEGER")             \
	ROW(STATE, "state TEXT")                          \
	ROW(PROCESS_ID, "process_id INTEGER HIDDEN")      \
	ROW(AT_NS, "at_ns INTEGER HIDDEN")

enum page_column {
#define ROW(NAME, declaration) COLUMN_##NAME,
	PAGE_COLUMNS(ROW)
#undef ROW
		COLUMN_COUNT
};

static const char declaration_sql[] = "CREATE TABLE pages("
#define ROW(NAME, declaration) declaration ","
	PAGE_COLUMNS(ROW)
#undef ROW
		"CHECK(1))";

static const struct constraint_column pushed[] = {
	{ COLUMN_PROCESS_ID, 0.1, 0.1, false },
	{ COLUMN_AT_NS, 1, 0.5, false },
	{ -1, 0, 0, false },
};

struct page {
	uint64_t live_bytes;
	uint32_t live_blocks;
};

struct cursor {
	sqlite3_vtab_cursor base;
	struct scan scan;
	int64_t at_ns; /* as asked for; INT64_MAX: the end */
	bool done;
	struct live_set live;
	struct page_set set;
	struct page *pages; /* of all runs, one after another */
	size_t page_count, page, run, run_first;
	bool whole; /* all of the filter's pages are those of this one process */
};

static int pages_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
	double rows = constraint_rows(((struct vtab *)base)->db);

	/* the moment is an argument: it must be there when the scan begins, if it is given */
	for (int i = 0; i < info->nConstraint; i++)
		if (info->aConstraint[i].iColumn == COLUMN_AT_NS && !info->aConstraint[i].usable &&
		    info->aConstraint[i].op == SQLITE_INDEX_CONSTRAINT_EQ)
			return SQLITE_CONSTRAINT;
	return constraint_plan(info, pushed, rows);
}

static int pages_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret_cursor)
{
	(void)base;
	return vtab_open(sizeof(struct cursor), ret_cursor);
}

static void process_clear(struct cursor *cursor)
{
	live_clear(&cursor->live);
	page_set_clear(&cursor->set);
	free(cursor->pages);
	cursor->pages = NULL;
	cursor->page_count = cursor->page = cursor->run = cursor->run_first = 0;
	cursor->whole = false;
}

static int pages_close(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;

	process_clear(cursor);
	scan_release(&cursor->scan);
	sqlite3_free(cursor);
	return SQLITE_OK;
}

static int take_block(struct cursor *cursor, const struct event_row *row)
{
	unsigned kind = event_kind_of(row->kind);
	struct live_block block = {
		.address = row->address,
		.at_ns = row->at_ns,
		.size_bytes = row->size_bytes,
		.usable_bytes = row->usable_bytes,
	};

	if (kind == EVENT_LIVE && row->old_address)
		block.at_ns = row->allocated_at_ns;
	if (kind == EVENT_FREE)
		live_remove(&cursor->live, row->address, row->allocated_at_ns);
	else if (kind == EVENT_REALLOC && row->old_address && row->address)
		live_remove(&cursor->live, row->old_address, row->allocated_at_ns);
	if (kind == EVENT_FREE || !row->address)
		return 0;
	return live_add(&cursor->live, &block);
}

/* What the allocator did with pages. */
static int take_pages(struct cursor *cursor, const struct event_row *row)
{
	struct page_run run = {
		.start = PAGE_ROUND(row->address),
		.end = PAGE_ROUND(row->address + row->size_bytes + PAGE_BYTES - 1),
		.use = PAGES_FREE,
	};

	/* What there is now follows. */
	if (event_kind_of(row->kind) == EVENT_RESUME) {
		live_clear(&cursor->live);
		page_set_clear(&cursor->set);
		return 0;
	}
	if (!(row->kind & EVENT_BY_ALLOCATOR))
		return 0;
	switch (event_kind_of(row->kind)) {
	case EVENT_SBRK:
	case EVENT_BRK:
		if ((int64_t)row->size_bytes < 0) {
			run.start = PAGE_ROUND(row->address + row->size_bytes + PAGE_BYTES - 1);
			run.end = PAGE_ROUND(row->address + PAGE_BYTES - 1);
			run.use = PAGES_GONE;
		}
		return page_set_assign(&cursor->set, &run);
	case EVENT_MMAP:
		return page_set_assign(&cursor->set, &run);
	case EVENT_MUNMAP:
		run.use = PAGES_GONE;
		return page_set_assign(&cursor->set, &run);
	case EVENT_MREMAP: {
		struct page_run old = {
			.start = PAGE_ROUND(row->old_address),
			.end = PAGE_ROUND(row->old_address + row->old_size_bytes + PAGE_BYTES - 1),
			.use = PAGES_GONE,
		};
		int error = page_set_assign(&cursor->set, &old);

		return error ? error : page_set_assign(&cursor->set, &run);
	}
	case EVENT_MADVISE:
		if (row->usable_bytes != MADV_DONTNEED && row->usable_bytes != MADV_FREE)
			return 0;
		run.use = PAGES_RELEASED;
		return page_set_change(&cursor->set, PAGES_FREE, &run);
	case EVENT_SPAN:
		run.use = PAGES_SPAN;
		run.span_address = run.start;
		run.span_bytes = run.end - run.start;
		run.block_bytes = row->usable_bytes;
		return page_set_assign(&cursor->set, &run);
	case EVENT_UNSPAN:
		return page_set_change(&cursor->set, PAGES_SPAN, &run);
	case EVENT_NONE:
	case EVENT_MALLOC:
	case EVENT_CALLOC:
	case EVENT_REALLOC:
	case EVENT_MEMALIGN:
	case EVENT_FREE:
	case EVENT_LIVE:
	case EVENT_RESUME:
	case EVENT_MARK: /* not about pages */
		break;
	}
	return 0;
}

/* One live block, spread over the pages it lies in; it is counted where it begins. */
static void count_block(struct cursor *cursor, const size_t *run_first,
			const struct live_block *block)
{
	const struct page_run *run = page_set_find(&cursor->set, block->address);
	uint64_t at = block->address, end = at + block->size_bytes;
	struct page *page;

	if (!run)
		return;
	page = cursor->pages + run_first[run - cursor->set.runs] + (at - run->start) / PAGE_BYTES;
	page->live_blocks++;
	if (end < at || end > run->end)
		end = run->end;
	while (at < end) {
		uint64_t next = PAGE_ROUND(at) + PAGE_BYTES;

		page++->live_bytes += (next < end ? next : end) - at;
		at = next;
	}
}

static int map_build(struct cursor *cursor)
{
	size_t *run_first = malloc((cursor->set.count + 1) * sizeof(*run_first));
	uint64_t count = 0;

	if (!run_first)
		return SQLITE_NOMEM;
	for (size_t i = 0; i < cursor->set.count; i++) {
		run_first[i] = count;
		count += (cursor->set.runs[i].end - cursor->set.runs[i].start) / PAGE_BYTES;
		if (count > PAGES_MOST)
			break;
	}
	if (count > PAGES_MOST) {
		free(run_first);
		cursor->scan.error = sqlite3_mprintf("the pages of process %lld cannot be listed: "
						     "more than a heap can have",
						     cursor->scan.process.process_id);
		return SQLITE_TOOBIG;
	}
	cursor->pages = calloc(count + 1, sizeof(*cursor->pages));
	if (!cursor->pages) {
		free(run_first);
		return SQLITE_NOMEM;
	}
	cursor->page_count = count;
	for (size_t i = 0; cursor->live.blocks && i <= cursor->live.mask; i++)
		if (cursor->live.blocks[i].address)
			count_block(cursor, run_first, &cursor->live.blocks[i]);
	free(run_first);
	live_clear(&cursor->live);
	return SQLITE_OK;
}

/* Replays the next process that has pages. */
static int process_next(struct cursor *cursor)
{
	struct event_row row;
	int rc;

	if (cursor->whole) {
		cursor->done = true;
		return SQLITE_OK;
	}
	do {
		process_clear(cursor);
		rc = scan_next_process(&cursor->scan);
		if (rc == SQLITE_DONE) {
			cursor->done = true;
			return SQLITE_OK;
		}
		while (rc == SQLITE_ROW && (rc = scan_next_chunk(&cursor->scan)) == SQLITE_ROW) {
			for (unsigned i = 0; i < cursor->scan.columns.events; i++) {
				if ((int64_t)cursor->scan.columns.at_ns[i] > cursor->at_ns)
					continue;
				chunk_row(&cursor->scan.columns, i, &row);
				if (event_is_block(row.kind) ? take_block(cursor, &row)
							     : take_pages(cursor, &row))
					return SQLITE_NOMEM;
			}
		}
		if (rc == SQLITE_DONE)
			rc = map_build(cursor);
		if (rc != SQLITE_OK)
			return vtab_fail(&cursor->base, &cursor->scan, rc);
	} while (!cursor->page_count);
	cursor->whole = cursor->scan.filter.process.low == cursor->scan.filter.process.high;
	return SQLITE_OK;
}

/* An inner loop of a join asks for the same map once for each row of the outer one. */
static bool same_map(const struct cursor *cursor, const struct range *process, int64_t at_ns)
{
	return cursor->whole && process->low == process->high && at_ns == cursor->at_ns &&
	       process->low == cursor->scan.process.process_id;
}

static int pages_filter(sqlite3_vtab_cursor *base, int number, const char *plan, int argc,
			sqlite3_value **argv)
{
	struct cursor *cursor = (struct cursor *)base;
	struct vtab *table = (struct vtab *)base->pVtab;
	struct constraint_set set;
	struct scan_filter filter;
	int64_t at_ns = INT64_MAX;
	int rc;

	(void)number;
	cursor->done = constraint_set_load(&set, plan, argc, argv, -1);
	if (cursor->done)
		return SQLITE_OK;
	for (int i = 0; i < argc; i++)
		if (plan[2 * i] - 'A' == COLUMN_AT_NS && plan[2 * i + 1] == '=')
			at_ns = sqlite3_value_int64(argv[i]);
	if (same_map(cursor, &set.range[COLUMN_PROCESS_ID], at_ns)) {
		cursor->page = cursor->run = cursor->run_first = 0;
		return SQLITE_OK;
	}
	process_clear(cursor);
	scan_release(&cursor->scan);
	cursor->at_ns = at_ns;
	filter = (struct scan_filter){
		.run = RANGE_ALL,
		.process = set.range[COLUMN_PROCESS_ID],
		.thread_id = RANGE_ALL,
		.stack = RANGE_ALL,
		.address = RANGE_ALL,
		.at_ns = { INT64_MIN, cursor->at_ns },
		.known_ns = RANGE_ALL,
		.kinds = ~0u,
	};
	rc = scan_init(&cursor->scan, table->db, &table->spare, &filter, CHUNK_ALL);
	if (rc != SQLITE_OK)
		return vtab_fail(&cursor->base, &cursor->scan, rc);
	return process_next(cursor);
}

static int pages_next(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;
	const struct page_run *run = &cursor->set.runs[cursor->run];

	cursor->page++;
	if (cursor->page == cursor->page_count)
		return process_next(cursor);
	if (cursor->page == cursor->run_first + (run->end - run->start) / PAGE_BYTES) {
		cursor->run++;
		cursor->run_first = cursor->page;
	}
	return SQLITE_OK;
}

static int pages_eof(sqlite3_vtab_cursor *base)
{
	return ((struct cursor *)base)->done;
}

static const char *state_name(const struct page_run *run, const struct page *page)
{
	switch (run->use) {
	case PAGES_SPAN:
		return page->live_blocks || page->live_bytes ? "live" : "empty";
	case PAGES_RELEASED:
		return "released";
	default:
		return "free";
	}
}

static int pages_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	const struct cursor *cursor = (const struct cursor *)base;
	const struct page_run *run = &cursor->set.runs[cursor->run];
	const struct page *page = &cursor->pages[cursor->page];
	bool span = run->use == PAGES_SPAN;

	switch ((enum page_column)column) {
	case COLUMN_ADDRESS:
		sqlite3_result_int64(
			context,
			(int64_t)(run->start + (cursor->page - cursor->run_first) * PAGE_BYTES));
		break;
	case COLUMN_SPAN_ADDRESS:
		if (span)
			sqlite3_result_int64(context, (int64_t)run->span_address);
		break;
	case COLUMN_SPAN_PAGES:
		if (span)
			sqlite3_result_int64(context, (int64_t)(run->span_bytes / PAGE_BYTES));
		break;
	case COLUMN_SIZE_CLASS_BYTES:
		if (span)
			sqlite3_result_int64(context, (int64_t)run->block_bytes);
		break;
	case COLUMN_LIVE_BLOCKS:
		sqlite3_result_int64(context, page->live_blocks);
		break;
	case COLUMN_LIVE_BYTES:
		sqlite3_result_int64(context, (int64_t)page->live_bytes);
		break;
	case COLUMN_STATE:
		sqlite3_result_text(context, state_name(run, page), -1, SQLITE_STATIC);
		break;
	case COLUMN_PROCESS_ID:
		sqlite3_result_int64(context, cursor->scan.process.process_id);
		break;
	case COLUMN_AT_NS:
		if (cursor->at_ns != INT64_MAX)
			sqlite3_result_int64(context, cursor->at_ns);
		break;
	case COLUMN_COUNT:
		break;
	}
	return SQLITE_OK;
}

static int pages_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
	const struct cursor *cursor = (const struct cursor *)base;
	const uint64_t values[] = { (uint64_t)cursor->scan.process.process_id,
				    (uint64_t)cursor->at_ns, cursor->page };

	*ret_rowid = scan_row_id(values, sizeof(values) / sizeof(values[0]));
	return SQLITE_OK;
}

int pages_register(sqlite3 *db)
{
	static const sqlite3_module module = {
		.iVersion = 0,
		.xConnect = vtab_connect,
		.xBestIndex = pages_best_index,
		.xDisconnect = vtab_disconnect,
		.xDestroy = vtab_disconnect,
		.xOpen = pages_open,
		.xClose = pages_close,
		.xFilter = pages_filter,
		.xNext = pages_next,
		.xEof = pages_eof,
		.xColumn = pages_column,
		.xRowid = pages_rowid,
	};

	return vtab_register(db, "pages", &module, declaration_sql);
}
