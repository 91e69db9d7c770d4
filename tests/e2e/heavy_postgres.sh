#!/bin/sh
# postgres: initdb, start, pgbench, stop; by a user that is not root, in one run each and all together.
. "$(dirname "$0")/lib.sh"
for bin in $(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V); do
	[ -x "$bin/pgbench" ] && PATH=$bin:$PATH
done
need initdb pg_ctl pgbench psql setpriv
export PATH PGDATA="$T/data" PGHOST="$T" PGUSER=tester PGDATABASE=postgres

cat >work.sh <<'SH'
set -e
trap 'pg_ctl -m immediate stop >/dev/null 2>&1 || :' EXIT
initdb -A trust -U tester --no-sync >/dev/null
pg_ctl -w -l log -o "-c listen_addresses= -c unix_socket_directories=$PGHOST -c fsync=off" start >/dev/null
pgbench -q -i -s 2 2>/dev/null
pgbench -n -c 4 -j 2 -t 200 | grep -E 'number of (clients|threads|transactions)|failed'
psql -Atc 'SELECT count(*), sum(abalance) = (SELECT sum(delta) FROM pgbench_history) FROM pgbench_accounts'
psql -At <<'SQL'
SELECT count(*) FROM pgbench_history;
CREATE INDEX ON pgbench_accounts(abalance);
VACUUM ANALYZE;
SELECT md5(string_agg(bid::text, ',' ORDER BY aid)) FROM pgbench_accounts;
SQL
pg_ctl -w -m fast stop >/dev/null
grep -c 'database system is shut down' log
exit 7
SH

if [ "$(id -u)" = 0 ]; then
	user=$(id -u postgres 2>/dev/null || id -u nobody)
	chown -R "$user" .
	as() { setpriv --reuid "$user" --regid "$user" --clear-groups "$@"; }
else
	as() { "$@"; }
fi

plain=0
as sh work.sh >plain.out 2>plain.err </dev/null || plain=$?
rm -rf data log
status=0
as "$heaptape" run -- sh work.sh >out 2>err </dev/null || status=$?
is "status without recording" "$plain" 7
is "status" "$status" 7
same "output" out plain.out
nothing_left
recorded_whole
# The shell, initdb and its children, the server with its own, 5 clients and a backend for each.
tree_whole 36
is "programs" "$(query "SELECT count(DISTINCT executable) >= 7 FROM processes WHERE run_id = $last_run")" 1
is "backends" "$(query "SELECT count(*) >= 8 FROM processes p JOIN processes server
	ON server.process_id = p.parent_process_id WHERE p.run_id = $last_run
	AND p.executable LIKE '%/postgres' AND server.executable LIKE '%/postgres'")" 1
pass
