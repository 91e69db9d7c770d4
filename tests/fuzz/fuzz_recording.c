/*
 * What programs say when they keep to the form: a few processes, the command and somebody who pauses
 * and resumes, with frames that are well made, and shared memory, but whatever numbers in them. The
 * input is read as steps, one after another. Time passes, processes stop and end, memory is short and
 * the database fails when the input says so. In the end the rows must agree with each other, nothing
 * that is missing may go unsaid, and every chunk must be readable.
 */
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/commit.h"
#include "daemon/control.h"
#include "daemon/server.h"
#include "daemon/unrecorded.h"
#include "tests/fuzz/daemon_scene.h"
#include "tests/fuzz/own_world.h"
#include "tests/fuzz/sql_value.h"

#define PROGRAMS 3u
#define BUFFERS 3u
#define NODES 40u
#define NODES_OFFSET (4096u + BUFFERS * sizeof(struct ring_buffer))
#define MEMORY_BYTES (NODES_OFFSET + NODES * sizeof(struct ring_node))
#define THREADS 5u
#define EVENTS_MAX 8u
#define STEPS_MAX 150u
#define ROWS_LIVE 300u		       /* inputs until the database is emptied */
#define STRANGER_PID 0x500000	       /* no process has it or one of the next */
#define WAITING_BYTES_ALL (256u << 20) /* daemon/merge.c: beyond this what waits goes to disk */
#define END_TRIES 8u
#define MANY_EVENTS \
	3000u /* three times as many make a chunk that is not written anew (daemon/chunks.c) */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct program {
	int fd;		/* our end; -1: not connected */
	int daemon_end; /* the other, by number */
	uint8_t *memory;
	int memory_fd;
	bool used;   /* the memory */
	int life[2]; /* the process: own_world.h; -1: there is none, or it cannot be watched */
	uint64_t next_seq[THREADS + 1];
} programs[PROGRAMS];

static int command_fd = -1, command_daemon_end = -1, control_fd = -1;
static size_t pressure;		/* bytes that only seem to wait */
static int64_t operations_left; /* of SQLite, until it fails */
static struct chunk_reader *reader;
static uint8_t frame_bytes[128 << 10];

static const struct ring_head good_head = { .magic = RING_MAGIC,
					    .version = RING_VERSION,
					    .control = RING_CONTROL_RECORD,
					    .buffer_count = BUFFERS,
					    .buffer_stride_bytes = sizeof(struct ring_buffer),
					    .buffers_offset = 4096,
					    .nodes_offset = NODES_OFFSET,
					    .node_capacity = NODES,
					    .buffers_used = BUFFERS,
					    .nodes_used = 1 };

static void make(void)
{
	world_make();
	scene_make();
	/* What fails is rolled back here. */
	sqlite3_exec(server.daemon.writer.db, "PRAGMA journal_mode=MEMORY", NULL, NULL, NULL);
	for (unsigned i = 0; i < PROGRAMS; i++) {
		programs[i].memory_fd = scene_memory(MEMORY_BYTES, &programs[i].memory);
		programs[i].fd = programs[i].life[0] = programs[i].life[1] = -1;
	}
	reader = chunk_reader_new();
}

static void life_release(struct program *program)
{
	for (unsigned i = 0; i < 2; i++) {
		if (program->life[i] >= 0)
			close(program->life[i]);
		program->life[i] = -1;
	}
}

static void life_begin(struct program *program)
{
	life_release(program);
	if (pipe2(program->life, O_CLOEXEC | O_NONBLOCK) != 0)
		abort();
}

static void life_end(const struct program *program)
{
	if (program->life[1] >= 0 && write(program->life[1], "", 1) != 1)
		return; /* it has, again and again */
}

/* Of a connection that was passed on only the program knows. */
static int world_process_of(int connection)
{
	for (unsigned i = 0; i < PROGRAMS; i++)
		if (programs[i].fd >= 0 &&
		    (programs[i].daemon_end == connection || programs[i].daemon_end < 0))
			return programs[i].life[0];
	return -1;
}

static struct ring_buffer *buffer_of(struct program *program, unsigned slot)
{
	return (struct ring_buffer *)(program->memory + 4096 + slot * sizeof(struct ring_buffer));
}

/* -- numbers: near those that mean something, or any -- */

static uint64_t take_word(struct input *input)
{
	unsigned byte = take(input);

	if (byte == 0xff)
		return (uint64_t)take_number(input);
	if (byte & 0x80)
		return world.now_ns + (byte & 0x7f);
	if (byte & 0x40) /* stack << 32 | thread */
		return (uint64_t)(byte & 7) << 32 | (byte >> 3 & 7);
	return byte;
}

