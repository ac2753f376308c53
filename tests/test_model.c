/* test_model.c -- the model as a whole: a random one made here, and the shared fixtures where
 * they are.
 *
 * What must hold: the logits of a prompt do not depend on how it was cut or on the number of
 * threads, to the bit; sequences do not see each other; whatever was cut back, forked or resumed
 * goes on as if it had been computed anew. */
#include <math.h>
#include <unistd.h>

#include "base/json.h"
#include "cpu/cpu.h"
#include "model/model.h"
#include "test.h"

/* ---- a random model in a temporary file ------------------------------------------------------ */

enum { D = 64, FF = 96, HEADS = 4, KV = 2, HD = 16, VOCAB = 96, LAYERS = 4, TAPS = 3, EXPERTS = 4, USED = 2, FFE = 32 };

/* What is made: architecture, a letter per layer (convolution, attention), and what is special. */
struct family {
    const char *name, *arch, *layers;
    bool head_norms, biases, tied, stacked; /* stacked: experts in one tensor */
    int window, first_moe;                  /* first_moe: LAYERS: no experts */
};
static const struct family families[] = {
    { "cacc",     "lfm2",    "cacc", true,  false, true,  false, 0,  LAYERS },
    { "moe-cacc", "lfm2moe", "cacc", true,  false, true,  true,  0,  1 },
    { "llama",    "llama",   "aaaa", false, false, false, false, 0,  LAYERS },
    { "mistral",  "llama",   "aaaa", false, true,  false, false, 50, LAYERS },
    { "mixtral",  "llama",   "aaaa", false, false, false, true,  0,  0 },
    { "old-mixtral", "llama", "aaaa", false, false, false, false, 0, 0 },
    { "qwen2",    "qwen2",   "aaaa", false, true,  true,  false, 0,  LAYERS },
    { "qwen3",    "qwen3",   "aaaa", true,  false, true,  false, 0,  LAYERS },
};

static const struct family *family_of(const char *name)
{
    for (size_t i = 0; i < LEN(families); i++)
        if (!strcmp(families[i].name, name)) return &families[i];
    fail_msg("no family %s", name);
    return NULL;
}

struct made {
    struct gguf_out *out;
    const struct family *f;
    float *data[160];
    int n;
    enum dtype type;
    const char *leave_out;
    int wrong_shape;
};

/* seed: of which tensor are these the numbers. n_deep > 1: slices of it, one after another. */
static void put_as(struct made *m, const char *name, const char *seed, int slice, int n_in, int n_out, int n_deep, bool norm)
{
    size_t n = (size_t)n_in * MAX(n_out, 1) * n_deep;
    float *x = mem_alloc(n * sizeof *x);
    struct rng r = rng_make(5, hash64(seed, strlen(seed), 0), 0);
    for (size_t i = 0; i < n * slice; i++) rng_normal(&r);
    for (size_t i = 0; i < n; i++)
        x[i] =
            norm ? (float)(1 + 0.3 * rng_normal(&r)) : (float)(rng_normal(&r) * 1.5 / sqrt(n_in));
    enum dtype d = norm || strstr(name, "shortconv.conv") ? DT_F32 : m->type;
    struct tensor t = {
        .name = name, .dtype = d, .n_dim = n_deep > 1 ? 3 : n_out ? 2 : 1, .ne = { n_in, MAX(n_out, 1), n_deep, 1 }
    };
    t.bytes = dtype_bytes(d, (int64_t)n);
    void *packed = mem_alloc(t.bytes);
    dtype_info(d)->pack(x, NULL, packed, n);
    mem_free(x);
    t.data = m->data[m->n++] = packed;
    if (!m->leave_out || strcmp(m->leave_out, name)) gguf_out_tensor(m->out, &t);
}

static void put(struct made *m, const char *name, int n_in, int n_out, bool norm)
{
    put_as(m, name, name, 0, n_in, n_out, 1, norm);
}

/* Stacked or each by itself: the same numbers. */
static void put_experts(struct made *m, int l)
{
    static const struct { const char *name; int n_in, n_out; } part[] = { { "gate", D, FFE }, { "up", D, FFE }, { "down", FFE, D } };
    char whole[64], each[64];
    for (size_t i = 0; i < LEN(part); i++) {
        snprintf(whole, sizeof whole, "blk.%d.ffn_%s_exps.weight", l, part[i].name);
        if (m->f->stacked) put_as(m, whole, whole, 0, part[i].n_in, part[i].n_out, EXPERTS, false);
        for (int e = 0; e < EXPERTS && !m->f->stacked; e++) {
            snprintf(each, sizeof each, "blk.%d.ffn_%s.%d.weight", l, part[i].name, e);
            put_as(m, each, whole, e, part[i].n_in, part[i].n_out, 1, false);
        }
    }
}

static void put_layer(struct made *m, int l, bool attn)
{
    char s[64];
    const struct family *f = m->f;
#define BIAS(tail, n) (snprintf(s, sizeof s, "blk.%d." tail ".bias", l), put(m, s, n, 0, true))
#define PUT(tail, n_in, n_out, norm)                                                               \
    (snprintf(s, sizeof s, "blk.%d." tail ".weight", l), put(m, s, n_in, n_out, norm))
    PUT("attn_norm", D, 0, true);
    PUT("ffn_norm", D, 0, true);
    if (l >= f->first_moe) {
        PUT("ffn_gate_inp", D, EXPERTS, false);
        put_experts(m, l);
        if (!strcmp(f->arch, "lfm2moe")) BIAS("exp_probs_b", EXPERTS);
    } else {
        PUT("ffn_gate", D, FF, false);
        PUT("ffn_up", D, FF, false);
        PUT("ffn_down", FF, D, false);
    }
    if (attn && f->biases) {
        BIAS("attn_q", HEADS * HD);
        BIAS("attn_k", KV * HD);
        BIAS("attn_v", KV * HD);
    }
    if (attn) {
        PUT("attn_q", D, HEADS * HD, false);
        PUT("attn_k", D, KV * HD, false);
        PUT("attn_v", D, KV * HD, false);
        PUT("attn_output", HEADS * HD, D, false);
        if (f->head_norms) PUT("attn_q_norm", HD, 0, true);
        if (f->head_norms) PUT("attn_k_norm", HD, 0, true);
    } else {
        PUT("shortconv.in_proj", D, 3 * D, false);
        PUT("shortconv.conv", TAPS, D, false);
        PUT("shortconv.out_proj", D, D, false);
    }
#undef PUT
#undef BIAS
}

