/*
 * How fast does heaptaped take events in? A program that says it is a traced one and sends a
 * made-up but plausible history as fast as it can:
 *
 *   ingest_client SOCKET [EVENTS [THREADS [STACKS]]]
 *
 * Prints the events, the wall time, and the processor time the daemon spent on them, in
 * nanoseconds an event. Exit status 3 when the daemon cannot be reached or hangs up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proto/event.h"
#include "proto/wire.h"

#define BATCH 1024u
#define BATCHES 128u /* of one round; then the same again, later */
#define LIVE 3000u
#define CLASSES 40u

struct batch {
	uint8_t kinds[BATCH], classes[BATCH];
	uint64_t ticks[BATCH], addresses[BATCH];
	uint32_t sizes[BATCH], stacks[BATCH];
	uint64_t details[2 * BATCH];
	uint32_t details_count;
};

struct block {
	uint64_t address, ticks;
	uint32_t size, stack;
	uint8_t class;
};

static struct batch *batches;
static uint64_t random_state = 88172645463325252u;
static unsigned thread_total = 1, stack_total = 800;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Nanoseconds a process has run. */
static uint64_t busy_ns(pid_t pid)
{
	char path[64];
	unsigned long long ns = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	file = fopen(path, "r");
	if (file) {
		if (fscanf(file, "%llu", &ns) != 1)
			ns = 0;
		fclose(file);
	}
	return ns;
}

static void die(const char *what)
{
	fprintf(stderr, "ingest_client: cannot %s: %s\n", what, strerror(errno));
	exit(3);
}

/* A round of history that begins and ends with nothing live. Times count from 0. */
static uint64_t make_round(void)
{
	static struct block live[LIVE];
	static uint64_t free_addresses[LIVE];
	unsigned live_count = 0, free_count = 0, total = BATCHES * BATCH;
	uint64_t ticks = 1, fresh = 0x555555600000u;

	for (unsigned i = 0; i < total; i++) {
		struct batch *batch = &batches[i / BATCH];
		unsigned at = i % BATCH;
		bool allocate =
			live_count == 0 || (live_count < LIVE && total - i > live_count + 1 &&
					    random_next() % 100 < 51);

		ticks += 40 + random_next() % 160;
		batch->ticks[at] = ticks;
		if (allocate) {
			struct block *block = &live[live_count++];

			block->class = (uint8_t)(1 + (random_next() % CLASSES) *
							     (random_next() % CLASSES) / CLASSES);
			block->size = (uint32_t)block->class * 16 - (uint32_t)(random_next() % 3);
			block->stack = 1 + (uint32_t)(random_next() % stack_total *
						      (random_next() % stack_total) / stack_total);
			block->ticks = ticks;
			if (free_count && random_next() % 8) {
				block->address = free_addresses[--free_count];
			} else {
				block->address = fresh;
				fresh += (uint64_t)block->class * 16;
			}
			batch->kinds[at] = random_next() % 20 ? EVENT_MALLOC : EVENT_CALLOC;
			batch->classes[at] = block->class;
			batch->addresses[at] = block->address;
			batch->sizes[at] = block->size;
			batch->stacks[at] = block->stack;
		} else {
			/* Mostly what is young. */
			unsigned which = live_count - 1 -
					 (unsigned)(random_next() % live_count *
						    (random_next() % live_count) / live_count);
			struct block block = live[which];

			live[which] = live[--live_count];
			if (free_count < LIVE)
				free_addresses[free_count++] = block.address;
			batch->kinds[at] = EVENT_FREE;
			batch->classes[at] = block.class;
			batch->addresses[at] = block.address;
			batch->sizes[at] = block.size;
			batch->stacks[at] = block.stack;
			batch->details[batch->details_count++] = block.ticks;
			batch->details[batch->details_count++] = 1;
		}
	}
	return ticks + 100;
}

static void send_all(int fd, const uint8_t *data, size_t bytes)
{
	while (bytes) {
		ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			die("send to the daemon");
		data += sent;
		bytes -= (size_t)sent;
	}
}

static uint8_t frame[256 << 10], inner[256 << 10];

/* Wraps what was put into `inner` as the body with this field number, and sends it. */
static void send_frame(int fd, unsigned field, const struct wire_put *body)
{
	size_t bytes = (size_t)(body->at - inner);
	struct wire_put put = { frame + WIRE_HEADER_BYTES, frame + sizeof(frame), 0 };
	uint32_t payload;

	wire_put_bytes(&put, field, inner, bytes);
	payload = (uint32_t)(put.at - frame - WIRE_HEADER_BYTES);
	memcpy(frame, &payload, sizeof(payload));
	if (body->full || put.full) {
		errno = EMSGSIZE;
		die("build a frame");
	}
	send_all(fd, frame, payload + WIRE_HEADER_BYTES);
}

static struct wire_put begin(void)
{
	return (struct wire_put){ inner, inner + sizeof(inner), 0 };
}

