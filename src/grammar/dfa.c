/* dfa.c -- automata over terms: states numbered as they are met, rows filled on first use, and the
 * process-wide cache that makes the same parts the same object.
 *
 * A finished state never changes but for row entries, which go from "not known" to a number that is
 * written after the state it names: readers need no lock. An automaton at its bound of states or of
 * fuel answers DFA_DEAD for what it cannot compute: too strict, never wrong. */
#include <stdlib.h>

#include "grammar/dfa_int.h"

/* ---- states ---------------------------------------------------------------------------------- */

const struct dfa_state *dfa_state(const struct dfa *d, uint32_t state)
{
    uint32_t at, k = chunk_of(state, &at);
    return &d->chunk[k][at];
}

bool dfa_accepts(const struct dfa *d, uint32_t state) { return dfa_state(d, state)->accepts; }
uint64_t dfa_id(const struct dfa *d) { return d->id; }
bool dfa_empty(const struct dfa *d) { return d->empty; }
const uint8_t *dfa_classes(const struct dfa *d) { return d->s.cls; }
uint32_t dfa_n_class(const struct dfa *d) { return d->s.n_class; }
size_t dfa_bytes(const struct dfa *d) { return atomic_load_explicit(&d->bytes, memory_order_relaxed); }
size_t dfa_n_state(const struct dfa *d) { return __atomic_load_n(&d->n_state, __ATOMIC_RELAXED); }

static size_t held(const struct dfa *d)
{
    const struct terms *s = &d->s;
    return sizeof *d + d->key_len + s->bytes + s->cap_list * 4 + s->cap_set * sizeof *s->set + s->cap_tmp * 4 +
           d->cap_term * 4 + d->n_answer * sizeof *d->answer + d->n_state * (sizeof(struct dfa_state) + sizeof(struct lens_slot) + 4 + s->n_class * 4);
}

const struct dfa_lens *dfa_lens(const struct dfa *cd, uint32_t state)
{
    struct dfa *d = (struct dfa *)cd;                   /* what is found out under the lock */
    uint32_t at, k = chunk_of(state, &at);
    struct lens_slot *l = &d->lens[k][at];
    if (dfa_lens_known(d, state)) return &l->at;
    pthread_mutex_lock(&d->lock);
    if (!l->known) {
        d->s.fuel = STEP_FUEL;
        facts_search(d, term_of(d, state), &l->at);
        d->s.n_tmp = 0;
        atomic_store_explicit(&d->bytes, held(d), memory_order_relaxed);
        atomic_store_explicit(&l->known, true, memory_order_release);
    }
    pthread_mutex_unlock(&d->lock);
    return &l->at;
}

static uint32_t new_state(struct dfa *d, uint32_t term, uint32_t row_value)
{
    uint32_t id = d->n_state, at, k = chunk_of(id, &at);
    if (!d->chunk[k]) {
        d->term_of[k] = mem_zero((8u << k) * sizeof(uint32_t));
        d->lens[k] = mem_zero((8u << k) * sizeof *d->lens[k]);
        struct dfa_state *chunk = mem_zero((8u << k) * sizeof *chunk);
        __atomic_store_n(&d->chunk[k], chunk, __ATOMIC_RELEASE);
    }
    struct dfa_state *st = &d->chunk[k][at];
    st->row = arena_alloc(&d->rows, d->s.n_class * sizeof *st->row);
    for (uint32_t c = 0; c < d->s.n_class; c++) st->row[c] = row_value;
    d->term_of[k][at] = term;
    facts_fill(d, term, st);
    atomic_init(&d->lens[k][at].known, facts_plain(d, term, &d->lens[k][at].at));
    __atomic_store_n(&d->n_state, id + 1, __ATOMIC_RELAXED);
    return id;
}

/* The state of a term; DFA_DEAD where nothing can follow or there are too many. */
static uint32_t state_for(struct dfa *d, uint32_t term)
{
    if (term == d->s.valid) term = ALL;
    if (term < d->cap_term && d->state_of[term]) return d->state_of[term];
    if (!facts_alive(d, term) || d->n_state >= STATE_MOST) return DFA_DEAD;
    uint32_t id = new_state(d, term, UINT32_MAX);
    if (term >= d->cap_term) {
        uint32_t cap = MAX(term + 1 + term / 2, 64u);
        d->state_of = mem_resize(d->state_of, cap * sizeof *d->state_of);
        memset(d->state_of + d->cap_term, 0, (cap - d->cap_term) * sizeof *d->state_of);
        d->cap_term = cap;
    }
    d->state_of[term] = id;
    return id;
}

