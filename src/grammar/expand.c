/* expand.c -- one goal becomes its shapes, one JSON type each.
 *
 * First the goal is flattened: $ref and allOf add their schemas to the conjunction, anyOf opens one
 * bag per alternative. Then each bag is read: literals (enum, const) are judged value by value by
 * check.c against every schema of the bag, so their siblings may be anything; otherwise the types
 * are intersected and each type that is left gets a shape from the keywords that speak about it.
 *
 * The table says for every keyword whether it is enforced, and for the others whom it concerns: a
 * keyword about strings is no obstacle where only integers are left. What remains is refused with
 * its place, or relaxed and listed; a relaxed shape is always a superset. */
#include <stdlib.h>

#include "grammar/int.h"

enum {
    T_NULL = 1,
    T_BOOL = 2,
    T_INT = 4,
    T_FRAC = 8,
    T_STR = 16,
    T_ARR = 32,
    T_OBJ = 64,
    T_ALL = 127,
    T_NUM = T_INT | T_FRAC
};

/* Keywords that restrict values and are not enforced here: type they speak about, drafts that know them. */
static const struct { const char *name; int types; enum draft since, until; } not_enforced[] = {
    { "pattern",               T_STR, DRAFT4, DRAFT2020 },
    { "format",                T_STR, DRAFT4, DRAFT2020 },
    { "multipleOf",            T_NUM, DRAFT4, DRAFT2020 },
    { "oneOf",                 T_ALL, DRAFT4, DRAFT2020 },
    { "not",                   T_ALL, DRAFT4, DRAFT2020 },
    { "if",                    T_ALL, DRAFT7, DRAFT2020 },
    { "patternProperties",     T_OBJ, DRAFT4, DRAFT2020 },
    { "propertyNames",         T_OBJ, DRAFT6, DRAFT2020 },
    { "minProperties",         T_OBJ, DRAFT4, DRAFT2020 },
    { "maxProperties",         T_OBJ, DRAFT4, DRAFT2020 },
    { "dependencies",          T_OBJ, DRAFT4, DRAFT2020 },
    { "dependentRequired",     T_OBJ, DRAFT2019, DRAFT2020 },
    { "dependentSchemas",      T_OBJ, DRAFT2019, DRAFT2020 },
    { "contains",              T_ARR, DRAFT6, DRAFT2020 },
    { "uniqueItems",           T_ARR, DRAFT4, DRAFT2020 },
    { "unevaluatedProperties", T_OBJ, DRAFT2019, DRAFT2020 },
    { "unevaluatedItems",      T_ARR, DRAFT2019, DRAFT2020 },
    { "$dynamicRef",           T_ALL, DRAFT2020, DRAFT2020 },
    { "$recursiveRef",         T_ALL, DRAFT2019, DRAFT2019 },
};
static const char enforced[] = "accepted are type, enum, const, properties, required, "
                               "additionalProperties, items, prefixItems, "
                               "minItems, maxItems, minimum, maximum, exclusiveMinimum, "
                               "exclusiveMaximum, minLength, maxLength, $ref, anyOf, allOf";

/* One conjunction without alternatives: node ids, and for each the entry that brought it in. */
struct bag { uint32_t node[MOST_BRANCH], from[MOST_BRANCH], n; };
struct expand { struct schemas *s; uint32_t goal, n_branch; struct bag *bag; };

static const struct json *schema_of(const struct schemas *s, uint32_t node)
{
    return s->node[node].v;
}
static enum draft draft_at(const struct schemas *s, uint32_t node)
{
    return s->doc[s->node[node].doc].draft;
}
static const struct json *get(const struct schemas *s, uint32_t node, const char *kw)
{
    const struct json *v = s->node[node].v;
    if (!json_is(v, JSON_OBJECT)) return NULL;
    if (draft_at(s, node) <= DRAFT7 && json_is(json_get(v, "$ref"), JSON_STRING) &&
        strcmp(kw, "$ref"))
        return NULL;
    return json_get(v, kw);
}

static struct shape *shape_add(struct schemas *s, enum shape_kind kind)
{
    struct grammar *g = s->g;
    if (g->n_shape >= MOST_SHAPE) {
        schemas_fail(s, NODE_OBJECT, ERR_LIMIT, "", "more than %d shapes of values", MOST_SHAPE);
        return NULL;
    }
    MEM_GROW(g->shape, g->n_shape, s->cap_shape);
    g->shape[g->n_shape] = (struct shape){ .kind = (uint8_t)kind };
    return &g->shape[g->n_shape++];
}

