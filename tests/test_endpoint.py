"""Black box: an OpenAI-compatible endpoint is asked. The endpoint is a small server with canned answers: whole and
streamed, cut anywhere, busy, broken, too large, silent."""
import http.server
import json
import os
import re
import subprocess
import threading
import time

import pytest

TENON = os.environ.get("TENON", "build/tenon")
ENV = dict(os.environ, no_proxy="*", NO_PROXY="*")
HAS_CLIENT = "http client: yes" in subprocess.run([TENON, "--version"], capture_output=True, text=True).stdout
needs_client = pytest.mark.skipif(not HAS_CLIENT, reason="skipped: built without libcurl")

TOOL = {"type": "function", "function": {"name": "set_light", "description": "d", "parameters": {
    "type": "object", "properties": {"room": {"type": "string"}, "level": {"type": "integer"}}, "required": ["room"]}}}


def line(kind="single", expect=None, text="dim the kitchen", **more):
    return {"id": text, "kind": kind, "tools": [TOOL], "messages": [{"role": "user", "content": text}],
            "expect": [{"set_light": {"room": ["kitchen"], "level": [10, ""]}}] if expect is None else expect, **more}


def call(args='{"room":"kitchen","level":10}', name="set_light", id="c1"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": args}}


def whole(calls=(), text=None, reason=None, **more):
    message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = list(calls)
    return {"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": message,
            "finish_reason": reason or ("tool_calls" if calls else "stop")}], **more}


def chunk(delta, reason=None):
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def sse(*events, end="\n\n", done=True):
    return "".join(f"data: {e if isinstance(e, str) else json.dumps(e)}{end}" for e in events) + ("data: [DONE]" + end if done else "")


