"""The Jinja templates in templates/ say the same, byte for byte, as the rendering in C (tenon debug render).

Runs with pytest, or by itself. TENON names the binary (default: build/tenon). Needs jinja2."""
import glob, json, os, random, subprocess, unittest

import jinja2, jinja2.sandbox

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build", "tenon"))
SHARED = os.environ.get("TENON_SHARED", os.path.join(ROOT, "..", "shared"))


def environment():
    """Jinja as model files expect it: blocks trimmed, tojson without escapes for HTML."""
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.filters["tojson"] = lambda x, ensure_ascii=False, indent=None, separators=None, sort_keys=False: json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    return env


def by_jinja(path, request):
    variables = {"add_generation_prompt": True, "bos_token": "", **request}
    return environment().from_string(open(path, encoding="utf-8").read()).render(**variables)


def by_tenon(name, request):
    r = subprocess.run([TENON, "debug", "render", "--template", name], input=json.dumps(request).encode(), capture_output=True)
    assert r.returncode == 0, r.stderr.decode()
    return r.stdout.decode()


def compare(name, path, request):
    a, b = by_jinja(path, request), by_tenon(name, request)
    if a == b:
        return
    k = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    raise AssertionError(f"{name}: byte {k}: template {a[max(0, k - 60):k + 60]!r}, C {b[max(0, k - 60):k + 60]!r}")


# ---- requests ---------------------------------------------------------------------------------------------

CALLS = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
         {"id": "b", "type": "function", "function": {"name": "g.h", "arguments": {"y": ["é", None, {"z": 1.5}]}}}]
CONVERSATIONS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <|im_end|>"}],
    [{"role": "system", "content": ""}, {"role": "user", "content": "Hé\n\n 👍"}, {"role": "assistant", "content": "Yes."},
     {"role": "system", "content": "later"}, {"role": "user", "content": "More"}],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Look: ", "tool_calls": CALLS},
     {"role": "tool", "tool_call_id": "a", "content": "{\"ok\": true}"}, {"role": "tool", "tool_call_id": "b", "content": ""}],
]
THOUGHTS = [
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>x</think>\n\u00a0 one </think> two\n"}, {"role": "user", "content": "b</think>c"},
     {"role": "assistant", "content": "<think>y</think>three"}, {"role": "tool", "content": "t"}, {"role": "user", "content": "d"}],
    [{"role": "assistant", "content": "</think>  "}, {"role": "assistant", "content": "none"}, {"role": "assistant", "content": ""}],
]
OURS = [  # what only the template of the embedded model takes as it is
    [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]}],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "tool_calls": CALLS[1:]}, {"role": "developer", "content": "c"}],
]


def tool(name, parameters=None, description=None):
    f = {"name": name}
    if description is not None: f["description"] = description
    if parameters is not None: f["parameters"] = parameters
    return {"type": "function", "function": f}


def obj(**properties):
    return {"type": "object", "properties": properties}


