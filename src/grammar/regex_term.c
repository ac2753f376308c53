/* regex_term.c -- hash-consed terms over bytes: one number per language written the same way.
 *
 * The makers simplify as they build: laws of nothing, of the empty text and of all texts; lists
 * flattened, sorted and without doubles; byte sets merged; neighbouring and alternative counts of
 * one body joined. That keeps the derivatives of a pattern few, and counts are never unrolled:
 * X{m,n} derives to X'·X{m-1,n-1}. A T_REF stands for a loop whose rest is looked at by an assertion.
 *
 * Texts are well-formed UTF-8, so ALL may mean all byte strings; a complement stands beside `valid`.
 * Running out of fuel or room sets `broken` and makes EMPTY of everything. */
#include <pthread.h>
#include <stdlib.h>

#include "grammar/regex_int.h"

enum { TERM_MOST = 1 << 20, LIST_MOST = 1 << 24, MEMO_MOST = 1 << 20 };
#define SUM_MOST (1u << 31)

/* ---- the store ------------------------------------------------------------------------------- */

static uint32_t mix(uint64_t x)
{
    x *= 0x9E3779B97F4A7C15ULL;
    x ^= x >> 29;
    x *= 0xBF58476D1CE4E5B9ULL;
    return (uint32_t)(x >> 32);
}

static uint32_t hash_of(const struct terms *s, const struct term *t)
{
    uint32_t h = mix(t->op + 1);
    if (t->op == T_ALT || t->op == T_AND) {
        for (uint32_t i = 0; i < t->b; i++) h = mix((uint64_t)h << 32 | s->list[t->a + i]);
        return h;
    }
    if (t->op == T_SET) {
        const uint64_t *w = s->set[t->set].w;
        return mix(w[0] + mix(w[1] + mix(w[2] + mix(w[3] + h))));
    }
    h = mix((uint64_t)h << 32 | t->a);
    h = mix((uint64_t)h << 32 | t->b);
    h = mix((uint64_t)h << 32 | t->min);
    return mix((uint64_t)h << 32 | t->max);
}

static bool same(const struct terms *s, const struct term *x, const struct term *y)
{
    if (x->hash != y->hash || x->op != y->op || x->b != y->b) return false;
    if (x->op == T_ALT || x->op == T_AND)
        return x->a == y->a || !memcmp(s->list + x->a, s->list + y->a, x->b * sizeof(uint32_t));
    if (x->op == T_SET) return !memcmp(&s->set[x->set], &s->set[y->set], sizeof *s->set);
    return x->a == y->a && x->min == y->min && x->max == y->max;
}

static void rehash(struct terms *s)
{
    s->bytes += s->n_bucket * sizeof *s->bucket;
    s->n_bucket *= 2;
    s->bucket = mem_resize(s->bucket, s->n_bucket * sizeof *s->bucket);
    memset(s->bucket, 0, s->n_bucket * sizeof *s->bucket);
    for (uint32_t i = 1; i < s->n; i++) {
        struct term *t = term_at(s, i);
        uint32_t k = t->hash & (s->n_bucket - 1);
        t->chain = s->bucket[k];
        s->bucket[k] = i;
    }
}

static void facts(const struct terms *s, struct term *t);

/* The number of this term; the list of an ALT or AND lies at the end of s->list and goes when it is known. */
static uint32_t intern(struct terms *s, struct term *t)
{
    t->hash = hash_of(s, t);
    bool lists = t->op == T_ALT || t->op == T_AND;
    for (uint32_t i = s->bucket[t->hash & (s->n_bucket - 1)]; i; i = term_at(s, i)->chain)
        if (same(s, term_at(s, i), t)) {
            if (lists) s->n_list = t->a;
            return i;
        }
    if (s->n >= TERM_MOST || s->n_list > LIST_MOST || s->fuel == 0) {
        s->broken = true;
        if (lists) s->n_list = t->a;
        return EMPTY;
    }
    s->fuel--;
    if (s->n >= s->n_bucket) rehash(s);
    if (s->n == s->n_chunk * TERM_CHUNK) {
        MEM_GROW(s->chunk, s->n_chunk, s->cap_chunk);
        s->chunk[s->n_chunk++] = mem_alloc(TERM_CHUNK * sizeof **s->chunk);
        s->bytes += TERM_CHUNK * sizeof **s->chunk;
    }
    if (t->op != T_REF) facts(s, t);
    uint32_t k = t->hash & (s->n_bucket - 1);
    t->chain = s->bucket[k];
    *term_at(s, s->n) = *t;
    s->bucket[k] = s->n;
    return s->n++;
}

/* What every store begins with, made once a process. */
static struct terms first_store;

