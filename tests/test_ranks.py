"""One training run in several processes of mpirun. Needs a build with MPI (meson setup -Dmpi=enabled) but for the refusal."""
import json
import os
import shutil
import subprocess

import pytest

TENON = os.environ.get("TENON", "build/tenon")
VOCAB = "models/vocab-1024.gguf"
HAS = "no (built without MPI)" not in subprocess.run([TENON, "--version"], capture_output=True, text=True).stdout
needs_mpi = pytest.mark.skipif(not HAS or not shutil.which("mpirun"), reason="built without MPI, or no mpirun here")


def train(n, out, *args, env=()):
    start = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(n)] if n > 1 else []
    run = subprocess.run([*start, TENON, "train", "--shape", "nano", "--vocab", VOCAB, "--isa", "f32", "--tokens", "2048", "--stage", "2", "-t", "1",
                          "--eval-every", "0", "--run", str(out) + ".run", "--out", str(out), "--type", "F32", "--json", *map(str, args)],
                         capture_output=True, text=True, timeout=280, env={**os.environ, **dict(env)})
    return run.returncode, run.stdout, run.stderr


def weights(path):
    gguf = pytest.importorskip("gguf")
    return {t.name: t.data.copy() for t in gguf.GGUFReader(path).tensors}


@pytest.mark.skipif(HAS, reason="built with MPI")
def test_several_processes_need_mpi(tmp_path):
    rc, out, err = train(1, tmp_path / "x.gguf", "--steps", 1, env={"OMPI_COMM_WORLD_SIZE": "2"}.items())
    assert rc == 1 and out == "" and "2 processes were started, and this build has no MPI" in err and not (tmp_path / "x.gguf").exists()


@needs_mpi
def test_two_processes_are_one_with_twice_the_work(tmp_path):
    """2 ranks of one micro-batch a step = 1 rank of two, but for the order in which floats are added."""
    numpy = pytest.importorskip("numpy")
    one, two, seed = tmp_path / "one.gguf", tmp_path / "two.gguf", tmp_path / "seed.gguf"
    told = {}
    for n, out, more in ((1, one, ()), (2, two, ()), (1, seed, ("--seed", 9))):
        rc, text, err = train(n, out, "--steps", 3, *more)
        assert rc == 0, err
        told[out] = json.loads(text)                                  # of rank 0 alone: one object
    assert told[one]["steps"] == 3 and told[one]["tokens"] == told[two]["tokens"], told
    a, b, c = weights(one), weights(two), weights(seed)
    apart = max(float(numpy.abs(a[k] - b[k]).max()) for k in a)
    others = max(float(numpy.abs(a[k] - c[k]).max()) for k in a)
    assert apart < 1e-4 < 0.01 < others, (apart, others)


@needs_mpi
def test_three_processes_share_two_micro_batches_and_a_clock(tmp_path):
    rc, text, err = train(3, tmp_path / "a.gguf", "--time-budget", 3)
    assert rc == 0 and len(text.splitlines()) == 1, err
    assert (tmp_path / "a.gguf").exists() and len(list((tmp_path / "a.gguf.run").glob("*.ckpt"))) == 1


@needs_mpi
def test_a_failure_of_one_ends_all(tmp_path):
    rc, text, err = train(2, tmp_path / "no" / "such" / "folder" / "a.gguf", "--steps", 1)
    assert rc != 0 and text.count("{") <= 1 and "no/such/folder" in err, err
    rc, _, err = train(2, tmp_path / "a.gguf", "--lora", "x.jsonl")
    assert rc != 0 and "one process" in err