static const char *key_of(const struct made *m, const char *tail)
{
    static char key[96];
    snprintf(key, sizeof key, "%s.%s", m->f->arch, tail);
    return key;
}

static void put_numbers(struct made *m, const int32_t *kv)
{
    const struct family *f = m->f;
    gguf_out_str(m->out, "general.architecture", f->arch, strlen(f->arch));
    gguf_out_u32(m->out, "general.quantization_version", 2);
    gguf_out_u32(m->out, key_of(m, "block_count"), LAYERS);
    gguf_out_u32(m->out, key_of(m, "context_length"), 1000);
    gguf_out_u32(m->out, key_of(m, "embedding_length"), D);
    gguf_out_u32(m->out, key_of(m, "feed_forward_length"), f->first_moe ? FF : FFE);
    gguf_out_u32(m->out, key_of(m, "attention.head_count"), HEADS);
    gguf_out_i32s(m->out, key_of(m, "attention.head_count_kv"), kv, LAYERS);
    gguf_out_f32(m->out, key_of(m, "attention.layer_norm_rms_epsilon"), 1e-5f);
    gguf_out_f32(m->out, key_of(m, "rope.freq_base"), 10000);
    if (strchr(f->layers, 'c')) gguf_out_u32(m->out, key_of(m, "shortconv.l_cache"), TAPS);
    if (f->window) gguf_out_u32(m->out, key_of(m, "attention.sliding_window"), (uint32_t)f->window);
    if (f->first_moe == LAYERS) return;
    gguf_out_u32(m->out, key_of(m, "expert_count"), EXPERTS);
    gguf_out_u32(m->out, key_of(m, "expert_used_count"), USED);
    if (!f->first_moe) return;
    gguf_out_u32(m->out, key_of(m, "expert_feed_forward_length"), FFE);
    gguf_out_u32(m->out, key_of(m, "leading_dense_block_count"), (uint32_t)f->first_moe);
    gguf_out_u32(m->out, key_of(m, "expert_gating_func"), 2);
}

static const char *path_of(char *buf, size_t n)
{
    const char *dir = getenv("TMPDIR");
    snprintf(buf, n, "%s/tenon_test_model_%d.gguf", dir ? dir : "/tmp", (int)getpid());
    return buf;
}

/* change() may alter the metadata before it is written. */
static struct gguf *make(const char *family, enum dtype type, const char *leave_out,
                         void (*change)(struct gguf_out *))
{
    struct made m = { .out = gguf_out_new(), .f = family_of(family), .type = type, .leave_out = leave_out };
    int32_t kv[LAYERS];
    struct err e = { 0 };
    char path[300];
    for (int l = 0; l < LAYERS; l++) kv[l] = m.f->layers[l] == 'a' ? KV : 0;
    put_numbers(&m, kv);
    put(&m, "token_embd.weight", D, VOCAB, false);
    put(&m, m.f->tied ? "token_embd_norm.weight" : "output_norm.weight", D, 0, true);
    if (!m.f->tied) put(&m, "output.weight", D, VOCAB, false);
    for (int l = 0; l < LAYERS; l++) put_layer(&m, l, kv[l] != 0);
    if (change) change(m.out);
    bool ok = gguf_out_write(m.out, path_of(path, sizeof path), &e);
    for (int i = 0; i < m.n; i++) mem_free(m.data[i]);
    gguf_out_free(m.out);
    struct gguf *g = ok ? gguf_open(path, &e) : NULL;
    CHECK(g, "%s", e.msg);
    remove(path);
    return g;
}

/* ---- running --------------------------------------------------------------------------------- */

struct rig {
    struct gguf *g;
    struct pool *pool;
    const struct ops *ops;
    struct model *m;
    struct kv *kv;
    struct arena tmp;
};

static struct rig rig_open(struct gguf *g, const char *isa, int n_thread, int n_ctx, int n_seq)
{
    struct rig r = { .g = g };
    struct err e = { 0 };
    arena_init(&r.tmp, 0);
    if (isa) r.pool = pool_open(n_thread, &e), r.ops = cpu_ops_open(r.pool, isa, &e);
    r.m = model_open(g, isa ? r.ops : ref_ops(), &e);
    CHECK(r.m, "%s", e.msg);
    if (r.m) r.kv = kv_open(r.m, n_ctx, n_seq, &e);
    return r;
}

static void rig_close(struct rig *r, bool with_file)
{
    kv_close(r->kv);
    model_close(r->m);
    cpu_ops_close(r->ops);
    pool_close(r->pool);
    arena_done(&r->tmp);
    if (with_file) gguf_close(r->g);
}

static bool feed(struct rig *r, int seq, const int32_t *token, int n, enum phase ph, float *logits,
                 struct err *e)
{
    struct batch b = {
        .n = n, .seq = seq, .token = token, .phase = ph, .n_logits = logits ? n : 0
    };
    return model_forward(r->m, r->kv, &b, &r->tmp, logits, e);
}

static void must_feed(struct rig *r, int seq, const int32_t *token, int n, enum phase ph,
                      float *logits)
{
    struct err e = { 0 };
    CHECK(feed(r, seq, token, n, ph, logits, &e), "%s", e.msg);
}

static void some_tokens(int32_t *t, int n, uint64_t seed)
{
    struct rng r = rng_make(seed, 0, 0);
    for (int i = 0; i < n; i++) t[i] = (int32_t)rng_below(&r, VOCAB);
}

static double far(const float *a, const float *b, size_t n)
{
    double d = 0, l = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        l += (double)b[i] * b[i];
    }
    return sqrt(d / (l > 0 ? l : 1));
}

#define N 150
static int32_t prompt[N], other[N];
static float whole[N * VOCAB], got[N * VOCAB];
#define SAME(what) CHECK(!memcmp(got, whole, sizeof whole), "%s %s: %s", ops_name, kinds[k], what)

static const char *const kinds[] = { "cacc", "moe-cacc", "mistral", "llama", "mixtral", "qwen2" };

