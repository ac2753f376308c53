#!/usr/bin/env python3
"""Turns a text file into a C string: embed_source.py OUT.c NAME FILE"""
import sys


def main():
    out, name, path = sys.argv[1:4]
    with open(path, encoding="utf-8") as f:
        lines = f.read().split("\n")
    quoted = ['    "' + l.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?") + '\\n"' for l in lines]
    with open(out, "w", encoding="utf-8") as f:
        f.write("/* Made by tools/embed_source.py. */\nextern const char %s[];\nconst char %s[] =\n%s;\n" % (name, name, "\n".join(quoted)))


main()
