"""tenon serve, seen from outside: the official SDKs, plain HTTP, sockets that misbehave, and faults.

Nothing here depends on what the embedded model says, only on what must hold whatever it says. One server
serves a whole module; tests that need another start one of their own (it takes some 50 ms)."""
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

TENON = os.environ.get("TENON", "build/tenon")
HELP = subprocess.run([TENON, "--version"], capture_output=True, text=True).stdout
if "server: yes" not in HELP:
    pytest.skip("skipped: this build has no server (libmicrohttpd-dev was missing)", allow_module_level=True)
HOME = json.load(open("examples/home.json"))
TOOLS = [t if t.get("type") == "function" else {"type": "function", "function": t} for t in (HOME["tools"] if isinstance(HOME, dict) else HOME)]
ASK = [{"role": "user", "content": "dim the kitchen to 10"}]
SLOW = 4 if "san" in os.path.abspath(TENON).split(os.sep)[-2] else 1                # sanitizers


class Server:
    """A running tenon serve; ends with the with-block, and must end well."""

    def __init__(self, *args, env=None, check=True, preexec=None):
        self.log, self.check = [], check
        self.process = subprocess.Popen([TENON, "serve", "--port", "0", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=dict(os.environ, **(env or {})), preexec_fn=preexec)
        threading.Thread(target=self._read_log, daemon=True).start()
        line = self.process.stdout.readline().strip()
        if not line:
            self.process.wait(20)
            time.sleep(0.1)
            raise RuntimeError("did not start: " + "".join(self.log))
        self.url = line.removeprefix("listening on ")
        self.port = int(self.url.rsplit(":", 1)[1]) if "unix:" not in self.url else 0

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)

    def __enter__(self):
        return self

    def stop(self, sig=signal.SIGTERM, timeout=60):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        self.process.wait(timeout)
        self.process.stdout.close()
        return self.process.returncode

    def __exit__(self, *_):
        try:
            rc = self.stop()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        text = "".join(self.log)
        assert "ERROR: " not in text and "runtime error" not in text and "WARNING: ThreadSanitizer" not in text, text[-6000:]
        if self.check:
            assert rc == 0, text[-3000:]

    def open(self, path, body=None, method=None, headers=None, raw=None):
        """(status, headers, text)"""
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        h = {"Content-Type": "application/json"} if data is not None else {}
        r = urllib.request.Request(self.url + path, data, {**h, **(headers or {})}, method=method)
        try:
            with urllib.request.urlopen(r, timeout=300) as a:
                return a.status, a.headers, a.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read().decode()

    def get(self, path, **k):
        status, _, text = self.open(path, **k)
        return status, json.loads(text)

    def post(self, path, body, **k):
        status, _, text = self.open(path, body, **k)
        return status, json.loads(text) if text[:1] in "{[" else text

    def chat(self, **body):
        body.setdefault("messages", ASK)
        return self.post("/v1/chat/completions", body)

    def events(self, path, body, headers=None):
        """Server-sent events as (event, data) with data parsed, [DONE] as it is."""
        _, h, text = self.open(path, body, headers=headers)
        assert h["Content-Type"] == "text/event-stream; charset=utf-8", text
        out = []
        assert text.endswith("\n\n") and "\r" not in text
        for block in text[:-2].split("\n\n"):
            if block.startswith(":"):
                continue
            lines = block.split("\n")
            assert len(lines) <= 2, block
            name = lines[0].removeprefix("event: ") if len(lines) == 2 else None
            data = lines[-1].removeprefix("data: ")
            assert data and lines[-1].startswith("data: ")
            out.append((name, data if data == "[DONE]" else json.loads(data)))
        return out

    def metric(self, name, labels=""):
        text = self.open("/metrics")[2]
        m = re.search(rf'^{name}{{[^}}]*{re.escape(labels)}[^}}]*}} (\S+)$', text, re.M)
        return float(m.group(1)) if m else 0.0

    def context(self):
        return self.get("/props")[1]["n_ctx"]

    def idle(self, timeout=20):
        """Waits until nothing runs."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.metric("tenon_num_requests_running") == 0 and self.metric("tenon_num_requests_waiting") == 0:
                return
            time.sleep(0.02)
        raise AssertionError("requests still run")

    def until(self, true, timeout=60):
        """Waits until a condition holds."""
        end = time.monotonic() + timeout
        while not true():
            assert time.monotonic() < end, "it did not come to pass"
            time.sleep(0.005)

    def raw(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server("--response-store", tmp_path_factory.mktemp("store") / "r.db", "--parallel", "8") as s:
        yield s


def is_error(answer, status, code=None, param=None):
    got, body = answer
    assert got == status, body
    e = body["error"]
    assert set(e) >= {"message", "type", "param", "code"} and e["message"], body
    assert e["code"] is None or isinstance(e["code"], str)
    if code:
        assert e["code"] == code, body
    if param:
        assert e["param"] == param, body
    return e["message"]


def fold_chat(chunks):
    """What a client makes of a stream: {index: message}, {index: finish_reason}."""
    messages, finish, logprobs = {}, {}, {}
    for c in chunks:
        for choice in c["choices"]:
            m = messages.setdefault(choice["index"], {"role": None, "content": None})
            d = choice["delta"]
            assert choice["index"] not in finish, "nothing follows the finish chunk"
            if "role" in d:
                assert m["role"] is None and d["content"] is None, "role once, first"
                m["role"] = d["role"]
            else:
                assert m["role"], "role first"
            if d.get("content") is not None:
                assert d["content"] != ""
                m["content"] = (m["content"] or "") + d["content"]
            if "function_call" in d:
                f = m.setdefault("function_call", {"name": "", "arguments": ""})
                f["name"] += d["function_call"].get("name", "")
                f["arguments"] += d["function_call"].get("arguments", "")
            for t in d.get("tool_calls", []):
                calls = m.setdefault("tool_calls", [])
                if "id" in t:
                    assert t["index"] == len(calls) and t["type"] == "function" and t["function"]["arguments"] == ""
                    calls.append({"id": t["id"], "type": "function", "function": {"name": t["function"]["name"], "arguments": ""}})
                elif "function" in t:
                    assert t["index"] == len(calls) - 1 and set(t["function"]) == {"arguments"}
                    calls[-1]["function"]["arguments"] += t["function"]["arguments"]
            if choice.get("logprobs"):
                logprobs.setdefault(choice["index"], []).extend(choice["logprobs"]["content"])
            if choice["finish_reason"]:
                assert d == {}
                finish[choice["index"]] = choice["finish_reason"]
    return messages, finish, logprobs


def without_ids(message):
    m = json.loads(json.dumps(message))
    for c in m.get("tool_calls") or []:
        assert re.fullmatch(r"call_[A-Za-z0-9]{24}", c["id"])
        c["id"] = "call"
    m.pop("refusal", None)
    return m


# ---- chat -------------------------------------------------------------------------------------------------

BODIES = [
    {"tools": TOOLS},
    {"tools": TOOLS, "tool_choice": "required"},
    {"tools": TOOLS, "tool_choice": "none", "max_tokens": 20},
    {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "set_light"}}},
    {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "set_light"}}]}}},
    {"tools": TOOLS, "tool_choice": "required", "temperature": 1.5, "seed": 3, "n": 3, "max_tokens": 120},
    {"tools": TOOLS, "logprobs": True, "top_logprobs": 2},
    {"max_tokens": 30},
    {"max_tokens": 30, "temperature": 1, "seed": 1, "stop": ["e", "a"]},
    {"max_tokens": 40, "response_format": {"type": "json_object"}},
    {"max_tokens": 60, "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": {
        "type": "object", "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer", "maximum": 99, "minimum": 0}}, "required": ["ok", "n"], "additionalProperties": False}}}},
    {"functions": [t["function"] for t in TOOLS], "function_call": {"name": "set_light"}},
    {"functions": [t["function"] for t in TOOLS]},
    {"tools": TOOLS + [{"type": "code_interpreter"}], "tool_choice": {"type": "function", "function": {"name": "python"}}, "max_tokens": 60},
]


@pytest.mark.parametrize("i", range(len(BODIES)))
def test_the_stream_folds_to_the_whole_answer(server, i):
    body = BODIES[i]
    status, whole = server.chat(**body)
    assert status == 200, whole
    events = server.events("/v1/chat/completions", {"messages": ASK, "stream": True, "stream_options": {"include_usage": True}, **body})
    assert [e[1] for e in events].count("[DONE]") == 1 and events[-1][1] == "[DONE]"
    chunks = [e[1] for e in events[:-1]]
    usage = chunks.pop()
    assert usage["choices"] == [] and all(c["usage"] is None for c in chunks)
    assert len({c["id"] for c in chunks}) == 1 and all(c["object"] == "chat.completion.chunk" for c in chunks)
    messages, finish, logprobs = fold_chat(chunks)
    assert len(whole["choices"]) == body.get("n", 1) == len(messages)
    for c in whole["choices"]:
        assert without_ids(c["message"]) == without_ids(messages[c["index"]])
        assert c["finish_reason"] == finish[c["index"]]
        if body.get("logprobs"):
            assert [p["token"] for p in c["logprobs"]["content"]] == [p["token"] for p in logprobs[c["index"]]]
            assert len(logprobs[c["index"]]) == whole["usage"]["completion_tokens"]
        else:
            assert c["logprobs"] is None
    for k in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert whole["usage"][k] == usage["usage"][k]


def test_calls_are_valid_and_shaped(server):
    status, a = server.chat(tools=TOOLS, tool_choice="required")
    c = a["choices"][0]
    assert status == 200 and c["finish_reason"] == "tool_calls" and c["message"]["content"] is None
    for call in c["message"]["tool_calls"]:
        assert call["function"]["name"] in [t["function"]["name"] for t in TOOLS]
        assert isinstance(json.loads(call["function"]["arguments"]), dict)
    assert a["object"] == "chat.completion" and a["id"].startswith("chatcmpl-") and a["system_fingerprint"].startswith("fp_")


def test_no_calls_means_no_tool_calls_member(server):
    _, a = server.chat(max_tokens=5)
    assert "tool_calls" not in a["choices"][0]["message"] and a["choices"][0]["finish_reason"] in ("stop", "length")


def test_legacy_functions(server):
    _, a = server.chat(functions=[t["function"] for t in TOOLS], function_call={"name": "set_light"})
    c = a["choices"][0]
    assert c["finish_reason"] == "function_call" and c["message"]["function_call"]["name"] == "set_light" and "tool_calls" not in c["message"]
    history = ASK + [{"role": "assistant", "content": None, "function_call": c["message"]["function_call"]},
                     {"role": "function", "name": "set_light", "content": "done"}]
    assert server.chat(messages=history, functions=[t["function"] for t in TOOLS], max_tokens=40)[0] == 200


def test_the_code_interpreter_is_called_by_its_source(server):
    _, a = server.chat(tools=[{"type": "code_interpreter"}], tool_choice="required", max_tokens=60)
    call = a["choices"][0]["message"]["tool_calls"][0]
    assert call["function"]["name"] == "python" and isinstance(call["function"]["arguments"], str)
    talk = ASK + [a["choices"][0]["message"]] + [{"role": "tool", "tool_call_id": c["id"], "content": "1"} for c in a["choices"][0]["message"]["tool_calls"]]
    assert server.chat(messages=talk, tools=[{"type": "code_interpreter"}], max_tokens=9)[0] == 200
    own = {"type": "function", "function": {"name": "python", "parameters": {"type": "object"}}}
    is_error(server.chat(tools=[{"type": "code_interpreter"}, own]), 400)
    body = {"input": "x", "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}], "tool_choice": "required", "max_output_tokens": 60}
    whole = server.post("/v1/responses", body)[1]
    last = check_response_stream(server.events("/v1/responses", {**body, "stream": True}))
    assert whole["output"][0]["type"] == "code_interpreter_call" and bare(last["output"]) == bare(whole["output"])


def test_a_conversation_with_results_goes_on(server):
    _, a = server.chat(tools=TOOLS, tool_choice="required")
    m = a["choices"][0]["message"]
    talk = ASK + [m] + [{"role": "tool", "tool_call_id": c["id"], "content": "done"} for c in m["tool_calls"]]
    status, b = server.chat(messages=talk, tools=TOOLS, max_tokens=60)
    assert status == 200, b
    is_error(server.chat(messages=ASK + [m] + [{"role": "tool", "tool_call_id": "call_x", "content": "done"}], tools=TOOLS), 400, "tool_call_id_mismatch")


def test_the_same_seed_gives_the_same_bytes_whatever_runs_beside(server):
    body = dict(temperature=1.2, seed=11, max_tokens=40)
    alone = server.chat(**body)[1]["choices"][0]["message"]["content"]
    others = [threading.Thread(target=server.chat, kwargs=dict(temperature=1, seed=s, max_tokens=60)) for s in range(6)]
    for t in others:
        t.start()
    assert server.chat(**body)[1]["choices"][0]["message"]["content"] == alone
    for t in others:
        t.join()


REFUSED = [
    ("no messages", {"messages": []}, 400, None, "messages"),
    ("unknown model", {"model": "gpt-9"}, 404, "model_not_found", "model"),
    ("model is no string", {"model": 5}, 400, "invalid_type", "model"),
    ("temperature", {"temperature": 3}, 400, None, "temperature"),
    ("temperature is a string", {"temperature": "1"}, 400, None, "temperature"),
    ("max_tokens below 1", {"max_tokens": -1}, 400, "integer_below_min_value", "max_tokens"),
    ("two limits", {"max_tokens": 5, "max_completion_tokens": 6}, 400, None, None),
    ("n too large", {"n": 1000}, 400, None, "n"),
    ("n is no number", {"n": "2"}, 400, "invalid_type", "n"),
    ("stream is no boolean", {"stream": 1}, 400, "invalid_type", "stream"),
    ("stream_options alone", {"stream_options": {"include_usage": True}}, 400, None, "stream_options"),
    ("top_logprobs alone", {"top_logprobs": 2}, 400, None, "top_logprobs"),
    ("tool without name", {"tools": [{"type": "function", "function": {}}]}, 400, "missing_required_parameter", "tools[0].function.name"),
    ("tool name", {"tools": [{"type": "function", "function": {"name": "a b"}}]}, 400, "invalid_tool_name", "tools[0].function.name"),
    ("tool twice", {"tools": [{"type": "function", "function": {"name": "a"}}] * 2}, 400, "duplicate_tool_name", "tools[1].function.name"),
    ("kind of tool", {"tools": [{"type": "custom", "custom": {"name": "a"}}]}, 400, "unsupported_tool_type", "tools[0].type"),
    ("schema", {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "object", "properties": {"x": {"type": "strnig"}}}}}]}, 400,
     "invalid_function_parameters", None),
    ("choice of nothing", {"tool_choice": "required"}, 400, None, None),
    ("choice unknown", {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "nope"}}}, 400, "tool_choice_unknown_tool", "tool_choice"),
    ("choice is a word", {"tools": TOOLS, "tool_choice": "maybe"}, 400, None, "tool_choice"),
    ("both generations", {"tools": TOOLS, "functions": [{"name": "a"}]}, 400, None, None),
    ("function_call alone", {"function_call": "auto"}, 400, None, "function_call"),
    ("function_call word", {"functions": [{"name": "a"}], "function_call": "required"}, 400, None, "function_call"),
    ("an image", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, 400, "unsupported_content_type", "messages[0].content[0]"),
    ("a role", {"messages": [{"role": "boss", "content": "x"}]}, 400, None, "messages[0].role"),
    ("a result of nothing", {"messages": [{"role": "tool", "content": "x"}]}, 400, "tool_call_id_mismatch", "messages[0].tool_call_id"),
    ("too small", {"tools": TOOLS, "tool_choice": "required", "max_tokens": 1}, 400, "max_tokens_too_small", None),
    ("too long", {"messages": [{"role": "user", "content": "kitchen " * 4000}]}, 400, "context_length_exceeded", None),
    ("audio", {"audio": {"voice": "x"}, "modalities": ["audio"]}, 400, None, None),
]


@pytest.mark.parametrize("why,body,status,code,param", REFUSED, ids=[r[0] for r in REFUSED])
def test_refusals_say_what_and_where(server, why, body, status, code, param):
    for stream in (False, True):
        if stream and "stream" in str(body):
            continue
        got = server.chat(**{**body, **({"stream": True} if stream else {})})
        is_error(got, status, code, param)
    if code == "context_length_exceeded":
        assert got[1]["error"]["n_ctx"] == server.context() < got[1]["error"]["n_prompt_tokens"]


def test_sentences_that_clients_look_for(server):
    assert "supported values are: 'none', 'auto', and 'required'." in is_error(server.chat(tools=TOOLS, tool_choice="maybe"), 400).lower()
    assert "'tool_choice' is only allowed when 'tools' are specified." in is_error(server.chat(tool_choice="required"), 400)
    assert is_error(server.chat(model="x"), 404) == "The model `x` does not exist."


def test_empty_tools_are_no_tools(server):
    assert server.chat(tools=[], max_tokens=5)[0] == 200


def test_null_is_absent(server):
    body = {k: None for k in ("tools", "tool_choice", "stop", "seed", "temperature", "n", "stream", "stream_options", "logprobs", "functions", "user", "response_format")}
    assert server.chat(max_tokens=4, **body)[0] == 200
    assert server.chat(max_tokens=4.0, n=1.0)[0] == 200


def test_biases_and_least_lengths(server):
    ask = dict(max_tokens=6, logprobs=True)
    first = server.chat(**ask)[1]["choices"][0]["logprobs"]["content"][0]["token"]
    ids = [t["id"] for t in server.post("/tokenize", {"content": first, "with_pieces": True})[1]["tokens"]]
    biased = server.chat(**ask, logit_bias={str(i): -100 for i in ids})[1]["choices"][0]["logprobs"]["content"][0]["token"]
    assert biased != first
    is_error(server.chat(logit_bias={"99999999": 1}), 400, None, "logit_bias")
    is_error(server.chat(logit_bias={"a": 1}), 400, None, "logit_bias")
    is_error(server.chat(logit_bias={"1": 101}), 400, None, "logit_bias")
    for more in ({"ignore_eos": True}, {"min_tokens": 90}):
        a = server.chat(max_tokens=90, **more)[1]
        assert a["usage"]["completion_tokens"] == 90 and a["choices"][0]["finish_reason"] == "length"


def test_log_probabilities_of_every_token(server):
    """Forced ones too: what the model thought, not what the grammar allowed."""
    a = server.chat(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "set_light"}}, logprobs=True, top_logprobs=3)[1]
    content = a["choices"][0]["logprobs"]["content"]
    assert len(content) == a["usage"]["completion_tokens"]
    for t in content:
        assert t["logprob"] <= 0 and len(t["top_logprobs"]) == 3
        assert [x["logprob"] for x in t["top_logprobs"]] == sorted((x["logprob"] for x in t["top_logprobs"]), reverse=True)
        assert t["top_logprobs"][0]["logprob"] >= t["logprob"]
    plain = server.chat(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "set_light"}})[1]
    assert without_ids(plain["choices"][0]["message"]) == without_ids(a["choices"][0]["message"]), "asking changes nothing"


def test_how_tokens_came_to_be(server):
    """return_tokens: one entry a generated token, in the stream and in the whole answer; the language's own cost nothing to choose."""
    body = {"messages": ASK, "tools": TOOLS, "return_tokens": True, "return_confidence": True, "min_confidence": 1}
    whole = server.chat(**body)[1]
    choice, call = whole["choices"][0], whole["choices"][0]["message"]["tool_calls"][0]
    tokens, t = choice["tokens"], whole["timings"]
    assert len(tokens) == whole["usage"]["completion_tokens"] == t["predicted_n"]
    assert sum(k["kind"] == "forced" for k in tokens) == t["forced_n"] > 0 and sum(k["kind"] == "drafted" for k in tokens) == t["draft_n_accepted"]
    assert all(0 < k["p"] <= 1 and (k["kind"] != "forced" or k["p"] == 1) for k in tokens)
    assert [k["ms"] for k in tokens] == sorted(k["ms"] for k in tokens) and t["queue_ms"] < tokens[0]["ms"]
    assert call["function"]["name"] in "".join(k["piece"] for k in tokens)
    chosen = [k["p"] for k in tokens if not k["piece"].startswith("<|")]
    assert abs(call["confidence"] - min(chosen)) < 1e-5 and choice["tool_confidence"] == [call["confidence"]]
    assert choice["low_confidence"] == [0]
    chunks = [d["choices"][0] for _, d in server.events("/v1/chat/completions", {**body, "stream": True}) if d != "[DONE]" and d["choices"]]
    streamed = [k for c in chunks for k in c.get("tokens", [])]
    assert [(k["id"], k["kind"], k["p"]) for k in streamed] == [(k["id"], k["kind"], k["p"]) for k in tokens]
    assert chunks[-1]["tool_confidence"] == choice["tool_confidence"] and chunks[-1]["low_confidence"] == [0]
    plain = server.chat(tools=TOOLS)[1]["choices"][0]                   # nothing of it unasked
    assert not {"tokens", "tool_confidence", "low_confidence"} & set(plain) and "confidence" not in plain["message"]["tool_calls"][0]
    assert plain["message"]["tool_calls"][0]["function"] == call["function"]
    with_odds = server.chat(**{**body, "logprobs": True})[1]["choices"][0]  # both, side by side
    assert [k["piece"] for k in with_odds["tokens"]] == [k["token"] for k in with_odds["logprobs"]["content"]]
    is_error(server.chat(return_tokens="yes"), 400, "invalid_type", "return_tokens")
    is_error(server.chat(min_confidence=2), 400, "invalid_value", "min_confidence")


