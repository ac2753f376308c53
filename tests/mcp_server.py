"""A small MCP server over stdio for the tests: mcp_server.py MODE

legacy       initialize, then tools; modern: no opening, _meta in every request; both: either
garbage      writes lines that are no messages; split: answers in small pieces; flood: fills stderr
dies, hangs, slow, crash-once, pages, changes, clash, badversion, silent-probe, exits-at-probe, huge, asks, elicits
mute         answers nothing; trickles: everything a little too late; dies-at-POINT (discover, initialize, initialized, list)
many         5000 tools in pages; circle: cursors that come back; sized: a result of as many bytes as the text says
redefine     STATE holds the description of echo; each start is a line of STATE.starts"""
import json, os, sys, threading, time

MODE = sys.argv[1]
STATE = sys.argv[2] if len(sys.argv) > 2 else ""
MODERN = "2026-07-28"
out_lock = threading.Lock()


def write(text):
    with out_lock:
        if MODE == "split":
            for i in range(0, len(text), 7):
                sys.stdout.write(text[i:i + 7])
                sys.stdout.flush()
                time.sleep(0.001)
        else:
            sys.stdout.write(text)
            sys.stdout.flush()


def send(message):
    if MODE == "garbage":
        write("this is no message\n\n{\"neither\": 1}\n[1,2\n")
    write(json.dumps(dict(message, jsonrpc="2.0")) + "\n")


def reply(request, result):
    send({"id": request["id"], "result": result})


def fail(request, code, message, data=None):
    send({"id": request["id"], "error": dict({"code": code, "message": message}, **({"data": data} if data else {}))})


def tool(name, **more):
    return dict({"name": name, "description": "Says back " + name,
                 "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}}, **more)


changed = False


def tools():
    if MODE == "many":
        return [tool("t%d" % i, description="Does the special thing number %d" % i) for i in range(5000)]
    if MODE == "redefine" and os.path.exists(STATE):
        with open(STATE) as f:
            return [tool("echo", description=f.read()), tool("second")]
    if MODE == "pages":
        return [tool("t%d" % i) for i in range(450)]
    if MODE == "clash":
        return [tool("echo"), tool("a.b/c"), tool("no_schema", inputSchema={"type": "string", "pattern": "("})]
    if MODE == "changes" and changed:
        return [tool("echo", description="Now it says something else"), tool("third")]
    up_to_5 = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 5}}, "required": ["n"]}
    return [tool("echo", annotations={"readOnlyHint": True}, outputSchema=up_to_5), tool("boom"), tool("second")]


def list_tools(request):
    if MODE == "circle":
        at = {"": 0, "a": 1, "b": 2}[request.get("params", {}).get("cursor") or ""]
        return reply(request, {"tools": [tool("c%d" % at)], "nextCursor": ("a", "b", "a")[at]})
    page = int(request.get("params", {}).get("cursor") or 0)
    size, all_tools = 100, tools()
    result = {"tools": all_tools[page:page + size]}
    if page + size < len(all_tools):
        result["nextCursor"] = str(page + size)
    reply(request, result)


