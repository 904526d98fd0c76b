#!/bin/sh
# Does a compiled core compute what the native one does? `wasm_check.sh MODULE NATIVE`: the golden values, every op
# against double precision, and the bits of every case beside those in the file NATIVE, which tools/bits.lua wrote.
set -eu
module=$1 native=$2
log=$(mktemp)
trap 'rm -f "$log" "$log.bits"' EXIT
run() { node web/node.js "$module" lua exercises spec tools /usr/share/lua/5.4=. -- "$@"; }
quietly() { "$@" >"$log" 2>&1 || { cat "$log" && exit 1; }; }

echo "$module"
quietly run tools/golden.lua spec/fixtures/golden
tail -n 1 "$log"
quietly run spec/support/precision.lua
tail -n 1 "$log"
run tools/bits.lua >"$log.bits"
"${LUA:-lua5.4}" tools/bits.lua "$native" "$log.bits"
