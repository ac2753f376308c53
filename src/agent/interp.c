/* interp.c -- the tool `python`: code of a model, run where it can do no harm, with a memory between calls.
 *
 * One box (box.c) per conversation. A thread of its own starts it, speaks with it and outlives every call, because
 * the box dies with the thread that started it. What comes out of the box is hostile: frames have a length limit and
 * a shape, output is cut, files are copied by us under names made of harmless characters into one folder, never
 * followed anywhere. Files that the user gives go the other way, as frames before the next call, and again into every
 * box that follows. At most eight boxes of this process live: one more ends the box that was idle longest, and waits
 * where all are at work. A box that was idle for ten minutes ends. When the time is over the code is interrupted and keeps its variables; if it does not listen,
 * the box is killed and the model is told that they are lost. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/int.h"

#define CALL_MS 30000
#define INTERRUPT_MS 5000                   /* to react to an interruption */
#define IDLE_MS 600000
#define PUT_MOST ((size_t)32 << 20)         /* bytes of a file for the box, */
#define PUT_ALL ((size_t)128 << 20)         /* of all of them, */
#define PUT_FILES 64                        /* and how many */
enum { LIVE_MOST = 8 };
#define FRAME_MOST ((size_t)32 << 20)
#define OUT_MOST ((size_t)256 << 10)
#define FLOOD ((uint64_t)64 << 20)
#define FILES_MOST 16
#define FILES_BYTES ((size_t)16 << 20)

struct interp {
    pthread_t keeper;
    pthread_mutex_t lock;
    pthread_cond_t turn;
    enum { JOB_NONE, JOB_OPEN, JOB_RUN, JOB_END } job;
    const struct invocation *call; struct tool_result *out;          /* of JOB_RUN */
    struct err err;                                                   /* of JOB_OPEN */
    bool ok;
    struct box box;
    bool open, lost, evicted;                                         /* evicted: another one needs its place */
    int n_call;
    struct gift *gift; int n_gift, cap_gift, n_given;                 /* n_given: those that this box has */
    int idle_ms;
    char *python, *dir, *data;
};
struct gift { char *name; struct str bytes; };                        /* a file for the box */

/* ---- at most eight boxes ---- */

static struct { pthread_mutex_t lock; pthread_cond_t left; struct interp *at[LIVE_MOST]; bool busy[LIVE_MOST]; uint64_t used[LIVE_MOST]; } live = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .left = PTHREAD_COND_INITIALIZER };

static int place_of(const struct interp *in)                          /* -1: none. Under the lock, as the next two */
{
    for (int i = 0; i < LIVE_MOST; i++)
        if (live.at[i] == in) return i;
    return -1;
}

/* The box that was idle longest should end; its keeper does that. */
static void evict_one(void)
{
    int oldest = -1;
    for (int i = 0; i < LIVE_MOST; i++)
        if (!live.busy[i] && (oldest < 0 || live.used[i] < live.used[oldest])) oldest = i;
    if (oldest < 0) return;
    struct interp *in = live.at[oldest];
    pthread_mutex_lock(&in->lock);
    in->evicted = true;
    pthread_cond_broadcast(&in->turn);
    pthread_mutex_unlock(&in->lock);
}

/* A place for a box, and it is at work. False: all places are at work for longer than ms. */
static bool place_take(struct interp *in, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000 + 1;
    pthread_mutex_lock(&live.lock);
    int at = place_of(in);
    while (at < 0 && (at = place_of(NULL)) < 0) {
        evict_one();
        if (pthread_cond_timedwait(&live.left, &live.lock, &until)) break;
    }
    if (at >= 0) live.at[at] = in, live.busy[at] = true;
    pthread_mutex_unlock(&live.lock);
    return at >= 0;
}

/* Its work is done; without a box the place is free again. */
static void place_leave(struct interp *in)
{
    pthread_mutex_lock(&live.lock);
    int at = place_of(in);
    if (at >= 0) {
        live.busy[at] = false;
        live.used[at] = clock_ns();
        if (!in->open) live.at[at] = NULL;
    }
    pthread_cond_broadcast(&live.left);
    pthread_mutex_unlock(&live.lock);
}