static uint32_t take_small(struct input *input)
{
	unsigned byte = take(input);

	return byte == 0xff ? (uint32_t)take_number(input) : byte % 12;
}

/* -- what is sent -- */

static struct peer *find_peer(int daemon_end)
{
	struct peer *peer = server.peers.first;

	while (peer && peer->fd != daemon_end)
		peer = peer->next;
	return peer;
}

static void read_end(int daemon_end)
{
	struct peer *peer = find_peer(daemon_end);

	if (peer)
		peer_read(peer);
}

/* Who is at the other end of a connection, going by `how`; 0: unknown. */
static pid_t peer_pid(unsigned how)
{
	if (!(how & 0x20))
		return 0;
	return how >> 6 == 3 ? world.sleeper : STRANGER_PID + (pid_t)(how >> 6);
}

static void connect_to_daemon(int *ret_fd, int *ret_daemon_end, pid_t pid)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0 ||
	    peer_new(&server.peers, ends[0], pid) != 0)
		abort();
	*ret_daemon_end = ends[0];
	*ret_fd = ends[1];
}

static void disconnect(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void send_frame(struct program *program, Heaptape__Frame *frame)
{
	scene_send(program->fd, frame_bytes, scene_pack(frame, frame_bytes), -1);
}

/* A program's first frame, through a connection of its own or one that its parent passes on. */
static void hello(struct program *program, struct input *input)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__Hello message = HEAPTAPE__HELLO__INIT;
	uint32_t classes[] = { 16, 32, 48, 64 };
	char *dormant = (char *)"HEAPTAPE_DORMANT=1";
	unsigned how = take(input);
	struct program *parent = &programs[how >> 6 & 1];

	if (program->fd >= 0)
		return;
	/* It is a new process, or what the former has become by exec. */
	if (program->life[0] < 0 || how & 4)
		life_begin(program);
	if ((how & 0x30) == 0x30 && parent != program && parent->fd >= 0) {
		int ends[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
			abort();
		scene_send(parent->fd, (const uint8_t *)"", 1, ends[0]);
		close(ends[0]);
		program->fd = ends[1];
		program->daemon_end = -1;
		read_end(parent->daemon_end);
	} else {
		connect_to_daemon(&program->fd, &program->daemon_end, peer_pid(how));
	}
	memset(program->next_seq, 0, sizeof(program->next_seq));
	message.wire_version = WIRE_VERSION;
	message.pid = 1 + take(input) % 4;
	message.parent_pid = take(input) % 4;
	message.run_token = how & 1 && server.daemon.runs ? server.daemon.runs->token : 0;
	message.executable = (char *)"x";
	message.stacks = how & 2;
	message.forked = how & 4;
	message.ticks = world.now_ns;
	message.held_bytes = how & 4 ? 65536 : 0;
	message.size_classes = classes;
	message.n_size_classes = 4;
	message.settings = &dormant;
	message.n_settings = (how & 0x18) == 0x18;
	if (!program->used)
		memcpy(program->memory, &good_head, sizeof(good_head));
	if (message.n_settings && !program->used)
		((struct ring_head *)program->memory)->control = 0;
	program->used = true;
	frame.body_case = HEAPTAPE__FRAME__BODY_HELLO;
	frame.hello = &message;
	scene_send(program->fd, frame_bytes, scene_pack(&frame, frame_bytes),
		   how & 8 ? -1 : program->memory_fd);
}

struct events {
	uint32_t count, details_count, sizes[EVENTS_MAX], stacks[EVENTS_MAX];
	uint8_t kinds[EVENTS_MAX], classes[EVENTS_MAX];
	uint64_t ticks[EVENTS_MAX], addresses[EVENTS_MAX], details[EVENTS_MAX * EVENT_MAX_DETAILS];
};

static void make_events(struct events *events, struct input *input)
{
	memset(events, 0, sizeof(*events));
	events->count = 1 + take(input) % EVENTS_MAX;
	for (uint32_t i = 0; i < events->count; i++) {
		unsigned kind = take(input), class = take(input), place = take(input);
		int details;

		events->kinds[i] = (uint8_t)(1 + kind % (EVENT_KIND_COUNT - 1));
		if (kind & 0x80)
			events->kinds[i] |= EVENT_BY_ALLOCATOR;
		if (kind == 0xff)
			events->kinds[i] = (uint8_t)take(input);
		events->classes[i] = (uint8_t)(class == 0xff ? 200 : class % 5);
		world.now_ns += class >> 4;
		events->ticks[i] = place == 0xff ? take_word(input) : world.now_ns;
		events->addresses[i] = place == 0xff ? take_word(input) : 0x1000 + place % 16 * 16;
		events->sizes[i] = events->classes[i] ? take(input) : 0;
		events->stacks[i] = take_small(input);
		details = event_details(events->kinds[i], events->classes[i]);
		for (; details > 0; details--)
			events->details[events->details_count++] = take_word(input);
	}
}

static uint64_t take_seq(struct program *program, uint32_t thread, uint32_t count,
			 struct input *input)
{
	uint64_t *next = &program->next_seq[thread];
	unsigned how = take(input);
	uint64_t seq = *next;

	if (how >= 0xf0)
		seq = how == 0xff ? (uint64_t)take_number(input) : seq + (how & 15) - 4;
	*next = seq + count;
	return seq;
}

static void batch(struct program *program, struct input *input)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__EventBatch message = HEAPTAPE__EVENT_BATCH__INIT;
	struct events events;

	message.thread = 1 + take(input) % THREADS;
	make_events(&events, input);
	message.first_seq = take_seq(program, message.thread, events.count, input);
	message.count = events.count;
	message.kinds = (ProtobufCBinaryData){ events.count, events.kinds };
	message.classes = (ProtobufCBinaryData){ events.count, events.classes };
	message.ticks = events.ticks;
	message.addresses = events.addresses;
	message.sizes = events.sizes;
	message.stacks = events.stacks;
	message.details = events.details;
	message.n_ticks = message.n_addresses = message.n_sizes = message.n_stacks = events.count;
	message.n_details = events.details_count;
	frame.body_case = HEAPTAPE__FRAME__BODY_BATCH;
	frame.batch = &message;
	send_frame(program, &frame);
}

