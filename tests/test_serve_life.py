"""tenon serve over its life: drains, faults, clients that die, adapters that come and go, and the bench that loads it."""
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from serve_client import SLOW, Server, TENON, TOOLS, adapter, is_error, long, read_all, request_bytes, server  # noqa: F401 (server is a fixture)


# ---- the drain --------------------------------------------------------------------------------------------

def test_sigterm_under_load_lets_streams_end():
    s = Server("--parallel", "4")
    texts = []
    threads = [threading.Thread(target=lambda: texts.append(s.open("/v1/chat/completions", long(200, stream=True))[2])) for _ in range(8)]
    for t in threads:
        t.start()
    while s.metric("tenon_num_requests_running") + s.metric("tenon_num_requests_waiting") < 4 and any(t.is_alive() for t in threads):
        time.sleep(0.01)
    idle = s.raw()
    assert s.stop() == 0
    for t in threads:
        t.join()
    assert len(texts) == 8 and all(t.endswith("data: [DONE]\n\n") and '"error"' not in t for t in texts)
    assert read_all(idle) == b""


def test_what_takes_longer_than_the_drain_is_told():
    s = Server("--drain-timeout", "0.2", "--parallel", "1", "--drain-delay", "0.3")
    texts = []
    bodies = [long(stream=True) | {"n": 8}, long()]
    threads = [threading.Thread(target=lambda b=b: texts.append(s.open("/v1/chat/completions", b))) for b in bodies]
    for t in threads:
        t.start()
        time.sleep(0.1)
    s.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    assert s.get("/ready")[0] == 503 and s.get("/health")[0] == 200
    s.process.wait(30)
    for t in threads:
        t.join()
    assert s.process.returncode == 0
    for status, _, text in texts:
        assert text.endswith("[DONE]\n\n") if status == 200 else json.loads(text)["error"]["code"] in ("server_shutting_down", "draining"), (status, text[-300:])


def test_a_second_signal_ends_at_once():
    s = Server("--drain-timeout", "60")
    t = threading.Thread(target=lambda: pytest.raises(OSError, s.open, "/v1/chat/completions", long() | {"n": 8}))
    t.start()
    time.sleep(0.1)
    s.process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    s.process.send_signal(signal.SIGTERM)
    assert s.process.wait(10) == 143
    t.join()


def test_systemd_is_told(tmp_path):
    path = str(tmp_path / "notify")
    n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    n.bind(path)
    n.settimeout(20)
    with Server(env={"NOTIFY_SOCKET": path}) as s:
        assert n.recv(99) == b"READY=1"
        s.process.send_signal(signal.SIGHUP)
        assert n.recv(99) == b"RELOADING=1" and n.recv(99) == b"READY=1"
    assert n.recv(99) == b"STOPPING=1"


# ---- faults -----------------------------------------------------------------------------------------------

def test_a_model_file_that_is_cut_while_it_serves(tmp_path):
    model = tmp_path / "m.gguf"
    shutil.copy("models/tenon.gguf", model)
    with Server("-m", model) as s:
        assert s.chat(max_tokens=2)[0] == 200
        os.truncate(model, 1 << 20)
        for _ in range(100):
            status, body = s.chat(max_tokens=20)
            if status != 200:
                break
        is_error((status, body), status, body["error"]["code"])
        assert status in (500, 503) and body["error"]["code"] in ("internal_error", "model_damaged")
        assert s.get("/health")[0] == 503 and s.get("/ready")[0] == 503 and s.open("/metrics")[0] == 200


def test_a_full_disk_loses_the_stored_response_and_nothing_else(tmp_path):
    import resource
    limit = lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.setrlimit(resource.RLIMIT_FSIZE, (90000, 90000)))
    with Server("--response-store", tmp_path / "r.db", preexec=limit) as s:
        kept = [s.post("/v1/responses", {"input": "x " * 900 if i else "x", "max_output_tokens": 2, "store": True, "metadata": {"a": "b" * 400}})
                for i in range(14)]
        assert all(status == 200 for status, _ in kept), kept
        stored = [a["store"] for _, a in kept]
        assert stored[0] is True and not all(stored)
        assert s.get("/v1/responses/" + kept[0][1]["id"])[0] == 200
        assert s.chat(max_tokens=2)[0] == 200


