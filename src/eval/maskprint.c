/* maskprint.c -- the reports on the grammar room as tables.
 *
 * Everything is in the report; here it only gets columns. Times are ns in the report and
 * microseconds in the tables. */
#include "eval/int.h"

static int64_t num(const struct json *o, const char *key)
{
    int64_t v = 0;
    json_i64(json_get(o, key), &v);
    return v;
}

static double real(const struct json *o, const char *key)
{
    return json_f64(json_get(o, key));
}

/* ---- rows ----------------------------------------------------------------------------------- */

static const char *const percentile[] = { "p50", "p90", "p99", "p999", "max", "avg" };

static void head_of_times(struct str *out, const char *unit)
{
    str_fmt(out, "%-28s", unit);
    for (size_t i = 0; i < LEN(percentile); i++)
        str_fmt(out, " %10s", strcmp(percentile[i], "p999") ? percentile[i] : "p99.9");
    str_fmt(out, " %10s\n", "samples");
}

static void row_of_times(struct str *out, const char *name, const struct json *t, double unit,
                         int digits)
{
    if (!num(t, "n")) return;
    str_fmt(out, "%-28s", name);
    for (size_t i = 0; i < LEN(percentile); i++)
        str_fmt(out, " %10.*f", digits, (double)num(t, percentile[i]) / unit);
    str_fmt(out, " %10lld\n", (long long)num(t, "n"));
}

static void sentences(struct str *out, const char *title, const struct json *list, int64_t n)
{
    if (!json_len(list)) return;
    str_fmt(out, "\n%s:\n", title);
    for (size_t i = 0; i < json_len(list); i++)
        str_fmt(out, "  %s\n", json_str(json_at(list, i), NULL));
    if (n > (int64_t)json_len(list))
        str_fmt(out, "  and %lld more (--list shows all)\n",
                (long long)(n - (int64_t)json_len(list)));
}

/* A table of whole numbers: one row a member of `sets`, then `all`. */
static void table(struct str *out, const struct json *sets, const struct json *all,
                  const char *const (*column)[2], size_t n)
{
    str_fmt(out, "%-16s", "set");
    for (size_t i = 0; i < n; i++) str_fmt(out, " %10s", column[i][1]);
    str_putc(out, '\n');
    struct json_iter it = json_iter(sets);
    for (bool more = true; more;) {
        more = json_next(&it);
        const struct json *row = more ? it.value : all;
        str_fmt(out, "%-16s", more ? it.key : "all");
        for (size_t i = 0; i < n; i++) str_fmt(out, " %10lld", (long long)num(row, column[i][0]));
        str_putc(out, '\n');
    }
}

/* ---- the protocol --------------------------------------------------------------------------- */

static void print_slowest(const struct json *slowest, struct str *out)
{
    for (struct json_iter it = json_iter(slowest); json_next(&it);) {
        str_fmt(out, "\nslowest %s, us:\n", it.key);
        for (size_t i = 0; i < json_len(it.value); i++) {
            const struct json *row = json_at(it.value, i);
            str_fmt(out, "  %12.1f %s", (double)num(row, "ns") / 1e3,
                    json_str(json_get(row, "schema"), NULL));
            if (num(row, "steps_above_1ms"))
                str_fmt(out, ", %lld steps above 1000",
                        (long long)num(row, "steps_above_1ms"));
            str_putc(out, '\n');
        }
    }
}

/* Times by what the state waits for. */
static void print_kinds(const struct json *kinds, const char *title, struct str *out)
{
    if (!json_len(kinds)) return;
    str_fmt(out, "\n%-8s %9s %8s %8s %8s %9s  %s\n", "> 50 us", "steps", "p50", "p99", "avg", "max", title);
    for (size_t i = 0; i < json_len(kinds); i++) {
        const struct json *row = json_at(kinds, i), *t = json_get(row, "ns");
        str_fmt(out, "%8lld %9lld %8.1f %8.1f %8.1f %9.1f  %s\n", (long long)num(row, "steps_above_50us"),
                (long long)num(t, "n"), (double)num(t, "p50") / 1e3, (double)num(t, "p99") / 1e3,
                (double)num(t, "avg") / 1e3, (double)num(t, "max") / 1e3, json_str(json_get(row, "waits_for"), NULL));
    }
}

