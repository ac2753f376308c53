"""tenon imatrix and quantize --imatrix: sums against numpy, files that the gguf package reads and writes, and
smaller weighted errors in every format that chooses its scales. TENON names the binary."""
import json
import pathlib

import pytest

np = pytest.importorskip("numpy")
gguf = pytest.importorskip("gguf")
from test_convert import Checkpoint, convert, metadata, run

PROSE = "a tab of cabs and bats abacab " * 6 + "über Ähren 12345 ☃ end"


def model(kind, folder):
    c = Checkpoint(kind)
    template = pathlib.Path(__file__).parent.parent / "templates" / "lfm2.jinja"
    convert(c.write(folder / "m", "F32", tok_config={"bos_token": "<bos>", "eos_token": "<eos>", "chat_template": template.read_text()}), folder / f"{kind}.gguf")
    return c, folder / f"{kind}.gguf"


def imatrix(path, out, *more):
    rc, stdout, err = run("imatrix", "-m", path, "-o", out, "--json", *more)
    assert rc == 0, err
    return json.loads(stdout)


def read(path):
    return {t.name: np.array(t.data, np.float32).reshape([int(d) for d in reversed(t.shape)]) for t in gguf.GGUFReader(path).tensors}


def tokens(path, text):
    rc, out, err = run("debug", "tokenize", "--no-special", "-m", path, stdin=json.dumps(text) + "\n")
    assert rc == 0, err
    return json.loads(out)


@pytest.fixture
def prose(tmp_path):
    (tmp_path / "prose.txt").write_text(PROSE)
    return tmp_path / "prose.txt"


def test_sums_are_those_of_the_inputs(prose, tmp_path):
    c, path = model("llama", tmp_path)
    got = imatrix(path, tmp_path / "i.gguf", "-f", prose, "--chunk", 40)
    ids, seen = tokens(path, PROSE), []
    for at in range(0, len(ids) - 38, 39):                                      # a piece begins with bos
        seen += [1, *ids[at:at + 39]]
    x = c.folder["model.embed_tokens.weight"].astype(np.float64)[seen]
    x *= c.folder["model.layers.0.input_layernorm.weight"] / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
    sums, want = read(tmp_path / "i.gguf"), (x * x).sum(0)
    assert got["tokens"] == len(seen) and got["texts"] == len(seen) // 40
    for name in ("attn_q", "attn_k", "attn_v"):
        assert np.allclose(sums[f"blk.0.{name}.weight.in_sum2"][0], want, rtol=1e-5), name
        assert sums[f"blk.0.{name}.weight.counts"][0] == len(seen)
    matrices = [n for n in c.file if len(c.file[n][1][0].shape) == 2 and n != "token_embd.weight"]
    assert sorted(n[:-len(".in_sum2")] for n in sums if n.endswith(".in_sum2")) == sorted(matrices)
    keys = metadata(tmp_path / "i.gguf")
    assert keys["general.type"] == "imatrix" and keys["imatrix.datasets"] == [str(prose)]
    assert keys["imatrix.chunk_count"] == got["texts"] and keys["imatrix.chunk_size"] == 40
    assert np.isfinite(got["perplexity"]) and got["perplexity"] > 1


def test_every_expert_counts_its_own_tokens(prose, tmp_path):
    c, path = model("mixtral", tmp_path)
    n = imatrix(path, tmp_path / "i.gguf", "-f", prose)["tokens"]
    sums = read(tmp_path / "i.gguf")
    for layer in range(3):
        counts = sums[f"blk.{layer}.ffn_gate_exps.weight.counts"]
        assert counts.shape == (4, 1) and counts.sum() == 2 * n and sums[f"blk.{layer}.ffn_down_exps.weight.in_sum2"].shape == (4, 96)


def test_conversations_and_going_on(tmp_path):
    _, path = model("lfm2", tmp_path)
    (tmp_path / "c.jsonl").write_text("\n".join(json.dumps(x) for x in (
        {"messages": [{"role": "user", "content": "a cab"}], "answer": {"role": "assistant", "content": "bats"}},
        {"messages": [{"role": "nobody", "content": "x"}]},
        {"messages": [{"role": "user", "content": "tab"}], "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
         "answer": {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}})))
    rc, out, err = run("imatrix", "-m", path, "-o", tmp_path / "a.gguf", "--data", tmp_path / "c.jsonl", "--dialect", "lfm2", "--json")
    assert rc == 0 and json.loads(out)["texts"] == 2 and "skipped line=2" in err, err
    imatrix(path, tmp_path / "b.gguf", "--data", tmp_path / "c.jsonl", "--dialect", "lfm2", "--add", tmp_path / "a.gguf")
    a, b = read(tmp_path / "a.gguf"), read(tmp_path / "b.gguf")
    assert "token_embd.weight.in_sum2" in a                                      # tied: it is the output matrix as well
    assert all(np.allclose(b[n], 2 * a[n], rtol=1e-6) for n in a) and set(a) == set(b)


