/* test_jinja.c -- the Jinja interpreter by itself: what is printed, what is refused and where, whose bytes
 * the prompt is made of, bounds. test_jinja.py compares it with the jinja2 package. */
#include <pthread.h>
#include <time.h>

#include "test.h"
#include "text/int.h"

static const char *const vars_text =
    "{\"x\":3,\"s\":\"Hello\",\"l\":[3,1,2],\"d\":{\"b\":1,\"a\":[true,null]},\"u\":\"<|u|>\",\"bos_token\":\"<s>\",\"num\":[1.10,1e5,1e-7,123456789012345678901234567890],"
    "\"messages\":[{\"role\":\"user\",\"content\":\"a <|u|> b\"},{\"role\":\"assistant\",\"content\":\"c\"}]}";

static bool render(const char *text, const struct json *vars, struct prompt *out, struct err *e)
{
    struct jinja *j = jinja_open(text, strlen(text), "t", e);
    bool ok = j && jinja_render(j, vars, out, e);
    jinja_close(j);
    return ok;
}

static struct json *parse(const char *text)
{
    struct err e = { 0 };
    struct json *v = json_parse(text, strlen(text), &e);
    CHECK(v, "%s: %s", text, e.msg);
    return v;
}

/* ---- what is printed --------------------------------------------------------------------------- */

