#!/bin/sh
# Stacks of C, C++ and Rust programs, not optimised, optimised, and stripped with a separate debug
# file: functions and lines as the source says (its marks are explained in symbols_c.c), and as
# gdb prints them at the same allocations.
. "$(dirname "$0")/lib.sh"
need objcopy strip awk

# What is left of a function's name when parameters and types in angle brackets are taken away.
cat >names.awk <<'EOT'
function bare(name,   out, depth, i, c) {
	gsub(/operator\(\)/, "operator_call", name)
	out = ""
	depth = 0
	for (i = 1; i <= length(name); i++) {
		c = substr(name, i, 1)
		if (c == "-" && substr(name, i, 2) == "->") { i++; continue }
		if (c == "<") depth++
		else if (c == ">") depth--
		else if (depth == 0) out = out c
	}
	return out
}
EOT

# expected SOURCE: "SIZE N LINE FUNCTION", from the marks.
expected() {
	awk '
	/stack [0-9]+:/ {
		sub(/.*stack /, "")
		size = $1 + 0
		for (i = 2; i <= NF; i++) name[size "." i - 2] = $i
	}
	/(\/\*|\/\/) [0-9]+\.[0-9]/ {
		rest = $0
		sub(/.*(\/\*|\/\/) /, "", rest)
		n = split(rest, marks, " ")
		for (i = 1; i <= n; i++)
			if (marks[i] ~ /^[0-9]+\.[0-9]+$/) {
				split(marks[i], part, ".")
				print part[1], part[2], NR, name[marks[i]]
			}
	}' "$1" | sort -k1n -k2n
}

# recorded SOURCE-NAME: the same, from the database: levels in that file.
recorded() {
	query "WITH RECURSIVE walk(size, at, depth, frame_id) AS (
		SELECT a.size_bytes, s.parent_stack_id, 0, s.frame_id
		FROM allocations a JOIN stacks s USING (stack_id)
		WHERE a.size_bytes BETWEEN 100100 AND 100400
		      AND a.run_id = (SELECT max(run_id) FROM runs)
		UNION ALL
		SELECT w.size, s.parent_stack_id, w.depth + 1, s.frame_id
		FROM walk w JOIN stacks s ON s.stack_id = w.at)
	SELECT size || ' ' || f.line || ' ' || coalesce(f.full_name, f.function) FROM walk w
	JOIN frames p ON p.frame_id = w.frame_id
	JOIN frames f ON f.module_id = p.module_id AND f.offset = p.offset
	WHERE f.file LIKE '%/$1' ORDER BY size, depth, f.inline_depth" | tr -d '"'
}

