/* maskbench.c -- the MaskBench protocol: verdicts and times of every token of every instance.
 *
 * Each instance is written as Python's json.dumps writes it and cut by the tokenizer; every token
 * is asked for in the mask and committed, and the time of both together is one sample. The protocol
 * does not ask whether the output may end after the last token; the house does, and counts both
 * ways.
 *
 * Passes over the data, each with grammars of its own: the protocol; then, if asked for, its parts
 * (commit without a mask, rollback of 8 tokens, forced runs); then the cold pass, in which every
 * step is timed three times from the same state, what the vocabulary remembers cleared before each,
 * and the smallest counts, so that interrupts of the machine do not. */
#include <stdlib.h>

#include "eval/int.h"

enum { ROLLBACK = 8, COLD_TRIES = 3 };

/* Numbers of one kind only: add_to_set() goes through them as an array. */
struct tallies {
    int64_t schemas, unreadable, compiled, refused, passing, passing_protocol;
    int64_t false_reject, false_accept, false_accept_no_end; /* schemas with such a verdict */
    int64_t instances, rejects, accepts; /* instances; wrong verdicts, the end asked for */
    int64_t tokens, mismatch, cold_hits;
};
struct set_row {
    char *name;
    struct tallies t;
};

struct slow { /* one schema */
    char *name;
    uint64_t ns;
    int64_t n_over; /* steps that took more than SLOW_STEP_NS */
};
struct slow_list {
    struct slow *v;
    size_t n, cap;
};

/* Steps of states that wait for the same kinds of things. */
struct kind {
    char *name;
    struct samples ns;
    int64_t n_over; /* steps that took more than DEAR_STEP_NS */
};
struct kinds {
    struct kind *v;
    size_t n, cap;
    struct str name; /* of the step under way */
};

struct masks {
    const struct mask_opts *o;
    uint32_t *bits;
    struct str text;
    struct ids ids;
    struct tallies all;
    struct set_row *set;
    size_t n_set, cap_set;
    struct faults refused, wrong;
    struct json *refused_by; /* last part of the pointer: how many schemas */
    struct samples parse, compile, refuse, first, ttfm; /* a schema */
    struct samples seen, fresh;                         /* mask and commit, by matcher_mask_hit */
    struct samples commit, rollback, forced, cold, bytes;
    struct slow step; /* of the schema under way */
    struct kinds warm, cold_kinds;
    struct slow_list slow_compile, slow_first, slow_warm, slow_cold;
};

typedef void instance_fn(struct masks *r, struct matcher *m);

/* ---- the slowest of each kind --------------------------------------------------------------- */

enum { SLOW_STEP_NS = 1000000 }; /* the bound that docs/speed.md speaks of */

/* A step of the schema under way. */
static void slow_step(struct masks *r, uint64_t ns)
{
    r->step.ns = MAX(r->step.ns, ns);
    r->step.n_over += ns > SLOW_STEP_NS;
}

static void slow_add(struct slow_list *l, const struct mask_case *c, struct slow s)
{
    struct str name = { 0 };
    mask_case_name(c, &name);
    s.name = str_take(&name);
    MEM_GROW(l->v, l->n, l->cap);
    l->v[l->n++] = s;
}

static int slower(const void *a, const void *b)
{
    uint64_t x = ((const struct slow *)a)->ns, y = ((const struct slow *)b)->ns;
    return x < y ? 1 : x > y ? -1 : 0;
}

static struct json *slow_json(const struct slow_list *l, int64_t most)
{
    struct json *a = json_new_array();
    if (l->n) qsort(l->v, l->n, sizeof *l->v, slower);
    for (size_t i = 0; i < l->n && (int64_t)i < most; i++) {
        struct json *o = json_new_object();
        json_set(o, "schema", json_new_str(l->v[i].name));
        json_set(o, "ns", json_new_int((int64_t)l->v[i].ns));
        json_set(o, "steps_above_1ms", json_new_int(l->v[i].n_over));
        json_push(a, o);
    }
    return a;
}

static void slow_done(struct slow_list *l)
{
    for (size_t i = 0; i < l->n; i++) mem_free(l->v[i].name);
    mem_free(l->v);
}

/* ---- by what the state waits for ------------------------------------------------------------ */

enum { DEAR_STEP_NS = 50000 }; /* the bound of p99 */

/* Before a step: notes what the state waits for. */
static void kind_note(struct kinds *l, const struct masks *r, const struct matcher *m)
{
    str_clear(&l->name);
    if (r->o->kinds) matcher_kinds(m, &l->name);
}

