/* shape_ways.c -- what is said of the value of a key, and in which ways it may be taken.
 *
 * A key's goal is the conjunction of what each schema of the bag says about it. Where the object owes something (a
 * negated schema), the key is offered in alternatives, and bit i of one says that it settles debt i. */
#include "grammar/shape_object.h"

/* ---- what is said about a key ---------------------------------------------------------------- */

/* The key at hand: a name, or NULL for an invented one; mb->matched says which patterns it matches. */
static uint32_t listed(const struct kw_obj *k, const struct bytes *name)
{
    return name ? prop_index(k, *name) : NONE;
}

/* Nodes that one schema's keywords apply to the key's value. */
static uint32_t applies(const struct members *mb, const struct kw_obj *k, const struct bytes *name,
                        uint32_t *out)
{
    uint32_t n = 0, at = listed(k, name);
    if (at != NONE) out[n++] = k->prop[at].node;
    for (uint32_t i = 0; i < k->n_pattern; i++)
        if (is_matched(mb, k->pattern[i].name)) out[n++] = k->pattern[i].node;
    if (!n && k->rest != NONE) out[n++] = k->rest;
    return n;
}

/* Is the key looked at, for unevaluatedProperties of item `top`, by something below it? */
static bool looked_at(const struct members *mb, uint32_t top, const struct bytes *name)
{
    for (uint32_t i = 0; i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        if (!k || !bag_below(mb->b, i, top)) continue;
        if (listed(k, name) != NONE || k->rest != NONE || (i != top && k->uneval != NONE)) return true;
        for (uint32_t p = 0; p < k->n_pattern; p++)
            if (is_matched(mb, k->pattern[p].name)) return true;
    }
    return false;
}

/* With opts.closed an object that declares properties and says nothing of others takes no others. */
bool closes_itself(const struct members *mb)
{
    const struct grammar_opts *o = &mb->x->g->o;
    for (uint32_t i = 0; o->closed && !o->validate && i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        if (k && k->n_prop && k->rest == NONE && !k->n_pattern) return true;
    }
    return false;
}

static void refs_put(struct members *mb, struct refs_list *l, uint32_t ref)
{
    if (l->n == l->cap) {
        uint32_t *more = arena_small(mb->x->tmp, (l->cap * 2 + 4) * sizeof *more);
        if (l->n) memcpy(more, l->ref, l->n * sizeof *more);
        l->ref = more;
        l->cap = l->cap * 2 + 4;
    }
    l->ref[l->n++] = ref;
}

static void key_refs(struct members *mb, const struct bytes *name, struct refs_list *l)
{
    for (uint32_t i = 0; i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        if (!k) continue;
        uint32_t few[8], *node = k->n_pattern + 2 <= LEN(few) ? few : arena_small(mb->x->tmp, (k->n_pattern + 2) * sizeof *node);
        uint32_t n = applies(mb, k, name, node);
        for (uint32_t j = 0; j < n; j++) refs_put(mb, l, node[j] * 2);
        if (k->uneval != NONE && !looked_at(mb, i, name)) refs_put(mb, l, k->uneval * 2);
    }
    for (uint32_t i = 0; name && i < mb->n_must; i++) {
        struct bytes key = mb->o->key[mb->must[i].key].name;
        if (key.len == name->len && !memcmp(key.p, name->p, key.len)) refs_put(mb, l, mb->must[i].ref);
    }
}

/* Ways in which a key settles a debt: signed nodes to join, NONE: as it is. */
static bool settles(struct members *mb, const struct debt *d, const struct bytes *name, struct refs_list *l)
{
    const struct node *n = node_at(mb->x->g, d->node);
    if (d->kind == NOT_NAMES) {
        bool bad = mb->refused >> (d - mb->debt) & 1;
        if (name && !name_allowed(mb, &d->bad, *name, &bad)) return false;
        if (bad) refs_put(mb, l, NONE);
        return true;
    }
    if (d->kind == NOT_UNEVAL_PROPS) {
        if (!looked_at(mb, d->bare, name)) refs_put(mb, l, n->obj->uneval * 2 + 1);
        return true;
    }
    if (n->kind == NODE_LITERAL) {
        const struct json *v = name ? json_get(n->v, name->p) : NULL;
        uint32_t lit = v ? schemas_literal(mb->x->g, v, d->node) : 0;
        refs_put(mb, l, v ? lit * 2 + 1 : NONE);
        return lit != NONE;
    }
    uint32_t few[8], *node = n->obj->n_pattern + 2 <= LEN(few) ? few : arena_small(mb->x->tmp, (n->obj->n_pattern + 2) * sizeof *node);
    uint32_t k = applies(mb, n->obj, name, node);
    for (uint32_t i = 0; i < k; i++) refs_put(mb, l, node[i] * 2 + 1);
    return true;
}

bool impossible(const struct members *mb, const struct refs_list *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (node_at(mb->x->g, l->ref[i] / 2)->kind == (l->ref[i] & 1 ? NODE_TRUE : NODE_FALSE)) return true;
    return false;
}

