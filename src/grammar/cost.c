/* cost.c -- what every piece costs in tokens: literals, keys, goals, steps of the envelope.
 *
 * The envelope's tables are filled when a budget is first asked for; goals, tries and keys when they
 * are first met, under the bind's lock, and are then only read. Goals are solved like solve.c solves
 * them: those that a value cannot do without, together, to a fixpoint. */
#include "grammar/cost.h"

enum { PAGE = 256, N_PAGE = 1024, N_GROWTH = 1 << 13 };
struct page { _Atomic(void *) slot[PAGE]; };
struct pages { _Atomic(struct page *) page[N_PAGE]; };                /* grows without moving anything */
struct goal_cost { uint32_t cost[2]; _Atomic bool known; };
struct costs {
    struct pages goal, lit, obj[2][2];                                /* obj[keyword arguments][style] */
    uint32_t pair[3];                                                 /* "" [] {} */
    uint16_t *sep[2], *colon[2];
    uint16_t **text;                                                  /* per LIT op: cost from each offset */
    uint32_t (*op)[2];                                                /* op to the end of its rule; in each: best pair */
    uint32_t *in_each, n_each_op;                                     /* op -> row of op_pair, NONE outside of each */
    uint32_t (*op_pair)[2];                                           /* [row * n_pair + pair] */
    uint32_t (**name_node)[2];                                        /* per NAME op and trie node: name and what follows */
    uint16_t **name[2];                                               /* per pair: from each offset of its name */
    _Atomic uint64_t growth[N_GROWTH];
};

static _Atomic(void *) *slot_of(struct bind *b, struct pages *p, uint32_t i)
{
    struct page *page = atomic_load_explicit(&p->page[i / PAGE % N_PAGE], memory_order_acquire);
    if (!page) {
        page = arena_zero(&b->mem, sizeof *page);
        atomic_store_explicit(&p->page[i / PAGE % N_PAGE], page, memory_order_release);
    }
    return &page->slot[i % PAGE];
}

static void *slot_get(const struct pages *p, uint32_t i)
{
    struct page *page = atomic_load_explicit(&((struct pages *)p)->page[i / PAGE % N_PAGE], memory_order_acquire);
    return page ? atomic_load_explicit(&page->slot[i % PAGE], memory_order_acquire) : NULL;
}

/* ---- spelling -------------------------------------------------------------------------------- */

static uint32_t one_token(const struct vocab *v, const char *text, uint32_t otherwise)
{
    uint32_t node = 0;
    for (; *text; text++)
        if ((node = vocab_kid(v, node, (uint8_t)*text)) == NONE) return otherwise;
    return v->all.token[node - 1] >= 0 ? 1 : otherwise;
}

static uint16_t *narrow(struct arena *a, const uint32_t *cost, size_t n)
{
    uint16_t *out = arena_alloc(a, n * sizeof *out);
    for (size_t i = 0; i < n; i++) out[i] = (uint16_t)MIN(cost[i], 0xffffu);
    return out;
}

static uint16_t *spell_plain(struct bind *b, const char *text, size_t len)
{
    uint32_t *cost = mem_alloc((len + 1) * sizeof *cost);
    vocab_spell(b->v, text, len, cost);
    uint16_t *out = narrow(&b->mem, cost, len + 1);
    mem_free(cost);
    return out;
}

/* Costs of head + quoted name + tail from every offset: of the head, and of the name's own bytes. A
 * name that needs escapes is counted byte by byte in its longest spelling, which holds for every surface. */
struct spelled { uint32_t *head, *name; };
static struct spelled spell_name(const struct vocab *v, const char *head, struct bytes name, const char *tail)
{
    size_t n_head = strlen(head), n = n_head + name.len + strlen(tail);
    bool plain = name.len < 60000;
    for (size_t i = 0; i < name.len; i++)
        if ((uint8_t)name.p[i] < 0x20 || name.p[i] == '"' || name.p[i] == '\\') plain = false;
    struct str text = { 0 };
    str_puts(&text, head);
    str_put(&text, name.p, name.len);
    str_puts(&text, tail);
    uint32_t *cost = mem_alloc((n + 1) * sizeof *cost);
    vocab_spell(plain ? v : NULL, text.p ? text.p : "", n, cost);
    for (size_t i = n_head + name.len, extra = 0; !plain && i-- > 0;) {
        uint8_t c = i >= n_head ? (uint8_t)name.p[i - n_head] : 'a';
        if (c < 0x20) extra += 5;
        else if (c == '"' || c == '\\') extra += i >= n_head;
        cost[i] += (uint32_t)extra;
    }
    str_done(&text);
    return (struct spelled){ cost, cost + n_head };
}

/* ---- literals -------------------------------------------------------------------------------- */

