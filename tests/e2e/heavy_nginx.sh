#!/bin/sh
# nginx: a master and its workers, which are reloaded twice while requests go on.
. "$(dirname "$0")/lib.sh"
need nginx python3
port=$((20000 + $$ % 20000))
mkdir html logs
seq 20000 >html/numbers.txt
echo hello >html/index.html
cat >nginx.conf <<CONF
worker_processes 3;
pid $T/nginx.pid;
error_log $T/logs/error.log info;
events { worker_connections 64; }
http {
	access_log $T/logs/access.log;
	client_body_temp_path $T/logs/body; proxy_temp_path $T/logs/proxy;
	fastcgi_temp_path $T/logs/fastcgi; uwsgi_temp_path $T/logs/uwsgi; scgi_temp_path $T/logs/scgi;
	gzip on; gzip_types text/plain; gzip_min_length 100;
	server { listen 127.0.0.1:$port; root $T/html; }
}
CONF
[ "$(id -u)" != 0 ] || chmod 755 . html && chmod 644 html/*

# Gets both pages COUNT times, on connections kept and not, and says what came.
cat >get.py <<PY
import gzip, hashlib, http.client, sys
seen = {}
for turn in range(int(sys.argv[1])):
    keep = http.client.HTTPConnection("127.0.0.1", $port, timeout=20)
    for path, encoding in (("/", "identity"), ("/numbers.txt", "gzip"), ("/numbers.txt", "identity"), ("/none", "identity")):
        while True:
            try:
                keep.request("GET", path, headers={"Accept-Encoding": encoding})
                answer = keep.getresponse()
                body = answer.read()
                break
            except (http.client.RemoteDisconnected, ConnectionResetError):
                keep.close()  # a worker that goes does not wait for idle connections
        if answer.getheader("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        key = (path, answer.status, hashlib.sha1(body).hexdigest())
        seen[key] = seen.get(key, 0) + 1
    keep.close()
print("\n".join("%s %d %s: %d" % (*key, n) for key, n in sorted(seen.items())))
PY

# serve OUTPUT PREFIX…: nginx from start to quit.
serve() {
	output=$1
	shift
	"$@" nginx -p "$T" -c "$T/nginx.conf" -e "$T/logs/error.log" -g 'daemon off;' >server.out 2>server.err </dev/null &
	server=$!
	for _ in $(seq 100); do
		[ -s nginx.pid ] && python3 get.py 1 >/dev/null 2>&1 && break
		sleep 0.1
	done
	python3 get.py 150 >"$output" 2>&1
	for _ in 1 2; do
		kill -HUP "$(cat nginx.pid)"
		python3 get.py 150 >>"$output" 2>&1
	done
	sleep 0.5
	kill -QUIT "$(cat nginx.pid)"
	status=0
	wait $server || status=$?
}

serve plain.out
plain=$status
serve out "$heaptape" run --
is "status" "$status" "$plain"
same "what was served" out plain.out
has "what was served" out '^/numbers.txt 200 .*: 300$'
nothing_left
recorded_whole
# The master and three times three workers.
tree_whole 10
is "workers" "$(query "SELECT count(*) FROM processes p JOIN processes master
	ON master.process_id = p.parent_process_id WHERE p.run_id = $last_run
	AND p.executable LIKE '%/nginx' AND p.exit_code = 0 AND p.forked")" 9
is "what they call themselves" "$(query "SELECT sum(title LIKE 'nginx: master process%'),
	sum(title LIKE 'nginx: worker process%') AS workers FROM processes WHERE run_id = $last_run")" 1,9
pass
