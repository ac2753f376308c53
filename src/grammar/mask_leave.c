/* mask_leave.c -- tokens that leave a string or a name: content, its quote, and the beginning of what follows.
 *
 * They are looked at by what follows the quote: there are few such remainders, each is walked once and stands for all
 * tokens that end so. What is left to ask of each token is whether the text may end behind its head. */
#include "grammar/mask.h"

bool is_string(const struct matcher *m, const struct conf *c)
{
    if (c->kind == C_STR) return shape_at(m, c->ref, c->sh)->kind == SH_STR;
    return c->kind == C_KEY && c->cls && !(m->frame[c->frame].flags & FL_ARGS);
}

const struct strs *strs_of(const struct matcher *m, const struct conf *c)
{
    return c->kind == C_STR ? shape_at(m, c->ref, c->sh)->str : &frame_obj(m, &m->frame[c->frame])->cls[c->cls - 1].s;
}

bool ends_behind(const struct matcher *m, const struct conf *c, struct bytes b, size_t head, uint32_t len, uint64_t *hash)
{
    const struct strs *s = strs_of(m, c);
    if (c->kind == C_STR && !s->dfa && !hash) return c->m + len >= s->min && c->m + len <= s->max;
    struct conf t = *c;
    if (c->kind == C_KEY && c->m + len > key_cap(m, c)) return false;
    const struct trie *names = c->kind == C_KEY ? &frame_obj(m, &m->frame[c->frame])->trie : NULL;
    for (size_t i = 0; i < head; i++) {
        uint8_t out[4] = { (uint8_t)b.p[i] };
        int n_out = 1;
        bool plain = t.lex == LEX_NORMAL && out[0] < 0x80 && byte_is_bare(out[0]);
        if (!plain) lex_step(&t.lex, &t.part, value_escapes(m, c->surf), false, (uint8_t)b.p[i], out, &n_out);
        for (int k = 0; k < n_out; k++) {
            if (s->dfa && (t.dfa = dfa_step(s->dfa, s->cls, t.dfa, out[k])) == DFA_DEAD) return false;
            t.aux = key_hash(t.aux, out[k]);
            if (names && t.n != NONE) t.n = trie_step(names, t.n, out[k]);
        }
        if (t.lex == LEX_NORMAL) t.part = 0;
        /* a name that no declared one begins with, and no invented one came before: nothing to compare it with */
        if (names && t.n == NONE && !s->dfa && !m->frame[c->frame].n_dyn) return strs_ends(s, t.dfa, c->m + len);
    }
    t.m += len;
    if (hash) *hash = mix64(t.aux, SALT_TEXT);
    return c->kind == C_KEY ? key_closable(m, &t) : strs_ends(s, t.dfa, t.m);
}

/* ---- one about to leave --------------------------------------------------------------------- */

static void seen_add(struct leaving *l, uint64_t hash) { l->seen[hash >> 6 & 15] |= 1ull << (hash & 63); }

/* Where no automaton decides, only the length does, and for a name whether it is taken: by a declared one, which shows in
 * its first byte, or by an invented one. */
static void leaving_lengths(const struct matcher *m, struct leaving *l)
{
    const struct conf *c = l->c;
    const struct strs *s = strs_of(m, c);
    uint32_t least = s->min, most = s->max;
    l->easy = !s->dfa && !l->guarded;
    if (c->kind == C_KEY) {
        const struct frame *f = &m->frame[c->frame];
        const struct trie *t = &frame_obj(m, f)->trie;
        least = MAX(least, validating(m) ? 0u : 1u);
        most = MIN(most, key_cap(m, c));
        l->easy = l->easy && (!f->n_dyn || (!c->m && c->lex == LEX_NORMAL));   /* hashes of heads are those of whole names */
        l->names = f->n_dyn > 0;
        for (uint32_t i = 0, at = f->dyn; i < f->n_dyn && l->easy; i++, at = (uint32_t)m->word[at + 1]) seen_add(l, m->word[at]);
        byteset_add(&l->first, '\\');
        for (uint32_t i = 0; l->easy && c->n != NONE && i < t->node[c->n].n_child; i++)
            byteset_add(&l->first, t->node[t->node[c->n].child + i].byte);
    }
    l->least = least > c->m ? least - c->m : 0;
    l->most = most == NONE ? NONE : most - MIN(most, c->m);
}

void leaving_init(const struct walk *w, struct leaving *l, const struct conf *c)
{
    const struct matcher *m = w->m;
    const struct frame *f = &m->frame[c->frame];
    *l = (struct leaving){ .c = c, .q = &m->v->quote[c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON] };
    l->guarded = f->flags & FL_HASH && unique_guard(m, c->frame) != NONE;
    for (uint32_t at = l->guarded ? f->texts : NONE; at != NONE; at = (uint32_t)m->word[at + 1])
        seen_add(l, m->word[at]);
    if (l->guarded && w->priced) l->another = unique_another(m, c->frame);
    leaving_lengths(m, l);
}

/* ---- by what follows ------------------------------------------------------------------------- */

