#!/bin/sh
# A disk without room, at every moment: before the first run, at a program's start, under way, while
# names of functions are looked up, and beside an older recording. The program's output and status
# are its own, the file is whole, and says what is missing.
. "$(dirname "$0")/lib.sh"
need sqlite3
mkdir small copy
mount -t tmpfs -o size=600k none small 2>/dev/null || skip "no file system can be mounted here"
umount small
trap 'umount -l "$T/small" 2>/dev/null; finish' EXIT
"$programs/history" >plain.out

# on_disk KB: a file system of that size with what is in before.db.
on_disk() {
	mount -t tmpfs -o size="$1"k none small || die "no file system of $1 KiB"
	[ ! -e before.db ] || cp before.db small/heaptape.db
}
HEAPTAPE_DB=$T/small/heaptape.db
# whole WHAT: the database, if there is one already.
whole() {
	[ -s small/heaptape.db ] || return
	cp small/heaptape.db* copy/ # to where SQLite has room for its own
	is "$1: integrity" "$(sqlite3 copy/heaptape.db 'PRAGMA integrity_check')" ok
	rm -f copy/*
}
# A process that looks up names may have it open still.
off_disk() { until umount small 2>/dev/null; do sleep 0.1; done; }

# From no room at all to enough for everything, by steps.
refused=0 stopped=0 complete=0
for kb in 4 8 16 32 64 96 112 128 144 152 160 176 200 232 264 304 400 600 900 1300 2000 4000; do
	on_disk $kb
	status=0
	timeout 100 "$heaptape" run -- "$programs/churn" 200000 2 >out 2>err </dev/null || status=$?
	case $status in
	3)
		refused=$((refused + 1))
		has "$kb KiB: refused" err 'no space left'
		has "$kb KiB: refused" err 'was not started'
		;;
	0)
		state=$(query "SELECT state FROM runs")
		case $state in
		complete) complete=$((complete + 1)) ;;
		cut | incomplete | running)
			stopped=$((stopped + 1))
			has "$kb KiB: said" err 'no space left'
			;;
		*) fail "$kb KiB: state '$state'" ;;
		esac
		is "$kb KiB: stored" "$(query "SELECT coalesce(sum(events), 0) = (SELECT count(*)
			FROM events) AS same FROM processes")" 1
		[ "$state" = complete ] && invariants
		"$heaptape" report >o 2>e || fail "$kb KiB: report: $(cat e)"
		;;
	*) fail "$kb KiB: status $status: $(head -3 err)" ;;
	esac
	whole "$kb KiB"
	off_disk
done
if [ $refused -lt 3 ] || [ $stopped -lt 3 ] || [ $complete -lt 2 ]; then
	fail "refused $refused, stopped $stopped, complete $complete"
fi

# An older recording is not hurt, whatever room is left beside it.
HEAPTAPE_DB=$T/before.db "$heaptape" run -q -- "$programs/churn" 100000 2 || fail "recording before"
used=$(($(stat -c %s before.db) / 1024))
for more in 40 80 160 400; do
	on_disk $((used + more))
	status=0
	timeout 100 "$heaptape" run -q -- "$programs/churn" 300000 2 >out 2>err </dev/null || status=$?
	case $status in
	0 | 3) ;;
	*) fail "$more KiB more: status $status" ;;
	esac
	whole "$more KiB more"
	is "$more KiB more: rows of before" "$(query "SELECT state, sum(processes.events) = (SELECT
		count(*) FROM events WHERE run_id = 1) AS same FROM runs JOIN processes USING (run_id)
		WHERE run_id = 1")" complete,1
	off_disk
done
rm before.db

# Room is made again under way: what comes then is recorded.
on_disk 700
"$B/heaptaped" --socket "$T/socket" --db "$HEAPTAPE_DB" 2>daemon.log &
daemon=$!
until [ -S socket ]; do sleep 0.1; done
head -c 1000000 /dev/zero >small/ballast 2>/dev/null
run_options="-q --socket $T/socket"
record "$programs/churn" 300000 2
case $status in
0 | 3) ;;
*) fail "full: status $status" ;;
esac
rm small/ballast
mount -o remount,size=20m small
sleep 3
record "$programs/history"
is "room again: status" "$status" 0
compare_rows
is "room again: no run is left open" "$(query "SELECT count(*) FROM runs WHERE state = 'running'")" 0
kill -TERM $daemon
wait $daemon
whole "room again"
off_disk
pass
