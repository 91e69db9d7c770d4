#!/bin/sh
# Every function of malloc's family does what C23, POSIX and glibc's manual say: under the shim,
# recorded or not, and what glibc keeps of it under glibc too.
. "$(dirname "$0")/lib.sh"
need python3

# conforms WHERE: out holds the program's verdict.
conforms() {
	is "$1: status" "$status" 0
	is "$1" "$(grep -v -E '^[0-9]+ ok, 0 failed$' out | head -20)" ''
	has "$1: ran" out '^[0-9]\{5\} ok'
}

# well_formed WHAT: info.xml is XML, and its numbers fit one another.
well_formed() {
	python3 - info.xml <<'CODE' >xml 2>&1 || fail "$1: malloc_info: $(tail -1 xml)"
import sys
from xml.etree import ElementTree
root = ElementTree.parse(sys.argv[1]).getroot()
assert root.tag == "malloc" and root.get("version") == "1", root.tag
heap = root.find("heap")
for part in heap, root:
    current = int(part.find("system[@type='current']").get("size"))
    rest = int(part.find("total[@type='rest']").get("size"))
    assert 0 < rest < current <= int(part.find("system[@type='max']").get("size")), (rest, current)
for size in heap.find("sizes"):
    low, high, total, count = (int(size.get(name)) for name in ("from", "to", "total", "count"))
    assert low <= high and total == count * high, size.attrib
assert sum(int(size.get("total")) for size in heap.find("sizes")) <= rest
CODE
}

status=0
"$programs/conformance" plain >out || status=$?
conforms "under glibc"

status=0
LD_PRELOAD=$B/libheaptape.so "$programs/conformance" >out 2>err || status=$?
conforms "not recorded"
LD_PRELOAD=$B/libheaptape.so "$programs/conformance" info >info.xml
well_formed "not recorded"

record "$programs/conformance"
conforms "recorded"
recorded_whole
record "$programs/conformance" info
cp out info.xml
well_formed "recorded"
pass
