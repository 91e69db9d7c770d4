#!/bin/sh
# Wrong use says what is wrong and ends with 2; help is there for every command.
. "$(dirname "$0")/lib.sh"

# said STATUS PATTERN ARGUMENTS…
said() {
	status=$1 pattern=$2
	shift 2
	code=0
	"$heaptape" "$@" >o 2>e </dev/null || code=$?
	is "heaptape $*: status" $code "$status"
	[ ! -s o ] || fail "heaptape $*: wrote to standard output: $(head -1 o)"
	has "heaptape $*" e "$pattern"
}

said 2 "no command 'frob'" frob
said 2 "no command 'frob'" help frob
said 2 "did you mean 'report'?" reprot
said 2 "did you mean 'flame'?" help flam
said 2 'no program given' run
said 2 'no program given' run --
said 2 'unknown option --frob' run --frob -- true
said 2 'unknown option -Z' run -Z true
said 2 '\-\-label needs a value' run --label
said 2 "wait.*drop.*'maybe'" run --on-full=maybe true
said 2 'is not a number' run --depth=many true
said 2 'from 1 to 4096' run --depth=9999 true
said 2 'from 1 to 4096' run --depth=0 true
said 2 "unexpected argument '1'" runs 1
said 2 "unexpected argument '2'" report 1 2
said 2 'put it into quotes' sql SELECT 1
said 2 '\-\-json and --csv' runs --json --csv
said 2 'takes no value' runs --json=1
said 2 'percentage' peak --min=lots
said 2 'function, module or file' peak --group=colour
said 2 'cannot be used together' peak --top-down --bottom-up
said 2 'allocated, count' diff --by colour
said 2 'allocated, count' flame --of colour
said 2 '\-\-format is needed' export
said 2 'folded, pprof or speedscope' export --format svg
said 2 'cannot be negative' leaks --top -1

code=0
"$heaptape" >o 2>e || code=$?
is "no command: status" $code 2
has "no command" o 'heaptape run'
"$heaptape" help --help >o 2>e || fail "help --help: $?"
has "help --help" o '^Commands'
"$heaptape" help >o 2>e || fail "help: $?"
sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p' o | grep -v '^help$' >commands
[ "$(wc -l <commands)" -ge 9 ] || fail "help names few commands"
while read -r command; do
	"$heaptape" "$command" --help >h 2>e || fail "$command --help: $?"
	[ ! -s e ] || fail "$command --help wrote to standard error"
	has "$command --help" h "Usage: heaptape $command"
	has "$command --help" h '  -h, --help'
	"$heaptape" help "$command" | cmp -s - h || fail "help $command differs from $command --help"
	[ -z "$(awk 'length > 100' h)" ] || fail "$command --help has long lines"
done <commands
"$B/heaptaped" --help >o || fail "heaptaped --help: $?"
for option in socket db private folder patience ready-fd symbols again help version; do
	has "heaptaped --help" o "--$option"
done
for arguments in '--symbols' '--symbols x.db' '--symbols x.db some' '--symbols x.db 1 --never'; do
	code=0
	# $arguments is several words.
	# shellcheck disable=SC2086
	"$B/heaptaped" $arguments >o 2>e || code=$?
	is "heaptaped $arguments: status" $code 2
	has "heaptaped $arguments" e 'Usage: heaptaped --symbols FILE RUN'
done
"$heaptape" run -q true || fail "run: $?"
"$B/heaptaped" --symbols "$HEAPTAPE_DB" 0 --again >o 2>e || fail "heaptaped --symbols: $(cat e)"
has "heaptaped --symbols" o '[a-z] looked up\|^looked up [0-9]* place'
is "heaptaped --symbols: errors" "$(cat e)" ""
"$heaptape" --version >o || fail "--version"
has "version" o '^heaptape [0-9]'
pass
