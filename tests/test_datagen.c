/* test_datagen.c -- the data generator: what it draws is a function of (seed, set, stage, index),
 * the test part never leaks into training, every expected call validates, and tokens and classes
 * say what the rendered text says. Looks into gen_int.h for the hold-out rules. */
#include "datagen.h"

/* ---- determinism ----------------------------------------------------------------------------- */

TEST(a_conversation_depends_on_seed_set_stage_and_index_only)
{
    struct datagen *g = open_packs(7), *h = open_packs(7), *other = open_packs(8);
    for (uint64_t i = 0; i < 60; i++) {
        enum data_set set = (enum data_set)(i % DATA_SETS);
        int stage = 1 + (int)(i % 3);
        mem_free(printed(h, set, stage, 1000 - i));                   /* another order of drawing */
        char *a = printed(g, set, stage, i), *b = printed(h, set, stage, i),
             *c = printed(other, set, stage, i);
        CHECK(!strcmp(a, b), "conversation %d differs from itself", (int)i);
        CHECK(strcmp(a, c), "conversation %d is the same under another seed", (int)i);
        mem_free(a);
        mem_free(b);
        mem_free(c);
    }
    datagen_close(g);
    datagen_close(h);
    datagen_close(other);
}

struct race { const struct datagen *g; char *text[64]; };

static void draw_some(void *ctx, int thread, int n)
{
    struct race *r = ctx;
    for (int i = thread; i < 64; i += n) r->text[i] = printed(r->g, DATA_TRAIN, 2, (uint64_t)i);
}

TEST(threads_may_draw_from_one_generator)
{
    struct err e = { 0 };
    struct datagen *g = open_packs(3);
    struct race one = { .g = g }, many = { .g = g };
    struct pool *p = pool_open(4, &e);
    draw_some(&one, 0, 1);
    pool_run(p, draw_some, &many);
    for (int i = 0; i < 64; i++) {
        CHECK(!strcmp(one.text[i], many.text[i]), "conversation %d", i);
        mem_free(one.text[i]);
        mem_free(many.text[i]);
    }
    pool_close(p);
    datagen_close(g);
}

/* ---- hold-outs ------------------------------------------------------------------------------- */

TEST(training_draws_no_held_out_word_or_rule)
{
    struct arena a;
    arena_init(&a, 0);
    struct datagen g = { 0 };
    struct draw train = { .g = &g, .r = rng_make(1, 2, 3), .a = &a },
                test = { .g = &g, .r = rng_make(1, 2, 4), .a = &a };
    test.held_word = test.held_rule = true;
    for (int i = 0; i < 20000; i++) {
        const char *in = i % 3 ? word_fake(&train) : i % 2 ? word_noun(&train) : word_adj(&train);
        const char *out = i % 3 ? word_foreign(&test) : i % 2 ? word_noun(&test) : word_adj(&test);
        CHECK(!word_is_held(in), "training drew the test word %s", in);
        CHECK(word_is_held(out), "the test set drew the training word %s", out);
        arena_reset(&a, 0);
    }
    const char *list = "open|alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|"
                       "xi|omikron|pi|rho|sigma|tau";
    for (int i = 0; i < 2000; i++) {
        const char *r = rule(&train, list);
        CHECK(!strcmp(r, "open") || !rule_is_held(r, strlen(r)), "training drew the test rule %s",
              r);
        r = rule(&test, list);
        CHECK(rule_is_held(r, strlen(r)), "the test set drew the training rule %s", r);
        arena_reset(&a, 0);
    }
    arena_done(&a);
}

static bool is_numbered(const char *name) { return strpbrk(name, "0123456789") != NULL; }

