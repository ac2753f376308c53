/* share.c -- schemas that say the same become one node.
 *
 * Files repeat themselves: each branch of a oneOf lists the same properties again. A goal is a set of nodes, so what the
 * branches have in common shows only if equal schemas are the same node: then a branch cannot fail at a property that
 * another one describes alike, and there is nothing to keep in mind. Every node is written down as bytes, its children by
 * number, the last nodes first (children come after their parents; a reference back to an earlier node counts as that
 * node itself); equal bytes are equal schemas. Of these the first one read stands for all, so messages name a place that
 * the schema has. Annotations are not part of a node. Only what lies below a oneOf or a not is looked at, unless its
 * branches say so little that there is nothing to have in common. */
#include "grammar/int.h"

struct share {
    struct schemas *s;
    struct arena tmp;
    struct str at;                      /* the node at hand, written down */
    struct bytes *text;                 /* [n_node] of the first (last read) of each class */
    uint32_t *cls, *rep;                /* [n_node] class of a node, named by its last node; its first node */
    uint32_t *slot, n_slot;             /* hash table of classes + 1 */
    uint32_t (*plain)[T_ALL + 1];       /* [2] classes of nodes that say nothing but types */
};

static void put(struct share *x, const void *p, size_t n) { str_put(&x->at, p, n); }
static void put_u32(struct share *x, uint32_t v)       /* most of what is written: no call where there is room */
{
    if (x->at.cap - x->at.len <= sizeof v) { put(x, &v, sizeof v); return; }
    memcpy(x->at.p + x->at.len, &v, sizeof v);
    x->at.len += sizeof v;
}

static void put_bytes(struct share *x, struct bytes b)
{
    put_u32(x, b.p ? (uint32_t)b.len : NONE);
    if (b.len) put(x, b.p, b.len);
}

static void put_kid(struct share *x, uint32_t self, uint32_t id)
{
    bool known = id != NONE && id > self;
    put_u32(x, known ? x->cls[id] : id);
    put_u32(x, known);
}

static void put_kids(struct share *x, uint32_t self, const uint32_t *id, uint32_t n)
{
    put_u32(x, n);
    for (uint32_t i = 0; i < n; i++) put_kid(x, self, id[i]);
}

static void put_props(struct share *x, uint32_t self, const struct kw_prop *p, uint32_t n)
{
    put_u32(x, n);
    for (uint32_t i = 0; i < n; i++) {
        put_bytes(x, p[i].name);
        put_kid(x, self, p[i].node);
    }
}

static void put_names(struct share *x, const struct bytes *name, uint32_t n)
{
    put_u32(x, n);
    for (uint32_t i = 0; i < n; i++) put_bytes(x, name[i]);
}

static void put_dec(struct share *x, bool has, bool open, const struct dec *d)
{
    put_u32(x, (uint32_t)has * 2 + open);
    if (!has) return;
    put(x, &d->point, sizeof d->point);
    put_u32(x, d->neg);
    put_bytes(x, (struct bytes){ d->digit, (size_t)d->n });
}

static void put_num(struct share *x, const struct kw_num *k)
{
    put_dec(x, k->has_lo, k->lo_open, &k->lo);
    put_dec(x, k->has_hi, k->hi_open, &k->hi);
    put_dec(x, k->has_multiple, false, &k->multiple);
}

static void put_arr(struct share *x, uint32_t self, const struct kw_arr *k)
{
    put_kids(x, self, k->prefix, k->n_prefix);
    put_kid(x, self, k->rest);
    put_kid(x, self, k->contains);
    put(x, (const uint32_t[]){ k->least, k->most, k->min, k->max, k->unique, k->marks }, 6 * sizeof(uint32_t));
}

static void put_obj(struct share *x, uint32_t self, const struct kw_obj *k)
{
    put_props(x, self, k->prop, k->n_prop);
    put_props(x, self, k->pattern, k->n_pattern);
    put_props(x, self, k->dep, k->n_dep);
    put_names(x, k->req, k->n_req);
    put_u32(x, k->n_need);
    for (uint32_t i = 0; i < k->n_need; i++) {
        put_bytes(x, k->need[i].key);
        put_names(x, k->need[i].name, k->need[i].n);
    }
    put_kid(x, self, k->rest);
    put_kid(x, self, k->names);
    put_u32(x, k->min);
    put_u32(x, k->max);
}

