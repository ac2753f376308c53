"""Functionary's parser cases: what our parsers return, whole, in pieces, cut by a limit, with its finish_reason.

The cases lie in ../shared (or $TENON_SHARED); skipped aloud where it is not there. TENON names the binary."""
import json, os, subprocess, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build", "tenon"))
CASES = os.path.join(os.environ.get("TENON_SHARED", os.path.join(ROOT, "..", "shared")), "fixtures/functionary/golden/parser_correct.json")
DIALECTS = {"v1": ["functionary-v1"], "v2": ["functionary-v2"], "v2.llama3": ["functionary-v2.llama3"], "v3.llama3": ["functionary-v3.2"],
            "v3-llama3.1": ["functionary-v3.1", "functionary-v4r"], "qwen2.5-text-only": ["hermes"]}


def parse(case, dialect, tools, *more):
    choice = case["tool_choice"]
    args = ["--dialect", dialect, "--tools", tools, *more]
    if choice:
        args += ["--tool-choice", choice if isinstance(choice, str) else choice.get("function", choice)["name"]]
    if case["engine_finish"] == "length":
        args.append("--cut")
    r = subprocess.run([TENON, "debug", "parse", *args], input=case["output"].encode(), capture_output=True)
    assert r.returncode == 0, r.stderr
    return r.stdout.decode()


def calls(message):
    def value(text):
        try:
            return json.dumps(json.loads(text))
        except ValueError:
            return text
    return [(c["function"]["name"], value(c["function"]["arguments"]), c.get("incomplete", False)) for c in message.get("tool_calls") or []]


def test_functionary_cases():
    if not os.path.exists(CASES):
        import pytest
        pytest.skip(f"{CASES} is not there")
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        tools = os.path.join(folder, "tools.json")
        for case in json.load(open(CASES))["cases"]:
            code = case["code_interpreter"]
            declared = [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}} for n in case["tool_names"] if not (code and n == "python")]
            json.dump(declared + [{"type": "code_interpreter"}] * code, open(tools, "w"))
            for dialect in DIALECTS.get(case["template"], []):
                message = json.loads(parse(case, dialect, tools))
                chunks = [json.loads(line)["choices"][0] for line in parse(case, dialect, tools, "--stream", "3").splitlines()]
                text = "".join(c["delta"].get("content") or "" for c in chunks) or None
                want = case["correct"]["content"], calls(case["correct"]), case["finish_reason"]
                if (message["content"], calls(message), chunks[-1]["finish_reason"]) != want or text != message["content"]:
                    bad.append((dialect, case["source"], case["index"], case["output"], message, chunks[-1]["finish_reason"]))
    assert not bad, bad[:5]


if __name__ == "__main__":
    test_functionary_cases()
    print("ok test_functionary_cases")
