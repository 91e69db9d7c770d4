/* The flame graph page's script, bundled at build time (viewer/web/); length 0 when it was not. */
#ifndef HEAPTAPE_VIEWER_WEB_ASSET_H
#define HEAPTAPE_VIEWER_WEB_ASSET_H

#include <stddef.h>

extern const char asset_flame_js[];
size_t asset_flame_js_bytes(void);

#endif