static void put_in(struct share *x, uint32_t self, const struct kw_in *k)
{
    put_kid(x, self, k->ref);
    put_kids(x, self, k->all, k->n_all);
    put_kids(x, self, k->any, k->n_any);
    put_kids(x, self, k->one, k->n_one);
    put_kids(x, self, (const uint32_t[]){ k->no, k->cond, k->then, k->other }, 4);
}

static void put_node(struct share *x, uint32_t id)
{
    const struct node *n = schemas_node(x->s, id);
    put_u32(x, (uint32_t)n->kind << 24 | (uint32_t)n->types << 16 | (uint32_t)n->draft4 << 8 | (uint32_t)n->is_const << 5 |
               (uint32_t)!!n->lits << 4 | (uint32_t)!!n->num << 3 | (uint32_t)!!n->str << 2 | (uint32_t)!!n->arr << 1 | !!n->obj);
    if (n->lits) json_write(&x->at, n->lits, JSON_COMPACT);
    if (n->num) put_num(x, n->num);
    if (n->str) {
        put_u32(x, n->str->min);
        put_u32(x, n->str->max);
        put_bytes(x, n->str->pattern);
        put_bytes(x, n->str->format);
    }
    if (n->arr) put_arr(x, id, n->arr);
    if (n->obj) put_obj(x, id, n->obj);
    if (n->in) put_in(x, id, n->in);
}

/* Nothing but types: half of all nodes. */
static bool says_types(const struct node *n)
{
    return n->kind == NODE_READ && !n->lits && !n->num && !n->str && !n->arr && !n->obj && !n->in;
}

static void classify_types(struct share *x, uint32_t id)
{
    const struct node *n = schemas_node(x->s, id);
    uint32_t *first = &x->plain[n->draft4][n->types];
    if (!*first) *first = id;
    x->cls[id] = *first;
    x->rep[*first] = id;
}

/* Finds the class of a node, or begins one. */
static void classify(struct share *x, uint32_t id)
{
    if (says_types(schemas_node(x->s, id))) {
        classify_types(x, id);
        return;
    }
    str_clear(&x->at);
    put_node(x, id);
    struct bytes own = { x->at.p, x->at.len };
    uint32_t h = (uint32_t)hash64(own.p, own.len, 11) & (x->n_slot - 1);
    for (; x->slot[h]; h = (h + 1) & (x->n_slot - 1)) {
        uint32_t c = x->slot[h] - 1;
        if (!bytes_same(x->text[c], own)) continue;
        x->cls[id] = c;
        x->rep[c] = id;
        return;
    }
    x->slot[h] = id + 1;
    x->text[id] = (struct bytes){ arena_str(&x->tmp, own.p, own.len), own.len };
    x->cls[id] = x->rep[id] = id;
}

/* ---- children by their first equals ------------------------------------------------------------ */

static void renumber(const struct share *x, uint32_t *id) { if (*id != NONE) *id = x->rep[x->cls[*id]]; }

static void renumber_all(const struct share *x, uint32_t *id, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) renumber(x, &id[i]);
}

static void renumber_props(const struct share *x, struct kw_prop *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) renumber(x, &p[i].node);
}

static void renumber_node(const struct share *x, struct node *n)
{
    if (n->arr) {
        renumber_all(x, n->arr->prefix, n->arr->n_prefix);
        renumber(x, &n->arr->rest);
        renumber(x, &n->arr->contains);
    }
    if (n->obj) {
        renumber_props(x, n->obj->prop, n->obj->n_prop);
        renumber_props(x, n->obj->pattern, n->obj->n_pattern);
        renumber_props(x, n->obj->dep, n->obj->n_dep);
        renumber(x, &n->obj->rest);
        renumber(x, &n->obj->names);
    }
    struct kw_in *in = n->in;
    if (!in) return;
    renumber_all(x, in->all, in->n_all);
    renumber_all(x, in->any, in->n_any);
    renumber_all(x, in->one, in->n_one);
    uint32_t *one[] = { &in->ref, &in->no, &in->cond, &in->then, &in->other };
    for (size_t i = 0; i < LEN(one); i++) renumber(x, one[i]);
}

