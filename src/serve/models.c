/* models.c -- names: of the model, and of the adapters beside it; adapters come and go while it serves.
 *
 * The scheduler holds the adapters; here are the rules of who may load what: names are those of tools,
 * none is a name of the model, paths stay below --lora-root (links followed), and when --max-loras are
 * there the one that was asked for longest ago and is idle makes room. Files are read by a helper thread. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "serve/models.h"

#define NAMES_MOST 256

struct used { char name[129]; uint64_t ns; };
struct models {
    char **name;
    int n_name; /* of the model; the first is said in answers */
    struct used used[NAMES_MOST];
    int n_used; /* when an adapter was last asked for */
};

const char *models_default(const struct server *sv) { return sv->models->name[0]; }

static bool is_base(const struct server *sv, const char *name)
{
    for (int i = 0; i < sv->models->n_name; i++)
        if (!strcmp(sv->models->name[i], name)) return true;
    return false;
}

static int adapters(struct server *sv, struct sched_adapter **out)
{
    *out = mem_alloc(NAMES_MOST * sizeof **out);
    return MIN(sched_adapters(sv->sched, *out, NAMES_MOST), NAMES_MOST);
}

static bool find_adapter(struct server *sv, const char *name, struct sched_adapter *out)
{
    struct sched_adapter *a;
    int n = adapters(sv, &a), i = 0;
    while (i < n && strcmp(a[i].name, name)) i++;
    if (i < n) *out = a[i];
    mem_free(a);
    return i < n;
}

static void touch(struct models *m, const char *name)
{
    int at = 0;
    while (at < m->n_used && strcmp(m->used[at].name, name)) at++;
    if (at == NAMES_MOST) return;
    if (at == m->n_used) snprintf(m->used[m->n_used++].name, sizeof m->used[0].name, "%s", name);
    m->used[at].ns = clock_ns();
}

static uint64_t last_used(const struct models *m, const char *name)
{
    for (int i = 0; i < m->n_used; i++)
        if (!strcmp(m->used[i].name, name)) return m->used[i].ns;
    return 0;
}

bool models_resolve(struct exchange *x, const struct json *body)
{
    const struct json *v = there(body, "model");
    struct sched_adapter a;
    size_t len = 0;
    const char *name = v ? json_str(v, &len) : models_default(x->sv);
    if (!name) {
        reply_error(x, 400, "invalid_type", "model", "model: must be a string");
        return false;
    }
    bool base = is_base(x->sv, name), adapter = !base && find_adapter(x->sv, name, &a);
    base |= !adapter && !strcmp(name, "default");                     /* what clients say that leave the choice to us */
    if (!base && !adapter && !x->sv->o->any_model) {
        reply_error(x, 404, "model_not_found", "model", "The model `%.200s` does not exist.", name);
        return false;
    }
    mem_free((char *)(uintptr_t)x->note.model);
    x->note.model = mem_str(name);
    if (adapter) {
        x->note.adapter = mem_str(name);
        touch(x->sv->models, name);
    }
    return true;
}

/* ---- listing ------------------------------------------------------------------------------------------ */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static struct json *meta(const struct server *sv)
{
    const struct model *m = engine_model(sv->engine);
    const struct model_config *c = model_config(m);
    struct json *o = json_new_object();
    json_set(o, "n_params", json_new_int((int64_t)model_n_param(m)));
    json_set(o, "n_ctx_train", json_new_int(c->n_ctx));
    json_set(o, "size", json_new_int((int64_t)model_step_bytes(m)));
    json_set(o, "vocab", json_new_int(tok_n_vocab(engine_tokenizer(sv->engine))));
    json_set(o, "arch", json_new_str(c->arch));
    return o;
}

static struct json *entry(const struct server *sv, const char *id, const char *root,
                          const char *parent)
{
    struct json *o = json_new_object();
    json_set(o, "id", json_new_str(id));
    json_set(o, "object", json_new_str("model"));
    json_set(o, "created", json_new_int(sv->started));
    json_set(o, "owned_by", json_new_str("tenon"));
    json_set(o, "root", json_new_str(root));
    json_set(o, "parent", parent ? json_new_str(parent) : json_new_null());
    json_set(o, "max_model_len", json_new_int(engine_n_ctx(sv->engine)));
    if (!parent) json_set(o, "meta", meta(sv));
    return o;
}