/* A count keyword (minLength …): integral, not negative. Absent: *out stays. */
static bool count_of(struct schemas *s, uint32_t node, const char *kw, bool is_min, uint32_t *out)
{
    const struct json *v = get(s, node, kw);
    int64_t n;
    if (!v) return true;
    if (!json_is(v, JSON_NUMBER))
        return schemas_fail(s, node, ERR_SCHEMA, kw, "must be a number that is not negative");
    if (!json_i64(v, &n)) {
        if (json_f64(v) < 1e15)
            return schemas_fail(s, node, ERR_SCHEMA, kw, "must be a whole number");
        n = INT64_MAX;
    }
    if (n < 0) return schemas_fail(s, node, ERR_SCHEMA, kw, "must not be negative");
    if (is_min && n > 100000000)
        return schemas_fail(s, node, ERR_LIMIT, kw, "asks for more than 100000000");
    uint32_t k = n >= NONE ? NONE : (uint32_t)n;
    *out = is_min ? MAX(*out, k) : MIN(*out, k);
    return true;
}

/* ---- types ----------------------------------------------------------------------------------- */

static int type_bit(const struct json *name)
{
    static const struct { const char *name; int bits; } rows[] = {
        { "null", T_NULL }, { "boolean", T_BOOL }, { "integer", T_INT }, { "number", T_NUM },
        { "string", T_STR }, { "array", T_ARR }, { "object", T_OBJ } };
    for (size_t i = 0; i < LEN(rows); i++)
        if (json_str_is(name, rows[i].name)) return rows[i].bits;
    return 0;
}

static bool types_of(struct schemas *s, uint32_t node, int *types)
{
    const struct json *t = get(s, node, "type");
    int have = 0;
    if (!t) return true;
    if (json_is(t, JSON_STRING)) have = type_bit(t);
    for (size_t i = 0; json_is(t, JSON_ARRAY) && i < json_len(t); i++) {
        int bit = type_bit(json_at(t, i));
        if (!bit) { have = 0; break; }
        have |= bit;
    }
    if (!have)
        return schemas_fail(
            s, node, ERR_SCHEMA, "type",
            "must be null, boolean, integer, number, string, array or object, or a list of these");
    *types &= have;
    return true;
}

/* ---- keywords that are not enforced ---------------------------------------------------------- */

/* Forms of those keywords that restrict nothing. */
static bool harmless(const struct schemas *s, uint32_t node, const char *kw, const struct json *v)
{
    int64_t n;
    if (!strcmp(kw, "format"))
        return s->o->annotate_formats || !json_str(v, NULL) || !format_known(json_str(v, NULL));
    if (!strcmp(kw, "uniqueItems")) return !json_bool(v);
    if (!strcmp(kw, "minProperties")) return json_i64(v, &n) && n == 0;
    if (!strcmp(kw, "if")) return !get(s, node, "then") && !get(s, node, "else");
    if (!strcmp(kw, "not")) return json_is(v, JSON_BOOL) && !json_bool(v);
    if (json_is(v, JSON_OBJECT) && !json_len(v)) return strcmp(kw, "contains") != 0;
    return json_is(v, JSON_BOOL) && json_bool(v) && strcmp(kw, "contains");
}

static bool check_keywords(struct schemas *s, uint32_t node, int types)
{
    for (size_t i = 0; i < LEN(not_enforced); i++) {
        const char *kw = not_enforced[i].name;
        const struct json *v = get(s, node, kw);
        enum draft d = draft_at(s, node);
        if (!v || !(types & not_enforced[i].types) || d < not_enforced[i].since ||
            d > not_enforced[i].until)
            continue;
        if (harmless(s, node, kw, v)) continue;
        if (!s->o->relax)
            return schemas_fail(s, node, ERR_UNSUPPORTED, kw, "not supported yet; %s", enforced);
        schemas_relaxed(s, node, kw);
    }
    const struct json *v = schema_of(s, node);
    if (s->node[node].parent != NONE && json_is(json_get(v, "$id"), JSON_STRING) &&
        *json_str(json_get(v, "$id"), NULL) != '#')
        return schemas_fail(s, node, ERR_UNSUPPORTED, "$id",
                            "a schema document inside another is not supported yet");
    return true;
}

/* ---- literals -------------------------------------------------------------------------------- */

static bool str_literals(struct schemas *s, const struct json **v, uint32_t n, struct shape *sh)
{
    struct grammar *g = s->g;
    struct bytes *text = arena_alloc(&g->mem, (n + 1) * sizeof *text);
    for (uint32_t i = 0; i < n; i++) {
        size_t len;
        const char *p = json_str(v[i], &len);
        text[i] = (struct bytes){ arena_str(&g->mem, p, len), len };
    }
    sh->lit = arena_zero(&g->mem, sizeof *sh->lit);
    if (!trie_build(sh->lit, &g->mem, text, n, &s->n_trie_node))
        return schemas_fail(s, s->key[s->done].n ? s->key[s->done].node[0] : NODE_OBJECT, ERR_LIMIT,
                            "", "literal texts of more than %d bytes", MOST_TRIE);
    sh->lit->cost_off = g->n_node_cost;
    g->n_node_cost += sh->lit->n_node;
    return true;
}

