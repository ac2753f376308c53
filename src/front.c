/* front.c -- what several verbs do in the same way. */
#include "embed.h"
#include "front.h"

struct gguf *front_gguf(const char *path, struct err *e)
{
    return path ? gguf_open(path, e) : embed_open(e);
}

int front_fail(const char *verb, const struct err *e)
{
    fprintf(stderr, "tenon %s: %s\n", verb, e->msg);
    return err_exit_status(e->code);
}
