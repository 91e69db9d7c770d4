/*
 * Follows x86-64 code as far as it can be foreseen: straight on at conditional jumps and calls,
 * along direct jumps, until it restores rbp or cannot be followed further. Only what happens to
 * rsp and rbp matters. An instruction that is not known ends it, one that may change rbp otherwise
 * refutes it: so a mistake can only cost a caller, not invent one.
 */
#include "shim/stack/unwind_proof.h"

#include "shim/stack/range.h"

#if defined(__x86_64__)
#include <stddef.h>
#include <string.h>

#define STEPS_MAX 1024
#define PATHS_MAX 32
#define FRAME_MAX (1 << 20)
#define LIKELY_FRAME_MAX (8 << 10)
#define RETURN 8
#define ADDRESS_BITS 47
#define INSTRUCTION_BYTES_MAX 15
#define LOCAL_CALL_BYTES 16

/* Registers. */
#define RSP 4
#define RBP 5
#define NONE 16

/*
 * What follows an opcode: m ModRM, b ModRM and a byte, n ModRM and a word of operand size,
 * 1 a byte, 4 a word of operand size, i a word of register size, 0 nothing, x: not followed.
 */
static const char one_byte[] = "mmmm14xxmmmm14xx"
			       "mmmm14xxmmmm14xx"
			       "mmmm14xxmmmm14xx"
			       "mmmm14xxmmmm14xx"
			       "xxxxxxxxxxxxxxxx"
			       "0000000000000000"
			       "xxxmxxxx4n1bxxxx"
			       "1111111111111111"
			       "bnxbmmmmmmmmxmxm"
			       "0000000000x0xxxx"
			       "xxxx000014000000"
			       "11111111iiiiiiii"
			       "bbx0xxbnx0xxxxxx"
			       "mmmmxxxxmmmmmmmm"
			       "xxx1xxxx44x1xxxx"
			       "xxxxx0mmxxxx0xmm";

/* After 0f. */
static const char two_bytes[] = "xxxxx0xxxxxxxmxx"
				"mmmmmmmmmmmmmmmm"
				"xxxxxxxxmmmmmmmm"
				"x0xxxxxxxxxxxxxx"
				"mmmmmmmmmmmmmmmm"
				"mmmmmmmmmmmmmmmm"
				"mmmmmmmmmmmmmmmm"
				"bbbbmmm0xxxxmmmm"
				"4444444444444444"
				"mmmmmmmmmmmmmmmm"
				"xx0mbmxxxxxmbmmm"
				"mmxmxxmmmxbmmmmm"
				"mmbmbbbm00000000"
				"mmmmmmmmmmmmmmmm"
				"mmmmmmmmmmmmmmmm"
				"mmmmmmmmmmmmmmmx";

enum map {
	MAP_ONE,
	MAP_0F,
	MAP_0F38,
	MAP_0F3A,
};

struct instruction {
	enum map map;
	uint8_t op;
	uint8_t rex;
	bool vector;	/* VEX or EVEX */
	bool has_modrm; /* then mod, reg and rm; reg and rm with the bits of REX */
	uint8_t mod, reg, rm;
	uint8_t base; /* of a memory operand; NONE: or with an index */
	int32_t displacement;
	int64_t immediate;
	unsigned bytes;
};

struct bytes {
	const uint8_t *at, *end;
	bool bad;
};

static int64_t take(struct bytes *from, unsigned bytes)
{
	int64_t value = 0;

	if (from->end - from->at < (ptrdiff_t)bytes) {
		from->bad = true;
		return 0;
	}
	memcpy(&value, from->at, bytes);
	from->at += bytes;
	if (bytes && bytes < 8)
		value = (int64_t)((uint64_t)value << (64 - 8 * bytes)) >> (64 - 8 * bytes);
	return value;
}

static void take_modrm(struct bytes *from, struct instruction *in)
{
	uint8_t modrm = (uint8_t)take(from, 1), sib = 0x20;

	in->has_modrm = true;
	in->mod = modrm >> 6;
	in->reg = (modrm >> 3 & 7) | (in->rex & 4) << 1;
	in->rm = (modrm & 7) | (in->rex & 1) << 3;
	in->base = NONE;
	if (in->mod == 3)
		return;
	if ((modrm & 7) == RSP)
		sib = (uint8_t)take(from, 1);
	if ((modrm & 7) != RSP)
		in->base = in->rm;
	else if ((sib >> 3 & 7) == RSP && !(in->rex & 2))
		in->base = (sib & 7) | (in->rex & 1) << 3;
	if (in->mod == 1) {
		in->displacement = (int32_t)take(from, 1);
	} else if (in->mod == 2) {
		in->displacement = (int32_t)take(from, 4);
	} else if ((modrm & 7) == RBP || ((modrm & 7) == RSP && (sib & 7) == RBP)) {
		take(from, 4);
		in->base = NONE;
	}
}

