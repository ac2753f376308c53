/* front.h -- what the files of the front door share: option tables, the list of verbs, and how a model
 * given by -m (or the embedded one) is opened.
 *
 * A verb is one `struct command`: parsing, --help and the manual page all come from its table. Options
 * are stored by offset into a struct of the verb's own, which starts as a copy of its defaults. */
#ifndef TENON_FRONT_H
#define TENON_FRONT_H

#include "base/base.h"
#include "base/json.h"
#include "format/format.h"

enum opt_kind { OPT_FLAG,                                             /* bool *                    */
                OPT_INT,                                              /* int64_t *                 */
                OPT_F64,                                              /* double *                  */
                OPT_STR,                                              /* const char ** (lent argv) */
                OPT_LIST };                                           /* struct opt_list *, may be repeated */
struct opt_list { const char **item; int n; };
struct opt {
    const char *group;                                                /* heading in --help */
    char letter;                                                      /* 0: none */
    const char *name, *arg;                                           /* "model", "FILE" (NULL for flags) */
    enum opt_kind kind;
    size_t off;
    const char *help;                                                 /* ends with the default */
};
struct command {
    const char *verb;                                                 /* "call", "debug logits" */
    const char *args;                                                 /* what follows the options: "REQUEST" or "" */
    const char *sentence, *example;
    const struct opt *opt; int n_opt;
    const void *defaults; size_t opts_bytes;
    int min_arg, max_arg;                                             /* positional arguments; max -1: any */
    int (*run)(const void *opts, int n_arg, char **arg);              /* exit status */
};

/* Options that every verb with a model shares; the verb's struct begins with a struct model_opts. */
struct model_opts { const char *model; int64_t threads, ctx; const char *dialect, *kv_type; bool mlock, no_mmap; struct opt_list lora; };
#define MODEL_OPTS(type) \
    { "Model", 'm', "model", "FILE", OPT_STR, offsetof(type, m.model), "GGUF file (default: the embedded model)" }, \
    { "Model", 't', "threads", "N", OPT_INT, offsetof(type, m.threads), "threads (default: one per core)" }, \
    { "Model", 0, "ctx", "N", OPT_INT, offsetof(type, m.ctx), "tokens of context (default: the model's, at most 32768)" }, \
    { "Model", 0, "dialect", "NAME", OPT_STR, offsetof(type, m.dialect), "how calls are written (default: found in the model file)" }

/* For verbs that generate. */
#define SPEAK_OPTS(type) \
    { "Model", 0, "kv-type", "TYPE", OPT_STR, offsetof(type, m.kv_type), "KV cache: f32, f16, bf16 or q8_0 (default: f16)" }, \
    { "Model", 0, "mlock", NULL, OPT_FLAG, offsetof(type, m.mlock), "keep the model from being paged out (default: off)" }, \
    { "Model", 0, "no-mmap", NULL, OPT_FLAG, offsetof(type, m.no_mmap), "read the model into memory instead of mapping it (default: off)" }, \
    { "Model", 0, "lora", "FILE[=SCALE]", OPT_LIST, offsetof(type, m.lora), "adapter (GGUF or PEFT folder) and its weight; may be repeated (default: none)" }

#define SPEAKER_OPTS(m) \
    { .path = (m)->model, .dialect = (m)->dialect, .kv_type = (m)->kv_type, .n_ctx = (m)->ctx, .n_thread = (m)->threads, \
      .no_mmap = (m)->no_mmap, .mlock = (m)->mlock, \
      .lora = (m)->lora.item, .n_lora = (m)->lora.n }

/* Opens FILE, or the embedded model for NULL; ERR_UNSUPPORTED if this build has none. */
struct gguf *front_gguf(const char *path, struct err *e);
/* Prints "tenon VERB: message" on stderr and returns the exit status of e. */
int front_fail(const char *verb, const struct err *e);

extern const struct command *const commands[];                        /* NULL-terminated; main.c */

#endif
