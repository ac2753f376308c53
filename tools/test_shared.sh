#!/bin/sh
# The checks against ../shared (or $TENON_SHARED): reference logits, tokenizer vectors, random calls.
set -u
shared=${TENON_SHARED:-../shared}
if [ ! -x "$shared/check/run" ]; then echo "skipped: $shared/check/run is not there"; exit 0; fi
TENON=$(pwd)/$1; export TENON
PATH="$(pwd)/.venv/bin:$PATH" "$shared/check/run" models tokenizers random_calls
