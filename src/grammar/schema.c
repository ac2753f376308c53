/* schema.c -- schema documents become nodes: every keyword read once, checked, and kept in plain structs.
 *
 * A node is one schema of a document in one dynamic scope. Reading starts at the roots and follows
 * every keyword that holds schemas and every reference, so what is malformed, unknown or out of reach
 * is found while compiling and named by its place; nothing is looked up in JSON later but the values
 * of enum and const. Nodes are interned by where their JSON lies, which closes recursion by itself.
 *
 * Dynamic scopes (which resources were entered on the way) multiply nodes, so they are kept only
 * once a $dynamicRef has been met: then everything is read again with them. */
#include <stdlib.h>

#include "grammar/int.h"

/* ---- nodes ----------------------------------------------------------------------------------- */

static uint32_t node_home(const struct schemas *s, const struct node *n)
{
    const void *key[2] = { n->v, (const void *)(uintptr_t)((uint64_t)n->scope * 2 +
                                                           (n->kind == NODE_LITERAL)) };
    return (uint32_t)mix64((uint64_t)(uintptr_t)key[0], (uint64_t)(uintptr_t)key[1]) &
           (s->n_node_slot - 1);
}

static void nodes_rehash(struct schemas *s)
{
    s->n_node_slot = s->n_node_slot ? s->n_node_slot * 2 : 64;
    mem_free(s->node_slot);
    s->node_slot = mem_zero(s->n_node_slot * sizeof *s->node_slot);
    for (uint32_t i = 1; i < s->n_node; i++) {
        uint32_t h = node_home(s, schemas_node(s, i));
        while (s->node_slot[h]) h = (h + 1) & (s->n_node_slot - 1);
        s->node_slot[h] = i + 1;
    }
}

/* A node more, all zero; the others stay where they are. */
static struct node *node_new(struct grammar *g)
{
    struct schemas *s = &g->s;
    if (s->n_node == s->n_chunk * NODE_CHUNK) {
        MEM_GROW(s->chunk, s->n_chunk, s->cap_chunk);
        s->chunk[s->n_chunk++] = arena_alloc(&g->mem, NODE_CHUNK * sizeof **s->chunk);
    }
    struct node *n = schemas_node(s, s->n_node++);
    memset(n, 0, sizeof *n);
    return n;
}

/* The node of `like`'s schema (its v, scope, and whether it is a literal), *id its number. A new one has no kw: the caller
 * gives it one, and all else. NULL: too many. */
static struct node *node_get(struct grammar *g, const struct node *like, uint32_t parent, uint32_t *id, struct err *e)
{
    struct schemas *s = &g->s;
    bool literal = like->kind == NODE_LITERAL;
    *id = NONE;
    if (s->n_node >= MOST_NODE) {
        schemas_fail(g, e, parent == NONE ? NODE_ANY_OBJECT : parent, ERR_LIMIT, "", "more than %d schemas in one grammar", MOST_NODE);
        return NULL;
    }
    if (s->n_node * 2 >= s->n_node_slot) nodes_rehash(s);
    uint32_t h = node_home(s, like);
    for (; s->node_slot[h]; h = (h + 1) & (s->n_node_slot - 1)) {
        struct node *p = schemas_node(s, s->node_slot[h] - 1);
        if (p->v != like->v || p->scope != like->scope || (p->kind == NODE_LITERAL) != literal) continue;
        *id = s->node_slot[h] - 1;
        return p;
    }
    *id = s->n_node;
    s->node_slot[h] = s->n_node + 1;
    struct node *n = node_new(g);
    n->v = like->v;
    n->scope = like->scope;
    n->kind = like->kind;
    n->parent = parent;
    return n;
}

static uint32_t node_add(struct grammar *g, const struct node *n, struct err *e)
{
    uint32_t id;
    struct node *p = node_get(g, n, n->parent, &id, e);
    if (p && !p->kw) *p = *n;
    return id;
}

uint32_t schemas_literal(struct grammar *g, const struct json *v, uint32_t parent)
{
    const struct node *up = node_at(g, parent);
    struct node n = { .v = v, .doc = up->doc, .parent = parent, .res = up->res, .kind = NODE_LITERAL, .types = (uint8_t)type_of(v),
                      .draft4 = up->draft4, .kw = "" };
    return node_add(g, &n, NULL);
}