static void make_base(void)
{
    struct terms *s = &first_store;
    s->n_bucket = 64;
    s->bucket = mem_zero(s->n_bucket * sizeof *s->bucket);
    s->fuel = TERM_MOST;
    /* EMPTY is number 0, which no chain holds: nobody looks it up. */
    intern(s, &(struct term){ .op = T_EMPTY });
    s->bucket[term_at(s, EMPTY)->hash & (s->n_bucket - 1)] = 0;
    intern(s, &(struct term){ .op = T_EPS });
    intern(s, &(struct term){ .op = T_ALL });
    struct bset more = { { 0, 0, ~0ULL, 0 } };
    s->full[0] = EPS;
    for (int i = 1; i < 4; i++) s->full[i] = term_cat(s, term_set(s, &more), s->full[i - 1]);
    s->any = term_cps(s, &(struct cp_range){ 0, 0x10FFFF }, 1);
    s->valid = term_rep(s, s->any, 0, INF);
    s->n_class = 1;
    terms_classes(s);
}

void terms_init(struct terms *s)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_base);
    *s = first_store;
    s->tmp = NULL;
    s->cap_tmp = 0;
    s->n_chunk = s->cap_chunk = 0;
    s->chunk = NULL;
    for (uint32_t i = 0; i < first_store.n_chunk; i++) {
        MEM_GROW(s->chunk, s->n_chunk, s->cap_chunk);
        s->chunk[s->n_chunk++] = mem_alloc(TERM_CHUNK * sizeof **s->chunk);
        memcpy(s->chunk[i], first_store.chunk[i], MIN(first_store.n - i * TERM_CHUNK, TERM_CHUNK) * sizeof **s->chunk);
    }
    s->bucket = mem_dup(first_store.bucket, first_store.n_bucket * sizeof *s->bucket);
    s->list = mem_dup(first_store.list, first_store.cap_list * sizeof *s->list);
    s->set = mem_dup(first_store.set, first_store.cap_set * sizeof *s->set);
    s->fuel = TERM_MOST;
    s->bytes = s->n_bucket * sizeof *s->bucket + s->n_chunk * TERM_CHUNK * sizeof **s->chunk;
}

void terms_done(struct terms *s)
{
    for (uint32_t i = 0; i < s->n_chunk; i++) mem_free(s->chunk[i]);
    mem_free(s->chunk);
    mem_free(s->bucket);
    mem_free(s->list);
    mem_free(s->set);
    mem_free(s->ref);
    mem_free(s->memo);
    mem_free(s->tmp);
    memset(s, 0, sizeof *s);
}

static void push(struct terms *s, uint32_t t)
{
    MEM_GROW(s->tmp, s->n_tmp, s->cap_tmp);
    s->tmp[s->n_tmp++] = t;
}

/* ---- lengths --------------------------------------------------------------------------------- */

static uint32_t plus(uint32_t a, uint32_t b)
{
    return a == INF || b == INF || a + b < a ? INF : a + b;
}

static uint32_t times(uint32_t a, uint32_t n)
{
    if (a == 0 || n == 0) return 0;
    uint64_t v = (uint64_t)a * n;
    return a == INF || n == INF || v >= INF ? INF : (uint32_t)v;
}

/* Do i·[lo, hi] for all i from m to n leave no gap? */
static bool no_gap(uint32_t lo, uint32_t hi, uint32_t m, uint32_t n)
{
    return m == n || hi == INF || (uint64_t)(m + 1) * lo <= (uint64_t)m * hi + 1;
}

static void set_facts(const struct bset *b, struct term *t)
{
    bool lead = (b->w[0] | b->w[1] | b->w[3]) != 0;
    static const uint64_t low[2] = { ~0xFFFFFFFFULL, ~0ULL };
    uint64_t plain = (b->w[0] & low[0] & ~(1ULL << '"')) | (b->w[1] & ~(1ULL << ('\\' & 63))) | b->w[2] | b->w[3];
    uint64_t two = (1ULL << '"') | 1ULL << 8 | 1ULL << 9 | 1ULL << 10 | 1ULL << 12 | 1ULL << 13;
    t->min_len = t->max_len = lead;
    t->shortest = plain ? 1 : (b->w[0] & two) || b->w[1] ? 2 : 6;
    t->every = t->strict = true;
    t->flat = true;
}

