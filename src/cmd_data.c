/* cmd_data.c -- `tenon data`: look at the conversations the generator makes, measure them, and
 * learn a vocabulary from them.
 *
 * --dump prints the lines that `tenon eval` reads; --text the rendered prompts as a person would
 * proof-read them; --stats what a mixture consists of (kinds, tokens, share of values that stand
 * verbatim in the conversation, calls that do not validate: must be 0); --shards writes tokens for
 * a trainer elsewhere; --learn-vocab writes a GGUF with nothing but a tokenizer in it. Conversation
 * i depends on seed, set, stage and i only. */
#include <math.h>
#include <stdlib.h>

#include "front.h"
#include "gen/gen.h"
#include "grammar/grammar.h"
#include "text/text.h"
#include "train/train.h"

struct data_opts {
    int64_t dump, text, stats, learn, shards, seed, stage, first, corpus, max_tokens;
    int64_t n;
    const char *synth;
    const char *set, *kind, *packs, *lexicon, *dialogues, *out, *vocab;
    struct opt_list extra;
    bool json;
};

static const struct opt opts[] = {
    { "What to do", 0, "dump", "N", OPT_INT, offsetof(struct data_opts, dump),
      "print N conversations as lines for `tenon eval` (default: 10 if nothing else is asked)" },
    { "What to do", 0, "text", "N", OPT_INT, offsetof(struct data_opts, text),
      "print N conversations as the model sees them (default: off)" },
    { "What to do", 0, "stats", "N", OPT_INT, offsetof(struct data_opts, stats),
      "draw N conversations and print what they consist of (default: off)" },
    { "What to do", 0, "learn-vocab", "N", OPT_INT, offsetof(struct data_opts, learn),
      "learn a vocabulary of N entries and write it to --out (default: off)" },
    { "What to do", 0, "shards", "N", OPT_INT, offsetof(struct data_opts, shards),
      "write N conversations as tokens with classes to --out (default: off)" },
    { "What to do", 0, "synth", "FILE", OPT_STR, offsetof(struct data_opts, synth),
      "print conversations about the tools of this file, to learn from (docs/fine-tuning.md; default: off)" },
    { "What to do", 'n', "n", "N", OPT_INT, offsetof(struct data_opts, n),
      "how many of --synth (default: 500)" },
    { "Which", 0, "set", "NAME", OPT_STR, offsetof(struct data_opts, set),
      "train, E1, E2, E3 or E4 (default: train)" },
    { "Which", 0, "kind", "NAME", OPT_STR, offsetof(struct data_opts, kind),
      "only single, multiple, parallel, none, ask, grounded, multi_turn or copy (default: all)" },
    { "Which", 0, "stage", "N", OPT_INT, offsetof(struct data_opts, stage),
      "mixture of stage 1, 2 or 3 (default: 2)" },
    { "Which", 0, "seed", "S", OPT_INT, offsetof(struct data_opts, seed),
      "seed of the stream (default: 1)" },
    { "Which", 0, "first", "I", OPT_INT, offsetof(struct data_opts, first),
      "number of the first conversation (default: 0)" },
    { "Which", 0, "packs", "DIR", OPT_STR, offsetof(struct data_opts, packs),
      "folder of domain packs (default: data/domains)" },
    { "Which", 0, "pack", "FILE", OPT_LIST, offsetof(struct data_opts, extra),
      "a further domain pack, may be repeated (default: none)" },
    { "Which", 0, "lexicon", "FILE", OPT_STR, offsetof(struct data_opts, lexicon),
      "words with their meanings, see tools/lexicon.py (default: none)" },
    { "Which", 0, "dialogues", "FILE", OPT_STR, offsetof(struct data_opts, dialogues),
      "recorded conversations, see tools/dialogues.py (default: none)" },
    { "Vocabulary", 0, "vocab", "FILE", OPT_STR, offsetof(struct data_opts, vocab),
      "tokenizer of --stats and --shards (default: models/vocab-2048.gguf)" },
    { "Vocabulary", 0, "corpus", "MB", OPT_INT, offsetof(struct data_opts, corpus),
      "megabytes of conversations to learn from (default: 40)" },
    { "Vocabulary", 0, "max-tokens", "N", OPT_INT, offsetof(struct data_opts, max_tokens),
      "longest conversation of --stats and --shards (default: 2048)" },
    { "Output", 'o', "out", "FILE", OPT_STR, offsetof(struct data_opts, out),
      "file to write instead of stdout" },
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct data_opts, json),
      "statistics as one JSON object (default: text)" },
};
static const struct data_opts defaults = { .seed = 1,
                                           .stage = 2,
                                           .packs = "data/domains",
                                           .set = "train",
                                           .corpus = 40,
                                           .vocab = "models/vocab-2048.gguf",
                                           .max_tokens = 2048,
                                           .n = 500 };

