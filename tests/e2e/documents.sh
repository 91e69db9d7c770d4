#!/bin/sh
# Every command that a document shows is run, in order, and its output compared with the one shown. What
# differs from run to run (numbers, times, addresses, dates) is masked; a line `...` stands for any number of
# lines. A command that cannot run here is on the list below, with the reason. Also: every link leads
# somewhere, and README.md has at most 300 lines. HT_ACCEPT=1 puts the outputs of today into the documents,
# where they have no `...`.
. "$(dirname "$0")/lib.sh"
need gcc sqlite3 jq python3

documents='README.md viewer/README.md tests/README.md tests/bench/README.md'

# Commands that are not run (`*` at the end: and what begins so), and why.
cat >elsewhere <<'EOT'
make demo|tests/demo.sh records the compiler, into the build folder
make check|runs this test
make check-programs|the long tests
make && make install|writes outside the test's folder
make|builds everything
make DEBUG=1|builds everything
make SANITIZE=address,undefined|builds everything
make FUZZ=1 fuzzers|builds everything
make fuzz SECONDS_EACH=600|tests/run.sh runs the fuzzers
make stress HT_SCALE=60|takes an hour
make lint tidy format|changes the source
make bench*|measures for minutes
sh tests/run.sh*|builds, and runs this test
HT_ACCEPT=1*|changes the expected texts
heaptaped --socket /run/heaptape/socket*|tests/e2e/server.sh: a daemon that stays
HEAPTAPE_SOCKET=/run/heaptape/socket*|tests/e2e/server.sh: a program of that daemon
cat fill.sh|of the next example
export CGROUP=*|only root can make a memory cgroup; tests/e2e/fault_death.sh does so where it may
heaptape run sh fill.sh|needs that cgroup
EOT
# The page is bundled by npm.
[ -s "$B/web/flame.js" ] || echo 'heaptape flame*|needs npm; tests/e2e/flame_deep.sh' >>elsewhere

# Commands whose status is not 0, and their status.
cat >statuses <<'EOT'
heaptape run --guard build/tests/programs/misuse beyond 24|134
EOT

# entry FILE COMMAND: finds the command in a list, without its comment; notes the line as used, and leaves
# what follows the `|` in $entry_found.
entry() {
	entry_found=$(awk -v command="$2" 'BEGIN { sub(/ +# .*/, "", command) }
		{
			key = substr($0, 1, index($0, "|") - 1)
			if (key == command || (sub(/\*$/, "", key) && index(command, key) == 1)) print
		}' "$1" | head -n 1)
	[ -n "$entry_found" ] || return 1
	echo "$entry_found" >>"$T/used"
	entry_found=${entry_found#*|}
}

# code DOCUMENT: `NUMBER:TEXT` for each line of its code blocks, `NUMBER!` after each block.
code() {
	awk '/^```/ { if (fenced) print NR "!"; fenced = !fenced; blank = 0; next }
		fenced { print NR ":" $0; next }
		/^    / && (blank || indented) { indented = 1; print NR ":" substr($0, 5); next }
		{ if (indented) print NR "!"; indented = 0; blank = $0 == "" }' "$top/$1"
}

# masked FILE: without what differs from run to run.
masked() {
	awk '{
		gsub(/0x[0-9a-f]+/, "N")
		gsub(/ (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) /, " ")
		gsub(/[0-9][0-9.,:]*/, "N")
		gsub(/[-+]?N(-N)*/, "N")
		gsub(/(▏|▎|▍|▌|▋|▊|▉|█)+/, "")
		line = ""
		for (i = 1; i <= NF; i++) {
			word = $i
			# A number and its unit, or its date and its time, are one.
			if (line ~ /N$/ && word ~ /^(ns|us|ms|s|min|h|B|KiB|MiB|GiB|%|N)[,;:.)]*$/) {
				sub(/^[A-Za-z%]+/, "", word)
				line = line word
				continue
			}
			line = line (i > 1 ? " " : "") word
		}
		print line
	}' "$1"
}

# matches GOT SHOWN: whether the masked lines are the same; a line `...` in SHOWN skips lines of GOT.
matches() {
	masked "$1" >"$T/masked.got"
	masked "$2" >"$T/masked.shown"
	awk 'NR == FNR { got[++n] = $0; next }
		{ shown[++m] = $0 }
		function is_gap(j) { return shown[j] == "..." || shown[j] == "…" }
		function rest(i, j,   k) {
			if (j > m) return i > n
			if (is_gap(j)) {
				for (k = i; k <= n + 1; k++) if (rest(k, j + 1)) return 1
				return 0
			}
			return i <= n && got[i] == shown[j] && rest(i + 1, j + 1)
		}
		END { exit !rest(1, 1) }' "$T/masked.got" "$T/masked.shown"
}

# before COMMAND: what a reader would wait for before typing it.
before() {
	case $1 in
	'heaptape resume server'*) until_true answers "SELECT count(*) FROM processes JOIN runs USING (run_id)
		WHERE label = 'server'" 1 ;;
	esac
}

