/* maskmicro.c -- small benchmarks of the grammar room, one construct each.
 *
 * A case is a grammar and a text of its language. Compile and first mask are the smallest of five
 * with a warm vocabulary (fresh grammars, what the vocabulary remembers kept); then every token of
 * the text is stepped: warm after one walk over the same text, cold with the cache cleared before
 * each step, the smallest of three from the same state. Commit and rollback of 8 tokens are timed
 * alone. */
#include "eval/int.h"

enum { REPEAT = 5, TRIES = 3, BACK = 8, MOST_TOOLS = 500 };

#define HERMES                                                                                     \
    "root = \"<tool_call>\\n\" call \"\\n</tool_call>\"; "                                         \
    "call = each { \"{\\\"name\\\": \\\"\" name \"\\\", \\\"arguments\\\": \" value(json) \"}\" "  \
    "};"
#define TRIGGERED                                                                                  \
    "root = text(\"<tool_call>\") (\"<tool_call>\\n\" call \"\\n</tool_call>\" "                   \
    "text(\"<tool_call>\"))*; "                                                                    \
    "call = each { \"{\\\"name\\\": \\\"\" name \"\\\", \\\"arguments\\\": \" value(json) \"}\" "  \
    "};"

struct micro {
    const struct mask_opts *o;
    uint32_t *bits;
    struct json *cases;
    struct ids ids;
    struct samples warm, cold, commit, rollback;
};

/* What is compiled: an envelope over named pairs, or (envelope NULL) one schema. */
struct plan {
    const char *name, *envelope;
    const struct grammar_pair *pair;
    int n_pair;
    const struct json *schema;
};

/* ---- measuring ------------------------------------------------------------------------------ */

static struct grammar *compile(const struct micro *r, const struct plan *p, struct err *e)
{
    return p->envelope
               ? grammar_compile(p->envelope, p->pair, p->n_pair, NULL, 0, &r->o->grammar, e)
               : grammar_of_schema(p->schema, &r->o->grammar, e);
}

/* Smallest times of compiling and of matcher and first mask. False: refused. */
static bool time_start(struct micro *r, const struct plan *p, uint64_t *compile_ns,
                       uint64_t *first_ns, struct err *e)
{
    *compile_ns = *first_ns = UINT64_MAX;
    bool ok = true;
    for (int k = 0; ok && k < REPEAT; k++) {
        uint64_t t0 = clock_ns();
        struct grammar *g = compile(r, p, e);
        uint64_t t1 = clock_ns();
        struct matcher *m = g ? matcher_new(g, r->o->vocab, e) : NULL;
        if (m) matcher_mask(m, r->bits);
        uint64_t t2 = clock_ns();
        ok = m != NULL;
        *compile_ns = MIN(*compile_ns, t1 - t0);
        *first_ns = MIN(*first_ns, t2 - t1);
        matcher_free(m);
        grammar_free(g);
    }
    return ok;
}

static bool step(struct micro *r, struct matcher *m, int32_t t, uint64_t *ns)
{
    uint64_t t0 = clock_ns();
    matcher_mask(m, r->bits);
    bool ok = mask_has(r->bits, t) && matcher_commit(m, t);
    *ns = clock_ns() - t0;
    return ok;
}

static bool step_cold(struct micro *r, struct matcher *m, int32_t t)
{
    uint64_t least = UINT64_MAX, ns;
    bool ok = false;
    for (int k = 0; k < TRIES; k++) {
        if (ok) matcher_rollback(m, 1);
        vocab_cache_clear(r->o->vocab);
        ok = step(r, m, t, &ns);
        least = MIN(least, ns);
    }
    samples_add(&r->cold, least);
    return ok;
}

