#!/bin/sh
# `install.sh FILE FOLDER [MODE]` copies the file there, making the folder; `install.sh FOLDER FOLDER` the files that are
# in it, at any depth. A new file takes the old one's place in one step: a program that runs meanwhile keeps what it has
# loaded.
set -eu
mkdir -p "$2"
if [ ! -d "$1" ]; then
  target=$2/$(basename "$1")
  cp "$1" "$target.new$$"
  chmod "${3:-644}" "$target.new$$"
  mv -f "$target.new$$" "$target"
  exit
fi
stage=$2/.new$$
trap 'rm -rf "$stage"' EXIT
cp -R "$1" "$stage"
find "$stage" -type f -exec chmod 644 {} +
(cd "$stage" && find . -type d) | while read -r folder; do
  mkdir -p "$2/$folder"
  find "$stage/$folder/." ! -name . -prune -type f -exec sh -c 'mv -f "$@" "$0"' "$2/$folder" {} +
done
