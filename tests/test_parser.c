/* test_parser.c -- what models of the LFM2 family write, read back: every quirk seen in the wild, whole
 * and cut at every place, and hostile input. */
#include "test.h"
#include "text/text.h"

/* ---- a fold of parse events ---------------------------------------------------------------------- */

struct fold { struct str text, thought, calls; bool whole_utf8; };

static void on_event(void *ctx, const struct parse_event *ev)
{
    struct fold *f = ctx;
    if (ev->len && !utf8_valid(ev->bytes, ev->len)) f->whole_utf8 = false;
    switch (ev->kind) {
    case PARSE_TEXT: str_put(&f->text, ev->bytes, ev->len); break;
    case PARSE_REASONING: str_put(&f->thought, ev->bytes, ev->len); break;
    case PARSE_CALL_BEGIN:
        str_fmt(&f->calls, "%s%d:%.*s", f->calls.len ? " " : "", ev->index, (int)ev->len, ev->bytes);
        break;
    case PARSE_CALL_ARGS: str_put(&f->calls, ev->bytes, ev->len); break;
    case PARSE_CALL_END: str_puts(&f->calls, ";"); break;
    }
}

static void fold_done(struct fold *f)
{
    str_done(&f->text);
    str_done(&f->thought);
    str_done(&f->calls);
}

static const char *or_empty(const struct str *s) { return s->p ? s->p : ""; }

static bool read_in_pieces(const char *dialect, const struct json *tools, const char *s, size_t len, size_t step,
                           struct fold *f, struct err *e)
{
    struct wire w;
    *f = (struct fold){ .whole_utf8 = true };
    wire_open(&w, dialect_find(dialect), &(struct turn){ .tools = tools }, on_event, f);
    for (size_t i = 0; i < len; i += step) wire_feed(&w, s + i, MIN(step, len - i), false);
    return wire_close(&w, false, e);
}

static struct json *parse(const char *s)
{
    struct err e = { 0 };
    struct json *v = json_parse(s, strlen(s), &e);
    CHECK(v, "%s: %s", s, e.msg);
    return v;
}

/* ---- the table ---------------------------------------------------------------------------------------- */

#define S "<|tool_call_start|>"
#define E "<|tool_call_end|>"
#define F(args) S "[f(" args ")]" E

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":"
    "{\"a\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}}}}},{\"name\":\"get.time\"},{\"name\":\"text\"}]";