/* Cost of the best literal below every node of a trie: its bytes from there on, and `tail`. */
static uint32_t *trie_costs(struct bind *b, const struct trie *t, const char *tail)
{
    uint32_t *node_cost = arena_alloc(&b->mem, t->n_node * sizeof *node_cost);
    for (uint32_t i = 0; i < t->n_node; i++) node_cost[i] = COST_MAX;
    size_t total = 0;
    for (uint32_t r = 0; r < t->n_str; r++) total += t->str[r].len;
    for (uint32_t r = 0; r < t->n_str; r++) {
        struct spelled s = spell_name(total < 200000 ? b->v : NULL, "", t->str[r], tail);
        uint32_t at = 0;
        for (size_t d = 0; at != NONE; d++) {
            node_cost[at] = MIN(node_cost[at], s.name[d]);
            at = d < t->str[r].len ? trie_step(t, at, (uint8_t)t->str[r].p[d]) : NONE;
        }
        mem_free(s.head);
    }
    return node_cost;
}

static const uint32_t *lit_costs(struct bind *b, const struct trie *t, bool quoted)
{
    void *have = slot_get(&b->costs->lit, t->id_cost);
    if (have) return have;
    pthread_mutex_lock(&b->lock);
    _Atomic(void *) *slot = slot_of(b, &b->costs->lit, t->id_cost);
    if (!(have = atomic_load(slot))) {
        have = trie_costs(b, t, quoted ? "\"" : "");
        atomic_store_explicit(slot, have, memory_order_release);
    }
    pthread_mutex_unlock(&b->lock);
    return have;
}

const uint32_t *cost_lit(const struct matcher *m, const struct trie *t, bool quoted) { return lit_costs(m->bind, t, quoted); }

/* ---- keys ------------------------------------------------------------------------------------ */

static void seg_fill(struct bind *b, struct seg *g, struct bytes name, const char *sep, const char *quote, const char *tail)
{
    char head[80];
    size_t n_sep = strlen(sep), n_quote = strlen(quote);
    snprintf(head, sizeof head, "%s%s", sep, quote);
    struct spelled s = spell_name(b->v, head, name, tail);
    g->sep = narrow(&b->mem, s.head, n_sep + 1);
    g->quote = (uint16_t)MIN(s.head[n_sep], 0xffffu);
    g->key = narrow(&b->mem, s.head + n_sep + n_quote, name.len + 1);
    /* so that a first key never costs more than a further one */
    if (g->sep[0] < g->quote) g->sep[0] = g->quote;
    mem_free(s.head);
}

static const struct seg *segs_of(struct bind *b, const struct grammar *g, const struct obj *o, int args, int s)
{
    struct pages *p = &b->costs->obj[args][s];
    void *have = slot_get(p, o->id_cost);
    if (have) return have;
    pthread_mutex_lock(&b->lock);
    _Atomic(void *) *slot = slot_of(b, p, o->id_cost);
    if (!(have = atomic_load(slot))) {
        char tail[40];
        struct seg *list = arena_alloc(&b->mem, (o->n_key + 1) * sizeof *list);
        snprintf(tail, sizeof tail, "%s%s", args ? "" : "\"", args ? "=" : g->spell.key[s]);
        for (uint32_t k = 0; k < o->n_key; k++)
            seg_fill(b, &list[k], o->key[k].name, g->spell.item[s], args ? "" : "\"", tail);
        atomic_store_explicit(slot, list, memory_order_release);
        have = list;
    }
    pthread_mutex_unlock(&b->lock);
    return have;
}

const struct seg *cost_seg(const struct matcher *m, const struct frame *f, uint32_t key, int s)
{
    return segs_of(m->bind, m->g, frame_obj(m, f), f->flags & FL_ARGS ? 1 : 0, s) + key;
}

uint32_t cost_sep(const struct matcher *m, int s, uint32_t at) { return cost_wide(m->bind->costs->sep[s][at]); }
uint32_t cost_colon(const struct matcher *m, int s, uint32_t at) { return cost_wide(m->bind->costs->colon[s][at]); }

/* ---- goals ----------------------------------------------------------------------------------- */

static struct goal_cost *goal_slot(struct bind *b, uint32_t goal)
{
    _Atomic(void *) *slot = slot_of(b, &b->costs->goal, goal);
    if (!atomic_load(slot)) atomic_store(slot, arena_zero(&b->mem, sizeof(struct goal_cost)));
    return atomic_load(slot);
}

/* COST_MAX until something is known; only called under the lock or for what is known. */
static uint32_t now(struct bind *b, uint32_t goal, int s)
{
    const struct goal_cost *k = slot_get(&b->costs->goal, goal);
    return k && k->cost[s] ? k->cost[s] : COST_MAX;
}

