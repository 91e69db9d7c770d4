/*
 * Who records a run: the daemon's identity, kept in runs.recorder, and what follows when it is no
 * more. A daemon that was killed leaves runs that still say "running"; whoever opens the file next
 * for writing ends them as `cut`.
 */
#ifndef HEAPTAPE_PROTO_RECORDER_H
#define HEAPTAPE_PROTO_RECORDER_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/* "BOOT-ID PID-NAMESPACE PID START-TIME", or "" when /proc does not tell. */
#define RECORDER_BYTES 128
void recorder_self(char ret_text[RECORDER_BYTES]);

/* True when the process that wrote `text` on `host` is certainly no more: another one has its pid,
 * or the machine was started anew. In doubt (another host, another pid namespace) false. */
bool recorder_is_gone(const char *text, const char *host);

/* Ends a run and its processes that still say "running" as `cut`, with a note. In a transaction of
 * the caller's. 0 or a negative errno. */
int recorder_end_run(sqlite3 *db, int64_t run_id, const char *why);

/* True when a run is left over from a recorder that is gone. Only reads. */
bool recorder_has_left(sqlite3 *db);

/* Ends such runs: state and endings become `cut`, a note says why. Returns how many, or a negative
 * errno; nothing is half done. */
int recorder_end_left(sqlite3 *db);

/*
 * The private folder that `run` makes for its daemon; recorder_folder.c. In it are the daemon's socket
 * and perhaps a link to the shim. Command and daemon each hold a shared lock of it, and who ends last
 * removes it. Where both were killed, the next command that makes one in the same place does.
 */
#define RECORDER_SOCKET "socket"
#define RECORDER_SHIM "libheaptape.so"

/* Makes one in `base` that nobody else can enter, and holds it. A heap copy of its path, NULL: errno
 * says why not. */
char *recorder_make_folder(const char *base);
/* Keeps it from being swept as long as this process lives. False: it is gone already. */
bool recorder_hold_folder(const char *folder);
void recorder_remove_folder(const char *folder);
/* Removes those of this user that nobody holds. One with a link stays: programs may be started by it. */
void recorder_sweep_folders(const char *base);

#endif