static void end_box(struct interp *in)
{
    if (in->open) box_close(&in->box);
    in->open = false;
    in->n_given = 0;
}

/* ---- frames ---- */

static bool send_frame(struct box *b, struct json *frame)
{
    struct str s = { 0 };
    uint64_t until = clock_ns() + (uint64_t)5000000000;
    str_put(&s, "\0\0\0\0", 4);
    json_write(&s, frame, JSON_COMPACT);
    json_free(frame);
    uint32_t n = (uint32_t)(s.len - 4);
    for (int i = 0; i < 4; i++) s.p[i] = (char)(n >> (24 - 8 * i));
    size_t at = 0;
    while (at < s.len && clock_ns() < until) {
        ssize_t k = write_quietly(b->control, s.p + at, s.len - at);
        if (k > 0) at += (size_t)k;
        else if (errno != EAGAIN && errno != EINTR) break;
        else poll(&(struct pollfd){ .fd = b->control, .events = POLLOUT }, 1, 100);
    }
    bool ok = at == s.len;
    str_done(&s);
    return ok;
}

/* What one call has gathered so far. */
struct gather { struct str in, text; uint64_t n_text; struct json *frame; bool broken, gone; };

static size_t frame_len(const struct str *s)
{
    size_t n = 0;
    for (int i = 0; i < 4; i++) n = n << 8 | (unsigned char)s->p[i];
    return n;
}

static void take_frames(struct gather *g, int64_t id)
{
    while (g->in.len >= 4 && !g->broken) {
        size_t n = frame_len(&g->in);
        int64_t got;
        if (n > FRAME_MOST) g->broken = true;
        if (g->broken || g->in.len < 4 + n) return;
        struct json *f = json_parse(g->in.p + 4, n, NULL);
        if (!json_is(f, JSON_OBJECT)) g->broken = true;
        if (!g->frame && f && json_i64(json_get(f, "id"), &got) && got == id) g->frame = f;
        else json_free(f);                                            /* of another call, or forged for one */
        memmove(g->in.p, g->in.p + 4 + n, g->in.len - 4 - n);
        g->in.len -= 4 + n;
        g->in.p[g->in.len] = 0;
    }
}

static void read_text(struct gather *g, int fd)
{
    char buf[1 << 16];
    for (int i = 0; i < 16; i++) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n <= 0) return;
        g->n_text += (uint64_t)n;
        str_put(&g->text, buf, MIN((size_t)n, OUT_MOST - MIN(g->text.len, OUT_MOST)));
    }
}

static void read_control(struct gather *g, struct box *b, int64_t id)
{
    char buf[1 << 16];
    ssize_t n = read(b->control, buf, sizeof buf);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) g->gone = true;
    if (n > 0) str_put(&g->in, buf, (size_t)n);
    take_frames(g, id);
}

/* ---- one call ---- */

static void attend(struct gather *g, struct interp *in, const struct invocation *c, int64_t id, bool interrupted)
{
    struct pollfd p[4] = { { .fd = in->box.control, .events = POLLIN }, { .fd = in->box.out, .events = POLLIN }, { .fd = in->box.err, .events = POLLIN },
                           { .fd = c->cancel && !interrupted ? c->cancel->fd : -1, .events = POLLIN } };
    poll(p, LEN(p), 100);
    for (int i = 1; i < 3; i++)
        if (p[i].revents & POLLIN) read_text(g, p[i].fd);
    if (p[0].revents) read_control(g, &in->box, id);
}

static struct json *frame_of(int64_t id, const struct invocation *c)
{
    size_t len = 0;
    const char *code = json_str(json_get(c->args, "code"), &len);
    struct json *f = json_new_object();
    json_set(f, "id", json_new_int(id));
    json_set(f, "code", json_new_strn(code ? code : "", len));
    return f;
}

static void interrupt(struct box *b)
{
    struct json *f = json_new_object();
    json_set(f, "interrupt", json_new_bool(true));
    send_frame(b, f);
}

