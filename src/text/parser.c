/* parser.c -- reads blocks of calls: LFM2's between markers, Llama 3.1's and JSON's without.
 *
 * One incremental machine for both ways of writing calls, Pythonic `[f(a="x")]` and JSON
 * `[{"name":"f","arguments":{"a":"x"}}]`: the first byte that is not blank decides, call by call.
 * Values are literal.c's business, characters and events reader.c's. Every byte costs constant time.
 *
 * Whatever goes wrong inside a call ends that call without PARSE_CALL_END, is named by
 * parser_close(), and the calls after it are read as usual. A turn may hold several blocks; text
 * after a block follows the text before it on a new line. A body that is echoed after its block and
 * closed by an end marker of its own is dropped.
 *
 * LFM2's markers are special tokens, text that merely looks like one is text. Without markers a block
 * begins where a text says [{"name":" (JSON), or where an answer begins with {"name": " and a tool's
 * name (Llama). A parser of output of which only the text is known (struct wire) is `lenient` as well:
 * a whole answer that reads as calls of declared tools is taken for calls. */
#include "text/read.h"

#define CALL_NAME_MOST 256
#define WORD_MOST (1 << 20)                    /* of an argument: any key a schema lets through */
#define LEAD_MOST 1024                             /* held back while an answer may be bare calls */
#define KEYS_WATCHED 64                                /* per call, for "given twice" */

enum stage {
    T_LEAD,                                        /* blank so far, or the beginning of something */
    T_THINK, T_TEXT,
    T_WHOLE,                                         /* may be calls without markers: all is held */
    T_BLOCK,
    T_CODE,                                               /* source, to the end of the turn */
    T_AFTER,                                             /* a block has ended; blanks are dropped */
    T_ECHO,                                       /* text after a block that may be dropped: held */
};
enum place { B_ITEM, B_NAME, B_NAME_END, B_ARG, B_WORD, B_WORD_END, B_VALUE, B_ARG_END, B_STAR,
             B_MERGE, B_SKIP, J_KEY, J_NAME_OF, J_VALUE, J_TAKE, J_ARGS, J_NEXT };
enum member { M_NAME, M_ARGS, M_FUNCTION, M_CALLS, M_OTHER };

struct blocks {
    struct parser r;
    bool watch, llama;                                 /* how calls begin where no marker says so */
    int n_watched;                                                   /* bytes of CALLS_BEGIN seen */

    enum stage turn;
    struct str wait;                                                /* text not yet decided about */
    bool thought, tagged;                 /* tagged: behind <|python_tag|> */
    bool bare, wrapped;            /* bare: a block without markers; wrapped: in {"tool_calls": […]} */

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

    int skip_depth; char skip_quote; bool skip_escape;   /* B_SKIP: finding the end of a bad call */
};

static struct blocks *of(struct parser *r) { return (struct blocks *)r; }

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c & 0x80) || (c && strchr("_.-", c));
}

/* ---- reporting ------------------------------------------------------------------------------- */

static void put_text(struct blocks *p, const char *s, size_t len)
{
    if (!len) return;
    if (p->r.new_line && p->r.any_text) str_putc(&p->r.text, '\n');
    p->r.new_line = false;
    p->r.any_text = true;
    str_put(&p->r.text, s, len);
}

static void put_held(struct blocks *p)
{
    put_text(p, p->wait.p, p->wait.len);
    str_clear(&p->wait);
}

