#!/bin/sh
# Tens of millions of events, from one thread and from many at once.
. "$(dirname "$0")/lib.sh"
identical "$programs/churn" 20000000
identical "$programs/churn" 3000000 8
identical "$programs/churn" 200000 64
pass
