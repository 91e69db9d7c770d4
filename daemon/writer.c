#include "daemon/writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "daemon/clock.h"

/* Room for the rows that say how recordings ended, when the disk is full; at most an eighth of
 * what is free. */
#define RESERVE_BYTES (512u << 10)
/* After waiting for another daemon's transaction, leave it a moment before the next of ours. */
#define YIELD_US 1500
#define BUSY_WAIT_US 500
/* Another program that has kept the file locked for too long is not waited for again. */
#define IMPATIENCE_MS 100u
/* Who asks for a new run is told soon. */
#define START_PATIENCE_MS 10000u

static const char *const statement_sql[SQL_COUNT] = {
#define ROW(NAME, sql) [SQL_##NAME] = sql,
	WRITER_STATEMENTS(ROW)
#undef ROW
};

static const char *const names[P_COUNT] = {
#define N(name) #name,
	WRITER_NAMES(N)
#undef N
};

static bool contended;

/* Sleeps are short, because the gaps between another daemon's transactions are. */
static int busy_cb(void *context, int waits)
{
	struct writer *writer = context;
	uint64_t now = clock_monotonic_ns();

	contended = true;
	if (waits == 0)
		writer->busy_since_ns = now;
	if (now - writer->busy_since_ns >= writer->patience_ms * 1000000ull)
		return 0;
	usleep(BUSY_WAIT_US);
	return 1;
}

