/* budget.c -- how many tokens the shortest way to the end takes, never short.
 *
 * One grammar and one vocabulary together give a `bind`. Its tables say what every piece costs; they are
 * filled when a budget is first asked for, and for goals when they are first met. Pieces are
 * spelled apart (a key with its quotes and colon, a literal, a tool name), each with its exact fewest
 * tokens, and added up; sharing a token between two pieces would be cheaper, so the sum is a bound.
 * The bound is consistent: from every position with cost D some token leads to a position with cost
 * at most D - 1. That is the whole promise about max_tokens: as long as only tokens with cost below
 * what is left are allowed, one of them always is.
 *
 * A frame's `need` is the cost from the end of the value inside it to the end of the output, so the
 * cost of a configuration is a table look-up plus one addition. Where alternatives differ in depth,
 * only the flattest count: they fit wherever the goal is offered at all. cost.c has the tables. */
#include "grammar/cost.h"

/* ---- frames ---------------------------------------------------------------------------------- */

static uint32_t pair_of(const struct frame *f) { return f->kind == F_EACH ? f->count : NONE; }

uint32_t frame_need(const struct matcher *m, uint32_t frame, int s);

/* From an op in a frame to the end of output. */
static uint32_t op_rest(const struct matcher *m, uint32_t op, uint32_t frame, int s)
{
    return cost_add(cost_op(m, op, pair_of(&m->frame[frame]), s), frame_need(m, frame, s));
}

/* Separator, name and what leads to the value, then the value. */
static uint32_t key_cost(const struct matcher *m, const struct frame *f, uint32_t key, uint32_t owed, int s)
{
    const struct obj *o = frame_obj(m, f);
    return cost_add(cost_wide(cost_seg(m, f, key, s)->sep[0]), cost_alts(m, &o->key[key].alts, owed, s));
}

/* A whole member with an invented name of class i, its separator included. */
static uint32_t invented_cost(const struct matcher *m, const struct frame *f, uint32_t i, uint32_t owed, int s)
{
    const struct obj *o = frame_obj(m, f);
    const struct kclass *k = &o->cls[i];
    bool args = f->flags & FL_ARGS;
    uint32_t name = k->s.dfa ? dfa_shortest(k->s.dfa, DFA_START, MAX(k->s.min, 1u), k->s.max) : MAX(k->s.min, 1u);
    if (name == NONE) return COST_MAX;
    name = cost_add(name, o->n_key + f->n_dyn + 1);     /* letters that make it a new one */
    uint32_t lead = cost_add(cost_sep(m, s, 0) + (args ? 1 : 2), cost_add(name, args ? 0 : cost_colon(m, s, 0)));
    return cost_add(lead, cost_alts(m, &k->alts, owed, s));
}

struct view { const struct matcher *m; const struct frame *f; uint32_t now; int s; };   /* now: as in object.c */
static uint32_t member_cost(const void *ctx, uint32_t key, uint32_t bits)
{
    const struct view *v = ctx;
    uint32_t best = COST_MAX;
    if (key != NONE) return obj_key_settles(v->m, v->f, key, bits) ? key_cost(v->m, v->f, key, bits, v->s) : best;
    for (uint32_t i = 0; i < frame_obj(v->m, v->f)->n_cls; i++)
        if (obj_class_settles(v->m, v->f, i, bits, i == v->now)) best = cost_min(best, invented_cost(v->m, v->f, i, bits, v->s));
    return best;
}