static uint32_t alts_now(struct bind *b, const struct grammar *g, const struct alts *l, uint32_t owed, int s)
{
    uint16_t height = UINT16_MAX;
    uint32_t best = COST_MAX;
    for (uint32_t i = 0; i < l->n; i++) {
        if ((l->alt[i].owed & owed) != owed || !goal_met(g, l->alt[i].goal)) continue;
        uint16_t h = goal_at(g, l->alt[i].goal)->height;
        if (h > height) continue;
        uint32_t c = now(b, l->alt[i].goal, s);
        best = h < height ? c : MIN(best, c);
        height = h;
    }
    return best;
}

static uint64_t unique_sum(const struct grammar *g, const struct counting *q, uint32_t have);

struct element { struct bind *b; const struct grammar *g; uint16_t height; int s; };     /* height: of the array */
static uint32_t element_now(const void *ctx, const struct alt *alt)
{
    const struct element *e = ctx;
    bool fits = goal_met(e->g, alt->goal) && goal_at(e->g, alt->goal)->height < e->height;
    return fits ? cost_add(cost_wide(e->b->costs->sep[e->s][0]), now(e->b, alt->goal, e->s)) : COST_MAX;
}

/* The elements it cannot do without. */
static uint64_t elements_shortest(struct bind *b, const struct grammar *g, const struct arr *a, int s)
{
    uint64_t sum = 0, lack = 0, sep = cost_wide(b->costs->sep[s][0]);
    for (uint32_t i = 0; i < a->n_cont; i++) lack += a->cont[i].min;
    for (uint32_t i = 0; i < MIN(a->n_prefix, MAX(a->min, lack ? a->n_prefix : 0)); i++)
        sum += sep + alts_now(b, g, &a->prefix[i], 0, s);
    for (uint32_t i = 0; i < a->n_cont; i++) {          /* a bound: as if none of the first elements counted */
        uint32_t one = alts_now(b, g, &a->rest, (uint16_t)(1u << i), s);
        for (uint32_t p = 0; p < a->n_prefix; p++) {
            uint32_t c = alts_now(b, g, &a->prefix[p], (uint16_t)(1u << i), s);
            if (one >= COST_MAX || (c < COST_MAX && c > one)) one = c;
        }
        sum += (uint64_t)a->cont[i].min * (sep + one);
    }
    if (a->min > a->n_prefix) sum += (uint64_t)(a->min - a->n_prefix) * (sep + alts_now(b, g, &a->rest, 0, s));
    return sum;
}

static uint32_t arr_shortest(struct bind *b, const struct grammar *g, const struct shape *sh, int s)
{
    const struct arr *a = sh->arr;
    struct element e = { b, g, sh->height, s };
    struct counting q = { .a = a, .cost = element_now, .ctx = &e };
    bool bare = !a->min;
    for (uint32_t i = 0; i < a->n_cont; i++) {
        q.lack[i] = a->cont[i].min;
        q.room[i] = a->cont[i].max;
        bare = bare && !q.lack[i];
    }
    if (bare) return b->costs->pair[1];
    uint64_t sum = counts_entangled(&q) ? counts_settle(&q) : elements_shortest(b, g, a, s);
    if (a->unique) sum += unique_sum(g, &q, 0);
    return (uint32_t)MIN(sum + 2, (uint64_t)COST_MAX);
}

static uint32_t key_now(struct bind *b, const struct grammar *g, const struct obj *o, uint32_t i, uint32_t owed, int args, int s)
{
    return cost_add(cost_wide(segs_of(b, g, o, args, s)[i].sep[0]), alts_now(b, g, &o->key[i].alts, owed, s));
}

static uint32_t invented_now(struct bind *b, const struct grammar *g, const struct obj *o, uint32_t owed, uint32_t n, int s)
{
    uint32_t best = COST_MAX;
    for (uint32_t i = 0; i < o->n_cls; i++) {
        const struct strs *st = &o->cls[i].s;
        uint32_t name = st->dfa ? dfa_shortest(st->dfa, DFA_START, MAX(st->min, 1u), st->max) : MAX(st->min, 1u);
        if (name == NONE) continue;
        uint32_t lead = cost_add(cost_wide(b->costs->sep[s][0]) + 2 + cost_wide(b->costs->colon[s][0]), name + o->n_key + n + 1);
        best = MIN(best, cost_add(lead, alts_now(b, g, &o->cls[i].alts, owed, s)));
    }
    return best;
}

