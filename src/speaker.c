/* speaker.c -- joins what the rooms may not join themselves: a file, a pool, the kernels, the
 * engine. Used by the verbs that generate and by the public API; knows no command line. */
#include "speaker.h"

#include <limits.h>

#include "cpu/cpu.h"
#include "embed.h"

#define THREADS_MOST 1024

bool speaker_open(struct speaker *s, const char *path, const char *dialect, int64_t n_ctx,
                  int64_t n_thread, struct err *e)
{
    *s = (struct speaker){ 0 };
    if (n_thread < 0 || n_thread > THREADS_MOST)
        return err_set(e, ERR_ARG, "%lld threads: 1 to %d are accepted, 0 is one per core",
                       (long long)n_thread, THREADS_MOST);
    if (n_ctx < 0 || n_ctx > INT_MAX)
        return err_set(e, ERR_ARG, "context of %lld tokens: too many", (long long)n_ctx);
    s->g = path ? gguf_open(path, e) : embed_open(e);
    if (!s->g) return false;
    if (!(s->pool = pool_open((int)n_thread, e))) goto fail;
    if (!(s->ops = cpu_ops_open(s->pool, NULL, e))) goto fail;
    struct engine_opts o = {
        .dialect = dialect, .n_ctx = (int)n_ctx, .n_thread = pool_size(s->pool), .ops = s->ops};
    if (!(s->engine = engine_open(s->g, &o, e))) goto fail;
    return true;
fail:
    speaker_close(s);
    return false;
}

void speaker_close(struct speaker *s)
{
    engine_close(s->engine);
    cpu_ops_close(s->ops);
    pool_close(s->pool);
    gguf_close(s->g);
    *s = (struct speaker){ 0 };
}
