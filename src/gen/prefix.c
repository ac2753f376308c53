/* prefix.c -- what was computed is kept by its tokens: a radix tree whose edges are pages.
 *
 * A node is one page of the KV cache with the tokens that fill it (fewer only at a leaf); the way from the
 * root spells a prompt. Pages are shared with the sequences that computed them or go on from them: the
 * tree holds each of its pages once, so a page is given back to the pool when the tree has let go of
 * it and no sequence uses it. Whole pages bring the convolution state at their end; between borders a
 * prompt can only be resumed at marks, states that were kept on the way (ends of tool lists, of messages, of
 * prompts). Models without convolution can be resumed anywhere.
 *
 * Everything was computed under some adapters: their key is the first edge. What goes first is the
 * leaf that was not used for longest; a node that a running sequence has entered stays. With a cellar, pages
 * that were asked for again are written to disk in quiet times, and read back when a prompt comes by. */
#include "gen/sched_int.h"

#define MARKS 4                                                       /* states kept in one page */
#define PARTS_MOST 8                                                  /* pages begun that are read from disk for a prompt */

struct mark { int off, state; };
struct node {
    struct node *parent, *child, *next;                               /* next: sibling */
    uint64_t key, used, hash;                                         /* hash: of key and all tokens up to here */
    int n, page, users, n_mark;
    bool saved, again;                                                /* on disk; was found by another prompt */
    struct mark mark[MARKS];
    int32_t tok[KV_PAGE];
};
struct prefix {
    struct kv *kv;
    struct node root;                                                 /* holds no page */
    struct cellar *cellar;
    struct str buf;
    uint64_t tick, evicted;
};

struct prefix *prefix_open(struct kv *kv, struct cellar *cellar)
{
    struct prefix *p = mem_zero(sizeof *p);
    p->kv = kv;
    p->cellar = cellar;
    p->root.page = -1;
    return p;
}

/* ---- letting go ------------------------------------------------------------------------------ */

static void drop(struct prefix *p, struct node *n)
{
    struct node **at = &n->parent->child;
    while (*at != n) at = &(*at)->next;
    *at = n->next;
    for (int i = 0; i < n->n_mark; i++) kv_state_drop(p->kv, n->mark[i].state);
    kv_page_drop(p->kv, n->page);
    mem_free(n);
}

/* The next node in an order that has parents before children; NULL at the end. */
static struct node *after(const struct prefix *p, struct node *n)
{
    if (n->child) return n->child;
    while (n != &p->root && !n->next) n = n->parent;
    return n == &p->root ? NULL : n->next;
}

static bool is_idle(const struct prefix *p, const struct node *n)
{
    return !n->child && !n->users && kv_page_refs(p->kv, n->page) == 1;
}

bool prefix_evict(struct prefix *p)
{
    struct node *oldest = NULL;
    for (struct node *n = after(p, &p->root); n; n = after(p, n))
        if (is_idle(p, n) && (!oldest || n->used < oldest->used)) oldest = n;
    if (!oldest) return false;
    drop(p, oldest);
    p->evicted++;
    return true;
}

bool prefix_evict_state(struct prefix *p)
{
    struct node *oldest = NULL;
    for (struct node *n = after(p, &p->root); n; n = after(p, n))
        if (n->n_mark && (!oldest || n->used < oldest->used)) oldest = n;
    if (oldest) kv_state_drop(p->kv, oldest->mark[--oldest->n_mark].state);
    return oldest;
}

int prefix_idle(const struct prefix *p)
{
    int idle = 0;
    for (struct node *n = after(p, (struct node *)(uintptr_t)&p->root); n; n = after(p, n)) idle += kv_page_refs(p->kv, n->page) == 1;
    return idle;
}

void prefix_trim(struct prefix *p, int n_page)
{
    for (int idle = prefix_idle(p); idle > n_page && prefix_evict(p); idle--) {}
}

void prefix_close(struct prefix *p)
{
    if (!p) return;
    for (struct node *n; (n = p->root.child);) {
        while (n->child) n = n->child;
        drop(p, n);
    }
    cellar_close(p->cellar);
    str_done(&p->buf);
    mem_free(p);
}

struct prefix_count prefix_counts(const struct prefix *p)
{
    struct prefix_count c = { 0 };
    if (p->cellar) cellar_count(p->cellar, &c);
    c.evicted = p->evicted;
    return c;
}

/* ---- finding --------------------------------------------------------------------------------- */

