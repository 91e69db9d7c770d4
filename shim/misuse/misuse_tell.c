/* Telling a misuse: on stderr, at once and from inside; and to the daemon, which has symbols. */
#include <string.h>

#include "proto/wire.h"
#include "shim/control.h"
#include "shim/link.h"
#include "shim/misuse/misuse.h"
#include "shim/prim.h"
#include "shim/record/freed.h"
#include "shim/record/record.h"
#include "shim/ring.h"
#include "shim/stack/place.h"
#include "shim/stack/range.h"
#include "shim/stack/stack_table.h"
#include "shim/sys.h"

/* A message, put together without stdio. It takes some room, which not every stack has. */
#define TEXT_BYTES (16u << 10)
#define LINE_BYTES 320 /* the first line's limit; the one for a person, and in the database */
#define FRAMES_SHOWN 24

struct text {
	char *bytes;
	size_t length, room;
};

static void put(struct text *text, const char *more)
{
	size_t length = strlen(more), room = text->room - text->length;

	if (length > room)
		length = room;
	memcpy(text->bytes + text->length, more, length);
	text->length += length;
}

static void put_number(struct text *text, uint64_t value, unsigned base)
{
	char digits[24], *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do
		*--at = "0123456789abcdef"[value % base];
	while ((value /= base) > 0);
	if (base == 16)
		put(text, "0x");
	put(text, at);
}

static void put_bytes(struct text *text, uint64_t count)
{
	put_number(text, count, 10);
	put(text, count == 1 ? " byte" : " bytes");
}

static void put_block(struct text *text, const struct misuse *misuse)
{
	put(text, misuse->size_known ? "a block of " : "a block of at most ");
	put_bytes(text, misuse->size_bytes);
	put(text, " at ");
	put_number(text, misuse->block, 16);
	if (misuse->allocated_by) {
		put(text, ", allocated by thread ");
		put_number(text, misuse->allocated_by, 10);
	}
}

static void put_what(struct text *text, const struct misuse *misuse)
{
	switch (misuse->kind) {
	case MISUSE_DOUBLE_FREE:
	case MISUSE_FREED:
		put(text, "already freed");
		put(text, misuse->block ? ": " : ": it lies in free pages");
		break;
	case MISUSE_INTERIOR:
		put_number(text, misuse->address - misuse->block, 10);
		put(text, " bytes inside ");
		break;
	case MISUSE_OVERFLOW:
		put(text, "written ");
		put_bytes(text, misuse->beyond_bytes);
		put(text, " beyond the end of ");
		break;
	case MISUSE_WRITTEN:
		if (misuse->beyond_bytes) {
			put(text, "written to after it was freed: ");
			put_bytes(text, misuse->beyond_bytes);
			put(text, " at offset ");
			put_number(text, misuse->address - misuse->block, 10);
			put(text, " of ");
			break;
		}
		put(text, "freed twice, or written to after it was freed: ");
		if (!misuse->block)
			put(text, "the list of free blocks is broken");
		break;
	default:
		put(text, "not a block of this heap (or its pages were given back since)");
		break;
	}
	if (misuse->block)
		put_block(text, misuse);
	if (misuse->kind == MISUSE_INTERIOR && misuse->is_freed)
		put(text, ", which is freed");
}

static void put_call(struct text *text, const struct misuse *misuse)
{
	if (strcmp(misuse->call, "exit") == 0) {
		put(text, "at exit: ");
		return;
	}
	put(text, misuse->call);
	put(text, "(");
	if (misuse->kind != MISUSE_WRITTEN)
		put_number(text, misuse->kind == MISUSE_OVERFLOW ? misuse->block : misuse->address,
			   16);
	put(text, "): ");
}

static void put_frame(struct text *text, uintptr_t pc)
{
	const char *name;
	struct place place;

	put(text, "    ");
	if (!ht_place_find(pc, &place)) {
		put_number(text, pc, 16);
		put(text, "\n");
		return;
	}
	name = strrchr(place.path, '/');
	if (place.symbol[0]) {
		put(text, place.symbol);
		put(text, "+");
		put_number(text, place.symbol_offset, 16);
		put(text, "  ");
	}
	put(text, name ? name + 1 : place.path);
	put(text, "+");
	put_number(text, place.offset, 16);
	put(text, "\n");
}

