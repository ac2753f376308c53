"""tenon convert on small random checkpoints made here: every tensor and key against what numpy makes of the
same folder, every type down to its logits, and what a folder can have wrong. TENON names the binary."""
import json
import os
import pathlib
import re
import struct
import subprocess

import pytest

np = pytest.importorskip("numpy")
gguf = pytest.importorskip("gguf")

TENON = os.environ.get("TENON", "build/tenon")


def run(*args, stdin=""):
    p = subprocess.run([TENON, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=60)
    return p.returncode, p.stdout, p.stderr


# ---- a folder, written byte by byte ----

def bf16(x):
    """Round to nearest even, as bits."""
    u = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype(np.uint16)


def widen(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def as_bytes(x, dtype):
    return {"F32": lambda: x.astype("<f4"), "F16": lambda: x.astype("<f2"), "BF16": lambda: bf16(x)}[dtype]().tobytes()


def stored(x, dtype):
    """The values that are left of x in the folder."""
    return {"F32": lambda: x, "F16": lambda: x.astype(np.float16).astype(np.float32), "BF16": lambda: widen(bf16(x))}[dtype]()


def write_safetensors(path, tensors, dtype):
    head, data = {"__metadata__": {"format": "pt"}}, b""
    for name, x in tensors.items():
        raw = as_bytes(x, dtype)
        head[name] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def byte_chars():
    """The character that stands for each byte in a byte-level vocabulary."""
    own = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    rest = [b for b in range(256) if b not in own]
    return {**{b: chr(b) for b in own}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
MERGES = [("a", "b"), ("ab", "c"), ("Ġ", "a"), ("Ġa", "b")]
SPECIALS = {0: "<pad>", 1: "<bos>", 2: "<eos>", 3: "<|im_end|>", 4: "<tool>"}
N_VOCAB = 5 + 256 + len(MERGES) + 3                    # the last three rows have no token


def split(pattern):
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}


def tokenizer(pattern=LLAMA3):
    vocab = {text: i for i, text in SPECIALS.items() if i < 3}
    for c in list(byte_chars().values()) + [a + b for a, b in MERGES]:
        vocab[c] = len(vocab) + 2
    added = [{"id": i, "content": t, "special": t != "<tool>" and i != 3, "normalized": False} for i, t in SPECIALS.items()]
    return {"version": "1.0", "added_tokens": added, "normalizer": None, "pre_tokenizer": split(pattern),
            "post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, {
                "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}]},
            "model": {"type": "BPE", "byte_fallback": False, "ignore_merges": True, "unk_token": None,
                      "continuing_subword_prefix": None, "vocab": vocab, "merges": [f"{a} {b}" for a, b in MERGES]}}


D, HEADS, KV, HD, FF, LAYERS = 64, 4, 2, 16, 96, 3
COMMON = {"vocab_size": N_VOCAB, "hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV,
          "intermediate_size": FF, "max_position_embeddings": 4096, "eos_token_id": 2}
LLAMA_SCALING = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
CONFIGS = {
    "lfm2": {**COMMON, "norm_eps": 1e-5, "conv_L_cache": 3, "rope_theta": 1e6, "full_attn_idxs": [1], "intermediate_size": 3 * FF // 2, "block_multiple_of": 32},
    "lfm2_moe": {**COMMON, "norm_eps": 1e-5, "conv_L_cache": 3, "rope_parameters": {"rope_type": "default", "rope_theta": 5e6},
                 "layer_types": ["conv", "full_attention", "conv"], "num_dense_layers": 1, "num_experts": 4, "num_experts_per_tok": 2,
                 "moe_intermediate_size": 32, "norm_topk_prob": True, "use_expert_bias": True, "routed_scaling_factor": 1.0},
    "llama": {**COMMON, "rms_norm_eps": 1e-5, "rope_theta": 5e5, "rope_scaling": LLAMA_SCALING, "tie_word_embeddings": False, "hidden_act": "silu"},
    "mistral": {**COMMON, "rms_norm_eps": 1e-5, "head_dim": 24, "sliding_window": None, "tie_word_embeddings": False},
    "mixtral": {**COMMON, "rms_norm_eps": 1e-5, "rope_theta": 1e6, "num_local_experts": 4, "num_experts_per_tok": 2, "tie_word_embeddings": False},
    "qwen2": {**COMMON, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": True, "use_sliding_window": False, "sliding_window": 1024},
    "qwen3": {**COMMON, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "head_dim": 32, "attention_bias": False, "tie_word_embeddings": False},
}
ARCH = {"lfm2_moe": "lfm2moe", "mistral": "llama", "mixtral": "llama"}


def permute(x, head_dim):
    """Rows i and i + half of a head become 2i and 2i + 1."""
    return x.reshape(-1, 2, head_dim // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


class Checkpoint:
    """Tensors of the folder, and what the file must hold: name -> (values, stays a matrix of the source's type)."""

    def __init__(self, kind, n_vocab=N_VOCAB):
        self.kind, self.config = kind, {"model_type": kind, "architectures": ["XForCausalLM"], **CONFIGS[kind], "vocab_size": n_vocab}
        self.rng, self.folder, self.file = np.random.default_rng(7), {}, {}
        self.hd = self.config.get("head_dim", D // HEADS)
        lfm2 = kind.startswith("lfm2")
        self.add("model.embed_tokens.weight", "token_embd.weight", (n_vocab, D))
        self.add("model.embedding_norm.weight" if lfm2 else "model.norm.weight", "token_embd_norm.weight" if lfm2 else "output_norm.weight", (D,))
        if self.config.get("tie_word_embeddings") is False:
            self.add("lm_head.weight", "output.weight", (n_vocab, D))
        for i in range(LAYERS):
            (self.lfm2_layer if lfm2 else self.llama_layer)(f"model.layers.{i}.", f"blk.{i}.", i)

    def values(self, shape):
        x = self.rng.standard_normal(shape, np.float32)
        return 1 + 0.1 * x if len(shape) == 1 else x / np.float32(8)

    def add(self, hf, name, shape, change=lambda x: x, wide=False):
        x = self.values(shape)
        self.folder[hf] = x
        self.file[name] = (change, [x], wide or len(shape) == 1)

    def stack(self, hf, name, shape, n):
        xs = [self.values(shape) for _ in range(n)]
        for e, x in enumerate(xs):
            self.folder[hf.replace("*", str(e))] = x
        self.file[name] = (None, xs, False)

    def attention(self, hf, name, out, turn):
        q, kv = HEADS * self.hd, KV * self.hd
        change = (lambda x: permute(x, self.hd)) if turn else lambda x: x
        self.add(hf + "q_proj.weight", name + "attn_q.weight", (q, D), change)
        self.add(hf + "k_proj.weight", name + "attn_k.weight", (kv, D), change)
        self.add(hf + "v_proj.weight", name + "attn_v.weight", (kv, D))
        self.add(hf + out + ".weight", name + "attn_output.weight", (D, q))
        if self.kind in ("qwen2", "mistral"):                    # of the llama family, some have them
            self.add(hf + "q_proj.bias", name + "attn_q.bias", (q,), change)
            self.add(hf + "k_proj.bias", name + "attn_k.bias", (kv,), change)
            self.add(hf + "v_proj.bias", name + "attn_v.bias", (kv,))

    def llama_layer(self, hf, name, i):
        self.add(hf + "input_layernorm.weight", name + "attn_norm.weight", (D,))
        self.add(hf + "post_attention_layernorm.weight", name + "ffn_norm.weight", (D,))
        self.attention(hf + "self_attn.", name, "o_proj", not self.kind.startswith("qwen"))
        if self.kind == "qwen3":
            self.add(hf + "self_attn.q_norm.weight", name + "attn_q_norm.weight", (self.hd,))
            self.add(hf + "self_attn.k_norm.weight", name + "attn_k_norm.weight", (self.hd,))
        if self.kind == "mixtral":
            self.experts(hf + "block_sparse_moe.", name, 4, FF)
        else:
            for part, to, shape in (("gate", "gate", (FF, D)), ("up", "up", (FF, D)), ("down", "down", (D, FF))):
                self.add(f"{hf}mlp.{part}_proj.weight", f"{name}ffn_{to}.weight", shape)

    def experts(self, hf, name, n, ff):
        self.add(hf + "gate.weight", name + "ffn_gate_inp.weight", (n, D), wide=True)
        for part, to, shape in (("w1", "gate", (ff, D)), ("w3", "up", (ff, D)), ("w2", "down", (D, ff))):
            self.stack(f"{hf}experts.*.{part}.weight", f"{name}ffn_{to}_exps.weight", shape, n)

    def lfm2_layer(self, hf, name, i):
        self.add(hf + "operator_norm.weight", name + "attn_norm.weight", (D,))
        self.add(hf + "ffn_norm.weight", name + "ffn_norm.weight", (D,))
        if i == 1:
            self.attention(hf + "self_attn.", name, "out_proj", False)
            self.add(hf + "self_attn.q_layernorm.weight", name + "attn_q_norm.weight", (self.hd,))
            self.add(hf + "self_attn.k_layernorm.weight", name + "attn_k_norm.weight", (self.hd,))
        else:
            self.add(hf + "conv.in_proj.weight", name + "shortconv.in_proj.weight", (3 * D, D))
            self.add(hf + "conv.conv.weight", name + "shortconv.conv.weight", (D, 1, 3), lambda x: x.reshape(D, 3), wide=True)
            self.add(hf + "conv.out_proj.weight", name + "shortconv.out_proj.weight", (D, D))
        if self.kind == "lfm2_moe" and i >= 1:
            self.experts(hf + "feed_forward.", name, 4, 32)
            self.add(hf + "feed_forward.expert_bias", name + "exp_probs_b.bias", (4,))
        else:
            for part, to, shape in (("w1", "gate", (FF, D)), ("w3", "up", (FF, D)), ("w2", "down", (D, FF))):
                self.add(f"{hf}feed_forward.{part}.weight", f"{name}ffn_{to}.weight", shape)

    def write(self, folder, dtype="BF16", shards=1, tok=None, tok_config=None):
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config))
        (folder / "tokenizer.json").write_text(json.dumps(tok or tokenizer()))
        (folder / "tokenizer_config.json").write_text(json.dumps(tok_config or {
            "bos_token": "<bos>", "eos_token": {"content": "<eos>", "lstrip": False}, "pad_token": "<pad>", "chat_template": "{{ messages }}"}))
        names = list(self.folder)
        if shards == 1:
            write_safetensors(folder / "model.safetensors", self.folder, dtype)
            return folder
        where = {n: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, n in enumerate(names)}
        for file in set(where.values()):
            write_safetensors(folder / file, {n: self.folder[n] for n in names if where[n] == file}, dtype)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
        return folder


def expected(c, dtype):
    """name -> (type in the file, values as float32 in the file's shape)."""
    out = {}
    for name, (change, xs, wide) in c.file.items():
        xs = [stored(x, dtype) for x in xs]
        out[name] = ("F32" if wide else dtype, np.stack(xs) if change is None else change(xs[0]))
    return out


def tensors(path):
    out = {}
    for t in gguf.GGUFReader(path).tensors:
        x = np.array(t.data)
        if t.tensor_type.name == "BF16":
            x = widen(x.view(np.uint16)).reshape([int(d) for d in reversed(t.shape)])
        out[t.name] = (t.tensor_type.name, x.astype(np.float32) if t.tensor_type.name in ("F32", "F16", "BF16") else x)
    return out


def metadata(path):
    rc, out, err = run("inspect", "--json", "--elements", -1, path)
    assert rc == 0, err
    return json.loads(out)["metadata"]


def convert(folder, out, *more):
    rc, stdout, err = run("convert", "--json", folder, out, *more)
    assert rc == 0, err
    return json.loads(stdout)


# ---- tensors ----

@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_every_tensor_arrives(kind, dtype, tmp_path):
    c = Checkpoint(kind)
    out = tmp_path / "out.gguf"
    result = convert(c.write(tmp_path / "m", dtype, shards=1 if dtype == "F16" else 3), out)
    want, got = expected(c, dtype), tensors(out)
    if kind == "llama":
        got.pop("rope_freqs.weight")
    assert set(got) == set(want)
    for name, (kept, x) in want.items():
        assert got[name][0] == kept and got[name][1].shape == x.shape, name
        assert np.array_equal(got[name][1], x), name
    assert result["type"] == dtype and metadata(out)["general.file_type"] == {"F32": 0, "F16": 1, "BF16": 32}[dtype]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "out.gguf"]


def test_experts_in_one_tensor(tmp_path):
    c = Checkpoint("lfm2_moe")
    convert(c.write(tmp_path / "apart"), tmp_path / "apart.gguf")
    for i in (1, 2):
        hf = f"model.layers.{i}.feed_forward.experts."
        w = {k: np.stack([c.folder.pop(f"{hf}{e}.{k}.weight") for e in range(4)]) for k in ("w1", "w3", "w2")}
        c.folder.update({hf + "gate_up_proj": np.concatenate([w["w1"], w["w3"]], 1), hf + "down_proj": w["w2"]})
    convert(c.write(tmp_path / "fused"), tmp_path / "fused.gguf")
    one, other = tensors(tmp_path / "apart.gguf"), tensors(tmp_path / "fused.gguf")
    assert list(one) == list(other) and all(np.array_equal(one[n][1], other[n][1]) for n in one)
    c.config["moe_intermediate_size"] = 31
    rc, _, err = run("convert", c.write(tmp_path / "bad"), tmp_path / "bad.gguf")
    assert rc == 1 and "experts.gate_up_proj has the shape [4, 64, 64], config.json makes it [4, 62, 64]" in err


def rotate(x, pos, pairs):
    """x [head_dim] rotated at a position; pairs: (i, j) of each frequency."""
    y = x.copy()
    for f, (i, j) in enumerate(pairs):
        a = pos * 10000.0 ** (-2 * f / len(x))
        y[i], y[j] = x[i] * np.cos(a) - x[j] * np.sin(a), x[j] * np.cos(a) + x[i] * np.sin(a)
    return y


def test_permuted_rows_give_the_same_scores(tmp_path):
    c = Checkpoint("llama")
    convert(c.write(tmp_path / "m", "F32"), tmp_path / "out.gguf")
    got = tensors(tmp_path / "out.gguf")
    a, b = c.rng.standard_normal((2, D))
    halves, neighbours = [(i, i + HD // 2) for i in range(HD // 2)], [(2 * i, 2 * i + 1) for i in range(HD // 2)]
    for h in range(HEADS):
        def score(wq, wk, pairs):
            q, k = (wq @ a).reshape(-1, HD)[h], (wk @ b).reshape(-1, HD)[h // (HEADS // KV)]
            return rotate(q, 11, pairs) @ rotate(k, 4, pairs)
        hf = [c.folder[f"model.layers.0.self_attn.{x}_proj.weight"] for x in "qk"]
        file = [got[f"blk.0.attn_{x}.weight"][1] for x in "qk"]
        assert abs(score(*hf, halves) - score(*file, neighbours)) < 1e-5
        assert abs(score(*hf, halves) - score(*hf, neighbours)) > 1e-4


def test_llama3_scaling_becomes_divisors(tmp_path):
    c = Checkpoint("llama")
    convert(c.write(tmp_path / "m"), tmp_path / "out.gguf")
    kind, got = tensors(tmp_path / "out.gguf")["rope_freqs.weight"]
    want = []
    for i in range(HD // 2):
        wave = 2 * np.pi * 5e5 ** (2 * i / HD)
        s = (64 / wave - 1) / 3
        want.append(1 if wave < 16 else 8 if wave > 64 else 1 / ((1 - s) / 8 + s))
    assert kind == "F32" and np.allclose(got, want, rtol=1e-6) and len(set(want)) >= 3
    assert not any("rope.scaling" in k for k in metadata(tmp_path / "out.gguf"))


@pytest.mark.parametrize("mix", ["q8_0", "Q4_0", "Q4_K_M", "F16", "F32"])
def test_a_type_is_what_quantize_makes_of_the_same_model(mix, tmp_path):
    for kind in ("lfm2", "mixtral"):
        folder = Checkpoint(kind).write(tmp_path / kind, "F32")
        convert(folder, tmp_path / "f32.gguf")
        convert(folder, tmp_path / "direct.gguf", mix)
        assert run("quantize", tmp_path / "f32.gguf", tmp_path / "twice.gguf", mix)[0] == 0
        assert (tmp_path / "direct.gguf").read_bytes() == (tmp_path / "twice.gguf").read_bytes()


# ---- metadata ----

WANT = {
    "lfm2": {"attention.head_count_kv": [0, KV, 0], "shortconv.l_cache": 3, "rope.freq_base": 1e6, "feed_forward_length": FF},
    "lfm2_moe": {"attention.head_count_kv": [0, KV, 0], "rope.freq_base": 5e6, "expert_count": 4, "expert_used_count": 2,
                 "expert_feed_forward_length": 32, "leading_dense_block_count": 1, "expert_gating_func": 2, "expert_weights_scale": 1},
    "llama": {"attention.head_count_kv": KV, "rope.freq_base": 5e5, "rope.dimension_count": HD},
    "mistral": {"attention.head_count_kv": KV, "rope.freq_base": 1e4, "attention.key_length": 24, "attention.value_length": 24, "rope.dimension_count": 24},
    "mixtral": {"expert_count": 4, "expert_used_count": 2, "rope.freq_base": 1e6},
    "qwen2": {"attention.head_count_kv": KV, "rope.freq_base": 1e6},
    "qwen3": {"attention.key_length": 32, "attention.value_length": 32},
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_numbers_of_the_model(kind, tmp_path):
    convert(Checkpoint(kind).write(tmp_path / "small-model"), tmp_path / "out.gguf")
    got, arch = metadata(tmp_path / "out.gguf"), ARCH.get(kind, kind)
    assert got["general.architecture"] == arch and got["general.name"] == "small-model" and got["general.type"] == "model"
    eps = CONFIGS[kind].get("norm_eps") or CONFIGS[kind]["rms_norm_eps"]
    want = {"block_count": LAYERS, "embedding_length": D, "feed_forward_length": FF, "context_length": 4096, "vocab_size": N_VOCAB,
            "attention.head_count": HEADS, "attention.layer_norm_rms_epsilon": eps, **WANT[kind]}
    for key, v in want.items():
        assert got[f"{arch}.{key}"] == pytest.approx(v), key


def test_a_sliding_window_is_named(tmp_path):
    c = Checkpoint("mistral")
    c.config["sliding_window"] = 512
    convert(c.write(tmp_path / "m"), tmp_path / "out.gguf")
    got = metadata(tmp_path / "out.gguf")
    assert got["llama.context_length"] > 512 and got["llama.attention.sliding_window"] == 512


# ---- vocabulary ----

@pytest.fixture(scope="module")
def lfm2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lfm2")
    tok_config = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": {"content": "<pad>"}, "unk_token": None,
                  "chat_template": [{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"}]}
    c = Checkpoint("lfm2")
    c.write(folder, "F32", tok_config=tok_config)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 3]}))
    convert(folder, folder / "out.gguf")
    return c, folder / "out.gguf"


def test_the_vocabulary_arrives(lfm2):
    m = metadata(lfm2[1])
    key = lambda k: m["tokenizer.ggml." + k]
    assert (key("model"), key("pre"), len(key("tokens"))) == ("gpt2", "lfm2", N_VOCAB)
    assert key("tokens")[:6] == [*SPECIALS.values(), "!"] and key("tokens")[-4:] == ["Ġab", *(f"[PAD{i}]" for i in range(N_VOCAB - 3, N_VOCAB))]
    assert key("token_type") == [3, 3, 3, 3, 4] + [1] * (N_VOCAB - 8) + [5] * 3
    assert key("merges") == [f"{a} {b}" for a, b in MERGES]
    assert (key("bos_token_id"), key("eos_token_id"), key("eot_token_id"), key("padding_token_id")) == (1, 2, 3, 0)
    assert key("add_bos_token") is True and key("add_eos_token") is False and "tokenizer.ggml.unknown_token_id" not in m
    assert m["tokenizer.chat_template"] == "A" and m["tokenizer.chat_template.tool_use"] == "B" and m["tokenizer.chat_templates"] == ["tool_use"]


def test_text_becomes_the_tokens_of_the_folder(lfm2):
    ids = {t: i for t, i in tokenizer()["model"]["vocab"].items()}
    rc, out, err = run("debug", "tokenize", "-m", lfm2[1], stdin='"abc ab<tool>é"\n')
    assert rc == 0, err
    chars = byte_chars()
    assert json.loads(out) == [1, ids["abc"], ids["Ġab"], 4, *(ids[chars[b]] for b in "é".encode())]


@pytest.mark.parametrize("kind,pre,name", [
    ("llama", split(LLAMA3), "llama-bpe"), ("lfm2_moe", split(LLAMA3), "lfm2"), ("qwen2", split(QWEN2), "qwen2"), ("llama", split(GPT2), "gpt-2"),
    ("llama", {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}, "gpt-2")])
def test_the_pattern_names_the_pre_tokenizer(kind, pre, name, tmp_path):
    tok = {**tokenizer(), "pre_tokenizer": pre}
    convert(Checkpoint(kind).write(tmp_path / "m", tok=tok), tmp_path / "out.gguf")
    assert metadata(tmp_path / "out.gguf")["tokenizer.ggml.pre"] == name


def test_merges_as_pairs_and_other_places_of_the_same_facts(tmp_path):
    tok = tokenizer()
    tok["model"]["merges"] = [list(m) for m in MERGES]
    tok["post_processor"] = None
    c = Checkpoint("llama")
    c.config.update(bos_token_id=1, eos_token_id=[3, 2])
    folder = c.write(tmp_path / "m", tok=tok, tok_config={"add_bos_token": True, "chat_template": "old"})
    (folder / "chat_template.jinja").write_text("new")
    convert(folder, tmp_path / "out.gguf")
    m = metadata(tmp_path / "out.gguf")
    assert m["tokenizer.ggml.merges"] == [f"{a} {b}" for a, b in MERGES]
    assert [m["tokenizer.ggml." + k] for k in ("bos_token_id", "eos_token_id", "eot_token_id", "add_bos_token")] == [1, 3, 2, True]
    assert m["tokenizer.chat_template"] == "new"


@pytest.mark.parametrize("kind,pattern", [("lfm2", LLAMA3), ("qwen2", QWEN2), ("llama", None)])
def test_a_tokenizer_of_the_library_cuts_text_the_same(kind, pattern, tmp_path):
    lib = pytest.importorskip("tokenizers")
    pre = lib.pre_tokenizers
    t = lib.Tokenizer(lib.models.BPE(ignore_merges=kind == "lfm2"))
    t.pre_tokenizer = pre.ByteLevel(add_prefix_space=False) if pattern is None else pre.Sequence(
        [pre.Split(lib.Regex(pattern), "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    with open("README.md", encoding="utf-8") as f:
        t.train_from_iterator(f, lib.trainers.BpeTrainer(vocab_size=700, special_tokens=["<pad>", "<bos>", "<eos>"], show_progress=False,
                                                         initial_alphabet=pre.ByteLevel.alphabet()))
    t.add_tokens([lib.AddedToken("<tool>", normalized=False)])
    t.post_processor = lib.processors.Sequence([lib.processors.ByteLevel(trim_offsets=False), lib.processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 1)])])
    c = Checkpoint(kind, t.get_vocab_size())
    convert(c.write(tmp_path / "m", tok=json.loads(t.to_str())), tmp_path / "out.gguf")
    with open("CHANGELOG.md", encoding="utf-8") as f:
        texts = f.read().splitlines(True) + ["wörld <tool> 12345  \n\n x'LL don't\t\t\u3000y", "日本語 🎉🎉 ١٢٣٤", "<tool>a<tool>", "  "]
    rc, out, err = run("debug", "tokenize", "-m", tmp_path / "out.gguf", stdin="".join(json.dumps(x) + "\n" for x in texts))
    assert rc == 0, err
    assert [json.loads(line) for line in out.splitlines()] == [t.encode(x).ids for x in texts]


# ---- SentencePiece vocabularies ----

PIECES = ["▁", "t", "e", "r", "a", "n", "▁t", "er", "en", "▁te", "ten", "▁ten", "n▁", "on", "o", "▁▁", "▁▁▁", "▁▁▁▁"]     # the best first; the last are equal


def spm_tokenizer():
    """As the library makes one of a SentencePiece model: every way to make a piece of two is a merge, the best piece first."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *PIECES]
    merges = []
    for p in PIECES:
        ways = [(p[:i], p[i:]) for i in range(1, len(p)) if p[:i] in PIECES and p[i:] in PIECES]
        merges += [" ".join(w) for w in sorted(ways, key=lambda w: (PIECES.index(w[0]), PIECES.index(w[1]))) if p.strip("▁")]
    merges += sorted((f"{'▁' * a} {'▁' * b}" for a in range(1, 4) for b in range(1, 5 - a)), key=lambda m: (-m.index(" "), -len(m)))
    return {"added_tokens": [{"id": i, "content": t, "special": True} for i, t in enumerate(tokens[:3])] + [{"id": len(tokens), "content": "<tool>", "special": False}],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
            "pre_tokenizer": None, "decoder": None, "post_processor": {"type": "TemplateProcessing", "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
            "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": {t: i for i, t in enumerate(tokens)}, "merges": merges}}


N_SPM = 3 + 256 + len(PIECES) + 1
SPM_CONFIG = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": {"content": "<unk>"}}


def spm_file(tmp_path, tok):
    for t in tok["added_tokens"]:
        t.update(single_word=False, lstrip=False, rstrip=False, normalized=False)
    convert(Checkpoint("llama", N_SPM).write(tmp_path / "m", tok=tok, tok_config=SPM_CONFIG), tmp_path / "out.gguf")
    return tmp_path / "out.gguf"


@pytest.mark.parametrize("pre", [None, "first", "never"])
def test_a_sentencepiece_vocabulary_gets_its_scores_back(pre, tmp_path):
    tok = spm_tokenizer()
    if pre:
        tok.update(normalizer=None, pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": pre, "split": False})
    m = metadata(spm_file(tmp_path, tok))
    key = lambda k: m["tokenizer.ggml." + k]
    assert (key("model"), key("add_space_prefix"), key("add_bos_token")) == ("llama", pre != "never", True)
    assert [key(k + "_token_id") for k in ("bos", "eos", "unknown")] == [1, 2, 0] and "tokenizer.ggml.merges" not in m
    assert key("token_type") == [2, 3, 3] + [6] * 256 + [1] * len(PIECES) + [4]
    made = [p for p in PIECES if len(p) > 1 and p.strip("▁")]
    score = dict(zip(key("tokens"), key("scores")))
    assert sorted(made, key=lambda p: -score[p]) == made and score["on"] > score["▁▁▁▁"] == score["▁▁▁"] > score["▁▁"]
    assert all(score[p] < score["▁▁"] for p in PIECES if len(p) == 1)
    assert score["<unk>"] == score["<0x41>"] == score["<tool>"] == 0


def test_a_sentencepiece_vocabulary_cuts_text_as_the_library_does(tmp_path):
    lib = pytest.importorskip("tokenizers")
    path, texts = spm_file(tmp_path, spm_tokenizer()), ["ten", "tenon  tenant", *(" " * n + "t" for n in range(9)), "é ten ten", "tente", "tererren", "eren n  en"]
    rc, out, err = run("debug", "tokenize", "-m", path, stdin="".join(json.dumps(x) + "\n" for x in texts))
    if rc and "byte-level BPE" in err:
        pytest.skip("this build reads no SentencePiece vocabularies")
    assert rc == 0, err
    t = lib.Tokenizer.from_file(str(tmp_path / "m" / "tokenizer.json"))
    assert [json.loads(line) for line in out.splitlines()] == [t.encode(x).ids for x in texts]


BAD_SPM = {
    "a merge is missing": (lambda t: t["model"]["merges"].remove("t en"), "model.merges: t en is missing, so this is not the vocabulary"),
    "merges of a piece apart": (lambda t: t["model"]["merges"].append(t["model"]["merges"].pop(t["model"]["merges"].index("▁t en"))), "are mixed; SentencePiece keeps"),
    "a byte is missing": (lambda t: t["model"]["vocab"].pop("<0x7F>"), "<0x7F> is missing; byte_fallback needs"),
    "spaces stay": (lambda t: t.update(normalizer=None), "neither normalizer nor pre_tokenizer replaces spaces"),
    "other normalizer": (lambda t: t.update(normalizer={"type": "NFKC"}), "normalizer: its type is NFKC; a SentencePiece"),
    "cut at spaces": (lambda t: t.update(pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}), "pre_tokenizer: Metaspace must have"),
    "whole words first": (lambda t: t["model"].update(ignore_merges=True), "model.ignore_merges is true"),
}


@pytest.mark.parametrize("why", BAD_SPM)
def test_what_is_not_quite_sentencepiece_is_refused(why, tmp_path):
    change, says = BAD_SPM[why]
    tok = spm_tokenizer()
    change(tok)
    rc, _, err = run("convert", Checkpoint("llama", N_SPM).write(tmp_path / "m", tok=tok, tok_config=SPM_CONFIG), tmp_path / "out.gguf")
    assert rc == 1 and says in err and err.count("\n") == 1, err
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


# ---- names ----

def test_names_are_those_the_gguf_package_knows():
    known = {"lfm2": "LFM2", "llama": "LLAMA", "mistral": "LLAMA", "mixtral": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3"}
    for kind, arch in known.items():
        names, c = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch], LAYERS), Checkpoint(kind)
        plain = {re.sub(r"experts\.\d+\.", "experts.", name) for name in c.folder}
        assert {names.get_name(n, try_suffixes=(".weight", ".bias")) for n in plain} == set(c.file), kind


# ---- from folder to logits: the models as their own library computes them, in float64 ----

class Reference:
    """Reads the tensors of the folder by their names there, so that a row put in the wrong place shows."""

    def __init__(self, c):
        self.c, self.w = c, {n: x.astype(np.float64) for n, x in c.folder.items()}
        cfg = c.config
        self.lfm2, self.eps, self.hd = c.kind.startswith("lfm2"), cfg.get("rms_norm_eps", cfg.get("norm_eps")), c.hd
        theta = cfg.get("rope_theta", cfg.get("rope_parameters", {}).get("rope_theta", 1e4))
        self.freq = theta ** (-2 * np.arange(self.hd // 2) / self.hd)
        if c.kind == "llama":                          # LLAMA_SCALING
            wave = 2 * np.pi / self.freq
            s = (64 / wave - 1) / 3
            self.freq = np.where(wave < 16, self.freq, np.where(wave > 64, self.freq / 8, (1 - s) * self.freq / 8 + s * self.freq))

    def rms(self, x, name):
        return self.w[name] * x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w.get(name + ".bias", 0)

    def conv(self, x, at):
        b, c, u = np.split(self.linear(x, at + "conv.in_proj"), 3, axis=1)
        u = np.vstack([np.zeros((2, D)), b * u])
        taps = self.w[at + "conv.conv.weight"][:, 0]
        return self.linear(c * sum(taps[:, j] * u[j:len(u) - 2 + j] for j in range(3)), at + "conv.out_proj")

    def turn(self, x):
        a, half = np.arange(len(x))[:, None, None] * self.freq, self.hd // 2
        lo, hi = x[..., :half], x[..., half:]
        return np.concatenate([lo * np.cos(a) - hi * np.sin(a), hi * np.cos(a) + lo * np.sin(a)], -1)

    def attention(self, x, at):
        n, at = len(x), at + "self_attn."
        q, k, v = (self.linear(x, f"{at}{p}_proj").reshape(n, -1, self.hd) for p in "qkv")
        norm = "layernorm" if self.lfm2 else "norm"
        if f"{at}q_{norm}.weight" in self.w:
            q, k = self.rms(q, f"{at}q_{norm}.weight"), self.rms(k, f"{at}k_{norm}.weight")
        q, k, window, out = self.turn(q), self.turn(k), self.c.config.get("sliding_window"), np.zeros_like(q)
        hidden = np.triu(np.ones((n, n), bool), 1)
        if window and self.c.kind == "mistral":
            hidden |= np.tril(np.ones((n, n), bool), -window)
        for h in range(HEADS):
            s = np.where(hidden, -np.inf, q[:, h] @ k[:, h * KV // HEADS].T / np.sqrt(self.hd))
            p = np.exp(s - s.max(-1, keepdims=True))
            out[:, h] = p / p.sum(-1, keepdims=True) @ v[:, h * KV // HEADS]
        return self.linear(out.reshape(n, -1), at + ("out_proj" if self.lfm2 else "o_proj"))

    def gated(self, x, gate, up, down):
        g = self.linear(x, gate)
        return self.linear(g / (1 + np.exp(-g)) * self.linear(x, up), down)

    def experts(self, x, at):
        r, out = self.linear(x, at + "gate"), np.zeros_like(x)
        score = 1 / (1 + np.exp(-r)) if self.lfm2 else np.exp(r) / np.exp(r).sum(-1, keepdims=True)
        order = np.argsort(-(score + self.w.get(at + "expert_bias", 0)), axis=-1)[:, :2]
        for t, chosen in enumerate(order):
            for e in chosen:
                y = self.gated(x[t:t + 1], *(f"{at}experts.{e}.w{i}" for i in (1, 3, 2)))
                out[t] += (score[t, e] / score[t, chosen].sum() * y)[0]
        return out

    def feed(self, x, at):
        for part in ("block_sparse_moe.", "feed_forward."):
            if f"{at}{part}gate.weight" in self.w:
                return self.experts(x, at + part)
        if self.lfm2:
            return self.gated(x, *(f"{at}feed_forward.w{i}" for i in (1, 3, 2)))
        return self.gated(x, *(f"{at}mlp.{p}_proj" for p in ("gate", "up", "down")))

    def logits(self, tokens):
        h = self.w["model.embed_tokens.weight"][tokens]
        mix, feed = ("operator_norm", "ffn_norm") if self.lfm2 else ("input_layernorm", "post_attention_layernorm")
        for i in range(LAYERS):
            at = f"model.layers.{i}."
            x = self.rms(h, f"{at}{mix}.weight")
            h = h + (self.conv(x, at) if f"{at}conv.conv.weight" in self.w else self.attention(x, at))
            h = h + self.feed(self.rms(h, f"{at}{feed}.weight"), at)
        h = self.rms(h, "model.embedding_norm.weight" if self.lfm2 else "model.norm.weight")
        return h @ self.w["lm_head.weight" if "lm_head.weight" in self.w else "model.embed_tokens.weight"].T


def logits_of(model, ids, tmp_path, *more):
    rc, _, err = run("debug", "logits", *more, "-m", model, "--tokens", ",".join(map(str, ids)), "-o", tmp_path / "out.f32")
    assert rc == 0, err
    return np.fromfile(tmp_path / "out.f32", "<f4").reshape(len(ids), N_VOCAB)


@pytest.mark.parametrize("kind", [*CONFIGS, "windowed mistral"])
def test_the_file_gives_the_logits_of_the_folder(kind, tmp_path):
    c = Checkpoint(kind.split()[-1])
    if kind.startswith("windowed"):
        c.config["sliding_window"] = 4
    convert(c.write(tmp_path / "m", "F32"), tmp_path / "out.gguf")
    ids = [1, 70, 9, 200, 33, 261, 5, 128, 77, 77, 3]
    want = Reference(c).logits(ids)
    for model, more, most in (("out.gguf", ["--ref"], 1e-5), ("out.gguf", [], 2e-3), ("out.gguf", ["--decode"], 2e-3), ("m", ["--ref"], 1e-5)):
        got = logits_of(tmp_path / model, ids, tmp_path, *more)
        assert np.linalg.norm(got - want) / np.linalg.norm(want) < most, (model, more)


# ---- the same checkpoints through the library itself; its logits are kept (transformers_logits.py) ----

LIBRARY_IDS = [1, 70, 9, 200, 33, 261, 5, 128, 77, 77, 3]
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}
SPECIAL = {
    "windowed mistral": {"sliding_window": 4},
    "stretched qwen2": {"rope_scaling": YARN},
    "stretched llama": {"rope_scaling": {**YARN, "attention_factor": 1.3, "beta_fast": 8.0, "beta_slow": 0.5}},
    "linear llama": {"rope_scaling": {"rope_type": "linear", "factor": 3.0}},
}
LIBRARY = [*CONFIGS, *SPECIAL]


def library_checkpoint(kind):
    c = Checkpoint(kind.split()[-1])
    if c.kind == "mistral":                            # the library knows no biases there
        c.folder = {n: x for n, x in c.folder.items() if not n.endswith("bias")}
    c.config.update(SPECIAL.get(kind, {}))
    return c


@pytest.mark.parametrize("kind", LIBRARY)
def test_the_logits_are_those_of_transformers(kind, tmp_path):
    want = np.load(pathlib.Path(__file__).parent / "data" / "transformers.npz")[kind]
    convert(library_checkpoint(kind).write(tmp_path / "m", "F32"), tmp_path / "out.gguf")
    for model, more, most in (("out.gguf", ["--ref"], 1e-5), ("m", ["--ref"], 1e-5), ("out.gguf", [], 2e-3)):
        got = logits_of(tmp_path / model, LIBRARY_IDS, tmp_path, *more)
        assert np.linalg.norm(got - want) / np.linalg.norm(want) < most, (model, more)


# ---- adapters of the PEFT library ----

def peft(folder, changes=None, config=None, drop=()):
    """An adapter for Checkpoint("llama"), of rank 4: q and v of layer 0, down of layer 2."""
    folder.mkdir()
    rng, got = np.random.default_rng(3), {}
    for module, n_in, n_out in (("0.self_attn.q_proj", D, HEADS * HD), ("0.self_attn.v_proj", D, KV * HD), ("2.mlp.down_proj", FF, D)):
        at = f"base_model.model.model.layers.{module}."
        got[at + "lora_A.weight"] = rng.standard_normal((4, n_in)).astype(np.float32) / 8
        got[at + "lora_B.weight"] = rng.standard_normal((n_out, 4)).astype(np.float32) / 8
    got.update(changes or {})
    write_safetensors(folder / "adapter_model.safetensors", {n: x for n, x in got.items() if n not in drop}, "F32")
    (folder / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_rslora": False, "bias": "none", "target_modules": ["q_proj"],
        "modules_to_save": None, "rank_pattern": {}, "alpha_pattern": {}, **(config or {})}))
    return got


@pytest.mark.parametrize("rooted", [False, True])
def test_a_peft_folder_is_an_adapter(rooted, tmp_path):
    c = Checkpoint("llama")
    c.write(tmp_path / "m", "F32")
    got = peft(tmp_path / "a", config={"use_rslora": rooted})
    ids = [1, 70, 9, 200, 33, 261]
    scale = 0.5 * 8 / (2 if rooted else 4)
    for name in [n for n in got if "lora_A" in n]:
        c.folder[name[len("base_model.model."):].replace("lora_A.", "")] += scale * got[name.replace("_A", "_B")] @ got[name]
    want = Reference(c).logits(ids)
    args = ["--tokens", ",".join(map(str, ids)), "-o", tmp_path / "out.f32", "--ref"]
    rc, _, err = run("debug", "logits", "-m", tmp_path / "m", "--lora", tmp_path / "a", "--lora-scale", 0.5, *args)
    assert rc == 0, err
    assert np.linalg.norm(np.fromfile(tmp_path / "out.f32", "<f4") - want.ravel()) / np.linalg.norm(want) < 1e-5
    rc, _, err = run("merge", "-m", tmp_path / "m", "--lora", f"{tmp_path / 'a'}=0.5", tmp_path / "merged.gguf")
    assert rc == 0, err
    rc, _, err = run("debug", "logits", "-m", tmp_path / "merged.gguf", *args)
    assert rc == 0 and np.linalg.norm(np.fromfile(tmp_path / "out.f32", "<f4") - want.ravel()) / np.linalg.norm(want) < 1e-5, err


# Adapters as the PEFT library computes them (transformers_logits.py): changes to config and tensors of peft().
def of_rank(r, module, n_in, n_out, seed):
    rng = np.random.default_rng(seed)
    return {module + "lora_A.weight": rng.standard_normal((r, n_in)).astype(np.float32) / 8, module + "lora_B.weight": rng.standard_normal((n_out, r)).astype(np.float32) / 8}


def of_tokens(r, seed):
    rng, at = np.random.default_rng(seed), "base_model.model.model.embed_tokens.lora_embedding_"
    return {at + "A": rng.standard_normal((r, N_VOCAB)).astype(np.float32) / 8, at + "B": rng.standard_normal((D, r)).astype(np.float32) / 8}


ADAPTED = {
    "plain": ("llama", {}, {}),
    "own alphas": ("llama", {"alpha_pattern": {"q_proj": 3.0, "layers.2.mlp.down_proj": 20}}, {}),
    "own ranks": ("llama", {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"v_proj": 5}, "use_rslora": True},
                  of_rank(2, "base_model.model.model.layers.0.self_attn.v_proj.", D, KV * HD, 8)),
    "tokens": ("llama", {"alpha_pattern": {"embed_tokens": 6}}, of_tokens(4, 9)),
    "tokens of a tied model": ("qwen2", {}, of_tokens(4, 9)),
}


@pytest.mark.parametrize("name", ADAPTED)
def test_an_adapter_computes_what_peft_computes(name, tmp_path):
    want = np.load(pathlib.Path(__file__).parent / "data" / "transformers.npz")["adapted " + name]
    kind, config, changes = ADAPTED[name]
    Checkpoint(kind).write(tmp_path / "m", "F32")
    peft(tmp_path / "a", changes, config)
    got = logits_of(tmp_path / "m", LIBRARY_IDS, tmp_path, "--ref", "--lora", tmp_path / "a")
    assert np.linalg.norm(got - want) / np.linalg.norm(want) < 1e-5
    rc, _, err = run("merge", "-m", tmp_path / "m", "--lora", tmp_path / "a", tmp_path / "merged.gguf")
    if "tied" in name:
        assert rc == 1 and "use the adapter beside the model" in err and not (tmp_path / "merged.gguf").exists()
        return
    assert rc == 0, err
    got = logits_of(tmp_path / "merged.gguf", LIBRARY_IDS, tmp_path, "--ref")
    assert np.linalg.norm(got - want) / np.linalg.norm(want) < 1e-5


def write_adapter(path, arch, tensors, alpha=8):
    w = gguf.GGUFWriter(path, arch)
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", alpha)
    for n, x in tensors.items():
        w.add_tensor(n, x)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


@pytest.mark.parametrize("kind,part,n_ff", [("mixtral", "block_sparse_moe", FF), ("lfm2_moe", "feed_forward", 32)])
def test_adapters_of_experts(kind, part, n_ff, tmp_path):
    c, rng, tensors = Checkpoint(kind), np.random.default_rng(4), {}
    c.write(tmp_path / "m", "F32")
    for to, hf, n_in, n_out in (("up", "w3", D, n_ff), ("down", "w2", n_ff, D)):
        a, b = (rng.standard_normal(s).astype(np.float32) / 8 for s in ((4, 3, n_in), (4, n_out, 3)))
        tensors[f"blk.1.ffn_{to}_exps.weight.lora_a"], tensors[f"blk.1.ffn_{to}_exps.weight.lora_b"] = a, b
        for e in range(4):
            c.folder[f"model.layers.1.{part}.experts.{e}.{hf}.weight"] += 8 / 3 * b[e] @ a[e]
    write_adapter(tmp_path / "a.gguf", ARCH.get(kind, kind), tensors)
    want = Reference(c).logits(LIBRARY_IDS)
    got = logits_of(tmp_path / "m", LIBRARY_IDS, tmp_path, "--ref", "--lora", tmp_path / "a.gguf")
    assert np.linalg.norm(got - want) / np.linalg.norm(want) < 1e-5
    rc, _, err = run("merge", "-m", tmp_path / "m", "--lora", tmp_path / "a.gguf", tmp_path / "merged.gguf")
    assert rc == 0, err
    got = logits_of(tmp_path / "merged.gguf", LIBRARY_IDS, tmp_path, "--ref")
    assert np.linalg.norm(got - want) / np.linalg.norm(want) < 1e-5
    tensors["blk.1.ffn_up_exps.weight.lora_a"] = tensors["blk.1.ffn_up_exps.weight.lora_a"][:3]
    write_adapter(tmp_path / "b.gguf", ARCH.get(kind, kind), tensors)
    rc, _, err = run("merge", "-m", tmp_path / "m", "--lora", tmp_path / "b.gguf", tmp_path / "bad.gguf")
    assert rc == 1 and "must be 64 x r x 4 and r x" in err, err


L0 = "base_model.model.model.layers.0."
@pytest.mark.parametrize("config,changes,drop,says", [
    ({"peft_type": "IA3"}, {}, (), "peft_type"), ({"use_dora": True}, {}, (), "use_dora"), ({"bias": "all"}, {}, (), "bias"),
    ({"lora_alpha": "8"}, {}, (), "lora_alpha"), ({"alpha_pattern": {"q_proj|v_proj": 4}}, {}, (), "alpha_pattern has the key q_proj|v_proj"),
    ({"alpha_pattern": {"q_proj": "4"}}, {}, (), "alpha_pattern: q_proj is no number"),
    ({}, {"base_model.model.lm_head.weight": np.zeros((3, 3), np.float32)}, (), "lm_head.weight is neither"),
    ({}, {L0 + "self_attn.w_proj.lora_A.weight": np.zeros((4, D), np.float32)}, (), "w_proj"),
    ({}, {L0 + "mlp.up_proj.lora_A.weight": np.zeros((4, D), np.float32)}, (), "blk.0.ffn_up.weight.lora_b is missing"),
    ({}, {L0 + "self_attn.q_proj.lora_B.weight": np.zeros((HEADS * HD + 1, 4), np.float32)}, (), "multiple of the 16"),
    ({}, {L0 + "self_attn.v_proj.lora_B.weight": np.zeros((KV * HD + 1, 4), np.float32)}, (), "must be"),
])
def test_what_an_adapter_cannot_be_is_refused(config, changes, drop, says, tmp_path):
    Checkpoint("llama").write(tmp_path / "m", "F32")
    peft(tmp_path / "a", changes, config, drop)
    rc, out, err = run("merge", "-m", tmp_path / "m", "--lora", tmp_path / "a", tmp_path / "out.gguf")
    assert rc != 0 and not out and says in err and len(err.splitlines()) == 1, err
    assert not (tmp_path / "out.gguf").exists()


# ---- what is refused ----

BAD = {
    "unknown model": (lambda c, t: c.config.update(model_type="gpt_neox"), "config.json: model_type is gpt_neox; lfm2, lfm2_moe, llama"),
    "no model type": (lambda c, t: c.config.pop("model_type"), "model_type is missing"),
    "a classifier": (lambda c, t: c.config.update(architectures=["LlamaForSequenceClassification"]), "LlamaForSequenceClassification; only"),
    "quantised": (lambda c, t: c.config.update(quantization_config={"quant_method": "fp8"}), "quantization_config is set"),
    "other activation": (lambda c, t: c.config.update(hidden_act="gelu"), "hidden_act is gelu; only silu"),
    "part of the head rotates": (lambda c, t: c.config.update(partial_rotary_factor=0.5), "partial_rotary_factor is 0.5; only 1"),
    "no layers": (lambda c, t: c.config.update(num_hidden_layers=0), "num_hidden_layers must be an integer of 1 to 1024"),
    "layers as text": (lambda c, t: c.config.update(num_hidden_layers="3"), "num_hidden_layers must be an integer"),
    "too many layers": (lambda c, t: c.config.update(num_hidden_layers=10**9), "num_hidden_layers must be an integer of 1 to 1024"),
    "width missing": (lambda c, t: c.config.pop("hidden_size"), "config.json: hidden_size is missing"),
    "heads do not divide": (lambda c, t: c.config.update(num_key_value_heads=3), "num_key_value_heads 3 must divide num_attention_heads 4"),
    "odd head": (lambda c, t: c.config.update(head_dim=15), "head_dim must be even"),
    "longrope": (lambda c, t: c.config.update(rope_scaling={"type": "longrope", "factor": 4}), "rope_scaling: rope_type is longrope; default, linear, llama3 and yarn"),
    "yarn cut short": (lambda c, t: c.config.update(rope_scaling={"type": "yarn", "factor": 4}), "rope_scaling: original_max_position_embeddings is missing"),
    "yarn of another kind": (lambda c, t: c.config.update(rope_scaling={"type": "yarn", "factor": 4, "original_max_position_embeddings": 8, "mscale": 2}), "mscale, mscale_all_dim"),
    "scaling cut short": (lambda c, t: c.config.update(rope_scaling={"rope_type": "llama3", "factor": 8}), "rope_scaling: low_freq_factor is missing"),
    "theta as text": (lambda c, t: c.config.update(rope_theta="1e6"), "rope_theta must be a number between"),
    "windowed layers": (lambda c, t: c.config.update(layer_types=["full_attention", "sliding_attention", "full_attention"]), "layer_types[1] is not"),
    "layer types cut short": (lambda c, t: c.config.update(layer_types=["full_attention"]), "layer_types has 1 entries"),
    "fewer layers than tensors": (lambda c, t: c.config.update(num_hidden_layers=2), "tensor model.layers.2.input_layernorm.weight has no place in a model of type llama with 2 layers"),
    "more layers than tensors": (lambda c, t: c.config.update(num_hidden_layers=4), "tensor model.layers.3.input_layernorm.weight is missing"),
    "missing tensor": (lambda c, t: c.folder.pop("model.layers.1.mlp.up_proj.weight"), "tensor model.layers.1.mlp.up_proj.weight is missing"),
    "unknown tensor": (lambda c, t: c.folder.update({"model.vision.weight": np.zeros((2, 2), np.float32)}), "tensor model.vision.weight has no place"),
    "other shape": (lambda c, t: c.config.update(intermediate_size=97), "mlp.gate_proj.weight has the shape [96, 64], config.json makes it [97, 64]"),
    "no output matrix": (lambda c, t: c.folder.pop("lm_head.weight"), "tie_word_embeddings is false, but there is no tensor lm_head.weight"),
    "SentencePiece": (lambda c, t: t["model"].update(byte_fallback=True), "tokenizer.json: pre_tokenizer: its type is Sequence; a SentencePiece vocabulary is read with Metaspace"),
    "unigrams": (lambda c, t: t["model"].update(type="Unigram"), "model.type is Unigram; only BPE"),
    "suffixes": (lambda c, t: t["model"].update(end_of_word_suffix="</w>"), "model.end_of_word_suffix is set"),
    "lower case": (lambda c, t: t.update(normalizer={"type": "Lowercase"}), "normalizer is Lowercase; none or NFC"),
    "no pre-tokenizer": (lambda c, t: t.update(pre_tokenizer=None), "pre_tokenizer: its type is missing; ByteLevel, Split"),
    "other pattern": (lambda c, t: t.update(pre_tokenizer=split(r"\w+")), r"pre_tokenizer: its pattern \w+ is not one of those known"),
    "digits apart": (lambda c, t: t["pre_tokenizer"]["pretokenizers"].insert(0, {"type": "Digits"}), "its type is Digits; ByteLevel"),
    "space in front": (lambda c, t: t.update(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True}), "ByteLevel adds a space in front"),
    "no vocabulary": (lambda c, t: t["model"].pop("vocab"), "model.vocab is missing"),
    "id beyond the rows": (lambda c, t: t["model"]["vocab"].update(zz=N_VOCAB), f"token zz: its id is not one of the {N_VOCAB} rows"),
    "negative id": (lambda c, t: t["model"]["vocab"].update(zz=-1), "token zz: its id is not one"),
    "one id twice": (lambda c, t: t["model"]["vocab"].update(zz=5), "both have the id 5"),
    "added token elsewhere": (lambda c, t: t["added_tokens"][4].update(id=6), "added_tokens[4]: tokens"),
    "added token without text": (lambda c, t: t["added_tokens"][4].pop("content"), "added_tokens[4]: content is missing"),
    "merge of one": (lambda c, t: t["model"].update(merges=["ab"]), "model.merges[0]: it is not two tokens"),
    "merge of three": (lambda c, t: t["model"].update(merges=[["a", "b", "c"]]), "model.merges[0]: it is neither"),
    "merge with a blank": (lambda c, t: t["model"].update(merges=[["a b", "c"]]), "model.merges[0]: it is neither"),
    "merge of the unknown": (lambda c, t: t["model"].update(merges=["a b", "b c"]), "model.merges[1]: b c: both tokens and the two joined"),
    "other bos in front": (lambda c, t: t["post_processor"]["processors"][1]["single"][0]["SpecialToken"].update(id="<pad>"), "post_processor adds <pad>, which is not the bos"),
    "eos beyond the rows": (lambda c, t: c.config.update(eos_token_id=[2, 1000]), "config.json: eos_token_id is not an id of 0 to"),
}


@pytest.mark.parametrize("why", BAD)
def test_what_would_not_be_the_same_model_is_refused(why, tmp_path):
    change, says = BAD[why]
    c, tok = Checkpoint("llama"), tokenizer()
    change(c, tok)
    folder = c.write(tmp_path / "m", tok=tok)
    rc, out, err = run("convert", folder, tmp_path / "out.gguf")
    assert rc == 1 and out == "" and says in err and str(folder) in err and err.count("\n") == 1, err
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_folders_that_are_not_whole(tmp_path):
    folder, out = Checkpoint("lfm2").write(tmp_path / "m"), tmp_path / "out.gguf"
    for name, says in {"config.json": "No such file", "model.safetensors": "neither model.safetensors nor", "tokenizer.json": "tokenizer.json is not in the folder"}.items():
        text = (folder / name).read_bytes()
        (folder / name).unlink()
        rc, _, err = run("convert", folder, out)
        assert rc == 1 and says in err, err
        (folder / name).write_bytes(text[:-1])
        rc, _, err = run("convert", folder, out)
        assert rc == 1 and name in err and err.count("\n") == 1, err
        (folder / name).write_bytes(text)
    rc, _, err = run("convert", folder, out, "Q9_X")
    assert rc == 1 and "type 'Q9_X' is unknown" in err and not out.exists()
    convert(folder, out)


def test_infinite_weights_end_the_run(tmp_path):
    c = Checkpoint("lfm2")
    c.folder["model.layers.0.feed_forward.w1.weight"][3, 3] = np.inf
    rc, _, err = run("convert", c.write(tmp_path / "m", "F32"), tmp_path / "out.gguf", "Q8_0")
    assert rc == 1 and "blk.0.ffn_gate.weight" in err and "not finite" in err
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
