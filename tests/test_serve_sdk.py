"""tenon serve through the official SDKs, unchanged but for the base URL: openai (Python, sync and async; npm) and
anthropic; and the request samples of MeetKai Functionary's README."""
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from serve_client import ANTHROPIC, ASK, FLAT, TOOLS, Server  # noqa: E402

openai = pytest.importorskip("openai", reason="skipped: no openai package (make deps fetches it)")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server("--api-key", "key", "--response-store", tmp_path_factory.mktemp("store") / "r.db", "--served-model-name", "meetkai/functionary-small-v3.2") as s:
        yield s


MODEL = "meetkai/functionary-small-v3.2"


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="key", max_retries=0) as c:
        yield c


# ---- openai -----------------------------------------------------------------------------------------------

def test_chat(client):
    a = client.chat.completions.create(model=MODEL, messages=ASK, tools=TOOLS, tool_choice="required", logprobs=True, top_logprobs=3)
    c = a.choices[0]
    assert c.finish_reason == "tool_calls" and json.loads(c.message.tool_calls[0].function.arguments) is not None
    assert a.usage.completion_tokens == len(c.logprobs.content) and all(len(t.top_logprobs) == 3 for t in c.logprobs.content)
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=ASK, max_tokens=3)
    assert raw.headers["x-request-id"].startswith("req_") and raw.parse().choices[0].message.role == "assistant"


def test_chat_stream(client):
    chunks = list(client.chat.completions.create(model=MODEL, messages=ASK, tools=TOOLS, tool_choice="required", stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-1].usage.total_tokens > 0
    args = "".join(t.function.arguments or "" for c in chunks for k in c.choices for t in k.delta.tool_calls or [] if t.index == 0)
    assert isinstance(json.loads(args), dict)


def test_chat_stream_helper(client):
    with client.chat.completions.stream(model=MODEL, messages=ASK, tools=TOOLS, tool_choice="required") as stream:
        events = list(stream)
        final = stream.get_final_completion()
    assert any(e.type == "tool_calls.function.arguments.done" for e in events)
    assert final.choices[0].finish_reason == "tool_calls"
    with client.chat.completions.stream(model=MODEL, messages=ASK, max_tokens=8) as stream:
        text = "".join(e.delta for e in stream if e.type == "content.delta")
        try:
            assert text == (stream.get_final_completion().choices[0].message.content or "")
        except openai.LengthFinishReasonError as e:                  # so the helper tells of an answer that the limit cut
            assert text == e.completion.choices[0].message.content


def test_structured_output(client):
    pydantic = pytest.importorskip("pydantic")

    class Step(pydantic.BaseModel):
        done: bool
        n: int = pydantic.Field(ge=0, le=9)

    a = client.chat.completions.parse(model=MODEL, messages=ASK, response_format=Step, max_tokens=600)
    assert isinstance(a.choices[0].message.parsed, Step)
    tool = openai.pydantic_function_tool(Step, name="step")
    a = client.chat.completions.parse(model=MODEL, messages=ASK, tools=[tool], tool_choice="required", max_tokens=200)
    assert isinstance(a.choices[0].message.tool_calls[0].function.parsed_arguments, Step)
    r = client.responses.parse(model=MODEL, input="x", text_format=Step, max_output_tokens=600)
    assert isinstance(r.output_parsed, Step)


def test_async(server):
    async def go():
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="key", max_retries=0) as c:
            async def one(i):
                s = await c.chat.completions.create(model=MODEL, messages=ASK, stream=True, max_tokens=10, temperature=1, seed=i)
                return [x async for x in s]
            all_of = await asyncio.gather(*(one(i) for i in range(20)))
            assert all(x[-1].choices[0].finish_reason for x in all_of)
            stream = await c.chat.completions.create(model=MODEL, messages=ASK, stream=True, max_tokens=400)
            async for _ in stream:
                break
            await stream.close()
            r = await c.responses.create(model=MODEL, input="x", max_output_tokens=4)
            assert r.status in ("completed", "incomplete")
    asyncio.run(go())


