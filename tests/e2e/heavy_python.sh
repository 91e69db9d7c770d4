#!/bin/sh
# python3 runs its own tests, with its own arenas and with every object from malloc.
. "$(dirname "$0")/lib.sh"
/usr/bin/python3 -c 'import test.test_list' 2>/dev/null || skip "python3's tests are not installed"

# The result without the time it took.
verdict() { grep -E '^(Ran|OK|FAILED)' "$1" | sed 's/ in .*//'; }

for allocator in pymalloc malloc; do
	export PYTHONMALLOC=$allocator
	plain=0
	set -- /usr/bin/python3 -m unittest -b test.test_list test.test_dict test.test_json test.test_threading
	"$@" >plain.out 2>plain.err </dev/null || plain=$?
	record "$@"
	is "$allocator: status" "$status" "$plain"
	same "$allocator: output" out plain.out
	is "$allocator: verdict" "$(verdict err)" "$(verdict plain.err)"
	recorded_whole
	few_cut
	rm -f heaptape.db*
done
pass
