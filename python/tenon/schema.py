"""Types as JSON Schema, and JSON values back as what the types say.

str int float bool None list dict tuple Literal Enum Union/Optional TypedDict dataclass Annotated, and pydantic models where
pydantic is there. Constraints of Annotated (ours, pydantic's Field, annotated_types) go into the schema, so the decoder
cannot write anything else."""
import collections.abc
import dataclasses
import enum
import types
import typing
import warnings

try:
    from pydantic import BaseModel
except ImportError:
    BaseModel = None
try:                                                     # those of Python 3.9 do not know Required
    from typing_extensions import NotRequired, Required, is_typeddict
except ImportError:
    NotRequired, Required, is_typeddict = getattr(typing, "NotRequired", None), getattr(typing, "Required", None), getattr(typing, "is_typeddict", lambda t: False)

PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))
LISTS = (list, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.MutableSequence, collections.abc.Set)
MAPS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
# Attribute of a constraint -> keyword; of strings, of lists.
CONSTRAINTS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf", "pattern": "pattern"}
LENGTHS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems"), "object": ("minProperties", "maxProperties")}


@dataclasses.dataclass(frozen=True)
class Field:
    """Annotated[int, Field(ge=0, le=100, description="percent")]"""
    description: str = None
    ge: float = None
    le: float = None
    gt: float = None
    lt: float = None
    multiple_of: float = None
    min_length: int = None
    max_length: int = None
    pattern: str = None
    examples: tuple = None


def kinds_of(schema):
    """The types that a schema names, of a union all: a keyword counts for values of its own type only."""
    kinds = schema.get("type", [])
    return set([kinds] if isinstance(kinds, str) else kinds).union(*[kinds_of(s) for s in schema.get("anyOf", [])])


def constrain(schema, mark):
    """Adds what one argument of Annotated says."""
    if isinstance(mark, str):
        schema.setdefault("description", mark)
        return
    for inner in getattr(mark, "metadata", None) or ():  # pydantic keeps its own as a list
        constrain(schema, inner)
    for name, keyword in CONSTRAINTS.items():
        value = getattr(mark, name, None)
        if value is not None and not callable(value):
            schema[keyword] = getattr(value, "pattern", value)
    for kind in kinds_of(schema) & set(LENGTHS) or {"string"}:
        for name, keyword in zip(("min_length", "max_length"), LENGTHS[kind]):
            if getattr(mark, name, None) is not None:
                schema[keyword] = getattr(mark, name)
    if isinstance(getattr(mark, "description", None), str):
        schema["description"] = mark.description
    if getattr(mark, "examples", None):
        schema["examples"] = list(mark.examples)


def of_members(members, required, defs, about=None):
    properties = {}
    for name, tp in members.items():
        properties[name] = of(tp, defs)
    out = {"type": "object", "properties": properties, "required": [n for n in members if n in required], "additionalProperties": False}
    return dict(out, description=about) if about else out


class Defs(dict):
    """$defs, and the names of the types in it: two types of one name get two."""
    def __init__(self):
        self.names = {}


def named(tp, defs, make):
    """A type that may contain itself: once in $defs, a reference here."""
    names = getattr(defs, "names", {})
    name = names.get(tp, tp.__name__)
    while tp not in names and name in names.values():
        name += "_"
    names[tp] = name
    if name not in defs:
        defs[name] = {}
        defs[name] = make()
    return {"$ref": "#/$defs/" + name}


