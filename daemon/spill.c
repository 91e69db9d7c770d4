#include "daemon/spill.h"

#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon/writer.h"

#define COLUMNS 7

/* No file grows beyond this. */
#define SPILL_BYTES_MAX (UINT64_C(4) << 30)

/* The columns from the batch's place on, the widest first, so that all stay aligned. */
static size_t columns_of(const struct batch *batch, struct iovec columns[COLUMNS])
{
	uint32_t at = batch->at, n = batch->count - at,
		 words = batch->details_count - batch->details_at;
	size_t bytes = 0;

#define COLUMN(i, name, from, count)                                                      \
	columns[i] = (struct iovec){ batch->name ? (void *)(batch->name + (from)) : NULL, \
				     (count) * sizeof(*batch->name) }
	COLUMN(0, ticks, at, n);
	COLUMN(1, addresses, at, n);
	COLUMN(2, details, batch->details_at, words);
	COLUMN(3, sizes, at, n);
	COLUMN(4, stacks, at, n);
	COLUMN(5, kinds, at, n);
	COLUMN(6, classes, at, n);
#undef COLUMN
	for (unsigned i = 0; i < COLUMNS; i++)
		bytes += columns[i].iov_len;
	return bytes;
}

struct batch *spill_put(struct spill *spill, const char *path, const struct batch *batch)
{
	struct iovec columns[COLUMNS];
	size_t bytes = columns_of(batch, columns);
	struct batch *stub;

	if (!spill->tried)
		spill->fd = writer_unnamed_file(path);
	spill->tried = true;
	if (spill->fd < 0 || spill->end + bytes > SPILL_BYTES_MAX)
		return NULL;
	stub = calloc(1, sizeof(*stub));
	if (!stub)
		return NULL;
	if (pwritev(spill->fd, columns, COLUMNS, (off_t)spill->end) != (ssize_t)bytes) {
		free(stub);
		return NULL;
	}
	stub->first_seq = batch->first_seq + batch->at;
	stub->thread = batch->thread;
	stub->count = batch->count - batch->at;
	stub->details_count = batch->details_count - batch->details_at;
	stub->spilled = true;
	stub->spill_at = spill->end;
	stub->spill_ticks = batch->ticks[batch->at];
	spill->end += bytes;
	spill->left++;
	return stub;
}

/* What nobody will read any more is cut off. */
static void taken(struct spill *spill)
{
	if (--spill->left == 0 && ftruncate(spill->fd, 0) == 0)
		spill->end = 0;
}

bool spill_get(struct spill *spill, struct batch *batch)
{
	struct iovec columns[COLUMNS];
	size_t bytes = columns_of(batch, columns);
	uint8_t *room = slab_take(&batch->slabs, bytes);
	bool whole =
		room && pread(spill->fd, room, bytes, (off_t)batch->spill_at) == (ssize_t)bytes;

	taken(spill);
	if (!whole) {
		slab_release(&batch->slabs);
		return false;
	}
	for (unsigned i = 0; i < COLUMNS; i++) {
		columns[i].iov_base = room;
		room += columns[i].iov_len;
	}
	batch->ticks = columns[0].iov_base;
	batch->addresses = columns[1].iov_base;
	batch->details = columns[2].iov_base;
	batch->sizes = columns[3].iov_base;
	batch->stacks = columns[4].iov_base;
	batch->kinds = columns[5].iov_base;
	batch->classes = columns[6].iov_base;
	return true;
}

void spill_release(struct spill *spill)
{
	if (spill->tried && spill->fd >= 0)
		close(spill->fd);
}
