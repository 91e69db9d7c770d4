/* Every command of heaptape, one file each, in the order of the help. */
#ifndef HEAPTAPE_VIEWER_COMMAND_COMMANDS_H
#define HEAPTAPE_VIEWER_COMMAND_COMMANDS_H

#include "viewer/command/cli.h"

/* clang-format off */
#define COMMANDS(ROW) \
	ROW(run) \
	ROW(pause) \
	ROW(resume) \
	ROW(mark) \
	ROW(report) \
	ROW(runs) \
	ROW(leaks) \
	ROW(growth) \
	ROW(peak) \
	ROW(flame) \
	ROW(diff) \
	ROW(sql) \
	ROW(export)
/* clang-format on */

#define ROW(name) extern const struct command command_##name;
COMMANDS(ROW)
#undef ROW

#endif
