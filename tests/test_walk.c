/* Tests of the token loop: whatever is chosen, a reported call is valid and the budget is kept -- without
 * a model (uniform choices) and with random weights; repeatable, cancellable, refused in time. */
#include "quoted.h"

#include <unistd.h>

#include <math.h>

#include "gen/gen.h"
#include "gen/int.h"
#include "tiny.h"

/* ---- speakers: one model file a dialect ------------------------------------------------------------------ */

static const char *const dialects[] = { "lfm2-json", "lfm2", "json" };

static struct gguf *model(size_t dialect)
{
    static struct gguf *open[LEN(dialects)];
    if (open[dialect]) return open[dialect];
    struct err e = { 0 };
    char path[] = "/tmp/tenon-test-walk-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || !tiny_model(path, dialects[dialect], 7, &e) || !(open[dialect] = gguf_open(path, &e))) {
        fprintf(stderr, "tiny model: %s\n", e.msg);
        exit(1);
    }
    close(fd);
    remove(path);
    return open[dialect];
}

/* ---- requests: tool lists x choice x parallel x budget ------------------------------------------------------ */

static const char *const tool_lists[] = {
    "[{'name':'stop'}]",
    "[{'name':'set_light','parameters':{'type':'object','properties':{'room':{'type':'string'},'brightness':{'type':'integer','minimum':0,'maximum':100}},'required':['room','brightness']}}]",
    "[{'name':'f','parameters':{'type':'object','properties':{'a':{'type':'string','enum':['x','yy','x y']},'b':{'type':'boolean'},'c':{'type':'null'}},'additionalProperties':false}},"
    " {'name':'f2','parameters':{'type':'object','properties':{'n':{'type':'number','minimum':-1.5,'maximum':2.25},'k':{'const':'only'}},'required':['k']}},"
    " {'name':'a.b-c','parameters':{'type':'object','properties':{}}}]",
    "[{'name':'book','parameters':{'type':'object','properties':{'who':{'type':'array','items':{'type':'string','minLength':1,'maxLength':5},'minItems':1,'maxItems':3},"
    "  'at':{'type':'object','properties':{'day':{'enum':[1,2,3]},'time':{'type':'string','maxLength':4}},'required':['day'],'additionalProperties':false}},'required':['who','at'],'additionalProperties':false}},"
    " {'name':'tree','parameters':{'type':'object','$defs':{'node':{'type':'object','properties':{'v':{'type':'integer'},'kids':{'type':'array','items':{'$ref':'#/$defs/node'}}},'required':['v'],'additionalProperties':false}},"
    "  'properties':{'root':{'$ref':'#/$defs/node'}},'required':['root'],'additionalProperties':false}}]",
};
static const struct { const char *choice; bool needs_call, one_call; } choices[] = {
    { "\"auto\"", false, false }, { "\"none\"", false, false }, { "\"required\"", true, false }, { NULL, true, true } };
static const int budgets[] = { 1, 6, 12, 20, 40, 120 };

struct row { size_t list, choice, budget; bool parallel; uint64_t seed; double temperature; };

static bool make_request(const struct row *row, struct request *r)
{
    struct err e = { 0 };
    struct json *body = parse("{'messages':[{'role':'user','content':'dim the kitchen to ten'}]}"), *tools = parse(tool_lists[row->list]);
    const char *first = json_str(json_get(json_at(tools, 0), "name"), NULL), *c = choices[row->choice].choice;
    json_set(body, "tool_choice", c ? json_parse(c, strlen(c), NULL) : tool_choice_json(first));
    json_set(body, "tools", tools);
    json_set(body, "parallel_tool_calls", json_new_bool(row->parallel));
    json_set(body, "max_tokens", json_new_int(budgets[row->budget]));
    json_set(body, "seed", json_new_int((int64_t)row->seed));
    json_set(body, "temperature", json_new_f64(row->temperature));
    bool ok = request_read(r, body, &e);
    CHECK(ok, "%s", e.msg);
    return ok;
}

/* ---- what must hold -------------------------------------------------------------------------------------------- */

