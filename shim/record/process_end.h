/* The frames that end a record when there is no shared memory to find the end in. */
#ifndef HEAPTAPE_SHIM_RECORD_PROCESS_END_H
#define HEAPTAPE_SHIM_RECORD_PROCESS_END_H

#include <stddef.h>
#include <stdint.h>

#include "proto/event.h"
#include "proto/ring.h"

#define PROCESS_END_FRAME_BYTES 256

/* ProcessEnd with the losses so far; returns the frame's bytes. */
size_t ht_process_end_frame(uint8_t *out, const struct ring_head *head, enum process_end how,
			    int code);

/* Sends every buffer's events, then ProcessEnd. */
void ht_process_end_send(enum process_end how, int code);

#endif
