/* chat.c -- a conversation becomes a prompt: the templates `lfm2`, `lfm2.5`, `tenon` and `json`, in C.
 *
 * templates/<name>.jinja says the same as the code here; a test renders both.
 * Markers are special-token pieces, everything that came from outside is a text piece, so nothing a
 * user or a tool writes can open a turn or a call.
 *
 * Two ways in. chat_render() is the bare template over the messages as given. chat_prompt() is what
 * a request goes through: it first does what these templates expect of their caller (content parts
 * joined, null content empty, several system messages merged, tool results in the order of their
 * calls, tools unwrapped) and writes past calls in the syntax of the dialect.
 *
 * Refuses: a template it has no rendering for, and what is no message, by its index. */
#include "text/int.h"

#include <stdlib.h>

static const char *const json_calls_hint =
    "\nTo call functions, answer with a JSON list and nothing else: "
    "[{\"name\":\"NAME\",\"arguments\":{…}}]";

/* One rendering. `bare`: the template as it stands, nothing prepared. */
struct chat {
    const struct dialect_request *r;
    struct prompt *out;
    enum template_kind kind;
    enum call_syntax syntax;
    bool bare;
    bool drop_thoughts; size_t last_assistant;            /* lfm2.5: reasoning of all turns but the last */
    struct str text;                                       /* scratch for the text of one message */
};

/* ---- content --------------------------------------------------------------------------------- */

static bool is_role(const struct json *message, const char *role)
{
    return json_str_is(json_get(message, "role"), role);
}

static bool is_system(const struct json *message)
{
    return is_role(message, "system") || is_role(message, "developer");
}

/* Appends the text of a message: a string, text parts joined, or nothing for null. */
static bool put_content(struct str *out, const struct json *content, struct err *e)
{
    size_t len = 0;
    const char *p = json_str(content, &len);
    if (p) {
        str_put(out, p, len);
        return true;
    }
    if (!content || json_is(content, JSON_NULL)) return true;
    if (!json_is(content, JSON_ARRAY))
        return err_set(e, ERR_ARG,
                       "content: is %s; a string, null or a list of text parts is accepted",
                       json_type_name(json_type(content)));
    for (size_t i = 0; i < json_len(content); i++) {
        const struct json *part = json_at(content, i);
        if (!(p = json_str(json_get(part, "text"), &len)))
            return err_set(
                e, ERR_ARG,
                "content[%zu]: is not a text part; {\"type\":\"text\",\"text\":…} is accepted", i);
        str_put(out, p, len);
    }
    return true;
}

/* As the bare template reads it: what is not a string is printed as JSON. */
static bool put_bare_content(struct str *out, const struct json *content, struct err *e)
{
    size_t len = 0;
    const char *p = json_str(content, &len);
    if (!content) return err_set(e, ERR_ARG, "content: missing");
    if (p) str_put(out, p, len);
    else json_write(out, content, JSON_PYTHON);
    return true;
}

/* Keeps what follows the last </think>, without blanks around it. */
static void drop_thoughts(struct str *s)
{
    static const char end[] = "</think>";
    if (!s->len) return;
    const char *from = NULL, *stop = s->p + s->len;
    for (const char *p = s->p; (p = memmem(p, (size_t)(stop - p), end, 8)); p += 8) from = p + 8;
    if (!from) return;
    int n = 1;
    while (from < stop && is_python_space(utf8_next(from, stop, &n))) from += n;
    const char *last = from;
    for (const char *p = from; p < stop; p += n)
        if (!is_python_space(utf8_next(p, stop, &n))) last = p + n;
    size_t len = (size_t)(last - from);
    memmove(s->p, from, len);
    s->p[s->len = len] = 0;
}

static bool read_content(struct chat *c, const struct json *message, struct err *e)
{
    str_clear(&c->text);
    return c->bare ? put_bare_content(&c->text, json_get(message, "content"), e)
                   : put_content(&c->text, json_get(message, "content"), e);
}

/* ---- past calls ------------------------------------------------------------------------------ */

