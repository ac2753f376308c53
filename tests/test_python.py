"""The Python package: signatures and docstrings as schemas, conversations that run functions, the wheel."""
import asyncio
import dataclasses
import enum
import functools
import json
import os
import subprocess
import sys
import threading
import time
import types
import typing
from typing import Annotated, Any, Dict, List, Literal, Optional, TypedDict, Union

import pytest

TENON = os.path.abspath(os.environ.get("TENON", "build/tenon"))
LIBRARY = os.path.join(os.path.dirname(TENON), "libtenon.so")
if not os.path.exists(LIBRARY):
    pytest.skip("libtenon.so is not beside the binary", allow_module_level=True)
if b"__asan_init" in open(LIBRARY, "rb").read():
    pytest.skip("a library with sanitizers cannot be loaded into Python", allow_module_level=True)
os.environ["TENON_LIBRARY"] = LIBRARY
sys.path.insert(0, os.path.abspath("python"))
import tenon  # noqa: E402
from tenon import Conversation, Engine, Field, Tool, docstring, schema  # noqa: E402


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Tree:
    value: int
    children: List["Tree"] = dataclasses.field(default_factory=list)


class Place(TypedDict, total=False):
    name: str
    at: Point


# ---- types ----

@pytest.mark.parametrize("tp, expected", [
    (str, {"type": "string"}), (int, {"type": "integer"}), (float, {"type": "number"}), (bool, {"type": "boolean"}), (None, {"type": "null"}), (Any, {}),
    (List[int], {"type": "array", "items": {"type": "integer"}}), (list, {"type": "array"}), (Dict[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
    (typing.Tuple[int, str], {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False, "minItems": 2, "maxItems": 2}),
    (typing.Tuple[int, ...], {"type": "array", "items": {"type": "integer"}}), (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}), (Literal["a", 1], {"enum": ["a", 1]}),
    (Color, {"type": "string", "enum": ["red", "blue"]}), (Optional[int], {"type": ["integer", "null"]}),
    (Union[int, List[str]], {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]}),
    (Annotated[int, Field(ge=0, lt=10, multiple_of=2, description="d")], {"type": "integer", "minimum": 0, "exclusiveMaximum": 10, "multipleOf": 2, "description": "d"}),
    (Annotated[str, Field(min_length=1, max_length=3, pattern="^a"), "words"], {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^a", "description": "words"}),
    (Annotated[List[int], Field(max_length=3)], {"type": "array", "items": {"type": "integer"}, "maxItems": 3}),
    (Annotated[Optional[int], Field(ge=0)], {"type": ["integer", "null"], "minimum": 0}), (Annotated[Dict[str, int], Field(max_length=2)], {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2}),
    (Annotated[Union[str, List[int]], Field(min_length=1)], {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}], "minLength": 1, "minItems": 1}),
    (type(None), {"type": "null"}), (tuple, {"type": "array"}), (dict, {"type": "object"}), (Number, {"type": "integer", "enum": [1, 2]}), (Literal[None, True], {"enum": [None, True]}),
    (Optional[Literal["a"]], {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]}), (typing.FrozenSet[str], {"type": "array", "items": {"type": "string"}}),
    (Dict[str, List[Optional[float]]], {"type": "object", "additionalProperties": {"type": "array", "items": {"type": ["number", "null"]}}})])
def test_types_as_schemas(tp, expected):
    assert schema.of(tp, {}) == expected


def test_types_with_names_go_to_defs():
    defs = {}
    assert schema.of(Tree, defs) == {"$ref": "#/$defs/Tree"}
    assert defs["Tree"] == {"type": "object", "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
                            "required": ["value"], "additionalProperties": False}
    schema.of(Place, defs)
    assert defs["Place"]["required"] == [] and defs["Place"]["properties"]["at"] == {"$ref": "#/$defs/Point"} and defs["Point"]["required"] == ["x"]