static struct json *base_entry(const struct server *sv, const char *id)
{
    return entry(sv, id, sv->o->model_path ? base_name(sv->o->model_path) : models_default(sv),
                 NULL);
}

static struct json *adapter_entry(const struct server *sv, const struct sched_adapter *a)
{
    return entry(sv, a->name, base_name(a->path), models_default(sv));
}

void models_list(struct exchange *x)
{
    struct server *sv = x->sv;
    struct json *o = json_new_object(), *list = json_new_array();
    struct sched_adapter *a;
    int n = adapters(sv, &a);
    for (int i = 0; i < sv->models->n_name; i++)
        json_push(list, base_entry(sv, sv->models->name[i]));
    for (int i = 0; i < n; i++) json_push(list, adapter_entry(sv, &a[i]));
    mem_free(a);
    json_set(o, "object", json_new_str("list"));
    json_set(o, "data", list);
    reply_json(x, 200, o);
}

void models_get(struct exchange *x)
{
    struct sched_adapter a;
    if (is_base(x->sv, x->tail)) reply_json(x, 200, base_entry(x->sv, x->tail));
    else if (find_adapter(x->sv, x->tail, &a)) reply_json(x, 200, adapter_entry(x->sv, &a));
    else
        reply_error(x, 404, "model_not_found", "model", "The model `%.200s` does not exist.",
                    x->tail);
}

void lora_list(struct exchange *x)
{
    struct sched_adapter *a;
    int n = adapters(x->sv, &a);
    struct json *list = json_new_array();
    for (int i = 0; i < n; i++) {
        struct json *o = json_new_object();
        json_set(o, "id", json_new_int(i));
        json_set(o, "name", json_new_str(a[i].name));
        json_set(o, "path", json_new_str(base_name(a[i].path)));
        json_set(o, "scale", json_new_f64(a[i].scale));
        json_set(o, "in_use", json_new_int(a[i].in_use));
        json_push(list, o);
    }
    mem_free(a);
    reply_json(x, 200, list);
}

/* ---- loading ------------------------------------------------------------------------------------------- */

struct load { struct task task; char *name, *path; float scale; bool replace, ok; struct err e; };

static void load_done_free(struct load *l)
{
    mem_free(l->name);
    mem_free(l->path);
    mem_free(l);
}

static void load_work(struct task *t)
{
    struct load *l = (struct load *)(void *)t;
    l->ok = sched_adapter_load(t->sv->sched, l->name, l->path, l->scale, l->replace, &l->e);
}

/* One came: if there are too many now, the idle one that was asked for longest ago goes. */
static void evict(struct server *sv, const char *keep)
{
    struct sched_adapter *a;
    struct err e = { 0 };
    int n = adapters(sv, &a), oldest = -1;
    for (int i = 0; i < n; i++) {
        bool idle = !a[i].in_use && strcmp(a[i].name, keep);
        if (idle && (oldest < 0 ||
                     last_used(sv->models, a[i].name) < last_used(sv->models, a[oldest].name)))
            oldest = i;
    }
    if (n > sv->o->max_loras && oldest >= 0 && sched_adapter_unload(sv->sched, a[oldest].name, &e))
        log_line(LOG_INFO, "adapter_evicted name=%s", a[oldest].name);
    mem_free(a);
}

static void load_done(struct task *t)
{
    struct load *l = (struct load *)(void *)t;
    char text[256];
    int n = snprintf(text, sizeof text, "Success: LoRA adapter '%s' added successfully.", l->name);
    log_line(l->ok ? LOG_INFO : LOG_WARN, "adapter_load name=%s ok=%d why=\"%s\"", l->name, l->ok,
             l->ok ? "" : l->e.msg);
    if (l->ok) {
        touch(t->sv->models, l->name);
        evict(t->sv, l->name);
    }
    if (t->x && l->ok) reply_text(t->x, 200, "text/plain; charset=utf-8", text, (size_t)n);
    else if (t->x)
        reply_error(t->x, 400, l->e.tag ? l->e.tag : "invalid_adapter", NULL, "%s", l->e.msg);
    load_done_free(l);
}

