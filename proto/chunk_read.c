/*
 * Decoding the events of a chunk; the format is described in proto/chunk.h. Nothing in a blob is
 * trusted: a stream has room for all that any events can take from it, every index is checked, and
 * a stream that does not end with the last event is damage.
 */
#include "proto/chunk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/chunk_reader.h"

static int bad_event(struct chunk_reader *reader, unsigned event, const char *what)
{
	snprintf(reader->error, sizeof(reader->error), "damaged: %s at event %u", what, event);
	return -EBADMSG;
}

/* At most 10 bytes, past the stream's end too. */
static inline uint64_t get_varint(struct cursor *cursor)
{
	const uint8_t *p = cursor->at;
	uint64_t value = *p & 0x7f;
	unsigned shift = 7;

	while (*p++ & 0x80) {
		value |= (uint64_t)(*p & 0x7f) << shift;
		shift += 7;
		if (shift > 63) {
			p++;
			break;
		}
	}
	cursor->at = p;
	return value;
}

#define CURSOR(NAME) (&reader->cursor[CHUNK_##NAME##_STREAM])

static inline int get_stack(struct chunk_reader *reader, bool follows, unsigned old,
			    uint32_t *ret_stack)
{
	struct site *last = &reader->sites[reader->last_site[old]];
	uint32_t site = last->follower[old];

	if (!follows) {
		site = *CURSOR(STACK_LOW)->at++;
		site |= (uint32_t)*CURSOR(STACK_HIGH)->at++ << 8;
		if (site == reader->site_count && site < CHUNK_MAX_EVENTS) {
			reader->sites[site] = (struct site){
				.stack_id = last->stack_id +
					    (uint32_t)unzigzag(get_varint(CURSOR(STACK_NEW))),
				.class = CLASS_ESCAPE,
			};
			reader->site_count++;
		} else if (site >= reader->site_count) {
			return -EBADMSG;
		}
		last->follower[old] = site;
	}
	reader->last_site[old] = site;
	*ret_stack = reader->sites[site].stack_id;
	return 0;
}

static inline int get_size(struct chunk_reader *reader, bool same, unsigned old, uint64_t *ret_size,
			   uint64_t *ret_usable, uint32_t *ret_class)
{
	struct site *site = &reader->sites[reader->last_site[old]];

	if (!same) {
		uint32_t class = *CURSOR(CLASS)->at++;
		uint64_t usable;

		if (class == CLASS_ESCAPE) {
			usable = get_varint(CURSOR(CLASS_NEW));
		} else {
			if (class == reader->class_count && class < CLASS_MAX) {
				reader->classes[class] = (struct size_class){
					.usable_bytes = get_varint(CURSOR(CLASS_NEW))
				};
				reader->class_count++;
			} else if (class >= reader->class_count) {
				return -EBADMSG;
			}
			usable = reader->classes[class].usable_bytes;
		}
		site->class = class;
		site->usable_bytes = usable;
		site->size_bytes = usable - (uint64_t)unzigzag(get_varint(CURSOR(SLACK)));
	}
	*ret_class = site->class;
	*ret_size = site->size_bytes;
	*ret_usable = site->usable_bytes;
	return 0;
}

static inline uint64_t get_address(struct chunk_reader *reader, bool freed, uint32_t class)
{
	struct size_class *of = &reader->classes[class];

	if (freed) {
		of->last = of->freed;
	} else {
		uint64_t packed = get_varint(CURSOR(ADDRESS));

		if (packed == ADDRESS_ODD)
			of->last += (uint64_t)unzigzag(get_varint(CURSOR(ADDRESS)));
		else
			of->last += (uint64_t)unzigzag(packed >> 1) << 4;
	}
	return of->last;
}

/* What the core loop decodes; the compiler makes one loop of each. */
enum depth { DEPTH_SIZES, DEPTH_ADDRESSES, DEPTH_ALL };

struct old_block {
	uint64_t address, size_bytes, usable_bytes, allocated_at_ns;
	uint32_t stack_id, allocated_by;
};

static inline __attribute__((always_inline)) int get_old(struct chunk_reader *reader, unsigned bits,
							 unsigned odd, unsigned blocks,
							 enum depth depth, struct old_block *old)
{
	uint32_t class;

