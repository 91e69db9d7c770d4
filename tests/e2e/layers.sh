#!/bin/sh
# Includes run downward only: the floors are those of tests/layers. Inside a folder, at most four units
# (a unit is a .c with its .h) may include one another in a circle.
. "$(dirname "$0")/lib.sh"

# check FOLDER: what is wrong with the includes below it, a line each.
check() {
	(cd "$1" && grep -rHoE '^#include "[^"]+"' --include='*.[ch]' --include='*.S' \
		proto shim daemon viewer | awk -v most=4 -v layers="$top/tests/layers" '
	function folder(path) { sub("/[^/]*$", "", path); return path }
	function unit(path) { sub("\\.[^./]*$", "", path); return path }
	BEGIN {
		while ((getline line < layers) > 0) {
			if (line ~ /^#/) continue
			n = split(line, at, " ")
			for (i = 1; i <= n; i++) {
				known[at[i]] = 1
				below[at[i], "proto"] = 1
				for (j = 1; j <= i; j++) below[at[i], at[j]] = 1
			}
		}
	}
	{
		split($0, part, ":")
		from = part[1]
		to = part[2]
		sub(/^#include "/, "", to); sub(/"$/, "", to)
		if (to !~ "/") to = folder(from) "/" to
		f = folder(from); t = folder(to)
		if (!known[f] && !told[f]++) print f ": not in tests/layers"
		# main.c stands above the floors of its part.
		if (from ~ "/main\\.c$" && substr(t, 1, length(f)) == f) next
		if (!((f, t) in below)) print from " includes " to ", which is not below it"
		if (f == t && unit(from) != unit(to) && !((unit(from), unit(to)) in reach)) {
			reach[unit(from), unit(to)] = 1
			member[f, ++members[f]] = unit(from)
			member[f, ++members[f]] = unit(to)
		}
	}
	END {
		for (f in members) {
			n = 0
			split("", seen); split("", u)
			for (i = 1; i <= members[f]; i++)
				if (!seen[member[f, i]]++) u[++n] = member[f, i]
			for (k = 1; k <= n; k++)
				for (i = 1; i <= n; i++)
					if ((u[i], u[k]) in reach)
						for (j = 1; j <= n; j++)
							if ((u[k], u[j]) in reach) reach[u[i], u[j]] = 1
			split("", seen)
			for (i = 1; i <= n; i++) {
				if (seen[u[i]]) continue
				circle = u[i]; count = 1
				for (j = 1; j <= n; j++)
					if (j != i && (u[i], u[j]) in reach && (u[j], u[i]) in reach) {
						circle = circle " " u[j]; count++; seen[u[j]] = 1
					}
				if (count > most) print f ": a circle of " count " units: " circle
			}
		}
	}')
}

is "includes" "$(check "$top")" ""

# It notices an upward include, a circle of five, and a folder that nobody put into the table.
mkdir -p copy/proto copy/shim/alloc copy/shim/new copy/daemon copy/viewer
echo '#include "shim/alloc/b.h"' >copy/shim/a.h
echo '#include "shim/a.h"' >copy/shim/new/n.c
for i in 1 2 3 4 5; do
	echo "#include \"daemon/u$((i % 5 + 1)).h\"" >copy/daemon/u$i.h
done
is "what it notices" "$(check copy | sed 's/: daemon.*//' | sort)" "\
daemon: a circle of 5 units
shim/a.h includes shim/alloc/b.h, which is not below it
shim/new/n.c includes shim/a.h, which is not below it
shim/new: not in tests/layers"
pass
