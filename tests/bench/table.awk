# The table of `make bench`, from samples of one line per measured run:
#   load way threads wall_ns memory_bytes events stored_bytes lost after_ns
# Medians over the runs; ratios and differences against the way "none" of the same load.
function median(text,  list, n, i, k, t) {
	n = split(text, list, " ")
	if (!n) return "-"
	for (i = 2; i <= n; i++) {
		t = list[i] + 0
		for (k = i - 1; k > 0 && list[k] + 0 > t; k--) list[k + 1] = list[k]
		list[k + 1] = t
	}
	return n % 2 ? list[(n + 1) / 2] + 0 : (list[n / 2] + list[n / 2 + 1]) / 2
}
$1 == "#" { next }
{
	if (!($1 in seen)) { seen[$1] = 1; loads[++count] = $1; threads[$1] = $3 }
	key = $1 SUBSEP $2
	runs[key]++
	wall[key] = wall[key] " " $4
	memory[key] = memory[key] " " $5
	events[key] = events[key] " " $6
	stored[key] = stored[key] " " $7
	lost[key] = lost[key] " " $8
	after[key] = after[key] " " $9
	if ($6 > 0 && $2 == "record") known[$1] = $6
}
END {
	ways = split("none off record stacks heaptrack", way, " ")
	title["none"] = "glibc, no tracing"
	title["off"] = "heaptape, recording off"
	title["record"] = "heaptape, no stacks"
	title["stacks"] = "heaptape, stacks"
	title["heaptrack"] = "heaptrack"
	printf "%-9s %-24s %8s %7s %9s %7s %8s %7s %8s\n", "load", "way", "wall s", "ratio", "+ns/event",
		"memory", "B/event", "lost", "after s"
	for (i = 1; i <= count; i++) {
		load = loads[i]
		base = median(wall[load, "none"])
		base_memory = median(memory[load, "none"])
		for (w = 1; w <= ways; w++) {
			key = load SUBSEP way[w]
			if (!runs[key]) continue
			m = median(wall[key])
			n = median(events[key])
			if (n <= 0) n = known[load]
			ratio = base > 0 ? sprintf("%.3f", m / base) : "-"
			added = n > 0 && base > 0 && way[w] != "none" ? \
				sprintf("%+.1f", (m - base) * threads[load] / n) : "-"
			each = median(stored[key]) > 0 && n > 0 ? sprintf("%.2f", median(stored[key]) / n) : "-"
			gone = median(lost[key]) >= 0 ? sprintf("%d", median(lost[key])) : "-"
			rest = median(after[key]) >= 0 ? sprintf("%.2f", median(after[key]) / 1e9) : "-"
			printf "%-9s %-24s %8.3f %7s %9s %7.2f %8s %7s %8s\n",
				(way[w] == "none" ? load : ""), title[way[w]], m / 1e9, ratio, added,
				(base_memory ? median(memory[key]) / base_memory : 0), each, gone, rest
		}
		if (known[load] > 0) printf "%-9s %.2f million events\n", "", known[load] / 1e6
	}
	print ""
	print "wall s, ratio: the program alone, and against glibc without tracing. +ns/event: added time for"
	print "each malloc, calloc, realloc, memalign and free of a thread. memory: peak resident, as a ratio."
	print "B/event: file size over those events. after s: from the program's end to the printed summary"
	print "(heaptrack: to heaptrack_print's). Medians; the ways take turns."
}