/* Each backend, each arrangement of layers; the body has r, k, ops_name and a fresh rig. */
#define EACH_RIG(n_thread, n_ctx, n_seq)                                                           \
    some_tokens(prompt, N, 1), some_tokens(other, N, 2);                                           \
    for (int isa_ = -1; isa_ < 0 || cpu_isa(isa_); isa_++)                                         \
        for (size_t k = 0; k < (SANITIZED ? 3 : LEN(kinds)); k++)                                  \
            for (struct rig r = rig_open(make(kinds[k], DT_Q8_0, NULL, NULL),                      \
                                         isa_ < 0 ? NULL : cpu_isa(isa_), n_thread, n_ctx, n_seq); \
                 r.m; rig_close(&r, true), r.m = NULL)                                             \
                for (const char *ops_name = isa_ < 0 ? "ref" : cpu_isa(isa_); ops_name;            \
                     ops_name = NULL)

TEST(a_prompt_may_be_cut_anywhere)
{
    static const int steps[] = { 1, 7, 63, 64, 65, 149 };
    EACH_RIG(2, 1000, 1) {
        int seq = kv_seq_new(r.kv);
        must_feed(&r, seq, prompt, N, PHASE_PREFILL, whole);
        for (size_t s = 0; s < LEN(steps); s++) {
            CHECK(kv_truncate(r.kv, seq, 0) == 0, "to nothing");
            for (int t = 0; t < N; t += steps[s])
                must_feed(&r, seq, prompt + t, MIN(steps[s], N - t), PHASE_PREFILL,
                          got + t * VOCAB);
            SAME("in pieces");
        }
    }
}

TEST(logits_of_the_last_row_alone_are_the_same)
{
    EACH_RIG(1, 1000, 1) {
        int seq = kv_seq_new(r.kv);
        struct err e = { 0 };
        must_feed(&r, seq, prompt, N, PHASE_PREFILL, whole);
        kv_truncate(r.kv, seq, 0);
        struct batch b = {
            .n = N, .seq = seq, .token = prompt, .phase = PHASE_PREFILL, .n_logits = 1
        };
        CHECK(model_forward(r.m, r.kv, &b, &r.tmp, got, &e), "%s", e.msg);
        CHECK(!memcmp(got, whole + (N - 1) * VOCAB, VOCAB * sizeof *got), "%s %s", ops_name,
              kinds[k]);
        /* and the state left behind is the same too */
        kv_truncate(r.kv, seq, 128);
        must_feed(&r, seq, prompt + 128, N - 128, PHASE_PREFILL, got);
        CHECK(!memcmp(got, whole + 128 * VOCAB, (N - 128) * VOCAB * sizeof *got),
              "%s %s: after 128", ops_name, kinds[k]);
    }
}

TEST(decode_agrees_with_prefill_and_is_the_same_in_runs)
{
    static float runs[N * VOCAB];
    EACH_RIG(2, 1000, 1) {
        int seq = kv_seq_new(r.kv);
        must_feed(&r, seq, prompt, N, PHASE_PREFILL, whole);
        kv_truncate(r.kv, seq, 0);
        for (int t = 0; t < N; t++)
            must_feed(&r, seq, prompt + t, 1, PHASE_DECODE, got + t * VOCAB);
        /* Where prefill computes in f32 and decode in 8 bits this is the rounding of 8-bit
         * inputs, which may choose another expert here and there; a state that is off by one
         * token is more than ten times as far. */
        bool mixture = family_of(kinds[k])->first_moe < LAYERS;
        CHECK(far(got, whole, N * VOCAB) < (mixture ? 0.3 : 0.1), "%s %s: %g", ops_name, kinds[k],
              far(got, whole, N * VOCAB));
        kv_truncate(r.kv, seq, 0);
        for (int t = 0; t < N; t += 9)
            must_feed(&r, seq, prompt + t, MIN(9, N - t), PHASE_DECODE, runs + t * VOCAB);
        CHECK(!memcmp(runs, got, sizeof got), "%s %s: nine at a time", ops_name, kinds[k]);
    }
}

TEST(threads_do_not_show)
{
    some_tokens(prompt, N, 1);
    for (int n = 1; n <= 4; n++) {
        struct rig r = rig_open(make("cacc", DT_Q4_0, NULL, NULL), cpu_isa(0), n, N, 1);
        must_feed(&r, kv_seq_new(r.kv), prompt, N, PHASE_PREFILL, n == 1 ? whole : got);
        CHECK(n == 1 || !memcmp(got, whole, sizeof whole), "%d threads", n);
        rig_close(&r, true);
    }
}

TEST(sequences_do_not_see_each_other)
{
    static float mine[N * VOCAB], theirs[N * VOCAB];
    EACH_RIG(1, 1000, 2) {
        int a = kv_seq_new(r.kv);
        must_feed(&r, a, prompt, N, PHASE_PREFILL, whole);
        kv_truncate(r.kv, a, 0);
        int b = kv_seq_new(r.kv);
        CHECK(a >= 0 && b >= 0 && a != b && kv_seq_new(r.kv) < 0, "two slots");
        for (int t = 0; t < N; t += 10) {
            must_feed(&r, a, prompt + t, 10, PHASE_PREFILL, mine + t * VOCAB);
            must_feed(&r, b, other + t, 10, PHASE_PREFILL, theirs + t * VOCAB);
        }
        CHECK(!memcmp(mine, whole, sizeof whole), "%s %s: the first", ops_name, kinds[k]);
        kv_seq_free(r.kv, a);
        a = kv_seq_new(r.kv);
        must_feed(&r, a, other, N, PHASE_PREFILL, mine);
        CHECK(!memcmp(mine, theirs, sizeof mine), "%s %s: the second", ops_name, kinds[k]);
    }
}

/* Fork after `at` tokens, let the parent go elsewhere, and finish the prompt in the child. */
TEST(a_fork_goes_on_alone)
{
    static const int at[] = { 1, 63, 64, 100, 128 };
    static float waste[N * VOCAB];
    EACH_RIG(1, 1000, 2)
        for (size_t i = 0; i < LEN(at); i++) {
            int a = kv_seq_new(r.kv), room = kv_free_positions(r.kv);
            must_feed(&r, a, prompt, N, PHASE_PREFILL, whole);
            kv_seq_free(r.kv, a);
            a = kv_seq_new(r.kv);
            must_feed(&r, a, prompt, at[i], PHASE_PREFILL, got);
            int b = kv_seq_fork(r.kv, a);
            CHECK(b >= 0 && kv_len(r.kv, b) == at[i], "fork");
            must_feed(&r, a, other, 30, PHASE_PREFILL, waste);
            must_feed(&r, b, prompt + at[i], N - at[i], PHASE_PREFILL, got + at[i] * VOCAB);
            SAME("fork");
            kv_seq_free(r.kv, a);
            kv_seq_free(r.kv, b);
            CHECK(kv_free_positions(r.kv) == room, "pages come back");
        }
}