def test_two_types_of_one_name():
    def made(field):
        return dataclasses.make_dataclass("Same", [(field, int)])
    one, two, defs = made("a"), made("b"), schema.Defs()
    assert [schema.of(t, defs)["$ref"] for t in (one, two, one)] == ["#/$defs/Same", "#/$defs/Same_", "#/$defs/Same"]
    assert list(defs["Same"]["properties"]) == ["a"] and list(defs["Same_"]["properties"]) == ["b"]


def test_typed_dicts_whose_annotations_are_strings():
    text = "from __future__ import annotations\nfrom typing import *\nfrom tenon.schema import NotRequired, Required\nclass Place(TypedDict, total=False):\n    a: Required[int]\n    b: NotRequired[str]\n    c: float\n"
    if schema.Required is None:
        pytest.skip("Required is of Python 3.11 or typing_extensions")
    made, defs = types.ModuleType("made"), {}
    sys.modules["made"] = made
    exec(compile(text, "made.py", "exec"), made.__dict__)
    schema.of(made.Place, defs)
    assert defs["Place"]["required"] == ["a"] and set(defs["Place"]["properties"]) == {"a", "b", "c"}


@pytest.mark.parametrize("tp, value, expected", [
    (Number, 2, Number.TWO), (Union[List[int], Point], {"x": 2}, Point(2.0)), (Optional[List[Color]], ["blue"], [Color.BLUE]), (Annotated[Optional[Color], Field()], None, None),
    (Color, "red", Color.RED), (Point, {"x": 1}, Point(1.0)), (Tree, {"value": 1, "children": [{"value": 2}]}, Tree(1, [Tree(2)])), (float, 3, 3.0), (int, 3.0, 3),
    (typing.Tuple[int, Color], [1, "blue"], (1, Color.BLUE)), (Optional[Point], None, None), (Optional[Point], {"x": 2}, Point(2.0)), (Union[Color, int], 4, 4),
    (Dict[str, Point], {"a": {"x": 1}}, {"a": Point(1.0)}), (Place, {"at": {"x": 1}}, {"at": Point(1.0)}), (typing.Set[int], [1, 1], {1}), (Annotated[Color, "c"], "red", Color.RED)])
def test_values_come_back_as_types(tp, value, expected):
    got = schema.back(tp, value)
    assert got == expected and type(got) is type(expected)


def test_pydantic_models():
    pydantic = pytest.importorskip("pydantic")

    class Address(pydantic.BaseModel):
        street: str
        number: int = pydantic.Field(ge=1)

    def send(to: Address, copies: Annotated[int, pydantic.Field(ge=1, le=5, description="how many")] = 1):
        return to
    tool = Tool(send)
    to = tool.parameters["properties"]["to"]
    assert to["properties"]["number"]["minimum"] == 1 and tool.parameters["properties"]["copies"] == {"type": "integer", "minimum": 1, "maximum": 5, "description": "how many", "default": 1}
    assert tool.call('{"to":{"street":"a","number":2}}') == ('{"street":"a","number":2}', False)
    text, failed = tool.call('{"to":{"street":"a","number":0}}')
    assert failed and "ValidationError" in text


# ---- functions ----

STYLES = {
    "google": "Price of a car.\n\nMore of it.\n\nArgs:\n    car_name (str): model name,\n        as sold\n    currency: which one\n\nReturns:\n    a number\n",
    "numpy": "Price of a car.\n\nParameters\n----------\ncar_name : str\n    model name,\n    as sold\ncurrency : str, optional\n    which one\n\nReturns\n-------\nint\n    a number\n",
    "numpy of two": "Price of a car.\n\nParameters\n----------\ncar_name : str\n    model name, as sold\ncurrency, unit : str\n    which one\n",
    "rest": "Price of a car.\n\n:param str car_name: model name,\n    as sold\n:param currency: which one\n:returns: a number\n:rtype: int\n"}


@pytest.mark.parametrize("style", STYLES)
def test_docstrings(style):
    about = {"car_name": "model name, as sold", "currency": "which one"}
    assert docstring.parse(STYLES[style]) == ("Price of a car.", dict(about, unit="which one") if "unit" in STYLES[style] else about)