/* The most that further members can cost. */
static uint32_t more_shortest(struct bind *b, const struct grammar *g, const struct obj *o, int args, int s)
{
    uint64_t sum = 0;
    uint32_t extra = o->min > o->n_req ? o->min - o->n_req : 0, invent = invented_now(b, g, o, 0, extra, s), found = 0;
    for (uint32_t i = 0; i < o->n_key && extra && found < extra; i++) {
        uint32_t c = o->key[i].req ? COST_MAX : key_now(b, g, o, i, 0, args, s);
        if (c < COST_MAX) { sum += c; found++; }
    }
    if (extra && (o->n_ban || o->has_need)) {           /* see any_extra_cost() */
        uint64_t most = invent < COST_MAX ? invent : 0;
        for (uint32_t i = 0; i < o->n_key; i++) {
            uint64_t c = key_now(b, g, o, i, 0, args, s);
            for (uint32_t j = 0; o->key[i].need && j < o->n_key; j++)
                if (o->key[i].need[j / 64] >> (j % 64) & 1) c += key_now(b, g, o, j, 0, args, s);
            if (!o->key[i].req && c < COST_MAX) most = MAX(most, c);
        }
        sum = MAX(sum, extra * most);
    } else if (extra && invent < COST_MAX) sum = MAX(sum, (uint64_t)extra * invent);
    else if (found < extra) return COST_MAX;
    return (uint32_t)MIN(sum, (uint64_t)COST_MAX);
}

struct prices { struct bind *b; const struct grammar *g; const struct obj *o; uint32_t n; int args, s; };
static uint32_t member_now(const void *ctx, uint32_t key, uint32_t bits)
{
    const struct prices *p = ctx;
    return key == NONE ? invented_now(p->b, p->g, p->o, bits, p->n, p->s) : key_now(p->b, p->g, p->o, key, bits, p->args, p->s);
}

static uint32_t debts_shortest(struct bind *b, const struct grammar *g, const struct obj *o, int args, int s)
{
    struct prices p = { b, g, o, (uint32_t)__builtin_popcount(o->owes), args, s };
    struct owing q = { .o = o, .seen = o->none, .must = o->req, .key = NONE, .owed = o->owes, .room = o->max,
                       .cost = member_now, .ctx = &p };
    return o->owes ? owing_settle(&q) : 0;
}

static uint32_t obj_shortest(struct bind *b, const struct grammar *g, const struct obj *o, int args, int s)
{
    bool bare = !o->n_req && !o->owes && !o->min;
    uint32_t sum = args ? 0 : bare ? b->costs->pair[2] : 2;
    for (uint32_t i = o->next_req[0]; i != NONE; i = o->next_req[i + 1])
        sum = cost_add(sum, key_now(b, g, o, i, 0, args, s));
    sum = cost_add(sum, debts_shortest(b, g, o, args, s));
    return o->min > o->n_req ? cost_add(sum, more_shortest(b, g, o, args, s)) : sum;
}

static uint32_t word_cost(const struct vocab *v, enum shape_kind k)
{
    const char *json = word_text(k, SURF_JSON), *python = word_text(k, SURF_PYTHON);
    return MAX(one_token(v, json, (uint32_t)strlen(json)), one_token(v, python, (uint32_t)strlen(python)));
}

static uint32_t str_shortest(const struct bind *b, const struct strs *t)
{
    if (!t->dfa) return t->min ? cost_add(2, t->min) : b->costs->pair[0];
    uint32_t n = dfa_shortest(t->dfa, DFA_START, t->min, t->max);
    return n == NONE ? COST_MAX : cost_add(2, n);
}

static uint32_t shape_shortest(struct bind *b, const struct grammar *g, const struct shape *sh, int s)
{
    switch (sh->kind) {
    case SH_NULL: case SH_TRUE: case SH_FALSE: return word_cost(b->v, sh->kind);
    case SH_NUM:    return g->o.validate ? 1 : num_shortest(sh->num);
    case SH_NUMLIT: return lit_costs(b, sh->lit, false)[0];
    case SH_STRLIT: return cost_add(1, lit_costs(b, sh->lit, true)[0]);
    case SH_STR:    return str_shortest(b, sh->str);
    case SH_ARR:    return arr_shortest(b, g, sh, s);
    default:        return obj_shortest(b, g, sh->obj, 0, s);
    }
}

static bool goal_relax(struct bind *b, const struct grammar *g, uint32_t goal)
{
    const struct goal *p = goal_at(g, goal);
    struct goal_cost *k = goal_slot(b, goal);
    bool better = false;
    for (uint32_t i = 0; i < p->n_shape; i++)
        for (int s = 0; s < 2; s++) {
            if (!p->shape[i].met || p->shape[i].height != p->height) continue;
            uint32_t c = shape_shortest(b, g, &p->shape[i], s);
            if (c < k->cost[s]) { k->cost[s] = c; better = true; }
        }
    return better;
}

