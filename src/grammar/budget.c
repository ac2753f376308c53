/* budget.c -- how many tokens the shortest way to the end takes, never short.
 *
 * One grammar and one vocabulary together give a `bind`: tables of what every piece costs. Pieces are
 * spelled apart (a key with its quotes and colon, a literal, a tool name), each with its exact fewest
 * tokens, and added up; sharing a token between two pieces would be cheaper, so the sum is a bound.
 * The bound is consistent: from every position with cost D some token leads to a position with cost
 * at most D - 1. That is the whole promise about max_tokens: as long as only tokens with cost below
 * what is left are allowed, one of them always is.
 *
 * Frames carry `need`, the cost from the end of the value inside them to the end of the output, so
 * the cost of a configuration is a table look-up plus one addition. Where alternatives differ in
 * depth, only the flattest count: they fit wherever the goal is offered at all. */
#include "grammar/int.h"

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

static uint32_t wide(uint16_t c) { return c == 0xffff ? COST_MAX : c; }

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
static struct spelled spell_name(const struct vocab *v, const char *head, struct bytes name,
                                 const char *tail)
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
    for (size_t i = n_head + name.len, extra = 0; !plain && i-- > 0; ) {
        uint8_t c = i >= n_head ? (uint8_t)name.p[i - n_head] : 'a';
        if (c < 0x20) extra += 5;
        else if (c == '"' || c == '\\') extra += i >= n_head;
        cost[i] += (uint32_t)extra;
    }
    str_done(&text);
    return (struct spelled){ cost, cost + n_head };
}

/* ---- tables of shapes ------------------------------------------------------------------------ */

/* Cost of the best literal below every node of a trie: its bytes from there on, and `tail`. */
static void trie_costs(const struct vocab *v, const struct trie *t, const char *tail,
                       uint32_t *node_cost)
{
    for (uint32_t i = 0; i < t->n_node; i++) node_cost[i] = COST_MAX;
    size_t total = 0;
    for (uint32_t r = 0; r < t->n_str; r++) total += t->str[r].len;
    for (uint32_t r = 0; r < t->n_str; r++) {
        struct spelled s = spell_name(total < 200000 ? v : NULL, "", t->str[r], tail);
        uint32_t at = 0;
        for (size_t d = 0; at != NONE; d++) {
            node_cost[at] = MIN(node_cost[at], s.name[d]);
            at = d < t->str[r].len ? trie_step(t, at, (uint8_t)t->str[r].p[d]) : NONE;
        }
        mem_free(s.head);
    }
}

static void seg_fill(struct bind *b, struct seg *g, struct bytes name, const char *sep,
                     const char *quote, const char *tail)
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

static void segs_fill(struct bind *b, const struct grammar *g)
{
    for (int args = 0; args < (g->uses_args ? 2 : 1); args++)
        for (int s = 0; s < 2; s++)
            b->seg[args][s] = arena_alloc(&b->mem, (g->n_seg + 1) * sizeof **b->seg[0]);
    for (uint32_t i = 0; i < g->n_shape; i++) {
        if (g->shape[i].kind != SH_OBJ) continue;
        const struct obj *o = g->shape[i].obj;
        for (uint32_t k = 0; k < o->n_key; k++)
            for (int s = 0; s < 2; s++) {
                char tail[40];
                snprintf(tail, sizeof tail, "\"%s", g->spell.key[s]);
                seg_fill(b, &b->seg[0][s][o->seg_off + k], o->key[k].name, g->spell.item[s], "\"",
                         tail);
                if (g->uses_args)
                    seg_fill(b, &b->seg[1][s][o->seg_off + k], o->key[k].name, g->spell.item[s], "",
                             "=");
            }
    }
}

static const struct seg *seg_of(const struct matcher *m, const struct frame *f, uint32_t key,
                                int style)
{
    return &m->bind->seg[f->flags & FL_ARGS ? 1 : 0][style][m->g->shape[f->ref].obj->seg_off + key];
}

