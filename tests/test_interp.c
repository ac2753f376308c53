/* test_interp.c -- the code interpreter, attacked from inside: each row is code that tries something, and what must
 * come of it. Needs bubblewrap, Python and user namespaces; says aloud when they are missing. */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interp.h"

static struct toolset *open_tools(void) { return open_python(NULL); }

static const struct { const char *why, *code, *holds, *lacks; int ms; } rows[] = {
    { "the value of the last line", "6*7", "42", NULL, 0 },
    { "what is printed", "print('a'); print('b')", "a\nb", NULL, 0 },
    { "variables are kept", "x = [1]", "(no output)", NULL, 0 },
    { "… and found again", "x.append(2); x", "[1, 2]", NULL, 0 },
    { "imports and files too", "import math; open('k.txt','w').write('kept'); math.floor(2.5)", "2", NULL, 0 },
    { "… and found again", "math.ceil(2.5), open('k.txt').read()", "(3, 'kept')", NULL, 0 },
    { "an exception names its line", "def f():\n    return 1/0\nf()", "line 2, in f", "driver", 0 },
    { "a syntax error", "def :", "SyntaxError", NULL, 0 },
    { "exit does not end it", "raise SystemExit(3)", "goes on", NULL, 0 },
    { "output of children", "import subprocess; subprocess.run(['echo','child'])", "child", NULL, 0 },
    { "nothing of the host is there", "import os; print(sorted(os.listdir('/')))", "'box'", "'home'", 0 },
    { "no password file", "open('/etc/passwd').read()", "FileNotFoundError", NULL, 0 },
    { "no host environment", "import os; print(dict(os.environ)); print(open('/proc/1/environ').read())", "HOME", "TEST_INTERP_SECRET", 0 },
    { "nothing of other processes", "import os\nfor p in os.listdir('/proc'):\n    if p.isdigit():\n        try: print(repr(open('/proc/%s/environ'%p).read()), repr(open('/proc/%s/cmdline'%p).read()))\n        except Exception as e: print(e)",
      "python", "TEST_INTERP_SECRET", 0 },
    { "few processes", "import os; len([p for p in os.listdir('/proc') if p.isdigit()]) < 6", "True", NULL, 0 },
    { "/usr is read-only", "open('/usr/x','w')", "Read-only file system", NULL, 0 },
    { "/ is no way out", "import os\nos.symlink('/proc/1/root','r')\nprint(sorted(os.listdir('r/')))", "'box'", "'work'", 0 },
    { "dots are no way out", "import os; os.listdir('../../../../..')", "'box'", "'home'", 0 },
    { "chroot", "import os; os.chroot('/box')", "Operation not permitted", NULL, 0 },
    { "no internet sockets", "import socket; socket.socket()", "Operation not permitted", NULL, 0 },
    { "no IPv6, no raw, no netlink", "import socket\nfor f,t in ((10,1),(2,3),(16,3),(17,3)):\n    try: socket.socket(f,t); print('OPEN')\n    except OSError as e: print(e.strerror)", "not permitted", "OPEN", 0 },
    { "no names", "import socket; socket.getaddrinfo('example.org', 80)", "rror", "80)", 0 },
    { "abstract sockets of the host are not there", "import socket\ns=socket.socket(socket.AF_UNIX)\nprint(s.connect_ex('\\0tenon-test-interp'))", "111", NULL, 0 },
    { "no new user namespace", "import os,ctypes; l=ctypes.CDLL(None,use_errno=True); print(l.unshare(0x10000000), ctypes.get_errno())", "-1 1", NULL, 0 },
    { "no new namespaces by clone", "import ctypes; l=ctypes.CDLL(None,use_errno=True)\nfor f in (0x10000000,0x20000,0x20000000,0x40000000): print(l.syscall(56,f|17,0,0,0,0), ctypes.get_errno())", "-1 1\n-1 1\n-1 1\n-1 1", NULL, 0 },
    { "no clone3", "import ctypes; l=ctypes.CDLL(None,use_errno=True); print(l.syscall(435,0,0), ctypes.get_errno())", "-1 38", NULL, 0 },
    { "no tracing", "import ctypes; l=ctypes.CDLL(None,use_errno=True); print(l.ptrace(16,1,0,0), ctypes.get_errno())", "-1 1", NULL, 0 },
    { "no reading of others' memory", "import ctypes; l=ctypes.CDLL(None,use_errno=True); print(l.syscall(310,1,0,0,0,0,0), ctypes.get_errno())", "-1 1", NULL, 0 },
    { "no mounts", "import ctypes; l=ctypes.CDLL(None,use_errno=True); print(l.mount(b'none',b'/box',b'tmpfs',0,0), ctypes.get_errno())", "-1 1", NULL, 0 },
    { "no bpf, keys, io_uring", "import ctypes; l=ctypes.CDLL(None,use_errno=True); print([(l.syscall(n,0,0,0,0),ctypes.get_errno()) for n in (321,248,250,425,323,298,135)])", "[(-1, 1), (-1, 1), (-1, 1), (-1, 1), (-1, 1), (-1, 1), (-1, 1)]", NULL, 0 },
    { "no TIOCSTI", "import fcntl; fcntl.ioctl(0, 0x5412, b'x')", "Operation not permitted", NULL, 0 },
    { "no signal to the outside", "import os\ntry: os.kill(99999, 0)\nexcept OSError as e: print(e)", "No such process", NULL, 0 },
    { "a signal to all and everybody", "import os\nfor p in (-1, 1, os.getppid()):\n    try: os.kill(p, 9)\n    except OSError as e: print(e)\n'alive'", "alive", NULL, 0 },
    { "the kernel's switches", "for p in ('/proc/sys/kernel/hostname','/proc/sysrq-trigger','/proc/sys/kernel/core_pattern'):\n    try: open(p,'w').write('x'); print('OPEN')\n    except OSError as e: print(e.strerror)",
      "ermission denied", "OPEN", 0 },
    { "memory of the first process", "open('/proc/1/mem','rb').read(1)", "rror", NULL, 0 },
    { "descriptors of the first process are our pipes alone", "import os\nfor p in os.listdir('/proc/1/fd'): print(os.readlink('/proc/1/fd/'+p))", "pipe:", "socket:", 0 },
    { "not root", "import os; os.setuid(0)", "rror", NULL, 0 },
    { "no device nodes", "import os; os.mknod('d', 0o60600, 0x800)", "Operation not permitted", NULL, 0 },
    { "limits cannot be raised", "import resource; resource.setrlimit(resource.RLIMIT_AS,(-1,-1))", "rror", NULL, 0 },
    { "a memory bomb", "b = []\nwhile True: b.append(bytearray(1<<27))", "MemoryError", NULL, 0 },
    { "… and it lives", "b = None; x", "[1, 2]", NULL, 0 },
    { "a file bomb", "f=open('big','wb')\nwhile True: f.write(b'0'*(1<<20))", "rror", NULL, 20000 },
    { "many files", "import os\nos.remove('big')\nopen('/tmp/t','wb').write(b'0'*(70<<20))", "rror", NULL, 20000 },
    { "no memory beside the bounded one: / and /dev", "for p in ('/x','/dev/x','/usr/x','/etc/x'):\n    try: open(p,'w'); print('OPEN')\n    except OSError as e: print(e.strerror)",
      "Read-only file system\nRead-only file system\nRead-only file system\nRead-only file system", "OPEN", 0 },
    { "… and /dev/shm is bounded", "import os\nn=0\ntry:\n    for i in range(4): open('/dev/shm/%d'%i,'wb').write(b'0'*(30<<20)); n+=1\nexcept OSError as e: print(e.strerror, n)\n"
      "for i in range(4):\n    if os.path.exists('/dev/shm/%d'%i): os.remove('/dev/shm/%d'%i)", "No space left on device 2", NULL, 20000 },
    { "a descriptor bomb", "l = []\ntry:\n    while True: l.append(open('/dev/null'))\nexcept OSError as e: print(e.strerror)\nl = None", "Too many open files", NULL, 0 },
    { "a fork bomb", "import os,time,signal\nkids=[]\ntry:\n    while True:\n        p=os.fork()\n        if p==0: time.sleep(3); os._exit(0)\n        kids.append(p)\nexcept OSError as e:\n    n=len(kids)\n    for k in kids: os.kill(k,9)\n    for k in kids: os.waitpid(k,0)\n    print(e.strerror, n<80)", "temporarily unavailable True", NULL, 20000 },
    { "endless output is cut", "while True: print('x'*5000)", "bytes more were printed", NULL, 700 },
    { "terminal escapes arrive as bytes", "print('\\x1b[31mred')", "red", NULL, 0 },
    { "a long loop is interrupted and keeps its state", "while True: pass", "KeyboardInterrupt", NULL, 300 },
    { "… and found again", "x", "[1, 2]", NULL, 0 },
    { "sleep is interrupted", "import time; time.sleep(100)", "KeyboardInterrupt", NULL, 200 },
    { "a symbolic link is no file", "import os; os.symlink('/usr/bin/python3','link')", "(no output)", "link", 0 },
    { "a FIFO is no file", "os.mkfifo('fifo')", "(no output)", "fifo", 0 },
    { "a hard link to the outside", "os.link('/usr/bin/env','hard')", "rror", NULL, 0 },
    { "a forged frame is for nobody", "import json,struct\nfor fd in range(3,40):\n    try:\n        d=json.dumps({'id':77777,'value':'forged'}).encode(); os.write(fd, struct.pack('>I',len(d))+d)\n    except OSError: pass", "", "forged", 0 },
};