/* The cheapest members that settle what is owed. now: class of the name that is being invented, NONE. */
static uint32_t debts_cost(const struct matcher *m, const struct frame *f, uint32_t now, int s)
{
    const struct obj *o = frame_obj(m, f);
    struct view v = { m, f, now, s };
    struct owing q = { .o = o, .seen = m->word + f->seen, .must = obj_musts(m, f), .key = NONE, .owed = f->owed,
                       .next = declared_order(m) ? f->next : 0, .room = o->max == NONE ? NONE : o->max - MIN(o->max, f->count),
                       .cost = member_cost, .ctx = &v };
    return owing_settle(&q);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Where keys shut each other out or bring others along, nobody knows which will be left: as if each were the dearest
 * of them, with all that it brings. */
static uint32_t any_extra_cost(const struct matcher *m, const struct frame *f, uint32_t n, int s)
{
    const struct obj *o = frame_obj(m, f);
    uint32_t most = 0;
    for (uint32_t i = 0; i < o->n_cls; i++) {
        uint32_t c = invented_cost(m, f, i, 0, s);
        if (c < COST_MAX) most = MAX(most, cost_add(c, n));
    }
    for (uint32_t i = 0; i < o->n_key; i++) {
        bool later = declared_order(m) && i >= f->next && o->key[i].alts.n && !obj_seen(m, f, i);   /* behind one that must come first */
        if (obj_must(m, f, i) || !(later || obj_offers(m, f, i))) continue;
        uint32_t sum = key_cost(m, f, i, 0, s);
        for (uint32_t j = 0; o->key[i].need && j < o->n_key; j++)
            if (o->key[i].need[j / 64] >> (j % 64) & 1 && !obj_seen(m, f, j)) sum = cost_add(sum, key_cost(m, f, j, 0, s));
        most = MAX(most, sum);
    }
    return most ? (uint32_t)MIN((uint64_t)n * most, (uint64_t)COST_MAX) : COST_MAX;
}

/* n members beyond the required ones: the cheapest there are. */
static uint32_t extra_cost(const struct matcher *m, const struct frame *f, uint32_t n, int s)
{
    const struct obj *o = frame_obj(m, f);
    if (o->n_ban || o->has_need) return any_extra_cost(m, f, n, s);
    uint32_t *list = mem_alloc((o->n_key + 1) * sizeof *list), k = 0, invent = COST_MAX, sum = 0;
    for (uint32_t i = 0; i < o->n_cls; i++) invent = cost_min(invent, invented_cost(m, f, i, 0, s));
    if (invent < COST_MAX) invent = cost_add(invent, n);
    for (uint32_t i = declared_order(m) ? f->next : 0; i < o->n_key; i++)
        if (!obj_must(m, f, i) && !obj_seen(m, f, i) && o->key[i].alts.n) list[k++] = key_cost(m, f, i, 0, s);
    if (k) qsort(list, k, sizeof *list, by_size);
    for (uint32_t i = 0; i < n; i++) {
        if (i < k && list[i] <= invent) sum = cost_add(sum, list[i]);
        else {
            uint64_t rest = (uint64_t)(n - i) * invent;
            sum = cost_add(sum, (uint32_t)MIN(rest, (uint64_t)COST_MAX));
            break;
        }
    }
    mem_free(list);
    return sum;
}

/* Members that must still come, each with its separator. */
static uint32_t obj_todo(const struct matcher *m, const struct frame *f, uint32_t now, int s)
{
    const struct obj *o = frame_obj(m, f);
    uint32_t sum = 0;
    for (uint32_t i = 0; f->missing && i < o->n_key; i++)
        if (obj_must(m, f, i) && !obj_seen(m, f, i)) sum = cost_add(sum, key_cost(m, f, i, 0, s));
    if (f->owed) sum = cost_add(sum, debts_cost(m, f, now, s));
    uint32_t come = f->count + f->missing;
    return come < o->min ? cost_add(sum, extra_cost(m, f, o->min - come, s)) : sum;
}

/* Elements from `from` on that must still come, each with its separator, where each count may be looked at by itself. */
static uint64_t elements_cost(const struct matcher *m, const struct arr *a, uint32_t from, uint32_t lack[MOST_OWED], int s)
{
    uint32_t sep = cost_sep(m, s, 0), p = from;
    uint64_t sum = 0, lacking = 0;
    for (uint32_t i = 0; i < a->n_cont; i++) lacking += lack[i];
    for (; p < a->n_prefix && (p < a->min || lacking) && sum < COST_MAX; p++) {
        uint32_t best = COST_MAX, which = NONE;
        for (uint32_t i = 0; i < a->n_cont; i++) {
            uint32_t c = lack[i] ? cost_alts(m, &a->prefix[p], (uint16_t)(1u << i), s) : COST_MAX;
            if (c < best) { best = c; which = i; }
        }
        if (which == NONE) best = cost_alts(m, &a->prefix[p], 0, s);
        else { lack[which]--; lacking--; }
        sum += (uint64_t)sep + best;
    }
    uint64_t plain = a->min > p ? a->min - p : 0;
    for (uint32_t i = 0; i < a->n_cont; i++)
        if (lack[i]) sum += (uint64_t)lack[i] * (sep + cost_alts(m, &a->rest, (uint16_t)(1u << i), s));
    plain = plain > lacking ? plain - lacking : 0;
    if (plain) sum += plain * ((uint64_t)sep + cost_alts(m, &a->rest, 0, s));
    return sum;
}

struct element { const struct matcher *m; uint16_t height; int s; };   /* height: of the array */
static uint32_t element_cost(const void *ctx, const struct alt *alt)
{
    const struct element *e = ctx;
    bool fits = goal_met(e->m->g, alt->goal) && goal_at(e->m->g, alt->goal)->height < e->height;
    return fits ? cost_add(cost_sep(e->m, e->s, 0), cost_goal(e->m, alt->goal, e->s)) : COST_MAX;
}

/* The same for any array. */
static uint32_t arr_todo(const struct matcher *m, const struct frame *f, uint32_t from, int s)
{
    const struct shape *sh = shape_at(m, f->ref, f->sh);
    const struct arr *a = sh->arr;
    struct element e = { m, sh->height, s };
    struct counting q = { .a = a, .from = from, .cost = element_cost, .ctx = &e };
    for (uint32_t i = 0; i < a->n_cont; i++) {
        uint32_t have = arr_count(m, f, i);
        q.lack[i] = a->cont[i].min - MIN(have, a->cont[i].min);
        q.room[i] = a->cont[i].max == NONE ? NONE : a->cont[i].max - MIN(have, a->cont[i].max);
    }
    uint64_t sum = a->unique ? cost_unique(m, &q, f->n_dyn + (from - f->count)) : 0;
    sum += counts_entangled(&q) ? counts_settle(&q) : elements_cost(m, a, from, q.lack, s);
    return (uint32_t)MIN(sum, (uint64_t)COST_MAX);
}

static uint32_t need_of(const struct matcher *m, const struct frame *f, int s)
{
    switch (f->kind) {
    case F_ROOT: return 1;
    case F_CALL: case F_EACH: return op_rest(m, f->ref, f->parent, s);
    case F_OBJ: {
        uint64_t key = mix64(mix64(f->hash, 0x0b3e), (uint64_t)s);
        uint32_t have = memo_get(m, key);
        if (have != NONE) return have;
        return memo_put(m, key, cost_add(cost_add(obj_todo(m, f, NONE, s), !(f->flags & FL_ARGS)), frame_need(m, f->parent, s)));
    }
    case F_ARR: return cost_add(cost_add(arr_todo(m, f, f->count + 1, s), 1), frame_need(m, f->parent, s));
    default: return frame_need(m, f->parent, s);
    }
}

uint32_t frame_need(const struct matcher *m, uint32_t frame, int s)
{
    struct frame *f = &((struct matcher *)m)->frame[frame];           /* found out once, then kept */
    if (f->need[s] == NONE) {
        uint32_t need = need_of(m, f, s);
        m->frame[frame].need[s] = need;
        return need;
    }
    return f->need[s];
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Behind `lead` tokens stands the value of key; what the object still needs counts the key itself if it must come. */
static uint32_t with_key(const struct matcher *m, const struct conf *c, uint32_t key, uint32_t lead, int s)
{
    const struct frame *f = &m->frame[c->frame];
    const struct alts *l = &frame_obj(m, f)->key[key].alts;
    uint32_t best = COST_MAX;
    for (uint32_t i = 0; i < l->n; i++) {
        if (!obj_takes(m, f, key, &l->alt[i])) continue;
        uint32_t rest = cost_after_key(m, c->frame, key, NONE, l->alt[i].owed, s);
        best = MIN(best, cost_add(cost_add(lead, cost_goal(m, l->alt[i].goal, s)), rest));
    }
    return best;
}

/* What follows the value once the key (NONE: a name of class cls) is written: the object's own needs and all around it. */
uint32_t cost_after_key(const struct matcher *m, uint32_t frame, uint32_t key, uint32_t cls, uint32_t owed, int s)
{
    struct frame f = m->frame[frame];
    const struct obj *o = frame_obj(m, &f);
    uint32_t around = cost_add(!(f.flags & FL_ARGS), frame_need(m, f.parent, s));
    bool simple = !o->has_need && !f.owed && o->min <= o->n_req;
    if (simple) {
        uint32_t todo = frame_need(m, frame, s);
        if (todo >= COST_MAX) return COST_MAX;
        return key != NONE && o->key[key].req ? todo - key_cost(m, &f, key, 0, s) : todo;
    }
    uint64_t memo = mix64(mix64(mix64(f.hash, 0xaf7e), owed), mix64(cls, (uint64_t)key << 1 | (uint64_t)s));
    uint32_t have = memo_get(m, memo);
    if (have != NONE) return have;
    uint64_t word[2 * 64];              /* a copy of the sets with the key in them */
    uint32_t n = o->has_need ? 2 * o->n_word : o->n_word;
    struct matcher *w = (struct matcher *)m;
    struct mark k = matcher_mark(m);
    if (n > LEN(word)) return COST_MAX;
    if (n) memcpy(word, m->word + f.seen, n * sizeof *word);
    uint32_t at = words_take(w, n);
    if (n) memcpy(w->word + at, word, n * sizeof *word);
    if (key != NONE) {
        f.missing = obj_missing_after(m, &f, key);
        w->word[at + key / 64] |= 1ull << (key % 64);
        for (uint32_t i = 0; o->key[key].need && i < o->n_word; i++) w->word[at + o->n_word + i] |= o->key[key].need[i];
        f.next = key + 1;
    } else {                            /* a name that is not known yet, so it is equal to none */
        uint32_t name = words_take(w, 3);
        w->word[name + 1] = f.dyn;
        w->word[name + 2] = (f.n_dyn ? w->word[f.dyn + 2] : 17) * 31;
        f.dyn = name;
        f.n_dyn++;
        f.next = o->n_key;
    }
    f.seen = at;
    f.owed &= ~owed;
    f.count++;
    uint32_t todo = obj_todo(m, &f, cls, s);
    matcher_reset(w, k);
    return memo_put(m, memo, cost_add(todo, around));
}

/* The best way on among offered keys with ranks in [lo, hi): where says which table entry leads. */
enum where { IN_SEP, AT_QUOTE, IN_KEY };
static uint32_t best_key(const struct matcher *m, const struct conf *c, uint32_t lo, uint32_t hi, enum where where,
                         uint32_t at, int s)
{
    const struct frame *f = &m->frame[c->frame];
    const struct obj *o = frame_obj(m, f);
    uint64_t memo = mix64(mix64(mix64(f->hash, (uint64_t)lo << 32 | hi), (uint64_t)at << 8 | (uint64_t)where), (uint64_t)s);
    uint32_t best = memo_get(m, memo);
    if (best != NONE) return best;
    best = COST_MAX;
    for (uint32_t r = lo; r < hi; r++) {
        uint32_t key = o->trie.id[r];
        const struct seg *g = cost_seg(m, f, key, s);
        uint32_t lead = cost_wide(where == IN_SEP ? g->sep[at] : where == AT_QUOTE ? g->quote : g->key[at]);
        if (lead >= best || !obj_offers(m, f, key)) continue;
        best = MIN(best, with_key(m, c, key, lead, s));
    }
    return memo_put(m, memo, best);
}

/* Behind an invented name: its quote, what leads to the value, the value and the rest. */
static uint32_t behind_name(const struct matcher *m, const struct conf *c, int s)
{
    const struct frame *f = &m->frame[c->frame];
    uint64_t key = mix64(mix64(f->hash, 0xbe41), (uint64_t)c->cls << 1 | (uint64_t)s);
    uint32_t have = memo_get(m, key);
    if (have != NONE) return have;
    const struct alts *l = &frame_obj(m, f)->cls[c->cls - 1].alts;
    uint32_t colon = f->flags & FL_ARGS ? 0 : cost_colon(m, s, 0), best = COST_MAX;
    for (uint32_t i = 0; i < l->n && obj_invents(m, f, c->cls - 1u); i++)
        best = MIN(best, cost_add(cost_goal(m, l->alt[i].goal, s), cost_after_key(m, c->frame, NONE, c->cls - 1u, l->alt[i].owed, s)));
    return memo_put(m, key, cost_add(1 + colon, best));
}

/* An invented name of a class from this point on, its value and the rest. */
static uint32_t invent(const struct matcher *m, const struct conf *c, int s)
{
    uint32_t behind = behind_name(m, c, s);
    return behind >= COST_MAX ? COST_MAX : cost_add(behind, key_extend(m, c));
}

uint32_t cost_behind_text(const struct matcher *m, const struct conf *c)
{
    int s = c->style == STYLE_OWN;
    cost_ready(m);
    return c->kind == C_KEY ? behind_name(m, c, s) : cost_add(1, frame_need(m, c->frame, s));
}

static uint32_t cost_key_conf(const struct matcher *m, const struct conf *c, int s)
{
    const struct frame *f = &m->frame[c->frame];
    const struct trie *t = &frame_obj(m, f)->trie;
    if (c->cls) return invent(m, c, s);
    if (c->n == NONE) return COST_MAX;
    const struct tnode *p = &t->node[c->n];
    if (c->lex == LEX_NORMAL || c->lex >= LEX_UTF8)     /* the trie follows code points byte by byte */
        return best_key(m, c, p->lo, p->hi, IN_KEY, p->depth, s);
    uint32_t best = COST_MAX;
    for (uint32_t i = p->child; i < p->child + p->n_child; i++) {
        const struct tnode *k = &t->node[i];
        if (!escape_means(m, k, c, f)) continue;
        uint32_t left = (uint32_t)lex_left(c->lex, c->part, value_escapes(m, c->surf), k->byte);
        best = MIN(best, cost_add(left, best_key(m, c, k->lo, k->hi, IN_KEY, k->depth, s)));
    }
    return best;
}

/* A key still to begin: behind `at` bytes of the separator, or before the quote. */
static uint32_t cost_next_key(const struct matcher *m, const struct conf *c, enum where where, int s)
{
    const struct frame *f = &m->frame[c->frame];
    const struct obj *o = frame_obj(m, f);
    uint32_t lead = where == IN_SEP ? cost_sep(m, s, c->n) : 0, quote = !(f->flags & FL_ARGS);
    uint32_t best = best_key(m, c, 0, o->trie.n_str, where, c->n, s);
    struct conf key = { .kind = C_KEY, .frame = c->frame, .ref = f->ref, .sh = f->sh, .dfa = DFA_START };
    for (uint32_t i = 0; i < o->n_cls; i++) {
        key.cls = (uint8_t)(i + 1);
        best = MIN(best, cost_add(lead + quote, invent(m, &key, s)));
    }
    return best;
}

/* ---- texts and containers -------------------------------------------------------------------- */

/* Bytes to the end of a text that stands inside of a code point. The automaton may not tell such places apart (where any
 * code point will do), so its rest is tried out. */
static uint32_t half_left(const struct strs *st, int utf8, uint32_t state, uint32_t lo, uint32_t hi)
{
    if (!utf8) return MIN(dfa_shortest(st->dfa, state, lo, hi), COST_MAX);
    uint32_t best = COST_MAX;
    uint64_t seen[4] = { 0 };
    for (int b = 0x80; b < 0xc0; b++) {
        uint8_t cls = st->cls[b];
        int next = utf8_dfa(utf8, (uint8_t)b);
        if (next < 0 || seen[cls >> 6] >> (cls & 63) & 1) continue;
        seen[cls >> 6] |= 1ull << (cls & 63);
        uint32_t to = dfa_step(st->dfa, st->cls, state, (uint8_t)b);
        if (to != DFA_DEAD) best = cost_min(best, cost_add(1, half_left(st, next, to, lo, hi)));
    }
    return best;
}

uint32_t strs_left(const struct strs *st, int esc, const struct conf *c)
{
    uint32_t pending = (uint32_t)lex_pending(c->lex), lo = st->min > c->m ? st->min - c->m : 0;
    if (!st->dfa) return cost_add(pending, lo);
    uint32_t hi = st->max == NONE ? NONE : st->max - MIN(c->m, st->max), best = COST_MAX;
    if (c->lex == LEX_NORMAL || c->lex >= LEX_UTF8) return half_left(st, c->lex ? c->lex - LEX_UTF8 : 0, c->dfa, lo, hi);
    for (int b = 1; b <= '\\'; b = b == 0x1f ? '"' : b == '"' ? '\\' : b + 1) {
        int more = lex_left(c->lex, c->part, esc, (uint8_t)b);
        uint32_t to = more < 0 ? DFA_DEAD : dfa_step(st->dfa, st->cls, c->dfa, (uint8_t)b);
        if (to != DFA_DEAD) best = MIN(best, cost_add((uint32_t)more, MIN(dfa_shortest(st->dfa, to, lo, hi), COST_MAX)));
    }
    return best;
}

uint32_t strs_worst(const struct strs *st, uint32_t len)
{
    uint32_t worst = dfa_worst(st->dfa), room = st->max == NONE ? NONE : st->max - MIN(len, st->max);
    bool free = st->min <= len && (room == NONE || (worst != NONE && room >= worst));
    uint32_t full = room == NONE || room > COST_MAX / 8 ? COST_MAX : room * 6;        /* as escapes take them */
    return cost_add(free ? MIN(worst, full) : full, MOST_PENDING);    /* and half a code point or escape first */
}

static uint32_t cost_str(const struct matcher *m, const struct conf *c, int s)
{
    const struct shape *sh = shape_at(m, c->ref, c->sh);
    uint32_t need = frame_need(m, c->frame, s);
    if (sh->kind == SH_STR) return cost_add(cost_add(strs_left(sh->str, value_escapes(m, c->surf), c), 1), need);
    const uint32_t *cost = cost_lit(m, sh->lit, true);
    if (c->lex == LEX_NORMAL || c->lex >= LEX_UTF8) return cost_add(cost[c->n], need);
    uint32_t best = COST_MAX;
    const struct tnode *p = &sh->lit->node[c->n];
    for (uint32_t i = p->child; i < p->child + p->n_child; i++)
        if (escape_means(m, &sh->lit->node[i], c, NULL))
            best = cost_min(best, cost_add((uint32_t)lex_left(c->lex, c->part, value_escapes(m, c->surf), sh->lit->node[i].byte), cost[i]));
    return cost_add(best, need);
}

/* Right behind [ or a whole element, and behind part of a separator. */
static uint32_t cost_arr(const struct matcher *m, const struct conf *c, int s)
{
    const struct frame *f = &m->frame[c->frame];
    uint32_t todo = arr_todo(m, f, f->count, s), around = cost_add(1, frame_need(m, f->parent, s));
    if (c->kind != C_SEP) return cost_add(todo, around);
    const struct alts *l = item_alts(frame_arr(m, f), f->count);
    uint32_t best = COST_MAX;
    for (uint32_t i = 0; i < l->n; i++) {
        if (!arr_offers(m, f, &l->alt[i])) continue;
        struct matcher *w = (struct matcher *)m;
        struct mark k = matcher_mark(m);
        struct frame own = *f;
        if (l->alt[i].owed) {
            uint32_t n = frame_arr(m, f)->n_cont;
            own.seen = words_take(w, n);
            for (uint32_t j = 0; j < n; j++) w->word[own.seen + j] = m->word[f->seen + j] + (l->alt[i].owed >> j & 1);
        }
        uint32_t rest = cost_add(arr_todo(m, &own, own.count + 1, s), around);
        matcher_reset(w, k);
        f = &m->frame[c->frame];
        uint32_t one = cost_add(cost_goal(m, l->alt[i].goal, s), cost_other(m, frame_arr(m, f), l->alt[i].owed, f->n_dyn));
        best = MIN(best, cost_add(one, rest));
    }
    return cost_add(cost_sep(m, s, c->n), best);
}

static uint32_t cost_name(const struct matcher *m, const struct conf *c, int s)
{
    const struct op *o = &m->g->op[c->ref];
    const struct frame *f = &m->frame[c->frame];
    if (f->count == NONE) return cost_add(cost_name_node(m, c->ref, c->n, s), frame_need(m, c->frame, s));
    return cost_add(cost_pair_name(m, o->a, f->count, c->n), op_rest(m, o->next, c->frame, s));
}

static uint32_t cost_of(const struct matcher *m, const struct conf *c, int s)
{
    const struct frame *f = &m->frame[c->frame];
    const struct op *o = &m->g->op[c->kind <= C_NAME ? c->ref : 0];
    switch (c->kind) {
    case C_LIT: return cost_add(cost_text(m, c->ref, c->n), op_rest(m, o->next, c->frame, s));
    case C_CLASS:
    case C_SPECIAL: return cost_add(1, op_rest(m, o->next, c->frame, s));
    case C_TEXT:
    case C_CHARS:
    case C_RE:    return cost_add(stretch_cost(m->g, c), op_rest(m, o->next, c->frame, s));
    case C_NAME:  return cost_name(m, c, s);
    case C_VALUE: return cost_add(cost_goal(m, c->ref, s), frame_need(m, c->frame, s));
    case C_STR:   return cost_str(m, c, s);
    case C_KEY:   return cost_key_conf(m, c, s);
    case C_NUM:
        return cost_add(validating(m) ? 0 : num_left(shape_at(m, c->ref, c->sh)->num, c), frame_need(m, c->frame, s));
    case C_NUMLIT:
        return cost_add(cost_lit(m, shape_at(m, c->ref, c->sh)->lit, false)[c->n], frame_need(m, c->frame, s));
    case C_WORD:
        return cost_add((uint32_t)strlen(word_text(shape_at(m, c->ref, c->sh)->kind, c->surf)) - c->n,
                        frame_need(m, c->frame, s));
    case C_COLON:
        return cost_add(cost_add(cost_colon(m, s, c->n), cost_goal(m, c->ref, s)), frame_need(m, c->frame, s));
    case C_QUOTE: return cost_next_key(m, c, AT_QUOTE, s);
    case C_SEP:   return f->kind == F_ARR ? cost_arr(m, c, s) : cost_next_key(m, c, IN_SEP, s);
    case C_OPEN:
    case C_NEXT:
        if (f->kind == F_ARR) return cost_arr(m, c, s);
        return frame_need(m, c->frame, s);
    default:      return 1;                             /* C_END: the end-of-turn token */
    }
}

uint32_t conf_cost(const struct matcher *m, const struct conf *c)
{
    cost_ready(m);
    int s = c->style == STYLE_OWN;
    if (!(m->frame[c->frame].flags & FL_HASH) || m->probing) return cost_of(m, c, s);      /* looking ahead is led by the plain cost */
    const struct conf own = *c;         /* looking ahead moves the list it lies in */
    uint64_t key = conf_hash(m, &own, 0x0e1f);
    uint32_t top, have = memo_get(m, key);
    if (have != NONE) return have;
    uint32_t way = unique_way(m, &own, &top);
    if (way != NONE) return memo_put(m, key, cost_add(way, frame_need(m, top, s)));
    return memo_put(m, key, cost_add(cost_of(m, &own, s), unique_detour(m, &own)));
}

uint32_t set_cost(const struct matcher *m, uint32_t from, uint32_t n)
{
    uint32_t best = COST_MAX;
    for (uint32_t i = from; i < from + n; i++) best = cost_min(best, conf_cost(m, &m->conf[i]));
    return best;
}

bool text_bound(const struct matcher *m, const struct conf *c, uint32_t *whole)
{
    if (c->kind != C_TEXT || c->lex || !stretch_dense(m->g, c, (uint32_t)m->v->max_len)) return false;
    *whole = conf_cost(m, c);
    return true;
}

int matcher_shortest(struct matcher *m)
{
    const struct snap *t = matcher_top(m);
    if (t->finished || !m->v) return 0;
    return (int)set_cost(m, t->conf, t->n_conf);
}
