/* block.c -- the calls of one block, byte by byte.
 *
 *     [get_weather(city="Oslo"), {"name": "get_time", "arguments": {}}]
 *
 * Each call says by its first byte whether it is Pythonic or JSON. Its name is reported as soon as it is
 * complete, its arguments as literal.c finds them final. A call that cannot be read gets no end; what is left
 * of it is skipped up to the bracket that closes it, and the next one is read. */
#include "text/blocks.h"

#define CALL_NAME_MOST 256
#define WORD_MOST (1 << 20)                    /* of an argument: any key a schema lets through */

/* Says the arguments that are final. The buffer starts over when nothing in it is undecided. */
void block_flush(struct blocks *p)
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

/* The block is over. What held no call that could be reported, and was not empty either, is text. */
static void leave(struct blocks *p)
{
    p->in_list = false;
    p->turn = T_AFTER;
    if (!p->no_call || !p->bad) return;
    p->no_call = false;
    p->r.new_line = true;
    blocks_text(p, p->unread.p, p->unread.len);
    p->r.new_line = true;
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
    p->no_call = false;
    str_clear(&p->unread);
    begin_call(&p->r, p->name.p ? p->name.p : "", p->name.len);
}

static void problem(struct blocks *p, const char *why)
{
    p->bad = true;
    parse_problem(&p->r, p->name.p, p->has_name ? p->name.len : 0, why);
}

/* What was read of the call stays reported, it gets no end. */
static void drop_call(struct blocks *p)
{
    if (p->begun) {
        block_flush(p);
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
        block_flush(p);
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
        if (c == ']') leave(p);
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
    if (p->bare && !p->in_list && !p->no_call && c != '{') {          /* no marker ends these calls */
        p->turn = T_AFTER;
        blocks_after(p, c);
    } else if (c == '[' && !p->in_list) {
        p->in_list = true;
    } else if (c == ']' && p->in_list) {
        leave(p);
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

void block_byte(struct blocks *p, char c)
{
    if (p->no_call) str_putc(&p->unread, c);
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

void block_start(struct blocks *p)
{
    p->turn = T_BLOCK;
    p->place = B_ITEM;
    p->in_list = p->bad = false;
    p->block_open = p->no_call = true;
    str_clear(&p->unread);
}

/* The block's end marker came, or the output ended: a call still open was cut. */
void block_finish(struct blocks *p)
{
    if (p->place != B_ITEM && p->place != B_SKIP) {
        if (p->place == B_VALUE) literal_end(&p->args);
        bool bad = p->bad;
        problem(p, "the call was cut");
        p->bad = bad || !p->r.cut;                    /* a limit ended it: not even a name came */
        drop_call(p);
    }
    leave(p);
    p->block_open = false;
    p->r.new_line = true;
}

/* The value or object being read, as far as it goes. */
size_t block_span(struct blocks *p, const char *s, size_t n)
{
    enum lit_step r;
    size_t used = literal_span(&p->args, s, n, &r);
    if (p->no_call) str_put(&p->unread, s, MIN(used + 1, n));
    if (r == LIT_MORE) return n;
    if (p->place == B_VALUE) value_result(p, r, s[used]);
    else args_result(p, r, s[used]);
    return used + 1;
}
