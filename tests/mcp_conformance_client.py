"""What the conformance runner of MCP starts as "the client": lists the tools of the server at the last argument and
calls those that the scenario is about, through `tenon tools`, in a terminal of its own where the server may ask.

Environment: TENON, MCP_CONFORMANCE_SCENARIO, MCP_CONFORMANCE_CONTEXT (JSON, perhaps with toolCalls)."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

TENON, URL, SCENARIO = os.environ["TENON"], sys.argv[-1], os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
CONTEXT = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
ANSWER = {"string": "x", "number": 2.5, "integer": 3, "boolean": True, "array": [], "object": {}}


def oauth():
    """What a scenario says of us: a client that the issuer knows, or our metadata document."""
    known = {k: CONTEXT[k] for k in ("client_id", "client_secret") if k in CONTEXT}
    return known or {"client_metadata_url": "https://conformance-test.local/client-metadata.json"}


def tools_file():
    f = tempfile.NamedTemporaryFile("w", suffix=".json", delete=False)
    more = {"oauth": oauth()} if SCENARIO.startswith("auth/") else {}
    json.dump({"mcpServers": {"s": dict({"url": URL, "timeout_ms": 15000}, **more)}}, f)
    f.close()
    return f.name


def listed(tools):
    p = subprocess.run([TENON, "tools", "list", "--json", "--tools", tools], capture_output=True, text=True, timeout=40)
    sys.stderr.write(p.stderr)
    return {t["function"]["name"]: t["function"] for t in json.loads(p.stdout or "[]")}


def call(tools, name, arguments):
    """One call; to whatever the server asks the answer is yes, and the default of every field (or yes)."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(TENON, [TENON, "tools", "test", "--tools", tools, name, json.dumps(arguments)])
    text, seen, until = "", 0, time.time() + 30
    while time.time() < until:
        if not select.select([fd], [], [], 0.2)[0]:
            continue
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        text += data.decode("utf-8", "replace")
        m = re.search(r"neither: $|\([^()]*(?:\([^()]*\)[^()]*)*\): $", text[seen:])
        if m:
            seen = len(text)
            os.write(fd, b"y\n" if m.group(0).startswith("neither") or "boolean" in m.group(0) and "default" not in m.group(0) else b"\n")
    else:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    sys.stderr.write("%s -> %s\n" % (name, text))


def sample(schema):
    return {k: ANSWER.get(v.get("type"), "x") for k, v in schema.get("properties", {}).items() if k in schema.get("required", [])}


def main():
    tools, context = tools_file(), CONTEXT
    if SCENARIO.startswith("auth/"):
        os.environ["BROWSER"] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "browser.py")
        os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp()
        p = subprocess.run([TENON, "tools", "login", "--tools", tools], capture_output=True, text=True, timeout=60)
        sys.stderr.write(p.stdout + p.stderr)
        if p.returncode:
            sys.exit(1)
    functions = listed(tools)
    if SCENARIO == "json-schema-2020-12-preservation":
        call(tools, "json_schema_echo", {"schema": functions["json_schema_2020_12_tool"]["parameters"]})
    elif SCENARIO == "json-schema-ref-no-deref":
        pass                                             # to list is enough
    elif context.get("toolCalls"):
        for c in context["toolCalls"]:
            # null where the schema says boolean is refused before it is sent; absent means the same here
            call(tools, c["name"], {k: v for k, v in c["arguments"].items() if v is not None})
    else:
        for name, f in functions.items():
            call(tools, name, sample(f.get("parameters", {})))
    os.unlink(tools)


main()