/* The integer that 1.0 or 2e3 is, written plainly; length 0 if it is none or too long. */
static struct bytes plain_integer(struct grammar *g, const char *text, size_t len)
{
    struct dec d = dec_read(&g->mem, text, len);
    if (!dec_is_int(&d) || d.point > 30) return (struct bytes){ 0 };
    char *out = arena_alloc(&g->mem, 40);
    size_t n = 0;
    if (d.neg) out[n++] = '-';
    for (int64_t i = 0; i < MAX(d.point, 1); i++) out[n++] = i < d.n ? d.digit[i] : '0';
    return (struct bytes){ out, n };
}

/* Generating: the spellings as written, and plain integers. Validating: the values. */
static bool num_literals(struct schemas *s, const struct json **v, uint32_t n)
{
    struct grammar *g = s->g;
    struct shape *sh = shape_add(s, g->validate ? SH_NUM : SH_NUMLIT);
    if (!sh) return false;
    struct bytes *text = arena_alloc(&g->mem, (n * 2 + 1) * sizeof *text);
    struct dec *set = arena_alloc(&g->mem, (n + 1) * sizeof *set);
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++) {
        size_t len;
        const char *p = json_number(v[i], &len);
        p = arena_str(&g->mem, p, len);
        text[k++] = (struct bytes){ p, len };
        set[i] = dec_read(&g->mem, p, len);
        struct bytes plain = plain_integer(g, p, len);
        if (plain.len) text[k++] = plain;
    }
    if (g->validate) {
        sh->num = arena_zero(&g->mem, sizeof *sh->num);
        sh->num->set = set;
        sh->num->n_set = n;
        sh->ok = true;
        return true;
    }
    sh->lit = arena_zero(&g->mem, sizeof *sh->lit);
    if (!trie_build(sh->lit, &g->mem, text, k, &s->n_trie_node))
        return schemas_fail(s, NODE_OBJECT, ERR_LIMIT, "", "literal texts of more than %d bytes",
                            MOST_TRIE);
    sh->lit->cost_off = g->n_node_cost;
    g->n_node_cost += sh->lit->n_node;
    return true;
}

static bool obj_finish(struct schemas *s, struct obj *o);

static bool obj_literal(struct schemas *s, const struct json *v, uint32_t node)
{
    struct grammar *g = s->g;
    struct obj *o = arena_zero(&g->mem, sizeof *o);
    o->rest = NONE;
    o->key = arena_zero(&g->mem, (json_len(v) + 1) * sizeof *o->key);
    for (struct json_iter it = json_iter(v); json_next(&it); ) {
        uint32_t lit = schemas_literal(s, it.value, node), goal = schemas_goal(s, &lit, 1);
        if (goal == NONE) return false;
        o->key[o->n_key++] = (struct okey){
            { arena_str(&g->mem, it.key, it.key_len), it.key_len }, goal, true, false
        };
    }
    struct shape *sh = shape_add(s, SH_OBJ);
    if (sh) sh->obj = o;
    return sh && obj_finish(s, o);
}

static bool arr_literal(struct schemas *s, const struct json *v, uint32_t node)
{
    struct arr *a = arena_zero(&s->g->mem, sizeof *a);
    a->n_prefix = a->min = a->max = (uint32_t)json_len(v);
    a->rest = NONE;
    a->prefix = arena_alloc(&s->g->mem, (a->n_prefix + 1) * sizeof *a->prefix);
    for (uint32_t i = 0; i < a->n_prefix; i++) {
        uint32_t lit = schemas_literal(s, json_at(v, i), node);
        if ((a->prefix[i] = schemas_goal(s, &lit, 1)) == NONE) return false;
    }
    struct shape *sh = shape_add(s, SH_ARR);
    if (sh) sh->arr = a;
    return sh != NULL;
}