/* One walk over r->ids; round 0 to warm up, 1 warm, 2 commits and rollbacks, 3 cold. */
static bool walk_round(struct micro *r, struct matcher *m, int round)
{
    size_t i = 0;
    for (bool ok = true; i < r->ids.n; i++) {
        int32_t t = r->ids.id[i];
        uint64_t ns, t0 = clock_ns();
        if (round == 3) ok = step_cold(r, m, t);
        else if (round == 2) {
            ok = matcher_commit(m, t);
            samples_add(&r->commit, clock_ns() - t0);
        } else {
            ok = step(r, m, t, &ns);
            if (round) samples_add(&r->warm, ns);
        }
        if (!ok) break;
        if (round != 2 || i + 1 < BACK) continue;
        t0 = clock_ns();
        matcher_rollback(m, BACK);
        samples_add(&r->rollback, clock_ns() - t0);
        for (size_t k = i + 1 - BACK; k <= i; k++) matcher_commit(m, r->ids.id[k]);
    }
    bool whole = i == r->ids.n && matcher_accepting(m);
    matcher_rollback(m, (int)i);
    return whole;
}

static void put_times(struct json *o, const char *const *key, struct samples *s)
{
    static const char *const p[] = { "p50", "p99", "max" };
    struct json *t = samples_json(s, NULL);
    for (size_t i = 0; i < LEN(p) && key[i]; i++) {
        int64_t ns = 0;
        json_i64(json_get(t, p[i]), &ns);
        json_set(o, key[i], json_new_int(ns));
    }
    json_free(t);
    s->n = 0;
}

/* Steps the text through the grammar and writes the row. */
static bool time_steps(struct micro *r, const struct plan *p, struct json *row, struct err *e)
{
    struct grammar *g = compile(r, p, e);
    struct matcher *m = g ? matcher_new(g, r->o->vocab, e) : NULL;
    bool ok = m != NULL;
    for (int round = 0; ok && round < 4; round++)
        if (!walk_round(r, m, round))
            ok = err_set(e, ERR_INTERNAL, "the text of the case does not fit: %.300s",
                         matcher_why(m));
    if (ok) json_set(row, "bytes", json_new_int((int64_t)grammar_bytes(g)));
    put_times(row, (const char *const[]){ "warm_p50", "warm_p99", "warm_max" }, &r->warm);
    put_times(row, (const char *const[]){ "cold_p50", "cold_p99", "cold_max" }, &r->cold);
    put_times(row, (const char *const[]){ "commit_p50", NULL }, &r->commit);
    put_times(row, (const char *const[]){ "rollback_p50", NULL }, &r->rollback);
    matcher_free(m);
    grammar_free(g);
    return ok;
}

/* One row. Empties text. */
static void measure(struct micro *r, const struct plan *p, struct str *text)
{
    struct err e = { 0 };
    struct json *row = json_new_object();
    uint64_t compile_ns = 0, first_ns = 0;
    bool ok = mask_tokens(r->o, text, &r->ids) ||
              err_set(&e, ERR_INTERNAL, "the text cannot be cut into tokens");
    ok = ok && time_start(r, p, &compile_ns, &first_ns, &e) && time_steps(r, p, row, &e);
    json_set(row, "compile", json_new_int((int64_t)compile_ns));
    json_set(row, "first", json_new_int((int64_t)first_ns));
    json_set(row, "tokens", json_new_int((int64_t)r->ids.n));
    if (!ok) json_set(row, "refused", json_new_str(e.msg));
    json_set(r->cases, p->name, row);
    str_clear(text);
}

/* The same for a schema written as text; empties both. */
static void measure_schema(struct micro *r, const char *name, struct str *schema, struct str *text)
{
    struct err e = { 0 };
    struct json *v = json_parse(schema->p, schema->len, &e);
    if (v) measure(r, &(struct plan){ .name = name, .schema = v }, text);
    else log_line(LOG_ERROR, "bench masks --micro: %s: %s", name, e.msg);
    json_free(v);
    str_clear(schema);
    str_clear(text);
}

/* ---- tool sets ------------------------------------------------------------------------------ */

struct tool_list {
    struct grammar_pair *pair;
    int n, cap;
    struct json *file, *made;
};

