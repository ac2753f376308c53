#!/usr/bin/env python3
"""Runs every test of a build folder and ends with "N passed, N failed, N skipped".

C tests are the cmocka programs build/tests/test_*; Python tests (black box, through the commands) are
tests/test_*.py, run by pytest from .venv and skipped aloud without it; as many at once as there are
cores. Usage: run_tests.py BUILD [NAME…]"""
import concurrent.futures, glob, os, re, subprocess, sys, time

PYTHON = os.path.join(".venv", "bin", "python")
OK, FAILED, SKIPPED = (re.compile(p, re.M) for p in (r"^\[       OK \]", r"^\[  FAILED  \] [A-Za-z_]\w*$", r"^\[  SKIPPED \] [A-Za-z_]\w*$"))


def run_c(path):
    example = lambda name: os.path.join(os.path.dirname(path), "example_" + name)
    env = dict(os.environ, TENON_EXAMPLE=example("call"), TENON_EXAMPLE_MASK=example("mask"), TENON_EXAMPLE_LOOP=example("loop"))
    p = subprocess.run([path], capture_output=True, text=True, errors="replace", timeout=1500, env=env)
    out = p.stdout + p.stderr
    ran = len(re.findall(r"^\[ RUN      \]", out, re.M))
    good, skipped = len(OK.findall(out)), len(set(SKIPPED.findall(out)))
    bad = ran - good - skipped
    if p.returncode and not bad:
        bad = 1                               # died: a crash or a sanitizer's report
    return good, bad, skipped, out


def run_python(build, path):
    env = dict(os.environ, TENON=os.path.abspath(os.path.join(build, "tenon")))
    p = subprocess.run([PYTHON, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", path], capture_output=True, text=True, env=env, timeout=3000)
    last = (p.stdout.splitlines() or [""])[-1]
    count = lambda word: sum(int(n) for n in re.findall(rf"(\d+) {word}", last))
    good, bad, skipped = count("passed"), count("failed") + count("error"), count("skipped")
    if p.returncode not in (0, 5) and not bad:
        bad = 1
    return good, bad, skipped, p.stdout + (p.stderr[-2000:] if bad else "")


def timed(run, *args):
    t0 = time.monotonic()
    return *run(*args), time.monotonic() - t0


def main():
    build, only = sys.argv[1], sys.argv[2:]
    wanted = lambda n: not only or any(o in n for o in only)
    programs = [p for p in sorted(glob.glob(os.path.join(build, "tests", "test_*")))
                if os.access(p, os.X_OK) and not os.path.isdir(p) and wanted(p)]
    scripts = [p for p in sorted(glob.glob("tests/test_*.py")) if wanted(p)]
    total = [0, 0, 0]
    if scripts and not os.path.exists(PYTHON):
        print("skipped: Python tests (no .venv; make deps makes one)")
        total[2], scripts = len(scripts), []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        # The longest start first, so that no core waits for them at the end; what is printed keeps the order of names.
        jobs = {p: pool.submit(timed, run_c, p) for p in sorted(programs, key=lambda p: "walk" not in p)[:1]}
        jobs |= {p: pool.submit(timed, run_python, build, p) for p in scripts}
        jobs |= {p: pool.submit(timed, run_c, p) for p in programs if p not in jobs}
        for path in programs + scripts:
            *counts, out, s = jobs[path].result()
            good, bad, skipped = counts
            print(f"{os.path.basename(path)}: {good} passed, {bad} failed" + (f", {skipped} skipped" if skipped else "") + f" ({s:.1f} s)", flush=True)
            for line in out.splitlines():
                if line.lower().startswith("skipped"):
                    print("    " + line)
            if bad:
                print(out[-6000:], flush=True)
            total = [a + b for a, b in zip(total, counts)]
    good, bad, skipped = total
    print(f"{good} passed, {bad} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if bad or not good else 0


if __name__ == "__main__":
    sys.exit(main())
