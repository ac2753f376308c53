/* Tests of the scheduler: neighbours, arrival, cutting and giving way never show in an answer; whoever leaves, leaves
 * nothing behind; prefixes are found again exactly. */
#include "quoted.h"

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "cpu/cpu.h"
#include "gen/gen.h"
#include "gen/sched_int.h"
#include "tiny.h"

/* ---- a model, its kernels, an adapter ---------------------------------------------------------------------- */

static char folder[] = "/tmp/tenon-test-sched-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[4][256];
    static int i;
    static bool made;                                     /* the name that was made may have an X in it too */
    if (!made && !(made = mkdtemp(folder) != NULL)) perror(folder);
    snprintf(path[i = (i + 1) % 4], 256, "%s/%s", folder, name);
    return path[i];
}

static struct gguf *model(void)
{
    static struct gguf *open;
    struct err e = { 0 };
    if (open) return open;
    const char *path = in_folder("m.gguf");
    if (!tiny_model(path, "lfm2-json", 7, &e) || !(open = gguf_open(path, &e))) {
        fprintf(stderr, "tiny model: %s\n", e.msg);
        exit(1);
    }
    return open;
}

static const struct ops *kernels(void)
{
    static const struct ops *ops;
    static struct pool *pool;
    struct err e = { 0 };
    if (!ops) pool = pool_open(2, &e), ops = cpu_ops_open(pool, NULL, &e);
    return ops;
}

static const char *adapter(uint64_t seed)
{
    char name[32];
    snprintf(name, sizeof name, "a%d.gguf", (int)seed);
    const char *path = in_folder(name);
    static const char *const on[] = { "blk.0.ffn_up.weight", "blk.1.attn_q.weight" };
    float x[4 * 96];
    struct err e = { 0 };
    struct rng r = rng_make(seed, 0, 0);
    for (size_t i = 0; i < LEN(x); i++) x[i] = (float)rng_normal(&r);
    struct gguf_out *o = gguf_out_new();
    gguf_out_str(o, "general.type", "adapter", 7);
    gguf_out_str(o, "general.architecture", "lfm2", 4);
    gguf_out_str(o, "adapter.type", "lora", 4);
    gguf_out_f32(o, "adapter.lora.alpha", 4);
    char names[4][64];
    for (int i = 0; i < 4; i++) {
        int n_out = i < 2 ? 96 : 64;
        snprintf(names[i], sizeof names[i], "%s.lora_%c", on[i / 2], i % 2 ? 'b' : 'a');
        struct tensor t = { .name = names[i], .dtype = DT_F32, .n_dim = 2, .ne = { i % 2 ? 4 : 64, i % 2 ? n_out : 4, 1, 1 }, .data = x };
        t.bytes = (size_t)(t.ne[0] * t.ne[1]) * sizeof *x;
        gguf_out_tensor(o, &t);
    }
    if (!gguf_out_write(o, path, &e)) fprintf(stderr, "adapter: %s\n", e.msg);
    gguf_out_free(o);
    return path;
}

/* ---- rigs --------------------------------------------------------------------------------------------------- */

struct rig { struct engine *en; struct sched *s; };

static struct rig rig_open(const struct sched_opts *o)
{
    struct err e = { 0 };
    struct rig r = { .en = engine_open(model(), &(struct engine_opts){ .ops = kernels(), .kv = DT_F16 }, &e) };
    if (r.en) r.s = sched_open(r.en, o, &e);
    CHECK(r.s, "%s", e.msg);
    return r;
}

/* All pages are free or kept, nobody is left. */
static void rig_close(struct rig *r)
{
    struct sched_stats st;
    CHECK(sched_drain(r->s, 60), "somebody did not come to an end");
    sched_read_stats(r->s, &st);
    CHECK(st.pages_free + st.pages_kept == st.pages && !st.running && !st.waiting, "%d free and %d kept of %d pages, %d run, %d wait", st.pages_free,
          st.pages_kept, st.pages, st.running, st.waiting);
    sched_close(r->s);
    engine_close(r->en);
}

/* The numbers once nobody is there any more. */
static struct sched_stats settled(struct rig *r)
{
    struct sched_stats st;
    for (int i = 0; i < 10000; i++, usleep(100)) {
        sched_read_stats(r->s, &st);
        if (!st.running && !st.waiting) break;
    }
    return st;
}

/* ---- requests ----------------------------------------------------------------------------------------------- */

#define LIGHT "{'name':'set_light','description':'Sets the light in a room','parameters':{'type':'object','properties':{'room':{'type':'string','maxLength':12}," \
              "'brightness':{'type':'integer','minimum':0,'maximum':100}},'required':['room','brightness']}}"
#define GET "{'name':'get','description':'Gets the light','parameters':{'type':'object','properties':{'room':{'enum':['kitchen','living room']}},'required':['room']}}"

static struct request request_of(const char *body)
{
    struct request r;
    struct err e = { 0 };
    bool ok = request_read(&r, parse(body), &e);
    if (!ok) fprintf(stderr, "%s: %s\n", body, e.msg), exit(1);
    return r;
}

