/* cmd_bench_render.c -- `tenon bench render`: how long it takes until a request is tokens.
 *
 * A request with many tools is prepared, rendered and tokenized again and again, template compiled and
 * vocabulary loaded before, on one thread: by each of our own templates, or by one. The median is the
 * answer; the parts are shown beside it. */
#include <stdlib.h>

#include "front.h"
#include "text/text.h"

struct bench_render { const char *vocab, *dialect, *template; int64_t tools, runs; bool json; };

/* About 600 bytes each, as an API with descriptions has them. */
static void put_tool(struct str *s, int64_t i)
{
    static const char *const verb[] = { "get", "list", "create", "update", "delete" };
    static const char *const noun[] = { "invoice", "weather_forecast", "calendar_event", "support_ticket" };
    const char *v = verb[i % 5], *n = noun[i / 5 % 4];
    str_fmt(s, "%s{\"type\":\"function\",\"function\":{\"name\":\"%s_%s_%lld\",\"description\":\"Use this to %s one %s of the "
               "account, by its number or by a search.\",\"parameters\":{\"type\":\"object\",\"properties\":{"
               "\"id\":{\"type\":\"integer\",\"description\":\"Number of the %s\",\"minimum\":1},"
               "\"query\":{\"type\":\"string\",\"description\":\"Words to look for, as the user said them\"},"
               "\"unit\":{\"type\":\"string\",\"enum\":[\"celsius\",\"fahrenheit\",\"kelvin\"],\"description\":\"Unit of the values\"},"
               "\"options\":{\"type\":\"object\",\"properties\":{\"limit\":{\"type\":\"integer\",\"default\":10},"
               "\"ratio\":{\"type\":\"number\",\"maximum\":1.5}}}},\"required\":[\"id\"]}}}",
            i ? "," : "", v, n, (long long)i, v, n, n);
}

