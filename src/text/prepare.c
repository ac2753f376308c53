/* prepare.c -- a request becomes the variables of a chat template.
 *
 * A client speaks OpenAI's language, a template the one of its makers. Between them, for every family:
 * roles of old and new names become the four that templates know, content parts are joined, null is empty,
 * results stand in the order of their calls and carry the name of their tool, empty lists of calls are
 * gone. What else a template needs it is asked itself (needs.c): arguments as a mapping or as text, past
 * calls as text where it has none, one call a turn, a system message inside the first user message.
 *
 * What a family wants beyond that is a row of flags (families.c). Arguments that are no JSON object never
 * fail a request. ERR_ARG names the message: "messages[2]: …". */
#include "text/int.h"

#include <stdlib.h>

struct work {
    const struct dialect_request *r;
    const struct family *f;
    struct needs needs;
    bool code;                                                        /* code_interpreter is declared */
    struct json *out;                                                 /* the messages so far */
};

static bool is_there(const struct json *v) { return v && !json_is(v, JSON_NULL); }
static bool is_role(const struct json *m, const char *role) { return json_str_is(json_get(m, "role"), role); }
static struct json *mine(const struct json *v) { return (struct json *)(uintptr_t)v; }

/* An object of our own with the same members, shared. */
static struct json *shallow(const struct json *v)
{
    struct json *out = json_new_object();
    for (struct json_iter it = json_iter(v); json_next(&it);) json_set(out, it.key, json_share(it.value));
    return out;
}

/* ---- content --------------------------------------------------------------------------------- */

static bool content_text(struct str *out, const struct json *content, struct err *e)
{
    size_t len = 0;
    const char *p = json_str(content, &len);
    if (p) {
        str_put(out, p, len);
        return true;
    }
    if (!is_there(content)) return true;
    if (!json_is(content, JSON_ARRAY))
        return err_set(e, ERR_ARG, "content: is %s; a string, null or a list of text parts is accepted",
                       json_type_name(json_type(content)));
    for (size_t i = 0; i < json_len(content); i++) {
        const struct json *part = json_at(content, i);
        p = json_str(part, &len);
        if (!p) p = json_str(json_get(part, "text"), &len);
        if (!p)
            return err_set(e, ERR_ARG,
                           "content[%zu]: is not a text part; {\"type\":\"text\",\"text\":…} is accepted", i);
        str_put(out, p, len);
    }
    return true;
}

