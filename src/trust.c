/* trust.c -- tools of the folder one happens to be in, ./.tenon/tools.json, and the user's consent to them.
 *
 * To read such a file is to run what it says: servers are started, commands offered. So it is read only if its
 * content (SHA-256) was agreed to, in this folder; another content is another question. Agreed to by `tenon tools
 * trust`, or when the terminal asks, which shows the file first. What is agreed to is kept in the state folder. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "talker.h"

#define SHOWN_MOST 4000

/* {"/folder": "hash"}; owned. */
static struct json *read_agreed(const char *path)
{
    struct err ignored = { 0 };
    struct json *v = file_exists(path) ? json_read(path, &ignored) : NULL;
    if (json_is(v, JSON_OBJECT)) return v;
    json_free(v);
    return json_new_object();
}

static bool agree(const char *path, const char *folder, const char *hash, struct err *e)
{
    struct json *v = read_agreed(path);
    struct str s = { 0 };
    json_set(v, folder, json_new_str(hash));
    json_write(&s, v, JSON_PRETTY);
    bool ok = file_write(path, s.p, s.len, e);
    str_done(&s);
    json_free(v);
    return ok;
}

static bool ask(struct term *t, const char *folder, const struct str *text, bool changed)
{
    struct str shown = { 0 }, line = { 0 };
    result_escape(&shown, text->p ? text->p : "", utf8_whole(text->p ? text->p : "", MIN(text->len, (size_t)SHOWN_MOST)));
    fprintf(t->side, "%s/.tenon/tools.json %s:\n", folder, changed ? "has changed since it was trusted" : "offers tools");
    for (const char *p = shown.p ? shown.p : ""; *p; p++) fputs(!strncmp(p, "\\x0a", 4) ? (p += 3, "\n") : (char[]){ *p, 0 }, t->side);
    if (text->len > SHOWN_MOST) fprintf(t->side, "\n(and %zu bytes more)", text->len - SHOWN_MOST);
    fputs("\nTo use it is to run what it says. Trust it? y: yes, n: no: ", t->side);
    fflush(t->side);
    bool yes = term_read_line(&line) && line.p && !strcmp(line.p, "y");
    str_done(&shown);
    str_done(&line);
    return yes;
}

/* The folder's real name and its file's content. False: there is no such file. */
static bool look(const char *dir, char folder[PATH_MAX], struct str *path, struct str *text, struct err *e)
{
    str_fmt(path, "%s/.tenon/tools.json", dir);
    if (!realpath(dir, folder)) return err_set(e, ERR_IO, "%s: %s", dir, strerror(errno));
    return file_exists(path->p) ? file_read(path->p, text, e) : err_set(e, ERR_IO, "%s does not exist", path->p);
}

char *trust_local(struct term *asks)
{
    struct str path = { 0 }, text = { 0 };
    struct err e = { 0 };
    char folder[PATH_MAX], hash[65] = "", *agreed = NULL;
    bool is_there = look(".", folder, &path, &text, &e), yes = false;
    if (is_there) {
        agreed = state_path("trusted.json");
        struct json *v = agreed ? read_agreed(agreed) : json_new_object();
        const struct json *was = json_get(v, folder);
        sha256_hex(text.p ? text.p : "", text.len, hash);
        yes = json_str_is(was, hash);
        if (!yes && asks && ask(asks, folder, &text, was != NULL)) {
            yes = true;
            if (!agreed || !agree(agreed, folder, hash, &e)) fprintf(stderr, "tenon: trusted for now only: %s\n", agreed ? e.msg : "there is no folder for state");
        } else if (!yes && !asks)
            fprintf(stderr, "tenon: .tenon/tools.json is not read: %s (tenon tools trust)\n", was ? "it has changed since it was trusted" : "nobody has said that it is trusted");
        json_free(v);
    }
    str_done(&text);
    mem_free(agreed);
    if (yes) return str_take(&path);
    str_done(&path);
    return NULL;
}

bool trust_folder(const char *dir, struct err *e)
{
    struct str path = { 0 }, text = { 0 };
    char folder[PATH_MAX], hash[65], *agreed = state_path("trusted.json");
    bool ok = look(dir, folder, &path, &text, e);
    if (ok) sha256_hex(text.p ? text.p : "", text.len, hash);
    if (ok && !agreed) ok = err_set(e, ERR_IO, "there is no folder for state ($XDG_STATE_HOME)");
    ok = ok && agree(agreed, folder, hash, e);
    if (ok) printf("%s is trusted as it is now (sha256 %s)\n", path.p, hash);
    mem_free(agreed);
    str_done(&path);
    str_done(&text);
    return ok;
}
