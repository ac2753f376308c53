/* bfcl.c -- the single-turn part of the Berkeley function-calling leaderboard: questions, verdicts, totals.
 *
 * A line is an entry with its category; the category says everything: in what language the functions are
 * documented, whether one call is wanted, several in any order, any, or none. Totals are those of its
 * version 4, each only where all of its categories were asked; what was not is named, never counted as 0.
 * Stricter than the original in one place: a request that was refused or failed is wrong where no call is
 * wanted, too.
 *
 * Not here: the turns of multi_turn, memory, web search. */
#include "eval/int.h"

#define ANSWER_TOKENS 512

/* ---- categories -------------------------------------------------------------------------------- */

/* In the order in which they are printed. */
static const char *const categories[] = {
    "simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple", "irrelevance",
    "live_simple", "live_multiple", "live_parallel", "live_parallel_multiple", "live_irrelevance", "live_relevance",
};

static const char *category_of(const struct json *line)
{
    return json_str(json_get(line, "category"), NULL);
}

static enum judge_language language_of(const char *category)
{
    if (strstr(category, "javascript")) return JUDGE_JAVASCRIPT;
    return strstr(category, "java") ? JUDGE_JAVA : JUDGE_PYTHON;
}

static enum judge_match match_of(const char *category)
{
    if (strstr(category, "parallel")) return JUDGE_ANY_ORDER;
    return strstr(category, "multiple") ? JUDGE_NAMED : JUDGE_FIRST;
}

static bool known(const char *category)
{
    for (size_t i = 0; i < LEN(categories); i++)
        if (!strcmp(categories[i], category)) return true;
    return false;
}

static bool check(const struct json *line, struct err *e)
{
    const char *c = category_of(line), *wrong = NULL;
    const struct json *question = json_get(line, "question");
    if (!c) wrong = "category: a string is needed";
    else if (!known(c))
        return err_set(e, ERR_UNSUPPORTED,
                       "category '%.60s' is not evaluated here; simple_*, multiple, parallel, "
                       "parallel_multiple, irrelevance and live_* are",
                       c);
    else if (!json_is(json_get(line, "function"), JSON_ARRAY))
        wrong = "function: an array is needed";
    else if (json_len(question) != 1 || !json_is(json_at(question, 0), JSON_ARRAY))
        wrong = "question: an array of one turn is needed";
    else if (!strstr(c, "relevance") && !json_is(json_get(line, "ground_truth"), JSON_ARRAY))
        wrong = "ground_truth: an array is needed";
    return !wrong || err_set(e, ERR_FORMAT, "%s", wrong);
}

static struct json *request(void *ctx, const struct json *line)
{
    struct json *tools = bfcl_tools(json_get(line, "function"), language_of(category_of(line)));
    return point_request(json_at(json_get(line, "question"), 0), tools, ANSWER_TOKENS);
}

/* ---- verdicts ------------------------------------------------------------------------------------ */

/* "Called" = there are calls and all of them can be read. */
static struct verdict judge_relevance(const char *category, const struct json *calls)
{
    bool called = json_len(calls) > 0, wanted = !strstr(category, "irrelevance");
    for (size_t i = 0; i < json_len(calls); i++) called &= json_is(json_at(calls, i), JSON_OBJECT);
    if (called == wanted) return (struct verdict){ true, "" };
    return (struct verdict){ false, wanted ? "relevance_error:decoder_failed"
                                           : "irrelevance_error:decoder_success" };
}

static struct verdict judge(void *ctx, const struct json *line, const struct message *m)
{
    const char *c = category_of(line);
    if (!m) return (struct verdict){ false, "failed" };
    struct json *calls = point_calls(m, false);
    struct judge_opts o = { .match = match_of(c),
                            .dots_shown_as_underscores = true,
                            .language = language_of(c) };
    struct verdict v = { false, "ast_decoder:decoder_failed" };
    bool readable = true;
    for (size_t i = 0; i < json_len(calls); i++)
        readable &= json_is(json_at(calls, i), JSON_OBJECT);
    if (strstr(c, "relevance")) v = judge_relevance(c, calls);
    else if (readable)
        v = judge_calls(json_get(line, "function"), json_get(line, "ground_truth"), calls, &o);
    json_free(calls);
    return v;
}

const struct benchmark bench_bfcl = {
    .kind = "category", .check = check, .request = request, .judge = judge
};

bool eval_bfcl(const struct lines *lines, const struct asking *a, struct eval_report *out,
               struct err *e)
{
    return points_run(&bench_bfcl, NULL, lines, a, out, e);
}

/* ---- totals ---------------------------------------------------------------------------------------- */

