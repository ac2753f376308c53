/* gen_conv.c -- the parts every conversation is made of: messages, calls, the expected answer, and
 * the copy drills that come before anything else in a training run.
 *
 * The wanted assistant turn is `answer`; `expect` says the same as accepted values in the form of
 * `tenon eval`. Both are made from one list of calls, so they cannot disagree. */
#include "train/gen_int.h"

void conv_start(struct conv *c, enum data_kind kind)
{
    *c = (struct conv){ .kind = kind };
    c->tools = json_new_array();
    c->messages = json_new_array();
    c->expect = json_new_array();
}

void conv_drop(struct conv *c)
{
    json_free(c->tools);
    json_free(c->messages);
    json_free(c->expect);
    json_free(c->must);
    json_free(c->answer);
    *c = (struct conv){ 0 };
}

static struct json *message(const char *role, const char *content)
{
    struct json *m = json_new_object();
    json_set(m, "role", json_new_str(role));
    json_set(m, "content", content ? json_new_str(content) : json_new_null());
    return m;
}

void conv_system(struct conv *c, const char *s) { json_push(c->messages, message("system", s)); }
void conv_user(struct conv *c, const char *s) { json_push(c->messages, message("user", s)); }
void conv_assistant(struct conv *c, const char *s)
{
    json_push(c->messages, message("assistant", s));
}

void conv_filler(struct conv *c, const char *s)
{
    struct json *m = message("assistant", s);
    json_set(m, "weight", json_new_int(0));
    json_push(c->messages, m);
}

static struct json *calls_message(const struct call *call, int n)
{
    struct json *m = message("assistant", NULL), *list = json_new_array();
    for (int i = 0; i < n; i++) {
        struct json *t = json_new_object(), *f = json_new_object();
        struct str args = { 0 };
        char id[24];
        snprintf(id, sizeof id, "call_%d", i + 1);
        json_write(&args, call[i].args, JSON_COMPACT);
        json_set(f, "name", json_new_str(call[i].name));
        json_set(f, "arguments", json_new_strn(args.p, args.len));
        json_set(t, "id", json_new_str(id));
        json_set(t, "type", json_new_str("function"));
        json_set(t, "function", f);
        json_push(list, t);
        str_done(&args);
    }
    json_set(m, "tool_calls", list);
    return m;
}

void conv_called(struct conv *c, struct call *call, int n)
{
    json_push(c->messages, calls_message(call, n));
    for (int i = 0; i < n; i++) json_free(call[i].args);
}

void conv_result(struct conv *c, int i, const struct json *result)
{
    struct str s = { 0 };
    char id[24];
    snprintf(id, sizeof id, "call_%d", i);
    json_write(&s, result, JSON_PYTHON);
    struct json *m = message("tool", s.p);
    json_set(m, "tool_call_id", json_new_str(id));
    json_push(c->messages, m);
    str_done(&s);
}

/* An object inside a value lists accepted values of its own; a list of objects likewise. */
static struct json *accepted_members(const struct json *object)
{
    struct json *o = json_new_object();
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        struct json *one = json_new_array();
        json_push(one, json_copy(it.value));
        json_set(o, it.key, one);
    }
    return o;
}

static struct json *accepted(const struct json *v)
{
    if (json_is(v, JSON_OBJECT)) return accepted_members(v);
    if (!json_is(v, JSON_ARRAY) || !json_is(json_at(v, 0), JSON_OBJECT)) return json_copy(v);
    struct json *a = json_new_array();
    for (size_t i = 0; i < json_len(v); i++) json_push(a, accepted(json_at(v, i)));
    return a;
}

static struct json *expectation(const struct call *call)
{
    struct json *e = json_new_object(), *args = json_new_object();
    for (struct json_iter it = json_iter(call->args); json_next(&it);) {
        struct json *one = json_new_array();
        json_push(one, accepted(it.value));
        json_set(args, it.key, one);
    }
    json_set(e, call->name, args);
    return e;
}

