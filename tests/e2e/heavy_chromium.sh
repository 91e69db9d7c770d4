#!/bin/sh
# chromium takes a screenshot: a browser, zygotes, renderers and helpers, in threads by the hundred.
# It brings its own allocator, so it is the pages that are recorded of it.
. "$(dirname "$0")/lib.sh"
need chromium
cat >page.html <<'HTML'
<!doctype html><html><body style="background:#fff;font:20px sans-serif"><h1>The heap</h1>
<canvas id=c width=300 height=100></canvas><p id=p></p><script>
const g = document.getElementById('c').getContext('2d');
for (let i = 0; i < 30; i++) { g.fillStyle = `hsl(${i * 12},80%,50%)`; g.fillRect(i * 10, 0, 10, 100); }
const list = [];
for (let i = 0; i < 50000; i++) list.push({ i, name: 'x' + i, in: [i, [i]] });
document.getElementById('p').textContent = JSON.stringify(list).length;
</script></body></html>
HTML
# shoot PNG PREFIX…
shoot() {
	png=$1
	shift
	rm -rf profile
	status=0
	timeout 300 "$@" chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
		--disable-background-networking --disable-component-update --disable-sync \
		--user-data-dir="$T/profile" --screenshot="$T/$png" "file://$T/page.html" \
		>shot.out 2>shot.err </dev/null || status=$?
}
shoot plain.png
[ "$status" = 0 ] || skip "chromium takes no screenshots here: $(tail -1 shot.err)"
for _ in $(seq 100); do
	[ -z "$(ours)" ] && break
	sleep 0.1
done
shoot shot.png "$heaptape" run --
is "status" "$status" 0
cmp shot.png plain.png || fail "another picture"
is "output" "$(cat shot.out)" ""
nothing_left
recorded_whole
query "SELECT DISTINCT substr(at, 1, instr(at || ' ', ' ') - 1) AS kind FROM (SELECT
	substr(text, instr(text, '--type=') + 7) AS at FROM (SELECT coalesce(title, command) AS text
	FROM processes WHERE run_id = $last_run) WHERE text LIKE '%--type=%') ORDER BY 1" >kinds
for kind in renderer utility zygote; do
	has "processes of every kind" kinds "^$kind"
done
is "still running" "$(query "SELECT count(*) FROM processes WHERE ending = 'running'")" 0
pass