/* Many allocations of one thread. */
static void many(struct program *program, unsigned how)
{
	static uint8_t kinds[MANY_EVENTS], classes[MANY_EVENTS];
	static uint64_t ticks[MANY_EVENTS], addresses[MANY_EVENTS];
	static uint32_t sizes[MANY_EVENTS], stacks[MANY_EVENTS];
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__EventBatch message = HEAPTAPE__EVENT_BATCH__INIT;

	for (unsigned i = 0; i < MANY_EVENTS; i++) {
		kinds[i] = EVENT_MALLOC;
		classes[i] = 1;
		ticks[i] = world.now_ns;
		addresses[i] = 0x10000 + i * 16;
		sizes[i] = how;
		stacks[i] = how >> 3 & 7;
	}
	message.thread = 1 + how % THREADS;
	message.first_seq = program->next_seq[message.thread];
	message.count = MANY_EVENTS;
	message.kinds = (ProtobufCBinaryData){ MANY_EVENTS, kinds };
	message.classes = (ProtobufCBinaryData){ MANY_EVENTS, classes };
	message.ticks = ticks;
	message.addresses = addresses;
	message.sizes = sizes;
	message.stacks = stacks;
	message.n_ticks = message.n_addresses = message.n_sizes = message.n_stacks = MANY_EVENTS;
	frame.body_case = HEAPTAPE__FRAME__BODY_BATCH;
	frame.batch = &message;
	program->next_seq[message.thread] += MANY_EVENTS;
	send_frame(program, &frame);
	read_end(program->daemon_end);
}

/* A batch that is left in a thread's buffer. */
static void buffer(struct program *program, struct input *input)
{
	unsigned slot = take(input);
	struct ring_buffer *to = buffer_of(program, slot % BUFFERS);
	struct events events;

	to->thread = 1 + take(input) % THREADS;
	make_events(&events, input);
	to->first_seq = take_seq(program, to->thread, events.count, input);
	if (!(slot & 0x80)) /* it will be sent, too */
		program->next_seq[to->thread] = to->first_seq;
	to->busy = slot >> 4 & 3;
	if (slot & 0x40) { /* those before it were dropped */
		to->first_seq += slot >> 2 & 7;
		to->dropped_to = to->first_seq;
		to->dropped_from = to->first_seq - (slot >> 2 & 7);
	}
	to->start_ticks = to->last_ticks = events.ticks[0];
	memcpy(to->kinds, events.kinds, sizeof(events.kinds));
	memcpy(to->classes, events.classes, sizeof(events.classes));
	memcpy(to->ticks, events.ticks, sizeof(events.ticks));
	memcpy(to->addresses, events.addresses, sizeof(events.addresses));
	memcpy(to->sizes, events.sizes, sizeof(events.sizes));
	memcpy(to->stacks, events.stacks, sizeof(events.stacks));
	memcpy(to->details, events.details, sizeof(events.details));
	to->count = events.count;
	to->details_used = events.details_count;
}

