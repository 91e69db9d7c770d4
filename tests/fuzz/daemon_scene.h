/*
 * A daemon without its loop and with its database in memory, for targets that speak to it as programs
 * do: made once, emptied now and then.
 */
#ifndef HEAPTAPE_TESTS_FUZZ_DAEMON_SCENE_H
#define HEAPTAPE_TESTS_FUZZ_DAEMON_SCENE_H

#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/run.h"
#include "daemon/server.h"
#include "proto/wire.h"
#include "tests/fuzz/quick_sqlite.h"

static struct server_options scene_options = { .db_path = ":memory:" };
static struct server server = { .options = &scene_options, .listen_fd = -1, .spare_fd = -1 };

static void scene_changed_cb(void *context)
{
	(void)context;
}

static void scene_run_done(struct daemon *daemon, int64_t run_id, bool has_stacks)
{
	(void)daemon;
	(void)run_id;
	(void)has_stacks;
}

/* Nobody dispatches the loop, and with a list of changes nobody tells the kernel of it either. */
static struct event_base *scene_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static inline void scene_make(void)
{
	static const struct daemon_calls calls = { .undone = process_cut_all,
						   .run_done = scene_run_done };
	static const struct resolver_calls resolver_calls = { .changed = scene_changed_cb };
	static const struct peers_calls peers_calls = { .changed = scene_changed_cb };
	struct store_error error;

	quick_sqlite();
	batch_setup();
	server.base = scene_base();
	if (daemon_open(&server.daemon, scene_options.db_path, &calls, &error) != 0)
		abort();
	/* Nothing is ever rolled back: a write that fails is a find. */
	sqlite3_exec(server.daemon.writer.db, "PRAGMA journal_mode=OFF", NULL, NULL, NULL);
	/* Busy for ever: what is asked of it waits, and no helper is started. */
	resolver_init(&server.resolver, &server.daemon, &resolver_calls, NULL);
	peers_init(&server.peers, &server.daemon, &server.resolver, &peers_calls, NULL);
	server.peers.base = server.base;
	server.resolver.worker.pid = getpid();
}

static inline void scene_clear(void)
{
	static const char sql[] = "DELETE FROM runs; DELETE FROM processes; DELETE FROM threads;"
				  "DELETE FROM modules; DELETE FROM mappings; DELETE FROM frames;"
				  "DELETE FROM stacks; DELETE FROM stack_totals; DELETE FROM notes;"
				  "DELETE FROM size_histogram; DELETE FROM samples;"
				  "DELETE FROM stack_cuts; DELETE FROM gaps; DELETE FROM marks;"
				  "DELETE FROM chunks; DELETE FROM misuses";

	stacks_release(&server.daemon.stacks);
	writer_commit(&server.daemon.writer);
	if (sqlite3_exec(server.daemon.writer.db, sql, NULL, NULL, NULL) != SQLITE_OK)
		abort();
}

/* All connections are closed: what is left to come is read, and every run ends. */
static inline void scene_end(void)
{
	while (server.peers.first)
		peer_read(server.peers.first);
	while (server.daemon.runs) {
		struct run *run = server.daemon.runs;

		run->quiet_ns = 0;
		run_look(run);
		run_check(run, false);
		/* It may name processes of this machine, which go on: then only a stop ends it. */
		server.daemon.stopping = true;
		if (server.daemon.runs == run)
			run_look(run);
		if (server.daemon.runs == run)
			run_check(run, false);
		server.daemon.stopping = false;
		if (server.daemon.runs == run)
			abort();
	}
	if (server.daemon.processes || server.daemon.writer.failures)
		abort();
}

/* Shared memory as a program makes it. */
static inline int scene_memory(size_t bytes, uint8_t **ret_memory)
{
	int fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0)
		abort();
	*ret_memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*ret_memory == MAP_FAILED)
		abort();
	return fd;
}

/* What does not go through is not sent: the connection has been ended. */
static inline void scene_send(int fd, const uint8_t *data, size_t bytes, int passed_fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS } };
	struct iovec part = { (void *)(uintptr_t)data, bytes };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = passed_fd >= 0 ? &control : NULL,
				  .msg_controllen = passed_fd >= 0 ? sizeof(control) : 0 };

	memcpy(CMSG_DATA(&control.head), &passed_fd, sizeof(passed_fd));
	if (bytes && sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

/* A frame with its length before it. Returns the bytes. */
static inline size_t scene_pack(const Heaptape__Frame *frame, uint8_t *to)
{
	uint32_t bytes = (uint32_t)heaptape__frame__pack(frame, to + WIRE_HEADER_BYTES);

	memcpy(to, &bytes, sizeof(bytes));
	return WIRE_HEADER_BYTES + bytes;
}

#endif
