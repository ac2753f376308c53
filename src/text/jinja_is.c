/* jinja_is.c -- tests: what may stand behind `is`, and in select and reject. */
#include "text/jinja_int.h"

static bool yes_no(struct val *out, bool yes)
{
    *out = of_bool(yes);
    return true;
}

/* value % n == want */
static bool remainder_is(struct rt *r, const struct val *v, const struct val *n, int64_t want, struct val *out)
{
    struct val rest, expected = of_int(want);
    bool same;
    if (!op_binary(r, N_MOD, v, n, &rest) || !equal(r, &rest, &expected, &same)) return false;
    return yes_no(out, same);
}

static bool t_odd(struct rt *r, struct in *in, struct val *out) { struct val two = of_int(2); return remainder_is(r, &in->self, &two, 1, out); }
static bool t_even(struct rt *r, struct in *in, struct val *out) { struct val two = of_int(2); return remainder_is(r, &in->self, &two, 0, out); }
static bool t_divisibleby(struct rt *r, struct in *in, struct val *out) { return remainder_is(r, &in->self, &in->a[0], 0, out); }

static bool t_defined(struct rt *r, struct in *in, struct val *out) { return yes_no(out, in->self.kind != K_UNDEFINED); }
static bool t_undefined(struct rt *r, struct in *in, struct val *out) { return yes_no(out, in->self.kind == K_UNDEFINED); }
static bool t_none(struct rt *r, struct in *in, struct val *out) { return yes_no(out, in->self.kind == K_NONE); }
static bool t_boolean(struct rt *r, struct in *in, struct val *out) { return yes_no(out, in->self.kind == K_BOOL); }
static bool t_true(struct rt *r, struct in *in, struct val *out) { return yes_no(out, in->self.kind == K_BOOL && in->self.u.b); }
static bool t_false(struct rt *r, struct in *in, struct val *out) { return yes_no(out, in->self.kind == K_BOOL && !in->self.u.b); }
static bool t_integer(struct rt *r, struct in *in, struct val *out) { return yes_no(out, in->self.kind == K_INT || in->self.kind == K_BIG); }
static bool t_float(struct rt *r, struct in *in, struct val *out) { return yes_no(out, in->self.kind == K_FLOAT); }
static bool t_number(struct rt *r, struct in *in, struct val *out) { return yes_no(out, is_number(&in->self)); }
static bool t_string(struct rt *r, struct in *in, struct val *out) { return yes_no(out, is_str(&in->self)); }
static bool t_mapping(struct rt *r, struct in *in, struct val *out) { return yes_no(out, in->self.kind == K_DICT); }
static bool t_escaped(struct rt *r, struct in *in, struct val *out) { return yes_no(out, is_str(&in->self) && in->self.markup); }

static bool t_sequence(struct rt *r, struct in *in, struct val *out)
{
    const struct val *v = &in->self;
    return yes_no(out, has_length(v) && v->kind != K_VIEW && v->kind != K_LOOP);
}

static bool t_iterable(struct rt *r, struct in *in, struct val *out)
{
    return yes_no(out, has_length(&in->self) || in->self.kind == K_ITER);
}

static bool t_callable(struct rt *r, struct in *in, struct val *out)
{
    const struct val *v = &in->self;
    return yes_no(out, v->kind == K_UNDEFINED || v->kind == K_JOINER || v->kind == K_LOOP || v->kind == K_MACRO || v->kind == K_METHOD ||
                           v->kind == K_FUNCTION);
}

static bool same_object(const struct val *a, const struct val *b)
{
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case K_NONE: return true;
    case K_BOOL: return a->u.b == b->u.b;
    case K_INT: return a->u.i == b->u.i;
    case K_FLOAT: return a->u.f == b->u.f;
    case K_STR: return a->u.s == b->u.s && a->len == b->len;
    default: return a->u.d == b->u.d && a->len == b->len;
    }
}

static bool t_sameas(struct rt *r, struct in *in, struct val *out) { return yes_no(out, same_object(&in->self, &in->a[0])); }