uint32_t dfa_fill(struct dfa *d, uint32_t state, uint8_t b)
{
    uint32_t c = d->s.cls[b];
    uint32_t *slot = &dfa_state(d, state)->row[c];
    pthread_mutex_lock(&d->lock);
    uint32_t to = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    if (to == UINT32_MAX) {
        d->s.fuel = STEP_FUEL;
        uint32_t term = d->kind[c] == K_NEVER ? EMPTY : term_derive(&d->s, term_of(d, state), c);
        to = d->s.broken ? DFA_DEAD : state_for(d, term);
        d->s.broken = false;
        d->s.n_tmp = 0;
        __atomic_store_n(slot, to, __ATOMIC_RELEASE);
        atomic_store_explicit(&d->bytes, held(d), memory_order_relaxed);
    }
    pthread_mutex_unlock(&d->lock);
    return to;
}

bool dfa_match(struct dfa *d, const char *text, size_t len)
{
    uint32_t state = DFA_START;
    for (size_t i = 0; i < len && state; i++) state = dfa_step(d, d->s.cls, state, (uint8_t)text[i]);
    return state && dfa_accepts(d, state);
}

/* ---- parts to one term ------------------------------------------------------------------------ */

static int by_text(const void *x, const void *y)
{
    const struct re_part *a = x, *b = y;
    int c = memcmp(a->p, b->p, MIN(a->len, b->len));
    return c ? c : (a->len > b->len) - (a->len < b->len);
}

static int by_part(const void *x, const void *y)
{
    const struct re_part *a = x, *b = y;
    if (a->group != b->group) return a->group < b->group ? -1 : 1;
    if (a->kind != b->kind) return (int)a->kind - (int)b->kind;
    return a->negate != b->negate ? a->negate - b->negate : by_text(x, y);
}

/* Sorted literals as a trie: one branch a first byte, shared beginnings once. */
static uint32_t trie(struct terms *s, const struct re_part *x, uint32_t n, size_t at)
{
    if (n == 0) return EMPTY;
    size_t same = at, most = MIN(x[0].len, x[n - 1].len);
    while (same < most && x[0].p[same] == x[n - 1].p[same]) same++;
    uint32_t n_kid = 1, i = 0;
    for (uint32_t k = 1; k < n; k++) n_kid += x[k].len > same && (x[k - 1].len <= same || x[k].p[same] != x[k - 1].p[same]);
    uint32_t *kid = mem_alloc((n_kid + 1) * sizeof *kid);
    n_kid = 0;
    for (; i < n && x[i].len == same; i++) kid[0] = EPS, n_kid = 1;
    while (i < n) {
        uint32_t from = i;
        while (i < n && x[i].p[same] == x[from].p[same]) i++;
        struct bset one = { { 0 } };
        bset_add(&one, (uint8_t)x[from].p[same]);
        kid[n_kid++] = term_cat(s, term_set(s, &one), trie(s, x + from, i - from, same + 1));
    }
    uint32_t out = term_alt(s, kid, n_kid);
    mem_free(kid);
    return term_bytes(s, x[0].p + at, same - at, out);
}

static bool any_term(struct terms *s, const struct re_part *p, uint32_t *out, struct err *e);

static bool part_term(struct terms *s, const struct re_part *p, uint32_t *out, struct err *e)
{
    const char *pattern = p->p;
    size_t len = p->len;
    *out = ALL;
    if (p->kind == RE_LITERAL) {
        *out = term_bytes(s, p->p, p->len, EPS);
    } else if (p->kind == RE_ANY) {
        if (!any_term(s, p, out, e)) return false;
    } else {
        char name[64];
        if (p->kind == RE_FORMAT) {
            snprintf(name, sizeof name, "%.*s", (int)MIN(len, sizeof name - 1), pattern);
            pattern = len < sizeof name ? format_pattern(name) : NULL;
            len = pattern ? strlen(pattern) : 0;
            if (!pattern) { if (p->negate) *out = EMPTY; return true; }
        }
        if (!re_build(s, pattern, len, p->kind != RE_PATTERN, out, e)) return false;
    }
    if (p->negate) *out = term_not(s, *out);
    return true;
}

