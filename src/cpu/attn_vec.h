/* attn_vec.h -- attention over the vectors of vec.c, which alone includes this: prompts on every instruction set, and decode
 * where no kernel of its own takes the cache (attn_avx512.c, attn_vnni.c).
 *
 * Scores are powers of two: the scale has 1 / ln 2 in it, so that a weight takes one reduction less. */
#ifndef TENON_CPU_ATTN_VEC_H
#define TENON_CPU_ATTN_VEC_H

/* A page of one KV head, unpacked: keys turned to [width, page], values [page, width]; width is
 * head_dim rounded up to whole vectors and padded with zeros. */
struct page { float *k, *v; int width, size; };

static void unpack_row(float *dst, const struct attn *a, const void *page, int row, int head)
{
    int64_t at = ((int64_t)row * a->n_head_kv + head) * a->head_dim;
    unpack(dst, a->kv, (const char *)page + dtype_bytes(a->kv, at), a->head_dim);
}

static void unpack_rows(const struct page *p, const struct attn *a, const void *page, int head, int n_valid)
{
    memset(p->v, 0, (size_t)p->width * p->size * sizeof *p->v);
    for (int j = 0; j < n_valid; j++) unpack_row(p->v + (size_t)j * p->width, a, page, j, head);
}

/* Rows past n_valid may hold anything: zeros take their place. The keys lie where the values will, until they
 * have been turned. */
static void unpack_page(const struct page *p, const struct attn *a, int page, int head, int n_valid)
{
    unpack_rows(p, a, a->k[page], head, n_valid);
    for (int j = 0; j < p->size; j += LANES)
        for (int i = 0; i < p->width; i += LANES) {
            vec v[LANES];
            for (int r = 0; r < LANES; r++) v[r] = load(p->v + (size_t)(j + r) * p->width + i);
            turn(v);
            for (int r = 0; r < LANES; r++) store(p->k + (size_t)(i + r) * p->size + j, v[r]);
        }
    unpack_rows(p, a, a->v[page], head, n_valid);
}

/* One query over the pages so far: running maximum, sum and weighted values [width]; shrink: by how much the
 * last page made the past smaller. */
struct query { float max, sum, shrink, *o; };

static void query_init(struct query *st, int n, float *o, int width)
{
    memset(o, 0, (size_t)n * width * sizeof *o);
    for (int i = 0; i < n; i++) st[i] = (struct query){ -INFINITY, 0, 1, o + (size_t)i * width };
}

/* Scores of positions outside of [first, n_seen) are -inf. */
INLINE void hide(float *s, int size, int first, int n_seen)
{
    for (int j = 0; j < first; j++) s[j] = -INFINITY;
    for (int j = n_seen; j < size; j++) s[j] = -INFINITY;
}

/* Queries of a prefill tile: every load of a key or a value serves all of them, and their sums hide the
 * latency of an addition. The order of each sum is that of one query alone. Machines with sixteen registers have room for two. */
#define QUERIES (LANES == 16 ? ATTN_QUERIES : 2)

#define LOG2_E 1.44269504f

/* s[g][size] = q[g] . keys, scaled, for n queries, a constant where this is expanded. */
INLINE void score_page(float *s, const struct page *p, const float *const *q, int head_dim, float scale, int n)
{
    for (int j = 0; j < p->size; j += 4 * LANES) {
        vec a[QUERIES][4] = { { { 0 } } };
        for (int i = 0; i < head_dim; i++) {
            const float *k = p->k + (size_t)i * p->size + j;
#pragma GCC unroll 4
            for (int g = 0; g < n; g++)
#pragma GCC unroll 4
                for (int b = 0; b < 4; b++) a[g][b] = muladd(load(k + b * LANES), all(q[g][i]), a[g][b]);
        }
        for (int g = 0; g < n; g++)
            for (int b = 0; b < 4; b++) store(s + g * p->size + j + b * LANES, a[g][b] * scale);
    }
}

