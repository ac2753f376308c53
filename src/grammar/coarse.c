/* coarse.c -- the vocabulary as one automaton sees it: bytes that it does not tell apart are one.
 *
 * A walk along the trie of all tokens goes through "the" and "and" although a pattern of words and dots treats them alike.
 * Where letters are put together that an automaton never tells apart the same tokens make a trie of a tenth or a
 * hundredth of the nodes. It depends on the classes alone, so all states of an automaton share it, and all automata with
 * the same classes. Making one costs about as much as two long walks; so it is made when about as much has been walked, and
 * where little would be gained that is remembered instead. Any thread; those that nobody uses go first beyond the bound. */
#include "grammar/int.h"

enum { MOST_COARSE = 64, N_WALKED = 1024 };
enum { WORTH = 2 };                     /* nodes must become so many times fewer */
enum { DUE = 4 };                       /* made when this part of the whole trie has been walked */
struct coarse {
    struct vtrie t;                     /* n 0: not worth it */
    uint16_t kind[256];                 /* class of each byte; key is its hash, which says no more than where to look */
    uint64_t key, used;
    uint32_t refs;
    size_t bytes;
};
struct coarse_set {
    pthread_mutex_t lock;
    struct coarse *made[MOST_COARSE]; uint32_t n;
    struct { uint64_t key, nodes; } walked[N_WALKED];                 /* by key: what has been walked without */
    uint64_t clock;
    size_t bytes, limit;
};

/* ---- making one ------------------------------------------------------------------------------ */

struct kid { uint32_t node; uint16_t kind; };
struct making {
    const struct vtrie *all;
    const uint16_t *kind;
    struct vtrie *t; uint32_t n_list, cap;
    struct kid *kid; uint32_t n_kid, cap_kid;                         /* children of the nodes under way, those of a group together */
    struct kid *loose; uint32_t cap_loose;                            /* the same while they are sorted */
    uint32_t count[512];                                              /* [kind] 0 between calls */
};

static void room_for(struct kid **list, uint32_t *cap, uint32_t n)
{
    if (n <= *cap) return;
    *cap = n * 2;
    *list = mem_resize(*list, *cap * sizeof **list);
}

/* Appends the children of nodes kid[from, to) by kind; those with bytes that are no content have none. */
static void gather(struct making *k, uint32_t from, uint32_t to)
{
    const struct vtrie *all = k->all;
    uint32_t only = all->kid_off[k->kid[from].node];
    if (to == from + 1 && all->kid_off[k->kid[from].node + 1] == only + 1) {   /* most have one child */
        uint16_t kind = k->kind[all->kid_byte[only]];
        room_for(&k->kid, &k->cap_kid, k->n_kid + 1);
        if (kind) k->kid[k->n_kid++] = (struct kid){ all->kid[only], kind };
        return;
    }
    uint16_t kinds[256];
    uint32_t n = 0, n_kinds = 0, at = k->n_kid;
    for (uint32_t i = from; i < to; i++) {
        uint32_t lo = all->kid_off[k->kid[i].node], hi = all->kid_off[k->kid[i].node + 1];
        room_for(&k->loose, &k->cap_loose, n + hi - lo);
        for (uint32_t j = lo; j < hi; j++) {
            uint16_t kind = k->kind[all->kid_byte[j]];
            if (!kind) continue;
            if (!k->count[kind]++) kinds[n_kinds++] = kind;
            k->loose[n++] = (struct kid){ all->kid[j], kind };
        }
    }
    room_for(&k->kid, &k->cap_kid, k->n_kid + n);
    for (uint32_t i = 0; i < n_kinds; i++) {            /* counts become places */
        uint32_t here = k->count[kinds[i]];
        k->count[kinds[i]] = at;
        at += here;
    }
    for (uint32_t i = 0; i < n; i++) k->kid[k->count[k->loose[i].kind]++] = k->loose[i];
    for (uint32_t i = 0; i < n_kinds; i++) k->count[kinds[i]] = 0;
    k->n_kid += n;
}

