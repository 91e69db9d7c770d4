#!/bin/sh
# Real programs, small doses: recorded or not, they write and end the same, and the record is whole.
. "$(dirname "$0")/lib.sh"
need gcc perl jq sqlite3 git bash

cp "$top"/tests/tools/heap_model.[ch] .
mkdir -p tests/tools && cp heap_model.h tests/tools/
identical ls -la --color=always /usr/bin
identical bash -c 'for i in 1 2 3; do echo $i | cat | sort -r | tr 0-9 a-j; done | wc -c; exit 9'
identical gcc -O2 -I. -S -o - heap_model.c
identical perl -e 'my %h; $h{$_ % 5000} .= "x$_" for 1..100000; print length(join ",", map { "$_$h{$_}" }
	sort keys %h), "\n"; exit 4'
identical /usr/bin/python3 -c 'import json, re
print(len(json.dumps([{"a": i, "b": [str(i)] * 5} for i in range(20000)])))'
identical sqlite3 :memory: 'CREATE TABLE t(a, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT
	i + 1 FROM n WHERE i < 50000) INSERT INTO t SELECT i, hex(i * 7919) FROM n;
	CREATE INDEX t_b ON t(b); SELECT count(*), sum(a), max(b) FROM t WHERE b LIKE "%3%";'
perl -e 'print "["; print join ",", map { "{\"id\":$_,\"tags\":[\"a$_\",\"b\"]}" } 1..30000; print "]"' >in.json
identical jq -c 'map(select(.id % 7 == 0) | .tags[0]) | length' in.json
git init -q repo 2>/dev/null && cd repo && git config user.email a@b && git config user.name c &&
	for i in 1 2 3 4 5 6 7 8 9; do echo $i >>file && git add file && git commit -qm "$i"; done
identical git log --stat
identical sh -c 'kill -TERM $$'
identical true
pass
