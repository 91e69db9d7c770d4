#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/alloc/types.h"
#include "shim/api/follow.h"
#include "shim/api/seccomp.h"
#include "shim/control.h"
#include "shim/libc.h"
#include "shim/link.h"
#include "shim/ring.h"
#include "shim/settings.h"
#include "shim/sys.h"

#define PRELOAD "LD_PRELOAD="
#define PRELOAD_BYTES (sizeof(PRELOAD) - 1)

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

	if (!preload || !ht_libc()->dladdr(shim_path, &info) || !info.dli_fname ||
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

static bool can_reach(const char *path, int how)
{
	return sys_call3(SYS_faccessat, AT_FDCWD, path, how) == 0;
}

static long call(long number, long a, long b, long c, long d, long e)
{
	return sys_call5(number, a, b, c, d, e);
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
	const char *socket = value_in(envp, "HEAPTAPE_SOCKET=");

	if (socket && strcmp(socket, ht_settings.socket) != 0)
		return false;
	if (!preload || !find_shim(preload + PRELOAD_BYTES))
		return true;
	for (unsigned i = 0; i < ht_settings.line_count; i++)
		if (!value_in(envp, ht_settings.lines[i]))
			return true;
	return false;
}

static bool is_program(const char *path)
{
	struct stat status = { 0 };

	return sys_call4(SYS_newfstatat, AT_FDCWD, path, &status, 0) == 0 &&
	       S_ISREG(status.st_mode) && can_reach(path, X_OK);
}

/* As execvp searches. NULL: it is not there, or its path is too long. */
static const char *find_program(const char *name, char found[FOLLOW_PATH_BYTES])
{
	const char *list = value_in(environ, "PATH="), *end;
	size_t length = strlen(name);

	for (list = list ? list : "/bin:/usr/bin";; list = end + 1) {
		size_t bytes;

		end = strchrnul(list, ':');
		bytes = (size_t)(end - list);
		if (bytes + length + 2 <= FOLLOW_PATH_BYTES) {
			char *at = mempcpy(found, list, bytes);

			if (bytes)
				*at++ = '/';
			strcpy(at, name);
			if (is_program(found))
				return found;
		}
		if (!*end)
			return NULL;
	}
}

/* Why the program is not recorded, whatever its environment says. False: nor will it be executed. */
static bool examine(struct follow_plan *plan, int folder, const char *path)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (!path || (*path && sys_call3(SYS_faccessat, folder, path, X_OK) != 0))
		return false;
	image_look(call, folder, path, &plan->image);
	if (plan->image.reason != IMAGE_RECORDABLE)
		return true;
	sys_call4(SYS_prlimit64, 0, RLIMIT_DATA, 0, &limit);
	if (plan->preload && image_list_has_checker(plan->preload + PRELOAD_BYTES))
		plan->image.reason = IMAGE_CHECKER;
	else if (limit.rlim_cur < RING_LEAST_DATA_BYTES)
		plan->image.reason = IMAGE_DATA_LIMIT;
	else if (!can_reach(shim_path, R_OK) ||
		 (ht_link.state == LINK_ON && !can_reach(ht_settings.socket, W_OK)))
		plan->image.reason = IMAGE_UNREACHABLE;
	return true;
}

/* False: the environment is passed as it is. */
static bool changes(struct follow_plan *plan, int folder, const char *path, bool search,
		    char *const envp[])
{
	const char *socket = value_in(envp, "HEAPTAPE_SOCKET=");
	bool has_shim = plan->preload && find_shim(plan->preload + PRELOAD_BYTES);
	bool wanted_so = socket && strcmp(socket, ht_settings.socket) != 0;
	bool exists = true, bars;

	plan->adds = ht_settings.follow == FOLLOW_ALL && lacks_ours(envp, plan->preload);
	if (search && !ht_seccomp_forbids_start && !strchr(path, '/'))
		path = find_program(path, plan->found);
	plan->path = path ? path : plan->path;
	if (ht_seccomp_forbids_start)
		plan->image.reason = IMAGE_FILTER;
	else
		exists = examine(plan, folder, path);
	bars = image_bars_shim(plan->image.reason);
	if (wanted_so) /* for another daemon, or none */
		plan->image.reason = IMAGE_RECORDABLE;
	else if (plan->image.reason == IMAGE_RECORDABLE && exists && !plan->adds &&
		 (!has_shim || !socket))
		plan->image.reason = IMAGE_ENVIRONMENT;
	plan->loads = plan->image.reason == IMAGE_RECORDABLE && exists && !wanted_so;
	if (plan->adds)
		return !bars;
	plan->adds_run = plan->loads && ht_settings.own_run && !value_in(envp, ht_settings.own_run);
	return plan->adds_run || (has_shim && bars);
}

size_t ht_follow_plan(struct follow_plan *plan, int folder, const char *path, bool search,
		      char *const envp[], bool child)
{
	size_t entries = 1;

	plan->image = (struct image){ .reason = IMAGE_RECORDABLE };
	plan->path = path;
	plan->loads = plan->adds = plan->adds_run = false;
	if (!shim_path[0] || !ht_settings.socket[0])
		return 0;
	plan->preload = find_preload(envp);
	child = child || sys_call0(SYS_getpid) != ht_pid;
	if (ht_settings.follow == FOLLOW_NONE && child
		    ? !plan->preload || !find_shim(plan->preload + PRELOAD_BYTES)
		    : !changes(plan, folder, path, search, envp))
		return 0;
	while (envp && envp[entries - 1])
		entries++;
	return (entries + ht_settings.line_count + 1) * sizeof(char *) + PRELOAD_BYTES +
	       strlen(shim_path) + (plan->preload ? strlen(plan->preload) : 0) + 2;
}

static void count_spawn(const struct follow_plan *plan, uint32_t one)
{
	if (plan->loads && ht_link.state == LINK_ON)
		__atomic_fetch_add(&ht_ring.head->spawns, one, __ATOMIC_RELAXED);
}

void ht_follow_announce(const struct follow_plan *plan)
{
	count_spawn(plan, 1);
}

void ht_follow_failed(const struct follow_plan *plan)
{
	count_spawn(plan, -1u);
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
	bool none = !plan->adds && !plan->adds_run && ht_settings.follow == FOLLOW_NONE;
	const char *list = plan->preload ? plan->preload + PRELOAD_BYTES : "";
	char **made = memory, *text;
	size_t count = 0, entries = 0;

	while (envp && envp[entries])
		entries++;
	text = (char *)(made + entries + ht_settings.line_count + 2);
	for (size_t i = 0; i < entries; i++) {
		if (envp[i] == plan->preload && !plan->adds_run) {
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
	if (plan->adds_run)
		made[count++] = (char *)ht_settings.own_run;
	made[count] = NULL;
	return made;
}
