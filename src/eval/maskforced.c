/* maskforced.c -- jump-forward: which tokens need no model, and how many of them are found.
 *
 * What the language forces is found by other means than forced.c: a second matcher over a
 * vocabulary of the 256 bytes is asked for every byte. A byte is forced where it is the only one
 * that may follow and the end may not. A token is forceable when all its bytes are forced. It was
 * forced when matcher_forced() gave it at the place where the tokenizer puts it in the whole text; a
 * run that gives another token there is not canonical, and a model would have read something it
 * never writes. Drafts are computed with the run before them and kept if the next choice is theirs:
 * `drafted` counts all, `confirmed` those that stand in the text; a draft that does not was never
 * part of the output. Fed are forced and confirmed ones. `held` counts forceable tokens that were
 * rightly not fed, because a longer token was allowed in their place.
 *
 * That no run is wrong for the instances is not enough: behind every run a random way on, out of the
 * language, is written in place of the instance's, and the tokenizer asked whether the run stays as
 * it is (`tried`, `broken`).
 *
 * Instances are written in the spelling and key order of the grammar, members in the order in which
 * the schema declares them; what the grammar refuses then is counted as skipped. */
#include <stdlib.h>

#include "eval/int.h"

enum { MOST_RUN = 512, LOOK_ON = 12 }; /* bytes of another way on */

struct sums {
    int64_t schemas, instances, skipped, tokens, forceable, forced, drafted, confirmed, fed_forceable,
        held, runs, not_canonical, tried, broken;
};
struct set_sums {
    char *name;
    struct sums s;
};

struct forced_run {
    const struct mask_opts *o;
    struct vocab *bytes; /* token b is byte b, 256 ends the turn */
    struct str text;
    struct ids ids;
    uint32_t *bits;
    uint8_t *is_forced;
    size_t cap; /* per byte of text */
    struct sums all;
    struct set_sums *set;
    size_t n_set, cap_set;
    int32_t byte_token[256];
    uint64_t n_tried;
    struct str other; /* the text up to a run, and what might follow instead */
    struct ids other_ids;
    struct faults wrong, skips;
};

/* ---- declared order ------------------------------------------------------------------------- */

/* Names that a schema speaks about, in the order of its text. */
struct declared {
    const char **key;
    const struct json **schema;
    size_t n, cap;
    int fuel;
};

static const struct json *pointer_at(const struct json *root, const char *p)
{
    const struct json *v = root;
    while (v && *p == '/') {
        char key[256];
        size_t n = 0;
        for (p++; *p && *p != '/' && n + 1 < sizeof key; p++) {
            if (*p == '~' && (p[1] == '0' || p[1] == '1')) key[n++] = *++p == '0' ? '~' : '/';
            else key[n++] = *p;
        }
        key[n] = 0;
        v = json_is(v, JSON_ARRAY) ? json_at(v, (size_t)strtoul(key, NULL, 10)) : json_get(v, key);
    }
    return v;
}

static void declare(struct declared *d, const char *key, const struct json *schema)
{
    for (size_t i = 0; i < d->n; i++)
        if (!strcmp(d->key[i], key)) return;
    size_t cap = d->cap;
    MEM_GROW(d->key, d->n, d->cap);
    if (d->cap != cap) d->schema = mem_resize(d->schema, d->cap * sizeof *d->schema);
    d->schema[d->n] = schema;
    d->key[d->n++] = key;
}

/* Fuel bounds references in circles and unions that multiply. */
static void gather(struct declared *d, const struct json *root, const struct json *schema)
{
    static const char *const many[] = { "allOf", "anyOf", "oneOf" };
    if (!json_is(schema, JSON_OBJECT) || d->fuel-- <= 0) return;
    const char *ref = json_str(json_get(schema, "$ref"), NULL);
    if (ref && *ref == '#') gather(d, root, pointer_at(root, ref + 1));
    struct json_iter it = json_iter(json_get(schema, "properties"));
    while (json_next(&it)) declare(d, it.key, it.value);
    for (size_t k = 0; k < LEN(many); k++) {
        const struct json *list = json_get(schema, many[k]);
        for (size_t i = 0; json_is(list, JSON_ARRAY) && i < json_len(list); i++)
            gather(d, root, json_at(list, i));
    }
}

