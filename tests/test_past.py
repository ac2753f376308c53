"""Conversations that go on: tenon chat --resume, /history, /edit N, /undo, from a store and from JSON Lines; and a program that was
killed in the middle. An endpoint with fixed answers stands in for the model, so that what it was asked can be looked at."""
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_agent_cli import TENON, TOOLS, Terminal, own_state, write  # noqa: F401
from test_terminal import endpoint, pytestmark  # noqa: F401

if "transcripts: yes" not in subprocess.run([TENON, "--version"], capture_output=True, text=True).stdout:
    pytest.skip("built without SQLite", allow_module_level=True)


def chat(endpoint, *args, lines=()):  # noqa: F811
    p = subprocess.run([TENON, "chat", "--url", endpoint.url, "--tools", TOOLS, *map(str, args)], input="".join(l + "\n" for l in lines), capture_output=True, text=True, timeout=60)
    return p.returncode, p.stdout, p.stderr


def said(endpoint):  # noqa: F811
    """The last request's messages, shortened."""
    return [(m["role"], m.get("content")) for m in endpoint.bodies[-1]["messages"]]


def test_it_goes_on_where_it_ended(endpoint):  # noqa: F811
    endpoint.text = "one"
    chat(endpoint, "--system", "Be brief.", lines=["first", "second", "/undo"])
    endpoint.text = "two"
    rc, out, err = chat(endpoint, "--resume", lines=["third"])
    assert rc == 0 and "conversation 1 goes on, 3 messages" in err, err
    assert said(endpoint) == [("system", "Be brief."), ("user", "first"), ("assistant", "one"), ("user", "third")]
    chat(endpoint, lines=["another one"])
    rc, out, err = chat(endpoint, "--resume", 1, lines=["/retry", "/system off", "fourth", "/export json"])
    assert "conversation 1 goes on, 5 messages" in err
    assert said(endpoint) == [("user", "first"), ("assistant", "one"), ("user", "third"), ("assistant", "two"), ("user", "fourth")]
    rc, out, err = chat(endpoint, "--resume", 1, lines=["/export json"])
    assert [m["content"] for m in json.loads(out)] == ["first", "one", "third", "two", "fourth", "two"]
    rc, out, err = chat(endpoint, "--resume", 1, "--system", "Sing.", lines=["/export json"])
    assert json.loads(out)[0] == {"role": "system", "content": "Sing."}, "an option counts from now on"
    rc, out, err = chat(endpoint, "--resume", 1, lines=["/clear", "new", "/export json"])
    assert [m["content"] for m in json.loads(out[out.index("["):])] == ["Sing.", "new", "two"]


def test_calls_results_and_what_was_cut_come_back(endpoint, tmp_path):  # noqa: F811
    big = tmp_path / "big.sh"
    big.write_text("#!/bin/sh\nseq 1 40000\n")
    big.chmod(0o755)
    tools = write(tmp_path / "t.json", {"commands": {"numbers": {"argv": [str(big)], "approve": "allow", "max_output": 1 << 20}}})
    endpoint.call, endpoint.text = ("numbers", {}), "many"
    chat(endpoint, "--tools", tools, lines=["count"])
    side, = (tmp_path / "state" / "tenon" / "transcripts.db.d").iterdir()
    assert side.stat().st_size > 64 << 10 and oct(side.stat().st_mode & 0o777) == "0o600"
    endpoint.call = None
    rc, out, err = chat(endpoint, "--tools", tools, "--resume", lines=["/show 1", "go on"])
    assert "39999\n40000" in err, "the result in full"
    m = endpoint.bodies[-1]["messages"]
    assert [x["role"] for x in m] == ["user", "assistant", "tool", "assistant", "user"] and "full output: result:1" in m[2]["content"]
    assert "read_result" in [t["function"]["name"] for t in endpoint.bodies[-1]["tools"]], "the model may still read on"
    endpoint.call = ("numbers", {})
    chat(endpoint, "--tools", tools, "--resume", lines=["count again"])
    ids = [c["id"] for x in endpoint.bodies[-1]["messages"] for c in x.get("tool_calls") or []]
    assert len(ids) == len(set(ids)) == 2, "numbers of calls go on"


