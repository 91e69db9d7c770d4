/*
 * Call trees: the stacks of a profile merged by what their frames are called, with their
 * sums in every node.
 */
#ifndef HEAPTAPE_VIEWER_MODEL_TREE_H
#define HEAPTAPE_VIEWER_MODEL_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "viewer/intern.h"
#include "viewer/model/profile.h"

enum tree_group { TREE_BY_FUNCTION, TREE_BY_MODULE, TREE_BY_FILE };

struct tree_node {
	uint32_t label; /* in tree.labels */
	uint32_t frame; /* one frame that has this label */
	bool mixed;	/* its frames stand on different lines */
	bool folded;	/* it stands for several frames (frame_fold) */
	uint32_t first_child, next;
	int64_t values[METRIC_COUNT];
};

struct tree {
	struct intern *labels;
	struct tree_node *nodes; /* 0 is the root */
	uint32_t count, room;
	uint32_t *slots; /* (parent, label) -> node */
	uint32_t slot_count;
	enum metric sort;
};

struct tree_options {
	enum tree_group group;
	bool bottom_up;	  /* the root's children are the call sites, not the outermost callers */
	bool whole;	  /* with the allocators' frames inside and the start-up outside */
	enum metric sort; /* stacks without any of it stay out */
	bool all;	  /* no stack stays out */
};

void tree_build(const struct profile *profile, const struct tree_options *options,
		struct tree *ret_tree);
void tree_release(struct tree *tree);
const char *tree_label(const struct tree *tree, uint32_t node);
/* Children everywhere by the metric asked for, the greatest first. */
void tree_sort(struct tree *tree);

/* "function", "module" or "file"; false for anything else. */
bool tree_group_parse(const char *text, enum tree_group *ret_group);

#endif
