/* kv.c -- what sequences have computed: pages of keys and values, and the convolution state.
 *
 * A sequence owns a list of page numbers and one running convolution state. A page holds KV_PAGE
 * positions for every attention layer and, after them, the convolution state at the page's end,
 * so a shared prefix costs one reference count and brings its checkpoints with it. Positions
 * between borders can be resumed only where kv_mark kept a state.
 *
 * True at all times: a page with refs > 1 is never written; free pages + referenced pages =
 * n_page; the state at the end of a page is valid for every sequence that has filled that page.
 * Not here: whom to evict, keeping prefixes after a request (gen/).
 * Threads: the engine thread only. Memory: slabs taken in kv_open(), never grown. */
#include "model/int.h"

#define MARKS_PER_SEQ 16      /* one gives way to one more: not the first */
#define MARK_SLOTS_PER_SEQ 8  /* of the pool shared by all sequences, */
#define PAGES_PER_SLOT 2      /* and for prefixes that are kept */

struct mark { int pos, slot; };
struct seq {
    bool used;
    int len, n_page, n_mark;
    int *page;                                                        /* [most pages] */
    struct mark mark[MARKS_PER_SEQ];                                  /* ascending positions */
};
struct kv {
    const struct model *m;
    enum dtype type;
    int n_page, n_seq, n_free, n_slot, n_slot_free;
    int *refs, *free_page; /* [n_page]; stack of free pages */
    int *slot_refs;                                                   /* [n_slot] kept states */
    struct seq *seq;
    size_t *layer_off; /* [n_layer] bytes into a page */
    size_t page_bytes, conv_off, conv_floats, layer_conv; /* conv_floats of all layers, of one */
    char *pages;
    float *conv, *kept; /* [n_seq, conv_floats], [n_slot, conv_floats] */
};

static size_t round64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

static size_t half_bytes(const struct kv *kv, int layer) /* keys of one page and layer */
{
    const struct model_config *c = &kv->m->cfg;
    return dtype_bytes(kv->type, (int64_t)KV_PAGE * c->n_head_kv[layer] * c->head_dim);
}

static void lay_out(struct kv *kv)
{
    const struct model_config *c = &kv->m->cfg;
    kv->layer_conv = (size_t)MAX(c->conv_taps - 1, 0) * c->n_embd;
    kv->conv_floats = round64(kv->m->n_conv * kv->layer_conv * sizeof(float)) / sizeof(float);
    for (int l = 0; l < c->n_layer; l++) {
        kv->layer_off[l] = kv->page_bytes;
        if (c->n_head_kv[l]) kv->page_bytes += 2 * round64(half_bytes(kv, l));
    }
    kv->conv_off = kv->page_bytes;
    kv->page_bytes += kv->conv_floats * sizeof(float);
}

static bool take_slabs(struct kv *kv, struct err *e)
{
    size_t state = kv->conv_floats * sizeof(float);
    if (kv->page_bytes && (size_t)kv->n_page > (SIZE_MAX / 2) / kv->page_bytes)
        return err_set(e, ERR_LIMIT, "%d pages of %zu bytes are more than can be addressed",
                       kv->n_page, kv->page_bytes);
    kv->pages = mem_slab(kv->n_page * kv->page_bytes, e);
    if (kv->pages) kv->conv = mem_slab(kv->n_seq * state, e);
    if (kv->conv) kv->kept = mem_slab(kv->n_slot * state, e);
    return kv->kept != NULL;
}

static bool check_type(const struct model *m, enum dtype type, struct err *e)
{
    if (type != DT_F32 && type != DT_F16 && type != DT_BF16 && type != DT_Q8_0)
        return err_set(e, ERR_ARG, "a KV cache of %s: F32, F16, BF16 and Q8_0 are accepted", dtype_info(type)->name);
    if (m->cfg.head_dim % dtype_info(type)->block)
        return err_set(e, ERR_ARG, "a KV cache of %s takes heads of a multiple of %d, this model's have %d", dtype_info(type)->name,
                       dtype_info(type)->block, m->cfg.head_dim);
    return true;
}