def test_max_tokens_0_reads_the_prompt_only(server):
    a = server.chat(max_completion_tokens=0)[1]
    assert a["usage"]["completion_tokens"] == 0 and a["choices"][0]["message"]["content"] is None


# ---- completions ------------------------------------------------------------------------------------------

def test_completions(server):
    status, a = server.post("/v1/completions", {"prompt": "the kitchen", "max_tokens": 8, "n": 2, "temperature": 1, "seed": 4})
    assert status == 200 and a["object"] == "text_completion" and [c["index"] for c in a["choices"]] == [0, 1]
    ids = server.post("/tokenize", {"content": "the kitchen", "add_special": True})[1]["tokens"]
    assert a["usage"]["prompt_tokens"] == len(ids), "n choices, one prompt"
    one = server.post("/v1/completions", {"prompt": "the kitchen", "max_tokens": 8})[1]
    two = server.post("/v1/completions", {"prompt": ids, "max_tokens": 8})[1]
    many = server.post("/v1/completions", {"prompt": ["the kitchen", "a lamp"], "max_tokens": 8})[1]
    assert one["choices"][0]["text"] == two["choices"][0]["text"] == many["choices"][0]["text"]
    assert one["usage"]["prompt_tokens"] == len(ids) and many["usage"]["prompt_tokens"] > len(ids)
    events = server.events("/v1/completions", {"prompt": "the kitchen", "max_tokens": 8, "stream": True, "stream_options": {"include_usage": True}})
    assert events[-1][1] == "[DONE]"
    assert "".join(c["choices"][0]["text"] for _, c in events[:-2]) == one["choices"][0]["text"]
    assert events[-2][1]["usage"]["completion_tokens"] == one["usage"]["completion_tokens"]


