#!/bin/sh
# The flame graph's page at the greatest depth, and with names that are not text.
. "$(dirname "$0")/lib.sh"
need python3 gcc

cat >down.c <<'EOT'
#include <stdlib.h>
void *volatile kept;
__attribute__((noinline)) int down(int depth)
{
	if (depth % 100 == 0)
		kept = malloc(1000);
	return depth ? down(depth - 1) + (kept != NULL) : 0;
}
int main(int argc, char **argv) { return argc < 2 || !down(atoi(argv[1])); }
EOT
gcc -g -O0 -fno-builtin -o down down.c || die "cannot build"
record ./down 3900
is "status" "$status" 0
"$heaptape" flame -o page.html 2>err || {
	grep -q 'built without' err && skip "no npm when this was built"
	die "flame: $(cat err)"
}
# nodes: a caller stands before those it calls, so that no reader needs to nest.
python3 - <<'EOT' || fail "the page's nodes"
import json, re
page = open("page.html", encoding="utf-8").read()
nodes = json.loads(re.search(r"nodes:(\[.*?\])\};", page, re.S)[1])
depth = [0]
for at, node in enumerate(nodes[1:], 1):
    assert 0 <= node[0] < at, node
    depth.append(depth[node[0]] + 1)
assert max(depth) >= 3900, max(depth)
EOT

# In a browser it is drawn, searched, zoomed and flipped.
if command -v chromium >/dev/null 2>&1; then
	cp page.html driven.html
	cat >>driven.html <<'EOT'
<script>
const click = (target) => target.dispatchEvent(new MouseEvent('click', { bubbles: true }));
const frames = document.querySelectorAll('#chart g.frame');
click(frames[frames.length - 5]);
const search = document.querySelector('input[type=search]');
search.value = '^DOWN';
search.dispatchEvent(new Event('input'));
document.title = document.getElementById('details').textContent;
document.querySelectorAll('button').forEach(click);
document.title += ` ${document.querySelectorAll('#chart rect').length > 3900}`;
</script>
EOT
	timeout 300 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$T/profile" \
		--enable-logging=stderr --dump-dom "file://$T/driven.html" >dom 2>log </dev/null || fail "chromium: $?"
	is "errors" "$(grep 'Uncaught' log)" ""
	has "search and boxes" dom '<title>.*Found in 100.00 % of all. true</title>'
fi

# A program, its arguments and its label may be any bytes; what is written is UTF-8.
ln -s "$programs/first" "$(printf 'caf\351 <b>')"
"$heaptape" run -q --label "$(printf 'l\303\244bel \377')" -- "./$(printf 'caf\351 <b>')" "$(printf 'a\377&\002')" >out ||
	fail "run: $?"
for command in 'flame -o -' report 'report --json' 'report --csv' runs 'runs --json' 'runs --csv' \
	'leaks --json' 'leaks --csv' 'peak --json' 'export -f folded' 'export -f speedscope' \
	'sql --csv SELECT*FROM/**/runs' 'sql --json SELECT*FROM/**/runs'; do
	# $command is several words.
	# shellcheck disable=SC2086
	"$heaptape" $command >o 2>e || fail "$command: $(cat e)"
	iconv -f UTF-8 -t UTF-8 o >/dev/null 2>&1 || fail "$command: not UTF-8"
done
"$heaptape" flame -o - >o 2>e
has "title" o "<title>heaptape run 2 'l.*bel .*': './caf.* &lt;b>' 'a.*&amp;?'</title>"
pass
