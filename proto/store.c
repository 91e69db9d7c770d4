/* Opening, making, upgrading and refusing the database; see proto/store.h. */
#include "proto/store.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "proto/schema.h"

/* Chunks are blobs of 60 to 200 KiB, and yet small pages cost nothing measurable (6 ns an event
 * with 4, 16 and 64 KiB alike), while two dozen tables of a short run are small with them. */
#define PAGE_BYTES 4096
/* Pages of WAL after which a commit folds them into the file (16 MiB). */
#define CHECKPOINT_PAGES 4096

/* Steps from each older format to the next; upgrade[0] leads from version 1 to 2. */
static const char *const upgrades[] = { NULL };

_Static_assert(sizeof(upgrades) / sizeof(upgrades[0]) == STORE_VERSION,
	       "one step for each version after the first, and the closing NULL");

__attribute__((format(printf, 3, 4))) static int fail(struct store_error *error, int code,
						      const char *format, ...)
{
	va_list args;

	if (error) {
		va_start(args, format);
		vsnprintf(error->text, sizeof(error->text), format, args);
		va_end(args);
	}
	return code;
}

static const char *file_of(sqlite3 *db)
{
	const char *name = db ? sqlite3_db_filename(db, "main") : NULL;

	return name && *name ? name : "the database";
}

/* The message for an SQLite error about `path`. */
static int fail_sqlite(struct store_error *error, int rc, const char *detail, int system_errno,
		       const char *what, const char *path)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return fail(error, -EBUSY,
			    "cannot %s '%s': another program keeps it locked. Wait until that has "
			    "finished, or name another file",
			    what, path);
	case SQLITE_CORRUPT:
		return fail(error, -EUCLEAN,
			    "cannot %s '%s': the file is damaged (%s). Keep it, record into a new "
			    "file (run -o FILE), and save what can be read with: "
			    "sqlite3 '%s' .recover | sqlite3 saved.db",
			    what, path, detail, path);
	case SQLITE_NOTADB:
		return fail(error, -EMEDIUMTYPE,
			    "cannot %s '%s': it is not a heaptape database (not an SQLite file at "
			    "all). Name another file with --db",
			    what, path);
	case SQLITE_FULL:
		return fail(error, -ENOSPC,
			    "cannot %s '%s': no space left on its file system. Free some space, or "
			    "name a file elsewhere with --db",
			    what, path);
	case SQLITE_READONLY:
		return fail(error, -EROFS,
			    "cannot %s '%s': it may not be written. Check the permissions of the "
			    "file and its folder, or name another file with --db",
			    what, path);
	case SQLITE_NOMEM:
		return fail(error, -ENOMEM, "cannot %s '%s': out of memory", what, path);
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return fail(error, system_errno ? -system_errno : -EACCES,
			    "cannot %s '%s': %s. Check the path and the permissions of its folder",
			    what, path, system_errno ? strerror(system_errno) : detail);
	case SQLITE_IOERR:
		if (system_errno == ENOSPC || system_errno == EDQUOT)
			return fail_sqlite(error, SQLITE_FULL, detail, 0, what, path);
		return fail(error, -EIO, "cannot %s '%s': input/output error%s%s", what, path,
			    system_errno ? ": " : "", system_errno ? strerror(system_errno) : "");
	default:
		return fail(error, -EIO, "cannot %s '%s': %s", what, path, detail);
	}
}

int store_error_set(struct store_error *error, sqlite3 *db, const char *what)
{
	return fail_sqlite(error, sqlite3_extended_errcode(db), sqlite3_errmsg(db),
			   sqlite3_system_errno(db), what, file_of(db));
}

int store_exec(sqlite3 *db, const char *sql, struct store_error *ret_error)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_error_set(ret_error, db,
				       sqlite3_db_readonly(db, "main") ? "read" : "write");
	return 0;
}

int store_begin(sqlite3 *db, struct store_error *ret_error)
{
	return store_exec(db, "BEGIN IMMEDIATE", ret_error);
}

int store_commit(sqlite3 *db, struct store_error *ret_error)
{
	return store_exec(db, "COMMIT", ret_error);
}

