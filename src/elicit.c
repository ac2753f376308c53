/* elicit.c -- an MCP server asks the user, on the terminal: who asks and why, then a line for each property.
 *
 * The message and the schema are text of strangers: nothing of them reaches the terminal raw, and nothing is sent
 * before the user says yes. An empty line takes the default, or leaves out what need not be given. */
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <unistd.h>

#include "talker.h"

static void show(struct term *t, const char *s)
{
    struct str safe = { 0 };
    result_escape(&safe, s, strlen(s));
    fputs(safe.p ? safe.p : "", t->side);
    str_done(&safe);
}

static bool is_required(const struct json *schema, const char *key)
{
    const struct json *list = json_get(schema, "required");
    for (size_t i = 0; i < json_len(list); i++)
        if (json_str_is(json_at(list, i), key)) return true;
    return false;
}

/* What may be chosen, if it is a choice: "enum", or "oneOf" with titles; of a list its items'. */
static void put_choices(struct str *out, const struct json *property)
{
    const struct json *items = json_get(property, "items"), *from = items ? items : property, *list = json_get(from, "enum");
    const struct json *titled = json_get(from, items ? "anyOf" : "oneOf");
    for (size_t i = 0; i < json_len(list); i++) {
        const char *s = json_str(json_at(list, i), NULL);
        if (s) str_fmt(out, "%s%s", out->len ? ", " : "", s);
    }
    for (size_t i = 0; i < json_len(titled); i++) {
        const char *s = json_str(json_get(json_at(titled, i), "const"), NULL), *title = json_str(json_get(json_at(titled, i), "title"), NULL);
        if (s) str_fmt(out, "%s%s%s%s%s", out->len ? ", " : "", s, title ? " (" : "", title ? title : "", title ? ")" : "");
    }
}

static void prompt(struct term *t, const char *key, const struct json *property, bool required)
{
    const char *about = json_str(json_get(property, "description"), NULL), *title = json_str(json_get(property, "title"), NULL);
    const char *type = json_str(json_get(property, "type"), NULL);
    struct str choices = { 0 }, otherwise = { 0 };
    put_choices(&choices, property);
    if (json_get(property, "default")) json_write(&otherwise, json_get(property, "default"), JSON_COMPACT);
    fputs("  ", t->side);
    show(t, title ? title : key);
    if (about) fputs(" - ", t->side), show(t, about);
    fputs(" (", t->side);
    show(t, choices.len ? choices.p : type ? type : "text");
    if (otherwise.len) fputs(", default ", t->side), show(t, otherwise.p);
    else if (!required) fputs(", may be empty", t->side);
    fputs("): ", t->side);
    fflush(t->side);
    str_done(&choices);
    str_done(&otherwise);
}

static struct json *as_list(const char *line)
{
    struct json *list = json_new_array();
    while (*line) {
        size_t n = strcspn(line, ","), from = strspn(line, " "), len = n > from ? n - from : 0;
        while (len && line[from + len - 1] == ' ') len--;
        if (len) json_push(list, json_new_strn(line + from, len));
        line += n + (line[n] == ',');
    }
    return list;
}

/* A line as a value of the property's type; NULL: it is none. */
static struct json *value_of(const struct json *property, const struct str *line)
{
    const struct json *type = json_get(property, "type");
    const char *s = line->p;
    if (json_str_is(type, "array")) return as_list(s);
    if (json_str_is(type, "boolean")) {
        bool yes = !strcmp(s, "y") || !strcmp(s, "yes") || !strcmp(s, "true"), no = !strcmp(s, "n") || !strcmp(s, "no") || !strcmp(s, "false");
        return yes || no ? json_new_bool(yes) : NULL;
    }
    if (json_str_is(type, "integer") || json_str_is(type, "number")) return json_parse(s, line->len, NULL);
    return json_new_strn(s, line->len);
}

