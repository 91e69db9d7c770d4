/* An input that is read byte by byte, and the values for SQL that it may hold. */
#ifndef HEAPTAPE_TESTS_FUZZ_SQL_VALUE_H
#define HEAPTAPE_TESTS_FUZZ_SQL_VALUE_H

#include <math.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "proto/event.h"

struct input {
	const uint8_t *at, *end;
};

/* 0 where it has ended. */
static inline unsigned take(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

static inline void bind_number(sqlite3_stmt *to, int at, int64_t number)
{
	sqlite3_bind_int64(to, at, number);
}

static inline void bind_text(sqlite3_stmt *to, int at, const char *text)
{
	sqlite3_bind_text(to, at, text, -1, SQLITE_TRANSIENT);
}

static inline int64_t take_number(struct input *input)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < 8; i++)
		number |= (uint64_t)take(input) << 8 * i;
	return (int64_t)number;
}

static inline void bind_value(sqlite3_stmt *to, int at, struct input *input)
{
	unsigned kind = take(input), a = take(input);
	char text[40] = "";
	int64_t number;
	double real;

	switch (kind % 14) {
	case 0:
		bind_number(to, at, a);
		break;
	case 1:
		bind_number(to, at, a << 8 | take(input));
		break;
	case 2:
		sqlite3_bind_double(to, at, (int)a - 20 + take(input) % 100 / 100.0);
		break;
	case 3:
		bind_text(to, at, event_kind_name(a % (EVENT_KIND_COUNT + 1)));
		break;
	case 4:
		for (unsigned i = 0; i < a % 30; i++)
			text[i] = (char)take(input);
		sqlite3_bind_text(to, at, text, (int)(a % 30), SQLITE_TRANSIENT);
		break;
	case 5:
		sqlite3_bind_null(to, at);
		break;
	case 6:
		bind_number(to, at, a % 2 ? INT64_MAX : INT64_MIN);
		break;
	case 7:
		sqlite3_bind_double(to, at, (a % 2 ? -1 : 1) * pow(10, a % 40));
		break;
	case 8:
		sqlite3_bind_blob(to, at, &kind, (int)(a % sizeof(kind)), SQLITE_TRANSIENT);
		break;
	case 9:
		snprintf(text, sizeof(text), "%u%s", a, take(input) % 2 ? ".0" : "");
		bind_text(to, at, text);
		break;
	case 10:
		bind_number(to, at, a * (int64_t)take(input) - take(input));
		break;
	case 11:
		bind_number(to, at, take_number(input));
		break;
	case 12: /* about the ends of what an integer can be, too */
		sqlite3_bind_double(to, at, (double)take_number(input) * (1 + a % 3));
		break;
	default:
		number = take_number(input);
		memcpy(&real, &number, sizeof(real));
		sqlite3_bind_double(to, at, real);
		break;
	}
}

#endif
