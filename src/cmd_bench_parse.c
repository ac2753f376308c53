/* cmd_bench_parse.c -- `tenon bench parse`: how fast the parsers read what models write.
 *
 * One answer a dialect: prose, then calls with nested arguments, about 64 KiB. It is read whole and in pieces
 * of four bytes, as tokens come. A megabyte is 1e6 bytes; the median of the runs counts. */
#include <stdlib.h>

#include "front.h"
#include "text/text.h"

struct parse_cmd { const char *dialect; int64_t runs; bool json; };
static const struct parse_cmd defaults = { .runs = 21 };

static const struct opt opts[] = {
    { "Measurement", 0, "dialect", "NAME", OPT_STR, offsetof(struct parse_cmd, dialect), "this one alone (default: all)" },
    { "Measurement", 'r', "runs", "N", OPT_INT, offsetof(struct parse_cmd, runs), "repetitions (default: 21)" },
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct parse_cmd, json), "a JSON object (default: a table)" },
};

static const char prose[] =
    "The forecast for the coming days is mixed: rain on Tuesday \xe2\x80\x93 about 4 mm \xe2\x80\x93 and if the wind is < 5 m/s,\n"
    "fog in the morning. I look up the details, \"just to be sure\", and compare them with last week's.\n";
static const char arguments[] =
    "{\"city\": \"Troms\xc3\xb8\", \"days\": 14, \"units\": [\"metric\", \"imperial\"], \"exact\": true, \"at\": {\"lat\": 69.6492, \"lon\": 18.9553, "
    "\"name\": null}, \"note\": \"The user asked for the forecast of the harbour, line by line:\\nwind, gusts, \\\"feels like\\\" and waves.\"}";

/* How an answer is put together: text and `calls` calls. */
static const struct shape { const char *dialect, *head, *first, *next, *close, *end; } shapes[] = {
    { "lfm2-json", "", "<|tool_call_start|>[{\"name\":\"weather\",\"arguments\":", ",{\"name\":\"weather\",\"arguments\":", "}", "]<|tool_call_end|>" },
    { "lfm2", "", "<|tool_call_start|>[weather(request=", ", weather(request=", ")", "]<|tool_call_end|>" },
    { "functionary-v1", "\n", "\n<|START_OF_FUNCTION_CALL|>weather:\n", "<|START_OF_FUNCTION_CALL|>weather:\n", "", "" },
    { "functionary-v2", "all\n<|content|>", "\n<|from|>assistant\n<|recipient|>weather\n<|content|>", "\n<|from|>assistant\n<|recipient|>weather\n<|content|>", "", "" },
    { "functionary-v2.llama3", "", "<|reserved_special_token_249|>weather\n", "<|reserved_special_token_249|>weather\n", "", "" },
    { "functionary-v3.2", "all\n", ">>>weather\n", ">>>weather\n", "", "" },
    { "functionary-v3.1", "", "<function=weather>", "<function=weather>", "</function>", "" },
    { "functionary-v4r", "", "<function=weather>", "<function=weather>", "</function>", "" },
    { "llama3.1", NULL, "{\"name\": \"weather\", \"parameters\": ", "; {\"name\": \"weather\", \"parameters\": ", "}", "" },
    { "hermes", "", "\n<tool_call>\n{\"name\": \"weather\", \"arguments\": ", "\n<tool_call>\n{\"name\": \"weather\", \"arguments\": ", "}\n</tool_call>", "" },
    { "json", "", "[{\"name\":\"weather\",\"arguments\":", ",{\"name\":\"weather\",\"arguments\":", "}", "]" },
};
enum { PROSE = 120, CALLS = 100 };

static void write_answer(const struct shape *s, struct str *out)
{
    str_puts(out, s->head ? s->head : "");
    for (int i = 0; s->head && i < PROSE; i++) str_puts(out, prose);
    for (int i = 0; i < CALLS; i++) str_fmt(out, "%s%s%s", i ? s->next : s->first, arguments, s->close);
    str_puts(out, s->end);
}