static bool cost_known(const struct work *w, uint32_t goal)
{
    const struct goal_cost *k = slot_get(&((struct bind *)w->ctx)->costs->goal, goal);
    return k && atomic_load(&((struct goal_cost *)k)->known);
}

static void goal_price(struct bind *b, const struct grammar *g, uint32_t goal)
{
    struct grammar *own = (struct grammar *)g;          /* goals grow under its lock */
    pthread_mutex_lock(&own->lock);
    pthread_mutex_lock(&b->lock);
    struct work w = { .g = own, .known = cost_known, .ctx = b };
    work_collect(&w, goal);
    for (uint32_t i = 0; i < w.n; i++) {
        struct goal_cost *k = goal_slot(b, w.goal[i]);
        k->cost[0] = k->cost[1] = COST_MAX;
        goal_met(g, w.goal[i]);
    }
    bool better = true;
    for (int pass = 0; better && pass < 2000; pass++) {
        better = false;
        for (uint32_t i = w.n; i-- > 0;) better |= goal_relax(b, g, w.goal[i]);
    }
    for (uint32_t i = 0; i < w.n; i++) atomic_store(&goal_slot(b, w.goal[i])->known, true);
    work_done(&w);
    pthread_mutex_unlock(&b->lock);
    pthread_mutex_unlock(&own->lock);
}

static uint32_t goal_cost(struct bind *b, const struct grammar *g, uint32_t goal, int s)
{
    const struct goal_cost *k = slot_get(&b->costs->goal, goal);
    if (!k || !atomic_load(&((struct goal_cost *)k)->known)) goal_price(b, g, goal);
    return now(b, goal, s);
}

uint32_t cost_goal(const struct matcher *m, uint32_t goal, int s) { return goal_cost(m->bind, m->g, goal, s); }

uint32_t cost_alts(const struct matcher *m, const struct alts *l, uint32_t owed, int s)
{
    for (uint32_t i = 0; i < l->n; i++)
        if ((l->alt[i].owed & owed) == owed) cost_goal(m, l->alt[i].goal, s);
    return alts_now(m->bind, m->g, l, owed, s);
}

/* ---- different elements ---------------------------------------------------------------------- */

static uint64_t dear_goal(const struct grammar *g, uint32_t goal, int deep);

/* Of those that count for all of `owed`. */
static uint64_t dear_alts(const struct grammar *g, const struct alts *l, uint32_t owed, int deep)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < l->n; i++)
        if ((l->alt[i].owed & owed) == owed) most = MAX(most, dear_goal(g, l->alt[i].goal, deep + 1));
    return most;
}

/* Bytes of the longest value where there are few: among them the last that is left may be any. Where there are
 * always more, one more letter makes a new one, and nothing is added. */
static uint64_t dear_shape(const struct grammar *g, const struct shape *sh, int deep)
{
    uint64_t most = 0;
    switch (sh->kind) {
    case SH_STRLIT: case SH_NUMLIT:
        for (uint32_t r = 0; r < sh->lit->n_str; r++) {
            uint64_t n = 2;
            for (size_t i = 0; i < sh->lit->str[r].len; i++) {
                char out[8];
                n += (uint64_t)lex_spell(ESC_JSON, (uint8_t)sh->lit->str[r].p[i], out);
            }
            most = MAX(most, n);
        }
        return most;
    case SH_STR: {
        const struct dfa_lens *q = sh->str->dfa ? dfa_lens(sh->str->dfa, DFA_START) : NULL;
        uint32_t max = MIN(sh->str->max, q ? q->max : NONE);
        return max == NONE ? 0 : (uint64_t)MIN(max, 64u) * (q ? 6 : 1) + 2;
    }
    case SH_NUM:
        if (sh->num->n_other || (sh->num->exact && sh->num->has_lo && sh->num->has_hi)) return 2 * MOST_DIGIT + 2;
        if (sh->num->integer && sh->num->has_lo && sh->num->has_hi) return MOST_DIGIT + 1;
        return sh->num->n_except;       /* a zero more makes another multiple */
    case SH_OBJ:
        for (uint32_t i = 0; i < sh->obj->n_key; i++) most += sh->obj->key[i].name.len + 6 + dear_alts(g, &sh->obj->key[i].alts, 0, deep);
        return most + 2;
    case SH_ARR: {
        uint64_t n = sh->arr->max == NONE ? sh->arr->min : MIN(sh->arr->max, 64u);
        for (uint32_t i = 0; i < sh->arr->n_prefix; i++) most += 2 + dear_alts(g, &sh->arr->prefix[i], 0, deep);
        return most + n * (2 + dear_alts(g, &sh->arr->rest, 0, deep)) + 2;
    }
    default: return 5;
    }
}

