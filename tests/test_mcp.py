"""MCP servers over HTTP, kind and hostile, of both eras; servers of the Python package and from npm; the conformance
runner. Black box, through tenon tools, run and chat."""
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mcp_http_server import Server
from test_agent_cli import Endpoint, Terminal, TENON, tenon, write, own_state  # noqa: F401 (own_state keeps the user's state out)

pytestmark = pytest.mark.skipif("http client: yes" not in subprocess.run([TENON, "--version"], capture_output=True, text=True).stdout, reason="built without libcurl")


@pytest.fixture
def serve():
    servers = []

    def start(*args, **more):
        servers.append(Server(*args, **more))
        return servers[-1]
    yield start
    for s in servers:
        s.close()


def tools_of(tmp_path, *servers, **more):
    config = {"mcpServers": {"srv%d" % (i + 1): dict({"url": s.url, "timeout_ms": 20000}, **more) for i, s in enumerate(servers)}}
    return write(tmp_path / ("tools%d.json" % len(os.listdir(tmp_path))), config)


def names(out):
    return [re.search(r"(\w+)\(", l).group(1) for l in out.splitlines()]


def call(tools, text="hi", name="echo"):
    return tenon("tools", "test", "--tools", tools, name, json.dumps({"text": text}))


# ---- both eras ----

@pytest.mark.parametrize("mode, era", [("plain", "legacy"), ("stream", "legacy"), ("expires", "legacy"), ("breaks", "legacy"), ("redirect", "legacy"),
                                       ("plain", "modern"), ("stream", "modern"), ("no-discover", "modern"), ("mismatch", "modern"), ("redirect", "modern")])