/* Shapes for a list of literal values: one trie for the strings, one for the numbers, one shape for each other. */
static bool literals(struct schemas *s, const struct json **v, uint32_t n, uint32_t node)
{
    const struct json **some = arena_alloc(&s->tmp, (n + 1) * sizeof *some);
    uint32_t n_str = 0, n_num = 0;
    for (uint32_t i = 0; i < n; i++)
        if (json_type(v[i]) == JSON_STRING) some[n_str++] = v[i];
    if (n_str) {
        struct shape *sh = shape_add(s, SH_STRLIT);
        if (!sh || !str_literals(s, some, n_str, sh)) return false;
    }
    for (uint32_t i = 0; i < n; i++)
        if (json_type(v[i]) == JSON_NUMBER) some[n_num++] = v[i];
    if (n_num && !num_literals(s, some, n_num)) return false;
    bool had[3] = { 0 };                                /* null, true, false */
    uint32_t n_deep = 0;
    for (uint32_t i = 0; i < n; i++) {
        enum json_type t = json_type(v[i]);
        if ((t == JSON_OBJECT || t == JSON_ARRAY) && ++n_deep > MOST_BRANCH)
            return schemas_fail(s, node, ERR_LIMIT, "enum", "more than %d arrays and objects",
                                MOST_BRANCH);
        if (t == JSON_OBJECT && !obj_literal(s, v[i], node)) return false;
        if (t == JSON_ARRAY && !arr_literal(s, v[i], node)) return false;
        if (t != JSON_NULL && t != JSON_BOOL) continue;
        int k = t == JSON_NULL ? 0 : json_bool(v[i]) ? 1 : 2;
        if (!had[k] && !shape_add(s, k == 0 ? SH_NULL : k == 1 ? SH_TRUE : SH_FALSE)) return false;
        had[k] = true;
    }
    return true;
}

/* Does a literal satisfy every schema of the bag? Its own enum or const (node `from`) is known. *ok false: no. */
static bool judge(struct schemas *s, const struct bag *b, const struct json *v, uint32_t from,
                  bool *ok)
{
    *ok = true;
    for (uint32_t i = 0; i < b->n && *ok; i++) {
        struct err why = { 0 };
        uint32_t node = b->node[i];
        if (node == NODE_OBJECT) { *ok = json_type(v) == JSON_OBJECT; continue; }
        const struct doc *d = &s->doc[s->node[node].doc];
        *ok = check_spot(d->refs, (struct spot){ s->node[node].v, 0 }, v, s->o, node == from, &why);
        if (!*ok && (why.code == ERR_UNSUPPORTED || why.code == ERR_SCHEMA))
            return schemas_fail(s, node, why.code, "", "%.200s", why.msg);
    }
    const struct json *one = get(s, from, "const");
    if (*ok && one && get(s, from, "enum")) *ok = json_equal(one, v);
    return true;
}

/* Finds the literals of a bag, if it has any; *had says so. */
static bool bag_literals(struct schemas *s, const struct bag *b, bool *had)
{
    *had = false;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t node = b->node[i];
        if (node == NODE_OBJECT) continue;
        if (s->node[node].lit) {
            *had = true;
            return literals(s, &s->node[node].v, 1, node);
        }
        const struct json *list = get(s, node, "enum");
        const struct json *one = draft_at(s, node) >= DRAFT6 ? get(s, node, "const") : NULL;
        if (!list && !one) continue;
        *had = true;
        if (list && !json_is(list, JSON_ARRAY))
            return schemas_fail(s, node, ERR_SCHEMA, "enum", "must be an array");
        uint32_t n = list ? (uint32_t)json_len(list) : 1, k = 0;
        const struct json **keep = arena_alloc(&s->tmp, (n + 1) * sizeof *keep);
        for (uint32_t j = 0; j < n; j++) {
            const struct json *v = list ? json_at(list, j) : one;
            bool ok;
            if (!judge(s, b, v, node, &ok)) return false;
            if (ok) keep[k++] = v;
        }
        return literals(s, keep, k, node);
    }
    return true;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static bool number_text(struct schemas *s, uint32_t node, const char *kw, const struct json *v,
                        struct dec *out)
{
    size_t len;
    const char *p = json_number(v, &len);
    if (!p) return schemas_fail(s, node, ERR_SCHEMA, kw, "must be a number");
    *out = dec_read(&s->g->mem, p, len);
    return true;
}

static void raise_lo(struct num *n, struct dec d, bool open)
{
    int c = n->has_lo ? dec_cmp(&d, &n->lo) : 1;
    if (c > 0 || (c == 0 && open)) { n->lo = d; n->lo_open = open; }
    n->has_lo = true;
}

static void lower_hi(struct num *n, struct dec d, bool open)
{
    int c = n->has_hi ? dec_cmp(&d, &n->hi) : -1;
    if (c < 0 || (c == 0 && open)) { n->hi = d; n->hi_open = open; }
    n->has_hi = true;
}

static bool num_bounds(struct schemas *s, uint32_t node, struct num *n)
{
    static const char *const plain[] = { "minimum", "maximum" }, *const strict[] = {
        "exclusiveMinimum", "exclusiveMaximum"
    };
    for (int i = 0; i < 2; i++) {
        const struct json *v = get(s, node, plain[i]), *x = get(s, node, strict[i]);
        struct dec d;
        if (v) {
            if (!number_text(s, node, plain[i], v, &d)) return false;
            bool open = json_is(x, JSON_BOOL) && json_bool(x);          /* draft 4 */
            if (i) lower_hi(n, d, open);
            else raise_lo(n, d, open);
        }
        if (x && !json_is(x, JSON_BOOL)) {
            if (!number_text(s, node, strict[i], x, &d)) return false;
            if (i) lower_hi(n, d, true);
            else raise_lo(n, d, true);
        }
    }
    return true;
}