TEST(what_was_cut_back_is_computed_as_if_anew)
{
    /* asked for; kept with and without marks at 70 */
    static const struct { int len, conv, attn;
    } rows[] = {
        { 149, 128, 149 }, { 128, 128, 128 }, { 127, 70, 127 }, { 70, 70, 70 },
        { 69, 64, 69 },    { 63, 0, 63 },     { 0, 0, 0 },
    };
    EACH_RIG(1, 1000, 1)
        for (size_t i = 0; i < LEN(rows); i++) {
            int seq = kv_seq_new(r.kv);
            must_feed(&r, seq, prompt, 70, PHASE_PREFILL, whole);
            CHECK(kv_mark(r.kv, seq) && kv_mark(r.kv, seq), "marks");
            must_feed(&r, seq, prompt + 70, N - 70, PHASE_PREFILL, whole + 70 * VOCAB);
            int kept = kv_truncate(r.kv, seq, rows[i].len),
                want = strchr(kinds[k], 'c') ? rows[i].conv : rows[i].attn;
            CHECK(kept == want && kv_len(r.kv, seq) == want, "%s: %d kept of %d, wanted %d",
                  kinds[k], kept, rows[i].len, want);
            memcpy(got, whole, sizeof got);
            must_feed(&r, seq, prompt + kept, N - kept, PHASE_PREFILL, got + kept * VOCAB);
            SAME("resumed");
            kv_seq_free(r.kv, seq);
        }
}

/* A child cut back into a page it shares must not write into the parent's. */
TEST(a_shared_page_is_never_written)
{
    EACH_RIG(1, 1000, 2) {
        int a = kv_seq_new(r.kv);
        must_feed(&r, a, prompt, 100, PHASE_PREFILL, got);
        kv_mark(r.kv, a);
        must_feed(&r, a, prompt + 100, 28, PHASE_PREFILL, got);
        int b = kv_seq_fork(r.kv, a);
        CHECK(kv_truncate(r.kv, b, 110) == (strchr(kinds[k], 'c') ? 100 : 110),
              "the mark came along");
        must_feed(&r, b, other, 40, PHASE_PREFILL, got);
        must_feed(&r, a, prompt + 128, N - 128, PHASE_PREFILL, got);
        kv_seq_free(r.kv, b);
        int c = kv_seq_new(r.kv);
        must_feed(&r, c, prompt, N, PHASE_PREFILL, whole);
        CHECK(!memcmp(got, whole + 128 * VOCAB, (N - 128) * VOCAB * sizeof *got), "%s %s", ops_name,
              kinds[k]);
    }
}

TEST(many_marks_push_out_all_but_the_first)
{
    some_tokens(prompt, N, 1);
    struct rig r = rig_open(make("cacc", DT_F32, NULL, NULL), NULL, 1, 1000, 3);
    int seq = kv_seq_new(r.kv);
    for (int i = 0; i < 20; i++) {
        must_feed(&r, seq, prompt + i, 1, PHASE_PREFILL, NULL);
        CHECK(kv_mark(r.kv, seq), "mark %d", i);
    }
    int fork = kv_seq_fork(r.kv, seq);
    kv_seq_free(r.kv, seq);
    CHECK(kv_truncate(r.kv, fork, 15) == 15 && kv_truncate(r.kv, fork, 6) == 6 &&
              kv_truncate(r.kv, fork, 5) == 1 && kv_truncate(r.kv, fork, 0) == 0,
          "marks 1 and 6 to 20 are left");
    rig_close(&r, true);
}

/* Sequence i of a crowd: tokens [0, len) of prompt or other, the last n_want with logits. */
static const struct { int from, len, want; } crowd[] = { { 0, 70, 3 }, { 5, 1, 1 }, { 0, 130, 0 }, { 9, 64, 64 }, { 3, 9, 2 } };

/* Rows of many sequences in one pass, cut here and there, give each what it gets alone. */
TEST(company_never_shows)
{
    EACH_RIG(2, 2000, 8) {
        for (int ph = 0; ph < 2; ph++) {
            struct err e = { 0 };
            int seq[LEN(crowd)];
            struct rows rows[LEN(crowd)];
            size_t at = 0;
            for (size_t i = 0; i < LEN(crowd); i++) {
                seq[i] = kv_seq_new(r.kv);
                must_feed(&r, seq[i], other, 3 + 17 * (int)i, PHASE_PREFILL, NULL);
                rows[i] = (struct rows){ .n = crowd[i].len, .seq = seq[i], .token = prompt + crowd[i].from, .n_logits = crowd[i].want };
            }
            CHECK(model_forward_rows(r.m, r.kv, rows, LEN(crowd), (enum phase)ph, &r.tmp, got, &e), "%s", e.msg);
            for (size_t i = 0; i < LEN(crowd); i++) {
                kv_seq_free(r.kv, seq[i]);
                int alone = kv_seq_new(r.kv);
                must_feed(&r, alone, other, 3 + 17 * (int)i, PHASE_PREFILL, NULL);
                must_feed(&r, alone, prompt + crowd[i].from, crowd[i].len, (enum phase)ph, whole);
                size_t n = (size_t)crowd[i].want * VOCAB;
                CHECK(!memcmp(got + at, whole + (size_t)(crowd[i].len - crowd[i].want) * VOCAB, n * sizeof *got), "%s %s: sequence %zu, phase %d",
                      ops_name, kinds[k], i, ph);
                at += n;
                kv_seq_free(r.kv, alone);
            }
        }
    }
}