/* ---- what is asked for ----------------------------------------------------------------------- */

struct job {
    const struct data_opts *o;
    struct datagen *g;
    enum data_set set;
    int kind;
    FILE *out;
};

static bool read_set(const char *name, enum data_set *set, struct err *e)
{
    static const char *const names[] = { "train", "E1", "E2", "E3", "E4" };
    for (int i = 0; i < (int)LEN(names); i++)
        if (!strcmp(names[i], name)) { *set = (enum data_set)i; return true; }
    return err_set(e, ERR_USAGE, "--set %s: train, E1, E2, E3 or E4 is accepted", name);
}

static bool read_kind(const char *name, int *kind, struct err *e)
{
    *kind = -1;
    if (!name) return true;
    for (int k = 0; k < DATA_KINDS; k++)
        if (!strcmp(data_kind_name((enum data_kind)k), name)) { *kind = k; return true; }
    return err_set(e, ERR_USAGE,
                   "--kind %s: copy, single, multiple, parallel, none, ask, grounded or multi_turn "
                   "is accepted",
                   name);
}

/* The next conversation from *index on that is of the wanted kind; a hundred thousand misses end
 * it. */
static struct json *next_of_kind(const struct job *j, uint64_t *index, struct err *e)
{
    for (int i = 0; i < 100000; i++) {
        struct json *c = datagen_conversation(j->g, j->set, (int)j->o->stage, (*index)++, e);
        if (!c || j->kind < 0 ||
            json_str_is(json_get(c, "kind"), data_kind_name((enum data_kind)j->kind)))
            return c;
        json_free(c);
    }
    err_set(e, ERR_ARG, "set %s has no conversations of kind %s in stage %d", j->o->set, j->o->kind,
            (int)j->o->stage);
    return NULL;
}

/* ---- dump, text ------------------------------------------------------------------------------ */

static bool dump(const struct job *j, struct err *e)
{
    uint64_t index = (uint64_t)j->o->first;
    struct str s = { 0 };
    bool ok = true;
    for (int64_t i = 0; ok && i < j->o->dump; i++) {
        struct json *c = next_of_kind(j, &index, e);
        ok = c != NULL;
        if (!ok) break;
        str_clear(&s);
        json_write(&s, c, JSON_PYTHON);
        fprintf(j->out, "%s\n", s.p);
        json_free(c);
    }
    str_done(&s);
    return ok;
}

static bool render(const struct json *c, bool tools_as_json, struct prompt *p, struct err *e)
{
    struct json *messages = json_copy(json_get(c, "messages")), *vars = json_new_object();
    if (tools_as_json) json_set(vars, "tools_as", json_new_str("json"));
    json_push(messages, json_copy(json_get(c, "answer")));
    const struct json *tools = json_get(c, "tools");
    struct dialect_request r = { .bos_token = "<|startoftext|>", .messages = messages,
                                 .tools = json_len(tools) ? tools : NULL,
                                 .vars = vars };
    bool ok = dialect_render(dialect_find("lfm2-json"), &r, p, e);
    json_free(vars);
    json_free(messages);
    return ok;
}

static bool print_text(const struct job *j, struct err *e)
{
    uint64_t index = (uint64_t)j->o->first;
    for (int64_t i = 0; i < j->o->text; i++) {
        struct json *c = next_of_kind(j, &index, e);
        struct prompt p = { 0 };
        bool ok = c && render(c, false, &p, e);
        if (ok)
            fprintf(j->out, "---- %s %s\n%.*s\n", json_str(json_get(c, "id"), NULL),
                    json_str(json_get(c, "kind"), NULL), (int)p.text.len, p.text.p);
        prompt_done(&p);
        json_free(c);
        if (!ok) return false;
    }
    return true;
}