static bool num_shape(struct schemas *s, const struct bag *b, int types)
{
    struct num *n = arena_zero(&s->g->mem, sizeof *n);
    uint32_t at = NODE_OBJECT;
    n->integer = !(types & T_FRAC);
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->node[i] == NODE_OBJECT) continue;
        at = b->node[i];
        n->draft4 |= draft_at(s, at) == DRAFT4;
        if (!num_bounds(s, at, n)) return false;
    }
    bool empty = false;
    struct err why = { 0 };
    if (!s->g->validate && !num_prepare(n, &s->g->mem, &empty, &why))
        return schemas_fail(s, at, why.code, "", "%.200s", why.msg);
    struct shape *sh = shape_add(s, SH_NUM);
    if (!sh) return false;
    sh->num = n;
    sh->ok = !empty;
    return true;
}

/* ---- arrays ---------------------------------------------------------------------------------- */

/* The two faces of items: a list for the first elements, one schema for the rest. */
static bool item_parts(struct schemas *s, uint32_t node, const struct json **list,
                       const struct json **rest, const char **kw, const char **rest_kw)
{
    const struct json *items = get(s, node, "items");
    *list = draft_at(s, node) == DRAFT2020 ? get(s, node, "prefixItems") : NULL;
    *kw = "prefixItems";
    *rest = items;
    *rest_kw = "items";
    if (json_is(items, JSON_ARRAY)) {
        *list = items;
        *kw = "items";
        *rest = get(s, node, "additionalItems");
        *rest_kw = "additionalItems";
    }
    if (*list && !json_is(*list, JSON_ARRAY))
        return schemas_fail(s, node, ERR_SCHEMA, *kw, "must be an array of schemas");
    return true;
}

/* Goal of element i (i = n_prefix: of all further ones). Nodes without an opinion add nothing. */
static uint32_t item_goal(struct schemas *s, const struct bag *b, uint32_t i)
{
    uint32_t node[MOST_BRANCH], n = 0;
    for (uint32_t k = 0; k < b->n; k++) {
        const struct json *list, *rest, *v;
        const char *kw, *rest_kw;
        uint32_t at = b->node[k];
        if (at == NODE_OBJECT) continue;
        if (!item_parts(s, at, &list, &rest, &kw, &rest_kw)) return NONE;
        bool first = i < json_len(list);
        v = first ? json_at(list, i) : rest;
        if (!v) continue;
        char name[16];
        int len = snprintf(name, sizeof name, "%u", i);
        struct bytes seg = { first ? arena_str(&s->tmp, name, (size_t)len) : NULL,
                             first ? (size_t)len : 0 };
        if ((node[n++] = schemas_node(s, v, at, first ? kw : rest_kw, seg)) == NONE) return NONE;
    }
    return schemas_goal(s, node, n);
}

static bool arr_shape(struct schemas *s, const struct bag *b)
{
    struct arr *a = arena_zero(&s->g->mem, sizeof *a);
    a->max = NONE;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct json *list, *rest;
        const char *kw, *rest_kw;
        uint32_t at = b->node[i];
        if (at == NODE_OBJECT) continue;
        if (!item_parts(s, at, &list, &rest, &kw, &rest_kw) ||
            !count_of(s, at, "minItems", true, &a->min) ||
            !count_of(s, at, "maxItems", false, &a->max))
            return false;
        a->n_prefix = MAX(a->n_prefix, (uint32_t)json_len(list));
    }
    a->n_prefix = MIN(a->n_prefix, a->max);
    a->prefix = arena_alloc(&s->g->mem, (a->n_prefix + 1) * sizeof *a->prefix);
    for (uint32_t i = 0; i < a->n_prefix; i++)
        if ((a->prefix[i] = item_goal(s, b, i)) == NONE) return false;
    uint32_t most = 0;                                  /* past every list, for the rest */
    for (uint32_t i = 0; i < b->n; i++) {
        const struct json *list, *rest;
        const char *kw, *rest_kw;
        if (b->node[i] != NODE_OBJECT && item_parts(s, b->node[i], &list, &rest, &kw, &rest_kw))
            most = MAX(most, (uint32_t)json_len(list));
    }
    if ((a->rest = item_goal(s, b, most)) == NONE) return false;
    struct shape *sh = shape_add(s, SH_ARR);
    if (sh) sh->arr = a;
    return sh != NULL;
}

