"""A conversation with tools that run: the model calls, the functions run, it reads what they gave, until it answers."""
import ctypes
import json
import os
import threading
from ctypes import byref

from ._lib import ANSWERS, REASON_MOST, AskFn, CError, Engine, ToolFn, lib, listener, take
from .tool import Tool


class Conversation:
    """model: a file or folder, None: the embedded one; or engine: one that is shared. tools: tools files (docs/tools.md).
    builtin: "read_file,python". approve: of tools that would ask: "none", "read-only" or "all" allows them unasked, or a
    function that is asked: approve({"tool", "source", "arguments", …}) gives True, False, "always" (this tool in this
    conversation), "exact" (these arguments), "stop", or ("no", reason), and the reason is told to the model.
    limits: {"max_turns": 16, "max_calls": 64, "parallel": 4, "result_tokens": 2048, "total_ms": …}; request: further
    members of every request ({"temperature": 0.7}). debug: errors of functions with their traceback."""
    def __init__(self, model=None, *, engine=None, tools=(), builtin=None, system=None, approve="none", limits=None, request=None, debug=False, **engine_options):
        self.handle, self.debug, self.kept = None, debug, []
        self.tools, self.calls, self.stop = {}, [], None
        self.running, self.idle = 0, threading.Condition()
        self.owned = engine is None
        self.engine = engine or Engine(model, **engine_options)
        self.approve, self.caught = approve if callable(approve) else None, []
        options = {"system": system, "approve": "none" if callable(approve) else approve, "limits": limits, "request": request}
        err = CError()
        self.handle = lib.tn_loop_open(self.engine.handle, json.dumps({k: v for k, v in options.items() if v is not None}).encode(), byref(err))
        if not self.handle:
            raise err.raised()
        if self.approve:
            self.kept.append(AskFn(self._ask))
            lib.tn_loop_asks(self.handle, self.kept[-1], None)
        for path in [tools] if isinstance(tools, (str, os.PathLike)) else tools:
            self._do(lib.tn_loop_tools, os.fsencode(path))
        if builtin:
            self._do(lib.tn_loop_builtin, builtin.encode())

    def _do(self, fn, *args):
        err = CError()
        if not fn(self.handle, *args, byref(err)):
            raise err.raised()

    # ---- tools ----

    def register(self, function=None, **options):
        """@chat.register, @chat.register(read_only=True), or chat.register(function or Tool); gives back what it got."""
        if function is None:
            return lambda f: self.register(f, **options)
        tool = function if isinstance(function, Tool) else Tool(function, **options)
        callback = ToolFn(lambda user, arguments, call: self._call(tool, arguments, call))
        self._do(lib.tn_tool_register, json.dumps(dict(tool.definition, **tool.options)).encode(), callback, None)
        self.kept.append(callback)                       # C holds it as long as the loop lives
        self.tools[tool.name] = tool
        return function

    def _call(self, tool, arguments, call):
        """On a thread of the loop's."""
        with self.idle:
            self.running += 1
        try:
            text, is_error = tool.call(arguments.decode(), self.debug)
        except BaseException as e:                       # SystemExit, KeyboardInterrupt: of this call alone
            text, is_error = "%s: %s" % (type(e).__name__, e), True
        lib.tn_call_finish(call, text.replace("\0", "\ufffd").encode("utf-8", "replace"), is_error)
        with self.idle:
            self.running -= 1
            self.idle.notify_all()

    def _ask(self, user, question, reason):
        """On the thread of submit(). What approve() raises ends the turn and comes out of submit()."""
        try:
            answer, why = self.approve(json.loads(question)), ""
            if isinstance(answer, tuple):
                answer, why = answer
            answer = {True: "once", False: "no", None: "no"}.get(answer, answer)
            if answer not in ANSWERS:
                raise ValueError("approve() gave %r; True, False, %s are accepted" % (answer, ", ".join(map(repr, ANSWERS))))
        except BaseException as e:                       # it cannot pass through C
            self.caught.append(e)
            return ANSWERS["stop"]
        data = str(why).replace("\0", " ").encode("utf-8", "replace")[:REASON_MOST - 1].decode("utf-8", "ignore").encode()
        ctypes.memmove(reason, data + b"\0", len(data) + 1)
        return ANSWERS[answer]

    # ---- talking ----

    def submit(self, text, on_event=None):
        """One message of the user and all that follows; the last message. on_event(event) hears text, calls and results as
        they come ({"event": "text", "text": …}); False stops. calls and stop (why it ended) tell of it afterwards."""
        caught, err = self.caught, CError()
        caught.clear()
        pointer = lib.tn_loop_send(self.handle, text.encode(), listener(on_event, caught), None, byref(err))
        report = json.loads(take(pointer)) if pointer else None
        if caught:
            raise caught.pop()
        if report is None:
            raise err.raised()
        self.calls, self.stop = report["calls"], report["stop"]
        return self.messages[-1] if self.messages else None

    def cancel(self):
        """Stops what is going on; from any thread."""
        lib.tn_loop_cancel(self.handle)

    @property
    def messages(self):
        """OpenAI messages so far, calls and results among them."""
        return json.loads(take(lib.tn_loop_messages(self.handle)))

    # ---- the end ----

    def close(self):
        """Waits for functions that are still running."""
        if not self.handle:
            return
        with self.idle:
            self.idle.wait_for(lambda: self.running == 0)
        lib.tn_loop_close(self.handle)
        self.handle = None
        if self.owned:
            self.engine.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def __del__(self):
        if getattr(self, "handle", None) and self.running == 0:
            self.close()
