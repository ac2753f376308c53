"""LoRA adapters through the commands: beside a model, merged into it, refused by name."""
import json
import os
import struct
import subprocess

import pytest

TENON = os.environ.get("TENON", "build/tenon")
SHARED = os.environ.get("TENON_SHARED", "../shared")
MODELS = os.path.join(SHARED, "fixtures/models")
needs_shared = pytest.mark.skipif(not os.path.isdir(MODELS), reason=f"{MODELS} is not there")
PAIRS = [("lfm2-tiny", "lfm2-tiny-lora"), ("llama-tiny", "llama-tiny-lora")]


def tenon(*args):
    p = subprocess.run([TENON, *map(str, args)], capture_output=True, text=True, timeout=120)
    return p.returncode, p.stdout, p.stderr


def fixture(name):
    return os.path.join(MODELS, name)


def floats(path):
    with open(path, "rb") as f:
        data = f.read()
    return struct.unpack(f"<{len(data) // 4}f", data)


def far(a, b):
    return (sum((x - y) ** 2 for x, y in zip(a, b)) / sum(y * y for y in b)) ** 0.5


def logits(out, *args):
    with open(fixture("manifest.json")) as f:
        tokens = ",".join(map(str, json.load(f)["tokens"]))
    rc, _, err = tenon("debug", "logits", "--ref", "--tokens", tokens, "-o", out, *args)
    assert rc == 0, err
    return floats(out)


@needs_shared
@pytest.mark.parametrize("model,adapter", PAIRS)
@pytest.mark.parametrize("scale", [1, 0.5])
def test_a_merged_model_computes_what_model_and_adapter_compute(tmp_path, model, adapter, scale):
    merged = tmp_path / "merged.gguf"
    rc, out, err = tenon("merge", "-m", fixture(f"{model}-f32.gguf"), "--lora", f"{fixture(adapter)}.gguf={scale}", merged)
    assert rc == 0 and "1 adapters in" in out, err
    want = floats(fixture(f"{adapter}-{float(scale)}.logits"))
    assert far(logits(tmp_path / "m.f32", "-m", merged), want) < 1e-4
    beside = logits(tmp_path / "b.f32", "-m", fixture(f"{model}-f32.gguf"), "--lora", f"{fixture(adapter)}.gguf", "--lora-scale", scale)
    assert far(beside, want) < 1e-4


@needs_shared
def test_two_halves_are_a_whole(tmp_path):
    model, adapter = fixture("llama-tiny-f32.gguf"), fixture("llama-tiny-lora.gguf")
    twice = tmp_path / "twice.gguf"
    rc, out, err = tenon("merge", "-m", model, "--lora", f"{adapter}=0.25", "--lora", f"{adapter}=0.75", twice)
    assert rc == 0 and "2 adapters in" in out, err
    assert far(logits(tmp_path / "t.f32", "-m", twice), floats(fixture("llama-tiny-lora-1.0.logits"))) < 1e-4


@needs_shared
@pytest.mark.parametrize("args,says", [
    (["-m", "llama-tiny-f32.gguf", "--lora", "lfm2-tiny-lora.gguf"], ["lfm2-tiny-lora.gguf", "architecture", "llama"]),
    (["-m", "llama-mini-Q8_0.gguf", "--lora", "llama-tiny-lora.gguf"], ["llama-tiny-lora.gguf", "must be"]),
    (["-m", "llama-tiny-f32.gguf", "--lora", "llama-tiny-f32.gguf"], ["general.type"]),
    (["-m", "llama-tiny-f32.gguf", "--lora", "nowhere.gguf=2"], ["nowhere.gguf"]),
    (["-m", "llama-tiny-f32.gguf"], ["--lora"]),
])
def test_what_does_not_fit_is_refused_by_name(tmp_path, args, says):
    args = [fixture(a) if ".gguf" in a else a for a in args]
    rc, out, err = tenon("merge", *args, tmp_path / "out.gguf")
    assert rc != 0 and not out and all(s in err for s in says) and len(err.splitlines()) == 1
    assert not os.listdir(tmp_path)


def test_an_adapter_that_is_not_there_is_named():
    rc, out, err = tenon("call", "--lora", "no/such.gguf=0.5", "hello")
    assert rc != 0 and not out and "no/such.gguf" in err and len(err.splitlines()) == 1
