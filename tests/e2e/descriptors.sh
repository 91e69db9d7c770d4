#!/bin/sh
# A program that closes and replaces every descriptor neither harms its recording nor notices it.
. "$(dirname "$0")/lib.sh"

identical "$programs/descriptors"
has "replaced" out '^replaced 2194$'
is "blocks after each step" "$(query "SELECT count(*) FROM events WHERE kind = 'malloc' AND
	size_bytes = 555")" 800
is "processes" "$(query "SELECT count(*) FROM processes")" 3
# With a limit that leaves our descriptor a number above it, and without room for one.
for limit in "-S -n 400" "-n 1200"; do
	identical sh -c "ulimit $limit; exec $programs/descriptors"
	is "blocks under $limit" "$(query "SELECT count(*) FROM events WHERE kind = 'malloc' AND
		size_bytes = 555 AND run_id = $last_run")" 800
done
identical "$programs/descriptors" listed
is "blocks when all that is listed is closed" "$(query "SELECT count(*) FROM events WHERE
	kind = 'malloc' AND size_bytes = 555 AND run_id = $last_run")" 100
pass
