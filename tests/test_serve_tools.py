"""Tools that the server runs for /v1/responses: mcp and code_interpreter, and that nothing runs unless it was switched on."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mcp_http_server import Server as McpServer
from serve_client import HELP, Server, check_response_stream

if "http client: yes" not in HELP:
    pytest.skip("built without libcurl", allow_module_level=True)

LIGHT = {"name": "set_light", "description": "Dims or brightens the light in a room", "inputSchema": {
    "type": "object", "properties": {"room": {"type": "string", "description": "which room"}, "brightness": {"type": "integer", "minimum": 0, "maximum": 100, "description": "percent, 0 is off"}},
    "required": ["room", "brightness"]}}
ASK = {"input": "dim the light in the kitchen to 10", "max_output_tokens": 60, "max_tool_calls": 2}


@pytest.fixture(scope="module")
def house():
    s = McpServer("plain", "modern")
    s.tools = lambda: [LIGHT, dict(LIGHT, name="other", description="Something else")]
    yield s
    s.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server("--mcp-private", "--response-store", tmp_path_factory.mktemp("store") / "r.db") as s:
        yield s


def mcp(house, **more):
    return dict({"type": "mcp", "server_label": "house", "server_url": house.url, "require_approval": "never", "allowed_tools": ["set_light"]}, **more)


def test_a_server_is_listed_called_and_answered_from(server, house):
    body = dict(ASK, tools=[mcp(house, authorization="k1", headers={"X-Who": "me"})])
    status, whole = server.post("/v1/responses", body)
    assert status == 200, whole
    assert [i["type"] for i in whole["output"]][:2] == ["mcp_list_tools", "mcp_call"] and whole["status"] == "completed"
    listed, call = whole["output"][:2]
    assert [t["name"] for t in listed["tools"]] == ["set_light"] and listed["server_label"] == "house" and listed["tools"][0]["input_schema"]["required"] == ["room", "brightness"]
    assert call["name"] == "set_light" and json.loads(call["arguments"]) == {"room": "kitchen", "brightness": 10} and call["output"].startswith("set_light:") and call["error"] is None
    assert house.seen[-1][2]["authorization"] == "Bearer k1" and house.seen[-1][2]["x-who"] == "me"
    assert whole["usage"]["output_tokens"] > 0
    last = check_response_stream(server.events("/v1/responses", dict(body, stream=True)))
    assert [i["type"] for i in last["output"]] == [i["type"] for i in whole["output"]]
    kinds = [n for n, _ in server.events("/v1/responses", dict(body, stream=True))]
    for k in ("response.mcp_list_tools.in_progress", "response.mcp_list_tools.completed", "response.mcp_call.in_progress", "response.mcp_call_arguments.delta",
              "response.mcp_call_arguments.done", "response.mcp_call.completed"):
        assert k in kinds


def test_the_official_client_reads_it(server, house):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="x")
    with client.responses.stream(model="tenon", tools=[mcp(house)], **ASK) as stream:
        kinds = [e.type for e in stream]
        r = stream.get_final_response()
    assert "response.mcp_call.completed" in kinds and r.output[0].type == "mcp_list_tools" and r.output[1].output.startswith("set_light:")


def test_it_goes_on_from_a_stored_response(server, house):
    status, first = server.post("/v1/responses", dict(ASK, tools=[mcp(house)], store=True))
    status, second = server.post("/v1/responses", dict(ASK, input="and in the hall to 20", previous_response_id=first["id"], tools=[mcp(house)]))
    assert status == 200, second
    assert "mcp_call" in [i["type"] for i in second["output"]]


def test_functions_of_the_client_end_the_loop(server, house):
    function = {"type": "function", "name": "set_heating", "description": "Sets the heating of a room", "parameters": {
        "type": "object", "properties": {"room": {"type": "string"}, "degrees": {"type": "integer"}}, "required": ["room", "degrees"]}}
    status, r = server.post("/v1/responses", dict(ASK, input="set the heating of the kitchen to 21", tools=[mcp(house), function]))
    assert status == 200, r
    call = r["output"][-1]
    assert call["type"] == "function_call" and call["name"] == "set_heating" and r["status"] == "completed", r["output"]
    last = check_response_stream(server.events("/v1/responses", dict(ASK, input="set the heating of the kitchen to 21", tools=[mcp(house), function], stream=True)))
    assert last["output"][-1]["name"] == "set_heating"
    items = [{"role": "user", "content": "set the heating of the kitchen to 21"}, *r["output"], {"type": "function_call_output", "call_id": call["call_id"], "output": "{\"ok\":true}"}]
    status, r = server.post("/v1/responses", dict(ASK, input=items, tools=[mcp(house), function]))
    assert status == 200, r


def items_of(r, kind):
    return [i for i in r["output"] if i["type"] == kind]


@pytest.mark.parametrize("approval", ["always", None, {"always": {"tool_names": ["set_light"]}}, {"never": {"tool_names": ["other"]}}, {"never": {"read_only": True}}])
def test_a_call_waits_for_approval(server, house, approval):
    ran = lambda: house.methods().count("tools/call")
    tool, n = mcp(house, require_approval=approval), ran()
    status, first = server.post("/v1/responses", dict(ASK, tools=[tool], store=True))
    assert status == 200 and [i["type"] for i in first["output"]] == ["mcp_list_tools", "mcp_approval_request"] and first["status"] == "completed", first
    asked = first["output"][-1]
    assert (asked["name"], asked["server_label"], json.loads(asked["arguments"])) == ("set_light", "house", {"room": "kitchen", "brightness": 10})
    assert ran() == n, "nothing ran"
    yes = {"type": "mcp_approval_response", "approval_request_id": asked["id"], "approve": True}
    status, second = server.post("/v1/responses", dict(ASK, input=[yes], previous_response_id=first["id"], tools=[tool], store=True))
    call = items_of(second, "mcp_call")[0]
    assert status == 200 and call["approval_request_id"] == asked["id"] and call["output"].startswith("set_light:") and call["arguments"] == asked["arguments"], second
    assert ran() == n + 1
    status, third = server.post("/v1/responses", dict(ASK, input="thanks", previous_response_id=second["id"], tools=[tool], tool_choice="auto", max_tool_calls=1))
    assert status == 200 and ran() == n + 1, "what was approved once runs once"


def test_a_call_that_is_not_approved(server, house):
    ran = lambda: house.methods().count("tools/call")
    tool, n = mcp(house, require_approval="always"), ran()
    first = server.post("/v1/responses", dict(ASK, tools=[tool]))[1]
    user, asked = {"role": "user", "content": ASK["input"]}, first["output"][-1]
    no = {"type": "mcp_approval_response", "approval_request_id": asked["id"], "approve": False, "reason": "it is late"}
    status, r = server.post("/v1/responses", dict(ASK, input=[user, *first["output"], no], tools=[tool]))
    assert status == 200 and not items_of(r, "mcp_call") and ran() == n, r
    for answer, param in ((dict(no, approval_request_id="mcpr_unknown"), "input[3].approval_request_id"), (dict(no, approve="yes"), "input[3].approve")):
        status, r = server.post("/v1/responses", dict(ASK, input=[user, *first["output"], answer], tools=[tool]))
        assert status == 400 and r["error"]["param"] == param, r
    yes = dict(no, approve=True)
    status, r = server.post("/v1/responses", dict(ASK, input=[user, *first["output"], yes]))
    assert status == 400 and r["error"]["param"] == "tools", r
    status, r = server.post("/v1/responses", dict(ASK, input=[user, *first["output"], yes], tools=[dict(tool, allowed_tools=["other"])]))
    assert status == 200 and "not offered" in items_of(r, "mcp_call")[0]["error"] and ran() == n, r
    forged = dict(asked, arguments='{"room": 7}')
    status, r = server.post("/v1/responses", dict(ASK, input=[user, forged, yes], tools=[tool]))
    assert status == 200 and "invalid_arguments" in items_of(r, "mcp_call")[0]["error"] and ran() == n, r


def test_approval_in_a_stream(server, house):
    events = server.events("/v1/responses", dict(ASK, tools=[mcp(house, require_approval="always")], stream=True))
    last = check_response_stream(events)
    assert last["output"][-1]["type"] == "mcp_approval_request" and not [n for n, _ in events if n and "mcp_approval" in n]


@pytest.mark.parametrize("tool, param", [({"require_approval": "sometimes"}, "tools[0].require_approval"), ({"require_approval": {"ever": {}}}, "tools[0].require_approval"),
                                         ({"server_label": "a b"}, "tools[0].server_label"), ({"server_url": None}, "tools[0].server_url"), ({"allowed_tools": "x"}, "tools[0].allowed_tools")])
def test_what_is_refused_before_anything_runs(server, house, tool, param):
    n = len(house.seen)
    status, r = server.post("/v1/responses", dict(ASK, tools=[mcp(house, **tool)]))
    assert status == 400 and r["error"]["param"] == param and len(house.seen) == n, r


def test_more_refusals(server, house):
    status, r = server.post("/v1/responses", dict(ASK, tools=[mcp(house)], tool_choice="required"))
    assert status == 400 and r["error"]["param"] == "tool_choice"
    status, r = server.post("/v1/responses", dict(ASK, tools=[mcp(house, server_url="http://127.0.0.1:9/mcp")]))
    assert status == 400 and "house is left out" in r["error"]["message"], r
    status, r = server.post("/v1/responses", dict(ASK, tools=[mcp(house, headers={"X": "${env:PATH}"})]))
    assert status == 400 and "no place" in r["error"]["message"], r
    events = server.events("/v1/responses", dict(ASK, tools=[mcp(house, server_url="http://127.0.0.1:9/mcp")], stream=True))
    assert events[-2][0] == "response.failed"


def test_a_failing_tool_is_told(server):
    broken = McpServer("protocol", "modern")
    broken.tools = lambda: [LIGHT]
    try:
        status, r = server.post("/v1/responses", dict(ASK, tools=[mcp(broken)]))
        call = r["output"][1]
        assert status == 200 and call["status"] == "failed" and "Unknown tool" in call["error"] and call["output"] is None, r
    finally:
        broken.close()


def test_a_client_that_leaves_cancels_the_call(server):
    slow = McpServer("drips", "modern")
    slow.tools = lambda: [LIGHT]
    try:
        s = server.raw()
        body = json.dumps(dict(ASK, tools=[mcp(slow)], stream=True))
        s.sendall(("POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)).encode())
        assert slow.hung.wait(60)
        s.close()
        assert slow.left.wait(60)
    finally:
        slow.close()


def test_chat_completions_stay_pure(server, house):
    n = len(house.seen)
    status, r = server.chat(tools=[mcp(house)], max_tokens=10)
    assert status == 400 and len(house.seen) == n, r


def test_nothing_runs_unless_it_was_switched_on(house):
    n = len(house.seen)
    with Server() as s:
        status, headers, text = s.open("/v1/responses", dict(ASK, tools=[mcp(house)]))
        assert status == 200 and headers["x-ignored-tools"] == "mcp" and len(house.seen) == n
    with Server("--mcp") as s:
        status, r = s.post("/v1/responses", dict(ASK, tools=[mcp(house)]))
        assert status == 400 and "https://" in r["error"]["message"] and len(house.seen) == n, r
        status, r = s.post("/v1/responses", dict(ASK, tools=[mcp(house, server_url="https://127.0.0.1:%s/mcp" % house.url.split(":")[2].split("/")[0])]))
        assert status == 400 and "open internet" in r["error"]["message"] and len(house.seen) == n, r


def test_the_code_interpreter_runs_here():
    try:
        server = Server("--code-interpreter")
    except RuntimeError as e:
        pytest.skip("no sandbox here: %s" % e)
    with server as s:
        body = {"input": "run python code that prints 6*7", "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}], "max_output_tokens": 80, "max_tool_calls": 1}
        status, r = s.post("/v1/responses", body)
        assert status == 200, r
        calls = [i for i in r["output"] if i["type"] == "code_interpreter_call"]
        assert calls and calls[0]["code"] and calls[0]["outputs"][0]["type"] == "logs", r
        last = check_response_stream(s.events("/v1/responses", dict(body, stream=True)))
        assert [i["type"] for i in last["output"]] == [i["type"] for i in r["output"]]


@pytest.fixture
def venv():
    """One that whoever the box runs as can read."""
    folder = pathlib.Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", folder / "v"], check=True)
    yield folder / "v"
    shutil.rmtree(folder)


def test_pictures_of_the_interpreter_are_told_when_they_are_wanted(venv):
    """The code comes from a module, so that a small model need only write its name."""
    site = next((venv / "lib").glob("python*/site-packages"))
    (site / "drawing.py").write_text("open('/box/a.svg','w').write('<svg/>'); open('/box/t.csv','w').write('1')")
    try:
        server = Server("--code-interpreter", "--interpreter-python", venv / "bin" / "python")
    except RuntimeError as e:
        pytest.skip("no sandbox here: %s" % e)
    with server as s:
        body = {"input": "run the python code: import drawing", "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}], "max_output_tokens": 80, "max_tool_calls": 1}
        for include, kinds in (([], ["logs"]), (["code_interpreter_call.outputs"], ["logs", "image"])):
            status, r = s.post("/v1/responses", dict(body, include=include))
            outputs = items_of(r, "code_interpreter_call")[0]["outputs"]
            assert status == 200 and [o["type"] for o in outputs] == kinds, r
            assert "[file t.csv (text/csv, 1 bytes)]" in outputs[0]["logs"]
        assert outputs[1]["url"] == "data:image/svg+xml;base64,PHN2Zy8+"


CODER = {"type": "code_interpreter", "container": {"type": "auto"}}


def said_with(part, text):
    return [{"role": "user", "content": [dict({"type": "input_file"}, **part), {"type": "input_text", "text": text}]}]


def test_files_of_a_request_lie_in_the_box(venv):
    site = next((venv / "lib").glob("python*/site-packages"))
    (site / "drawing.py").write_text("print(open('/box/a.csv').read())")
    try:
        server = Server("--code-interpreter", "--interpreter-python", venv / "bin" / "python")
    except RuntimeError as e:
        pytest.skip("no sandbox here: %s" % e)
    text = base64.b64encode(b"forty-two\n").decode()
    with server as s:
        for data in (text, "data:text/csv;base64," + text):
            body = {"input": said_with({"filename": "a.csv", "file_data": data}, "run the python code: import drawing"), "tools": [CODER], "max_output_tokens": 80, "max_tool_calls": 8}
            status, r = s.post("/v1/responses", body)
            assert status == 200, r
            call = items_of(r, "code_interpreter_call")[0]
            assert "forty-two" in call["outputs"][0]["logs"], call
        status, r = s.post("/v1/responses", {"input": body["input"]})
        assert status == 400, "without an interpreter it is no text"
        for part, words in (({}, "filename and file_data"), ({"filename": "a.csv"}, "filename and file_data"), ({"filename": "a.csv", "file_data": "!!"}, "no base64"), ({"file_id": "file-1"}, "files by number")):
            status, r = s.post("/v1/responses", {"input": said_with(part, "hello"), "tools": [CODER]})
            assert status == 400 and words in r["error"]["message"] and r["error"]["param"] == "input[0].content", r
        status, r = s.post("/v1/responses", {"input": said_with({"filename": "../a", "file_data": text}, "hello"), "tools": [CODER]})
        assert "plain name" in json.dumps(r), r
