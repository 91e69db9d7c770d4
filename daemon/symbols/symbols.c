/* Which frames need symbols, and where the answers go: the database side. */
#include "proto/clock.h"
#include "daemon/symbols/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_MAX 4
#define IDLE_LIMIT_MS 300000 /* a worker that says nothing for so long has hung */
#define ROWS_PER_COMMIT 2000 /* some 20 ms of holding the write lock */
#define PROGRESS_MS 100

struct frame {
	int64_t frame_id;
	bool answered;
};

struct module_work {
	int64_t module_id;
	char *path, *build_id;
	int64_t mapped_at;
	bool running;	     /* a process that has it */
	size_t first, count; /* of frames and offsets */
};

struct job;

struct slot {
	struct symbols_sink sink;
	struct symbols_worker worker;
	struct job *job;
	struct module_work *module;
	struct symbols_request request;
	uint64_t *remaining; /* offsets of a second try, and where they were in the first */
	size_t *places;
	int64_t heard_ms;
	bool busy;
};

struct job {
	sqlite3 *db;
	int64_t run_id;
	unsigned flags;
	struct frame *frames;
	uint64_t *offsets;
	size_t frame_count;
	struct module_work *modules;
	size_t module_count;
	struct symbols_pipe *told; /* gets the answers; NULL: the database does */
	struct symbols_store store;
	unsigned uncommitted;
	bool writing;
	struct symbols_result result;
	uint64_t done;
	struct store_error *error;
	int status;
};

