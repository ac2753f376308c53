/* jinja_expr.c -- expressions: tokens become nodes, by recursive descent, one function a level.
 *
 *     condition  a if b else c            comparison  == != < <= > >= in, not in (chained as in Python)
 *     or, and, not                        sum, ~, product, **
 *     sign, primary, postfix              .name .0 [item] [from:to:step] (arguments)
 *     filter, test                        |name(arguments)   is [not] name argument
 *
 * The order binds as Jinja's does, which is not always Python's: a filter binds tighter than a sign's
 * operand ends (-x|abs is (-x)|abs), ** goes from the left, ~ stands between sums and products. */
#include "text/jinja_int.h"

#define DEPTH_MOST 150

static struct node *parse_or(struct compile *c);
static struct node *parse_unary(struct compile *c, bool filters);

static bool enter_level(struct compile *c)
{
    if (c->depth >= DEPTH_MOST)
        return compile_fail(c, tok_now(c)->pos, "expressions are nested deeper than %d", DEPTH_MOST);
    c->depth++;
    return true;
}

/* ---- tuples and targets ---------------------------------------------------------------------- */

static bool tuple_ends(const struct compile *c, const char *end)
{
    const struct tok *t = tok_now(c);
    return t->type == T_PRINT_END || t->type == T_BLOCK_END || tok_is_op(t, ')') || (end && tok_is_name(t, end));
}

static struct node *parse_primary(struct compile *c, bool attr);

/* one(c): an element. */
static struct node *tuple_of(struct compile *c, struct node *(*one)(struct compile *c, bool flag), bool flag, bool parens,
                             const char *end)
{
    uint32_t pos = tok_now(c)->pos;
    struct list l = { 0 };
    bool is_tuple = false;
    while (!tuple_ends(c, end)) {
        struct node *n = one(c, flag);
        if (!n || !list_add(c, &l, n)) return NULL;
        if (!tok_skip_op(c, ',')) break;
        is_tuple = true;
    }
    if (!is_tuple && l.n) return l.v[0];
    if (!is_tuple && !parens) {
        char got[80];
        tok_tell(tok_now(c), got, sizeof got);
        compile_fail(c, tok_now(c)->pos, "expected an expression, got %s", got);
        return NULL;
    }
    struct node *n = new_node(c, N_TUPLE, pos);
    n->kids = l;
    return n;
}

struct node *parse_tuple(struct compile *c, bool cond, bool parens, const char *end)
{
    return tuple_of(c, parse_expression, cond, parens, end);
}

static bool can_assign(struct compile *c, const struct node *n)
{
    if (n->op == N_NAME || n->op == N_SETATTR) return true;
    if (n->op != N_TUPLE || !n->kids.n)
        return compile_fail(c, n->pos, "cannot be assigned to; a name, a tuple of names%s is accepted", " or ns.name of a namespace");
    for (uint32_t i = 0; i < n->kids.n; i++)
        if (!can_assign(c, n->kids.v[i])) return false;
    return true;
}

struct node *parse_target(struct compile *c, const char *end, bool attr)
{
    struct node *n = tuple_of(c, parse_primary, attr, false, end);
    return n && can_assign(c, n) ? n : NULL;
}

bool parse_signature(struct compile *c, struct signature *s)
{
    if (!tok_expect_op(c, '(', "(")) return false;
    while (!tok_skip_op(c, ')')) {
        if (s->names.n && !tok_expect_op(c, ',', ", or )")) return false;
        const struct tok *t = tok_now(c);
        if (t->type != T_NAME) return compile_fail(c, t->pos, "expected the name of a parameter");
        struct node *n = new_node(c, N_NAME, t->pos);
        n->id = jinja_intern(c, (struct bytes){ t->v.u.s, t->v.len });
        n->k = t->v;
        c->at++;
        if (!list_add(c, &s->names, n)) return false;
        if (tok_skip_op(c, '=')) {
            struct node *v = parse_expression(c, true);
            if (!v || !list_add(c, &s->defaults, v)) return false;
        } else if (s->defaults.n) {
            return compile_fail(c, n->pos, "a parameter without default follows one with a default");
        }
    }
    return true;
}

/* ---- literals and names ---------------------------------------------------------------------- */

static struct node *constant(struct compile *c, uint32_t pos, struct val v)
{
    struct node *n = new_node(c, N_CONST, pos);
    n->k = v;
    return n;
}