def test_killed_while_a_tool_ran(endpoint, tmp_path):  # noqa: F811
    tools = write(tmp_path / "t.json", {"commands": {"wait": {"argv": ["sh", "-c", "touch " + str(tmp_path / "runs") + "; sleep 60"], "approve": "allow"}}})
    endpoint.call = ("wait", {})
    p = subprocess.Popen([TENON, "chat", "--url", endpoint.url, "--tools", str(tools)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    p.stdin.write(b"wait\n")
    p.stdin.flush()
    until = time.time() + 30
    while not (tmp_path / "runs").exists():
        assert time.time() < until
        time.sleep(0.05)
    p.send_signal(signal.SIGKILL)
    p.wait(20)
    endpoint.call, endpoint.text = None, "well"
    rc, out, err = chat(endpoint, "--resume", lines=["and now?"])
    assert rc == 0, err
    m = endpoint.bodies[-1]["messages"]
    assert [x["role"] for x in m] == ["user", "assistant", "tool", "user"] and "ended before there was a result" in m[2]["content"]


def test_json_lines_go_on_too(endpoint, tmp_path):  # noqa: F811
    record = tmp_path / "r.jsonl"
    endpoint.text = "one"
    chat(endpoint, "--transcript", record, lines=["first"])
    chat(endpoint, "--transcript", record, "--resume", lines=["second"])
    assert said(endpoint) == [("user", "first"), ("assistant", "one"), ("user", "second")]
    rows = [json.loads(l) for l in record.read_text().splitlines()]
    assert [r["n"] for r in rows] == list(range(len(rows))) and [r["body"]["content"] for r in rows if r["kind"] == "message"] == ["first", "one", "second", "one"]


@pytest.mark.parametrize("args, words, status", [(["--resume"], "no conversation is recorded yet", 1), (["--resume", "7"], "there is no conversation 7", 1), (["--resume", "x"], "no number", 2),
                                                 (["7"], "--resume ID", 2), (["--resume", "--no-history"], "one of them", 2)])
def test_what_cannot_go_on(endpoint, args, words, status):  # noqa: F811
    rc, out, err = chat(endpoint, *args)
    assert rc == status and words in err and len(err.strip().splitlines()) == 1, err


def test_meta_says_under_which_conditions(endpoint, tmp_path):  # noqa: F811
    subprocess.run([TENON, "run", "--max-tokens", "4", "--temperature", "0.5", "--tools", TOOLS, "hello"], capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    db = sqlite3.connect(tmp_path / "state" / "tenon" / "transcripts.db")
    meta = json.loads(db.execute("SELECT body FROM event WHERE kind='meta'").fetchone()[0])
    assert meta["model"] == "embedded" and meta["sampling"] == {"max_tokens": 4, "temperature": 0.5} and meta["adapter"] == []
    assert re.fullmatch("[0-9a-f]{16}", meta["weights_hash"]) and re.fullmatch("[0-9a-f]{16}", meta["tools_hash"]) and len(meta["tools"]) == 3 and meta["version"]
    title, model, tokens = db.execute("SELECT title, model, tokens FROM session").fetchone()
    assert (title, model) == ("hello", "embedded") and tokens > 0


def test_history_picks(endpoint):  # noqa: F811
    endpoint.text = "**blue** it is"
    chat(endpoint, lines=["which colour?"])
    endpoint.text = "seven"
    chat(endpoint, lines=["which number?"])
    t = Terminal("chat", "--url", endpoint.url)
    t.wait("> ")
    t.type("/history colour\r")
    t.wait(r"1  \d{4}-\d\d-\d\d \d\d:\d\d +\d+ tokens  which colour\?\r\n.*go on with, Enter for none: ")
    t.type("5\n")
    t.wait("'5' is not in the list.*> ")
    t.type("/history\r")
    t.wait(r"2  .*which number\?.*1  .*which colour\?.*Enter for none: ")
    t.type("1\n")
    t.wait(r"> which colour\?.*\x1b\[1mblue.*it is.*conversation 1 goes on, 2 messages.*> ")
    t.type("and now?\r")
    t.wait(r"tok\s+out.*> ")
    assert [c for r, c in said(endpoint)] == ["which colour?", "**blue** it is", "and now?"]
    t.type("/history nothing like it\r")
    t.wait("no recorded conversation holds these words.*> ")
    t.type("/exit\r")
    assert t.end() == 0
    rc, out, err = chat(endpoint, "--resume", 1, lines=["/export json"])
    assert [m["content"] for m in json.loads(out)] == ["which colour?", "**blue** it is", "and now?", "seven"], "what was said after picking belongs to it"


def test_edit_n(endpoint, tmp_path):  # noqa: F811
    editor = tmp_path / "edit.sh"
    editor.write_text("#!/bin/sh\nsed -i s/one/ONE/ \"$1\"\n")
    editor.chmod(0o755)
    endpoint.text = "fine"
    t = Terminal("chat", "--url", endpoint.url, env={"EDITOR": str(editor), "VISUAL": ""})
    t.wait("> ")
    for line in ("question one", "question two", "/edit 1"):
        t.type(line + "\r")
        t.wait(r"tok\s+out.*> ")
    assert said(endpoint) == [("user", "question ONE")], "what followed is dropped"
    t.type("/edit 3\r")
    t.wait("there is no question 3.*> ")
    t.type("/exit\r")
    assert t.end() == 0
    rc, out, err = chat(endpoint, "--resume", lines=["/export md"])
    assert out == "**user**\n\nquestion ONE\n\n**assistant**\n\nfine\n\n"


def test_nothing_is_kept(endpoint, tmp_path):  # noqa: F811
    endpoint.text = "fine"
    rc, out, err = chat(endpoint, "--no-history", lines=["a secret", "/history", "/export jsonl"])
    assert rc == 0 and "nothing is recorded" in err and not (tmp_path / "state").exists()


def test_secrets_stay_out_of_the_record(endpoint, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("MY_TOKEN", "tok-12345-secret")
    tools = write(tmp_path / "t.json", {"commands": {"show": {"argv": ["echo", "${env:MY_TOKEN}"], "approve": "allow", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}})
    endpoint.call, endpoint.text = ("show", {"a": "tok-12345-secret"}), "it was tok-12345-secret"
    chat(endpoint, "--tools", tools, lines=["what is tok-12345-secret?"])
    stored = b"".join(p.read_bytes() for p in (tmp_path / "state" / "tenon").iterdir() if p.is_file())
    assert b"tok-12345-secret" not in stored and stored.count(b"${env:MY_TOKEN}") >= 5
