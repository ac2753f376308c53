#!/usr/bin/env python3
"""Turns JSON documents into one C array, each under its own $id (id): embed_json.py OUT.c FILE.json …"""
import json, sys


def quoted(text):
    """A C string literal, cut into lines."""
    parts = [text[i:i + 96] for i in range(0, len(text), 96)]
    return "\n".join('      "' + p.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?") + '"' for p in parts)


def main():
    rows = []
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as f:
            doc = json.load(f)
        text = json.dumps(doc, separators=(",", ":"))
        rows.append('    { "%s",\n%s },\n' % ((doc.get("$id") or doc["id"]).rstrip("#"), quoted(text)))
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        f.write('/* Made by tools/embed_json.py. */\n#include "grammar/int.h"\n\n')
        f.write("const struct metaschema metaschemas[] = {\n%s    { NULL, NULL }\n};\n" % "".join(rows))


main()