static void nodes(struct program *program, struct input *input)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__StackNodes message = HEAPTAPE__STACK_NODES__INIT;
	struct ring_node *to = (struct ring_node *)(program->memory + NODES_OFFSET);
	struct ring_head *head = (struct ring_head *)program->memory;
	unsigned how = take(input), count = 1 + how % 4;
	uint32_t parents[4], marked;
	uint64_t pcs[4];

	message.first_node = take_small(input);
	marked = message.first_node + (how >> 2 & 3);
	for (unsigned i = 0; i < count; i++) {
		parents[i] = take_small(input);
		pcs[i] = 0x4000 + take_word(input);
	}
	message.n_parents = message.n_pcs = count;
	message.by_frame_pointer = &marked;
	message.n_by_frame_pointer = (how & 0xa0) == 0x20;
	message.parents = parents;
	message.pcs = pcs;
	if (how & 0x80) { /* into the memory */
		for (unsigned i = 0; i < count && message.first_node < NODES - count; i++)
			to[message.first_node + i] =
				(struct ring_node){ how & 0x40 ? 0 : pcs[i], parents[i],
						    how >> 5 & 1, 0 };
		head->nodes_used = message.first_node + count;
		return;
	}
	frame.body_case = HEAPTAPE__FRAME__BODY_STACK_NODES;
	frame.stack_nodes = &message;
	send_frame(program, &frame);
}

static void module(struct program *program, struct input *input)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__Module message = HEAPTAPE__MODULE__INIT;
	uint8_t id = (uint8_t)take(input);
	char path[] = "/m?";

	path[2] = (char)('a' + id % 4);
	message.start = 0x4000 + take(input);
	message.end = message.start + take_word(input);
	message.load_bias = take_word(input);
	message.path = path;
	message.build_id = (ProtobufCBinaryData){ id & 0x10 ? 1 : 0, &id };
	message.unloaded = id & 0x80;
	message.ticks = world.now_ns;
	frame.body_case = HEAPTAPE__FRAME__BODY_MODULE;
	frame.module = &message;
	send_frame(program, &frame);
}

static void thread(struct program *program, struct input *input)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__ThreadStart start = HEAPTAPE__THREAD_START__INIT;
	Heaptape__ThreadEnd end = HEAPTAPE__THREAD_END__INIT;
	unsigned how = take(input);

	if (how & 0x80) {
		end.thread = 1 + how % THREADS;
		end.ticks = world.now_ns;
		end.events = how & 0x40 ? take_word(input) : program->next_seq[end.thread];
		frame.body_case = HEAPTAPE__FRAME__BODY_THREAD_END;
		frame.thread_end = &end;
	} else {
		start.thread = how & 0x40 ? take_small(input) : 1 + how % THREADS;
		start.tid = take(input);
		start.name = (char *)"t";
		start.ticks = world.now_ns;
		frame.body_case = HEAPTAPE__FRAME__BODY_THREAD_START;
		frame.thread_start = &start;
	}
	send_frame(program, &frame);
}

static void last_words(struct program *program, struct input *input)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__ProcessEnd end = HEAPTAPE__PROCESS_END__INIT;
	Heaptape__Losses losses = HEAPTAPE__LOSSES__INIT;
	Heaptape__Misuse misuse = HEAPTAPE__MISUSE__INIT;
	uint64_t reasons[STACK_CUT_COUNT + 1] = { 0 };
	unsigned how = take(input);

	losses.dropped_events = take_small(input);
	losses.cut_stacks = reasons[1 + how % STACK_CUT_COUNT] = take_small(input);
	losses.cut_reasons = reasons;
	losses.n_cut_reasons = how % (STACK_CUT_COUNT + 2);
	misuse.ticks = world.now_ns;
	misuse.thread = take_small(input);
	misuse.kind = how % 8;
	misuse.address = misuse.block = take_word(input);
	misuse.stack = misuse.allocated_stack = take_small(input);
	misuse.text = (char *)"?";
	end.ticks = take_word(input);
	end.how = how % 8;
	end.losses = how & 8 ? &losses : NULL;
	if (how & 0x80) {
		frame.body_case = HEAPTAPE__FRAME__BODY_LOSSES;
		frame.losses = &losses;
	} else if (how & 0x40) {
		frame.body_case = HEAPTAPE__FRAME__BODY_MISUSE;
		frame.misuse = &misuse;
	} else {
		frame.body_case = HEAPTAPE__FRAME__BODY_PROCESS_END;
		frame.process_end = &end;
	}
	send_frame(program, &frame);
}

/* A number in the head of the memory or of a buffer, but for where things are. */
static void poke(struct program *program, struct input *input)
{
	unsigned where = take(input);
	uint64_t value = take_word(input);
	size_t first = offsetof(struct ring_head, buffers_used);

	if (!program->used)
		return;
	if (where == 0x7f)
		((struct ring_head *)program->memory)->forks++;
	else if (where & 0x80)
		memcpy((uint8_t *)buffer_of(program, where % BUFFERS) +
			       (where >> 2 & 15) * sizeof(uint32_t),
		       &value, sizeof(uint32_t));
	else
		memcpy(program->memory + first + where * 4 % (sizeof(struct ring_head) - first - 4),
		       &value, sizeof(uint32_t));
}

