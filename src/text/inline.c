/* inline.c -- a schema with its references spelled out: "$ref": "#/$defs/x" becomes what stands there.
 *
 * For prompts only (grammar/ resolves references for itself, exactly). Functionary's servers rendered tools
 * so: the target replaces the node, what stood beside $ref is lost, the definitions stay. There, a schema that
 * refers to itself never ended; here a reference inside its own target stays as it is, as does one that leads
 * nowhere, and all of them once the schema has grown past a bound. */
#include "text/int.h"

#define NODES_MOST 20000
#define OPEN_MOST 64
#define DEPTH_MOST 64                                     /* below it references stay as they are */

struct inlining { const struct json *root; const struct json *open[OPEN_MOST]; int n_open, depth; size_t left; };

/* One step of a JSON pointer: ~1 is /, ~0 is ~, %24 is $ and so on. */
static void unescape(struct str *out, const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned c;
        if (p[i] == '~' && i + 1 < len && (p[i + 1] == '0' || p[i + 1] == '1')) {
            str_putc(out, p[++i] == '1' ? '/' : '~');
        } else if (p[i] == '%' && i + 2 < len && sscanf(p + i + 1, "%2x", &c) == 1 && c) {
            str_putc(out, (char)c);
            i += 2;
        } else {
            str_putc(out, p[i]);
        }
    }
}

static const struct json *step(const struct json *at, const char *key)
{
    size_t i = 0;
    if (!json_is(at, JSON_ARRAY)) return json_get(at, key);
    return sscanf(key, "%zu", &i) == 1 ? json_at(at, i) : NULL;
}

/* "#/a/b" within the schema; NULL: elsewhere or nowhere. */
static const struct json *target(const struct inlining *in, const struct json *ref)
{
    const char *p = json_str(ref, NULL);
    const struct json *at = in->root;
    if (!p || *p++ != '#') return NULL;
    while (at && *p == '/') {
        size_t len = strcspn(++p, "/");
        struct str key = { 0 };
        unescape(&key, p, len);
        at = step(at, key.p ? key.p : "");
        str_done(&key);
        p += len;
    }
    return *p ? NULL : at;
}

static bool is_open(const struct inlining *in, const struct json *node)
{
    for (int i = 0; i < in->n_open; i++)
        if (in->open[i] == node) return true;
    return in->n_open == OPEN_MOST;
}

static struct json *resolved(struct inlining *in, const struct json *v);

static struct json *members(struct inlining *in, const struct json *v)
{
    struct json *out = json_is(v, JSON_OBJECT) ? json_new_object() : json_new_array();
    in->depth++;
    for (struct json_iter it = json_iter(v); json_is(v, JSON_OBJECT) && json_next(&it);)
        json_set(out, it.key, resolved(in, it.value));
    for (size_t i = 0; json_is(v, JSON_ARRAY) && i < json_len(v); i++) json_push(out, resolved(in, json_at(v, i)));
    in->depth--;
    return out;
}

static struct json *resolved(struct inlining *in, const struct json *v)
{
    const struct json *to = target(in, json_get(v, "$ref"));
    if (in->left) in->left--;
    if (to && in->left && in->depth < DEPTH_MOST && !is_open(in, to)) {
        in->open[in->n_open++] = to;
        struct json *out = resolved(in, to);
        in->n_open--;
        return out;
    }
    return json_is(v, JSON_OBJECT) || json_is(v, JSON_ARRAY) ? members(in, v) : json_share(v);
}

static bool has_refs(const struct json *v)
{
    bool found = false;
    for (struct json_iter it = json_iter(v); json_is(v, JSON_OBJECT) && !found && json_next(&it);)
        found = !strcmp(it.key, "$ref") || has_refs(it.value);
    for (size_t i = 0; json_is(v, JSON_ARRAY) && !found && i < json_len(v); i++) found = has_refs(json_at(v, i));
    return found;
}

struct json *refs_resolved(const struct json *schema)
{
    struct inlining in = { .root = schema, .left = NODES_MOST };
    return has_refs(schema) ? resolved(&in, schema) : json_share(schema);
}