def test_completions_echo_with_logprobs(server):
    body = {"prompt": "turn on the kitchen light", "max_tokens": 3, "echo": True, "logprobs": 2}
    status, a = server.post("/v1/completions", body)
    assert status == 200, a
    c = a["choices"][0]
    assert c["text"].startswith("turn on the kitchen light")
    l = c["logprobs"]
    n = a["usage"]["prompt_tokens"] + a["usage"]["completion_tokens"]
    assert len(l["tokens"]) == len(l["token_logprobs"]) == len(l["top_logprobs"]) == len(l["text_offset"]) == n
    assert l["token_logprobs"][0] is None and all(x <= 0 for x in l["token_logprobs"][1:])
    assert l["text_offset"] == sorted(l["text_offset"])
    quiet = server.post("/v1/completions", {**body, "max_tokens": 0})[1]
    assert quiet["usage"]["completion_tokens"] == 0 and len(quiet["choices"][0]["logprobs"]["tokens"]) == a["usage"]["prompt_tokens"]
    assert quiet["choices"][0]["logprobs"]["token_logprobs"] == l["token_logprobs"][:a["usage"]["prompt_tokens"]]


def test_completions_refuse(server):
    for body, param in [({}, "prompt"), ({"prompt": []}, "prompt"), ({"prompt": [99999999]}, "prompt"), ({"prompt": "a", "suffix": "b"}, "suffix"),
                        ({"prompt": "a", "best_of": 2}, "best_of"), ({"prompt": "a", "logprobs": 6}, "logprobs"), ({"prompt": {"a": 1}}, "prompt")]:
        is_error(server.post("/v1/completions", body), 400, None, param)


# ---- tokens, templates, models, properties ---------------------------------------------------------------

def test_tokens_round_trip(server):
    text = "dim the kitchen to 10, ünïcödé 🙂"
    a = server.post("/tokenize", {"content": text, "with_pieces": True})[1]
    ids = [t["id"] for t in a["tokens"]]
    assert a["count"] == len(ids) and a["max_model_len"] == server.context()
    back = server.post("/detokenize", {"tokens": ids})[1]
    assert back["content"] == back["prompt"] == text
    assert b"".join(t["piece"].encode() if isinstance(t["piece"], str) else bytes(t["piece"]) for t in a["tokens"]) == text.encode()
    is_error(server.post("/detokenize", {"tokens": [1 << 30]}), 400)
    is_error(server.post("/tokenize", {}), 400, "missing_required_parameter")
    n = server.post("/tokenize", {"messages": ASK, "tools": TOOLS})[1]["count"]
    t = server.post("/apply-template", {"messages": ASK, "tools": TOOLS})[1]
    assert t["tokens"] == n and "dim the kitchen to 10" in t["prompt"]
    assert server.post("/v1/chat/completions/input_tokens", {"messages": ASK, "tools": TOOLS})[1] == {"input_tokens": n}
    assert server.chat(tools=TOOLS)[1]["usage"]["prompt_tokens"] == n


def test_models(server):
    _, a = server.get("/v1/models")
    assert a["object"] == "list" and a["data"][0]["id"] == "tenon" and a["data"][0]["max_model_len"] > 0 and a["data"][0]["parent"] is None
    assert server.get("/v1/models/tenon")[1]["id"] == "tenon" and server.get("/models/tenon/")[0] == 200
    is_error(server.get("/v1/models/a%2Fb"), 404, "model_not_found")


def test_properties_and_health(server):
    _, p = server.get("/props")
    assert p["total_slots"] == 8 and "pattern" in p["schema_keywords"]["enforced"] and p["modalities"] == {"vision": False, "audio": False}
    for path in ("/health", "/v1/health", "/ready", "/live"):
        assert server.get(path) == (200, {"status": "ok"})
    assert isinstance(server.get("/slots")[1], list)
    assert is_error(server.post("/v1/embeddings", {"input": "x"}), 501)


def test_metrics_parse_and_add_up(server):
    parser = pytest.importorskip("prometheus_client.parser", reason="skipped: no prometheus_client")
    server.idle()
    time.sleep(0.2)                                                   # counted a moment after an answer is out
    before = server.metric("tenon_generation_tokens_total")
    n = server.chat(max_tokens=7)[1]["usage"]["completion_tokens"]
    for _ in range(100):
        if server.metric("tenon_generation_tokens_total") == before + n:
            break
        time.sleep(0.02)
    assert server.metric("tenon_generation_tokens_total") == before + n
    status, headers, text = server.open("/metrics")
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {f.name: f for f in parser.text_string_to_metric_families(text)}
    for name in ("tenon_num_requests_running", "tenon_kv_cache_usage_perc", "tenon_time_to_first_token_seconds", "tenon_request_success",
                 "tenon_http_requests", "tenon_tool_calls", "tenon_lora_requests_info", "process_open_fds"):
        assert name in families, name
    for f in families.values():
        for s in f.samples:
            assert s.value == s.value and abs(s.value) != float("inf")
    buckets = [s for s in families["tenon_e2e_request_latency_seconds"].samples if s.name.endswith("_bucket")]
    assert [b.value for b in buckets] == sorted(b.value for b in buckets) and buckets[-1].labels["le"] == "+Inf"


