/* jinja_list.c -- filters on sequences: choosing, mapping, sorting, grouping.
 *
 * What Jinja makes lazily is made at once here, and handed out as a value that can be gone through once
 * and has no length, as there: {% if list | select %} is true whatever is in it. Sorting is stable;
 * strings are compared without regard to case unless told otherwise. */
#include "text/jinja_int.h"

static const struct val *arg(const struct in *in, int i)
{
    return in->a[i].kind == K_MISSING || in->a[i].kind == K_NONE ? NULL : &in->a[i];
}

static bool flag(const struct in *in, int i) { return arg(in, i) && truth(arg(in, i)); }

/* ---- attributes and order -------------------------------------------------------------------- */

static struct val path_key(const struct val *part)
{
    int64_t n = 0;
    bool digits = part->len > 0 && part->len < 18;
    for (uint32_t i = 0; digits && i < part->len; i++) {
        digits = part->u.s[i] >= '0' && part->u.s[i] <= '9';
        n = n * 10 + part->u.s[i] - '0';
    }
    return digits ? of_int(n) : *part;
}

bool attr_path(struct rt *r, const struct val *item, const struct val *path, const struct val *without, struct val *out)
{
    struct val at = *item, next;
    if (!path || path->kind == K_NONE) return *out = at, true;
    size_t from = 0, to;
    do {
        struct val key = *path;
        to = path->len;
        if (is_str(path)) {
            const char *dot = from < path->len ? memchr(path->u.s + from, '.', path->len - from) : NULL;
            if (dot) to = (size_t)(dot - path->u.s);
            struct val part = sub_str(path, from, to);
            key = path_key(&part);
        }
        if (!get_subscript(r, &at, &key, &next)) return false;
        at = without && next.kind == K_UNDEFINED ? *without : next;
        from = to + 1;
    } while (is_str(path) && to < path->len);
    *out = at;
    return true;
}

static bool fold(struct rt *r, bool case_sensitive, struct val *v)
{
    struct val s = *v;
    return case_sensitive || !is_str(v) || str_case(r, &s, 'l', v);
}

