/* The program to be run: where it is, and whether anything in it can be recorded. */
#ifndef HEAPTAPE_VIEWER_RECORD_PROGRAM_H
#define HEAPTAPE_VIEWER_RECORD_PROGRAM_H

#include "proto/image.h"

/* Shell convention for a command that cannot be run. */
#define PROGRAM_NOT_EXECUTABLE 126
#define PROGRAM_NOT_FOUND 127

/* Looks `name` up as a shell would: 0 and a heap copy of the path, -ENOENT, or why it cannot be
 * executed (-EACCES, -EISDIR, ...). */
int program_find(const char *name, char **ret_path);

/* Why the shim will not be loaded into it, if so; a script is judged by its interpreter. */
enum image_reason program_obstacle(const char *path);

/* As execve, and a text file without #! goes to /bin/sh. Returns a negative errno. */
int program_exec(const char *path, char **argv, char **environment);

#endif
