/* box.c -- the walls around the interpreter: bubblewrap's namespaces, a seccomp filter, limits, a cgroup.
 *
 * What is inside sees /usr read-only, an empty /box and /tmp in memory, a /proc of its own and no network at all.
 * No other file of the host exists there but, read-only, those of one folder that the user chose (/data) and of a Python
 * of his own; a socket that might lie there cannot be spoken to. The filter refuses what no program of a user needs: other namespaces,
 * mounts, tracing, keys, kernel modules, sockets other than AF_UNIX, pushing characters into a terminal. Limits
 * bound each process; a cgroup, where one can be made, bounds them together, memory files included.
 * Started by root, the box runs as a user number that nobody else has.
 *
 * There is no way around the walls: what cannot be built is an error, and the caller then offers no tool.
 * Between fork and exec only calls that a signal handler might make: other threads may hold any lock. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef TENON_SECCOMP
#include <linux/sched.h>
#include <seccomp.h>
#endif

#include "agent/int.h"

#define BOX_USER 1879048192u                /* numbers from here on belong to nobody */
#define MEMORY_MOST "1610612736"
#define TASKS_MOST "64"
#define CPU_MOST "100000 100000"            /* one processor's time: microseconds of microseconds */
enum { FD_CONTROL = 3, FD_FILTER = 4, FD_DRIVER = 5 };

/* ---- the filter ---- */

#ifdef TENON_SECCOMP
static const int refused[] = {
    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(mount), SCMP_SYS(umount2),
    SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(fsmount), SCMP_SYS(fsconfig), SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr), SCMP_SYS(setns), SCMP_SYS(unshare), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(swapon),
    SCMP_SYS(swapoff), SCMP_SYS(reboot), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex), SCMP_SYS(quotactl),
    SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(personality), SCMP_SYS(name_to_handle_at),
    SCMP_SYS(open_by_handle_at), SCMP_SYS(syslog), SCMP_SYS(acct), SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp), SCMP_SYS(vhangup), SCMP_SYS(iopl), SCMP_SYS(ioperm),
};
static const uint64_t new_spaces[] = { CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP, CLONE_NEWTIME };

/* Files of the host are there: a socket among them would lead out, by connect() or by a datagram. */
static int add_socket_rules(scmp_filter_ctx f)
{
    int rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(connect), 0);
    if (!rc) rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM));
    if (!rc) rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socketpair), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM));
    return rc;
}

static int add_rules(scmp_filter_ctx f)
{
    int rc = 0;
    for (size_t i = 0; i < LEN(refused) && !rc; i++) rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
    for (size_t i = 0; i < LEN(new_spaces) && !rc; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, new_spaces[i], new_spaces[i]));
    if (!rc) rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);       /* its flags lie in memory; libc falls back */
    if (!rc) rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX));
    if (!rc) rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCSTI));
    if (!rc) rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCLINUX));
    return rc;
}

static int filter_fd(bool host_files, struct err *e)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    int fd = memfd_create("filter", MFD_CLOEXEC), rc = f ? add_rules(f) : -ENOMEM;
    if (!rc && host_files) rc = add_socket_rules(f);
    if (!rc && fd >= 0) rc = seccomp_export_bpf(f, fd);
    seccomp_release(f);
    if (!rc && fd >= 0 && lseek(fd, 0, SEEK_SET) == 0) return fd;
    if (fd >= 0) close(fd);
    return err_set(e, ERR_UNSUPPORTED, "the seccomp filter cannot be made: %s", strerror(rc ? -rc : errno)), -1;
}
#else
static int filter_fd(bool host_files, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "this build has no seccomp filter (libseccomp was absent; make deps installs it)"), -1;
}
#endif

