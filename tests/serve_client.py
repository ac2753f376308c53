"""A running tenon serve and what its tests share: requests, sockets, streams folded to whole answers.

Nothing here depends on what the embedded model says, only on what must hold whatever it says. One server
serves a whole module; tests that need another start one of their own (it takes some 50 ms)."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

TENON = os.environ.get("TENON", "build/tenon")
HELP = subprocess.run([TENON, "--version"], capture_output=True, text=True).stdout
if "server: yes" not in HELP:
    pytest.skip("skipped: this build has no server (libmicrohttpd-dev was missing)", allow_module_level=True)
HOME = json.load(open("examples/home.json"))
TOOLS = [t if t.get("type") == "function" else {"type": "function", "function": t} for t in (HOME["tools"] if isinstance(HOME, dict) else HOME)]
ASK = [{"role": "user", "content": "dim the kitchen to 10"}]
SLOW = 4 if "san" in os.path.abspath(TENON).split(os.sep)[-2] else 1                # sanitizers


class Server:
    """A running tenon serve; ends with the with-block, and must end well."""

    def __init__(self, *args, env=None, check=True, preexec=None):
        self.log, self.check = [], check
        self.process = subprocess.Popen([TENON, "serve", "--port", "0", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=dict(os.environ, **(env or {})), preexec_fn=preexec)
        threading.Thread(target=self._read_log, daemon=True).start()
        line = self.process.stdout.readline().strip()
        if not line:
            self.process.wait(20)
            time.sleep(0.1)
            raise RuntimeError("did not start: " + "".join(self.log))
        self.url = line.removeprefix("listening on ")
        self.port = int(self.url.rsplit(":", 1)[1]) if "unix:" not in self.url else 0

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)

    def __enter__(self):
        return self

    def stop(self, sig=signal.SIGTERM, timeout=60):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        self.process.wait(timeout)
        self.process.stdout.close()
        return self.process.returncode

    def __exit__(self, *_):
        try:
            rc = self.stop()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        text = "".join(self.log)
        assert "ERROR: " not in text and "runtime error" not in text and "WARNING: ThreadSanitizer" not in text, text[-6000:]
        if self.check:
            assert rc == 0, text[-3000:]

    def open(self, path, body=None, method=None, headers=None, raw=None):
        """(status, headers, text)"""
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        h = {"Content-Type": "application/json"} if data is not None else {}
        r = urllib.request.Request(self.url + path, data, {**h, **(headers or {})}, method=method)
        try:
            with urllib.request.urlopen(r, timeout=300) as a:
                return a.status, a.headers, a.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read().decode()

    def get(self, path, **k):
        status, _, text = self.open(path, **k)
        return status, json.loads(text)

    def post(self, path, body, **k):
        status, _, text = self.open(path, body, **k)
        return status, json.loads(text) if text[:1] in "{[" else text

    def chat(self, **body):
        body.setdefault("messages", ASK)
        return self.post("/v1/chat/completions", body)

    def events(self, path, body, headers=None):
        """Server-sent events as (event, data) with data parsed, [DONE] as it is."""
        _, h, text = self.open(path, body, headers=headers)
        assert h["Content-Type"] == "text/event-stream; charset=utf-8", text
        out = []
        assert text.endswith("\n\n") and "\r" not in text
        for block in text[:-2].split("\n\n"):
            if block.startswith(":"):
                continue
            lines = block.split("\n")
            assert len(lines) <= 2, block
            name = lines[0].removeprefix("event: ") if len(lines) == 2 else None
            data = lines[-1].removeprefix("data: ")
            assert data and lines[-1].startswith("data: ")
            out.append((name, data if data == "[DONE]" else json.loads(data)))
        return out

    def metric(self, name, labels=""):
        text = self.open("/metrics")[2]
        m = re.search(rf'^{name}{{[^}}]*{re.escape(labels)}[^}}]*}} (\S+)$', text, re.M)
        return float(m.group(1)) if m else 0.0

    def context(self):
        return self.get("/props")[1]["n_ctx"]

    def idle(self, timeout=20):
        """Waits until nothing runs."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.metric("tenon_num_requests_running") == 0 and self.metric("tenon_num_requests_waiting") == 0:
                return
            time.sleep(0.02)
        raise AssertionError("requests still run")

    def until(self, true, timeout=60):
        """Waits until a condition holds."""
        end = time.monotonic() + timeout
        while not true():
            assert time.monotonic() < end, "it did not come to pass"
            time.sleep(0.005)

    def raw(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server("--response-store", tmp_path_factory.mktemp("store") / "r.db", "--parallel", "8") as s:
        yield s


def is_error(answer, status, code=None, param=None):
    got, body = answer
    assert got == status, body
    e = body["error"]
    assert set(e) >= {"message", "type", "param", "code"} and e["message"], body
    assert e["code"] is None or isinstance(e["code"], str)
    if code:
        assert e["code"] == code, body
    if param:
        assert e["param"] == param, body
    return e["message"]


def fold_chat(chunks):
    """What a client makes of a stream: {index: message}, {index: finish_reason}."""
    messages, finish, logprobs = {}, {}, {}
    for c in chunks:
        for choice in c["choices"]:
            m = messages.setdefault(choice["index"], {"role": None, "content": None})
            d = choice["delta"]
            assert choice["index"] not in finish, "nothing follows the finish chunk"
            if "role" in d:
                assert m["role"] is None and d["content"] is None, "role once, first"
                m["role"] = d["role"]
            else:
                assert m["role"], "role first"
            if d.get("content") is not None:
                assert d["content"] != ""
                m["content"] = (m["content"] or "") + d["content"]
            if "function_call" in d:
                f = m.setdefault("function_call", {"name": "", "arguments": ""})
                f["name"] += d["function_call"].get("name", "")
                f["arguments"] += d["function_call"].get("arguments", "")
            for t in d.get("tool_calls", []):
                calls = m.setdefault("tool_calls", [])
                if "id" in t:
                    assert t["index"] == len(calls) and t["type"] == "function" and t["function"]["arguments"] == ""
                    calls.append({"id": t["id"], "type": "function", "function": {"name": t["function"]["name"], "arguments": ""}})
                elif "function" in t:
                    assert t["index"] == len(calls) - 1 and set(t["function"]) == {"arguments"}
                    calls[-1]["function"]["arguments"] += t["function"]["arguments"]
            if choice.get("logprobs"):
                logprobs.setdefault(choice["index"], []).extend(choice["logprobs"]["content"])
            if choice["finish_reason"]:
                assert d == {}
                finish[choice["index"]] = choice["finish_reason"]
    return messages, finish, logprobs


def without_ids(message):
    m = json.loads(json.dumps(message))
    for c in m.get("tool_calls") or []:
        assert re.fullmatch(r"call_[A-Za-z0-9]{24}", c["id"])
        c["id"] = "call"
    m.pop("refusal", None)
    return m


FLAT = [{"type": "function", **t["function"]} for t in TOOLS]


def check_response_stream(events):
    """Order, numbers and sums of a Responses stream; returns the last response object."""
    assert events[-1][1] == "[DONE]"
    data = [d for _, d in events[:-1]]
    assert all(n == d["type"] for n, d in events[:-1])
    assert [d["sequence_number"] for d in data] == list(range(len(data)))
    assert [d["type"] for d in data[:2]] == ["response.created", "response.in_progress"]
    assert data[0]["response"]["status"] == "in_progress" and data[0]["response"]["output"] == []
    items, text, args, opened = {}, {}, {}, None
    for d in data[2:-1]:
        t = d["type"]
        if t == "response.output_item.added":
            assert opened is None and d["output_index"] == len(items)
            opened = d["item"]["id"]
        elif t == "response.output_item.done":
            assert d["item"]["id"] == opened and d["output_index"] == len(items)
            items[opened], opened = d["item"], None
        else:
            assert d["item_id"] == opened and d["output_index"] == len(items)
            if t == "response.output_text.delta":
                text[opened] = text.get(opened, "") + d["delta"]
            elif t == "response.output_text.done":
                assert d["text"] == text.get(opened, "")
            elif t == "response.function_call_arguments.delta":
                args[opened] = args.get(opened, "") + d["delta"]
            elif t == "response.function_call_arguments.done":
                assert d["arguments"] == args[opened] and d["name"]
    last = data[-1]
    assert last["type"] == "response." + last["response"]["status"]
    assert last["response"]["output"] == list(items.values())
    return last["response"]


ANTHROPIC = [{"name": t["function"]["name"], "description": t["function"].get("description", ""), "input_schema": t["function"].get("parameters", {"type": "object"})} for t in TOOLS]


def request_bytes(body, path="/v1/chat/completions", extra="", version="1.1"):
    data = json.dumps(body).encode()
    return f"POST {path} HTTP/{version}\r\nHost: localhost\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(data)}\r\n\r\n".encode() + data


def read_all(s):
    out = b""
    try:
        while chunk := s.recv(65536):
            out += chunk
    except ConnectionResetError:
        pass
    return out


def long(n=1900, **more):
    """A request whose answer takes at least n characters, and so some n / 3 tokens, whatever the model would say."""
    return {"messages": [{"role": "user", "content": "tell me everything"}], "temperature": 1.5, "seed": 5, "max_tokens": n,
            "response_format": {"type": "regex", "pattern": f"[a-z ]{{{n},4000}}"}, **more}


def adapter(path, seed=1, rank=4, wrong=0):
    """A LoRA for a matrix of the embedded model's last layer: random, strong enough to be heard."""
    numpy, gguf = pytest.importorskip("numpy", reason="skipped: no numpy"), pytest.importorskip("gguf", reason="skipped: no gguf package")
    fields = gguf.GGUFReader("models/tenon.gguf").fields
    layers, rows, columns = (int(fields["lfm2." + k].parts[-1][0]) for k in ("block_count", "embedding_length", "feed_forward_length"))
    name, rows = f"blk.{layers - 1}.ffn_down.weight", rows - wrong
    r = numpy.random.default_rng(seed)
    w = gguf.GGUFWriter(str(path), "lfm2")
    w.add_string("general.type", "adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", 4.0)
    w.add_tensor(name + ".lora_a", r.normal(size=(rank, columns)).astype(numpy.float32))
    w.add_tensor(name + ".lora_b", r.normal(size=(rows, rank)).astype(numpy.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path


def bare(items):
    out = json.loads(json.dumps(items))
    for i in out:
        i.pop("id")
        i.pop("call_id", None)
    return out
