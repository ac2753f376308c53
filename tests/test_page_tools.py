"""The playground with tools that really run on its server: asked first where they ask, pictures shown, stopped, and
bounded. What the model says is not expected; calls are played by a stand-in for the endpoint of the chat."""
import json
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_hands import TOOLS
from test_page import CHROMIUM, Page, axe, browser  # noqa: F401
from serve_client import Server

SAFE = {k: v for k, v in TOOLS["commands"].items() if k != "long"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAADCAYAAAC56t6BAAAAC0lEQVR4nGNgwAUAABsAAQHNSEsAAAAASUVORK5CYII="


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("tools") / "tools.json"
    path.write_text(json.dumps({"commands": SAFE}))
    try:
        s = Server("--tools", path, "--tools-builtin", "python", env={"SECRET_KEY": "hush"})
    except RuntimeError as e:
        pytest.skip("no sandbox here: %s" % e)
    with s:
        yield s


def answer_of(calls, text="Done."):
    """The stream of an answer, as the server writes it."""
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "tenon"}
    timings = {k: 1 for k in ("cache_n", "prompt_n", "prompt_ms", "predicted_n", "predicted_ms", "draft_n", "draft_n_accepted", "forced_n", "queue_ms", "first_token_ms", "mask_ms")}
    chunk = lambda delta, **more: dict(base, choices=[dict({"index": 0, "delta": delta, "finish_reason": None}, **more)])
    out = [chunk({"role": "assistant", "content": None if calls else text})]
    for i, (name, args) in enumerate(calls):
        out.append(chunk({"tool_calls": [{"index": i, "id": "call_%s_%d" % (name, i), "type": "function", "function": {"name": name, "arguments": json.dumps(args)}}]}))
    out.append(dict(chunk({}, finish_reason="tool_calls" if calls else "stop", **({"tool_confidence": [0.9] * len(calls)} if calls else {})), timings=timings))
    return "".join("data: %s\n\n" % json.dumps(c) for c in out) + "data: [DONE]\n\n"


class Played(Page):
    """A page whose model says, turn by turn, what the test wants; [] is an answer. The last is said again and again."""

    def __init__(self, browser, url, turns, **more):
        self.turns, self.requests = list(turns), []
        super().__init__(browser, url, **more)

    def play(self):
        def answer(route):
            body = json.loads(route.request.post_data)
            if not body.get("stream"):
                return route.continue_()
            self.requests.append(body)
            turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
            route.fulfill(status=200, content_type="text/event-stream; charset=utf-8", body=answer_of(turn))
        self.ready()
        self.p.route("**/v1/chat/completions", answer)
        return self

    def send(self, text="go"):
        self.p.fill("#composer", text)
        self.p.press("#composer", "Enter")


@pytest.fixture
def played(browser, server):  # noqa: F811
    pages = []

    def start(*turns, **more):
        page = Played(browser, server.url, turns, **more)
        pages.append(page)
        return page.__enter__().play()
    yield start
    for page in pages:
        page.__exit__(*sys.exc_info())


def results(page):
    return [m["content"] for m in page.requests[-1]["messages"] if m["role"] == "tool"]


def test_the_tools_of_the_server_are_what_one_begins_with(played):
    page = played([])
    assert page.p.input_value("#preset") == "here"
    names = [t["function"]["name"] for t in json.loads(page.p.input_value("#tools-text"))]
    assert names == [*SAFE, "python"] and "run on this server" in page.p.inner_text(".empty")
    page.p.select_option("#preset", "weather")
    page.p.reload()
    page.ready()
    assert page.p.input_value("#preset") == "weather", "a choice stays"


def test_an_allowed_call_runs_and_the_conversation_goes_on(played):
    page = played([("shout", {"text": "hello"})], [])
    page.send()
    page.p.locator(".said", has_text="Done.").wait_for()
    assert page.p.inner_text(".given") == "HELLO" and results(page) == ["HELLO"] and len(page.requests) == 2
    page.tab("timeline")
    assert "on the server" in page.p.locator(".lane", has_text="Tool run").inner_text()


