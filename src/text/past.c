/* past.c -- calls of the past, written as the text a model would have written: for templates that have no
 * place for tool_calls.
 *
 *     [get_weather(city="Oslo", days=3)]                                 LFM2, between its tokens
 *     [{"name":"get_weather","arguments":{"city":"Oslo","days":3}}]      the embedded model, generic JSON
 *     <tool_call>\n{"name": "get_weather", "arguments": {…}}\n</tool_call>         Hermes, Qwen
 *     {"name": "get_weather", "parameters": {…}}                         Llama 3.1
 *
 * Markers are trusted bytes, names and arguments are not. Arguments that are no JSON object go through
 * as they are: a history with a broken call is still a history. */
#include "text/int.h"

/* ---- Python literals ------------------------------------------------------------------------- */

static void python_members(struct str *out, const struct json *object)
{
    str_putc(out, '{');
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        if (it.index) str_puts(out, ", ");
        json_write_str(out, it.key, it.key_len);
        str_puts(out, ": ");
        python_value(out, it.value);
    }
    str_putc(out, '}');
}

void python_value(struct str *out, const struct json *v)
{
    switch (json_type(v)) {
    case JSON_NULL: str_puts(out, "None"); break;
    case JSON_BOOL: str_puts(out, json_bool(v) ? "True" : "False"); break;
    case JSON_OBJECT: python_members(out, v); break;
    case JSON_ARRAY:
        str_putc(out, '[');
        for (size_t i = 0; i < json_len(v); i++) {
            if (i) str_puts(out, ", ");
            python_value(out, json_at(v, i));
        }
        str_putc(out, ']');
        break;
    default: json_write(out, v, JSON_COMPACT);       /* JSON strings and numbers are Python's too */
    }
}

static bool is_keyword_name(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || s[i] == '_' ||
                      (s[i] & 0x80);
        if (!letter && (!i || !((s[i] >= '0' && s[i] <= '9') || s[i] == '-'))) return false;
    }
    return len > 0;
}

/* a="x", b=1; a name that cannot be a keyword goes through a dictionary: **{"a b": 1}. */
static void python_arguments(struct str *out, const struct json *object)
{
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        bool plain = is_keyword_name(it.key, it.key_len);
        if (it.index) str_puts(out, ", ");
        if (plain) {
            str_put(out, it.key, it.key_len);
            str_putc(out, '=');
        } else {
            str_puts(out, "**{");
            json_write_str(out, it.key, it.key_len);
            str_puts(out, ": ");
        }
        python_value(out, it.value);
        if (!plain) str_putc(out, '}');
    }
}

/* ---- arguments ------------------------------------------------------------------------------- */

void json_put_spaced(struct str *out, const struct json *v)
{
    size_t len;
    const char *number = json_number(v, &len);
    if (number) {
        str_put(out, number, len);
    } else if (json_is(v, JSON_OBJECT)) {
        str_putc(out, '{');
        for (struct json_iter it = json_iter(v); json_next(&it);) {
            if (it.index) str_puts(out, ", ");
            json_write_str(out, it.key, it.key_len);
            str_puts(out, ": ");
            json_put_spaced(out, it.value);
        }
        str_putc(out, '}');
    } else if (json_is(v, JSON_ARRAY)) {
        str_putc(out, '[');
        for (size_t i = 0; i < json_len(v); i++) {
            if (i) str_puts(out, ", ");
            json_put_spaced(out, json_at(v, i));
        }
        str_putc(out, ']');
    } else {
        json_write(out, v, JSON_COMPACT);
    }
}

struct json *arguments_read(const struct json *given)
{
    size_t len = 0;
    const char *text = json_str(given, &len);
    struct err ignored = { 0 };
    if (json_is(given, JSON_OBJECT)) return json_copy(given);
    if (!given || json_is(given, JSON_NULL) || (text && !len)) return json_new_object();
    struct json *v = text ? json_parse(text, len, &ignored) : NULL;
    if (json_is(v, JSON_OBJECT)) return v;
    json_free(v);
    return NULL;
}

static void put_arguments(struct str *out, const struct json *given, enum call_syntax syntax)
{
    size_t len = 0;
    struct json *object = arguments_read(given);
    const char *raw = json_str(given, &len);
    if (!object && raw) str_put(out, raw, len);
    else if (!object) json_write(out, given, JSON_COMPACT);
    else if (syntax == CALLS_PYTHON) python_arguments(out, object);
    else if (syntax == CALLS_JSON) json_write(out, object, JSON_COMPACT);
    else json_put_spaced(out, object);
    json_free(object);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static const struct {
    bool marked;                                                      /* begin and end are special tokens */
    const char *begin, *before, *middle, *after, *between, *end;
} forms[] = {
    [CALLS_PYTHON] = { true, "<|tool_call_start|>", "[", "(", ")", ", ", "<|tool_call_end|>" },
    [CALLS_JSON] = { true, "<|tool_call_start|>", "[", ",\"arguments\":", "}", ",", "<|tool_call_end|>" },
    [CALLS_PLAIN] = { false, "", "[", ",\"arguments\":", "}", ",", "" },
    [CALLS_TAGS] = { false, "", "", ", \"arguments\": ", "}\n</tool_call>", "\n", "" },
    [CALLS_LLAMA] = { false, "", "", ", \"parameters\": ", "}", "; ", "" },
};

static void put_call(struct str *out, enum call_syntax syntax, const struct json *call)
{
    const struct json *f = json_get(call, "function"), *name = json_get(f, "name");
    size_t len = 0;
    const char *s = json_str(name, &len);
    if (syntax == CALLS_TAGS) str_puts(out, "<tool_call>\n");
    if (syntax == CALLS_PYTHON) {
        str_put(out, s, len);
    } else {
        str_puts(out, syntax == CALLS_JSON || syntax == CALLS_PLAIN ? "{\"name\":" : "{\"name\": ");
        json_write_str(out, s, len);
    }
    str_puts(out, forms[syntax].middle);
    put_arguments(out, json_get(f, "arguments"), syntax == CALLS_PLAIN ? CALLS_JSON : syntax);
    str_puts(out, forms[syntax].after);
}

void past_calls(struct json *marked, enum call_syntax syntax, const struct json *calls)
{
    struct str s = { 0 };
    const char *begin = forms[syntax].begin, *end = forms[syntax].end;
    bool list = *forms[syntax].before;
    if (*begin) marked_put(marked, true, begin, strlen(begin));
    if (list) str_putc(&s, '[');
    for (size_t i = 0; i < json_len(calls); i++) {
        if (i) str_puts(&s, forms[syntax].between);
        put_call(&s, syntax, json_at(calls, i));
    }
    if (list) str_putc(&s, ']');
    marked_put(marked, false, s.p ? s.p : "", s.len);
    if (*end) marked_put(marked, true, end, strlen(end));
    str_done(&s);
}
