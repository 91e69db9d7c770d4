/* Formats that other tools read. Each writes the whole profile to a file. */
#ifndef HEAPTAPE_VIEWER_EXPORT_EXPORT_H
#define HEAPTAPE_VIEWER_EXPORT_EXPORT_H

#include <stdio.h>

#include "viewer/model/metric.h"
#include "viewer/model/profile.h"
#include "viewer/model/run.h"

/* "main;f;g 123" a line: flamegraph.pl, speedscope, inferno */
void export_folded(FILE *out, const struct run *run, const struct profile *profile,
		   const struct measure *measure);
/* https://www.speedscope.app/file-format-schema.json, one profile per measure */
void export_speedscope(FILE *out, const struct run *run, const struct profile *profile,
		       const struct measure *measure);
/* go tool pprof */
void export_pprof(FILE *out, const struct run *run, const struct profile *profile,
		  const struct measure *measure);

#endif