# ---- responses --------------------------------------------------------------------------------------------

FLAT = [{"type": "function", **t["function"]} for t in TOOLS]


def check_response_stream(events):
    """Order, numbers and sums of a Responses stream; returns the last response object."""
    assert events[-1][1] == "[DONE]"
    data = [d for _, d in events[:-1]]
    assert all(n == d["type"] for n, d in events[:-1])
    assert [d["sequence_number"] for d in data] == list(range(len(data)))
    assert [d["type"] for d in data[:2]] == ["response.created", "response.in_progress"]
    assert data[0]["response"]["status"] == "in_progress" and data[0]["response"]["output"] == []
    items, text, args, opened = {}, {}, {}, None
    for d in data[2:-1]:
        t = d["type"]
        if t == "response.output_item.added":
            assert opened is None and d["output_index"] == len(items)
            opened = d["item"]["id"]
        elif t == "response.output_item.done":
            assert d["item"]["id"] == opened and d["output_index"] == len(items)
            items[opened], opened = d["item"], None
        else:
            assert d["item_id"] == opened and d["output_index"] == len(items)
            if t == "response.output_text.delta":
                text[opened] = text.get(opened, "") + d["delta"]
            elif t == "response.output_text.done":
                assert d["text"] == text.get(opened, "")
            elif t == "response.function_call_arguments.delta":
                args[opened] = args.get(opened, "") + d["delta"]
            elif t == "response.function_call_arguments.done":
                assert d["arguments"] == args[opened] and d["name"]
    last = data[-1]
    assert last["type"] == "response." + last["response"]["status"]
    assert last["response"]["output"] == list(items.values())
    return last["response"]


def bare(items):
    out = json.loads(json.dumps(items))
    for i in out:
        i.pop("id")
        i.pop("call_id", None)
    return out


@pytest.mark.parametrize("body", [
    {"input": "dim the kitchen to 10", "tools": FLAT, "tool_choice": "required"},
    {"input": [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}], "max_output_tokens": 12},
    {"input": "x", "max_output_tokens": 30, "include": ["message.output_text.logprobs"], "top_logprobs": 1},
    {"input": "a", "max_output_tokens": 60, "text": {"format": {"type": "json_schema", "name": "n", "strict": True, "schema": {
        "type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False}}}},
])
def test_responses(server, body):
    status, whole = server.post("/v1/responses", body)
    assert status == 200, whole
    last = check_response_stream(server.events("/v1/responses", {**body, "stream": True}))
    assert bare(last["output"]) == bare(whole["output"]) and last["status"] == whole["status"]
    for key in ("parallel_tool_calls", "tool_choice", "tools", "previous_response_id", "incomplete_details", "metadata", "user", "truncation", "store"):
        assert key in whole and key in last
    assert whole["usage"]["total_tokens"] == whole["usage"]["input_tokens"] + whole["usage"]["output_tokens"]
    if "json_schema" in str(body):
        assert isinstance(json.loads(whole["output"][0]["content"][0]["text"])["a"], bool)


def test_responses_go_on_from_stored_ones(server):
    _, a = server.post("/v1/responses", {"input": "dim the kitchen to 10", "tools": FLAT, "tool_choice": "required", "store": True})
    assert a["store"] is True
    call = next(i for i in a["output"] if i["type"] == "function_call")
    outputs = [{"type": "function_call_output", "call_id": i["call_id"], "output": "done"} for i in a["output"] if i["type"] == "function_call"]
    status, b = server.post("/v1/responses", {"previous_response_id": a["id"], "input": outputs, "tools": FLAT, "max_output_tokens": 60, "store": True})
    assert status == 200 and b["previous_response_id"] == a["id"], b
    assert b["usage"]["input_tokens"] > a["usage"]["input_tokens"]
    _, got = server.get("/v1/responses/" + b["id"])
    assert got["output"] == b["output"]
    _, items = server.get(f"/v1/responses/{b['id']}/input_items")
    assert [i["type"] for i in items["data"]] == ["message"] + ["function_call"] * len(outputs) + ["function_call_output"] * len(outputs)
    assert any(i.get("call_id") == call["call_id"] for i in items["data"])
    assert server.get("/v1/responses/" + a["id"], method="DELETE")[1]["deleted"] is True
    is_error(server.get("/v1/responses/" + a["id"]), 404, "response_not_found")
    is_error(server.post("/v1/responses", {"previous_response_id": a["id"], "input": "x"}), 404, "response_not_found")


def test_responses_refuse(server):
    cases = [({}, None, "input"), ({"input": "x", "conversation": "c"}, "unsupported_parameter", "conversation"),
             ({"input": "x", "background": True}, "unsupported_parameter", "background"), ({"input": [{"type": "input_video"}]}, None, "input[0].type"),
             ({"input": "x", "max_output_tokens": 0}, "integer_below_min_value", "max_output_tokens"),
             ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "tool_call_id_mismatch", None),
             ({"input": "x", "tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}, None, "tool_choice")]
    for body, code, param in cases:
        is_error(server.post("/v1/responses", body), 400, code, param)
    status, headers, _ = server.open("/v1/responses", {"input": "x", "tools": [{"type": "web_search"}], "max_output_tokens": 3})
    assert status == 200 and headers["x-ignored-tools"] == "web_search"
    assert server.post("/v1/responses/input_tokens", {"input": "x"})[1]["object"] == "response.input_tokens"


def test_truncation_drops_the_oldest_turns(server):
    turns = [t for i in range(30) for t in ({"role": "user", "content": f"turn {i} " + "kitchen lamp " * 20}, {"role": "assistant", "content": "yes"})]
    body = {"input": turns + [{"role": "user", "content": "last"}], "max_output_tokens": 5}
    is_error(server.post("/v1/responses", body), 400, "context_length_exceeded")
    status, a = server.post("/v1/responses", {**body, "truncation": "auto"})
    assert status == 200 and a["usage"]["input_tokens"] < server.context()


# ---- messages (Anthropic) ---------------------------------------------------------------------------------

ANTHROPIC = [{"name": t["function"]["name"], "description": t["function"].get("description", ""), "input_schema": t["function"].get("parameters", {"type": "object"})} for t in TOOLS]


def fold_messages(events):
    data = [d for n, d in events if n != "ping"]
    assert all(n == d["type"] for n, d in events)
    assert data[0]["type"] == "message_start" and data[-1]["type"] == "message_stop" and data[-2]["type"] == "message_delta"
    message, opened, raw = data[0]["message"], None, ""
    for d in data[1:-2]:
        if d["type"] == "content_block_start":
            assert opened is None and d["index"] == len(message["content"])
            opened, raw = d["content_block"], ""
        elif d["type"] == "content_block_delta":
            assert d["index"] == len(message["content"])
            delta = d["delta"]
            if delta["type"] == "text_delta":
                opened["text"] += delta["text"]
            elif delta["type"] == "input_json_delta":
                raw += delta["partial_json"]
        else:
            assert d["type"] == "content_block_stop"
            if opened["type"] == "tool_use":
                opened["input"] = json.loads(raw or "{}")
            message["content"].append(opened)
            opened = None
    message.update(data[-2]["delta"])
    message["usage"].update(data[-2]["usage"])
    return message


@pytest.mark.parametrize("body", [
    {"tools": ANTHROPIC, "tool_choice": {"type": "any"}, "max_tokens": 200},
    {"tools": ANTHROPIC, "tool_choice": {"type": "tool", "name": "set_light"}, "max_tokens": 200},
    {"tools": ANTHROPIC, "max_tokens": 200},
    {"max_tokens": 12, "system": "be brief"},
    {"max_tokens": 40, "stop_sequences": ["e", "o", "i", "a"], "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]},
])
def test_messages(server, body):
    body = {"model": "tenon", "messages": ASK, **body}
    status, whole = server.post("/v1/messages", body)
    assert status == 200, whole
    folded = fold_messages(server.events("/v1/messages", {**body, "stream": True}))
    for m in (whole, folded):
        assert re.fullmatch(r"msg_[A-Za-z0-9]{24}", m.pop("id"))
        u = m.pop("usage")
        assert u["output_tokens"] > 0 and u["input_tokens"] + u["cache_read_input_tokens"] > 0
        for b in m["content"]:
            if b["type"] == "tool_use":
                assert re.fullmatch(r"toolu_[A-Za-z0-9]{24}", b.pop("id"))
    assert whole == folded
    if "tool_choice" in body:
        assert whole["stop_reason"] == "tool_use"
    if "stop_sequences" in body and whole["stop_reason"] == "stop_sequence":
        assert whole["stop_sequence"] in body["stop_sequences"]


def test_messages_with_results(server):
    _, a = server.post("/v1/messages", {"model": "tenon", "max_tokens": 200, "messages": ASK, "tools": ANTHROPIC, "tool_choice": {"type": "any"}})
    results = [{"type": "tool_result", "tool_use_id": b["id"], "content": [{"type": "text", "text": "done"}], "is_error": i == 0}
               for i, b in enumerate(b for b in a["content"] if b["type"] == "tool_use")]
    talk = ASK + [{"role": "assistant", "content": a["content"]}, {"role": "user", "content": results + [{"type": "text", "text": "thanks"}]}]
    status, b = server.post("/v1/messages", {"model": "tenon", "max_tokens": 30, "messages": talk, "tools": ANTHROPIC})
    assert status == 200, b
    n = server.post("/v1/messages/count_tokens", {"model": "tenon", "messages": talk, "tools": ANTHROPIC})[1]["input_tokens"]
    assert n == b["usage"]["input_tokens"] + b["usage"]["cache_read_input_tokens"]


def test_messages_errors_have_their_shape(server):
    for body, status, kind in [({"messages": ASK}, 400, "invalid_request_error"), ({"messages": ASK, "max_tokens": 5, "model": "x"}, 404, "not_found_error"),
                               ({"messages": ASK, "max_tokens": 5, "tools": [{"type": "bash_20250124", "name": "bash"}]}, 400, "invalid_request_error"),
                               ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}], "max_tokens": 5}, 400, "invalid_request_error"),
                               ({"messages": ASK, "max_tokens": 5, "temperature": 1.5}, 400, "invalid_request_error")]:
        got, e = server.post("/v1/messages", body)
        assert got == status and e["type"] == "error" and e["error"]["type"] == kind and e["error"]["message"] and e["request_id"].startswith("req_"), e
    assert server.get("/v1/messages")[1]["type"] == "error"


# ---- HTTP: methods, paths, access -------------------------------------------------------------------------

def test_methods_and_paths(server):
    status, headers, text = server.open("/v1/chat/completions")
    assert status == 405 and "POST" in headers["Allow"] and json.loads(text)["error"]["code"] == "method_not_allowed"
    is_error(server.get("/v1/nothing"), 404, "route_not_found")
    assert server.post("/chat/completions/", {"messages": ASK, "max_tokens": 2})[0] == 200, "without /v1, with a slash"
    status, headers, text = server.open("/health", method="HEAD")
    assert status == 200 and text == "" and headers["Content-Length"] == "15"


def test_headers_of_every_answer(server):
    _, h, _ = server.open("/health", headers={"x-request-id": "mine-7"})
    assert h["x-request-id"] == "mine-7" and h["Server"].startswith("tenon/")
    assert re.fullmatch(r"req_[A-Za-z0-9]{24}", server.open("/health", headers={"x-request-id": "x" * 200})[1]["x-request-id"])
    h = server.open("/v1/chat/completions", {"messages": ASK, "max_tokens": 2, "stream": True})[1]
    assert h["Cache-Control"] == "no-cache" and h["X-Accel-Buffering"] == "no" and h["Transfer-Encoding"] == "chunked" and h["x-queue-depth"].isdigit()
    h = server.open("/v1/chat/completions", {})[1]
    assert h["x-should-retry"] == "false"


def test_types_that_a_page_may_send_unasked_are_refused(server):
    body = json.dumps({"messages": ASK, "max_tokens": 2}).encode()
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
        assert server.open("/v1/chat/completions", raw=body, headers={"Content-Type": kind})[0] == 415
    assert server.open("/v1/chat/completions", raw=body, headers={"Content-Type": "application/json; charset=utf-8"})[0] == 200
    assert server.open("/v1/chat/completions", raw=body, headers={"Content-Type": "", "Origin": "http://x.com"})[0] == 415
    assert server.open("/v1/chat/completions", raw=body, headers={"Content-Encoding": "br"})[0] == 415


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"nul", b'{"a":1}x', b'{"messages":[{"role":"user","content":"\xff"}]}', b'{"a":NaN}', b'{"a":"\\ud800"}',
                                 b"[" * 200 + b"]" * 200, b'{"a":' * 200 + b"1" + b"}" * 200, b"\x00", b'{"a":1,}'])