/* Request i of many kinds: text and calls, greedy and not, short and long, with logprobs. */
static struct request kind(uint64_t i)
{
    static const char *const choice[] = { "'auto'", "'required'", "'none'", "'auto'" };
    struct rng r = rng_make(5, 0, i);
    struct str s = { 0 };
    str_puts(&s, "{'messages':[{'role':'user','content':'dim the kitchen");
    for (uint32_t n = rng_below(&r, 40) * rng_below(&r, 3); n; n--) str_puts(&s, " and the living room to twenty");
    str_fmt(&s, "'}],'max_tokens':%u,'seed':%u,'temperature':%s", 24 + rng_below(&r, 40), (unsigned)i, i % 3 ? "0.9" : "0");
    if (i % 4 != 3) str_fmt(&s, ",'tools':[" LIGHT "," GET "],'tool_choice':%s", choice[i % 4]);
    if (i % 2) str_puts(&s, ",'logprobs':true,'top_logprobs':3");
    if (i % 5 == 1) str_puts(&s, ",'presence_penalty':0.5");
    if (i % 6 == 5) str_puts(&s, ",'steer':0,'spelling':'compact'");
    str_puts(&s, "}");
    struct request out = request_of(s.p);
    str_done(&s);
    return out;
}

/* ---- what an answer is, to the last bit ---------------------------------------------------------------------- */

struct answer {
    struct request r;
    struct str text;
    struct message m;
    int n, stop_after, sleep_us;                                      /* at its start, so that others gather behind it */
    _Atomic int ends;
    enum err_code code;
    char error[200];
    pthread_t thread;
    bool started, late, no_origin;
    struct usage usage;
    enum finish reason;
};

static bool on_event(void *ctx, const struct event *ev)
{
    struct answer *a = ctx;
    a->late |= a->ends > 0;
    message_event(&a->m, ev);
    if (ev->kind == EV_START) return usleep((unsigned)a->sleep_us), a->started = true;
    str_fmt(&a->text, "%d %d %.*s %s %s", ev->kind, ev->index, (int)ev->bytes.len, ev->bytes.p ? ev->bytes.p : "", ev->id ? ev->id : "", ev->name ? ev->name : "");
    if (ev->kind == EV_TOKEN) str_fmt(&a->text, " %d %a %d", (int)ev->token, (double)ev->logprob, a->no_origin ? -1 : (int)ev->origin);
    for (int i = 0; i < ev->n_top; i++) str_fmt(&a->text, " %d:%a", (int)ev->top[i].token, (double)ev->top[i].logprob);
    str_putc(&a->text, '\n');
    if (ev->kind == EV_FINISH) a->usage = ev->usage, a->reason = ev->reason, str_fmt(&a->text, "finish %d\n", ev->reason);
    if (ev->kind == EV_ERROR) a->code = ev->code, snprintf(a->error, sizeof a->error, "%.*s", (int)ev->bytes.len, ev->bytes.p);
    bool on = ++a->n != a->stop_after;
    if (ev->kind == EV_FINISH || ev->kind == EV_ERROR) a->ends++;     /* nothing of it is touched after this */
    return on;
}

static void wait_for(struct answer *a)
{
    for (int i = 0; !a->ends && i < 600000; i++) usleep(100);
    CHECK(a->ends == 1 && !a->late, "%d ends", a->ends);
}

static void answer_done(struct answer *a)
{
    request_done(&a->r);
    message_done(&a->m);
    str_done(&a->text);
}

static uint64_t submit(struct rig *r, struct answer *a, const char *adapter_name, int priority)
{
    struct err e = { 0 };
    uint64_t id = 0;
    struct sched_job j = { .request = &a->r, .fn = on_event, .ctx = a, .adapter = adapter_name, .priority = priority };
    CHECK(sched_submit(r->s, &j, &id, &e), "%s", e.msg);
    return id;
}

/* ---- neighbours ---------------------------------------------------------------------------------------------- */

enum { KINDS = SANITIZED ? 12 : 24 };

/* Each kind alone, through the engine of the command line. */
static const struct str *alone(void)
{
    static struct str text[KINDS];
    struct err e = { 0 };
    if (text[0].p) return text;
    struct engine *en = engine_open(model(), &(struct engine_opts){ .ops = kernels(), .kv = DT_F16 }, &e);
    for (uint64_t i = 0; i < KINDS; i++) {
        struct answer a = { .r = kind(i) };
        CHECK(engine_run(en, &a.r, on_event, &a, &e), "%s", e.msg);
        text[i] = a.text;
        a.text = (struct str){ 0 };
        answer_done(&a);
    }
    engine_close(en);
    return text;
}

static const struct { const char *why; struct sched_opts o; bool steps; } ways[] = {
    { "one after another",    { .n_seq = 1, .deterministic = true }, false },
    { "three at a time",      { .n_seq = 3, .deterministic = true }, false },
    { "eight at a time",      { .n_seq = 8, .deterministic = true }, false },
    { "arriving slowly",      { .n_seq = 8, .deterministic = true }, true },
    { "token by token",       { .n_seq = 4, .deterministic = true, .chunk = 1 }, false },
    { "seven at a time",      { .n_seq = 8, .deterministic = true, .chunk = 7 }, true },
    { "nothing kept",         { .n_seq = 8, .no_cache = true, .chunk = 64 }, false },
    { "answers kept",         { .n_seq = 8 }, false },
    { "hardly any room",      { .n_seq = 8, .deterministic = true, .kv_positions = 1024 }, false },
    { "little is kept",       { .n_seq = 3, .deterministic = true, .cache_bytes = 1 }, true },
};

