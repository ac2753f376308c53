/* test_dialect.c -- every dialect: what is written is read back, whole, cut anywhere, malformed; text is
 * held back no longer than it may begin a marker; nothing costs more than its length. */
#include "quoted.h"
#include "text/text.h"

/* ---- a fold that minds the order of events -------------------------------------------------------- */

struct fold { struct str text, calls; int open, n, n_end; bool whole_utf8; };

static void on_event(void *ctx, const struct parse_event *ev)
{
    struct fold *f = ctx;
    if (ev->len && !utf8_valid(ev->bytes, ev->len)) f->whole_utf8 = false;
    switch (ev->kind) {
    case PARSE_TEXT: case PARSE_REASONING:
        CHECK(ev->len, "an empty piece of text");
        if (ev->kind == PARSE_REASONING) str_putc(&f->text, '~');
        str_put(&f->text, ev->bytes, ev->len);
        break;
    case PARSE_CALL_BEGIN:
        CHECK(ev->index == f->n && ev->len, "call %d begins as number %d", ev->index, f->n);
        f->open = f->n++;
        str_fmt(&f->calls, "%s%.*s", f->n > 1 ? " " : "", (int)ev->len, ev->bytes);
        break;
    case PARSE_CALL_ARGS:
        CHECK(f->open == ev->index && ev->len, "arguments of %d while %d is open", ev->index, f->open);
        str_put(&f->calls, ev->bytes, ev->len);
        break;
    case PARSE_CALL_END:
        CHECK(f->open == ev->index, "end of %d while %d is open", ev->index, f->open);
        f->open = -1;
        f->n_end++;
        str_putc(&f->calls, ';');
        break;
    }
}

static void fold_done(struct fold *f)
{
    str_done(&f->text);
    str_done(&f->calls);
}

static const char *or_empty(const struct str *s) { return s->p ? s->p : ""; }

/* ---- the table ------------------------------------------------------------------------------------- */

static const char tools_text[] =
    "[{'type':'function','function':{'name':'weather','parameters':{'type':'object','properties':{'city':{'type':'string'},'q':{}}}}},"
    "{'type':'function','function':{'name':'weather_map'}},{'type':'function','function':{'name':'clock'}}%s]";

#define FROM "\n<|from|>assistant\n<|recipient|>"
#define SEP "<|reserved_special_token_249|>"
#define START "<|START_OF_FUNCTION_CALL|>"
#define TAG "<|python_tag|>"
#define OPEN "<tool_call>\n"
#define CLOSE "\n</tool_call>"
#define V1 "functionary-v1"
#define V2 "functionary-v2"
#define L3 "functionary-v2.llama3"
#define V32 "functionary-v3.2"
#define V31 "functionary-v3.1"
#define V4R "functionary-v4r"
#define H "hermes"
#define L31 "llama3.1"

/* how: "code" declares a code interpreter, "none", "required" and =NAME are choices, "cut": by a limit.
 * calls: NAME ARGUMENTS and `;` if it ended well. */
