/* cmd_serve.c -- `tenon serve`: the HTTP server. With no other argument it serves the embedded model on
 * 127.0.0.1:8080. Options that people know from other servers are taken under the names they know. */
#include <limits.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "front.h"
#include "speaker.h"
#include "talker.h"
#ifdef TENON_SERVE
#include "serve/serve.h"
#endif

struct serve_cmd {
    struct model_opts m;
    struct opt_list host, name, lora_modules, allow_host, tools;
    const char *api_key, *api_key_file, *admin_key, *api_prefix, *cors, *tls_cert, *tls_key,
        *lora_root, *store, *log, *strip, *cache_dir, *metrics_listen, *history_check, *builtin, *root, *python, *data;
    bool mcp, mcp_private, code_interpreter;
    bool no_ui, enable_lora, metrics_open, strict, any_model, reject_queued, vllm, grammar_sampling,
        deterministic, no_cache, verbose, quiet;
    int64_t port, parallel, max_queue, max_conn, per_ip, max_body, max_n, max_loras, max_len,
        store_most;
    double header, body, idle, stall, queue, request, ping, drain_delay, drain, store_days;
};

static const struct serve_cmd defaults = {
    .port = 8080,
    .parallel = 8,
    .max_queue = 256,
    .max_conn = 1024,
    .max_body = 32,
    .max_n = 8,
    .max_loras = 8,
    .store_most = 10000,
    .header = 10,
    .body = 30,
    .idle = 75,
    .stall = 60,
    .ping = 5,
    .drain = 30,
    .store_days = 30,
};

