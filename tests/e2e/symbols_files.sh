#!/bin/sh
# Names and lines from wherever they are kept: every form of debug information a compiler or a
# distribution leaves, the symbol tables of files that have none, a debuginfod server, perf's map of
# code made at run time. (Names and lines themselves: symbols.sh.)
. "$(dirname "$0")/lib.sh"
need gcc objcopy strip awk readelf

source=$top/tests/programs/symbols_c.c

# names PROGRAM: the program's frames in order of stacks, with lines where they are known.
names() {
	rm -f "$HEAPTAPE_DB"*
	record "$1"
	is "$1: status" "$status" 0
	"$B/heaptaped" --symbols "$HEAPTAPE_DB" 0 >/dev/null 2>symbols.err ||
		fail "$1: $(cat symbols.err)"
	query "WITH RECURSIVE walk(size, at, depth, frame_id) AS (
		SELECT a.size_bytes, s.parent_stack_id, 0, s.frame_id
		FROM allocations a JOIN stacks s USING (stack_id)
		WHERE a.size_bytes BETWEEN 100100 AND 100400
		UNION ALL
		SELECT w.size, s.parent_stack_id, w.depth + 1, s.frame_id
		FROM walk w JOIN stacks s ON s.stack_id = w.at)
	SELECT size, depth, f.inline_depth, coalesce(f.function, '?'), coalesce(f.line, 0),
	       f.symbol_state
	FROM walk JOIN frames p USING (frame_id)
	JOIN frames f ON f.module_id = p.module_id AND f.offset = p.offset
	JOIN modules m ON m.module_id = f.module_id WHERE m.path LIKE '%/$(basename "$1")'
	ORDER BY size, depth, f.inline_depth"
}

# build PROGRAM FLAGS…
build() {
	program=$1
	shift
	gcc -g -O2 -D_GNU_SOURCE -fno-builtin "$@" -o "$program" "$source" 2>compile.err ||
		fail "$*: $(head -3 compile.err)"
}

# like PROGRAM EXPECTED: what is known of it is what is known of `plain`.
like() {
	names "$1" >got
	same "$1" got "$2"
}

# named PROGRAM COUNT: how many of its frames have a name, none a line.
named() {
	names "$1" >got
	is "$1: lines" "$(awk -F, '$5 != 0' got | wc -l)" 0
	is "$1: names" "$(awk -F, '$4 != "?"' got | wc -l)" "$2"
}

build ./plain
names ./plain >plain.names
[ "$(awk -F, '$5 > 0' plain.names | wc -l)" -gt 20 ] || fail "few lines: $(cat plain.names)"
frames=$(awk -F, '!seen[$1 "," $2]++' plain.names | wc -l)

build ./compressed -gz
like ./compressed plain.names
build ./compressed-gnu -gz=zlib-gnu
like ./compressed-gnu plain.names
if objcopy --compress-debug-sections=zstd plain zstd 2>/dev/null; then
	like ./zstd plain.names
	objcopy --only-keep-debug zstd zstd-apart.debug
	objcopy --strip-all --add-gnu-debuglink=zstd-apart.debug zstd zstd-apart
	like ./zstd-apart plain.names
else
	echo "zstd left out: objcopy cannot"
fi
build ./dwarf4 -gdwarf-4
like ./dwarf4 plain.names
build ./split -gsplit-dwarf
like ./split plain.names
build ./split4 -gsplit-dwarf -gdwarf-4
like ./split4 plain.names
build ./fixed -no-pie -fno-pie
like ./fixed plain.names
build ./linked -flto
like ./linked plain.names

# What several files share, as Debian's packages of debug files do.
if command -v dwz >/dev/null 2>&1; then
	cp plain one
	cp compressed two
	objcopy --decompress-debug-sections two
	dwz -m shared.debug one two || fail "dwz: $?"
	like ./one plain.names
	objcopy --only-keep-debug one one.debug
	objcopy --strip-all --add-gnu-debuglink=one.debug one apart
	like ./apart plain.names
else
	echo "dwz left out: it is not installed"
fi

# Without debug information.
cp plain with-symtab
strip -g with-symtab
named ./with-symtab "$frames"
build ./with-dynsym -rdynamic
strip with-dynsym
names ./with-dynsym >got
awk -F, '$4 != "?" { print $4 }' got | sort -u >o
has "with .dynsym" o '^main$'
is ".dynsym: lines" "$(awk -F, '$5 != 0' got | wc -l)" 0
cp plain bare
strip bare
named ./bare 0
query "SELECT text FROM stack_text JOIN allocations USING (stack_id)
	WHERE size_bytes BETWEEN 100100 AND 100400" >o
has "module and offset" o '/bare+0x[0-9a-f]*'
if command -v xz >/dev/null 2>&1; then
	nm plain --format=posix --defined-only | awk '$2 ~ /[TtD]/ { print $1 }' >keep
	objcopy -S --keep-symbols=keep plain mini
	xz -c mini >mini.xz
	cp bare with-mini
	objcopy --add-section .gnu_debugdata=mini.xz with-mini
	named ./with-mini "$frames"
fi

# From a server, but only when the user named it.
library=$(ldconfig -p 2>/dev/null | grep -c 'libdebuginfod\.so\.1')
if command -v python3 >/dev/null 2>&1 && [ "$library" -gt 0 ]; then
	id=$(readelf -n plain | awk '/Build ID/ { print $3 }')
	mkdir -p "served/buildid/$id"
	objcopy --only-keep-debug plain "served/buildid/$id/debuginfo"
	: >port
	python3 -u -m http.server --bind 127.0.0.1 -d served 0 >port 2>requests &
	server=$!
	trap 'kill $server 2>/dev/null; finish' EXIT
	while ! grep -q port port; do
		kill -0 $server 2>/dev/null || die "no server: $(cat requests)"
		sleep 0.1
	done
	names ./bare >/dev/null
	is "requests without DEBUGINFOD_URLS" "$(wc -l <requests)" 0
	DEBUGINFOD_URLS=http://127.0.0.1:$(sed 's/.*port \([0-9]*\).*/\1/' port)
	DEBUGINFOD_CACHE_PATH=$T/cache
	export DEBUGINFOD_URLS DEBUGINFOD_CACHE_PATH
	like ./bare plain.names
	has "debuginfod" requests "GET /buildid/$id/debuginfo"
	unset DEBUGINFOD_URLS
fi

# Code made at run time: the stack ends there, but the map names it.
if [ "$(uname -m)" = x86_64 ]; then
	rm -f "$HEAPTAPE_DB"*
	record "$programs/symbols_jit"
	is "made at run time: status" "$status" 0
	"$B/heaptaped" --symbols "$HEAPTAPE_DB" 0 >/dev/null || fail "symbols"
	is "made at run time" "$(query "SELECT text FROM stack_text JOIN allocations
		USING (stack_id) WHERE size_bytes = 100300")" "made_at_run_time(int);allocate"
	is "cut stacks" "$(query "SELECT reason, stacks FROM stack_cuts")" "no row,1"
	rm -f "$(cat out)"
fi
pass
