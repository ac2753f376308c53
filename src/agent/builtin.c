/* builtin.c -- tools that come with us: files below one folder, read and changed.
 *
 * Off unless named (--tools-builtin read_file,grep). Every path is opened with openat2(RESOLVE_BENEATH) from the
 * root's descriptor, so neither `..` nor a symbolic link leads out, whatever happens between a check and its use:
 * there is no check, the kernel resolves and refuses in one step. Where a kernel has no openat2 the tools are not
 * offered. Reading tools are allowed unasked; writing ones ask, show what would be different, and keep what they
 * replace beside the transcripts. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <regex.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/int.h"

#define READ_MOST ((size_t)1 << 20)
#define ENTRIES_MOST 2000
#define DEPTH_MOST 20
#define GREP_LINES 200
#define PREVIEW_MOST ((size_t)256 << 10)

struct root { int fd; char *backups; };                                /* backups: a folder, NULL: none are made */

/* ---- opening ---- */

static int open_below(int root, const char *path, int flags, mode_t mode)
{
    struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .mode = flags & O_CREAT ? mode : 0, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    while (*path == '/') path++;                                      /* the root is the root */
    return (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
}

static void fail_path(struct tool_result *out, const char *path)
{
    if (errno == EXDEV) tool_fail(out, "%.200s leads out of the folder; only paths below it are accepted.", path);
    else if (errno == ENOENT) tool_fail(out, "%.200s does not exist; list_dir says what does.", path);
    else tool_fail(out, "%.200s: %s.", path, strerror(errno));
}

static const char *text_arg(const struct invocation *c, const char *key, const char *otherwise)
{
    size_t len = 0;
    const char *s = json_str(json_get(c->args, key), &len);
    return s && strlen(s) == len ? s : otherwise;
}

/* A regular file's content, at most 1 MiB. */
static bool slurp(int root, const char *path, struct str *text, struct tool_result *out)
{
    int fd = open_below(root, path, O_RDONLY | O_NONBLOCK, 0);
    struct stat st;
    char buf[1 << 16];
    if (fd < 0) return fail_path(out, path), false;
    bool ok = !fstat(fd, &st) && S_ISREG(st.st_mode) && (size_t)st.st_size <= READ_MOST;
    if (!ok) tool_fail(out, "%.200s is not a file of at most %zu bytes.", path, READ_MOST);
    for (ssize_t n; ok && text->len <= READ_MOST && (n = read(fd, buf, sizeof buf)) > 0;) str_put(text, buf, (size_t)n);
    close(fd);
    return ok;
}

/* ---- reading ---- */

static void read_file(struct tool *t, const struct invocation *c, struct tool_result *out)
{
    struct str text = { 0 };
    int64_t from = 1, count = 1 << 30, line = 1;
    json_i64(json_get(c->args, "first_line"), &from);
    json_i64(json_get(c->args, "lines"), &count);
    if (slurp(((struct root *)t->ctx)->fd, text_arg(c, "path", ""), &text, out)) {
        for (const char *p = text.p, *end = p + text.len; p && p < end; line++) {
            const char *stop = memchr(p, '\n', (size_t)(end - p));
            size_t n = stop ? (size_t)(stop - p) + 1 : (size_t)(end - p);
            if (line >= from && line - from < count) str_put(&out->text, p, n);
            p += n;
        }
        if (!out->text.len) str_puts(&out->text, text.len ? "(no such lines)" : "(the file is empty)");
    }
    str_done(&text);
}

/* Everything below a folder, depth first; visit says whether to go on. */
struct walk { int root; const char *pattern; regex_t *regex; struct str *out; int n, most, depth; const struct cancel *cancel; };
typedef bool visit_fn(struct walk *w, const char *path, bool is_dir);

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool list_names(int root, const char *path, struct words *names)
{
    int fd = open_below(root, path, O_RDONLY | O_DIRECTORY, 0);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) return fd >= 0 ? close(fd), false : false;
    for (struct dirent *e; (e = readdir(d)) && names->n < ENTRIES_MOST;)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) words_put(names, mem_str(e->d_name));
    closedir(d);
    if (names->n) qsort(names->p, (size_t)names->n, sizeof *names->p, by_name);
    return true;
}

