/*
 * When everything that is known of the running processes goes into the database. Events and the numbers
 * beside them are committed together: should the daemon be killed, they agree.
 */
#ifndef HEAPTAPE_DAEMON_COMMIT_H
#define HEAPTAPE_DAEMON_COMMIT_H

#include "daemon/daemon.h"

/* Now. */
void commit_all(struct daemon *daemon);

/* When the latest time was long enough ago. */
void commit_due(struct daemon *daemon);

/* A database that has failed is said once; recordings go on without being stored. */
void commit_check(struct daemon *daemon);

#endif
