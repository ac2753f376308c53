/* record.c -- what is kept of a conversation: one append-only row per event.
 *
 * The store is an SQLite file (mode 0600) with the sessions, their rows and a full-text index over what was said;
 * a name that ends in .jsonl writes the same rows as JSON Lines at once, without SQLite. Both give the same export:
 *
 *     {"session":3,"n":0,"time":1767225600.25,"kind":"message","body":{"role":"user","content":"…"}}
 *
 * Nothing is ever changed in it: that a question was taken back is one more row (recall.c reads them). Rows of kind
 * meta wait for the first of another kind, and those that say under which conditions one goes on for the next row, so that a
 * conversation in which nothing is said leaves no trace. A result
 * of more than 64 KiB lies in a file beside the store, and comes back in its place when the session is exported. Values of
 * ${env:NAME} are written as that name. A row that cannot be written is said once and does not end the conversation. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef TENON_SQLITE
#include <sqlite3.h>
#endif

#include "agent/int.h"

#define ASIDE ((size_t)64 << 10)            /* bytes of a result from which on it has a file of its own */

struct transcript {
    FILE *lines;                                                      /* JSON Lines */
    char *path;
    const struct toolset *secrets;                                    /* lent; NULL: none */
    struct json *held;                                                /* meta rows that wait */
#ifdef TENON_SQLITE
    sqlite3 *db;
    sqlite3_stmt *put, *words;
#endif
    long long session;
    int n;
    bool failed;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)(t.tv_nsec / 1000000) / 1e3;
}

static bool is_lines(const char *path)
{
    size_t n = strlen(path);
    return n > 6 && !strcmp(path + n - 6, ".jsonl");
}

static void put_line(struct str *out, long long session, long long n, double time, const char *kind, const char *body, size_t len)
{
    str_fmt(out, "{\"session\":%lld,\"n\":%lld,\"time\":%.3f,\"kind\":\"%s\",\"body\":", session, n, time, kind);
    str_put(out, body, len);
    str_puts(out, "}\n");
}

static bool open_lines(struct transcript *t, bool goes_on, struct err *e)
{
    struct str text = { 0 };
    if (goes_on && !file_read(t->path, &text, e)) return false;
    for (size_t i = 0; i < text.len; i++) t->n += text.p[i] == '\n';
    str_done(&text);
    int fd = open(t->path, O_WRONLY | O_CREAT | (goes_on ? O_APPEND : O_TRUNC) | O_CLOEXEC, 0600);
    t->lines = fd < 0 ? NULL : fdopen(fd, goes_on ? "a" : "w");
    t->session = 1;
    return t->lines || err_set(e, ERR_IO, "%s: %s", t->path, strerror(errno));
}

/* A copy without secrets. */
static struct json *hidden(const struct transcript *t, const struct json *v)
{
    struct json *out = NULL;
    if (json_is(v, JSON_STRING)) {
        struct str s = { 0 };
        size_t n = 0;
        const char *p = json_str(v, &n);
        str_put(&s, p, n);
        toolset_hide(t->secrets, &s);
        out = json_new_strn(s.p ? s.p : "", s.len);
        str_done(&s);
    } else if (json_is(v, JSON_ARRAY)) {
        out = json_new_array();
        for (size_t i = 0; i < json_len(v); i++) json_push(out, hidden(t, json_at(v, i)));
    } else if (json_is(v, JSON_OBJECT)) {
        out = json_new_object();
        for (struct json_iter it = json_iter(v); json_next(&it);) json_set(out, it.key, hidden(t, it.value));
    }
    return out ? out : json_copy(v);
}

/* ---- side files: FOLDER/SESSION-N.txt ---- */

#ifdef TENON_SQLITE
static void aside_path(struct str *out, const char *store, const char *name) { str_fmt(out, "%s.d%s%s", store, name ? "/" : "", name ? name : ""); }