/* Turns scores, which are powers of two, into weights relative to the new maximum. */
INLINE void soften(struct query *st, float *s, int size)
{
    vec m = load(s);
    for (int j = LANES; j < size; j += LANES) m = larger(load(s + j), m);
    float max = top(m);
    max = max > st->max ? max : st->max;
    vec total = { 0 };
    for (int j = 0; j < size; j += LANES) {
        vec p = exp2_vec(load(s + j) - max);
        store(s + j, p);
        total += p;
    }
    vec shrink = exp2_vec(all(st->max - max));
    st->sum = st->sum * shrink[0] + sum(total);
    st->max = max;
    st->shrink = shrink[0];
}

/* o[g] = shrink * o[g] + s[g] . values, for n queries and `wide` vectors of the width from i on. */
INLINE void mix_part(struct query *st, const struct page *p, const float *s, int n, int i, int wide)
{
    vec a[QUERIES][2];
#pragma GCC unroll 4
    for (int g = 0; g < n; g++)
#pragma GCC unroll 2
        for (int b = 0; b < wide; b++) a[g][b] = load(st[g].o + i + b * LANES) * st[g].shrink;
    for (int j = 0; j < p->size; j++) {
        const float *v = p->v + (size_t)j * p->width + i;
#pragma GCC unroll 4
        for (int g = 0; g < n; g++)
#pragma GCC unroll 2
            for (int b = 0; b < wide; b++) a[g][b] = muladd(load(v + b * LANES), all(s[g * p->size + j]), a[g][b]);
    }
#pragma GCC unroll 4
    for (int g = 0; g < n; g++)
#pragma GCC unroll 2
        for (int b = 0; b < wide; b++) store(st[g].o + i + b * LANES, a[g][b]);
}

INLINE void mix_tile(struct query *st, const struct page *p, const float *s, int n)
{
    int i = 0;
    for (; i + 2 * LANES <= p->width; i += 2 * LANES) mix_part(st, p, s, n, i, 2);
    for (; i < p->width; i += LANES) mix_part(st, p, s, n, i, 1);
}

/* A page against queries [i, i + n) of a tile that begins at row t0; one that sees nothing of the page adds nothing. */
INLINE void attn_tile(const struct attn *a, int head_kv, int t0, int page, const struct page *p, struct query *st,
                      float *s, int i, int n)
{
    const float *q[QUERIES];
    int group = a->n_head / a->n_head_kv;
    for (int g = 0; g < n; g++)
        q[g] = a->q + ((size_t)(t0 + (i + g) / group) * a->n_head + head_kv * group + (i + g) % group) * a->head_dim;
    score_page(s, p, q, a->head_dim, a->scale * LOG2_E, n);
    for (int g = 0; g < n; g++) {
        int t = t0 + (i + g) / group;
        int first = ATTN_FIRST(a, t) - page * a->page, n_seen = a->pos0 + t + 1 - page * a->page;
        st[i + g].shrink = 1;
        if (n_seen <= 0 || first >= a->page) {
            memset(s + g * p->size, 0, (size_t)p->size * sizeof *s);
            continue;
        }
        hide(s + g * p->size, p->size, first, n_seen);
        soften(&st[i + g], s + g * p->size, p->size);
    }
    mix_tile(st + i, p, s, n);
}

static void attn_prefill(const struct attn *a, int head_kv, int t0, int t1, float *scratch)
{
    int group = a->n_head / a->n_head_kv, width = round_up(a->head_dim, PAD), seen = a->pos0 + t1;
    struct page p = { scratch, scratch + (size_t)width * a->page, width, a->page };
    float *s = p.v + (size_t)width * a->page, *o = s + QUERIES * (size_t)a->page;
    int n_query = (t1 - t0) * group;
    struct query *st = (void *)(o + (size_t)n_query * width);
    query_init(st, n_query, o, width);
    for (int page = ATTN_FIRST(a, t0) / a->page; page * a->page < seen; page++) {
        /* rows of the tile before the page see nothing of it */
        int i = MAX(page * a->page - a->pos0 - t0, 0) * group;
        unpack_page(&p, a, page, head_kv, MIN(seen - page * a->page, a->page));
        for (; i + QUERIES <= n_query; i += QUERIES) attn_tile(a, head_kv, t0, page, &p, st, s, i, QUERIES);
        for (; i < n_query; i++) attn_tile(a, head_kv, t0, page, &p, st, s, i, 1);
    }
    for (int i = 0; i < n_query; i++) {
        float *to = a->o + ((size_t)(t0 + i / group) * a->n_head + head_kv * group + i % group) *
                               a->head_dim;
        for (int j = 0; j < a->head_dim; j++) to[j] = st[i].o[j] / st[i].sum;
    }
}