TEST(attacks_are_contained)
{
    setenv("TEST_INTERP_SECRET", "TEST_INTERP_SECRET", 1);
    struct toolset *ts = open_tools();
    if (!ts) SKIP("no sandbox here");
    for (size_t i = 0; i < LEN(rows); i++) {
        uint64_t t0 = clock_ns();
        struct tool_result r = run(ts, rows[i].code, rows[i].ms ? rows[i].ms : 10000);
        const char *text = r.text.p ? r.text.p : "";
        size_t tail = r.text.len > 600 ? r.text.len - 600 : 0;
        CHECK(strstr(text, rows[i].holds), "%s: %s", rows[i].why, text + tail);
        CHECK(!rows[i].lacks || !strstr(text, rows[i].lacks), "%s: %s", rows[i].why, text + tail);
        CHECK(r.text.len < 600000 && clock_ns() - t0 < (uint64_t)30 * 1000000000u, "%s: bounded", rows[i].why);
        tool_result_done(&r);
        if (getenv("TEST_INTERP_TIMES")) printf("%6.2f s %s\n", (double)(clock_ns() - t0) / 1e9, rows[i].why);
    }
    toolset_close(ts);
}

/* These end the box; the next call begins anew and says so. */
static const struct { const char *why, *code; int ms; } deaths[] = {
    { "who does not listen is killed", "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass", 200 },
    { "who ends itself", "import os; os._exit(7)", 5000 },
    { "a fork bomb that breeds", "import os,signal,time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.05)", 1500 },
    { "who kills himself", "import os; os.kill(os.getpid(), 9)", 5000 },
    { "a frame that is too long", "import os\nfor fd in range(3,40):\n    try: os.write(fd, b'\\xff\\xff\\xff\\xff')\n    except OSError: pass\nwhile True: pass", 5000 },
    { "a frame that is no JSON", "import os\nfor fd in range(3,40):\n    try: os.write(fd, b'\\0\\0\\0\\4nope')\n    except OSError: pass\nwhile True: pass", 5000 },
};