static void list_facts(const struct terms *s, struct term *t)
{
    const uint32_t *x = s->list + t->a;
    bool alt = t->op == T_ALT;
    t->min_len = alt ? INF : 0;
    t->max_len = alt ? 0 : INF;
    t->shortest = alt ? INF : 0;
    t->nullable = !alt;
    t->strict = alt;
    t->complex = !alt;
    for (uint32_t i = 0; i < t->b; i++) {
        const struct term *k = term_at(s, x[i]);
        t->min_len = alt ? MIN(t->min_len, k->min_len) : MAX(t->min_len, k->min_len);
        t->max_len = alt ? MAX(t->max_len, k->max_len) : MIN(t->max_len, k->max_len);
        t->shortest = alt ? MIN(t->shortest, k->shortest) : MAX(t->shortest, k->shortest);
        t->nullable = alt ? t->nullable || k->nullable : t->nullable && k->nullable;
        t->strict = alt ? t->strict && k->strict : t->strict || k->strict;
        t->complex |= k->complex;
        t->inverts |= k->inverts;
    }
    if (!alt) return;
    /* Without a gap: grow an interval from the shortest while somebody touches it (a few rounds do). */
    uint32_t reach = 0;
    bool first = true;
    for (int round = 0; round < 8; round++) {
        uint32_t before = reach;
        for (uint32_t i = 0; i < t->b; i++) {
            const struct term *k = term_at(s, x[i]);
            if (!k->every || k->complex) continue;
            if (first ? k->min_len == t->min_len : k->min_len <= plus(reach, 1)) {
                reach = first ? k->max_len : MAX(reach, k->max_len);
                first = false;
            }
        }
        if (reach == before && round) break;
    }
    t->every = !first && reach >= t->max_len;
    /* One branch has every length at one byte a code point, or all cost the same beyond that. */
    bool alike = t->every && !t->complex;
    for (uint32_t i = 0; i < t->b; i++) {
        const struct term *k = term_at(s, x[i]);
        alike = alike && k->flat && k->shortest - k->min_len == t->shortest - t->min_len;
        t->flat |= k->flat && k->every && k->shortest == k->min_len && k->min_len == t->min_len && k->max_len == t->max_len;
    }
    t->flat = (t->flat || alike) && !t->complex;
}

static void facts(const struct terms *s, struct term *t)
{
    const struct term *a = t->op == T_CAT || t->op == T_NOT || t->op == T_REP ? term_at(s, t->a) : NULL;
    const struct term *b = t->op == T_CAT ? term_at(s, t->b) : NULL;
    switch ((enum term_op)t->op) {
    case T_EMPTY: t->min_len = t->shortest = INF; t->every = t->strict = true; t->alive = 2; break;
    case T_EPS: t->nullable = t->every = t->strict = t->flat = true; break;
    case T_ALL: t->nullable = t->every = t->flat = true; t->max_len = INF; break;
    case T_SET: set_facts(&s->set[t->set], t); break;
    case T_CAT:
        t->nullable = a->nullable && b->nullable;
        t->min_len = plus(a->min_len, b->min_len);
        t->max_len = plus(a->max_len, b->max_len);
        t->shortest = plus(a->shortest, b->shortest);
        t->every = a->every && b->every;
        t->flat = t->every && a->flat && b->flat;
        t->complex = a->complex || b->complex;
        t->inverts = a->inverts || b->inverts;
        t->strict = a->strict && b->strict;
        break;
    case T_REP:
        t->nullable = t->min == 0 || a->nullable;
        t->min_len = times(a->min_len, t->min);
        t->max_len = times(a->max_len, t->max);
        t->shortest = times(a->shortest, t->min);
        t->every = a->every && no_gap(a->min_len, a->max_len, t->min, t->max);
        t->flat = t->every && a->flat && (t->min == t->max || a->shortest == a->min_len);
        t->complex = a->complex;
        t->inverts = a->inverts;
        t->strict = a->strict;
        break;
    case T_NOT:
        t->nullable = !a->nullable;
        t->max_len = INF;
        t->complex = t->inverts = true;
        break;
    case T_ALT: case T_AND: list_facts(s, t); break;
    case T_REF: break;
    }
    if (!t->complex && t->op != T_EMPTY) t->alive = 1;
}

/* ---- simple makers --------------------------------------------------------------------------- */

uint32_t term_set(struct terms *s, const struct bset *set)
{
    if (!(set->w[0] | set->w[1] | set->w[2] | set->w[3])) return EMPTY;
    uint32_t i = s->n_set;
    MEM_GROW(s->set, s->n_set, s->cap_set);
    s->set[s->n_set++] = *set;
    uint32_t t = intern(s, &(struct term){ .op = T_SET, .set = i });
    if (term_at(s, t)->set != i || t == EMPTY) s->n_set--;             /* it is known */
    return t;
}

uint32_t term_not(struct terms *s, uint32_t a)
{
    if (a == EMPTY) return ALL;
    if (a == ALL) return EMPTY;
    if (term_at(s, a)->op == T_NOT) return term_at(s, a)->a;
    return intern(s, &(struct term){ .op = T_NOT, .a = a });
}

uint32_t term_ref(struct terms *s, bool nullable)
{
    MEM_GROW(s->ref, s->n_ref, s->cap_ref);
    s->ref[s->n_ref] = EMPTY;
    return intern(s, &(struct term){ .op = T_REF, .a = s->n_ref++, .nullable = nullable, .complex = true,
                                     .inverts = true, .max_len = INF });
}

/* A term as body{min,max}. */
static void as_counted(const struct terms *s, uint32_t t, uint32_t *body, uint32_t *min, uint32_t *max)
{
    const struct term *x = term_at(s, t);
    bool rep = x->op == T_REP;
    *body = rep ? x->a : t;
    *min = rep ? x->min : 1;
    *max = rep ? x->max : 1;
}