static uint32_t word_cost(const struct vocab *v, enum shape_kind k)
{
    const char *json = word_text(k, SURF_JSON), *python = word_text(k, SURF_PYTHON);
    return MAX(one_token(v, json, (uint32_t)strlen(json)),
               one_token(v, python, (uint32_t)strlen(python)));
}

static uint32_t goal_cost(const struct grammar *g, const struct bind *b, uint32_t goal, int s)
{
    return g->goal[goal].ok ? b->goal[goal][s] : COST_MAX;
}

/* Elements from `from` on that the minimum still asks for, each with its separator. */
static uint32_t arr_left(const struct grammar *g, const struct bind *b, const struct arr *a,
                         uint32_t from, int s)
{
    uint64_t sum = 0;
    uint32_t sep = wide(b->sep_cost[s][0]);
    for (uint32_t i = from; i < MIN(a->min, a->n_prefix); i++)
        sum += sep + (uint64_t)goal_cost(g, b, a->prefix[i], s);
    uint32_t at = MAX(from, a->n_prefix);
    if (at < a->min) sum += (a->min - at) * (sep + (uint64_t)goal_cost(g, b, a->rest, s));
    return (uint32_t)MIN(sum, (uint64_t)COST_MAX);
}

static uint32_t obj_cost(const struct grammar *g, const struct bind *b, const struct obj *o,
                         int args, int s)
{
    uint32_t sum = args ? 0 : o->n_req ? 2 : b->pair_cost[2];
    for (uint32_t i = o->next_req[0]; i != NONE; i = o->next_req[i + 1])
        sum = cost_add(sum, cost_add(wide(b->seg[args][s][o->seg_off + i].sep[0]),
                                     goal_cost(g, b, o->key[i].goal, s)));
    return sum;
}

static uint32_t shape_cost(const struct grammar *g, const struct bind *b, const struct shape *sh,
                           int s)
{
    switch (sh->kind) {
    case SH_NULL: case SH_TRUE: case SH_FALSE: return word_cost(b->v, sh->kind);
    case SH_NUM:    return g->validate ? 1 : num_shortest(sh->num);
    case SH_NUMLIT: return b->node_cost[sh->lit->cost_off];
    case SH_STRLIT: return cost_add(1, b->node_cost[sh->lit->cost_off]);
    case SH_STR:    return sh->str.min ? cost_add(2, sh->str.min) : b->pair_cost[0];
    case SH_ARR: return sh->arr->min ? cost_add(2, arr_left(g, b, sh->arr, 0, s)) : b->pair_cost[1];
    default:        return obj_cost(g, b, sh->obj, 0, s);
    }
}

static bool goal_relax(const struct grammar *g, struct bind *b, uint32_t goal, int s)
{
    const struct goal *p = &g->goal[goal];
    bool better = false;
    for (uint32_t i = p->shape; i < p->shape + p->n_shape; i++) {
        if (!g->shape[i].ok || g->shape[i].height != p->height) continue;
        uint32_t c = shape_cost(g, b, &g->shape[i], s);
        if (c < b->shape[i][s]) b->shape[i][s] = c;
        if (c < b->goal[goal][s]) { b->goal[goal][s] = c; better = true; }
    }
    return better;
}

static void shapes_fill(struct bind *b, const struct grammar *g)
{
    b->node_cost = arena_alloc(&b->mem, (g->n_node_cost + 1) * sizeof *b->node_cost);
    b->goal = arena_alloc(&b->mem, (g->n_goal + 1) * sizeof *b->goal);
    b->shape = arena_alloc(&b->mem, (g->n_shape + 1) * sizeof *b->shape);
    for (uint32_t i = 0; i < g->n_shape; i++) {
        const struct shape *sh = &g->shape[i];
        if (sh->kind == SH_STRLIT)
            trie_costs(b->v, sh->lit, "\"", b->node_cost + sh->lit->cost_off);
        if (sh->kind == SH_NUMLIT) trie_costs(b->v, sh->lit, "", b->node_cost + sh->lit->cost_off);
        b->shape[i][0] = b->shape[i][1] = COST_MAX;
    }
    for (uint32_t i = 0; i < g->n_goal; i++) b->goal[i][0] = b->goal[i][1] = COST_MAX;
    bool better = true;
    for (int pass = 0; better && pass < 2000; pass++) {
        better = false;
        for (uint32_t i = g->n_goal; i-- > 0; )
            for (int s = 0; s < 2; s++) better |= goal_relax(g, b, i, s);
    }
}

