/* talker.c -- a model, tools and a loop from what the command line says. */
#include "talker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpu/cpu.h"
#include "voice.h"

/* ---- tools ---- */

/* $XDG_CONFIG_HOME/tenon/tools.json, if it is there. */
static char *user_file(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    struct str s = { 0 };
    if (config && *config == '/') str_fmt(&s, "%s/tenon/tools.json", config);
    else if (home && *home == '/') str_fmt(&s, "%s/.config/tenon/tools.json", home);
    if (s.len && file_exists(s.p)) return str_take(&s);
    str_done(&s);
    return NULL;
}

static bool read_taken(struct toolset *ts, char *path, bool ok, struct err *e)
{
    ok = ok && (!path || toolset_read(ts, path, e));
    mem_free(path);
    return ok;
}

struct toolset *tools_open(const struct tool_opts *o, const struct tools_use *u, struct err *e)
{
    char *user = o->no_config ? NULL : user_file(), *local = o->no_config ? NULL : trust_local(u->asks);
    char *state = state_dir();
    struct toolset_opts so = { .root = o->root, .python = o->python, .data = o->data, .out_dir = o->out_dir, .qualify = o->qualify, .retrieves = u->retrieves,
                               .run_sandbox = o->run_sandbox, .state_dir = state, .backup_dir = u->backup_dir,
                               .elicit = u->asks ? term_elicit : NULL, .elicit_ctx = u->asks,
                               .sign_in = u->asks || u->signs_in ? term_sign_in : NULL, .sign_in_ctx = u->asks ? u->asks : u->signs_in };
    struct toolset *ts = toolset_open(&so);
    mem_free(state);
    bool ok = !o->builtin || toolset_builtin(ts, o->builtin, e);
    ok = read_taken(ts, user, ok, e);
    ok = read_taken(ts, local, ok, e);
    for (int i = 0; ok && i < o->tools.n; i++) ok = toolset_read(ts, o->tools.item[i], e);
    for (const char *p = toolset_warnings(ts); *p; p += strcspn(p, "\n"), p += *p == '\n') {
        struct str line = { 0 };
        result_escape(&line, p, strcspn(p, "\n"));
        fprintf(stderr, "tenon: %s\n", line.p);
        str_done(&line);
    }
    if (ok) return ts;
    toolset_close(ts);
    return NULL;
}

/* ---- the request ---- */

static struct json *request_members(const struct talk_opts *o)
{
    struct json *r = json_new_object();
    if (o->max_tokens != INT64_MIN) json_set(r, "max_tokens", json_new_int(o->max_tokens));
    if (o->temperature != 0) json_set(r, "temperature", json_new_f64(o->temperature));
    if (o->top_p != 1) json_set(r, "top_p", json_new_f64(o->top_p));
    if (o->min_p != 0) json_set(r, "min_p", json_new_f64(o->min_p));
    if (o->top_k) json_set(r, "top_k", json_new_int(o->top_k));
    if (o->seed) json_set(r, "seed", json_new_int(o->seed));
    if (o->spelling) json_set(r, "spelling", json_new_str(o->spelling));
    if (o->key_order) json_set(r, "key_order", json_new_str(o->key_order));
    if (o->min_confidence > 0) json_set(r, "return_confidence", json_new_bool(true));
    return r;
}

static bool read_blanket(const char *s, enum blanket *out, struct err *e)
{
    static const char *const words[] = { "none", "read-only", "all" };
    *out = BLANKET_NONE;
    for (int i = 0; s && i < (int)LEN(words); i++)
        if (!strcmp(s, words[i])) return *out = (enum blanket)i, true;
    return !s || err_set(e, ERR_USAGE, "--approve: none, read-only and all are accepted, not '%.40s'", s);
}

static bool bound(const char *name, int64_t v, struct err *e)
{
    return (v >= 0 && v <= 1000000) || err_set(e, ERR_USAGE, "--%s: 1 to 1000000 is accepted, 0 is the default", name);
}

