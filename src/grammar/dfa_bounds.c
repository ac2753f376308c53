/* dfa_bounds.c -- texts from a state on whose length has bounds: is there one, what does the cheapest cost, how many are there?
 *
 * Terms that show it by their structure are answered at once. For the others a text is a byte and a text of what that
 * byte leads to, with bounds that have shrunk; what is found out is kept with the automaton, so that states which lie
 * near each other, as those that one mask asks about, share nearly all of it. Out of work, there counts as being a text.
 * All of it runs under the automaton's lock. */
#include "grammar/dfa_int.h"

enum { LAYER_WORK = 1 << 18, EXACT_WORK = 64, FREE_WORK = 4096 };

/* ---- texts of any length ---------------------------------------------------------------------------- */

/* The terms that texts of k code points lead to, layer after layer, with the least cost or the number
 * of texts of each. */
struct cell { uint32_t term, cost; uint64_t ways; bool fresh; };
struct layer { struct cell *at; uint32_t n, cap; uint32_t *slot, n_slot; };

static struct cell *cell(struct layer *l, uint32_t term)
{
    if (l->n * 2 >= l->n_slot) {
        l->n_slot = l->n_slot ? l->n_slot * 2 : 16;
        mem_free(l->slot);
        l->slot = mem_zero(l->n_slot * sizeof *l->slot);
        for (uint32_t i = 0; i < l->n; i++) {
            uint32_t k = l->at[i].term * 2654435761u & (l->n_slot - 1);
            while (l->slot[k]) k = (k + 1) & (l->n_slot - 1);
            l->slot[k] = i + 1;
        }
    }
    uint32_t k = term * 2654435761u & (l->n_slot - 1);
    for (; l->slot[k]; k = (k + 1) & (l->n_slot - 1))
        if (l->at[l->slot[k] - 1].term == term) return &l->at[l->slot[k] - 1];
    MEM_GROW(l->at, l->n, l->cap);
    l->at[l->n] = (struct cell){ term, INF, 0, true };
    l->slot[k] = ++l->n;
    return &l->at[l->n - 1];
}

static void layer_clear(struct layer *l)
{
    l->n = 0;
    if (l->slot) memset(l->slot, 0, l->n_slot * sizeof *l->slot);
}

static void layer_done(struct layer *l)
{
    mem_free(l->at);
    mem_free(l->slot);
}

/* One code point further (by_byte: one byte): out of `from` (whose cells in the middle of a code point are
 * worked off, too) into `to`. by_len: a code point costs 1, else a byte what it costs. */
static void advance(struct dfa *d, struct layer *from, struct layer *to, bool by_byte, bool by_len)
{
    struct terms *s = &d->s;
    uint32_t again = UINT32_MAX;
    for (uint32_t i = 0; i < from->n; i++) {
        if (!from->at[i].fresh) continue;
        from->at[i].fresh = false;
        for (uint32_t c = 0; c < s->n_class; c++) {
            if (d->kind[c] == K_NEVER) continue;
            struct cell v = from->at[i];
            uint32_t t = term_derive(s, v.term, c);
            if (!facts_alive(d, t)) continue;
            bool same = d->kind[c] == K_CONT && !by_byte;
            struct cell *y = cell(same ? from : to, t);
            uint32_t cost = plus(v.cost, by_len ? d->kind[c] != K_CONT : d->cost[c]);
            if (cost < y->cost) {
                y->cost = cost;
                y->fresh = true;
                if (same) again = MIN(again, (uint32_t)(y - from->at));
            }
            y->ways = MIN(y->ways + v.ways * d->width[c], (uint64_t)INF);
        }
        if (again <= i) i = again - 1;
        again = UINT32_MAX;
    }
}

static void swap(struct layer *a, struct layer *b)
{
    struct layer x = *a;
    *a = *b;
    *b = x;
    layer_clear(b);
}

/* Fewest bytes (by_len: code points) of a text of any length. */
static uint32_t search_free(struct dfa *d, uint32_t term, bool by_len)
{
    struct layer now = { 0 }, next = { 0 };
    uint32_t best = INF;
    cell(&now, term)->cost = 0;
    for (uint32_t work = 0; now.n; swap(&now, &next)) {
        for (uint32_t i = 0; i < now.n; i++) {
            struct cell *c = &now.at[i];
            const struct term *x = term_at(&d->s, c->term);
            uint32_t least = by_len ? x->min_len : x->shortest, more = x->nullable ? 0 : x->complex ? INF : least;
            best = MIN(best, plus(c->cost, more));
            if (more != INF || plus(c->cost, least) >= best) c->fresh = false;
        }
        work += now.n;
        if (work * 16 > LAYER_WORK || d->s.broken) break;
        advance(d, &now, &next, false, by_len);
    }
    layer_done(&now);
    layer_done(&next);
    return best;
}

