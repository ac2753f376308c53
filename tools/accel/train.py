"""The accelerator's twin of `tenon train`: same shards, same checkpoints, same loss, more tokens.

    train.py check  INIT.ckpt SHARD --loss X --grad Y      must pass before a run
    train.py run    INIT.ckpt --tenon build/tenon --seconds 500 --out DIR [...]

INIT.ckpt comes from `tenon train --steps 1` (C decides how weights begin), X and Y from
`tenon train loss`. A run writes parts that checkpoint.py joins into a checkpoint of the C trainer,
and log.tsv; evaluation, export, LoRA and everything else stay with C.
"""
import argparse
import json
import math
import os
import time
from types import SimpleNamespace

import numpy as np
import torch

import batch
import checkpoint
import model


class Upload:
    """Batches to the device without waiting for it: a ring of pinned buffers, each free again when
    the step that read it is over."""

    def __init__(self, device, ring=4):
        self.device, self.ring, self.at, self.used = device, ring, 0, []

    def __call__(self, b):
        if self.device == "cpu":
            return self.named(torch.from_numpy(b.rows), torch.from_numpy(b.ends))
        if not self.used:
            self.used = [(torch.empty(b.rows.shape, dtype=torch.int32, pin_memory=True),
                          torch.empty(b.ends.shape, dtype=torch.int32, pin_memory=True),
                          torch.cuda.Event()) for _ in range(self.ring)]
        rows, ends, over = self.used[self.at]
        self.at = (self.at + 1) % self.ring
        over.synchronize()
        rows.numpy()[:], ends.numpy()[:] = b.rows, b.ends
        out = self.named(rows.to(self.device, non_blocking=True),
                         ends.to(self.device, non_blocking=True))
        over.record()
        return out

    @staticmethod
    def named(rows, ends):
        out = SimpleNamespace(cu=ends, **{k: rows[i].long() for i, k in enumerate(batch.ROWS)})
        out.weight = rows[batch.ROWS.index("weight")].view(torch.float32)
        return out


# ---- optimizers: muon.c, adamw.c, run.c ----

def newton_schulz(x):
    """Five steps that push the singular values of each matrix of the stack towards one."""
    for _ in range(5):
        a = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x


class Optimizer:
    """Muon for the matrices, AdamW for embedding, norms and taps; one learning rate. Everything is
    one flat array and the same few kernels every step, so the device replays them as one graph."""

    def __init__(self, net, decay=0.05, momentum=0.95):
        self.net, self.decay, self.momentum = net, decay, momentum
        self.m, self.v = torch.zeros_like(net.flat), torch.zeros_like(net.flat)
        self.is_muon = torch.zeros_like(net.flat, dtype=torch.bool)
        self.stacks = {}
        for off, r, c in net.pieces:
            self.stacks.setdefault((min(r, c), max(r, c)), []).append((off, r, c))
            self.is_muon[off : off + r * c] = True
        one = torch.zeros((), device=net.flat.device)
        self.lr, self.count, self.norm, self.graph = one, one.clone(), one.clone(), None

    @torch.no_grad()
    def update(self):
        """Clips to norm 1, then updates; a gradient that is not finite counts as zero."""
        g, w, muon = self.net.grad, self.net.flat, self.is_muon
        self.norm.copy_(g.norm())
        scale = torch.where(self.norm.isfinite(), 1 / self.norm.clamp(min=1), 0)
        g = g.nan_to_num(0, 0, 0) * scale
        self.count += 1
        keep = torch.where(muon, self.momentum, 0.9)
        self.m.mul_(keep).add_(torch.where(muon, g, 0.1 * g))
        self.v.mul_(0.95).add_(torch.where(muon, 0, 0.05 * g * g))
        look = g + self.momentum * self.m
        work = torch.bfloat16 if g.is_cuda else torch.float32
        for (_, long), where in self.stacks.items():
            x = [look[o : o + r * c].view(r, c) for o, r, c in where]
            x = torch.stack([t.T if t.shape[0] > t.shape[1] else t for t in x])
            x = newton_schulz((x / (x.norm(dim=(1, 2), keepdim=True) + 1e-12)).to(work)).float()
            x.mul_(0.2 * math.sqrt(long))
            for (o, r, c), t in zip(where, x):
                look[o : o + r * c].view(r, c).copy_(t.T if r > c else t)
        adam = (self.m / (1 - 0.9 ** self.count)) / ((self.v / (1 - 0.95 ** self.count)).sqrt() + 1e-8)
        w.sub_(self.lr * torch.where(muon, look + self.decay * w, adam))

    def step(self, lr):
        """Returns the norm of the gradient, still on the device."""
        self.lr.fill_(lr)
        if not self.net.flat.is_cuda:
            self.update()
        elif self.graph:
            self.graph.replay()
        else:
            self.update()  # what a first call finds out (workspaces, kernels) is not captured
            torch.cuda.synchronize()
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.update()  # only written down, not run
            self.prove()
        return self.norm


    def prove(self):
        """A replay must do what a call does: one step of each from here, then back."""
        state = (self.net.flat, self.m, self.v, self.count)
        kept = [x.detach().clone() for x in state]
        after = []
        for act in (self.update, self.graph.replay):
            act()
            after.append(self.net.flat.detach().clone())
            with torch.no_grad():
                for x, y in zip(state, kept):
                    x.copy_(y)
        moved = float((after[0] - kept[0]).norm())
        off = float((after[1] - after[0]).norm()) / max(moved, 1e-9)
        print(f"optimizer as a graph: differs by {off:.1e} of a step", flush=True)
        if not off < 1e-2:
            raise SystemExit("the optimizer's graph does not do what its calls do")


