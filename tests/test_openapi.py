"""Operations of OpenAPI documents as tools: parameters in all places, keys from the environment, many operations. Black box."""
import base64
import json

import pytest

from test_agent_cli import Stub, TENON, own_state, stub, tenon, tenon_has_client, write  # noqa: F401 (fixtures)


@pytest.fixture(autouse=True)
def has_client():
    if json.loads(tenon_has_client()) is False:
        pytest.skip("built without libcurl")


def entry_of(stub, **more):
    return dict({"spec": "pets.json", "prefix": "pet_", "base_url": stub, "insecure": True, "allow_private": True}, **more)


def offer(tmp_path, spec, entry):
    write(tmp_path / "pets.json", spec)
    tools = write(tmp_path / "t.json", {"openapi": [entry]})
    rc, out, err = tenon("tools", "list", "--json", "--tools", tools)
    return tools, {t["function"]["name"]: t for t in json.loads(out)} if rc == 0 else {}, err


def call(tools, tool, /, **args):
    rc, out, err = tenon("tools", "test", "--tools", tools, tool, json.dumps(args))
    return rc, out, Stub.seen[-1] if Stub.seen else None


def petstore():
    pet = {"type": "object", "required": ["id", "name"], "properties": {"id": {"type": "integer", "readOnly": True}, "name": {"type": "string"},
           "friend": {"$ref": "#/components/schemas/Pet"}, "age": {"type": "integer", "nullable": True, "minimum": 0, "exclusiveMinimum": True},
           "stamp": {"$ref": "#/components/schemas/Stamp"}}}
    return {"openapi": "3.0.3", "servers": [{"url": "https://pets.example.org/v2/"}], "components": {
            "schemas": {"Pet": pet, "Stamp": {"type": "string", "readOnly": True}, "Unused": {"type": "string"}},
            "parameters": {"Limit": {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 9}}}},
            "paths": {
                "/pets/{petId}": {"parameters": [{"name": "petId", "in": "path", "required": True, "schema": {"type": "integer"}}],
                                  "get": {"operationId": "getPet", "summary": "Finds a pet", "description": "By its number.\n\nMore.", "parameters": [{"$ref": "#/components/parameters/Limit"}]},
                                  "delete": {"operationId": "deletePet", "deprecated": True}},
                "/pets": {"post": {"operationId": "addPet", "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}}},
                          "patch": {"requestBody": {"required": True, "content": {"text/csv": {}}}},
                          "put": {"operationId": "putAll", "requestBody": {"required": True, "content": {"application/json; charset=utf-8": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}}}}}}}}


def test_operations_become_tools(tmp_path, stub):
    entry = entry_of(stub)
    tools, listed, err = offer(tmp_path, petstore(), entry)
    assert list(listed) == ["pet_getPet", "pet_addPet", "pet_putAll"] and "patch_pets is left out: it needs a body that is no JSON" in err
    get = listed["pet_getPet"]["function"]
    assert get["description"] == "Finds a pet. By its number." and get["parameters"]["required"] == ["petId"] and listed["pet_getPet"]["read_only"]
    assert not listed["pet_addPet"]["read_only"] and listed["pet_addPet"]["approve"] == "ask"
    add = listed["pet_addPet"]["function"]["parameters"]
    assert set(add["properties"]) == {"name", "friend", "age"} and add["required"] == ["name"], "what only replies have is not asked for"
    assert add["properties"]["age"] == {"type": ["integer", "null"], "exclusiveMinimum": 0} and add["properties"]["friend"] == {"$ref": "#/$defs/Pet"}
    assert set(add["$defs"]) == {"Pet"} and set(add["$defs"]["Pet"]["properties"]) == {"name", "friend", "age"}, "those that are reached"
    assert call(tools, "pet_getPet", petId=7, limit=2)[2][1] == "/pets/7?limit=2"
    assert call(tools, "pet_getPet", petId=7, limit=10)[0] == 1
    assert json.loads(call(tools, "pet_addPet", name="Rex", age=None)[2][3]) == {"name": "Rex", "age": None}
    n = len(Stub.seen)
    assert call(tools, "pet_addPet", name="Rex", id=4)[0] == 1 and call(tools, "pet_putAll", body=[{"name": "a", "id": 3}])[0] == 0 and len(Stub.seen) == n + 1
    assert json.loads(call(tools, "pet_putAll", body=[{"name": "a"}])[2][3]) == [{"name": "a"}]
    assert list(offer(tmp_path, petstore(), dict(entry, operations=["get*"]))[1]) == ["pet_getPet"]


