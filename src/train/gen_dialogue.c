/* gen_dialogue.c -- recorded conversations as training material: `tenon data --dialogues FILE`.
 *
 * A line is {tools, messages} in the form of the chat API (tools/dialogues.py makes such lines of
 * schema-guided dialogues). A drawing takes one line up to some turn of the assistant's; in half of
 * them tools and parameters have other names and another order, so that what is learned is the
 * language and not the names. Only the training stream draws from here. */
#include "train/gen_int.h"

enum { TOOLS_KEPT = 16, PARAMS_KEPT = 24, CHARS_PER_TOKEN_10 = 23 };

/* The first line is read whole; of the others, which may be tens of thousands, only both ends. */
static bool line_fits(const struct dialogues *x, struct bytes s, const char *path, struct err *e)
{
    if (s.p[0] != '{' || s.p[s.len - 1] != '}')
        return err_set(e, ERR_FORMAT, "%s:%d: an object {tools, messages} is expected", path,
                       x->n + 1);
    if (x->n) return true;
    struct json *v = json_parse(s.p, s.len, e);
    bool ok = v && json_is(json_get(v, "tools"), JSON_ARRAY) &&
              json_is(json_get(v, "messages"), JSON_ARRAY);
    json_free(v);
    return ok || err_set(e, ERR_FORMAT, "%s:1: an object {tools, messages} is expected", path);
}

bool dialogues_load(struct dialogues *x, const char *path, struct err *e)
{
    if (!file_read(path, &x->text, e)) return false;
    int cap = 0;
    for (size_t i = 0; i < x->text.len;) {
        const char *s = x->text.p + i, *end = memchr(s, '\n', x->text.len - i);
        size_t n = end ? (size_t)(end - s) : x->text.len - i;
        if (n) {
            if (!line_fits(x, (struct bytes){ s, n }, path, e)) return false;
            MEM_GROW(x->line, x->n, cap);
            x->line[x->n++] = (struct bytes){ s, n };
        }
        i += n + 1;
    }
    return x->n ? true : err_set(e, ERR_FORMAT, "%s: no conversations", path);
}

void dialogues_done(struct dialogues *x)
{
    mem_free(x->line);
    str_done(&x->text);
}

/* ---- other names ----------------------------------------------------------------------------- */

struct renamed { /* of one tool */
    const char *from, *to;
    const char *key[PARAMS_KEPT], *as[PARAMS_KEPT]; int n;
    const struct json *schema; /* as declared here */
};
struct names { struct renamed tool[TOOLS_KEPT]; int n; bool rename; enum style style; };

static bool name_used(const struct names *m, const char *s)
{
    for (int i = 0; i < m->n; i++)
        if (!strcmp(m->tool[i].to, s) || !strcmp(m->tool[i].from, s)) return true;
    return false;
}

/* "Hotels_1_SearchHotel" may be "searchHotel" or "hotels.search_hotel". */
static const char *tool_name(struct draw *d, const struct names *m, const char *name)
{
    const char *tail = strrchr(name, '_'), *words = spoken(d, tail && chance(d, 75) ? tail : name);
    const char *to = identifier(d, words, m->style);
    return name_used(m, to) ? name : to;
}

static bool key_used(const struct renamed *t, const char *s)
{
    for (int i = 0; i < t->n; i++) if (!strcmp(t->as[i], s)) return true;
    return false;
}

/* The declared parameters under their names here, in another order if names are new. */
static struct json *params_here(struct draw *d, struct names *m, struct renamed *t,
                                const struct json *given)
{
    const struct json *props = json_get(given, "properties"), *req = json_get(given, "required");
    struct json *out = json_new_object(), *p = json_new_object(), *r = json_new_array();
    const struct json *schema[PARAMS_KEPT];
    for (struct json_iter it = json_iter(props); json_next(&it) && t->n < PARAMS_KEPT;) {
        const char *as = m->rename ? param_renamed(d, it.key, m->style) : it.key;
        schema[t->n] = it.value;
        t->key[t->n] = it.key;
        t->as[t->n] = key_used(t, as) ? it.key : as;
        t->n++;
    }
    int turn = m->rename && t->n ? below(d, t->n) : 0;
    for (int i = 0; i < t->n; i++) {
        int k = (i + turn) % t->n;
        struct json *s = json_copy(schema[k]);
        if (m->rename && chance(d, 25)) json_unset(s, "description");
        json_set(p, t->as[k], s);
        for (size_t j = 0; j < json_len(req); j++)
            if (json_str_is(json_at(req, j), t->key[k])) json_push(r, json_new_str(t->as[k]));
    }
    json_set(out, "type", json_new_str("object"));
    json_set(out, "properties", p);
    json_set(out, "required", r);
    return out;
}