def test_responses(client):
    r = client.responses.create(model=MODEL, input="dim the kitchen to 10", tools=FLAT, tool_choice="required", store=True)
    call = next(i for i in r.output if i.type == "function_call")
    assert isinstance(json.loads(call.arguments), dict) and client.responses.retrieve(r.id).id == r.id
    outputs = [{"type": "function_call_output", "call_id": i.call_id, "output": "done"} for i in r.output if i.type == "function_call"]
    again = client.responses.create(model=MODEL, previous_response_id=r.id, input=outputs, tools=FLAT, max_output_tokens=40)
    assert again.previous_response_id == r.id
    client.responses.delete(r.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(r.id)
    with client.responses.stream(model=MODEL, input="dim the kitchen to 10", tools=FLAT, tool_choice="required") as stream:
        kinds = [e.type for e in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed" and "response.function_call_arguments.done" in kinds
    assert final.output[0].type == "function_call"
    with client.responses.stream(model=MODEL, input="hello", max_output_tokens=12) as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text


def test_completions_and_models(client):
    a = client.completions.create(model=MODEL, prompt="the kitchen", max_tokens=4, echo=True, logprobs=1)
    assert a.choices[0].text.startswith("the kitchen") and len(a.choices[0].logprobs.tokens) == a.usage.total_tokens
    assert [m.id for m in client.models.list()] == [MODEL] and client.models.retrieve(MODEL).id == MODEL


def test_errors_are_the_classes_people_catch(client, server):
    with pytest.raises(openai.NotFoundError) as e:
        client.chat.completions.create(model="gpt-4o", messages=ASK)
    assert e.value.code == "model_not_found" and e.value.param == "model"
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(model=MODEL, messages=ASK, temperature=9)
    assert e.value.param == "temperature"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=server.url + "/v1", api_key="wrong", max_retries=0).models.list()


# ---- Functionary's README ---------------------------------------------------------------------------------

WEATHER = {"type": "function", "function": {"name": "get_current_weather", "description": "Get the current weather", "parameters": {
    "type": "object", "properties": {"location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"}}, "required": ["location"]}}}
TRIP = {"name": "plan_trip", "description": "Plan a trip based on user's interests", "parameters": {"type": "object", "properties": {
    "destination": {"type": "string", "description": "The destination of the trip"}, "duration": {"type": "integer", "description": "The duration of the trip in days"},
    "interests": {"type": "array", "items": {"type": "string"}, "description": "The interests based on which the trip will be planned"}}, "required": ["destination", "duration", "interests"]}}
ESTATE = {"name": "estimate_property_value", "description": "Estimate the market value of a property", "parameters": {"type": "object", "properties": {
    "property_details": {"type": "object", "properties": {"location": {"type": "string", "description": "The location of the property"}, "size": {"type": "integer"},
                                                          "rooms": {"type": "integer", "description": "The number of rooms"}}}}, "required": ["property_details"]}}
COMPLAINT = {"name": "parse_customer_complaint", "description": "Parse a customer complaint and identify the core issue", "parameters": {"type": "object", "properties": {
    "complaint": {"type": "object", "properties": {"issue": {"type": "string", "description": "The main issue"}, "frequency": {"type": "string"},
                                                   "duration": {"type": "string"}}, "required": ["issue", "frequency", "duration"]}}, "required": ["complaint"]}}


def test_weather_in_istanbul(client):
    a = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "What is the weather for Istanbul?"}], tools=[WEATHER], tool_choice="auto")
    assert a.choices[0].message.role == "assistant"
    for call in a.choices[0].message.tool_calls or []:
        assert call.function.name == "get_current_weather" and isinstance(json.loads(call.function.arguments)["location"], str)


@pytest.mark.parametrize("function,ask", [(TRIP, "I want to plan a 7-day trip to Paris with a focus on art and culture"), (ESTATE, "What is the estimated value of a 3-bedroom house in San Francisco with 2000 sq ft area?"),
                                          (COMPLAINT, "My internet has been disconnecting frequently for the past week")], ids=lambda v: v["name"] if isinstance(v, dict) else "")
def test_functionary_samples(client, function, ask):
    a = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": ask}], temperature=0.7, functions=[function], function_call="auto")
    m = a.choices[0].message
    if m.function_call:
        assert m.function_call.name == function["name"] and a.choices[0].finish_reason in ("function_call", "length")
        assert set(function["parameters"]["required"]) <= set(json.loads(m.function_call.arguments))
    a = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": ask}], temperature=0.7, tools=[{"type": "function", "function": function}], tool_choice="auto")
    assert a.choices[0].finish_reason in ("tool_calls", "stop", "length")