uint32_t schemas_bare(struct grammar *g, uint32_t node)
{
    struct schemas *s = &g->s;
    struct node *whole = schemas_node(s, node);
    if (whole->bare) return whole->bare;
    struct node n = *whole;
    if (n.obj) {
        struct kw_obj *o = arena_small(&g->mem, sizeof *o);
        *o = *n.obj;
        o->uneval = NONE;
        n.obj = o;
    }
    if (n.arr) {
        struct kw_arr *a = arena_small(&g->mem, sizeof *a);
        *a = *n.arr;
        a->uneval = NONE;
        n.arr = a;
    }
    if (s->n_node >= MOST_NODE) return NONE;
    whole->bare = s->n_node;
    *node_new(g) = n;
    return whole->bare;
}

/* ---- dynamic scopes -------------------------------------------------------------------------- */

/* Scope reached from `scope` by entering a resource; only the first entry of each counts. */
static uint32_t scope_enter(struct grammar *g, uint32_t scope, uint32_t res)
{
    struct schemas *s = &g->s;
    if (!s->scoped) return 0;
    struct scope have = s->scope[scope];
    for (uint32_t i = 0; i < have.n; i++)
        if (have.res[i] == res) return scope;
    for (uint32_t k = 0; k < s->n_scope; k++)
        if (s->scope[k].n == have.n + 1 && s->scope[k].res[have.n] == res &&
            !memcmp(s->scope[k].res, have.res, have.n * sizeof *have.res))
            return k;
    uint32_t *list = arena_small(&g->mem, (have.n + 1) * sizeof *list);
    if (have.n) memcpy(list, have.res, have.n * sizeof *list);
    list[have.n] = res;
    MEM_GROW(s->scope, s->n_scope, s->cap_scope);
    s->scope[s->n_scope] = (struct scope){ list, have.n + 1 };
    return s->n_scope++;
}

/* ---- reading one schema ---------------------------------------------------------------------- */

struct reading {
    struct grammar *g;
    struct err *e;
    uint32_t id;
    struct node *n;
    const struct res *res;
    const char *kw;                     /* the keyword being read */
    const char *ref, *dynamic;
    bool open_lo, open_hi;              /* draft 4: exclusiveMinimum beside minimum */
};

static bool bad(struct reading *r, const char *what)
{
    return schemas_fail(r->g, r->e, r->id, ERR_SCHEMA, r->kw, "%s", what);
}

static void *part(struct reading *r, size_t n) { return arena_small(&r->g->mem, n); }

static struct kw_num *num_of(struct reading *r)
{
    if (!r->n->num) r->n->num = part(r, sizeof *r->n->num);
    return r->n->num;
}

static struct kw_str *str_of(struct reading *r)
{
    if (!r->n->str) {
        r->n->str = part(r, sizeof *r->n->str);
        r->n->str->max = NONE;
    }
    return r->n->str;
}

static struct kw_arr *arr_of(struct reading *r)
{
    if (!r->n->arr) {
        r->n->arr = part(r, sizeof *r->n->arr);
        *r->n->arr = (struct kw_arr){ .rest = NONE, .contains = NONE, .least = 1, .most = NONE,
                                     .max = NONE, .uneval = NONE };
    }
    return r->n->arr;
}

static struct kw_obj *obj_of(struct reading *r)
{
    if (!r->n->obj) {
        r->n->obj = part(r, sizeof *r->n->obj);
        r->n->obj->rest = r->n->obj->names = r->n->obj->max = r->n->obj->uneval = NONE;
    }
    return r->n->obj;
}

static struct kw_in *in_of(struct reading *r)
{
    if (!r->n->in) {
        r->n->in = part(r, sizeof *r->n->in);
        r->n->in->ref = r->n->in->no = r->n->in->cond = r->n->in->then = r->n->in->other = NONE;
    }
    return r->n->in;
}

/* A schema inside of the one being read. */
static bool child(struct reading *r, const struct json *v, struct bytes name, uint32_t *out)
{
    struct node *n = node_get(r->g, &(struct node){ .v = v, .scope = r->n->scope }, r->id, out, r->e);
    if (!n || n->kw) return n != NULL;
    n->doc = r->n->doc;
    n->res = r->n->res;
    n->kw = r->kw;
    n->name = name;
    return true;
}

static bool whole_child(struct reading *r, const struct json *v, uint32_t *out)
{
    return child(r, v, (struct bytes){ 0 }, out);
}

/* "0", "1", … */
static struct bytes index_name(struct reading *r, size_t i)
{
    char digit[24];
    size_t n = sizeof digit;
    do digit[--n] = (char)('0' + i % 10);
    while (i /= 10);
    return (struct bytes){ arena_str(&r->g->mem, digit + n, sizeof digit - n), sizeof digit - n };
}