static bool is_dir_below(int root, const char *path)
{
    int fd = open_below(root, path, O_PATH | O_NOFOLLOW, 0);
    struct stat st;
    bool yes = fd >= 0 && !fstat(fd, &st) && S_ISDIR(st.st_mode);
    if (fd >= 0) close(fd);
    return yes;
}

static bool walk(struct walk *w, const char *path, visit_fn *visit)
{
    struct words names = { 0 };
    bool more = w->depth < DEPTH_MOST && !cancel_is_on(w->cancel);
    if (more) list_names(w->root, path, &names);
    w->depth++;
    for (int i = 0; more && i < names.n; i++) {
        struct str full = { 0 };
        str_fmt(&full, "%s%s%s", strcmp(path, ".") ? path : "", strcmp(path, ".") ? "/" : "", names.p[i]);
        bool is_dir = is_dir_below(w->root, full.p);
        more = visit(w, full.p, is_dir) && (!is_dir || walk(w, full.p, visit));
        str_done(&full);
    }
    w->depth--;
    words_done(&names);
    return more;
}

static void list_dir(struct tool *t, const struct invocation *c, struct tool_result *out)
{
    const char *path = text_arg(c, "path", ".");
    int root = ((struct root *)t->ctx)->fd;
    struct words names = { 0 };
    if (!list_names(root, path, &names)) fail_path(out, path);
    for (int i = 0; i < names.n; i++) {
        struct str full = { 0 };
        str_fmt(&full, "%s/%s", path, names.p[i]);
        str_fmt(&out->text, "%s%s\n", names.p[i], is_dir_below(root, full.p) ? "/" : "");
        str_done(&full);
    }
    if (!out->text.len) str_puts(&out->text, "(empty)");
    words_done(&names);
}

static bool visit_find(struct walk *w, const char *path, bool is_dir)
{
    const char *slash = strrchr(path, '/');
    if (fnmatch(w->pattern, slash && !strchr(w->pattern, '/') ? slash + 1 : path, 0)) return true;
    str_fmt(w->out, "%s%s\n", path, is_dir ? "/" : "");
    return ++w->n < w->most;
}

static void find(struct tool *t, const struct invocation *c, struct tool_result *out)
{
    struct walk w = { .root = ((struct root *)t->ctx)->fd, .pattern = text_arg(c, "name", "*"), .out = &out->text, .most = ENTRIES_MOST, .cancel = c->cancel };
    if (!walk(&w, text_arg(c, "path", "."), visit_find)) str_puts(&out->text, "(there are more)\n");
    if (!out->text.len) str_puts(&out->text, "(nothing is called that)");
}

static bool visit_grep(struct walk *w, const char *path, bool is_dir)
{
    struct str text = { 0 };
    struct tool_result ignored = { 0 };
    int number = 1;
    if (!is_dir && slurp(w->root, path, &text, &ignored) && !memchr(text.p ? text.p : "", 0, text.len))
        for (char *p = text.p, *end = p ? p + text.len : p; p < end && w->n < w->most; number++) {
            char *stop = memchr(p, '\n', (size_t)(end - p));
            if (!stop) stop = end;
            *stop = 0;
            if (!regexec(w->regex, p, 0, NULL, 0)) str_fmt(w->out, "%s:%d:%.400s\n", path, number, p), w->n++;
            p = stop + 1;
        }
    str_done(&text);
    tool_result_done(&ignored);
    return w->n < w->most;
}

