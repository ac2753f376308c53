/* shape_object.c -- objects: declared keys, invented keys, what must come along, what must go wrong.
 *
 * Every name that any keyword mentions is a declared key with a goal of its own: the conjunction of
 * what each schema of the bag says about it. All other names fall into classes, the ways in which they
 * can match the patterns of patternProperties (and what propertyNames leaves); a class has an
 * automaton and a goal. A negated `properties` is something the object owes: some member whose value
 * fails. Every key is then offered in alternatives, and bit i of one says that it settles debt i. */
#include <stdlib.h>

#include "grammar/int.h"

/* NOT_PROPS, NOT_NAMES or NOT_UNEVAL_PROPS of a node; bad: names that its propertyNames refuses; bare: the item of the
 * node without its unevaluatedProperties; moot: settled whatever comes. */
struct debt { uint32_t node, bare; uint8_t kind; bool moot; struct names bad; };
/* A list of signed nodes that grows in the scratch arena. */
struct refs_list { uint32_t *ref, n, cap; };
/* What is said of a key, and the ways in which it settles each debt. */
struct key_ways { struct refs_list said, how[MOST_DEBT]; };
struct members {
    struct expand *x;
    const struct bag *b;
    struct obj *o;
    uint32_t *slot, n_slot, cap_key;                                  /* names -> key + 1 */
    bool *barred;                                                     /* [n_key] the key must not come */
    struct key_ways **ways;                                           /* [n_key] once all keys are known */
    struct debt debt[MOST_DEBT]; uint32_t n_debt;
    struct names names; bool has_names;                               /* propertyNames, opened */
    struct bytes *pattern; uint32_t n_pattern, cap_pattern;           /* all distinct ones */
    uint64_t matched[8];                                              /* patterns that the key at hand matches */
    struct { uint32_t key, ref; } *must; uint32_t n_must, cap_must;   /* what the value of a key must be besides */
    uint32_t refused;                                                 /* debts whose propertyNames refuse the class at hand */
};
enum { MOST_PATTERN = 512, MOST_ALT = 64 };

static const struct node *item_node(const struct members *mb, uint32_t i)
{
    return node_at(mb->x->g, mb->b->item[i].ref / 2);
}

static const struct kw_obj *held_obj(const struct members *mb, uint32_t i)
{
    return mb->b->item[i].ref & 1 ? NULL : item_node(mb, i)->obj;
}

bool key_is_ident(struct bytes name)
{
    if (!name.len) return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = (uint8_t)name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
        if (!letter && !(i && ((c >= '0' && c <= '9') || c == '-' || c == '.'))) return false;
    }
    return true;
}

/* ---- names ----------------------------------------------------------------------------------- */

static uint32_t name_home(const struct members *mb, struct bytes n)
{
    return (uint32_t)hash64(n.p, n.len, 5) & (mb->n_slot - 1);
}

static void names_rehash(struct members *mb)
{
    mb->n_slot = mb->n_slot ? mb->n_slot * 2 : 32;
    mb->slot = arena_zero(mb->x->tmp, mb->n_slot * sizeof *mb->slot);
    for (uint32_t i = 0; i < mb->o->n_key; i++) {
        uint32_t h = name_home(mb, mb->o->key[i].name);
        while (mb->slot[h]) h = (h + 1) & (mb->n_slot - 1);
        mb->slot[h] = i + 1;
    }
}

/* Index of the key with this name, made if need be. */
static uint32_t key_of(struct members *mb, struct bytes name)
{
    struct obj *o = mb->o;
    if (o->n_key * 2 >= mb->n_slot) names_rehash(mb);
    uint32_t h = name_home(mb, name);
    for (; mb->slot[h]; h = (h + 1) & (mb->n_slot - 1)) {
        struct bytes have = o->key[mb->slot[h] - 1].name;
        if (have.len == name.len && !memcmp(have.p, name.p, name.len)) return mb->slot[h] - 1;
    }
    if (o->n_key == mb->cap_key) {
        struct okey *more = arena_alloc(&mb->x->g->mem, (mb->cap_key * 2 + 8) * sizeof *more);
        bool *barred = arena_alloc(mb->x->tmp, (mb->cap_key * 2 + 8) * sizeof *barred);
        if (o->n_key) {
            memcpy(more, o->key, o->n_key * sizeof *more);
            memcpy(barred, mb->barred, o->n_key * sizeof *barred);
        }
        o->key = more;
        mb->barred = barred;
        mb->cap_key = mb->cap_key * 2 + 8;
    }
    o->key[o->n_key] = (struct okey){ .name = name };
    mb->barred[o->n_key] = false;
    mb->slot[h] = o->n_key + 1;
    return o->n_key++;
}

