/* dfa_facts.c -- what is known of the texts from a term to acceptance: liveness, lengths, how soon one may fail.
 *
 * Terms without intersection, complement or loop names show it by their structure (regex_term.c). The
 * others are searched over their derivatives, best first, until only plain terms are left or the
 * work runs out: then they count as alive and keep the bounds of their structure, `every_len` false.
 * All of it runs under the automaton's lock. */
#include "grammar/dfa_int.h"

enum { ALIVE_WORK = 4096, LENGTH_WORK = 48 };

/* Of each byte: what it is in UTF-8, and the fewest bytes of it in JSON. Filled once a process. */
static uint8_t byte_kind[256], byte_cost[256];
static pthread_once_t bytes_once = PTHREAD_ONCE_INIT;
static void bytes_tell(void)
{
    for (int b = 0; b < 256; b++) {
        bool two = b == '"' || b == '\\' || b == 8 || b == 9 || b == 10 || b == 12 || b == 13;
        byte_cost[b] = two ? 2 : b < 32 ? 6 : 1;
        byte_kind[b] = b < 0x80 ? K_ASCII : b < 0xC0 ? K_CONT : b < 0xC2 || b > 0xF4 ? K_NEVER : K_LEAD;
    }
}

void facts_classes(struct dfa *d)
{
    pthread_once(&bytes_once, bytes_tell);
    memset(d->width, 0, d->s.n_class * sizeof *d->width);
    memset(d->cost, 6, d->s.n_class);
    for (int b = 0; b < 256; b++) {
        uint32_t c = d->s.cls[b];
        d->kind[c] = byte_kind[b];
        d->cost[c] = MIN(d->cost[c], byte_cost[b]);
        d->width[c]++;
    }
}

/* ---- liveness ---------------------------------------------------------------------------------- */

/* begins: the way here from `from` begins a code point. next: classes of bytes before it have been gone. */
struct visit { uint32_t term, from; uint16_t next; bool begins; };

uint32_t facts_guess(const struct terms *s, uint32_t t)
{
    const struct term *x = term_at(s, t);
    uint64_t sum = x->shortest;
    if (x->op == T_AND) {
        sum = 0;
        for (uint32_t i = 0; i < x->b; i++) sum += term_at(s, s->list[x->a + i])->shortest;
    }
    return (uint32_t)MIN(sum, (uint64_t)INF - 1);
}

/* A heap of visits, the best guess on top. */
struct heap { struct { uint32_t guess, visit; } *at; uint32_t n, cap; };

static void heap_put(struct heap *h, uint32_t g, uint32_t visit)
{
    MEM_GROW(h->at, h->n, h->cap);
    uint32_t i = h->n++;
    for (; i && h->at[(i - 1) / 2].guess > g; i = (i - 1) / 2) h->at[i] = h->at[(i - 1) / 2];
    h->at[i].guess = g;
    h->at[i].visit = visit;
}

static uint32_t heap_take(struct heap *h)
{
    uint32_t top = h->at[0].visit, g = h->at[--h->n].guess, v = h->at[h->n].visit, i = 0;
    for (uint32_t k; (k = 2 * i + 1) < h->n; i = k) {
        if (k + 1 < h->n && h->at[k + 1].guess < h->at[k].guess) k++;
        if (h->at[k].guess >= g) break;
        h->at[i] = h->at[k];
    }
    h->at[i].guess = g;
    h->at[i].visit = v;
    return top;
}

/* Alive for sure, without a search. */
static bool surely(const struct terms *s, uint32_t t)
{
    const struct term *x = term_at(s, t);
    return t != EMPTY && (x->nullable || !x->complex || x->alive == 1);
}

uint32_t facts_witness(const struct terms *s, uint32_t t)
{
    uint32_t before = 0;
    const struct term *x = term_at(s, t);
    for (; x->op == T_CAT && x->complex && !x->nullable; x = term_at(s, t = x->b)) before = plus(before, facts_witness(s, x->a));
    if (t == EMPTY) return INF;
    if (x->nullable) return before;
    if (!x->complex) return plus(before, x->min_len);
    if (x->op == T_REP) {
        uint64_t all = (uint64_t)facts_witness(s, x->a) * x->min;
        return plus(before, (uint32_t)MIN(all, (uint64_t)INF));
    }
    return x->alive == 1 ? plus(before, x->witness) : INF;
}

