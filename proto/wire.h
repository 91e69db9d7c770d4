/*
 * Framing of the Unix stream socket: every frame is
 *
 *   offset  size  meaning
 *   0       4     payload length in bytes, little-endian; 1 .. WIRE_MAX_PAYLOAD
 *   4       n     one heaptape.Frame (proto/event.proto)
 *
 * A peer that sends a longer frame, a payload that is not a Frame, or frames out of their place
 * loses its connection. The first frame is Hello (a traced program), Unrecorded (a program that will
 * not be) or RunStart (the command).
 *
 * A forked child that cannot connect (it has another root folder, user or mount namespace) makes a
 * pair of sockets and sends one end, as SCM_RIGHTS, through the connection it has from its parent.
 * One byte goes with it, which is no part of the stream: it may lie in the middle of a frame of the
 * parent's. A descriptor ends what recvmsg(2) returns, so it is the last byte of that. It is 0, and no
 * other frame that a descriptor travels with ends so: the two are told apart also where the descriptor
 * itself could not be received.
 *
 * The few functions here write message heads without protobuf-c, for the shim, which brings
 * nothing but libc into the program; tests decode what they write with protobuf-c.
 * Changing the wire so that an older reader would misread it: bump WIRE_VERSION.
 */
#ifndef HEAPTAPE_PROTO_WIRE_H
#define HEAPTAPE_PROTO_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WIRE_VERSION 1
#define WIRE_HEADER_BYTES 4
#define WIRE_MAX_PAYLOAD (1u << 20)

/* protobuf wire types (developers' guide, "Encoding"). */
enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* An output cursor. Writing past the end sets `full` and writes nothing more. */
struct wire_put {
	uint8_t *at;
	uint8_t *end;
	int full;
};

static inline void wire_put_varint(struct wire_put *put, uint64_t value)
{
	do {
		if (put->at == put->end) {
			put->full = 1;
			return;
		}
		*put->at++ = (uint8_t)(value | (value > 0x7f ? 0x80 : 0));
		value >>= 7;
	} while (value);
}

static inline void wire_put_raw(struct wire_put *put, const void *data, size_t bytes)
{
	if ((size_t)(put->end - put->at) < bytes) {
		put->full = 1;
		return;
	}
	memcpy(put->at, data, bytes);
	put->at += bytes;
}

static inline void wire_put_tag(struct wire_put *put, unsigned field, enum wire_type type)
{
	wire_put_varint(put, (uint64_t)field << 3 | type);
}

static inline void wire_put_uint(struct wire_put *put, unsigned field, uint64_t value)
{
	wire_put_tag(put, field, WIRE_VARINT);
	wire_put_varint(put, value);
}

static inline void wire_put_sint(struct wire_put *put, unsigned field, int32_t value)
{
	wire_put_uint(put, field, ((uint32_t)value << 1) ^ (uint32_t)(value >> 31));
}

static inline void wire_put_fixed32(struct wire_put *put, unsigned field, uint32_t value)
{
	wire_put_tag(put, field, WIRE_FIXED32);
	wire_put_raw(put, &value, sizeof(value));
}

static inline void wire_put_fixed64(struct wire_put *put, unsigned field, uint64_t value)
{
	wire_put_tag(put, field, WIRE_FIXED64);
	wire_put_raw(put, &value, sizeof(value));
}

/* The head of a length-delimited field whose `bytes` bytes follow. */
static inline void wire_put_head(struct wire_put *put, unsigned field, size_t bytes)
{
	wire_put_tag(put, field, WIRE_BYTES);
	wire_put_varint(put, bytes);
}

static inline void wire_put_bytes(struct wire_put *put, unsigned field, const void *data,
				  size_t bytes)
{
	wire_put_head(put, field, bytes);
	wire_put_raw(put, data, bytes);
}

/* Bytes that wire_put_head needs for a field number below 16. */
static inline size_t wire_head_bytes(size_t bytes)
{
	size_t n = 2;

	while (bytes > 0x7f) {
		bytes >>= 7;
		n++;
	}
	return n;
}

#endif