/* Decode: one row and the query heads of one KV head. Keys and values are taken as they lie in the
 * pages, converted in registers, each once for HEADS query heads; what a register cannot be filled
 * from goes by way of a page of f32. While the keys of a page are met its values are asked for, and
 * with those the keys of the next: rows of one head lie apart, which the hardware does not follow. */
#define HEADS (LANES == 16 ? 4 : 2)
enum rows_as { AS_F32, AS_F16, AS_Q8_0 };
struct rows { const char *p; size_t step; };                          /* row j at p + j * step */
struct decoding {
    const struct attn *a;
    int head_kv, group, width;
    enum rows_as as;
    float *q, *s, *row; /* [group, width], [group, page], [page, width] */
    struct query *st;
};

INLINE vec row_vec(const char *row, int i, enum rows_as as)
{
    if (as == AS_F16) return half_vec((const uint16_t *)(const void *)row + i);
    if (as == AS_F32) return load((const float *)(const void *)row + i);
    const char *block = row + i / 32 * 34;
    uint16_t d;
    memcpy(&d, block, sizeof d);
#if defined(__F16C__)
    return byte_vec((const int8_t *)block + 2 + i % 32) * _cvtsh_ss(d);
#else
    return byte_vec((const int8_t *)block + 2 + i % 32) * f16_to_f32(d);
#endif
}

/* The rows of a page as they lie there, or in d->row. */
static struct rows rows_of(const struct decoding *d, const void *page, int n_seen)
{
    const struct attn *a = d->a;
    if (d->as != AS_F32)
        return (struct rows){ (const char *)page + dtype_bytes(a->kv, (int64_t)d->head_kv * a->head_dim),
                              dtype_bytes(a->kv, (int64_t)a->n_head_kv * a->head_dim) };
    for (int j = 0; j < n_seen; j++) unpack_row(d->row + (size_t)j * d->width, a, page, j, d->head_kv);
    return (struct rows){ (const char *)d->row, (size_t)d->width * sizeof *d->row };
}

INLINE void ask_for(struct rows next, int j)
{
    __builtin_prefetch(next.p + (size_t)j * next.step);
    __builtin_prefetch(next.p + (size_t)j * next.step + 64);
}

/* dot[g][i] (+)= products of two keys i, i + 1 with n query heads over `wide` vectors from c on. */
INLINE void dot_keys(vec dot[][LANES], int i, const char *k0, const char *k1, const float *q, int width, int c, int n,
                     int wide, enum rows_as as)
{
    vec x[4], y[4];
#pragma GCC unroll 4
    for (int b = 0; b < wide; b++) x[b] = row_vec(k0, c + b * LANES, as), y[b] = row_vec(k1, c + b * LANES, as);
#pragma GCC unroll 4
    for (int g = 0; g < n; g++) {
        vec s = c ? dot[g][i] : (vec){ 0 }, t = c ? dot[g][i + 1] : (vec){ 0 };
#pragma GCC unroll 4
        for (int b = 0; b < wide; b++) {
            vec v = load(q + (size_t)g * width + c + b * LANES);
            s = muladd(x[b], v, s), t = muladd(y[b], v, t);
        }
        dot[g][i] = s, dot[g][i + 1] = t;
    }
}

