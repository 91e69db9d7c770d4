/* What a frame of a profile is called, where it is, and by what it is the same in another build. */
#ifndef HEAPTAPE_VIEWER_MODEL_FRAME_H
#define HEAPTAPE_VIEWER_MODEL_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "viewer/model/profile.h"

/* "parse_value", "libfoo.so+0x1234"; good until 8 others. For long names a heap copy
 * is not needed: the text is the frame's own. */
const char *frame_name(const struct profile *profile, uint32_t frame);
/* "json.c:88", "" when not known; `whole_path`: with the folders. */
const char *frame_place(const struct profile *profile, uint32_t frame, bool whole_path);
/* "json.c" */
const char *frame_file(const struct profile *profile, uint32_t frame);
/* Both, as a heap copy: "parse_value json.c:88". */
char *frame_text(const struct profile *profile, uint32_t frame);

/*
 * How many of the stack's frames from frames[0] on are shown as one row, because they only pass a call on:
 * 1, or more and *ret_text is a heap copy of what to call them: "[std::invoke, std::thread]".
 */
size_t frame_fold(const struct profile *profile, const uint32_t *frames, size_t count,
		  char **ret_text);

/* What is the same for the function in every build of the program, as a heap copy. */
char *frame_key(const struct profile *profile, uint32_t frame);

#endif