static void add_tools(struct draw *d, struct conv *c, struct names *m, const struct json *tools,
                      int most)
{
    for (size_t i = 0; i < json_len(tools) && most > 0 && m->n < TOOLS_KEPT; i++, most--) {
        const struct json *f = tool_function(json_at(tools, i));
        const char *name = json_str(json_get(f, "name"), NULL);
        if (!name || name_used(m, name)) continue;
        struct renamed *t = &m->tool[m->n];
        *t = (struct renamed){ .from = name };
        t->to = m->rename ? tool_name(d, m, name) : name;
        struct json *o = json_new_object(), *p = params_here(d, m, t, json_get(f, "parameters"));
        json_set(o, "name", json_new_str(t->to));
        if (json_get(f, "description") && !(m->rename && chance(d, 15)))
            json_set(o, "description", json_copy(json_get(f, "description")));
        t->schema = p;
        json_set(o, "parameters", p);
        json_push(c->tools, o);
        m->n++;
    }
}

/* The call under the names of this conversation; false if its tool is not on the list. */
static bool call_here(const struct names *m, const struct json *call, struct call *out)
{
    const struct json *f = tool_function(call), *args = json_get(f, "arguments");
    for (int i = 0; i < m->n; i++) {
        const struct renamed *t = &m->tool[i];
        if (!json_str_is(json_get(f, "name"), t->from)) continue;
        struct json *o = json_new_object();
        for (int k = 0; k < t->n; k++) {
            const struct json *v = json_get(args, t->key[k]);
            if (v) json_set(o, t->as[k], json_copy(v));
        }
        *out = (struct call){ t->to, json_in_order(t->schema, o) };
        json_free(o);
        return true;
    }
    return false;
}

/* ---- one conversation ------------------------------------------------------------------------ */

/* Number of messages up to the last assistant turn that fits into `room` characters. */
static size_t last_turn(const struct json *messages, size_t room)
{
    size_t used = 0, end = 0;
    for (size_t i = 0; i < json_len(messages); i++) {
        const struct json *m = json_at(messages, i), *calls = json_get(m, "tool_calls");
        size_t n = 0;
        json_str(json_get(m, "content"), &n);
        used += (json_str(json_get(m, "content"), NULL) ? n : 0) + 24 + (calls ? 160 : 0);
        if (used > room) break;
        if (json_str_is(json_get(m, "role"), "assistant")) end = i + 1;
    }
    return end;
}

static bool put_message(struct conv *c, const struct names *m, const struct json *msg, bool last)
{
    const char *role = json_str(json_get(msg, "role"), NULL),
               *s = json_str(json_get(msg, "content"), NULL);
    const struct json *calls = json_get(msg, "tool_calls");
    struct call call;
    if (!role) return false;
    if (json_len(calls)) {
        if (!call_here(m, json_at(calls, 0), &call)) return false;
        if (last) conv_answer_calls(c, &call, 1);
        else conv_called(c, &call, 1);
        return true;
    }
    if (!s) return false;
    if (strcmp(role, "assistant")) json_push(c->messages, json_copy(msg));
    else if (last) conv_answer_text(c, s);
    else conv_assistant(c, s);
    return true;
}

static struct json *line_draw(struct draw *d)
{
    const struct dialogues *x = &d->g->dialogues;
    struct bytes s = x->line[below(d, x->n)];
    struct err e = { 0 };
    return json_parse(s.p, s.len, &e);
}

static void add_strangers(struct draw *d, struct conv *c, struct names *m)
{
    struct json *other = line_draw(d);
    add_tools(d, c, m, json_get(other, "tools"), range(d, 1, 3));
    /* the names lie in the other line */
    for (int i = 0; i < m->n; i++) m->tool[i].from = text(d, "%s", m->tool[i].from);
    json_free(other);
}

bool dialogue_conversation(struct draw *d, struct conv *c)
{
    struct json *line = line_draw(d);
    const struct json *messages = json_get(line, "messages");
    struct names m = { .rename = chance(d, 50), .style = style_draw(d) };
    static const int limit[] = { 384, 384, 1024, 2048 };
    size_t room = (size_t)limit[MIN(MAX(d->stage, 1), 3)] * CHARS_PER_TOKEN_10 / 10;
    conv_start(c, KIND_MULTI_TURN);
    add_tools(d, c, &m, json_get(line, "tools"), TOOLS_KEPT);
    if (m.n && chance(d, 15)) add_strangers(d, c, &m);
    room -= MIN(room, (size_t)m.n * 330);
    size_t end = last_turn(messages, room * (size_t)range(d, 30, 100) / 100);
    bool ok = m.n && end > 1;
    for (size_t i = 0; ok && i < end; i++) ok = put_message(c, &m, json_at(messages, i), i + 1 == end);
    json_free(line);
    conv_shuffle_tools(d, c);
    if (!ok) conv_drop(c);
    return ok;
}
