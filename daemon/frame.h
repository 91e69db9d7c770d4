/*
 * Frames (proto/wire.h) taken apart. The bytes come from anybody, so every length is checked
 * before it is believed and a message may not need much more memory than it has bytes.
 */
#ifndef HEAPTAPE_DAEMON_FRAME_H
#define HEAPTAPE_DAEMON_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/slab.h"
#include "proto/event.pb-c.h"
#include "proto/wire.h"

/* Looks at the `have` bytes at `data`. 1: a whole frame, *ret_payload bytes behind its header;
 * 0: more must come; -EPROTO: no frame can begin like this. */
int frame_look(const uint8_t *data, size_t have, uint32_t *ret_payload);

/*
 * Decodes a payload into slabs that are added to `*slabs`, where the message lives until they are
 * released. -EPROTO: not a Frame, or none of the known kinds; -ENOMEM.
 */
int frame_decode(const uint8_t *payload, size_t bytes, struct slab **slabs,
		 Heaptape__Frame **ret_frame);

#endif
