#!/bin/sh
# Limits on what a process may have: descriptors, memory, data, file sizes, stack; standard
# descriptors that are closed; filters of system calls. The program does what it does without
# heaptape; what is missing of the record is said.
. "$(dirname "$0")/lib.sh"
need gcc

cat >program.c <<'END'
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
	for (int i = 0; i < 2000; i++)
		free(malloc(i));
	int fd = open("/dev/null", O_RDONLY);
	printf("%d %d\n", fd, fd >= 0 ? open("/dev/null", O_RDONLY) : -1);
	return 5;
}
END
gcc -w -fno-builtin -o program program.c || die "gcc"

# limited WORDS: both ways under what the words do in a shell; whether anything was recorded.
limited() {
	sh -c "$*; exec ./program" >plain.out 2>plain.err </dev/null
	plain=$?
	record sh -c "$*; exec ./program"
	is "$*: status" "$status" "$plain"
	same "$*: output" out plain.out
	recorded=$(query "SELECT count(*) FROM events e JOIN processes USING (process_id)
		WHERE e.run_id = $last_run AND command LIKE '%program' AND kind = 'malloc'")
	invariants
}
for limit in "ulimit -S -n 5" "ulimit -S -n 6" "ulimit -n 20" "ulimit -v 20000" "ulimit -v 100000" \
	"ulimit -d 8000" "ulimit -d 6200" "ulimit -f 0; exec >/dev/null" "ulimit -s 64" "ulimit -l 0" \
	"exec <&-" "exec >&-" "exec 2>&-" "exec <&- >&- 2>&-"; do
	limited "$limit"
	[ "$recorded" -ge 2000 ] || fail "$limit: $recorded allocations recorded"
	recorded_whole
done
for limit in "ulimit -S -n 4" "ulimit -v 9000"; do
	limited "$limit"
	[ "$recorded" -ge 2000 ] || has "$limit" err 'the program goes on unrecorded'
done
# Where the shim would fill the limit, the program is started without it, and that is said.
for limit in "ulimit -d 6000" "ulimit -d 3000" "ulimit -d 1000" "ulimit -d 300"; do
	limited "$limit"
	is "$limit: recorded" "$recorded" 0
	is "$limit: messages" "$(grep -v '^heaptape: run\|^  ' err)" ""
	is "$limit: state" "$(query "SELECT state FROM runs WHERE run_id = $last_run")" incomplete
	"$heaptape" report >o || fail "report"
	has "$limit: report" o 'program .*RLIMIT_DATA is too low'
done
if ! nm "$heaptape" | grep -q __asan_init; then # a sanitizer needs more
	plain=0 status=0
	sh -c 'ulimit -d 5000; exec "$@"' sh ./program >plain.out 2>&1 </dev/null || plain=$?
	sh -c 'ulimit -d 5000; exec "$@"' sh "$heaptape" run -- ./program >out 2>err </dev/null ||
		status=$?
	is "run with a low limit: status" "$status" "$plain"
	same "run with a low limit: output" out plain.out
	has "run with a low limit" err 'RLIMIT_DATA.*without heaptape'
fi
# Where not even the limit can be raised for a moment, one descriptor is ours.
limited "ulimit -n 6"
[ "$recorded" -ge 2000 ] || fail "hard limit: $recorded allocations recorded"
# So few that no program can be started at all.
limited "ulimit -n 3"
limited "ulimit -n 0"
pass