static bool name_is_legal(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("_.-", s[i])) return false;
    return n >= 1 && n <= 128;
}

/* The path with links followed; NULL: it is not there, or not below the root. */
static char *confined(const struct server *sv, const char *path, struct err *e)
{
    const char *root = sv->o->lora_root ? sv->o->lora_root : ".";
    struct str joined = { 0 };
    if (path[0] != '/') str_fmt(&joined, "%s/", root);
    str_puts(&joined, path);
    char *base = realpath(root, NULL), *full = base ? realpath(joined.p, NULL) : NULL;
    size_t n = base ? strlen(base) : 0;
    int why = errno;
    str_done(&joined);
    bool inside =
        full && !strncmp(full, base, n) && (full[n] == '/' || !full[n] || !strcmp(base, "/"));
    if (!base) err_set(e, ERR_ARG, "--lora-root cannot be read");
    else if (!full && path[0] == '/' && strncmp(path, base, n))
        err_set(e, ERR_ARG, "lora_path: '%.200s' is not below the folder for adapters", path);
    else if (!full) err_set(e, ERR_ARG, "lora_path: '%.200s': %s", path, strerror(why));
    else if (!inside)
        err_set(e, ERR_ARG, "lora_path: '%.200s' is not below the folder for adapters", path);
    free(base);
    char *out = inside ? mem_str(full) : NULL;
    free(full);
    return out;
}

/* Is there room for one more, or an idle adapter that can make it? */
static bool may_come(struct server *sv, const char *name, struct err *e)
{
    struct sched_adapter *a;
    int n = adapters(sv, &a);
    bool ok = n < sv->o->max_loras;
    for (int i = 0; i < n; i++) ok |= !a[i].in_use || !strcmp(a[i].name, name);
    mem_free(a);
    return ok ||
           err_as(e, "adapter_in_use", ERR_ARG, "%d adapters are loaded and all are in use", n);
}

static bool check_load(struct exchange *x, const char *name, bool replace, struct err *e)
{
    struct sched_adapter a;
    if (!name_is_legal(name))
        return err_set(
            e, ERR_ARG,
            "lora_name: '%.40s' is not a name: 1 to 128 of A-Z a-z 0-9 _ . - are accepted", name);
    if (is_base(x->sv, name))
        return err_set(e, ERR_ARG, "lora_name: '%.128s' is the name of the model itself", name);
    if (!replace && find_adapter(x->sv, name, &a))
        return err_set(e, ERR_ARG, "The lora adapter '%s' has already been loaded.", name);
    return may_come(x->sv, name, e);
}

void lora_load(struct exchange *x)
{
    struct json *body = api_body(x);
    struct err e = { 0 };
    size_t n = 0, p = 0;
    bool replace = false;
    if (!body) return;
    const char *name = json_str(json_get(body, "lora_name"), &n),
               *path = json_str(json_get(body, "lora_path"), &p);
    const struct json *scale = there(body, "scale");
    double s = scale ? json_f64(scale) : 1;
    char *full = NULL;
    if (!take_bool(x, body, "load_inplace", &replace)) goto out;
    if (!n || !p || strlen(name) != n || strlen(path) != p)
        reply_error(x, 400, "missing_required_parameter", NULL,
                    "Both 'lora_name' and 'lora_path' must be provided.");
    else if (scale && (!json_is(scale, JSON_NUMBER) || !(s > -1000 && s < 1000)))
        reply_error(x, 400, "invalid_value", "scale", "scale: must be a number from -1000 to 1000");
    else if (!check_load(x, name, replace, &e) || !(full = confined(x->sv, path, &e)))
        reply_err(x, &e);
    else {
        struct load *l = mem_zero(sizeof *l);
        *l = (struct load){ .task = { .run = load_work, .done = load_done }, .name = mem_str(name), .path = full, .scale = (float)s, .replace = replace };
        aside_start(x->sv, x, &l->task);
    }
out:
    json_free(body);
}