/* Its connection is closed, and it may go on as another program; or it is seen to end while a child
 * of it has the connection still. */
static void end(struct program *program, struct input *input)
{
	struct peer *peer = find_peer(program->daemon_end);
	unsigned how = take(input);

	if (!(how & 2))
		life_end(program);
	if (how % 2)
		disconnect(&program->fd);
	else if (peer && peer->state == PEER_PROGRAM)
		peer_gone(peer);
}

/* The command starts a run, or says how its program ended, or goes. */
static void command(struct input *input)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__RunStart start = HEAPTAPE__RUN_START__INIT;
	Heaptape__RunEnd end = HEAPTAPE__RUN_END__INIT;
	unsigned how = take(input);
	char *dormant = (char *)"HEAPTAPE_DORMANT=1";

	if (command_fd < 0) {
		connect_to_daemon(&command_fd, &command_daemon_end, 0);
		start.wire_version = WIRE_VERSION;
		start.label = (char *)"l";
		start.cwd = (char *)"/";
		start.settings = &dormant;
		start.n_settings = how & 1;
		frame.body_case = HEAPTAPE__FRAME__BODY_RUN_START;
		frame.run_start = &start;
	} else if (how & 2) {
		disconnect(&command_fd);
		read_end(command_daemon_end);
		return;
	} else {
		end.pid = 1 + how / 4 % 4;
		end.exit_code = how >> 4;
		end.exit_signal = how & 1 ? 9 : 0;
		frame.body_case = HEAPTAPE__FRAME__BODY_RUN_END;
		frame.run_end = &end;
	}
	scene_send(command_fd, frame_bytes, scene_pack(&frame, frame_bytes), -1);
	read_end(command_daemon_end);
}

static void control(struct input *input)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__RunControl message = HEAPTAPE__RUN_CONTROL__INIT;
	struct run *run = server.daemon.runs;
	unsigned how = take(input);
	int daemon_end;

	disconnect(&control_fd);
	connect_to_daemon(&control_fd, &daemon_end, 0);
	message.wire_version = WIRE_VERSION;
	message.run_id = run ? (uint64_t)run->run_id : 1;
	message.started_at = run ? run->started_at : 0;
	message.action = (Heaptape__RunControlAction)(how % 5);
	message.label = (char *)"s";
	message.wait_ms = how & 0x80 ? UINT32_MAX : 0;
	frame.body_case = HEAPTAPE__FRAME__BODY_RUN_CONTROL;
	frame.run_control = &message;
	scene_send(control_fd, frame_bytes, scene_pack(&frame, frame_bytes), -1);
	read_end(daemon_end);
}

/* Somebody announces a program that is not recorded: itself, one that it has started, or the command. */
static void unrecorded(struct program *program, struct input *input)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__Unrecorded message = HEAPTAPE__UNRECORDED__INIT;
	struct run *run = server.daemon.runs;
	unsigned how = take(input);
	int passed_fd = -1;

	message.run_token = run && !(how & 0x40) ? run->token : 0;
	message.pid = 1 + how % 4;
	message.parent_pid = how >> 2 & 3;
	message.reason = how & 0x80 ? 0 : 1 + take(input) % 8;
	message.executable = (char *)"u";
	message.started = how & 0x10;
	frame.body_case = HEAPTAPE__FRAME__BODY_UNRECORDED;
	frame.unrecorded = &message;
	if (how & 0x20 && command_fd >= 0) {
		/* The daemon looks for this process itself, so it must not be one that lives. */
		message.pid += STRANGER_PID;
		scene_send(command_fd, frame_bytes, scene_pack(&frame, frame_bytes), -1);
		read_end(command_daemon_end);
		return;
	}
	if (program->fd < 0) {
		if (program->life[0] < 0)
			life_begin(program);
		connect_to_daemon(&program->fd, &program->daemon_end, peer_pid(take(input)));
		passed_fd = message.started ? program->life[0] : -1;
	}
	scene_send(program->fd, frame_bytes, scene_pack(&frame, frame_bytes), passed_fd);
	read_end(program->daemon_end);
}

static void foreign(struct program *program, struct input *input)
{
	Heaptape__Frame frame = HEAPTAPE__FRAME__INIT;
	Heaptape__ForeignHeap message = HEAPTAPE__FOREIGN_HEAP__INIT;

	message.ticks = take_word(input);
	message.path = (char *)"/f";
	message.symbols = take_small(input);
	frame.body_case = HEAPTAPE__FRAME__BODY_FOREIGN_HEAP;
	frame.foreign_heap = &message;
	send_frame(program, &frame);
	read_end(program->daemon_end);
}

