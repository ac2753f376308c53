/* jinja_eval.c -- expressions: a node and a frame make a value.
 *
 * Names are places in frames (jinja_scope.c). obj.name looks for a method or attribute first and for an
 * item then, obj["name"] the other way round; what is neither is undefined, which prints as nothing and
 * fails at anything else. Calls bind their arguments by the table of whatever is called. */
#include "text/jinja_int.h"

/* ---- attributes ------------------------------------------------------------------------------ */

static bool is_mutating(const struct val *obj, const struct val *name)
{
    static const char *const of_list[] = { "append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove" };
    static const char *const of_dict[] = { "clear", "pop", "popitem", "setdefault", "update" };
    if (!name->len || !strchr("acepirsu", name->u.s[0])) return false;
    for (size_t i = 0; obj->kind == K_LIST && i < LEN(of_list); i++)
        if (str_eq(name, of_list[i])) return true;
    for (size_t i = 0; obj->kind == K_DICT && i < LEN(of_dict); i++)
        if (str_eq(name, of_dict[i])) return true;
    return false;
}

static bool macro_attr(struct rt *r, const struct macro *m, const struct val *name, struct val *out, bool *found)
{
    *found = true;
    if (str_eq(name, "name")) *out = m->name;
    else if (str_eq(name, "catch_kwargs")) *out = of_bool(m->n->sig->kwargs);
    else if (str_eq(name, "catch_varargs")) *out = of_bool(m->n->sig->varargs);
    else if (str_eq(name, "caller")) *out = of_bool(m->n->sig->caller);
    else if (str_eq(name, "arguments")) {
        if (!list_new(r, m->n->sig->names.n, out)) return false;
        for (uint32_t i = 0; i < m->n->sig->names.n; i++)
            if (!list_put(r, out, m->n->sig->names.v[i]->k)) return false;
        out->kind = K_TUPLE;
    } else {
        *found = false;
    }
    return true;
}

/* What Python's getattr() finds. */
bool find_attr(struct rt *r, const struct val *obj, const struct val *name, struct val *out, bool *found)
{
    const struct builtin *fn = method_find(obj, name->u.s, name->len);
    struct val *v;
    *found = true;
    if (fn) {
        struct method *m = take(r, sizeof *m);
        *m = (struct method){ *obj, fn };
        *out = (struct val){ .kind = K_METHOD, .u.m = m };
        return true;
    }
    if (is_mutating(obj, name)) {
        char *why = take(r, 160);
        snprintf(why, 160, "access to attribute '%.*s' of '%s' object is unsafe: values do not change; + and | make new ones",
                 (int)MIN(name->len, 40), name->u.s, type_name(obj));
        *out = undefined_hint(why);
        return true;
    }
    switch (obj->kind) {
    case K_NAMESPACE:
        if ((v = dict_str(obj->u.d, name->u.s, name->len))) *out = *v;
        *found = v != NULL;
        return true;
    case K_LOOP: return loop_attr(r, obj->u.loop, name, out, found);
    case K_MACRO: return macro_attr(r, obj->u.macro, name, out, found);
    case K_CYCLER:
        if ((*found = str_eq(name, "current"))) *out = obj->u.cy->items.u.l->v[obj->u.cy->at];
        return true;
    case K_TUPLE:                                         /* what groupby makes has names */
        *found = obj->view && (str_eq(name, "grouper") || str_eq(name, "list"));
        if (*found) *out = obj->u.l->v[str_eq(name, "list")];
        return true;
    case K_RANGE:
        if (str_eq(name, "start")) *out = of_int(obj->u.r->start);
        else if (str_eq(name, "stop")) *out = of_int(obj->u.r->stop);
        else if (str_eq(name, "step")) *out = of_int(obj->u.r->step);
        else *found = false;
        return true;
    default: *found = false; return true;
    }
}

