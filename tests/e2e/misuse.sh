#!/bin/sh
# Misuse of the heap (tests/programs/misuse.c): what is said of it at once, what the recording and
# the report say, and how the program ends.
. "$(dirname "$0")/lib.sh"

# expect NAME WAY SIZE KIND BLOCK-SIZE ALLOCATED FREED AT: runs the program; the one row that is
# stored is of that kind, and its stacks end in these functions ("-": no stack).
expect() {
	record "$programs/misuse" "$2" "$3"
	is "$1: status" "$status" 134
	is "$1: output" "$(cat out)" ""
	query "SELECT kind || ' of ' || coalesce(size_bytes, '-') || ':' ||
		coalesce(stack_text(allocated_stack_id), '-') || ':' ||
		coalesce(stack_text(freed_stack_id), '-') || ':' || stack_text(stack_id) AS text
		FROM misuses JOIN processes USING (process_id) WHERE run_id = $last_run" |
		tr -d '"' | sed 's/:[^:]*;/:/g' >row
	is "$1: row" "$(cat row)" "$4 of $5:$6:$7:$8"
	is "$1: one message" "$(grep -c '^heaptape: [a-z_]*(' err)" 1
	recorded_whole
}

run_options=--free-stacks
expect "double free" twice 24 "double free" 24 make drop drop_again
has "double free" err '^heaptape: free(0x[0-9a-f]*): already freed: a block of 24 bytes at 0x[0-9a-f]*, allocated by thread 1$'
has "at once" err '^  freed at$'
has "at once, from inside" err '^    make+0x[0-9a-f]*  misuse+0x'
has "an exported name" err '^    __libc_start_main+0x[0-9a-f]*  libc.so.6+0x'
has "the summary" err '^Misuse of the heap$'
has "the summary's kind" err '^  double free: free(0x'
has "the summary's names" err '^      make  misuse.c:[0-9]*  misuse$'
has "the summary's names" err '^      drop  misuse.c:[0-9]*  misuse$'
has "the summary's names" err '^      drop_again  misuse.c:[0-9]*  misuse$'
"$heaptape" report >report.txt
has "the report" report.txt '^    freed again at$'
has "the report's names" report.txt '^      drop_again  misuse.c:[0-9]*  misuse$'
"$heaptape" report --json >report.json
has "as data" report.json '"kind": "double free"'
has "as data" report.json '"drop_again misuse.c:[0-9]*"'

expect "of a large block" twice 100000 "double free" 100000 make drop drop_again
expect "of a huge block" twice 50000000 "double free" 50000000 make drop drop_again
expect "of an aligned block" twice_aligned 24 "double free" 24 make_aligned drop drop_again
expect "by two threads" twice_threads 24 "double free" 24 make drop drop_again
expect "by two threads, large" twice_threads 100000 "double free" 100000 make drop drop_again
expect "not at once" twice_later 24 "double free" 24 make drop drop_again
expect "in a handler" twice_in_handler 24 "double free" 24 make drop drop_again
expect "inside a block" inside 24 "interior pointer" 24 make - drop_again
expect "inside a large block" inside 100000 "interior pointer" 100000 make - drop_again
expect "foreign" foreign 24 "foreign pointer" - - - drop_again
expect "realloc of a freed block" regrow 24 "freed block" 24 make drop grow
expect "realloc of a freed large block" regrow 100000 "freed block" 100000 make drop grow
expect "free of what was moved" moved 24 "double free" 24 make grow drop_again
expect "free of what was moved, larger" moved 30000 "double free" 30000 make grow drop_again
expect "realloc inside a block" regrow_inside 24 "interior pointer" 24 make - grow
expect "size of a freed block" remeasure 24 "freed block" 24 make drop measure

# Without --free-stacks it is said what would tell more.
run_options=
expect "double free" twice 24 "double free" 24 make - drop_again
has "what would tell more" err 'freed where heaptape run --free-stacks would show'

# In a forked child: its own status, and the parent goes on.
run_options=--free-stacks
record "$programs/misuse" twice_in_child
is "child: status" "$status" 0
is "child: its signal" "$(head -1 out)" "child 6"
is "child: row" "$(query "SELECT count(*) FROM misuses JOIN processes p USING (process_id)
	WHERE run_id = $last_run AND ending <> 'exited' AND freed_stack_id > 0 AND
	allocated_stack_id > 0")" 1
recorded_whole

# Going on.
run_options="--on-error continue"
for way in twice twice_threads inside foreign regrow; do
	record "$programs/misuse" $way
	is "$way, going on: status" "$status" 0
	is "$way, going on: output" "$(cat out)" survived
	is "$way, going on: row" "$(query "SELECT count(*) FROM misuses JOIN processes
		USING (process_id) WHERE run_id = $last_run")" 1
	recorded_whole
done

# From handlers in the middle of malloc, two hundred times.
run_options="--on-error continue --free-stacks --quiet"
record timeout 60 "$programs/misuse" twice_amid_malloc
is "amid malloc: status" "$status" 0
is "amid malloc: messages" "$(grep -c 'already freed: a block of 24 bytes' err)" 200
is "amid malloc: rows" "$(query "SELECT count(*) FROM misuses JOIN processes USING (process_id)
	WHERE run_id = $last_run AND kind = 'double free'")" 200
invariants

# Without a daemon: the message, and the same end.
status=0
LD_PRELOAD=$B/libheaptape.so "$programs/misuse" twice >out 2>err || status=$?
is "alone: status" "$status" 134
has "alone: message" err '^heaptape: free(0x[0-9a-f]*): already freed: a block of'
has "alone: where" err '^    drop_again+0x[0-9a-f]*  misuse+0x'
status=0
LD_PRELOAD=$B/libheaptape.so "$programs/misuse" twice_in_handler >out 2>err || status=$?
is "alone, in a handler: status" "$status" 134
has "alone, in a handler: where" err '^    handler+0x[0-9a-f]*  misuse+0x'
status=0
LD_PRELOAD=$B/libheaptape.so HEAPTAPE_ON_ERROR=continue "$programs/misuse" inside >out 2>err || status=$?
is "alone, going on: status" "$status" 0
is "alone, going on: output" "$(cat out)" survived
has "alone, going on: message" err ' 8 bytes inside a block'

is "what --on-error takes" "$("$heaptape" run --on-error panic true 2>&1 >/dev/null | grep -c "'abort' or 'continue'")" 1
pass
