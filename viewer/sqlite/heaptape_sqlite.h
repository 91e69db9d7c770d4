/*
 * heaptape's SQL: the virtual tables events, allocations and pages over table `chunks`, and the
 * function stack_text(stack_id[, frames]). Built twice from the same sources: as heaptape_sqlite.so for
 * any SQLite client (.load), and into the heaptape command, which calls heaptape_sqlite_register().
 */
#ifndef HEAPTAPE_VIEWER_SQLITE_H
#define HEAPTAPE_VIEWER_SQLITE_H

struct sqlite3;

/* Adds the tables and the function to a connection; an SQLite result code. */
int heaptape_sqlite_register(struct sqlite3 *db);

#endif
