/* Times when a process was not recorded: what its row in table gaps says. */
#include "daemon/process.h"

#include "daemon/run.h"

void gap_begin(struct process *process)
{
	struct gap *gap = &process->gap;
	uint64_t now = clock_monotonic_ns() - process->run->started_ns;

	/* It was to go on, but the process has not noticed: it still lasts. */
	if (gap->any && !gap->ended)
		return;
	gap_save(process);
	*gap = (struct gap){
		.any = true,
		.dirty = true,
		.from_ns = now > process->last_ns ? now : process->last_ns,
		.known_blocks = totals_live_blocks(&process->totals),
		.known_bytes = totals_live_bytes(&process->totals),
	};
	process->dirty = true;
}

uint64_t gap_end(struct process *process, uint64_t at_ns)
{
	struct gap *gap = &process->gap;

	if (!gap->any || gap->ended)
		gap_begin(process); /* nobody knew that it was off */
	if (gap->from_ns > at_ns)
		gap->from_ns = at_ns;
	gap->ended = true;
	gap->dirty = true;
	gap->to_ns = at_ns;
	gap->known_blocks = totals_live_blocks(&process->totals);
	gap->known_bytes = totals_live_bytes(&process->totals);
	return gap->from_ns;
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

void gap_save(struct process *process)
{
	struct gap *gap = &process->gap;
	struct writer *writer = &process->daemon->writer;
	bool complete =
		gap->ended && process->turn && process->ring.head.listed_turn == process->turn;
	sqlite3_stmt *set;

	if (!gap->any || (!gap->dirty && complete == gap->complete))
		return;
	gap->complete = gap->complete || complete;
	set = writer_statement(writer, SQL_GAP_SET);
	writer_bind(set, 1,
		    (uint64_t[]){ (uint64_t)process->process_id, gap->from_ns, gap->to_ns,
				  gap->known_blocks, gap->known_bytes, gap->kept_blocks,
				  gap->kept_bytes, gap->listed_blocks, gap->listed_bytes,
				  gap->complete },
		    10);
	if (set && !gap->ended)
		sqlite3_bind_null(set, 3);
	if (writer_run(writer, set) == 0)
		gap->dirty = false;
}