/* Strings that touch are one. */
static struct node *strings(struct compile *c)
{
    const struct tok *first = tok_now(c);
    struct val v = first->v;
    c->at++;
    for (; tok_now(c)->type == T_STRING; c->at++) {
        const struct tok *t = tok_now(c);
        char *both = arena_alloc(&c->j->mem, v.len + t->v.len + 1);
        memcpy(both, v.u.s, v.len);
        memcpy(both + v.len, t->v.u.s, t->v.len);
        v = of_bytes(both, v.len + t->v.len, OURS);
    }
    return constant(c, first->pos, v);
}

static struct node *name_or_word(struct compile *c, bool attr)
{
    const struct tok *t = tok_now(c);
    c->at++;
    if (tok_is_name(t, "true") || tok_is_name(t, "True")) return constant(c, t->pos, of_bool(true));
    if (tok_is_name(t, "false") || tok_is_name(t, "False")) return constant(c, t->pos, of_bool(false));
    if (tok_is_name(t, "none") || tok_is_name(t, "None")) return constant(c, t->pos, NONE);
    struct node *n = new_node(c, N_NAME, t->pos);
    n->id = jinja_intern(c, (struct bytes){ t->v.u.s, t->v.len });
    n->k = t->v;
    c->n_caller += tok_is_name(t, "caller");
    c->n_kwargs += tok_is_name(t, "kwargs");
    c->n_varargs += tok_is_name(t, "varargs");
    if (!attr || !tok_is_op(tok_now(c), '.')) return n;
    struct node *ref = new_node(c, N_SETATTR, t->pos);
    c->at++;
    if (tok_now(c)->type != T_NAME) {
        compile_fail(c, tok_now(c)->pos, "expected the name of an attribute");
        return NULL;
    }
    ref->a = n;
    ref->k = tok_now(c)->v;
    c->at++;
    return ref;
}

static struct node *list_literal(struct compile *c)
{
    struct node *n = new_node(c, N_LIST, tok_now(c)->pos);
    c->at++;
    while (!tok_skip_op(c, ']')) {
        if (n->kids.n && !tok_expect_op(c, ',', ", or ]")) return NULL;
        if (tok_skip_op(c, ']')) break;
        struct node *v = parse_expression(c, true);
        if (!v || !list_add(c, &n->kids, v)) return NULL;
    }
    return n;
}

static struct node *dict_literal(struct compile *c)
{
    struct node *n = new_node(c, N_DICT, tok_now(c)->pos);
    c->at++;
    while (!tok_skip_op(c, '}')) {
        if (n->kids.n && !tok_expect_op(c, ',', ", or }")) return NULL;
        if (tok_skip_op(c, '}')) break;
        struct node *k = parse_expression(c, true), *v = NULL;
        if (k && tok_expect_op(c, ':', ":")) v = parse_expression(c, true);
        if (!v || !list_add(c, &n->kids, k) || !list_add(c, &n->kids, v)) return NULL;
    }
    return n;
}

static struct node *primary(struct compile *c, bool attr)
{
    const struct tok *t = tok_now(c);
    if (t->type == T_NAME) return name_or_word(c, attr);
    if (t->type == T_STRING) return strings(c);
    if (t->type == T_INTEGER || t->type == T_FLOAT) {
        c->at++;
        return constant(c, t->pos, t->v);
    }
    if (tok_is_op(t, '(')) {
        c->at++;
        struct node *n = parse_tuple(c, true, true, NULL);
        return n && tok_expect_op(c, ')', ")") ? n : NULL;
    }
    if (tok_is_op(t, '[')) return list_literal(c);
    if (tok_is_op(t, '{')) return dict_literal(c);
    char got[80];
    tok_tell(t, got, sizeof got);
    compile_fail(c, t->pos, "expected an expression, got %s", got);
    return NULL;
}

static struct node *parse_primary(struct compile *c, bool attr)
{
    if (!enter_level(c)) return NULL;
    struct node *n = primary(c, attr);
    c->depth--;
    return n;
}

/* ---- what follows a value -------------------------------------------------------------------- */

static bool at_subscript_end(const struct compile *c)
{
    return tok_is_op(tok_now(c), ']') || tok_is_op(tok_now(c), ',') || tok_is_op(tok_now(c), ':');
}

