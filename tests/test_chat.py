"""tenon chat: every /command of its list, one by one; keys; what ends it; and the exit statuses of tenon run. An endpoint with
fixed answers stands in for the model where what it was asked matters."""
import json
import os
import re
import signal
import subprocess
import sys
import termios
import threading
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_agent_cli import TENON, TOOLS, Terminal, own_state, write  # noqa: F401
from test_terminal import endpoint, pytestmark  # noqa: F401

COMMANDS = ("/help /exit /clear /new /undo /retry /edit /system /model /lora /tools /mcp /params /seed /save /load /export /history /show /copy /tokens /stats /debug /attach").split()


def chat(endpoint, *lines, args=()):  # noqa: F811
    p = subprocess.run([TENON, "chat", "--no-history", "--url", endpoint.url, "--tools", TOOLS, *map(str, args)], input="".join(l + "\n" for l in lines), capture_output=True, text=True, timeout=60)
    return p.returncode, p.stdout, p.stderr


def said(endpoint, at=-1):  # noqa: F811
    return [m["content"] for m in endpoint.bodies[at]["messages"]]


def test_help_lists_every_command(endpoint):  # noqa: F811
    rc, out, err = chat(endpoint, "/help")
    assert [l.split()[0] for l in err.splitlines() if l.startswith("/")] == sorted(COMMANDS, key=lambda c: err.index("\n" + c) if not err.startswith(c) else 0) and out == ""
    assert set(COMMANDS) == {l.split()[0] for l in err.splitlines() if l.startswith("/")}


ROWS = [  # lines, what stderr says, the contents of the last request (None: there was none)
    (["//etc is a folder"], "", ["/etc is a folder"]),
    (["a", "/undo", "b"], "undone: a", ["b"]),
    (["/undo"], "nothing to undo", None),
    (["a", "/retry"], "", ["a"]),
    (["/retry"], "nothing to ask again", None),
    (["a", "/edit in other words"], "", ["in other words"]),
    (["/edit"], "an editor needs a terminal", None),
    (["a", "/clear", "b"], "begins anew", ["b"]),
    (["a", "/new", "b"], "begins anew", ["b"]),
    (["/system Be brief.", "/system", "a"], "Be brief.", ["Be brief.", "a"]),
    (["/system Be brief.", "a", "/clear", "b"], "", ["Be brief.", "b"]),
    (["/system Be brief.", "/system off", "/system", "a"], "there is no system message; /system TEXT sets one", ["a"]),
    (["/tools"], "allow command +count_lines", None),
    (["/tools what"], "/tools allow NAME", None),
    (["/tools allow nobody"], "there is no tool 'nobody'", None),
    (["/tools deny count_lines", "/tools"], "deny +command +count_lines", None),
    (["/model"], "default", None),
    (["/model other"], "other answers from now on", None),
    (["/lora x"], "/model NAME", None),
    (["/mcp"], "no MCP servers", None),
    (["/mcp restart nobody"], "no MCP server 'nobody'", None),
    (["/params"], "all are the defaults", None),
    (["/params temperature=0.5", "/params stop=END", "/params"], "temperature=0.5\nstop=\"END\"", None),
    (["/params x"], "KEY=VALUE", None),
    (["/seed x"], "a whole number", None),
    (["/save"], "/save FILE", None),
    (["/save /no/such/folder/x"], "/no/such/folder/x", None),
    (["/load"], "/load FILE", None),
    (["/load /no/such"], "/no/such", None),
    (["/load " + TOOLS], "must be an array", None),
    (["/export"], "/export md, /export json or /export jsonl", None),
    (["/show 3"], "there is no '3'", None),
    (["/copy"], "no answer to copy", None),
    (["/tokens"], "cannot be counted from here", None),
    (["/stats"], "0 tok out", None),
    (["/debug"], "nothing has been said yet", None),
    (["a", "/debug"], '"content": "a"', ["a"]),
    (["/attach " + TOOLS], "--tools-builtin python offers it", None),
    (["/attach"], "/attach FILE", None),
    (["/history"], "nothing is recorded here", None),
    (["/nonsense"], "no command /nonsense; /help lists them", None),
    (["a", "/exit", "b"], "", ["a"]),
]