/* Declared order first: what properties lists; then names that are only required or spoken of. */
static void held_names(struct members *mb)
{
    for (uint32_t i = 0; i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        for (uint32_t p = 0; k && p < k->n_prop; p++) key_of(mb, k->prop[p].name);
    }
    for (uint32_t i = 0; i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        for (uint32_t r = 0; k && r < k->n_req; r++) {
            uint32_t key = key_of(mb, k->req[r]);       /* the list may move */
            mb->o->key[key].req = true;
        }
        for (uint32_t r = 0; k && r < k->n_need; r++) {
            key_of(mb, k->need[r].key);
            for (uint32_t n = 0; n < k->need[r].n; n++) key_of(mb, k->need[r].name[n]);
        }
        for (uint32_t d = 0; k && d < k->n_dep; d++) {
            const struct kw_obj *dep = dep_kind(mb->x->g, k->dep[d].node) ? dep_obj(mb->x->g, k->dep[d].node) : NULL;
            if (dep) key_of(mb, k->dep[d].name);
            for (uint32_t n = 0; dep && n < dep->n_req; n++) key_of(mb, dep->req[n]);
        }
    }
    for (uint32_t i = 0; mb->has_names && i < mb->names.n_lit; i++) key_of(mb, mb->names.lit[i]);
}

/* A negated schema that speaks of one property alone: it fails, and is there unless the schema requires it. */
static void must_fail(struct members *mb, const struct kw_obj *k)
{
    const struct kw_prop *p = k->prop;
    uint32_t key = key_of(mb, p->name);
    mb->o->key[key].req |= !k->n_req;
    MEM_GROW(mb->must, mb->n_must, mb->cap_must);
    mb->must[mb->n_must].key = key;
    mb->must[mb->n_must++].ref = p->node * 2 + 1;
}

static bool debt_add(struct members *mb, const struct atom *t)
{
    const struct kw_obj *k = node_at(mb->x->g, t->node)->obj;
    if (t->kind == NOT_PROPS && k && one_prop(k)) {
        must_fail(mb, k);
        return true;
    }
    if (mb->n_debt >= MOST_DEBT)
        return schemas_fail(mb->x->g, mb->x->e, t->node, ERR_LIMIT, "",
                            "more than %d negated schemas for one object", MOST_DEBT);
    struct debt *d = &mb->debt[mb->n_debt++];
    *d = (struct debt){ .node = t->node, .kind = t->kind };
    if (t->kind == NOT_UNEVAL_PROPS) {
        d->bare = bag_item(mb->b, schemas_bare(mb->x->g, t->node) * 2);
        return true;
    }
    const struct node *n = node_at(mb->x->g, t->node);
    if (t->kind == NOT_NAMES) {
        uint32_t ref = n->obj->names * 2 + 1;
        if (!names_open(mb->x, &ref, 1, &d->bad)) return false;
        for (uint32_t i = 0; i < d->bad.n_lit; i++) key_of(mb, d->bad.lit[i]);
        return true;
    }
    for (uint32_t p = 0; n->obj && p < n->obj->n_prop; p++) key_of(mb, n->obj->prop[p].name);
    for (uint32_t i = 0; n->obj && i < n->obj->n_req; i++) key_of(mb, n->obj->req[i]);
    if (n->kind != NODE_LITERAL) return true;
    for (struct json_iter it = json_iter(n->v); json_next(&it);)
        key_of(mb, (struct bytes){ arena_str(&mb->x->g->mem, it.key, it.key_len), it.key_len });
    return true;
}

