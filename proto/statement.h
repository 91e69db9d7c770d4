/*
 * Prepared statements whose parameters and columns go by name, not by position: `:from_ns` in the SQL is
 * what is bound as `from_ns`. A part of the program that has statements has one list of all their names,
 *
 *   #define NAMES(N) N(process_id) N(from_ns) N(to_ns)
 *   enum { #define N(name) P_##name, ... };     static const char *const names[] = { #define N(name) #name, ...
 *
 * and the names are looked up in each statement once, when it is prepared. What does not fit fails at
 * once: a parameter or column that the list has not, when the statement is prepared; a value for a
 * parameter that the statement has not, or a parameter without a value, when it runs. The latter two are
 * mistakes in the code that no input can bring about, hence assertions.
 */
#ifndef HEAPTAPE_PROTO_STATEMENT_H
#define HEAPTAPE_PROTO_STATEMENT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATEMENT_NAMES_MAX 112

struct statement {
	sqlite3_stmt *sql;
	uint64_t wanted, bound; /* parameters, bit by bit */
	/* By the place of a name in the list: its number among the parameters, the columns; 0 it is none. */
	uint8_t parameters[STATEMENT_NAMES_MAX], columns[STATEMENT_NAMES_MAX];
};

struct statement_value {
	unsigned name;
	uint64_t value;
};

/* 0, -EINVAL when the names do not fit, or -EIO as `db` says. Prepared to be run often. */
int statement_prepare(struct statement *statement, sqlite3 *db, const char *sql,
		      const char *const *names, unsigned count);
void statement_release(struct statement *statement);

/* The statement has that parameter or column. */
bool statement_has(const struct statement *statement, unsigned name);

/* Integers: any number of { name, value }. */
#define statement_bind(statement, ...)                                                 \
	statement_bind_all(statement, (const struct statement_value[]){ __VA_ARGS__ }, \
			   sizeof((const struct statement_value[]){ __VA_ARGS__ }) /   \
				   sizeof(struct statement_value))
void statement_bind_all(struct statement *statement, const struct statement_value *values,
			size_t count);
/* NULL unless `known`. */
void statement_bind_known(struct statement *statement, unsigned name, bool known, uint64_t value);
/* These stay the caller's, and must be there until the statement has run. NULL: that. */
void statement_bind_text(struct statement *statement, unsigned name, const char *text);
void statement_bind_blob(struct statement *statement, unsigned name, const void *blob,
			 size_t bytes);

/* This is copied. */
void statement_bind_copy(struct statement *statement, unsigned name, const char *text,
			 size_t bytes);

/* As sqlite3_step(). */
int statement_step(struct statement *statement);
/* Of the row it is at. */
int64_t statement_number(const struct statement *statement, unsigned name);
const char *statement_text(const struct statement *statement, unsigned name);
/* Ready to be bound and run again. As sqlite3_reset(). */
int statement_reset(struct statement *statement);

#endif