enum dtype kv_type(const struct kv *kv) { return kv->type; }

struct kv *kv_open(const struct model *m, int n_ctx, int n_seq, struct err *e)
{
    return kv_open_as(m, n_ctx, n_seq, m->ops->kv, e);
}

struct kv *kv_open_as(const struct model *m, int n_ctx, int n_seq, enum dtype type, struct err *e)
{
    if (!check_type(m, type, e)) return NULL;
    struct kv *kv = mem_zero(sizeof *kv);
    kv->m = m;
    kv->type = type;
    kv->n_seq = MAX(n_seq, 1);
    kv->n_page = kv->n_free = (int)(((int64_t)MAX(n_ctx, 1) + KV_PAGE - 1) / KV_PAGE);
    kv->n_slot = kv->n_seq * MARK_SLOTS_PER_SEQ + kv->n_page / PAGES_PER_SLOT;
    kv->n_slot_free = kv->n_slot;
    kv->refs = mem_zero((size_t)kv->n_page * sizeof *kv->refs);
    kv->free_page = mem_zero((size_t)kv->n_page * sizeof *kv->free_page);
    kv->slot_refs = mem_zero((size_t)kv->n_slot * sizeof *kv->slot_refs);
    kv->seq = mem_zero((size_t)kv->n_seq * sizeof *kv->seq);
    kv->layer_off = mem_zero((size_t)m->cfg.n_layer * sizeof *kv->layer_off);
    for (int i = 0; i < kv->n_page; i++) kv->free_page[i] = kv->n_page - 1 - i;
    for (int s = 0; s < kv->n_seq; s++)
        kv->seq[s].page = mem_zero((size_t)kv->n_page * sizeof *kv->seq[s].page);
    lay_out(kv);
    if (take_slabs(kv, e)) return kv;
    err_in(e, "KV cache of %d positions (fewer, or a type with fewer bits, need less)", n_ctx);
    kv_close(kv);
    return NULL;
}

void kv_close(struct kv *kv)
{
    if (!kv) return;
    size_t state = kv->conv_floats * sizeof(float);
    mem_slab_free(kv->pages, kv->n_page * kv->page_bytes);
    mem_slab_free(kv->conv, kv->n_seq * state);
    mem_slab_free(kv->kept, kv->n_slot * state);
    for (int s = 0; s < kv->n_seq; s++) mem_free(kv->seq[s].page);
    mem_free(kv->refs);
    mem_free(kv->free_page);
    mem_free(kv->slot_refs);
    mem_free(kv->seq);
    mem_free(kv->layer_off);
    mem_free(kv);
}

/* ---- where things lie ------------------------------------------------------------------------ */

static char *page_at(const struct kv *kv, int page)
{
    return kv->pages + (size_t)page * kv->page_bytes;
}

void *kv_keys(const struct kv *kv, int seq, int page, int layer)
{
    return page_at(kv, kv->seq[seq].page[page]) + kv->layer_off[layer];
}

void *kv_values(const struct kv *kv, int seq, int page, int layer)
{
    return (char *)kv_keys(kv, seq, page, layer) + round64(half_bytes(kv, layer));
}

static float *seq_state(const struct kv *kv, int seq)
{
    return kv->conv + (size_t)seq * kv->conv_floats;
}

static float *page_state(const struct kv *kv, int page)
{
    return (float *)(void *)(page_at(kv, page) + kv->conv_off);
}

static float *slot_state(const struct kv *kv, int slot)
{
    return kv->kept + (size_t)slot * kv->conv_floats;
}

static void copy_state(const struct kv *kv, float *to, const float *from)
{
    memcpy(to, from, kv->conv_floats * sizeof *to);
}

float *kv_conv(const struct kv *kv, int seq, int layer)
{
    return seq_state(kv, seq) + kv->m->layer[layer].slot * kv->layer_conv;
}

