/* function.c -- tools inside this process: a callback of whoever embeds us.
 *
 * The callback runs on a thread of its own and answers through a handle, during the call or later, from any thread.
 * Nobody can stop it; so when its time is over, or the user cancels, the loop goes on without it, and the answer
 * that comes later is dropped. The handle lives until both sides are done with it. */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "agent/int.h"

struct function { tool_fn *fn; void *user; };
struct tool_reply {
    pthread_mutex_t lock;
    pthread_cond_t came;
    int owners;                                                       /* who waits, who answers */
    bool done, is_error;
    struct str text;
    struct function f;
    char *args;
};

static void reply_drop(struct tool_reply *r)
{
    pthread_mutex_lock(&r->lock);
    bool last = --r->owners == 0;
    pthread_mutex_unlock(&r->lock);
    if (!last) return;
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->came);
    str_done(&r->text);
    mem_free(r->args);
    mem_free(r);
}

void tool_reply_send(struct tool_reply *r, const char *text, size_t len, bool is_error)
{
    pthread_mutex_lock(&r->lock);
    str_put(&r->text, text ? text : "", text ? len : 0);
    r->is_error = is_error;
    r->done = true;
    pthread_cond_signal(&r->came);
    pthread_mutex_unlock(&r->lock);
    reply_drop(r);
}

static void *call_it(void *reply)
{
    struct tool_reply *r = reply;
    r->f.fn(r->f.user, r->args, r);
    reply_drop(r);
    return NULL;
}

/* Until the answer, the end of time, or the switch: looked at twenty times a second. */
static void wait_for(struct tool_reply *r, const struct invocation *c, uint64_t until)
{
    while (!r->done && clock_ns() < until && !cancel_is_on(c->cancel)) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_nsec += 50000000;
        if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
        pthread_cond_timedwait(&r->came, &r->lock, &t);
    }
}

static void function_invoke(struct tool *t, const struct invocation *c, struct tool_result *out)
{
    pthread_t thread;
    struct tool_reply *r = mem_zero(sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->came, NULL);
    r->f = *(struct function *)t->ctx;
    r->owners = 3;                                                    /* this one, the thread, the answer */
    r->args = mem_zero(c->text.len + 1);
    memcpy(r->args, c->text.p, c->text.len);
    int rc = pthread_create(&thread, NULL, call_it, r);
    if (rc) {
        tool_fail(out, "The function could not be started: %s.", strerror(rc));
        r->owners = 1;
        reply_drop(r);
        return;
    }
    pthread_detach(thread);
    pthread_mutex_lock(&r->lock);
    wait_for(r, c, clock_ns() + (uint64_t)c->timeout_ms * 1000000u);
    bool done = r->done;
    if (done) str_put(&out->text, r->text.p ? r->text.p : "", r->text.len);
    out->is_error = r->is_error;
    pthread_mutex_unlock(&r->lock);
    if (!done && cancel_is_on(c->cancel)) tool_fail(out, "cancelled by the user");
    else if (!done) {
        tool_fail(out, "No answer within %d ms; try something else.", c->timeout_ms);
        out->transient = true;
    }
    reply_drop(r);
}

static void function_close(struct tool *t) { mem_free(t->ctx); }

bool toolset_function(struct toolset *ts, const struct json *definition, tool_fn *fn, void *user, struct err *e)
{
    const struct json *f = tool_function(definition);
    const char *name = json_str(json_get(f, "name"), NULL);
    if (!name) return err_set(e, ERR_ARG, "a tool's definition needs a name: {\"name\":…,\"description\":…,\"parameters\":…}");
    struct tool *t = tool_new(name, "function");
    t->policy = POLICY_ALLOW;
    t->invoke = function_invoke;
    t->close = function_close;
    t->ctx = mem_zero(sizeof(struct function));
    *(struct function *)t->ctx = (struct function){ fn, user };
    if (tool_configure(t, f, e)) return toolset_add(ts, t, e);
    tool_free(t);
    return false;
}