TEST(company_and_arrival_never_show)
{
    const struct str *want = alone();
    for (size_t w = 0; w < LEN(ways); w++) {
        struct rig r = rig_open(&ways[w].o);
        struct rng g = rng_make(17, 0, w);
        for (int round = 0; round < 2; round++) {                     /* the second finds what the first kept */
            struct answer a[KINDS] = { 0 };
            int order[KINDS];
            for (int i = 0; i < KINDS; i++) order[i] = i;
            for (int i = KINDS - 1; i > 0; i--) {
                int j = (int)rng_below(&g, (uint32_t)i + 1), t = order[i];
                order[i] = order[j], order[j] = t;
            }
            for (int i = 0; i < KINDS; i++) {
                a[order[i]].r = kind((uint64_t)order[i]);
                submit(&r, &a[order[i]], NULL, i % 3);
                if (ways[w].steps) usleep(rng_below(&g, 3000));
            }
            for (int i = 0; i < KINDS; i++) {
                wait_for(&a[i]);
                CHECK(a[i].text.p && !strcmp(a[i].text.p, want[i].p), "%s, round %d, request %d:\n%s\nalone:\n%s", ways[w].why, round, i, a[i].text.p, want[i].p);
                answer_done(&a[i]);
            }
        }
        struct sched_stats st = settled(&r);
        CHECK((st.cached_tokens > 0) != ways[w].o.no_cache, "%s: %d tokens were cached", ways[w].why, (int)st.cached_tokens);
        rig_close(&r);
    }
}

#define WORDS "zebra quick 1234 vexing fjords 5678 jump a lazy dog over "
/* Answers that grow until there is no page left: whoever came last is computed again, to the bit. */
/* Greedy and sampled, with what the model thought of every token: what is computed ahead changes no bit of it. The model
 * has convolutions, so a draft that is declined is taken back by a state kept before it. */
TEST(drafts_never_show)
{
    struct err e = { 0 };
    int drafted = 0, accepted = 0;
    for (int way = 0; way < 2; way++) {
        struct engine *en = engine_open(model(), &(struct engine_opts){ .ops = kernels(), .kv = DT_F16 }, &e);
        for (uint64_t i = 0; i < 3 * KINDS; i++) {
            struct answer a[2] = { { .r = kind(i), .no_origin = true }, { .r = kind(i), .no_origin = true } };
            a[1].r.no_draft = true;
            for (int k = 0; k < 2; k++) {
                if (way) a[k].r.steer = 0;                            /* drafts of names too */
                CHECK(engine_run(en, &a[k].r, on_event, &a[k], &e), "%s", e.msg);
            }
            CHECK(!strcmp(a[0].text.p, a[1].text.p), "request %d:\n%s\nwithout drafts:\n%s", (int)i, a[0].text.p, a[1].text.p);
            CHECK(!a[1].usage.draft_tokens && !a[1].usage.accepted_tokens, "request %d: %d drafts", (int)i, a[1].usage.draft_tokens);
            drafted += a[0].usage.draft_tokens;
            accepted += a[0].usage.accepted_tokens;
            for (int k = 0; k < 2; k++) answer_done(&a[k]);
        }
        engine_close(en);
    }
    CHECK(accepted > 0 && drafted > accepted, "%d of %d drafts were accepted", accepted, drafted);
}

TEST(giving_way_never_shows)
{
    enum { MANY = 8 };
    struct answer want[MANY] = { 0 }, got[MANY] = { 0 };
    char body[1500];
    for (int way = 0; way < 2; way++) {
        struct rig r = rig_open(&(struct sched_opts){ .n_seq = way ? MANY : 1, .kv_positions = way ? 1024 : 0, .deterministic = true });
        struct answer *a = way ? got : want, gate = { .r = kind(3), .sleep_us = way ? 300000 : 0 };
        submit(&r, &gate, NULL, 0);
        for (int i = 0; i < MANY; i++) {
            snprintf(body, sizeof body, "{'messages':[{'role':'user','content':'number %d " WORDS WORDS WORDS "'}],'max_tokens':%d,'temperature':%d,'seed':%d,'logprobs':true,"
                     "'response_format':{'type':'regex','pattern':'[qxzjkvw]{500}'}}", i, 860 - 7 * i, i % 2, i);
            a[i].r = request_of(body);
            submit(&r, &a[i], NULL, 0);
        }
        for (int i = 0; i < MANY; i++) wait_for(&a[i]);
        wait_for(&gate), answer_done(&gate);
        struct sched_stats st = settled(&r);
        CHECK((st.preempted > 0) == way, "%d gave way", (int)st.preempted);
        rig_close(&r);
    }
    for (int i = 0; i < MANY; i++) {
        CHECK(want[i].usage.completion_tokens > 60 && !strcmp(got[i].text.p, want[i].text.p), "request %d of %d tokens: %s", i, want[i].usage.completion_tokens, got[i].error);
        answer_done(&got[i]), answer_done(&want[i]);
    }
}

/* ---- leaving ------------------------------------------------------------------------------------------------- */

TEST(whoever_leaves_leaves_nothing_behind)
{
    const struct str *want = alone();
    struct rig r = rig_open(&(struct sched_opts){ .n_seq = 4, .deterministic = true, .chunk = 32 });
    for (int stop = 1; stop < 12; stop++) {                           /* at each of its first events */
        struct answer a = { .r = kind(1), .stop_after = stop }, b = { .r = kind(2) };
        submit(&r, &a, NULL, 0), submit(&r, &b, NULL, 0);
        wait_for(&a), wait_for(&b);
        CHECK(a.reason == FINISH_CANCEL && a.n == stop + 1, "stopped after %d: reason %d, %d events", stop, a.reason, a.n);
        CHECK(!strcmp(b.text.p, want[2].p), "the other one, stopped after %d", stop);
        answer_done(&a), answer_done(&b);
    }
    for (int us = 0; us < 3000; us += SANITIZED ? 500 : 100) {        /* from another thread, at any time */
        struct answer a[8] = { 0 };
        uint64_t id[8];
        for (int i = 0; i < 8; i++) a[i].r = kind((uint64_t)i), id[i] = submit(&r, &a[i], NULL, 0);
        usleep((unsigned)us);
        for (int i = 0; i < 8; i += 2) sched_cancel(r.s, id[i]);
        sched_cancel(r.s, 12345678);
        for (int i = 0; i < 8; i++) {
            wait_for(&a[i]);
            if (a[i].reason != FINISH_CANCEL) CHECK(!strcmp(a[i].text.p, want[i].p), "%d us, request %d:\n%s", us, i, a[i].text.p);
            CHECK(i % 2 == 0 || a[i].reason != FINISH_CANCEL, "%d was not cancelled", i);
            answer_done(&a[i]);
        }
    }
    struct sched_stats st = settled(&r);
    CHECK(st.cancelled_waiting + st.cancelled_prefill + st.cancelled_decode == st.finished[FINISH_CANCEL] && st.finished[FINISH_CANCEL] > 0, "counted");
    rig_close(&r);
}

