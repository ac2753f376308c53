/* quoted.h -- JSON in tables of tests: apostrophes for quotes keep them readable. */
#ifndef TENON_QUOTED_H
#define TENON_QUOTED_H

#include "test.h"

#include "base/json.h"

/* Owned by the caller; NULL, and the reason on stderr, if it is no JSON. */
static inline struct json *parse(const char *text)
{
    char *s = mem_str(text);
    for (char *p = s; *p; p++)
        if (*p == '\'') *p = '"';
    struct err e = { 0 };
    struct json *v = json_parse(s, strlen(s), &e);
    if (!v) fprintf(stderr, "%s: %s\n", text, e.msg);
    mem_free(s);
    return v;
}

#endif
