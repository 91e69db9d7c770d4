/*
 * Between the files of the Rust demangler: the state, and what they call of each other.
 */
#ifndef HEAPTAPE_DAEMON_DEMANGLE_RUST_H
#define HEAPTAPE_DAEMON_DEMANGLE_RUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rust {
	const char *from; /* what back references count from */
	const char *at;
	char *text;
	size_t bytes;
	unsigned depth, steps;
	uint64_t lifetimes; /* bound by the binders around */
	bool silent;	    /* parse, but write nothing */
	bool failed;
};

struct ident {
	const char *text;
	size_t bytes;
	bool punycode;
};

/* demangle_rust.c: text out, and the small parts of the grammar. */
void rust_put_bytes(struct rust *r, const char *text, size_t bytes);
void rust_put(struct rust *r, const char *text);
void rust_put_number(struct rust *r, uint64_t value);
void rust_put_rune(struct rust *r, uint32_t rune);
/* Every rule that can contain itself enters, and takes one off r->depth when it leaves. */
bool rust_enter(struct rust *r);
bool rust_take(struct rust *r, char c);
/* 0 is "_", n is n - 1 in base 62 with "_" behind. */
uint64_t rust_take_base62(struct rust *r);
/* The same behind a letter; 0 when the letter is not there. */
uint64_t rust_take_tagged(struct rust *r, char tag);
struct ident rust_take_plain_ident(struct rust *r);
struct ident rust_take_ident(struct rust *r, uint64_t *ret_number);
void rust_put_ident(struct rust *r, struct ident ident);
/* Runs `rule` on the text a back reference points to. */
void rust_follow(struct rust *r, void (*rule)(struct rust *r, bool flag), bool flag);

/* demangle_rust_type.c: paths and types. */
void rust_put_path(struct rust *r, bool in_value);
void rust_put_type(struct rust *r, bool unused);
void rust_put_tuple(struct rust *r, void (*item)(struct rust *r, bool flag));

/* demangle_rust_const.c: values of generic parameters. */
void rust_put_const(struct rust *r, bool nested);

#endif
