/*
 * Why a function could not do what it was asked. A function that can fail takes a `struct error *` last,
 * returns 0 or a negative errno, and leaves its other out-parameters untouched when it fails. The text
 * is complete (what failed, why, what to do); it is printed once, by a command.
 */
#ifndef HEAPTAPE_VIEWER_ERROR_H
#define HEAPTAPE_VIEWER_ERROR_H

struct error {
	char text[2048];
};

/* Sets the text and returns `code`, a negative errno. A longer text is cut. */
int error_set(struct error *ret_error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
