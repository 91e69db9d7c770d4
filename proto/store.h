/*
 * The store: one SQLite file (heaptape.db), described by proto/schema.sql. This is the only place
 * that knows how the file is opened, made, upgraded and refused; daemon and viewer go through it.
 *
 * Functions return 0 or a negative errno and print nothing. The text in struct store_error is
 * complete: what failed, why, and what to do; the caller prints it once.
 */
#ifndef HEAPTAPE_PROTO_STORE_H
#define HEAPTAPE_PROTO_STORE_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/chunk.h"
#include "proto/event.h"
#include "proto/statement.h"

/* The format this build reads and writes; equals PRAGMA user_version in proto/schema.sql. */
#define STORE_VERSION 1
/* PRAGMA application_id of our files ("htap"), so that file(1) and we can tell them apart. */
#define STORE_APPLICATION_ID 0x68746170

struct store_error {
	char text[1024];
};

enum store_mode {
	STORE_READ,  /* must exist; cannot change what it holds; works beside a writer */
	STORE_WRITE, /* must exist; upgraded when old */
	STORE_CREATE /* as STORE_WRITE, made when it does not exist (or is an empty file) */
};

/*
 * Opens `path`. On success *ret_db is a connection that waits for locks (STORE_BUSY_MS) and, when
 * writing, is in WAL mode. Close it with store_close().
 *   -ENOENT missing · -EACCES no permission · -EBUSY locked · -EPROTO a newer format
 *   -EMEDIUMTYPE not a heaptape database · -EUCLEAN damaged · -ENOSPC disk full · -EIO · -ENOMEM
 */
#define STORE_BUSY_MS 15000
int store_open(const char *path, enum store_mode mode, sqlite3 **ret_db,
	       struct store_error *ret_error);

/* Closes; a writer folds the WAL into the file first when nobody else has it open. */
void store_close(sqlite3 *db);

/* Fills `error` for a failed call on `db` ("cannot <what> '<file>': …", what to do) and returns
 * the matching negative errno. */
int store_error_set(struct store_error *error, sqlite3 *db, const char *what);

/* Runs SQL without results. */
int store_exec(sqlite3 *db, const char *sql, struct store_error *ret_error);

/* Transactions. A write transaction takes the write lock at once, so that it cannot fail later
 * because another recording wrote meanwhile; keep it short. */
int store_begin(sqlite3 *db, struct store_error *ret_error);
int store_commit(sqlite3 *db, struct store_error *ret_error);
void store_rollback(sqlite3 *db);

/* Appends one chunk; `*insert` is a statement kept by the caller: zero at first, released by it. */
int store_put_chunk(sqlite3 *db, struct statement *insert, int64_t process_id, const void *blob,
		    size_t bytes, const struct chunk_bounds *bounds, int64_t *ret_chunk_id);

/* proto/schema.sql, whose comments explain every column. */
const char *store_schema(void);

/* Text of processes.ending. */
const char *store_ending_name(enum process_end how);

/* Text of stack_cuts.reason. */
const char *store_cut_name(enum stack_cut reason);

#endif
