/* gen_tool_kind.c -- conversations over invented tools: the same kinds as gen_pack_kind.c makes,
 * with names, parameters and phrasings drawn from the grammar instead of a pack.
 *
 * The rule for optional parameters holds everywhere: an argument is in the call exactly when the
 * request mentions it. Tools of one list never answer the same request. */
#include "train/gen_int.h"

enum { TOOLS_MOST = 8, CALLS = 4, TURNS = 4 };

/* the tool list of one conversation */
struct bench {
    struct draw *d;
    struct tool tool[TOOLS_MOST]; int n;
    struct conv *c;
    enum style style;
};

/* ---- tools ----------------------------------------------------------------------------------- */

static bool fits_in(const struct bench *b, const struct tool *t)
{
    for (int i = 0; i < b->n; i++)
        if (tool_same_request(&b->tool[i], t)) return false;
    return true;
}

static void add_tool(struct bench *b, bool near)
{
    for (int tries = 0; tries < 20; tries++) {
        struct tool t;
        if (near && b->n) tool_near(b->d, &b->tool[0], &t, b->style);
        else tool_draw(b->d, &t, b->style);
        if (!fits_in(b, &t)) continue;
        b->tool[b->n++] = t;
        return;
    }
}

static void bench_open(struct bench *b, int n)
{
    b->style = style_draw(b->d);
    for (int i = 0; i < n; i++) add_tool(b, i && chance(b->d, 60));
}

static void bench_list(struct bench *b, int without)
{
    for (int i = 0; i < b->n; i++)
        if (i != without) json_push(b->c->tools, tool_json(b->d, &b->tool[i]));
    conv_shuffle_tools(b->d, b->c);
}

static int tools_draw(struct draw *d, enum data_kind kind)
{
    if (kind == KIND_SINGLE) return 1;
    if (kind == KIND_MULTIPLE)
        return d->stage == 1                               ? range(d, 2, 3)
               : chance(d, 60) ? range(d, 2, 4)
                                                           : range(d, 4, TOOLS_MOST);
    return d->stage == 1 ? range(d, 1, 2) : range(d, 1, d->set == DATA_TRAIN && chance(d, 25) ? 6 : 3);
}

/* ---- arguments ------------------------------------------------------------------------------- */

struct filled { struct given given[PARAMS_MOST]; int n; struct json *args; };

/* Two optional numbers without their names in the request could be exchanged: phrases always name
 * them, so any subset may be given. `skip`: a parameter left out although required, or -1. */
static void fill(struct draw *d, const struct tool *t, int skip, struct filled *f)
{
    *f = (struct filled){ .args = json_new_object() };
    int optional = chance(d, 40) ? 0 : 55;
    for (int i = 0; i < t->n_param; i++) {
        const struct tool_param *p = &t->param[i];
        if (i == skip || (!p->required && !chance(d, optional))) continue;
        struct value v = param_value(d, p);
        f->given[f->n++] =
            (struct given){ p, v.said, json_is(v.json, JSON_BOOL) && json_bool(v.json) };
        json_set(f->args, p->name, v.json);
    }
}

static void put_past(struct bench *b, struct call *call, int n)
{
    conv_called(b->c, call, n);
    for (int i = 0; i < n; i++) {
        struct json *r = result_ok(b->d);
        conv_result(b->c, i + 1, r);
        json_free(r);
    }
    const char *done = phrase_done(b->d);
    if (b->d->g->n_own) conv_filler(b->c, done);
    else conv_assistant(b->c, done);
}

static void finish(struct bench *b, struct call *call, int n, bool last)
{
    if (last) conv_answer_calls(b->c, call, n);
    else put_past(b, call, n);
}

static void request(struct bench *b, int i, bool last)
{
    struct filled f;
    fill(b->d, &b->tool[i], -1, &f);
    conv_user(b->c, phrase_noise(b->d, phrase_request(b->d, &b->tool[i], f.given, f.n)));
    finish(b, &(struct call){ b->tool[i].name, f.args }, 1, last);
}

/* ---- several calls --------------------------------------------------------------------------- */

static bool calls_equal(const struct json *const *args, int n)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            if (json_equal(args[i], args[j])) return true;
    return false;
}