# ---- schedule.c, by time ----

def learning_rate(peak, step, progress, decay):
    warm = min((step + 1) / 100, 1.0)
    rest = 1.0 if progress < 1 - decay else 1 - 0.98 * min((progress - 1 + decay) / decay, 1.0)
    return peak * warm * rest


def stage_of(progress, decay, second):
    return 1 if progress < second else 2 if progress < 1 - decay else 3


# ---- measuring ----

def exact_match(net, path, rows, device):
    """Share of conversations of a shard whose every assistant token is the arg-max."""
    right = total = 0
    for b in batch.first_fit(iter(batch.read(path)), rows, lambda: 1):
        _, _, hit = net.rows(Upload(device)(b))
        cls = b.rows[batch.ROWS.index("cls"), : b.tokens]
        miss = (cls != batch.PROMPT) & ~hit.cpu().numpy()[: b.tokens]
        right += int((np.bincount(b.seq, miss, b.conversations) == 0).sum())
        total += b.conversations
    return right / max(total, 1)


def check(a):
    """The C loss and gradient on the first conversations of a shard, to 1e-3."""
    torch.backends.cuda.matmul.allow_tf32 = False
    head, weights = checkpoint.read(a.checkpoint)
    net = model.Net(head, weights, a.device, torch.float32)
    chosen, rows = [], 0
    for x in batch.read(a.shard):
        if rows + len(x[0]) - 1 > a.rows:
            break
        chosen.append(x)
        rows += len(x[0]) - 1
    b = Upload(a.device)(batch.pack(chosen, rows, a.stage))
    total, row, _ = net.rows(b)
    total.backward()
    loss = float((b.weight * row).sum() / b.weight.sum())
    norm = float(net.grad.double().norm())
    ok = abs(loss - a.loss) < 1e-3 * a.loss and abs(norm - a.grad) < 1e-3 * a.grad
    print(json.dumps(dict(ok=ok, loss=loss, c_loss=a.loss, grad_norm=norm, c_grad_norm=a.grad, rows=rows)))
    return ok


# ---- a run ----

def run(a):
    began = time.time()
    os.makedirs(a.out, exist_ok=True)
    os.makedirs(a.shards, exist_ok=True)
    feed = batch.Feed(a.rows, tenon=a.tenon, folder=a.shards, cores=a.cores, per_shard=a.per_shard,
                      seed=a.seed, extra=a.data)
    try:
        train(a, feed, began)
    finally:
        feed.close()


