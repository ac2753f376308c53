/* compile.c -- grammar_compile: schemas, names and envelope text become one grammar.
 *
 * Order: the schemas are read (the envelope refers to their goals), then the envelope, then what is
 * never to be found out in the middle of an answer: whether each schema can be met, whether required
 * keys can be written as keyword arguments where that is asked for. Schemas made of keywords whose
 * expansion cannot fail are expanded when a matcher first needs them; where a limit or something that
 * cannot be enforced might hide (oneOf, not, patterns of keys, …), everything is expanded at once, so that
 * the refusal comes now and names its place. */
#include <stdlib.h>

#include "grammar/int.h"

static uint64_t next_id;
static pthread_mutex_t id_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- spelling -------------------------------------------------------------------------------- */

static bool sep_set(struct grammar *g, const char **out, uint32_t *n, const char *text, char mark,
                    const char *what, struct err *e)
{
    size_t len = strlen(text);
    bool ok =
        len <= 16 && strchr(text, mark) && strspn(text, mark == ',' ? " \t\n," : " \t\n:") == len;
    for (const char *p = ok ? strchr(text, mark) + 1 : ""; *p; p++) ok &= *p != mark;
    if (!ok)
        return err_set(e, ERR_ARG,
                       "%s \"%.20s\": must be one '%c' with blanks around it, at most 16 bytes",
                       what, text, mark);
    *out = arena_str(&g->mem, text, len);
    *n = (uint32_t)len;
    return true;
}