static const struct json *item_schema(const struct json *root, const struct json *schema, int fuel)
{
    const char *ref = json_str(json_get(schema, "$ref"), NULL);
    if (ref && *ref == '#' && fuel > 0)
        return item_schema(root, pointer_at(root, ref + 1), fuel - 1);
    const struct json *items = json_get(schema, "items");
    return json_is(items, JSON_OBJECT) ? items : NULL;
}

static struct json *in_declared_order(const struct json *root, const struct json *schema,
                                      const struct json *v)
{
    if (json_is(v, JSON_ARRAY)) {
        struct json *a = json_new_array();
        for (size_t i = 0; i < json_len(v); i++)
            json_push(a, in_declared_order(root, item_schema(root, schema, 16), json_at(v, i)));
        return a;
    }
    if (!json_is(v, JSON_OBJECT)) return json_copy(v);
    struct declared d = { .fuel = 1000 };
    gather(&d, root, schema);
    struct json *o = json_new_object();
    for (size_t i = 0; i < d.n; i++) {
        const struct json *m = json_get(v, d.key[i]);
        if (m) json_set(o, d.key[i], in_declared_order(root, d.schema[i], m));
    }
    for (struct json_iter it = json_iter(v); json_next(&it);) /* invented ones last */
        if (!json_get(o, it.key)) json_set(o, it.key, in_declared_order(root, NULL, it.value));
    mem_free(d.key);
    mem_free(d.schema);
    return o;
}

/* ---- the oracle ----------------------------------------------------------------------------- */

static struct vocab *byte_vocab(struct err *e)
{
    char text[256];
    struct bytes token[257] = { 0 }, special[257] = { 0 };
    for (int b = 0; b < 256; b++) {
        text[b] = (char)b;
        token[b] = (struct bytes){ &text[b], 1 };
    }
    int32_t eog = 256;
    special[256] = (struct bytes){ "<end>", 5 };
    struct vocab_spec s = {
        .n_vocab = 257, .token = token, .special = special, .eog = &eog, .n_eog = 1
    };
    return vocab_open(&s, e);
}

/* The byte that follows in the text is allowed; is another, or the end? */
static bool only_way(struct matcher *m, uint8_t b)
{
    static const char likely[] = "\"0a t}],1[n-{f";
    if (matcher_accepting(m)) return false;
    for (const char *p = likely; *p; p++)
        if ((uint8_t)*p != b && matcher_check(m, *p)) return false;
    for (int k = 0; k < 256; k++)
        if (k != b && matcher_check(m, k)) return false;
    return true;
}

/* Fills r->is_forced for the text. False: the grammar does not take it. */
static bool ask_oracle(struct forced_run *r, const struct grammar *g)
{
    struct matcher *m = matcher_new(g, r->bytes, NULL);
    bool ok = m != NULL;
    if (r->cap < r->text.len) {
        r->cap = r->text.len * 2;
        r->is_forced = mem_resize(r->is_forced, r->cap);
    }
    for (size_t i = 0; ok && i < r->text.len; i++) {
        uint8_t b = (uint8_t)r->text.p[i];
        r->is_forced[i] = only_way(m, b);
        ok = matcher_commit(m, b);
    }
    ok = ok && matcher_accepting(m);
    matcher_free(m);
    return ok;
}

/* ---- one instance --------------------------------------------------------------------------- */

