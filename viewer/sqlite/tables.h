/* What each file of this folder adds to a connection, and how constraints travel to the chunks. */
#ifndef HEAPTAPE_VIEWER_SQLITE_TABLES_H
#define HEAPTAPE_VIEWER_SQLITE_TABLES_H

struct sqlite3;

int events_register(struct sqlite3 *db);
int allocations_register(struct sqlite3 *db);
int pages_register(struct sqlite3 *db);
int functions_register(struct sqlite3 *db);

#endif
