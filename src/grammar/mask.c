/* mask.c -- which tokens may come next: the configurations walked along the vocabulary trie.
 *
 * A node of the trie is visited only if the automaton survived the path to it, so sparse masks are
 * cheap by themselves. Dense places, the inside of strings, invented keys and free text, take the
 * vocabulary's ready list of pure content and walk only the small trie of tokens with a quote.
 * Masks are remembered per set of configurations, with string lengths clipped to what a token can
 * reach. Under a budget every allowed token is also priced (budget.c); the cheap lists are used as
 * long as no token of theirs could be too dear. */
#include "grammar/int.h"

enum { MOST_REFUSED = 512 };
struct walk {
    struct matcher *m;
    uint32_t *bits, most;  /* tokens whose output costs more than `most` are refused */
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

static void leaf(struct walk *w, int32_t token, uint32_t from, uint32_t n)
{
    if (w->most < COST_MAX && set_cost(w->m, from, n) > w->most) { refused(w, token); return; }
    for (int32_t t = token; t >= 0; t = w->m->v->same[t]) bit_set(w->bits, t);
}

/* All tokens of a trie that the set conf[from, from + n) survives. */
static void walk_trie(struct walk *w, const struct vtrie *t, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    if (!m->level) m->level = mem_alloc((size_t)(m->v->max_len + 2) * sizeof *m->level);
    struct level *level = m->level;
    struct mark before = matcher_mark(m);
    level[0] = (struct level){ from, n, before };
    for (uint32_t i = 0; i < t->n; ) {
        uint32_t d = t->depth[i];
        matcher_reset(m, level[d - 1].mark);
        uint32_t k = set_step(m, level[d - 1].from, level[d - 1].n, t->byte[i]);
        if (!k) { i = t->skip[i]; continue; }
        level[d] = (struct level){ m->set0, k, matcher_mark(m) };
        if (t->token[i] >= 0) leaf(w, t->token[i], m->set0, k);
        i++;
    }
    matcher_reset(m, before);
}

/* ---- dense places ---------------------------------------------------------------------------- */

/* Free text without triggers and limits takes the ready list, every other stretch is walked by itself. */
static void refuse_token(void *walk, int32_t token) { refused(walk, token); }

static void stretch(struct walk *w, const struct conf *c)
{
    const struct vocab *v = w->m->v;
    const struct op *o = &w->m->g->op[c->ref];
    bool plain = c->kind == C_TEXT && stretch_dense(w->m->g, c, (uint32_t)v->max_len) && !c->lex &&
                 (o->kind != OP_TEXT || w->m->g->trig[o->a].any);
    if (!plain || cost_add(conf_cost(w->m, c), 3) > w->most) {
        stretch_mask(w->m, c, w->bits, w->most, refuse_token, w);
        return;
    }
    for (size_t i = 0; i < v->n_word; i++) w->bits[i] |= v->text_all[i];
}

/* Content tokens of a string or invented key; whole_only: without those that end inside a code point or escape. */
static void string_class(struct walk *w, const struct conf *c, bool whole_only)
{
    const struct matcher *m = w->m;
    const struct frame *f = &m->frame[c->frame];
    const struct shape *sh = &m->g->shape[c->kind == C_KEY ? f->ref : c->ref];
    uint32_t room = c->kind == C_KEY      ? sh->obj->cap_key + f->n_dyn - c->m
                    : sh->str.max == NONE ? NONE
                                          : sh->str.max - c->m;
    int esc = c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON;
    if (!whole_only) { vocab_str_mask(m->v, esc, room, w->bits); return; }
    uint32_t *own = mem_zero(m->v->n_word * sizeof *own);
    vocab_str_mask(m->v, esc, room, own);
    for (size_t i = 0; i < m->v->n_word; i++) w->bits[i] |= own[i] & ~m->v->is_part[i];
    mem_free(own);
}

/* How a configuration is walked. */
enum way { WALK_ALL, WALK_QUOTE, WALK_PART, WALK_DECLARED, WALK_NONE, N_WAY };

/* Under a tight budget: takes the whole content tokens if they fit. Returns what is left to be walked.
 * Names that end up taken cost more; reprice() below finds those. */
static enum way dense_tight(struct walk *w, const struct conf *c, uint32_t whole)
{
    const struct strclass *class = &w->m->v->str[c->surf == SURF_PYTHON ? ESC_PYTHON : ESC_JSON];
    if (c->kind == C_KEY) whole -= w->m->frame[c->frame].n_dyn;
    if (whole <= w->most) {
        string_class(w, c, true);
        return WALK_PART;
    }
    /* no content at all: one stands for all */
    if (class->len_end[class->n_len - 1]) refused(w, class->by_len[0]);
    return c->kind == C_KEY ? WALK_DECLARED : WALK_QUOTE;
}

/* Takes c by its class where it is dense. */
static enum way dense(struct walk *w, const struct conf *c)
{
    uint32_t all, whole;
    if (c->kind == C_TEXT || c->kind == C_CHARS || c->kind == C_RE) return stretch(w, c), WALK_NONE;
    if (w->m->g->validate || !conf_bound(w->m, c, &all, &whole)) return WALK_ALL;
    if (all > w->most) return dense_tight(w, c, whole);
    string_class(w, c, false);
    return WALK_QUOTE;
}

/* Decides a token by trying it against the whole set. */
static void reprice(struct walk *w, int32_t token, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    struct mark before = matcher_mark(m);
    struct bytes b = m->v->bytes[token];
    for (size_t i = 0; i < b.len && n; i++) {
        n = set_step(m, from, n, (uint8_t)b.p[i]);
        from = m->set0;
    }
    bool dear = n && set_cost(m, from, n) > w->most;
    matcher_reset(m, before);
    if (!dear) return;
    refused(w, token);
    for (int32_t t = token; t >= 0; t = m->v->same[t]) w->bits[t / 32] &= ~(1u << (t % 32));
}

/* Tokens that complete a declared name cost what that key costs, not what an invented one does. */
static void reprice_declared(struct walk *w, const struct conf *key, uint32_t from, uint32_t n)
{
    const struct matcher *m = w->m;
    const struct trie *t = &m->g->shape[m->frame[key->frame].ref].obj->trie;
    if (key->n == NONE) return;
    for (uint32_t r = t->node[key->n].lo; r < t->node[key->n].hi; r++) {
        uint32_t node = 0;
        for (size_t i = t->node[key->n].depth; i < t->str[r].len && node != NONE; i++)
            node = vocab_kid(m->v, node, (uint8_t)t->str[r].p[i]);
        if (node && node != NONE && m->v->all.token[node - 1] >= 0)
            reprice(w, m->v->all.token[node - 1], from, n);
    }
}

/* Tokens that complete a name written before must be followed by more letters. */
static void reprice_used(struct walk *w, const struct conf *key, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    const struct vtrie *t = &m->v->all;
    if (!m->frame[key->frame].n_dyn) return;
    uint64_t *hash = mem_alloc((size_t)(m->v->max_len + 2) * sizeof *hash);
    hash[0] = key->aux;
    for (uint32_t i = 0; i < t->n; ) {
        uint8_t b = t->byte[i];
        if (b == '"' || b == '\\' || b < 0x20) { i = t->skip[i]; continue; }
        hash[t->depth[i]] = key_hash(hash[t->depth[i] - 1], b);
        if (t->token[i] >= 0 && name_used(m, &m->frame[key->frame], hash[t->depth[i]]))
            reprice(w, t->token[i], from, n);
        i++;
    }
    mem_free(hash);
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
    for (uint32_t i = 0; set_accepts(m, from, n) && i < m->v->n_eog; i++)
        bit_set(w->bits, (int32_t)m->v->eog[i]);
}

/* Walks a group of configurations as a set of their own, copied behind the stack. */
static void walk_group(struct walk *w, const struct conf *list, uint32_t n, enum way way)
{
    struct matcher *m = w->m;
    struct mark before = matcher_mark(m);
    uint32_t at = m->n_conf;
    for (uint32_t i = 0; i < n; i++) {
        MEM_GROW(m->conf, m->n_conf, m->cap_conf);
        m->conf[m->n_conf++] = list[i];
    }
    m->declared_only = way == WALK_DECLARED ? list->frame : NONE;
    walk_trie(w,
              way == WALK_QUOTE  ? &m->v->quote
              : way == WALK_PART ? &m->v->part
                                 : &m->v->all,
              at, n);
    m->declared_only = NONE;
    matcher_reset(m, before);
}

static void fill(struct walk *w, uint32_t from, uint32_t n)
{
    struct matcher *m = w->m;
    struct conf *list[N_WAY];
    uint32_t k[N_WAY] = { 0 };
    for (int i = 0; i < N_WAY; i++) list[i] = arena_alloc(&w->tmp, (n + 1) * sizeof **list);
    for (uint32_t i = from; i < from + n; i++) {
        struct conf c = m->conf[i];
        if (c.kind == C_END || c.kind == C_SPECIAL) continue;
        enum way way = dense(w, &c);
        list[way][k[way]++] = c;
        if (way == WALK_PART || way == WALK_DECLARED)
            list[WALK_QUOTE][k[WALK_QUOTE]++] = c;
    }
    for (int way = 0; way < WALK_DECLARED; way++)
        if (k[way]) walk_group(w, list[way], k[way], way);
    for (uint32_t i = 0; i < k[WALK_DECLARED]; i++)
        walk_group(w, list[WALK_DECLARED] + i, 1, WALK_DECLARED);
    for (uint32_t i = 0; i < k[WALK_PART]; i++) {
        if (list[WALK_PART][i].kind != C_KEY) continue;
        reprice_declared(w, &list[WALK_PART][i], from, n);
        reprice_used(w, &list[WALK_PART][i], from, n);
    }
    specials(w, from, n);
}

/* ---- remembered masks ------------------------------------------------------------------------ */

/* Lengths matter to a mask only as far as one token reaches. */
static uint64_t set_key(const struct matcher *m, uint32_t from, uint32_t n)
{
    uint64_t h = m->g->id;
    uint32_t reach = (uint32_t)m->v->max_len + 1;
    for (uint32_t i = from; i < from + n; i++) {
        struct conf c = m->conf[i];
        if (c.kind == C_STR && m->g->shape[c.ref].kind == SH_STR) {
            const struct shape *sh = &m->g->shape[c.ref];
            uint32_t room = sh->str.max == NONE ? reach : MIN(sh->str.max - c.m, reach);
            uint32_t need = sh->str.min > c.m ? MIN(sh->str.min - c.m, reach) : 0;
            c.m = room;
            c.n = need;
        }
        stretch_clip(m->g, &c, reach);
        h = conf_hash(m, &c, h);
    }
    return h | 1;
}

static bool recall(struct matcher *m, uint64_t key, uint32_t *bits)
{
    struct bind *b = m->bind;
    struct mask_slot *s = &b->slot[key % N_MASK_SLOT];
    pthread_mutex_lock(&b->lock);
    bool hit = s->key == key;
    if (hit) memcpy(bits, s->bits, m->v->n_word * sizeof *bits);
    if (hit) b->hits++;
    else b->misses++;
    pthread_mutex_unlock(&b->lock);
    return hit;
}

static void remember(struct matcher *m, uint64_t key, const uint32_t *bits)
{
    struct bind *b = m->bind;
    struct mask_slot *s = &b->slot[key % N_MASK_SLOT];
    pthread_mutex_lock(&b->lock);
    if (!s->bits) s->bits = mem_alloc(m->v->n_word * sizeof *bits);
    memcpy(s->bits, bits, m->v->n_word * sizeof *bits);
    s->key = key;
    pthread_mutex_unlock(&b->lock);
}

void matcher_mask(struct matcher *m, uint32_t *bits)
{
    const struct snap s = *matcher_top(m);
    memset(bits, 0, m->v->n_word * sizeof *bits);
    if (s.finished) return;
    uint64_t key = set_key(m, s.conf, s.n_conf);
    if (recall(m, key, bits)) return;
    struct walk w = { .m = m, .bits = bits, .most = COST_MAX };
    arena_init(&w.tmp, 4096);
    fill(&w, s.conf, s.n_conf);
    arena_done(&w.tmp);
    remember(m, key, bits);
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
    for (int i = 0; i < MIN(w.n_refused, MOST_REFUSED) && !*cut; i++)
        *cut = !bit_get(bits, w.refused[i]);
    return true;
}
