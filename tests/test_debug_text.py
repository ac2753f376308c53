"""tenon debug parse and debug render through the binary: chunks fold to the message, errors are one line.

TENON names the binary (default: build/tenon)."""
import json, os, subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build", "tenon"))
S, E = "<|tool_call_start|>", "<|tool_call_end|>"


def tenon(*args, stdin):
    r = subprocess.run([TENON, "debug", *args], input=stdin.encode(), capture_output=True, cwd=ROOT)
    return r.returncode, r.stdout.decode(), r.stderr.decode()


def fold(chunks):
    """What a client makes of chunks, with the rules of the wire checked on the way."""
    deltas = [c["choices"][0] for c in chunks]
    assert deltas[0]["delta"] == {"role": "assistant", "content": None}, deltas[0]
    assert deltas[-1]["delta"] == {} and deltas[-1]["finish_reason"] in ("stop", "tool_calls")
    text, calls = "", []
    for d in deltas[1:-1]:
        assert d["finish_reason"] is None
        text += d["delta"].get("content") or ""
        for c in d["delta"].get("tool_calls", []):
            if c["index"] == len(calls):
                assert c["type"] == "function" and c["id"] == f"call_{len(calls) + 1}" and c["function"]["arguments"] == "", c
                calls.append({"name": c["function"]["name"], "arguments": ""})
            else:
                assert c["index"] == len(calls) - 1 and set(c) == {"index", "function"} and c["function"]["arguments"], c
                calls[-1]["arguments"] += c["function"]["arguments"]
    return text or None, calls


OUTPUTS = [
    ("lfm2", "Just text, with <|tool_call in it."),
    ("lfm2", f"Wait.{S}[f(a=\"é'\\n\", n=[1, -2.50]), g()]{E}Done."),
    ("lfm2", f"{S}[{{\"name\": \"f\", \"arguments\": {{\"a\": \"\\u00e9 \\ud83d\\ude00\"}}}}]{E}<|im_end|>"),
    ("lfm2-json", f"{S}[{{\"name\":\"f\",\"arguments\":{{}}}}]{E}"),
    ("functionary-v1", "\nOne moment.\n<|START_OF_FUNCTION_CALL|>f:\n{\"a\": 1}<|END_OF_FUNCTION_CALL|>"),
    ("functionary-v2", "all\n<|content|>Hi\n<|from|>assistant\n<|recipient|>f\n<|content|>{\"a\": [1, 2]}<|stop|>"),
    ("functionary-v2.llama3", "Hi\n<|reserved_special_token_249|>f\n{}<|reserved_special_token_249|>g\n{\"a\": \"\\u00e9\"}<|eot_id|>"),
    ("functionary-v3.2", "f\n{\"a\": \">>>g\\n\"}>>>g\n{}"),
    ("functionary-v3.1", "a <b <function=f>{\"a\": \"</function>\"}</function> c"),
    ("functionary-v4r", "So.<function=f>{}</function>"),
    ("llama3.1", "{\"name\": \"f\", \"parameters\": {\"a\": 1.50}}"),
    ("hermes", "Hi\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": {}}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>"),
    ("json", "Well: [{\"name\":\"f\",\"arguments\":{\"a\":{\"b\":null}}}]"),
]


def test_chunks_fold_to_the_message():
    for dialect, text in OUTPUTS:
        rc, out, err = tenon("parse", "--dialect", dialect, stdin=text)
        assert rc == 0 and not err, err
        whole = json.loads(out)
        want = whole.get("content"), [c["function"] for c in whole.get("tool_calls", [])]
        for n in (1, 2, 7, 1000):
            rc, out, err = tenon("parse", "--dialect", dialect, "--stream", str(n), stdin=text)
            assert rc == 0 and fold([json.loads(line) for line in out.splitlines()]) == want, (text, n, out)


def test_a_cut_call_is_marked():
    rc, out, err = tenon("parse", "--dialect", "lfm2", stdin=f"{S}[f(a=\"x")
    call = json.loads(out)["tool_calls"][0]
    assert call["incomplete"] is True and call["function"]["arguments"] == "{\"a\":\"x", out
    assert "the call was cut" in err, err