static void count(void *ctx, const struct parse_event *ev) { *(int *)ctx += ev->kind == PARSE_CALL_END; }

/* MB/s of one reading; 0: the calls were not found. */
static double read_once(const struct shape *s, const struct turn *t, const struct str *in, size_t step)
{
    struct wire w;
    struct err e = { 0 };
    int calls = 0;
    uint64_t t0 = clock_ns();
    wire_open(&w, dialect_find(s->dialect), t, count, &calls);
    for (size_t i = 0; i < in->len; i += step) wire_feed(&w, in->p + i, MIN(step, in->len - i), false);
    bool ok = wire_close(&w, false, &e);
    double seconds = (double)(clock_ns() - t0) * 1e-9;
    return ok && calls == CALLS ? (double)in->len / seconds * 1e-6 : 0;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const struct shape *s, const struct turn *t, const struct str *in, size_t step, int runs)
{
    double *v = mem_alloc((size_t)runs * sizeof *v);
    for (int i = 0; i < runs; i++) v[i] = read_once(s, t, in, step);
    qsort(v, (size_t)runs, sizeof *v, ascending);
    double m = v[runs / 2];
    mem_free(v);
    return m;
}

static void print(struct json *all, const struct shape *s, size_t bytes, double whole, double pieces)
{
    if (!all) {
        printf("%-22s %6zu bytes %8.0f MB/s whole %8.0f MB/s by 4 bytes\n", s->dialect, bytes, whole, pieces);
        return;
    }
    struct json *o = json_new_object();
    json_set(o, "bytes", json_new_int((int64_t)bytes));
    json_set(o, "whole_mb_per_s", json_new_f64(whole));
    json_set(o, "pieces_mb_per_s", json_new_f64(pieces));
    json_set(all, s->dialect, o);
}

static int run(const void *opts_, int n_arg, char **arg)
{
    static const char tools[] = "[{\"name\":\"weather\"},{\"name\":\"weather_map\"},{\"name\":\"clock\"}]";
    const struct parse_cmd *o = opts_;
    struct err e = { 0 };
    struct json *list = json_parse(tools, sizeof tools - 1, &e), *all = o->json ? json_new_object() : NULL;
    struct turn t = { .tools = list };
    bool ok = o->runs > 0 || err_set(&e, ERR_ARG, "--runs: at least 1");
    if (ok && o->dialect && !dialect_find(o->dialect)) ok = err_set(&e, ERR_ARG, "dialect \"%.60s\" is not known", o->dialect);
    for (size_t i = 0; ok && i < LEN(shapes); i++) {
        struct str in = { 0 };
        if (o->dialect && strcmp(o->dialect, shapes[i].dialect)) continue;
        write_answer(&shapes[i], &in);
        double whole = median(&shapes[i], &t, &in, in.len, (int)o->runs), pieces = median(&shapes[i], &t, &in, 4, (int)o->runs);
        if (whole > 0 && pieces > 0) print(all, &shapes[i], in.len, whole, pieces);
        else ok = err_set(&e, ERR_INTERNAL, "%s: the calls were not read", shapes[i].dialect);
        str_done(&in);
    }
    if (ok && all) {
        struct str s = { 0 };
        json_write(&s, all, JSON_COMPACT);
        puts(s.p);
        str_done(&s);
    }
    json_free(all);
    json_free(list);
    return ok ? 0 : front_fail("bench parse", &e);
}

const struct command cmd_bench_parse = {
    .verb = "bench parse",
    .args = "",
    .sentence = "Measure how fast the output of models is read, dialect by dialect.",
    .example = "tenon bench parse",
    .opt = opts,
    .n_opt = LEN(opts),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .min_arg = 0,
    .max_arg = 0,
    .run = run,
};
