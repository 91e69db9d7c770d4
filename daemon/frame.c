#include "daemon/frame.h"

#include <errno.h>

/* What one message may take: the decoder keeps a few words for every field it meets, so a payload
 * of nothing but tiny fields needs many times its size. */
#define FRAME_MEMORY_MAX (24u << 20)

struct frame_memory {
	struct slab **slabs;
	size_t left;
};

static void *take_cb(void *context, size_t bytes)
{
	struct frame_memory *memory = context;

	if (bytes > memory->left)
		return NULL;
	memory->left -= bytes;
	return slab_take(memory->slabs, bytes);
}

static void free_cb(void *context, void *pointer)
{
	(void)context;
	(void)pointer;
}

int frame_look(const uint8_t *data, size_t have, uint32_t *ret_payload)
{
	uint32_t bytes;

	if (have < WIRE_HEADER_BYTES)
		return 0;
	bytes = (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
		(uint32_t)data[3] << 24;
	if (bytes == 0 || bytes > WIRE_MAX_PAYLOAD)
		return -EPROTO;
	if (have - WIRE_HEADER_BYTES < bytes)
		return 0;
	*ret_payload = bytes;
	return 1;
}

int frame_decode(const uint8_t *payload, size_t bytes, struct slab **slabs,
		 Heaptape__Frame **ret_frame)
{
	struct frame_memory memory = { slabs, FRAME_MEMORY_MAX };
	ProtobufCAllocator allocator = { take_cb, free_cb, &memory };
	Heaptape__Frame *frame = heaptape__frame__unpack(&allocator, bytes, payload);

	if (!frame || frame->body_case == HEAPTAPE__FRAME__BODY__NOT_SET)
		return -EPROTO;
	*ret_frame = frame;
	return 0;
}
