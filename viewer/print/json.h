/*
 * A JSON writer: containers are opened and closed in pairs, keys are given inside objects and NULL
 * inside arrays. Text that is not UTF-8 is written with U+FFFD in the place of what is not.
 */
#ifndef HEAPTAPE_VIEWER_PRINT_JSON_H
#define HEAPTAPE_VIEWER_PRINT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Call trees nest two levels a frame. */
#define JSON_DEPTH 1024

struct json {
	FILE *out;
	unsigned depth;
	unsigned flat; /* at this depth and below everything stays on one line; 0: never */
	bool filled[JSON_DEPTH];
	char closing[JSON_DEPTH];
};

void json_init(struct json *json, FILE *out);
void json_object(struct json *json, const char *key);
void json_array(struct json *json, const char *key);
void json_end(struct json *json); /* closes the innermost; after the outermost comes a newline */

/* Members of the innermost container from here on stand on one line, until it is closed. */
void json_one_line(struct json *json);

void json_text(struct json *json, const char *key, const char *text); /* NULL: null */
void json_bytes(struct json *json, const char *key, const char *text, size_t bytes);
void json_number(struct json *json, const char *key, int64_t number);
void json_real(struct json *json, const char *key, double number);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);

/* Only the string, quotes included. */
void json_quote(FILE *out, const char *text, size_t bytes);

#endif
