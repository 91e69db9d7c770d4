/* Modules and stack nodes of a process, and what they are called in the database. */
#include "daemon/process.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/symbols/symbols.h"

/* Nodes come in the order of their numbers, almost: when more than so many below one are still
 * missing it is nonsense, and memory is not spent on it. */
#define NODE_GAP_MAX 65536u
#define NODES_AT_ONCE 512
/* Read from the shared memory of a running process in one go: others wait meanwhile. */
#define NODES_LOOK_MAX 16384u
#define MAPPINGS_MAX 65536u
#define BUILD_ID_MAX 64u

static const struct mapping *mapping_of(const struct process *process, uint64_t pc)
{
	uint32_t low = 0, high = process->mapping_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (process->mappings[middle].start <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	/* The pc is a return address: it may be one past the end of the last function. */
	if (low && pc <= process->mappings[low - 1].end)
		return &process->mappings[low - 1];
	return NULL;
}

/* Forgets what was mapped in [start, end). */
static void unmap(struct process *process, uint64_t start, uint64_t end, uint64_t at_ns)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < process->mapping_count; i++) {
		const struct mapping *mapping = &process->mappings[i];
		struct statement *statement;

		if (mapping->end <= start || mapping->start >= end) {
			process->mappings[kept++] = *mapping;
			continue;
		}
		statement = writer_statement(&process->daemon->writer, SQL_MAPPING_END);
		writer_bind(statement, { P_process_id, (uint64_t)process->process_id },
			    { P_start, mapping->start }, { P_unmapped_ns, at_ns });
		writer_run(&process->daemon->writer, statement);
	}
	process->mapping_count = kept;
}

static void add_mapping(struct process *process, int64_t module_id, const struct mapping *mapping,
			uint64_t at_ns)
{
	struct writer *writer = &process->daemon->writer;
	struct statement *statement = writer_statement(writer, SQL_MAPPING_ADD);

	writer_bind(statement, { P_process_id, (uint64_t)process->process_id },
		    { P_module_id, (uint64_t)module_id }, { P_base, mapping->base },
		    { P_start, mapping->start }, { P_end, mapping->end }, { P_mapped_ns, at_ns });
	writer_run(writer, statement);
}

int process_module(struct process *process, const Heaptape__Module *message)
{
	char build_id[BUILD_ID_MAX * 2 + 1] = "", name[PATH_MAX];
	const char *path = message->path;
	uint64_t at_ns = clock_ns(&process->scale, message->ticks);
	struct mapping *mappings;
	int64_t module_id;
	uint32_t at;

	if (message->start >= message->end || message->build_id.len > BUILD_ID_MAX)
		return -EPROTO;
	if (process->cut)
		return 0;
	unmap(process, message->start, message->end, at_ns);
	if (message->unloaded)
		return 0;
	if (process->mapping_count >= MAPPINGS_MAX)
		return -EPROTO;
	mappings = realloc(process->mappings, (process->mapping_count + 1) * sizeof(*mappings));
	if (!mappings)
		return -ENOMEM;
	process->mappings = mappings;
	for (size_t i = 0; i < message->build_id.len; i++)
		snprintf(build_id + 2 * i, 3, "%02x", message->build_id.data[i]);
	/* By a descriptor's number nobody would know it, nor find it. */
	if (strncmp(path, "/proc/", 6) == 0) {
		kept_kernel_name(&process->kept_user, message->start, name, sizeof(name));
		if (!name[0]) /* it is over */
			kept_offer_name(&process->daemon->kept, &process->kept_user,
					message->first_page, name, sizeof(name));
		if (name[0] && strstr(name, KEPT_DELETED))
			*strstr(name, KEPT_DELETED) = '\0';
		path = name[0] ? name : path;
	}
	module_id = stacks_module(&process->daemon->stacks, path, build_id);
	if (module_id < 0)
		module_id = 0;
	kept_add(&process->daemon->kept, &process->kept_user, module_id, path, message->start,
		 message->first_page);
	for (at = process->mapping_count; at && mappings[at - 1].start > message->start; at--)
		mappings[at] = mappings[at - 1];
	mappings[at] =
		(struct mapping){ message->load_bias, message->start, message->end, module_id };
	process->mapping_count++;
	add_mapping(process, module_id, &mappings[at], at_ns);
	return 0;
}

/* The module of code outside of all modules: made at run time by this process. */
static int64_t jit_module(struct process *process)
{
	char path[64], build_id[64];

	if (!process->jit_module_id) {
		symbols_jit_module(process->pid, process->process_id, path, build_id);
		process->jit_module_id = stacks_module(&process->daemon->stacks, path, build_id);
		if (process->jit_module_id < 0)
			process->jit_module_id = 0;
		add_mapping(process, process->jit_module_id, &(struct mapping){ 0 }, 0);
	}
	return process->jit_module_id;
}