/* The same tool with one argument changed (two thirds), or with all of them drawn anew. */
static bool same_tool(struct bench *b, int i, bool last)
{
    struct draw *d = b->d;
    const struct tool *t = &b->tool[i];
    struct filled f[CALLS];
    struct call call[CALLS];
    const struct given *given[CALLS];
    int n[CALLS], calls = chance(d, 60) ? 2 : range(d, 2, CALLS);
    if (!t->n_param) return false;
    fill(d, t, -1, &f[0]);
    int vary = f[0].n ? below(d, f[0].n) : 0;
    bool one = chance(d, 66);
    for (int c = 1; c < calls; c++) {
        if (!one) { fill(d, t, -1, &f[c]); continue; }
        f[c] = f[0];
        f[c].args = json_copy(f[0].args);
        if (!f[0].n) continue;
        struct value v = param_value(d, f[0].given[vary].param);
        f[c].given[vary] = (struct given){ f[0].given[vary].param, v.said,
                                           json_is(v.json, JSON_BOOL) && json_bool(v.json) };
        json_set(f[c].args, f[0].given[vary].param->name, v.json);
    }
    const struct json *args[CALLS];
    bool empty = false;
    for (int c = 0; c < calls; c++) {
        args[c] = f[c].args;
        given[c] = f[c].given;
        n[c] = f[c].n;
        empty = empty || !f[c].n;
        call[c] = (struct call){ t->name, f[c].args };
    }
    if (empty || calls_equal(args, calls)) {
        for (int c = 0; c < calls; c++) json_free(f[c].args);
        return false;
    }
    conv_user(b->c, phrase_noise(d, phrase_parallel(d, t, given, n, calls)));
    finish(b, call, calls, last);
    return true;
}

static bool two_tools(struct bench *b, bool last)
{
    struct draw *d = b->d;
    if (b->n < 2) return false;
    int i = below(d, b->n), j = (i + 1 + below(d, b->n - 1)) % b->n;
    struct filled f, g;
    fill(d, &b->tool[i], -1, &f);
    fill(d, &b->tool[j], -1, &g);
    const char *first = phrase_request(d, &b->tool[i], f.given, f.n),
               *second = phrase_request(d, &b->tool[j], g.given, g.n);
    size_t n = strlen(first);
    bool ends = n && strchr(".!?", first[n - 1]);
    const char *join = ends ? rule(d, " | Also, | And | Then | After that, | Next: |\n| Plus: ")
                            : rule(d, " and |, and then |; also |, then |, plus |. Also |. And "
                                      "|\n|, and also | and afterwards | as well as: ");
    conv_user(b->c, phrase_noise(d, text(d, "%s%s%s", first, join, second)));
    finish(b, (struct call[]){ { b->tool[i].name, f.args }, { b->tool[j].name, g.args } }, 2, last);
    return true;
}

static bool parallel(struct bench *b, bool last)
{
    for (int tries = 0; tries < 8; tries++)
        if (b->n > 1 && chance(b->d, 40) ? two_tools(b, last)
                                         : same_tool(b, below(b->d, b->n), last))
            return true;
    return false;
}

/* ---- no call --------------------------------------------------------------------------------- */

static void none(struct bench *b, int without)
{
    struct draw *d = b->d;
    if (without < 0 || chance(d, 25)) { /* small talk needs no tool */
        const char *reply;
        conv_user(b->c, phrase_noise(d, phrase_chat(d, &reply)));
        conv_answer_text(b->c, reply);
        return;
    }
    struct filled f;
    fill(d, &b->tool[without], -1, &f);
    conv_user(b->c, phrase_noise(d, phrase_request(d, &b->tool[without], f.given, f.n)));
    conv_answer_text(b->c, phrase_refusal(d, b->c->tools));
    json_free(f.args);
}

static int required_param(struct draw *d, const struct tool *t)
{
    int at[PARAMS_MOST], n = 0;
    for (int i = 0; i < t->n_param; i++)
        if (t->param[i].required && t->param[i].kind != V_BOOL) at[n++] = i;
    return n ? at[below(d, n)] : -1;
}

/* A required argument is not there: ask for it; in half of the training conversations the user then
 * says it, and the call follows. */
static bool ask(struct bench *b)
{
    struct draw *d = b->d;
    int i = below(d, b->n), missing = required_param(d, &b->tool[i]);
    if (missing < 0) return false;
    const struct tool *t = &b->tool[i];
    const struct tool_param *p = &t->param[missing];
    struct filled f;
    fill(d, t, missing, &f);
    conv_user(b->c, phrase_noise(d, phrase_request(d, t, f.given, f.n)));
    const char *question = phrase_question(d, p->words, p->desc);
    if (d->set != DATA_TRAIN || chance(d, 50)) {
        conv_answer_text(b->c, question);
        json_free(f.args);
        return true;
    }
    struct value v = param_value(d, p);
    const char *m = marked(d, v.said);
    conv_assistant(b->c, question);
    conv_user(b->c, phrase_noise(
                        d, phrase_template(
                               d,
                               rule(d, "{v}|{v}|{v}|{v} please|it's {v}|{v}.|let's say {v}|the {p} "
                                       "is {v}|oh, {v}|{p} {v}|sorry, {v}|make it {v}|take {v}"),
                               (const char *const[]){ "v", m, "p", p->words, NULL })));
    struct json *args = json_new_object();
    for (int k = 0; k < t->n_param; k++) {
        const struct json *have = k == missing ? v.json : json_get(f.args, t->param[k].name);
        if (have) json_set(args, t->param[k].name, json_copy(have));
    }
    json_free(v.json);
    json_free(f.args);
    conv_answer_calls(b->c, &(struct call){ t->name, args }, 1);
    b->c->kind = KIND_MULTI_TURN;
    return true;
}

