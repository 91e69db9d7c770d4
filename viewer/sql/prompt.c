/* The prompt of `heaptape sql`: statements over several lines, history, completion, Ctrl-C. */
#include <editline/readline.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/model/rows.h"
#include "viewer/sql/sql.h"

#define HISTORY_LINES 2000

/* The library that reads lines, and signals, know no arguments. */
static struct {
	struct db *db;
	struct rows names; /* what may complete a word, while the words are asked for */
	size_t dot;
	sigjmp_buf again;
	volatile sig_atomic_t reading;
} prompt;

static void interrupt_cb(int number)
{
	(void)number;
	if (prompt.reading)
		siglongjmp(prompt.again, 1);
	sqlite3_interrupt(prompt.db->connection);
}

static const char names_sql[] =
	"WITH tables(name) AS (SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') "
	"AND name NOT LIKE 'sqlite%' UNION SELECT name FROM pragma_module_list WHERE name IN "
	"('events', 'allocations', 'pages')), "
	"names(name) AS (SELECT name FROM tables UNION SELECT column.name FROM tables, "
	"pragma_table_xinfo(tables.name) AS column UNION VALUES ('SELECT'), ('FROM'), ('WHERE'), "
	"('GROUP BY'), ('ORDER BY'), ('LIMIT'), ('JOIN'), ('USING'), ('DISTINCT'), ('BETWEEN'), "
	"('stack_text('), ('count('), ('sum('), ('printf(')) "
	"SELECT name FROM names WHERE lower(substr(name, 1, length(?1))) = lower(?1) ORDER BY 1";

/* The next name that begins with the word; state 0: the first. */
static char *name_next(const char *word, int state)
{
	static const struct row_field fields[] = { { "name", ROW_TEXT, 0, 0 }, ROW_END };
	struct error ignored;
	const char *name;

	if (!state) {
		rows_close(&prompt.names);
		if (rows_open(&prompt.names, prompt.db, fields, 0, &ignored, names_sql, "s", word))
			return NULL;
	}
	return rows_next(&prompt.names, &name, &ignored) > 0 ? memory_copy(name) : NULL;
}

/* The same for lines that begin with a dot, which is not part of the word. */
static char *dot_next(const char *word, int state)
{
	const char *name;

	if (!state)
		prompt.dot = 0;
	while ((name = sql_dot_name(prompt.dot++)))
		if (!strncmp(name + 1, word, strlen(word)))
			return memory_copy(name + 1);
	return NULL;
}

static char **complete_cb(const char *word, int start, int end)
{
	(void)end;
	rl_attempted_completion_over = 1; /* never names of files */
	rl_completion_append_character = '\0';
	return rl_completion_matches(word,
				     start == 1 && *rl_line_buffer == '.' ? dot_next : name_next);
}

static char *history_path(void)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (state && *state == '/')
		return memory_print("%s/heaptape_history", state);
	return home && *home == '/' ? memory_print("%s/.heaptape_history", home) : NULL;
}

/* A statement is one entry, however many lines it had. */
static void remember(const char *path, const char *statement)
{
	char *line = memory_copy(statement);
	size_t length = strlen(line);

	while (length && strchr(" \t\n", line[length - 1]))
		line[--length] = 0;
	for (char *at = line; (at = strchr(at, '\n'));)
		*at = ' ';
	if (*line) {
		add_history(line);
		if (path)
			write_history(path);
	}
	free(line);
}

/* The next line; NULL: there are no more, or *ret_dropped, Ctrl-C dropped what was typed. */
static char *line_read(const char *text, bool *ret_dropped)
{
	char *line = NULL;

	*ret_dropped = sigsetjmp(prompt.again, 1) != 0;
	if (!*ret_dropped) {
		prompt.reading = 1;
		line = readline(text);
	}
	prompt.reading = 0;
	return line;
}

/* Does the line, as a dot command or as one more of a statement; returns what is still open. */
static char *line_run(struct sql_session *session, const char *history, char *statement,
		      const char *line, void (*report)(const struct error *error))
{
	struct error error;
	char *longer;

	if (!*statement && *line == '.') {
		remember(history, line);
		if (sql_dot(session, line, &error))
			report(&error);
		return statement;
	}
	if (!*line && !*statement)
		return statement;
	longer = memory_print("%s%s\n", statement, line);
	free(statement);
	if (sqlite3_complete(longer)) {
		remember(history, longer);
		if (sql_run(session, longer, &error))
			report(&error);
		*longer = 0;
	}
	return longer;
}

void sql_prompt(struct sql_session *session, void (*report)(const struct error *error))
{
	char *history = history_path(), *statement = memory_copy(""), *line = NULL;
	struct sigaction interrupt = { .sa_handler = interrupt_cb, .sa_flags = SA_RESTART };
	struct sigaction before;
	bool dropped = false;

	printf("heaptape %s. SQL ends with a semicolon; .help, .tables, .schema, .quit\n",
	       HEAPTAPE_VERSION);
	prompt.db = session->db;
	rl_readline_name = (char *)"heaptape";
	rl_attempted_completion_function = complete_cb;
	rl_basic_word_break_characters = " \t\n\"'(),;=<>+-*/|.";
	using_history();
	if (history)
		read_history(history);
	stifle_history(HISTORY_LINES);
	sigaction(SIGINT, &interrupt, &before);
	while (!session->quit &&
	       ((line = line_read(*statement ? "     ...> " : "heaptape> ", &dropped)) ||
		dropped)) {
		if (dropped) {
			puts("^C");
			*statement = 0;
		} else {
			statement = line_run(session, history, statement, line, report);
		}
		fflush(stdout);
		free(line);
	}
	sigaction(SIGINT, &before, NULL);
	if (!session->quit)
		putchar('\n');
	free(history);
	free(statement);
}
