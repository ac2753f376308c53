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


def to_device(b, device):
    keys = dict(token=torch.int64, target=torch.int64, pos=torch.int64, pos0=torch.int64,
                cls=torch.int64, weight=torch.float32, cu=torch.int32)
    return SimpleNamespace(**{k: torch.from_numpy(b[k]).to(device, t, non_blocking=True)
                              for k, t in keys.items()})


# ---- optimizers: muon.c, adamw.c, run.c ----

def newton_schulz(x):
    """Five steps that push the singular values of each matrix of the stack towards one."""
    for _ in range(5):
        a = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x


class Optimizer:
    """Muon for the matrices, AdamW for embedding, norms and taps; one learning rate."""

    def __init__(self, net, decay=0.05, momentum=0.95):
        self.net, self.decay, self.momentum = net, decay, momentum
        self.m = torch.zeros_like(net.flat)
        self.adam = torch.optim.AdamW(net.plain, lr=1e-3, betas=(0.9, 0.95), eps=1e-8,
                                      weight_decay=0.0, foreach=True)
        self.stacks = {}
        for off, r, c in net.pieces:
            self.stacks.setdefault((min(r, c), max(r, c)), []).append((off, r, c))
        self.muon_at = torch.zeros_like(net.flat, dtype=torch.bool)
        for off, r, c in net.pieces:
            self.muon_at[off : off + r * c] = True

    @torch.no_grad()
    def step(self, lr):
        """Clips to norm 1, then updates. Returns the norm of the gradient, still on the device."""
        g = self.net.grad
        norm = g.norm()
        scale = torch.where(norm.isfinite(), 1 / norm.clamp(min=1), 0)
        g.nan_to_num_(0, 0, 0).mul_(scale)
        self.m.mul_(self.momentum).add_(g)
        look = torch.add(g, self.m, alpha=self.momentum)
        work = torch.bfloat16 if g.is_cuda else torch.float32
        for (_, long), where in self.stacks.items():
            x = [look[o : o + r * c].view(r, c) for o, r, c in where]
            x = torch.stack([t.T if t.shape[0] > t.shape[1] else t for t in x])
            x = newton_schulz((x / (x.norm(dim=(1, 2), keepdim=True) + 1e-12)).to(work)).float()
            x.mul_(0.2 * math.sqrt(long))
            for (o, r, c), t in zip(where, x):
                look[o : o + r * c].view(r, c).copy_(t.T if r > c else t)
        w = self.net.flat
        w.sub_(torch.where(self.muon_at, look + self.decay * w, 0), alpha=lr)
        for group in self.adam.param_groups:
            group["lr"] = lr
        self.adam.step()
        return norm


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
        _, _, hit = net.rows(to_device(b, device))
        n, cls = len(b["seq"]), b["cls"]
        miss = (cls[:n] != batch.PROMPT) & ~hit.cpu().numpy()[:n]
        right += int((np.bincount(b["seq"], miss, b["n"]) == 0).sum())
        total += b["n"]
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
    b = to_device(batch.pack(chosen, rows, a.stage), a.device)
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
    opt = Optimizer(net)
    log = open(f"{a.out}/log.tsv", "w", buffering=1)
    print("step", "tokens", "seconds", "stage", "lr", "loss", "grad_norm",
          *batch.CLASS_NAMES[1:], *(os.path.basename(p) for p in a.eval), sep="\t", file=log)
    sums = torch.zeros(3, batch.CLASSES, device=a.device)
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
        b = to_device(raw, a.device)
        net.grad.zero_()
        total, row, hit = net.rows(b)
        total.backward()
        lr = learning_rate(a.lr, step, progress, a.decay)
        norm = opt.step(lr)
        seen = (b.weight > 0).float()
        for i, x in enumerate((row * seen, hit * seen, seen)):
            sums[i].index_add_(0, b.cls, x)
        step, tokens, examples = step + 1, tokens + int(raw["cu"][raw["n"]]), examples + raw["n"]
        if step == 2:
            float(norm)
            start = time.time() - began
            print(f"first steps after {start:.1f} s", flush=True)
        if now >= next_log or now >= next_eval:
            s = sums.cpu().numpy().copy()
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
    r.add_argument("--decay", type=float, default=0.3)
    r.add_argument("--second", type=float, default=0.12, help="share of the run where stage 2 begins")
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
