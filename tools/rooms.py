#!/usr/bin/env python3
"""Checks the plan of the house: includes point only downward, through doors, and no file name is used twice.

A room may include the doors of the rooms its row names (src/meson.build, room_deps, with their own
rooms below); base/ has json.h and late.h as further doors; a room's own files are free inside it; src/*.c may use
every door."""
import ast, os, re, sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src")
EXTRA_DOORS = {"base/json.h", "base/late.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def allowed_rooms():
    text = open(os.path.join(ROOT, "meson.build"), encoding="utf-8").read()
    return ast.literal_eval(re.search(r"room_deps = (\{.*?\n\})", text, re.S).group(1))


def sources():
    for folder, _, names in os.walk(ROOT):
        for n in sorted(names):
            if n.endswith((".c", ".h", ".S")):
                path = os.path.join(folder, n)
                yield os.path.relpath(path, ROOT), open(path, encoding="utf-8").read()


def main():
    rooms, bad, seen = allowed_rooms(), [], {}
    below = {}
    for r, direct in rooms.items():           # what is named in the row, and nothing else
        below[r] = set(direct) | {r}
    for rel, text in sources():
        room = rel.split("/")[0] if "/" in rel else ""
        name = os.path.basename(rel)
        if name != "int.h":
            if name in seen:
                bad.append(f"{rel}: the name {name} is used in {seen[name]} too")
            seen[name] = rel
        for inc in INCLUDE.findall(text):
            target = inc.split("/")[0] if "/" in inc else room
            if target not in rooms:
                if room and "/" not in inc:
                    bad.append(f'{rel}: "{inc}" should be written "{room}/{inc}"')
                continue
            is_door = inc == f"{target}/{target}.h" or inc in EXTRA_DOORS
            if room == target:
                continue
            if room and target not in below[room]:
                bad.append(f"{rel}: includes {inc}, but {room}/ may only use {', '.join(sorted(below[room] - {room})) or 'nothing'}")
            elif not is_door:
                bad.append(f"{rel}: includes {inc}, which is not the door {target}/{target}.h")
    for b in bad:
        print(b)
    print(f"rooms: {len(seen)} files, {len(bad)} arrows or names out of place")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