static const struct row { const char *why, *dialect, *how, *in, *text, *calls; } rows[] = {
    /* what Functionary's own streaming and parsing got wrong */
    { "a name that begins another", V32, "", "weather_map\n{\"a\": 1}", "", "weather_map{\"a\":1};" },
    { "a name that is the beginning of another", V32, "", "weather\n{}>>>weather_map\n{}", "", "weather{}; weather_map{};" },
    { "the same", V2, "", "weather\n<|content|>{}" FROM "weather_map\n<|content|>{}", "", "weather{}; weather_map{};" },
    { "the same", L3, "", SEP "weather_map\n{}" SEP "weather\n{}", "", "weather_map{}; weather{};" },
    { "a name that is not known", V32, "", "wind\n{\"a\":[1, 2]}", "", "wind{\"a\":[1,2]};" },
    { "the same", L3, "", SEP "wind\n{}", "", "wind{};" },
    { "the line after a line end", V2, "", "all\n<|content|>a\n\nb\nc", "a\n\nb\nc", "" },
    { "an answer of one piece", L3, "", "Yes", "Yes", "" },
    { "the same", V31, "", "Yes", "Yes", "" },
    { "arrows in text", V32, "", "all\nAt the prompt type >>> import this\n>>>\n>>>clocks\n", "At the prompt type >>> import this\n>>>\n>>>clocks\n", "" },
    { "arrows that become a mark", V32, "", "all\nNow >>>>clock\n{}", "Now >", "clock{};" },
    { "name, line end and brace at once", L3, "", "Hm" SEP "clock\n{\"a\":\"b\"}", "Hm", "clock{\"a\":\"b\"};" },
    { "a line end in a string", L3, "", SEP "clock\n{\"a\":\"b\nc\"} ", "", "clock{\"a\":\"b\nc\"};" },
    { "an end tag in a string", V31, "", "<function=clock>{\"a\":\"</function>\"}</function>!", "!", "clock{\"a\":\"</function>\"};" },
    { "no name", V31, "", "<function=></function>", "<function=></function>", "" },
    { "no header at all", V32, "", "Good morning.", "Good morning.", "" },
    { "the same", V2, "", "Good morning.", "Good morning.", "" },
    { "several texts", V2, "", "all\n<|content|>A" FROM "all\n<|content|>B" FROM "clock\n<|content|>{}" FROM "all\n<|content|>C", "A\nB\nC", "clock{};" },
    { "several texts", V32, "", "all\nA>>>clock\n{}>>>all\nB", "A\nB", "clock{};" },
    { "text after a forced call", V31, "=clock", "{} </function> and so on <function=clock>{}</function>", "", "clock{};" },
    { "code keeps its line ends", V32, "code", "python\nif x:\n    y\n\n", "", "pythonif x:\n    y\n\n;" },
    { "text keeps its blanks", L3, "", "  a \n" SEP "clock\n{}", "  a \n", "clock{};" },

    /* headers and bodies */
    { "blank text is none", V32, "", "all\n \n>>>clock\n{}", "", "clock{};" },
    { "blank text that is all", V32, "", "all\n \n", " \n", "" },
    { "blank text that is all", H, "", "\n ", "\n ", "" },
    { "blanks around arguments", V32, "", "clock\n  { \"a\" : [ 1 , true ] }  >>>clock\n{}", "", "clock{\"a\":[1,true]}; clock{};" },
    { "no arguments", V32, "", "clock\n>>>weather\n", "", "clock{}; weather{};" },
    { "a known name alone", V2, "", "clock", "", "clock{};" },
    { "a known name alone, cut", V2, "cut", "clock", "", "" },
    { "the beginning of a name, cut", V32, "cut", "weat", "", "" },
    { "the beginning of a name", V32, "", "weat", "weat", "" },
    { "half an answer, cut", V32, "cut", "all\nHalf an", "Half an", "" },
    { "half a call, cut", V32, "cut", "weather\n{\"city\": \"Os", "", "weather{\"city\":\"Os" },
    { "half a call", V32, "", "weather\n{\"city\": \"Os", "", "weather{\"city\":\"Os" },
    { "half code, cut", V2, "code cut", "python\n<|content|>x = ", "", "pythonx = " },
    { "half a mark", V32, "", "all\na >>", "a >>", "" },
    { "half a mark, cut", V31, "cut", "a <func", "a <func", "" },
    { "half a tag, cut", V31, "cut", "a <function=clo", "a ", "" },
    { "half a tag", V31, "", "a <function=clo", "a <function=clo", "" },
    { "arguments that are none", V32, "", "weather\n in Oslo, please \n>>>clock\n{}", "", "weatherin Oslo, please; clock{};" },
    { "arguments that break off", L3, "", SEP "weather\n{\"q\": oops }" SEP "clock\n{}", "", "weather{\"q\":oops }; clock{};" },
    { "open arguments before a mark", L3, "", SEP "weather\n{\"q\": 1" SEP "clock\n{}", "", "weather{\"q\":1 clock{};" },
    { "what follows the arguments", V2, "", "clock\n<|content|>{} tick" FROM "clock\n<|content|>{}", "", "clock{}; clock{};" },
    { "a space after each token", V2, "", " weather\n<|content|> {\"q\":1}\n<|from|> assistant\n<|recipient|> all\n<|content|>  b", " b", "weather{\"q\":1};" },
    { "somebody else speaks", V2, "", "all\n<|content|>a\n<|from|>clock\n<|recipient|>all\n<|content|>12", "a", "" },
    { "a repeated beginning", V2, "", "<|from|>assistant\n<|recipient|>clock\n<|content|>{}", "", "clock{};" },
    { "no line end before the body", V2, "", "clock<|content|>{}", "", "clock{};" },
    { "text and a call", V1, "", "\nSure.\n" START "clock:\n{\"at\": \"10:15\"}<|END_OF_FUNCTION_CALL|>", "Sure.", "clock{\"at\":\"10:15\"};" },
    { "a call alone", V1, "", "\n" START "clock:\n{}", "", "clock{};" },
    { "text alone", V1, "", "\n\nTime: 10:15\n<|END_OF_ASSISTANT|>", "\nTime: 10:15\n", "" },
    { "a token without a name", L3, "", "a" SEP "b c", "ab c", "" },

    /* choices */
    { "none: marks are text", V32, "none", "A >>>clock\n{}", "A >>>clock\n{}", "" },
    { "none: tags are text", V31, "none", "<function=clock>{}</function>", "<function=clock>{}</function>", "" },
    { "none: tags are text", H, "none", "a\n" OPEN "{}" CLOSE, "a\n" OPEN "{}" CLOSE, "" },
    { "none: a token ends it", V2, "none", "Hi" FROM "clock\n<|content|>{}", "Hi", "" },
    { "none: a token ends it", L3, "none", "Hi" SEP "clock\n{}", "Hi", "" },
    { "none: a token ends it", V31, "none", "Hi" TAG "x", "Hi", "" },
    { "none: a call is text", L31, "none", "{\"name\": \"clock\", \"parameters\": {}}", "{\"name\": \"clock\", \"parameters\": {}}", "" },
    { "required", V31, "required", "clock>{}</function><function=clock>{}</function>", "", "clock{}; clock{};" },
    { "required", L3, "required", "clock\n{}", "", "clock{};" },
    { "required", H, "required", "{\"name\": \"clock\", \"arguments\": {}}" CLOSE, "", "clock{};" },
    { "named", V32, "=clock", "{\"a\":1}>>>weather\n{}", "", "clock{\"a\":1};" },
    { "named", V2, "=clock", "{\"a\":1}" FROM "weather\n<|content|>{}", "", "clock{\"a\":1};" },
    { "named", L3, "=clock", "{}" SEP "clock\n{}", "", "clock{};" },
    { "named", H, "=clock", "\": {\"a\": 1}}" CLOSE "\nThere.", "", "clock{\"a\":1};" },

    /* source */
    { "code", V32, "code", "all\nRun:>>>python\nprint('>>>clocks')\n>>>clock\n{}", "Run:", "pythonprint('>>>clocks')\n; clock{};" },
    { "code", V2, "code", "python\n<|content|> a = 1\n" FROM "clock\n<|content|>{}", "", "pythona = 1\n; clock{};" },
    { "code", L3, "code", SEP "python\nx\n" SEP "clock\n{}", "", "pythonx\n; clock{};" },
    { "code to the end", V31, "code", "See." TAG "f(\"<function=clock>{}</function>\")\n", "See.", "pythonf(\"<function=clock>{}</function>\")\n;" },
    { "a tag without an interpreter", V31, "", TAG "print(1)", "print(1)", "" },
    { "code as JSON", H, "code", OPEN "{\"name\": \"python\", \"arguments\": {\"code\": \"a = \\\"\\u00e9\\\"\\n\"}}" CLOSE, "", "pythona = \"\xc3\xa9\"\n;" },
    { "code as JSON, cut", H, "code cut", OPEN "{\"name\": \"python\", \"arguments\": {\"code\": \"a\\tb", "", "pythona\tb" },
    { "code that is none", H, "code", OPEN "{\"name\": \"python\", \"arguments\": {\"x\": 1}}" CLOSE, "", "python{\"x\":1};" },
    { "code as Python", "lfm2", "code", "<|tool_call_start|>[python(code='print(\"a\")\\n')]<|tool_call_end|>", "", "pythonprint(\"a\")\n;" },
    { "code as JSON", "lfm2-json", "code", "<|tool_call_start|>[{\"name\":\"python\",\"arguments\":{\"code\":\"1\\u0007\"}}]<|tool_call_end|>", "", "python1\a;" },
    { "python without an interpreter", V32, "", "python\nprint(1)", "python\nprint(1)", "" },
    { "code", L31, "code", TAG "{\"name\": \"x\"}", "", "python{\"name\": \"x\"};" },

    /* tags */
    { "text around", V31, "", "a<function=clock>{}</function> b <function=weather>{}</function>\nc", "a b \nc", "clock{}; weather{};" },
    { "an unknown name in prose", V31, "", "The tag <function=wind> opens.", "The tag <function=wind> opens.", "" },
    { "an unknown name and an object", V31, "", "<function=wind> {\"a\":1}</function>", "", "wind{\"a\":1};" },
    { "no end tag", V31, "", "<function=clock>{}<function=clock>{} done", " done", "clock{}; clock{};" },
    { "a late end tag", V31, "", "<function=clock>{} so </function>.", " so .", "clock{};" },
    { "blanks before the end tag", V4R, "", "I think so.\n<function=clock> {} \n</function>\n", "I think so.\n", "clock{};" },
    { "less-than signs", V31, "", "a<b<<c</d<f<functions", "a<b<<c</d<f<functions", "" },
    { "two calls and text", H, "", "Hi\n" OPEN "{\"name\": \"clock\", \"arguments\": {}}" CLOSE "\n" OPEN "{\"name\": \"weather\", \"arguments\": {\"q\": [1, 2]}}" CLOSE, "Hi", "clock{}; weather{\"q\":[1,2]};" },
    { "arguments first", H, "", OPEN "{\"arguments\": {\"q\": \"}\"}, \"name\": \"weather\"}" CLOSE, "", "weather{\"q\":\"}\"};" },
    { "other members", H, "", OPEN "{\"id\": {\"a\": \"}\"}, \"name\": \"clock\", \"arguments\": {}, \"x\": \"<\"}" CLOSE " b", " b", "clock{};" },
    { "parameters", H, "", OPEN "{\"name\":\"clock\",\"parameters\":{}}" CLOSE, "", "clock{};" },
    { "no head", H, "", "a\n" OPEN "{\"nome\": \"clock\"}" CLOSE, "a\n" OPEN "{\"nome\": \"clock\"}" CLOSE, "" },
    { "nothing of a head", H, "", "a\n<tool_call>``b</tool_", "a\n<tool_call>``b</tool_", "" },
    { "nothing of a head, twice", H, "required", "r\n<tool_call>``b</tool_", OPEN "r\n<tool_call>``b</tool_", "" },
    { "no name known and no object", H, "", OPEN "{\"name\": \"wind\", \"arguments\": 3}", OPEN "{\"name\": \"wind\", \"arguments\": 3}", "" },
    { "half a head, cut", H, "cut", "a\n" OPEN "{\"name\": \"clock\", \"arg", "a", "" },
    { "no end tag", H, "", OPEN "{\"name\": \"clock\", \"arguments\": {}}\nNext.", "\nNext.", "clock{};" },
    { "text behind", H, "", "a\n\n" OPEN "{\"name\": \"clock\", \"arguments\": {}}" CLOSE "\nb", "a\n\nb", "clock{};" },
    { "a tag in a string", H, "", OPEN "{\"name\": \"clock\", \"arguments\": {\"s\": \"</tool_call>\"}}" CLOSE, "", "clock{\"s\":\"</tool_call>\"};" },

    /* an object as the whole answer */
    { "a call", L31, "", "{\"name\": \"clock\", \"parameters\": {\"a\": 1}}<|eom_id|>", "", "clock{\"a\":1};" },
    { "behind the tag", L31, "", TAG "{\"name\": \"clock\", \"parameters\": {}}", "", "clock{};" },
    { "several", L31, "", "{\"name\": \"clock\", \"parameters\": {}}; {\"name\": \"weather\", \"parameters\": {\"q\": 1}}", "", "clock{}; weather{\"q\":1};" },
    { "built in", L31, "", TAG "clock.call(a=\"b\")", "", "clock{\"a\":\"b\"};" },
    { "text", L31, "", "It is noon.", "It is noon.", "" },
    { "JSON that is no call", L31, "", "{\"time\": 12}", "{\"time\": 12}", "" },
    { "an object about something else", L31, "", "{\"name\": \"clocks\", \"parameters\": {}}", "{\"name\": \"clocks\", \"parameters\": {}}", "" },
    { "half a call, cut", L31, "cut", "{\"name\": \"clock\", \"parameters\": {\"a\": \"b", "", "clock{\"a\":\"b" },
    { "a list in an object", "json", "", "{\"tool_calls\": [{\"name\": \"clock\", \"arguments\": {}}, {\"name\": \"weather\", \"arguments\": {\"q\": 2}}]}", "", "clock{}; weather{\"q\":2};" },
    { "a bracket behind a list", "json", "", "[{\"name\":\"clock\",\"arguments\":{}}] [1] x", "[1] x", "clock{};" },
    { "a list behind a list", "json", "", "[{\"name\":\"clock\",\"arguments\":{}}] [{\"name\":\"weather\",\"arguments\":{}}]", "", "clock{}; weather{};" },
    { "type before the name, as in the list of tools", L31, "", "{\"type\": \"function\", \"name\": \"clock\", \"parameters\": {\"a\": 1}}", "", "clock{\"a\":1};" },
    { "the same without blanks", L31, "", "{\"type\":\"function\",\"name\":\"clock\",\"parameters\":{}}", "", "clock{};" },
    { "type before a name that is not known", L31, "", "{\"type\": \"function\", \"name\": \"clocks\", \"parameters\": {}}",
      "{\"type\": \"function\", \"name\": \"clocks\", \"parameters\": {}}", "" },
    { "type of something else", L31, "", "{\"type\": \"fun\"}", "{\"type\": \"fun\"}", "" },
    { "wrapped as the API writes it", L31, "", "{\"type\": \"function\", \"function\": {\"name\": \"clock\", \"parameters\": {\"a\": 1}}}", "", "clock{\"a\":1};" },
    { "blanks as most models write JSON", "json", "", "Well: [{\"name\": \"clock\", \"arguments\": {\"a\": 1}}, {\"name\": \"weather\", \"arguments\": {}}]", "Well: ",
      "clock{\"a\":1}; weather{};" },
    { "a list of people", "json", "", "Here: [{\"name\": \"Ann\"}, {\"name\":\"clo\"}] [{\"name\":\"clockmaker\"}]", "Here: [{\"name\": \"Ann\"}, {\"name\":\"clo\"}] [{\"name\":\"clockmaker\"}]", "" },
    { "two blanks are text", "json", "", "Well: [{\"name\":  \"clock\"}]", "Well: [{\"name\":  \"clock\"}]", "" },
    { "a list of something else", "json", "", "Well: [{\"name\": 5}, [{\"nam", "Well: [{\"name\": 5}, [{\"nam", "" },
    { "half a beginning", "json", "", "Well: [{\"name\": ", "Well: [{\"name\": ", "" },
    { "one beginning in another", "json", "", "Well: [{\"name\": [{\"name\":[{\"name\": \"clock\", \"arguments\": {}}]", "Well: [{\"name\": [{\"name\":", "clock{};" },
    { "a whole answer that is no call", "json", "", "[{\"name\": [{\"name\":[{\"name\": \"clock\"}]", "[{\"name\": [{\"name\":[{\"name\": \"clock\"}]", "" },
    { "a bracket behind a call", L31, "", "{\"name\": \"clock\", \"parameters\": {}} [1]", "[1]", "clock{};" },
    { "a list", "json", "", "[{\"name\": \"clock\", \"arguments\": {}}]", "", "clock{};" },

    /* escapes and numbers in arguments */
    { "escapes become few", V32, "", "clock\n{\"a\":\"\\u0041\\/\\u00e9\\n\\ud83d\\ude00\\ud83d!\"}", "", "clock{\"a\":\"A/\xc3\xa9\\n\xf0\x9f\x98\x80\xef\xbf\xbd!\"};" },
    { "an escape that is none", V32, "", "clock\n{\"a\":\"x\\q\"}", "", "clock{\"a\":\"x\\q\"};" },
    { "half a pair and no escape", V32, "", "clock\n{\"a\":\"\\ud83d\\uzz\"}", "", "clock{\"a\":\"\\ud83d\\uzz\"};" },
    { "numbers stay", V32, "", "clock\n{\"a\":[1.10, -0, 1E5,12e-07 ]}", "", "clock{\"a\":[1.10,-0,1E5,12e-07]};" },
    { "no number", V32, "", "clock\n{\"a\": 01}", "", "clock{\"a\":01};" },
    { "malformed bytes", V32, "", "all\na\xff" "b\xe2\x82", "a\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd", "" },
};