def test_malformed_json(server, raw):
    status, _, text = server.open("/v1/chat/completions", raw=raw)
    assert status == 400 and json.loads(text)["error"]["code"] in ("invalid_json", "invalid_type")


def test_names_of_other_machines_are_refused_on_loopback(server):
    assert is_error(server.get("/v1/models", headers={"Host": "evil.example:8080"}), 403, "host_not_allowed")
    for host in ("localhost:1", "127.0.0.1", "127.8.9.1:99", "[::1]:8", "LOCALHOST"):
        assert server.get("/v1/models", headers={"Host": host})[0] == 200
    for host in ("localhost.evil.com", "notlocalhost", "127.0.0.1.evil.com", "[::1]x"):
        assert server.get("/v1/models", headers={"Host": host})[0] == 403
    with Server("--allow-host", "box.local") as s:
        assert s.get("/v1/models", headers={"Host": "box.local:80"})[0] == 200


def test_cors(server):
    status, h, _ = server.open("/v1/chat/completions", method="OPTIONS", headers={"Origin": "https://a.b", "Access-Control-Request-Headers": "x-one"})
    assert status == 200 and h["Access-Control-Allow-Origin"] == "*" and h["Access-Control-Allow-Headers"] == "x-one" and h["Access-Control-Max-Age"] == "600"
    assert "Access-Control-Allow-Credentials" not in h
    with Server("--cors-origins", "localhost") as s:
        for origin, ok in [("http://localhost:3000", True), ("https://[::1]", True), ("http://127.0.0.1:1", True), ("http://localhost.evil.com", False), ("http://notlocalhost", False)]:
            h = s.open("/health", headers={"Origin": origin})[1]
            assert (h["Access-Control-Allow-Origin"] == origin) == ok and h["Vary"] == "Origin"