static uint64_t dear_goal(const struct grammar *g, uint32_t goal, int deep)
{
    uint64_t most = 0;
    if (deep > 4 || !goal_met(g, goal)) return 0;
    const struct goal *p = goal_at(g, goal);
    for (uint32_t k = 0; k < p->n_shape; k++) most = MAX(most, dear_shape(g, &p->shape[k], deep));
    return MIN(most, 100000u);
}

/* Bytes that make an element another one where there are always more: of a text or number one, of a container a member. */
static uint64_t grow_alts(const struct grammar *g, const struct alts *l, uint32_t owed)
{
    uint64_t most = 1;
    for (uint32_t i = 0; i < l->n; i++) {
        if ((l->alt[i].owed & owed) != owed || !goal_met(g, l->alt[i].goal)) continue;
        const struct goal *p = goal_at(g, l->alt[i].goal);
        for (uint32_t k = 0; k < p->n_shape; k++) {
            const struct shape *sh = &p->shape[k];
            if (sh->kind == SH_ARR && sh->arr->rest.n) most = MAX(most, 8 + dear_alts(g, &sh->arr->rest, 0, 0));
            for (uint32_t c = 0; sh->kind == SH_OBJ && c < sh->obj->n_cls; c++)
                most = MAX(most, 16 + dear_alts(g, &sh->obj->cls[c].alts, 0, 0));
        }
    }
    return most;
}

/* What one more element that counts for `owed` may cost beyond the cheapest, where so many values are taken. */
static uint64_t other_element(const struct grammar *g, const struct arr *a, uint32_t owed, uint64_t taken)
{
    uint64_t dear = dear_alts(g, &a->rest, owed, 0), grow = grow_alts(g, &a->rest, owed);
    for (uint32_t i = 0; i < a->n_prefix; i++) {
        dear = MAX(dear, dear_alts(g, &a->prefix[i], owed, 0));
        grow = MAX(grow, grow_alts(g, &a->prefix[i], owed));
    }
    return dear + taken * grow;
}

/* The most that elements to come may cost beyond the cheapest because `have` are taken. */
static uint64_t unique_sum(const struct grammar *g, const struct counting *q, uint32_t have)
{
    uint64_t n = MIN(counts_most(q), 1u << 20);         /* more than there can be tokens, and no product overflows */
    uint64_t taken = MIN(have, 1u << 20) + n, counted = 0, sum = 0;
    for (uint32_t i = 0; i < q->a->n_cont && counted < n; i++) {
        if (!q->lack[i]) continue;
        uint64_t own = MIN(q->lack[i], n - counted);
        sum += own * other_element(g, q->a, 1u << i, taken);
        counted += own;
    }
    return counted < n ? sum + (n - counted) * other_element(g, q->a, 0, taken) : sum;
}

uint32_t cost_other(const struct matcher *m, const struct arr *a, uint32_t owed, uint32_t have)
{
    return a->unique ? (uint32_t)MIN(other_element(m->g, a, owed, MIN(have, 1u << 20)), (uint64_t)COST_MAX) : 0;
}

uint32_t cost_unique(const struct matcher *m, const struct counting *q, uint32_t have)
{
    return (uint32_t)MIN(unique_sum(m->g, q, have), (uint64_t)COST_MAX);
}

/* ---- the envelope ---------------------------------------------------------------------------- */

static void mark_each(const struct grammar *g, struct costs *k, uint32_t op)
{
    while (k->in_each[op] == NONE) {
        k->in_each[op] = k->n_each_op++;
        const struct op *o = &g->op[op];
        if (o->kind == OP_RET) return;
        if (o->kind == OP_SPLIT) mark_each(g, k, o->a);
        op = o->next;
    }
}

static uint32_t slot_cost(struct bind *b, const struct grammar *g, uint32_t goal, uint32_t surf, int s)
{
    if (surf == SURF_RAW) return 0;
    uint32_t whole = goal_cost(b, g, goal, s), best = COST_MAX;
    if (surf != SURF_ARGS) return whole;
    const struct goal *p = goal_at(g, goal);
    for (uint32_t i = 0; i < p->n_shape; i++)
        if (p->shape[i].kind == SH_OBJ && p->shape[i].met && p->shape[i].height == p->height)
            best = MIN(best, obj_shortest(b, g, p->shape[i].obj, 1, s));
    return best;
}

static uint32_t op_at(const struct grammar *g, const struct costs *k, uint32_t op, uint32_t pair, int s)
{
    uint32_t row = k->in_each[op];
    return row == NONE || pair == NONE ? k->op[op][s] : k->op_pair[(size_t)row * g->n_pair + pair][s];
}

uint32_t cost_op(const struct matcher *m, uint32_t op, uint32_t pair, int s) { return op_at(m->g, m->bind->costs, op, pair, s); }