TEST(a_state_is_kept_on_the_way)
{
    EACH_RIG(1, 1000, 3) {
        int a = kv_seq_new(r.kv), page[2], free_before = kv_free_pages(r.kv);
        CHECK(kv_mark_at(r.kv, a, 90) && kv_mark_at(r.kv, a, 30), "marks");
        must_feed(&r, a, prompt, N, PHASE_PREFILL, whole);
        bool conv = kv_has_state(r.kv);
        int state = kv_state(r.kv, a, 90);
        CHECK((state >= 0) == conv && kv_state(r.kv, a, 91) < 0, "%s: state", kinds[k]);
        for (int i = 0; i < 2; i++) kv_page_hold(r.kv, page[i] = kv_page(r.kv, a, i));
        if (conv) kv_state_hold(r.kv, state);
        kv_seq_free(r.kv, a);
        for (int round = 0; round < 2; round++) {                     /* from the mark, then from the page border */
            int len = round ? 64 : 90, b = kv_seq_on(r.kv, page, len, round ? -1 : state);
            must_feed(&r, b, prompt + len, N - len, PHASE_PREFILL, got + (size_t)len * VOCAB);
            CHECK(!memcmp(got + (size_t)len * VOCAB, whole + (size_t)len * VOCAB, (size_t)(N - len) * VOCAB * sizeof *got), "%s %s from %d",
                  ops_name, kinds[k], len);
            kv_seq_free(r.kv, b);
        }
        for (int i = 0; i < 2; i++) kv_page_drop(r.kv, page[i]);
        if (conv) kv_state_drop(r.kv, state);
        CHECK(kv_free_pages(r.kv) == free_before, "all is free again");
    }
}

TEST(no_room_leaves_everything_as_it_was)
{
    struct err e = { 0 };
    EACH_RIG(1, 128, 2) {
        int a = kv_seq_new(r.kv), b = kv_seq_new(r.kv);
        must_feed(&r, a, prompt, 100, PHASE_PREFILL, got);
        CHECK(!feed(&r, b, prompt, 1, PHASE_PREFILL, got, &e) && e.code == ERR_FULL &&
                  kv_len(r.kv, b) == 0,
              "full");
        CHECK(kv_seq_fork(r.kv, a) < 0, "no slot");
        kv_seq_free(r.kv, b);
        CHECK(kv_seq_fork(r.kv, a) < 0, "no page");
        CHECK(!feed(&r, a, prompt, 40, PHASE_PREFILL, got, &e) && kv_len(r.kv, a) == 100,
              "still 100");
        must_feed(&r, a, prompt + 100, 28, PHASE_PREFILL, got);
    }
}

TEST(bad_batches_are_refused)
{
    some_tokens(prompt, N, 1);
    struct rig r = rig_open(make("cacc", DT_F32, NULL, NULL), NULL, 1, 4000, 1);
    int seq = kv_seq_new(r.kv);
    struct err e = { 0 };
    int32_t bad[] = { 1, VOCAB }, low[] = { -1 };
    CHECK(!feed(&r, seq, bad, 2, PHASE_PREFILL, got, &e) && e.code == ERR_ARG, "%s", e.msg);
    CHECK(!feed(&r, seq, low, 1, PHASE_DECODE, got, &e) && e.code == ERR_ARG, "%s", e.msg);
    CHECK(!feed(&r, seq, low, 0, PHASE_PREFILL, got, &e) && e.code == ERR_ARG, "%s", e.msg);
    for (int i = 0; i < 6; i++) must_feed(&r, seq, prompt, N, PHASE_PREFILL, NULL);
    CHECK(!feed(&r, seq, prompt, N, PHASE_PREFILL, NULL, &e) && e.code == ERR_LIMIT, "%s", e.msg);
    CHECK(kv_len(r.kv, seq) == 6 * N, "%d", kv_len(r.kv, seq));
    rig_close(&r, true);
}

/* ---- files that are not a model -------------------------------------------------------------- */

static void arch_gpt(struct gguf_out *o) { gguf_out_str(o, "general.architecture", "gpt9", 4); }
static void no_heads(struct gguf_out *o) { gguf_out_u32(o, "lfm2.attention.head_count", 0); }
static void odd_heads(struct gguf_out *o) { gguf_out_u32(o, "lfm2.attention.head_count", 3); }
static void wide(struct gguf_out *o) { gguf_out_u32(o, "lfm2.embedding_length", 1u << 31); }
static void other_ff(struct gguf_out *o) { gguf_out_u32(o, "lfm2.feed_forward_length", 97); }
static void many_layers(struct gguf_out *o) { gguf_out_u32(o, "lfm2.block_count", 5); }
static void too_many(struct gguf_out *o) { gguf_out_u32(o, "lfm2.block_count", 1025); }
static void flat_eps(struct gguf_out *o)
{
    gguf_out_f32(o, "lfm2.attention.layer_norm_rms_epsilon", 0);
}
static void bad_theta(struct gguf_out *o) { gguf_out_f32(o, "lfm2.rope.freq_base", 0.5f); }
static void no_experts(struct gguf_out *o) { gguf_out_u32(o, "lfm2.expert_count", 4); }
static void both_ways(struct gguf_out *o) { gguf_out_bool(o, "lfm2.attention.causal", false); }
static void half_rope(struct gguf_out *o) { gguf_out_u32(o, "lfm2.rope.dimension_count", 8); }
static void yarn(struct gguf_out *o) { gguf_out_str(o, "lfm2.rope.scaling.type", "yarn", 4); }
static void taps17(struct gguf_out *o) { gguf_out_u32(o, "lfm2.shortconv.l_cache", 17); }
static void more_words(struct gguf_out *o) { gguf_out_u32(o, "lfm2.vocab_size", 4000); }

static const struct {
    void (*change)(struct gguf_out *);
    const char *leave_out, *says;
} refusals[] = {
    { arch_gpt, NULL, "lfm2" },
    { no_heads, NULL, "head_count" },
    { odd_heads, NULL, "head_count_kv" },
    { wide, NULL, "embedding_length" },
    { other_ff, NULL, "ffn_gate" },
    { many_layers, NULL, "head_count_kv" },
    { too_many, NULL, "block_count" },
    { flat_eps, NULL, "epsilon" },
    { bad_theta, NULL, "freq_base" },
    { no_experts, NULL, "expert_used_count" },
    { both_ways, NULL, "causal" },
    { half_rope, NULL, "rotated" },
    { yarn, NULL, "scaling" },
    { taps17, NULL, "l_cache" },
    { more_words, NULL, "vocab_size" },
    { NULL, "token_embd.weight", "token_embd.weight" },
    { NULL, "blk.1.attn_q_norm.weight", "blk.1.attn_q_norm.weight" },
    { NULL, "token_embd_norm.weight", "token_embd_norm.weight" },
    { NULL, "blk.0.shortconv.conv.weight", "shortconv.conv" },
};

TEST(a_file_that_does_not_fit_is_refused_by_name)
{
    for (size_t i = 0; i < LEN(refusals); i++) {
        struct gguf *g = make("cacc", DT_F32, refusals[i].leave_out, refusals[i].change);
        struct err e = { 0 };
        struct model *m = model_open(g, ref_ops(), &e);
        CHECK(!m && e.code && strstr(e.msg, refusals[i].says), "row %zu: \"%s\" should name %s", i,
              e.msg, refusals[i].says);
        model_close(m);
        gguf_close(g);
    }
}

