/* mask.c -- which tokens may come next: the configurations walked along the vocabulary trie.
 *
 * A node of the trie is visited only if the automaton survived the path to it, and only for bytes
 * that some configuration can take, so sparse masks are cheap by themselves. Dense places, the inside
 * of strings, invented keys and free text, take ready or remembered masks of content tokens (dense.c); tokens
 * that leave a string are looked at by what follows their quote: few remainders are walked, and each stands
 * for all tokens that end so. Masks are remembered per set of configurations, with string lengths
 * clipped to what a token can reach. Under a budget every allowed token is also priced (budget.c);
 * the cheap lists are used as long as no token of theirs could be too dear. */
#include "grammar/int.h"

enum { MOST_REFUSED = 512 };
struct walk {
    struct matcher *m;
    uint32_t *bits, most;               /* tokens whose output costs more than `most` are refused */
    int32_t refused[MOST_REFUSED]; int n_refused;
    struct arena tmp;
};

static void bit_set(uint32_t *bits, int32_t t) { bits[t / 32] |= 1u << (t % 32); }
static bool bit_get(const uint32_t *bits, int32_t t) { return bits[t / 32] >> (t % 32) & 1; }

static void refused(struct walk *w, int32_t t)
{
    if (w->n_refused < MOST_REFUSED) w->refused[w->n_refused] = t;
    w->n_refused++;
}

static bool tight(const struct walk *w) { return w->most < COST_MAX; }

static bool affordable(struct walk *w, int32_t token, uint32_t from, uint32_t n)
{
    if (!tight(w) || set_cost(w->m, from, n) <= w->most) return true;
    refused(w, token);
    return false;
}

static void leaf(struct walk *w, int32_t token, uint32_t from, uint32_t n)
{
    if (!affordable(w, token, from, n)) return;
    for (int32_t t = token; t >= 0; t = w->m->v->same[t]) bit_set(w->bits, t);
}

/* ---- walking --------------------------------------------------------------------------------- */

/* A place where all plain content of a string may go on: no automaton, no limit near, nobody counting. */
static bool is_plain(const struct walk *w, const struct conf *c)
{
    const struct matcher *m = w->m;
    uint32_t all, whole;
    if (c->lex != LEX_NORMAL || m->frame[c->frame].flags & FL_HASH) return false;
    if (c->kind == C_STR) {
        const struct shape *sh = shape_at(m, c->ref, c->sh);
        if (sh->kind != SH_STR || sh->str->max != NONE || sh->str->n_judge) return false;
        if (sh->str->dfa && !dfa_state(sh->str->dfa, c->dfa)->total) return false;
        if (sh->str->dfa && sh->str->min > c->m) return false;
    } else if (c->kind == C_KEY) {
        if (!c->cls || m->frame[c->frame].flags & FL_ARGS) return false;
        const struct obj *o = frame_obj(m, &m->frame[c->frame]);
        if (o->cls[c->cls - 1].s.dfa || o->cls[c->cls - 1].s.max != NONE || c->m + (uint32_t)m->v->max_len > MOST_KEY) return false;
    } else return false;
    return !tight(w) || (conf_bound(m, c, &all, &whole) && all <= w->most);
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
    if (n && affordable(w, t, from, n)) bit_set(w->bits, t);
    matcher_reset(m, before);
}

static void walk_node(struct walk *w, const struct vtrie *t, uint32_t node, uint32_t from, uint32_t n);

/* The subtree below a node reached with a set that holds a plain place. */
static void take_plain(struct walk *w, uint32_t node, uint32_t from, uint32_t n)
{
    const struct vocab *v = w->m->v;
    const struct vtrie *t = &v->all;
    uint32_t d = t->depth[node];
    for (uint32_t k = t->first[node]; k < t->first[t->skip[node]]; k++) {
        int32_t id = t->list[k];
        if (v->bytes[id].len == d) continue;            /* the node's own */
        if (v->plain_from[id] <= d) bit_set(w->bits, id);
        else run_token(w, id, d, from, n);
    }
}