def test_servers_of_both_eras(tmp_path, serve, mode, era):
    s = serve(mode, era)
    rc, out, err = call(tools_of(tmp_path, s))
    assert (rc, out) == (0, "echo:hi\n"), (out, err)
    if era == "legacy":
        assert s.methods()[:4] == ["server/discover", "initialize", "notifications/initialized", "tools/list"] or mode == "redirect"
        later = [h for v, m, h, p in s.seen if m.get("method") in ("tools/list", "tools/call")]
        assert all(h["mcp-protocol-version"] == "2025-11-25" and "mcp-session-id" in h and "mcp-method" not in h for h in later)
        assert not s.sessions and s.seen[-1][0] == "DELETE", "the session is given back"
        assert len(set(h["mcp-session-id"] for h in later)) == (2 if mode == "expires" else 1)
    else:
        for v, m, h, p in s.seen:
            meta = m["params"].get("_meta", {})
            assert m["method"] == "initialize" or h["mcp-protocol-version"] == "2026-07-28" == meta["io.modelcontextprotocol/protocolVersion"]
            assert "mcp-session-id" not in h and h["accept"] == "application/json, text/event-stream"
        assert s.seen[-1][2]["mcp-name"] == "echo" and re.match(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0", s.seen[-1][1]["params"]["_meta"]["traceparent"])
    if mode == "breaks":
        assert [h.get("last-event-id") for v, m, h, p in s.seen if v == "GET"] == ["broken"]
    if mode == "mismatch":
        assert s.methods().count("tools/list") == 2 and s.methods().count("tools/call") == 2


@pytest.mark.parametrize("mode", ["plain", "relative", "refuses", "pings"])
def test_the_http_of_2024_is_tried_last(tmp_path, serve, mode):
    s = serve(mode, "old")
    tools = tools_of(tmp_path, s, headers={"X-Key": "k"})
    rc, out, err = call(tools)
    assert (rc, out) == (0, "echo:hi\n"), (out, err)
    posts = [(p, m["method"]) for v, m, h, p in s.seen if v == "POST" and "method" in m]
    assert posts[:2] == [("/mcp", "server/discover"), ("/mcp", "initialize")] and posts[2] == ("/messages?id=1", "initialize"), posts
    assert all(h["x-key"] == "k" for v, m, h, p in s.seen)
    assert mode != "pings" or [a for a in s.answers if a["id"] == 99 and a["result"] == {}]


@pytest.mark.parametrize("mode, words", [("elsewhere", "another origin"), ("nowhere", "left out"), ("hangs", "no answer to tools/call within 2000 ms"), ("dies", "its stream ended")])
def test_hostile_servers_of_2024(tmp_path, serve, mode, words):
    s = serve(mode, "old")
    rc, out, err = call(tools_of(tmp_path, s, timeout_ms=2000, start_ms=4000))
    assert rc == 1 and (words in out + err or "left out" in err), (out, err)
    assert mode != "hangs" or "notifications/cancelled" in s.methods()


def test_arguments_become_headers(tmp_path, serve):
    s = serve("headers", "modern")
    tools = tools_of(tmp_path, s)
    rc, out, err = tenon("tools", "list", "--tools", tools)
    assert names(out) == ["echo"], out
    for bad, why in (("twice", "twice"), ("in_items", "chain of properties"), ("number", "integer"), ("blank", "RFC 9110")):
        assert re.search(r"%s is left out: .*%s" % (bad, why), err), err
    for text, sent in (("plain words", "plain words"), (" x", "=?base64?IHg=?="), ("é", "=?base64?w6k=?="), ("a\r\nX-Evil: 1", "=?base64?YQ0KWC1FdmlsOiAx?="),
                       ("=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="), ("", "")):
        assert tenon("tools", "test", "--tools", tools, "echo", json.dumps({"text": text, "n": {"deep": 7}, "plain": "p"}))[0] == 0
        h = s.seen[-1][2]
        assert h["mcp-param-text"] == sent and h["mcp-param-deep"] == "7" and "x-evil" not in h and "mcp-param-plain" not in h


def test_a_time_out_is_prolonged_by_progress(tmp_path, serve):
    rc, out, err = call(tools_of(tmp_path, serve("progress"), timeout_ms=3000))
    assert (rc, out) == (0, "echo:hi\n"), (out, err)


# ---- hostile ones ----

@pytest.mark.parametrize("mode, era, words", [
    ("huge", "legacy", ["more than 16777216 bytes"]), ("huge-event", "modern", ["more than 16777216 bytes"]), ("nonsense", "legacy", ["no JSON-RPC message"]),
    ("wrong-id", "legacy", ["no JSON-RPC message for this request"]), ("broken-off", "modern", ["MCP server srv1"]), ("breaks-for-good", "legacy", ["stream ended"]),
    ("breaks", "modern", ["stream ended"]), ("protocol", "legacy", ["protocol error -32602: Unknown tool"]), ("hangs", "legacy", ["no answer to tools/call within 2000 ms"]),
    ("hangs", "modern", ["no answer to tools/call within 2000 ms"]), ("drips", "modern", ["no answer to tools/call within 2000 ms"]),
    ("asks", "modern", ["more input (elicitation/create), which cannot be given here"]), ("asks-else", "modern", ["sampling/createMessage"]), ("asks-forever", "modern", ["again and again"])])
def test_hostile_servers(tmp_path, serve, mode, era, words):
    s = serve(mode, era)
    rc, out, err = call(tools_of(tmp_path, s, timeout_ms=2000 if mode in ("hangs", "drips") else 20000))
    assert rc == 1 and "\x1b" not in out, (out, err)
    for w in words:
        assert w in out, (w, out)
    if mode == "hangs" and era == "legacy":
        assert "notifications/cancelled" in s.methods()
    if mode == "drips":
        assert s.left.wait(20), "to cancel is to close the stream"
        assert "notifications/cancelled" not in s.methods()


@pytest.mark.parametrize("mode, words", [("away", ["307", "not followed"]), ("rewrite", ["302", "not followed"]), ("401", ["sign in", "Authorization"]), ("html", ["no JSON-RPC message"])])
def test_servers_that_are_left_out(tmp_path, serve, mode, words):
    s = serve(mode)
    rc, out, err = tenon("tools", "list", "--tools", tools_of(tmp_path, s))
    assert rc == 0 and out == "" and "srv1 is left out" in err and all(w in err for w in words), err
    assert mode not in ("away", "rewrite") or {p for v, m, h, p in s.seen} == {"/mcp"}


def test_nobody_there_and_pages_without_end(tmp_path, serve):
    s = serve()
    s.close()
    rc, out, err = tenon("tools", "list", "--tools", tools_of(tmp_path, s))
    assert rc == 0 and out == "" and "srv1 is left out" in err
    rc, out, err = tenon("tools", "list", "--tools", tools_of(tmp_path, serve("endless-pages")))
    assert rc == 0 and names(out) == ["t%d" % i for i in range(1, 9)]


def test_names_of_two_servers(tmp_path, serve):
    a, b = serve(), serve("plain", "modern")
    rc, out, err = tenon("tools", "list", "--tools", tools_of(tmp_path, a, b))
    assert names(out) == ["echo", "second", "srv2__echo", "srv2__second"]
    assert call(tools_of(tmp_path, a, b), name="srv2__echo")[1] == "echo:hi\n" and b.methods()[-1] == "tools/call"


@pytest.mark.parametrize("server, words", [
    ({"url": "http://example.org/mcp"}, ["https://", "insecure"]), ({"url": "ftp://x/"}, ["https://"]), ({"url": "http://localhost.evil.org/"}, ["https://"]),
    ({"url": "http://127.0.0.1@evil.org/"}, ["before the host"]),
    ({"url": "http://localhost:x@evil.org/"}, ["before the host"]), ({"url": 5}, ["url", "string"]), ({"url": "https://a/", "command": "x"}, ["one of them"]),
    ({"url": "https://a/", "headers": ["x"]}, ["headers"]), ({"url": "https://a/", "headers": {"A": "${env:NOT_SET_AT_ALL}"}}, ["NOT_SET_AT_ALL"])])
def test_configurations_that_are_wrong(tmp_path, server, words):
    rc, out, err = tenon("tools", "list", "--tools", write(tmp_path / "t.json", {"mcpServers": {"x": server}}))
    assert rc == 1 and out == "" and len(err.splitlines()) == 1 and all(w in err for w in words + ["mcpServers.x"]), err


def test_keys_are_sent_and_not_shown(tmp_path, serve, monkeypatch):
    monkeypatch.setenv("MY_KEY", "k-secret-1")
    s = serve()
    tools = tools_of(tmp_path, s, headers={"Authorization": "Bearer ${env:MY_KEY}"})
    rc, out, err = call(tools, "k-secret-1")
    assert out == "echo:${env:MY_KEY}\n" and all(h["authorization"] == "Bearer k-secret-1" for v, m, h, p in s.seen)


# ---- questions to the user ----

@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("keys, action", [(["y", "attic", "kitchen", ""], "accept"), (["maybe", "n"], "decline"), (["q"], "cancel")])
def test_the_user_is_asked(tmp_path, serve, era, keys, action):
    s = serve("asks", era)
    t = Terminal("tools", "test", "--tools", tools_of(tmp_path, s), "echo", '{"text":"hi"}')
    t.wait("MCP server srv1 asks you: Which room")
    for k in keys:
        t.wait(r"(neither|\)): $")
        t.type(k + "\n")
    t.wait("echo:hi")
    assert t.end() == 0
    if "attic" in keys:
        assert "does not fit" in t.text
    answer = s.answers[0]["inputResponses"]["r"] if era == "modern" else s.answers[0]["result"]
    assert answer == ({"action": "accept", "content": {"room": "kitchen", "floor": 1}} if action == "accept" else {"action": action})
    if era == "modern":
        ids = [m["id"] for v, m, h, p in s.seen if m.get("method") == "tools/call"]
        assert s.answers[0]["requestState"] == "stäte" and len(set(ids)) == 2
    meta = [m["params"].get("_meta", {}).get("io.modelcontextprotocol/clientCapabilities", m["params"].get("capabilities")) for v, m, h, p in s.seen
            if m.get("method") in ("initialize", "server/discover")]
    assert {"elicitation": {"form": {}, "url": {}}} in meta, "said beforehand"


@pytest.mark.parametrize("key, action", [("y", "accept"), ("n", "decline"), ("q", "cancel")])
def test_the_user_is_sent_to_a_page(tmp_path, serve, key, action):
    s = serve("page", "modern")
    s.page = "https://bank.example:8443/sign-in?x=1"
    t = Terminal("tools", "test", "--tools", tools_of(tmp_path, s), "echo", '{"text":"hi"}')
    t.wait(r"MCP server srv1 asks you: Please sign in\r\n.*a page of bank\.example:8443:\r\n  https://bank\.example:8443/sign-in\?x=1.*neither: $")
    t.type(key + "\n")
    t.wait("echo:hi")
    assert t.end() == 0 and s.answers[-1]["inputResponses"]["r"] == {"action": action}


@pytest.mark.parametrize("key, rc, words", [("y", 0, "echo:error"), ("n", 1, "pages first")])
def test_pages_that_come_first(tmp_path, serve, key, rc, words):
    s = serve("page", "legacy")
    s.page = "http://localhost:9/x"
    t = Terminal("tools", "test", "--tools", tools_of(tmp_path, s), "echo", '{"text":"error"}')
    t.wait(r"a page of localhost:9:.*neither: $")
    t.type(key + "\n")
    t.wait(words)
    assert t.end() == rc


@pytest.mark.parametrize("page", ["http://bank.example/", "javascript:alert(1)", "https://bank.example@evil.example/", "https://b\u0430nk.example/", "https://a b/", "http://localhost.evil.example/", "file:///etc/passwd"])
def test_pages_nobody_is_sent_to(tmp_path, serve, page):
    s = serve("page", "modern")
    s.page = page
    t = Terminal("tools", "test", "--tools", tools_of(tmp_path, s), "echo", '{"text":"hi"}')
    t.wait("echo:hi")
    assert t.end() == 0 and s.answers[-1]["inputResponses"]["r"] == {"action": "cancel"} and "asks you" not in t.text


def test_the_user_is_asked_over_stdio(tmp_path):
    config = {"command": sys.executable, "args": [os.path.abspath("tests/mcp_server.py"), "elicits"], "timeout_ms": 4000}
    tools = write(tmp_path / "t.json", {"mcpServers": {"srv": config}})
    t = Terminal("tools", "test", "--tools", tools, "echo", '{"text":"hi"}')
    t.wait(r"MCP server srv asks you: Which room.*neither: $")
    time.sleep(4.5)                                      # longer than a call may take: the user's time is not the server's
    t.type("y\n")
    t.wait(r"room.*: $")
    t.type("hall\n")
    t.wait(r'"action": "accept", "content": \{"room": "hall"\}')
    assert t.end() == 0
    rc, out, err = tenon("tools", "test", "--tools", tools, "echo", '{"text":"hi"}')
    assert rc == 0 and "-32601" in out, (out, err)


def test_nobody_is_asked_in_a_pipe(tmp_path, serve):
    s = serve("asks")
    rc, out, err = call(tools_of(tmp_path, s))
    assert s.answers[0]["error"]["code"] == -32601 and all(m["params"]["capabilities"] == {} for v, m, h, p in s.seen if m.get("method") == "initialize")


# ---- lists that change, cancellation ----

@pytest.mark.parametrize("mode, era", [("changes", "legacy"), ("changes", "modern"), ("ttl", "modern")])
def test_lists_that_change_between_turns(tmp_path, serve, mode, era):
    s = serve(mode, era, ttl=1000 if mode == "ttl" else 0)
    t = Terminal("chat", "--max-tokens", 4, "--no-history", "--tools", tools_of(tmp_path, s))
    t.wait("2 tools.*> ")
    t.type("hello\r")
    t.wait(r"tok out.*> ")
    s.changed = True
    if mode == "changes":
        assert s.told.wait(20)
    time.sleep(1.2)
    t.type("hello again\r")
    t.wait(r"list of tools has changed.*tok out.*> ")
    t.type("/tools\r")
    t.wait(r"echo.*third.*> ")
    assert "second" not in t.text[t.text.rindex("/tools"):]
    t.type("/exit\r")
    assert t.end() == 0


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_ctrl_c_cancels_a_call(tmp_path, serve, era):
    s = serve("drips", era)
    s.tools = lambda: [{"name": "count_lines", "inputSchema": {"type": "object"}}]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    t = Terminal("chat", "--no-history", "--approve", "all", "--url", "http://127.0.0.1:%d/v1" % server.server_port, "--tools", tools_of(tmp_path, s))
    t.wait("> ")
    t.type("how many lines has README.md?\r")
    assert s.hung.wait(30)
    t.type("\x03")
    t.wait(r"cancelled by the user.*interrupted.*> ")
    assert s.left.wait(20)
    assert ("notifications/cancelled" in s.methods()) == (era == "legacy")
    time.sleep(0.3)
    t.type("\x04")
    assert t.end() == 130
    server.shutdown()
    server.server_close()


# ---- servers of others ----

ROOT = os.path.abspath(os.environ.get("TENON_NPM", ".npm/node_modules"))
RUNNER = os.path.join(ROOT, "@modelcontextprotocol/conformance/dist/index.js")


def npm(name):
    path = os.path.join(ROOT, ".bin", name)
    if not os.path.exists(path):
        pytest.skip("%s of npm is not here (make deps fetches it)" % name)
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Program:
    """A server that listens on a port; ended with the test."""
    def __init__(self, port, *argv, **env):
        self.p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, **env), start_new_session=True)
        until = time.time() + 60
        while time.time() < until:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert self.p.poll() is None, "it ended"
            time.sleep(0.1)
        raise AssertionError("it does not listen")

    def close(self):
        os.killpg(self.p.pid, 9)
        self.p.wait()