void kv_checkpoint(struct kv *kv, int seq, int page, int layer)
{
    float *keep =
        page_state(kv, kv->seq[seq].page[page]) + kv->m->layer[layer].slot * kv->layer_conv;
    memcpy(keep, kv_conv(kv, seq, layer), kv->layer_conv * sizeof *keep);
}

/* ---- sequences ------------------------------------------------------------------------------- */

static void drop_page(struct kv *kv, int page)
{
    if (--kv->refs[page] == 0) kv->free_page[kv->n_free++] = page;
}

static int take_page(struct kv *kv) /* the caller knows that one is free */
{
    int page = kv->free_page[--kv->n_free];
    kv->refs[page] = 1;
    return page;
}

static void drop_marks(struct kv *kv, struct seq *s, int past) /* those at positions > past */
{
    while (s->n_mark && s->mark[s->n_mark - 1].pos > past)
        kv_state_drop(kv, s->mark[--s->n_mark].slot);
}

static int free_seq(const struct kv *kv)
{
    for (int s = 0; s < kv->n_seq; s++)
        if (!kv->seq[s].used) return s;
    return -1;
}

int kv_seq_new(struct kv *kv)
{
    int at = free_seq(kv);
    if (at < 0) return -1;
    struct seq *s = &kv->seq[at];
    s->used = true;
    s->len = s->n_page = s->n_mark = 0;
    memset(seq_state(kv, at), 0, kv->conv_floats * sizeof(float));
    return at;
}

void kv_seq_free(struct kv *kv, int seq)
{
    if (seq < 0 || seq >= kv->n_seq || !kv->seq[seq].used) return;
    struct seq *s = &kv->seq[seq];
    drop_marks(kv, s, -1);
    while (s->n_page) drop_page(kv, s->page[--s->n_page]);
    s->used = false;
}

int kv_seq_fork(struct kv *kv, int seq)
{
    const struct seq *from = &kv->seq[seq];
    bool part = from->len % KV_PAGE != 0; /* the last page will be written by both */
    int at = free_seq(kv);
    if (at < 0 || (part && !kv->n_free)) return -1;
    struct seq *to = &kv->seq[at];
    int *page = to->page;
    *to = *from;
    to->page = page;
    memcpy(page, from->page, (size_t)from->n_page * sizeof *page);
    if (part) {
        page[to->n_page - 1] = take_page(kv);
        memcpy(page_at(kv, page[to->n_page - 1]), page_at(kv, from->page[to->n_page - 1]),
               kv->page_bytes);
    }
    for (int i = 0; i < to->n_page - part; i++) kv->refs[page[i]]++;
    for (int i = 0; i < to->n_mark; i++) kv_state_hold(kv, to->mark[i].slot);
    copy_state(kv, seq_state(kv, at), seq_state(kv, seq));
    return at;
}

int kv_len(const struct kv *kv, int seq)
{
    return kv->seq[seq].len;
}

int kv_free_positions(const struct kv *kv)
{
    return (int)MIN((int64_t)kv->n_free * KV_PAGE, INT32_MAX);
}

/* ---- growing and cutting back ---------------------------------------------------------------- */

/* Pages that n more positions need; *shared: the last one must be copied first. */
static int pages_for(const struct kv *kv, const struct seq *s, int n, bool *shared)
{
    int need = (int)(((int64_t)s->len + n + KV_PAGE - 1) / KV_PAGE) - s->n_page;
    *shared = s->len % KV_PAGE && kv->refs[s->page[s->len / KV_PAGE]] > 1;
    return MAX(need, 0) + *shared;
}

static void grow(struct kv *kv, struct seq *s, int n)
{
    bool shared;
    int need = pages_for(kv, s, n, &shared);
    if (shared) {
        int own = take_page(kv), at = s->len / KV_PAGE;
        memcpy(page_at(kv, own), page_at(kv, s->page[at]), kv->page_bytes);
        drop_page(kv, s->page[at]);
        s->page[at] = own;
        need--;
    }
    while (need-- > 0) s->page[s->n_page++] = take_page(kv);
}