static int same_tokens(const int32_t *a, const int32_t *b, int n)
{
    int i = 0;
    while (i < n && a[i] == b[i]) i++;
    return i;
}

/* The child of a node that is exactly these tokens. */
static struct node *child_of(const struct node *n, uint64_t key, const int32_t *tok, int count)
{
    for (struct node *c = n->child; c; c = c->next)
        if (c->n == count && c->key == key && same_tokens(c->tok, tok, count) == count) return c;
    return NULL;
}

/* Within a page: the last place at or before `same` that can be gone on from. */
static int resume_in(const struct prefix *p, const struct node *c, int same, int *state)
{
    int best = 0;
    *state = -1;
    if (!kv_has_state(p->kv)) return same;
    for (int i = 0; i < c->n_mark; i++)
        if (c->mark[i].off <= same && c->mark[i].off > best) best = c->mark[i].off, *state = c->mark[i].state;
    return best;
}

/* Among the pages that begin like tok: how far they agree, and the best to go on in. */
static void find_part(struct prefix *p, const struct node *n, uint64_t key, const int32_t *tok, int left, int *page, struct prefix_hit *hit)
{
    struct node *in = NULL;
    int best = 0;
    for (struct node *c = n->child; c; c = c->next) {
        int state, same = c->key == key ? same_tokens(c->tok, tok, MIN(left, c->n)) : 0, at;
        if (!same) continue;
        hit->same = MAX(hit->same, hit->len + same);
        if ((at = resume_in(p, c, same, &state)) <= best) continue;
        best = at;
        in = c;
        hit->state = state;
    }
    if (!in) return;
    in->used = p->tick;
    in->again = true;
    page[hit->n_page++] = in->page;
    hit->len += best;
}

static uint64_t hash_after(const struct node *parent, uint64_t key, const int32_t *tok, int n)
{
    uint64_t h = hash64(tok, (size_t)n * sizeof *tok, parent->parent ? parent->hash : hash64(&key, sizeof key, 1));
    return h ? h : 1;
}

/* ---- keeping --------------------------------------------------------------------------------- */

void prefix_enter(struct node *node) { if (node) node->users++; }
void prefix_leave(struct node *node) { if (node) node->users--; }

struct node *prefix_add(struct prefix *p, struct node *parent, uint64_t key, const int32_t *tok, int n, int page)
{
    struct node *up = parent ? parent : &p->root, *c = child_of(up, key, tok, n);
    if (!c) {
        c = mem_zero(sizeof *c);
        *c = (struct node){ .parent = up, .next = up->child, .key = key, .n = n, .page = page, .hash = hash_after(up, key, tok, n) };
        memcpy(c->tok, tok, (size_t)n * sizeof *tok);
        up->child = c;
        kv_page_hold(p->kv, page);
    }
    c->used = ++p->tick;
    return c;
}

void prefix_mark(struct prefix *p, struct node *c, int off, int state)
{
    if (state < 0 || off <= 0 || off > c->n) return;
    for (int i = 0; i < c->n_mark; i++)
        if (c->mark[i].off == off) return;
    if (c->n_mark == MARKS) {                                         /* the second goes: the first ends what most share */
        kv_state_drop(p->kv, c->mark[1].state);
        memmove(c->mark + 1, c->mark + 2, (MARKS - 2) * sizeof *c->mark);
        c->n_mark--;
    }
    c->saved = false;                                                 /* more is known of it than is on disk */
    kv_state_hold(p->kv, state);
    c->mark[c->n_mark++] = (struct mark){ off, state };
}

/* ---- the cellar ------------------------------------------------------------------------------ */

/* Body of a file: key, tokens and marks of a node, its page, its states. */
struct label { uint64_t key; int32_t n, n_mark, off[MARKS], tok[KV_PAGE]; };

static uint64_t parent_hash(const struct prefix *p, const struct node *parent, uint64_t key)
{
    return parent == &p->root ? hash64(&key, sizeof key, 1) : parent->hash;
}

static bool save(struct prefix *p, struct node *n)
{
    struct label l = { .key = n->key, .n = n->n, .n_mark = n->n_mark };
    size_t bytes;
    memcpy(l.tok, n->tok, (size_t)n->n * sizeof *l.tok);
    for (int i = 0; i < n->n_mark; i++) l.off[i] = n->mark[i].off;
    str_clear(&p->buf);
    str_put(&p->buf, &l, sizeof l);
    const void *data = kv_page_data(p->kv, n->page, &bytes);
    str_put(&p->buf, data, bytes);
    for (int i = 0; i < n->n_mark; i++) {
        data = kv_state_data(p->kv, n->mark[i].state, &bytes);
        str_put(&p->buf, data, bytes);
    }
    n->saved = cellar_put(p->cellar, parent_hash(p, n->parent, n->key), n->hash, n->n, &p->buf);
    return n->saved;
}