static bool is_keyword_name(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '_' ||
                      (s[i] & 0x80);
        if (!letter && (!i || !((s[i] >= '0' && s[i] <= '9') || s[i] == '-'))) return false;
    }
    return len > 0;
}

/* a="x", b=1; a name that cannot be a keyword goes through a dictionary: **{"a b": 1}. */
static void python_arguments(struct str *out, const struct json *object)
{
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        bool plain = is_keyword_name(it.key, it.key_len);
        if (it.index) str_puts(out, ", ");
        if (plain) {
            str_put(out, it.key, it.key_len);
            str_putc(out, '=');
        } else {
            str_puts(out, "**{");
            json_write_str(out, it.key, it.key_len);
            str_puts(out, ": ");
        }
        python_value(out, it.value);
        if (!plain) str_putc(out, '}');
    }
}

/* `raw` stands in for arguments that are no JSON object: they go through as they are. */
static void put_call(struct str *out, enum call_syntax syntax, const struct json *name,
                     const struct json *args, struct bytes raw)
{
    size_t len = 0;
    const char *p = json_str(name, &len);
    if (syntax == CALLS_PYTHON) {
        str_put(out, p, len);
        str_putc(out, '(');
        if (args) python_arguments(out, args);
        else str_put(out, raw.p, raw.len);
        str_putc(out, ')');
        return;
    }
    str_puts(out, "{\"name\":");
    json_write_str(out, p, len);
    str_puts(out, ",\"arguments\":");
    if (args) json_write(out, args, JSON_COMPACT);
    else str_put(out, raw.p, raw.len);
    str_putc(out, '}');
}

static bool read_call(struct str *out, enum call_syntax syntax, const struct json *call,
                      struct err *e)
{
    const struct json *f = json_get(call, "function"), *args = NULL;
    if (!json_is(f, JSON_OBJECT)) f = call;               /* {"name", "arguments"}, no wrapper */
    const struct json *name = json_get(f, "name"), *given = json_get(f, "arguments");
    struct json *parsed = NULL;
    struct bytes raw = { "{}", 2 };
    if (!json_is(name, JSON_STRING)) return err_set(e, ERR_ARG, "function.name: missing");
    if (json_is(given, JSON_OBJECT)) {
        args = given;
    } else if (json_is(given, JSON_STRING)) {
        struct err ignored = { 0 };
        raw.p = json_str(given, &raw.len);
        parsed = json_parse(raw.p, raw.len, &ignored);
        if (json_is(parsed, JSON_OBJECT)) args = parsed;
        else if (!raw.len && syntax == CALLS_JSON) raw = (struct bytes){ "{}", 2 };
    } else if (given && !json_is(given, JSON_NULL)) {
        return err_set(e, ERR_ARG,
                       "function.arguments: is %s; a JSON object or the text of one is accepted",
                       json_type_name(json_type(given)));
    } else if (syntax == CALLS_PYTHON) {
        raw.len = 0;
    }
    put_call(out, syntax, name, args, raw);
    json_free(parsed);
    return true;
}

/* The text so far between two markers, if this template has them. */
static void put_between(struct chat *c, bool marked, const char *open, const char *close)
{
    if (marked) prompt_special(c->out, open);
    prompt_text(c->out, c->text.p, c->text.len);
    if (marked) prompt_special(c->out, close);
}

/* Are tools and their results between tokens of their own? */
static bool has_markers(const struct chat *c)
{
    return c->kind == TEMPLATE_TENON || c->kind == TEMPLATE_LFM2;
}

static bool put_calls(struct chat *c, const struct json *calls, struct err *e)
{
    str_clear(&c->text);
    str_putc(&c->text, '[');
    for (size_t i = 0; i < json_len(calls); i++) {
        if (i) str_puts(&c->text, c->syntax == CALLS_JSON ? "," : ", ");
        if (!read_call(&c->text, c->syntax, json_at(calls, i), e))
            return err_in(e, "tool_calls[%zu]", i);
    }
    str_putc(&c->text, ']');
    put_between(c, c->kind != TEMPLATE_JSON, "<|tool_call_start|>", "<|tool_call_end|>");
    return true;
}