static bool alt_put(struct members *mb, const struct refs_list *l, uint32_t owed, struct alts *out, uint32_t *cap)
{
    if (impossible(mb, l)) return true;
    uint32_t goal = expand_goal_of(mb->x, l->ref, l->n);
    if (goal == NONE) return false;
    for (uint32_t i = 0; i < out->n; i++)               /* the one that settles most came first */
        if (out->alt[i].goal == goal && !(owed & ~out->alt[i].owed)) return true;
    if (out->n >= MOST_ALT)
        return schemas_fail(mb->x->g, mb->x->e, mb->b->item[0].ref / 2, ERR_LIMIT, "",
                            "more than %d ways to take one key", MOST_ALT);
    if (out->n == *cap) {
        struct alt *more = arena_small(&mb->x->g->mem, (*cap * 2 + 1) * sizeof *more);
        if (out->n) memcpy(more, out->alt, out->n * sizeof *more);
        out->alt = more;
        *cap = *cap * 2 + 1;
    }
    out->alt[out->n++] = (struct alt){ goal, owed };
    return true;
}

/* What needs no goal to be opened. Said: the types that are left, by what schemas say themselves. */
enum sure { SURELY_EMPTY, SURELY_MET, NOT_SURE };
static enum sure look(struct members *mb, const struct refs_list *l, uint32_t ref)
{
    const struct node *n = node_plain(mb->x->g, ref / 2);
    int types = T_ALL;
    for (uint32_t i = 0; i < l->n; i++)
        if (!(l->ref[i] & 1)) types &= node_plain(mb->x->g, l->ref[i] / 2)->types;
    if (!(ref & 1)) return types & n->types ? NOT_SURE : SURELY_EMPTY;
    return !l->n && n->types != T_ALL ? SURELY_MET : NOT_SURE;        /* nothing is said of the key: a value of another type will do */
}

static bool empty_with(struct members *mb, struct refs_list *l, uint32_t ref)
{
    enum sure sure = look(mb, l, ref);
    if (sure != NOT_SURE) return sure == SURELY_EMPTY;
    uint32_t before = l->n;
    refs_put(mb, l, ref);
    bool empty = impossible(mb, l);
    uint32_t goal = empty ? NONE : goal_of(mb->x->g, l->ref, l->n, NULL);
    if (goal != NONE) empty = goal_surely_empty(mb->x->g, goal);
    l->n = before;
    return empty;
}

/* Does the way ask for the contrary of what is said of the key anyway? */
static bool is_said(const struct members *mb, const struct refs_list *l, uint32_t way)
{
    if (!(way & 1)) return false;
    const struct node *n = node_plain(mb->x->g, way / 2);
    for (uint32_t i = 0; i < l->n; i++)
        if (!(l->ref[i] & 1) && node_plain(mb->x->g, l->ref[i] / 2) == n) return true;
    return false;
}

/* Of the ways in which the key can settle a debt only those that its goal leaves: what the goal excludes anyway is
 * settled free of charge (NONE), what it implies cannot be violated. */
static void sift(struct members *mb, struct refs_list *l, struct refs_list *how, bool required)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < how->n; i++) {
        if (how->ref[i] != NONE && !required && is_said(mb, l, how->ref[i])) continue;
        if (how->ref[i] == NONE || empty_with(mb, l, how->ref[i] ^ 1)) {
            how->ref[0] = NONE;
            how->n = 1;
            return;
        }
        if (!empty_with(mb, l, how->ref[i])) how->ref[n++] = how->ref[i];
    }
    how->n = n;
}

/* Every combination of settling debts from d on, or not. how[d]: the ways, sifted against the goal without debts. */
static bool alts_from(struct members *mb, const struct refs_list *how, uint32_t d, struct refs_list *l, uint32_t owed,
                      struct alts *out, uint32_t *cap)
{
    if (d == mb->n_debt) return alt_put(mb, l, owed, out, cap);
    if (mb->debt[d].moot) return alts_from(mb, how, d + 1, l, owed, out, cap);
    for (uint32_t i = 0; i < how[d].n; i++) {
        uint32_t before = l->n;
        if (how[d].ref[i] != NONE) refs_put(mb, l, how[d].ref[i]);
        if (!alts_from(mb, how, d + 1, l, owed | 1u << d, out, cap)) return false;
        l->n = before;
        if (how[d].ref[i] == NONE) return true;
    }
    return alts_from(mb, how, d + 1, l, owed, out, cap);
}

/* The ways of the key at hand; NULL: an error. */
struct key_ways *key_ways(struct members *mb, const struct bytes *name, bool required)
{
    struct key_ways *k = arena_small(mb->x->tmp, sizeof *k);
    k->how = arena_small(mb->x->tmp, mb->n_debt * sizeof *k->how);
    key_refs(mb, name, &k->said);
    for (uint32_t d = 0; d < mb->n_debt && !impossible(mb, &k->said); d++) {
        if (!settles(mb, &mb->debt[d], name, &k->how[d])) return NULL;
        sift(mb, &k->said, &k->how[d], required);
    }
    return k;
}