/* False: the input has ended. */
static bool read_property(struct term *t, const struct json *schema, const char *key, const struct json *property, struct json *content)
{
    bool required = is_required(schema, key);
    for (;;) {
        struct str line = { 0 };
        struct err e = { 0 };
        prompt(t, key, property, required);
        bool ok = term_read_line(&line);
        bool empty = ok && !line.len;
        struct json *v = !ok ? NULL : empty ? json_copy(json_get(property, "default")) : value_of(property, &line);
        bool fits = v && schema_check(property, v, NULL, &e);
        str_done(&line);
        if (!ok) return false;
        if (fits) return json_set(content, key, v), true;
        json_free(v);
        if (empty && !v && !required) return true;
        fputs("  that does not fit", t->side);
        if (e.code) fputs(": ", t->side), show(t, e.msg);
        fputc('\n', t->side);
    }
}

/* True: yes. */
static bool wants(struct term *t, enum elicit *otherwise)
{
    for (;;) {
        struct str line = { 0 };
        fputs("answer? y yes, n no, q neither: ", t->side);
        fflush(t->side);
        bool ok = term_read_line(&line);
        char c = ok && line.len == 1 ? line.p[0] : 0;
        str_done(&line);
        if (c == 'y') return true;
        if (ok && c != 'n' && c != 'q') continue;
        *otherwise = c == 'n' ? ELICIT_DECLINE : ELICIT_CANCEL;
        return false;
    }
}

/* A page to open: its host stands alone, so that it is read. Nothing is opened by us. */
static enum elicit ask_page(struct term *t, const char *url)
{
    enum elicit otherwise = ELICIT_CANCEL;
    const char *host = strstr(url, "://") + 3;
    fprintf(t->side, "  it wants you to open a page of %.*s:\n  ", (int)strcspn(host, "/?#"), host);
    show(t, url);
    fputs("\n  y: I have been there, or go there now\n", t->side);
    return wants(t, &otherwise) ? ELICIT_ACCEPT : otherwise;
}

enum elicit term_elicit(void *term, const struct elicitation *q, struct json **content)
{
    struct term *t = term;
    enum elicit otherwise = ELICIT_CANCEL;
    term_end(t);
    fputs("MCP server ", t->side);
    show(t, q->server);
    fputs(" asks you: ", t->side);
    show(t, q->message);
    fputc('\n', t->side);
    if (q->url) return ask_page(t, q->url);
    if (!wants(t, &otherwise)) return otherwise;
    *content = json_new_object();
    for (struct json_iter it = json_iter(json_get(q->schema, "properties")); json_next(&it);)
        if (!read_property(t, q->schema, it.key, it.value, *content)) {
            json_free(*content);
            *content = NULL;
            return ELICIT_CANCEL;
        }
    return ELICIT_ACCEPT;
}

/* ---- signing in ---- */

/* $BROWSER URL, if there is one; nobody waits for it. */
static void open_browser(const char *url)
{
    const char *browser = getenv("BROWSER");
    char *argv[] = { (char *)(uintptr_t)browser, (char *)(uintptr_t)url, NULL };
    posix_spawn_file_actions_t act;
    pid_t pid;
    if (!browser || !*browser) return;
    posix_spawn_file_actions_init(&act);
    for (int i = 0; i < 3; i++) posix_spawn_file_actions_addopen(&act, i, "/dev/null", i ? O_WRONLY : O_RDONLY, 0);
    posix_spawnp(&pid, browser, &act, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&act);
}

bool term_sign_in(void *term, const char *server, const char *url)
{
    struct term *t = term;
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    term_end(t);
    fputs("MCP server ", t->side);
    show(t, server);
    fprintf(t->side, " wants you to sign in at %.*s. Open this page:\n", (int)strcspn(host, "/?#"), host);
    show(t, url);
    fputs("\n", t->side);
    fflush(t->side);
    open_browser(url);
    return true;
}