def test_who_is_asked_may_say_once_always_or_no(played):
    page = played([("write", {})], [("write", {})], [])
    page.send()
    page.p.locator(".asks").wait_for()
    assert "write wants to run on the server" in page.p.inner_text(".asks") and len(page.requests) == 1
    page.p.click("text=Do not run")
    page.p.locator(".asks").wait_for()                                    # the second answer asks again
    assert "did not allow" in results(page)[0]
    page.p.click(".asks >> text=Run >> nth=1")
    page.p.locator(".said", has_text="Done.").wait_for()
    assert results(page)[1].split() == ["wrote", "${env:SECRET_KEY}"]
    page.turns = [[("write", {})], []]
    page.p.click("#new-chat")
    page.send()
    page.p.click("text=Always in this chat")
    page.p.locator(".said", has_text="Done.").wait_for()
    page.turns = [[("write", {})], []]
    n = len(page.requests)
    page.send("again")
    page.p.locator(".said", has_text="Done.").nth(1).wait_for()
    assert len(page.requests) == n + 2, "it was not asked again"


def test_denied_failed_and_wrong_calls_are_told(played):
    page = played([("never", {}), ("fails", {}), ("shout", {"text": 7})], [])
    page.send()
    page.p.locator(".said", has_text="Done.").wait_for()
    never, fails, shout = results(page)
    assert "denied" in never and "broken" in fails and json.loads(shout)["error"] == "invalid_arguments"


def test_esc_stops_a_tool_and_the_history_stays_whole(played):
    page = played([("sleeps", {})], [])
    page.send()
    page.p.locator(".call .waiting", has_text="Running").wait_for()
    assert page.p.inner_text("#send") == "Stop"
    page.p.keyboard.press("Escape")
    page.p.locator(".given", has_text="cancelled by the user").wait_for()
    assert len(page.requests) == 1, "nothing is asked of the model after a stop"
    page.send("and now?")
    page.p.locator(".said", has_text="Done.").wait_for()
    assert [m["role"] for m in page.requests[-1]["messages"]] == ["user", "assistant", "tool", "user"]


def test_a_picture_is_shown_and_other_files_are_saved(played):
    code = "import base64\nopen('plot.png','wb').write(base64.b64decode('%s'))\nopen('x.html','w').write('<script>alert(1)</script>')\nopen('x.svg','w').write('<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>')\nNone" % PNG
    page = played([("python", {"code": code})], [("python", {"code": "import os\nsorted(os.listdir('.'))"})], [])
    page.send()
    page.p.locator(".asks pre.code", has_text="import base64").wait_for()
    page.p.click("text=Always in this chat")
    page.p.locator(".said", has_text="Done.").wait_for()
    assert page.p.evaluate("document.querySelector('.file img').naturalHeight") == 3
    html = page.p.locator(".file a", has_text="x.html")
    assert html.get_attribute("download") == "x.html" and page.p.locator(".file img").count() == 1
    assert page.p.locator(".file a", has_text="x.svg").get_attribute("download") == "x.svg", "what may hold scripts is a download"
    assert "plot.png" in results(page)[1], "one conversation, one box"


def test_the_same_call_again_and_again_is_asked(played):
    page = played([("shout", {"text": "x"})])
    page.send()
    page.p.locator(".asks").wait_for()
    assert page.p.locator(".given").count() == 2 and len(page.requests) == 3
    page.p.keyboard.press("Escape")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 360])
def test_questions_and_pictures_are_accessible_and_fit(played, axe, scheme, width):  # noqa: F811
    code = "import base64\nopen('plot.png','wb').write(base64.b64decode('%s'))\nNone" % PNG
    page = played([("python", {"code": code}), ("shout", {"text": "x"})], [("write", {})], width=width, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)
    page.send()
    page.p.locator(".asks .primary").click()
    page.p.locator(".file img").wait_for()
    page.p.locator(".asks").wait_for()
    if os.environ.get("SCREENSHOTS"):
        page.p.screenshot(path="%s/hands-%s-%d.png" % (os.environ["SCREENSHOTS"], scheme, width))
    assert page.p.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.p.evaluate(axe)
    found = page.p.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html.slice(0, 160))]))")
    assert not found, found
