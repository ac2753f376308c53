"""Black box: the commands that measure, on a random model made by the one that makes them."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TENON = os.environ.get("TENON", "build/tenon")


def tenon(*args):
    p = subprocess.run([TENON, *map(str, args)], capture_output=True, text=True, timeout=120)
    return p.returncode, p.stdout, p.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "nano.gguf"
    rc, _, err = tenon("debug", "random-model", "--shape", "nano", "--type", "Q8_0", path)
    assert rc == 0, err
    return path


def test_speed_is_told_as_json(model):
    rc, out, err = tenon("bench", "-m", model, "-p", 16, "-n", 4, "-r", 3, "-t", 2, "--json")
    assert rc == 0, err
    told = json.loads(out)
    for part in ("prefill", "decode"):
        speed = told[part]
        assert 0 < speed["low"] <= speed["tokens_per_s"] <= speed["high"] and speed["runs"] == 3
    assert told["threads"] == 2 and told["bytes_per_token"] > 0


def test_a_part_that_was_not_asked_for_is_null(model):
    rc, out, err = tenon("bench", "-m", model, "-p", 16, "-n", 0, "-r", 1, "--json")
    assert rc == 0, err
    assert json.loads(out)["decode"] is None


@pytest.mark.parametrize("args", [("-p", -1), ("-p", 0, "-n", 0), ("-p", 40000), ("-r", 0), ("-r", 101)])
def test_what_cannot_be_measured_is_refused(model, args):
    rc, out, err = tenon("bench", "-m", model, *args)
    assert rc == 1 and out == "" and len(err.splitlines()) == 1 and "accepted" in err


def test_the_machine_is_measured():
    rc, out, err = tenon("bench", "bandwidth", "-t", 1, "--json")
    assert rc == 0, err
    told = json.loads(out)
    assert told["read_gb_per_s"] > 0 and told["peak_gop_per_s"]["f32"] > 0


def test_reading_is_measured_over_a_file_too(model, tmp_path):
    rc, out, err = tenon("bench", "bandwidth", "-m", model, "-t", 2, "--json")
    assert rc == 0 and json.loads(out)["read_gb_per_s"] > 0, err
    rc, out, err = tenon("bench", "bandwidth", "-m", tmp_path / "none.gguf")
    assert rc == 1 and out == "" and "none.gguf" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("args", [("--shape", "giant"), ("--type", "Q9"), ("--shape", "nano", "--type", "Q4_K")])
def test_a_model_that_cannot_be_made_is_refused(tmp_path, args):
    path = tmp_path / "no.gguf"
    rc, out, err = tenon("debug", "random-model", *args, path)
    assert rc == 2 and out == "" and len(err.splitlines()) == 1 and not path.exists()


def test_the_same_seed_makes_the_same_model(tmp_path):
    made = []
    for seed in (1, 1, 2):
        made.append(tmp_path / f"{len(made)}.gguf")
        assert tenon("debug", "random-model", "--shape", "nano", "--seed", seed, made[-1])[0] == 0
    a, b, c = (p.read_bytes() for p in made)
    assert a == b and a != c


def test_a_peer_that_cannot_be_built_is_skipped_aloud(tmp_path):
    versus = Path(__file__).parents[1] / "tools" / "versus.py"
    p = subprocess.run([sys.executable, versus, TENON, "--peer", tmp_path], env={"PATH": str(tmp_path)},
                       capture_output=True, text=True, timeout=60)
    assert p.returncode == 0 and p.stdout.startswith("skipped: llama.cpp cannot be built here: cmake"), p.stdout + p.stderr


TOOL = {"name": "trip.book", "description": "Books a trip.", "parameters": {"type": "dict", "required": ["to"], "properties": {
    "to": {"type": "string", "description": "where"}, "nights": {"type": "integer", "description": "how long"}, "class": {"type": "string", "enum": ["one", "two"]}}}}


def test_forward_passes_of_known_calls_are_counted(tmp_path):
    def line(i, call):
        return json.dumps({"id": f"simple_python_{i}", "category": "simple_python", "function": [TOOL],
                           "question": [[{"role": "user", "content": "Book a trip to New York for 14 nights."}]], "ground_truth": [call]})
    data = tmp_path / "calls.jsonl"
    data.write_text("\n".join((line(0, {"trip.book": {"to": ["New York", "NYC"], "nights": [14], "class": ["", "one"]}}),
                               line(1, {"trip.book": {"to": ["York"], "class": ["three"]}}))) + "\n")
    told = {}
    for drafts in ((), ("--no-drafts",)):
        rc, out, err = tenon("bench", "steps", "--vocab", "models/vocab-2048.gguf", data, "--list", "--json", *drafts)
        assert rc == 0 and "simple_python_1" in err and "simple_python_0" not in err, err
        told[bool(drafts)] = row = json.loads(out)["all"]
        assert row["turns"] == 1 and row["left_out"] == 1
        assert row["forced"] + row["accepted"] + row["sampled"] == row["tokens"]
    assert told[True]["accepted"] == told[True]["drafted"] == 0
    assert told[True]["tokens"] == told[False]["tokens"] and told[False]["passes"] < told[True]["passes"]
    assert json.loads(tenon("bench", "steps", "--vocab", "models/vocab-2048.gguf", data, "--json")[1])["kinds"]["simple_python"] == told[False]


def test_passes_of_nothing_are_refused(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"id":"a","category":"irrelevance","question":[[{"role":"user","content":"hi"}]],"function":[]}\n')
    rc, _, err = tenon("bench", "steps", "--vocab", "models/vocab-2048.gguf", tmp_path / "x.jsonl")
    assert rc == 1 and "no line has a call" in err
