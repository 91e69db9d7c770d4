#!/bin/sh
# One source built in every way: the same function has the same key in each build, and the name that
# its programmer would call it by. HT_KEEP=1 leaves `keys` to look at.
. "$(dirname "$0")/lib.sh"

builds=0
# built LANGUAGE LOW HIGH COMPILER…: records ./program and notes "SIZE KEY" and "SIZE NAME" of its blocks'
# innermost functions in itself.
built() {
	language=$1 low=$2 high=$3
	shift 3
	"$@" -o program >compile.err 2>&1 || { fail "$*: $(grep -m 3 error compile.err)"; return; }
	record ./program
	is "$*: status" "$status" 0
	query "WITH RECURSIVE walk(size, at, depth, frame_id) AS (
		SELECT size_bytes, parent_stack_id, 0, frame_id FROM allocations JOIN stacks USING (stack_id)
		WHERE size_bytes BETWEEN $low AND $high AND run_id = $last_run
		UNION ALL
		SELECT size, s.parent_stack_id, walk.depth + 1, s.frame_id FROM walk JOIN stacks s ON s.stack_id = walk.at)
	SELECT size || ' ' || coalesce(i.name_key, i.function) || char(9) || size || ' ' || i.function,
		min(walk.depth * 100 + i.inline_depth) FROM walk
	JOIN frames f USING (frame_id) JOIN modules USING (module_id)
	JOIN frames i ON i.module_id = f.module_id AND i.offset = f.offset
	WHERE path LIKE '%/program' AND i.function NOT LIKE '%alloc%' AND i.function NOT LIKE 'names_rust::take'
		AND i.function NOT LIKE '%Vec<%' AND i.function NOT LIKE '%RawVec%' AND i.function NOT LIKE '%__r%_alloc%'
	GROUP BY size" | sed 's/,[0-9]*$//' | tr -d '"' >rows
	[ "$(wc -l <rows)" = "$expected" ] || fail "$*: $(wc -l <rows) functions, expected $expected"
	cut -f1 rows | sed "s|\$|	$*|" >>"$language.keys"
	cut -f2 rows >>"$language.names"
	rm -f program
	builds=$((builds + 1))
}

# one_key LANGUAGE: each size has one.
one_key() {
	cut -f1 "$1.keys" | sort -u | awk '{ count[$1]++; text[$1] = text[$1] "\n  " $0 }
		END { for (size in count) if (count[size] > 1) print "several keys:" text[size] }' >several
	[ ! -s several ] || fail "$1: $(cat several)"
}

expected=20
for compiler in g++ clang++; do
	command -v "$compiler" >/dev/null || continue
	for how in -O0 -O2 "-O2 -flto" "-O2 -fno-pie -no-pie"; do
		[ "$compiler$how" != "clang++-O2 -flto" ] || continue # needs a linker of its own
		for debug in "" -g; do
			# shellcheck disable=SC2086 # a list of options
			built cxx 300001 300020 "$compiler" -std=gnu++17 $how $debug "$top/tests/programs/names_cxx.cc"
		done
	done
done
one_key cxx
cat >want <<'EOT'
300001 plain()
300002 c_name
300003 local(int, int)
300004 shop::(anonymous namespace)::hidden(std::string const&)
300005 shop::(anonymous namespace)::Inner::method() const
300006 shop::Sessions::Sessions()
300007 shop::Sessions::~Sessions()
300008 shop::Sessions::login(std::string const&, std::map<std::string, int>) const
300009 shop::Sessions::operator<(shop::Sessions const&) const
300010 shop::Sessions::operator bool() const
300011 shop::Sessions::operator()(int)
300012 shop::Sessions::fixed(std::unique_ptr<int>)
300013 shop::Sessions::changing(std::function<void (int)>)
300014 shop::Box<std::string>::put(std::string)
300015 shop::Box<std::vector<std::string>>::get<long>(long) const
300016 shop::same<std::string>(std::string)
300017 shop::tagged()
300018 rare(int)
300019 main::{lambda(int)}
300020 main::{lambda(char)}
EOT
sort -u cxx.names >got
same "C++ names" got want

# Nothing changed from one build to another: neither with debug information, nor by the other compiler,
# nor in a program of another name.
g++ -std=gnu++17 -O2 -o old-build "$top/tests/programs/names_cxx.cc"
g++ -std=gnu++17 -O2 -g -o new-build "$top/tests/programs/names_cxx.cc"
clang++ -std=gnu++17 -O2 -o clang-build "$top/tests/programs/names_cxx.cc"
for program in old-build new-build clang-build; do
	"$heaptape" run -q --label $program -- ./$program
done
for program in new-build clang-build; do
	"$heaptape" diff old-build $program >o
	has "old-build and $program" o 'No call site changed'
done

expected=6
if command -v rustc >/dev/null; then
	for mangling in "" "-C symbol-mangling-version=v0"; do
		for how in "-C opt-level=0" "-C opt-level=2" "-C opt-level=2 -C lto"; do
			for debug in "" -g; do
				# shellcheck disable=SC2086
				built rust 400001 400006 rustc --edition 2018 $mangling \
					$how $debug "$top/tests/programs/names_rust.rs"
			done
		done
	done
	one_key rust
	cut -f1 rust.keys | sort -u >got
	cat >want <<'EOT'
400001 names_rust::shop::Sessions::login
400002 <names_rust::shop::Sessions as names_rust::shop::Count>::count
400003 names_rust::shop::Holder::get
400004 <names_rust::shop::Holder as names_rust::shop::Count>::count
400005 names_rust::shop::generic
400006 names_rust::main::{closure}
EOT
	same "Rust keys" got want
fi
[ "$builds" -ge 8 ] || fail "only $builds builds"
pass