/* The terms on the way to a text that ends with `last` more code points than visit `found` has before it. */
static void mark_alive(struct terms *s, const struct visit *seen, uint32_t found, uint32_t last)
{
    for (uint32_t i = found; i != INF; i = seen[i].from) {
        term_at(s, seen[i].term)->alive = 1;
        term_at(s, seen[i].term)->witness = last;
        last = plus(last, seen[i].begins);
    }
}

/* The search for a text: terms met, those still to be derived in `open`, the best guess on top. */
struct search {
    struct visit *seen; uint32_t n, cap;
    struct heap open;
    uint32_t found, last;               /* the visit after which a text surely ends, so many code points on; INF: none yet */
};

static void visit_put(struct search *q, struct terms *s, uint32_t term, uint32_t from, bool begins)
{
    term_at(s, term)->alive = 3;
    MEM_GROW(q->seen, q->n, q->cap);
    heap_put(&q->open, facts_guess(s, term), q->n);
    q->seen[q->n++] = (struct visit){ term, from, 0, begins };
}

/* What class c of bytes leads to from visit i: found, or more to look at. True: nearer to the end than the visit is. */
static bool visit_step(struct dfa *d, struct search *q, uint32_t i, uint32_t c)
{
    struct terms *s = &d->s;
    uint32_t to = d->kind[c] == K_NEVER ? EMPTY : term_derive(s, q->seen[i].term, c), guess = facts_guess(s, q->seen[i].term);
    if (to == EMPTY) return false;
    bool begins = d->kind[c] != K_CONT, nearer = false;
    const struct term *x = term_at(s, to);
    uint32_t n_part = surely(s, to) || x->op != T_ALT ? 1 : x->b, at = x->a;
    for (uint32_t k = 0; k < n_part && q->found == INF; k++) {         /* one live branch is enough */
        uint32_t part = n_part > 1 ? s->list[at + k] : to;
        if (surely(s, part)) {
            q->found = i;
            q->last = plus(facts_witness(s, part), begins);
        } else if (!term_at(s, part)->alive) {                         /* else dead, or waiting */
            nearer |= facts_guess(s, part) < guess;
            visit_put(q, s, part, i, begins);
        }
    }
    return nearer;
}

/* Goes on with the best visit, class by class. As soon as one leads nearer to the end the rest waits: mostly it leads
 * on to an end, and most derivatives are never needed. */
static void visit_best(struct dfa *d, struct search *q)
{
    uint32_t i = heap_take(&q->open), n = d->s.n_class;
    bool nearer = false;
    while (q->seen[i].next < n && q->found == INF && !nearer) nearer = visit_step(d, q, i, q->seen[i].next++);
    if (q->seen[i].next < n && q->found == INF) heap_put(&q->open, facts_guess(&d->s, q->seen[i].term), i);
}

static bool search_alive(struct dfa *d, uint32_t term)
{
    struct terms *s = &d->s;
    struct search q = { .found = INF, .last = INF };
    bool out_of_work = false;
    visit_put(&q, s, term, INF, false);
    while (q.open.n && q.found == INF && !out_of_work) {
        visit_best(d, &q);
        out_of_work = s->broken || q.n > ALIVE_WORK;
    }
    d->unsure |= out_of_work;
    bool alive = q.found != INF || out_of_work;
    for (uint32_t i = 0; i < q.n; i++) term_at(s, q.seen[i].term)->alive = alive ? 0 : 2;
    mark_alive(s, q.seen, q.found, q.last);
    if (alive && q.found == INF) {
        term_at(s, term)->alive = 1;
        term_at(s, term)->witness = INF;
    }
    mem_free(q.seen);
    mem_free(q.open.at);
    return alive;
}

bool facts_alive(struct dfa *d, uint32_t term)
{
    const struct terms *s = &d->s;
    for (;;) {
        const struct term *x = term_at(s, term);
        if (term == EMPTY || x->alive == 2) return false;
        if (surely(s, term)) return true;
        if (x->op == T_CAT) {
            if (!facts_alive(d, x->a)) return false;
            term = x->b;
            continue;
        }
        if (x->op == T_REP) { term = x->a; continue; }
        return search_alive(d, term);
    }
}