@pytest.mark.parametrize("text, expected", [("", ("", {})), (None, ("", {})), ("One\nline.", ("One line.", {})), ("Does it.\n\nArgs:\n    x: a: b\n", ("Does it.", {"x": "a: b"})),
                                            ("Notes: are text", ("Notes: are text", {}))])
def test_docstrings_of_all_kinds(text, expected):
    assert docstring.parse(text) == expected


def test_a_signature_becomes_a_definition():
    def get_car_price(car_name: str, currency: Literal["USD", "EUR"] = "USD", *, year: Optional[int] = None):
        """Price of a car.
        Args:
            car_name: model name
        """
    assert Tool(get_car_price).definition == {
        "name": "get_car_price", "description": "Price of a car.", "parameters": {
            "type": "object", "properties": {"car_name": {"type": "string", "description": "model name"},
                                             "currency": {"type": "string", "enum": ["USD", "EUR"], "default": "USD"}, "year": {"type": ["integer", "null"]}},
            "required": ["car_name"], "additionalProperties": False}}


def test_methods_partials_and_objects_that_can_be_called():
    class Shop:
        def price(self, car: str):
            """Price of a car."""
            return car

        def __call__(self, n: int):
            """Counts."""
            return n + 1

    def both(a: int, b: int = 2):
        """Adds."""
        return a + b
    assert Tool(Shop().price).definition["description"] == "Price of a car." and Tool(Shop().price).call('{"car":"x"}') == ("x", False)
    t = Tool(functools.partial(both, b=5), name="add")
    assert t.definition["description"] == "Adds." and t.parameters["required"] == ["a"] and t.call('{"a":1}') == ("6", False)
    t = Tool(Shop(), name="count")
    assert t.definition["description"] == "Counts." and t.parameters["required"] == ["n"] and t.call('{"n":1}') == ("2", False)


def test_what_cannot_be_described_is_refused():
    for f, words in ((lambda *a: 0, "positional"), (lambda **k: 0, "kwargs")):
        with pytest.raises(TypeError, match=words):
            Tool(f, name="f")

    def f(x: complex):
        pass
    with pytest.raises(TypeError, match="parameter x.*complex"):
        Tool(f)

    def g(x):
        pass
    with pytest.warns(UserWarning, match="parameter x has no annotation"):
        assert Tool(g).parameters["properties"] == {"x": {}}


def test_calls_and_their_results():
    def f(x: int):
        return {"x": x, "c": Color.RED, "p": Point(1), "s": {2, 1}}

    async def later(x: int):
        await asyncio.sleep(0.01)
        return x + 1

    def fails(x: int):
        raise ValueError("no such thing")
    assert Tool(f).call('{"x":1}') == ('{"x":1,"c":"red","p":{"x":1,"y":0.0},"s":[1,2]}', False)
    assert Tool(later).call('{"x":1}') == ("2", False)
    assert Tool(fails).call('{"x":1}') == ("ValueError: no such thing", True)
    assert "Traceback" in Tool(fails).call('{"x":1}', debug=True)[0]
    assert Tool(lambda: None, name="n").call("{}") == ("", False) and Tool(lambda: "a", name="n").call("{}") == ("a", False)


# ---- conversations ----

@pytest.fixture(scope="module")
def engine():
    with Engine(threads=2, n_ctx=2048) as e:
        yield e


LIMITS = {"max_turns": 2}


def test_a_conversation_runs_functions(engine):
    seen, events = [], []
    with Conversation(engine=engine, limits=LIMITS, request={"max_tokens": 60}) as chat:
        @chat.register
        def set_light(room: str, brightness: Annotated[int, Field(ge=0, le=100, description="percent, 0 is off")]):
            """Dims or brightens the light in a room
            Args:
                room: which room
            """
            seen.append((room, brightness, threading.current_thread() is threading.main_thread()))
            return {"ok": True}
        last = chat.submit("Dim the light in the kitchen to 10", on_event=events.append)
        assert seen == [("kitchen", 10, False)] and last["role"] == "assistant"
        assert [m["role"] for m in chat.messages][:3] == ["user", "assistant", "tool"] and chat.messages[2]["content"] == '{"ok":true}'
        assert chat.calls[0]["name"] == "set_light" and json.loads(chat.calls[0]["arguments"]) == {"room": "kitchen", "brightness": 10} and chat.calls[0]["ran"]
        kinds = [e["event"] for e in events]
        assert kinds.index("call_begin") < kinds.index("call_end") < kinds.index("tool_result")
        assert "".join(e["text"] for e in events if e["event"] == "call_args") == chat.calls[0]["arguments"]