/* Until its frame is here, or the box had to be given up. */
static void converse(struct interp *in, const struct invocation *c, struct gather *g)
{
    int64_t id = ++in->n_call;
    uint64_t stop = clock_ns() + (uint64_t)c->timeout_ms * 1000000u, end = 0;
    if (!send_frame(&in->box, frame_of(id, c))) g->gone = true;
    while (!g->frame && !g->gone && !g->broken) {
        attend(g, in, c, id, end != 0);
        uint64_t now = clock_ns();
        if (!end && (now > stop || cancel_is_on(c->cancel) || g->n_text > FLOOD)) {
            interrupt(&in->box);
            end = now + (uint64_t)INTERRUPT_MS * 1000000u;
        }
        if (end && now > end) break;
    }
    if (g->frame)                                                     /* what was printed before the frame is in the pipes */
        for (int i = 0; i < 2; i++) read_text(g, i ? in->box.err : in->box.out);
}

/* ---- files ---- */

static int digit64(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static void decode64(struct str *out, const char *p, size_t n)
{
    uint32_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < n && digit64(p[i]) >= 0; i++) {
        bits = bits << 6 | (uint32_t)digit64(p[i]);
        if ((have += 6) < 8) continue;
        have -= 8;
        str_putc(out, (char)(bits >> have & 0xff));
    }
}

static void safe_name(const char *name, char out[81])
{
    size_t k = 0;
    for (; *name && k < 80; name++)
        if (isalnum((unsigned char)*name) || strchr("._-", *name)) out[k++] = *name;
        else if (k && out[k - 1] != '_') out[k++] = '_';
    out[k] = 0;
    if (!k || *out == '.') memcpy(out, "file", 5);
}

static const char *type_of(const char *name)
{
    static const struct { const char *end, *type; } types[] = {
        { ".png", "image/png" }, { ".jpg", "image/jpeg" }, { ".svg", "image/svg+xml" }, { ".gif", "image/gif" }, { ".csv", "text/csv" },
        { ".txt", "text/plain" }, { ".json", "application/json" }, { ".html", "text/html" }, { ".pdf", "application/pdf" } };
    size_t n = strlen(name);
    for (size_t i = 0; i < LEN(types); i++)
        if (n > strlen(types[i].end) && !strcmp(name + n - strlen(types[i].end), types[i].end)) return types[i].type;
    return "application/octet-stream";
}

/* Of a PNG: its first chunk says how large it is. */
static void put_size(struct json *file, const struct str *bytes)
{
    const unsigned char *p = (const unsigned char *)bytes->p;
    uint32_t side[2] = { 0 };
    if (bytes->len < 24 || memcmp(p, "\x89PNG\r\n\x1a\n", 8) || memcmp(p + 12, "IHDR", 4)) return;
    for (int i = 0; i < 8; i++) side[i / 4] = side[i / 4] << 8 | p[16 + i];
    json_set(file, "width", json_new_int(side[0]));
    json_set(file, "height", json_new_int(side[1]));
}

static bool make_dir(struct interp *in)
{
    if (in->dir) return mkdir(in->dir, 0700) == 0 || errno == EEXIST;
    char name[] = "/tmp/tenon-files-XXXXXX";
    if (!mkdtemp(name)) return false;
    in->dir = mem_str(name);
    return true;
}

#define SAME_NAME 100