/* VEX and EVEX have the bits of REX inverted. */
static void take_vector_prefix(struct bytes *from, uint8_t first, struct instruction *in)
{
	uint8_t a = (uint8_t)take(from, 1);

	in->vector = true;
	in->rex = (uint8_t)~a >> 5 & (first == 0xc5 ? 4 : 7);
	in->map = first == 0xc5 ? MAP_0F : (enum map)(a & 7);
	if (first != 0xc5)
		take(from, 1);
	if (first == 0x62)
		take(from, 1);
	if (in->map == MAP_ONE || in->map > MAP_0F3A)
		from->bad = true;
}

/* False: not known, or not to be read. */
static bool decode(const uint8_t *code, const uint8_t *end, struct instruction *ret)
{
	struct instruction in = { .map = MAP_ONE };
	struct bytes from = { code, end, false };
	unsigned word = 4;
	uint8_t byte;
	char form;

	for (;;) {
		byte = (uint8_t)take(&from, 1);
		if (byte == 0x66)
			word = 2;
		else if (byte != 0xf2 && byte != 0xf3 && byte != 0x2e && byte != 0x36 &&
			 byte != 0x3e && byte != 0x26 && byte != 0x64 && byte != 0x65 &&
			 byte != 0xf0)
			break;
		if (from.bad)
			return false;
	}
	if ((byte & 0xf0) == 0x40) {
		in.rex = byte & 15;
		byte = (uint8_t)take(&from, 1);
	}
	if (byte == 0xc4 || byte == 0xc5 || byte == 0x62) {
		take_vector_prefix(&from, byte, &in);
		byte = (uint8_t)take(&from, 1);
	} else if (byte == 0x0f) {
		in.map = MAP_0F;
		byte = (uint8_t)take(&from, 1);
		if (byte == 0x38 || byte == 0x3a) {
			in.map = byte == 0x38 ? MAP_0F38 : MAP_0F3A;
			byte = (uint8_t)take(&from, 1);
		}
	}
	in.op = byte;
	form = in.map == MAP_ONE    ? one_byte[byte]
	       : in.map == MAP_0F   ? two_bytes[byte]
	       : in.map == MAP_0F38 ? 'm'
				    : 'b';
	if (form == 'm' || form == 'b' || form == 'n')
		take_modrm(&from, &in);
	if (in.map == MAP_ONE && (byte == 0xf6 || byte == 0xf7) && (in.reg & 7) < 2)
		form = byte == 0xf6 ? 'b' : 'n';
	if (in.map == MAP_ONE ? byte == 0xe8 || byte == 0xe9 : (byte & 0xf0) == 0x80)
		word = 4; /* a distance, of this size always */
	if (form == 'b' || form == '1')
		in.immediate = take(&from, 1);
	else if (form == 'n' || form == '4')
		in.immediate = take(&from, word);
	else if (form == 'i')
		in.immediate = take(&from, in.rex & 8 ? 8 : word);
	in.bytes = (unsigned)(from.at - code);
	*ret = in;
	return form != 'x' && !from.bad && in.bytes <= INSTRUCTION_BYTES_MAX;
}

