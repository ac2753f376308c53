"""The vocabularies of ../shared through the tokenizers package: the same ids for lines in many languages
(mixed_lines.py). Loading the vocabularies takes the package a minute, so this is part of `make test-shared`, which
sets LINES, how many lines. TENON names the binary, TENON_SHARED the data."""
import json
import os
import pathlib
import subprocess

import pytest

tokenizers = pytest.importorskip("tokenizers")
gguf = pytest.importorskip("gguf")
from mixed_lines import lines
from test_convert import LLAMA3, split

TENON = os.environ.get("TENON", "build/tenon")
SHARED = pathlib.Path(os.environ.get("TENON_SHARED", "../shared")) / "fixtures" / "tokenizers"
N = int(os.environ.get("LINES", "0"))
if not N:
    pytest.skip("lines of many languages: make test-shared", allow_module_level=True)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PATTERN = {"llama-bpe": LLAMA3, "qwen2": QWEN2, "gpt-2": GPT2}


def fields(name):
    path = SHARED / f"ggml-vocab-{name}.gguf"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path, {k: f.contents() for k, f in gguf.GGUFReader(path).fields.items() if k.startswith("tokenizer.ggml.")}


def byte_level(name):
    path, f = fields(name)
    vocab = {t: i for i, t in enumerate(f["tokenizer.ggml.tokens"])}
    merges = [tuple(m.split(" ", 1)) if m[0] != " " else (" " + m[1:].split(" ", 1)[0], m[1:].split(" ", 1)[1]) for m in f["tokenizer.ggml.merges"]]
    t = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=merges, ignore_merges=name == "llama-bpe"))
    t.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(PATTERN[name]), "isolated"),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return path, t


def sentencepiece():
    """Scores become ranks: every way to make a piece of two others, best piece first, as the library's own converter does it."""
    path, f = fields("llama-spm")
    pieces, scores = f["tokenizer.ggml.tokens"], f["tokenizer.ggml.scores"]
    vocab = {t: i for i, t in enumerate(pieces)}
    merges = []
    for piece, i in vocab.items():
        ways = [(piece[:k], piece[k:]) for k in range(1, len(piece)) if piece[:k] in vocab and piece[k:] in vocab]
        merges += [(-scores[i], i, vocab[a], vocab[b], a, b) for a, b in ways]
    merges.sort(key=lambda m: m[:4])
    t = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=[m[4:] for m in merges], byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    t.normalizer = tokenizers.normalizers.Sequence([tokenizers.normalizers.Prepend("▁"), tokenizers.normalizers.Replace(" ", "▁")])
    return path, t


def ids_of_tenon(path, texts):
    p = subprocess.run([TENON, "debug", "tokenize", "--no-special", "-m", path], input="".join(json.dumps(t) + "\n" for t in texts),
                       capture_output=True, text=True, timeout=300)
    assert p.returncode == 0, p.stderr
    return [json.loads(line) for line in p.stdout.splitlines()]


@pytest.mark.parametrize("name", [*PATTERN, "llama-spm"])
def test_the_library_cuts_lines_of_many_languages_alike(name):
    path, t = sentencepiece() if name == "llama-spm" else byte_level(name)
    texts = [x for x in lines(N) if x]
    got, want = ids_of_tenon(path, texts), [e.ids for e in t.encode_batch(texts, add_special_tokens=False)]
    wrong = [i for i in range(len(texts)) if got[i] != want[i]]
    assert not wrong, f"{len(wrong)} of {len(texts)} differ, first: {texts[wrong[0]]!r}: {got[wrong[0]]}, the library says {want[wrong[0]]}"