static struct json *tools_of(const char *how)
{
    struct str s = { 0 };
    str_fmt(&s, tools_text, strstr(how, "code") ? ",{'type':'code_interpreter'}" : "");
    struct json *v = parse(s.p);
    str_done(&s);
    return v;
}

static struct turn turn_of(const char *how, const struct json *tools)
{
    struct turn t = { .tools = tools };
    if (strstr(how, "none")) t.choice = CHOICE_NONE;
    if (strstr(how, "required")) t.choice = CHOICE_REQUIRED;
    if (*how == '=') t.choice = CHOICE_NAMED, t.name = how + 1;
    return t;
}

/* Pieces of `step` bytes, 0: of random length. */
static bool read_pieces(const char *dialect, const struct turn *t, bool cut, const char *s, size_t len, size_t step, struct fold *f)
{
    const struct dialect *d = dialect_find(dialect);
    struct rng r = rng_make(3, 0, len);
    struct prompt p = { 0 };
    struct wire w;
    struct err e = { 0 };
    *f = (struct fold){ .open = -1, .whole_utf8 = true };
    if (d->prefix) d->prefix(t->choice, t->name, &p);
    wire_open(&w, d, t, on_event, f);
    wire_feed(&w, p.text.p ? p.text.p : "", p.text.len, false);
    for (size_t i = 0, n; i < len; i += n) {
        n = step ? step : 1 + rng_below(&r, 9);
        n = MIN(n, len - i);
        wire_feed(&w, s + i, n, false);
    }
    prompt_done(&p);
    return wire_close(&w, cut, &e);
}