/* calls: `index:name{arguments};`, one without `;` was cut or malformed. */
static const struct row { const char *why, *in, *text, *calls, *problem; } rows[] = {
    { "text alone", "Hello there.", "Hello there.", "", NULL },
    { "one call", F("a=\"x\", n=3"), "", "0:f{\"a\":\"x\",\"n\":3};", NULL },
    { "no arguments", F(""), "", "0:f{};", NULL },
    { "two calls", S "[f(n=1), get.time()]" E, "", "0:f{\"n\":1}; 1:get.time{};", NULL },
    { "text around", "Let me see." F("n=1") "Done.", "Let me see.\nDone.", "0:f{\"n\":1};", NULL },
    { "text only behind", F("n=1") "\nChecking.", "Checking.", "0:f{\"n\":1};", NULL },
    { "blank text around is none", "\n" F("n=1") "\n", "", "0:f{\"n\":1};", NULL },
    { "stop token ends the turn", F("n=1") "<|im_end|>\nuser", "", "0:f{\"n\":1};", NULL },
    { "two blocks", F("n=1") F("n=2"), "", "0:f{\"n\":1}; 1:f{\"n\":2};", NULL },
    { "end token missing", S "[f(n=1)]", "", "0:f{\"n\":1};", NULL },
    { "list end missing", S "[f(n=1)" E, "", "0:f{\"n\":1};", NULL },
    { "no list", S "f(n=1)" E, "", "0:f{\"n\":1};", NULL },
    { "blanks everywhere", S " \n[ f ( a = \"x\" , n = 1 , ) , get.time ( ) , ] " E, "",
      "0:f{\"a\":\"x\",\"n\":1}; 1:get.time{};", NULL },
    { "empty list", S "[]" E, "", "", NULL },
    { "empty list and text", S "[]" E "Nothing to do.", "Nothing to do.", "", NULL },

    { "escaped backslash at the end", F("a='pattern \\\\'"), "", "0:f{\"a\":\"pattern \\\\\"};", NULL },
    { "raw line end", F("a='cat > f << EOF\nx\nEOF'"), "", "0:f{\"a\":\"cat > f << EOF\\nx\\nEOF\"};", NULL },
    { "brackets and quotes in a string", F("a='grep -F \"]\" log'"), "", "0:f{\"a\":\"grep -F \\\"]\\\" log\"};", NULL },
    { "nested quotes", F("a='sed -n '1,9p' f.py'"), "", "0:f{\"a\":\"sed -n '1,9p' f.py\"};", NULL },
    { "signed numbers", F("x=-74.0, limit=+7"), "", "0:f{\"x\":-74.0,\"limit\":7};", NULL },
    { "leading zeros", F("month=07, zero=000, neg=-012"), "", "0:f{\"month\":7,\"zero\":0,\"neg\":-12};", NULL },
    { "tuple and set", F("size=(800, 600), s={'a','b'}"), "", "0:f{\"size\":[800,600],\"s\":[\"a\",\"b\"]};", NULL },
    { "tuples of none, one, and brackets", F("a=(), b=(1,), c=(1), d=('x' 'y'), e={1}"), "",
      "0:f{\"a\":[],\"b\":[1],\"c\":1,\"d\":\"xy\",\"e\":[1]};", NULL },
    { "reserved words as names", F("from=1, class=2, in=3"), "", "0:f{\"from\":1,\"class\":2,\"in\":3};", NULL },
    { "blank after the marker", S " [f()]" E, "", "0:f{};", NULL },
    { "dotted name and JSON literals", S "[Calendar.create_event(title=\"x\", metadata={\"reminder\": true, \"z\": null})]" E, "",
      "0:Calendar.create_event{\"title\":\"x\",\"metadata\":{\"reminder\":true,\"z\":null}};", NULL },
    { "names with dashes", S "[my-tool(my-arg=1)]" E, "", "0:my-tool{\"my-arg\":1};", NULL },
    { "echo is dropped", F("n=1") "[f(n=1)]" E, "", "0:f{\"n\":1};", NULL },
    { "echo is dropped, text stays", F("n=1") "[f(n=1)]" E "Done.", "Done.", "0:f{\"n\":1};", NULL },
    { "text that begins like an echo", F("n=1") "[see](url)", "[see](url)", "0:f{\"n\":1};", NULL },
    { "whole answer is a call", "[f(n=1)]", "", "0:f{\"n\":1};", NULL },
    { "whole answer is a call without list", "f(n=1)\n", "", "0:f{\"n\":1};", NULL },
    { "whole answer is a JSON call", "[{\"name\": \"f\", \"arguments\": {\"n\": 1}}]", "", "0:f{\"n\":1};", NULL },
    { "whole answer with only the end", "[f(n=1)]" E, "", "0:f{\"n\":1};", NULL },
    { "unknown tool in bare text", "[g(n=1)]", "[g(n=1)]", "", NULL },
    { "known tool, then prose", "f(n=1) is what I would call", "f(n=1) is what I would call", "", NULL },
    { "markdown is no call", "[text](http://a.b/c)", "[text](http://a.b/c)", "", NULL },
    { "bare JSON that is no call", "{\"name\": \"x\"}", "{\"name\": \"x\"}", "", NULL },
    { "one bad call among three", S "[f(n=1), f(n=inf), get.time()]" E, "", "0:f{\"n\":1}; 1:f{\"n\": 2:get.time{};",
      "call 2 (f): inf is neither" },
    { "overflow", F("n=1e999"), "", "0:f{\"n\":", "1e999 is not a number" },
    { "nan", F("n=nan"), "", "0:f{\"n\":", "nan is neither" },
    { "cut inside a string", S "[f(a=\"abc", "", "0:f{\"a\":\"abc", "call 1 (f): the call was cut" },
    { "cut after a value", S "[f(n=12", "", "0:f{\"n\":12", "call 1 (f): the call was cut" },

    { "numbers without digits", F("a=.5, b=1., c=-.25, d=1_000"), "", "0:f{\"a\":0.5,\"b\":1.0,\"c\":-0.25,\"d\":1000};", NULL },
    { "digits stay", F("n=123456789012345678901234567890, x=0.1000, e=1E+5"), "",
      "0:f{\"n\":123456789012345678901234567890,\"x\":0.1000,\"e\":1E+5};", NULL },
    { "not numbers", F("n=0x1F"), "", "0:f{\"n\":", "0x1F is not a number" },
    { "literals", F("a=True, b=False, c=None, d=true, e=null"), "",
      "0:f{\"a\":true,\"b\":false,\"c\":null,\"d\":true,\"e\":null};", NULL },
    { "keys that are no strings", F("d={1: 'a', True: 'b', None: 2, 1.5: 3}"), "",
      "0:f{\"d\":{\"1\":\"a\",\"true\":\"b\",\"null\":2,\"1.5\":3}};", NULL },
    { "list as key", F("d={[1]: 2}"), "", "0:f{\"d\":", "cannot be a key" },
    { "nested containers", F("d={'a': [1, (2, 3), {'b': {}}], 'c': {'x', 'y'}}"), "",
      "0:f{\"d\":{\"a\":[1,[2,3],{\"b\":{}}],\"c\":[\"x\",\"y\"]}};", NULL },
    { "neighbouring strings", F("a=\"x\" 'y'"), "", "0:f{\"a\":\"xy\"};", NULL },
    { "escapes", F("a='\\x41\\u00e9\\U0001F600\\101\\0\\'\\v\\/\\q\\\n!'"), "",
      "0:f{\"a\":\"A\xc3\xa9\xf0\x9f\x98\x80" "A\\u0000'\\u000b/\\\\q!\"};", NULL },
    { "surrogates meet", F("a='\\ud83d\\ude00 \\ud83d!'"), "", "0:f{\"a\":\"\xf0\x9f\x98\x80 \xef\xbf\xbd!\"};", NULL },
    { "prefixes", F("a=r'\\d+\\'x', b=b'y', c=f\"z\""), "", "0:f{\"a\":\"\\\\d+\\\\'x\",\"b\":\"y\",\"c\":\"z\"};", NULL },
    { "triple quotes", F("a=\"\"\"it's \"quoted\"\n\"\"\", b=''"), "", "0:f{\"a\":\"it's \\\"quoted\\\"\\n\",\"b\":\"\"};", NULL },
    { "given twice", F("n=1, n=2"), "", "0:f{\"n\":1,\"n\":2};", "given twice" },
    { "merged dictionary", F("**{\"a b\": 1, 'c': [2]}, n=3"), "", "0:f{\"a b\":1,\"c\":[2],\"n\":3};", NULL },
    { "positional of a known tool", F("'x', 3"), "", "0:f{\"a\":\"x\",\"n\":3};", NULL },
    { "positional of an unknown tool", S "[g('x'), f(n=1)]" E, "", "0:g 1:f{\"n\":1};", "without a name" },
    { "bare word for a string", F("a=foo, n=1"), "", "0:f{\"a\":\"foo\",\"n\":1};", NULL },
    { "bare word for a number", F("n=foo"), "", "0:f{\"n\":", "foo is neither" },
    { "positional bare word", F("foo"), "", "0:f{\"a\":\"foo\"};", NULL },
    { "missing comma", S "[f(n=1 a='x'), f(n=2)]" E, "", "0:f{\"n\":1 1:f{\"n\":2};", "not followed by" },

    { "JSON call", S "[{\"name\": \"f\", \"arguments\": {\"a\": \"x\", \"n\": 3}}]" E, "", "0:f{\"a\":\"x\",\"n\":3};", NULL },
    { "JSON without list", S "{\"name\":\"f\",\"arguments\":{}}" E, "", "0:f{};", NULL },
    { "JSON, two", S "[{\"name\":\"f\",\"arguments\":{\"n\":1}},{\"name\":\"get.time\",\"arguments\":{}}]" E, "",
      "0:f{\"n\":1}; 1:get.time{};", NULL },
    { "JSON, parameters", S "[{\"name\":\"f\",\"parameters\":{\"n\":1}}]" E, "", "0:f{\"n\":1};", NULL },
    { "JSON, arguments first", S "[{\"arguments\":{\"n\":1},\"name\":\"f\"}]" E, "", "0:f{\"n\":1};", NULL },
    { "JSON, no arguments", S "[{\"name\":\"f\"}]" E, "", "0:f{};", NULL },
    { "JSON, arguments null", S "[{\"name\":\"f\",\"arguments\":null}]" E, "", "0:f{};", NULL },
    { "JSON, arguments as text", S "[{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": \\\"x\\\"}\"}]" E, "", "0:f{\"a\":\"x\"};", NULL },
    { "JSON, wrapped", S "[{\"type\":\"function\",\"id\":7,\"function\":{\"name\":\"f\",\"arguments\":{\"n\":1}}}]" E, "",
      "0:f{\"n\":1};", NULL },
    { "JSON, no name", S "[{\"arguments\":{\"n\":1}},{\"name\":\"f\"}]" E, "", "0:f{};", "without a name" },
    { "JSON, arguments are a list", S "[{\"name\":\"f\",\"arguments\":[1]},{\"name\":\"f\"}]" E, "", "0:f 1:f{};", "no object" },
    { "JSON, arguments cut inside text", S "[{\"name\":\"f\",\"arguments\":\"{\"}]" E, "", "0:f", "no object" },
    { "JSON, escapes become few", S "[{\"name\":\"f\",\"arguments\":{\"a\":\"\\u0041\\/\\u00e9\\n\"}}]" E, "",
      "0:f{\"a\":\"A/\xc3\xa9\\n\"};", NULL },
    { "JSON, name with escapes", S "[{\"name\":\"\\u0066\",\"arguments\":{}}]" E, "", "0:f{};", NULL },
    { "both ways in one list", S "[f(n=1), {\"name\":\"f\",\"arguments\":{\"n\":2}}]" E, "", "0:f{\"n\":1}; 1:f{\"n\":2};", NULL },

    { "prose in a block", "Well." S "Sorry, I can't (yet)." E "Ask again.", "Well.\nSorry, I can't (yet).\nAsk again.", "", "call 1: a name is not followed" },
    { "a list of nothing that is a call", S "[1, 2]" E, "[1, 2]", "", "call 1" },
    { "a name alone", S "[f", "[f", "", "the call was cut" },
    { "prose beside a call", S "[f(n=1), and so on]" E, "", "0:f{\"n\":1};", "call 2" },

    { "malformed bytes become U+FFFD", "a\xff" "b\xe2\x82", "a\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd", "", NULL },
    { "malformed bytes in a string", F("a='\xe2\x82x\xc3'"), "", "0:f{\"a\":\"\xef\xbf\xbd\xef\xbf\xbdx\xef\xbf\xbd\"};", NULL },
    { "whole characters", F("a='h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80'"), "", "0:f{\"a\":\"h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"};", NULL },
    { "half a marker is text", "a <|tool_call_st and <|tool_call_start", "a <|tool_call_st and <|tool_call_start", "", NULL },
    { "an end marker alone", "Hello" E ".", "Hello.", "", NULL },
};

