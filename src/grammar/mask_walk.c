/* mask_walk.c -- a set of configurations along the vocabulary trie.
 *
 * A node is visited only if the automaton survived the path to it, and only for bytes that some configuration can take.
 * Runs of blanks, digits and plain content are taken in bulk where they mean nothing but themselves. */
#include "grammar/mask.h"

bool affordable(struct walk *w, uint32_t from, uint32_t n)
{
    return spare_of(w, from, n, 0) >= 0;
}

int64_t spare_of(struct walk *w, uint32_t from, uint32_t n, uint32_t more)
{
    if (!w->priced) return INT64_MAX;
    int64_t cost = set_cost(w->m, from, n), most = w->p.most;
    if (cost <= most) w->p.dear = MAX(w->p.dear, (uint32_t)MIN(cost + more, most));
    else w->p.cut = true;
    return most - cost;
}

void walk_leaf(struct walk *w, int32_t token, uint32_t from, uint32_t n)
{
    if (!affordable(w, from, n)) return;
    for (int32_t t = token; t >= 0; t = w->m->v->same[t]) bit_set(w->bits, t);
}

/* A set of all configurations of another but one; returns where it begins. */
static uint32_t set_without(struct matcher *m, uint32_t but, uint32_t from, uint32_t n)
{
    uint32_t at = m->n_conf;
    for (uint32_t i = from; i < from + n; i++) {
        struct conf own = m->conf[i];   /* the list may move */
        if (i == but) continue;
        MEM_GROW(m->conf, m->n_conf, m->cap_conf);
        m->conf[m->n_conf++] = own;
    }
    return at;
}

/* ---- in bulk --------------------------------------------------------------------------------- */

/* How many code points of plain content of a string may surely go on here, whatever they are: NONE where nothing limits
 * them; 0 where an automaton decides, or a limit is near. */
static uint32_t plain_room(struct walk *w, const struct conf *c)
{
    enum { NEAR = 8 };
    const struct matcher *m = w->m;
    uint32_t room = NONE;
    if (c->lex != LEX_NORMAL) return 0;
    if (c->kind == C_STR) {
        const struct shape *sh = shape_at(m, c->ref, c->sh);
        if (sh->kind != SH_STR || sh->str->n_judge) return 0;
        const struct strs *s = sh->str;
        if (s->dfa && (!dfa_state(s->dfa, c->dfa)->total || s->min > c->m || s->max != NONE)) return 0;
        uint32_t spare = m->frame[c->frame].flags & FL_HASH ? unique_spare(m, c) : 0;
        if (s->max != NONE && s->max < c->m + spare + NEAR) return 0;
        if (s->max != NONE) room = s->max - c->m - spare;
    } else if (c->kind == C_KEY) {
        if (!c->cls || m->frame[c->frame].flags & (validating(m) ? FL_ARGS | FL_HASH : FL_ARGS)) return 0;
        const struct obj *o = frame_obj(m, &m->frame[c->frame]);
        if (o->cls[c->cls - 1].s.dfa || o->cls[c->cls - 1].s.max != NONE || c->m + (uint32_t)m->v->max_len > MOST_KEY) return 0;
    } else return 0;
    if (!w->priced) return room;
    if (room != NONE || m->frame[c->frame].flags & FL_HASH) return 0;
    uint32_t all = content_bound(m, c);
    if (all <= w->p.most) w->p.dear = MAX(w->p.dear, all);
    return all <= w->p.most ? room : 0;
}

/* How many digits of a number may follow, whichever they are, the number ending behind each: all that the tokens below the
 * node have, or 0. */
static uint32_t digits_room(const struct walk *w, const struct conf *c, uint32_t node)
{
    const struct matcher *m = w->m;
    const struct vtrie *t = &m->v->all;
    if (c->kind != C_NUM || validating(m) || w->priced) return 0;
    const struct num *p = shape_at(m, c->ref, c->sh)->num;
    uint32_t reach = MIN((uint32_t)t->tall[node] - MIN(t->depth[node], t->tall[node]), (uint32_t)MOST_DIGIT / 2);
    if (m->frame[c->frame].flags & FL_HASH && !roomy_number(m, c, reach)) return 0;
    bool open = reach && (c->lex == NUM_INT || c->lex == NUM_FRAC) && num_is_open(p, c, reach);
    return open ? reach : 0;
}