/* ---- runs -------------------------------------------------------------------------------------- */

struct run { uint64_t set[2]; bool utf8; uint32_t max; };

/* Which code points a body is: its ASCII bytes, and whether all others belong. False: not one code point. */
static bool one_of(const struct terms *s, uint32_t body, struct run *r)
{
    const struct term *x = term_at(s, body), *any = term_at(s, s->any);
    uint32_t only[1] = { body }, n = x->op == T_ALT ? x->b : 1, wide = 0, same = 0;
    const uint32_t *kid = x->op == T_ALT ? s->list + x->a : only;
    r->set[0] = r->set[1] = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct term *k = term_at(s, kid[i]);
        if (k->op == T_SET) {
            const struct bset *b = &s->set[k->set];
            if (b->w[2] | b->w[3]) return false;
            r->set[0] = b->w[0];
            r->set[1] = b->w[1];
            continue;
        }
        wide++;
        for (uint32_t j = 0; j < any->b; j++) same += s->list[any->a + j] == kid[i];
    }
    r->utf8 = wide == same && same == any->b - 1;
    return true;
}

static void run_all(struct run *r)
{
    *r = (struct run){ { ~0ULL, ~0ULL }, true, INF };
}

static void run_without(struct run *r, const struct bset *stop)
{
    r->set[0] &= ~stop->w[0];
    r->set[1] &= ~stop->w[1];
    r->utf8 = r->utf8 && !(stop->w[2] | stop->w[3]);
}

static bool run_of(const struct terms *s, uint32_t t, struct run *r);

/* Only what leaves every member of an intersection as it is. */
static bool run_and(const struct terms *s, const struct term *x, struct run *r)
{
    run_all(r);
    for (uint32_t i = 0; i < x->b; i++) {
        struct run k;
        if (!run_of(s, s->list[x->a + i], &k) || k.max != INF) return false;
        r->set[0] &= k.set[0];
        r->set[1] &= k.set[1];
        r->utf8 = r->utf8 && k.utf8;
    }
    return true;
}

static bool run_of(const struct terms *s, uint32_t t, struct run *r)
{
    const struct term *x = term_at(s, t);
    if (t == ALL || t == s->valid) { run_all(r); return true; }
    if (x->op == T_NOT) return run_of(s, x->a, r) && r->max == INF;
    if (x->op == T_AND) return run_and(s, x, r);
    uint32_t head = x->op == T_CAT ? x->a : t, rest = x->op == T_CAT ? x->b : EPS;
    const struct term *h = term_at(s, head);
    if (head == ALL) run_all(r);
    else if (h->op != T_REP || !one_of(s, h->a, r)) return false;
    else r->max = h->max != INF ? h->max : h->min && rest != EPS ? h->min : INF;      /* once min is met the rest may come */
    struct bset stop = term_first(s, rest, 40);
    run_without(r, &stop);
    /* What follows must live for a count to lead anywhere; plain terms do. */
    return r->max == INF || !term_at(s, rest)->complex;
}

/* ---- lengths of searched terms ------------------------------------------------------------------- */

enum weigh { BY_LEN, BY_COST };
struct reach { uint32_t term, dist, bound; bool done; };

static uint32_t weight(const struct dfa *d, uint32_t c, enum weigh by)
{
    return by == BY_COST ? d->cost[c] : d->kind[c] != K_CONT;
}

