/*
 * outcast WAYS FOLDER CHILDREN: goes where the daemon's socket cannot be reached, then forks CHILDREN
 * children, each of which allocates a hundred blocks of 7001 bytes and ends with 9. WAYS, in this
 * order, any of:
 *
 *   t  two more threads allocate all the time     c  FOLDER is the new root
 *   m  FOLDER is covered by an empty one          u  the user becomes nobody
 *   n  no descriptor is left                      p  the user may have no more processes
 *   b  the children are made behind libc's back
 *   l  it does not wait for its children          d  each of them is its child's child, its parent gone
 *
 * Prints how many children there were, and how many forks failed. Ends with 7.
 */
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/programs/say.h"

static const char *ways;
static _Atomic unsigned long calls;

static int is(char way)
{
	return strchr(ways, way) != NULL;
}

static void *busy(void *unused)
{
	(void)unused;
	for (;;) {
		free(malloc(100));
		atomic_fetch_add(&calls, 1);
	}
	return NULL;
}

static int go(const char *folder)
{
	struct rlimit none = { 0, 0 };
	pthread_t id;

	for (int i = 0; is('t') && i < 2; i++)
		if (pthread_create(&id, NULL, busy, NULL))
			return -1;
	while (is('t') && calls < 100000)
		sched_yield();
	if (is('c') && (chroot(folder) || chdir("/")))
		return -1;
	if (is('m') &&
	    (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	     mount("none", folder, "tmpfs", 0, NULL)))
		return -1;
	if (is('u') && (setgroups(0, NULL) || setgid(65534) || setuid(65534)))
		return -1;
	if (is('n') && setrlimit(RLIMIT_NOFILE, &none))
		return -1;
	return is('p') ? setrlimit(RLIMIT_NPROC, &none) : 0;
}

static void be_child(void)
{
	if (is('d')) {
		if (fork())
			_exit(0);
		setsid();
	}
	for (int i = 0; i < 100; i++)
		free(malloc(7001));
	_exit(9);
}

int main(int argc, char **argv)
{
	int count = argc > 3 ? atoi(argv[3]) : 0, born = 0, failed = 0, good = 0, status;

	ways = argc > 1 ? argv[1] : "";
	if (argc < 4 || go(argv[2])) {
		say("cannot go: %s\n", strerror(errno));
		say_write();
		return 99;
	}
	for (int i = 0; i < count; i++) {
		pid_t pid;

		errno = EAGAIN; /* as a fork that fails leaves it */
		pid = is('b') ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();

		if (pid == 0)
			be_child();
		born += pid > 0;
		failed += pid < 0 && errno == EAGAIN;
	}
	while (!is('l') && wait(&status) > 0)
		good += status == (is('d') ? 0 : 9 << 8);
	say("%d born, %d failed, %d good\n", born, failed, good);
	say_write();
	return 7;
}