static struct node *parse_subscribed(struct compile *c)
{
    struct node *part[3] = { NULL, NULL, NULL };
    uint32_t pos = tok_now(c)->pos;
    int n = 0;
    do {
        if (!at_subscript_end(c) && !(part[n] = parse_expression(c, true))) return NULL;
        n++;
    } while (n < 3 && tok_skip_op(c, ':'));
    if (n == 1) {
        if (part[0]) return part[0];
        compile_fail(c, pos, "expected an index between the brackets");
        return NULL;
    }
    struct node *s = new_node(c, N_SLICE, pos);
    s->a = part[0], s->b = part[1], s->c = part[2];
    return s;
}

static struct node *subscript(struct compile *c, struct node *on)
{
    uint32_t pos = tok_now(c)->pos;
    struct node *n = new_node(c, N_ITEM, pos);
    n->a = on;
    if (tok_skip_op(c, '.')) {
        const struct tok *t = tok_now(c);
        if (t->type != T_NAME && t->type != T_INTEGER) {
            compile_fail(c, t->pos, "expected a name or a number behind the dot");
            return NULL;
        }
        c->at++;
        if (t->type == T_INTEGER) n->b = constant(c, t->pos, t->v);
        else n->op = N_ATTR, n->k = t->v;
        n->pos = t->pos;
        return n;
    }
    struct list l = { 0 };
    c->at++;
    while (!tok_skip_op(c, ']')) {
        if (l.n && !tok_expect_op(c, ',', ", or ]")) return NULL;
        struct node *v = parse_subscribed(c);
        if (!v || !list_add(c, &l, v)) return NULL;
    }
    if (l.n == 1) {
        n->b = l.v[0];
        return n;
    }
    n->b = new_node(c, N_TUPLE, pos);
    n->b->kids = l;
    return n;
}

static bool keyword_argument(struct compile *c, struct args *a)
{
    const struct tok *t = tok_now(c);
    for (uint32_t i = 0; i < a->n_kw; i++)
        if (a->kw[i].name.len == t->v.len && !memcmp(a->kw[i].name.u.s, t->v.u.s, t->v.len))
            return compile_fail(c, t->pos, "the argument %.*s is given twice", (int)MIN(t->v.len, 60), t->v.u.s);
    if (a->n_kw == a->cap_kw) {
        struct keyword *grown = arena_alloc(&c->j->mem, (a->cap_kw * 2 + 4) * sizeof *grown);
        if (a->n_kw) memcpy(grown, a->kw, a->n_kw * sizeof *grown);
        a->kw = grown;
        a->cap_kw = a->cap_kw * 2 + 4;
    }
    c->at += 2;
    struct node *v = parse_expression(c, true);
    if (v) a->kw[a->n_kw++] = (struct keyword){ t->v, v };
    return v != NULL;
}

static bool one_argument(struct compile *c, struct args *a)
{
    const struct tok *t = tok_now(c);
    bool star = tok_is_op(t, '*'), star2 = tok_is_op(t, OP_POW);
    bool keyword = t->type == T_NAME && tok_is_op(tok_ahead(c), '=');
    if (a->star2 || (star && a->star) || (!star && !star2 && !keyword && (a->star || a->n_kw)))
        return compile_fail(c, t->pos, "arguments come in the order: values, name=value, *list, **dict");
    if (keyword) return keyword_argument(c, a);
    if (star || star2) c->at++;
    struct node *v = parse_expression(c, true);
    if (!v) return false;
    if (star) a->star = v;
    else if (star2) a->star2 = v;
    else return list_add(c, &a->pos, v);
    return true;
}

static struct args *arguments(struct compile *c)
{
    struct args *a = arena_zero(&c->j->mem, sizeof *a);
    bool first = true;
    c->at++;
    while (!tok_skip_op(c, ')')) {
        if (!first && !tok_expect_op(c, ',', ", or )")) return NULL;
        if (!first && tok_skip_op(c, ')')) break;
        if (!one_argument(c, a)) return NULL;
        first = false;
    }
    return a;
}

static struct node *call(struct compile *c, struct node *on)
{
    struct node *n = new_node(c, N_CALL, on->pos);
    n->a = on;
    return (n->args = arguments(c)) ? n : NULL;
}

static struct node *postfix(struct compile *c, struct node *n)
{
    while (n) {
        const struct tok *t = tok_now(c);
        if (tok_is_op(t, '.') || tok_is_op(t, '[')) n = subscript(c, n);
        else if (tok_is_op(t, '(')) n = call(c, n);
        else break;
    }
    return n;
}

