/* chat.c -- a request becomes a prompt: prepared by its dialect, rendered by a template.
 *
 *     request --prepare--> template variables --Jinja--> bytes, with whose they are
 *
 * The template is the model file's; where it carries none, or one that its family's tools have no place
 * in, one of our own (templates/NAME.jinja, linked into the library and compiled when first needed).
 * Markers in the template are trusted, everything that came from outside is not, so nothing a user
 * or a tool writes can open a turn or a call. */
#include "text/int.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- templates of our own -------------------------------------------------------------------- */

#define OWN_MOST 64

const char *template_own_name(size_t i) { return own_templates[i].name; }

static bool unknown_template(const char *name, struct err *e)
{
    struct str list = { 0 };
    for (size_t i = 0; own_templates[i].name; i++) str_fmt(&list, "%s%s", i ? ", " : "", own_templates[i].name);
    err_set(e, ERR_ARG, "template \"%.60s\" is neither a file nor one of ours; there are %s", name, list.p);
    str_done(&list);
    return false;
}

const struct jinja *template_own(const char *name, struct err *e)
{
    static struct jinja *_Atomic compiled[OWN_MOST];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    size_t i = 0;
    while (own_templates[i].name && strcmp(own_templates[i].name, name)) i++;
    if (!own_templates[i].name) {
        unknown_template(name, e);
        return NULL;
    }
    assert(i < OWN_MOST);
    struct jinja *j = atomic_load(&compiled[i]);
    if (j) return j;
    pthread_mutex_lock(&lock);
    if (!(j = atomic_load(&compiled[i])))
        atomic_store(&compiled[i], j = jinja_open(own_templates[i].text, own_templates[i].len, name, e));
    pthread_mutex_unlock(&lock);
    return j;
}

/* ---- rendering ------------------------------------------------------------------------------- */

static void set_text(struct json *vars, const char *key, const char *text)
{
    json_set(vars, key, json_new_str(text ? text : ""));
}

/* Whoever sends a request may set variables of the template, but not whose bytes are trusted. */
static void add_vars(struct json *vars, const struct dialect_request *r)
{
    for (struct json_iter it = json_iter(r->vars); json_next(&it);)
        if (!json_get(vars, it.key)) json_set(vars, it.key, json_share(it.value));
    set_text(vars, "bos_token", r->bos_token);
    set_text(vars, "eos_token", r->eos_token);
    json_set(vars, "add_generation_prompt", json_new_bool(r->add_generation_prompt));
}

bool template_render(const struct jinja *j, const struct dialect_request *r, struct prompt *out, struct err *e)
{
    struct json *vars = json_new_object();
    if (r->messages) json_set(vars, "messages", json_share(r->messages));
    if (r->tools) json_set(vars, "tools", json_share(r->tools));
    add_vars(vars, r);
    bool ok = jinja_render(j, vars, out, e);
    json_free(vars);
    return ok;
}

/* Was this family trained with tools, and has the model's template no place for those of the request? */
static bool lacks_tools(const struct dialect *d, const struct dialect_request *r)
{
    return json_len(r->tools) && strcmp(d->template_name, "json") && !jinja_needs(r->template)->tools;
}

bool dialect_render(const struct dialect *d, const struct dialect_request *r, struct prompt *out, struct err *e)
{
    struct dialect_request q = *r;
    if (q.template && lacks_tools(d, &q)) q.template = NULL;
    const struct jinja *j = q.template ? q.template : template_own(d->template_name, e);
    struct json *vars = j ? d->prepare(&q, e) : NULL;
    if (vars) add_vars(vars, &q);
    bool ok = vars && jinja_render(j, vars, out, e);
    json_free(vars);
    return ok;
}
