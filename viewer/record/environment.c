#include "viewer/record/environment.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/memory.h"

void environment_init(struct environment *ret_environment)
{
	size_t count = 0;

	*ret_environment = (struct environment){ 0 };
	while (environ[count])
		count++;
	ret_environment->all = memory_alloc((count + 1) * sizeof(*ret_environment->all));
	for (size_t i = 0; i < count; i++)
		ret_environment->all[i] = memory_copy(environ[i]);
}

void environment_set(struct environment *environment, const char *name, const char *value)
{
	size_t count = 0, length = strlen(name);

	while (environment->all[count] && (strncmp(environment->all[count], name, length) != 0 ||
					   environment->all[count][length] != '='))
		count++;
	if (!environment->all[count]) {
		environment->all =
			memory_grow(environment->all, (count + 2) * sizeof(*environment->all));
		environment->all[count] = environment->all[count + 1] = NULL;
	}
	free(environment->all[count]);
	environment->all[count] = memory_print("%s=%s", name, value);
}

void environment_unset(struct environment *environment, const char *name)
{
	size_t kept = 0, length = strlen(name);

	for (size_t i = 0; environment->all[i]; i++) {
		if (strncmp(environment->all[i], name, length) == 0 &&
		    environment->all[i][length] == '=')
			free(environment->all[i]);
		else
			environment->all[kept++] = environment->all[i];
	}
	environment->all[kept] = NULL;
}

void environment_setting(struct environment *environment, const char *name, const char *value)
{
	environment_set(environment, name, value);
	if (environment->setting_count < RUN_SETTINGS_MAX)
		environment->settings[environment->setting_count++] =
			memory_print("%s=%s", name, value);
}

void environment_release(struct environment *environment)
{
	for (size_t i = 0; environment->all[i]; i++)
		free(environment->all[i]);
	for (size_t i = 0; i < environment->setting_count; i++)
		free(environment->settings[i]);
	free(environment->all);
}
