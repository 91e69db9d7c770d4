#!/bin/sh
# jq on 100 MB.
. "$(dirname "$0")/lib.sh"
need jq awk
awk 'BEGIN {
	printf "["
	for (i = 0; i < 950000; i++)
		printf "%s{\"id\":%d,\"name\":\"name number %d\",\"tags\":[\"a%d\",\"b%d\",\"c\"],\"in\":{\"x\":%d.5,\"y\":null,\"z\":\"%d\"}}\n",
			i ? "," : "", i, i * 7919 % 100003, i % 97, i % 31, i, i * 31
	print "]"
}' >in.json
identical jq -c 'map(select(.id % 5 == 0) | {id, name, n: (.tags | length)}) | group_by(.name) | map(length) | add' in.json
pass