@pytest.mark.parametrize("lines, words, contents", ROWS, ids=[" ".join(r[0])[:40] for r in ROWS])
def test_commands(endpoint, lines, words, contents):  # noqa: F811
    endpoint.text = "fine"
    rc, out, err = chat(endpoint, *lines)
    assert rc == 0 and re.search(words, err), err
    assert (said(endpoint) if endpoint.bodies else None) == contents
    assert out == "fine\n" * out.count("fine\n"), "stdout holds answers alone"


def test_what_commands_change_in_requests(endpoint, tmp_path):  # noqa: F811
    endpoint.text, saved = "fine", tmp_path / "m.json"
    chat(endpoint, "/params temperature=0.5", "/params stop=END", "/seed 7", "/model m2", "a", "/params stop=", "b", "/tools off", "c", "/tools on", "d", "/save %s" % saved, "/export md", "/clear", "/load %s" % saved, "e")
    b = endpoint.bodies
    assert (b[0]["temperature"], b[0]["stop"], b[0]["seed"], b[0]["model"]) == (0.5, ["END"], 7, "m2") and "stop" not in b[1]
    assert len(b[1]["tools"]) == 3 and "tools" not in b[2] and len(b[3]["tools"]) == 3
    assert said(endpoint) == ["a", "fine", "b", "fine", "c", "fine", "d", "fine", "e"] and len(json.loads(saved.read_text())) == 8


def test_results_shown_in_full_and_exported(endpoint):  # noqa: F811
    endpoint.call, endpoint.text = ("count_lines", {"path": "README.md"}), "many"
    rc, out, err = chat(endpoint, "count", "/show 1", "/export md", "/export json")
    lines = open("README.md", encoding="utf-8").read().count("\n")
    assert '\n{"lines":%d}\n' % lines in err
    md, messages = out[len("many\n"):].split("[\n", 1)
    assert md == '**user**\n\ncount\n\n**assistant**\n\n```\ncount_lines {"path": "README.md"}\n```\n\n**tool count_lines**\n\n```\n{"lines":%d}\n```\n\n**assistant**\n\nmany\n\n' % lines
    assert [m["role"] for m in json.loads("[" + messages)] == ["user", "assistant", "tool", "assistant"]


def test_fences_of_an_export_are_longer_than_those_inside(endpoint, tmp_path):  # noqa: F811
    tools = write(tmp_path / "t.json", {"commands": {"f": {"argv": ["printf", "````\\nx\\n````"], "approve": "allow"}}})
    endpoint.call, endpoint.text = ("f", {}), "ok"
    rc, out, err = chat(endpoint, "go", "/export md", args=["--tools", tools])
    assert "`````\n````\nx\n````\n`````\n" in out


# ---- keys ----

def editor_here(t):
    t.wait("> ")
    time.sleep(0.3)
    if "2004h" not in t.text:
        pytest.skip("built without libedit")


@pytest.fixture
def keys(endpoint):  # noqa: F811
    endpoint.text = "fine"
    t = Terminal("chat", "--no-history", "--url", endpoint.url, env={"LC_ALL": "C.UTF-8"})
    editor_here(t)
    yield t
    t.type("\x15/exit\r")
    assert t.end() == 0


def test_a_paste_sends_nothing_and_keeps_every_letter(keys, endpoint):  # noqa: F811
    text = "eins zwölf\n\tdrei 日本語 🙂\n/exit\nende"
    keys.type("vor \x1b[200~" + text.replace("\n", "\r") + "\x1b[201~")
    time.sleep(0.5)
    assert not endpoint.bodies
    keys.type(" nach\r")
    keys.wait(r"tok out.*> ")
    assert said(endpoint) == ["vor " + text + " nach"]


def test_a_bracketed_paste_of_a_mebibyte(keys, endpoint):  # noqa: F811
    line = "x" * 1000
    text = "\x1b[200~" + (line + "\r") * 1048 + line + "\x1b[201~"

    def feed():
        for i in range(0, len(text), 1000):
            os.write(keys.fd, text[i:i + 1000].encode())
        os.write(keys.fd, b"\r")
    threading.Thread(target=feed, daemon=True).start()
    keys.wait(r"tok out", 120)
    assert said(endpoint) == [(line + "\n") * 1048 + line]
    keys.wait("> ")


