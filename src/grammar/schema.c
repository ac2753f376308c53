/* schema.c -- schema documents become goals.
 *
 * A node is one schema inside a document. A goal is a sorted set of nodes and means their
 * conjunction: that makes allOf, $ref with siblings, and properties that several schemas speak about
 * the same operation, set union. Goals are interned, so recursion closes by itself. expand.c turns a
 * goal into shapes; here is the bookkeeping, the work list, and the question whether a goal can be
 * met at all: a least fixpoint over "some shape has all it needs". What cannot be met is never
 * offered later, which is what keeps the matcher out of dead ends.
 *
 * The JSON is lent while compiling; nothing of it is kept. */
#include <stdlib.h>

#include "grammar/int.h"

void schemas_init(struct schemas *s, struct grammar *g, const struct grammar_opts *o, struct err *e)
{
    *s = (struct schemas){ .g = g, .o = o, .e = e };
    arena_init(&s->tmp, 0);
    s->n_node_slot = s->n_goal_slot = 256;
    s->node_slot = mem_zero(s->n_node_slot * sizeof *s->node_slot);
    s->goal_slot = mem_zero(s->n_goal_slot * sizeof *s->goal_slot);
    MEM_GROW(s->node, s->n_node, s->cap_node);
    s->node[s->n_node++] = (struct node){ .parent = NONE, .kw = "" };  /* NODE_OBJECT */
}

