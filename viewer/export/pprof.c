/*
 * pprof's format (viewer/export/profile.proto). A frame of ours with the functions inlined into it is one
 * Location with several Lines; addresses are offsets in the module, each module being one Mapping
 * laid out after the other, so that they do not overlap.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/memory.h"
#include "viewer/model/frame.h"
#include "viewer/print/text.h"
#include "viewer/export/export.h"
#include "viewer/intern.h"
#include "viewer/export/profile.pb-c.h"

/* Everything allocated for one export. Message arrays are arrays of pointers in protobuf-c. */
struct pprof {
	const struct profile *profile;
	struct intern *strings;
	Perftools__Profiles__Profile message;
	bool *used; /* frames that samples name, as location and function ids */
};

static int64_t string_of(struct pprof *pprof, const char *text)
{
	return (int64_t)intern_put(pprof->strings, text ? text : "");
}

static void add_sample_types(struct pprof *pprof, const struct measure *measure)
{
	Perftools__Profiles__ValueType **types = memory_alloc(measure_count * sizeof(*types));

	for (size_t i = 0; i < measure_count; i++) {
		types[i] = memory_alloc(sizeof(**types));
		perftools__profiles__value_type__init(types[i]);
		types[i]->type = string_of(pprof, measures[i].name);
		types[i]->unit = string_of(pprof, strcmp(measures[i].unit, "bytes") == 0 ? "bytes"
											 : "count");
	}
	pprof->message.sample_type = types;
	pprof->message.n_sample_type = measure_count;
	pprof->message.default_sample_type = string_of(pprof, measure->name);
}

/* A stack's locations: its frames without those that are inlined into the one before. */
static size_t locations_of(struct pprof *pprof, uint32_t stack, uint64_t *ids, size_t room)
{
	size_t count = 0;

	for (uint32_t at = stack; at && count < room; at = pprof->profile->stacks[at].parent) {
		uint32_t frame = pprof->profile->stacks[at].frame;

		pprof->used[frame] = true;
		ids[count++] = (uint64_t)frame + 1;
	}
	if (!count) {
		pprof->used[0] = true;
		ids[count++] = 1;
	}
	return count;
}

static void add_samples(struct pprof *pprof)
{
	const struct profile *profile = pprof->profile;
	Perftools__Profiles__Sample **samples =
		memory_alloc((profile->total_count + 1) * sizeof(*samples));
	uint64_t ids[PROFILE_DEPTH_MAX];

	for (size_t i = 0; i < profile->total_count; i++) {
		const struct total *total = &profile->totals[i];
		Perftools__Profiles__Sample *sample = memory_alloc(sizeof(*sample));

		perftools__profiles__sample__init(sample);
		sample->n_location_id = locations_of(pprof, total->stack, ids, PROFILE_DEPTH_MAX);
		sample->location_id = memory_alloc(sample->n_location_id * sizeof(*ids));
		memcpy(sample->location_id, ids, sample->n_location_id * sizeof(*ids));
		sample->n_value = measure_count;
		sample->value = memory_alloc(measure_count * sizeof(*sample->value));
		for (size_t at = 0; at < measure_count; at++)
			sample->value[at] = total->values[measures[at].metric];
		samples[i] = sample;
	}
	pprof->message.sample = samples;
	pprof->message.n_sample = profile->total_count;
}

/* Bytes set apart for each module's offsets. */
#define MAPPING_BYTES (1ull << 32)

static void add_mappings(struct pprof *pprof)
{
	const struct profile *profile = pprof->profile;
	Perftools__Profiles__Mapping **mappings =
		memory_alloc((profile->module_count + 1) * sizeof(*mappings));

	for (size_t i = 1; i < profile->module_count; i++) {
		Perftools__Profiles__Mapping *mapping = memory_alloc(sizeof(*mapping));

		perftools__profiles__mapping__init(mapping);
		mapping->id = i;
		mapping->memory_start = i * MAPPING_BYTES;
		mapping->memory_limit = (i + 1) * MAPPING_BYTES;
		mapping->filename = string_of(pprof, profile->modules[i].path);
		/* Symbols are here already: pprof shall not look for the files. */
		mapping->has_functions = mapping->has_filenames = true;
		mapping->has_line_numbers = mapping->has_inline_frames = true;
		mappings[i - 1] = mapping;
	}
	pprof->message.mapping = mappings;
	pprof->message.n_mapping = profile->module_count ? profile->module_count - 1 : 0;
}