static void check_row(const struct row *r, const char *dialect, const struct json *tools, size_t step)
{
    struct fold f;
    struct err e = { 0 };
    bool ok = read_in_pieces(dialect, tools, r->in, strlen(r->in), step, &f, &e);
    CHECK(!strcmp(or_empty(&f.text), r->text), "%s (by %zu): text \"%s\"", r->why, step, or_empty(&f.text));
    CHECK(!strcmp(or_empty(&f.calls), r->calls), "%s (by %zu): calls %s", r->why, step, or_empty(&f.calls));
    CHECK(ok == !r->problem && (ok || strstr(e.msg, r->problem)), "%s (by %zu): problem \"%s\"", r->why, step, e.msg);
    CHECK(f.whole_utf8, "%s (by %zu): every event is whole UTF-8", r->why, step);
    fold_done(&f);
}

TEST(every_quirk_is_read_the_same_however_it_is_cut)
{
    struct json *tools = parse(tools_text);
    static const size_t steps[] = { 1, 2, 3, 7, 1000 };
    for (size_t i = 0; i < LEN(rows); i++)
        for (size_t k = 0; k < LEN(steps); k++) {
            check_row(&rows[i], "lfm2", tools, steps[k]);
            check_row(&rows[i], "lfm2-json", tools, steps[k]);
        }
    json_free(tools);
}