/* The intersection of the sorted parts of one group. */
static bool group_term(struct terms *s, const struct re_part *part, uint32_t n, uint32_t *out, struct err *e)
{
    uint32_t *kid = mem_alloc((n + 2) * sizeof *kid), n_kid = 0;
    bool ok = true;
    for (uint32_t i = 0; i < n && ok; i++) {
        uint32_t k = i;
        while (k < n && part[k].kind == RE_LITERAL && part[k].negate) k++;
        if (k > i) {
            kid[n_kid++] = term_not(s, trie(s, part + i, k - i, 0));
            i = k - 1;
        } else {
            ok = part_term(s, &part[i], &kid[n_kid++], e);
        }
    }
    if (ok) {
        kid[n_kid++] = s->valid;
        *out = term_and(s, kid, n_kid);
        if (s->broken) ok = err_set(e, ERR_LIMIT, "the pattern is too large");
    }
    mem_free(kid);
    return ok;
}

struct groups { uint32_t *term, n, cap; };
static bool group_terms(struct terms *s, const struct re_part *part, uint32_t n, struct groups *out, struct err *e)
{
    uint32_t i = 0;
    do {
        uint32_t k = i, term;
        while (k < n && part[k].group == part[i].group) k++;
        if (!group_term(s, part + i, k - i, &term, e)) return false;
        MEM_GROW(out->term, out->n, out->cap);
        out->term[out->n++] = term;
        i = k;
    } while (i < n);
    return true;
}

/* ---- parts in parts ------------------------------------------------------------------------------ */

enum { PART_HEAD = 10 };                /* kind, sign, group, length; then the text */

/* Into out, if it is not NULL; the length. */
static size_t parts_write(char *out, const struct re_part *part, uint32_t n)
{
    size_t len = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t size = (uint32_t)part[i].len;
        if (out) {
            char *at = out + len;
            at[0] = (char)part[i].kind;
            at[1] = (char)part[i].negate;
            memcpy(at + 2, &part[i].group, 4);
            memcpy(at + 6, &size, 4);
            if (size) memcpy(at + PART_HEAD, part[i].p, size);
        }
        len += PART_HEAD + size;
    }
    return len;
}

size_t re_pack(char *out, struct re_part *part, uint32_t n)
{
    if (out) qsort(part, n, sizeof *part, by_part);
    return parts_write(out, part, n);
}

/* The next of packed parts; false: there is none. */
static bool unpack(const char **at, const char *end, struct re_part *part)
{
    if (*at == end) return false;
    uint32_t size;
    memcpy(&part->group, *at + 2, 4);
    memcpy(&size, *at + 6, 4);
    part->kind = (enum re_kind)(*at)[0];
    part->negate = (*at)[1];
    part->p = *at + PART_HEAD;
    part->len = size;
    *at += PART_HEAD + size;
    return true;
}

static bool any_term(struct terms *s, const struct re_part *p, uint32_t *out, struct err *e)
{
    struct re_part *part = NULL, next;
    uint32_t n = 0, cap = 0;
    struct groups group = { 0 };
    for (const char *at = p->p; unpack(&at, p->p + p->len, &next); n++) {
        MEM_GROW(part, n, cap);
        part[n] = next;
    }
    bool ok = group_terms(s, part, n, &group, e);
    if (ok) *out = term_alt(s, group.term, group.n);
    mem_free(group.term);
    mem_free(part);
    return ok;
}

/* The union of those groups that have any text: one that has none would be carried along for ever. */
static uint32_t live_groups(struct dfa *d, struct groups *g)
{
    uint32_t n = 0;
    d->s.fuel = STEP_FUEL;
    for (uint32_t i = 0; i < g->n; i++)
        if (facts_alive(d, g->term[i])) g->term[n++] = g->term[i];
    return term_alt(&d->s, g->term, n);
}