/* The least weight of a text of t: best first; the bound of the structure when the work runs out (*exact). */
static uint32_t least(struct dfa *d, uint32_t t, enum weigh by, bool *exact)
{
    struct terms *s = &d->s;
    struct reach *q = NULL;
    uint32_t n = 0, cap = 0, work = 0, floor = by == BY_COST ? term_at(s, t)->shortest : term_at(s, t)->min_len;
    MEM_GROW(q, n, cap);
    q[n++] = (struct reach){ t, 0, floor, false };
    for (;;) {
        uint32_t best = UINT32_MAX;
        for (uint32_t i = 0; i < n; i++)
            if (!q[i].done && (best == UINT32_MAX || q[i].bound < q[best].bound)) best = i;
        if (best == UINT32_MAX) { floor = INF; break; }
        struct reach at = q[best];
        floor = MAX(floor, at.bound);
        const struct term *x = term_at(s, at.term);
        if (!x->complex || (x->nullable && at.bound == at.dist)) break;
        if (work++ == LENGTH_WORK || s->broken) { *exact = false; break; }
        q[best].done = true;
        if (x->nullable) {                                             /* it may also end here */
            MEM_GROW(q, n, cap);
            q[n++] = (struct reach){ EPS, at.dist, at.dist, false };
        }
        for (uint32_t c = 0; c < s->n_class; c++) {
            if (d->kind[c] == K_NEVER) continue;
            uint32_t to = term_derive(s, at.term, c);
            if (!facts_alive(d, to)) continue;
            const struct term *y = term_at(s, to);
            uint32_t dist = at.dist + weight(d, c, by), bound = plus(dist, by == BY_COST ? y->shortest : y->min_len), i = 0;
            while (i < n && q[i].term != to) i++;
            if (i == n) { MEM_GROW(q, n, cap); q[n++] = (struct reach){ to, dist, bound, false }; }
            else if (dist < q[i].dist) q[i].dist = dist, q[i].bound = bound, q[i].done = false;
        }
    }
    mem_free(q);
    return floor;
}

struct spans { struct { uint32_t lo, hi; } at[64]; uint32_t n; bool gap; };

static void span_add(struct spans *s, uint32_t lo, uint32_t hi)
{
    if (s->n < LEN(s->at)) s->at[s->n].lo = lo, s->at[s->n++].hi = hi;
    else s->gap = true;
}

/* How far the spans reach from lo on without a gap. */
static uint32_t span_reach(const struct spans *s, uint32_t lo)
{
    uint32_t reach = lo ? lo - 1 : 0, before;
    bool any = lo > 0;
    do {
        before = reach;
        bool had = any;
        for (uint32_t i = 0; i < s->n; i++)
            if (any ? s->at[i].lo <= plus(reach, 1) && s->at[i].hi > reach : s->at[i].lo == 0) {
                reach = s->at[i].hi;
                any = true;
            }
        if (any != had) before = reach + 1;
    } while (reach != before);
    return reach;
}

/* Is there one code point after which nothing has changed? Then there is no longest text. */
static bool stays(struct dfa *d, uint32_t t)
{
    for (uint32_t c = 0; c < d->s.n_class; c++)
        if (d->kind[c] == K_ASCII && term_derive(&d->s, t, c) == t) return true;
    return false;
}

/* The lengths of a searched term whose least is known: the longest, and whether all occur. */
static void spread(struct dfa *d, uint32_t t, uint32_t min, uint32_t *max, bool *every)
{
    struct terms *s = &d->s;
    struct reach q[512];
    struct spans sp = { .n = 0 };
    uint32_t n = 0, i = 0, most = term_at(s, t)->max_len;
    bool exact = true, over = false;
    q[n++] = (struct reach){ t, 0, 0, false };
    for (; i < n && !over; i++) {
        const struct term *x = term_at(s, q[i].term);
        if (!x->complex) {
            if (x->every) span_add(&sp, q[i].dist + x->min_len, plus(q[i].dist, x->max_len));
            else span_add(&sp, plus(q[i].dist, x->max_len), plus(q[i].dist, x->max_len)), sp.gap = true;
            over = !sp.gap && span_reach(&sp, min) >= most;
            continue;
        }
        if (x->nullable) span_add(&sp, q[i].dist, q[i].dist);
        if (i == LENGTH_WORK || s->broken) { exact = false; break; }
        if (stays(d, q[i].term)) {
            span_add(&sp, q[i].dist + least(d, q[i].term, BY_LEN, &exact), INF);
            over = !sp.gap && exact && span_reach(&sp, min) >= most;
            continue;
        }
        for (uint32_t c = 0; c < s->n_class && exact; c++) {
            if (d->kind[c] == K_NEVER) continue;
            uint32_t to = term_derive(s, q[i].term, c), dist = q[i].dist + weight(d, c, BY_LEN), k = 0;
            if (!facts_alive(d, to)) continue;
            while (k < n && (q[k].term != to || q[k].dist != dist)) k++;
            if (k < n) continue;
            if (n == LEN(q)) exact = false;
            else q[n++] = (struct reach){ to, dist, 0, false };
        }
    }
    uint32_t last = 0;
    for (uint32_t k = 0; k < sp.n; k++) last = MAX(last, sp.at[k].hi);
    *max = exact && !over && sp.n < LEN(sp.at) ? last : most;
    *every = !sp.gap && exact && span_reach(&sp, min) >= *max;
    if (over) *every = true;
}

