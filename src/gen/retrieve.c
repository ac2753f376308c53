/* retrieve.c -- of a long list of tools those that this request may need.
 *
 * A small model chooses badly among fifty tools, and its context may not hold them. The best by the
 * words they share with the last user turn (lexical.c) stay, in the order in which they were given;
 * what the conversation has called before, and a tool that is asked for by name, always stays. Prompt
 * and grammar then know no other. Off for a server unless the request asks: another choice for every
 * turn is another prompt from its first token on. */
#include <stdlib.h>

#include "gen/sched_int.h"

struct ranked { double score; size_t at; };

static int by_score(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->score != y->score) return (x->score < y->score) - (x->score > y->score);
    return (x->at > y->at) - (x->at < y->at);
}

static bool was_called(const struct json *messages, const char *name)
{
    for (size_t i = 0; i < json_len(messages); i++) {
        const struct json *calls = json_get(json_at(messages, i), "tool_calls");
        for (size_t j = 0; j < json_len(calls); j++)
            if (json_str_is(json_get(json_get(json_at(calls, j), "function"), "name"), name)) return true;
    }
    return false;
}

static bool is_pinned(const struct request *r, size_t i)
{
    const char *name = tool_name(json_at(r->tools, i));
    return !name || was_called(r->messages, name) ||
           (r->choice == CHOICE_NAMED && !strcmp(name, r->choice_name));
}

/* Puts the tools with keep[i] into the request, with what allowed_tools says of them. */
static void keep_only(struct request *r, const uint8_t *keep)
{
    struct json *out = json_new_array();
    size_t n = 0;
    for (size_t i = 0; i < json_len(r->tools); i++) {
        if (!keep[i]) continue;
        if (r->allowed) r->allowed[n] = r->allowed[i];
        json_push(out, json_share(json_at(r->tools, i)));             /* choice_name is lent from one of them */
        n++;
    }
    json_set(r->body, "tools", out);
    r->tools = out;
}

void tools_scores(const struct json *messages, const struct json *tools, double *score)
{
    size_t n = json_len(tools);
    struct call_tool *tool = mem_zero((n + 1) * sizeof *tool);
    for (size_t i = 0; i < n; i++) {
        const char *name = tool_name(json_at(tools, i));
        tool[i] = (struct call_tool){ .name = name ? name : "", .schema = tool_schema(json_at(tools, i)),
                                      .description = json_get(tool_function(json_at(tools, i)), "description") };
    }
    lexical_scores(messages, tool, (int)n, score);
    for (size_t i = 0; i < n; i++) json_free(tool[i].schema);
    mem_free(tool);
}

void request_retrieve(struct request *r, int most)
{
    size_t n = json_len(r->tools);
    if (n <= (size_t)most) return;
    struct ranked *rank = mem_zero(n * sizeof *rank);
    double *score = mem_zero(n * sizeof *score);
    uint8_t *keep = mem_zero(n);
    tools_scores(r->messages, r->tools, score);
    for (size_t i = 0; i < n; i++) rank[i] = (struct ranked){ r->allowed && !r->allowed[i] ? -1 : score[i], i };
    qsort(rank, n, sizeof *rank, by_score);
    for (size_t i = 0; i < (size_t)most; i++) keep[rank[i].at] = 1;
    for (size_t i = 0; i < n; i++) keep[i] |= is_pinned(r, i);
    keep_only(r, keep);
    mem_free(keep);
    mem_free(score);
    mem_free(rank);
}

/* Tools of our own tiny models beyond which a choice helps, and of all others. */
#define TOOLS_TINY 16

int engine_tools_max(const struct engine *en)
{
    if (en->tools_max > 0) return en->tools_max;
    return strcmp(en->dialect->name, "lfm2-json") ? TOOLS_USUAL : TOOLS_TINY;
}

void engine_retrieve(const struct engine *en, struct request *r, int most)
{
    int max = most < 0 ? engine_tools_max(en) : most;
    if (max > 0 && json_len(r->tools) > (size_t)max) request_retrieve(r, MIN(TOOLS_KEPT, max));
}