/* Different prefixes of one length have different texts: enough of them are enough. */
static uint32_t search_count(struct dfa *d, uint32_t term, uint32_t cap)
{
    struct layer now = { 0 }, next = { 0 };
    uint64_t done = 0, open = 0;
    struct cell *first = cell(&now, term);
    first->cost = 0;
    first->ways = 1;
    for (uint32_t work = 0; now.n; swap(&now, &next)) {
        open = 0;
        for (uint32_t i = 0; i < now.n; i++) {
            const struct term *x = term_at(&d->s, now.at[i].term);
            if (x->nullable) done += now.at[i].ways;
            if (now.at[i].term != EPS) open += now.at[i].ways;
            if (!x->complex && x->max_len == INF) open = cap;
        }
        work += now.n;
        if (done >= cap || open >= cap + (uint64_t)(done > 0) || work * 16 > LAYER_WORK || d->s.broken) {
            done = cap;
            break;
        }
        advance(d, &now, &next, true, false);
    }
    layer_done(&now);
    layer_done(&next);
    return (uint32_t)MIN(done, cap);
}

/* ---- answers that took a search ------------------------------------------------------------------------ */

enum question { Q_NONE, Q_FITS, Q_SHORTEST, Q_COUNT, Q_LENGTH };  /* LENGTH: code points of the shortest text */

enum { FEW_ANSWERS = 64, MOST_ANSWERS = 1 << 18 };
/* Where the answer to a question lies, or is to be put. A mask asks of thousands of states in turn, and each answer leans
 * on those of the states behind it; most automata are asked once or never. */
static struct answer *answer_slot(struct dfa *d, enum question q, uint32_t term, uint32_t lo, uint32_t hi)
{
    struct answer key = { q, term, lo, hi, 0 };
    if (d->n_asked * 2 >= d->n_answer) {
        struct answer *old = d->answer;
        uint32_t n_old = d->n_answer;
        bool full = n_old >= MOST_ANSWERS;              /* it only saves work: begin again */
        d->n_answer = full ? n_old : n_old ? n_old * 4 : FEW_ANSWERS;
        d->answer = mem_zero(d->n_answer * sizeof *d->answer);
        atomic_fetch_add_explicit(&d->bytes, (d->n_answer - n_old) * sizeof *d->answer, memory_order_relaxed);
        d->n_asked = 0;
        for (uint32_t i = 0; i < n_old && !full; i++)
            if (old[i].question) *answer_slot(d, old[i].question, old[i].term, old[i].lo, old[i].hi) = old[i], d->n_asked++;
        mem_free(old);
    }
    uint32_t i = (uint32_t)hash64(&key, sizeof key, 0) & (d->n_answer - 1);
    for (; d->answer[i].question; i = (i + 1) & (d->n_answer - 1)) {
        const struct answer *p = &d->answer[i];
        if (p->question == key.question && p->term == term && p->lo == lo && p->hi == hi) break;
    }
    return &d->answer[i];
}

static void answer_put(struct dfa *d, enum question q, uint32_t term, uint32_t lo, uint32_t hi, uint32_t value)
{
    struct answer *slot = answer_slot(d, q, term, lo, hi);
    d->n_asked += !slot->question;
    *slot = (struct answer){ q, term, lo, hi, value };
}

/* ---- lengths within bounds ------------------------------------------------------------------------------ */

/* Is there a text of lo to hi code points, and what does the cheapest one cost? Both are one search, depth first: a text
 * is a byte and a text of what that leads to, with bounds that have shrunk by a code point. What is found out about a term
 * and its bounds is kept, so that a state costs little more than its own bytes once those behind it are known. Where
 * only a yes or no is wanted all bytes cost nothing. The cheapest text may lie anywhere among very many: after some work
 * the first one that is found will do, the likeliest branches first. Then the answer is what a text costs, if not the
 * cheapest one; and as it is kept, the state behind that text's first byte still costs so much less. INF: there is none. */
