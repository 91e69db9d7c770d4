/*
 * The command's side of the socket to the daemon (proto/event.proto: RunStart .. RunDone).
 * Functions return 0 or a negative errno and print nothing.
 */
#ifndef HEAPTAPE_VIEWER_RECORD_LINK_H
#define HEAPTAPE_VIEWER_RECORD_LINK_H

#include <stdint.h>

#include "proto/event.pb-c.h"

/* Longest path a Unix socket address takes. */
#define LINK_PATH_BYTES 107

/* -ENAMETOOLONG: longer than LINK_PATH_BYTES. */
int link_connect(const char *path, int *ret_fd);
int link_send(int fd, const Heaptape__Frame *frame);

/*
 * The next frame, to be freed with heaptape__frame__free_unpacked(frame, NULL).
 * -EPIPE: the daemon closed the connection · -ETIMEDOUT: nothing came in timeout_ms (-1: wait)
 * -EBADMSG: not a frame · -EINTR: a signal came, nothing was read
 */
int link_receive(int fd, int timeout_ms, Heaptape__Frame **ret_frame);

/* What the daemon did instead of giving the reply that was hoped for: `frame` came, or nothing and
 * link_send or link_receive returned `result`. "answered out of turn ..."; valid until the next call. */
const char *link_problem(int result, const Heaptape__Frame *frame);

#endif
