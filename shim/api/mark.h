/* Marks: moments that the program names (shim/api/heaptape.h is what it includes). */
#ifndef HEAPTAPE_SHIM_API_MARK_H
#define HEAPTAPE_SHIM_API_MARK_H

#include <stddef.h>
#include <stdint.h>

#include "shim/common.h"

#define MARK_TEXT_MAX 200
#define MARK_FRAME_BYTES 256

/* What heaptape_mark() finds. */
void HT_API(heaptape_mark_here)(const char *text);

/* Lays out the frame that says what mark `number` is called, its length included; returns its bytes. */
size_t ht_mark_frame(uint8_t *out, uint32_t number, const char *text, size_t text_bytes);

#endif
