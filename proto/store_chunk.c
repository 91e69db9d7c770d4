/* A chunk's row. */
#include "proto/store.h"

#define CHUNK_NAMES(N)                                                                          \
	N(process_id)                                                                           \
	N(events)                                                                               \
	N(first_ns) N(last_ns) N(kinds) N(thread_low) N(thread_high) N(stack_low) N(stack_high) \
		N(address_low) N(address_high) N(oldest_ns) N(raw_bytes) N(blob)
enum chunk_name {
#define N(name) P_##name,
	CHUNK_NAMES(N)
#undef N
		P_COUNT
};

static int prepare_put(struct statement *insert, sqlite3 *db)
{
	static const char *const names[P_COUNT] = {
#define N(name) #name,
		CHUNK_NAMES(N)
#undef N
	};

	if (insert->sql)
		return 0;
	return statement_prepare(insert, db,
				 "INSERT INTO chunks(process_id, events, first_ns, last_ns, kinds, "
				 "thread_low, thread_high, stack_low, stack_high, address_low, "
				 "address_high, oldest_ns, raw_bytes, blob) VALUES(:process_id, "
				 ":events, :first_ns, :last_ns, :kinds, :thread_low, :thread_high, "
				 ":stack_low, :stack_high, :address_low, :address_high, "
				 ":oldest_ns, :raw_bytes, :blob)",
				 names, P_COUNT);
}

int store_put_chunk(sqlite3 *db, struct statement *insert, int64_t process_id, const void *blob,
		    size_t bytes, const struct chunk_bounds *bounds, int64_t *ret_chunk_id)
{
	/* the columns are signed: an address in the upper half leaves no bounds */
	bool bounded = bounds->address_high <= INT64_MAX;
	int rc;

	if (prepare_put(insert, db) != 0)
		return store_error_set(NULL, db, "write");
	statement_bind(insert, { P_process_id, (uint64_t)process_id }, { P_events, bounds->events },
		       { P_first_ns, bounds->first_ns }, { P_last_ns, bounds->last_ns },
		       { P_kinds, bounds->kinds }, { P_thread_low, bounds->thread_low },
		       { P_thread_high, bounds->thread_high }, { P_stack_low, bounds->stack_low },
		       { P_stack_high, bounds->stack_high },
		       { P_address_low, bounded ? bounds->address_low : (uint64_t)INT64_MIN },
		       { P_address_high, bounded ? bounds->address_high : INT64_MAX },
		       { P_oldest_ns, bounds->oldest_ns }, { P_raw_bytes, bounds->raw_bytes });
	statement_bind_blob(insert, P_blob, blob, bytes);
	rc = statement_step(insert);
	statement_reset(insert);
	if (rc != SQLITE_DONE)
		return store_error_set(NULL, db, "write");
	if (ret_chunk_id)
		*ret_chunk_id = sqlite3_last_insert_rowid(db);
	return 0;
}
