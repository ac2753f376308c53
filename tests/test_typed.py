"""What a line typed into `tenon chat` may hold beside text: @FILE, !COMMAND, words that Tab completes, an editor; and that
none of it counts in a pipe."""
import os
import re
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_agent_cli import TENON, TOOLS, Terminal, own_state  # noqa: F401
from test_terminal import endpoint, pytestmark  # noqa: F401


def at_the_prompt(t, before=""):
    t.wait(before + "> ")
    time.sleep(0.3)                                                       # the prompt is there a little before the editor is


@pytest.fixture
def chat(endpoint, tmp_path, monkeypatch):  # noqa: F811
    """A chat in a folder of its own, with an endpoint that says "fine"."""
    opened, endpoint.text = [], "fine"
    (tmp_path / "notes.txt").write_text("buy milk\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.bin").write_bytes(b"\xff\xfe\0")
    tools = os.path.abspath(TOOLS)
    monkeypatch.setattr("test_agent_cli.TENON", os.path.abspath(TENON))
    monkeypatch.chdir(tmp_path)

    def start(*args, **env):
        t = Terminal("chat", "--no-history", "--url", endpoint.url, "--tools", tools, *args, env=env)
        opened.append(t)
        at_the_prompt(t)
        return t
    yield start
    for t in opened:
        t.type("\x15/exit\r")
        assert t.end() == 0


def last_question(endpoint):  # noqa: F811
    return [m["content"] for m in endpoint.bodies[-1]["messages"] if m["role"] == "user"][-1]


def say(t, text):
    t.type(text + "\r")
    at_the_prompt(t, "tok out.*")


def test_a_file_comes_with_the_message(chat, endpoint):  # noqa: F811
    t = chat()
    say(t, "what is in @notes.txt, and who is me@example.org or @nobody?")
    assert last_question(endpoint) == "what is in @notes.txt, and who is me@example.org or @nobody?\n\nnotes.txt:\n```\nbuy milk\n```"
    assert "with 1 file, " in t.text


@pytest.mark.parametrize("line, words", [("see @data/a.bin", "it is no text; nothing was sent"), ("see @big.txt", "but a message takes 262144 of files; nothing was sent")])
def test_files_that_do_not_come(chat, endpoint, tmp_path, line, words):  # noqa: F811
    (tmp_path / "big.txt").write_text("x" * 300000)
    t = chat()
    t.type(line + "\r")
    t.wait(words + ".*> ")
    os.mkfifo(tmp_path / "pipe")
    say(t, "see @pipe and @data")                                         # neither is a file: words
    assert [b["messages"][-1]["content"] for b in endpoint.bodies] == ["see @pipe and @data"]


def test_a_shell_only_where_it_is_allowed(chat, endpoint):  # noqa: F811
    t = chat()
    t.type("!echo $((6*7))\r")
    t.wait("refused without --shell.*> ")
    say(t, "!!important")
    assert last_question(endpoint) == "!important"
    t = chat("--shell")
    t.type("!echo $((6*7)); exit 3\r")
    t.wait("42\r\n.*ended with status 3.*> ")
    t.type("!echo begun; sleep 60\r")
    t.wait("begun\r\n")
    time.sleep(0.3)
    t.type("\x03")                                                        # for the command, not for us
    t.wait("status 130.*> ")
    say(t, "hello")
    assert [m["content"] for m in endpoint.bodies[-1]["messages"]] == ["hello"], "the model is told nothing of it"


def test_the_last_question_in_an_editor(chat, endpoint, tmp_path):  # noqa: F811
    editor = tmp_path / "edit.sh"
    editor.write_text("#!/bin/sh\nsed -i s/milk/bread/ \"$1\"; stat -c %a \"$1\" > mode\n")
    editor.chmod(0o755)
    t = chat(EDITOR=str(editor), VISUAL="")
    say(t, "buy milk")
    t.type("/edit\r")
    t.wait(r"fine.*tok out.*> ")
    assert [m["content"] for m in endpoint.bodies[-1]["messages"] if m["role"] == "user"] == ["buy bread"] and (tmp_path / "mode").read_text() == "600\n"
    t.type("/edit\r")
    t.wait("nothing was changed, and nothing is sent.*> ")
    editor.write_text("#!/bin/sh\nexit 1\n")
    t.type("/edit\r")
    t.wait(r"ended\s+with\s+status\s+1;\s+VISUAL\s+or\s+EDITOR\s+name\s+another.*> ")
    say(t, "/edit in other words")
    assert last_question(endpoint) == "in other words" and not [f for f in os.listdir("/tmp") if f.startswith("tenon-edit-")]


@pytest.mark.parametrize("typed, becomes", [
    ("/expo\t", "/export"), ("/tools all\t", "/tools allow "), ("/tools allow cou\t", "/tools allow count_lines"), ("/tools deny w\t", "/tools deny write_note"),
    ("/mcp re\t", "/mcp restart "), ("/export m\t", "/export md"), ("/load no\t", "/load notes.txt"), ("/model emb\t", "/model embedded"),
    ("see @no\t", "see @notes.txt"), ("see @da\t\t", "see @data/a.bin"), ("me@no\t", "me@no"), ("plain no\t", "plain no")])
def test_tab(chat, typed, becomes):
    t = chat()
    t.type(typed + "|")
    t.wait(r"\|")
    shown = t.text.rsplit("> ", 1)[1]
    assert replayed(shown) == becomes + "|", (shown, replayed(shown))


def replayed(shown):
    """What a terminal would show on the line: backspaces and what is written over."""
    cells, at = [], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", shown, re.S):
        if part == "\b":
            at -= 1
        elif part == "\r" or part == "\a" or part.startswith("\x1b"):
            continue
        else:
            cells[at:at + 1] = [part]
            at += 1
    return "".join(cells).strip()


def test_tab_lists_what_could_follow(chat):
    t = chat()
    t.type("/s\t")
    t.wait("/system  /seed  /save  /show  /stats")


def test_debug_shows_what_the_model_reads():
    t = Terminal("chat", "--max-tokens", 4, "--no-history")
    t.wait("> ")
    t.type("/debug\r")
    t.wait("nothing has been said yet.*> ")
    t.type("hello there\r")
    t.wait(r"tok out.*> ")
    t.type("/debug\r")
    t.wait(r"<\|im_start\|>user\r\nhello there<\|im_end\|>.*> ")
    t.type("/exit\r")
    assert t.end() == 0


def test_a_pipe_names_no_files_and_runs_nothing(endpoint, tmp_path, monkeypatch):  # noqa: F811
    tenon = os.path.abspath(TENON)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("secret\n")
    endpoint.text = "fine"
    p = subprocess.run([tenon, "chat", "--no-history", "--shell", "--url", endpoint.url], input="!touch here\nread @notes.txt\n/edit\n", capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stderr
    assert [b["messages"][-1]["content"] for b in endpoint.bodies] == ["!touch here", "read @notes.txt"]
    assert not (tmp_path / "here").exists() and "an editor needs a terminal" in p.stderr
