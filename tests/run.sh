#!/bin/sh
# Builds and runs every test, two at a time, and ends with 'N passed, N failed'.
#
#   tests/run.sh            what `make check` runs: unit, end-to-end, sanitised, fuzz smoke
#   tests/run.sh programs   the long tests on large real programs
#   tests/run.sh NAME…      only the tests whose name contains one of these
set -u
cd "$(dirname "$0")/.." || exit 1
MAKE=${MAKE:-make}
started=$(date +%s)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
: >"$work/jobs"

# One job: name, seconds it may take, command.
job() { printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$work/jobs"; }

# build VARIANT FLAGS…: a failed build is a failed test.
build() {
	variant=$1
	shift
	if "$MAKE" --no-print-directory -j2 -k DEBUG= SANITIZE= "$@" all unit programs >"$work/build.log" 2>&1; then
		echo passed >>"$work/results"
		echo "ok      build $variant"
	else
		echo failed >>"$work/results"
		echo "FAILED  build $variant"
		grep -E '(error|warning): |undefined reference|\*\*\* ' "$work/build.log" | head -20 |
			cut -c1-200 | sed 's/^/        /'
	fi
}

unit_jobs() { # variant folder
	for source in tests/unit/*.c tests/unit/shim/*.c; do
		[ -e "$source" ] || continue
		binary=${source%.c}
		job "$1 $binary" 120 "$2/$binary"
	done
}

e2e_jobs() { # variant folder scripts…
	variant=$1 folder=$2
	shift 2
	for script in "$@"; do
		case $script in
		*/lib.sh) continue ;;
		*/heavy_*) [ "$selection" = programs ] || continue ;;
		esac
		[ -e "$script" ] && job "$variant $script" "$limit" "HT_BUILD=$folder sh $script"
	done
}

selection=${1:-}
limit=400
if [ "$selection" = programs ]; then
	limit=1800
	build plain
	e2e_jobs plain build tests/e2e/heavy_*.sh
else
	build plain
	unit_jobs plain build
	e2e_jobs plain build tests/e2e/*.sh
	build debug DEBUG=1
	unit_jobs debug build-debug
	e2e_jobs debug build-debug tests/e2e/alloc*.sh tests/e2e/history*.sh tests/e2e/thread*.sh \
		tests/e2e/process*.sh
	build sanitized SANITIZE=address,undefined
	unit_jobs sanitized build-san
	e2e_jobs sanitized build-san tests/e2e/history*.sh tests/e2e/cli*.sh tests/e2e/fault*.sh
	# The order of memory between threads and, in the daemon, whatever should ever become one. Not
	# where other threads' stacks are read on purpose, nor where address space is short.
	build thread SANITIZE=thread
	if build-san-thread/heaptaped --help >/dev/null 2>&1; then
		for test in shim/test_span shim/test_link shim/test_batch shim/test_record \
			test_daemon_process test_daemon_totals test_store test_recorder; do
			job "thread tests/unit/$test" 240 "build-san-thread/tests/unit/$test"
		done
		e2e_jobs thread build-san-thread tests/e2e/fault_peers.sh tests/e2e/fault_kill.sh \
			tests/e2e/threads.sh tests/e2e/threads_many.sh
	fi
	if command -v clang >/dev/null 2>&1; then
		for source in tests/fuzz/fuzz_*.c; do
			[ -e "$source" ] || continue
			name=$(basename "$source" .c)
			job "fuzz $name" 300 "sh tests/fuzz/run.sh ${name#fuzz_}"
		done
		if ls tests/fuzz/fuzz_*.c >/dev/null 2>&1 &&
			! "$MAKE" --no-print-directory -j2 FUZZ=1 fuzzers >"$work/build.log" 2>&1; then
			echo failed >>"$work/results"
			echo "FAILED  build fuzz"
			tail -20 "$work/build.log" | sed 's/^/        /'
		fi
	fi
fi

# Names on the command line choose among the jobs.
if [ -n "$selection" ] && [ "$selection" != programs ]; then
	for word in "$@"; do
		grep -F -e "$word" "$work/jobs"
	done | sort -u >"$work/chosen"
	mv "$work/chosen" "$work/jobs"
fi

cat >"$work/one.sh" <<'ONE'
name=$(sed -n "$1p" "$WORK/jobs" | cut -f1)
limit=$(sed -n "$1p" "$WORK/jobs" | cut -f2)
command=$(sed -n "$1p" "$WORK/jobs" | cut -f3)
from=$(date +%s)
timeout -k 10 "$limit" sh -c "$command" >"$WORK/$1.log" 2>&1 </dev/null
status=$?
took=$(($(date +%s) - from))
case $status in
0) word='ok     ' result=passed ;;
77) word=skipped result=skipped ;;
124 | 137) word='TIMEOUT' result=failed ;;
*) word='FAILED ' result=failed ;;
esac
echo $result >>"$WORK/results"
{
	echo "$word $name (${took} s)"
	case $result in
	failed) tail -40 "$WORK/$1.log" | sed 's/^/        /' ;;
	skipped) tail -1 "$WORK/$1.log" | sed 's/^/        /' ;;
	esac
} >"$WORK/$1.out"
cat "$WORK/$1.out"
ONE
count=$(wc -l <"$work/jobs")
seq "$count" | WORK=$work HT_SCALE=${HT_SCALE:-1} xargs -P "${JOBS:-2}" -n 1 sh "$work/one.sh"

tally() { grep -c "^$1\$" "$work/results"; }
skipped=$(tally skipped)
failed=$(tally failed)
echo "$(($(date +%s) - started)) seconds, $skipped skipped"
echo "$(tally passed) passed, $failed failed"
[ "$failed" = 0 ]