TEST(a_box_that_dies_is_replaced)
{
    struct toolset *ts = open_tools();
    if (!ts) SKIP("no sandbox here");
    for (size_t i = 0; i < LEN(deaths); i++) {
        struct tool_result r = run(ts, "y = 1", 5000);
        tool_result_done(&r);
        r = run(ts, deaths[i].code, deaths[i].ms);
        CHECK(r.is_error && strstr(r.text.p, "All variables and files are lost"), "%s: %s", deaths[i].why, r.text.p);
        tool_result_done(&r);
        r = run(ts, "'y' in globals()", 5000);
        CHECK(!r.is_error && strstr(r.text.p, "False"), "%s: %s", deaths[i].why, r.text.p);
        tool_result_done(&r);
    }
    toolset_close(ts);
}

/* All processes below one, as " 12 13": each names its parent in /proc/PID/stat, behind the last parenthesis. */
static void children_of(pid_t parent, struct str *out)
{
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300], line[600] = "";
        int pid = atoi(e->d_name), of = -1;
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *f = pid > 0 ? fopen(path, "r") : NULL;
        if (f && fgets(line, sizeof line, f) && strrchr(line, ')')) sscanf(strrchr(line, ')'), ") %*c %d", &of);
        if (f) fclose(f);
        if (of != (int)parent) continue;
        str_fmt(out, " %d", pid);
        children_of((pid_t)pid, out);
    }
    if (d) closedir(d);
}