bool kv_reserve(struct kv *kv, const struct rows *rows, int n_rows, struct err *e)
{
    int need = 0, n = 0;
    bool shared;
    for (int i = 0; i < n_rows; i++) {
        const struct seq *s = &kv->seq[rows[i].seq];
        if (rows[i].n > kv->m->cfg.n_ctx - s->len)
            return err_set(e, ERR_LIMIT, "%d tokens after %d do not fit into the model's context of %d",
                           rows[i].n, s->len, kv->m->cfg.n_ctx);
        need += pages_for(kv, s, rows[i].n, &shared);
        n += rows[i].n;
    }
    if (need > kv->n_free)
        return err_set(e, ERR_FULL, "%d tokens need %d pages of the KV cache and %d are free", n, need,
                       kv->n_free);
    for (int i = 0; i < n_rows; i++) grow(kv, &kv->seq[rows[i].seq], rows[i].n);
    return true;
}

void kv_advance(struct kv *kv, int seq, int n)
{
    kv->seq[seq].len += n;
}

/* The largest position <= len that can be resumed, and the state there (NULL: zeros). */
static int resume_point(const struct kv *kv, const struct seq *s, int len, const float **state)
{
    int border = len / KV_PAGE * KV_PAGE;
    *state = border ? page_state(kv, s->page[border / KV_PAGE - 1]) : NULL;
    for (int i = s->n_mark - 1; i >= 0; i--)
        if (s->mark[i].pos <= len && s->mark[i].pos > border) {
            *state = slot_state(kv, s->mark[i].slot);
            return s->mark[i].pos;
        }
    return border;
}

int kv_truncate(struct kv *kv, int seq, int len)
{
    struct seq *s = &kv->seq[seq];
    if (len >= s->len) return s->len;
    const float *state = NULL;
    int keep = MAX(len, 0);
    if (kv->m->n_conv) {
        keep = resume_point(kv, s, keep, &state);
        if (state) copy_state(kv, seq_state(kv, seq), state);
        else memset(seq_state(kv, seq), 0, kv->conv_floats * sizeof(float));
    }
    drop_marks(kv, s, keep);
    while (s->n_page > (keep + KV_PAGE - 1) / KV_PAGE) drop_page(kv, s->page[--s->n_page]);
    return s->len = keep;
}

/* ---- states between page borders ------------------------------------------------------------- */

/* The second goes: the first is as a rule the end of what many requests share. */
static void drop_mark(struct kv *kv, struct seq *s, int i)
{
    kv_state_drop(kv, s->mark[i].slot);
    memmove(s->mark + i, s->mark + i + 1, (size_t)(--s->n_mark - i) * sizeof *s->mark);
}

static int find_mark(const struct seq *s, int pos)
{
    for (int i = 0; i < s->n_mark; i++)
        if (s->mark[i].pos == pos) return i;
    return -1;
}

bool kv_mark_at(struct kv *kv, int seq, int pos)
{
    struct seq *s = &kv->seq[seq];
    if (!kv->m->n_conv || pos % KV_PAGE == 0 || find_mark(s, pos) >= 0) return true;
    if (s->n_mark == MARKS_PER_SEQ) drop_mark(kv, s, 1);
    int slot = kv_state_take(kv), at = s->n_mark;
    if (slot < 0) return false;
    while (at && s->mark[at - 1].pos > pos) at--;
    memmove(s->mark + at + 1, s->mark + at, (size_t)(s->n_mark++ - at) * sizeof *s->mark);
    s->mark[at] = (struct mark){ pos, slot };
    return true;
}