static void not_canonical(struct forced_run *r, const struct mask_case *c, size_t at, int32_t got)
{
    struct bytes b = tok_bytes(r->o->tok, got), w = { "the end", 7 };
    if (at < r->ids.n) w = tok_bytes(r->o->tok, r->ids.id[at]);
    r->all.not_canonical++;
    faults_add(&r->wrong, c, "token %zu is `%.*s`, not `%.*s`, of %.300s", at, (int)b.len, b.p,
               (int)w.len, w.p, r->text.p);
}

/* How many tokens of a list stand in r->ids from i on. */
static size_t stands(const struct forced_run *r, size_t i, const int32_t *list, int n)
{
    size_t k = 0;
    while (k < (size_t)MAX(n, 0) && i + k < r->ids.n && list[k] == r->ids.id[i + k]) k++;
    return k;
}

/* A random byte that may come, printable ones for choice; -1: none may. */
static int any_byte(struct forced_run *r, struct matcher *m, struct rng *g)
{
    static const char likely[] = "aeZ09 /\\\"'#-+.,:;!?()[]{}<>|=%$@~_*&^`\n";
    uint32_t from = rng_below(g, 256);
    for (uint32_t k = 0; k < 64 + 256; k++) {
        uint8_t b = k < 64 ? (uint8_t)likely[rng_below(g, sizeof likely - 1)] : (uint8_t)(from + k);
        if (r->byte_token[b] >= 0 && matcher_check(m, r->byte_token[b])) return b;
    }
    return -1;
}

/* Does a run of n tokens, which begins at token i and byte `at` of the text, stay as it is whatever the model
 * writes behind it? Asked with one random continuation out of the language. */
static void try_other(struct forced_run *r, const struct mask_case *c, struct matcher *m, size_t i,
                      size_t at, const int32_t *run, int n)
{
    struct rng g = rng_make(5, 0, r->n_tried++);
    struct matcher *f = matcher_fork(m);
    str_clear(&r->other);
    str_put(&r->other, r->text.p, at);
    for (int k = 0; k < n; k++) {
        struct bytes b = tok_bytes(r->o->tok, run[k]);
        if (!matcher_commit(f, run[k])) break;
        str_put(&r->other, b.p, b.len);
    }
    for (int k = 0, b; k < LOOK_ON && (b = any_byte(r, f, &g)) >= 0 && matcher_commit(f, r->byte_token[b]); k++)
        str_putc(&r->other, (char)b);
    matcher_free(f);
    if (!mask_tokens(r->o, &r->other, &r->other_ids)) return;
    size_t same = 0;
    while (same < (size_t)n && i + same < r->other_ids.n && r->other_ids.id[i + same] == run[same]) same++;
    r->all.tried++;
    if (same == (size_t)n || tok_is_eog(r->o->tok, run[same])) return;
    struct bytes b = tok_bytes(r->o->tok, run[same]);
    r->all.broken++;
    faults_add(&r->wrong, c, "token %zu is `%.*s`, not so in %.300s", i + same, (int)b.len, b.p,
               r->other.p + (r->other.len > 60 ? r->other.len - 60 : 0));
}

/* Tokens of a run that stand in r->ids from i on; a run that leaves them is counted. Without a run:
 * the same of a draft, *is_draft set. */
static size_t run_from(struct forced_run *r, const struct mask_case *c, struct matcher *m, size_t i,
                       size_t byte, bool *is_draft)
{
    int32_t run[MOST_RUN];
    int n_draft, n = matcher_forced(m, run, MOST_RUN, &n_draft);
    size_t k = stands(r, i, run, n);
    r->all.runs += n > 0;
    if (n > 0) try_other(r, c, m, i, byte, run, n);
    if (k < (size_t)MAX(n, 0) && !(i + k == r->ids.n && tok_is_eog(r->o->tok, run[k])))
        not_canonical(r, c, i + k, run[k]);
    *is_draft = n <= 0 && n_draft > 0;
    if (*is_draft) r->all.drafted += n_draft;
    return *is_draft ? stands(r, i, run, n_draft) : k;
}