TEST(a_full_queue_says_so)
{
    struct rig r = rig_open(&(struct sched_opts){ .n_seq = 1, .n_queue = 3, .deterministic = true });
    struct answer a[30] = { 0 };
    struct err e = { 0 };
    int full = 0;
    uint64_t id;
    for (int i = 0; i < 30; i++) {
        a[i].r = kind((uint64_t)i);
        struct sched_job j = { .request = &a[i].r, .fn = on_event, .ctx = &a[i] };
        if (sched_submit(r.s, &j, &id, &e)) continue;
        full += e.code == ERR_FULL;
        a[i].ends = 1;
    }
    CHECK(full > 0 && sched_retry_after(r.s) >= 1, "%d were too many", full);
    for (int i = 0; i < 30; i++) wait_for(&a[i]), answer_done(&a[i]);
    struct sched_stats st = settled(&r);
    CHECK((int)st.full == full && (int)st.submitted == 30 - full, "counted: %d and %d", (int)st.full, (int)st.submitted);
    rig_close(&r);
}

static const struct { const char *why, *body, *says; enum err_code code; } bad[] = {
    { "a schema nothing fits", "{'messages':[{'role':'user','content':'x'}],'tools':[{'name':'f','parameters':{'type':'object','properties':{'a':{'type':'string','minLength':5,'maxLength':2}},'required':['a']}}]}",
      "tool f", ERR_SCHEMA },
    { "a budget too small", "{'messages':[{'role':'user','content':'x'}],'tools':[" LIGHT "],'tool_choice':'required','max_tokens':2}", "max_tokens_too_small", ERR_LIMIT },
};

TEST(refusals_are_one_event)
{
    struct rig r = rig_open(&(struct sched_opts){ 0 });
    for (size_t i = 0; i < LEN(bad); i++) {
        struct answer a = { .r = request_of(bad[i].body) };
        submit(&r, &a, NULL, 0);
        wait_for(&a);
        CHECK(a.code == bad[i].code && strstr(a.error, bad[i].says) && !a.started && a.n == 1, "%s: %d %s", bad[i].why, a.code, a.error);
        answer_done(&a);
    }
    struct str longest = { 0 };
    str_puts(&longest, "{'messages':[{'role':'user','content':'");
    for (int i = 0; i < 3000; i++) str_puts(&longest, "dim the kitchen ");
    str_puts(&longest, "'}]}");
    struct answer a = { .r = request_of(longest.p) };
    submit(&r, &a, NULL, 0);
    wait_for(&a);
    CHECK(a.code == ERR_LIMIT && strstr(a.error, "context_length_exceeded"), "%s", a.error);
    answer_done(&a);
    str_done(&longest);
    struct sched_stats st = settled(&r);
    CHECK(st.refused == LEN(bad) + 1, "%d refused", (int)st.refused);
    rig_close(&r);
}

TEST(closing_tells_everybody)
{
    struct rig r = rig_open(&(struct sched_opts){ .n_seq = 2 });
    struct answer a[12] = { 0 };
    int cut = 0;
    for (int i = 0; i < 12; i++) a[i].r = request_of("{'messages':[{'role':'user','content':'x'}],'max_tokens':800}"), submit(&r, &a[i], NULL, 0);
    bool whole = sched_drain(r.s, 0);
    for (int i = 0; i < 12; i++) {
        CHECK(a[i].ends == 1, "request %d", i);
        cut += a[i].code == ERR_CANCEL;
    }
    CHECK(!whole && cut > 0, "%d were cut", cut);
    struct err e = { 0 };
    uint64_t id;
    CHECK(!sched_submit(r.s, &(struct sched_job){ .request = &a[0].r, .fn = on_event, .ctx = &a[0] }, &id, &e) && e.code == ERR_CANCEL, "%s", e.msg);
    for (int i = 0; i < 12; i++) answer_done(&a[i]);
    rig_close(&r);
}

/* ---- adapters ------------------------------------------------------------------------------------------------- */

static struct str with_adapter(const char *name, const char *path, uint64_t i)
{
    struct rig r = rig_open(&(struct sched_opts){ .n_seq = 1, .deterministic = true });
    struct err e = { 0 };
    struct answer a = { .r = kind(i) };
    CHECK(!name || sched_adapter_load(r.s, name, path, 1, false, &e), "%s", e.msg);
    submit(&r, &a, name, 0);
    wait_for(&a);
    struct str out = a.text;
    a.text = (struct str){ 0 };
    answer_done(&a);
    rig_close(&r);
    return out;
}

