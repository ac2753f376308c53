/* shape_literal.c -- enum and const: their values, each judged by itself, become shapes.
 *
 * A goal that holds a list of values needs no automaton for whatever stands beside the list: every
 * value is judged against the whole goal by check.c, and what remains is one trie of texts, one of
 * numbers, and a shape for each array and object, whose members are goals of one value each. */
#include "grammar/int.h"

static const char too_long[] = "literal texts of more than 2097152 bytes";

static bool make_trie(struct expand *x, uint32_t node, struct shape *sh, const struct bytes *text,
                      uint32_t n)
{
    struct grammar *g = x->g;
    sh->lit = arena_small(&g->mem, sizeof *sh->lit);
    if (!trie_build(sh->lit, &g->mem, text, n, &g->s.n_trie_node))
        return schemas_fail(g, x->e, node, ERR_LIMIT, "enum", "%s", too_long);
    sh->lit->id_cost = g->n_lit++;
    return true;
}

static bool strings(struct expand *x, uint32_t node, const struct json **v, uint32_t n)
{
    struct grammar *g = x->g;
    struct shape *sh = shape_add(x, SH_STRLIT);
    if (!sh) return false;
    struct bytes *text = arena_small(&g->mem, (n + 1) * sizeof *text);
    for (uint32_t i = 0; i < n; i++) {
        size_t len;
        const char *p = json_str(v[i], &len);
        text[i] = (struct bytes){ arena_str(&g->mem, p, len), len };
    }
    return make_trie(x, node, sh, text, n);
}

/* The integer that 1.0 or 2e3 is, written plainly; length 0 if it is none or too long. */
static struct bytes plain_integer(struct grammar *g, const char *text, size_t len)
{
    struct dec d = dec_read(&g->mem, text, len);
    if (!dec_is_int(&d) || d.point > 30) return (struct bytes){ 0 };
    char *out = arena_small(&g->mem, 40);
    size_t n = 0;
    if (d.neg) out[n++] = '-';
    for (int64_t i = 0; i < MAX(d.point, 1); i++) out[n++] = i < d.n ? d.digit[i] : '0';
    return (struct bytes){ out, n };
}

/* Generating: the spellings as written, and plain integers. Validating: the values. */
static bool numbers(struct expand *x, uint32_t node, const struct json **v, uint32_t n)
{
    struct grammar *g = x->g;
    struct shape *sh = shape_add(x, g->o.validate ? SH_NUM : SH_NUMLIT);
    if (!sh) return false;
    struct bytes *text = arena_small(&g->mem, (n * 2 + 1) * sizeof *text);
    struct dec *set = arena_small(&g->mem, (n + 1) * sizeof *set);
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
    if (!g->o.validate) return make_trie(x, node, sh, text, k);
    sh->num = arena_small(&g->mem, sizeof *sh->num);
    sh->num->set = set;
    sh->num->n_set = n;
    return true;
}

/* Shapes for a list of values: one trie for the texts, one for the numbers, one shape for each other. */
static bool shapes_of(struct expand *x, uint32_t node, const struct json **v, uint32_t n)
{
    const struct json **some = arena_small(x->tmp, (n + 1) * sizeof *some);
    uint32_t n_str = 0, n_num = 0;
    int had = 0;
    for (uint32_t i = 0; i < n; i++)
        if (type_of(v[i]) == T_STR) some[n_str++] = v[i];
    if (n_str && !strings(x, node, some, n_str)) return false;
    for (uint32_t i = 0; i < n; i++)
        if (type_of(v[i]) == T_NUM) some[n_num++] = v[i];
    if (n_num && !numbers(x, node, some, n_num)) return false;
    for (uint32_t i = 0; i < n; i++) {
        int t = type_of(v[i]);
        if (t == T_OBJ && !literal_object(x, v[i], node)) return false;
        if (t == T_ARR && !literal_array(x, v[i], node)) return false;
        if (t & (T_NULL | T_BOOL) && !(had & t) &&
            !shape_add(x, t == T_NULL ? SH_NULL : t == T_TRUE ? SH_TRUE : SH_FALSE))
            return false;
        had |= t;
    }
    return true;
}

bool literal_object(struct expand *x, const struct json *v, uint32_t node)
{
    struct grammar *g = x->g;
    struct obj *o = arena_small(&g->mem, sizeof *o);
    o->max = NONE;
    o->key = arena_small(&g->mem, (json_len(v) + 1) * sizeof *o->key);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        uint32_t lit = schemas_literal(g, it.value, node), ref = lit * 2;
        struct okey *k = &o->key[o->n_key++];
        *k = (struct okey){ .name = { arena_str(&g->mem, it.key, it.key_len), it.key_len }, .req = true };
        k->alts.alt = arena_small(&g->mem, sizeof *k->alts.alt);
        k->alts.n = 1;
        if (lit == NONE || (k->alts.alt->goal = expand_goal_of(x, &ref, 1)) == NONE) return false;
    }
    struct shape *sh = shape_add(x, SH_OBJ);
    if (sh) sh->obj = o;
    return sh && obj_finish(x, node, o);
}

