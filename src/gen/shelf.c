/* shelf.c -- adapters by name: loaded while others work, taken by jobs, gone when the last job is.
 *
 * A name stands for one adapter at a time. Unloading or replacing takes it off the shelf at once, so
 * that nobody new gets it; whoever holds it keeps it, and the last one to give it back closes it.
 * Opening a file takes long and needs no lock: only the list is guarded. The key of an adapter is made of
 * what the file holds and of its scale, so that what was computed with one is never taken for another's,
 * and is found again when the same file comes back. */
#include "gen/sched_int.h"

struct book {
    char name[129], path[512];
    float scale;
    uint64_t key;
    struct gguf *g;
    struct adapter *a;
    int refs;                                                         /* jobs, and one for standing on the shelf */
    struct book *next;
};

void shelf_init(struct shelf *s)
{
    *s = (struct shelf){ 0 };
    pthread_mutex_init(&s->lock, NULL);
}

static void book_close(struct book *b)
{
    if (!b) return;
    adapter_close(b->a);
    gguf_close(b->g);
    mem_free(b);
}

void shelf_done(struct shelf *s)
{
    while (s->first) {
        struct book *b = s->first;
        s->first = b->next;
        book_close(b);
    }
    pthread_mutex_destroy(&s->lock);
}

const struct adapter *book_adapter(const struct book *b) { return b->a; }
float       book_scale(const struct book *b) { return b->scale; }
uint64_t    book_key(const struct book *b) { return b->key; }
const char *book_name(const struct book *b) { return b->name; }

static bool name_fits(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-/:");
    return n && n <= 128 && !name[n];
}

/* What the adapter says: every tensor's name, shape and bytes. */
static uint64_t key_of(const struct gguf *g, float scale)
{
    uint64_t k = hash64(&scale, sizeof scale, 0);
    for (size_t i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor(g, i);
        k = hash64(t->name, strlen(t->name), k);
        k = hash64(t->ne, sizeof t->ne, k);
        k = hash64(t->data, t->bytes, k);
    }
    return k ? k : 1;
}

static struct book *book_open(const struct model *m, const char *name, const char *path, float scale, struct err *e)
{
    struct book *b = mem_zero(sizeof *b);
    snprintf(b->name, sizeof b->name, "%s", name);
    snprintf(b->path, sizeof b->path, "%s", path);
    b->scale = scale;
    b->refs = 1;
    if ((b->g = adapter_file(m, path, e)) && (b->a = adapter_open(m, b->g, e))) {
        b->key = key_of(b->g, scale);
        return b;
    }
    book_close(b);
    return NULL;
}

/* The place in the list that points at the name; at the end if it is not there. */
static struct book **find(struct shelf *s, const char *name)
{
    struct book **at = &s->first;
    while (*at && strcmp((*at)->name, name)) at = &(*at)->next;
    return at;
}

/* Lock held. Takes it off the list; returns it if nobody else has it. */
static struct book *take_off(struct book **at)
{
    struct book *b = *at;
    *at = b->next;
    return --b->refs ? NULL : b;
}

static bool loaded_already(const char *name, struct err *e)
{
    return err_set(e, ERR_ARG, "The lora adapter '%.128s' has already been loaded.", name);
}

bool shelf_load(struct shelf *s, const struct model *m, const char *name, const char *path, float scale, bool replace, struct err *e)
{
    if (!name_fits(name))
        return err_set(e, ERR_ARG, "lora_name: 1 to 128 letters, digits and any of _.-/: are accepted");
    if (!(scale > -1e6f && scale < 1e6f)) return err_set(e, ERR_ARG, "scale: must be a number");
    pthread_mutex_lock(&s->lock);
    bool have = *find(s, name);
    pthread_mutex_unlock(&s->lock);
    if (have && !replace) return loaded_already(name, e);
    struct book *b = book_open(m, name, path, scale, e), *old = NULL;
    if (!b) return false;
    pthread_mutex_lock(&s->lock);
    struct book **at = find(s, name);
    have = *at;
    if (have && replace) old = take_off(at);
    if (!have || replace) {
        at = &s->first;
        while (*at) at = &(*at)->next;
        *at = b;
        b = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    book_close(old);
    if (!b) return true;
    book_close(b);                                                    /* another thread was quicker */
    return loaded_already(name, e);
}

bool shelf_unload(struct shelf *s, const char *name, struct err *e)
{
    pthread_mutex_lock(&s->lock);
    struct book **at = find(s, name), *old = NULL;
    bool have = *at;
    if (have) old = take_off(at);
    pthread_mutex_unlock(&s->lock);
    book_close(old);
    return have || err_set(e, ERR_ARG, "The lora adapter '%.128s' cannot be found.", name);
}

struct book *shelf_take(struct shelf *s, const char *name, struct err *e)
{
    pthread_mutex_lock(&s->lock);
    struct book *b = *find(s, name);
    if (b) b->refs++;
    pthread_mutex_unlock(&s->lock);
    if (!b) err_set(e, ERR_ARG, "The lora adapter '%.128s' cannot be found.", name);
    return b;
}

void shelf_give(struct shelf *s, struct book *b)
{
    if (!b) return;
    pthread_mutex_lock(&s->lock);
    bool last = --b->refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (last) book_close(b);
}

int shelf_list(struct shelf *s, struct sched_adapter *out, int cap)
{
    int n = 0;
    pthread_mutex_lock(&s->lock);
    for (const struct book *b = s->first; b; b = b->next, n++) {
        if (n >= cap) continue;
        out[n] = (struct sched_adapter){ .scale = b->scale, .in_use = b->refs - 1 };
        memcpy(out[n].name, b->name, sizeof b->name);
        memcpy(out[n].path, b->path, sizeof b->path);
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}
