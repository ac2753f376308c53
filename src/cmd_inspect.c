/* cmd_inspect.c -- `tenon inspect F`: what is in a model file, for people or as JSON.
 *
 * Everything in the file is somebody else's text: it is printed the way JSON escapes it, so that no
 * byte of it reaches a terminal raw. Arrays are shortened, a vocabulary would drown the rest. */
#include <math.h>

#include "front.h"
#include "text/text.h"

struct inspect_opts { bool json, scan; int64_t elements; };

static const struct opt opts[] = {
    { "Output", 0, "json", NULL, OPT_FLAG, offsetof(struct inspect_opts, json),
      "one JSON object (default: text)" },
    { "Output", 0, "elements", "N", OPT_INT, offsetof(struct inspect_opts, elements),
      "how much of each array is shown, -1: all of it (default: 32)" },
    { "Checks", 0, "scan", NULL, OPT_FLAG, offsetof(struct inspect_opts, scan),
      "read every weight, fail on NaN and Inf (default: off)" },
};

/* ---- values ---- */

/* Bytes as text: what is not UTF-8 becomes U+FFFD. */
static void put_clean(struct str *out, struct bytes b)
{
    const char *end = b.p + b.len;
    for (const char *p = b.p; p < end;) {
        int n;
        if (utf8_next(p, end, &n) >= 0) str_put(out, p, (size_t)n);
        else str_puts(out, "\xef\xbf\xbd");
        p += n;
    }
}

static struct json *json_text(struct bytes b)
{
    struct str s = { 0 };
    put_clean(&s, b);
    struct json *v = json_new_strn(s.p ? s.p : "", s.len);
    str_done(&s);
    return v;
}

static struct json *json_unsigned(uint64_t v)
{
    char text[24];
    return json_new_number(text,
                           (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)v));
}

/* JSON has no NaN and no Inf: null. A f32 shows its own digits, not those of the double it widens to. */
static struct json *json_float(double v, bool is_f32)
{
    if (!isfinite(v)) return json_new_null();
    if (!is_f32) return json_new_f64(v);
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        int n = snprintf(text, sizeof text, "%.*g", digits, v);
        float back;
        if (sscanf(text, "%f", &back) == 1 && (double)back == v)
            return json_new_number(text, (size_t)n);
    }
    return json_new_f64(v);
}

/* One value at *p, which moves past it. */
static struct json *take_value(enum gguf_type t, const char **p)
{
    union { uint8_t u8; int8_t i8; uint16_t u16; int16_t i16; uint32_t u32; int32_t i32; float f32;
            uint64_t u64; int64_t i64; double f64; } v = { 0 };
    static const unsigned char size[] = { 1, 1, 2, 2, 4, 4, 4, 1, 8, 0, 8, 8, 8 };
    memcpy(&v, *p, size[t]);
    *p += size[t];
    switch (t) {
    case GGUF_U8:   return json_unsigned(v.u8);
    case GGUF_I8:   return json_new_int(v.i8);
    case GGUF_U16:  return json_unsigned(v.u16);
    case GGUF_I16:  return json_new_int(v.i16);
    case GGUF_U32:  return json_unsigned(v.u32);
    case GGUF_I32:  return json_new_int(v.i32);
    case GGUF_F32:  return json_float((double)v.f32, true);
    case GGUF_BOOL: return json_new_bool(v.u8 != 0);
    case GGUF_U64:  return json_unsigned(v.u64);
    case GGUF_I64:  return json_new_int(v.i64);
    case GGUF_F64:  return json_float(v.f64, false);
    default:        *p += v.u64; return json_text((struct bytes){ *p - v.u64, (size_t)v.u64 });
    }
}

static struct json *first_elements(const struct gguf_kv *kv, uint64_t n)
{
    struct json *list = json_new_array();
    const char *p = kv->raw.p + 12;                                   /* element type, count */
    for (uint64_t i = 0; i < n; i++) json_push(list, take_value(kv->elem, &p));
    return list;
}

static uint64_t shown(const struct gguf_kv *kv, int64_t elements)
{
    return elements < 0 ? kv->count : MIN(kv->count, (uint64_t)elements);
}

