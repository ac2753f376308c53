/* teach.h -- files of conversations that a model is to learn: read, checked, brought into one shape. */
#ifndef TENON_TEACH_H
#define TENON_TEACH_H

#include "base/base.h"
#include "base/json.h"

/* Conversations {messages, tools?} as the dialects take them, the last turn the assistant's; owned. */
struct taught { struct json **item; int *line; int n, cap; };
void taught_done(struct taught *t);

/* Appends the lines of a JSONL file (may be .gz, .zst), each in one of three forms:
 *   {messages, tools?}            as for fine-tuning at OpenAI; the last message is the assistant's
 *   {messages, tools, answer, …}  as `tenon data` writes them; answer is the assistant's turn that follows
 *   {query, tools, answers}       tools and answers as arrays or as JSON in a string; answers: [{name, arguments}],
 *                                 or a text where no call is wanted
 * Every malformed line is told on stderr, with its number and what is wrong; then false: how many there were. */
bool teach_read(struct taught *t, const char *path, const struct json *tools, struct err *e);
/* One such line as a conversation. tools: of lines without any, or NULL. Owned; NULL: e says what is wrong with it. */
struct json *teach_line(const struct json *line, const struct json *tools, struct err *e);
/* The same as a question of `tenon eval`: {kind, tools, messages, expect}; the assistant's last turn is what is expected. */
struct json *teach_question(const struct json *line, const struct json *tools, struct err *e);

#endif