void lora_unload(struct exchange *x)
{
    struct json *body = api_body(x);
    struct err e = { 0 };
    size_t n = 0;
    char text[256];
    if (!body) return;
    const char *name = json_str(json_get(body, "lora_name"), &n);
    bool by_id = there(body, "lora_int_id") != NULL;
    if (!n && by_id)
        reply_error(x, 400, "invalid_value", NULL, "The lora adapter 'None' cannot be found.");
    else if (!n)
        reply_error(x, 400, "missing_required_parameter", NULL,
                    "either 'lora_name' and 'lora_int_id' needs to be provided.");
    else if (!sched_adapter_unload(x->sv->sched, name, &e))
        reply_error(x, 400, "adapter_not_found", NULL, "The lora adapter '%.200s' cannot be found.",
                    name);
    else {
        int len = snprintf(text, sizeof text,
                           "Success: LoRA adapter '%.128s' removed successfully.", name);
        reply_text(x, 200, "text/plain; charset=utf-8", text, (size_t)len);
    }
    json_free(body);
}

/* ---- opening ----------------------------------------------------------------------------------------------- */

/* name=path or name=path=scale. */
static bool split_module(const char *spec, char **name, char **path, float *scale)
{
    const char *eq = strchr(spec, '='), *last = strrchr(spec, '=');
    char *end = NULL;
    if (!eq || eq == spec || !eq[1]) return false;
    double s = last != eq ? strtod(last + 1, &end) : 1;
    bool scaled = last != eq && end && !*end && end != last + 1;
    *scale = scaled ? (float)s : 1;
    size_t n = scaled ? (size_t)(last - eq - 1) : strlen(eq + 1);
    *name = mem_zero((size_t)(eq - spec) + 1);
    memcpy(*name, spec, (size_t)(eq - spec));
    *path = mem_zero(n + 1);
    memcpy(*path, eq + 1, n);
    return true;
}

static bool load_module(struct server *sv, const char *spec, struct err *e)
{
    char *name = NULL, *path = NULL;
    float scale;
    if (!split_module(spec, &name, &path, &scale))
        return err_set(e, ERR_ARG, "--lora-modules %.100s: NAME=PATH is accepted", spec);
    bool ok = name_is_legal(name) && !is_base(sv, name);
    if (!ok)
        err_set(e, ERR_ARG, "--lora-modules %.100s: '%.60s' is no name for an adapter here", spec,
                name);
    ok = ok && sched_adapter_load(sv->sched, name, path, scale, true, e);
    mem_free(name);
    mem_free(path);
    return ok;
}

static void add_name(struct models *m, const char *name, size_t n)
{
    m->name = mem_resize(m->name, (size_t)(m->n_name + 1) * sizeof *m->name);
    m->name[m->n_name] = mem_zero(n + 1);
    memcpy(m->name[m->n_name++], name, n);
}

struct models *models_open(struct server *sv, struct err *e)
{
    const struct serve_opts *o = sv->o;
    struct models *m = mem_zero(sizeof *m);
    sv->models = m;
    for (int i = 0; i < o->name.n; i++) add_name(m, o->name.item[i], strlen(o->name.item[i]));
    if (!m->n_name) {
        const char *file = o->model_path ? base_name(o->model_path) : "tenon";
        size_t n = strlen(file);
        add_name(m, *file ? file : "model",
                 n > 5 && !strcmp(file + n - 5, ".gguf") ? n - 5 : MAX(n, 1u));
    }
    for (int i = 0; i < o->lora.n; i++)
        if (!load_module(sv, o->lora.item[i], e)) {
            models_close(m);
            return sv->models = NULL;
        }
    return m;
}

void models_close(struct models *m)
{
    if (!m) return;
    for (int i = 0; i < m->n_name; i++) mem_free(m->name[i]);
    mem_free(m->name);
    mem_free(m);
}

/* SIGHUP: the adapters of the command line are read again, each by a helper. */
void models_rescan(struct server *sv)
{
    for (int i = 0; i < sv->o->lora.n; i++) {
        struct load *l = mem_zero(sizeof *l);
        *l = (struct load){ .task = { .run = load_work, .done = load_done }, .replace = true };
        if (split_module(sv->o->lora.item[i], &l->name, &l->path, &l->scale))
            aside_start(sv, NULL, &l->task);
        else load_done_free(l);
    }
}
