#include "viewer/record/names.h"

#include <unistd.h>

#include "proto/event.pb-c.h"
#include "proto/wire.h"
#include "viewer/model/rows.h"
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

struct asked_row {
	const char *socket;
	int64_t run_id, started_at;
};

static const struct row_field asked_fields[] = {
	{ "socket", ROW_TEXT, offsetof(struct asked_row, socket), 0 },
	{ "run_id", ROW_COUNT, offsetof(struct asked_row, run_id), 0 },
	{ "started_at", ROW_COUNT, offsetof(struct asked_row, started_at), 0 },
	ROW_END
};

int names_ask(struct db *db, struct error *error)
{
	int fds[RUNS_MAX], count = 0;
	struct asked_row row;
	struct rows rows;
	int result = rows_open(&rows, db, asked_fields, 0, error,
			       "SELECT socket, run_id, started_at FROM runs WHERE EXISTS "
			       "(SELECT 1 FROM frames WHERE symbol_state = 'pending') "
			       "ORDER BY run_id DESC LIMIT ?",
			       "i", (int64_t)RUNS_MAX);

	while (!result && (result = rows_next(&rows, &row, error)) > 0) {
		int fd = ask(row.socket, row.run_id, row.started_at);

		if (fd >= 0)
			fds[count++] = fd;
		result = 0;
	}
	while (count--) {
		Heaptape__Frame *reply;

		if (link_receive(fds[count], WAIT_MS + GRACE_MS, &reply) == 0)
			heaptape__frame__free_unpacked(reply, NULL);
		close(fds[count]);
	}
	return result;
}