/* A counted repetition of single code points, one of several things that must hold: how long the text is, and which code
 * points it is made of. The count goes to lo and hi. */
static uint32_t without_count(struct dfa *d, uint32_t term)
{
    struct terms *s = &d->s;
    const struct term t = *term_at(s, term);
    if (t.op != T_REP || (!t.min && t.max == INF)) return term;
    const struct term *one = term_at(s, t.a);
    if (one->complex || one->min_len != 1 || one->max_len != 1) return term;
    d->lo = MAX(d->lo, t.min);
    d->hi = MIN(d->hi, t.max);
    return t.a == s->any ? s->valid : term_rep(s, t.a, 0, INF);
}

static uint32_t without_counts(struct dfa *d, uint32_t root)
{
    struct terms *s = &d->s;
    const struct term t = *term_at(s, root);
    if (t.op != T_AND) return root;
    uint32_t *kid = mem_dup(s->list + t.a, t.b * sizeof *kid);
    for (uint32_t i = 0; i < t.b; i++) kid[i] = without_count(d, kid[i]);
    uint32_t out = term_and(s, kid, t.b);
    mem_free(kid);
    return out;
}

/* ---- one automaton ----------------------------------------------------------------------------- */

static void destroy(struct dfa *d)
{
    for (int k = 0; k < N_CHUNK; k++) {
        mem_free(d->chunk[k]);
        mem_free(d->term_of[k]);
        mem_free(d->lens[k]);
    }
    terms_done(&d->s);
    arena_done(&d->rows);
    mem_free(d->state_of);
    mem_free(d->answer);
    mem_free(d->key);
    pthread_mutex_destroy(&d->lock);
    mem_free(d);
}

static struct dfa *make(const struct re_part *part, uint32_t n, bool counted, struct err *e)
{
    static _Atomic uint64_t last_id;
    struct dfa *d = mem_zero(sizeof *d);
    struct groups group = { 0 };
    pthread_mutex_init(&d->lock, NULL);
    arena_init(&d->rows, 1024);
    terms_init(&d->s);
    d->id = atomic_fetch_add(&last_id, 1) + 1;
    if (!group_terms(&d->s, part, n, &group, e)) {
        mem_free(group.term);
        destroy(d);
        return NULL;
    }
    d->hi = INF;
    if (counted && group.n == 1) group.term[0] = without_counts(d, group.term[0]);
    terms_classes(&d->s);
    facts_classes(d);
    uint32_t root = group.n == 1 ? group.term[0] : live_groups(d, &group);
    mem_free(group.term);
    d->s.fuel = STEP_FUEL;
    new_state(d, EMPTY, DFA_DEAD);
    d->empty = state_for(d, root) == DFA_DEAD;
    if (d->empty) new_state(d, EMPTY, DFA_DEAD);
    d->s.broken = false;
    return d;
}

/* ---- the cache --------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    struct dfa **bucket;
    uint32_t n_bucket, n;
    struct dfa *newest, *oldest;        /* that nobody holds */
    size_t limit, unused;               /* bytes of those */
} cache = { .lock = PTHREAD_MUTEX_INITIALIZER, .limit = 64u << 20 };

static void unlink_unused(struct dfa *d)
{
    if (d->newer) d->newer->older = d->older;
    else cache.newest = d->older;
    if (d->older) d->older->newer = d->newer;
    else cache.oldest = d->newer;
    d->newer = d->older = NULL;
    cache.unused -= dfa_bytes(d);
}

static void forget(struct dfa *d)
{
    struct dfa **at = &cache.bucket[d->hash & (cache.n_bucket - 1)];
    while (*at != d) at = &(*at)->chain;
    *at = d->chain;
    cache.n--;
    unlink_unused(d);
    destroy(d);
}

static void evict(void)
{
    while (cache.oldest && cache.unused > cache.limit) forget(cache.oldest);
}

static struct dfa *look_up(uint64_t hash, const char *key, size_t len)
{
    struct dfa *d = cache.n_bucket ? cache.bucket[hash & (cache.n_bucket - 1)] : NULL;
    while (d && (d->hash != hash || d->key_len != len || memcmp(d->key, key, len))) d = d->chain;
    if (d && d->refs++ == 0) unlink_unused(d);
    return d;
}