static void tool_add(struct tool_list *l, const char *name, const struct json *schema)
{
    MEM_GROW(l->pair, l->n, l->cap);
    l->pair[l->n++] = (struct grammar_pair){ mem_str(name), schema };
}

/* Tools of a file: any nesting of arrays and objects that ends in tools. */
static void gather_tools(struct tool_list *l, const struct json *v)
{
    const struct json *f = json_is(v, JSON_OBJECT) ? tool_function(v) : NULL;
    const char *name = json_str(json_get(f, "name"), NULL);
    if (l->n >= MOST_TOOLS) return;
    if (name && json_is(json_get(f, "parameters"), JSON_OBJECT))
        tool_add(l, name, json_get(f, "parameters"));
    else if (json_is(v, JSON_ARRAY))
        for (size_t i = 0; i < json_len(v); i++) gather_tools(l, json_at(v, i));
    else if (json_is(v, JSON_OBJECT))
        for (struct json_iter it = json_iter(v); json_next(&it);) gather_tools(l, it.value);
}

static struct json *made_up_tool(void)
{
    static const char text[] = "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}"
                               ",\"unit\":{\"enum\":[\"celsius\",\"fahrenheit\"]},"
                               "\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":14},"
                               "\"hourly\":{\"type\":\"boolean\"},"
                               "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}},"
                               "\"required\":[\"city\",\"unit\"]}";
    return json_parse(text, sizeof text - 1, NULL);
}

/* Up to MOST_TOOLS with names of their own: what the file has, then copies with a number. */
static bool load_tools(struct tool_list *l, const char *path, struct err *e)
{
    if (path && !(l->file = json_read(path, e))) return false;
    if (path) gather_tools(l, l->file);
    if (path && !l->n) return err_set(e, ERR_ARG, "%s: no tool with a name and parameters", path);
    l->made = made_up_tool();
    int own = l->n;
    char name[160];
    for (int i = l->n; i < MOST_TOOLS; i++) {
        snprintf(name, sizeof name, "%.120s_v%d", own ? l->pair[i % own].name : "weather_forecast",
                 own ? i / own + 1 : i);
        tool_add(l, name, own ? l->pair[i % own].schema : l->made);
    }
    return true;
}

static void tools_done(struct tool_list *l)
{
    for (int i = 0; i < l->n; i++) mem_free((void *)(uintptr_t)l->pair[i].name);
    mem_free(l->pair);
    json_free(l->file);
    json_free(l->made);
}

/* Some value of a plain schema, as a model would write it. */
static void example_value(struct str *out, const struct json *schema)
{
    const struct json *list = json_get(schema, "enum"), *need = json_get(schema, "required"),
                      *type = json_get(schema, "type");
    if (json_len(list)) {
        json_write(out, json_at(list, json_len(list) / 2), JSON_PYTHON);
        return;
    }
    if (!json_str_is(type, "object")) {
        str_puts(out, json_str_is(type, "integer") || json_str_is(type, "number") ? "3"
                      : json_str_is(type, "boolean")                              ? "true"
                      : json_str_is(type, "array")                                ? "[]"
                                                   : "\"7 in the evening\"");
        return;
    }
    str_putc(out, '{');
    for (size_t i = 0; i < json_len(need); i++) {
        str_puts(out, i ? ", " : "");
        json_write(out, json_at(need, i), JSON_PYTHON);
        str_puts(out, ": ");
        example_value(out,
                      json_get(json_get(schema, "properties"), json_str(json_at(need, i), NULL)));
    }
    str_putc(out, '}');
}

static void example_call(struct str *out, const struct grammar_pair *p)
{
    str_fmt(out, "<tool_call>\n{\"name\": \"%s\", \"arguments\": ", p->name);
    example_value(out, p->schema);
    str_puts(out, "}\n</tool_call>");
}

