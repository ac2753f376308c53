"""tenon train, train plot and train export as a user types them. TENON names the binary."""
import json
import re
import os
import subprocess

import pytest

TENON = os.environ.get("TENON", "build/tenon")
VOCAB = "models/vocab-1024.gguf"


def tenon(*args):
    p = subprocess.run([TENON, *map(str, args)], capture_output=True, text=True, timeout=300)
    return p.returncode, p.stdout, p.stderr


def train(run, *args):
    return tenon("train", "--shape", "nano", "--vocab", VOCAB, "--run", run, "--tokens", 512, "--eval-every", 0,
                 "--log-every", 0.001, "--json", *args)


def test_a_run_goes_on_and_becomes_a_model(tmp_path):
    run, out = tmp_path / "run", tmp_path / "model.gguf"
    rc, text, err = train(run, "--steps", 2)
    assert rc == 0, err
    first = json.loads(text)
    assert first["steps"] == 2 and first["tokens"] >= 1024 and not first["stopped"]
    assert (run / "step-000000002.ckpt").exists()

    rc, text, err = train(run, "--steps", 4, "--continue", "--out", out, "--type", "F32")
    assert rc == 0, err
    assert json.loads(text)["steps"] == 4 and json.loads(text)["tokens"] > first["tokens"]

    again = tmp_path / "again.gguf"
    rc, _, err = tenon("train", "export", run / "step-000000004.ckpt", again, "--vocab", VOCAB, "--type", "F32")
    assert rc == 0, err
    assert again.read_bytes() == out.read_bytes(), "the end of a run and its checkpoint give one file"
    rc, _, err = tenon("train", "export", run / "step-000000004.ckpt", again, "--vocab", VOCAB, "--ctx", 4096)
    assert rc == 0 and re.search(r"context_length\s.*4096", tenon("inspect", again)[1]), err
    rc, text, err = tenon("inspect", again)
    assert rc == 0 and "lfm2" in text and "token_embd_norm.weight" in text, err

    rows = (run / "log.tsv").read_text().splitlines()
    assert rows[0].startswith("step\ttokens\t") and [r.split("\t")[0] for r in rows[1:]][-1] == "4"
    svg = tmp_path / "loss.svg"
    rc, text, err = tenon("train", "plot", run / "log.tsv", "-c", "loss", "--svg", svg)
    assert rc == 0 and text.startswith("loss: ") and "</svg>" in svg.read_text(), err


def test_a_run_begins_with_the_weights_of_a_model(tmp_path):
    first, out, again = tmp_path / "first.gguf", tmp_path / "out.gguf", tmp_path / "again.gguf"
    assert train(tmp_path / "a", "--steps", 1, "--out", first, "--type", "F32")[0] == 0
    run = ("train", "--from", first, "--run", tmp_path / "b", "--tokens", 512, "--eval-every", 0, "--type", "F32", "--json")
    rc, _, err = tenon(*run, "--steps", 1, "--lr", 1e-30, "--out", out)
    assert rc == 0, err
    rc, text, err = tenon("call", "-m", out, "--tools", "examples/home.json", "--tool-choice", "required", "--max-tokens", 300, "dim it")
    assert rc == 0 and "(" in text, err
    assert out.read_bytes() == first.read_bytes(), "its shape, tokenizer and weights: a step of no size changes nothing"
    rc, _, err = tenon(*run, "--steps", 2, "--continue", "--out", again)
    assert rc == 0 and again.read_bytes() != out.read_bytes(), err
    rc, _, err = tenon(*run, "--steps", 1, "--vocab", "models/vocab-2048.gguf")
    assert rc == 1 and "2048" in err and "1024" in err, err


def test_statistics_say_what_is_held_out():
    rc, text, err = tenon("data", "--stats", 200, "--json")
    assert rc == 0, err
    told = json.loads(text)
    assert told["collisions"] == 0 and told["held_names"] > 200, told
    rc, text, err = tenon("data", "--stats", 50)
    assert rc == 0 and "names of tools in E2, 0 of them in training" in text, err


def test_a_shard_has_one_loss_under_a_checkpoint(tmp_path):
    run, shard, other = tmp_path / "run", tmp_path / "a.shard", tmp_path / "b.shard"
    assert train(run, "--steps", 1)[0] == 0
    assert tenon("data", "--shards", 40, "--vocab", VOCAB, "--out", shard)[0] == 0
    assert tenon("data", "--shards", 2, "--vocab", "models/vocab-2048.gguf", "--out", other)[0] == 0
    loss = ("train", "loss", run / "step-000000001.ckpt")
    plain, fast = (json.loads(tenon(*loss, shard, "--isa", isa, "--tokens", 1500)[1]) for isa in ("plain", "f32"))
    assert plain["rows"] == fast["rows"] <= 1500 and plain["conversations"] > 1
    for key in ("loss", "grad_norm", "weight"):
        assert abs(plain[key] - fast[key]) <= 1e-3 * plain[key], key
    assert 5 < plain["loss"] < 9, "before training all tokens are about equally likely"
    first, last = (json.loads(tenon(*loss, shard, "--stage", s)[1])["weight"] for s in (1, 3))
    assert first > last, "prompts weigh nothing in the last stage"
    shard.write_bytes(shard.read_bytes()[:500])
    for path, says in ((other, "2048 tokens"), (VOCAB, "not a shard"), (shard, "no conversation")):
        rc, out, err = tenon(*loss, path)
        assert rc == 1 and out == "" and says in err, err


@pytest.mark.parametrize("args, status, says", [
    (["train", "--steps", 1], 2, "--vocab is missing"),
    (["train", "--steps", 1, "--vocab", "no-such.gguf"], 1, "no-such.gguf"),
    (["train", "--vocab", VOCAB, "--shape", "nano"], 1, "steps or a time budget"),
    (["train", "--vocab", VOCAB, "--shape", "huge", "--steps", 1], 1, "nano, small, base and deep"),
    (["train", "--vocab", VOCAB, "--steps", 1, "--packs", "no-such-folder"], 1, "no-such-folder"),
    (["train", "--vocab", VOCAB, "--steps", 1, "--isa", "abacus"], 1, "abacus"),
    (["train", "--vocab", VOCAB, "--steps", 1, "--resume", VOCAB], 1, "not a checkpoint"),
    (["train", "export", VOCAB, "x.gguf", "--vocab", VOCAB], 1, "not a checkpoint"),
    (["train", "export", VOCAB, "x.gguf", "--vocab", VOCAB, "--ctx", -1], 2, "--ctx"),
    (["train", "export", VOCAB, "x.gguf", "--vocab", VOCAB, "--type", "Q9_9"], 1, "Q9_9"),
    (["train", "loss", VOCAB, VOCAB], 1, "not a checkpoint"),
    (["train", "loss", VOCAB, VOCAB, "--stage", 4], 2, "--stage"),
    (["train", "plot", "no-such.tsv"], 1, "no-such.tsv"),
    (["train", "plot", VOCAB, "--width", 1], 2, "--width"),
])
def test_what_cannot_be_done_is_one_line(args, status, says, tmp_path):
    if args[0] == "train" and len(args) > 1 and args[1] not in ("export", "loss", "plot"):
        args = args + ["--run", tmp_path / "run"]
    rc, out, err = tenon(*args)
    assert rc == status, err
    assert out == "" and len(err.strip().splitlines()) == 1 and says in err, err
    assert not os.path.exists("x.gguf")
