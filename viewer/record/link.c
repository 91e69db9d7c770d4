#include "viewer/record/link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/wire.h"

int link_connect(const char *path, int *ret_fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) > LINK_PATH_BYTES)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		int error = -errno;

		close(fd);
		return error;
	}
	*ret_fd = fd;
	return 0;
}

int link_send(int fd, const Heaptape__Frame *frame)
{
	size_t bytes = heaptape__frame__get_packed_size(frame), done = 0;
	uint32_t length = (uint32_t)bytes;
	uint8_t *packet;

	if (bytes > WIRE_MAX_PAYLOAD)
		return -EMSGSIZE;
	packet = malloc(WIRE_HEADER_BYTES + bytes);
	if (!packet)
		return -ENOMEM;
	for (int i = 0; i < WIRE_HEADER_BYTES; i++)
		packet[i] = (uint8_t)(length >> (8 * i));
	heaptape__frame__pack(frame, packet + WIRE_HEADER_BYTES);
	bytes += WIRE_HEADER_BYTES;
	while (done < bytes) {
		ssize_t sent = send(fd, packet + done, bytes - done, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR) {
			int error = -errno;

			free(packet);
			return error;
		}
		done += sent > 0 ? (size_t)sent : 0;
	}
	free(packet);
	return 0;
}

/* Exactly `bytes` bytes; a signal in the middle does not tear a frame. */
static int read_all(int fd, uint8_t *to, size_t bytes)
{
	while (bytes) {
		ssize_t got = read(fd, to, bytes);

		if (got == 0)
			return -EPIPE;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == ECONNRESET ? -EPIPE : -errno;
		to += got;
		bytes -= (size_t)got;
	}
	return 0;
}

const char *link_problem(int result, const Heaptape__Frame *frame)
{
	static char text[512];

	if (!result && frame->body_case != HEAPTAPE__FRAME__BODY_CONTROL)
		return "answered out of turn. Is it of another version?";
	if (result == -EPIPE)
		return "ended, or does not know this request";
	if (result)
		snprintf(text, sizeof(text), "gave no answer: %s", strerror(-result));
	else
		snprintf(text, sizeof(text), "refuses: %s", frame->control->message);
	return text;
}

int link_receive(int fd, int timeout_ms, Heaptape__Frame **ret_frame)
{
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	uint8_t header[WIRE_HEADER_BYTES], *payload;
	Heaptape__Frame *frame;
	uint32_t length;
	int result = poll(&readable, 1, timeout_ms);

	if (result < 0)
		return -errno;
	if (!result)
		return -ETIMEDOUT;
	result = read_all(fd, header, sizeof(header));
	if (result)
		return result;
	length = header[0] | (uint32_t)header[1] << 8 | (uint32_t)header[2] << 16 |
		 (uint32_t)header[3] << 24;
	if (!length || length > WIRE_MAX_PAYLOAD)
		return -EBADMSG;
	payload = malloc(length);
	if (!payload)
		return -ENOMEM;
	result = read_all(fd, payload, length);
	frame = result ? NULL : heaptape__frame__unpack(NULL, length, payload);
	free(payload);
	if (result)
		return result;
	if (!frame)
		return -EBADMSG;
	*ret_frame = frame;
	return 0;
}
