/* test_box.c -- the walls of the interpreter one by one: every limit, every call that the filter refuses, files that come in,
 * how many boxes live and for how long. test_interp.c attacks them. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "interp.h"

/* ---- limits ---- */

static const struct { const char *why, *code, *holds; } limit_rows[] = {
    { "address space", "import resource as r; r.getrlimit(r.RLIMIT_AS)", "(1073741824, 1073741824)" },
    { "processor time: 60 s of this call, 600 of all", "s, h = r.getrlimit(r.RLIMIT_CPU); u = r.getrusage(r.RUSAGE_SELF); 58 < s - u.ru_utime - u.ru_stime <= 62, h", "(True, 600)" },
    { "… counted anew", "import time\nt = time.process_time()\nwhile time.process_time() < t + 1.2: pass", "(no output)" },
    { "… for the next call", "r.getrlimit(r.RLIMIT_CPU)[0] - s >= 1", "True" },
    { "processes", "r.getrlimit(r.RLIMIT_NPROC)", "(64, 64)" },
    { "descriptors", "r.getrlimit(r.RLIMIT_NOFILE)", "(128, 128)" },
    { "a file", "r.getrlimit(r.RLIMIT_FSIZE)", "(67108864, 67108864)" },
    { "… and a file that grows beyond it", "f = open('big', 'wb')\ntry:\n    for i in range(9): f.write(b'0' * (8 << 20)); f.flush()\nexcept OSError as e: print(e.strerror, i)\nf = None; import os; os.remove('big')",
      "File too large 8" },
    { "core dumps", "r.getrlimit(r.RLIMIT_CORE)", "(0, 0)" },
    { "the stack", "r.getrlimit(r.RLIMIT_STACK)", "(16777216, 16777216)" },
    { "/box", "st = os.statvfs('/box'); st.f_blocks * st.f_frsize", "268435456" },
    { "/tmp", "st = os.statvfs('/tmp'); st.f_blocks * st.f_frsize", "67108864" },
    { "/dev/shm", "st = os.statvfs('/dev/shm'); st.f_blocks * st.f_frsize", "67108864" },
    { "the environment, whole", "sorted(set(os.environ) - {'LC_CTYPE'})", "['HOME', 'LANG', 'MPLBACKEND', 'MPLCONFIGDIR', 'OPENBLAS_NUM_THREADS', 'PATH', 'PWD']" },
    { "… and what is in it", "os.environ['PATH'], os.environ['HOME'], os.environ['MPLBACKEND'], os.environ['OPENBLAS_NUM_THREADS'], os.getcwd()", "('/usr/bin', '/box', 'Agg', '1', '/box')" },
    { "user, group and name", "os.getuid(), os.getgid(), os.uname().nodename", "(65534, 65534, 'box')" },
    { "no powers, none to come, and a filter", "[l.split()[1] for l in open('/proc/self/status') if l.startswith(('CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp:'))]",
      "['0000000000000000', '0000000000000000', '1', '2']" },
    { "a session of its own, without a terminal", "try: open('/dev/tty')\nexcept OSError as e: print(e.strerror, os.getsid(0) < 4)", "No such device or address True" },
    { "descriptors: stdin, two pipes, the control channel", "len([f for f in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + f) or int(f) < 3]) <= 4", "True" },
    { "what there is below /", "sorted(os.listdir('/'))", "['bin', 'box', 'dev', 'driver.py', 'etc', 'lib', 'lib64', 'proc', 'tmp', 'usr']" },
    { "the driver cannot be changed", "try: open('/driver.py', 'w')\nexcept OSError as e: print(e.strerror)", "Read-only file system" },
    { "no network but none: not even loopback is up", "[l.split(':')[0].strip() for l in open('/proc/net/dev') if ':' in l], open('/proc/net/route').read().count('\\n')", "(['lo'], 1)" },
};

TEST(every_limit_holds)
{
    struct toolset *ts = open_python(NULL);
    if (!ts) SKIP("no sandbox here");
    for (size_t i = 0; i < LEN(limit_rows); i++) expect(ts, limit_rows[i].why, limit_rows[i].code, limit_rows[i].holds);
    toolset_close(ts);
}