def test_keys(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# ours\nalpha\n\n beta \n")
    with Server("--api-key-file", keys, "--metrics-open") as s:
        is_error(s.get("/v1/models"), 401, "invalid_api_key")
        assert s.open("/v1/models")[1]["WWW-Authenticate"] == "Bearer"
        for h in ({"Authorization": "Bearer alpha"}, {"Authorization": "bearer  beta"}, {"x-api-key": "alpha"}):
            assert s.get("/v1/models", headers=h)[0] == 200
        for h in ({"Authorization": "Bearer alph"}, {"Authorization": "Bearer alphaa"}, {"Authorization": "Basic alpha"}, {"x-api-key": ""}):
            assert s.get("/v1/models", headers=h)[0] == 401
        assert s.get("/health")[0] == 200 and s.open("/metrics")[0] == 200 and s.open("/v1/models", method="OPTIONS")[0] == 200
        keys.write_text("gamma\n")
        s.process.send_signal(signal.SIGHUP)
        for _ in range(100):
            if s.get("/v1/models", headers={"x-api-key": "gamma"})[0] == 200:
                break
            time.sleep(0.02)
        assert s.get("/v1/models", headers={"x-api-key": "gamma"})[0] == 200 and s.get("/v1/models", headers={"x-api-key": "alpha"})[0] == 401
    with Server(env={"API_KEY": "secret"}) as s:
        assert s.open("/metrics")[0] == 401 and s.open("/metrics", headers={"x-api-key": "secret"})[0] == 200


def test_listening_elsewhere(tmp_path):
    path = tmp_path / "s"
    with Server("--host", "127.0.0.1", "--host", "::1", "--host", f"unix:{path}", "--served-model-name", "a/b", "--served-model-name", "c", "--api-prefix", "/llm") as s:
        u = socket.socket(socket.AF_UNIX)
        u.connect(str(path))
        u.sendall(b"GET /llm/v1/models/a%2Fb HTTP/1.1\r\nHost: x\r\n\r\n")
        assert u.recv(9999).startswith(b"HTTP/1.1 403")
        u.sendall(b"GET /llm/v1/models/a%2Fb HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while b'"id":"a/b"' not in answer:
            answer += u.recv(9999)
        six = socket.create_connection(("::1", int(s.process.stdout.readline().rsplit(":", 1)[1])))
        six.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert b"200 OK" in six.recv(999)
        assert s.chat(model="c", max_tokens=2)[1]["model"] == "c"
    assert not path.exists()


def test_wrong_options_are_one_line():
    for args, word in [(["--port", "99999"], "--port"), (["--host", "256.1.1.1"], "256.1.1.1"), (["--tls-cert", "x"], "--tls-key"), (["--log-format", "x"], "--log-format"),
                       (["--response-store", "/nowhere/x.db"], "/nowhere/x.db"), (["--lora-modules", "a"], "--lora-modules"), (["stray"], "stray"), (["--lora-modules", "a=/nowhere", "b"], "b"), (["--api-key-file", "/nowhere"], "/nowhere")]:
        p = subprocess.run([TENON, "serve", "--port", "0", *args], capture_output=True, text=True, timeout=60)
        assert p.returncode in (1, 2) and word in p.stderr and len(p.stderr.strip().splitlines()) == 1, p.stderr


def test_strict_params_and_any_model():
    with Server("--strict-params", "--any-model") as s:
        is_error(s.chat(temprature=1), 400, "unknown_parameter", "temprature")
        assert s.chat(model="gpt-4o", max_tokens=2)[1]["model"] == "gpt-4o"


def test_tls(tmp_path):
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("skipped: no openssl to make a certificate")
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run([openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", cert], check=True, capture_output=True)
    import ssl
    context = ssl.create_default_context(cafile=str(cert))
    context.check_hostname = False
    with Server("--tls-cert", cert, "--tls-key", key) as s:
        body = json.dumps({"messages": ASK, "stream": True, "max_tokens": 3}).encode()
        for _ in range(2):
            r = urllib.request.Request(f"https://127.0.0.1:{s.port}/v1/chat/completions", body, {"Content-Type": "application/json"})
            assert urllib.request.urlopen(r, context=context, timeout=30).read().endswith(b"data: [DONE]\n\n")
            s.process.send_signal(signal.SIGHUP)                      # the files are read again, on the same socket
            time.sleep(0.1)


# ---- HTTP: framing and limits, on plain sockets --------------------------------------------------------

def request_bytes(body, path="/v1/chat/completions", extra="", version="1.1"):
    data = json.dumps(body).encode()
    return f"POST {path} HTTP/{version}\r\nHost: localhost\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(data)}\r\n\r\n".encode() + data


def read_all(s):
    out = b""
    try:
        while chunk := s.recv(65536):
            out += chunk
    except ConnectionResetError:
        pass
    return out


def test_one_byte_at_a_time(server):
    s = server.raw()
    for b in request_bytes({"messages": ASK, "max_tokens": 2}, extra="Connection: close\r\n"):
        s.send(bytes([b]))
    assert read_all(s).startswith(b"HTTP/1.1 200")


def test_chunked_bodies_and_expect(server):
    s = server.raw()
    data = json.dumps({"messages": ASK, "max_tokens": 2}).encode()
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
    assert s.recv(999).startswith(b"HTTP/1.1 100")
    for i in range(0, len(data), 7):
        piece = data[i:i + 7]
        s.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    s.sendall(b"0\r\n\r\n")
    assert b"200 OK" in read_all(s)


def test_pipelined_requests_are_answered_in_order(server):
    s = server.raw()
    s.sendall(request_bytes({"messages": ASK, "max_tokens": 2}, extra="x-request-id: one\r\n") + b"GET /health HTTP/1.1\r\nHost: localhost\r\nx-request-id: two\r\n\r\n"
              + request_bytes({"messages": ASK, "max_tokens": 2, "stream": True}, extra="x-request-id: three\r\n")
              + b"GET /health HTTP/1.1\r\nHost: localhost\r\nx-request-id: four\r\nConnection: close\r\n\r\n")
    assert re.findall(rb"x-request-id: (\w+)", read_all(s)) == [b"one", b"two", b"three", b"four"]


def test_http_1_0_streams_end_by_closing(server):
    s = server.raw()
    s.sendall(request_bytes({"messages": ASK, "max_tokens": 2, "stream": True}, version="1.0"))
    out = read_all(s)
    assert b"chunked" not in out and out.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("why,head,status", [
    ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n", 400),
    ("length and chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
    ("another coding", "Transfer-Encoding: gzip\r\n", 400),
    ("headers too long", "x: " + "a" * 40000 + "\r\n", 431),
    ("many headers", "".join(f"x{i}: {'b' * 100}\r\n" for i in range(400)), 431),
    ("body too long", f"Content-Length: {33 << 20}\r\n", 413),
    ("body too long, asking first", f"Content-Length: {33 << 20}\r\nExpect: 100-continue\r\n", 413),
])
def test_framing_that_is_refused(server, why, head, status):
    s = server.raw()
    s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode())
    out = read_all(s)
    assert out.startswith(b"HTTP/1.1 %d" % status), out[:200]
    assert json.loads(out.split(b"\r\n\r\n", 1)[1])["error"]["message"]


def test_a_long_url(server):
    s = server.raw()
    s.sendall(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert read_all(s).startswith(b"HTTP/1.1 414")


def test_a_body_that_is_too_long_is_answered_while_it_comes():
    with Server("--max-body", "1") as s:
        for chunked in (False, True):
            c = s.raw()
            head = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {3 << 20}"
            c.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{head}\r\n\r\n".encode())
            try:
                for _ in range(24):
                    c.sendall((b"20000\r\n" if chunked else b"") + b" " * (128 << 10) + (b"\r\n" if chunked else b""))
            except (ConnectionResetError, BrokenPipeError):
                pass
            out = read_all(c)
            assert out.startswith(b"HTTP/1.1 413") and b"body_too_large" in out
        assert s.chat(max_tokens=2)[0] == 200


def test_garbage_ends_the_connection_and_nothing_else(server):
    for junk in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100,
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
                 b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET /%00%ff%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"):
        s = server.raw()
        s.sendall(junk)
        s.shutdown(socket.SHUT_WR)
        read_all(s)
        s.close()
    assert server.get("/health")[0] == 200


def test_slow_clients_are_shown_out():
    with Server("--header-timeout", "0.4", "--body-timeout", "0.4", "--idle-timeout", "0.4") as s:
        silent, slow, stuck, idle = (s.raw() for _ in range(4))
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stuck.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
        t0 = time.monotonic()
        try:
            for b in b"GET /health HTTP/1.1\r\nx: " + b"a" * 40:       # never idle, never done
                slow.send(bytes([b]))
                time.sleep(0.05)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert read_all(silent) == b"" and time.monotonic() - t0 < 10
        assert read_all(stuck).startswith(b"HTTP/1.1 408")
        assert read_all(idle).count(b"HTTP/1.1") == 1
        assert s.metric("tenon_http_connections") <= 2


def test_connections_are_bounded():
    with Server("--max-per-ip", "4") as s:
        held = [s.raw() for _ in range(4)]
        for c in held:
            c.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert c.recv(999).startswith(b"HTTP/1.1 200")
        extra = s.raw()
        try:
            extra.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert extra.recv(99) == b""
        except ConnectionResetError:
            pass
        held[0].close()
        time.sleep(0.1)
        assert s.get("/health")[0] == 200
        for c in held:
            c.close()
        time.sleep(0.1)


def long(n=1900, **more):
    """A request whose answer takes at least n characters, and so some n / 3 tokens, whatever the model would say."""
    return {"messages": [{"role": "user", "content": "tell me everything"}], "temperature": 1.5, "seed": 5, "max_tokens": n,
            "response_format": {"type": "regex", "pattern": f"[a-z ]{{{n},4000}}"}, **more}


def test_who_leaves_is_not_worked_for(server):
    """Queued, prefilling, decoding; closed, reset, or only half closed; streamed or not."""
    server.idle()
    gone = lambda: sum(server.metric("tenon_requests_cancelled_total", f'phase="{p}"') for p in ("waiting", "prefill", "decode"))
    before = gone()
    n = 0
    for how in ("close", "reset", "half"):
        for stream in (True, False):
            for wait in (0, 0.02):
                s = server.raw()
                s.sendall(request_bytes(long(stream=stream)))
                time.sleep(wait)
                if stream and wait:
                    s.recv(500)
                if how == "half":
                    s.shutdown(socket.SHUT_WR)
                    read_all(s)
                if how == "reset":
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.close()
                n += 1
    server.idle()
    assert 0 < gone() - before <= n
    assert server.chat(max_tokens=2)[0] == 200


def test_a_client_that_does_not_read_is_cut():
    with Server("--stall-timeout", "0.5") as s:
        c = socket.socket()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.connect(("127.0.0.1", s.port))
        body = long(stream=True, logprobs=True, top_logprobs=20) | {"n": 4}
        c.sendall(request_bytes(body))
        end = time.monotonic() + 30 * SLOW
        while time.monotonic() < end and not s.metric("tenon_num_requests_running"):
            time.sleep(0.05)
        while time.monotonic() < end and s.metric("tenon_http_inflight") > 1:
            time.sleep(0.1)
        assert s.metric("tenon_http_inflight") == 1, "the scrape alone"
        c.close()
        s.idle()


def test_silent_streams_say_that_they_live():
    with Server("--sse-ping", "0.1", "--parallel", "1") as s:
        first = threading.Thread(target=s.chat, kwargs=long(600))
        first.start()
        text = s.open("/v1/messages", {"model": "tenon", "max_tokens": 4, "messages": ASK, "stream": True})[2]
        first.join()
        assert "event: ping\ndata: {\"type\": \"ping\"}\n\n" in text


def test_a_full_queue_is_429():
    with Server("--parallel", "1", "--max-queue", "2") as s:
        got, lock = [], threading.Lock()

        def ask():
            status, headers, text = s.open("/v1/chat/completions", long(200))
            with lock:
                got.append((status, headers, text))
        threads = [threading.Thread(target=ask) for _ in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        full = [g for g in got if g[0] == 429]
        assert full and len([g for g in got if g[0] == 200]) >= 2 and len(full) + len([g for g in got if g[0] == 200]) == 12
        for _, headers, text in full:
            assert int(headers["Retry-After"]) >= 1 and headers["x-should-retry"] == "true"
            e = json.loads(text)["error"]
            assert e["type"] == "rate_limit_error" and e["code"] == "queue_full"


def test_requests_that_take_too_long():
    with Server("--request-timeout", "0.3") as s:
        is_error(s.chat(**long() | {"n": 8}), 503, "request_timeout")
        events = s.events("/v1/chat/completions", long(stream=True) | {"n": 8})
        assert events[-1][1] == "[DONE]" and events[-2][1]["error"]["code"] == "request_timeout"
        last = s.events("/v1/responses", {"input": "x", "stream": True, "max_output_tokens": 1900, "temperature": 1,
                                          "text": {"format": long()["response_format"]}})
        assert last[-2][1]["type"] in ("response.failed", "response.incomplete")
        s.idle()


def test_who_waits_too_long_for_a_turn():
    with Server("--queue-timeout", "1", "--parallel", "1") as s:
        first = s.raw()                                               # has the only slot until it hangs up
        first.sendall(request_bytes({"messages": ASK, "stream": True, "max_tokens": 1900, "ignore_eos": True}))
        s.until(lambda: s.metric("tenon_num_requests_running"))
        is_error(s.chat(max_tokens=3), 503, "queue_timeout")
        events = s.events("/v1/chat/completions", {"messages": ASK, "max_tokens": 3, "stream": True})
        assert events[-2][1]["error"]["code"] == "queue_timeout" and events[-1][1] == "[DONE]"
        first.close()
        s.idle()
        assert s.chat(max_tokens=3)[0] == 200


# ---- the drain --------------------------------------------------------------------------------------------

def test_sigterm_under_load_lets_streams_end():
    s = Server("--parallel", "4")
    texts = []
    threads = [threading.Thread(target=lambda: texts.append(s.open("/v1/chat/completions", long(200, stream=True))[2])) for _ in range(8)]
    for t in threads:
        t.start()
    while s.metric("tenon_num_requests_running") + s.metric("tenon_num_requests_waiting") < 4 and any(t.is_alive() for t in threads):
        time.sleep(0.01)
    idle = s.raw()
    assert s.stop() == 0
    for t in threads:
        t.join()
    assert len(texts) == 8 and all(t.endswith("data: [DONE]\n\n") and '"error"' not in t for t in texts)
    assert read_all(idle) == b""


def test_what_takes_longer_than_the_drain_is_told():
    s = Server("--drain-timeout", "0.2", "--parallel", "1", "--drain-delay", "0.3")
    texts = []
    bodies = [long(stream=True) | {"n": 8}, long()]
    threads = [threading.Thread(target=lambda b=b: texts.append(s.open("/v1/chat/completions", b))) for b in bodies]
    for t in threads:
        t.start()
        time.sleep(0.1)
    s.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    assert s.get("/ready")[0] == 503 and s.get("/health")[0] == 200
    s.process.wait(30)
    for t in threads:
        t.join()
    assert s.process.returncode == 0
    for status, _, text in texts:
        assert text.endswith("[DONE]\n\n") if status == 200 else json.loads(text)["error"]["code"] in ("server_shutting_down", "draining"), (status, text[-300:])


def test_a_second_signal_ends_at_once():
    s = Server("--drain-timeout", "60")
    t = threading.Thread(target=lambda: pytest.raises(OSError, s.open, "/v1/chat/completions", long() | {"n": 8}))
    t.start()
    time.sleep(0.1)
    s.process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    s.process.send_signal(signal.SIGTERM)
    assert s.process.wait(10) == 143
    t.join()


def test_systemd_is_told(tmp_path):
    path = str(tmp_path / "notify")
    n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    n.bind(path)
    n.settimeout(20)
    with Server(env={"NOTIFY_SOCKET": path}) as s:
        assert n.recv(99) == b"READY=1"
        s.process.send_signal(signal.SIGHUP)
        assert n.recv(99) == b"RELOADING=1" and n.recv(99) == b"READY=1"
    assert n.recv(99) == b"STOPPING=1"


# ---- faults -----------------------------------------------------------------------------------------------

def test_a_model_file_that_is_cut_while_it_serves(tmp_path):
    model = tmp_path / "m.gguf"
    shutil.copy("models/tenon.gguf", model)
    with Server("-m", model) as s:
        assert s.chat(max_tokens=2)[0] == 200
        os.truncate(model, 1 << 20)
        for _ in range(100):
            status, body = s.chat(max_tokens=20)
            if status != 200:
                break
        is_error((status, body), status, body["error"]["code"])
        assert status in (500, 503) and body["error"]["code"] in ("internal_error", "model_damaged")
        assert s.get("/health")[0] == 503 and s.get("/ready")[0] == 503 and s.open("/metrics")[0] == 200


def test_a_full_disk_loses_the_stored_response_and_nothing_else(tmp_path):
    import resource
    limit = lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.setrlimit(resource.RLIMIT_FSIZE, (90000, 90000)))
    with Server("--response-store", tmp_path / "r.db", preexec=limit) as s:
        kept = [s.post("/v1/responses", {"input": "x " * 900 if i else "x", "max_output_tokens": 2, "store": True, "metadata": {"a": "b" * 400}})
                for i in range(14)]
        assert all(status == 200 for status, _ in kept), kept
        stored = [a["store"] for _, a in kept]
        assert stored[0] is True and not all(stored)
        assert s.get("/v1/responses/" + kept[0][1]["id"])[0] == 200
        assert s.chat(max_tokens=2)[0] == 200


CLIENTS = int(os.environ.get("SERVE_CLIENTS", "200" if SLOW == 1 else "60"))


def test_clients_killed_in_the_middle_leave_nothing_behind(server):
    """Hundreds here, thousands with SERVE_CLIENTS: descriptors and memory stay where they were."""
    import random
    r = random.Random(1)
    server.idle()

    def read(name):
        return float(re.search(rf"^{name} (\S+)$", server.open("/metrics")[2], re.M).group(1))

    def one(seed):
        q = random.Random(seed)
        s = server.raw()
        body = long(q.choice([20, 100, 400]), stream=q.random() < 0.7, seed=seed)
        data = request_bytes(body)
        s.sendall(data[:q.randrange(1, len(data))] if q.random() < 0.3 else data)
        if q.random() < 0.5:
            s.settimeout(0.05)
            try:
                s.recv(q.choice([1, 100, 4000]))
            except OSError:
                pass
        if q.random() < 0.5:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()

    def many(n, base):
        seeds = list(range(base, base + n))

        def work():
            while seeds:
                try:
                    one(seeds.pop())
                except IndexError:
                    return
        threads = [threading.Thread(target=work) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        server.idle(60)
    many(CLIENTS // 2, 0)
    files, memory = read("process_open_fds"), read("process_resident_memory_bytes")
    many(CLIENTS, 10000)
    time.sleep(0.3)
    assert read("process_open_fds") <= files + 2
    if SLOW == 1:
        assert read("process_resident_memory_bytes") < memory + 12e6
    assert server.chat(tools=TOOLS)[0] == 200


# ---- adapters -----------------------------------------------------------------------------------------------

def adapter(path, seed=1, rank=4, wrong=0):
    """A LoRA for a matrix of the embedded model's last layer: random, strong enough to be heard."""
    numpy, gguf = pytest.importorskip("numpy", reason="skipped: no numpy"), pytest.importorskip("gguf", reason="skipped: no gguf package")
    fields = gguf.GGUFReader("models/tenon.gguf").fields
    layers, rows, columns = (int(fields["lfm2." + k].parts[-1][0]) for k in ("block_count", "embedding_length", "feed_forward_length"))
    name, rows = f"blk.{layers - 1}.ffn_down.weight", rows - wrong
    r = numpy.random.default_rng(seed)
    w = gguf.GGUFWriter(str(path), "lfm2")
    w.add_string("general.type", "adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", 4.0)
    w.add_tensor(name + ".lora_a", r.normal(size=(rank, columns)).astype(numpy.float32))
    w.add_tensor(name + ".lora_b", r.normal(size=(rows, rank)).astype(numpy.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path


def text_of(s, model):
    status, a = s.chat(model=model, max_tokens=12)
    assert status == 200, a
    return a["choices"][0]["message"]["content"]


def test_adapters_come_and_go(tmp_path):
    """The samples of Functionary's README for LoRA, by name, sentence and status."""
    root, outside = tmp_path / "root", tmp_path / "outside.gguf"
    root.mkdir()
    adapter(root / "a.gguf", 1), adapter(root / "b.gguf", 2), adapter(root / "wrong.gguf", 3, wrong=1), adapter(outside, 4)
    os.symlink(outside, root / "link.gguf")
    with Server("--enable-lora", "--lora-root", root, "--max-loras", "2", "--lora-modules", f"first={root}/a.gguf", f"extra={root}/b.gguf=0.5") as s:
        assert s.post("/v1/unload_lora_adapter", {"lora_name": "extra"})[0] == 200
        load = lambda **b: s.post("/v1/load_lora_adapter", b)
        plain = text_of(s, "tenon")
        assert text_of(s, "first") != plain
        assert load(lora_name="second", lora_path="b.gguf") == (200, "Success: LoRA adapter 'second' added successfully.")
        assert text_of(s, "second") not in (plain, text_of(s, "first")) and text_of(s, "tenon") == plain
        models = {m["id"]: m for m in s.get("/v1/models")[1]["data"]}
        assert models["second"]["parent"] == "tenon" and models["second"]["root"] == "b.gguf" and set(models) == {"tenon", "first", "second"}
        assert [a["name"] for a in s.get("/lora-adapters")[1]] == ["first", "second"]
        assert is_error(load(lora_name="second", lora_path="b.gguf"), 400) == "The lora adapter 'second' has already been loaded."
        assert load(lora_name="second", lora_path="a.gguf", load_inplace=True)[0] == 200 and text_of(s, "second") == text_of(s, "first")
        assert is_error(load(lora_name="x"), 400) == "Both 'lora_name' and 'lora_path' must be provided."
        for path in ("../outside.gguf", str(outside), "link.gguf", "/etc/passwd"):
            assert "not below" in is_error(load(lora_name="x", lora_path=path), 400)
        is_error(load(lora_name="x", lora_path="nothing.gguf"), 400)
        assert ".ffn_down.weight" in is_error(load(lora_name="x", lora_path="wrong.gguf", load_inplace=True), 400)
        for name in ("tenon", "a b", "x" * 129, "a/b"):
            is_error(load(lora_name=name, lora_path="a.gguf"), 400)
        text_of(s, "second")
        assert load(lora_name="third", lora_path="a.gguf")[0] == 200, "the one that was used longest ago makes room"
        assert {m["id"] for m in s.get("/v1/models")[1]["data"]} == {"tenon", "second", "third"}
        unload = lambda **b: s.post("/v1/unload_lora_adapter", b)
        assert unload(lora_name="second") == (200, "Success: LoRA adapter 'second' removed successfully.")
        assert is_error(unload(lora_name="second"), 400) == "The lora adapter 'second' cannot be found."
        assert is_error(unload(), 400) == "either 'lora_name' and 'lora_int_id' needs to be provided."
        is_error(s.chat(model="second"), 404, "model_not_found")


def test_an_adapter_unloaded_while_in_use_serves_to_the_end(tmp_path):
    adapter(tmp_path / "a.gguf")
    with Server("--enable-lora", "--lora-root", tmp_path, "--lora-modules", f"a={tmp_path}/a.gguf") as s:
        alone = s.chat(**long(150, model="a"))[1]["choices"][0]["message"]["content"]
        got = []
        t = threading.Thread(target=lambda: got.append(s.chat(**long(150, model="a"))))
        t.start()
        while t.is_alive() and not s.metric("tenon_num_requests_running"):
            time.sleep(0.005)
        assert s.post("/v1/unload_lora_adapter", {"lora_name": "a"})[0] == 200
        is_error(s.chat(model="a"), 404)
        t.join()
        assert got[0][0] == 200 and got[0][1]["choices"][0]["message"]["content"] == alone
        s.process.send_signal(signal.SIGHUP)                          # the adapters of the command line come back
        for _ in range(200):
            if s.chat(model="a", max_tokens=2)[0] == 200:
                break
            time.sleep(0.02)
        assert s.chat(model="a", max_tokens=2)[0] == 200


def test_who_may_load_adapters(server, tmp_path):
    body = {"lora_name": "a", "lora_path": "a.gguf"}
    assert "--enable-lora" in is_error(server.post("/v1/load_lora_adapter", body), 501)
    with Server("--enable-lora", "--lora-root", tmp_path) as s:
        is_error(s.post("/v1/load_lora_adapter", body, headers={"Origin": "http://evil.example"}), 403, "origin_not_allowed")
        is_error(s.post("/v1/load_lora_adapter", body), 400)
    with Server("--enable-lora", "--lora-root", tmp_path, "--host", "0.0.0.0", "--api-key", "user") as s:
        s.url = f"http://127.0.0.1:{s.port}"
        is_error(s.post("/v1/load_lora_adapter", body, headers={"Authorization": "Bearer user"}), 403, "admin_required")
    with Server("--enable-lora", "--lora-root", tmp_path, "--host", "0.0.0.0", "--api-key", "user", "--admin-key", "boss") as s:
        s.url = f"http://127.0.0.1:{s.port}"
        is_error(s.post("/v1/load_lora_adapter", body, headers={"Authorization": "Bearer user"}), 403, "admin_required")
        is_error(s.post("/v1/load_lora_adapter", body, headers={"Authorization": "Bearer boss"}), 400)


def test_bench_serve(server):
    p = subprocess.run([TENON, "bench", "serve", "--port", str(server.port), "--streams", "1,4", "--requests", "12", "--max-tokens", "6", "--leave", "0.2", "--json"],
                       capture_output=True, text=True, timeout=120)
    lines = [json.loads(x) for x in p.stdout.splitlines()]
    assert p.returncode == 0 and [x["streams"] for x in lines] == [1, 4], p.stderr
    for x in lines:
        assert x["done"] + x["left"] == 12 and x["failed"] == 0 and x["tokens_per_s"] > 0 and x["ttft_ms"]["p50"] <= x["ttft_ms"]["p99"]
    p = subprocess.run([TENON, "bench", "serve", "--port", "1"], capture_output=True, text=True, timeout=60)
    assert p.returncode == 1 and len(p.stderr.strip().splitlines()) == 1


# ---- what is measured on the way, packed bodies, other addresses ------------------------------------------------------

def test_progress_of_a_prompt(server):
    long = [{"role": "user", "content": "progress " + "one two three " * 150}]
    body = {"messages": long, "max_tokens": 2, "stream": True, "return_progress": True, "timings_per_token": True}
    chunks = [d for _, d in server.events("/v1/chat/completions", body) if d != "[DONE]"]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": None}
    seen = [c["prompt_progress"] for c in chunks if "prompt_progress" in c]
    total = server.post("/v1/chat/completions", {"messages": long, "max_tokens": 1})[1]["usage"]["prompt_tokens"]
    assert seen and all(p["total"] == total and p["cache"] < p["processed"] <= total for p in seen)
    assert [p["processed"] for p in seen] == sorted({p["processed"] for p in seen}) and seen[-1]["processed"] == total
    assert all("timings" in c for c in chunks if c["choices"])
    plain = [d for _, d in server.events("/v1/chat/completions", dict(body, return_progress=False, timings_per_token=False)) if d != "[DONE]"]
    assert not any("prompt_progress" in c for c in plain) and sum("timings" in c for c in plain) == 1
    is_error(server.chat(return_progress=1), 400, "invalid_type", "return_progress")
    assert "prompt_progress" not in server.chat(return_progress=True, max_tokens=1)[1], "only a stream has progress"


def test_written_to_the_cache(server):
    ask = {"input": "written %d " % os.getpid() + "and more of it " * 20, "max_output_tokens": 1}
    first, second = (server.post("/v1/responses", ask)[1]["usage"] for _ in "12")
    for u in first, second:
        d = u["input_tokens_details"]
        assert d["cached_tokens"] + d["cache_write_tokens"] == u["input_tokens"]
    assert first["input_tokens_details"]["cache_write_tokens"] > 50 > second["input_tokens_details"]["cache_write_tokens"] > 0


def test_sealed_reasoning(server):
    def ask(**item):
        return server.post("/v1/responses", {"max_output_tokens": 1, "input": [
            {"role": "user", "content": "hello"}, dict({"type": "reasoning", "summary": []}, **item),
            {"role": "assistant", "content": "hi"}, {"role": "user", "content": "and now?"}]})
    import base64
    sealed = base64.b64encode("they greet me, ünd so on".encode()).decode()
    assert ask(encrypted_content=sealed)[0] == 200 == ask(content=[{"type": "reasoning_text", "text": "they greet"}])[0]
    for bad in ("!!", base64.b64encode(b"\xff\xfe").decode(), 7):
        is_error(ask(encrypted_content=bad), 400, "invalid_value", "input[1].encrypted_content")


def test_packed_bodies(server):
    import gzip
    body = json.dumps({"messages": ASK, "max_tokens": 2}).encode()
    ask = lambda raw, how: server.open("/v1/chat/completions", raw=raw, headers={"Content-Encoding": how})
    assert ask(gzip.compress(body), "gzip")[0] == 200 == ask(body, "identity")[0]
    assert ask(gzip.compress(body[:20]) + gzip.compress(body[20:]), "gzip")[0] == 200, "members follow each other"
    bomb = gzip.compress(b" " * (40 << 20))
    for raw, status, code in [(gzip.compress(body)[:-9], 400, "invalid_encoding"), (body, 400, "invalid_encoding"), (b"", 400, "invalid_encoding"),
                              (gzip.compress(b"{"), 400, "invalid_json"), (bomb, 413, "body_too_large")]:
        got, _, text = ask(raw, "gzip")
        assert (got, json.loads(text)["error"]["code"]) == (status, code), text
    if shutil.which("zstd"):
        packed = subprocess.run(["zstd", "-q", "-c"], input=body, capture_output=True).stdout
        assert ask(packed, "zstd")[0] == 200 and ask(packed[:-3], "zstd")[0] == 400


def test_history_check_off():
    lost = [{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "call_1", "content": "ok"}, {"role": "user", "content": "y"}]
    call = {"id": "call_2", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    open_call = [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "user", "content": "y"}]
    with Server("--history-check", "off") as s:
        for m in lost, open_call:
            assert s.chat(messages=m, max_tokens=1)[0] == 200
            is_error(s.chat(messages=m, max_tokens=1, history_check=True), 400, "tool_call_id_mismatch")
    bad = subprocess.run([TENON, "serve", "--history-check", "maybe"], capture_output=True, text=True)
    assert bad.returncode == 2 and "on and off" in bad.stderr


def test_metrics_on_an_address_of_their_own():
    with Server("--metrics-listen", "0", "--api-key", "secret") as s:
        where = s.process.stdout.readline().strip().removeprefix("metrics on ")
        get = lambda path: urllib.request.urlopen(where + path, timeout=30).read().decode()
        assert "tenon_num_requests_running" in get("/metrics")
        assert s.open("/metrics")[0] == 401
        for path in "/v1/models", "/health", "/":
            with pytest.raises(urllib.error.HTTPError) as e:
                get(path)
            assert e.value.code == 404 and "/metrics" in e.value.read().decode()
    for bad in "x", ":1", "127.0.0.1:", "1:70000":
        out = subprocess.run([TENON, "serve", "--metrics-listen", bad], capture_output=True, text=True, timeout=60)
        assert out.returncode and "[ADDR:]PORT" in out.stderr, (bad, out)