CLIENTS = int(os.environ.get("SERVE_CLIENTS", "200" if SLOW == 1 else "60"))


def test_clients_killed_in_the_middle_leave_nothing_behind(server):
    """Hundreds here, thousands with SERVE_CLIENTS: descriptors and memory stay where they were."""
    import random
    r = random.Random(1)
    server.idle()

    def read(name):
        return float(re.search(rf"^{name} (\S+)$", server.open("/metrics")[2], re.M).group(1))

    def one(seed):
        q = random.Random(seed)
        s = server.raw()
        body = long(q.choice([20, 100, 400]), stream=q.random() < 0.7, seed=seed)
        data = request_bytes(body)
        s.sendall(data[:q.randrange(1, len(data))] if q.random() < 0.3 else data)
        if q.random() < 0.5:
            s.settimeout(0.05)
            try:
                s.recv(q.choice([1, 100, 4000]))
            except OSError:
                pass
        if q.random() < 0.5:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()

    def many(n, base):
        seeds = list(range(base, base + n))

        def work():
            while seeds:
                try:
                    one(seeds.pop())
                except IndexError:
                    return
        threads = [threading.Thread(target=work) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        server.idle(60)
    many(CLIENTS // 2, 0)
    files, memory = read("process_open_fds"), read("process_resident_memory_bytes")
    many(CLIENTS, 10000)
    time.sleep(0.3)
    assert read("process_open_fds") <= files + 2
    if SLOW == 1:
        assert read("process_resident_memory_bytes") < memory + 12e6
    assert server.chat(tools=TOOLS)[0] == 200


# ---- adapters -----------------------------------------------------------------------------------------------

def text_of(s, model):
    status, a = s.chat(model=model, max_tokens=12)
    assert status == 200, a
    return a["choices"][0]["message"]["content"]


def test_adapters_come_and_go(tmp_path):
    """The samples of Functionary's README for LoRA, by name, sentence and status."""
    root, outside = tmp_path / "root", tmp_path / "outside.gguf"
    root.mkdir()
    adapter(root / "a.gguf", 1), adapter(root / "b.gguf", 2), adapter(root / "wrong.gguf", 3, wrong=1), adapter(outside, 4)
    os.symlink(outside, root / "link.gguf")
    with Server("--enable-lora", "--lora-root", root, "--max-loras", "2", "--lora-modules", f"first={root}/a.gguf", f"extra={root}/b.gguf=0.5") as s:
        assert s.post("/v1/unload_lora_adapter", {"lora_name": "extra"})[0] == 200
        load = lambda **b: s.post("/v1/load_lora_adapter", b)
        plain = text_of(s, "tenon")
        assert text_of(s, "first") != plain
        assert load(lora_name="second", lora_path="b.gguf") == (200, "Success: LoRA adapter 'second' added successfully.")
        assert text_of(s, "second") not in (plain, text_of(s, "first")) and text_of(s, "tenon") == plain
        models = {m["id"]: m for m in s.get("/v1/models")[1]["data"]}
        assert models["second"]["parent"] == "tenon" and models["second"]["root"] == "b.gguf" and set(models) == {"tenon", "first", "second"}
        assert [a["name"] for a in s.get("/lora-adapters")[1]] == ["first", "second"]
        assert is_error(load(lora_name="second", lora_path="b.gguf"), 400) == "The lora adapter 'second' has already been loaded."
        assert load(lora_name="second", lora_path="a.gguf", load_inplace=True)[0] == 200 and text_of(s, "second") == text_of(s, "first")
        assert is_error(load(lora_name="x"), 400) == "Both 'lora_name' and 'lora_path' must be provided."
        for path in ("../outside.gguf", str(outside), "link.gguf", "/etc/passwd"):
            assert "not below" in is_error(load(lora_name="x", lora_path=path), 400)
        is_error(load(lora_name="x", lora_path="nothing.gguf"), 400)
        assert ".ffn_down.weight" in is_error(load(lora_name="x", lora_path="wrong.gguf", load_inplace=True), 400)
        for name in ("tenon", "a b", "x" * 129, "a/b"):
            is_error(load(lora_name=name, lora_path="a.gguf"), 400)
        text_of(s, "second")
        assert load(lora_name="third", lora_path="a.gguf")[0] == 200, "the one that was used longest ago makes room"
        assert {m["id"] for m in s.get("/v1/models")[1]["data"]} == {"tenon", "second", "third"}
        unload = lambda **b: s.post("/v1/unload_lora_adapter", b)
        assert unload(lora_name="second") == (200, "Success: LoRA adapter 'second' removed successfully.")
        assert is_error(unload(lora_name="second"), 400) == "The lora adapter 'second' cannot be found."
        assert is_error(unload(), 400) == "either 'lora_name' and 'lora_int_id' needs to be provided."
        is_error(s.chat(model="second"), 404, "model_not_found")


def test_an_adapter_unloaded_while_in_use_serves_to_the_end(tmp_path):
    adapter(tmp_path / "a.gguf")
    with Server("--enable-lora", "--lora-root", tmp_path, "--lora-modules", f"a={tmp_path}/a.gguf") as s:
        alone = s.chat(**long(150, model="a"))[1]["choices"][0]["message"]["content"]
        s.idle()                                                      # what is seen running is the next one
        got = []
        t = threading.Thread(target=lambda: got.append(s.chat(**long(150, model="a"))))
        t.start()
        while t.is_alive() and not s.metric("tenon_num_requests_running"):
            time.sleep(0.005)
        assert s.post("/v1/unload_lora_adapter", {"lora_name": "a"})[0] == 200
        is_error(s.chat(model="a"), 404)
        t.join()
        assert got[0][0] == 200 and got[0][1]["choices"][0]["message"]["content"] == alone
        s.process.send_signal(signal.SIGHUP)                          # the adapters of the command line come back
        for _ in range(200):
            if s.chat(model="a", max_tokens=2)[0] == 200:
                break
            time.sleep(0.02)
        assert s.chat(model="a", max_tokens=2)[0] == 200


def test_who_may_load_adapters(server, tmp_path):
    body = {"lora_name": "a", "lora_path": "a.gguf"}
    assert "--enable-lora" in is_error(server.post("/v1/load_lora_adapter", body), 501)
    with Server("--enable-lora", "--lora-root", tmp_path) as s:
        is_error(s.post("/v1/load_lora_adapter", body, headers={"Origin": "http://evil.example"}), 403, "origin_not_allowed")
        is_error(s.post("/v1/load_lora_adapter", body), 400)
    with Server("--enable-lora", "--lora-root", tmp_path, "--host", "0.0.0.0", "--api-key", "user") as s:
        s.url = f"http://127.0.0.1:{s.port}"
        is_error(s.post("/v1/load_lora_adapter", body, headers={"Authorization": "Bearer user"}), 403, "admin_required")
    with Server("--enable-lora", "--lora-root", tmp_path, "--host", "0.0.0.0", "--api-key", "user", "--admin-key", "boss") as s:
        s.url = f"http://127.0.0.1:{s.port}"
        is_error(s.post("/v1/load_lora_adapter", body, headers={"Authorization": "Bearer user"}), 403, "admin_required")
        is_error(s.post("/v1/load_lora_adapter", body, headers={"Authorization": "Bearer boss"}), 400)


def test_bench_serve(server):
    p = subprocess.run([TENON, "bench", "serve", "--port", str(server.port), "--streams", "1,4", "--requests", "12", "--max-tokens", "6", "--leave", "0.2", "--json"],
                       capture_output=True, text=True, timeout=120)
    lines = [json.loads(x) for x in p.stdout.splitlines()]
    assert p.returncode == 0 and [x["streams"] for x in lines] == [1, 4], p.stderr
    for x in lines:
        assert x["done"] + x["left"] == 12 and x["failed"] == 0 and x["tokens_per_s"] > 0 and x["ttft_ms"]["p50"] <= x["ttft_ms"]["p99"]
    p = subprocess.run([TENON, "bench", "serve", "--port", "1"], capture_output=True, text=True, timeout=60)
    assert p.returncode == 1 and len(p.stderr.strip().splitlines()) == 1
