/* listen.c -- addresses: listening sockets, who a peer is, which names mean this machine.
 *
 * A server without a key that listens on loopback only is still reachable from every web page the user
 * opens, by a name that resolves to 127.0.0.1. Therefore the Host header must be a name of this machine
 * (net_host_is_local), and so must the origin where it matters.
 * Also here: the few lines of the systemd protocol that a service needs. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "serve/int.h"

#define BACKLOG 512

/* ---- listening -------------------------------------------------------------------------------- */

static bool listen_unix(const char *path, struct listener *l, struct err *e)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    struct stat st;
    if (!*path || strlen(path) >= sizeof a.sun_path)
        return err_set(e, ERR_ARG, "unix:%.60s: a path of 1 to %zu bytes is accepted", path,
                       sizeof a.sun_path - 1);
    strcpy(a.sun_path, path);
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool stale = lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && probe >= 0 &&
                 connect(probe, (void *)&a, sizeof a) != 0 && errno == ECONNREFUSED;
    if (probe >= 0) close(probe);
    if (stale) unlink(path); /* left behind by a server that died */
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0 || bind(l->fd, (void *)&a, sizeof a) || listen(l->fd, BACKLOG))
        return err_set(e, ERR_IO, "unix:%s: %s", path, strerror(errno));
    l->is_unix = l->local = true;
    l->unlink_path = mem_str(path);
    snprintf(l->where, sizeof l->where, "unix:%s", path);
    return true;
}

static bool listen_one(const struct addrinfo *a, struct listener *l)
{
    int one = 1;
    l->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0) return false;
    setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a->ai_family == AF_INET6) setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(l->fd, a->ai_addr, a->ai_addrlen) == 0 && listen(l->fd, BACKLOG) == 0) return true;
    int why = errno;
    close(l->fd);
    l->fd = -1;
    errno = why;
    return false;
}

static void name_listener(struct listener *l)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char host[64] = "?", port[16] = "?";
    getsockname(l->fd, (void *)&a, &len);
    getnameinfo((void *)&a, len, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    l->local = net_is_local((void *)&a, len);
    snprintf(l->where, sizeof l->where, a.ss_family == AF_INET6 ? "http://[%s]:%s" : "http://%s:%s",
             host, port);
}

bool net_listen(const char *host, int port, struct listener *l, struct err *e)
{
    *l = (struct listener){ .fd = -1 };
    if (!strncmp(host, "unix:", 5)) return listen_unix(host + 5, l, e);
    struct addrinfo want = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM },
                    *list = NULL;
    char bare[256], service[16];
    size_t n = strlen(host);
    bool bracketed = n > 2 && host[0] == '[' && host[n - 1] == ']';
    snprintf(bare, sizeof bare, "%.*s", (int)(bracketed ? n - 2 : n), bracketed ? host + 1 : host);
    snprintf(service, sizeof service, "%d", port);
    int rc = getaddrinfo(*bare ? bare : NULL, service, &want, &list);
    if (rc) return err_set(e, ERR_ARG, "--host %.100s: %s", host, gai_strerror(rc));
    for (struct addrinfo *a = list; a && l->fd < 0; a = a->ai_next)
        if (listen_one(a, l)) name_listener(l);
    int why = errno;
    freeaddrinfo(list);
    return l->fd >= 0 || err_set(e, ERR_IO, "%s port %d: %s", host, port, strerror(why));
}

void net_unlisten(struct listener *l)
{
    if (l->fd >= 0) close(l->fd);
    if (l->unlink_path) unlink(l->unlink_path);
    mem_free(l->unlink_path);
    *l = (struct listener){ .fd = -1 };
}

/* ---- peers ------------------------------------------------------------------------------------- */

void net_peer_name(const struct sockaddr *a, socklen_t len, char out[64])
{
    if (!a || a->sa_family == AF_UNIX) snprintf(out, 64, "unix");
    else if (getnameinfo(a, len, out, 64, NULL, 0, NI_NUMERICHOST)) snprintf(out, 64, "?");
}

bool net_is_local(const struct sockaddr *a, socklen_t len)
{
    if (!a || a->sa_family == AF_UNIX) return true;
    if (a->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24) == 127;
    if (a->sa_family != AF_INET6) return false;
    const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

/* ---- names ------------------------------------------------------------------------------------- */

/* "name", "name:port", "[::1]:port": is what stands before the port this machine? */
bool net_host_is_local(const char *host)
{
    char name[256];
    struct in_addr four;
    size_t n;
    const char *rest;
    if (host[0] == '[') {
        n = strcspn(host, "]");
        if (host[n] != ']') return false;
        rest = host + n + 1;
        n++;
    } else {
        n = strcspn(host, ":");
        rest = host + n;
    }
    if (n >= sizeof name || (*rest && (*rest != ':' || rest[1 + strspn(rest + 1, "0123456789")])))
        return false;
    memcpy(name, host, n);
    name[n] = 0;
    if (!strcasecmp(name, "localhost") || !strcasecmp(name, "localhost.") || !strcmp(name, "[::1]"))
        return true;
    return inet_pton(AF_INET, name, &four) == 1 && (ntohl(four.s_addr) >> 24) == 127;
}

bool net_origin_is_local(const char *origin)
{
    if (!strncasecmp(origin, "http://", 7)) return net_host_is_local(origin + 7);
    if (!strncasecmp(origin, "https://", 8)) return net_host_is_local(origin + 8);
    return false;
}

/* ---- systemd ----------------------------------------------------------------------------------- */

void net_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof a.sun_path) return;
    size_t n = strlen(path);
    memcpy(a.sun_path, path, n);
    if (path[0] == '@') a.sun_path[0] = 0;                            /* the abstract name space */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (void *)&a,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    if (sent < 0) log_line(LOG_WARN, "notify_failed why=\"%s\"", strerror(errno));
    close(fd);
}