static Perftools__Profiles__Location *location_of(struct pprof *pprof, uint32_t id)
{
	const struct profile *profile = pprof->profile;
	const struct frame *frame = &profile->frames[id];
	Perftools__Profiles__Location *location = memory_alloc(sizeof(*location));
	uint32_t levels[64];

	perftools__profiles__location__init(location);
	location->id = (uint64_t)id + 1;
	location->mapping_id = frame->module;
	location->address = frame->module * MAPPING_BYTES + frame->offset % MAPPING_BYTES;
	levels[location->n_line++] = id;
	while (location->n_line < 64 && profile->frames[levels[location->n_line - 1]].outer) {
		levels[location->n_line] = profile->frames[levels[location->n_line - 1]].outer;
		location->n_line++;
	}
	location->line = memory_alloc(location->n_line * sizeof(*location->line));
	for (size_t i = 0; i < location->n_line; i++) {
		Perftools__Profiles__Line *line = memory_alloc(sizeof(*line));

		perftools__profiles__line__init(line);
		line->function_id = (uint64_t)levels[i] + 1;
		line->line = profile->frames[levels[i]].line;
		location->line[i] = line;
	}
	return location;
}

static Perftools__Profiles__Function *function_of(struct pprof *pprof, uint32_t id)
{
	Perftools__Profiles__Function *function = memory_alloc(sizeof(*function));

	perftools__profiles__function__init(function);
	function->id = (uint64_t)id + 1;
	function->name = string_of(pprof, frame_name(pprof->profile, id));
	function->system_name = function->name;
	function->filename = string_of(pprof, pprof->profile->frames[id].file);
	return function;
}

static void add_frames(struct pprof *pprof)
{
	const struct profile *profile = pprof->profile;
	Perftools__Profiles__Location **locations =
		memory_alloc(profile->frame_count * sizeof(*locations));
	Perftools__Profiles__Function **functions =
		memory_alloc(profile->frame_count * sizeof(*functions));
	bool *called = memory_alloc(profile->frame_count);

	for (size_t id = 0; id < profile->frame_count; id++) {
		unsigned levels = 0;

		if (!pprof->used[id])
			continue;
		locations[pprof->message.n_location++] = location_of(pprof, (uint32_t)id);
		called[id] = true;
		for (uint32_t at = profile->frames[id].outer; at && levels < 64; levels++) {
			called[at] = true;
			at = profile->frames[at].outer;
		}
	}
	for (size_t id = 0; id < profile->frame_count; id++)
		if (called[id])
			functions[pprof->message.n_function++] = function_of(pprof, (uint32_t)id);
	pprof->message.location = locations;
	pprof->message.function = functions;
	free(called);
}

static void add_strings(struct pprof *pprof)
{
	size_t count = intern_count(pprof->strings);

	pprof->message.string_table = memory_alloc(count * sizeof(char *));
	for (size_t i = 0; i < count; i++)
		pprof->message.string_table[i] = text_utf8(intern_text(pprof->strings, i));
	pprof->message.n_string_table = count;
}

void export_pprof(FILE *out, const struct run *run, const struct profile *profile,
		  const struct measure *measure)
{
	struct pprof pprof = { .profile = profile, .strings = intern_new() };
	uint8_t *packed;
	size_t bytes;

	perftools__profiles__profile__init(&pprof.message);
	pprof.used = memory_alloc(profile->frame_count);
	string_of(&pprof, "");
	add_sample_types(&pprof, measure);
	add_samples(&pprof);
	add_mappings(&pprof);
	add_frames(&pprof);
	pprof.message.comment = memory_alloc(sizeof(int64_t));
	pprof.message.comment[0] = string_of(&pprof, run->command);
	pprof.message.n_comment = 1;
	pprof.message.time_nanos = run->started_at;
	pprof.message.duration_nanos = run->duration_ns == UNKNOWN ? 0 : run->duration_ns;
	add_strings(&pprof);
	bytes = perftools__profiles__profile__get_packed_size(&pprof.message);
	packed = memory_alloc(bytes);
	perftools__profiles__profile__pack(&pprof.message, packed);
	fwrite(packed, 1, bytes, out);
	free(packed);
	free(pprof.used);
	intern_free(pprof.strings);
	/* Frees all that the message points to: every part of it is a heap block of its own. */
	{
		Perftools__Profiles__Profile *heap = memory_alloc(sizeof(*heap));

		*heap = pprof.message;
		perftools__profiles__profile__free_unpacked(heap, NULL);
	}
}
