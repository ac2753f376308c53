"""Black box: `tenon bench masks`, on a small file made here and on a few lines of the shared data."""
import json
import os
import subprocess

import pytest

TENON = os.environ.get("TENON", "build/tenon")
SHARED = os.environ.get("TENON_SHARED", "../shared")
DATA = os.path.join(SHARED, "fixtures", "jsonschema", "maskbench-dev")
VOCAB = os.path.join(SHARED, "fixtures", "tokenizers", "ggml-vocab-llama-bpe.gguf")
needs_shared = pytest.mark.skipif(not os.path.isdir(DATA), reason=f"{DATA} is not there")

LAMP = {"type": "object", "properties": {"room": {"enum": ["kitchen", "hall"]}, "level": {"type": "integer", "minimum": 0}},
        "required": ["room"], "additionalProperties": False}
LINES = [
    {"id": "lamp", "schema": LAMP, "tests": [
        {"valid": True, "data": {"room": "hall", "level": 3}},
        {"valid": True, "data": {"level": 70, "room": "kitchen"}},
        {"valid": False, "data": {"room": "cellar"}},
        {"valid": False, "data": {"level": 1}}]},
    {"id": "no value at all", "schema": False, "tests": []},
    {"id": "wrong label", "schema": {"type": "integer"}, "tests": [
        {"valid": True, "data": "seven"}, {"valid": False, "data": 7}]},
]


def masks(*args, rc=0):
    p = subprocess.run([TENON, "bench", "masks", *map(str, args)], capture_output=True, text=True, timeout=300)
    assert p.returncode == rc, p.stderr
    return p.stdout, p.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("masks") / "Own.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES) + "{not json}\n")
    return path


def test_verdicts_and_times(data):
    told = json.loads(masks("--data", data, "--parts", "--cold", "--json")[0])
    both = told["all"]
    assert both["schemas"] == 4 and both["compiled"] == 2 and both["refused"] == 1 and both["unreadable"] == 1
    assert both["passing"] == 1 and both["false_reject"] == 1 and both["false_accept"] == 1
    assert both == told["sets"]["Own"]
    times = told["times_ns"]
    step = times["mask_commit"]
    assert 0 < step["p50"] <= step["p90"] <= step["p99"] <= step["p999"] <= step["max"]
    assert step["n"] == times["mask_commit_seen"]["n"] + times["mask_commit_fresh"]["n"] == times["mask_commit_cold"]["n"]
    assert times["compile"]["n"] == both["compiled"] == times["ttfm"]["n"] and times["commit"]["n"] > 0
    assert told["cold_hits"] == 0 and told["mask_and_commit_disagree"] == 0
    assert any("no value at all" in s for s in told["refusals"])
    assert sum("wrong label" in s for s in told["wrong"]) == 2


def test_a_table_for_people(data):
    out, _ = masks("--data", data)
    assert "Own" in out and "mask+commit" in out and "peak of the process" in out


def test_times_by_what_the_state_waits_for(data):
    told = json.loads(masks("--data", data, "--cold", "--kinds", "--json")[0])
    for rows in (told["kinds"], told["cold_kinds"]):
        kinds = {row["waits_for"]: row for row in rows}
        assert "VALUE" in kinds and len(kinds) == len(rows) > 2
        assert sum(row["ns"]["n"] for row in rows) == told["times_ns"]["mask_commit"]["n"]
        assert all(row["steps_above_50us"] <= row["ns"]["n"] for row in rows)
    assert "the state waits for" in masks("--data", data, "--kinds")[0]
    assert "kinds" not in json.loads(masks("--data", data, "--json")[0])


def test_the_checks_find_the_wrong_label(data):
    out, err = masks("--data", data, "--walk", 40, "--exact", 10, "--accept", "--json", rc=1)
    checks = json.loads(out)["checks"]
    assert checks["walks"]["failures"] == 0 and checks["walks"]["walks"] > 0
    assert checks["exactness"]["failures"] == 0 and checks["exactness"]["states"] > 0
    assert checks["acceptance"]["failures"] > 0 and len(err.splitlines()) == 1


def test_forced_runs_are_counted(data):
    told = json.loads(masks("--data", data, "--forced", "--json")[0])["all"]
    assert told["instances"] == 3 and told["skipped"] == 1 and told["not_canonical"] == 0
    assert 0 < told["fed"] < told["tokens"] and told["fed_forceable"] <= told["forceable"]


def test_micro_benchmarks():
    told = json.loads(masks("--micro", "--json")[0])["cases"]
    assert {"1 tool", "500 tools", "enum of 20000", "any JSON"} <= set(told)
    assert all(row["warm_p50"] > 0 for row in told.values() if "refused" not in row)
    assert "does not fit" not in json.dumps(told)


@pytest.mark.parametrize("args", [(), ("--data", "no/such.jsonl"), ("--data", "DATA", "--only", "Other"), ("--data", "DATA", "--every", 0),
                                  ("--data", "DATA", "--spelling", "tight"), ("--data", "DATA", "--forced", "--walk", 3)])
def test_what_cannot_be_measured_is_refused(data, args):
    p = subprocess.run([TENON, "bench", "masks", *(str(data) if a == "DATA" else str(a) for a in args)], capture_output=True, text=True)
    assert p.returncode in (1, 2) and p.stdout == "" and len(p.stderr.splitlines()) == 1


@needs_shared
def test_a_few_of_the_shared_schemas():
    told = json.loads(masks("--data", DATA, "--vocab", VOCAB, "--limit", 6, "--json")[0])
    assert len(told["sets"]) == 15 and told["all"]["schemas"] == 90
    assert told["all"]["false_accept"] == 0 and told["all"]["false_reject"] == 0
    assert told["mask_and_commit_disagree"] == 0


@needs_shared
def test_a_few_walks_of_the_shared_schemas():
    told = json.loads(masks("--data", DATA, "--vocab", VOCAB, "--limit", 2, "--walk", 60, "--exact", 10, "--accept", "--json")[0])
    assert told["failures"] == 0