static bool has_case(struct rt *r, struct in *in, const char *method, struct val *out)
{
    struct val s;
    struct call none = { 0 };
    return to_str(r, &in->self, &s) && call_builtin(r, method_find(&s, method, 7), &s, &none, out);
}

static bool t_lower(struct rt *r, struct in *in, struct val *out) { return has_case(r, in, "islower", out); }
static bool t_upper(struct rt *r, struct in *in, struct val *out) { return has_case(r, in, "isupper", out); }

static bool t_in(struct rt *r, struct in *in, struct val *out)
{
    bool yes;
    return contains(r, &in->a[0], &in->self, &yes) && yes_no(out, yes);
}

static bool t_eq(struct rt *r, struct in *in, struct val *out)
{
    bool yes;
    return equal(r, &in->self, &in->a[0], &yes) && yes_no(out, yes);
}

static bool t_ne(struct rt *r, struct in *in, struct val *out)
{
    bool yes;
    return equal(r, &in->self, &in->a[0], &yes) && yes_no(out, !yes);
}

static bool ordered(struct rt *r, const struct val *a, const struct val *b, const char *op, bool or_equal, struct val *out)
{
    bool lt, eq = false;
    if (!less(r, a, b, op, &lt) || (or_equal && !lt && !equal(r, a, b, &eq))) return false;
    return yes_no(out, lt || eq);
}

static bool t_lt(struct rt *r, struct in *in, struct val *out) { return ordered(r, &in->self, &in->a[0], "<", false, out); }
static bool t_le(struct rt *r, struct in *in, struct val *out) { return ordered(r, &in->self, &in->a[0], "<=", true, out); }
static bool t_gt(struct rt *r, struct in *in, struct val *out) { return ordered(r, &in->a[0], &in->self, ">", false, out); }
static bool t_ge(struct rt *r, struct in *in, struct val *out) { return ordered(r, &in->a[0], &in->self, ">=", true, out); }

static bool t_filter(struct rt *r, struct in *in, struct val *out)
{
    return yes_no(out, is_str(&in->self) && filter_find(in->self.u.s, in->self.len));
}

static bool t_test(struct rt *r, struct in *in, struct val *out)
{
    return yes_no(out, is_str(&in->self) && test_find(in->self.u.s, in->self.len));
}

const struct builtin *test_find(const char *s, size_t len)
{
    static const struct builtin table[] = {
        { "odd", t_odd, "" }, { "even", t_even, "" }, { "divisibleby", t_divisibleby, "num" }, { "defined", t_defined, "" },
        { "undefined", t_undefined, "" }, { "filter", t_filter, "" }, { "test", t_test, "" }, { "none", t_none, "" },
        { "boolean", t_boolean, "" }, { "false", t_false, "" }, { "true", t_true, "" }, { "integer", t_integer, "" },
        { "float", t_float, "" }, { "lower", t_lower, "" }, { "upper", t_upper, "" }, { "string", t_string, "" },
        { "mapping", t_mapping, "" }, { "number", t_number, "" }, { "sequence", t_sequence, "" }, { "iterable", t_iterable, "" },
        { "callable", t_callable, "" }, { "sameas", t_sameas, "other" }, { "escaped", t_escaped, "" }, { "in", t_in, "seq" },
        { "==", t_eq, "other" }, { "eq", t_eq, "other" }, { "equalto", t_eq, "other" }, { "!=", t_ne, "other" }, { "ne", t_ne, "other" },
        { ">", t_gt, "other" }, { "gt", t_gt, "other" }, { "greaterthan", t_gt, "other" }, { "ge", t_ge, "other" }, { ">=", t_ge, "other" },
        { "<", t_lt, "other" }, { "lt", t_lt, "other" }, { "lessthan", t_lt, "other" }, { "<=", t_le, "other" }, { "le", t_le, "other" },
    };
    for (size_t i = 0; i < LEN(table); i++)
        if (strlen(table[i].name) == len && !memcmp(table[i].name, s, len)) return &table[i];
    return NULL;
}

bool run_test(struct rt *r, const struct builtin *fn, const struct val *v, const struct call *c, bool *out)
{
    struct val yes;
    if (!call_builtin(r, fn, v, c, &yes)) return false;
    *out = truth(&yes);
    return true;
}