/* Memory of several processes together, files in memory among them: only a cgroup counts that. */
TEST(a_cgroup_counts_all_processes)
{
    struct toolset *ts = open_python(NULL);
    if (!ts) SKIP("no sandbox here");
    struct tool_result r = run(ts, "open('/proc/self/cgroup').read()", 5000);
    bool has = r.text.p && strstr(r.text.p, "tenon-box-");
    tool_result_done(&r);
    if (!has) {
        toolset_close(ts);
        printf("skipped: no cgroup can be made here\n");
        SKIP("no cgroup can be made here");
    }
    r = run(ts, "import os, time\nfor i in range(4):\n    if os.fork() == 0:\n        b = bytearray(700 << 20)\n        for k in range(0, len(b), 4096): b[k] = 1\n        time.sleep(20); os._exit(0)\n"
                "n = 0\nfor i in range(4):\n    if os.waitpid(-1, 0)[1] == 9: n += 1; break\nprint('killed', n)", 25000);
    CHECK(strstr(r.text.p, "killed 1") || strstr(r.text.p, "The interpreter was ended"), "four times 700 MiB do not fit into 1.5 GiB: %s", r.text.p);
    tool_result_done(&r);
    toolset_close(ts);
}

/* ---- the filter ---- */

#if defined(__x86_64__)
static const char refused_calls[] =
    "import ctypes\nl = ctypes.CDLL(None, use_errno=True)\n"
    "calls = dict(ptrace=101, process_vm_readv=310, process_vm_writev=311, kexec_load=246, kexec_file_load=320, bpf=321, perf_event_open=298, userfaultfd=323, keyctl=250, add_key=248,\n"
    " request_key=249, mount=165, umount2=166, pivot_root=155, chroot=161, move_mount=429, open_tree=428, fsopen=430, fsmount=432, fsconfig=431, fspick=433, mount_setattr=442, setns=308,\n"
    " unshare=272, init_module=175, finit_module=313, delete_module=176, swapon=167, swapoff=168, reboot=169, settimeofday=164, clock_settime=227, clock_adjtime=305, adjtimex=159,\n"
    " quotactl=179, io_uring_setup=425, io_uring_enter=426, io_uring_register=427, personality=135, name_to_handle_at=303, open_by_handle_at=304, syslog=103, acct=163, pidfd_getfd=438,\n"
    " kcmp=312, vhangup=153, iopl=172, ioperm=173)\n"
    "def refused(n, *a):\n    ctypes.set_errno(0)\n    return l.syscall(n, *(a or (0,) * 6)) == -1 and ctypes.get_errno() == 1\n"
    "print('open:', [k for k, n in calls.items() if not refused(n)], len(calls))\n"
    "print('clone:', [hex(f) for f in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000, 0x80) if not refused(56, f | 17, 0, 0, 0, 0)])\n"
    "print('clone3:', l.syscall(435, 0, 0), ctypes.get_errno())\n"
    "print('sockets:', [f for f in range(46) if f != 1 and not refused(41, f, 1, 0)])\n"
    "print('ioctl:', [hex(c) for c in (0x5412, 0x541C, 0x100005412) if not refused(16, 0, ctypes.c_ulong(c), 0)])\n";

TEST(every_call_that_is_named_is_refused)
{
    static const char *const holds[] = { "open: [] 48", "clone: []", "clone3: -1 38", "sockets: []", "ioctl: []" };
    struct toolset *ts = open_python(NULL);
    if (!ts) SKIP("no sandbox here");
    struct tool_result r = run(ts, refused_calls, 10000);
    for (size_t i = 0; i < LEN(holds); i++) CHECK(strstr(r.text.p, holds[i]), "%s in %s", holds[i], r.text.p);
    tool_result_done(&r);
    toolset_close(ts);
}

