#include "viewer/print/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "viewer/utf8.h"

void json_init(struct json *json, FILE *out)
{
	*json = (struct json){ .out = out };
}

void json_quote(FILE *out, const char *text, size_t bytes)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + bytes;

	fputc('"', out);
	while (at < end) {
		size_t length = utf8_length(at, (size_t)(end - at));

		if (*at == '"' || *at == '\\')
			fprintf(out, "\\%c", *at);
		else if (*at == '\n')
			fputs("\\n", out);
		else if (*at == '\t')
			fputs("\\t", out);
		else if (utf8_is_control(at, length))
			fprintf(out, "\\u%04x", length == 2 ? at[1] : at[0]);
		else if (length)
			fwrite(at, 1, length, out);
		else
			fputs(UTF8_REPLACEMENT, out);
		at += length ? length : 1;
	}
	fputc('"', out);
}

static void json_line(struct json *json)
{
	if (json->flat && json->depth >= json->flat)
		return;
	fputc('\n', json->out);
	for (unsigned i = 0; i < json->depth; i++)
		fputs("  ", json->out);
}

/* Everything that comes before a value: comma, line break, key. */
static void json_begin(struct json *json, const char *key)
{
	bool flat = json->flat && json->depth >= json->flat;

	if (json->depth) {
		if (json->filled[json->depth])
			fputs(flat ? ", " : ",", json->out);
		json->filled[json->depth] = true;
		json_line(json);
	}
	if (key) {
		json_quote(json->out, key, strlen(key));
		fputs(": ", json->out);
	}
}

static void json_open(struct json *json, const char *key, char opening, char closing)
{
	json_begin(json, key);
	fputc(opening, json->out);
	json->depth++;
	assert(json->depth < JSON_DEPTH);
	json->filled[json->depth] = false;
	json->closing[json->depth] = closing;
}

void json_object(struct json *json, const char *key)
{
	json_open(json, key, '{', '}');
}

void json_array(struct json *json, const char *key)
{
	json_open(json, key, '[', ']');
}

void json_one_line(struct json *json)
{
	if (!json->flat)
		json->flat = json->depth;
}

void json_end(struct json *json)
{
	bool filled = json->filled[json->depth];
	char closing = json->closing[json->depth];
	bool flat = json->flat && json->depth >= json->flat;

	json->depth--;
	if (filled && !flat)
		json_line(json);
	if (json->depth < json->flat)
		json->flat = 0;
	fputc(closing, json->out);
	if (!json->depth)
		fputc('\n', json->out);
}

void json_bytes(struct json *json, const char *key, const char *text, size_t bytes)
{
	json_begin(json, key);
	json_quote(json->out, text, bytes);
}

void json_text(struct json *json, const char *key, const char *text)
{
	if (text)
		json_bytes(json, key, text, strlen(text));
	else
		json_null(json, key);
}

void json_number(struct json *json, const char *key, int64_t number)
{
	json_begin(json, key);
	fprintf(json->out, "%" PRId64, number);
}

void json_real(struct json *json, const char *key, double number)
{
	json_begin(json, key);
	if (isfinite(number))
		fprintf(json->out, "%.15g", number);
	else
		fputs("null", json->out);
}

void json_bool(struct json *json, const char *key, bool value)
{
	json_begin(json, key);
	fputs(value ? "true" : "false", json->out);
}

void json_null(struct json *json, const char *key)
{
	json_begin(json, key);
	fputs("null", json->out);
}
