#!/bin/sh
# A hundred programs of each kind, killed at random moments.
HT_SCALE=5
export HT_SCALE
exec sh "$(dirname "$0")/fault_death.sh"
