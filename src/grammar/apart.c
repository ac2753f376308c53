/* apart.c -- have two schemas a value in common? The cheap proofs that they have none.
 *
 * Types, listed values and a required property that tells them apart settle most alternatives of a oneOf, so that a way
 * need not say that the others fail. A proof speaks of what the schemas themselves say; what it cannot see is searched
 * by goal.c, or left. */
#include <stdlib.h>

#include "grammar/int.h"

/* ---- what a schema says on its own ------------------------------------------------------------- */

/* Through references with nothing beside them. */
const struct node *node_plain(const struct grammar *g, uint32_t id)
{
    const struct node *n = node_at(g, id);
    for (int i = 0; i < 16; i++) {
        const struct kw_in *in = n->in;
        bool only = in && in->ref != NONE && n->types == T_ALL && !n->lits && !n->num && !n->str &&
                    !n->arr && !n->obj;
        if (!only) break;
        n = node_at(g, in->ref);
    }
    return n;
}

/* A schema that says nothing but `required`. */
static bool only_required(const struct node *n)
{
    const struct kw_obj *o = n->obj;
    return n->kind == NODE_READ && !n->lits && !n->num && !n->str && !n->arr && !n->in && (n->types & T_OBJ) && o && o->n_req &&
           !o->n_prop && !o->n_pattern && !o->n_dep && !o->n_need && o->rest == NONE && o->names == NONE && !o->min &&
           o->max == NONE && o->uneval == NONE;
}

/* A schema that says nothing but `not`. */
static const struct node *only_not(const struct grammar *g, const struct node *n)
{
    const struct kw_in *in = n->in;
    bool only = n->kind == NODE_READ && in && n->types == T_ALL && !n->lits && !n->num && !n->str && !n->arr && !n->obj &&
                in->no != NONE && in->ref == NONE && !in->n_all && !in->n_any && !in->n_one && in->cond == NONE;
    return only ? node_plain(g, in->no) : NULL;
}

enum dep_kind dep_kind(const struct grammar *g, uint32_t node)
{
    const struct node *n = node_plain(g, node), *not = only_not(g, n);
    if (only_required(n) && n->types == T_ALL) return DEP_NEED;
    return not && only_required(not) ? DEP_BAN : DEP_ANY;
}

const struct kw_obj *dep_obj(const struct grammar *g, uint32_t node)
{
    const struct node *n = node_plain(g, node), *not = only_not(g, n);
    return not ? not->obj : n->obj;
}

/* What depends on the key names the values of one property (`if there is a bound, kind is number`): it holds, or the
 * property has another value and the key is not there. So many such lines open into as many bags as there are values,
 * not into all sets of keys. */
bool dep_names_values(const struct grammar *g, uint32_t node)
{
    const struct node *n = node_plain(g, node);
    return n->kind == NODE_READ && n->types == T_ALL && !n->lits && !n->num && !n->str && !n->arr && !n->in && n->obj &&
           one_prop(n->obj) && !n->obj->n_req && node_plain(g, n->obj->prop->node)->lits && !n->obj->n_need && !n->obj->n_dep &&
           n->obj->names == NONE && !n->obj->min && n->obj->max == NONE && n->obj->uneval == NONE;
}

/* ---- values -------------------------------------------------------------------------------------- */

static int by_bytes(const void *x, const void *y)
{
    const struct bytes *a = x, *b = y;
    int c = memcmp(a->p, b->p, MIN(a->len, b->len));
    return c ? c : (a->len > b->len) - (a->len < b->len);
}

/* The texts of an enum, sorted; NULL: it has other values, too. Caller frees. */
static struct bytes *sorted_texts(const struct node *n)
{
    size_t k = json_len(n->lits);
    struct bytes *out = mem_alloc((k + 1) * sizeof *out);
    for (size_t i = 0; i < k; i++)
        if (!(out[i].p = json_str(json_at(n->lits, i), &out[i].len))) {
            mem_free(out);
            return NULL;
        }
    qsort(out, k, sizeof *out, by_bytes);
    return out;
}

/* Long enums of nothing but texts; false: not so, or not disjoint. */
static bool texts_disjoint(const struct node *a, const struct node *b)
{
    struct bytes *x = sorted_texts(a), *y = x ? sorted_texts(b) : NULL;
    bool apart = y != NULL;
    for (size_t i = 0, k = 0; apart && i < json_len(a->lits) && k < json_len(b->lits);) {
        int c = by_bytes(&x[i], &y[k]);
        apart = c != 0;
        if (c < 0) i++;
        else k++;
    }
    mem_free(x);
    mem_free(y);
    return apart;
}

