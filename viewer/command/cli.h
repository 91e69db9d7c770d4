/*
 * The command line: every command is one `struct command`, every option one row of its table.
 * Parsing, `heaptape help` and `heaptape CMD --help` all read these rows.
 */
#ifndef HEAPTAPE_VIEWER_COMMAND_CLI_H
#define HEAPTAPE_VIEWER_COMMAND_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "viewer/error.h"
#include "viewer/print/table.h"

/* Exit statuses. `run` passes the program's own status through instead. */
enum exit_status {
	STATUS_DONE = 0,
	STATUS_LIMIT = 1,  /* a check's limit was exceeded */
	STATUS_USAGE = 2,  /* wrong use of the command */
	STATUS_FAILED = 3, /* could not do it */
};

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_NUMBER };

struct option_row {
	const char *name;     /* without the dashes; NULL ends the table */
	char letter;	      /* 0: none */
	const char *argument; /* what the help calls it; NULL for a flag */
	const char *help;
	enum option_kind kind;
	void *target; /* bool *, const char **, int64_t * */
};

struct command {
	const char *name;
	const char *arguments; /* as the usage line shows them */
	const char *summary;   /* one line */
	const char *details; /* paragraphs for --help, wrapped by hand to 78 columns; may be NULL */
	const struct option_row *options;
	int (*main)(int argc, char **argv); /* argv[0] is the first argument after the options */
	bool program_follows; /* options end at the first argument: the rest belongs to a program */
};

/* Options that many commands share. */
struct shared_options {
	const char *db;
	const char *wrappers;	    /* viewer/model/wrappers.h */
	const char *match, *module; /* viewer/model/filter.h */
	bool all_frames;	    /* nothing of a stack is folded */
	bool json;
	bool csv;
};
extern struct shared_options shared;

#define OPTION_DB                                                                                  \
	{                                                                                          \
		"db", 'd', "FILE", "database (default: $HEAPTAPE_DB or heaptape.db)", OPTION_TEXT, \
			&shared.db                                                                 \
	}
#define OPTION_WRAPPERS                                                                       \
	{                                                                                     \
		"wrappers", 0, "FILE", "functions whose callers are the call sites, by name", \
			OPTION_TEXT, &shared.wrappers                                         \
	}
#define OPTION_MATCH                                                                            \
	{                                                                                       \
		"match", 0, "TEXT", "only stacks through a function, file or module like this", \
			OPTION_TEXT, &shared.match                                              \
	}
#define OPTION_MODULE                                                                  \
	{                                                                              \
		"module", 0, "TEXT",                                                   \
			"only stacks through a module (program or library) like this", \
			OPTION_TEXT, &shared.module                                    \
	}
#define OPTION_ALL_FRAMES                                                                  \
	{                                                                                  \
		"all-frames", 0, NULL,                                                     \
			"call stacks with what only passes calls on (std::function, ...)", \
			OPTION_FLAG, &shared.all_frames                                    \
	}
#define OPTION_THREAD(target)                                                                      \
	{                                                                                          \
		"thread", 0, "TEXT|TID",                                                           \
			"only blocks that a thread allocated (by name or thread id)", OPTION_TEXT, \
			&(target)                                                                  \
	}
#define OPTION_JSON                                                      \
	{                                                                \
		"json", 0, NULL, "print JSON", OPTION_FLAG, &shared.json \
	}
#define OPTION_CSV                                                    \
	{                                                             \
		"csv", 0, NULL, "print CSV", OPTION_FLAG, &shared.csv \
	}
#define OPTIONS_END                                    \
	{                                              \
		NULL, 0, NULL, NULL, OPTION_FLAG, NULL \
	}

/*
 * Parse the command's options and run it. Returns the exit status.
 * argv[0] is the command's name.
 */
int cli_run(const struct command *command, int argc, char **argv);
void cli_help(const struct command *command);

/* The name of the database that was asked for. */
const char *cli_database(void);

/* "heaptape: message" on stderr. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * What a command returns when it could not do it: the one place where an error's text is printed (an
 * empty one says that somebody has) and the exit status chosen. STATUS_FAILED, unless `run` has set
 * the status of the program that it ran.
 */
int cli_failed(const struct error *error);
extern int cli_failure_status;

/* What --json and --csv ask for. */
enum table_form cli_form(void);

/* complain() and point to the command's --help; returns STATUS_USAGE. */
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