def test_ids_become_text_again():
    texts = ["", "Hello", " a\n\té\u6f22\U0001f600 <|im_end|>", "\"\\\u0001"]
    rc, out, err = tenon("tokenize", "--no-special", stdin="".join(json.dumps(t) + "\n" for t in texts))
    assert rc == 0 and not err, err
    rc, back, err = tenon("tokenize", stdin=out)
    assert rc == 0 and [json.loads(line) for line in back.splitlines()] == texts, back


def test_an_spm_sequence_loses_the_space_it_was_given():
    path = os.path.join(os.environ.get("TENON_SHARED", "../shared"), "fixtures", "tokenizers", "ggml-vocab-llama-spm.gguf")
    if not os.path.exists(os.path.join(ROOT, path)):
        import pytest
        pytest.skip(f"{path} is not there")
    rows = [("[22172]", "hello"), ("[1,22172]", " hello"), ("[22172,22172]", "hello hello"), ("[29871]", ""), ("[258,35]", "\ufffd ")]
    rc, out, err = tenon("tokenize", "-m", path, stdin="".join(r[0] + "\n" for r in rows))
    assert rc == 0 and [json.loads(line) for line in out.splitlines()] == [r[1] for r in rows], (out, err)
    rc, out, err = tenon("tokenize", "-m", path, stdin="\"hello\"\n\"</s>hello\"\n")
    assert out == "[1,22172]\n[1,2,22172]\n", out


def test_a_tool_choice_forces_a_beginning():
    body = {"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "function", "function": {"name": "f"}}]}
    rows = [("functionary-v3.2", "none", ">>>all\n"), ("functionary-v3.2", "auto", ">>>"), ("functionary-v3.1", "required", "\n\n<function="),
            ("functionary-v3.1", {"type": "function", "function": {"name": "f"}}, "\n\n<function=f>"), ("qwen3", "required", "assistant\n<tool_call>\n"),
            ("lfm2", "required", "<|im_start|>assistant\n")]
    for template, choice, end in rows:
        rc, out, err = tenon("render", "--template", template, stdin=json.dumps({**body, "tool_choice": choice}))
        assert rc == 0 and out.endswith(end), (template, choice, out[-40:], err)
    rc, out, err = tenon("render", "--template", "functionary-v3.2", stdin=json.dumps({**body, "tools": [], "tool_choice": "auto"}))
    assert rc == 0 and out.endswith(">>>all\n"), out[-40:]                    # nothing to call: text
    rc, out, err = tenon("render", "--template", "hermes", stdin=json.dumps({**body, "tool_choice": "g"}))
    assert rc == 1 and "no tool is called 'g'" in err, err


def test_inspect_says_which_dialect_and_why():
    def inspect(*args):
        r = subprocess.run([TENON, "inspect", *args], capture_output=True, cwd=ROOT)
        assert r.returncode == 0, r.stderr.decode()
        return r.stdout.decode()
    assert inspect().splitlines()[-1] == "dialect lfm2-json: the key tenon.dialect says so"
    assert json.loads(inspect("--json"))["dialect"] == {"name": "lfm2-json", "guessed": False, "why": "the key tenon.dialect says so"}


def test_refusals_are_one_line():
    rows = [
        (("parse", "--dialect", "nope"), "", "not known"),
        (("parse", "--dialect", "lfm2", "--tool-choice", "nope"), "", "not among the tools"),
        (("render", "--template", "nope"), "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", "nor one of ours"),
        (("render", "--template", "tenon"), "{\"messages\":[{\"role\":\"user\"", "byte 27"),
        (("render",), "{\"messages\":[{\"role\":\"user\",\"content\":3}]}", "messages[0]: content"),
        (("render", "--template", "tenon"), "{\"messages\":[],\"add_generation_prompt\":1}", "add_generation_prompt"),
        (("tokenize", "-m", "README.md"), "\"a\"\n", "README.md"),
        (("tokenize",), "{}\n", "line 1: is object"),
        (("tokenize",), "[true]\n", "line 1: element 0 is no id of this vocabulary"),
        (("tokenize",), "[0,-1]\n", "element 1 is no id"),
        (("tokenize",), "[99999999999]\n", "element 0 is no id"),
    ]
    for args, stdin, says in rows:
        rc, out, err = tenon(*args, stdin=stdin)
        assert rc == 1 and not out and says in err and err.count("\n") == 1, (args, rc, out, err)


if __name__ == "__main__":
    for name, f in list(globals().items()):
        if name.startswith("test_"):
            f()
            print("ok", name)
