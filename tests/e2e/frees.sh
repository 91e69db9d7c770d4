#!/bin/sh
# run --free-stacks: where each block was freed (tests/programs/frees.c), as the program says it,
# and nothing of the kind without the option.
. "$(dirname "$0")/lib.sh"
need awk

# Functions of the program's own, innermost first.
cat >own.awk <<'EOF'
{
	text = $1
	n = split($2, names, ";")
	for (i = n; i > 0; i--)
		if (names[i] ~ /^(release|release_again|release_inlined|wraps|moves|thread_start|main|-)$/)
			text = text " " names[i]
	print text
}
EOF

ours="run_id = $last_run AND stack_text(stack_id) LIKE '%main%' AND size_bytes >= 7001"
run_options=--free-stacks record "$programs/frees"
is "status" "$status" 0
recorded_whole
query "SELECT size_bytes || ' ' || coalesce(stack_text(freed_stack_id), '-') FROM allocations
	WHERE $ours ORDER BY allocated_at_ns" | tr -d '"' | awk -f own.awk >got
same "where blocks were freed" got out
is "as events say it" "$(query "SELECT count(*) FROM (SELECT * FROM allocations WHERE $ours) a JOIN events e
	ON e.process_id = a.process_id AND e.at_ns = a.freed_at_ns AND e.thread_id = a.freed_by_thread_id
	AND coalesce(e.old_address, e.address) = a.address AND e.free_stack_id = a.freed_stack_id")" 12
is "allocated there" "$(query "SELECT count(*) FROM allocations WHERE $ours
	AND stack_text(stack_id) LIKE '%main;allocate%'")" 12
is "the setting is kept" "$(query "SELECT settings LIKE '%HEAPTAPE_FREE_STACKS=1%' FROM runs
	WHERE run_id = $last_run")" 1

# Every free knows its place, in a forked child too.
run_options=--free-stacks record sh -c '(:); cat /dev/null'
is "processes" "$(query "SELECT count(*) >= 3 FROM processes WHERE run_id = $last_run")" 1
is "frees without a stack" "$(query "SELECT count(*) FROM events WHERE run_id = $last_run
	AND kind = 'free' AND free_stack_id IS NULL")" 0

# Not asked for: only a realloc says where it is.
run_options=
record "$programs/frees"
recorded_whole
is "frees with a stack" "$(query "SELECT count(*) FROM events WHERE run_id = $last_run AND kind = 'free'
	AND free_stack_id IS NOT NULL")" 0
is "reallocs with a stack" "$(query "SELECT count(*) FROM allocations WHERE $ours
	AND freed_stack_id IS NOT NULL")" 2
is "excluded by --no-stacks" "$("$heaptape" run --free-stacks --no-stacks true 2>&1 >/dev/null | grep -c 'cannot be used together')" 1
pass