static const struct json *tool_by_name(const struct request *r, const char *name)
{
    for (size_t i = 0; i < json_len(r->tools); i++)
        if (json_str_is(json_get(tool_function(json_at(r->tools, i)), "name"), name)) return json_at(r->tools, i);
    return NULL;
}

static void check_call(const struct request *r, const struct message_call *c, const char *what)
{
    const struct json *tool = tool_by_name(r, c->name);
    struct err e = { 0 };
    struct json *args = json_parse(c->args.p ? c->args.p : "", c->args.len, &e), *schema = tool ? tool_schema(tool) : NULL;
    CHECK(tool, "%s: no tool is called %s", what, c->name);
    CHECK(args, "%s: %s: %s", what, c->args.p ? c->args.p : "", e.msg);
    CHECK(c->schema_ok && !c->incomplete, "%s: %s(%s)", what, c->name, c->args.p ? c->args.p : "");
    if (args && schema) CHECK(schema_check(schema, args, &(struct grammar_opts){ 0 }, &e), "%s: %s: %s", what, c->args.p, e.msg);
    if (r->choice == CHOICE_NAMED) CHECK(!strcmp(c->name, r->choice_name), "%s: %s was named", what, r->choice_name);
    json_free(args);
    json_free(schema);
}

static void check_message(const struct row *row, const struct request *r, const struct message *m, const char *what)
{
    for (int i = 0; i < m->n_call; i++) check_call(r, &m->call[i], what);
    CHECK(!choices[row->choice].needs_call || m->n_call, "%s: a call is required", what);
    CHECK(!choices[row->choice].needs_call || !m->text.len, "%s: no text before a required call: %s", what, m->text.p);
    CHECK(row->parallel && !choices[row->choice].one_call ? true : m->n_call <= 1, "%s: %d calls", what, m->n_call);
    CHECK(r->choice != CHOICE_NONE || !m->n_call, "%s: a call although none", what);
    CHECK(m->usage.completion_tokens <= r->max_tokens, "%s: %d tokens of %d", what, m->usage.completion_tokens, r->max_tokens);
    CHECK(m->reason == FINISH_LENGTH || (m->reason == FINISH_TOOL_CALLS) == (m->n_call > 0), "%s: reason %d", what, m->reason);
    CHECK(utf8_valid(m->text.p ? m->text.p : "", m->text.len), "%s: text is not UTF-8", what);
}

/* The number that a refusal names: "... needs N tokens, ..." */
static int wanted(const struct err *e)
{
    const char *p = strstr(e->msg, "needs ");
    return p && !strncmp(e->msg, "max_tokens_too_small", 20) ? atoi(p + 6) : 0;
}

static void describe(const struct row *row, size_t dialect, char *what, size_t n)
{
    snprintf(what, n, "%s list %zu choice %zu budget %d parallel %d seed %llu", dialects[dialect], row->list, row->choice,
             budgets[row->budget], row->parallel, (unsigned long long)row->seed);
}

static struct row row_at(uint64_t i)
{
    struct rng r = rng_make(11, 0, i);
    return (struct row){ .list = rng_below(&r, LEN(tool_lists)), .choice = rng_below(&r, LEN(choices)), .budget = rng_below(&r, LEN(budgets)),
                         .parallel = rng_below(&r, 2), .seed = i };
}

/* ---- random walks ------------------------------------------------------------------------------------------------ */

static int walk_many(size_t dialect, int n)
{
    int finished = 0;
    char what[160];
    for (int i = 0; i < n; i++) {
        struct row row = row_at((uint64_t)i);
        struct request r;
        struct message m = { 0 };
        struct err e = { 0 };
        if (!make_request(&row, &r)) continue;
        describe(&row, dialect, what, sizeof what);
        if (random_call(model(dialect), NULL, &r, message_event, &m, &e)) check_message(&row, &r, &m, what), finished++;
        else CHECK(wanted(&e) > r.max_tokens, "%s: %s", what, e.msg);
        message_done(&m);
        request_done(&r);
    }
    return finished;
}

