#!/bin/sh
# Databases that are missing, not ours, damaged, cut short or newer: a message that names the file,
# never a crash, and status 3.
. "$(dirname "$0")/lib.sh"
need sqlite3

# refused WHAT FILE PATTERN: reading and appending both say what is wrong.
refused() {
	for command in report runs "sql SELECT(1)"; do
		code=0
		# $command is one or two words.
		# shellcheck disable=SC2086
		"$heaptape" ${command%% *} --db "$2" ${command#"${command%% *}"} >o 2>e </dev/null || code=$?
		is "$1: $command: status" $code 3
		has "$1: $command: message" e "$3"
		has "$1: $command: file" e "$(basename "$2")"
		[ "$(wc -l <e)" -le 4 ] || fail "$1: $command: a long message"
	done
}

refused missing "$T/none.db" 'No such file\|does not exist\|no database'
head -c 100000 /dev/urandom >noise.db
refused noise "$T/noise.db" 'not a heaptape database'
sqlite3 other.db 'CREATE TABLE t(a); PRAGMA user_version = 1'
refused "another program's" "$T/other.db" "not .*heaptape"
mkdir folder.db
refused folder "$T/folder.db" .
HEAPTAPE_DB=$T/heaptape.db

record "$programs/threads" 2 5000 1
cp heaptape.db newer.db
sqlite3 newer.db 'PRAGMA user_version = 999'
refused newer "$T/newer.db" newer
status=0
"$heaptape" run -o newer.db -- "$programs/first" >out 2>err || status=$?
is "recording into a newer one" $status 3
has "recording into a newer one" err newer

# Damage: whatever is answered, no crash, and a message when it is noticed.
size=$(stat -c %s heaptape.db)
for at in 20 4096 9000 $((size / 2)) $((size - 5000)); do
	cp heaptape.db damaged.db
	dd if=/dev/urandom of=damaged.db bs=1 seek="$at" count=600 conv=notrunc 2>/dev/null
	for query in 'SELECT count(*), sum(size_bytes), max(old_address) FROM events' \
		'SELECT * FROM processes'; do
		code=0
		"$heaptape" sql --db damaged.db "$query" >o 2>e </dev/null || code=$?
		case $code in
		0 | 3) ;;
		*) fail "damage at $at: status $code: $(head -3 e)" ;;
		esac
		[ $code = 0 ] || [ -s e ] || fail "damage at $at: no message"
	done
	code=0
	"$heaptape" report --db damaged.db >o 2>e </dev/null || code=$?
	[ $code = 0 ] || [ $code = 3 ] || fail "report with damage at $at: status $code: $(head -3 e)"
done
for bytes in 0 50 4095 4096 $((size / 2)) $((size - 1)); do
	head -c $bytes heaptape.db >cut.db
	code=0
	"$heaptape" report --db cut.db >o 2>e </dev/null || code=$?
	[ $code = 0 ] || [ $code = 3 ] || fail "report cut at $bytes: status $code: $(head -3 e)"
	[ $code = 0 ] || [ -s e ] || fail "cut at $bytes: no message"
done
pass