TEST(adapters_share_a_batch_and_outlive_their_names)
{
    struct err e = { 0 };
    struct rig r = rig_open(&(struct sched_opts){ .n_seq = 8, .deterministic = true });
    const char *path[2] = { adapter(1), adapter(2) }, *name[3] = { NULL, "one", "two" };
    CHECK(sched_adapter_load(r.s, "one", path[0], 1, false, &e) && sched_adapter_load(r.s, "two", path[1], 1, false, &e), "%s", e.msg);
    CHECK(!sched_adapter_load(r.s, "one", path[1], 1, false, &e) && !strcmp(e.msg, "The lora adapter 'one' has already been loaded."), "%s", e.msg);
    CHECK(!sched_adapter_load(r.s, "three", "/nowhere", 1, false, &e) && !sched_adapter_load(r.s, "a b", path[0], 1, false, &e), "must be refused");
    struct answer a[9] = { 0 };
    for (int i = 0; i < 9; i++) a[i].r = kind(2 + (uint64_t)(i / 3)), submit(&r, &a[i], name[i % 3], 0);
    CHECK(sched_adapter_unload(r.s, "two", &e), "%s", e.msg);         /* those that have it go on */
    CHECK(!sched_adapter_unload(r.s, "two", &e) && !strcmp(e.msg, "The lora adapter 'two' cannot be found."), "%s", e.msg);
    struct sched_adapter list[4];
    CHECK(sched_adapters(r.s, list, 4) == 1 && !strcmp(list[0].name, "one"), "one is left");
    CHECK(sched_adapter_load(r.s, "one", path[1], 1, true, &e), "replaced: %s", e.msg);
    struct answer late = { .r = kind(2) };
    uint64_t id;
    CHECK(!sched_submit(r.s, &(struct sched_job){ .request = &late.r, .fn = on_event, .ctx = &late, .adapter = "two" }, &id, &e), "two is gone");
    submit(&r, &late, "one", 0);
    struct str want[9];
    for (int i = 0; i < 9; i++) wait_for(&a[i]);                      /* the kernels serve one engine thread at a time */
    wait_for(&late);
    for (int i = 0; i < 9; i++) {
        want[i] = with_adapter(name[i % 3], path[i % 3 == 2], 2 + (uint64_t)(i / 3));
        CHECK(!strcmp(a[i].text.p, want[i].p), "request %d:\n%s\nalone:\n%s", i, a[i].text.p, want[i].p);
    }
    CHECK(!strcmp(late.text.p, want[2].p) && strcmp(want[0].p, want[1].p), "what replaced `one` is `two`");
    for (int i = 0; i < 9; i++) answer_done(&a[i]), str_done(&want[i]);
    answer_done(&late);
    rig_close(&r);
}

/* ---- prefixes -------------------------------------------------------------------------------------------------- */

/* Tools before the question; only the question is new. */
static struct request asked(const char *question)
{
    struct str s = { 0 };
    str_fmt(&s, "{'messages':[{'role':'user','content':'%s'}],'max_tokens':30,'tools':[", question);
    for (int i = 0; i < 8; i++)
        str_fmt(&s, "%s{'name':'tool_%d','description':'Sets the light in the living room to twenty, please','parameters':{'type':'object','properties':"
                    "{'room':{'type':'string','maxLength':9},'brightness':{'type':'integer'}},'required':['room']}}", i ? "," : "", i);
    str_puts(&s, "]}");
    struct request r = request_of(s.p);
    str_done(&s);
    return r;
}

static void ask(struct rig *r, struct answer *a)
{
    submit(r, a, NULL, 0);
    wait_for(a);
}

TEST(a_new_question_computes_only_itself)
{
    struct rig r = rig_open(&(struct sched_opts){ 0 }), cold = rig_open(&(struct sched_opts){ .no_cache = true });
    static const char *const q[] = { "dim the kitchen", "the living room to ten", "please set the light to twenty in the room", "dim the kitchen" };
    for (size_t i = 0; i < LEN(q); i++) {
        struct answer a = { .r = asked(q[i]) }, b = { .r = asked(q[i]) };
        ask(&r, &a), ask(&cold, &b);
        int computed = a.usage.prompt_tokens - a.usage.cached_tokens;
        CHECK(!strcmp(a.text.p, b.text.p) && !b.usage.cached_tokens, "%s: warm and cold differ", q[i]);
        CHECK(!i || computed < 64, "%s: %d of %d tokens were computed", q[i], computed, a.usage.prompt_tokens);
        if (i == 3) CHECK(computed == 1, "the same again: %d", computed);
        answer_done(&a), answer_done(&b);
    }
    rig_close(&r), rig_close(&cold);
}

TEST(calls_come_back_as_they_were_generated)
{
    for (int way = 0; way < 3; way++) {                               /* as it was, arguments changed, deterministic */
        struct rig r = rig_open(&(struct sched_opts){ .deterministic = way == 2 });
        struct answer a = { .r = asked("dim the kitchen") };
        a.r.choice = CHOICE_REQUIRED, a.r.random_ids = true, a.r.parallel = false, a.r.max_tokens = 60, a.r.spelling = SPELL_LOCK, a.r.steer = 0;
        ask(&r, &a);
        CHECK(a.m.n_call == 1, "%d calls", a.m.n_call);
        struct answer b = { .r = asked("dim the kitchen") };
        struct json *list = json_copy(b.r.messages), *reply = message_json(&a.m);
        struct json *result = parse("{'role':'tool','content':'ok'}");
        if (way == 1) json_set((struct json *)(uintptr_t)json_get(json_at(json_get(reply, "tool_calls"), 0), "function"), "arguments", json_new_str("{\"room\":\"x\"}"));
        json_push(list, reply), json_push(list, result);
        struct err e = { 0 };
        struct json *body = json_copy(b.r.body);
        request_done(&b.r);
        json_set(body, "messages", list);
        CHECK(request_read(&b.r, body, &e), "%s", e.msg);
        ask(&r, &b);
        struct sched_stats st = settled(&r);
        int more = b.usage.cached_tokens - a.usage.prompt_tokens;
        if (way == 0) CHECK(st.replayed == 1 && more >= a.usage.completion_tokens - 8, "%d put back, %d of %d tokens of the answer are cached", (int)st.replayed, more, a.usage.completion_tokens);
        else CHECK(!st.replayed && more < 8, "%d put back, %d cached", (int)st.replayed, more);
        answer_done(&a), answer_done(&b);
        rig_close(&r);
    }
}

