/* shape_array.c -- arrays: what each place takes, how many there are, what must be among them.
 *
 * contains, and "some element fails" (a negated items), are things the array owes: every element is
 * offered both as one that counts (its goal joined with the schema looked for) and as one that does
 * not; bit i of an alternative says that it counts for cont[i]. Where a count has an upper bound, or where
 * unevaluatedItems asks which elements were looked at, the second kind must really not match. */
#include "grammar/int.h"

/* One thing to be counted. at: its item in the bag (contains), or NONE for a negated items of `node`. bare: the item of
 * node without its unevaluatedItems, for that keyword negated; else NONE. */
struct owed { uint32_t at, node, bare; bool exact, marks; };
struct elements {
    struct expand *x;
    const struct bag *b;
    struct arr *a;
    struct owed owed[MOST_OWED];
};

static const struct node *item_node(const struct elements *el, uint32_t i)
{
    return node_at(el->x->g, el->b->item[i].ref / 2);
}

static const struct kw_arr *held_arr(const struct elements *el, uint32_t i)
{
    return el->b->item[i].ref & 1 ? NULL : item_node(el, i)->arr;
}

static bool unsupported(struct elements *el, uint32_t node, const char *kw, const char *what)
{
    return schemas_fail(el->x->g, el->x->e, node, ERR_UNSUPPORTED, kw, "%s", what);
}

/* What keywords of one schema say about element i: a node, or NONE. */
static uint32_t says(const struct kw_arr *k, uint32_t i)
{
    return i < k->n_prefix ? k->prefix[i] : k->rest;
}

/* ---- counts ---------------------------------------------------------------------------------- */

static struct cont *owe(struct elements *el, uint32_t node, uint32_t at, bool exact, bool marks)
{
    struct arr *a = el->a;
    if (a->n_cont >= MOST_OWED) {
        schemas_fail(el->x->g, el->x->e, node, ERR_LIMIT, "contains", "more than %d of them for one array", MOST_OWED);
        return NULL;
    }
    el->owed[a->n_cont] = (struct owed){ at, node, NONE, exact, marks };
    a->cont[a->n_cont] = (struct cont){ 1, NONE };
    return &a->cont[a->n_cont++];
}

static bool asks_uneval(const struct elements *el)
{
    for (uint32_t i = 0; i < el->b->n; i++)
        if (held_arr(el, i) && held_arr(el, i)->uneval != NONE) return true;
    return false;
}

/* Few numbers count, and no element may come twice: one that is spelled as only others are (1.0 where 1 counts) would be
 * used up and not counted. */
static bool few_numbers(const struct elements *el, uint32_t contains)
{
    const struct node *n = node_plain(el->x->g, contains);
    return el->a->unique && (n->lits || (n->num && n->num->has_lo && n->num->has_hi));
}

static bool held_counts(struct elements *el, uint32_t at)
{
    const struct kw_arr *k = held_arr(el, at);
    struct arr *a = el->a;
    a->min = MAX(a->min, k->min);
    a->max = MIN(a->max, k->max);
    a->n_prefix = MAX(a->n_prefix, k->n_prefix);
    if (k->contains == NONE || (!k->least && k->most == NONE && !(k->marks && asks_uneval(el)))) return true;
    bool exact = k->most != NONE || (k->marks && asks_uneval(el)) || few_numbers(el, k->contains);
    struct cont *c = owe(el, el->b->item[at].ref / 2, at, exact, k->marks);
    if (c) *c = (struct cont){ k->least, k->most };
    return c != NULL;
}

static bool negated_counts(struct elements *el, const struct atom *t)
{
    const struct node *n = node_at(el->x->g, t->node);
    const struct kw_arr *k = n->arr;
    uint32_t len = n->kind == NODE_LITERAL ? (uint32_t)json_len(n->v) : 0;
    struct arr *a = el->a;
    struct cont *c;
    switch (t->kind) {
    case NOT_MIN_ITEMS: a->max = MIN(a->max, (k ? k->min : len) - 1); return true;
    case NOT_MAX_ITEMS: a->min = MAX(a->min, (k ? k->max : len) + 1); return true;
    case NOT_ITEMS:
        a->n_prefix = MAX(a->n_prefix, k ? k->n_prefix : len);
        return owe(el, t->node, NONE, false, false) != NULL;
    case NOT_CONTAINS:
        if ((c = owe(el, t->node, t->from, true, false))) *c = (struct cont){ 0, k->least - 1 };
        return c != NULL;
    case TOO_MANY:
        if ((c = owe(el, t->node, t->from, false, false))) *c = (struct cont){ k->most + 1, NONE };
        return c != NULL;
    case NOT_UNIQUE:
        return unsupported(el, t->node, "uniqueItems", "cannot be enforced under not");
    case NOT_UNEVAL_ITEMS:
        if (!owe(el, t->node, NONE, false, false)) return false;
        el->owed[a->n_cont - 1].bare = bag_item(el->b, schemas_bare(el->x->g, t->node) * 2);
        return true;
    default: return true;
    }
}

