#include "viewer/model/tree.h"

#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/model/frame.h"

static uint32_t slot_hash(uint32_t parent, uint32_t label)
{
	uint64_t key = ((uint64_t)parent << 32 | label) * 0x9e3779b97f4a7c15u;

	return (uint32_t)(key >> 32);
}

/* `parents` says, beside the nodes, whose child each is. */
static void slots_grow(struct tree *tree, const uint32_t *parents)
{
	free(tree->slots);
	tree->slot_count = tree->slot_count ? 2 * tree->slot_count : 256;
	tree->slots = memory_alloc(tree->slot_count * sizeof(*tree->slots));
	for (uint32_t node = 1; node < tree->count; node++) {
		uint32_t at = slot_hash(parents[node], tree->nodes[node].label);

		while (tree->slots[at & (tree->slot_count - 1)])
			at++;
		tree->slots[at & (tree->slot_count - 1)] = node;
	}
}

static uint32_t child_of(struct tree *tree, uint32_t **parents, uint32_t parent, uint32_t label)
{
	uint32_t at, node;

	if (2 * tree->count >= tree->slot_count)
		slots_grow(tree, *parents);
	for (at = slot_hash(parent, label);; at++) {
		node = tree->slots[at & (tree->slot_count - 1)];
		if (!node)
			break;
		if ((*parents)[node] == parent && tree->nodes[node].label == label)
			return node;
	}
	if (tree->count == tree->room) {
		tree->room *= 2;
		tree->nodes = memory_grow(tree->nodes, tree->room * sizeof(*tree->nodes));
		*parents = memory_grow(*parents, tree->room * sizeof(**parents));
	}
	node = tree->count++;
	tree->slots[at & (tree->slot_count - 1)] = node;
	tree->nodes[node] =
		(struct tree_node){ .label = label, .next = tree->nodes[parent].first_child };
	tree->nodes[parent].first_child = node;
	(*parents)[node] = parent;
	return node;
}

/* What a frame is called in that grouping. */
static const char *frame_label(const struct profile *profile, uint32_t id, enum tree_group group)
{
	const struct frame *frame = &profile->frames[id];
	const struct module *module = &profile->modules[frame->module];

	if (!id || group == TREE_BY_FUNCTION)
		return frame_name(profile, id);
	if (group == TREE_BY_FILE && frame->file)
		return frame->file;
	return module->path && *module->path ? module->name : "(no module)";
}

/* Frames outside of main, or of a thread's own function: the same for every stack. */
static size_t without_startup(const struct profile *profile, const uint32_t *frames, size_t count)
{
	size_t kept = count;

	while (kept > 1) {
		const struct frame *frame = &profile->frames[frames[kept - 1]];
		const struct frame *inner = &profile->frames[frames[kept - 2]];
		bool start = frame->function ? !strcmp(frame->function, "_start")
					     : profile->modules[inner->module].runtime;

		/* _start of a stripped program has no name, but calls the C library. */
		if (!profile->modules[frame->module].runtime && !(start && kept == count))
			break;
		kept--;
	}
	return profile->modules[profile->frames[frames[kept - 1]].module].runtime ? count : kept;
}

/* The stack's frames as the tree takes them, innermost first. */
static size_t tree_frames(const struct profile *profile, const struct tree_options *options,
			  uint32_t stack, uint32_t *frames)
{
	size_t count = profile_frames(profile, stack, frames, PROFILE_DEPTH_MAX), skip = 0;
	uint32_t site = options->whole ? 0 : profile_site(profile, stack);

	if (!options->whole && count)
		count = without_startup(profile, frames, count);
	while (skip < count &&
	       (options->whole ? profile->modules[profile->frames[frames[skip]].module].shim
			       : frames[skip] != site))
		skip++;
	if (skip == count)
		skip = 0;
	memmove(frames, frames + skip, (count - skip) * sizeof(*frames));
	count -= skip;
	if (!count)
		frames[count++] = 0; /* "(stack unknown)" */
	return count;
}

/* A row of a stack: a frame, or several that are folded. */
struct step {
	uint32_t frame, label;
	bool folded;
};

