/* Names of functions in programs that run: the daemon looks them up when it is asked. */
#ifndef HEAPTAPE_VIEWER_RECORD_NAMES_H
#define HEAPTAPE_VIEWER_RECORD_NAMES_H

#include "viewer/model/db.h"

/* Has what names of running programs' functions are missing looked up, and waits for it; not for long,
 * and without a word if that cannot be done. An error: the database does not answer. */
int names_ask(struct db *db, struct error *error);

#endif
