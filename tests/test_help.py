"""Help for small models through the commands: how sure a call is, and a choice among many tools."""
import json
import os
import subprocess

import pytest

TENON = os.environ.get("TENON", "build/tenon")


def tenon(*args, stdin=None):
    p = subprocess.run([TENON, *map(str, args)], capture_output=True, text=True, timeout=120, input=stdin)
    return p.returncode, p.stdout, p.stderr


def tool(name, desc, **props):
    return {"type": "function", "function": {"name": name, "description": desc,
            "parameters": {"type": "object", "properties": props, "required": list(props)}}}


CATALOGUE = [tool(f"archive_box_{i}", f"Archives the box number {i}") for i in range(30)]
LIGHT = tool("set_light", "Dims or brightens the light in a room", room={"type": "string"}, brightness={"type": "integer"})


@pytest.fixture
def many(tmp_path):
    path = tmp_path / "tools.json"
    path.write_text(json.dumps(CATALOGUE[:20] + [LIGHT] + CATALOGUE[20:]))
    return path


def prompt_tokens(*args):
    rc, out, err = tenon("call", *args, "dim the light in the kitchen to 10")
    assert rc == 0, err
    return out


def test_of_many_tools_the_fitting_ones_stay(many):
    assert prompt_tokens("--tools", many, "--json").count("set_light") == 1
    rc, out, err = tenon("call", "--tools", many, "--tools-max", 4, "--tool-choice", "archive_box_7", "dim the light")
    assert rc == 0 and out.startswith("archive_box_7("), "a tool that is named always stays" + err


@pytest.mark.parametrize("choice, request_, wanted", [
    ("required", "dim the light in the kitchen to 10", "set_light("),
    ("required", "archive the box number 12", "archive_box_12("),
    ({"type": "function", "function": {"name": "archive_box_3"}}, "dim the light in the kitchen to 10", "archive_box_3("),
])
def test_a_request_may_ask_for_a_choice(many, tmp_path, choice, request_, wanted):
    path = tmp_path / "body.json"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": request_}], "tools": json.loads(many.read_text()),
                                "tool_choice": choice, "parallel_tool_calls": False, "tool_retrieval": {"top_k": 1}}))
    rc, out, err = tenon("call", "--messages", path)
    assert rc == 0 and out.startswith(wanted), out + err


@pytest.mark.parametrize("member, says", [
    ({"tool_retrieval": {"top_k": 0}}, "tool_retrieval"),
    ({"tool_retrieval": 8}, "tool_retrieval"),
    ({"return_confidence": 1}, "return_confidence"),
])
def test_what_cannot_be_asked_is_refused(tmp_path, member, says):
    path = tmp_path / "messages.json"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "hi"}], **member}))
    rc, out, err = tenon("call", "--messages", path)
    assert rc == 1 and out == "" and says in err, err


def test_a_call_says_how_sure_it_is():
    ask = ("call", "--tools", "examples/home.json", "--json")
    plain = json.loads(tenon(*ask, "dim the kitchen to 10")[1])
    told = json.loads(tenon(*ask, "--confidence", "dim the kitchen to 10")[1])
    sure = told["tool_calls"][0].pop("confidence")
    assert told == plain and 0.5 < sure <= 1
    odd = json.loads(tenon(*ask, "--confidence", "--tool-choice", "required", "qwzx blorp the frandish vermil")[1])
    assert 0 <= odd["tool_calls"][0]["confidence"] < sure


def commands(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"commands": {"set_light": {"argv": ["true"], "description": "Dims the light in a room", "approve": "allow",
                                "parameters": LIGHT["function"]["parameters"]}}}))
    return path


@pytest.mark.parametrize("least, status", [(0, 0), (0.01, 0), (1, 6)])
def test_a_call_below_the_bound_is_asked_about(tmp_path, least, status):
    rc, out, err = tenon("run", "--tools", commands(tmp_path), "--approve", "all", "--no-history", "--max-turns", 1, "--json",
                         "--min-confidence", least, "dim the light in the kitchen to 10", stdin="")
    told = json.loads(out)
    assert told["calls"] and told["calls"][0]["ran"] == (status == 0), err
    assert (rc == 6) == (status == 6), (rc, err)
    assert status == 0 or told["stop"] == "low_confidence"
