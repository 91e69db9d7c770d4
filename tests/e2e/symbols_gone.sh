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

# Programs that end at once: when the daemon hears of the file, neither file nor program is there.
cat >brief.c <<'EOT'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <limits.h>

static int copy(const char *from, int to)
{
	char buffer[65536];
	ssize_t got;
	int in = open(from, O_RDONLY);

	while ((got = read(in, buffer, sizeof(buffer))) > 0)
		if (write(to, buffer, (size_t)got) != got)
			exit(9);
	close(in);
	close(to);
	return to;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	char path[PATH_MAX] = "", folder[PATH_MAX];
	void *plugin, *(*entry)(size_t);
	struct rlimit limit;
	int fd;

	(void)!getcwd(folder, sizeof(folder));
	snprintf(path, sizeof(path), "%s/brief-%s.so", folder, mode);
	if (!strcmp(mode, "memfd")) {
		fd = memfd_create("brief", 0);
		copy(argv[2], dup(fd));
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	} else {
		copy(argv[2], open(path, O_WRONLY | O_CREAT | O_EXCL, 0755));
	}
	if (!strcmp(mode, "relative"))
		strcpy(path, "./brief-relative.so");
	if (!strcmp(mode, "crowded")) { /* but for the one that dlopen needs */
		getrlimit(RLIMIT_NOFILE, &limit);
		limit.rlim_cur = 64;
		setrlimit(RLIMIT_NOFILE, &limit);
		while ((fd = dup(0)) >= 0)
			;
		close(63);
	}
	errno = 77;
	plugin = dlopen(path, RTLD_NOW);
	if (!plugin || errno != 77) {
		printf("%s, errno %d\n", plugin ? "loaded" : dlerror(), errno);
		return 1;
	}
	fd = dup(0);
	printf("next descriptor: %d\n", fd);
	if (!strcmp(mode, "memfd")) { /* what has its number now is another file */
		close(fd);
		close(fd - 1);
		printf("%d\n", open("/dev/null", O_RDONLY));
	}
	if (!strcmp(mode, "replaced")) {
		unlink(path);
		copy(argv[0], open(path, O_WRONLY | O_CREAT | O_EXCL, 0755));
	} else if (strcmp(mode, "exit")) {
		unlink(path);
	}
	if (!strcmp(mode, "relative"))
		(void)!chdir("/");
	entry = (void *(*)(size_t))dlsym(plugin, "plugin_entry");
	for (int i = 0; i < 7; i++)
		if (!entry((size_t)i + 1000))
			return 2;
	if (!strcmp(mode, "itself"))
		unlink(argv[0]);
	if (!strcmp(mode, "exit") || !strcmp(mode, "replaced"))
		unlink(path);
	_exit(0);
}
EOT
gcc -g -o brief brief.c || die "gcc"
gcc -g -O1 -shared -fPIC -Wl,--build-id=none -o nameless.so plugin.c || die "gcc"
for mode in deleted exit memfd relative replaced crowded itself; do
	for plugin in replaced nameless; do
		cp brief it
		./it $mode "$T/$plugin.so" >plain.out 2>&1
		is "$mode: status alone" $? 0
		cp brief it
		record ./it $mode "$T/$plugin.so"
		is "$mode: status" "$status" 0
		# The next descriptor tells whether one was left open.
		same "$mode: output" out plain.out
		is "$mode: names" "$(query "SELECT count(*) FROM stack_text JOIN hot_sites USING (stack_id)
			WHERE run_id = $last_run AND allocations = 7
			AND text LIKE '%main;plugin_entry;inner_memory'")" 1
	done
done
pass
