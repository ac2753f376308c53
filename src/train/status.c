/* status.c -- how a run shows itself: one moving line on a terminal, plain lines elsewhere, and
 * log.tsv.
 *
 * The log has one row per interval; a cell without a value (no evaluation then, no such token) is
 * empty. A resumed run appends to the log of its folder. */
#include <math.h>
#include <unistd.h>

#include "train/int.h"

#define REDRAW_NS 300000000ull
#define PLAIN_NS 10000000000ull
#define BAR 20

struct status {
    FILE *tsv;
    bool terminal, show;
    uint64_t drawn; /* when the line was last drawn */
};

static const char *const set_name[DATA_SETS] = { "train", "e1", "e2", "e3", "e4" };

static void write_header(FILE *f)
{
    fputs("step\ttokens\tseconds\tstage\tlr\tgrad_norm\ttokens_per_s\tdropped\tloss", f);
    for (int c = 0; c < TOKEN_CLASSES; c++)
        fprintf(f, "\tloss_%s\tacc_%s", token_class_name((enum token_class)c),
                token_class_name((enum token_class)c));
    for (int s = DATA_E1_IID; s < DATA_SETS; s++) {
        fprintf(f, "\t%s", set_name[s]);
        for (int k = 0; k < DATA_KINDS; k++)
            fprintf(f, "\t%s_%s", set_name[s], data_kind_name((enum data_kind)k));
    }
    fputc('\n', f);
}

struct status *status_open(const struct train *t, struct err *e)
{
    struct status *s = mem_zero(sizeof *s);
    s->show = t->o.status;
    s->terminal = isatty(2);
    if (!t->o.dir) return s;
    char path[1024];
    snprintf(path, sizeof path, "%s/log.tsv", t->o.dir);
    bool goes_on = t->c.step > 0 && file_exists(path);
    s->tsv = fopen(path, goes_on ? "a" : "w");
    if (s->tsv) {
        if (!goes_on) write_header(s->tsv);
        return s;
    }
    err_set(e, ERR_IO, "%s: cannot be written", path);
    mem_free(s);
    return NULL;
}

void status_close(struct status *s)
{
    if (!s) return;
    if (s->show && s->terminal) fputc('\n', stderr);
    if (s->tsv) fclose(s->tsv);
    mem_free(s);
}

static void put_time(struct str *s, double seconds)
{
    int t = (int)MAX(seconds, 0.0);
    if (t >= 3600) str_fmt(s, "%d:%02d:%02d", t / 3600, t / 60 % 60, t % 60);
    else str_fmt(s, "%d:%02d", t / 60, t % 60);
}

static void put_line(struct str *s, const struct train *t, bool bar)
{
    double p = train_progress(t), left = p > 0 ? t->c.seconds * (1 - p) / p : 0;
    struct train_summary y = train_summary(t);
    if (bar) {
        str_putc(s, '[');
        for (int i = 0; i < BAR; i++) str_putc(s, i < (int)(p * BAR) ? '#' : '.');
        str_puts(s, "] ");
    }
    str_fmt(s, "step %lld", (long long)t->c.step);
    if (t->o.steps > 0) str_fmt(s, "/%lld", (long long)t->o.steps);
    str_fmt(s, " %.0f%% ", 100 * p);
    put_time(s, t->c.seconds);
    str_puts(s, " left ");
    put_time(s, left);
    str_fmt(s, " %.0f tok/s stage %d loss %.4f", y.tokens_per_s, t->stage, y.loss);
    if (t->c.e2 >= 0) str_fmt(s, " E1 %.0f%% E2 %.0f%%", 100 * t->c.e1, 100 * t->c.e2);
    str_fmt(s, " lr %.2e grad %.2f", (double)t->lr, (double)t->grad_norm);
}

void status_step(struct status *s, const struct train *t)
{
    uint64_t now = clock_ns();
    if (!s->show || now - s->drawn < (s->terminal ? REDRAW_NS : PLAIN_NS)) return;
    struct str line = { 0 };
    s->drawn = now;
    put_line(&line, t, s->terminal);
    fprintf(stderr, s->terminal ? "\r%s\033[K" : "%s\n", line.p);
    str_done(&line);
}

static void put_score(FILE *f, double v)
{
    if (v >= 0) fprintf(f, "\t%.4f", v);
    else fputc('\t', f);
}

bool status_log(struct status *s, struct train *t, const struct score_row *score, struct err *e)
{
    if (!s->tsv) return true;
    struct train_summary y = train_summary(t);
    fprintf(s->tsv, "%lld\t%lld\t%.1f\t%d\t%.6g\t%.4g\t%.0f\t%lld\t%.5f", (long long)t->c.step,
            (long long)t->c.tokens, t->c.seconds, t->stage, (double)t->lr, (double)t->grad_norm,
            y.tokens_per_s, (long long)t->c.dropped, y.loss);
    for (int c = 0; c < TOKEN_CLASSES; c++) {
        double n = t->sums.n[c];
        if (n > 0) fprintf(s->tsv, "\t%.5f\t%.4f", t->sums.loss[c] / n, t->sums.hit[c] / n);
        else fputs("\t\t", s->tsv);
    }
    for (int set = DATA_E1_IID; set < DATA_SETS; set++) {
        put_score(s->tsv, score->measured ? score->set[set].all : -1);
        for (int k = 0; k < DATA_KINDS; k++)
            put_score(s->tsv, score->measured ? score->set[set].kind[k] : -1);
    }
    fputc('\n', s->tsv);
    memset(&t->sums, 0, sizeof t->sums);
    return fflush(s->tsv) == 0 || err_set(e, ERR_IO, "%s/log.tsv: cannot be written", t->o.dir);
}