void conv_answer_calls(struct conv *c, struct call *call, int n)
{
    c->answer = calls_message(call, n);
    for (int i = 0; i < n; i++) {
        json_push(c->expect, expectation(&call[i]));
        json_free(call[i].args);
    }
}

void conv_answer_text(struct conv *c, const char *s) { c->answer = message("assistant", s); }

/* Order and wrapper of the tools are drawn: {"type":"function","function":…} or bare. */
void conv_shuffle_tools(struct draw *d, struct conv *c)
{
    size_t n = json_len(c->tools);
    size_t order[64];
    if (!n || n > LEN(order)) return;
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t i = n - 1; i > 0; i--) {
        size_t j = (size_t)below(d, (int)i + 1), x = order[i];
        order[i] = order[j];
        order[j] = x;
    }
    bool wrapped = chance(d, 70);
    struct json *out = json_new_array();
    for (size_t i = 0; i < n; i++) {
        struct json *t = json_copy(json_at(c->tools, order[i]));
        if (wrapped) {
            struct json *w = json_new_object();
            json_set(w, "type", json_new_str("function"));
            json_set(w, "function", t);
            t = w;
        }
        json_push(out, t);
    }
    json_free(c->tools);
    c->tools = out;
}

struct json *json_in_order(const struct json *schema, const struct json *v)
{
    if (json_is(v, JSON_ARRAY)) {
        struct json *a = json_new_array();
        for (size_t i = 0; i < json_len(v); i++)
            json_push(a, json_in_order(json_get(schema, "items"), json_at(v, i)));
        return a;
    }
    if (!json_is(v, JSON_OBJECT)) return json_copy(v);
    struct json *o = json_new_object();
    const struct json *props = json_get(schema, "properties");
    if (json_is(props, JSON_OBJECT))
        for (struct json_iter it = json_iter(props); json_next(&it);) {
            const struct json *m = json_get(v, it.key);
            if (m) json_set(o, it.key, json_in_order(it.value, m));
        }
    for (struct json_iter it = json_iter(v); json_next(&it);)
        if (!json_get(props, it.key)) json_set(o, it.key, json_copy(it.value));
    return o;
}

struct json *result_ok(struct draw *d)
{
    struct json *o = json_new_object();
    switch (below(d, 5)) {
    case 0: json_set(o, "status", json_new_str(pick(d, "ok|done|success|accepted"))); break;
    case 1: json_set(o, "success", json_new_bool(true)); break;
    case 2: {
        struct value v = value_draw(d, V_ID);
        json_set(o, "ok", json_new_bool(true));
        json_set(o, "id", v.json);
        break;
    }
    default: json_set(o, "ok", json_new_bool(true));
    }
    return o;
}

const char *system_line(struct draw *d)
{
    return pick(d, "You are a helpful assistant.|You are a helpful assistant that can use "
                   "tools.|Use the tools when they fit.|You are Tenon.|Answer briefly.|"
                   "Call a tool if one fits, otherwise answer.|You help customers. Be polite.|"
                   "Today is Monday.|You are an assistant with access to functions.|"
                   "Only call a tool when all required values are known.");
}

/* ---- copy drills ----------------------------------------------------------------------------- */

enum { DRILL_MOST = 8 };

