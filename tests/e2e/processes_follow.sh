#!/bin/sh
# --follow: which further programs are recorded, and what each finds in its environment. A program
# that could not load the shim is not asked to, so that the dynamic linker has nothing to say.
. "$(dirname "$0")/lib.sh"

# names: programs recorded in the last run, in order; a shell's children by what they became.
names() {
	query "SELECT replace(replace(command, rtrim(command, replace(command, '/', '')), ''), ' ', '_')
		AS name FROM processes WHERE run_id = $last_run AND ending <> 'exec' AND unrecorded_reason IS NULL
		ORDER BY name" |
		tr '\n' ' '
}
cat >script <<'END'
env -i ./cleaned
./inherited
env >environment
exec ./became
END
for name in cleaned inherited became spawned; do
	ln -s "$programs/first" $name
done
for follow in exec all none; do
	run_options="--follow=$follow"
	record sh ./script
	is "$follow: status" "$status" 0
	is "$follow: errors" "$(grep -v '^heaptape: run\|^  ' err)" ""
	names >names.$follow
	grep -c '^LD_PRELOAD=\|^HEAPTAPE_[^D]' environment >variables.$follow
done
is "exec" "$(cat names.exec)" "became env inherited "
is "all" "$(cat names.all)" "became cleaned env inherited "
is "none" "$(cat names.none)" "became "
is "none: environment of children" "$(cat variables.none)" 0
[ "$(cat variables.exec)" -ge 4 ] || fail "exec: environment of children: $(cat environment)"

# What a program finds in its environment, it has from its caller, but for our variables.
run_options=
env >plain.out
record env
grep -v '^LD_PRELOAD=\|^HEAPTAPE_[^D]' out | sort >recorded.out
sort plain.out >expected.out
same "environment" recorded.out expected.out
recorded_whole

# posix_spawn and system with a cleaned environment of their own, or of the program's.
cat >spawn.py <<'END'
import os, subprocess
os.waitpid(os.posix_spawn('./spawned', ['spawned'], {'LD_PRELOAD': ''}), 0)
subprocess.run(['./cleaned'], env={'A': 'b'}, check=True)
os.environ.clear()
os.execv('./became', ['became'])
END
if [ -x /usr/bin/python3 ]; then
	run_options=--follow=all
	record /usr/bin/python3 spawn.py
	is "all: spawn" "$(names)" "became cleaned spawned "
	run_options=--follow=none
	record /usr/bin/python3 spawn.py
	is "none: spawn" "$(names)" ""
fi

# A program that has emptied its own environment: what it starts, in whatever way, is followed with
# `all` only; to the program nothing is different.
for number in 0 1 2 3 4 5 6 7 8 9; do
	ln -s /bin/true "bare$number"
done
run_options=--follow=all
identical "$programs/bare" ./bare
is "all: bare" "$(names | tr ' ' '\n' | sed -n 's/^bare\(.\)$/\1/p' | uniq -c | tr -s ' \n' ' ')" \
	" 1 0 1 1 1 2 20 3 20 4 20 5 1 6 1 7 1 8 1 9 "
is "all: bare: shells" "$(query "SELECT count(*) FROM processes WHERE run_id = $last_run AND command LIKE
	'sh -c %'")" 66
"$programs/bare" ./bare >plain.out
run_options=--follow=exec
record "$programs/bare" ./bare
is "exec: bare: status" "$status" 9
same "exec: bare: output" out plain.out
is "exec: bare" "$(names)" "bare "
is "exec: bare: not recorded" "$(query "SELECT state, count(*) AS shells_and_programs FROM runs
	JOIN processes USING (run_id) WHERE run_id = $last_run AND unrecorded_reason LIKE '%--follow%'")" \
	incomplete,69
run_options=--follow=none
identical "$programs/bare" ./bare
is "none: bare" "$(names)" "bare "

# Another C library's program (one that says it is), another processor's, another root.
run_options=
ln -s /lib64/ld-linux-x86-64.so.2 ld-musl-x86_64.so.1
echo 'int main(void) { extern char *getenv(const char *); return getenv("LD_PRELOAD") ? 1 : 5; }' >odd.c
if gcc -o odd odd.c -Wl,--dynamic-linker="$T/ld-musl-x86_64.so.1" 2>/dev/null && ./odd || [ $? = 5 ]; then
	record sh -c './odd'
	is "musl: status" "$status" 5
	record ./odd
	is "musl itself: status" "$status" 5
	has "musl itself" err 'musl.*without heaptape'
fi
if gcc -m32 -o odd odd.c 2>/dev/null && ./odd || [ $? = 5 ]; then
	./odd >plain.out
	record sh -c './odd; env ./odd'
	is "32 bits: messages" "$(grep -v '^heaptape: run\|^  ' err)" ""
	record ./odd
	is "32 bits itself: status" "$status" 5
	has "32 bits itself" err 'another kind of processor.*without heaptape'
fi
mkdir -p root/bin root/lib/x86_64-linux-gnu root/lib64
cp "$programs/first" root/bin
cp /lib64/ld-linux-x86-64.so.2 root/lib64
cp /lib/x86_64-linux-gnu/libc.so.6 root/lib/x86_64-linux-gnu
if chroot root /bin/first >/dev/null 2>&1; then
	record chroot root /bin/first
	is "chroot: status" "$status" 0
	is "chroot: messages" "$(grep -v '^heaptape: run\|^  ' err)" ""
	is "chroot" "$(query "SELECT command, ending, unrecorded_reason LIKE '%root folder%' FROM processes
		WHERE run_id = $last_run ORDER BY process_id" | tr '\n' ' ')" \
		"chroot root /bin/first,exec, /bin/first,exited,1 "
	is "chroot: state" "$(query "SELECT state FROM runs WHERE run_id = $last_run")" incomplete
	"$heaptape" report >o || fail "report"
	has "chroot: report" o 'first .*cannot be reached'
fi

code=0
"$heaptape" run --follow=some true 2>err || code=$?
is "wrong use" $code 2
has "wrong use" err "'all', 'exec' or 'none'"
pass