#define AT(field) offsetof(struct serve_cmd, field)
static const struct opt options[] = {
    MODEL_OPTS(struct serve_cmd),
    SPEAK_OPTS(struct serve_cmd),
    { "Model", 0, "model-path", "FILE", OPT_STR, AT(m.model), "the same as --model (default: the embedded model)" },
    { "Model", 0, "max-model-len", "N", OPT_INT, AT(max_len), "the same as --ctx (default: the model's)" },
    { "Model", 0, "context-length", "N", OPT_INT, AT(max_len), "the same as --ctx (default: the model's)" },
    { "Model", 0, "served-model-name", "NAME", OPT_LIST, AT(name), "name in requests and answers; may be repeated (default: the file's)" },
    { "Server", 0, "host", "ADDR", OPT_LIST, AT(host), "address, name or unix:/path; may be repeated (default: 127.0.0.1)" },
    { "Server", 0, "port", "N", OPT_INT, AT(port), "0: the system chooses, stdout says which (default: 8080)" },
    { "Server", 0, "parallel", "N", OPT_INT, AT(parallel), "most sequences computed together (default: 8)" },
    { "Server", 0, "max-queue", "N", OPT_INT, AT(max_queue), "requests that may wait; more are refused with 429 (default: 256)" },
    { "Server", 0, "max-connections", "N", OPT_INT, AT(max_conn), "most open connections (default: 1024)" },
    { "Server", 0, "max-per-ip", "N", OPT_INT, AT(per_ip), "most open connections of one address, 0: no bound (default: 0)" },
    { "Server", 0, "max-body", "MIB", OPT_INT, AT(max_body), "largest request body (default: 32)" },
    { "Server", 0, "max-n", "N", OPT_INT, AT(max_n), "most choices of a request (default: 8)" },
    { "Server", 0, "api-prefix", "PATH", OPT_STR, AT(api_prefix), "paths are found below it too (default: none)" },
    { "Server", 0, "no-ui", NULL, OPT_FLAG, AT(no_ui), "no playground at / (default: it is there)" },
    { "Server", 0, "any-model", NULL, OPT_FLAG, AT(any_model), "accept every model name (default: 404 for unknown ones)" },
    { "Server", 0, "strict-params", NULL, OPT_FLAG, AT(strict), "refuse members that are not known (default: ignore them)" },
    { "Server", 0, "history-check", "HOW", OPT_STR, AT(history_check), "off: results need not match the calls before them (default: on)" },
    { "Server", 0, "response-store", "FILE", OPT_STR, AT(store), "keep responses that ask for it, SQLite (default: none)" },
    { "Server", 0, "store-most", "N", OPT_INT, AT(store_most), "responses kept; the oldest go (default: 10000)" },
    { "Server", 0, "store-days", "X", OPT_F64, AT(store_days), "and for so long (default: 30)" },
    { "Server", 0, "strip-system-line", "REGEX", OPT_STR, AT(strip), "drop matching lines at the head of an Anthropic system text (default: none)" },
    { "Server", 0, "prefix-cache", "DIR", OPT_STR, AT(cache_dir), "keep computed prefixes here across restarts (default: in memory only)" },
    { "Server", 0, "no-prefix-cache", NULL, OPT_FLAG, AT(no_cache), "compute every prompt anew (default: off)" },
    { "Server", 0, "deterministic", NULL, OPT_FLAG, AT(deterministic), "keep nothing that was generated (default: off)" },
    { "Tools", 0, "tools", "FILE", OPT_LIST, AT(tools), "tools that the playground and other clients may run here (docs/tools.md); may be repeated (default: none)" },
    { "Tools", 0, "tools-builtin", "NAMES", OPT_STR, AT(builtin), "… builtin ones: read_file,list_dir,find,grep,write_file,edit_file,run,python (default: none)" },
    { "Tools", 0, "root", "DIR", OPT_STR, AT(root), "builtin file tools stay below it (default: the working directory)" },
    { "Tools", 0, "interpreter-data", "DIR", OPT_STR, AT(data), "a folder that both read at /data (default: none)" },
    { "Tools", 0, "interpreter-python", "FILE", OPT_STR, AT(python), "of the tool python and of --code-interpreter (default: /usr/bin/python3)" },
    { "Tools", 0, "mcp", NULL, OPT_FLAG, AT(mcp), "/v1/responses: run tools of type mcp, of public servers that a request names (default: off)" },
    { "Tools", 0, "mcp-private", NULL, OPT_FLAG, AT(mcp_private), "… of any server: who asks can reach what this machine can (default: off)" },
    { "Tools", 0, "code-interpreter", NULL, OPT_FLAG, AT(code_interpreter), "/v1/responses: run tools of type code_interpreter, sandboxed (default: the client runs them)" },
    { "Access", 0, "api-key", "KEY", OPT_STR, AT(api_key), "ask for this key; also API_KEY in the environment (default: none)" },
    { "Access", 0, "api-key-file", "FILE", OPT_STR, AT(api_key_file), "a key a line, read again on SIGHUP (default: none)" },
    { "Access", 0, "admin-key", "KEY", OPT_STR, AT(admin_key), "for loading adapters (default: only from this machine)" },
    { "Access", 0, "allow-host", "NAME", OPT_LIST, AT(allow_host), "a further name in the Host header; may be repeated (default: this machine's)" },
    { "Access", 0, "cors-origins", "LIST", OPT_STR, AT(cors), "*, localhost, or origins with commas (default: *)" },
    { "Access", 0, "tls-cert", "FILE", OPT_STR, AT(tls_cert), "PEM; speak TLS (default: off)" },
    { "Access", 0, "tls-key", "FILE", OPT_STR, AT(tls_key), "PEM (default: none)" },
    { "Access", 0, "metrics-open", NULL, OPT_FLAG, AT(metrics_open), "/metrics needs no key (default: off)" },
    { "Access", 0, "metrics-listen", "WHERE", OPT_STR, AT(metrics_listen), "/metrics alone, without a key, at [ADDR:]PORT (default: none)" },
    { "Adapters", 0, "lora-modules", "NAME=PATH", OPT_LIST, AT(lora_modules), "adapter chosen by model name; several may follow (default: none)" },
    { "Adapters", 0, "enable-lora", NULL, OPT_FLAG, AT(enable_lora), "allow loading adapters over HTTP (default: off)" },
    { "Adapters", 0, "lora-root", "DIR", OPT_STR, AT(lora_root), "only from below this folder (default: the working directory)" },
    { "Adapters", 0, "max-loras", "N", OPT_INT, AT(max_loras), "adapters loaded at once (default: 8)" },
    { "Time", 0, "header-timeout", "S", OPT_F64, AT(header), "for the headers of a request (default: 10)" },
    { "Time", 0, "body-timeout", "S", OPT_F64, AT(body), "without a byte of the body (default: 30)" },
    { "Time", 0, "idle-timeout", "S", OPT_F64, AT(idle), "between requests of a connection (default: 75)" },
    { "Time", 0, "stall-timeout", "S", OPT_F64, AT(stall), "without the client reading (default: 60)" },
    { "Time", 0, "queue-timeout", "S", OPT_F64, AT(queue), "waiting for a turn, 0: no bound (default: 0)" },
    { "Time", 0, "request-timeout", "S", OPT_F64, AT(request), "of a whole request, 0: no bound (default: 0)" },
    { "Time", 0, "sse-ping", "S", OPT_F64, AT(ping), "comment in a stream that is silent so long (default: 5)" },
    { "Time", 0, "drain-delay", "S", OPT_F64, AT(drain_delay), "on SIGTERM: go on accepting (default: 0)" },
    { "Time", 0, "drain-timeout", "S", OPT_F64, AT(drain), "on SIGTERM: finish what runs (default: 30)" },
    { "Time", 0, "drain-reject-queued", NULL, OPT_FLAG, AT(reject_queued), "on SIGTERM: refuse what waits (default: finish it)" },
    { "Output", 0, "log-format", "HOW", OPT_STR, AT(log), "text or json, a line a request on stderr (default: text)" },
    { "Output", 0, "quiet", NULL, OPT_FLAG, AT(quiet), "warnings and errors only (default: off)" },
    { "Output", 0, "verbose", NULL, OPT_FLAG, AT(verbose), "what helps to find a fault too (default: off)" },
    { "Output", 0, "vllm-metrics", NULL, OPT_FLAG, AT(vllm), "/metrics under the names of vLLM too (default: off)" },
    { "Accepted", 0, "enable-grammar-sampling", NULL, OPT_FLAG, AT(grammar_sampling), "always on here (default: on)" },
};

