"""The C trainer's checkpoint, read and written: src/train/ckpt.c, src/model/net.c.

A head (magic, version, shape, hashes, counters), the weights and both moments as flat f32, then
XXH3 of all that. The order of tensors in the flat arrays is that of net.c; `tensors` repeats it,
and reading refuses a file whose number of floats says otherwise.
"""
import struct

import numpy as np

MAGIC, VERSION = 0x314B4354, 1
HEAD = struct.Struct("<II32s8i1024i3fi4i?3xfQQQ4qQ6dq")


class Head:
    """What a checkpoint says beside its floats. `raw` is the list of fields in file order."""

    def __init__(self, data):
        self.raw = list(HEAD.unpack(data[: HEAD.size]))
        if self.raw[:2] != [MAGIC, VERSION]:
            raise SystemExit("not a checkpoint of tenon train, or another version")
        names = "n_layer n_embd n_ff n_head head_dim n_vocab n_ctx conv_taps".split()
        for name, value in zip(names, self.raw[3:11]):
            setattr(self, name, value)
        self.kv = self.raw[11 : 11 + self.n_layer]  # key/value heads; 0: convolution
        self.eps, self.theta = self.raw[1035:1037]
        self.n_param = self.raw[1047]

    def count(self, step, tokens, examples, seconds, loss):
        """Sets the counters of a run that stands at this step."""
        self.raw[1048:1052] = [step, tokens, examples, 0]
        self.raw[1052] = step * 64  # micro-batch numbers the C trainer has not used
        self.raw[1053:1056] = [seconds, loss * 49, 49.0]

    def pack(self):
        return HEAD.pack(*self.raw)


def tensors(h):
    """[(name, rows, cols)] in the order of the flat arrays. Vectors have one row."""
    d, hd, out = h.n_embd, h.head_dim, [("token_embd.weight", h.n_vocab, h.n_embd)]
    for i, kv in enumerate(h.kv):
        if kv:
            block = [("attn_norm", 1, d), ("attn_q", d, d), ("attn_k", kv * hd, d),
                     ("attn_v", kv * hd, d), ("attn_output", d, d), ("attn_q_norm", 1, hd),
                     ("attn_k_norm", 1, hd)]
        else:
            block = [("attn_norm", 1, d), ("shortconv.in_proj", 3 * d, d),
                     ("shortconv.conv", d, 3), ("shortconv.out_proj", d, d)]
        block += [("ffn_norm", 1, d), ("ffn_gate", h.n_ff, d), ("ffn_up", h.n_ff, d),
                  ("ffn_down", d, h.n_ff)]
        out += [(f"blk.{i}.{name}.weight", r, c) for name, r, c in block]
    return out + [("token_embd_norm.weight", 1, d)]


def read(path):
    """Head and weights of a checkpoint. The moments stay in the file: a twin's run begins anew."""
    data = np.memmap(path, dtype=np.uint8, mode="r")
    head = Head(bytes(data[: HEAD.size]))
    if head.n_param != sum(r * c for _, r, c in tensors(head)):
        raise SystemExit(f"{path}: its shape has another number of weights than the file says")
    end = HEAD.size + 4 * head.n_param
    return head, np.frombuffer(bytes(data[HEAD.size : end]), np.float32).copy()


def write(path, head, weights, m=None, v=None):
    """A whole checkpoint. Moments that are not given are zero: a resumed run fills them."""
    import xxhash

    zero = np.zeros(head.n_param, np.float32)
    parts = [head.pack()] + [np.asarray(zero if p is None else p, np.float32).tobytes()
                             for p in (weights, m, v)]
    total = 0
    for p in parts:
        total = xxhash.xxh3_64_intdigest(p, seed=total)
    with open(path, "wb") as f:
        for p in parts:
            f.write(p)
        f.write(struct.pack("<Q", total))


def write_parts(stem, head, weights, floats=3_500_000):
    """Head and weights alone in files that fit a narrow way out of a machine."""
    data = head.pack() + weights.tobytes()
    for i in range(0, len(data), 4 * floats):
        with open(f"{stem}.{i // (4 * floats)}.part", "wb") as f:
            f.write(data[i : i + 4 * floats])


def main():
    import sys

    if len(sys.argv) < 3:
        raise SystemExit("usage: checkpoint.py OUT.ckpt PART...   (parts in their order)")
    data = b"".join(open(p, "rb").read() for p in sys.argv[2:])
    write(sys.argv[1], Head(data), np.frombuffer(data[HEAD.size :], np.float32))


if __name__ == "__main__":
    main()