/* A name, or several with dots between them, as one string. */
static bool dotted_name(struct compile *c, struct val *out)
{
    struct str s = { 0 };
    uint32_t pos = tok_now(c)->pos;
    do {
        const struct tok *t = tok_now(c);
        if (t->type != T_NAME) {
            str_done(&s);
            return compile_fail(c, pos, "expected the name of a filter or test");
        }
        if (s.len) str_putc(&s, '.');
        str_put(&s, t->v.u.s, t->v.len);
        c->at++;
    } while (tok_skip_op(c, '.'));
    *out = of_bytes(arena_str(&c->j->mem, s.p, s.len), s.len, OURS);
    str_done(&s);
    return true;
}

struct node *parse_filters(struct compile *c, struct node *on, bool inline_first)
{
    while (inline_first || tok_is_op(tok_now(c), '|')) {
        if (!inline_first) c->at++;
        inline_first = false;
        struct node *n = new_node(c, N_FILTER, tok_now(c)->pos);
        n->a = on;
        if (!dotted_name(c, &n->k)) return NULL;
        n->fn = filter_find(n->k.u.s, n->k.len);
        if (tok_is_op(tok_now(c), '(') && !(n->args = arguments(c))) return NULL;
        on = n;
    }
    return on;
}

static bool argument_follows(const struct compile *c)
{
    const struct tok *t = tok_now(c);
    if (tok_is_name(t, "else") || tok_is_name(t, "or") || tok_is_name(t, "and")) return false;
    return t->type == T_NAME || t->type == T_STRING || t->type == T_INTEGER || t->type == T_FLOAT ||
           tok_is_op(t, '[') || tok_is_op(t, '{');
}

static struct node *parse_test(struct compile *c, struct node *on)
{
    c->at++;
    struct node *n = new_node(c, N_TEST, tok_now(c)->pos);
    n->a = on;
    n->flag = tok_skip_name(c, "not");
    if (!dotted_name(c, &n->k)) return NULL;
    n->fn = test_find(n->k.u.s, n->k.len);
    if (tok_is_op(tok_now(c), '(')) return (n->args = arguments(c)) ? n : NULL;
    if (!argument_follows(c)) return n;
    if (tok_is_name(tok_now(c), "is")) {
        compile_fail(c, tok_now(c)->pos, "tests cannot be chained; join them with `and`");
        return NULL;
    }
    struct node *arg = postfix(c, parse_primary(c, false));
    n->args = arena_zero(&c->j->mem, sizeof *n->args);
    return arg && list_add(c, &n->args->pos, arg) ? n : NULL;
}

static struct node *filters_and_tests(struct compile *c, struct node *n)
{
    while (n) {
        const struct tok *t = tok_now(c);
        if (tok_is_op(t, '|')) n = parse_filters(c, n, false);
        else if (tok_is_name(t, "is")) n = parse_test(c, n);
        else if (tok_is_op(t, '(')) n = call(c, n);
        else break;
    }
    return n;
}

/* ---- operators ------------------------------------------------------------------------------- */

static struct node *two(struct compile *c, enum op op, uint32_t pos, struct node *a, struct node *b)
{
    if (!a || !b) return NULL;
    struct node *n = new_node(c, op, pos);
    n->a = a;
    n->b = b;
    return n;
}

static struct node *parse_unary(struct compile *c, bool filters)
{
    const struct tok *t = tok_now(c);
    struct node *n;
    if (!enter_level(c)) return NULL;
    if (tok_is_op(t, '-') || tok_is_op(t, '+')) {
        c->at++;
        struct node *on = parse_unary(c, false);
        n = on ? new_node(c, tok_is_op(t, '-') ? N_NEG : N_POS, t->pos) : NULL;
        if (n) n->a = on;
    } else {
        n = parse_primary(c, false);
    }
    n = postfix(c, n);
    if (filters) n = filters_and_tests(c, n);
    c->depth--;
    return n;
}

/* Left-associative operators over one kind of operand. A chain makes a tree as deep as it is long. */
struct level { uint8_t op[5]; uint8_t node[5]; };