int writer_unnamed_file(const char *path)
{
	char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
	int fd = -1;

	if (slash)
		slash[slash == folder] = '\0';
	if (folder)
		fd = open(slash ? folder : ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	free(folder);
	return fd;
}

/* Holds on to some disk space. */
static int reserve_open(const char *path)
{
	int fd = writer_unnamed_file(path);
	uint64_t bytes = RESERVE_BYTES;
	struct statvfs disk;

	if (fd >= 0 && fstatvfs(fd, &disk) == 0 &&
	    (uint64_t)disk.f_bavail * disk.f_frsize / 8 < bytes)
		bytes = (uint64_t)disk.f_bavail * disk.f_frsize / 8;
	if (fd >= 0 && posix_fallocate(fd, 0, (off_t)bytes) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Every statement, and every name is one of some statement's. */
static int prepare(struct writer *writer, struct store_error *ret_error)
{
	bool used[P_COUNT] = { false };

	for (int i = 0; i < SQL_COUNT; i++) {
		int error = statement_prepare(&writer->statements[i], writer->db, statement_sql[i],
					      names, P_COUNT);

		if (error == -EIO)
			return store_error_set(ret_error, writer->db, "prepare to write to");
		assert(!error && "all names of the statement are in WRITER_NAMES");
		for (unsigned name = 0; name < P_COUNT; name++)
			used[name] = used[name] || statement_has(&writer->statements[i], name);
	}
	for (unsigned name = 0; name < P_COUNT; name++)
		assert(used[name] && "no name of WRITER_NAMES is left over");
	return 0;
}

int writer_open(struct writer *writer, const char *path, struct store_error *ret_error)
{
	int error;

	memset(writer, 0, sizeof(*writer));
	writer->reserve_fd = -1;
	writer->path = strdup(path);
	if (!writer->path)
		return -ENOMEM;
	error = store_open(path, STORE_CREATE, &writer->db, ret_error);
	if (error)
		goto fail;
	recorder_self(writer->recorder);
	writer->left_runs = recorder_end_left(writer->db);
	error = prepare(writer, ret_error);
	if (error)
		goto fail;
	writer->patience_ms = writer->usual_patience_ms = WRITER_PATIENCE_MS;
	sqlite3_busy_handler(writer->db, busy_cb, writer);
	/* A power cut may cost the last moments, never the file. */
	sqlite3_exec(writer->db,
		     "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000;"
		     "PRAGMA cache_size=-16000; PRAGMA temp_store=MEMORY",
		     NULL, NULL, NULL);
	writer->reserve_fd = reserve_open(path);
	return 0;
fail:
	writer_close(writer);
	return error;
}

void writer_close(struct writer *writer)
{
	for (int i = 0; i < SQL_COUNT; i++)
		statement_release(&writer->statements[i]);
	statement_release(&writer->put_chunk);
	if (writer->reserve_fd >= 0)
		close(writer->reserve_fd);
	if (writer->db)
		store_close(writer->db);
	free(writer->path);
	memset(writer, 0, sizeof(*writer));
	writer->reserve_fd = -1;
}

static int begin(struct writer *writer)
{
	int error;

	if (contended) {
		usleep(YIELD_US);
		contended = false;
	}
	error = store_begin(writer->db, &writer->error);
	if (!error) {
		writer->in_transaction = true;
		writer->began_ns = clock_monotonic_ns();
		writer->patience_ms = writer->usual_patience_ms;
	}
	return error;
}

int writer_begin(struct writer *writer)
{
	int error;

	if (writer->failed)
		return -EIO;
	if (writer->in_transaction)
		return 0;
	error = begin(writer);
	if (error) {
		if (error == -EBUSY)
			writer->patience_ms = IMPATIENCE_MS;
		writer->failed = true;
		writer->failures++;
		return -EIO;
	}
	return 0;
}

int writer_begin_soon(struct writer *writer)
{
	unsigned patience_ms = writer->patience_ms;
	int error;

	if (writer->failed)
		return -EIO;
	if (writer->in_transaction)
		return 0;
	if (patience_ms > START_PATIENCE_MS)
		writer->patience_ms = START_PATIENCE_MS;
	error = begin(writer);
	if (error)
		writer->patience_ms = patience_ms;
	return error;
}

int writer_commit(struct writer *writer)
{
	if (writer->failed)
		return -EIO;
	if (!writer->in_transaction)
		return 0;
	if (store_commit(writer->db, &writer->error) != 0) {
		store_rollback(writer->db);
		writer->in_transaction = false;
		writer->failed = true;
		writer->failures++;
		return -EIO;
	}
	writer->in_transaction = false;
	writer->commits++;
	return 0;
}

void writer_fail(struct writer *writer, const char *what)
{
	if (writer->failed)
		return;
	store_error_set(&writer->error, writer->db, what);
	if (writer->in_transaction)
		store_rollback(writer->db);
	writer->in_transaction = false;
	writer->failed = true;
	writer->failures++;
}

void writer_retry(struct writer *writer)
{
	if (writer->reserve_fd >= 0)
		close(writer->reserve_fd);
	writer->reserve_fd = -1;
	writer->failed = false;
}

struct statement *writer_statement(struct writer *writer, enum writer_statement which)
{
	return writer_begin(writer) == 0 ? &writer->statements[which] : NULL;
}

void writer_bind_known(struct statement *statement, enum writer_name name, bool known,
		       uint64_t value)
{
	if (statement)
		statement_bind_known(statement, name, known, value);
}

void writer_bind_text(struct statement *statement, enum writer_name name, const char *text)
{
	if (statement)
		statement_bind_text(statement, name, text ? text : "");
}

/* Whether there is a row. The writer may have failed after it. */
static bool step(struct writer *writer, struct statement *statement, const char *what)
{
	int result = statement_step(statement);

	if (result != SQLITE_ROW && result != SQLITE_DONE)
		writer_fail(writer, what);
	return result == SQLITE_ROW;
}

int writer_run(struct writer *writer, struct statement *statement)
{
	if (!statement)
		return -EIO;
	step(writer, statement, "write to");
	statement_reset(statement);
	return writer->failed ? -EIO : 0;
}

int64_t writer_add(struct writer *writer, struct statement *statement)
{
	int error = writer_run(writer, statement);

	return error ? error : sqlite3_last_insert_rowid(writer->db);
}

int writer_find(struct writer *writer, struct statement *statement, enum writer_name name,
		int64_t *ret_value)
{
	int64_t value = 0;

	if (!statement)
		return -EIO;
	if (step(writer, statement, "write to"))
		value = statement_number(statement, name);
	statement_reset(statement);
	if (writer->failed)
		return -EIO;
	*ret_value = value;
	return 0;
}

int writer_text(struct writer *writer, struct statement *statement, enum writer_name name, char *to,
		size_t room)
{
	const char *text = NULL;

	*to = '\0';
	if (!statement)
		return -EIO;
	if (step(writer, statement, "read"))
		text = statement_text(statement, name);
	snprintf(to, room, "%s", text ? text : "");
	statement_reset(statement);
	return writer->failed ? -EIO : 0;
}

int writer_put_chunk(struct writer *writer, int64_t process_id, const void *blob, size_t bytes,
		     const struct chunk_bounds *bounds, int64_t *ret_chunk_id)
{
	int error = writer_begin(writer);

	if (error)
		return error;
	error = store_put_chunk(writer->db, &writer->put_chunk, process_id, blob, bytes, bounds,
				ret_chunk_id);
	if (error)
		writer_fail(writer, "write events to");
	return error;
}

void writer_note(struct writer *writer, int64_t run_id, int64_t process_id, uint64_t at_ns,
		 const char *text)
{
	struct statement *add = writer_statement(writer, SQL_NOTE_ADD);

	writer_bind(add, { P_run_id, (uint64_t)run_id }, { P_process_id, (uint64_t)process_id },
		    { P_at_ns, at_ns });
	writer_bind_text(add, P_text, text);
	writer_run(writer, add);
}