/* int 0x80 and the x32 numbers lead around a filter that knows one table only: they kill. */
TEST(another_architecture_is_killed)
{
    static const char *const rows[][2] = {
        { "32-bit calls", "import mmap, ctypes, os\np = os.fork()\nif p == 0:\n    m = mmap.mmap(-1, 4096, prot=7)\n    m.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')\n"
                          "    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()\n    os._exit(0)\nos.waitpid(p, 0)[1] & 127" },
        { "x32 calls", "import ctypes, os\np = os.fork()\nif p == 0:\n    ctypes.CDLL(None).syscall(0x40000000 + 39)\n    os._exit(0)\nos.waitpid(p, 0)[1] & 127" } };
    struct toolset *ts = open_python(NULL);
    if (!ts) SKIP("no sandbox here");
    for (size_t i = 0; i < LEN(rows); i++) expect(ts, rows[i][0], rows[i][1], "31");
    toolset_close(ts);
}
#endif

/* ---- files that come in ---- */

TEST(files_lie_in_the_box)
{
    static const char *const names[] = { "../up", "a/b", "", ".hidden", "\xff" };
    struct toolset *ts = open_python(NULL);
    struct err e = { 0 };
    if (!ts) SKIP("no sandbox here");
    CHECK(toolset_put(ts, "a b\xc3\xa9.csv", "x,y\n1,2\n", 8, &e), "%s", e.msg);
    struct tool_result r = run(ts, "import os; os.listdir('/box'), open('/box/a b\xc3\xa9.csv').read()", 10000);
    CHECK(strstr(r.text.p, "(['a b\xc3\xa9.csv'], 'x,y\\n1,2\\n')") && !r.files, "there, and no file of the call's: %s", r.text.p);
    tool_result_done(&r);
    char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)i;
    CHECK(toolset_put(ts, "b.bin", bytes, sizeof bytes, &e), "%s", e.msg);
    expect(ts, "bytes", "open('b.bin','rb').read() == bytes(i % 256 for i in range(300))", "True");
    r = run_with(ts, "sorted(os.listdir('/box')) if 'os' in globals() else sorted(__import__('os').listdir('/box'))", true, 10000);
    CHECK(strstr(r.text.p, "['a b\xc3\xa9.csv', 'b.bin']"), "again after a reset: %s", r.text.p);
    tool_result_done(&r);
    expect(ts, "the same name replaces", "open('b.bin','rb').read(3)", "b'\\x00\\x01\\x02'");
    CHECK(toolset_put(ts, "b.bin", "new", 3, &e), "%s", e.msg);
    expect(ts, "replaced", "open('b.bin').read()", "'new'");
    for (size_t i = 0; i < LEN(names); i++) {
        e = (struct err){ 0 };
        CHECK(!toolset_put(ts, names[i], "x", 1, &e) && e.code == ERR_ARG, "%s", names[i]);
    }
    char *large = mem_zero(((size_t)32 << 20) + 1);
    e = (struct err){ 0 };
    CHECK(!toolset_put(ts, "large", large, ((size_t)32 << 20) + 1, &e) && e.code == ERR_LIMIT, "%s", e.msg);
    mem_free(large);
    toolset_close(ts);
    ts = toolset_open(NULL);
    CHECK(!toolset_put(ts, "x", "x", 1, &e) && strstr(e.msg, "no tool python"), "%s", e.msg);
    toolset_close(ts);
}

static int listen_at(const char *path, int type)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    CHECK(fd >= 0 && !bind(fd, (struct sockaddr *)&a, sizeof a) && !chmod(path, 0666), "%s", path);
    if (type == SOCK_STREAM) listen(fd, 1);
    return fd;
}

