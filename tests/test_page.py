"""The playground: its files over HTTP, and the page itself in headless Chromium, asking the embedded model.

The second part needs Playwright's Python package (.venv/bin/pip install playwright) and a Chromium (Debian's package
chromium, or CHROMIUM=path); the check of accessibility fetches axe-core from npm, once. What is missing is
skipped aloud. Of what the model says only this is expected: a call where it must, and for the first example of each
preset."""
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from serve_client import SLOW, Server, adapter  # noqa: E402

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT_MS = 15000 * SLOW
MODULES = [f for f in os.listdir("src/serve/page")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("adapters")
    with contextlib.suppress(pytest.skip.Exception):                     # without numpy there is no adapter to load
        adapter(root / "garden.gguf")
    with Server("--enable-lora", "--lora-root", root) as s:
        s.root = root
        yield s


# ---- files --------------------------------------------------------------------------------------------------

def test_files_are_as_they_lie_on_disk(server):
    kinds = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
    for name in MODULES:
        status, headers, text = server.open("/page/" + name)
        assert (status, headers["Content-Type"]) == (200, kinds[name.rsplit(".", 1)[1]]), name
        assert text == open("src/serve/page/" + name, encoding="utf-8").read(), name
    assert server.open("/")[2] == server.open("/page/index.html")[2] and server.open("/", method="HEAD")[0] == 200
    assert server.open("/page/home.json")[2] == open("examples/home.json", encoding="utf-8").read()
    for path in ("/page/", "/page/nothing.js", "/page/../serve.h", "/page/%2e%2e/int.h"):
        assert server.open(path)[0] == 404, path
    assert server.open("/", body={})[0] == 405


def test_a_page_may_run_its_own_scripts_and_ask_its_own_server(server):
    status, headers, text = server.open("/")
    policy = dict(p.strip().split(" ", 1) for p in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'" and policy["require-trusted-types-for"] == "'script'"
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    source = text + "".join(open("src/serve/page/" + m, encoding="utf-8").read() for m in MODULES)
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=\"|\son\w+=\"|\.innerHTML|insertAdjacentHTML|document\.write|\beval\(", source)
    assert set(re.findall(r"https?://[\w.-]+", source)) <= {"http://www.w3.org"}, "nothing is fetched from elsewhere"


def test_what_a_browser_has_is_not_sent_again(server):
    _, headers, _ = server.open("/page/main.js")
    assert headers["Cache-Control"] == "no-cache"
    status, again, text = server.open("/page/main.js", headers={"If-None-Match": headers["ETag"]})
    assert (status, text, again["ETag"]) == (304, "", headers["ETag"])
    assert server.open("/page/main.js", headers={"If-None-Match": '"other", ' + headers["ETag"]})[0] == 304
    assert server.open("/page/main.js", headers={"If-None-Match": '"other"'})[0] == 200


def test_the_page_can_be_left_out_and_needs_no_key():
    with Server("--no-ui", "--api-key", "k") as s:
        assert s.open("/")[0] == s.open("/page/main.js")[0] == 404
    with Server("--api-key", "k", "--api-prefix", "/here") as s:
        assert s.open("/")[0] == s.open("/here/")[0] == s.open("/here/page/main.js")[0] == 200 and s.get("/v1/models")[0] == 401


# ---- the browser ----------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="skipped: no playwright (.venv/bin/pip install playwright)")
    if not CHROMIUM:
        pytest.skip("skipped: no chromium")
    with sync_api.sync_playwright() as p:
        b = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield b
        b.close()


class Page:
    """A fresh visitor; what the console says that is no refusal of the server's fails the test."""

    def __init__(self, browser, url, width=1440, height=900, **context):
        self.context = browser.new_context(viewport={"width": width, "height": height}, **context)
        self.context.set_default_timeout(WAIT_MS)
        self.p = self.context.new_page()
        self.wrong, self.elsewhere = [], []
        self.p.on("pageerror", lambda e: self.wrong.append(str(e)))
        self.p.on("console", lambda m: self.wrong.append(m.text) if m.type in ("error", "warning") and "status of 4" not in m.text else None)
        self.p.on("request", lambda r: self.elsewhere.append(r.url) if not r.url.startswith(url) else None)
        self.p.goto(url)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        wrong = [] if kind else self.wrong + self.elsewhere
        self.context.close()
        assert not wrong, wrong

    def ready(self):
        self.p.wait_for_selector("body[data-ready=true]")
        self.verdict("good")
        return self

    def verdict(self, kind):
        self.p.wait_for_selector(f".verdict.{kind}", state="attached")
        return self.p.text_content("#tools-verdict")

    def answers(self):
        return self.p.locator(".assistant .turn-foot .numbers").count()

    def next_answer(self, do):
        n = self.answers()
        do()
        self.p.locator(".assistant .turn-foot .numbers").nth(n).wait_for(state="attached")

    def say(self, text):
        def do():
            self.p.fill("#composer", text)
            self.p.press("#composer", "Enter")
        self.next_answer(do)

    def tab(self, name):
        self.p.click(f"#tab-{name}")

    def wire(self, part):
        self.tab("raw")
        self.p.click(f".segments [data-id={part}]")
        return json.loads(self.p.inner_text(".wire"))

    def copied(self, button):
        self.tab("raw")
        self.p.click(".segments [data-id=request]")
        self.p.click(f"text={button}")
        self.p.wait_for_selector("text=Copied")
        return self.p.evaluate("navigator.clipboard.readText()")


@pytest.fixture
def page(browser, server):
    with Page(browser, server.url, permissions=["clipboard-read", "clipboard-write"]) as p:
        yield p.ready()


def must_call(page):
    page.p.select_option("#choice", "=set_light")


def test_a_tool_call_round_trip(page):
    must_call(page)
    page.say("dim the kitchen to 10")
    p = page.p
    assert p.inner_text(".call-name") == "set_light" and "fits its schema" in p.inner_text(".call .badges") and "%" in p.inner_text(".call .badges")
    args = json.loads(p.inner_text(".call .args"))
    assert set(args) >= {"room", "brightness"} and 0 <= args["brightness"] <= 100
    assert p.input_value(".results textarea") == '{"ok":true}', "the mock of the preset"
    p.fill(".results textarea", '{"dimmed": "<img src=x onerror=alert(1)>"}')
    page.p.select_option("#choice", "none")
    page.next_answer(lambda: p.press(".results textarea", "Control+Enter"))
    assert "<img src=x" in p.inner_text(".given") and p.locator("#log img").count() == 0, "text stays text"
    request = page.wire("request")
    assert [m["role"] for m in request["messages"]] == ["user", "assistant", "tool"]
    call, result = request["messages"][1]["tool_calls"][0], request["messages"][2]
    assert result == {"role": "tool", "tool_call_id": call["id"], "content": '{"dimmed": "<img src=x onerror=alert(1)>"}'}
    assert request["tool_choice"] == "none"


def test_who_writes_on_leaves_no_call_without_a_result(page):
    must_call(page)
    page.say("dim the kitchen to 10")
    page.say("never mind")
    messages = page.wire("request")["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "tool", "user"] and "cancelled" in messages[2]["content"]
    page.p.click("#new-chat")
    assert page.answers() == 0 and page.p.is_visible(".empty")


def test_mock_results_may_go_by_themselves(page):
    must_call(page)
    page.p.click("text=Mock results")
    page.p.check("text=Send them without asking me")
    page.p.fill("#mock-set_light", '{"mine":1}')
    page.p.fill("#composer", "dim the kitchen to 10")
    page.p.press("#composer", "Enter")
    page.p.locator(".given").nth(6).wait_for()                            # it must call each time: the eighth answer is the last that follows by itself
    page.p.wait_for_selector("#log[aria-busy=false] .results")
    assert page.answers() == 8 and page.p.locator(".given").first.inner_text() == '{ "mine": 1 }'


def test_the_tokens_of_an_answer(page):
    must_call(page)
    page.p.check("text=Alternatives of each token")
    page.say("dim the kitchen to 10")
    answer = page.wire("answer")
    page.tab("tokens")
    p, timings = page.p, answer["timings"]
    count = lambda kind: p.locator(f".token.{kind}").count()
    assert count("forced") == timings["forced_n"] > 0 and count("sampled") > 0
    assert p.locator(".token").count() == timings["predicted_n"]
    p.hover(".token.sampled >> nth=0")
    detail = p.inner_text(".token-detail")
    assert "of what was allowed" in detail and "by the model alone" in detail and p.locator(".alternatives li").count() == 5
    p.hover(".token.forced >> nth=0")
    assert "the only one the grammar allowed" in p.inner_text(".token-detail") and "100 %" in p.inner_text(".token-detail")
    p.focus(".token[aria-selected=true]")
    before = p.inner_text(".token-detail")
    p.keyboard.press("ArrowRight")
    assert p.inner_text(".token-detail") != before and p.locator(".token:focus[aria-selected=true]").count() == 1


def test_where_the_time_went(page):
    must_call(page)
    page.say("dim the kitchen to 10")
    page.p.select_option("#choice", "none")
    assert "waits for you" in page.p.inner_text(".timeline")
    page.next_answer(lambda: page.p.click("text=Send result"))
    p = page.p
    lanes = [(p.locator(".block").nth(i).locator(".lane-name").all_inner_texts()) for i in range(2)]
    assert lanes[0][:4] == ["Queue", "Cache hit", "Prefill", "Sampled"] and {"Forced", "Tool run"} <= set(lanes[0]) and "Tool run" not in lanes[1]
    tiles = dict(zip(p.locator(".tile dt").all_inner_texts(), p.locator(".tile dd").all_inner_texts()))
    assert re.fullmatch(r"[\d.]+ m?s", tiles["Time to call"]) and tiles["Forced"].endswith("%") and tiles["Confidence"].endswith("%")
    answer = page.wire("answer")                                         # the second request goes on from the first
    assert answer["timings"]["cache_n"] > 300


def test_the_schema_is_judged_while_one_types(page):
    p = page.p
    text = p.input_value("#tools-text")
    p.fill("#tools-text", text.replace('"integer"', '"integr"', 1))
    said = page.verdict("bad")
    line = text[:text.index('"integer"')].count("\n") + 1
    assert said.startswith(f"Line {line}:") and "/properties/brightness/type" in said
    p.click(".verdict button")
    assert p.evaluate("getSelection().toString()").startswith('"type": "integr"'), "a click goes there"
    assert p.inner_text(".gutter .bad") == str(line) and p.get_attribute("#tools-text", "aria-invalid") == "true"
    p.fill("#composer", "hello")
    p.press("#composer", "Enter")
    p.wait_for_selector("#composer-hint .error")
    assert "not in order" in p.inner_text("#composer-hint") and page.answers() == 0, "nothing goes out with other tools than one sees"
    for broken, why in (('[{"name": "a",}]', "a name in double quotes is expected"), ("[1", "“,” or “]” is expected"), ('{"a": 1}', "a list of tools is expected"),
                        ('[{"type":"function","function":{"name":"a b"}}]', "is not a name"), ('[{"name":"a"},{"name":"a"}]', "already the name"),
                        ('[{"name":"a","parameters":{"type":"object","properties":{"x":{"minimum":5,"maximum":1,"type":"integer"}},"required":["x"]}}]', "no value satisfies")):
        p.fill("#tools-text", broken)
        p.wait_for_selector(f".verdict.bad:has-text('{why}')")
    p.fill("#tools-text", '[{"name": "ping", "parameters": {"type": "object", "properties": {}}}]')
    assert "1 tool, every schema compiles" in page.verdict("good")
    assert "Call ping" in p.inner_text("#choice")
    p.reload()
    page.ready()
    assert "ping" in p.input_value("#tools-text") and p.input_value("#preset") == "own", "it is there when one comes back"
    p.select_option("#preset", "weather")
    p.wait_for_selector(".samples:has-text('Oslo')")
    p.select_option("#preset", "own")
    p.wait_for_selector(".verdict:has-text('1 tool')")


def test_json_is_read_as_the_browser_reads_it(page):
    texts = ["{}", "[]", " [1, -2.5e3, true, null] ", '{"a":{"b":[{"c":"\\u00e9\\n\\"x"}]}}', '"x"', "0", "-0", '{"__proto__":1}', '{"":[]}', "[[[[]]]]", '"\ud83d\ude00"',
             "", " ", "[1,]", "{,}", '{"a"}', '{"a":}', '{"a":1,}', "[1 2]", "01", "1.", ".5", "+1", "nul", "tru", "'x'", '"x', '"\\x"', '"a\nb"', "[1]]", "{]", "NaN", "\u00a0[1]"]
    say = page.p.evaluate("""async texts => {
        const {parse, pretty} = await import('./page/json.js'), out = [];
        const attempt = f => { try { return JSON.stringify(f()); } catch { return 'refused'; } };
        for (const t of texts) out.push([attempt(() => parse(t).value), attempt(() => JSON.parse(t)), attempt(() => JSON.parse(pretty(t)))]);
        return out;
    }""", texts)
    for text, (ours, theirs, spread) in zip(texts, say):
        assert ours == theirs == spread, text
    assert [s[1] for s in say].count("refused") == 22
    big = page.p.evaluate("async () => (await import('./page/json.js')).pretty('[12345678901234567890,1.50]')")
    assert big == "[12345678901234567890, 1.50]", "digits stay"
    twice = page.p.evaluate("""async () => { try { (await import('./page/json.js')).parse('{"a":1,"a":2}'); } catch (e) { return e.message; } }""")
    assert "twice" in twice


def test_every_preset_is_in_order(page):
    for preset in page.p.eval_on_selector_all("#preset option", "list => list.map(o => o.value)"):
        if preset in ("own", "none"):
            continue
        with page.p.expect_response("**/v1/chat/completions"):                # that judges these tools; the verdict before it was of others
            page.p.select_option("#preset", preset)
        page.verdict("good")
        page.next_answer(lambda: page.p.click(".samples button >> nth=0"))
        page.p.locator(".call").first.wait_for()                          # the page draws once a frame
        assert page.p.locator(".badge.bad").count() == 0
        page.p.click("#new-chat")


def test_the_copied_command_gives_the_same_answer(page):
    must_call(page)
    page.say("what's 'that'? $HOME `id` \\ dim the kitchen")               # all that a shell could take for itself
    answer, request = page.wire("answer"), page.wire("request")
    command = page.copied("Copy as curl")
    out = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60 * SLOW)
    events = [json.loads(line[6:]) for line in out.stdout.splitlines() if line.startswith("data: {")]
    pieces = [c for e in events for ch in e["choices"] for c in ch["delta"].get("tool_calls", [])]
    call = answer["message"]["tool_calls"][0]
    assert pieces[0]["function"]["name"] == call["function"]["name"], out.stderr
    assert "".join(c["function"]["arguments"] for c in pieces) == call["function"]["arguments"]
    assert events[-1]["usage"]["completion_tokens"] == answer["usage"]["completion_tokens"]
    sent = json.loads(re.search(r"-d '(.*)'\n$", command, re.S).group(1).replace("'\\''", "'"))
    assert sent == request and "'that'" in sent["messages"][0]["content"]


def test_the_copied_program_gives_the_same_answer(page):
    pytest.importorskip("openai", reason="skipped: no openai package")
    must_call(page)
    page.say("dim the \"kitchen\" to 10\\")
    call = page.wire("answer")["message"]["tool_calls"][0]["function"]
    out = subprocess.run([sys.executable, "-c", page.copied("Copy as Python")], capture_output=True, text=True, timeout=60 * SLOW)
    assert out.stdout.strip() == call["name"] + " " + call["arguments"], out.stderr


def test_stopping(browser, server):
    with Page(browser, server.url) as page:
        page.ready()
        page.p.select_option("#preset", "none")
        # The answer must last until somebody presses a key, however fast the machine is: the proxy holds it back.
        page.p.route("**/v1/chat/completions", lambda route: None)
        page.p.fill("#composer", "hello")
        page.p.press("#composer", "Enter")
        page.p.wait_for_selector("text=Waiting for its turn")
        assert page.p.inner_text("#send") == "Stop"
        page.p.keyboard.press("Escape")
        page.p.wait_for_selector("text=Stopped.")
        page.p.unroute("**/v1/chat/completions")
        page.p.click("text=Again")
        page.p.wait_for_selector("text=Stopped.", state="detached")
        page.p.wait_for_selector(".assistant .turn-foot .numbers:not(:empty)")
        assert page.answers() == 1


def test_errors_are_shown_where_they_belong(browser):
    with Server() as s, Page(browser, s.url) as page:
        page.ready()
        page.p.fill("#composer", "word " * 4000)
        page.next_answer(lambda: page.p.press("#composer", "Enter"))
        assert "the context holds" in page.p.inner_text(".assistant .error")
        s.stop()
        page.p.fill("#composer", "hello")
        page.next_answer(lambda: page.p.press("#composer", "Enter"))
        assert "cannot be reached" in page.p.locator(".assistant .error").last.inner_text()
        assert page.p.is_visible("text=Try again")
        page.wrong.clear()                                                # the browser says so too


def test_a_key_is_asked_for(browser):
    with Server("--api-key", "sesame") as s, Page(browser, s.url) as page:
        page.p.wait_for_selector("dialog[open]")
        assert "asks for a key" in page.p.inner_text("dialog")
        page.p.fill("dialog input", "wrong")
        page.p.keyboard.press("Enter")
        page.p.wait_for_selector("text=is not valid here")
        page.p.fill("dialog input", "sesame")
        page.p.keyboard.press("Enter")
        page.ready().say("hello")
        page.tab("raw")
        assert "sesame" not in page.p.inner_text("body")
        assert "sesame" not in json.dumps(page.p.evaluate("({...localStorage})"))


def test_adapters_are_picked_and_loaded(page, server):
    if not os.path.exists(server.root / "garden.gguf"):
        pytest.skip("skipped: no numpy or gguf package")
    p = page.p
    p.select_option("#model", "+")
    p.fill("dialog input >> nth=0", "garden")
    p.fill("dialog input >> nth=1", "nothing.gguf")
    p.click("dialog >> text=Load >> nth=-1")
    p.wait_for_selector("dialog .error:has-text('nothing.gguf')")
    p.fill("dialog input >> nth=1", "garden.gguf")
    p.keyboard.press("Enter")
    p.wait_for_selector("dialog", state="detached")
    assert p.input_value("#model") == "garden"
    page.verdict("good")
    p.fill("#max-tokens", "8")
    page.say("hello")
    assert page.wire("request")["model"] == "garden"
    p.select_option("#model", "tenon")
    page.say("hello")
    assert page.wire("request")["model"] == "tenon"


def test_themes(browser, server):
    ground = lambda p: p.evaluate("getComputedStyle(document.body).backgroundColor")
    with Page(browser, server.url, color_scheme="dark") as page:
        dark = ground(page.ready().p)
        page.p.click("#theme")
        light = ground(page.p)
        assert sum(map(int, re.findall(r"\d+", dark))) < 150 < 600 < sum(map(int, re.findall(r"\d+", light)))
        page.p.reload()
        assert ground(page.ready().p) == light, "the choice stays"
    with Page(browser, server.url, color_scheme="light") as page:
        assert ground(page.ready().p) == light


def test_everything_by_keyboard(page):
    p = page.p
    focus = lambda: p.evaluate("document.activeElement.id || document.activeElement.textContent")
    assert focus() == "composer"
    p.select_option("#choice", "=set_light")
    p.focus("#composer")
    p.keyboard.type("dim the kitchen to 10")
    page.next_answer(lambda: p.keyboard.press("Enter"))
    assert focus().startswith("result-"), "the result is what comes next"
    page.next_answer(lambda: p.keyboard.press("Control+Enter"))
    for key, there in (("Alt+i", "tab-timeline"), ("ArrowRight", "tab-tokens"), ("End", "tab-raw"), ("Alt+e", "tools-text"), ("Alt+c", "composer")):
        p.keyboard.press(key)
        assert focus() == there, key
    p.keyboard.press("ArrowUp")
    assert p.input_value("#composer") == "dim the kitchen to 10"
    p.keyboard.press("Alt+k")
    assert "stop the answer" in p.inner_text("dialog")
    p.keyboard.press("Escape")
    p.wait_for_selector("dialog", state="detached")
    p.keyboard.press("Alt+n")
    assert page.answers() == 0 and focus() == "composer"
    p.focus(".skip")
    p.keyboard.press("Enter")
    assert focus() == "composer"


@pytest.mark.parametrize("width", [320, 390, 800, 1150, 1440])
def test_nothing_is_wider_than_the_screen(browser, server, width):
    with Page(browser, server.url, width=width, height=740, is_mobile=width < 500, has_touch=width < 500) as page:
        p = page.ready().p
        p.evaluate("document.querySelector('#choice').value = '=set_light'; document.querySelector('#choice').dispatchEvent(new Event('change'))")
        page.say("dim the kitchen to 10 " + "averyveryverylongwordthatdoesnotend" * 4)
        for pane in ("tools", "inspect", "chat"):
            if p.is_visible(f".panes [data-pane={pane}]"):
                p.click(f".panes [data-pane={pane}]")
            for tab in ("timeline", "tokens", "raw") if pane == "inspect" else ("",):
                if tab:
                    page.tab(tab)
                wide = p.evaluate("""[...document.querySelectorAll('body, body *')].filter(e => e.checkVisibility() && !e.closest('.hidden, .skip, #tools-text, .gutter, .lane-bar'))
                    .filter(e => e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1).map(e => e.outerHTML.slice(0, 120))""")
                assert not wide and p.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), (pane, tab, wide)


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("axe")
    if not shutil.which("npm"):
        pytest.skip("skipped: no npm to fetch axe-core with")
    try:
        subprocess.run(["npm", "install", "--no-save", "--ignore-scripts", "--prefix", folder, "axe-core@4"], capture_output=True, timeout=90, check=True)
    except (subprocess.SubprocessError, OSError):
        pytest.skip("skipped: axe-core cannot be fetched from npm")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_accessibility(browser, server, axe, scheme, width):
    """Labels, roles, contrast: what axe-core finds in each state of the page."""
    with Page(browser, server.url, width=width, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True) as page:
        p = page.ready().p

        def check(state):
            p.evaluate(axe)
            found = p.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html.slice(0, 160) + ' ' + n.failureSummary.slice(0, 300))]))")
            assert not found, (state, found)

        def pane(name):
            if p.is_visible(f".panes [data-pane={name}]"):
                p.click(f".panes [data-pane={name}]")
            check(name)

        check("empty")
        pane("tools")
        must = "document.querySelector('#choice').value = '=set_light'; document.querySelector('#choice').dispatchEvent(new Event('change'))"
        p.evaluate(must)
        pane("chat")
        page.say("dim the kitchen to 10")
        pane("chat")
        pane("inspect")
        for tab in ("tokens", "raw", "timeline"):
            page.tab(tab)
            if tab == "tokens":
                p.hover(".token >> nth=1")
            check(tab)
        pane("tools")
        p.fill("#tools-text", "[")
        page.verdict("bad")
        p.wait_for_timeout(200)                                           # colours change gently
        check("schema error")
        p.click("#help")
        check("dialog")