/* The stack's rows, innermost first. The call site itself is never folded. */
static size_t tree_steps(const struct profile *profile, const struct tree_options *options,
			 struct intern *labels, uint32_t stack, struct step *steps)
{
	uint32_t frames[PROFILE_DEPTH_MAX];
	size_t count = tree_frames(profile, options, stack, frames), step_count = 0, length;
	bool fold = !options->whole && options->group == TREE_BY_FUNCTION;

	for (size_t at = 0; at < count; at += length) {
		char *text = NULL;
		uint32_t frame = frames[at];

		length = fold && at ? frame_fold(profile, frames + at, count - at, &text) : 1;
		steps[step_count++] = (struct step){
			frame,
			(uint32_t)intern_put(
				labels, text ? text : frame_label(profile, frame, options->group)),
			text != NULL
		};
		free(text);
	}
	return step_count;
}

static void node_frame(const struct profile *profile, struct tree_node *node, uint32_t frame)
{
	if (!node->frame)
		node->frame = frame;
	else if (profile->frames[node->frame].line != profile->frames[frame].line)
		node->mixed = true;
}

static void node_add(struct tree_node *node, const struct total *total)
{
	for (int metric = 0; metric < METRIC_COUNT; metric++)
		node->values[metric] += total->values[metric];
}

void tree_build(const struct profile *profile, const struct tree_options *options,
		struct tree *ret_tree)
{
	struct tree tree = {
		.labels = intern_new(), .room = 256, .count = 1, .sort = options->sort
	};
	uint32_t *parents = memory_alloc(tree.room * sizeof(*parents));
	struct step *steps = memory_alloc(PROFILE_DEPTH_MAX * sizeof(*steps));

	tree.nodes = memory_alloc(tree.room * sizeof(*tree.nodes));
	for (size_t i = 0; i < profile->total_count; i++) {
		const struct total *total = &profile->totals[i];
		size_t count;
		uint32_t node = 0, last_label = UINT32_MAX;

		if (!options->all && total->values[options->sort] <= 0)
			continue;
		count = tree_steps(profile, options, tree.labels, total->stack, steps);
		node_add(&tree.nodes[0], total);
		for (size_t at = 0; at < count; at++) {
			const struct step *step = &steps[options->bottom_up ? at : count - 1 - at];

			/* Calls within one module or file are one step. */
			if (options->group != TREE_BY_FUNCTION && step->label == last_label)
				continue;
			last_label = step->label;
			node = child_of(&tree, &parents, node, step->label);
			node_frame(profile, &tree.nodes[node], step->frame);
			tree.nodes[node].folded |= step->folded;
			node_add(&tree.nodes[node], total);
		}
	}
	free(steps);
	free(parents);
	*ret_tree = tree;
}

void tree_release(struct tree *tree)
{
	intern_free(tree->labels);
	free(tree->nodes);
	free(tree->slots);
	*tree = (struct tree){ 0 };
}

const char *tree_label(const struct tree *tree, uint32_t node)
{
	return node ? intern_text(tree->labels, tree->nodes[node].label) : "all";
}

static int compare_nodes(const void *a, const void *b, void *context)
{
	const struct tree *tree = context;
	uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
	int64_t left = tree->nodes[one].values[tree->sort],
		right = tree->nodes[other].values[tree->sort];

	if (left != right)
		return left < right ? 1 : -1;
	return strcmp(tree_label(tree, one), tree_label(tree, other));
}

void tree_sort(struct tree *tree)
{
	uint32_t *children = memory_alloc(tree->count * sizeof(*children));

	for (uint32_t parent = 0; parent < tree->count; parent++) {
		uint32_t count = 0, *link = &tree->nodes[parent].first_child;

		for (uint32_t at = *link; at; at = tree->nodes[at].next)
			children[count++] = at;
		if (count < 2)
			continue;
		qsort_r(children, count, sizeof(*children), compare_nodes, tree);
		for (uint32_t i = 0; i < count; i++) {
			*link = children[i];
			link = &tree->nodes[children[i]].next;
		}
		*link = 0;
	}
	free(children);
}

bool tree_group_parse(const char *text, enum tree_group *ret_group)
{
	static const char *const names[] = { "function", "module", "file" };

	for (int i = 0; i < 3; i++)
		if (!strcmp(text, names[i])) {
			*ret_group = (enum tree_group)i;
			return true;
		}
	return false;
}
