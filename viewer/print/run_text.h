/* What is said of a run in words. Texts are static, valid until the next call of the same function. */
#ifndef HEAPTAPE_VIEWER_PRINT_RUN_TEXT_H
#define HEAPTAPE_VIEWER_PRINT_RUN_TEXT_H

#include "viewer/model/run.h"

/* "exited with 0", "killed by SIGSEGV", "still running" */
const char *run_text_ending(const struct run *run);

/* Says that there is a malloc of the program's own; foreign_symbols is not 0. */
const char *run_text_foreign(const struct run *run);

/* "none lost", "12 lost" */
const char *run_text_lost(const struct run *run);

/* Recording was never on; what to do about that, as a sentence. NULL: it was. */
const char *run_text_nothing(const struct run *run);

/* That recording was off for a time (`run --dormant`, `pause`). NULL: it was on all the time. */
const char *run_text_gaps(const struct run *run);

/* How the numbers of a run with gaps are to be read. */
extern const char run_text_gaps_legend[];

#endif