/* The dialect without markers: strict reading, as with the grammar on. */
TEST(a_list_of_calls_may_be_the_marker)
{
    static const struct { const char *in, *text, *calls; bool ok; } list[] = {
        { "[{\"name\":\"f\",\"arguments\":{\"n\":1}},{\"name\":\"g\",\"arguments\":{}}]", "", "0:f{\"n\":1}; 1:g{};", true },
        { "Sure: [{\"name\":\"f\",\"arguments\":{}}]", "Sure: ", "0:f{};", true },
        { "[[{\"name\":\"f\",\"arguments\":{}}]", "[", "0:f{};", true },
        { " [{\"na [{\"name\" :", " [{\"na [{\"name\" :", "", true },
        { "[{\"name\":", "[{\"name\":", "", true },
        { "[{\"name\": ", "[{\"name\": ", "", true },
        { "a [{\"name\": \"f\", \"arguments\": {\"n\": 1}}]", "a ", "0:f{\"n\":1};", true },
        { "<think>x</think> y", "<think>x</think> y", "", true },
        { "f(n=1)", "f(n=1)", "", true },
        { "[{\"name\":\"f\",\"arguments\":{\"n\":", "", "0:f{\"n\":", false },
    };
    const struct dialect *d = dialect_find("json");
    for (size_t i = 0; i < LEN(list); i++)
        for (size_t step = 1, len = strlen(list[i].in); step < 40; step += 3) {
            struct fold f = { .whole_utf8 = true };
            struct err e = { 0 };
            struct parser *p = d->parser_open(&(struct turn){ 0 }, on_event, &f);
            for (size_t k = 0; k < len; k += step) parser_feed(p, list[i].in + k, MIN(step, len - k), false);
            CHECK(parser_close(p, false, &e) == list[i].ok, "%s: %s", list[i].in, e.msg);
            CHECK(!strcmp(or_empty(&f.text), list[i].text), "%s: %s", list[i].in, or_empty(&f.text));
            CHECK(!strcmp(or_empty(&f.calls), list[i].calls), "%s: %s", list[i].in, or_empty(&f.calls));
            fold_done(&f);
        }
}