/* {"text": …} becomes {"file": …, "bytes": n} where the text is long. False: it could not be written, and stays. */
static bool put_aside(const struct transcript *t, struct json *body)
{
    size_t n = 0;
    const char *text = json_str(json_get(body, "text"), &n);
    char name[64];
    struct str path = { 0 };
    struct err e = { 0 };
    if (n <= ASIDE) return true;
    aside_path(&path, t->path, NULL);
    bool ok = mkdir(path.p, 0700) == 0 || errno == EEXIST;
    snprintf(name, sizeof name, "%lld-%d.txt", t->session, t->n);
    str_clear(&path);
    aside_path(&path, t->path, name);
    ok = ok && file_write(path.p, text, n, &e) && !chmod(path.p, 0600);
    str_done(&path);
    if (!ok) return false;
    json_set(body, "file", json_new_str(name));
    json_set(body, "bytes", json_new_int((int64_t)n));
    json_unset(body, "text");
    return true;
}

/* The other way: a row that names a file, with the text in its place. */
static void put_back(const char *store, const char *body, size_t n, struct str *out)
{
    struct json *v = memmem(body, n, "\"file\":", 7) ? json_parse(body, n, NULL) : NULL;
    const char *name = json_str(json_get(v, "file"), NULL);
    struct str path = { 0 }, text = { 0 };
    struct err e = { 0 };
    if (name && !strchr(name, '/')) {
        aside_path(&path, store, name);
        if (!file_read(path.p, &text, &e)) str_fmt(&text, "[%s]", e.msg);
        json_set(v, "text", json_new_strn(text.p ? text.p : "", text.len));
        json_unset(v, "file");
        json_write(out, v, JSON_COMPACT);
    } else str_put(out, body, n);
    json_free(v);
    str_done(&path);
    str_done(&text);
}
#endif

#ifdef TENON_SQLITE
const char *transcript_sqlite(void) { return sqlite3_libversion(); }

static const char layout[] =
    "PRAGMA journal_mode=WAL; PRAGMA busy_timeout=5000;"
    "CREATE TABLE IF NOT EXISTS session(id INTEGER PRIMARY KEY, time REAL, title TEXT, model TEXT, tokens INTEGER DEFAULT 0);"
    "CREATE TABLE IF NOT EXISTS event(session INTEGER, n INTEGER, time REAL, kind TEXT, body TEXT, PRIMARY KEY(session, n)) WITHOUT ROWID;"
    "CREATE VIRTUAL TABLE IF NOT EXISTS said USING fts5(text, session UNINDEXED);";

static bool db_fail(sqlite3 *db, const char *path, struct err *e)
{
    return err_set(e, ERR_IO, "%s: %s", path, db ? sqlite3_errmsg(db) : "no memory");
}

static bool db_open(const char *path, int flags, sqlite3 **db, struct err *e)
{
    if (sqlite3_open_v2(path, db, flags, NULL) == SQLITE_OK) {
        sqlite3_busy_timeout(*db, 5000);
        return true;
    }
    db_fail(*db, path, e);
    sqlite3_close(*db);
    *db = NULL;
    return false;
}

static bool open_db(struct transcript *t, struct err *e)
{
    const char *path = t->path;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);          /* with its mode, before SQLite makes it */
    if (fd < 0) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    close(fd);
    if (!db_open(path, SQLITE_OPEN_READWRITE, &t->db, e)) return false;
    if (sqlite3_exec(t->db, layout, NULL, NULL, NULL) != SQLITE_OK) return db_fail(t->db, path, e);
    if (sqlite3_prepare_v2(t->db, "INSERT INTO event VALUES(?1,?2,?3,?4,?5)", -1, &t->put, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(t->db, "INSERT INTO said(text, session) VALUES(?1,?2)", -1, &t->words, NULL) != SQLITE_OK)
        return db_fail(t->db, path, e);
    return true;
}