static bool children(struct reading *r, const struct json *v, uint32_t **list, uint32_t *n)
{
    if (!json_is(v, JSON_ARRAY)) return bad(r, "must be a list of schemas");
    size_t len = json_len(v);
    *list = part(r, (len + 1) * sizeof **list);
    for (size_t i = 0; i < len; i++) {
        if (!child(r, json_at(v, i), index_name(r, i), *list + i)) return false;
    }
    *n = (uint32_t)len;
    return true;
}

/* Members of an object of schemas, in order. */
static bool members(struct reading *r, const struct json *v, struct kw_prop **list, uint32_t *n)
{
    if (!json_is(v, JSON_OBJECT)) return bad(r, "must be an object of schemas");
    *list = part(r, (json_len(v) + 1) * sizeof **list);
    *n = 0;
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct kw_prop *p = &(*list)[(*n)++];
        p->name = (struct bytes){ it.key, it.key_len };
        if (!child(r, it.value, p->name, &p->node)) return false;
    }
    return true;
}

static bool names(struct reading *r, const struct json *v, struct bytes **list, uint32_t *n)
{
    if (!json_is(v, JSON_ARRAY)) return bad(r, "must be an array of names");
    *list = part(r, (json_len(v) + 1) * sizeof **list);
    *n = 0;
    for (size_t i = 0; i < json_len(v); i++) {
        size_t len;
        const char *p = json_str(json_at(v, i), &len);
        if (!p) return bad(r, "must be an array of names");
        (*list)[(*n)++] = (struct bytes){ p, len };
    }
    return true;
}

/* A count keyword (minLength …): integral, not negative; a minimum must be within reach. */
static bool count(struct reading *r, const struct json *v, bool is_min, uint32_t *out)
{
    int64_t n;
    if (!json_is(v, JSON_NUMBER)) return bad(r, "must be a number that is not negative");
    if (!json_i64(v, &n)) {
        if (json_f64(v) < 1e15) return bad(r, "must be a whole number");
        n = INT64_MAX;
    }
    if (n < 0) return bad(r, "must not be negative");
    if (is_min && n > 100000000)
        return schemas_fail(r->g, r->e, r->id, ERR_LIMIT, r->kw, "asks for more than 100000000");
    *out = n >= NONE ? NONE : (uint32_t)n;
    return true;
}

/* ---- keywords -------------------------------------------------------------------------------- */

static int type_bits(const struct json *name)
{
    static const struct { char name[8]; uint8_t len, bits; } rows[] = {
        { "string", 6, T_STR }, { "object", 6, T_OBJ }, { "array", 5, T_ARR }, { "integer", 7, T_INT },
        { "number", 6, T_NUM }, { "boolean", 7, T_BOOL }, { "null", 4, T_NULL } };
    size_t len;
    const char *p = json_str(name, &len);
    for (size_t i = 0; p && i < LEN(rows); i++)
        if (rows[i].len == len && !memcmp(rows[i].name, p, len)) return rows[i].bits;
    return 0;
}

static bool kw_type(struct reading *r, const struct json *v)
{
    int have = json_is(v, JSON_STRING) ? type_bits(v) : 0;
    for (size_t i = 0; json_is(v, JSON_ARRAY) && i < json_len(v); i++) {
        int bits = type_bits(json_at(v, i));
        if (!bits) { have = 0; break; }
        have |= bits;
    }
    if (!have)
        return bad(r, "must be null, boolean, integer, number, string, array or object, or a list "
                      "of these");
    r->n->types = (uint8_t)have;
    return true;
}

static bool kw_enum(struct reading *r, const struct json *v)
{
    if (!json_is(v, JSON_ARRAY)) return bad(r, "must be an array");
    if (r->n->lits) {                    /* beside const: both, as a conjunction of two schemas */
        const struct json *one = r->n->lits;
        bool in = false;
        for (size_t i = 0; i < json_len(v) && !in; i++) in = json_equal(json_at(v, i), one);
        if (!in) r->n->kind = NODE_FALSE;
        return true;
    }
    r->n->lits = v;
    return true;
}

static bool kw_const(struct reading *r, const struct json *v)
{
    const struct json *list = r->n->lits;
    r->n->lits = v;
    r->n->is_const = true;
    return !list || kw_enum(r, list);
}

static bool number(struct reading *r, const struct json *v, struct dec *out)
{
    size_t len;
    const char *p = json_number(v, &len);
    if (!p) return bad(r, "must be a number");
    *out = dec_read(&r->g->mem, p, len);
    if (out->point > 100 || out->n - out->point > 100) r->n->risky = true;  /* there is a limit to digits */
    return true;
}

static void raise_lo(struct kw_num *n, struct dec d, bool open)
{
    int c = n->has_lo ? dec_cmp(&d, &n->lo) : 1;
    if (c > 0 || (c == 0 && open)) { n->lo = d; n->lo_open = open; }
    n->has_lo = true;
}

