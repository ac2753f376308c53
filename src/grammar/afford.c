/* afford.c -- the content tokens of a string or invented name that leave enough of the budget.
 *
 * Behind any content token stands the same configuration with a longer text, so its cost is what stands
 * behind the text (one sum for all tokens) and the bytes that finish it: letters up to the least length, the
 * rest of a begun code point or escape, the way of an automaton to its end. Only tokens that spell
 * a name already taken cost more: they are found along the declared names, or by their hashes, and tried. */
#include "grammar/cost.h"

static void bit_set(uint32_t *bits, int32_t t) { bits[t / 32] |= 1u << (t % 32); }
static void bit_clear(uint32_t *bits, int32_t t) { bits[t / 32] &= ~(1u << (t % 32)); }
static bool bit_get(const uint32_t *bits, int32_t t) { return bits[t / 32] >> (t % 32) & 1; }

static int esc_of(const struct conf *c) { return c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON; }

/* The texts that content must belong to, its longest length cut to what a name may have. */
static struct strs strs_here(const struct matcher *m, const struct conf *c)
{
    if (c->kind == C_STR) return *shape_at(m, c->ref, c->sh)->str;
    struct strs s = frame_obj(m, &m->frame[c->frame])->cls[c->cls - 1].s;
    if (!s.dfa) s.min = MAX(s.min, 1u); /* behind one letter an automaton need not be told */
    s.max = MIN(s.max, key_cap(m, c));
    return s;
}

/* Letters that make a text new once its bytes are not known any more: an upper bound. */
static uint32_t slack(const struct matcher *m, const struct conf *c)
{
    if (c->kind == C_STR) return unique_slack(m, c);
    const struct frame *f = &m->frame[c->frame];
    return c->n == NONE && !f->n_dyn ? 0 : frame_obj(m, f)->n_key + f->n_dyn + 1;
}

static uint32_t lack_of(const struct strs *s, uint32_t len) { return s->min > len ? s->min - len : 0; }

/* Inside of an element that must differ from others, other than as its whole text. */
static bool is_guarded(const struct matcher *m, const struct conf *c)
{
    return m->frame[c->frame].flags & FL_HASH && unique_slack(m, c) && !unique_by_text(m, c);
}

/* There a text like none before costs the way that looking ahead finds; one seen before a letter more for each. */
static uint32_t guarded_bound(const struct matcher *m, const struct conf *c, const struct strs *s)
{
    struct conf fresh = *c;
    fresh.aux = ~mix64(c->aux, 0x5eed);
    fresh.n = c->kind == C_KEY ? NONE : c->n;
    uint32_t more = s->dfa ? strs_worst(s, c->m) : MOST_PENDING;
    return cost_add(conf_cost(m, &fresh), cost_add(more, slack(m, c) + unique_slack(m, c) + 8));
}

uint32_t content_bound(const struct matcher *m, const struct conf *c)
{
    struct strs s = strs_here(m, c);
    if (is_guarded(m, c)) return guarded_bound(m, c, &s);
    uint32_t left = s.dfa ? strs_worst(&s, c->m) : cost_add(lack_of(&s, c->m), MOST_PENDING);
    return cost_add(cost_behind_text(m, c), cost_add(left, slack(m, c)));
}

/* ---- tokens that are tried ------------------------------------------------------------------- */

/* Keeps the token's bit only if its output is cheap enough. */
static void try_token(struct matcher *m, const struct conf *c, int32_t t, uint32_t *bits, uint32_t most)
{
    struct mark before = matcher_mark(m);
    struct bytes b = m->v->bytes[t];
    uint32_t from = m->n_conf, n = 1;
    MEM_GROW(m->conf, m->n_conf, m->cap_conf);
    m->conf[m->n_conf++] = *c;
    for (size_t i = 0; i < b.len && n; i++) {
        n = set_step(m, from, n, (uint8_t)b.p[i]);
        from = m->set0;
    }
    if (!n || set_cost(m, from, n) > most) bit_clear(bits, t);
    matcher_reset(m, before);
}

/* Names and texts that are taken: hashes, one bit of each in a filter. */
struct taken { const struct matcher *m; const struct conf *c; const struct trie *trie; uint64_t filter; uint32_t n; };

