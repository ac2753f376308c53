/* gen_pack_form.c -- forms of a request that a pack need not spell out, because they follow from
 * its schema or from another phrasing: tool and parameters called by their names, one request for
 * several values, a value corrected in mid-sentence.
 *
 * They tie words to parameters where the pack's own phrasings leave that to custom: "with base 3
 * and height 4" can only be read from the schema. Training alone uses them; the sets that measure
 * are the pack's own phrasings. */
#include "train/gen_pack.h"

/* ---- named values ---------------------------------------------------------------------------- */

static const char *value_said(struct draw *d, struct slots *s, const struct view *v,
                              const struct json *schema, const struct json *a);

static const char *list_said(struct draw *d, struct slots *s, const struct view *v,
                             const struct json *schema, const struct json *a)
{
    const char *all = NULL;
    for (size_t i = 0; i < json_len(a); i++) {
        const char *one = value_said(d, s, v, json_get(schema, "items"), json_at(a, i));
        if (!one) return NULL;
        all = !all ? one : text(d, "%s%s%s", all, i + 1 == json_len(a) ? " and " : ", ", one);
    }
    return all;
}

/* NULL: an object, or what no one would say. */
static const char *value_said(struct draw *d, struct slots *s, const struct view *v,
                              const struct json *schema, const struct json *a)
{
    if (json_is(a, JSON_ARRAY)) return list_said(d, s, v, schema, a);
    if (json_is(a, JSON_BOOL))
        return json_bool(a) ? pick(d, "yes|on|true") : pick(d, "no|off|false");
    if (json_is(a, JSON_NUMBER)) {
        struct str out = { 0 };
        json_write(&out, a, JSON_COMPACT);
        const char *r = arena_str(d->a, out.p, out.len);
        str_done(&out);
        return marked(d, r);
    }
    const char *str = json_str(a, NULL);
    if (!str || !*str) return NULL;
    int k, slot = pack_whole_ref(s->p, str, &k);
    if (slot >= 0) return marked(d, slot_get(d, s, slot, k)->said);
    if (json_get(schema, "enum")) return spoken(d, str);
    return marked(d, pack_text(d, s, str, false));
}

/* How the parameter is called here: by its name, or by the first words of its description. */
static const char *param_words(struct draw *d, const struct view_param *p)
{
    size_t cut = strcspn(p->desc, ".,;:(");
    int words = 1;
    for (size_t i = 0; i < cut; i++) words += p->desc[i] == ' ';
    if (cut < 4 || words > 4 || !chance(d, 25)) return spoken(d, p->name);
    const char *w = lower(d, text(d, "%.*s", (int)cut, p->desc));
    return strncmp(w, "the ", 4) ? w : w + 4;
}

struct item { const char *p, *v; };

static const char *items_text(struct draw *d, const struct item *it, int n, const char *form,
                              const char *sep, const char *last)
{
    const char *s = "";
    for (int i = 0; i < n; i++)
        s = text(d, "%s%s%s", s, !i ? "" : i + 1 == n ? last : sep,
                 phrase_template(d, form, (const char *const[]){ "p", it[i].p, "v", it[i].v, NULL }));
    return s;
}

static const char *named_text(struct draw *d, const char *call, const struct item *it, int n)
{
    static const struct { const char *form, *sep, *last, *whole;
    } rows[] = {
        { "{p} {v}", ", ", " and ", "{c} with {i}|{c}, {i}|{i}: {c}|{c} for {i}" },
        { "{p} {v}", ", ", ", ", "{c}: {i}|{c} ({i})|{c}, {i}|{i}, {c} please" },
        { "{p}={v}", ", ", ", ", "{c} {i}|{c}: {i}|{c} ({i})" },
        { "{p}: {v}", "\n", "\n", "{c}\n{i}|{i}\n{c}" },
        { "{p}: {v}", ", ", ", ", "{c}, {i}|{c} - {i}|{i} -> {c}" },
        { "the {p} is {v}", ", ", " and ", "{c} where {i}|{i}. {c}|{c}: {i}|{i}; {c}, please" },
        { "a {p} of {v}", ", ", " and ", "{c} with {i}|I have {i}. {c}|{c} given {i}" },
        { "{v} as the {p}", ", ", " and ", "{c} with {i}|{c}, taking {i}|{c} using {i}" },
        { "{v} for {p}", ", ", " and ", "{c} with {i}|{c}: {i}|{c}, {i}" },
    };
    int r = below(d, (int)LEN(rows));
    const char *i = items_text(d, it, n, rows[r].form, rows[r].sep, rows[r].last);
    return phrase_template(d, rule(d, rows[r].whole),
                           (const char *const[]){ "c", call, "i", i, NULL });
}

const char *form_named(struct draw *d, const struct view *v, struct slots *s,
                       const struct json *args)
{
    struct item it[PACK_PROPS_MOST];
    int n = 0;
    for (int i = 0; i < v->n_param; i++) {
        const struct json *a = json_get(args, v->param[i].key);
        if (!a) continue;
        it[n] = (struct item){ param_words(d, &v->param[i]),
                               value_said(d, s, v, v->param[i].schema, a) };
        if (!it[n++].v) return NULL;
    }
    const char *call = chance(d, 70) ? spoken(d, v->name)
                                     : text(d, "%s%s", pick(d, "call |use |run |do "), v->name);
    if (!n) return call;
    /* values alone stand in the order of the schema */
    if (n > 1 && chance(d, 18))
        return phrase_template(d, rule(d, "{c}: {i}|{c} {i}|{c}, {i}"),
                               (const char *const[]){
                                   "c", call, "i",
                                   items_text(d, it, n, "{v}", ", ", chance(d, 50) ? ", " : " and "),
                                   NULL });
    for (int i = n - 1; i > 0 && chance(d, 70); i--) {
        int j = below(d, i + 1);
        struct item x = it[i];
        it[i] = it[j];
        it[j] = x;
    }
    return named_text(d, call, it, n);
}