/* One tool whose parameters are listed as a form, with lines in another order than the schema's. */
static void drill_form(struct draw *d, struct conv *c)
{
    struct tool t = { .verb = -1, .fake_verb = word_fake(d), .noun = word_fake(d), .desc = "" };
    t.n_param = range(d, 1, 3);
    struct call call = { text(d, "%s_%s", t.fake_verb, t.noun), json_new_object() };
    t.name = call.name;
    static const enum value_kind kinds[] = { V_WORD,  V_NAME,   V_INT,   V_TAG,  V_ID,  V_CODE,
                                             V_EMAIL, V_PHRASE, V_TITLE, V_TIME, V_REAL };
    const char *line[DRILL_MOST];
    for (int i = 0; i < t.n_param; i++) {
        const char *w = text(d, "%s%s", word_fake(d), i ? text(d, "%d", i) : "");
        t.param[i] = (struct tool_param){ .name = w,
                                          .words = w,
                                          .desc = "",
                                          .kind = kinds[below(d, LEN(kinds))],
                                          .required = true,
                                          .hi = 999 };
        struct value v = param_value(d, &t.param[i]);
        line[i] = text(d, "%s%s%s", w, pick(d, ": | = | is | "), v.said);
        json_set(call.args, w, v.json);
    }
    json_push(c->tools, tool_json(d, &t));
    const char *s = text(d, "%s %s", t.fake_verb, t.noun), *sep = pick(d, ", |\n|; ");
    int from = below(d, t.n_param);
    for (int i = 0; i < t.n_param; i++) s = text(d, "%s%s%s", s, sep, line[(i + from) % t.n_param]);
    conv_user(c, s);
    conv_answer_calls(c, &call, 1);
}

/* "a = x; b = y. What is b?" */
static void drill_lookup(struct draw *d, struct conv *c)
{
    int n = range(d, 2, 6), want = below(d, n);
    const char *s = "", *key[DRILL_MOST], *value[DRILL_MOST];
    const char *eq = pick(d, ": | = | is | -> "), *sep = pick(d, "\n|; |, ");
    for (int i = 0; i < n; i++) {
        struct value v = value_draw(d, (enum value_kind[]){ V_WORD, V_NAME, V_TAG, V_ID, V_CODE,
                                                            V_TITLE, V_TIME, V_REAL }[below(d, 8)]);
        json_free(v.json);
        key[i] = text(d, "%s%s", word_any(d), chance(d, 20) ? text(d, "%d", i) : "");
        for (int j = 0; j < i; j++)
            if (!strcmp(key[j], key[i])) key[i] = text(d, "%s%d", key[i], i);
        value[i] = v.said;
        s = text(d, "%s%s%s%s%s", s, i ? sep : "", key[i], eq, v.said);
    }
    conv_user(c,
              text(d, "%s\n%s%s?", s, pick(d, "What is |Which value has ||Tell me "), key[want]));
    conv_answer_text(c, value[want]);
}

/* "Repeat the third: a, b, c" and the whole list, as it is or backwards. */
static void drill_items(struct draw *d, struct conv *c)
{
    static const char *const nth[] = { "first", "second", "third", "fourth", "fifth" };
    int n = range(d, 2, 5), want = below(d, n + 2);
    const char *s = "", *item[DRILL_MOST], *all = "";
    for (int i = 0; i < n; i++) {
        item[i] = chance(d, 60) ? word_fake(d) : capital(d, word_any(d));
        s = text(d, "%s%s%s", s, i ? ", " : "", item[i]);
    }
    for (int i = 0; i < n; i++)
        all = text(d, "%s%s%s", all, i ? ", " : "", item[want == n ? i : n - 1 - i]);
    const char *ask = want < n    ? text(d, "%s the %s", pick(d, "Repeat|Say|Write"), nth[want])
                      : want == n ? "Repeat all"
                                  : "Repeat backwards";
    conv_user(c, text(d, "%s: %s", ask, s));
    conv_answer_text(c, want < n ? item[want] : all);
}

/* A run of words said again, word for word: the shortest way to the circuit that every later copy
 * uses. Half of the time as the list argument of a call. */