static void put_stack(struct text *text, const char *title, uint32_t node)
{
	if (!node || !ht_ring.head || node >= ht_ring.head->nodes_used)
		return;
	put(text, title);
	for (unsigned shown = 0; node; node = ht_ring_node(&ht_ring, node)->parent) {
		if (shown++ == FRAMES_SHOWN) {
			put(text, "    ...\n");
			break;
		}
		put_frame(text,
			  __atomic_load_n(&ht_ring_node(&ht_ring, node)->pc, __ATOMIC_ACQUIRE));
	}
}

static const char *title_of(const struct misuse *misuse)
{
	switch (misuse->kind) {
	case MISUSE_DOUBLE_FREE:
		return "  freed again at\n";
	case MISUSE_FREED:
		return "  used again at\n";
	case MISUSE_OVERFLOW:
	case MISUSE_WRITTEN:
		return "  noticed at\n";
	default:
		return "  at\n";
	}
}

static void put_stacks(struct text *text, const struct misuse *misuse)
{
	put_stack(text, "  allocated at\n", misuse->allocated_stack);
	put_stack(text, "  freed at\n", misuse->freed_stack);
	if (misuse->is_freed && !misuse->freed_stack && !ht_freed)
		put(text, "  freed where heaptape run --free-stacks would show\n");
	put_stack(text, title_of(misuse), misuse->stack);
}

size_t ht_misuse_frame(uint8_t *out, const struct misuse *misuse, uint64_t ticks, uint32_t thread,
		       const char *text, size_t text_bytes)
{
	enum { FRAME_MISUSE = 14 };
	struct wire_put put = { out + 7, out + MISUSE_FRAME_BYTES, 0 };
	uint32_t length;
	size_t bytes;

	wire_put_fixed64(&put, 1, ticks);
	wire_put_fixed32(&put, 2, thread);
	wire_put_uint(&put, 3, misuse->kind);
	wire_put_fixed64(&put, 4, misuse->address);
	wire_put_fixed64(&put, 5, misuse->block);
	wire_put_fixed64(&put, 6, misuse->size_bytes);
	wire_put_fixed32(&put, 7, misuse->stack);
	wire_put_fixed32(&put, 8, misuse->allocated_stack);
	wire_put_fixed32(&put, 9, misuse->freed_stack);
	wire_put_bytes(&put, 10, text, text_bytes);
	bytes = (size_t)(put.at - (out + 7));
	length = (uint32_t)bytes + 3;
	memcpy(out, &length, sizeof(length));
	out[4] = FRAME_MISUSE << 3 | WIRE_BYTES;
	out[5] = (uint8_t)(bytes | 0x80);
	out[6] = (uint8_t)(bytes >> 7);
	return bytes + 7;
}

/* One attempt, the stacks first. As ht_link_send. */
static int try_to_send(uint8_t *frame, size_t bytes)
{
	struct iovec iov = { frame, bytes };
	struct link_hold hold;
	int error = 0;

	ht_link_lock(&hold);
	if (ht_stacks_pending()) {
		ht_link.refused = false;
		ht_stacks_send();
		if (ht_link.refused)
			error = ht_link.state == LINK_ON ? -EAGAIN : -EPIPE;
	}
	if (!error)
		error = ht_link_send(&iov, 1);
	ht_link_unlock(&hold);
	return error;
}

static void tell_daemon(const struct misuse *misuse, const char *text, size_t text_bytes)
{
	const struct ring_buffer *buffer = ht_recorder->buffer;
	uint8_t frame[MISUSE_FRAME_BYTES];
	size_t bytes;

	/* Not from a vfork child, which only borrows our memory. */
	if (ht_link.state != LINK_ON || sys_call0(SYS_getpid) != ht_pid)
		return;
	bytes = ht_misuse_frame(frame, misuse, ht_clock_ticks(), buffer ? buffer->thread : 0, text,
				text_bytes);
	while (try_to_send(frame, bytes) == -EAGAIN && !ht_link.drop_when_full)
		ht_link_wait();
}

void ht_misuse_tell(const struct misuse *misuse)
{
	char line[LINE_BYTES];
	struct text text = { ht_stack_pages(TEXT_BYTES), 0, TEXT_BYTES };
	size_t end;

	if (!text.bytes)
		text = (struct text){ line, 0, sizeof(line) };
	put(&text, "heaptape: ");
	put_call(&text, misuse);
	put_what(&text, misuse);
	end = text.length < LINE_BYTES - 1 ? text.length : LINE_BYTES - 1;
	put(&text, "\n");
	put_stacks(&text, misuse);
	prim_complain(text.bytes, text.length);
	tell_daemon(misuse, text.bytes + strlen("heaptape: "), end - strlen("heaptape: "));
	if (text.bytes != line)
		ht_stack_pages_free(text.bytes, TEXT_BYTES);
}