/* A session begins with its first row, so that an empty one leaves no trace. */
static bool begin(struct transcript *t)
{
    sqlite3_stmt *s = NULL;
    bool ok = sqlite3_prepare_v2(t->db, "INSERT INTO session(time) VALUES(?1)", -1, &s, NULL) == SQLITE_OK &&
              sqlite3_bind_double(s, 1, now()) == SQLITE_OK && sqlite3_step(s) == SQLITE_DONE;
    sqlite3_finalize(s);
    t->session = ok ? sqlite3_last_insert_rowid(t->db) : 0;
    return ok;
}

static bool set_text(struct transcript *t, const char *sql, const char *text, size_t len)
{
    sqlite3_stmt *s = NULL;
    bool ok = sqlite3_prepare_v2(t->db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_bind_text(s, 1, text, (int)len, SQLITE_TRANSIENT) == SQLITE_OK &&
              sqlite3_bind_int64(s, 2, t->session) == SQLITE_OK && sqlite3_step(s) == SQLITE_DONE;
    sqlite3_finalize(s);
    return ok;
}

static bool run_words(struct transcript *t, const char *text, size_t len)
{
    sqlite3_reset(t->words);
    sqlite3_bind_text(t->words, 1, text, (int)len, SQLITE_TRANSIENT);
    sqlite3_bind_int64(t->words, 2, t->session);
    return sqlite3_step(t->words) == SQLITE_DONE;
}

/* The index beside the rows: title (first question), model, tokens, words. */
static bool put_index(struct transcript *t, const char *kind, const struct json *body)
{
    size_t len = 0;
    const char *s = json_str(json_get(body, "content"), &len);
    if (!strcmp(kind, "meta") && json_str(json_get(body, "model"), NULL)) {
        const char *model = json_str(json_get(body, "model"), &len);
        return set_text(t, "UPDATE session SET model=?1 WHERE id=?2", model, len);
    }
    if (!strcmp(kind, "usage")) {
        int64_t a = 0, b = 0;
        char text[32];
        json_i64(json_get(body, "prompt_tokens"), &a);
        json_i64(json_get(body, "completion_tokens"), &b);
        snprintf(text, sizeof text, "%lld", (long long)(a + b));
        return set_text(t, "UPDATE session SET tokens=tokens+CAST(?1 AS INTEGER) WHERE id=?2", text, strlen(text));
    }
    if (strcmp(kind, "message") || !s) return true;
    if (json_str_is(json_get(body, "role"), "user") &&
        !set_text(t, "UPDATE session SET title=?1 WHERE id=?2 AND title IS NULL", s, utf8_whole(s, MIN(len, (size_t)200))))
        return false;
    return run_words(t, s, len);
}

static bool put_db(struct transcript *t, const char *kind, const struct json *body, const struct str *text)
{
    sqlite3_reset(t->put);
    sqlite3_bind_int64(t->put, 1, t->session);
    sqlite3_bind_int(t->put, 2, t->n);
    sqlite3_bind_double(t->put, 3, now());
    sqlite3_bind_text(t->put, 4, kind, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(t->put, 5, text->p, (int)text->len, SQLITE_TRANSIENT);
    return sqlite3_step(t->put) == SQLITE_DONE && put_index(t, kind, body);
}

static void close_db(struct transcript *t)
{
    sqlite3_finalize(t->put);
    sqlite3_finalize(t->words);
    sqlite3_close(t->db);
}

static long long newest(sqlite3 *db)
{
    sqlite3_stmt *s = NULL;
    long long id = 0;
    if (sqlite3_prepare_v2(db, "SELECT max(id) FROM session", -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) id = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return id;
}

/* How many rows a session has; -1: there is none. */
static int rows_of(struct transcript *t, long long session)
{
    sqlite3_stmt *s = NULL;
    int n = -1;
    if (sqlite3_prepare_v2(t->db, "SELECT max(n)+1 FROM event WHERE session=?1", -1, &s, NULL) == SQLITE_OK && sqlite3_bind_int64(s, 1, session) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL)
        n = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    return n;
}

static bool resume_db(struct transcript *t, long long session, struct err *e)
{
    if (!session) session = newest(t->db);
    int n = rows_of(t, session);
    if (n < 0) return session ? err_set(e, ERR_ARG, "%s: there is no conversation %lld", t->path, session) : err_set(e, ERR_ARG, "%s: no conversation is recorded yet", t->path);
    t->session = session;
    t->n = n;
    return true;
}

static bool export_db(const char *path, long long session, struct str *out, struct err *e)
{
    sqlite3 *db;
    sqlite3_stmt *s = NULL;
    size_t before = out->len;
    if (!db_open(path, SQLITE_OPEN_READONLY, &db, e)) return false;
    if (!session) session = newest(db);
    bool ok = sqlite3_prepare_v2(db, "SELECT n,time,kind,body FROM event WHERE session=?1 ORDER BY n", -1, &s, NULL) == SQLITE_OK;
    if (!ok) db_fail(db, path, e);
    else sqlite3_bind_int64(s, 1, session);
    while (ok && sqlite3_step(s) == SQLITE_ROW) {
        struct str body = { 0 };
        put_back(path, (const char *)sqlite3_column_text(s, 3), (size_t)sqlite3_column_bytes(s, 3), &body);
        put_line(out, session, sqlite3_column_int64(s, 0), sqlite3_column_double(s, 1), (const char *)sqlite3_column_text(s, 2), body.p, body.len);
        str_done(&body);
    }
    sqlite3_finalize(s);
    sqlite3_close(db);
    if (ok && out->len == before) return err_set(e, ERR_ARG, "%s: there is no session %lld", path, session);
    return ok;
}

static void set_column(struct json *o, const char *key, sqlite3_stmt *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s, column);
    if (!text) json_set(o, key, json_new_null());
    else if (sqlite3_column_type(s, column) == SQLITE_TEXT) json_set(o, key, json_new_str(text));
    else json_set(o, key, json_new_number(text, strlen(text)));
}

#define BLANKS " \t\n\""

static struct json *list_db(const char *path, const char *words, int most, struct err *e)
{
    static const char *const keys[] = { "session", "time", "title", "model", "tokens", "rows" };
    static const char sql[] = "SELECT id,time,title,model,tokens,(SELECT count(*) FROM event WHERE session=id) FROM session "
                              "WHERE ?1 IS NULL OR id IN (SELECT session FROM said WHERE said MATCH ?1) ORDER BY id DESC LIMIT ?2";
    sqlite3 *db;
    sqlite3_stmt *s = NULL;
    struct str match = { 0 };
    if (!db_open(path, SQLITE_OPEN_READONLY, &db, e)) return NULL;
    for (const char *p = words; p && *p; p += strspn(p, BLANKS)) {    /* all of these words; not a query language */
        size_t n = strcspn(p, BLANKS);
        if (n) str_fmt(&match, "\"%.*s\" ", (int)n, p);
        p += n;
    }
    if (!match.len) words = NULL;
    struct json *list = json_new_array();
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK) db_fail(db, path, e);
    if (s && words) sqlite3_bind_text(s, 1, match.p, -1, SQLITE_STATIC);
    if (s) sqlite3_bind_int(s, 2, most);
    while (s && sqlite3_step(s) == SQLITE_ROW) {
        struct json *o = json_new_object();
        for (int i = 0; i < (int)LEN(keys); i++) set_column(o, keys[i], s, i);
        json_push(list, o);
    }
    if (!s) json_free(list), list = NULL;
    sqlite3_finalize(s);
    sqlite3_close(db);
    str_done(&match);
    return list;
}
#else
const char *transcript_sqlite(void) { return NULL; }
static bool without(struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "this build keeps no transcripts (libsqlite3 was absent; make deps installs it); a name that ends in .jsonl works");
}
static bool open_db(struct transcript *t, struct err *e) { return without(e); }
static bool resume_db(struct transcript *t, long long session, struct err *e) { return without(e); }
static bool put_aside(const struct transcript *t, struct json *body) { return true; }
static bool begin(struct transcript *t) { return true; }
static bool put_db(struct transcript *t, const char *kind, const struct json *body, const struct str *text) { return false; }
static void close_db(struct transcript *t) { }
static bool export_db(const char *path, long long session, struct str *out, struct err *e) { return without(e); }
static struct json *list_db(const char *path, const char *words, int most, struct err *e) { return without(e), NULL; }
#endif

