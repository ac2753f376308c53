/* choose.c -- of a long list of tools those that the model is shown in this conversation.
 *
 * Where there are more tools than a model chooses well among, the best by the words they share with the question are
 * shown, beside those that are pinned and those that were called already, in the order of the toolset. The choice is kept
 * for the conversation, because another one is another prompt from its first token on; it is made anew only when it
 * misses: a new question fits a tool best that is not shown, or the model itself looks for one. For that it has
 * find_tools, which is offered whenever something is not shown; what it finds is shown from then on. */
#include <stdlib.h>

#include "agent/turns_int.h"

#define FOUND_MOST 5

struct json *find_tools_tool(void)
{
    static const char text[] =
        "{\"type\":\"function\",\"function\":{\"name\":\"find_tools\",\"description\":\"Finds tools that are not in this list, by what they should do\","
        "\"parameters\":{\"type\":\"object\",\"properties\":{\"query\":{\"type\":\"string\",\"minLength\":1}},\"required\":[\"query\"],\"additionalProperties\":false}}}";
    return json_parse(text, sizeof text - 1, NULL);
}

bool choose_applies(const struct agent *l)
{
    return l->o.tools_max > 0 && toolset_n(l->o.tools) > (size_t)l->o.tools_max;
}

static bool is_chosen(const struct agent *l, const char *name)
{
    for (int i = 0; i < l->chosen.n; i++)
        if (!strcmp(l->chosen.p[i], name)) return true;
    return false;
}

void choose_add(struct agent *l, const char *name)
{
    if (!is_chosen(l, name)) words_put(&l->chosen, mem_str(name));
}

static bool was_called(const struct agent *l, const char *name)
{
    for (size_t i = 0; i < json_len(l->messages); i++) {
        const struct json *calls = json_get(json_at(l->messages, i), "tool_calls");
        for (size_t k = 0; k < json_len(calls); k++)
            if (json_str_is(json_get(json_get(json_at(calls, k), "function"), "name"), name)) return true;
    }
    return false;
}

/* Indices of the toolset, the best first; those that have nothing in common with the text stand behind. Owned. */
struct rank { double score; size_t at; };
static int by_score(const void *a, const void *b)
{
    const struct rank *x = a, *y = b;
    if (x->score != y->score) return (x->score < y->score) - (x->score > y->score);
    return (x->at > y->at) - (x->at < y->at);
}

static struct rank *rank_all(const struct agent *l, const char *text, size_t len)
{
    size_t n = toolset_n(l->o.tools);
    struct rank *rank = mem_zero((n + 1) * sizeof *rank);
    double *score = mem_zero((n + 1) * sizeof *score);
    struct json *messages = json_new_array(), *tools = toolset_definitions(l->o.tools);
    json_push(messages, talk_message("user", text, len));
    tools_scores(messages, tools, score);
    for (size_t i = 0; i < n; i++) rank[i] = (struct rank){ score[i], i };
    qsort(rank, n, sizeof *rank, by_score);
    json_free(messages);
    json_free(tools);
    mem_free(score);
    return rank;
}

/* What is asked for: the last question, and the last call, which says what it is about now. */
static void put_wish(const struct agent *l, struct str *out)
{
    bool has_call = false, has_question = false;
    for (size_t i = json_len(l->messages); i-- > 0 && !has_question;) {
        const struct json *m = json_at(l->messages, i), *calls = json_get(m, "tool_calls");
        const struct json *f = json_get(json_at(calls, json_len(calls) - 1), "function");
        const char *text = json_str(json_get(m, "content"), NULL), *args = json_len(calls) ? json_str(json_get(f, "arguments"), NULL) : NULL;
        if (args && !has_call) str_fmt(out, "%s %s ", json_str(json_get(f, "name"), NULL), args), has_call = true;
        has_question = json_str_is(json_get(m, "role"), "user");
        if (has_question && text) str_puts(out, text);
    }
}

static void choose_best(struct agent *l, const struct rank *rank)
{
    struct words was = l->chosen;
    l->chosen = (struct words){ 0 };
    for (size_t i = 0; i < toolset_n(l->o.tools); i++)
        if (toolset_at(l->o.tools, i)->pinned || was_called(l, toolset_at(l->o.tools, i)->name)) choose_add(l, toolset_at(l->o.tools, i)->name);
    for (int i = 0; i < MIN(TOOLS_KEPT, l->o.tools_max); i++) choose_add(l, toolset_at(l->o.tools, rank[i].at)->name);
    words_done(&was);
}

void choose_tools(struct agent *l)
{
    if (!choose_applies(l) || (l->chosen.n && !l->new_question)) return;
    struct str wish = { 0 };
    put_wish(l, &wish);
    struct rank *rank = rank_all(l, wish.p ? wish.p : "", wish.len);
    bool misses = !l->chosen.n || (rank[0].score > 0 && !is_chosen(l, toolset_at(l->o.tools, rank[0].at)->name));
    if (misses) choose_best(l, rank);
    l->new_question = false;
    mem_free(rank);
    str_done(&wish);
}

struct json *choose_definitions(const struct agent *l)
{
    struct json *all = toolset_definitions(l->o.tools);
    if (!choose_applies(l)) return all;
    struct json *some = json_new_array();
    for (size_t i = 0; i < toolset_n(l->o.tools); i++)
        if (is_chosen(l, toolset_at(l->o.tools, i)->name)) json_push(some, json_copy(json_at(all, i)));
    json_free(all);
    if (!toolset_find(l->o.tools, "find_tools")) json_push(some, find_tools_tool());
    return some;
}

void choose_find(const struct agent *l, const struct json *args, struct tool_result *out, struct words *found)
{
    size_t len = 0;
    const char *query = json_str(json_get(args, "query"), &len);
    struct rank *rank = rank_all(l, query, len);
    struct json *list = json_new_array();
    for (size_t i = 0; i < MIN(toolset_n(l->o.tools), (size_t)FOUND_MOST) && rank[i].score > 0; i++) {
        const struct tool *t = toolset_at(l->o.tools, rank[i].at);
        struct json *o = json_new_object();
        json_set(o, "name", json_new_str(t->name));
        if (json_get(t->function, "description")) json_set(o, "description", json_copy(json_get(t->function, "description")));
        json_push(list, o);
        words_put(found, mem_str(t->name));
    }
    if (json_len(list)) json_write(&out->text, list, JSON_COMPACT), out->is_json = true;
    else tool_fail(out, "No tool of the %zu fits that; say it in other words, or answer without one.", toolset_n(l->o.tools));
    json_free(list);
    mem_free(rank);
}
