/* lines.c -- a line editor over libedit where stdin and stdout are a terminal, plain lines elsewhere.
 *
 * Pasted text is bracketed by the terminal (ESC [200~ … ESC [201~); it is put into the line as it is, newlines
 * included, and never sends anything. Whatever ends the program, the terminal is what it was before. History is a file of mode 0600, a message once in a row. */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>
#ifdef TENON_LIBEDIT
#include <histedit.h>
#endif

#define HISTORY_MOST 1000
#define CTRL_D 4
#define PASTE_MOST ((size_t)4 << 20)

struct editor {
    bool asks, edits;                                                 /* a terminal; one that is edited on */
    int stop;
    const char *prompt;
    complete_fn *words; void *ctx;
    char *history_path;
#ifdef TENON_LIBEDIT
    bool fresh;                                                       /* nothing of the line has been read */
    EditLine *el;
    History *history;
#endif
};

/* Waits for a byte of stdin. False with EINTR: the user interrupts. */
static bool await_input(const struct editor *l)
{
    struct pollfd p[] = { { STDIN_FILENO, POLLIN, 0 }, { l->stop, POLLIN, 0 } };
    while (poll(p, LEN(p), -1) < 0 || (!p[0].revents && !p[1].revents)) {
        if (errno != EINTR) return true;                              /* the read says what is wrong */
    }
    if (!p[1].revents) return true;
    errno = EINTR;
    return false;
}

#ifdef TENON_LIBEDIT
/* A character of the terminal in the user's encoding, for libedit. 1; 0: the end; -1: see errno. libedit prints the prompt
 * before it takes the terminal over: a Ctrl-D typed in between was an end of file to the terminal, and is read as NUL. */
static int next_char(EditLine *el, wchar_t *out)
{
    struct editor *l;
    mbstate_t st = { 0 };
    char c;
    el_get(el, EL_CLIENTDATA, &l);
    for (;;) {
        if (!await_input(l)) return -1;
        ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n <= 0) return (int)n;
        size_t k = mbrtowc(out, &c, 1, &st);
        if (k == (size_t)-1) memset(&st, 0, sizeof st);               /* no character: the next byte may begin one */
        else if (k != (size_t)-2) break;
    }
    if (l->fresh && !*out) *out = CTRL_D;
    l->fresh = false;
    return 1;
}

static char *prompt_of(EditLine *el)
{
    struct editor *l;
    el_get(el, EL_CLIENTDATA, &l);
    return (char *)(uintptr_t)l->prompt;
}

static unsigned char put_newline(EditLine *el, int ch)
{
    return el_insertstr(el, "\n") ? CC_ERROR : CC_REFRESH;
}

static int insert_utf8(EditLine *el, const struct str *s)
{
    wchar_t *wide = mem_zero((s->len + 1) * sizeof *wide);
    size_t n = 0;
    for (const char *p = s->p, *end = p + s->len; p < end;) {
        int k = 1;
        int32_t cp = utf8_next(p, end, &k);
        if (cp > 0) wide[n++] = (wchar_t)cp;
        p += k;
    }
    int rc = n ? el_winsertstr(el, wide) : 0;
    mem_free(wide);
    return rc;
}

/* Everything up to the closing bracket is text; NULs are none. */
static unsigned char put_paste(EditLine *el, int ch)
{
    static const char end[] = "\033[201~";
    struct str s = { 0 };
    wchar_t c;
    while (s.len < PASTE_MOST && el_wgetc(el, &c) == 1) {
        char utf8[4];
        str_put(&s, utf8, (size_t)utf8_put(utf8, c == '\r' ? '\n' : (uint32_t)c));
        if (s.len >= 6 && !memcmp(s.p + s.len - 6, end, 6)) {
            s.p[s.len -= 6] = 0;
            break;
        }
    }
    int rc = s.len ? insert_utf8(el, &s) : 0;
    str_done(&s);
    return rc ? CC_ERROR : CC_REFRESH;
}

#define LISTED_MOST 60

/* Several words could follow: they are shown below the line. */
static void list_words(const struct completion *c)
{
    fputc('\n', stdout);
    for (int i = 0; i < MIN(c->n, LISTED_MOST); i++) printf("%s%s", i ? "  " : "", c->word[i]);
    printf("%s\n", c->n > LISTED_MOST ? "  …" : "");
    fflush(stdout);
}