def streamed_call(args='{"room":"kitchen","level":10}', cut=3, reason="tool_calls"):
    """The chunks of one call, its arguments in pieces of cut characters."""
    pieces = [args[i:i + cut] for i in range(0, len(args), cut)]
    return ([chunk({"role": "assistant", "content": None}),
             chunk({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "set_light", "arguments": ""}}]})] +
            [chunk({"tool_calls": [{"index": 0, "function": {"arguments": p}}]}) for p in pieces] +
            [chunk({}, reason), {"object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}])


class Endpoint:
    """Answers what answer(self, body) says: (status, headers, bytes or iterable of bytes)."""

    def __init__(self, answer):
        self.answer, self.seen, self.headers, self.busy, self.most_busy, self.lock = answer, [], [], 0, 0, threading.Lock()
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with endpoint.lock:
                    endpoint.seen.append(body)
                    endpoint.headers.append((self.path, dict(self.headers)))
                    endpoint.busy += 1
                    endpoint.most_busy = max(endpoint.busy, endpoint.most_busy)
                try:
                    status, headers, content = endpoint.answer(endpoint, body)
                    self.send_response(status)
                    whole = isinstance(content, (bytes, str))
                    content = content.encode() if isinstance(content, str) else content
                    headers = dict(headers)
                    if whole:
                        headers.setdefault("Content-Length", str(len(content)))
                    else:
                        headers["Connection"] = "close"
                    for k, v in headers.items():
                        self.send_header(k, v)
                    self.end_headers()
                    for piece in [content] if whole else content:
                        self.wfile.write(piece)
                        self.wfile.flush()
                    if not whole or "Content-Length" in dict(headers) and int(headers["Content-Length"]) != len(content):
                        self.close_connection = True
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                finally:
                    with endpoint.lock:
                        endpoint.busy -= 1

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint():
    made = []

    def make(answer):
        made.append(Endpoint(answer))
        return made[-1]

    yield make
    for e in made:
        e.close()


def tenon(*args, env=None):
    p = subprocess.run([TENON, *map(str, args)], capture_output=True, text=True, timeout=120, env=env or ENV)
    return p.returncode, p.stdout, p.stderr


def ask(tmp_path, endpoint, lines, *args, env=None):
    data, out = tmp_path / "lines.jsonl", tmp_path / "out.jsonl"
    data.write_text("".join(json.dumps(l) + "\n" for l in lines))
    rc, text, err = tenon("eval", "--data", data, "--endpoint", endpoint.url, "--out", out, "--json", *args, env=env)
    answers = [json.loads(l) for l in out.read_text().splitlines()] if out.exists() else []
    return rc, json.loads(text) if text else None, err, answers


def answering(value):
    return lambda endpoint, body: (200, {"Content-Type": "application/json"}, json.dumps(value))


def streaming(text, cut=None):
    """The bytes of a stream, in pieces of cut bytes (None: all at once)."""
    data = text.encode()
    pieces = [data] if not cut else [data[i:i + cut] for i in range(0, len(data), cut)]
    return lambda endpoint, body: (200, {"Content-Type": "text/event-stream"}, pieces)


# ---- what goes out, what comes back ----

@needs_client
def test_a_whole_answer_is_judged(tmp_path, endpoint):
    e = endpoint(answering(whole([call()], usage={"prompt_tokens": 3})))
    rc, told, err, answers = ask(tmp_path, e, [line(), line("none", [])], "--model-name", "m1")
    assert rc == 0, err
    assert told["kinds"]["single"]["exact"] == 1 and told["kinds"]["none"]["exact"] == 0
    assert answers[0]["message"]["tool_calls"][0]["function"] == {"name": "set_light", "arguments": '{"room":"kitchen","level":10}'}
    path, headers = e.headers[0]
    assert path == "/v1/chat/completions" and headers["Content-Type"] == "application/json" and "Authorization" not in headers
    body = e.seen[0]
    assert body["model"] == "m1" and body["tools"] == [TOOL] and body["messages"] == [{"role": "user", "content": "dim the kitchen"}]
    assert body["temperature"] == 0 and body["max_tokens"] > 0 and not body.get("stream")
    assert set(body) <= {"model", "messages", "tools", "temperature", "max_tokens", "stream"}, "nothing that only we understand"


@needs_client
@pytest.mark.parametrize("cut", [None, 1, 7])
@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
def test_a_streamed_answer_is_the_same(tmp_path, endpoint, cut, end):
    e = endpoint(streaming(sse(*streamed_call(), end=end), cut))
    rc, told, err, answers = ask(tmp_path, e, [line()], "--stream")
    assert rc == 0, err
    assert told["all"]["exact"] == 1
    assert answers[0]["message"] == {"role": "assistant", "content": None, "tool_calls": [call()]}
    assert e.seen[0]["stream"] is True


@needs_client
def test_calls_may_interleave_and_lack_ids(tmp_path, endpoint):
    def d(i, **f):
        return chunk({"tool_calls": [{"index": i, "function": f}]})
    chunks = [d(0, name="set_light", arguments='{"room":'), d(1, name="set_light", arguments='{"ro'), d(0, arguments='"hall"}'),
              d(1, arguments='om":"kitchen"}'), chunk({"content": "Both."}), chunk({}, "stop")]
    e = endpoint(streaming(sse(*chunks)))
    expect = [{"set_light": {"room": [r]}} for r in ("kitchen", "hall")]
    rc, told, err, answers = ask(tmp_path, e, [line("parallel", expect)], "--stream")
    assert rc == 0 and told["all"]["exact"] == 1, (err, answers)
    m = answers[0]["message"]
    assert m["content"] == "Both." and [c["id"] for c in m["tool_calls"]] == ["call_1", "call_2"]


@needs_client
@pytest.mark.parametrize("why, args, mark", [
    ("does not fit its schema", '{"room":3}', "schema_ok"), ("is no JSON", '{"room":', "schema_ok"), ("another tool", None, "schema_ok")])
def test_a_call_that_does_not_fit_is_marked(tmp_path, endpoint, why, args, mark):
    e = endpoint(answering(whole([call(args) if args else call(name="other")])))
    rc, told, err, answers = ask(tmp_path, e, [line()])
    assert rc == 0 and told["all"]["exact"] == 0, err
    assert answers[0]["message"]["tool_calls"][0][mark] is False


@needs_client
def test_a_call_that_the_limit_cut_is_incomplete(tmp_path, endpoint):
    e = endpoint(streaming(sse(*streamed_call('{"room":"kit', reason="length"))))
    rc, told, err, answers = ask(tmp_path, e, [line()], "--stream")
    assert rc == 0 and told["all"]["exact"] == 0, err
    assert answers[0]["message"]["tool_calls"][0]["incomplete"] is True


@needs_client
def test_arguments_may_come_as_an_object(tmp_path, endpoint):
    e = endpoint(answering(whole([call({"room": "kitchen"})])))
    rc, told, err, answers = ask(tmp_path, e, [line()])
    assert rc == 0 and told["all"]["exact"] == 1, err


@needs_client
def test_the_key_comes_from_the_environment(tmp_path, endpoint):
    e = endpoint(answering(whole(text="Which room?")))
    rc, told, err, _ = ask(tmp_path, e, [line("ask", [])], "--api-key-env", "TEST_KEY", env=dict(ENV, TEST_KEY="sk-1"))
    assert rc == 0 and told["all"]["exact"] == 1, err
    assert e.headers[0][1]["Authorization"] == "Bearer sk-1"
    rc, _, err, _ = ask(tmp_path, e, [line()], "--api-key-env", "NO_SUCH_KEY")
    assert rc == 2 and "NO_SUCH_KEY" in err


@needs_client
def test_several_are_asked_at_once(tmp_path, endpoint):
    gate = threading.Barrier(4, timeout=20)

    def answer(endpoint, body):
        gate.wait()                        # only four at the same time come through
        return 200, {}, json.dumps(whole([call()]) if body["messages"][0]["content"] != "no" else whole(text="No."))
    e = endpoint(answer)
    lines = [line(), line("none", [], "no"), line(), line()] * 2
    rc, told, err, answers = ask(tmp_path, e, lines, "--parallel", 4)
    assert rc == 0, err
    assert told["all"] == {"n": 8, "exact": 1.0, "low": told["all"]["low"], "high": 1.0} and e.most_busy == 4
    assert [a["kind"] for a in answers] == [l["kind"] for l in lines], "in the order of the lines"


# ---- patience ----

@needs_client
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_endpoint_is_asked_again(tmp_path, endpoint, status):
    def answer(endpoint, body):
        if len(endpoint.seen) < 3:
            return status, {"Retry-After": "0"}, json.dumps({"error": {"message": "later"}})
        return 200, {}, json.dumps(whole([call()]))
    e = endpoint(answer)
    t0 = time.monotonic()
    rc, told, err, _ = ask(tmp_path, e, [line()])
    assert rc == 0 and told["all"]["exact"] == 1 and len(e.seen) == 3, err
    assert time.monotonic() - t0 > 0.7, "there are pauses"


@needs_client
def test_retry_after_is_honoured(tmp_path, endpoint):
    e = endpoint(lambda e, b: (429, {"Retry-After": "1"}, "{}") if len(e.seen) < 2 else (200, {}, json.dumps(whole([call()]))))
    t0 = time.monotonic()
    rc, told, err, _ = ask(tmp_path, e, [line()])
    assert rc == 0 and told["all"]["exact"] == 1 and time.monotonic() - t0 > 0.95, err


# ---- what goes wrong ends in a sentence, and counts as not answered ----

WRONG = {
    "status": (lambda e, b: (401, {}, json.dumps({"error": {"message": "bad key"}})), "status 401: bad key"),
    "status without JSON": (lambda e, b: (404, {}, "<html>"), "status 404"),
    "redirect": (lambda e, b: (307, {"Location": "http://127.0.0.1:1/"}, ""), "status 307"),
    "no JSON": (lambda e, b: (200, {}, "<html>"), "no JSON"),
    "no message": (lambda e, b: (200, {}, "{}"), "finish_reason|message"),
    "closed early": (lambda e, b: (200, {"Content-Length": "5000"}, '{"choices":'), "http://127"),
    "error with 200": (answering({"error": "out of memory"}), "out of memory"),
    "filtered": (answering(whole(text="", reason="content_filter")), "content_filter"),
}
WRONG_STREAM = {
    "malformed chunk": (streaming("data: {\"choices\": [\n\n"), "no JSON"),
    "broken off": (streaming(sse(*streamed_call()[:4], done=False)), "broke off"),
    "error in the stream": (streaming(sse(chunk({"content": "a"}), {"error": {"message": "engine died"}})), "engine died"),
    "absurd index": (streaming(sse(chunk({"tool_calls": [{"index": 10 ** 9, "function": {"name": "f"}}]}))), "index"),
    "no name": (streaming(sse(chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}), chunk({}, "tool_calls"))), "without a name"),
    "no stream at all": (streaming("nothing\n\n"), "broke off"),
    "an endless event": (lambda e, b: (200, {}, (b"data: " + b"x" * 65536 for _ in range(10 ** 6))), "more than"),
}


