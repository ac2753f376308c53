/* jinja_own.c -- filters that only our own templates use; chat templates from elsewhere have no word for them.
 *
 * `tools | typescript(era)`: the declarations of Functionary's prompts (typescript.c), era "jinja" or
 * "python". What comes out is made of the tools, so none of it is trusted. */
#include "text/jinja_int.h"

static bool to_json(struct rt *r, const struct val *v, struct json **out);

static bool list_to_json(struct rt *r, const struct val *v, struct json **out)
{
    *out = json_new_array();
    for (uint32_t i = 0; i < v->len; i++) {
        struct json *item;
        if (!to_json(r, &v->u.l->v[i], &item)) return false;
        json_push(*out, item);
    }
    return true;
}

static bool dict_to_json(struct rt *r, const struct dict *d, struct json **out)
{
    struct str key = { 0 };
    bool ok = true;
    *out = json_new_object();
    for (uint32_t i = 0; ok && i < d->n; i++) {
        struct json *value;
        const struct val *k = &d->e[i].key;
        ok = (is_str(k) || FAIL(r, "typescript: keys are strings")) && to_json(r, &d->e[i].value, &value);
        if (!ok) break;
        str_clear(&key);
        str_put(&key, k->u.s, k->len);
        str_putc(&key, 0);
        json_set(*out, key.p, value);
    }
    str_done(&key);
    return ok;
}

static bool scalar_to_json(struct rt *r, const struct val *v, struct json **out)
{
    char text[40];
    switch (v->kind) {
    case K_UNDEFINED: case K_NONE: *out = json_new_null(); return true;
    case K_BOOL: *out = json_new_bool(v->u.b); return true;
    case K_INT: *out = json_new_int(v->u.i); return true;
    case K_BIG: *out = json_new_number(v->u.s, v->len); return true;
    case K_FLOAT: *out = json_new_number(text, (size_t)print_float(text, v->u.f)); return true;
    case K_STR: *out = json_new_strn(v->u.s, v->len); return true;
    default: return FAIL(r, "typescript: '%s' is no value of a schema", type_name(v));
    }
}

/* The value as JSON, the caller's; false: *out is NULL. */
static bool to_json(struct rt *r, const struct val *v, struct json **out)
{
    bool list = is_seq(v), dict = v->kind == K_DICT, ok = steps(r, 1);
    *out = NULL;
    if (ok && (list || dict)) {
        ok = deeper(r) && (list ? list_to_json(r, v, out) : dict_to_json(r, v->u.d, out));
        r->depth--;
    } else if (ok) {
        ok = scalar_to_json(r, v, out);
    }
    if (ok) return true;
    json_free(*out);
    *out = NULL;
    return false;
}

static bool f_typescript(struct rt *r, struct in *in, struct val *out)
{
    static const char *const names[] = { "python", "jinja" };         /* in order of the enum */
    size_t era = 0;
    while (era < LEN(names) && !str_eq(&in->a[0], names[era])) era++;
    if (era == LEN(names)) return FAIL(r, "typescript: \"python\" and \"jinja\" are accepted");
    struct json *tools;
    struct str s = { 0 };
    if (!to_json(r, &in->self, &tools)) return false;
    typescript_put(&s, tools, (enum typescript_era)era);
    json_free(tools);
    struct buf *b = buf_new(r, s.len);
    bool ok = room(r, s.len) && buf_put(r, b, s.p, s.len, false);
    str_done(&s);
    if (ok) *out = buf_val(b, 0, b->len);
    return ok;
}

const struct builtin *own_filter_find(const char *s, size_t len)
{
    static const struct builtin typescript = { "typescript", f_typescript, "era" };
    return len == strlen(typescript.name) && !memcmp(s, typescript.name, len) ? &typescript : NULL;
}