/* Whether it may change this register by its operands; with doubt, yes. */
static bool may_write(const struct instruction *in, uint8_t reg)
{
	bool is_reg = in->has_modrm && in->reg == reg;
	bool is_rm = in->has_modrm && in->mod == 3 && in->rm == reg;
	uint8_t op = in->op, low = (op & 7) | (in->rex & 1) << 3;

	if (in->map == MAP_0F38) /* vectors; then bit fields, of which one writes what VEX names */
		return op >= 0xf0 && (is_reg || is_rm || op == 0xf3);
	if (in->map == MAP_0F3A)
		return is_reg || is_rm;
	if (in->map == MAP_0F) {
		switch (op >> 4) {
		case 0x1: /* vectors, and hints that do nothing */
		case 0x6:
		case 0xd:
		case 0xe:
		case 0xf:
			return op == 0xd7 && is_reg;
		case 0x2:
			return (op == 0x2c || op == 0x2d) && is_reg;
		case 0x5:
			return op == 0x50 && is_reg;
		case 0x7:
			return op == 0x7e && is_rm;
		case 0xc:
			return is_reg || is_rm || (op >= 0xc8 && low == reg);
		default:
			return is_reg || is_rm;
		}
	}
	if (op < 0x40)
		return (op & 0x38) != 0x38 && (op & 7) < 4 && (op & 2 ? is_reg : is_rm);
	switch (op) {
	case 0x84: /* test */
	case 0x85:
		return false;
	case 0x80: /* /7: cmp */
	case 0x81:
	case 0x83:
		return is_rm && (in->reg & 7) != 7;
	case 0x88:
	case 0x89:
		return is_rm;
	case 0x63:
	case 0x69:
	case 0x6b:
	case 0x8a:
	case 0x8b:
	case 0x8d:
		return is_reg;
	case 0xf6: /* test, and what writes elsewhere */
	case 0xf7:
		return is_rm && ((in->reg & 7) == 2 || (in->reg & 7) == 3);
	case 0xff: /* inc and dec; call, jmp and push */
		return is_rm && (in->reg & 7) < 2;
	case 0x86: /* xchg */
	case 0x87:
		return is_reg || is_rm;
	default:
		if ((op >= 0x58 && op <= 0x5f) || (op >= 0x90 && op <= 0x97) ||
		    (op >= 0xb0 && op <= 0xbf))
			return low == reg;
		return is_rm && (op < 0xd8 || op > 0xdf);
	}
}

/* A way through the code, from pc on. Places on the stack are distances from fp: at 0 lies the
 * caller's fp, and the return address at RETURN. */
struct path {
	uintptr_t pc;
	int32_t rsp;
	int32_t high; /* words below this were popped: none is the return address */
	bool rsp_known;
	bool rsp_exact;	      /* not only if those it called leave their arguments to it */
	bool restored;	      /* rbp is the caller's again, from where it pointed */
	bool returns;	      /* the return address from beside it is on top of the stack */
	uint8_t ret_register; /* that holds this return address; NONE */
};

struct search {
	uintptr_t fp;
	int32_t low;	/* where the frame begins, from fp */
	int32_t high;	/* of all paths */
	bool variables; /* something is accessed at rbp - n, within the frame */
	bool refuted;	/* the frame is left without rbp, or with another return address */
	unsigned steps, paths_used;
	struct path paths[PATHS_MAX];
	struct code_view *code;
};

static bool instruction_at(struct code_view *code, uintptr_t pc, struct instruction *ret)
{
	uint8_t bytes[INSTRUCTION_BYTES_MAX];

	return decode(bytes, bytes + ht_code_read(code, pc, bytes, sizeof(bytes)), ret);
}

static void path_add(struct search *search, uintptr_t pc, const struct path *path)
{
	for (unsigned i = 0; i < search->paths_used; i++)
		if (search->paths[i].pc == pc)
			return;
	if (search->paths_used == PATHS_MAX)
		return;
	search->paths[search->paths_used] = *path;
	search->paths[search->paths_used++].pc = pc;
}

bool ht_is_return_address(struct code_view *view, uintptr_t address)
{
	uint8_t bytes[8 + 4], *code = bytes + 8;
	static const uint8_t take_sp[] = { 0x48, 0x8b, 0x65 }; /* mov n(%rbp), %rsp */
	bool found;

	if (address < sizeof(bytes) || address >> ADDRESS_BITS ||
	    ht_code_read(view, address - 8, bytes, sizeof(bytes)) < 8)
		return false;
	/* HotSpot's interpreter has places to return to that no call stands before. */
	found = code[-5] == 0xe8 || memcmp(code, take_sp, sizeof(take_sp)) == 0;
	for (int n = 2; n <= 7 && !found; n++)
		found = code[-n] == 0xff && (code[1 - n] >> 3 & 7) == 2;
	return found && ht_code_is(address - 1);
}

/*
 * A piece of code that calls a piece of itself, which begins right behind the call or behind a
 * jump there: HotSpot's interpreter makes its return address known in this way.
 */
static bool is_local_call(struct code_view *code, uintptr_t ret)
{
	uint8_t call[5];
	int32_t distance;

	if (ht_code_read(code, ret - sizeof(call), call, sizeof(call)) != sizeof(call) ||
	    call[0] != 0xe8)
		return false;
	memcpy(&distance, call + 1, sizeof(distance));
	return distance >= 0 && distance <= LOCAL_CALL_BYTES;
}

static bool is_move(const struct instruction *in, uint8_t from, uint8_t to)
{
	return in->rex & 8 && in->mod == 3 &&
	       ((in->op == 0x89 && in->reg == from && in->rm == to) ||
		(in->op == 0x8b && in->reg == to && in->rm == from));
}

