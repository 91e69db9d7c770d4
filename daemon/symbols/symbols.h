/*
 * Symbols: the frames a run recorded as (module, offset) get function, file, line and the
 * functions inlined there. It happens in processes of its own, so that neither a slow nor a
 * malformed module can hold up or end a recording:
 *
 *   heaptaped ── resolver.c ──▶ heaptaped --symbols DB RUN           symbols.c: what to look up
 *       ▲ answers                 └─ fork ──▶ one per module          symbols_module.c: ELF, DWARF
 *       └──────────────────────────┴──────────────┘ answers           symbols_worker.c: the pipes
 *
 * While programs run the daemon writes the answers itself: it is never kept waiting for the lock
 * of a process that may be slow, stopped or killed.
 *
 * A process that has the database open must not fork and open it again (SQLite keeps its locks
 * per process), hence the new program in between. The workers open files that the traced program
 * named: they may be anything, and a crash in one costs that module's lines only.
 *
 * The result is cached by being stored: a frame is resolved once for all runs of the same binary.
 *
 * Code made at run time has no module; its addresses mean something in one process only. Such
 * frames belong to a module row of their process, named by symbols_jit_module(): its path is the
 * map a JIT compiler writes (/tmp/perf-PID.map), its build id tells the process apart.
 */
#ifndef HEAPTAPE_DAEMON_SYMBOLS_H
#define HEAPTAPE_DAEMON_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "proto/store.h"

/* symbols.c: the work over the database. */

struct symbols_result {
	uint64_t pending;  /* frames that had no answer yet */
	uint64_t resolved; /* with debug information: file and line, inlined functions */
	uint64_t symbol;   /* only a name from a symbol table */
	uint64_t unknown;
	uint64_t modules; /* modules that were read */
};

struct symbols_pipe;
struct symbols_worker;

enum symbols_flags {
	SYMBOLS_AGAIN = 1 << 0, /* also frames an earlier pass could not (fully) resolve */
	SYMBOLS_LOW = 1 << 1	/* for a program that runs: one module at a time */
};

/* Told how far it is; called a few times a second at most. */
typedef void symbols_progress_fn(void *context, uint64_t done, uint64_t total);

/* Resolves the pending frames of `run_id` (0: of every run); blocks until done. The answers go into
 * `told`, with frames' ids in place of indexes, or, when that is NULL, into the database. Forks; so
 * call it where no other connection to the database is open in this process. */
/* Files held open by who has started this process: "MODULE=DESCRIPTOR,...". */
void symbols_keep(const char *text);

int symbols_resolve(const char *db_path, int64_t run_id, unsigned flags, struct symbols_pipe *told,
		    symbols_progress_fn *progress, void *context, struct symbols_result *ret_result,
		    struct store_error *ret_error);

/* `heaptaped --symbols FILE RUN [--again]`: symbols_resolve() as a program; a sentence on stdout says
 * what was found. main() calls it when
 * argv[1] is "--symbols" and exits with its value. */
#define SYMBOLS_OPTION "--symbols"
int symbols_main(int argc, char **argv);

/* Starts that program from this one's executable, for a daemon. */
enum symbols_how {
	SYMBOLS_ALONE,	 /* it writes into the database itself, whatever becomes of the caller */
	SYMBOLS_TELL,	 /* it tells the caller the answers: symbols_worker_read() */
	SYMBOLS_TELL_LOW /* the same, at the lowest priority */
};
/* A module's file that the caller holds open; the program inherits it. */
struct symbols_held {
	int64_t module_id;
	int fd;
};
/* Gives the worker's pid and, unless ALONE, descriptor. Negative errno when it cannot. */
int symbols_spawn(const char *db_path, int64_t run_id, enum symbols_how how,
		  const struct symbols_held *held, unsigned held_count,
		  struct symbols_worker *ret_worker);

/* Path and build id of the module row for a process's code outside of every module. */
#define SYMBOLS_JIT_PREFIX "process-"
void symbols_jit_module(pid_t pid, int64_t process_id, char ret_path[64], char ret_build_id[64]);
static inline bool symbols_is_jit(const char *build_id)
{
	return strncmp(build_id, SYMBOLS_JIT_PREFIX, strlen(SYMBOLS_JIT_PREFIX)) == 0;
}

/* What one address turned out to be. */
enum symbol_state { SYMBOL_UNKNOWN, SYMBOL_NAME, SYMBOL_LINE };

/*
 * Levels of inlining, the innermost first; NULL and 0: not known. Who reads modules gives the full name
 * and the symbol it comes from, if there is one; what symbols_worker_read() passes on has them all: see
 * daemon/symbols/name.h.
 */
struct symbol_level {
	const char *function; /* the full name; from a worker, the display name */
	const char *file;
	uint32_t line;
	const char *symbol;    /* as linkers have it, without version and suffixes */
	const char *full_name; /* from a worker; NULL: it is `function` */
	const char *name_key;  /* the same */
};

#define SYMBOL_LEVELS_MAX 64
#define SYMBOL_NAME_MAX 8192 /* bytes of a function or file name that are kept */