static bool atom_names(struct members *mb, const struct atom *t)
{
    const struct kw_obj *k = node_at(mb->x->g, t->node)->obj;
    struct obj *o = mb->o;
    switch (t->kind) {
    case HAS_KEY: { uint32_t key = key_of(mb, t->key); o->key[key].req = true; return true; }
    case LACKS_KEY: { uint32_t key = key_of(mb, t->key); mb->barred[key] = true; return true; }
    case LACKS_ONE:
        for (uint32_t i = 0; i < k->n_req; i++) key_of(mb, k->req[i]);
        return true;
    case NOT_MIN_PROPS: o->max = MIN(o->max, k->min - 1); return true;
    case NOT_MAX_PROPS: o->min = MAX(o->min, k->max + 1); return true;
    case NOT_PROPS: case NOT_NAMES: case NOT_UNEVAL_PROPS: return debt_add(mb, t);
    default: return true;
    }
}

/* ---- propertyNames --------------------------------------------------------------------------- */

bool names_open(struct expand *x, const uint32_t *ref, uint32_t n, struct names *out)
{
    *out = (struct names){ 0 };
    uint32_t goal = expand_goal_of(x, ref, n);
    if (goal == NONE) return false;
    struct expand own = { .g = x->g, .goal = goal, .e = x->e, .tmp = x->tmp, .names = out };
    return goal_open_bags(&own);
}

static void names_done(struct names *n)
{
    mem_free(n->rule);
    mem_free(n->lit);
}

/* Texts that all propertyNames of the bag allow. */
static bool held_property_names(struct members *mb)
{
    uint32_t ref[MOST_BAG], n = 0;
    for (uint32_t i = 0; i < mb->b->n; i++)
        if (held_obj(mb, i) && held_obj(mb, i)->names != NONE) ref[n++] = held_obj(mb, i)->names * 2;
    mb->has_names = n > 0;
    return !n || names_open(mb->x, ref, n, &mb->names);
}

static bool rule_matches(struct members *mb, const struct text_rule *r, struct bytes name, bool *ok)
{
    struct strs s;
    bool empty;
    if (!strs_make(mb->x, mb->b->item[0].ref / 2, r, &s, &empty)) return false;
    *ok = !empty && strs_match(&s, name.p, name.len);
    return true;
}

static bool name_allowed(struct members *mb, const struct names *names, struct bytes name, bool *ok)
{
    *ok = false;
    for (uint32_t i = 0; i < names->n_lit && !*ok; i++)
        *ok = names->lit[i].len == name.len && !memcmp(names->lit[i].p, name.p, name.len);
    for (uint32_t i = 0; i < names->n_rule && !*ok; i++)
        if (!rule_matches(mb, &names->rule[i], name, ok)) return false;
    return true;
}

/* ---- patterns -------------------------------------------------------------------------------- */

static uint32_t pattern_index(const struct members *mb, struct bytes p)
{
    for (uint32_t i = 0; i < mb->n_pattern; i++)
        if (mb->pattern[i].len == p.len && !memcmp(mb->pattern[i].p, p.p, p.len)) return i;
    return NONE;
}

static bool pattern_put(struct members *mb, const struct kw_obj *k)
{
    for (uint32_t i = 0; k && i < k->n_pattern; i++) {
        if (pattern_index(mb, k->pattern[i].name) != NONE) continue;
        if (mb->n_pattern >= MOST_PATTERN)
            return schemas_fail(mb->x->g, mb->x->e, mb->b->item[0].ref / 2, ERR_LIMIT, "patternProperties",
                                "more than %d patterns for one object", MOST_PATTERN);
        if (mb->n_pattern == mb->cap_pattern) {
            struct bytes *more = arena_alloc(mb->x->tmp, (mb->cap_pattern * 2 + 4) * sizeof *more);
            if (mb->n_pattern) memcpy(more, mb->pattern, mb->n_pattern * sizeof *more);
            mb->pattern = more;
            mb->cap_pattern = mb->cap_pattern * 2 + 4;
        }
        mb->pattern[mb->n_pattern++] = k->pattern[i].name;
    }
    return true;
}