/* ---- tables of the envelope ------------------------------------------------------------------ */

static void mark_each(const struct grammar *g, struct bind *b, uint32_t op)
{
    while (b->in_each[op] == NONE) {
        b->in_each[op] = b->n_each_op++;
        const struct op *o = &g->op[op];
        if (o->kind == OP_RET) return;
        if (o->kind == OP_SPLIT) mark_each(g, b, o->a);
        op = o->next;
    }
}

static uint32_t slot_cost(const struct grammar *g, const struct bind *b, uint32_t goal,
                          uint32_t surf, int s)
{
    if (surf == SURF_RAW) return 0;
    if (surf != SURF_ARGS) return goal_cost(g, b, goal, s);
    uint32_t best = COST_MAX;
    const struct goal *p = &g->goal[goal];
    for (uint32_t i = p->shape; i < p->shape + p->n_shape; i++)
        if (g->shape[i].kind == SH_OBJ && g->shape[i].ok)
            best = MIN(best, obj_cost(g, b, g->shape[i].obj, 1, s));
    return best;
}

static uint32_t op_at(const struct grammar *g, const struct bind *b, uint32_t op, uint32_t pair,
                      int s)
{
    uint32_t row = b->in_each[op];
    return row == NONE || pair == NONE ? b->op[op][s] : b->op_pair[row * g->n_pair + pair][s];
}

/* One look at an op, for one pair inside of each. */
static uint32_t op_cost(const struct grammar *g, const struct bind *b, uint32_t op, uint32_t pair,
                        int s)
{
    const struct op *o = &g->op[op];
    if (o->kind == OP_RET) return 0;
    if (o->kind == OP_SPLIT) return MIN(op_at(g, b, o->next, pair, s), op_at(g, b, o->a, pair, s));
    uint32_t next = op_at(g, b, o->next, pair, s);
    switch (o->kind) {
    case OP_LIT:   return cost_add(wide(b->lit_cost[op][0]), next);
    case OP_TEXT:
    case OP_CHARS:
    case OP_RE:    return cost_add(stretch_op_cost(g, op), next);
    case OP_NAME:  return cost_add(wide(b->name_cost[o->a][pair][0]), next);
    case OP_VALUE: return cost_add(slot_cost(g, b, g->pair_goal[pair], o->a, s), next);
    case OP_SLOT:  return cost_add(slot_cost(g, b, o->b, o->a, s), next);
    case OP_CALL:
    case OP_EACH:  return cost_add(b->op[o->a][s], next);
    default:       return cost_add(1, next);            /* class, special */
    }
}

static bool op_relax(const struct grammar *g, struct bind *b, uint32_t op)
{
    uint32_t row = b->in_each[op];
    bool better = false;
    for (int s = 0; s < 2; s++) {
        uint32_t best = b->op[op][s];
        for (uint32_t p = 0; row != NONE && p < g->n_pair; p++) {
            uint32_t c = op_cost(g, b, op, p, s), *have = &b->op_pair[row * g->n_pair + p][s];
            if (c < *have) { *have = c; better = true; }
            best = MIN(best, c);
        }
        if (row == NONE) best = MIN(best, op_cost(g, b, op, NONE, s));
        if (best < b->op[op][s]) { b->op[op][s] = best; better = true; }
    }
    return better;
}