/* One node of the nodes kid[from, to). *more: something lies below. */
static uint32_t node_add(struct making *k, uint32_t from, uint32_t to, uint16_t depth, bool *more)
{
    const struct vtrie *all = k->all;
    struct vtrie *t = k->t;
    uint32_t id = t->n++;
    t->byte[id] = all->byte[k->kid[from].node - 1];
    t->depth[id] = depth;
    t->first[id] = k->n_list;
    t->below[id] = (struct bytemap){ 0 };
    t->leads[id] = 0;
    t->tall[id] = (uint8_t)MIN(depth, 255);
    *more = false;
    for (uint32_t i = from; i < to; i++) {
        uint32_t x = k->kid[i].node - 1;
        *more |= all->skip[x] > x + 1;
        for (uint32_t j = all->first[x]; j < all->first[x + 1]; j++) t->list[k->n_list++] = all->list[j];
    }
    return id;
}

/* One byte of each kind says enough of what lies below: nobody tells it from the others. */
static void add_below(struct vtrie *t, uint32_t parent, uint32_t id)
{
    t->below[parent].w[0] |= t->below[id].w[0];
    t->below[parent].w[1] |= t->below[id].w[1];
    bytemap_add(&t->below[parent], t->byte[id]);
    t->leads[parent] |= t->leads[id] | (t->byte[id] >= 0xc0 ? 1ull << (t->byte[id] - 0xc0) : 0);
    t->tall[parent] = MAX(t->tall[parent], t->tall[id]);
}

/* What lies below nodes kid[from, to), which are node `parent` (NONE: the root). False: too many nodes. */
static bool make_below(struct making *k, uint32_t from, uint32_t to, uint16_t depth, uint32_t parent)
{
    uint32_t at = k->n_kid;
    gather(k, from, to);
    uint32_t end = k->n_kid;
    for (uint32_t i = at, next; i < end; i = next) {
        for (next = i + 1; next < end && k->kid[next].kind == k->kid[i].kind;) next++;
        if (k->t->n + 1 >= k->cap) return false;
        bool more;
        uint32_t id = node_add(k, i, next, depth, &more);
        if (more && !make_below(k, i, next, (uint16_t)(depth + 1), id)) return false;
        if (k->n_list == k->t->first[id]) {             /* no token of nothing but content */
            k->t->n = id;
            continue;
        }
        k->t->skip[id] = k->t->n;
        if (parent != NONE) add_below(k->t, parent, id);
    }
    k->n_kid = at;
    return true;
}

static void vtrie_alloc(struct vtrie *t, uint32_t cap, uint32_t n_list)
{
    t->byte = mem_alloc(cap);
    t->depth = mem_alloc(cap * sizeof *t->depth);
    t->skip = mem_alloc(cap * sizeof *t->skip);
    t->first = mem_alloc(cap * sizeof *t->first);
    t->below = mem_alloc(cap * sizeof *t->below);
    t->leads = mem_alloc(cap * sizeof *t->leads);
    t->tall = mem_alloc(cap);
    t->list = mem_alloc((n_list + 1) * sizeof *t->list);
}

static void vtrie_free(struct vtrie *t)
{
    void *part[] = { t->byte, t->depth, t->skip, t->first, t->below, t->leads, t->tall, t->list };
    for (size_t i = 0; i < LEN(part); i++) mem_free(part[i]);
    *t = (struct vtrie){ 0 };
}

/* Gives back what was not needed. */
static size_t vtrie_fit(struct vtrie *t, uint32_t n_list)
{
    uint32_t n = t->n + 1;
    t->byte = mem_resize(t->byte, n);
    t->depth = mem_resize(t->depth, n * sizeof *t->depth);
    t->skip = mem_resize(t->skip, n * sizeof *t->skip);
    t->first = mem_resize(t->first, n * sizeof *t->first);
    t->below = mem_resize(t->below, n * sizeof *t->below);
    t->leads = mem_resize(t->leads, n * sizeof *t->leads);
    t->tall = mem_resize(t->tall, n);
    t->list = mem_resize(t->list, (n_list + 1) * sizeof *t->list);
    size_t one = 2 + sizeof *t->depth + sizeof *t->skip + sizeof *t->first + sizeof *t->below + sizeof *t->leads;
    return n * one + (n_list + 1) * sizeof *t->list;
}

