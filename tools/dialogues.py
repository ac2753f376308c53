#!/usr/bin/env python3
"""Makes the conversations that `tenon data --dialogues` reads from schema-guided dialogues.

    tools/dialogues.py train_tools.json train_dialogues.jsonl.gz > dialogues.jsonl

Input: {service: [tool, ...]} and lines {services, messages} whose calls carry `expect`, the accepted
values of each argument. Output: lines {tools, messages} in OpenAI form. An argument takes the form in
which the conversation says it; what is nowhere said and may be left out is left out. So the lines
teach to copy, not to normalise.
"""
import gzip
import json
import sys


def spoken(accepted, said):
    """The accepted form that was said, as it was said; None if none was."""
    low = said.lower()
    for a in accepted:
        if isinstance(a, str) and a:
            at = low.rfind(a.lower())
            if at >= 0 and len(low) == len(said):
                return said[at : at + len(a)]
    return None


def arguments(call, expect, schema, said):
    args = json.loads(call["arguments"])
    accepted = expect[0][call["name"]] if expect else {}
    for key, value in list(args.items()):
        p, forms = schema["properties"].get(key, {}), accepted.get(key, [value])
        if p.get("type") == "string" and "enum" not in p:
            form = spoken(forms, said)
            if form is not None:
                args[key] = form
                continue
        if "" in forms and not (isinstance(value, str) and value.lower() in said.lower()):
            del args[key]
    return args


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    services = json.load(open(sys.argv[1], encoding="utf-8"))
    opened = gzip.open if sys.argv[2].endswith(".gz") else open
    for line in opened(sys.argv[2], "rt", encoding="utf-8"):
        d = json.loads(line)
        tools = [t for s in d["services"] for t in services[s]]
        schema = {t["function"]["name"]: t["function"]["parameters"] for t in tools}
        said, messages = "", []
        for m in d["messages"]:
            if m.get("incomplete"):
                break
            out = {"role": m["role"], "content": m.get("content")}
            for c in m.get("tool_calls") or ():
                f = c["function"]
                args = arguments(f, m.get("expect"), schema[f["name"]], said)
                out["tool_calls"] = [{"name": f["name"], "arguments": args}]
            said += "\n" + (m.get("content") or "")
            messages.append(out)
        json.dump({"tools": [t["function"] for t in tools], "messages": messages}, sys.stdout,
                  ensure_ascii=False, separators=(",", ":"))
        print()


if __name__ == "__main__":
    main()