/* ---- elements -------------------------------------------------------------------------------- */

/* Is element i looked at, for the unevaluatedItems of item `top`, by something below it? */
static bool looked_at(const struct elements *el, uint32_t top, uint32_t i, uint8_t mask)
{
    for (uint32_t k = 0; k < el->b->n; k++) {
        const struct kw_arr *a = held_arr(el, k);
        if (!a || !bag_below(el->b, k, top)) continue;
        if (i < a->n_prefix || a->rest != NONE || (k != top && a->uneval != NONE)) return true;
    }
    for (uint32_t c = 0; c < el->a->n_cont; c++)
        if (mask >> c & 1 && el->owed[c].marks && bag_below(el->b, el->owed[c].at, top)) return true;
    return false;
}

/* What makes element i count for c; NONE: it cannot. */
static uint32_t counting(struct elements *el, uint32_t c, uint32_t i, uint8_t mask)
{
    const struct node *n = node_at(el->x->g, el->owed[c].node);
    if (el->owed[c].at != NONE) return n->arr->contains * 2;
    if (el->owed[c].bare != NONE)
        return looked_at(el, el->owed[c].bare, i, mask) ? NONE : node_at(el->x->g, el->owed[c].node)->arr->uneval * 2 + 1;
    if (n->kind == NODE_LITERAL) {
        const struct json *v = i < json_len(n->v) ? json_at(n->v, i) : NULL;
        uint32_t lit = v ? schemas_literal(el->x->g, v, el->owed[c].node) : NONE;
        return lit == NONE ? NONE : lit * 2 + 1;
    }
    uint32_t s = says(n->arr, i);
    return s == NONE ? NONE : s * 2 + 1;
}

/* Element i, counting for the bits of mask; *n = NONE: it cannot be so. */
static void element_refs(struct elements *el, uint32_t i, uint8_t mask, uint32_t *ref, uint32_t *n)
{
    *n = 0;
    for (uint32_t k = 0; k < el->b->n; k++) {
        const struct kw_arr *a = held_arr(el, k);
        if (!a) continue;
        uint32_t s = says(a, i);
        if (s != NONE) ref[(*n)++] = s * 2;
        if (a->uneval != NONE && !looked_at(el, k, i, mask)) ref[(*n)++] = a->uneval * 2;
    }
    for (uint32_t c = 0; c < el->a->n_cont; c++) {
        bool counts = mask >> c & 1;
        if (!counts && !el->owed[c].exact) continue;
        uint32_t r = counting(el, c, i, mask);
        if (r == NONE && counts) { *n = NONE; return; }
        if (r != NONE) ref[(*n)++] = counts ? r : r ^ 1;
    }
    for (uint32_t k = 0; k < *n; k++)
        if (node_at(el->x->g, ref[k] / 2)->kind == (ref[k] & 1 ? NODE_TRUE : NODE_FALSE)) { *n = NONE; return; }
}

static bool element(struct elements *el, uint32_t i, struct alts *out)
{
    struct grammar *g = el->x->g;
    uint32_t all = 1u << el->a->n_cont;
    uint32_t *ref = arena_small(el->x->tmp, (2 * el->b->n + MOST_OWED) * sizeof *ref);
    out->alt = arena_small(&g->mem, all * sizeof *out->alt);
    out->n = 0;
    for (uint32_t mask = all; mask-- > 0;) {
        uint32_t n;
        element_refs(el, i, (uint8_t)mask, ref, &n);
        if (n == NONE) continue;
        uint32_t goal = expand_goal_of(el->x, ref, n);
        if (goal == NONE) return false;
        out->alt[out->n++] = (struct alt){ goal, (uint8_t)mask };
    }
    return true;
}

bool bag_array(struct expand *x, const struct bag *b)
{
    struct arr *a = arena_small(&x->g->mem, sizeof *a);
    struct elements el = { .x = x, .b = b, .a = a };
    a->max = NONE;
    for (uint32_t i = 0; i < b->n; i++) a->unique |= held_arr(&el, i) && held_arr(&el, i)->unique;
    for (uint32_t i = 0; i < b->n; i++)
        if (held_arr(&el, i) && !held_counts(&el, i)) return false;
    for (uint32_t i = 0; i < b->n_atom; i++)
        if (!negated_counts(&el, &b->atom[i])) return false;
    uint32_t longest = a->n_prefix;                     /* past every list, for the rest */
    a->n_prefix = MIN(a->n_prefix, a->max);
    a->prefix = arena_small(&x->g->mem, (a->n_prefix + 1) * sizeof *a->prefix);
    for (uint32_t i = 0; i < a->n_prefix; i++)
        if (!element(&el, i, &a->prefix[i])) return false;
    if (a->max > a->n_prefix && !element(&el, longest, &a->rest)) return false;
    if (a->min > a->max) return true;
    struct shape *sh = shape_add(x, SH_ARR);
    if (sh) sh->arr = a;
    return sh != NULL;
}
