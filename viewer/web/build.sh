#!/bin/sh
# Bundles viewer/web/flame.js and the packages it uses into FOLDER/flame.js:
#
#   sh viewer/web/build.sh FOLDER
#
# Packages are fetched into FOLDER, never into the source tree. Without node and npm, or without a
# network, the file is left empty, and `heaptape flame` says what is missing.
set -eu
folder=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

without() {
	echo "heaptape flame is built without its page: $1" >&2
	: >"$folder/flame.js"
	exit 0
}

command -v npm >/dev/null 2>&1 || without "npm is not installed"
mkdir -p "$folder/src"
cp "$here/package.json" "$here/package-lock.json" "$here/flame.js" "$here/flame.css" "$folder/src"
cd "$folder/src"
npm ci --no-audit --no-fund --ignore-scripts --loglevel=error --fetch-retries=1 \
	--fetch-timeout=20000 >npm.log 2>&1 ||
	without "npm could not fetch the packages ($(head -n 1 npm.log))"
notice='/*! Contains d3-flame-graph (c) Martin Spier, Apache License 2.0, and d3 modules (c) Mike Bostock, ISC License. */'
node_modules/.bin/esbuild flame.js --bundle --minify --format=iife --target=es2019 \
	--charset=utf8 --legal-comments=none --loader:.css=text --banner:js="$notice" \
	--log-level=error --outfile="$folder/flame.js.new"
# The script stands inside a page: it must not end its own element.
if grep -q '</script' "$folder/flame.js.new"; then
	echo "the bundle holds '</script'" >&2
	exit 1
fi
mv "$folder/flame.js.new" "$folder/flame.js"