/* So much seems to wait in other processes. */
static void press(size_t bytes)
{
	server.daemon.pending_bytes += bytes - pressure;
	pressure = bytes;
}

/* What lies on disk is lost, and what is put there; or nothing more can be put there. */
static void lose_spilled(unsigned how)
{
	for (struct process *p = server.daemon.processes; p; p = p->next) {
		if (!p->spill.tried || p->spill.fd < 0)
			continue;
		close(p->spill.fd);
		p->spill.fd = open("/dev/null", O_CLOEXEC | (how & 1 ? O_RDONLY : O_RDWR));
	}
}

static int out_of_operations(void *context)
{
	(void)context;
	return operations_left-- <= 0;
}

static int refuse_commit(void *context)
{
	(void)context;
	return 1;
}

/* The database fails from now on, soon, or when something is committed; or it does no more. */
static void spoil(unsigned how)
{
	sqlite3 *db = server.daemon.writer.db;

	sqlite3_exec(db, how % 4 == 1 ? "PRAGMA query_only=ON" : "PRAGMA query_only=OFF", NULL,
		     NULL, NULL);
	operations_left = how >> 2;
	sqlite3_progress_handler(db, 16, how % 4 == 2 ? out_of_operations : NULL, NULL);
	sqlite3_commit_hook(db, how % 4 == 3 ? refuse_commit : NULL, NULL);
}

/* What happens around the daemon. */
static void around(struct program *program, struct input *input)
{
	unsigned what = take(input), how = take(input);

	switch (what % 14) {
	case 12:
	case 13:
		for (unsigned i = 0; i < 1 + what / 14 % 3; i++)
			many(program, how);
		break;
	case 0:
		press(how ? WAITING_BYTES_ALL + 1 - (how - 1) * 512u : 0);
		break;
	case 1:
		lose_spilled(how);
		break;
	case 2:
	case 3:
		spoil(how);
		break;
	case 4:
		unrecorded(program, input);
		break;
	case 5:
		foreign(program, input);
		break;
	case 6:
		life_end(program);
		break;
	case 7:
		life_begin(program);
		break;
	case 8:
		world.pending = how % 3;
		world.status_error = how & 0x40 ? -EAGAIN : how & 0x80 ? -ENOTSUP : 0;
		world.status = how & 4 ? 9 : (int)(how >> 3 & 3) << 8;
		break;
	case 9:
		world_rest(how & 1);
		break;
	default:
		world.now_ns += UINT64_C(1) << how % 36;
		break;
	}
}

/* What the daemon does from time to time. `how`: long after. */
static void tick(unsigned how)
{
	struct peer *peer, *next;

	if (how & 1)
		for (struct process *p = server.daemon.processes; p; p = p->next)
			p->off_ns = p->off_ns ? 1 : 0;
	for (peer = server.peers.first; peer; peer = next) {
		next = peer->next;
		if (how & 2)
			peer->control.began_ns = 0;
		if (peer->state == PEER_NEW && how & 4) {
			peer_read(peer);
			break; /* others may have gone with it */
		}
	}
	for (struct process *p = server.daemon.processes; p; p = p->next)
		process_poll(p);
	follow_tick(&server.daemon);
	for (peer = server.peers.first; peer && how & 64; peer = peer->next)
		if (peer->is_gone ||
		    (peer->process && peer->gone && pidfd_has_ended(peer->process->pidfd))) {
			peer_gone(peer);
			break;
		}
	controls_check(&server.peers.controls);
	if (how & 8)
		commit_all(&server.daemon);
	for (peer = server.peers.first; peer; peer = next) {
		next = peer->next;
		if (peer->state == PEER_LEFT && how & 32)
			peer_free(peer);
	}
	for (peer = server.peers.first; peer; peer = next) {
		next = peer->next;
		if (peer->state == PEER_UNRECORDED && unrecorded_is_due(peer->unrecorded))
			peer_free(peer);
	}
	commit_due(&server.daemon);
	for (struct run *run = server.daemon.runs, *next_run; run; run = next_run) {
		next_run = run->next;
		if (how & 128)
			run_look(run);
		run_check(run, how & 16);
	}
}

