#include "daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int daemon_open(struct daemon *daemon, const char *db_path, const struct daemon_calls *calls,
		struct store_error *ret_error)
{
	int error;

	*daemon = (struct daemon){ .calls = calls };
	error = writer_open(&daemon->writer, db_path, ret_error);
	if (error)
		return error;
	stacks_init(&daemon->stacks, &daemon->writer);
	daemon->press = chunk_press_new();
	if (daemon->press)
		return 0;
	daemon_close(daemon);
	snprintf(ret_error->text, sizeof(ret_error->text), "out of memory");
	return -ENOMEM;
}

void daemon_close(struct daemon *daemon)
{
	kept_clear(&daemon->kept);
	stacks_release(&daemon->stacks);
	chunk_press_free(daemon->press);
	daemon->press = NULL;
	writer_close(&daemon->writer);
}

void daemon_retry(struct daemon *daemon)
{
	daemon->calls->undone(daemon);
	writer_retry(&daemon->writer);
}