static struct transcript *open_at(const char *path, bool goes_on, struct err *e)
{
    struct transcript *t = mem_zero(sizeof *t);
    t->path = mem_str(path);
    t->held = json_new_array();
    if (is_lines(path) ? open_lines(t, goes_on, e) : open_db(t, e)) return t;
    transcript_close(t);
    return NULL;
}

struct transcript *transcript_open(const char *path, struct err *e) { return open_at(path, false, e); }

struct transcript *transcript_reopen(const char *path, long long session, struct err *e)
{
    struct transcript *t = open_at(path, true, e);
    if (t && transcript_resume(t, session, e)) return t;
    transcript_close(t);
    return NULL;
}

bool transcript_resume(struct transcript *t, long long session, struct err *e)
{
    if (t->lines) return session == 0 || session == t->session || err_set(e, ERR_ARG, "%s holds one conversation, and %lld is none of it", t->path, session);
    return resume_db(t, session, e);
}

void transcript_close(struct transcript *t)
{
    if (!t) return;
    if (t->lines) fclose(t->lines);
    close_db(t);
    json_free(t->held);
    mem_free(t->path);
    mem_free(t);
}

void transcript_hide(struct transcript *t, const struct toolset *secrets) { t->secrets = secrets; }

long long transcript_session(const struct transcript *t) { return t && t->n ? t->session : 0; }

