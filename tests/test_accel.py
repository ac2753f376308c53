"""tools/accel: checkpoints as the C trainer writes them, the loss of the twin, batches. Needs numpy and xxhash, the
loss PyTorch as well; skipped aloud without."""
import json
import os
import subprocess
import sys

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("xxhash")
sys.path.insert(0, "tools/accel")
import batch  # noqa: E402
import checkpoint  # noqa: E402

TENON = os.environ.get("TENON", "build/tenon")
VOCAB = "models/vocab-1024.gguf"


def tenon(*args):
    p = subprocess.run([TENON, *map(str, args)], capture_output=True, text=True, timeout=300)
    assert p.returncode == 0, p.stderr
    return p.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A checkpoint after one step and a shard."""
    d = tmp_path_factory.mktemp("accel")
    tenon("train", "--shape", "nano", "--vocab", VOCAB, "--steps", 1, "--tokens", 64, "--eval-every", 0, "--run", d)
    tenon("data", "--shards", 60, "--vocab", VOCAB, "--out", d / "a.shard")
    return d / "step-000000001.ckpt", d / "a.shard"


def test_a_checkpoint_written_again_is_taken_by_the_trainer(made, tmp_path):
    head, weights = checkpoint.read(made[0])
    checkpoint.write_parts(str(tmp_path / "w"), head, weights, floats=300_000)
    parts = sorted(tmp_path.glob("w.*.part"))
    assert len(parts) > 2
    out = tmp_path / "step-000000001.ckpt"
    subprocess.run([sys.executable, "tools/accel/checkpoint.py", out, *parts], check=True)
    assert (checkpoint.read(out)[1] == weights).all()
    text = tenon("train", "--shape", "nano", "--vocab", VOCAB, "--steps", 2, "--tokens", 64, "--eval-every", 0,
                 "--run", tmp_path / "run", "--resume", out, "--json")
    assert json.loads(text)["steps"] == 2
    # the flat order is that of the C trainer: a norm is 1, the embedding is not
    at = {name: (r, c) for name, r, c in checkpoint.tensors(head)}
    assert at["token_embd.weight"] == (1024, 128) and abs(weights[-128:] - 1).max() < 0.01


def test_a_batch_holds_whole_conversations_and_their_weights(made):
    examples = batch.read(made[1])
    rows = 4096
    seen = 0
    for b in batch.first_fit(iter(examples), rows, lambda: 2):
        named = dict(zip(batch.ROWS, b.rows))
        weight = named["weight"].view(np.float32)
        assert b.rows.shape == (6, rows) and (weight[b.tokens :] == 0).all()
        assert b.ends[0] == 0 and b.ends[-1] == rows and (np.diff(b.ends) >= 0).all()
        for i in range(b.conversations):
            one = slice(b.ends[i], b.ends[i + 1])
            assert (named["pos"][one] == np.arange(one.stop - one.start)).all()
            assert (named["token"][one][1:] == named["target"][one][:-1]).all()
        seen += b.conversations
    assert seen == len(examples), "none is lost, none twice"


def test_the_twin_has_the_loss_of_the_trainer(made):
    pytest.importorskip("torch")
    for stage in (1, 3):
        want = json.loads(tenon("train", "loss", *made, "--stage", stage, "--tokens", 1500))
        p = subprocess.run([sys.executable, "tools/accel/train.py", "check", *map(str, made), "--loss", str(want["loss"]),
                            "--grad", str(want["grad_norm"]), "--stage", str(stage), "--rows", "1500"],
                           capture_output=True, text=True)
        assert p.returncode == 0 and json.loads(p.stdout)["ok"], p.stdout + p.stderr
