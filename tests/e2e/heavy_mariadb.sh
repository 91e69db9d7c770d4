#!/bin/sh
# mariadb: bootstrap of a data directory, as mariadb-install-db does it.
. "$(dirname "$0")/lib.sh"
need mariadb-install-db
user=$(id -un)
record mariadb-install-db --no-defaults --user="$user" --datadir="$T/data" --skip-test-db \
	--auth-root-authentication-method=normal
is "status" "$status" 0
[ -d data/mysql ] || fail "no system tables: $(tail -3 out)"
runs_over
is "the server" "$(query "SELECT count(*) > 0 FROM processes WHERE run_id = $last_run AND executable LIKE '%/mariadbd'
	AND exit_code = 0")" 1
recorded_whole
pass