const uint32_t *sort_order(struct rt *r, const struct val *keys, uint32_t n, bool reverse)
{
    uint32_t *from = take(r, (n + 1) * sizeof *from), *to = take(r, (n + 1) * sizeof *to);
    for (uint32_t i = 0; i < n; i++) from[i] = i;
    for (uint32_t width = 1; width < n; width *= 2) {
        for (uint32_t i = 0, k = 0; i < n; i += 2 * width) {
            uint32_t a = i, mid = MIN(i + width, n), b = mid, end = MIN(i + 2 * width, n);
            while (a < mid || b < end) {
                bool second = a == mid;
                const struct val *x = &keys[from[MIN(a, n - 1)]], *y = &keys[from[MIN(b, n - 1)]];
                if (a < mid && b < end && !less(r, reverse ? x : y, reverse ? y : x, "<", &second)) return NULL;
                to[k++] = second ? from[b++] : from[a++];
            }
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

static bool in_order(struct rt *r, const struct val *list, const struct val *keys, bool reverse, struct val *out)
{
    const uint32_t *order = sort_order(r, keys, list->len, reverse);
    if (!order || !list_new(r, list->len, out)) return false;
    for (uint32_t i = 0; i < list->len; i++)
        if (!list_put(r, out, list->u.l->v[order[i]])) return false;
    return true;
}

/* "a,b.c": a list of both, so that the second decides where the first is equal. */
static bool sort_key(struct rt *r, const struct val *item, const struct val *attrs, bool cased, struct val *out)
{
    size_t from = 0, to = 0;
    if (!list_new(r, 1, out)) return false;
    do {
        struct val v, path = attrs ? *attrs : NONE;
        if (attrs && is_str(attrs)) {
            const char *comma = from < attrs->len ? memchr(attrs->u.s + from, ',', attrs->len - from) : NULL;
            to = comma ? (size_t)(comma - attrs->u.s) : attrs->len;
            path = sub_str(attrs, from, to);
            from = to + 1;
        }
        if (!attr_path(r, item, &path, NULL, &v) || !fold(r, cased, &v) || !list_put(r, out, v)) return false;
    } while (attrs && is_str(attrs) && to < attrs->len);
    return true;
}

static bool f_sort(struct rt *r, struct in *in, struct val *out)
{
    struct val list;
    if (!to_list(r, &in->self, &list)) return false;
    struct val *keys = take(r, (list.len + 1) * sizeof *keys);
    for (uint32_t i = 0; i < list.len; i++)
        if (!sort_key(r, &list.u.l->v[i], arg(in, 2), flag(in, 1), &keys[i])) return false;
    return in_order(r, &list, keys, flag(in, 0), out);
}

static bool items_of(struct rt *r, const struct val *v, struct val *out)
{
    const struct builtin *items = v->kind == K_DICT ? method_find(v, "items", 5) : NULL;
    struct call none = { 0 };
    struct val view;
    if (!items) return FAIL(r, "Can only get item pairs from a mapping.");
    return call_builtin(r, items, v, &none, &view) && to_list(r, &view, out);
}

static bool f_dictsort(struct rt *r, struct in *in, struct val *out)
{
    const struct val *by = arg(in, 1);
    struct val list;
    if (by && !str_eq(by, "key") && !str_eq(by, "value")) return FAIL(r, "You can only sort by either \"key\" or \"value\"");
    if (in->self.kind == K_UNDEFINED) return undefined_fail(r, &in->self);
    if (!items_of(r, &in->self, &list)) return false;
    struct val *keys = take(r, (list.len + 1) * sizeof *keys);
    for (uint32_t i = 0; i < list.len; i++) {
        keys[i] = list.u.l->v[i].u.l->v[by && str_eq(by, "value")];
        if (!fold(r, flag(in, 0), &keys[i])) return false;
    }
    return in_order(r, &list, keys, flag(in, 2), out);
}

/* ---- choosing -------------------------------------------------------------------------------- */

/* select, reject and both with an attribute: arguments are [attribute,] [test, its arguments…]. */
static bool choose(struct rt *r, struct in *in, bool attr, bool keep, struct val *out)
{
    const struct call *c = in->call;
    uint32_t off = attr;
    struct iter it;
    struct val item, list;
    bool end, yes;
    const struct builtin *test = NULL;
    if (!list_new(r, 8, &list)) return false;
    if (truth(&in->self)) {
        if (attr && !c->n) return FAIL(r, "Missing parameter for attribute name");
        struct call rest = { 0 };
        if (c->n > off) {
            rest = (struct call){ c->pos + off + 1, c->n - off - 1, c->kw, c->n_kw };
            if (!is_str(&c->pos[off]) || !(test = test_find(c->pos[off].u.s, c->pos[off].len))) {
                char what[60];
                source_quote(what, sizeof what, &c->pos[off]);
                return FAIL(r, "there is no test %s", what);
            }
        }
        if (!iter_open(r, &in->self, &it)) return false;
        while (iter_next(r, &it, &item, &end) && !end) {
            struct val v = item;
            if (attr && !attr_path(r, &item, &c->pos[0], NULL, &v)) return false;
            yes = truth(&v);
            if (test && !run_test(r, test, &v, &rest, &yes)) return false;
            if (yes == keep && !list_put(r, &list, item)) return false;
        }
    }
    *out = iter_over(r, list);
    return !r->failed;
}

static bool f_select(struct rt *r, struct in *in, struct val *out) { return choose(r, in, false, true, out); }
static bool f_reject(struct rt *r, struct in *in, struct val *out) { return choose(r, in, false, false, out); }
static bool f_selectattr(struct rt *r, struct in *in, struct val *out) { return choose(r, in, true, true, out); }
static bool f_rejectattr(struct rt *r, struct in *in, struct val *out) { return choose(r, in, true, false, out); }

struct mapping { const struct builtin *filter; struct call rest; const struct val *attr, *without; };

static bool mapping_of(struct rt *r, const struct call *c, struct mapping *m)
{
    *m = (struct mapping){ 0 };
    if (c->n) {
        m->rest = (struct call){ c->pos + 1, c->n - 1, c->kw, c->n_kw };
        m->filter = is_str(&c->pos[0]) ? filter_find(c->pos[0].u.s, c->pos[0].len) : NULL;
        char what[60];
        source_quote(what, sizeof what, &c->pos[0]);
        return m->filter || FAIL(r, "there is no filter %s", what);
    }
    for (uint32_t i = 0; i < c->n_kw; i++) {
        if (str_eq(&c->kw[i].name, "attribute")) m->attr = &c->kw[i].v;
        else if (!str_eq(&c->kw[i].name, "default"))
            return FAIL(r, "Unexpected keyword argument '%.*s'", (int)MIN(c->kw[i].name.len, 40), c->kw[i].name.u.s);
        else if (c->kw[i].v.kind != K_NONE) m->without = &c->kw[i].v;
    }
    return m->attr || FAIL(r, "map requires a filter argument");
}

static bool f_map(struct rt *r, struct in *in, struct val *out)
{
    struct mapping m;
    struct iter it;
    struct val item, list, v;
    bool end;
    if (!list_new(r, 8, &list)) return false;
    if (truth(&in->self)) {
        if (!mapping_of(r, in->call, &m) || !iter_open(r, &in->self, &it)) return false;
        while (iter_next(r, &it, &item, &end) && !end) {
            if (m.filter ? !call_builtin(r, m.filter, &item, &m.rest, &v) : !attr_path(r, &item, m.attr, m.without, &v)) return false;
            if (!list_put(r, &list, v)) return false;
        }
    }
    *out = iter_over(r, list);
    return !r->failed;
}

static bool f_unique(struct rt *r, struct in *in, struct val *out)
{
    struct dict *seen = dict_new(r);
    struct iter it;
    struct val item, list, key, *found;
    bool end;
    if (!iter_open(r, &in->self, &it) || !list_new(r, 8, &list)) return false;
    while (iter_next(r, &it, &item, &end) && !end) {
        if (!attr_path(r, &item, arg(in, 1), NULL, &key) || !fold(r, flag(in, 0), &key) || !dict_find(r, seen, &key, &found))
            return false;
        if (!found && (!dict_put(r, seen, key, NONE) || !list_put(r, &list, item))) return false;
    }
    *out = iter_over(r, list);
    return !r->failed;
}

static bool best(struct rt *r, struct in *in, bool most, struct val *out)
{
    struct iter it;
    struct val item, key, top = { 0 };
    bool end, better;
    *out = undefined_hint("No aggregated item, sequence was empty.");
    if (!iter_open(r, &in->self, &it)) return false;
    while (iter_next(r, &it, &item, &end) && !end) {
        if (!attr_path(r, &item, arg(in, 1), NULL, &key) || !fold(r, flag(in, 0), &key)) return false;
        better = top.kind == K_MISSING;
        if (!better && !less(r, most ? &top : &key, most ? &key : &top, most ? ">" : "<", &better)) return false;
        if (better) *out = item, top = key;
    }
    return !r->failed;
}

static bool f_min(struct rt *r, struct in *in, struct val *out) { return best(r, in, false, out); }
static bool f_max(struct rt *r, struct in *in, struct val *out) { return best(r, in, true, out); }

static bool f_first(struct rt *r, struct in *in, struct val *out)
{
    struct iter it;
    bool end;
    if (!iter_open(r, &in->self, &it) || !iter_next(r, &it, out, &end)) return false;
    if (end) *out = undefined_hint("No first item, sequence was empty.");
    return true;
}

/* reversed(): what has an order and a length. */
static bool backwards(struct rt *r, const struct val *v, struct val *out)
{
    struct val list;
    if (!to_list(r, v, &list)) return false;
    if (!list_new(r, list.len, out)) return false;
    for (uint32_t i = list.len; i--;)
        if (!list_put(r, out, list.u.l->v[i])) return false;
    return true;
}

static bool f_last(struct rt *r, struct in *in, struct val *out)
{
    struct val list;
    if (in->self.kind == K_ITER) return FAIL(r, "'generator' object is not reversible; |list makes a list of it");
    if (!to_list(r, &in->self, &list)) return false;
    *out = list.len ? list.u.l->v[list.len - 1] : undefined_hint("No last item, sequence was empty.");
    return true;
}

static bool f_reverse(struct rt *r, struct in *in, struct val *out)
{
    struct val minus = of_int(-1), none = NONE;
    if (is_str(&in->self)) return get_slice(r, &in->self, &none, &none, &minus, out);
    if (!backwards(r, &in->self, out)) return false;
    if (in->self.kind != K_ITER) *out = iter_over(r, *out);
    return true;
}

/* ---- in groups ------------------------------------------------------------------------------- */

static bool f_batch(struct rt *r, struct in *in, struct val *out)
{
    struct val list, all, row;
    int64_t n;
    if (!as_int(&in->a[0], &n)) return FAIL(r, "batch takes a number, not %s", type_name(&in->a[0]));
    if (!to_list(r, &in->self, &list) || !list_new(r, 8, &all) || !list_new(r, 8, &row)) return false;
    for (uint32_t i = 0; i < list.len; i++) {
        if (row.len == n) {
            if (!list_put(r, &all, row) || !list_new(r, 8, &row)) return false;
        }
        if (!list_put(r, &row, list.u.l->v[i])) return false;
    }
    for (; arg(in, 1) && row.len && row.len < n;)
        if (!steps(r, 1) || !list_put(r, &row, in->a[1])) return false;
    if (row.len && !list_put(r, &all, row)) return false;
    *out = iter_over(r, all);
    return true;
}

static bool f_slice(struct rt *r, struct in *in, struct val *out)
{
    struct val list, all, row;
    int64_t n, at = 0;
    if (!as_int(&in->a[0], &n)) return FAIL(r, "slice takes a number, not %s", type_name(&in->a[0]));
    if (!n) return FAIL(r, "integer division or modulo by zero");
    if (!to_list(r, &in->self, &list) || !list_new(r, 8, &all)) return false;
    for (int64_t k = 0; k < n; k++) {
        int64_t size = list.len / n + (k < list.len % n);
        if (!steps(r, 1) || !list_new(r, (size_t)size + 1, &row)) return false;
        for (int64_t i = 0; i < size; i++)
            if (!list_put(r, &row, list.u.l->v[at++])) return false;
        if (arg(in, 1) && k >= list.len % n && !list_put(r, &row, in->a[1])) return false;
        if (!list_put(r, &all, row)) return false;
    }
    *out = iter_over(r, all);
    return true;
}

static bool close_group(struct rt *r, const struct in *in, const struct val *members, struct val *all)
{
    struct val key, group;
    if (!attr_path(r, &members->u.l->v[0], &in->a[0], arg(in, 1), &key) || !list_new(r, 2, &group)) return false;
    list_put(r, &group, key);
    list_put(r, &group, *members);
    group.kind = K_TUPLE;
    group.view = 1;
    return list_put(r, all, group);
}

static bool f_groupby(struct rt *r, struct in *in, struct val *out)
{
    struct val list, members = { 0 };
    if (!to_list(r, &in->self, &list)) return false;
    struct val *keys = take(r, (list.len + 1) * sizeof *keys);
    for (uint32_t i = 0; i < list.len; i++)
        if (!attr_path(r, &list.u.l->v[i], &in->a[0], arg(in, 1), &keys[i]) || !fold(r, flag(in, 2), &keys[i])) return false;
    const uint32_t *order = sort_order(r, keys, list.len, false);
    if (!order || !list_new(r, 8, out)) return false;
    for (uint32_t i = 0; i < list.len; i++) {
        bool same = false;
        if (i && !equal(r, &keys[order[i]], &keys[order[i - 1]], &same)) return false;
        if (!same && members.len && !close_group(r, in, &members, out)) return false;
        if (!same && !list_new(r, 4, &members)) return false;
        if (!list_put(r, &members, list.u.l->v[order[i]])) return false;
    }
    return !members.len || close_group(r, in, &members, out);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static bool f_length(struct rt *r, struct in *in, struct val *out)
{
    int64_t n;
    if (!length_of(r, &in->self, &n)) return false;
    *out = of_int(n);
    return true;
}

static bool f_list(struct rt *r, struct in *in, struct val *out) { return to_list(r, &in->self, out); }

static bool f_items(struct rt *r, struct in *in, struct val *out)
{
    struct val list;
    bool ok = in->self.kind == K_UNDEFINED ? list_new(r, 0, &list) : items_of(r, &in->self, &list);
    if (ok) *out = iter_over(r, list);
    return ok;
}

static bool with_attr(struct rt *r, const struct val *over, const struct val *attr, struct val *out)
{
    struct val list;
    if (!to_list(r, over, &list) || !list_new(r, list.len, out)) return false;
    for (uint32_t i = 0; i < list.len; i++) {
        struct val v;
        if (!attr_path(r, &list.u.l->v[i], attr, NULL, &v) || !list_put(r, out, v)) return false;
    }
    return true;
}

static bool f_join(struct rt *r, struct in *in, struct val *out)
{
    struct val sep = of_text(""), list = in->self;
    if (in->a[0].kind != K_MISSING && !to_str(r, &in->a[0], &sep)) return false;
    if (arg(in, 1) && !with_attr(r, &in->self, arg(in, 1), &list)) return false;
    return str_join(r, &sep, &list, out);
}

static bool f_sum(struct rt *r, struct in *in, struct val *out)
{
    struct val list, sum = in->a[1].kind == K_MISSING ? of_int(0) : in->a[1];
    if (is_str(&sum)) return FAIL(r, "sum() can't sum strings; |join does");
    if (!with_attr(r, &in->self, arg(in, 0), &list)) return false;
    for (uint32_t i = 0; i < list.len; i++) {
        struct val next;
        if (!op_binary(r, N_ADD, &sum, &list.u.l->v[i], &next)) return false;
        sum = next;
    }
    *out = sum;
    return true;
}

const struct builtin *list_filter_find(const char *s, size_t len)
{
    static const struct builtin table[] = {
        { "batch", f_batch, "linecount,?fill_with" }, { "count", f_length, "" }, { "dictsort", f_dictsort, "?case_sensitive,by,reverse" },
        { "first", f_first, "" }, { "groupby", f_groupby, "attribute,?default,case_sensitive" }, { "items", f_items, "" },
        { "join", f_join, "?d,attribute" }, { "last", f_last, "" }, { "length", f_length, "" }, { "list", f_list, "" },
        { "map", f_map, "*" }, { "max", f_max, "?case_sensitive,attribute" }, { "min", f_min, "?case_sensitive,attribute" },
        { "reject", f_reject, "*" }, { "rejectattr", f_rejectattr, "*" }, { "reverse", f_reverse, "" }, { "select", f_select, "*" },
        { "selectattr", f_selectattr, "*" }, { "slice", f_slice, "slices,?fill_with" },
        { "sort", f_sort, "?reverse,case_sensitive,attribute" }, { "sum", f_sum, "?attribute,start" },
        { "unique", f_unique, "?case_sensitive,attribute" },
    };
    for (size_t i = 0; i < LEN(table); i++)
        if (strlen(table[i].name) == len && !memcmp(table[i].name, s, len)) return &table[i];
    return own_filter_find(s, len);
}
