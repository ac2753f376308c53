/* int.h -- what the files of cpu/ share: one `struct kern` per instruction set, all of the same
 * shape.
 *
 * A product is two kernels. Prefill unpacks PANEL_ROWS rows of weights once into a panel that
 * stays in the cache and multiplies it with every column; decode streams the rows as they lie in
 * the file. Each has its own form of the activations ("act"), made once per matmul and shared by
 * the products that want the same form. Every sum over k runs in one order, whatever the number
 * of columns or threads. */
#ifndef TENON_CPU_INT_H
#define TENON_CPU_INT_H

#include "cpu/cpu.h"

#define PANEL_ROWS 32

/* How a kernel wants its input: one column of k floats becomes bytes(k) bytes at dst; or, where `lay` is there, column t
 * of n becomes its share of n columns at base, `bytes` each (bytes(k), rounded up), which may stand side by side. */
struct act_form {
    size_t (*bytes)(int k);
    void (*fill)(void *dst, const float *x, int k);
    void (*lay)(void *base, size_t bytes, const float *x, int k, int t, int n);
};
struct prefill {
    const struct act_form *act;
    size_t (*panel_bytes)(int k);
    /* Rows [r0, r0 + n_row) of w, n_row <= PANEL_ROWS; missing rows are zero. row: scratch of
     * n_in floats. */
    void (*fill)(void *panel, const struct mat *w, int r0, int n_row, float *row);
    /* y[t*ldy + r] for n columns and n_row rows; act: n columns, act_bytes apart. */
    void (*mul)(float *y, size_t ldy, const void *panel, const void *act, size_t act_bytes, int n,
                int k, int n_row);
};
struct decode {
    const struct act_form *act;
    /* y[t*ldy + r] for n columns and r in [r0, r1); act as above. row: scratch of n_in floats. */
    void (*rows)(float *y, size_t ldy, const struct mat *w, const void *act, size_t act_bytes,
                 int n, int r0, int r1, float *row);
    /* Above 0: results are those of the prefill kernel of this dtype to the last bit, and are had sooner for so many
     * columns or fewer. */
    int few;
};

/* A loop of one product instruction on registers: n rounds, returns the operations done. */
struct peak { const char *what; double (*run)(int n); };

/* A part of decode attention: row t of the query heads of KV heads [head0, head1), ATTN_HEADS at most, over positions
 * [from, to), all of them seen; out: [query heads, ATTN_PART(head_dim)]. */
struct attn_part { int head0, head1, t, from, to; float *out; };

struct kern {
    const char *name;
    uint64_t (*read)(const void *p, size_t n); /* touches n bytes, a multiple of 256 */
    struct peak peak[3];
    void (*rms)(float *y, const float *x, const float *w, int n, int d, float eps);
    /* One row: cs is cos[head_dim/2] and then sin[head_dim/2]. */
    void (*rope)(float *x, const float *cs, int n_head, int head_dim, enum rope_pairs pairs);
    void (*swiglu)(float *y, const float *gate, const float *up, size_t n);
    void (*add)(float *y, const float *x, size_t n);
    void (*to_f16)(uint16_t *y, const float *x, size_t n);
    /* Channels [c0, c1) of the gated convolution; arguments as in struct ops. */
    void (*conv)(float *y, const float *z, const float *taps, float *state, int n, int d, int K,
                 int c0, int c1);
    /* Rows [t0, t1) of all query heads of one KV head; scratch: see attn_floats() in attn.c. */
    void (*attn_prefill)(const struct attn *a, int head_kv, int t0, int t1, float *scratch);
    void (*attn_decode)(const struct attn *a, const struct attn_part *p, float *scratch);
    /* The same for caches of a type, sooner; false: not for these heads. */
    bool (*attn[DT_COUNT])(const struct attn *a, const struct attn_part *p, float *scratch);
    /* o [n, head_dim]: n queries out of what n_seg parts gave to them, the parts `step` floats apart; they are used up. */
    void (*attn_join)(float *o, float *part, int n_seg, size_t step, int n, int head_dim);
    struct prefill prefill[DT_COUNT];                                 /* act NULL: any_prefill */
    struct decode decode[DT_COUNT];
    struct decode few[DT_COUNT]; /* for a few prompt tokens; act NULL: decode[], where that gives the same bits */
    struct prefill any_prefill; /* over unpacked f32 rows: every dtype */
    struct decode any_decode;
};
#define ATTN_ROWS 64 /* rows of a prefill attention tile */
#define ATTN_HEADS 8 /* KV heads that go through the pages together in decode, at most */
/* A query's share of a part of decode attention: sums of values [head_dim, rounded up], weighted by powers of two relative
 * to the largest; from ATTN_STATE on the exponent of that and the sum of the weights. */
#define ATTN_STATE(head_dim) (((size_t)(head_dim) + 15) / 16 * 16)
#define ATTN_PART(head_dim) (ATTN_STATE(head_dim) + 16)
#define ATTN_QUERIES 4 /* queries that share a load of a key, at most */

/* Tables of the instruction sets; the integer kernels overwrite rows of the generic ones. */
void kern_plain(struct kern *k);
void kern_avx2(struct kern *k);
void kern_avx512(struct kern *k);
void kern_int_avx2(struct kern *k);
void kern_crowd_avx2(struct kern *k);
void kern_vnni(struct kern *k);
void kern_vnni_k(struct kern *k);
void kern_crowd_vnni(struct kern *k);
void kern_crowd_k(struct kern *k);
void kern_attn_avx512(struct kern *k);
void kern_attn_vnni(struct kern *k);
void kern_bf16(struct kern *k);
void kern_neon(struct kern *k);
void kern_dotprod(struct kern *k);
void kern_i8mm(struct kern *k);

/* matmul.c */
struct cpu {
    struct ops ops; /* first: ops.ctx is the struct cpu */
    struct kern kern;
    struct pool *pool;
    char name[32];
    char *act, **scratch; /* activations; one scratch per thread */
    size_t act_cap, scratch_cap;
    float *parts; /* of decode attention */
    size_t parts_cap;
    float *rope; /* cos and sin of the positions seen last */
    int32_t *rope_pos;
    size_t rope_cap, rope_n;
    const float *rope_freq;
    int rope_half;
};
void cpu_matmul(void *ctx, const struct matmul *mm, int n_mm, const float *x, int n, enum phase ph);
/* Every thread has bytes of scratch afterwards. */
void cpu_scratch(struct cpu *c, size_t bytes);

/* attn.c */
void cpu_attn(void *ctx, const struct attn *a, enum phase ph);

#endif