static int64_t now_ms(void)
{
	struct timespec now = clock_read(CLOCK_MONOTONIC);

	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void job_fail(struct job *job, const char *what)
{
	if (!job->status)
		job->status = store_error_set(job->error, job->db, what);
}

/* What has been answered so far, visible to readers, and a moment in which others can write. */
static void job_commit(struct job *job)
{
	if (job->told && fflush(job->told->out) != 0 && !job->status)
		job_fail(job, "tell the names of functions in");
	if (!job->writing)
		return;
	job->writing = false;
	job->uncommitted = 0;
	if (!job->status)
		job->status = store_commit(job->db, job->error);
	if (job->status)
		store_rollback(job->db);
	else
		usleep(2000);
}

static bool job_begin(struct job *job)
{
	if (job->status)
		return false;
	if (!job->writing && !job->told) {
		job->status = store_begin(job->db, job->error);
		job->writing = !job->status;
	}
	return !job->status;
}

static void frame_answer(struct job *job, size_t place, enum symbol_state state,
			 const struct symbol_level *levels, unsigned count)
{
	int64_t frame_id = job->frames[place].frame_id;

	if (job->frames[place].answered || !job_begin(job))
		return;
	job->frames[place].answered = true;
	job->done++;
	if (state == SYMBOL_LINE)
		job->result.resolved++;
	else if (state == SYMBOL_NAME)
		job->result.symbol++;
	else
		job->result.unknown++;
	if (job->told)
		job->told->sink.answer(&job->told->sink, (size_t)frame_id, state, levels, count);
	else if (symbols_store_frame(&job->store, frame_id, state, levels, count) != 0)
		job_fail(job, "store symbols in");
	if (++job->uncommitted >= ROWS_PER_COMMIT)
		job_commit(job);
}

static void slot_answer(struct symbols_sink *sink, size_t index, enum symbol_state state,
			const struct symbol_level *levels, unsigned count)
{
	struct slot *slot = (struct slot *)sink;

	if (index >= slot->request.count)
		return;
	if (slot->places)
		index = slot->places[index];
	frame_answer(slot->job, slot->module->first + index, state, levels, count);
}

static void job_note(struct job *job, const char *text)
{
	if (!job_begin(job))
		return;
	if (job->told)
		job->told->sink.note(&job->told->sink, text);
	else if (symbols_store_note(&job->store, job->run_id, text) != 0)
		job_fail(job, "write a note to");
}

static void slot_note(struct symbols_sink *sink, const char *text)
{
	job_note(((struct slot *)sink)->job, text);
}

/* Frames of `module` that its worker left without an answer. */
static size_t module_unanswered(struct job *job, const struct module_work *module)
{
	size_t count = 0;

	for (size_t i = 0; i < module->count; i++)
		count += !job->frames[module->first + i].answered;
	return count;
}

static void slot_start(struct slot *slot)
{
	int status = symbols_worker_start(&slot->worker, &slot->request);

	slot->busy = status == 0;
	slot->heard_ms = now_ms();
	if (status && !slot->job->status) {
		slot->job->status = status;
		snprintf(slot->job->error->text, sizeof(slot->job->error->text),
			 "cannot start a process to read symbols: %s", strerror(-status));
	}
}

/* Files that were handed to this process. */
static const char *kept_files = "";

void symbols_keep(const char *text)
{
	kept_files = text;
}

static int kept_fd(int64_t module_id)
{
	char *end;

	for (const char *at = kept_files; *at; at = *end ? end + 1 : end) {
		long long id = strtoll(at, &end, 10);
		long fd = *end == '=' ? strtol(end + 1, &end, 10) : -1;

		if (id == module_id)
			return (int)fd;
		if (*end && *end != ',')
			break;
	}
	return -1;
}

static void slot_begin(struct slot *slot, struct job *job, struct module_work *module)
{
	*slot = (struct slot){ .sink = { slot_answer, slot_note }, .job = job, .module = module };
	slot->request = (struct symbols_request){
		.path = module->path,
		.build_id = module->build_id,
		.fd = kept_fd(module->module_id),
		.mapped_at = module->mapped_at,
		.offsets = job->offsets + module->first,
		.count = module->count,
	};
	job->result.modules++;
	slot_start(slot);
}

/* A worker that died is started once more for the rest, with symbol tables only. */
static bool slot_retry(struct slot *slot, size_t left)
{
	struct module_work *module = slot->module;
	size_t used = 0;

	if (slot->request.names_only || !left)
		return false;
	slot->remaining = calloc(left, sizeof(*slot->remaining));
	slot->places = calloc(left, sizeof(*slot->places));
	if (!slot->remaining || !slot->places)
		return false;
	for (size_t i = 0; i < module->count; i++) {
		if (slot->job->frames[module->first + i].answered)
			continue;
		slot->remaining[used] = slot->job->offsets[module->first + i];
		slot->places[used++] = i;
	}
	slot->request.names_only = true;
	slot->request.offsets = slot->remaining;
	slot->request.count = left;
	slot_start(slot);
	return slot->busy;
}

static void slot_end(struct slot *slot)
{
	struct module_work *module = slot->module;
	struct job *job = slot->job;
	char why[200], text[1024];
	int status = symbols_worker_end(&slot->worker, why, sizeof(why));
	size_t left;

	slot->busy = false;
	/* Killed from outside, perhaps for its memory: that says nothing of the file. */
	if (status == -EINTR && job->flags & SYMBOLS_LOW)
		return;
	if (status < 0) {
		left = module_unanswered(job, module);
		snprintf(text, sizeof(text), "symbols of %.600s: %s; %zu of %zu places left%s",
			 module->path, why, left, module->count,
			 slot->request.names_only ? "" : ", now without lines");
		job_note(job, text);
		if (slot_retry(slot, left))
			return;
	}
	free(slot->remaining);
	free(slot->places);
	slot->remaining = NULL;
	slot->places = NULL;
	/* A program that runs may still write what its code is called. */
	if (module->running && symbols_is_jit(module->build_id))
		return;
	for (size_t i = 0; i < module->count && !job->status; i++)
		frame_answer(job, module->first + i, SYMBOL_UNKNOWN, NULL, 0);
}

static void slot_hear(struct slot *slot, bool ready)
{
	int64_t now = now_ms();

	if (ready)
		slot->heard_ms = now;
	else if (now - slot->heard_ms > IDLE_LIMIT_MS)
		slot->worker.failed = true;
	if (slot->worker.failed || (ready && symbols_worker_read(&slot->worker, &slot->sink) == 0))
		slot_end(slot);
}

static void job_run(struct job *job, symbols_progress_fn *progress, void *context)
{
	struct slot slots[WORKERS_MAX] = { 0 };
	struct pollfd polled[WORKERS_MAX];
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	size_t next = 0, slot_count = 1;
	int64_t told_ms = now_ms();
	bool busy = true;

	if (!(job->flags & SYMBOLS_LOW) && processors > 1)
		slot_count = processors < WORKERS_MAX ? (size_t)processors : WORKERS_MAX;
	while (busy) {
		busy = false;
		for (size_t i = 0; i < slot_count; i++) {
			if (!slots[i].busy && next < job->module_count && !job->status)
				slot_begin(&slots[i], job, &job->modules[next++]);
			if (slots[i].busy && job->status)
				slots[i].worker.failed = true;
			polled[i] = (struct pollfd){ slots[i].busy ? slots[i].worker.fd : -1,
						     POLLIN, 0 };
			busy |= slots[i].busy;
		}
		if (!busy)
			break;
		if (poll(polled, slot_count, job->writing || job->status ? 0 : 1000) == 0 ||
		    job->told)
			job_commit(job);
		for (size_t i = 0; i < slot_count; i++)
			if (slots[i].busy)
				slot_hear(&slots[i], polled[i].revents != 0);
		if (progress && now_ms() - told_ms >= PROGRESS_MS) {
			told_ms = now_ms();
			progress(context, job->done, job->result.pending);
		}
	}
	job_commit(job);
	if (progress && !job->status)
		progress(context, job->done, job->result.pending);
}

/* What is looked for, and what it is asked by. */
#define NAMES(N)                                                                               \
	N(first_run)                                                                           \
	N(last_run) N(module_id) N(frame_id) N(offset) N(path) N(build_id) N(cwd) N(mapped_at) \
		N(running)
enum name_place {
#define N(name) P_##name,
	NAMES(N)
#undef N
		P_COUNT
};
static const char *const names[P_COUNT] = {
#define N(name) #name,
	NAMES(N)
#undef N
};

/* A module's path as this process can open it: libraries may be loaded by a relative name. */
static char *module_path(const struct statement *row)
{
	const char *path = statement_text(row, P_path), *cwd = statement_text(row, P_cwd);
	char *joined;

	if (!path || path[0] == '/' || !cwd || !cwd[0] ||
	    strncmp(path, SYMBOLS_KERNEL_PREFIX, strlen(SYMBOLS_KERNEL_PREFIX)) == 0)
		return strdup(path ? path : "");
	return asprintf(&joined, "%s/%s", cwd, path) < 0 ? NULL : joined;
}

static int work_add(struct job *job, const struct statement *row)
{
	const char *build_id = statement_text(row, P_build_id);
	int64_t module_id = statement_number(row, P_module_id);
	struct module_work *module =
		job->module_count ? &job->modules[job->module_count - 1] : NULL;

	if ((job->frame_count & (job->frame_count - 1)) == 0) {
		size_t capacity = job->frame_count ? job->frame_count * 2 : 1;
		void *frames = realloc(job->frames, capacity * sizeof(*job->frames));
		void *offsets;

		if (!frames)
			return -ENOMEM;
		job->frames = frames;
		offsets = realloc(job->offsets, capacity * sizeof(*job->offsets));
		if (!offsets)
			return -ENOMEM;
		job->offsets = offsets;
	}
	if (!module || module->module_id != module_id) {
		module = realloc(job->modules, (job->module_count + 1) * sizeof(*module));
		if (!module)
			return -ENOMEM;
		job->modules = module;
		module += job->module_count++;
		*module = (struct module_work){ .module_id = module_id,
						.path = module_path(row),
						.build_id = strdup(build_id ? build_id : ""),
						.mapped_at = statement_number(row, P_mapped_at),
						.running = statement_number(row, P_running),
						.first = job->frame_count };
		if (!module->path || !module->build_id)
			return -ENOMEM;
	}
	job->frames[job->frame_count] = (struct frame){ statement_number(row, P_frame_id), false };
	job->offsets[job->frame_count++] = (uint64_t)statement_number(row, P_offset);
	module->count++;
	return 0;
}

/* Offsets beyond the middle of the address space come as negative numbers; bit for bit they sort
 * last, as symbols_request promises. */
#define WORK_SQL(STATES)                                                                          \
	"WITH used AS (SELECT m.module_id, max(r.started_at + m.mapped_ns) AS mapped_at,"         \
	"  max(r.cwd) AS cwd, max(p.ended_ns IS NULL) AS running"                                 \
	"  FROM processes p JOIN mappings m USING(process_id) JOIN runs r USING(run_id)"          \
	"  WHERE p.run_id BETWEEN :first_run AND :last_run GROUP BY m.module_id)"                 \
	"SELECT f.module_id AS module_id, f.frame_id AS frame_id, f.offset AS offset,"            \
	"  m.path AS path, m.build_id AS build_id, u.cwd AS cwd, u.mapped_at AS mapped_at,"       \
	"  u.running AS running"                                                                  \
	" FROM used u CROSS JOIN modules m USING(module_id) CROSS JOIN frames f USING(module_id)" \
	" WHERE f.inline_depth = 0 AND " STATES " ORDER BY f.module_id, f.offset < 0, f.offset"

static int work_load(struct job *job)
{
	const char *sql = job->flags & SYMBOLS_AGAIN
				  ? WORK_SQL("f.symbol_state IN ('pending', 'unknown', 'symbol')")
				  : WORK_SQL("f.symbol_state = 'pending'");
	struct statement work;
	int status = 0;

	if (statement_prepare(&work, job->db, sql, names, P_COUNT) != 0)
		return store_error_set(job->error, job->db, "look for symbols to resolve in");
	statement_bind(&work, { P_first_run, (uint64_t)job->run_id },
		       { P_last_run, job->run_id ? (uint64_t)job->run_id : INT64_MAX });
	while (!status && statement_step(&work) == SQLITE_ROW)
		status = work_add(job, &work);
	if (status)
		snprintf(job->error->text, sizeof(job->error->text),
			 "cannot resolve symbols: out of memory");
	if (statement_reset(&work) != SQLITE_OK && !status)
		status = store_error_set(job->error, job->db, "look for symbols to resolve in");
	statement_release(&work);
	job->result.pending = job->frame_count;
	return status;
}

static int more_work_first(const void *a, const void *b)
{
	const struct module_work *x = a, *y = b;

	return x->count > y->count ? -1 : x->count < y->count;
}

int symbols_resolve(const char *db_path, int64_t run_id, unsigned flags, struct symbols_pipe *told,
		    symbols_progress_fn *progress, void *context, struct symbols_result *ret_result,
		    struct store_error *ret_error)
{
	struct job job = { .run_id = run_id, .flags = flags, .told = told, .error = ret_error };

	job.status = store_open(db_path, told ? STORE_READ : STORE_WRITE, &job.db, ret_error);
	if (job.status)
		return job.status;
	job.status = work_load(&job);
	if (!job.status && job.frame_count) {
		if (!told && symbols_store_init(&job.store, job.db) != 0)
			job_fail(&job, "store symbols in");
		qsort(job.modules, job.module_count, sizeof(*job.modules), more_work_first);
	}
	if (!job.status && job.frame_count)
		job_run(&job, progress, context);
	for (size_t i = 0; i < job.module_count; i++) {
		free(job.modules[i].path);
		free(job.modules[i].build_id);
	}
	free(job.modules);
	free(job.frames);
	free(job.offsets);
	symbols_store_release(&job.store);
	store_close(job.db);
	if (!job.status)
		*ret_result = job.result;
	return job.status;
}