#ifdef TENON_SERVE
static bool in_range(const char *name, int64_t v, int64_t lo, int64_t hi, struct err *e)
{
    return (v >= lo && v <= hi) || err_set(e, ERR_USAGE, "--%s: %lld to %lld is accepted", name,
                                           (long long)lo, (long long)hi);
}

static bool check(const struct serve_cmd *o, struct err *e)
{
    if (!in_range("port", o->port, 0, 65535, e) || !in_range("parallel", o->parallel, 1, 1024, e))
        return false;
    if (!in_range("max-queue", o->max_queue, 1, 1000000, e) ||
        !in_range("max-connections", o->max_conn, 1, 1000000, e))
        return false;
    if (!in_range("max-per-ip", o->per_ip, 0, 1000000, e) ||
        !in_range("max-body", o->max_body, 1, 4096, e))
        return false;
    if (!in_range("max-n", o->max_n, 1, 128, e) || !in_range("max-loras", o->max_loras, 1, 200, e))
        return false;
    const double seconds[] = { o->header,  o->body, o->idle,        o->stall, o->queue,
                               o->request, o->ping, o->drain_delay, o->drain, o->store_days };
    for (size_t i = 0; i < LEN(seconds); i++)
        if (!(seconds[i] >= 0 && seconds[i] <= 1e9))
            return err_set(e, ERR_USAGE, "times: 0 and more are accepted");
    const char *why = o->code_interpreter ? interp_refusal(&(struct toolset_opts){ .python = o->python, .data = o->data }) : NULL;
    if (why) return err_set(e, ERR_UNSUPPORTED, "--code-interpreter: %s", why);
    if (!(o->ping > 0)) return err_set(e, ERR_USAGE, "--sse-ping: more than 0 is accepted");
    if (o->log && strcmp(o->log, "text") && strcmp(o->log, "json"))
        return err_set(e, ERR_USAGE, "--log-format: text and json are accepted");
    if (o->history_check && strcmp(o->history_check, "on") && strcmp(o->history_check, "off"))
        return err_set(e, ERR_USAGE, "--history-check: on and off are accepted");
    return true;
}

