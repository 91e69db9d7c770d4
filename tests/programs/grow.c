/* Buffers that grow by realloc, in turn, a step at a time.
 *
 *   grow FINAL_KIB STEP_KIB filled|sparse [BUFFERS]
 *
 * A word in each 256 bytes, of a sparse buffer in each MiB, is written and looked at when all is grown.
 * Prints "N steps, N moved". */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define MOST_BUFFERS 16

static bool filled;

static uint64_t word_at(size_t buffer, size_t offset)
{
	return (offset + 1) * 0x9e3779b97f4a7c15ull ^ buffer;
}

/* The first offset from `from` on that is written to. */
static size_t next_word(size_t from)
{
	size_t step = filled ? 256 : MIB;

	return (from + step - 1) / step * step;
}

static void write_words(char *start, size_t buffer, size_t from, size_t to)
{
	for (size_t at = next_word(from); at + sizeof(uint64_t) <= to;
	     at = next_word(at + sizeof(uint64_t)))
		memcpy(start + at, &(uint64_t){ word_at(buffer, at) }, sizeof(uint64_t));
}

static bool words_are_there(const char *start, size_t buffer, size_t bytes)
{
	for (size_t at = 0; at + sizeof(uint64_t) <= bytes; at = next_word(at + sizeof(uint64_t)))
		if (memcmp(start + at, &(uint64_t){ word_at(buffer, at) }, sizeof(uint64_t)) != 0)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	static char *buffers[MOST_BUFFERS];
	size_t final, step, count, steps = 0, moved = 0;

	if (argc < 4)
		return 2;
	final = strtoull(argv[1], NULL, 10) * KIB;
	step = strtoull(argv[2], NULL, 10) * KIB;
	filled = strcmp(argv[3], "filled") == 0;
	count = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
	if (step == 0 || count > MOST_BUFFERS)
		return 2;
	for (size_t bytes = 0; bytes < final; bytes += step)
		for (size_t i = 0; i < count; i++) {
			char *grown = realloc(buffers[i], bytes + step);

			if (!grown) {
				printf("no memory for %zu KiB\n", (bytes + step) / KIB);
				return 1;
			}
			steps++;
			moved += grown != buffers[i];
			buffers[i] = grown;
			write_words(grown, i, bytes, bytes + step);
		}
	for (size_t i = 0; i < count; i++) {
		if (!words_are_there(buffers[i], i, (final + step - 1) / step * step)) {
			printf("buffer %zu is damaged\n", i);
			return 1;
		}
		free(buffers[i]);
	}
	printf("%zu steps, %zu moved\n", steps, moved);
	return 0;
}
