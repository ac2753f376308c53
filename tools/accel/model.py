"""LFM2 as src/model/decoder_grad.c runs it, in PyTorch: one flat batch of whole conversations.

Convolution, RoPE and attention know where each conversation begins (`pos`, `cu`), so there is no
padding and nothing leaks. Weights are f32; products take their inputs in `dtype`.
"""
import torch
import torch.nn.functional as F

import checkpoint


class Net:
    """Weights in one flat array, as the checkpoint has them; parameters are views into it. q, k, v
    and gate, up are neighbours there and one product each; `pieces` lists the true matrices."""

    def __init__(self, head, weights, device, dtype):
        self.head, self.dtype = head, dtype
        self.flat = torch.tensor(weights, device=device)
        self.grad = torch.zeros_like(self.flat)
        self.block, self.pieces, self.plain, off, table = [], [], [], 0, {}
        for name, r, c in checkpoint.tensors(head):
            table[name] = (off, r, c)
            off += r * c
        self.table = table
        self.embd = self.take("token_embd.weight")
        for i, kv in enumerate(head.kv):
            def t(*names): return self.take(*(f"blk.{i}.{n}.weight" for n in names))
            mix = ([t("attn_norm"), t("attn_q", "attn_k", "attn_v"), t("attn_output"),
                    t("attn_q_norm"), t("attn_k_norm")] if kv else
                   [t("attn_norm"), t("shortconv.in_proj"), t("shortconv.out_proj"),
                    t("shortconv.conv")])
            self.block.append((kv, mix, [t("ffn_norm"), t("ffn_gate", "ffn_up"), t("ffn_down")]))
        self.norm = self.take("token_embd_norm.weight")
        half = head.head_dim // 2
        angle = (torch.arange(head.n_ctx, dtype=torch.float64)[:, None]
                 * head.theta ** (-torch.arange(half, dtype=torch.float64) * 2 / head.head_dim))
        self.rope = torch.cat([angle.cos(), angle.sin()], 1).float().to(device)

    def take(self, *names):
        """One parameter over neighbouring tensors; its gradient is a view of the flat gradient."""
        off, _, cols = self.table[names[0]]
        rows = sum(self.table[n][1] for n in names)
        view = slice(off, off + rows * cols)
        shape = (rows, cols) if rows > 1 else (cols,)
        p = self.flat[view].view(shape).requires_grad_()
        p.grad = self.grad[view].view(shape)
        matrix = rows > 1 and cols > 3 and names[0] != "token_embd.weight"
        if not matrix:
            self.plain.append(p)
        for n in names if matrix else ():
            self.pieces.append(self.table[n])
        return p

    def rows(self, b):
        """Loss and "the arg-max is the target" of every row, the loss to minimise: see loss.c."""
        h, eps, (H, hd) = F.embedding(b.token, self.embd), self.head.eps, (self.head.n_head, self.head.head_dim)
        rope = self.rope[b.pos0 + b.pos]
        for kv, mix, ffn in self.block:
            if kv:
                h = attention_block(h, rope, b.cu, *mix, *ffn, H, kv, hd, eps, self.dtype)
            else:
                h = conv_block(h, b.pos, *mix, *ffn, eps, self.dtype)
        return head_rows(h, self.norm, self.embd, b.target, b.weight, eps, self.dtype)


def rms(x, w, eps):
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * w


def linear(x, w, dtype):
    return F.linear(x.to(dtype), w.to(dtype))


def feed_forward(h, norm, up, down, eps, dtype):
    a, b = linear(rms(h, norm, eps), up, dtype).chunk(2, -1)
    return h + linear(F.silu(a.float()) * b.float(), down, dtype)


def conv_block(h, pos, norm, win, wout, taps, fnorm, up, down, eps, dtype):
    b, c, x = linear(rms(h, norm, eps), win, dtype).float().chunk(3, -1)
    u = b * x
    one = F.pad(u[:-1], (0, 0, 1, 0)) * (pos >= 1)[:, None]
    two = F.pad(u[:-2], (0, 0, 2, 0)) * (pos >= 2)[:, None]
    v = taps[:, 2] * u + taps[:, 1] * one + taps[:, 0] * two
    h = h + linear(c * v, wout, dtype)
    return feed_forward(h, fnorm, up, down, eps, dtype)


def turned(x, rope):
    cos, sin = rope[:, None].chunk(2, -1)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def attend(q, k, v, cu):
    """Causal attention inside each conversation [cu[i], cu[i+1])."""
    if q.is_cuda and q.dtype == torch.bfloat16:
        return torch.ops.aten._flash_attention_forward(
            q, k, v, cu, cu, 2048, 2048, 0.0, True, False, scale=q.shape[-1] ** -0.5)[0]
    at = torch.arange(q.shape[0], device=q.device)
    which = torch.searchsorted(cu.long(), at, right=True)
    mask = (which[:, None] == which) & (at[:, None] >= at)
    group = q.shape[1] // k.shape[1]
    q, k, v = (x.transpose(0, 1)[None] for x in
               (q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)[0].transpose(0, 1)


def attention_block(h, rope, cu, norm, wqkv, wout, qn, kn, fnorm, up, down, H, G, hd, eps, dtype):
    n = h.shape[0]
    q, k, v = linear(rms(h, norm, eps), wqkv, dtype).split([H * hd, G * hd, G * hd], -1)
    q = turned(rms(q.reshape(n, H, hd), qn, eps), rope).to(dtype)
    k = turned(rms(k.reshape(n, G, hd), kn, eps), rope).to(dtype)
    o = attend(q, k, v.reshape(n, G, hd).contiguous(), cu)
    h = h + linear(o.reshape(n, H * hd), wout, dtype)
    return feed_forward(h, fnorm, up, down, eps, dtype)


Z_LOSS = 1e-4


def head_rows(h, norm, embd, target, weight, eps, dtype):
    z = linear(rms(h, norm, eps), embd, dtype).float()
    lse = torch.logsumexp(z, -1)
    zt = z.gather(1, target[:, None])[:, 0]
    row = lse - zt
    total = (weight * (row + Z_LOSS * lse.square())).sum() / weight.sum()
    return total, row.detach(), (zt >= z.amax(-1)).detach()


def compile_blocks():
    """One graph per kind of block, used by all of them: a compiler's minute instead of ten."""
    g = globals()
    for name in ("conv_block", "attention_block", "head_rows"):
        g[name] = torch.compile(g[name], dynamic=False, fullgraph=True)
