#!/bin/sh
# Puts a compiled core among the files of the project: `wasm_ship.sh FOLDER` packs FOLDER/latent.wasm into
# web/latent.wasm.gz, says in web/latent.wasm.txt where it comes from, and gathers in web/LICENSES what Lua, zlib
# and the C library ask to be kept with them.
set -eu
folder=$1
[ -z "$(git status --porcelain -- c)" ] || { echo "wasm_ship.sh: commit c/ first" >&2 && exit 1; }
# What any gunzip unpacks, a twentieth smaller than by gzip -9: pages carry it.
zopfli -c "$folder/latent.wasm" >web/latent.wasm.gz
cat >web/latent.wasm.txt <<END
latent.wasm.gz is the core (c/) with Lua 5.4 and zlib for browsers, compiled and packed by \`make wasm-ship\`.
\`make wasm\` compiles it afresh and checks that both compute the same.

sources of the core  $(git log -1 --format=%cs -- c), the tree $(git rev-parse HEAD:c)
sources beside it    $(paste -s -d, "$folder/sources/versions" | sed 's/,/, /g')
compiler             $(clang --version | head -n 1), wasi-libc $(dpkg-query -W -f '${Version}' wasi-libc)
sha256 (unpacked)    $(sha256sum <"$folder/latent.wasm" | cut -d ' ' -f 1)
bytes                $(wc -c <"$folder/latent.wasm"), packed $(wc -c <web/latent.wasm.gz)
licences             LICENSE of the project; those of Lua, zlib and the C library in web/LICENSES
END

{
  echo "latent.wasm.gz contains Lua, zlib and wasi-libc, under these licences."
  printf '\nLua\n===\n\n'
  sed -n '/^\* Copyright (C)/,/^\*\*\*\*\*/p' "$folder/sources/lua5.4/src/lua.h" | sed '/^\*\*\*\*\*/d; s/^\* \{0,1\}//'
  printf '\nzlib\n====\n\n'
  cat "$folder/sources/zlib/LICENSE"
  printf '\nwasi-libc\n=========\n\n'
  cat /usr/share/doc/wasi-libc/copyright
} >web/LICENSES
