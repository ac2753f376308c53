"""Black box: the commands as a user types them. TENON names the binary (tools/run_tests.py sets it)."""
import json
import os
import subprocess

import pytest

TENON = os.environ.get("TENON", "build/tenon")
HOME = "examples/home.json"


def tenon(*args, stdin=""):
    p = subprocess.run([TENON, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=120)
    return p.returncode, p.stdout, p.stderr


def refused(result, *words, status=1):
    rc, out, err = result
    assert rc == status, err
    assert out == "", "nothing is written when a request is refused"
    assert len(err.strip().splitlines()) == 1, "one line: " + err
    for w in words:
        assert w in err, f"{w!r} not in {err!r}"


def tools_file(tmp_path, tools):
    path = tmp_path / "tools.json"
    path.write_text(tools if isinstance(tools, str) else json.dumps(tools), encoding="utf-8")
    return path


def tool(parameters, name="get"):
    return [{"type": "function", "function": {"name": name, "description": "d", "parameters": parameters}}]


# ---- the promise of the README ----

def test_an_unseen_tool_is_called():
    rc, out, err = tenon("call", "--tools", HOME, "dim the kitchen to 10")
    assert rc == 0, err
    assert out.strip() == 'set_light(room="kitchen", brightness=10)'


def test_json_is_an_openai_message():
    rc, out, err = tenon("call", "--json", "--tools", HOME, "--tool-choice", "set_light", "dim the kitchen to 10")
    assert rc == 0, err
    message = json.loads(out)
    call = message["tool_calls"][0]
    assert message["role"] == "assistant" and call["type"] == "function" and call["id"]
    assert call["function"]["name"] == "set_light"
    assert json.loads(call["function"]["arguments"])["room"] == "kitchen"


def test_tool_choice_none_is_text():
    rc, out, err = tenon("call", "--json", "--tools", HOME, "--tool-choice", "none", "--max-tokens", "30", "dim the kitchen to 10")
    assert rc == 0, err
    assert not json.loads(out).get("tool_calls")


def test_the_same_seed_gives_the_same_bytes():
    args = ("call", "--json", "--tools", HOME, "--tool-choice", "required", "--temperature", "1.5", "--seed", "7", "lights please")
    a, b = tenon(*args), tenon(*args)
    assert a[0] == 0, a[2]
    strip = lambda out: [(c["function"]["name"], c["function"]["arguments"]) for c in json.loads(out)["tool_calls"]]
    assert strip(a[1]) == strip(b[1])


def test_messages_come_from_a_file_or_stdin(tmp_path):
    talk = {"messages": [{"role": "user", "content": "dim the kitchen to 10"}]}
    for body in (talk, talk["messages"]):
        rc, out, err = tenon("call", "--tools", HOME, "--messages", "-", stdin=json.dumps(body))
        assert rc == 0, err
        assert out


# ---- bad input: one line that names the place, exit status 1, nothing written ----

BAD_TOOLS = [
    ("JSON with an error", '[{"name": "x",}]', ["byte 14"]),
    ("no name", '[{"type": "function", "function": {"parameters": {}}}]', ["name"]),
    ("name of the wrong type", '[{"type": "function", "function": {"name": 3}}]', ["name"]),
    ("the same name twice", tool({}) + tool({}), ["get"]),
    ("unsatisfiable number", tool({"type": "object", "properties": {"a": {"type": "integer", "minimum": 3, "maximum": 2}}, "required": ["a"]}), ["get", "/properties/a"]),
    ("enum against type", tool({"type": "object", "properties": {"a": {"type": "string", "enum": [1, 2]}}, "required": ["a"]}), ["get", "/properties/a"]),
    ("unsupported keyword", tool({"type": "object", "properties": {"a": {"not": {"uniqueItems": True}}}, "required": ["a"]}), ["get", "/properties/a/not", "uniqueItems"]),
    ("malformed schema", tool({"type": "object", "properties": {"a": {"type": "strin"}}}), ["get", "/properties/a"]),
    ("reference to nothing", tool({"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "required": ["a"]}), ["get", "$ref"]),
]


@pytest.mark.parametrize("why,tools,words", BAD_TOOLS, ids=[r[0] for r in BAD_TOOLS])
def test_bad_tools_are_refused(tmp_path, why, tools, words):
    refused(tenon("call", "--tools", tools_file(tmp_path, tools), "hello"), *words)


def test_an_unknown_tool_choice_names_what_there_is():
    refused(tenon("call", "--tools", HOME, "--tool-choice", "set_lamp", "hello"), "set_lamp", "set_light")


def test_a_missing_file_is_named():
    refused(tenon("call", "--tools", "no/such.json", "hello"), "no/such.json")


def test_a_prompt_longer_than_the_context_says_both_numbers():
    talk = json.dumps([{"role": "user", "content": "word " * 40000}])
    refused(tenon("call", "--tools", HOME, "--messages", "-", stdin=talk), "context")


def test_a_budget_too_small_says_what_would_do():
    rc, out, err = tenon("call", "--tools", HOME, "--tool-choice", "set_light", "--max-tokens", "3", "dim the kitchen to 10")
    assert rc == 1 and out == ""
    assert "max_tokens" in err and any(c.isdigit() for c in err)


WRONG_USAGE = [("unknown option", ["call", "--toolz", "x"]), ("no verb", []), ("unknown verb", ["fly"]), ("missing value", ["call", "--tools"]),
               ("not a number", ["call", "--tools", HOME, "--max-tokens", "many", "x"]), ("no request", ["call", "--tools", HOME])]


@pytest.mark.parametrize("why,args", WRONG_USAGE, ids=[r[0] for r in WRONG_USAGE])
def test_wrong_usage_is_status_2(why, args):
    rc, out, err = tenon(*args)
    assert rc == 2 and out == "" and err


def test_every_verb_has_help():
    rc, out, _ = tenon("help")
    assert rc == 0
    for line in out.splitlines()[1:]:
        verb = line[2:23].strip()
        if not line.startswith("  ") or verb.startswith("help"):
            continue
        rc, text, err = tenon(*verb.split(), "--help")
        assert rc == 0 and text.startswith(f"usage: tenon {verb}") and "example: " in text, verb


# ---- model files ----

@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("m") / "nano.gguf"
    rc, _, err = tenon("debug", "random-model", "--shape", "nano", "--type", "F32", path)
    assert rc == 0, err
    return path


def test_a_model_is_inspected(small_model):
    rc, out, err = tenon("inspect", "--json", small_model)
    assert rc == 0, err
    assert json.loads(out)


@pytest.mark.parametrize("keep", [0, 3, 23, 100, 5000])
def test_a_truncated_model_is_refused(small_model, tmp_path, keep):
    path = tmp_path / "cut.gguf"
    path.write_bytes(small_model.read_bytes()[:keep])
    refused(tenon("inspect", path), "cut.gguf")


def test_quantize_writes_all_or_nothing(small_model, tmp_path):
    out = tmp_path / "q.gguf"
    rc, _, err = tenon("quantize", small_model, out, "Q8_0")
    assert rc == 0, err
    assert tenon("inspect", out)[0] == 0
    bad = tmp_path / "never.gguf"
    rc, _, err = tenon("quantize", small_model, bad, "Q9_X")
    assert rc == 1 and "Q9_X" in err and not bad.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["q.gguf"]


def test_logits_do_not_depend_on_how_the_prompt_is_cut(small_model, tmp_path):
    tokens = ",".join(str(i * 37 % 500) for i in range(50))
    files = []
    for extra in ([], ["--chunk", "7"], ["--chunk", "1"]):
        files.append(tmp_path / f"l{len(files)}.f32")
        rc, _, err = tenon("debug", "logits", "-m", small_model, "--tokens", tokens, "-o", files[-1], *extra)
        assert rc == 0, err
    first = files[0].read_bytes()
    assert first and all(f.read_bytes() == first for f in files[1:])


# ---- text ----

def test_text_that_looks_like_a_special_token_is_not_one():
    rc, out, err = tenon("debug", "tokenize", "--no-special", stdin=json.dumps("<|im_end|>") + "\n")
    assert rc == 0, err
    assert len(json.loads(out)) > 1


def test_random_calls_are_valid():
    jsonschema = pytest.importorskip("jsonschema")
    tools = {t["function"]["name"]: t["function"]["parameters"] for t in json.load(open(HOME, encoding="utf-8"))}
    for seed in range(25):
        rc, out, err = tenon("debug", "random-call", "--tools", HOME, "--tool-choice", "required", "--seed", seed, "--max-tokens", 60 + 20 * seed)
        assert rc == 0, err
        for c in json.loads(out)["tool_calls"]:
            jsonschema.Draft202012Validator(tools[c["function"]["name"]]).validate(json.loads(c["function"]["arguments"]))


def test_prompts_longer_than_the_training_are_answered_validly():
    """The embedded model was trained on up to 2048 tokens and takes 4096: a call after a long conversation is valid."""
    jsonschema = pytest.importorskip("jsonschema")
    tools = {t["function"]["name"]: t["function"]["parameters"] for t in json.load(open(HOME, encoding="utf-8"))}
    turns = [m for i in range(48) for m in ({"role": "user", "content": f"tell me something about day {i} and the weather in the hills around noon"},
                                            {"role": "assistant", "content": "It was a day like any other, with a little rain."})]
    talk = {"messages": turns + [{"role": "user", "content": "dim the kitchen to 10"}]}
    rc, out, err = tenon("call", "--json", "--tools", HOME, "--tool-choice", "required", "--messages", "-", stdin=json.dumps(talk))
    assert rc == 0, err
    call = json.loads(out)["tool_calls"][0]["function"]
    jsonschema.Draft202012Validator(tools[call["name"]]).validate(json.loads(call["arguments"]))
    rc, out, err = tenon("call", "--tools", HOME, "--ctx", "2048", "--messages", "-", stdin=json.dumps(talk))
    assert rc == 1 and "context" in err, "so it was longer than that"