static void step_kid(struct walk *w, const struct vtrie *t, uint32_t i, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    struct mark before = matcher_mark(m);
    uint32_t k = set_step(m, from, n, t->byte[i]), at = m->set0;
    if (k) {
        if (t->token[i] >= 0) leaf(w, t->token[i], at, k);
        bool plain = false;
        for (uint32_t j = at; j < at + k && !plain && t == &m->v->all; j++) plain = is_plain(w, &m->conf[j]);
        if (plain) take_plain(w, i, at, k);
        else if (t->skip[i] > i + 1) walk_node(w, t, i + 1, at, k);
    }
    matcher_reset(m, before);
}

/* Children of a node (0: the root) that the set can take. */
static void walk_node(struct walk *w, const struct vtrie *t, uint32_t node, uint32_t from, uint32_t n)
{
    struct byteset may = set_bytes(w->m, from, n);
    uint32_t lo = t->kid_off[node], hi = t->kid_off[node + 1];
    if ((uint32_t)byteset_count(&may) * 8 < hi - lo) {
        for (int i = 0; i < 4; i++)
            for (uint64_t b = may.w[i]; b; b &= b - 1) {
                uint32_t kid = vtrie_kid(t, node, (uint8_t)(i * 64 + __builtin_ctzll(b)));
                if (kid != NONE) step_kid(w, t, kid - 1, from, n);
            }
        return;
    }
    for (uint32_t k = lo; k < hi; k++)
        if (byteset_has(&may, t->kid_byte[k])) step_kid(w, t, t->kid[k] - 1, from, n);
}

/* ---- leaving a string ------------------------------------------------------------------------ */

static bool is_string(const struct matcher *m, const struct conf *c)
{
    if (c->kind == C_STR) return shape_at(m, c->ref, c->sh)->kind == SH_STR;
    return c->kind == C_KEY && c->cls && !(m->frame[c->frame].flags & FL_ARGS);
}

static const struct strs *strs_of(const struct matcher *m, const struct conf *c)
{
    return c->kind == C_STR ? shape_at(m, c->ref, c->sh)->str : &frame_obj(m, &m->frame[c->frame])->cls[c->cls - 1].s;
}

/* May the string end behind these bytes of content? */
static bool ends_behind(const struct matcher *m, const struct conf *c, struct bytes b, size_t head, uint32_t len)
{
    const struct strs *s = strs_of(m, c);
    if (c->kind == C_STR && !s->dfa) return c->m + len >= s->min && c->m + len <= s->max;
    struct conf t = *c;
    for (size_t i = 0; i < head; i++) {
        uint8_t out[4];
        int n_out;
        lex_step(&t.lex, &t.part, value_escapes(m, c->surf), false, (uint8_t)b.p[i], out, &n_out);
        for (int k = 0; k < n_out; k++) {
            if (s->dfa && (t.dfa = dfa_step(s->dfa, s->cls, t.dfa, out[k])) == DFA_DEAD) return false;
            if (c->kind == C_STR) continue;
            t.aux = key_hash(t.aux, out[k]);
            if (t.n != NONE) t.n = trie_step(&frame_obj(m, &m->frame[c->frame])->trie, t.n, out[k]);
        }
        if (t.lex == LEX_NORMAL) t.part = 0;
    }
    t.m += len;
    return c->kind == C_STR ? strs_ends(s, t.dfa, t.m) : key_closable(m, &t);
}

/* The tokens of one remainder, whose end has led to this set. */
static void take_group(struct walk *w, const struct conf *c, const struct quotes *q, uint32_t group, uint32_t from, uint32_t n)
{
    const struct vocab *v = w->m->v;
    uint32_t lo = q->from[group], hi = q->from[group + 1];
    if (lo == hi || !affordable(w, q->list[lo], from, n)) return;
    for (uint32_t i = lo; i < hi; i++)
        if (ends_behind(w->m, c, v->bytes[q->list[i]], q->head[i], (uint32_t)q->len[i])) bit_set(w->bits, q->list[i]);
}

static void walk_rest(struct walk *w, const struct conf *c, const struct quotes *q, uint32_t node, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    struct byteset may = set_bytes(m, from, n);
    const struct vtrie *t = &q->trie;
    for (uint32_t k = t->kid_off[node]; k < t->kid_off[node + 1]; k++) {
        if (!byteset_has(&may, t->kid_byte[k])) continue;
        struct mark before = matcher_mark(m);
        uint32_t got = set_step(m, from, n, t->kid_byte[k]), at = m->set0;
        if (got) {
            take_group(w, c, q, t->kid[k], at, got);
            walk_rest(w, c, q, t->kid[k], at, got);
        }
        matcher_reset(m, before);
    }
}