static const struct { const char *template, *want; } rows[] = {
    { "{% for m in messages %}\n  {{ m.role }}: {{ m['content'] }}\n{% endfor %}\n", "  user: a <|u|> b\n  assistant: c\n" },
    { "  {% if x %}\n  a\n  {% endif %}\nb\n", "  a\nb" },
    { "a\n{%- if x -%}\n b \n{%- endif -%}\n c", "abc" },
    { "{% raw %}{{ x }}{% endraw %} {# c #}\nz", "{{ x }} z" },
    { "  {%+ if x %}a{% endif +%}\nb", "  a\nb" },
    { "{{ num }} {{ num | tojson }}", "[1.1, 100000.0, 1e-07, 123456789012345678901234567890] [1.1, 100000.0, 1e-07, 123456789012345678901234567890]" },
    { "{{ 1 / 2 }} {{ 7 // -2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 0.1 + 0.2 }} {{ 1e16 }}", "0.5 -4 2 1024 0.5 0.30000000000000004 1e+16" },
    { "{{ [1, 'a', \"b'\", none, true, {'k': (1,)}] }}", "[1, 'a', \"b'\", None, True, {'k': (1,)}]" },
    { "{{ zz }}{{ d.nope }}{{ d['nope'] | default('x') }}{{ zz is defined }}{{ zz | length }}", "xFalse0" },
    { "{{ l[1:] }}{{ l[::-1] }}{{ s[-3:] }}{{ s[1] }}{{ d.items() | list }}", "[1, 2][2, 1, 3]lloe[('b', 1), ('a', [True, None])]" },
    { "{% set ns = namespace(n=0) %}{% for i in l if i > 1 %}{% set ns.n = ns.n + i %}{{ loop.index }}{{ loop.last }}{% endfor %}{{ ns.n }}", "1False2True5" },
    { "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) }} {{ m(1, 3, 4, 5, z=6) }}", "121(){} 134(5,){'z': 6}" },
    { "{% macro m() %}[{{ caller('y') }}]{% endmacro %}{% call(q) m() %}{{ q }}{{ x }}{% endcall %}", "[y3]" },
    { "{% for i in l recursive %}{{ i }}{% if loop.depth < 2 %}({{ loop([i + 1]) }}){% endif %}{% endfor %}", "3(4)1(2)2(3)" },
    { "{% for i in l %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "3" },
    { "{% set y %}a{{ x }}{% endset %}{{ y | upper }}{% filter replace('a', 'b') %}a{% endfilter %}{% with q = 1 %}{{ q }}{% endwith %}{{ q }}", "A3b1" },
    { "{% generation %}{{ s }}{% endgeneration %}", "Hello" },
    { "{{ d | tojson(indent=2) }}", "{\n  \"b\": 1,\n  \"a\": [\n    true,\n    null\n  ]\n}" },
    { "{{ d | tojson(separators=(',', ':'), sort_keys=true) }}{{ '\xc3\xa9<' | tojson }}{{ '\xc3\xa9' | tojson(ensure_ascii=true) }}", "{\"a\":[true,null],\"b\":1}\"\xc3\xa9<\"\"\\u00e9\"" },
    { "{{ l | sort | join(',') }} {{ l | map('string') | list }} {{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | first }}", "1,2,3 ['3', '1', '2'] a <|u|> b" },
    { "{{ '%s=%03d' % ('a', 7) }} {{ '{:>4}|{x}'.format('b', x=1) }} {{ 'a b'.title() }} {{ ' a '.strip() }} {{ 'a,b'.split(',') }}", "a=007    b|1 A B a ['a', 'b']" },
    { "{{ x == 3 and 'in' or 'out' }}{{ 'ell' in s }}{{ 1 < x < 5 }}{{ x is odd }}{{ x is not none }}{{ 'y' if x > 5 }}", "inTrueTrueTrueTrue" },
    { "{{ x ~ none ~ true ~ 1.0 }}", "3NoneTrue1.0" },
    { "", "" },
    { "\n", "" },
    { "\xc3\xa9{{ '\xc3\xa9' | length }}{{ '\xf0\x9f\x98\x80x'[0] }}", "\xc3\xa9" "1\xf0\x9f\x98\x80" },
};

TEST(templates_print_what_jinja_prints)
{
    struct json *vars = parse(vars_text);
    for (size_t i = 0; i < LEN(rows); i++) {
        struct err e = { 0 };
        struct prompt p = { 0 };
        bool ok = render(rows[i].template, vars, &p, &e);
        CHECK(ok && !strcmp(p.text.p ? p.text.p : "", rows[i].want), "%s\n%s\ninstead of\n%s", rows[i].template, ok ? p.text.p : e.msg, rows[i].want);
        prompt_done(&p);
    }
    json_free(vars);
}

/* ---- what is refused --------------------------------------------------------------------------- */

static const struct { const char *template, *says; enum err_code code; } bad[] = {
    { "a\n{{ x", "t:2:1: the tag is never closed; }} is missing", ERR_FORMAT },
    { "{% if x %}a", "t:1:4: 'if' is never closed; {% endif %} is missing", ERR_FORMAT },
    { "{% for i in l %}\n{% endif %}", "t:2:4: 'endif' closes nothing; the block that is open is 'for' of line 1", ERR_FORMAT },
    { "{% nope %}", "t:1:4: unknown tag 'nope'; there are if, for", ERR_FORMAT },
    { "{% include 'a' %}", "include, import, from, extends and block are not supported", ERR_FORMAT },
    { "{{ 'abc }}", "t:1:4: the string is never closed; ' is missing", ERR_FORMAT },
    { "{{ (1 }}", "unexpected '}'; ')' closes the bracket that is open", ERR_FORMAT },
    { "{{ 1 + }}", "t:1:8: expected an expression, got '}}'", ERR_FORMAT },
    { "{{ x y }}", "t:1:6: expected '}}', got 'y'", ERR_FORMAT },
    { "{{ x ! y }}", "t:1:6: unexpected character '!'", ERR_FORMAT },
    { "{% break %}", "break and continue are accepted inside a loop only", ERR_FORMAT },
    { "{% set 1 = 2 %}", "cannot be assigned to", ERR_FORMAT },
    { "{# never", "t:1:1: the comment is never closed; #} is missing", ERR_FORMAT },
    { "{{ \"\\ud800\" }}", "U+D800 in a string is no character", ERR_FORMAT },
    { "\xc3\xa9{{ nothing.x }}", "t:1:13: 'nothing' is undefined", ERR_ARG },
    { "{{ d.no.x }}", "t:1:9: 'dict object' has no attribute 'no'", ERR_ARG },
    { "{{ raise_exception('roles ' ~ x) }}", "t:1:4: roles 3", ERR_ARG },
    { "{{ 1 + 'a' }}", "t:1:6: unsupported operand type(s) for +: 'int' and 'str'", ERR_ARG },
    { "{{ x | nope }}", "t:1:8: there is no filter 'nope'", ERR_ARG },
    { "{{ x is nope }}", "t:1:9: there is no test 'nope'", ERR_ARG },
    { "{{ l.append(1) }}", "access to attribute 'append' of 'list' object is unsafe", ERR_ARG },
    { "{{ s.replace('a') }}", "replace: the argument 'new' is missing", ERR_ARG },
    { "{{ s | replace('a', 'b', 1, 2) }}", "replace got 4 arguments; it takes old,new,?count", ERR_ARG },
    { "{{ s | tojson(indnt=2) }}", "tojson takes no argument 'indnt'; it takes ?ensure_ascii,indent", ERR_ARG },
    { "{% set x.y = 1 %}", "cannot assign attribute on non-namespace object", ERR_ARG },
    { "{% for a, b in [1] %}{% endfor %}", "'int' object is not iterable", ERR_ARG },
    { "{{ zz | tojson }}", "Object of type Undefined is not JSON serializable", ERR_ARG },
    { "{{ l | select }}", "a value of type generator cannot be printed; |list makes a list of it", ERR_ARG },
    { "{{ 9223372036854775807 + 1 }}", "an integer leaves 64 bit", ERR_ARG },
    { "{{ 1 // 0 }}", "integer division or modulo by zero", ERR_ARG },
};

TEST(errors_say_where_and_what)
{
    struct json *vars = parse(vars_text);
    for (size_t i = 0; i < LEN(bad); i++) {
        struct err e = { 0 };
        struct prompt p = { 0 };
        bool ok = render(bad[i].template, vars, &p, &e);
        CHECK(!ok && e.code == bad[i].code && strstr(e.msg, bad[i].says), "%s: %s", bad[i].template, ok ? "fine" : e.msg);
        prompt_done(&p);
    }
    json_free(vars);
}

/* ---- bounds ------------------------------------------------------------------------------------ */

#define TEN(s) s s s s s s s s s s
#define HUNDRED(s) TEN(TEN(s))
static const char *const hostile[] = {
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
    "{{ range(10**9) | list }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
    "{% set ns = namespace(l=[1], k=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% set ns.k = [ns.k, ns.k] %}{% endfor %}{{ ns.l == ns.k }}",
    "{% set ns = namespace(l=(1,)) %}{% for i in range(60) %}{% set ns.l = (ns.l, ns.l) %}{% endfor %}{{ {ns.l: 1} }}",
    "{% set ns = namespace(l=[]) %}{% for i in range(50000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l | tojson }}",
    "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{{ 'a' * 10**18 }}", "{{ 'a' | center(10**15) }}", "{{ '1'.zfill(10**12) }}", "{{ 10 ** 10 ** 10 }}", "{{ '%1000000000d' % 1 }}",
    "{% set s = 'a' * 100000 %}{{ s | replace('a', s) }}", "{{ [1] | batch(10**12, 1) | list }}", "{{ ('\\t' * 100000).expandtabs(1000000) }}",
    "{% set s = 'a' * 1000000 %}{% set t = s ~ 'b' %}{% for i in range(99999) %}{{ s < t }}{% endfor %}", "{{ ('a' * 1000000) | wordwrap(1) }}",
    "{{ ('<!--' * 100000) | striptags }}", "{% set s = '\xc3\xa9' * 200000 %}{% for i in range(99999) %}{{ s | upper | length }}{% endfor %}",
    "{{ " HUNDRED(HUNDRED("(")) "1 }}", "{{ " HUNDRED(HUNDRED("not ")) "1 }}", "{{ x" HUNDRED(HUNDRED(".a")) " }}", "{{ 1" HUNDRED(HUNDRED("+1")) " }}",
    HUNDRED("{% if 1 %}"),
};

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

TEST(hostile_templates_end_with_an_error)
{
    struct json *vars = parse(vars_text);
    for (size_t i = 0; i < LEN(hostile); i++) {
        struct err e = { 0 };
        struct prompt p = { 0 };
        double before = cpu_ms();
        bool ok = render(hostile[i], vars, &p, &e);
        double took = cpu_ms() - before;
        CHECK(!ok && *e.msg, "%.60s: no error", hostile[i]);
        CHECK(took < (SANITIZED ? 5000 : 100), "%.60s: %.0f ms: %s", hostile[i], took, e.msg);
        prompt_done(&p);
    }
    json_free(vars);
}

TEST(long_conversations_are_not_stopped)
{
    struct str s = { 0 };
    struct err e = { 0 };
    struct prompt p = { 0 };
    str_puts(&s, "{\"messages\":[");
    for (int i = 0; i < 4000; i++) str_fmt(&s, "%s{\"role\":\"user\",\"content\":\"message number %d, with a few words in it\"}", i ? "," : "", i);
    str_puts(&s, "]}");
    struct json *vars = parse(s.p);
    bool ok = render("{% set ns = namespace(all='') %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.all = ns.all + m.content | trim + '\\n' %}"
                     "{% endif %}{{ loop.index0 % 2 }}{% endfor %}{{ ns.all }}", vars, &p, &e);
    CHECK(ok && p.text.len > 100000, "%s", e.msg);
    prompt_done(&p);
    json_free(vars);
    str_done(&s);
}

/* ---- whose bytes ------------------------------------------------------------------------------- */

/* Trusted stretches in brackets. */
static const struct { const char *why, *template, *want; } owners[] = {
    { "text and variables", "<|a|>{{ u }}<|b|>", "[<|a|>]<|u|>[<|b|>]" },
    { "literals and sums", "{{ '<|a|>' + u + '<|b' ~ '|>' }}", "[<|a|>]<|u|>[<|b|>]" },
    { "the bos token", "{{ bos_token }}{{ u }}", "[<s>]<|u|>" },
    { "a namespace that grows", "{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = ns.t + '<|' + m.role + '|>' + m.content %}{% endfor %}{{ ns.t }}",
      "[<|]user[|>]a <|u|> b[<|]assistant[|>]c" },
    { "macros and blocks", "{% macro m(x) %}<|{{ x }}|>{% endmacro %}{% set b %}({{ m(u) }}){% endset %}{{ b }}{% filter trim %} {{ u }} {% endfilter %}", "[(<|]<|u|>[|>)]<|u|>" },
    { "slices", "{{ ('<|a|>' + u)[3:8] }}{{ ('<|a|>' + u)[::-1] }}", "[|>]<|u>|u|<[>|a|<]" },
    { "replace", "{{ 'x<|a|>x' | replace('x', u) }}{{ u.replace('u', '<|a|>') }}", "<|u|>[<|a|>]<|u|><|[<|a|>]|>" },
    { "case", "{{ ('<|a|>' + u) | upper }}{{ ('<|A|>' + u).lower() }}", "[<|A|>]<|U|>[<|a|>]<|u|>" },
    { "split and join", "{{ ('<|a|> ' + u + ' <|b|>').split(' ') | join('-') }}", "[<|a|>-]<|u|>[-<|b|>]" },
    { "trim", "{{ ('  ' + u + ' <|a|> ') | trim }}", "<|u|>[ <|a|>]" },
    { "JSON", "{{ ['<|a|>', u] | tojson }}", "[\"[<|a|>]\", \"<|u|>\"]" },
    { "printed lists", "{{ ['<|a|>', u] }}", "['[<|a|>]', '<|u|>']" },
    { "formats", "{{ '<|%s|>' % u }}{{ '<|{}|>'.format(u) }}", "[<|]<|u|>[|><|]<|u|>[|>]" },
    { "numbers make names of tokens", "{% for m in messages %}{{ '<|image_' ~ loop.index ~ '|>' }}{% endfor %}", "[<|image_1|><|image_2|>]" },
    { "keys of a dictionary are not ours", "{% for k in messages[0] %}{{ k }}{% endfor %}", "rolecontent" },
    { "indent", "{{ (u + '\\n<|a|>') | indent(1) }}", "<|u|>\n[ <|a|>]" },
};

TEST(only_the_template_can_write_special_tokens)
{
    struct json *vars = parse(vars_text);
    for (size_t i = 0; i < LEN(owners); i++) {
        struct err e = { 0 };
        struct prompt p = { 0 };
        struct str got = { 0 };
        bool ok = render(owners[i].template, vars, &p, &e);
        for (size_t k = 0; k < p.n_piece; k++)
            str_fmt(&got, p.piece[k].trusted ? "[%.*s]" : "%.*s", (int)p.piece[k].len, p.text.p + p.piece[k].off);
        CHECK(ok && got.p && !strcmp(got.p, owners[i].want), "%s: %s instead of %s", owners[i].why, ok ? got.p : e.msg, owners[i].want);
        str_done(&got);
        prompt_done(&p);
    }
    json_free(vars);
}

TEST(marked_strings_are_partly_ours)
{
    struct err e = { 0 };
    struct prompt p = { 0 };
    struct json *vars = json_new_object(), *m = marked_new();
    marked_put(m, false, "hi ", 3);
    marked_put(m, true, "<|call|>", 8);
    marked_put(m, false, "<|call|>", 8);
    json_set(vars, "c", m);
    CHECK(render("{{ c is string }}{{ c | upper }}", vars, &p, &e), "%s", e.msg);
    CHECK(p.n_piece == 3 && !p.piece[0].trusted && p.piece[1].trusted && p.piece[1].len == 8 && !p.piece[2].trusted, "%zu pieces", p.n_piece);
    CHECK(!strcmp(p.text.p, "TrueHI <|CALL|><|CALL|>"), "%s", p.text.p);
    prompt_done(&p);
    json_free(vars);
}

/* ---- threads ----------------------------------------------------------------------------------- */

static void *renders(void *j)
{
    struct err e = { 0 };
    struct json *vars = parse(vars_text);
    size_t bad_ones = 0;
    for (int i = 0; i < 50; i++) {
        struct prompt p = { 0 };
        bad_ones += !jinja_render(j, vars, &p, &e) || strcmp(p.text.p, "\xc3\x89user\xc3\x89""assistant");
        prompt_done(&p);
    }
    json_free(vars);
    return bad_ones ? j : NULL;
}

TEST(threads_share_a_template)
{
    static const char text[] = "{% for m in messages %}{{ '\xc3\xa9' | upper }}{{ m.role }}{% endfor %}";
    struct err e = { 0 };
    struct jinja *j = jinja_open(text, sizeof text - 1, "t", &e);
    pthread_t t[4];
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, renders, j);
    for (int i = 0; i < 4; i++) {
        void *bad_one = j;
        pthread_join(t[i], &bad_one);
        CHECK(!bad_one, "thread %d", i);
    }
    jinja_close(j);
}

TEST_MAIN