TOOLS = [
    [],
    [tool("bare"), {"name": "unwrapped", "description": " two\n lines  "}],
    [tool("get_weather", {**obj(city={"type": "string", "description": "name of the city"}, days={"type": "integer", "minimum": 1, "maximum": 14, "default": 3},
          unit={"type": "string", "enum": ["celsius", "fahrenheit"]}), "required": ["city"]}, "Current weather")],
    [tool("t", obj(a={"type": ["string", "null"]}, b={"anyOf": [{"type": "integer"}, {"const": "x y"}]}, c={"oneOf": [{"type": "boolean"}]},
                   d={"allOf": [{"type": "number", "exclusiveMinimum": 0}]}, e={"enum": ["str", "a,b", "1", 2, None, True, "ok.", ""]}, f={}, g=True,
                   h={"type": "string", "format": "date-time", "pattern": "^[A-Z]{3}$", "minLength": 2}, i={"items": {}}, j={"type": "array"},
                   k={"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3, "uniqueItems": True},
                   l={"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": {"type": "null"}},
                   m={"type": "object"}, n={"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2},
                   o=obj(p={"type": "number", "multipleOf": 0.5}, q=obj(r={"type": "string", "maxLength": 9, "default": "two words"})),
                   s={"const": None}, t={"$ref": "#/$defs/node"}, u={"$ref": "#/nowhere/x"}, v={"type": "thing"}))],
    [tool("tree", {**obj(root={"$ref": "#/$defs/node"}), "$defs": {"node": obj(name={"type": "string"}, kids={"type": "array", "items": {"$ref": "#/$defs/node"}})}})],
]


def random_schema(r, depth):
    kind = r.choice(["string", "integer", "number", "boolean", "enum", "array", "object", "any", "null", "types"] if depth else ["string", "integer", "enum"])
    s = {} if kind in ("any", "enum") else {"type": kind} if kind != "types" else {"type": r.sample(["string", "null", "integer", "object"], 2)}
    if kind == "enum": s["enum"] = r.sample(["a", "b c", "d|e", "x-y", "int", "-1", "é", " pad", 7, 1.5, False], r.randint(1, 4))
    if kind == "array": s["items"] = random_schema(r, depth - 1)
    if kind == "object":
        s["properties"] = {k: random_schema(r, depth - 1) for k in r.sample(["a", "b", "items", "get", "values", "type"], r.randint(0, 4))}
        s["required"] = r.sample(list(s["properties"]), r.randint(0, len(s["properties"])))
    for key, values in {"minimum": [0, -5, 1.5], "maximum": [9, 10.0], "minLength": [1], "description": ["what\u00a0it is", "", "  x "], "default": [0, "d", "True", None],
                        "format": ["date", "uri"], "minItems": [2], "title": ["T"]}.items():
        if r.random() < 0.2: s[key] = r.choice(values)
    return s


def requests(name):
    base = CONVERSATIONS + THOUGHTS + (OURS if "lfm" not in name else [])
    for i, messages in enumerate(base):
        for k, tools in enumerate(TOOLS):
            yield {"messages": messages, "tools": tools, "add_generation_prompt": (i + k) % 2 == 0, "bos_token": ["", "<|startoftext|>"][k % 2]}
    r = random.Random(1)
    for _ in range(40):
        tools = [tool(f"t{i}", {"type": "object", "properties": {k: random_schema(r, 3) for k in "xyz"[:r.randint(0, 3)]}}, r.choice([None, "does it", "a\tb"])) for i in range(3)]
        yield {"messages": base[0], "tools": tools}
        if name == "tenon": yield {"messages": base[0], "tools": tools, "tools_as": "json"}


def plain(request):
    """What the LFM2 template leaves to its caller: calls of the past are in the text already."""
    messages = [{k: v for k, v in m.items() if k != "tool_calls"} for m in request["messages"]]
    return {**request, "messages": messages}


# ---- tests ---------------------------------------------------------------------------------------------------

def test_tenon_template_and_c_agree():
    for request in requests("tenon"):
        compare("tenon", os.path.join(ROOT, "templates", "tenon.jinja"), request)


def test_json_template_and_c_agree():
    for request in requests("json"):
        compare("json", os.path.join(ROOT, "templates", "json.jinja"), request)


def test_lfm2_template_and_c_agree():
    for request in map(plain, requests("lfm2")):
        compare("lfm2", os.path.join(ROOT, "templates", "lfm2.jinja"), request)


def test_lfm25_template_and_c_agree():
    for request in map(plain, requests("lfm2.5")):
        compare("lfm2.5", os.path.join(ROOT, "templates", "lfm2.5.jinja"), request)
        compare("lfm2.5", os.path.join(ROOT, "templates", "lfm2.5.jinja"), {**request, "keep_past_thinking": True})


def as_published(name, file):
    path = os.path.join(SHARED, "fixtures", "chat_templates", file)
    if not os.path.exists(path):
        raise unittest.SkipTest(path + " is not there")
    for request in map(plain, requests(name)):
        compare(name, path, request)
        compare(path, path, request)


def test_lfm2_as_published():
    as_published("lfm2", "LFM2-8B-A1B.jinja")


def test_lfm25_as_published():
    as_published("lfm2.5", "LFM2.5-Instruct.jinja")


def test_domain_packs():
    packs = sorted(glob.glob(os.path.join(ROOT, "data", "domains", "*.json")))[::6]
    for pack in packs:
        tools = json.load(open(pack, encoding="utf-8")).get("tools", [])
        if tools and isinstance(tools[0], dict) and ("name" in tools[0] or "function" in tools[0]):
            compare("tenon", os.path.join(ROOT, "templates", "tenon.jinja"), {"messages": CONVERSATIONS[0], "tools": tools})


if __name__ == "__main__":
    for name, f in list(globals().items()):
        if name.startswith("test_"):
            try:
                f()
                print("ok", name)
            except unittest.SkipTest as why:
                print("skipped:", name, why)
