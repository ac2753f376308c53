/* matmul.c -- products over the threads: which kernel, which form of the input, which rows to
 * whom.
 *
 * The input is brought into each form that the products ask for once; then rows are handed out
 * in pieces. The pieces of all products together are cut into one range a thread, which takes its
 * own in order (so that what a kernel reads ahead is what the same thread comes to next) and then
 * those that others have left, so that a thread that is slowed down takes fewer. In decode a thread
 * that finds nothing left asks for the beginning of its range of the next products. Pieces are whole
 * panels (prefill) or a few rows (decode); a row's result does not depend on who computes it. Small products stay on the calling thread: waking another costs
 * more than they do. Where a kernel of rows gives the same bits as the prefill kernel, a few prompt
 * tokens go that way: a panel is not worth unpacking for them. */
#include <stdatomic.h>

#include "cpu/int.h"

#define MOST_MM 8                                                     /* products in a call */
#define MOST_RANGES 16                                                /* more threads share them */
#define SMALL (64 << 10) /* weights x columns worth a second thread */
#define SMALL_INPUT (48 << 10) /* values of the input, likewise */
#define PIECE_LEAST (16 << 10)  /* weight bytes of a decode piece: long enough to be read ahead, */
#define PIECE_MOST (128 << 10)  /* and at least eight for every thread while that is possible */

struct input { const struct act_form *form; size_t bytes; char *at; };  /* n columns, bytes apart */
struct product {
    const struct matmul *mm;
    bool panels;                                                      /* pre, else dec */
    struct prefill pre;
    struct decode dec;
    const struct input *in;
    int piece, n_piece;                                               /* rows of a piece, pieces */
};
struct job {
    struct cpu *c;
    struct product p[MOST_MM];
    struct input in[MOST_MM];
    int n_mm, n_in_forms, n, k, total;
    const float *x;
    enum phase ph;
    _Atomic int next_col;
    int n_range;
    struct range { _Alignas(64) _Atomic int next; int end; } range[MOST_RANGES]; /* of pieces; next runs past the end */
};

/* ---- preparing ------------------------------------------------------------------------------- */

/* Rows of a decode piece of w: whole groups of the kernels that take rows together. */
#define GROUP 16
static int decode_piece(const struct mat *w, int n_thread)
{
    size_t share = w->row_bytes * (size_t)w->n_out / (8 * (size_t)n_thread);
    size_t bytes = MIN(MAX(share, (size_t)PIECE_LEAST), (size_t)PIECE_MOST);
    return MAX(((int)(bytes / MAX(w->row_bytes, (size_t)1)) + GROUP - 1) / GROUP, 1) * GROUP;
}

static void choose_kernel(struct job *j, struct product *p)
{
    const struct kern *k = &j->c->kern;
    enum dtype d = p->mm->w->dtype;
    const struct decode *few = k->few[d].act ? &k->few[d] : &k->decode[d];
    p->panels = j->ph == PHASE_PREFILL && (!k->prefill[d].act || j->n > few->few);
    if (p->panels) {
        p->pre = k->prefill[d].act ? k->prefill[d] : k->any_prefill;
        p->piece = PANEL_ROWS;
    } else {
        p->dec = j->ph == PHASE_PREFILL ? *few : k->decode[d].act ? k->decode[d] : k->any_decode;
        p->piece = decode_piece(p->mm->w, pool_size(j->c->pool));
    }
    p->n_piece = (p->mm->w->n_out + p->piece - 1) / p->piece;
    j->total += p->n_piece;
}

static const struct input *input_of(struct job *j, const struct act_form *form)
{
    for (int i = 0; i < j->n_in_forms; i++)
        if (j->in[i].form == form) return &j->in[i];
    struct input *in = &j->in[j->n_in_forms++];
    *in = (struct input){ .form = form, .bytes = (form->bytes(j->k) + 63) & ~(size_t)63 };
    return in;
}

void cpu_scratch(struct cpu *c, size_t bytes)
{
    if (bytes <= c->scratch_cap) return;
    for (int t = 0; t < pool_size(c->pool); t++) {
        mem_free(c->scratch[t]);
        c->scratch[t] = mem_alloc(bytes);
    }
    c->scratch_cap = bytes;
}

/* Room for the inputs in all their forms and for one panel per thread. */
static void make_room(struct job *j)
{
    size_t panel = 0, act = 0;
    for (int i = 0; i < j->n_mm; i++)
        if (j->p[i].panels) panel = MAX(panel, j->p[i].pre.panel_bytes(j->k));
    cpu_scratch(j->c, ((panel + 63) & ~(size_t)63) + (size_t)j->k * sizeof(float) + 128);
    for (int i = 0; i < j->n_in_forms; i++) act += j->in[i].bytes * (size_t)j->n;
    if (act + 64 > j->c->act_cap) {
        mem_free(j->c->act);
        j->c->act_cap = act + 64;
        j->c->act = mem_alloc(j->c->act_cap);
    }
    char *at = (char *)(((uintptr_t)j->c->act + 63) & ~(uintptr_t)63);
    for (int i = 0; i < j->n_in_forms; i++) {
        j->in[i].at = at;
        at += j->in[i].bytes * (size_t)j->n;
    }
}