static void tool_cases(struct micro *r, const struct tool_list *l, struct str *text)
{
    static const struct {
        const char *name;
        int n;
    } row[] = {
        { "1 tool", 1 },
        { "20 tools", 20 },
        { "100 tools", 100 },
        { "500 tools", 500 },
    };
    for (size_t i = 0; i < LEN(row); i++) {
        for (int k = 0; k < MIN(row[i].n, 3);
             k++) { /* the call to the tool with most arguments of three */
            str_clear(text);
            example_call(text, &l->pair[row[i].n - 1 - k]);
            if (strstr(text->p, "\": \"7")) break;
        }
        measure(r, &(struct plan){ row[i].name, HERMES, l->pair, row[i].n, NULL }, text);
    }
    str_puts(text, "Let me look that up for you. It is 5 < 7, and <tool> is no call.\n");
    example_call(text, &l->pair[19]);
    str_puts(text, "\nThat was one, and there is nothing more to say.");
    measure(r, &(struct plan){ "free text, trigger, 20 tools", TRIGGERED, l->pair, 20, NULL },
            text);
}

/* ---- constructs ----------------------------------------------------------------------------- */

static const char lorem[] =
    "The quick brown fox jumps over the lazy dog, and 23 more of them follow at noon. ";

static void string_cases(struct micro *r, struct str *schema, struct str *text)
{
    static const struct {
        const char *name;
        int most, len;
    } row[] = {
        { "maxLength 10", 10, 10 },
        { "maxLength 1000", 1000, 990 },
        { "maxLength 100000", 100000, 4000 },
    };
    for (size_t i = 0; i < LEN(row); i++) {
        str_fmt(schema, "{\"type\":\"string\",\"maxLength\":%d}", row[i].most);
        str_putc(text, '"');
        for (int k = 0; k < row[i].len; k++) str_putc(text, lorem[k % (int)(sizeof lorem - 1)]);
        str_putc(text, '"');
        measure_schema(r, row[i].name, schema, text);
    }
}

static void enum_cases(struct micro *r, struct str *schema, struct str *text)
{
    static const struct {
        const char *name;
        int n;
    } row[] = {
        { "enum of 10", 10 },
        { "enum of 1000", 1000 },
        { "enum of 20000", 20000 },
    };
    static const char *const word[] = { "amber", "birch", "cedar", "delta",
                                        "ember", "flint", "grove", "heron" };
    for (size_t i = 0; i < LEN(row); i++) {
        str_puts(schema, "{\"enum\":[");
        for (int k = 0; k < row[i].n; k++)
            str_fmt(schema, "%s\"%s-%s-%d\"", k ? "," : "", word[k % 8], word[k / 8 % 8], k);
        str_puts(schema, "]}");
        int k = row[i].n * 2 / 3;
        str_fmt(text, "\"%s-%s-%d\"", word[k % 8], word[k / 8 % 8], k);
        measure_schema(r, row[i].name, schema, text);
    }
}

static void pattern_cases(struct micro *r, struct str *schema, struct str *text)
{
    static const struct {
        const char *name, *schema, *text;
    } row[] = {
        { "pattern ^[a-z0-9-]{1,63}$", "{\"type\":\"string\",\"pattern\":\"^[a-z0-9-]{1,63}$\"}",
          "\"my-host-name-42-of-the-north\"" },
        { "pattern .*foo.*", "{\"type\":\"string\",\"pattern\":\".*foo.*\"}",
          "\"the word foo in the middle of a sentence\"" },
        { "pattern ^v\\d+\\.\\d+\\.\\d+$",
          "{\"type\":\"string\",\"pattern\":\"^v\\\\d+\\\\.\\\\d+\\\\.\\\\d+$\"}",
          "\"v12.304.7\"" },
        { "format email", "{\"type\":\"string\",\"format\":\"email\"}",
          "\"first.last+tag@mail.example.org\"" },
        { "format uri", "{\"type\":\"string\",\"format\":\"uri\"}",
          "\"https://example.org:8080/a/b?c=d&e=f#g\"" },
        { "format date-time", "{\"type\":\"string\",\"format\":\"date-time\"}",
          "\"2024-02-29T23:59:59.123Z\"" },
        { "integer 95 to 100000", "{\"type\":\"integer\",\"minimum\":95,\"maximum\":100000}",
          "40962" },
    };
    for (size_t i = 0; i < LEN(row); i++) {
        str_puts(schema, row[i].schema);
        str_puts(text, row[i].text);
        measure_schema(r, row[i].name, schema, text);
    }
}

