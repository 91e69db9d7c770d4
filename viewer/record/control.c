#include "viewer/record/control.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "proto/wire.h"
#include "viewer/record/link.h"

/* The daemon answers in its time; it is given this much longer. */
#define GRACE_MS 10000

static int unreachable(const struct run *run, int result, struct error *error)
{
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	if (*run->host && strcmp(run->host, host) != 0)
		return error_set(error, result, "run %" PRId64 " is recorded on '%s'; ask there",
				 run->run_id, run->host);
	return error_set(error, result,
			 "the daemon of run %" PRId64
			 " is gone (%s: %s). What it had stored is all "
			 "there is of the run",
			 run->run_id, run->socket, strerror(-result));
}

static int refused(const struct run *run, int result, const Heaptape__Frame *reply,
		   struct error *error)
{
	if (result || reply->body_case != HEAPTAPE__FRAME__BODY_RUN_CONTROL_REPLY)
		return error_set(error, result ? result : -EPROTO,
				 "the daemon of run %" PRId64 " %s", run->run_id,
				 link_problem(result, reply));
	return error_set(error, -ECANCELED, "run %" PRId64 ": %s", run->run_id,
			 reply->run_control_reply->error);
}

int control_ask(const struct run *run, enum _Heaptape__RunControlAction action, const char *label,
		int64_t wait_s, Heaptape__Frame **ret_reply, struct error *error)
{
	Heaptape__RunControl control = HEAPTAPE__RUN_CONTROL__INIT;
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT, *reply = NULL;
	int fd, result = link_connect(run->socket, &fd);

	if (result)
		return unreachable(run, result, error);
	control.wire_version = WIRE_VERSION;
	control.run_id = (uint64_t)run->run_id;
	control.started_at = (uint64_t)run->started_at;
	control.action = action;
	control.label = (char *)label;
	control.wait_ms = (uint32_t)wait_s * 1000;
	frame.body_case = HEAPTAPE__FRAME__BODY_RUN_CONTROL;
	frame.run_control = &control;
	result = link_send(fd, &frame);
	if (!result)
		result = link_receive(fd, (int)control.wait_ms + GRACE_MS, &reply);
	close(fd);
	if (!result && reply->body_case == HEAPTAPE__FRAME__BODY_RUN_CONTROL_REPLY &&
	    !*reply->run_control_reply->error) {
		*ret_reply = reply;
		return 0;
	}
	result = refused(run, result, reply, error);
	if (reply)
		heaptape__frame__free_unpacked(reply, NULL);
	return result;
}