static void lower_hi(struct kw_num *n, struct dec d, bool open)
{
    int c = n->has_hi ? dec_cmp(&d, &n->hi) : -1;
    if (c < 0 || (c == 0 && open)) { n->hi = d; n->hi_open = open; }
    n->has_hi = true;
}

static bool kw_minimum(struct reading *r, const struct json *v)
{
    struct dec d;
    if (!number(r, v, &d)) return false;
    raise_lo(num_of(r), d, false);
    return true;
}

static bool kw_maximum(struct reading *r, const struct json *v)
{
    struct dec d;
    if (!number(r, v, &d)) return false;
    lower_hi(num_of(r), d, false);
    return true;
}

/* Draft 4 says true or false, later drafts give the bound; either form is taken at its word under every draft (check.c). */
static bool kw_exclusive_minimum(struct reading *r, const struct json *v)
{
    struct dec d;
    if (json_is(v, JSON_BOOL)) { r->open_lo = json_bool(v); return true; }
    if (!number(r, v, &d)) return false;
    raise_lo(num_of(r), d, true);
    return true;
}

static bool kw_exclusive_maximum(struct reading *r, const struct json *v)
{
    struct dec d;
    if (json_is(v, JSON_BOOL)) { r->open_hi = json_bool(v); return true; }
    if (!number(r, v, &d)) return false;
    lower_hi(num_of(r), d, true);
    return true;
}

static bool kw_multiple_of(struct reading *r, const struct json *v)
{
    struct dec d;
    if (!number(r, v, &d)) return false;
    if (d.neg || d.n == 0) return bad(r, "must be greater than 0");
    num_of(r)->multiple = d;
    num_of(r)->has_multiple = true;
    return true;
}

static bool kw_min_length(struct reading *r, const struct json *v) { return count(r, v, true, &str_of(r)->min); }
static bool kw_max_length(struct reading *r, const struct json *v) { return count(r, v, false, &str_of(r)->max); }

/* A pattern is parsed now, so that what is wrong with it is said now. */
static bool pattern(struct reading *r, struct bytes p, bool *usable)
{
    struct err why = { 0 };
    *usable = pattern_check(p.p, p.len, &why);
    if (*usable) return true;
    if (!r->g->o.relax || why.code == ERR_SCHEMA)
        return schemas_fail(r->g, r->e, r->id, why.code, r->kw, "%.60s: %.160s", p.p, why.msg);
    schemas_relaxed(r->g, r->id, r->kw);
    return true;
}

static bool kw_pattern(struct reading *r, const struct json *v)
{
    size_t len;
    bool usable;
    const char *p = json_str(v, &len);
    if (!p) return bad(r, "must be a text");
    struct bytes own = { p, len };
    if (!pattern(r, own, &usable)) return false;
    if (usable) str_of(r)->pattern = own;
    return true;
}

static bool kw_format(struct reading *r, const struct json *v)
{
    size_t len;
    const char *p = json_str(v, &len);
    if (p && r->res->asserts_format && format_known(p)) str_of(r)->format = (struct bytes){ p, len };
    return true;
}

static bool kw_prefix_items(struct reading *r, const struct json *v)
{
    struct kw_arr *a = arr_of(r);
    return children(r, v, &a->prefix, &a->n_prefix);
}

static bool kw_items(struct reading *r, const struct json *v)
{
    if (json_is(v, JSON_ARRAY)) return kw_prefix_items(r, v);
    return whole_child(r, v, &arr_of(r)->rest);
}

/* Counts only beside a list of items. */
static bool kw_additional_items(struct reading *r, const struct json *v)
{
    return !json_is(json_get(r->n->v, "items"), JSON_ARRAY) || whole_child(r, v, &arr_of(r)->rest);
}

static bool kw_contains(struct reading *r, const struct json *v)
{
    arr_of(r)->marks = r->res->draft == DRAFT2020;
    return whole_child(r, v, &arr_of(r)->contains);
}

static bool kw_min_contains(struct reading *r, const struct json *v) { return count(r, v, true, &arr_of(r)->least); }
static bool kw_max_contains(struct reading *r, const struct json *v) { return count(r, v, false, &arr_of(r)->most); }
static bool kw_min_items(struct reading *r, const struct json *v) { return count(r, v, true, &arr_of(r)->min); }
static bool kw_max_items(struct reading *r, const struct json *v) { return count(r, v, false, &arr_of(r)->max); }
static bool kw_uneval_items(struct reading *r, const struct json *v) { return whole_child(r, v, &arr_of(r)->uneval); }