/* One look at an op, for one pair inside of each. */
static uint32_t op_cost(struct bind *b, const struct grammar *g, uint32_t op, uint32_t pair, int s)
{
    const struct op *o = &g->op[op];
    const struct costs *k = b->costs;
    if (o->kind == OP_RET) return 0;
    if (o->kind == OP_SPLIT) return MIN(op_at(g, k, o->next, pair, s), op_at(g, k, o->a, pair, s));
    uint32_t next = op_at(g, k, o->next, pair, s);
    switch (o->kind) {
    case OP_LIT:   return cost_add(cost_wide(k->text[op][0]), next);
    case OP_TEXT:
    case OP_CHARS:
    case OP_RE:    return cost_add(stretch_op_cost(g, op), next);
    case OP_NAME:  return cost_add(cost_wide(k->name[o->a][pair][0]), next);
    case OP_VALUE: return cost_add(slot_cost(b, g, g->pair_goal[pair], o->a, s), next);
    case OP_SLOT:  return cost_add(slot_cost(b, g, o->b, o->a, s), next);
    case OP_CALL:
    case OP_EACH:  return cost_add(k->op[o->a][s], next);
    default:       return cost_add(1, next);            /* class, special */
    }
}

static bool op_relax(struct bind *b, const struct grammar *g, uint32_t op)
{
    struct costs *k = b->costs;
    uint32_t row = k->in_each[op];
    bool better = false;
    for (int s = 0; s < 2; s++) {
        uint32_t best = k->op[op][s];
        for (uint32_t p = 0; row != NONE && p < g->n_pair; p++) {
            uint32_t c = op_cost(b, g, op, p, s), *have = &k->op_pair[(size_t)row * g->n_pair + p][s];
            if (c < *have) { *have = c; better = true; }
            best = MIN(best, c);
        }
        if (row == NONE) best = cost_min(best, op_cost(b, g, op, NONE, s));
        if (best < k->op[op][s]) { k->op[op][s] = best; better = true; }
    }
    return better;
}

/* Unbound name: cost of the best name below a node and of what follows it. */
static void name_nodes(struct bind *b, const struct grammar *g, uint32_t op)
{
    const struct op *o = &g->op[op];
    const struct trie *t = &g->name[o->a];
    uint32_t (*cost)[2] = arena_alloc(&b->mem, t->n_node * sizeof *cost);
    for (uint32_t i = 0; i < t->n_node; i++) cost[i][0] = cost[i][1] = COST_MAX;
    for (uint32_t r = 0; r < t->n_str; r++) {
        uint32_t at = 0, pair = t->id[r];
        for (size_t d = 0; at != NONE; d++) {
            for (int s = 0; s < 2; s++)
                cost[at][s] = MIN(cost[at][s], cost_add(cost_wide(b->costs->name[o->a][pair][d]),
                                                        op_at(g, b->costs, o->next, pair, s)));
            at = d < t->str[r].len ? trie_step(t, at, (uint8_t)t->str[r].p[d]) : NONE;
        }
    }
    b->costs->name_node[op] = cost;
}

static void ops_init(struct bind *b, const struct grammar *g)
{
    struct costs *k = b->costs;
    k->op = arena_alloc(&b->mem, (g->n_op + 1) * sizeof *k->op);
    k->text = arena_zero(&b->mem, (g->n_op + 1) * sizeof *k->text);
    k->name_node = arena_zero(&b->mem, (g->n_op + 1) * sizeof *k->name_node);
    k->in_each = arena_alloc(&b->mem, (g->n_op + 1) * sizeof *k->in_each);
    for (uint32_t i = 0; i < g->n_op; i++) {
        k->in_each[i] = NONE;
        k->op[i][0] = k->op[i][1] = COST_MAX;
        if (g->op[i].kind == OP_LIT) k->text[i] = spell_plain(b, g->text + g->op[i].a, g->op[i].b);
    }
    for (int e = 0; e < 2; e++) {
        k->name[e] = arena_alloc(&b->mem, (g->n_pair + 1) * sizeof *k->name[e]);
        for (uint32_t p = 0; p < g->n_pair; p++)
            k->name[e][p] = spell_plain(b, g->pair_name[e][p].p, g->pair_name[e][p].len);
    }
    for (uint32_t i = 0; i < g->n_op; i++)
        if (g->op[i].kind == OP_EACH) mark_each(g, k, g->op[i].a);
}

