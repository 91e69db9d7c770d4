/* What most commands begin with: the database, the run that is meant, its profile. */
#ifndef HEAPTAPE_VIEWER_COMMAND_RECORDING_H
#define HEAPTAPE_VIEWER_COMMAND_RECORDING_H

#include "viewer/model/db.h"
#include "viewer/model/profile.h"
#include "viewer/model/run.h"
#include "viewer/model/wrappers.h"

/* All zero at first; what was opened of it is released by recording_close(). */
struct recording {
	struct db db;
	struct run run;
	struct wrappers wrappers;
	struct profile profile;
};

/* Opens a database; if names of functions are missing in it, they are looked up in the background. */
int recording_open_db(const char *path, struct db *ret_db, struct error *error);

/* The database that was asked for, as it is now, after running programs' functions were named. */
int recording_open(struct recording *recording, struct error *error);
/* The same, and the run of that name (NULL: the last). */
int recording_open_run(struct recording *recording, const char *run, struct error *error);
/* The run's profile; process_id 0: of all its processes. */
int recording_load_profile(struct recording *recording, int64_t process_id, struct error *error);
/* The same, from a database that another recording has open. */
int recording_load_profile_of(struct recording *recording, struct db *db, int64_t process_id,
			      struct error *error);
/* Leaves in the profile what --match and --module ask for. */
void recording_filter(struct recording *recording);
void recording_close(struct recording *recording);

#endif
