"""Signing in to MCP servers: the flow, what is remembered, hostile servers and issuers, and the authorization scenarios of the
conformance runner. Black box; $BROWSER is tests/browser.py."""
import json
import os
import re
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mcp_http_server import Server
from oauth_server import Guard, Issuer
from test_agent_cli import TENON, Terminal, own_state, tenon, write  # noqa: F401 (fixture)
from test_mcp import ROOT, RUNNER, npm, serve  # noqa: F401 (fixture)

pytestmark = pytest.mark.skipif("http client: yes" not in subprocess.run([TENON, "--version"], capture_output=True, text=True).stdout, reason="built without libcurl")


@pytest.fixture
def issuers():
    made = []

    def make(*args, **more):
        made.append(Issuer(*args, **more))
        return made[-1]
    yield make
    for i in made:
        i.close()


@pytest.fixture(autouse=True)
def browser(tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER", os.path.abspath("tests/browser.py"))
    monkeypatch.setenv("BROWSER_LOG", str(tmp_path / "browser.txt"))
    return lambda: [l for l in (tmp_path / "browser.txt").read_text().splitlines() if "/authorize" in l] if (tmp_path / "browser.txt").exists() else []


def tools_of(tmp_path, server, **more):
    return write(tmp_path / "tools.json", {"mcpServers": {"srv": dict({"url": server.url, "timeout_ms": 20000}, **more)}})


def login(tools):
    return tenon("tools", "login", "--tools", tools)


def call(tools):
    return tenon("tools", "test", "--tools", tools, "echo", '{"text":"hi"}')


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_signing_in(tmp_path, serve, issuers, browser, era):
    issuer = issuers()
    s = serve("plain", era, guard=Guard(issuer))
    tools = tools_of(tmp_path, s)
    rc, out, err = call(tools)
    assert rc == 1 and "tenon tools login" in err and not browser(), "where nobody can be asked, nobody is"
    rc, out, err = login(tools)
    assert rc == 0 and out == "srv: ready\n" and "srv wants you to sign in at 127.0.0.1" in err, (out, err)
    assert len(browser()) == 1
    page = [q for v, p, q, h in issuer.seen if p == "/authorize"][0]
    registered = issuer.posts("/register")[0]
    assert page["resource"] == s.url and page["redirect_uri"] == registered["redirect_uris"][0] and registered["application_type"] == "native"
    assert len(page["state"]) >= 32 and "scope" not in page
    exchanged = issuer.posts("/token")[0]
    assert exchanged["resource"] == s.url and len(exchanged["code_verifier"]) == 43 and exchanged["code_verifier"] != page["code_challenge"]
    assert (call(tools)[1], len(browser())) == ("echo:hi\n", 1), "it is remembered"
    files = list((tmp_path / "state" / "tenon" / "tokens").iterdir())
    assert len(files) == 2 and all(f.stat().st_mode & 0o777 == 0o600 for f in files) and (tmp_path / "state" / "tenon" / "tokens").stat().st_mode & 0o777 == 0o700
    token = list(issuer.tokens)[0]
    assert any(token in f.read_text() for f in files) and token not in (tmp_path / "tools.json").read_text()
    assert all(h.get("authorization", "Bearer " + token) == "Bearer " + token for v, m, h, p in s.seen)


def test_an_old_token_is_refreshed(tmp_path, serve, issuers, browser):
    issuer = issuers()
    tools = tools_of(tmp_path, serve(guard=Guard(issuer)))
    assert login(tools)[0] == 0
    for i in range(2):
        issuer.tokens = {}
        assert call(tools)[1] == "echo:hi\n" and len(browser()) == 1, "without the user"
    assert [f["grant_type"] for f in issuer.posts("/token")] == ["authorization_code", "refresh_token", "refresh_token"] and len(issuer.posts("/register")) == 1
    issuer.tokens, issuer.refreshes = {}, {}
    rc, out, err = call(tools)
    assert rc == 1 and "tenon tools login" in err and len(browser()) == 1
    assert login(tools)[0] == 0 and call(tools)[0] == 0 and len(browser()) == 2
    assert len(issuer.posts("/register")) in (1, 2), "the page's port may be another one"


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
def test_how_a_client_proves_itself(tmp_path, serve, issuers, monkeypatch, method):
    issuer = issuers(methods=[method])
    tools = tools_of(tmp_path, serve(guard=Guard(issuer)))
    assert login(tools)[0] == 0 and issuer.posts("/register")[0]["token_endpoint_auth_method"] == method
    issuer.tokens = {}
    assert call(tools)[0] == 0, "with a refresh token too"
    if method != "none":
        monkeypatch.setenv("MY_SECRET", "my:own&secret")
        known = issuers(methods=[method], registers=False, clients={"me/1": {"client_id": "me/1", "client_secret": "my:own&secret", "token_endpoint_auth_method": method}})
        tools = tools_of(tmp_path, serve(guard=Guard(known)), oauth={"client_id": "me/1", "client_secret": "${env:MY_SECRET}"})
        assert login(tools)[0] == 0 and call(tools)[0] == 0 and not known.posts("/register")


def test_who_we_are(tmp_path, serve, issuers):
    document = "https://app.example.org/client.json"
    issuer = issuers(documents=True)
    assert login(tools_of(tmp_path, serve(guard=Guard(issuer)), oauth={"client_metadata_url": document}))[0] == 0
    assert not issuer.posts("/register") and issuer.posts("/token")[0]["client_id"] == document
    rc, out, err = login(tools_of(tmp_path, serve(guard=Guard(issuers(registers=False)))))
    assert rc == 1 and "registers nobody by itself" in err and "client_id" in err


def test_scopes(tmp_path, serve, issuers, browser):
    def asked(issuer):
        return [q.get("scope") for v, p, q, h in issuer.seen if p == "/authorize"]
    for guard, config, expected in ((dict(scopes=["a", "b"]), {}, "a b"), (dict(scopes=["a", "b"], says_scope="c"), {}, "c"), (dict(), {"oauth": {"scope": "mine"}}, "mine"), ({}, {}, None)):
        issuer = issuers()
        assert login(tools_of(tmp_path, serve(guard=Guard(issuer, **guard)), **config))[0] == 0 and asked(issuer) == [expected]
    issuer = issuers(scopes=["read", "offline_access"])
    assert login(tools_of(tmp_path, serve(guard=Guard(issuer, scopes=["read"]))))[0] == 0 and asked(issuer) == ["read offline_access"]
    issuer = issuers()
    tools = tools_of(tmp_path, serve(guard=Guard(issuer, need="write", says_scope="read")))
    assert login(tools)[0] == 0
    rc, out, err = call(tools)
    assert rc == 1 and "tenon tools login" in out, "nobody is there to allow more"
    t = Terminal("tools", "test", "--tools", tools, "echo", '{"text":"hi"}')
    t.wait("wants you to sign in.*echo:hi\r\n")
    assert t.end() == 0 and asked(issuer) == ["read", "read write"], "more scopes, and those that we had"


def test_more_scopes_are_not_asked_for_forever(tmp_path, serve, issuers, browser):
    class Never(Guard):
        def lets_in(self, h, request):
            self.issuer.tokens = {t: "" for t in self.issuer.tokens}
            return super().lets_in(h, request)
    tools = tools_of(tmp_path, serve(guard=Never(issuers(), need="write")))
    assert login(tools)[0] == 0
    t = Terminal("tools", "test", "--tools", tools, "echo", '{"text":"hi"}')
    t.wait("again and again|403")
    assert t.end() == 1 and len(browser()) <= 5


@pytest.mark.parametrize("odd, words", [
    ("issuer", "say that they are of https://other.example.org"), ("no-pkce", "PKCE"), ("state", "not to our question"), ("iss-missing", "is of nobody"), ("iss-wrong", "is of https://evil.example.org"),
    ("iss-slash", "was asked"), ("denied", "access_denied not today"), ("plain-page", "no address that is spoken to"), ("script-page", "no address that is spoken to"), ("private-token", "no address that is spoken to")])
def test_hostile_issuers(tmp_path, serve, issuers, browser, odd, words):
    issuer = issuers(odd)
    rc, out, err = login(tools_of(tmp_path, serve(guard=Guard(issuer))))
    assert rc == 1 and words in err, err
    kept = tmp_path / "state" / "tenon" / "tokens"
    assert not issuer.posts("/token") and not issuer.tokens and (not kept.exists() or not list(kept.iterdir()))
    assert bool(browser()) == (odd in ("state", "iss-missing", "iss-wrong", "iss-slash", "denied")), "nobody is sent to a page of a wrong issuer"


@pytest.mark.parametrize("more, words", [
    ({"metadata": "http://169.254.169.254/latest/meta-data"}, "https:// is needed"), ({"metadata": "file:///etc/passwd"}, "https:// is needed"), ({"metadata": "http://user@127.0.0.1/x"}, "https:// is needed"),
    ({"resource": "http://127.0.0.1:1/mcp"}, "which it is not"), ({"resource": "https://example.org/mcp"}, "which it is not"), ({"resource": "/mcp"}, "which it is not")])
def test_hostile_resources(tmp_path, serve, issuers, browser, more, words):
    issuer = issuers()
    guard = Guard(issuer, **more)
    rc, out, err = login(tools_of(tmp_path, serve(guard=guard)))
    assert rc == 1 and words in err and not browser() and not issuer.posts("/register"), err
    if "metadata" in more:
        assert not guard.asked, "an address that is not spoken to ends it"


def test_a_server_with_a_name_cannot_send_us_to_this_machine(tmp_path, serve, issuers, browser):
    """Not spoken to as the loopback, so its metadata may not lie there either."""
    guard = Guard(issuers(), metadata="http://127.0.0.1:9/x")
    s = serve(guard=guard)
    url = "http://localhost.:%d/mcp" % s.http.server_port
    rc, out, err = login(write(tmp_path / "t.json", {"mcpServers": {"srv": {"url": url, "insecure": True}}}))
    assert rc == 1 and not guard.asked and not browser()


def test_another_issuer_begins_anew(tmp_path, serve, issuers, browser):
    """A server that names another issuer: neither the client of the first nor its tokens are shown to it."""
    first, second = issuers(methods=["client_secret_post"]), issuers(methods=["client_secret_post"])
    guard = Guard(first)
    tools = tools_of(tmp_path, serve(guard=guard))
    assert login(tools)[0] == 0
    secrets = [c["client_secret"] for c in first.clients.values()] + list(first.tokens)
    guard.issuer = second
    assert call(tools)[0] == 1 and not second.posts("/token")
    assert login(tools)[0] == 0 and call(tools)[0] == 0 and len(second.posts("/register")) == 1
    assert all("refresh_token" not in f for f in second.posts("/token"))
    ours = [f.get("client_secret") for f in second.posts("/token")]
    assert ours == [c["client_secret"] for c in second.clients.values()] and not any(t in json.dumps(second.seen) for t in secrets if t.startswith("token"))


@pytest.mark.parametrize("path, known", [("", "/.well-known/openid-configuration"), ("/tenant", "/.well-known/oauth-authorization-server/tenant"), ("/tenant", "/.well-known/openid-configuration/tenant"),
                                         ("/tenant", "/tenant/.well-known/openid-configuration")])
def test_where_metadata_lie(tmp_path, serve, issuers, path, known):
    guard = Guard(issuers(path=path, known_at=[known]), at="/.well-known/oauth-protected-resource")
    assert login(tools_of(tmp_path, serve(guard=guard)))[0] == 0
    assert guard.asked == ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"]


def test_configurations_that_are_wrong(tmp_path, serve):
    s = serve()
    for more, words in (({"oauth": {"clientid": "x"}}, "'clientid'"), ({"oauth": 3}, "oauth"), ({"oauth": {"redirect_port": 70000}}, "redirect_port"), ({"oauth": {"client_id": "${env:NOT_SET_AT_ALL}"}}, "NOT_SET_AT_ALL"),
                        ({"oauth": {"client_id": "x"}, "headers": {"authorization": "Bearer x"}}, "one of them")):
        rc, out, err = tenon("tools", "list", "--tools", tools_of(tmp_path, s, **more))
        assert rc == 1 and words in err, err


def test_who_gives_a_key_does_not_sign_in(tmp_path, serve, issuers, browser):
    rc, out, err = login(tools_of(tmp_path, serve(guard=Guard(issuers())), headers={"Authorization": "Bearer wrong"}))
    assert rc == 1 and "401" in err and not browser()


def test_signing_in_from_a_chat(tmp_path, serve, issuers, browser):
    t = Terminal("chat", "--tools", tools_of(tmp_path, serve(guard=Guard(issuers()))))
    t.wait(r"srv wants you to sign in at 127\.0\.0\.1.*Open this page:\r\nhttp://127\.0\.0\.1.*/help lists commands.*> ")
    t.type("/mcp\r")
    t.wait(r"srv +running.*> ")
    t.type("/exit\r")
    assert t.end() == 0 and len(browser()) == 1


AUTH = ["metadata-default", "metadata-var1", "metadata-var2", "metadata-var3", "basic-cimd", "scope-from-www-authenticate", "scope-from-scopes-supported", "scope-omitted-when-undefined",
        "scope-step-up", "scope-retry-limit", "token-endpoint-auth-basic", "token-endpoint-auth-post", "token-endpoint-auth-none", "pre-registration"]
NEW = ["resource-mismatch", "offline-access-scope", "offline-access-not-supported", "authorization-server-migration", "iss-supported", "iss-not-advertised", "iss-supported-missing",
       "iss-wrong-issuer", "iss-unexpected", "iss-normalized", "metadata-issuer-mismatch"]


@pytest.mark.parametrize("version, scenario", [("2025-11-25", s) for s in AUTH] + [("2026-07-28", s) for s in ["metadata-default", "scope-step-up"] + NEW] +
                         [("2025-03-26", "2025-03-26-oauth-metadata-backcompat"), ("2025-03-26", "2025-03-26-oauth-endpoint-fallback")])
def test_conformance(tmp_path, version, scenario):
    npm("conformance")
    node = os.path.join(ROOT, ".bin", "node")
    client = "%s %s" % (sys.executable, os.path.abspath("tests/mcp_conformance_client.py"))
    p = subprocess.run([node if os.path.exists(node) else "node", RUNNER, "client", "--command", client, "--scenario", "auth/" + scenario, "--spec-version", version, "--timeout", "90000"],
                       capture_output=True, text=True, timeout=150, env=dict(os.environ, TENON=TENON), cwd=tmp_path)
    text = p.stdout + p.stderr
    assert re.search(r"Passed: (\d+)/\1, 0 failed", text) and not re.search(r"Passed: 0/0", text), text[-3000:]
