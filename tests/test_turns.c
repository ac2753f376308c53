/* test_turns.c -- what every dialect's grammar lets a speaker write: random walks over tool lists, choices and
 * vocabularies are valid messages, and what was written reads the same as tokens, as bytes and as mere text. */
#include "quoted.h"

#include <unistd.h>

#include "gen/gen.h"
#include "tiny.h"

/* ---- vocabularies: markers as tokens, as text, SentencePiece ------------------------------------------- */

static const char *const markers[] = { "<|pad|>", "<|begin|>", "<|eot_id|>", "<|eom_id|>", "<|from|>", "<|recipient|>", "<|content|>", "<|stop|>",
    "<|reserved_special_token_249|>", "<|START_OF_FUNCTION_CALL|>", "<|END_OF_FUNCTION_CALL|>", "<|END_OF_ASSISTANT|>", "<|python_tag|>", "<tool_call>",
    "</tool_call>", "<think>", "</think>", "<|tool_call_start|>", "<|tool_call_end|>", "<|im_end|>" };
enum { VOCAB_TOKENS, VOCAB_PLAIN, VOCAB_SPM, N_VOCAB };

static bool write_bpe(struct gguf_out *o, bool tokens, struct err *e)
{
    static const char *const none[] = { "<|pad|>", "<|begin|>", "<|end|>" };
    struct bpe_tables t = { 0 };
    int rounds = 3;
    bool ok = bpe_learn("lfm2", tokens ? markers : none, tokens ? LEN(markers) : LEN(none), 400, tiny_next, &rounds, &t, e);
    if (ok) bpe_tables_write(&t, "lfm2", "<|begin|>", tokens ? "<|eot_id|>" : "<|end|>", "<|pad|>", o);
    bpe_tables_done(&t);
    return ok;
}

/* All bytes, a few pieces with the space that SentencePiece writes, and the markers of Functionary v1 and v2. */
static void write_spm(struct gguf_out *o)
{
    static const char *const piece[] = { "\xe2\x96\x81", "\xe2\x96\x81" "all", "all", "\xe2\x96\x81" "assistant", "assistant", "{\"", "\":", "\",", "}", "f", "g", "\xe2\x96\x81" "{\"" };
    static const char *const control[] = { "<s>", "</s>", "<|from|>", "<|recipient|>", "<|content|>", "<|stop|>", "<|START_OF_FUNCTION_CALL|>",
        "<|END_OF_FUNCTION_CALL|>", "<|END_OF_ASSISTANT|>" };
    static char text[320][32];
    static struct bytes list[320];
    float score[320] = { 0 };
    int32_t type[320];
    int n = 0;
    snprintf(text[n], 32, "<unk>"), type[n++] = 2;
    for (size_t i = 0; i < LEN(control); i++) snprintf(text[n], 32, "%s", control[i]), type[n++] = 3;
    for (int b = 0; b < 256; b++) snprintf(text[n], 32, "<0x%02X>", (unsigned)b), type[n++] = 6;
    for (size_t i = 0; i < LEN(piece); i++) score[n] = -(float)i, snprintf(text[n], 32, "%s", piece[i]), type[n++] = 1;
    for (int i = 0; i < n; i++) list[i] = (struct bytes){ text[i], strlen(text[i]) };
    gguf_out_str(o, "tokenizer.ggml.model", "llama", 5);
    gguf_out_strs(o, "tokenizer.ggml.tokens", list, (size_t)n);
    gguf_out_f32s(o, "tokenizer.ggml.scores", score, (size_t)n);
    gguf_out_i32s(o, "tokenizer.ggml.token_type", type, (size_t)n);
    gguf_out_u32(o, "tokenizer.ggml.bos_token_id", 1);
    gguf_out_u32(o, "tokenizer.ggml.eos_token_id", 2);
}

