/* mask.c -- which tokens may come next: the configurations walked along the vocabulary trie.
 *
 * A node of the trie is visited only if the automaton survived the path to it, and only for bytes
 * that some configuration can take, so sparse masks are cheap by themselves. Dense places, the inside
 * of strings, invented keys and free text, take ready or remembered masks of content tokens (dense.c); tokens
 * that leave a string are looked at by what follows their quote: few remainders are walked, and each stands
 * for all tokens that end so. Masks are remembered per set of configurations, with string lengths
 * clipped to what a token can reach.
 *
 * Under a budget every allowed token is also priced (budget.c), content in bulk (afford.c). How much the dearest
 * token of a mask adds to the cost is remembered: with that much to spare the mask is the plain one. */
#include "grammar/int.h"

struct walk {
    struct matcher *m;
    uint32_t *bits;
    bool priced;                        /* tokens whose output costs more than p.most are refused */
    struct price p;
    bool sieve;                         /* what is in bits already need not be looked at */
    bool many;                          /* so many configurations that most allow what others have allowed */
    bool twin;                          /* only tokens count that close the container around */
    uint32_t content[2];                /* by escapes: 1 + the room for which plain content has been taken */
    struct arena tmp;
};

static void bit_set(uint32_t *bits, int32_t t) { bits[t / 32] |= 1u << (t % 32); }
static bool bit_has(const uint32_t *bits, int32_t t) { return bits[t / 32] >> (t % 32) & 1; }

/* Is it known what becomes of a token? */
static bool is_settled(const struct walk *w, int32_t t)
{
    return bit_has(w->bits, t) || (w->twin && !bit_has(w->m->v->closers, t));
}

static bool affordable(struct walk *w, uint32_t from, uint32_t n)
{
    if (!w->priced) return true;
    uint32_t cost = set_cost(w->m, from, n);
    if (cost <= w->p.most) w->p.dear = MAX(w->p.dear, cost);
    else w->p.cut = true;
    return cost <= w->p.most;
}

static void leaf(struct walk *w, int32_t token, uint32_t from, uint32_t n)
{
    if (!affordable(w, from, n)) return;
    for (int32_t t = token; t >= 0; t = w->m->v->same[t]) bit_set(w->bits, t);
}

/* ---- strings ---------------------------------------------------------------------------------- */

static bool is_string(const struct matcher *m, const struct conf *c)
{
    if (c->kind == C_STR) return shape_at(m, c->ref, c->sh)->kind == SH_STR;
    return c->kind == C_KEY && c->cls && !(m->frame[c->frame].flags & FL_ARGS);
}

static const struct strs *strs_of(const struct matcher *m, const struct conf *c)
{
    return c->kind == C_STR ? shape_at(m, c->ref, c->sh)->str : &frame_obj(m, &m->frame[c->frame])->cls[c->cls - 1].s;
}

/* May the string end behind these bytes of content? *hash (NULL: nobody asks): tells the text from others. */
static bool ends_behind(const struct matcher *m, const struct conf *c, struct bytes b, size_t head, uint32_t len, uint64_t *hash)
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

/* ---- walking --------------------------------------------------------------------------------- */

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
    if (c->kind != C_NUM || validating(m) || w->priced || m->frame[c->frame].flags & FL_HASH) return 0;
    const struct num *p = shape_at(m, c->ref, c->sh)->num;
    uint32_t reach = MIN((uint32_t)t->tall[node] - MIN(t->depth[node], t->tall[node]), (uint32_t)MOST_DIGIT / 2);
    bool open = reach && (c->lex == NUM_INT || c->lex == NUM_FRAC) && num_is_open(p, c, reach);
    return open ? reach : 0;
}