@needs_client
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_told(tmp_path, endpoint, name):
    answer, words = WRONG[name]
    rc, told, err, answers = ask(tmp_path, endpoint(answer), [line("none", [])], "--tries", 2)
    assert rc == 0 and told["all"] == dict(told["all"], n=1, exact=0.0, failed=1), (err, told)
    assert re.search(words, answers[0]["why"]) and "http://127" in answers[0]["why"], answers[0]["why"]


@needs_client
@pytest.mark.parametrize("name", WRONG_STREAM)
def test_a_wrong_stream_is_told(tmp_path, endpoint, name):
    answer, words = WRONG_STREAM[name]
    rc, told, err, answers = ask(tmp_path, endpoint(answer), [line("none", [])], "--stream")
    assert rc == 0 and told["all"] == dict(told["all"], n=1, exact=0.0, failed=1), (err, told)
    assert re.search(words, answers[0]["why"]), answers[0]["why"]


@needs_client
def test_silence_has_a_limit(tmp_path, endpoint):
    stop = threading.Event()
    e = endpoint(lambda e, b: (stop.wait(20), (200, {}, "{}"))[1])
    t0 = time.monotonic()
    rc, told, err, answers = ask(tmp_path, e, [line()], "--timeout", 1)
    stop.set()
    assert rc == 0 and told["all"]["failed"] == 1 and time.monotonic() - t0 < 15, err


