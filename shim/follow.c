#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shim/follow.h"
#include "shim/lifecycle.h"
#include "shim/link.h"
#include "shim/ring.h"
#include "shim/seccomp.h"
#include "shim/settings.h"
#include "shim/sys.h"
#include "shim/types.h"

#define PRELOAD "LD_PRELOAD="
#define PRELOAD_BYTES (sizeof(PRELOAD) - 1)

#ifdef __x86_64__
#define OUR_MACHINE EM_X86_64
#else
#define OUR_MACHINE EM_AARCH64
#endif

/* As LD_PRELOAD named it; "": it was loaded in another way, and nothing is done here. */
static char shim_path[1024];

static bool is_separator(char c)
{
	return c == ':' || c == ' ';
}

/* The shim in an LD_PRELOAD list, or NULL. */
static const char *find_shim(const char *list)
{
	size_t length = strlen(shim_path);

	for (const char *at = list; length && *at; at++) {
		if ((at == list || is_separator(at[-1])) && !strncmp(at, shim_path, length) &&
		    (!at[length] || is_separator(at[length])))
			return at;
	}
	return NULL;
}

static const char *find_preload(char *const envp[])
{
	for (; envp && *envp; envp++)
		if (!strncmp(*envp, PRELOAD, PRELOAD_BYTES))
			return *envp;
	return NULL;
}

void ht_follow_init(char *const envp[])
{
	const char *preload = find_preload(envp);
	Dl_info info;

	if (!preload || !dladdr(shim_path, &info) || !info.dli_fname ||
	    strlen(info.dli_fname) >= sizeof(shim_path))
		return;
	strcpy(shim_path, info.dli_fname);
	if (!find_shim(preload + PRELOAD_BYTES))
		shim_path[0] = 0;
}

bool ht_follow_leaves_out(void)
{
	return ht_settings.follow == FOLLOW_NONE && ht_settings.command_pid &&
	       sys_call0(SYS_getppid) != ht_settings.command_pid;
}

/* False for an ELF file that is not for our processor and C library. Those that cannot be read, and
 * scripts, are given the benefit of the doubt. */
static bool file_can_load(long fd)
{
	union {
		Elf64_Ehdr head;
		char bytes[1024]; /* head, segments, and in practice the interpreter's name */
	} file;
	long got = sys_call4(SYS_pread64, fd, &file, sizeof(file) - 1, 0);

	if (got < (long)sizeof(file.head) || memcmp(file.head.e_ident, ELFMAG, SELFMAG) != 0)
		return true;
	return file.head.e_ident[EI_CLASS] == ELFCLASS64 && file.head.e_machine == OUR_MACHINE &&
	       !memmem(&file, (size_t)got, "/ld-musl", 8);
}

static bool can_reach(const char *path, int how)
{
	return sys_call3(SYS_faccessat, AT_FDCWD, path, how) == 0;
}

/* Would a program find the shim, the daemon (for another root, user or mount namespace there may be
 * none) and room in its memory? Else it is counted. */
static bool can_be_recorded(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	bool connected = ht_link.state == LINK_ON;

	sys_call4(SYS_prlimit64, 0, RLIMIT_DATA, 0, &limit);
	if (can_reach(shim_path, R_OK) && (!connected || can_reach(ht_settings.socket, W_OK)) &&
	    limit.rlim_cur >= RING_LEAST_DATA_BYTES)
		return true;
	if (connected)
		__atomic_fetch_add(&ht_ring.head->lost_execs, 1, __ATOMIC_RELAXED);
	return false;
}

static bool can_load(int folder, const char *path)
{
	bool can;
	long fd;

	if (ht_seccomp_forbids_start)
		return false;
	if (!path)
		return can_be_recorded();
	if (!*path)
		return file_can_load(folder) && can_be_recorded();
	fd = sys_call4(SYS_openat, folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd < 0) /* one that cannot be read, or that is not there */
		return can_reach(shim_path, R_OK);
	can = file_can_load(fd) && can_be_recorded();
	sys_call1(SYS_close, fd);
	return can;
}