static void optional_case(struct micro *r, struct str *schema, struct str *text)
{
    str_puts(schema, "{\"type\":\"object\",\"properties\":{");
    for (int k = 0; k < 100; k++)
        str_fmt(schema, "%s\"option_%d\":{\"type\":\"integer\"}", k ? "," : "", k);
    str_puts(schema, "},\"additionalProperties\":false}");
    for (int k = 0; k < 100; k++)
        str_fmt(text, "%s\"option_%d\": %d", k ? ", " : "{", k * 37 % 100, k * 11);
    str_putc(text, '}');
    measure_schema(r, "100 optional, any order", schema, text);
}

static void nesting_case(struct micro *r, struct str *schema, struct str *text)
{
    enum { DEPTH = 64 };
    for (int k = 0; k < DEPTH; k++) {
        str_puts(schema, "{\"type\":\"object\",\"properties\":{\"next\":");
        str_puts(text, "{\"next\": ");
    }
    str_puts(schema, "{\"type\":\"integer\"}");
    str_puts(text, "7");
    for (int k = 0; k < DEPTH; k++) {
        str_puts(schema, "},\"required\":[\"next\"],\"additionalProperties\":false}");
        str_putc(text, '}');
    }
    measure_schema(r, "64 deep", schema, text);
}

static void one_of_case(struct micro *r, struct str *schema, struct str *text)
{
    str_puts(schema, "{\"oneOf\":[");
    for (int k = 0; k < 50; k++)
        str_fmt(schema,
                "%s{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"kind_%d\"},\"field_%"
                "d\":{\"type\":\"string\"},"
                "\"count\":{\"type\":\"integer\"}},\"required\":[\"kind\",\"field_%d\"],"
                "\"additionalProperties\":false}",
                k ? "," : "", k, k, k);
    str_puts(schema, "]}");
    str_puts(text, "{\"count\": 12, \"kind\": \"kind_37\", \"field_37\": \"some words in it\"}");
    measure_schema(r, "oneOf, 50 branches", schema, text);
}

static void any_json_case(struct micro *r, struct str *schema, struct str *text)
{
    str_puts(schema, "{}");
    str_puts(
        text,
        "{\"a\": [1, -2.5, 3e7, true, null], \"words\": {\"b\": \"some words in it\", \"c\": {}}}");
    measure_schema(r, "any JSON", schema, text);
}

struct json *mask_micro(const struct mask_opts *o, struct err *e)
{
    struct micro r = { .o = o, .bits = mem_zero(MASK_WORDS(tok_n_vocab(o->tok)) * sizeof *r.bits) };
    struct tool_list tools = { 0 };
    struct str schema = { 0 }, text = { 0 };
    struct json *out = NULL;
    if (load_tools(&tools, o->tools, e)) {
        out = json_new_object();
        r.cases = json_new_object();
        tool_cases(&r, &tools, &text);
        string_cases(&r, &schema, &text);
        enum_cases(&r, &schema, &text);
        pattern_cases(&r, &schema, &text);
        optional_case(&r, &schema, &text);
        nesting_case(&r, &schema, &text);
        one_of_case(&r, &schema, &text);
        any_json_case(&r, &schema, &text);
        json_set(out, "kind", json_new_str("micro"));
        json_set(out, "clock", json_new_int((int64_t)clock_cost_ns(r.o)));
        json_set(out, "cases", r.cases);
    }
    struct samples *s[] = { &r.warm, &r.cold, &r.commit, &r.rollback };
    for (size_t i = 0; i < LEN(s); i++) samples_done(s[i]);
    tools_done(&tools);
    str_done(&schema);
    str_done(&text);
    mem_free(r.ids.id);
    mem_free(r.bits);
    return out;
}
