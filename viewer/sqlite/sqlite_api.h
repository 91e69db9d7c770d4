/*
 * SQLite's functions for both builds: linked in (SQLITE_CORE), or through the table that the
 * loading program hands over. Every file of this folder includes this and not sqlite3.h.
 */
#ifndef HEAPTAPE_VIEWER_SQLITE_API_H
#define HEAPTAPE_VIEWER_SQLITE_API_H

#include <sqlite3ext.h>

#ifndef SQLITE_CORE
extern const sqlite3_api_routines *sqlite3_api;
#endif

#endif
