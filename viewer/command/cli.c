#include "viewer/command/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/print/output.h"

struct shared_options shared;
int cli_failure_status = STATUS_FAILED;

__attribute__((format(printf, 1, 0))) static void complain_list(const char *format, va_list list)
{
	fputs("heaptape: ", stderr);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
}

void complain(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	complain_list(format, list);
	va_end(list);
}

int cli_failed(const struct error *error)
{
	fflush(stdout);
	if (*error->text)
		complain("%s", error->text);
	return cli_failure_status;
}

enum table_form cli_form(void)
{
	return shared.json ? TABLE_JSON : shared.csv ? TABLE_CSV : TABLE_SCREEN;
}

int usage_error(const char *command, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	complain_list(format, list);
	va_end(list);
	if (command)
		fprintf(stderr, "Try 'heaptape %s --help'.\n", command);
	else
		fputs("Try 'heaptape help'.\n", stderr);
	return STATUS_USAGE;
}

const char *cli_database(void)
{
	const char *environment = getenv("HEAPTAPE_DB");

	if (shared.db)
		return shared.db;
	return environment && *environment ? environment : "heaptape.db";
}

static size_t option_count(const struct command *command)
{
	size_t count = 0;

	while (command->options[count].name)
		count++;
	return count;
}

void cli_help(const struct command *command)
{
	size_t width = 4;

	printf("heaptape %s: %s\n\nUsage: heaptape %s [OPTIONS]%s%s\n", command->name,
	       command->summary, command->name, *command->arguments ? " " : "", command->arguments);
	if (command->details)
		printf("\n%s\n", command->details);
	for (const struct option_row *row = command->options; row->name; row++) {
		size_t length = strlen(row->name) + (row->argument ? strlen(row->argument) + 1 : 0);

		width = length > width ? length : width;
	}
	printf("\nOptions:\n");
	for (const struct option_row *row = command->options; row->name; row++) {
		char *left = memory_print("%s%s%s", row->name, row->argument ? " " : "",
					  row->argument ? row->argument : "");

		if (row->letter)
			printf("  -%c, ", row->letter);
		else
			printf("      ");
		printf("--%-*s  %s\n", (int)width, left, row->help);
		free(left);
	}
	printf("  -h, --%-*s  this page\n", (int)width, "help");
}

/* Store one option's argument; false when it is not what the row wants. */
static bool option_store(const struct option_row *row, const char *argument)
{
	char *end;

	switch (row->kind) {
	case OPTION_FLAG:
		*(bool *)row->target = true;
		return true;
	case OPTION_TEXT:
		*(const char **)row->target = argument;
		return true;
	case OPTION_NUMBER:
		errno = 0;
		*(int64_t *)row->target = strtoll(argument, &end, 10);
		return !errno && end != argument && !*end;
	}
	return false;
}

int cli_run(const struct command *command, int argc, char **argv)
{
	size_t count = option_count(command);
	struct option *longs = memory_alloc((count + 2) * sizeof(*longs));
	char *shorts = memory_alloc(2 * count + 8);
	size_t at = 0;
	int found, which = 0, status = -1;

	/* "+": options end at the first argument; ":" comes next, so that errors are ours to word. */
	if (command->program_follows)
		shorts[at++] = '+';
	shorts[at++] = ':';
	shorts[at++] = 'h';
	for (size_t i = 0; i < count; i++) {
		const struct option_row *row = &command->options[i];

		longs[i] = (struct option){ row->name, row->kind == OPTION_FLAG ? 0 : 1, NULL,
					    (int)(1000 + i) };
		if (row->letter) {
			shorts[at++] = row->letter;
			if (row->kind != OPTION_FLAG)
				shorts[at++] = ':';
		}
	}
	longs[count] = (struct option){ "help", 0, NULL, 'h' };
	opterr = 0;
	optind = 1;
	while (status < 0 && (found = getopt_long(argc, argv, shorts, longs, &which)) != -1) {
		const struct option_row *row = NULL;

		if (found == 'h') {
			cli_help(command);
			status = STATUS_DONE;
		} else if (found == ':') {
			status = usage_error(command->name, "%s needs a value", argv[optind - 1]);
		} else if (found == '?') {
			status = optopt == 'o'
					 ? usage_error(
						   command->name,
						   "unknown option -o; --db FILE or -d FILE names "
						   "the database to read")
				 : optopt && optopt < 1000
					 ? usage_error(command->name, "unknown option -%c", optopt)
				 : optopt ? usage_error(command->name, "%s takes no value",
							argv[optind - 1])
					  : usage_error(command->name, "unknown option %s",
							argv[optind - 1]);
		} else {
			for (size_t i = 0; i < count; i++)
				if (found == (int)(1000 + i) ||
				    (command->options[i].letter &&
				     found == command->options[i].letter))
					row = &command->options[i];
			if (row && !option_store(row, optarg))
				status = usage_error(command->name, "--%s: '%s' is not a number",
						     row->name, optarg);
		}
	}
	free(longs);
	free(shorts);
	if (status >= 0)
		return status;
	if (shared.json && shared.csv)
		return usage_error(command->name, "--json and --csv cannot be used together");
	status = command->main(argc - optind, argv + optind);
	if (fflush(stdout) || ferror(stdout)) {
		if (errno != EPIPE)
			complain("cannot write to %s: %s", output_name(), strerror(errno));
		return STATUS_FAILED;
	}
	return status;
}
