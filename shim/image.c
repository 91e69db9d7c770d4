/* The shim has a copy of what the command and the daemon link, hidden as all of its own. */
#include "proto/image.c" // NOLINT(bugprone-suspicious-include): one source, compiled twice