def test_functionary_by_requests_json(server):
    """The sample that posts JSON by hand: tools and the code interpreter are in the list."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "What is the weather for Istanbul?"}], "tools": [WEATHER]}
    status, a = server.post("/v1/chat/completions", body, headers={"Authorization": "Bearer key"})
    assert status == 200 and a["choices"][0]["message"]["role"] == "assistant"


# ---- anthropic ----------------------------------------------------------------------------------------------

@pytest.fixture
def claude(server):
    anthropic = pytest.importorskip("anthropic", reason="skipped: no anthropic package (make deps fetches it)")
    with anthropic.Anthropic(base_url=server.url, api_key="key", max_retries=0) as c:
        yield c


def test_anthropic_messages(claude):
    m = claude.messages.create(model=MODEL, max_tokens=200, messages=ASK, tools=ANTHROPIC, tool_choice={"type": "any"})
    assert m.stop_reason == "tool_use" and m.content[-1].type == "tool_use" and isinstance(m.content[-1].input, dict)
    results = [{"type": "tool_result", "tool_use_id": b.id, "content": "done"} for b in m.content if b.type == "tool_use"]
    n = claude.messages.create(model=MODEL, max_tokens=30, tools=ANTHROPIC, messages=ASK + [{"role": "assistant", "content": m.content}, {"role": "user", "content": results}])
    assert n.usage.output_tokens > 0
    assert claude.messages.count_tokens(model=MODEL, messages=ASK).input_tokens > 0


def test_anthropic_stream(claude):
    with claude.messages.stream(model=MODEL, max_tokens=200, messages=ASK, tools=ANTHROPIC, tool_choice={"type": "any"}) as s:
        kinds = [e.type for e in s]
        m = s.get_final_message()
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop" and m.stop_reason == "tool_use"
    with claude.messages.stream(model=MODEL, max_tokens=12, messages=ASK) as s:
        text = "".join(s.text_stream)
        assert text == "".join(b.text for b in s.get_final_message().content)


def test_anthropic_errors(claude):
    import anthropic
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="claude-x", max_tokens=2, messages=ASK)
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(model=MODEL, max_tokens=0, messages=ASK)


# ---- openai for node ----------------------------------------------------------------------------------------

NODE = r"""
import OpenAI from "openai";
const c = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "key", maxRetries: 0 });
const model = process.argv[3], tools = JSON.parse(process.argv[4]), messages = [{ role: "user", content: "dim the kitchen to 10" }];
const a = await c.chat.completions.create({ model, messages, tools, tool_choice: "required" });
JSON.parse(a.choices[0].message.tool_calls[0].function.arguments);
const r = c.chat.completions.stream({ model, messages, tools, tool_choice: "required" });
const f = await r.finalChatCompletion();
if (f.choices[0].finish_reason !== "tool_calls") throw new Error("finish " + f.choices[0].finish_reason);
let kinds = [];
for await (const e of await c.responses.create({ model, input: "hello", max_output_tokens: 8, stream: true })) kinds.push(e.type);
if (!["response.completed", "response.incomplete"].includes(kinds.at(-1))) throw new Error("kinds " + kinds);
try { await c.chat.completions.create({ model: "x", messages }); throw new Error("no error"); } catch (e) { if (e.code !== "model_not_found") throw e; }
console.log("node ok");
"""


def test_the_npm_package(server, tmp_path_factory):
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("skipped: no node")
    folder = os.path.abspath(".venv/node")
    if not os.path.isdir(os.path.join(folder, "node_modules", "openai")):
        os.makedirs(folder, exist_ok=True)
        got = subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "openai"], capture_output=True, text=True, timeout=240)
        if got.returncode:
            pytest.skip("skipped: the npm package openai cannot be fetched")
    script = os.path.join(folder, "check.mjs")
    with open(script, "w", encoding="utf-8") as f:
        f.write(NODE)
    p = subprocess.run([node, script, server.url, MODEL, json.dumps(TOOLS)], capture_output=True, text=True, timeout=120, cwd=folder)
    assert p.stdout.strip() == "node ok", p.stdout + p.stderr
