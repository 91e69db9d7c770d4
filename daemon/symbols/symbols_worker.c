/*
 * A child process per module, and the pipe its answers come through:
 *
 *   offset  size  meaning
 *   0       4     index of the address; ANSWER_NOTE: a note, its text is level 0's function
 *   4       1     enum symbol_state
 *   5       1     number of levels
 *   6       2     0
 *   then per level
 *   0       4     line
 *   4       5x2   length + 1 of each of TEXTS, 0: there is none
 *   14      2     0
 *   16            the texts
 *
 * What comes is checked: the child has read files that may be hostile. Not protobuf, whose decoder makes a
 * tree of allocations of each answer.
 */
#include "daemon/symbols/name.h"
#include "daemon/symbols/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_NOTE UINT32_MAX
#define CPU_LIMIT_SECONDS 300
/* Not for the files, which are mapped; a short C++ name can stand for any amount of text. */
#define MEMORY_LIMIT_BYTES (3ULL << 30)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIMIT_MEMORY 0 /* the sanitizer's shadow is larger than any limit */
#else
#define LIMIT_MEMORY 1
#endif

struct answer_head {
	uint32_t index;
	uint8_t state;
	uint8_t levels;
	uint16_t zero;
};

enum { FUNCTION, FILE_NAME, SYMBOL, FULL_NAME, NAME_KEY, TEXTS };

struct answer_level {
	uint32_t line;
	uint16_t bytes[TEXTS];
	uint16_t zero;
};

_Static_assert(sizeof(struct answer_head) == 8 && sizeof(struct answer_level) == 16, "pipe format");
_Static_assert(SYMBOL_NAME_MAX < UINT16_MAX, "lengths are 16 bits");

void (*symbols_worker_job)(const struct symbols_request *request,
			   struct symbols_sink *sink) = symbols_module;

static uint16_t kept_bytes(const char *text)
{
	return text ? (uint16_t)(strnlen(text, SYMBOL_NAME_MAX) + 1) : 0;
}

static void put_level(FILE *out, const struct symbol_level *from)
{
	const char *texts[TEXTS] = { from->function, from->file, from->symbol, from->full_name,
				     from->name_key };
	struct answer_level level = { .line = from->line };

	for (int i = 0; i < TEXTS; i++)
		level.bytes[i] = kept_bytes(texts[i]);
	fwrite(&level, sizeof(level), 1, out);
	for (int i = 0; i < TEXTS; i++)
		if (level.bytes[i])
			fwrite(texts[i], level.bytes[i] - 1u, 1, out);
}

static void put_answer(FILE *out, uint32_t index, enum symbol_state state,
		       const struct symbol_level *levels, unsigned count)
{
	struct answer_head head = { index, (uint8_t)state, (uint8_t)count, 0 };

	fwrite(&head, sizeof(head), 1, out);
	for (unsigned i = 0; i < count; i++)
		put_level(out, &levels[i]);
}

static void pipe_answer(struct symbols_sink *sink, size_t index, enum symbol_state state,
			const struct symbol_level *levels, unsigned count)
{
	struct symbols_pipe *self = (struct symbols_pipe *)sink;

	put_answer(self->out, (uint32_t)index, state, levels, count);
}

/* The worker's own: what was read gets its names here, where a crash costs one module's. */
static void naming_answer(struct symbols_sink *sink, size_t index, enum symbol_state state,
			  const struct symbol_level *levels, unsigned count)
{
	struct symbol_level named[SYMBOL_LEVELS_MAX] = { { 0 } };
	struct name names[SYMBOL_LEVELS_MAX];

	for (unsigned i = 0; i < count; i++) {
		struct symbol_level *level = &named[i];

		*level = levels[i];
		names[i] = (struct name){ NULL, NULL };
		if (!level->function)
			continue;
		name_make(level->function, level->symbol, &names[i]);
		if (names[i].display && strcmp(names[i].display, level->function) != 0) {
			level->full_name = level->function;
			level->function = names[i].display;
		}
		if (names[i].key && strcmp(names[i].key, level->function) != 0)
			level->name_key = names[i].key;
	}
	pipe_answer(sink, index, state, named, count);
	for (unsigned i = 0; i < count; i++)
		name_release(&names[i]);
}

static void pipe_note(struct symbols_sink *sink, const char *text)
{
	struct symbols_pipe *self = (struct symbols_pipe *)sink;
	struct symbol_level level = { .function = text };

	put_answer(self->out, ANSWER_NOTE, SYMBOL_UNKNOWN, &level, 1);
}

void symbols_pipe_init(struct symbols_pipe *pipe, FILE *out)
{
	*pipe = (struct symbols_pipe){ { pipe_answer, pipe_note }, out };
}

static void limit(int which, rlim_t value)
{
	struct rlimit limits = { value, value };

	setrlimit(which, &limits);
}