/* The one number of a set that nothing else in it could take a digit from, `reach` more of which may follow; NULL: there is none,
 * or which digits they are counts. */
static const struct conf *lone_number(const struct walk *w, uint32_t from, uint32_t n, uint32_t reach)
{
    const struct matcher *m = w->m;
    const struct conf *number = NULL;
    for (uint32_t i = from; i < from + n; i++) {
        const struct conf *c = &m->conf[i];
        if (c->kind == C_NEXT || c->kind == C_END) continue;
        if (number || c->kind != C_NUM || validating(m) || w->priced) return NULL;
        if (m->frame[c->frame].flags & FL_HASH && !roomy_number(m, c, reach)) return NULL;
        number = c;
    }
    return number;
}

/* Below a node under which there is nothing but digits: the number alone decides. */
static void walk_digits(struct walk *w, const struct num *p, const struct conf *c, uint32_t node)
{
    const struct vtrie *t = &w->m->v->all;
    for (uint32_t k = t->kid_off[node + 1]; k < t->kid_off[node + 2]; k++) {
        struct conf next = *c;
        if (!num_step(p, false, &next, t->kid_byte[k])) continue;
        uint32_t kid = t->kid[k] - 1;
        for (int32_t id = t->token[kid]; id >= 0; id = w->m->v->same[id]) bit_set(w->bits, id);
        walk_digits(w, p, &next, kid);
    }
}

static bool only_digits(const struct bytemap *below)
{
    return !(below->w[0] & ~(0x3ffull << '0')) && !below->w[1];
}

void run_token(struct walk *w, int32_t t, uint32_t d, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    struct mark before = matcher_mark(m);
    struct bytes b = m->v->bytes[t];
    for (size_t i = d; i < b.len && n; i++) {
        n = set_step(m, from, n, (uint8_t)b.p[i]);
        from = m->set0;
    }
    if (n && affordable(w, from, n)) bit_set(w->bits, t);
    matcher_reset(m, before);
}

void try_alone(struct walk *w, const struct conf *c, int32_t t)
{
    struct matcher *m = w->m;
    struct mark before = matcher_mark(m);
    struct conf own = *c;               /* the list may move */
    MEM_GROW(m->conf, m->n_conf, m->cap_conf);
    m->conf[m->n_conf++] = own;
    run_token(w, t, 0, before.conf, 1);
    matcher_reset(m, before);
}

/* The subtree below a node reached with a set that holds a number of which `room` more digits are fine, whatever they are. */
static void take_digits(struct walk *w, uint32_t room, uint32_t node, uint32_t from, uint32_t n)
{
    const struct vocab *v = w->m->v;
    const struct vtrie *t = &v->all;
    uint32_t d = t->depth[node];
    for (uint32_t i = t->first[node]; i < t->first[t->skip[node]]; i++) {
        int32_t id = t->list[i];
        if (v->bytes[id].len == d || (w->sieve && is_settled(w, id))) continue;   /* the node's own, or known */
        if (v->bytes[id].len - d <= room && v->digits_from[id] <= d) bit_set(w->bits, id);
        else run_token(w, id, d, from, n);
    }
}

/* Content of a plain place with room for so many bytes of it; hashed: what a text is counts, so only plain content is sure. */
static void take_tails(struct walk *w, const struct tails *t, uint32_t room, bool hashed, uint32_t d, uint32_t from, uint32_t n)
{
    const struct vocab *v = w->m->v;
    if (t->longest <= room && !hashed && t->n_word) {
        for (uint32_t i = 0; i < t->n_word; i++) w->bits[t->word[i].at] |= t->word[i].bits;
        return;
    }
    for (uint32_t i = 0; i < t->n_content; i++) {
        int32_t id = t->content[i];
        if (w->sieve && is_settled(w, id)) continue;
        if (v->bytes[id].len - d <= room && (!hashed || v->plain_from[id] <= d)) bit_set(w->bits, id);
        else run_token(w, id, d, from, n);
    }
}

