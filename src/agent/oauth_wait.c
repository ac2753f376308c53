/* oauth_wait.c -- the page of ours to which a browser comes back after signing in: http://127.0.0.1:PORT/callback, for one answer.
 *
 * It listens on the loopback alone, reads no more than the first line of a request, and answers any other path with 404, so
 * that what else a browser asks for (an icon) does not end the waiting. The code in the answer is of no use to who listens in:
 * it is bound to a proof that only we have (PKCE). */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/oauth.h"

#define LINE_MOST 8192
#define READ_MS 3000

bool oauth_page_open(struct oauth_page *p, int port, struct err *e)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t n = sizeof a;
    int one = 1;
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->fd >= 0) setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool ok = p->fd >= 0 && !bind(p->fd, (struct sockaddr *)&a, sizeof a) && !listen(p->fd, 8) && !getsockname(p->fd, (struct sockaddr *)&a, &n);
    p->port = ntohs(a.sin_port);
    if (ok) return true;
    err_set(e, ERR_IO, "no page for the answer on 127.0.0.1:%d: %s", port, strerror(errno));
    oauth_page_close(p);
    return false;
}

void oauth_page_close(struct oauth_page *p)
{
    if (p->fd >= 0) close(p->fd);
    p->fd = -1;
}

/* "GET /callback?… HTTP/1.1" */
static bool read_line(int fd, char line[LINE_MOST])
{
    uint64_t until = clock_ns() + (uint64_t)READ_MS * 1000000u;
    for (size_t n = 0; n < LINE_MOST - 1 && clock_ns() < until;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, 100) <= 0) continue;
        ssize_t k = recv(fd, line + n, LINE_MOST - 1 - n, 0);
        if (k <= 0) return false;
        n += (size_t)k;
        line[n] = 0;
        if (memchr(line, '\n', n)) return true;
    }
    return false;
}

static void say(int fd, const char *status, const char *text)
{
    struct str s = { 0 };
    str_fmt(&s, "HTTP/1.1 %s\r\nContent-Type: text/html; charset=utf-8\r\nContent-Security-Policy: default-src 'none'\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
            status, strlen(text), text);
    ssize_t ignored = send(fd, s.p, s.len, MSG_NOSIGNAL);
    (void)ignored;
    str_done(&s);
}

/* One visitor; the query, owned, or NULL: it was somebody else. */
static char *receive(int fd)
{
    char line[LINE_MOST] = "";
    static const char path[] = "GET /callback?";
    bool ours = read_line(fd, line) && !strncmp(line, path, sizeof path - 1);
    say(fd, ours ? "200 OK" : "404 Not Found", ours ? "<p>You may close this page.</p>" : "<p>Nothing is here.</p>");
    if (!ours) return NULL;
    char *query = line + sizeof path - 1;
    query[strcspn(query, " \r\n")] = 0;
    return mem_str(query);
}

char *oauth_page_wait(struct oauth_page *p, int ms, struct err *e)
{
    uint64_t until = clock_ns() + (uint64_t)ms * 1000000u;
    while (clock_ns() < until) {
        struct pollfd w = { .fd = p->fd, .events = POLLIN };
        if (poll(&w, 1, 200) <= 0) continue;
        int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC);
        char *query = fd >= 0 ? receive(fd) : NULL;
        if (fd >= 0) close(fd);
        if (query) return query;
    }
    err_set(e, ERR_LIMIT, "nobody has signed in within %d s", ms / 1000);
    return NULL;
}

static int hex(char c) { return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1; }

char *oauth_param(const char *query, const char *key)
{
    size_t n = strlen(key);
    for (const char *p = query; *p; p += strcspn(p, "&"), p += *p == '&') {
        if (strncmp(p, key, n) || p[n] != '=') continue;
        struct str s = { 0 };
        for (const char *v = p + n + 1; *v && *v != '&'; v++) {
            bool coded = *v == '%' && v[1] && hex(v[1]) >= 0 && hex(v[2]) >= 0;
            str_putc(&s, coded ? (char)(hex(v[1]) * 16 + hex(v[2])) : *v == '+' ? ' ' : *v);
            v += coded ? 2 : 0;
        }
        return str_take(&s);
    }
    return NULL;
}
