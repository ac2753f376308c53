#!/bin/sh
# Speed of the embedded model and of random models of the LFM2-1.2B shape in Q4_0 and Q8_0.
# The random models are written to build/ once (0.7 and 1.25 GB) and removed afterwards.
set -eu
tenon=$1; dir=$(dirname "$tenon")
echo "embedded model:"; "$tenon" bench -p 512 -n 64
for type in Q4_0 Q8_0; do
    file=$dir/lfm2-1.2b-random-$type.gguf
    "$tenon" debug random-model --shape lfm2-1.2b --type $type "$file"
    echo "LFM2-1.2B shape, random weights, $type:"; "$tenon" bench -m "$file" -p 512 -n 64
    rm -f "$file"
done