# compare: the command that was read against what its document shows. Uses the variables of run_document.
compare() {
	[ -n "$command" ] || return 0
	sh -n -c "$command" 2>/dev/null || fail "$document:$line_of_command: not a whole command: $command"
	count=$((count + 1))
	if entry "$T/elsewhere" "$command"; then
		command=
		return 0
	fi
	before "$command"
	expected=0
	if entry "$T/statuses" "$command"; then expected=$entry_found; fi
	status=0
	eval "$command" >"$T/got.$count" 2>&1 </dev/null || status=$?
	is "$document:$line_of_command: status of $command" "$status" "$expected"
	[ "$status" = "$expected" ] || head -20 "$T/got.$count"
	if [ -s "$T/shown" ] && ! matches "$T/got.$count" "$T/shown"; then
		sed -i 's/ *$//' "$T/got.$count"
		if [ -n "$HT_ACCEPT" ] && ! grep -q '^ *\.\.\.$' "$T/shown"; then
			echo "$shown_from $shown_to $T/got.$count" >>"$T/edits"
		else
			fail "$document:$line_of_command: $command: shown, but not what came (< shown, > came):"
			diff "$T/masked.shown" "$T/masked.got" | head -60
			[ -z "$HT_ACCEPT" ] || cat "$T/got.$count"
		fi
	fi
	command=
}

# run_document DOCUMENT: in a folder of its own, where build and the source are as in the repository.
run_document() {
	document=$1 command='' count=0 open=
	folder=$T/$(echo "$document" | tr / -).d
	mkdir "$folder"
	cd "$folder" || die "no folder"
	for part in proto shim daemon viewer tests; do ln -s "$top/$part" "$part"; done
	ln -s "$B" build
	PATH=$B:$PATH COLUMNS=100
	unset HEAPTAPE_DB
	export PATH COLUMNS
	: >"$T/shown"
	: >"$T/edits"
	code "$document" >"$T/code"
	while IFS= read -r numbered <&3; do
		number=${numbered%%[!0-9]*}
		line=${numbered#"$number":}
		if [ "$numbered" = "$number!" ]; then
			open=
			compare
		elif [ -n "$open" ]; then
			command="$command
$line"
			! sh -n -c "$command" 2>/dev/null || open=
		elif [ "${line#\$ }" != "$line" ]; then
			compare
			command=${line#\$ } line_of_command=$number
			: >"$T/shown"
			sh -n -c "$command" 2>/dev/null || open=1
		elif [ -n "$command" ]; then
			[ -s "$T/shown" ] || shown_from=$number
			printf '%s\n' "$line" >>"$T/shown"
			shown_to=$number
		else
			case $line in
			'heaptape '* | 'make '* | 'sh '*) fail "$document:$number: a command without '$ ': $line" ;;
			esac
		fi
	done 3<"$T/code"
	compare
	if [ -s "$T/edits" ]; then
		sort -rn "$T/edits" | while read -r from to file; do
			sed -i -e "$((from - 1))r $file" -e "$from,${to}d" "$top/$document"
		done
	fi
}

# anchors DOCUMENT: the names of its headings, as a link has them.
anchors() {
	awk '/^```/ { fenced = !fenced } !fenced && /^#+ / { sub(/^#+ /, ""); print tolower($0) }' "$1" |
		sed -e 's/[^a-z0-9 _-]//g' -e 's/ /-/g'
}

for document in $documents; do
	[ -e "$top/$document" ] || die "no $document"
	awk '/^```/ { fenced = !fenced } !fenced' "$top/$document" | grep -o '](\([^)]*\))' |
		sed -e 's/^](//' -e 's/)$//' | sort -u >links
	while read -r link; do
		case $link in
		http://* | https://*) continue ;;
		esac
		path=${link%%#*}
		target=$top/$document
		[ -z "$path" ] || target=$(dirname "$top/$document")/$path
		if [ ! -e "$target" ]; then
			fail "$document: a link to $path, which does not exist"
		elif [ "$link" != "$path" ]; then
			anchors "$target" | grep -qxF -e "${link#*#}" || fail "$document: no heading for #${link#*#}"
		fi
	done <links
done
# Every option and every command that the text mentions exists.
for command in $("$heaptape" --help | sed -n 's/^  \([a-z]*\)   .*/\1/p'); do
	"$heaptape" help "$command"
done >helps 2>&1
"$B/heaptaped" --help >>helps
echo 'node --perf-basic-prof' >>helps
for document in README.md viewer/README.md; do
	grep -o '`[^`]*`' "$top/$document" | grep -o -e '--[a-z][a-z-]*' | sort -u | while read -r option; do
		grep -q -e "$option\\b" helps || fail "$document: no command has $option"
	done
	grep -o '`heaptape [a-z]*' "$top/$document" | sort -u | while read -r _ command; do
		grep -q "^heaptape $command:" helps || [ "$command" = help ] || fail "$document: no command '$command'"
	done
done

lines=$(wc -l <"$top/README.md")
[ "$lines" -le 300 ] || fail "README.md has $lines lines, more than 300"

: >used
for document in $documents; do
	(run_document "$document") || fail "$document: ended early"
done
sort -u used >used.all
cat elsewhere statuses | while IFS= read -r line; do
	grep -qxF -e "$line" used.all || fail "no document has the command of '$line' any more"
done
pass
