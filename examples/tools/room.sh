#!/bin/sh
# How much room the folder $1 takes, in KiB.
kib=$(du -sk -- "$1" | cut -f1) && [ -n "$kib" ] || exit 1
printf '{"kib":%d}\n' "$kib"