/* Tokens with a quote, each by itself: where what follows depends on the text (uniqueItems). */
static void quotes_singly(struct walk *w, const struct conf *c, const struct quotes *q)
{
    struct matcher *m = w->m;
    struct mark before = matcher_mark(m);
    MEM_GROW(m->conf, m->n_conf, m->cap_conf);
    m->conf[m->n_conf++] = *c;
    for (uint32_t i = 0; i < q->n_token; i++)
        if (ends_behind(m, c, m->v->bytes[q->list[i]], q->head[i], (uint32_t)q->len[i]))
            run_token(w, q->list[i], 0, before.conf, 1);
    matcher_reset(m, before);
}

static void leave_string(struct walk *w, const struct conf *c)
{
    struct matcher *m = w->m;
    const struct quotes *q = &m->v->quote[c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON];
    if (m->frame[c->frame].flags & FL_HASH) { quotes_singly(w, c, q); return; }
    struct mark before = matcher_mark(m);
    uint32_t n = set_leave(m, c), at = m->set0;
    if (n) {
        take_group(w, c, q, 0, at, n);
        walk_rest(w, c, q, 0, at, n);
    }
    matcher_reset(m, before);
}

/* ---- dense places ---------------------------------------------------------------------------- */

static uint32_t content_room(const struct matcher *m, const struct conf *c)
{
    const struct strs *s = strs_of(m, c);
    uint32_t max = s->max;
    if (c->kind == C_KEY) max = MIN(max, key_cap(m, c));
    return max == NONE ? NONE : max - MIN(max, c->m);
}

static void take_content(struct walk *w, const struct conf *c)
{
    struct strs s = *strs_of(w->m, c);
    uint32_t room = content_room(w->m, c);
    if (room != NONE) s.max = c->m + room;
    dense_strs(w->m->v, &s, c->dfa, c->m, c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON, w->bits);
}

/* Walks one configuration by itself along the whole trie. */
static void walk_alone(struct walk *w, const struct conf *list, uint32_t n)
{
    struct matcher *m = w->m;
    struct mark before = matcher_mark(m);
    uint32_t at = m->n_conf;
    for (uint32_t i = 0; i < n; i++) {
        MEM_GROW(m->conf, m->n_conf, m->cap_conf);
        m->conf[m->n_conf++] = list[i];
    }
    walk_node(w, &m->v->all, 0, at, n);
    matcher_reset(m, before);
}

/* Tokens that hold the end of free text, a trigger and the beginning of what follows. */
static void cross_triggers(struct walk *w, const struct conf *c)
{
    struct matcher *m = w->m;
    const struct op *o = &m->g->op[c->ref];
    const struct triggers *t = o->kind == OP_TEXT && !m->g->trig[o->a].any ? &m->g->trig[o->a] : NULL;
    uint32_t n = 0, *node = t ? dense_triggers(m->v, t, c->n, &n) : NULL;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = m->v->all.first[node[i]]; k < m->v->all.first[m->v->all.skip[node[i]]]; k++) {
            struct mark before = matcher_mark(m);
            MEM_GROW(m->conf, m->n_conf, m->cap_conf);
            m->conf[m->n_conf++] = *c;
            run_token(w, m->v->all.list[k], 0, before.conf, 1);
            matcher_reset(m, before);
        }
    mem_free(node);
}

static void refuse_token(void *walk, int32_t token) { refused(walk, token); }

/* Free text, runs of code points, patterns of the envelope: the first from remembered masks where nothing limits it. */
static void take_stretch(struct walk *w, const struct conf *c)
{
    uint32_t all, whole;
    bool easy = c->kind == C_TEXT && !c->lex && conf_bound(w->m, c, &all, &whole) && all <= w->most;
    if (easy) dense_text(w->m, c, w->bits);
    else stretch_mask(w->m, c, w->bits, w->most, refuse_token, w);
    if (easy) cross_triggers(w, c);
}