bool process_jit_map_news(struct process *process)
{
	char path[64], build_id[64];
	struct timespec before = process->jit_map_time;
	struct stat status;
	bool news = process->jit_news;

	symbols_jit_module(process->pid, process->process_id, path, build_id);
	if (stat(path, &status) != 0)
		return false;
	process->jit_map_time = status.st_mtim;
	process->jit_news = false;
	return news || before.tv_sec != status.st_mtim.tv_sec ||
	       before.tv_nsec != status.st_mtim.tv_nsec;
}

static int grow_nodes(struct process *process, uint32_t count)
{
	uint32_t capacity = process->node_capacity ? process->node_capacity : 64;
	struct node *nodes;

	if (count <= process->node_capacity)
		return 0;
	while (capacity < count)
		capacity *= 2;
	nodes = realloc(process->nodes, capacity * sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	process->nodes = nodes;
	process->node_capacity = capacity;
	return 0;
}

/* Defines node `number`, which is new or not defined yet. */
static int define(struct process *process, uint32_t number, uint32_t parent, uint64_t pc,
		  bool by_frame_pointer)
{
	struct stacks *stacks = &process->daemon->stacks;
	const struct mapping *mapping = mapping_of(process, pc);
	struct node *node;
	int64_t frame_id, stack_id;
	uint64_t added;
	int error;

	if (number == 0 || parent >= number)
		return -EPROTO;
	if (number > process->nodes_defined + NODE_GAP_MAX)
		return -EPROTO;
	error = grow_nodes(process, number + 1);
	if (error)
		return error;
	while (process->node_count <= number)
		process->nodes[process->node_count++] = (struct node){ 0 };
	node = &process->nodes[number];
	if (node->depth)
		return 0;
	process->nodes_defined++;
	node->depth = process->nodes[parent].depth;
	if (node->depth < UINT16_MAX)
		node->depth++;
	while (process->nodes_whole < process->node_count &&
	       process->nodes[process->nodes_whole].depth)
		process->nodes_whole++;
	added = stacks->frames_added;
	frame_id = mapping ? stacks_frame(stacks, mapping->module_id, pc - mapping->base)
			   : stacks_frame(stacks, jit_module(process), pc);
	/* These have names only where the program says them. */
	if (!mapping && stacks->frames_added != added) {
		stacks->frames_added = added;
		process->jit_news = true;
	}
	if (frame_id < 0)
		return 0; /* the database failed; the process goes on without */
	stack_id = stacks_stack(stacks, process->nodes[parent].stack_id, frame_id, node->depth,
				by_frame_pointer);
	if (stack_id > 0 && stack_id <= UINT32_MAX)
		node->stack_id = (uint32_t)stack_id;
	return 0;
}

int process_nodes(struct process *process, const Heaptape__StackNodes *message)
{
	size_t marks = 0;

	if (message->n_parents != message->n_pcs || message->first_node == 0 ||
	    message->n_pcs > UINT32_MAX - message->first_node)
		return -EPROTO;
	if (process->cut)
		return 0; /* no event names them any more */
	for (size_t i = 0; i < message->n_pcs; i++) {
		uint32_t number = message->first_node + (uint32_t)i;
		bool marked = marks < message->n_by_frame_pointer &&
			      message->by_frame_pointer[marks] == number;
		int error = define(process, number, message->parents[i], message->pcs[i], marked);

		marks += marked;
		if (error)
			return error;
	}
	return marks == message->n_by_frame_pointer ? 0 : -EPROTO;
}

/*
 * Begins with the first that is missing: its thread may have been slow to fill it in, and what
 * others made since then came through the socket without it. `all`: no thread will fill in any more.
 */
void process_read_nodes(struct process *process, bool all)
{
	struct ring_node nodes[NODES_AT_ONCE];
	uint32_t first = process->nodes_whole, looked = 0;
	int count = NODES_AT_ONCE;

	if (!process->stacks || process->cut)
		return;
	while (count == NODES_AT_ONCE && (all || looked < NODES_LOOK_MAX)) {
		count = ring_read_nodes(&process->ring, first, nodes, NODES_AT_ONCE);
		for (int i = 0; i < count; i++) {
			if (!all && (!nodes[i].pc || !mapping_of(process, nodes[i].pc)))
				return;
			if (!nodes[i].pc)
				continue; /* its thread died before it was complete */
			if (define(process, first + (uint32_t)i, nodes[i].parent, nodes[i].pc,
				   nodes[i].by_frame_pointer) != 0)
				return;
		}
		first += (uint32_t)count;
		looked += NODES_AT_ONCE;
	}
}

bool node_ready(const struct process *process, uint32_t node)
{
	return node < process->nodes_whole || process->cut ||
	       (node < process->node_count && process->nodes[node].depth);
}
