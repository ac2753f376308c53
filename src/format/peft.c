/* peft.c -- a folder that the PEFT library wrote, opened as if it were the GGUF adapter it amounts to.
 *
 * adapter_config.json says how much the pairs count, adapter_model.safetensors has them under the names of
 * the model's modules. Names are found in the tables of the model types; the second matrix of a pair is
 * turned like the matrix it belongs to. What PEFT can do beyond pairs for matrices is refused by name. */
#include <math.h>

#include "format/hf.h"

struct peft { struct safetensors *st; struct json *config; struct str head; struct arena text; struct slabs made; };

static void peft_close(void *ctx)
{
    struct peft *p = ctx;
    slabs_done(&p->made);
    str_done(&p->head);
    arena_done(&p->text);
    safetensors_close(p->st);
    json_free(p->config);
    mem_free(p);
}

/* ---- adapter_config.json ---------------------------------------------------------------------- */

static bool is_empty(const struct json *v)
{
    return !v || json_is(v, JSON_NULL) || (json_is(v, JSON_BOOL) && !json_bool(v)) || (json_is(v, JSON_OBJECT) && !json_len(v)) ||
           (json_is(v, JSON_ARRAY) && !json_len(v));
}

static bool read_config(const struct json *c, float *alpha, struct err *e)
{
    static const char *const none[] = { "use_dora", "fan_in_fan_out", "alpha_pattern", "modules_to_save", "lora_bias", "layers_to_transform" };
    const struct json *type = json_get(c, "peft_type"), *bias = json_get(c, "bias");
    if (!json_is(type, JSON_STRING) || strcmp(json_str(type, NULL), "LORA"))
        return err_set(e, ERR_UNSUPPORTED, "peft_type is not \"LORA\", the only kind that is supported");
    if (bias && (!json_is(bias, JSON_STRING) || strcmp(json_str(bias, NULL), "none")))
        return err_set(e, ERR_UNSUPPORTED, "bias is not \"none\"; adapters that change biases are not supported");
    for (size_t i = 0; i < LEN(none); i++)
        if (!is_empty(json_get(c, none[i]))) return err_set(e, ERR_UNSUPPORTED, "%s is set, which is not supported", none[i]);
    const struct json *a = json_get(c, "lora_alpha"), *r = json_get(c, "r"), *rs = json_get(c, "use_rslora");
    double v = json_is(a, JSON_NUMBER) ? json_f64(a) : NAN, rank = json_is(r, JSON_NUMBER) ? json_f64(r) : NAN;
    if (!(v > -1e6 && v < 1e6) || !(rank >= 1 && rank <= 4096))
        return err_set(e, ERR_FORMAT, "lora_alpha and r must be numbers, r from 1 to 4096");
    bool rooted = json_is(rs, JSON_BOOL) && json_bool(rs);
    if (rooted && !is_empty(json_get(c, "rank_pattern")))
        return err_set(e, ERR_UNSUPPORTED, "use_rslora and rank_pattern together are not supported");
    *alpha = (float)(rooted ? v * sqrt(rank) : v);                    /* what is divided by r later */
    return true;
}

/* ---- tensors ---------------------------------------------------------------------------------- */

/* "base_model.model.X.lora_A.weight" -> "X.weight"; NULL: another kind of name. */
static char *module_of(struct arena *a, const char *name, bool *is_b)
{
    static const char *const tails[] = { ".lora_A.weight", ".lora_B.weight", ".lora_A.default.weight", ".lora_B.default.weight" };
    if (!strncmp(name, "base_model.model.", 17)) name += 17;
    size_t n = strlen(name);
    for (size_t i = 0; i < LEN(tails); i++) {
        size_t k = strlen(tails[i]);
        if (n <= k || strcmp(name + n - k, tails[i])) continue;
        *is_b = i % 2;
        struct str s = { 0 };
        str_put(&s, name, n - k);
        str_puts(&s, ".weight");
        char *out = arena_str(a, s.p, s.len);
        str_done(&s);
        return out;
    }
    return NULL;
}

static void turn_rows(uint8_t *dst, const struct tensor *t, int head_dim)
{
    size_t row = t->bytes / (size_t)t->ne[1];
    for (int64_t r = 0; r < t->ne[1]; r++) memcpy(dst + (size_t)hf_turned(r, head_dim) * row, (const uint8_t *)t->data + (size_t)r * row, row);
}

static bool add(struct peft *p, size_t i, const char *arch, int head_dim, struct gguf_out *out, struct err *e)
{
    struct tensor t = *safetensors_tensor(p->st, i);
    bool is_b;
    int layer;
    const char *module = module_of(&p->text, t.name, &is_b);
    if (!module) return err_set(e, ERR_UNSUPPORTED, "tensor %s is neither lora_A nor lora_B of a matrix", t.name);
    const struct hf_row *row = hf_row_find(arch, module, &layer);
    if (!row) return err_set(e, ERR_FORMAT, "tensor %s: a model of architecture %s has no module of this name", t.name, arch);
    if (t.n_dim != 2) return err_set(e, ERR_FORMAT, "tensor %s has %d dimensions, must have 2", t.name, t.n_dim);
    if (is_b && row->flags & HF_PERMUTE) {
        if (head_dim < 2 || t.ne[1] % head_dim)
            return err_set(e, ERR_FORMAT, "tensor %s has %lld rows, must have a multiple of the %d of a head", t.name, (long long)t.ne[1], head_dim);
        void *made = slabs_add(&p->made, t.bytes, e);
        if (!made) return false;
        turn_rows(made, &t, head_dim);
        t.data = made;
    }
    struct str name = { 0 };
    str_fmt(&name, "%s%s", hf_spell(&p->text, row->gguf, layer, 0), is_b ? ".lora_b" : ".lora_a");
    t.name = arena_str(&p->text, name.p, name.len);
    str_done(&name);
    gguf_out_tensor(out, &t);
    return true;
}

static bool read_all(struct peft *p, const char *dir, const char *arch, int head_dim, struct gguf_out *out, struct err *e)
{
    float alpha = 0;
    struct str path = { 0 };
    str_fmt(&path, "%s/adapter_model.safetensors", dir);
    bool ok = hf_json(dir, "adapter_config.json", false, &p->config, e) &&
              (read_config(p->config, &alpha, e) || err_in(e, "%s/adapter_config.json", dir)) && (p->st = safetensors_open(path.p, e));
    if (ok) {
        gguf_out_str(out, "general.architecture", arch, strlen(arch));
        gguf_out_str(out, "general.type", "adapter", 7);
        gguf_out_str(out, "adapter.type", "lora", 4);
        gguf_out_f32(out, "adapter.lora.alpha", alpha);
        for (size_t i = 0; i < safetensors_n(p->st) && ok; i++) ok = add(p, i, arch, head_dim, out, e) || err_in(e, "%s", path.p);
    }
    str_done(&path);
    return ok;
}

struct gguf *gguf_open_peft(const char *dir, const char *arch, int head_dim, struct err *e)
{
    struct peft *p = mem_zero(sizeof *p);
    struct gguf_out *out = gguf_out_new();
    arena_init(&p->text, 0);
    struct gguf *g = read_all(p, dir, arch, head_dim, out, e) ? gguf_out_open(out, &p->head, dir, e) : NULL;
    gguf_out_free(out);
    if (g) {
        g->done = peft_close;
        g->done_ctx = p;
    } else peft_close(p);
    return g;
}
