#!/bin/sh
# `install.sh FILE FOLDER [MODE]` copies the file there, making the folder. The new file takes the old
# one's place in one step: a program that runs meanwhile keeps what it has loaded.
set -eu
target=$2/$(basename "$1")
mkdir -p "$2"
cp "$1" "$target.new$$"
chmod "${3:-644}" "$target.new$$"
mv -f "$target.new$$" "$target"