static void drill_echo(struct draw *d, struct conv *c)
{
    int n = range(d, 5, 22);
    bool as_call = chance(d, 40);
    const char *s = "", *sep = as_call ? ", " : pick(d, " | |, | / |-");
    struct json *items = json_new_array();
    for (int i = 0; i < n; i++) {
        const char *w = chance(d, 70)   ? word_fake(d)
                        : chance(d, 50) ? capital(d, word_any(d))
                                        : text(d, "%d", range(d, 0, 999));
        s = text(d, "%s%s%s", s, i ? sep : "", w);
        json_push(items, json_new_str(w));
    }
    if (!as_call) {
        json_free(items);
        conv_user(c, text(d, "%s%s", pick(d, "Echo: |Say it again: |Copy: |Repeat: "), s));
        conv_answer_text(c, s);
        return;
    }
    struct tool t = { .verb = -1, .fake_verb = word_fake(d), .noun = "", .desc = "", .n_param = 1 };
    t.name = t.fake_verb;
    t.param[0] = (struct tool_param){ .name = word_fake(d),
                                      .words = "",
                                      .desc = "",
                                      .kind = V_LIST,
                                      .inner = V_WORD,
                                      .required = true };
    struct call call = { t.name, json_new_object() };
    json_set(call.args, t.param[0].name, items);
    json_push(c->tools, tool_json(d, &t));
    conv_user(c, text(d, "%s %s", t.name, s));
    conv_answer_calls(c, &call, 1);
}

/* ---- selection drills ------------------------------------------------------------------------ */

/* Which of these tools? Short lists, short requests, several in a row: the look-up "word of the
 * request -> tool whose name or description has it" and nothing else, many times per token. */
struct choice {
    const char *name, *word[2];
    /* what the tool is about, when only its meaning stands in the list; else NULL */
    const struct sense *sense;
    struct tool_param param;
    bool has_param;
};

static bool words_shared(const struct choice *k, int n)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < 4; j++)
            if (!strcmp(k[i].word[j & 1], k[n].word[j >> 1])) return true;
    return false;
}

/* A description that holds both words among others that every tool may have. */
static const char *describe(struct draw *d, const char *const *w)
{
    const char *r = pick(d, "{a} {b}|{a} {b}.|Finds the {a} of a {b}.|Shows {a} and {b}.|"
                            "Use it for any {a} {b}.|Sets the {b} for one {a}|{a}, by {b}|"
                            "Everything about the {a} of the {b}.|Checks a {a} before the {b}.|"
                            "Sends the user's {a} to the {b}|Lists each {a} with its {b}.|"
                            "Books a {a} {b} for a guest.|Call this when a {a} needs a {b}.");
    return phrase_template(d, r, (const char *const[]){ "a", w[0], "b", w[1], NULL });
}

/* A parameter that no request mentions. */
static void add_optional(struct draw *d, struct tool *t, enum style s)
{
    static const enum value_kind kinds[] = { V_WORD, V_INT, V_BOOL, V_DECIMAL };
    struct tool_param p = { .desc = "", .kind = kinds[below(d, LEN(kinds))] };
    p.words = text(d, "%s %s", pick(d, "max|min|with|extra|only|default|show"), word_any(d));
    p.name = identifier(d, p.words, s);
    for (int i = 0; i < t->n_param; i++)
        if (!strcmp(t->param[i].name, p.name)) return;
    t->param[t->n_param++] = p;
}

static void draw_words(struct draw *d, struct choice *k, bool by_meaning)
{
    *k = (struct choice){ .word = { word_any(d), word_any(d) }, .has_param = chance(d, 55) };
    k->sense = by_meaning ? sense_draw(d, "nva") : NULL;
    if (k->sense) k->word[0] = k->word[1] = k->sense->word;
}

/* Name and description of a tool that is about a sense. The request will use the word itself: it is
 * in the list as another word, a broader one, its meaning, or now and then as it is. */
static void mean_choice(struct draw *d, const struct choice *k, struct tool *t, enum style s)
{
    const struct sense *x = k->sense;
    int r = below(d, 100);
    if (*x->same && r < 30) {
        t->name = identifier(d, pick(d, x->same), s);
        t->desc = chance(d, 50) ? sense_meaning(d, x) : "";
        return;
    }
    t->name = identifier(d,
                         r < 40                ? x->word
                         : r < 60 && *x->wider ? text(d, "%s %s", pick(d, x->wider), word_any(d))
                                               : word_fake(d),
                         s);
    t->desc = sense_meaning(d, x);
    if (chance(d, 40)) t->desc = text(d, "%s.", capital(d, t->desc));
}

