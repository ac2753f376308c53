#!/usr/bin/env python3
"""Runs every test of a build folder and ends with "N passed, N failed, N skipped".

C tests are the cmocka programs build/tests/test_*; Python tests (black box, through the commands) are
tests/test_*.py, run by pytest from .venv and skipped aloud without it; as many at once as there are
cores, each printed as it ends, with its seconds and those of the processor. Usage: run_tests.py BUILD [NAME…]
(names that begin with "-" are left out)"""
import concurrent.futures, glob, os, re, subprocess, sys, tempfile, threading, time

PYTHON = os.path.join(".venv", "bin", "python")
RUN, OK, FAILED, SKIPPED = (re.compile(p, re.M) for p in (
    r"^\[ RUN      \]", r"^\[       OK \]", r"^\[  FAILED  \] [A-Za-z_]\w*$", r"^\[  SKIPPED \] [A-Za-z_]\w*$"))
# The longest start first, so that no core waits for them at the end.
LONGEST = ("test_arm", "test_tune_cli", "test_walk", "test_oauth", "test_mcp", "test_train", "test_serve", "test_maskbench", "test_model", "test_convert", "test_page", "test_agent_cli")


def run(argv, env, seconds):
    """(exit status, output, errors, CPU seconds of it and its children); what runs past its time is killed."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        p = subprocess.Popen(argv, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=env)
        late = threading.Timer(seconds, p.kill)
        late.start()
        _, status, usage = os.wait4(p.pid, 0)
        late.cancel()
        p.returncode = os.waitstatus_to_exitcode(status)
        text = []
        for f in (out, err):
            f.seek(0)
            text.append(f.read().decode(errors="replace"))
        return p.returncode, *text, usage.ru_utime + usage.ru_stime


def run_c(path):
    example = lambda name: os.path.join(os.path.dirname(path), "example_" + name)
    env = dict(os.environ, TENON_EXAMPLE=example("call"), TENON_EXAMPLE_MASK=example("mask"), TENON_EXAMPLE_LOOP=example("loop"))
    status, out, err, cpu = run([path], env, 1500)
    out += err
    good, skipped = len(OK.findall(out)), len(set(SKIPPED.findall(out)))
    bad = len(RUN.findall(out)) - good - skipped
    if status and not bad:
        bad = 1                               # died: a crash or a sanitizer's report
    return good, bad, skipped, out, cpu


def run_python(build, path):
    env = dict(os.environ, TENON=os.path.abspath(os.path.join(build, "tenon")))
    status, out, err, cpu = run([PYTHON, "-m", "pytest", "-q", "-rs", "--durations=3", "-p", "no:cacheprovider", path], env, 3000)
    last = (out.splitlines() or [""])[-1]
    count = lambda word: sum(int(n) for n in re.findall(rf"(\d+) {word}", last))
    good, bad, skipped = count("passed"), count("failed") + count("error"), count("skipped")
    if status not in (0, 5) and not bad:
        bad = 1
    return good, bad, skipped, out + (err[-2000:] if bad else ""), cpu


def timed(path, job, *args):
    t0 = time.monotonic()
    return path, *job(*args), time.monotonic() - t0


def report(path, good, bad, skipped, out, cpu, seconds):
    print(f"{os.path.basename(path)}: {good} passed, {bad} failed" + (f", {skipped} skipped" if skipped else "")
          + f" ({seconds:.1f} s, {cpu:.1f} of CPU)", flush=True)
    for line in out.splitlines():
        if line.lower().startswith("skipped"):
            print("    " + line)
    if bad:
        print(out[-6000:], flush=True)


def main():
    build, names = sys.argv[1], sys.argv[2:]
    only, but = [n for n in names if n[0] != "-"], [n[1:] for n in names if n[0] == "-"]
    wanted = lambda n: (not only or any(o in n for o in only)) and not any(b in n for b in but)
    programs = [p for p in sorted(glob.glob(os.path.join(build, "tests", "test_*")))
                if os.access(p, os.X_OK) and not os.path.isdir(p) and wanted(p)]
    scripts = [p for p in sorted(glob.glob("tests/test_*.py")) if wanted(p)]
    total = [0, 0, 0]
    if scripts and not os.path.exists(PYTHON):
        print("skipped: Python tests (no .venv; make deps makes one)")
        total[2], scripts = len(scripts), []
    length = lambda p: next((k for k, name in enumerate(LONGEST) if name in p), len(LONGEST))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(timed, p, run_python, build, p) if p in scripts else pool.submit(timed, p, run_c, p)
                for p in sorted(scripts + programs, key=length)]
        for job in concurrent.futures.as_completed(jobs):
            path, *result = job.result()
            report(path, *result)
            total = [a + b for a, b in zip(total, result[:3])]
    good, bad, skipped = total
    print(f"{good} passed, {bad} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if bad or not good else 0


if __name__ == "__main__":
    sys.exit(main())