/* ---- order of tool results ------------------------------------------------------------------- */

struct result { size_t rank, at; };                       /* place of its call, place in messages */

static int by_call(const void *a, const void *b)
{
    const struct result *x = a, *y = b;
    if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Sorts the tool results order[0, n) as the calls they answer; one that answers none comes last. */
static void order_run(const struct json *messages, const struct json *calls, size_t *order, size_t n)
{
    size_t n_call = json_len(calls);
    struct bytes *id = mem_zero((n_call + 1) * sizeof *id);
    struct result *list = mem_alloc((n + 1) * sizeof *list);
    struct strmap map;
    strmap_init(&map, id, n_call + 1);
    for (size_t i = 0; i < n_call; i++) {
        id[i].p = json_str(json_get(json_at(calls, i), "id"), &id[i].len);
        if (id[i].p) strmap_add(&map, (int32_t)i);
    }
    for (size_t i = 0; i < n; i++) {
        size_t len = 0;
        const char *answers = json_str(json_get(json_at(messages, order[i]), "tool_call_id"), &len);
        int32_t at = answers ? strmap_find(&map, answers, len) : -1;
        list[i] = (struct result){ at < 0 ? n_call : (size_t)at, order[i] };
    }
    qsort(list, n, sizeof *list, by_call);
    for (size_t i = 0; i < n; i++) order[i] = list[i].at;
    mem_free(map.slot);
    mem_free(list);
    mem_free(id);
}

/* Fills order[n]: indices of the messages, every run of tool results in the order of the calls. */
static void order_results(const struct json *messages, size_t *order, size_t n)
{
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t i = 0, end; i < n; i = end) {
        const struct json *calls = json_get(json_at(messages, i), "tool_calls");
        for (end = i + 1; end < n && is_role(json_at(messages, end), "tool");) end++;
        if (end > i + 2) order_run(messages, calls, order + i + 1, end - i - 1);
    }
}

/* ---- the templates --------------------------------------------------------------------------- */

static void put_bos(struct chat *c)
{
    const char *bos = c->r->bos_token;
    if (bos && *bos) prompt_special(c->out, bos);
}

static void open_turn(struct chat *c, const char *role, size_t len)
{
    prompt_special(c->out, "<|im_start|>");
    prompt_text(c->out, role, len);
    prompt_puts(c->out, "\n");
}

static void close_turn(struct chat *c)
{
    prompt_special(c->out, "<|im_end|>");
    prompt_puts(c->out, "\n");
}

static bool wants_json_tools(const struct chat *c)
{
    return json_str_is(json_get(c->r->vars, "tools_as"), "json");
}

/* One tool a line: signatures for the embedded model, else JSON. */
static bool put_tool_lines(struct chat *c, struct err *e)
{
    const struct json *tools = c->r->tools;
    bool as_json = c->kind == TEMPLATE_JSON || wants_json_tools(c);
    str_clear(&c->text);
    for (size_t i = 0; i < json_len(tools); i++) {
        const struct json *f = tool_function(json_at(tools, i));
        if (!f) return err_set(e, ERR_ARG, "tools[%zu]: is not a function with a name", i);
        if (i) str_putc(&c->text, '\n');
        if (as_json) json_write(&c->text, f, JSON_COMPACT);
        else tool_signature(&c->text, f);
    }
    return true;
}

/* The tools of the LFM2 templates: Python-style JSON, a tool that is a string goes in as it is. */
static bool put_tool_list(struct chat *c, struct err *e)
{
    const struct json *tools = c->r->tools;
    str_clear(&c->text);
    str_putc(&c->text, '[');
    for (size_t i = 0; i < json_len(tools); i++) {
        const struct json *tool = json_at(tools, i), *f = c->bare ? tool : tool_function(tool);
        size_t len = 0;
        const char *raw = json_str(tool, &len);
        if (!raw && !f) return err_set(e, ERR_ARG, "tools[%zu]: is not a function with a name", i);
        if (i) str_puts(&c->text, ", ");
        if (raw) str_put(&c->text, raw, len);
        else json_write(&c->text, f, JSON_PYTHON);
    }
    str_putc(&c->text, ']');
    return true;
}