static bool check(const struct talk_opts *o, struct err *e)
{
    if (!(o->deadline >= 0 && o->deadline <= 1e6)) return err_set(e, ERR_USAGE, "--deadline: 0 to 1000000 seconds are accepted");
    if (!(o->min_confidence >= 0 && o->min_confidence <= 1)) return err_set(e, ERR_USAGE, "--min-confidence: 0 to 1 is accepted");
    if (o->tools_max < -1 || o->tools_max > 4096) return err_set(e, ERR_USAGE, "--tools-max: 0 to 4096 is accepted");
    return bound("max-turns", o->max_turns, e) && bound("max-calls", o->max_calls, e) && bound("max-total-tokens", o->max_total_tokens, e) && bound("parallel", o->parallel, e) &&
           bound("result-tokens", o->result_tokens, e);
}

static bool read_price(const char *s, struct prices *p, struct err *e)
{
    char end;
    int n = sscanf(s, "%lf,%lf%c%lf%c", &p->prompt, &p->completion, &end, &p->cached, &end);
    double sum = p->prompt + p->completion;
    bool ok = (n == 2 || (n == 4 && end == ',')) && p->prompt >= 0 && p->completion >= 0 && p->cached >= 0 && sum > 0 && sum < 1e12;
    return ok || err_set(e, ERR_USAGE, "--price: two or three amounts are accepted, as 3,15 or 3,15,0.3, not '%.40s'", s);
}

/* Of the options; what a cost is counted by may stand in a file. */
static bool read_limits(struct agent_limits *l, const struct talk_opts *o, const struct agent_limits *file, int deadline_ms, struct err *e)
{
    *l = (struct agent_limits){ .max_turns = (int)o->max_turns, .max_calls = (int)o->max_calls, .max_total_tokens = (int)o->max_total_tokens,
                                .parallel = (int)o->parallel, .result_tokens = (int)o->result_tokens, .max_cost = o->max_cost,
                                .total_ms = o->deadline > 0 ? (int)(o->deadline * 1000) : deadline_ms };
    if (!(o->max_cost >= 0 && o->max_cost < 1e12)) return err_set(e, ERR_USAGE, "--max-cost: an amount above 0 is accepted, 0 is none");
    if (o->price && !read_price(o->price, &l->price, e)) return false;
    struct agent_limits both = *l;
    if (!o->price) both.price = file->price;
    return agent_limits_check(&both, e) || err_set(e, ERR_USAGE, "--max-cost: --price or \"limits\" of a tool file must say what a million tokens cost");
}

/* ---- the record ---- */

/* Where state of that name would be; nothing is made. */
static char *state_name(const char *name)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    struct str s = { 0 };
    if (state && *state == '/') str_fmt(&s, "%s/tenon/%s", state, name);
    else if (home && *home == '/') str_fmt(&s, "%s/.local/state/tenon/%s", home, name);
    return s.len ? str_take(&s) : NULL;
}

char *state_path(const char *name)
{
    char *path = state_name(name);
    if (path && dirs_make(path)) return path;
    mem_free(path);
    return NULL;
}

char *state_dir(void)
{
    char *path = state_name("");
    if (path) path[strlen(path) - 1] = 0;               /* without its slash */
    return path;
}

char *backup_dir(const char *transcript)
{
    if (!transcript) return state_path("backups");
    const char *slash = strrchr(transcript, '/');
    struct str s = { 0 };
    str_fmt(&s, "%.*sbackups", slash ? (int)(slash + 1 - transcript) : 0, transcript);
    return str_take(&s);
}

/* A place that was named must work; the usual one is used if it can be. */
static bool open_transcript(struct talker *t, const struct talk_opts *o, struct err *e)
{
    struct err why = { 0 };
    if (o->no_history) return !o->resumes || err_set(e, ERR_USAGE, "--resume and --no-history: one of them is accepted");
    if (!o->transcript && !o->resumes && !transcript_sqlite()) return true;
    t->transcript_path = o->transcript ? mem_str(o->transcript) : state_path("transcripts.db");
    if (!t->transcript_path) return !o->resumes || err_set(e, ERR_IO, "there is no place for records: neither HOME nor XDG_STATE_HOME is set");
    t->transcript = o->resumes ? transcript_reopen(t->transcript_path, o->resume, &why) : transcript_open(t->transcript_path, &why);
    if (t->transcript) return transcript_hide(t->transcript, t->tools), true;
    if (o->transcript || o->resumes) return *e = why, false;
    fprintf(stderr, "tenon: nothing is kept of this: %s\n", why.msg);
    return true;
}

static void set_hash(struct json *m, const char *key, uint64_t hash)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    json_set(m, key, json_new_str(text));
}

