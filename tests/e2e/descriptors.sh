#!/bin/sh
# A program that closes and replaces every descriptor neither harms its recording nor notices it.
. "$(dirname "$0")/lib.sh"

identical "$programs/descriptors"
has "replaced" out '^replaced 2194$'
is "blocks after each step" "$(query "SELECT count(*) FROM events WHERE kind = 'malloc' AND
	size_bytes = 555")" 800
is "processes" "$(query "SELECT count(*) FROM processes")" 3
pass
