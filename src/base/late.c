/* late.c -- libraries loaded on first use. They stay: what they registered at exit or in other threads would outlive them. */
#include <dlfcn.h>
#include <pthread.h>

#include "base/late.h"

static bool find_all(const struct late *l, void *lib, struct err *e)
{
    for (int i = 0; i < l->n; i++)
        if (!(l->at[i] = dlsym(lib, l->name[i])))
            return err_set(e, ERR_UNSUPPORTED, "%s of this machine has no %s", l->file, l->name[i]);
    return true;
}

bool late_load(struct late *l, struct err *e)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    void *lib = l->ready ? NULL : dlopen(l->file, RTLD_NOW | RTLD_LOCAL);
    if (lib) l->ready = find_all(l, lib, e);
    else if (!l->ready) err_set(e, ERR_UNSUPPORTED, "%s cannot be loaded: %s", l->file, dlerror());
    bool ready = l->ready;
    pthread_mutex_unlock(&lock);
    return ready;
}
