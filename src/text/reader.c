/* reader.c -- what every parser does alike: bytes become whole characters, undecided ones wait, text
 * and calls are reported.
 *
 * Bytes that are not UTF-8 become U+FFFD on entry, so all that comes out is whole UTF-8. A stretch of
 * text (from one marker to the next) that is blank is dropped unless it is the whole answer: its
 * blanks wait until something else follows. Where a marker owns the line end before it, the last
 * line end of a text waits too. Nothing reported is ever taken back.
 *
 * The one call whose arguments are no JSON is that of a declared code_interpreter, named `python`:
 * they are its source. Where a dialect writes it raw it comes through as it is; where it writes
 * {"code":"…"} the string is decoded on its way out. */
#include <assert.h>

#include "text/read.h"

#define SHORT 32 /* bytes of a piece as tokens come */

static const char code_head[] = "{\"code\":\"";
enum { CODE_HEAD, CODE_STR, CODE_ESC, CODE_END, CODE_AS_IT_IS, CODE_HEX /* and three more: digits read */ };

/* ---- names ----------------------------------------------------------------------------------- */

bool tools_have_code(const struct json *tools)
{
    for (size_t i = 0; i < json_len(tools); i++)
        if (json_str_is(json_get(json_at(tools, i), "type"), "code_interpreter")) return true;
    return false;
}

static bool same_name(const char *known, size_t n_known, const char *name, size_t n, bool prefix)
{
    return (prefix ? n_known >= n : n_known == n) && !memcmp(known, name, n);
}

bool is_code_name(const struct parser *p, const char *name, size_t n)
{
    return p->has_code && same_name("python", 6, name, n, false);
}

bool is_known(const struct parser *p, const char *name, size_t n, bool prefix)
{
    for (size_t i = 0; i < json_len(p->turn.tools); i++) {
        size_t len = 0;
        const char *s = json_str(json_get(tool_function(json_at(p->turn.tools, i)), "name"), &len);
        if (s && same_name(s, len, name, n, prefix)) return true;
    }
    return p->has_code && same_name("python", 6, name, n, prefix);
}

/* ---- reporting ------------------------------------------------------------------------------- */

static void report(struct parser *p, enum parse_kind kind, const char *bytes, size_t len)
{
    struct parse_event ev = { .kind = kind, .index = p->index, .bytes = bytes, .len = len };
    p->sink(p->ctx, &ev);
}

static void flush_text(struct parser *p)
{
    if (!p->text.len) return;
    report(p, p->thinking ? PARSE_REASONING : PARSE_TEXT, p->text.p, p->text.len);
    str_clear(&p->text);
}

static void flush_args(struct parser *p)
{
    if (!p->out.len) return;
    report(p, PARSE_CALL_ARGS, p->out.p, p->out.len);
    str_clear(&p->out);
}

void reader_flush(struct parser *p)
{
    flush_text(p);
    if (p->in_call) flush_args(p);
}

void parse_problem(struct parser *p, const char *name, size_t n, const char *why)
{
    if (p->err.code) return;
    if (n) err_set(&p->err, ERR_FORMAT, "call %d (%.*s): %s", p->index + 1, (int)MIN(n, 80u), name, why);
    else err_set(&p->err, ERR_FORMAT, "call %d: %s", p->index + 1, why);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* The first byte of a stretch that is not blank: what was before it counts. */
static void start_stretch(struct parser *p)
{
    p->in_stretch = true;
    if (p->new_line && p->any_text) str_putc(&p->text, '\n');
    p->new_line = false;
    if (!p->thinking) p->any_text = true;
    if (!p->thought) str_put(&p->text, p->blank.p, p->blank.len);
    p->thought = false;
    str_clear(&p->blank);
}

void say_text(struct parser *p, const char *s, size_t n)
{
    if (!p->in_stretch) {
        size_t i = 0;
        while (i < n && is_blank(s[i])) i++;
        str_put(&p->blank, s, i);
        if (i == n) return;
        start_stretch(p);
        s += i;
        n -= i;
    }
    if (!n) return;
    if (p->line) str_putc(&p->text, '\n');
    p->line = p->hold_line && s[n - 1] == '\n';
    str_put(&p->text, s, n - p->line);
}

void end_stretch(struct parser *p, bool marker)
{
    if (p->line && !marker) str_putc(&p->text, '\n');
    p->line = false;
    if (!p->in_stretch && !marker && !p->any_text && !p->index && !p->thought && !p->thinking) str_put(&p->text, p->blank.p, p->blank.len);
    str_clear(&p->blank);
    p->in_stretch = false;
}

/* ---- source inside of JSON --------------------------------------------------------------------- */

static void put_source(struct parser *p, uint32_t cp)
{
    char utf8[4];
    if (p->code_high && cp >= 0xdc00 && cp <= 0xdfff) cp = 0x10000 + ((p->code_high - 0xd800) << 10) + (cp - 0xdc00);
    p->code_high = cp >= 0xd800 && cp <= 0xdbff ? cp : 0;
    if (!p->code_high) str_put(&p->out, utf8, (size_t)utf8_put(utf8, cp));
}

/* Escapes of compact JSON: the reader left only the short ones and \u00xx. */
static void source_byte(struct parser *p, char c)
{
    static const char plain[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    if (p->code_state == CODE_STR) {
        if (c == '"') p->code_state = CODE_END;
        else if (c == '\\') p->code_state = CODE_ESC;
        else str_putc(&p->out, c);
    } else if (p->code_state == CODE_ESC) {
        const char *s = plain;
        while (*s && *s != c) s += 2;
        if (*s) str_putc(&p->out, s[1]);
        p->code_state = c == 'u' ? CODE_HEX : CODE_STR;
        p->code_cp = 0;
    } else if (p->code_state >= CODE_HEX) {
        p->code_cp = p->code_cp << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
        if (++p->code_state < CODE_HEX + 4) return;
        put_source(p, p->code_cp);
        p->code_state = CODE_STR;
    }
}

/* {"code":" and the string decoded; anything else as it is. */
static void say_source(struct parser *p, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p->code_state != CODE_HEAD && p->code_state != CODE_AS_IT_IS) {
            source_byte(p, s[i]);
            continue;
        }
        if (p->code_state == CODE_HEAD) str_putc(&p->code, s[i]);
        else str_putc(&p->out, s[i]);
        if (p->code_state == CODE_AS_IT_IS) continue;
        if (memcmp(p->code.p, code_head, p->code.len)) {
            p->code_state = CODE_AS_IT_IS;
            str_put(&p->out, p->code.p, p->code.len);
        } else if (p->code.len == sizeof code_head - 1) {
            p->code_state = CODE_STR;
        }
    }
}

