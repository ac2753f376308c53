/* cmd_eval_own.c -- `tenon eval own`: the generator's held-out sets, drawn and asked in one go.
 *
 * train/ draws the conversations and eval/ judges the answers; neither knows the other, so they meet
 * here. The lines are those of `tenon data --set E2 --kind single --first 50000 --dump 100` and so on:
 * from one seed, so many of each kind. */
#include <limits.h>

#include "asker.h"
#include "train/train.h"

struct own_opts {
    struct model_opts m;
    struct ask_opts a;
    const char *set, *kind, *packs;
    int64_t n, first, seed, stage;
};

static const struct own_opts defaults = {
    .a = ASK_DEFAULTS, .packs = "data/domains", .n = 100, .first = 50000, .seed = 1, .stage = 2
};

static const struct opt options[] = {
    MODEL_OPTS(struct own_opts),
    SPEAK_OPTS(struct own_opts),
    { "Data", 0, "set", "NAME", OPT_STR, offsetof(struct own_opts, set), "E1, E2, E3 or E4 (default: all four)" },
    { "Data", 0, "kind", "NAME", OPT_STR, offsetof(struct own_opts, kind),
      "only single, multiple, parallel, none, ask, grounded or multi_turn (default: all)" },
    { "Data", 'n', "n", "N", OPT_INT, offsetof(struct own_opts, n), "conversations of each kind (default: 100)" },
    { "Data", 0, "first", "I", OPT_INT, offsetof(struct own_opts, first), "number of the first conversation (default: 50000)" },
    { "Data", 0, "seed", "S", OPT_INT, offsetof(struct own_opts, seed), "seed of the stream (default: 1)" },
    { "Data", 0, "stage", "N", OPT_INT, offsetof(struct own_opts, stage), "mixture of stage 1, 2 or 3 (default: 2)" },
    { "Data", 0, "packs", "DIR", OPT_STR, offsetof(struct own_opts, packs), "folder of domain packs (default: data/domains)" },
    ASK_OPTS(struct own_opts),
};

static const char *const set_name[DATA_SETS] = { "train", "E1", "E2", "E3", "E4" };
static const enum data_kind kinds[] = { KIND_SINGLE, KIND_MULTIPLE, KIND_PARALLEL,  KIND_NONE,
                                        KIND_ASK,    KIND_GROUNDED, KIND_MULTI_TURN };

/* ---- lines ----------------------------------------------------------------------------------------------- */

#define MISSES_MOST 100000                                            /* conversations of other kinds in a row */

/* The next n of a kind, counted from o->first. */
static bool draw(const struct own_opts *o, const struct datagen *g, enum data_set set,
                 enum data_kind kind, struct lines *l, struct err *e)
{
    int misses = 0;
    uint64_t index = (uint64_t)o->first;
    for (int64_t got = 0; got < o->n;) {
        struct json *c = datagen_conversation(g, set, (int)o->stage, index++, e);
        if (!c) return false;
        if (json_str_is(json_get(c, "kind"), data_kind_name(kind))) {
            lines_push(l, c);
            got++;
            misses = 0;
            continue;
        }
        json_free(c);
        if (++misses > MISSES_MOST)
            return err_set(e, ERR_ARG, "set %s has no conversations of kind %s in stage %d",
                           set_name[set], data_kind_name(kind), (int)o->stage);
    }
    return true;
}

static bool draw_set(const struct own_opts *o, const struct datagen *g, enum data_set set,
                     struct lines *l, struct err *e)
{
    for (size_t i = 0; i < LEN(kinds); i++) {
        if (o->kind && strcmp(o->kind, data_kind_name(kinds[i]))) continue;
        if (!draw(o, g, set, kinds[i], l, e)) return false;
    }
    return true;
}

/* ---- sets -------------------------------------------------------------------------------------------------- */

struct own_run {
    const struct own_opts *o;
    const struct datagen *g;
    struct asking a;
    struct str text;
    struct json *all;
};

static bool measure_set(struct own_run *r, enum data_set set, struct err *e)
{
    struct lines lines = { 0 };
    struct eval_report report;
    bool ok = draw_set(r->o, r->g, set, &lines, e) && eval_toolcall(&lines, &r->a, &report, e);
    lines_done(&lines);
    if (!ok) return err_in(e, "set %s", set_name[set]);
    str_fmt(&r->text, "%s%s\n", r->text.len ? "\n" : "", set_name[set]);
    eval_report_print(&report, &r->text);
    json_set(r->all, set_name[set], eval_report_json(&report));
    eval_report_done(&report);
    return true;
}

static bool measure(const struct own_opts *o, int first, int last, struct err *e)
{
    struct datagen_opts d = { .packs = o->packs,
                              .stage = (int)o->stage,
                              .seed = (uint64_t)o->seed };
    struct own_run r = { .o = o, .all = json_new_object() };
    struct datagen *g = datagen_open(&d, e);
    struct asker k;
    bool ok = g != NULL;
    r.g = g;
    if (ok && (ok = asker_open(&k, &o->m, &o->a, &r.a, e))) {
        for (int s = first; ok && s <= last; s++) ok = measure_set(&r, (enum data_set)s, e);
        asker_close(&k);
    }
    if (ok) asker_print(&r.text, o->a.json ? json_copy(r.all) : NULL);
    else str_done(&r.text);
    json_free(r.all);
    datagen_close(g);
    return ok;
}

/* ---- the verb ---------------------------------------------------------------------------------------------- */

static bool check(const struct own_opts *o, int *first, int *last, struct err *e)
{
    bool known = !o->kind;
    *first = DATA_E1_IID, *last = DATA_E4_ALL;
    for (int i = DATA_E1_IID; o->set && i < DATA_SETS; i++)
        if (!strcmp(o->set, set_name[i])) *first = *last = i;
    for (size_t i = 0; o->kind && i < LEN(kinds); i++)
        known |= !strcmp(o->kind, data_kind_name(kinds[i]));
    if (o->set && *first != *last)
        return err_set(e, ERR_USAGE, "--set %.40s: E1, E2, E3 or E4 is accepted", o->set);
    if (!known)
        return err_set(
            e, ERR_USAGE,
            "--kind %.40s: single, multiple, parallel, none, ask, grounded or multi_turn is accepted",
            o->kind);
    if (o->n < 1 || o->n > 1000000) return err_set(e, ERR_USAGE, "-n: 1 to 1000000 is accepted");
    if (o->first < 0) return err_set(e, ERR_USAGE, "--first: a count is needed");
    if (o->stage < 1 || o->stage > 3)
        return err_set(e, ERR_USAGE, "--stage: 1, 2 or 3 is accepted");
    if (o->a.out && !o->set)
        return err_set(e, ERR_USAGE, "--out keeps the answers of one set: --set is needed");
    return true;
}

static int run(const void *opts, int n_arg, char **arg)
{
    const struct own_opts *o = opts;
    struct err e = { 0 };
    int first, last;
    return check(o, &first, &last, &e) && measure(o, first, last, &e) ? 0
                                                                      : front_fail("eval own", &e);
}

const struct command cmd_eval_own = {
    .verb = "eval own",
    .args = "",
    .sentence = "The generator's held-out sets E1 to E4: exact-call accuracy per kind.",
    .example = "tenon eval own --set E2 -n 100",
    .opt = options,
    .n_opt = LEN(options),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .min_arg = 0,
    .max_arg = 0,
    .run = run,
};