/* Unbound name: cost of the best name below a node and of what follows it. */
static void name_nodes(const struct grammar *g, struct bind *b, uint32_t op)
{
    const struct op *o = &g->op[op];
    const struct trie *t = &g->name[o->a];
    uint32_t (*cost)[2] = arena_alloc(&b->mem, t->n_node * sizeof *cost);
    for (uint32_t i = 0; i < t->n_node; i++) cost[i][0] = cost[i][1] = COST_MAX;
    for (uint32_t r = 0; r < t->n_str; r++) {
        uint32_t at = 0, pair = t->id[r];
        for (size_t d = 0; at != NONE; d++) {
            for (int s = 0; s < 2; s++)
                cost[at][s] = MIN(cost[at][s], cost_add(wide(b->name_cost[o->a][pair][d]),
                                                        op_at(g, b, o->next, pair, s)));
            at = d < t->str[r].len ? trie_step(t, at, (uint8_t)t->str[r].p[d]) : NONE;
        }
    }
    b->name_node[op] = cost;
}

static void ops_fill(struct bind *b, const struct grammar *g)
{
    b->op = arena_alloc(&b->mem, (g->n_op + 1) * sizeof *b->op);
    b->lit_cost = arena_zero(&b->mem, (g->n_op + 1) * sizeof *b->lit_cost);
    b->name_node = arena_zero(&b->mem, (g->n_op + 1) * sizeof *b->name_node);
    b->in_each = arena_alloc(&b->mem, (g->n_op + 1) * sizeof *b->in_each);
    for (uint32_t i = 0; i < g->n_op; i++) {
        b->in_each[i] = NONE;
        b->op[i][0] = b->op[i][1] = COST_MAX;
        if (g->op[i].kind == OP_LIT)
            b->lit_cost[i] = spell_plain(b, g->text + g->op[i].a, g->op[i].b);
    }
    for (int k = 0; k < 2; k++) {
        b->name_cost[k] = arena_alloc(&b->mem, (g->n_pair + 1) * sizeof **b->name_cost);
        for (uint32_t p = 0; p < g->n_pair; p++)
            b->name_cost[k][p] = spell_plain(b, g->pair_name[k][p].p, g->pair_name[k][p].len);
    }
    for (uint32_t i = 0; i < g->n_op; i++)
        if (g->op[i].kind == OP_EACH) mark_each(g, b, g->op[i].a);
    size_t n = (size_t)b->n_each_op * g->n_pair;
    b->op_pair = arena_alloc(&b->mem, (n + 1) * sizeof *b->op_pair);
    for (size_t i = 0; i < n; i++) b->op_pair[i][0] = b->op_pair[i][1] = COST_MAX;
    bool better = true;
    /* followers are laid out first: forwards is fast */
    for (int pass = 0; better && pass < 2000; pass++) {
        better = false;
        for (uint32_t i = 0; i < g->n_op; i++) better |= op_relax(g, b, i);
    }
    for (uint32_t i = 0; i < g->n_op; i++)
        if (g->op[i].kind == OP_NAME) name_nodes(g, b, i);
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
    arena_init(&b->mem, 0);
    pthread_mutex_init(&b->lock, NULL);
    if (!bind_specials(b, g, e)) { bind_free(b); return NULL; }
    static const char *const pairs[] = { "\"\"", "[]", "{}" };
    for (int i = 0; i < 3; i++) b->pair_cost[i] = one_token(v, pairs[i], 2);
    for (int s = 0; s < 2; s++) {
        b->sep_cost[s] = spell_plain(b, g->spell.item[s], g->spell.n_item[s]);
        b->colon_cost[s] = spell_plain(b, g->spell.key[s], g->spell.n_key[s]);
    }
    segs_fill(b, g);
    shapes_fill(b, g);
    ops_fill(b, g);
    return b;
}

