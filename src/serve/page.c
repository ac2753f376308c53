/* page.c -- the playground: a page at / that asks this server, and the files it consists of.
 *
 * The files are in the binary as they lie in serve/page/ (page_files.S); nothing is made from them.
 * A browser keeps them and asks with their hash whether they are still the same. The page may run
 * its own scripts and ask its own server, nothing else: what a model or a tool says cannot become
 * code in it.
 *
 * No key is asked for here (the files are no secret, and a browser sends none when it opens a page);
 * the page sends one with what it asks. Not here: anything that runs a tool (hands.c). */
#include "serve/int.h"

#define PAGE(name, path) extern const char tenon_page_##name[], tenon_page_##name##_end[];
#include "serve/page_files.h"
#undef PAGE

static const struct part { const char *path, *start, *end; } parts[] = {
#define PAGE(name, path) { path, tenon_page_##name, tenon_page_##name##_end },
#include "serve/page_files.h"
#undef PAGE
};

/* Trusted types: text never becomes markup, whoever wrote it. */
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

static const char *type_of(const char *path)
{
    static const struct { const char *ending, *type; } types[] = {
        { ".html", "text/html; charset=utf-8" }, { ".css", "text/css; charset=utf-8" },
        { ".js", "text/javascript; charset=utf-8" }, { ".svg", "image/svg+xml" },
        { ".json", "application/json" },
    };
    for (size_t i = 0; i < LEN(types); i++)
        if (!strcmp(strrchr(path, '.'), types[i].ending)) return types[i].type;
    return "application/octet-stream";
}

static void send_part(struct exchange *x, const struct part *p)
{
    char tag[24];
    const char *known = exchange_header(x, "If-None-Match");
    size_t n = (size_t)(p->end - p->start);
    snprintf(tag, sizeof tag, "\"%016llx\"", (unsigned long long)hash64(p->start, n, 0));
    bool same = known && (!strcmp(known, "*") || strstr(known, tag));
    reply_header(x, "ETag", "%s", tag);
    reply_header(x, "Cache-Control", "no-cache");
    reply_header(x, "Content-Security-Policy", "%s", policy);
    reply_header(x, "X-Content-Type-Options", "nosniff");
    reply_header(x, "Referrer-Policy", "no-referrer");
    reply_header(x, "Cross-Origin-Opener-Policy", "same-origin");
    reply_header(x, "Cross-Origin-Resource-Policy", "same-origin");
    if (same) reply_text(x, 304, NULL, "", 0);
    else reply_text(x, 200, type_of(p->path), p->start, n);
}

void page_run(struct exchange *x)
{
    if (!x->sv->o->no_ui) send_part(x, &parts[0]);
    else
        reply_error(x, 404, "route_not_found", NULL,
                    "there is nothing at / (--no-ui); the API is below /v1");
}

void page_part(struct exchange *x)
{
    for (size_t i = 0; i < LEN(parts) && !x->sv->o->no_ui; i++)
        if (!strcmp(parts[i].path, x->tail)) {
            send_part(x, &parts[i]);
            return;
        }
    reply_error(x, 404, "route_not_found", NULL, "there is nothing at %.200s", x->path);
}
