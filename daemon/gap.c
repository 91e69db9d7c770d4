/*
 * Times when a process was not recorded: what their rows in table gaps say.
 *
 * That recording goes off is known at once, that it went on only from the process's `resume` event,
 * which may be taken when recording is off again. So each time it goes off is noted with the turn
 * that ends it (proto/ring.h). A process that does nothing meanwhile misses turns: then the times
 * before and after are one.
 */
#include "daemon/process.h"

#include <string.h>

#include "daemon/run.h"

void gap_begin(struct process *process, uint64_t from_ns)
{
	if (process->off_count == OFFS_MAX)
		return; /* one with the time before */
	process->offs[process->off_count++] = (struct off){
		.from_ns = from_ns > process->last_ns ? from_ns : process->last_ns,
		.turn = process->turn + 1,
	};
	process->off_dirty = true;
	process->dirty = true;
}

void gap_look(struct process *process)
{
	uint32_t turn = process->ring.head.listed_turn;
	struct gap *gap = &process->gap;

	if (!turn)
		return;
	if (gap->any && gap->turn == turn && !gap->complete)
		gap->complete = gap->dirty = true;
	for (unsigned i = 0; i < process->off_count; i++)
		process->offs[i].listed = process->offs[i].listed || process->offs[i].turn == turn;
}

uint64_t gap_end(struct process *process, uint64_t at_ns, uint32_t turn)
{
	const struct totals *totals = &process->totals;
	struct gap *gap = &process->gap;
	unsigned over = 0;

	gap_save(process);
	*gap = (struct gap){
		.any = true,
		.dirty = true,
		.turn = turn,
		.from_ns = at_ns,
		.to_ns = at_ns,
		.known_blocks = totals_live_blocks(totals),
		.known_bytes = totals_live_bytes(totals),
	};
	while (over < process->off_count && process->offs[over].turn <= turn)
		over++;
	if (over) { /* else nobody knew that it was off */
		gap->from_ns = process->offs[0].from_ns;
		gap->complete = process->offs[over - 1].listed;
	}
	process->off_count -= over;
	memmove(process->offs, process->offs + over, process->off_count * sizeof(*process->offs));
	process->off_dirty = process->off_count > 0;
	return gap->from_ns < at_ns ? gap->from_ns : at_ns;
}

void gap_listed(struct process *process, uint64_t size_bytes, bool kept)
{
	struct gap *gap = &process->gap;

	gap->dirty = true;
	gap->listed_blocks++;
	gap->listed_bytes += size_bytes;
	if (kept) {
		gap->kept_blocks++;
		gap->kept_bytes += size_bytes;
	}
}

static bool save(const struct process *process, const struct gap *gap, bool ended)
{
	struct writer *writer = &process->daemon->writer;
	struct statement *set = writer_statement(writer, SQL_GAP_SET);

	writer_bind(set, { P_process_id, (uint64_t)process->process_id },
		    { P_from_ns, gap->from_ns }, { P_known_blocks, gap->known_blocks },
		    { P_known_bytes, gap->known_bytes }, { P_kept_blocks, gap->kept_blocks },
		    { P_kept_bytes, gap->kept_bytes }, { P_listed_blocks, gap->listed_blocks },
		    { P_listed_bytes, gap->listed_bytes }, { P_complete, gap->complete });
	writer_bind_known(set, P_to_ns, ended, gap->to_ns);
	return writer_run(writer, set) == 0;
}

void gap_save(struct process *process)
{
	gap_look(process);
	if (process->gap.dirty && save(process, &process->gap, true))
		process->gap.dirty = false;
	if (process->off_dirty && process->off_count) {
		struct gap off = { .from_ns = process->offs[0].from_ns,
				   .known_blocks = totals_live_blocks(&process->totals),
				   .known_bytes = totals_live_bytes(&process->totals) };

		if (save(process, &off, false))
			process->off_dirty = false;
	}
}
