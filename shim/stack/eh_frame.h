/*
 * Unwind rows from an object's .eh_frame: where, at one program counter, the caller's frame and the
 * registers it saved are to be found. Format: DWARF 5 section 6.4 and the LSB's "Exception Frames".
 *
 * A full row (struct eh_row) says it for every register. A compiled row is a 64-bit word that says
 * it for the three that unwinding itself needs, when they follow the usual pattern:
 *
 *   bits    what
 *   0-3     enum row_kind: where the CFA is. The return address is at CFA - 8 (x86-64)
 *   4-5     enum row_fp: where the caller's frame pointer is
 *   8-31    cfa_offset, signed
 *   32-55   fp_offset, signed; -8 when fp is still in the register
 *
 * Everything here reads only the object's own mapped bytes, within the bounds given.
 */
#ifndef HEAPTAPE_SHIM_STACK_EH_FRAME_H
#define HEAPTAPE_SHIM_STACK_EH_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* DWARF register numbers 0..EH_REGS-1; EH_RA is the column of the return address. */
#if defined(__x86_64__)
#define EH_REGS 17
#define EH_FP 6
#define EH_SP 7
#define EH_RA 16
#elif defined(__aarch64__)
#define EH_REGS 33
#define EH_FP 29
#define EH_SP 31
#define EH_RA 30
#else
#error "no unwinder for this processor"
#endif

enum row_kind {
	ROW_NONE,     /* not compiled yet */
	ROW_SP,	      /* CFA = sp + cfa_offset */
	ROW_FP,	      /* CFA = fp + cfa_offset */
	ROW_FP_DEREF, /* CFA = word at fp + cfa_offset (a realigned stack) */
	ROW_SLOW,     /* has a row, but not of this form: unwind_slow.c */
	ROW_MISSING,  /* the object has no row for this place, or there is no object */
	ROW_END,      /* the outermost frame: its return address is undefined */
};

enum row_fp {
	ROW_FP_SAME,   /* still in the register */
	ROW_FP_AT_CFA, /* saved at CFA + fp_offset */
	ROW_FP_AT_FP,  /* saved at fp + fp_offset */
};

static inline uint64_t row_make(enum row_kind kind, int32_t cfa_offset, enum row_fp fp,
				int32_t fp_offset)
{
	return (uint64_t)kind | (uint64_t)fp << 4 | (uint64_t)(cfa_offset & 0xffffff) << 8 |
	       (uint64_t)(fp_offset & 0xffffff) << 32;
}

static inline enum row_kind row_kind(uint64_t row)
{
	return (enum row_kind)(row & 15);
}

static inline enum row_fp row_fp(uint64_t row)
{
	return (enum row_fp)(row >> 4 & 3);
}

static inline intptr_t row_cfa_offset(uint64_t row)
{
	return (int32_t)(uint32_t)row >> 8;
}

static inline intptr_t row_fp_offset(uint64_t row)
{
	return (intptr_t)((int64_t)(row << 8) >> 40);
}

/* A mapped object, as far as unwinding needs it. */
struct eh_object {
	uintptr_t start, end;		/* its whole mapping; of a program with holes: a segment */
	uintptr_t hdr;			/* .eh_frame_hdr, 0: none */
	uintptr_t data_start, data_end; /* where unwind data may be read: around hdr */
};

enum eh_rule_kind {
	EH_SAME,
	EH_UNDEFINED,
	EH_AT_CFA,   /* saved at CFA + value */
	EH_IS_CFA,   /* is CFA + value */
	EH_REGISTER, /* is in register `value` */
	EH_AT_EXPR,  /* saved where the expression says */
	EH_IS_EXPR,  /* is what the expression says */
};

struct eh_expr {
	const uint8_t *code;
	uint32_t bytes;
};

struct eh_rule {
	union {
		int64_t value;
		const uint8_t *code; /* EH_AT_EXPR, EH_IS_EXPR */
	};
	uint32_t code_bytes;
	uint8_t kind; /* enum eh_rule_kind */
};

struct eh_row {
	uintptr_t function; /* where the code that this row's FDE covers begins */
	bool cfa_is_expr;
	uint8_t cfa_register;
	int64_t cfa_offset;
	struct eh_expr cfa_expr;
	bool signal_frame; /* this frame was entered by a signal, its caller was interrupted */
	uint8_t ra_column;
	struct eh_rule rules[EH_REGS];
};

/* 0; -ENOENT: no row for this place; -EBADMSG: unwind data that is malformed or not understood. */
int ht_eh_row(const struct eh_object *object, uintptr_t pc, struct eh_row *ret_row);

/* The compiled form, ROW_SLOW when the row has none. */
uint64_t ht_eh_compile(const struct eh_row *row);

#endif