/* The one number of a set that nothing else in it could take a digit from; NULL: there is none, or the digits count. */
static const struct conf *lone_number(const struct walk *w, uint32_t from, uint32_t n)
{
    const struct matcher *m = w->m;
    const struct conf *number = NULL;
    for (uint32_t i = from; i < from + n; i++) {
        const struct conf *c = &m->conf[i];
        if (c->kind == C_NEXT || c->kind == C_END) continue;
        if (number || c->kind != C_NUM || validating(m) || w->priced || m->frame[c->frame].flags & FL_HASH) return NULL;
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

/* A token whose first d bytes have led to this set: the others one by one. */
static void run_token(struct walk *w, int32_t t, uint32_t d, uint32_t from, uint32_t n)
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

/* A token tried from one configuration. */
static void try_alone(struct walk *w, const struct conf *c, int32_t t)
{
    struct matcher *m = w->m;
    struct mark before = matcher_mark(m);
    struct conf own = *c;               /* the list may move */
    MEM_GROW(m->conf, m->n_conf, m->cap_conf);
    m->conf[m->n_conf++] = own;
    run_token(w, t, 0, before.conf, 1);
    matcher_reset(m, before);
}

static void walk_node(struct walk *w, const struct vtrie *t, uint32_t node, uint32_t from, uint32_t n);

/* What may follow the closing quote of one configuration, remembered by the bytes that follow: few are different. */
enum { N_REST = 256 };
struct rests { const struct conf *c; uint32_t from, n; struct mark mark; struct bytes text[N_REST]; uint8_t ok[N_REST]; };

static void rests_open(struct walk *w, struct rests *r, const struct conf *c)
{
    *r = (struct rests){ .c = c, .mark = matcher_mark(w->m) };
    r->n = set_leave(w->m, c);
    r->from = w->m->set0;
}

static bool rest_fits(struct walk *w, struct rests *r, struct bytes rest)
{
    struct matcher *m = w->m;
    size_t at = hash64(rest.p, rest.len, 3) % N_REST;
    if (r->ok[at] && r->text[at].len == rest.len && !memcmp(r->text[at].p, rest.p, rest.len)) return r->ok[at] == 1;
    struct mark before = matcher_mark(m);
    uint32_t from = r->from, n = r->n;
    for (size_t i = 0; i < rest.len && n; i++) {
        n = set_step(m, from, n, (uint8_t)rest.p[i]);
        from = m->set0;
    }
    bool ok = n && affordable(w, from, n);
    matcher_reset(m, before);
    r->text[at] = rest;
    r->ok[at] = ok ? 1 : 2;
    return ok;
}

/* What a token is from byte d on to a string that stands between code points there: all of it content; content up to
 * a bare quote (*quote: its place, *len: code points before it); neither. */
enum tail { TAIL_NONE, TAIL_CONTENT, TAIL_QUOTE };
static enum tail read_tail(struct bytes b, uint32_t d, int esc, size_t *quote, uint32_t *len)
{
    uint16_t lex = LEX_NORMAL;
    uint32_t part = 0;
    *len = 0;
    for (size_t i = d; i < b.len; i++) {
        uint8_t x = (uint8_t)b.p[i], out[4];
        int n_out;
        if (lex == LEX_NORMAL && x < 0x80 && byte_is_bare(x)) { ++*len; continue; }
        enum lex_result r = lex_step(&lex, &part, esc, false, x, out, &n_out);
        if (r == LEX_CLOSE) { *quote = i; return TAIL_QUOTE; }
        if (r == LEX_NO) return TAIL_NONE;
        if (lex == LEX_NORMAL) part = 0;
        *len += r == LEX_BEGIN;
    }
    return TAIL_CONTENT;
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

/* One configuration about to leave its string. Inside of uniqueItems the set behind the quote is that of a text never
 * seen before; texts that have been seen are tried one by one. */
struct leaving {
    const struct conf *c; const struct quotes *q;
    bool guarded; uint64_t seen[16];    /* by six bits and four of their hash: texts that have been seen (of a name: written) */
    uint32_t least, most;               /* code points that the head of a token may have */
    bool names;                         /* seen holds names */
    bool easy; struct byteset first;    /* a head of such a length ends well, but perhaps if it begins with one of these, or is empty */
};

static void seen_add(struct leaving *l, uint64_t hash) { l->seen[hash >> 6 & 15] |= 1ull << (hash & 63); }
static bool seen_has(const struct leaving *l, uint64_t hash) { return l->seen[hash >> 6 & 15] >> (hash & 63) & 1; }

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

static void leaving_init(const struct matcher *m, struct leaving *l, const struct conf *c)
{
    const struct frame *f = &m->frame[c->frame];
    *l = (struct leaving){ .c = c, .q = &m->v->quote[c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON] };
    l->guarded = f->flags & FL_HASH && unique_guard(m, c->frame) != NONE;
    for (uint32_t at = l->guarded ? f->texts : NONE; at != NONE; at = (uint32_t)m->word[at + 1])
        seen_add(l, m->word[at]);
    leaving_lengths(m, l);
}

/* The configurations of a set that stand beside its plain place, and what may follow that one's quote: made when first
 * needed. */
struct beside {
    const struct conf *own; uint32_t but, from, n, at; bool ready; struct byteset may;
    struct rests *r; struct leaving l;
};

static void beside_make(struct walk *w, struct beside *k)
{
    if (k->ready) return;
    k->ready = true;
    if (k->n > 1) k->at = set_without(w->m, k->but, k->from, k->n);
    if (k->n > 1) k->may = set_bytes(w->m, k->at, k->n - 1);
}

/* A token of which the plain place takes nothing: the others may. */
static void run_beside(struct walk *w, struct beside *k, int32_t id, uint32_t d)
{
    if (k->n < 2) return;
    beside_make(w, k);
    if (byteset_has(&k->may, (uint8_t)w->m->v->bytes[id].p[d])) run_token(w, id, d, k->at, k->n - 1);
}

/* A token with the plain place's quote at byte `quote`, `len` code points behind byte d. */
static void leave_plain(struct walk *w, struct beside *k, int32_t id, uint32_t d, size_t quote, uint32_t len)
{
    struct bytes b = w->m->v->bytes[id], tail = { b.p + d, b.len - d }, rest = { b.p + quote + 1, b.len - quote - 1 };
    beside_make(w, k);
    if (!k->r) {
        rests_open(w, k->r = arena_alloc(&w->tmp, sizeof *k->r), k->own);
        leaving_init(w->m, &k->l, k->own);
    }
    uint64_t hash = 0;
    bool ends = rest_fits(w, k->r, rest) && ends_behind(w->m, k->own, tail, quote - d, len, k->l.guarded ? &hash : NULL);
    if (ends && k->l.guarded && seen_has(&k->l, hash)) run_token(w, id, d, k->from, k->n);
    else if (ends) bit_set(w->bits, id);
    else run_beside(w, k, id, d);
}

/* The subtree below a node reached with a set that holds a plain place: what goes on plainly (safe_from) for at most
 * `room` bytes is allowed. */
static void take_plain(struct walk *w, const struct conf *c, uint32_t room, uint32_t node, uint32_t from, uint32_t n)
{
    const struct vocab *v = w->m->v;
    const struct vtrie *t = &v->all;
    const struct conf own = *c;
    bool text = c->kind != C_NUM, hashed = w->m->frame[c->frame].flags & FL_HASH, leaves = text && !(hashed && validating(w->m));
    uint32_t d = t->depth[node], lo = t->first[node], hi = t->first[t->skip[node]];
    struct mark before = matcher_mark(w->m);
    struct beside k = { .own = &own, .but = (uint32_t)(c - w->m->conf), .from = from, .n = n };
    for (uint32_t i = lo; i < hi; i++) {
        int32_t id = t->list[i];
        struct bytes b = v->bytes[id];
        if (b.len == d || (w->sieve && is_settled(w, id))) continue;      /* the node's own, or known */
        bool short_enough = b.len - d <= room;
        if (short_enough && (text ? v->plain_from[id] <= d : v->digits_from[id] <= d)) { bit_set(w->bits, id); continue; }
        if (!leaves) { run_token(w, id, d, from, n); continue; }
        uint32_t len;
        size_t quote;
        enum tail kind = read_tail(b, d, value_escapes(w->m, own.surf), &quote, &len);
        if (kind == TAIL_NONE) run_beside(w, &k, id, d);
        else if (kind == TAIL_QUOTE) leave_plain(w, &k, id, d, quote, len);
        else if (short_enough && !hashed) bit_set(w->bits, id);
        else run_token(w, id, d, from, n);
    }
    matcher_reset(w->m, before);
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

/* Nothing at or below a node is still open. */
static bool all_taken(const struct walk *w, const struct vtrie *t, uint32_t node)
{
    for (uint32_t k = t->first[node], end = t->first[t->skip[node]]; k < end; k++)
        if (!is_settled(w, t->list[k])) return false;
    return true;
}

static void step_kid(struct walk *w, const struct vtrie *t, uint32_t i, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    if (w->sieve && all_taken(w, t, i)) return;
    struct mark before = matcher_mark(m);
    uint32_t k = set_step(m, from, n, t->byte[i]), at = m->set0;
    if (k) {
        if (t->token[i] >= 0) leaf(w, t->token[i], at, k);
        const struct conf *safe = NULL;
        uint32_t room = 0;
        for (uint32_t j = at; j < at + k && !room && t == &m->v->all; j++) {
            safe = &m->conf[j];
            room = safe->kind == C_NUM ? digits_room(w, safe, i) : plain_room(w, safe);
        }
        const struct conf *number = room || t != &m->v->all || !only_digits(&t->below[i]) ? NULL : lone_number(w, at, k);
        if (room) take_plain(w, safe, room, i, at, k);
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

/* Children of a node (0: the root) that the set can take. */
static void walk_node(struct walk *w, const struct vtrie *t, uint32_t node, uint32_t from, uint32_t n)
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

/* ---- leaving a string ------------------------------------------------------------------------ */

/* Does the text end well behind the head of a token? */
static bool head_ends(const struct matcher *m, const struct leaving *l, uint32_t i, uint64_t *hash)
{
    const struct quotes *q = l->q;
    struct bytes b = m->v->bytes[q->list[i]];
    uint32_t len = (uint32_t)q->len[i];
    if (len < l->least || len > l->most) return false;
    bool other = l->c->kind == C_STR || (q->head[i] && !byteset_has(&l->first, (uint8_t)*b.p));
    if (l->easy && other && !(l->names && seen_has(l, q->hash[i]))) return true;
    return ends_behind(m, l->c, b, q->head[i], len, hash);
}

/* The tokens of one remainder, whose end has led to this set. */
static void take_group(struct walk *w, const struct leaving *l, uint32_t group, uint32_t from, uint32_t n)
{
    const struct quotes *q = l->q;
    uint32_t lo = q->from[group], hi = q->from[group + 1];
    if (lo == hi || !affordable(w, from, n)) return;
    for (uint32_t i = lo; i < hi; i++) {
        uint64_t hash = 0;
        if (!head_ends(w->m, l, i, l->guarded ? &hash : NULL)) continue;
        if (l->guarded && seen_has(l, hash)) try_alone(w, l->c, q->list[i]);
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

static void walk_rest(struct walk *w, const struct leaving *l, uint32_t node, uint32_t from, uint32_t n)
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

static void leave_string(struct walk *w, const struct conf *c)
{
    enum { NO_NAME = 0x4e4f };
    struct matcher *m = w->m;
    struct leaving l;
    leaving_init(m, &l, c);
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

/* ---- dense places ---------------------------------------------------------------------------- */

/* A text inside of uniqueItems that has an end in sight: what leaves enough letters to become new is content like any
 * other, what fills the text up must end as a new one. */
static void take_new(struct walk *w, const struct conf *c)
{
    const struct vocab *v = w->m->v;
    const struct strs *s = strs_of(w->m, c);
    int esc = c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON;
    if (s->dfa) {
        uint32_t n;
        int32_t *list = dense_strs_but(v, s, c->dfa, c->m, esc, unique_slack(w->m, c), false, w->bits, &n);
        for (uint32_t i = 0; i < n; i++) try_alone(w, c, list[i]);
        mem_free(list);
        return;
    }
    const struct strclass *k = &v->str[esc];
    uint32_t room = s->max - MIN(c->m, s->max), spare = unique_spare(w->m, c), last = k->n_len - 1;
    if (room >= spare) vocab_str_mask(v, esc, room - spare, w->bits);
    struct leaving l;
    leaving_init(w->m, &l, c);
    for (uint32_t i = room >= spare ? k->len_end[MIN(room - spare, last)] : 0; i < k->len_end[MIN(room, last)]; i++) {
        struct bytes b = v->bytes[k->by_len[i]];
        uint64_t hash;
        bool whole = !k->pending[k->by_len[i]] && ends_behind(w->m, c, b, b.len, (uint32_t)k->len[k->by_len[i]], &hash);
        if (whole && !seen_has(&l, hash)) bit_set(w->bits, k->by_len[i]);
        else try_alone(w, c, k->by_len[i]);
    }
}

static uint32_t content_room(const struct matcher *m, const struct conf *c)
{
    const struct strs *s = strs_of(m, c);
    uint32_t max = s->max;
    if (c->kind == C_KEY) max = MIN(max, key_cap(m, c));
    return max == NONE ? NONE : max - MIN(max, c->m);
}

static void take_content(struct walk *w, const struct conf *c)
{
    if (w->priced) { content_afford(w->m, c, w->bits, &w->p); return; }
    struct strs s = *strs_of(w->m, c);
    uint32_t room = content_room(w->m, c);
    int esc = c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON;
    if (room != NONE) s.max = c->m + room;
    room = MIN(room, NONE - 1) + 1;
    if (!s.dfa && w->content[esc] >= room) return;
    if (!s.dfa) w->content[esc] = room;
    dense_strs(w->m->v, &s, c->dfa, c->m, esc, w->bits);
}

/* Names of a finite language some of which are taken: where few are left every token is tried. */
static void take_names(struct walk *w, const struct conf *c)
{
    const struct matcher *m = w->m;
    const struct frame *f = &m->frame[c->frame];
    const struct obj *o = frame_obj(m, f);
    struct strs s = *strs_of(m, c);
    s.max = c->m + content_room(m, c);
    uint32_t n, taken = (c->n == NONE ? 0 : o->trie.node[c->n].hi - o->trie.node[c->n].lo) + f->n_dyn;
    int32_t *list = dense_strs_but(m->v, &s, c->dfa, c->m, c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON, taken, true,
                                   w->bits, &n);
    for (uint32_t i = 0; i < n; i++) try_alone(w, c, list[i]);
    mem_free(list);
}

/* Walks configurations along a whole trie. */
static void walk_together(struct walk *w, const struct vtrie *t, const struct conf *list, uint32_t n)
{
    struct matcher *m = w->m;
    struct mark before = matcher_mark(m);
    uint32_t at = m->n_conf;
    for (uint32_t i = 0; i < n; i++) {
        MEM_GROW(m->conf, m->n_conf, m->cap_conf);
        m->conf[m->n_conf++] = list[i];
    }
    walk_node(w, t, 0, at, n);
    matcher_reset(m, before);
}

enum { FEW = 4 };                       /* so many share their way; more are too much to compare at each step */

/* Many readings of one text mostly allow the same: each looks only below what those before it have left open. */
static void walk_all(struct walk *w, const struct conf *list, uint32_t n)
{
    if (n <= FEW || w->priced) {
        walk_together(w, &w->m->v->all, list, n);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        walk_together(w, &w->m->v->all, &list[i], 1);
        w->sieve = true;
    }
    w->sieve = false;
}

/* Tokens that hold the end of free text, a trigger and the beginning of what follows. */
static void cross_triggers(struct walk *w, const struct conf *c)
{
    struct matcher *m = w->m;
    const struct op *o = &m->g->op[c->ref];
    const struct triggers *t = o->kind == OP_TEXT && !m->g->trig[o->a].any ? &m->g->trig[o->a] : NULL;
    uint32_t n = 0, *node = t ? dense_triggers(m->v, t, c->n, &n) : NULL;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = m->v->all.first[node[i]]; k < m->v->all.first[m->v->all.skip[node[i]]]; k++)
            try_alone(w, c, m->v->all.list[k]);
    mem_free(node);
}

static void refuse_token(void *walk, int32_t token)
{
    (void)token;
    ((struct walk *)walk)->p.cut = true;
}

/* Free text that cannot go on for ever: tokens that end inside of a code point cost its rest. */
static void text_afford(struct walk *w, const struct conf *c, uint32_t whole)
{
    const struct vocab *v = w->m->v;
    uint32_t *own = mem_zero(v->n_word * sizeof *own), spare = w->p.most - whole;
    dense_text(w->m, c, own);
    for (size_t i = 0; i < v->n_word; i++) {
        for (uint32_t x = own[i] & v->is_part[i]; x; x &= x - 1) {
            int32_t t = (int32_t)(i * 32) + __builtin_ctz(x);
            int to = 0;
            for (size_t k = 0; k < v->bytes[t].len; k++) to = utf8_dfa(to, (uint8_t)v->bytes[t].p[k]);
            if ((uint32_t)utf8_pending(to) <= spare) continue;
            own[i] &= ~(1u << (t % 32));
            w->p.cut = true;
        }
        w->bits[i] |= own[i];
    }
    mem_free(own);
}

/* Free text, runs of code points, patterns of the envelope: the first from remembered masks where nothing limits it. */
static void take_stretch(struct walk *w, const struct conf *c)
{
    uint32_t whole = 0;
    bool easy = w->priced ? text_bound(w->m, c, &whole) && whole <= w->p.most
                          : c->kind == C_TEXT && !c->lex && stretch_dense(w->m->g, c, (uint32_t)w->m->v->max_len);
    if (!easy) {
        stretch_mask(w->m, c, w->bits, w->priced ? w->p.most : COST_MAX, refuse_token, w);
        w->p.dear = COST_MAX;           /* not looked at */
        return;
    }
    if (w->priced && whole + MOST_PENDING > w->p.most) text_afford(w, c, whole);
    else dense_text(w->m, c, w->bits);
    w->p.dear = MAX(w->p.dear, whole + MOST_PENDING);
    cross_triggers(w, c);
}

/* Takes c by its class where it is dense; false: it must be walked. */
static bool take_dense(struct walk *w, const struct conf *c)
{
    const struct matcher *m = w->m;
    if (c->kind == C_TEXT || c->kind == C_CHARS || c->kind == C_RE) {
        take_stretch(w, c);
        return true;
    }
    if (validating(m) || c->lex != LEX_NORMAL || !is_string(m, c)) return false;
    bool unsure = c->kind == C_STR && m->frame[c->frame].flags & FL_HASH && !roomy_string(m, c);
    bool few = c->kind == C_KEY && !key_roomy(m, c);
    if ((few || unsure) && w->priced) return false;
    if (few && !w->twin) take_names(w, c);              /* content closes nothing */
    else if (unsure && !w->twin) take_new(w, c);
    else if (!w->twin) take_content(w, c);
    leave_string(w, c);
    return true;
}

static void specials(struct walk *w, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    struct mark k = matcher_mark(m);
    for (uint32_t i = from; i < from + n; i++) {
        if (m->conf[i].kind != C_SPECIAL) continue;
        int32_t t = m->bind->special[m->g->op[m->conf[i].ref].a];
        uint32_t got = set_special(m, from, n, t);
        if (got) leaf(w, t, m->set0, got);
        matcher_reset(m, k);
    }
    for (uint32_t i = 0; set_accepts(m, from, n) && i < m->v->n_eog; i++) bit_set(w->bits, (int32_t)m->v->eog[i]);
}

/* All configurations of a set. */
static void take_set(struct walk *w, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    struct conf *rest = arena_alloc(&w->tmp, (n + 1) * sizeof *rest);
    uint32_t k = 0;
    for (uint32_t i = from; i < from + n && (!w->priced || w->p.most); i++) {   /* after the last token nothing fits */
        struct conf c = m->conf[i];
        if (c.kind == C_END || c.kind == C_SPECIAL) continue;
        if (!take_dense(w, &c)) rest[k++] = c;
    }
    if (k) walk_all(w, rest, k);
}

/* Puts those to the end of the list that are the first of their kind, the others into twin[]; how many others, and how deep
 * their containers lie at most. */
static uint32_t part_twins(struct matcher *m, uint32_t from, uint32_t n, struct conf *twin, uint32_t *deep, struct arena *tmp)
{
    uint32_t n_slot = 64, n_twin = 0;
    while (n_slot < 2 * n) n_slot *= 2;
    uint64_t *slot = arena_zero(tmp, n_slot * sizeof *slot);
    for (uint32_t i = from; i < from + n; i++) {
        struct conf c = m->conf[i];
        uint64_t h = 0;
        uint32_t at;
        bool known = false;
        if (conf_twin_hash(m, &c, &h)) {
            h |= 1;
            for (at = (uint32_t)(h >> 32) & (n_slot - 1); slot[at] && slot[at] != h; at = (at + 1) & (n_slot - 1)) continue;
            known = slot[at] == h;
            slot[at] = h;
        }
        if (known) {
            twin[n_twin++] = c;
            *deep = MAX(*deep, (uint32_t)m->frame[c.frame].depth);
            continue;
        }
        MEM_GROW(m->conf, m->n_conf, m->cap_conf);
        m->conf[m->n_conf++] = c;
    }
    return n_twin;
}

/* Many readings are often those of one container times those of what is around it: they do the same until it is closed. One
 * of each kind is taken whole; the others only where one of those has closed its container, and for tokens that can.
 * False: there are no such. */
static bool take_twins(struct walk *w, uint32_t from, uint32_t n)
{
    enum { MANY = 8 };
    struct matcher *m = w->m;
    if (n < MANY || w->priced || validating(m)) return false;
    struct mark before = matcher_mark(m);
    uint32_t deep = 0, at = m->n_conf;
    struct conf *twin = arena_alloc(&w->tmp, n * sizeof *twin);
    uint32_t n_twin = part_twins(m, from, n, twin, &deep, &w->tmp);
    if (n_twin) {
        m->closed = NONE;
        take_set(w, at, n - n_twin);
        w->sieve = w->twin = w->many = true;
        for (uint32_t i = 0; i < n_twin && m->closed <= deep; i++)
            if (!take_dense(w, &twin[i])) walk_together(w, &m->v->closing, &twin[i], 1);
        w->sieve = w->twin = false;
    }
    matcher_reset(m, before);
    return n_twin;
}

static void fill(struct walk *w, uint32_t from, uint32_t n)
{
    w->many = n > FEW && !w->priced;
    if (!take_twins(w, from, n)) take_set(w, from, n);
    if (w->priced && !w->p.most) w->p.cut = true;
    specials(w, from, n);
}

/* ---- remembered masks ------------------------------------------------------------------------ */

/* Where names are few it matters which of them is used up. */
static bool has_endless_names(const struct matcher *m, const struct conf *c)
{
    const struct strs *s = &frame_obj(m, &m->frame[c->frame])->cls[c->cls - 1].s;
    return !s->dfa || dfa_lens(s->dfa, DFA_START)->max == NONE;
}

/* Lengths matter to a mask only as far as one token reaches. Costs: of texts with an automaton, as they are. */
static uint64_t set_key(const struct matcher *m, uint32_t from, uint32_t n, bool costs)
{
    uint64_t h = mix64(mix64(0x3a5c, m->g->id), n * 2 + costs);
    uint32_t reach = (uint32_t)m->v->max_len + 1;
    for (uint32_t i = from; i < from + n; i++) {
        struct conf c = m->conf[i];
        if (c.kind == C_STR && shape_at(m, c.ref, c.sh)->kind == SH_STR) {
            const struct strs *s = shape_at(m, c.ref, c.sh)->str;
            bool counts = s->max != NONE || s->min > c.m;
            uint32_t worst = !s->dfa ? 0 : counts ? dfa_worst(s->dfa) : NONE, far = worst == NONE ? NONE : cost_add(worst, reach);
            uint32_t room = s->max == NONE ? far : MIN(s->max - c.m, far);
            uint32_t need = s->min > c.m ? MIN(s->min - c.m, far) : 0;
            if (!costs || !s->dfa || (!need && room == far)) c.m = room;
            c.n = need;
        } else if (c.kind == C_KEY && c.cls && !m->frame[c.frame].n_dyn && c.n == NONE && has_endless_names(m, &c)) c.aux = 0;
        stretch_clip(m->g, &c, reach);
        h = conf_hash(m, &c, h);
    }
    return h | 1;
}

static void remember(struct matcher *m, const struct snap *s, uint64_t key, const uint32_t *bits)
{
    const uint32_t *base = NULL;        /* few tokens may come but inside of texts */
    for (uint32_t i = s->conf; i < s->conf + s->n_conf && !base; i++) {
        const struct conf *c = &m->conf[i];
        if (c->kind == C_TEXT) base = m->v->text_all;
        else if (is_string(m, c)) base = m->v->str[c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON].all;
    }
    store_put(m->v->store, key, bits, base);
}

bool matcher_mask_hit(const struct matcher *m) { return m->mask_hit; }

void matcher_mask(struct matcher *m, uint32_t *bits)
{
    const struct snap s = *matcher_top(m);
    const struct vocab *v = m->v;
    m->mask_hit = true;
    if (s.finished) { memset(bits, 0, v->n_word * sizeof *bits); return; }
    uint64_t key = set_key(m, s.conf, s.n_conf, false);
    if (store_get(v->store, key, bits)) return;
    m->mask_hit = false;
    memset(bits, 0, v->n_word * sizeof *bits);
    struct walk w = { .m = m, .bits = bits };
    arena_init(&w.tmp, 4096);
    fill(&w, s.conf, s.n_conf);
    arena_done(&w.tmp);
    remember(m, &s, key, bits);
}

/* A budget kept some back: was any of them the plain mask's? */
static bool is_cut(struct matcher *m, const uint32_t *bits)
{
    size_t size = m->v->n_word * sizeof *bits;
    uint32_t *full = mem_alloc(size);
    matcher_mask(m, full);
    bool cut = memcmp(bits, full, size);
    mem_free(full);
    return cut;
}

bool matcher_mask_budget(struct matcher *m, uint32_t *bits, int left, bool *cut)
{
    const struct snap s = *matcher_top(m);
    uint32_t cost = s.finished ? 0 : set_cost(m, s.conf, s.n_conf);
    bool enough = s.finished || (left >= 1 && cost <= (uint32_t)left);
    *cut = false;
    if (enough && !s.finished) {
        uint64_t key = set_key(m, s.conf, s.n_conf, true);
        uint32_t growth = growth_get(m->bind, key);
        if (growth != NONE && cost_add(cost, growth) < (uint32_t)left) { matcher_mask(m, bits); return true; }
        memset(bits, 0, m->v->n_word * sizeof *bits);
        struct walk w = { .m = m, .bits = bits, .priced = true, .p.most = (uint32_t)left - 1 };
        arena_init(&w.tmp, 4096);
        fill(&w, s.conf, s.n_conf);
        arena_done(&w.tmp);
        if (w.p.cut) *cut = is_cut(m, bits);
        else remember(m, &s, set_key(m, s.conf, s.n_conf, false), bits);
        uint32_t dear = w.p.cut ? w.p.most : w.p.dear;  /* dear is all there is only if nothing was kept back */
        if (!*cut) growth_put(m->bind, key, dear > cost ? dear - cost : 0);
        return true;
    }
    memset(bits, 0, m->v->n_word * sizeof *bits);
    return enough;
}