TEST(reasoning_comes_apart_from_text)
{
    static const struct { const char *in, *thought, *text; } list[] = {
        { "<think>hm </thi x</think>\n\nHello", "hm </thi x", "Hello" },
        { "\n<think></think>Hello", "", "Hello" },
        { "<think>no end", "no end", "" },
        { "a <think>b</think>", "", "a <think>b</think>" },
        { "<think>f" F("n=1"), "f", "" },
    };
    for (size_t i = 0; i < LEN(list); i++)
        for (size_t step = 1; step < 30; step += 4) {
            struct fold f;
            struct err e = { 0 };
            read_in_pieces("lfm2", NULL, list[i].in, strlen(list[i].in), step, &f, &e);
            CHECK(!strcmp(or_empty(&f.thought), list[i].thought), "%s: %s", list[i].in, or_empty(&f.thought));
            CHECK(!strcmp(or_empty(&f.text), list[i].text), "%s: %s", list[i].in, or_empty(&f.text));
            fold_done(&f);
        }
}

/* Text that spells a marker is text when tokens are known; only the token opens a block. */
TEST(a_marker_in_text_is_text)
{
    const struct dialect *d = dialect_find("lfm2-json");
    struct fold f = { .whole_utf8 = true };
    struct err e = { 0 };
    struct json *tools = parse(tools_text);
    struct parser *p = d->parser_open(&(struct turn){ .tools = tools }, on_event, &f);
    const char *spelled = S "[f(n=1)]" E;
    parser_feed(p, spelled, strlen(spelled), false);
    CHECK(parser_close(p, false, &e) && !f.calls.len && !strcmp(or_empty(&f.text), spelled), "%s", or_empty(&f.text));
    fold_done(&f);
    f = (struct fold){ .whole_utf8 = true };
    p = d->parser_open(&(struct turn){ .tools = tools }, on_event, &f);
    parser_feed(p, "[f(n=1)]", 8, false);
    CHECK(parser_close(p, false, &e) && !f.calls.len, "no call without markers while the grammar is on: %s", or_empty(&f.calls));
    fold_done(&f);
    json_free(tools);
}

/* The name is reported with the bracket behind it, arguments as they come. */
TEST(calls_stream)
{
    const struct dialect *d = dialect_find("lfm2");
    struct fold f = { .whole_utf8 = true };
    struct err e = { 0 };
    struct parser *p = d->parser_open(&(struct turn){ 0 }, on_event, &f);
    parser_feed(p, S, strlen(S), true);
    parser_feed(p, "[get(", 5, false);
    CHECK(!strcmp(or_empty(&f.calls), "0:get"), "%s", or_empty(&f.calls));
    parser_feed(p, "city=\"Os", 8, false);
    CHECK(!strcmp(or_empty(&f.calls), "0:get{\"city\":\"Os"), "%s", or_empty(&f.calls));
    parser_feed(p, "lo\", x={\"k\": [1,", 16, false);
    CHECK(!strcmp(or_empty(&f.calls), "0:get{\"city\":\"Oslo\",\"x\":{\"k\":[1"), "%s", or_empty(&f.calls));
    parser_feed(p, "2]})]", 5, false);
    CHECK(!strcmp(or_empty(&f.calls), "0:get{\"city\":\"Oslo\",\"x\":{\"k\":[1,2]}};"), "%s", or_empty(&f.calls));
    parser_feed(p, E, strlen(E), true);
    CHECK(parser_close(p, false, &e), "%s", e.msg);
    fold_done(&f);
}