static void kind_add(struct kinds *l, const struct masks *r, uint64_t ns)
{
    size_t i = 0;
    if (!r->o->kinds) return;
    while (i < l->n && strcmp(l->v[i].name, l->name.p)) i++;
    if (i == l->n) {
        MEM_GROW(l->v, l->n, l->cap);
        l->v[l->n++] = (struct kind){ .name = mem_str(l->name.p) };
    }
    samples_add(&l->v[i].ns, ns);
    l->v[i].n_over += ns > DEAR_STEP_NS;
}

static int dearer(const void *a, const void *b)
{
    int64_t x = ((const struct kind *)a)->n_over, y = ((const struct kind *)b)->n_over;
    return x < y ? 1 : x > y ? -1 : 0;
}

static struct json *kinds_json_of(struct kinds *l)
{
    struct json *a = json_new_array();
    if (l->n) qsort(l->v, l->n, sizeof *l->v, dearer);
    for (size_t i = 0; i < l->n; i++) {
        struct json *o = json_new_object();
        json_set(o, "waits_for", json_new_str(l->v[i].name));
        json_set(o, "steps_above_50us", json_new_int(l->v[i].n_over));
        json_set(o, "ns", samples_json(&l->v[i].ns, NULL));
        json_push(a, o);
    }
    return a;
}

static void kinds_done(struct kinds *l)
{
    for (size_t i = 0; i < l->n; i++) {
        mem_free(l->v[i].name);
        samples_done(&l->v[i].ns);
    }
    mem_free(l->v);
    str_done(&l->name);
}

/* ---- one instance --------------------------------------------------------------------------- */

/* Tokens accepted of r->ids. */
static size_t step_all(struct masks *r, struct matcher *m)
{
    size_t i = 0;
    for (bool ok = true; i < r->ids.n; i++) {
        int32_t t = r->ids.id[i];
        kind_note(&r->warm, r, m);
        uint64_t t0 = mask_clock(r->o);
        matcher_mask(m, r->bits);
        bool in_mask = mask_has(r->bits, t);
        ok = in_mask && matcher_commit(m, t);
        uint64_t t1 = mask_clock(r->o);
        samples_add(matcher_mask_hit(m) ? &r->seen : &r->fresh, t1 - t0);
        slow_step(r, t1 - t0);
        kind_add(&r->warm, r, t1 - t0);
        r->all.mismatch += in_mask && !ok;
        if (!ok) break;
    }
    return i;
}

struct verdicts {
    bool reject, reject_tokens, accept, accept_tokens;
};

static void judge(struct masks *r, struct matcher *m, const struct mask_case *c, size_t nth,
                  bool valid, struct verdicts *v)
{
    size_t n = step_all(r, m);
    bool whole = n == r->ids.n, end = whole && matcher_accepting(m);
    r->all.tokens += (int64_t)n;
    r->all.instances++;
    if (valid && !end) {
        v->reject = true;
        v->reject_tokens |= !whole;
        r->all.rejects++;
        if (!whole && matcher_commit(m, r->ids.id[n])) {              /* for matcher_why() */
            r->all.mismatch++;
            matcher_rollback(m, 1);
        }
        faults_add(&r->wrong, c, "valid instance %zu refused at token %zu of %zu: %s", nth, n,
                   r->ids.n, whole ? "the end" : matcher_why(m));
    }
    v->accept_tokens |= !valid && whole;
    if (!valid && end) {
        v->accept = true;
        r->all.accepts++;
        faults_add(&r->wrong, c, "invalid instance %zu accepted", nth);
    }
    matcher_rollback(m, (int)n);
}

/* Calls fn with the tokens of each instance in r->ids; the matcher stands at the start. */
static bool load_instance(struct masks *r, const struct json *test)
{
    mask_write(&r->text, json_get(test, "data"), TEXT_PYTHON, NULL);
    return mask_tokens(r->o, &r->text, &r->ids);
}

/* ---- the protocol --------------------------------------------------------------------------- */

/* The row of a set gains what the whole gained since `before`. */
static void add_to_set(struct masks *r, const char *name, const struct tallies *before)
{
    if (!r->n_set || strcmp(r->set[r->n_set - 1].name, name)) {
        MEM_GROW(r->set, r->n_set, r->cap_set);
        r->set[r->n_set++] = (struct set_row){ .name = mem_str(name) };
    }
    const int64_t *from = (const int64_t *)before, *now = (const int64_t *)&r->all;
    int64_t *to = (int64_t *)&r->set[r->n_set - 1].t;
    for (size_t i = 0; i < sizeof *before / sizeof *from; i++) to[i] += now[i] - from[i];
}

