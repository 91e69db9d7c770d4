#include <string.h>
#include <sys/random.h>

#include "shim/clock.h"
#include "shim/settings.h"
#include "shim/sys.h"

struct settings ht_settings = { .stacks = true };

static uint64_t number(const char *text)
{
	uint64_t value = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	return value;
}

/* The value when `line` is NAME=value with this name, else NULL. */
static const char *value_of(const char *line, const char *name)
{
	size_t length = strlen(name);

	return strncmp(line, name, length) == 0 && line[length] == '=' ? line + length + 1 : NULL;
}

static enum follow follow_of(const char *value)
{
	return strcmp(value, "all") == 0    ? FOLLOW_ALL
	       : strcmp(value, "none") == 0 ? FOLLOW_NONE
					    : FOLLOW_EXEC;
}

static void take(const char *line)
{
	const char *value;

	if ((value = value_of(line, "HEAPTAPE_SOCKET"))) {
		if (strlen(value) < sizeof(ht_settings.socket))
			strcpy(ht_settings.socket, value);
	} else if ((value = value_of(line, "HEAPTAPE_RUN"))) {
		ht_settings.run_token = number(value);
	} else if ((value = value_of(line, "HEAPTAPE_ON_FULL"))) {
		ht_settings.drop_when_full = strcmp(value, "drop") == 0;
	} else if ((value = value_of(line, "HEAPTAPE_STACKS"))) {
		ht_settings.stacks = strcmp(value, "0") != 0;
	} else if ((value = value_of(line, "HEAPTAPE_FREE_STACKS"))) {
		ht_settings.free_stacks = strcmp(value, "1") == 0;
	} else if ((value = value_of(line, "HEAPTAPE_GUARD"))) {
		ht_settings.guard = strcmp(value, "1") == 0;
	} else if ((value = value_of(line, "HEAPTAPE_ON_ERROR"))) {
		ht_settings.go_on = strcmp(value, "continue") == 0;
	} else if ((value = value_of(line, "HEAPTAPE_DORMANT"))) {
		ht_settings.dormant = value[0] && strcmp(value, "0") != 0;
	} else if ((value = value_of(line, "HEAPTAPE_DEPTH"))) {
		ht_settings.depth = (unsigned)number(value);
	} else if ((value = value_of(line, "HEAPTAPE_FOLLOW"))) {
		ht_settings.follow = follow_of(value);
	} else if ((value = value_of(line, "HEAPTAPE_COMMAND"))) {
		ht_settings.command_pid = (int)number(value);
	}
	if (ht_settings.line_count < SETTINGS_MAX && strlen(line) < sizeof(ht_settings.lines[0]))
		strcpy(ht_settings.lines[ht_settings.line_count++], line);
}

void ht_settings_read(char **envp)
{
	for (; envp && *envp; envp++)
		if (strncmp(*envp, "HEAPTAPE_", 9) == 0)
			take(*envp);
	if (ht_settings.guard)
		ht_settings.free_stacks = true;
}

/* "HEAPTAPE_RUN=" and the token. */
static const char *put_run(char *line, uint64_t token)
{
	char digits[24], *at = digits + sizeof(digits) - 1;

	*at = 0;
	for (; token; token /= 10)
		*--at = (char)('0' + token % 10);
	strcpy(stpcpy(line, "HEAPTAPE_RUN="), at);
	return line;
}

void ht_settings_begin_run(void)
{
	uint64_t token = 0;

	if (ht_settings.run_token || ht_settings.line_count == SETTINGS_MAX)
		return;
	if (sys_call3(SYS_getrandom, &token, sizeof(token), GRND_NONBLOCK) != sizeof(token))
		token = ht_clock_ns(CLOCK_MONOTONIC) << 20 | (uint64_t)sys_call0(SYS_getpid);
	ht_settings.run_token = token & INT64_MAX;
	ht_settings.own_run =
		put_run(ht_settings.lines[ht_settings.line_count++], ht_settings.run_token);
}

bool ht_settings_knows(const char *line)
{
	static const char *const names[] = { "HEAPTAPE_SOCKET",	 "HEAPTAPE_RUN",
					     "HEAPTAPE_ON_FULL", "HEAPTAPE_STACKS",
					     "HEAPTAPE_DEPTH",	 "HEAPTAPE_FREE_STACKS",
					     "HEAPTAPE_FOLLOW",	 "HEAPTAPE_COMMAND" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (value_of(line, names[i]))
			return true;
	return false;
}
