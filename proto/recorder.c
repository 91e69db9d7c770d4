#include "proto/recorder.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/store.h"

static bool read_line(const char *path, char *to, size_t bytes)
{
	FILE *file = fopen(path, "re");
	bool good = file && fgets(to, (int)bytes, file);

	if (file)
		fclose(file);
	if (good)
		to[strcspn(to, "\n")] = '\0';
	return good;
}

/* In clock ticks since the machine was started. False: there is no such process. */
static bool start_time(long pid, unsigned long long *ret)
{
	char path[64], text[1024], *at;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	if (!read_line(path, text, sizeof(text)) || !(at = strrchr(text, ')')))
		return false;
	/* A zombie writes nothing any more. */
	if (at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
		return false;
	return sscanf(at + 2,
		      "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
		      "%*d %*d %llu",
		      ret) == 1;
}

static bool identify(char boot_id[64], unsigned long *ret_namespace)
{
	char link[64];
	ssize_t bytes = readlink("/proc/self/ns/pid", link, sizeof(link) - 1);

	if (bytes <= 0 || !read_line("/proc/sys/kernel/random/boot_id", boot_id, 64))
		return false;
	link[bytes] = '\0';
	return sscanf(link, "pid:[%lu]", ret_namespace) == 1;
}

void recorder_self(char ret_text[RECORDER_BYTES])
{
	char boot_id[64];
	unsigned long namespace;
	unsigned long long started;

	ret_text[0] = '\0';
	if (identify(boot_id, &namespace) && start_time(getpid(), &started))
		snprintf(ret_text, RECORDER_BYTES, "%s %lu %ld %llu", boot_id, namespace,
			 (long)getpid(), started);
}

bool recorder_is_gone(const char *text, const char *host)
{
	char its_boot_id[64], boot_id[64], our_host[256] = "";
	unsigned long its_namespace, namespace;
	unsigned long long its_start, started;
	long pid;

	gethostname(our_host, sizeof(our_host) - 1);
	if (strcmp(host, our_host) != 0 || !identify(boot_id, &namespace) ||
	    sscanf(text, "%63s %lu %ld %llu", its_boot_id, &its_namespace, &pid, &its_start) != 4)
		return false;
	if (strcmp(its_boot_id, boot_id) != 0)
		return true;
	if (its_namespace != namespace || pid <= 0)
		return false;
	return !start_time(pid, &started) || started != its_start;
}

static void gone(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	const char *text = (const char *)sqlite3_value_text(argv[0]);
	const char *host = (const char *)sqlite3_value_text(argv[1]);

	(void)argc;
	sqlite3_result_int(context, text && host && recorder_is_gone(text, host));
}

static int define(sqlite3 *db)
{
	return sqlite3_create_function_v2(db, "heaptape_recorder_gone", 2,
					  SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, gone, NULL, NULL,
					  NULL);
}

/* The first such run. SQLITE_ROW, SQLITE_DONE or an error. */
static int find_left(sqlite3 *db, int64_t *ret_run_id, long *ret_pid)
{
	sqlite3_stmt *any = NULL;
	int rc = define(db);

	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(db,
					"SELECT run_id, recorder FROM runs WHERE state = 'running' "
					"AND heaptape_recorder_gone(recorder, host) LIMIT 1",
					-1, &any, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(any);
	if (rc == SQLITE_ROW) {
		*ret_run_id = sqlite3_column_int64(any, 0);
		*ret_pid = 0;
		sscanf((const char *)sqlite3_column_text(any, 1), "%*s %*u %ld", ret_pid);
	}
	sqlite3_finalize(any);
	return rc;
}

bool recorder_has_left(sqlite3 *db)
{
	int64_t run_id;
	long pid;

	return find_left(db, &run_id, &pid) == SQLITE_ROW;
}

/* Chunks are committed more often than the numbers beside them. */
int recorder_end_run(sqlite3 *db, int64_t run_id, const char *why)
{
	struct store_error error;
	char *sql = sqlite3_mprintf(
		"UPDATE processes AS p SET ending = 'cut', ended_ns = max(started_ns,"
		" coalesce((SELECT max(last_ns) FROM chunks c WHERE c.process_id = p.process_id), "
		"0),"
		" coalesce((SELECT max(at_ns) FROM samples s WHERE s.process_id = p.process_id), "
		"0)),"
		" events = max(events, coalesce((SELECT sum(c.events) FROM chunks c WHERE"
		" c.process_id = p.process_id), 0)) WHERE run_id = %lld AND ending = 'running';"
		"UPDATE runs SET state = 'cut', ended_at = started_at + coalesce((SELECT"
		" max(ended_ns) FROM processes p WHERE p.run_id = runs.run_id), 0)"
		" WHERE run_id = %lld;"
		"INSERT INTO notes(run_id, at_ns, text) SELECT run_id, ended_at - started_at, %Q"
		" FROM runs WHERE run_id = %lld",
		(long long)run_id, (long long)run_id, why, (long long)run_id);
	int result = sql ? store_exec(db, sql, &error) : -ENOMEM;

	sqlite3_free(sql);
	return result;
}

int recorder_end_left(sqlite3 *db)
{
	struct store_error error;
	int result = 0, ended = 0, rc = SQLITE_ROW;
	int64_t run_id;
	char why[128];
	long pid;

	if (!recorder_has_left(db))
		return 0;
	result = store_begin(db, &error);
	while (!result && (rc = find_left(db, &run_id, &pid)) == SQLITE_ROW) {
		snprintf(
			why, sizeof(why),
			"heaptaped (pid %ld) was killed before the end; here is what it had stored",
			pid);
		result = recorder_end_run(db, run_id, why);
		ended++;
	}
	if (!result)
		result = rc == SQLITE_DONE ? store_commit(db, &error) : -EIO;
	if (result)
		store_rollback(db);
	return result ? result : ended;
}