static void fill(const struct serve_cmd *o, struct serve_opts *s)
{
    *s = (struct serve_opts){
        .host = { o->host.item, o->host.n },
        .port = (int)o->port,
        .name = { o->name.item, o->name.n },
        .lora = { o->lora_modules.item, o->lora_modules.n },
        .allowed_host = { o->allow_host.item, o->allow_host.n },
        .model_path = o->m.model,
        .api_key = o->api_key,
        .api_key_file = o->api_key_file,
        .admin_key = o->admin_key,
        .api_prefix = o->api_prefix,
        .cors = o->cors,
        .tls_cert = o->tls_cert,
        .tls_key = o->tls_key,
        .lora_root = o->lora_root,
        .store_path = o->store,
        .log_format = o->log,
        .strip_system_line = o->strip,
        .no_ui = o->no_ui,
        .tools = { o->tools.item, o->tools.n },
        .tools_builtin = o->builtin,
        .tools_root = o->root,
        .tools_python = o->python,
        .tools_data = o->data,
        .mcp = o->mcp || o->mcp_private,
        .mcp_private = o->mcp_private,
        .code_interpreter = o->code_interpreter,
        .enable_lora = o->enable_lora,
        .metrics_open = o->metrics_open,
        .metrics_listen = o->metrics_listen,
        .no_history_check = o->history_check && !strcmp(o->history_check, "off"),
        .strict_params = o->strict,
        .any_model = o->any_model,
        .drain_reject_queued = o->reject_queued,
        .vllm_metrics = o->vllm,
        .max_loras = (int)o->max_loras,
        .max_n = (int)o->max_n,
        .max_queue = (int)o->max_queue,
        .max_conn = (int)o->max_conn,
        .max_per_ip = (int)o->per_ip,
        .n_parallel = (int)o->parallel,
        .max_body = o->max_body << 20,
        .header_s = o->header,
        .body_s = o->body,
        .idle_s = o->idle,
        .stall_s = o->stall,
        .queue_s = o->queue,
        .request_s = o->request,
        .ping_s = o->ping,
        .drain_delay_s = o->drain_delay,
        .drain_s = o->drain,
        .store_most = o->store_most,
        .store_days = o->store_days,
    };
}

/* --lora-modules a=x b=y: those behind the first come as arguments. */
static bool add_modules(struct serve_opts *s, const struct serve_cmd *o, int n_arg, char **arg,
                        const char **list, struct err *e)
{
    int n = 0;
    for (; n < o->lora_modules.n; n++) list[n] = o->lora_modules.item[n];
    for (int i = 0; i < n_arg; i++) {
        if (!n || !strchr(arg[i], '='))
            return err_set(
                e, ERR_USAGE,
                "what is '%.100s'? options are accepted, and NAME=PATH behind --lora-modules",
                arg[i]);
        list[n++] = arg[i];
    }
    s->lora = (struct serve_list){ list, n };
    return true;
}

static bool run_server(const struct serve_cmd *o, struct serve_opts *so, struct err *e)
{
    struct speaker s;
    struct speaker_opts sp = SPEAKER_OPTS(&o->m);
    if (o->max_len) sp.n_ctx = o->max_len;
    log_level = o->verbose ? LOG_DEBUG : o->quiet ? LOG_WARN : LOG_INFO;
    serve_block_signals();
    map_guard();
    if (!speaker_open(&s, &sp, e)) return false;
    struct sched_opts sc = { .n_seq = so->n_parallel,
                             .n_queue = so->max_queue,
                             .cache_dir = o->cache_dir,
                             .no_cache = o->no_cache,
                             .deterministic = o->deterministic };
    struct sched *sched = sched_open(s.engine, &sc, e);
    bool ok = sched && serve_run(so, s.engine, sched, e);
    sched_close(sched);
    speaker_close(&s);
    return ok;
}

static bool serve(const struct serve_cmd *o, int n_arg, char **arg, struct err *e)
{
    struct serve_opts so;
    const char **list = mem_zero((size_t)(o->lora_modules.n + n_arg + 1) * sizeof *list);
    char *state = state_dir();
    fill(o, &so);
    so.tools_state = state;
    bool ok = check(o, e) && add_modules(&so, o, n_arg, arg, list, e) && run_server(o, &so, e);
    mem_free(list);
    mem_free(state);
    return ok;
}
#else
static bool serve(const struct serve_cmd *o, int n_arg, char **arg, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED,
                   "this build has no server (libmicrohttpd was absent; make deps installs it)");
}
#endif

static int run(const void *opts, int n_arg, char **arg)
{
    struct err e = { 0 };
    return serve(opts, n_arg, arg, &e) ? 0 : front_fail("serve", &e);
}

const struct command cmd_serve = {
    .verb = "serve",
    .args = "",
    .sentence =
        "Serve a model over HTTP: the APIs of OpenAI (chat, responses, completions) and Anthropic.",
    .example = "tenon serve --port 8080",
    .opt = options,
    .n_opt = LEN(options),
    .defaults = &defaults,
    .opts_bytes = sizeof defaults,
    .max_arg = -1,
    .run = run,
};
