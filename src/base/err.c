/* err.c -- errors as sentences. The lowest layer says what is wrong, each layer above adds where:
 * "m.gguf: tensor 12 of 290: dtype 47 is unknown". The code maps once to an exit status and once to
 * an HTTP status; the message reaches the user unchanged. */
#include "base/base.h"

static const struct { const char *name; int exit_status, http_status; } codes[] = {
#define X(code, name, status, http) [code] = { name, status, http },
    ERR_LIST(X)
#undef X
};

static bool set(struct err *e, const char *tag, enum err_code c, const char *fmt, va_list ap)
{
    if (!e) return false;
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    e->msg[utf8_whole(e->msg, strlen(e->msg))] = 0;
    e->code = c;
    e->tag = tag;
    return false;
}

bool err_set(struct err *e, enum err_code c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set(e, NULL, c, fmt, ap);
    va_end(ap);
    return false;
}

bool err_as(struct err *e, const char *tag, enum err_code c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set(e, tag, c, fmt, ap);
    va_end(ap);
    return false;
}

bool err_at(struct err *e, const char *name)
{
    size_t n = strlen(name);
    bool there = e && !strncmp(e->msg, name, n) && e->msg[n] == ':';
    return there ? false : err_in(e, "%s", name);
}

bool err_in(struct err *e, const char *fmt, ...)
{
    if (!e) return false;
    char inner[sizeof e->msg];
    memcpy(inner, e->msg, sizeof inner);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : MIN((size_t)n, sizeof e->msg - 1);
    snprintf(e->msg + at, sizeof e->msg - at, ": %s", inner);
    e->msg[utf8_whole(e->msg, strlen(e->msg))] = 0;
    return false;
}

const char *err_name(enum err_code c)
{
    return codes[c].name;
}

int err_exit_status(enum err_code c)
{
    return codes[c].exit_status;
}

int err_http_status(enum err_code c)
{
    return codes[c].http_status;
}
