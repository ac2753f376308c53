/* report.c -- shares and their 95 % intervals, as a table for people and as JSON.
 *
 * A share of n has the interval of Wilson, which stays sensible at 0 and at 1. A mean of shares (the totals
 * of a benchmark) has the normal interval of a weighted sum, each part's variance taken at its Wilson
 * centre, so that a part of 0 or 1 is not taken for certain. */
#include <math.h>

#include "eval/int.h"

static const double z = 1.959963984540054;

void eval_report_done(struct eval_report *r)
{
    mem_free(r->kind);
    *r = (struct eval_report){ 0 };
}

void eval_interval(int n, int k, double *low, double *high)
{
    *low = 0, *high = 1;
    if (n <= 0) return;
    double p = (double)k / n, d = 1 + z * z / n;
    double mid = (p + z * z / (2 * n)) / d,
           half = z * sqrt(p * (1 - p) / n + z * z / (4.0 * n * n)) / d;
    *low = k == 0 ? 0 : mid - half;
    *high = k == n ? 1 : mid + half;
}

struct share share_of(const struct tally *t)
{
    struct share s = { .value = t->n ? (double)t->exact / t->n : 0 };
    double mid = (t->exact + z * z / 2) / (t->n + z * z);
    s.variance = mid * (1 - mid) / MAX(t->n, 1);
    eval_interval(t->n, t->exact, &s.low, &s.high);
    return s;
}

struct share share_mean(const struct share *s, const double *weight, int n)
{
    struct share m = { 0 };
    double all = 0;
    for (int i = 0; i < n; i++) all += weight ? weight[i] : 1;
    for (int i = 0; i < n; i++) {
        double w = (weight ? weight[i] : 1) / all;
        m.value += w * s[i].value;
        m.variance += w * w * s[i].variance;
    }
    m.low = fmax(0, m.value - z * sqrt(m.variance));
    m.high = fmin(1, m.value + z * sqrt(m.variance));
    return m;
}

void share_print(const struct share *s, struct str *out)
{
    str_fmt(out, "%5.1f %%   %5.1f to %5.1f", 100 * s->value, 100 * s->low, 100 * s->high);
}

void tally_row(const struct tally *t, struct str *out)
{
    struct share s = share_of(t);
    str_fmt(out, "%-22s %6d %6d  ", t->kind, t->n, t->exact);
    share_print(&s, out);
    if (t->failed) str_fmt(out, "   %d not answered", t->failed);
    str_putc(out, '\n');
}

void tally_heading(struct str *out)
{
    str_fmt(out, "%-22s %6s %6s  %7s   %s\n", "kind", "n", "exact", "share", "95 % interval");
}

void eval_report_print(const struct eval_report *r, struct str *out)
{
    tally_heading(out);
    for (int i = 0; i < r->n_kind; i++) tally_row(&r->kind[i], out);
    tally_row(&r->all, out);
    str_fmt(out, "mean time of an answer: %.1f ms\n", r->mean_ms);
}

struct json *rounded(double x)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%.4f", x);
    return json_new_number(text, (size_t)n);
}

struct json *share_json(const struct share *s)
{
    struct json *o = json_new_object();
    json_set(o, "exact", rounded(s->value));
    json_set(o, "low", rounded(s->low));
    json_set(o, "high", rounded(s->high));
    return o;
}

struct json *tally_row_json(const struct tally *t)
{
    struct json *o = json_new_object();
    struct share s = share_of(t);
    json_set(o, "n", json_new_int(t->n));
    json_set(o, "exact", rounded(s.value));
    json_set(o, "low", rounded(s.low));
    json_set(o, "high", rounded(s.high));
    if (t->failed) json_set(o, "failed", json_new_int(t->failed));
    return o;
}

struct json *kinds_json(const struct eval_report *r)
{
    struct json *kinds = json_new_object();
    for (int i = 0; i < r->n_kind; i++)
        json_set(kinds, r->kind[i].kind, tally_row_json(&r->kind[i]));
    return kinds;
}

struct json *eval_report_json(const struct eval_report *r)
{
    struct json *o = json_new_object();
    json_set(o, "all", tally_row_json(&r->all));
    json_set(o, "kinds", kinds_json(r));
    json_set(o, "mean_ms", rounded(r->mean_ms));
    return o;
}