static void ops_fill(struct bind *b, const struct grammar *g)
{
    struct costs *k = b->costs;
    ops_init(b, g);
    size_t n = (size_t)k->n_each_op * g->n_pair;
    k->op_pair = arena_alloc(&b->mem, (n + 1) * sizeof *k->op_pair);
    for (size_t i = 0; i < n; i++) k->op_pair[i][0] = k->op_pair[i][1] = COST_MAX;
    bool better = true;
    for (int pass = 0; better && pass < 2000; pass++) {               /* followers are laid out first: forwards is fast */
        better = false;
        for (uint32_t i = 0; i < g->n_op; i++) better |= op_relax(b, g, i);
    }
    for (uint32_t i = 0; i < g->n_op; i++)
        if (g->op[i].kind == OP_NAME) name_nodes(b, g, i);
}

uint32_t cost_text(const struct matcher *m, uint32_t op, uint32_t at) { return cost_wide(m->bind->costs->text[op][at]); }
uint32_t cost_name_node(const struct matcher *m, uint32_t op, uint32_t node, int s) { return m->bind->costs->name_node[op][node][s]; }
uint32_t cost_pair_name(const struct matcher *m, uint32_t escaped, uint32_t pair, uint32_t at)
{
    return cost_wide(m->bind->costs->name[escaped][pair][at]);
}

/* ---- what one token adds --------------------------------------------------------------------- */

/* One word each, so that no lock is needed: the key's upper bits beside the number. */
enum { GROWTH_BITS = 20 };
static _Atomic uint64_t *growth_slot(const struct bind *b, uint64_t key) { return &b->costs->growth[key % N_GROWTH]; }

uint32_t growth_get(const struct bind *b, uint64_t key)
{
    uint64_t have = atomic_load_explicit(growth_slot(b, key), memory_order_relaxed);
    if ((have ^ key) >> GROWTH_BITS) return NONE;
    return (uint32_t)(have & ((1u << GROWTH_BITS) - 1));
}

void growth_put(struct bind *b, uint64_t key, uint32_t growth)
{
    if (growth >> GROWTH_BITS) return;
    atomic_store_explicit(growth_slot(b, key), key >> GROWTH_BITS << GROWTH_BITS | growth, memory_order_relaxed);
}

void cost_ready(const struct matcher *m)
{
    struct bind *b = m->bind;
    const struct grammar *g = m->g;
    if (atomic_load_explicit(&b->ready, memory_order_acquire)) return;
    pthread_mutex_lock(&((struct grammar *)g)->lock);   /* always before the bind's: pricing a goal takes both */
    pthread_mutex_lock(&b->lock);
    if (!b->costs) {
        static const char *const pairs[] = { "\"\"", "[]", "{}" };
        b->costs = mem_zero(sizeof *b->costs);
        for (int i = 0; i < 3; i++) b->costs->pair[i] = one_token(b->v, pairs[i], 2);
        for (int s = 0; s < 2; s++) {
            b->costs->sep[s] = spell_plain(b, g->spell.item[s], g->spell.n_item[s]);
            b->costs->colon[s] = spell_plain(b, g->spell.key[s], g->spell.n_key[s]);
        }
        ops_fill(b, g);
        atomic_store_explicit(&b->ready, true, memory_order_release);
    }
    pthread_mutex_unlock(&b->lock);
    pthread_mutex_unlock(&((struct grammar *)g)->lock);
}

/* ---- bind ------------------------------------------------------------------------------------ */

static bool bind_specials(struct bind *b, const struct grammar *g, struct err *e)
{
    b->special = arena_alloc(&b->mem, (g->n_special + 1) * sizeof *b->special);
    for (uint32_t i = 0; i < g->n_special; i++)
        if ((b->special[i] = vocab_special(b->v, g->special[i])) < 0)
            return err_set(e, ERR_ARG, "the vocabulary has no special token %.80s", g->special[i]);
    return true;
}

static struct bind *bind_new(const struct grammar *g, const struct vocab *v, struct err *e)
{
    struct bind *b = mem_zero(sizeof *b);
    b->v = v;
    b->vocab_id = v->id;
    arena_init(&b->mem, 1024);
    lock_init(&b->lock);
    if (bind_specials(b, g, e)) return b;
    bind_free(b);
    return NULL;
}

struct bind *bind_get(const struct grammar *g, const struct vocab *v, struct err *e)
{
    struct grammar *own = (struct grammar *)g;          /* the list is all that changes, under its lock */
    pthread_mutex_lock(&own->lock);
    struct bind *b = g->bind;
    while (b && b->vocab_id != v->id) b = b->next;
    if (!b && (b = bind_new(g, v, e))) {
        b->next = own->bind;
        own->bind = b;
    }
    pthread_mutex_unlock(&own->lock);
    return b;
}

void bind_free(struct bind *b)
{
    mem_free(b->costs);
    pthread_mutex_destroy(&b->lock);
    arena_done(&b->mem);
    mem_free(b);
}

size_t bind_bytes(const struct bind *b) { return sizeof *b + arena_bytes(&b->mem) + (b->costs ? sizeof *b->costs : 0); }