/* ---- objects --------------------------------------------------------------------------------- */

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

/* Names met so far -> index into the list of keys. */
struct names { uint32_t *slot, n_slot, n; struct okey *key; uint32_t cap; };

static uint32_t names_put(struct names *t, const char *p, size_t len)
{
    if (t->n * 2 >= t->n_slot) {
        t->n_slot = t->n_slot ? t->n_slot * 2 : 64;
        mem_free(t->slot);
        t->slot = mem_zero(t->n_slot * sizeof *t->slot);
        for (uint32_t i = 0; i < t->n; i++) {
            uint32_t h =
                (uint32_t)hash64(t->key[i].name.p, t->key[i].name.len, 5) & (t->n_slot - 1);
            while (t->slot[h]) h = (h + 1) & (t->n_slot - 1);
            t->slot[h] = i + 1;
        }
    }
    uint32_t h = (uint32_t)hash64(p, len, 5) & (t->n_slot - 1);
    for (; t->slot[h]; h = (h + 1) & (t->n_slot - 1)) {
        struct bytes have = t->key[t->slot[h] - 1].name;
        if (have.len == len && !memcmp(have.p, p, len)) return t->slot[h] - 1;
    }
    MEM_GROW(t->key, t->n, t->cap);
    t->key[t->n] = (struct okey){ .name = { p, len } };
    t->slot[h] = t->n + 1;
    return t->n++;
}

/* All names that properties and required of the bag mention, in the order they are mentioned. */
static bool collect_names(struct schemas *s, const struct bag *b, struct names *t)
{
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t at = b->node[i];
        const struct json *p = at == NODE_OBJECT ? NULL : get(s, at, "properties");
        if (p && !json_is(p, JSON_OBJECT))
            return schemas_fail(s, at, ERR_SCHEMA, "properties", "must be an object of schemas");
        for (struct json_iter it = json_iter(p); p && json_next(&it);)
            names_put(t, it.key, it.key_len);
    }
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t at = b->node[i];
        const struct json *r = at == NODE_OBJECT ? NULL : get(s, at, "required");
        if (json_is(r, JSON_BOOL)) continue;            /* draft 3 habit: says nothing here */
        if (r && !json_is(r, JSON_ARRAY))
            return schemas_fail(s, at, ERR_SCHEMA, "required", "must be an array of names");
        for (size_t k = 0; k < json_len(r); k++) {
            size_t len;
            const char *name = json_str(json_at(r, k), &len);
            if (!name || memchr(name, 0, len))
                return schemas_fail(s, at, ERR_SCHEMA, "required", "must be an array of names");
            uint32_t key = names_put(t, name, len);
            t->key[key].req = true;
        }
    }
    return true;
}

/* Goal of a key (NULL: of an invented one): what each schema of the bag says about it. */
static uint32_t key_goal(struct schemas *s, const struct bag *b, const char *key)
{
    uint32_t node[MOST_BRANCH], n = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t at = b->node[i];
        if (at == NODE_OBJECT) continue;
        const struct json *v = key ? json_get(get(s, at, "properties"), key) : NULL;
        if (v) {
            size_t len = strlen(key);
            node[n++] = schemas_node(s, v, at, "properties",
                                     (struct bytes){ arena_str(&s->tmp, key, len), len });
        } else if ((v = get(s, at, "additionalProperties")) && !get(s, at, "patternProperties")) {
            node[n++] = schemas_node(s, v, at, "additionalProperties", (struct bytes){ 0 });
        }
        if (n && node[n - 1] == NONE) return NONE;
    }
    return schemas_goal(s, node, n);
}

/* Derived tables of an object whose keys and rest are set. */
static bool obj_finish(struct schemas *s, struct obj *o)
{
    struct grammar *g = s->g;
    struct bytes *name = arena_alloc(&s->tmp, (o->n_key + 1) * sizeof *name);
    o->next_req = arena_alloc(&g->mem, (o->n_key + 2) * sizeof *o->next_req);
    o->next_req[o->n_key] = o->next_req[o->n_key + 1] = NONE;
    o->cap_key = MOST_KEY;
    for (uint32_t i = o->n_key; i-- > 0; ) {
        o->next_req[i] = o->key[i].req ? i : o->next_req[i + 1];
        o->n_req += o->key[i].req;
        o->key[i].ident = key_is_ident(o->key[i].name);
        o->cap_key = MAX(o->cap_key, (uint32_t)o->key[i].name.len);
        name[i] = o->key[i].name;
    }
    o->cap_key++;
    o->n_word = (o->n_key + 63) / 64;
    o->seg_off = g->n_seg;
    g->n_seg += o->n_key;
    if (!trie_build(&o->trie, &g->mem, name, o->n_key, &s->n_trie_node))
        return schemas_fail(s, NODE_OBJECT, ERR_LIMIT, "", "names of more than %d bytes",
                            MOST_TRIE);
    return true;
}

