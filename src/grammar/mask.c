/* mask.c -- which tokens may come next: sets of configurations, each taken by its class, and what is remembered.
 *
 * Dense places, the inside of strings, invented keys and free text, take ready or remembered masks of content tokens
 * (dense.c) and look at tokens that leave a string by what follows their quote (mask_leave.c); what is not dense is walked
 * along the vocabulary trie (mask_walk.c). Masks are remembered per set of configurations, with string lengths clipped to
 * what a token can reach.
 *
 * Under a budget every allowed token is also priced (budget.c), content in bulk (afford.c). How much the dearest
 * token of a mask adds to the cost is remembered: with that much to spare the mask is the plain one. */
#include "grammar/mask.h"

/* ---- dense places ---------------------------------------------------------------------------- */

static uint32_t content_room(const struct matcher *m, const struct conf *c)
{
    const struct strs *s = strs_of(m, c);
    uint32_t max = s->max;
    if (c->kind == C_KEY) max = MIN(max, key_cap(m, c));
    return max == NONE ? NONE : max - MIN(max, c->m);
}

/* A text of any letters that must differ from others, or a name from those that are taken, with an end in sight: what leaves
 * `spare` letters is content like any other, what fills it up must end as a new one. */
static void take_new(struct walk *w, const struct conf *c, uint32_t spare)
{
    const struct vocab *v = w->m->v;
    int esc = c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON;
    const struct strclass *k = &v->str[esc];
    uint32_t room = content_room(w->m, c), last = k->n_len - 1;
    if (room >= spare) vocab_str_mask(v, esc, room - spare, w->bits);
    struct leaving l;
    leaving_init(w, &l, c);
    for (uint32_t i = room >= spare ? k->len_end[MIN(room - spare, last)] : 0; i < k->len_end[MIN(room, last)]; i++) {
        struct bytes b = v->bytes[k->by_len[i]];
        uint64_t hash;
        bool ends = !k->pending[k->by_len[i]] && ends_behind(w->m, c, b, b.len, (uint32_t)k->len[k->by_len[i]], &hash);
        bool new = c->kind == C_KEY ? b.len == (size_t)k->len[k->by_len[i]] : ends && !seen_has(&l, hash);
        if (ends && new) bit_set(w->bits, k->by_len[i]);
        else try_alone(w, c, k->by_len[i]);
    }
}

/* Under a budget: content that fills up a short name is tried, which prices it too. */
static void afford_new(struct walk *w, const struct conf *c, uint32_t spare)
{
    const struct vocab *v = w->m->v;
    const struct strclass *k = &v->str[c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON];
    uint32_t room = content_room(w->m, c), last = k->n_len - 1, *own = mem_zero(v->n_word * sizeof *own);
    content_afford(w->m, c, own, &w->p);
    for (uint32_t i = room >= spare ? k->len_end[MIN(room - spare, last)] : 0; i < k->len_end[MIN(room, last)]; i++) {
        int32_t t = k->by_len[i];
        if (!bit_has(own, t)) continue;
        own[t / 32] &= ~(1u << (t % 32));
        try_alone(w, c, t);
    }
    words_join(w->bits, own, v->n_word);
    mem_free(own);
}

/* take_new() of texts with an automaton. */
static void take_new_match(struct walk *w, const struct conf *c)
{
    const struct strs *s = strs_of(w->m, c);
    uint32_t n;
    int32_t *list = dense_strs_but(w->m->v, s, c->dfa, c->m, c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON, unique_slack(w->m, c),
                                   false, w->bits, &n);
    for (uint32_t i = 0; i < n; i++) try_alone(w, c, list[i]);
    mem_free(list);
}

static void take_content(struct walk *w, const struct conf *c)
{
    if (w->priced) { content_afford(w->m, c, w->bits, &w->p); return; }
    struct strs s = *strs_of(w->m, c);
    uint32_t room = content_room(w->m, c);
    int esc = c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON;
    if (room != NONE) s.max = c->m + room;
    room = MIN(room, NONE - 1) + 1;
    if (w->content[esc] >= room) return;
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
    bool few = c->kind == C_KEY && !key_roomy(m, c), match = strs_of(m, c)->dfa != NULL;
    uint32_t spare = obj_name_spare(m, c);
    if (((few || unsure) && w->priced) || (spare && match)) return false;
    if (w->twin) { leave_string(w, c); return true; }   /* content closes nothing */
    if (few) take_names(w, c);
    else if (unsure && match) take_new_match(w, c);
    else if (spare && w->priced) afford_new(w, c, spare);
    else if (spare || unsure) take_new(w, c, unsure ? unique_spare(m, c) : spare);
    else take_content(w, c);
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
        if (got) walk_leaf(w, t, m->set0, got);
        matcher_reset(m, k);
    }
    for (uint32_t i = 0; set_accepts(m, from, n) && i < m->v->n_eog; i++) bit_set(w->bits, (int32_t)m->v->eog[i]);
}

/* A text of any letters: what it may go on with is all that those with an automaton could add. */
static bool is_free(const struct matcher *m, const struct conf *c) { return is_string(m, c) && !strs_of(m, c)->dfa; }

/* All configurations of a set. */
static void take_set(struct walk *w, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    struct conf *rest = arena_alloc(&w->tmp, (n + 1) * sizeof *rest);
    uint32_t k = 0;
    if (w->priced && !w->p.most) return;                /* after the last token nothing fits */
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = from; i < from + n; i++) {
            struct conf c = m->conf[i];
            if (c.kind == C_END || c.kind == C_SPECIAL || is_free(m, &c) != !pass) continue;
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
