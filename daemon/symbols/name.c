#include "daemon/symbols/name.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define NESTING_MAX 256
#define GROWTH 3 /* "$_0" becomes "{lambda}" */

struct text {
	const char *at; /* what is left to read */
	char *out;
	size_t used;
	size_t open[NESTING_MAX]; /* where each template's '<' stands in `out` */
	unsigned nesting;
	int parentheses;
	bool is_key;
};

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static bool starts_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static void put(struct text *text, const char *bytes, size_t count)
{
	memcpy(text->out + text->used, bytes, count);
	text->used += count;
}

static void copy(struct text *text, size_t count)
{
	put(text, text->at, count);
	text->at += count;
}

/* -- templates of the C++ library -- */

/* Those whose last arguments have defaults that nobody writes. */
static const char *const defaulting[] = {
	"vector",
	"deque",
	"list",
	"forward_list",
	"set",
	"multiset",
	"map",
	"multimap",
	"unordered_set",
	"unordered_multiset",
	"unordered_map",
	"unordered_multimap",
	"stack",
	"queue",
	"priority_queue",
	"unique_ptr",
	"_Vector_base",
	"_List_base",
	"_Deque_base",
	"_Fwd_list_base",
};

static bool has_defaults(const char *name, size_t length)
{
	if (length < 5 || memcmp(name, "std::", 5) != 0)
		return false;
	name += 5;
	length -= 5;
	if (length > 6 && !memcmp(name, "basic_", 6))
		return true;
	for (size_t i = 0; i < sizeof(defaulting) / sizeof(*defaulting); i++)
		if (strlen(defaulting[i]) == length && !memcmp(defaulting[i], name, length))
			return true;
	return false;
}

/* Whether the argument is TEMPLATE<FIRST>, for one of the templates that are defaults; an allocator may
 * be one of anything. */
static bool is_default(const char *argument, size_t length, const char *first, size_t first_length)
{
	static const char *const templates[] = { "less",	 "greater",	   "hash",
						 "equal_to",	 "default_delete", "char_traits",
						 "regex_traits", "deque",	   "vector" };

	if (length < 6 || memcmp(argument, "std::", 5) != 0 || argument[length - 1] != '>')
		return false;
	argument += 5;
	length -= 5;
	if (length > 10 && !memcmp(argument, "allocator<", 10))
		return true;
	for (size_t i = 0; i < sizeof(templates) / sizeof(*templates); i++) {
		size_t bytes = strlen(templates[i]);

		if (length == bytes + 2 + first_length && argument[bytes] == '<' &&
		    !memcmp(argument, templates[i], bytes) &&
		    !memcmp(argument + bytes + 1, first, first_length))
			return true;
	}
	return false;
}

/* Where the last of the comma-separated arguments begins. */
static size_t last_argument(const char *out, size_t from, size_t to)
{
	int depth = 0;

	for (size_t i = to; i-- > from;) {
		char c = out[i];

		if (c == '>' && !(i > from && out[i - 1] == '-'))
			depth++;
		else if (c == ')' || c == '}' || c == ']')
			depth++;
		else if (c == '<' || c == '(' || c == '{' || c == '[')
			depth--;
		else if (c == ',' && !depth)
			return i + 1;
	}
	return from;
}

/* The end of the first argument. */
static size_t first_argument(const char *out, size_t from, size_t to)
{
	int depth = 0;

	for (size_t i = from; i < to; i++) {
		char c = out[i];

		if (c == '<' || c == '(' || c == '{' || c == '[')
			depth++;
		else if (c == ')' || c == '}' || c == ']' ||
			 (c == '>' && !(i > from && out[i - 1] == '-')))
			depth--;
		else if (c == ',' && !depth)
			return i;
	}
	return to;
}

static void drop_defaults(struct text *text, size_t open)
{
	size_t first_end = first_argument(text->out, open + 1, text->used), last;

	while ((last = last_argument(text->out, open + 1, text->used)) > open + 1) {
		size_t begin = last;

		while (begin < text->used && text->out[begin] == ' ')
			begin++;
		if (!is_default(text->out + begin, text->used - begin, text->out + open + 1,
				first_end - open - 1))
			return;
		text->used = last - 1;
	}
}

/* std::basic_string<char> has a name of its own; so do its kind. */
static void name_basic(struct text *text, size_t name, size_t open)
{
	static const struct {
		const char *argument, *prefix;
	} kinds[] = { { "char", "" },
		      { "wchar_t", "w" },
		      { "char8_t", "u8" },
		      { "char16_t", "u16" },
		      { "char32_t", "u32" } };
	const char *argument = text->out + open + 1;
	size_t length = text->used - open - 1, stem = name + 11, stem_length = open - stem;

	if (open < stem || memcmp(text->out + name, "std::basic_", 11) != 0)
		return;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strlen(kinds[i].argument) == length &&
		    !memcmp(kinds[i].argument, argument, length)) {
			size_t prefix = strlen(kinds[i].prefix);

			memmove(text->out + name + 5 + prefix, text->out + stem, stem_length);
			memcpy(text->out + name + 5, kinds[i].prefix, prefix);
			text->used = name + 5 + prefix + stem_length;
			return;
		}
}

