#!/usr/bin/env python3
"""All scores of a model, as the Markdown tables of docs/evaluation.md and models/README.md.

    tools/scores.py build/tenon                        the embedded model, as it is run, and by itself (--free)
    tools/scores.py build/tenon --limit 50             a first look: 50 of each file, 20 of each kind
    tools/scores.py build/tenon -- -m M.gguf -t 2      options behind -- go to every `tenon eval`

Measures the generator's own held-out sets (eval own), the requests written by hand (data/e5), the dev_points of the domain packs and any --data FILE
(eval --data), the Berkeley leaderboard's development half (eval bfcl) and dialogue points (eval sgd). What lies in
../shared (or $TENON_SHARED) is skipped aloud where it is not there. Answers are kept in --keep DIR."""
import argparse, glob, json, os, subprocess, sys

SETTINGS = {"as run": [], "without help": ["--steer", "0"], "free": ["--free"]}
KINDS = ["single", "multiple", "parallel", "none", "ask", "grounded", "multi_turn"]
CATEGORIES = ["simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple", "irrelevance",
              "live_simple", "live_multiple", "live_parallel", "live_parallel_multiple", "live_irrelevance", "live_relevance"]
TOTALS = ["non_live", "live", "irrelevance_mean"]
SGD = [("call_lenient", "call, lenient"), ("call_strict", "call, strict"), ("name", "name"), ("missed_call", "call missed"),
       ("false_call", "call for nothing")]


def added(reports):
    """Reports over parts of a set as one, with Wilson's interval."""
    sums = {}
    for r in reports:
        for kind, v in [("all", r["all"]), *r["kinds"].items()]:
            n, k = sums.get(kind, (0, 0))
            sums[kind] = (n + v["n"], k + round(v["n"] * v["exact"]))
    out = {}
    for kind, (n, k) in sums.items():
        p, z = k / n, 1.959964
        centre, half = p + z * z / 2 / n, z * (p * (1 - p) / n + z * z / 4 / n / n) ** 0.5
        out[kind] = {"n": n, "exact": p, "low": (centre - half) / (1 + z * z / n), "high": (centre + half) / (1 + z * z / n)}
    return {"all": out.pop("all"), "kinds": out}


def share(v):
    """61.0 (51 to 70)"""
    return f"{100 * v['exact']:.1f} ({100 * v['low']:.0f} to {100 * v['high']:.0f})" if v else "–"