static bool put_tools(struct chat *c, struct err *e)
{
    static const char *const lead[] = { [TEMPLATE_TENON] = "Tools:\n",
                                        [TEMPLATE_LFM2] = "List of tools: ",
                                        [TEMPLATE_LFM25] = "List of tools: ",
                                        [TEMPLATE_JSON] = "Functions:\n" };
    prompt_puts(c->out, lead[c->kind]);
    bool as_list = c->kind == TEMPLATE_LFM2 || c->kind == TEMPLATE_LFM25;
    if (as_list ? !put_tool_list(c, e) : !put_tool_lines(c, e)) return false;
    put_between(c, has_markers(c), "<|tool_list_start|>", "<|tool_list_end|>");
    if (c->kind == TEMPLATE_JSON) prompt_puts(c->out, json_calls_hint);
    return true;
}

/* Leading system messages (one for the bare template) become the system turn, with the tools in it.
 * *n: how many messages were used. */
static bool system_turn(struct chat *c, size_t *n, struct err *e)
{
    const struct json *messages = c->r->messages;
    bool tools = json_len(c->r->tools) > 0;
    str_clear(&c->text);
    for (*n = 0; *n < json_len(messages) && !(c->bare && *n); ++*n) {
        const struct json *m = json_at(messages, *n), *content = json_get(m, "content");
        if (c->bare ? !is_role(m, "system") : !is_system(m)) break;
        if (c->bare && !json_is(content, JSON_STRING))
            return err_set(
                e, ERR_ARG,
                "messages[%zu]: content: this template takes a string for the system message", *n);
        if (c->text.len) str_puts(&c->text, "\n\n");
        if (!put_content(&c->text, content, e)) return err_in(e, "messages[%zu]", *n);
    }
    if (!c->text.len && !tools) return true;
    open_turn(c, "system", 6);
    prompt_text(c->out, c->text.p, c->text.len);
    if (tools && c->text.len) prompt_puts(c->out, "\n");
    if (tools && !put_tools(c, e)) return false;
    close_turn(c);
    return true;
}

/* LFM2 was trained with the call before the text of the same turn, the others have it behind. */
static bool assistant_body(struct chat *c, const struct json *m, bool past, struct err *e)
{
    const struct json *calls = c->bare ? NULL : json_get(m, "tool_calls");
    bool has = json_is(calls, JSON_ARRAY) && json_len(calls), first = c->kind == TEMPLATE_LFM2;
    if (has && first && !put_calls(c, calls, e)) return false;
    if (!read_content(c, m, e)) return false;
    if (past && c->drop_thoughts) drop_thoughts(&c->text);
    prompt_text(c->out, c->text.p, c->text.len);
    return !has || first || put_calls(c, calls, e);
}

static bool tool_body(struct chat *c, const struct json *m, struct err *e)
{
    if (!read_content(c, m, e)) return false;
    put_between(c, has_markers(c), "<|tool_response_start|>", "<|tool_response_end|>");
    return true;
}

static bool put_message(struct chat *c, const struct json *m, bool past, struct err *e)
{
    size_t len = 0;
    const char *role = json_str(json_get(m, "role"), &len);
    if (!role)
        return err_set(e, ERR_ARG, "role: missing; system, user, assistant or tool is accepted");
    if (!c->bare && is_system(m)) role = "system", len = 6;
    open_turn(c, role, len);
    bool ok = true;
    if (is_role(m, "assistant")) {
        ok = assistant_body(c, m, past, e);
    } else if (is_role(m, "tool")) {
        ok = tool_body(c, m, e);
    } else {
        ok = read_content(c, m, e);
        if (ok) prompt_text(c->out, c->text.p, c->text.len);
    }
    close_turn(c);
    return ok;
}