/* The ways of a key of which values are listed, by what is said of it or by all that could fail: each listed value settles
 * what it settles, any other one all that lists values. So there are as many ways as values are treated differently,
 * not one for each set of debts. */
struct listed {
    const struct refs_list *said;
    struct refs_list how; uint32_t debt[64];            /* the ways to settle something, and of which debt each is */
    uint32_t always;                                    /* debts settled by any value */
    const struct json *list[64]; uint32_t n_list; bool others; /* others: values that no list has */
    uint64_t *seen; uint32_t n_seen, cap_seen;          /* sets of ways that there is a value for */
};

static bool has_list(const struct members *mb, uint32_t ref)
{
    const struct node *n = node_at(mb->x->g, ref / 2);
    return n->lits && !n->is_const;
}

/* Values that tell the ways apart; false: there is something else to go by. */
static bool listed_values(const struct members *mb, struct listed *l)
{
    for (uint32_t i = 0; i < l->said->n; i++) {
        if (l->said->ref[i] & 1 || !has_list(mb, l->said->ref[i])) continue;
        l->list[l->n_list++] = node_at(mb->x->g, l->said->ref[i] / 2)->lits;
        return true;
    }
    l->others = true;
    for (uint32_t i = 0; i < l->how.n; i++) {
        if (!(l->how.ref[i] & 1) || !has_list(mb, l->how.ref[i])) return false;
        l->list[l->n_list++] = node_at(mb->x->g, l->how.ref[i] / 2)->lits;
    }
    return true;
}

/* Fills l; false: so few ways, or so many, that the general way will do. */
static bool listed_init(struct members *mb, const struct key_ways *k, struct listed *l)
{
    uint64_t ways = 1;
    *l = (struct listed){ .said = &k->said };
    for (uint32_t d = 0; d < mb->n_debt; d++) {
        if (mb->debt[d].moot || !k->how[d].n) continue;
        if (k->how[d].ref[0] == NONE) { l->always |= 1u << d; continue; }
        if (l->how.n + k->how[d].n > LEN(l->debt)) return false;
        for (uint32_t i = 0; i < k->how[d].n; i++) {
            l->debt[l->how.n] = d;
            refs_put(mb, &l->how, k->how[d].ref[i]);
        }
        ways = MIN(ways * (k->how[d].n + 1), (uint64_t)MOST_ALT + 1);
    }
    return ways > MOST_ALT && listed_values(mb, l);
}

/* Which of l->how value v meets, as bits; *fits: it meets all that is said. False: an error. */
static bool read_value(struct members *mb, const struct listed *l, const struct json *v, uint64_t *bits, bool *fits)
{
    *bits = 0;
    *fits = true;
    for (uint32_t i = 0; i < l->said->n && *fits; i++)
        if (!literal_meets(mb->x, l->said->ref[i], v, fits)) return false;
    for (uint32_t i = 0; i < l->how.n && *fits; i++) {
        bool ok;
        if (!literal_meets(mb->x, l->how.ref[i], v, &ok)) return false;
        *bits |= (uint64_t)ok << i;
    }
    return true;
}

/* The way of the values that meet just these of l->how, once. */
static bool listed_put(struct members *mb, struct listed *l, uint64_t bits, struct alts *out, uint32_t *cap)
{
    struct refs_list all = { 0 };
    uint32_t owed = l->always;
    for (uint32_t i = 0; i < l->n_seen; i++)
        if (l->seen[i] == bits) return true;
    MEM_GROW(l->seen, l->n_seen, l->cap_seen);
    l->seen[l->n_seen++] = bits;
    for (uint32_t i = 0; i < l->said->n; i++) refs_put(mb, &all, l->said->ref[i]);
    for (uint32_t i = 0; i < l->how.n; i++) {
        bool met = bits >> i & 1;
        refs_put(mb, &all, met ? l->how.ref[i] : l->how.ref[i] ^ 1);
        if (met) owed |= 1u << l->debt[i];
    }
    return alt_put(mb, &all, owed, out, cap);
}

static bool listed_alts(struct members *mb, struct listed *l, struct alts *out, uint32_t *cap)
{
    bool ok = true;
    for (uint32_t k = 0; k < l->n_list; k++)
        for (size_t i = 0; i < json_len(l->list[k]) && ok; i++) {
            uint64_t bits;
            bool fits;
            ok = read_value(mb, l, json_at(l->list[k], i), &bits, &fits) && (!fits || listed_put(mb, l, bits, out, cap));
        }
    uint64_t all = l->how.n < 64 ? (1ull << l->how.n) - 1 : ~0ull;
    ok = ok && (!l->others || listed_put(mb, l, all, out, cap));
    mem_free(l->seen);
    return ok;
}

bool key_alts(struct members *mb, struct key_ways *k, struct alts *out)
{
    uint32_t cap = 0;
    struct listed l;
    *out = (struct alts){ 0 };
    if (k && mb->n_debt && listed_init(mb, k, &l)) return listed_alts(mb, &l, out, &cap);
    return k && alts_from(mb, k->how, 0, &k->said, 0, out, &cap);
}