/* ---- statistics ------------------------------------------------------------------------------ */

#define NAMES_MOST 3000 /* conversations of either set whose names are compared */

struct stats {
    int64_t n, n_kind[DATA_KINDS], tokens, tokens_kind[DATA_KINDS], cls[TOKEN_CLASSES], longest,
        dropped;
    int64_t values, verbatim, calls, invalid;
    int64_t held_names, collisions; /* tool names of E2, and how often training has one of them */
    double seconds;
};

static const struct json *schema_of(const struct json *tools, const char *name)
{
    for (size_t i = 0; i < json_len(tools); i++) {
        const struct json *f = tool_function(json_at(tools, i));
        if (json_str_is(json_get(f, "name"), name)) return json_get(f, "parameters");
    }
    return NULL;
}

static void put_all_text(struct str *s, const struct json *messages)
{
    for (size_t i = 0; i < json_len(messages); i++) {
        const char *t = json_str(json_get(json_at(messages, i), "content"), NULL);
        if (t) str_puts(s, t);
        str_putc(s, '\n');
    }
}

static void count_values(struct stats *st, const struct json *v, const char *seen)
{
    if (json_is(v, JSON_OBJECT)) {
        for (struct json_iter it = json_iter(v); json_next(&it);) count_values(st, it.value, seen);
        return;
    }
    if (json_is(v, JSON_ARRAY)) {
        for (size_t i = 0; i < json_len(v); i++) count_values(st, json_at(v, i), seen);
        return;
    }
    if (json_is(v, JSON_BOOL)) return;
    const char *t = json_is(v, JSON_NUMBER) ? json_number(v, NULL) : json_str(v, NULL);
    st->values++;
    st->verbatim += t && strstr(seen, t) != NULL;
}

/* Every expected call must validate against its tool, or the conversation teaches nonsense. */
static void check_calls(struct stats *st, const struct json *c, const char *seen, FILE *out)
{
    const struct json *calls = json_get(json_get(c, "answer"), "tool_calls");
    for (size_t i = 0; i < json_len(calls); i++) {
        const struct json *f = json_get(json_at(calls, i), "function");
        const char *name = json_str(json_get(f, "name"), NULL);
        size_t len = 0;
        const char *text = json_str(json_get(f, "arguments"), &len);
        struct err why = { 0 };
        struct json *args = json_parse(text, len, &why);
        const struct json *schema = schema_of(json_get(c, "tools"), name);
        st->calls++;
        if (!args || !schema || !schema_check(schema, args, NULL, &why)) {
            if (st->invalid++ < 5)
                fprintf(out, "invalid: %s %s: %s\n", json_str(json_get(c, "id"), NULL), name,
                        schema ? why.msg : "tool not declared");
        }
        if (args) count_values(st, args, seen);
        json_free(args);
    }
}

static bool collect(const struct job *j, struct stats *st, struct err *e)
{
    struct gguf *file = gguf_open(j->o->vocab, e);
    struct tokenizer *t = file ? tok_open(file, e) : NULL;
    struct arena a;
    struct str seen = { 0 };
    arena_init(&a, 0);
    bool ok = t != NULL;
    for (int64_t i = 0; ok && i < j->o->stats; i++) {
        uint64_t index = (uint64_t)(j->o->first + i);
        struct example x;
        struct err full = { 0 };
        uint64_t t0 = clock_ns();
        bool got = datagen_example(j->g, t, j->set, (int)j->o->stage, index, (int)j->o->max_tokens,
                                   &a, &x, &full);
        st->seconds += (double)(clock_ns() - t0) * 1e-9;
        if (!got) {
            ok = full.code == ERR_LIMIT || (*e = full, false);
            st->dropped++;
            continue;
        }
        st->n++;
        st->tokens += x.n;
        st->n_kind[x.kind]++;
        st->tokens_kind[x.kind] += x.n;
        st->longest = MAX(st->longest, x.n);
        for (int k = 0; k < x.n; k++) st->cls[x.cls[k]]++;
        arena_reset(&a, 0);
        struct json *c = datagen_conversation(j->g, j->set, (int)j->o->stage, index, e);
        str_clear(&seen);
        put_all_text(&seen, json_get(c, "messages"));
        check_calls(st, c, seen.p ? seen.p : "", stderr);
        json_free(c);
    }
    arena_done(&a);
    str_done(&seen);
    tok_close(t);
    gguf_close(file);
    return ok;
}