/* Under which conditions what follows was said. */
static void log_meta(const struct talker *t, const struct talk_opts *o)
{
    if (!t->transcript) return;
    struct json *m = json_new_object(), *tools = toolset_definitions(t->tools), *adapters = json_new_array();
    struct str text = { 0 };
    json_write(&text, tools, JSON_COMPACT);
    for (int i = 0; i < o->m.lora.n; i++) json_push(adapters, json_new_str(o->m.lora.item[i]));
    json_set(m, "version", json_new_str(TENON_VERSION));
    json_set(m, "model", json_new_str(o->url ? o->url : o->m.model ? o->m.model : "embedded"));
    if (t->speaker.engine) set_hash(m, "weights_hash", engine_weights(t->speaker.engine));
    json_set(m, "adapter", adapters);
    json_set(m, "sampling", request_members(o));
    set_hash(m, "tools_hash", hash64(text.p, text.len, 0));
    json_set(m, "tools", tools);
    transcript_put(t->transcript, "meta", m);
    str_done(&text);
}

bool talker_resume(struct talker *t, const struct talk_opts *o, long long session, struct err *e)
{
    struct past p;
    if (!t->transcript) return err_set(e, ERR_ARG, "nothing is recorded here");
    if (!past_read(&p, t->transcript_path, session, e)) return false;
    bool ok = transcript_resume(t->transcript, session, e);
    if (ok) {
        agent_resume(t->loop, &p);
        json_free(t->past_meta);
        t->past_meta = p.meta;
        p.meta = NULL;
        log_meta(t, o);
    }
    past_done(&p);
    return ok;
}

/* ---- files for the interpreter ---- */

bool talker_attach(struct talker *t, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    struct str bytes = { 0 };
    if (!toolset_find(t->tools, "python")) return err_set(e, ERR_USAGE, "%s: files go to the tool python; --tools-builtin python offers it", path);
    bool ok = file_read(path, &bytes, e) && toolset_put(t->tools, name, bytes.p ? bytes.p : "", bytes.len, e);
    if (ok) str_fmt(&t->attached, "\n[file /box/%s, %zu bytes, for the tool python]", name, bytes.len);
    else if (e->code != ERR_IO) err_in(e, "%s", path);
    str_done(&bytes);
    return ok;
}

void talker_send(struct talker *t, const char *text, struct agent_report *r)
{
    struct str all = { 0 };
    str_fmt(&all, "%s%s%s", text, t->attached.len ? "\n" : "", t->attached.len ? t->attached.p : "");
    str_clear(&t->attached);
    agent_send(t->loop, all.p, r);
    str_done(&all);
}

/* ---- life ---- */

static bool is_cancelled(void *cancel) { return cancel_is_on(cancel); }

static bool is_there(const char *path, struct err *e)
{
    return !path || !access(path, F_OK) ||
           err_set(e, ERR_IO, "%s: %s; a model is a GGUF file or a folder of safetensors, and without one the embedded model answers", path, strerror(errno));
}

/* What makes this model slow on this machine, and what would help. */
static void advise(const struct talker *t)
{
    size_t bytes = gguf_file_bytes(t->speaker.g), left = mem_available();
    if (left && bytes > left)
        fprintf(stderr, "tenon: the model has %.1f GiB, and %.1f GiB of memory are free: it will be read from the disk again and again; a smaller one, or one of fewer bits "
                        "(tenon quantize), runs faster\n", (double)bytes / (1 << 30), (double)left / (1 << 30));
    if (!strcmp(cpu_isa(0), "plain"))
        fprintf(stderr, "tenon: this processor has none of the instructions that Tenon is fast with (x86-64: AVX2, FMA, F16C): it works, many times slower; a small model helps\n");
}

