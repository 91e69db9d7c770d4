#!/bin/sh
# What the shim takes of the program's address space, and of its memory once that is locked, is little:
# at most 16 MiB and 1 MiB a thread of the one, 4 MiB and 256 KiB a thread of the other. So a small
# program of an ordinary user can lock its memory, and one that limits its own address space has its
# memory, its threads and its record.
. "$(dirname "$0")/lib.sh"
need setpriv

# figures WHAT FILE: the program's words.
figures() {
	result=none
	read -r result failed size resident locked <"$2" || fail "$1: no figures"
	is "$1: refused" "$failed" 0
}

# compared HOW THREADS: the program not recorded and recorded. What glibc reserves for each thread, 64
# MiB of addresses, is left out.
compared() {
	what="$1, $2 threads, $run_options"
	MALLOC_ARENA_MAX=1 "$programs/locked" "$1" "$2" >plain
	figures "$what: alone" plain
	plain_result=$result plain_size=$size plain_resident=$resident plain_locked=$locked
	record "$programs/locked" "$1" "$2"
	is "$what: status" "$status" 0
	figures "$what" out
	is "$what: result" "$result" "$plain_result"
	[ $((size - plain_size)) -le $((16384 + 1024 * $2)) ] ||
		fail "$what: $((size - plain_size)) KiB more of address space"
	[ $((resident - plain_resident)) -le $((4096 + 256 * $2)) ] ||
		fail "$what: $((resident - plain_resident)) KiB more resident"
	[ $((locked - plain_locked)) -le $((4096 + 256 * $2)) ] ||
		fail "$what: $((locked - plain_locked)) KiB more locked"
	is "$what: threads" "$(query "SELECT count(*), min(threads.events) >= 4000 FROM threads
		JOIN processes USING (process_id) WHERE run_id = $last_run")" "$((21 + $2)),1"
	recorded_whole
}

for options in -q "-q --no-stacks"; do
	run_options=$options
	for how in current future onfault 200 64; do
		compared $how 1
		compared $how 32
	done
done

# An ordinary user's limit of locked memory.
[ "$(id -u)" = 0 ] || pass
chmod 711 "$T"
mkdir -m 777 user
cp "$B"/heaptape* "$B/libheaptape.so" "$programs/locked" user
cat >user/begin <<'END'
cd "$(dirname "$0")" && ulimit -l 8192 && HOME=$PWD XDG_RUNTIME_DIR=$PWD && exec "$@"
END
for how in current future onfault; do
	setpriv --reuid 65534 --regid 65534 --clear-groups sh "$T/user/begin" ./heaptape run -q \
		-o a.db -- ./locked $how 0 >out || fail "ordinary user, $how: status $?"
	figures "ordinary user, $how" out
	is "ordinary user, $how" "$result" 0
done
pass
