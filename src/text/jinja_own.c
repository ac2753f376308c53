/* jinja_own.c -- filters that only our own templates use; chat templates from elsewhere have no word for them.
 *
 * `tools | typescript(era)`: the declarations of Functionary's prompts (typescript.c), era "jinja" or
 * "python". What comes out is made of the tools, so none of it is trusted. */
#include "text/jinja_int.h"

static bool f_typescript(struct rt *r, struct in *in, struct val *out)
{
    static const char *const names[] = { "python", "jinja" };         /* in order of the enum */
    size_t era = 0;
    while (era < LEN(names) && !str_eq(&in->a[0], names[era])) era++;
    if (era == LEN(names)) return FAIL(r, "typescript: \"python\" and \"jinja\" are accepted");
    struct dump d = { .indent = NONE, .item_sep = of_text(","), .key_sep = of_text(":") };
    struct buf *text = buf_new(r, 256);
    struct err e = { 0 };
    if (!put_json(r, text, &in->self, &d)) return false;
    struct json *tools = json_parse(text->p, text->len, &e);
    if (!tools) return FAIL(r, "typescript: %s", e.msg);
    struct str s = { 0 };
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
