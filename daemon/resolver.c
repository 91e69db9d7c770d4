#include "daemon/resolver.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/commit.h"
#include "daemon/process.h"
#include "daemon/run.h"

/* New places in the code gather for so long: a program that starts shows most of them at once. */
#define GATHER_NS 400000000u
/* At low priority, a look-up is followed by this multiple of the processor time it took. */
#define REST_FACTOR 5u
#define REST_MOST_NS UINT64_C(60000000000)
/* After one that failed. */
#define FAILED_NS UINT64_C(10000000000)
/* symbols.c ends a worker that says nothing for five minutes; this is for symbols.c itself. */
#define HUNG_NS UINT64_C(400000000000)
#define MAPS_NS 500000000u

static void readable_cb(evutil_socket_t fd, short what, void *context);

static void begin(struct resolver *resolver, int64_t run_id, bool low)
{
	struct daemon *daemon = resolver->daemon;
	const struct kept *kept = &daemon->kept;
	int error =
		symbols_spawn(daemon->writer.path, run_id, low ? SYMBOLS_TELL_LOW : SYMBOLS_TELL,
			      kept->files, kept->count, &resolver->worker);

	resolver->began_ns = resolver->heard_ns = clock_monotonic_ns();
	if (error) {
		resolver->worker.pid = 0;
		resolver->due_ns = resolver->began_ns + FAILED_NS;
		if (!low)
			fprintf(stderr, "heaptaped: cannot look up symbols: %s\n",
				strerror(-error));
		return;
	}
	resolver->run_id = run_id;
	resolver->low = low;
	if (!run_id || !daemon->runs || !daemon->runs->next) {
		resolver->frames_seen = daemon->frames_stored;
		resolver->new_ns = 0;
	}
	resolver->readable = event_new(resolver->base, resolver->worker.fd, EV_READ | EV_PERSIST,
				       readable_cb, resolver);
	if (resolver->readable)
		event_add(resolver->readable, NULL);
}