enum { MOST_PAIRS = 256 };              /* of values compared one by one */
bool lits_apart(const struct grammar *g, const struct node *a, const struct node *b)
{
    if (!a->lits || !b->lits) return false;
    if (a->is_const) return !lits_hold(g, b, a->lits);
    if (!b->is_const && json_len(a->lits) * json_len(b->lits) > MOST_PAIRS) return texts_disjoint(a, b);
    for (size_t i = 0; i < json_len(a->lits); i++)
        if (lits_hold(g, b, json_at(a->lits, i))) return false;
    return true;
}

const struct node *node_prop(const struct grammar *g, const struct node *n, struct bytes name)
{
    uint32_t at = n->obj ? prop_index(n->obj, name) : NONE;
    return at != NONE ? node_plain(g, n->obj->prop[at].node) : NULL;
}

bool one_prop(const struct kw_obj *k)
{
    return k->n_prop == 1 && !k->n_pattern && k->rest == NONE &&
           (!k->n_req || (k->n_req == 1 && bytes_same(k->req[0], k->prop->name)));
}

bool node_requires(const struct node *n, struct bytes name)
{
    for (uint32_t i = 0; n->obj && i < n->obj->n_req; i++)
        if (n->obj->req[i].len == name.len && !memcmp(n->obj->req[i].p, name.p, name.len)) return true;
    return false;
}

/* The one text that a schema like {"type":"string","pattern":"^Add$"} means; p NULL: it is not of that kind. */
static struct bytes pattern_text(const struct node *n)
{
    struct bytes p = n->types == T_STR && n->str ? n->str->pattern : (struct bytes){ 0 };
    bool plain = p.len >= 2 && p.p[0] == '^' && p.p[p.len - 1] == '$';
    for (size_t i = 1; plain && i + 1 < p.len; i++) {
        uint8_t c = (uint8_t)p.p[i], letter = c | 0x20;
        plain = c == '_' || c == ' ' || (c >= '0' && c <= '9') || (letter >= 'a' && letter <= 'z');
    }
    return plain ? (struct bytes){ p.p + 1, p.len - 2 } : (struct bytes){ 0 };
}

/* Values of two schemas that surely differ. */
static bool values_apart(const struct grammar *g, const struct node *p, const struct node *q)
{
    if (lits_apart(g, p, q) || !(p->types & q->types)) return true;
    struct bytes a = pattern_text(p), b = pattern_text(q);
    return a.p && b.p && !bytes_same(a, b);
}

/* ---- two schemas --------------------------------------------------------------------------------- */

/* The cheap proofs: types, literals, a required property that tells them apart. */
bool nodes_apart(const struct grammar *g, uint32_t ia, uint32_t ib, int types)
{
    const struct node *a = node_plain(g, ia), *b = node_plain(g, ib);
    if (a->kind == NODE_FALSE || b->kind == NODE_FALSE) return true;
    if (!(a->types & b->types & types) || lits_apart(g, a, b)) return true;
    if ((a->types & b->types & types) != T_OBJ || !a->obj || !b->obj) return false;
    for (uint32_t i = 0; i < a->obj->n_req; i++) {
        if (!node_requires(b, a->obj->req[i])) continue;
        const struct node *p = node_prop(g, a, a->obj->req[i]), *q = node_prop(g, b, a->obj->req[i]);
        if (p && q && values_apart(g, p, q)) return true;
    }
    return false;
}

enum { NOT_ASKED, APART, TOGETHER };
bool branches_apart(const struct grammar *g, const struct kw_in *in, uint32_t i, uint32_t k, int types)
{
    if (!in->apart) return nodes_apart(g, in->one[i], in->one[k], types);
    uint8_t *at = &in->apart[MIN(i, k) * in->n_one + MAX(i, k)];
    if (*at == NOT_ASKED) *at = nodes_apart(g, in->one[i], in->one[k], T_ALL) ? APART : TOGETHER;
    if (*at == APART) return true;
    int both = node_plain(g, in->one[i])->types & node_plain(g, in->one[k])->types;
    return both & ~types && nodes_apart(g, in->one[i], in->one[k], types);
}

/* The same for a property that something else in the bag node_requires. */
bool bag_tells_apart(const struct grammar *g, const struct bag *bag, uint32_t ia, uint32_t ib)
{
    const struct node *a = node_plain(g, ia), *b = node_plain(g, ib);
    if ((bag->types & a->types & b->types) != T_OBJ || !a->obj || !b->obj) return false;
    for (uint32_t i = 0; i < a->obj->n_prop; i++) {
        const struct node *p = node_plain(g, a->obj->prop[i].node), *q = node_prop(g, b, a->obj->prop[i].name);
        if (!q || !values_apart(g, p, q)) continue;
        if (node_requires(a, a->obj->prop[i].name) || node_requires(b, a->obj->prop[i].name)) return true;
        for (uint32_t k = 0; k < bag->n; k++)
            if (!(bag->item[k].ref & 1) && node_requires(node_at(g, bag->item[k].ref / 2), a->obj->prop[i].name)) return true;
    }
    return false;
}
