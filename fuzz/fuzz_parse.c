/* fuzz_parse.c -- what a model might write, for every dialect: read whole, in pieces, and with tokens. What is read
 * must not depend on the pieces; every event is whole UTF-8, in order, and no call is reported that the choice
 * forbids. The first byte picks the dialect, the second choice, tools and cut. */
#include <stdlib.h>

#include "text/text.h"

struct fold { struct str all; int open, n, n_end; };

static void on_event(void *ctx, const struct parse_event *ev)
{
    struct fold *f = ctx;
    if (ev->len && !utf8_valid(ev->bytes, ev->len)) abort();
    switch (ev->kind) {
    case PARSE_CALL_BEGIN:
        if (f->open >= 0 && ev->index != f->open + 1) abort();
        if (ev->index != f->n++ || !ev->len) abort();
        f->open = ev->index;
        break;
    case PARSE_CALL_ARGS: case PARSE_CALL_END:
        if (ev->index != f->open) abort();
        if (ev->kind == PARSE_CALL_END) f->open = -1, f->n_end++;
        break;
    default:
        if (!ev->len) abort();
    }
    if (ev->kind == PARSE_CALL_BEGIN || ev->kind == PARSE_CALL_END) str_fmt(&f->all, "\n%d:%d:", ev->kind, ev->index);
    str_put(&f->all, ev->bytes, ev->len);
}

static void read_pieces(const struct dialect *d, const struct turn *t, const char *s, size_t len, size_t step, bool cut, struct fold *f, struct err *e)
{
    struct wire w;
    struct prompt p = { 0 };
    *f = (struct fold){ .open = -1 };
    if (d->prefix) d->prefix(t->choice, t->name, &p);
    wire_open(&w, d, t, on_event, f);
    wire_feed(&w, p.text.p ? p.text.p : "", p.text.len, false);
    for (size_t i = 0; i < len; i += step) wire_feed(&w, s + i, MIN(step, len - i), false);
    prompt_done(&p);
    if (wire_close(&w, cut, e) && f->n != f->n_end) abort();
    if (t->choice == CHOICE_NONE && f->n) abort();
    if (t->choice == CHOICE_NAMED && f->n > 1) abort();
}

/* The input holds tokens as they may come where a vocabulary has them: bytes 0x01 to 0x0c stand for one each. */
static void read_tokens(const struct dialect *d, const struct turn *t, const char *s, size_t len, bool cut)
{
    static const char *const tokens[] = { "<|from|>", "<|recipient|>", "<|content|>", "<|reserved_special_token_249|>", "<|START_OF_FUNCTION_CALL|>",
        "<|python_tag|>", "<tool_call>", "</tool_call>", "<think>", "</think>", "<|tool_call_start|>", "<|tool_call_end|>" };
    struct fold f = { .open = -1 };
    struct err e = { 0 };
    struct parser *p = d->parser_open(t, on_event, &f);
    for (size_t i = 0; i < len; i++) {
        size_t k = (uint8_t)s[i] - 1u;
        if (k < LEN(tokens)) parser_feed(p, tokens[k], strlen(tokens[k]), true);
        else parser_feed(p, s + i, 1, false);
    }
    parser_close(p, cut, &e);
    str_done(&f.all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char tools_text[] = "[{\"name\":\"f\",\"parameters\":{\"properties\":{\"a\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}}}},{\"name\":\"f_g\"}]",
                      code_text[] = "[{\"name\":\"f\"},{\"type\":\"code_interpreter\"}]";
    struct err e = { 0 }, ea = { 0 }, eb = { 0 };
    struct fold a, b;
    if (size < 2) return 0;
    size_t n = 0;
    while (dialect_at(n)) n++;
    const struct dialect *d = dialect_at(data[0] % n);
    bool code = data[1] & 1, cut = data[1] & 2;
    struct json *tools = json_parse(code ? code_text : tools_text, strlen(code ? code_text : tools_text), &e);
    struct turn t = { .tools = tools, .choice = (enum tool_choice)(data[1] >> 2 & 3), .name = "f" };
    const char *s = (const char *)data + 2;
    size_t len = size - 2;
    read_pieces(d, &t, s, len, MAX(len, 1u), cut, &a, &ea);
    read_pieces(d, &t, s, len, 1 + (data[1] >> 4 & 7), cut, &b, &eb);
    if (a.all.len != b.all.len || (a.all.len && memcmp(a.all.p, b.all.p, a.all.len)) || strcmp(ea.msg, eb.msg)) abort();
    read_tokens(d, &t, s, len, cut);
    str_done(&a.all);
    str_done(&b.all);
    json_free(tools);
    return 0;
}
