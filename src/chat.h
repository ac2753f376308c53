/* chat.h -- what the files of `tenon chat` share: cmd_chat.c reads lines, chat_commands.c has what a /command does,
 * chat_past.c what is kept and comes back. */
#ifndef TENON_CHAT_H
#define TENON_CHAT_H

#include "talker.h"
#include "typed.h"

struct chat_opts { union { struct talk_opts k; struct model_opts m; };   /* k begins with m */
    bool plain, no_stats, shell; };

enum { ADAPTERS_MOST = 64 };
struct chat {
    const struct chat_opts *o;
    struct term term;
    struct talker t;
    struct agent_report last;
    bool leaves, terminal;
    uint64_t pressed;                                                 /* clock_ns() of the last Ctrl-C; 0: long ago */
    int status;
    char *model, *lora[ADAPTERS_MOST]; int n_lora;                    /* what /model and /lora set; model NULL: as it began */
};

/* ---- cmd_chat.c ---- */

void chat_say(const char *fmt, ...) PRINTF_LIKE(1, 2);                /* a line on stderr */
void chat_say_safe(const char *p, size_t n);                          /* text of strangers, on stderr */
void chat_send(struct chat *c, const char *text);                     /* a question, and all that follows */

/* ---- chat_commands.c ---- */

void chat_command(struct chat *c, char *line);                        /* "/name argument"; the line is taken apart */
void chat_complete(void *chat, struct completion *c);                 /* what Tab offers */
const char *chat_model(const struct chat *c);                         /* the name of what answers */
void chat_drop_adapters(struct chat *c);

/* ---- chat_past.c: each gets what stands behind the command's name ---- */

void chat_save(struct chat *c, char *arg);
void chat_load(struct chat *c, char *arg);
void chat_export(struct chat *c, char *arg);
void chat_history(struct chat *c, char *arg);
void chat_resumed(struct chat *c);                                    /* shows where a conversation stands that goes on */

#endif
