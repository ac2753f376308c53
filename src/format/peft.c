/* peft.c -- a folder that the PEFT library wrote, opened as if it were the GGUF adapter it amounts to.
 *
 * adapter_config.json says how much the pairs count, adapter_model.safetensors has them under the names of
 * the model's modules. Names are found in the tables of the model types; the second matrix of a pair is
 * turned like the matrix it belongs to. A GGUF adapter has one alpha; where a module has its own, its second
 * matrix is scaled to make up for it. What PEFT can do beyond pairs for matrices is refused by name. */
#include <math.h>

#include "format/hf.h"

struct peft {
    struct safetensors *st;
    struct json *config;
    struct str head;
    struct arena text;
    struct slabs made;
    double alpha; bool rooted;                                        /* lora_alpha; divided by sqrt(r) instead of r */
    float header;                                                     /* alpha as the GGUF file says it, for all */
};

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

static bool is_alpha(const struct json *v)
{
    return json_is(v, JSON_NUMBER) && json_f64(v) > -1e6 && json_f64(v) < 1e6;
}

/* Keys are regular expressions there; plain names are all that is ever seen, and all that is taken. */
static bool check_patterns(const struct json *patterns, struct err *e)
{
    if (is_empty(patterns)) return true;
    if (!json_is(patterns, JSON_OBJECT)) return err_set(e, ERR_FORMAT, "alpha_pattern is no object");
    for (struct json_iter it = json_iter(patterns); json_next(&it);) {
        if (strpbrk(it.key, "^$*+?()[]{}|\\"))
            return err_set(e, ERR_UNSUPPORTED, "alpha_pattern has the key %.60s; only ends of module names are supported", it.key);
        if (!is_alpha(it.value)) return err_set(e, ERR_FORMAT, "alpha_pattern: %.60s is no number between -1e6 and 1e6", it.key);
    }
    return true;
}

static bool read_config(struct peft *p, struct err *e)
{
    static const char *const none[] = { "use_dora", "fan_in_fan_out", "modules_to_save", "lora_bias", "layers_to_transform" };
    const struct json *c = p->config, *type = json_get(c, "peft_type"), *bias = json_get(c, "bias");
    if (!json_is(type, JSON_STRING) || strcmp(json_str(type, NULL), "LORA"))
        return err_set(e, ERR_UNSUPPORTED, "peft_type is not \"LORA\", the only kind that is supported");
    if (bias && (!json_is(bias, JSON_STRING) || strcmp(json_str(bias, NULL), "none")))
        return err_set(e, ERR_UNSUPPORTED, "bias is not \"none\"; adapters that change biases are not supported");
    for (size_t i = 0; i < LEN(none); i++)
        if (!is_empty(json_get(c, none[i]))) return err_set(e, ERR_UNSUPPORTED, "%s is set, which is not supported", none[i]);
    const struct json *a = json_get(c, "lora_alpha"), *r = json_get(c, "r"), *rs = json_get(c, "use_rslora");
    double rank = json_is(r, JSON_NUMBER) ? json_f64(r) : NAN;
    if (!is_alpha(a) || !(rank >= 1 && rank <= 4096)) return err_set(e, ERR_FORMAT, "lora_alpha and r must be numbers, r from 1 to 4096");
    p->alpha = json_f64(a);
    p->rooted = json_is(rs, JSON_BOOL) && json_bool(rs);
    p->header = (float)(p->rooted ? p->alpha * sqrt(rank) : p->alpha); /* what is divided by r later */
    return check_patterns(json_get(c, "alpha_pattern"), e);
}

/* What the second matrix of a pair of rank r must be multiplied with, since the file has one alpha for all. */
static double correction(const struct peft *p, const char *module, int64_t r)
{
    double alpha = p->alpha;
    size_t n = strlen(module) - 7;                                    /* without .weight */
    for (struct json_iter it = json_iter(json_get(p->config, "alpha_pattern")); json_next(&it);) {
        size_t k = it.key_len;
        if (k <= n && !memcmp(module + n - k, it.key, k) && (k == n || module[n - k - 1] == '.')) {
            alpha = json_f64(it.value);
            break;
        }
    }
    double wanted = p->rooted ? alpha * sqrt((double)r) : alpha;
    return p->header != 0 ? wanted / (double)p->header : 1;
}

/* ---- tensors ---------------------------------------------------------------------------------- */