def test_several_lines_and_the_history(endpoint, tmp_path):  # noqa: F811
    endpoint.text = "fine"
    for lines in (["one", "one", "two"], ["three"]):
        t = Terminal("chat", "--url", endpoint.url)
        editor_here(t)
        for l in lines:
            t.type(l + "\r")
            t.wait(r"tok out.*> ")
        t.type("/exit\r")
        assert t.end() == 0
    kept = tmp_path / "state" / "tenon" / "chat_history"
    assert oct(kept.stat().st_mode & 0o777) == "0o600" and kept.read_text().count("one") == 1, "a message once in a row"
    t = Terminal("chat", "--url", endpoint.url)
    editor_here(t)
    t.type("\x12tw")                                      # reverse search
    time.sleep(0.3)
    t.type("\r")
    t.wait(r"tok out.*> ")
    assert said(endpoint) == ["two"]
    t.type("alt\x1b\renter\r")
    t.wait(r"tok out.*> ")
    assert said(endpoint)[-1] == "alt\nenter"
    t.type('"""\rline 1\rline 2"""\r')
    t.wait(r"tok out.*> ")
    assert said(endpoint)[-1] == "line 1\nline 2"
    t.type("not sent\x03")
    t.wait("leaves.*> ")
    t.type("\x04")
    assert t.end() == 0
    assert len([1 for b in endpoint.bodies if "not sent" in json.dumps(b)]) == 0


@pytest.mark.parametrize("sig, status", [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP), (signal.SIGABRT, -signal.SIGABRT), (signal.SIGSEGV, -signal.SIGSEGV)])
def test_the_terminal_is_as_before_whatever_ends_it(endpoint, sig, status):  # noqa: F811
    t = Terminal("chat", "--no-history", "--url", endpoint.url, env={"ASAN_OPTIONS": "detect_leaks=0:handle_segv=0:handle_abort=0"})
    keep = os.dup(t.fd)                                   # the other side of the same terminal
    before = termios.tcgetattr(keep)
    editor_here(t)
    assert not termios.tcgetattr(keep)[3] & termios.ICANON, "it is edited on"
    os.kill(t.pid, sig)
    assert t.end() == status
    after = termios.tcgetattr(keep)
    os.close(keep)
    assert after[3] & termios.ICANON and after[3] & termios.ECHO and after[:3] == before[:3]


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory):
    """Random weights, as many as take a while to read a prompt with."""
    if "san" in os.path.basename(os.path.dirname(TENON)):
        pytest.skip("sanitizers make it minutes")
    path = tmp_path_factory.mktemp("model") / "random.gguf"
    subprocess.run([TENON, "debug", "random-model", "--shape", "lfm2-350m", "--type", "Q4_0", "--vocab", "models/tenon.gguf", str(path)], check=True, capture_output=True, timeout=120)
    return path


def test_a_line_says_how_far_the_reading_is_and_ctrl_c_ends_it(slow_model):
    t = Terminal("chat", "--no-history", "-m", slow_model, "--max-tokens", 2)
    t.wait(r"random\.gguf,\s+Q4_0,\s+context\s+32768,\s+.*0\s+tools,\s+loaded\s+in.*> ")
    t.type(" ".join("word%d" % i for i in range(300)) + "\r")
    t.wait(r"s\s+to\s+first.*> ", 120)
    seconds = float(re.search(r"(\d+\.\d\d)\s+s\s+to\s+first", t.text).group(1))
    if seconds > 1.2:                                    # else this machine reads too fast to be watched
        assert re.search(r"\r\x1b\[2m[⠀-⣿] reading (512|1 024)/1 \d\d\d tokens \d+\.\d s\x1b\[0m\x1b\[K", t.text), t.text[-500:]
        t.type("/clear\r")
        t.wait("begins anew.*> ")
        t.type(" ".join("other%d" % i for i in range(300)) + "\r")
        t.wait("waiting for the model|reading ")
        t.type("\x03")
        t.wait(r"stopped \(interrupted\).*> ", 60)
    assert re.search(r"prompt\s+1\s+\d\d\d\s+\(0\s+cached\)\s+·\s+2\s+tok\s+out\s+·\s+\d+\s+tok/s\s+read\s+·\s+\d+\s+tok/s\s+write", t.text), t.text[-600:]
    t.type("\x15/exit\r")
    assert t.end() in (0, 130)


