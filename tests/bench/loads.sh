# shellcheck shell=sh disable=SC2034,SC2154
# The loads that are measured, one function each: load_NAME sets `command` (words as a shell reads
# them, for clock.c, in the work folder) and prepares what it reads. Sourced by run.sh. SCALE makes
# them longer or shorter.

loads='micro1 micro2 grow cc1 python3 perl jq sqlite3 redis'
threads=1

scaled() { awk -v n="$1" -v s="${SCALE:-1}" 'BEGIN { printf "%d", n * s }'; }

load_micro1() {
	command="$B/tests/programs/churn $(scaled 20000000)"
}

load_micro2() {
	threads=2
	command="$B/tests/programs/churn $(scaled 10000000) 2"
}

# Two buffers grown in turn by realloc.
load_grow() {
	command="$B/tests/programs/grow $(scaled 262144) 64 filled 2"
}

load_cc1() {
	cc1=$(gcc -print-prog-name=cc1)
	[ -s big.c ] || awk -v bytes="$(scaled 400000)" -f "$top/tests/bench/source.awk" >big.c
	command="$cc1 -quiet -O1 -w big.c -o big.s"
}

load_python3() {
	cat >load.py <<-PY
		import json
		class Thing:
		    def __init__(self, i): self.name = "thing %d" % i; self.next = [i, str(i)]
		total = 0
		for turn in range($(scaled 12)):
		    things = {i: Thing(i) for i in range(40000)}
		    total += sum(len(t.name) + t.next[0] for t in things.values())
		    text = json.dumps([vars(t) for t in things.values()])
		    total += len(json.loads(text)) + len(sorted(text.split(","))) 
		print(total)
	PY
	command='PYTHONMALLOC=malloc PYTHONHASHSEED=1 /usr/bin/python3 load.py'
}

load_perl() {
	cat >load.pl <<-'PL'
		my (%count, @list);
		for my $turn (1 .. $ARGV[0]) {
			for my $i (1 .. 60000) {
				my $word = join "", map { chr(97 + ($i * $_ + $turn) % 26) } 1 .. 6;
				$count{$word} += $i;
				push @list, [$word, $i] if $i % 3 == 0;
			}
			@list = sort { $a->[0] cmp $b->[0] } @list;
			splice @list, 20000;
		}
		print scalar(keys %count), " ", scalar(@list), "\n";
	PL
	command="PERL_HASH_SEED=0 /usr/bin/perl load.pl $(scaled 6)"
}

load_jq() {
	[ -s in.json ] || awk -v n="$(scaled 150000)" 'BEGIN {
		printf "["
		for (i = 0; i < n; i++)
			printf "%s{\"id\":%d,\"name\":\"name %d\",\"tags\":[\"a%d\",\"b%d\",\"c\"],\"in\":{\"x\":%d.5,\"y\":null}}",
				i ? "," : "", i, i * 7919 % 100003, i % 97, i % 31, i
		print "]"
	}' >in.json
	command="/usr/bin/jq -c 'map(select(.id % 5 == 0) | {id, name, n: (.tags | length)}) | group_by(.n) | map(length)' in.json"
}

load_sqlite3() {
	cat >load.sql <<-SQL
		CREATE TABLE t(id INTEGER PRIMARY KEY, word TEXT, n REAL);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $(scaled 400000))
		INSERT INTO t SELECT i, printf('%x word %d', i * 7919 % 65537, i), i / 3.0 FROM n;
		CREATE INDEX t_word ON t(word);
		SELECT substr(word, 1, 2) AS s, count(*), sum(n) FROM t GROUP BY s ORDER BY 2 DESC LIMIT 3;
		SELECT count(*) FROM t a JOIN t b ON b.word = upper(lower(a.word)) WHERE a.id % 9 = 0;
		SELECT max(length(replace(word, 'w', 'ww'))) FROM t;
	SQL
	command="'<load.sql' /usr/bin/sqlite3 :memory:"
}

# Measured by its client: see measure_redis in run.sh.
load_redis() {
	port=$((20000 + $$ % 20000))
	requests=$(scaled 200000)
	command="/usr/bin/redis-server --port $port --save '' --appendonly no --daemonize no --bind 127.0.0.1"
}
