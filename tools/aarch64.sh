#!/bin/sh
# Checks the kernels for aarch64 on another Debian machine: a sysroot made of Debian's arm64 packages,
# a cross compiler, and qemu's emulation of one process. `aarch64.sh ROOT` fills the folder ROOT, once;
# it has its own package lists, so that this machine's package system is left as it is.
# `aarch64.sh ROOT COMMAND...` runs an aarch64 program, of ROOT or beside it, with ROOT's libraries.
set -eu
root=$(mkdir -p "$1" && cd "$1" && pwd)
shift
blas=/usr/lib/aarch64-linux-gnu/openblas-pthread

if [ $# -gt 0 ]; then
  exec qemu-aarch64 -L "$root" -E LD_LIBRARY_PATH="$blas" "$@"
fi

[ -e "$root/complete" ] && exit 0
state=$root/apt
rm -rf "$root"/*
mkdir -p "$state/lists/partial" "$state/archives/partial"
: >"$state/status"
fetch() {
  apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User="$(id -un)" \
    -o Dir::State="$state" -o Dir::State::status="$state/status" -o Dir::Cache="$state" "$@" >"$state/log" 2>&1 ||
    { cat "$state/log" >&2 && exit 1; }
}
fetch update
fetch -d -y --no-install-recommends install lua5.4 liblua5.4-dev libopenblas-dev zlib1g-dev
for package in "$state"/archives/*.deb; do dpkg -x "$package" "$root"; done
# Links from the root of that system (libm.so is one) stay within the folder: the linker would take libm.a.
find "$root" -type l -lname '/*' | while IFS= read -r link; do
  ln -sfrn "$root$(readlink "$link")" "$link"
done
rm -rf "$state"
: >"$root/complete"