static struct json *make_request(int64_t n_tool, size_t *bytes)
{
    struct str s = { 0 };
    struct err e = { 0 };
    str_puts(&s, "{\"messages\":[{\"role\":\"system\",\"content\":\"You help with the account of the user.\"},"
                 "{\"role\":\"user\",\"content\":\"How is the weather in Oslo, and what do I owe?\"}],\"tools\":[");
    size_t before = s.len;
    for (int64_t i = 0; i < n_tool; i++) put_tool(&s, i);
    *bytes = s.len - before;
    str_puts(&s, "]}");
    struct json *v = json_parse(s.p, s.len, &e);
    str_done(&s);
    return v;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int64_t n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

struct figures { double render, tokenize, whole, low, high; size_t bytes, tools, tokens; };

static bool measure(const struct dialect *d, const struct dialect_request *r, const struct tokenizer *t, int64_t runs,
                    struct figures *f, struct err *e)
{
    double *render = mem_alloc((size_t)runs * sizeof *render), *tokenize = mem_alloc((size_t)runs * sizeof *tokenize),
           *whole = mem_alloc((size_t)runs * sizeof *whole);
    bool ok = true;
    for (int64_t i = -runs / 10 - 1; ok && i < runs; i++) {           /* the first ones warm up */
        struct prompt p = { 0 };
        struct ids ids = { 0 };
        uint64_t t0 = clock_ns();
        ok = dialect_render(d, r, &p, e);
        uint64_t t1 = clock_ns();
        ok = ok && prompt_tokens(&p, t, &ids, e);
        uint64_t t2 = clock_ns();
        if (i >= 0) {
            render[i] = (double)(t1 - t0) / 1e3;
            tokenize[i] = (double)(t2 - t1) / 1e3;
            whole[i] = (double)(t2 - t0) / 1e3;
        }
        f->bytes = p.text.len;
        f->tokens = ids.n;
        prompt_done(&p);
        mem_free(ids.id);
    }
    if (ok) {
        f->render = median(render, runs);
        f->tokenize = median(tokenize, runs);
        f->whole = median(whole, runs);
        f->low = whole[0];
        f->high = whole[runs - 1];
    }
    mem_free(render);
    mem_free(tokenize);
    mem_free(whole);
    return ok;
}

static void print(struct json *all, const char *name, const struct figures *f)
{
    if (!all) {
        printf("%-22s %6zu bytes %6zu tokens   render %7.1f us   tokenize %7.1f us   both %7.1f us (%.1f to %.1f)\n", name, f->bytes,
               f->tokens, f->render, f->tokenize, f->whole, f->low, f->high);
        return;
    }
    struct json *j = json_new_object();
    json_set(j, "prompt_bytes", json_new_int((int64_t)f->bytes));
    json_set(j, "prompt_tokens", json_new_int((int64_t)f->tokens));
    json_set(j, "render_us", json_new_f64(f->render));
    json_set(j, "tokenize_us", json_new_f64(f->tokenize));
    json_set(j, "whole_us", json_new_f64(f->whole));
    json_set(all, name, j);
}

/* The request by this template; d NULL: of the dialect that the template was made for. */
static bool bench_one(const struct bench_render *o, const struct tokenizer *t, const struct json *body, const char *name,
                      const struct dialect *d, const struct jinja *j, struct json *all, struct err *e)
{
    struct figures f = { 0 };
    struct detection found;
    if (!d) dialect_of_template(jinja_source(j), &found);
    struct dialect_request r = { .messages = json_get(body, "messages"), .tools = json_get(body, "tools"),
                                 .add_generation_prompt = true, .template = j };
    if (!measure(d ? d : found.dialect, &r, t, o->runs, &f, e)) return err_in(e, "%s", name);
    print(all, name, &f);
    return true;
}

static bool is_own(const char *name)
{
    size_t i = 0;
    while (template_own_name(i) && strcmp(template_own_name(i), name)) i++;
    return template_own_name(i) != NULL;
}

static bool bench_file(const struct bench_render *o, const struct tokenizer *t, const struct json *body, const struct dialect *d,
                       struct json *all, struct err *e)
{
    struct str text = { 0 };
    struct jinja *j = NULL;
    bool ok = file_read(o->template, &text, e) && (j = jinja_open(text.p ? text.p : "", text.len, o->template, e)) &&
              bench_one(o, t, body, o->template, d, j, all, e);
    jinja_close(j);
    str_done(&text);
    return ok;
}

static bool bench_all(const struct bench_render *o, const struct tokenizer *t, const struct json *body, struct json *all, struct err *e)
{
    bool ok = true;
    for (size_t i = 0; ok && template_own_name(i); i++) {
        const struct jinja *j = template_own(template_own_name(i), e);
        ok = j && bench_one(o, t, body, template_own_name(i), NULL, j, all, e);
    }
    return ok;
}

static bool bench(const struct bench_render *o, const struct tokenizer *t, struct json *all, struct err *e)
{
    const struct dialect *d = o->dialect ? dialect_find(o->dialect) : NULL;
    if (o->dialect && !d) return err_set(e, ERR_ARG, "dialect \"%.60s\" is not known", o->dialect);
    if (o->tools < 0 || o->tools > 10000 || o->runs < 1 || o->runs > 100000)
        return err_set(e, ERR_ARG, "0 to 10000 tools and 1 to 100000 runs are accepted");
    size_t bytes = 0;
    struct json *body = make_request(o->tools, &bytes);
    bool ok;
    if (!all) printf("%lld tools, %zu bytes; medians of %lld runs\n", (long long)o->tools, bytes, (long long)o->runs);
    if (o->template && !is_own(o->template)) ok = bench_file(o, t, body, d, all, e);
    else if (o->template) ok = bench_one(o, t, body, o->template, d, template_own(o->template, e), all, e);
    else if (d) ok = bench_one(o, t, body, d->name, d, NULL, all, e);
    else ok = bench_all(o, t, body, all, e);
    json_free(body);
    return ok;
}

static int run(const void *v, int n_arg, char **arg)
{
    const struct bench_render *o = v;
    struct err e = { 0 };
    struct tokenizer *t = NULL;
    struct json *all = o->json ? json_new_object() : NULL;
    struct gguf *g = front_gguf(o->vocab, &e);
    bool ok = g && (t = tok_open(g, &e)) && bench(o, t, all, &e);
    if (ok && all) {
        struct str s = { 0 };
        json_write(&s, all, JSON_COMPACT);
        puts(s.p);
        str_done(&s);
    }
    json_free(all);
    tok_close(t);
    gguf_close(g);
    return ok ? 0 : front_fail("bench render", &e);
}

static const struct opt opts[] = {
    { "Request", 0, "vocab", "FILE", OPT_STR, offsetof(struct bench_render, vocab), "GGUF file, vocabulary-only is enough (default: the embedded model)" },
    { "Request", 0, "dialect", "NAME", OPT_STR, offsetof(struct bench_render, dialect), "family whose preparation, and own template, are used (default: each of our templates, its own)" },
    { "Request", 0, "template", "NAME", OPT_STR, offsetof(struct bench_render, template), "one of our own, or a Jinja file (default: all of our own)" },
    { "Request", 0, "tools", "N", OPT_INT, offsetof(struct bench_render, tools), "tools of the request, 600 bytes each (default: 20)" },
    { "Measurement", 'r', "runs", "N", OPT_INT, offsetof(struct bench_render, runs), "repetitions (default: 301)" },
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct bench_render, json), "a JSON object (default: a table)" },
};
static const struct bench_render defaults = { .tools = 20, .runs = 301 };
const struct command cmd_bench_render = {
    .verb = "bench render",
    .args = "",
    .sentence = "Time from a request with tools to the tokens of its prompt.",
    .example = "tenon bench render --dialect llama3.1 --tools 20",
    .opt = opts,
    .n_opt = LEN(opts),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .run = run,
};