static void close_template(struct text *text)
{
	size_t open = text->open[--text->nesting], name = open;
	const char *out = text->out;

	while (text->used > open + 1 && out[text->used - 1] == ' ')
		text->used--;
	while (name > 0 && (is_word(out[name - 1]) || out[name - 1] == ':'))
		name--;
	text->at++;
	if (has_defaults(out + name, open - name)) {
		size_t before = text->used;

		drop_defaults(text, open);
		name_basic(text, name, open);
		if (text->used < before && text->used <= open)
			return;
	}
	text->out[text->used++] = '>';
}

/* -- one token after the other -- */

/* Behind what begins at `at` with a bracket and ends with its fellow. */
static const char *behind(const char *at)
{
	int depth = 0;

	for (; *at; at++) {
		if (*at == '(' || *at == '{' || *at == '[' || *at == '<')
			depth++;
		else if (*at == ')' || *at == '}' || *at == ']' || (*at == '>' && at[-1] != '-'))
			depth--;
		if (!depth)
			return at + 1;
	}
	return at;
}

static bool rewrite(struct text *text, const char *end);

/*
 * A lambda whose name ends at `after`: it is told by its parameters, those of the call that may follow,
 * which alone are not "auto", or else `parameters`. Only gcc tells them of a lambda that is an argument.
 */
static bool lambda(struct text *text, const char *after, const char *parameters)
{
	static const char call[] = "::operator()";

	if (starts_with(after, call)) {
		const char *at = after + strlen(call);

		if (*at == '<')
			at = behind(at);
		if (*at == '(') {
			parameters = at;
			after = behind(at);
			if (starts_with(after, " const"))
				after += strlen(" const");
		}
	}
	put(text, "{lambda", 7);
	if (parameters && !(text->is_key && (text->nesting || text->parentheses))) {
		text->at = parameters;
		if (!rewrite(text, behind(parameters)))
			return false;
	}
	put(text, "}", 1);
	text->at = after;
	return true;
}