static _Noreturn void worker_child(int fd, const struct symbols_request *request)
{
	struct symbols_pipe pipe;

	symbols_pipe_init(&pipe, fdopen(fd, "w"));
	pipe.sink.answer = naming_answer;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Whatever its parent does on a signal, a worker ends. */
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	/* Programs are being recorded meanwhile. */
	(void)!nice(5);
	setenv("DEBUGINFOD_TIMEOUT", "20", 0);
	limit(RLIMIT_CORE, 0);
	/* By SIGXCPU: SIGKILL is what others end it with. */
	setrlimit(RLIMIT_CPU, &(struct rlimit){ CPU_LIMIT_SECONDS, CPU_LIMIT_SECONDS + 1 });
	if (LIMIT_MEMORY)
		limit(RLIMIT_DATA, MEMORY_LIMIT_BYTES);
	if (!pipe.out)
		_exit(1);
	if (symbols_is_jit(request->build_id))
		perf_map_resolve(request, &pipe.sink);
	else
		symbols_worker_job(request, &pipe.sink);
	_exit(fflush(pipe.out) ? 1 : 0);
}

int symbols_worker_start(struct symbols_worker *worker, const struct symbols_request *request)
{
	int ends[2];

	*worker = (struct symbols_worker){ .fd = -1 };
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	fflush(NULL);
	worker->pid = fork();
	if (worker->pid < 0) {
		int error = errno;

		close(ends[0]);
		close(ends[1]);
		return -error;
	}
	if (worker->pid == 0) {
		close(ends[0]);
		worker_child(ends[1], request);
	}
	close(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	worker->fd = ends[0];
	return 0;
}

/* Takes one whole answer off `at`. Bytes used, 0: not all there yet, -1: not an answer. */
static ssize_t take_answer(const char *at, size_t bytes, struct symbols_sink *sink)
{
	static char texts[SYMBOL_LEVELS_MAX][TEXTS][SYMBOL_NAME_MAX + 1];
	struct symbol_level levels[SYMBOL_LEVELS_MAX];
	struct answer_head head;
	size_t used = sizeof(head);

	if (bytes < used)
		return 0;
	memcpy(&head, at, sizeof(head));
	if (head.levels > SYMBOL_LEVELS_MAX || head.state > SYMBOL_LINE)
		return -1;
	for (unsigned i = 0; i < head.levels; i++) {
		struct answer_level level;
		const char *have[TEXTS];

		if (bytes - used < sizeof(level))
			return 0;
		memcpy(&level, at + used, sizeof(level));
		used += sizeof(level);
		for (int j = 0; j < TEXTS; j++) {
			size_t length = level.bytes[j] ? level.bytes[j] - 1u : 0;

			if (length > SYMBOL_NAME_MAX)
				return -1;
			if (bytes - used < length)
				return 0;
			memcpy(texts[i][j], at + used, length);
			texts[i][j][length] = '\0';
			used += length;
			have[j] = level.bytes[j] ? texts[i][j] : NULL;
		}
		levels[i] =
			(struct symbol_level){ have[FUNCTION], have[FILE_NAME], level.line,
					       have[SYMBOL],   have[FULL_NAME], have[NAME_KEY] };
	}
	if (head.index == ANSWER_NOTE) {
		if (head.levels != 1 || !levels[0].function)
			return -1;
		sink->note(sink, levels[0].function);
	} else {
		sink->answer(sink, head.index, head.state, levels, head.levels);
	}
	return (ssize_t)used;
}

int symbols_worker_read(struct symbols_worker *worker, struct symbols_sink *sink)
{
	size_t taken = 0;
	ssize_t n;

	if (worker->capacity - worker->used < 65536) {
		size_t capacity = worker->capacity ? worker->capacity * 2 : 131072;
		char *larger = realloc(worker->buffer, capacity);

		if (!larger) {
			worker->failed = true;
			return 0;
		}
		worker->buffer = larger;
		worker->capacity = capacity;
	}
	n = read(worker->fd, worker->buffer + worker->used, worker->capacity - worker->used);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	if (n <= 0)
		return 0;
	worker->used += (size_t)n;
	for (;;) {
		ssize_t used = take_answer(worker->buffer + taken, worker->used - taken, sink);

		if (used < 0) {
			worker->failed = true;
			return 0;
		}
		if (used == 0)
			break;
		taken += (size_t)used;
	}
	memmove(worker->buffer, worker->buffer + taken, worker->used - taken);
	worker->used -= taken;
	return 1;
}

void symbols_worker_release(struct symbols_worker *worker)
{
	if (worker->fd >= 0)
		close(worker->fd);
	free(worker->buffer);
	worker->buffer = NULL;
	worker->fd = -1;
}

int symbols_worker_end(struct symbols_worker *worker, char *ret_why, size_t why_bytes)
{
	int status = 0;
	pid_t reaped;

	/* After its last answer it only exits; anything else has hung. */
	if (worker->failed)
		kill(worker->pid, SIGKILL);
	do {
		reaped = waitpid(worker->pid, &status, 0);
	} while (reaped < 0 && errno == EINTR);
	symbols_worker_release(worker);
	if (worker->failed)
		snprintf(ret_why, why_bytes, "reading it gave nonsense");
	else if (reaped == worker->pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	else if (WIFSIGNALED(status))
		snprintf(ret_why, why_bytes, "reading it ended by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(ret_why, why_bytes, "reading it failed");
	return !worker->failed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? -EINTR
										     : -EIO;
}