static bool all_patterns(struct members *mb)
{
    for (uint32_t i = 0; i < mb->b->n; i++)
        if (!pattern_put(mb, held_obj(mb, i))) return false;
    for (uint32_t i = 0; i < mb->n_debt; i++)
        if (!pattern_put(mb, node_at(mb->x->g, mb->debt[i].node)->obj)) return false;
    return true;
}

static void set_matched(struct members *mb, uint32_t p, bool yes)
{
    if (yes) mb->matched[p / 64] |= 1ull << (p % 64);
    else mb->matched[p / 64] &= ~(1ull << (p % 64));
}

static bool is_matched(const struct members *mb, struct bytes pattern)
{
    uint32_t p = pattern_index(mb, pattern);
    return mb->matched[p / 64] >> (p % 64) & 1;
}

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
static bool closes_itself(const struct members *mb)
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
        uint32_t *more = arena_alloc(mb->x->tmp, (l->cap * 2 + 16) * sizeof *more);
        if (l->n) memcpy(more, l->ref, l->n * sizeof *more);
        l->ref = more;
        l->cap = l->cap * 2 + 16;
    }
    l->ref[l->n++] = ref;
}

static void key_refs(struct members *mb, const struct bytes *name, struct refs_list *l)
{
    for (uint32_t i = 0; i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        if (!k) continue;
        uint32_t *node = arena_alloc(mb->x->tmp, (k->n_pattern + 2) * sizeof *node);
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
    uint32_t *node = arena_alloc(mb->x->tmp, (n->obj->n_pattern + 2) * sizeof *node);
    uint32_t k = applies(mb, n->obj, name, node);
    for (uint32_t i = 0; i < k; i++) refs_put(mb, l, node[i] * 2 + 1);
    return true;
}

static bool impossible(const struct members *mb, const struct refs_list *l)
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
        struct alt *more = arena_alloc(&mb->x->g->mem, (*cap * 2 + 1) * sizeof *more);
        if (out->n) memcpy(more, out->alt, out->n * sizeof *more);
        out->alt = more;
        *cap = *cap * 2 + 1;
    }
    out->alt[out->n++] = (struct alt){ goal, owed };
    return true;
}

static bool empty_with(struct members *mb, struct refs_list *l, uint32_t ref)
{
    uint32_t before = l->n;
    refs_put(mb, l, ref);
    uint32_t goal = impossible(mb, l) ? NONE : goal_of(mb->x->g, l->ref, l->n, NULL);
    bool empty = goal == NONE || !goal_ok(mb->x->g, goal);
    l->n = before;
    return empty;
}

/* Of the ways in which the key can settle a debt only those that its goal leaves: what the goal excludes anyway is
 * settled free of charge (NONE), what it implies cannot be violated. */
static void sift(struct members *mb, struct refs_list *l, struct refs_list *how)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < how->n; i++) {
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
static struct key_ways *key_ways(struct members *mb, const struct bytes *name)
{
    struct key_ways *k = arena_zero(mb->x->tmp, sizeof *k);
    key_refs(mb, name, &k->said);
    for (uint32_t d = 0; d < mb->n_debt && !impossible(mb, &k->said); d++) {
        if (!settles(mb, &mb->debt[d], name, &k->how[d])) return NULL;
        sift(mb, &k->said, &k->how[d]);
    }
    return k;
}

static bool key_alts(struct members *mb, struct key_ways *k, struct alts *out)
{
    uint32_t cap = 0;
    *out = (struct alts){ 0 };
    return k && alts_from(mb, k->how, 0, &k->said, 0, out, &cap);
}

/* ---- declared keys --------------------------------------------------------------------------- */

static bool match_patterns(struct members *mb, struct bytes name)
{
    for (uint32_t p = 0; p < mb->n_pattern; p++) {
        struct re_part part = { RE_PATTERN, false, mb->pattern[p].p, mb->pattern[p].len };
        struct text_rule r = { .part = &part, .n_part = 1, .max = NONE };
        bool ok;
        if (!rule_matches(mb, &r, name, &ok)) return false;
        set_matched(mb, p, ok);
    }
    return true;
}

static uint64_t *key_set(struct members *mb)
{
    return arena_zero(&mb->x->g->mem, ((mb->o->n_key + 63) / 64 + 1) * sizeof(uint64_t));
}

static uint32_t required_keys(const struct obj *o)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->n_key; i++) n += o->key[i].req;
    return n;
}

