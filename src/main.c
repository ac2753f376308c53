/* main.c -- the list of verbs, and nothing else that could live in a verb.
 *
 * Exit status: 0 done, 1 refused or failed with one line on stderr, 2 wrong usage. */
#include <stdlib.h>

#include "agent/agent.h"
#include "client/client.h"
#include "embed.h"
#include "opt.h"
#include "train/train.h"
#ifdef TENON_SERVE
#include "serve/serve.h"
#endif

#define COMMANDS(X) \
    X(cmd_call) X(cmd_run) X(cmd_chat) X(cmd_tools_list) X(cmd_tools_test) X(cmd_tools_accept) X(cmd_tools_trust) X(cmd_tools_login) X(cmd_serve) \
    X(cmd_eval) X(cmd_eval_bfcl) X(cmd_eval_sgd) X(cmd_eval_own) \
    X(cmd_bench) X(cmd_bench_bandwidth) X(cmd_bench_masks) X(cmd_bench_batch) X(cmd_bench_steps) X(cmd_bench_serve) X(cmd_bench_tokenize) X(cmd_bench_render) X(cmd_bench_parse) \
    X(cmd_train) X(cmd_train_plot) X(cmd_train_loss) X(cmd_train_export) X(cmd_data) \
    X(cmd_inspect) X(cmd_quantize) X(cmd_imatrix) X(cmd_merge) X(cmd_convert) \
    X(cmd_debug_logits) X(cmd_debug_tokenize) X(cmd_debug_render) X(cmd_debug_parse) \
    X(cmd_debug_grammar) X(cmd_debug_random_call) X(cmd_debug_random_model)
#define X(c) extern const struct command c;
COMMANDS(X)
#undef X
const struct command *const commands[] = {
#define X(c) &c,
    COMMANDS(X)
#undef X
    NULL,
};

/* The verb with the most words that argv begins with: "train plot" before "train". */
static const struct command *find_command(int argc, char **argv, int *used)
{
    const struct command *best = NULL;
    *used = 0;
    for (size_t i = 0; commands[i]; i++) {
        const char *v = commands[i]->verb, *space = strchr(v, ' ');
        size_t first = space ? (size_t)(space - v) : strlen(v);
        if (strlen(argv[0]) != first || memcmp(argv[0], v, first)) continue;
        int words = space ? 2 : 1;
        if (space && (argc < 2 || strcmp(argv[1], space + 1))) continue;
        if (words > *used) best = commands[i], *used = words;
    }
    return best;
}

static void list_verbs(FILE *f)
{
    fputs("usage: tenon VERB [options]      tool calling by language models on ordinary machines\n", f);
    for (size_t i = 0; commands[i]; i++)
        fprintf(f, "  %-20s %s\n", commands[i]->verb, commands[i]->sentence);
    fputs("  help [VERB]          this list, or the options of a verb (also: tenon VERB --help)\n", f);
    fputs("example: tenon call --tools examples/home.json \"dim the kitchen to 10\"\n", f);
}

static void print_manual(void)
{
    struct str s = { 0 };
    str_puts(&s, ".TH TENON 1 \"\" \"tenon " TENON_VERSION "\"\n.SH NAME\ntenon \\- tool calling by language models on ordinary machines\n"
                 ".SH SYNOPSIS\n.B tenon\nVERB [options]\n.SH VERBS\n");
    for (size_t i = 0; commands[i]; i++)
        opt_man(commands[i], &s);
    str_puts(&s, ".SH EXIT STATUS\n0 done, 1 refused or failed (one line on stderr says why), 2 wrong usage.\n");
    fwrite(s.p, 1, s.len, stdout);
    str_done(&s);
}

static void print_version(void)
{
    printf("tenon " TENON_VERSION "\n");
#ifdef TENON_ZLIB
    printf("gzip: yes\n");
#else
    printf("gzip: no (built without zlib)\n");
#endif
#ifdef TENON_ZSTD
    printf("zstd: yes\n");
#else
    printf("zstd: no (built without libzstd)\n");
#endif
#ifdef TENON_SERVE
    printf("server: yes\n");
    if (serve_sqlite()) printf("response store: yes (SQLite %s)\n", serve_sqlite());
    else printf("response store: no (built without libsqlite3)\n");
#else
    printf("server: no (built without libmicrohttpd)\n");
#endif
    printf("training in several processes: %s\n", ranks_library() ? ranks_library() : "no (built without MPI)");
    if (transcript_sqlite()) printf("transcripts: yes (SQLite %s)\n", transcript_sqlite());
    else printf("transcripts: JSON Lines only (built without libsqlite3)\n");
#ifdef TENON_SECCOMP
    printf("code interpreter: where bubblewrap works\n");
#else
    printf("code interpreter: no (built without libseccomp)\n");
#endif
#ifdef TENON_LIBEDIT
    printf("line editing: yes\n");
#else
    printf("line editing: no (built without libedit)\n");
#endif
    printf(client_available() ? "http client: yes (libcurl)\n" : "http client: no (built without libcurl)\n");
    if (embed_bytes()) printf("embedded model: %zu bytes\n", embed_bytes());
    else printf("embedded model: none\n");
}

static int help_for(const struct command *c)
{
    struct str s = { 0 };
    opt_help(c, &s);
    fwrite(s.p, 1, s.len, stdout);
    str_done(&s);
    return 0;
}

static int run_command(const struct command *c, int argc, char **argv)
{
    struct err e = { 0 };
    void *opts = c->defaults ? mem_dup(c->defaults, c->opts_bytes) : mem_zero(c->opts_bytes);
    char **arg = mem_zero(((size_t)argc + 1) * sizeof *arg);
    int n_arg, rc;
    bool help;
    if (!opt_parse(c, argc, argv, opts, arg, &n_arg, &help, &e)) rc = front_fail(c->verb, &e);
    else if (help) rc = help_for(c);
    else rc = c->run(opts, n_arg, arg);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "tenon %s: the output cannot be written\n", c->verb);
        rc = rc ? rc : 1;
    }
    opt_done(c, opts);
    mem_free(opts);
    mem_free(arg);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        list_verbs(stderr);
        return 2;
    }
    bool asks_help = !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h");
    if (!strcmp(argv[1], "--version")) return print_version(), 0;
    if (asks_help && argc > 2 && !strcmp(argv[2], "--man")) return print_manual(), 0;
    if (asks_help && argc == 2) return list_verbs(stdout), 0;
    int used, skip = asks_help ? 2 : 1;
    const struct command *c = find_command(argc - skip, argv + skip, &used);
    if (!c) {
        fprintf(stderr, "tenon: no verb '%s'; tenon help lists them\n", argv[skip]);
        return 2;
    }
    return asks_help ? help_for(c) : run_command(c, argc - skip - used, argv + skip + used);
}