def write_imatrix(path, of, kind="imatrix"):
    w = gguf.GGUFWriter(path, "x")
    w.add_type(kind)
    w.add_array("imatrix.datasets", ["made up"])
    w.add_uint32("imatrix.chunk_count", 3)
    for name, sums in of.items():
        w.add_tensor(f"{name}.in_sum2", sums.reshape(-1, sums.shape[-1]))
        w.add_tensor(f"{name}.counts", np.ones((sums.size // sums.shape[-1], 1), np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


SEARCHED = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "Q2_K", "Q3_K_M", "Q4_K_S", "Q5_K_S", "Q6_K", "IQ4_XS"]


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """One matrix with rows of 256, and columns of very different importance."""
    d, rng = tmp_path_factory.mktemp("wide"), np.random.default_rng(5)
    w = gguf.GGUFWriter(d / "wide.gguf", "lfm2")
    x = rng.standard_normal((64, 256)).astype(np.float32)
    w.add_tensor("blk.0.ffn_up.weight", x)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    importance = np.exp(2 * rng.standard_normal(256)).astype(np.float32)
    write_imatrix(d / "i.gguf", {"blk.0.ffn_up.weight": importance})
    return d, x, importance


@pytest.mark.parametrize("mix", [*SEARCHED, "Q8_0"])
def test_what_matters_more_is_rounded_better(mix, wide, tmp_path):
    d, x, importance = wide
    error = {}
    for name, more in (("without", []), ("with", ["--imatrix", d / "i.gguf"])):
        rc, _, err = run("quantize", "--pure", d / "wide.gguf", tmp_path / name, mix, *more)
        assert rc == 0, err
        t = gguf.GGUFReader(tmp_path / name).tensors[0]
        y = gguf.quants.dequantize(t.data, t.tensor_type).reshape(x.shape)
        error[name] = float((importance * (x - y) ** 2).sum())
    assert error["with"] < 0.93 * error["without"] if mix in SEARCHED else error["with"] == error["without"], error
    keys = metadata(tmp_path / "with")
    assert keys["quantize.imatrix.file"] == str(d / "i.gguf") and keys["quantize.imatrix.dataset"] == "made up"
    assert keys["quantize.imatrix.entries_count"] == 1 and keys["quantize.imatrix.chunks_count"] == 3
    assert not [k for k in metadata(tmp_path / "without") if k.startswith("quantize.")]


def test_what_does_not_fit_is_refused(wide, prose, tmp_path):
    d, _, importance = wide
    def says(text, *args):
        rc, _, err = run(*args)
        assert rc in (1, 2) and text in err, err
        assert not (tmp_path / "out").exists()
    quantize = ("quantize", d / "wide.gguf", tmp_path / "out", "Q4_0", "--imatrix")
    says("general.type", *quantize, d / "wide.gguf")
    write_imatrix(tmp_path / "adapter.gguf", {"blk.0.ffn_up.weight": importance}, kind="adapter")
    says("says 'imatrix'", *quantize, tmp_path / "adapter.gguf")
    write_imatrix(tmp_path / "other.gguf", {"blk.7.ffn_up.weight": importance})
    says("knows no matrix of this model (blk.0.ffn_up.weight, for one)", *quantize, tmp_path / "other.gguf")
    write_imatrix(tmp_path / "narrow.gguf", {"blk.0.ffn_up.weight": importance[:64]})
    says("it belongs to another model", *quantize, tmp_path / "narrow.gguf")
    write_imatrix(tmp_path / "bad.gguf", {"blk.0.ffn_up.weight": -importance})
    says("negative or not finite", *quantize, tmp_path / "bad.gguf")
    _, path = model("llama", tmp_path)
    says("--text FILE or --data FILE is needed", "imatrix", "-m", path, "-o", tmp_path / "out")
    says("-o FILE is missing", "imatrix", "-m", path, "-f", prose)
    (tmp_path / "empty").write_text("")
    says("fewer than 2 tokens", "imatrix", "-m", path, "-o", tmp_path / "out", "-f", tmp_path / "empty")
    says("no text was run", "imatrix", "-m", path, "-o", tmp_path / "out", "--data", tmp_path / "empty")