struct bind *bind_get(const struct grammar *g, const struct vocab *v, struct err *e)
{
    struct grammar *own = (struct grammar *)g;  /* the list is all that changes, under its lock */
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
    for (int i = 0; i < N_MASK_SLOT; i++) mem_free(b->slot[i].bits);
    pthread_mutex_destroy(&b->lock);
    arena_done(&b->mem);
    mem_free(b);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static uint32_t pair_of(const struct frame *f) { return f->kind == F_EACH ? f->count : NONE; }

/* From an op in a frame to the end of output. */
static uint32_t op_rest(const struct matcher *m, uint32_t op, uint32_t frame, int s)
{
    const struct frame *f = &m->frame[frame];
    return cost_add(op_at(m->g, m->bind, op, pair_of(f), s), f->need[s]);
}

uint32_t key_todo(const struct matcher *m, const struct frame *f, uint32_t key, int s)
{
    return cost_add(wide(seg_of(m, f, key, s)->sep[0]),
                    goal_cost(m->g, m->bind, m->g->shape[f->ref].obj->key[key].goal, s));
}

uint32_t obj_todo(const struct matcher *m, const struct frame *f, int s)
{
    const struct obj *o = m->g->shape[f->ref].obj;
    uint32_t sum = 0;
    for (uint32_t i = o->next_req[0]; i != NONE; i = o->next_req[i + 1])
        sum = cost_add(sum, key_todo(m, f, i, s));
    return sum;
}

void frame_cost(const struct matcher *m, struct frame *f)
{
    for (int s = 0; s < 2; s++) {
        const struct frame *up = f->parent == NONE ? NULL : &m->frame[f->parent];
        switch (f->kind) {
        case F_ROOT: f->need[s] = 1; break;
        case F_CALL: case F_EACH: f->need[s] = op_rest(m, f->ref, f->parent, s); break;
        case F_OBJ:
            f->need[s] = cost_add(cost_add(f->todo[s], !(f->flags & FL_ARGS)), up->need[s]);
            break;
        case F_ARR:
            f->need[s] =
                cost_add(cost_add(arr_left(m->g, m->bind, m->g->shape[f->ref].arr, f->count + 1, s),
                                  1),
                         up->need[s]);
            break;
        default: f->need[s] = up->need[s];
        }
    }
}

/* ---- configurations -------------------------------------------------------------------------- */

/* Behind `lead` tokens stands the value of key; the object's need counts the key itself if it is required. */
static uint32_t with_key(const struct matcher *m, const struct frame *f, uint32_t key,
                         uint32_t lead, int s)
{
    const struct okey *k = &m->g->shape[f->ref].obj->key[key];
    uint32_t need = f->need[s];
    if (k->req && need < COST_MAX) need -= key_todo(m, f, key, s);
    return cost_add(cost_add(lead, goal_cost(m->g, m->bind, k->goal, s)), need);
}

/* The best way on among offered keys with ranks in [lo, hi): where says which table entry leads. */
enum where { IN_SEP, AT_QUOTE, IN_KEY };
static uint32_t best_key(const struct matcher *m, const struct frame *f, uint32_t lo, uint32_t hi,
                         enum where where, uint32_t at, int s)
{
    const struct obj *o = m->g->shape[f->ref].obj;
    uint32_t best = COST_MAX;
    for (uint32_t r = lo; r < hi; r++) {
        uint32_t key = o->trie.id[r];
        if (!obj_offers(m, f, key)) continue;
        const struct seg *g = seg_of(m, f, key, s);
        uint16_t lead = where == IN_SEP ? g->sep[at] : where == AT_QUOTE ? g->quote : g->key[at];
        best = MIN(best, with_key(m, f, key, wide(lead), s));
    }
    return best;
}

/* An invented key from this point of its name on. */
static uint32_t invent(const struct matcher *m, const struct conf *c, int s)
{
    const struct frame *f = &m->frame[c->frame];
    if (!obj_invents(m, f)) return COST_MAX;
    uint32_t colon = f->flags & FL_ARGS ? 0 : wide(m->bind->colon_cost[s][0]);
    uint32_t lead =
        cost_add(cost_add((uint32_t)lex_pending(c->lex) + 1 + colon, key_extend(m, c)), f->need[s]);
    return cost_add(lead, goal_cost(m->g, m->bind, m->g->shape[f->ref].obj->rest, s));
}

static uint32_t cost_key(const struct matcher *m, const struct conf *c, int s)
{
    const struct frame *f = &m->frame[c->frame];
    const struct trie *t = &m->g->shape[f->ref].obj->trie;
    uint32_t best = invent(m, c, s);
    if (c->n == NONE || m->g->validate) return best;
    const struct tnode *p = &t->node[c->n];
    if (c->lex == LEX_NORMAL || c->lex >= LEX_UTF8)  /* the trie follows code points byte by byte */
        return MIN(best, best_key(m, f, p->lo, p->hi, IN_KEY, p->depth, s));
    for (uint32_t i = p->child; i < p->child + p->n_child; i++) {
        const struct tnode *k = &t->node[i];
        if (!escape_means(m, k, c, f)) continue;
        best = MIN(best, cost_add((uint32_t)lex_pending(c->lex),
                                  best_key(m, f, k->lo, k->hi, IN_KEY, k->depth, s)));
    }
    return best;
}

/* A key still to begin: behind `at` bytes of the separator, or before the quote. */
static uint32_t cost_next_key(const struct matcher *m, const struct conf *c, enum where where,
                              int s)
{
    const struct frame *f = &m->frame[c->frame];
    struct conf key = { .kind = C_KEY, .frame = c->frame };
    uint32_t lead = where == IN_SEP ? wide(m->bind->sep_cost[s][c->n]) : 0;
    uint32_t quote = !(f->flags & FL_ARGS), fresh = cost_add(lead + quote, invent(m, &key, s));
    return MIN(fresh, best_key(m, f, 0, m->g->shape[f->ref].obj->trie.n_str, where, c->n, s));
}

static uint32_t cost_str(const struct matcher *m, const struct conf *c, int s)
{
    const struct shape *sh = &m->g->shape[c->ref];
    uint32_t need = m->frame[c->frame].need[s], pending = (uint32_t)lex_pending(c->lex);
    if (sh->kind == SH_STR)
        return cost_add(cost_add(pending + 1, sh->str.min > c->m ? sh->str.min - c->m : 0), need);
    const uint32_t *cost = m->bind->node_cost + sh->lit->cost_off;
    if (c->lex == LEX_NORMAL || c->lex >= LEX_UTF8) return cost_add(cost[c->n], need);
    uint32_t best = COST_MAX;
    const struct tnode *p = &sh->lit->node[c->n];
    for (uint32_t i = p->child; i < p->child + p->n_child; i++)
        if (escape_means(m, &sh->lit->node[i], c, NULL)) best = MIN(best, cost[i]);
    return cost_add(cost_add(best, pending), need);
}

/* Right behind [ or a whole element, and behind part of a separator. */
static uint32_t cost_arr(const struct matcher *m, const struct conf *c, int s)
{
    const struct frame *f = &m->frame[c->frame];
    const struct arr *a = m->g->shape[f->ref].arr;
    if (c->kind == C_SEP)
        return cost_add(cost_add(wide(m->bind->sep_cost[s][c->n]),
                                 goal_cost(m->g, m->bind, item_goal_at(a, f->count), s)),
                        f->need[s]);
    return cost_add(cost_add(arr_left(m->g, m->bind, a, f->count, s), 1),
                    m->frame[f->parent].need[s]);
}

static uint32_t cost_name(const struct matcher *m, const struct conf *c, int s)
{
    const struct op *o = &m->g->op[c->ref];
    const struct frame *f = &m->frame[c->frame];
    if (f->count == NONE) return cost_add(m->bind->name_node[c->ref][c->n][s], f->need[s]);
    return cost_add(wide(m->bind->name_cost[o->a][f->count][c->n]),
                    op_rest(m, o->next, c->frame, s));
}

uint32_t conf_cost(const struct matcher *m, const struct conf *c)
{
    int s = c->style == STYLE_OWN;
    const struct frame *f = &m->frame[c->frame];
    const struct op *o = &m->g->op[c->kind <= C_NAME ? c->ref : 0];
    switch (c->kind) {
    case C_LIT:
        return cost_add(wide(m->bind->lit_cost[c->ref][c->n]), op_rest(m, o->next, c->frame, s));
    case C_CLASS:
    case C_SPECIAL: return cost_add(1, op_rest(m, o->next, c->frame, s));
    case C_TEXT:
    case C_CHARS:
    case C_RE:    return cost_add(stretch_cost(m->g, c), op_rest(m, o->next, c->frame, s));
    case C_NAME:  return cost_name(m, c, s);
    case C_VALUE: return cost_add(goal_cost(m->g, m->bind, c->ref, s), f->need[s]);
    case C_STR:   return cost_str(m, c, s);
    case C_KEY:   return cost_key(m, c, s);
    case C_NUM:
        return m->g->validate ? f->need[s]
                              : cost_add(num_left(m->g->shape[c->ref].num, c), f->need[s]);
    case C_NUMLIT:
        return cost_add(m->bind->node_cost[m->g->shape[c->ref].lit->cost_off + c->n], f->need[s]);
    case C_WORD:
        return cost_add((uint32_t)strlen(word_text(m->g->shape[c->ref].kind, c->surf)) - c->n,
                        f->need[s]);
    case C_COLON:
        return cost_add(cost_add(wide(m->bind->colon_cost[s][c->n]),
                                 goal_cost(m->g, m->bind, c->ref, s)),
                        f->need[s]);
    case C_QUOTE: return cost_next_key(m, c, AT_QUOTE, s);
    case C_SEP:   return f->kind == F_ARR ? cost_arr(m, c, s) : cost_next_key(m, c, IN_SEP, s);
    case C_OPEN:
    case C_NEXT:  return f->kind == F_ARR ? cost_arr(m, c, s) : f->need[s];
    default:      return 1;                             /* C_END: the end-of-turn token */
    }
}

uint32_t set_cost(const struct matcher *m, uint32_t from, uint32_t n)
{
    uint32_t best = COST_MAX;
    for (uint32_t i = from; i < from + n; i++) best = MIN(best, conf_cost(m, &m->conf[i]));
    return best;
}

bool conf_bound(const struct matcher *m, const struct conf *c, uint32_t *all, uint32_t *whole)
{
    const uint32_t pending = 6;  /* the longest half of an escape or code point */
    const struct frame *f = &m->frame[c->frame];
    const struct shape *sh = c->kind == C_STR ? &m->g->shape[c->ref] : NULL;
    int s = c->style == STYLE_OWN;
    if (c->lex != 0) return false;
    if (c->kind == C_TEXT && !stretch_dense(m->g, c, (uint32_t)m->v->max_len)) return false;
    if (c->kind == C_TEXT || (c->kind == C_STR && sh->kind == SH_STR)) {
        *whole = conf_cost(m, c);
        *whole -= c->kind == C_STR && c->m < sh->str.min && *whole < COST_MAX;
        *all = cost_add(*whole, pending);
        return true;
    }
    if (c->kind != C_KEY || f->flags & FL_ARGS || !obj_invents(m, f)) return false;
    const struct obj *o = m->g->shape[f->ref].obj;
    uint32_t close =
        cost_add(1 + wide(m->bind->colon_cost[s][0]), goal_cost(m->g, m->bind, o->rest, s));
    *whole = cost_add(cost_add(close, f->n_dyn), f->need[s]);
    *all = cost_add(*whole, pending + o->n_key + 2);
    return true;
}

int matcher_shortest(struct matcher *m)
{
    const struct snap *t = matcher_top(m);
    if (t->finished || !m->v) return 0;
    return (int)set_cost(m, t->conf, t->n_conf);
}
