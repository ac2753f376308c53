/* speaker.c -- joins what the rooms may not join themselves: a file, a pool, the kernels, the
 * engine. Used by the verbs that generate and by the public API; knows no command line. */
#include "speaker.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "cpu/cpu.h"
#include "embed.h"

#define THREADS_MOST 1024

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
        struct gguf *g = adapter_file(m, file.p ? file.p : "", e);
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

static bool check(const struct speaker_opts *o, enum dtype *kv, struct err *e)
{
    if (o->n_thread < 0 || o->n_thread > THREADS_MOST)
        return err_set(e, ERR_ARG, "%lld threads: 1 to %d are accepted, 0 is one per core",
                       (long long)o->n_thread, THREADS_MOST);
    if (o->n_ctx < 0 || o->n_ctx > INT_MAX)
        return err_set(e, ERR_ARG, "context of %lld tokens: too many", (long long)o->n_ctx);
    *kv = o->kv_type ? dtype_find(o->kv_type) : DT_F16;
    return *kv != DT_NONE || err_set(e, ERR_ARG, "KV cache of type '%.40s': f32, f16, bf16 and q8_0 are accepted", o->kv_type);
}

bool speaker_open(struct speaker *s, const struct speaker_opts *o, struct err *e)
{
    *s = (struct speaker){ 0 };
    enum dtype kv;
    if (!check(o, &kv, e)) return false;
    unsigned flags = (o->no_mmap ? MAP_COPY : 0u) | (o->mlock ? MAP_LOCK : 0u);
    s->g = o->path ? gguf_open_as(o->path, flags, e) : embed_open(e);
    if (!s->g) return false;
    gguf_prefetch(s->g);                        /* while the tokenizer is made */
    if (!(s->pool = pool_open((int)o->n_thread, e))) goto fail;
    if (!(s->ops = cpu_ops_open(s->pool, NULL, e))) goto fail;
    struct engine_opts eo = { .dialect = o->dialect, .n_ctx = (int)o->n_ctx, .n_thread = pool_size(s->pool), .ops = s->ops, .kv = kv };
    if (!(s->engine = engine_open(s->g, &eo, e))) goto fail;
    if (!speaker_adapters(s, engine_model(s->engine), o->lora, o->n_lora, e)) goto fail;
    engine_adapt(s->engine, s->lora, s->n_lora);
    return true;
fail:
    speaker_close(s);
    return false;
}

static void close_adapters(struct speaker *s)
{
    for (int i = 0; i < s->n_lora; i++) {
        adapter_close((struct adapter *)(uintptr_t)s->lora[i].a);
        gguf_close(s->lora_file[i]);
    }
    mem_free(s->lora);
    mem_free(s->lora_file);
    s->lora = NULL;
    s->lora_file = NULL;
    s->n_lora = 0;
}

bool speaker_adapt(struct speaker *s, const char *const *spec, int n, struct err *e)
{
    struct speaker next = { 0 };
    bool ok = speaker_adapters(&next, engine_model(s->engine), spec, n, e);
    if (ok) {
        engine_adapt(s->engine, next.lora, next.n_lora);
        struct speaker was = *s;
        s->lora = next.lora;
        s->lora_file = next.lora_file;
        s->n_lora = next.n_lora;
        next = (struct speaker){ .lora = was.lora, .lora_file = was.lora_file, .n_lora = was.n_lora };
    }
    close_adapters(&next);
    return ok;
}

void speaker_close(struct speaker *s)
{
    close_adapters(s);
    engine_close(s->engine);
    cpu_ops_close(s->ops);
    pool_close(s->pool);
    gguf_close(s->g);
    *s = (struct speaker){ 0 };
}
