/* python.c -- JSON values as Python prints them: str(), repr() and json.dumps() with its default escapes.
 *
 * Templates and tool lists were made by Python programs, and a value that was interpolated there came
 * out as str() spells it: True, None, 1e+20, ['a', {'k': 1}]. A string at the top is itself; inside a
 * container it is quoted, with ' unless it holds one and no ". Numbers come from JSON text: integers
 * keep their digits, everything else is a double with the shortest digits that read back. */
#include "text/jinja_int.h"

#include <math.h>

static void put_escaped(struct str *out, int32_t cp)
{
    static const char from[] = "\n\r\t", to[] = "nrt";
    const char *f = cp && cp < 0x80 ? strchr(from, (char)cp) : NULL;
    if (f) str_fmt(out, "\\%c", to[f - from]);
    else str_fmt(out, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)cp);
}

void python_repr_str(struct str *out, const char *s, size_t len)
{
    bool single = memchr(s, '\'', len), twice = memchr(s, '"', len);
    char quote = single && !twice ? '"' : '\'';
    str_putc(out, quote);
    for (const char *p = s, *end = s + len; p < end;) {
        int n;
        int32_t cp = utf8_next(p, end, &n);
        if (*p == quote || *p == '\\') str_putc(out, '\\');
        if (cp >= 0 && !cp_printable((uint32_t)cp)) put_escaped(out, cp);
        else str_put(out, p, (size_t)n);
        p += n;
    }
    str_putc(out, quote);
}

static void put_number(struct str *out, const struct json *v)
{
    double d = json_f64(v);
    if (isfinite(d)) json_write(out, v, JSON_PYTHON);
    else if (json_is_int(v)) json_write(out, v, JSON_COMPACT);
    else str_puts(out, d < 0 ? "-inf" : "inf");
}

static void put_element(struct str *out, const struct json *v)
{
    size_t len;
    const char *s = json_str(v, &len);
    if (s) python_repr_str(out, s, len);
    else python_str(out, v);
}

void python_str(struct str *out, const struct json *v)
{
    size_t len;
    const char *s;
    switch (json_type(v)) {
    case JSON_NULL: str_puts(out, "None"); break;
    case JSON_BOOL: str_puts(out, json_bool(v) ? "True" : "False"); break;
    case JSON_NUMBER: put_number(out, v); break;
    case JSON_STRING:
        s = json_str(v, &len);
        str_put(out, s, len);
        break;
    case JSON_ARRAY:
        str_putc(out, '[');
        for (size_t i = 0; i < json_len(v); i++) {
            if (i) str_puts(out, ", ");
            put_element(out, json_at(v, i));
        }
        str_putc(out, ']');
        break;
    case JSON_OBJECT:
        str_putc(out, '{');
        for (struct json_iter it = json_iter(v); json_next(&it);) {
            if (it.index) str_puts(out, ", ");
            python_repr_str(out, it.key, it.key_len);
            str_puts(out, ": ");
            put_element(out, it.value);
        }
        str_putc(out, '}');
    }
}

void python_json_ascii(struct str *out, const struct json *v)
{
    struct str s = { 0 };
    json_write(&s, v, JSON_PYTHON);
    for (const char *p = s.p, *end = s.p + s.len; p < end;) {
        int n;
        int32_t cp = utf8_next(p, end, &n);
        if (cp < 0x7f) str_put(out, p, (size_t)n);
        else if (cp == 0x7f) str_putc(out, 0x7f);
        else if (cp < 0x10000) str_fmt(out, "\\u%04x", (unsigned)cp);
        else str_fmt(out, "\\u%04x\\u%04x", (unsigned)(0xd800 + ((cp - 0x10000) >> 10)),
                     (unsigned)(0xdc00 + ((cp - 0x10000) & 0x3ff)));
        p += n;
    }
    str_done(&s);
}