/* Whether it came to its end by itself. What it has not answered is looked up another time. */
static bool end(struct resolver *resolver, bool whole)
{
	uint64_t now = clock_monotonic_ns(), spent;
	struct rusage usage = { 0 };
	int status = 0;

	if (resolver->readable)
		event_free(resolver->readable);
	resolver->readable = NULL;
	if (!whole)
		kill(resolver->worker.pid, SIGKILL);
	while (wait4(resolver->worker.pid, &status, 0, &usage) < 0 && errno == EINTR)
		;
	symbols_worker_release(&resolver->worker);
	commit_all(resolver->daemon); /* who waits for its end finds the names */
	resolver->worker.pid = 0;
	spent = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000u +
		(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
	whole = whole && status == 0;
	spent = spent * REST_FACTOR < REST_MOST_NS ? spent * REST_FACTOR : REST_MOST_NS;
	if (!whole) {
		resolver->new_ns = now;
		if (spent < FAILED_NS)
			spent = FAILED_NS;
	}
	resolver->due_ns = now + spent;
	return whole;
}

static void go_on(struct resolver *resolver)
{
	resolver->again = false;
	if (resolver->wanted) {
		resolver->wanted = false;
		begin(resolver, resolver->wanted_run, false);
	}
	resolver->calls->changed(resolver->context);
}

/* Some of what was asked for may be missing: once more, but no more than that. */
static void failed(struct resolver *resolver)
{
	if (!resolver->low && !resolver->again) {
		resolver->again = true;
		begin(resolver, resolver->run_id, false);
		return;
	}
	go_on(resolver);
}

static void readable_cb(evutil_socket_t fd, short what, void *context)
{
	struct resolver *resolver = context;

	(void)fd;
	(void)what;
	resolver->heard_ns = clock_monotonic_ns();
	if (symbols_worker_read(&resolver->worker, &resolver->sink))
		return;
	if (end(resolver, !resolver->worker.failed))
		go_on(resolver);
	else
		failed(resolver);
}

/* -- answers -- */

static bool ready(struct resolver *resolver)
{
	struct writer *writer = &resolver->daemon->writer;

	if (writer_begin(writer) != 0)
		return false;
	if (resolver->store.update.sql || symbols_store_init(&resolver->store, writer->db) == 0)
		return true;
	writer_fail(writer, "store symbols in");
	return false;
}

static void answer_cb(struct symbols_sink *sink, size_t index, enum symbol_state state,
		      const struct symbol_level *levels, unsigned count)
{
	struct resolver *resolver = (struct resolver *)sink;

	if (ready(resolver) &&
	    symbols_store_frame(&resolver->store, (int64_t)index, state, levels, count) != 0)
		writer_fail(&resolver->daemon->writer, "store symbols in");
}

static void note_cb(struct symbols_sink *sink, const char *text)
{
	struct resolver *resolver = (struct resolver *)sink;

	if (ready(resolver) && symbols_store_note(&resolver->store, resolver->run_id, text) != 0)
		writer_fail(&resolver->daemon->writer, "write a note to");
}

/* -- when -- */

void resolver_init(struct resolver *resolver, struct daemon *daemon,
		   const struct resolver_calls *calls, void *context)
{
	*resolver = (struct resolver){ .sink = { answer_cb, note_cb },
				       .daemon = daemon,
				       .calls = calls,
				       .context = context,
				       .worker = { .fd = -1 } };
}

void resolver_request(struct resolver *resolver, int64_t run_id)
{
	if (resolver->worker.pid && resolver->low)
		end(resolver, false); /* it might take long; the answers that came are kept */
	if (!resolver->worker.pid) {
		resolver->again = false;
		begin(resolver, run_id, false);
		return;
	}
	resolver->wanted_run = resolver->wanted && resolver->wanted_run != run_id ? 0 : run_id;
	resolver->wanted = true;
}

/* Some process's perf map may name code that has no name yet. */
static bool maps_grew(struct resolver *resolver)
{
	struct daemon *daemon = resolver->daemon;
	bool grew = false;

	for (struct process *p = daemon->processes; p; p = p->next) {
		struct statement *find;
		int64_t pending = 0;

		if (!p->jit_module_id || !process_jit_map_news(p))
			continue;
		find = writer_statement(&daemon->writer, SQL_FRAME_PENDING);
		writer_bind(find, { P_module_id, (uint64_t)p->jit_module_id });
		writer_find(&daemon->writer, find, P_frame_id, &pending);
		grew = grew || pending;
	}
	return grew;
}

void resolver_tick(struct resolver *resolver)
{
	struct run *runs = resolver->daemon->runs;
	uint64_t now = clock_monotonic_ns();
	bool grew = false;

	if (resolver->worker.pid) {
		if (now - resolver->heard_ns > HUNG_NS) {
			end(resolver, false);
			failed(resolver);
		}
		return;
	}
	if (!runs)
		kept_clear(&resolver->daemon->kept);
	if (!runs || now < resolver->due_ns)
		return;
	if (now - resolver->maps_ns >= MAPS_NS) {
		resolver->maps_ns = now;
		grew = maps_grew(resolver);
	}
	if (!resolver->new_ns && (grew || resolver->daemon->frames_stored != resolver->frames_seen))
		resolver->new_ns = now;
	if (resolver->new_ns && now - resolver->new_ns >= GATHER_NS)
		begin(resolver, runs->next ? 0 : runs->run_id, true);
}

void resolver_release(struct resolver *resolver)
{
	const struct kept *kept = &resolver->daemon->kept;
	bool busy = resolver->worker.pid;

	if (busy)
		end(resolver, false);
	symbols_store_release(&resolver->store);
	if (busy)
		symbols_spawn(resolver->daemon->writer.path, 0, SYMBOLS_ALONE, kept->files,
			      kept->count, &resolver->worker);
	resolver->worker.pid = 0;
}