static bool put_messages(struct chat *c, size_t from, struct err *e)
{
    const struct json *messages = c->r->messages;
    size_t n = json_len(messages);
    size_t *order = mem_alloc((n + 1) * sizeof *order);
    order_results(messages, order, n);
    bool ok = true;
    for (size_t i = from; ok && i < n; i++) {
        size_t at = c->bare ? i : order[i];
        ok = put_message(c, json_at(messages, at), i != c->last_assistant, e) || err_in(e, "messages[%zu]", at);
    }
    mem_free(order);
    return ok;
}

static bool render(struct chat *c, struct err *e)
{
    const struct json *messages = c->r->messages;
    size_t used = 0;
    if (!json_is(messages, JSON_ARRAY))
        return err_set(e, ERR_ARG, "messages: missing; a list of messages is accepted");
    if (!json_len(messages))
        return err_set(e, ERR_ARG, "messages: empty; at least one message is needed");
    if (c->r->tools && !json_is(c->r->tools, JSON_ARRAY) && !json_is(c->r->tools, JSON_NULL))
        return err_set(e, ERR_ARG, "tools: is %s; a list of tools is accepted",
                       json_type_name(json_type(c->r->tools)));
    for (size_t i = 0; i < json_len(messages); i++)
        if (is_role(json_at(messages, i), "assistant")) c->last_assistant = i;
    c->drop_thoughts = c->kind == TEMPLATE_LFM25 &&
                       !json_bool(json_get(c->r->vars, "keep_past_thinking"));
    put_bos(c);
    bool ok = system_turn(c, &used, e) && put_messages(c, used, e);
    if (ok && c->r->add_generation_prompt) open_turn(c, "assistant", 9);
    str_done(&c->text);
    return ok;
}

/* ---- which template -------------------------------------------------------------------------- */

static const struct { const char *name; enum template_kind kind; bool bare; } own[] = {
    { "lfm2", TEMPLATE_LFM2, true },
    { "lfm2.5", TEMPLATE_LFM25, true },
    { "tenon", TEMPLATE_TENON, false },
    { "json", TEMPLATE_JSON, false },
};

/* A text is known by what it writes and by the variables it reads. */
enum template_kind template_find(const char *text)
{
    if (!text) return TEMPLATE_NONE;
    bool list = strstr(text, "<|tool_list_start|>") && strstr(text, "<|tool_list_end|>");
    bool named = strstr(text, "List of tools: "), wraps = strstr(text, "<|tool_response_start|>");
    if (list && strstr(text, "tools_as")) return TEMPLATE_TENON;
    if (list && named && wraps) return TEMPLATE_LFM2;
    if (!list && named && !wraps && strstr(text, "keep_past_thinking") &&
        !strstr(text, "<|tool_call_start|>"))
        return TEMPLATE_LFM25;
    return strstr(text, "answer with a JSON list and nothing else") ? TEMPLATE_JSON
                                                                    : TEMPLATE_OTHER;
}

bool dialect_render(const struct dialect *d, const struct dialect_request *r, struct prompt *out,
                    struct err *e)
{
    enum template_kind kind = template_find(r->template ? jinja_source(r->template) : NULL);
    struct chat c = { .r = r, .out = out, .syntax = strcmp(d->name, "lfm2") ? CALLS_JSON : CALLS_PYTHON };
    for (size_t i = 0; i < LEN(own); i++)
        if (!strcmp(own[i].name, d->template_name)) c.kind = own[i].kind;
    if (kind != TEMPLATE_NONE) c.kind = kind;
    return render(&c, e);
}

bool chat_render(const char *template_name, const struct dialect_request *r, struct prompt *out,
                 struct err *e)
{
    struct chat c = { .r = r, .out = out, .syntax = CALLS_JSON };
    for (size_t i = 0; i < LEN(own); i++)
        if (!strcmp(template_name, own[i].name)) {
            c.kind = own[i].kind;
            c.bare = own[i].bare;
            return render(&c, e);
        }
    return err_set(e, ERR_UNSUPPORTED,
                   "template \"%.60s\" is not one of ours; lfm2, lfm2.5, tenon and json are accepted",
                   template_name);
}
