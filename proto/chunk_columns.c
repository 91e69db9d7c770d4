/* What a reader gives of a decoded chunk. */
#include "proto/chunk.h"

#include "proto/chunk_reader.h"

void chunk_reader_columns(const struct chunk_reader *reader, bool sorted, unsigned wanted,
			  struct chunk_columns *ret_columns)
{
	*ret_columns = (struct chunk_columns){
		.events = reader->events,
		.sorted = sorted,
		.kind = reader->kind,
	};
	if (wanted & CHUNK_AT_NS)
		ret_columns->at_ns = reader->at_ns;
	if (wanted & CHUNK_SEQ)
		ret_columns->seq = reader->seq;
	if (wanted & CHUNK_THREAD)
		ret_columns->thread = reader->thread;
	if (wanted & CHUNK_ADDRESS)
		ret_columns->address = reader->address;
	if (wanted & CHUNK_SIZE) {
		ret_columns->size_bytes = reader->size_bytes;
		ret_columns->usable_bytes = reader->usable_bytes;
	}
	if (wanted & CHUNK_STACK)
		ret_columns->stack_id = reader->stack_id;
	if (wanted & CHUNK_ALLOCATED) {
		ret_columns->allocated_at_ns = reader->allocated_at_ns;
		ret_columns->allocated_by = reader->allocated_by;
	}
	if (wanted & CHUNK_OLD) {
		ret_columns->old_address = reader->old_address;
		ret_columns->old_size_bytes = reader->old_size_bytes;
		ret_columns->old_usable_bytes = reader->old_usable_bytes;
		ret_columns->old_stack_id = reader->old_stack_id;
	}
	if (wanted & CHUNK_FREED)
		ret_columns->freed_stack_id = reader->freed_stack_id;
}

void chunk_row(const struct chunk_columns *columns, unsigned i, struct event_row *ret_row)
{
	*ret_row = (struct event_row){
		.at_ns = columns->at_ns[i],
		.seq = columns->seq[i],
		.address = columns->address[i],
		.size_bytes = columns->size_bytes[i],
		.usable_bytes = columns->usable_bytes[i],
		.old_address = columns->old_address[i],
		.old_size_bytes = columns->old_size_bytes[i],
		.old_usable_bytes = columns->old_usable_bytes[i],
		.allocated_at_ns = columns->allocated_at_ns[i],
		.thread = columns->thread[i],
		.stack_id = columns->stack_id[i],
		.allocated_by = columns->allocated_by[i],
		.old_stack_id = columns->old_stack_id[i],
		.freed_stack_id = columns->freed_stack_id[i],
		.kind = columns->kind[i],
	};
}
