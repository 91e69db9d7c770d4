#include "viewer/model/misuses.h"

#define MISUSE(member, type)                                          \
	{                                                             \
#member, type, offsetof(struct misuse_row, member), 0 \
	}

const struct row_field misuse_fields[] = { MISUSE(pid, ROW_COUNT),
					   MISUSE(at_ns, ROW_COUNT),
					   MISUSE(thread, ROW_NUMBER),
					   MISUSE(kind, ROW_TEXT),
					   MISUSE(address, ROW_NUMBER),
					   MISUSE(block_address, ROW_NUMBER),
					   MISUSE(size_bytes, ROW_NUMBER),
					   MISUSE(allocated_stack_id, ROW_COUNT),
					   MISUSE(freed_stack_id, ROW_COUNT),
					   MISUSE(stack_id, ROW_COUNT),
					   MISUSE(text, ROW_TEXT),
					   ROW_END };

int misuses_open(struct rows *ret_rows, struct db *db, const struct run *run, int64_t most,
		 struct error *error)
{
	return rows_open(ret_rows, db, misuse_fields, 0, error,
			 "SELECT pid, at_ns, thread, kind, address, block_address, size_bytes, "
			 "allocated_stack_id, freed_stack_id, stack_id, text "
			 "FROM misuses JOIN processes USING (process_id) WHERE run_id = ?1 "
			 "ORDER BY at_ns, misuses.rowid LIMIT ?2",
			 "ii", run->run_id, most);
}

/* A database of before there was the table has none. */
int misuses_count(struct db *db, const struct run *run, int64_t *ret_count, struct error *error)
{
	int64_t tables = 0;
	int result = rows_number(&tables, db, error,
				 "SELECT count(*) AS number FROM sqlite_schema "
				 "WHERE name = 'misuses'",
				 "");

	if (result)
		return result;
	if (!tables) {
		*ret_count = 0;
		return 0;
	}
	return rows_number(ret_count, db, error,
			   "SELECT count(*) AS number FROM misuses WHERE process_id IN "
			   "(SELECT process_id FROM processes WHERE run_id = ?)",
			   "i", run->run_id);
}
