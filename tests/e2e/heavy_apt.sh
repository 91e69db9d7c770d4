#!/bin/sh
# apt-get update: fetches over http from a repository of our own, by helpers that give up their
# rights, and keeps nothing of it in the system.
. "$(dirname "$0")/lib.sh"
need apt-get python3 gzip sha256sum

mkdir -p repository state/lists/partial cache/archives/partial
awk 'BEGIN { for (i = 0; i < 30000; i++) printf "Package: package-%d\nVersion: 1.%d-1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nFilename: ./package-%d.deb\nSize: %d\nSHA256: %064d\nDescription: The package of number %d\n\n", i, i % 97, i, i * 7919 % 100003, i, i }' >repository/Packages
gzip -k repository/Packages
{
	echo "Origin: test"
	echo "Date: $(date -u '+%a, %d %b %Y %H:%M:%S UTC')"
	echo "SHA256:"
	for file in Packages Packages.gz; do
		echo " $(sha256sum <repository/$file | cut -d' ' -f1) $(wc -c <repository/$file) $file"
	done
} >repository/Release
: >http.out
python3 -u -m http.server --bind 127.0.0.1 --directory repository 0 >http.out 2>&1 &
server=$!
trap 'kill $server; finish' EXIT
for _ in $(seq 100); do
	port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' http.out)
	[ -n "$port" ] && break
	sleep 0.1
done
echo "deb [trusted=yes] http://127.0.0.1:$port/ ./" >sources.list
: >status
chmod 755 .
cat >apt.conf <<CONF
Dir::State "$T/state";
Dir::State::status "$T/status";
Dir::Cache "$T/cache";
Dir::Etc::sourcelist "$T/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::trustedparts "/dev/null";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
CONF

# The time that it took is in the output.
update() {
	rm -rf state/lists/* cache/*.bin
	mkdir -p state/lists/partial
	APT_CONFIG=$T/apt.conf "$@" >raw.out 2>raw.err </dev/null
	status=$?
	sed 's/ in [0-9.]*s ([^)]*)//' raw.out
	cat raw.err >&2
	return $status
}
plain=0
update apt-get update >plain.out 2>plain.err || plain=$?
[ "$plain" = 0 ] || skip "apt-get update does not work here: $(tail -1 plain.err)"
sha256sum state/lists/* 2>/dev/null >plain.lists
status=0
update "$heaptape" run -- apt-get update >out 2>err || status=$?
is "status" "$status" 0
same "output" out plain.out
sha256sum state/lists/* 2>/dev/null >lists
same "lists" lists plain.lists
[ -s lists ] || fail "nothing was fetched"
has "nothing was complained of" err '^heaptape: run'
is "errors" "$(sed '/^heaptape: run/,$d' err)" "$(cat plain.err)"
recorded_whole
# apt-get, http, gpgv or file, store.
tree_whole 3
for method in http store; do
	is "method $method" "$(query "SELECT count(*) > 0 FROM processes WHERE run_id = $last_run
		AND executable LIKE '%/methods/$method'")" 1
done
kill $server
wait $server 2>/dev/null
trap finish EXIT
nothing_left
pass