/* Adds a constant to rsp (digit 0) or subtracts it (5). */
static bool is_step(const struct instruction *in, unsigned digit)
{
	return (in->op == 0x81 || in->op == 0x83) && in->rex & 8 && in->mod == 3 && in->rm == RSP &&
	       (in->reg & 7) == digit;
}

/* A word of the frame, which lies in the stack. */
static bool peek(const struct search *search, int32_t at, uintptr_t *ret)
{
	if (at < search->low || at > 0 || at & 7)
		return false;
	*ret = *(const uintptr_t *)(search->fp + (uintptr_t)(intptr_t)at);
	return true;
}

/* mov n(%rbp), %rsp or mov n(%rsp), %rsp */
static void load_rsp(const struct search *search, struct path *path, int64_t from, int64_t *ret)
{
	uintptr_t word;

	path->rsp_known = path->rsp_exact = from >= search->low && from < 0 &&
					    peek(search, (int32_t)from, &word) &&
					    word - search->fp + FRAME_MAX < FRAME_MAX;
	if (path->rsp_known)
		*ret = (int64_t)(word - search->fp);
}

/* What an instruction does to rsp, and where it takes the return address. */
static void path_step(const struct search *search, struct path *path, const struct instruction *in)
{
	bool one = in->map == MAP_ONE && !in->vector, wide = in->rex & 8;
	bool memory = in->has_modrm && in->mod != 3;
	bool by_rbp = memory && in->base == RBP && !path->restored;
	bool by_rsp = memory && in->base == RSP && path->rsp_known;
	uint8_t op = one ? in->op : 0, low = (op & 7) | (in->rex & 1) << 3;
	int64_t rsp = path->rsp, address = (by_rbp ? 0 : rsp) + in->displacement;

	path->returns = false;
	if ((op >= 0x50 && op <= 0x57) || op == 0x68 || op == 0x6a ||
	    (op == 0xff && (in->reg & 7) == 6)) { /* push */
		rsp -= 8;
		path->returns = op <= 0x57 && low == path->ret_register;
	} else if ((op >= 0x58 && op <= 0x5f) || op == 0x8f) { /* pop */
		bool here = path->restored && path->rsp_known && path->rsp == RETURN;

		rsp += 8;
		path->rsp_known &= !may_write(in, RSP);
		path->ret_register = here && op != 0x8f ? low : NONE;
		path->high = here ? (int32_t)rsp : path->high;
	} else if (is_step(in, 0)) {
		rsp += in->immediate;
	} else if (is_step(in, 5)) {
		rsp -= in->immediate;
	} else if (op == 0x8d && wide && in->reg == RSP && (by_rbp || by_rsp)) { /* lea */
		path->rsp_known = true;
		path->rsp_exact |= by_rbp;
		rsp = address;
	} else if (op == 0x8b && wide && in->reg == RSP && (by_rbp || by_rsp)) {
		load_rsp(search, path, address, &rsp);
	} else if (one && is_move(in, RBP, RSP) && !path->restored) {
		path->rsp_known = path->rsp_exact = true;
		rsp = 0;
	} else if (may_write(in, RSP)) {
		path->rsp_known = false;
	}
	if (!(op >= 0x58 && op <= 0x5f) && may_write(in, path->ret_register))
		path->ret_register = NONE;
	/* More than any frame is not followed. */
	path->rsp_known &= rsp > -FRAME_MAX && rsp < FRAME_MAX;
	path->rsp = path->rsp_known ? (int32_t)rsp : 0;
}

static bool is_certain(const struct path *path)
{
	return path->rsp_known && path->rsp_exact;
}

/* Arguments taken off the stack by what was called would only put rsp still higher. */
static bool is_beyond(const struct path *path, int32_t at)
{
	return path->rsp_known && path->rsp > at;
}

/* rbp is still the frame's. False: not any more. */
static bool path_restore(struct search *search, struct path *path, const struct instruction *in)
{
	bool one = in->map == MAP_ONE && !in->vector;
	bool by_rbp = in->has_modrm && in->mod != 3 && in->base == RBP;

	if (by_rbp && in->displacement < 0 && in->displacement >= search->low)
		search->variables = true;
	if (one && in->op == 0xc9) { /* leave */
		path->rsp_known = path->rsp_exact = path->restored = true;
		path->rsp = RETURN;
		return true;
	}
	if (one && in->op == 0x5d && !(in->rex & 1)) { /* pop %rbp */
		path->restored = path->rsp_known && path->rsp == 0;
		search->refuted |= is_beyond(path, 0) || (is_certain(path) && !path->restored);
		path->rsp_exact = true;
		path->rsp += 8;
		return path->restored;
	}
	if (one && in->op == 0x8b && in->rex & 8 && in->reg == RBP && by_rbp &&
	    !in->displacement) { /* mov (%rbp), %rbp */
		path->restored = true;
		return true;
	}
	if (may_write(in, RBP))
		return false;
	path_step(search, path, in);
	return true;
}

