/*
 * Steps that no compiled row can say: DWARF expressions, frames a signal interrupted, CFAs and
 * return addresses in other places than usual. First with the registers at hand: pc, sp and fp, or
 * what the step before has found. When the row asks for another one, the walk is done once more with
 * all registers that calls preserve, from where they were known last, until it comes to the frame in
 * question. Slow and rare: microseconds.
 */
#include <errno.h>

#include "proto/event.h"
#include "shim/stack/eh_frame.h"
#include "shim/stack/modules.h"
#include "shim/stack/unwind_slow.h"

#define EXPR_STACK 16
#define EXPR_STEPS 256
#define OWN_FRAMES 1024 /* between here and the frame in question */

static bool load(const struct stack_range *range, uintptr_t address, uintptr_t *ret)
{
	if (address >= range->start && address <= range->end - sizeof(uintptr_t) &&
	    !(address & (sizeof(uintptr_t) - 1))) {
		*ret = *(const uintptr_t *)address;
		return true;
	}
	return ht_stack_peek(address, ret);
}

static bool reg_get(const struct unwind_regs *regs, uint64_t reg, uintptr_t *ret)
{
	if (reg >= EH_REGS || !(regs->known & (uint64_t)1 << reg))
		return false;
	*ret = regs->value[reg];
	return true;
}

struct expr_cursor {
	const uint8_t *at, *end;
	bool bad;
};

static uint64_t expr_take(struct expr_cursor *cursor, unsigned bytes)
{
	uint64_t value = 0;

	if (cursor->end - cursor->at < (ptrdiff_t)bytes) {
		cursor->bad = true;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)cursor->at[i] << (8 * i);
	cursor->at += bytes;
	return value;
}

