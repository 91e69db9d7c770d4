/* What a parent's shared memory says of its forks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shim/link.h"
#include "shim/ring.h"
#include "shim/settings.h"

static int make(void **state)
{
	(void)state;
	strcpy(ht_settings.socket, "/nonexistent/socket");
	return ht_ring_make(&ht_ring);
}

static int forget(void **state)
{
	(void)state;
	ht_ring.head->forks = ht_ring.head->lost_forks = 0;
	ht_link.state = LINK_ON;
	return 0;
}

static int status_of(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return status;
}

/* It has no connection, not even its parent's. */
static void test_child_cannot_connect(void **state)
{
	pid_t pid;

	(void)state;
	errno = EXDEV;
	pid = fork();
	if (pid == 0)
		_exit(errno == EXDEV && ht_link.state == LINK_OFF ? 3 : 4);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(status_of(pid), 3 << 8);
	assert_int_equal(ht_ring.head->forks, 1);
	assert_int_equal(ht_ring.head->lost_forks, 1);
}

static void test_fork_fails(void **state)
{
	struct rlimit none = { 0, 0 };
	uint32_t *forks = &ht_ring.head->forks;
	pid_t pid;

	(void)state;
	ht_link.state = LINK_OFF;
	pid = fork(); /* the limit is for good, and root has none */
	if (pid == 0) {
		ht_link.state = LINK_ON;
		*forks = 7;
		if (setrlimit(RLIMIT_NPROC, &none) || (getuid() == 0 && setuid(65534)))
			_exit(5);
		if (fork() != -1 || errno != EAGAIN)
			_exit(6);
		_exit(*forks == 7 ? 3 : 4);
	}
	assert_int_equal(status_of(pid), 3 << 8);
}

static void test_not_recorded(void **state)
{
	(void)state;
	ht_settings.follow = FOLLOW_NONE;
	assert_int_equal(status_of(fork() ?: (_exit(3), 0)), 3 << 8);
	ht_settings.follow = FOLLOW_EXEC;
	assert_int_equal(ht_ring.head->forks, 0);
	assert_int_equal(ht_ring.head->lost_forks, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_child_cannot_connect, forget),
		cmocka_unit_test_setup(test_fork_fails, forget),
		cmocka_unit_test_setup(test_not_recorded, forget),
	};

	return cmocka_run_group_tests(tests, make, NULL);
}