static struct node *chain(struct compile *c, const struct level *l, struct node *(*operand)(struct compile *c))
{
    struct node *n = operand(c);
    int before = c->depth;
    for (int i = 0; n && i < 5 && l->op[i];) {
        const struct tok *t = tok_now(c);
        if (!tok_is_op(t, l->op[i])) {
            i++;
            continue;
        }
        c->at++;
        n = two(c, (enum op)l->node[i], t->pos, n, operand(c));
        i = 0;
    }
    c->depth = before;
    return n;
}

static struct node *unary(struct compile *c) { return parse_unary(c, true); }

static struct node *parse_pow(struct compile *c)
{
    static const struct level l = { { OP_POW }, { N_POW } };
    return chain(c, &l, unary);
}

static struct node *product(struct compile *c)
{
    static const struct level l = { { '*', '/', OP_FLOORDIV, '%' }, { N_MUL, N_DIV, N_FLOORDIV, N_MOD } };
    return chain(c, &l, parse_pow);
}

static struct node *parse_concat(struct compile *c)
{
    struct node *n = product(c);
    if (!n || !tok_is_op(tok_now(c), '~')) return n;
    struct node *all = new_node(c, N_CONCAT, n->pos);
    if (!list_add(c, &all->kids, n)) return NULL;
    while (tok_skip_op(c, '~'))
        if (!(n = product(c)) || !list_add(c, &all->kids, n)) return NULL;
    return all;
}

static struct node *sum(struct compile *c)
{
    static const struct level l = { { '+', '-' }, { N_ADD, N_SUB } };
    return chain(c, &l, parse_concat);
}

/* The comparison that comes next, 0: none. */
static enum op comparison(struct compile *c)
{
    static const struct { uint8_t op, node; } list[] = { { OP_EQ, N_EQ }, { OP_NE, N_NE }, { '<', N_LT },
                                                         { OP_LE, N_LE }, { '>', N_GT }, { OP_GE, N_GE } };
    for (size_t i = 0; i < LEN(list); i++)
        if (tok_skip_op(c, list[i].op)) return (enum op)list[i].node;
    if (tok_skip_name(c, "in")) return N_IN;
    if (tok_is_name(tok_now(c), "not") && tok_is_name(tok_ahead(c), "in")) {
        c->at += 2;
        return N_NOTIN;
    }
    return N_CONST;
}

/* kids: first, then each further operand with its operator in `flag` of a wrapping node. */
static struct node *parse_compare(struct compile *c)
{
    struct node *first = sum(c), *n = NULL;
    for (;;) {
        uint32_t pos = tok_now(c)->pos;
        enum op op = first ? comparison(c) : N_CONST;
        if (op == N_CONST) return n ? n : first;
        struct node *operand = two(c, op, pos, first, sum(c));
        if (!operand) return NULL;
        if (!n) {
            n = new_node(c, N_COMPARE, first->pos);
            n->a = first;
        }
        if (!list_add(c, &n->kids, operand)) return NULL;
    }
}

static struct node *parse_not(struct compile *c)
{
    const struct tok *t = tok_now(c);
    if (!tok_skip_name(c, "not")) return parse_compare(c);
    if (!enter_level(c)) return NULL;
    struct node *on = parse_not(c), *n = on ? new_node(c, N_NOT, t->pos) : NULL;
    if (n) n->a = on;
    c->depth--;
    return n;
}

static struct node *parse_and(struct compile *c)
{
    struct node *n = parse_not(c);
    for (uint32_t pos = tok_now(c)->pos; n && tok_skip_name(c, "and");) n = two(c, N_AND, pos, n, parse_not(c));
    return n;
}

static struct node *parse_or(struct compile *c)
{
    struct node *n = parse_and(c);
    for (uint32_t pos = tok_now(c)->pos; n && tok_skip_name(c, "or");) n = two(c, N_OR, pos, n, parse_and(c));
    return n;
}

static struct node *condition(struct compile *c)
{
    struct node *n = parse_or(c);
    while (n && tok_skip_name(c, "if")) {
        struct node *test = parse_or(c), *other = NULL;
        if (!test) return NULL;
        if (tok_skip_name(c, "else") && !(other = parse_expression(c, true))) return NULL;
        n = two(c, N_COND, test->pos, n, test);
        n->c = other;
    }
    return n;
}

struct node *parse_expression(struct compile *c, bool cond)
{
    if (!enter_level(c)) return NULL;
    struct node *n = cond ? condition(c) : parse_or(c);
    c->depth--;
    return n;
}