/* A new file, never one that is there: CALL-NAME, or where two names became one, CALL-2-NAME. */
static bool write_one(struct interp *in, const char *name, const struct str *data, struct str *path)
{
    int fd = -1;
    if (!make_dir(in)) return false;
    for (int k = 1; fd < 0 && k < SAME_NAME && (k == 1 || errno == EEXIST); k++) {
        str_clear(path);
        str_fmt(path, "%s/%d-", in->dir, in->n_call);
        if (k > 1) str_fmt(path, "%d-", k);
        str_puts(path, name);
        fd = open(path->p, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    }
    bool ok = fd >= 0 && write(fd, data->p ? data->p : "", data->len) == (ssize_t)data->len;
    if (fd >= 0) close(fd);
    return ok;
}

static void take_files(struct interp *in, const struct json *files, struct tool_result *out)
{
    size_t total = 0;
    for (size_t i = 0; i < MIN(json_len(files), (size_t)FILES_MOST); i++) {
        const struct json *f = json_at(files, i);
        const char *name = json_str(json_get(f, "name"), NULL);
        size_t n = 0;
        const char *data = json_str(json_get(f, "data"), &n);
        char safe[81];
        struct str bytes = { 0 }, path = { 0 };
        if (!name) continue;
        safe_name(name, safe);
        if (data && total + n <= FILES_BYTES * 4 / 3) decode64(&bytes, data, n);
        total += n;
        struct json *o = json_new_object();
        json_set(o, "name", json_new_str(safe));
        json_set(o, "type", json_new_str(type_of(safe)));
        json_set(o, "bytes", json_new_int((int64_t)bytes.len));
        put_size(o, &bytes);
        if (data && write_one(in, safe, &bytes, &path)) json_set(o, "path", json_new_str(path.p));
        if (!out->files) out->files = json_new_array();
        json_push(out->files, o);
        str_done(&bytes);
        str_done(&path);
    }
}

/* ---- the answer ---- */

static void put_line(struct str *out, const char *label, const struct json *v)
{
    size_t n = 0;
    const char *s = json_str(v, &n);
    if (!s) return;
    if (out->len && out->p[out->len - 1] != '\n') str_putc(out, '\n');
    str_puts(out, label);
    str_put(out, s, n);
}

static void report(struct interp *in, const struct invocation *c, struct gather *g, struct tool_result *out)
{
    str_put(&out->text, g->text.p ? g->text.p : "", g->text.len);
    if (g->n_text > g->text.len) str_fmt(&out->text, "\n[%llu bytes more were printed]", (unsigned long long)(g->n_text - g->text.len));
    if (g->frame) {
        put_line(&out->text, "", json_get(g->frame, "value"));
        put_line(&out->text, "", json_get(g->frame, "error"));
        out->is_error = json_is(json_get(g->frame, "error"), JSON_STRING);
        take_files(in, json_get(g->frame, "files"), out);
    } else {
        const char *why = g->broken ? "it sent what is no answer" : g->gone ? "it ended (too much memory, or it was told to)" : "it did not stop when its time was over";
        str_fmt(&out->text, "%sThe interpreter was ended: %s. All variables and files are lost; begin anew.", out->text.len ? "\n" : "", why);
        out->is_error = true;
    }
    if (in->lost) str_puts(&out->text, "\n[the interpreter was started anew; earlier variables are gone]");
    in->lost = false;
    if (!out->text.len && !out->files) str_puts(&out->text, "(no output)");
}

static bool give_files(struct interp *in)
{
    for (; in->n_given < in->n_gift; in->n_given++) {
        const struct gift *g = &in->gift[in->n_given];
        struct json *f = json_new_object();
        struct str data = { 0 };
        base64_put(&data, g->bytes.p ? g->bytes.p : "", g->bytes.len);
        json_set(f, "put", json_new_str(g->name));
        json_set(f, "data", json_new_strn(data.p ? data.p : "", data.len));
        str_done(&data);
        if (!send_frame(&in->box, f)) return false;
    }
    return true;
}

static void run_call(struct interp *in, const struct invocation *c, struct tool_result *out)
{
    struct gather g = { 0 };
    struct err e = { 0 };
    if (json_bool(json_get(c->args, "reset"))) end_box(in), in->lost = false;
    if (!in->open) in->open = box_open(&in->box, in->python, in->data, &e);
    if (!in->open) {
        tool_fail(out, "The interpreter cannot be used: %s.", e.msg);
        return;
    }
    if (give_files(in)) converse(in, c, &g);
    else g.gone = true;
    report(in, c, &g, out);
    if (!g.frame) end_box(in);
    json_free(g.frame);
    str_done(&g.in);
    str_done(&g.text);
}

static void run_placed(struct interp *in, const struct invocation *c, struct tool_result *out)
{
    if (place_take(in, c->timeout_ms)) {
        run_call(in, c, out);
        place_leave(in);
    } else tool_fail(out, "%d interpreters are at work already, and none of them came to an end in time. Try again later.", LIVE_MOST);
}

static bool open_first(struct interp *in)
{
    if (!place_take(in, CALL_MS)) return err_set(&in->err, ERR_LIMIT, "%d interpreters are at work already", LIVE_MOST);
    in->open = box_open(&in->box, in->python, in->data, &in->err);
    place_leave(in);
    return in->open;
}

/* ---- the keeper ---- */

/* Waits for a job; a box ends that was idle for too long, or whose place another one needs. */
static void wait_for_job(struct interp *in)
{
    while (in->job == JOB_NONE) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_sec += in->idle_ms / 1000;
        t.tv_nsec += in->idle_ms % 1000 * 1000000;
        if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
        int rc = in->evicted ? 0 : pthread_cond_timedwait(&in->turn, &in->lock, &t);
        if ((rc == ETIMEDOUT || in->evicted) && in->job == JOB_NONE && in->open) {
            end_box(in);
            in->lost = in->n_call > 0;
            pthread_mutex_unlock(&in->lock);                          /* live.lock comes first, always */
            place_leave(in);
            pthread_mutex_lock(&in->lock);
        }
        in->evicted = false;
    }
}

