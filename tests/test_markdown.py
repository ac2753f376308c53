"""Answers in a terminal: Markdown as it looks on the screen, and the codes behind it. An endpoint with fixed answers stands in
for the model."""
import os
import re
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_agent_cli import TENON, Terminal, own_state  # noqa: F401
from test_terminal import columns, endpoint, pytestmark, resize  # noqa: F401

TABLE = "| City | Temperature | Note |\n|:-----|-----:|------|\n| Oslo | 4 | cold, and **wet** |\n| Constantinople | 21 | `sunny` with birds \\| bees |\n| 東京 | 15 | 曇り |\n"
LOOKS = [
    ("a heading", "# One\n## Two\ntext", ["One", "Two", "text"]),
    ("no heading", "#hashtag and ####### seven", ["#hashtag and ####### seven"]),
    ("a list hangs", "- one two three four five six seven eight\n  - inner item that is as long as that\n* star\n+ plus",
     ["• one two three four five six seven", "  eight", "  • inner item that is as long as that", "• star", "• plus"]),
    ("numbers hang", "1. one two three four five six seven eight\n12) two", ["1. one two three four five six seven", "   eight", "12) two"]),
    ("no list", "-no item\n*no* item\n3.14 is pi\n1999 was a year", ["-no item", "*no* item", "3.14 is pi", "1999 was a year"]),
    ("a quotation", "> said by somebody who said more than that\nfree", ["│ said by somebody who said more than", "  that", "free"]),
    ("a rule", "above\n\n---\nbelow", ["above", "", "─" * 40, "below"]),
    ("bold and code", "a **bold** b `co*de*` c", ["a bold b co*de* c"]),
    ("marks that are none", "2 * 3 * 4 and ** and ``x`` ***", ["2 * 3 * 4 and ** and ``x`` ***"]),
    ("bold at the start", "**bold** then\n**Note:** x", ["bold then", "Note: x"]),
    ("a fence", "```python\ndef f():  # c\n    return 1\n```\nafter", ["def f():  # c", "    return 1", "after"]),
    ("a fence in a fence", "````\n```\nx\n```\n````\nafter", ["```", "x", "```", "after"]),
    ("a fence that is not closed", "```\nx = 1", ["x = 1"]),
    ("blanks and marks in code stay", "```\n  a   *b* `c` | d\n\n    # e\n```", ["  a   *b* `c` | d", "", "    # e"]),
    ("a table", TABLE, ["City        │ Temperature │ Note", "────────────┼─────────────┼────────────", "Oslo        │           4 │ cold, and", "            │             │ wet",
                        "Constantino │          21 │ sunny with", "ple         │             │ birds |", "            │             │ bees", "東京        │          15 │ 曇り"]),
    ("a table and text", "|a|b|\n|-|-|\n|1|2|\nend", ["a            │ b", "─────────────┼──", "1            │ 2", "end"]),
    ("a header alone", "|a|b|\n|-|-|\n", ["a            │ b", "─────────────┼──"]),
    ("centred and too few cells", "|a|b|\n|:-:|-|\n|long one|\n|x|", ["   a     │ b", "─────────┼──", "long one │", "   x     │"]),
    ("too many cells", "|a|b|\n|-|-|\n|1|2|3 \\| 4|\n", ["a            │ b", "─────────────┼────────", "1            │ 2|3 | 4"]),
    ("no table", "| only this\nand that\n|a|b|\n|c|d|", ["| only this", "and that", "|a|b|", "|c|d|"]),
    ("control characters", "a\x1b[31mb \x07c\n# h\x1b]0;x\x07\n|a|b|\n|-|-|\n|\x1b[2J|x|\n```c\n\x1b[31m\n```", ["a\\x1b[31mb \\x07c", "h\\x1b]0;x\\x07", "a            │ b", "─────────────┼──",
                                                                                                 "\\x1b[2J      │ x", "\\x1b[31m"]),
]


def screen(text):
    """The lines of a terminal: colours away, a line that was taken back is gone."""
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        line = re.sub(r"\x1b\[[0-9;?]*[mlh]", "", line)
        while True:
            again = re.sub(r"^[^\r]*\r\x1b\[K", "", line)
            if again == line:
                break
            line = again
        lines.append(line.rstrip())
    return lines


def answers(endpoint, texts, width):  # noqa: F811
    """What the screen shows of each answer, and the raw text: between the question and the line of numbers."""
    t = Terminal("chat", "--no-history", "--url", endpoint.url, env={"COLUMNS": ""})
    resize(t.fd, width)
    t.wait("> ")
    out = []
    for text in texts:
        endpoint.text, start = text, len(t.text)
        t.type("say it\r")
        t.wait(r"tok\s+out.*> ")
        shown = t.text[start:]
        shown = shown[shown.index("\n") + 1:shown.rindex("\x1b[2mprompt ")]
        out.append(([l for l in screen(shown) if l not in ("say it", "> say it")], shown))
    t.type("/exit\r")
    assert t.end() == 0
    return out


def test_how_it_looks(endpoint):  # noqa: F811
    for (why, text, expected), (lines, raw) in zip(LOOKS, answers(endpoint, [l[1] for l in LOOKS], 40)):
        while lines and not lines[-1]:
            lines.pop()
        assert lines == expected, (why, raw)