TEST(random_walks_are_valid)
{
    for (size_t d = 0; d < LEN(dialects); d++) {
        int finished = walk_many(d, 2000);
        CHECK(finished > 1000, "%s: only %d of 2000 walks fitted their budget", dialects[d], finished);
    }
}

TEST(a_refusal_names_the_smallest_budget_that_would_do)
{
    char what[160];
    for (size_t i = 0; i < LEN(dialects) * LEN(tool_lists) * 2; i++) {
        struct row row = { .list = i / 2 % LEN(tool_lists), .choice = 2 + i % 2, .budget = 0 };
        size_t d = i / 2 / LEN(tool_lists);
        struct request r;
        struct err e = { 0 };
        describe(&row, d, what, sizeof what);
        if (!make_request(&row, &r)) continue;
        struct message m = { 0 };
        CHECK(!random_call(model(d), NULL, &r, message_event, &m, &e) && wanted(&e) > 1, "%s: %s", what, e.msg);
        int need = wanted(&e);
        for (int k = 0; k < 20; k++) {                            /* exactly enough is enough, for every speaker */
            r.max_tokens = need;
            r.sampling.seed = (uint64_t)k;
            CHECK(random_call(model(d), NULL, &r, message_event, &m, &e), "%s with %d: %s", what, need, e.msg);
            check_message(&row, &r, &m, what);
            message_done(&m);
        }
        r.max_tokens = need - 1;
        CHECK(!random_call(model(d), NULL, &r, message_event, &m, &e) && wanted(&e) == need, "%s with %d: %s", what, need - 1, e.msg);
        request_done(&r);
    }
}

/* ---- random weights ------------------------------------------------------------------------------------------------ */

static struct engine *engine_of(size_t dialect)
{
    struct err e = { 0 };
    struct engine *en = engine_open(model(dialect), &(struct engine_opts){ 0 }, &e);
    CHECK(en, "%s", e.msg);
    return en;
}

enum { MANY = SANITIZED ? 90 : 300 };

TEST(random_weights_are_valid)
{
    char what[160];
    for (size_t d = 0; d < LEN(dialects); d++) {
        struct engine *en = engine_of(d);
        int finished = 0;
        for (int i = 0; en && i < MANY; i++) {
            struct row row = row_at((uint64_t)i + 100000);
            struct request r;
            struct message m = { 0 };
            struct err e = { 0 };
            row.temperature = i % 3 * 0.75;
            if (!make_request(&row, &r)) continue;
            describe(&row, d, what, sizeof what);
            if (engine_run(en, &r, message_event, &m, &e)) check_message(&row, &r, &m, what), finished++;
            else CHECK(wanted(&e) > r.max_tokens, "%s: %s", what, e.msg);
            message_done(&m);
            request_done(&r);
        }
        CHECK(finished > MANY / 2, "%s: only %d of %d fitted their budget", dialects[d], finished, MANY);
        engine_close(en);
    }
}

/* The answer as text, or the error. */
static char *answer(struct engine *en, const struct row *row, struct message *keep)
{
    struct request r;
    struct message m = { 0 };
    struct err e = { 0 };
    struct str s = { 0 };
    if (!make_request(row, &r)) return mem_str("");
    if (engine_run(en, &r, message_event, &m, &e)) {
        struct json *v = message_json(&m);
        json_write(&s, v, JSON_COMPACT);
        json_free(v);
    } else str_puts(&s, e.msg);
    request_done(&r);
    if (keep) *keep = m;
    else message_done(&m);
    return str_take(&s);
}

TEST(answers_do_not_depend_on_what_was_asked_before)
{
    struct engine *a = engine_of(0), *b = engine_of(0);
    for (uint64_t i = 0; i < 30; i++) {
        struct row row = row_at(i + 200000), other = row_at(i + 300000);
        row.temperature = 1, row.budget = 5;
        mem_free(answer(a, &other, NULL));
        struct message m;
        char *x = answer(a, &row, NULL), *y = answer(b, &row, NULL), *z = answer(a, &row, &m);
        CHECK(!strcmp(x, y) && !strcmp(x, z), "row %llu:\n%s\n%s\n%s", (unsigned long long)i, x, y, z);
        CHECK(m.usage.cached_tokens > 0 || m.usage.prompt_tokens < KV_PAGE, "the prompt is cached: %d of %d", m.usage.cached_tokens, m.usage.prompt_tokens);
        message_done(&m);
        mem_free(x), mem_free(y), mem_free(z);
    }
    engine_close(a);
    engine_close(b);
}

