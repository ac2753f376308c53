/* teach.c -- lines of conversations in the forms people have them, checked as strictly as requests.
 *
 * Messages and tools go through the reader of requests, so what is refused there is refused here with
 * the same sentence. Beyond that a lesson must be one the model could be asked to give: its last turn
 * is the assistant's, its calls name declared tools, and their arguments fit the schemas. What would
 * teach a wrong call is worse than no line at all. */
#include "teach.h"

#include "gen/gen.h"

#define TOLD_MOST 20 /* malformed lines whose sentences are printed */

void taught_done(struct taught *t)
{
    for (int i = 0; i < t->n; i++) json_free(t->item[i]);
    mem_free(t->item);
    mem_free(t->line);
    *t = (struct taught){ 0 };
}

/* ---- the compact form ------------------------------------------------------------------------ */

/* A member that is a value or JSON in a string. Owned; NULL: not there, or e. */
static struct json *unpacked(const struct json *line, const char *key, struct err *e)
{
    const struct json *v = json_get(line, key);
    size_t len;
    const char *s = json_str(v, &len);
    if (!s) return json_copy(v);
    struct json *out = json_parse(s, len, e);
    if (!out) err_in(e, "%s", key);
    return out;
}

/* Python's names of types, as such files have them: "str, optional", "List[int]". */
static const char *schema_type(const char *type, bool *optional)
{
    static const struct { const char *theirs, *ours; } rows[] = {
        { "str", "string" },   { "int", "integer" },   { "float", "number" },   { "bool", "boolean" },
        { "list", "array" },   { "List", "array" },    { "dict", "object" },    { "Dict", "object" },
        { "tuple", "array" },  { "Tuple", "array" },   { "set", "array" },      { "Set", "array" },
        { "string", "string" }, { "integer", "integer" }, { "number", "number" }, { "boolean", "boolean" },
        { "array", "array" },  { "object", "object" },
    };
    size_t n = strcspn(type, "[, ");
    *optional = strstr(type, "optional") != NULL;
    for (size_t i = 0; i < LEN(rows); i++)
        if (strlen(rows[i].theirs) == n && !memcmp(rows[i].theirs, type, n)) return rows[i].ours;
    return NULL;
}

/* {"city": {"type": "str", "description": "…", "default": "…"}}: what has a default need not be given. */
static bool put_property(struct json *props, struct json *required, const char *key, const struct json *p,
                         struct err *e)
{
    bool optional = json_get(p, "default") != NULL, says = false;
    const char *type = json_str(json_get(p, "type"), NULL), *ours = type ? schema_type(type, &says) : NULL;
    if (!json_is(p, JSON_OBJECT) || (type && !ours))
        return err_set(e, ERR_ARG, "parameters.%.60s: type '%.40s' is unknown; JSON Schema or str, int, float, bool, "
                                   "list, dict are accepted", key, type ? type : json_type_name(json_type(p)));
    struct json *out = json_copy(p);
    if (ours) json_set(out, "type", json_new_str(ours));
    if (json_is(json_get(p, "required"), JSON_BOOL)) {
        optional = !json_bool(json_get(p, "required"));
        json_unset(out, "required");
    }
    if (!optional && !says) json_push(required, json_new_str(key));
    json_set(props, key, out);
    return true;
}

static bool is_schema(const struct json *par)
{
    return !json_is(par, JSON_OBJECT) || json_is(json_get(par, "properties"), JSON_OBJECT) ||
           json_is(json_get(par, "type"), JSON_STRING) || !json_len(par);
}

/* A tool whose parameters are a bare map of properties gets a schema. */
static struct json *tool_of(const struct json *tool, size_t i, struct err *e)
{
    const struct json *par = json_get(tool, "parameters");
    struct json *out = json_copy(tool);
    if (is_schema(par)) return out;
    struct json *s = json_new_object(), *props = json_new_object(), *required = json_new_array();
    json_set(s, "type", json_new_str("object"));
    json_set(s, "properties", props);
    json_set(s, "required", required);
    json_set(out, "parameters", s);
    for (struct json_iter it = json_iter(par); json_next(&it);)
        if (!put_property(props, required, it.key, it.value, e)) {
            err_in(e, "tools[%zu]", i);
            json_free(out);
            return NULL;
        }
    return out;
}

