/* The environment that a program to be recorded is given, and the settings its run's row keeps. */
#ifndef HEAPTAPE_VIEWER_RECORD_ENVIRONMENT_H
#define HEAPTAPE_VIEWER_RECORD_ENVIRONMENT_H

#include <stddef.h>

#define RUN_SETTINGS_MAX 16

struct environment {
	char **all; /* NAME=value each; NULL ends them */
	char *settings[RUN_SETTINGS_MAX];
	size_t setting_count;
};

/* A copy of ours. */
void environment_init(struct environment *ret_environment);
void environment_release(struct environment *environment);

void environment_set(struct environment *environment, const char *name, const char *value);
void environment_unset(struct environment *environment, const char *name);
/* Sets a variable that is one of the run's settings. */
void environment_setting(struct environment *environment, const char *name, const char *value);

#endif
