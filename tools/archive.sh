#!/bin/sh
# archive.sh OUT.a API.a ROOM.a… -- one static library from which only tn_ names leave: everything the
# public calls need is linked into one object, all other names become local.
set -eu
out=$1; api=$2; shift 2
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
ld -r -o "$tmp/all.o" --whole-archive "$api" --no-whole-archive --start-group "$@" --end-group
objcopy --wildcard --keep-global-symbol='tn_*' "$tmp/all.o" "$tmp/tenon.o"
rm -f "$out"; ar rcs "$out" "$tmp/tenon.o"