@pytest.mark.parametrize("width", [20, 80, 200])
def test_tables_at_all_widths(endpoint, width):  # noqa: F811
    (lines, raw), = answers(endpoint, [TABLE], width)
    lines = [l for l in lines if l]
    assert all(columns(l) <= width for l in lines), lines
    borders = [[columns(l[:i]) for i, c in enumerate(l) if c in "│┼"] for l in lines]
    for one, following in zip(borders, borders[1:]):
        assert len(one) == 2 and all(a <= b for a, b in zip(one, following)), ("one below the other, or wider for a longer word", lines)
    assert width > 20 or len(set(map(tuple, borders))) == 1, lines
    joined = "".join("".join(l.split("│")[0].split()) for l in lines)
    assert "Constantinople" in joined and "Oslo" in joined
    if width >= 80:
        assert "Constantinople │          21 │ sunny with birds | bees" in lines


def test_a_table_is_seen_while_it_is_written_and_only_its_last_line_is_painted_anew(endpoint):  # noqa: F811
    (lines, raw), = answers(endpoint, [TABLE], 80)
    assert "| Oslo | 4 | cold, and **wet** |" in re.sub(r"\x1b\[[0-9;]*m", "", raw), "its characters as they come"
    assert not re.search(r"\x1b\[\d*[ABCDEFGHJ]", raw), "the cursor never leaves the last line"
    assert raw.count("\r\x1b[K") >= 5, "a line is taken back when it is whole"


CODES = [
    ("# T", "\x1b[1m\x1b[4mT"), ("a **b** c", "a \x1b[0m\x1b[1mb\x1b[0m c"), ("a `b` c", "a \x1b[0m\x1b[36mb\x1b[0m c"),
    ("```python\ndef f(x): # no\n```", "\x1b[35mdef\x1b[0m f(x): \x1b[2m# no"), ("```py\nreturn 'it\\'s' + \"a\" + 3.5\n```", "\x1b[35mreturn\x1b[0m \x1b[32m'it\\'s'\x1b[0m + \x1b[32m\"a\"\x1b[0m + \x1b[33m3\x1b[0m.\x1b[33m5"),
    ("```c\nint a = b / c; // d\n```", "\x1b[35mint\x1b[0m a = b / c; \x1b[2m// d"), ("```js\n/* x\ny */ let z\n```", "\x1b[2m/* x\x1b[0m\x1b[2m\ny */\x1b[0m \x1b[35mlet\x1b[0m z"),
    ("```json\n{\"a\": true, \"n\": -1}\n```", "{\x1b[32m\"a\"\x1b[0m: \x1b[35mtrue\x1b[0m, \x1b[32m\"n\"\x1b[0m: -\x1b[33m1\x1b[0m}"),
    ("```sql\nselect a -- b\n```", "\x1b[35mselect\x1b[0m a \x1b[2m-- b"), ("```sh\nfor x in a; do # c\n```", "\x1b[35mfor\x1b[0m x \x1b[35min\x1b[0m a; \x1b[35mdo\x1b[0m \x1b[2m# c"),
    ("```\nplain 'x'\n```", "\x1b[36mplain 'x'"), ("```klingon\nplain 'x'\n```", "\x1b[36mplain 'x'"),
    ("```c\ndon't\nint x\n```", "don\x1b[32m't\x1b[0m\n\x1b[35mint\x1b[0m x"),
]


@pytest.mark.parametrize("text, codes", CODES)
def test_the_codes(endpoint, text, codes):  # noqa: F811
    endpoint.text = text
    p = subprocess.run([TENON, "chat", "--no-history", "--no-stats", "--url", endpoint.url], input="say it\n", capture_output=True, text=True, timeout=60, env=dict(os.environ, CLICOLOR_FORCE="1", NO_COLOR=""))
    assert codes in p.stdout.replace("\x1b[0m\x1b[0m", "\x1b[0m"), repr(p.stdout)
    assert p.stdout.rstrip("\n").endswith("\x1b[0m"), "nothing stays switched on"


@pytest.mark.parametrize("env, args", [({"NO_COLOR": "1"}, []), ({"TERM": "dumb"}, []), ({}, ["--plain"])])
def test_plain_is_plain(endpoint, env, args):  # noqa: F811
    endpoint.text = TABLE + "# h\n**b** `c`\n"
    t = Terminal("chat", "--no-history", "--no-stats", "--url", endpoint.url, *args, env=dict({"COLUMNS": ""}, **env))
    resize(t.fd, 200)
    t.wait("> ")
    t.type("say it\r")
    t.wait(r"\*\*b\*\* `c`\r\n.*> ")
    t.type("/exit\r")
    assert t.end() == 0
    shown = t.text[t.text.index("say it"):]
    assert "| Oslo | 4 | cold, and **wet** |\r\n" in shown and "# h\r\n" in shown and not re.search(r"\x1b\[[0-9;]*m", shown)


def test_a_pipe_gets_every_byte(endpoint):  # noqa: F811
    endpoint.text = "".join(l[1] + "\n" for l in LOOKS if "\x1b" not in l[1])
    p = subprocess.run([TENON, "run", "--no-history", "--url", endpoint.url, "say it"], capture_output=True, text=True, timeout=60)
    assert p.stdout == endpoint.text and "\x1b" not in p.stderr