static size_t operator_bytes(const char *at)
{
	static const char *const names[] = { "<<=", "<=>", "<<",  "<=", "<",  ">>=", ">>",
					     ">=",  ">",   "->*", "->", "()", "[]" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (starts_with(at, names[i]))
			return strlen(names[i]);
	return 0;
}

static bool word(struct text *text)
{
	static const char *const inlined[] = { "__cxx11::", "__1::", "__ndk1::", "_V2::" };
	size_t length = 0;

	while (is_word(text->at[length]))
		length++;
	if (length > 2 && text->at[0] == '$' && text->at[1] == '_' &&
	    strspn(text->at + 2, "0123456789") == length - 2)
		return lambda(text, text->at + length, NULL); /* clang's */
	copy(text, length);
	if (length == 3 && !memcmp(text->at - 3, "std", 3)) {
		for (size_t i = 0; i < sizeof(inlined) / sizeof(*inlined); i++)
			if (starts_with(text->at, "::") && starts_with(text->at + 2, inlined[i])) {
				text->at += strlen(inlined[i]);
				break;
			}
	} else if (length == 8 && !memcmp(text->at - 8, "operator", 8)) {
		copy(text, operator_bytes(text->at));
	} else if (length == 4 && !memcmp(text->at - 4, "auto", 4) && text->at[0] == ':' &&
		   isdigit((unsigned char)text->at[1])) {
		text->at += 1 + strspn(text->at + 1, "0123456789");
	}
	return true;
}

/* Up to `end`, or all. False: it is nested too deeply. */
static bool rewrite(struct text *text, const char *end)
{
	while (*text->at && (!end || text->at < end)) {
		char c = *text->at;

		if (is_word(c)) {
			if (!word(text))
				return false;
		} else if (c == '<') {
			if (text->nesting == NESTING_MAX)
				return false;
			text->open[text->nesting++] = text->used;
			copy(text, 1);
		} else if (c == '>' && text->nesting && text->used &&
			   text->out[text->used - 1] != '-') {
			close_template(text);
		} else if (starts_with(text->at, "{lambda(")) {
			if (!lambda(text, behind(text->at), text->at + 7))
				return false;
		} else if (starts_with(text->at, "[abi:") && strchr(text->at, ']')) {
			text->at = strchr(text->at, ']') + 1;
		} else if (starts_with(text->at, "{anonymous}")) {
			put(text, "(anonymous namespace)", 21);
			text->at += 11;
		} else if (c == '#' && text->at[1 + strspn(text->at + 1, "0123456789")] == '}') {
			text->at += 1 + strspn(text->at + 1, "0123456789");
			copy(text, 1);
		} else {
			text->parentheses += (c == '(') - (c == ')');
			copy(text, 1);
		}
	}
	return true;
}

/* Functions of templates are told with their return type. Where the name begins. */
static size_t name_start(const char *full)
{
	size_t start = 0;
	int depth = 0;

	for (const char *at = full; *at; at++) {
		if (starts_with(at, "operator") && (at == full || !is_word(at[-1]))) {
			/* "operator bool", and what looks like a bracket and is none */
			return start;
		}
		if (starts_with(at, "(anonymous namespace)")) {
			at += 20;
			continue;
		}
		if (*at == '(' && !depth)
			return at > full && at[-1] == ' ' ? 0 : start;
		if (*at == '<' || *at == '{' || *at == '(' || *at == '[')
			depth++;
		else if (depth &&
			 (*at == '}' || *at == ')' || *at == ']' || (*at == '>' && at[-1] != '-')))
			depth--;
		else if (*at == ' ' && !depth)
			start = (size_t)(at + 1 - full);
	}
	return strchr(full, '(') || strchr(full, '{') ? start : 0;
}

static char *rewritten(const char *full, bool is_key)
{
	struct text text = { .at = full, .is_key = is_key };
	size_t start;

	text.out = malloc(GROWTH * strlen(full) + 64);
	if (!text.out)
		return NULL;
	if (!rewrite(&text, NULL)) {
		free(text.out);
		return strdup(full);
	}
	text.out[text.used] = '\0';
	start = name_start(text.out);
	memmove(text.out, text.out + start, text.used - start + 1);
	return text.out;
}

/* -- keys -- */

/* A path without what is written in angle brackets; "<A as B>::f" is made of two of them, and the
 * type of "<A>::f" needs no brackets. */
static const char *rust_path(const char *at, const char *end, char **out)
{
	while (at < end) {
		if (starts_with(at, "::<")) {
			at = behind(at + 2);
		} else if (*at == '<') {
			at = behind(at);
		} else if (starts_with(at, "{{closure}}") || starts_with(at, "{closure#")) {
			memcpy(*out, "{closure}", 9);
			*out += 9;
			at = behind(at);
		} else if (*at == '(' || *at == '[') {
			const char *close = behind(at);

			memcpy(*out, at, (size_t)(close - at));
			*out += close - at;
			at = close;
		} else {
			*(*out)++ = *at++;
		}
	}
	return at;
}

static char *rust_key(const char *full)
{
	char *key = malloc(2 * strlen(full) + 1), *out = key;
	const char *end = full + strlen(full), *at = full;

	if (!key)
		return NULL;
	if (*at == '<') {
		const char *close = behind(at), *as = NULL;
		int depth = 0;

		for (const char *c = at + 1; c < close - 1; c++) {
			depth += *c == '<' || *c == '(' || *c == '[';
			depth -= *c == ')' || *c == ']' || (*c == '>' && c[-1] != '-');
			if (!depth && starts_with(c, " as "))
				as = c;
		}
		if (as) {
			*out++ = '<';
			rust_path(at + 1, as, &out);
			memcpy(out, " as ", 4);
			out += 4;
			rust_path(as + 4, close - 1, &out);
			*out++ = '>';
		} else {
			rust_path(at + 1, close - 1, &out);
		}
		at = close;
	}
	rust_path(at, end, &out);
	*out = '\0';
	return key;
}

/* What a key has no use for, in place. */
static void cut_qualifiers(char *key)
{
	static const char *const qualifiers[] = { " const", " volatile", " &&", " &" };
	size_t length = strlen(key);

	for (size_t i = 0; i < sizeof(qualifiers) / sizeof(*qualifiers); i++) {
		size_t bytes = strlen(qualifiers[i]);

		if (length > bytes && !strcmp(key + length - bytes, qualifiers[i])) {
			length -= bytes;
			key[length] = '\0';
			i = (size_t)-1;
		}
	}
}

/* Older symbols of Rust look like those of C++, with a hash at their end: 17h0123456789abcdefE. */
static bool is_rust(const char *symbol)
{
	size_t length = strlen(symbol);

	return starts_with(symbol, "_R") ||
	       (starts_with(symbol, "_ZN") && length > 23 &&
		starts_with(symbol + length - 20, "17h") && symbol[length - 1] == 'E' &&
		strspn(symbol + length - 17, "0123456789abcdef") == 16);
}

void name_make(const char *full, const char *symbol, struct name *ret)
{
	if (symbol && is_rust(symbol)) {
		*ret = (struct name){ strdup(full), rust_key(full) };
	} else if (!symbol || starts_with(symbol, "_Z") || starts_with(symbol, "___Z")) {
		*ret = (struct name){ rewritten(full, false), rewritten(full, true) };
		if (ret->key)
			cut_qualifiers(ret->key);
	} else {
		*ret = (struct name){ strdup(full), strdup(full) };
	}
}

void name_release(struct name *name)
{
	free(name->display);
	free(name->key);
}