enum { OF_A, OF_B, OF_TOKENS_A, OF_TOKENS_B };
/* "base_model.model.X.lora_A.weight" -> "X.weight"; NULL: another kind of name. */
static char *module_of(struct arena *a, const char *name, int *kind)
{
    static const struct { const char *tail; int kind; } rows[] = {
        { ".lora_A.weight", OF_A },         { ".lora_B.weight", OF_B },
        { ".lora_A.default.weight", OF_A }, { ".lora_B.default.weight", OF_B },
        { ".lora_embedding_A", OF_TOKENS_A }, { ".lora_embedding_B", OF_TOKENS_B },
        { ".lora_embedding_A.default", OF_TOKENS_A }, { ".lora_embedding_B.default", OF_TOKENS_B },
    };
    if (!strncmp(name, "base_model.model.", 17)) name += 17;
    size_t n = strlen(name);
    for (size_t i = 0; i < LEN(rows); i++) {
        size_t k = strlen(rows[i].tail);
        if (n <= k || strcmp(name + n - k, rows[i].tail)) continue;
        *kind = rows[i].kind;
        struct str s = { 0 };
        str_put(&s, name, n - k);
        str_puts(&s, ".weight");
        char *out = arena_str(a, s.p, s.len);
        str_done(&s);
        return out;
    }
    return NULL;
}

/* How the numbers of a tensor are changed on their way: rows turned as those of queries and keys, all of it turned on its
 * side, everything multiplied. */
struct change { int head_dim; bool transpose; double scale; };

static bool change(struct peft *p, struct tensor *t, const struct change *c, struct err *e)
{
    int64_t n_in = t->ne[0], n_out = t->ne[1];
    const struct dtype_info *d = dtype_info(t->dtype);
    size_t row = t->bytes / (size_t)n_out;
    float *made = slabs_add(&p->made, (size_t)(n_in * n_out) * sizeof *made, e), *x = made ? mem_alloc((size_t)n_in * sizeof *x) : NULL;
    if (!made) return false;
    for (int64_t r = 0; r < n_out; r++) {
        int64_t to = c->head_dim ? hf_turned(r, c->head_dim) : r;
        d->unpack((const uint8_t *)t->data + (size_t)r * row, x, (size_t)n_in);
        for (int64_t i = 0; i < n_in; i++) made[c->transpose ? i * n_out + r : to * n_in + i] = (float)(c->scale * (double)x[i]);
    }
    mem_free(x);
    if (c->transpose) t->ne[0] = n_out, t->ne[1] = n_in;
    t->data = made;
    t->dtype = DT_F32;
    t->bytes = (size_t)(n_in * n_out) * sizeof *made;
    return true;
}

static bool add(struct peft *p, size_t i, const char *arch, int head_dim, struct gguf_out *out, struct err *e)
{
    struct tensor t = *safetensors_tensor(p->st, i);
    int kind = OF_A, layer;
    const char *module = module_of(&p->text, t.name, &kind);
    if (!module) return err_set(e, ERR_UNSUPPORTED, "tensor %s is neither lora_A nor lora_B of a matrix", t.name);
    const struct hf_row *row = hf_row_find(arch, module, &layer);
    if (!row) return err_set(e, ERR_FORMAT, "tensor %s: a model of architecture %s has no module of this name", t.name, arch);
    if (t.n_dim != 2) return err_set(e, ERR_FORMAT, "tensor %s has %d dimensions, must have 2", t.name, t.n_dim);
    bool is_b = kind == OF_B || kind == OF_TOKENS_B, turn = kind == OF_B && row->flags & HF_PERMUTE;
    if (turn && (head_dim < 2 || t.ne[1] % head_dim))
        return err_set(e, ERR_FORMAT, "tensor %s has %lld rows, must have a multiple of the %d of a head", t.name, (long long)t.ne[1], head_dim);
    struct change c = { turn ? head_dim : 0, kind == OF_TOKENS_A, is_b ? correction(p, module, t.ne[0]) : 1 };
    if ((c.head_dim || c.transpose || c.scale != 1) && !change(p, &t, &c, e)) return false;
    struct str name = { 0 };
    str_fmt(&name, "%s%s", hf_spell(&p->text, row->gguf, layer, 0), is_b ? ".lora_b" : ".lora_a");
    t.name = arena_str(&p->text, name.p, name.len);
    str_done(&name);
    gguf_out_tensor(out, &t);
    return true;
}

static bool read_all(struct peft *p, const char *dir, const char *arch, int head_dim, struct gguf_out *out, struct err *e)
{
    struct str path = { 0 };
    str_fmt(&path, "%s/adapter_model.safetensors", dir);
    bool ok = hf_json(dir, "adapter_config.json", false, &p->config, e) &&
              (read_config(p, e) || err_in(e, "%s/adapter_config.json", dir)) && (p->st = safetensors_open(path.p, e));
    if (ok) {
        gguf_out_str(out, "general.architecture", arch, strlen(arch));
        gguf_out_str(out, "general.type", "adapter", 7);
        gguf_out_str(out, "adapter.type", "lora", 4);
        gguf_out_f32(out, "adapter.lora.alpha", p->header);
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