TEST(what_every_family_writes_is_read_however_it_is_cut)
{
    static const size_t steps[] = { 1000, 1, 2, 3, 7, 0 };
    for (size_t i = 0; i < LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct json *tools = tools_of(r->how);
        struct turn t = turn_of(r->how, tools);
        for (size_t k = 0; k < LEN(steps); k++) {
            struct fold f;
            read_pieces(r->dialect, &t, strstr(r->how, "cut"), r->in, strlen(r->in), steps[k], &f);
            CHECK(!strcmp(or_empty(&f.text), r->text), "%s: %s (by %zu): text \"%s\"", r->dialect, r->why, steps[k], or_empty(&f.text));
            CHECK(!strcmp(or_empty(&f.calls), r->calls), "%s: %s (by %zu): calls %s", r->dialect, r->why, steps[k], or_empty(&f.calls));
            CHECK(f.whole_utf8, "%s: %s (by %zu): every event is whole UTF-8", r->dialect, r->why, steps[k]);
            fold_done(&f);
        }
        json_free(tools);
    }
}

/* ---- random scraps ------------------------------------------------------------------------------------ */

static const char *const scraps[] = { "all", "\n", "weather", "weather_map", "clock", "python", "wind", " ", ">>>", ">", "<", "<function=", "</function>", OPEN,
    CLOSE, SEP, START, TAG, FROM, "<|content|>", "<|from|>", "<|recipient|>", "{", "}", "{}", "[", "]", ",", ":", "\"", "\\", "\\u00e9", "\\ud83d", "1", "-0.5e1",
    "true", "{\"name\": \"", "\"name\"", "\"arguments\"", "{\"name\": \"clock\", \"arguments\": ", "{\"city\": \"Oslo\"}", "a b", "\xe2\x82\xac", "\xe2", "<|tool_call_start|>[",
    "<|tool_call_end|>", "(", ")", "=", "'", "<|eot_id|", "assistant" };