/* Names of tools in conversations of a set go into `seen`, or are looked up there. Those with figures, fn_12 and the like, say nothing. */
static bool walk_names(const struct job *j, enum data_set set, int64_t n, struct json *seen, struct stats *st, struct err *e)
{
    for (int64_t i = 0; i < n; i++) {
        struct json *c = datagen_conversation(j->g, set, (int)j->o->stage, (uint64_t)(j->o->first + i), e);
        if (!c) return false;
        const struct json *tools = json_get(c, "tools");
        for (size_t t = 0; t < json_len(tools); t++) {
            const char *name = json_str(json_get(tool_function(json_at(tools, t)), "name"), NULL);
            if (!name || strpbrk(name, "0123456789")) continue;
            if (set == DATA_TRAIN) json_set(seen, name, json_new_null());
            else st->held_names++, st->collisions += json_get(seen, name) != NULL;
        }
        json_free(c);
    }
    return true;
}

/* The hold-out of names is cut before anything is drawn: what E2 calls its tools, training never does. */
static bool count_collisions(const struct job *j, struct stats *st, struct err *e)
{
    struct json *seen = json_new_object();
    int64_t n = MIN(j->o->stats, NAMES_MOST);
    bool ok = walk_names(j, DATA_TRAIN, n, seen, st, e) && walk_names(j, DATA_E2_TOOLS, n, seen, st, e);
    json_free(seen);
    return ok;
}

static void print_json(FILE *out, const struct stats *s)
{
    fprintf(out,
            "{\"version\":%d,\"n\":%lld,\"tokens\":%lld,\"longest\":%lld,\"dropped\":%lld,\"calls\":%lld,"
            "\"invalid\":%lld,\"values\":%lld,\"verbatim\":%lld,\"held_names\":%lld,\"collisions\":%lld,\"tokens_per_s\":%.0f,\"kinds\":{",
            DATAGEN_VERSION, (long long)s->n, (long long)s->tokens, (long long)s->longest,
            (long long)s->dropped, (long long)s->calls, (long long)s->invalid, (long long)s->values,
            (long long)s->verbatim, (long long)s->held_names, (long long)s->collisions, (double)s->tokens / s->seconds);
    for (int k = 0; k < DATA_KINDS; k++)
        fprintf(out, "%s\"%s\":{\"n\":%lld,\"tokens\":%lld}", k ? "," : "",
                data_kind_name((enum data_kind)k), (long long)s->n_kind[k],
                (long long)s->tokens_kind[k]);
    fprintf(out, "}}\n");
}

static void print_stats(FILE *out, const struct stats *s)
{
    double n = (double)MAX(s->n, 1);
    fprintf(out,
            "%lld conversations, %.0f tokens on average, longest %lld, %lld over the limit, %.0f "
            "tokens/s\n",
            (long long)s->n, (double)s->tokens / n, (long long)s->longest, (long long)s->dropped,
            (double)s->tokens / s->seconds);
    for (int k = 0; k < DATA_KINDS; k++)
        if (s->n_kind[k])
            fprintf(out, "  %-11s %5.1f %%  %5.0f tokens each\n", data_kind_name((enum data_kind)k),
                    100 * (double)s->n_kind[k] / n,
                    (double)s->tokens_kind[k] / (double)s->n_kind[k]);
    for (int c = 0; c < TOKEN_CLASSES; c++)
        fprintf(out, "  %-11s %6.2f %% of the tokens\n", token_class_name((enum token_class)c),
                100 * (double)s->cls[c] / (double)MAX(s->tokens, 1));
    fprintf(out,
            "%lld calls, %lld that do not validate; %.1f %% of %lld values verbatim in the "
            "conversation\n",
            (long long)s->calls, (long long)s->invalid,
            100 * (double)s->verbatim / (double)MAX(s->values, 1), (long long)s->values);
    fprintf(out, "held out: %lld names of tools in E2, %lld of them in training\n", (long long)s->held_names, (long long)s->collisions);
}

/* ---- shards ---------------------------------------------------------------------------------- */