	if (bits & OP_FREE_REF) {
		uint64_t distance = get_varint(CURSOR(REF));

		if (distance - 1 >= blocks)
			return -EBADMSG;

		uint32_t event = reader->block_event[blocks - distance];

		old->size_bytes = reader->size_bytes[event];
		old->usable_bytes = reader->usable_bytes[event];
		old->stack_id = reader->stack_id[event];
		if (depth >= DEPTH_ADDRESSES) {
			old->address = reader->address[event];
			reader->classes[reader->block_class[blocks - distance]].freed =
				old->address;
		}
		if (depth == DEPTH_ALL) {
			old->allocated_at_ns = reader->at_ns[event];
			old->allocated_by = reader->thread[event];
		}
		return 0;
	}
	if (get_stack(reader, bits & OP_FREE_FOLLOWS, 1, &old->stack_id) ||
	    get_size(reader, bits & OP_FREE_SAME, 1, &old->size_bytes, &old->usable_bytes, &class))
		return -EBADMSG;
	if (depth >= DEPTH_ADDRESSES) {
		old->address = get_address(reader, false, class);
		reader->classes[class].freed = old->address;
	}
	if (depth == DEPTH_ALL) {
		reader->last_allocated_ns += (uint64_t)unzigzag(get_varint(CURSOR(AGE)));
		if (odd & ODD_BY)
			reader->last_by = (uint32_t)get_varint(CURSOR(BY));
		old->allocated_at_ns = reader->last_allocated_ns;
		old->allocated_by = reader->last_by;
	}
	return 0;
}

static void get_pages(struct chunk_reader *reader, unsigned i, uint64_t *last_page)
{
	struct cursor *pages = CURSOR(PAGES);

	*last_page += (uint64_t)unzigzag(get_varint(pages));
	reader->address[i] = *last_page;
	reader->size_bytes[i] = (uint64_t)unzigzag(get_varint(pages));
	reader->usable_bytes[i] = get_varint(pages);
	reader->old_address[i] = get_varint(pages);
	reader->old_size_bytes[i] = get_varint(pages);
	reader->old_usable_bytes[i] = get_varint(pages);
	reader->allocated_at_ns[i] = get_varint(pages);
	reader->allocated_by[i] = (uint32_t)get_varint(pages);
	reader->old_stack_id[i] = (uint32_t)get_varint(pages);
	reader->stack_id[i] = (uint32_t)get_varint(pages);
	reader->old_written[reader->old_written_count++] = i;
}

/* Blocks and pages: sizes and stacks always, the rest by depth. */
static inline __attribute__((always_inline)) int decode_core(struct chunk_reader *reader,
							     const uint8_t *ops, enum depth depth)
{
	uint64_t last_page = 0;
	unsigned blocks = 0;

	for (unsigned i = 0; i < reader->events; i++) {
		unsigned op = ops[i], kind = op & OP_KIND, odd = op & OP_ODD ? reader->odd[i] : 0;
		struct old_block old;
		uint32_t class;

		if (kind == EVENT_FREE) {
			if (get_old(reader, op, odd, blocks, depth, &old))
				return bad_event(reader, i, "a free");
			reader->size_bytes[i] = old.size_bytes;
			reader->usable_bytes[i] = old.usable_bytes;
			reader->stack_id[i] = old.stack_id;
			if (depth >= DEPTH_ADDRESSES)
				reader->address[i] = old.address;
			if (depth == DEPTH_ALL) {
				reader->allocated_at_ns[i] = old.allocated_at_ns;
				reader->allocated_by[i] = old.allocated_by;
			}
			continue;
		}
		if (!event_is_block((uint8_t)kind)) {
			if (op_kind(op) >= EVENT_KIND_COUNT)
				return bad_event(reader, i, "an unknown kind");
			get_pages(reader, i, &last_page);
			continue;
		}
		if (depth == DEPTH_ALL) {
			reader->allocated_at_ns[i] = 0;
			reader->allocated_by[i] = 0;
		}
		if (kind == EVENT_REALLOC || kind == EVENT_LIVE) {
			unsigned bits = *CURSOR(OLD)->at++;

			if (bits != OLD_NONE) {
				if (get_old(reader, bits, odd, blocks, depth, &old))
					return bad_event(reader, i, "an earlier block");
				reader->old_size_bytes[i] = old.size_bytes;
				reader->old_usable_bytes[i] = old.usable_bytes;
				reader->old_stack_id[i] = old.stack_id;
				if (depth >= DEPTH_ADDRESSES)
					reader->old_address[i] = old.address;
				if (depth == DEPTH_ALL) {
					reader->allocated_at_ns[i] = old.allocated_at_ns;
					reader->allocated_by[i] = old.allocated_by;
				}
				reader->old_written[reader->old_written_count++] = i;
			}
		}
		if (get_stack(reader, op & OP_STACK_FOLLOWS, 0, &reader->stack_id[i]) ||
		    get_size(reader, op & OP_SIZE_SAME, 0, &reader->size_bytes[i],
			     &reader->usable_bytes[i], &class))
			return bad_event(reader, i, "a block");
		if (depth >= DEPTH_ADDRESSES) {
			reader->address[i] = get_address(reader, op & OP_ADDRESS_FREED, class);
			reader->block_class[blocks] = (uint8_t) class;
		}
		reader->block_event[blocks++] = i;
	}
	return 0;
}

