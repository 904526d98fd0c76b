#!/bin/sh
# The sources that are compiled for WebAssembly beside the core: `wasm_sources.sh FOLDER` fills the folder,
# once, with lua and zlib from Debian's source packages, so that they are the versions, with the security
# patches, that this machine's own Lua is made of. It has its own package lists, made of the machine's with
# `deb-src` for `deb`, so that the machine's package system is left as it is and root is not needed.
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
[ -e "$folder/complete" ] && exit 0
state=$folder/apt
rm -rf "${folder:?}"/*
mkdir -p "$state/lists/partial" "$state/sources.d"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [ ! -e "$file" ] || sed -n 's/^deb /deb-src /p' "$file" >>"$state/sources.d/all.list"
done
for file in /etc/apt/sources.list.d/*.sources; do
  [ ! -e "$file" ] || { sed 's/^Types:.*/Types: deb-src/' "$file" && echo; } >>"$state/sources.d/all.sources"
done
fetch() {
  (cd "$state" && apt-get -q -o APT::Sandbox::User="$(id -un)" -o Dir::Etc::sourcelist=/dev/null \
    -o Dir::Etc::sourceparts="$state/sources.d" -o Dir::State::lists="$state/lists" -o Dir::Cache="$state" "$@") \
    >"$state/log" 2>&1 || { cat "$state/log" >&2 && exit 1; }
}
fetch update
fetch source --download-only lua5.4 zlib
for name in lua5.4 zlib; do
  dpkg-source --no-check -x "$state/$name"_*.dsc "$folder/$name" >"$state/log" || { cat "$state/log" >&2 && exit 1; }
  sed -n 's/^Version: /'"$name"' /p' "$state/$name"_*.dsc >>"$state/versions"
done
mv "$state/versions" "$folder/versions"
rm -rf "$state"
: >"$folder/complete"
