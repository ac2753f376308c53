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
 * begins where a text says [{"name":" and a tool's name (JSON), or where an answer begins with {"name": " and a tool's
 * name (Llama). A parser of output of which only the text is known (struct wire) is `lenient` as well:
 * a whole answer that reads as calls of declared tools is taken for calls. */
#include "text/blocks.h"

#define BEGIN_LEN (int)(sizeof CALLS_BEGIN - 1)
#define LEAD_MOST 1024                             /* held back while an answer may be bare calls */

typedef void byte_fn(struct blocks *p, char c);

static struct blocks *of(struct parser *r) { return (struct blocks *)r; }

/* ---- text ------------------------------------------------------------------------------------ */

void blocks_text(struct blocks *p, const char *s, size_t len)
{
    if (!len) return;
    if (p->r.new_line && p->r.any_text) str_putc(&p->r.text, '\n');
    p->r.new_line = false;
    p->r.any_text = true;
    str_put(&p->r.text, s, len);
}

static void put_held(struct blocks *p)
{
    blocks_text(p, p->wait.p, p->wait.len);
    str_clear(&p->wait);
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
    block_start(q);
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
    block_start(p);
    for (size_t i = 0; i < p->wait.len && p->turn == T_BLOCK; i++) block_byte(p, p->wait.p[i]);
    str_clear(&p->wait);
    block_finish(p);
}

/* {"name" … or {"tool_calls" … and the like: the only beginnings of JSON calls that are waited for. */
static int begins_json_call(const char *s, size_t len)
{
    static const char *const keys[] = { "\"name\"", "\"tool_calls\"", "\"type\"", "\"function\"" };
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
    block_start(p);
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
    blocks_text(p, p->wait.p + blank, p->wait.len - blank);
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

void blocks_after(struct blocks *p, char c)
{
    if (is_blank(c)) return;
    if (p->block_open && !p->bare && c == '[') {            /* another list before the end marker */
        block_start(p);
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
    else blocks_text(p, &c, 1);
}

static void place_byte(struct blocks *p, char c)
{
    switch (p->turn) {
    case T_LEAD: lead_byte(p, c); break;
    case T_THINK: think_byte(p, c); break;
    case T_TEXT: blocks_text(p, &c, 1); break;
    case T_WHOLE: case T_ECHO: str_putc(&p->wait, c); break;
    case T_BLOCK: block_byte(p, c); break;
    case T_AFTER: blocks_after(p, c); break;
    case T_CODE: say_args(&p->r, &c, 1); break;
    }
}

static void on_start(struct blocks *p);

/* The bytes that were watched go elsewhere: a beginning of calls as far as it came, and of a name. */
static void put_watched(struct blocks *p, byte_fn *put)
{
    struct str name = p->watched;
    int n = p->n_watched;
    bool spaced = p->spaced;
    p->watched = (struct str){ 0 };
    p->n_watched = 0;
    p->spaced = false;
    for (int i = 0; i < MIN(n, BEGIN_LEN - 1); i++) put(p, CALLS_BEGIN[i]);
    if (spaced) put(p, ' ');
    if (n == BEGIN_LEN) put(p, CALLS_BEGIN[n - 1]);
    for (size_t i = 0; i < name.len; i++) put(p, name.p[i]);
    str_done(&name);
}

/* The call's name up to its quote: a list of things that are no tools is text. */
static int watched_name(struct blocks *p, char c)
{
    str_putc(&p->watched, c);
    int m = is_quoted_name(p, p->watched.p, p->watched.len);
    if (!m) p->watched.len--;                             /* c may begin something itself */
    return m;
}

static void start_watched(struct blocks *p)
{
    struct str name = p->watched;
    bool spaced = p->spaced;
    p->watched = (struct str){ 0 };
    p->n_watched = 0;
    p->spaced = false;
    on_start(p);
    p->bare = true;
    p->n_watched = BEGIN_LEN;
    p->spaced = spaced;
    p->watched = name;
    put_watched(p, block_byte);
}

/* Without markers the beginning of a call is itself the marker. */
static void turn_byte(struct blocks *p, char c)
{
    static const char begin[] = CALLS_BEGIN;
    int n = p->n_watched, named = 0;
    if (!p->watch || p->turn == T_BLOCK || p->turn == T_WHOLE) {
        place_byte(p, c);
    } else if (n < BEGIN_LEN && c == begin[n]) {
        p->n_watched++;
    } else if (n == BEGIN_LEN - 1 && c == ' ' && !p->spaced) {
        p->spaced = true;
    } else if (n == BEGIN_LEN && (named = watched_name(p, c)) != 0) {
        if (named == 2) start_watched(p);
    } else {
        put_watched(p, place_byte);
        if (c == begin[0] && p->turn != T_WHOLE) p->n_watched = 1;
        else place_byte(p, c);
    }
}

/* Text that was held back is text after all. */
static void release(struct blocks *p)
{
    put_watched(p, place_byte);
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
    if (p->turn == T_BLOCK) block_finish(p);
    release(p);
    block_start(p);
    if (p->r.turn.choice == CHOICE_NONE) p->r.over = true;
}

static void on_end(struct blocks *p)
{
    switch (p->turn) {
    case T_BLOCK: block_finish(p); break;
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
    if (p->turn == T_BLOCK) block_finish(p);
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

/* How many bytes can go the short way. */
static size_t plain_run(struct blocks *p, const char *s, size_t n)
{
    if (p->turn == T_BLOCK && (p->place == B_VALUE || p->place == J_ARGS)) return block_span(p, s, n);
    if (p->turn == T_CODE) return say_args(&p->r, s, n), n;
    if (p->turn == T_WHOLE || p->turn == T_ECHO) return str_put(&p->wait, s, n), n;
    if (p->turn != T_TEXT || p->n_watched) return 0;
    const char *hit = p->watch ? memchr(s, CALLS_BEGIN[0], n) : NULL;
    size_t run = hit ? (size_t)(hit - s) : n;
    blocks_text(p, s, run);
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
    if (p->turn == T_BLOCK) block_flush(p);
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
    if (p->turn == T_BLOCK) block_finish(p);
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

static enum plain plain(const struct parser *r, const char *s, size_t n)
{
    const struct blocks *p = (const struct blocks *)r;
    if (p->turn == T_TEXT && r->any_text && !r->new_line && !p->n_watched && !(p->watch && memchr(s, CALLS_BEGIN[0], n)))
        return PLAIN_TEXT;
    bool value = p->turn == T_BLOCK && (p->place == B_VALUE || p->place == J_ARGS) && p->begun && !p->args.out.len;
    return value && literal_plain(&p->args, s, n) ? PLAIN_ARGS : NOT_PLAIN;
}

static void done(struct parser *r)
{
    struct blocks *p = of(r);
    literal_done(&p->args);
    literal_done(&p->take);
    str_done(&p->wait);
    str_done(&p->watched);
    str_done(&p->unread);
    str_done(&p->name);
    str_done(&p->word);
}

static const struct parser_kind kind = { sizeof(struct blocks), step, special, end, in_string, plain, done };

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