/* Scores of query heads [h, h + n); rows past n_seen are the last one again, and hidden later. */
INLINE void decode_scores(const struct decoding *d, struct rows k, struct rows next, int n_seen, int h, int n,
                          enum rows_as as)
{
    const float *q = d->q + (size_t)h * d->width;
    for (int j = 0; j < n_seen; j += LANES) {
        vec dot[HEADS][LANES];
        for (int i = 0; i < LANES; i += 2) {
            const char *k0 = k.p + (size_t)MIN(j + i, n_seen - 1) * k.step,
                       *k1 = k.p + (size_t)MIN(j + i + 1, n_seen - 1) * k.step;
            int c = 0;
            ask_for(next, j + i), ask_for(next, j + i + 1);
            for (; c + 4 * LANES <= d->width; c += 4 * LANES) dot_keys(dot, i, k0, k1, q, d->width, c, n, 4, as);
            for (; c + 2 * LANES <= d->width; c += 2 * LANES) dot_keys(dot, i, k0, k1, q, d->width, c, n, 2, as);
            for (; c < d->width; c += LANES) dot_keys(dot, i, k0, k1, q, d->width, c, n, 1, as);
        }
        for (int g = 0; g < n; g++) store(d->s + (size_t)(h + g) * d->a->page + j, sums(dot[g]) * (d->a->scale * LOG2_E));
    }
}

/* o = shrink * o + s . values for n query heads from h on and `wide` vectors from c on. */
INLINE void mix_rows(const struct decoding *d, struct rows v, struct rows next, int n_seen, int h,
                     int c, int n, int wide, enum rows_as as)
{
    const float *s = d->s + (size_t)h * d->a->page;
    vec a[HEADS][4];
#pragma GCC unroll 4
    for (int g = 0; g < n; g++)
#pragma GCC unroll 4
        for (int b = 0; b < wide; b++) a[g][b] = load(d->st[h + g].o + c + b * LANES) * d->st[h + g].shrink;
    for (int j = 0; j < n_seen; j++) {
        vec x[4];
        ask_for(next, j);
#pragma GCC unroll 4
        for (int b = 0; b < wide; b++) x[b] = row_vec(v.p + (size_t)j * v.step, c + b * LANES, as);
#pragma GCC unroll 4
        for (int g = 0; g < n; g++)
#pragma GCC unroll 4
            for (int b = 0; b < wide; b++) a[g][b] = muladd(x[b], all(s[(size_t)g * d->a->page + j]), a[g][b]);
    }
#pragma GCC unroll 4
    for (int g = 0; g < n; g++)
#pragma GCC unroll 4
        for (int b = 0; b < wide; b++) store(d->st[h + g].o + c + b * LANES, a[g][b]);
}

INLINE void decode_values(const struct decoding *d, struct rows v, struct rows next, int n_seen, int h,
                          int n, enum rows_as as)
{
    int c = 0;
    for (; c + 4 * LANES <= d->width; c += 4 * LANES) mix_rows(d, v, next, n_seen, h, c, n, 4, as);
    for (; c + 2 * LANES <= d->width; c += 2 * LANES) mix_rows(d, v, next, n_seen, h, c, n, 2, as);
    for (; c < d->width; c += LANES) mix_rows(d, v, next, n_seen, h, c, n, 1, as);
}

/* Positions [first, n_seen) of a page; `after` is the keys of the page that comes next, or of this one. */
INLINE void decode_page(const struct decoding *d, int page, const void *after, int first, int n_seen, enum rows_as as)
{
    const struct attn *a = d->a;
    struct rows k = rows_of(d, a->k[page], n_seen), v = k, next = k;
    if (as != AS_F32) v = rows_of(d, a->v[page], n_seen), next = rows_of(d, after, 0);
    int h = 0;
    for (; h + HEADS <= d->group; h += HEADS) decode_scores(d, k, v, n_seen, h, HEADS, as);
    for (; HEADS > 2 && h + 2 <= d->group; h += 2) decode_scores(d, k, v, n_seen, h, 2, as);
    for (; h < d->group; h++) decode_scores(d, k, v, n_seen, h, 1, as);
    for (int g = 0; g < d->group; g++) {
        float *s = d->s + (size_t)g * a->page;
        hide(s, a->page, first, n_seen);
        soften(&d->st[g], s, a->page);
    }
    if (as == AS_F32) v = next = rows_of(d, a->v[page], n_seen);
    for (h = 0; h + HEADS <= d->group; h += HEADS) decode_values(d, v, next, n_seen, h, HEADS, as);
    for (; HEADS > 2 && h + 2 <= d->group; h += 2) decode_values(d, v, next, n_seen, h, 2, as);
    for (; h < d->group; h++) decode_values(d, v, next, n_seen, h, 1, as);
}