static void set_text(struct json *m, const char *key, const struct str *s)
{
    json_set(m, key, json_new_strn(s->p ? s->p : "", s->len));
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Source as the argument of a function python(code); what is such an argument already stays. */
static struct json *code_argument(const char *code, size_t len)
{
    struct err ignored = { 0 };
    struct json *object = json_parse(code, len, &ignored);
    if (json_is(object, JSON_OBJECT) && json_get(object, "code")) return object;
    json_free(object);
    object = json_new_object();
    json_set(object, "code", json_new_strn(code, len));
    return object;
}

/* Arguments that are no JSON object, where the template takes nothing but a mapping. */
static struct json *broken_argument(const struct work *w, const struct json *given)
{
    if (w->needs.string || !w->needs.mapping) return json_share(given);
    struct json *object = json_new_object();
    json_set(object, "arguments", json_share(given));
    return object;
}

static struct json *arguments_of(const struct work *w, const struct json *name, const struct json *given)
{
    size_t len = 0;
    const char *code = json_str_is(name, "python") ? json_str(given, &len) : NULL;
    if (code && w->code && w->f->raw_code) return json_share(given);
    struct json *object = code && w->code ? code_argument(code, len) : arguments_read(given);
    if (!object && code && !w->f->raw_code) object = code_argument(code, len);
    if (!object) return broken_argument(w, given);
    bool as_text = w->f->text_arguments && w->needs.raw;
    if (w->needs.mapping && w->needs.calls && !as_text) return object;
    struct str s = { 0 };
    if (w->f->compact) json_write(&s, object, JSON_COMPACT);
    else json_put_spaced(&s, object);
    json_free(object);
    struct json *text = json_new_strn(s.p, s.len);
    str_done(&s);
    return text;
}

/* {"id", "type":"function", "function":{"name","arguments"}} */
static struct json *call_of(const struct work *w, const struct json *call, struct err *e)
{
    const struct json *f = json_get(call, "function"), *id = json_get(call, "id");
    if (!json_is(f, JSON_OBJECT)) f = call;                           /* {"name", "arguments"}, no wrapper */
    const struct json *name = json_get(f, "name"), *given = json_get(f, "arguments");
    if (!json_is(name, JSON_STRING)) {
        err_set(e, ERR_ARG, "function.name: missing");
        return NULL;
    }
    if (is_there(given) && !json_is(given, JSON_STRING) && !json_is(given, JSON_OBJECT)) {
        err_set(e, ERR_ARG, "function.arguments: is %s; a JSON object or the text of one is accepted",
                json_type_name(json_type(given)));
        return NULL;
    }
    struct json *out = json_new_object(), *function = json_new_object();
    if (is_there(id)) json_set(out, "id", json_share(id));
    json_set(out, "type", json_new_str("function"));
    json_set(function, "name", json_share(name));
    json_set(function, "arguments", arguments_of(w, name, given));
    json_set(out, "function", function);
    return out;
}

/* Calls of an assistant's message in one shape, the single one of old included; empty ones are gone. */
static bool set_calls(const struct work *w, struct json *m, struct err *e)
{
    const struct json *calls = json_get(m, "tool_calls"), *old = json_get(m, "function_call");
    struct json *list = json_new_array();
    bool ok = true;
    if (is_there(calls) && !json_is(calls, JSON_ARRAY))
        ok = err_set(e, ERR_ARG, "tool_calls: is %s; a list of calls is accepted",
                     json_type_name(json_type(calls)));
    size_t n = ok ? json_len(calls) : 0;
    for (size_t i = 0; ok && i < n; i++) {
        struct json *call = call_of(w, json_at(calls, i), e);
        if (call) json_push(list, call);
        else ok = err_in(e, "tool_calls[%zu]", i);
    }
    if (ok && !n && is_there(old)) {
        struct json *call = call_of(w, old, e);
        if (call) json_push(list, call);
        else ok = err_in(e, "function_call");
    }
    json_unset(m, "function_call");
    json_unset(m, "tool_calls");
    if (ok && json_len(list)) json_set(m, "tool_calls", list);
    else json_free(list);
    return ok;
}

/* Text and calls as one marked text; LFM2 was trained with the call before the text of the same turn. */
static void calls_to_text(const struct work *w, struct json *m)
{
    const struct json *calls = json_get(m, "tool_calls");
    size_t len = 0;
    const char *text = json_str(json_get(m, "content"), &len);
    struct json *marked = marked_new();
    bool first = w->f->calls_first && !w->needs.plain_list;
    if (first) past_calls(marked, w->f->syntax, calls);
    if (len) marked_put(marked, false, text, len);
    if (len && w->f->syntax == CALLS_TAGS) marked_put(marked, false, "\n", 1);
    if (!first) past_calls(marked, w->f->syntax, calls);
    json_set(m, "content", marked);
    json_unset(m, "tool_calls");
}

/* ---- one message ----------------------------------------------------------------------------- */

static const char *role_of(const char *role)
{
    static const struct { const char *from, *to; } renamed[] = {
        { "developer", "system" }, { "function", "tool" }, { "ipython", "tool" } };
    for (size_t i = 0; i < LEN(renamed); i++)
        if (!strcmp(role, renamed[i].from)) return renamed[i].to;
    return role;
}

/* Reasoning goes by two names. */
static void set_thoughts(const struct work *w, struct json *m)
{
    const struct json *thought = json_get(m, "reasoning_content");
    if (w->needs.thinking && json_is(thought, JSON_STRING) && !json_get(m, "thinking"))
        json_set(m, "thinking", json_share(thought));
    if (!json_is(json_get(m, "thinking"), JSON_STRING)) json_unset(m, "thinking");
}

static struct json *message_of(const struct work *w, const struct json *given, struct err *e)
{
    const char *role = json_str(json_get(given, "role"), NULL);
    struct str text = { 0 };
    if (!role) {
        err_set(e, ERR_ARG, "role: missing; system, user, assistant or tool is accepted");
        return NULL;
    }
    struct json *m = shallow(given);
    json_set(m, "role", json_new_str(role_of(role)));
    bool ok = content_text(&text, json_get(given, "content"), e) && (!is_role(m, "assistant") || set_calls(w, m, e));
    if (ok) set_text(m, "content", &text);
    if (ok && is_role(m, "assistant")) set_thoughts(w, m);
    str_done(&text);
    if (ok) return m;
    json_free(m);
    return NULL;
}

/* ---- tool results: order and names ------------------------------------------------------------- */

struct result { size_t rank, at; };                       /* place of its call, place in messages */

static int by_call(const void *a, const void *b)
{
    const struct result *x = a, *y = b;
    if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* The calls of one message by their ids. */
struct answers { const struct json *calls; size_t n; struct bytes *id; struct strmap map; };

static void answers_open(struct answers *a, const struct json *calls)
{
    a->calls = calls;
    a->n = json_len(calls);
    a->id = mem_zero((a->n + 1) * sizeof *a->id);
    strmap_init(&a->map, a->id, a->n + 1);
    for (size_t i = 0; i < a->n; i++) {
        a->id[i].p = json_str(json_get(json_at(calls, i), "id"), &a->id[i].len);
        if (a->id[i].p) strmap_add(&a->map, (int32_t)i);
    }
}

static void answers_close(struct answers *a)
{
    mem_free(a->map.slot);
    mem_free(a->id);
}

/* Which call a result answers; n: none. */
static size_t answered(const struct answers *a, const struct json *m)
{
    size_t len = 0;
    const char *id = json_str(json_get(m, "tool_call_id"), &len);
    int32_t at = id ? strmap_find(&a->map, id, len) : -1;
    return at < 0 ? a->n : (size_t)at;
}

/* Fills in names: of the call answered, or, without an id, of the first that none has answered yet. */
static void name_results(const struct answers *a, const struct json *messages, const struct result *list, size_t n)
{
    bool *used = mem_zero(a->n + 1);
    size_t open = 0;
    for (size_t i = 0; i < n; i++) used[list[i].rank] = true;
    for (size_t i = 0; i < n; i++) {
        const struct json *m = json_at(messages, list[i].at);
        size_t call = list[i].rank;
        if (call == a->n) {
            while (open < a->n && used[open]) open++;
            call = open;
            if (open < a->n) used[open] = true;
        }
        const struct json *name = json_get(json_get(json_at(a->calls, call), "function"), "name");
        if (name && !json_is(json_get(m, "name"), JSON_STRING)) json_set(mine(m), "name", json_share(name));
    }
    mem_free(used);
}

/* A run of results [from, from + n) behind the calls: named, and pushed in the order of the calls; those
 * that answer none come last. */
static void push_results(struct json *out, const struct json *messages, const struct json *calls, size_t from,
                         size_t n)
{
    struct answers a;
    struct result *list = mem_alloc((n + 1) * sizeof *list);
    answers_open(&a, calls);
    for (size_t i = 0; i < n; i++)
        list[i] = (struct result){ answered(&a, json_at(messages, from + i)), from + i };
    name_results(&a, messages, list, n);
    qsort(list, n, sizeof *list, by_call);
    for (size_t i = 0; i < n; i++) json_push(out, json_share(json_at(messages, list[i].at)));
    answers_close(&a);
    mem_free(list);
}

static struct json *ordered(const struct json *messages)
{
    struct json *out = json_new_array();
    for (size_t i = 0, n = json_len(messages); i < n;) {
        const struct json *calls = json_get(json_at(messages, i), "tool_calls");
        json_push(out, json_share(json_at(messages, i++)));
        size_t from = i;
        while (i < n && calls && is_role(json_at(messages, i), "tool")) i++;
        if (i > from) push_results(out, messages, calls, from, i - from);
    }
    return out;
}

/* ---- shapes of conversations ------------------------------------------------------------------- */

/* The message with one of its calls, and with its text only if it is the first. */
static struct json *with_call(const struct json *m, size_t k)
{
    struct json *one = shallow(m), *list = json_new_array();
    json_push(list, json_share(json_at(json_get(m, "tool_calls"), k)));
    json_set(one, "tool_calls", list);
    if (k) json_set(one, "content", json_new_str(""));
    return one;
}

/* One call a turn: each is followed by its result, as if the model had called one after the other. Results
 * are in the order of the calls here; more of them than calls stay behind the last. */
static struct json *one_call_a_turn(const struct json *messages)
{
    struct json *out = json_new_array();
    for (size_t i = 0, n = json_len(messages); i < n;) {
        const struct json *m = json_at(messages, i++), *calls = json_get(m, "tool_calls");
        size_t k = 0;
        if (json_len(calls) < 2) {
            json_push(out, json_share(m));
            continue;
        }
        for (; k < json_len(calls); k++) {
            json_push(out, with_call(m, k));
            if (i < n && is_role(json_at(messages, i), "tool")) json_push(out, json_share(json_at(messages, i++)));
        }
    }
    return out;
}

/* Appends text to the content of a message, a blank line between. */
static void append_text(struct json *m, const struct json *more)
{
    size_t n = 0, k = 0;
    const char *a = json_str(json_get(m, "content"), &n), *b = json_str(more, &k);
    struct str s = { 0 };
    str_put(&s, a, n);
    if (n && k) str_puts(&s, "\n\n");
    str_put(&s, b, k);
    set_text(m, "content", &s);
    str_done(&s);
}

/* System messages at the beginning become one. */
static struct json *one_system(const struct json *messages)
{
    struct json *out = json_new_array(), *first = NULL;
    size_t i = 0;
    for (; is_role(json_at(messages, i), "system"); i++) {
        if (first) append_text(first, json_get(json_at(messages, i), "content"));
        else json_push(out, first = shallow(json_at(messages, i)));
    }
    for (; i < json_len(messages); i++) json_push(out, json_share(json_at(messages, i)));
    return out;
}

/* For templates without a system message: its text goes in front of the first user message. */
static struct json *system_into_user(const struct json *messages)
{
    struct json *out = json_new_array(), *held = NULL;
    for (size_t i = 0; i < json_len(messages); i++) {
        const struct json *m = json_at(messages, i);
        if (is_role(m, "system")) {
            if (held) append_text(held, json_get(m, "content"));
            else held = shallow(m);
        } else if (held && is_role(m, "user")) {
            append_text(held, json_get(m, "content"));
            json_set(held, "role", json_new_str("user"));
            json_push(out, held);
            held = NULL;
        } else {
            json_push(out, json_share(m));
        }
    }
    if (held) {
        json_set(held, "role", json_new_str("user"));
        json_push(out, held);
    }
    return out;
}

/* For templates without tool results: they become what the user says next, one after the other. */
static struct json *results_into_user(const struct json *messages)
{
    struct json *out = json_new_array(), *user = NULL;
    for (size_t i = 0; i < json_len(messages); i++) {
        const struct json *m = json_at(messages, i);
        if (!is_role(m, "tool")) {
            if (user && is_role(m, "user")) append_text(user, json_get(m, "content"));
            else json_push(out, json_share(m));
            if (!is_role(m, "user")) user = NULL;
            continue;
        }
        struct str s = { 0 };
        const char *name = json_str(json_get(m, "name"), NULL);
        size_t len = 0;
        const char *text = json_str(json_get(m, "content"), &len);
        str_fmt(&s, "Result of %s:\n", name ? name : "the call");
        str_put(&s, text, len);
        struct json *part = json_new_strn(s.p, s.len);
        if (user) {
            append_text(user, part);
        } else {
            user = json_new_object();
            json_set(user, "role", json_new_str("user"));
            json_set(user, "content", json_share(part));
            json_push(out, user);
        }
        json_free(part);
        str_done(&s);
    }
    return out;
}

/* For templates that want users and assistants by turns: neighbours of one role become one message, unless one
 * of them holds calls. */
static struct json *neighbours_joined(const struct json *messages)
{
    struct json *out = json_new_array(), *last = NULL;
    for (size_t i = 0; i < json_len(messages); i++) {
        const struct json *m = json_at(messages, i);
        bool plain = json_is(json_get(m, "content"), JSON_STRING) && !json_get(m, "tool_calls") && !is_role(m, "tool");
        if (plain && last && is_role(m, json_str(json_get(last, "role"), NULL))) {
            append_text(last, json_get(m, "content"));
            continue;
        }
        struct json *own = shallow(m);
        json_push(out, own);
        last = plain ? own : NULL;
    }
    return out;
}

typedef struct json *reshape_fn(const struct json *messages);

static void reshape(struct work *w, bool wanted, reshape_fn *fn)
{
    if (!wanted) return;
    struct json *next = fn(w->out);
    json_free(w->out);
    w->out = next;
}

/* ---- tools ----------------------------------------------------------------------------------- */

/* code_interpreter for models that know only functions; the text they were tuned with. */
static struct json *python_tool(void)
{
    static const char text[] =
        "{\"type\":\"function\",\"function\":{\"name\":\"python\",\"description\":\"This tool is used to execute "
        "python code. Code will be executed in a stateful Jupyter notebook environment. Python will respond with "
        "the output of the execution or time out after 60.0 seconds. The drive at '/mnt/data' can be used to save "
        "and persist user files.\",\"parameters\":{\"type\":\"object\",\"properties\":{\"code\":{\"type\":\"string\","
        "\"description\":\"The python code to run\"}}}}}";
    struct err ignored = { 0 };
    return json_parse(text, sizeof text - 1, &ignored);
}

static struct json *wrapped(struct json *function)
{
    struct json *tool = json_new_object();
    json_set(tool, "type", json_new_str("function"));
    json_set(tool, "function", function);
    return tool;
}

/* Functionary's servers read tools into a type of their own: these members, in this order. */
static struct json *strict_function(const struct json *f)
{
    const struct json *description = json_get(f, "description"), *parameters = json_get(f, "parameters");
    struct json *out = json_new_object();
    json_set(out, "name", json_share(json_get(f, "name")));
    json_set(out, "description", is_there(description) ? json_share(description) : json_new_str(""));
    json_set(out, "parameters", is_there(parameters) ? refs_resolved(parameters) : json_new_null());
    return out;
}

static struct json *tool_of(const struct work *w, const struct json *tool)
{
    const struct json *f = tool_function(tool);
    if (json_str_is(json_get(tool, "type"), "code_interpreter"))
        return w->f->raw_code ? json_share(tool) : python_tool();
    if (json_str_is(json_get(tool, "type"), "reasoning") && w->f->strict_tools) return json_share(tool);
    if (!f) return NULL;
    if (w->f->strict_tools) return wrapped(strict_function(f));
    if (f == tool) return wrapped(json_share(tool));
    return json_share(tool);
}

/* All tools in the family's shape; NULL with e set. */
static struct json *tools_of(const struct work *w, struct err *e)
{
    const struct json *tools = w->r->tools;
    struct json *out = json_new_array();
    for (size_t i = 0; i < json_len(tools); i++) {
        struct json *tool = tool_of(w, json_at(tools, i));
        if (!tool) {
            err_set(e, ERR_ARG, "tools[%zu]: is not a function with a name", i);
            json_free(out);
            return NULL;
        }
        const struct json *f = w->f->bare_tools ? json_get(tool, "function") : NULL;
        json_push(out, f ? json_share(f) : json_share(tool));
        json_free(tool);
    }
    if (w->f->reasoning && w->needs.reasons) reasoning_tool(out, w->r);
    return out;
}

/* One a tool, as the template `tenon` would write them itself, a hundred times as slowly. */
static struct json *signatures_of(const struct json *tools)
{
    struct json *out = json_new_array();
    for (size_t i = 0; i < json_len(tools); i++) {
        struct str s = { 0 };
        tool_signature(&s, json_at(tools, i));
        json_push(out, json_new_strn(s.p, s.len));
        str_done(&s);
    }
    return out;
}

/* For templates without tools: the list and how to call go into the system message, in the words of the
 * template `json`. */
static void tools_into_system(struct work *w, const struct json *tools)
{
    struct str s = { 0 };
    str_puts(&s, "Functions:\n");
    for (size_t i = 0; i < json_len(tools); i++) {
        if (i) str_putc(&s, '\n');
        json_write(&s, tool_function(json_at(tools, i)), JSON_COMPACT);
    }
    str_puts(&s, "\nTo call functions, answer with a JSON list and nothing else: "
                 "[{\"name\":\"NAME\",\"arguments\":{…}}]");
    struct json *text = json_new_strn(s.p, s.len);
    if (is_role(json_at(w->out, 0), "system")) {
        append_text(mine(json_at(w->out, 0)), text);
    } else {
        struct json *all = json_new_array(), *system = json_new_object();
        json_set(system, "role", json_new_str("system"));
        json_set(system, "content", json_share(text));
        json_push(all, system);
        for (size_t i = 0; i < json_len(w->out); i++) json_push(all, json_share(json_at(w->out, i)));
        json_free(w->out);
        w->out = all;
    }
    json_free(text);
    str_done(&s);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool check(const struct dialect_request *r, struct err *e)
{
    if (!json_is(r->messages, JSON_ARRAY))
        return err_set(e, ERR_ARG, "messages: missing; a list of messages is accepted");
    if (!json_len(r->messages))
        return err_set(e, ERR_ARG, "messages: empty; at least one message is needed");
    if (is_there(r->tools) && !json_is(r->tools, JSON_ARRAY))
        return err_set(e, ERR_ARG, "tools: is %s; a list of tools is accepted",
                       json_type_name(json_type(r->tools)));
    return true;
}

static bool read_messages(struct work *w, struct err *e)
{
    w->out = json_new_array();
    for (size_t i = 0; i < json_len(w->r->messages); i++) {
        struct json *m = message_of(w, json_at(w->r->messages, i), e);
        if (!m) return err_in(e, "messages[%zu]", i);
        json_push(w->out, m);
    }
    return true;
}

static void shape_messages(struct work *w)
{
    reshape(w, true, ordered);
    reshape(w, w->f->one_system, one_system);
    reshape(w, w->needs.one_call && w->needs.calls, one_call_a_turn);
    for (size_t i = 0; !w->needs.calls && i < json_len(w->out); i++)
        if (json_get(json_at(w->out, i), "tool_calls")) calls_to_text(w, mine(json_at(w->out, i)));
}

/* Which template will read this: the model's, else our own. */
static bool find_needs(struct work *w, struct err *e)
{
    const struct jinja *j = w->r->template ? w->r->template : template_own(w->f->template_name, e);
    if (!j) return false;
    w->needs = *jinja_needs(j);
    w->needs.reasons = strstr(jinja_source(j), "\"reasoning\"") != NULL;
    w->needs.plain_list = !strstr(jinja_source(j), "<|tool_list_start|>");
    if (w->f->generic && w->r->template) w->needs.tools = w->needs.calls = false;
    if (!w->needs.calls) w->needs.results = w->needs.results_alone;
    return true;
}

struct json *prepare_family(const struct dialect_request *r, const struct family *f, struct err *e)
{
    struct work w = { .r = r, .f = f, .code = tools_have_code(r->tools) };
    struct json *tools = NULL, *vars = NULL;
    if (!check(r, e) || !find_needs(&w, e) || !read_messages(&w, e) || !(tools = tools_of(&w, e))) goto done;
    shape_messages(&w);
    bool listed = json_len(tools) > 0;
    if (listed && !w.needs.tools && f->generic) tools_into_system(&w, tools), listed = false;
    reshape(&w, !w.needs.results, results_into_user);
    reshape(&w, !w.needs.system, system_into_user);
    reshape(&w, w.needs.alternates, neighbours_joined);
    vars = json_new_object();
    json_set(vars, "messages", json_share(w.out));
    if (listed || !w.needs.no_list) json_set(vars, "tools", json_share(tools));
    else json_set(vars, "tools", json_new_null());
    if (f->typescript && !json_get(r->vars, "typescript")) json_set(vars, "typescript", json_new_str(f->typescript));
    if (f->signatures && listed) json_set(vars, "signatures", signatures_of(tools));
    if (f->tool_use) json_set(vars, "tool_use", json_new_bool(listed));
done:
    json_free(tools);
    json_free(w.out);
    return vars;
}