/* "schema: /a/b/pattern: not supported": counts `pattern`; sentences without a pointer count as
 * `other`. */
static void count_refusal(struct masks *r, const char *why)
{
    char key[64];
    const char *p = strstr(why, ": /"), *end = p ? strstr(p + 2, ": ") : NULL, *last = end;
    while (last && last > p && last[-1] != '/') last--;
    snprintf(key, sizeof key, "%.*s", end ? (int)MIN(end - last, 60) : 5, end ? last : "other");
    int64_t n = 0;
    json_i64(json_get(r->refused_by, key), &n);
    json_set(r->refused_by, key, json_new_int(n + 1));
}

static void refuse(struct masks *r, const struct mask_case *c, const char *why)
{
    count_refusal(r, why);
    faults_add(&r->refused, c, "%s", why);
}

/* Schema text -> tree -> grammar, both timed. NULL: refused. */
static struct grammar *compile_timed(struct masks *r, const struct mask_case *c,
                                     struct json **schema, uint64_t *ns)
{
    struct err e = { 0 };
    str_clear(&r->text);
    json_write(&r->text, c->schema, JSON_COMPACT);
    uint64_t t0 = mask_clock(r->o);
    *schema = json_parse(r->text.p, r->text.len, &e);
    uint64_t t1 = mask_clock(r->o);
    struct grammar *g = *schema ? grammar_of_schema(*schema, &r->o->grammar, &e) : NULL;
    *ns = mask_clock(r->o) - t1;
    samples_add(&r->parse, t1 - t0);
    samples_add(g ? &r->compile : &r->refuse, *ns);
    if (!g) refuse(r, c, e.msg);
    return g;
}

/* A matcher that has made its first mask; the rest of the time to first mask. */
static struct matcher *first_mask(struct masks *r, const struct mask_case *c,
                                  const struct grammar *g, uint64_t compile_ns)
{
    struct err e = { 0 };
    uint64_t t0 = mask_clock(r->o);
    struct matcher *m = matcher_new(g, r->o->vocab, &e);
    if (m) matcher_mask(m, r->bits);
    uint64_t ns = mask_clock(r->o) - t0;
    if (!m) {
        refuse(r, c, e.msg);
        return NULL;
    }
    samples_add(&r->first, ns);
    samples_add(&r->ttfm, compile_ns + ns);
    slow_add(&r->slow_compile, c, (struct slow){ .ns = compile_ns });
    slow_add(&r->slow_first, c, (struct slow){ .ns = ns });
    return m;
}

static struct verdicts all_instances(struct masks *r, const struct mask_case *c, struct matcher *m)
{
    struct verdicts v = { 0 };
    r->step = (struct slow){ 0 };
    for (size_t i = 0; i < json_len(c->tests); i++) {
        const struct json *test = json_at(c->tests, i);
        if (load_instance(r, test)) judge(r, m, c, i, json_bool(json_get(test, "valid")), &v);
    }
    slow_add(&r->slow_warm, c, r->step);
    return v;
}

static void protocol(struct masks *r, const struct mask_case *c)
{
    struct json *schema = NULL;
    uint64_t ns;
    struct grammar *g = compile_timed(r, c, &schema, &ns);
    struct matcher *m = g ? first_mask(r, c, g, ns) : NULL;
    if (m) {
        struct verdicts v = all_instances(r, c, m);
        r->all.compiled++;
        r->all.false_reject += v.reject;
        r->all.false_accept += v.accept;
        r->all.false_accept_no_end += v.accept_tokens;
        r->all.passing += !v.reject && !v.accept;
        r->all.passing_protocol += !v.reject_tokens && !v.accept_tokens;
        samples_add(&r->bytes, grammar_bytes(g));
    } else r->all.refused++;
    matcher_free(m);
    grammar_free(g);
    json_free(schema);
}

static void protocol_case(void *ctx, const struct mask_case *c)
{
    struct masks *r = ctx;
    struct tallies before = r->all;
    r->all.schemas++;
    if (c->schema) protocol(r, c);
    else {
        r->all.unreadable++;
        faults_add(&r->refused, c, "the line cannot be read: %s", c->why);
    }
    add_to_set(r, c->set, &before);
}

/* ---- the parts ------------------------------------------------------------------------------ */

/* Commits r->ids without masks; forced runs are asked for before each, 8 tokens taken back after
 * each 8. */
