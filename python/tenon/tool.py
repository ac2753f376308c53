"""A function as a tool: its definition from signature and docstring, and a call by JSON text."""
import asyncio
import dataclasses
import enum
import functools
import inspect
import json
import traceback
import typing

from . import docstring, schema

KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def plain(value):
    """For json.dumps: what JSON does not know."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, enum.Enum):
        return value.value
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return str(value)


def text_of(value):
    """What the model reads of a result."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=plain)


def underlying(function):
    """The function whose annotations and docstring count: of a partial and of an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__


class Tool:
    """read_only: it may run beside others. timeout: seconds. approve: allow (default), ask or deny."""
    def __init__(self, function, *, name=None, description=None, read_only=False, idempotent=False, timeout=None, approve=None):
        self.function, self.name = function, name or underlying(function).__name__
        about, self.about = docstring.parse(inspect.getdoc(underlying(function)))
        self.description = description if description is not None else about
        self.types, self.parameters = {}, {}
        self.parameters = self.describe()
        more = {"read_only": read_only, "idempotent": idempotent, "timeout_ms": int(timeout * 1000) if timeout else None, "approve": approve}
        self.options = {k: v for k, v in more.items() if v}

    def describe(self):
        hints, defs = typing.get_type_hints(underlying(self.function), include_extras=True), schema.Defs()
        out = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
        for p in inspect.signature(self.function).parameters.values():
            if p.kind not in KINDS:
                raise TypeError("%s: parameter %s: *args, **kwargs and positional-only parameters cannot be described to a model" % (self.name, p))
            tp = self.types[p.name] = hints.get(p.name) if p.name in hints else schema.unannotated(self.name, p.name)
            out["properties"][p.name] = self.describe_one(p, tp, defs)
            if p.default is p.empty:
                out["required"].append(p.name)
        if defs:
            out["$defs"] = dict(defs)
        return out

    def describe_one(self, p, tp, defs):
        try:
            one = schema.of(tp, defs)
        except TypeError as e:
            raise TypeError("%s: parameter %s: %s" % (self.name, p.name, e)) from None
        if p.name in self.about:
            one.setdefault("description", self.about[p.name])
        if p.default is not p.empty and p.default is not None:
            try:
                one["default"] = json.loads(json.dumps(p.default, default=plain))
            except (TypeError, ValueError):
                pass                                     # it only says that the parameter may be left out
        return one

    @property
    def definition(self):
        """{"name", "description", "parameters"}, as an OpenAI tool has under "function"."""
        out = {"name": self.name}
        if self.description:
            out["description"] = self.description
        return dict(out, parameters=self.parameters)

    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs)

    def call(self, arguments, debug=False):
        """(text, is_error). arguments: JSON text of an object that satisfies the schema."""
        try:
            given = {k: schema.back(self.types[k], v) for k, v in json.loads(arguments).items()}
            result = self.function(**given)
            if inspect.isawaitable(result):
                result = asyncio.run(awaited(result))
            return text_of(result), False
        except Exception as e:
            return (traceback.format_exc() if debug else "%s: %s" % (type(e).__name__, e)), True


async def awaited(result):
    return await result