/* ---- drafts -------------------------------------------------------------------------------------------------------- */

/* A model that takes one token after another, deaf to drafts. */
struct plain { const struct model *model; struct kv *kv; int seq; struct arena tmp; struct ids prompt; float *logits; };

static bool plain_logits(struct plain *p, const int32_t *tok, int n, struct err *e)
{
    struct ids all = { 0 };
    for (size_t i = 0; i < p->prompt.n; i++) ids_put(&all, p->prompt.id[i]);
    for (int i = 0; i < n; i++) ids_put(&all, tok[i]);
    p->prompt.n = 0;
    bool ok = true;
    size_t prompt = all.n - (size_t)n;
    for (size_t i = 0, k; ok && i < all.n; i += k) {
        k = i < prompt ? prompt : 1;
        struct batch b = { .n = (int)k, .seq = p->seq, .token = all.id + i, .phase = i < prompt ? PHASE_PREFILL : PHASE_DECODE, .n_logits = 1 };
        ok = model_forward(p->model, p->kv, &b, &p->tmp, p->logits, e);
        arena_reset(&p->tmp, 0);
    }
    mem_free(all.id);
    return ok;
}

/* The same sequence, its wants met one token at a time. */
static bool plain_seq(struct plain *p, struct seq *s, struct err *e)
{
    struct seq_want w;
    bool ok = true;
    seq_begin(s);
    while (ok && (ok = seq_next(s, &w, e)) && w.kind == WAIT_LOGITS) ok = plain_logits(p, w.tok, w.n, e) && seq_logits(s, p->logits, e);
    return seq_end(s, ok, e);
}

static bool plain_run(struct engine *en, const struct gguf *g, const struct request *r, struct message *m, struct err *e)
{
    struct plain p = { .model = engine_model(en) };
    struct tokenizer *t = tok_open(g, e);
    const struct dialect *d = dialect_detect(g, t);
    struct vocab *v = vocab_of_tokenizer(t, d, e);
    struct prompt text = { 0 };
    arena_init(&p.tmp, 1 << 20);
    p.kv = kv_open(p.model, 1024, 1, e);
    p.seq = kv_seq_new(p.kv);
    p.logits = mem_alloc((size_t)model_config(p.model)->n_vocab * sizeof *p.logits);
    bool ok = engine_render(en, r, &text, e) && prompt_tokens(&text, t, &p.prompt, e);
    struct grammars *grammars = grammars_open();
    struct seq_opts o = { .voice = { t, d, v }, .grammars = grammars, .r = r, .budget = r->max_tokens, .budget_why = "max_tokens is", .fn = message_event, .ctx = m };
    struct seq *s = ok ? seq_open(&o, e) : NULL;
    ok = s && plain_seq(&p, s, e);
    seq_close(s);
    grammars_close(grammars);
    prompt_done(&text);
    kv_close(p.kv);
    arena_done(&p.tmp);
    mem_free(p.prompt.id);
    mem_free(p.logits);
    vocab_close(v);
    tok_close(t);
    return ok;
}

static char *message_text(const struct message *m)
{
    struct str s = { 0 };
    struct json *v = message_json(m);
    json_write(&s, v, JSON_COMPACT);
    json_free(v);
    return str_take(&s);
}