static uint64_t expr_leb(struct expr_cursor *cursor, bool is_signed)
{
	uint64_t value = 0, byte;
	unsigned shift = 0;

	do {
		byte = expr_take(cursor, 1);
		if (shift < 64)
			value |= (byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (is_signed && shift < 64 && byte & 0x40)
		value |= ~(uint64_t)0 << shift;
	return value;
}

static int64_t extend(uint64_t value, unsigned bytes)
{
	unsigned shift = 64 - 8 * bytes;

	return (int64_t)(value << shift) >> shift;
}

/* DWARF 5 section 2.5. `push`: the CFA, first on the stack. 0, -ENODATA: a register is not known,
 * -EBADMSG: an operation that does not belong here. */
static int expr_run(const uint8_t *code, uint32_t code_bytes, const struct unwind_regs *regs,
		    const struct stack_range *range, const uintptr_t *push, uintptr_t *ret)
{
	struct expr_cursor cursor = { code, code + code_bytes, false };
	uint64_t stack[EXPR_STACK], a, b;
	unsigned top = 0;
	uintptr_t word;

	if (push)
		stack[top++] = *push;
#define NEED(n)                          \
	do {                             \
		if (top < (n))           \
			return -EBADMSG; \
	} while (0)
	for (unsigned steps = 0; cursor.at < cursor.end; steps++) {
		uint8_t op = (uint8_t)expr_take(&cursor, 1);

		if (steps == EXPR_STEPS || top > EXPR_STACK - 2)
			return -EBADMSG;
		if (op >= 0x30 && op <= 0x4f) { /* lit0 .. lit31 */
			stack[top++] = op - 0x30u;
			continue;
		}
		if ((op >= 0x70 && op <= 0x8f) || op == 0x92) { /* breg0 .. breg31, bregx */
			uint64_t reg = op == 0x92 ? expr_leb(&cursor, false) : op - 0x70u;

			if (!reg_get(regs, reg, &word))
				return -ENODATA;
			stack[top++] = word + expr_leb(&cursor, true);
			continue;
		}
		switch (op) {
		case 0x03: /* addr */
		case 0x0e: /* const8u */
		case 0x0f: /* const8s */
			stack[top++] = expr_take(&cursor, 8);
			break;
		case 0x08: /* const1u, const1s, 2u, 2s, 4u, 4s */
		case 0x09:
		case 0x0a:
		case 0x0b:
		case 0x0c:
		case 0x0d: {
			unsigned bytes = 1u << ((op - 0x08) / 2);

			a = expr_take(&cursor, bytes);
			stack[top++] = op & 1 ? (uint64_t)extend(a, bytes) : a;
			break;
		}
		case 0x10: /* constu */
		case 0x11: /* consts */
			stack[top++] = expr_leb(&cursor, op == 0x11);
			break;
		case 0x06:   /* deref */
		case 0x94: { /* deref_size */
			uint64_t bytes = op == 0x94 ? expr_take(&cursor, 1) : 8;

			NEED(1);
			if (!load(range, stack[top - 1], &word))
				return -EBADMSG;
			if (bytes < 8)
				word &= ((uintptr_t)1 << (8 * bytes)) - 1;
			stack[top - 1] = word;
			break;
		}
		case 0x12: /* dup */
			NEED(1);
			stack[top] = stack[top - 1];
			top++;
			break;
		case 0x13: /* drop */
			NEED(1);
			top--;
			break;
		case 0x14: /* over */
			NEED(2);
			stack[top] = stack[top - 2];
			top++;
			break;
		case 0x16: /* swap */
			NEED(2);
			a = stack[top - 1];
			stack[top - 1] = stack[top - 2];
			stack[top - 2] = a;
			break;
		case 0x1f: /* neg */
			NEED(1);
			stack[top - 1] = -stack[top - 1];
			break;
		case 0x20: /* not */
			NEED(1);
			stack[top - 1] = ~stack[top - 1];
			break;
		case 0x23: /* plus_uconst */
			NEED(1);
			stack[top - 1] += expr_leb(&cursor, false);
			break;
		case 0x1a: /* and, and what else takes two */
		case 0x1c:
		case 0x1e:
		case 0x21:
		case 0x22:
		case 0x24:
		case 0x25:
		case 0x26:
		case 0x27:
		case 0x29:
		case 0x2a:
		case 0x2b:
		case 0x2c:
		case 0x2d:
		case 0x2e:
			NEED(2);
			b = stack[--top];
			a = stack[top - 1];
			switch (op) {
			case 0x1a:
				a &= b;
				break;
			case 0x1c:
				a -= b;
				break;
			case 0x1e:
				a *= b;
				break;
			case 0x21:
				a |= b;
				break;
			case 0x22:
				a += b;
				break;
			case 0x24:
				a = b < 64 ? a << b : 0;
				break;
			case 0x25:
				a = b < 64 ? a >> b : 0;
				break;
			case 0x26:
				a = (uint64_t)((int64_t)a >> (b < 64 ? b : 63));
				break;
			case 0x27:
				a ^= b;
				break;
			case 0x29:
				a = a == b;
				break;
			case 0x2a:
				a = (int64_t)a >= (int64_t)b;
				break;
			case 0x2b:
				a = (int64_t)a > (int64_t)b;
				break;
			case 0x2c:
				a = (int64_t)a <= (int64_t)b;
				break;
			case 0x2d:
				a = (int64_t)a < (int64_t)b;
				break;
			default:
				a = a != b;
				break;
			}
			stack[top - 1] = a;
			break;
		case 0x28:   /* bra */
		case 0x2f: { /* skip */
			int64_t jump = extend(expr_take(&cursor, 2), 2);

			if (op == 0x28) {
				NEED(1);
				if (!stack[--top])
					break;
			}
			if (jump < code - cursor.at || jump > cursor.end - cursor.at)
				return -EBADMSG;
			cursor.at += jump;
			break;
		}
		case 0x96: /* nop */
			break;
		default:
			return -EBADMSG;
		}
		if (cursor.bad)
			return -EBADMSG;
	}
	NEED(1);
#undef NEED
	*ret = stack[top - 1];
	return 0;
}

/* One register of the caller. -ENODATA: not known there either. */
static int rule_apply(const struct eh_rule *rule, unsigned reg, uintptr_t cfa,
		      const struct unwind_regs *regs, const struct stack_range *range,
		      uintptr_t *ret)
{
	uintptr_t at;
	int r;

	switch ((enum eh_rule_kind)rule->kind) {
	case EH_SAME:
		if (reg == EH_SP) {
			*ret = cfa;
			return 0;
		}
		return reg_get(regs, reg, ret) ? 0 : -ENODATA;
	case EH_UNDEFINED:
		return -ENODATA;
	case EH_AT_CFA:
		return load(range, cfa + (uintptr_t)rule->value, ret) ? 0 : -EFAULT;
	case EH_IS_CFA:
		*ret = cfa + (uintptr_t)rule->value;
		return 0;
	case EH_REGISTER:
		return reg_get(regs, (uint64_t)rule->value, ret) ? 0 : -ENODATA;
	case EH_AT_EXPR:
		r = expr_run(rule->code, rule->code_bytes, regs, range, &cfa, &at);
		if (r < 0)
			return r;
		return load(range, at, ret) ? 0 : -EFAULT;
	case EH_IS_EXPR:
		return expr_run(rule->code, rule->code_bytes, regs, range, &cfa, ret);
	}
	return -EBADMSG;
}

/* The registers of the caller of the frame `regs` are of. regs->value[EH_RA] is the frame's pc. */
static int step_full(const struct unwind_regs *regs, const struct stack_range *range,
		     struct unwind_regs *ret)
{
	struct unwind_regs caller = { .known = 0, .interrupted = false };
	struct eh_object object;
	struct eh_row row;
	uintptr_t cfa, pc = regs->value[EH_RA];
	int r;

	if (!ht_module_find(pc - 1, &object))
		return -ENOENT;
	r = ht_eh_row(&object, pc - 1, &row);
	if (r < 0)
		return r;
	if (row.rules[row.ra_column].kind == EH_UNDEFINED) {
		caller.value[EH_RA] = 0;
		*ret = caller;
		return 0;
	}
	if (row.cfa_is_expr) {
		r = expr_run(row.cfa_expr.code, row.cfa_expr.bytes, regs, range, NULL, &cfa);
		if (r < 0)
			return r;
	} else {
		if (!reg_get(regs, row.cfa_register, &cfa))
			return -ENODATA;
		cfa += (uintptr_t)row.cfa_offset;
	}
	for (unsigned reg = 0; reg < EH_REGS; reg++) {
		uintptr_t value;

		if (row.rules[reg].kind == EH_SAME && reg == row.ra_column && reg != EH_SP)
			continue; /* no rule for it: malformed, noticed below */
		r = rule_apply(&row.rules[reg], reg, cfa, regs, range, &value);
		if (r == -ENODATA)
			continue;
		if (r < 0)
			return r;
		caller.value[reg] = value;
		caller.known |= (uint64_t)1 << reg;
	}
	if (!(caller.known & (uint64_t)1 << row.ra_column))
		return -ENODATA;
	caller.value[EH_RA] = caller.value[row.ra_column];
	if (row.signal_frame && caller.value[EH_RA]) {
		caller.value[EH_RA]++; /* the place itself, not a return address behind a call */
		caller.interrupted = true;
	}
	*ret = caller;
	return 0;
}

static bool regs_are_of(const struct unwind_regs *regs, const struct stack_state *state)
{
	return regs->value[EH_SP] == state->sp && regs->value[EH_RA] == state->pc;
}

/* Registers of the frame `from` describes, recovered by walking there: from the latest frame whose
 * registers are known, or from our own. */
static int regs_recover(const struct unwind_regs *latest, const struct stack_state *from,
			const struct stack_range *range, struct code_view *code,
			struct unwind_regs *ret)
{
	struct unwind_regs regs = *latest;
	const uintptr_t *record;
	int r;

	if (!regs.known) {
		ht_unwind_own_regs(&regs);
		regs.interrupted = false;
	}
	for (unsigned i = 0; i < OWN_FRAMES; i++) {
		if (regs_are_of(&regs, from)) {
			*ret = regs;
			return 0;
		}
		r = step_full(&regs, range, &regs);
		if (r == -ENOENT)
			r = ht_unwind_without_row(&regs, range, code, &regs, &record);
		if (r < 0)
			return r;
		if (!regs.value[EH_RA])
			break;
	}
	return -ENODATA;
}

int ht_stack_step_slow(const struct stack_state *from, uint64_t row,
		       const struct stack_range *range, struct code_view *code,
		       struct unwind_regs *latest, struct stack_state *ret_next)
{
	const uint64_t needed = (uint64_t)1 << EH_SP | (uint64_t)1 << EH_FP;
	struct unwind_regs regs = { .known = (uint64_t)1 << EH_RA | needed };
	struct unwind_regs caller = { .known = 0 };
	const uintptr_t *record = NULL;
	bool known = latest->known && regs_are_of(latest, from);
	int r;

	ret_next->pc_at = &ht_stack_never;
	ret_next->fp_at = NULL;
	ret_next->cfa_at = NULL;
	ret_next->pc = 0;
	regs.value[EH_RA] = from->pc;
	regs.value[EH_SP] = from->sp;
	regs.value[EH_FP] = from->fp;
	if (known)
		regs = *latest;
	if (row_kind(row) == ROW_MISSING) {
		r = ht_unwind_without_row(&regs, range, code, &caller, &record);
		if (r == -ENOENT)
			return STACK_CUT_NO_ROW;
	} else if (ht_unwind_returning(&regs, range, code, &caller)) {
		r = 0;
	} else {
		r = step_full(&regs, range, &caller);
		if (!known && (r == -ENODATA || (r == 0 && caller.value[EH_RA] &&
						 (caller.known & needed) != needed))) {
			r = regs_recover(latest, from, range, code, &regs);
			if (r == 0)
				r = step_full(&regs, range, &caller);
		}
	}
	if (r < 0)
		return STACK_CUT_ODD_RULE;
	if (!caller.value[EH_RA])
		return STACK_CUT_NONE;
	if (!(caller.known & (uint64_t)1 << EH_SP))
		return STACK_CUT_ODD_RULE;
	if (record) {
		ret_next->fp_at = record;
		ret_next->pc_at = record + 1;
	}
	ret_next->pc = caller.value[EH_RA];
	ret_next->sp = caller.value[EH_SP];
	ret_next->fp = caller.known & (uint64_t)1 << EH_FP ? caller.value[EH_FP] : 0;
	*latest = caller;
	return STACK_CUT_NONE;
}
