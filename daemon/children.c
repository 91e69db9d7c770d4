#include "daemon/children.h"

#include <fcntl.h>
#include <sys/socket.h>

static int option(int fd, int name)
{
	int value = -1;
	socklen_t bytes = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &bytes) == 0 ? value : -1;
}

bool children_is_connection(int fd, pid_t *ret_pid)
{
	struct ucred ucred = { .pid = 0 };
	socklen_t bytes = sizeof(ucred);

	if (option(fd, SO_DOMAIN) != AF_UNIX || option(fd, SO_TYPE) != SOCK_STREAM)
		return false;
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &bytes);
	*ret_pid = ucred.pid;
	return true;
}

void children_lost(struct run *run)
{
	if (run)
		run_add_forks(run, 0, 0, 1);
}

void children_count(struct children *children, struct run *run, struct ring *ring)
{
	if (ring_refresh(ring) != 0)
		return;
	run_add_forks(run, children->process_id, ring->head.forks - children->forks,
		      ring->head.lost_forks - children->lost_forks);
	run_add_lost_execs(run, children->process_id, ring->head.lost_execs - children->lost_execs);
	run->spawns += ring->head.spawns - children->spawns;
	children->forks = ring->head.forks;
	children->lost_forks = ring->head.lost_forks;
	children->lost_execs = ring->head.lost_execs;
	children->spawns = ring->head.spawns;
}

void children_await(struct children *children, struct run *run, struct ring *ring)
{
	children_count(children, run, ring);
	children->ring = *ring;
	children->ring.fd = fcntl(ring->fd, F_DUPFD_CLOEXEC, 0);
	run->left++;
	run->looked = false;
}

void children_done(struct children *children, struct run *run)
{
	children_count(children, run, &children->ring);
	ring_close(&children->ring);
	run->left--;
	run->looked = false;
}