/* ---- running --------------------------------------------------------------------------------- */

static void fill_columns(void *ctx, int thread, int n_thread)
{
    struct job *j = ctx;
    for (int i; (i = atomic_fetch_add_explicit(&j->next_col, 1, memory_order_relaxed)) <
                j->n * j->n_in_forms;) {
        const struct input *in = &j->in[i / j->n];
        int t = i % j->n;
        const float *x = j->x + (size_t)t * j->k;
        if (in->form->lay) in->form->lay(in->at, in->bytes, x, j->k, t, j->n);
        else in->form->fill(in->at + (size_t)t * in->bytes, x, j->k);
    }
}

static void run_panel(const struct job *j, const struct product *p, int piece, char *scratch)
{
    const struct mat *w = p->mm->w;
    int r0 = piece * p->piece, n_row = MIN(p->piece, w->n_out - r0);
    float *row = (float *)(void *)scratch;
    void *panel = (void *)(((uintptr_t)(row + j->k) + 63) & ~(uintptr_t)63);
    p->pre.fill(panel, w, r0, n_row, row);
    p->pre.mul(p->mm->y + r0, (size_t)w->n_out, panel, p->in->at, p->in->bytes, j->n, j->k, n_row);
}

static void run_rows(const struct job *j, const struct product *p, int piece, char *scratch)
{
    const struct mat *w = p->mm->w;
    int r0 = piece * p->piece, r1 = MIN(r0 + p->piece, w->n_out);
    p->dec.rows(p->mm->y, (size_t)w->n_out, w, p->in->at, p->in->bytes, j->n, r0, r1,
                (float *)(void *)scratch);
}

static void run_piece(struct job *j, int i, char *scratch)
{
    const struct product *p = j->p;
    while (i >= p->n_piece) i -= p++->n_piece;
    (p->panels ? run_panel : run_rows)(j, p, i, scratch);
}

static void run_pieces(void *ctx, int thread, int n_thread)
{
    struct job *j = ctx;
    for (int v = 0; v < j->n_range; v++) {
        struct range *r = &j->range[(thread + v) % j->n_range];
        for (int i; (i = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed)) < r->end;)
            run_piece(j, i, j->c->scratch[thread]);
    }
}

static void cut_ranges(struct job *j, int n_thread)
{
    j->n_range = MIN(n_thread, MOST_RANGES);
    for (int v = 0; v < j->n_range; v++) {
        atomic_store_explicit(&j->range[v].next, (int)((int64_t)j->total * v / j->n_range), memory_order_relaxed);
        j->range[v].end = (int)((int64_t)j->total * (v + 1) / j->n_range);
    }
}

#define SOON (64 << 10) /* bytes: a small part of the second-level cache */

/* To every thread where its range of the products after these will begin. */
static void say_soon(const struct job *j, struct pool *pool)
{
    const struct mat *last = j->p[j->n_mm - 1].mm->w, *w = last->soon;
    int n = pool_size(pool), n_range = MIN(n, MOST_RANGES), piece[MOST_MM], count[MOST_MM], total = 0;
    if (n == 1 || j->ph != PHASE_DECODE || last->n_soon > MOST_MM) return;
    for (int i = 0; i < last->n_soon; i++) {
        piece[i] = decode_piece(&w[i], n);
        total += count[i] = (w[i].n_out + piece[i] - 1) / piece[i];
    }
    for (int v = 0; v < n_range && total; v++) {
        int at = (int)((int64_t)total * v / n_range), i = 0;
        while (at >= count[i]) at -= count[i++];
        size_t off = (size_t)at * (size_t)piece[i] * w[i].row_bytes, end = w[i].row_bytes * (size_t)w[i].n_out;
        pool_soon(pool, v, (struct bytes){ (const char *)w[i].data + off, MIN(end - off, (size_t)SOON) });
    }
}

static void run_job(struct job *j)
{
    int64_t work = 0;
    for (int i = 0; i < j->n_mm; i++) {
        choose_kernel(j, &j->p[i]);
        j->p[i].in = input_of(j, j->p[i].panels ? j->p[i].pre.act : j->p[i].dec.act);
        work += (int64_t)j->p[i].mm->w->n_out * j->k * j->n;
    }
    make_room(j);
    pool_share((int64_t)j->n * j->k > SMALL_INPUT ? j->c->pool : NULL, fill_columns, j);
    struct pool *pool = work > SMALL ? j->c->pool : NULL;
    cut_ranges(j, pool_size(pool));
    say_soon(j, pool);
    pool_share(pool, run_pieces, j);
}

void cpu_matmul(void *ctx, const struct matmul *mm, int n_mm, const float *x, int n, enum phase ph)
{
    for (int i = 0; n > 0 && i < n_mm; i += MOST_MM) {
        struct job j; /* the ranges are written when they are cut */
        j.c = ctx, j.n_mm = MIN(MOST_MM, n_mm - i), j.n_in_forms = 0, j.n = n, j.k = mm[i].w->n_in, j.total = 0;
        j.x = x, j.ph = ph;
        atomic_store_explicit(&j.next_col, 0, memory_order_relaxed);
        for (int m = 0; m < j.n_mm; m++) j.p[m].mm = &mm[i + m];
        run_job(&j);
    }
}
