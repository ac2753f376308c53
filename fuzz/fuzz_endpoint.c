/* fuzz_endpoint.c -- what comes from elsewhere when an endpoint is asked: a stream of server-sent events, and
 * source text in arguments.
 *
 * The events of a stream do not depend on where it was cut; source text is judged, whatever it is, and an
 * argument that equals nothing accepted is not valid. First byte: how to cut, and which type. */
#include <stdlib.h>

#include "client/client.h"
#include "eval/eval.h"

static void demand(bool ok)
{
    if (!ok) abort();
}

static bool note(void *ctx, const char *event, const char *data, size_t len)
{
    struct str *s = ctx;
    str_fmt(s, "%s|%zu|", event, len);
    str_put(s, data, len);
    return true;
}

static bool events(const uint8_t *data, size_t size, size_t piece, struct str *out)
{
    struct sse s;
    struct err e = { 0 };
    bool ok = true;
    sse_init(&s, note, out, 4096);
    for (size_t at = 0; ok && at < size; at += piece)
        ok = sse_feed(&s, (const char *)data + at, MIN(piece, size - at), &e);
    sse_done(&s);
    return ok;
}

static struct json *text_of(const char *s) { return json_parse(s, strlen(s), NULL); }

static void judge_source(const uint8_t *data, size_t size, unsigned which)
{
    static const struct { enum judge_language l; const char *type; } t[] = {
        { JUDGE_JAVA, "ArrayList" }, { JUDGE_JAVA, "Array" }, { JUDGE_JAVA, "HashMap" }, { JUDGE_JAVA, "double" },
        { JUDGE_JAVASCRIPT, "array" }, { JUDGE_JAVASCRIPT, "dict" }, { JUDGE_JAVASCRIPT, "float" },
    };
    struct str f = { 0 };
    const char *item = t[which % LEN(t)].l == JUDGE_JAVA ? "String" : "array";
    str_fmt(&f, "[{\"name\":\"f\",\"parameters\":{\"properties\":{\"a\":{\"type\":\"%s\",\"items\":{\"type\":\"%s\"}}}}}]", t[which % LEN(t)].type, item);
    struct json *functions = text_of(f.p), *expect = text_of("[{\"f\":{\"a\":[\"no such value\",[[\"x\",9.5]],{\"k\":[\"v\"]}]}}]");
    struct json *output = json_new_array(), *call = json_new_object(), *args = json_new_object();
    json_set(args, "a", json_new_strn((const char *)data, size));
    json_set(call, "f", args);
    json_push(output, call);
    struct verdict v = judge_calls(functions, expect, output, &(struct judge_opts){ .language = t[which % LEN(t)].l });
    demand(v.error && v.valid == !v.error[0]);
    json_free(functions);
    json_free(expect);
    json_free(output);
    str_done(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str whole = { 0 }, cut = { 0 };
    if (!size) return 0;
    bool a = events(data + 1, size - 1, MAX(size, (size_t)1), &whole), b = events(data + 1, size - 1, 1 + data[0] % 16, &cut);
    demand(a == b && whole.len == cut.len && (!whole.len || !memcmp(whole.p, cut.p, whole.len)));
    str_done(&whole);
    str_done(&cut);
    if (utf8_valid((const char *)data + 1, size - 1)) judge_source(data + 1, size - 1, data[0] / 16);
    return 0;
}