/* The conversation that call number i would come back in. */
static struct request come_back(int i)
{
    struct request q = asked("dim the kitchen");
    struct json *body = json_copy(q.body), *list = json_copy(q.messages);
    struct err e = { 0 };
    char text[300];
    snprintf(text, sizeof text, "{'role':'assistant','content':null,'tool_calls':[{'id':'call_%d','type':'function','function':"
             "{'name':'tool_%d','arguments':'{}'}}]}", i, i % 8);
    json_push(list, parse(text));
    snprintf(text, sizeof text, "{'role':'tool','tool_call_id':'call_%d','content':'ok'}", i);
    json_push(list, parse(text));
    json_set(body, "messages", list);
    request_done(&q);
    CHECK(request_read(&q, body, &e), "%s", e.msg);
    return q;
}

/* Calls of all sizes through a ring that holds some dozens: the last ones and those asked for are there, whole. */
TEST(calls_remembered_are_bounded)
{
    enum { N = 400, BYTES = 16 << 10 };
    struct rig r = rig_open(&(struct sched_opts){ 0 });
    struct replay *re = replay_open(BYTES);
    struct request first = asked("dim the kitchen");
    struct replay_at at, ignored;
    struct ids out = { 0 };
    struct err e = { 0 };
    uint64_t n_put;
    CHECK(replay_prompt(re, r.en, &first, &out, &at, &n_put, &e) && !n_put, "%s", e.msg);
    int found = 0, last_lost = -1;
    for (int i = 0; i < N; i++) {
        int32_t tok[64];
        size_t n = 1 + (size_t)(i * 7 % 60);
        struct message_call call = { .id = (char[24]){ 0 }, .name = (char[24]){ 0 } };
        snprintf(call.id, 24, "call_%d", i), snprintf(call.name, 24, "tool_%d", i % 8);
        str_puts(&call.args, "{}");
        struct message m = { .call = &call, .n_call = 1 };
        for (size_t k = 0; k < n; k++) tok[k] = (int32_t)(i % 50 + 3);
        replay_keep(re, &m, tok, n, at);
        str_done(&call.args);
        struct request q = come_back(0);                              /* the first is asked for all the time */
        if (i % 20 == 0) CHECK(replay_prompt(re, r.en, &q, &out, &ignored, &n_put, &e) && n_put == 1, "call 0 after %d", i);
        request_done(&q);
    }
    for (int i = 0; i < N; i++) {
        struct request q = come_back(i);
        out.n = 0;
        CHECK(replay_prompt(re, r.en, &q, &out, &ignored, &n_put, &e), "%s", e.msg);
        int same = 0;
        for (size_t k = 0; k < out.n; k++) same += out.id[k] == i % 50 + 3;
        CHECK(!n_put || same >= 1 + i * 7 % 60, "call %d: %d of its tokens", i, same);
        if (n_put) found++;
        else last_lost = i;
        request_done(&q);
    }
    CHECK(found > 40 && found < 200 && last_lost < N - 40, "%d found, %d is lost", found, last_lost);
    request_done(&first);
    mem_free(out.id);
    replay_close(re);
    rig_close(&r);
}

/* ---- grammars ------------------------------------------------------------------------------------------------- */

/* A tool list that comes again is not compiled again, and says the same: its grammar has more found out, and knows no more. */
TEST(grammars_are_compiled_once)
{
    struct rig r = rig_open(&(struct sched_opts){ 0 });
    for (uint64_t round = 0; round < 3; round++)
        for (uint64_t i = 0; i < 24; i++) {
            struct rig fresh = rig_open(&(struct sched_opts){ 0 });
            struct answer a = { .r = kind(i) }, b = { .r = kind(i) };
            ask(&r, &a), ask(&fresh, &b);
            CHECK(!strcmp(a.text.p, b.text.p), "request %d, round %d: kept and fresh grammar differ\n%s\n%s", (int)i, (int)round, a.text.p, b.text.p);
            answer_done(&a), answer_done(&b);
            rig_close(&fresh);
        }
    struct sched_stats st = settled(&r);
    CHECK(st.grammars < 12 && st.grammars + st.grammars_kept == 72, "%d compiled, %d found", (int)st.grammars, (int)st.grammars_kept);
    CHECK(st.grammar_bytes > 1000 && st.grammar_bytes < (size_t)64 << 20, "%zu bytes", st.grammar_bytes);
    rig_close(&r);
}

TEST(grammars_kept_are_bounded)
{
    struct grammars *c = grammars_open();
    struct err e = { 0 };
    const struct grammar *held = NULL;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 200; i++) {
            char text[64];
            snprintf(text, sizeof text, "\"%d\" [a-z]{1,%d}", i, i + 1);
            const struct grammar *g = grammars_take(c, &(struct grammar_source){ .envelope = text }, &e);
            CHECK(g, "%s", e.msg);
            if (!held) held = g;                                      /* is in use until the end */
            else grammars_give(c, g);
        }
    struct grammars_stats st = grammars_stats(c);
    CHECK(st.n == 65 && st.misses == 399 && st.hits == 1, "%zu kept, %d compiled, %d found", st.n, (int)st.misses, (int)st.hits);
    CHECK(!grammars_take(c, &(struct grammar_source){ .envelope = "\"" }, &e) && e.code, "a broken envelope is refused");
    CHECK(grammars_stats(c).n == st.n, "and not kept");
    grammars_give(c, held), grammars_give(c, NULL);
    grammars_close(c);
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