/* Gone, or dead and waiting for somebody to count it. */
static bool is_gone(long pid)
{
    char path[64], line[600] = "", state = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f) return true;
    if (fgets(line, sizeof line, f) && strrchr(line, ')')) sscanf(strrchr(line, ')'), ") %c", &state);
    fclose(f);
    return !state || state == 'Z';
}

static bool all_gone(const char *pids)
{
    for (char *end;; pids = end) {
        long pid = strtol(pids, &end, 10);
        if (end == pids) return true;
        if (!is_gone(pid)) return false;
    }
}

TEST(nothing_lasts_beyond_a_reset)
{
    struct toolset *ts = open_tools();
    if (!ts) SKIP("no sandbox here");
    struct tool_result r = run(ts, "import os,time\nz = 1\nfor p in ('/box','/tmp','/dev/shm'): open(p+'/left','w').write('x')\nif os.fork() == 0: os.setsid(); time.sleep(60)", 5000);
    tool_result_done(&r);
    r = run_with(ts, "import os; 'z' in globals(), [os.listdir(p) for p in ('/box','/tmp','/dev/shm')], len([p for p in os.listdir('/proc') if p.isdigit()]) < 4", true, 10000);
    CHECK(strstr(r.text.p, "(False, [[], [], []], True)"), "%s", r.text.p);
    tool_result_done(&r);
    toolset_close(ts);
}

/* The box of a process that was killed: its own control pipe is held by the box alone, so its end is the box's end. */
TEST(a_box_dies_with_its_owner)
{
    int fd[2];
    struct toolset *probe = open_tools();
    if (!probe) SKIP("no sandbox here");
    toolset_close(probe);
    CHECK(!pipe(fd), "a pipe");
    pid_t owner = fork();
    if (owner == 0) {
        struct toolset *ts = open_tools();
        struct tool_result r = run(ts, "import os\nif os.fork() == 0:\n    import time\n    os.setsid(); time.sleep(600)\n'up'", 10000);
        ssize_t n = write(fd[1], r.is_error ? "-" : "+", 1);
        if (n == 1) pause();
        _exit(1);
    }
    char c = 0;
    close(fd[1]);
    CHECK(read(fd[0], &c, 1) == 1 && c == '+', "the box is up");
    struct str children = { 0 };
    children_of(owner, &children);
    CHECK(children.len > 0, "it has processes");
    kill(owner, SIGKILL);
    waitpid(owner, NULL, 0);
    bool gone = false;
    for (int i = 0; i < 300 && !(gone = all_gone(children.p ? children.p : "")); i++) usleep(50000);
    CHECK(gone, "of %s some are left", children.p);
    close(fd[0]);
    str_done(&children);
}