/* Invented tools only: E2 has no packs, and what a pack calls its tools is no secret. */
TEST(no_tool_of_E2_is_called_as_one_of_training)
{
    struct err e = { 0 };
    struct datagen *g = datagen_open(&(struct datagen_opts){ .stage = 2, .seed = 5 }, &e);
    struct json *seen = json_new_object();
    int collisions = 0, names = 0;
    for (int pass = 0; pass < 2; pass++)
        for (uint64_t i = 0; i < 3000; i++) {
            struct json *c = datagen_conversation(g, pass ? DATA_E2_TOOLS : DATA_TRAIN, 2, i, &e);
            const struct json *tools = json_get(c, "tools");
            for (size_t t = 0; t < json_len(tools); t++) {
                const char *name =
                    json_str(json_get(tool_function(json_at(tools, t)), "name"), NULL);
                /* fn_12 and the like say nothing */
                if (is_numbered(name)) continue;
                if (!pass) json_set(seen, name, json_new_null());
                else collisions += json_get(seen, name) != NULL;
                names++;
            }
            json_free(c);
        }
    CHECK(names > 4000, "only %d names", names);
    CHECK(collisions == 0, "%d names of E2 occur in training", collisions);
    json_free(seen);
    datagen_close(g);
}

/* ---- expectations ---------------------------------------------------------------------------- */

TEST(every_expected_call_validates)
{
    struct datagen *g = open_packs(11);
    for (int set = 0; set < DATA_SETS; set++) {
        int calls = 0, kinds[DATA_KINDS] = { 0 };
        for (uint64_t i = 0; i < 700; i++) {
            struct err e = { 0 };
            struct json *c = datagen_conversation(g, (enum data_set)set, 1 + (int)(i % 3), i, &e);
            calls += check_answer(c);
            for (int k = 0; k < DATA_KINDS; k++)
                kinds[k] += json_str_is(json_get(c, "kind"), data_kind_name((enum data_kind)k));
            CHECK(json_get(json_get(c, "answer"), "role") != NULL,
                  "set %d conversation %d has no answer", set, (int)i);
            json_free(c);
        }
        CHECK(calls > 300, "set %d: only %d calls", set, calls);
        for (int k = KIND_SINGLE; k < DATA_KINDS; k++)
            CHECK(kinds[k] > 3, "set %d: %d of kind %s", set, kinds[k],
                  data_kind_name((enum data_kind)k));
    }
    datagen_close(g);
}

TEST(nested_arguments_follow_the_schema)
{
    struct err e = { 0 };
    const char *schema = "{\"properties\":{\"a\":{},\"b\":{\"items\":{\"properties\":{\"x\":{},"
                         "\"y\":{}}}},\"c\":{\"properties\":{\"p\":{},\"q\":{}}}}}";
    const char *value = "{\"c\":{\"q\":1,\"p\":2},\"b\":[{\"y\":1,\"x\":2}],\"a\":0}",
               *want = "{\"a\":0,\"b\":[{\"x\":2,\"y\":1}],\"c\":{\"p\":2,\"q\":1}}";
    struct json *s = json_parse(schema, strlen(schema), &e),
                *v = json_parse(value, strlen(value), &e), *o = json_in_order(s, v);
    struct str out = { 0 };
    json_write(&out, o, JSON_COMPACT);
    CHECK(!strcmp(out.p, want), "%s", out.p);
    str_done(&out);
    json_free(o);
    json_free(v);
    json_free(s);
}

/* ---- tokens and classes ---------------------------------------------------------------------- */

struct vocab_file { struct gguf *g; struct tokenizer *t; };

static struct vocab_file open_vocab(const char *path)
{
    struct err e = { 0 };
    struct vocab_file v = { gguf_open(path, &e), NULL };
    if (v.g) v.t = tok_open(v.g, &e);
    CHECK(v.t != NULL, "%s", e.msg);
    return v;
}

static void close_vocab(struct vocab_file *v)
{
    tok_close(v->t);
    gguf_close(v->g);
}

static void put_class(struct str *s, const struct tokenizer *t, const struct example *x,
                      unsigned classes)
{
    for (int i = 0; i < x->n; i++) {
        if (!(classes >> x->cls[i] & 1)) {
            if (s->len && s->p[s->len - 1] != ' ') str_putc(s, ' ');
            continue;
        }
        struct bytes b = tok_bytes(t, x->token[i]);
        str_put(s, b.p, b.len);
    }
}

