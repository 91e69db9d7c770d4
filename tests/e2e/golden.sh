#!/bin/sh
# What each command prints, whole, compared with tests/golden/ (HT_ACCEPT=1 writes it anew: read the
# difference before it is committed). What varies from run to run is masked here; what is masked is
# compared with the database, column by column.
. "$(dirname "$0")/lib.sh"
need jq python3 sqlite3

cp "$programs/ledger" .
mkdir got
"$heaptape" run --label 'before it' -- ./ledger 2>err >out
is "status" $? 19
"$heaptape" run -q --label after --free-stacks -- ./ledger 9
is "status" $? 19

# mask: times, dates, pids, sizes that are the machine's.
mask() {
	sed -E -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}/DATE/g' \
		-e 's/[ 0-9][0-9] [A-Z][a-z]{2} [0-9]{2}:[0-9]{2}/      DATE/g' \
		-e 's/ *[0-9.]+ (ns|us|ms|s)\b/ TIME/g' -e 's/[0-9.]+ bytes (stored )?per event/BYTES per event/' \
		-e 's/\([0-9.]+ [KM]?i?B\)/(SIZE)/' -e 's/(stored|resident|resident set) +[0-9.]+ [KM]?i?B/\1 SIZE/' \
		-e 's/, resident set SIZE//' -e '/^  resident SIZE/d' -e '/^  waited /d' \
		-e 's/^  cost  .*( BYTES per event)/  cost        WAITED\1/' -e 's/^(  duration TIME TIME).*/\1/' \
		-e 's/process(es)? [0-9]{2,}/process\1 PID/g' -e 's/ +$//' -e 's#"/[^"]*/((ledger|growth)[.c]*)"#"\1"#'
}
# golden NAME: standard input, as it is to be compared. Nothing is compared here: at the end of a pipe a
# failure would be forgotten.
golden() { mask >"got/$1"; }
# pretty: JSON with what varies masked by its key.
pretty() {
	jq -S 'walk(if type == "object" then with_entries(if .value != null and (.key | test("_ns$|_at$|^pid$|^tid$|rss|stored|cwd|host|version|_id$|ids$|foreign_path|path$"))
		then .value = "MASKED" else . end) |
		if .name == "duration_ns" then {name} else . end else . end)'
}
COLUMNS=80
export COLUMNS
golden summary <err
"$heaptape" runs | tr -s " " | golden runs
"$heaptape" report 1 | golden report
"$heaptape" leaks 1 | golden leaks
"$heaptape" peak 1 | golden peak
"$heaptape" peak --top-down 1 | golden peak-top-down
"$heaptape" diff 1 2 | golden diff
mkdir growth
"$heaptape" run -q --db growth/growth.db -- "$programs/growth" || die "growth: $?"
growth() { "$heaptape" growth --db growth/growth.db --from A --to B --match growth.c "$@"; }
growth | sed -E "s/'(A|B)' \([^)]*\)/'\1' (TIME)/g" | golden growth
growth --json | pretty | golden growth.json
"$heaptape" export -f folded 1 | sed -E 's/^.*;main/main/' | sort | golden folded
for of in count peak leaked temporary; do
	"$heaptape" export -f folded --of $of 1 | sed -E 's/^.*;main/main/' | sort | golden "folded-$of"
done
for command in runs report leaks peak diff; do
	case $command in
	runs) words= ;;
	diff) words='1 2' ;;
	*) words=1 ;;
	esac
	# $words are none to two.
	# shellcheck disable=SC2086
	"$heaptape" $command --json $words | pretty | golden "$command.json"
done


# The same run with a figure of its own in every column of a number, and with rows in the tables that
# are empty above.
cp heaptape.db odd.db
cat >odd.py <<'EOT'
import sqlite3
db = sqlite3.connect("odd.db")
stays = {"pid", "tid", "number", "forked", "exit_code", "exit_signal", "started_at", "ended_at"}
figure = 100000
for table, where in ("runs", "run_id = 1"), ("processes", "process_id = 1"), ("threads", "process_id = 1"):
    for name, type in db.execute(f"SELECT name, type FROM pragma_table_info('{table}')").fetchall():
        if type == "INTEGER" and not name.endswith("_id") and name not in stays:
            figure += 1111
            db.execute(f"UPDATE {table} SET {name} = {figure} WHERE {where}")
db.execute("UPDATE processes SET foreign_path = '/odd', title = 'a title', pid = 4242 WHERE process_id = 1")
db.execute("INSERT INTO processes(run_id, pid, executable, command, started_ns, ended_ns, ending, exit_code, unrecorded_reason) "
           "VALUES (1, 4243, '/bin/odd', '/bin/odd word', 7, 9, 'exited', 3, 'it is of another kind')")
db.execute("UPDATE threads SET tid = 4301 WHERE process_id = 1")
for number in 2, 3:
    db.execute(f"INSERT INTO threads(process_id, number, tid, name, started_ns, events, allocations, allocated_bytes, frees, freed_bytes) "
               f"VALUES (1, {number}, {4300 + number}, 'thread {number}', 0, {number}01, {number}000002, {number}03, {number}04, {number}05)")
