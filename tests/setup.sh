#!/bin/sh
# Installs what heaptape needs from Debian: as root or with sudo by itself, otherwise it prints the
# one line to run. `setup.sh` checks everything for build and tests; `setup.sh build` only what
# building needs, `setup.sh programs` also the large programs that are recorded, `setup.sh bench`
# also what measuring needs, `setup.sh tools` what formats and lints.
set -eu

# Package and what it is for, one a line. This is the only list.
packages='
build gcc
build g++
build libc6-dev
build binutils
build protobuf-c-compiler
build libprotobuf-c-dev
build libevent-dev
build libsqlite3-dev
build libzstd-dev
build zlib1g-dev
build libdw-dev
build libelf-dev
build libncurses-dev
build libedit-dev
check libcmocka-dev
check protobuf-compiler
check clang
check libclang-rt-dev
check sqlite3
check python3
check libpython3.11-testsuite
check perl
check gdb
check dwz
check jq
check git
check redis-server
check redis-tools
check procps
check libjemalloc-dev
programs nodejs
programs util-linux
programs nginx-light
programs postgresql
programs ruby
programs php-cli
programs lua5.4
programs guile-3.0
programs emacs-nox
programs vim
programs valgrind
programs memcached
programs cargo
programs erlang-base
programs mariadb-server
programs imagemagick
programs chromium
tools shellcheck
tools clang-format
tools clang-tidy
bench nodejs
bench heaptrack
bench time
'

case ${1:-check} in
build) groups='build' ;;
check) groups='build check' ;;
programs) groups='build check programs' ;;
bench) groups='build check bench' ;;
tools) groups='build tools' ;;
*) echo "usage: setup.sh [build|check|programs|bench|tools]" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null 2>&1; then
	echo "setup: not a Debian system; install what tests/setup.sh lists, then use make all" >&2
	exit 0
fi

missing=
for group in $groups; do
	for package in $(printf '%s' "$packages" | sed -n "s/^$group //p"); do
		state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
		[ "$state" = installed ] || missing="$missing $package"
	done
done
[ -n "$missing" ] || exit 0

line="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
	sudo=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
	sudo='sudo -n'
else
	echo "setup: packages are missing. As root, run:" >&2
	echo "  $line" >&2
	exit 1
fi

echo "setup: installing$missing" >&2
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# $sudo and $line are lists of words.
# shellcheck disable=SC2086
# Another installation may hold the lock for a while.
install() { $sudo env DEBIAN_FRONTEND=noninteractive $line -o DPkg::Lock::Timeout=300 >"$log" 2>&1 </dev/null; }
# The package lists may be absent or too old: then they are fetched, once.
if ! install && ! { $sudo apt-get update >"$log" 2>&1 </dev/null && install; }; then
	tail -5 "$log" >&2
	echo "setup: could not install the packages. As root, try:" >&2
	echo "  apt-get update && $line" >&2
	exit 1
fi