static int driver_fd(struct err *e)
{
    int fd = memfd_create("driver", MFD_CLOEXEC);
    size_t n = strlen(interp_driver);
    if (fd >= 0 && write(fd, interp_driver, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0) return fd;
    if (fd >= 0) close(fd);
    return err_set(e, ERR_IO, "no memory file: %s", strerror(errno)), -1;
}

/* ---- cgroups: both versions, if we may ---- */

static bool put_file(const char *dir, const char *name, const char *value)
{
    struct str path = { 0 };
    str_fmt(&path, "%s/%s", dir, name);
    int fd = open(path.p, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
    if (fd >= 0) close(fd);
    str_done(&path);
    return ok;
}

/* The group of this process in a hierarchy, from /proc/self/cgroup: "7:memory:/path", "0::/path". */
static bool own_group(const char *controller, struct str *out)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    char line[1024];
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f)) {
        char *a = strchr(line, ':'), *b = a ? strchr(a + 1, ':') : NULL;
        if (!b) continue;
        *b = 0;
        b[1 + strcspn(b + 1, "\n")] = 0;
        found = !strcmp(a + 1, controller);
        if (found && *controller) str_fmt(out, "/sys/fs/cgroup/%s%s", controller, b + 1);
        else if (found) str_fmt(out, "/sys/fs/cgroup%s", b + 1);
    }
    if (f) fclose(f);
    return found;
}

static char *make_group(const char *controller, const char *const *limit)
{
    static atomic_int serial;
    struct str dir = { 0 };
    if (own_group(controller, &dir)) {
        str_fmt(&dir, "%stenon-box-%ld-%d", dir.p[dir.len - 1] == '/' ? "" : "/", (long)getpid(), atomic_fetch_add(&serial, 1));
        if (!mkdir(dir.p, 0700)) {
            bool ok = true;
            for (; *limit; limit += 2) ok &= put_file(dir.p, limit[0], limit[1]);
            put_file(dir.p, "cpu.max", CPU_MOST);                     /* where this controller is there too */
            if (ok) return str_take(&dir);
            rmdir(dir.p);
        }
    }
    str_done(&dir);
    return NULL;
}

static void make_groups(struct box *b)
{
    static const char *const v2[] = { "memory.max", MEMORY_MOST, "pids.max", TASKS_MOST, NULL };
    static const char *const memory[] = { "memory.limit_in_bytes", MEMORY_MOST, NULL }, *const pids[] = { "pids.max", TASKS_MOST, NULL };
    b->cgroup[0] = make_group("", v2);
    if (b->cgroup[0]) return;
    b->cgroup[0] = make_group("memory", memory);
    b->cgroup[1] = make_group("pids", pids);
}

static void drop_groups(struct box *b)
{
    for (int i = 0; i < 2; i++) {
        for (int k = 0; b->cgroup[i] && k < 20 && rmdir(b->cgroup[i]) && errno == EBUSY; k++) poll(NULL, 0, 10);
        mem_free(b->cgroup[i]);
        b->cgroup[i] = NULL;
    }
}

/* ---- the command ---- */

static void put_all(struct words *w, const char *const *list)
{
    for (; *list; list++) words_put(w, mem_str(*list));
}

static bool is_ours(const char *python) { return !strncmp(python, "/usr/", 5); }

static void make_argv(struct words *w, const char *python, const char *data)
{
    static const char *const walls[] = {
        "bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--clearenv", "--setenv", "PATH", "/usr/bin",
        "--setenv", "HOME", "/box", "--setenv", "LANG", "C.UTF-8", "--setenv", "MPLBACKEND", "Agg", "--setenv", "OPENBLAS_NUM_THREADS", "1",
        "--setenv", "MPLCONFIGDIR", "/tmp", "--uid", "65534", "--gid", "65534", "--hostname", "box", "--ro-bind", "/usr", "/usr",
        "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
        "--ro-bind-try", "/etc/alternatives", "/etc/alternatives", "--ro-bind-try", "/etc/fonts", "/etc/fonts",
        "--proc", "/proc", "--dev", "/dev", "--size", "268435456", "--tmpfs", "/box", "--size", "67108864", "--tmpfs", "/tmp",
        "--size", "67108864", "--tmpfs", "/dev/shm", "--ro-bind-data", "5", "/driver.py", "--seccomp", "4", "--chdir", "/box", NULL };
    /* Bubblewrap's own / and /dev are memory without a bound: nothing may be written there. */
    static const char *const closed[] = { "--remount-ro", "/dev", "--remount-ro", "/", "--", NULL };
    static const char *const tail[] = { "-I", "-u", "/driver.py", NULL };
    put_all(w, walls);
    if (!is_ours(python)) {                                /* /opt/venv/bin/python: all of /opt/venv, read-only */
        char *home = mem_str(python);
        for (int i = 0; i < 2; i++)
            if (strrchr(home, '/')) *strrchr(home, '/') = 0;
        if (*home) put_all(w, (const char *const[]){ "--ro-bind", home, home, NULL });
        mem_free(home);
    }
    if (data) put_all(w, (const char *const[]){ "--ro-bind", data, "/data", NULL });
    put_all(w, closed);
    words_put(w, mem_str(python));
    put_all(w, tail);
}