static void put_row(struct transcript *t, const char *kind, struct json *body)
{
    struct str text = { 0 }, line = { 0 };
    bool ok = t->lines || ((t->session || begin(t)) && (strcmp(kind, "result") || put_aside(t, body)));
    json_write(&text, body, JSON_COMPACT);
    if (t->lines) {
        put_line(&line, t->session, t->n, now(), kind, text.p, text.len);
        ok = fwrite(line.p, 1, line.len, t->lines) == line.len && !fflush(t->lines);
    } else ok = put_db(t, kind, body, &text) && ok;
    t->n++;
    if (!ok && !t->failed) log_line(LOG_WARN, "transcript_incomplete kind=%s", kind);
    t->failed |= !ok;
    str_done(&text);
    str_done(&line);
}

void transcript_put(struct transcript *t, const char *kind, struct json *body)
{
    struct json *clean = hidden(t, body);
    json_free(body);
    if (!strcmp(kind, "meta") && (!t->n || json_get(clean, "version"))) {
        json_push(t->held, clean);
        return;
    }
    struct json *held = t->held;
    t->held = json_new_array();
    for (size_t i = 0; i < json_len(held); i++) put_row(t, "meta", (struct json *)(uintptr_t)json_at(held, i));
    put_row(t, kind, clean);
    json_free(held);
    json_free(clean);
}

bool transcript_export(const char *path, long long session, struct str *out, struct err *e)
{
    return is_lines(path) ? file_read(path, out, e) : export_db(path, session, out, e);
}

struct json *transcript_list(const char *path, const char *words, int most, struct err *e)
{
    if (is_lines(path)) return err_set(e, ERR_ARG, "%s holds one conversation; a store of SQLite lists many", path), NULL;
    return list_db(path, words, most, e);
}