/* The ids of an example are those of the whole rendered conversation, whatever the classes say. */
TEST(an_example_is_the_rendered_conversation)
{
    struct vocab_file v = open_vocab("models/vocab-2048.gguf");
    struct datagen *g = open_packs(21);
    struct arena a;
    arena_init(&a, 0);
    int compared = 0;
    for (uint64_t i = 0; i < 400; i++) {
        struct err e = { 0 };
        struct example x;
        bool ok = datagen_example(g, v.t, DATA_TRAIN, 2, i, 4096, &a, &x, &e);
        CHECK(ok, "%s", e.msg);
        struct json *c = datagen_conversation(g, DATA_TRAIN, 2, i, &e),
                    *messages = json_copy(json_get(c, "messages"));
        json_push(messages, json_copy(json_get(c, "answer")));
        /* a seventh of the examples shows tools as JSON */
        for (int form = 0; ok && form < 2; form++) {
            struct json *vars = json_new_object();
            if (form) json_set(vars, "tools_as", json_new_str("json"));
            struct dialect_request r = { .messages = messages,
                                         .tools = json_len(json_get(c, "tools"))
                                                      ? json_get(c, "tools")
                                                      : NULL,
                                         .vars = vars };
            struct prompt p = { 0 };
            struct ids ids = { 0 };
            CHECK(dialect_render(dialect_find("lfm2-json"), &r, &p, &e) && prompt_tokens(&p, v.t, &ids, &e), "%s",
                  e.msg);
            bool same = ids.n == (size_t)x.n && !memcmp(ids.id, x.token, ids.n * sizeof *ids.id);
            compared += same;
            if (same) ok = false;                                     /* found its form */
            mem_free(ids.id);
            prompt_done(&p);
            json_free(vars);
        }
        CHECK(!ok, "conversation %d is rendered otherwise", (int)i);
        json_free(messages);
        json_free(c);
        arena_reset(&a, 0);
    }
    CHECK(compared == 400, "%d of 400 compared", compared);
    arena_done(&a);
    datagen_close(g);
    close_vocab(&v);
}

TEST(classes_say_what_is_name_key_and_value)
{
    struct vocab_file v = open_vocab("models/vocab-2048.gguf");
    struct datagen *g = open_packs(22);
    struct arena a;
    arena_init(&a, 0);
    for (uint64_t i = 0; i < 300; i++) {
        struct err e = { 0 };
        struct example x;
        struct str names = { 0 }, keys = { 0 }, want_names = { 0 }, want_keys = { 0 };
        CHECK(datagen_example(g, v.t, DATA_E1_IID, 2, i, 4096, &a, &x, &e), "%s", e.msg);
        struct json *c = datagen_conversation(g, DATA_E1_IID, 2, i, &e);
        const struct json *calls = json_get(json_get(c, "answer"), "tool_calls");
        for (size_t k = 0; k < json_len(calls); k++) {
            const struct json *f = json_get(json_at(calls, k), "function");
            size_t len;
            const char *s = json_str(json_get(f, "arguments"), &len);
            struct json *args = json_parse(s, len, &e);
            str_fmt(&want_names, "%s ", json_str(json_get(f, "name"), NULL));
            for (struct json_iter it = json_iter(args); json_next(&it);)
                str_fmt(&want_keys, "%s ", it.key);
            json_free(args);
        }
        put_class(&names, v.t, &x, 1u << TC_NAME);
        put_class(&keys, v.t, &x, 1u << TC_KEY);
        str_puts(&names, " ");
        str_puts(&keys, " ");
        /* no earlier calls in the conversation */
        if (json_len(json_get(c, "messages")) <= 2) {
            CHECK(!want_names.len ||
                      !strncmp(names.p + (names.p[0] == ' '), want_names.p, want_names.len),
                  "names \"%s\", wanted \"%s\"", names.p, want_names.p);
            CHECK(!want_keys.len ||
                      !strncmp(keys.p + (keys.p[0] == ' '), want_keys.p, want_keys.len),
                  "keys \"%s\", wanted \"%s\"", keys.p, want_keys.p);
        }
        int ends = 0;
        for (int k = 0; k < x.n; k++) ends += x.cls[k] == TC_END;
        CHECK(ends >= 1, "conversation %d has no end of an assistant turn", (int)i);
        str_done(&names);
        str_done(&keys);
        str_done(&want_names);
        str_done(&want_keys);
        json_free(c);
        arena_reset(&a, 0);
    }
    arena_done(&a);
    datagen_close(g);
    close_vocab(&v);
}

