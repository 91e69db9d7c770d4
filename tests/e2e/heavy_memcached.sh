#!/bin/sh
# memcached with four threads under load from eight connections.
. "$(dirname "$0")/lib.sh"
need memcached python3
user=
[ "$(id -u)" != 0 ] || user='-u root'
# $user is no word or two.
# shellcheck disable=SC2086
"$heaptape" run -- memcached $user -s "$T/memcached" -t 4 -m 64 >out 2>err </dev/null &
recorder=$!
until_true [ -S memcached ]
cat >load.py <<'PY'
import socket, sys, threading
bad = []
def work(number):
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); f = s.makefile("rwb")
    for i in range(6000):
        key, value = b"k%d-%d" % (number, i % 500), b"x" * (i * 7 % 3000)
        f.write(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value)); f.flush()
        if f.readline() != b"STORED\r\n": bad.append("set")
        f.write(b"get %s\r\n" % key); f.flush()
        head = f.readline()
        if head != b"VALUE %s 0 %d\r\n" % (key, len(value)): bad.append(head)
        if f.read(len(value) + 2) != value + b"\r\n" or f.readline() != b"END\r\n": bad.append("get")
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(bad), bad[:3])
PY
is "answers" "$(python3 load.py "$T/memcached" 2>&1)" "0 []"
kill -TERM "$(pgrep -P $recorder -x memcached)"
wait $recorder
is "status" $? 0
recorded_whole
few_cut
pass