enum { SCRAPS = SANITIZED ? 300 : 2000 };

static void scrap_text(struct rng *r, struct str *s)
{
    str_clear(s);
    for (uint32_t n = rng_below(r, 30); n; n--) str_puts(s, scraps[rng_below(r, LEN(scraps))]);
}

TEST(scraps_read_the_same_however_they_are_cut)
{
    static const char *const hows[] = { "", "code", "none", "required", "=clock", "code cut" };
    struct str s = { 0 };
    for (size_t d = 0; dialect_at(d); d++)
        for (uint64_t k = 0; k < SCRAPS; k++) {
            struct rng r = rng_make(9, d, k);
            const char *how = hows[rng_below(&r, LEN(hows))], *name = dialect_at(d)->name;
            struct json *tools = tools_of(how);
            struct turn t = turn_of(how, tools);
            struct fold a, b;
            bool cut = strstr(how, "cut");
            scrap_text(&r, &s);
            const char *text = s.p ? s.p : "";
            bool oka = read_pieces(name, &t, cut, text, s.len, s.len + 1, &a), okb = read_pieces(name, &t, cut, text, s.len, rng_below(&r, 4), &b);
            CHECK(oka == okb && !strcmp(or_empty(&a.calls), or_empty(&b.calls)), "%s %s seed %d: %s\n%s or\n%s", name, how, (int)k, text, or_empty(&a.calls), or_empty(&b.calls));
            CHECK(!strcmp(or_empty(&a.text), or_empty(&b.text)), "%s %s seed %d: %s\n%s or\n%s", name, how, (int)k, text, or_empty(&a.text), or_empty(&b.text));
            CHECK(a.whole_utf8 && b.whole_utf8 && (!oka || a.n == a.n_end), "%s %s seed %d: %s", name, how, (int)k, text);
            CHECK(t.choice != CHOICE_NONE || !a.n, "%s: a call although none: %s", name, text);
            CHECK(t.choice != CHOICE_NAMED || a.n <= 1, "%s: %d calls although one was named: %s", name, a.n, text);
            fold_done(&a);
            fold_done(&b);
            json_free(tools);
        }
    str_done(&s);
}

