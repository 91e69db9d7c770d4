#include "viewer/record/names.h"

#include <unistd.h>

#include "proto/event.pb-c.h"
#include "proto/wire.h"
#include "viewer/model/db.h"
#include "viewer/record/link.h"

#define WAIT_MS 4000
/* The daemon answers at its next tick. */
#define GRACE_MS 1000
/* More runs are hardly going on at once; and each may be waited for. */
#define RUNS_MAX 4

/* -1: there is nobody to ask. */
static int ask(const char *socket, int64_t run_id, int64_t started_at)
{
	Heaptape__RunControl control = HEAPTAPE__RUN_CONTROL__INIT;
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	int fd;

	if (!*socket || link_connect(socket, &fd) != 0)
		return -1;
	control.wire_version = WIRE_VERSION;
	control.run_id = (uint64_t)run_id;
	control.started_at = (uint64_t)started_at;
	control.action = HEAPTAPE__RUN_CONTROL_ACTION__RUN_CONTROL_NAMES;
	control.wait_ms = WAIT_MS;
	frame.body_case = HEAPTAPE__FRAME__BODY_RUN_CONTROL;
	frame.run_control = &control;
	if (link_send(fd, &frame) == 0)
		return fd;
	close(fd);
	return -1;
}

void names_ask(sqlite3 *db)
{
	int fds[RUNS_MAX], count = 0;
	sqlite3_stmt *run;

	run = db_query(db,
		       "SELECT socket, run_id, started_at FROM runs WHERE EXISTS "
		       "(SELECT 1 FROM frames WHERE symbol_state = 'pending') "
		       "ORDER BY run_id DESC LIMIT ?",
		       "i", (int64_t)RUNS_MAX);
	while (db_next(run)) {
		int fd = ask(column_string(run, 0), sqlite3_column_int64(run, 1),
			     sqlite3_column_int64(run, 2));

		if (fd >= 0)
			fds[count++] = fd;
	}
	while (count--) {
		Heaptape__Frame *reply;

		if (link_receive(fds[count], WAIT_MS + GRACE_MS, &reply) == 0)
			heaptape__frame__free_unpacked(reply, NULL);
		close(fds[count]);
	}
}