static void print_masks(const struct json *r, struct str *out)
{
    static const char *const column[][2] = {
        { "schemas", "schemas" },         { "compiled", "compiled" },
        { "refused", "refused" },         { "passing", "passing" },
        { "passing_protocol", "no-end" }, { "false_reject", "f.reject" },
        { "false_accept", "f.accept" },   { "false_accept_no_end", "f.acc.n-e" },
        { "tokens", "tokens" },
    };
    static const char *const time[][2] = {
        { "parse", "parse" },
        { "compile", "compile" },
        { "refusal", "refusal" },
        { "first_mask", "matcher and first mask" },
        { "ttfm", "TTFM = compile + first" },
        { "mask_commit", "mask+commit" },
        { "mask_commit_seen", "  state seen before" },
        { "mask_commit_fresh", "  state not seen" },
        { "mask_commit_cold", "mask+commit, cold, min of 3" },
        { "commit", "commit alone" },
        { "rollback_8", "rollback of 8 tokens" },
        { "forced", "forced" },
    };
    const struct json *t = json_get(r, "times_ns"), *m = json_get(r, "memory_bytes"),
                      *all = json_get(r, "all");
    table(out, json_get(r, "sets"), all, column, LEN(column));
    str_puts(out, "passing: compiled, no wrong verdict, the end asked for; no-end: as the "
                  "protocol, which does not ask\n\n");
    head_of_times(out, "times, us");
    for (size_t i = 0; i < LEN(time); i++)
        row_of_times(out, time[i][1], json_get(t, time[i][0]), 1e3, 2);
    str_fmt(out, "each sample holds one reading of the clock, about %.3f us\n\n",
            (double)num(t, "clock") / 1e3);
    head_of_times(out, "memory, KiB");
    row_of_times(out, "a grammar", json_get(m, "grammar"), 1024, 1);
    str_fmt(out,
            "vocabulary %.1f MiB, its caches %.1f of %.1f MiB, peak of the process %.1f MiB, %.1f "
            "of it samples\n",
            (double)num(m, "vocabulary") / (1 << 20), (double)num(m, "cache") / (1 << 20),
            (double)num(m, "cache_limit") / (1 << 20), (double)num(r, "peak_rss") / (1 << 20),
            (double)num(m, "samples_kept") / (1 << 20));
    if (num(r, "mask_and_commit_disagree"))
        str_fmt(out, "DISAGREE: mask and commit differ on %lld tokens\n",
                (long long)num(r, "mask_and_commit_disagree"));
    if (num(r, "cold_hits"))
        str_fmt(out, "NOT COLD: %lld masks of the cold pass were remembered ones\n",
                (long long)num(r, "cold_hits"));
    struct json_iter by = json_iter(json_get(r, "refused_by"));
    while (json_next(&by))
        str_fmt(out, "%s%s %lld", by.index ? ", " : "\nrefused by: ", by.key,
                (long long)num(json_get(r, "refused_by"), by.key));
    if (json_len(json_get(r, "refused_by"))) str_putc(out, '\n');
    sentences(out, "refused", json_get(r, "refusals"), num(all, "refused"));
    sentences(out, "wrong verdicts", json_get(r, "wrong"),
              num(all, "rejected_instances") + num(all, "accepted_instances"));
    print_slowest(json_get(r, "slowest"), out);
    print_kinds(json_get(r, "kinds"), "the state waits for", out);
    print_kinds(json_get(r, "cold_kinds"), "nothing remembered", out);
}

/* ---- forced runs ---------------------------------------------------------------------------- */