static bool spell_set(struct grammar *g, const struct grammar_opts *o, struct err *e)
{
    struct spell *s = &g->spell;
    *s = (struct spell){ .item = { ",", ", " }, .n_item = { 1, 2 }, .key = { ":", ": " }, .n_key = { 1, 2 } };
    if (o->item_sep && !sep_set(g, &s->item[1], &s->n_item[1], o->item_sep, ',', "item separator", e)) return false;
    if (o->key_sep && !sep_set(g, &s->key[1], &s->n_key[1], o->key_sep, ':', "key separator", e)) return false;
    s->flexible = o->validate || o->spelling == SPELL_FLEXIBLE;
    s->first = s->flexible || o->spelling == SPELL_COMPACT ? STYLE_COMPACT
               : o->spelling == SPELL_FIXED                ? STYLE_OWN
                                                           : STYLE_OPEN;
    return true;
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool names_set(struct grammar *g, const struct grammar_pair *pair, int n, struct err *e)
{
    uint32_t used = 0;
    g->n_pair = (uint32_t)n;
    for (int k = 0; k < 2; k++)
        g->pair_name[k] = arena_alloc(&g->mem, ((size_t)n + 1) * sizeof **g->pair_name);
    for (int i = 0; i < n; i++) {
        const char *name = pair[i].name;
        if (!name || !*name) return err_set(e, ERR_ARG, "pair %d has no name", i);
        if (!utf8_valid(name, strlen(name)) || strlen(name) > 4096)
            return err_set(e, ERR_ARG, "pair %d: the name must be UTF-8 of at most 4096 bytes", i);
        struct str json = { 0 };
        json_write_str(&json, name, strlen(name));
        g->pair_name[0][i] = (struct bytes){ arena_str(&g->mem, name, strlen(name)), strlen(name) };
        g->pair_name[1][i] =
            (struct bytes){ arena_str(&g->mem, json.p + 1, json.len - 2), json.len - 2 };
        str_done(&json);
    }
    for (int k = 0; k < 2; k++)
        if (!trie_build(&g->name[k], &g->mem, g->pair_name[k], g->n_pair, &used))
            return err_set(e, ERR_LIMIT, "names too long");
    if (g->name[0].n_str == g->n_pair) return true;
    for (uint32_t i = 0; i < g->n_pair; i++)
        for (uint32_t j = 0; j < i; j++)
            if (!strcmp(g->pair_name[0][i].p, g->pair_name[0][j].p))
                return err_set(e, ERR_ARG, "two tools are called %.80s", g->pair_name[0][i].p);
    return true;
}

/* ---- schemas --------------------------------------------------------------------------------- */

/* Keyword arguments: required keys must be names; the others are simply not offered. */
static bool check_args(struct grammar *g, uint32_t goal, const char *where, struct err *e)
{
    bool object = false;
    if (!goal_expand(g, goal, e)) return false;
    const struct goal *p = goal_at(g, goal);
    for (uint32_t i = 0; i < p->n_shape; i++) {
        if (p->shape[i].kind != SH_OBJ) continue;
        object = true;
        const struct obj *o = p->shape[i].obj;
        for (uint32_t k = o->next_req[0]; k != NONE; k = o->next_req[k + 1])
            if (!key_is_ident(o->key[k].name))
                return err_set(e, ERR_UNSUPPORTED,
                               "%s: /properties/%.80s: cannot be written as a keyword argument; a "
                               "name begins with a letter "
                               "or _ and goes on with letters, digits, _ - .",
                               where, o->key[k].name.p);
    }
    return object || err_set(e, ERR_SCHEMA, "%s: arguments must be an object", where);
}

/* Which pairs and slots stand in argument position. */
static bool check_surfaces(struct grammar *g, const char *const *where, const uint32_t *slot_goal,
                           int n_schema, struct err *e)
{
    bool value_args = false;
    for (uint32_t i = 0; i < g->n_op; i++) {
        const struct op *o = &g->op[i];
        if (o->a != SURF_ARGS) continue;
        if (o->kind == OP_VALUE) value_args = true;
        for (int k = 0; o->kind == OP_SLOT && k < n_schema; k++)
            if (slot_goal[k] == o->b && !check_args(g, o->b, where[g->n_pair + (uint32_t)k], e))
                return false;
    }
    for (uint32_t i = 0; value_args && i < g->n_pair; i++)
        if (!check_args(g, g->pair_goal[i], where[i], e)) return false;
    return true;
}

/* Nodes of all documents; `where` names each in messages. */
static bool read_schemas(struct grammar *g, const struct grammar_pair *pair, int n_pair,
                         const struct json *const *schema, int n_schema, const char **where,
                         uint32_t *node, struct err *e)
{
    for (int i = 0; i < n_pair; i++) {
        where[i] = arena_fmt(&g->mem, "tool %.80s", pair[i].name);
        node[i] = NODE_ANY_OBJECT;
        if (pair[i].schema && (node[i] = schemas_document(g, pair[i].schema, where[i], e)) == NONE) return false;
    }
    for (int i = n_pair; i < n_pair + n_schema; i++) {
        where[i] = n_schema == 1 ? "schema" : arena_fmt(&g->mem, "schema %d", i - n_pair);
        if ((node[i] = schemas_document(g, schema[i - n_pair], where[i], e)) == NONE) return false;
    }
    return schemas_read(g, e);
}

static bool build(struct grammar *g, enum syntax syntax, const char *envelope, const struct grammar_pair *pair, int n_pair,
                  const struct json *const *schema, int n_schema, struct err *e)
{
    size_t n = (size_t)(n_pair + n_schema);
    uint32_t *goal = arena_alloc(&g->mem, (n + 1) * sizeof *goal), *node = arena_alloc(&g->mem, (n + 1) * sizeof *node);
    const char **where = arena_alloc(&g->mem, (n + 1) * sizeof *where);
    g->pair_goal = goal;
    if (!read_schemas(g, pair, n_pair, schema, n_schema, where, node, e)) return false;
    for (size_t i = 0; i < n; i++) {
        uint32_t key[2] = { node[i] * 2, NODE_ANY_OBJECT * 2 };       /* the value of a pair is an object */
        if ((goal[i] = goal_of(g, key, i < (size_t)n_pair ? 2 : 1, e)) == NONE) return err_in(e, "%s", where[i]);
    }
    if (!goal_heavy_open(g, goal, (uint32_t)n, e)) return false;
    for (size_t i = 0; i < n; i++)                      /* what nothing satisfies validates nothing, but beyond a limit is beyond it */
        if (g->o.validate ? !goal_expand(g, goal[i], e) : !goal_satisfiable(g, goal[i], e)) return false;
    if (syntax == SYNTAX_VALUE) {
        envelope_of_value(g, goal[n_pair]);
        return true;
    }
    return envelope_parse(g, syntax, envelope, (uint32_t)n_schema, goal + n_pair, e) &&
           check_surfaces(g, where, goal + n_pair, n_schema, e);
}

void lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);           /* solving expands, expanding solves */
    pthread_mutex_init(lock, &a);
    pthread_mutexattr_destroy(&a);
}

static void keep_opts(struct grammar *g, const struct grammar_opts *o)
{
    g->o = *o;
    g->o.item_sep = g->o.key_sep = NULL;                /* only spell_set() looks at them */
    if (o->draft) g->o.draft = arena_str(&g->mem, o->draft, strlen(o->draft));
    if (o->remotes) g->o.remotes = arena_str(&g->mem, o->remotes, strlen(o->remotes));
    if (o->validate) g->o.declared_order = false;
}