# by_gdb PROGRAM SOURCE-NAME: "SIZE LINE FUNCTION" of the levels in that file.
by_gdb() {
	cat >commands.gdb <<EOT
set pagination off
set width 0
set breakpoint pending on
set print frame-arguments none
set debuginfod enabled off
handle all nostop noprint
break malloc if \$rdi >= 100100 && \$rdi <= 100400
commands
silent
printf "size %d\\n", \$rdi
bt
continue
end
break calloc if \$rsi >= 100100 && \$rsi <= 100400
commands
silent
printf "size %d\\n", \$rsi
bt
continue
end
break realloc if \$rdi == 0 && \$rsi >= 100100 && \$rsi <= 100400
commands
silent
printf "size %d\\n", \$rsi
bt
continue
end
break aligned_alloc if \$rsi >= 100100 && \$rsi <= 100400
commands
silent
printf "size %d\\n", \$rsi
bt
continue
end
run
EOT
	timeout 200 gdb -nx -batch -x commands.gdb "$1" >gdb.out 2>gdb.err </dev/null
	awk -v file="/$2:" '
	/^size [0-9]/ { fresh = !seen[$2]++; size = $2 }
	fresh && /^#[0-9]/ && (at = index($0, file)) {
		line = substr($0, at + length(file))
		sub(/^#[0-9]+ +(0x[0-9a-f]+ in )?/, "")
		sub(/ \((\.\.\.)?\) at .*/, "")
		sub(/ \(.*/, "")
		print size, line, $0
	}' gdb.out | sort -s -k1n
}

# shorten: names down to their last part, closures of every notation alike.
cat >shorten.awk <<'EOT'
{
	name = $0
	sub(/^[0-9]+ [0-9]+ /, "", name)
	gsub(/[{][{]closure[}][}]|[{]closure(_env)?#[0-9]+[}]/, "closure", name)
	name = bare(name)
	while (gsub(/\([^()]*\)/, "", name))
		;
	sub(/ const$/, "", name)
	n = split(name, parts, /::| /)
	print $1, $2, parts[n]
}
EOT
shorten() {
	awk -f names.awk -f shorten.awk
}

cat >compare.awk <<'EOT'
NR == FNR { want[++wanted] = $1 " " $3; name[wanted] = $4; next }
{
	got++
	place = $1 " " $2
	text = $0
	sub(/^[0-9]+ [0-9]+ /, "", text)
	if (place != want[got])
		print "level " got ": at " place ", expected " want[got]
	else if (index(bare(text), bare(name[got])) == 0)
		print "level " got ": " text ", expected " name[got]
}
END { if (got != wanted) print got + 0 " levels, expected " wanted + 0 }
EOT

check() { # variant program source
	source_name=$(basename "$3")
	record "$2"
	is "$1: status" "$status" 0
	"$B/heaptaped" --symbols "$HEAPTAPE_DB" 0 >/dev/null || fail "$1: symbols"
	expected "$3" >want
	recorded "$source_name" >got
	awk -f names.awk -f compare.awk want got >differences
	[ -s differences ] && fail "$1: not as the source says: $(head -5 differences)"
	if command -v gdb >/dev/null 2>&1 && [ "$(uname -m)" = x86_64 ]; then
		by_gdb "$2" "$source_name" | shorten >gdb.names
		shorten <got >our.names
		if grep -q '^size' gdb.out; then
			same "$1: gdb's stacks" our.names gdb.names
		else
			echo "$1: gdb left out, it cannot run programs here"
		fi
	fi
}

# variants LANGUAGE SOURCE COMPILER…: the compiler makes an executable of the source.
variants() {
	language=$1 source=$2
	shift 2
	for optimize in O0 O2; do
		"$@" "-$optimize" -o "$language-$optimize" "$source" >compile.out 2>&1 ||
			{ fail "$language $optimize: $(head -5 compile.out)"; continue; }
		check "$language $optimize" "./$language-$optimize" "$source"
	done
	mkdir -p stripped
	objcopy --only-keep-debug "$language-O2" "stripped/$language.debug"
	objcopy --strip-all --add-gnu-debuglink="stripped/$language.debug" "$language-O2" \
		"stripped/$language"
	check "$language O2 stripped" "stripped/$language" "$source"
}

# shellcheck disable=SC2317 # called by variants
rust() { # -O0|-O2 -o PROGRAM SOURCE
	rustc -g -C opt-level="${1#-O}" "$2" "$3" "$4"
}

sources=$top/tests/programs
variants C "$sources/symbols_c.c" gcc -g -D_GNU_SOURCE -fno-builtin
if command -v g++ >/dev/null 2>&1; then
	variants C++ "$sources/symbols_cxx.cc" g++ -g -std=gnu++17 -pthread
else
	echo "C++ left out: g++ is not installed"
fi
# HOME is the test's; rustup's toolchains are in the user's.
home=$(eval echo "~$(id -un)")
PATH=$PATH:$home/.cargo/bin
[ -d "$home/.rustup" ] && export RUSTUP_HOME="$home/.rustup"
if rustc --version >/dev/null 2>&1; then
	variants Rust "$sources/symbols_rust.rs" rust
else
	echo "Rust left out: rustc is not installed"
fi

# The same program again: the same places, and nothing left to look up.
frames=$(query "SELECT count(*) FROM frames")
record ./C-O0
is "frames after a second run" "$(query "SELECT count(*) FROM frames")" "$frames"
is "frames without an answer" "$(query "SELECT count(*) FROM frames WHERE symbol_state = 'pending'")" 0

# A program that is another file by the time it ends.
cp C-O2 replaced
cat >replace.sh <<EOT
./replaced
cp "$(command -v cp)" replaced
EOT
record sh replace.sh
"$B/heaptaped" --symbols "$HEAPTAPE_DB" 0 >/dev/null || fail "symbols of a replaced program"
is "names of a replaced program" "$(query "SELECT count(function) FROM frames JOIN modules
	USING (module_id) WHERE path LIKE '%/replaced' AND build_id =
	(SELECT build_id FROM modules WHERE path LIKE '%/C-O2')")" 0
query "SELECT text FROM notes" >notes
has "a note about it" notes "replaced: the file was replaced since it ran"
pass