db.execute("INSERT INTO notes(run_id, process_id, at_ns, text) VALUES (1, 1, 5, 'one note'), (1, 0, 3, 'another'), (2, 0, 3, 'of run 2')")
db.execute("INSERT INTO gaps VALUES (1, 101, 102, 103, 104, 105, 106, 107, 108, 1)")
stacks = [row[0] for row in db.execute("SELECT stack_id FROM stack_totals WHERE process_id = 1 ORDER BY allocations")]
for i in range(7):
    db.execute(f"INSERT INTO misuses VALUES (1, {111 + i}, 1, 'double free', 112, 113, 114, ?, ?, ?, 'what was said {i}')", stacks[:3])
for i, size in enumerate((0, 16, 1024, 4096, 2097152, 4194304)):
    db.execute(f"INSERT INTO size_histogram VALUES (1, {size}, {i + 31}, {(i + 31) * size}, {i + 1}, {(i + 1) * size})")
db.execute("INSERT INTO stack_cuts VALUES (1, 'depth', 121), (1, 'no row', 122)")
db.commit()
EOT
python3 odd.py || die "the odd database cannot be made"
# The frames before main are the C library's matter.
"$heaptape" report --db odd.db 1 | grep -v '^      _*\(libc_\)*start' | golden odd-report
"$heaptape" report --db odd.db --json 1 | pretty | golden odd-report.json
"$heaptape" runs --db odd.db | tr -s " " | golden odd-runs
cp heaptape.db states.db
for state in complete incomplete cut running; do
	sqlite3 states.db "UPDATE runs SET state = '$state', exit_code = NULL WHERE run_id = 2"
	"$heaptape" runs --db states.db | tr -s " " | tail -1
	"$heaptape" report --db states.db 2 | sed -n '/^  started/p; /^Totals/p; /^  state/p'
done | golden states

if [ -n "$HT_ACCEPT" ]; then
	cp got/* "$top/tests/golden/"
fi
for name in $({ ls got && ls "$top/tests/golden"; } | sort -u); do
	same "$name" "got/$name" "$top/tests/golden/$name"
done

# What is masked above is what the database says, under the same name.
cat >columns.py <<'EOT'
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
compared = 0
def columns(table): return {row[0] for row in db.execute(f"SELECT name FROM pragma_table_info('{table}')")}
def check(what, got, table, where):
    global compared
    for key in got.keys() & columns(table):
        want = db.execute(f"SELECT {key} FROM {table} WHERE {where}").fetchone()[0]
        compared += 1
        if got[key] != want and not (table == "runs" and key == "processes"):
            print(f"{what}: {key}: got {got[key]!r}, the table has {want!r}")
report = json.load(open("report.json"))
check("report --json", report["run"], "runs", "run_id = 1")
check("report --json", {key: value for key, value in report["run"].items() if key not in columns("runs")},
      "processes", "run_id = 1")
for process in report["processes"]:
    check("report --json, processes", process, "processes", f"process_id = {process['process_id']}")
for thread in report["threads"]:
    check("report --json, threads", thread, "threads", f"thread_id = {thread['thread_id']}")
for run in json.load(open("runs.json")):
    check("runs --json", run, "runs", f"run_id = {run['run_id']}")
for gap in report["gaps"]: check("report --json, gaps", gap, "gaps", "process_id = 1")
for misuse in report["misuses"]: check("report --json, misuses", misuse, "misuses", f"at_ns = {misuse['at_ns']}")
if compared < 70: print(f"only {compared} columns were compared")
EOT
for database in heaptape.db odd.db; do
	"$heaptape" report --db $database --json 1 >report.json
	"$heaptape" runs --db $database --json >runs.json
	is "figures and columns of $database" "$(python3 columns.py $database 2>&1)" ""
done

# --csv says the same as --json, under the same names.
for command in runs 'report 1' 'leaks 1' 'peak 1' 'growth 1' 'diff 1 2' 'diff --by count 1 2'; do
	# $command is one or more words.
	# shellcheck disable=SC2086
	"$heaptape" $command --json >form.json
	# shellcheck disable=SC2086
	"$heaptape" $command --csv >form.csv
	is "$command --csv" "$(python3 - "$command" <<'EOT' 2>&1
import csv, json, sys
rows = list(csv.DictReader(open("form.csv", newline="")))
said = json.load(open("form.json"))
def tree(node, depth=0):
    yield {**{key: node[key] for key in ("name", "peak_bytes", "peak_blocks")}, "depth": depth}
    for child in node.get("children", []): yield from tree(child, depth + 1)
if sys.argv[1].startswith(("report", "growth")): said = said["sites"]
elif sys.argv[1].startswith("peak"): said = list(tree(said))
elif sys.argv[1].startswith("diff"):
    by = {"allocated": "allocated_bytes", "count": "allocations"}[said["sorted_by"]]
    said = [{**site, "before": site["before"][by], "after": site["after"][by]} for site in said["sites"]]
if len(rows) != len(said) or not rows: print(f"{len(rows)} rows, {len(said)} in JSON")
for row, want in zip(rows, said):
    for key in row.keys() & want.keys():
        text = "" if want[key] is None else str(want[key])
        if row[key] != text: print(f"{key}: {row[key]!r} in CSV, {text!r} in JSON")
    if len(row.keys() & want.keys()) < 4: print(f"hardly a name in common: {row.keys()} {want.keys()}")
EOT
)" ""
done
pass
