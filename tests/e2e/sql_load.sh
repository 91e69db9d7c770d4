#!/bin/sh
# Any SQLite client reads a recording: plain tables with nothing loaded, every event with
# heaptape_sqlite.so; also while the program runs, and from a folder nobody may write to.
. "$(dirname "$0")/lib.sh"
need sqlite3

extension=$B/heaptape_sqlite
record "$programs/threads" 4 5000 1
expected=$(query 'SELECT sum(events) FROM processes')

is "plain tables, nothing loaded" "$(sqlite3 -readonly heaptape.db \
	'SELECT count(*) FROM runs JOIN processes USING (run_id)')" 1
is "sqlite3, events" "$(sqlite3 -readonly heaptape.db ".load $extension" \
	'SELECT count(*) FROM events')" "$expected"
is "sqlite3, live blocks" "$(sqlite3 -readonly heaptape.db ".load $extension" \
	'SELECT count(*) FROM allocations WHERE freed_at_ns IS NULL')" \
	"$(sqlite3 heaptape.db 'SELECT sum(live_blocks) FROM processes')"
is "sqlite3, bytes per page" "$(sqlite3 -readonly heaptape.db ".load $extension" \
	'SELECT sum(p.live_bytes) FROM processes JOIN pages(processes.process_id) p')" \
	"$(sqlite3 heaptape.db 'SELECT sum(live_bytes) FROM processes')"
is "every stack has words" "$(sqlite3 -readonly heaptape.db ".load $extension" \
	'SELECT count(*) FROM stacks WHERE stack_text(stack_id) IS NULL')" 0

if python3 -c 'import sqlite3; sqlite3.connect(":memory:").enable_load_extension' 2>/dev/null; then
	is "Python" "$(python3 - "$extension" <<-'PYTHON'
		import sqlite3, sys
		db = sqlite3.connect('file:heaptape.db?mode=ro', uri=True)
		db.enable_load_extension(True)
		db.load_extension(sys.argv[1])
		print(db.execute("SELECT count(*) FROM events").fetchone()[0])
	PYTHON
	)" "$expected"
fi

# A program that opens one recording after another does not grow: what was loaded goes, and leaves
# nothing.
again=0
while [ $again -lt 60 ]; do
	printf '.open heaptape.db\n.load %s\n' "$extension"
	echo 'SELECT count(*) FROM events WHERE stack_id = 1;'
	again=$((again + 1))
done >again.sql
is "loaded again and again" "$(prlimit --as=400000000 sqlite3 <again.sql 2>&1 | grep -c memory)" 0

# A damaged chunk is an error that names it; what lies before it stays readable.
cp heaptape.db damaged.db
sqlite3 damaged.db "UPDATE chunks SET blob = zeroblob(length(blob)) WHERE chunk_id =
	(SELECT max(chunk_id) FROM chunks)"
sqlite3 damaged.db ".load $extension" 'SELECT sum(size_bytes) FROM events' >o 2>e
has "a damaged chunk" e 'chunk [0-9]* of process [0-9]*: damaged'
is "the others" "$(sqlite3 damaged.db ".load $extension" "SELECT count(*) > 0 OR
	(SELECT count(*) FROM chunks) = 1 FROM events WHERE chunk_id < (SELECT max(chunk_id) FROM chunks)
	AND at_ns < (SELECT max(first_ns) FROM chunks)" 2>&1)" 1

# A folder without permission to write, once nobody records into it.
if [ "$(id -u)" = 0 ]; then
	as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
	as_nobody true 2>/dev/null || as_nobody() { false; }
else
	as_nobody() { "$@"; }
fi
mkdir closed
cp heaptape.db closed/
chmod 755 "$T"
chmod 555 closed
if as_nobody test -x "$heaptape" && as_nobody test -r closed/heaptape.db; then
	is "a closed folder" "$(as_nobody "$heaptape" sql --csv --db closed/heaptape.db \
		'SELECT count(*) FROM events' 2>&1 | tail -1)" "$expected"
fi
chmod 755 closed
pass