/* ---- results --------------------------------------------------------------------------------- */

static void grounded(struct bench *b)
{
    struct draw *d = b->d;
    const struct tool *t = &b->tool[below(d, b->n)];
    struct filled f;
    fill(d, t, -1, &f);
    conv_user(b->c, phrase_noise(d, phrase_request(d, t, f.given, f.n)));
    conv_called(b->c, &(struct call){ t->name, f.args }, 1);
    struct json *result = json_new_object(), *must = json_new_array();
    const char *s = "";
    if (chance(d, 15)) {
        struct value v = value_draw(d, chance(d, 50) ? V_PHRASE : V_TAG);
        s = text(d,
                 pick(d, "1|2")[0] == '1' ? "That did not work: %s."
                                          : "Sorry, there was an error: %s.",
                 v.said);
        json_push(must, json_new_str(v.said));
        json_set(result, "error", v.json);
    } else {
        int n = range(d, 1, 3);
        for (int i = 0; i < n; i++) {
            struct value v = value_draw(d, (enum value_kind[]){ V_WORD, V_NAME, V_INT, V_ID, V_TIME,
                                                                V_TITLE, V_REAL, V_DATE, V_DECIMAL,
                                                                V_CODE }[below(d, 10)]);
            const char *w =
                text(d, "%s%s", word_any(d), i ? chance(d, 50) ? " name" : " code" : "");
            if (json_is(v.json, JSON_NUMBER)) v.said = text(d, "%s", json_number(v.json, NULL));
            s = text(d, "%s%s %s is %s", s,
                     i == 0       ? "The"
                     : i + 1 == n ? " and the"
                                  : ", the",
                     w, v.said);
            json_push(must, json_new_str(v.said));
            json_set(result, identifier(d, w, b->style), v.json);
        }
        s = text(d, "%s.", s);
    }
    conv_result(b->c, 1, result);
    json_free(result);
    conv_answer_text(b->c, s);
    b->c->must = must;
}

/* The call again with one argument changed: a correction, or "the same for X". */
static bool followup(struct bench *b)
{
    struct draw *d = b->d;
    const struct tool *t = &b->tool[below(d, b->n)];
    struct filled f;
    fill(d, t, -1, &f);
    if (!f.n) { json_free(f.args); return false; }
    const struct given *old = &f.given[below(d, f.n)];
    struct value v = param_value(d, old->param);
    struct json *args = json_copy(f.args);
    json_set(args, old->param->name, v.json);
    if (json_equal(args, f.args)) {
        json_free(args);
        json_free(f.args);
        return false;
    }
    conv_user(b->c, phrase_noise(d, phrase_request(d, t, f.given, f.n)));
    put_past(b, &(struct call){ t->name, f.args }, 1);
    struct given now = { old->param, v.said, json_is(v.json, JSON_BOOL) && json_bool(v.json) };
    conv_user(b->c, phrase_noise(d, phrase_followup(d, &now)));
    conv_answer_calls(b->c, &(struct call){ t->name, args }, 1);
    return true;
}

static bool requests(struct bench *b, enum data_kind kind)
{
    struct draw *d = b->d;
    int turns = d->set != DATA_TRAIN || chance(d, 35) ? 1 : d->stage == 1 ? 2 : range(d, 2, TURNS);
    for (int i = 0; i + 1 < turns; i++)
        if (chance(d, 85) || !parallel(b, false)) request(b, below(d, b->n), false);
    if (kind == KIND_PARALLEL) return parallel(b, true);
    request(b, kind == KIND_SINGLE ? 0 : below(d, b->n), true);
    return true;
}

static bool turns_of(struct bench *b, enum data_kind kind, int without)
{
    switch (kind) {
    case KIND_NONE: none(b, without); return true;
    case KIND_ASK: return ask(b);
    case KIND_GROUNDED: grounded(b); return true;
    case KIND_MULTI_TURN: return followup(b);
    default: return requests(b, kind);
    }
}

bool tool_conversation(struct draw *d, enum data_kind kind, struct conv *c)
{
    struct bench b = { .d = d, .c = c };
    conv_start(c, kind);
    if (chance(d, 12)) conv_system(c, system_line(d));
    bench_open(&b, tools_draw(d, kind) + (kind == KIND_NONE));
    int without = kind == KIND_NONE ? below(d, b.n) : -1;
    bench_list(&b, without);
    bool ok = b.n - (without >= 0) > 0 && turns_of(&b, kind, without);
    if (!ok) conv_drop(c);
    return ok;
}

/* The same over tools of the user's. */
bool own_tools_conversation(struct draw *d, enum data_kind kind, struct conv *c)
{
    struct bench b = { .d = d, .c = c, .style = style_draw(d) };
    conv_start(c, kind);
    b.n = own_draw(d, b.tool, TOOLS_MOST);
    int without = kind == KIND_NONE && b.n > 1 ? below(d, b.n) : -1;
    bench_list(&b, without);
    if (turns_of(&b, kind, without)) return true;
    conv_drop(c);
    return false;
}