enum { LOOP_WORK = 2000 };

/* The bytes that a plain term repeats without bound. False: not plain, or too large to tell. */
static bool loops(const struct terms *s, uint32_t t, bool inside, struct bset *out, int *work)
{
    const struct term *x = term_at(s, t);
    if (x->complex || t == ALL || --*work < 0) return false;
    if (x->op == T_SET && inside)
        for (int i = 0; i < 4; i++) out->w[i] |= s->set[x->set].w[i];
    if (x->op == T_CAT) return loops(s, x->a, inside, out, work) && loops(s, x->b, inside, out, work);
    if (x->op == T_REP) return loops(s, x->a, inside || x->max == INF, out, work);
    for (uint32_t i = 0; x->op == T_ALT && i < x->b; i++)
        if (!loops(s, s->list[x->a + i], inside, out, work)) return false;
    return true;
}

/* How often a byte occurs in a text of a plain term in which nothing repeats it without bound, at most. */
static uint32_t most_often(const struct terms *s, uint32_t t, uint8_t b)
{
    const struct term *x = term_at(s, t);
    if (x->op == T_SET) return bset_has(&s->set[x->set], b);
    if (x->op == T_CAT) return plus(most_often(s, x->a, b), most_often(s, x->b, b));
    uint64_t n = x->op == T_REP ? most_often(s, x->a, b) : 0;
    if (x->op == T_REP) return (uint32_t)MIN(n * x->max, (uint64_t)INF);
    for (uint32_t i = 0; x->op == T_ALT && i < x->b; i++) {
        uint32_t k = most_often(s, s->list[x->a + i], b);
        n = MAX(n, k);
    }
    return (uint32_t)n;
}

/* A letter that no excluded term repeats ends every text outside of all of them, if it comes often enough: *far times. */
static bool outside_total(const struct terms *s, uint32_t t, uint32_t *far)
{
    const struct term *x = term_at(s, t);
    const uint32_t *part = x->op == T_AND ? s->list + x->a : &t;
    uint32_t n = x->op == T_AND ? x->b : 1, most = 0;
    struct bset held = { { 0 } }, used = { { 0 } };
    int work = LOOP_WORK;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t kid = part[i];
        if (kid == ALL || kid == s->valid) continue;
        if (term_at(s, kid)->op != T_NOT || !loops(s, term_at(s, kid)->a, false, &held, &work)) return false;
        if (!loops(s, term_at(s, kid)->a, true, &used, &work)) used = held;      /* of no consequence: some letter will do */
    }
    uint8_t b = ' ';
    while (b < 0x7f && bset_has(&used, b)) b++;          /* best is one that they do not even have */
    if (b == 0x7f)
        for (b = ' '; b < 0x7f && bset_has(&held, b);) b++;
    for (uint32_t i = 0; i < n && b < 0x7f; i++) {
        bool free = part[i] == ALL || part[i] == s->valid;
        uint32_t k = free ? 0 : most_often(s, term_at(s, part[i])->a, b);
        most = MAX(most, k);
    }
    *far = plus(most, 1);
    return b < 0x7f;
}

/* From here on every text can be completed, for ever; *far: by each number of code points from this on. */
static bool is_total(const struct terms *s, uint32_t t, uint32_t *far)
{
    const struct term *x = term_at(s, t);
    *far = 0;
    if (t == ALL || t == s->valid) return true;
    if (x->op == T_AND || x->op == T_NOT) return outside_total(s, t, far);
    if (x->op == T_CAT) {
        *far = term_at(s, x->b)->min_len;
        return (x->a == ALL || x->a == s->valid) && !term_at(s, x->b)->complex;
    }
    bool any = false;
    for (uint32_t i = 0; x->op == T_ALT && i < x->b; i++) {
        uint32_t k;
        if (!is_total(s, s->list[x->a + i], &k)) continue;
        *far = any ? MIN(*far, k) : k;
        any = true;
    }
    return any;
}