/* Takes c by its class where it is dense; false: it must be walked. */
static bool take_dense(struct walk *w, const struct conf *c)
{
    const struct matcher *m = w->m;
    uint32_t all = 0, whole = 0;
    if (c->kind == C_TEXT || c->kind == C_CHARS || c->kind == C_RE) {
        take_stretch(w, c);
        return true;
    }
    if (validating(m) || c->lex != LEX_NORMAL || !is_string(m, c)) return false;
    if (c->kind == C_STR && m->frame[c->frame].flags & FL_HASH && !roomy_string(m, c)) return false;
    if (tight(w) && !conf_bound(m, c, &all, &whole)) return false;
    if (tight(w) && all > w->most) return false;
    take_content(w, c);
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

static void fill(struct walk *w, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    struct conf *rest = arena_alloc(&w->tmp, (n + 1) * sizeof *rest);
    uint32_t k = 0;
    for (uint32_t i = from; i < from + n; i++) {
        struct conf c = m->conf[i];
        if (c.kind == C_END || c.kind == C_SPECIAL) continue;
        if (!take_dense(w, &c)) rest[k++] = c;
    }
    if (k) walk_alone(w, rest, k);
    specials(w, from, n);
}

/* ---- remembered masks ------------------------------------------------------------------------ */

/* Lengths matter to a mask only as far as one token reaches. */
static uint64_t set_key(const struct matcher *m, uint32_t from, uint32_t n)
{
    uint64_t h = mix64(mix64(0x3a5c, m->g->id), n);
    uint32_t reach = (uint32_t)m->v->max_len + 1;
    for (uint32_t i = from; i < from + n; i++) {
        struct conf c = m->conf[i];
        if (c.kind == C_STR && shape_at(m, c.ref, c.sh)->kind == SH_STR) {
            const struct strs *s = shape_at(m, c.ref, c.sh)->str;
            uint32_t worst = s->dfa ? dfa_worst(s->dfa) : 0, far = worst == NONE ? NONE : cost_add(worst, reach);
            uint32_t room = s->max == NONE ? far : MIN(s->max - c.m, far);
            uint32_t need = s->min > c.m ? MIN(s->min - c.m, far) : 0;
            c.m = room;
            c.n = need;
        } else if (c.kind == C_KEY && c.cls && !m->frame[c.frame].n_dyn && c.n == NONE) c.aux = 0;
        stretch_clip(m->g, &c, reach);
        h = conf_hash(m, &c, h);
    }
    return h | 1;
}

bool matcher_mask_hit(const struct matcher *m) { return m->mask_hit; }

void matcher_mask(struct matcher *m, uint32_t *bits)
{
    const struct snap s = *matcher_top(m);
    const struct vocab *v = m->v;
    m->mask_hit = true;
    if (s.finished) { memset(bits, 0, v->n_word * sizeof *bits); return; }
    uint64_t key = set_key(m, s.conf, s.n_conf);
    if (store_get(v->store, key, bits)) return;
    m->mask_hit = false;
    memset(bits, 0, v->n_word * sizeof *bits);
    struct walk w = { .m = m, .bits = bits, .most = COST_MAX };
    arena_init(&w.tmp, 4096);
    fill(&w, s.conf, s.n_conf);
    arena_done(&w.tmp);
    const struct conf *c = &m->conf[s.conf];
    int esc = c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON;
    store_put(v->store, key, bits, c->kind == C_TEXT ? v->text_all : v->str[esc].all);
}

bool matcher_mask_budget(struct matcher *m, uint32_t *bits, int left, bool *cut)
{
    const struct snap s = *matcher_top(m);
    memset(bits, 0, m->v->n_word * sizeof *bits);
    *cut = false;
    if (s.finished) return true;
    if (left < 1 || set_cost(m, s.conf, s.n_conf) > (uint32_t)left) return false;
    struct walk w = { .m = m, .bits = bits, .most = (uint32_t)left - 1 };
    arena_init(&w.tmp, 4096);
    fill(&w, s.conf, s.n_conf);
    arena_done(&w.tmp);
    *cut = w.n_refused > MOST_REFUSED;
    for (int i = 0; i < MIN(w.n_refused, MOST_REFUSED) && !*cut; i++) *cut = !bit_get(bits, w.refused[i]);
    return true;
}