/* Does the text end well behind the head of a token? */
static bool head_ends(const struct matcher *m, struct leaving *l, uint32_t i, uint64_t *hash)
{
    const struct quotes *q = l->q;
    struct bytes b = m->v->bytes[q->list[i]];
    uint32_t len = (uint32_t)q->len[i];
    if (len < l->least || len > l->most) return false;
    bool other = l->c->kind == C_STR || (q->head[i] && !byteset_has(&l->first, (uint8_t)*b.p));
    if (l->easy && other && !(l->names && seen_has(l, q->hash[i]))) return true;
    if (hash || q->same[i] >= MOST_HEAD) return ends_behind(m, l->c, b, q->head[i], len, hash);
    enum { UNKNOWN, ENDS, GOES_ON };
    uint8_t *known = &l->ends[q->same[i]];
    if (*known == UNKNOWN) *known = ends_behind(m, l->c, b, q->head[i], len, NULL) ? ENDS : GOES_ON;
    return *known == ENDS;
}

/* The tokens of one remainder, whose end has led to this set. */
static void take_group(struct walk *w, struct leaving *l, uint32_t group, uint32_t from, uint32_t n)
{
    const struct quotes *q = l->q;
    uint32_t lo = q->from[group], hi = q->from[group + 1];
    if (lo == hi) return;
    int64_t spare = spare_of(w, from, n, l->another);
    if (spare < 0) return;
    for (uint32_t i = lo; i < hi; i++) {
        uint64_t hash = 0;
        if (w->many && is_settled(w, q->list[i])) continue;
        if (!head_ends(w->m, l, i, l->guarded ? &hash : NULL)) continue;
        if (l->guarded && (spare < l->another || seen_has(l, hash))) try_alone(w, l->c, q->list[i]);
        else bit_set(w->bits, q->list[i]);
    }
}

/* Are the tokens whose remainder ends at or below a node all taken? */
static bool rests_taken(const struct walk *w, const struct quotes *q, uint32_t node)
{
    for (uint32_t i = q->from[node], end = q->from[q->trie.skip[node - 1] + 1]; i < end; i++)
        if (!is_settled(w, q->list[i])) return false;
    return true;
}

static void walk_rest(struct walk *w, struct leaving *l, uint32_t node, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    struct byteset may = set_bytes(m, from, n);
    const struct vtrie *t = &l->q->trie;
    for (uint32_t k = t->kid_off[node]; k < t->kid_off[node + 1]; k++) {
        if (!byteset_has(&may, t->kid_byte[k]) || (w->many && rests_taken(w, l->q, t->kid[k]))) continue;
        struct mark before = matcher_mark(m);
        uint32_t got = set_step(m, from, n, t->kid_byte[k]), at = m->set0;
        if (got) {
            take_group(w, l, t->kid[k], at, got);
            walk_rest(w, l, t->kid[k], at, got);
        }
        matcher_reset(m, before);
    }
}

void leave_string(struct walk *w, const struct conf *c)
{
    enum { NO_NAME = 0x4e4f };
    struct matcher *m = w->m;
    struct leaving l;
    leaving_init(w, &l, c);
    if (obj_names_scarce(m, c)) {                       /* what may follow depends on which of them it is */
        for (uint32_t i = 0; i < l.q->n_token; i++)
            if (head_ends(m, &l, i, NULL)) try_alone(w, c, l.q->list[i]);
        return;
    }
    struct mark before = matcher_mark(m);
    struct conf any = *c;
    if (c->kind == C_KEY && c->cls) any.aux = mix64(c->aux, NO_NAME);   /* stands for all names that end here: is none of them */
    uint32_t n = set_leave(m, &any), at = m->set0;
    if (n) {
        take_group(w, &l, 0, at, n);
        walk_rest(w, &l, 0, at, n);
    }
    matcher_reset(m, before);
}

/* ---- a plain place among others -------------------------------------------------------------- */

static void rests_open(struct walk *w, struct rests *r)
{
    struct matcher *m = w->m;
    r->open = true;
    r->n = set_leave(m, r->own);
    r->from = m->set0;
    r->may = set_bytes(m, r->from, r->n);
    if (m->frame[r->own->frame].flags & FL_HASH) leaving_init(w, r->l = arena_alloc(&w->tmp, sizeof *r->l), r->own);
}

static bool rest_fits(struct walk *w, struct rests *r, struct bytes rest)
{
    struct matcher *m = w->m;
    if (rest.len ? !byteset_has(&r->may, (uint8_t)*rest.p) : !r->n) return false;
    if (r->known && r->last.len == rest.len && !memcmp(r->last.p, rest.p, rest.len)) return r->ok;
    struct mark before = matcher_mark(m);
    uint32_t from = r->from, n = r->n;
    for (size_t i = 0; i < rest.len && n; i++) {
        n = set_step(m, from, n, (uint8_t)rest.p[i]);
        from = m->set0;
    }
    r->ok = n && affordable(w, from, n);
    r->known = true;
    r->last = rest;
    matcher_reset(m, before);
    return r->ok;
}

enum leave leave_plain(struct walk *w, struct rests *r, const struct leaver *t, uint32_t d)
{
    struct bytes b = w->m->v->bytes[t->id], tail = { b.p + d, b.len - d };
    uint64_t hash = 0;
    if (!r->open) rests_open(w, r);
    bool guarded = r->l && r->l->guarded;
    if (!rest_fits(w, r, t->rest) || !ends_behind(w->m, r->own, tail, t->quote - d, t->len, guarded ? &hash : NULL)) return LEAVE_NOT;
    if (guarded && (w->priced || seen_has(r->l, hash))) return LEAVE_SEEN;
    bit_set(w->bits, t->id);
    return LEAVE_DONE;
}