/* The return address is where the call left it, and on top of the stack. */
static bool is_at_return(const struct path *path)
{
	return path->rsp_known && path->rsp == RETURN && path->high <= RETURN;
}

/* The frame is left: as one should be that keeps its frame pointer? */
static bool path_leave(struct search *search, const struct path *path)
{
	bool right = path->restored && (path->returns || is_at_return(path) ||
					(!is_beyond(path, RETURN) && !is_certain(path)));

	search->refuted |= !right;
	return right;
}

/* The return address on top of the stack is of a call within this piece of code: goes on there. */
static bool path_return(const struct search *search, struct path *path)
{
	uintptr_t word;

	if (path->restored || !path->rsp_known || !path->rsp_exact || path->rsp < search->low ||
	    path->rsp >= 0 || !peek(search, path->rsp, &word) || !is_local_call(search->code, word))
		return false;
	path->pc = word;
	path->rsp += 8;
	return true;
}

/* What lies on top of the stack was there before, and is a return address. */
static bool is_left_here(const struct search *search, const struct path *path)
{
	uintptr_t word;

	return path->rsp_known && path->rsp_exact && path->rsp < 0 && path->rsp >= path->high &&
	       peek(search, path->rsp, &word) && ht_is_return_address(search->code, word);
}

/* True: this path proves it. */
static bool path_follow(struct search *search, struct path path)
{
	struct instruction in;

	while (search->steps++ < STEPS_MAX && instruction_at(search->code, path.pc, &in)) {
		bool one = in.map == MAP_ONE && !in.vector;
		uint8_t op = in.op;

		path.pc += in.bytes;
		if (one && op == 0xc3) { /* ret */
			if (!path_return(search, &path))
				return path_leave(search, &path);
		} else if (one && (op == 0xe9 || op == 0xeb)) { /* jmp */
			path_add(search, path.pc + (uintptr_t)in.immediate, &path);
			return path.restored && is_at_return(&path);
		} else if (one && op == 0xff && (in.reg & 6) == 4) { /* jmp to wherever */
			if (path.restored)
				return path_leave(search, &path);
			search->refuted |= is_left_here(search, &path);
			return false;
		} else if ((one && op >= 0x70 && op <= 0x7f) ||
			   (in.map == MAP_0F && !in.vector && (op & 0xf0) == 0x80)) {
			path_add(search, path.pc + (uintptr_t)in.immediate, &path);
		} else if (path.restored) {
			path_step(search, &path, &in);
		} else if (!path_restore(search, &path, &in)) {
			return false;
		}
		if (!path.restored && path.rsp_known && path.rsp_exact && path.rsp <= 0 &&
		    path.rsp > path.high)
			path.high = path.rsp;
		search->high = path.high > search->high ? path.high : search->high;
	}
	return false;
}

/* No word from `at` to fp is one that a call may have left there. */
static bool nothing_called_below(const struct search *search, int32_t at)
{
	for (; at < 0; at += 8) {
		uintptr_t word = *(const uintptr_t *)(search->fp + (uintptr_t)(intptr_t)at);

		if (ht_is_return_address(search->code, word) && !is_local_call(search->code, word))
			return false;
	}
	return true;
}

bool ht_frame_keeps_fp(struct code_view *code, uintptr_t pc, uintptr_t sp, bool sp_exact,
		       uintptr_t fp)
{
	struct search search = { .fp = fp, .code = code, .paths_used = 1 };

	if (fp - sp >= FRAME_MAX)
		return false;
	search.low = search.high = (int32_t)(sp - fp);
	search.paths[0] = (struct path){ .pc = pc,
					 .rsp = search.low,
					 .high = search.low,
					 .rsp_known = true,
					 .rsp_exact = sp_exact,
					 .ret_register = NONE };
	for (unsigned i = 0; i < search.paths_used; i++)
		if (path_follow(&search, search.paths[i]))
			return true;
	/* It is not seen how the frame is left: an interpreter jumps from one place to the next. */
	return search.variables && !search.refuted && search.high >= -LIKELY_FRAME_MAX &&
	       nothing_called_below(&search, search.high);
}
#else
bool ht_is_return_address(struct code_view *code, uintptr_t address)
{
	(void)code;
	return ht_code_is(address - 1);
}
#endif