@pytest.fixture
def program():
    started = []

    def start(*args, **env):
        started.append(Program(*args, **env))
    yield start
    for p in started:
        p.close()


@pytest.mark.parametrize("over", ["stdio", "http"])
def test_the_python_package(tmp_path, program, over):
    pytest.importorskip("mcp", reason="the package mcp is not here (make deps fetches it)")
    script = os.path.abspath("tests/mcp_package_server.py")
    if over == "http":
        port = free_port()
        program(port, sys.executable, script, str(port))
        server = {"url": "http://127.0.0.1:%d/mcp" % port}
    else:
        server = {"command": sys.executable, "args": [script]}
    tools = write(tmp_path / "t.json", {"mcpServers": {"package": dict(server, timeout_ms=20000)}})
    rc, out, err = tenon("tools", "list", "--tools", tools)
    assert rc == 0 and names(out) == ["add", "fail", "slow", "place"] and "Adds two numbers" in out, (out, err)
    rc, out, err = tenon("tools", "test", "--tools", tools, "add", '{"a":2,"b":40}')
    assert (rc, out) == (0, "42\n"), (out, err)
    rc, out, err = tenon("tools", "test", "--tools", tools, "fail")
    assert rc == 1 and "Error executing tool fail" in out, (out, err)
    rc, out, err = tenon("tools", "test", "--tools", tools, "slow", '{"steps":3}')
    assert (rc, out) == (0, "done\n"), (out, err)
    t = Terminal("tools", "test", "--tools", tools, "place")
    t.wait("MCP server package asks you: Where is it.*neither: $")
    t.type("y\n")
    t.wait(r"[Rr]oom.*: $")
    t.type("hall\n")
    t.wait(r"[Ff]loor.*default 1.*: $")
    t.type("\n")
    t.wait("hall, floor 1")
    assert t.end() == 0