def of_dataclass(tp, defs):
    hints = typing.get_type_hints(tp, include_extras=True)
    fields = [f for f in dataclasses.fields(tp) if f.init]
    required = [f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    return named(tp, defs, lambda: of_members({f.name: hints[f.name] for f in fields}, required, defs))


def of_model(tp, defs):
    schema = tp.model_json_schema(ref_template="#/$defs/{model}")
    defs.update(schema.pop("$defs", {}))
    return schema


def bare(tp):
    """Without Required[…] and NotRequired[…]."""
    return typing.get_args(tp)[0] if typing.get_origin(tp) in (Required, NotRequired) and typing.get_origin(tp) else tp


def required_keys(tp, hints):
    """Of a TypedDict. Where annotations are strings the class does not know Required and NotRequired, its hints do."""
    marked = {name: typing.get_origin(hint) for name, hint in hints.items()}
    return {n for n in hints if marked[n] is Required and Required or (n in tp.__required_keys__ and not (NotRequired and marked[n] is NotRequired))}


def of_union(args, defs):
    choices = [of(a, defs) for a in args]
    if all(set(c) == {"type"} and isinstance(c["type"], str) for c in choices):
        return {"type": [c["type"] for c in choices]}
    return {"anyOf": choices}


def of_values(values):
    kinds = {PLAIN.get(type(v)) for v in values}
    out = {"enum": list(values)}
    return dict({"type": kinds.pop()}, **out) if len(kinds) == 1 and None not in kinds else out


def of_generic(origin, args, tp, defs):
    if origin is typing.Annotated:
        schema = of(args[0], defs)
        for mark in tp.__metadata__:
            constrain(schema, mark)
        return schema
    if origin is typing.Literal:
        return of_values(args)
    if origin in UNIONS:
        return of_union(args, defs)
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        return {"type": "array", "prefixItems": [of(a, defs) for a in args], "items": False, "minItems": len(args), "maxItems": len(args)}
    if origin is tuple or origin in LISTS:
        return {"type": "array", "items": of(args[0], defs)}
    if origin in MAPS:
        if args[0] is not str:
            raise TypeError("%r: keys of JSON objects are strings" % (tp,))
        return {"type": "object", "additionalProperties": of(args[1], defs)}
    raise TypeError("%r has no JSON Schema" % (tp,))


def of(tp, defs):
    """The schema of a type; named types go to defs."""
    tp = bare(tp)
    if tp in PLAIN or tp is None:
        return {"type": PLAIN.get(tp, "null")}
    if tp is typing.Any or tp is object:
        return {}
    if typing.get_origin(tp) is not None:
        return of_generic(typing.get_origin(tp), typing.get_args(tp), tp, defs)
    if tp in LISTS or tp is tuple:
        return {"type": "array"}
    if tp in MAPS:
        return {"type": "object"}
    if is_typeddict(tp):
        hints = typing.get_type_hints(tp, include_extras=True)
        return named(tp, defs, lambda: of_members(hints, required_keys(tp, hints), defs))
    if dataclasses.is_dataclass(tp):
        return of_dataclass(tp, defs)
    if isinstance(tp, type) and issubclass(tp, enum.Enum):
        return of_values([m.value for m in tp])
    if BaseModel and isinstance(tp, type) and issubclass(tp, BaseModel):
        return of_model(tp, defs)
    raise TypeError("%r has no JSON Schema" % (tp,))


# ---- back again ----

def fits(tp, value):
    """Which arm of a union a JSON value is meant for; a guess by its outermost kind."""
    origin, tp = typing.get_origin(tp) or tp, bare(tp)
    if origin is typing.Annotated:
        return fits(typing.get_args(tp)[0], value)
    if origin is typing.Literal:
        return value in typing.get_args(tp)
    if isinstance(tp, type) and issubclass(tp, enum.Enum):
        return value in [m.value for m in tp]
    if tp is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if tp is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if tp in (str, bool, type(None)):
        return isinstance(value, tp)
    if origin in LISTS or origin is tuple:
        return isinstance(value, list)
    if dataclasses.is_dataclass(tp) and isinstance(value, dict):
        names = {f.name for f in dataclasses.fields(tp)}
        return set(value) <= names
    return isinstance(value, dict) or tp is typing.Any


def back_generic(origin, args, value):
    if origin is typing.Annotated:
        return back(args[0], value)
    if origin in UNIONS:
        return next((back(a, value) for a in args if fits(a, value)), value)
    if origin is tuple and isinstance(value, list):
        return tuple(back(args[0], v) for v in value) if len(args) == 2 and args[1] is Ellipsis else tuple(back(a, v) for a, v in zip(args, value))
    if origin in LISTS and isinstance(value, list):
        made = [back(args[0], v) for v in value]
        return origin(made) if origin in (set, frozenset) else made
    if origin in MAPS and isinstance(value, dict):
        return {k: back(args[1], v) for k, v in value.items()}
    return value


def back(tp, value):
    """A value of the schema of tp as an object of tp."""
    tp = bare(tp)
    if typing.get_origin(tp) is not None:
        return back_generic(typing.get_origin(tp), typing.get_args(tp), value)
    if tp is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if tp is int and isinstance(value, float):
        return int(value)
    if tp in (set, frozenset, tuple) and isinstance(value, list):
        return tp(value)
    if is_typeddict(tp) and isinstance(value, dict):
        hints = typing.get_type_hints(tp, include_extras=True)
        return {k: back(hints.get(k, typing.Any), v) for k, v in value.items()}
    if dataclasses.is_dataclass(tp) and isinstance(value, dict):
        hints = typing.get_type_hints(tp, include_extras=True)
        return tp(**{k: back(hints[k], v) for k, v in value.items()})
    if isinstance(tp, type) and issubclass(tp, enum.Enum):
        return tp(value)
    if BaseModel and isinstance(tp, type) and issubclass(tp, BaseModel):
        return tp.model_validate(value)
    return value


def unannotated(function, parameter):
    warnings.warn("%s: parameter %s has no annotation; any JSON value is accepted" % (function, parameter), stacklevel=4)
    return typing.Any
