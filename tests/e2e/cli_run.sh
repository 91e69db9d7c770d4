#!/bin/sh
# heaptape run stays out of the program's way: input, output, status, environment, signals.
. "$(dirname "$0")/lib.sh"

# status_of EXPECTED WHAT ARGUMENTS…
status_of() {
	expected=$1 what=$2
	shift 2
	code=0
	"$heaptape" run "$@" >o 2>e </dev/null || code=$?
	is "$what: status" $code "$expected"
}

status_of 0 true -- true
[ ! -s o ] || fail "the summary is on standard output"
has "summary" e 'events, none lost'
status_of 7 "exit 7" -- sh -c 'exit 7'
has "exit 7" e 'exited with 7'
status_of 143 "SIGTERM" -- sh -c 'kill -TERM $$'
has "SIGTERM" e 'killed by SIGTERM'
status_of 139 "SIGSEGV" -- sh -c 'kill -SEGV $$'
status_of 127 "not found" -- no-such-program-anywhere
has "not found" e 'no-such-program-anywhere.*not found'
status_of 127 "no such file" -- ./nothing
echo words >plain
status_of 126 "not executable" -- ./plain
has "not executable" e 'ermission denied'
status_of 126 "folder" -- "$T"
printf '#!/no/such/interpreter\n' >script
chmod +x script
status_of 127 "no interpreter" -- ./script
before=$("$heaptape" runs --csv | wc -l)
status_of 127 "not found" -- no-such-program-anywhere
is "a program that is not found leaves no run" "$("$heaptape" runs --csv | wc -l)" "$before"

# A text file without #! goes to the shell, as from a shell.
echo 'echo "$0 $1"; exit 5' >noline
chmod +x noline
status_of 5 "no #!" -- ./noline word
is "no #!" "$(cat o)" "./noline word"

# Options end at the program's name; "--" is not needed.
status_of 3 "options of the program" sh -c 'exit 3' --label x
"$heaptape" run -q -- printf '%s\n' a 'b c' '' '*' >o 2>e
is "arguments" "$(cat o)" "$(printf '%s\n' a 'b c' '' '*')"
is "quiet" "$(cat e)" ""
is "stdin" "$(echo from here | "$heaptape" run -q -- cat)" "from here"
is "stderr" "$("$heaptape" run -q -- sh -c 'echo there >&2' 2>&1 >/dev/null)" "there"
is "closed stdin" "$("$heaptape" run -q -- sh -c 'read -r x || echo end' <&-)" "end"
"$heaptape" run -q -- sh -c 'ls /proc/self/fd | tr "\n" " "' >with 2>e
sh -c 'ls /proc/self/fd | tr "\n" " "' >without
# The one descriptor more is the recording's, far above the others.
is "low descriptors" "$(tr ' ' '\n' <with | awk '$1 != "" && $1 < 20' | wc -l)" \
	"$(tr ' ' '\n' <without | awk '$1 != "" && $1 < 20' | wc -l)"

# Names: label, default database, -o, HEAPTAPE_DB.
"$heaptape" run -q --label first -o other.db -- true
is "label" "$("$heaptape" sql --db other.db --csv 'SELECT label FROM runs' | tail -1)" first
(unset HEAPTAPE_DB && mkdir here && cd here && "$heaptape" run -q true && [ -s heaptape.db ]) ||
	fail "default database"

# A signal for the command is passed on to the program.
"$heaptape" run -- sh -c 'trap "echo got; exit 9" TERM; echo ready; while :; do sleep 0.05; done' \
	>o 2>e &
recorder=$!
until_true grep -q ready o
kill -TERM $recorder
wait $recorder
is "signal passed on: status" $? 9
has "signal passed on" o got
has "signal passed on: summary" e 'exited with 9'

# Nothing to record: it runs all the same.
if command -v gcc >/dev/null && echo 'int main(void) { return 4; }' >s.c && gcc -static -o s s.c 2>/dev/null; then
	status_of 4 "static" -- ./s
	has "static" e 'statically linked'
fi

# A daemon that cannot be: the program is not started.
HEAPTAPE_DAEMON=/bin/false "$heaptape" run -- touch started >o 2>e
is "no daemon: status" $? 3
[ ! -e started ] || fail "no daemon: the program ran"
has "no daemon" e 'was not started'
HEAPTAPE_SHIM=/no/such/file "$heaptape" run -- touch started >o 2>e
is "no shim: status" $? 3
has "no shim" e HEAPTAPE_SHIM
"$heaptape" run --socket "$T/nobody" -- touch started >o 2>e
is "nobody there: status" $? 3
has "nobody there" e 'nobody'
[ ! -e started ] || fail "nobody there: the program ran"

# Nothing beside the database, neither after a recording nor after reading it.
"$heaptape" run -- true 2>e
is "files after run" "$(echo heaptape.db*)" heaptape.db
"$heaptape" report >o
"$heaptape" sql 'SELECT count(*) FROM runs' >o
is "files after reading" "$(echo heaptape.db*)" heaptape.db

# Private folders are gone, and no daemon is left.
left=$(find "$XDG_RUNTIME_DIR" -mindepth 1 -maxdepth 1 -name 'heaptape-*')
is "folders left" "$left" ""
pass