uint32_t term_rep(struct terms *s, uint32_t a, uint32_t min, uint32_t max)
{
    if (max == 0 || a == EPS) return EPS;
    if (a == EMPTY) return min ? EMPTY : EPS;
    if (a == ALL) return ALL;
    if (term_at(s, a)->nullable) {
        min = 0;
        if (term_at(s, a)->op == T_ALT) {                              /* (x|)* is x* */
            size_t base = s->n_tmp;
            for (uint32_t i = 0; i < term_at(s, a)->b; i++) push(s, s->list[term_at(s, a)->a + i]);
            uint32_t n = 0;
            for (size_t i = base; i < s->n_tmp; i++)
                if (s->tmp[i] != EPS) s->tmp[base + n++] = s->tmp[i];
            uint32_t *copy = mem_dup(s->tmp + base, n * sizeof *copy + 1);
            s->n_tmp = base;
            a = term_alt(s, copy, n);
            mem_free(copy);
        }
    }
    if (min == 1 && max == 1) return a;
    struct term *t = term_at(s, a);
    if (t->op == T_REP && no_gap(t->min, t->max, min, max)) {
        uint32_t lo = times(t->min, min), hi = times(t->max, max);
        bool inf = t->max == INF || max == INF;
        if (lo < SUM_MOST && (inf || hi < SUM_MOST)) return term_rep(s, t->a, lo, inf ? INF : hi);
    }
    return intern(s, &(struct term){ .op = T_REP, .a = a, .min = min, .max = max });
}

/* ---- concatenation --------------------------------------------------------------------------- */

/* a·b for an a that is no concatenation. */
static uint32_t cat_one(struct terms *s, uint32_t a, uint32_t b)
{
    if (a == EMPTY || b == EMPTY) return EMPTY;
    if (a == EPS) return b;
    if (b == EPS) return a;
    const struct term *x = term_at(s, a), *y = term_at(s, b);
    if (a == ALL && (y->nullable || (y->op == T_CAT && y->a == ALL))) return y->nullable ? ALL : b;
    if (b == ALL && x->nullable) return ALL;
    uint32_t head = y->op == T_CAT ? y->a : b, rest = y->op == T_CAT ? y->b : EPS;
    uint32_t body, other, m, n, m2, n2;
    as_counted(s, a, &body, &m, &n);
    as_counted(s, head, &other, &m2, &n2);
    if (b == ALL && x->op == T_REP && m != n) return cat_one(s, term_rep(s, body, m, m), b);
    if (body == other && (x->op == T_REP || term_at(s, head)->op == T_REP) && body != ALL) {
        uint32_t lo = m + m2;
        bool inf = n == INF || n2 == INF;
        if (lo < SUM_MOST && (inf || n + n2 < SUM_MOST))
            return term_cat(s, term_rep(s, body, lo, inf ? INF : n + n2), rest);
    }
    return intern(s, &(struct term){ .op = T_CAT, .a = a, .b = b });
}

uint32_t term_cat(struct terms *s, uint32_t a, uint32_t b)
{
    size_t base = s->n_tmp;
    if (a == EMPTY || b == EMPTY) return EMPTY;
    for (; term_at(s, a)->op == T_CAT; a = term_at(s, a)->b) push(s, term_at(s, a)->a);
    b = cat_one(s, a, b);
    while (s->n_tmp > base) {
        uint32_t head = s->tmp[--s->n_tmp];
        b = cat_one(s, head, b);
    }
    return b;
}

uint32_t term_bytes(struct terms *s, const char *p, size_t len, uint32_t then)
{
    while (len--) {
        struct bset one = { { 0 } };
        bset_add(&one, (uint8_t)p[len]);
        then = term_cat(s, term_set(s, &one), then);
    }
    return then;
}

/* ---- lists: union and intersection ------------------------------------------------------------ */

