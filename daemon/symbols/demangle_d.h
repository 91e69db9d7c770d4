/*
 * Between the files of the D demangler: the state, and what they call of each other.
 */
#ifndef HEAPTAPE_DAEMON_DEMANGLE_D_H
#define HEAPTAPE_DAEMON_DEMANGLE_D_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/symbols/symbols.h"

#define DLANG_TEXT_MAX SYMBOL_NAME_MAX

struct dlang {
	const char *from, *at, *end;
	char *text;
	size_t bytes;
	unsigned depth, steps;
	bool failed;
};

/* demangle_d.c: text out, names and templates. */
void dlang_put_bytes(struct dlang *d, const char *text, size_t bytes);
void dlang_put(struct dlang *d, const char *text);
bool dlang_take(struct dlang *d, char c);
bool dlang_take_word(struct dlang *d, const char *word);
/* Every rule that can contain itself enters, and takes one off d->depth when it leaves. */
bool dlang_enter(struct dlang *d);
/* A decimal number no larger than what is left of the name. */
size_t dlang_take_length(struct dlang *d);
/* Where the Q at `at` points to; *ret_after is behind it. NULL: nowhere. */
const char *dlang_back_reference(const struct dlang *d, const char *at, const char **ret_after);
bool dlang_name_begins(const struct dlang *d, const char *at);
void dlang_put_qualified(struct dlang *d);

/* demangle_d_type.c: types and the parts of a function's type. */
void dlang_put_type(struct dlang *d);
/* const, shared and so on of a method or delegate, with a space in front of each. */
void dlang_put_modifiers(struct dlang *d);
/* How a function is called; NULL: no function. */
const char *dlang_call_convention(char c);
/* pure, nothrow and so on, with a space in front of each; `wanted`: write them. */
void dlang_take_attributes(struct dlang *d, bool wanted);
/* "(int, ref char)" up to the letter that closes the list. */
void dlang_put_parameters(struct dlang *d);

/* demangle_d_value.c: values of template parameters; `type` is the letter of theirs or 0. */
void dlang_put_value(struct dlang *d, char type);

#endif