/* ---- one slot, other values ------------------------------------------------------------------ */

static int times_used(const struct domain_pack *p, const char *s, int slot)
{
    int n = 0, k;
    const char *at;
    size_t len, name_len;
    for (; pack_next_ref(s, &at, &len, &name_len, &k); s = at + len)
        n += pack_slot_find(p, at + 1, name_len) == slot;
    return n;
}

/* One argument is this slot as it stands, no other has anything of it. */
static bool lone_in_args(const struct domain_pack *p, const struct json *args, int slot)
{
    int whole = 0, any = 0, k;
    for (struct json_iter it = json_iter(args); json_next(&it);) {
        const char *s = json_str(it.value, NULL);
        whole += s && pack_whole_ref(p, s, &k) == slot && k == 1;
        any += (pack_refs(p, it.value, false) >> slot & 1) != 0;
    }
    return whole == 1 && any == 1;
}

/* Short enough to be named twice in a breath, and not in quotes. */
static bool easy(const struct domain_pack *p, int slot)
{
    const struct slot *s = &p->slot[slot];
    if (s->list || s->kind == V_PHRASE || s->kind == V_URL) return false;
    size_t n = 0, len = 0;
    for (; n < json_len(s->values); n++) len += strlen(json_str(json_at(s->values, n), NULL));
    return !n || len <= 24 * n;
}

bool form_is_measure(const struct slot *s)
{
    switch (s->kind) {
    case V_DATE: case V_ISO_DATE: case V_TIME: case V_CLOCK: case V_DURATION: case V_MINUTES:
    case V_INT: case V_YEAR: case V_MONEY: case V_PERCENT: return true;
    default: return s->range || s->decimal || s->temporal;
    }
}

static bool stands_once(const struct domain_pack *p, const char *s, int slot)
{
    int k;
    const char *at;
    size_t len, name_len;
    if (times_used(p, s, slot) != 1) return false;
    for (; pack_next_ref(s, &at, &len, &name_len, &k); s = at + len)
        if (pack_slot_find(p, at + 1, name_len) == slot)
            return k == 1 && (at == s || !strchr("\"'`-/", at[-1])) && !strchr("\"'`-/", at[len]);
    return false;
}

int form_lone_slot(struct draw *d, const struct domain_pack *p, const struct group *g,
                   const char *tmpl)
{
    const struct json *texts = json_get(g->g, "text");
    for (int i = 0, from = below(d, p->n_slot ? p->n_slot : 1); i < p->n_slot; i++) {
        int slot = (i + from) % p->n_slot;
        if (!easy(p, slot) || !lone_in_args(p, g->call[0].args, slot)) continue;
        bool once = true;
        for (size_t t = 0; once && t < json_len(texts); t++)
            once = stands_once(p, tmpl ? tmpl : json_str(json_at(texts, t), NULL), slot);
        if (once) return slot;
    }
    return -1;
}

struct json *form_args_with(const struct domain_pack *p, const struct json *args, int slot, int k)
{
    struct json *o = json_new_object();
    for (struct json_iter it = json_iter(args); json_next(&it);) {
        const char *s = json_str(it.value, NULL);
        int was;
        if (!s || pack_whole_ref(p, s, &was) != slot) {
            json_set(o, it.key, json_copy(it.value));
            continue;
        }
        struct str ref = { 0 };
        str_fmt(&ref, "{%s.%d}", p->slot[slot].name, k);
        json_set(o, it.key, json_new_str(ref.p));
        str_done(&ref);
    }
    return o;
}

/* tmpl with `put` in place of its only mention of the slot. */
static const char *mention_replaced(struct draw *d, const struct domain_pack *p, const char *tmpl,
                                    int slot, const char *put)
{
    const char *at, *s = tmpl;
    size_t len, name_len;
    int k;
    for (; pack_next_ref(s, &at, &len, &name_len, &k); s = at + len)
        if (pack_slot_find(p, at + 1, name_len) == slot)
            return text(d, "%.*s%s%s", (int)(at - tmpl), tmpl, put, at + len);
    return tmpl;
}

const char *form_spread(struct draw *d, const struct domain_pack *p, const char *tmpl, int slot,
                        int n)
{
    const char *name = p->slot[slot].name, *all = text(d, "{%s}", name);
    const char *last = rule(d, " and | and | and also | as well as |, then |, and | plus ");
    for (int k = 2; k <= n; k++) all = text(d, "%s%s{%s.%d}", all, k == n ? last : ", ", name, k);
    return mention_replaced(d, p, tmpl, slot, all);
}

/* ---- a slip of the tongue -------------------------------------------------------------------- */

const char *form_slip(struct draw *d, const struct domain_pack *p, const char *tmpl)
{
    for (int i = 0, from = below(d, p->n_slot ? p->n_slot : 1); i < p->n_slot; i++) {
        int slot = (i + from) % p->n_slot;
        if (!easy(p, slot) || !stands_once(p, tmpl, slot)) continue;
        const char *name = p->slot[slot].name,
                   *as = rule(d, "{w}, no, {v}|{w}, sorry, {v}|{w} - no wait, {v}|{w}... I mean {v}|"
                                 "{w}, or rather {v}|{w}, no, make that {v}|not {w} but {v}|"
                                 "{v} (not {w})|{w}, scratch that, {v}|{w}, correction: {v}");
        return mention_replaced(
            d, p, tmpl, slot,
            phrase_template(d, as,
                            (const char *const[]){ "w", text(d, "{%s.9}", name), "v",
                                                   text(d, "{%s}", name), NULL }));
    }
    return tmpl;
}