bool kv_mark(struct kv *kv, int seq)
{
    struct seq *s = &kv->seq[seq];
    if (!kv->m->n_conv || s->len % KV_PAGE == 0 || find_mark(s, s->len) >= 0) return true;
    if (!kv_mark_at(kv, seq, s->len)) return false;
    copy_state(kv, slot_state(kv, s->mark[find_mark(s, s->len)].slot), seq_state(kv, seq));
    return true;
}

void kv_unmark(struct kv *kv, int seq, int pos)
{
    int i = find_mark(&kv->seq[seq], pos);
    if (i >= 0) drop_mark(kv, &kv->seq[seq], i);
}

int kv_next_mark(const struct kv *kv, int seq, int pos, int end)
{
    const struct seq *s = &kv->seq[seq];
    for (int i = 0; i < s->n_mark; i++)
        if (s->mark[i].pos > pos) return MIN(s->mark[i].pos, end);
    return end;
}

void kv_keep(struct kv *kv, int seq, int pos, int layer)
{
    int i = find_mark(&kv->seq[seq], pos);
    if (i < 0) return;
    size_t off = kv->m->layer[layer].slot * kv->layer_conv;
    memcpy(slot_state(kv, kv->seq[seq].mark[i].slot) + off, kv_conv(kv, seq, layer), kv->layer_conv * sizeof(float));
}

/* ---- pages and states one by one ------------------------------------------------------------- */

int  kv_page(const struct kv *kv, int seq, int i) { return kv->seq[seq].page[i]; }
int  kv_n_page(const struct kv *kv) { return kv->n_page; }
int  kv_free_pages(const struct kv *kv) { return kv->n_free; }
int  kv_page_refs(const struct kv *kv, int page) { return kv->refs[page]; }
void kv_page_hold(struct kv *kv, int page) { kv->refs[page]++; }
void kv_page_drop(struct kv *kv, int page) { drop_page(kv, page); }
int  kv_page_take(struct kv *kv) { return kv->n_free ? take_page(kv) : -1; }
bool kv_has_state(const struct kv *kv) { return kv->m->n_conv > 0; }
int  kv_free_states(const struct kv *kv) { return kv->n_slot_free; }
void kv_state_hold(struct kv *kv, int state) { kv->slot_refs[state]++; }
void kv_state_drop(struct kv *kv, int state) { kv->n_slot_free += --kv->slot_refs[state] == 0; }

int kv_state_take(struct kv *kv)
{
    for (int i = 0; kv->n_slot_free && i < kv->n_slot; i++)
        if (!kv->slot_refs[i]) {
            kv->slot_refs[i] = 1;
            kv->n_slot_free--;
            return i;
        }
    return -1;
}

int kv_state(const struct kv *kv, int seq, int pos)
{
    const struct seq *s = &kv->seq[seq];
    int i = pos <= s->len ? find_mark(s, pos) : -1;
    return i < 0 ? -1 : s->mark[i].slot;
}

void *kv_page_data(const struct kv *kv, int page, size_t *bytes)
{
    *bytes = kv->page_bytes;
    return page_at(kv, page);
}

void *kv_state_data(const struct kv *kv, int state, size_t *bytes)
{
    *bytes = kv->conv_floats * sizeof(float);
    return slot_state(kv, state);
}

int kv_seq_on(struct kv *kv, const int *page, int len, int state)
{
    int at = kv_seq_new(kv);
    if (at < 0) return -1;
    struct seq *s = &kv->seq[at];
    s->len = len;
    for (; s->n_page < (len + KV_PAGE - 1) / KV_PAGE; s->n_page++) kv->refs[s->page[s->n_page] = page[s->n_page]]++;
    if (state >= 0) {
        copy_state(kv, seq_state(kv, at), slot_state(kv, state));
        kv_state_hold(kv, state);
        s->mark[s->n_mark++] = (struct mark){ len, state };
    } else if (len && kv->m->n_conv) copy_state(kv, seq_state(kv, at), page_state(kv, page[len / KV_PAGE - 1]));
    return at;
}