/* Is a token that the plain place does not take open to the configurations beside it, as far as their next byte says? */
static bool is_wanted(const struct walk *w, const struct byteset *may, int32_t id, uint32_t d)
{
    return byteset_has(may, (uint8_t)w->m->v->bytes[id].p[d]) && !is_settled(w, id);
}

/* What the plain place has left open below a node: the other configurations of the set may take it. */
static void walk_beside(struct walk *w, const struct tails *t, uint32_t but, uint32_t node, uint32_t from, uint32_t n)
{
    uint32_t at = set_without(w->m, but, from, n), d = w->m->v->all.depth[node];
    struct byteset may = set_bytes(w->m, at, n - 1);
    bool wanted = false, sieve = w->sieve;
    for (uint32_t i = 0; i < t->n_other && !wanted; i++) wanted = is_wanted(w, &may, t->other[i], d);
    for (uint32_t i = 0; i < t->n_leaver && !wanted; i++) wanted = is_wanted(w, &may, t->leaver[i].id, d);
    if (!wanted) return;
    w->sieve = true;
    walk_node(w, &w->m->v->all, node + 1, at, n - 1);
    w->sieve = sieve;
}

/* The subtree below a node reached with a set that holds a plain place: content of at most `room` bytes is allowed. */
static void take_plain(struct walk *w, const struct conf *c, uint32_t room, uint32_t node, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    const struct conf own = *c;
    uint32_t d = m->v->all.depth[node], but = (uint32_t)(c - m->conf);
    bool hashed = m->frame[c->frame].flags & FL_HASH, leaves = !(hashed && validating(m));
    int esc = value_escapes(m, own.surf);
    struct mark before = matcher_mark(m);
    size_t tmp = arena_mark(&w->tmp);
    struct rests r = { .own = &own };
    struct tails made;
    const struct tails *t = esc == ESC_ANY ? NULL : tails_find(m->v, node, esc);
    if (!t) tails_make(m->v, node, esc, &w->tmp, &made), t = &made;
    take_tails(w, t, room, hashed, d, from, n);
    for (uint32_t i = 0; i < t->n_leaver; i++) {
        int32_t id = t->leaver[i].id;
        if (w->sieve && is_settled(w, id)) continue;
        if (!leaves || leave_plain(w, &r, &t->leaver[i], d) == LEAVE_SEEN) run_token(w, id, d, from, n);
    }
    for (uint32_t i = 0; !leaves && i < t->n_other; i++) run_token(w, t->other[i], d, from, n);
    if (leaves && n > 1) walk_beside(w, t, but, node, from, n);
    arena_reset(&w->tmp, tmp);
    matcher_reset(m, before);
}

/* ---- blanks of flexible spelling ------------------------------------------------------------- */

static bool is_blank(uint8_t b) { return b == ' ' || b == '\n' || b == '\t' || b == '\r'; }

/* Can blanks be read here, each leaving the configuration where it is? */
static bool is_between(const struct matcher *m, const struct conf *c)
{
    bool between = c->kind == C_QUOTE || c->kind == C_COLON || c->kind == C_NEXT || c->kind == C_OPEN || c->kind == C_VALUE;
    return between && m->frame[c->frame].kind != F_CALL;
}

/* Does a blank mean nothing but a blank to all of the set? (In a literal it is a letter.) */
static bool is_airy(const struct matcher *m, uint32_t from, uint32_t n)
{
    bool between = false;
    struct byteset may = { 0 };
    for (uint32_t i = from; i < from + n; i++) {
        if (is_between(m, &m->conf[i])) between = true;
        else byteset_join(&may, set_bytes(m, i, 1));
    }
    return between && !byteset_has(&may, ' ') && !byteset_has(&may, '\n') && !byteset_has(&may, '\t') && !byteset_has(&may, '\r');
}

/* Tokens that are nothing but blanks. */
static void take_blanks(struct walk *w, uint32_t from, uint32_t n)
{
    const struct matcher *m = w->m;
    for (uint32_t i = from; i < from + n; i++) {
        const struct conf *c = &m->conf[i];
        uint32_t room = MOST_BLANK - MIN(c->blank & 0xffu, (uint32_t)MOST_BLANK), lines = MOST_NEWLINE - (c->blank >> 8);
        if (!is_between(m, c)) continue;
        for (uint32_t k = 0; k <= lines; k++)
            for (uint32_t j = m->v->blank_end[k][0]; j < m->v->blank_end[k][room]; j++) bit_set(w->bits, m->v->blank[j]);
    }
}

