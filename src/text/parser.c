/* parser.c -- what a model of the LFM2 family writes becomes text, reasoning and tool calls.
 *
 * One incremental machine for both ways of writing calls, Pythonic `[f(a="x")]` and JSON
 * `[{"name":"f","arguments":{"a":"x"}}]`: the first byte that is not blank decides, call by call.
 * Values are literal.c's business. Events depend on the bytes only, never on how they were cut;
 * nothing is taken back once reported. Bytes that are not UTF-8 become U+FFFD on entry, so all that
 * comes out is whole UTF-8. Every byte costs constant time.
 *
 * Whatever goes wrong inside a call ends that call without PARSE_CALL_END, is named by
 * parser_finish(), and the calls after it are read as usual. A turn may hold several blocks; text
 * after a block follows the text before it on a new line. A body that is echoed after its block and
 * closed by an end marker of its own is dropped.
 *
 * Markers are special tokens, text that merely looks like one is text. A parser of output of which
 * only the text is known (struct wire) is `lenient` as well: a whole answer that reads as
 * calls of declared tools is taken for calls even without markers. */
#include "text/int.h"

#define NAME_MOST 256
#define WORD_MOST (1 << 20)                    /* of an argument: any key a schema lets through */
#define LEAD_MOST 1024                             /* held back while an answer may be bare calls */
#define KEYS_WATCHED 64                                /* per call, for "given twice" */

enum turn {
    T_LEAD,                                        /* blank so far, or the beginning of something */
    T_THINK, T_TEXT,
    T_WHOLE,                                         /* may be calls without markers: all is held */
    T_BLOCK,
    T_AFTER,                                             /* a block has ended; blanks are dropped */
    T_ECHO,                                       /* text after a block that may be dropped: held */
};
enum place { B_ITEM, B_NAME, B_NAME_END, B_ARG, B_WORD, B_WORD_END, B_VALUE, B_ARG_END, B_STAR,
             B_MERGE, B_SKIP, J_KEY, J_NAME_OF, J_VALUE, J_TAKE, J_ARGS, J_NEXT };
enum member { M_NAME, M_ARGS, M_FUNCTION, M_OTHER };

struct parser {
    const struct json *tools;
    parse_sink *sink; void *ctx;
    bool lenient, watch;
    int n_watched;                                                   /* bytes of CALLS_BEGIN seen */
    char tail[4]; int n_tail;                                         /* an incomplete character */

    enum turn turn;
    struct str held;                                                /* text not yet decided about */
    struct str text;                                                 /* decided, not yet reported */
    bool thought, any_text, new_line;              /* new_line: the next text comes after a block */

    enum place place;
    bool in_list, block_open, json_call;
    int json_depth;                                       /* 2 inside {"function":{…}} */
    enum member member;
    bool has_name, has_args, begun;
    int n_key, n_positional;
    uint64_t key_seen[KEYS_WATCHED];
    struct str name, word;
    struct literal args, take;                            /* arguments of the call; anything else */
    size_t sent;                                          /* bytes of args.out that were reported */
    int index;

    int skip_depth; char skip_quote; bool skip_escape;   /* B_SKIP: finding the end of a bad call */
    struct err err;                                                   /* the first problem */
};

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c & 0x80) || (c && strchr("_.-", c));
}

/* ---- reporting ------------------------------------------------------------------------------- */

static void report(struct parser *p, enum parse_kind kind, const char *bytes, size_t len)
{
    struct parse_event ev = { .kind = kind, .index = p->index, .bytes = bytes, .len = len };
    p->sink(p->ctx, &ev);
}

static void flush_text(struct parser *p)
{
    if (p->text.len)
        report(p, p->turn == T_THINK ? PARSE_REASONING : PARSE_TEXT, p->text.p, p->text.len);
    str_clear(&p->text);
}

