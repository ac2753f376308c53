/* needs.c -- what a chat template asks of its caller, found out by asking it.
 *
 * Templates differ in what they can take: some want the arguments of past calls as a mapping, some as a
 * string; some have no place for calls, or for tools, or refuse a system message. Reading that off the
 * text would be guessing at a program, so the program is run: small conversations with words that occur
 * nowhere else are rendered, and the words looked for. A rendering that fails is a "no".
 *
 * Asked once per compiled template; costs some ten small renderings. */
#include "text/int.h"

#include <pthread.h>

/* A conversation and the word that must come out of it. */
#define SYSTEM "{\"role\":\"system\",\"content\":\"zq_system\"},"
#define USER "{\"role\":\"user\",\"content\":\"zq_user\"}"
#define CALL(arguments) \
    "{\"id\":\"zq_id\",\"type\":\"function\",\"function\":{\"name\":\"zq_call\",\"arguments\":" arguments "}}"
#define ASSISTANT(calls) ",{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[" calls "]}"
#define RESULT ",{\"role\":\"tool\",\"tool_call_id\":\"zq_id\",\"name\":\"zq_call\",\"content\":\"zq_result\"}"
#define TOOL \
    "{\"type\":\"function\",\"function\":{\"name\":\"zq_tool\",\"description\":\"zq_what\",\"parameters\":" \
    "{\"type\":\"object\",\"properties\":{\"zq_p\":{\"type\":\"string\",\"description\":\"zq_d\"}},\"required\":[\"zq_p\"]}}}"

/* What the template prints for these; false: it failed. */
static bool probe(const struct jinja *j, const char *messages, const char *tools, struct prompt *out)
{
    struct err ignored = { 0 };
    struct str s = { 0 };
    *out = (struct prompt){ 0 };
    str_fmt(&s, "{\"messages\":[%s],\"tools\":%s,\"bos_token\":\"\",\"eos_token\":\"\",\"add_generation_prompt\":true}",
            messages, tools);
    struct json *vars = json_parse(s.p, s.len, &ignored);
    bool ok = vars && jinja_render(j, vars, out, &ignored);
    json_free(vars);
    str_done(&s);
    return ok;
}

static bool says(const struct prompt *p, const char *word)
{
    return p->text.len && memmem(p->text.p, p->text.len, word, strlen(word));
}

/* Does it print all of the words, up to NULL, and not the last one? */
static bool prints(const struct jinja *j, const char *messages, const char *tools, const char *word,
                   const char *other, const char *not_this)
{
    struct prompt p;
    bool ok = probe(j, messages, tools, &p) && says(&p, word) && (!other || says(&p, other)) &&
              !(not_this && says(&p, not_this));
    prompt_done(&p);
    return ok;
}

static void ask(const struct jinja *j, struct needs *n)
{
#define MAPPING CALL("{\"zq_key\":\"zq_value\"}")
#define STRING CALL("\"{\\\"zq_key\\\": \\\"zq_value\\\"}\"")
    const char *mapping = USER ASSISTANT(MAPPING) RESULT, *string = USER ASSISTANT(STRING) RESULT;
    n->no_list = prints(j, USER, "null", "zq_user", NULL, NULL);
    const char *none = n->no_list ? "null" : "[]";
    n->tools = prints(j, USER, "[" TOOL "]", "zq_tool", NULL, NULL);
    n->system = prints(j, SYSTEM USER, none, "zq_system", "zq_user", NULL);
    n->mapping = prints(j, mapping, none, "zq_key", "zq_value", "{'zq_key'");
    n->string = prints(j, string, none, "zq_call", "zq_key", NULL);
    n->raw = prints(j, string, none, "{\"zq_key\": \"zq_value\"}", NULL, NULL);
    n->calls = n->mapping || n->string;
    n->results = prints(j, n->mapping ? mapping : string, none, "zq_result", NULL, NULL);
    n->results_alone = prints(j, USER ",{\"role\":\"assistant\",\"content\":\"zq_text\"}" RESULT, none, "zq_result",
                              "zq_text", NULL);
    n->one_call = n->calls && !prints(j, n->mapping ? USER ASSISTANT(MAPPING "," MAPPING) RESULT RESULT
                                                    : USER ASSISTANT(STRING "," STRING) RESULT RESULT,
                                      none, "zq_call", NULL, NULL);
    n->alternates = !prints(j, USER "," USER, none, "zq_user", NULL, NULL);
    n->thinking = prints(j, USER ",{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"zq_thought\"}", none,
                         "zq_thought", NULL, NULL);
}

const struct needs *jinja_needs(const struct jinja *j)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct needs **slot = jinja_needs_slot(j);
    pthread_mutex_lock(&lock);
    if (!*slot) {
        struct needs *n = mem_zero(sizeof *n);
        ask(j, n);
        *slot = n;
    }
    pthread_mutex_unlock(&lock);
    return *slot;
}