def call(request):
    global changed
    params = request["params"]
    name, text = params["name"], params["arguments"].get("text", "")
    if MODE == "dies" or (MODE == "crash-once" and not os.path.exists(STATE)):
        open(STATE, "w").close() if STATE else None
        sys.stderr.write("out of cheese\n")
        sys.stderr.flush()
        os._exit(3)
    if MODE == "hangs":
        return
    if MODE == "progress":
        for i in range(6):
            time.sleep(0.1)
            send({"method": "notifications/progress", "params": {"progressToken": params["_meta"]["progressToken"], "progress": i}})
    if MODE == "huge":
        return reply(request, {"content": [{"type": "text", "text": "y" * (2 << 20)}]})
    if MODE == "sized":
        return reply(request, {"content": [{"type": "text", "text": "y" * int(text)}]})
    if MODE == "asks":
        return reply(request, {"resultType": "input_required", "inputRequests": []})
    if MODE == "server-asks":
        send({"id": 900, "method": "sampling/createMessage", "params": {}})
        send({"id": 901, "method": "ping"})
    if MODE == "elicits":
        send({"id": 77, "method": "elicitation/create", "params": {"message": "Which room?", "requestedSchema": {"type": "object", "properties": {"room": {"type": "string"}}, "required": ["room"]}}})
        answer = json.loads(sys.stdin.readline())
        return reply(request, {"content": [{"type": "text", "text": json.dumps(answer.get("result", answer.get("error")))}]})
    if MODE == "changes":
        changed = True
        send({"method": "notifications/tools/list_changed"})
    if name == "boom":
        return reply(request, {"content": [{"type": "text", "text": "it broke"}], "isError": True})
    if text.startswith("structured"):
        return reply(request, {"content": [], "structuredContent": {"n": int(text[10:] or 1)}})
    if text == "image":
        return reply(request, {"content": [{"type": "image", "mimeType": "image/png", "data": "AAAA"}, {"type": "text", "text": "a picture"}]})
    if text == "protocol":
        return fail(request, -32602, "Unknown tool")
    reply(request, {"content": [{"type": "text", "text": "%s:%s:%s" % (name, text, "modern" if "io.modelcontextprotocol/protocolVersion" in params.get("_meta", {}) else "legacy")}]})


initialized = False


def die_at(method):
    points = {"server/discover": "discover", "initialize": "initialize", "notifications/initialized": "initialized", "tools/list": "list"}
    if MODE == "dies-at-" + points.get(method, "?"):
        sys.stderr.write("last words\n")
        sys.stderr.flush()
        os._exit(4)


def handle(request):
    global initialized
    method = request.get("method")
    die_at(method)
    if MODE == "mute":
        return
    if MODE == "trickles":
        time.sleep(0.7)
    if "id" not in request:
        if method == "notifications/initialized":
            initialized = True
        if method == "notifications/cancelled" and STATE:
            with open(STATE, "w") as f:
                json.dump(request["params"], f)
        return
    if method is None:                                   # the client's answer to our request
        with open(STATE, "a") as f:
            f.write(json.dumps(request) + "\n")
        return
    if method == "server/discover":
        if MODE == "silent-probe":
            return
        if MODE == "exits-at-probe" and not os.path.exists(STATE):
            open(STATE, "w").close()
            os._exit(1)
        if MODE == "modern":
            return reply(request, {"supportedVersions": [MODERN], "capabilities": {"tools": {}}})
        if MODE == "modern-error":
            return fail(request, -32022, "unsupported", {"supported": [MODERN]})
        return fail(request, -32601, "Method not found")
    if method == "initialize":
        if MODE in ("modern", "modern-error"):
            return fail(request, -32601, "there is no initialize")
        return reply(request, {"protocolVersion": "1999-01-01" if MODE == "badversion" else "2025-06-18", "capabilities": {}, "serverInfo": {"name": "t", "version": "1"}})
    if MODE in ("modern", "modern-error"):
        meta = request.get("params", {}).get("_meta", {})
        if meta.get("io.modelcontextprotocol/protocolVersion") != MODERN or "io.modelcontextprotocol/clientCapabilities" not in meta:
            return fail(request, -32021, "missing _meta")
    elif not initialized:
        return fail(request, -32002, "not initialized")
    if method == "tools/list":
        return list_tools(request)
    if method == "tools/call":
        return call(request)
    fail(request, -32601, "Method not found")


def main():
    if MODE == "redefine":
        with open(STATE + ".starts", "a") as f:
            f.write("started\n")
    if MODE == "slow":
        time.sleep(1)
    if MODE == "flood":
        sys.stderr.write("noise\n" * 200000)
    for line in sys.stdin:
        handle(json.loads(line))


main()
