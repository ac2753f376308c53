/* points.c -- many questions: read from files, asked one after the other or several at once, judged in order.
 *
 * A benchmark is a table of three functions: is this line one of mine, what request does it make, was
 * this the right answer. Everything else is the same for all of them and lives here. A request that is
 * refused or fails is a wrong answer and counted as failed; when many in a row fail because nobody
 * answers at all, the run ends with that sentence instead of a score of 0.
 *
 * Threads: whoever asks may be several (one asker each, numbered); lines are judged by the caller's
 * thread, in their order, after all have been asked. */
#include <pthread.h>
#include <unistd.h>

#include "eval/int.h"

#define FAILS_IN_A_ROW 8                                              /* of those where nobody answers */

/* ---- lines ----------------------------------------------------------------------------------- */

void lines_push(struct lines *l, struct json *line)
{
    MEM_GROW(l->line, l->n, l->cap);
    l->line[l->n++] = line;
}

void lines_done(struct lines *l)
{
    for (int i = 0; i < l->n; i++) json_free(l->line[i]);
    mem_free(l->line);
    *l = (struct lines){ 0 };
}

static bool read_lines(struct lines *l, const struct str *text, int limit,
                       const struct benchmark *b, struct err *e)
{
    const char *p = text->p, *end = text->p + text->len;
    int before = l->n;
    for (int number = 1; p && p < end && (!limit || l->n - before < limit); number++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        bool blank = strspn(p, " \t\r\n") >= (size_t)(stop - p);
        struct json *line = blank ? NULL : json_parse(p, (size_t)(stop - p), e);
        if (line) lines_push(l, line);
        if (!blank && (!line || !b->check(line, e))) return err_in(e, "line %d", number);
        p = nl ? nl + 1 : end;
    }
    return l->n > before || err_set(e, ERR_FORMAT, "no lines");
}

bool lines_read(struct lines *l, const char *path, int limit, const struct benchmark *b,
                struct err *e)
{
    struct str text = { 0 };
    bool ok = file_read(path, &text, e);
    if (ok && !read_lines(l, &text, limit, b, e)) ok = err_in(e, "%s", path);
    str_done(&text);
    return ok;
}

/* ---- asking ---------------------------------------------------------------------------------- */

struct answer { struct message m; struct err e; bool ok; };

struct round {
    const struct benchmark *b; void *ctx;
    const struct lines *lines;
    const struct asking *a;
    struct answer *answer;                                            /* [lines] */
    pthread_mutex_t lock;                                             /* of what follows */
    int next, done, silent;                                           /* silent: answers in a row that nobody gave */
    bool stop, shown;
};
struct seat { struct round *r; int number; };

static bool nobody_there(const struct answer *a)
{
    return !a->ok && (a->e.code == ERR_IO || a->e.code == ERR_FULL);
}

/* The next line's number, -1 at the end. */
static int take(struct round *r)
{
    pthread_mutex_lock(&r->lock);
    int i = r->stop || r->next >= r->lines->n ? -1 : r->next++;
    pthread_mutex_unlock(&r->lock);
    return i;
}

static void give(struct round *r, const struct answer *a)
{
    pthread_mutex_lock(&r->lock);
    r->done++;
    r->silent = nobody_there(a) ? r->silent + 1 : 0;
    if (r->silent >= FAILS_IN_A_ROW) r->stop = true;
    if (r->shown)
        fprintf(stderr, "\r%d of %d\033[K%s", r->done, r->lines->n,
                r->done == r->lines->n || r->stop ? "\r\033[K" : "");
    pthread_mutex_unlock(&r->lock);
}

static void *ask_all(void *given)
{
    const struct seat *me = given;
    struct round *r = me->r;
    for (int i; (i = take(r)) >= 0;) {
        struct answer *a = &r->answer[i];
        struct json *body = r->b->request(r->ctx, r->lines->line[i]);
        a->ok = r->a->ask(r->a->ctx, me->number, body, &a->m, &a->e);
        give(r, a);
    }
    return NULL;
}

/* One asker is this thread; the others are threads of their own, which mostly wait for a socket. */
static void ask_together(struct round *r)
{
    int n = MAX(r->a->parallel, 1), started = 0;
    struct seat *seat = mem_zero((size_t)n * sizeof *seat);
    pthread_t *thread = mem_zero((size_t)n * sizeof *thread);
    for (int i = 0; i < n; i++) seat[i] = (struct seat){ r, i };
    while (started + 1 < n && !pthread_create(&thread[started], NULL, ask_all, &seat[started + 1]))
        started++;
    ask_all(&seat[0]);
    for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
    mem_free(thread);
    mem_free(seat);
}

/* ---- judging --------------------------------------------------------------------------------- */