def test_parameters_in_every_place(tmp_path, stub):
    text, numbers = {"type": "string"}, {"type": "array", "items": {"type": "integer"}}
    pairs = {"type": "object", "properties": {"a": text, "b c": text}}

    def q(name, schema, **more):
        return dict({"name": name, "in": "query", "schema": schema}, **more)
    spec = {"openapi": "3.1.0", "paths": {"/x/{id}/{list}": {"parameters": [{"name": "id", "in": "path", "required": True, "schema": text}, {"name": "X-Trace", "in": "header", "schema": {"type": "integer"}}], "get": {
        "operationId": "look", "parameters": [
            {"name": "list", "in": "path", "required": True, "schema": numbers}, {"name": "id", "in": "query", "schema": text}, {"name": "X-Trace", "in": "header", "required": True, "schema": text},
            {"name": "Authorization", "in": "header", "schema": text}, {"name": "X-Many", "in": "header", "schema": numbers}, {"name": "taste", "in": "cookie", "schema": text},
            q("filter[since]", text), q("tag", numbers), q("flat", numbers, explode=False), q("piped", numbers, style="pipeDelimited"), q("deep", pairs, style="deepObject"), q("loose", pairs),
            {"name": "where", "in": "query", "content": {"application/json": {"schema": pairs}}}]}}}}
    tools, listed, err = offer(tmp_path, spec, entry_of(stub, prefix="", headers={"X-Own": "1"}))
    par = listed["look"]["function"]["parameters"]
    assert "Authorization" not in par["properties"] and par["properties"]["X-Trace"] == text, "the operation's own stands for that of the path"
    assert sorted(par["required"]) == ["X-Trace", "id", "list"] or sorted(par["required"]) == ["X-Trace", "id_path", "list"], par
    one = "id_path" if "id_path" in par["properties"] else "id"
    other = "id" if one == "id_path" else "id_query"
    rc, out, seen = call(tools, "look", **{one: "a/b", other: "c", "list": [1, 2], "X-Trace": "t 1", "X-Many": [3, 4], "taste": "s; x=y", "filter_since_": "1&2", "tag": [5, 6], "flat": [7, 8],
                                           "piped": [9, 0], "deep": {"a": "1", "b c": "2"}, "loose": {"a": "&"}, "where": {"a": "z"}})
    assert rc == 0 and seen[1] == ("/x/a%2Fb/1,2?id=c&filter%5Bsince%5D=1%262&tag=5&tag=6&flat=7,8&piped=9%7C0&deep%5Ba%5D=1&deep%5Bb%20c%5D=2&a=%26&where=%7B%22a%22%3A%22z%22%7D"), (out, seen)
    h = seen[2]
    assert h["x-trace"] == "t 1" and h["x-many"] == "3,4" and h["cookie"] == "taste=s%3B%20x%3Dy" and h["x-own"] == "1"
    rc, out, seen = call(tools, "look", **{one: "a", "list": [1], "X-Trace": "t"})
    assert seen[1] == "/x/a/1" and "cookie" not in seen[2] and "x-many" not in seen[2], "what is absent is not sent"
    n = len(Stub.seen)
    rc, out, seen = call(tools, "look", **{one: "a", "list": [1], "X-Trace": "t\r\nX-Evil: 1"})
    assert rc == 1 and "line end" in out and len(Stub.seen) == n


SCHEMES = {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}, "asked": {"type": "apiKey", "in": "query", "name": "api key"}, "crumb": {"type": "apiKey", "in": "cookie", "name": "sid"},
           "bearer": {"type": "http", "scheme": "Bearer"}, "basic": {"type": "http", "scheme": "basic"}, "flow": {"type": "oauth2", "flows": {}}, "oidc-1": {"type": "openIdConnect", "openIdConnectUrl": "https://x"},
           "tls": {"type": "mutualTLS"}}


def guarded(*security, **more):
    return {"openapi": "3.1.0", "components": {"securitySchemes": SCHEMES}, "paths": {"/p": {"get": dict({"operationId": "p"}, security=list(security))}}, **more}


@pytest.mark.parametrize("scheme, place, sent", [
    ("key", "x-key", "s3cret/&"), ("asked", None, "/p?api%20key=s3cret%2F%26"), ("crumb", "cookie", "sid=s3cret%2F%26"), ("bearer", "authorization", "Bearer s3cret/&"),
    ("basic", "authorization", "Basic " + base64.b64encode(b"s3cret/&").decode()), ("flow", "authorization", "Bearer s3cret/&"), ("oidc-1", "authorization", "Bearer s3cret/&")])
def test_keys_come_from_the_environment(tmp_path, stub, monkeypatch, scheme, place, sent):
    entry = entry_of(stub, prefix="")
    tools, listed, err = offer(tmp_path, guarded({scheme: []}), entry)
    variable = scheme.upper().replace("-", "_")
    assert not listed and variable in err, "no key, no tool, and it is said which is missing"
    monkeypatch.setenv(variable, "s3cret/&")
    for auth, name in (({}, variable), ({"auth": {scheme: "MY_OWN"}}, "MY_OWN")):
        monkeypatch.setenv(name, "s3cret/&")
        tools, listed, err = offer(tmp_path, guarded({scheme: []}), dict(entry, **auth))
        assert "properties" in listed["p"]["function"]["parameters"] and not listed["p"]["function"]["parameters"]["properties"], "the model does not see keys"
        rc, out, seen = call(tools, "p")
        assert rc == 0 and (seen[2][place] if place else seen[1]) == sent, seen


