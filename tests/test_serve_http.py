"""tenon serve as an HTTP server: methods, access, framing, limits, slow and silent clients, packed bodies."""
import json
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

from serve_client import ASK, SLOW, Server, TENON, is_error, long, read_all, request_bytes, server  # noqa: F401 (server is a fixture)


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
