"""tenon train --lora and --full as a user types them: forms of lines, sentences for malformed ones, what comes out."""
import json
import os
import subprocess

import pytest

TENON = os.environ.get("TENON", "build/tenon")
SHARED = os.environ.get("TENON_SHARED", "../shared")
MODELS = os.path.join(SHARED, "fixtures/models")
TOOL = {"type": "function", "function": {
    "name": "feed", "description": "Feeds the fish of a tank",
    "parameters": {"type": "object", "properties": {"tank": {"type": "string"}, "grams": {"type": "integer", "maximum": 9}},
                   "required": ["tank"]}}}


def tenon(*args):
    p = subprocess.run([TENON, *map(str, args)], capture_output=True, text=True, timeout=300)
    return p.returncode, p.stdout, p.stderr


def call(**args):
    return {"role": "assistant", "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "feed", "arguments": json.dumps(args)}}]}


def user(text):
    return {"role": "user", "content": text}


def lesson(text, answer):
    return {"tools": [TOOL], "messages": [user(text), answer]}


def compact(query, answers, tools=None):
    return {"query": query, "tools": tools or [TOOL["function"]], "answers": answers}


XLAM = [{"name": "feed", "description": "Feeds the fish of a tank",
         "parameters": {"tank": {"type": "str", "description": "which"}, "grams": {"type": "int, optional", "default": "2"}}}]
GOOD = [
    lesson("give the north tank 3 grams", call(tank="north", grams=3)),
    lesson("hello", {"role": "assistant", "content": "Hello!"}),
    compact("feed the reef", [{"name": "feed", "arguments": {"tank": "reef"}}]),
    compact("paint it blue", "I can only feed fish."),
    compact("paint it red", []),
    compact("feed the pond", json.dumps([{"name": "feed", "arguments": {"tank": "pond"}}]), json.dumps(XLAM)),
    {**lesson("feed the reef", call(tank="reef")), "id": "x", "kind": "single", "expect": []},
    {"tools": [TOOL], "messages": [user("feed the bay")], "answer": call(tank="bay")},
    {"tools": [TOOL], "messages": [user("feed the reef"), call(tank="reef"), {"role": "tool", "tool_call_id": "call_1", "content": "{}"},
                                   {"role": "assistant", "content": "Done.", "weight": 0}, user("and the bay"), call(tank="bay")]},
]


def write(path, lines):
    path.write_text("\n".join(l if isinstance(l, str) else json.dumps(l) for l in lines) + "\n")
    return path


def tune(tmp_path, lines, *args, how="--lora"):
    out = tmp_path / "out.gguf"
    steps = ["--tokens", 512]                          # short ones: with sanitizers a token takes milliseconds
    rc, text, err = tenon("train", how, write(tmp_path / "data.jsonl", lines), "--out", out, "--replay", 0, *steps, *args)
    return rc, text, err, out


def test_every_form_is_learned_and_the_adapter_serves(tmp_path):
    rc, text, err, out = tune(tmp_path, GOOD * 3, "--steps", 3, "--json", "--seed", 2)
    assert rc == 0, err
    told = json.loads(text)
    assert told["steps"] == 3 and told["left_out"] == 0 and told["conversations"] + told["held_out"] == 3 * len(GOOD)
    assert told["after"]["loss"] <= told["before"]["loss"] and 0 <= told["after"]["first_token"] <= 1
    assert "steps are few" in err

    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps([TOOL]))
    rc, text, err = tenon("call", "--tools", tools, "--lora", out, "--tool-choice", "required", "feed the reef")
    assert rc == 0 and text.startswith("feed("), err
    merged = tmp_path / "merged.gguf"
    rc, text, err = tenon("merge", "--lora", out, merged)
    assert rc == 0 and merged.exists(), err
    again = tmp_path / "again"
    again.mkdir()
    assert tune(again, GOOD * 3, "--steps", 3, "--seed", 2)[3].read_bytes() == out.read_bytes(), "a run is a function of its options"


def test_lines_without_tools_get_those_of_the_option_and_measure_as_they_teach(tmp_path):
    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps([TOOL]))
    bare = [{k: v for k, v in l.items() if k != "tools"} for l in (GOOD[2], GOOD[3], GOOD[0])]
    rc, text, err, out = tune(tmp_path, bare, "--tools", tools, "--steps", 1, "--json")
    assert rc == 0 and json.loads(text)["conversations"] == 3, err
    rc, text, err = tenon("eval", "--data", tmp_path / "data.jsonl", "--tools", tools, "--lora", out, "--json")
    assert rc == 0, err
    assert {k: v["n"] for k, v in json.loads(text)["kinds"].items()} == {"single": 2, "none": 1}
    rc, _, err = tenon("eval", "--data", tmp_path / "data.jsonl")
    assert rc == 1 and "line 1: tools: missing" in err


