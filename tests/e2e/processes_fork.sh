#!/bin/sh
# fork in the middle of threads that allocate and of locks that are not the shim's: nobody waits for ever,
# parent and child find a whole heap, and both are in the record.
. "$(dirname "$0")/lib.sh"
need gcc

# children N: the last run has N forked processes, each recorded to its end.
children() {
	is "$1 children" "$(query "SELECT count(*), sum(exit_code = 3), sum(ending = 'exited'),
		sum((SELECT count(*) FROM events e WHERE e.process_id = p.process_id AND
			kind = 'malloc' AND size_bytes = 8101)) AS blocks
		FROM processes p WHERE run_id = $last_run AND parent_process_id IS NOT NULL")" "$1,$1,$1,$1"
}
# handled SIZE: blocks of handlers, in the parent and in all children.
handled() {
	query "SELECT sum(parent_process_id IS NULL), sum(parent_process_id IS NOT NULL)
		FROM events JOIN processes USING (process_id)
		WHERE events.run_id = $last_run AND kind = 'malloc' AND size_bytes = $1"
}

# Handlers that are registered before the shim's.
cat >early.c <<'C'
#include <pthread.h>
#include <stdlib.h>
static void early_cb(void) { free(malloc(8201)); }
__attribute__((constructor)) static void begin(void) { pthread_atfork(early_cb, early_cb, early_cb); }
C
gcc -fno-builtin -shared -fPIC -Wl,-z,initfirst -o early.so early.c || die "gcc"

for case in streams handlers storm; do
	status=0
	LD_PRELOAD=$B/libheaptape.so timeout -k 1 600 "$programs/forks" $case >out 2>err || status=$?
	is "$case, not recorded: status" "$status" 0
	is "$case, not recorded: output" "$(cat out err)" "done"
	status=0
	LD_PRELOAD=$T/early.so timeout -k 1 600 "$heaptape" run -- "$programs/forks" $case >out 2>err ||
		status=$?
	is "$case: status" "$status" 0
	is "$case: output" "$(cat out)" "done"
	recorded_whole
	case $case in
	streams) children 1 ;;
	handlers) children 2 ;;
	storm) children 30 ;;
	esac
	if [ $case = handlers ]; then
		is "early handlers" "$(handled 8201)" "4,2"
		is "late handlers" "$(handled 8202)" "4,2"
	fi
done
pass