def test_errors_reach_the_model_and_not_the_caller(engine):
    with Conversation(engine=engine, limits=LIMITS, request={"max_tokens": 40}) as chat:
        @chat.register
        def set_light(room: str, brightness: int):
            """Dims or brightens the light in a room"""
            sys.exit("the fuse has blown")
        chat.submit("Dim the light in the kitchen to 10")
        assert chat.calls[0]["is_error"] and "the fuse has blown" in chat.calls[0]["result"]


@pytest.mark.parametrize("debug", [False, True])
def test_coroutines_and_exceptions_in_a_conversation(engine, debug):
    async def set_light(room: str, brightness: int):
        """Dims or brightens the light in a room"""
        await asyncio.sleep(0)
        raise LookupError("no room " + room)
    with Conversation(engine=engine, limits=LIMITS, request={"max_tokens": 40}, debug=debug) as chat:
        chat.register(set_light)
        chat.submit("Dim the light in the kitchen to 10")
        result = chat.calls[0]["result"]
        assert chat.calls[0]["is_error"] and "LookupError: no room kitchen" in result and ("Traceback" in result) == debug


def test_a_callback_that_raises_and_one_that_stops(engine):
    with Conversation(engine=engine, request={"max_tokens": 40}) as chat:
        def boom(event):
            raise KeyError("mine")
        with pytest.raises(KeyError, match="mine"):
            chat.submit("Hello", on_event=boom)
        chat.submit("Hello", on_event=lambda e: False)
        assert chat.stop == "interrupted"


def test_cancelled_from_another_thread(engine):
    started = threading.Event()
    with Conversation(engine=engine, limits=LIMITS, request={"max_tokens": 60}) as chat:
        @chat.register
        def set_light(room: str, brightness: int):
            """Dims or brightens the light in a room"""
            started.set()
            time.sleep(1)

        def cancel():
            started.wait(60)
            chat.cancel()
        threading.Thread(target=cancel).start()
        chat.submit("Dim the light in the kitchen to 10")
        assert chat.stop == "interrupted" and "cancelled" in chat.calls[0]["result"]


def asking(engine, approve, **more):
    ran, chat = [], Conversation(engine=engine, limits=LIMITS, request={"max_tokens": 60}, approve=approve, **more)

    @chat.register(approve="ask")
    def set_light(room: str, brightness: int):
        """Dims or brightens the light in a room"""
        ran.append((room, brightness))
        return "ok"
    return chat, ran


@pytest.mark.parametrize("answer, runs", [(True, 1), ("once", 1), ("always", 1), ("exact", 1), (False, 0), (None, 0), (("no", "it is \u2018late\u2019"), 0), ("stop", 0)])
def test_a_function_is_asked_whether_a_call_may_run(engine, answer, runs):
    asked = []
    chat, ran = asking(engine, lambda q: asked.append(q) or answer)
    with chat:
        chat.submit("Dim the light in the kitchen to 10")
        assert len(ran) == runs and chat.calls[0]["ran"] == bool(runs)
        assert asked[0] == {"tool": "set_light", "source": "function", "arguments": {"room": "kitchen", "brightness": 10}, "changed": False}
        if isinstance(answer, tuple):
            assert "Reason: it is \u2018late\u2019" in chat.messages[2]["content"]
        n = len(asked)
        chat.submit("Dim the light in the kitchen to 10")
        if chat.calls:
            assert (len(asked) > n) == (answer not in ("always", "exact"))


@pytest.mark.parametrize("approve, error", [(lambda q: 1 / 0, ZeroDivisionError), (lambda q: "perhaps", ValueError)])
def test_an_asked_function_that_fails_denies(engine, approve, error):
    chat, ran = asking(engine, approve)
    with chat, pytest.raises(error):
        chat.submit("Dim the light in the kitchen to 10")
    assert not ran