/* Anonymous pages in memory, in KiB: those of files come and go as the kernel likes. */
static long resident_kb(void)
{
    char line[128];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %ld", &kb) == 1) break;
    if (f) fclose(f);
    return kb;
}

/* Four requests at a time, a tenth of which leave early. */
static void ask_in_fours(struct rig *r, int from, int to)
{
    for (int i = from; i < to; i += 4) {
        struct answer a[4] = { 0 };
        for (int k = 0; k < 4; k++) {
            a[k].r = kind((uint64_t)(i + k) % 40);
            a[k].r.sampling.seed = (uint64_t)i, a[k].r.max_tokens = MAX(a[k].r.max_tokens / 2, 24);
            a[k].stop_after = i % 40 ? 0 : 3;
            submit(r, &a[k], NULL, 0);
        }
        for (int k = 0; k < 4; k++) wait_for(&a[k]), answer_done(&a[k]);
    }
}

/* What is lost by every request is lost in each stretch of requests; what the kernel does meanwhile (a page brought back,
 * small pages made into a large one) shows in one of them. */
TEST(memory_stays_flat)
{
    enum { WARM = 300, STRETCH = 300, STRETCHES = 4 };
    if (SANITIZED || !resident_kb()) SKIP("memory is not measured here");
    struct rig r = rig_open(&(struct sched_opts){ .n_seq = 4, .kv_positions = 2048 });
    ask_in_fours(&r, 0, WARM);
    long least = LONG_MAX;
    for (int s = 0; s < STRETCHES; s++) {
        long before = resident_kb();
        size_t masks = vocab_cache_stats(r.en->vocab).bytes;         /* what the vocabulary remembers has a limit of its own, 64 MiB */
        ask_in_fours(&r, WARM + s * STRETCH, WARM + (s + 1) * STRETCH);
        long grown = resident_kb() - before - (long)((vocab_cache_stats(r.en->vocab).bytes - masks) / 1024);
        least = MIN(least, grown);
    }
    CHECK(least < 100, "at least %ld KiB more after each %d requests", least, STRETCH);
    rig_close(&r);
}

/* ---- on disk ----------------------------------------------------------------------------------------------------- */

/* Runs a command over the files of the cache folder. */
static void to_files(const char *dir, const char *command)
{
    char line[600];
    snprintf(line, sizeof line, "cd %s && for f in *.kv; do %s; done", dir, command);
    CHECK(!system(line), "%s", line);
}

static const struct { const char *why, *command; bool found, errors; } damages[] = {
    { "as they were", ":", true, false },
    { "cut", "truncate -s -5 $f", false, true },
    { "emptied", ": > $f", false, true },
    { "other bytes", "printf xxxxxxxx | dd of=$f bs=1 seek=40 conv=notrunc 2>/dev/null", false, true },
    { "no zstd", "echo hello > $f", false, true },
    { "gone", "rm $f", false, false },
};

TEST(what_was_read_is_known_after_a_restart)
{
    char dir[300];
    snprintf(dir, sizeof dir, "%s", in_folder("cache"));
    struct str want = { 0 };
    log_level = LOG_ERROR;
    for (size_t d = 0; d < LEN(damages); d++) {
        for (int start = 0; start < 2; start++) {
            struct rig r = rig_open(&(struct sched_opts){ .n_seq = 2, .cache_dir = dir });
            struct answer a = { .r = asked("dim the kitchen") };
            ask(&r, &a);
            struct sched_stats st = settled(&r);
            int computed = a.usage.prompt_tokens - a.usage.cached_tokens;
            if (start) CHECK((computed == 1) == damages[d].found && (st.disk_errors > 0) == damages[d].errors, "%s: %d of %d computed, %d errors", damages[d].why,
                             computed, a.usage.prompt_tokens, (int)st.disk_errors);
            if (!want.p) str_puts(&want, a.text.p);
            CHECK(!strcmp(want.p, a.text.p), "%s: another answer", damages[d].why);
            answer_done(&a);
            rig_close(&r);
            if (!start) to_files(dir, damages[d].command);
        }
    }
    /* Another make, a folder that is full, a limit. */
    struct rig r = rig_open(&(struct sched_opts){ .cache_dir = dir, .deterministic = true });
    struct answer a = { .r = asked("dim the kitchen") };
    ask(&r, &a);
    CHECK(!a.usage.cached_tokens && !strcmp(want.p, a.text.p), "pages of another make were used");
    answer_done(&a);
    rig_close(&r);
    r = rig_open(&(struct sched_opts){ .cache_dir = dir, .disk_bytes = 1 });
    a = (struct answer){ .r = asked("the living room") };
    ask(&r, &a);
    answer_done(&a);
    sched_drain(r.s, 10);
    struct sched_stats st;
    sched_read_stats(r.s, &st);
    CHECK(st.disk_bytes < 100000 && st.disk_writes > 1, "%zu bytes in %d writes", st.disk_bytes, (int)st.disk_writes);
    rig_close(&r);
    char line[400];
    snprintf(line, sizeof line, "rm -rf %s", dir);
    CHECK(!system(line), "%s", line);
    struct err e = { 0 };
    struct engine *en = engine_open(model(), &(struct engine_opts){ .ops = kernels(), .kv = DT_F16 }, &e);
    CHECK(!sched_open(en, &(struct sched_opts){ .cache_dir = "/nowhere/at/all" }, &e) && strstr(e.msg, "/nowhere"), "%s", e.msg);
    engine_close(en);
    log_level = LOG_WARN;
    str_done(&want);
}