/* Kinds and, of the events that have them, the ODD bytes. */
static void decode_kinds(struct chunk_reader *reader, const uint8_t *ops)
{
	const uint8_t *odd = CURSOR(ODD)->at;

	for (unsigned i = 0; i < reader->events; i++)
		reader->kind[i] = (uint8_t)op_kind(ops[i]);
	if (CURSOR(ODD)->at == CURSOR(ODD)->end)
		return;
	for (unsigned i = 0; i < reader->events; i++) {
		if (!(ops[i] & OP_ODD))
			continue;
		reader->odd[i] = *odd++;
		if (reader->odd[i] & ODD_BY_ALLOCATOR)
			reader->kind[i] |= EVENT_BY_ALLOCATOR;
	}
	CURSOR(ODD)->at = odd;
}

static int thread_room(struct chunk_reader *reader, uint32_t thread)
{
	uint32_t capacity = reader->thread_capacity;
	uint64_t *next_seq;

	if (thread >= CHUNK_MAX_THREADS)
		return chunk_reader_bad(reader, "a thread number");
	while (capacity <= thread)
		capacity *= 2;
	next_seq = realloc(reader->next_seq, capacity * sizeof(*next_seq));
	if (!next_seq)
		return -ENOMEM;
	memset(next_seq + reader->thread_capacity, 0,
	       (capacity - reader->thread_capacity) * sizeof(*next_seq));
	reader->next_seq = next_seq;
	reader->thread_capacity = capacity;
	return 0;
}

/* Numbers may be high, so all of them would be many. */
static void threads_clear(struct chunk_reader *reader)
{
	reader->next_seq[0] = 0;
	if (reader->thread_low <= reader->thread_high)
		memset(reader->next_seq + reader->thread_low, 0,
		       (reader->thread_high - reader->thread_low + 1u) * sizeof(*reader->next_seq));
	reader->thread_low = UINT32_MAX;
	reader->thread_high = 0;
}

static int decode_threads(struct chunk_reader *reader, const uint8_t *ops)
{
	uint32_t thread = 0;
	uint64_t seq = 0;

	threads_clear(reader);
	for (unsigned i = 0; i < reader->events; i++) {
		unsigned odd = ops[i] & OP_ODD ? reader->odd[i] : 0;

		if (odd & ODD_THREAD) {
			reader->next_seq[thread] = seq;
			if (thread && thread < reader->thread_low)
				reader->thread_low = thread;
			if (thread > reader->thread_high)
				reader->thread_high = thread;
			thread = (uint32_t)get_varint(CURSOR(THREAD));
			if (thread >= reader->thread_capacity) {
				int error = thread_room(reader, thread);

				if (error)
					return error;
			}
			seq = reader->next_seq[thread];
		}
		if (odd & ODD_GAP)
			seq += (uint64_t)unzigzag(get_varint(CURSOR(GAP)));
		reader->seq[i] = seq++;
		reader->thread[i] = thread;
	}
	return 0;
}

static void decode_times(struct chunk_reader *reader, const uint8_t *ops)
{
	const uint8_t *low = CURSOR(TIME_LOW)->at, *high = CURSOR(TIME_HIGH)->at;
	uint64_t now = 0;

	for (unsigned i = 0; i < reader->events; i++) {
		uint64_t step = (uint64_t)high[i] << 8 | low[i];

		if (high[i] == TIME_ESCAPE)
			step = get_varint(CURSOR(TIME_LONG));
		if (ops[i] & OP_ODD && reader->odd[i] & ODD_BACK)
			step = -step;
		reader->at_ns[i] = now += step;
	}
	CURSOR(TIME_LOW)->at += reader->events;
	CURSOR(TIME_HIGH)->at += reader->events;
}

/* Where blocks were freed; most recordings do not know. */
static void decode_freed(struct chunk_reader *reader, const uint8_t *ops)
{
	struct freed_guesses *guesses = &reader->freed_guesses;
	bool told = false;

	if (reader->freed_written)
		memset(reader->freed_stack_id, 0,
		       CHUNK_MAX_EVENTS * sizeof(*reader->freed_stack_id));
	reader->freed_written = CURSOR(FREED)->at != CURSOR(FREED)->end;
	if (!reader->freed_written)
		return;
	memset(guesses, 0, sizeof(*guesses));
	for (unsigned i = 0; i < reader->events; i++) {
		uint64_t packed;
		uint32_t *guess;

		if ((ops[i] & OP_KIND) != EVENT_FREE)
			continue;
		told |= ops[i] & OP_ODD && reader->odd[i] & ODD_FREED;
		if (!told)
			continue;
		packed = get_varint(CURSOR(FREED));
		guess = freed_guess(guesses, reader->stack_id[i]);
		if (packed)
			*guess = guesses->last + (uint32_t)unzigzag(packed - 1);
		guesses->last = *guess;
		reader->freed_stack_id[i] = *guess;
	}
}