def test_nobody_is_asked_without_a_function(engine):
    chat, ran = asking(engine, "none")
    with chat:
        chat.submit("Dim the light in the kitchen to 10")
        assert not ran and chat.stop == "denied" and "nobody can be asked" in chat.calls[0]["result"]


def test_conversations_side_by_side_share_an_engine(engine):
    rooms, meet, out = ["kitchen", "hall", "bedroom", "garage"], threading.Barrier(4, timeout=60), {}

    def talk(room):
        with Conversation(engine=engine, limits=LIMITS, request={"max_tokens": 60}) as chat:
            @chat.register
            def set_light(room: str, brightness: int):
                """Dims or brightens the light in a room"""
                meet.wait()                                              # all four tools run at the same time
                return "ok"
            chat.submit("Dim the light in the %s to 10" % room)
            out[room] = json.loads(chat.calls[0]["arguments"])["room"]
    threads = [threading.Thread(target=talk, args=(r,)) for r in rooms]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert out == {r: r for r in rooms}


def test_an_engine_is_not_asked_by_who_hears_it(engine):
    def again(event):
        engine.run({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4})
    with pytest.raises(tenon.Error, match="when that is over"):
        engine.run({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}, on_event=again)
    with Conversation(engine=engine, limits=LIMITS, request={"max_tokens": 60}) as chat:
        @chat.register
        def set_light(room: str, brightness: int):
            """Dims or brightens the light in a room"""
            return engine.run({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4})["role"]
        chat.submit("Dim the light in the kitchen to 10")
        assert chat.calls[0]["result"] == "assistant", "a tool may, because nothing is generated while it runs"


def test_what_the_library_refuses(engine, tmp_path):
    with pytest.raises(tenon.Error, match="/no/such.gguf"):
        Engine("/no/such.gguf")
    with pytest.raises(tenon.Error, match="approve"):
        Conversation(engine=engine, approve="some").submit("x")
    with pytest.raises(tenon.Error, match="/no/such.json"):
        Conversation(engine=engine, tools="/no/such.json")
    chat = Conversation(engine=engine)
    chat.register(Tool(lambda: 0, name="twice"))
    with pytest.raises(tenon.Error, match="taken"):
        chat.register(Tool(lambda: 0, name="twice"))
    with pytest.raises(tenon.Error):
        engine.run({"messages": "none"})


def test_an_engine_answers_one_request(engine):
    parameters = {"type": "object", "properties": {"city": {"enum": ["Oslo"]}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": parameters}}
    m = engine.run({"messages": [{"role": "user", "content": "weather?"}], "tools": [tool], "tool_choice": "required", "max_tokens": 60})
    assert m["tool_calls"][0]["function"]["name"] == "get_weather" and json.loads(m["tool_calls"][0]["function"]["arguments"]) == {"city": "Oslo"}


# ---- the wheel ----

def test_the_wheel_is_built_and_works_without_network(tmp_path):
    env = dict(os.environ, TENON_LIBRARY=LIBRARY, PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    p = subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "-w", str(tmp_path), "./python"], capture_output=True, text=True, timeout=300, env=env)
    assert p.returncode == 0, p.stderr
    wheel, = tmp_path.glob("tenon-*.whl")
    assert "-py3-none-linux_" in wheel.name
    p = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(tmp_path / "site"), str(wheel)], capture_output=True, text=True, timeout=300, env=env)
    assert p.returncode == 0, p.stderr
    env = {k: v for k, v in os.environ.items() if k != "TENON_LIBRARY"}
    p = subprocess.run([sys.executable, os.path.abspath("examples/cars.py")], capture_output=True, text=True, timeout=300, cwd=tmp_path, env=dict(env, PYTHONPATH=str(tmp_path / "site")))
    assert p.returncode == 0, p.stderr
    assert "get_car_price" in p.stdout and "Tang" in p.stdout
    assert tenon.__version__ == tenon._lib.lib.tn_version().decode()
