/* serve.h -- the door of serve/: an engine becomes an HTTP server that official SDKs talk to.
 *
 * listen.c listens and names peers; hub.c is the I/O thread: one epoll for sockets, signals and news from
 * the engine thread; http.c joins it with libmicrohttpd; api.c is the table of routes; reply.c writes
 * answers and errors. openai.c, completions.c, responses.c and anthropic.c each translate one wire into
 * the one internal request (gen/) and the one stream of events back; job.c carries both between the
 * threads; served.c runs tools for /v1/responses, hands.c those that a client
 * brings. page.c is the playground at /. models.c has names and adapters, keep.c stored responses, metrics.c what is counted. */
#ifndef TENON_SERVE_H
#define TENON_SERVE_H

#include "gen/gen.h"

struct serve_list { const char *const *item; int n; };
struct serve_opts {
    struct serve_list host;                                           /* addresses, names, unix:/path; none: 127.0.0.1 */
    int port;                                                         /* 0: the system chooses */
    struct serve_list name;                                           /* of the model; none: from the file */
    const char *metrics_listen;                                       /* [ADDR:]PORT of a socket for /metrics alone; NULL: none */
    struct serve_list lora, allowed_host;                             /* name=path[=scale]; further names of this server */
    const char *model_path;                                           /* NULL: the embedded model */
    const char *api_key, *api_key_file, *admin_key, *api_prefix, *cors, *tls_cert, *tls_key;
    const char *lora_root, *store_path, *log_format, *strip_system_line;
    struct serve_list tools;                                          /* tools files whose tools clients may run (hands.c) */
    const char *tools_builtin, *tools_root, *tools_python, *tools_data, *tools_state;  /* state: what is remembered of servers, NULL: nothing */
    bool mcp, mcp_private, code_interpreter;                          /* /v1/responses: tools that run here; servers that are not public */
    bool no_ui, enable_lora, metrics_open, strict_params, any_model, drain_reject_queued, vllm_metrics, no_history_check;
    int max_loras, max_n, max_queue, max_conn, max_per_ip, n_parallel;
    int64_t max_body;                                                 /* bytes */
    double header_s, body_s, idle_s, stall_s, queue_s, request_s, ping_s, drain_delay_s, drain_s; /* 0: none */
    int64_t store_most; double store_days;
};
extern const struct serve_opts serve_defaults;

/* Serves until SIGTERM or SIGINT, then drains. The caller has blocked both signals and SIGHUP before any
 * thread began (serve_block_signals). False: it could not begin (e), or the engine failed. */
void serve_block_signals(void);
bool serve_run(const struct serve_opts *o, const struct engine *en, struct sched *s, struct err *e);
const char *serve_sqlite(void);                                       /* version of SQLite, NULL in a build without it */

#endif
