"""An MCP server over HTTP for the tests, in this process: Server(mode, **more), .url, .seen (what came), .close().

era: legacy (initialize, session) or modern (2026-07-28). mode: how it behaves at tools/call and elsewhere."""
import http.server
import json
import threading
import time

MODERN = "2026-07-28"
META = "io.modelcontextprotocol/protocolVersion"


def tool(name, **more):
    return dict({"name": name, "description": "Says back " + name,
                 "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}}, **more)


PAGE = {"mode": "url", "elicitationId": "e1", "message": "Please sign in"}
QUESTION = {"mode": "form", "message": "Which room?", "requestedSchema": {"type": "object", "required": ["room"], "properties": {
    "room": {"type": "string", "enum": ["kitchen", "hall"]}, "floor": {"type": "integer", "default": 1}}}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    # ---- what goes out ----

    def plain(self, status, body=b"", kind="application/json", **headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        if body:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def json(self, message, status=200, **headers):
        self.plain(status, json.dumps(dict(message, jsonrpc="2.0")).encode(), **headers)

    def open_stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def event(self, message, **fields):
        head = "".join("%s: %s\n" % f for f in fields.items())
        self.wfile.write((head + "data: %s\n\n" % (json.dumps(dict(message, jsonrpc="2.0")) if message else "")).encode())
        self.wfile.flush()

    def result(self, request, result):
        return {"id": request["id"], "result": result}

    def error(self, request, code, message, status=400, **data):
        self.json({"id": request.get("id"), "error": {"code": code, "message": message, "data": data}}, status)

    # ---- what comes in ----

    @property
    def s(self):
        return self.server.owner

    def do_GET(self):
        if self.s.guard and self.path.startswith("/.well-known/"):
            return self.s.guard.describe(self)
        self.s.note("GET", None, self.headers)
        if self.s.era == "old":
            return self.old_stream()
        if self.headers.get("Last-Event-ID") == "broken" and self.s.pending:
            self.open_stream()
            return self.event(self.s.pending, id="whole")
        if self.s.mode != "changes":
            return self.plain(405)
        self.open_stream()
        self.until_changed(None)

    def until_changed(self, request):
        if request:
            self.event({"method": "notifications/subscriptions/acknowledged", "params": {}})
        while not self.s.changed and not self.s.closed:
            time.sleep(0.05)
        try:
            self.event({"method": "notifications/tools/list_changed"})
            self.s.told.set()
        except OSError:
            pass

    def do_DELETE(self):
        self.s.note("DELETE", None, self.headers)
        self.s.sessions.discard(self.headers.get("Mcp-Session-Id"))
        self.plain(200)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = json.loads(body)
        self.s.note("POST", request, self.headers, self.path)
        mode = self.s.mode
        if self.s.guard and not self.s.guard.lets_in(self, request):
            return
        if mode == "redirect" and self.path == "/mcp":
            return self.plain(307, Location="/moved")
        if mode == "away":
            return self.plain(307, Location="http://localhost:%d/mcp" % self.s.http.server_port)
        if mode == "rewrite" and self.path == "/mcp":
            return self.plain(302, Location="/moved")
        if mode == "401":
            return self.plain(401, b"who?", "text/plain")
        if mode == "html":
            return self.plain(200, b"<html>", "text/html")
        if "method" not in request:                      # an answer of the client
            self.s.answers.append(request)
            return self.plain(202)
        getattr(self, self.s.era)(request)

    # ---- eras ----

    def old_stream(self):
        """2024-11-05: all answers on one stream, which begins with the address for messages."""
        self.open_stream()
        where = {"elsewhere": "http://127.0.0.1:1/messages", "relative": "messages?id=1", "nowhere": ""}.get(self.s.mode, "/messages?id=1")
        self.s.stream = self                             # before the client knows where to write to
        if where:
            self.wfile.write(("event: endpoint\ndata: %s\n\n" % where).encode())
            self.wfile.flush()
        while not self.s.closed and not self.s.cut:
            time.sleep(0.02)

    def old(self, request):
        if self.path.split("?")[0] != "/messages":
            return self.plain(404 if self.s.mode != "refuses" else 405)
        self.plain(202)
        reply = None
        if request["method"] == "initialize":
            reply = self.result(request, {"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}, "serverInfo": {"name": "t", "version": "1"}})
        elif request["method"] == "tools/list":
            reply = self.result(request, {"tools": self.s.tools()})
        elif request["method"] == "tools/call" and self.s.mode == "dies" and not self.s.cut:
            self.s.cut = True
        elif request["method"] == "tools/call" and self.s.mode != "hangs":
            reply = self.result(request, {"content": [{"type": "text", "text": "%s:%s" % (request["params"]["name"], request["params"]["arguments"]["text"])}]})
        if self.s.mode == "pings" and request["method"] == "tools/call":
            self.s.stream.event({"id": 99, "method": "ping"}, event="message")
        if reply:
            self.s.stream.event(reply, event="message")

    def legacy(self, request):
        method, session = request["method"], self.headers.get("Mcp-Session-Id")
        if method == "server/discover":
            return self.plain(400, b"Bad Request: no session", "text/plain")
        if method == "initialize":
            session = "s%d" % (len(self.s.sessions) + 1 + self.s.expired)
            self.s.sessions.add(session)
            return self.json(self.result(request, {"protocolVersion": "2025-11-25", "capabilities": self.s.capabilities(), "serverInfo": {"name": "t", "version": "1"}}),
                             Mcp_Session_Id=session)
        if session not in self.s.sessions:
            return self.plain(404, b"no such session", "text/plain")
        if "id" not in request:
            return self.plain(202)
        self.method(request)

    def modern(self, request):
        method, meta = request["method"], request.get("params", {}).get("_meta", {})
        if method == "initialize":
            return self.error(request, -32601, "there is no initialize", 404)
        if meta.get(META) != MODERN or self.headers.get("MCP-Protocol-Version") != MODERN or self.headers.get("Mcp-Method") != method:
            return self.error(request, -32020, "headers do not match")
        if method == "server/discover" and self.s.mode == "no-discover":
            return self.error(request, -32601, "no such method", 404)
        if method == "server/discover":
            return self.json(self.result(request, {"resultType": "complete", "supportedVersions": [MODERN], "capabilities": self.s.capabilities()}))
        if method == "subscriptions/listen":
            self.open_stream()
            return self.until_changed(request)
        self.method(request)

    # ---- methods ----

    def method(self, request):
        if request["method"] == "tools/list":
            return self.list(request)
        if request["method"] == "tools/call":
            return self.call(request)
        self.error(request, -32601, "no such method", 404)

    def list(self, request):
        if self.s.mode == "endless-pages":
            self.s.page += 1
            return self.json(self.result(request, {"tools": [tool("t%d" % self.s.page)] if self.s.page < 9 else [], "nextCursor": "c%d" % (self.s.page % 1500)}))
        self.json(self.result(request, {"resultType": "complete", "tools": self.s.tools(), "ttlMs": self.s.ttl}))

    def call(self, request):
        mode, params = self.s.mode, request["params"]
        text = "%s:%s" % (params["name"], params["arguments"].get("text"))
        answer = self.result(request, {"resultType": "complete", "content": [{"type": "text", "text": text}]})
        handler = getattr(self, "call_" + mode.replace("-", "_"), None)
        if handler:
            return handler(request, answer)
        if mode in ("stream", "split"):
            self.open_stream()
            self.wfile.write(b": hello\n\n")
            self.event({"method": "notifications/message", "params": {}})
            return self.event(answer, event="message", id="1")
        self.json(answer)

    def call_expires(self, request, answer):
        if not self.s.expired:
            self.s.expired = 1
            self.s.sessions.clear()
            return self.plain(404, b"no such session", "text/plain")
        self.json(answer)

    def call_breaks(self, request, answer):
        self.open_stream()
        self.s.pending = answer
        self.event(None, id="broken", retry=100)

    def call_breaks_for_good(self, request, answer):
        self.open_stream()
        self.event({"method": "notifications/message", "params": {}})

    def call_progress(self, request, answer):
        self.open_stream()
        for i in range(8):
            time.sleep(0.5)
            self.event({"method": "notifications/progress", "params": {"progressToken": request["params"]["_meta"]["progressToken"], "progress": i}})
        self.event(answer)

    def call_hangs(self, request, answer):
        self.s.hung.set()
        while not self.s.closed:
            time.sleep(0.05)

    def call_drips(self, request, answer):
        self.open_stream()
        self.s.hung.set()
        try:
            while not self.s.closed:
                self.wfile.write(b": still here\n\n")
                time.sleep(0.05)
        except OSError:
            self.s.left.set()

    def call_huge(self, request, answer):
        self.plain(200, b'{"jsonrpc":"2.0","id":1,"result":{"x":"' + b"y" * (17 << 20) + b'"}}')

    def call_huge_event(self, request, answer):
        self.open_stream()
        try:
            self.wfile.write(b"data: ")
            for _ in range(20):
                self.wfile.write(b"y" * (1 << 20))
        except OSError:
            pass

    def call_nonsense(self, request, answer):
        self.plain(200, b'{"jsonrpc":"2.0","id":')

    def call_wrong_id(self, request, answer):
        self.json(dict(answer, id=4711))

    def call_broken_off(self, request, answer):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"jsonrpc"')
        self.close_connection = True

    def call_protocol(self, request, answer):
        self.error(request, -32602, "Unknown tool\x1b[2J", 400)

    def call_asks(self, request, answer):
        """Era of sessions: a request on the stream of the call. Modern: a result that asks, and a second call."""
        if self.s.era == "modern":
            responses = request["params"].get("inputResponses")
            if not responses:
                return self.json(self.result(request, {"resultType": "input_required", "requestState": "st\u00e4te", "inputRequests": {"r": {"method": "elicitation/create", "params": QUESTION}}}))
            self.s.answers.append(dict(request["params"], id=request["id"]))
            return self.json(answer)
        self.open_stream()
        self.event({"id": 77, "method": "elicitation/create", "params": QUESTION})
        until = time.time() + 30
        while not self.s.answers and time.time() < until:
            time.sleep(0.02)
        self.event(answer)

    def call_page(self, request, answer):
        """A page in place of a form; {"text": "error"}: as an error that says which pages come first."""
        page = dict(PAGE, url=self.s.page)
        if self.s.era == "modern":
            self.s.answers.append(request["params"])
            if "inputResponses" not in request["params"]:
                return self.json(self.result(request, {"resultType": "input_required", "requestState": "s", "inputRequests": {"r": {"method": "elicitation/create", "params": page}}}))
            return self.json(answer)
        if request["params"]["arguments"]["text"] == "error" and not self.s.answers:
            self.s.answers.append("asked")
            return self.json({"id": request["id"], "error": {"code": -32042, "message": "pages first", "data": {"elicitations": [page]}}})
        return self.json(answer)

    def call_asks_forever(self, request, answer):
        self.json(self.result(request, {"resultType": "input_required", "requestState": "x"}))

    def call_asks_else(self, request, answer):
        self.json(self.result(request, {"resultType": "input_required", "inputRequests": {"r": {"method": "sampling/createMessage", "params": {}}}}))

    def call_mismatch(self, request, answer):
        """The schema gets a header annotation that the client has not seen."""
        self.s.changed = True
        if "Mcp-Param-Text" not in self.headers:
            return self.error(request, -32020, "Mcp-Param-Text is missing")
        self.json(answer)


class Server:
    def __init__(self, mode="plain", era="legacy", ttl=0, guard=None):
        self.mode, self.era, self.ttl, self.guard = mode, era, ttl, guard
        self.seen, self.answers, self.sessions = [], [], set()
        self.page = self.expired = 0
        self.pending, self.changed, self.closed, self.cut, self.stream = None, False, False, False, None
        self.told, self.hung, self.left = threading.Event(), threading.Event(), threading.Event()
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.owner = self
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = "http://127.0.0.1:%d/mcp" % self.http.server_port

    def note(self, verb, message, headers, path="/mcp"):
        self.seen.append((verb, message or {}, {k.lower(): v for k, v in headers.items()}, path))

    def methods(self):
        return [m.get("method") for v, m, h, p in self.seen if v == "POST"]

    def capabilities(self):
        return {"tools": {"listChanged": True}} if self.mode == "changes" else {"tools": {}}

    def tools(self):
        if self.mode == "headers":
            text = {"type": "string", "x-mcp-header": "Text"}
            nested = {"type": "object", "properties": {"deep": {"type": "integer", "x-mcp-header": "Deep"}}}
            bad = lambda **p: {"type": "object", "properties": p}
            return [tool("echo", inputSchema=bad(text=text, n=nested, plain={"type": "string"})),
                    tool("twice", inputSchema=bad(a=text, b=dict(text, **{"x-mcp-header": "tEXT"}))),
                    tool("in_items", inputSchema=bad(a={"type": "array", "items": text})), tool("number", inputSchema=bad(a=dict(text, type="number"))),
                    tool("blank", inputSchema=bad(a=dict(text, **{"x-mcp-header": "a b"})))]
        if self.mode == "mismatch" and self.changed:
            return [tool("echo", inputSchema={"type": "object", "properties": {"text": {"type": "string", "x-mcp-header": "Text"}}})]
        if self.mode in ("changes", "ttl") and self.changed:
            return [tool("echo", description="Now it says something else"), tool("third")]
        return [tool("echo"), tool("second")]

    def close(self):
        self.closed = True
        self.http.shutdown()
        self.http.server_close()
