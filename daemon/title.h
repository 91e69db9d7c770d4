/* What a process calls itself, when that is no longer its command line: processes.title. */
#ifndef HEAPTAPE_DAEMON_TITLE_H
#define HEAPTAPE_DAEMON_TITLE_H

#include "proto/event.pb-c.h"

struct process;

/* It is called as its arguments say at first. */
void title_init(struct process *process, const Heaptape__Hello *hello);

/* Writes what it is called now, if that has changed. */
void title_save(struct process *process);

#endif
