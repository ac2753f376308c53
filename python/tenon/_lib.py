"""libtenon by ctypes: the few functions of tenon.h that the package uses, and an engine as an object."""
import ctypes
import ctypes.util
import json
import os
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_bool, c_char, c_char_p, c_double, c_int, c_size_t, c_void_p

KINDS = ["reasoning", "text", "call_begin", "call_args", "call_end", "finish", "error", "tool_result"]
REASONS = ["stop", "tool_calls", "length", "cancelled"]


class Error(Exception):
    """What Tenon refused, in its own sentence. kind: "invalid_request", "invalid_schema", "limit", …"""
    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class CError(Structure):
    _fields_ = [("kind", c_char * 32), ("message", c_char * 480)]

    def raised(self):
        return Error(self.kind.decode(), self.message.decode("utf-8", "replace"))


class Options(Structure):
    _fields_ = [("dialect", c_char_p), ("n_ctx", c_int), ("n_thread", c_int), ("kv_type", c_char_p), ("no_mmap", c_bool), ("mlock", c_bool),
                ("lora", POINTER(c_char_p)), ("n_lora", c_int)]


class CEvent(Structure):
    _fields_ = [("kind", c_int), ("bytes", c_void_p), ("len", c_size_t), ("index", c_int), ("id", c_char_p), ("name", c_char_p), ("schema_ok", c_bool),
                ("reason", c_int), ("prompt_tokens", c_int), ("cached_tokens", c_int), ("completion_tokens", c_int), ("forced_tokens", c_int),
                ("prefill_ms", c_double), ("decode_ms", c_double), ("total_ms", c_double)]

    def as_dict(self):
        kind = KINDS[self.kind]
        text = ctypes.string_at(self.bytes, self.len).decode("utf-8", "replace") if self.bytes else ""
        out = {"event": kind}
        if kind == "finish":
            return dict(out, reason=REASONS[self.reason], message=json.loads(text or "null"), prompt_tokens=self.prompt_tokens, cached_tokens=self.cached_tokens,
                        completion_tokens=self.completion_tokens, total_ms=self.total_ms)
        if kind in ("call_begin", "tool_result"):
            out.update(index=self.index, id=(self.id or b"").decode(), name=(self.name or b"").decode())
        if kind in ("call_args", "call_end"):
            out["index"] = self.index
        if kind in ("call_end", "tool_result"):
            out["ok"] = self.schema_ok
        if kind != "call_begin":
            out["text"] = text
        return out


EventFn = CFUNCTYPE(c_bool, c_void_p, POINTER(CEvent))
ToolFn = CFUNCTYPE(None, c_void_p, c_char_p, c_void_p)
AskFn = CFUNCTYPE(c_int, c_void_p, c_char_p, POINTER(c_char))
ANSWERS, REASON_MOST = {"no": 0, "once": 1, "always": 2, "exact": 3, "stop": 4}, 512
PROTOTYPES = {
    "tn_open": (c_void_p, [c_char_p, POINTER(Options), POINTER(CError)]), "tn_close": (None, [c_void_p]),
    "tn_run": (c_bool, [c_void_p, c_char_p, EventFn, c_void_p, POINTER(CError)]), "tn_free": (None, [c_void_p]), "tn_version": (c_char_p, []),
    "tn_loop_open": (c_void_p, [c_void_p, c_char_p, POINTER(CError)]), "tn_loop_close": (None, [c_void_p]),
    "tn_tool_register": (c_bool, [c_void_p, c_char_p, ToolFn, c_void_p, POINTER(CError)]), "tn_call_finish": (None, [c_void_p, c_char_p, c_bool]),
    "tn_loop_tools": (c_bool, [c_void_p, c_char_p, POINTER(CError)]), "tn_loop_builtin": (c_bool, [c_void_p, c_char_p, POINTER(CError)]),
    "tn_loop_asks": (None, [c_void_p, AskFn, c_void_p]),
    "tn_loop_send": (c_void_p, [c_void_p, c_char_p, EventFn, c_void_p, POINTER(CError)]), "tn_loop_cancel": (None, [c_void_p]),
    "tn_loop_messages": (c_void_p, [c_void_p]),
}


def load():
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libtenon.so")
    path = os.environ.get("TENON_LIBRARY") or (beside if os.path.exists(beside) else ctypes.util.find_library("tenon"))
    if not path:
        raise ImportError("libtenon.so is not found: install it (make install), or name it in TENON_LIBRARY")
    lib = ctypes.CDLL(path)
    for name, (result, arguments) in PROTOTYPES.items():
        f = getattr(lib, name)
        f.restype, f.argtypes = result, arguments
    return lib


lib = load()


def take(pointer):
    """A string that is ours to release."""
    text = ctypes.string_at(pointer).decode("utf-8", "replace")
    lib.tn_free(pointer)
    return text


def listener(fn, caught):
    """A callback for events. fn(event): False stops; so does an exception, which is kept in `caught`."""
    def hear(ctx, event):
        try:
            return fn(event.contents.as_dict()) is not False if fn else True
        except BaseException as e:                       # it cannot pass through C
            caught.append(e)
            return False
    return EventFn(hear)


class Engine:
    """A model. Several conversations may share one, on threads of their own: they take turns at generating."""
    def __init__(self, model=None, *, dialect=None, n_ctx=0, threads=0, kv_type=None, lora=()):
        encode = lambda s: os.fsencode(s) if s is not None else None
        adapters = (c_char_p * max(len(lora), 1))(*[encode(f) for f in lora])
        options, err = Options(encode(dialect), n_ctx, threads, encode(kv_type), False, False, adapters, len(lora)), CError()
        self.handle = lib.tn_open(encode(model), byref(options), byref(err))
        if not self.handle:
            raise err.raised()

    def run(self, request, on_event=None):
        """One OpenAI request (messages, tools, …); the assistant message. Nothing is called."""
        last, caught, err = [], [], CError()

        def hear(event):
            if event["event"] == "finish":
                last.append(event["message"])
            return on_event(event) if on_event else None
        ok = lib.tn_run(self.handle, json.dumps(request).encode(), listener(hear, caught), None, byref(err))
        if caught:
            raise caught[0]
        if not ok or not last:
            raise err.raised()
        return last[0]

    def close(self):
        if getattr(self, "handle", None):
            lib.tn_close(self.handle)
        self.handle = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    __del__ = close
