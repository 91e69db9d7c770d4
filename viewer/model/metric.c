#include "viewer/model/metric.h"

#include <string.h>

const struct measure measures[] = {
	{ "allocated", "bytes allocated", "bytes", METRIC_ALLOCATED_BYTES },
	{ "count", "allocations", "allocations", METRIC_ALLOCATIONS },
	{ "peak", "bytes live at the peak", "bytes", METRIC_PEAK_BYTES },
	{ "leaked", "bytes never freed", "bytes", METRIC_LIVE_BYTES },
	{ "temporary", "temporary allocations", "allocations", METRIC_TEMPORARY },
};
const size_t measure_count = sizeof(measures) / sizeof(*measures);

int measure_find(const char *name)
{
	for (size_t i = 0; i < measure_count; i++)
		if (!strcmp(measures[i].name, name))
			return (int)i;
	return -1;
}
