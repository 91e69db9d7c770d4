#include "viewer/command/recording.h"

#include "viewer/command/cli.h"
#include "viewer/model/filter.h"
#include "viewer/record/launch.h"
#include "viewer/record/names.h"

int recording_open_db(const char *path, struct db *ret_db, struct error *error)
{
	bool left = false;
	int result = db_open(path, ret_db, &left, error);

	if (!result && left)
		launch_symbols(path);
	return result;
}

int recording_open(struct recording *recording, struct error *error)
{
	int result = recording_open_db(cli_database(), &recording->db, error);

	if (!result)
		result = names_ask(&recording->db, error);
	if (!result)
		result = db_snapshot(&recording->db, error);
	return result;
}

int recording_open_run(struct recording *recording, const char *run, struct error *error)
{
	int64_t run_id = 0;
	int result = recording_open(recording, error);

	if (!result)
		result = run_select(&recording->db, run, &run_id, error);
	if (!result)
		result = run_load(&recording->db, run_id, &recording->run, error);
	return result;
}

int recording_load_profile_of(struct recording *recording, struct db *db, int64_t process_id,
			      struct error *error)
{
	int result = wrappers_load(shared.wrappers, &recording->wrappers, error);

	if (!result)
		result = profile_load(db, &recording->run, process_id, &recording->wrappers,
				      &recording->profile, error);
	if (!result && shared.all_frames)
		profile_unfold(&recording->profile);
	return result;
}

int recording_load_profile(struct recording *recording, int64_t process_id, struct error *error)
{
	return recording_load_profile_of(recording, &recording->db, process_id, error);
}

void recording_filter(struct recording *recording)
{
	const struct filter filter = { shared.match, shared.module };

	filter_apply(&filter, &recording->profile);
}

void recording_close(struct recording *recording)
{
	profile_release(&recording->profile);
	wrappers_release(&recording->wrappers);
	run_release(&recording->run);
	db_close(&recording->db);
}