static struct coarse *make(const struct vtrie *all, const uint16_t *kind, uint64_t key)
{
    struct coarse *c = mem_zero(sizeof *c);
    struct making k = { .all = all, .kind = kind, .t = &c->t, .cap = all->n / WORTH + 1 };
    c->key = key;
    memcpy(c->kind, kind, sizeof c->kind);
    vtrie_alloc(&c->t, k.cap, all->first[all->n]);
    room_for(&k.kid, &k.cap_kid, 1);
    k.kid[k.n_kid++] = (struct kid){ 0 };               /* the root */
    if (make_below(&k, 0, 1, 1, NONE)) {
        c->t.first[c->t.n] = k.n_list;
        c->bytes = vtrie_fit(&c->t, k.n_list);
    } else vtrie_free(&c->t);
    c->bytes += sizeof *c;
    mem_free(k.kid);
    mem_free(k.loose);
    return c;
}

/* ---- those that are kept --------------------------------------------------------------------- */

struct coarse_set *coarse_open(size_t limit)
{
    struct coarse_set *s = mem_zero(sizeof *s);
    s->limit = limit;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static void drop(struct coarse_set *s, uint32_t at)
{
    struct coarse *c = s->made[at];
    s->made[at] = s->made[--s->n];
    s->bytes -= c->bytes;
    vtrie_free(&c->t);
    mem_free(c);
}

void coarse_close(struct coarse_set *s)
{
    if (!s) return;
    while (s->n) drop(s, 0);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

static struct coarse *find(struct coarse_set *s, const uint16_t kind[256], uint64_t key)
{
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->made[i]->key != key || memcmp(s->made[i]->kind, kind, sizeof s->made[i]->kind)) continue;
        s->made[i]->used = ++s->clock;
        return s->made[i];
    }
    return NULL;
}

/* One that nobody uses and nobody used for the longest time; false: all are in use. */
static bool drop_oldest(struct coarse_set *s)
{
    uint32_t at = NONE;
    for (uint32_t i = 0; i < s->n; i++)
        if (!s->made[i]->refs && (at == NONE || s->made[i]->used < s->made[at]->used)) at = i;
    if (at != NONE) drop(s, at);
    return at != NONE;
}

static struct coarse *insert(struct coarse_set *s, struct coarse *c)
{
    struct coarse *other = find(s, c->kind, c->key);             /* another thread may have been first */
    while (!other && (s->n == MOST_COARSE || s->bytes + c->bytes > s->limit) && drop_oldest(s)) continue;
    if (other || s->n == MOST_COARSE) {
        vtrie_free(&c->t);
        mem_free(c);
        return other;
    }
    c->used = ++s->clock;
    s->bytes += c->bytes;
    return s->made[s->n++] = c;
}

/* Has as much been walked as making one costs? */
static bool is_due(struct coarse_set *s, uint64_t key, uint64_t nodes, uint64_t due)
{
    uint32_t at = (uint32_t)(key % N_WALKED);
    if (s->walked[at].key != key) s->walked[at].nodes = 0;
    s->walked[at].key = key;
    s->walked[at].nodes += nodes;
    return s->walked[at].nodes >= due;
}

const struct coarse *coarse_get(const struct vocab *v, const uint16_t kind[256], uint64_t walked)
{
    struct coarse_set *s = v->coarse;
    uint64_t key = hash64(kind, 256 * sizeof *kind, 0xc0a5);
    pthread_mutex_lock(&s->lock);
    struct coarse *c = find(s, kind, key);
    if (!c && walked && is_due(s, key, walked, MAX(v->all.n / DUE, 64u))) {
        pthread_mutex_unlock(&s->lock);
        struct coarse *made = make(&v->all, kind, key);
        pthread_mutex_lock(&s->lock);
        c = insert(s, made);
    }
    if (c && !c->t.n) c = NULL;
    if (c) c->refs++;
    pthread_mutex_unlock(&s->lock);
    return c;
}

const struct vtrie *coarse_trie(const struct coarse *c) { return &c->t; }

void coarse_put(const struct vocab *v, const struct coarse *c)
{
    if (!c) return;
    pthread_mutex_lock(&v->coarse->lock);
    ((struct coarse *)c)->refs--;
    pthread_mutex_unlock(&v->coarse->lock);
}

size_t coarse_bytes(const struct coarse_set *s, size_t *limit)
{
    pthread_mutex_lock((pthread_mutex_t *)&s->lock);
    size_t bytes = s->bytes;
    pthread_mutex_unlock((pthread_mutex_t *)&s->lock);
    *limit = s->limit;
    return bytes;
}