static void put_u32(struct file_out *f, uint32_t v)
{
    uint8_t b[4] = { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24) };
    file_out_put(f, b, sizeof b);
}

static void put_example(struct file_out *f, const struct example *x)
{
    put_u32(f, (uint32_t)x->n);
    for (int i = 0; i < x->n; i++) {
        uint8_t b[2] = { (uint8_t)x->token[i], (uint8_t)(x->token[i] >> 8) };
        file_out_put(f, b, sizeof b);
    }
    file_out_put(f, x->cls, (size_t)x->n);
}

static bool put_shard(const struct job *j, const struct tokenizer *t, struct file_out *f,
                      struct err *e)
{
    struct arena a;
    bool ok = true;
    arena_init(&a, 0);
    file_out_put(f, "TNSHARD1", 8);
    put_u32(f, (uint32_t)tok_n_vocab(t));
    for (int64_t i = 0; ok && i < j->o->shards; i++) {
        struct example x;
        struct err why = { 0 };
        if (datagen_example(j->g, t, j->set, (int)j->o->stage, (uint64_t)(j->o->first + i),
                            (int)j->o->max_tokens, &a, &x, &why))
            put_example(f, &x);
        else if (why.code != ERR_LIMIT) { *e = why; ok = false; }
        arena_reset(&a, 0);
    }
    arena_done(&a);
    return ok;
}

/* Little endian: "TNSHARD1", u32 entries of the vocabulary; then per conversation u32 n, u16
 * token[n], u8 class[n]. Conversations over --max-tokens are left out. */
static bool shards(const struct job *j, struct err *e)
{
    if (!j->o->out) return err_set(e, ERR_USAGE, "--shards needs --out FILE");
    struct gguf *file = gguf_open(j->o->vocab, e);
    struct tokenizer *t = file ? tok_open(file, e) : NULL;
    struct file_out f = { 0 };
    bool ok = t && tok_n_vocab(t) <= 65536;
    if (t && !ok)
        err_set(e, ERR_UNSUPPORTED, "%s: %d entries, shards hold at most 65536", j->o->vocab,
                tok_n_vocab(t));
    ok = ok && file_out_open(&f, j->o->out, e) && put_shard(j, t, &f, e) && file_out_commit(&f, e);
    if (!ok) file_out_abort(&f);
    tok_close(t);
    gguf_close(file);
    return ok;
}

/* ---- learning a vocabulary ------------------------------------------------------------------- */

/* Hands over the texts between the markers of one conversation after the other; markers are tokens. */
struct corpus {
    const struct job *j;
    uint64_t index;
    struct prompt p;
    size_t at;                                                        /* in the text of p */
    int64_t left;
    struct err err;
};

/* The next marker of the template, <|like_this|>, from `at` on; its length, 0 at the end. */
static size_t find_marker(const struct prompt *p, size_t *at)
{
    for (size_t i = 0; i < p->n_piece; i++) {
        const struct piece *q = &p->piece[i];
        size_t from = MAX(q->off, *at), end = q->off + q->len;
        if (!q->trusted || from >= end) continue;
        const char *open = memmem(p->text.p + from, end - from, "<|", 2);
        const char *close = open ? memmem(open, (size_t)(p->text.p + end - open), "|>", 2) : NULL;
        if (!close) continue;
        *at = (size_t)(open - p->text.p);
        return (size_t)(close + 2 - open);
    }
    *at = p->text.len;
    return 0;
}

static bool next_text(void *ctx, struct bytes *text)
{
    struct corpus *c = ctx;
    for (;;) {
        while (c->at < c->p.text.len) {
            size_t from = c->at, len = find_marker(&c->p, &c->at);
            *text = (struct bytes){ c->p.text.p + from, c->at - from };
            c->left -= (int64_t)text->len;
            c->at += len;
            if (text->len) return true;
        }
        if (c->left <= 0 || c->err.code) return false;
        prompt_done(&c->p);
        c->at = 0;
        struct json *v =
            datagen_conversation(c->j->g, c->j->set, (int)c->j->o->stage, c->index++, &c->err);
        /* the share that training shows as JSON */
        if (v) render(v, c->index % 7 == 0, &c->p, &c->err);
        json_free(v);
    }
}