static void grep(struct tool *t, const struct invocation *c, struct tool_result *out)
{
    regex_t regex;
    struct walk w = { .root = ((struct root *)t->ctx)->fd, .regex = &regex, .out = &out->text, .most = GREP_LINES, .cancel = c->cancel };
    const char *pattern = text_arg(c, "pattern", ""), *path = text_arg(c, "path", ".");
    if (strlen(pattern) > 1000 || regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB)) {
        tool_fail(out, "'%.100s' is not an extended regular expression.", pattern);
        return;
    }
    bool all = is_dir_below(w.root, path) ? walk(&w, path, visit_grep) : visit_grep(&w, path, false);
    if (!all) str_puts(&out->text, "(there are more)\n");
    if (!out->text.len) str_puts(&out->text, "(no line matches)");
    regfree(&regex);
}

/* ---- writing ---- */

/* Beside the old file, then in its place. */
static bool write_below(int root, const char *path, const char *p, size_t n, struct tool_result *out)
{
    struct str tmp = { 0 };
    while (*path == '/') path++;
    str_fmt(&tmp, "%s.part-%ld", path, (long)getpid());
    int fd = open_below(root, tmp.p, O_WRONLY | O_CREAT | O_EXCL, 0644);
    bool ok = fd >= 0, moved = false;
    for (size_t at = 0; ok && at < n;) {
        ssize_t k = write(fd, p + at, n - at);
        ok = k > 0;
        at += ok ? (size_t)k : 0;
    }
    const char *slash = strrchr(tmp.p, '/');
    char *folder = slash ? mem_str(tmp.p) : mem_str(".");
    if (slash) folder[slash - tmp.p] = 0;
    int dir = ok ? open_below(root, folder, O_PATH | O_DIRECTORY, 0) : -1;
    const char *from = slash ? slash + 1 : tmp.p, *to = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (dir >= 0) moved = !renameat(dir, from, dir, to);
    if (!moved) fail_path(out, path);
    if (fd >= 0 && !moved && dir >= 0) unlinkat(dir, from, 0);
    if (fd >= 0) close(fd);
    if (dir >= 0) close(dir);
    mem_free(folder);
    str_done(&tmp);
    return moved;
}

