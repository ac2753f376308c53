"""An authorization server for the tests, in this process, and the guard of an MCP server (mcp_http_server.Server(guard=…)) that wants its
tokens. It checks what a client has to do (PKCE, resource, redirect, how it proves itself) and says no otherwise. odd: what it does wrong."""
import base64
import hashlib
import http.server
import json
import threading
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def reply(self, status, body=None, **headers):
        data = json.dumps(body or {}).encode()
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k, v)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        a, (path, _, query) = self.server.owner, self.path.partition("?")
        a.seen.append(("GET", path, dict(urllib.parse.parse_qsl(query)), dict(self.headers)))
        if path in a.known_at:
            return self.reply(200, a.metadata())
        if path == "/authorize":
            return a.authorize(self, dict(urllib.parse.parse_qsl(query)))
        self.reply(404, {"error": "not_found"})

    def do_POST(self):
        a = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        form = json.loads(body) if self.path == "/register" else dict(urllib.parse.parse_qsl(body))
        a.seen.append(("POST", self.path, form, dict(self.headers)))
        if self.path == "/register" and a.registers:
            return a.register(self, form)
        if self.path == "/token":
            return a.token(self, form)
        self.reply(404, {"error": "not_found"})


class Issuer:
    def __init__(self, odd="", registers=True, methods=None, path="", known_at=None, scopes=None, clients=None, documents=False, **meta):
        self.odd, self.registers, self.methods, self.meta, self.scopes, self.documents = odd, registers, methods, meta, scopes, documents
        self.seen, self.codes, self.refreshes, self.n = [], {}, {}, 0
        self.clients = dict(clients or {})
        self.tokens = {}                                 # token: scope
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.owner = self
        self.origin = "http://127.0.0.1:%d" % self.http.server_port
        self.url = self.origin + path
        self.known_at = known_at or ["/.well-known/oauth-authorization-server" + path]
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def posts(self, path):
        return [form for verb, p, form, headers in self.seen if verb == "POST" and p == path]

    def metadata(self):
        m = {"issuer": self.url, "authorization_endpoint": self.origin + "/authorize", "token_endpoint": self.origin + "/token", "response_types_supported": ["code"],
             "code_challenge_methods_supported": ["S256"], "authorization_response_iss_parameter_supported": True}
        if self.registers:
            m["registration_endpoint"] = self.origin + "/register"
        if self.methods:
            m["token_endpoint_auth_methods_supported"] = self.methods
        if self.scopes:
            m["scopes_supported"] = self.scopes
        if self.documents:
            m["client_id_metadata_document_supported"] = True
        if self.odd == "issuer":
            m["issuer"] = "https://other.example.org"
        if self.odd == "no-pkce":
            m["code_challenge_methods_supported"] = ["plain"]
        if self.odd == "plain-page":
            m["authorization_endpoint"] = "http://evil.example.org/authorize"
        if self.odd == "script-page":
            m["authorization_endpoint"] = "javascript:alert(1)"
        if self.odd == "private-token":
            m["token_endpoint"] = "http://169.254.169.254/token"
        return dict(m, **self.meta)

    def register(self, h, form):
        self.n += 1
        client = {"client_id": "client-%d" % self.n, "redirect_uris": form["redirect_uris"], "token_endpoint_auth_method": form["token_endpoint_auth_method"]}
        if client["token_endpoint_auth_method"] != "none":
            client["client_secret"] = "very:secret&%d" % self.n
        self.clients[client["client_id"]] = client
        h.reply(201, client)

    def authorize(self, h, q):
        client = self.clients.get(q.get("client_id"))
        ok = (client or self.documents) and q.get("response_type") == "code" and q.get("code_challenge_method") == "S256" and len(q.get("code_challenge", "")) == 43
        ok = ok and q["redirect_uri"].startswith("http://127.0.0.1:") and (not client or "redirect_uris" not in client or q["redirect_uri"] in client["redirect_uris"]) and q.get("resource")
        if not ok:
            return h.reply(400, {"error": "invalid_request"})
        self.n += 1
        code = "code+/%d" % self.n
        self.codes[code] = q
        answer = {"code": code, "state": q["state"], "iss": self.url}
        if self.odd == "state":
            answer["state"] = "guessed"
        if self.odd in ("iss-missing", "denied"):
            del answer["iss"]
        if self.odd == "denied":
            answer = {"error": "access_denied", "error_description": "not today", "state": q["state"], "iss": self.url}
        if self.odd == "iss-wrong":
            answer["iss"] = "https://evil.example.org"
        if self.odd == "iss-slash":
            answer["iss"] += "/"
        h.reply(302, Location=q["redirect_uri"] + "?" + urllib.parse.urlencode(answer))

    def proves(self, h, form):
        """The id of the client, if it proves itself in the manner that it registered."""
        head = h.headers.get("Authorization", "")
        if head.startswith("Basic "):
            name, _, secret = base64.b64decode(head[6:]).decode().partition(":")
            name, secret, method = urllib.parse.unquote(name), urllib.parse.unquote(secret), "client_secret_basic"
        else:
            name, secret, method = form.get("client_id"), form.get("client_secret"), "client_secret_post" if "client_secret" in form else "none"
        client = self.clients.get(name)
        if not client:
            return name if self.documents and method == "none" else None
        return name if client.get("client_secret") == secret and client.get("token_endpoint_auth_method", method) == method else None

    def token(self, h, form):
        name, grant = self.proves(h, form), form.get("grant_type")
        if not name or not form.get("resource"):
            return h.reply(401, {"error": "invalid_client"})
        if grant == "refresh_token":
            q = self.refreshes.pop(form["refresh_token"], None)
            if not q or q["client_id"] != name:
                return h.reply(400, {"error": "invalid_grant", "error_description": "an old one"})
        else:
            q = self.codes.pop(form.get("code"), None)
            proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
            if not q or q["code_challenge"] != proof or q["redirect_uri"] != form.get("redirect_uri") or q["client_id"] != name or q["resource"] != form["resource"]:
                return h.reply(400, {"error": "invalid_grant"})
        self.n += 1
        token, refresh = "token-%d-of-%d" % (self.n, self.http.server_port), "refresh-%d" % self.n
        self.tokens = {token: q.get("scope", "")}        # the last one holds
        self.refreshes[refresh] = q
        h.reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600, "refresh_token": refresh})