def test_all_weights_make_a_model_of_the_same_shape(tmp_path):
    rc, _, err, out = tune(tmp_path, GOOD * 2, "--steps", 2, "--hold-out", 0, how="--full")
    assert rc == 0, err
    rc, text, err = tenon("call", "-m", out, "--tools", write(tmp_path / "tools.json", [[TOOL]]), "--tool-choice", "required", "feed the reef")
    assert rc == 0 and text.startswith("feed("), err
    assert out.stat().st_size == os.path.getsize("models/tenon.gguf")


@pytest.mark.parametrize("line, says", [
    ("{\"messages\": [", "line 2: byte"),
    ("[1]", "an object is needed, not array"),
    ({"tools": [TOOL]}, "messages: an array is needed"),
    ({**lesson("x", call(tank="y")), "speed": 1}, "member speed is unknown"),
    (lesson("x", user("y")), "the last message must be the assistant's"),
    ({"messages": [{"role": "wizard", "content": "x"}, {"role": "assistant", "content": "y"}]}, "wizard"),
    (lesson("x", {"role": "assistant"}), "needs content or tool_calls"),
    (lesson("x", {"role": "assistant", "content": "y", "weight": 2}), "weight: 0 or 1"),
    (lesson("x", call(tank="reef", grams=50)), "messages[1].tool_calls[0]: the arguments of feed: /grams"),
    (lesson("x", call(grams=5)), "tank"),
    ({"messages": [user("x"), call(tank="y")]}, "feed is not among the tools"),
    (lesson("x", {"role": "assistant", "tool_calls": [{"function": {"name": "feed", "arguments": "{"}}]}), "the arguments of feed: byte"),
    (compact("x", [{"arguments": {}}]), "answers[0]: an object with a name"),
    (compact("x", {"name": "feed"}), "answers: an array of calls or a text"),
    ({"query": "x", "tools": [TOOL]}, "answers: missing"),
    ({"query": "x", "answers": []}, "tools: missing"),
    ({"query": 7, "tools": [TOOL], "answers": []}, "query: a text is needed"),
    ({"query": "x", "tools": "[{", "answers": []}, "tools: byte"),
    (compact("x", [], [{"name": "f", "parameters": {"p": {"type": "tensor"}}}]), "type 'tensor' is unknown"),
])
def test_a_malformed_line_is_told_with_its_number(tmp_path, line, says):
    rc, out, err, path = tune(tmp_path, [GOOD[0], line], "--steps", 1)
    assert rc == 1 and out == "" and says in err and "line 2: " in err and "1 of 2 lines are malformed" in err, err
    assert not path.exists()


@pytest.mark.parametrize("args, status, says", [
    (["--targets", "attn,hair"], 2, "--targets hair"),
    (["--rank", 0], 2, "--rank"),
    (["--hold-out", 0.95], 2, "--hold-out"),
    (["--epochs", 0], 2, "--epochs"),
    (["--ctx", 4], 2, "--ctx"),
    (["--time-budget", 5], 2, "--time-budget"),
    (["--ctx", 20], 1, "no conversation fits the 20 tokens"),
    (["--replay", 0.5, "--packs", "no-such-folder"], 1, "--replay (0 does without): no-such-folder"),
    (["-m", "models/vocab-2048.gguf"], 1, "vocab-2048.gguf"),
])
def test_options_that_cannot_be_are_refused(tmp_path, args, status, says):
    rc, out, err, _ = tune(tmp_path, GOOD, "--steps", 1, *args)
    assert rc == status and out == "" and says in err, err


def test_an_output_is_needed_and_one_way(tmp_path):
    data = write(tmp_path / "data.jsonl", GOOD)
    rc, _, err = tenon("train", "--lora", data)
    assert rc == 2 and "--out FILE is needed" in err
    rc, _, err = tenon("train", "--lora", data, "--full", data, "--out", "x")
    assert rc == 2 and "one of them" in err


needs_models = pytest.mark.skipif(not os.path.isdir(MODELS), reason=f"{MODELS} is not there")


