"""Shards of `tenon data --shards` become batches: src/train/batch.c and loss.c, with numpy.

A batch is exactly `rows` tokens: whole conversations, and one filler without weight at the end, so
that every step has one shape. `Feed` is a process of its own: it keeps `tenon data` busy on the
cores, a shard per core, and hands packed batches over. No conversation is drawn twice.
"""
import collections
import multiprocessing
import os
import subprocess
import time

import numpy as np

PROMPT, NAME, VALUE_FIRST, VALUE_REST, CLASSES = 0, 2, 4, 5, 10
CLASS_NAMES = "prompt struct name key value_first value_rest ask refuse answer end".split()
PROMPT_WEIGHT = {1: 0.1, 2: 0.02, 3: 0.0}
PROMPT_SHARE, LATE_SHARE, MOST_SEQUENCES = 4, 10, 383


def read(path):
    """[(token, class)] of a shard's conversations."""
    data = open(path, "rb").read()
    if data[:8] != b"TNSHARD1":
        raise SystemExit(f"{path}: not a shard of tenon data")
    out, off = [], 12
    while off < len(data):
        n = int.from_bytes(data[off : off + 4], "little")
        off += 4
        out.append((np.frombuffer(data, np.uint16, n, off), np.frombuffer(data, np.uint8, n, off + 2 * n)))
        off += 3 * n
    return out


def target_weights(cls, before, at, stage):
    """loss.c: values count double, deciding tokens three times; one prompt token in four speaks
    for the rest. `at`: number of the row in its conversation plus number of the conversation."""
    by_class = np.ones(256, np.float32)
    by_class[PROMPT], by_class[VALUE_FIRST], by_class[VALUE_REST] = PROMPT_WEIGHT[stage], 3, 2
    decides = (cls != PROMPT) & ((before == PROMPT) | ((cls == NAME) & (before != NAME)))
    w = np.where(decides, np.float32(3), by_class[cls])
    return np.where(cls == PROMPT, np.where(at % PROMPT_SHARE == 0, w * PROMPT_SHARE, 0), w).astype(np.float32)


def pack(examples, rows, stage, n_ctx=2048, rng=None):
    """Arrays of one batch. Without rng all conversations begin at position 0."""
    n = np.array([len(t) - 1 for t, _ in examples], np.int64)
    free = rows - int(n.sum())
    token = np.concatenate([t[:-1] for t, _ in examples] + [np.zeros(free, np.uint16)])
    target = np.concatenate([t[1:] for t, _ in examples] + [np.zeros(free, np.uint16)])
    cls = np.concatenate([c[1:] for _, c in examples] + [np.zeros(free, np.uint8)])
    before = np.concatenate([c[:-1] for _, c in examples] + [np.zeros(free, np.uint8)])
    seq = np.repeat(np.arange(len(n)), n)
    cu = np.concatenate([[0], np.cumsum(n)])
    pos = np.arange(cu[-1]) - cu[seq]
    weight = target_weights(cls, before, np.concatenate([pos + seq, np.zeros(free, np.int64)]), stage)
    weight[rows - free :] = 0
    late = np.zeros(len(n), np.int64)
    if rng is not None:
        room = np.maximum(n_ctx - n - 1, 1)
        late = np.where(rng.integers(0, LATE_SHARE, len(n)) == 0, rng.integers(0, room), 0)
    ends = np.full(MOST_SEQUENCES + 2, rows, np.int32)  # what is left over has no length
    ends[: len(cu)] = cu
    rows_of = np.empty((len(ROWS), rows), np.int32)
    rows_of[0], rows_of[1], rows_of[2], rows_of[3] = token, target, cls, weight.view(np.int32)
    rows_of[4, :-free or None], rows_of[4, rows - free :] = pos, np.arange(free) % n_ctx
    rows_of[5, :-free or None], rows_of[5, rows - free :] = late[seq], 0
    return Batch(rows_of, ends, len(n), int(cu[-1]), seq.astype(np.int32))


ROWS = "token target cls weight pos pos0".split()
# rows [6, n] as int32 (weight: its bits), where conversations end, how many, their tokens, the
# conversation of each of these tokens
Batch = collections.namedtuple("Batch", "rows ends conversations tokens seq")


def first_fit(source, rows, stage, rng=None):
    """Batches of `rows` tokens from conversations; what does not fit waits for the next batch."""
    held = collections.deque()
    while True:
        chosen, left, rest = [], rows, []
        while left >= 48 and len(rest) <= 64 and len(chosen) < MOST_SEQUENCES:
            x = held.popleft() if held else next(source, None)
            if x is None:
                break
            n = len(x[0]) - 1
            if n <= left:
                chosen.append(x)
                left -= n
            elif n <= rows:
                rest.append(x)
        held.extendleft(reversed(rest))
        if not chosen:
            return
        yield pack(chosen, rows, stage(), rng=rng)


class Shards:
    """Endless conversations: `cores` processes of `tenon data`, each a shard with its own range."""

    def __init__(self, tenon, folder, cores, per_shard, seed, extra, stage):
        self.command = [tenon, "data", "--seed", str(seed), "--shards", str(per_shard)] + extra
        self.folder, self.cores, self.per_shard, self.stage = folder, cores, per_shard, stage
        self.number, self.running, self.ready = 0, [], []

    def poll(self):
        for job in list(self.running):
            process, path, stage = job
            if process.poll() is None:
                continue
            self.running.remove(job)
            if process.returncode:
                raise SystemExit(f"tenon data failed with {process.returncode}: {' '.join(process.args)}")
            self.ready.append((path, stage))
        while len(self.running) < self.cores and len(self.ready) + len(self.running) < 2 * self.cores:
            path, stage = f"{self.folder}/{self.number}.shard", self.stage()
            args = self.command + ["--stage", str(stage), "--out", path,
                                   "--first", str(self.number * self.per_shard)]
            self.running.append((subprocess.Popen(args), path, stage))
            self.number += 1

    def __iter__(self):
        while True:
            self.poll()
            if not self.ready:
                time.sleep(0.01)
                continue
            newest = max(stage for _, stage in self.ready)
            keep = [r for r in self.ready if r[1] == newest]
            for path, _ in set(self.ready) - set(keep):
                os.unlink(path)  # made for a stage that is over
            self.ready = keep
            path, _ = self.ready.pop(0)
            for i, x in enumerate(read(path)):
                if i % 256 == 0:
                    self.poll()
                yield x
            os.unlink(path)


class Feed:
    """Batches from a process of its own; `stage` is shared with it and may be set at any time."""

    def __init__(self, rows, depth=48, **shards):
        self.stage_now = multiprocessing.Value("i", 1)
        self.queue = multiprocessing.Queue(depth)
        self.process = multiprocessing.Process(target=self.run, args=(rows, shards), daemon=False)
        self.process.start()

    def run(self, rows, shards):
        stage = lambda: self.stage_now.value
        source = Shards(stage=stage, **shards)
        try:
            for b in first_fit(iter(source), rows, stage, np.random.default_rng(shards["seed"])):
                self.queue.put(b)
        finally:
            for process, _, _ in source.running:
                process.kill()

    def set_stage(self, stage):
        self.stage_now.value = stage

    def get(self):
        while True:
            try:
                return self.queue.get(timeout=5)
            except Exception:
                if not self.process.is_alive():
                    raise SystemExit("the process that makes batches has died")

    def close(self):
        self.process.terminate()
        self.queue.cancel_join_thread()