static bool kw_unique_items(struct reading *r, const struct json *v)
{
    if (!json_is(v, JSON_BOOL)) return bad(r, "must be true or false");
    if (json_bool(v)) arr_of(r)->unique = true;
    return true;
}

static bool kw_properties(struct reading *r, const struct json *v)
{
    struct kw_obj *o = obj_of(r);
    o->props = v;
    return members(r, v, &o->prop, &o->n_prop);
}

uint32_t prop_index(const struct kw_obj *k, struct bytes name)
{
    size_t at = json_place(k->props, name.p, name.len);
    return at != SIZE_MAX ? (uint32_t)at : NONE;
}

static bool kw_pattern_properties(struct reading *r, const struct json *v)
{
    struct kw_obj *o = obj_of(r);
    if (!members(r, v, &o->pattern, &o->n_pattern)) return false;
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->n_pattern; i++) {
        bool usable;
        if (!pattern(r, o->pattern[i].name, &usable)) return false;
        if (usable) o->pattern[n++] = o->pattern[i];
    }
    o->n_pattern = n;
    return true;
}

static bool kw_required(struct reading *r, const struct json *v)
{
    if (json_is(v, JSON_BOOL)) return true;             /* a habit of draft 3: says nothing here */
    struct kw_obj *o = obj_of(r);
    return names(r, v, &o->req, &o->n_req);
}

static bool kw_additional(struct reading *r, const struct json *v) { return whole_child(r, v, &obj_of(r)->rest); }
static bool kw_property_names(struct reading *r, const struct json *v) { return whole_child(r, v, &obj_of(r)->names); }
static bool kw_min_properties(struct reading *r, const struct json *v) { return count(r, v, true, &obj_of(r)->min); }
static bool kw_max_properties(struct reading *r, const struct json *v) { return count(r, v, false, &obj_of(r)->max); }
static bool kw_uneval_props(struct reading *r, const struct json *v) { return whole_child(r, v, &obj_of(r)->uneval); }

/* Both forms: a list of names that must come along, or a schema for the whole object. */
static bool kw_dependencies(struct reading *r, const struct json *v)
{
    struct kw_obj *o = obj_of(r);
    if (!json_is(v, JSON_OBJECT)) return bad(r, "must be an object");
    struct kw_need *need = part(r, (o->n_need + json_len(v) + 1) * sizeof *need);
    struct kw_prop *dep = part(r, (o->n_dep + json_len(v) + 1) * sizeof *dep);
    if (o->n_need) memcpy(need, o->need, o->n_need * sizeof *need);
    if (o->n_dep) memcpy(dep, o->dep, o->n_dep * sizeof *dep);
    o->need = need;
    o->dep = dep;
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct bytes key = { it.key, it.key_len };
        if (json_is(it.value, JSON_ARRAY)) {
            struct kw_need *n = &o->need[o->n_need++];
            n->key = key;
            if (!names(r, it.value, &n->name, &n->n)) return false;
        } else {
            struct kw_prop *d = &o->dep[o->n_dep++];
            d->name = key;
            if (!child(r, it.value, key, &d->node)) return false;
        }
    }
    return true;
}

static bool kw_all_of(struct reading *r, const struct json *v)
{
    struct kw_in *in = in_of(r);
    return children(r, v, &in->all, &in->n_all);
}

static bool kw_any_of(struct reading *r, const struct json *v)
{
    struct kw_in *in = in_of(r);
    if (!children(r, v, &in->any, &in->n_any)) return false;
    return in->n_any || bad(r, "must be a list of at least one schema");
}

static bool kw_one_of(struct reading *r, const struct json *v)
{
    struct kw_in *in = in_of(r);
    if (!children(r, v, &in->one, &in->n_one)) return false;
    if (in->n_one > 1 && in->n_one <= MOST_APART) in->apart = part(r, in->n_one * in->n_one);
    return in->n_one || bad(r, "must be a list of at least one schema");
}

static bool kw_not(struct reading *r, const struct json *v) { return whole_child(r, v, &in_of(r)->no); }
static bool kw_if(struct reading *r, const struct json *v) { return whole_child(r, v, &in_of(r)->cond); }
static bool kw_then(struct reading *r, const struct json *v) { return whole_child(r, v, &in_of(r)->then); }
static bool kw_else(struct reading *r, const struct json *v) { return whole_child(r, v, &in_of(r)->other); }

static bool kw_ref(struct reading *r, const struct json *v)
{
    r->ref = json_str(v, NULL);
    return r->ref || bad(r, "must be a text");
}