/* Forgets what the last chunk left in columns that are mostly 0. */
static void old_clear(struct chunk_reader *reader)
{
	for (unsigned i = 0; i < reader->old_written_count; i++) {
		unsigned event = reader->old_written[i];

		reader->old_address[event] = 0;
		reader->old_size_bytes[event] = 0;
		reader->old_usable_bytes[event] = 0;
		reader->old_stack_id[event] = 0;
	}
	reader->old_written_count = 0;
}

static int decode_blocks(struct chunk_reader *reader, const uint8_t *ops, enum depth depth)
{
	reader->class_count = 0;
	reader->site_count = 1;
	reader->last_site[0] = reader->last_site[1] = 0;
	reader->last_allocated_ns = 0;
	reader->last_by = 0;
	reader->sites[0] = (struct site){ 0 };
	memset(reader->classes, 0, sizeof(reader->classes));
	if (depth == DEPTH_SIZES)
		return decode_core(reader, ops, DEPTH_SIZES);
	if (depth == DEPTH_ADDRESSES)
		return decode_core(reader, ops, DEPTH_ADDRESSES);
	return decode_core(reader, ops, DEPTH_ALL);
}

#define STREAM(NAME) (1u << CHUNK_##NAME##_STREAM)
#define STREAMS_ALWAYS (STREAM(OP) | STREAM(ODD))
#define STREAMS_THREADS (STREAM(THREAD) | STREAM(GAP))
#define STREAMS_TIMES (STREAM(TIME_LOW) | STREAM(TIME_HIGH) | STREAM(TIME_LONG))
#define STREAMS_SIZES                                                               \
	(STREAM(REF) | STREAM(STACK_LOW) | STREAM(STACK_HIGH) | STREAM(STACK_NEW) | \
	 STREAM(CLASS) | STREAM(CLASS_NEW) | STREAM(SLACK) | STREAM(OLD) | STREAM(PAGES))
#define STREAMS_ADDRESSES STREAM(ADDRESS)
#define STREAMS_ALLOCATED (STREAM(AGE) | STREAM(BY))

int chunk_reader_decode(struct chunk_reader *reader, const void *blob, size_t bytes,
			unsigned wanted, struct chunk_columns *ret_columns)
{
	bool threads = wanted & (CHUNK_SEQ | CHUNK_THREAD | CHUNK_ALLOCATED);
	bool times = wanted & (CHUNK_AT_NS | CHUNK_ALLOCATED);
	bool blocks = wanted & (CHUNK_SIZE | CHUNK_STACK | CHUNK_ADDRESS | CHUNK_OLD |
				CHUNK_ALLOCATED | CHUNK_FREED);
	enum depth depth = wanted & CHUNK_ALLOCATED		  ? DEPTH_ALL
			   : wanted & (CHUNK_ADDRESS | CHUNK_OLD) ? DEPTH_ADDRESSES
								  : DEPTH_SIZES;
	uint32_t needed = STREAMS_ALWAYS;
	const uint8_t *ops;
	int error;

	needed |= threads ? STREAMS_THREADS : 0;
	needed |= times ? STREAMS_TIMES : 0;
	needed |= blocks ? STREAMS_SIZES : 0;
	needed |= blocks && depth >= DEPTH_ADDRESSES ? STREAMS_ADDRESSES : 0;
	needed |= blocks && depth == DEPTH_ALL ? STREAMS_ALLOCATED : 0;
	needed |= wanted & CHUNK_FREED ? STREAM(FREED) : 0;
	error = chunk_reader_streams(reader, blob, bytes, needed);
	if (error)
		return error;
	ops = CURSOR(OP)->at;
	if (CURSOR(OP)->end - ops != (ptrdiff_t)reader->events)
		return chunk_reader_bad(reader, "its number of events");
	CURSOR(OP)->at = CURSOR(OP)->end;
	old_clear(reader);
	decode_kinds(reader, ops);
	if (threads)
		error = decode_threads(reader, ops);
	if (!error && times)
		decode_times(reader, ops);
	if (!error && blocks)
		error = decode_blocks(reader, ops, depth);
	if (!error && wanted & CHUNK_FREED)
		decode_freed(reader, ops);
	if (error)
		return error;
	for (unsigned i = 0; i < CHUNK_STREAM_COUNT; i++)
		if (reader->cursor[i].at != reader->cursor[i].end)
			return chunk_reader_bad(reader,
						"a stream does not end with the last event");
	chunk_reader_columns(reader, !(((const uint8_t *)blob)[6] & CHUNK_FLAG_UNSORTED), wanted,
			     ret_columns);
	return 0;
}