bool facts_plain(const struct dfa *d, uint32_t term, struct dfa_lens *to)
{
    const struct term *t = term_at(&d->s, term);
    *to = (struct dfa_lens){ .min = t->min_len, .max = t->max_len, .every = t->every, .shortest = t->shortest, .exact = true,
                             .endless = !t->complex && t->max_len == INF };
    return !t->complex;
}

void facts_search(struct dfa *d, uint32_t term, struct dfa_lens *to)
{
    bool exact = true, cost = true;
    to->min = least(d, term, BY_LEN, &exact);
    to->shortest = least(d, term, BY_COST, &cost);
    to->every = false;
    to->exact = exact && cost;
    if (exact) spread(d, term, to->min, &to->max, &to->every);
    d->s.broken = false;
}

void facts_fill(struct dfa *d, uint32_t term, struct dfa_state *st)
{
    struct run r;
    st->accepts = term_at(&d->s, term)->nullable;
    st->total = is_total(&d->s, term, &st->far);
    if (term != EMPTY && run_of(&d->s, term, &r) && (r.set[0] | r.set[1] || r.utf8)) {
        st->run[0] = r.set[0];
        st->run[1] = r.set[1];
        st->run_utf8 = r.utf8;
        st->run_max = r.max;
    }
}

/* ---- what no state exceeds ------------------------------------------------------------------- */

/* The most bytes that the shortest text of any derivative of a term takes: the rest of the part that is under way, then
 * all that must still follow. seen[t]: 1 + the answer, 0: none yet. */
static uint32_t worst(const struct terms *s, uint32_t id, uint32_t *seen, int depth)
{
    const struct term *t = term_at(s, id);
    if (depth > 1000) return INF;
    if (seen[id]) return seen[id] - 1;
    uint32_t out = t->shortest;
    if (t->op == T_CAT) {
        uint32_t a = worst(s, t->a, seen, depth + 1), b = worst(s, t->b, seen, depth + 1);
        out = MAX(plus(a, term_at(s, t->b)->shortest), b);
    } else if (t->op == T_ALT) {
        for (uint32_t i = 0; i < t->b; i++) {
            uint32_t k = worst(s, s->list[t->a + i], seen, depth + 1);
            out = MAX(out, k);
        }
    } else if (t->op == T_REP) {
        const struct term *k = term_at(s, t->a);
        uint64_t rest = (uint64_t)(t->min ? t->min - 1 : 0) * k->shortest;
        out = rest > INF / 2 ? INF : plus(worst(s, t->a, seen, depth + 1), (uint32_t)rest);
    } else if (t->op == T_AND || t->op == T_NOT || t->op == T_REF) out = INF;
    seen[id] = out == INF ? INF : out + 1;
    return out;
}

enum { MOST_TOUR = 64 };

/* Intersections and complements: all states, if they are few. */
static uint32_t worst_by_tour(struct dfa *d)
{
    uint32_t list[MOST_TOUR] = { DFA_START }, n = 1, out = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t shortest = dfa_shortest(d, list[i], 0, UINT32_MAX);
        if (shortest == INF) return INF;
        out = MAX(out, shortest);
        for (uint32_t c = 0; c < d->s.n_class; c++) {
            uint32_t to = dfa_fill(d, list[i], d->s.rep[c]), k = 0;
            while (k < n && list[k] != to) k++;
            if (to == DFA_DEAD || k < n) continue;
            if (n == MOST_TOUR) return INF;
            list[n++] = to;
        }
    }
    return out;
}

uint32_t dfa_worst(struct dfa *d)
{
    uint32_t have = atomic_load(&d->worst);
    if (have) return have == INF ? INF : have - 1;
    pthread_mutex_lock(&d->lock);
    uint32_t *seen = mem_zero(((size_t)d->s.n + 1) * sizeof *seen);
    uint32_t out = worst(&d->s, term_of(d, DFA_START), seen, 0);
    mem_free(seen);
    pthread_mutex_unlock(&d->lock);
    if (out == INF) out = worst_by_tour(d);
    atomic_store(&d->worst, out == INF ? INF : out + 1);
    return out;
}

/* ---- how soon a text may fail ------------------------------------------------------------------ */

enum { GRACE_NODES = 96, GRACE_FAR = 200 };
struct place { uint32_t state, points; int utf8; bool done; };
struct tour { struct place at[GRACE_NODES]; uint32_t n; bool full; };

