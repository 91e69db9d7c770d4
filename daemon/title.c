/* What a process calls itself: servers write it over their arguments for ps to show. */
#include "daemon/title.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* As ps shows it: words with a space between them, none at the end. Returns the bytes left. */
static size_t tidy(char *text, size_t bytes)
{
	while (bytes && (!text[bytes - 1] || text[bytes - 1] == ' '))
		bytes--;
	for (size_t i = 0; i < bytes; i++)
		if (!text[i])
			text[i] = ' ';
	text[bytes] = 0;
	return bytes;
}

bool title_read(pid_t pid, char text[TITLE_BYTES])
{
	char path[48];
	ssize_t bytes;
	int fd;

	if (pid <= 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bytes = read(fd, text, TITLE_BYTES - 1);
	close(fd);
	return bytes > 0 && tidy(text, (size_t)bytes);
}

static uint64_t hash(const char *text)
{
	uint64_t value = 0xcbf29ce484222325u;

	for (; *text; text++)
		value = (value ^ (uint8_t)*text) * 0x100000001b3u;
	return value;
}

void title_init(struct title *title, const Heaptape__Hello *hello)
{
	char text[TITLE_BYTES];
	size_t bytes = 0;

	for (size_t i = 0; i < hello->n_command && bytes < TITLE_BYTES - 1; i++) {
		size_t length = strnlen(hello->command[i], TITLE_BYTES - 2 - bytes);

		memcpy(text + bytes, hello->command[i], length);
		text[bytes + length] = 0;
		bytes += length + 1;
	}
	tidy(text, bytes);
	title->hash = hash(text);
}

bool title_set(struct title *title, const char *text)
{
	uint64_t now = hash(text);

	if (now == title->hash)
		return false;
	title->hash = now;
	return true;
}
