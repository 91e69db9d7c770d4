/*
 * The process's connection to the daemon: one stream socket, one lock, frames that go whole or not
 * at all.
 *
 * The lock is held, with every signal blocked, only while bytes are copied to the socket; nobody
 * waits for the daemon under it. A frame the socket took only a part of is kept, and goes on before
 * the next one; until then its bytes count as `unsent`.
 *
 * Whatever fails here ends the recording, never the program.
 */
#ifndef HEAPTAPE_SHIM_LINK_H
#define HEAPTAPE_SHIM_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* No frame of the shim's is longer, its length included. */
#define LINK_MAX_FRAME (256u << 10)

enum link_state {
	LINK_NONE, /* not connected yet: before the constructor */
	LINK_ON,
	LINK_OFF /* nothing to connect to, or gone */
};

struct link {
	enum link_state state;
	int fd;
	uint64_t inode; /* of the socket, to tell whether fd is still it */
	int parent_fd;	/* of the process we were forked from, or -1 */
	uint32_t lock;
	bool drop_when_full;
	bool refused;	 /* set when a frame was not taken */
	uint64_t frames; /* taken, in full or in part */
	uint32_t unsent_at;
	uint32_t unsent_bytes;
};

extern struct link ht_link;

struct link_hold {
	uint64_t signals;
};

void ht_link_lock(struct link_hold *hold);
/* Without waiting: false when another thread holds it, or a part of a frame is still unsent. */
bool ht_link_try_lock(struct link_hold *hold);
void ht_link_unlock(const struct link_hold *hold);

/* Connects; where that fails, through the connection of the process we were forked from. 0 or -errno;
 * the connection then awaits Hello. */
int ht_link_open(const char *path);

/* Sends the first frame, together with a descriptor when passed_fd >= 0. Waits as long as needed. */
int ht_link_first(struct iovec *iov, unsigned parts, int passed_fd);

/*
 * Sends one frame of at most LINK_MAX_FRAME bytes. The lock is held. 0: taken; -EAGAIN: the socket
 * is full and nothing was taken; -EPIPE: no daemon any more.
 * `iov` is used up.
 */
int ht_link_send(struct iovec *iov, unsigned parts);

/* Sends a small frame together with a descriptor, likewise; whether it went does not matter to what
 * follows. -EPERM: the system does not let it. */
int ht_link_pass(struct iovec frame, int passed_fd);

/* Pushes what is kept of the latest frame. Returns as ht_link_send. The lock is held. */
int ht_link_push(void);

/* Waits until the socket takes bytes again, a signal comes, or a while has passed; counts the time.
 * The lock is not held. */
void ht_link_wait(void);

/* Sends what is kept of a frame, waiting at most so long. For the process's end. */
void ht_link_drain(unsigned milliseconds);

/* The recording is over: says so once on stderr when `why` is given. */
void ht_link_off(const char *why, int error);

/* Another connection, for one message: through the process's own, or by the socket's name. Negative:
 * there is none. */
int ht_link_beside(const char *path);

/* Sends a frame there, together with a descriptor when passed_fd >= 0. */
bool ht_link_send_beside(int fd, struct iovec frame, int passed_fd);

/* In a fork child, before ht_link_open(): the connection is not ours. */
void ht_link_inherit(void);

/* Closes it. Until then the daemon knows that a child may be on its way. */
void ht_link_forget(void);

#endif
