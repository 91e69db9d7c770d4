#include "viewer/web/asset.h"

/* The assembler finds the file in the build folder, which is on its include path. */
__asm__(".pushsection .rodata\n"
	".global asset_flame_js\n"
	".global asset_flame_js_end\n"
	"asset_flame_js:\n"
	".incbin \"web/flame.js\"\n"
	"asset_flame_js_end:\n"
	".byte 0\n"
	".popsection\n");

extern const char asset_flame_js_end[];

size_t asset_flame_js_bytes(void)
{
	return (size_t)(asset_flame_js_end - asset_flame_js);
}