def train(a, feed, began):
    head, weights = checkpoint.read(a.checkpoint)
    dtype = torch.bfloat16 if a.device == "cuda" else torch.float32
    net = model.Net(head, weights, a.device, dtype)
    if a.device == "cuda":
        model.compile_blocks()
    opt, upload = Optimizer(net), Upload(a.device)
    log = open(f"{a.out}/log.tsv", "w", buffering=1)
    print("step", "tokens", "seconds", "stage", "lr", "loss", "grad_norm",
          *batch.CLASS_NAMES[1:], *(os.path.basename(p) for p in a.eval), sep="\t", file=log)
    sums = torch.zeros(batch.CLASSES, 3, device=a.device)
    step = tokens = examples = 0
    next_log, next_eval, next_save = 0.0, a.eval_every, a.save_every
    start = None
    while True:
        now = time.time() - began
        # the clock of the schedule starts when the first step is compiled
        progress = 0.0 if start is None else (now - start) / max(a.seconds - start, 1)
        if progress >= 1 or (a.steps and step >= a.steps):
            break
        stage = a.stage or stage_of(progress, a.decay, a.second)
        feed.set_stage(stage)
        raw = feed.get()
        b = upload(raw)
        net.grad.zero_()
        total, row, hit = net.rows(b)
        total.backward()
        lr = learning_rate(a.lr, step, progress, a.decay)
        norm = opt.step(lr)
        seen = (b.weight > 0).float()
        sums.index_add_(0, b.cls, torch.stack([row * seen, hit * seen, seen], 1))
        step, tokens, examples = step + 1, tokens + raw.tokens, examples + raw.conversations
        if step == 2:
            float(norm)
            start = time.time() - began
            print(f"first steps after {start:.1f} s", flush=True)
        if now >= next_log or now >= next_eval:
            s = sums.T.cpu().numpy().copy()
            sums.zero_()
            loss = s[0, 1:].sum() / max(s[2, 1:].sum(), 1)
            scores = []
            if now >= next_eval:
                scores = [f"{exact_match(net, p, a.rows, a.device):.4f}" for p in a.eval]
                next_eval = now + a.eval_every
            print(step, tokens, f"{now:.1f}", stage, f"{lr:.6f}", f"{loss:.4f}", f"{float(norm):.3f}",
                  *(f"{x:.4f}" for x in s[1, 1:] / np.maximum(s[2, 1:], 1)), *scores, sep="\t", file=log)
            print(f"{now:.0f} s  step {step}  {tokens / 1e6:.1f} M tokens  stage {stage}  loss {loss:.4f}  "
                  f"queue {feed.queue.qsize()}  {' '.join(scores)}", flush=True)
            next_log = now + a.log_every
        if now >= next_save:
            save(a, net, step, tokens, examples, now)
            next_save = now + a.save_every
    now = time.time() - began
    save(a, net, step, tokens, examples, now)
    print(f"end: {now:.1f} s, {step} steps, {tokens / 1e6:.1f} M tokens, "
          f"{tokens / max(now - (start or 0), 1):.0f} tokens/s, peak memory "
          f"{torch.cuda.max_memory_allocated() / 2**30 if a.device == 'cuda' else 0:.1f} GiB", flush=True)


def save(a, net, step, tokens, examples, seconds):
    net.head.count(step, tokens, examples, seconds, 0.0)
    checkpoint.write_parts(f"{a.out}/weights", net.head, net.flat.detach().cpu().numpy())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="what", required=True)
    c = sub.add_parser("check")
    c.add_argument("checkpoint")
    c.add_argument("shard")
    c.add_argument("--loss", type=float, required=True)
    c.add_argument("--grad", type=float, required=True)
    c.add_argument("--rows", type=int, default=4096)
    c.add_argument("--stage", type=int, default=2)
    r = sub.add_parser("run")
    r.add_argument("checkpoint")
    r.add_argument("--tenon", required=True)
    r.add_argument("--out", required=True)
    r.add_argument("--seconds", type=float, required=True, help="of the whole run, compiling included")
    r.add_argument("--shards", default="/dev/shm/tenon-shards", help="folder for shards in flight")
    r.add_argument("--data", nargs=argparse.REMAINDER, default=[], help="further options of tenon data")
    r.add_argument("--rows", type=int, default=65536, help="tokens of a step")
    r.add_argument("--cores", type=int, default=12)
    r.add_argument("--per-shard", type=int, default=2000)
    r.add_argument("--seed", type=int, default=1)
    r.add_argument("--lr", type=float, default=3e-3)
    r.add_argument("--decay", type=float, default=0.5)
    r.add_argument("--second", type=float, default=0.06, help="share of the run where stage 2 begins")
    r.add_argument("--stage", type=int, default=0)
    r.add_argument("--steps", type=int, default=0)
    r.add_argument("--eval", nargs="*", default=[], help="shards to measure")
    r.add_argument("--eval-every", type=float, default=60)
    r.add_argument("--log-every", type=float, default=5)
    r.add_argument("--save-every", type=float, default=120)
    for q in (c, r):
        q.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = p.parse_args()
    if a.what == "check":
        raise SystemExit(0 if check(a) else 1)
    run(a)


if __name__ == "__main__":
    main()