/* ---- calls ----------------------------------------------------------------------------------- */

void begin_call(struct parser *p, const char *name, size_t n)
{
    end_stretch(p, true);
    flush_text(p);
    p->in_call = true;
    p->said = false;
    p->is_source = is_code_name(p, name, n);
    p->code_state = CODE_HEAD;
    str_clear(&p->code);
    str_clear(&p->out);
    report(p, PARSE_CALL_BEGIN, name, n);
}

/* Source that is written as JSON is decoded on its way. */
static bool decodes(const struct parser *p) { return p->is_source && p->json_code; }

void say_args(struct parser *p, const char *s, size_t n)
{
    if (!n) return;
    p->said = true;
    if (decodes(p)) say_source(p, s, n);
    else str_put(&p->out, s, n);
}

void end_call(struct parser *p, bool complete)
{
    if (complete && !p->said && !p->is_source) str_puts(&p->out, "{}");
    if (p->is_source && p->code_state == CODE_HEAD) str_put(&p->out, p->code.p, p->code.len);
    flush_args(p);
    if (complete) report(p, PARSE_CALL_END, NULL, 0);
    p->n_done += complete;
    p->in_call = false;
    p->index++;
    if (p->turn.choice == CHOICE_NAMED) p->over = true;
}

/* ---- the body of a call ------------------------------------------------------------------------ */

void body_begin(struct parser *p, const char *name, size_t n)
{
    begin_call(p, name, n);
    p->args.state = p->args.depth = p->args.n_escape = 0;
    p->args.high = 0;
    p->raw = false;
    str_clear(&p->blank);
}

/* Blanks in raw arguments wait in p->blank: those at the end are dropped. */
static size_t raw_step(struct parser *p, const char *s, size_t n, char first,
                       int (*mark)(struct parser *, const char *, size_t), enum body *b)
{
    for (size_t i = 0, from; i < n;) {
        if (s[i] == first) {
            int m = mark(p, s + i, n - i);
            if (m == 1) *b = BODY_MARK;
            if (m == 1 || (!m && !p->last)) return i;
        }
        for (from = i++; i < n && s[i] != first;) i++;
        size_t end = i;
        while (end > from && is_blank(s[end - 1])) end--;
        if (end > from) {
            say_args(p, p->blank.p, p->blank.len);
            str_clear(&p->blank);
            say_args(p, s + from, end - from);
        }
        str_put(&p->blank, s + end, i - end);
    }
    return n;
}

size_t body_step(struct parser *p, const char *s, size_t n, char first,
                 int (*mark)(struct parser *, const char *, size_t), enum body *b)
{
    enum args_step r;
    *b = BODY_MORE;
    if (p->raw) return raw_step(p, s, n, first, mark, b);
    struct str *out = decodes(p) ? &p->compact : &p->out;
    size_t before = out->len, used = args_read(&p->args, s, n, out, &r);
    if (out->len > before) p->said = true;
    if (out == &p->compact && out->len) {
        say_source(p, out->p, out->len);
        str_clear(out);
    }
    if (r == ARGS_DONE) {
        end_call(p, true);
        *b = BODY_DONE;
    } else if (r == ARGS_BAD) {
        p->raw = true;
        if (used == n) return n;
        return used + raw_step(p, s + used, n - used, first, mark, b);
    }
    return used;
}

void body_end(struct parser *p, bool clean)
{
    bool complete = clean && (p->raw || args_empty(&p->args));
    if (!complete) parse_problem(p, "", 0, "the call was cut");
    str_clear(&p->blank);
    end_call(p, complete);
}