bool get_attr(struct rt *r, const struct val *obj, const struct val *name, struct val *out)
{
    bool found;
    if (obj->kind == K_UNDEFINED) return undefined_fail(r, obj);
    if (!find_attr(r, obj, name, out, &found)) return false;
    if (found) return true;
    if (!get_item(r, obj, name, out)) return false;
    if (out->kind == K_MISSING) *out = undefined_of(r, obj, (struct bytes){ name->u.s, name->len });
    return true;
}

bool get_subscript(struct rt *r, const struct val *obj, const struct val *key, struct val *out)
{
    bool found = false;
    if (!get_item(r, obj, key, out)) return false;
    if (out->kind != K_MISSING) return true;
    if (is_str(key) && !find_attr(r, obj, key, out, &found)) return false;
    if (found) return true;
    struct val text = of_text("?");
    if (is_str(key) || is_number(key)) to_str(r, key, &text);
    *out = undefined_of(r, obj, (struct bytes){ text.u.s, text.len });
    return !r->failed;
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* The parameter number i of "a,b,?c"; *need: it has no default. Its length, 0 past the end. */
static size_t param(const char *params, int i, const char **name, bool *need)
{
    *need = true;
    for (const char *p = params;; p++) {
        if (*p == '?') *need = false, p++;
        size_t n = strcspn(p, ",");
        if (!i--) {
            *name = p;
            return n;
        }
        p += n;
        if (!*p) return 0;
    }
}

static bool bind_keyword(struct rt *r, const struct builtin *fn, const struct kwval *kw, struct in *in)
{
    const char *name;
    bool need;
    size_t n;
    for (int i = 0; i < ARGS_MOST && (n = param(fn->params, i, &name, &need)); i++) {
        if (n != kw->name.len || memcmp(name, kw->name.u.s, n)) continue;
        if (in->a[i].kind != K_MISSING) return FAIL(r, "%s got two values for '%.*s'", fn->name, (int)n, name);
        in->a[i] = kw->v;
        return true;
    }
    return FAIL(r, "%s takes no argument '%.*s'; it takes %s", fn->name, (int)MIN(kw->name.len, 40), kw->name.u.s,
                *fn->params ? fn->params : "none");
}

/* How many parameters there are, and how many of them must be given. */
static uint32_t count_params(const char *params, uint32_t *need)
{
    uint32_t n = *params != 0;
    *need = UINT32_MAX;
    for (const char *p = params; *p; p++) {
        if (*p == '?') *need = n - 1;
        n += *p == ',';
    }
    *need = MIN(*need, n);
    return n;
}

static bool call_missing(struct rt *r, const struct builtin *fn, uint32_t i)
{
    const char *name = "";
    bool need;
    size_t n = param(fn->params, (int)i, &name, &need);
    return FAIL(r, "%s: the argument '%.*s' is missing", fn->name, (int)n, name);
}

bool call_builtin(struct rt *r, const struct builtin *fn, const struct val *self, const struct call *c, struct val *out)
{
    struct in in;
    uint32_t need, n;
    in.self = *self;
    in.call = c;
    if (*fn->params == '*') return fn->fn(r, &in, out);
    n = count_params(fn->params, &need);
    if (c->n > n) return FAIL(r, "%s got %u arguments; it takes %s", fn->name, c->n, *fn->params ? fn->params : "none");
    for (uint32_t i = 0; i < n; i++)
        if (i < c->n) in.a[i] = c->pos[i];
        else in.a[i].kind = K_MISSING;
    for (uint32_t i = 0; i < c->n_kw; i++)
        if (!bind_keyword(r, fn, &c->kw[i], &in)) return false;
    for (uint32_t i = c->n; i < need; i++)
        if (in.a[i].kind == K_MISSING) return call_missing(r, fn, i);
    return fn->fn(r, &in, out);
}

bool call_value(struct rt *r, const struct val *f, const struct call *c, struct val *out)
{
    const struct val nothing = { 0 };
    switch (f->kind) {
    case K_UNDEFINED: return undefined_fail(r, f);
    case K_METHOD: return call_builtin(r, f->u.m->fn, &f->u.m->self, c, out);
    case K_FUNCTION: return call_builtin(r, f->u.fn, &nothing, c, out);
    case K_MACRO: return call_macro(r, f->u.macro, c, out);
    case K_LOOP: return loop_call(r, f->u.loop, c, out);
    case K_JOINER:
        *out = of_text("");
        if (f->u.join->used) *out = f->u.join->sep;
        f->u.join->used = true;
        return true;
    default: return FAIL(r, "'%s' object is not callable", type_name(f));
    }
}

static bool add_star(struct rt *r, struct frame *f, const struct node *star, struct call *c)
{
    struct val v, list;
    if (!star) return true;
    if (!eval(r, f, star, &v) || !to_list(r, &v, &list)) return false;
    struct val *pos = take(r, ((size_t)c->n + list.len + 1) * sizeof *pos);
    if (c->n) memcpy(pos, c->pos, c->n * sizeof *pos);
    if (list.len) memcpy(pos + c->n, list.u.l->v, list.len * sizeof *pos);
    c->pos = pos;
    c->n += list.len;
    return true;
}

static bool add_star2(struct rt *r, struct frame *f, const struct node *star2, struct call *c)
{
    struct val v;
    if (!star2) return true;
    if (!eval(r, f, star2, &v)) return false;
    if (v.kind != K_DICT) return FAIL(r, "argument after ** must be a mapping, not %s", type_name(&v));
    struct kwval *kw = take(r, ((size_t)c->n_kw + v.u.d->n + 1) * sizeof *kw);
    if (c->n_kw) memcpy(kw, c->kw, c->n_kw * sizeof *kw);
    c->kw = kw;
    for (uint32_t i = 0; i < v.u.d->n; i++) {
        if (!is_str(&v.u.d->e[i].key)) return FAIL(r, "keywords must be strings");
        c->kw[c->n_kw++] = (struct kwval){ v.u.d->e[i].key, v.u.d->e[i].value };
    }
    return true;
}

/* caller: one more keyword argument, or NULL. */
static bool eval_args(struct rt *r, struct frame *f, const struct args *a, const struct val *caller, struct call *c)
{
    *c = (struct call){ 0 };
    if (!a && !caller) return true;
    uint32_t n_kw = (a ? a->n_kw : 0) + (caller != NULL), n = a ? a->pos.n : 0;
    if (n) c->pos = take(r, n * sizeof *c->pos);
    if (n_kw) c->kw = take(r, n_kw * sizeof *c->kw);
    for (; c->n < n; c->n++)
        if (!eval(r, f, a->pos.v[c->n], &c->pos[c->n])) return false;
    for (uint32_t i = 0; a && i < a->n_kw; i++) {
        c->kw[i].name = a->kw[i].name;
        if (!eval(r, f, a->kw[i].value, &c->kw[i].v)) return false;
        c->n_kw++;
    }
    if (caller) c->kw[c->n_kw++] = (struct kwval){ of_text("caller"), *caller };
    return !a || (add_star(r, f, a->star, c) && add_star2(r, f, a->star2, c));
}

/* obj.method(…) without making a value of the method; false in *done: it is no method. */
static bool call_method(struct rt *r, struct frame *f, const struct node *n, struct val *fn, struct val *out, bool *done)
{
    struct val obj;
    struct call c;
    const struct node *attr = n->a;
    if (!eval(r, f, attr->a, &obj)) return false;
    const struct builtin *m = method_find(&obj, attr->k.u.s, attr->k.len);
    r->pos = attr->pos;
    if (!(*done = m != NULL)) return get_attr(r, &obj, &attr->k, fn);
    if (!eval_args(r, f, n->args, NULL, &c)) return false;
    r->pos = n->pos;
    return call_builtin(r, m, &obj, &c, out);
}

bool eval_call(struct rt *r, struct frame *f, const struct node *n, const struct val *caller, struct val *out)
{
    struct val fn;
    struct call c;
    bool done = false;
    if (n->a->op == N_ATTR && !caller) {
        if (!call_method(r, f, n, &fn, out, &done)) return false;
        if (done) return true;
    } else if (!eval(r, f, n->a, &fn)) {
        return false;
    }
    if (!eval_args(r, f, n->args, caller, &c)) return false;
    r->pos = n->pos;
    bool ok = deeper(r) && call_value(r, &fn, &c, out);
    r->depth--;
    return ok;
}

static bool eval_filter(struct rt *r, struct frame *f, const struct node *n, struct val *out)
{
    struct val v = r->piped;
    struct call c;
    if (n->a && !eval(r, f, n->a, &v)) return false;
    if (!eval_args(r, f, n->args, NULL, &c)) return false;
    r->pos = n->pos;
    if (!n->fn) return FAIL(r, "there is no filter '%.*s'", (int)MIN(n->k.len, 60), n->k.u.s);
    return call_builtin(r, n->fn, &v, &c, out);
}

static bool eval_test(struct rt *r, struct frame *f, const struct node *n, struct val *out)
{
    struct val v;
    struct call c;
    bool yes;
    if (!eval(r, f, n->a, &v) || !eval_args(r, f, n->args, NULL, &c)) return false;
    r->pos = n->pos;
    if (!n->fn) return FAIL(r, "there is no test '%.*s'", (int)MIN(n->k.len, 60), n->k.u.s);
    if (!run_test(r, n->fn, &v, &c, &yes)) return false;
    *out = of_bool(yes != n->flag);
    return true;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static bool compare(struct rt *r, enum op op, const struct val *a, const struct val *b, bool *out)
{
    bool ok = true;
    switch (op) {
    case N_EQ: case N_NE: ok = equal(r, a, b, out); break;
    case N_LT: return less(r, a, b, "<", out);
    case N_GT: return less(r, b, a, ">", out);
    case N_LE: case N_GE: {
        const struct val *x = op == N_LE ? a : b, *y = op == N_LE ? b : a;
        bool lt = false, eq = false;
        ok = less(r, x, y, op == N_LE ? "<=" : ">=", &lt) && (lt || equal(r, x, y, &eq));
        *out = lt || eq;
        return ok;
    }
    default: ok = contains(r, b, a, out);
    }
    if (op == N_NE || op == N_NOTIN) *out = !*out;
    return ok;
}

static bool eval_compare(struct rt *r, struct frame *f, const struct node *n, struct val *out)
{
    struct val a, b;
    bool yes = true;
    if (!eval(r, f, n->a, &a)) return false;
    for (uint32_t i = 0; yes && i < n->kids.n; i++, a = b) {
        const struct node *k = n->kids.v[i];
        if (!eval(r, f, k->b, &b)) return false;
        r->pos = k->pos;
        if (!compare(r, (enum op)k->op, &a, &b, &yes)) return false;
    }
    *out = of_bool(yes);
    return true;
}

static bool eval_concat(struct rt *r, struct frame *f, const struct node *n, struct val *out)
{
    *out = of_text("");
    for (uint32_t i = 0; i < n->kids.n; i++) {
        struct val v, text, sum;
        if (!eval(r, f, n->kids.v[i], &v) || !to_str(r, &v, &text)) return false;
        text.markup = false;
        if (!concat(r, out, &text, &sum)) return false;
        *out = sum;
    }
    return true;
}

static bool eval_items(struct rt *r, struct frame *f, const struct node *n, struct val *out)
{
    if (!list_new(r, n->kids.n, out)) return false;
    for (uint32_t i = 0; i < n->kids.n; i++) {
        struct val v;
        if (!eval(r, f, n->kids.v[i], &v) || !list_put(r, out, v)) return false;
    }
    if (n->op == N_TUPLE) out->kind = K_TUPLE;
    return true;
}

static bool eval_dict(struct rt *r, struct frame *f, const struct node *n, struct val *out)
{
    struct dict *d = dict_new(r);
    for (uint32_t i = 0; i < n->kids.n; i += 2) {
        struct val k, v;
        if (!eval(r, f, n->kids.v[i], &k) || !eval(r, f, n->kids.v[i + 1], &v)) return false;
        r->pos = n->kids.v[i]->pos;
        if (!dict_put(r, d, k, v)) return false;
    }
    *out = (struct val){ .kind = K_DICT, .u.d = d };
    return true;
}

static bool eval_item(struct rt *r, struct frame *f, const struct node *n, struct val *out)
{
    struct val obj, key, part[3] = { NONE, NONE, NONE };
    if (!eval(r, f, n->a, &obj)) return false;
    if (n->b->op != N_SLICE) {
        if (!eval(r, f, n->b, &key)) return false;
        r->pos = n->pos;
        return get_subscript(r, &obj, &key, out);
    }
    const struct node *const bound[3] = { n->b->a, n->b->b, n->b->c };
    for (int i = 0; i < 3; i++)
        if (bound[i] && !eval(r, f, bound[i], &part[i])) return false;
    r->pos = n->pos;
    return get_slice(r, &obj, &part[0], &part[1], &part[2], out);
}

static bool eval_two(struct rt *r, struct frame *f, const struct node *n, struct val *out)
{
    struct val a, b;
    if (!eval(r, f, n->a, &a) || !eval(r, f, n->b, &b)) return false;
    r->pos = n->pos;
    return op_binary(r, (enum op)n->op, &a, &b, out);
}

static bool eval_cond(struct rt *r, struct frame *f, const struct node *n, struct val *out)
{
    if (!eval(r, f, n->b, out)) return false;
    if (truth(out)) return eval(r, f, n->a, out);
    if (n->c) return eval(r, f, n->c, out);
    *out = undefined_hint("the inline if-expression evaluated to false and no else section was defined.");
    return true;
}

static bool eval_attr(struct rt *r, struct frame *f, const struct node *n, struct val *out)
{
    struct val obj;
    if (!eval(r, f, n->a, &obj)) return false;
    r->pos = n->pos;
    return get_attr(r, &obj, &n->k, out);
}

static bool eval_name(struct frame *f, const struct node *n, struct val *out)
{
    for (uint16_t i = n->up; i; i--) f = f->up;
    *out = f->v[n->slot];
    if (out->kind == K_MISSING) *out = undefined_name((struct bytes){ n->k.u.s, n->k.len });
    return true;
}

static bool eval_one(struct rt *r, struct frame *f, const struct node *n, struct val *out)
{
    switch (n->op) {
    case N_ATTR: return eval_attr(r, f, n, out);
    case N_ITEM: return eval_item(r, f, n, out);
    case N_LIST: case N_TUPLE: return eval_items(r, f, n, out);
    case N_DICT: return eval_dict(r, f, n, out);
    case N_CALL: return eval_call(r, f, n, NULL, out);
    case N_FILTER: return eval_filter(r, f, n, out);
    case N_TEST: return eval_test(r, f, n, out);
    case N_COND: return eval_cond(r, f, n, out);
    case N_COMPARE: return eval_compare(r, f, n, out);
    case N_CONCAT: return eval_concat(r, f, n, out);
    case N_OR: return eval(r, f, n->a, out) && (truth(out) || eval(r, f, n->b, out));
    case N_AND: return eval(r, f, n->a, out) && (!truth(out) || eval(r, f, n->b, out));
    case N_NOT:
        if (!eval(r, f, n->a, out)) return false;
        *out = of_bool(!truth(out));
        return true;
    case N_NEG: case N_POS: {
        struct val v;
        if (!eval(r, f, n->a, &v)) return false;
        r->pos = n->pos;
        return op_sign(r, n->op == N_NEG, &v, out);
    }
    default: return eval_two(r, f, n, out);
    }
}

bool eval(struct rt *r, struct frame *f, const struct node *n, struct val *out)
{
    if (!steps(r, 1)) return false;
    if (n->op == N_NAME) return eval_name(f, n, out);
    if (n->op == N_CONST) return *out = n->k, true;
    bool ok = deeper(r) && eval_one(r, f, n, out);
    r->depth--;
    return ok;
}