static void *keep(void *interp)
{
    struct interp *in = interp;
    pthread_mutex_lock(&in->lock);
    for (;;) {
        wait_for_job(in);
        if (in->job == JOB_END) break;
        int job = in->job;
        pthread_mutex_unlock(&in->lock);
        if (job == JOB_OPEN) in->ok = open_first(in);
        else run_placed(in, in->call, in->out);
        pthread_mutex_lock(&in->lock);
        in->job = JOB_NONE;
        pthread_cond_broadcast(&in->turn);
    }
    end_box(in);
    pthread_mutex_unlock(&in->lock);
    place_leave(in);
    return NULL;
}

static void do_job(struct interp *in, int job, const struct invocation *c, struct tool_result *out)
{
    pthread_mutex_lock(&in->lock);
    while (in->job != JOB_NONE) pthread_cond_wait(&in->turn, &in->lock);
    in->call = c;
    in->out = out;
    in->job = job;
    pthread_cond_broadcast(&in->turn);
    while (job != JOB_END && in->job != JOB_NONE) pthread_cond_wait(&in->turn, &in->lock);
    pthread_mutex_unlock(&in->lock);
}

static void python_invoke(struct tool *t, const struct invocation *c, struct tool_result *out) { do_job(t->ctx, JOB_RUN, c, out); }

void interp_close(struct interp *in)
{
    if (!in) return;
    do_job(in, JOB_END, NULL, NULL);
    pthread_join(in->keeper, NULL);
    pthread_mutex_destroy(&in->lock);
    pthread_cond_destroy(&in->turn);
    for (int i = 0; i < in->n_gift; i++) mem_free(in->gift[i].name), str_done(&in->gift[i].bytes);
    mem_free(in->gift);
    mem_free(in->python);
    mem_free(in->dir);
    mem_free(in->data);
    mem_free(in);
}

static void preview_code(struct tool *t, const struct json *args, struct str *out)
{
    size_t n = 0;
    const char *code = json_str(json_get(args, "code"), &n);
    str_put(out, code ? code : "", n);
}

static struct interp *interp_open(const struct toolset_opts *o, struct err *e)
{
    struct interp *in = mem_zero(sizeof *in);
    in->python = mem_str(o->python ? o->python : "/usr/bin/python3");
    in->dir = o->out_dir ? mem_str(o->out_dir) : NULL;
    in->data = o->data ? mem_str(o->data) : NULL;
    in->idle_ms = o->idle_ms > 0 ? o->idle_ms : IDLE_MS;
    in->box = (struct box){ .pid = -1, .control = -1, .out = -1, .err = -1 };
    pthread_mutex_init(&in->lock, NULL);
    pthread_cond_init(&in->turn, NULL);
    int rc = pthread_create(&in->keeper, NULL, keep, in);
    if (rc) {
        err_set(e, ERR_IO, "no thread: %s", strerror(rc));
        mem_free(in->python), mem_free(in->dir), mem_free(in->data), mem_free(in);
        return NULL;
    }
    do_job(in, JOB_OPEN, NULL, NULL);
    if (in->ok) return in;
    *e = in->err;
    interp_close(in);
    return NULL;
}

