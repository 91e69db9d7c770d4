/* Where names end up: the rows of table frames. */
#include "daemon/symbols/symbols.h"

#include <string.h>

int symbols_store_init(struct symbols_store *store, sqlite3 *db)
{
	static const char update[] =
		"UPDATE frames SET function = ?1, file = ?2, line = ?3, inlined = ?4,"
		" outer_frame_id = ?5, symbol_state = ?6, symbol = ?9, full_name = ?10, name_key = "
		"?11"
		" WHERE frame_id = ?7";
	static const char insert[] =
		"INSERT INTO frames(function, file, line, inlined, outer_frame_id, symbol_state,"
		"  symbol, full_name, name_key, module_id, offset, inline_depth)"
		" SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?9, ?10, ?11, module_id, offset, ?8 FROM frames"
		" WHERE frame_id = ?7"
		" ON CONFLICT(module_id, offset, inline_depth) DO UPDATE SET function = ?1,"
		"  file = ?2, line = ?3, inlined = ?4, outer_frame_id = ?5, symbol_state = ?6,"
		"  symbol = ?9, full_name = ?10, name_key = ?11"
		" RETURNING frame_id";
	static const char note[] = "INSERT INTO notes(run_id, text) VALUES(?1, ?2)";

	*store = (struct symbols_store){ 0 };
	if (sqlite3_prepare_v3(db, update, -1, SQLITE_PREPARE_PERSISTENT, &store->update, NULL) ||
	    sqlite3_prepare_v3(db, insert, -1, SQLITE_PREPARE_PERSISTENT, &store->insert, NULL) ||
	    sqlite3_prepare_v3(db, note, -1, SQLITE_PREPARE_PERSISTENT, &store->note, NULL)) {
		symbols_store_release(store);
		return -1;
	}
	return 0;
}

void symbols_store_release(struct symbols_store *store)
{
	sqlite3_finalize(store->update);
	sqlite3_finalize(store->insert);
	sqlite3_finalize(store->note);
	*store = (struct symbols_store){ 0 };
}

/* Binds text from a file of unknown origin: control characters and what is not UTF-8 become '?'. */
static void bind_name(sqlite3_stmt *statement, int column, const char *text)
{
	static char clean[SYMBOL_NAME_MAX + 1];
	size_t used = 0;

	if (!text) {
		sqlite3_bind_null(statement, column);
		return;
	}
	for (const unsigned char *at = (const unsigned char *)text;
	     *at && used < SYMBOL_NAME_MAX;) {
		size_t bytes = *at < 0x80	      ? 1
			       : (*at & 0xe0) == 0xc0 ? 2
			       : (*at & 0xf0) == 0xe0 ? 3
			       : (*at & 0xf8) == 0xf0 ? 4
						      : 0;
		bool good = bytes > 0 && *at >= 0x20 && *at != 0x7f;

		for (size_t i = 1; good && i < bytes; i++)
			good = (at[i] & 0xc0) == 0x80;
		if (good && used + bytes <= SYMBOL_NAME_MAX) {
			memcpy(clean + used, at, bytes);
			used += bytes;
			at += bytes;
		} else {
			clean[used++] = '?';
			at++;
		}
	}
	sqlite3_bind_text(statement, column, clean, (int)used, SQLITE_TRANSIENT);
}

static void bind_level(sqlite3_stmt *statement, const struct symbol_level *level, bool inlined,
		       int64_t outer, const char *state, int64_t frame_id)
{
	bind_name(statement, 1, level->function);
	bind_name(statement, 2, level->file);
	if (level->line)
		sqlite3_bind_int64(statement, 3, level->line);
	else
		sqlite3_bind_null(statement, 3);
	sqlite3_bind_int(statement, 4, inlined);
	if (outer)
		sqlite3_bind_int64(statement, 5, outer);
	else
		sqlite3_bind_null(statement, 5);
	sqlite3_bind_text(statement, 6, state, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 7, frame_id);
	bind_name(statement, 9, level->symbol);
	bind_name(statement, 10, level->full_name);
	bind_name(statement, 11, level->name_key);
}

/* The outermost level first, so that each can name the one around it. */
int symbols_store_frame(struct symbols_store *store, int64_t frame_id, enum symbol_state state,
			const struct symbol_level *levels, unsigned count)
{
	static const char *const names[] = { "unknown", "symbol", "resolved" };
	static const struct symbol_level nothing;
	int64_t outer = 0;

	for (unsigned depth = count; depth-- > 1;) {
		bind_level(store->insert, &levels[depth], depth < count - 1, outer, names[state],
			   frame_id);
		sqlite3_bind_int(store->insert, 8, (int)depth);
		if (sqlite3_step(store->insert) == SQLITE_ROW)
			outer = sqlite3_column_int64(store->insert, 0);
		if (sqlite3_reset(store->insert) != SQLITE_OK)
			return -1;
	}
	bind_level(store->update, count ? &levels[0] : &nothing, count > 1, outer, names[state],
		   frame_id);
	sqlite3_step(store->update);
	return sqlite3_reset(store->update) == SQLITE_OK ? 0 : -1;
}

int symbols_store_note(struct symbols_store *store, int64_t run_id, const char *text)
{
	sqlite3_bind_int64(store->note, 1, run_id);
	bind_name(store->note, 2, text);
	sqlite3_step(store->note);
	return sqlite3_reset(store->note) == SQLITE_OK ? 0 : -1;
}
