/* steps.c -- forward passes a turn: the calls of the Berkeley leaderboard as a model would write them that knows
 * them.
 *
 * The text is that of dialect `json`: a compact JSON list, of every value the first that is accepted; a
 * parameter that may be left out and has nothing else is left out. Lines whose text the grammar does not
 * hold (a default beside the type, a value beside its enum) are counted apart. */
#include "eval/int.h"

/* The first accepted value, with what is inside an object chosen the same way; NULL: left out. Owned. */
static struct json *first_of(const struct json *accepted);

static struct json *chosen(const struct json *v)
{
    if (json_is(v, JSON_OBJECT)) {
        struct json *o = json_new_object();
        for (struct json_iter it = json_iter(v); json_next(&it);) {
            struct json *inner = first_of(it.value);
            if (inner) json_set(o, it.key, inner);
        }
        return o;
    }
    if (json_is(v, JSON_ARRAY)) {
        struct json *a = json_new_array();
        for (size_t i = 0; i < json_len(v); i++) json_push(a, chosen(json_at(v, i)));
        return a;
    }
    return json_copy(v);
}

static struct json *first_of(const struct json *accepted)
{
    if (!json_is(accepted, JSON_ARRAY)) return json_copy(accepted);
    return json_len(accepted) && !json_str_is(json_at(accepted, 0), "") ? chosen(json_at(accepted, 0)) : NULL;
}

static void put_call(struct str *out, const char *name, const struct json *params)
{
    struct json *args = json_new_object(), *text = json_new_str(name);
    for (struct json_iter it = json_iter(params); json_next(&it);) {
        struct json *v = first_of(it.value);
        if (v) json_set(args, it.key, v);
    }
    str_puts(out, "{\"name\":");
    json_write(out, text, JSON_COMPACT);
    str_puts(out, ",\"arguments\":");
    json_write(out, args, JSON_COMPACT);
    str_puts(out, "}");
    json_free(text);
    json_free(args);
}

/* Names as the model is shown them. */
static void gold_text(const struct json *truth, struct str *out)
{
    str_puts(out, "[");
    for (size_t i = 0; i < json_len(truth); i++) {
        struct json_iter it = json_iter(json_at(truth, i));
        if (!json_next(&it)) continue;
        char *name = mem_str(it.key);
        for (char *p = name; *p; p++)
            if (*p == '.') *p = '_';
        if (i) str_puts(out, ",");
        put_call(out, name, it.value);
        mem_free(name);
    }
    str_puts(out, "]");
}

static struct steps_row *row_of(struct steps_report *r, const char *kind)
{
    for (int i = 0; i < r->n_kind; i++)
        if (!strcmp(r->kind[i].kind, kind)) return &r->kind[i];
    if (r->n_kind == (int)LEN(r->kind)) return &r->kind[r->n_kind - 1];
    struct steps_row *row = &r->kind[r->n_kind++];
    snprintf(row->kind, sizeof row->kind, "%s", kind);
    return row;
}

static void add(struct steps_row *row, const struct rehearsed *h, bool ok)
{
    row->n++;
    row->left_out += !ok;
    if (!ok) return;
    row->sum.tokens += h->tokens;
    row->sum.forced += h->forced;
    row->sum.drafted += h->drafted;
    row->sum.accepted += h->accepted;
    row->sum.passes += h->passes;
}

bool bench_steps(struct rehearsal *h, const struct lines *l, const struct steps_opts *o, struct steps_report *out, struct err *e)
{
    *out = (struct steps_report){ 0 };
    for (int i = 0; i < l->n; i++) {
        const struct json *truth = json_get(l->line[i], "ground_truth");
        struct request r = { 0 };
        struct rehearsed took = { 0 };
        struct err why = { 0 };
        struct str text = { 0 };
        if (!json_len(truth)) continue;
        if (!request_read(&r, bench_bfcl.request(NULL, l->line[i]), e)) return request_done(&r), false;
        r.no_draft = o->no_draft;
        gold_text(truth, &text);
        bool ok = rehearsal_run(h, &r, text.p, text.len, &took, &why);
        if (!ok && o->list) log_line(LOG_WARN, "left_out id=\"%s\" why=\"%s\"", json_str(json_get(l->line[i], "id"), NULL), why.msg);
        add(&out->all, &took, ok);
        add(row_of(out, json_str(json_get(l->line[i], "category"), NULL)), &took, ok);
        str_done(&text);
        request_done(&r);
    }
    return out->all.n > out->all.left_out || err_set(e, ERR_FORMAT, "no line has a call that can be written");
}