static void insert(struct dfa *d)
{
    if (cache.n >= cache.n_bucket) {
        uint32_t n = cache.n_bucket ? cache.n_bucket * 2 : 256;
        struct dfa **bucket = mem_zero(n * sizeof *bucket);
        for (uint32_t i = 0; i < cache.n_bucket; i++)
            for (struct dfa *x = cache.bucket[i], *next; x; x = next) {
                next = x->chain;
                x->chain = bucket[x->hash & (n - 1)];
                bucket[x->hash & (n - 1)] = x;
            }
        mem_free(cache.bucket);
        cache.bucket = bucket;
        cache.n_bucket = n;
    }
    d->chain = cache.bucket[d->hash & (cache.n_bucket - 1)];
    cache.bucket[d->hash & (cache.n_bucket - 1)] = d;
    cache.n++;
}

/* How it is opened; kind, sign, group, length and text of every part: the same parts give the same bytes. */
static char *key_of(const struct re_part *part, uint32_t n, bool counted, char *few, size_t cap, size_t *len)
{
    size_t need = 1;
    for (uint32_t i = 0; i < n; i++) need += part[i].len + PART_HEAD;
    char *key = need <= cap ? few : mem_alloc(need);
    key[0] = (char)counted;
    parts_write(key + 1, part, n);
    *len = need;
    return key;
}

static struct dfa *open_sorted(const struct re_part *part, uint32_t n, bool counted, struct err *e)
{
    char few[512];
    size_t len;
    char *key = key_of(part, n, counted, few, sizeof few, &len);
    uint64_t hash = hash64(key, len, 0);
    pthread_mutex_lock(&cache.lock);
    struct dfa *d = look_up(hash, key, len);
    pthread_mutex_unlock(&cache.lock);
    if (!d) {
        struct dfa *made = make(part, n, counted, e);
        if (made) {
            made->hash = hash;
            made->key = mem_dup(key, len);
            made->key_len = len;
            made->refs = 1;
            atomic_store_explicit(&made->bytes, held(made), memory_order_relaxed);
            pthread_mutex_lock(&cache.lock);
            d = look_up(hash, key, len);                               /* another thread may have been first */
            if (!d) insert(made);
            pthread_mutex_unlock(&cache.lock);
            if (d) destroy(made);
            else d = made;
        }
    }
    if (key != few) mem_free(key);
    return d;
}

static struct dfa *open_parts(const struct re_part *part, uint32_t n, bool counted, struct err *e)
{
    if (n <= 1) return open_sorted(part, n, counted, e);
    struct re_part few[16], *sorted = n <= LEN(few) ? few : mem_alloc(n * sizeof *sorted);
    memcpy(sorted, part, n * sizeof *sorted);
    if (n <= LEN(few)) {
        for (uint32_t i = 1; i < n; i++) {
            struct re_part x = sorted[i];
            uint32_t k = i;
            for (; k && by_part(&sorted[k - 1], &x) > 0; k--) sorted[k] = sorted[k - 1];
            sorted[k] = x;
        }
    } else {
        qsort(sorted, n, sizeof *sorted, by_part);
    }
    struct dfa *d = open_sorted(sorted, n, counted, e);
    if (sorted != few) mem_free(sorted);
    return d;
}

struct dfa *dfa_open(const struct re_part *part, uint32_t n, struct err *e)
{
    return open_parts(part, n, false, e);
}

struct dfa *dfa_open_counted(const struct re_part *part, uint32_t n, uint32_t *min, uint32_t *max, struct err *e)
{
    struct dfa *d = open_parts(part, n, true, e);
    if (!d) return NULL;
    *min = MAX(*min, d->lo);
    *max = MIN(*max, d->hi);
    return d;
}

void dfa_close(struct dfa *d)
{
    if (!d) return;
    pthread_mutex_lock(&cache.lock);
    if (--d->refs == 0) {
        d->older = cache.newest;
        d->newer = NULL;
        if (cache.newest) cache.newest->newer = d;
        else cache.oldest = d;
        cache.newest = d;
        cache.unused += dfa_bytes(d);
        evict();
    }
    pthread_mutex_unlock(&cache.lock);
}