/* One module's work: offsets of return addresses, ascending, without repetition. */
struct symbols_request {
	const char *path;
	const char *build_id; /* hexadecimal, '' none */
	int fd; /* the file itself, held open since it was mapped; -1: it is at `path`, if anywhere */
	int64_t mapped_at; /* nanoseconds since 1970: the file must not be younger; 0: any age */
	bool names_only;   /* symbol tables only, no DWARF: a worker died of it */
	const uint64_t *offsets;
	size_t count;
};

/* Where the answers go. An address answered twice keeps the first; one never answered is unknown. */
struct symbols_sink {
	void (*answer)(struct symbols_sink *sink, size_t index, enum symbol_state state,
		       const struct symbol_level *levels, unsigned count);
	void (*note)(struct symbols_sink *sink, const char *text);
};

/* symbols_store.c: answers become rows. 0, or -1 as SQLite says. */
struct symbols_store {
	struct statement update, insert, note;
};
int symbols_store_init(struct symbols_store *store, sqlite3 *db);
void symbols_store_release(struct symbols_store *store);
int symbols_store_frame(struct symbols_store *store, int64_t frame_id, enum symbol_state state,
			const struct symbol_level *levels, unsigned count);
int symbols_store_note(struct symbols_store *store, int64_t run_id, const char *text);

/* symbols_worker.c: a module's request answered by a child process. */

/* Answers written to a pipe, for symbols_worker_read() at its other end. */
struct symbols_pipe {
	struct symbols_sink sink;
	FILE *out;
};
void symbols_pipe_init(struct symbols_pipe *pipe, FILE *out);

struct symbols_worker {
	pid_t pid;
	int fd;
	char *buffer;
	size_t used, capacity;
	bool failed; /* sent something that is no answer */
};

/* Forks a child that answers `request`. */
int symbols_worker_start(struct symbols_worker *worker, const struct symbols_request *request);
/* Reads what has come and passes on whole answers. 1: more to come, 0: ended. */
int symbols_worker_read(struct symbols_worker *worker, struct symbols_sink *sink);
/* For one that is reaped already. */
void symbols_worker_release(struct symbols_worker *worker);
/* Reaps the child (killing it if it still runs). 0: it ended well, -EINTR: it was killed, else -EIO;
 * and why. */
int symbols_worker_end(struct symbols_worker *worker, char *ret_why, size_t why_bytes);

/* What the child does: symbols_module(), unless a test wants to see a child fail. */
extern void (*symbols_worker_job)(const struct symbols_request *request, struct symbols_sink *sink);

/* symbols_module.c: one ELF file through libdwfl. */
void symbols_module(const struct symbols_request *request, struct symbols_sink *sink);

/* symbols_file.c: files named by others, opened without risk. */

/* A regular file's descriptor, or a negative errno: -EINVAL for anything that is no file. */
int symbols_open(const char *path);
/* The code the kernel maps into every process (linux-vdso.so.1), which is no file. */
#define SYMBOLS_KERNEL_PREFIX "linux-"
int symbols_open_kernel(void);
/* The ELF build id as hexadecimal text; '' none. -ENOEXEC when `fd` is no ELF file. */
int symbols_build_id(int fd, char *ret_hex, size_t hex_bytes);
/* The separate debug file of the module `path`: by build id, by .gnu_debuglink's name and
 * checksum beside the module, then from debuginfod if the user has set DEBUGINFOD_URLS. Returns a
 * descriptor and a malloced path, or -ENOENT. `build_id` or `link` may be ''. */
int symbols_find_debug(const char *path, const char *build_id, const char *link, uint32_t crc,
		       char **ret_path);

/* symbols_unpack.c: `fd` of an ELF file, or, when it has sections compressed with zstd, that of a copy
 * without them, and `fd` is closed. */
int symbols_unpack(int fd);

/* symbols_dwarf.c: lines and inlined functions of many addresses in one pass. */
struct Dwarf;
/* Told each address that some unit covers; levels[].function may be NULL where the unit names
 * none. `!exact`: the outermost name was put together from scopes and lacks its parameters. */
typedef void symbols_dwarf_fn(void *context, size_t index, const struct symbol_level *levels,
			      unsigned count, bool exact);
void symbols_dwarf(struct Dwarf *dwarf, const uint64_t *addresses, size_t count,
		   symbols_dwarf_fn *found, void *context);

/* symbols_scope.c: `name` with the scopes around its declaration, the Dwarf_Die `target`;
 * malloced. */
struct scope_units;
struct scope_units *scope_units_new(void);
void scope_units_free(struct scope_units *units);
char *scope_qualify(struct scope_units *units, void *target, const char *name);

/* perf_map.c: names of code made at run time. */
void perf_map_resolve(const struct symbols_request *request, struct symbols_sink *sink);
struct perf_map_entry {
	uint64_t start, size;
	const char *name; /* points into the line */
};
/* Takes one line ("START SIZE name", hexadecimal) apart; false: it is no entry. */
bool perf_map_parse(char *line, struct perf_map_entry *ret_entry);
/* Finds function, file and line in names like "JS:*f /a.js:3:7" or "py::f:/a.py"; edits `name`. */
void perf_map_name(char *name, struct symbol_level *ret_level);

/* demangle.c, demangle_rust.c, demangle_d.c: a readable name for a linker's name, malloced;
 * NULL: `name` is not mangled (or in no way that is known). */
char *demangle(const char *name);
char *demangle_rust(const char *name);
char *demangle_d(const char *name);

#endif
