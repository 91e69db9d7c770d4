#!/bin/sh
# Files that are deleted or replaced while they are mapped, or were never more than memory, lose none
# of their names; and a program has the name by which it was executed.
. "$(dirname "$0")/lib.sh"
need gcc mkfifo sqlite3

for name in deleted replaced memory; do
	cat >plugin.c <<-EOT
		#include <stdlib.h>
		__attribute__((noinline)) static void *inner_$name(size_t n) { void *volatile p = malloc(n); return p; }
		__attribute__((noinline)) void *plugin_entry(size_t n) { void *volatile p = inner_$name(n); return p; }
	EOT
	gcc -g -O1 -shared -fPIC -o $name.so plugin.c || die "gcc: $?"
done

# mapped PATTERN: returns when the daemon knows of such a module.
mapped() {
	until sqlite3 heaptape.db "SELECT path FROM modules" 2>/dev/null | grep -q "$1"; do
		kill -0 $recorder 2>/dev/null || die "the program has ended: $(cat out err)"
		sleep 0.1
	done
}

mkfifo words
ln -s "$programs/talker" called
"$heaptape" run -- ./called <words >out 2>err &
recorder=$!
exec 3>words
: >>out
for name in deleted replaced; do
	echo "load $T/$name.so" >&3
	mapped "$name"
done
rm deleted.so
mv memory.so replaced.so
echo "memory $T/replaced.so" >&3
mapped 'memfd\|/proc/'
exec 3>&-
wait $recorder
is "status" $? 0
"$B/heaptaped" --symbols "$HEAPTAPE_DB" 0 >/dev/null || fail "symbols"
for name in deleted replaced memory; do
	is "$name" "$(query "SELECT count(*) > 0 FROM stack_text WHERE text LIKE '%;plugin_entry;inner_$name'")" 1
done
is "notes" "$(query "SELECT text FROM notes")" ""
is "the program's name" "$(query "SELECT count(*) FROM modules WHERE path LIKE '%/called'")" 1
pass