/* With opts.closed an object that declares properties and says nothing of others takes no others. */
static bool closes_itself(struct schemas *s, const struct bag *b)
{
    for (uint32_t i = 0; s->o->closed && !s->o->validate && i < b->n; i++) {
        uint32_t at = b->node[i];
        if (at != NODE_OBJECT && get(s, at, "properties") && !get(s, at, "additionalProperties") &&
            !get(s, at, "patternProperties"))
            return true;
    }
    return false;
}

static bool obj_shape(struct schemas *s, const struct bag *b)
{
    struct grammar *g = s->g;
    struct names t = { 0 };
    bool ok = collect_names(s, b, &t);
    struct obj *o = arena_zero(&g->mem, sizeof *o);
    o->key = arena_alloc(&g->mem, (t.n + 1) * sizeof *o->key);
    o->n_key = t.n;
    for (uint32_t i = 0; i < t.n && ok; i++) {
        o->key[i] = t.key[i];
        o->key[i].name.p = arena_str(&g->mem, t.key[i].name.p, t.key[i].name.len);
        o->key[i].goal = key_goal(s, b, o->key[i].name.p);
        ok = o->key[i].goal != NONE;
    }
    mem_free(t.slot);
    mem_free(t.key);
    ok = ok && (o->rest = key_goal(s, b, NULL)) != NONE;
    if (ok && closes_itself(s, b)) o->rest = NONE;
    struct shape *sh = ok ? shape_add(s, SH_OBJ) : NULL;
    if (sh) sh->obj = o;
    return sh && obj_finish(s, o);
}

/* ---- bags ------------------------------------------------------------------------------------ */

static bool str_shape(struct schemas *s, const struct bag *b)
{
    uint32_t min = 0, max = NONE;
    for (uint32_t i = 0; i < b->n; i++)
        if (b->node[i] != NODE_OBJECT && (!count_of(s, b->node[i], "minLength", true, &min) ||
                                          !count_of(s, b->node[i], "maxLength", false, &max)))
            return false;
    struct shape *sh = shape_add(s, SH_STR);
    if (!sh) return false;
    sh->str.min = min;
    sh->str.max = max;
    return true;
}

static bool bag_shapes(struct schemas *s, const struct bag *b)
{
    int types = T_ALL;
    bool had;
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->node[i] == NODE_OBJECT) types &= T_OBJ;
        else if (!s->node[b->node[i]].lit && !types_of(s, b->node[i], &types)) return false;
    }
    if (!bag_literals(s, b, &had) || had) return had && !s->e->code;
    for (uint32_t i = 0; i < b->n; i++)
        if (b->node[i] != NODE_OBJECT && !check_keywords(s, b->node[i], types)) return false;
    if (types & T_OBJ && !obj_shape(s, b)) return false;
    if (types & T_ARR && !arr_shape(s, b)) return false;
    if (types & T_STR && !str_shape(s, b)) return false;
    if (types & T_NUM && !num_shape(s, b, types)) return false;
    if (types & T_NULL && !shape_add(s, SH_NULL)) return false;
    return !(types & T_BOOL) || (shape_add(s, SH_TRUE) && shape_add(s, SH_FALSE));
}

/* ---- flattening ------------------------------------------------------------------------------ */

/* Adds a schema that entry `from` brings in; one that is its own ancestor never gets anywhere. */
static bool bag_add(struct expand *x, struct bag *b, uint32_t node, uint32_t from, const char *kw)
{
    struct schemas *s = x->s;
    if (node == NONE) return false;
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->node[i] != node) continue;
        for (uint32_t k = from; k != NONE; k = b->from[k])
            if (k == i)
                return schemas_fail(s, b->node[from], ERR_SCHEMA, kw,
                                    "leads back to itself with nothing in between");
        return true;
    }
    if (b->n >= MOST_BRANCH)
        return schemas_fail(s, node, ERR_LIMIT, kw, "more than %d schemas apply to one value",
                            MOST_BRANCH);
    b->node[b->n] = node;
    b->from[b->n++] = from;
    return true;
}