/* The value of the variable that `line` sets, or NULL. */
static const char *value_in(char *const envp[], const char *line)
{
	size_t length = (size_t)(strchrnul(line, '=') - line) + 1;

	for (; envp && *envp; envp++)
		if (!strncmp(*envp, line, length))
			return *envp + length;
	return NULL;
}

/* Does the environment lack something of ours? HEAPTAPE_SOCKET with another value, or none, is what
 * somebody wants so. */
static bool lacks_ours(char *const envp[], const char *preload)
{
	const char *socket = value_in(envp, "HEAPTAPE_SOCKET");

	if (socket && strcmp(socket, ht_settings.socket) != 0)
		return false;
	if (!preload || !find_shim(preload + PRELOAD_BYTES))
		return true;
	for (unsigned i = 0; i < ht_settings.line_count; i++)
		if (!value_in(envp, ht_settings.lines[i]))
			return true;
	return false;
}

size_t ht_follow_plan(struct follow_plan *plan, int folder, const char *path, char *const envp[],
		      bool child)
{
	size_t entries = 1;

	if (!shim_path[0] || !ht_settings.socket[0])
		return 0;
	plan->preload = find_preload(envp);
	plan->adds = ht_settings.follow == FOLLOW_ALL && lacks_ours(envp, plan->preload);
	if (plan->adds) {
		if (!can_load(folder, path))
			return 0;
	} else {
		if (!plan->preload || !find_shim(plan->preload + PRELOAD_BYTES))
			return 0;
		child = child || sys_call0(SYS_getpid) != ht_pid;
		if (!(child && ht_settings.follow == FOLLOW_NONE) && can_load(folder, path))
			return 0;
	}
	while (envp && envp[entries - 1])
		entries++;
	return (entries + ht_settings.line_count + 1) * sizeof(char *) + PRELOAD_BYTES +
	       strlen(shim_path) + (plan->preload ? strlen(plan->preload) : 0) + 2;
}

/* LD_PRELOAD with the shim first; returns the end of what was written. */
static char *put_preload_with(char *text, const char *list)
{
	text = stpcpy(stpcpy(text, PRELOAD), shim_path);
	if (*list && !find_shim(list))
		text = stpcpy(stpcpy(text, ":"), list);
	return text;
}

/* LD_PRELOAD without the shim. False: nothing is left of it. */
static bool put_preload_without(char *text, const char *list)
{
	const char *shim = find_shim(list), *rest;
	char *at = stpcpy(text, PRELOAD);

	if (!shim) {
		strcpy(at, list);
		return true;
	}
	rest = shim + strlen(shim_path);
	rest += *rest != 0;
	at = mempcpy(at, list, (size_t)(shim - list));
	if (!*rest && shim > list)
		at--; /* the separator before it */
	strcpy(at, rest);
	return text[PRELOAD_BYTES] != 0;
}

char *const *ht_follow_make(const struct follow_plan *plan, char *const envp[], void *memory)
{
	bool none = !plan->adds && ht_settings.follow == FOLLOW_NONE;
	const char *list = plan->preload ? plan->preload + PRELOAD_BYTES : "";
	char **made = memory, *text;
	size_t count = 0, entries = 0;

	while (envp && envp[entries])
		entries++;
	text = (char *)(made + entries + ht_settings.line_count + 2);
	for (size_t i = 0; i < entries; i++) {
		if (envp[i] == plan->preload) {
			if (plan->adds || !put_preload_without(text, list))
				continue;
			made[count++] = text;
		} else if (!none || !ht_settings_knows(envp[i])) {
			made[count++] = envp[i];
		}
	}
	if (plan->adds) {
		for (unsigned i = 0; i < ht_settings.line_count; i++)
			if (!value_in(envp, ht_settings.lines[i]))
				made[count++] = ht_settings.lines[i];
		put_preload_with(text, list);
		made[count++] = text;
	}
	made[count] = NULL;
	return made;
}