static struct json *value_json(const struct gguf_kv *kv, int64_t elements)
{
    const char *p = kv->raw.p;
    if (kv->type != GGUF_ARRAY) return take_value(kv->type, &p);
    uint64_t n = shown(kv, elements);
    if (n == kv->count) return first_elements(kv, n);
    struct json *o = json_new_object();
    json_set(o, "array_of", json_new_str(gguf_type_name(kv->elem)));
    json_set(o, "count", json_unsigned(kv->count));
    json_set(o, "first", first_elements(kv, n));
    return o;
}

/* ---- totals ---- */

struct total { int64_t tensors, elements; size_t bytes; };

static int64_t tensor_elements(const struct tensor *t)
{
    return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
}

static struct total total_of(const struct gguf *g, int dtype)         /* -1: all */
{
    struct total sum = { 0 };
    for (size_t i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor(g, i);
        if (dtype >= 0 && (int)t->dtype != dtype) continue;
        sum.tensors++;
        sum.elements += tensor_elements(t);
        sum.bytes += t->bytes;
    }
    return sum;
}

/* ---- the dialect ---- */

/* Which dialect requests to this file would speak; false: it carries no vocabulary, so nothing speaks with it. */
static bool find_dialect(const struct gguf *g, struct detection *d)
{
    struct err ignored = { 0 };
    if (!gguf_has(g, "tokenizer.ggml.tokens")) return false;
    struct tokenizer *t = tok_open(g, &ignored);                      /* NULL: without it, template and name are left */
    dialect_explain(g, t, d);
    tok_close(t);
    return true;
}

static struct json *dialect_json_of(const struct detection *d)
{
    struct json *o = json_new_object();
    json_set(o, "name", json_new_str(d->dialect->name));
    json_set(o, "guessed", json_new_bool(d->guessed));
    json_set(o, "why", json_new_str(d->why));
    return o;
}

/* ---- as JSON ---- */

static struct json *tensor_json(const struct tensor *t)
{
    struct json *o = json_new_object(), *shape = json_new_array();
    for (int d = 0; d < t->n_dim; d++) json_push(shape, json_new_int(t->ne[d]));
    json_set(o, "name", json_text((struct bytes){ t->name, strlen(t->name) }));
    json_set(o, "type", json_new_str(dtype_info(t->dtype)->name));
    json_set(o, "shape", shape);
    json_set(o, "bytes", json_unsigned(t->bytes));
    return o;
}

static struct json *total_json(struct total sum)
{
    struct json *o = json_new_object();
    json_set(o, "tensors", json_new_int(sum.tensors));
    json_set(o, "parameters", json_new_int(sum.elements));
    json_set(o, "bytes", json_unsigned(sum.bytes));
    return o;
}

static void set_clean(struct json *o, struct bytes key, struct json *value)
{
    struct str s = { 0 };
    put_clean(&s, key);
    json_set(o, s.p, value);
    str_done(&s);
}

static void print_json(const struct gguf *g, const struct inspect_opts *o)
{
    struct json *root = json_new_object(), *meta = json_new_object(), *list = json_new_array(),
                *types = json_new_object();
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        struct gguf_kv kv = gguf_kv(g, i);
        set_clean(meta, kv.key, value_json(&kv, o->elements));
    }
    for (size_t i = 0; i < gguf_n_tensor(g); i++) json_push(list, tensor_json(gguf_tensor(g, i)));
    for (int d = 0; d < DT_COUNT; d++)
        if (total_of(g, d).tensors)
            json_set(types, dtype_info(d)->name, total_json(total_of(g, d)));
    json_set(root, "file", json_text((struct bytes){ gguf_name(g), strlen(gguf_name(g)) }));
    json_set(root, "version", json_new_int(gguf_version(g)));
    json_set(root, "alignment", json_unsigned(gguf_alignment(g)));
    json_set(root, "bytes", json_unsigned(gguf_file_bytes(g)));
    json_set(root, "parameters", json_new_int(total_of(g, -1).elements));
    json_set(root, "types", types);
    json_set(root, "metadata", meta);
    json_set(root, "tensors", list);
    if (o->scan) json_set(root, "finite", json_new_bool(true));
    struct detection d;
    if (find_dialect(g, &d)) json_set(root, "dialect", dialect_json_of(&d));
    struct str s = { 0 };
    json_write(&s, root, JSON_PRETTY);
    puts(s.p);
    str_done(&s);
    json_free(root);
}

/* ---- as text ---- */

#define VALUE_COLUMNS 88

