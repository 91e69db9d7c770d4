#include "viewer/model/frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "viewer/memory.h"

const char *frame_name(const struct profile *profile, uint32_t id)
{
	const struct frame *frame = &profile->frames[id];
	static char ring[8][512];
	static unsigned next;
	char *text;

	if (!id)
		return "(stack unknown)";
	if (frame->function)
		return frame->function;
	text = ring[next++ % 8];
	if (frame->module && !profile->modules[frame->module].made)
		snprintf(text, sizeof(ring[0]), "%s+0x%" PRIx64,
			 profile->modules[frame->module].name, frame->offset);
	else
		snprintf(text, sizeof(ring[0]), "0x%" PRIx64, frame->offset);
	return text;
}

const char *frame_place(const struct profile *profile, uint32_t id, bool whole_path)
{
	const struct frame *frame = &profile->frames[id];
	static char ring[8][600];
	static unsigned next;
	const char *slash, *file = frame->file;
	char *text;

	if (!id || !file)
		return "";
	slash = strrchr(file, '/');
	if (!whole_path && slash)
		file = slash + 1;
	text = ring[next++ % 8];
	if (frame->line > 0)
		snprintf(text, sizeof(ring[0]), "%s:%" PRId32, file, frame->line);
	else
		snprintf(text, sizeof(ring[0]), "%s", file);
	return text;
}

const char *frame_file(const struct profile *profile, uint32_t id)
{
	const char *file = profile->frames[id].file, *slash = file ? strrchr(file, '/') : NULL;

	return slash ? slash + 1 : file ? file : "";
}

char *frame_text(const struct profile *profile, uint32_t frame)
{
	const char *place = frame_place(profile, frame, false);

	return memory_print("%s%s%s", frame_name(profile, frame), *place ? " " : "", place);
}

char *frame_key(const struct profile *profile, uint32_t id)
{
	const struct frame *frame = &profile->frames[id];
	const char *module = profile->modules[frame->module].key;

	return memory_print("%s\n%s",
			    frame->name_key   ? frame->name_key
			    : frame->function ? frame->function
					      : frame_name(profile, id),
			    module ? module : "");
}

size_t frame_fold(const struct profile *profile, const uint32_t *frames, size_t count,
		  char **ret_text)
{
	const char *parts[4] = { NULL };
	size_t length = 0, part_count = 0, bytes;
	FILE *text;

	for (; length < count && profile->frames[frames[length]].plumbing; length++) {
		const char *part = profile->frames[frames[length]].plumbing;
		size_t at = 0;

		while (at < part_count && strcmp(parts[at], part) != 0)
			at++;
		if (at == part_count && at < sizeof(parts) / sizeof(*parts))
			parts[part_count++] = part;
	}
	if (length < 2)
		return 1;
	text = memory_stream(ret_text, &bytes);
	for (size_t i = 0; i < part_count; i++)
		fprintf(text, "%s%s", i ? ", " : "[", parts[i]);
	fputc(']', text);
	memory_stream_end(text);
	return length;
}