TEST(a_conversation_over_the_limit_is_refused_not_cut)
{
    struct vocab_file v = open_vocab("models/vocab-2048.gguf");
    struct datagen *g = open_packs(2);
    struct arena a;
    arena_init(&a, 0);
    int refused = 0;
    for (uint64_t i = 0; i < 50; i++) {
        struct err e = { 0 };
        struct example x;
        if (datagen_example(g, v.t, DATA_TRAIN, 3, i, 200, &a, &x, &e))
            CHECK(x.n <= 200, "%d tokens", x.n);
        else { CHECK(e.code == ERR_LIMIT, "%s", e.msg); refused++; }
    }
    CHECK(refused > 5, "only %d were too long", refused);
    arena_done(&a);
    datagen_close(g);
    close_vocab(&v);
}

/* ---- vocabulary ------------------------------------------------------------------------------ */

static int class_of(struct bytes b)
{
    int seen = -1;
    for (size_t i = 0; i < b.len; i++) {
        unsigned char c = (unsigned char)b.p[i];
        int k = c >= 0x80                                          ? 9
                : (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? 0
                : c >= '0' && c <= '9'                             ? 1
                : c == ' ' || (c >= 9 && c <= 13)                  ? 2
                : c == '_'                                         ? 3
                                                                   : 4;
        /* letters or punctuation beyond ASCII */
        if (k == 9) continue;
        if (seen >= 0 && (seen != k || k == 1)) return -1;
        seen = k;
    }
    return seen;
}

static const char *const vocab_files[] = { "models/vocab-1024.gguf", "models/vocab-2048.gguf" };

TEST(a_token_is_of_one_class)
{
    for (size_t f = 0; f < LEN(vocab_files); f++) {
        struct vocab_file v = open_vocab(vocab_files[f]);
        for (int i = 0; i < tok_n_vocab(v.t); i++) {
            struct bytes b = tok_bytes(v.t, i);
            CHECK(b.len < 2 || class_of(b) >= 0 || (b.p[0] & 0x80),
                  "%s: token %d \"%.*s\" mixes classes", vocab_files[f], i, (int)b.len, b.p);
        }
        CHECK(tok_special(v.t, "<|tool_call_start|>") == 7 && tok_special(v.t, "<|pad|>") == 0,
              "%s: markers come first", vocab_files[f]);
        CHECK(tok_bos(v.t) == tok_special(v.t, "<|startoftext|>") && tok_adds_bos(v.t), "%s: bos",
              vocab_files[f]);
        CHECK(tok_is_eog(v.t, tok_special(v.t, "<|im_end|>")), "%s: eos", vocab_files[f]);
        close_vocab(&v);
    }
}

/* Copying is copying tokens: a value has the same ids wherever it stands. */
TEST(a_value_has_the_same_tokens_everywhere)
{
    static const char *const before[] = { " ", "\"", "_", "\n", ": ", ":\"", "(" };
    struct vocab_file v = open_vocab("models/vocab-2048.gguf");
    struct datagen g = { 0 };
    struct arena a;
    struct err e = { 0 };
    arena_init(&a, 0);
    struct draw d = { .g = &g, .r = rng_make(4, 4, 4), .a = &a, .fake_percent = 70 };
    for (int i = 0; i < 15000; i++) {
        const char *w = i % 3 == 0   ? capital(&d, word_foreign(&d))
                        : i % 3 == 1 ? text(&d, "%s %s", word_any(&d), word_any(&d))
                                     : word_any(&d);
        struct ids alone = { 0 };
        tok_encode(v.t, w, strlen(w), 0, &alone, &e);
        for (size_t b = 0; b < LEN(before); b++) {
            struct ids ids = { 0 };
            const char *s = text(&d, "%s%s", before[b], w);
            tok_encode(v.t, s, strlen(s), 0, &ids, &e);
            bool tail = ids.n >= alone.n &&
                        !memcmp(ids.id + (ids.n - alone.n), alone.id, alone.n * sizeof *ids.id);
            CHECK(tail, "\"%s\" is cut otherwise after \"%s\"", w, before[b]);
            mem_free(ids.id);
        }
        mem_free(alone.id);
        arena_reset(&a, 0);
    }
    arena_done(&a);
    close_vocab(&v);
}

TEST(random_bytes_survive_encoding)
{
    struct vocab_file v = open_vocab("models/vocab-1024.gguf");
    struct rng r = rng_make(9, 9, 9);
    struct err e = { 0 };
    for (int i = 0; i < 2000; i++) {
        char in[64];
        size_t n = rng_below(&r, sizeof in);
        for (size_t k = 0; k < n; k++) in[k] = (char)rng_below(&r, i % 2 ? 256 : 128);
        struct ids ids = { 0 };
        struct str out = { 0 };
        CHECK(tok_encode(v.t, in, n, 0, &ids, &e), "%s", e.msg);
        for (size_t k = 0; k < ids.n; k++) {
            struct bytes b = tok_bytes(v.t, ids.id[k]);
            str_put(&out, b.p, b.len);
        }
        CHECK(out.len == n && (!n || !memcmp(out.p, in, n)), "%zu bytes came back as %zu", n,
              out.len);
        str_done(&out);
        mem_free(ids.id);
    }
    close_vocab(&v);
}

struct lines { const char *const *line; int n; };

static bool next_line(void *ctx, struct bytes *out)
{
    struct lines *l = ctx;
    if (!l->n) return false;
    l->n--;
    *out = (struct bytes){ *l->line, strlen(*l->line) };
    l->line++;
    return true;
}

TEST(learning_merges_the_most_frequent_pair_first_and_never_across_classes)
{
    static const char *const text_[] = { "aab aab aab 11 11 11", "aab_aab __ a1a1a1" };
    static const char *const special[] = { "<|x|>" };
    struct err e = { 0 };
    struct lines l = { text_, 2 };
    struct bpe_tables t;
    CHECK(bpe_learn("lfm2", special, 1, 1 + 256 + 10, next_line, &l, &t, &e), "%s", e.msg);
    CHECK(t.n_merge == 2, "%d merges: only aa and aab repeat inside one class", t.n_merge);
    CHECK(t.n_merge == 2 && bytes_eq(t.merge[0], "a a") && bytes_eq(t.merge[1], "aa b"),
          "merges are \"%.*s\", \"%.*s\"", (int)t.merge[0].len, t.merge[0].p, (int)t.merge[1].len,
          t.merge[1].p);
    CHECK(bytes_eq(t.token[0], "<|x|>") && t.n_token == 259, "%d tokens", t.n_token);
    bpe_tables_done(&t);
    CHECK(!bpe_learn("lfm2", special, 1, 200, next_line, &l, &t, &e) && e.code == ERR_ARG,
          "a vocabulary below the bytes");
    e = (struct err){ 0 };
    CHECK(!bpe_learn("nonesuch", special, 1, 300, next_line, &l, &t, &e) &&
              e.code == ERR_UNSUPPORTED,
          "an unknown pre-tokenizer");
}

TEST_MAIN
