/* typed.c -- what a typed line may hold beside text.
 *
 * All of this is for a terminal, where a person types: lines that come through a pipe may be anybody's, and must not
 * name files of ours or run anything. */
#include "typed.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- @FILE ---- */

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);               /* no FIFO, no device */
}

/* The file that a word names, without the point or comma of the sentence around it. Owned; NULL: none. */
static char *file_of(const char *word, size_t n)
{
    for (size_t len = n; len; len--) {
        char *path = mem_zero(len + 1);
        memcpy(path, word, len);
        if (is_file(path)) return path;
        mem_free(path);
        if (!strchr(".,;:!?)", word[len - 1])) break;
    }
    return NULL;
}

static bool is_text(const struct str *s) { return utf8_valid(s->p ? s->p : "", s->len) && !memchr(s->p ? s->p : "", 0, s->len); }

static bool add_file(const char *path, struct typed_files *f, struct str *files, struct err *e)
{
    struct str text = { 0 };
    struct stat st = { 0 };
    bool fits = stat(path, &st) == 0 && (size_t)st.st_size + files->len <= f->most, ok = !fits || file_read(path, &text, e);
    f->n++;
    f->bytes += (size_t)st.st_size;
    if (ok && fits && is_text(&text))
        str_fmt(files, "\n\n%s:\n```\n%.*s%s```", path, (int)text.len, text.p ? text.p : "", text.len && text.p[text.len - 1] != '\n' ? "\n" : "");
    else if (ok && f->keep) ok = f->keep(f->ctx, path, e);
    else if (ok && !fits) ok = err_set(e, ERR_LIMIT, "@%.150s: %lld bytes, but a message takes %zu of files", path, (long long)st.st_size, f->most);
    else if (ok) ok = err_set(e, ERR_FORMAT, "@%.150s: it is no text", path);
    str_done(&text);
    return ok;
}

bool typed_files(const char *line, struct typed_files *f, struct str *out, struct err *e)
{
    struct str files = { 0 };
    bool ok = true;
    for (const char *p = line; ok && *p; p++) {
        if (*p != '@' || (p > line && !strchr(" \t\n(", p[-1]))) continue;
        size_t n = strcspn(p + 1, " \t\n");
        char *path = file_of(p + 1, n);
        if (path) ok = add_file(path, f, &files, e);
        mem_free(path);
        p += n;
    }
    str_puts(out, line);
    if (ok) str_put(out, files.p ? files.p : "", files.len);
    str_done(&files);
    return ok;
}

/* ---- other programs on this terminal ---- */

/* Its exit status; -1: it did not run. Ctrl-C is for the program meanwhile. */
static int run_here(const char *script, const char *arg)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, was[2];
    int status = -1;
    sigaction(SIGINT, &ignore, &was[0]);
    sigaction(SIGQUIT, &ignore, &was[1]);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGQUIT, SIG_DFL);
        execl("/bin/sh", "sh", "-c", script, "sh", arg, (char *)NULL);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) { }
    sigaction(SIGINT, &was[0], NULL);
    sigaction(SIGQUIT, &was[1], NULL);
    if (pid < 0) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool typed_shell(const char *command, struct err *e)
{
    int rc = run_here("eval \"$1\"", command);
    return !rc || err_set(e, ERR_IO, "it ended with status %d", rc);
}

static const char *editor(void)
{
    const char *visual = getenv("VISUAL"), *plain = getenv("EDITOR");
    return visual && *visual ? visual : plain && *plain ? plain : "vi";
}

bool typed_edit(const char *before, struct str *out, struct err *e)
{
    char path[] = "/tmp/tenon-edit-XXXXXX.md";
    struct str script = { 0 };
    int fd = mkstemps(path, 3);                                       /* mode 0600 */
    if (fd < 0) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    str_fmt(&script, "%s \"$1\"", editor());
    bool ok = write(fd, before, strlen(before)) == (ssize_t)strlen(before) || err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    close(fd);
    int rc = ok ? run_here(script.p, path) : 0;
    if (rc) ok = err_set(e, ERR_IO, "%.100s ended with status %d; VISUAL or EDITOR name another", editor(), rc);
    ok = ok && file_read(path, out, e);
    while (ok && out->len && out->p[out->len - 1] == '\n') out->p[--out->len] = 0;
    unlink(path);
    str_done(&script);
    return ok;
}

/* ---- names of files ---- */

void complete_files(struct completion *c)
{
    const char *word = c->line + c->from, *slash = strrchr(word, '/');
    size_t n_dir = slash ? (size_t)(slash - word) + 1 : 0;
    char *dir = n_dir ? mem_zero(n_dir + 1) : mem_str(".");
    if (n_dir) memcpy(dir, word, n_dir);
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        struct str path = { 0 };
        struct stat st;
        if (entry->d_name[0] == '.' && word[n_dir] != '.') continue;  /* hidden ones if they are asked for */
        str_fmt(&path, "%.*s%s", (int)n_dir, word, entry->d_name);
        if (stat(path.p, &st) == 0 && S_ISDIR(st.st_mode)) str_putc(&path, '/');
        complete_with(c, path.p);
        str_done(&path);
    }
    if (d) closedir(d);
    mem_free(dir);
}