/* Is a token allowed here that begins with token t and is longer? Then t must not be fed: a model
 * might have written the other. */
static bool has_longer(struct forced_run *r, struct matcher *m, int32_t t)
{
    struct bytes b = tok_bytes(r->o->tok, t);
    matcher_mask(m, r->bits);
    for (int32_t k = 0; k < tok_n_vocab(r->o->tok); k++) {
        if (!mask_has(r->bits, k)) continue;
        struct bytes l = tok_bytes(r->o->tok, k);
        if (l.len > b.len && !memcmp(l.p, b.p, b.len)) return true;
    }
    return false;
}

enum way { CHOSEN, FORCED, CONFIRMED };

static bool commit_next(struct forced_run *r, struct matcher *m, size_t *i, size_t *byte,
                        enum way way)
{
    int32_t t = r->ids.id[*i];
    size_t len = tok_bytes(r->o->tok, t).len;
    bool forceable = len > 0;
    for (size_t k = 0; k < len && *byte + k < r->text.len; k++)
        forceable &= r->is_forced[*byte + k];
    r->all.tokens++;
    r->all.forceable += forceable;
    r->all.forced += way == FORCED;
    r->all.confirmed += way == CONFIRMED;
    r->all.fed_forceable += way != CHOSEN && forceable;
    r->all.held += forceable && way == CHOSEN && has_longer(r, m, t);
    *byte += len;
    ++*i;
    return matcher_commit(m, t);
}

static void walk_tokens(struct forced_run *r, const struct mask_case *c, struct matcher *m)
{
    size_t byte = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < r->ids.n;) {
        bool is_draft;
        size_t fed = run_from(r, c, m, i, byte, &is_draft);
        for (size_t k = 0; ok && k < fed; k++)
            ok = commit_next(r, m, &i, &byte, is_draft ? CONFIRMED : FORCED);
        if (ok && !fed) ok = commit_next(r, m, &i, &byte, CHOSEN);
    }
    if (!ok)
        faults_add(&r->wrong, c, "bytes were accepted that tokens are not: %s", matcher_why(m));
    r->all.not_canonical += !ok;
}

static void one_instance(struct forced_run *r, const struct mask_case *c, const struct grammar *g,
                         const struct json *data)
{
    struct err e = { 0 };
    struct json *v = r->o->grammar.declared_order ? in_declared_order(c->schema, c->schema, data)
                                                  : json_copy(data);
    mask_write(&r->text, v, r->o->grammar.spelling == SPELL_FIXED ? TEXT_PYTHON : TEXT_COMPACT,
               NULL);
    json_free(v);
    struct matcher *m = NULL;
    r->all.instances++;
    if (!ask_oracle(r, g) || !mask_tokens(r->o, &r->text, &r->ids)) {
        r->all.skipped++;
        faults_add(&r->skips, c, "%.300s", r->text.p);
    } else if ((m = matcher_new(g, r->o->vocab, &e))) walk_tokens(r, c, m);
    else faults_add(&r->skips, c, "%s", e.msg);
    matcher_free(m);
}

static void add_to_set(struct forced_run *r, const char *name, const struct sums *before)
{
    if (!r->n_set || strcmp(r->set[r->n_set - 1].name, name)) {
        MEM_GROW(r->set, r->n_set, r->cap_set);
        r->set[r->n_set++] = (struct set_sums){ .name = mem_str(name) };
    }
    const int64_t *from = (const int64_t *)before, *now = (const int64_t *)&r->all;
    int64_t *to = (int64_t *)&r->set[r->n_set - 1].s;
    for (size_t i = 0; i < sizeof *before / sizeof *from; i++) to[i] += now[i] - from[i];
}