def test_server_filesystem_of_npm(tmp_path):
    write(tmp_path / "a.txt", "one\ntwo\n")
    write(tmp_path.parent / "outside.txt", "secret")
    tools = write(tmp_path / "t.json", {"mcpServers": {"files": {"command": npm("mcp-server-filesystem"), "args": [str(tmp_path)], "include": ["read_text_file", "list_*"]}}})
    rc, out, err = tenon("tools", "list", "--tools", tools)
    assert rc == 0 and "read_text_file" in names(out) and "write_file" not in names(out), (out, err)
    rc, out, err = tenon("tools", "test", "--tools", tools, "read_text_file", json.dumps({"path": str(tmp_path / "a.txt")}))
    assert (rc, out) == (0, "one\ntwo\n\n"), (out, err)
    rc, out, err = tenon("tools", "test", "--tools", tools, "read_text_file", json.dumps({"path": str(tmp_path.parent / "outside.txt")}))
    assert rc == 1 and "secret" not in out, (out, err)


@pytest.mark.parametrize("over", ["stdio", "http"])
def test_server_everything_of_npm(tmp_path, program, over):
    argv = [npm("mcp-server-everything")]
    server = {"command": argv[0], "args": []}
    if over == "http":
        port = free_port()
        program(port, *argv, "streamableHttp", PORT=str(port))
        server = {"url": "http://127.0.0.1:%d/mcp" % port}
    tools = write(tmp_path / "t.json", {"mcpServers": {"all": dict(server, timeout_ms=20000)}})
    rc, out, err = tenon("tools", "test", "--tools", tools, "echo", '{"message":"hi"}')
    assert (rc, out) == (0, "Echo: hi\n"), (out, err)
    rc, out, err = tenon("tools", "test", "--tools", tools, "get-sum", '{"a":2,"b":3}')
    assert rc == 0 and "5" in out, (out, err)
    rc, out, err = tenon("tools", "test", "--tools", tools, "get-tiny-image")
    assert rc == 0 and re.search(r"\[image image/png, \d+ bytes\]", out), (out, err)


SCENARIOS = [("2025-11-25", s) for s in ("initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry", "json-schema-2020-12-preservation")] + [
    ("2026-07-28", s) for s in ("tools_call", "request-metadata", "sep-2322-client-request-state", "http-standard-headers", "http-custom-headers",
                                "http-invalid-tool-headers", "json-schema-ref-no-deref", "json-schema-2020-12-preservation")]


@pytest.mark.parametrize("version, scenario", SCENARIOS)
def test_conformance(tmp_path, version, scenario):
    npm("conformance")
    node = os.path.join(ROOT, ".bin", "node")
    client = "%s %s" % (sys.executable, os.path.abspath("tests/mcp_conformance_client.py"))
    p = subprocess.run([node if os.path.exists(node) else "node", RUNNER, "client", "--command", client, "--scenario", scenario, "--spec-version", version, "--timeout", "90000"],
                       capture_output=True, text=True, timeout=150, env=dict(os.environ, TENON=TENON), cwd=tmp_path)
    assert re.search(r"Passed: (\d+)/\1, 0 failed", p.stdout + p.stderr), (p.stdout + p.stderr)[-3000:]