TEST(sizes_are_counted)
{
    struct rig r = rig_open(make("cacc", DT_F32, NULL, NULL), NULL, 1, 64, 1);
    size_t layer = 2 * D + 3 * D * FF, conv = layer + 3 * D * D + D * TAPS + D * D;
    size_t attn = layer + D * HEADS * HD * 2 + D * KV * HD * 2 + 2 * HD,
           all = 3 * conv + attn + D + D * VOCAB;
    CHECK(model_n_param(r.m) == all, "%zu parameters, wanted %zu", model_n_param(r.m), all);
    CHECK(model_step_bytes(r.m) == all * 4, "%zu bytes", model_step_bytes(r.m));
    rig_close(&r, true);
}

/* ---- families -------------------------------------------------------------------------------- */

TEST(every_family_computes_as_the_reference_does)
{
    some_tokens(prompt, N, 1);
    for (size_t f = 0; f < LEN(families); f++)
        for (int isa = -1; isa < 0 || cpu_isa(isa); isa++) {
            struct rig r = rig_open(make(families[f].name, DT_F32, NULL, NULL), isa < 0 ? NULL : cpu_isa(isa), 2, N, 1);
            must_feed(&r, kv_seq_new(r.kv), prompt, N, PHASE_PREFILL, isa < 0 ? whole : got);
            CHECK(isa < 0 || far(got, whole, N * VOCAB) < 5e-3, "%s, %s: %g", families[f].name, cpu_isa(isa), far(got, whole, N * VOCAB));
            rig_close(&r, true);
        }
}

static const struct mat *multiplied[256], *was_last;
static int n_multiplied;
static void noting_matmul(void *ctx, const struct matmul *mm, int n_mm, const float *x, int n, enum phase ph)
{
    bool said = was_last && was_last->n_soon == n_mm;
    for (int i = 0; said && i < n_mm; i++) said = was_last->soon + i == mm[i].w;
    if (said) multiplied[n_multiplied++] = mm[0].w;
    else CHECK(!was_last || !was_last->n_soon, "call %d: another product was said to follow", n_multiplied);
    was_last = mm[n_mm - 1].w;
    ref_ops()->matmul(ctx, mm, n_mm, x, n, ph);
}

/* Each product but the first is the one that was said to follow; around experts nothing is said. */
TEST(what_is_said_to_follow_follows)
{
    int32_t token = 1;
    for (size_t f = 0; f < LEN(families); f++) {
        struct err e = { 0 };
        struct ops ops = *ref_ops();
        ops.matmul = noting_matmul;
        struct gguf *g = make(families[f].name, DT_F32, NULL, NULL);
        struct model *m = model_open(g, &ops, &e);
        struct kv *kv = m ? kv_open(m, 8, 1, &e) : NULL;
        struct arena tmp;
        arena_init(&tmp, 0);
        n_multiplied = 0, was_last = NULL;
        struct batch b = { .n = 1, .seq = kv ? kv_seq_new(kv) : 0, .token = &token, .n_logits = 1, .phase = PHASE_DECODE };
        CHECK(kv && model_forward(m, kv, &b, &tmp, whole, &e), "%s: %s", families[f].name, e.msg);
        int dense = MIN(families[f].first_moe, LAYERS), all = 4 * LAYERS; /* mix, out, gate and up, down of each; one is first, the head last */
        CHECK(dense < LAYERS ? n_multiplied < all : n_multiplied == all, "%s: %d of %d said", families[f].name, n_multiplied, all);
        arena_done(&tmp);
        kv_close(kv);
        model_close(m);
        gguf_close(g);
    }
}

static void must_run(const char *family, void (*change)(struct gguf_out *), float *logits)
{
    struct rig r = rig_open(make(family, DT_F32, NULL, change), NULL, 1, N, 1);
    must_feed(&r, kv_seq_new(r.kv), prompt, N, PHASE_PREFILL, logits);
    rig_close(&r, true);
}

/* Formats whose blocks fit rows of D; the others are computed with in the fixtures. */
TEST(every_family_runs_in_every_format)
{
    enum { SHORT = 40 };
    static const enum dtype types[] = { DT_F16, DT_BF16, DT_Q8_0, DT_Q4_0, DT_Q4_1, DT_Q5_0, DT_Q5_1, DT_IQ4_NL, DT_MXFP4 };
    some_tokens(prompt, N, 1);
    for (size_t f = 0; f < LEN(families); f++)
        for (size_t t = 0; t < (SANITIZED ? 3 : LEN(types)); t++)
            for (int isa = -1; isa < 0 || cpu_isa(isa); isa++)
                for (int ph = 0; ph < (isa < 0 ? 1 : 2); ph++) {
                    struct rig r = rig_open(make(families[f].name, types[t], NULL, NULL), isa < 0 ? NULL : cpu_isa(isa), 2, SHORT, 1);
                    must_feed(&r, kv_seq_new(r.kv), prompt, SHORT, (enum phase)ph, isa < 0 ? whole : got);
                    bool mixture = families[f].first_moe < LAYERS; /* rounding chooses another expert here and there */
                    double err = isa < 0 ? 0 : far(got, whole, SHORT * VOCAB);
                    CHECK(err < (mixture ? 0.4 : 0.1), "%s in %s, %s, phase %d: %g", families[f].name, dtype_info(types[t])->name,
                          isa < 0 ? "ref" : cpu_isa(isa), ph, err);
                    rig_close(&r, true);
                }
}

TEST(experts_in_one_tensor_or_in_many_are_the_same)
{
    some_tokens(prompt, N, 1);
    must_run("mixtral", NULL, whole);
    must_run("old-mixtral", NULL, got);
    CHECK(!memcmp(got, whole, sizeof whole), "stacked or not");
}

static void no_window(struct gguf_out *o) { gguf_out_u32(o, "llama.attention.sliding_window", 0); }
static void slow_rope(struct gguf_out *o)
{
    gguf_out_str(o, "llama.rope.scaling.type", "linear", 6);
    gguf_out_f32(o, "llama.rope.scaling.factor", 4);
}

