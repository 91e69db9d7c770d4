#include "viewer/model/suppress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/pattern.h"

bool suppressions_add(struct suppressions *suppressions, char *line)
{
	char *text = line + strspn(line, " \t"), *end = text + strlen(text);

	while (end > text && strchr(" \t\r\n", end[-1]))
		*--end = 0;
	if (!*text || *text == '#')
		return true;
	if (strncmp(text, "leak:", 5) != 0 || !text[5])
		return false;
	suppressions->patterns =
		memory_grow(suppressions->patterns,
			    (suppressions->count + 1) * sizeof(*suppressions->patterns));
	suppressions->patterns[suppressions->count++] = memory_copy(text + 5);
	return true;
}

static int read_lines(FILE *file, const char *path, struct suppressions *suppressions,
		      struct error *error)
{
	char *line = NULL;
	size_t room = 0;
	int result = 0;

	for (size_t number = 1; !result && getline(&line, &room, file) >= 0; number++)
		if (!suppressions_add(suppressions, line))
			result = error_set(error, -EINVAL, "%s:%zu: '%s' is not 'leak:PATTERN'",
					   path, number, line + strspn(line, " \t"));
	if (!result && ferror(file))
		result = error_set(error, -errno, "cannot read the suppressions '%s': %s", path,
				   strerror(errno));
	free(line);
	return result;
}

int suppressions_load(const char *path, struct suppressions *ret_suppressions, struct error *error)
{
	struct suppressions loaded = { 0 };
	FILE *file = fopen(path, "re");
	int result;

	if (!file)
		return error_set(error, -errno, "cannot read the suppressions '%s': %s", path,
				 strerror(errno));
	result = read_lines(file, path, &loaded, error);
	fclose(file);
	if (result)
		suppressions_release(&loaded);
	else
		*ret_suppressions = loaded;
	return result;
}

void suppressions_release(struct suppressions *suppressions)
{
	for (size_t i = 0; i < suppressions->count; i++)
		free(suppressions->patterns[i]);
	free(suppressions->patterns);
	*suppressions = (struct suppressions){ NULL, 0 };
}

static bool stack_suppressed(const struct suppressions *suppressions, const struct profile *profile,
			     uint32_t stack)
{
	uint32_t frames[PROFILE_DEPTH_MAX];
	size_t count = profile_frames(profile, stack, frames, PROFILE_DEPTH_MAX);

	for (size_t i = 0; i < count; i++) {
		const struct frame *frame = &profile->frames[frames[i]];
		const char *texts[] = { frame->function, frame->file,
					profile->modules[frame->module].path };

		for (size_t text = 0; text < 3; text++)
			for (size_t p = 0; texts[text] && p < suppressions->count; p++)
				if (pattern_matches(suppressions->patterns[p], texts[text]))
					return true;
	}
	return false;
}

/* The beginnings of names of functions in these libraries, which keep what they allocate. */
static const char *const keepers[] = {
	"_IO_file_doallocate",
	"_IO_wfile_doallocate",
	"_IO_doallocbuf",
	"setlocale",
	"_nl_",
	"__gconv",
	"gconv_",
	"iconv_",
	"__tz",
	"tzset",
	"_dl_",
	"__nss_",
	"_nss_",
	"__res_",
	"allocate_dtv",
	"__cxa_atexit",
	"__new_exitfn",
	"bindtextdomain",
	"__dcigettext",
	"std::locale::",
	"std::ios_base::Init::",
	"__gnu_cxx::__freeres",
	"(anonymous namespace)::pool::",
};

static bool is_keeper(const char *function)
{
	for (size_t i = 0; i < sizeof(keepers) / sizeof(*keepers); i++)
		if (!strncmp(function, keepers[i], strlen(keepers[i])))
			return true;
	return false;
}

/* On the program's behalf up to the first frame of another library: what opens a stream is its own
 * doing, the stream's buffer is not. Before there is a program, all is the libraries'. */
static bool stack_kept(const struct profile *profile, uint32_t stack)
{
	uint32_t frames[PROFILE_DEPTH_MAX];
	size_t count = profile_frames(profile, stack, frames, PROFILE_DEPTH_MAX);
	const struct module *module = NULL;

	for (size_t i = 0; i < count; i++) {
		const struct frame *frame = &profile->frames[frames[i]];

		module = &profile->modules[frame->module];
		if (!module->runtime && !module->shim)
			return false;
		if (module->runtime && frame->function && is_keeper(frame->function))
			return true;
	}
	return module && !strncmp(module->name, "ld-", 3);
}

/* suppressions: NULL, what the libraries keep. */
static void apply(const struct suppressions *suppressions, struct profile *profile,
		  enum metric bytes, struct suppressed *ret_suppressed)
{
	const enum metric blocks =
		bytes == METRIC_PEAK_BYTES ? METRIC_PEAK_BLOCKS : METRIC_LIVE_BLOCKS;
	struct suppressed suppressed = { 0, 0, 0 };
	size_t shown = 0;

	for (size_t i = 0; i < profile->total_count; i++) {
		const struct total *total = &profile->totals[i];

		if ((total->values[blocks] <= 0 && total->values[bytes] <= 0) ||
		    !(suppressions ? stack_suppressed(suppressions, profile, total->stack)
				   : stack_kept(profile, total->stack))) {
			profile->totals[shown++] = *total;
			continue;
		}
		suppressed.stacks++;
		suppressed.blocks += total->values[blocks];
		suppressed.bytes += total->values[bytes];
		for (int at = 0; at < METRIC_COUNT; at++)
			profile->sums[at] -= total->values[at];
	}
	profile->total_count = shown;
	*ret_suppressed = suppressed;
}

void suppressions_apply(const struct suppressions *suppressions, struct profile *profile,
			enum metric bytes, struct suppressed *ret_suppressed)
{
	apply(suppressions, profile, bytes, ret_suppressed);
}

void suppress_kept(struct profile *profile, enum metric bytes, struct suppressed *ret_suppressed)
{
	apply(NULL, profile, bytes, ret_suppressed);
}

void suppress_kept_live(struct profile *profile, struct suppressed *ret_kept)
{
	struct suppressed kept = { 0, 0, 0 };

	for (size_t i = 0; i < profile->total_count; i++) {
		int64_t *values = profile->totals[i].values;

		if ((values[METRIC_LIVE_BLOCKS] <= 0 && values[METRIC_LIVE_BYTES] <= 0) ||
		    !stack_kept(profile, profile->totals[i].stack))
			continue;
		kept.stacks++;
		kept.blocks += values[METRIC_LIVE_BLOCKS];
		kept.bytes += values[METRIC_LIVE_BYTES];
		values[METRIC_LIVE_BLOCKS] = values[METRIC_LIVE_BYTES] = 0;
	}
	profile->sums[METRIC_LIVE_BLOCKS] -= kept.blocks;
	profile->sums[METRIC_LIVE_BYTES] -= kept.bytes;
	*ret_kept = kept;
}
