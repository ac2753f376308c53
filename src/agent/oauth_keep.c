/* oauth_keep.c -- tokens and registrations, one file an issuer, readable by its owner alone.
 *
 * Kept by issuer, because a token or a client secret of one authorization server is nothing that another may see: where a
 * server names another issuer tomorrow, everything begins anew with that one. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/oauth.h"

static char *path_of(const struct oauth *o, const char *kind, const char *id)
{
    struct str s = { 0 };
    char hash[65];
    if (!o->dir) return NULL;
    sha256_hex(id, strlen(id), hash);
    str_fmt(&s, "%s/tokens/%s-%.32s.json", o->dir, kind, hash);
    return str_take(&s);
}

/* A new file that nobody else can open at any time, then in the old one's place. */
static void write_private(const char *path, const struct json *v)
{
    struct str text = { 0 }, tmp = { 0 };
    json_write(&text, v, JSON_COMPACT);
    str_fmt(&tmp, "%s.%ld", path, (long)getpid());
    dirs_make(path);                                    /* else opening says why not */
    unlink(tmp.p);
    int fd = open(tmp.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, text.p, text.len) == (ssize_t)text.len;
    if (fd >= 0) ok = !close(fd) && ok;
    if (!ok || rename(tmp.p, path)) {
        log_line(LOG_WARN, "token_not_kept path=%s why=\"%s\"", path, strerror(errno));
        unlink(tmp.p);
    }
    str_done(&text);
    str_done(&tmp);
}

static struct json *read_object(const char *path)
{
    struct err ignored = { 0 };
    struct json *v = path && file_exists(path) ? json_read(path, &ignored) : NULL;
    if (json_is(v, JSON_OBJECT)) return v;
    json_free(v);
    return json_new_object();
}

struct json *oauth_recall(const struct oauth *o, const char *issuer)
{
    char *path = path_of(o, "issuer", issuer);
    struct json *file = read_object(path), *record = NULL;
    if (json_str_is(json_get(file, "issuer"), issuer)) record = json_copy(json_get(json_get(file, "servers"), o->server));
    json_free(file);
    mem_free(path);
    return record ? record : json_new_object();
}

void oauth_keep(const struct oauth *o, const char *issuer, const struct json *record)
{
    char *path = path_of(o, "issuer", issuer), *pointer = path_of(o, "server", o->server);
    if (path && pointer) {
        struct json *file = read_object(path), *servers = json_copy(json_get(file, "servers")), *p = json_new_object();
        if (!servers) servers = json_new_object();
        json_set(servers, o->server, json_copy(record));
        json_set(file, "issuer", json_new_str(issuer));
        json_set(file, "servers", servers);
        json_set(p, "issuer", json_new_str(issuer));
        write_private(path, file);
        write_private(pointer, p);
        json_free(file);
        json_free(p);
    }
    mem_free(path);
    mem_free(pointer);
}

char *oauth_issuer(const struct oauth *o)
{
    char *path = path_of(o, "server", o->server), *out = NULL;
    struct json *v = read_object(path);
    const char *s = json_str(json_get(v, "issuer"), NULL);
    if (s) out = mem_str(s);
    json_free(v);
    mem_free(path);
    return out;
}