TEST(a_full_disk_is_harmless)
{
    struct rig r = rig_open(&(struct sched_opts){ .cache_dir = in_folder("full") });
    char line[400];
    snprintf(line, sizeof line, "rm -rf %s", in_folder("full"));       /* nothing can be written there any more */
    CHECK(!system(line), "%s", line);
    log_level = LOG_ERROR;
    struct answer a = { .r = asked("dim the kitchen") };
    ask(&r, &a);
    CHECK(a.usage.completion_tokens > 0, "%s", a.error);
    answer_done(&a);
    CHECK(sched_drain(r.s, 10), "drain");
    struct sched_stats st;
    sched_read_stats(r.s, &st);
    CHECK(st.disk_errors == 1 && !st.disk_writes, "%d errors", (int)st.disk_errors);
    rig_close(&r);
    log_level = LOG_WARN;
}

/* ---- prompts of tokens ------------------------------------------------------------------------------------------ */

TEST(a_prompt_of_tokens_is_echoed_with_its_odds)
{
    struct rig r = rig_open(&(struct sched_opts){ .chunk = 10 });
    struct err e = { 0 };
    int32_t prompt[100];
    for (int i = 0; i < 100; i++) prompt[i] = 20 + i * 7 % 300;
    for (int max = 0; max < 2; max++) {
        struct answer a = { 0 };
        char text[100];
        snprintf(text, sizeof text, "{'max_tokens':%d,'logprobs':2}", max);
        CHECK(request_read_raw(&a.r, parse(text), &e), "%s", e.msg);
        uint64_t id;
        CHECK(sched_submit(r.s, &(struct sched_job){ .request = &a.r, .fn = on_event, .ctx = &a, .prompt = prompt, .n_prompt = 100, .echo = true }, &id, &e), "%s", e.msg);
        wait_for(&a);
        const char *at = a.text.p;
        int tokens = 0;
        while ((at = strstr(at, "5 0 "))) { tokens += at == a.text.p || at[-1] == '\n'; at++; }
        CHECK(tokens == 100 + max, "%d token events", tokens);
        CHECK(a.usage.completion_tokens == max && a.reason == FINISH_LENGTH, "%d generated, reason %d", a.usage.completion_tokens, a.reason);
        CHECK(!strncmp(a.text.p, "5 0    20 nan 3\n", 15), "the first has nothing before it: %.40s", a.text.p);
        answer_done(&a);
    }
    int32_t wrong = 1 << 20;
    struct answer a = { 0 };
    uint64_t id;
    CHECK(request_read_raw(&a.r, parse("{}"), &e), "%s", e.msg);
    CHECK(sched_submit(r.s, &(struct sched_job){ .request = &a.r, .fn = on_event, .ctx = &a, .prompt = &wrong, .n_prompt = 1 }, &id, &e), "%s", e.msg);
    wait_for(&a);
    CHECK(a.code == ERR_ARG && strstr(a.error, "token 0"), "%s", a.error);
    answer_done(&a);
    rig_close(&r);
}

/* ---- bursts ----------------------------------------------------------------------------------------------------- */

static bool hear(void *ctx, const struct event *ev) { return true; }
static void ended(struct task *t) {}

/* Among speaking answers come prompts of so many tokens: how many are read after one step. */
static const struct { const char *why; int speak, come, tokens, read; } bursts[] = {
    { "more wait than speak: all at once",               1, 7, 30,  7 },
    { "as long as they are short",                       1, 7, 300, 0 },
    { "whole ones only, in room for 256 tokens",         1, 7, 60,  4 },
    { "more speak than wait: as long as a decode pass",  4, 3, 40,  1 },
};

TEST(whoever_waits_in_a_crowd_is_read_at_once)
{
    struct err e = { 0 };
    struct engine *en = engine_open(model(), &(struct engine_opts){ .ops = kernels(), .kv = DT_F16 }, &e);
    struct request r;
    CHECK(en && request_read_raw(&r, parse("{'max_tokens':60,'ignore_eos':true}"), &e), "%s", e.msg);
    for (size_t i = 0; i < LEN(bursts); i++) {
        struct loop *l = loop_open(en, &(struct loop_opts){ .n_seq = 8, .positions = 4096 }, &e);
        struct task task[8];
        int32_t prompt[8][300];
        int n = bursts[i].speak + bursts[i].come, read = 0;
        CHECK(l, "%s", e.msg);
        for (int j = 0; j < n; j++) {
            bool speaks = j < bursts[i].speak;
            for (int k = 0; k < 300; k++) prompt[j][k] = 20 + (j * 31 + k * 7) % 300;
            task[j] = (struct task){ .r = &r, .raw = prompt[j], .n_raw = speaks ? 8 : bursts[i].tokens, .fn = hear, .done = ended,
                                     .born_ns = clock_ns(), .kv = -1, .fork = -1 };
            CHECK(task_prepare(&task[j], en, NULL, 4096, &e), "%s", e.msg);
            loop_add(l, &task[j]);
            if (j == bursts[i].speak - 1) loop_step(l);
        }
        for (int j = 0; j < bursts[i].speak; j++) CHECK(task[j].stage == STAGE_DECODE, "%s: answer %d is at %d", bursts[i].why, j, task[j].stage);
        loop_step(l);
        for (int j = bursts[i].speak; j < n; j++) read += task[j].stage == STAGE_DECODE;
        CHECK(read == bursts[i].read, "%s: %d were read, not %d", bursts[i].why, read, bursts[i].read);
        for (int j = 0; j < n; j++) task[j].cancel = true;
        while (loop_step(l)) {}
        for (int j = 0; j < n; j++) task_done(&task[j]);
        loop_close(l);
    }
    request_done(&r);
    engine_close(en);
}

TEST_MAIN