static struct gguf *vocab(int which)
{
    static struct gguf *open[N_VOCAB];
    if (open[which]) return open[which];
    struct err e = { 0 };
    struct gguf_out *o = gguf_out_new();
    char path[] = "/tmp/tenon-test-turns-XXXXXX";
    int fd = mkstemp(path);
    bool ok = fd >= 0;
    if (which == VOCAB_SPM) write_spm(o);
    else ok = ok && write_bpe(o, which == VOCAB_TOKENS, &e);
    ok = ok && gguf_out_write(o, path, &e) && (open[which] = gguf_open(path, &e));
    gguf_out_free(o);
    if (!ok) {
        fprintf(stderr, "vocabulary: %s\n", e.msg);
        exit(1);
    }
    close(fd);
    remove(path);
    return open[which];
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

static const char *const lists[] = {
    ("[{'name':'f','parameters':{'type':'object','properties':{'s':{'type':'string'},'n':{'type':'integer','minimum':0,'maximum':30}},'required':['s'],'additionalProperties':false}},"
     " {'name':'f_g','parameters':{'type':'object','properties':{'deep':{'type':'array','items':{'enum':['>>>f','</function>',{'a':1}]},'maxItems':3}},'required':['deep']}},{'name':'h'}]"),
    "[{'name':'f','parameters':{'type':'object','properties':{'s':{'enum':['<tool_call>','<|from|>','x']}},'required':['s']}},{'type':'code_interpreter'}]",
    "[{'type':'code_interpreter'}]",
};
static const char *const choices[] = { "auto", "none", "required", "f", "python" };
struct row { size_t list, choice; bool parallel; int budget; uint64_t seed; };

/* False: that tool is not in that list. */
static bool make_request(const struct row *row, struct request *r)
{
    struct err e = { 0 };
    if ((row->choice == 3 && row->list == 2) || (row->choice == 4 && !row->list)) return false;
    struct json *body = parse("{'messages':[{'role':'user','content':'go'}]}");
    json_set(body, "tools", parse(lists[row->list]));
    json_set(body, "tool_choice", tool_choice_json(choices[row->choice]));
    json_set(body, "parallel_tool_calls", json_new_bool(row->parallel));
    json_set(body, "max_tokens", json_new_int(row->budget));
    json_set(body, "seed", json_new_int((int64_t)row->seed));
    json_set(body, "logprobs", json_new_bool(true));
    bool ok = request_read(r, body, &e);
    CHECK(ok, "%s", e.msg);
    return ok;
}

/* ---- what must hold ------------------------------------------------------------------------------------------- */

struct heard { struct message m; struct ids tokens; };

static bool on_event(void *ctx, const struct event *ev)
{
    struct heard *h = ctx;
    if (ev->kind == EV_TOKEN) ids_put(&h->tokens, ev->token);
    return message_event(&h->m, ev);
}

static void check_call(const struct request *r, const struct message_call *c, const char *what)
{
    const struct json *tool = NULL;
    struct err e = { 0 };
    for (size_t i = 0; i < json_len(r->tools); i++)
        if (tool_name(json_at(r->tools, i)) && !strcmp(tool_name(json_at(r->tools, i)), c->name)) tool = json_at(r->tools, i);
    CHECK(tool && c->schema_ok && !c->incomplete, "%s: %s(%s)", what, c->name, c->args.p ? c->args.p : "");
    CHECK(r->choice != CHOICE_NAMED || !strcmp(c->name, r->choice_name), "%s: %s although %s was named", what, c->name, r->choice_name);
    if (!tool || !tool_function(tool)) return;                        /* source may be anything */
    struct json *args = json_parse(c->args.p ? c->args.p : "", c->args.len, &e), *schema = tool_schema(tool);
    CHECK(args && schema_check(schema, args, &(struct grammar_opts){ 0 }, &e), "%s: %s: %s", what, c->args.p ? c->args.p : "", e.msg);
    json_free(args);
    json_free(schema);
}

static void check_message(const struct row *row, const struct request *r, const struct message *m, const char *dialect, const char *what)
{
    bool must = r->choice == CHOICE_REQUIRED || r->choice == CHOICE_NAMED;
    for (int i = 0; i < m->n_call; i++) check_call(r, &m->call[i], what);
    CHECK(!must || m->n_call, "%s: a call is required", what);
    CHECK(!must || !m->text.len || !strcmp(dialect, "functionary-v4r"), "%s: text beside a required call: %s", what, m->text.p);
    CHECK((row->parallel && r->choice != CHOICE_NAMED) || m->n_call <= 1, "%s: %d calls", what, m->n_call);
    CHECK(r->choice != CHOICE_NONE || !m->n_call, "%s: a call although none", what);
    CHECK(m->usage.completion_tokens <= r->max_tokens, "%s: %d tokens", what, m->usage.completion_tokens);
    CHECK(m->reason == FINISH_LENGTH || (m->reason == FINISH_TOOL_CALLS) == (m->n_call > 0), "%s: reason %d", what, m->reason);
}

/* ---- the same answer, read again ---------------------------------------------------------------------------------- */

static void tell(struct str *out, const char *name, const struct str *args, bool ended)
{
    str_fmt(out, "\n%s(", name);
    str_put(out, args->p, args->len);
    str_puts(out, ended ? ");" : ")");
}

struct again { struct str text, thought, calls, args; char name[140]; };

static void on_parse(void *ctx, const struct parse_event *ev)
{
    struct again *a = ctx;
    switch (ev->kind) {
    case PARSE_TEXT: str_put(&a->text, ev->bytes, ev->len); break;
    case PARSE_REASONING: str_put(&a->thought, ev->bytes, ev->len); break;
    case PARSE_CALL_BEGIN: snprintf(a->name, sizeof a->name, "%.*s", (int)ev->len, ev->bytes), str_clear(&a->args); break;
    case PARSE_CALL_ARGS: str_put(&a->args, ev->bytes, ev->len); break;
    case PARSE_CALL_END: tell(&a->calls, a->name, &a->args, true); break;
    }
}

enum { BY_TOKEN, BY_BYTE, AS_TEXT };

static void feed_token(struct wire *w, const struct tokenizer *t, int32_t id, int how)
{
    bool special = tok_is_control(t, id) || (tok_bytes(t, id).p == NULL);
    struct bytes b = special ? tok_text(t, id) : tok_bytes(t, id);
    if (tok_is_eog(t, id)) return;
    if (special && how != AS_TEXT) wire_feed(w, b.p, b.len, true);
    else if (how == BY_TOKEN) wire_feed(w, b.p, b.len, false);
    else for (size_t i = 0; i < b.len; i++) wire_feed(w, b.p + i, 1, false);
}

static bool same(const struct str *a, const struct str *b) { return a->len == b->len && (!a->len || !memcmp(a->p, b->p, a->len)); }

static void check_again(const struct dialect *d, const struct request *r, const struct tokenizer *t, const struct heard *h, int how, const char *what)
{
    struct turn turn = { .tools = r->tools, .choice = r->choice, .name = r->choice_name, .tok = how == AS_TEXT ? NULL : t };
    struct again a = { 0 };
    struct str calls = { 0 };
    struct wire w;
    struct err e = { 0 };
    wire_open(&w, d, &turn, on_parse, &a);
    for (size_t i = 0; i < h->tokens.n; i++) feed_token(&w, t, h->tokens.id[i], how);
    bool ok = wire_close(&w, false, &e);
    for (int i = 0; i < h->m.n_call; i++) tell(&calls, h->m.call[i].name, &h->m.call[i].args, !h->m.call[i].incomplete);
    CHECK(ok && same(&a.calls, &calls), "%s, read again (%d): %s\n instead of %s\n %s", what, how, a.calls.p ? a.calls.p : "", calls.p ? calls.p : "", e.msg);
    if (how != AS_TEXT) CHECK(same(&a.text, &h->m.text) && same(&a.thought, &h->m.reasoning), "%s, read again (%d): %s\n instead of %s", what, how, a.text.p ? a.text.p : "", h->m.text.p ? h->m.text.p : "");
    str_done(&calls), str_done(&a.calls), str_done(&a.text), str_done(&a.thought), str_done(&a.args);
}

/* ---- walks ---------------------------------------------------------------------------------------------------------- */

static bool walk(const struct dialect *d, struct gguf *g, const struct tokenizer *t, const struct row *row, const char *vocab_name)
{
    struct request r;
    struct heard h = { 0 };
    struct err e = { 0 };
    char what[160];
    if (!make_request(row, &r)) return false;
    snprintf(what, sizeof what, "%s, %s, list %zu, %s, parallel %d, budget %d, seed %d", d->name, vocab_name, row->list, choices[row->choice], row->parallel, row->budget, (int)row->seed);
    bool ok = random_call(g, d, &r, on_event, &h, &e);
    CHECK(ok || !strncmp(e.msg, "max_tokens_too_small", 20), "%s: %s", what, e.msg);
    if (ok) check_message(row, &r, &h.m, d->name, what);
    for (int how = BY_TOKEN; ok && how <= AS_TEXT; how++) check_again(d, &r, t, &h, how, what);
    message_done(&h.m);
    mem_free(h.tokens.id);
    request_done(&r);
    return ok;
}

enum { WALKS = SANITIZED ? 40 : 250 };

static void walk_vocab(struct gguf *g, const char *name, int walks)
{
    static const int budgets[] = { 24, 60, 200 };
    struct err e = { 0 };
    struct tokenizer *t = tok_open(g, &e);
    CHECK(t, "%s: %s", name, e.msg);
    for (size_t d = 0; t && dialect_at(d); d++) {
        int done = 0;
        for (uint64_t i = 0; i < (uint64_t)walks; i++) {
            struct rng r = rng_make(17, d, i);
            struct row row = { rng_below(&r, LEN(lists)), rng_below(&r, LEN(choices)), rng_below(&r, 2), budgets[rng_below(&r, LEN(budgets))], i };
            done += walk(dialect_at(d), g, t, &row, name);
        }
        CHECK(done > walks / 5 - 1, "%s, %s: %d of %d walks fitted", dialect_at(d)->name, name, done, walks);
    }
    tok_close(t);
}

TEST(walks_where_markers_are_tokens) { walk_vocab(vocab(VOCAB_TOKENS), "tokens", WALKS); }
TEST(walks_where_markers_are_text) { walk_vocab(vocab(VOCAB_PLAIN), "plain", WALKS); }
TEST(walks_with_sentencepiece) { walk_vocab(vocab(VOCAB_SPM), "spm", WALKS); }

/* TENON_WALK_VOCABS: how many walks a dialect over each vocabulary of a real model, for make test-shared. */
TEST(walks_with_real_vocabularies)
{
    static const char *const names[] = { "llama-bpe", "qwen2", "llama-spm" };
    if (!getenv("TENON_WALK_VOCABS")) SKIP("TENON_WALK_VOCABS is not set");
    for (size_t i = 0; i < LEN(names); i++) {
        char below[120];
        struct err e = { 0 };
        snprintf(below, sizeof below, "fixtures/tokenizers/ggml-vocab-%s.gguf", names[i]);
        const char *path = shared_path(below);
        if (!path) SKIP("%s is not there", below);
        struct gguf *g = gguf_open(path, &e);
        CHECK(g, "%s", e.msg);
        if (g) walk_vocab(g, names[i], atoi(getenv("TENON_WALK_VOCABS")));
        gguf_close(g);
    }
}

/* ---- text of a given form: in its place, whatever the frame of a turn is ------------------------------------------------ */

TEST(text_of_a_format_stands_where_text_stands)
{
    static const char *const words[] = { "none", "auto" };
    for (int i = 0; i < N_VOCAB * 2 * 6; i++)
        for (size_t d = 0; dialect_at(d); d++) {
            struct request r;
            struct message m = { 0 };
            struct err e = { 0 };
            struct json *body = parse("{'messages':[{'role':'user','content':'go'}],'max_tokens':60,'tools':[{'name':'f'}]}");
            json_set(body, "response_format", parse("{'type':'regex','pattern':'x/[0-9]{2}'}"));
            json_set(body, "tool_choice", json_new_str(words[i % 2]));
            json_set(body, "seed", json_new_int(i));
            assert_true(request_read(&r, body, &e));
            CHECK(random_call(vocab(i / 2 % N_VOCAB), dialect_at(d), &r, message_event, &m, &e), "%s: %s", dialect_at(d)->name, e.msg);
            CHECK(m.n_call ? i % 2 && !m.text.len : m.text.len == 4 && !strncmp(m.text.p, "x/", 2), "%s: %s", dialect_at(d)->name, m.text.p ? m.text.p : "nothing");
            message_done(&m);
            request_done(&r);
        }
}

/* ---- requests that are refused ---------------------------------------------------------------------------------------- */

TEST(python_is_either_a_function_or_the_interpreter)
{
    static const struct { const char *tools, *choice, *error; } list[] = {
        { "[{'name':'python'},{'type':'code_interpreter'}]", "'auto'", "code_interpreter" },
        { "[{'type':'code_interpreter'},{'name':'python'}]", "'auto'", "code_interpreter" },
        { "[{'type':'code_interpreter'},{'type':'code_interpreter'}]", "'auto'", "already the name" },
        { "[{'name':'f'}]", "{'type':'code_interpreter'}", "no tool is called 'python'" },
        { "[{'type':'code_interpreter','function':null}]", "{'type':'code_interpreter'}", NULL },
        { "[{'name':'python'}]", "{'type':'function','function':{'name':'python'}}", NULL },
        { "[{'type':'web_search'}]", "'auto'", "code_interpreter' are" },
    };
    for (size_t i = 0; i < LEN(list); i++) {
        struct request r;
        struct err e = { 0 };
        struct json *body = parse("{'messages':[{'role':'user','content':'go'}]}");
        json_set(body, "tools", parse(list[i].tools));
        json_set(body, "tool_choice", parse(list[i].choice));
        bool ok = request_read(&r, body, &e);
        CHECK(ok == !list[i].error && (ok || strstr(e.msg, list[i].error)), "%s: %s", list[i].tools, e.msg);
        if (ok) request_done(&r);
    }
}

TEST_MAIN