@needs_client
def test_nobody_there_ends_the_run(tmp_path):
    data = tmp_path / "d.jsonl"
    data.write_text((json.dumps(line()) + "\n") * 40)
    rc, out, err = tenon("eval", "--data", data, "--endpoint", "http://127.0.0.1:1/v1", "--parallel", 4, "--tries", 2)
    assert rc == 1 and out == "" and len(err.splitlines()) == 1 and "127.0.0.1:1" in err


@pytest.mark.parametrize("args, word", [
    (("--endpoint", "127.0.0.1:80"), "http://"), (("--endpoint", "http://x/v1", "-m", "m.gguf"), "one of them"),
    (("--parallel", 2), "--endpoint"), (("--endpoint", "http://x/v1", "--parallel", 0), "accepted"),
    (("--endpoint", "http://x/v1", "--steer", 1), "--steer"), (("--endpoint", "http://x/v1", "--timeout", 0), "accepted"),
    (("--endpoint", "http://x/v1", "--tries", 0), "accepted"), (("--endpoint", "http://x/v1", "--free"), "--free"), (("--free", "--steer", 1), "--free")])
def test_options_that_do_not_fit_are_refused(tmp_path, args, word):
    data = tmp_path / "d.jsonl"
    data.write_text(json.dumps(line()) + "\n")
    rc, out, err = tenon("eval", "--data", data, *args)
    assert rc in (1, 2) and out == "" and len(err.splitlines()) == 1
    assert word in err or not HAS_CLIENT


# ---- the benchmarks, from outside ----

def bfcl(category, name="math.add", args=None, **more):
    return {"id": category, "category": category, "question": [[{"role": "user", "content": category}]],
            "function": [{"name": name, "description": "Adds.", "parameters": {"type": "dict", "properties": {
                "a": {"type": "integer"}}, "required": ["a"]}}], **({"ground_truth": [{name: {"a": [3]}}]} if args is None else {}), **more}


