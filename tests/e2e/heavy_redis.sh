#!/bin/sh
# redis-server under all standard tests of redis-benchmark.
. "$(dirname "$0")/lib.sh"
need redis-server redis-benchmark redis-cli
port=$((20000 + $$ % 20000))
"$heaptape" run -- redis-server --port $port --save '' --appendonly no --bind 127.0.0.1 \
	>out 2>err </dev/null &
recorder=$!
for _ in $(seq 100); do
	redis-cli -p $port ping >/dev/null 2>&1 && break
	sleep 0.1
done
redis-benchmark -p $port -q -n 100000 -P 8 -r 100000 >bench.out 2>&1 || fail "redis-benchmark: $(tail -3 bench.out)"
is "keys" "$(redis-cli -p $port dbsize | grep -c '^[1-9]')" 1
redis-cli -p $port shutdown nosave
wait $recorder
is "status" $? 0
has "redis's last words" out 'bye bye'
recorded_whole
few_cut
pass