static void time_parts(struct masks *r, struct matcher *m)
{
    int32_t run[256];
    int n_draft;
    size_t i = 0;
    for (; i < r->ids.n; i++) {
        uint64_t t0 = mask_clock(r->o);
        bool ok = matcher_commit(m, r->ids.id[i]);
        samples_add(&r->commit, mask_clock(r->o) - t0);
        if (!ok) break;
        t0 = mask_clock(r->o);
        matcher_forced(m, run, LEN(run), &n_draft);
        samples_add(&r->forced, mask_clock(r->o) - t0);
        if ((i + 1) % ROLLBACK) continue;
        t0 = mask_clock(r->o);
        matcher_rollback(m, ROLLBACK);
        samples_add(&r->rollback, mask_clock(r->o) - t0);
        for (int k = 0; k < ROLLBACK; k++)
            matcher_commit(m, r->ids.id[i + 1 - ROLLBACK + (size_t)k]);
    }
    matcher_rollback(m, (int)i);
}

/* ---- the cold pass -------------------------------------------------------------------------- */

/* One step: mask and commit, the smallest of three. False: the token was refused. */
static bool cold_step(struct masks *r, struct matcher *m, int32_t t)
{
    uint64_t least = UINT64_MAX;
    bool ok = false;
    kind_note(&r->cold_kinds, r, m);
    for (int k = 0; k < COLD_TRIES; k++) {
        if (ok) matcher_rollback(m, 1);
        vocab_cache_clear(r->o->vocab);
        uint64_t t0 = mask_clock(r->o);
        matcher_mask(m, r->bits);
        ok = mask_has(r->bits, t) && matcher_commit(m, t);
        least = MIN(least, mask_clock(r->o) - t0);
        r->all.cold_hits += matcher_mask_hit(m);
    }
    samples_add(&r->cold, least);
    slow_step(r, least);
    kind_add(&r->cold_kinds, r, least);
    return ok;
}

static void time_cold(struct masks *r, struct matcher *m)
{
    size_t i = 0;
    while (i < r->ids.n && cold_step(r, m, r->ids.id[i])) i++;
    matcher_rollback(m, (int)i);
}

struct pass {
    struct masks *r;
    instance_fn *fn;
    struct slow_list *slow; /* NULL: nobody asks */
};

/* A case of a later pass: what cannot be compiled was told by the protocol. */
static void later_case(void *ctx, const struct mask_case *c)
{
    struct pass *p = ctx;
    struct grammar *g = c->schema ? grammar_of_schema(c->schema, &p->r->o->grammar, NULL) : NULL;
    struct matcher *m = g ? matcher_new(g, p->r->o->vocab, NULL) : NULL;
    p->r->step = (struct slow){ 0 };
    for (size_t i = 0; m && i < json_len(c->tests); i++)
        if (load_instance(p->r, json_at(c->tests, i))) p->fn(p->r, m);
    if (m && p->slow) slow_add(p->slow, c, p->r->step);
    matcher_free(m);
    grammar_free(g);
}

/* ---- the report ----------------------------------------------------------------------------- */

static struct json *tallies_json(const struct tallies *t)
{
    const struct {
        const char *name;
        int64_t n;
    } row[] = {
        { "schemas", t->schemas },
        { "compiled", t->compiled },
        { "refused", t->refused },
        { "unreadable", t->unreadable },
        { "passing", t->passing },
        { "passing_protocol", t->passing_protocol },
        { "false_reject", t->false_reject },
        { "false_accept", t->false_accept },
        { "false_accept_no_end", t->false_accept_no_end },
        { "instances", t->instances },
        { "rejected_instances", t->rejects },
        { "accepted_instances", t->accepts },
        { "tokens", t->tokens },
    };
    struct json *o = json_new_object();
    for (size_t i = 0; i < LEN(row); i++) json_set(o, row[i].name, json_new_int(row[i].n));
    return o;
}

static struct json *times_json(const struct masks *r)
{
    struct json *o = json_new_object();
    json_set(o, "parse", samples_json(&r->parse, NULL));
    json_set(o, "compile", samples_json(&r->compile, NULL));
    json_set(o, "refusal", samples_json(&r->refuse, NULL));
    json_set(o, "first_mask", samples_json(&r->first, NULL));
    json_set(o, "ttfm", samples_json(&r->ttfm, NULL));
    json_set(o, "mask_commit", samples_json(&r->seen, &r->fresh));
    json_set(o, "mask_commit_seen", samples_json(&r->seen, NULL));
    json_set(o, "mask_commit_fresh", samples_json(&r->fresh, NULL));
    if (r->o->parts) {
        json_set(o, "commit", samples_json(&r->commit, NULL));
        json_set(o, "rollback_8", samples_json(&r->rollback, NULL));
        json_set(o, "forced", samples_json(&r->forced, NULL));
    }
    if (r->o->cold) json_set(o, "mask_commit_cold", samples_json(&r->cold, NULL));
    json_set(o, "clock", json_new_int((int64_t)clock_cost_ns(r->o)));
    return o;
}

