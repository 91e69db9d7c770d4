#!/bin/sh
# git log --stat over a long history.
. "$(dirname "$0")/lib.sh"
need git awk
git init -q repo
cd repo || exit 1
awk 'BEGIN {
	for (c = 1; c <= 4000; c++) {
		print "commit refs/heads/main\ncommitter a <a@b> " 1000000000 + c * 100 " +0000"
		message = "Change number " c
		print "data " length(message) "\n" message
		for (f = 0; f < 3; f++) {
			text = ""
			for (l = 0; l < 60; l++) text = text "line " l " of " (l % 7 == c % 7 ? c : l) "\n"
			print "M 644 inline folder" (c * 3 + f) % 20 "/file" (c + f * 7) % 50
			print "data " length(text) "\n" text
		}
	}
}' | git fast-import --quiet 2>/dev/null
identical git log --stat main
few_cut
[ "$(wc -l <out)" -gt 10000 ] || fail "a short history: $(head -3 err)"
identical git gc -q
few_cut
identical git log -p -M main -- folder3
few_cut
pass
