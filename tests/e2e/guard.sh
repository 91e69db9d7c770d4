#!/bin/sh
# run --guard: what is written beyond the end of a block or to a freed one (tests/programs/misuse.c),
# and programs that do nothing of the kind, which must not notice.
. "$(dirname "$0")/lib.sh"
need strip

# expect NAME WAY SIZE KIND MESSAGE ALLOCATED FREED AT: runs the program; the message, and the one
# row, whose stacks end in these functions ("-": no stack).
expect() {
	record "$programs/misuse" "$2" "$3"
	is "$1: status" "$status" 134
	is "$1: one message" "$(grep -c '^heaptape: .*a block of' err)" 1
	has "$1: message" err "^heaptape: $5 a block of $3 bytes* at 0x[0-9a-f]*"
	query "SELECT kind || ' of ' || size_bytes || ':' ||
		coalesce(stack_text(allocated_stack_id), '-') || ':' ||
		coalesce(stack_text(freed_stack_id), '-') || ':' ||
		coalesce(stack_text(stack_id), '-') AS text
		FROM misuses JOIN processes USING (process_id) WHERE run_id = $last_run" |
		tr -d '"' | sed 's/:[^:]*;/:/g' >row
	is "$1: row" "$(cat row)" "$4 of $3:$6:$7:$8"
	recorded_whole
}

run_options=--guard
for size in 0 1 24 1000 1024 5000 32760 100000 50000000; do
	expect "beyond $size" beyond $size overflow \
		'free(0x[0-9a-f]*): written 3 bytes beyond the end of' make - drop
done
expect "one byte" beyond_aligned 24 overflow 'free(0x[0-9a-f]*): written 1 byte beyond the end of' \
	make_aligned - drop
expect "one byte, aligned and large" beyond_aligned 100000 overflow \
	'free(0x[0-9a-f]*): written 1 byte beyond the end of' make_aligned - drop
for size in 24 100000; do
	expect "found by realloc" beyond_grow $size overflow \
		'realloc(0x[0-9a-f]*): written 5 bytes beyond the end of' make - grow
	expect "found at exit" beyond_live $size overflow 'at exit: written 2 bytes beyond the end of' \
		make - -
done
for size in 1 8 16 24 2000 20000 100000 40000000; do
	expect "written to when free" write_freed $size "write after free" \
		"free(): written to after it was freed: 1 byte at offset $((size - 1)) of" \
		make drop drop_again
done
for way in twice twice_later twice_threads; do
	expect "$way" $way 24 "double free" 'free(0x[0-9a-f]*): already freed:' make drop drop_again
done
expect "inside" inside 24 "interior pointer" 'free(0x[0-9a-f]*): 8 bytes inside' make - drop_again
expect "realloc of a freed block" regrow 24 "freed block" 'realloc(0x[0-9a-f]*): already freed:' \
	make drop grow
expect "size of a freed block" remeasure 24 "freed block" \
	'malloc_usable_size(0x[0-9a-f]*): already freed:' make drop measure

run_options="--guard --on-error continue"
for way in beyond beyond_grow beyond_live write_freed; do
	record "$programs/misuse" $way 24
	is "$way, going on: status" "$status" 0
	is "$way, going on: output" "$(cat out)" survived
	is "$way, going on: rows" "$(query "SELECT count(*) FROM misuses JOIN processes
		USING (process_id) WHERE run_id = $last_run")" 1
	recorded_whole
done

# Alone: with stacks as far as they can be told from inside.
status=0
LD_PRELOAD=$B/libheaptape.so HEAPTAPE_GUARD=1 "$programs/misuse" beyond 24 >out 2>err || status=$?
is "alone: status" "$status" 134
has "alone" err '^heaptape: free(0x[0-9a-f]*): written 3 bytes beyond the end of a block of 24 bytes'
has "alone" err '^  allocated at$'
has "alone" err '^    make+0x[0-9a-f]*  misuse+0x'

# Without symbols, places are places.
cp "$programs/misuse" stripped && strip stripped
LD_PRELOAD=$B/libheaptape.so HEAPTAPE_GUARD=1 ./stripped beyond 24 >out 2>err
has "stripped" err '^    stripped+0x'

# What misuses nothing goes on as ever. (What is said to be usable is what was asked for.)
run_options=--guard
identical ls -la /usr/bin
identical sort /usr/include/stdio.h
identical sh -c 'for i in 1 2 3; do echo $i | cat; done'
command -v python3 >/dev/null 2>&1 && identical env PYTHONMALLOC=malloc python3 -c '
import json, threading
text = json.dumps({str(i): list(range(i % 50)) for i in range(3000)})
def work():
    print(len(json.loads(text)))
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()'
# The functions do what they must (but what is in quarantine counts as in use), and every byte of
# every block is kept, whatever threads and forks do.
LD_PRELOAD=$B/libheaptape.so HEAPTAPE_GUARD=1 "$programs/conformance" >out 2>err
is "conformance" "$(grep -v '^FAILED mallinfo2\|all of it is freed\|^[0-9]* ok' out)$(cat err)" ""
has "conformance: ran" out '^[0-9]\{5\} ok'
LD_PRELOAD=$B/libheaptape.so HEAPTAPE_GUARD=1 "$B/tests/stress/alloc_stress" 4 $((2 * HT_SCALE)) >out 2>err
is "stress" "$(grep -c 'nothing wrong$' out)$(cat err)" 1
record "$programs/threads" 4 2000 1
is "threads: status" "$status" 0
recorded_whole
is "misuses" "$(query "SELECT count(*) FROM misuses JOIN processes USING (process_id)
	WHERE run_id > $last_run - 3")" 0
pass
