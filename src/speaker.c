/* speaker.c -- joins what the rooms may not join themselves: a file, a pool, the kernels, the
 * engine. Used by the verbs that generate and by the public API; knows no command line. */
#include "speaker.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

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

/* "FILE=0.5": only a number behind the last = is a scale; file names may hold one too. */
static struct str file_of(const char *spec, double *scale)
{
    const char *eq = strrchr(spec, '=');
    char *end = NULL;
    double v = eq ? strtod(eq + 1, &end) : 1;
    bool has = eq && end != eq + 1 && !*end && isfinite(v);
    struct str file = { 0 };
    *scale = has ? v : 1;
    str_put(&file, spec, has ? (size_t)(eq - spec) : strlen(spec));
    return file;
}

bool speaker_adapters(struct speaker *s, const struct model *m, const char *const *spec, int n, struct err *e)
{
    s->lora = mem_zero((size_t)MAX(n, 1) * sizeof *s->lora);
    s->lora_file = mem_zero((size_t)MAX(n, 1) * sizeof *s->lora_file);
    for (; s->n_lora < n; s->n_lora++) {
        double scale;
        struct str file = file_of(spec[s->n_lora], &scale);
        struct gguf *g = gguf_open(file.p ? file.p : "", e);
        struct adapter *a = g ? adapter_open(m, g, e) : NULL;
        str_done(&file);
        if (!a) {
            gguf_close(g);
            return false;
        }
        s->lora_file[s->n_lora] = g;
        s->lora[s->n_lora] = (struct lora_use){ a, (float)scale };
    }
    return true;
}

bool speaker_adapt(struct speaker *s, const char *const *spec, int n, struct err *e)
{
    if (!speaker_adapters(s, engine_model(s->engine), spec, n, e)) return false;
    engine_adapt(s->engine, s->lora, n);
    return true;
}

void speaker_close(struct speaker *s)
{
    for (int i = 0; i < s->n_lora; i++) {
        adapter_close((struct adapter *)(uintptr_t)s->lora[i].a);
        gguf_close(s->lora_file[i]);
    }
    mem_free(s->lora);
    mem_free(s->lora_file);
    engine_close(s->engine);
    cpu_ops_close(s->ops);
    pool_close(s->pool);
    gguf_close(s->g);
    *s = (struct speaker){ 0 };
}