/* Processor time: 60 s a call, which the driver counts anew (soft), 600 s for all of them (hard). Address space: packages of
 * another Python (numpy and its threads) take twice as much. */
static const struct { int what; rlim_t soft, hard; } limits[] = {
    { RLIMIT_AS, (rlim_t)1 << 30, (rlim_t)1 << 30 },     { RLIMIT_CPU, 60, 600 },   { RLIMIT_NOFILE, 128, 128 },
    { RLIMIT_FSIZE, (rlim_t)64 << 20, (rlim_t)64 << 20 }, { RLIMIT_CORE, 0, 0 },     { RLIMIT_STACK, (rlim_t)16 << 20, (rlim_t)16 << 20 },
};

struct launch { int control, out, err, filter, driver, null; char *const *argv; const struct box *box; unsigned user, spaces; };

static void join_group(const char *dir)
{
    char path[1200];
    size_t n = dir ? strlen(dir) : 0;
    if (!n || n + 15 > sizeof path) return;
    memcpy(path, dir, n);
    memcpy(path + n, "/cgroup.procs", 14);
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, "0", 1) != 1) _exit(120);
    close(fd);
}

/* In the child: descriptors in their places, groups, limits, another user, nothing of our environment. */
static void launch(const struct launch *l)
{
    int from[] = { l->null, l->out, l->err, l->control, l->filter, l->driver }, high[6];
    setpgid(0, 0);
    for (int i = 0; i < 6; i++) high[i] = fcntl(from[i], F_DUPFD, 64);
    for (int i = 0; i < 6; i++)
        if (high[i] < 0 || dup2(high[i], i) != i) _exit(121);
    syscall(SYS_close_range, 6u, ~0u, 0u);
    for (int i = 0; i < 2; i++) join_group(l->box->cgroup[i]);
    for (size_t i = 0; i < LEN(limits); i++) {
        rlim_t times = limits[i].what == RLIMIT_AS ? l->spaces : 1;
        struct rlimit r = { limits[i].soft * times, limits[i].hard * times };
        if (setrlimit((__rlimit_resource_t)limits[i].what, &r)) _exit(122);
    }
    if (l->user && (syscall(SYS_setgroups, 0, NULL) || syscall(SYS_setresgid, l->user, l->user, l->user) || syscall(SYS_setresuid, l->user, l->user, l->user)))
        _exit(123);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    char *const empty[] = { NULL };
    execve("/usr/bin/bwrap", l->argv, empty);
    _exit(124);
}

/* ---- opening ---- */

static bool read_ready(struct box *b, struct err *e)
{
    char buf[300];
    struct pollfd p = { .fd = b->control, .events = POLLIN };
    ssize_t n = poll(&p, 1, 15000) > 0 ? read(b->control, buf, sizeof buf - 1) : -1;
    if (n > 4 && (buf[n] = 0, strstr(buf + 4, "\"ready\""))) return true;
    struct pollfd q = { .fd = b->err, .events = POLLIN };
    n = poll(&q, 1, 500) > 0 ? read(b->err, buf, sizeof buf - 1) : 0;
    while (n > 0 && buf[n - 1] == '\n') n--;
    return err_set(e, ERR_UNSUPPORTED, "the sandbox does not start here: %.*s", n > 0 ? (int)n : 17, n > 0 ? buf : "no word from it");
}