static bool kw_dynamic_ref(struct reading *r, const struct json *v)
{
    r->dynamic = json_str(v, NULL);
    r->g->s.saw_dynamic = true;
    return r->dynamic || bad(r, "must be a text");
}

/* risky: only opening shows whether it is within the limits; of the others risk.c can tell.
 * asserts: belongs to the validation vocabulary. */
enum { RISKY = 1, ASSERTS = 2 };
typedef bool kw_fn(struct reading *r, const struct json *v);
static const struct kw_row { const char *name; kw_fn *read; enum draft since, until; int flags; } rows[] = {
    { "$dynamicRef", kw_dynamic_ref, DRAFT2020, DRAFT2020, RISKY },
    { "$recursiveRef", kw_dynamic_ref, DRAFT2019, DRAFT2019, RISKY },
    { "$ref", kw_ref, DRAFT4, DRAFT2020, 0 },
    { "additionalItems", kw_additional_items, DRAFT4, DRAFT2020, 0 },
    { "additionalProperties", kw_additional, DRAFT4, DRAFT2020, 0 },
    { "allOf", kw_all_of, DRAFT4, DRAFT2020, 0 },
    { "anyOf", kw_any_of, DRAFT4, DRAFT2020, 0 },
    { "const", kw_const, DRAFT6, DRAFT2020, ASSERTS },
    { "contains", kw_contains, DRAFT6, DRAFT2020, 0 },
    { "dependencies", kw_dependencies, DRAFT4, DRAFT2020, 0 },
    { "dependentRequired", kw_dependencies, DRAFT2019, DRAFT2020, ASSERTS },
    { "dependentSchemas", kw_dependencies, DRAFT2019, DRAFT2020, 0 },
    { "else", kw_else, DRAFT7, DRAFT2020, 0 },
    { "enum", kw_enum, DRAFT4, DRAFT2020, ASSERTS },
    { "exclusiveMaximum", kw_exclusive_maximum, DRAFT4, DRAFT2020, ASSERTS },
    { "exclusiveMinimum", kw_exclusive_minimum, DRAFT4, DRAFT2020, ASSERTS },
    { "format", kw_format, DRAFT4, DRAFT2020, 0 },
    { "if", kw_if, DRAFT7, DRAFT2020, 0 },
    { "items", kw_items, DRAFT4, DRAFT2020, 0 },
    { "maxContains", kw_max_contains, DRAFT2019, DRAFT2020, ASSERTS },
    { "maxItems", kw_max_items, DRAFT4, DRAFT2020, ASSERTS },
    { "maxLength", kw_max_length, DRAFT4, DRAFT2020, ASSERTS },
    { "maxProperties", kw_max_properties, DRAFT4, DRAFT2020, ASSERTS },
    { "maximum", kw_maximum, DRAFT4, DRAFT2020, ASSERTS },
    { "minContains", kw_min_contains, DRAFT2019, DRAFT2020, ASSERTS },
    { "minItems", kw_min_items, DRAFT4, DRAFT2020, ASSERTS },
    { "minLength", kw_min_length, DRAFT4, DRAFT2020, ASSERTS },
    { "minProperties", kw_min_properties, DRAFT4, DRAFT2020, ASSERTS },
    { "minimum", kw_minimum, DRAFT4, DRAFT2020, ASSERTS },
    { "multipleOf", kw_multiple_of, DRAFT4, DRAFT2020, ASSERTS },
    { "not", kw_not, DRAFT4, DRAFT2020, 0 },
    { "oneOf", kw_one_of, DRAFT4, DRAFT2020, 0 },
    { "pattern", kw_pattern, DRAFT4, DRAFT2020, ASSERTS },
    { "patternProperties", kw_pattern_properties, DRAFT4, DRAFT2020, 0 },
    { "prefixItems", kw_prefix_items, DRAFT2020, DRAFT2020, 0 },
    { "properties", kw_properties, DRAFT4, DRAFT2020, 0 },
    { "propertyNames", kw_property_names, DRAFT6, DRAFT2020, 0 },
    { "required", kw_required, DRAFT4, DRAFT2020, ASSERTS },
    { "then", kw_then, DRAFT7, DRAFT2020, 0 },
    { "type", kw_type, DRAFT4, DRAFT2020, ASSERTS },
    { "unevaluatedItems", kw_uneval_items, DRAFT2019, DRAFT2020, RISKY },
    { "unevaluatedProperties", kw_uneval_props, DRAFT2019, DRAFT2020, RISKY },
    { "uniqueItems", kw_unique_items, DRAFT4, DRAFT2020, ASSERTS },
};

/* Rows by length, first and last letter; of two that meet the second is found through the first. */
static uint8_t row_len[LEN(rows)], row_at[256], row_next[LEN(rows)];  /* row + 1, 0: none */
static pthread_once_t rows_once = PTHREAD_ONCE_INIT;

