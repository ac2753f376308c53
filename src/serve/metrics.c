/* metrics.c -- /metrics in the text format of Prometheus (0.0.4).
 *
 * What the scheduler counts it keeps under its own lock, which the engine thread holds only to add; the
 * rest is counted here by the I/O thread. Names follow vLLM behind our prefix, so that dashboards port by
 * search and replace; --vllm-metrics repeats those that routers read under theirs. */
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <dirent.h>
#include <unistd.h>

#include "serve/metrics.h"
#include "serve/models.h"

#define ROWS_MOST 512

struct http_row { const struct route *route; char method[16]; int status; uint64_t n; };
struct code_row { char code[64]; uint64_t n; };
struct metrics {
    struct http_row http[ROWS_MOST]; int n_http;
    struct code_row code[64]; int n_code;
    uint64_t complete, truncated, schema_failed, turn[4];             /* [enum tool_choice] */
};

struct metrics *metrics_open(void) { return mem_zero(sizeof(struct metrics)); }
void metrics_close(struct metrics *m) { mem_free(m); }

static const char *known_method(const char *m)
{
    static const char *const known[] = {
        "GET", "POST", "DELETE", "OPTIONS", "HEAD", "PUT", "PATCH"
    };
    for (size_t i = 0; i < LEN(known); i++)
        if (!strcmp(m, known[i])) return known[i];
    return "other";
}

void metrics_http(const struct exchange *x)
{
    struct metrics *m = x->sv->metrics;
    const char *method = known_method(x->method);
    for (int i = 0; i < m->n_http; i++) {
        struct http_row *r = &m->http[i];
        if (r->route == x->route && r->status == x->status && !strcmp(r->method, method)) {
            r->n++;
            return;
        }
    }
    if (m->n_http == ROWS_MOST) return;
    struct http_row *r = &m->http[m->n_http++];
    *r = (struct http_row){ .route = x->route, .status = x->status, .n = 1 };
    snprintf(r->method, sizeof r->method, "%s", method);
}

void metrics_error(struct metrics *m, const char *code)
{
    for (int i = 0; i < m->n_code; i++)
        if (!strcmp(m->code[i].code, code)) {
            m->code[i].n++;
            return;
        }
    if (m->n_code == (int)LEN(m->code)) return;
    struct code_row *r = &m->code[m->n_code++];
    snprintf(r->code, sizeof r->code, "%s", code);
    r->n = 1;
}

void metrics_calls(struct metrics *m, const struct message *msg, enum tool_choice choice)
{
    m->turn[choice]++;
    for (int i = 0; i < msg->n_call; i++) {
        const struct message_call *c = &msg->call[i];
        *(c->incomplete ? &m->truncated : !c->schema_ok ? &m->schema_failed : &m->complete) += 1;
    }
}

/* ---- writing --------------------------------------------------------------------------------------- */

/* One page: name of the model as a label, and whether the names of vLLM are written too. */
struct page { struct str out; struct str model; bool vllm; const char *prefix; };

static void put_label(struct str *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '\\' || *s == '"') str_putc(out, '\\');
        if (*s == '\n') str_puts(out, "\\n");
        else str_putc(out, *s);
    }
}

static void family(struct page *p, const char *name, const char *type, const char *help)
{
    str_fmt(&p->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", p->prefix, name, help, p->prefix, name,
            type);
}

static void sample(struct page *p, const char *name, const char *labels, double v)
{
    str_fmt(&p->out, "%s%s{model_name=\"%s\"%s%s} %.17g\n", p->prefix, name,
            p->model.p ? p->model.p : "", *labels ? "," : "", labels, isfinite(v) ? v : 0);
}

static void one(struct page *p, const char *name, const char *type, const char *help, double v)
{
    family(p, name, type, help);
    sample(p, name, "", v);
}

static void histogram(struct page *p, const char *name, const char *help,
                      const struct sched_hist *h)
{
    char label[64], part[160];
    uint64_t n = 0;
    family(p, name, "histogram", help);
    snprintf(part, sizeof part, "%s_bucket", name);
    for (int i = 0; i < h->n_bound; i++) {
        n += h->count[i];
        snprintf(label, sizeof label, "le=\"%g\"", h->bound[i]);
        sample(p, part, label, (double)n);
    }
    n += h->count[h->n_bound];
    sample(p, part, "le=\"+Inf\"", (double)n);
    snprintf(part, sizeof part, "%s_sum", name);
    sample(p, part, "", h->sum);
    snprintf(part, sizeof part, "%s_count", name);
    sample(p, part, "", (double)n);
}