/* Pages outside, heads inside: rows of neighbouring heads lie side by side, so that memory is met in order. d: of one head each. */
static void decode_pages(struct decoding *d, const struct attn_part *p)
{
    const struct attn *a = d->a;
    int seen = a->pos0 + p->t + 1, size = a->page;
    for (int page = p->from / size; page * size < p->to; page++) {
        const void *after = a->k[(page + 1) * size < seen ? page + 1 : page];
        int from = p->from - page * size, n_seen = MIN(p->to - page * size, size);
        for (int h = 0; h < p->head1 - p->head0; h++) {
            if (d[h].as == AS_F16) decode_page(&d[h], page, after, from, n_seen, AS_F16);
            else if (d[h].as == AS_Q8_0) decode_page(&d[h], page, after, from, n_seen, AS_Q8_0);
            else decode_page(&d[h], page, after, from, n_seen, AS_F32);
        }
    }
}

static enum rows_as rows_as(const struct attn *a, int width)
{
    if (width != a->head_dim) return AS_F32;
    return a->kv == DT_F16 ? AS_F16 : a->kv == DT_Q8_0 ? AS_Q8_0 : AS_F32;
}

/* Queries of one KV head; q has room for its group. */
static struct decoding decode_begin(const struct attn *a, const struct attn_part *p, int h, int width, float *q, struct query *st)
{
    int group = a->n_head / a->n_head_kv, head_kv = p->head0 + h;
    struct decoding d = { .a = a, .head_kv = head_kv, .group = group, .width = width, .as = rows_as(a, width), .q = q, .st = st };
    memset(q, 0, (size_t)group * width * sizeof *q);
    for (int g = 0; g < group; g++) {
        memcpy(q + (size_t)g * width, a->q + ((size_t)p->t * a->n_head + head_kv * group + g) * a->head_dim, (size_t)a->head_dim * sizeof *q);
        query_init(&st[g], 1, p->out + (size_t)(h * group + g) * ATTN_PART(a->head_dim), width);
    }
    return d;
}

static void attn_decode(const struct attn *a, const struct attn_part *p, float *scratch)
{
    int group = a->n_head / a->n_head_kv, width = round_up(a->head_dim, PAD), n = p->head1 - p->head0;
    struct decoding d[ATTN_HEADS];
    float *q = scratch, *s = q + (size_t)n * group * width, *row = s + (size_t)group * a->page;
    struct query *st = (void *)(row + (size_t)a->page * width);
    for (int h = 0; h < n; h++) {
        d[h] = decode_begin(a, p, h, width, q + (size_t)h * group * width, st + (size_t)h * group);
        d[h].s = s, d[h].row = row;
    }
    if (d[0].as == AS_F32) memset(row, 0, (size_t)a->page * width * sizeof *row); /* the pads */
    decode_pages(d, p);
    for (int i = 0; i < n * group; i++) st[i].o[width] = st[i].max, st[i].o[width + 1] = st[i].sum;
}

/* One query after another: the largest of all parts, then every part relative to it (which takes the place of its exponent). */
static void attn_join(float *o, float *part, int n_seg, size_t step, int n, int head_dim)
{
    size_t state = ATTN_STATE(head_dim);
    for (int i = 0; i < n; i++, part += ATTN_PART(head_dim), o += head_dim) {
        float max = -INFINITY, sum = 0, *at = part + state;
        for (int s = 0; s < n_seg; s++) max = MAX(max, at[s * step]);
        for (int s = 0; s < n_seg; s++) {
            at[s * step] = exp2_vec(all(at[s * step] - max))[0];
            sum += at[s * step + 1] * at[s * step];
        }
        for (int c = 0; c < head_dim; c += LANES) {
            vec a = { 0 };
            for (int s = 0; s < n_seg; s++) a = muladd(load(part + s * step + c), all(at[s * step]), a);
            a /= sum;
            memcpy(o + c, &a, (size_t)MIN(LANES, head_dim - c) * sizeof *o);
        }
    }
}

#endif