static const struct tally *asked(const struct eval_report *r, const char *category)
{
    for (int i = 0; i < r->n_kind; i++)
        if (!strcmp(r->kind[i].kind, category) && r->kind[i].n) return &r->kind[i];
    return NULL;
}

/* Mean over categories, by entry count if weighted. False: not all were asked. */
static bool mean_of(const struct eval_report *r, const char *const *category, int n, bool weighted,
                    struct share *out)
{
    struct share s[8];
    double weight[8];
    for (int i = 0; i < n; i++) {
        const struct tally *t = asked(r, category[i]);
        if (!t) return false;
        s[i] = share_of(t);
        weight[i] = weighted ? t->n : 1;
    }
    *out = share_mean(s, weight, n);
    return true;
}

enum total { SIMPLE, NON_LIVE, LIVE, IRRELEVANCE, OVERALL, TOTALS };
static const char *const total_name[TOTALS] = { "simple", "non_live", "live", "irrelevance_mean",
                                                "overall_v4" };

/* have[i]: total i can be told. */
static void totals(const struct eval_report *r, struct share out[TOTALS], bool have[TOTALS])
{
    static const char *const rest[] = { "multiple", "parallel", "parallel_multiple" };
    struct share parts[4];
    have[SIMPLE] = mean_of(r, categories, 3, false, &out[SIMPLE]);
    have[NON_LIVE] = have[SIMPLE];
    parts[0] = out[SIMPLE];
    for (int i = 0; i < 3; i++) have[NON_LIVE] &= mean_of(r, &rest[i], 1, false, &parts[i + 1]);
    if (have[NON_LIVE]) out[NON_LIVE] = share_mean(parts, NULL, 4);
    have[LIVE] = mean_of(r, categories + 7, 4, true, &out[LIVE]);
    have[IRRELEVANCE] = mean_of(r, (const char *const[]){ "irrelevance", "live_irrelevance" }, 2,
                                false, &out[IRRELEVANCE]);
    have[OVERALL] = have[NON_LIVE] && have[LIVE] && have[IRRELEVANCE];
    if (!have[OVERALL]) return;
    struct share all[4] = { out[NON_LIVE], out[LIVE], out[IRRELEVANCE], { 0 } };
    out[OVERALL] = share_mean(all, (const double[]){ 0.1, 0.1, 0.1, 0.7 }, 4);
}

static struct json *not_asked(const struct eval_report *r)
{
    static const char *const never[] = { "multi_turn_base", "multi_turn_miss_func",
                                         "multi_turn_miss_param", "multi_turn_long_context",
                                         "memory", "web_search", "format_sensitivity" };
    struct json *list = json_new_array();
    for (size_t i = 0; i < LEN(categories); i++)
        if (!asked(r, categories[i])) json_push(list, json_new_str(categories[i]));
    for (size_t i = 0; i < LEN(never); i++) json_push(list, json_new_str(never[i]));
    return list;
}

void eval_bfcl_print(const struct eval_report *r, struct str *out)
{
    struct share t[TOTALS];
    bool have[TOTALS];
    tally_heading(out);
    for (size_t i = 0; i < LEN(categories); i++)
        if (asked(r, categories[i])) tally_row(asked(r, categories[i]), out);
    totals(r, t, have);
    for (int i = 0; i < TOTALS; i++) {
        str_fmt(out, "%-22s %13s  ", total_name[i], "");
        if (have[i]) share_print(&t[i], out);
        else str_puts(out, "not told: not all of its categories were asked");
        str_puts(out, i == OVERALL && have[i] ? "   (what is not evaluated counts 0)\n" : "\n");
    }
    struct json *missing = not_asked(r);
    str_puts(out, "not evaluated:");
    for (size_t i = 0; i < json_len(missing); i++)
        str_fmt(out, "%s %s", i ? "," : "", json_str(json_at(missing, i), NULL));
    str_fmt(out, "\nmean time of an answer: %.1f ms\n", r->mean_ms);
    json_free(missing);
}

struct json *eval_bfcl_json(const struct eval_report *r)
{
    struct share t[TOTALS];
    bool have[TOTALS];
    struct json *o = json_new_object(), *sums = json_new_object();
    totals(r, t, have);
    for (int i = 0; i < TOTALS; i++)
        json_set(sums, total_name[i], have[i] ? share_json(&t[i]) : json_new_null());
    json_set(o, "categories", kinds_json(r));
    json_set(o, "totals", sums);
    json_set(o, "not_evaluated", not_asked(r));
    json_set(o, "mean_ms", rounded(r->mean_ms));
    return o;
}