/* Keys whose absence settles a debt. */
static bool absent_one(struct members *mb, const struct debt *d, uint32_t *key, uint32_t i)
{
    const struct node *n = node_at(mb->x->g, d->node);
    if (d->kind != NOT_PROPS) return false;
    if (n->kind == NODE_LITERAL) {
        struct json_iter it = json_iter(n->v);
        for (bool more = json_next(&it); more; more = json_next(&it))
            if (!i--) {
                *key = key_of(mb, (struct bytes){ it.key, it.key_len });
                return true;
            }
        return false;
    }
    if (i < n->obj->n_req) *key = key_of(mb, n->obj->req[i]);
    return i < n->obj->n_req;
}

/* A debt that a required key settles with any value that it can have, or that relies on a key which cannot come, needs
 * no keeping in mind. */
static void find_moot(struct members *mb)
{
    struct obj *o = mb->o;
    for (uint32_t i = 0; i < o->n_key; i++)
        for (uint32_t d = 0; d < mb->n_debt && o->key[i].req && mb->ways[i]; d++)
            mb->debt[d].moot |= mb->ways[i]->how[d].n && mb->ways[i]->how[d].ref[0] == NONE;
    for (uint32_t d = 0; d < mb->n_debt; d++) {
        uint32_t key = 0;
        for (uint32_t i = 0; absent_one(mb, &mb->debt[d], &key, i); i++) mb->debt[d].moot |= mb->barred[key];
        if (!mb->debt[d].moot) o->owes |= 1u << d;
    }
}

/* The i-th key of a set that may be left out. */
static uint32_t optional_key(const struct members *mb, const uint64_t *set, uint32_t i)
{
    for (uint32_t k = 0; k < mb->o->n_key; k++)
        if (set[k / 64] >> (k % 64) & 1 && !mb->o->key[k].req && !mb->barred[k] && !i--) return k;
    return NONE;
}

/* Sets of keys one of which must be missing: free to the debts they settle. Where members beyond the required ones must
 * come, which of them can be left out is not known before, so that each debt is settled in one way for the whole object:
 * by a member that fails, or by one key that never comes. `split` says which; returns how many objects that makes. */
static uint32_t set_absent(struct members *mb, uint32_t split)
{
    struct obj *o = mb->o;
    uint32_t n = 1, out[MOST_DEBT], n_out = 0;
    for (uint32_t d = 0; d < mb->n_debt; d++) {
        uint32_t key = 0;
        for (uint32_t i = 0; o->owes >> d & 1 && absent_one(mb, &mb->debt[d], &key, i); i++) {
            if (!i) o->absent[d] = key_set(mb);
            o->absent[d][key / 64] |= 1ull << (key % 64);
        }
        if (!o->absent[d] || o->min <= required_keys(o)) continue;
        uint32_t ways = 1;
        while (optional_key(mb, o->absent[d], ways - 1) != NONE) ways++;
        if (split / n % ways) {
            out[n_out++] = optional_key(mb, o->absent[d], split / n % ways - 1);
            o->owes &= ~(1u << d);
            mb->debt[d].moot = true;
        }
        o->absent[d] = NULL;
        n = MIN(n * ways, (uint32_t)MOST_WAYS);
    }
    for (uint32_t i = 0; i < n_out; i++) mb->barred[out[i]] = true;
    return n;
}

