"""tenon quantize and inspect on files made here byte by byte: which matrix gets which format, what is
refused, what is left behind. TENON names the binary."""
import json
import os
import struct
import subprocess

import pytest

TENON = os.environ.get("TENON", "build/tenon")
U32, F32, STR, ARR = 4, 6, 8, 9
F32_ID, I32_ID = 0, 26


def text(s):
    return struct.pack("<Q", len(s.encode())) + s.encode()


def value(v):
    if isinstance(v, str):
        return struct.pack("<I", STR) + text(v)
    if isinstance(v, list):
        return struct.pack("<IIQ", ARR, U32, len(v)) + struct.pack(f"<{len(v)}I", *v)
    return struct.pack("<If", F32, v) if isinstance(v, float) else struct.pack("<II", U32, v)


def gguf(path, keys, tensors):
    """tensors: name -> (shape, values or None)."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    head += b"".join(text(k) + value(v) for k, v in keys.items())
    data = b""
    for name, (shape, values) in tensors.items():
        n = 1
        for d in shape:
            n *= d
        values = values or [((i * 7919) % 1009 - 504) / 504 for i in range(n)]
        head += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        head += struct.pack("<IQ", F32_ID, len(data))
        data += struct.pack(f"<{n}f", *values)
        data += b"\0" * (-len(data) % 32)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)
    return path


def run(*args):
    p = subprocess.run([TENON, *map(str, args)], capture_output=True, text=True, timeout=120)
    return p.returncode, p.stdout, p.stderr


def types(path):
    rc, out, err = run("inspect", "--json", "--scan", path)
    assert rc == 0, err
    return {t["name"]: t["type"] for t in json.loads(out)["tensors"]}


ATTN = [1, 3, 5, 7]                       # of eight layers; the others are convolutions
MATRICES = {"token_embd.weight": (256, 16)}
for layer in range(8):
    MATRICES[f"blk.{layer}.ffn_down.weight"] = (256, 2)
    MATRICES[f"blk.{layer}.ffn_up.weight"] = (256, 2)
for layer in ATTN:
    MATRICES[f"blk.{layer}.attn_v.weight"] = (256, 2)
    MATRICES[f"blk.{layer}.attn_output.weight"] = (256, 2)
KEPT = {"blk.0.attn_norm.weight": (256,), "blk.0.shortconv.conv.weight": (32, 8), "blk.1.ffn_gate_inp.weight": (256, 4),
        "blk.1.attn_q_norm.weight": (32, 4), "blk.1.attn_q.bias": (256, 2)}
KEYS = {"general.architecture": "lfm2", "lfm2.block_count": 8, "lfm2.attention.head_count": 8,
        "lfm2.attention.head_count_kv": [0, 2, 0, 2, 0, 2, 0, 2], "lfm2.some_float": 0.1}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    shapes = {**MATRICES, **KEPT}
    return gguf(tmp_path_factory.mktemp("q") / "f32.gguf", KEYS, {n: (s, None) for n, s in shapes.items()})


def layers(part, picked, fine, rest, of=range(8)):
    return {f"blk.{i}.{part}.weight": fine if i in picked else rest for i in of}


# What differs from the base format, mix by mix.
MIXES = {
    "F16": ("F16", {}), "BF16": ("BF16", {}), "Q8_0": ("Q8_0", {}),
    "Q4_0": ("Q4_0", {"token_embd.weight": "Q6_K"}), "Q5_1": ("Q5_1", {"token_embd.weight": "Q6_K"}),
    "Q6_K": ("Q6_K", {}),
    "Q4_K_M": ("Q4_K", {"token_embd.weight": "Q6_K", **layers("ffn_down", [0, 3, 6, 7], "Q6_K", "Q4_K"),
                        **layers("attn_v", [5, 7], "Q6_K", "Q4_K", ATTN)}),
    "Q4_K_S": ("Q4_K", {"token_embd.weight": "Q6_K", **layers("ffn_down", [0], "Q5_K", "Q4_K"),
                        **layers("attn_v", ATTN, "Q5_K", "Q4_K", ATTN)}),
    "Q5_K_M": ("Q5_K", {"token_embd.weight": "Q6_K", **layers("ffn_down", [0, 3, 6, 7], "Q6_K", "Q5_K"),
                        **layers("attn_v", [5, 7], "Q6_K", "Q5_K", ATTN)}),
    "Q3_K_M": ("Q3_K", {"token_embd.weight": "Q6_K", **layers("ffn_down", [], "", "Q4_K"),
                        **layers("attn_v", [1, 3], "Q5_K", "Q4_K", ATTN), **layers("attn_output", [], "", "Q4_K", ATTN)}),
    "Q2_K": ("Q2_K", {"token_embd.weight": "Q6_K", **layers("ffn_down", [], "", "Q3_K"),
                      **layers("attn_v", [], "", "Q3_K", ATTN), **layers("attn_output", [], "", "Q3_K", ATTN)}),
    "IQ4_XS": ("IQ4_XS", {"token_embd.weight": "Q6_K", **layers("ffn_down", [0], "Q5_K", "IQ4_XS")}),
}


@pytest.mark.parametrize("mix", MIXES)
def test_a_mix_gives_each_matrix_its_format(model, tmp_path, mix):
    base, other = MIXES[mix]
    out = tmp_path / "out.gguf"
    rc, stdout, err = run("quantize", "--json", model, out, mix.lower())
    assert rc == 0, err
    assert 0 <= json.loads(stdout)["relative_error"] < 0.35
    assert types(out) == {**{n: base for n in MATRICES}, **other, **{n: "F32" for n in KEPT}}


def test_metadata_is_copied_and_completed(model, tmp_path):
    out = tmp_path / "out.gguf"
    assert run("quantize", model, out, "Q4_K_M")[0] == 0
    rc, stdout, _ = run("inspect", "--json", out)
    meta = json.loads(stdout)["metadata"]
    assert meta == {**KEYS, "general.file_type": 15, "general.quantization_version": 2}
    assert list(meta)[: len(KEYS)] == list(KEYS)


def test_rows_that_are_not_whole_blocks_fall_back(tmp_path):
    rows = {"output.weight": (96, 4), "blk.0.ffn_up.weight": (96, 4), "blk.0.ffn_down.weight": (40, 4), "token_embd.weight": (256, 4)}
    src = gguf(tmp_path / "in.gguf", KEYS, {n: (s, None) for n, s in rows.items()})
    for mix, want in {"Q4_K_S": ("Q8_0", "Q5_0", "F16", "Q4_K"), "Q2_K": ("Q8_0", "Q4_0", "F16", "Q2_K"),
                      "IQ4_XS": ("Q8_0", "IQ4_NL", "F16", "IQ4_XS"), "Q8_0": ("Q8_0", "Q8_0", "F16", "Q8_0")}.items():
        assert run("quantize", src, tmp_path / "out.gguf", mix)[0] == 0
        assert tuple(types(tmp_path / "out.gguf").values()) == want, mix


def test_pure_and_threads(model, tmp_path):
    outs = [tmp_path / f"{i}.gguf" for i in range(2)]
    for out, threads in zip(outs, (1, 3)):
        assert run("quantize", "--pure", "-t", threads, model, out, "Q4_K_M")[0] == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert set(types(outs[0]).values()) == {"Q4_K", "F32"}


def test_back_to_f32_and_over_itself(model, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(model.read_bytes())
    for mix in ("Q8_0", "F32", "Q8_0"):
        rc, _, err = run("quantize", path, path, mix)
        assert rc == 0, err
    assert set(types(path).values()) == {"Q8_0", "F32"}
    assert [p.name for p in tmp_path.iterdir()] == ["m.gguf"]


BAD = {
    "NaN": ([1.0] * 255 + [float("nan")], "Q8_0", "not finite"),
    "infinite": ([float("inf")] + [1.0] * 255, "F16", "not finite"),
    "too large for F16": ([1e6] + [1.0] * 255, "F16", "too large for F16"),
    "too large for a scale": ([1e9] + [1.0] * 255, "Q4_0", "too large for Q6_K"),
}


@pytest.mark.parametrize("why", BAD)
def test_bad_values_end_the_run(tmp_path, why):
    values, mix, says = BAD[why]
    src = gguf(tmp_path / "in.gguf", KEYS, {"token_embd.weight": ((256, 1), values)})
    rc, out, err = run("quantize", src, tmp_path / "out.gguf", mix)
    assert rc == 1 and out == "" and says in err and "token_embd.weight" in err and err.count("\n") == 1, err
    assert [p.name for p in tmp_path.iterdir()] == ["in.gguf"]


def test_quantising_twice_is_asked_for(model, tmp_path):
    small, out = tmp_path / "q8.gguf", tmp_path / "out.gguf"
    assert run("quantize", model, small, "Q8_0")[0] == 0
    rc, _, err = run("quantize", small, out, "Q4_0")
    assert rc == 1 and "--requantize" in err and not out.exists()
    assert run("quantize", "--requantize", small, out, "Q4_0")[0] == 0


def test_what_a_file_says_cannot_reach_the_terminal(tmp_path):
    src = gguf(tmp_path / "in.gguf", {"general.name": "\x1b[31mred\n"}, {"t\x1b[2J.weight": ((32, 1), None)})
    rc, out, _ = run("inspect", src)
    assert rc == 0 and "\x1b" not in out and "\\u001b[31mred\\n" in out
