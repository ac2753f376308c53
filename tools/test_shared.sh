#!/bin/sh
# The checks against ../shared (or $TENON_SHARED): reference logits, tokenizer vectors, templates and parsers, every prompt,
# schema and parser case of Functionary, our own templates beside the published ones, the Jinja interpreter beside jinja2, random calls, walks of every dialect over real vocabularies, and the
# token masks: random walks, masks against brute force, every instance in all spellings and cuts, forced runs.
# `test_shared.sh TENON masks` is the last part alone.
set -u
shared=${TENON_SHARED:-../shared}; bad=0
TENON=$(pwd)/$1; export TENON
PATH="$(pwd)/.venv/bin:$PATH"

if [ "${2:-}" = masks ]; then :
elif [ ! -x "$shared/check/run" ]; then echo "skipped: $shared/check/run is not there"
else "$shared/check/run" models tokenizers templates parsers random_calls || bad=1
fi

# All of fixtures/functionary and fixtures/chat_templates: what make test runs where they are there, here without fail.
prompts=$(dirname "$TENON")/tests/test_prompt
if [ "${2:-}" = masks ]; then :
elif [ ! -d "$shared/fixtures/functionary" ]; then echo "skipped: $shared/fixtures/functionary is not there"
elif [ ! -x "$prompts" ]; then echo "skipped: prompts of Functionary ($prompts is not built)"
else
    "$prompts" || bad=1
    python3 tests/test_parse_cases.py || bad=1
fi

if [ "${2:-}" = masks ]; then :
elif ! .venv/bin/python -c "import jinja2" 2>/dev/null; then echo "skipped: templates beside jinja2 (no .venv; make deps makes one)"
else
    .venv/bin/python tests/test_templates.py --all || bad=1
    .venv/bin/python -W ignore tests/test_jinja.py --all || bad=1
fi

turns=$(dirname "$TENON")/tests/test_turns
if [ "${2:-}" = masks ]; then :
elif [ ! -x "$turns" ]; then echo "skipped: walks of every dialect ($turns is not built)"
else TENON_WALK_VOCABS="${DIALECT_WALKS:-20}" "$turns" walks_with_real_vocabularies || bad=1
fi

if [ "${2:-}" = masks ]; then :
elif [ -x .venv/bin/pytest ]; then LINES="${LINES:-10000}" .venv/bin/pytest -q -p no:cacheprovider tests/test_tokenizers.py || bad=1
else echo "skipped: the tokenizers package is not there"
fi

# Thousands of clients that leave in the middle; the rest of the suite is in make test.
if [ "${2:-}" != masks ] && .venv/bin/python -c "import pytest" 2>/dev/null; then
    SERVE_CLIENTS=${CLIENTS:-4000} .venv/bin/python -m pytest -q -p no:cacheprovider tests/test_serve_life.py -k "killed_in_the_middle" || bad=1
fi

data=$shared/fixtures/jsonschema/maskbench-dev
if [ -d "$data" ]; then
    for vocab in llama-bpe qwen2; do
        echo "token masks, $vocab:"
        "$TENON" bench masks --data "$data" --vocab "$shared/fixtures/tokenizers/ggml-vocab-$vocab.gguf" \
            --walk "${WALKS:-20000}" --exact "${STATES:-5000}" --accept --seed "${SEED:-1}" || bad=1
        "$TENON" bench masks --data "$data" --vocab "$shared/fixtures/tokenizers/ggml-vocab-$vocab.gguf" \
            --forced --json >/dev/null || bad=1
    done
else echo "skipped: token masks ($data is not there)"
fi
exit $bad