TEST(drafts_change_no_answer)
{
    int drafted = 0, accepted = 0;
    for (size_t d = 0; d < LEN(dialects); d++) {
        struct engine *en = engine_of(d);
        for (uint64_t i = 0; i < 24; i++) {
            struct row row = { .list = 1 + i % 3, .choice = 2, .budget = 5, .parallel = true, .seed = i, .temperature = i % 3 };
            struct request r;
            struct message a = { 0 }, b = { 0 };
            struct err e = { 0 };
            if (!make_request(&row, &r)) continue;
            r.steer = 0, r.spelling = SPELL_COMPACT, r.declared_order = 1;
            if (engine_run(en, &r, message_event, &a, &e) && plain_run(en, model(d), &r, &b, &e)) {
                char *x = message_text(&a), *y = message_text(&b);
                CHECK(!strcmp(x, y), "%s %llu:\n%s\n%s", dialects[d], (unsigned long long)i, x, y);
                mem_free(x), mem_free(y);
            } else CHECK(false, "%s", e.msg);
            drafted += a.usage.draft_tokens, accepted += a.usage.accepted_tokens;
            message_done(&a), message_done(&b);
            request_done(&r);
        }
        engine_close(en);
    }
    CHECK(0 < accepted && accepted < drafted, "%d drafts, %d accepted", drafted, accepted);
}

