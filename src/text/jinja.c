/* jinja.c -- the door of the interpreter. */
#include "text/int.h"

struct jinja { char *text, *name; };

struct jinja *jinja_open(const char *text, size_t len, const char *name, struct err *e)
{
    struct jinja *j = mem_zero(sizeof *j);
    j->text = mem_zero(len + 1);
    memcpy(j->text, text, len);
    j->name = mem_str(name);
    return j;
}

void jinja_close(struct jinja *j)
{
    if (!j) return;
    mem_free(j->text);
    mem_free(j->name);
    mem_free(j);
}

const char *jinja_source(const struct jinja *j) { return j->text; }