static void tour_add(struct tour *t, struct place p)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->at[i].state == p.state && t->at[i].utf8 == p.utf8) {
            if (p.points < t->at[i].points) t->at[i].points = p.points, t->at[i].done = false;
            return;
        }
    if (t->n == GRACE_NODES) t->full = true;
    else t->at[t->n++] = p;
}

uint32_t dfa_grace(struct dfa *d, uint32_t state)
{
    struct tour t = { .n = 0 };
    uint32_t fails = UINT32_MAX;            /* code points, the last begun, of the shortest text known to fail */
    tour_add(&t, (struct place){ .state = state });
    for (;;) {
        struct place *p = NULL;
        for (uint32_t i = 0; i < t.n; i++)
            if (!t.at[i].done && (!p || t.at[i].points < p->points)) p = &t.at[i];
        if (!p || p->points >= fails || fails <= 1) return fails == UINT32_MAX ? GRACE_FAR : fails - 1;
        if (t.full || p->points >= GRACE_FAR) return MIN(fails - 1, p->points - (p->utf8 && p->points));
        p->done = true;
        struct place from = *p;
        int last_utf8 = -2, last_cls = -1;  /* neighbours mostly do the same */
        for (int b = 0; b < 256; b++) {
            if (b & 15 && b < 0xc0 && byte_is_bare((uint32_t)b - 1) == byte_is_bare((uint32_t)b) && d->s.cls[b] == d->s.cls[b - 1]) continue;
            int utf8 = !byte_is_bare((uint32_t)b) ? -1 : b < 0x80 && !from.utf8 ? 0 : utf8_dfa(from.utf8, (uint8_t)b);
            if (utf8 < 0 || (utf8 == last_utf8 && d->s.cls[b] == last_cls)) continue;
            last_utf8 = utf8;
            last_cls = d->s.cls[b];
            uint32_t to = dfa_step(d, d->s.cls, from.state, (uint8_t)b), points = from.points + (from.utf8 == 0);
            if (to == DFA_DEAD) { fails = MIN(fails, points); if (fails <= 1) return 0; }
            else tour_add(&t, (struct place){ to, points, utf8, false });
        }
    }
}

/* ---- two automata ------------------------------------------------------------------------------- */

enum { APART_PAIRS = 64 };
struct pairs { struct { uint32_t x, y; } at[APART_PAIRS]; uint32_t n; };

/* False: a pair in which both end, or one too many. */
static bool pair_add(struct pairs *p, const struct dfa *a, const struct dfa *b, uint32_t x, uint32_t y)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (p->at[i].x == x && p->at[i].y == y) return true;
    if (p->n == APART_PAIRS || (dfa_accepts(a, x) && dfa_accepts(b, y))) return false;
    p->at[p->n].x = x;
    p->at[p->n++].y = y;
    return true;
}

/* One byte for each way in which the two tell bytes apart; how many. */
static uint32_t told_apart(const struct dfa *a, const struct dfa *b, uint8_t rep[256])
{
    uint64_t seen[256][4];              /* classes of b beside each class of a */
    uint32_t n = 0;
    memset(seen, 0, a->s.n_class * sizeof *seen);
    for (int c = 0; c < 256; c++) {
        uint64_t *w = &seen[a->s.cls[c]][b->s.cls[c] >> 6], bit = 1ull << (b->s.cls[c] & 63);
        if (!(*w & bit)) rep[n++] = (uint8_t)c;
        *w |= bit;
    }
    return n;
}

bool dfa_apart(struct dfa *a, struct dfa *b)
{
    struct pairs p = { .n = 0 };
    uint8_t rep[256];
    if (a->empty || b->empty) return true;
    if (!pair_add(&p, a, b, DFA_START, DFA_START)) return false;
    uint32_t n = told_apart(a, b, rep);
    for (uint32_t i = 0; i < p.n; i++)
        for (uint32_t c = 0; c < n; c++) {
            uint32_t x = dfa_step(a, a->s.cls, p.at[i].x, rep[c]);
            uint32_t y = x ? dfa_step(b, b->s.cls, p.at[i].y, rep[c]) : DFA_DEAD;
            if (y && !pair_add(&p, a, b, x, y)) return false;
        }
    return true;
}