/* ---- streaming -------------------------------------------------------------------------------------------- */

/* What may be waited for, by dialect. A line end may belong to the marker behind it, and so waits for what may
 * still be a stop token too. */
static const struct { const char *dialect, *head; const char *mark[9]; } waits[] = {
    { V1, "\n", { "<|START_OF_FUNCTION_CALL|>", "<|END_OF_ASSISTANT|>", "<|END_OF_FUNCTION_CALL|>", "\n<|START_OF_FUNCTION_CALL|>", "</s>" } },
    { V2, "all\n<|content|>", { "\n<|from|>", "<|from|>", "<|recipient|>", "<|content|>", "<|stop|>" } },
    { L3, "", { SEP, "<|eot_id|>", "<|end_of_text|>" } },
    { V32, "all\n", { ">>>weather\n", ">>>weather_map\n", ">>>clock\n", ">>>all\n", "<|eot_id|>", "<|end_of_text|>" } },
    { V31, "", { "<function=weather_map>", "<function=clock>", TAG, "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<function=the" } },
    { H, "", { "\n<tool_call>", "\n<|im_end|>", "<tool_call>", "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>", "</s>", "<end_of_turn>" } },
    { L31, "", { "{\"name\": \"", TAG, "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>" } },
};

static bool begins_mark(size_t i, const char *s, size_t n)
{
    for (size_t k = 0; k < LEN(waits[i].mark) && waits[i].mark[k]; k++)
        if (n <= strlen(waits[i].mark[k]) && !memcmp(waits[i].mark[k], s, n)) return true;
    return n == 0;
}