TEST(one_folder_can_be_read_and_nothing_around_it)
{
    char dir[] = "/tmp/tenon-data-XXXXXX", file[64], stream[64], packets[64], secret[64];
    struct err e = { 0 };
    CHECK(mkdtemp(dir) && !chmod(dir, 0755), "a folder");
    snprintf(file, sizeof file, "%s/in.csv", dir);
    snprintf(stream, sizeof stream, "%s/s", dir);
    snprintf(packets, sizeof packets, "%s/d", dir);
    snprintf(secret, sizeof secret, "%s.secret", dir);
    CHECK(file_write(file, "1,2\n", 4, &e) && !chmod(file, 0644) && file_write(secret, "s", 1, &e), "%s", e.msg);
    int fd[] = { listen_at(stream, SOCK_STREAM), listen_at(packets, SOCK_DGRAM) };
    struct toolset *ts = open_python(&(struct toolset_opts){ .data = dir });
    if (ts) {
        struct tool *t = toolset_find(ts, "python");
        CHECK(strstr(json_str(json_get(t->function, "description"), NULL), "/data"), "the model is told");
        expect(ts, "read", "import os, socket; sorted(os.listdir('/data')), open('/data/in.csv').read()", "(['d', 'in.csv', 's'], '1,2\\n')");
        expect(ts, "not written", "try: open('/data/new', 'w')\nexcept OSError as e: print(e.strerror)", "Read-only file system");
        expect(ts, "not changed", "try: os.remove('/data/in.csv')\nexcept OSError as e: print(e.strerror)", "Read-only file system");
        expect(ts, "nothing beside it", "os.listdir('/data/..'), os.path.exists('/tmp/'), os.listdir('/tmp')", "True, [])");
        expect(ts, "no sockets that lie there", "try: socket.socket(socket.AF_UNIX).connect('/data/s')\nexcept OSError as e: print(e.strerror)", "Operation not permitted");
        expect(ts, "no packets for them", "for make in (socket.socket, socket.socketpair):\n    try: make(socket.AF_UNIX, socket.SOCK_DGRAM); print('OPEN')\n    except OSError as e: print(e.strerror)",
               "Operation not permitted\nOperation not permitted");
        toolset_close(ts);
    }
    for (int i = 0; i < 2; i++) close(fd[i]);
    const char *made[] = { file, stream, packets, secret };
    for (size_t i = 0; i < LEN(made); i++) unlink(made[i]);
    rmdir(dir);
    if (!ts) SKIP("no sandbox here");
    static const char *const closed[] = { "/", "/proc", "/proc/self", "/sys", "/dev", "/run/x/..", "/no/such/folder", "/etc/passwd" };
    for (size_t i = 0; i < LEN(closed); i++) {
        e = (struct err){ 0 };
        ts = toolset_open(&(struct toolset_opts){ .data = closed[i] });
        CHECK(!toolset_builtin(ts, "python", &e) && strstr(e.msg, closed[i]), "%s: %s", closed[i], e.msg);
        toolset_close(ts);
    }
}

/* ---- how many, how long ---- */

static void nap(int ms) { nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL); }

TEST(an_idle_box_ends_and_says_so)
{
    struct toolset *ts = open_python(&(struct toolset_opts){ .idle_ms = 800 });
    struct err e = { 0 };
    if (!ts) SKIP("no sandbox here");
    CHECK(toolset_put(ts, "f", "1", 1, &e), "%s", e.msg);
    expect(ts, "first", "x = 1", "(no output)");
    nap(2400);
    struct tool_result r = run(ts, "'x' in globals(), open('f').read()", 10000);
    CHECK(strstr(r.text.p, "(False, '1')") && strstr(r.text.p, "started anew; earlier variables are gone"), "%s", r.text.p);
    tool_result_done(&r);
    r = run(ts, "1", 10000);
    CHECK(!strstr(r.text.p, "started anew"), "said once: %s", r.text.p);
    tool_result_done(&r);
    toolset_close(ts);
}

enum { LIVE = 8 };

TEST(the_ninth_box_takes_the_place_of_the_one_that_was_idle_longest)
{
    struct toolset *ts[LIVE + 1];
    if (!(ts[0] = open_python(NULL))) SKIP("no sandbox here");
    for (int i = 1; i < LIVE; i++) ts[i] = open_python(NULL);
    for (int i = 0; i < LIVE; i++) expect(ts[i], "its own", "x = 1", "(no output)");
    expect(ts[0], "used again", "x", "1");
    CHECK((ts[LIVE] = open_python(NULL)), "a ninth");
    for (int i = 2; i < LIVE; i++) expect(ts[i], "who was not idle longest stays", "x", "1");
    expect(ts[0], "who was used again stays", "x", "1");
    struct tool_result r = run(ts[1], "'x' in globals()", 10000);
    CHECK(strstr(r.text.p, "False") && strstr(r.text.p, "started anew"), "it was idle longest: %s", r.text.p);
    tool_result_done(&r);
    for (int i = 0; i <= LIVE; i++) toolset_close(ts[i]);
}