struct branch { uint32_t term, lo, hi, cost, guess; };
struct level { struct branch of; uint32_t best, floor, from; };
struct bounded {
    struct dfa *d;
    enum question q;
    struct level *level; uint32_t n, cap;               /* the way that is being tried */
    struct branch *branch; uint32_t n_branch, cap_branch; /* still to be tried, those of the last level on top */
    uint32_t work;
    bool tired;
};

static bool overlaps(const struct term *x, uint32_t lo, uint32_t hi)
{
    return x->min_len <= hi && x->max_len >= lo;
}

/* Fewest bytes (LENGTH: code points) of a text of any length, found out once. INF, though it is alive: not found out. */
static uint32_t freely(struct dfa *d, enum question q, uint32_t term)
{
    const struct answer *have = answer_slot(d, q, term, 0, INF);
    if (have->question) return have->value;
    uint32_t value = search_free(d, term, q == Q_LENGTH);
    answer_put(d, q, term, 0, INF, value);
    return value;
}

/* Of a term that is alive: 0 and INF say yes and no; false: it must be searched. */
static bool shown_fits(struct bounded *b, uint32_t term, uint32_t lo, uint32_t hi, uint32_t *value)
{
    struct dfa *d = b->d;
    const struct term *x = term_at(&d->s, term);
    *value = 0;
    if (!x->complex) return x->every || lo <= x->min_len;
    if (hi == INF && lo <= x->min_len) return true;
    uint32_t n = facts_witness(&d->s, term);
    if (n != INF && lo <= n && n <= hi) return true;
    if (b->work <= FREE_WORK) return false;      /* mostly a text is soon found */
    n = freely(d, Q_LENGTH, term);
    if (n != INF && n > hi) *value = INF;               /* even the shortest is too long */
    return n == INF ? !lo : n >= lo || n > hi;
}

/* What need not be searched; false: it must. */
static bool plainly(struct bounded *b, uint32_t term, uint32_t lo, uint32_t hi, uint32_t *value)
{
    struct dfa *d = b->d;
    const struct term *x = term_at(&d->s, term);
    *value = INF;
    if (term == EMPTY || !overlaps(x, lo, hi)) return true;
    *value = 0;
    if (x->nullable && !lo) return true;
    if (!facts_alive(d, term)) {
        *value = INF;
        return true;
    }
    if (b->q == Q_FITS) return shown_fits(b, term, lo, hi, value);
    *value = x->shortest;
    if (!x->complex && lo <= x->min_len && hi >= MIN(x->max_len, x->shortest)) return true;
    *value = MAX(lo, x->min_len) + x->shortest - x->min_len;
    if (x->flat && x->every) return true;
    if (lo) return false;
    *value = freely(d, Q_SHORTEST, term);
    return *value <= hi || *value == INF;               /* a text has no more code points than bytes */
}

static bool known(struct bounded *b, uint32_t term, uint32_t lo, uint32_t hi, uint32_t *value)
{
    const struct answer *have = answer_slot(b->d, b->q, term, lo, hi);
    *value = have->value;
    return have->question || plainly(b, term, lo, hi, value);
}

/* Begins a level: what its bytes lead to is looked at, and what is not known yet becomes a branch, the likeliest on top. */
static void level_open(struct bounded *b, struct branch of)
{
    struct dfa *d = b->d;
    struct terms *s = &d->s;
    const struct term *x = term_at(s, of.term);
    bool fits = b->q == Q_FITS;
    struct level l = { of, INF, fits ? 0 : MAX(x->shortest, of.lo), b->n_branch };
    for (uint32_t c = 0; c < s->n_class && l.best > l.floor; c++) {
        bool begins = d->kind[c] != K_CONT;
        if (d->kind[c] == K_NEVER || (begins && !of.hi)) continue;
        uint32_t lo = begins && of.lo ? of.lo - 1 : of.lo, hi = begins && of.hi != INF ? of.hi - 1 : of.hi, value;
        uint32_t to = term_derive(s, of.term, c), cost = fits ? 0 : d->cost[c];
        if (to == EMPTY) continue;
        if (known(b, to, lo, hi, &value)) { l.best = MIN(l.best, plus(cost, value)); continue; }
        struct branch next = { to, lo, hi, cost, plus(cost, MAX(facts_guess(s, to), lo)) };
        uint32_t i = b->n_branch;
        MEM_GROW(b->branch, b->n_branch, b->cap_branch);
        for (b->n_branch++; i > l.from && b->branch[i - 1].guess < next.guess; i--) b->branch[i] = b->branch[i - 1];
        b->branch[i] = next;
    }
    MEM_GROW(b->level, b->n, b->cap);
    b->level[b->n++] = l;
    b->tired = ++b->work * 16 > LAYER_WORK || s->broken;
}

