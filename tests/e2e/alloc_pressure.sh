#!/bin/sh
# No memory: at each single request to the system, at all from some request on, at random, and at the
# process's limits. A refusal is NULL and ENOMEM and nothing else; recording goes on, and what could
# not be recorded is counted.
. "$(dirname "$0")/lib.sh"

deny=$B/tests/tools/deny
pressure=$programs/pressure
"$deny" true 2>/dev/null || skip "this kernel has no seccomp user notification"

# survived WHAT: the program found nothing wrong.
survived() {
	is "$1: status" "$status" 0
	is "$1" "$(cat out)" intact
	grep -v -e '^refused [0-9]*$' -e '^heaptape: run ' -e '^  ' \
		-e 'no memory to record in' err >said || true
	is "$1: said" "$(head -3 said)" ''
}

# unrecorded OPTIONS…
unrecorded() {
	status=0
	LD_PRELOAD=$B/libheaptape.so "$deny" "$@" --count count "$pressure" >out 2>err || status=$?
	survived "not recorded, $*"
}

# recorded OPTIONS…
recorded() {
	status=0
	"$deny" "$@" --count count "$heaptape" run -- "$pressure" >out 2>err </dev/null || status=$?
	survived "recorded, $*"
}

# The process's own limits. What was freed in one form can be had in another.
for limit in '-v 100000' '-v 40000' '-d 60000' '-d 20000'; do
	status=0
	# shellcheck disable=SC2086 # an option and its value
	(ulimit $limit && LD_PRELOAD=$B/libheaptape.so exec "$pressure" more) >out 2>err || status=$?
	survived "ulimit $limit"
done
for limit in '-v 100000' '-d 40000'; do
	record sh -c "ulimit $limit && exec $pressure more"
	survived "recorded, ulimit $limit"
	invariants --allow-lost
done

# Every request of the allocator's, until there are no more.
for how in --only --from; do
	n=1
	while :; do
		unrecorded $how $n
		read -r requests denied <count
		[ "$denied" != 0 ] || break
		n=$((n + 1))
	done
	[ "$n" -gt 20 ] || fail "$how: only $requests requests in all"
done
seed=1
while [ "$seed" -le 10 ]; do
	unrecorded --random $((seed * 7)) $seed
	seed=$((seed + 1))
done

# The same with the recorder's own: shared memory, records beside blocks, stacks. All in one file.
for how in --only --from; do
	n=1
	while :; do
		recorded $how $n
		read -r requests denied <count
		[ "$denied" != 0 ] || break
		n=$((n + 5))
	done
done
recorded --random 30 1
recorded --random 60 2
invariants --allow-lost
is "runs without an end" "$(query "SELECT count(*) FROM runs WHERE ended_at IS NULL")" 0
# A block without room for its record is refused too: what was given is recorded.
is "events lost" "$(query "SELECT sum(lost_events) FROM processes")" 0
[ "$(query "SELECT sum(failed) FROM processes")" -gt 1000 ] || fail "hardly anything was refused"

pass