/* How far all words agree. */
static size_t common_len(const struct completion *c)
{
    size_t n = strlen(c->word[0]);
    for (int i = 1; i < c->n; i++) {
        size_t k = 0;
        while (k < n && c->word[i][k] == c->word[0][k]) k++;
        n = k;
    }
    return n;
}

/* Tab: the rest, as far as all candidates agree. */
static unsigned char complete(EditLine *el, int ch)
{
    struct editor *l;
    const LineInfo *li = el_line(el);
    struct str line = { 0 };
    unsigned char rc = CC_ERROR;
    el_get(el, EL_CLIENTDATA, &l);
    str_put(&line, li->buffer, (size_t)(li->cursor - li->buffer));
    struct completion c = { .line = line.p ? line.p : "" };
    if (l->words) l->words(l->ctx, &c);
    size_t typed = strlen(c.line + c.from), common = c.n ? common_len(&c) : 0;
    if (common > typed) {
        struct str rest = { 0 };
        str_put(&rest, c.word[0] + typed, common - typed);
        rc = el_insertstr(el, rest.p) ? CC_ERROR : CC_REFRESH;
        str_done(&rest);
    } else if (c.n > 1) {
        list_words(&c);
        rc = CC_REDISPLAY;
    }
    while (c.n) mem_free(c.word[--c.n]);
    mem_free(c.word);
    str_done(&line);
    return rc;
}

/* ---- an end in the middle: the terminal is what it was before ---- */

static struct termios before;
static struct sigaction otherwise[NSIG];

/* Only calls that a handler may make; then the signal takes its course. */
static void restore(int sig)
{
    static const char off[] = "\033[?2004l\033[0m\r\n";
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    if (write(STDOUT_FILENO, off, sizeof off - 1) < 0) { }
    sigaction(sig, &otherwise[sig], NULL);
    raise(sig);
}

static const int ends[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGHUP, SIGQUIT };

static void guard_terminal(void)
{
    struct sigaction a = { .sa_handler = restore, .sa_flags = SA_NODEFER };
    if (tcgetattr(STDIN_FILENO, &before)) return;
    for (size_t i = 0; i < LEN(ends); i++) sigaction(ends[i], &a, &otherwise[ends[i]]);
}

static void unguard_terminal(void)
{
    for (size_t i = 0; i < LEN(ends); i++) sigaction(ends[i], &otherwise[ends[i]], NULL);
}

