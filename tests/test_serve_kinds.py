"""tenon serve: the other two shapes of a conversation, /v1/responses and /v1/messages."""
import json
import re

import pytest

from serve_client import ANTHROPIC, ASK, FLAT, bare, check_response_stream, is_error, server  # noqa: F401 (server is a fixture)


# ---- responses --------------------------------------------------------------------------------------------


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
    turns = [t for i in range(70) for t in ({"role": "user", "content": f"turn {i} " + "kitchen lamp " * 20}, {"role": "assistant", "content": "yes"})]
    body = {"input": turns + [{"role": "user", "content": "last"}], "max_output_tokens": 5}
    is_error(server.post("/v1/responses", body), 400, "context_length_exceeded")
    status, a = server.post("/v1/responses", {**body, "truncation": "auto"})
    assert status == 200 and a["usage"]["input_tokens"] < server.context()


# ---- messages (Anthropic) ---------------------------------------------------------------------------------

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