static bool open_model(struct talker *t, const struct talk_opts *o, struct err *e)
{
    struct speaker_opts so = SPEAKER_OPTS(&o->m);
    uint64_t t0 = clock_ns();
    if (!o->url) {
        if (!is_there(o->m.model, e) || !speaker_open(&t->speaker, &so, e)) return false;
        t->load_ms = (double)(clock_ns() - t0) / 1e6;
        advise(t);
        t->speaker.tools_max = 0;                                     /* the loop chooses */
        t->model = voice_of(&t->speaker, o->m.ctx);
        return true;
    }
    if (o->m.model) return err_set(e, ERR_USAGE, "--url and --model: one of them is accepted");
    if (o->min_confidence > 0) return err_set(e, ERR_USAGE, "--min-confidence: an endpoint does not say how sure it is; a model of -m does");
    const char *key = o->key_env ? getenv(o->key_env) : NULL;
    if (o->key_env && !key) return err_set(e, ERR_USAGE, "--api-key-env: the environment has no %.80s", o->key_env);
    struct remote_opts ro = { .url = o->url, .model = o->model_name, .key = key, .stream = true, .tries = 3, .stop = is_cancelled, .stop_ctx = &t->cancel };
    if (!(t->remote = remote_open(&ro, e))) return false;
    t->model = voice_far(t->remote);
    return true;
}

bool talker_model(struct talker *t, const struct talk_opts *o, const char *name, struct err *e)
{
    if (t->remote) return remote_speak_as(t->remote, name ? name : "default"), true;
    struct speaker_opts so = SPEAKER_OPTS(&o->m);
    struct speaker next;
    so.path = name;
    so.n_lora = 0;
    if (!is_there(name, e) || !speaker_open(&next, &so, e)) return false;
    next.tools_max = t->speaker.tools_max;
    speaker_close(&t->speaker);
    t->speaker = next;
    t->model = voice_of(&t->speaker, o->m.ctx);
    return true;
}

static struct toolset *open_tools(const struct talk_opts *o, struct term *asks, struct err *e)
{
    char *kept = o->no_history ? NULL : backup_dir(o->transcript);
    struct tools_use u = { asks, o->tools_max != 0, kept, NULL };
    struct toolset *ts = tools_open(&o->t, &u, e);
    mem_free(kept);
    return ts;
}

bool talker_open(struct talker *t, const struct talk_opts *o, struct toolset *tools, const struct agent_ui *ui, struct term *asks, int deadline_ms,
                 struct err *e)
{
    *t = (struct talker){ .tools = tools };
    struct agent_opts lo = { .model = &t->model, .ui = *ui, .cancel = &t->cancel, .strict = o->strict, .min_confidence = o->min_confidence };
    if (!check(o, e) || !read_blanket(o->approve, &lo.blanket, e) || !(t->has_cancel = cancel_init(&t->cancel, e))) goto fail;
    if (!t->tools && !(t->tools = open_tools(o, asks, e))) goto fail;
    if (!open_model(t, o, e) || !open_transcript(t, o, e)) goto fail;
    lo.tools = t->tools;
    lo.tools_max = o->tools_max >= 0 ? (int)o->tools_max : t->remote ? TOOLS_USUAL : engine_tools_max(t->speaker.engine);
    lo.transcript = t->transcript;
    if (!read_limits(&lo.limits, o, toolset_limits(t->tools), deadline_ms, e)) goto fail;
    struct json *members = request_members(o);
    lo.request = members;
    t->loop = agent_open(&lo);
    json_free(members);
    if (o->resumes && !talker_resume(t, o, o->resume, e)) goto fail;
    if (!o->resumes) log_meta(t, o);
    if (o->system) agent_system(t->loop, o->system);
    for (int i = 0; i < o->attach.n; i++)
        if (!talker_attach(t, o->attach.item[i], e)) goto fail;
    return true;
fail:
    talker_close(t);
    return false;
}

void talker_close(struct talker *t)
{
    signal(SIGINT, SIG_DFL);
    agent_close(t->loop);
    transcript_close(t->transcript);
    toolset_close(t->tools);
    speaker_close(&t->speaker);
    remote_close(t->remote);
    if (t->has_cancel) cancel_done(&t->cancel);
    mem_free(t->transcript_path);
    str_done(&t->attached);
    json_free(t->past_meta);
    *t = (struct talker){ 0 };
}

static struct cancel *caught;
static atomic_int n_caught;

static void on_interrupt(int sig)
{
    atomic_fetch_add(&n_caught, 1);
    cancel_fire(caught);
}

int talker_interrupts(void) { return atomic_load(&n_caught); }

/* No SA_RESTART: a line that is being read is interrupted too. */
void talker_catch(struct talker *t)
{
    struct sigaction a = { .sa_handler = on_interrupt };
    caught = &t->cancel;
    sigaction(SIGINT, &a, NULL);
    if (isatty(STDIN_FILENO)) return;
    sigaction(SIGTERM, &a, NULL);
}