static struct taken taken_here(const struct matcher *m, const struct conf *c)
{
    struct taken t = { .m = m, .c = c };
    const struct frame *f = &m->frame[c->frame];
    if (c->kind == C_KEY && c->n != NONE) t.trie = &frame_obj(m, f)->trie;
    t.n = c->kind == C_KEY ? f->n_dyn : unique_by_text(m, c) ? f->n_dyn : 0;
    uint32_t at = f->dyn;
    for (uint32_t i = 0; i < t.n; i++, at = (uint32_t)m->word[at + 1]) t.filter |= 1ull << (m->word[at] & 63);
    return t;
}

static bool is_taken(const struct taken *t, uint32_t node, uint64_t hash)
{
    if (t->trie && node != NONE && t->trie->node[node].is_leaf) return true;
    const struct frame *f = &t->m->frame[t->c->frame];
    if (t->c->kind == C_STR) hash = unique_text_hash(hash);
    if (!t->n || !(t->filter >> (hash & 63) & 1)) return false;
    return t->c->kind == C_STR ? unique_used(t->m, f, hash) : name_used(t->m, f, hash);
}

/* Tokens of plain content behind which the text is taken (on_trie: or the beginning of a declared name). */
static void try_taken(struct matcher *m, const struct conf *c, uint32_t *bits, uint32_t most, bool on_trie)
{
    struct taken t = taken_here(m, c);
    const struct vtrie *v = &m->v->all;
    if (!t.trie && !t.n) return;
    struct at { uint32_t node; uint64_t hash; } *at = mem_alloc((size_t)(m->v->max_len + 2) * sizeof *at);
    at[0] = (struct at){ c->kind == C_KEY ? c->n : NONE, c->aux };
    for (uint32_t i = 0; i < v->n;) {
        struct at up = at[v->depth[i] - 1], *own = &at[v->depth[i]];
        uint8_t b = v->byte[i];
        bool plain = b >= 0x20 && b != '"' && b != '\\';
        own->node = up.node == NONE || !plain || !t.trie ? NONE : trie_step(t.trie, up.node, b);
        if (!plain || (own->node == NONE && !t.n)) { i = v->skip[i]; continue; }
        own->hash = key_hash(up.hash, b);
        if (v->token[i] >= 0 && bit_get(bits, v->token[i]) && ((on_trie && own->node != NONE) || is_taken(&t, own->node, own->hash)))
            for (int32_t k = v->token[i]; k >= 0; k = m->v->same[k]) try_token(m, c, k, bits, most);
        i++;
    }
    mem_free(at);
}

/* ---- texts of any letters -------------------------------------------------------------------- */

/* Tokens with a backslash or half a code point at their end. */
static void halves(struct matcher *m, const struct conf *c, const struct strs *s, uint32_t *bits, uint32_t behind, uint32_t most)
{
    const struct vocab *v = m->v;
    const struct strclass *k = &v->str[esc_of(c)];
    bool easy = !slack(m, c);
    for (size_t w = 0; w < v->n_word; w++)
        for (uint32_t x = bits[w] & v->is_part[w]; x; x &= x - 1) {
            int32_t t = (int32_t)(w * 32) + __builtin_ctz(x);
            if (!easy) { try_token(m, c, t, bits, most); continue; }
            if (behind + k->pending[t] + lack_of(s, c->m + (uint32_t)k->len[t]) > most) bit_clear(bits, t);
        }
}

/* Lengths count, nothing else: the tokens long enough to come near enough to the least one. */
static void letters(struct matcher *m, const struct conf *c, const struct strs *s, uint32_t *bits, uint32_t behind, uint32_t most)
{
    const struct strclass *k = &m->v->str[esc_of(c)];
    uint32_t lack = lack_of(s, c->m), spare = most - behind, room = s->max == NONE ? NONE : s->max - MIN(s->max, c->m);
    uint32_t lo = lack > spare ? lack - spare : 0, last = k->n_len - 1;
    if (!lo) { vocab_str_mask(m->v, esc_of(c), room, bits); return; }
    if (lo > last) return;
    for (uint32_t i = k->len_end[lo - 1]; i < k->len_end[MIN(room, last)]; i++) bit_set(bits, k->by_len[i]);
}

