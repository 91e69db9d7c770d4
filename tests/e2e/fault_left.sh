#!/bin/sh
# Whoever of command, daemon and program ends first: nothing runs on and nothing is left but the
# database.
. "$(dirname "$0")/lib.sh"

# start OPTIONS: records steady in the background until there is a file `end`; its pid in $pid, the
# others' in $recorder and $daemon.
start() {
	rm -f heaptape.db* out err end
	: >out
	"$heaptape" run "$@" -- "$programs/steady" 100 "$T/end" >out 2>err </dev/null &
	recorder=$!
	until_true grep -q ready out
	pid=$(sed -n 's/ready //p' out)
	[ -n "$pid" ] || die "the program did not start: $(cat err)"
	daemon=$(pgrep -P $recorder -x heaptaped) || die "no daemon"
	is "in its folder" "$(in_folder)" socket
}
in_folder() { (cd "$T"/heaptape-*/ && echo *); }
# shellcheck disable=SC2317 # until_true calls it
is_dead() { [ -z "$(ls "/proc/$1/fd" 2>/dev/null)" ]; }

start
touch end
wait $recorder
is "everybody ends: state" "$(query "SELECT state FROM runs")" complete
nothing_left

start --quiet
touch end
wait $recorder
is "quiet: state" "$(query "SELECT state FROM runs")" complete
nothing_left

start
kill -KILL $recorder
wait $recorder 2>/dev/null
touch end
nothing_left
is "command killed: state" "$(query "SELECT state FROM runs")" complete

start
kill -KILL "$pid"
wait $recorder
nothing_left

start
kill -KILL "$daemon"
touch end
wait $recorder
nothing_left

start
kill -TERM "$daemon"
touch end
wait $recorder
nothing_left

# Command and daemon killed: the next command in the same place sweeps up, but only what is nobody's.
start
kill -KILL $recorder "$daemon"
wait $recorder 2>/dev/null
kill -KILL "$pid"
until_true is_dead "$daemon"
is "both killed: left" "$(in_folder)" socket
left=$(echo "$T"/heaptape-*)
mkdir heaptape-backup heaptape-my.dir heaptape-public
chmod 700 heaptape-backup heaptape-my.dir
echo mine >heaptape-backup/socket
: >out
"$heaptape" run -q -- "$programs/steady" 100 "$T/end" >out 2>err </dev/null &
recorder=$!
until_true grep -q ready out
[ ! -e "$left" ] || fail "both killed: the folder is still there"
"$heaptape" run -q -- true
is "in use" "$(find heaptape-?????? -name socket | wc -l)" 2
is "not ours" "$(cat heaptape-backup/socket)" mine
is "not our folders" "$(find heaptape-my.dir heaptape-public | wc -l)" 2
touch end
wait $recorder
is "in use: status" $? 0
rm -r heaptape-backup heaptape-my.dir heaptape-public
nothing_left

# A program that lives on after the command.
rm -f heaptape.db*
: >out
lives_on() { rm -f end; "$heaptape" run -- sh -c '"$2" 100 "$1" >out 2>&1 </dev/null &
	until grep -q ready out; do sleep 0.1; done' sh "$1" "$programs/steady" 2>err; }
lives_on "$T/end"
is "lives on: status" $? 0
is "lives on: in the folder while it is needed" "$(in_folder)" socket
touch end
nothing_left
is "lives on: state" "$(query "SELECT state FROM runs")" complete

# The library is reached through a link in the folder.
mkdir "a folder"
cp "$B/libheaptape.so" "a folder/"
: >out
HEAPTAPE_SHIM="$T/a folder/libheaptape.so"
export HEAPTAPE_SHIM
lives_on "$T/end"
is "with a link" "$(in_folder)" "libheaptape.so socket"
touch end
nothing_left
unset HEAPTAPE_SHIM

# The command is killed before the daemon listens.
rm -f heaptape.db*
cat >slow <<END
#!/bin/sh
sleep 1
exec "$B/heaptaped" "\$@"
END
chmod +x slow
HEAPTAPE_DAEMON=$T/slow "$heaptape" run -- true 2>err &
recorder=$!
sleep 0.3
kill -KILL $recorder
wait $recorder 2>/dev/null
nothing_left
pass
