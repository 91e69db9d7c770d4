#!/bin/sh
# Builds and runs every test, two at a time, and ends with 'N passed, N failed'.
#
#   tests/run.sh            what `make check` runs: unit, end-to-end, sanitised, fuzz smoke
#   tests/run.sh programs   the long tests on large real programs
#   tests/run.sh NAME…      only the tests whose name contains one of these, and only what they need is
#                           built. 'debug', 'sanitized', 'thread', 'fuzz', alone or before a NAME
#                           ('debug alloc'), chooses among those; else the plain build is tested.
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
		# Two thousand deaths take their time.
		case $script in
		*/heavy_death.sh) may_take=3600 ;;
		*) may_take=$limit ;;
		esac
		[ -e "$script" ] && job "$variant $script" "$may_take" "HT_BUILD=$folder sh $script"
	done
}

selection=${1:-}
limit=400
if [ "$selection" = programs ]; then
	limit=1800
	e2e_jobs plain build tests/e2e/heavy_*.sh
else
	unit_jobs plain build
	e2e_jobs plain build tests/e2e/*.sh
	unit_jobs debug build-debug
	e2e_jobs debug build-debug tests/e2e/alloc*.sh tests/e2e/history*.sh tests/e2e/thread*.sh \
		tests/e2e/process*.sh
	unit_jobs sanitized build-san
	e2e_jobs sanitized build-san tests/e2e/history*.sh tests/e2e/cli*.sh tests/e2e/fault*.sh
	# The order of memory between threads and, in the daemon, whatever should ever become one. Not
	# where other threads' stacks are read on purpose, nor where address space is short.
	for test in shim/test_span shim/test_link shim/test_batch shim/test_record \
		test_daemon_process test_daemon_totals test_store test_recorder; do
		job "thread tests/unit/$test" 240 "build-san-thread/tests/unit/$test"
	done
	e2e_jobs thread build-san-thread tests/e2e/fault_peers.sh tests/e2e/fault_kill.sh \
		tests/e2e/threads.sh tests/e2e/threads_many.sh tests/e2e/processes.sh tests/e2e/server.sh
	if command -v clang >/dev/null 2>&1; then
		for source in tests/fuzz/fuzz_*.c; do
			[ -e "$source" ] || continue
			name=$(basename "$source" .c)
			job "fuzz $name" 300 "sh tests/fuzz/run.sh ${name#fuzz_}"
		done
	fi
fi

# Names on the command line choose among the jobs.
if [ -n "$selection" ] && [ "$selection" != programs ]; then
	for word in "$@"; do
		variant=${word%% *}
		case $variant in
		plain | debug | sanitized | thread | fuzz) ;;
		fuzz_*) variant=fuzz ;;
		*) variant=plain ;;
		esac
		grep "^$variant " "$work/jobs" | grep -F -e "${word#"$variant "}"
	done | sort -u >"$work/chosen"
	mv "$work/chosen" "$work/jobs"
fi

# needs VARIANT FOLDER: what the chosen jobs of the variant run: single unit tests, or everything
# an end-to-end test may start.
needs() {
	if [ -z "$selection" ] && [ "$1" != fuzz ]; then
		echo all unit programs
	else
		cut -f1 "$work/jobs" | sed -n "s|^$1 tests/e2e/.*|all programs|p
			s|^$1 \(tests/unit/.*\)|$2/\1|p; s|^$1 \(fuzz_.*\)|$2/tests/fuzz/\1|p" | sort -u
	fi
}

# build VARIANT FOLDER FLAGS…: a failed build is a failed test.
build() {
	variant=$1 targets=$(needs "$1" "$2")
	shift 2
	grep -q "^$variant " "$work/jobs" || return 0
	# shellcheck disable=SC2086 # a list of targets
	if "$MAKE" --no-print-directory -j2 -k DEBUG= SANITIZE= FUZZ= "$@" $targets >"$work/build.log" 2>&1; then
		echo passed >>"$work/results"
		echo "ok      build $variant"
	else
		echo failed >>"$work/results"
		echo "FAILED  build $variant"
		grep -E '(error|warning): |undefined reference|\*\*\* ' "$work/build.log" | head -20 |
			cut -c1-200 | sed 's/^/        /'
	fi
}

build plain build
build debug build-debug DEBUG=1
build sanitized build-san SANITIZE=address,undefined
build thread build-san-thread SANITIZE=thread
build fuzz build-fuzz FUZZ=1
if [ -x build-san-thread/heaptaped ] && ! build-san-thread/heaptaped --help >/dev/null 2>&1; then
	# The sanitiser does not run on this machine.
	sed -i '/^thread /d' "$work/jobs"
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
if [ ! -s "$work/jobs" ]; then
	echo failed >>"$work/results"
	echo "FAILED  no test has such a name: $*"
fi
count=$(wc -l <"$work/jobs")
seq "$count" | WORK=$work HT_SCALE=${HT_SCALE:-1} xargs -r -P "${JOBS:-2}" -n 1 sh "$work/one.sh"

tally() { grep -c "^$1\$" "$work/results"; }
skipped=$(tally skipped)
failed=$(tally failed)
echo "$(($(date +%s) - started)) seconds, $skipped skipped"
echo "$(tally passed) passed, $failed failed"
[ "$failed" = 0 ]
