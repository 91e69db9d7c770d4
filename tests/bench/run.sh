#!/bin/sh
# Measures heaptape against no tracing and against heaptrack, in turn, and prints a table.
#
#   make bench                        everything, three runs each
#   make bench ONLY="cc1 jq" RUNS=5   some loads; WAYS="none record" some ways; SCALE=0.1 shorter
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
B=${HT_BUILD:-$top/build}
case $B in /*) ;; *) B=$top/$B ;; esac
runs=${RUNS:-3}
ways=${WAYS:-none off record stacks heaptrack}
work=$(mktemp -d "${TMPDIR:-/tmp}/heaptape-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
cd "$work" || exit 1
HOME=$work HEAPTAPE_DB=$work/heaptape.db clock=$B/tests/bench/clock
export HOME HEAPTAPE_DB
. "$top/tests/bench/loads.sh"
samples=${SAMPLES:-$work/samples}
: >"$samples"

if ! command -v heaptrack >/dev/null 2>&1; then
	echo "heaptrack is not installed (sh tests/setup.sh bench): its rows are left out" >&2
	ways=$(printf '%s' "$ways" | sed 's/heaptrack//')
fi

# trace WAY: runs $command in that way, with `clock` around the program; leaves the
# program's line in `inner` and the whole's in `outer`.
trace() {
	rm -f heaptape.db* trace.* inner
	way_now=$1
	eval "set -- $command"
	case $way_now in
	none) "$clock" outer "$clock" inner "$@" ;;
	off) "$clock" outer env LD_PRELOAD="$B/libheaptape.so" "$clock" inner "$@" ;;
	record) "$clock" outer "$B/heaptape" run --no-stacks -- "$clock" inner "$@" ;;
	stacks) "$clock" outer "$B/heaptape" run -- "$clock" inner "$@" ;;
	heaptrack) "$clock" outer timeout 300 heaptrack -o "$work/trace" "$clock" inner "$@" ;;
	esac >out 2>err </dev/null
	status=$?
	echo $status >status
	[ -s inner ] || echo "$load, $way_now: $(tail -2 err)" >&2
	[ $status = 0 ] || echo "$load, $way_now: status $status: $(tail -1 err)" >&2
}

# The server runs in the way that is measured; the wall time is its client's.
trace_redis() {
	trace "$1" &
	server=$!
	for _ in $(seq 100); do
		redis-cli -p "$port" ping >/dev/null 2>&1 && break
		sleep 0.1
	done
	"$clock" client redis-benchmark -p "$port" -q -n "$requests" -P 16 -r 100000 -d 64 \
		-t set,get,incr,lpush,rpush,lpop,sadd,hset,spop,zadd,lrange_100 >/dev/null 2>&1
	redis-cli -p "$port" shutdown nosave >/dev/null 2>&1
	wait $server
}

# One line of the samples.
measure() {
	case $load in
	redis) trace_redis "$1" ;;
	*) trace "$1" ;;
	esac
	[ -s inner ] || return
	# A tracer that dies under way has no time worth showing (said by trace).
	[ "$1" != heaptrack ] || [ "$(cat status)" = 0 ] || return
	read -r began ended _ memory <inner
	read -r _ over _ _ <outer
	wall=$((ended - began)) events=0 stored=-1 lost=-1 after=-1
	if [ "$load" = redis ]; then
		read -r client_began client_ended _ _ <client
		wall=$((client_ended - client_began))
	fi
	case $1 in
	record | stacks)
		after=$((over - ended))
		stored=$(stat -c %s heaptape.db)
		# shellcheck disable=SC2046 # two words
		set -- "$1" $("$B/heaptape" sql --csv "SELECT sum(allocations + frees - reallocations +
			failed), sum(lost_events) FROM processes" | tail -n 1 | tr ',' ' ')
		events=$2 lost=$3
		;;
	heaptrack)
		for file in trace*; do
			stored=$(stat -c %s "$file")
		done
		from=$("$clock")
		heaptrack_print "$file" >/dev/null 2>&1
		after=$(($("$clock") - from + over - ended))
		;;
	esac
	echo "$load $1 $threads $wall $memory $events $stored $lost $after" >>"$samples"
}

for load in ${ONLY:-$loads}; do
	threads=1
	"load_$load" || continue
	for _ in $(seq "$runs"); do
		for way in $ways; do
			[ -t 2 ] && printf '\r%-40s' "$load, $way" >&2
			measure "$way"
		done
	done
done
[ -t 2 ] && printf '\r%-40s\r' '' >&2

printf '%s, %s processors, kernel %s, %s\n' "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" \
	"$(nproc)" "$(uname -r)" "$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release)"
awk -f "$top/tests/bench/table.awk" "$samples"