static void send_hello(int fd)
{
	struct wire_put put = begin();
	uint32_t classes[CLASSES];
	const char name[] = "/usr/bin/ingest_client";

	for (unsigned i = 0; i < CLASSES; i++)
		classes[i] = (i + 1) * 16;
	wire_put_uint(&put, 1, WIRE_VERSION);
	wire_put_fixed32(&put, 3, (uint32_t)getpid());
	wire_put_fixed32(&put, 4, (uint32_t)getppid());
	wire_put_bytes(&put, 6, name, sizeof(name) - 1);
	wire_put_bytes(&put, 7, name, sizeof(name) - 1);
	wire_put_fixed64(&put, 9, now_ns());
	wire_put_fixed64(&put, 10, now_ns());
	wire_put_uint(&put, 12, 4096);
	wire_put_bytes(&put, 13, classes, sizeof(classes));
	wire_put_uint(&put, 14, 1);
	send_frame(fd, 1, &put);
}

static void send_nodes(int fd)
{
	struct wire_put put = begin();
	uint32_t *parents = calloc(stack_total, sizeof(*parents));
	uint64_t *pcs = calloc(stack_total, sizeof(*pcs));

	if (!parents || !pcs)
		die("make stacks");
	for (unsigned i = 0; i < stack_total; i++) {
		parents[i] = i / 3;
		pcs[i] = 0x400000 + i * 24;
	}
	wire_put_fixed32(&put, 1, 1);
	wire_put_bytes(&put, 2, parents, stack_total * sizeof(*parents));
	wire_put_bytes(&put, 3, pcs, stack_total * sizeof(*pcs));
	send_frame(fd, 5, &put);
	free(parents);
	free(pcs);
}

static void send_batch(int fd, unsigned thread, uint64_t first_seq, const struct batch *batch,
		       uint64_t offset)
{
	struct wire_put put = begin();
	static uint64_t words[2 * BATCH];

	wire_put_fixed32(&put, 1, thread);
	wire_put_fixed64(&put, 2, first_seq);
	wire_put_fixed32(&put, 3, BATCH);
	wire_put_bytes(&put, 4, batch->kinds, sizeof(batch->kinds));
	wire_put_bytes(&put, 5, batch->classes, sizeof(batch->classes));
	for (unsigned i = 0; i < BATCH; i++)
		words[i] = batch->ticks[i] + offset;
	wire_put_bytes(&put, 6, words, BATCH * sizeof(*words));
	for (unsigned i = 0; i < BATCH; i++)
		words[i] = batch->addresses[i] + ((uint64_t)thread << 40);
	wire_put_bytes(&put, 7, words, BATCH * sizeof(*words));
	wire_put_bytes(&put, 8, batch->sizes, sizeof(batch->sizes));
	wire_put_bytes(&put, 9, batch->stacks, sizeof(batch->stacks));
	for (unsigned i = 0; i < batch->details_count; i += 2) {
		words[i] = batch->details[i] + offset;
		words[i + 1] = thread;
	}
	wire_put_bytes(&put, 10, words, batch->details_count * sizeof(*words));
	send_frame(fd, 4, &put);
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	uint64_t events = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000000;
	uint64_t sent = 0, round_ticks, start, busy, offset;
	struct ucred daemon;
	socklen_t bytes = sizeof(daemon);
	struct wire_put put;
	char byte;
	int fd;

	if (argc < 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
		fprintf(stderr, "usage: ingest_client SOCKET [EVENTS [THREADS [STACKS]]]\n");
		return 2;
	}
	thread_total = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : thread_total;
	stack_total = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : stack_total;
	if (!thread_total || !stack_total || stack_total > 10000) {
		fprintf(stderr, "ingest_client: at least 1 thread, 1 to 10000 stacks\n");
		return 2;
	}
	strcpy(address.sun_path, argv[1]);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		die("connect");
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &daemon, &bytes) != 0)
		die("learn who listens");
	batches = calloc(BATCHES, sizeof(*batches));
	if (!batches)
		die("make a history");
	round_ticks = make_round();
	send_hello(fd);
	if (recv(fd, &byte, 1, 0) != 1)
		die("be welcomed");
	send_nodes(fd);
	start = now_ns();
	busy = busy_ns(daemon.pid);
	offset = start;
	for (uint64_t round = 0; sent < events; round++, offset += round_ticks) {
		for (unsigned i = 0; i < BATCHES && sent < events; i++) {
			for (unsigned thread = 1; thread <= thread_total; thread++) {
				send_batch(fd, thread, (round * BATCHES + i) * BATCH, &batches[i],
					   offset + thread);
				sent += BATCH;
			}
		}
	}
	put = begin();
	wire_put_fixed64(&put, 1, offset);
	wire_put_uint(&put, 2, PROCESS_EXITED);
	send_frame(fd, 8, &put);
	shutdown(fd, SHUT_WR);
	while (recv(fd, frame, sizeof(frame), 0) > 0)
		;
	{
		double count = (double)sent, wall = (double)(now_ns() - start);
		double cpu = (double)(busy_ns(daemon.pid) - busy);

		printf("%.1f M events, %u threads: %.1f ns wall, %.1f ns of the daemon an event "
		       "(%.1f M events/s)\n",
		       count / 1e6, thread_total, wall / count, cpu / count, count * 1e3 / cpu);
	}
	return 0;
}