/* ---- bytes in -------------------------------------------------------------------------------- */

/* Offers s to the steps; returns how much they used. */
static size_t steps(struct parser *p, const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && !p->over) {
        size_t used = p->kind->step(p, s + i, n - i);
        if (!used) break;
        i += used;
    }
    return p->over ? n : i;
}

/* Whole characters. */
static void put_chars(struct parser *p, const char *s, size_t n)
{
    if (!n) return;
    if (!p->held.len) {
        size_t used = steps(p, s, n);
        if (used < n) str_put(&p->held, s + used, n - used);
        return;
    }
    str_put(&p->held, s, n);
    size_t used = steps(p, p->held.p, p->held.len);
    memmove(p->held.p, p->held.p + used, p->held.len - used);
    p->held.len -= used;
}

static void put_bytes(struct parser *p, const char *s, size_t n)
{
    struct str good = { 0 };
    if (utf8_valid(s, n)) {
        put_chars(p, s, n);
        return;
    }
    str_put_utf8(&good, s, n);
    put_chars(p, good.p, good.len);
    str_done(&good);
}

/* Keeps an incomplete character for later. */
static void feed_text(struct parser *p, const char *s, size_t len)
{
    const char *end = s + len;
    while (p->n_tail && s < end) {                                    /* complete what was cut */
        p->tail[p->n_tail++] = *s++;
        size_t whole = utf8_whole(p->tail, (size_t)p->n_tail);
        put_bytes(p, p->tail, whole);
        p->n_tail -= (int)whole;
        memmove(p->tail, p->tail + whole, (size_t)p->n_tail);
    }
    size_t whole = utf8_whole(s, (size_t)(end - s));
    put_bytes(p, s, whole);
    for (s += whole; s < end;) p->tail[p->n_tail++] = *s++;
}

static bool is_ascii(const char *s, size_t n)
{
    uint64_t word, all = 0;
    uint32_t half;
    for (; n >= sizeof word; s += sizeof word, n -= sizeof word) {
        memcpy(&word, s, sizeof word);
        all |= word;
    }
    if (n >= sizeof half) {
        memcpy(&half, s, sizeof half);
        all |= half;
        s += sizeof half;
        n -= sizeof half;
    }
    for (; n; n--) all |= (uint8_t)*s++;
    return !(all & 0x8080808080808080u);
}

static void drop_tail(struct parser *p)
{
    int n = p->n_tail;
    p->n_tail = 0;
    while (n--) put_chars(p, "\xef\xbf\xbd", 3);
}

void reader_settle(struct parser *p)
{
    p->last = true;
    if (p->held.len) {
        struct str all = p->held;
        p->held = (struct str){ 0 };
        size_t used = steps(p, all.p, all.len);
        assert(used == all.len);
        str_done(&all);
    }
    p->last = false;
}

/* Most tokens are mere text, or mere part of a string: they are reported without a copy. */
static bool feed_plain(struct parser *p, const char *s, size_t n)
{
    if (!n || n > SHORT || p->n_tail || p->held.len || !is_ascii(s, n)) return false;
    enum plain k = p->kind->plain(p, s, n);
    if (k == NOT_PLAIN || (k == PLAIN_ARGS && decodes(p))) return false;
    if (k == PLAIN_ARGS) p->said = true;
    report(p, k == PLAIN_ARGS ? PARSE_CALL_ARGS : p->thinking ? PARSE_REASONING : PARSE_TEXT, s, n);
    return true;
}

void parser_feed(struct parser *p, const char *bytes, size_t len, bool special)
{
    if (p->over) return;
    if (special) {
        drop_tail(p);
        p->kind->special(p, (struct bytes){ bytes, len });
    } else if (feed_plain(p, bytes, len)) {
        return;
    } else {
        feed_text(p, bytes, len);
    }
    reader_flush(p);
}

void parser_lenient(struct parser *p) { p->lenient = true; }

bool parser_in_string(const struct parser *p) { return !p->over && p->kind->in_string(p); }

struct parser *reader_new(const struct parser_kind *k, const struct turn *t, parse_sink *sink, void *ctx)
{
    struct parser *p = mem_zero(k->bytes);
    p->kind = k;
    p->turn = *t;
    p->sink = sink;
    p->ctx = ctx;
    p->has_code = tools_have_code(t->tools);
    return p;
}

bool parser_close(struct parser *p, bool cut, struct err *e)
{
    if (!p) return true;
    p->cut = cut;
    if (!p->over) {
        drop_tail(p);
        reader_settle(p);
        if (!p->over) p->kind->end(p);
        end_stretch(p, false);
    }
    reader_flush(p);
    bool ok = !p->err.code;
    if (!ok) *e = p->err;
    if (p->kind->done) p->kind->done(p);
    str_done(&p->held);
    str_done(&p->text);
    str_done(&p->blank);
    str_done(&p->out);
    str_done(&p->compact);
    str_done(&p->code);
    mem_free(p);
    return ok;
}
