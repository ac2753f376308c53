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
 * leaf that was not used for longest; a node that a running sequence has entered stays. */
#include "gen/sched_int.h"

#define MARKS 4                                                       /* states kept in one page */

struct mark { int off, state; };
struct node {
    struct node *parent, *child, *next;                               /* next: sibling */
    uint64_t key, used;
    int n, page, users, n_mark;
    struct mark mark[MARKS];
    int32_t tok[KV_PAGE];
};
struct prefix {
    struct kv *kv;
    struct node root;                                                 /* holds no page */
    uint64_t tick;
    struct prefix_count count;
};

struct prefix *prefix_open(struct kv *kv)
{
    struct prefix *p = mem_zero(sizeof *p);
    p->kv = kv;
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
    p->count.evicted++;
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
    mem_free(p);
}

const struct prefix_count *prefix_counts(const struct prefix *p) { return &p->count; }

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
    page[hit->n_page++] = in->page;
    hit->len += best;
}

void prefix_find(struct prefix *p, uint64_t key, const int32_t *tok, int n, int *page, struct prefix_hit *hit)
{
    struct node *at = &p->root, *next;
    *hit = (struct prefix_hit){ .state = -1 };
    p->tick++;
    while (n - hit->len >= KV_PAGE && (next = child_of(at, key, tok + hit->len, KV_PAGE))) {
        at = next;
        at->used = p->tick;
        page[hit->n_page++] = at->page;
        hit->len += KV_PAGE;
    }
    hit->node = at == &p->root ? NULL : at;
    hit->same = hit->len;
    prefix_enter(hit->node);
    find_part(p, at, key, tok + hit->len, n - hit->len, page, hit);
}

/* ---- keeping --------------------------------------------------------------------------------- */

void prefix_enter(struct node *node) { if (node) node->users++; }
void prefix_leave(struct node *node) { if (node) node->users--; }

struct node *prefix_add(struct prefix *p, struct node *parent, uint64_t key, const int32_t *tok, int n, int page)
{
    struct node *up = parent ? parent : &p->root, *c = child_of(up, key, tok, n);
    if (!c) {
        c = mem_zero(sizeof *c);
        *c = (struct node){ .parent = up, .next = up->child, .key = key, .n = n, .page = page };
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
    kv_state_hold(p->kv, state);
    c->mark[c->n_mark++] = (struct mark){ off, state };
}
