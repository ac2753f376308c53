/* jinja_own.c -- what only our own templates use; chat templates from elsewhere have no word for it.
 *
 * tool_signature(f): a function object as the embedded model reads it (signature.c). The template `tenon`
 * has macros that say the same and uses them where this is not defined: in any other Jinja.
 *
 * `tools | typescript(era)`: the declarations of Functionary's prompts (typescript.c), era "jinja" or
 * "python". What comes out is made of the tools, so none of it is trusted. */
#include "text/jinja_int.h"

/* The value as JSON of the caller's; NULL: failed. */
static struct json *as_json(struct rt *r, const struct val *v)
{
    struct dump d = { .indent = NONE, .item_sep = of_text(","), .key_sep = of_text(":") };
    struct buf *text = buf_new(r, 1024);
    struct err e = { 0 };
    if (!put_json(r, text, v, &d)) return NULL;
    struct json *out = json_parse(text->p, text->len, &e);
    if (!out) fail(r, ERR_ARG, "%s", e.msg);
    return out;
}

/* Nothing of it is trusted; s is released. */
static bool theirs(struct rt *r, struct str *s, struct val *out)
{
    bool ok = room(r, s->len);
    struct buf *b = ok ? buf_new(r, s->len) : NULL;
    ok = ok && buf_put(r, b, s->p, s->len, false);
    str_done(s);
    if (ok) *out = buf_val(b, 0, b->len);
    return ok;
}

static bool f_typescript(struct rt *r, struct in *in, struct val *out)
{
    static const char *const names[] = { "python", "jinja" };         /* in order of the enum */
    size_t era = 0;
    while (era < LEN(names) && !str_eq(&in->a[0], names[era])) era++;
    if (era == LEN(names)) return FAIL(r, "typescript: \"python\" and \"jinja\" are accepted");
    struct json *tools = as_json(r, &in->self);
    struct str s = { 0 };
    if (!tools) return false;
    typescript_put(&s, tools, (enum typescript_era)era);
    json_free(tools);
    return theirs(r, &s, out);
}

static bool g_signature(struct rt *r, struct in *in, struct val *out)
{
    struct json *f = as_json(r, &in->a[0]);
    struct str s = { 0 };
    if (!f) return false;
    tool_signature(&s, f);
    json_free(f);
    return theirs(r, &s, out);
}

const struct builtin *own_global_find(const char *s, size_t len)
{
    static const struct builtin signature = { "tool_signature", g_signature, "function" };
    return len == strlen(signature.name) && !memcmp(s, signature.name, len) ? &signature : NULL;
}

const struct builtin *own_filter_find(const char *s, size_t len)
{
    static const struct builtin typescript = { "typescript", f_typescript, "era" };
    return len == strlen(typescript.name) && !memcmp(s, typescript.name, len) ? &typescript : NULL;
}
