/* Requests to the daemon of a run that goes on. */
#ifndef HEAPTAPE_VIEWER_RECORD_CONTROL_H
#define HEAPTAPE_VIEWER_RECORD_CONTROL_H

#include <stdint.h>

#include "proto/event.pb-c.h"
#include "viewer/error.h"
#include "viewer/model/run.h"

/* Asks the run's daemon for `action` and waits up to `wait_s` for the processes to follow. On success
 * ->run_control_reply of *ret_reply is the answer; free it with heaptape__frame__free_unpacked(). */
int control_ask(const struct run *run, enum _Heaptape__RunControlAction action, const char *label,
		int64_t wait_s, Heaptape__Frame **ret_reply, struct error *error);

#endif