TEST(seeds_differ)
{
    struct engine *en = engine_of(0);
    struct row row = { .list = 1, .choice = 2, .budget = 5, .temperature = 1 };
    char *a = answer(en, &row, NULL), *b = (row.seed = 1, answer(en, &row, NULL));
    CHECK(strcmp(a, b), "%s", a);
    mem_free(a), mem_free(b);
    engine_close(en);
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

struct order { int open, index, n, stop_after; bool finished; struct str args; enum finish reason; };

/* Calls come in order and never interleave; nothing follows the end. */
static bool check_order(void *ctx, const struct event *ev)
{
    struct order *o = ctx;
    CHECK(!o->finished, "an event after the end");
    if (ev->kind == EV_CALL_BEGIN) {
        CHECK(!o->open && ev->index == o->index && ev->id && ev->name, "begin %d", ev->index);
        o->open = 1;
        str_clear(&o->args);
    } else if (ev->kind == EV_CALL_ARGS) {
        CHECK(o->open && ev->index == o->index && ev->bytes.len && utf8_valid(ev->bytes.p, ev->bytes.len), "arguments of %d", ev->index);
        str_put(&o->args, ev->bytes.p, ev->bytes.len);
    } else if (ev->kind == EV_CALL_END) {
        CHECK(o->open && ev->index == o->index && o->args.len >= 2 && o->args.p[0] == '{', "end %d: %s", ev->index, o->args.p);
        o->open = 0;
        o->index++;
    } else if (ev->kind == EV_TEXT) CHECK(!o->open && ev->bytes.len && utf8_valid(ev->bytes.p, ev->bytes.len), "text");
    else if (ev->kind == EV_FINISH) o->finished = true, o->reason = ev->reason;
    return ++o->n != o->stop_after;
}

TEST(events_come_in_order)
{
    for (uint64_t i = 0; i < 300; i++) {
        struct row row = row_at(i + 400000);
        struct request r;
        struct order o = { 0 };
        struct err e = { 0 };
        row.budget = 5, row.parallel = true;
        if (!make_request(&row, &r)) continue;
        CHECK(random_call(model(i % 2), NULL, &r, check_order, &o, &e) && o.finished && !o.open, "%s", e.msg);
        str_done(&o.args);
        request_done(&r);
    }
}

TEST(a_cancelled_request_ends_and_the_next_one_runs)
{
    struct engine *en = engine_of(0);
    for (int stop = 1; stop < 12; stop += 2) {
        struct row row = { .list = 3, .choice = 2, .budget = 5, .temperature = 1, .seed = (uint64_t)stop };
        struct request r;
        struct order o = { .stop_after = stop };
        struct err e = { 0 };
        if (!make_request(&row, &r)) continue;
        CHECK(engine_run(en, &r, check_order, &o, &e) && o.finished, "stopped after %d: %s", stop, e.msg);
        CHECK(o.reason == FINISH_CANCEL || o.n <= stop, "stopped after %d of %d: reason %d", stop, o.n, o.reason);
        str_done(&o.args);
        request_done(&r);
        char *a = answer(en, &row, NULL);
        CHECK(strstr(a, "tool_calls"), "%s", a);
        mem_free(a);
    }
    engine_close(en);
}

TEST(stop_strings_end_the_text_and_leave_it)
{
    static const char *const stops[] = { "'e'", "['a','oo']", "['\\n',' t','zz']" };
    for (int i = 0; i < 60; i++) {
        struct err e = { 0 };
        struct request r;
        struct message m = { 0 };
        struct json *body = parse("{'messages':[{'role':'user','content':'x'}],'max_tokens':100}"), *stop = parse(stops[i % 3]);
        json_set(body, "stop", stop);
        json_set(body, "seed", json_new_int(i));
        assert_true(request_read(&r, body, &e));
        CHECK(random_call(model(0), NULL, &r, message_event, &m, &e), "%s", e.msg);
        for (size_t k = 0; k < json_len(r.stop); k++)
            CHECK(!m.text.p || !strstr(m.text.p, json_str(json_at(r.stop, k), NULL)), "%s holds %s", m.text.p, stops[i % 3]);
        CHECK(m.reason == FINISH_STOP || m.usage.completion_tokens == 100, "reason %d after %d", m.reason, m.usage.completion_tokens);
        message_done(&m);
        request_done(&r);
    }
}

/* ---- help for tiny models ------------------------------------------------------------------------------------------- */

TEST(call_or_text_is_decided_by_mass)
{
    struct err e = { 0 };
    struct tokenizer *t = tok_open(model(0), &e);
    struct voice v = { .tok = t };
    int n = tok_n_vocab(t), call = tok_special(t, "<|tool_call_start|>");
    float *l = mem_alloc((size_t)n * sizeof *l);
    uint32_t *mask = mem_alloc(MASK_WORDS(n) * sizeof *mask);
    memset(mask, 0xFF, MASK_WORDS(n) * sizeof *mask);
    for (int k = 0; k < n; k++) l[k] = -30;
    l[call] = logf(0.4f), l[n - 1] = logf(0.3f), l[n - 2] = logf(0.29f);
    CHECK(whole_turn(&v, l, mask, n, 0) == n - 1, "text is heavier");
    CHECK(whole_turn(&v, l, mask, n, 1) == call, "leaning to the call");
    l[call] = logf(0.6f);
    CHECK(whole_turn(&v, l, mask, n, 0) == call, "the call is heavier");
    mask[call >> 5] &= ~(1u << (call & 31));
    CHECK(whole_turn(&v, l, mask, n, 0) == n - 1, "the call is not allowed");
    mem_free(l), mem_free(mask);
    tok_close(t);
}

/* ---- refusals before the first token ------------------------------------------------------------------------------ */

static const struct { const char *why, *body, *error; bool strict; } refusals[] = {
    { "an unsatisfiable schema", "{'tools':[{'name':'f','parameters':{'type':'object','properties':{'a':{'type':'integer','minimum':3,'maximum':2}},'required':['a']}}]}", "tool f", false },
    { "a malformed schema", "{'tools':[{'name':'f','parameters':{'type':'object','properties':{'a':{'type':'strin'}}}}]}", "tool f", false },
    { "a keyword that cannot be enforced, strict", "{'tools':[{'name':'f','strict':true,'parameters':{'type':'object','properties':{'a':{'type':'string','contentEncoding':'base64'}},'dependentSchemas':{'a':{'required':['b']}}}}]}", NULL, false },
};

TEST(what_cannot_be_promised_is_refused)
{
    struct engine *en = engine_of(0);
    for (size_t i = 0; i < LEN(refusals); i++) {
        struct err e = { 0 };
        struct request r;
        struct message m = { 0 };
        struct json *body = parse(refusals[i].body);
        json_set(body, "messages", parse("[{'role':'user','content':'x'}]"));
        json_set(body, "max_tokens", json_new_int(40));
        if (!request_read(&r, body, &e)) { CHECK(0, "%s: %s", refusals[i].why, e.msg); continue; }
        bool ok = engine_run(en, &r, message_event, &m, &e);
        if (refusals[i].error) CHECK(!ok && strstr(e.msg, refusals[i].error), "%s: %s", refusals[i].why, e.msg);
        request_done(&r);
        message_done(&m);
    }
    engine_close(en);
}

TEST(a_prompt_longer_than_the_context_says_both_numbers)
{
    struct engine *en = engine_of(0);
    struct str s = { 0 };
    struct err e = { 0 };
    struct request r;
    struct message m = { 0 };
    for (int i = 0; i < 3000; i++) str_puts(&s, "x ");
    struct json *body = parse("{'messages':[{'role':'user'}]}"), *list = json_new_array(), *u = parse("{'role':'user'}");
    json_set(u, "content", json_new_strn(s.p, s.len));
    json_push(list, u);
    json_set(body, "messages", list);
    assert_true(request_read(&r, body, &e));
    CHECK(!engine_run(en, &r, message_event, &m, &e) && strstr(e.msg, "context_length_exceeded") && strstr(e.msg, "1024"), "%s", e.msg);
    request_done(&r);
    str_done(&s);
    engine_close(en);
}

TEST(response_format_answers_one_value)
{
    struct engine *en = engine_of(0);
    struct json *schema = parse("{'type':'object','properties':{'a':{'type':'integer'},'b':{'enum':['x','y']}},'required':['a','b'],'additionalProperties':false}");
    for (int i = 0; i < 30; i++) {
        struct err e = { 0 };
        struct request r;
        struct message m = { 0 };
        struct json *body = parse("{'messages':[{'role':'user','content':'x'}],'max_tokens':60,'temperature':1}");
        if (i >= 10) json_set(body, "tools", parse("[{'name':'f'}]"));     /* then either calls or the value */
        struct json *format = parse("{'type':'json_schema'}"), *inner = json_new_object();
        json_set(inner, "schema", json_copy(schema));
        json_set(inner, "strict", json_new_bool(true));
        json_set(format, "json_schema", inner);
        json_set(body, "response_format", format);
        json_set(body, "seed", json_new_int(i));
        assert_true(request_read(&r, body, &e));
        CHECK(engine_run(en, &r, message_event, &m, &e), "%s", e.msg);
        struct json *v = json_parse(m.text.p ? m.text.p : "", m.text.len, &e);
        CHECK(m.n_call ? i >= 10 && !m.text.len : v && schema_check(schema, v, &(struct grammar_opts){ 0 }, &e), "%s: %s", m.text.p ? m.text.p : "", e.msg);
        json_free(v);
        message_done(&m);
        request_done(&r);
    }
    json_free(schema);
    engine_close(en);
}

/* The matrix: choice x format. What may come: a call, text of the format. */
static const struct { const char *format, *choice; bool call, text; const char *begins; } mixed[] = {
    { "{'type':'regex','pattern':'x/[0-9]{2}'}", "'auto'", true, true, "x/" }, { "{'type':'regex','pattern':'x/[0-9]{2}'}", "'none'", false, true, "x/" },
    { "{'type':'regex','pattern':'x/[0-9]{2}'}", "'required'", true, false, "" }, { "{'type':'regex','pattern':'x/[0-9]{2}'}", "{'type':'function','name':'f'}", true, false, "" },
    { "{'type':'grammar','grammar':'root ::= [\\\\x79] [a-c]{1,3}'}", "'auto'", true, true, "y" }, { "{'type':'grammar','grammar':'root ::= [\\\\x79] [a-c]{1,3}','syntax':'gbnf'}", "'none'", false, true, "y" },
    { "{'type':'grammar','grammar':'root = z ([0-9] | end); end = [a-c]; z = [z]','syntax':'tenon'}", "'auto'", true, true, "z" },
    { "{'type':'json_object'}", "'auto'", true, true, "{" }, { "{'type':'json_object'}", "'none'", false, true, "{" }, { "{'type':'json_object'}", "'required'", true, false, "" },
    { "{'type':'text'}", "'required'", true, false, "" },
};

TEST(choice_times_format)
{
    struct engine *en = engine_of(0);
    for (size_t i = 0; i < LEN(mixed); i++) {
        int n_call = 0, n_text = 0;
        for (int seed = 0; seed < 12; seed++) {
            struct err e = { 0 };
            struct request r;
            struct message m = { 0 };
            struct json *body = parse("{'messages':[{'role':'user','content':'x'}],'tools':[{'name':'f'}],'max_tokens':60,'temperature':2}");
            json_set(body, "response_format", parse(mixed[i].format));
            json_set(body, "tool_choice", parse(mixed[i].choice));
            json_set(body, "seed", json_new_int(seed));
            bool read = request_read(&r, body, &e);
            CHECK(read, "%s: %s", mixed[i].format, e.msg);
            if (!read) continue;
            CHECK(engine_run(en, &r, message_event, &m, &e), "%s: %s", mixed[i].format, e.msg);
            n_call += m.n_call > 0;
            n_text += m.text.len > 0;
            if (m.text.len) CHECK(!strncmp(m.text.p, mixed[i].begins, strlen(mixed[i].begins)), "%s gave %s", mixed[i].format, m.text.p);
            message_done(&m);
            request_done(&r);
        }
        CHECK((mixed[i].call || !n_call) && (mixed[i].text || !n_text) && n_call + n_text == 12, "%s, %s: %d calls, %d texts", mixed[i].format, mixed[i].choice, n_call, n_text);
    }
    engine_close(en);
}

TEST(formats_that_are_wrong_are_refused)
{
    static const struct { const char *format, *says; } bad[] = {
        { "{'type':'regex','pattern':'(a'}", "response_format" }, { "{'type':'grammar','grammar':'root ::= x'}", "rule x is not given" },
        { "{'type':'grammar','grammar':'root = x','syntax':'tenon'}", "rule x is not given" }, { "{'type':'json_schema','json_schema':{'schema':{'type':'nothing'}}}", "/type" } };
    struct engine *en = engine_of(0);
    for (size_t i = 0; i < LEN(bad); i++)
        for (int tools = 0; tools < 2; tools++) {
            struct err e = { 0 };
            struct request r;
            struct message m = { 0 };
            struct json *body = parse("{'messages':[{'role':'user','content':'x'}],'max_tokens':60}");
            if (tools) json_set(body, "tools", parse("[{'name':'f'}]"));
            json_set(body, "response_format", parse(bad[i].format));
            assert_true(request_read(&r, body, &e));
            CHECK(!engine_run(en, &r, message_event, &m, &e) && strstr(e.msg, bad[i].says) && !strncmp(e.msg, "response_format: ", 17), "%s: %s", bad[i].format, e.msg);
            message_done(&m);
            request_done(&r);
        }
    engine_close(en);
}

/* A pattern with a back-reference is no regular language: strict refuses it, otherwise it is let go. */
TEST(a_strict_format_is_not_relaxed)
{
    struct engine *en = engine_of(0);
    for (int how = 0; how < 4; how++) {
        bool strict = how & 1;
        struct err e = { 0 };
        struct request r;
        struct message m = { 0 };
        struct json *body = parse("{'messages':[{'role':'user','content':'x'}],'max_tokens':60}");
        if (how & 2) json_set(body, "tools", parse("[{'name':'f'}]"));
        json_set(body, "response_format", parse(strict ? "{'type':'json_schema','json_schema':{'strict':true,'schema':{'type':'string','pattern':'(a)\\\\1'}}}"
                                                       : "{'type':'json_schema','json_schema':{'schema':{'type':'string','pattern':'(a)\\\\1'}}}"));
        assert_true(request_read(&r, body, &e));
        CHECK(engine_run(en, &r, message_event, &m, &e) != strict, "strict %d tools %d: %s", strict, how & 2, e.msg);
        if (strict) CHECK(e.code == ERR_UNSUPPORTED && !strncmp(e.msg, "response_format: ", 17) && strstr(e.msg, "/pattern"), "%s", e.msg);
        message_done(&m);
        request_done(&r);
    }
    engine_close(en);
}

TEST_MAIN