@needs_client
def test_bfcl_is_asked_and_summed(tmp_path, endpoint):
    def answer(endpoint, body):
        f = body["tools"][0]["function"]
        assert f["name"] == "math_add" and f["parameters"]["type"] == "object" and f["description"].startswith("Adds. Note that")
        return 200, {}, json.dumps(whole([call('{"a":3}', "math_add")]) if body["messages"][0]["content"] != "irrelevance" else whole(text="No."))
    data = tmp_path / "b.jsonl"
    data.write_text("".join(json.dumps(bfcl(c)) + "\n" for c in ("simple_python", "multiple")) + json.dumps(bfcl("irrelevance", args=0)) + "\n")
    rc, out, err = tenon("eval", "bfcl", data, "--endpoint", endpoint(answer).url, "--json")
    assert rc == 0, err
    told = json.loads(out)
    assert {k: v["exact"] for k, v in told["categories"].items()} == {"simple_python": 1, "multiple": 1, "irrelevance": 1}
    assert told["totals"]["non_live"] is None and "live_multiple" in told["not_evaluated"]


@needs_client
def test_sgd_is_asked(tmp_path, endpoint):
    data = tmp_path / "s.jsonl"
    points = [dict(line("call"), unseen=True), dict(line("none", []), unseen=False)]
    data.write_text("".join(json.dumps(p) + "\n" for p in points))
    rc, out, err = tenon("eval", "sgd", data, "--endpoint", endpoint(answering(whole([call('{"room":"Kitchen"}')]))).url, "--json")
    assert rc == 0, err
    told = json.loads(out)
    assert told["unseen"]["call_lenient"]["exact"] == 1 and told["all"]["false_call"]["exact"] == 1 and told["seen"]["call_lenient"]["n"] == 0


@needs_client
def test_own_sets_are_those_of_tenon_data(tmp_path, endpoint):
    e = endpoint(answering(whole(text="Which?")))
    rc, out, err = tenon("eval", "own", "--set", "E2", "-n", 2, "--first", 50000, "--endpoint", e.url, "--json")
    assert rc == 0, err
    told = json.loads(out)["E2"]
    assert told["all"]["n"] == 14 and all(k["n"] == 2 for k in told["kinds"].values()) and len(told["kinds"]) == 7
    rc, dumped, err = tenon("data", "--set", "E2", "--kind", "single", "--first", 50000, "--dump", 2)
    assert rc == 0, err
    assert [l["messages"] for l in map(json.loads, dumped.splitlines())] == [b["messages"] for b in e.seen[:2]]


def test_files_are_read_before_anything_is_asked(tmp_path):
    good, bad = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    good.write_text(json.dumps(bfcl("multiple")) + "\n")
    bad.write_text(json.dumps(bfcl("multi_turn_base")) + "\n")
    rc, out, err = tenon("eval", "bfcl", good, bad)
    assert rc == 1 and out == "" and len(err.splitlines()) == 1 and "b.jsonl: line 1" in err and "multi_turn_base" in err


def test_the_embedded_model_is_measured(tmp_path):
    data = tmp_path / "b.jsonl"
    data.write_text(json.dumps(bfcl("multiple")) + "\n" + json.dumps(bfcl("irrelevance", args=0)) + "\n")
    rc, out, err = tenon("eval", "bfcl", data, "--json")
    assert rc == 0, err
    assert json.loads(out)["categories"]["multiple"]["n"] == 1


@pytest.mark.parametrize("args", [(), ("--free",), ("--steer", 0)])
def test_a_random_model_is_measured_with_and_without_the_grammar(tmp_path, args):
    """A model of random weights never ends a call by itself, and cannot help it with the grammar."""
    model, data, out = tmp_path / "nano.gguf", tmp_path / "d.jsonl", tmp_path / "out.jsonl"
    assert subprocess.run([TENON, "debug", "random-model", "--shape", "nano", "--vocab", "models/vocab-2048.gguf", model], timeout=60).returncode == 0
    data.write_text("".join(json.dumps(line(text=t, tool_choice="required")) + "\n" for t in ("a", "b", "c")))
    rc, text, err = tenon("eval", "-m", model, "--data", data, "--out", out, "--json", *args)
    assert rc == 0, err
    calls = [a["message"].get("tool_calls", []) for a in map(json.loads, out.read_text().splitlines())]
    fine = [bool(c) and not any("incomplete" in x or "schema_ok" in x for x in c) for c in calls]
    assert fine == [args != ("--free",)] * 3
