/* Reading .eh_frame_hdr and .eh_frame, and running the CFA program: see eh_frame.h. */
#include <errno.h>
#include <string.h>

#include "shim/stack/eh_frame.h"

#define REMEMBER_DEPTH 3 /* nested DW_CFA_remember_state; compilers nest one */

enum pointer_encoding {
	ENC_ABSPTR = 0x00,
	ENC_ULEB = 0x01,
	ENC_UDATA2 = 0x02,
	ENC_UDATA4 = 0x03,
	ENC_UDATA8 = 0x04,
	ENC_SLEB = 0x09,
	ENC_SDATA2 = 0x0a,
	ENC_SDATA4 = 0x0b,
	ENC_SDATA8 = 0x0c,
	ENC_FORMAT = 0x0f,
	ENC_PCREL = 0x10,
	ENC_DATAREL = 0x30,
	ENC_BASE = 0x70,
	ENC_INDIRECT = 0x80,
	ENC_OMIT = 0xff,
};

/* Reads within [at, end); reading past the end yields 0 and sets `bad` for good. */
struct cursor {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

struct cie {
	uint64_t code_align;
	int64_t data_align;
	uint64_t ra_column;
	uint8_t fde_encoding;
	bool has_augmentation_data;
	bool signal_frame;
	struct cursor program;
};

struct fde {
	struct cie cie;
	uintptr_t start, end;
	struct cursor program;
};

static inline __attribute__((always_inline)) uint64_t take(struct cursor *cursor, size_t bytes)
{
	uint64_t value = 0;

	if (cursor->bad || !cursor->at || (size_t)(cursor->end - cursor->at) < bytes) {
		cursor->bad = true;
		return 0;
	}
	memcpy(&value, cursor->at, bytes);
	cursor->at += bytes;
	return value;
}

static inline uint64_t take_uleb(struct cursor *cursor)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	if (cursor->at < cursor->end && *cursor->at < 0x80)
		return *cursor->at++;
	do {
		byte = (uint8_t)take(cursor, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return value;
}

static int64_t take_sleb(struct cursor *cursor)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = (uint8_t)take(cursor, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (shift < 64 && byte & 0x40)
		value |= ~0ull << shift;
	return (int64_t)value;
}

static void skip(struct cursor *cursor, uint64_t bytes)
{
	if (cursor->bad || (uint64_t)(cursor->end - cursor->at) < bytes)
		cursor->bad = true;
	else
		cursor->at += bytes;
}

/* An encoded pointer. Indirect ones are only skipped (personality routines). */
static uintptr_t take_pointer(struct cursor *cursor, uint8_t encoding, uintptr_t data_base)
{
	uintptr_t here = (uintptr_t)cursor->at, value;

	if (encoding == ENC_OMIT)
		return 0;
	switch (encoding & ENC_FORMAT) {
	case ENC_ABSPTR:
	case ENC_UDATA8:
	case ENC_SDATA8:
		value = take(cursor, 8);
		break;
	case ENC_ULEB:
		value = take_uleb(cursor);
		break;
	case ENC_SLEB:
		value = (uintptr_t)take_sleb(cursor);
		break;
	case ENC_UDATA2:
		value = take(cursor, 2);
		break;
	case ENC_SDATA2:
		value = (uintptr_t)(int16_t)take(cursor, 2);
		break;
	case ENC_UDATA4:
		value = take(cursor, 4);
		break;
	case ENC_SDATA4:
		value = (uintptr_t)(int32_t)take(cursor, 4);
		break;
	default:
		cursor->bad = true;
		return 0;
	}
	switch (encoding & ENC_BASE) {
	case 0:
		break;
	case ENC_PCREL:
		value += here;
		break;
	case ENC_DATAREL:
		value += data_base;
		break;
	default:
		cursor->bad = true;
		return 0;
	}
	return value;
}

/* The entry (CIE or FDE) at `address`: its id field and what follows. 0-length is an end mark. */
static bool entry_open(const struct eh_object *object, uintptr_t address, struct cursor *ret,
		       uint32_t *ret_id, uintptr_t *ret_id_at)
{
	struct cursor cursor = { .end = (const uint8_t *)object->data_end };
	uint64_t bytes;

	if (address < object->data_start || address >= object->data_end)
		return false;
	cursor.at = (const uint8_t *)address;
	bytes = take(&cursor, 4);
	if (bytes == 0xffffffff)
		bytes = take(&cursor, 8);
	if (cursor.bad || bytes < 4 || bytes > (uint64_t)(cursor.end - cursor.at))
		return false;
	cursor.end = cursor.at + bytes;
	*ret_id_at = (uintptr_t)cursor.at;
	*ret_id = (uint32_t)take(&cursor, 4);
	*ret = cursor;
	return true;
}

static bool cie_read(const struct eh_object *object, uintptr_t address, struct cie *ret)
{
	struct cie cie = { .code_align = 1, .data_align = 1 };
	struct cursor cursor;
	const char *augmentation;
	uintptr_t id_at;
	uint32_t id;
	uint8_t version;

	if (!entry_open(object, address, &cursor, &id, &id_at) || id != 0)
		return false;
	version = (uint8_t)take(&cursor, 1);
	if (version != 1 && version != 3 && version != 4)
		return false;
	augmentation = (const char *)cursor.at;
	while (take(&cursor, 1))
		;
	if (version == 4)
		skip(&cursor, 2); /* address and segment sizes */
	cie.code_align = take_uleb(&cursor);
	cie.data_align = take_sleb(&cursor);
	cie.ra_column = version == 1 ? take(&cursor, 1) : take_uleb(&cursor);
	if (cursor.bad)
		return false;
	if (*augmentation == 'z') {
		uint64_t bytes = take_uleb(&cursor);
		struct cursor data = cursor;

		skip(&cursor, bytes);
		if (cursor.bad)
			return false;
		data.end = cursor.at;
		cie.has_augmentation_data = true;
		for (augmentation++; *augmentation; augmentation++) {
			switch (*augmentation) {
			case 'R':
				cie.fde_encoding = (uint8_t)take(&data, 1);
				break;
			case 'P':
				take_pointer(&data, (uint8_t)take(&data, 1), 0);
				break;
			case 'L':
				skip(&data, 1);
				break;
			case 'S':
				cie.signal_frame = true;
				break;
			case 'B':
				break;
			default:
				return false;
			}
		}
		if (data.bad)
			return false;
	} else if (*augmentation) {
		return false;
	}
	cie.program = cursor;
	*ret = cie;
	return true;
}

static int fde_read(const struct eh_object *object, uintptr_t address, struct fde *ret)
{
	struct cursor cursor;
	struct fde fde;
	uintptr_t id_at;
	uint32_t id;

	if (!entry_open(object, address, &cursor, &id, &id_at) || id == 0)
		return -EBADMSG;
	if (!cie_read(object, id_at - id, &fde.cie))
		return -EBADMSG;
	fde.start = take_pointer(&cursor, fde.cie.fde_encoding, 0);
	fde.end = fde.start + take_pointer(&cursor, fde.cie.fde_encoding & ENC_FORMAT, 0);
	if (fde.cie.has_augmentation_data)
		skip(&cursor, take_uleb(&cursor));
	if (cursor.bad)
		return -EBADMSG;
	fde.program = cursor;
	*ret = fde;
	return 0;
}

/* Without a usable search table: every entry of .eh_frame in turn. */
static int fde_scan(const struct eh_object *object, uintptr_t section, uintptr_t pc,
		    struct fde *ret)
{
	struct cursor cursor;
	uintptr_t id_at;
	uint32_t id;

	while (entry_open(object, section, &cursor, &id, &id_at)) {
		if (id && fde_read(object, section, ret) == 0 && pc >= ret->start && pc < ret->end)
			return 0;
		section = (uintptr_t)cursor.end;
	}
	return -ENOENT;
}

static int fde_find(const struct eh_object *object, uintptr_t pc, struct fde *ret)
{
	struct cursor cursor = { (const uint8_t *)object->hdr, (const uint8_t *)object->data_end,
				 false };
	uint8_t version, section_encoding, count_encoding, table_encoding;
	uintptr_t section;
	uint64_t count, low, high;
	int32_t wanted;
	int r;

	if (!object->hdr || object->hdr < object->data_start || object->hdr >= object->data_end)
		return -ENOENT;
	version = (uint8_t)take(&cursor, 1);
	section_encoding = (uint8_t)take(&cursor, 1);
	count_encoding = (uint8_t)take(&cursor, 1);
	table_encoding = (uint8_t)take(&cursor, 1);
	section = take_pointer(&cursor, section_encoding, object->hdr);
	count = take_pointer(&cursor, count_encoding, object->hdr);
	if (cursor.bad || version != 1)
		return -EBADMSG;
	if (count_encoding == ENC_OMIT || table_encoding != (ENC_DATAREL | ENC_SDATA4))
		return fde_scan(object, section, pc, ret);
	if (count == 0)
		return -ENOENT;
	if (count > (uint64_t)(cursor.end - cursor.at) / 8)
		return -EBADMSG;
	if ((intptr_t)(pc - object->hdr) != (int32_t)(pc - object->hdr))
		return -ENOENT;
	wanted = (int32_t)(pc - object->hdr);

	/* The last entry { function, FDE }, both relative to the header, that does not begin after
	 * pc. */
	low = 0;
	high = count;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		int32_t start;

		memcpy(&start, cursor.at + middle * 8, 4);
		if (start <= wanted)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return -ENOENT;
	memcpy(&wanted, cursor.at + (low - 1) * 8 + 4, 4);
	r = fde_read(object, object->hdr + (intptr_t)wanted, ret);
	if (r < 0)
		return r;
	return pc >= ret->start && pc < ret->end ? 0 : -ENOENT;
}

static struct eh_expr take_block(struct cursor *cursor)
{
	uint64_t bytes = take_uleb(cursor);
	struct eh_expr expr = { cursor->at, (uint32_t)bytes };

	skip(cursor, bytes);
	return expr;
}

static void rule_set(struct eh_row *row, uint64_t reg, enum eh_rule_kind kind, int64_t value)
{
	if (reg < EH_REGS)
		row->rules[reg] = (struct eh_rule){ .kind = (uint8_t)kind, .value = value };
}

static void rule_set_expr(struct eh_row *row, uint64_t reg, enum eh_rule_kind kind,
			  struct eh_expr expr)
{
	if (reg < EH_REGS)
		row->rules[reg] = (struct eh_rule){ .kind = (uint8_t)kind,
						    .code = expr.code,
						    .code_bytes = expr.bytes };
}

/* An operand in units of the CIE's data alignment; nonsense wraps around. */
static inline int64_t scaled(const struct cie *cie, uint64_t factor)
{
	return (int64_t)(factor * (uint64_t)cie->data_align);
}

/* CFA instructions, DWARF 5 table 7.29. */
enum cfa_op {
	CFA_NOP = 0x00,
	CFA_SET_LOC = 0x01,
	CFA_ADVANCE_LOC1 = 0x02,
	CFA_ADVANCE_LOC2 = 0x03,
	CFA_ADVANCE_LOC4 = 0x04,
	CFA_OFFSET_EXTENDED = 0x05,
	CFA_RESTORE_EXTENDED = 0x06,
	CFA_UNDEFINED = 0x07,
	CFA_SAME_VALUE = 0x08,
	CFA_REGISTER = 0x09,
	CFA_REMEMBER_STATE = 0x0a,
	CFA_RESTORE_STATE = 0x0b,
	CFA_DEF_CFA = 0x0c,
	CFA_DEF_CFA_REGISTER = 0x0d,
	CFA_DEF_CFA_OFFSET = 0x0e,
	CFA_DEF_CFA_EXPRESSION = 0x0f,
	CFA_EXPRESSION = 0x10,
	CFA_OFFSET_EXTENDED_SF = 0x11,
	CFA_DEF_CFA_SF = 0x12,
	CFA_DEF_CFA_OFFSET_SF = 0x13,
	CFA_VAL_OFFSET = 0x14,
	CFA_VAL_OFFSET_SF = 0x15,
	CFA_VAL_EXPRESSION = 0x16,
	CFA_AARCH64_NEGATE_RA_STATE = 0x2d,
	CFA_GNU_ARGS_SIZE = 0x2e,
	CFA_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
	CFA_ADVANCE_LOC = 0x40,
	CFA_OFFSET = 0x80,
	CFA_RESTORE = 0xc0,
};

/*
 * Runs instructions until the row for pc is complete. initial: the row after the CIE's own
 * instructions, for DW_CFA_restore; NULL while running those.
 */
static bool program_run(struct cursor cursor, const struct fde *fde, uintptr_t pc,
			const struct eh_row *initial, struct eh_row *row)
{
	const struct cie *cie = &fde->cie;
	struct eh_row saved[REMEMBER_DEPTH];
	uintptr_t location = fde->start;
	unsigned depth = 0;

	while (cursor.at < cursor.end && !cursor.bad) {
		uint8_t op = (uint8_t)take(&cursor, 1);
		uint64_t reg, advance = 0;

		switch (op & 0xc0) {
		case CFA_ADVANCE_LOC:
			location += (op & 0x3f) * cie->code_align;
			if (location > pc)
				return true;
			continue;
		case CFA_OFFSET:
			rule_set(row, op & 0x3f, EH_AT_CFA, scaled(cie, take_uleb(&cursor)));
			continue;
		case CFA_RESTORE:
			if (!initial)
				return false;
			if ((op & 0x3f) < EH_REGS)
				row->rules[op & 0x3f] = initial->rules[op & 0x3f];
			continue;
		default:
			break;
		}
		switch (op) {
		case CFA_NOP:
		case CFA_AARCH64_NEGATE_RA_STATE:
			continue;
		case CFA_SET_LOC:
			location = take_pointer(&cursor, cie->fde_encoding, 0);
			break;
		case CFA_ADVANCE_LOC1:
			advance = take(&cursor, 1);
			break;
		case CFA_ADVANCE_LOC2:
			advance = take(&cursor, 2);
			break;
		case CFA_ADVANCE_LOC4:
			advance = take(&cursor, 4);
			break;
		case CFA_OFFSET_EXTENDED:
			reg = take_uleb(&cursor);
			rule_set(row, reg, EH_AT_CFA, scaled(cie, take_uleb(&cursor)));
			continue;
		case CFA_OFFSET_EXTENDED_SF:
			reg = take_uleb(&cursor);
			rule_set(row, reg, EH_AT_CFA, scaled(cie, (uint64_t)take_sleb(&cursor)));
			continue;
		case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
			reg = take_uleb(&cursor);
			rule_set(row, reg, EH_AT_CFA, scaled(cie, 0 - take_uleb(&cursor)));
			continue;
		case CFA_VAL_OFFSET:
			reg = take_uleb(&cursor);
			rule_set(row, reg, EH_IS_CFA, scaled(cie, take_uleb(&cursor)));
			continue;
		case CFA_VAL_OFFSET_SF:
			reg = take_uleb(&cursor);
			rule_set(row, reg, EH_IS_CFA, scaled(cie, (uint64_t)take_sleb(&cursor)));
			continue;
		case CFA_RESTORE_EXTENDED:
			reg = take_uleb(&cursor);
			if (!initial)
				return false;
			if (reg < EH_REGS)
				row->rules[reg] = initial->rules[reg];
			continue;
		case CFA_UNDEFINED:
			rule_set(row, take_uleb(&cursor), EH_UNDEFINED, 0);
			continue;
		case CFA_SAME_VALUE:
			rule_set(row, take_uleb(&cursor), EH_SAME, 0);
			continue;
		case CFA_REGISTER:
			reg = take_uleb(&cursor);
			rule_set(row, reg, EH_REGISTER, (int64_t)take_uleb(&cursor));
			continue;
		case CFA_REMEMBER_STATE:
			if (depth == REMEMBER_DEPTH)
				return false;
			saved[depth++] = *row;
			continue;
		case CFA_RESTORE_STATE:
			if (depth == 0)
				return false;
			*row = saved[--depth];
			continue;
		case CFA_DEF_CFA:
			row->cfa_is_expr = false;
			row->cfa_register = (uint8_t)take_uleb(&cursor);
			row->cfa_offset = (int64_t)take_uleb(&cursor);
			continue;
		case CFA_DEF_CFA_SF:
			row->cfa_is_expr = false;
			row->cfa_register = (uint8_t)take_uleb(&cursor);
			row->cfa_offset = scaled(cie, (uint64_t)take_sleb(&cursor));
			continue;
		case CFA_DEF_CFA_REGISTER:
			row->cfa_is_expr = false;
			row->cfa_register = (uint8_t)take_uleb(&cursor);
			continue;
		case CFA_DEF_CFA_OFFSET:
			row->cfa_offset = (int64_t)take_uleb(&cursor);
			continue;
		case CFA_DEF_CFA_OFFSET_SF:
			row->cfa_offset = scaled(cie, (uint64_t)take_sleb(&cursor));
			continue;
		case CFA_DEF_CFA_EXPRESSION:
			row->cfa_is_expr = true;
			row->cfa_expr = take_block(&cursor);
			continue;
		case CFA_EXPRESSION:
			reg = take_uleb(&cursor);
			rule_set_expr(row, reg, EH_AT_EXPR, take_block(&cursor));
			continue;
		case CFA_VAL_EXPRESSION:
			reg = take_uleb(&cursor);
			rule_set_expr(row, reg, EH_IS_EXPR, take_block(&cursor));
			continue;
		case CFA_GNU_ARGS_SIZE:
			take_uleb(&cursor);
			continue;
		default:
			return false;
		}
		location += advance * cie->code_align;
		if (location > pc)
			return true;
	}
	return !cursor.bad;
}

int ht_eh_row(const struct eh_object *object, uintptr_t pc, struct eh_row *ret_row)
{
	struct eh_row initial;
	struct fde fde;
	int r;

	r = fde_find(object, pc, &fde);
	if (r < 0)
		return r;
	memset(&initial, 0, sizeof(initial));
	if (!program_run(fde.cie.program, &fde, UINTPTR_MAX, NULL, &initial))
		return -EBADMSG;
	initial.function = fde.start;
	initial.signal_frame = fde.cie.signal_frame;
	initial.ra_column = fde.cie.ra_column < EH_REGS ? (uint8_t)fde.cie.ra_column : EH_RA;
	*ret_row = initial;
	if (!program_run(fde.program, &fde, pc, &initial, ret_row))
		return -EBADMSG;
	return 0;
}

#define OP_DEREF 0x06
#define OP_BREG0 0x70

/* Expression "register EH_FP + n", followed by a dereference when deref is set. */
static bool expr_is_fp_offset(struct eh_expr expr, bool deref, int64_t *ret_offset)
{
	struct cursor cursor = { expr.code, expr.code + expr.bytes, false };

	if (take(&cursor, 1) != OP_BREG0 + EH_FP)
		return false;
	*ret_offset = take_sleb(&cursor);
	if (deref && take(&cursor, 1) != OP_DEREF)
		return false;
	return !cursor.bad && cursor.at == cursor.end;
}

static bool fits_24(int64_t value)
{
	return value >= -(1 << 23) && value < 1 << 23;
}

uint64_t ht_eh_compile(const struct eh_row *row)
{
	const struct eh_rule *ra = &row->rules[EH_RA], *fp = &row->rules[EH_FP];
	int64_t cfa_offset = row->cfa_offset, fp_offset = -(int64_t)sizeof(void *);
	enum row_fp fp_rule = ROW_FP_SAME;
	enum row_kind kind;

	if (row->ra_column != EH_RA || row->signal_frame)
		return ROW_SLOW;
	if (ra->kind == EH_UNDEFINED)
		return ROW_END;
	if (ra->kind != EH_AT_CFA || ra->value != -(int64_t)sizeof(void *))
		return ROW_SLOW;
	if (row->rules[EH_SP].kind != EH_SAME)
		return ROW_SLOW;
	if (row->cfa_is_expr) {
		if (!expr_is_fp_offset(row->cfa_expr, true, &cfa_offset))
			return ROW_SLOW;
		kind = ROW_FP_DEREF;
	} else if (row->cfa_register == EH_SP) {
		kind = ROW_SP;
	} else if (row->cfa_register == EH_FP) {
		kind = ROW_FP;
	} else {
		return ROW_SLOW;
	}
	switch (fp->kind) {
	case EH_SAME:
		break;
	case EH_AT_CFA:
		fp_rule = ROW_FP_AT_CFA;
		fp_offset = fp->value;
		break;
	case EH_AT_EXPR:
		if (!expr_is_fp_offset((struct eh_expr){ fp->code, fp->code_bytes }, false,
				       &fp_offset))
			return ROW_SLOW;
		fp_rule = ROW_FP_AT_FP;
		break;
	default:
		return ROW_SLOW;
	}
	if (!fits_24(cfa_offset) || !fits_24(fp_offset))
		return ROW_SLOW;
	return row_make(kind, (int32_t)cfa_offset, fp_rule, (int32_t)fp_offset);
}
