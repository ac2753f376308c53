/* late.h -- functions of a library that most runs never need, found when the library is first wanted and not when the program
 * starts: libcurl and libmicrohttpd alone bring thirty-odd others, whose loading takes longer than a small model's answer.
 *
 *     #define CURL_CALLS(X) X(curl_easy_init) X(curl_easy_perform)
 *     LATE(curl, CURL_FILE, CURL_CALLS)
 *     #define curl_easy_init late_curl.curl_easy_init
 *
 * Types come from the library's own header; the file is the soname the build found (tools/soname.sh). Where it found none
 * (CURL_FILE is not defined) the library is linked as any other, and none of this is used. */
#ifndef TENON_LATE_H
#define TENON_LATE_H

#include "base/base.h"

/* Loads file and finds its n functions by name, once, whoever comes first; at: n pointers, written before true is returned.
 * ERR_UNSUPPORTED: the machine has no such library, or an older one. */
struct late { const char *file; const char *const *name; void **at; int n; bool ready; };
bool late_load(struct late *l, struct err *e);

/* A struct late_LIB of pointers, and bool late_LIB_load(struct err *e), to be called before the first of them. */
#define LATE_MEMBER(f) __typeof__(f) *f;
#define LATE_NAME(f) #f,
#define LATE(lib, soname, CALLS)                                                                                       \
    static struct { CALLS(LATE_MEMBER) } late_##lib;                                                                   \
    static bool late_##lib##_load(struct err *e)                                                                       \
    {                                                                                                                  \
        static const char *const name[] = { CALLS(LATE_NAME) };                                                        \
        static struct late l = { soname, name, (void **)(void *)&late_##lib, LEN(name), false };                       \
        return late_load(&l, e);                                                                                       \
    }

#endif