bool prefix_save(struct prefix *p, bool all)
{
    if (!p->cellar) return false;
    for (struct node *n = after(p, &p->root); n; n = after(p, n))
        if (!n->saved && (all || n->again)) return save(p, n);
    return false;
}

/* A page for what comes from disk; the pages on the way to `at` are entered, so none of them goes. */
static int page_for(struct prefix *p)
{
    int page;
    while ((page = kv_page_take(p->kv)) < 0 && prefix_evict(p)) {}
    return page;
}

static struct node *put_back(struct prefix *p, struct node *parent, uint64_t key, struct bytes body)
{
    struct label l;
    size_t page_bytes, state_bytes, at = sizeof l;
    void *data = kv_page_data(p->kv, 0, &page_bytes);
    kv_state_data(p->kv, 0, &state_bytes);
    if (body.len < at + page_bytes) return NULL;
    memcpy(&l, body.p, sizeof l);
    if (l.key != key || l.n < 1 || l.n > KV_PAGE || l.n_mark < 0 || l.n_mark > MARKS) return NULL;
    if (body.len != at + page_bytes + (size_t)l.n_mark * state_bytes) return NULL;
    int page = page_for(p);
    if (page < 0) return NULL;
    data = kv_page_data(p->kv, page, &page_bytes);
    memcpy(data, body.p + at, page_bytes);
    struct node *n = prefix_add(p, parent, key, l.tok, l.n, page);
    kv_page_drop(p->kv, page);
    n->saved = true;
    at += page_bytes;
    for (int i = 0; i < l.n_mark; i++, at += state_bytes) {
        int state = kv_state_take(p->kv);
        if (state < 0) break;
        memcpy(kv_state_data(p->kv, state, &state_bytes), body.p + at, state_bytes);
        prefix_mark(p, n, l.off[i], state);
        kv_state_drop(p->kv, state);
    }
    return n;
}

/* The whole page of tok after `at`, from disk. */
static struct node *from_disk(struct prefix *p, struct node *at, uint64_t key, const int32_t *tok)
{
    struct bytes body;
    const struct cellar_file *f = p->cellar ? cellar_find(p->cellar, parent_hash(p, at, key), hash_after(at, key, tok, KV_PAGE), 0) : NULL;
    if (!f || !cellar_get(p->cellar, f, &p->buf, &body)) return NULL;
    struct node *n = put_back(p, at == &p->root ? NULL : at, key, body);
    return n && n->n == KV_PAGE && same_tokens(n->tok, tok, KV_PAGE) == KV_PAGE ? n : NULL;
}

/* Pages begun after `at` that are on disk and not in the tree. */
static void parts_from_disk(struct prefix *p, struct node *at, uint64_t key)
{
    const struct cellar_file *f;
    for (int i = 0; p->cellar && i < PARTS_MOST && (f = cellar_find(p->cellar, parent_hash(p, at, key), 0, i)); i++) {
        bool here = false;
        struct bytes body;
        for (const struct node *c = at->child; c && !here; c = c->next) here = c->hash == f->hash;
        if (!here && cellar_get(p->cellar, f, &p->buf, &body)) put_back(p, at == &p->root ? NULL : at, key, body);
    }
}

/* ---- finding, all in all --------------------------------------------------------------------- */

void prefix_find(struct prefix *p, uint64_t key, const int32_t *tok, int n, int *page, struct prefix_hit *hit)
{
    struct node *at = &p->root, *next;
    *hit = (struct prefix_hit){ .state = -1 };
    p->tick++;
    while (n - hit->len >= KV_PAGE) {
        if (!(next = child_of(at, key, tok + hit->len, KV_PAGE)) && !(next = from_disk(p, at, key, tok + hit->len))) break;
        prefix_enter(next);
        if (at != &p->root) prefix_leave(at);
        at = next;
        at->used = p->tick;
        at->again = true;
        page[hit->n_page++] = at->page;
        hit->len += KV_PAGE;
    }
    hit->node = at == &p->root ? NULL : at;
    hit->same = hit->len;
    parts_from_disk(p, at, key);
    find_part(p, at, key, tok + hit->len, n - hit->len, page, hit);
}
