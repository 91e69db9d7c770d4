#!/bin/sh
# A real C project configured and built, heaptape itself: make -j4 with shells, compilers,
# assemblers, linkers and generators, in a copy.
. "$(dirname "$0")/lib.sh"
need make gcc protoc-c nproc
mkdir plain recorded
for copy in plain recorded; do
	cp -R "$top/Makefile" "$top/proto" "$top/shim" "$top/daemon" "$top/viewer" $copy/
	mkdir $copy/tests
done
# The same path both times, so that the same bytes are built; and no page, which needs a network.
build() {
	rm -rf src && mv "$1" src && shift
	status=0
	(cd src && mkdir -p build/web && : >build/web/flame.js &&
		"$@" make -j4 --output-sync=target -o build/web/flame.js all) >build.out 2>build.err </dev/null || status=$?
	sort build.out
}
build plain >plain.out
is "status without recording" "$status" 0
(cd src/build && sha256sum heaptaped heaptape_sqlite.so) >plain.sums
rm -rf src
build recorded "$heaptape" run -- >out
is "status" "$status" 0
same "what make said" out plain.out
(cd src/build && sha256sum heaptaped heaptape_sqlite.so) >sums
same "what was built" sums plain.sums
nothing_left
recorded_whole
# make, and for each of some 150 objects gcc, cc1 and as.
tree_whole 450
is "compilers" "$(query "SELECT sum(executable LIKE '%/cc1') > 100 AND sum(executable LIKE '%/cc1') =
	sum(executable LIKE '%/as' OR executable LIKE '%-as') AS same FROM processes WHERE run_id = $last_run")" 1
pass