static bool declared_ways(struct members *mb)
{
    struct obj *o = mb->o;
    mb->ways = arena_zero(mb->x->tmp, (o->n_key + 1) * sizeof(struct key_ways *));
    for (uint32_t i = 0; i < o->n_key; i++) {
        struct bytes name = o->key[i].name;
        bool ok = !mb->barred[i];
        if (ok && mb->has_names && !name_allowed(mb, &mb->names, name, &ok)) return false;
        if (ok && (!match_patterns(mb, name) || !(mb->ways[i] = key_ways(mb, &name)))) return false;
        mb->barred[i] |= !ok || impossible(mb, &mb->ways[i]->said);
    }
    return true;
}

static bool declared_keys(struct members *mb)
{
    struct obj *o = mb->o;
    for (uint32_t i = 0; i < o->n_key; i++) {
        struct alts alts = { 0 };
        if (!mb->barred[i] && !key_alts(mb, mb->ways[i], &alts)) return false;
        o->key[i].alts = alts;
    }
    return true;
}

/* ---- invented keys --------------------------------------------------------------------------- */

struct sorting { struct text_rule rule; uint64_t matched[8]; };

static bool class_put(struct members *mb, const struct sorting *s, const struct strs *text)
{
    struct obj *o = mb->o;
    struct kclass c = { .s = *text };
    bool any = false;
    memcpy(mb->matched, s->matched, sizeof mb->matched);
    for (uint32_t p = 0; p < mb->n_pattern; p++) any |= s->matched[p / 64] >> (p % 64) & 1;
    if ((closes_itself(mb) && !any) || !key_alts(mb, key_ways(mb, NULL), &c.alts)) return closes_itself(mb) && !any;
    if (!c.alts.n) return true;
    if (o->n_cls >= MOST_KEY_CLASS)
        return schemas_fail(mb->x->g, mb->x->e, mb->b->item[0].ref / 2, ERR_LIMIT, "patternProperties",
                            "patterns that sort keys in more than %d ways", MOST_KEY_CLASS);
    if (!o->cls) o->cls = arena_zero(&mb->x->g->mem, MOST_KEY_CLASS * sizeof *o->cls);
    o->cls[o->n_cls++] = c;
    return true;
}

/* Classes of names that propertyNames of debts from d on refuse; each stands beside the class it is a part of. */
static bool refuse_by(struct members *mb, const struct sorting *s, uint32_t d, uint32_t refused)
{
    struct strs text;
    bool empty;
    if (d == mb->n_debt) {
        if (!strs_make(mb->x, mb->b->item[0].ref / 2, &s->rule, &text, &empty)) return false;
        mb->refused = refused;
        bool ok = empty || class_put(mb, s, &text);
        mb->refused = 0;
        return ok;
    }
    for (uint32_t i = 0; i < mb->debt[d].bad.n_rule; i++) {
        const struct text_rule *bad = &mb->debt[d].bad.rule[i];
        struct sorting next = *s;
        struct re_part *part = arena_alloc(mb->x->tmp, (s->rule.n_part + bad->n_part + 1) * sizeof *part);
        if (s->rule.n_part) memcpy(part, s->rule.part, s->rule.n_part * sizeof *part);
        if (bad->n_part) memcpy(part + s->rule.n_part, bad->part, bad->n_part * sizeof *part);
        next.rule.part = part;
        next.rule.n_part = s->rule.n_part + bad->n_part;
        next.rule.min = MAX(s->rule.min, bad->min);
        next.rule.max = MIN(s->rule.max, bad->max);
        if (!refuse_by(mb, &next, d + 1, refused | 1u << d)) return false;
    }
    return refuse_by(mb, s, d + 1, refused);
}