static uint8_t row_home(const char *key, size_t len)
{
    return (uint8_t)(len * 29 + (uint8_t)key[0] * 5 + (uint8_t)key[len - 1] * 3);
}

static void rows_index(void)
{
    for (size_t i = 0; i < LEN(rows); i++) {
        row_len[i] = (uint8_t)strlen(rows[i].name);
        uint8_t *at = &row_at[row_home(rows[i].name, row_len[i])];
        row_next[i] = *at;
        *at = (uint8_t)(i + 1);
    }
}

static const struct kw_row *row_of(const char *key, size_t len)
{
    for (uint8_t i = len ? row_at[row_home(key, len)] : 0; i; i = row_next[i - 1])
        if (row_len[i - 1] == len && !memcmp(rows[i - 1].name, key, len)) return &rows[i - 1];
    return NULL;
}

static bool read_member(struct reading *r, const struct json_iter *it)
{
    const struct kw_row *row = row_of(it->key, it->key_len);
    if (!row || r->res->draft < row->since || r->res->draft > row->until) return true;
    if (row->flags & ASSERTS && !r->res->asserts) return true;
    if (row->flags & RISKY) r->n->risky = true;
    r->kw = row->name;
    return row->read(r, it->value);
}

/* ---- references ------------------------------------------------------------------------------ */

/* Node of the schema a reference found; messages name it from its document's root. */
static uint32_t target(struct reading *r, struct spot to, const char *ref)
{
    uint32_t scope = to.res == r->n->res ? r->n->scope : scope_enter(r->g, r->n->scope, to.res);
    struct node n = { .v = to.v, .doc = r->n->doc, .res = to.res, .scope = scope, .parent = r->id,
                      .kw = *ref == '#' ? ref : "$ref" };
    return node_add(r->g, &n, r->e);
}

static bool follow(struct reading *r)
{
    struct refs *refs = r->g->s.doc[r->n->doc].refs;
    struct err why;
    why.code = 0;                       /* the rest is written when it is set: most references are found */
    struct spot to;
    const char *ref = r->ref ? r->ref : r->dynamic;
    r->kw = r->ref ? "$ref" : r->res->draft == DRAFT2019 ? "$recursiveRef" : "$dynamicRef";
    struct scope in = r->g->s.scoped ? r->g->s.scope[r->n->scope] : (struct scope){ 0 };
    bool found = r->ref ? refs_find(refs, r->n->res, ref, &to, &why)
                        : refs_find_dynamic(refs, r->n->res, ref, in.res, in.n, &to, &why);
    r->res = refs_res(refs, r->n->res);                  /* the list of resources may have moved */
    if (!found && why.code == ERR_UNSUPPORTED && r->g->o.relax) {
        schemas_relaxed(r->g, r->id, r->kw);
        return true;
    }
    if (!found) return schemas_fail(r->g, r->e, r->id, why.code, r->kw, "%.220s", why.msg);
    uint32_t node = target(r, to, ref);
    if (node == NONE) return false;
    struct kw_in *in_place = in_of(r);
    if (in_place->ref == NONE) {
        in_place->ref = node;
        return true;
    }
    uint32_t *all = part(r, (in_place->n_all + 1) * sizeof *all);     /* both kinds of reference in one schema */
    if (in_place->n_all) memcpy(all, in_place->all, in_place->n_all * sizeof *all);
    all[in_place->n_all++] = node;
    in_place->all = all;
    return true;
}

/* ---- documents ------------------------------------------------------------------------------- */

/* The two keywords that decide how the others are read, found in one pass: most schemas have neither. */
struct first_look { bool id; const struct json *ref; };
static struct first_look look_first(const struct json *v)
{
    struct first_look f = { 0 };
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        if (*it.key != '$' && *it.key != 'i') continue;
        if (!strcmp(it.key, "$ref")) f.ref = it.value;
        f.id |= !strcmp(it.key, "$id") || !strcmp(it.key, "id");
    }
    return f;
}

/* A schema with an $id of its own is another resource. */
static void enter_resource(struct reading *r, bool has_id)
{
    struct refs *refs = r->g->s.doc[r->n->doc].refs;
    if (r->n->parent != NONE && has_id) {
        struct spot own = refs_enter(refs, r->n->res, r->n->v);
        if (own.res != r->n->res) r->n->scope = scope_enter(r->g, r->n->scope, own.res);
        r->n->res = own.res;
    }
    r->res = refs_res(refs, r->n->res);
    r->n->draft4 = r->res->draft == DRAFT4;
}

