#!/bin/sh
# erlang: a virtual machine with schedulers and allocators of its own, over mmap and malloc.
. "$(dirname "$0")/lib.sh"
need erl
identical erl -noshell -noinput +S 2:2 -eval 'P = [spawn_monitor(fun() -> exit(lists:sum([length(integer_to_list(I * N)) || I <- lists:seq(1, 20000)])) end) || N <- lists:seq(1, 20)],
S = lists:sum([receive {_, R, _, _, V} -> V end || {_, R} <- P]), io:format("~p~n", [S]), halt(5).'
is "status" "$status" 5
pass