/* Four layers of 50: row 49 is the last that sees all in each of them. */
TEST(a_window_hides_what_lies_before_it)
{
    some_tokens(prompt, N, 1);
    must_run("mistral", NULL, got);
    must_run("mistral", no_window, whole);
    CHECK(!memcmp(got, whole, 50 * VOCAB * sizeof *got), "rows 0 to 49 see all there is");
    CHECK(far(got + 50 * VOCAB, whole + 50 * VOCAB, VOCAB) > 1e-4, "row 50 does not");
}

TEST(scaled_positions_are_others)
{
    some_tokens(prompt, N, 1);
    must_run("llama", NULL, whole);
    must_run("llama", slow_rope, got);
    CHECK(!memcmp(got, whole, VOCAB * sizeof *got) && far(got, whole, N * VOCAB) > 1e-3, "all but position 0");
}

/* ---- adapters -------------------------------------------------------------------------------- */

enum { RANK = 4 };
static const char *const changed[] = { "blk.0.attn_q.weight", "blk.2.ffn_down.weight", "blk.3.attn_output.weight" };

/* An adapter for `llama`, its numbers from `seed`; change() as above. */
static struct gguf *make_adapter(uint64_t seed, const char *leave_out, void (*change)(struct gguf_out *))
{
    struct gguf_out *o = gguf_out_new();
    struct err e = { 0 };
    char path[300], name[LEN(changed) * 2][64];
    float *data[LEN(changed) * 2];
    gguf_out_str(o, "general.architecture", "llama", 5);
    gguf_out_str(o, "general.type", "adapter", 7);
    gguf_out_str(o, "adapter.type", "lora", 4);
    gguf_out_f32(o, "adapter.lora.alpha", 8);
    for (size_t i = 0; i < LEN(data); i++) {
        bool b = i % 2, down = strstr(changed[i / 2], "down");
        int n_in = b ? RANK : down ? FF : D, n_out = b ? D : RANK;
        struct rng r = rng_make(seed, i, 0);
        data[i] = mem_alloc((size_t)n_in * n_out * sizeof(float));
        for (int k = 0; k < n_in * n_out; k++) data[i][k] = (float)rng_normal(&r) / 8;
        snprintf(name[i], sizeof name[i], "%s.lora_%c", changed[i / 2], b ? 'b' : 'a');
        struct tensor t = { .name = name[i], .dtype = DT_F32, .n_dim = 2, .ne = { n_in, n_out, 1, 1 }, .data = data[i],
                            .bytes = (size_t)n_in * n_out * sizeof(float) };
        if (!leave_out || strcmp(leave_out, name[i])) gguf_out_tensor(o, &t);
    }
    if (change) change(o);
    bool ok = gguf_out_write(o, path_of(path, sizeof path), &e);
    gguf_out_free(o);
    for (size_t i = 0; i < LEN(data); i++) mem_free(data[i]);
    struct gguf *g = ok ? gguf_open(path, &e) : NULL;
    CHECK(g, "%s", e.msg);
    remove(path);
    return g;
}

static void feed_adapted(struct rig *r, int seq, const int32_t *token, int n, const struct lora_use *use, int n_use, enum phase ph, float *logits)
{
    struct err e = { 0 };
    struct batch b = { .n = n, .seq = seq, .token = token, .phase = ph, .n_logits = n, .lora = use, .n_lora = n_use };
    CHECK(model_forward(r->m, r->kv, &b, &r->tmp, logits, &e), "%s", e.msg);
}

/* Each adapter alone, both, in turns with a sequence that has none: nobody notices the others. */
TEST(adapters_are_of_one_sequence)
{
    static float plain[N * VOCAB], alone[N * VOCAB], both[N * VOCAB];
    struct err e = { 0 };
    some_tokens(prompt, N, 1);
    for (int isa = -1; isa < 0 || cpu_isa(isa); isa++) {
        struct rig r = rig_open(make("llama", DT_Q8_0, NULL, NULL), isa < 0 ? NULL : cpu_isa(isa), 2, 1000, 3);
        struct gguf *g[2] = { make_adapter(1, NULL, NULL), make_adapter(2, NULL, NULL) };
        struct lora_use use[2] = { { adapter_open(r.m, g[0], &e), 1 }, { adapter_open(r.m, g[1], &e), 0.5f } };
        CHECK(use[0].a && use[1].a, "%s", e.msg);
        int a = kv_seq_new(r.kv), b = kv_seq_new(r.kv), c = kv_seq_new(r.kv);
        must_feed(&r, a, prompt, N, PHASE_PREFILL, plain);
        feed_adapted(&r, b, prompt, N, use, 1, PHASE_PREFILL, alone);
        feed_adapted(&r, c, prompt, N, use, 2, PHASE_PREFILL, both);
        CHECK(far(alone, plain, N * VOCAB) > 0.01 && far(both, alone, N * VOCAB) > 0.01, "they change something");
        kv_truncate(r.kv, a, 0), kv_truncate(r.kv, b, 0), kv_truncate(r.kv, c, 0);
        for (int t = 0; t < N; t += 25) {
            must_feed(&r, a, prompt + t, 25, PHASE_PREFILL, got + t * VOCAB);
            CHECK(!memcmp(got + t * VOCAB, plain + t * VOCAB, 25 * VOCAB * sizeof *got), "without");
            feed_adapted(&r, b, prompt + t, 25, use, 1, PHASE_PREFILL, got + t * VOCAB);
            CHECK(!memcmp(got + t * VOCAB, alone + t * VOCAB, 25 * VOCAB * sizeof *got), "with one");
            feed_adapted(&r, c, prompt + t, 25, use, 2, PHASE_PREFILL, got + t * VOCAB);
            CHECK(!memcmp(got + t * VOCAB, both + t * VOCAB, 25 * VOCAB * sizeof *got), "with two");
        }
        struct lora_use none = { use[0].a, 0 };
        kv_truncate(r.kv, b, 0);
        feed_adapted(&r, b, prompt, N, &none, 1, PHASE_PREFILL, got);
        CHECK(far(got, plain, N * VOCAB) == 0, "a weight of 0 changes nothing");
        adapter_close((struct adapter *)use[0].a), adapter_close((struct adapter *)use[1].a);
        rig_close(&r, true);
        gguf_close(g[0]), gguf_close(g[1]);
    }
}