void store_rollback(sqlite3 *db)
{
	if (!sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
}

/* One integer from a pragma or query. */
static int query_int(sqlite3 *db, const char *sql, int64_t *ret_value)
{
	sqlite3_stmt *statement = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	if (rc == SQLITE_OK) {
		rc = sqlite3_step(statement);
		if (rc == SQLITE_ROW) {
			*ret_value = sqlite3_column_int64(statement, 0);
			rc = SQLITE_OK;
		} else if (rc == SQLITE_DONE) {
			*ret_value = 0;
			rc = SQLITE_OK;
		}
	}
	sqlite3_finalize(statement);
	return rc;
}

/* What stands in the way of the path itself, before SQLite is asked: its words are the system's. */
static int check_path(const char *path, enum store_mode mode, struct store_error *error)
{
	struct stat info;
	char copy[PATH_MAX];

	if (!*path)
		return fail(error, -EINVAL, "cannot open the database: its name is empty");
	if (strlen(path) >= sizeof(copy) - 8)
		return fail(error, -ENAMETOOLONG, "cannot open '%.60s...': %s", path,
			    strerror(ENAMETOOLONG));
	if (stat(path, &info) == 0) {
		if (S_ISDIR(info.st_mode))
			return fail(error, -EISDIR,
				    "cannot open '%s': it is a folder. Name a file in it", path);
		if (!S_ISREG(info.st_mode))
			return fail(error, -EMEDIUMTYPE, "cannot open '%s': not a regular file",
				    path);
		if (access(path, R_OK) != 0)
			return fail(error, -errno, "cannot read '%s': %s", path, strerror(errno));
		if (mode != STORE_READ && access(path, W_OK) != 0)
			return fail(error, -errno,
				    "cannot write '%s': %s. Name another file with --db", path,
				    strerror(errno));
		if (mode == STORE_READ && info.st_size == 0)
			return fail(error, -EMEDIUMTYPE,
				    "'%s' is empty: nothing was recorded into it yet", path);
	} else if (errno != ENOENT) {
		return fail(error, -errno, "cannot open '%s': %s", path, strerror(errno));
	} else if (mode != STORE_CREATE) {
		return fail(error, -ENOENT,
			    "cannot open '%s': no such file. Record one with "
			    "'heaptape run PROGRAM', or name it with --db FILE",
			    path);
	}
	if (mode != STORE_READ) {
		const char *folder = dirname(memcpy(copy, path, strlen(path) + 1));

		if (access(folder, F_OK) != 0)
			return fail(error, -errno,
				    "cannot create '%s': the folder '%s' does not exist. Make it, "
				    "or name another file with --db",
				    path, folder);
		if (access(folder, W_OK | X_OK) != 0)
			return fail(error, -errno,
				    "cannot create files in the folder '%s': %s. Name a file in "
				    "a folder you may write to with --db",
				    folder, strerror(errno));
	}
	return 0;
}

/* What tells a database of ours, as of one moment: another program may be making it meanwhile. */
static int read_format(sqlite3 *db, int64_t *ret_version, int64_t *ret_application,
		       int64_t *ret_tables, struct store_error *error)
{
	bool alone = sqlite3_get_autocommit(db);
	int code = alone ? store_exec(db, "BEGIN", error) : 0;

	if (!code && (query_int(db, "PRAGMA user_version", ret_version) != SQLITE_OK ||
		      query_int(db, "PRAGMA application_id", ret_application) != SQLITE_OK ||
		      query_int(db, "SELECT count(*) FROM sqlite_master", ret_tables) != SQLITE_OK))
		code = store_error_set(error, db, "open");
	if (alone)
		store_rollback(db);
	return code;
}

/* Reads the version. Refuses what is not ours and what is newer. */
static int check_version(sqlite3 *db, const char *path, int64_t *ret_version,
			 struct store_error *error)
{
	int64_t version = 0, tables = 0, application = 0;
	int code = read_format(db, &version, &application, &tables, error);

	*ret_version = 0;
	if (code)
		return code;
	if (tables == 0 && version == 0)
		return 0;
	if (application != STORE_APPLICATION_ID)
		return fail(error, -EMEDIUMTYPE,
			    "cannot open '%s': an SQLite file, but not one of heaptape's. Name "
			    "another file with --db",
			    path);
	if (version > STORE_VERSION)
		return fail(error, -EPROTO,
			    "cannot open '%s': it has format %lld, and this heaptape knows formats "
			    "up to %d. Use the heaptape that recorded it, or a newer one",
			    path, (long long)version, STORE_VERSION);
	if (version < 1)
		return fail(error, -EUCLEAN, "cannot open '%s': its format number is %lld", path,
			    (long long)version);
	*ret_version = version;
	return 0;
}

/* Makes the tables, or brings older ones up to date; another program may be doing it meanwhile. */
static int make_current(sqlite3 *db, const char *path, struct store_error *error)
{
	int64_t version;
	int code = store_begin(db, error);

	if (code)
		return code;
	code = check_version(db, path, &version, error);
	if (!code && version == 0) {
		code = store_exec(db, schema_sql, error);
		if (!code) {
			char pragma[64];

			snprintf(pragma, sizeof(pragma), "PRAGMA application_id = %d",
				 STORE_APPLICATION_ID);
			code = store_exec(db, pragma, error);
		}
	}
	for (; !code && version >= 1 && version < STORE_VERSION; version++)
		code = store_exec(db, upgrades[version - 1], error);
	if (!code)
		code = store_commit(db, error);
	if (code)
		store_rollback(db);
	return code;
}

/* A reader on a read-only file system, or without permission in the folder, cannot make the files
 * that WAL mode shares between connections. When no writer has left a WAL behind, the file alone is
 * the whole database and can be read as immutable. */
static int open_immutable(const char *path, sqlite3 **ret_db)
{
	char wal[PATH_MAX + 8], uri[3 * PATH_MAX + 32], *to = uri;
	struct stat info;

	snprintf(wal, sizeof(wal), "%s-wal", path);
	if (stat(wal, &info) == 0 && info.st_size > 0)
		return SQLITE_CANTOPEN;
	to += sprintf(to, "file:");
	for (const char *at = path; *at; at++) {
		if (*at == '?' || *at == '#' || *at == '%')
			to += sprintf(to, "%%%02x", (unsigned char)*at);
		else
			*to++ = *at;
	}
	snprintf(to, sizeof(uri) - (size_t)(to - uri), "?immutable=1");
	return sqlite3_open_v2(uri, ret_db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
}

/* Where the file may be written to, SQLite is let, so that the last to close takes the files beside
 * it away; the connection itself writes nothing. */
static int open_reader(const char *path, sqlite3 **ret_db, struct store_error *error)
{
	sqlite3 *db = NULL;
	int64_t ignored, version;
	int flags = access(path, W_OK) == 0 ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
	int code, rc = sqlite3_open_v2(path, &db, flags, NULL);

	if (rc == SQLITE_OK) {
		sqlite3_busy_timeout(db, STORE_BUSY_MS);
		sqlite3_exec(db, "PRAGMA query_only = ON", NULL, NULL, NULL);
		rc = query_int(db, "SELECT count(*) FROM sqlite_master", &ignored);
	}
	if ((rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_READONLY) {
		sqlite3 *other = NULL;

		if (open_immutable(path, &other) == SQLITE_OK) {
			sqlite3_close(db);
			db = other;
			rc = query_int(db, "SELECT count(*) FROM sqlite_master", &ignored);
		} else {
			sqlite3_close(other);
			sqlite3_close(db);
			return fail(error, -EACCES,
				    "cannot read '%s': a recording left data beside it ('%s-wal') "
				    "that cannot be read without writing to the folder. Copy both "
				    "files to a folder you may write to, and read the copy",
				    path, path);
		}
	}
	if (rc != SQLITE_OK) {
		code = fail_sqlite(error, rc, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc),
				   db ? sqlite3_system_errno(db) : 0, "read", path);
		sqlite3_close(db);
		return code;
	}
	code = check_version(db, path, &version, error);
	if (!code && version == 0)
		code = fail(error, -EMEDIUMTYPE, "'%s' is empty: nothing was recorded into it yet",
			    path);
	if (code) {
		sqlite3_close(db);
		return code;
	}
	*ret_db = db;
	return 0;
}

/* A new database is its owner's alone: it holds command lines. SQLite gives the files beside it the
 * same permissions. Where this fails, SQLite fails next and says why. */
static void create_private(const char *path)
{
	struct stat info;
	int fd;

	if (stat(path, &info) == 0 || errno != ENOENT)
		return;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
}

static int open_writer(const char *path, enum store_mode mode, sqlite3 **ret_db,
		       struct store_error *error)
{
	int flags = SQLITE_OPEN_READWRITE | (mode == STORE_CREATE ? SQLITE_OPEN_CREATE : 0);
	sqlite3 *db = NULL;
	int64_t version = 0;
	char pragmas[160];
	int code, rc;

	if (mode == STORE_CREATE)
		create_private(path);
	rc = sqlite3_open_v2(path, &db, flags, NULL);

	if (rc != SQLITE_OK) {
		code = fail_sqlite(error, rc, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc),
				   db ? sqlite3_system_errno(db) : 0, "open", path);
		sqlite3_close(db);
		return code;
	}
	sqlite3_busy_timeout(db, STORE_BUSY_MS);
	code = check_version(db, path, &version, error);
	if (!code && version == 0 && mode != STORE_CREATE)
		code = fail(error, -EMEDIUMTYPE, "'%s' is empty: nothing was recorded into it yet",
			    path);
	if (!code) {
		/* the page size takes effect in an empty file only; synchronous = NORMAL keeps the
		 * file whole through a crash and may lose the last commits with the power */
		snprintf(pragmas, sizeof(pragmas),
			 "PRAGMA page_size = %d; PRAGMA journal_mode = WAL;"
			 "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = %d",
			 PAGE_BYTES, CHECKPOINT_PAGES);
		/* when two programs make the file at once, the change to WAL mode is refused
		 * without waiting, whatever the busy timeout says */
		sqlite3_busy_timeout(db, 0);
		for (int waited_ms = 0; waited_ms < STORE_BUSY_MS; waited_ms += 10) {
			code = store_exec(db, pragmas, error);
			if (code != -EBUSY)
				break;
			sqlite3_sleep(10);
		}
		sqlite3_busy_timeout(db, STORE_BUSY_MS);
	}
	if (!code && version != STORE_VERSION)
		code = make_current(db, path, error);
	if (code) {
		sqlite3_close(db);
		return code;
	}
	*ret_db = db;
	return 0;
}

int store_open(const char *path, enum store_mode mode, sqlite3 **ret_db,
	       struct store_error *ret_error)
{
	int code = check_path(path, mode, ret_error);

	if (code)
		return code;
	return mode == STORE_READ ? open_reader(path, ret_db, ret_error)
				  : open_writer(path, mode, ret_db, ret_error);
}

void store_close(sqlite3 *db)
{
	if (!db)
		return;
	store_rollback(db);
	sqlite3_close_v2(db);
}

const char *store_schema(void)
{
	return schema_sql;
}

const char *store_ending_name(enum process_end how)
{
	switch (how) {
	case PROCESS_RUNNING:
		return "running";
	case PROCESS_EXITED:
		return "exited";
	case PROCESS_SIGNALED:
		return "signaled";
	case PROCESS_EXEC:
		return "exec";
	case PROCESS_VANISHED:
		return "vanished";
	case PROCESS_CUT:
		return "cut";
	}
	return "vanished";
}

const char *store_cut_name(enum stack_cut reason)
{
	switch (reason) {
	case STACK_CUT_DEPTH:
		return "depth";
	case STACK_CUT_NO_ROW:
		return "no row";
	case STACK_CUT_BAD_CFA:
		return "bounds";
	case STACK_CUT_ODD_RULE:
		return "rule";
	case STACK_CUT_TABLE:
		return "table";
	case STACK_CUT_NONE:
	case STACK_CUT_COUNT:
		break;
	}
	return "unknown";
}