class Guard:
    """What stands before an MCP server: wants a token of its issuer, with a scope for calls if need is given."""
    def __init__(self, issuer, metadata=None, need=None, scopes=None, at=None, resource=None, says_scope=None):
        self.issuer, self.metadata, self.need, self.scopes, self.at, self.resource, self.says_scope = issuer, metadata, need, scopes, at, resource, says_scope
        self.asked = []

    def describe(self, h):
        self.asked.append(h.path)
        if self.at and h.path != self.at:
            return h.plain(404)
        host = "http://127.0.0.1:%d" % h.server.server_port
        m = {"resource": self.resource or host + "/mcp", "authorization_servers": [self.issuer.url]}
        if self.scopes:
            m["scopes_supported"] = self.scopes
        h.plain(200, json.dumps(m).encode())

    def lets_in(self, h, request):
        token = (h.headers.get("Authorization") or "").removeprefix("Bearer ")
        words = []
        if self.metadata is not None:
            words.append('resource_metadata="%s"' % self.metadata)
        if token not in self.issuer.tokens:
            if self.says_scope:
                words.append('scope="%s"' % self.says_scope)
            h.plain(401, b"who?", "text/plain", WWW_Authenticate="Bearer " + ", ".join(words + ['error="invalid_token"']))
            return False
        if self.need and request.get("method") == "tools/call" and self.need not in self.issuer.tokens[token].split():
            h.plain(403, b"more", "text/plain", WWW_Authenticate="Bearer " + ", ".join(words + ['error="insufficient_scope", scope="%s"' % self.need]))
            return False
        return True