static void step(struct input *input)
{
	unsigned what = take(input);
	struct program *program = &programs[what >> 4 & 3 ? (what >> 4) % PROGRAMS : 0];

	server.daemon.failure_told = true; /* of each that was made up nobody needs to hear */

	switch (what & 15) {
	case 0:
		hello(program, input);
		break;
	case 1:
	case 2:
	case 3:
		batch(program, input);
		break;
	case 4:
	case 5:
		buffer(program, input);
		break;
	case 6:
		nodes(program, input);
		break;
	case 7:
		module(program, input);
		break;
	case 8:
		thread(program, input);
		break;
	case 9:
		last_words(program, input);
		break;
	case 10:
		poke(program, input);
		break;
	case 11:
		command(input);
		return;
	case 12:
		control(input);
		return;
	case 13:
		end(program, input);
		break;
	case 14:
		tick(take(input));
		return;
	default:
		around(program, input);
		return;
	}
	if (!(what & 0x80)) /* else more is sent before it is read */
		read_end(program->daemon_end);
}

/* -- what must be true in the end -- */

static void print_rows(const char *format, int64_t after)
{
	char *sql = sqlite3_mprintf(format, (long long)after);
	sqlite3_stmt *rows = NULL;

	if (sqlite3_prepare_v2(server.daemon.writer.db, sql, -1, &rows, NULL) != SQLITE_OK)
		abort();
	while (sqlite3_step(rows) == SQLITE_ROW) {
		fprintf(stderr, "%s:", sql);
		for (int i = 0; i < sqlite3_column_count(rows); i++)
			if (sqlite3_column_type(rows, i) != SQLITE_BLOB)
				fprintf(stderr, " %s=%s", sqlite3_column_name(rows, i),
					(const char *)sqlite3_column_text(rows, i));
		fprintf(stderr, "\n");
	}
	sqlite3_finalize(rows);
	sqlite3_free(sql);
}

static void print_all(int64_t after)
{
	print_rows("SELECT * FROM runs", after);
	print_rows("SELECT * FROM notes", after);
	print_rows("SELECT * FROM processes WHERE process_id > %lld", after);
	print_rows("SELECT * FROM threads WHERE process_id > %lld", after);
	print_rows("SELECT * FROM gaps WHERE process_id > %lld", after);
	print_rows("SELECT * FROM stack_totals WHERE process_id > %lld", after);
	print_rows("SELECT * FROM chunks WHERE process_id > %lld", after);
}

static void must_be_none(const char *sql, int64_t after)
{
	static struct {
		const char *sql;
		sqlite3_stmt *statement;
	} kept[12];
	unsigned at = 0;

	while (kept[at].sql && kept[at].sql != sql)
		at++;
	kept[at].sql = sql;
	if (!kept[at].statement && sqlite3_prepare_v2(server.daemon.writer.db, sql, -1,
						      &kept[at].statement, NULL) != SQLITE_OK)
		abort();
	sqlite3_bind_int64(kept[at].statement, 1, after);
	if (sqlite3_step(kept[at].statement) != SQLITE_DONE) {
		fprintf(stderr, "not so: %s\n", sql);
		print_all(after);
		abort();
	}
	sqlite3_reset(kept[at].statement);
}

#define THREADS_CHECKED 64u

struct order {
	int64_t process_id;
	uint64_t next_seq[THREADS_CHECKED]; /* of its first threads */
	uint64_t missing;		    /* events of these, before others that are there */
};

/* A process has no more chunks: what is missing in them was counted, or its last row was not written,
 * and it is called cut. */
static void check_missing(const struct order *order)
{
	static sqlite3_stmt *lost;

	if (!lost && sqlite3_prepare_v2(server.daemon.writer.db,
					"SELECT lost_events FROM processes WHERE process_id = ? "
					"AND ending <> 'cut'",
					-1, &lost, NULL) != SQLITE_OK)
		abort();
	sqlite3_bind_int64(lost, 1, order->process_id);
	if (order->missing && sqlite3_step(lost) == SQLITE_ROW &&
	    (uint64_t)sqlite3_column_int64(lost, 0) < order->missing) {
		fprintf(stderr, "process %lld: %llu events are missing, and it says %lld\n",
			(long long)order->process_id, (unsigned long long)order->missing,
			(long long)sqlite3_column_int64(lost, 0));
		print_all(order->process_id - 1);
		abort();
	}
	sqlite3_reset(lost);
}

/* Nothing is there twice, and a thread's events are in their order. */
static void check_order(struct order *order, int64_t process_id,
			const struct chunk_columns *columns)
{
	if (process_id != order->process_id) {
		check_missing(order);
		*order = (struct order){ .process_id = process_id };
	}
	for (unsigned i = 0; i < columns->events; i++) {
		uint32_t number = columns->thread[i];

		if (number >= THREADS_CHECKED)
			continue;
		if (columns->seq[i] < order->next_seq[number])
			abort();
		order->missing += columns->seq[i] - order->next_seq[number];
		order->next_seq[number] = columns->seq[i] + 1;
	}
}