/* The tool of choice n; its words are not among those of the choices before it. */
static void draw_choice(struct draw *d, struct conv *c, enum style s, struct choice *k, int n,
                        bool by_meaning)
{
    static const enum value_kind kinds[] = { V_WORD, V_NAME, V_INT,  V_REAL,
                                             V_TIME, V_ID,   V_ENUM, V_ENUM };
    int tries = 0; /* a lexicon may have fewer words than this list has tools */
    do draw_words(d, &k[n], by_meaning && tries++ < 20); while (words_shared(k, n));
    const char *const *word = k[n].word, *words = text(d, "%s %s", word[0], word[1]);
    bool opaque = chance(d, 35);
    struct tool t = { .verb = -1, .desc = opaque || chance(d, 40) ? describe(d, word) : "" };
    t.name = identifier(d, opaque ? word_fake(d) : words, s);
    if (k[n].sense) mean_choice(d, &k[n], &t, s);
    for (int i = 0; i < n; i++)
        if (!strcmp(k[i].name, t.name)) t.name = text(d, "%s%d", t.name, n + 1);
    k[n].name = t.name;
    for (int more = chance(d, 40) ? range(d, 1, 2) : 0; more > 0; more--) add_optional(d, &t, s);
    if (k[n].has_param) {
        const char *w = word_any(d);
        k[n].param = (struct tool_param){ .name = identifier(d, w, s), .words = w, .desc = "" };
        k[n].param.required = true;
        k[n].param.kind = kinds[below(d, LEN(kinds))];
        k[n].param.hi = 99;
        for (; k[n].param.kind == V_ENUM && k[n].param.n_member < 3; k[n].param.n_member++) {
            const char *m =
                chance(d, 75) ? word_any(d) : text(d, "%s %s", word_any(d), word_any(d));
            k[n].param.said[k[n].param.n_member] = m;
            k[n].param.member[k[n].param.n_member] = identifier(d, m, STYLE_SNAKE);
        }
        t.param[t.n_param++] = k[n].param;
    }
    json_push(c->tools, tool_json(d, &t));
}

/* How many choices have this word somewhere: in name, description, parameter or members. */
static int choices_with(const struct choice *k, int n, const char *word)
{
    int hits = 0;
    for (int i = 0; i < n; i++) {
        bool hit = !strcmp(k[i].word[0], word) || !strcmp(k[i].word[1], word);
        hit = hit || (k[i].has_param && !strcmp(k[i].param.words, word));
        for (int m = 0; m < k[i].param.n_member; m++)
            hit = hit || !strcmp(k[i].param.said[m], word);
        hits += hit;
    }
    return hits;
}

/* Says which choice is wanted: by its words, or only by its parameter or the member of an enum
 * where no other choice has that. The value is said unless it is to be missing. */
