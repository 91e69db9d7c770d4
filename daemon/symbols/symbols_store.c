/* Where names end up: the rows of table frames. */
#include "daemon/symbols/symbols.h"

#include <string.h>

#define NAMES(N)                                                                           \
	N(frame_id)                                                                        \
	N(function) N(file) N(line) N(inlined) N(outer_frame_id) N(symbol_state) N(symbol) \
		N(full_name) N(name_key) N(inline_depth) N(run_id) N(text)
enum name_place {
#define N(name) P_##name,
	NAMES(N)
#undef N
		P_COUNT
};

int symbols_store_init(struct symbols_store *store, sqlite3 *db)
{
	static const char *const names[P_COUNT] = {
#define N(name) #name,
		NAMES(N)
#undef N
	};
	static const char update[] =
		"UPDATE frames SET function = :function, file = :file, line = :line,"
		" inlined = :inlined, outer_frame_id = :outer_frame_id,"
		" symbol_state = :symbol_state, symbol = :symbol, full_name = :full_name,"
		" name_key = :name_key WHERE frame_id = :frame_id";
	static const char insert[] =
		"INSERT INTO frames(function, file, line, inlined, outer_frame_id, symbol_state,"
		"  symbol, full_name, name_key, module_id, offset, inline_depth)"
		" SELECT :function, :file, :line, :inlined, :outer_frame_id, :symbol_state, "
		":symbol,"
		"  :full_name, :name_key, module_id, offset, :inline_depth FROM frames"
		" WHERE frame_id = :frame_id"
		" ON CONFLICT(module_id, offset, inline_depth) DO UPDATE SET function = :function,"
		"  file = :file, line = :line, inlined = :inlined, outer_frame_id = "
		":outer_frame_id,"
		"  symbol_state = :symbol_state, symbol = :symbol, full_name = :full_name,"
		"  name_key = :name_key"
		" RETURNING frame_id AS frame_id";
	static const char note[] = "INSERT INTO notes(run_id, text) VALUES(:run_id, :text)";

	*store = (struct symbols_store){ 0 };
	if (statement_prepare(&store->update, db, update, names, P_COUNT) == 0 &&
	    statement_prepare(&store->insert, db, insert, names, P_COUNT) == 0 &&
	    statement_prepare(&store->note, db, note, names, P_COUNT) == 0)
		return 0;
	symbols_store_release(store);
	return -1;
}

void symbols_store_release(struct symbols_store *store)
{
	statement_release(&store->update);
	statement_release(&store->insert);
	statement_release(&store->note);
}

/* Binds text from a file of unknown origin: control characters and what is not UTF-8 become '?'. */
static void bind_name(struct statement *statement, enum name_place name, const char *text)
{
	static char clean[SYMBOL_NAME_MAX + 1];
	size_t used = 0;

	if (!text) {
		statement_bind_text(statement, name, NULL);
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
	statement_bind_copy(statement, name, clean, used);
}

static void bind_level(struct statement *statement, const struct symbol_level *level, bool inlined,
		       int64_t outer, const char *state, int64_t frame_id)
{
	statement_bind(statement, { P_frame_id, (uint64_t)frame_id }, { P_inlined, inlined });
	statement_bind_text(statement, P_symbol_state, state);
	statement_bind_known(statement, P_line, level->line, level->line);
	statement_bind_known(statement, P_outer_frame_id, outer, (uint64_t)outer);
	bind_name(statement, P_function, level->function);
	bind_name(statement, P_file, level->file);
	bind_name(statement, P_symbol, level->symbol);
	bind_name(statement, P_full_name, level->full_name);
	bind_name(statement, P_name_key, level->name_key);
}

/* The outermost level first, so that each can name the one around it. */
int symbols_store_frame(struct symbols_store *store, int64_t frame_id, enum symbol_state state,
			const struct symbol_level *levels, unsigned count)
{
	static const char *const names[] = { "unknown", "symbol", "resolved" };
	static const struct symbol_level nothing;
	int64_t outer = 0;

	for (unsigned depth = count; depth-- > 1;) {
		bind_level(&store->insert, &levels[depth], depth < count - 1, outer, names[state],
			   frame_id);
		statement_bind(&store->insert, { P_inline_depth, depth });
		if (statement_step(&store->insert) == SQLITE_ROW)
			outer = statement_number(&store->insert, P_frame_id);
		if (statement_reset(&store->insert) != SQLITE_OK)
			return -1;
	}
	bind_level(&store->update, count ? &levels[0] : &nothing, count > 1, outer, names[state],
		   frame_id);
	statement_step(&store->update);
	return statement_reset(&store->update) == SQLITE_OK ? 0 : -1;
}

int symbols_store_note(struct symbols_store *store, int64_t run_id, const char *text)
{
	statement_bind(&store->note, { P_run_id, (uint64_t)run_id });
	bind_name(&store->note, P_text, text);
	statement_step(&store->note);
	return statement_reset(&store->note) == SQLITE_OK ? 0 : -1;
}
