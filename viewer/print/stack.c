#include "viewer/print/stack.h"

#include <stdio.h>
#include <stdlib.h>

#include "viewer/memory.h"
#include "viewer/model/frame.h"
#include "viewer/print/text.h"

char *stack_lines(const struct profile *profile, uint32_t stack, int indent, int width)
{
	uint32_t frames[PROFILE_DEPTH_MAX];
	size_t count = profile_frames(profile, stack, frames, PROFILE_DEPTH_MAX), bytes;
	char *lines = NULL;
	FILE *out = memory_stream(&lines, &bytes);

	for (size_t i = 0; i < count; i++) {
		const struct frame *frame = &profile->frames[frames[i]];
		char *folded = NULL;
		size_t length = frame_fold(profile, frames + i, count - i, &folded);

		if (length > 1) {
			char *row = memory_print("%s  %zu frames", folded, length);
			char *fitted = text_fit(row, width > indent ? (size_t)(width - indent) : 0,
						FIT_START);

			fprintf(out, "%*s%s\n", indent, "", fitted);
			free(fitted);
			free(row);
			free(folded);
			i += length - 1;
			continue;
		}

		const char *place = frame_place(profile, frames[i], false);
		char *line = memory_print(
			"%s%s%s%s%s%s", frame_name(profile, frames[i]), *place ? "  " : "", place,
			frame->function && frame->module ? "  " : "",
			frame->function && frame->module ? profile->modules[frame->module].name
							 : "",
			frames[i] && i + 1 < count && frame->outer == frames[i + 1] ? "  (inlined)"
										    : "");
		char *fitted =
			text_fit(line, width > indent ? (size_t)(width - indent) : 0, FIT_NAME);

		fprintf(out, "%*s%s\n", indent, "", fitted);
		free(line);
		free(fitted);
	}
	if (!count)
		fprintf(out, "%*s(no stack was recorded)\n", indent, "");
	memory_stream_end(out);
	return lines;
}
