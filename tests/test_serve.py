"""tenon serve, seen from outside: chat and text completions, tokens, models, and what is measured on the way."""
import json
import os
import subprocess
import threading
import time

import pytest

from serve_client import ASK, Server, TENON, TOOLS, bare, check_response_stream, fold_chat, is_error, long, server, without_ids  # noqa: F401 (server is a fixture)


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