static bool tools_of(struct json *out, const struct json *tools, struct err *e)
{
    if (!json_is(tools, JSON_ARRAY))
        return err_set(e, ERR_ARG, "tools: an array of tools is needed, or one as JSON in a string");
    for (size_t i = 0; i < json_len(tools); i++) {
        struct json *t = tool_of(json_at(tools, i), i, e);
        if (!t) return false;
        json_push(out, t);
    }
    return true;
}

static bool put_call(struct json *calls, const struct json *a, size_t i, struct err *e)
{
    const struct json *name = json_get(a, "name"), *args = json_get(a, "arguments");
    char id[32];
    if (!json_str(name, NULL) || (args && !json_is(args, JSON_OBJECT)))
        return err_set(e, ERR_ARG, "answers[%zu]: an object with a name and an object of arguments is needed", i);
    struct json *c = json_new_object(), *f = json_new_object();
    snprintf(id, sizeof id, "call_%zu", i + 1);
    json_set(f, "name", json_copy(name));
    if (args) json_set(f, "arguments", json_copy(args));
    json_set(c, "id", json_new_str(id));
    json_set(c, "type", json_new_str("function"));
    json_set(c, "function", f);
    json_push(calls, c);
    return true;
}

/* The assistant's turn: calls, a text, or, for an empty list, a refusal. */
static struct json *answer_of(const struct json *line, struct err *e)
{
    const struct json *given = json_get(line, "answers");
    const char *text = json_str(given, NULL);
    struct json *m = json_new_object(), *calls = json_new_array(), *list = NULL;
    bool is_text = text && text[strspn(text, " \t\n")] != '[';
    bool ok = is_text || (list = unpacked(line, "answers", e)) != NULL;
    if (ok && !is_text && !json_is(list, JSON_ARRAY))
        ok = err_set(e, ERR_ARG, "answers: an array of calls or a text is needed");
    else if (!ok && !e->code) err_set(e, ERR_ARG, "answers: missing");
    for (size_t i = 0; ok && i < json_len(list); i++) ok = put_call(calls, json_at(list, i), i, e);
    json_set(m, "role", json_new_str("assistant"));
    if (is_text) json_set(m, "content", json_copy(given));
    else if (!json_len(list)) json_set(m, "content", json_new_str("I don't have a tool for that."));
    if (json_len(calls)) json_set(m, "tool_calls", calls);
    else json_free(calls);
    json_free(list);
    if (ok) return m;
    json_free(m);
    return NULL;
}