TEST(files_come_out_under_harmless_names)
{
    struct toolset *ts = open_tools();
    if (!ts) SKIP("no sandbox here");
    struct tool_result r = run(ts, "import os\nos.mkdir('d')\nopen('d/p.png','wb').write(b'\\x89PNG1234')\nopen('we ird;\\x1b[2J$(id).txt','w').write('x')\nopen('.hidden','w').write('h')\nopen('n'*255,'w').write('n'); open('é'*127,'w').write('e')", 10000);
    static const char *const names[] = { "\"name\":\"d_p.png\",\"type\":\"image/png\",\"bytes\":8", "we_ird_", "\"name\":\"file\"" };
    struct str s = { 0 };
    json_write(&s, r.files ? r.files : json_new_null(), JSON_COMPACT);
    for (size_t i = 0; i < LEN(names); i++) CHECK(strstr(s.p, names[i]), "%s in %s", names[i], s.p);
    CHECK(json_len(r.files) == 5, "those whose names became one too: %s", s.p);
    for (size_t i = 0; i < json_len(r.files); i++) {
        const char *path = json_str(json_get(json_at(r.files, i), "path"), NULL);
        struct stat st;
        CHECK(path && !lstat(path, &st) && S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0600, "%s", path);
        CHECK(path && strlen(strrchr(path, '/')) < 100 && !strpbrk(path, " ;$\033("), "%s", path);
        if (path) unlink(path);
    }
    str_done(&s);
    tool_result_done(&r);
    toolset_close(ts);
}

/* A frame with the number of the very call, written by its code: it may lie about the value, and about nothing of ours. */
TEST(a_forged_answer_reaches_no_file_of_ours)
{
    static const char code[] =
        "import json, os, struct\n"
        "files = [{'name': '../../../../tmp/tenon-evil', 'data': 'aGk='}, {'name': '/etc/tenon-evil', 'data': 'aGk='}, {'name': 'x', 'data': 5}, {'name': 7, 'data': 'aGk='}, {'data': 'aGk='}, 'text',\n"
        "         {'name': '\\x1b[2J', 'data': '!!'}, {'name': 'n' * 5000, 'data': 'aGk='}] + [{'name': 'many', 'data': 'aGk='}] * 50\n"
        "d = json.dumps({'id': 1, 'value': 'forged', 'error': None, 'files': files}).encode()\n"
        "for fd in range(3, 40):\n    try: os.write(fd, struct.pack('>I', len(d)) + d)\n    except OSError: pass\n";
    struct toolset *ts = open_tools();
    if (!ts) SKIP("no sandbox here");
    struct tool_result r = run(ts, code, 10000);
    CHECK(strstr(r.text.p, "forged") && json_len(r.files) && json_len(r.files) <= 16, "%s, %zu files", r.text.p, json_len(r.files));
    for (size_t i = 0; i < json_len(r.files); i++) {
        const char *name = json_str(json_get(json_at(r.files, i), "name"), NULL), *path = json_str(json_get(json_at(r.files, i), "path"), NULL);
        CHECK(name && strlen(name) <= 80 && *name != '.' && !strpbrk(name, "/\033[ "), "%s", name);
        CHECK(!path || !strncmp(path, "/tmp/tenon-files-", 17), "%s", path);
        if (path) unlink(path);
    }
    CHECK(access("/tmp/tenon-evil", F_OK) && access("/etc/tenon-evil", F_OK), "nothing beside its folder");
    tool_result_done(&r);
    r = run(ts, "1 + 1", 10000);
    CHECK(strstr(r.text.p, "2") && !strstr(r.text.p, "forged"), "the true answer of the call before is for nobody: %s", r.text.p);
    tool_result_done(&r);
    toolset_close(ts);
}