def test_waiting_is_shown_and_taken_away(endpoint):  # noqa: F811
    endpoint.gate, endpoint.text = threading.Event(), "f"
    t = Terminal("chat", "--no-history", "--url", endpoint.url)
    t.wait("> ")
    t.type("say it\r")
    t.wait(r"\r\x1b\[2m[⠀-⣿] waiting for the model 0\.[3-9] s\x1b\[0m\x1b\[K")
    t.wait(r"waiting for the model 0\.[5-9] s")
    endpoint.gate.set()
    t.wait(r"\r\x1b\[Kf.*tok out.*> ")
    t.type("/exit\r")
    assert t.end() == 0


# ---- how tenon run ends ----

def run(*args, env=None, stdin=""):
    return subprocess.run([TENON, "run", "--no-history", *map(str, args)], input=stdin, capture_output=True, text=True, timeout=60, env=dict(os.environ, **(env or {})))


def fails(tmp_path):
    return write(tmp_path / "fails.json", {"commands": {"count_lines": {"argv": ["false"], "approve": "allow", "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}}}})


STATUSES = [("answer", 0), ("error", 1), ("usage", 2), ("bound", 3), ("denied", 4), ("failed", 5), ("unsure", 6), ("interrupted", 130)]


@pytest.mark.parametrize("how, status", STATUSES)
def test_exit_statuses_of_run(endpoint, tmp_path, how, status):  # noqa: F811
    endpoint.text = "fine"
    url = ["--url", endpoint.url]
    if how == "answer":
        p = run(*url, "x")
        assert p.stdout == "fine\n" or p.stdout == "fine"
    elif how == "error":
        p = run("--url", "http://127.0.0.1:9/v1", "x")
    elif how == "usage":
        p = run("--approve", "some", "x")
    elif how == "bound":
        endpoint.call, endpoint.always = ("count_lines", {"path": "README.md"}), True
        p = run(*url, "--tools", TOOLS, "--max-turns", 2, "x")
        assert "max_turns" in p.stderr or "loop_detected" in p.stderr
    elif how == "denied":
        endpoint.call = ("write_note", {"text": "x"})
        p = run(*url, "--tools", TOOLS, "x")
    elif how == "failed":
        endpoint.call = ("count_lines", {"path": "README.md"})
        p = run(*url, "--tools", fails(tmp_path), "x")
        assert "last tool failed" in p.stderr
    elif how == "unsure":
        p = run("--max-tokens", 60, "--min-confidence", 1, "--tools", TOOLS, "how many lines has README.md?")
    else:
        endpoint.gate = threading.Event()
        q = subprocess.Popen([TENON, "run", "--no-history", *url, "x"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert endpoint.half.wait(30)
        time.sleep(0.2)
        q.send_signal(signal.SIGINT)
        out, err = q.communicate(timeout=30)
        endpoint.gate.set()
        p = subprocess.CompletedProcess(q.args, q.returncode, out, err)
    assert p.returncode == status, (p.stdout, p.stderr)
    assert "\x1b" not in p.stdout + p.stderr and (status in (0, 5) or p.stderr.strip())


def test_errors_say_what_to_do(endpoint, tmp_path):  # noqa: F811
    assert "/no/such.gguf: No such file or directory; a model is a GGUF file or" in run("-m", "/no/such.gguf", "x").stderr
    (tmp_path / "x.gguf").write_text("no model" * 9)
    assert "not a GGUF file" in run("-m", tmp_path / "x.gguf", "x").stderr
    p = run("--attach", TOOLS, "x")
    assert p.returncode == 2 and "--tools-builtin python offers it" in p.stderr
    p = run("--tools-builtin", "python", "--interpreter-data", "/", "x")
    assert p.returncode == 1 and ("more than files of yours" in p.stderr or "not offered" in p.stderr)
