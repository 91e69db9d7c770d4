/*
 * Numbers as people read them. The functions return one of a ring of static buffers: a result is
 * good until FORMAT_RING more were made.
 */
#ifndef HEAPTAPE_VIEWER_PRINT_FORMAT_H
#define HEAPTAPE_VIEWER_PRINT_FORMAT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define FORMAT_RING 32

const char *format_bytes(int64_t bytes);	       /* 812 B, 1.5 MiB */
const char *format_count(int64_t count);	       /* 1,302,455 */
const char *format_short_count(int64_t count);	       /* 812, 12.3 k, 1.30 M */
const char *format_duration(int64_t ns);	       /* 812 ns, 12.3 ms, 1.24 s, 3 min 12 s */
const char *format_percent(double part, double whole); /* 12.3 %; - when whole is 0 */
const char *format_when(int64_t unix_ns);	       /* 2026-11-24 03:45:10, local time */
const char *format_when_short(int64_t unix_ns); /* 24 Nov 03:45, or 24 Nov 2025 when long ago */
const char *format_plain(int64_t number);

/* "1 block", "3 blocks", "1,302,455 blocks" */
const char *format_plural(int64_t count, const char *singular, const char *plural);

/* Colour for a stream: empty strings unless it is a terminal and NO_COLOR is not set. */
enum style { STYLE_OFF, STYLE_BOLD, STYLE_DIM, STYLE_WARN, STYLE_GOOD, STYLE_ACCENT };
const char *style_on(FILE *stream, enum style style);

/* Columns of the terminal behind the stream, $COLUMNS, or 0 when there is no limit. */
int terminal_width(FILE *stream);

#endif