static void put_text(struct parser *p, const char *s, size_t len)
{
    if (!len) return;
    if (p->new_line && p->any_text) str_putc(&p->text, '\n');
    p->new_line = false;
    p->any_text = true;
    str_put(&p->text, s, len);
}

static void put_held(struct parser *p)
{
    put_text(p, p->held.p, p->held.len);
    str_clear(&p->held);
}

/* Reports the arguments that are final. The buffer starts over when nothing in it is undecided. */
static void flush_args(struct parser *p)
{
    struct literal *a = &p->args;
    size_t end = MIN(a->hold, a->out.len);
    if (!p->begun) return;
    if (end > p->sent) report(p, PARSE_CALL_ARGS, a->out.p + p->sent, end - p->sent);
    p->sent = MAX(p->sent, end);
    if (a->hold != SIZE_MAX) return;
    str_clear(&a->out);
    p->sent = 0;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void start_call(struct parser *p, bool json)
{
    p->json_call = json;
    p->json_depth = 1;
    p->has_name = p->has_args = p->begun = false;
    p->n_key = p->n_positional = 0;
    p->sent = 0;
    str_clear(&p->name);
    str_clear(&p->args.out);
    str_clear(&p->take.out);
    literal_start(&p->args);
}

static void begin_call(struct parser *p)
{
    p->begun = true;
    report(p, PARSE_CALL_BEGIN, p->name.p ? p->name.p : "", p->name.len);
}

static void problem(struct parser *p, const char *why)
{
    if (p->err.code) return;
    if (p->has_name)
        err_set(&p->err, ERR_FORMAT, "call %d (%.80s): %s", p->index + 1, p->name.p, why);
    else err_set(&p->err, ERR_FORMAT, "call %d: %s", p->index + 1, why);
}

/* Gives the call up: what is final of it stays reported, it gets no end. The rest is skipped up to
 * the bracket that closes it, `open` levels from here, beginning with byte c. */
static void skip_byte(struct parser *p, char c);
static void bad_call(struct parser *p, const char *why, int open, char c)
{
    problem(p, why);
    if (p->begun) {
        flush_args(p);
        p->index++;
    }
    p->begun = false;
    p->place = B_SKIP;
    p->skip_depth = open;
    p->skip_quote = 0;
    p->skip_escape = false;
    skip_byte(p, c);
}

static void end_call(struct parser *p)
{
    if (!p->has_name) {
        problem(p, "a call without a name");
    } else {
        if (!p->begun) begin_call(p);
        flush_args(p);
        report(p, PARSE_CALL_END, NULL, 0);
        p->index++;
    }
    p->begun = false;
    p->place = B_ITEM;
}

static void skip_byte(struct parser *p, char c)
{
    if (p->skip_quote) {
        if (p->skip_escape) p->skip_escape = false;
        else if (c == '\\') p->skip_escape = true;
        else if (c == p->skip_quote) p->skip_quote = 0;
        return;
    }
    if (c == '"' || c == '\'') p->skip_quote = c;
    if (c && strchr("([{", c)) p->skip_depth++;
    if (!p->skip_depth && (c == ',' || c == ']')) {   /* between calls: the list goes on, or ends */
        p->place = B_ITEM;
        if (c == ']') p->in_list = false, p->turn = T_AFTER;
        return;
    }
    if (c && strchr(")]}", c) && p->skip_depth && !--p->skip_depth) p->place = B_ITEM;
}

/* ---- Pythonic calls -------------------------------------------------------------------------- */

/* The declared properties of the tool being called, NULL if it is not known. */
static const struct json *properties(const struct parser *p)
{
    for (size_t i = 0; i < json_len(p->tools); i++) {
        const struct json *f = tool_function(json_at(p->tools, i));
        size_t len = 0;
        const char *name = json_str(json_get(f, "name"), &len);
        if (name && len == p->name.len && !memcmp(name, p->name.p, len))
            return json_get(json_get(f, "parameters"), "properties");
    }
    return NULL;
}

/* Writes `"key":` in front of the value that comes next. */
static void put_key(struct parser *p, const char *key, size_t len)
{
    struct str *out = &p->args.out;
    uint64_t h = hash64(key, len, 0);
    for (int i = 0; i < MIN(p->n_key, KEYS_WATCHED); i++)
        if (p->key_seen[i] == h) problem(p, "an argument is given twice; the last one counts");
    if (p->n_key < KEYS_WATCHED) p->key_seen[p->n_key] = h;
    str_putc(out, p->n_key++ ? ',' : '{');
    json_write_str(out, key, len);
    str_putc(out, ':');
    literal_start(&p->args);
}

static const struct json *property_at(const struct json *props, int i)
{
    for (struct json_iter it = json_iter(props); json_is(props, JSON_OBJECT) && json_next(&it);)
        if (it.index == (size_t)i) return it.value;
    return NULL;
}

static const char *property_key(const struct json *props, int i)
{
    for (struct json_iter it = json_iter(props); json_is(props, JSON_OBJECT) && json_next(&it);)
        if (it.index == (size_t)i) return it.key;
    return NULL;
}

static void block_byte(struct parser *p, char c);
static void value_byte(struct parser *p, char c);

/* A value without a name takes the name of the declared property at its place. */
static bool start_positional(struct parser *p, char c)
{
    const struct json *props = properties(p);
    const char *key = property_key(props, p->n_positional);
    if (!key || p->n_key != p->n_positional) {
        bad_call(p, "an argument without a name", 1, c);
        return false;
    }
    const struct json *schema = property_at(props, p->n_positional++);
    put_key(p, key, strlen(key));
    p->args.bare = json_str_is(json_get(schema, "type"), "string");
    p->place = B_VALUE;
    return true;
}

static void start_value(struct parser *p)
{
    const struct json *props = properties(p), *schema;
    put_key(p, p->word.p, p->word.len);
    schema = json_is(props, JSON_OBJECT) ? json_get(props, p->word.p) : NULL;
    p->args.bare = json_str_is(json_get(schema, "type"), "string");
    p->place = B_VALUE;
}

/* The word before c was no name of an argument but a value. */
static void word_was_value(struct parser *p, char c)
{
    if (!start_positional(p, c)) return;
    for (size_t i = 0; i < p->word.len; i++) block_byte(p, p->word.p[i]);
    block_byte(p, c);
}

static void arg_end_byte(struct parser *p, char c)
{
    if (is_blank(c)) return;
    if (c == ',') p->place = B_ARG;
    else if (c == ')') {
        str_puts(&p->args.out, p->n_key ? "}" : "{}");
        end_call(p);
    } else bad_call(p, "an argument is not followed by ',' or ')'", 1, c);
}

static void value_byte(struct parser *p, char c)
{
    switch (literal_byte(&p->args, c)) {
    case LIT_MORE: break;
    case LIT_DONE:
        p->place = B_ARG_END;
        arg_end_byte(p, c);
        break;
    case LIT_BAD: bad_call(p, p->args.why, p->args.depth + 1, c); break;
    }
}

static void word_byte(struct parser *p, char c)
{
    if (is_name_byte(c)) {
        if (p->word.len >= WORD_MOST) bad_call(p, "the name of an argument is too long", 1, c);
        else str_putc(&p->word, c);
    } else if (is_blank(c)) {
        p->place = B_WORD_END;
    } else if (c == '=') {
        start_value(p);
    } else {
        word_was_value(p, c);
    }
}

static void arg_byte(struct parser *p, char c)
{
    if (is_blank(c)) return;
    if (c == ')') {
        arg_end_byte(p, c);
    } else if (c == '*') {
        p->place = B_STAR;
    } else if (is_name_byte(c) && !(c >= '0' && c <= '9') && c != '-' && c != '.') {
        str_clear(&p->word);
        str_putc(&p->word, c);
        p->place = B_WORD;
    } else if (start_positional(p, c)) {
        value_byte(p, c);
    }
}

/* **{"a": 1}: the members join the arguments. */
static void merge_byte(struct parser *p, char c)
{
    enum lit_step s = literal_byte(&p->take, c);
    struct str *t = &p->take.out;
    if (s == LIT_MORE) return;
    if (s == LIT_BAD || t->p[0] != '{') {
        bad_call(p, s == LIT_BAD ? p->take.why : "** needs a dictionary", p->take.depth + 1, c);
        return;
    }
    if (t->len > 2) {
        str_putc(&p->args.out, p->n_key++ ? ',' : '{');
        str_put(&p->args.out, t->p + 1, t->len - 2);
    }
    p->place = B_ARG_END;
    arg_end_byte(p, c);
}

static void name_byte(struct parser *p, char c)
{
    if (p->place == B_NAME && is_name_byte(c) && p->name.len < NAME_MOST) {
        str_putc(&p->name, c);
    } else if (is_blank(c)) {
        p->place = B_NAME_END;
    } else if (c == '(') {
        p->has_name = true;
        p->place = B_ARG;
        begin_call(p);
    } else {
        bad_call(p, "a name is not followed by '('", 0, c);
    }
}

/* ---- JSON calls ------------------------------------------------------------------------------ */

/* The text of the JSON string in take.out, decoded. */
static bool take_string(struct parser *p, struct str *out)
{
    struct err ignored = { 0 };
    size_t len = 0;
    struct json *v = json_parse(p->take.out.p, p->take.out.len, &ignored);
    const char *s = json_str(v, &len);
    str_clear(out);
    if (s) str_put(out, s, len);
    json_free(v);
    return s != NULL;
}

static void start_take(struct parser *p, enum place place, bool is_key)
{
    str_clear(&p->take.out);
    literal_start(&p->take);
    p->take.is_key = is_key;
    p->place = place;
}

static void next_byte(struct parser *p, char c)
{
    if (is_blank(c)) return;
    if (c == ',') {
        p->place = J_KEY;
    } else if (c == '}') {
        p->place = J_NEXT;
        if (--p->json_depth) return;
        if (!p->has_args) str_puts(&p->args.out, "{}");
        end_call(p);
    } else {
        bad_call(p, "a member of the call is not followed by ',' or '}'", p->json_depth, c);
    }
}

static void key_byte(struct parser *p, char c)
{
    if (is_blank(c)) return;
    if (c == '}') {
        next_byte(p, c);
    } else if (c == '"' || c == '\'') {
        start_take(p, J_NAME_OF, true);
        literal_byte(&p->take, c);
    } else {
        bad_call(p, "a member of the call has no name", p->json_depth, c);
    }
}

static void key_done(struct parser *p, char c)
{
    static const struct { const char *key; enum member m; } members[] = { { "\"name\"", M_NAME },
        { "\"arguments\"", M_ARGS }, { "\"parameters\"", M_ARGS }, { "\"function\"", M_FUNCTION } };
    if (c != ':') {
        bad_call(p, "a key is not followed by ':'", p->json_depth, c);
        return;
    }
    p->member = M_OTHER;
    for (size_t i = 0; i < LEN(members); i++)
        if (!strcmp(p->take.out.p, members[i].key)) p->member = members[i].m;
    if ((p->member == M_NAME && p->has_name) || (p->member == M_ARGS && p->has_args))
        p->member = M_OTHER;
    p->place = J_VALUE;
}

static void json_value_byte(struct parser *p, char c)
{
    if (is_blank(c)) return;
    if (p->member == M_FUNCTION && c == '{' && p->json_depth == 1) {
        p->json_depth++;
        p->place = J_KEY;
    } else if (p->member == M_ARGS && c == '{') {
        p->has_args = true;
        p->args.object_only = true;
        p->place = J_ARGS;
        literal_byte(&p->args, c);
    } else {
        start_take(p, J_TAKE, false);
        if (literal_byte(&p->take, c) == LIT_BAD) bad_call(p, p->take.why, p->json_depth, c);
    }
}

/* Arguments that came as the text of a JSON object inside a string; blank text and null are {}. */
static bool read_inner(struct parser *p)
{
    struct str inner = { 0 };
    size_t i = 0;
    bool ok = take_string(p, &inner) || !strcmp(p->take.out.p, "null");
    while (i < inner.len && is_blank(inner.p[i])) i++;
    if (ok && i == inner.len) {
        str_puts(&p->args.out, "{}");
    } else if (ok) {
        p->args.object_only = true;
        ok = inner.p[i] == '{';
        for (; ok && i < inner.len; i++) ok = literal_byte(&p->args, inner.p[i]) == LIT_MORE;
        ok = ok && literal_end(&p->args);
    }
    str_done(&inner);
    return ok;
}

static void take_done(struct parser *p, char c)
{
    const char *why = NULL;
    if (p->member == M_NAME) {
        p->has_name = take_string(p, &p->name) && p->name.len && p->name.len <= NAME_MOST;
        if (p->has_name) begin_call(p);
        else why = "the name of the call is no string of a tool's length";
    } else if (p->member == M_ARGS) {
        p->has_args = true;
        if (!read_inner(p)) why = "the arguments are no object";
    }
    if (why) {
        bad_call(p, why, p->json_depth, c);
        return;
    }
    p->place = J_NEXT;
    next_byte(p, c);
}

static void take_byte(struct parser *p, char c)
{
    switch (literal_byte(&p->take, c)) {
    case LIT_MORE: break;
    case LIT_BAD: bad_call(p, p->take.why, p->json_depth + p->take.depth, c); break;
    case LIT_DONE:
        if (p->place == J_NAME_OF) key_done(p, c);
        else take_done(p, c);
        break;
    }
}

static void args_byte(struct parser *p, char c)
{
    switch (literal_byte(&p->args, c)) {
    case LIT_MORE: break;
    case LIT_BAD: bad_call(p, p->args.why, p->json_depth + p->args.depth, c); break;
    case LIT_DONE:
        p->place = J_NEXT;
        next_byte(p, c);
        break;
    }
}

/* ---- a block --------------------------------------------------------------------------------- */

static void item_byte(struct parser *p, char c)
{
    if (is_blank(c) || c == ',' || c == ';') return;
    if (c == '[' && !p->in_list) {
        p->in_list = true;
    } else if (c == ']' && p->in_list) {
        p->in_list = false;
        p->turn = T_AFTER;
    } else if (c == '{') {
        start_call(p, true);
        p->place = J_KEY;
    } else if (is_name_byte(c)) {
        start_call(p, false);
        p->place = B_NAME;
        str_putc(&p->name, c);
    } else {
        start_call(p, false);
        bad_call(p, "neither a call nor the end of the list", 0, c);
    }
}

static void block_byte(struct parser *p, char c)
{
    switch (p->place) {
    case B_ITEM: item_byte(p, c); break;
    case B_NAME: case B_NAME_END: name_byte(p, c); break;
    case B_ARG: arg_byte(p, c); break;
    case B_WORD: word_byte(p, c); break;
    case B_WORD_END:
        if (c == '=') start_value(p);
        else if (!is_blank(c)) word_was_value(p, c);
        break;
    case B_VALUE: value_byte(p, c); break;
    case B_ARG_END: arg_end_byte(p, c); break;
    case B_STAR:
        if (c == '*') start_take(p, B_MERGE, false);
        else bad_call(p, "'*' is not followed by '*'", 1, c);
        break;
    case B_MERGE: merge_byte(p, c); break;
    case B_SKIP: skip_byte(p, c); break;
    case J_KEY: key_byte(p, c); break;
    case J_NAME_OF: case J_TAKE: take_byte(p, c); break;
    case J_VALUE: json_value_byte(p, c); break;
    case J_ARGS: args_byte(p, c); break;
    case J_NEXT: next_byte(p, c); break;
    }
}

static void start_block(struct parser *p)
{
    p->turn = T_BLOCK;
    p->place = B_ITEM;
    p->in_list = false;
    p->block_open = true;
}

/* The block's end marker came, or the output ended: a call still open was cut. */
static void finish_block(struct parser *p)
{
    if (p->place != B_ITEM && p->place != B_SKIP) {
        if (p->place == B_VALUE) literal_end(&p->args);
        problem(p, "the call was cut");
        if (p->begun) {
            flush_args(p);
            p->index++;
        }
        p->begun = false;
    }
    p->turn = T_AFTER;
    p->block_open = false;
    p->new_line = true;
}

/* ---- answers without markers ----------------------------------------------------------------- */

struct trial { const struct json *tools; int n; bool unknown; };

static bool is_declared(const struct json *tools, const char *name, size_t len, bool prefix)
{
    for (size_t i = 0; i < json_len(tools); i++) {
        size_t n = 0;
        const char *s = json_str(json_get(tool_function(json_at(tools, i)), "name"), &n);
        if (s && (prefix ? n >= len : n == len) && !memcmp(s, name, len)) return true;
    }
    return false;
}

static void trial_event(void *ctx, const struct parse_event *ev)
{
    struct trial *t = ctx;
    if (ev->kind == PARSE_CALL_BEGIN && !is_declared(t->tools, ev->bytes, ev->len, false))
        t->unknown = true;
    if (ev->kind == PARSE_CALL_END) t->n++;
    if (ev->kind == PARSE_TEXT || ev->kind == PARSE_REASONING) t->unknown = true;
}

/* Does all of the held text read as calls of declared tools? */
static bool reads_as_calls(const struct parser *p)
{
    struct trial t = { .tools = p->tools };
    struct err e = { 0 };
    struct parser *q = parser_new(p->tools, trial_event, &t);
    start_block(q);
    parser_input(q, p->held.p, p->held.len, false);
    bool complete = q->turn == T_AFTER || (q->turn == T_BLOCK && q->place == B_ITEM && !q->in_list);
    return parser_finish(q, &e) && complete && t.n > 0 && !t.unknown;
}

static void settle_whole(struct parser *p)
{
    if (!reads_as_calls(p)) {
        p->turn = T_TEXT;
        put_held(p);
        return;
    }
    start_block(p);
    for (size_t i = 0; i < p->held.len && p->turn == T_BLOCK; i++) block_byte(p, p->held.p[i]);
    str_clear(&p->held);
    finish_block(p);
}

/* {"name" … : the only beginning of a JSON call that is waited for. */
static int begins_json_call(const char *s, size_t len)
{
    static const char key[] = "\"name\"";
    size_t i = 0;
    while (i < len && is_blank(s[i])) i++;
    size_t n = MIN(len - i, sizeof key - 1);
    return memcmp(s + i, key, n) ? 0 : n == sizeof key - 1 ? 2 : 1;
}

/* May the answer that begins so be calls without markers? 1 yes, so far; 2 surely enough to hold
 * everything; 0 no. */
static int may_be_calls(const struct parser *p, const char *s, size_t len)
{
    size_t i = 0, from;
    if (!p->lenient || !json_len(p->tools) || len > LEAD_MOST) return 0;
    if (s[i] == '[') i++;
    while (i < len && is_blank(s[i])) i++;
    if (i == len) return 1;
    if (s[i] == '{') return begins_json_call(s + i + 1, len - i - 1);
    for (from = i; i < len && is_name_byte(s[i]);) i++;
    if (i == from) return 0;
    if (i == len) return is_declared(p->tools, s + from, i - from, true);
    if (!is_declared(p->tools, s + from, i - from, false)) return 0;
    while (i < len && is_blank(s[i])) i++;
    return i == len ? 1 : s[i] == '(' ? 2 : 0;
}

/* ---- a turn ---------------------------------------------------------------------------------- */

static void lead_byte(struct parser *p, char c)
{
    static const char think[] = "<think>";
    size_t blank = 0;
    str_putc(&p->held, c);
    while (blank < p->held.len && is_blank(p->held.p[blank])) blank++;
    size_t len = p->held.len - blank;
    const char *s = p->held.p + blank;
    if (!len) {
        if (blank < LEAD_MOST) return;
    } else if (!p->thought && !p->watch && len <= 7 && !memcmp(s, think, len)) {
        if (len < 7) return;
        str_clear(&p->held);
        flush_text(p);
        p->turn = T_THINK;
        return;
    } else {
        int may = may_be_calls(p, s, len);
        if (may == 2) p->turn = T_WHOLE;
        if (may) return;
    }
    p->turn = T_TEXT;
    if (p->thought) put_text(p, s, len);       /* blanks after the reasoning belong to its marker */
    else put_text(p, p->held.p, p->held.len);
    str_clear(&p->held);
}

static void think_byte(struct parser *p, char c)
{
    static const char end[] = "</think>";
    if (c != end[p->held.len]) {
        str_put(&p->text, p->held.p, p->held.len);
        str_clear(&p->held);
    }
    if (c != end[p->held.len]) {
        str_putc(&p->text, c);
        return;
    }
    str_putc(&p->held, c);
    if (p->held.len < sizeof end - 1) return;
    flush_text(p);
    str_clear(&p->held);
    p->thought = true;
    p->turn = T_LEAD;
}

static void after_byte(struct parser *p, char c)
{
    if (is_blank(c)) return;
    if (p->block_open && c == '[') {                        /* another list before the end marker */
        start_block(p);
        block_byte(p, c);
        return;
    }
    p->new_line = true;
    p->turn = c == '[' || c == '<' || c == '{' ? T_ECHO : T_TEXT;
    if (p->turn == T_ECHO) str_putc(&p->held, c);
    else put_text(p, &c, 1);
}

static void place_byte(struct parser *p, char c)
{
    switch (p->turn) {
    case T_LEAD: lead_byte(p, c); break;
    case T_THINK: think_byte(p, c); break;
    case T_TEXT: put_text(p, &c, 1); break;
    case T_WHOLE: case T_ECHO: str_putc(&p->held, c); break;
    case T_BLOCK: block_byte(p, c); break;
    case T_AFTER: after_byte(p, c); break;
    }
}

static void on_start(struct parser *p);

/* Without markers the beginning of a call is itself the marker. */
static void turn_byte(struct parser *p, char c)
{
    static const char begin[] = CALLS_BEGIN;
    int n = p->n_watched;
    if (!p->watch || p->turn == T_BLOCK || p->turn == T_WHOLE) {
        place_byte(p, c);
        return;
    }
    if (c == begin[n] || c == begin[0]) p->n_watched = c == begin[n] ? n + 1 : 1;
    else p->n_watched = 0;
    if (p->n_watched == n + 1 && begin[n + 1]) return;
    if (p->n_watched == n + 1) {
        p->n_watched = 0;
        on_start(p);
        for (int i = 0; begin[i]; i++) block_byte(p, begin[i]);
        return;
    }
    for (int i = 0; i < n; i++) place_byte(p, begin[i]);
    if (!p->n_watched) place_byte(p, c);
}

/* Text that was held back is text after all. */
static void release(struct parser *p)
{
    int watched = p->n_watched;
    p->n_watched = 0;
    for (int i = 0; i < watched; i++) place_byte(p, CALLS_BEGIN[i]);
    if (p->turn == T_LEAD) {
        size_t blank = 0;
        while (blank < p->held.len && is_blank(p->held.p[blank])) blank++;
        if (blank < p->held.len) put_held(p);
    } else if (p->turn == T_THINK) {
        str_put(&p->text, p->held.p, p->held.len);
    } else if (p->turn == T_ECHO) {
        put_held(p);
    } else if (p->turn == T_WHOLE) {
        settle_whole(p);
    }
    str_clear(&p->held);
    flush_text(p);
}

static void on_start(struct parser *p)
{
    if (p->turn == T_BLOCK) finish_block(p);
    release(p);
    start_block(p);
}

static void on_end(struct parser *p)
{
    switch (p->turn) {
    case T_BLOCK: finish_block(p); break;
    case T_WHOLE: settle_whole(p); break;
    case T_ECHO:                                                      /* an echo: drop it */
        str_clear(&p->held);
        p->turn = T_AFTER;
        break;
    default: break;
    }
    p->block_open = false;
}

/* ---- bytes in -------------------------------------------------------------------------------- */

static void put_char(struct parser *p, const char *s, int n)
{
    for (int i = 0; i < n; i++) turn_byte(p, s[i]);
}

/* Complete characters and bytes that can be part of none. */
static void put_chars(struct parser *p, const char *s, size_t len)
{
    for (const char *end = s + len; s < end;) {
        int n = 1;
        bool good = !(*s & 0x80) || utf8_next(s, end, &n) >= 0;
        put_char(p, good ? s : "\xef\xbf\xbd", good ? n : 3);
        s += n;
    }
}

/* Feeds whole characters; keeps an incomplete one for later. */
static void feed_text(struct parser *p, const char *s, size_t len)
{
    const char *end = s + len;
    while (p->n_tail && s < end) {                                    /* complete what was cut */
        p->tail[p->n_tail++] = *s++;
        size_t whole = utf8_whole(p->tail, (size_t)p->n_tail);
        put_chars(p, p->tail, whole);
        p->n_tail -= (int)whole;
        memmove(p->tail, p->tail + whole, (size_t)p->n_tail);
    }
    size_t whole = utf8_whole(s, (size_t)(end - s));
    put_chars(p, s, whole);
    for (s += whole; s < end;) p->tail[p->n_tail++] = *s++;
}

static void drop_tail(struct parser *p)
{
    for (int i = 0; i < p->n_tail; i++) put_char(p, "\xef\xbf\xbd", 3);
    p->n_tail = 0;
}

static void flush(struct parser *p)
{
    flush_text(p);
    if (p->turn == T_BLOCK) flush_args(p);
}

void parser_input(struct parser *p, const char *bytes, size_t len, bool special)
{
    struct bytes b = { bytes, len };
    if (!special || bytes_eq(b, "<think>") || bytes_eq(b, "</think>")) {
        feed_text(p, bytes, len);
        flush(p);
        return;
    }
    drop_tail(p);
    if (bytes_eq(b, "<|tool_call_start|>")) on_start(p);
    else if (bytes_eq(b, "<|tool_call_end|>")) on_end(p);
    flush(p);
}

struct parser *parser_new(const struct json *tools, parse_sink *sink, void *ctx)
{
    struct parser *p = mem_zero(sizeof *p);
    p->tools = tools;
    p->sink = sink;
    p->ctx = ctx;
    literal_start(&p->args);
    literal_start(&p->take);
    return p;
}

struct parser *parser_new_watching(const struct json *tools, parse_sink *sink, void *ctx)
{
    struct parser *p = parser_new(tools, sink, ctx);
    p->watch = true;
    return p;
}

void parser_lenient(struct parser *p) { p->lenient = true; }

bool parser_finish(struct parser *p, struct err *e)
{
    if (!p) return true;
    drop_tail(p);
    if (p->turn == T_BLOCK) finish_block(p);
    release(p);
    bool ok = !p->err.code;
    if (!ok) *e = p->err;
    literal_done(&p->args);
    literal_done(&p->take);
    str_done(&p->held);
    str_done(&p->text);
    str_done(&p->name);
    str_done(&p->word);
    mem_free(p);
    return ok;
}