TEST(text_waits_no_longer_than_it_may_begin_a_marker)
{
    static const char text[] = "Is 1 < 2 and 3 > 2? >>> x\n>>clock\n a<b <functional <function=the one> {name} <|eot> \n\n<tool_calls <|st \n<|fr>>>weatherman\n.";
    for (size_t i = 0; i < LEN(waits); i++) {
        struct json *tools = tools_of("");
        struct turn t = turn_of("", tools);
        struct fold f = { .open = -1 };
        struct wire w;
        struct err e = { 0 };
        wire_open(&w, dialect_find(waits[i].dialect), &t, on_event, &f);
        wire_feed(&w, waits[i].head, strlen(waits[i].head), false);
        for (size_t k = 0; k + 1 < sizeof text; k++) {
            wire_feed(&w, text + k, 1, false);
            size_t held = k + 1 - MIN(f.text.len, k + 1);
            CHECK(begins_mark(i, text + k + 1 - held, held), "%s waits with \"%.*s\"", waits[i].dialect, (int)held, text + k + 1 - held);
        }
        wire_close(&w, false, &e);
        CHECK(!strcmp(or_empty(&f.text), text) && !f.n, "%s: %s", waits[i].dialect, or_empty(&f.text));
        fold_done(&f);
        json_free(tools);
    }
}

/* The name as soon as its end is known, arguments as they come, before the next byte is there. */
static const struct { const char *dialect, *in, *calls; } streams[] = {
    { V32, "weather\n", "weather" }, { V32, "weather\n{\"city\": \"Os", "weather{\"city\":\"Os" }, { V2, "clock\n<|content|>", "clock" },
    { L3, SEP "clock\n", "clock" }, { V1, START "clock:", "clock" }, { V31, "<function=clock>", "clock" }, { V31, "<function=clock>{\"a\":[1,", "clock{\"a\":[1," },
    { V31, "<function=clock>{}", "clock{};" }, { H, OPEN "{\"name\": \"clock\", \"arguments\": {", "clock{" }, { L31, "{\"name\": \"clock\", ", "clock" },
};

