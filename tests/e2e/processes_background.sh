#!/bin/sh
# What a program leaves running belongs to its run, and the run is over when nothing of it is alive:
# whoever started it, in whatever way, and however long it takes until it is connected.
. "$(dirname "$0")/lib.sh"
need setsid nohup

first=$programs/first background=$programs/background launcher=$programs/launcher
times=${TIMES:-3}
export first background launcher

# kinds: NAME COMMAND…, which leaves $first running behind it or soon is that.
cat >kinds <<'END'
shell sh -c '$first & exit 0'
subshells sh -c '( ($first &) & ) & exit 0'
chain sh -c 'sh -c "exec sh -c \"exec \$first\"" & exit 0'
setsid sh -c 'setsid $first & exit 0'
nohup sh -c 'nohup $first >nohup.out 2>&1 & exit 0'
setsid_forks setsid -f $first
fork $background fork $first
raw $background raw $first
vfork $background vfork $first
spawn $background spawn $first
system $background system $first
popen $background popen $first
detach $background detach $first
forks $background chain $first
detach_shell $background detach /bin/sh -c '$first & exit'
static $launcher exec $first
static_fork $launcher fork $first
static_vfork $launcher vfork $first
static_slow sh -c '$launcher sleep 400 $first & exit 0'
static_twice sh -c '$launcher fork $launcher fork $first & exit 0'
static_shell $background spawn $launcher exec /bin/sh -c '$background fork $first & exit'
END

# all_kinds OPTIONS: each of them, one after another, none waited for but by `run` itself.
all_kinds() {
	while read -r name words; do
		for _ in $(seq "$times"); do
			eval "\"\$heaptape\" run -q --label $name $* -- $words" >>out 2>err </dev/null
			grep -v 'itself cannot be recorded' err && fail "$name: said this"
		done
	done <kinds
	runs_over
	is "runs" "$(query "SELECT count(*) FROM runs")" "$((times * $(wc -l <kinds)))"
	is "not complete" "$(query "SELECT label, state, count(*) FROM runs WHERE state <> 'complete'
		AND NOT (label LIKE 'static%' AND state = 'incomplete') GROUP BY 1, 2")" ""
	is "without the program" "$(query "SELECT label, count(*) FROM runs r WHERE 1 <> (SELECT count(*)
		FROM processes p WHERE p.run_id = r.run_id AND executable LIKE '%/first' AND ending = 'exited')
		GROUP BY 1")" ""
	is "not ended" "$(query "SELECT label, executable FROM processes JOIN runs USING (run_id)
		WHERE ending NOT IN ('exec', 'exited')")" ""
	invariants
}
all_kinds
nothing_left
rm -f heaptape.db*

"$B/heaptaped" --socket "$T/socket" --db "$HEAPTAPE_DB" 2>daemon.log &
daemon=$!
until_true [ -S socket ]
all_kinds --socket "$T/socket"
rm -f heaptape.db*

# By hand there is no command that names the run: what a program starts is given its name all the same.
kill -TERM $daemon
wait $daemon
"$B/heaptaped" --socket "$T/socket" --db "$HEAPTAPE_DB" 2>>daemon.log &
daemon=$!
for _ in $(seq 100); do
	[ -S socket ] && break
	sleep 0.1
done
grep -v '^static\|^raw' kinds >by_hand
while read -r name words; do
	eval "HEAPTAPE_SOCKET=\$T/socket LD_PRELOAD=\$B/libheaptape.so $words" >>out 2>&1 </dev/null
done <by_hand
runs_over
is "by hand: runs" "$(query "SELECT count(*), sum(state = 'complete') FROM runs")" \
	"$(wc -l <by_hand),$(wc -l <by_hand)"
is "by hand: without the program" "$(query "SELECT run_id, command FROM runs r WHERE 1 <> (SELECT count(*)
	FROM processes p WHERE p.run_id = r.run_id AND executable LIKE '%/first' AND ending = 'exited')")" ""
kill -TERM $daemon
wait $daemon
is "the daemon's words" "$(cat daemon.log)" ""
rm -f heaptape.db*

# A program that is stopped before anything of it has run: its run is not over, whoever asks, and `run`
# does not wait for it.
record sh -c '"$@"; exit 22' sh "$launcher" stopped "$T/pid" "$first"
is "stopped: status" "$status" 22
is "stopped: state" "$(query "SELECT state FROM runs")" running
has "stopped: summary" err '1 process is still running'
sleep 1
is "stopped: state still" "$(query "SELECT state FROM runs")" running
kill -CONT "$(cat pid)"
runs_over
is "stopped: then" "$(query "SELECT count(DISTINCT run_id), sum(executable LIKE '%/first') > 0 FROM runs JOIN processes USING
	(run_id)")" 1,1
nothing_left
rm -f heaptape.db*

# A daemon that is stopped meanwhile does not say that its run is complete.
"$B/heaptaped" --socket "$T/socket" --db "$HEAPTAPE_DB" 2>daemon.log &
daemon=$!
until_true [ -S socket ]
"$heaptape" run -q --socket "$T/socket" -- sh -c '"$@"; exit 0' sh "$launcher" stopped "$T/pid" "$first"
kill -TERM $daemon
wait $daemon
is "daemon stopped: state" "$(query "SELECT state FROM runs")" cut
kill -KILL "$(cat pid)"
pass