static struct bytemap solid_bytes(const struct byteset *may)
{
    struct bytemap out = { { may->w[0], may->w[1] } };
    out.w[0] &= ~(1ull << ' ' | 1ull << '\n' | 1ull << '\t' | 1ull << '\r');
    if (may->w[2] | may->w[3]) out.w[0] |= 1;
    return out;
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* Nothing at or below a node of the whole trie is still open. Many readings ask that of the same nodes: what was settled
 * stays so, and the next one begins where the last one found something open. */
static bool all_taken(struct walk *w, const struct vtrie *t, uint32_t node)
{
    uint32_t k = t->first[node], end = t->first[t->skip[node]], at = (node * 2654435761u) >> 26;
    bool noted = t == &w->m->v->all && !w->twin;
    if (noted && w->open[at].node == node + 1) k = w->open[at].from;
    while (k < end && is_settled(w, t->list[k])) k++;
    if (noted) w->open[at].node = node + 1, w->open[at].from = k;
    return k == end;
}

static void step_kid(struct walk *w, const struct vtrie *t, uint32_t i, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    if (w->sieve && all_taken(w, t, i)) return;
    struct mark before = matcher_mark(m);
    uint32_t k = set_step(m, from, n, t->byte[i]), at = m->set0;
    if (k) {
        if (t->token[i] >= 0) walk_leaf(w, t->token[i], at, k);
        const struct conf *safe = NULL;
        uint32_t room = 0;
        for (uint32_t j = at; j < at + k && !room && t == &m->v->all; j++) {
            safe = &m->conf[j];
            room = safe->kind == C_NUM ? digits_room(w, safe, i) : plain_room(w, safe);
        }
        const struct conf *number = room || t != &m->v->all || !only_digits(&t->below[i]) ? NULL
                                        : lone_number(w, at, k, (uint32_t)(t->tall[i] - t->depth[i]));
        if (room && safe->kind == C_NUM) take_digits(w, room, i, at, k);
        else if (room) take_plain(w, safe, room, i, at, k);
        else if (number) walk_digits(w, shape_at(m, number->ref, number->sh)->num, number, i);
        else if (t->skip[i] > i + 1) walk_node(w, t, i + 1, at, k);
    }
    matcher_reset(m, before);
}

/* Behind blanks at the beginning of a token: goes on where something solid lies below. */
static void step_blank(struct walk *w, uint32_t i, const struct bytemap *solid, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    const struct vtrie *t = &m->v->all;
    if (!bytemap_meets(&t->below[i], solid)) return;
    struct mark before = matcher_mark(m);
    uint32_t k = set_step(m, from, n, t->byte[i]), at = m->set0;
    struct byteset may = set_bytes(m, at, k);
    for (uint32_t j = t->kid_off[i + 1]; k && j < t->kid_off[i + 2]; j++) {
        uint32_t kid = t->kid[j] - 1;
        if (!byteset_has(&may, t->kid_byte[j])) continue;
        if (is_blank(t->kid_byte[j])) step_blank(w, kid, solid, at, k);
        else step_kid(w, t, kid, at, k);
    }
    matcher_reset(m, before);
}

void walk_node(struct walk *w, const struct vtrie *t, uint32_t node, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    struct byteset may = set_bytes(m, from, n);
    /* at the root runs of blanks are taken at once; below them only what is not blank is looked for */
    bool airy = !node && m->g->spell.flexible && !validating(m) && !w->priced && t == &m->v->all && is_airy(m, from, n);
    struct bytemap solid = solid_bytes(&may);
    if (airy) take_blanks(w, from, n);
    for (uint32_t k = t->kid_off[node]; k < t->kid_off[node + 1]; k++) {
        uint32_t i = t->kid[k] - 1;
        if (!byteset_has(&may, t->kid_byte[k])) continue;
        if (airy && is_blank(t->kid_byte[k])) step_blank(w, i, &solid, from, n);
        else step_kid(w, t, i, from, n);
    }
}