static void put_adapters(struct page *p, struct server *sv, const struct sched_stats *st)
{
    struct sched_adapter a[64];
    int n = MIN(sched_adapters(sv->sched, a, LEN(a)), (int)LEN(a));
    struct str names = { 0 }, labels = { 0 };
    for (int i = 0; i < n; i++)
        if (a[i].in_use) str_fmt(&names, "%s%s", names.len ? "," : "", a[i].name);
    str_fmt(&labels, "max_lora=\"%d\",running_lora_adapters=\"", sv->o->max_loras);
    put_label(&labels, names.p ? names.p : "");
    str_puts(&labels, "\",waiting_lora_adapters=\"\"");
    family(p, "lora_requests_info", "gauge",
           "Adapters in use; the value is the time of the scrape.");
    sample(p, "lora_requests_info", labels.p, (double)unix_time());
    str_done(&names);
    str_done(&labels);
}

/* The series that vLLM has too. */
static void put_shared(struct page *p, struct server *sv, const struct sched_stats *s)
{
    static const char *const finish[] = { "stop", "tool_calls", "length", "abort" };
    char label[96];
    one(p, "num_requests_running", "gauge", "Requests that are being computed.", s->running);
    one(p, "num_requests_waiting", "gauge", "Requests that wait for their turn.", s->waiting);
    one(p, "kv_cache_usage_perc", "gauge", "Share of the KV pages in use by requests, 0 to 1.",
        s->pages ? (double)(s->pages - s->pages_free - s->pages_kept) / s->pages : 0);
    family(p, "cache_config_info", "gauge", "The KV cache; always 1.");
    snprintf(label, sizeof label, "block_size=\"%d\",num_gpu_blocks=\"%d\"", KV_PAGE, s->pages);
    sample(p, "cache_config_info", label, 1);
    put_adapters(p, sv, s);
    one(p, "prompt_tokens_total", "counter", "Prompt tokens of finished requests.",
        (double)s->prompt_tokens);
    one(p, "generation_tokens_total", "counter", "Tokens generated.", (double)s->generated_tokens);
    one(p, "prefix_cache_queries_total", "counter", "Prompt tokens looked for in the prefix cache.",
        (double)s->cache_queries);
    one(p, "prefix_cache_hits_total", "counter", "Prompt tokens found there.",
        (double)s->cache_hits);
    one(p, "num_preemptions_total", "counter", "Requests put back to make room.",
        (double)s->preempted);
    family(p, "request_success_total", "counter", "Finished requests.");
    for (int i = 0; i < 4; i++) {
        snprintf(label, sizeof label, "finished_reason=\"%s\"", finish[i]);
        sample(p, "request_success_total", label, (double)s->finished[i]);
    }
    histogram(p, "time_to_first_token_seconds", "From arrival to the first token.", &s->ttft);
    histogram(p, "time_per_output_token_seconds", "Between tokens of a stream.", &s->gap);
    histogram(p, "e2e_request_latency_seconds", "From arrival to the end.", &s->total);
    histogram(p, "request_queue_time_seconds", "Waiting for a turn.", &s->queue);
    histogram(p, "request_prefill_time_seconds", "Computing the prompt.", &s->prefill);
    histogram(p, "request_decode_time_seconds", "From the first token to the last.", &s->decode);
    histogram(p, "request_prompt_tokens", "Prompt tokens of a request.", &s->prompt_size);
    histogram(p, "request_generation_tokens", "Generated tokens of a request.", &s->answer_size);
    histogram(p, "iteration_tokens_total", "Tokens of a forward pass.", &s->step_size);
}

