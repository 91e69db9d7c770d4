/*
 * An object's unwind data, as the shim reads it in the program. The input: where .eh_frame_hdr
 * lies (2 bytes), the program counter (2 bytes), then the object's bytes.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shim/stack/eh_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_code(const struct eh_object *object, const uint8_t *code, size_t bytes)
{
	if ((uintptr_t)code < object->start || (uintptr_t)code > object->end ||
	    bytes > object->end - (uintptr_t)code)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct eh_object object;
	struct eh_row row;
	uintptr_t pc;
	char *memory;
	int error;

	if (bytes < 4)
		return 0;
	bytes -= 4;
	memory = malloc(bytes);
	memcpy(memory, data + 4, bytes);
	object.start = (uintptr_t)memory;
	object.end = object.start + bytes;
	object.data_start = object.start;
	object.data_end = object.end;
	object.hdr = object.start + (uintptr_t)(data[0] | data[1] << 8);
	pc = object.start + (uintptr_t)(data[2] | data[3] << 8);
	error = ht_eh_row(&object, pc, &row);
	if (error && error != -ENOENT && error != -EBADMSG)
		abort();
	if (!error) {
		ht_eh_compile(&row);
		if (row.cfa_is_expr)
			check_code(&object, row.cfa_expr.code, row.cfa_expr.bytes);
		for (unsigned i = 0; i < EH_REGS; i++)
			if (row.rules[i].kind == EH_AT_EXPR || row.rules[i].kind == EH_IS_EXPR)
				check_code(&object, row.rules[i].code, row.rules[i].code_bytes);
	}
	free(memory);
	return 0;
}
