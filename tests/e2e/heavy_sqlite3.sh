#!/bin/sh
# sqlite3 loads and queries a million rows.
. "$(dirname "$0")/lib.sh"
need sqlite3
cat >load.sql <<'SQL'
CREATE TABLE t(id INTEGER PRIMARY KEY, word TEXT, n REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
INSERT INTO t SELECT i, printf('%x word %d', i * 7919 % 65537, i), i / 3.0 FROM n;
CREATE INDEX t_word ON t(word);
SELECT substr(word, 1, 2) AS s, count(*), sum(n) FROM t GROUP BY s ORDER BY 2 DESC LIMIT 20;
SELECT count(*) FROM t a JOIN t b ON b.word = a.word WHERE a.id % 3 = 0;
SELECT word FROM t ORDER BY length(word), word DESC LIMIT 5;
SQL
identical sqlite3 :memory: ".read load.sql"
pass
