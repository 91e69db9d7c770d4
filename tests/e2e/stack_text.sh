#!/bin/sh
# A stack as text is the same wherever it is read: the view (in a client that can load nothing), the
# function, the folded export. Over programs with inlined functions, without symbols, in C++ and
# Rust, with code made at run time, and with names that hold a semicolon.
. "$(dirname "$0")/lib.sh"
need gcc strip awk sqlite3

# The export has files' names without their folders.
cat >bare.awk <<'EOT'
{
	count = $0
	sub(/.* /, "", count)
	sub(/ [0-9]+$/, "")
	n = split($0, parts, ";")
	text = ""
	for (i = 1; i <= n; i++) {
		if (parts[i] ~ /^\/.*\+0x[0-9a-f]+$/)
			sub(/.*\//, "", parts[i])
		text = text (i > 1 ? ";" : "") parts[i]
	}
	sum[text] += count
}
END { for (text in sum) print text, sum[text] }
EOT

check() { # what program arguments…
	what=$1
	shift
	rm -f "$HEAPTAPE_DB"*
	record "$@"
	is "$what: status" "$status" 0
	"$B/heaptaped" --symbols "$HEAPTAPE_DB" 0 >/dev/null || fail "$what: symbols"
	sqlite3 heaptape.db "SELECT stack_id, text FROM stack_text WHERE stack_id IN
		(SELECT stack_id FROM stack_totals) ORDER BY stack_id" >view
	[ -s view ] || fail "$what: no stacks"
	sqlite3 heaptape.db ".load $B/heaptape_sqlite" "SELECT stack_id, stack_text(stack_id)
		FROM (SELECT DISTINCT stack_id FROM stack_totals) WHERE stack_id > 0 ORDER BY stack_id" >function
	same "$what: the view" view function
	is "$what: innermost frames" "$(query "SELECT count(*) FROM (SELECT text,
		stack_text(stack_id, 2) AS inner FROM stack_text
		WHERE stack_id IN (SELECT stack_id FROM stack_totals)) WHERE inner <> text
		AND substr(text, -length(inner) - 1) <> ';' || inner")" 0
	# As many functions as there are rows for the stack's places.
	is "$what: functions" "$(query "WITH RECURSIVE walk(stack_id, at, frame_id) AS (
		SELECT stack_id, parent_stack_id, frame_id FROM stacks
		WHERE stack_id IN (SELECT stack_id FROM stack_totals) UNION ALL
		SELECT w.stack_id, s.parent_stack_id, s.frame_id FROM walk w JOIN stacks s ON s.stack_id = w.at),
		counts AS (SELECT stack_id, count(*) AS functions FROM walk JOIN frames p USING (frame_id)
		JOIN frames f ON f.module_id = p.module_id AND f.offset = p.offset GROUP BY stack_id)
		SELECT stack_id, functions, text FROM counts JOIN stack_text USING (stack_id)
		WHERE length(text) - length(replace(text, ';', '')) + 1 <> functions")" ""
	sqlite3 heaptape.db "SELECT text || ' ' || allocations FROM stack_totals JOIN stack_text
		USING (stack_id) WHERE allocations > 0" |
		awk -f bare.awk | sort >want
	"$heaptape" export --format folded --of count -o folded || fail "$what: export: $?"
	sort folded >got
	same "$what: folded" got want
}

sources=$top/tests/programs
gcc -g -O2 -D_GNU_SOURCE -fno-builtin -o inlined "$sources/symbols_c.c" || die "gcc: $?"
check "inlined" ./inlined
cp inlined nameless
strip nameless
check "without symbols" ./nameless
has "a place without a name" view '/nameless+0x[0-9a-f]'
if command -v g++ >/dev/null 2>&1; then
	g++ -g -O2 -std=gnu++17 -pthread -o cxx "$sources/symbols_cxx.cc" || die "g++: $?"
	check "C++" ./cxx
fi
check "a program as Debian ships it" sqlite3 :memory: 'SELECT count(*) FROM sqlite_schema'
if [ "$(uname -m)" = x86_64 ]; then
	check "made at run time" "$programs/symbols_jit"
	rm -f "$(cat out)"
fi

# HOME is the test's; rustup's toolchains are in the user's.
home=$(eval echo "~$(id -un)")
PATH=$PATH:$home/.cargo/bin
[ -d "$home/.rustup" ] && export RUSTUP_HOME="$home/.rustup"
if rustc --version >/dev/null 2>&1; then
	cat >arrays.rs <<-'EOT'
		trait Keep {
		    fn keep(&self) -> Vec<u8>;
		}
		impl Keep for [u16; 4] {
		    #[inline(never)]
		    fn keep(&self) -> Vec<u8> {
		        Vec::with_capacity(self.len() * 1000)
		    }
		}
		fn main() {
		    std::mem::forget([1u16; 4].keep());
		}
	EOT
	rustc -g -C symbol-mangling-version=v0 -o arrays arrays.rs 2>compile.err || die "$(cat compile.err)"
	check "Rust" ./arrays
	is "the name itself" "$(query "SELECT count(*) > 0 FROM frames WHERE function LIKE '%[u16; 4]%'")" 1
	has "a semicolon in a name" view '\[u16: 4\]'
fi
pass