/* The last level is done, or has been given up. */
static uint32_t level_close(struct bounded *b)
{
    struct level l = b->level[--b->n];
    b->n_branch = l.from;
    if (!b->tired) answer_put(b->d, b->q, l.of.term, l.of.lo, l.of.hi, l.best);
    if (b->n) b->level[b->n - 1].best = MIN(b->level[b->n - 1].best, plus(l.of.cost, l.best));
    return l.best;
}

static uint32_t search_bounded(struct dfa *d, enum question q, uint32_t term, uint32_t lo, uint32_t hi)
{
    struct bounded b = { .d = d, .q = q };
    uint32_t best;
    if (known(&b, term, lo, hi, &best)) return best;
    level_open(&b, (struct branch){ term, lo, hi, 0, 0 });
    do {
        struct level *l = &b.level[b.n - 1];
        bool enough = l->best <= l->floor || (l->best != INF && b.work > EXACT_WORK);
        if (b.tired || enough || b.n_branch == l->from) { best = level_close(&b); continue; }
        struct branch next = b.branch[--b.n_branch];
        const struct term *x = term_at(&d->s, next.term);
        uint32_t value, least = q == Q_FITS ? 0 : plus(next.cost, MAX(x->shortest, next.lo));
        if (least >= l->best) continue;
        if (known(&b, next.term, next.lo, next.hi, &value)) l->best = MIN(l->best, plus(next.cost, value));
        else level_open(&b, next);
    } while (b.n);
    mem_free(b.level);
    mem_free(b.branch);
    if (!b.tired) return best;
    if (q == Q_FITS) best = 0;                          /* not found out: it counts as alive */
    answer_put(d, q, term, lo, hi, best);               /* nor will it be the next time */
    return best;
}

/* ---- the door ---------------------------------------------------------------------------------------- */

static uint32_t ask(struct dfa *d, enum question q, uint32_t state, uint32_t lo, uint32_t hi)
{
    pthread_mutex_lock(&d->lock);
    uint32_t term = term_of(d, state), value;
    d->s.fuel = LAYER_WORK;
    if (q == Q_COUNT) {
        const struct answer *have = answer_slot(d, q, term, lo, hi);
        value = have->value;
        if (!have->question) answer_put(d, q, term, lo, hi, value = search_count(d, term, hi));
    } else value = search_bounded(d, q, term, lo, hi);
    d->s.broken = false;
    d->s.n_tmp = 0;
    pthread_mutex_unlock(&d->lock);
    return value;
}

bool dfa_fits(struct dfa *d, uint32_t state, uint32_t lo, uint32_t hi)
{
    if (lo > hi || state == DFA_DEAD || d->empty) return false;
    if (lo == 0 && hi == INF && !d->unsure) return true;
    if (!dfa_lens_known(d, state)) return ask(d, Q_FITS, state, lo, hi) != INF;
    const struct dfa_lens *l = dfa_lens(d, state);
    if (hi < l->min || lo > l->max || l->min == INF) return false;
    if (l->every || (hi == INF && (l->endless || lo <= l->min))) return true;
    /* a text has no more code points than bytes */
    if (l->exact && lo <= l->min && hi >= MIN(l->max, l->shortest)) return true;
    return ask(d, Q_FITS, state, lo, hi) != INF;
}

uint32_t dfa_shortest(struct dfa *d, uint32_t state, uint32_t lo, uint32_t hi)
{
    if (lo > hi || state == DFA_DEAD || d->empty) return UINT32_MAX;
    if (!dfa_lens_known(d, state)) return ask(d, Q_SHORTEST, state, lo, hi);
    const struct dfa_lens *l = dfa_lens(d, state);
    if (hi < l->min || lo > l->max) return UINT32_MAX;
    /* a text has no more code points than bytes */
    if (l->exact && lo <= l->min && hi >= MIN(l->max, l->shortest)) return l->shortest;
    return ask(d, Q_SHORTEST, state, lo, hi);
}

uint32_t dfa_count(struct dfa *d, uint32_t state, uint32_t cap)
{
    if (!state || !cap || dfa_lens(d, state)->min == INF) return 0;
    uint32_t most = 16;                 /* caps that differ by a little are one question */
    while (most < cap && most < 1u << 30) most *= 2;
    uint32_t n = ask(d, Q_COUNT, state, 0, MAX(most, cap));
    return MIN(n, cap);
}
