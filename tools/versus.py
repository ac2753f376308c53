#!/usr/bin/env python3
"""Tenon beside llama.cpp on the same GGUF files: prefill and decode, alternately, medians and ratios.

    tools/versus.py build/tenon                          random weights of the LFM2-1.2B shape, Q4_0 Q4_K Q8_0
    tools/versus.py build/tenon --types Q5_K,BF16 -r 5
    tools/versus.py build/tenon -m model.gguf            a file of yours

The peer is llama.cpp as it lies in the sources of the llama-cpp-python package, built here for this machine
(cmake, ninja and a C++ compiler; some ten minutes of two cores, once) into build-peer/, which git ignores.
Where it cannot be had the comparison says "skipped" and why. Each round runs both engines and what the
machine itself gives, so that a disturbed round is seen in the spread.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
from pathlib import Path

PACKAGE = "llama-cpp-python==0.3.36"


class Missing(Exception):
    """Why the peer cannot be had here."""


def step(command, log):
    """Runs one step of the installation; its output is kept in a file."""
    with open(log, "w") as out:
        if subprocess.run(command, stdout=out, stderr=subprocess.STDOUT).returncode:
            raise Missing(f"`{' '.join(map(str, command))}` failed, see {log}")


def install(folder, package):
    """llama-bench, built from the package's sources unless it is there already."""
    bench = folder / "build" / "bin" / "llama-bench"
    if bench.exists():
        return bench
    for tool in ("cmake", "ninja", "c++"):
        if not shutil.which(tool):
            raise Missing(f"{tool} is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    print(f"building {package} in {folder}, once …", file=sys.stderr)
    step([sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "-d", folder, package],
         folder / "download.log")
    archives = sorted(folder.glob("llama_cpp_python-*.tar.gz"))
    if not archives:
        raise Missing(f"the sources of {package} did not arrive in {folder}")
    with tarfile.open(archives[-1]) as tar:
        tar.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(folder)
    source = next(folder.glob("llama_cpp_python-*/vendor/llama.cpp"))
    step(["cmake", "-G", "Ninja", "-S", source, "-B", folder / "build", "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON",
          "-DLLAMA_CURL=OFF", "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF",
          "-DBUILD_SHARED_LIBS=OFF"], folder / "configure.log")
    step(["ninja", "-C", folder / "build", "llama-bench"], folder / "build.log")
    return bench


def output(command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


def tenon_command(a, model):
    return [a.tenon, "bench", "-m", model, "-p", a.prompt, "-n", a.gen, "-t", a.threads, "-r", "1", "--json"]


def peer_command(a, bench, model):
    return [bench, "-m", model, "-p", a.prompt, "-n", a.gen, "-t", a.threads, "-r", "1", "-o", "json"]


def one_round(a, bench, model):
    """What each engine does a second and what the machine gives, by name."""
    ours = output(tenon_command(a, model))
    theirs = output(peer_command(a, bench, model))
    machine = output([a.tenon, "bench", "bandwidth", "-m", model, "-t", a.threads, "--json"])
    got = {"bytes": ours["bytes_per_token"], "read": machine["read_gb_per_s"]}
    got |= {f"peak {name}": v for name, v in machine["peak_gop_per_s"].items()}
    for what, n in (("prefill", "n_prompt"), ("decode", "n_gen")):
        got["tenon " + what] = ours[what]["tokens_per_s"] if ours[what] else 0
        got["peer " + what] = next((t["avg_ts"] for t in theirs if t[n]), 0)
    return got


def spread(values, unit):
    return f"{statistics.median(values):9.1f} {unit} ({min(values):.1f} to {max(values):.1f})"


def compare(a, bench, model):
    rounds = [one_round(a, bench, model) for _ in range(a.rounds)]
    def column(name):
        return [r[name] for r in rounds]
    print(f"\n{model}\n  " + " ".join(map(str, tenon_command(a, model))))
    print("  " + " ".join(map(str, peer_command(a, bench, model))))
    for what in ("prefill", "decode"):
        if not all(column("tenon " + what)) or not all(column("peer " + what)):
            continue
        ratio = [t / p for t, p in zip(column("tenon " + what), column("peer " + what))]
        print(f"  {what:8} Tenon {spread(column('tenon ' + what), 'tok/s')}   llama.cpp {spread(column('peer ' + what), 'tok/s')}"
              f"   x {statistics.median(ratio):.2f} ({min(ratio):.2f} to {max(ratio):.2f})")
    reads = [t * b * 1e-9 for t, b in zip(column("tenon decode"), column("bytes"))]
    print(f"  decode reads {spread(reads, 'GB/s')}, the mapped file can be read at {spread(column('read'), 'GB/s')}")
    for name in rounds[0]:
        if name.startswith("peak"):
            print(f"  {name:9} {spread(column(name), 'GOP/s')}")


def machine():
    name = platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        name = f"{len(names)} x {names[0]}" if names else name
    return name


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tenon", help="the binary, build/tenon")
    parser.add_argument("-m", "--model", action="append", default=[], help="GGUF file; may be repeated (default: random weights)")
    parser.add_argument("--types", default="Q4_0,Q4_K,Q8_0", help="dtypes of the random weights (default: %(default)s)")
    parser.add_argument("-p", "--prompt", default="512", help="prompt tokens (default: %(default)s)")
    parser.add_argument("-n", "--gen", default="64", help="generated tokens (default: %(default)s)")
    parser.add_argument("-t", "--threads", default=str(os.cpu_count()), help="threads of both (default: one per core)")
    parser.add_argument("-r", "--rounds", type=int, default=3, help="rounds (default: %(default)s)")
    parser.add_argument("--peer", type=Path, default=Path("build-peer"), help="where the peer is installed (default: %(default)s)")
    parser.add_argument("--package", default=PACKAGE, help="its package (default: %(default)s)")
    a = parser.parse_args()
    try:
        bench = install(a.peer, a.package)
    except Missing as why:
        print(f"skipped: llama.cpp cannot be built here: {why}")
        return 0
    print(f"{machine()}, {a.threads} threads, {a.rounds} rounds; peer: {a.package}")
    for model in a.model:
        compare(a, bench, model)
    for dtype in [] if a.model else a.types.split(","):
        model = a.peer / f"lfm2-1.2b-{dtype}.gguf"
        if not model.exists():
            subprocess.run([a.tenon, "debug", "random-model", "--type", dtype, model], check=True)
        compare(a, bench, model)
    return 0


if __name__ == "__main__":
    sys.exit(main())
