/* heaptape: the command. One table of commands; each describes itself (viewer/command/cli.h). */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "viewer/command/commands.h"

static const struct command *const commands[] = {
#define ROW(name) &command_##name,
	COMMANDS(ROW)
#undef ROW
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(*commands))

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

/* Letters to add, drop or change to make one word of the other; both are short. */
static size_t difference(const char *one, const char *other)
{
	size_t rest, least;

	if (!*one || !*other)
		return strlen(one) + strlen(other);
	if (*one == *other)
		return difference(one + 1, other + 1);
	least = difference(one + 1, other);
	rest = difference(one, other + 1);
	least = rest < least ? rest : least;
	rest = difference(one + 1, other + 1);
	return 1 + (rest < least ? rest : least);
}

static int unknown_command(const char *name)
{
	const struct command *meant = NULL;
	size_t least = 3;

	for (size_t i = 0; i < COMMAND_COUNT && strlen(name) < 12; i++) {
		size_t letters = difference(name, commands[i]->name);

		if (letters < least) {
			least = letters;
			meant = commands[i];
		}
	}
	if (meant)
		return usage_error(NULL, "no command '%s'; did you mean '%s'?", name, meant->name);
	return usage_error(NULL, "no command '%s'", name);
}

static int help(void)
{
	puts("heaptape records what a program's heap really does, and answers questions about it.\n"
	     "\n"
	     "  heaptape run PROGRAM [ARGUMENTS...]   record\n"
	     "  heaptape report                       what happened\n"
	     "\n"
	     "Commands:");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		printf("  %-9s %s\n", commands[i]->name, commands[i]->summary);
	puts("  help      this page, or 'heaptape help COMMAND'\n"
	     "\n"
	     "RUN, where a command takes one, is a number, a label, 'last' or 'last~1'; without\n"
	     "it the last run is meant. The database is heaptape.db in the current folder;\n"
	     "--db FILE or HEAPTAPE_DB name another. Exit status: 0 done, 2 wrong use, 3 could\n"
	     "not do it; 'run' passes the program's own through.");
	return STATUS_DONE;
}

static bool is_help(const char *word)
{
	return !strcmp(word, "help") || !strcmp(word, "--help") || !strcmp(word, "-h");
}

int main(int argc, char **argv)
{
	const struct command *command;
	const char *name;

	setlocale(LC_CTYPE, "");
	if (argc < 2) {
		help();
		return STATUS_USAGE;
	}
	name = argv[1];
	if (!strcmp(name, "--version") || !strcmp(name, "version")) {
		puts("heaptape " HEAPTAPE_VERSION);
		return STATUS_DONE;
	}
	if (is_help(name)) {
		if (argc < 3 || is_help(argv[2]))
			return help();
		command = find_command(argv[2]);
		if (!command)
			return unknown_command(argv[2]);
		cli_help(command);
		return STATUS_DONE;
	}
	command = find_command(name);
	if (!command)
		return unknown_command(name);
	return cli_run(command, argc - 1, argv + 1);
}
