/*
 * Call sites: who is said to have allocated. Not malloc, not operator new, not the container's
 * allocator, but the code that used them. The names that are passed over are rows of tables here.
 */
#ifndef HEAPTAPE_VIEWER_MODEL_SITE_H
#define HEAPTAPE_VIEWER_MODEL_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool site_is_shim(const char *module_name);
bool site_is_runtime(const char *module_name);
bool site_is_made(const char *module_name);
bool site_is_allocator(const char *function);
/* Code of the Rust library, of a crate somebody else wrote, of the C++ library's headers. */
bool site_is_library_file(const char *file);

struct profile;

/* All stacks whose site has the same text. */
struct site {
	char *text;	/* "parse_value json.c:88" */
	uint32_t frame; /* one of its frames */
	uint32_t stacks;
	uint32_t main_stack; /* the stack that allocated most bytes, and how many */
	int64_t main_bytes;
	int64_t values[9]; /* by enum metric */
};

/* Groups the profile's totals; *ret_sites is a heap array. */
size_t sites_group(const struct profile *profile, struct site **ret_sites);
void sites_free(struct site *sites, size_t count);
/* Most of `metric` first. */
void sites_sort(struct site *sites, size_t count, unsigned metric);

#endif