static struct grammar *compile(enum syntax syntax, const char *envelope, const struct grammar_pair *pair, int n_pair,
                               const struct json *const *schema, int n_schema, const struct grammar_opts *o, struct err *e)
{
    static const struct grammar_opts none;
    struct err own = { 0 };
    struct grammar *g = mem_zero(sizeof *g);
    arena_init(&g->mem, 8192);
    lock_init(&g->lock);
    pthread_mutex_lock(&id_lock);
    g->id = ++next_id;
    pthread_mutex_unlock(&id_lock);
    if (!o) o = &none;
    keep_opts(g, o);
    schemas_init(g);
    struct arena scratch;
    scratch_begin(g, &scratch);
    bool ok = spell_set(g, o, &own) && names_set(g, pair, n_pair, &own) &&
              build(g, syntax, envelope, pair, n_pair, schema, n_schema, &own);
    scratch_end(g, &scratch);
    if (ok) return g;
    err_set(e, own.code, "%s", own.msg);
    grammar_free(g);
    return NULL;
}

struct grammar *grammar_compile(const char *envelope, const struct grammar_pair *pair, int n_pair,
                                const struct json *const *schema, int n_schema,
                                const struct grammar_opts *o, struct err *e)
{
    return compile(SYNTAX_ENVELOPE, envelope, pair, n_pair, schema, n_schema, o, e);
}

struct grammar *grammar_of_gbnf(const char *text, const struct grammar_opts *o, struct err *e)
{
    return compile(SYNTAX_GBNF, text, NULL, 0, NULL, 0, o, e);
}

struct grammar *grammar_of_regex(const char *pattern, const struct grammar_opts *o, struct err *e)
{
    return compile(SYNTAX_REGEX, pattern, NULL, 0, NULL, 0, o, e);
}

struct grammar *grammar_of_schema(const struct json *schema, const struct grammar_opts *o,
                                  struct err *e)
{
    return compile(SYNTAX_VALUE, NULL, NULL, 0, &schema, 1, o, e);
}

void grammar_free(struct grammar *g)
{
    if (!g) return;
    for (struct bind *b = g->bind, *next; b; b = next) {
        next = b->next;
        bind_free(b);
    }
    mem_free(g->op);
    mem_free(g->text);
    mem_free(g->cls);
    mem_free(g->special);
    mem_free(g->trig);
    mem_free(g->chars);
    for (uint32_t i = 0; i < g->n_re; i++) dfa_close(g->re[i]);
    mem_free(g->re);
    schemas_done(g);
    for (size_t i = 0; i < LEN(g->goal_chunk); i++) mem_free(g->goal_chunk[i]);
    mem_free(g->relaxed);
    pthread_mutex_destroy(&g->lock);
    arena_done(&g->mem);
    mem_free(g);
}

static int by_pointer(const void *a, const void *b)
{
    const struct dfa *const *x = a, *const *y = b;
    return (*x > *y) - (*x < *y);
}

/* Automata are shared: each counts once. */
static size_t automata_bytes(const struct schemas *s)
{
    size_t n = 0;
    struct dfa **all = mem_alloc((s->n_dfa + 1) * sizeof *all);
    for (uint32_t i = 0; i < s->n_dfa; i++) all[i] = s->dfa[i];
    qsort(all, s->n_dfa, sizeof *all, by_pointer);
    for (uint32_t i = 0; i < s->n_dfa; i++)
        if (!i || all[i] != all[i - 1]) n += dfa_bytes(all[i]);
    mem_free(all);
    return n;
}

size_t grammar_bytes(const struct grammar *g)
{
    const struct schemas *s = &g->s;
    size_t n = sizeof *g + arena_bytes(&g->mem) + s->cap_chunk * sizeof *s->chunk + s->n_node_slot * sizeof *s->node_slot +
               s->n_goal_slot * sizeof *s->goal_slot + g->n_op * sizeof *g->op;
    for (size_t i = 0; i < LEN(g->goal_chunk); i++) n += g->goal_chunk[i] ? ((size_t)GOAL_FIRST << i) * sizeof(struct goal) : 0;
    n += automata_bytes(s);
    for (const struct bind *b = g->bind; b; b = b->next) n += bind_bytes(b);
    return n;
}

size_t grammar_n_relaxed(const struct grammar *g)
{
    return g->n_relaxed;
}

const char *grammar_relaxed(const struct grammar *g, size_t i)
{
    return i < g->n_relaxed ? g->relaxed[i] : NULL;
}