/* At work until the test puts a file where the box can see it. */
static void *busy(void *ts)
{
    struct tool_result r = run(ts, "import os, time\nwhile not os.path.exists('/data/go'): time.sleep(0.05)", 120000);
    tool_result_done(&r);
    return NULL;
}

/* While some of them are on their way to work, this one may still find a place. */
static bool is_told(struct toolset *ts)
{
    for (int i = 0; i < 60; i++) {
        struct tool_result r = run(ts, "1", 100);
        bool told = r.is_error && strstr(r.text.p, "8 interpreters are at work already");
        tool_result_done(&r);
        if (told) return true;
        nap(200);
    }
    return false;
}

TEST(where_all_boxes_work_one_more_waits_or_is_told)
{
    char dir[] = "/tmp/tenon-go-XXXXXX", go[64];
    struct toolset *ts[LIVE], *more = NULL;
    pthread_t thread[LIVE];
    struct err e = { 0 };
    CHECK(mkdtemp(dir) && !chmod(dir, 0755), "a folder");
    snprintf(go, sizeof go, "%s/go", dir);
    struct toolset_opts o = { .data = dir };
    bool sandbox = (ts[0] = open_python(&o)) != NULL;
    for (int i = 1; sandbox && i < LIVE; i++) ts[i] = open_python(&o);
    if (sandbox && (more = open_python(&o))) {
        for (int i = 0; i < LIVE; i++) CHECK(!pthread_create(&thread[i], NULL, busy, ts[i]), "a thread");
        CHECK(is_told(more), "all eight are at work");
        CHECK(file_write(go, "", 0, &e), "%s", e.msg);
        struct tool_result r = run(more, "2*21", 60000);
        CHECK(!r.is_error && strstr(r.text.p, "42"), "one ends, and this one begins: %s", r.text.p);
        tool_result_done(&r);
        for (int i = 0; i < LIVE; i++) pthread_join(thread[i], NULL), toolset_close(ts[i]);
        toolset_close(more);
    }
    unlink(go);
    rmdir(dir);
    if (!sandbox) SKIP("no sandbox here");
}

/* ---- another Python ---- */

TEST(a_python_of_ones_own_brings_its_folder)
{
    char dir[] = "/tmp/tenon-venv-XXXXXX";
    struct str line = { 0 };
    CHECK(mkdtemp(dir) && !chmod(dir, 0755), "a folder");
    str_fmt(&line, "mkdir -p %s/bin %s/lib && ln -s /usr/bin/python3 %s/bin/python && echo found > %s/lib/marker && chmod -R a+rX %s", dir, dir, dir, dir, dir);
    CHECK(!system(line.p), "%s", line.p);
    str_clear(&line);
    str_fmt(&line, "%s/bin/python", dir);
    struct toolset *ts = open_python(&(struct toolset_opts){ .python = line.p });
    if (ts) {
        struct str code = { 0 };
        str_fmt(&code, "import sys, resource, os; sys.executable, open('%s/lib/marker').read(), os.access('%s/lib/marker', os.W_OK), resource.getrlimit(resource.RLIMIT_AS)[0]", dir, dir);
        str_puts(&line, "', 'found\\n', False, 2147483648)");
        expect(ts, "its own files, read-only, and twice the address space", code.p, line.p);
        expect(ts, "nothing else of /tmp", "os.listdir('/tmp')", strrchr(dir, '/') + 1);
        str_done(&code);
        toolset_close(ts);
    }
    str_clear(&line);
    str_fmt(&line, "rm -r %s", dir);
    if (system(line.p)) printf("%s is left\n", dir);
    str_done(&line);
    if (!ts) SKIP("no sandbox here");
}

TEST_MAIN