static int by_number(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

/* Opens nested lists of this operation in tmp[base…), sorts, drops doubles. */
static void flatten(struct terms *s, size_t base, enum term_op op)
{
    size_t end = s->n_tmp, n = base;
    bool sorted = true;
    for (size_t i = base; i < end; i++) {
        const struct term *t = term_at(s, s->tmp[i]);
        if (t->op != op) continue;
        for (uint32_t k = 1; k < t->b; k++) push(s, s->list[t->a + k]);
        s->tmp[i] = s->list[t->a];
    }
    for (size_t i = base + 1; i < s->n_tmp; i++) sorted &= s->tmp[i - 1] < s->tmp[i];
    if (sorted) return;
    if (s->n_tmp - base > 24) qsort(s->tmp + base, s->n_tmp - base, sizeof *s->tmp, by_number);
    else
        for (size_t i = base + 1; i < s->n_tmp; i++) {
            uint32_t x = s->tmp[i];
            size_t k = i;
            for (; k > base && s->tmp[k - 1] > x; k--) s->tmp[k] = s->tmp[k - 1];
            s->tmp[k] = x;
        }
    for (size_t i = base; i < s->n_tmp; i++)
        if (i == base || s->tmp[i] != s->tmp[n - 1]) s->tmp[n++] = s->tmp[i];
    s->n_tmp = n;
}

static uint32_t list_term(struct terms *s, size_t base, enum term_op op)
{
    uint32_t n = (uint32_t)(s->n_tmp - base), at = (uint32_t)s->n_list;
    s->n_tmp = base;
    if (n == 1) return s->tmp[base];
    for (uint32_t i = 0; i < n; i++) {
        MEM_GROW(s->list, s->n_list, s->cap_list);
        s->list[s->n_list++] = s->tmp[base + i];
    }
    return intern(s, &(struct term){ .op = (uint8_t)op, .a = at, .b = n });
}

/* Two branches of a union as one: byte sets before the same rest, touching counts of one body before
 * the same rest. EMPTY when they do not join. */
static uint32_t join(struct terms *s, uint32_t a, uint32_t b)
{
    const struct term *x = term_at(s, a), *y = term_at(s, b);
    uint32_t hx = x->op == T_CAT ? x->a : a, hy = y->op == T_CAT ? y->a : b;
    uint32_t rx = x->op == T_CAT ? x->b : EPS, ry = y->op == T_CAT ? y->b : EPS;
    if (rx != ry) return EMPTY;
    const struct term *p = term_at(s, hx), *q = term_at(s, hy);
    if (p->op == T_SET && q->op == T_SET) {
        struct bset u;
        for (int i = 0; i < 4; i++) u.w[i] = s->set[p->set].w[i] | s->set[q->set].w[i];
        return term_cat(s, term_set(s, &u), rx);
    }
    if (p->op != T_REP && q->op != T_REP) return EMPTY;
    uint32_t body, other, m, n, m2, n2;
    as_counted(s, hx, &body, &m, &n);
    as_counted(s, hy, &other, &m2, &n2);
    if (body != other) return EMPTY;
    if (rx == ALL) return term_cat(s, term_rep(s, body, MIN(m, m2), MIN(m, m2)), rx);  /* more bodies are less */
    if (m2 > plus(n, 1) || m > plus(n2, 1)) return EMPTY;
    return term_cat(s, term_rep(s, body, MIN(m, m2), MAX(n, n2)), rx);
}

struct branch { uint32_t rest, at; };
static int by_rest(const void *x, const void *y)
{
    const struct branch *a = x, *b = y;
    return a->rest != b->rest ? (a->rest > b->rest) - (a->rest < b->rest) : (a->at > b->at) - (a->at < b->at);
}

/* Joins what can be joined in the sorted tmp[base…): true when something was. Only branches with equal
 * rest can; long lists are sorted by it first. */
static bool join_branches(struct terms *s, size_t base)
{
    size_t n = s->n_tmp - base;
    bool any = false;
    struct branch few[16], *by = n <= LEN(few) ? few : mem_alloc(n * sizeof *by);
    for (size_t i = 0; i < n; i++) {
        const struct term *t = term_at(s, s->tmp[base + i]);
        by[i] = (struct branch){ t->op == T_CAT ? t->b : EPS, s->tmp[base + i] };
    }
    if (n > 2) qsort(by, n, sizeof *by, by_rest);
    for (size_t i = 0; i < n; i++) {
        if (by[i].at == EMPTY) continue;
        for (size_t k = i + 1; k < n && by[k].rest == by[i].rest && k < i + 64; k++) {
            uint32_t both = by[k].at ? join(s, by[i].at, by[k].at) : EMPTY;
            if (both == EMPTY) continue;
            by[i].at = both;
            by[k].at = EMPTY;
            any = true;
        }
    }
    if (any) {
        s->n_tmp = base;
        for (size_t i = 0; i < n; i++) if (by[i].at != EMPTY) push(s, by[i].at);
    }
    if (by != few) mem_free(by);
    return any;
}

static bool has(const uint32_t *x, size_t n, uint32_t t)
{
    for (size_t i = 0; i < n; i++) if (x[i] == t) return true;
    return false;
}

/* In a union, a & b goes where a is. */
static void absorb(struct terms *s, size_t base)
{
    size_t n = base, end = s->n_tmp;
    if (end - base > 64) return;
    for (size_t i = base; i < end; i++) {
        const struct term *t = term_at(s, s->tmp[i]);
        bool more = false;
        for (uint32_t k = 0; t->op == T_AND && k < t->b && !more; k++)
            more = has(s->tmp + base, end - base, s->list[t->a + k]);
        if (more) s->tmp[i] = EMPTY;
    }
    for (size_t i = base; i < end; i++) if (s->tmp[i] != EMPTY) s->tmp[n++] = s->tmp[i];
    s->n_tmp = n;
}

/* The union of tmp[base…), which goes. */
static uint32_t alt_from(struct terms *s, size_t base)
{
    do {
        bool all = false, other = false;
        flatten(s, base, T_ALT);
        size_t n = base;
        for (size_t i = base; i < s->n_tmp; i++) {
            uint32_t t = s->tmp[i];
            all |= t == ALL;
            other |= t != EPS && term_at(s, t)->nullable;
        }
        if (all) { s->n_tmp = base; return ALL; }
        for (size_t i = base; i < s->n_tmp; i++)
            if (s->tmp[i] != EMPTY && !(s->tmp[i] == EPS && other)) s->tmp[n++] = s->tmp[i];
        s->n_tmp = n;
        if (n == base) return EMPTY;
        absorb(s, base);
    } while (s->n_tmp - base > 1 && join_branches(s, base));
    return list_term(s, base, T_ALT);
}

uint32_t term_alt(struct terms *s, const uint32_t *x, uint32_t n)
{
    size_t base = s->n_tmp;
    if (n == 1) return x[0];
    for (uint32_t i = 0; i < n; i++) push(s, x[i]);
    return alt_from(s, base);
}

uint32_t term_alt2(struct terms *s, uint32_t a, uint32_t b)
{
    if (a == b || b == EMPTY) return a;
    return a == EMPTY ? b : term_alt(s, (uint32_t[]){ a, b }, 2);
}

static uint32_t and_from(struct terms *s, size_t base);

/* The complements in tmp[base…) become one, the byte sets one. */
static void gather(struct terms *s, size_t base)
{
    size_t n = base, end = s->n_tmp, n_not = 0, n_set = 0;
    struct bset set = { { ~0ULL, ~0ULL, ~0ULL, ~0ULL } };
    for (size_t i = base; i < end; i++) {
        const struct term *t = term_at(s, s->tmp[i]);
        n_not += t->op == T_NOT;
        n_set += t->op == T_SET;
    }
    if (n_not < 2 && n_set < 2) return;
    for (size_t i = base; i < end; i++) {
        const struct term *t = term_at(s, s->tmp[i]);
        if (t->op == T_NOT) push(s, t->a);
    }
    uint32_t none = n_not ? alt_from(s, end) : EMPTY;
    for (size_t i = base; i < end; i++) {
        const struct term *t = term_at(s, s->tmp[i]);
        if (t->op == T_SET) for (int k = 0; k < 4; k++) set.w[k] &= s->set[t->set].w[k];
        else if (t->op != T_NOT) s->tmp[n++] = s->tmp[i];
    }
    s->n_tmp = n;
    if (n_not) push(s, term_not(s, none));
    if (n_set) push(s, term_set(s, &set));
}

/* What the list in tmp[base…) shows at once: EMPTY, EPS, or ALL for nothing of the kind. */
static uint32_t obvious(struct terms *s, size_t base)
{
    uint32_t lo = 0, hi = INF;
    bool nullable = true, eps = false;
    for (size_t i = base; i < s->n_tmp; i++) {
        const struct term *t = term_at(s, s->tmp[i]);
        if (s->tmp[i] == EMPTY) return EMPTY;
        eps |= s->tmp[i] == EPS;
        nullable &= t->nullable;
        lo = MAX(lo, t->min_len);
        hi = MIN(hi, t->max_len);
        if (t->op == T_NOT)
            for (size_t k = base; k < s->n_tmp; k++) if (s->tmp[k] == t->a) return EMPTY;
    }
    if (lo > hi) return EMPTY;
    return eps ? nullable ? EPS : EMPTY : ALL;
}

/* Has the union n every branch of m? */
static bool covers(const struct terms *s, uint32_t n, uint32_t m)
{
    const struct term *x = term_at(s, n), *y = term_at(s, m);
    if (n == m) return true;
    if (x->op != T_ALT) return false;
    if (y->op != T_ALT) return has(s->list + x->a, x->b, m);
    for (uint32_t i = 0; i < y->b; i++)
        if (!has(s->list + x->a, x->b, s->list[y->a + i])) return false;
    return true;
}

/* A branch b & ¬m without the ¬m that ¬n implies; the branch itself where there is none. */
static uint32_t strip(struct terms *s, uint32_t branch, uint32_t n)
{
    const struct term *t = term_at(s, branch);
    size_t base = s->n_tmp;
    if (t->op != T_AND) return branch;
    for (uint32_t i = 0; i < t->b; i++) {
        uint32_t k = s->list[t->a + i];
        if (term_at(s, k)->op != T_NOT || !covers(s, n, term_at(s, k)->a)) push(s, k);
    }
    if (s->n_tmp - base == t->b) {
        s->n_tmp = base;
        return branch;
    }
    return and_from(s, base);
}

/* (a|b&¬m) & ¬n is (a|b) & ¬n where m ⊆ n. Around a loop with a negative look-ahead every round would
 * else nest another intersection into the last one. True: a union in the list has changed. */
static bool strip_unions(struct terms *s, size_t base)
{
    uint32_t n = EMPTY;
    bool changed = false;
    for (size_t i = base; i < s->n_tmp; i++) if (term_at(s, s->tmp[i])->op == T_NOT) n = term_at(s, s->tmp[i])->a;
    if (n == EMPTY) return false;
    for (size_t i = base, end = s->n_tmp; i < end; i++) {
        struct term t = *term_at(s, s->tmp[i]);
        if (t.op != T_ALT || !t.inverts) continue;
        bool other = false;
        for (uint32_t k = 0; k < t.b; k++) {
            uint32_t was = s->list[t.a + k], now = strip(s, was, n);
            other |= was != now;
            push(s, now);
        }
        uint32_t whole = other ? alt_from(s, end) : s->tmp[i];
        s->tmp[i] = whole;
        s->n_tmp = end;
        changed |= other;
    }
    return changed;
}

static uint32_t and_from(struct terms *s, size_t base)
{
    flatten(s, base, T_AND);
    gather(s, base);
    flatten(s, base, T_AND);
    bool strict = false, inverts = false;
    for (size_t i = base; i < s->n_tmp; i++) {
        const struct term *t = term_at(s, s->tmp[i]);
        strict |= t->strict && s->tmp[i] != s->valid;
        inverts |= t->inverts;
    }
    size_t n = base;
    for (size_t i = base; i < s->n_tmp; i++)                           /* `valid` guards complements only */
        if (s->tmp[i] != ALL && (s->tmp[i] != s->valid || (inverts && !strict))) s->tmp[n++] = s->tmp[i];
    s->n_tmp = n;
    if (n == base) return ALL;
    uint32_t known = obvious(s, base);
    if (known != ALL) { s->n_tmp = base; return known; }
    if (strip_unions(s, base)) return and_from(s, base);
    return list_term(s, base, T_AND);
}

uint32_t term_and(struct terms *s, const uint32_t *x, uint32_t n)
{
    size_t base = s->n_tmp;
    for (uint32_t i = 0; i < n; i++) push(s, x[i]);
    return and_from(s, base);
}

uint32_t term_and2(struct terms *s, uint32_t a, uint32_t b)
{
    if (a == b || b == ALL) return a;
    return a == ALL ? b : term_and(s, (uint32_t[]){ a, b }, 2);
}

/* ---- derivatives ----------------------------------------------------------------------------- */

/* Splits the classes that a set cuts through. Inside and outside cut alike, so the smaller side is gone through: of a
 * pattern's sets most are one letter. size[c]: bytes of class c. */
static void split_classes(struct terms *s, const struct bset *set, uint16_t *size)
{
    uint16_t in[256];                   /* bytes of the set in each class that it touches; then the class they get */
    uint8_t list[128], touched[128];
    uint32_t n = 0, n_touched = 0, all = 0;
    for (int w = 0; w < 4; w++) all += (uint32_t)__builtin_popcountll(set->w[w]);
    for (uint32_t w = 0; w < 4; w++)
        for (uint64_t x = all > 128 ? ~set->w[w] : set->w[w]; x; x &= x - 1) list[n++] = (uint8_t)(w * 64 + (uint32_t)__builtin_ctzll(x));
    for (uint32_t i = 0; i < n; i++) in[s->cls[list[i]]] = 0;
    for (uint32_t i = 0; i < n; i++)
        if (!in[s->cls[list[i]]]++) touched[n_touched++] = s->cls[list[i]];
    for (uint32_t i = 0; i < n_touched; i++) {
        uint32_t c = touched[i], part = in[c];
        in[c] = (uint16_t)(part < size[c] ? s->n_class++ : c);
        if (in[c] == c) continue;
        size[in[c]] = (uint16_t)part;
        size[c] = (uint16_t)(size[c] - part);
    }
    for (uint32_t i = 0; i < n; i++) s->cls[list[i]] = (uint8_t)in[s->cls[list[i]]];
}

/* Bytes that every byte set of the store treats alike are one class. */
void terms_classes(struct terms *s)
{
    uint16_t size[256];
    memset(size, 0, sizeof size);
    for (int b = 0; b < 256; b++) size[s->cls[b]]++;
    for (; s->n_classed < s->n_set; s->n_classed++) split_classes(s, &s->set[s->n_classed], size);
    for (int b = 255; b >= 0; b--) s->rep[s->cls[b]] = (uint8_t)b;
}

static bool remembered(const struct terms *s, uint64_t key, uint32_t *val)
{
    if (!s->n_memo) return false;
    for (uint32_t i = mix(key) & (s->cap_memo - 1);; i = (i + 1) & (s->cap_memo - 1)) {
        if (s->memo[i].key == key) { *val = s->memo[i].val; return true; }
        if (!s->memo[i].key) return false;
    }
}

static void remember(struct terms *s, uint64_t key, uint32_t val)
{
    if (s->n_memo >= MEMO_MOST) {                                      /* it only saves work: begin again */
        memset(s->memo, 0, s->cap_memo * sizeof *s->memo);
        s->n_memo = 0;
    }
    if (s->n_memo * 2 >= s->cap_memo) {
        struct memo *old = s->memo;
        uint32_t n = s->cap_memo;
        s->cap_memo = n ? n * 2 : 64;
        s->memo = mem_zero(s->cap_memo * sizeof *s->memo);
        s->bytes += (s->cap_memo - n) * sizeof *s->memo;
        s->n_memo = 0;
        for (uint32_t i = 0; i < n; i++) if (old[i].key) remember(s, old[i].key, old[i].val);
        mem_free(old);
    }
    uint32_t i = mix(key) & (s->cap_memo - 1);
    while (s->memo[i].key) i = (i + 1) & (s->cap_memo - 1);
    s->memo[i] = (struct memo){ key, val };
    s->n_memo++;
}

/* D(a·b) = D(a)·b, and D(b) too where a may be empty: along the whole chain without recursion. */
static uint32_t derive_chain(struct terms *s, uint32_t t, uint32_t cls)
{
    size_t base = s->n_tmp;
    for (;; t = term_at(s, t)->b) {
        if (term_at(s, t)->op != T_CAT) {
            push(s, term_derive(s, t, cls));
            break;
        }
        uint32_t a = term_at(s, t)->a, rest = term_at(s, t)->b;
        uint32_t d = term_derive(s, a, cls);
        push(s, term_cat(s, d, rest));
        if (!term_at(s, a)->nullable) break;
    }
    return alt_from(s, base);
}

static uint32_t derive_list(struct terms *s, uint32_t t, uint32_t cls)
{
    size_t base = s->n_tmp;
    bool alt = term_at(s, t)->op == T_ALT;
    uint32_t at = term_at(s, t)->a, n = term_at(s, t)->b;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t d = term_derive(s, s->list[at + i], cls);
        if (alt && d == EMPTY) continue;
        push(s, d);
        if (d == (alt ? ALL : EMPTY)) {
            s->n_tmp = base;
            return d;
        }
    }
    return alt ? alt_from(s, base) : and_from(s, base);
}

