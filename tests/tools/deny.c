/*
 * Runs a program in which chosen requests for memory fail, as in a system that has none to give.
 *
 *   deny [--only N | --from N | --random PERCENT SEED] [--count FILE] PROGRAM ARGS…
 *
 * A request is an mmap, a brk that raises the break, an mremap that grows, a memfd_create or an
 * ftruncate that the shim makes, for the program or for itself (whatever is called from
 * libheaptape.so, in PROGRAM and its children); they are numbered from 1. The kernel asks us about
 * each (seccomp's user notification), so nothing in the program knows of it. FILE gets how many
 * requests there were and how many were denied. The status is PROGRAM's.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned long only, from, percent;
static uint64_t seed;
static unsigned long requests, denied;

static void die(const char *what)
{
	fprintf(stderr, "deny: %s: %s\n", what, strerror(errno));
	exit(3);
}

#define ASK(number)                                        \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)

/* From here on the kernel asks before these calls; the descriptor to answer at. */
static int install_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ASK(SYS_mmap),
		ASK(SYS_brk),
		ASK(SYS_mremap),
		ASK(SYS_memfd_create),
		ASK(SYS_ftruncate),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			    &program);
}

/* What a process's map says of the shim, and of its break (0: it has none). */
struct places {
	uint64_t shim_start, shim_end, heap_end;
};

static struct places find_places(pid_t pid)
{
	struct places places = { UINT64_MAX, 0, 0 };
	char path[64], line[4400];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		uint64_t start, end;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2)
			continue;
		if (strstr(line, "/libheaptape.so")) {
			places.shim_start = start < places.shim_start ? start : places.shim_start;
			places.shim_end = end;
		} else if (strstr(line, "[heap]")) {
			places.heap_end = end;
		}
	}
	if (file)
		fclose(file);
	return places;
}

static bool is_request(const struct seccomp_data *call, const struct places *places)
{
	if (call->instruction_pointer < places->shim_start ||
	    call->instruction_pointer >= places->shim_end)
		return false;
	switch (call->nr) {
	case SYS_brk:
		return call->args[0] > places->heap_end;
	case SYS_mremap:
		return call->args[2] > call->args[1];
	default:
		return true;
	}
}

static bool deny_this(void)
{
	requests++;
	if (percent) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		return seed >> 33 < (percent << 31) / 100;
	}
	return only ? requests == only : from && requests >= from;
}

static void answer(int listener)
{
	struct seccomp_notif call = { .id = 0 };
	struct seccomp_notif_resp response = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
	struct places places;

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
		return; /* it died meanwhile */
	response.id = call.id;
	places = find_places((pid_t)call.pid);
	if (is_request(&call.data, &places) && deny_this()) {
		denied++;
		response.flags = 0;
		/* brk has no errors: it says where the break is. */
		if (call.data.nr == SYS_brk && places.heap_end)
			response.val = (int64_t)places.heap_end;
		else
			response.error = -ENOMEM;
	}
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

/* A process that shares our descriptors until it executes: the listener it opens is ours too. */
static pid_t start(char **argv, int *ret_listener)
{
	int listener = -1, ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		die("pipe");
	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid < 0)
		die("clone");
	if (pid == 0) {
		listener = install_filter();
		if (write(ends[1], &listener, sizeof(listener)) != sizeof(listener))
			_exit(127);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (read(ends[0], &listener, sizeof(listener)) != sizeof(listener) || listener < 0)
		die("seccomp");
	*ret_listener = listener;
	return pid;
}

int main(int argc, char **argv)
{
	const char *count = NULL;
	int listener, status = 0, i = 1;
	struct pollfd poll_fd;
	pid_t pid;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "--only") && i + 1 < argc) {
			only = strtoul(argv[++i], NULL, 10);
		} else if (!strcmp(argv[i], "--from") && i + 1 < argc) {
			from = strtoul(argv[++i], NULL, 10);
		} else if (!strcmp(argv[i], "--random") && i + 2 < argc) {
			percent = strtoul(argv[++i], NULL, 10);
			seed = strtoull(argv[++i], NULL, 10);
		} else if (!strcmp(argv[i], "--count") && i + 1 < argc) {
			count = argv[++i];
		} else {
			break;
		}
	}
	if (i >= argc || argv[i][0] == '-') {
		fprintf(stderr, "usage: deny [--only N | --from N | --random PERCENT SEED] "
				"[--count FILE] PROGRAM ARGS…\n");
		return 2;
	}
	pid = start(argv + i, &listener);
	poll_fd = (struct pollfd){ .fd = listener, .events = POLLIN };
	for (;;) {
		if (poll(&poll_fd, 1, -1) < 0 && errno != EINTR)
			die("poll");
		if (poll_fd.revents & POLLIN)
			answer(listener);
		else if (poll_fd.revents & POLLHUP)
			break; /* the last of them is gone */
	}
	waitpid(pid, &status, 0);
	if (count) {
		FILE *file = fopen(count, "we");

		if (!file)
			die(count);
		fprintf(file, "%lu %lu\n", requests, denied);
		fclose(file);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