static bool read_keywords(struct reading *r, const struct json *ref)
{
    r->n->kind = NODE_READ;
    if (r->res->draft <= DRAFT7 && json_is(ref, JSON_STRING)) {       /* its siblings say nothing */
        r->ref = json_str(ref, NULL);
        return follow(r);
    }
    for (struct json_iter it = json_iter(r->n->v); json_next(&it);)
        if (!read_member(r, &it)) return false;
    if (r->n->num && r->n->num->has_lo) r->n->num->lo_open |= r->open_lo;
    if (r->n->num && r->n->num->has_hi) r->n->num->hi_open |= r->open_hi;
    if (r->ref && !follow(r)) return false;
    r->ref = NULL;
    return !r->dynamic || follow(r);
}

static bool read_node(struct grammar *g, uint32_t id, struct err *e)
{
    struct reading r = { .g = g, .e = e, .id = id, .n = schemas_node(&g->s, id), .kw = "" };
    r.n->types = T_ALL;
    if (json_is(r.n->v, JSON_BOOL)) r.n->kind = json_bool(r.n->v) ? NODE_TRUE : NODE_FALSE;
    else if (!json_is(r.n->v, JSON_OBJECT)) return bad(&r, "a schema must be an object, true or false");
    else {
        struct first_look first = look_first(r.n->v);
        enter_resource(&r, first.id);
        if (!read_keywords(&r, first.ref)) return false;
    }
    return true;
}

/* Forgets all nodes but the roots of documents, which are read anew with their dynamic scopes. */
static void read_again(struct grammar *g)
{
    struct schemas *s = &g->s;
    s->scoped = true;
    s->n_node = 1;
    memset(s->node_slot, 0, s->n_node_slot * sizeof *s->node_slot);
    for (uint32_t i = 0; i < s->n_doc; i++) {
        struct spot root = refs_root(s->doc[i].refs);
        struct node n = { .v = root.v, .doc = (uint16_t)i, .res = root.res, .parent = NONE, .kw = "",
                          .scope = scope_enter(g, 0, root.res) };
        node_add(g, &n, NULL);
    }
    s->n_read = 1;
}

bool schemas_read(struct grammar *g, struct err *e)
{
    struct schemas *s = &g->s;
    for (; s->n_read < s->n_node; s->n_read++) {
        if (schemas_node(s, s->n_read)->kind != NODE_LITERAL && !read_node(g, s->n_read, e)) {
            if (!s->saw_dynamic || s->scoped) return false;
            *e = (struct err){ 0 };
        }
        if (s->saw_dynamic && !s->scoped) { read_again(g); s->n_read = 0; }
    }
    schemas_share(g);
    schemas_weigh(g);
    return true;
}

uint32_t schemas_document(struct grammar *g, const struct json *schema, const char *where,
                          struct err *e)
{
    struct schemas *s = &g->s;
    if (s->n_doc >= UINT16_MAX) {
        err_set(e, ERR_LIMIT, "more than %d schemas in one grammar", UINT16_MAX);
        return NONE;
    }
    struct doc d = { .root = json_share(schema), .where = where };
    if (!(d.refs = refs_open(d.root, &g->o, e))) {
        err_in(e, "%s", where);
        json_free(d.root);
        return NONE;
    }
    MEM_GROW(s->doc, s->n_doc, s->cap_doc);
    s->doc[s->n_doc++] = d;
    struct spot root = refs_root(d.refs);
    struct node n = { .v = root.v, .doc = (uint16_t)(s->n_doc - 1), .res = root.res, .parent = NONE,
                      .kw = "" };
    return node_add(g, &n, e);
}

void schemas_init(struct grammar *g)
{
    struct schemas *s = &g->s;
    pthread_once(&rows_once, rows_index);
    *node_new(g) = (struct node){ .parent = NONE, .kw = "", .kind = NODE_READ, .types = T_OBJ };
    s->n_read = 1;
    MEM_GROW(s->scope, s->n_scope, s->cap_scope);
    s->scope[s->n_scope++] = (struct scope){ 0 };       /* scope 0: nothing entered, or nobody asks */
}

void schemas_done(struct grammar *g)
{
    struct schemas *s = &g->s;
    for (uint32_t i = 0; i < s->n_doc; i++) {
        refs_close(s->doc[i].refs);
        json_free(s->doc[i].root);
    }
    for (uint32_t i = 0; i < s->n_dfa; i++) dfa_close(s->dfa[i]);
    mem_free(s->dfa);
    mem_free(s->doc);
    mem_free(s->chunk);
    mem_free(s->scope);
    mem_free(s->node_slot);
    mem_free(s->goal_slot);
}