/* Says the arguments that are final. The buffer starts over when nothing in it is undecided. */
static void flush_args(struct blocks *p)
{
    struct literal *a = &p->args;
    size_t end = MIN(a->hold, a->out.len);
    if (!p->begun) return;
    if (end > p->sent) say_args(&p->r, a->out.p + p->sent, end - p->sent);
    p->sent = MAX(p->sent, end);
    if (a->hold != SIZE_MAX) return;
    str_clear(&a->out);
    p->sent = 0;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void start_call(struct blocks *p, bool json)
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

static void open_call(struct blocks *p)
{
    p->begun = true;
    begin_call(&p->r, p->name.p ? p->name.p : "", p->name.len);
}

static void problem(struct blocks *p, const char *why)
{
    parse_problem(&p->r, p->name.p, p->has_name ? p->name.len : 0, why);
}

/* What was read of the call stays reported, it gets no end. */
static void drop_call(struct blocks *p)
{
    if (p->begun) {
        flush_args(p);
        end_call(&p->r, false);
    }
    p->begun = false;
}

/* Gives the call up: what is final of it stays reported, it gets no end. The rest is skipped up to
 * the bracket that closes it, `open` levels from here, beginning with byte c. */
static void skip_byte(struct blocks *p, char c);
static void bad_call(struct blocks *p, const char *why, int open, char c)
{
    problem(p, why);
    drop_call(p);
    p->place = B_SKIP;
    p->skip_depth = open;
    p->skip_quote = 0;
    p->skip_escape = false;
    skip_byte(p, c);
}

static void close_call(struct blocks *p)
{
    if (!p->has_name) {
        problem(p, "a call without a name");
    } else {
        if (!p->begun) open_call(p);
        flush_args(p);
        end_call(&p->r, true);
    }
    p->begun = false;
    p->place = B_ITEM;
}

static void skip_byte(struct blocks *p, char c)
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
static const struct json *properties(const struct blocks *p)
{
    for (size_t i = 0; i < json_len(p->r.turn.tools); i++) {
        const struct json *f = tool_function(json_at(p->r.turn.tools, i));
        size_t len = 0;
        const char *name = json_str(json_get(f, "name"), &len);
        if (name && len == p->name.len && !memcmp(name, p->name.p, len))
            return json_get(json_get(f, "parameters"), "properties");
    }
    return NULL;
}

/* Writes `"key":` in front of the value that comes next. */
static void put_key(struct blocks *p, const char *key, size_t len)
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

static void after_byte(struct blocks *p, char c);
static void block_byte(struct blocks *p, char c);
static void value_byte(struct blocks *p, char c);

/* A value without a name takes the name of the declared property at its place. */
static bool start_positional(struct blocks *p, char c)
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

static void start_value(struct blocks *p)
{
    const struct json *props = properties(p), *schema;
    put_key(p, p->word.p, p->word.len);
    schema = json_is(props, JSON_OBJECT) ? json_get(props, p->word.p) : NULL;
    p->args.bare = json_str_is(json_get(schema, "type"), "string");
    p->place = B_VALUE;
}

/* The word before c was no name of an argument but a value. */
static void word_was_value(struct blocks *p, char c)
{
    if (!start_positional(p, c)) return;
    for (size_t i = 0; i < p->word.len; i++) block_byte(p, p->word.p[i]);
    block_byte(p, c);
}

static void arg_end_byte(struct blocks *p, char c)
{
    if (is_blank(c)) return;
    if (c == ',') p->place = B_ARG;
    else if (c == ')') {
        str_puts(&p->args.out, p->n_key ? "}" : "{}");
        close_call(p);
    } else bad_call(p, "an argument is not followed by ',' or ')'", 1, c);
}

static void value_result(struct blocks *p, enum lit_step r, char c)
{
    if (r == LIT_BAD) bad_call(p, p->args.why, p->args.depth + 1, c);
    if (r != LIT_DONE) return;
    p->place = B_ARG_END;
    arg_end_byte(p, c);
}

static void value_byte(struct blocks *p, char c) { value_result(p, literal_byte(&p->args, c), c); }

static void word_byte(struct blocks *p, char c)
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

static void arg_byte(struct blocks *p, char c)
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
static void merge_byte(struct blocks *p, char c)
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

/* brave_search.call(query="…"): how Llama calls what is built in. */
static bool ends_in_call(const char *name, size_t len) { return len > 5 && !memcmp(name + len - 5, ".call", 5); }

static void name_byte(struct blocks *p, char c)
{
    if (p->place == B_NAME && is_name_byte(c) && p->name.len < CALL_NAME_MOST) {
        str_putc(&p->name, c);
    } else if (is_blank(c)) {
        p->place = B_NAME_END;
    } else if (c == '(') {
        if (p->tagged && ends_in_call(p->name.p, p->name.len)) p->name.len -= 5;
        p->has_name = true;
        p->place = B_ARG;
        open_call(p);
    } else {
        bad_call(p, "a name is not followed by '('", 0, c);
    }
}

/* ---- JSON calls ------------------------------------------------------------------------------ */

/* The text of the JSON string in take.out, decoded; literal.c left the shortest escapes only. */
static bool take_string(struct blocks *p, struct str *out)
{
    const struct str *t = &p->take.out;
    str_clear(out);
    if (t->len < 2 || t->p[0] != '"') return false;
    json_unescape(out, t->p + 1, t->len - 2);
    return true;
}

static void start_take(struct blocks *p, enum place place, bool is_key)
{
    str_clear(&p->take.out);
    literal_start(&p->take);
    p->take.is_key = is_key;
    p->place = place;
}

static void next_byte(struct blocks *p, char c)
{
    if (is_blank(c)) return;
    if (c == ',') {
        p->place = J_KEY;
    } else if (c == '}') {
        p->place = J_NEXT;
        if (--p->json_depth) return;
        if (!p->has_args) str_puts(&p->args.out, "{}");
        close_call(p);
    } else {
        bad_call(p, "a member of the call is not followed by ',' or '}'", p->json_depth, c);
    }
}

static void key_byte(struct blocks *p, char c)
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

static void key_done(struct blocks *p, char c)
{
    static const struct { const char *key; enum member m; } members[] = { { "\"name\"", M_NAME },
        { "\"arguments\"", M_ARGS }, { "\"parameters\"", M_ARGS }, { "\"function\"", M_FUNCTION },
        { "\"tool_calls\"", M_CALLS } };
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

static void json_value_byte(struct blocks *p, char c)
{
    if (is_blank(c)) return;
    if (p->member == M_CALLS && c == '[' && !p->in_list && !p->has_name && !p->has_args) {
        p->in_list = p->wrapped = true;                 /* {"tool_calls": […]}: no call but a list of them */
        p->place = B_ITEM;
    } else if (p->member == M_FUNCTION && c == '{' && p->json_depth == 1) {
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
static bool read_inner(struct blocks *p)
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

static void take_done(struct blocks *p, char c)
{
    const char *why = NULL;
    if (p->member == M_NAME) {
        p->has_name = take_string(p, &p->name) && p->name.len && p->name.len <= CALL_NAME_MOST;
        if (p->has_name) open_call(p);
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

static void take_byte(struct blocks *p, char c)
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

static void args_result(struct blocks *p, enum lit_step r, char c)
{
    if (r == LIT_BAD) bad_call(p, p->args.why, p->json_depth + p->args.depth, c);
    if (r != LIT_DONE) return;
    p->place = J_NEXT;
    next_byte(p, c);
}

static void args_byte(struct blocks *p, char c) { args_result(p, literal_byte(&p->args, c), c); }

/* ---- a block --------------------------------------------------------------------------------- */

static void item_byte(struct blocks *p, char c)
{
    if (is_blank(c) || c == ',' || c == ';') return;
    if (p->bare && !p->in_list && p->r.index && c != '{') {           /* no marker ends these calls */
        p->turn = T_AFTER;
        after_byte(p, c);
    } else if (c == '[' && !p->in_list) {
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

static void block_byte(struct blocks *p, char c)
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

static void start_block(struct blocks *p)
{
    p->turn = T_BLOCK;
    p->place = B_ITEM;
    p->in_list = false;
    p->block_open = true;
}

/* The block's end marker came, or the output ended: a call still open was cut. */
static void finish_block(struct blocks *p)
{
    if (p->place != B_ITEM && p->place != B_SKIP) {
        if (p->place == B_VALUE) literal_end(&p->args);
        problem(p, "the call was cut");
        drop_call(p);
    }
    p->turn = T_AFTER;
    p->block_open = false;
    p->r.new_line = true;
}

/* ---- answers without markers ----------------------------------------------------------------- */

struct trial { const struct parser *p; int n; bool unknown; };

static void trial_event(void *ctx, const struct parse_event *ev)
{
    struct trial *t = ctx;
    if (ev->kind == PARSE_CALL_BEGIN && !is_known(t->p, ev->bytes, ev->len, false)) t->unknown = true;
    if (ev->kind == PARSE_CALL_END) t->n++;
    if (ev->kind == PARSE_TEXT || ev->kind == PARSE_REASONING) t->unknown = true;
}

/* Does all of the held text read as calls of declared tools? */
static bool reads_as_calls(const struct blocks *p)
{
    struct trial t = { .p = &p->r };
    struct err e = { 0 };
    struct turn turn = { .tools = p->r.turn.tools };
    struct blocks *q = of(blocks_lfm2(&turn, trial_event, &t));
    start_block(q);
    q->tagged = p->tagged;
    parser_feed(&q->r, p->wait.p, p->wait.len, false);
    bool complete = q->turn == T_AFTER || (q->turn == T_BLOCK && q->place == B_ITEM && !q->in_list);
    return parser_close(&q->r, false, &e) && complete && t.n > 0 && !t.unknown;
}

static void settle_whole(struct blocks *p)
{
    if (!reads_as_calls(p)) {
        p->turn = T_TEXT;
        put_held(p);
        return;
    }
    start_block(p);
    for (size_t i = 0; i < p->wait.len && p->turn == T_BLOCK; i++) block_byte(p, p->wait.p[i]);
    str_clear(&p->wait);
    finish_block(p);
}

/* {"name" … or {"tool_calls" … : the only beginnings of JSON calls that are waited for. */
static int begins_json_call(const char *s, size_t len)
{
    static const char *const keys[] = { "\"name\"", "\"tool_calls\"" };
    size_t i = 0;
    int best = 0;
    while (i < len && is_blank(s[i])) i++;
    for (size_t k = 0; k < LEN(keys); k++) {
        size_t whole = strlen(keys[k]), n = MIN(len - i, whole);
        if (!memcmp(s + i, keys[k], n)) best = MAX(best, n == whole ? 2 : 1);
    }
    return best;
}

/* May the answer that begins so be calls without markers? 1 yes, so far; 2 surely enough to hold
 * everything; 0 no. */
static int may_be_calls(const struct blocks *p, const char *s, size_t len)
{
    size_t i = 0, from;
    if (!(p->r.lenient || p->tagged) || !json_len(p->r.turn.tools) || len > LEAD_MOST) return 0;
    if (s[i] == '[') i++;
    while (i < len && is_blank(s[i])) i++;
    if (i == len) return 1;
    if (s[i] == '{') return begins_json_call(s + i + 1, len - i - 1);
    for (from = i; i < len && is_name_byte(s[i]);) i++;
    if (i == from) return 0;
    if (i == len && (p->tagged || is_known(&p->r, s + from, i - from, true))) return 1;
    size_t name = i - from - (p->tagged && ends_in_call(s + from, i - from) ? 5 : 0);
    if (i == len || !is_known(&p->r, s + from, name, false)) return 0;
    while (i < len && is_blank(s[i])) i++;
    return i == len ? 1 : s[i] == '(' ? 2 : 0;
}

/* ---- a turn ---------------------------------------------------------------------------------- */

/* Of a declared tool, and the quote behind it? Where no tools are known any name is one. */
static int is_quoted_name(const struct blocks *p, const char *s, size_t len)
{
    size_t i = 0;
    while (i < len && is_name(s[i])) i++;
    bool any = !p->r.turn.tools;
    if (i == len) return any || is_known(&p->r, s, i, true);
    return s[i] == '"' && i && (any || is_known(&p->r, s, i, false)) ? 2 : 0;
}

/* Llama 3.1: exactly these and a tool's name begin a call, at the beginning of an answer; other objects are
 * text. 2 one does, 1 one may, 0 none. */
static int begins_llama_call(const struct blocks *p, const char *s, size_t len)
{
    static const char *const begins[] = { LLAMA_CALL_BEGINS };
    int best = 0;
    for (size_t i = 0; p->llama && p->r.turn.choice != CHOICE_NONE && i < LEN(begins); i++) {
        size_t whole = strlen(begins[i]), n = MIN(len, whole);
        if (memcmp(s, begins[i], n)) continue;
        best = MAX(best, n < whole ? 1 : is_quoted_name(p, s + whole, len - whole));
    }
    return best;
}

/* The bytes that wait are the beginning of a block without markers. */
static void start_bare(struct blocks *p, size_t from)
{
    struct str all = p->wait;
    p->wait = (struct str){ 0 };
    start_block(p);
    p->bare = true;
    for (size_t i = from; i < all.len && p->turn == T_BLOCK; i++) block_byte(p, all.p[i]);
    str_done(&all);
}

static void start_thinking(struct blocks *p)
{
    str_clear(&p->wait);
    reader_flush(&p->r);
    p->r.thinking = true;
    p->turn = T_THINK;
}

/* What an answer that begins with s may still be. False: it is text. */
static bool lead_is_open(struct blocks *p, const char *s, size_t len, size_t blank)
{
    static const char think[] = "<think>";
    if (!len) return blank < LEAD_MOST;
    if (!p->thought && !p->watch && !p->llama && len <= 7 && !memcmp(s, think, len)) {
        if (len == 7) start_thinking(p);
        return true;
    }
    int call = begins_llama_call(p, s, len);
    if (call == 2) start_bare(p, blank);
    if (call) return true;
    int may = p->r.turn.choice == CHOICE_NONE ? 0 : may_be_calls(p, s, len);
    if (may == 2) p->turn = T_WHOLE;
    return may != 0;
}

static void lead_byte(struct blocks *p, char c)
{
    size_t blank = 0;
    str_putc(&p->wait, c);
    while (blank < p->wait.len && is_blank(p->wait.p[blank])) blank++;
    if (lead_is_open(p, p->wait.p + blank, p->wait.len - blank, blank)) return;
    p->turn = T_TEXT;
    if (!p->thought) blank = 0;                          /* else blanks belong to the reasoning's marker */
    put_text(p, p->wait.p + blank, p->wait.len - blank);
    str_clear(&p->wait);
}

static void think_byte(struct blocks *p, char c)
{
    static const char end[] = "</think>";
    if (c != end[p->wait.len]) {
        str_put(&p->r.text, p->wait.p, p->wait.len);
        str_clear(&p->wait);
    }
    if (c != end[p->wait.len]) {
        str_putc(&p->r.text, c);
        return;
    }
    str_putc(&p->wait, c);
    if (p->wait.len < sizeof end - 1) return;
    reader_flush(&p->r);
    str_clear(&p->wait);
    p->r.thinking = false;
    p->thought = true;
    p->turn = T_LEAD;
}

static void after_byte(struct blocks *p, char c)
{
    if (is_blank(c)) return;
    if (p->block_open && c == '[') {                        /* another list before the end marker */
        start_block(p);
        block_byte(p, c);
        return;
    }
    if (p->wrapped && c == '}') {                                     /* of {"tool_calls": […]} */
        p->wrapped = false;
        return;
    }
    p->r.new_line = true;
    p->turn = !p->bare && (c == '[' || c == '<' || c == '{') ? T_ECHO : T_TEXT;
    if (p->turn == T_ECHO) str_putc(&p->wait, c);
    else put_text(p, &c, 1);
}

static void place_byte(struct blocks *p, char c)
{
    switch (p->turn) {
    case T_LEAD: lead_byte(p, c); break;
    case T_THINK: think_byte(p, c); break;
    case T_TEXT: put_text(p, &c, 1); break;
    case T_WHOLE: case T_ECHO: str_putc(&p->wait, c); break;
    case T_BLOCK: block_byte(p, c); break;
    case T_AFTER: after_byte(p, c); break;
    case T_CODE: say_args(&p->r, &c, 1); break;
    }
}

static void on_start(struct blocks *p);

/* Without markers the beginning of a call is itself the marker. */
static void turn_byte(struct blocks *p, char c)
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
        p->bare = true;
        for (int i = 0; begin[i]; i++) block_byte(p, begin[i]);
        return;
    }
    for (int i = 0; i < n; i++) place_byte(p, begin[i]);
    if (!p->n_watched) place_byte(p, c);
}

/* Text that was held back is text after all. */
static void release(struct blocks *p)
{
    int watched = p->n_watched;
    p->n_watched = 0;
    for (int i = 0; i < watched; i++) place_byte(p, CALLS_BEGIN[i]);
    if (p->turn == T_LEAD) {
        size_t blank = 0;
        while (blank < p->wait.len && is_blank(p->wait.p[blank])) blank++;
        if (blank < p->wait.len) put_held(p);
    } else if (p->turn == T_THINK) {
        str_put(&p->r.text, p->wait.p, p->wait.len);
    } else if (p->turn == T_ECHO) {
        put_held(p);
    } else if (p->turn == T_WHOLE) {
        settle_whole(p);
    }
    str_clear(&p->wait);
    reader_flush(&p->r);
    p->r.thinking = false;
}

static void on_start(struct blocks *p)
{
    if (p->turn == T_BLOCK) finish_block(p);
    release(p);
    start_block(p);
    if (p->r.turn.choice == CHOICE_NONE) p->r.over = true;
}

static void on_end(struct blocks *p)
{
    switch (p->turn) {
    case T_BLOCK: finish_block(p); break;
    case T_WHOLE: settle_whole(p); break;
    case T_ECHO:                                                      /* an echo: drop it */
        str_clear(&p->wait);
        p->turn = T_AFTER;
        break;
    default: break;
    }
    p->block_open = false;
}

/* Behind it stand source to the end, or a call, as JSON or as name.call(…). */
static void on_python_tag(struct blocks *p)
{
    if (p->turn == T_CODE) return;
    if (p->turn == T_BLOCK) finish_block(p);
    release(p);
    p->tagged = true;
    p->turn = T_LEAD;
    if (p->r.turn.choice == CHOICE_NONE) p->r.over = true;
    if (!p->r.has_code || p->r.over) return;
    p->r.json_code = false;
    begin_call(&p->r, "python", 6);
    p->turn = T_CODE;
}

/* ---- bytes in -------------------------------------------------------------------------------- */

/* The value or object being read, as far as it goes. */
static size_t literal_span(struct blocks *p, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        i += literal_run(&p->args, s + i, n - i);
        if (i == n) break;
        enum lit_step r = literal_byte(&p->args, s[i]);
        if (r == LIT_MORE) continue;
        if (p->place == B_VALUE) value_result(p, r, s[i]);
        else args_result(p, r, s[i]);
        return i + 1;
    }
    return n;
}

/* How many bytes can go the short way. */
static size_t plain_run(struct blocks *p, const char *s, size_t n)
{
    if (p->turn == T_BLOCK && (p->place == B_VALUE || p->place == J_ARGS)) return literal_span(p, s, n);
    if (p->turn == T_CODE) return say_args(&p->r, s, n), n;
    if (p->turn == T_WHOLE || p->turn == T_ECHO) return str_put(&p->wait, s, n), n;
    if (p->turn != T_TEXT || p->n_watched) return 0;
    const char *hit = p->watch ? memchr(s, CALLS_BEGIN[0], n) : NULL;
    size_t run = hit ? (size_t)(hit - s) : n;
    put_text(p, s, run);
    return run;
}

static size_t step(struct parser *r, const char *s, size_t n)
{
    struct blocks *p = of(r);
    for (size_t i = 0; i < n && !r->over;) {
        size_t run = plain_run(p, s + i, n - i);
        if (!run) turn_byte(p, s[i]);
        i += MAX(run, 1u);
    }
    if (p->turn == T_BLOCK) flush_args(p);
    return n;
}

static void special(struct parser *r, struct bytes token)
{
    struct blocks *p = of(r);
    if (bytes_eq(token, "<think>") || bytes_eq(token, "</think>")) step(r, token.p, token.len);
    else if (p->llama && bytes_eq(token, "<|python_tag|>")) on_python_tag(p);
    else if (p->llama || p->watch) return;
    else if (bytes_eq(token, "<|tool_call_start|>")) on_start(p);
    else if (bytes_eq(token, "<|tool_call_end|>")) on_end(p);
}

static void end(struct parser *r)
{
    struct blocks *p = of(r);
    if (p->turn == T_BLOCK) finish_block(p);
    if (p->turn == T_CODE) {
        if (r->cut) parse_problem(r, "python", 6, "the call was cut");
        end_call(r, !r->cut);
    }
    release(p);
}

static bool in_string(const struct parser *r)
{
    const struct blocks *p = (const struct blocks *)r;
    if (p->turn != T_BLOCK) return false;
    if (p->place == B_VALUE || p->place == J_ARGS) return literal_in_string(&p->args);
    return (p->place == B_MERGE || p->place == J_TAKE || p->place == J_NAME_OF) && literal_in_string(&p->take);
}

static void done(struct parser *r)
{
    struct blocks *p = of(r);
    literal_done(&p->args);
    literal_done(&p->take);
    str_done(&p->wait);
    str_done(&p->name);
    str_done(&p->word);
}

static const struct parser_kind kind = { sizeof(struct blocks), step, special, end, in_string, done };

struct parser *blocks_lfm2(const struct turn *t, parse_sink *sink, void *ctx)
{
    struct blocks *p = of(reader_new(&kind, t, sink, ctx));
    p->r.json_code = true;
    literal_start(&p->args);
    literal_start(&p->take);
    return &p->r;
}

struct parser *blocks_json(const struct turn *t, parse_sink *sink, void *ctx)
{
    struct parser *r = blocks_lfm2(t, sink, ctx);
    of(r)->watch = t->choice != CHOICE_NONE;
    of(r)->bare = true;
    return r;
}

struct parser *blocks_llama(const struct turn *t, parse_sink *sink, void *ctx)
{
    struct parser *r = blocks_lfm2(t, sink, ctx);
    of(r)->llama = of(r)->bare = true;
    return r;
}