TEST(what_is_printed_moves_no_terminal)
{
    struct toolset *ts = open_tools();
    struct tool_result r = { 0 };
    struct cancel c;
    struct err e = { 0 };
    if (!ts) SKIP("no sandbox here");
    CHECK(cancel_init(&c, &e), "%s", e.msg);
    static const char text[] = "{\"code\":\"print('\\\\x1b]0;title\\\\x07\\\\x1b[31mred\\\\x9b2J\\\\r\\\\x08end')\"}";
    struct json *args = json_parse(text, sizeof text - 1, &e);
    CHECK(args, "%s", e.msg);
    toolset_call(ts, toolset_find(ts, "python"), args, &c, &r);
    CHECK(strstr(r.text.p, "red") && strstr(r.text.p, "end") && !strpbrk(r.text.p, "\033\007\r\010") && !strstr(r.text.p, "title"), "%s", r.text.p);
    json_free(args);
    tool_result_done(&r);
    cancel_done(&c);
    toolset_close(ts);
}

/* A module that looks like matplotlib: every open figure becomes a picture, and the model is told its size. */
TEST(open_figures_become_pictures)
{
    static const char code[] =
        "import sys, types, base64\npng = base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAIAAAADCAYAAAC56t6BAAAAC0lEQVR4nGNgwAUAABsAAQHNSEsAAAAASUVORK5CYII=')\n"
        "class Figure:\n    def savefig(self, path): open(path, 'wb').write(png)\n"
        "m = types.ModuleType('matplotlib.pyplot'); m.get_fignums = lambda: [1, 2]; m.figure = lambda n: Figure(); m.closed = []\n"
        "def close(what): m.closed.append(what); m.get_fignums = lambda: []\nm.close = close\n"
        "sys.modules['matplotlib.pyplot'] = m\n";
    struct toolset *ts = open_tools();
    if (!ts) SKIP("no sandbox here");
    CHECK(toolset_find(ts, "python")->timeout_ms == 30000, "thirty seconds a call");
    struct tool_result r = run(ts, code, 10000);
    CHECK(json_len(r.files) == 2, "%s", r.text.p);
    struct str text = { 0 };
    result_put_files(&text, r.files);
    CHECK(text.p && strstr(text.p, "[image 2×3 saved as fig1.png (image/png,") && strstr(text.p, "fig2.png"), "%s", text.p);
    for (size_t i = 0; i < json_len(r.files); i++) unlink(json_str(json_get(json_at(r.files, i), "path"), NULL));
    str_done(&text);
    tool_result_done(&r);
    r = run(ts, "m.closed", 10000);
    CHECK(strstr(r.text.p, "['all']") && !r.files, "closed, so shown once: %s", r.text.p);
    tool_result_done(&r);
    toolset_close(ts);
}

TEST(two_conversations_share_nothing)
{
    struct toolset *a = open_tools(), *b = a ? open_tools() : NULL;
    if (!b) SKIP("no sandbox here");
    struct tool_result r = run(a, "open('/box/mine','w').write('a'); open('/tmp/mine','w').write('a')", 5000);
    tool_result_done(&r);
    r = run(b, "import os; os.listdir('/box'), os.listdir('/tmp')", 5000);
    CHECK(strstr(r.text.p, "([], [])"), "%s", r.text.p);
    tool_result_done(&r);
    toolset_close(a);
    toolset_close(b);
}

TEST(without_an_interpreter_there_is_no_tool)
{
    struct err e = { 0 };
    struct toolset *ts = toolset_open(&(struct toolset_opts){ .python = "/usr/bin/no-such-python" });
    CHECK(!toolset_builtin(ts, "python", &e) && strstr(e.msg, "not offered") && strstr(e.msg, "/usr/bin/no-such-python"), "%s", e.msg);
    CHECK(!toolset_find(ts, "python"), "no tool");
    toolset_close(ts);
}

TEST_MAIN