static void one_case(void *ctx, const struct mask_case *c)
{
    struct forced_run *r = ctx;
    struct sums before = r->all;
    struct grammar *g = c->schema ? grammar_of_schema(c->schema, &r->o->grammar, NULL) : NULL;
    r->all.schemas += g != NULL;
    for (size_t i = 0; g && i < json_len(c->tests); i++) {
        const struct json *test = json_at(c->tests, i);
        if (json_bool(json_get(test, "valid"))) one_instance(r, c, g, json_get(test, "data"));
    }
    grammar_free(g);
    add_to_set(r, c->set, &before);
}

/* ---- the report ----------------------------------------------------------------------------- */

static double share(int64_t part, int64_t of)
{
    return of ? 100.0 * (double)part / (double)of : 0;
}

static struct json *sums_json(const struct sums *s)
{
    const struct {
        const char *name;
        int64_t n;
    } row[] = {
        { "schemas", s->schemas },
        { "instances", s->instances },
        { "skipped", s->skipped },
        { "tokens", s->tokens },
        { "forceable", s->forceable },
        { "fed", s->forced + s->confirmed },
        { "forced", s->forced },
        { "drafted", s->drafted },
        { "confirmed", s->confirmed },
        { "fed_forceable", s->fed_forceable },
        { "held", s->held },
        { "runs", s->runs },
        { "not_canonical", s->not_canonical },
        { "tried", s->tried },
        { "broken", s->broken },
    };
    struct json *o = json_new_object();
    for (size_t i = 0; i < LEN(row); i++) json_set(o, row[i].name, json_new_int(row[i].n));
    json_set(o, "fed_of_forceable", json_new_f64(share(s->fed_forceable, s->forceable)));
    json_set(o, "fed_of_all", json_new_f64(share(s->forced + s->confirmed, s->tokens)));
    json_set(o, "forced_of_forceable",
             json_new_f64(share(s->fed_forceable - s->confirmed, s->forceable)));
    json_set(o, "forced_of_all", json_new_f64(share(s->forced, s->tokens)));
    json_set(o, "forceable_of_all", json_new_f64(share(s->forceable, s->tokens)));
    return o;
}

static struct json *report(struct forced_run *r)
{
    struct json *o = json_new_object(), *sets = json_new_object();
    for (size_t i = 0; i < r->n_set; i++) json_set(sets, r->set[i].name, sums_json(&r->set[i].s));
    json_set(o, "kind", json_new_str("forced"));
    json_set(o, "all", sums_json(&r->all));
    json_set(o, "failures", json_new_int(r->all.not_canonical + r->all.broken));
    json_set(o, "sets", sets);
    json_set(o, "wrong", faults_take(&r->wrong));
    json_set(o, "skips", faults_take(&r->skips));
    return o;
}

struct json *mask_forced(const struct mask_opts *o, struct err *e)
{
    struct forced_run r = { .o = o, .wrong.all = o->list, .skips.all = o->list };
    r.bytes = byte_vocab(e);
    r.bits = mem_zero(MASK_WORDS(tok_n_vocab(o->tok)) * sizeof *r.bits);
    memset(r.byte_token, -1, sizeof r.byte_token);
    for (int32_t t = 0; t < tok_n_vocab(o->tok); t++) {
        struct bytes b = tok_bytes(o->tok, t);
        if (b.len == 1) r.byte_token[(uint8_t)*b.p] = t;
    }
    bool ok = r.bytes && mask_cases(o, one_case, &r, e);
    struct json *out = ok ? report(&r) : NULL;
    json_free(faults_take(&r.wrong));
    json_free(faults_take(&r.skips));
    for (size_t i = 0; i < r.n_set; i++) mem_free(r.set[i].name);
    mem_free(r.set);
    mem_free(r.ids.id);
    mem_free(r.other_ids.id);
    str_done(&r.other);
    mem_free(r.is_forced);
    mem_free(r.bits);
    str_done(&r.text);
    vocab_close(r.bytes);
    return out;
}