bool literal_array(struct expand *x, const struct json *v, uint32_t node)
{
    struct grammar *g = x->g;
    struct arr *a = arena_small(&g->mem, sizeof *a);
    a->n_prefix = a->min = a->max = (uint32_t)json_len(v);
    a->prefix = arena_small(&g->mem, (a->n_prefix + 1) * sizeof *a->prefix);
    for (uint32_t i = 0; i < a->n_prefix; i++) {
        uint32_t lit = schemas_literal(g, json_at(v, i), node), ref = lit * 2;
        a->prefix[i].alt = arena_small(&g->mem, sizeof *a->prefix[i].alt);
        a->prefix[i].n = 1;
        if (lit == NONE || (a->prefix[i].alt->goal = expand_goal_of(x, &ref, 1)) == NONE) return false;
    }
    struct shape *sh = shape_add(x, SH_ARR);
    if (sh) sh->arr = a;
    return sh != NULL;
}

/* ---- judging --------------------------------------------------------------------------------- */

bool literal_meets(struct expand *x, uint32_t ref, const struct json *v, bool *ok)
{
    const struct node *n = node_at(x->g, ref / 2);
    if (ref / 2 == NODE_ANY_OBJECT) *ok = type_of(v) == T_OBJ;
    else if (n->kind == NODE_LITERAL) *ok = json_equal(n->v, v);
    else if (n->kind == NODE_TRUE || n->kind == NODE_FALSE) *ok = n->kind == NODE_TRUE;
    else if (!scalar_meets(x->g, ref / 2, v, ok)) {
        struct err why = { 0 };
        struct spot at = { n->v, n->res };
        *ok = check_spot(x->g->s.doc[n->doc].refs, at, v, &x->g->o, false, &why);
        if (!*ok && (why.code == ERR_UNSUPPORTED || why.code == ERR_SCHEMA || why.code == ERR_LIMIT))
            return schemas_fail(x->g, x->e, ref / 2, why.code, "", "%.200s", why.msg);
    }
    if (ref & 1) *ok = !*ok;
    return true;
}

static bool judge(struct expand *x, const struct json *v, bool *ok)
{
    const struct goal *p = goal_at(x->g, x->goal);
    *ok = true;
    for (uint32_t i = 0; i < p->n_key && *ok; i++)
        if (!literal_meets(x, p->key[i], v, ok)) return false;
    return true;
}

/* Schemas that a value can be held against in passing: types, lengths of texts, references, other lists. The choices of
 * a bag that is open to its end have become schemas of their own. */
static bool is_simple(const struct expand *x, const struct node *n)
{
    bool types = (n->types & T_NUM) != T_INT && (n->types & T_NUM) != T_FRAC;
    bool in = !x->lenient || !n->in || (!n->in->n_any && !n->in->n_one && n->in->no == NONE && n->in->cond == NONE);
    return n->kind == NODE_READ && types && in && !n->num && !n->arr && !n->obj &&
           !(n->str && (n->str->pattern.p || n->str->format.p));
}

static bool all_simple(const struct expand *x, const struct bag *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t id = b->item[i].ref / 2;
        if (b->item[i].ref & 1 || (id != NODE_ANY_OBJECT && !is_simple(x, node_at(x->g, id)))) return false;
    }
    return !b->n_atom && !b->n_todo;
}

static uint32_t n_lists(const struct expand *x, const struct bag *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n; i++) n += node_at(x->g, b->item[i].ref / 2)->lits != NULL;
    return n;
}

static bool meets_simply(const struct expand *x, const struct bag *b, const struct json *v)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const struct node *n = node_at(x->g, b->item[i].ref / 2);
        if (!(n->types & type_of(v))) return false;
        if (n->str && type_of(v) == T_STR) {
            size_t len, points = 0;
            const char *p = json_str(v, &len);
            for (size_t k = 0; k < len; k++) points += ((uint8_t)p[k] & 0xc0) != 0x80;
            if (points < n->str->min || points > n->str->max) return false;
        }
    }
    return true;
}

static bool by_list(struct expand *x, const struct bag *b, uint32_t id)
{
    const struct node *n = node_at(x->g, id);
    bool easy = n_lists(x, b) == 1 && all_simple(x, b) && !x->names;
    uint32_t count = n->is_const ? 1 : (uint32_t)json_len(n->lits), k = 0;
    int types = n->types;
    const struct json *lits = n->lits, **keep = arena_small(x->tmp, (count + 1) * sizeof *keep);
    bool one = n->is_const;
    for (uint32_t i = 0; i < count; i++) {
        const struct json *v = one ? lits : json_at(lits, i);
        bool ok = (type_of(v) & types) != 0;
        if (ok && easy) ok = meets_simply(x, b, v);
        else if (ok && !judge(x, v, &ok)) return false;
        if (ok) keep[k++] = v;
    }
    for (uint32_t i = 0; x->names && i < k; i++) {
        size_t len;
        const char *p = json_str(keep[i], &len);
        if (!p) continue;
        MEM_GROW(x->names->lit, x->names->n_lit, x->names->cap_lit);
        x->names->lit[x->names->n_lit++] = (struct bytes){ arena_str(&x->g->mem, p, len), len };
    }
    return x->names || shapes_of(x, id, keep, k);
}

bool bag_literals(struct expand *x, const struct bag *b, bool *had)
{
    *had = false;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t id = b->item[i].ref / 2;
        const struct node *n = node_at(x->g, id);
        if (b->item[i].ref & 1 || (n->kind != NODE_LITERAL && !n->lits)) continue;
        *had = true;
        if (n->kind != NODE_LITERAL) return by_list(x, b, id);
        const struct json *v = n->v;
        bool ok;
        if (!judge(x, v, &ok)) return false;
        return !ok || shapes_of(x, id, &v, 1);
    }
    return true;
}
