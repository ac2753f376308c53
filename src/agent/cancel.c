/* cancel.c -- one switch for "stop now": a flag for those who compute, a readable descriptor for those who wait.
 *
 * cancel_fire() only writes to the descriptor and sets an atomic, so a signal handler may call it. */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/int.h"

bool cancel_init(struct cancel *c, struct err *e)
{
    atomic_init(&c->on, false);
    c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return c->fd >= 0 || err_set(e, ERR_IO, "no descriptor for cancellation: %s", strerror(errno));
}

void cancel_done(struct cancel *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

void cancel_fire(struct cancel *c)
{
    int was = errno;
    uint64_t one = 1;
    atomic_store(&c->on, true);
    ssize_t ignored = write(c->fd, &one, sizeof one);                 /* full: it is readable already */
    (void)ignored;
    errno = was;
}

void cancel_clear(struct cancel *c)
{
    uint64_t n;
    ssize_t ignored = read(c->fd, &n, sizeof n);
    (void)ignored;
    atomic_store(&c->on, false);
}