static void not_adapter(struct gguf_out *o) { gguf_out_str(o, "general.type", "model", 5); }
static void not_lora(struct gguf_out *o) { gguf_out_str(o, "adapter.type", "ia3", 3); }
static void for_other(struct gguf_out *o) { gguf_out_str(o, "general.architecture", "lfm2", 4); }
static void wild_alpha(struct gguf_out *o) { gguf_out_f32(o, "adapter.lora.alpha", 1e9f); }
static void stray(struct gguf_out *o)
{
    static const float x[4];
    gguf_out_tensor(o, &(struct tensor){ .name = "blk.0.attn_norm.weight.lora_a", .dtype = DT_F32, .n_dim = 1, .ne = { 4, 1, 1, 1 }, .data = x, .bytes = sizeof x });
}
static void no_suffix(struct gguf_out *o)
{
    static const float x[4];
    gguf_out_tensor(o, &(struct tensor){ .name = "lora_a", .dtype = DT_F32, .n_dim = 1, .ne = { 4, 1, 1, 1 }, .data = x, .bytes = sizeof x });
}

TEST(an_adapter_that_does_not_fit_is_refused_by_name)
{
    static const struct { const char *family, *leave_out; void (*change)(struct gguf_out *); const char *says; } rows[] = {
        { "llama", NULL, not_adapter, "general.type" }, { "llama", NULL, not_lora, "adapter.type" },
        { "llama", NULL, for_other, "architecture" },   { "cacc", NULL, NULL, "architecture" },
        { "llama", NULL, wild_alpha, "alpha" },         { "llama", NULL, stray, "blk.0.attn_norm" },
        { "llama", NULL, no_suffix, "lora_a" },         { "llama", "blk.0.attn_q.weight.lora_b", NULL, "blk.0.attn_q.weight.lora_b" },
        { "mixtral", NULL, NULL, "ffn_down" },
    };
    for (size_t i = 0; i < LEN(rows); i++) {
        struct rig r = rig_open(make(rows[i].family, DT_F32, NULL, NULL), NULL, 1, N, 1);
        struct gguf *g = make_adapter(1, rows[i].leave_out, rows[i].change);
        struct err e = { 0 };
        struct adapter *a = adapter_open(r.m, g, &e);
        CHECK(!a && strstr(e.msg, rows[i].says), "row %zu: \"%s\" should name %s", i, e.msg, rows[i].says);
        adapter_close(a);
        rig_close(&r, true);
        gguf_close(g);
    }
}

/* ---- the shared fixtures --------------------------------------------------------------------- */

#define MODELS "fixtures/models/"
static const char *const fixtures[] = {
    "lfm2-tiny-f32",  "lfm2-mini-F16",    "lfm2-mini-BF16",   "lfm2-mini-Q8_0",
    "lfm2-mini-Q4_0", "lfm2-mini-Q4_1",   "lfm2-mini-Q5_0",   "lfm2-mini-Q5_1",
    "lfm2-mini-Q2_K", "lfm2-mini-Q3_K_M", "lfm2-mini-Q4_K_M", "lfm2-mini-Q5_K_M",
    "lfm2-mini-Q6_K", "lfm2-mini-IQ4_NL", "lfm2-mini-IQ4_XS", "llama-tiny-f32",   "llama31-tiny-f32",
    "mixtral-tiny-f32", "lfm2moe-tiny-f32", "llama-mini-Q8_0", "llama-mini-Q4_0", "llama-mini-Q4_K_M"
};

static char *below(const char *name, const char *tail)
{
    char at[300];
    snprintf(at, sizeof at, MODELS "%s%s", name, tail);
    const char *p = shared_path(at);
    return p ? mem_str(p) : NULL;
}

static void check_fixture(const struct json *man, const char *name)
{
    struct err e = { 0 };
    struct str want = { 0 };
    const struct json *list = json_get(man, "tokens"),
                      *peer =
                          json_get(json_get(json_get(man, "models"), name), "llama.cpp_rel_err");
    char *gguf = below(name, ".gguf"), *logits = below(name, ".logits");
    int n = (int)json_len(list), n_vocab = 0;
    int32_t *token = mem_alloc(MAX(n, 1) * sizeof *token);
    for (int i = 0; i < n; i++) {
        int64_t v = 0;
        json_i64(json_at(list, (size_t)i), &v);
        token[i] = (int32_t)v;
    }
    double limit = peer ? MAX(1e-3, 1.1 * json_f64(peer)) : 1e-3;
    struct gguf *g = gguf ? gguf_open(gguf, &e) : NULL;
    CHECK(g && logits && file_read(logits, &want, &e), "%s: %s", name, e.msg);
    for (int isa = -1; g && (isa < 0 || cpu_isa(isa)); isa++)
        /* whole, sevens, single tokens decoded */
        for (int way = 0; way < (isa < 0 ? 1 : 3); way++) {
            struct rig r = rig_open(g, isa < 0 ? NULL : cpu_isa(isa), 2, n, 1);
            n_vocab = r.m ? model_config(r.m)->n_vocab : 0;
            float *out = mem_zero((size_t)n * MAX(n_vocab, 1) * sizeof *out);
            int seq = r.m ? kv_seq_new(r.kv) : 0, step = way == 0 ? n : way == 1 ? 7 : 1;
            for (int t = 0; r.m && t < n; t += step)
                must_feed(&r, seq, token + t, MIN(step, n - t),
                          way == 2 ? PHASE_DECODE : PHASE_PREFILL, out + (size_t)t * n_vocab);
            double err = want.len == (size_t)n * n_vocab * 4
                             ? far(out, (const float *)(const void *)want.p, (size_t)n * n_vocab)
                             : 9;
            CHECK(err <= (isa < 0 ? 1e-4 : limit), "%s, %s, way %d: relative error %.3g", name,
                  isa < 0 ? "ref" : cpu_isa(isa), way, err);
            mem_free(out);
            rig_close(&r, false);
        }
    gguf_close(g);
    str_done(&want);
    mem_free(gguf), mem_free(logits), mem_free(token);
}

TEST(fixtures_are_reproduced_within_the_peers_error)
{
    const char *path = shared_path(MODELS "manifest.json");
    if (!path) SKIP("%smanifest.json is not there", MODELS);
    struct err e = { 0 };
    struct str text = { 0 };
    struct json *man = file_read(path, &text, &e) ? json_parse(text.p, text.len, &e) : NULL;
    CHECK(man, "%s", e.msg);
    for (size_t i = 0; man && i < LEN(fixtures); i += SANITIZED ? 4 : 1) check_fixture(man, fixtures[i]);
    json_free(man);
    str_done(&text);
}

TEST_MAIN