static bool add_ref(struct expand *x, struct bag *b, uint32_t at)
{
    struct schemas *s = x->s;
    uint32_t node = b->node[at];
    const struct json *ref = get(s, node, "$ref");
    const char *text = json_str(ref, NULL);
    if (!text) return !ref || schemas_fail(s, node, ERR_SCHEMA, "$ref", "must be a text");
    if (*text != '#') {
        if (!s->o->relax)
            return schemas_fail(
                s, node, ERR_UNSUPPORTED, "$ref",
                "only #, #/$defs/…, #anchor and other places of the same schema are supported");
        schemas_relaxed(s, node, "$ref");
        return true;
    }
    struct spot to = { NULL, 0 };
    refs_find(s->doc[s->node[node].doc].refs, 0, text, &to, NULL);
    const struct json *v = to.v;
    if (!v) return schemas_fail(s, node, ERR_SCHEMA, "$ref", "%.120s is not in the schema", text);
    return bag_add(x, b,
                   schemas_node(s, v, node, arena_str(&s->tmp, text, strlen(text)),
                                (struct bytes){ 0 }),
                   at, "$ref");
}

static bool is_list(struct schemas *s, uint32_t node, const char *kw, const struct json *v)
{
    if (!v || (json_is(v, JSON_ARRAY) && json_len(v))) return true;
    return schemas_fail(s, node, ERR_SCHEMA, kw, "must be a list of at least one schema");
}

static struct bytes index_name(struct schemas *s, size_t i)
{
    char name[24];
    int n = snprintf(name, sizeof name, "%zu", i);
    return (struct bytes){ arena_str(&s->tmp, name, (size_t)n), (size_t)n };
}

static bool flatten(struct expand *x, struct bag *b, uint32_t at, int depth);

/* One bag per alternative; the part flattened so far is shared by copying. */
static bool branch(struct expand *x, const struct bag *b, uint32_t at, const char *kw,
                   const struct json *list, int depth)
{
    struct schemas *s = x->s;
    uint32_t node = b->node[at];
    if (depth > 64)
        return schemas_fail(s, node, ERR_LIMIT, kw, "alternatives nested deeper than 64");
    struct bag *own = mem_alloc(sizeof *own);
    bool ok = true;
    for (size_t i = 0; i < json_len(list) && ok; i++) {
        if (++x->n_branch > MOST_BRANCH) {
            ok = schemas_fail(s, node, ERR_LIMIT, kw, "more than %d alternatives for one value",
                              MOST_BRANCH);
            break;
        }
        memcpy(own->node, b->node, b->n * sizeof *b->node);
        memcpy(own->from, b->from, b->n * sizeof *b->from);
        own->n = b->n;
        ok = bag_add(x, own, schemas_node(s, json_at(list, i), node, kw, index_name(s, i)), at,
                     kw) &&
             flatten(x, own, at + 1, depth + 1);
    }
    mem_free(own);
    return ok;
}

/* Follows entries from `at` on; a bag without open ends becomes shapes. */
static bool flatten(struct expand *x, struct bag *b, uint32_t at, int depth)
{
    struct schemas *s = x->s;
    for (; at < b->n; at++) {
        uint32_t node = b->node[at];
        if (node == NODE_OBJECT || s->node[node].lit) continue;
        const struct json *v = schema_of(s, node);
        if (json_is(v, JSON_BOOL)) {
            if (json_bool(v)) continue;
            return true;                                /* false: this bag is empty */
        }
        if (!json_is(v, JSON_OBJECT))
            return schemas_fail(s, node, ERR_SCHEMA, "",
                                "a schema must be an object, true or false");
        if (!add_ref(x, b, at)) return false;
        const struct json *all = get(s, node, "allOf"), *any = get(s, node, "anyOf");
        if (!is_list(s, node, "allOf", all) || !is_list(s, node, "anyOf", any)) return false;
        for (size_t i = 0; i < json_len(all); i++)
            if (!bag_add(x, b, schemas_node(s, json_at(all, i), node, "allOf", index_name(s, i)),
                         at, "allOf"))
                return false;
        /* relaxed: any of them */
        const struct json *one = s->o->relax ? get(s, node, "oneOf") : NULL;
        if (any && json_is(one, JSON_ARRAY)) {
            /* two lists of alternatives: the second is left to the check */
            schemas_relaxed(s, node, "oneOf");
            one = NULL;
        }
        if (any) return branch(x, b, at, "anyOf", any, depth);
        if (json_is(one, JSON_ARRAY) && json_len(one)) return branch(x, b, at, "oneOf", one, depth);
    }
    return bag_shapes(s, b);
}

bool expand_goal(struct schemas *s, uint32_t goal)
{
    struct grammar *g = s->g;
    struct bag *b = mem_alloc(sizeof *b);
    struct expand x = { .s = s, .goal = goal };
    b->n = 0;
    uint32_t first = g->n_shape;
    bool ok = true;
    for (uint32_t i = 0; i < s->key[goal].n && ok; i++)
        ok = bag_add(&x, b, s->key[goal].node[i], NONE, "");
    ok = ok && flatten(&x, b, 0, 0);
    g->goal[goal].shape = first;
    g->goal[goal].n_shape = g->n_shape - first;
    mem_free(b);
    return ok;
}