TEST(names_and_arguments_stream)
{
    struct json *tools = tools_of("");
    for (size_t i = 0; i < LEN(streams); i++) {
        struct turn t = turn_of("", tools);
        struct fold f = { .open = -1 };
        struct wire w;
        struct err e = { 0 };
        wire_open(&w, dialect_find(streams[i].dialect), &t, on_event, &f);
        wire_feed(&w, streams[i].in, strlen(streams[i].in), false);
        CHECK(!strcmp(or_empty(&f.calls), streams[i].calls), "%s: %s: %s", streams[i].dialect, streams[i].in, or_empty(&f.calls));
        wire_close(&w, true, &e);
        fold_done(&f);
    }
    json_free(tools);
}

/* Where the vocabulary has the tokens their text is text; a token is the same as its text where it has not. */
TEST(tokens_count_as_tokens)
{
    static const struct { const char *dialect, *head, *token, *tail, *calls; } list[] = {
        { L3, "a", SEP, "clock\n{}", "clock{};" }, { V2, "all\n<|content|>a\n<|from|>assistant\n", "<|recipient|>", "clock\n", "" },
        { V31, "a", TAG, "x", "pythonx;" }, { H, "a\n", "<tool_call>", "{\"name\": \"clock\", \"arguments\": {}}", "clock{};" },
    };
    struct json *tools = tools_of("code");
    for (size_t i = 0; i < LEN(list); i++) {
        struct turn t = turn_of("", tools);
        struct fold f = { .open = -1 };
        struct err e = { 0 };
        struct parser *p = dialect_find(list[i].dialect)->parser_open(&t, on_event, &f);
        parser_feed(p, list[i].head, strlen(list[i].head), false);
        parser_feed(p, list[i].token, strlen(list[i].token), true);
        parser_feed(p, list[i].tail, strlen(list[i].tail), false);
        parser_close(p, false, &e);
        if (*list[i].calls) CHECK(!strcmp(or_empty(&f.calls), list[i].calls), "%s: %s", list[i].dialect, or_empty(&f.calls));
        fold_done(&f);
    }
    json_free(tools);
}

TEST(a_token_of_thought_opens_reasoning)
{
    struct fold f = { .open = -1 };
    struct err e = { 0 };
    struct parser *p = dialect_find(H)->parser_open(&(struct turn){ 0 }, on_event, &f);
    parser_feed(p, "<think>", 7, true);
    parser_feed(p, "\nHm", 3, false);
    parser_feed(p, "</think>", 8, true);
    parser_feed(p, "\n\nYes <think>", 13, false);
    parser_close(p, false, &e);
    CHECK(!strcmp(or_empty(&f.text), "~\nHmYes <think>"), "%s", or_empty(&f.text));
    fold_done(&f);
}

/* ---- hostile input ------------------------------------------------------------------------------------------ */

TEST(long_input_is_linear)
{
    static const char *const heads[] = { "", "all\n", "clock\n{\"a\":", "clock\n<|content|>{\"a\":\"", SEP "clock\n", "<function=clock>", OPEN, OPEN "{\"name\": \"clock\", \"arguments\": " };
    static const char *const units[] = { ">", ">>>clock", ">>>", "<", "<function=", "<function=a", OPEN, "{", "[", "\"", "\\", "\\ud83d", " ", "\n", "a", "1", "\xf0", "x <", "<|", "{\"a\":", ", " };
    enum { TIMES = SANITIZED ? 800 : 5000 };
    struct json *tools = tools_of("");
    struct turn t = turn_of("", tools);
    struct str s = { 0 };
    for (size_t d = 0; dialect_at(d); d++)
        for (size_t k = 0; k < LEN(heads) * LEN(units); k++) {
            struct fold f;
            str_clear(&s);
            str_puts(&s, heads[k / LEN(units)]);
            for (int i = 0; i < TIMES; i++) str_puts(&s, units[k % LEN(units)]);
            uint64_t t0 = clock_ns();
            read_pieces(dialect_at(d)->name, &t, false, s.p, s.len, k % 2 ? 1 : 61, &f);
            double seconds = (double)(clock_ns() - t0) / 1e9;
            CHECK(seconds < 10, "%s %s%s…: %.1f s for %zu bytes", dialect_at(d)->name, heads[k / LEN(units)], units[k % LEN(units)], seconds, s.len);
            fold_done(&f);
        }
    str_done(&s);
    json_free(tools);
}

TEST_MAIN