static struct json *memory_json(const struct masks *r)
{
    struct json *o = json_new_object();
    struct mask_cache_stats s = vocab_cache_stats(r->o->vocab);
    json_set(o, "grammar", samples_json(&r->bytes, NULL));
    json_set(o, "vocabulary", json_new_int((int64_t)vocab_bytes(r->o->vocab)));
    json_set(o, "cache", json_new_int((int64_t)s.bytes));
    json_set(o, "cache_limit", json_new_int((int64_t)s.limit));
    json_set(o, "samples_kept", json_new_int((int64_t)(8 * (r->seen.cap + r->fresh.cap))));
    return o;
}

static struct json *slowest_json(const struct masks *r)
{
    struct json *o = json_new_object();
    json_set(o, "compile", slow_json(&r->slow_compile, r->o->slowest));
    json_set(o, "first_mask", slow_json(&r->slow_first, r->o->slowest));
    json_set(o, "step", slow_json(&r->slow_warm, r->o->slowest));
    if (r->o->cold) json_set(o, "cold_step", slow_json(&r->slow_cold, r->o->slowest));
    return o;
}

static struct json *report(struct masks *r)
{
    struct json *o = json_new_object(), *sets = json_new_object();
    for (size_t i = 0; i < r->n_set; i++)
        json_set(sets, r->set[i].name, tallies_json(&r->set[i].t));
    json_set(o, "kind", json_new_str("masks"));
    json_set(o, "all", tallies_json(&r->all));
    json_set(o, "sets", sets);
    json_set(o, "times_ns", times_json(r));
    json_set(o, "memory_bytes", memory_json(r));
    json_set(o, "mask_and_commit_disagree", json_new_int(r->all.mismatch));
    if (r->o->cold) json_set(o, "cold_hits", json_new_int(r->all.cold_hits));
    json_set(o, "refused_by", r->refused_by);
    json_set(o, "refusals", faults_take(&r->refused));
    json_set(o, "wrong", faults_take(&r->wrong));
    if (r->o->slowest) json_set(o, "slowest", slowest_json(r));
    if (r->o->kinds) json_set(o, "kinds", kinds_json_of(&r->warm));
    if (r->o->kinds && r->o->cold) json_set(o, "cold_kinds", kinds_json_of(&r->cold_kinds));
    return o;
}

static void masks_done(struct masks *r)
{
    for (size_t i = 0; i < r->n_set; i++) mem_free(r->set[i].name);
    struct samples *s[] = { &r->parse, &r->compile, &r->refuse,   &r->first,  &r->ttfm, &r->seen,
                            &r->fresh, &r->commit,  &r->rollback, &r->forced, &r->cold, &r->bytes };
    for (size_t i = 0; i < LEN(s); i++) samples_done(s[i]);
    struct slow_list *l[] = { &r->slow_compile, &r->slow_first, &r->slow_warm, &r->slow_cold };
    for (size_t i = 0; i < LEN(l); i++) slow_done(l[i]);
    kinds_done(&r->warm);
    kinds_done(&r->cold_kinds);
    mem_free(r->set);
    mem_free(r->bits);
    mem_free(r->ids.id);
    str_done(&r->text);
}

struct json *mask_bench(const struct mask_opts *o, struct err *e)
{
    struct masks r = { .o = o, .refused.all = o->list, .wrong.all = o->list };
    r.refused_by = json_new_object();
    r.bits = mem_zero(MASK_WORDS(tok_n_vocab(o->tok)) * sizeof *r.bits);
    bool ok = mask_cases(o, protocol_case, &r, e);
    size_t peak = peak_rss_bytes();
    struct pass parts = { &r, time_parts, NULL }, cold = { &r, time_cold, &r.slow_cold };
    ok = ok && (!o->parts || mask_cases(o, later_case, &parts, e)) &&
         (!o->cold || mask_cases(o, later_case, &cold, e));
    struct json *out = ok ? report(&r) : NULL;
    if (!out) json_free(r.refused_by);
    if (out) json_set(out, "peak_rss", json_new_int((int64_t)peak));
    json_free(faults_take(&r.refused));
    json_free(faults_take(&r.wrong));
    masks_done(&r);
    return out;
}