uint32_t term_derive(struct terms *s, uint32_t t, uint32_t cls)
{
    struct term x = *term_at(s, t);
    uint64_t key = (uint64_t)t << 8 | cls;
    uint32_t d = EMPTY;
    switch ((enum term_op)x.op) {
    case T_EMPTY: case T_EPS: return EMPTY;
    case T_ALL: return ALL;
    case T_SET: return bset_has(&s->set[x.set], s->rep[cls]) ? EPS : EMPTY;
    case T_CAT:
        if (term_at(s, x.a)->op == T_SET) return bset_has(&s->set[term_at(s, x.a)->set], s->rep[cls]) ? x.b : EMPTY;
        break;
    default: break;
    }
    if (remembered(s, key, &d)) return d;
    if (s->fuel == 0) {
        s->broken = true;
        return EMPTY;
    }
    s->fuel--;
    switch ((enum term_op)x.op) {
    case T_CAT: d = derive_chain(s, t, cls); break;
    case T_ALT: case T_AND: d = derive_list(s, t, cls); break;
    case T_NOT: d = term_not(s, term_derive(s, x.a, cls)); break;
    case T_REF: d = term_derive(s, s->ref[x.a], cls); break;
    case T_REP:
        d = term_derive(s, x.a, cls);
        d = term_cat(s, d, term_rep(s, x.a, x.min ? x.min - 1 : 0, x.max == INF ? INF : x.max - 1));
        break;
    default: break;
    }
    if (!s->broken) remember(s, key, d);
    return d;
}

