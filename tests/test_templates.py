"""Our own templates print, byte for byte, what the published texts of their families print.

Generated conversations: ours through tenon, the published text of ../shared through the jinja2 package as the
transformers library sets it up; rows that the published text cannot take are left out. `test_templates.py --all`
takes 300 conversations for each (make test-shared); cases of our own are in test_prompt.c. TENON names the binary."""
import os, random, sys, unittest

from test_jinja import ROOT, by_jinja, by_tenon, conversation, published

# Ours, theirs, and how arguments of past calls are given: as text or as a mapping.
PAIRS = [
    ("lfm2", "LFM2-8B-A1B.jinja", "text"), ("lfm2.5", "LFM2.5-Instruct.jinja", "text"), ("lfm2.5-moe", "LFM2.5-8B-A1B.jinja", "mapping"),
    ("functionary-v2", "v2.txt", "text"), ("functionary-v2.llama3", "v2.llama3.txt", "text"), ("functionary-v3.2", "v3.llama3.txt", "text"),
    ("functionary-v3.1", "v3-llama3.1.txt", "text"), ("functionary-v4r", "v3-llama3.1-reasoning.txt", "text"),
    ("llama3.1", "meta-llama-Llama-3.1-8B-Instruct.jinja", "mapping"),
    ("hermes", "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use.jinja", "text"), ("hermes", "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use.jinja", "mapping"),
    ("qwen2.5", "Qwen-Qwen2.5-7B-Instruct.jinja", "mapping"), ("qwen2.5", "Qwen-Qwen2.5-7B-Instruct.jinja", "text"),
]


def plain(message):
    """Ours read lists of parts and the role developer, theirs print what Python makes of them."""
    content = message.get("content")
    if isinstance(content, list): content = "".join(part["text"] for part in content)
    role = "system" if message["role"] == "developer" else message["role"]
    return {**message, "role": role, **({"content": content} if "content" in message else {})}


def fits(request, arguments, most):
    """Arguments in that shape, and no more calls in a message than the family writes."""
    for m in request["messages"]:
        calls = m.get("tool_calls") or []
        if len(calls) > most or any(isinstance(c["function"]["arguments"], str) != (arguments == "text") for c in calls):
            return False
    return True


def requests(ours, arguments, n):
    r = random.Random(ours + arguments)
    while n:
        request = conversation(r)
        request["messages"] = [plain(m) for m in request["messages"]]
        if not fits(request, arguments, 1 if ours == "llama3.1" else 9): continue
        if ours.startswith("functionary"):
            request["tools"] = (request.get("tools") or []) + r.choice([[], [], [{"type": "code_interpreter"}]])
            if ours.endswith("v4r"): request["tools"] += r.choice([[], [{"type": "reasoning"}]])
        n -= 1
        yield request


def compare(n):
    texts, bad, done = published(), [], 0
    if not texts: raise unittest.SkipTest("the published templates of ../shared are not there")
    for ours, theirs, arguments in PAIRS:
        text = open(os.path.join(ROOT, "templates", ours + ".jinja"), encoding="utf-8").read()
        rows = [(q, by_jinja(texts[theirs], q)) for q in requests(ours, arguments, n)]
        rows = [row for row in rows if row[1] is not None]
        assert len(rows) > n // 4, f"{theirs} renders only {len(rows)} of {n}"
        for (q, want), got in zip(rows, by_tenon([(text, q) for q, _ in rows])):
            if got != want: bad.append((ours, got, want))
        done += len(rows)
    for ours, got, want in bad[:8]:
        k = next((i for i, (a, b) in enumerate(zip(str(got), want)) if a != b), min(len(str(got)), len(want)))
        print(f"{ours}: byte {k}: {str(got)[max(0, k - 50):k + 50]!r} instead of {want[max(0, k - 50):k + 50]!r}", file=sys.stderr)
    assert not bad, f"{len(bad)} of {done} differ"
    return done


def test_own_templates_print_what_the_published_do():
    compare(12)


if __name__ == "__main__":
    try:
        print(f"own templates: {compare(300 if '--all' in sys.argv else 12)} conversations, as the published ones print them")
    except unittest.SkipTest as why:
        print("skipped:", why)