static bool check_programs(const char *python, struct err *e)
{
    if (access("/usr/bin/bwrap", X_OK)) return err_set(e, ERR_UNSUPPORTED, "bubblewrap (/usr/bin/bwrap) is not installed");
    if (*python != '/' || access(python, X_OK)) return err_set(e, ERR_UNSUPPORTED, "there is no interpreter %s", python);
    return true;
}

/* The folder of /data by its real name; NULL with e. All of / would bring /proc and its secrets with it. */
static char *data_folder(const char *dir, struct err *e)
{
    static const char *const closed[] = { "/proc", "/sys", "/dev", "/run" };
    char *path = realpath(dir, NULL);
    struct stat st;
    bool bad = path && !strcmp(path, "/");
    if (!path || stat(path, &st) || !S_ISDIR(st.st_mode)) err_set(e, ERR_ARG, "%s: %s", dir, path ? "not a folder" : strerror(errno));
    for (size_t i = 0; path && i < LEN(closed); i++) {
        size_t n = strlen(closed[i]);
        bad |= !strncmp(path, closed[i], n) && (!path[n] || path[n] == '/');
    }
    if (bad) err_set(e, ERR_ARG, "%s cannot be read by the tool python: it would show more than files of yours; a folder below it can", dir);
    if (!e->code) return path;
    free(path);
    return NULL;
}

static void close_pair(int fd[2])
{
    if (fd[0] >= 0) close(fd[0]);
    if (fd[1] >= 0) close(fd[1]);
}

bool box_open(struct box *b, const char *python, const char *data, struct err *e)
{
    static atomic_uint serial;
    int control[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
    struct words argv = { 0 };
    struct launch l = { .filter = -1, .driver = -1, .null = -1, .box = b };
    char *folder = NULL;
    *b = (struct box){ .pid = -1, .control = -1, .out = -1, .err = -1 };
    if (!check_programs(python, e) || (data && !(folder = data_folder(data, e)))) goto out;
    if ((l.filter = filter_fd(folder || !is_ours(python), e)) < 0 || (l.driver = driver_fd(e)) < 0) goto out;
    l.null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (l.null < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
        err_set(e, ERR_IO, "no descriptors for the sandbox: %s", strerror(errno));
        goto out;
    }
    make_argv(&argv, python, folder);
    make_groups(b);
    l.argv = argv.p;
    l.spaces = is_ours(python) ? 1 : 2;
    l.control = control[1], l.out = out[1], l.err = err[1];
    if (geteuid() == 0) l.user = BOX_USER + ((unsigned)getpid() * 16u + atomic_fetch_add(&serial, 1u) % 16u) % 0x3fffffffu;
    b->pid = fork();
    if (b->pid == 0) launch(&l);
    if (b->pid < 0) err_set(e, ERR_IO, "no process for the sandbox: %s", strerror(errno));
    b->control = control[0], b->out = out[0], b->err = err[0];
    control[0] = out[0] = err[0] = -1;
out:
    close_pair(control), close_pair(out), close_pair(err);
    for (int i = 0; i < 3; i++)
        if ((int[]){ l.filter, l.driver, l.null }[i] >= 0) close((int[]){ l.filter, l.driver, l.null }[i]);
    words_done(&argv);
    free(folder);
    if (b->pid > 0 && read_ready(b, e)) {
        fcntl(b->control, F_SETFL, O_NONBLOCK), fcntl(b->out, F_SETFL, O_NONBLOCK), fcntl(b->err, F_SETFL, O_NONBLOCK);
        return true;
    }
    box_close(b);
    return false;
}

void box_close(struct box *b)
{
    if (b->pid > 0) {
        kill(b->pid, SIGKILL);                                        /* bwrap; what is inside dies with it */
        kill(-b->pid, SIGKILL);
        waitpid(b->pid, NULL, 0);
    }
    for (int i = 0; i < 3; i++)
        if ((int[]){ b->control, b->out, b->err }[i] >= 0) close((int[]){ b->control, b->out, b->err }[i]);
    drop_groups(b);
    *b = (struct box){ .pid = -1, .control = -1, .out = -1, .err = -1 };
}