/* ---- which of them ------------------------------------------------------------------------------ */

/* Schemas still to be marked as standing in or below a comparison. */
struct marks { bool *on; uint32_t *todo, n; };

static void mark(struct marks *m, uint32_t id)
{
    if (id == NONE || m->on[id]) return;
    m->on[id] = true;
    m->todo[m->n++] = id;
}

static void mark_all(struct marks *m, const uint32_t *id, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) mark(m, id[i]);
}

static void mark_props(struct marks *m, const struct kw_prop *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) mark(m, p[i].node);
}

static void mark_kids(struct marks *m, const struct node *n)
{
    if (n->arr) {
        mark_all(m, n->arr->prefix, n->arr->n_prefix);
        mark_all(m, (const uint32_t[]){ n->arr->rest, n->arr->contains }, 2);
    }
    if (n->obj) {
        mark_props(m, n->obj->prop, n->obj->n_prop);
        mark_props(m, n->obj->pattern, n->obj->n_pattern);
        mark_props(m, n->obj->dep, n->obj->n_dep);
        mark_all(m, (const uint32_t[]){ n->obj->rest, n->obj->names }, 2);
    }
    const struct kw_in *in = n->in;
    if (!in) return;
    mark_all(m, in->all, in->n_all);
    mark_all(m, in->any, in->n_any);
    mark_all(m, in->one, in->n_one);
    mark_all(m, (const uint32_t[]){ in->ref, in->no, in->cond, in->then, in->other }, 5);
}

/* Is one schema held against another here, and do both say more than their type? */
static bool compares(const struct schemas *s, const struct node *n)
{
    if (!n->in || (n->in->n_one < 2 && n->in->no == NONE)) return false;
    bool plain = n->in->no == NONE;
    for (uint32_t i = 0; i < n->in->n_one && plain; i++) {
        const struct node *k = schemas_node(s, n->in->one[i]);
        plain = !k->in && !k->obj && !k->arr;
    }
    return !plain;
}

/* Is there such a schema, and none that asks what others have looked at (unevaluated*)? */
static bool worth_it(const struct schemas *s)
{
    bool any = false;
    for (uint32_t i = 1; i < s->n_node; i++) {
        const struct node *n = schemas_node(s, i);
        if ((n->obj && n->obj->uneval != NONE) || (n->arr && n->arr->uneval != NONE)) return false;
        any = any || compares(s, n);
    }
    return any && !s->saw_dynamic;
}

/* Marks what the members of such schemas are. */
static void mark_below(const struct schemas *s, struct marks *m)
{
    for (uint32_t i = 1; i < s->n_node; i++)
        if (compares(s, schemas_node(s, i))) mark(m, i);
    while (m->n) mark_kids(m, schemas_node(s, m->todo[--m->n]));
}

void schemas_share(struct grammar *g)
{
    struct schemas *s = &g->s;
    struct share x = { .s = s, .n_slot = 64 };
    if (!worth_it(s)) return;
    arena_init(&x.tmp, 16384);
    struct marks m = { arena_zero(&x.tmp, s->n_node), arena_alloc(&x.tmp, s->n_node * sizeof *m.todo), 0 };
    mark_below(s, &m);
    while (x.n_slot < s->n_node * 2) x.n_slot *= 2;
    x.text = arena_alloc(&x.tmp, s->n_node * sizeof *x.text);
    x.cls = arena_alloc(&x.tmp, s->n_node * sizeof *x.cls);
    x.rep = arena_alloc(&x.tmp, s->n_node * sizeof *x.rep);
    x.slot = arena_zero(&x.tmp, x.n_slot * sizeof *x.slot);
    x.plain = arena_zero(&x.tmp, 2 * sizeof *x.plain);
    x.cls[0] = x.rep[0] = 0;
    for (uint32_t i = s->n_node; i-- > 1;)
        if (m.on[i]) classify(&x, i);
    for (uint32_t i = 1; i < s->n_node; i++)
        if (m.on[i]) renumber_node(&x, schemas_node(s, i));
    arena_done(&x.tmp);
    str_done(&x.at);
}
