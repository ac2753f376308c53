"""The terminal chat: words are broken where the window ends, also while it changes; everything of issue's list in tmux, as a
person would see it. An endpoint with fixed answers stands in for the model."""
import fcntl
import http.server
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_agent_cli import TENON, TOOLS, Terminal, own_state  # noqa: F401 (own_state keeps the user's state out)

pytestmark = pytest.mark.skipif("http client: yes" not in subprocess.run([TENON, "--version"], capture_output=True, text=True).stdout, reason="built without libcurl")

WORDS = ("The quick brown fox jumps over the lazy dog while seven wizards quietly mix **strong potions** of `nightshade` and a little extraordinarily long "
         "Donaudampfschifffahrtsgesellschaft for good measure. ") * 2
WIDE = "日本語の文章は空白がなくても折り返されます。" * 4
CODE = "```\nint main(void)  {  return 0; }  // " + "x" * 30 + "\n```\n"


class Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        s = self.server
        s.bodies.append(body)
        last = body["messages"][-1]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        if s.call and (last["role"] == "user" or s.always):
            call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": s.call[0], "arguments": json.dumps(s.call[1])}}
            return self.deltas([{"role": "assistant", "tool_calls": [call]}], "tool_calls")
        pieces = re.findall(r"(?s).{1,7}", s.text)
        half = len(pieces) // 2
        self.deltas([{"role": "assistant", "content": p} for p in pieces[:half]], None)
        if s.gate:
            s.half.set()
            s.gate.wait(60)
        self.deltas([{"content": p} for p in pieces[half:]], "stop")

    def deltas(self, deltas, reason):
        chunks = [{"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
        if reason:
            chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        self.wfile.write(("".join("data: %s\n\n" % json.dumps(c) for c in chunks) + ("data: [DONE]\n\n" if reason else "")).encode())
        self.wfile.flush()

    def log_message(self, *args):
        pass


@pytest.fixture
def endpoint():
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    s.daemon_threads = True
    s.text, s.call, s.always, s.gate, s.half, s.bodies = WORDS, None, False, None, threading.Event(), []
    s.url = "http://127.0.0.1:%d/v1" % s.server_port
    threading.Thread(target=s.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield s
    s.shutdown()
    s.server_close()


def resize(fd, columns, rows=24):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def columns(s):
    return sum(2 if 0x2e80 <= ord(c) < 0xa000 or 0xff00 <= ord(c) < 0xff61 or 0x3000 <= ord(c) < 0x3100 else 1 for c in s)


def answer_lines(text):
    """The lines of the answer: between the question's echo and the line of numbers, without colours."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")
    return plain[plain.rindex("say it\n") + 7:plain.rindex("prompt ")].rstrip("\n").split("\n")


def ask(endpoint, width, *args, env=None, before=None):
    t = Terminal("chat", "--no-history", "--url", endpoint.url, *args, env=dict({"COLUMNS": ""}, **(env or {})))
    resize(t.fd, width)
    t.wait("> ")
    t.type("say it\r")
    if before:
        before(t)
    t.wait(r"tok\s+out")
    t.wait("> ")
    t.type("/exit\r")
    assert t.end() == 0
    return answer_lines(t.text)


@pytest.mark.parametrize("width", [20, 80, 200])
def test_words_are_broken_where_the_window_ends(endpoint, width):
    lines = ask(endpoint, width)
    plain = WORDS.replace("**", "").replace("`", "")
    assert " ".join(" ".join(lines).split()) == " ".join(plain.split()), lines
    for line, following in zip(lines, lines[1:]):
        too_long = len(line.split(" ")[0]) > width           # left to the terminal, which goes on in its next line
        end = columns(line) % width if too_long else columns(line)
        assert end <= width, (width, line)
        assert end + 1 + len(following.split(" ")[0]) > width, "no line ends too early: %r %r" % (line, following)


def test_wide_characters_and_code(endpoint):
    endpoint.text = WIDE
    lines = ask(endpoint, 21)
    assert "".join(lines) == WIDE and all(18 < columns(l) <= 21 for l in lines[:-1])
    endpoint.text = CODE
    lines = ask(endpoint, 40)
    assert "int main(void)  {  return 0; }  // " + "x" * 30 in lines, "code is left as it is"


def test_the_window_changes_while_it_is_written(endpoint):
    endpoint.gate = threading.Event()

    def narrower(t):
        assert endpoint.half.wait(30)
        time.sleep(0.3)
        resize(t.fd, 30)
        endpoint.gate.set()
    lines = ask(endpoint, 100, before=narrower)
    assert max(map(columns, lines[:3])) > 60 and all(columns(l) <= 30 or len(l.split(" ")[0]) > 30 for l in lines[-4:]), lines


def test_a_pipe_gets_the_bytes_as_they_are(endpoint):
    p = subprocess.run([TENON, "chat", "--no-history", "--url", endpoint.url], input="say it\n", capture_output=True, text=True, timeout=120, env=dict(os.environ, COLUMNS="20"))
    assert p.stdout == WORDS + "\n" and "\x1b" not in p.stderr


def test_a_paste_of_a_mebibyte(endpoint):
    endpoint.text = "read"
    t = Terminal("chat", "--no-history", "--url", endpoint.url, env={"TERM": "dumb"})
    t.wait("> ")
    line = "x" * 1000
    text = '"""\n' + (line + "\n") * 1050 + '"""\n'

    def feed():
        for i in range(0, len(text), 1000):
            os.write(t.fd, text[i:i + 1000].encode())
    threading.Thread(target=feed, daemon=True).start()
    t.wait(r"read\r\n", 90)
    t.type("/exit\n")
    assert t.end() == 0
    assert endpoint.bodies[0]["messages"][-1]["content"] == (line + "\n") * 1049 + line


# ---- tmux ----

class Tmux:
    def __init__(self, width, height, *argv):
        if not shutil.which("tmux"):
            pytest.skip("tmux is not here (make deps installs it)")
        self.base = ["tmux", "-L", "tenon-%d-%d" % (os.getpid(), time.monotonic_ns()), "-f", "/dev/null"]
        self.run("new-session", "-d", "-x", str(width), "-y", str(height), "env", "LC_ALL=C.UTF-8", "ASAN_OPTIONS=detect_leaks=0", "XDG_STATE_HOME=" + os.environ["XDG_STATE_HOME"],
                 "TENON_NOTES=" + os.environ["TENON_NOTES"], TENON, *argv)

    def run(self, *args):
        return subprocess.run(self.base + list(args), capture_output=True, text=True, timeout=30, env=dict(os.environ, LC_ALL="C.UTF-8")).stdout

    def keys(self, *keys):
        self.run("send-keys", *keys)

    def type(self, text):
        self.run("send-keys", "-l", text)
        self.run("send-keys", "Enter")

    def screen(self, colours=False):
        return self.run("capture-pane", "-p", "-S", "-200", *(["-e"] if colours else []))

    def wait(self, pattern, seconds=40):
        until = time.time() + seconds
        while not re.search(pattern, self.screen(), re.S):
            assert time.time() < until, "no %r on\n%s" % (pattern, self.screen())
            time.sleep(0.1)

    def gone(self, seconds=30):
        until = time.time() + seconds
        while subprocess.run(self.base + ["has-session"], capture_output=True).returncode == 0:
            assert time.time() < until, self.screen()
            time.sleep(0.1)

    def close(self):
        subprocess.run(self.base + ["kill-server"], capture_output=True)


@pytest.fixture
def tmux():
    opened = []

    def start(*args):
        opened.append(Tmux(*args))
        return opened[-1]
    yield start
    for t in opened:
        t.close()


def test_a_conversation_in_tmux(endpoint, tmux, tmp_path):
    """Streaming, colour, wrapping, a call as it is written, approval, commands, history, several lines, the numbers, leaving."""
    endpoint.call = ("write_note", {"text": "buy milk"})
    endpoint.text = "Noted: **buy milk** is written down, and here are some more words that need a second line."
    t = tmux(60, 40, "chat", "--tools", TOOLS, "--url", endpoint.url)
    t.wait(r"tools; /help\s+lists\s+commands.*\n>")
    t.type("note that I should buy milk")
    t.wait(r'▸ write_note .*"buy milk".*wants to run.*note\.sh.*allow\?')
    t.type("y")
    t.wait(r"✓.*\"ok\":true.*Noted: buy milk is written down.*tok out.*s to first.*\n>")
    assert (tmp_path / "notes.txt").read_text() == "buy milk\n"
    assert all(len(l) <= 60 for l in t.screen().split("\n")) and "some more\nwords that" in t.screen(), t.screen()
    assert "\x1b[1mbuy milk" in t.screen(colours=True), "bold"
    t.type("/tools")
    t.wait("count_lines.*disk_usage.*write_note")
    endpoint.call, endpoint.text = None, "fine"
    t.keys("Up", "Up")
    time.sleep(0.3)
    t.keys("Enter")
    t.wait(r"note that I should buy milk\n.*note that I should buy milk\n.*fine")
    assert endpoint.bodies[-1]["messages"][-1]["content"] == "note that I should buy milk", "from the history"
    t.wait(r"fine\n.*s to first.*\n>")
    endpoint.text = "both of them"
    t.type("first \\")
    t.type("second")
    t.wait("both of them.*tok out.*\n>")
    assert endpoint.bodies[-1]["messages"][-1]["content"] == "first \nsecond"
    t.type("/nonsense")
    t.wait("no command /nonsense")
    t.keys("C-d")
    t.gone()


def test_ctrl_c_in_tmux(endpoint, tmux):
    endpoint.gate = threading.Event()
    t = tmux(80, 24, "chat", "--no-history", "--url", endpoint.url)
    t.wait(r"lists\s+commands.*\n>")
    t.type("say it")
    assert endpoint.half.wait(30)
    t.wait("quick")
    t.keys("C-c")
    t.wait(r"stopped \(interrupted\)", 15)                # the endpoint is silent and would be for longer
    endpoint.gate.set()
    time.sleep(2.2)                                       # later than that it is a first one again
    t.keys("C-c")
    t.wait("again, or Ctrl-D, leaves")
    t.keys("C-c")
    t.gone()
