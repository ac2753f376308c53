#!/bin/sh
# Speed of the embedded model and of random models of the LFM2-1.2B shape in Q4_0 and Q8_0, then the token
# masks. The random models are written to build/ once (0.7 and 1.25 GB) and removed afterwards. Masks need
# the data of ../shared (or $TENON_SHARED) and are skipped aloud without it; `bench.sh TENON masks` is
# these alone.
set -eu
tenon=$1; dir=$(dirname "$tenon"); shared=${TENON_SHARED:-../shared}

models()
{
    echo "embedded model:"; "$tenon" bench -p 512 -n 64
    for type in Q4_0 Q8_0; do
        file=$dir/lfm2-1.2b-random-$type.gguf
        "$tenon" debug random-model --shape lfm2-1.2b --type $type "$file"
        echo "LFM2-1.2B shape, random weights, $type:"; "$tenon" bench -m "$file" -p 512 -n 64
        rm -f "$file"
    done
}

masks()
{
    data=$shared/fixtures/jsonschema/maskbench-dev
    vocab=$shared/fixtures/tokenizers/ggml-vocab-llama-bpe.gguf
    if [ ! -d "$data" ]; then echo "skipped: masks ($data is not there)"; return; fi
    echo "token masks, MaskBench development half, 128 256 tokens:"
    "$tenon" bench masks --data "$data" --vocab "$vocab" --parts --cold
    echo; echo "forced runs, compact, declared order:"
    "$tenon" bench masks --data "$data" --vocab "$vocab" --forced
    echo; echo "micro-benchmarks:"
    "$tenon" bench masks --micro --vocab "$vocab" --tools "$shared/fixtures/sgd/dev_tools.json"
}

[ "${2:-}" = masks ] || models
masks
