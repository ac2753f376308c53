#!/usr/bin/env python3
"""Runs every test of a build folder and ends with "N passed, N failed, N skipped".

C tests are the cmocka programs build/tests/test_*; Python tests (black box, through the commands) are
tests/test_*.py, run by pytest from .venv and skipped aloud without it. Usage: run_tests.py BUILD [NAME…]"""
import glob, os, re, subprocess, sys

OK, FAILED, SKIPPED = (re.compile(p, re.M) for p in (r"^\[       OK \]", r"^\[  FAILED  \] [A-Za-z_]\w*$", r"^\[  SKIPPED \] [A-Za-z_]\w*$"))


def run_c(path):
    example = lambda name: os.path.join(os.path.dirname(path), "example_" + name)
    env = dict(os.environ, TENON_EXAMPLE=example("call"), TENON_EXAMPLE_MASK=example("mask"))
    p = subprocess.run([path], capture_output=True, text=True, errors="replace", timeout=1500, env=env)
    out = p.stdout + p.stderr
    ran = len(re.findall(r"^\[ RUN      \]", out, re.M))
    good, skipped = len(OK.findall(out)), len(set(SKIPPED.findall(out)))
    bad = ran - good - skipped
    if p.returncode and not bad:
        bad = 1                               # died: a crash or a sanitizer's report
    return good, bad, skipped, out


def run_python(build, names):
    py = os.path.join(".venv", "bin", "python")
    if not os.path.exists(py):
        print("skipped: Python tests (no .venv; make deps makes one)")
        return 0, 0, len(names)
    env = dict(os.environ, TENON=os.path.abspath(os.path.join(build, "tenon")))
    p = subprocess.run([py, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *names], capture_output=True, text=True, env=env, timeout=3000)
    count = lambda word: sum(int(n) for n in re.findall(rf"(\d+) {word}", p.stdout.splitlines()[-1] if p.stdout.splitlines() else ""))
    good, bad, skipped = count("passed"), count("failed") + count("error"), count("skipped")
    if p.returncode not in (0, 5) and not bad:
        bad = 1
    print(p.stdout[-6000:] if bad else p.stdout[-1200:])
    if bad:
        print(p.stderr[-2000:])
    return good, bad, skipped


def main():
    build, only = sys.argv[1], sys.argv[2:]
    wanted = lambda n: not only or any(o in n for o in only)
    good = bad = skipped = 0
    for path in sorted(glob.glob(os.path.join(build, "tests", "test_*"))):
        if not os.access(path, os.X_OK) or os.path.isdir(path) or not wanted(path):
            continue
        g, b, s, out = run_c(path)
        print(f"{os.path.basename(path)}: {g} passed, {b} failed" + (f", {s} skipped" if s else ""))
        for line in out.splitlines():
            if line.startswith("skipped:"):
                print("    " + line)
        if b:
            print(out[-6000:])
        good, bad, skipped = good + g, bad + b, skipped + s
    python = [p for p in sorted(glob.glob("tests/test_*.py")) if wanted(p)]
    if python:
        g, b, s = run_python(build, python)
        good, bad, skipped = good + g, bad + b, skipped + s
    print(f"{good} passed, {bad} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if bad or not good else 0


if __name__ == "__main__":
    sys.exit(main())