/* Splits what is left by pattern p: names that match it, names that do not; empty parts are dropped. */
static bool sort_by(struct members *mb, const struct sorting *s, uint32_t p)
{
    struct strs text;
    bool empty;
    if (!strs_make(mb->x, mb->b->item[0].ref / 2, &s->rule, &text, &empty)) return false;
    if (empty) return true;
    if (p == mb->n_pattern) return refuse_by(mb, s, 0, 0);
    for (int match = 1; match >= 0; match--) {
        struct sorting next = *s;
        struct re_part *part = arena_alloc(mb->x->tmp, (s->rule.n_part + 1) * sizeof *part);
        if (s->rule.n_part) memcpy(part, s->rule.part, s->rule.n_part * sizeof *part);
        part[next.rule.n_part++] = (struct re_part){ RE_PATTERN, !match, mb->pattern[p].p, mb->pattern[p].len };
        next.rule.part = part;
        if (match) next.matched[p / 64] |= 1ull << (p % 64);
        if (!sort_by(mb, &next, p + 1)) return false;
    }
    return true;
}

static bool invented_keys(struct members *mb)
{
    struct sorting any = { .rule.max = NONE };
    if (!mb->has_names) return sort_by(mb, &any, 0);
    for (uint32_t i = 0; i < mb->names.n_rule; i++) {
        struct sorting s = { .rule = mb->names.rule[i] };
        if (!sort_by(mb, &s, 0)) return false;
    }
    return true;
}

/* ---- what comes along ------------------------------------------------------------------------ */

static uint64_t *need_of(struct members *mb, uint32_t key)
{
    struct okey *k = &mb->o->key[key];
    mb->o->has_need = true;
    if (!k->need) k->need = key_set(mb);
    return k->need;
}

static void held_needs(struct members *mb)
{
    for (uint32_t i = 0; i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        for (uint32_t r = 0; k && r < k->n_need; r++) {
            uint64_t *need = need_of(mb, key_of(mb, k->need[r].key));
            for (uint32_t n = 0; n < k->need[r].n; n++) {
                uint32_t j = key_of(mb, k->need[r].name[n]);
                need[j / 64] |= 1ull << (j % 64);
            }
        }
        for (uint32_t d = 0; k && d < k->n_dep; d++) {
            if (dep_kind(mb->x->g, k->dep[d].node) != DEP_NEED) continue;
            const struct kw_obj *dep = dep_obj(mb->x->g, k->dep[d].node);
            uint64_t *need = need_of(mb, key_of(mb, k->dep[d].name));
            for (uint32_t n = 0; n < dep->n_req; n++) {
                uint32_t j = key_of(mb, dep->req[n]);
                need[j / 64] |= 1ull << (j % 64);
            }
        }
    }
}

/* Sets of keys that must not all be there. */
static void ban_add(struct members *mb, const struct bytes *first, const struct kw_obj *k)
{
    struct obj *o = mb->o;
    uint64_t **more = arena_alloc(&mb->x->g->mem, (o->n_ban + 1) * sizeof *more);
    if (o->n_ban) memcpy(more, o->ban, o->n_ban * sizeof *more);
    o->ban = more;
    uint64_t *set = o->ban[o->n_ban++] = key_set(mb);
    for (uint32_t i = 0; i < k->n_req + (first != NULL); i++) {
        uint32_t key = key_of(mb, i < k->n_req ? k->req[i] : *first);
        set[key / 64] |= 1ull << (key % 64);
    }
}

static void bans(struct members *mb)
{
    for (uint32_t i = 0; i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        for (uint32_t d = 0; k && d < k->n_dep; d++)
            if (dep_kind(mb->x->g, k->dep[d].node) == DEP_BAN)
                ban_add(mb, &k->dep[d].name, dep_obj(mb->x->g, k->dep[d].node));
    }
    for (uint32_t i = 0; i < mb->b->n_atom; i++)
        if (mb->b->atom[i].kind == LACKS_ONE) ban_add(mb, NULL, node_at(mb->x->g, mb->b->atom[i].node)->obj);
}

