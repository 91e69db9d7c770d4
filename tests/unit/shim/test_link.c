/* The connection: frames go whole or not at all, a full socket, a daemon that goes away, and the
 * shared memory that travels with the first frame. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "shim/link.h"
#include "shim/ring.h"

static char folder[] = "/tmp/heaptape-unit-XXXXXX";
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int listener, peer;

static int listen_somewhere(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 5))
		return -1;
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	close(listener);
	unlink(address.sun_path);
	return rmdir(folder);
}

static int connect_link(void **state)
{
	(void)state;
	ht_link_inherit();
	ht_link_forget();
	if (ht_link_open(address.sun_path))
		return -1;
	ht_link.state = LINK_ON;
	peer = accept(listener, NULL, NULL);
	return peer < 0;
}

static int disconnect_link(void **state)
{
	(void)state;
	close(peer);
	ht_link_off(NULL, 0);
	return 0;
}

static int send_frame(uint8_t fill, size_t bytes)
{
	static uint8_t data[LINK_MAX_FRAME];
	struct iovec parts[2] = { { data, bytes / 3 }, { data + bytes / 3, bytes - bytes / 3 } };
	struct link_hold hold;
	int error;

	memset(data, fill, bytes);
	ht_link_lock(&hold);
	error = ht_link_send(parts, 2);
	ht_link_unlock(&hold);
	return error;
}

static void read_fill(uint8_t fill, size_t bytes)
{
	static uint8_t data[LINK_MAX_FRAME];

	/* A signal ends even MSG_WAITALL early. */
	for (size_t at = 0; at < bytes;) {
		ssize_t got = recv(peer, data + at, bytes - at, 0);

		assert_true(got > 0 || (got < 0 && errno == EINTR));
		at += got > 0 ? (size_t)got : 0;
	}
	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(data[i], fill);
}

static void descriptor_is_out_of_the_way(void **state)
{
	int flags = fcntl(ht_link.fd, F_GETFD);

	(void)state;
	assert_true(ht_link.fd >= 100);
	assert_true(flags & FD_CLOEXEC);
}

static void memory_travels_with_the_first_frame(void **state)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char text[6] = "";
	struct iovec in = { text, sizeof(text) }, out = { "hello", 5 };
	struct msghdr message = { .msg_iov = &in,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct ring_head head;
	struct ring ring;
	struct stat status;
	int fd;

	(void)state;
	assert_int_equal(ht_ring_make(&ring), 0);
	assert_true(ring.shared);
	ring.head->buffers_used = 77;
	assert_int_equal(ht_link_first(&out, 1, ring.fd), 0);
	assert_int_equal(recvmsg(peer, &message, 0), 5);
	assert_string_equal(text, "hello");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	assert_int_equal(pread(fd, &head, sizeof(head), 0), sizeof(head));
	assert_true(head.magic == RING_MAGIC);
	assert_int_equal(head.version, RING_VERSION);
	assert_int_equal(head.buffers_used, 77);
	assert_int_equal(fstat(fd, &status), 0);
	assert_true(status.st_blocks < 100); /* sparse */
	assert_true(head.nodes_offset + head.node_capacity * sizeof(struct ring_node) <=
		    (uint64_t)status.st_size);
	assert_int_equal(ftruncate(fd, 4096), -1); /* sealed */
	close(fd);
	ht_ring_drop(&ring);
	assert_null(ring.head);
}

static void full_socket_says_so(void **state)
{
	unsigned taken = 0;
	int error;

	(void)state;
	while ((error = send_frame((uint8_t)taken, 40000)) == 0)
		taken++;
	assert_int_equal(error, -EAGAIN);
	assert_true(taken >= 2);
	for (unsigned i = 0; i + 1 < taken; i++)
		read_fill((uint8_t)i, 40000);
	/* The last one may have been taken in part: the rest comes before anything new. */
	assert_int_equal(send_frame(200, 100), 0);
	read_fill((uint8_t)(taken - 1), 40000);
	read_fill(200, 100);
	assert_int_equal(ht_link.unsent_bytes, 0);
}

static void count_signal(int signal)
{
	(void)signal;
}

static void *read_slowly(void *frames)
{
	usleep(20000);
	for (unsigned i = 0; i < *(unsigned *)frames; i++)
		read_fill((uint8_t)i, 40000);
	return NULL;
}

static void waiting_ends_when_there_is_room(void **state)
{
	uint64_t waited = 0;
	unsigned frames = 200;
	pthread_t reader;

	(void)state;
	signal(SIGALRM, count_signal);
	ualarm(1000, 1000);
	pthread_create(&reader, NULL, read_slowly, &frames);
	for (unsigned i = 0; i < frames; i++)
		while (send_frame((uint8_t)i, 40000) == -EAGAIN) {
			ht_link_wait();
			waited++;
		}
	ht_link_drain(5000);
	assert_int_equal(ht_link.unsent_bytes, 0);
	pthread_join(reader, NULL);
	ualarm(0, 0);
	assert_true(waited > 0);
}

/* No SIGPIPE, one line, and from then on silence. */
static void peer_goes_away(void **state)
{
	int saved = dup(STDERR_FILENO), lines[2], error = 0;
	char text[256];
	ssize_t length;

	(void)state;
	assert_int_equal(pipe(lines), 0);
	dup2(lines[1], STDERR_FILENO);
	close(peer);
	for (int i = 0; i < 3; i++)
		error = send_frame(1, 100);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(lines[1]);
	length = read(lines[0], text, sizeof(text) - 1);
	assert_true(length > 0);
	text[length] = 0;
	close(lines[0]);
	assert_int_equal(error, -EPIPE);
	assert_string_equal(text, "heaptape: lost the connection to heaptaped (Broken pipe); "
				  "the program goes on unrecorded\n");
	assert_int_equal(ht_link.state, LINK_OFF);
	assert_int_equal(ht_link.fd, -1);
	assert_false(ht_recording());
}

static void nobody_listens(void **state)
{
	char path[200];

	(void)state;
	ht_link_inherit();
	ht_link_forget();
	assert_int_equal(ht_link_open("/nonexistent/socket"), -ENOENT);
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = 0;
	assert_int_equal(ht_link_open(path), -ENAMETOOLONG);
	assert_int_equal(ht_link.fd, -1);
}

/* A small file size limit neither kills the process (SIGXFSZ) nor ends the recording. */
static void memory_under_limits(void **state)
{
	struct rlimit old, small;
	struct ring ring;

	(void)state;
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){ 1 << 20, old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(ht_ring_make(&ring), 0);
	assert_true(!ring.shared);
	ht_ring_drop(&ring);
	small.rlim_cur = 20 << 20;
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(ht_ring_make(&ring), 0);
	assert_true(ring.shared);
	assert_true(ring.head->nodes_offset < 20 << 20);
	ht_ring_drop(&ring);
	setrlimit(RLIMIT_FSIZE, &old);
}

#define CONNECTED(test) cmocka_unit_test_setup_teardown(test, connect_link, disconnect_link)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONNECTED(descriptor_is_out_of_the_way),
		CONNECTED(memory_travels_with_the_first_frame),
		CONNECTED(full_socket_says_so),
		CONNECTED(waiting_ends_when_there_is_room),
		CONNECTED(peer_goes_away),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(memory_under_limits),
	};

	return cmocka_run_group_tests(tests, listen_somewhere, clean_up);
}