/* Too near to the end for bulk: single bytes are enough to go the way that was found. */
static void bytes_only(struct matcher *m, const struct conf *c, uint32_t *bits, uint32_t most)
{
    const struct vtrie *v = &m->v->all;
    uint32_t *own = mem_zero(m->v->n_word * sizeof *own);
    for (uint32_t k = v->kid_off[0]; k < v->kid_off[1]; k++) {
        int32_t t = v->token[v->kid[k] - 1];
        if (t < 0) continue;
        bit_set(own, t);
        try_token(m, c, t, own, most);
        if (bit_get(own, t)) bit_set(bits, t);
    }
    mem_free(own);
}

/* ---- both kinds ------------------------------------------------------------------------------ */

static void merge(struct matcher *m, uint32_t *bits, const uint32_t *own)
{
    for (size_t i = 0; i < m->v->n_word; i++) bits[i] |= own[i];
}

static void by_letters(struct matcher *m, const struct conf *c, const struct strs *s, uint32_t *bits, uint32_t behind, uint32_t most)
{
    uint32_t *own = mem_zero(m->v->n_word * sizeof *own);
    letters(m, c, s, own, behind, most);
    halves(m, c, s, own, behind, most);
    try_taken(m, c, own, most, false);
    merge(m, bits, own);
    mem_free(own);
}

/* Names that leave the declared ones cost less than those that may still be one. */
static void by_automaton(struct matcher *m, const struct conf *c, const struct strs *s, uint32_t *bits, uint32_t behind,
                         struct price *p)
{
    uint32_t dear = 0, more = slack(m, c);
    bool leaves = c->kind == C_KEY && c->n != NONE && !m->frame[c->frame].n_dyn;
    if (!leaves) behind = cost_add(behind, more);
    if (behind > p->most) { p->cut = true; return; }
    if (!leaves || cost_add(behind, cost_add(more, strs_worst(s, c->m))) <= p->most) {
        p->cut |= dense_strs_within(m->v, s, c->dfa, c->m, esc_of(c), p->most - behind, bits, &dear);
        p->dear = MAX(p->dear, cost_add(behind, cost_add(dear, leaves ? more : 0)));
        return;
    }
    uint32_t *own = mem_zero(m->v->n_word * sizeof *own);
    dense_strs_within(m->v, s, c->dfa, c->m, esc_of(c), p->most - behind, own, &dear);
    try_taken(m, c, own, p->most, true);
    for (size_t w = 0; w < m->v->n_word; w++)
        for (uint32_t x = own[w] & m->v->is_part[w]; x; x &= x - 1) try_token(m, c, (int32_t)(w * 32) + __builtin_ctz(x), own, p->most);
    p->cut = true;
    merge(m, bits, own);
    mem_free(own);
}

void content_afford(struct matcher *m, const struct conf *c, uint32_t *bits, struct price *p)
{
    struct strs s = strs_here(m, c);
    uint32_t behind = cost_behind_text(m, c), all = content_bound(m, c);
    if (c->kind == C_STR && !unique_by_text(m, c)) behind = cost_add(behind, unique_slack(m, c));
    if (behind >= COST_MAX) {           /* cannot be ended at all, or never in time */
        p->cut = true;
        if (p->most < COST_MAX) return;
    }
    if (is_guarded(m, c)) {
        if (all > p->most) {
            p->cut = true;
            bytes_only(m, c, bits, p->most);
            return;
        }
        p->dear = MAX(p->dear, all);
        if (s.dfa) dense_strs(m->v, &s, c->dfa, c->m, esc_of(c), bits);
        else letters(m, c, &s, bits, 0, p->most);
        return;
    }
    if (s.dfa) { by_automaton(m, c, &s, bits, behind, p); return; }
    if (all <= p->most) {
        letters(m, c, &s, bits, 0, p->most);
        p->dear = MAX(p->dear, all);
        return;
    }
    p->cut = true;
    if (behind <= p->most) by_letters(m, c, &s, bits, behind, p->most);
}