/* Needs of needs are needs; what a required key needs is required. */
static void close_needs(struct obj *o)
{
    for (bool more = o->has_need; more;) {
        more = false;
        for (uint32_t i = 0; i < o->n_key; i++) {
            for (uint32_t j = 0; o->key[i].need && j < o->n_key; j++) {
                if (!(o->key[i].need[j / 64] >> (j % 64) & 1)) continue;
                if (o->key[i].req && !o->key[j].req) more = o->key[j].req = true;
                for (uint32_t w = 0; o->key[j].need && w < (o->n_key + 63) / 64; w++) {
                    uint64_t both = o->key[i].need[w] | o->key[j].need[w];
                    more |= both != o->key[i].need[w];
                    o->key[i].need[w] = both;
                }
            }
        }
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

bool obj_finish(struct expand *x, uint32_t node, struct obj *o)
{
    struct grammar *g = x->g;
    struct bytes *name = arena_alloc(x->tmp, (o->n_key + 1) * sizeof *name);
    o->next_req = arena_alloc(&g->mem, (o->n_key + 2) * sizeof *o->next_req);
    o->next_req[o->n_key] = o->next_req[o->n_key + 1] = NONE;
    o->cap_key = MOST_KEY;
    for (uint32_t i = o->n_key; i-- > 0;) {
        o->next_req[i] = o->key[i].req ? i : o->next_req[i + 1];
        o->n_req += o->key[i].req;
        o->key[i].ident = key_is_ident(o->key[i].name);
        o->cap_key = MAX(o->cap_key, (uint32_t)o->key[i].name.len);
        name[i] = o->key[i].name;
    }
    o->cap_key++;
    o->n_word = (o->n_key + 63) / 64;
    o->req = arena_zero(&g->mem, (o->n_word + 1) * sizeof *o->req);
    o->none = arena_zero(&g->mem, (o->n_word + 1) * sizeof *o->none);
    for (uint32_t i = 0; i < o->n_key; i++) {
        if (o->key[i].req) o->req[i / 64] |= 1ull << (i % 64);
        for (uint32_t k = 0; k < o->key[i].alts.n; k++) o->key[i].owed |= o->key[i].alts.alt[k].owed;
    }
    for (uint32_t i = 0; i < o->n_cls; i++)
        for (uint32_t k = 0; k < o->cls[i].alts.n; k++) o->cls_owed |= o->cls[i].alts.alt[k].owed;
    o->id_cost = g->n_obj++;
    if (!trie_build(&o->trie, &g->mem, name, o->n_key, &g->s.n_trie_node))
        return schemas_fail(g, x->e, node, ERR_LIMIT, "properties", "names of more than %d bytes", MOST_TRIE);
    return true;
}

static void held_counts(struct members *mb)
{
    struct obj *o = mb->o;
    for (uint32_t i = 0; i < mb->b->n; i++) {
        const struct kw_obj *k = held_obj(mb, i);
        if (!k) continue;
        o->min = MAX(o->min, k->min);
        o->max = MIN(o->max, k->max);
    }
}

static bool object_split(struct expand *x, const struct bag *b, uint32_t split, uint32_t *n_split)
{
    struct obj *o = arena_zero(&x->g->mem, sizeof *o);
    struct members mb = { .x = x, .b = b, .o = o };
    o->max = NONE;
    held_counts(&mb);
    bool ok = held_property_names(&mb);
    if (ok) held_names(&mb);
    for (uint32_t i = 0; i < b->n_atom && ok; i++) ok = atom_names(&mb, &b->atom[i]);
    if (ok) held_needs(&mb);
    close_needs(o);
    if (ok) bans(&mb);
    ok = ok && all_patterns(&mb) && declared_ways(&mb);
    if (ok) {
        find_moot(&mb);
        *n_split = set_absent(&mb, split);
    }
    ok = ok && declared_keys(&mb) && invented_keys(&mb);
    names_done(&mb.names);
    mem_free(mb.must);
    for (uint32_t i = 0; i < mb.n_debt; i++) names_done(&mb.debt[i].bad);
    if (!ok || o->min > o->max) return ok;
    struct shape *sh = shape_add(x, SH_OBJ);
    if (sh) sh->obj = o;
    return sh && obj_finish(x, b->item[0].ref / 2, o);
}

bool bag_object(struct expand *x, const struct bag *b)
{
    bool ok = true;
    for (uint32_t i = 0, n = 1; i < n && ok; i++) ok = object_split(x, b, i, &n);
    return ok;
}