struct tally *tally_of(struct eval_report *r, const char *kind)
{
    for (int i = 0; i < r->n_kind; i++)
        if (!strncmp(r->kind[i].kind, kind, sizeof r->kind[i].kind - 1)) return &r->kind[i];
    MEM_GROW(r->kind, r->n_kind, r->cap_kind);
    struct tally *t = &r->kind[r->n_kind++];
    *t = (struct tally){ 0 };
    snprintf(t->kind, sizeof t->kind, "%s", kind);
    return t;
}

static void keep_answer(struct file_out *out, const struct json *line, const char *kind,
                        const struct answer *a, struct verdict v)
{
    struct json *o = json_new_object();
    struct str s = { 0 };
    if (json_get(line, "id")) json_set(o, "id", json_copy(json_get(line, "id")));
    json_set(o, "kind", json_new_str(kind));
    json_set(o, "exact", json_new_bool(v.valid));
    if (!v.valid) json_set(o, "why", json_new_str(a->ok ? v.error : a->e.msg));
    json_set(o, "message", message_json(&a->m));
    json_write(&s, o, JSON_COMPACT);
    str_putc(&s, '\n');
    file_out_put(out, s.p, s.len);
    str_done(&s);
    json_free(o);
}

static void count(struct eval_report *r, const char *kind, const struct answer *a, bool right)
{
    struct tally *both[] = { &r->all, tally_of(r, kind) };
    for (size_t i = 0; i < LEN(both); i++) {
        both[i]->n++;
        both[i]->exact += right;
        both[i]->failed += !a->ok;
    }
    r->mean_ms += a->m.timing.total_ms;
}

static void judge_all(struct round *r, struct file_out *out, struct eval_report *report)
{
    for (int i = 0; i < r->lines->n; i++) {
        const struct json *line = r->lines->line[i];
        const struct answer *a = &r->answer[i];
        const char *kind = json_str(json_get(line, r->b->kind), NULL);
        struct verdict v = r->b->judge(r->ctx, line, a->ok ? &a->m : NULL);
        count(report, kind, a, v.valid);
        if (out) keep_answer(out, line, kind, a, v);
    }
    report->mean_ms /= MAX(report->all.n, 1);
}

static bool finish(struct round *r, struct eval_report *report, struct err *e)
{
    struct file_out file = { 0 };
    bool ok = !r->a->out || file_out_open(&file, r->a->out, e);
    if (ok) judge_all(r, r->a->out ? &file : NULL, report);
    if (ok && r->a->out) ok = file_out_commit(&file, e);
    if (!ok) file_out_abort(&file);
    return ok;
}

bool points_run(const struct benchmark *b, void *ctx, const struct lines *lines,
                const struct asking *a, struct eval_report *report, struct err *e)
{
    struct round r = { .b = b,
                       .ctx = ctx,
                       .lines = lines,
                       .a = a,
                       .lock = PTHREAD_MUTEX_INITIALIZER,
                       .shown = a->progress && isatty(2) };
    bool ok = true;
    *report = (struct eval_report){ .all = { .kind = "all" } };
    r.answer = mem_zero((size_t)MAX(lines->n, 1) * sizeof *r.answer);
    ask_together(&r);
    for (int i = 0; r.stop && ok && i < r.next; i++)
        if (nobody_there(&r.answer[i]) && r.answer[i].e.msg[0]) {
            *e = r.answer[i].e;
            ok = err_in(e, "%d requests in a row were not answered", FAILS_IN_A_ROW);
        }
    ok = ok && finish(&r, report, e);
    for (int i = 0; i < lines->n; i++) message_done(&r.answer[i].m);
    mem_free(r.answer);
    if (!ok) eval_report_done(report);
    return ok;
}

/* ---- what requests and calls have in common ---------------------------------------------------- */

struct json *point_request(const struct json *messages, struct json *tools, int max_tokens)
{
    struct json *body = json_new_object();
    json_set(body, "messages", json_copy(messages));
    if (json_len(tools)) json_set(body, "tools", tools);
    else json_free(tools);
    json_set(body, "temperature", json_new_int(0));
    json_set(body, "max_tokens", json_new_int(max_tokens));
    return body;
}

struct json *point_calls(const struct message *m, bool must_fit)
{
    struct json *list = json_new_array();
    for (int i = 0; i < m->n_call; i++) {
        const struct message_call *c = &m->call[i];
        struct json *args = json_parse(c->args.p ? c->args.p : "", c->args.len, NULL), *o = NULL;
        bool fine = args && !c->incomplete && (c->schema_ok || !must_fit);
        if (fine) json_set(o = json_new_object(), c->name, args);
        else json_free(args);
        json_push(list, o ? o : json_new_null());                     /* still a call, never a right one */
    }
    return list;
}
