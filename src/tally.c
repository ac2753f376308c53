/* tally.c -- numbers from one format into another, chunk by chunk over the threads, and the account
 * of it: what was written, what was lost.
 *
 * A chunk is whole blocks of every format, so chunks are independent; sums over chunks are taken in
 * their order, whoever computed them. Values that are not finite, or too large for the format, end
 * the run: nothing is clipped silently. */
#include <math.h>
#include <stdatomic.h>

#include "base/json.h"
#include "mix.h"

#define CHUNK 4096                                                    /* elements; whole blocks of every format */

/* Shared by the threads that convert one tensor: chunks are taken by number. */
struct job {
    const struct tensor *from;
    const float *importance;                                          /* [n_expert, n_in], NULL: none */
    const struct dtype_info *in, *out;
    uint8_t *dst;
    int64_t n;
    _Atomic int64_t next;
    _Atomic bool bad_in, bad_out;
    _Atomic int64_t bad_at;
    double *err2, *sum2;                                              /* [n_chunk] squared error, squared values */
};

static bool finite_all(const float *x, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] - x[i];                   /* 0, or NaN */
    return sum == 0;
}

/* Row by row, since the importance is that of a column: each row's piece is whole blocks. */
static void pack_rows(const struct job *j, const float *x, uint8_t *dst, int64_t at, int n)
{
    enum dtype d = dtype_of_gguf((uint32_t)j->out->gguf_id);
    int64_t n_in = j->from->ne[0], n_row = j->from->ne[1];
    for (int64_t i = at, end = at + n; i < end;) {
        int64_t row = i / n_in, k = MIN((row + 1) * n_in, end) - i, expert = row / n_row;
        j->out->pack(x + (i - at), j->importance + expert * n_in + i % n_in, dst + dtype_bytes(d, i - at), (size_t)k);
        i += k;
    }
}

static void convert_chunk(struct job *j, int64_t c)
{
    float x[CHUNK], y[CHUNK];
    int64_t at = c * CHUNK;
    int n = (int)MIN(j->n - at, (int64_t)CHUNK);
    uint8_t *dst = j->dst + dtype_bytes(dtype_of_gguf((uint32_t)j->out->gguf_id), at);
    j->in->unpack((const uint8_t *)j->from->data + dtype_bytes(j->from->dtype, at), x, (size_t)n);
    bool in_ok = finite_all(x, n), out_ok = false;
    if (in_ok) {
        if (j->importance) pack_rows(j, x, dst, at, n);
        else j->out->pack(x, NULL, dst, (size_t)n);
        j->out->unpack(dst, y, (size_t)n);
        out_ok = finite_all(y, n);
    }
    if (!in_ok || !out_ok) {
        j->bad_at = at;
        j->bad_in |= !in_ok;
        j->bad_out |= in_ok && !out_ok;
        return;
    }
    double err = 0, sum = 0;
    for (int i = 0; i < n; i++) {
        err += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        sum += (double)x[i] * (double)x[i];
    }
    j->err2[c] = err;
    j->sum2[c] = sum;
}

static void convert_some(void *ctx, int thread, int n_thread)
{
    struct job *j = ctx;
    int64_t n_chunk = (j->n + CHUNK - 1) / CHUNK;
    for (int64_t c; !j->bad_in && !j->bad_out && (c = atomic_fetch_add(&j->next, 1)) < n_chunk;)
        convert_chunk(j, c);
}

static bool job_ok(const struct job *j, struct err *e)
{
    if (j->bad_in)
        return err_set(e, ERR_FORMAT, "a value near element %lld is not finite",
                       (long long)j->bad_at);
    if (j->bad_out)
        return err_set(e, ERR_ARG, "a value near element %lld is too large for %s",
                       (long long)j->bad_at, j->out->name);
    return true;
}

static int64_t n_elem(const struct tensor *t)
{
    return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
}

#define BAR 30
#define ERASE "\r\033[K"