@needs_models
@pytest.mark.parametrize("name", ["llama-tiny-f32", "llama31-tiny-f32", "llama-mini-Q4_K_M", "lfm2-mini-Q8_0"])
def test_models_of_other_families_are_tuned_through_their_own_template(tmp_path, name):
    model = f"{MODELS}/{name}.gguf"
    rc, text, err, out = tune(tmp_path, GOOD * 2, "-m", model, "--steps", 6, "--lr", 0.003, "--patience", 0, "--json",
                               "--rank", 2, "--ctx", 4096, "--tokens", 2048)
    assert rc == 0, err
    told = json.loads(text)
    assert told["steps"] == 6 and told["after"]["loss"] < told["before"]["loss"], told
    rc, text, err = tenon("merge", "-m", model, "--lora", out, tmp_path / "merged.gguf")
    assert rc == 0, err


@needs_models
@pytest.mark.parametrize("name, says", [("mixtral-tiny-f32", "experts"), ("lfm2moe-tiny-f32", "lfm2moe"), ("lfm2-tiny-f32", "head size is 16")])
def test_models_without_a_gradient_are_refused_by_name(tmp_path, name, says):
    rc, out, err, path = tune(tmp_path, GOOD, "-m", f"{MODELS}/{name}.gguf", "--steps", 1)
    assert rc == 1 and says in err and not path.exists(), err


SYNTH = [TOOL, {"type": "function", "function": {
    "name": "setLamp", "description": "Sets the brightness of a lamp.",
    "parameters": {"type": "object", "required": ["where", "percent", "mode", "days", "shape"], "properties": {
        "where": {"type": "string", "examples": ["reef", "koi pond"]}, "percent": {"type": "integer", "minimum": 0, "maximum": 100},
        "mode": {"type": "string", "enum": ["day_light", "night"]}, "days": {"type": "array", "items": {"type": "string", "enum": ["Mon", "Tue"]}},
        "shape": {"type": "object", "required": ["from"], "properties": {"from": {"type": "string", "format": "date"}, "soft": {"type": "boolean"}}},
        "odd": {"type": "string", "pattern": "^x+$"}}}}}]


def test_conversations_about_own_tools_are_lessons_and_fit(tmp_path):
    tools, data = tmp_path / "tools.json", tmp_path / "synth.jsonl"
    tools.write_text(json.dumps(SYNTH))
    rc, _, err = tenon("data", "--synth", tools, "-n", 80, "--out", data)
    assert rc == 0, err
    lines = [json.loads(l) for l in data.read_text().splitlines()]
    assert len(lines) == 80 and len({json.dumps(l) for l in lines}) > 70
    assert {l["kind"] for l in lines} >= {"multiple", "parallel", "none", "ask", "multi_turn"}
    names = {t.get("function", t)["name"] for l in lines for t in l["tools"]}
    assert names == {"feed", "setLamp"}, "nobody else's tools"
    calls = [c["function"] for l in lines for c in l["answer"].get("tool_calls") or []]
    for name, args in [(c["name"], json.loads(c["arguments"])) for c in calls]:
        assert name == "feed" or (args["mode"] in ("day_light", "night") and set(args["days"]) <= {"Mon", "Tue"} and "odd" not in args)
    again = tmp_path / "again.jsonl"
    assert tenon("data", "--synth", tools, "-n", 80, "--out", again)[0] == 0 and again.read_text() == data.read_text()
    rc, text, err = tenon("train", "--lora", data, "--out", tmp_path / "a.gguf", "--steps", 1, "--tokens", 512, "--hold-out", 0.05, "--replay", 0, "--json")
    assert rc == 0 and json.loads(text)["left_out"] == 0, err


@pytest.mark.parametrize("schema, says", [
    ({"type": "string", "pattern": "^x+$"}, "no value can be made up for the required parameter p"),
    ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "may list some as \"examples\""),
    ({"type": "string", "minLength": 500}, "no call that was made up fits"),
])
def test_what_cannot_be_made_up_is_refused(tmp_path, schema, says):
    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps([{"name": "f", "parameters": {"type": "object", "required": ["p"], "properties": {"p": schema}}}]))
    rc, out, err = tenon("data", "--synth", tools, "-n", 30)
    assert rc == 1 and out == "" and says in err, err
    schema["examples"] = ["x" * 600]
    tools.write_text(json.dumps([{"name": "f", "parameters": {"type": "object", "required": ["p"], "properties": {"p": schema}}}]))
    assert tenon("data", "--synth", tools, "-n", 3)[0] == 0