/* ---- hostile input ---------------------------------------------------------------------------------------- */

static void feed_repeated(const char *head, const char *unit, size_t n, const char *tail)
{
    struct str s = { 0 };
    struct fold f;
    struct err e = { 0 };
    uint64_t t0 = clock_ns();
    str_puts(&s, head);
    for (size_t i = 0; i < n; i++) str_puts(&s, unit);
    str_puts(&s, tail);
    read_in_pieces("lfm2", NULL, s.p, s.len, 97, &f, &e);
    double seconds = (double)(clock_ns() - t0) / 1e9;
    CHECK(seconds < 20, "%s%s…: %.1f s for %zu bytes", head, unit, seconds, s.len);
    CHECK(f.whole_utf8, "%s%s…", head, unit);
    fold_done(&f);
    str_done(&s);
}

TEST(long_and_deep_input_is_linear_and_bounded)
{
    static const char *const units[] = { "[", "(", "{", "'", "\"", "\\", "f(", "1", " ", ",", "{1:", "'' ", "\xf0", "a=", "<",
                                         "\"\"\"", "(1,", "**{", S, E };
    for (size_t i = 0; i < LEN(units); i++) {
        feed_repeated(S "[f(a=", units[i], 100000, ")]" E);
        feed_repeated(S "[", units[i], 100000, "");
        feed_repeated("", units[i], 100000, "");
        feed_repeated(S "[{\"name\":\"f\",\"arguments\":", units[i], 100000, "");
    }
}

TEST(depth_is_bounded)
{
    struct str s = { 0 };
    struct fold f;
    struct err e = { 0 };
    str_puts(&s, S "[f(a=");
    for (int i = 0; i < 100; i++) str_putc(&s, '[');
    for (int i = 0; i < 100; i++) str_putc(&s, ']');
    str_puts(&s, "), get.time()]" E);
    CHECK(!read_in_pieces("lfm2", NULL, s.p, s.len, 5, &f, &e) && strstr(e.msg, "nested too deeply"), "%s", e.msg);
    CHECK(strstr(or_empty(&f.calls), "1:get.time{};"), "the call after it is kept: %s", or_empty(&f.calls));
    fold_done(&f);
    str_done(&s);
}

static const char *const scraps[] = { S, E, "[", "]", "(", ")", "{", "}", "f", "get.time", "=", ",", ":", "'", "\"", "\\", "\\u12", "\n",
    " ", "True", "-", "1", ".", "e5", "name", "\"name\"", "\"arguments\"", "**", "r'", "\xe2\x82\xac", "\xe2", "<think>", "</think>", "x" };

/* Random scraps: no cut changes what is read, finished calls hold JSON. */
TEST(random_scraps_read_the_same_however_they_are_cut)
{
    struct json *tools = parse(tools_text);
    for (uint64_t k = 0; k < 4000; k++) {
        struct rng r = rng_make(7, k, 0);
        struct str s = { 0 };
        struct fold a, b;
        struct err ea = { 0 }, eb = { 0 };
        if (rng_below(&r, 2)) str_puts(&s, S "[f(a=");
        for (uint32_t n = rng_below(&r, 30); n; n--) str_puts(&s, scraps[rng_below(&r, LEN(scraps))]);
        const char *text = s.p ? s.p : "";
        bool oka = read_in_pieces("lfm2", tools, text, s.len, s.len + 1, &a, &ea);
        bool okb = read_in_pieces("lfm2", tools, text, s.len, 1 + rng_below(&r, 4), &b, &eb);
        CHECK(oka == okb && !strcmp(ea.msg, eb.msg), "seed %d: \"%s\" or \"%s\"", (int)k, ea.msg, eb.msg);
        CHECK(!strcmp(or_empty(&a.calls), or_empty(&b.calls)), "seed %d %s: %s or %s", (int)k, text, or_empty(&a.calls), or_empty(&b.calls));
        CHECK(!strcmp(or_empty(&a.text), or_empty(&b.text)), "seed %d %s: %s or %s", (int)k, text, or_empty(&a.text), or_empty(&b.text));
        CHECK(a.whole_utf8 && b.whole_utf8, "seed %d", (int)k);
        fold_done(&a);
        fold_done(&b);
        str_done(&s);
    }
    json_free(tools);
}

TEST_MAIN
