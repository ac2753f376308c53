"""tenon train, train plot and train export as a user types them. TENON names the binary."""
import json
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
    rc, text, err = tenon("inspect", again)
    assert rc == 0 and "lfm2" in text and "token_embd_norm.weight" in text, err

    rows = (run / "log.tsv").read_text().splitlines()
    assert rows[0].startswith("step\ttokens\t") and [r.split("\t")[0] for r in rows[1:]][-1] == "4"
    svg = tmp_path / "loss.svg"
    rc, text, err = tenon("train", "plot", run / "log.tsv", "-c", "loss", "--svg", svg)
    assert rc == 0 and text.startswith("loss: ") and "</svg>" in svg.read_text(), err


@pytest.mark.parametrize("args, status, says", [
    (["train", "--steps", 1], 2, "--vocab is missing"),
    (["train", "--steps", 1, "--vocab", "no-such.gguf"], 1, "no-such.gguf"),
    (["train", "--vocab", VOCAB, "--shape", "nano"], 1, "steps or a time budget"),
    (["train", "--vocab", VOCAB, "--shape", "huge", "--steps", 1], 1, "nano, small, base and deep"),
    (["train", "--vocab", VOCAB, "--steps", 1, "--packs", "no-such-folder"], 1, "no-such-folder"),
    (["train", "--vocab", VOCAB, "--steps", 1, "--isa", "abacus"], 1, "abacus"),
    (["train", "--vocab", VOCAB, "--steps", 1, "--resume", VOCAB], 1, "not a checkpoint"),
    (["train", "export", VOCAB, "x.gguf", "--vocab", VOCAB], 1, "not a checkpoint"),
    (["train", "export", VOCAB, "x.gguf", "--vocab", VOCAB, "--type", "Q9_9"], 1, "Q9_9"),
    (["train", "plot", "no-such.tsv"], 1, "no-such.tsv"),
    (["train", "plot", VOCAB, "--width", 1], 2, "--width"),
])
def test_what_cannot_be_done_is_one_line(args, status, says, tmp_path):
    if args[0] == "train" and len(args) > 1 and args[1] not in ("export", "plot"):
        args = args + ["--run", tmp_path / "run"]
    rc, out, err = tenon(*args)
    assert rc == status, err
    assert out == "" and len(err.strip().splitlines()) == 1 and says in err, err
    assert not os.path.exists("x.gguf")