static void check_chunks(int64_t after)
{
	static sqlite3_stmt *blobs;
	struct chunk_columns columns;
	struct order order = { 0 };

	if (!blobs && sqlite3_prepare_v2(server.daemon.writer.db,
					 "SELECT blob, events, process_id FROM chunks "
					 "WHERE process_id > ? ORDER BY process_id, chunk_id",
					 -1, &blobs, NULL) != SQLITE_OK)
		abort();
	sqlite3_bind_int64(blobs, 1, after);
	while (sqlite3_step(blobs) == SQLITE_ROW) {
		if (chunk_reader_decode(reader, sqlite3_column_blob(blobs, 0),
					(size_t)sqlite3_column_bytes(blobs, 0), CHUNK_ALL,
					&columns) != 0 ||
		    columns.events != (unsigned)sqlite3_column_int(blobs, 1))
			abort();
		check_order(&order, sqlite3_column_int64(blobs, 2), &columns);
	}
	check_missing(&order);
	sqlite3_reset(blobs);
}

static int64_t last_process(void)
{
	static sqlite3_stmt *last;
	int64_t id;

	if (!last && sqlite3_prepare_v2(server.daemon.writer.db,
					"SELECT coalesce(max(process_id), 0) FROM processes", -1,
					&last, NULL) != SQLITE_OK)
		abort();
	sqlite3_step(last);
	id = sqlite3_column_int64(last, 0);
	sqlite3_reset(last);
	return id;
}

/* `failed`: the database did not take everything, so some rows are older than others. */
static void check(int64_t after, bool failed)
{
	must_be_none("SELECT process_id FROM processes WHERE process_id > ? AND ending = 'running'",
		     after);
	must_be_none("SELECT run_id FROM runs WHERE state = 'running' AND ? >= 0", after);
	must_be_none(
		"SELECT process_id, events FROM processes p WHERE process_id > ? AND events <> "
		"(SELECT total(events) FROM chunks c WHERE c.process_id = p.process_id)",
		after);
	must_be_none(
		"SELECT process_id FROM processes JOIN runs USING (run_id) WHERE process_id > ? "
		"AND state = 'complete' AND (lost_events > 0 OR ending IN ('cut', 'running') "
		"OR unrecorded_reason IS NOT NULL)",
		after);
	must_be_none(
		"SELECT process_id FROM processes JOIN runs USING (run_id) WHERE process_id > ? "
		"AND state <> 'cut' AND ending = 'cut'",
		after);
	check_chunks(after);
	if (failed)
		return;
	must_be_none(
		"SELECT process_id, events FROM processes p WHERE process_id > ? AND events <> "
		"(SELECT total(events) FROM threads t WHERE t.process_id = p.process_id)",
		after);
	must_be_none("SELECT process_id FROM processes p WHERE process_id > ? AND "
		     "(allocations, frees, live_blocks) <> "
		     "(SELECT total(allocations), total(frees), total(live_blocks) "
		     "FROM stack_totals t WHERE t.process_id = p.process_id)",
		     after);
}

static void clean(struct program *program)
{
	disconnect(&program->fd);
	program->daemon_end = -1;
	if (program->used)
		memset(program->memory, 0, MEMORY_BYTES);
	program->used = false;
	life_release(program);
}

/* Nothing fails any more, nobody lives, and time passes until all is over. */
static void end_all(void)
{
	spoil(0);
	press(0);
	world.over = true;
	while (server.peers.first)
		peer_read(server.peers.first);
	commit_all(&server.daemon);
	for (unsigned tries = 0; server.daemon.runs; tries++) {
		if (tries == END_TRIES)
			abort();
		world.now_ns += UINT64_C(10000000000);
		for (struct run *run = server.daemon.runs, *next; run; run = next) {
			next = run->next;
			run_look(run);
			run_check(run, false);
		}
		commit_all(&server.daemon);
	}
	if (server.daemon.processes || server.daemon.pending_bytes ||
	    server.daemon.writers_in_use || server.daemon.writer.failed)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct input input = { data, data + bytes };
	static unsigned inputs;
	uint64_t failures;
	int64_t after;

	if (!server.base)
		make();
	if (++inputs % ROWS_LIVE == 0)
		scene_clear();
	world_begin();
	server.daemon.commit_ns = world.now_ns;
	failures = server.daemon.writer.failures;
	after = last_process();
	for (unsigned steps = 0; steps < STEPS_MAX && input.at < input.end; steps++)
		step(&input);
	for (unsigned i = 0; i < PROGRAMS; i++)
		disconnect(&programs[i].fd);
	disconnect(&command_fd);
	disconnect(&control_fd);
	end_all();
	check(after, server.daemon.writer.failures != failures);
	for (unsigned i = 0; i < PROGRAMS; i++)
		clean(&programs[i]);
	return 0;
}