/* "20260131-101500-003-src_main.c": when, and of what. */
static int open_backup(const char *dir, const char *path, struct str *name)
{
    static atomic_int serial;
    struct timespec now;
    struct tm tm;
    char stamp[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm);
    str_fmt(name, "%s-%03d-%03d-", stamp, (int)(now.tv_nsec / 1000000), atomic_fetch_add(&serial, 1) % 1000);
    size_t from = strlen(path) > 100 ? strlen(path) - 100 : 0;
    for (const char *p = path + from; *p; p++) str_putc(name, *p == '/' ? '_' : *p);
    struct str full = { 0 };
    mkdir(dir, 0700);                                                 /* the first one makes it */
    str_fmt(&full, "%s/%s", dir, name->p);
    int fd = open(full.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    str_done(&full);
    return fd;
}

static bool copy_all(int from, int to)
{
    static _Thread_local char buf[1 << 16];
    ssize_t n;
    while ((n = read(from, buf, sizeof buf)) > 0)
        for (ssize_t at = 0, k; at < n; at += k)
            if ((k = write(to, buf + at, (size_t)(n - at))) <= 0) return false;
    return !n;
}

/* What stands at path now is kept under a name, "" if there is nothing. False: it cannot be, so nothing may be replaced. */
static bool back_up(const struct root *r, const char *path, struct str *name, struct tool_result *out)
{
    if (!r->backups) return true;
    int from = open_below(r->fd, path, O_RDONLY | O_NONBLOCK, 0);
    struct stat st;
    if (from < 0 && errno == ENOENT) return true;
    if (from < 0) return fail_path(out, path), false;
    bool is_file = !fstat(from, &st) && S_ISREG(st.st_mode);
    int to = is_file ? open_backup(r->backups, path, name) : -1;
    bool ok = to >= 0 && copy_all(from, to);
    if (to >= 0) ok = !close(to) && ok;
    close(from);
    if (!is_file) tool_fail(out, "%.200s is not a regular file.", path);
    else if (!ok) tool_fail(out, "What %.200s holds cannot be kept in %.200s (%s), so it is not replaced.", path, r->backups, strerror(errno));
    return ok;
}

static void say_written(struct tool_result *out, const struct str *backup, const char *what, const char *path)
{
    str_fmt(&out->text, "%s %s", what, path);
    if (backup->len) str_fmt(&out->text, " (what it held is kept as %s)", backup->p);
}

static void write_file(struct tool *t, const struct invocation *c, struct tool_result *out)
{
    size_t n = 0;
    const struct root *r = t->ctx;
    const char *s = json_str(json_get(c->args, "content"), &n), *path = text_arg(c, "path", "");
    struct str backup = { 0 };
    char what[40];
    snprintf(what, sizeof what, "wrote %zu bytes to", n);
    if (back_up(r, path, &backup, out) && write_below(r->fd, path, s, n, out)) say_written(out, &backup, what, path);
    str_done(&backup);
}

/* The text with its one piece replaced. False: out says why not. */
static bool replace_piece(const struct str *text, const struct json *args, const char *path, struct str *edited, struct tool_result *out)
{
    size_t n_old = 0, n_new = 0;
    const char *was = json_str(json_get(args, "old"), &n_old), *becomes = json_str(json_get(args, "new"), &n_new);
    char *at = n_old && text->len ? memmem(text->p, text->len, was, n_old) : NULL;
    const char *next = at ? at + 1 : NULL;
    if (!at) return tool_fail(out, "%.200s does not hold the old text; read it and copy the text exactly.", path), false;
    if (memmem(next, (size_t)(text->p + text->len - next), was, n_old))
        return tool_fail(out, "%.200s holds the old text more than once; take more of what stands around it.", path), false;
    str_put(edited, text->p, (size_t)(at - text->p));
    str_put(edited, becomes, n_new);
    str_put(edited, at + n_old, text->len - (size_t)(at - text->p) - n_old);
    return true;
}

static void edit_file(struct tool *t, const struct invocation *c, struct tool_result *out)
{
    const struct root *r = t->ctx;
    const char *path = text_arg(c, "path", "");
    struct str text = { 0 }, edited = { 0 }, backup = { 0 };
    if (slurp(r->fd, path, &text, out) && replace_piece(&text, c->args, path, &edited, out) && back_up(r, path, &backup, out) &&
        write_below(r->fd, path, edited.p ? edited.p : "", edited.len, out))
        say_written(out, &backup, "edited", path);
    str_done(&text);
    str_done(&edited);
    str_done(&backup);
}

/* What would be different afterwards, in lines. */
static void preview_edit(struct tool *t, const struct json *args, struct str *out)
{
    const struct root *r = t->ctx;
    const char *path = json_str(json_get(args, "path"), NULL);
    size_t n = 0;
    const char *content = json_str(json_get(args, "content"), &n);
    struct str was = { 0 }, is = { 0 };
    struct tool_result why = { 0 };
    bool known = slurp(r->fd, path ? path : "", &was, &why) && was.len <= PREVIEW_MOST;
    if (content) str_put(&is, content, n);
    else if (!known || !replace_piece(&was, args, path, &is, &why)) {
        str_fmt(out, "(this will fail: %s)\n", why.text.p ? why.text.p : "the file is too long");
        str_clear(&was);
    }
    if (content && !known) str_clear(&was);
    diff_lines(out, (struct bytes){ was.p, was.len }, (struct bytes){ is.p, is.len });
    tool_result_done(&why);
    str_done(&was);
    str_done(&is);
}

/* ---- the table ---- */

#define STRING "{\"type\":\"string\"}"
#define COUNT "{\"type\":\"integer\",\"minimum\":1}"
static const struct builtin {
    const char *name, *about, *parameters;
    bool read_only;
    void (*invoke)(struct tool *t, const struct invocation *c, struct tool_result *out);
} builtins[] = {
    { "read_file", "Reads a text file", "{\"path\":" STRING ",\"first_line\":" COUNT ",\"lines\":" COUNT "} path", true, read_file },
    { "list_dir", "Lists a folder", "{\"path\":" STRING "} path", true, list_dir },
    { "find", "Finds files by a pattern of their name, such as *.txt", "{\"name\":" STRING ",\"path\":" STRING "} name", true, find },
    { "grep", "Finds lines that match an extended regular expression", "{\"pattern\":" STRING ",\"path\":" STRING "} pattern", true, grep },
    { "write_file", "Writes a text file, replacing what it held", "{\"path\":" STRING ",\"content\":" STRING "} path content", false, write_file },
    { "edit_file", "Replaces one piece of text in a file", "{\"path\":" STRING ",\"old\":" STRING ",\"new\":" STRING "} path old new", false, edit_file },
};

static void builtin_close(struct tool *t)
{
    struct root *r = t->ctx;
    if (r->fd >= 0) close(r->fd);
    mem_free(r->backups);
    mem_free(r);
}

/* "{properties} required required …" of the table becomes a definition. */
static struct json *definition(const struct builtin *b)
{
    struct str s = { 0 };
    const char *space = strrchr(b->parameters, '}') + 1;
    str_fmt(&s, "{\"description\":\"%s\",\"parameters\":{\"type\":\"object\",\"properties\":%.*s,\"required\":[", b->about, (int)(space - b->parameters), b->parameters);
    for (const char *p = space; *p == ' ';) {
        size_t n = strcspn(++p, " ");
        str_fmt(&s, "%s\"%.*s\"", p == space + 1 ? "" : ",", (int)n, p);
        p += n;
    }
    str_puts(&s, "],\"additionalProperties\":false}}");
    struct json *v = json_parse(s.p, s.len, NULL);
    str_done(&s);
    return v;
}

static bool add(struct toolset *ts, const struct builtin *b, struct err *e)
{
    const char *path = ts->opts.root ? ts->opts.root : ".";
    struct root *r = mem_zero(sizeof *r);
    struct tool *t = tool_new(b->name, "builtin");
    struct json *d = definition(b);
    t->ctx = r;
    t->close = builtin_close;
    t->invoke = b->invoke;
    t->read_only = b->read_only;
    t->policy = b->read_only ? POLICY_ALLOW : POLICY_ASK;
    if (!b->read_only) t->preview = preview_edit;
    if (ts->opts.backup_dir && !b->read_only) r->backups = mem_str(ts->opts.backup_dir);
    r->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int probe = r->fd < 0 ? -1 : open_below(r->fd, ".", O_PATH, 0);
    bool ok = tool_configure(t, d, e);
    if (ok && r->fd < 0) ok = err_set(e, ERR_IO, "--root %s: %s", path, strerror(errno));
    else if (ok && probe < 0) ok = err_set(e, ERR_UNSUPPORTED, "the tool %s needs openat2(2), which this kernel does not have", b->name);
    if (probe >= 0) close(probe);
    json_free(d);
    if (ok) return toolset_add(ts, t, e);
    tool_free(t);
    return false;
}

bool builtin_add(struct toolset *ts, const char *name, struct err *e)
{
    struct str list = { 0 };
    if (!strcmp(name, "run")) return run_add(ts, e);
    for (size_t i = 0; i < LEN(builtins); i++)
        if (!strcmp(builtins[i].name, name)) return add(ts, &builtins[i], e);
    for (size_t i = 0; i < LEN(builtins); i++) str_fmt(&list, "%s, ", builtins[i].name);
    err_set(e, ERR_ARG, "there is no builtin tool '%.60s'; there are %srun, python", name, list.p);
    str_done(&list);
    return false;
}
