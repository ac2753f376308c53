/* fuzz_dialect.c -- output of a model is read whole and in pieces: what is read must be the same, every
 * event whole UTF-8, the arguments of a finished call a JSON object. Input that is JSON is rendered as
 * the messages and the tools of a request too. */
#include <stdlib.h>

#include "text/text.h"

struct fold { struct str all, args; };

static void on_event(void *ctx, const struct parse_event *ev)
{
    struct fold *f = ctx;
    struct err e = { 0 };
    if (ev->len && !utf8_valid(ev->bytes, ev->len)) abort();
    if (ev->kind == PARSE_CALL_BEGIN) str_clear(&f->args);
    if (ev->kind == PARSE_CALL_ARGS) str_put(&f->args, ev->bytes, ev->len);
    if (ev->kind == PARSE_CALL_END) {
        struct json *v = json_parse(f->args.p ? f->args.p : "", f->args.len, &e);
        /* Keys are reported as they came: strict reading refuses one given twice and one with U+0000. */
        if (v ? !json_is(v, JSON_OBJECT) : !strstr(e.msg, "key")) abort();
        json_free(v);
    }
    if (ev->kind == PARSE_CALL_BEGIN || ev->kind == PARSE_CALL_END) str_fmt(&f->all, "\n%d:%d:", ev->kind, ev->index);
    str_put(&f->all, ev->bytes, ev->len);
}

static void read_pieces(const struct dialect *d, const char *s, size_t len, size_t step, const struct json *tools,
                        struct fold *f, struct err *e)
{
    struct wire w;
    wire_open(&w, d, &(struct turn){ .tools = tools }, on_event, f);
    for (size_t i = 0; i < len; i += step) wire_feed(&w, s + i, MIN(step, len - i), false);
    wire_close(&w, false, e);
}

static void render(const char *s, size_t len)
{
    struct err e = { 0 };
    struct json *v = json_parse(s, len, &e);
    for (size_t i = 0; v && dialect_at(i); i++) {
        struct dialect_request r = { .messages = v, .tools = v, .vars = v, .add_generation_prompt = true };
        struct prompt p = { 0 };
        dialect_render(dialect_at(i), &r, &p, &e);
        prompt_done(&p);
        if (template_own_name(i)) template_render(template_own(template_own_name(i), &e), &r, &p, &e);
        prompt_done(&p);
    }
    json_free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char tools_text[] = "[{\"name\":\"f\",\"parameters\":{\"properties\":{\"a\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}}}}]";
    struct err ea = { 0 }, eb = { 0 }, e = { 0 };
    struct fold a = { 0 }, b = { 0 };
    const char *s = (const char *)data;
    struct json *tools = size && data[0] & 1 ? json_parse(tools_text, sizeof tools_text - 1, &e) : NULL;
    const struct dialect *d = dialect_find(size && data[0] & 2 ? "json" : "lfm2");
    read_pieces(d, s, size, MAX(size, 1), tools, &a, &ea);
    read_pieces(d, s, size, 1 + (size ? data[0] % 5 : 0), tools, &b, &eb);
    if (a.all.len != b.all.len || (a.all.len && memcmp(a.all.p, b.all.p, a.all.len)) || strcmp(ea.msg, eb.msg)) abort();
    render(s, size);
    str_done(&a.all);
    str_done(&a.args);
    str_done(&b.all);
    str_done(&b.args);
    json_free(tools);
    return 0;
}