void schemas_done(struct schemas *s)
{
    arena_done(&s->tmp);
    for (uint32_t i = 0; i < s->n_doc; i++) refs_close(s->doc[i].refs);
    mem_free(s->doc);
    mem_free(s->node);
    mem_free(s->key);
    mem_free(s->node_slot);
    mem_free(s->goal_slot);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void pointer_part(struct str *out, struct bytes b)
{
    str_putc(out, '/');
    for (size_t i = 0; i < b.len; i++) {
        if (b.p[i] == '~') str_puts(out, "~0");
        else if (b.p[i] == '/') str_puts(out, "~1");
        else str_putc(out, b.p[i]);
    }
}

static void pointer_of(const struct schemas *s, uint32_t node, struct str *out)
{
    uint32_t chain[256];
    int n = 0;
    for (; node != NONE && node != NODE_OBJECT && n < 256; node = s->node[node].parent) {
        chain[n++] = node;
        /* reached by $ref: named from the root */
        if (s->node[node].kw && *s->node[node].kw == '#') break;
    }
    while (n-- > 0) {
        const struct node *p = &s->node[chain[n]];
        if (p->kw && *p->kw == '#') { str_puts(out, p->kw + 1); continue; }
        if (p->kw && *p->kw) pointer_part(out, (struct bytes){ p->kw, strlen(p->kw) });
        if (p->name.p) pointer_part(out, p->name);
    }
}

static const char *where_of(const struct schemas *s, uint32_t node)
{
    return node == NODE_OBJECT ? "" : s->doc[s->node[node].doc].where;
}

static char *place(struct schemas *s, uint32_t node, const char *kw)
{
    struct str p = { 0 };
    str_puts(&p, where_of(s, node));
    str_puts(&p, ": ");
    pointer_of(s, node, &p);
    if (*kw) pointer_part(&p, (struct bytes){ kw, strlen(kw) });
    if (p.len > 300) { p.len = utf8_whole(p.p, 300); p.p[p.len] = 0; }
    char *out = arena_str(&s->g->mem, p.p, p.len);
    str_done(&p);
    return out;
}

bool schemas_fail(struct schemas *s, uint32_t node, enum err_code c, const char *kw,
                  const char *fmt, ...)
{
    char what[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return err_set(s->e, c, "%s: %s", place(s, node, kw), what);
}

void schemas_relaxed(struct schemas *s, uint32_t node, const char *kw)
{
    struct grammar *g = s->g;
    const char *p = place(s, node, kw);
    for (size_t i = 0; i < g->n_relaxed; i++)
        if (!strcmp(g->relaxed[i], p)) return;
    if (g->n_relaxed >= 1000) return;
    MEM_GROW(g->relaxed, g->n_relaxed, s->cap_relaxed);
    g->relaxed[g->n_relaxed++] = p;
}

/* ---- nodes and goals ------------------------------------------------------------------------- */

static uint32_t node_add(struct schemas *s, struct node n)
{
    if (s->n_node >= MOST_NODE) {
        schemas_fail(s, n.parent == NONE ? NODE_OBJECT : n.parent, ERR_LIMIT, "",
                     "more than %d schemas in one grammar", MOST_NODE);
        return NONE;
    }
    if (s->n_node * 2 >= s->n_node_slot) {
        s->n_node_slot *= 2;
        mem_free(s->node_slot);
        s->node_slot = mem_zero(s->n_node_slot * sizeof *s->node_slot);
        for (uint32_t i = 1; i < s->n_node; i++) {
            uint32_t h = (uint32_t)hash64(&s->node[i].v, sizeof(void *),
                                          s->node[i].doc * 2 + s->node[i].lit) &
                         (s->n_node_slot - 1);
            while (s->node_slot[h]) h = (h + 1) & (s->n_node_slot - 1);
            s->node_slot[h] = i + 1;
        }
    }
    uint32_t h = (uint32_t)hash64(&n.v, sizeof(void *), n.doc * 2 + n.lit) & (s->n_node_slot - 1);
    for (; s->node_slot[h]; h = (h + 1) & (s->n_node_slot - 1)) {
        const struct node *p = &s->node[s->node_slot[h] - 1];
        if (p->v == n.v && p->doc == n.doc && p->lit == n.lit) return s->node_slot[h] - 1;
    }
    MEM_GROW(s->node, s->n_node, s->cap_node);
    s->node[s->n_node] = n;
    s->node_slot[h] = s->n_node + 1;
    return s->n_node++;
}

uint32_t schemas_node(struct schemas *s, const struct json *v, uint32_t parent, const char *kw,
                      struct bytes name)
{
    return node_add(
        s, (struct node){
               .v = v, .doc = s->node[parent].doc, .parent = parent, .kw = kw, .name = name });
}

uint32_t schemas_literal(struct schemas *s, const struct json *v, uint32_t parent)
{
    return node_add(s, (struct node){
                           .v = v, .doc = s->node[parent].doc, .parent = parent, .lit = true });
}

static int id_cmp(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void goal_rehash(struct schemas *s)
{
    s->n_goal_slot *= 2;
    mem_free(s->goal_slot);
    s->goal_slot = mem_zero(s->n_goal_slot * sizeof *s->goal_slot);
    for (uint32_t i = 0; i < s->g->n_goal; i++) {
        uint32_t h = (uint32_t)hash64(s->key[i].node, s->key[i].n * sizeof(uint32_t), 3) &
                     (s->n_goal_slot - 1);
        while (s->goal_slot[h]) h = (h + 1) & (s->n_goal_slot - 1);
        s->goal_slot[h] = i + 1;
    }
}

uint32_t schemas_goal(struct schemas *s, const uint32_t *node, uint32_t n)
{
    struct grammar *g = s->g;
    size_t mark = arena_mark(&s->tmp);
    uint32_t *list = arena_alloc(&s->tmp, (n + 1) * sizeof *list), k = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (node[i] == NONE) return NONE;
        list[i] = node[i];
    }
    qsort(list, n, sizeof *list, id_cmp);
    for (uint32_t i = 0; i < n; i++)
        if (!i || list[i] != list[i - 1]) list[k++] = list[i];
    if (g->n_goal * 2 >= s->n_goal_slot) goal_rehash(s);
    uint32_t h = (uint32_t)hash64(list, k * sizeof *list, 3) & (s->n_goal_slot - 1);
    for (; s->goal_slot[h]; h = (h + 1) & (s->n_goal_slot - 1)) {
        uint32_t i = s->goal_slot[h] - 1;
        if (s->key[i].n == k && !memcmp(s->key[i].node, list, k * sizeof *list)) {
            arena_reset(&s->tmp, mark);
            return i;
        }
    }
    if (g->n_goal >= MOST_GOAL) {
        schemas_fail(s, k ? list[0] : NODE_OBJECT, ERR_LIMIT, "",
                     "more than %d combinations of schemas", MOST_GOAL);
        return NONE;
    }
    MEM_GROW(g->goal, g->n_goal, s->cap_goal);
    MEM_GROW(s->key, g->n_goal, s->cap_key);
    g->goal[g->n_goal] = (struct goal){ 0 };
    s->key[g->n_goal] = (struct goal_key){ list, k };
    s->goal_slot[h] = g->n_goal + 1;
    return g->n_goal++;
}

uint32_t schemas_root(struct schemas *s, const struct json *schema, const char *where, bool objects)
{
    uint32_t node[2], n = 0;
    if (schema) {
        struct refs *r = refs_open(schema, s->o, s->e);
        if (!r) { err_in(s->e, "%s", where); return NONE; }
        MEM_GROW(s->doc, s->n_doc, s->cap_doc);
        s->doc[s->n_doc++] = (struct doc){ schema, r, refs_res(r, 0)->draft, arena_str(&s->g->mem, where, strlen(where)) };
        node[n++] =
            node_add(s,
                     (struct node){ .v = schema, .doc = s->n_doc - 1, .parent = NONE, .kw = "" });
    }
    if (objects) node[n++] = NODE_OBJECT;
    return schemas_goal(s, node, n);
}

/* ---- what can be met ------------------------------------------------------------------------- */

static bool goal_ok(const struct grammar *g, uint32_t goal, uint16_t *height)
{
    const struct goal *p = &g->goal[goal];
    if (p->ok) *height = MAX(*height, p->height);
    return p->ok;
}

static bool arr_ok(const struct grammar *g, const struct arr *a, uint16_t *height)
{
    if (a->min > a->max) return false;
    for (uint32_t i = 0; i < MIN(a->min, a->n_prefix); i++)
        if (!goal_ok(g, a->prefix[i], height)) return false;
    return a->min <= a->n_prefix || (a->rest != NONE && goal_ok(g, a->rest, height));
}

static bool obj_ok(const struct grammar *g, const struct obj *o, uint16_t *height)
{
    for (uint32_t i = o->next_req[0]; i != NONE; i = o->next_req[i + 1])
        if (!goal_ok(g, o->key[i].goal, height)) return false;
    return true;
}

/* One look at a shape; true if it got better. */
static bool shape_update(const struct grammar *g, struct shape *p, uint16_t deepest)
{
    uint16_t height = 0;
    bool ok = true;
    switch (p->kind) {
    case SH_ARR: ok = arr_ok(g, p->arr, &height); height++; break;
    case SH_OBJ: ok = obj_ok(g, p->obj, &height); height++; break;
    case SH_STR: ok = p->str.min <= p->str.max; break;
    case SH_NUM: ok = p->ok; break;
    default: break;
    }
    if (!ok || height > deepest || (p->ok && p->height <= height)) return false;
    p->ok = true;
    p->height = height;
    return true;
}

static bool goal_update(struct grammar *g, struct goal *p, uint16_t deepest)
{
    bool better = false;
    for (uint32_t i = p->shape; i < p->shape + p->n_shape; i++) {
        struct shape *sh = &g->shape[i];
        better |= shape_update(g, sh, deepest);
        if (sh->ok && (!p->ok || sh->height < p->height)) {
            p->ok = better = true;
            p->height = sh->height;
        }
    }
    return better;
}

bool schemas_finish(struct schemas *s)
{
    struct grammar *g = s->g;
    for (; s->done < g->n_goal; s->done++)
        if (!expand_goal(s, s->done)) return false;
    uint16_t deepest = g->validate ? MOST_DEPTH_VALIDATE : MOST_DEPTH;
    bool better = true;
    for (int pass = 0; better; pass++) {  /* children come after parents: backwards is fast */
        if (pass > 2000)
            return schemas_fail(s, NODE_OBJECT, ERR_LIMIT, "",
                                "schemas refer to each other too deeply");
        better = false;
        for (uint32_t i = g->n_goal; i-- > 0; ) better |= goal_update(g, &g->goal[i], deepest);
    }
    return true;
}

/* The innermost required part that nothing can meet. */
static uint32_t blame(const struct schemas *s, uint32_t goal)
{
    const struct grammar *g = s->g;
    for (int depth = 0; depth < 64; depth++) {
        const struct goal *p = &g->goal[goal];
        if (p->n_shape != 1 || g->shape[p->shape].kind != SH_OBJ) return goal;
        const struct shape *sh = &g->shape[p->shape];
        uint32_t i = sh->obj->next_req[0];
        while (i != NONE && g->goal[sh->obj->key[i].goal].ok) i = sh->obj->next_req[i + 1];
        if (i == NONE) return goal;
        goal = sh->obj->key[i].goal;
    }
    return goal;
}

bool schemas_satisfiable(struct schemas *s, uint32_t goal)
{
    if (s->g->goal[goal].ok) return true;
    uint32_t at = blame(s, goal), node = NODE_OBJECT;
    for (uint32_t i = 0; i < s->key[at].n; i++)
        if (s->key[at].node[i] != NODE_OBJECT) { node = s->key[at].node[i]; break; }
    return schemas_fail(s, node, ERR_SCHEMA, "",
                        "no value satisfies this schema (nested at most %d deep)", MOST_DEPTH);
}