static const char *say_choice(struct draw *d, const struct choice *k, int at, int n,
                              bool with_value, struct json *args)
{
    const struct tool_param *p = &k[at].param;
    struct value v = { "", NULL };
    bool given = k[at].has_param && with_value;
    if (given) {
        v = param_value(d, p);
        json_set(args, p->name, v.json);
        bool alone = p->kind == V_ENUM && chance(d, 40) && choices_with(k, n, v.said) == 1;
        bool by_param = !alone && chance(d, 15) && choices_with(k, n, p->words) == 1;
        if (alone || by_param)
            return text(d, "%s%s%s%s%s", pick(d, "|||please |I want |now |give me "),
                        by_param ? p->words : "", by_param ? " " : "", v.said,
                        chance(d, 15) ? " please" : "");
    }
    const char *const *word = k[at].word;
    bool one_word = k[at].sense || chance(d, 40);
    const char *w = one_word ? word[below(d, 2)] : text(d, "%s %s", word[0], word[1]);
    bool act = k[at].sense && k[at].sense->part == 'v';
    const char *ask =
        act ? pick(d, "{w}|please {w}|can you {w}?|I'd like to {w}|{w} it for me|we have to {w}|"
                      "could you {w} this|I want you to {w}|let's {w}|help me to {w}|{w} now|"
                      "is it possible to {w}|it's time to {w}|they asked me to {w}")
        : pick(d, "{w}|{w}|please {w}|I want {w}|do {w} for me|now {w}|the {w} one|can you {w}?|"
                "a {w}, thanks|I need the {w}|let's {w}|show me {w}|tell me about the {w} of mine|"
                "my sister asked me for a {w} yesterday|is there any {w} left for us|"
                "what about {w}|I was wondering if you could do something about the {w}|"
                "so, the {w}, as always|we are late, so a quick {w} would be great|"
                "how is the {w} doing these days?|"
                "could you look after the {w} when you have a minute|one more {w} and we are done");
    const char *s = phrase_template(d, ask, (const char *const[]){ "w", w, NULL });
    return given ? text(d, "%s%s%s", s, chance(d, 50) ? " " : ", ", v.said) : s;
}

static void put_calls(struct conv *c, struct call *call, int n, bool last)
{
    if (last) conv_answer_calls(c, call, n);
    else conv_called(c, call, n);
}

static void put_text(struct conv *c, const char *s, bool last)
{
    if (last) conv_answer_text(c, s);
    else conv_assistant(c, s);
}

/* One decision: a call, two calls, a question for what is missing, or no tool at all. */
static void select_turn(struct draw *d, struct conv *c, const struct choice *k, int n, bool last)
{
    int at = below(d, n);
    const struct choice *one = &k[at];
    struct call call[2] = { { one->name, json_new_object() }, { NULL, NULL } };
    int r = below(d, 100);
    if (r < 14) {
        conv_user(c, say_choice(d, k, at, n, false, NULL));
        if (!one->has_param) { put_calls(c, call, 1, last); return; }
        put_text(c, text(d, "What is the %s?", one->param.words), last);
    } else if (r < 26) {
        const struct choice stranger = { .word = { word_any(d), word_any(d) } };
        conv_user(c, say_choice(d, &stranger, 0, 1, false, NULL));
        put_text(c, "I don't have a tool for that.", last);
    } else if (r < 40) {
        int other = (at + 1 + below(d, n - 1)) % n;
        call[1] = (struct call){ k[other].name, json_new_object() };
        const char *a = say_choice(d, k, at, n, true, call[0].args);
        conv_user(c, text(d, "%s%s%s", a, pick(d, " and |, then |; "),
                          say_choice(d, k, other, n, true, call[1].args)));
        put_calls(c, call, 2, last);
        return;
    } else {
        conv_user(c, say_choice(d, k, at, n, true, call[0].args));
        put_calls(c, call, 1, last);
        return;
    }
    json_free(call[0].args);
}

static void drill_select(struct draw *d, struct conv *c)
{
    struct choice k[DRILL_MOST];
    int n = range(d, 2, 6), turns = d->set == DATA_TRAIN ? range(d, 2, 5) : 1;
    enum style s = style_draw(d);
    bool by_meaning = has_senses(d) && chance(d, 50);
    for (int i = 0; i < n; i++) draw_choice(d, c, s, k, i, by_meaning);
    for (int t = 0; t < turns; t++) select_turn(d, c, k, n, t + 1 == turns);
    conv_shuffle_tools(d, c);
}

void copy_conversation(struct draw *d, struct conv *c)
{
    conv_start(c, KIND_COPY);
    int r = below(d, 100);
    bool first = d->stage == 1;                                       /* copying comes first */
    if (r < (first ? 30 : 70)) drill_select(d, c);
    else if (r < (first ? 60 : 75)) drill_echo(d, c);
    else if (r < 85) drill_form(d, c);
    else if (r < 95) drill_lookup(d, c);
    else drill_items(d, c);
}
