"""Tools that run on the server, a call at a time: GET /v1/tools and POST /v1/tools/run, and who may ask."""
import base64
import json
import os
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serve_client import Server

TOOLS = {"commands": {
    "shout": {"description": "Says it loudly", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
              "argv": ["sh", "-c", "printf %s \"$1\" | tr a-z A-Z", "sh", "{text}"], "read_only": True, "approve": "allow", "dash_ok": True},
    "write": {"description": "Writes", "parameters": {"type": "object", "properties": {}}, "argv": ["sh", "-c", "echo wrote; echo $KEY"], "env": ["KEY=${env:SECRET_KEY}"]},
    "never": {"description": "Never", "parameters": {"type": "object", "properties": {}}, "argv": ["true"], "approve": "deny"},
    "fails": {"description": "Fails", "parameters": {"type": "object", "properties": {}}, "argv": ["sh", "-c", "echo broken >&2; exit 3"], "approve": "allow"},
    "long": {"description": "Long", "parameters": {"type": "object", "properties": {}}, "argv": ["seq", "1", "100000"], "approve": "allow", "max_output": 1000000},
    "sleeps": {"description": "Sleeps", "parameters": {"type": "object", "properties": {}}, "argv": ["sleep", "73"], "approve": "allow"}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("tools") / "tools.json"
    path.write_text(json.dumps(TOOLS))
    with Server("--tools", path, "--tools-builtin", "list_dir", env={"SECRET_KEY": "hush-hush"}) as s:
        yield s


def run(server, name, arguments=None, **more):
    headers = more.pop("headers", None)
    return server.post("/v1/tools/run", dict({"name": name, "arguments": arguments or {}}, **more), headers=headers)


def test_what_there_is(server):
    status, r = server.get("/v1/tools")
    assert status == 200 and [t["function"]["name"] for t in r["data"]] == ["list_dir", *TOOLS["commands"]]
    assert {t["function"]["name"]: (t["source"], t["approve"], t["read_only"]) for t in r["data"]}["shout"] == ("command", "allow", True)
    with Server() as s:
        assert s.get("/v1/tools") == (200, {"data": [], "object": "list"}) or s.get("/v1/tools")[1]["data"] == []
        status, r = run(s, "shout", {"text": "a"})
        assert status == 501 and "--tools" in r["error"]["message"]


def test_a_call_runs_and_is_told_as_a_model_reads_it(server):
    status, r = run(server, "shout", {"text": "hello \x1b[31m"})
    assert status == 200 and r["text"] == "HELLO" + " " and r["is_error"] is False and r["files"] == [] and r["ms"] > 0, r
    status, r = run(server, "write", approved=True)
    assert r["text"].strip() == "wrote\n${env:SECRET_KEY}", r
    status, r = run(server, "fails")
    assert status == 200 and r["is_error"] and "broken" in json.loads(r["text"])["error"]
    status, r = run(server, "long")
    assert len(r["text"].encode()) < 34000 and "characters omitted]" in r["text"] and r["text"].rstrip().endswith("100000")
    status, r = run(server, "shout", {"text": 7})
    assert status == 200 and r["is_error"] and json.loads(r["text"])["error"] == "invalid_arguments" and json.loads(r["text"])["at"] == "/text", r


@pytest.mark.parametrize("body, status, code, param", [
    ({"name": "write"}, 403, "approval_required", "approved"), ({"name": "never", "approved": True}, 403, "tool_denied", "name"),
    ({"name": "nothing"}, 404, "tool_not_found", "name"), ({}, 400, "missing_required_parameter", "name"), ({"name": "shout", "arguments": "x"}, 400, "invalid_type", "arguments"),
    ({"name": "shout", "arguments": {"text": "a"}, "conversation": "a/b"}, 400, "invalid_value", "conversation"), ({"name": "write", "approved": "yes"}, 400, "invalid_type", "approved")])
def test_what_is_refused(server, body, status, code, param):
    got, r = server.post("/v1/tools/run", body)
    assert (got, r["error"]["code"], r["error"]["param"]) == (status, code, param), r


def test_only_pages_of_its_own_may_ask(server):
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"):
        status, r = run(server, "shout", {"text": "a"}, headers={"Origin": origin})
        assert status == 403 and r["error"]["code"] == "origin_not_allowed", r
        assert server.open("/v1/tools", headers={"Origin": origin})[0] == 403
    assert run(server, "shout", {"text": "a"}, headers={"Origin": server.url})[0] == 200
    assert server.open("/v1/tools/run", raw=b'{"name":"shout"}', headers={"Content-Type": "text/plain"})[0] == 415
    assert run(server, "shout", {"text": "a"}, headers={"Host": "evil.example"})[0] == 403


def test_on_an_open_address_a_key_is_needed(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(TOOLS))
    with pytest.raises(RuntimeError, match="--api-key is needed"):
        Server("--host", "0.0.0.0", "--tools", tmp_path / "t.json", env={"SECRET_KEY": "x"})
    with pytest.raises(RuntimeError, match="nothing.json"):
        Server("--tools", tmp_path / "nothing.json")
    with Server("--api-key", "k", "--tools-builtin", "list_dir") as s:
        assert s.open("/v1/tools")[0] == 401 and s.open("/v1/tools", headers={"Authorization": "Bearer k"})[0] == 200


def sleepers():
    return subprocess.run(["pgrep", "-fx", "sleep 73"], capture_output=True, text=True).stdout.split()


def wait_for(what, seconds=20):
    until = time.time() + seconds
    while not what() and time.time() < until:
        time.sleep(0.05)
    return what()


def test_who_leaves_cancels_his_call(server):
    s = server.raw()
    body = b'{"name":"sleeps","arguments":{}}'
    s.sendall(b"POST /v1/tools/run HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert wait_for(sleepers)
    s.close()
    assert wait_for(lambda: not sleepers())


def test_too_many_calls_are_refused_and_the_end_of_the_server_ends_them(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(TOOLS))
    with Server("--tools", tmp_path / "t.json", "--drain-timeout", "0.2", env={"SECRET_KEY": "x"}) as s:
        threads = [threading.Thread(target=lambda: run(s, "sleeps"), daemon=True) for _ in range(16)]
        for t in threads:
            t.start()
        assert wait_for(lambda: len(sleepers()) == 16)
        status, r = run(s, "shout", {"text": "a"})
        assert status == 429, r
    assert wait_for(lambda: not sleepers())


@pytest.fixture(scope="module")
def box():
    try:
        server = Server("--tools-builtin", "python")
    except RuntimeError as e:
        pytest.skip("no sandbox here: %s" % e)
    with server as s:
        yield s


def python(s, code, conversation="c1"):
    status, r = run(s, "python", {"code": code}, conversation=conversation, approved=True)
    assert status == 200, r
    return r


def test_an_interpreter_a_conversation(box):
    assert [t["function"]["name"] for t in box.get("/v1/tools")[1]["data"]] == ["python"]
    assert python(box, "x = 41")["text"] == "(no output)"
    assert python(box, "x + 1")["text"] == "42"
    other = python(box, "x", "c2")
    assert other["is_error"] and "NameError" in other["text"]
    assert run(box, "python", {"code": "1"})[0] == 403, "it asks"


def test_files_come_with_the_answer_and_stay_nowhere(box):
    png = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAADCAYAAAC56t6BAAAAC0lEQVR4nGNgwAUAABsAAQHNSEsAAAAASUVORK5CYII="
    before = set(f for f in os.listdir("/tmp") if f.startswith("tenon-files-"))
    r = python(box, "import base64\nopen('plot.png','wb').write(base64.b64decode('%s'))\nopen('t.csv','w').write('a,b')\nNone" % png)
    plot, table = r["files"]
    assert (plot["name"], plot["type"], plot["data"], plot["width"], plot["height"]) == ("plot.png", "image/png", png, 2, 3)
    assert (table["type"], base64.b64decode(table["data"])) == ("text/csv", b"a,b")
    assert "[image 2×3 saved as plot.png (image/png, " in r["text"] and "[file t.csv (text/csv, 3 bytes)]" in r["text"]
    assert set(f for f in os.listdir("/tmp") if f.startswith("tenon-files-")) == before


def test_files_go_into_the_box(box):
    data = base64.b64encode(b"x,y\n1,2\n").decode()
    status, r = run(box, "python", {"code": "open('in.csv').read(), __import__('os').listdir('.')"}, conversation="given", approved=True, files=[{"name": "in.csv", "data": data}])
    assert status == 200 and r["text"] == "('x,y\\n1,2\\n', ['in.csv'])" and r["files"] == [], r
    assert "in.csv" in python(box, "__import__('os').listdir('.')", "given")["text"], "it stays"
    for files, code in (("x", 400), ([{"name": "../x", "data": data}], 400), ([{"name": "x", "data": "!"}], 400), ([{"name": "x"}], 400)):
        status, r = run(box, "python", {"code": "1"}, conversation="given", approved=True, files=files)
        assert status == code and "error" in r, r


def test_the_ninth_conversation_takes_the_place_of_who_was_idle_longest(box):
    for i in range(8):
        python(box, "x = %d" % i, "n%d" % i)
    python(box, "x", "n0")                                               # used again: n1 is the oldest now
    python(box, "x = 8", "n8")
    assert python(box, "x", "n0")["text"] == "0"
    assert python(box, "x", "n1")["is_error"], "its variables are gone"


def test_a_bomb_in_the_box_leaves_the_server_well(box):
    r = python(box, "import os\nos.kill(os.getpid(), 9)", "bomb")
    assert r["is_error"] and "All variables and files are lost" in r["text"]
    assert python(box, "1+1", "bomb")["text"].startswith("2")