static void put_own(struct page *p, struct server *sv, const struct sched_stats *s)
{
    static const char *const choice[] = { "auto", "none", "required", "named" };
    static const char *const phase[] = { "waiting", "prefill", "decode" };
    const struct metrics *m = sv->metrics;
    const uint64_t gone[] = { s->cancelled_waiting, s->cancelled_prefill, s->cancelled_decode };
    char label[160];
    histogram(p, "inter_token_latency_seconds", "Between tokens of a stream.", &s->gap);
    family(p, "requests_cancelled_total", "counter", "Requests whose client went away.");
    for (int i = 0; i < 3; i++) {
        snprintf(label, sizeof label, "phase=\"%s\"", phase[i]);
        sample(p, "requests_cancelled_total", label, (double)gone[i]);
    }
    family(p, "request_errors_total", "counter", "Requests that failed on the way.");
    for (int i = 0; i < m->n_code; i++) {
        snprintf(label, sizeof label, "code=\"%s\"", m->code[i].code);
        sample(p, "request_errors_total", label, (double)m->code[i].n);
    }
    family(p, "tool_calls_total", "counter", "Tool calls by outcome.");
    sample(p, "tool_calls_total", "outcome=\"complete\"", (double)m->complete);
    sample(p, "tool_calls_total", "outcome=\"truncated\"", (double)m->truncated);
    sample(p, "tool_calls_total", "outcome=\"schema_failed\"", (double)m->schema_failed);
    family(p, "tool_turn_total", "counter", "Answers by tool_choice.");
    for (int i = 0; i < 4; i++) {
        snprintf(label, sizeof label, "choice=\"%s\"", choice[i]);
        sample(p, "tool_turn_total", label, (double)m->turn[i]);
    }
    family(p, "tool_grammar_cache_total", "counter", "Grammars compiled, and found compiled.");
    sample(p, "tool_grammar_cache_total", "result=\"miss\"", (double)s->grammars);
    sample(p, "tool_grammar_cache_total", "result=\"hit\"", (double)s->grammars_kept);
    one(p, "tool_forced_tokens_total", "counter", "Tokens not sampled because only one was legal.",
        (double)s->forced_tokens);
    one(p, "draft_tokens_total", "counter", "Tokens computed ahead.", (double)s->drafted_tokens);
    one(p, "draft_accepted_tokens_total", "counter", "Tokens computed ahead and then chosen.",
        (double)s->accepted_tokens);
    one(p, "replayed_calls_total", "counter", "Calls of a history put back as they were generated.",
        (double)s->replayed);
    one(p, "prefix_cache_bytes", "gauge", "Bytes of kept prefixes.", (double)s->cache_bytes);
}

static void put_http(struct page *p, struct server *sv)
{
    const struct metrics *m = sv->metrics;
    char label[256];
    family(p, "http_requests_total", "counter", "HTTP requests by path, method and status.");
    for (int i = 0; i < m->n_http; i++) {
        const struct http_row *r = &m->http[i];
        snprintf(label, sizeof label, "path=\"%s\",method=\"%s\",status=\"%d\"",
                 r->route ? r->route->path : "other", r->method, r->status);
        sample(p, "http_requests_total", label, (double)r->n);
    }
    one(p, "http_inflight", "gauge", "HTTP requests that have no whole answer yet.", sv->n_live);
    one(p, "http_connections", "gauge", "Open connections.", sv->n_conn);
}

static int open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return MAX(0, n - 3);                                             /* ".", "..", this one */
}

static double resident_bytes(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return (double)resident * (double)page_size();
}

static void put_process(struct page *p, struct server *sv)
{
    struct rusage u;
    struct rlimit l = { 0 };
    getrusage(RUSAGE_SELF, &u);
    getrlimit(RLIMIT_NOFILE, &l);
    family(p, "build_info", "gauge", "Version of this program; always 1.");
    sample(p, "build_info", "version=\"" TENON_VERSION "\"", 1);
    str_fmt(&p->out,
            "# HELP process_cpu_seconds_total User and system time.\n# TYPE "
            "process_cpu_seconds_total counter\nprocess_cpu_seconds_total %.17g\n",
            (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec));
    str_fmt(&p->out,
            "# HELP process_resident_memory_bytes Resident memory.\n# TYPE "
            "process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %.17g\n",
            resident_bytes());
    str_fmt(&p->out,
            "# HELP process_open_fds Open descriptors.\n# TYPE process_open_fds "
            "gauge\nprocess_open_fds %d\n",
            open_files());
    str_fmt(&p->out,
            "# HELP process_max_fds Most descriptors.\n# TYPE process_max_fds "
            "gauge\nprocess_max_fds %.17g\n",
            (double)l.rlim_cur);
    str_fmt(&p->out,
            "# HELP process_start_time_seconds Start of the process.\n# TYPE "
            "process_start_time_seconds gauge\nprocess_start_time_seconds %lld\n",
            (long long)sv->started);
}

void metrics_run(struct exchange *x)
{
    struct server *sv = x->sv;
    struct sched_stats st;
    struct page p = { .prefix = "tenon_" };
    put_label(&p.model, models_default(sv));
    sched_read_stats(sv->sched, &st);
    put_shared(&p, sv, &st);
    put_own(&p, sv, &st);
    put_http(&p, sv);
    put_process(&p, sv);
    if (sv->o->vllm_metrics) {
        p.prefix = "vllm:";
        put_shared(&p, sv, &st);
    }
    reply_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", p.out.p, p.out.len);
    str_done(&p.out);
    str_done(&p.model);
}
