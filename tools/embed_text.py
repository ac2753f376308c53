#!/usr/bin/env python3
"""Turns text files into one C array, each under its name without extension: embed_text.py OUT.c FILE …"""
import os, sys


def quoted(text):
    """A C string literal, cut into lines: bytes that are not plain as octal escapes."""
    out = []
    for i in range(0, len(text), 96):
        part = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\?' else "\\%03o" % b for b in text[i:i + 96])
        out.append('      "' + part + '"')
    return "\n".join(out) or '      ""'


def main():
    rows = []
    for path in sys.argv[2:]:
        with open(path, "rb") as f:
            text = f.read()
        name = os.path.splitext(os.path.basename(path))[0]
        rows.append('    { "%s", %d,\n%s },\n' % (name, len(text), quoted(text)))
    with open(sys.argv[1], "w", encoding="ascii") as f:
        f.write('/* Made by tools/embed_text.py. */\n#include "text/int.h"\n\n')
        f.write("const struct own_template own_templates[] = {\n%s    { NULL, 0, NULL }\n};\n" % "".join(rows))


main()
