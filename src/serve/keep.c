/* keep.c -- stored responses: one table in SQLite, bounded by number and by age.
 *
 * A response is kept with all items that led to it, so that `previous_response_id` needs no walk. A full
 * disk makes a response that is not stored, and says so; it harms nothing else. */
#include "serve/keep.h"

#ifdef TENON_SQLITE
#include <sqlite3.h>

enum { PUT, GET, DELETE, PRUNE, N_STATEMENT };
static const char *const sql[N_STATEMENT] = {
    [PUT] = "INSERT OR REPLACE INTO response(id, created, response, input) VALUES(?1, ?2, ?3, ?4)",
    [GET] = "SELECT response, input FROM response WHERE id = ?1 AND created >= ?2",
    [DELETE] = "DELETE FROM response WHERE id = ?1",
    [PRUNE] = ("DELETE FROM response WHERE created < ?1 OR rowid IN (SELECT rowid FROM response "
               "ORDER BY created DESC, rowid DESC LIMIT -1 OFFSET ?2)"),
};
struct keep { sqlite3 *db; sqlite3_stmt *st[N_STATEMENT]; int64_t most; double days; int n_put; };

#define PRUNE_EVERY 32

const char *serve_sqlite(void) { return sqlite3_libversion(); }

static bool failed(const struct keep *s, struct err *e)
{
    return err_set(e, ERR_IO, "the store of responses: %s", sqlite3_errmsg(s->db));
}

void keep_close(struct keep *s)
{
    if (!s) return;
    for (int i = 0; i < N_STATEMENT; i++) sqlite3_finalize(s->st[i]);
    sqlite3_close(s->db);
    mem_free(s);
}

struct keep *keep_open(const char *path, int64_t most, double days, struct err *e)
{
    static const char setup[] =
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=200;"
        "CREATE TABLE IF NOT EXISTS response(id TEXT PRIMARY KEY, created INTEGER NOT NULL, "
        "response TEXT NOT NULL, input TEXT NOT NULL);"
        "CREATE INDEX IF NOT EXISTS response_created ON response(created);";
    struct keep *s = mem_zero(sizeof *s);
    s->most = most;
    s->days = days;
    bool ok = sqlite3_open_v2(path, &s->db,
                              SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                              NULL) == SQLITE_OK &&
              sqlite3_exec(s->db, setup, NULL, NULL, NULL) == SQLITE_OK;
    for (int i = 0; ok && i < N_STATEMENT; i++)
        ok = sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->st[i], NULL) ==
             SQLITE_OK;
    if (ok) return s;
    failed(s, e);
    err_in(e, "%s", path);
    keep_close(s);
    return NULL;
}

static int64_t oldest(const struct keep *s)
{
    return s->days > 0 ? unix_time() - (int64_t)(s->days * 86400) : 0;
}

static bool step(struct keep *s, sqlite3_stmt *st, struct err *e)
{
    int rc = sqlite3_step(st);
    bool ok = rc == SQLITE_DONE || rc == SQLITE_ROW || failed(s, e);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return ok;
}

static bool prune(struct keep *s, struct err *e)
{
    sqlite3_bind_int64(s->st[PRUNE], 1, oldest(s));
    sqlite3_bind_int64(s->st[PRUNE], 2, s->most);
    return step(s, s->st[PRUNE], e);
}

static void bind_json(sqlite3_stmt *st, int at, const struct json *v)
{
    struct str text = { 0 };
    json_write(&text, v, JSON_COMPACT);
    sqlite3_bind_text(st, at, text.p, (int)text.len, SQLITE_TRANSIENT);
    str_done(&text);
}

bool keep_put(struct keep *s, const char *id, const struct json *response, const struct json *input,
              struct err *e)
{
    sqlite3_stmt *st = s->st[PUT];
    sqlite3_bind_text(st, 1, id, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(st, 2, unix_time());
    bind_json(st, 3, response);
    bind_json(st, 4, input);
    if (!step(s, st, e)) return false;
    if (s->n_put++ % PRUNE_EVERY == 0) prune(s, NULL);
    return true;
}

bool keep_get(struct keep *s, const char *id, struct json **response, struct json **input,
              struct err *e)
{
    sqlite3_stmt *st = s->st[GET];
    *response = *input = NULL;
    sqlite3_bind_text(st, 1, id, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(st, 2, oldest(s));
    int rc = sqlite3_step(st);
    bool ok = rc == SQLITE_ROW || rc == SQLITE_DONE || failed(s, e);
    if (rc == SQLITE_ROW) {
        *response = json_parse((const char *)sqlite3_column_text(st, 0), (size_t)sqlite3_column_bytes(st, 0), e);
        *input = json_parse((const char *)sqlite3_column_text(st, 1), (size_t)sqlite3_column_bytes(st, 1), e);
        ok = *response && *input;
    }
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return ok;
}

bool keep_delete(struct keep *s, const char *id, bool *was_there, struct err *e)
{
    sqlite3_bind_text(s->st[DELETE], 1, id, -1, SQLITE_TRANSIENT);
    bool ok = step(s, s->st[DELETE], e);
    *was_there = ok && sqlite3_changes(s->db) > 0;
    return ok;
}
#else
const char *serve_sqlite(void) { return NULL; }
void keep_close(struct keep *s) { }

struct keep *keep_open(const char *path, int64_t most, double days, struct err *e)
{
    err_set(e, ERR_UNSUPPORTED,
            "--response-store: this build has no SQLite (make deps installs it)");
    return NULL;
}

bool keep_put(struct keep *s, const char *id, const struct json *response, const struct json *input,
              struct err *e)
{
    return false;
}
bool keep_get(struct keep *s, const char *id, struct json **response, struct json **input,
              struct err *e)
{
    return false;
}
bool keep_delete(struct keep *s, const char *id, bool *was_there, struct err *e) { return false; }
#endif
