/* Every command of heaptape, one file each. */
#ifndef HEAPTAPE_VIEWER_COMMAND_COMMANDS_H
#define HEAPTAPE_VIEWER_COMMAND_COMMANDS_H

#include "viewer/command/cli.h"

extern const struct command command_run;
extern const struct command command_pause;
extern const struct command command_resume;
extern const struct command command_snapshot;
extern const struct command command_report;
extern const struct command command_runs;
extern const struct command command_leaks;
extern const struct command command_peak;
extern const struct command command_flame;
extern const struct command command_diff;
extern const struct command command_sql;
extern const struct command command_export;

#endif