static bool learn(const struct job *j, struct err *e)
{
    static const char *const special[] = { "<|pad|>",
                                           "<|startoftext|>",
                                           "<|endoftext|>",
                                           "<|im_start|>",
                                           "<|im_end|>",
                                           "<|tool_list_start|>",
                                           "<|tool_list_end|>",
                                           "<|tool_call_start|>",
                                           "<|tool_call_end|>",
                                           "<|tool_response_start|>",
                                           "<|tool_response_end|>" };
    if (!j->o->out) return err_set(e, ERR_USAGE, "--learn-vocab needs --out FILE");
    struct corpus c = { .j = j, .index = (uint64_t)j->o->first, .left = j->o->corpus * 1000000 };
    struct bpe_tables t = { 0 };
    bool ok = bpe_learn("lfm2", special, LEN(special), (int)MIN(j->o->learn, 1 << 20), next_text,
                        &c, &t, e);
    prompt_done(&c.p);
    if (ok && c.err.code) { *e = c.err; ok = false; }
    if (ok) {
        struct gguf_out *o = gguf_out_new();
        gguf_out_str(o, "general.architecture", "lfm2", 4);
        gguf_out_str(o, "general.type", "vocab", 5);
        bpe_tables_write(&t, "lfm2", "<|startoftext|>", "<|im_end|>", "<|pad|>", o);
        ok = gguf_out_write(o, j->o->out, e);
        gguf_out_free(o);
        if (ok) fprintf(stderr, "%s: %d entries, %d merges\n", j->o->out, t.n_token, t.n_merge);
    }
    bpe_tables_done(&t);
    return ok;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static bool work(const struct job *j, struct err *e)
{
    if (j->o->learn) return learn(j, e);
    if (j->o->shards) return shards(j, e);
    if (j->o->stats) {
        struct stats s = { 0 };
        if (!collect(j, &s, e) || !count_collisions(j, &s, e)) return false;
        if (j->o->json) print_json(j->out, &s);
        else print_stats(j->out, &s);
        return true;
    }
    return j->o->text ? print_text(j, e) : dump(j, e);
}

static int run_data(const void *given, int n_arg, char **arg)
{
    struct data_opts o = *(const struct data_opts *)given;
    struct err e = { 0 };
    struct job j = { .o = &o, .out = stdout };
    if (o.synth && !o.text) o.dump = o.n;
    if (!o.dump && !o.text && !o.stats && !o.learn && !o.shards) o.dump = 10;
    if (!read_set(o.set, &j.set, &e) || !read_kind(o.kind, &j.kind, &e))
        return front_fail("data", &e);
    if (o.stage < 1 || o.stage > 3) {
        err_set(&e, ERR_USAGE, "--stage %d: 1, 2 or 3 is accepted", (int)o.stage);
        return front_fail("data", &e);
    }
    struct datagen_opts g = { .packs = o.packs,
                              .extra_pack = o.extra.item,
                              .n_extra = o.extra.n,
                              .lexicon = o.lexicon,
                              .dialogues = o.dialogues,
                              .stage = (int)o.stage,
                              .seed = (uint64_t)o.seed };
    struct json *own = o.synth ? tools_read(o.synth, &e) : NULL;
    if (own) {
        g.own = own;
        g.packs = file_exists(o.packs) ? o.packs : NULL; /* only for their values */
    }
    if (!o.synth || own) j.g = datagen_open(&g, &e);
    if (own && !j.g) err_at(&e, o.synth);
    if (j.g && o.out && !o.learn && !o.shards && !(j.out = fopen(o.out, "w")))
        err_set(&e, ERR_IO, "%s: cannot be written", o.out);
    bool ok = j.g && j.out && work(&j, &e);
    if (j.out && j.out != stdout && fclose(j.out) && ok)
        ok = err_set(&e, ERR_IO, "%s: cannot be written", o.out);
    datagen_close(j.g);
    json_free(own);
    return ok ? 0 : front_fail("data", &e);
}

const struct command cmd_data = {
    .verb = "data",
    .args = "",
    .sentence = "Generate training and evaluation conversations, or learn a vocabulary from them.",
    .example = "tenon data --set E2 --kind single --dump 500 > e2.jsonl",
    .opt = opts,
    .n_opt = LEN(opts),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .min_arg = 0,
    .max_arg = 0,
    .run = run_data
};
