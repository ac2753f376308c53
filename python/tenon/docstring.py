"""Docstrings: what a function does, and what each parameter is. Google, NumPy and reST style."""
import inspect
import re

SECTION = re.compile(r"^(args|arguments|parameters|params|returns?|yields?|raises|examples?|notes?|see also|warnings?|attributes|keyword args)\s*:?\s*$", re.I)
PARAMETERS = ("args", "arguments", "parameters", "params", "keyword args")


def indent(line):
    return len(line) - len(line.lstrip())


def sections(lines):
    """The text before the first section, and the lines of each section by its lower-case name."""
    head, found, at, i = [], {}, None, 0
    while i < len(lines):
        m = SECTION.match(lines[i])
        underlined = i + 1 < len(lines) and re.match(r"^-{3,}\s*$", lines[i + 1])
        if m and (lines[i].rstrip().endswith(":") or underlined):
            at = found.setdefault(m.group(1).lower(), [])
            i += 2 if underlined else 1
            continue
        (head if at is None else at).append(lines[i])
        i += 1
    return head, found


def entries(lines):
    """name: text (Google), or name : type and the text below (NumPy)."""
    out, names = {}, []
    base = min((indent(l) for l in lines if l.strip()), default=0)
    for line in lines:
        if not line.strip():
            continue
        m = re.match(r"\*{0,2}(\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?:\([^)]*\))?\s*(:?)\s*(.*)", line.strip())
        if indent(line) == base and m:
            names = re.findall(r"\w+", m.group(1))       # "x, y : int" is of both
            numpy = re.match(r"[*\w\s,]+\s:|[*\w\s,]+$", line.strip())
            out.update({name: "" if numpy or not m.group(2) else m.group(3) for name in names})
        else:
            out.update({name: (out[name] + " " + line.strip()).strip() for name in names})
    return out


def rest(lines):
    """:param name: text, :param type name: text; and the lines that are no fields."""
    out, kept, name = {}, [], None
    for line in lines:
        m = re.match(r"^\s*:(\w+)\s*([^:]*):\s*(.*)$", line)
        if m:
            name = m.group(2).split()[-1] if m.group(1) in ("param", "parameter", "arg", "argument") and m.group(2) else None
            if name:
                out[name] = m.group(3)
        elif name and line.startswith((" ", "\t")) and line.strip():
            out[name] = (out[name] + " " + line.strip()).strip()
        elif not out and not re.match(r"^\s*:\w+", line):
            name = None
            kept.append(line)
    return out, kept


def parse(text):
    """(description, {parameter: description})"""
    if not text:
        return "", {}
    head, found = sections(inspect.cleandoc(text).splitlines())
    params, head = rest(head)
    for name in PARAMETERS:
        params.update(entries(found.get(name, [])))
    paragraphs = re.split(r"\n\s*\n", "\n".join(head).strip())
    return " ".join(paragraphs[0].split()), {k: v for k, v in params.items() if v}