/* ---- first bytes ----------------------------------------------------------------------------- */

struct bset term_first(const struct terms *s, uint32_t t, int depth)
{
    static const struct bset every = { { ~0ULL, ~0ULL, ~0ULL, ~0ULL } };
    struct bset out = { { 0 } }, k;
    const struct term *x = term_at(s, t);
    if (depth == 0) return every;
    switch ((enum term_op)x->op) {
    case T_EMPTY: case T_EPS: return out;
    case T_SET: return s->set[x->set];
    case T_REP: return term_first(s, x->a, depth - 1);
    case T_CAT:
        out = term_first(s, x->a, depth - 1);
        if (!term_at(s, x->a)->nullable) return out;
        k = term_first(s, x->b, depth - 1);
        for (int w = 0; w < 4; w++) out.w[w] |= k.w[w];
        return out;
    case T_ALT: case T_AND:
        if (x->op == T_AND) out = every;
        for (uint32_t i = 0; i < x->b; i++) {
            k = term_first(s, s->list[x->a + i], depth - 1);
            for (int w = 0; w < 4; w++) out.w[w] = x->op == T_ALT ? out.w[w] | k.w[w] : out.w[w] & k.w[w];
        }
        return out;
    case T_REF: return term_first(s, s->ref[x->a], depth - 1);
    case T_ALL: case T_NOT: break;
    }
    return every;
}