class Scores:
    def __init__(self, o):
        self.o, self.shared = o, os.environ.get("TENON_SHARED", "../shared")

    def run(self, setting, *args, name):
        keep = ["--out", os.path.join(self.o.keep, f"{name}.{setting.replace(' ', '-')}.jsonl")] if self.o.keep else []
        cmd = [self.o.tenon, "eval", *args, *SETTINGS[setting], *self.o.options, *keep, "--json"]
        print("#", *cmd, file=sys.stderr, flush=True)
        p = subprocess.run(cmd, stdout=subprocess.PIPE, text=True)
        if p.returncode:
            sys.exit(f"scores: {' '.join(cmd)} failed")
        return json.loads(p.stdout)

    def file(self, below):
        path = os.path.join(self.shared, "fixtures", below)
        if not os.path.exists(path):
            print(f"skipped: {path} is not there")
            return None
        return path

    def limit(self):
        return ["--limit", str(self.o.limit)] if self.o.limit else []

    def table(self, title, head, rows):
        print(f"\n{title}\n\n| | " + " | ".join(head) + " |\n|---|" + "---|" * len(head))
        for name, cells in rows:
            print(f"| {name} | " + " | ".join(cells) + " |")
        sys.stdout.flush()

    def kinds(self, title, told):
        """told: {column: report}"""
        kinds = [k for k in KINDS if any(k in r["kinds"] for r in told.values())]
        rows = [(k, [f"{share(r['kinds'].get(k))}, n={r['kinds'][k]['n']}" if k in r["kinds"] else "–" for r in told.values()]) for k in kinds]
        rows.append(("**all**", [f"**{share(r['all'])}**, n={r['all']['n']}" for r in told.values()]))
        self.table(title, list(told), rows)

    def own(self):
        n = str(min(self.o.limit or self.o.n, self.o.n))
        for setting in self.o.settings:
            told = {s: self.run(setting, "own", "--set", s, "-n", n, name=s)[s] for s in ("E1", "E2", "E3", "E4")}
            self.kinds(f"Own sets, {setting}: exact, % (95 % interval)", told)

    def e5(self):
        files = sorted(glob.glob("data/e5/*.jsonl"))
        told = {s: added([self.run(s, "--data", f, "--tools", f.replace(".jsonl", ".tools.json"), *self.limit(), name="e5-" + os.path.basename(f)[:-6])
                          for f in files]) for s in self.o.settings}
        self.kinds("E5, written by hand: exact, % (95 % interval)", told)

    def data(self):
        files = [self.file("domains/dev_points.jsonl.gz"), *self.o.data]
        for path in filter(None, files):
            told = {s: self.run(s, "--data", path, *self.limit(), name=os.path.basename(path).split(".")[0]) for s in self.o.settings}
            self.kinds(f"{os.path.basename(path)}: exact, % (95 % interval)", told)

    def bfcl(self):
        folder = self.file("bfcl")
        if not folder:
            return
        files = [f for c in CATEGORIES for f in glob.glob(os.path.join(folder, c + ".jsonl*"))]
        told = {s: self.run(s, "bfcl", *files, *self.limit(), name="bfcl") for s in self.o.settings}
        first = next(iter(told.values()))
        rows = [(f"{c}, n={first['categories'][c]['n']}", [share(r["categories"].get(c)) for r in told.values()])
                for c in CATEGORIES if c in first["categories"]]
        rows += [(f"**{t}**", [share(r["totals"][t]) for r in told.values()]) for t in TOTALS]
        failed = [str(sum(c.get("failed", 0) for c in r["categories"].values())) for r in told.values()]
        self.table("BFCL v4, single turn, development half: exact, % (95 % interval)", list(told), rows + [("refused (count as wrong)", failed)])
        print("\nNot evaluated: " + ", ".join(first["not_evaluated"]) + ".")

    def sgd(self):
        path = self.file("sgd/dev_points.jsonl.gz")
        if not path:
            return
        for setting in self.o.settings:
            told = self.run(setting, "sgd", path, *self.limit(), name="sgd")
            parts = ("all", "seen", "unseen")
            rows = [(label, [share(told[p][key]) for p in parts]) for key, label in SGD]
            rows.append(("arguments, F1", [f"{100 * told[p]['argument_f1']:.1f}" for p in parts]))
            rows.append(("points with, without a call", [f"{told[p]['call_lenient']['n']}, {told[p]['false_call']['n']}" for p in parts]))
            self.table(f"SGD, dev_points, {setting}: % (95 % interval)", parts, rows)


def main():
    own, rest = sys.argv[1:], []
    if "--" in own:
        own, rest = own[:own.index("--")], own[own.index("--") + 1:]
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tenon")
    p.add_argument("--parts", default="own,e5,data,bfcl,sgd", help="which of own,e5,data,bfcl,sgd (default: all)")
    p.add_argument("--settings", default="as run,free", help=f"which of {', '.join(SETTINGS)} (default: as run,free)")
    p.add_argument("-n", type=int, default=100, help="conversations of each kind of an own set (default: 100)")
    p.add_argument("--limit", type=int, default=0, help="only the first N of each file (default: all)")
    p.add_argument("--data", action="append", default=[], metavar="FILE", help="a further file for `eval --data`; may be repeated")
    p.add_argument("--keep", metavar="DIR", help="folder for all answers with their verdicts (default: not kept)")
    o = p.parse_args(own)
    o.options, o.settings = rest, o.settings.split(",")
    for s in o.settings:
        if s not in SETTINGS:
            p.error(f"--settings {s}: one of {', '.join(SETTINGS)} is accepted")
    if o.keep:
        os.makedirs(o.keep, exist_ok=True)
    scores = Scores(o)
    for part in o.parts.split(","):
        if part not in ("own", "e5", "data", "bfcl", "sgd"):
            p.error(f"--parts {part}: own, e5, data, bfcl and sgd are accepted")
        getattr(scores, part)()


if __name__ == "__main__":
    main()