/* ---- files for the box ---- */

/* A name in /box, and nothing above or below it. */
static bool plain_name(const char *s)
{
    size_t n = strlen(s);
    return n && n <= 200 && *s != '.' && !strchr(s, '/') && utf8_valid(s, n);
}

static void drop_gift(struct interp *in, const char *name)
{
    for (int i = 0; i < in->n_gift; i++) {
        if (strcmp(in->gift[i].name, name)) continue;
        mem_free(in->gift[i].name);
        str_done(&in->gift[i].bytes);
        memmove(&in->gift[i], &in->gift[i + 1], (size_t)(in->n_gift - i - 1) * sizeof *in->gift);
        in->n_gift--;
        in->n_given -= i < in->n_given;
        return;
    }
}

bool toolset_put(struct toolset *ts, const char *name, const void *p, size_t n, struct err *e)
{
    struct interp *in = ts->interp;
    size_t all = n;
    if (!in) return err_set(e, ERR_ARG, "there is no tool python that could read it");
    if (!plain_name(name)) return err_set(e, ERR_ARG, "'%.80s': a plain name of a file is needed", name);
    pthread_mutex_lock(&in->lock);
    while (in->job != JOB_NONE) pthread_cond_wait(&in->turn, &in->lock);
    drop_gift(in, name);
    for (int i = 0; i < in->n_gift; i++) all += in->gift[i].bytes.len;
    bool fits = n <= PUT_MOST && all <= PUT_ALL && in->n_gift < PUT_FILES;
    if (fits) {
        MEM_GROW(in->gift, in->n_gift, in->cap_gift);
        struct gift *g = &in->gift[in->n_gift++];
        *g = (struct gift){ .name = mem_str(name) };
        str_put(&g->bytes, p, n);
    }
    pthread_mutex_unlock(&in->lock);
    return fits || err_set(e, ERR_LIMIT, "%s: %zu bytes; the tool python takes %zu of a file, %zu and %d files together", name, n, PUT_MOST, PUT_ALL, PUT_FILES);
}

/* ---- the tool ---- */

bool interp_add(struct toolset *ts, struct err *e)
{
    static const char text[] = "{\"description\":\"Runs Python code and returns what it prints and the value of its last line. Variables are kept. No network.\","
                               "\"parameters\":{\"type\":\"object\",\"properties\":{\"code\":{\"type\":\"string\",\"description\":\"the code\"},"
                               "\"reset\":{\"type\":\"boolean\",\"description\":\"forget everything before\"}},\"required\":[\"code\"],\"additionalProperties\":false}}";
    static const char with_data[] = "Runs Python code and returns what it prints and the value of its last line. Variables are kept. No network. Files to read are in /data.";
    if (toolset_find(ts, "python")) return err_set(e, ERR_ARG, "tool python: the name is taken");
    if (!(ts->interp = interp_open(&ts->opts, e))) return err_in(e, "the tool python is not offered, because nothing runs outside a sandbox");
    struct tool *t = tool_new("python", "builtin");
    struct json *d = json_parse(text, sizeof text - 1, NULL);
    if (ts->opts.data) json_set(d, "description", json_new_str(with_data));
    t->invoke = python_invoke;
    t->preview = preview_code;
    t->ctx = ts->interp;
    t->timeout_ms = CALL_MS;
    bool ok = tool_configure(t, d, e);
    json_free(d);
    if (ok) return toolset_add(ts, t, e);
    tool_free(t);
    return false;
}

const char *interp_refusal(const struct toolset_opts *o)
{
    static struct err e;
    static const struct toolset_opts none;
    e = (struct err){ 0 };
    struct interp *in = interp_open(o ? o : &none, &e);
    interp_close(in);
    return in ? NULL : e.msg;
}
