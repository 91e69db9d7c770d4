#!/bin/sh
# 64 threads at once.
. "$(dirname "$0")/lib.sh"

record "$programs/threads" 64 2000 5
is status "$status" 0
compare_rows
recorded_whole
pass