/* Escaped as in JSON, without the quotes. */
static void print_name(struct bytes b, int columns)
{
    struct str clean = { 0 }, s = { 0 };
    put_clean(&clean, b);
    json_write_str(&s, clean.p ? clean.p : "", clean.len);
    printf("%-*.*s", columns, (int)s.len - 2, s.p + 1);
    str_done(&clean);
    str_done(&s);
}

static void print_value(const struct gguf_kv *kv, const struct inspect_opts *o)
{
    if (kv->type == GGUF_ARRAY)
        printf("%llu x %-6s ", (unsigned long long)kv->count, gguf_type_name(kv->elem));
    else printf("%-6s ", gguf_type_name(kv->type));
    struct str s = { 0 };
    const char *p = kv->raw.p;
    struct json *v = kv->type == GGUF_ARRAY ? first_elements(kv, shown(kv, o->elements))
                                            : take_value(kv->type, &p);
    json_write(&s, v, JSON_COMPACT);
    bool cut = s.len > VALUE_COLUMNS && o->elements >= 0;
    if (cut) s.len = utf8_whole(s.p, VALUE_COLUMNS);
    printf("%.*s%s\n", (int)s.len, s.p,
           cut || (kv->type == GGUF_ARRAY && shown(kv, o->elements) < kv->count) ? " ..." : "");
    json_free(v);
    str_done(&s);
}

static void print_tensor(const struct tensor *t)
{
    char shape[96] = "";
    for (int d = 0, at = 0; d < t->n_dim; d++)
        at += snprintf(shape + at, sizeof shape - (size_t)at, "%s%lld", d ? " x " : "",
                       (long long)t->ne[d]);
    printf("  ");
    print_name((struct bytes){ t->name, strlen(t->name) }, 40);
    printf(" %-6s %-20s %12zu\n", dtype_info(t->dtype)->name, shape, t->bytes);
}

static void print_total(const char *what, struct total sum)
{
    double bits = sum.elements ? 8.0 * (double)sum.bytes / (double)sum.elements : 0;
    printf("  %-8s %6lld tensors %14lld parameters %14zu bytes %7.3f bits each\n", what,
           (long long)sum.tensors, (long long)sum.elements, sum.bytes, bits);
}

static void print_text(const struct gguf *g, const struct inspect_opts *o)
{
    print_name((struct bytes){ gguf_name(g), strlen(gguf_name(g)) }, 0);
    printf(": GGUF version %u, %zu bytes, alignment %zu\nmetadata (%zu)\n", gguf_version(g),
           gguf_file_bytes(g), gguf_alignment(g), gguf_n_kv(g));
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        struct gguf_kv kv = gguf_kv(g, i);
        printf("  ");
        print_name(kv.key, 40);
        putchar(' ');
        print_value(&kv, o);
    }
    printf("tensors (%zu)\n", gguf_n_tensor(g));
    for (size_t i = 0; i < gguf_n_tensor(g); i++) print_tensor(gguf_tensor(g, i));
    puts("totals");
    for (int d = 0; d < DT_COUNT; d++)
        if (total_of(g, d).tensors) print_total(dtype_info(d)->name, total_of(g, d));
    print_total("all", total_of(g, -1));
    struct detection d;
    if (find_dialect(g, &d)) {
        printf("dialect %s: %s%s\n", d.dialect->name, d.why,
               d.guessed ? " (a guess; --dialect NAME says otherwise)" : "");
    }
    if (o->scan) puts("scan: every value is finite");
}

static int run(const void *v, int n_arg, char **arg)
{
    const struct inspect_opts *o = v;
    struct err e = { 0 };
    struct gguf *g = front_gguf(n_arg ? arg[0] : NULL, &e);
    bool ok = g && (!o->scan || gguf_scan(g, &e));
    if (ok && o->json) print_json(g, o);
    else if (ok) print_text(g, o);
    gguf_close(g);
    return ok ? 0 : front_fail("inspect", &e);
}

static const struct inspect_opts defaults = { .elements = 32 };
const struct command cmd_inspect = {
    .verb = "inspect", .args = "[FILE]",
    .sentence = "Show what a model file holds (default: the embedded model).",
    .example = "tenon inspect model.gguf", .opt = opts, .n_opt = LEN(opts),
    .defaults = &defaults, .opts_bytes = sizeof defaults, .max_arg = 1, .run = run,
};
