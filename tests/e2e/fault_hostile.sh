#!/bin/sh
# Peers that mean no good (tests/tools/hostile.py): every byte of every frame changed, shared memory
# that is not what it should be or is rewritten meanwhile, connections that say nothing or little,
# numbers made to exhaust memory. They lose their own connection; the daemon stays small, and the
# recordings before, beside and after them are whole.
. "$(dirname "$0")/lib.sh"
need python3 sqlite3
[ "$(awk '/Max open files/ { print $5 }' /proc/self/limits)" -ge 4096 ] ||
	skip "no 4096 descriptors"

hostile() { timeout 380 python3 "$top/tests/tools/hostile.py" "$@"; }
hostile capture "$T/keeper" kept &
keeper=$!
until_true [ -S keeper ]
HEAPTAPE_SOCKET=$T/keeper LD_PRELOAD=$B/libheaptape.so "$programs/threads" 2 20 1 >o
wait $keeper
[ -s kept ] || die "nothing was captured"

# Should it grow without bounds, it alone shall fail. (A sanitizer needs all addresses.)
limit_kb=4000000
nm "$B/heaptaped" | grep -q __asan_init && limit_kb=unlimited
sh -c "ulimit -v $limit_kb; exec \"\$@\"" sh "$B/heaptaped" --socket "$T/socket" --db "$HEAPTAPE_DB" \
	2>daemon.log &
daemon=$!
until_true [ -S socket ]
good() { # a recording, and its rows compared
	run_options="--socket $T/socket --label $1"
	last_run="(SELECT run_id FROM runs WHERE label = '$1')"
	record "$programs/threads" 3 2000 1
	is "$1: status" "$status" 0
	compare_rows
}
good before

# A thousand that say nothing are dropped after ten seconds; those that say it slowly, too.
hostile silent socket 1000 300 >silent.out &
silent=$!
hostile slow socket 50 300 >slow.out &
slow=$!
good beside-silence

hostile corrupt socket kept >corrupt.out &
corrupt=$!
good beside-garbage
wait $corrupt
is "garbage" $? 0
[ "$(cat corrupt.out)" -gt 5000 ] || fail "garbage: only $(cat corrupt.out) frames were sent"

hostile rewrite socket kept 2 &
rewrite=$!
good beside-memory
wait $rewrite
is "memory that changes" $? 0
is "wrong memory" "$(hostile memory socket kept)" 24

# Nobody takes over another's run.
"$heaptape" run --socket "$T/socket" --label victim -- \
	sh -c 'echo $HEAPTAPE_RUN $$ >token; sleep 2; exit 6' >out 2>err </dev/null &
victim=$!
until_true [ -s token ]
# shellcheck disable=SC2046
hostile claim socket kept $(cat token) 4 &
claim=$!
wait $victim
is "claimed run: status" $? 6
is "claimed run: its end" "$(query "SELECT exit_code FROM runs WHERE label = 'victim'")" 6
wait $claim
hostile claim socket kept 12345 1 0
is "a token that nobody has" "$(query "SELECT command <> '' FROM runs ORDER BY run_id DESC LIMIT 1")" 1

wait $silent $slow
is "silent ones dropped" "$(cat silent.out)" 1000
is "slow ones dropped" "$(cat slow.out)" 50

[ "$(hostile children socket kept)" -gt 300 ] || fail "children: too few"
good beside-children
most=$(hostile files socket kept $daemon)
[ "${most:-999}" -lt 700 ] || fail "files: the daemon had $most descriptors open"
good beside-files
hostile flood socket kept >flood.out
is "flood" $? 0
case $(cat flood.out) in
"300 "[1-9]*) ;;
*) fail "half frames: dropped $(cat flood.out) connections of 300 strangers and of 300 programs" ;;
esac
good after
if [ "$limit_kb" != unlimited ]; then
	most_kb=$(sed -n 's/VmHWM:[^0-9]*\([0-9]*\).*/\1/p' /proc/$daemon/status)
	# Unfinished frames alone may take 256 MiB of it.
	[ "${most_kb:-999999}" -lt 400000 ] || fail "the daemon took $most_kb KiB"
fi
kill -TERM $daemon
wait $daemon
is "the daemon's end" "$?:$(cat daemon.log)" "0:"
is "integrity" "$(sqlite3 heaptape.db 'PRAGMA integrity_check')" ok
is "rows of before" "$(query "SELECT count(*) > 5000 FROM events WHERE run_id = 1")" 1
pass
