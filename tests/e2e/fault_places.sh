#!/bin/sh
# Places that will not do: a folder without write permission, a path too long for a socket, a full
# disk. Each is said plainly, and the program is not hurt.
. "$(dirname "$0")/lib.sh"

# A socket path longer than the system can take.
long=$T/$(printf '%0150d' 0)
mkdir "$long"
code=0
timeout 10 "$B/heaptaped" --socket "$long/socket" --db "$HEAPTAPE_DB" >o 2>e </dev/null || code=$?
is "long socket path: status" $code 3
has "long socket path" e 'too long'
status=0
XDG_RUNTIME_DIR=$long "$heaptape" run -- "$programs/first" >out 2>err </dev/null || status=$?
case $status in
0) invariants ;;
3) has "long runtime folder" err 'too long' ;;
*) fail "long runtime folder: status $status: $(head -3 err)" ;;
esac

# A folder that may not be written.
as_nobody=
if [ "$(id -u)" = 0 ]; then
	command -v setpriv >/dev/null && as_nobody='setpriv --reuid=65534 --regid=65534 --clear-groups'
fi
if [ "$(id -u)" != 0 ] || [ -n "$as_nobody" ]; then
	mkdir closed open
	chmod 555 closed
	chmod 777 open
	chmod 755 "$T"
	status=0
	# $as_nobody is several words or none.
	# shellcheck disable=SC2086
	XDG_RUNTIME_DIR=$T/open $as_nobody "$heaptape" run -o closed/heaptape.db -- "$programs/first" \
		>out 2>err </dev/null || status=$?
	is "closed folder: status" $status 3
	has "closed folder" err 'ermission denied'
	has "closed folder: named" err "'closed"
fi

# A disk that fills up while the program runs.
mkdir small
if mount -t tmpfs -o size=600k none small 2>/dev/null; then
	"$programs/threads" 2 3000 9 >plain.out
	status=0
	timeout 120 "$heaptape" run -o small/heaptape.db -- "$programs/churn" 3000000 >out 2>err \
		</dev/null || status=$?
	is "full disk: status" $status 0
	has "full disk" err 'space\|disk'
	HEAPTAPE_DB=$T/small/heaptape.db
	state=$(query "SELECT state FROM runs" 2>/dev/null)
	case $state in
	cut | incomplete | running) ;; # nothing more could be written
	*) fail "full disk: state '$state'" ;;
	esac
	umount small
fi
pass
