#!/bin/sh
# node runs a script.
. "$(dirname "$0")/lib.sh"
need node
cat >load.js <<'JS'
const zlib = require('zlib'), crypto = require('crypto');
let total = 0;
for (let turn = 0; turn < 40; turn++) {
	const list = Array.from({ length: 20000 }, (_, i) => ({ i, name: 'name ' + i * 7919 % 10007, tags: [i, [i]] }));
	const text = JSON.stringify(list);
	total += JSON.parse(text).filter((x) => x.i % 3).length;
	total += zlib.inflateSync(zlib.deflateSync(Buffer.from(text.slice(0, 100000)))).length;
	total += parseInt(crypto.createHash('sha256').update(text).digest('hex').slice(0, 6), 16);
}
Promise.all([1, 2, 3].map((n) => new Promise((done) => setTimeout(() => done(n), 10 * n)))).then((all) => {
	console.log(total, all.join());
	process.exit(6);
});
JS
identical node load.js
is "status" "$status" 6
pass
