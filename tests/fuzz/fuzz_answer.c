/* Any bytes as what a process that read a hostile file for its symbols answers. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/symbols/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static size_t text_bytes;

static void check_text(const char *text)
{
	size_t length = text ? strlen(text) : 0;

	if (length > SYMBOL_NAME_MAX)
		abort();
	text_bytes += length;
}

static void answer(struct symbols_sink *sink, size_t index, enum symbol_state state,
		   const struct symbol_level *levels, unsigned count)
{
	(void)sink;
	(void)index;
	if (count > SYMBOL_LEVELS_MAX || state > SYMBOL_LINE)
		abort();
	for (unsigned i = 0; i < count; i++) {
		check_text(levels[i].function);
		check_text(levels[i].file);
	}
}

static void note(struct symbols_sink *sink, const char *text)
{
	(void)sink;
	check_text(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct symbols_sink sink = { answer, note };
	struct symbols_worker worker = { .fd = -1 };
	int ends[2];

	if (bytes > 32768)
		bytes = 32768;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		abort();
	worker.fd = ends[0];
	/* In two parts, so that one of them tears an answer. */
	if (write(ends[1], data, bytes / 2) != (ssize_t)(bytes / 2) ||
	    (symbols_worker_read(&worker, &sink) &&
	     write(ends[1], data + bytes / 2, bytes - bytes / 2) != (ssize_t)(bytes - bytes / 2)))
		abort();
	close(ends[1]);
	while (symbols_worker_read(&worker, &sink))
		;
	close(ends[0]);
	free(worker.buffer);
	return 0;
}