static bool read_compact(const struct json *line, struct json **messages, struct json **tools, const struct json *usual, struct err *e)
{
    struct json *given = unpacked(line, "tools", e), *answer = NULL, *user;
    if (!given && !e->code) given = json_copy(usual);
    bool ok = !e->code && (given || err_set(e, ERR_ARG, "tools: missing")) && tools_of(*tools, given, e) &&
              (json_str(json_get(line, "query"), NULL) || err_set(e, ERR_ARG, "query: a text is needed")) &&
              (answer = answer_of(line, e)) != NULL;
    json_free(given);
    if (!ok) return false;
    user = json_new_object();
    json_set(user, "role", json_new_str("user"));
    json_set(user, "content", json_copy(json_get(line, "query")));
    json_push(*messages, user);
    json_push(*messages, answer);
    return true;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static const struct json *find_tool(const struct json *tools, const char *name)
{
    for (size_t i = 0; i < json_len(tools); i++) {
        const char *have = tool_name(json_at(tools, i));
        if (have && !strcmp(have, name)) return json_at(tools, i);
    }
    return NULL;
}

static bool call_fits(const struct json *tools, const struct json *call, struct err *e)
{
    const struct json *f = json_get(call, "function");
    const char *name = json_str(json_get(f, "name"), NULL);
    const struct json *tool = find_tool(tools, name);
    size_t len;
    const char *text = json_str(json_get(f, "arguments"), &len);
    if (!tool) return err_set(e, ERR_ARG, "%.60s is not among the tools", name);
    struct json *args = json_parse(text, len, e), *schema = tool_schema(tool);
    bool ok = args && schema_check(schema, args, NULL, e);
    json_free(args);
    json_free(schema);
    return ok || err_in(e, "the arguments of %.60s", name);
}

static bool calls_fit(const struct json *tools, const struct json *messages, struct err *e)
{
    for (size_t i = 0; i < json_len(messages); i++) {
        const struct json *calls = json_get(json_at(messages, i), "tool_calls");
        for (size_t j = 0; j < json_len(calls); j++)
            if (!call_fits(tools, json_at(calls, j), e))
                return err_in(e, "messages[%zu].tool_calls[%zu]", i, j);
    }
    return true;
}

/* The reader of requests wants every call answered; those of the last turn are the lesson. */
static struct json *read_messages(const struct json *given, struct err *e)
{
    size_t n = json_len(given);
    const struct json *last = n ? json_at(given, n - 1) : NULL;
    if (n && !json_str_is(json_get(last, "role"), "assistant")) {
        err_set(e, ERR_ARG, "messages[%zu]: the last message must be the assistant's, it is what is learned", n - 1);
        return NULL;
    }
    struct json *whole = json_copy(given), *out = NULL;
    for (size_t j = 0; j < json_len(json_get(last, "tool_calls")); j++) {
        struct json *r = json_new_object();
        json_set(r, "role", json_new_str("tool"));
        json_set(r, "content", json_new_str(""));
        json_push(whole, r);
    }
    struct json *read = messages_normalise(whole, true, e);
    if (read) {
        out = json_new_array();
        for (size_t i = 0; i < n; i++) json_push(out, json_copy(json_at(read, i)));
    }
    json_free(read);
    json_free(whole);
    return out;
}

static bool weights_fit(const struct json *messages, struct err *e)
{
    for (size_t i = 0; i < json_len(messages); i++) {
        const struct json *w = json_get(json_at(messages, i), "weight");
        int64_t v;
        if (w && !(json_i64(w, &v) && (v == 0 || v == 1)))
            return err_set(e, ERR_ARG, "messages[%zu].weight: 0 or 1 is accepted", i);
    }
    return true;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool members_known(const struct json *line, struct err *e)
{
    static const char *const known[] = { "messages", "tools", "answer", "query", "answers", "id", "kind", "expect",
                                         "must_contain", "parallel_tool_calls" };
    for (struct json_iter it = json_iter(line); json_next(&it);) {
        size_t i = 0;
        while (i < LEN(known) && strcmp(known[i], it.key)) i++;
        if (i == LEN(known))
            return err_set(e, ERR_ARG, "member %.60s is unknown; {messages, tools} or {query, tools, answers} is accepted",
                           it.key);
    }
    return true;
}

static bool gather(const struct json *line, struct json **messages, struct json **tools, const struct json *usual, struct err *e)
{
    const struct json *given = json_get(line, "messages"), *own = json_get(line, "tools");
    if (!own) own = usual;
    if (json_get(line, "query")) return read_compact(line, messages, tools, usual, e);
    if (!json_is(given, JSON_ARRAY))
        return err_set(e, ERR_ARG, "messages: an array is needed (or the members query, tools and answers)");
    for (size_t i = 0; i < json_len(given); i++) json_push(*messages, json_copy(json_at(given, i)));
    if (json_get(line, "answer")) json_push(*messages, json_copy(json_get(line, "answer")));
    for (size_t i = 0; i < json_len(own); i++) json_push(*tools, json_copy(json_at(own, i)));
    return true;
}

struct json *teach_line(const struct json *line, const struct json *usual, struct err *e)
{
    if (!json_is(line, JSON_OBJECT)) {
        err_set(e, ERR_ARG, "an object is needed, not %s", json_type_name(json_type(line)));
        return NULL;
    }
    struct json *messages = json_new_array(), *tools = json_new_array(), *out = NULL, *m = NULL, *t = NULL;
    bool ok = members_known(line, e) && gather(line, &messages, &tools, usual, e) &&
              (!json_len(tools) || (t = tools_normalise(tools, e))) && (m = read_messages(messages, e)) &&
              weights_fit(m, e) && calls_fit(t, m, e);
    if (ok) {
        out = json_new_object();
        json_set(out, "messages", m);
        if (t) json_set(out, "tools", t);
    } else {
        json_free(m);
        json_free(t);
    }
    json_free(messages);
    json_free(tools);
    return out;
}

struct json *teach_question(const struct json *line, const struct json *usual, struct err *e)
{
    struct json *c = teach_line(line, usual, e), *q, *messages, *expect;
    if (!c) return NULL;
    const struct json *all = json_get(c, "messages"), *last = json_at(all, json_len(all) - 1);
    const struct json *calls = json_get(last, "tool_calls"), *kind = json_get(line, "kind");
    messages = json_new_array();
    expect = json_new_array();
    for (size_t i = 0; i + 1 < json_len(all); i++) json_push(messages, json_copy(json_at(all, i)));
    for (size_t i = 0; i < json_len(calls); i++) {
        const struct json *f = json_get(json_at(calls, i), "function");
        size_t len;
        const char *text = json_str(json_get(f, "arguments"), &len);
        struct json *args = json_parse(text, len, NULL), *want = json_new_object(), *one = json_new_object();
        for (struct json_iter it = json_iter(args); json_next(&it);) {
            struct json *accepted = json_new_array();
            json_push(accepted, json_copy(it.value));
            json_set(want, it.key, accepted);
        }
        json_set(one, json_str(json_get(f, "name"), NULL), want);
        json_push(expect, one);
        json_free(args);
    }
    q = json_new_object();
    json_set(q, "kind", kind ? json_copy(kind) : json_new_str(json_len(calls) > 1 ? "parallel" : json_len(calls) ? "single" : "none"));
    if (json_get(c, "tools")) json_set(q, "tools", json_copy(json_get(c, "tools")));
    json_set(q, "messages", messages);
    json_set(q, "expect", expect);
    json_free(c);
    return q;
}

static bool put_line(struct taught *t, const char *s, size_t n, int number, const struct json *usual, struct err *e)
{
    struct json *line = json_parse(s, n, e), *c = line ? teach_line(line, usual, e) : NULL;
    json_free(line);
    if (!c) return false;
    if (t->n == t->cap) {
        t->cap = MAX(t->cap * 2, 64);
        t->item = mem_resize(t->item, (size_t)t->cap * sizeof *t->item);
        t->line = mem_resize(t->line, (size_t)t->cap * sizeof *t->line);
    }
    t->line[t->n] = number;
    t->item[t->n++] = c;
    return true;
}

bool teach_read(struct taught *t, const char *path, const struct json *usual, struct err *e)
{
    struct str text = { 0 };
    int bad = 0, number = 0;
    if (!file_read(path, &text, e)) return false;
    for (size_t at = 0; at < text.len;) {
        const char *s = text.p + at, *end = memchr(s, '\n', text.len - at);
        size_t n = end ? (size_t)(end - s) : text.len - at;
        struct err why = { 0 };
        at += n + 1;
        number++;
        if (strspn(s, " \t\r") >= n) continue;
        if (put_line(t, s, n, number, usual, &why)) continue;
        if (bad++ < TOLD_MOST) fprintf(stderr, "%s: line %d: %s\n", path, number, why.msg);
    }
    str_done(&text);
    if (bad) return err_set(e, ERR_ARG, "%s: %d of %d lines are malformed%s", path, bad, number,
                            bad > TOLD_MOST ? " (the first are told above)" : "");
    return t->n || err_set(e, ERR_ARG, "%s: there is no conversation in it", path);
}