/* How far along, by bytes written, and what that makes of the time. */
static void draw_bar(const struct tally *w)
{
    double part = w->plan_bytes ? (double)w->done_bytes / (double)w->plan_bytes : 1, s = (double)(clock_ns() - w->start_ns) / 1e9;
    char bar[BAR + 1] = { 0 };
    for (int i = 0; i < BAR; i++) bar[i] = i < (int)(part * BAR) ? '#' : '.';
    fprintf(stderr, "%s[%s] %3.0f %%, %.0f s, %.0f s left", ERASE, bar, 100 * part, s, part > 0 ? s * (1 - part) / part : 0);
    if (w->done_bytes >= w->plan_bytes) fputs(ERASE, stderr);
}

bool tally_repack(struct tally *w, struct pool *pool, const struct tensor *from,
                  const struct tensor *to, const float *importance, void *dst, struct err *e)
{
    struct job j = { .from = from, .in = dtype_info(from->dtype), .out = dtype_info(to->dtype),
                     .importance = importance, .dst = dst, .n = n_elem(from) };
    size_t n_chunk = (size_t)((j.n + CHUNK - 1) / CHUNK);
    if (!w->start_ns) w->start_ns = clock_ns();
    j.err2 = mem_zero(n_chunk * sizeof *j.err2);
    j.sum2 = mem_zero(n_chunk * sizeof *j.sum2);
    pool_run(pool, convert_some, &j);
    double err = 0, sum = 0;
    for (size_t c = 0; c < n_chunk; c++) {                            /* one order, whoever computed them */
        err += j.err2[c];
        sum += j.sum2[c];
    }
    mem_free(j.err2);
    mem_free(j.sum2);
    if (!job_ok(&j, e)) {
        if (w->has_bar) fputs(ERASE, stderr);
        return false;
    }
    w->err2 += err;
    w->sum2 += sum;
    w->done++;
    w->done_bytes += to->bytes;
    if (w->is_shown)
        fprintf(stderr, "%s%4zu  %-40s %-6s -> %-6s error %.5f\n", w->has_bar ? ERASE : "", w->done, to->name, j.in->name,
                j.out->name, sum > 0 ? sqrt(err / sum) : 0.0);
    if (w->has_bar) draw_bar(w);
    return true;
}

/* ---- the account ---- */

void tally_plan(struct tally *w, struct tensor *t, enum dtype d)
{
    bool same = t->dtype == d;
    t->dtype = d;
    t->bytes = dtype_bytes(d, n_elem(t));
    w->used[d].elements += n_elem(t);
    w->used[d].bytes += t->bytes;
    if (!same) w->plan_bytes += t->bytes;
}

void tally_print(const struct tally *w, const char *path, const char *type, bool json)
{
    struct json *o = json_new_object(), *types = json_new_object();
    int64_t elements = 0;
    size_t bytes = 0;
    for (int d = 0; d < DT_COUNT; d++) {
        if (!w->used[d].elements) continue;
        elements += w->used[d].elements;
        bytes += w->used[d].bytes;
        json_set(types, dtype_info(d)->name, json_new_int(w->used[d].elements));
    }
    double bits = elements ? 8.0 * (double)bytes / (double)elements : 0,
           err = w->sum2 > 0 ? sqrt(w->err2 / w->sum2) : 0;
    json_set(o, "file", json_new_str(path));
    json_set(o, "type", json_new_str(type));
    json_set(o, "parameters", json_new_int(elements));
    json_set(o, "bytes", json_new_int((int64_t)bytes));
    json_set(o, "bits_per_weight", json_new_f64(bits));
    json_set(o, "relative_error", json_new_f64(err));
    json_set(o, "types", types);
    struct str s = { 0 };
    json_write(&s, o, JSON_COMPACT);
    if (json) puts(s.p);
    else
        printf("%s: %s, %lld parameters, %.3f bits each, relative error %.5f\n", path, type,
               (long long)elements, bits, err);
    str_done(&s);
    json_free(o);
}