def test_ways_to_say_who_asks(tmp_path, stub, monkeypatch):
    entry = entry_of(stub, prefix="")
    monkeypatch.setenv("KEY", "kkkk")
    monkeypatch.setenv("CRUMB", "cccc")
    seen = call(offer(tmp_path, guarded({"bearer": []}, {"key": [], "crumb": []}), entry)[0], "p")[2][2]
    assert seen["x-key"] == "kkkk" and seen["cookie"] == "sid=cccc" and "authorization" not in seen, "the first way that is whole"
    seen = call(offer(tmp_path, guarded({}, {"bearer": []}), entry)[0], "p")[2][2]
    assert "authorization" not in seen, "nobody, where that is a way"
    assert call(offer(tmp_path, guarded({"bearer": []}), dict(entry, headers={"authorization": "Mine"}))[0], "p")[2][2]["authorization"] == "Mine"
    spec = guarded({"key": []}, security=[{"bearer": []}])
    assert offer(tmp_path, spec, entry)[1], "the operation's own rule stands for that of the document"
    del spec["paths"]["/p"]["get"]["security"]
    assert "BEARER" in offer(tmp_path, spec, entry)[2]
    assert "tls (of a kind that is not known)" in offer(tmp_path, guarded({"tls": []}), entry)[2]


def test_keys_are_not_shown(tmp_path, stub, monkeypatch):
    monkeypatch.setenv("ASKED", "pass word&")
    spec = guarded({"asked": []})
    spec["paths"]["/missing"] = {"get": {"operationId": "missing", "security": [{"asked": []}]}}
    tools = offer(tmp_path, spec, entry_of(stub, prefix=""))[0]
    Stub.echo = True
    try:
        rc, out, seen = call(tools, "p")
    finally:
        Stub.echo = False
    assert "pass%20word%26" in seen[1] and "pass" not in out and "${env:ASKED}" in out, "a reply that says the address again"


def test_private_addresses_are_refused(tmp_path, stub):
    tools = offer(tmp_path, petstore(), entry_of(stub, allow_private=False))[0]
    rc, out, seen = call(tools, "pet_getPet", petId=1)
    assert rc == 1 and "open internet" in out and not Stub.seen
    tools, listed, err = offer(tmp_path, petstore(), entry_of(stub, insecure=False))
    assert not listed and "https://" in err


def test_names_are_unique(tmp_path, stub):
    paths = {"/%s" % i: {"get": {"operationId": "same.name" if i < 3 else "x" * 70 + str(i)}} for i in range(6)}
    listed = offer(tmp_path, {"openapi": "3.1.0", "paths": paths}, entry_of(stub, prefix=""))[1]
    assert len(listed) == 6 and {"same_name", "pets_same_name"} < set(listed) and all(len(n) <= 64 for n in listed), list(listed)


def test_servers_and_their_variables(tmp_path, stub):
    spec = dict(petstore(), servers=[{"url": "http://{host}:%s/" % stub.rsplit(":", 1)[1], "variables": {"host": {"default": "127.0.0.1"}}}])
    entry = entry_of(stub)
    del entry["base_url"]
    assert call(offer(tmp_path, spec, entry)[0], "pet_getPet", petId=1)[2][1] == "/pets/1"


def test_documents_that_are_refused(tmp_path, stub):
    many = dict(petstore(), paths={"/p%d" % i: {"get": {}} for i in range(41)})
    for spec, more, words in (({}, {}, ["base_url"]), ("{", {}, ["spec.json"]), (petstore(), {"oprations": []}, ["'oprations'"]), (dict(petstore(), swagger="2.0"), {}, ["OpenAPI 2"]),
                              (dict(petstore(), openapi="4.0"), {}, ["4.0"]), (petstore(), {"auth": 3}, ["auth"]), (petstore(), {"spec": "pets.yaml"}, ["YAML"])):
        write(tmp_path / "pets.yaml", "openapi: 3.0.0\n")
        write(tmp_path / "spec.json", spec)
        rc, out, err = tenon("tools", "list", "--tools", write(tmp_path / "t.json", {"openapi": [dict({"spec": "spec.json"}, **more)]}))
        assert rc == 1 and all(w in err for w in words), err
    write(tmp_path / "spec.json", many)
    tools = write(tmp_path / "t.json", {"openapi": [{"spec": "spec.json"}]})
    rc, out, err = tenon("run", "--tools-max", 0, "--call-only", "--tools", tools, "hello")
    assert rc == 1 and "more than 40" in err and "operations" in err, "all of them, and nobody chooses"
    assert tenon("tools", "list", "--tools", tools)[0] == 0, "where the model is shown a choice there may be more"
    rc, out, err = tenon("run", "--tools-max", 0, "--call-only", "--max-tokens", 4, "--tools", write(tmp_path / "t.json", {"openapi": [{"spec": "spec.json", "operations": ["get_p1*"]}]}), "hello")
    assert "more than" not in err