static void print_forced(const struct json *r, struct str *out)
{
    static const char *const column[][2] = {
        { "schemas", "schemas" },     { "instances", "instances" },
        { "skipped", "skipped" },     { "tokens", "tokens" },
        { "forceable", "forceable" }, { "forced", "forced" },
        { "drafted", "drafted" },     { "confirmed", "confirmed" },
        { "held", "held back" },      { "runs", "runs" },
        { "not_canonical", "not canon." }, { "broken", "broken" },
    };
    const struct json *all = json_get(r, "all");
    table(out, json_get(r, "sets"), all, column, LEN(column));
    str_puts(out,
             "forceable: every byte is the only one possible; forced: by matcher_forced, as the "
             "tokenizer cuts the whole text;\n"
             "drafted: computed with the run before, confirmed: and then chosen; fed: forced or "
             "confirmed;\n"
             "held back: forceable and not fed, but a longer token was allowed in its place; broken: "
             "runs that do not stay\n"
             "as they are if a random way on is written behind them\n");
    struct json_iter it = json_iter(json_get(r, "sets"));
    str_fmt(out, "\n%-16s %10s %10s %22s %10s %10s\n", "%", "fed of", "forced of", "forceable of all",
            "fed of", "forced of");
    str_fmt(out, "%-16s %10s %10s %22s %10s %10s\n", "set", "forceable", "forceable",
            "(the bound)", "all", "all");
    for (bool more = true; more;) {
        more = json_next(&it);
        const struct json *row = more ? it.value : all;
        str_fmt(out, "%-16s %10.2f %10.2f %22.2f %10.2f %10.2f\n", more ? it.key : "all",
                real(row, "fed_of_forceable"), real(row, "forced_of_forceable"),
                real(row, "forceable_of_all"), real(row, "fed_of_all"), real(row, "forced_of_all"));
    }
    sentences(out, "runs that are not canonical", json_get(r, "wrong"),
              num(all, "not_canonical") + num(all, "broken"));
    sentences(out, "skipped", json_get(r, "skips"), num(all, "skipped"));
}

/* ---- checks --------------------------------------------------------------------------------- */

static void print_checks(const struct json *r, struct str *out)
{
    for (struct json_iter part = json_iter(json_get(r, "checks")); json_next(&part);) {
        str_fmt(out, "%s:", part.key);
        for (struct json_iter it = json_iter(part.value); json_next(&it);)
            if (json_is(it.value, JSON_NUMBER))
                str_fmt(out, "%s %lld %s", it.index ? "," : "", (long long)num(part.value, it.key),
                        it.key);
        str_putc(out, '\n');
        sentences(out, "failures", json_get(part.value, "sentences"), num(part.value, "failures"));
    }
}

/* ---- micro-benchmarks ----------------------------------------------------------------------- */

static void print_micro(const struct json *r, struct str *out)
{
    static const struct {
        const char *key, *head;
        double unit;
        int digits;
    } column[] = {
        { "compile", "compile", 1e3, 1 },   { "first", "first mask", 1e3, 1 },
        { "warm_p50", "warm p50", 1e3, 2 }, { "warm_p99", "warm p99", 1e3, 2 },
        { "warm_max", "warm max", 1e3, 2 }, { "cold_p50", "cold p50", 1e3, 2 },
        { "cold_p99", "cold p99", 1e3, 2 }, { "cold_max", "cold max", 1e3, 2 },
        { "commit_p50", "commit", 1e3, 2 }, { "rollback_p50", "rollback 8", 1e3, 2 },
        { "bytes", "KiB", 1024, 1 },        { "tokens", "tokens", 1, 0 },
    };
    str_puts(out, "times in us; warm, cold: mask and commit of each token; cold: cache cleared "
                  "before each, smallest of 3\n");
    str_fmt(out, "%-30s", "case");
    for (size_t i = 0; i < LEN(column); i++) str_fmt(out, " %10s", column[i].head);
    str_putc(out, '\n');
    for (struct json_iter it = json_iter(json_get(r, "cases")); json_next(&it);) {
        str_fmt(out, "%-30s", it.key);
        const char *why = json_str(json_get(it.value, "refused"), NULL);
        for (size_t i = 0; !why && i < LEN(column); i++)
            str_fmt(out, " %10.*f", column[i].digits,
                    real(it.value, column[i].key) / column[i].unit);
        str_fmt(out, "%s%s\n", why ? " refused: " : "", why ? why : "");
    }
    str_fmt(out, "each sample holds one reading of the clock, about %.3f us\n",
            (double)num(r, "clock") / 1e3);
}

void mask_print(const struct json *report, struct str *out)
{
    static const struct {
        const char *kind;
        void (*print)(const struct json *, struct str *);
    } row[] = {
        { "masks", print_masks },
        { "forced", print_forced },
        { "checks", print_checks },
        { "micro", print_micro },
    };
    for (size_t i = 0; i < LEN(row); i++)
        if (json_str_is(json_get(report, "kind"), row[i].kind)) row[i].print(report, out);
}