static void open_editor(struct editor *l)
{
    HistEvent ev;
    l->el = el_init("tenon", stdin, stdout, stderr);
    if (!l->el) return;
    l->edits = true;
    guard_terminal();
    l->history = history_init();
    history(l->history, &ev, H_SETSIZE, HISTORY_MOST);
    history(l->history, &ev, H_SETUNIQUE, 1);
    if (l->history_path) history(l->history, &ev, H_LOAD, l->history_path);
    el_set(l->el, EL_CLIENTDATA, l);
    el_set(l->el, EL_PROMPT, prompt_of);
    el_set(l->el, EL_GETCFN, next_char);
    el_set(l->el, EL_EDITOR, "emacs");
    el_set(l->el, EL_HIST, history, l->history);
    el_set(l->el, EL_ADDFN, "newline", "a newline in the message", put_newline);
    el_set(l->el, EL_ADDFN, "paste", "pasted text", put_paste);
    el_set(l->el, EL_ADDFN, "complete", "the rest of a word", complete);
    el_set(l->el, EL_BIND, "\033\r", "newline", NULL);
    el_set(l->el, EL_BIND, "\033\n", "newline", NULL);
    el_set(l->el, EL_BIND, "\033[200~", "paste", NULL);
    el_set(l->el, EL_BIND, "\t", "complete", NULL);
    el_set(l->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
}

static void close_editor(struct editor *l)
{
    HistEvent ev;
    if (!l->edits) return;
    fputs("\033[?2004l", stdout);
    fflush(stdout);
    if (l->history_path) {
        int fd = open(l->history_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0) close(fd);
        history(l->history, &ev, H_SAVE, l->history_path);
    }
    history_end(l->history);
    el_end(l->el);
    unguard_terminal();
}

static enum line_end edit_line(struct editor *l, struct str *out)
{
    int n = 0;
    errno = 0;
    l->fresh = true;
    fputs("\033[?2004h", stdout);                                     /* a program that ran meanwhile may have ended it */
    fflush(stdout);
    const char *s = el_gets(l->el, &n);
    if (s && n > 0) {
        str_put(out, s, (size_t)n);
        return LINE_TEXT;
    }
    bool interrupted = n < 0 && errno == EINTR;
    if (interrupted) el_reset(l->el);
    return interrupted ? LINE_INTERRUPTED : LINE_EOF;
}

static void keep_line(struct editor *l, const struct str *s)
{
    HistEvent ev;
    if (l->edits && s->len) history(l->history, &ev, H_ENTER, s->p);
}
#else
static void open_editor(struct editor *l) { }
static void close_editor(struct editor *l) { }
static enum line_end edit_line(struct editor *l, struct str *out) { return LINE_EOF; }
static void keep_line(struct editor *l, const struct str *s) { }
#endif

static enum line_end plain_line(struct editor *l, struct str *out)
{
    int c;
    if (l->asks) fputs(l->prompt, stdout), fflush(stdout);
    clearerr(stdin);
    errno = 0;
    while ((!l->asks || await_input(l)) && (c = getc(stdin)) != EOF) {
        str_putc(out, (char)c);
        if (c == '\n') return LINE_TEXT;
    }
    if (errno == EINTR) return LINE_INTERRUPTED;
    return out->len ? LINE_TEXT : LINE_EOF;
}

void complete_with(struct completion *c, const char *word)
{
    if (strncmp(word, c->line + c->from, strlen(c->line + c->from))) return;
    MEM_GROW(c->word, c->n, c->cap);
    c->word[c->n++] = mem_str(word);
}

struct editor *editor_open(const char *history, complete_fn *words, void *ctx, int stop)
{
    struct editor *l = mem_zero(sizeof *l);
    const char *kind = getenv("TERM");
    setlocale(LC_CTYPE, "");                                          /* libedit reads characters as the terminal sends them */
    l->words = words;
    l->ctx = ctx;
    l->stop = stop;
    l->history_path = history ? mem_str(history) : NULL;
    l->asks = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (l->asks) setvbuf(stdin, NULL, _IONBF, 0);                     /* poll() sees all that was typed */
    if (l->asks && kind && strcmp(kind, "dumb")) open_editor(l);
    return l;
}

void editor_close(struct editor *l)
{
    if (!l) return;
    close_editor(l);
    mem_free(l->history_path);
    mem_free(l);
}

static void chomp(struct str *s)
{
    while (s->len && (s->p[s->len - 1] == '\n' || s->p[s->len - 1] == '\r')) s->p[--s->len] = 0;
}

static bool ends_block(const struct str *s) { return s->len >= 3 && !memcmp(s->p + s->len - 3, "\"\"\"", 3); }

enum line_end editor_read(struct editor *l, const char *prompt, struct str *out)
{
    bool block = false;
    l->prompt = prompt;
    str_clear(out);
    for (;;) {
        struct str line = { 0 };
        enum line_end end = l->edits ? edit_line(l, &line) : plain_line(l, &line);
        chomp(&line);
        if (end != LINE_TEXT) {
            str_done(&line);
            return end == LINE_EOF && out->len ? LINE_TEXT : end;
        }
        bool opens = !block && !out->len && line.len >= 3 && !memcmp(line.p, "\"\"\"", 3);
        const char *p = (line.p ? line.p : "") + (opens ? 3 : 0);
        size_t n = line.len - (opens ? 3 : 0);
        bool closes = (block || (opens && line.len >= 6)) && ends_block(&line), continues = !block && !opens && n && p[n - 1] == '\\';
        block = (block || opens) && !closes;
        str_put(out, p, n - (closes ? 3 : 0) - continues);
        str_done(&line);
        if (!block && !continues) break;
        if (!opens || out->len) str_putc(out, '\n');
        l->prompt = "| ";
    }
    chomp(out);
    keep_line(l, out);
    return LINE_TEXT;
}
