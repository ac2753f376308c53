/* gen_pack.c -- domain packs: real tools, and many ways people ask for them
 * (data/domains/README.md).
 *
 * What a pack says is the language side; everything else about the example is drawn anew each time,
 * so that a pack's names cannot be learned by heart: tools and parameters are renamed or respelled,
 * properties reordered, descriptions shortened or dropped, unmentioned optional parameters left
 * out, foreign ones added, and half of the open-class values give way to invented ones of the same
 * shape.
 *
 * True at all times: a pack whose split is not "train" is refused, so measuring packs cannot leak;
 * a value appears in the call as the same drawing that the text shows. Threads: packs are read-only
 * after loading; every conversation builds its own JSON. */
#include "train/gen_pack.h"

/* ---- loading --------------------------------------------------------------------------------- */

/* Next "{slot}" or "{slot.2}" at or after s: false when there is none. */
bool pack_next_ref(const char *s, const char **at, size_t *len, size_t *name_len, int *k)
{
    for (; (s = strchr(s, '{')); s++) {
        size_t n = strspn(s + 1, "abcdefghijklmnopqrstuvwxyz_0123456789");
        if (!n) continue;
        *k = 1;
        *name_len = n;
        const char *p = s + 1 + n;
        if (*p == '.' && p[1] >= '1' && p[1] <= '9') {
            *k = p[1] - '0';
            p += 2;
        }
        if (*p != '}') continue;
        *at = s;
        *len = (size_t)(p + 1 - s);
        return true;
    }
    return false;
}

int pack_slot_find(const struct domain_pack *p, const char *name, size_t len)
{
    for (int i = 0; i < p->n_slot; i++)
        if (strlen(p->slot[i].name) == len && !memcmp(p->slot[i].name, name, len)) return i;
    return -1;
}

/* The slot that a whole string names ("{room.2}"), -1 when it is anything else. */
int pack_whole_ref(const struct domain_pack *p, const char *s, int *k)
{
    const char *at;
    size_t len, name_len;
    if (!pack_next_ref(s, &at, &len, &name_len, k) || at != s || s[len]) return -1;
    return pack_slot_find(p, s + 1, name_len);
}

static uint64_t refs_in_text(const struct domain_pack *p, const char *s, bool plain_only)
{
    uint64_t set = 0;
    const char *at;
    size_t len, name_len;
    int k;
    for (; pack_next_ref(s, &at, &len, &name_len, &k); s = at + len) {
        int i = pack_slot_find(p, at + 1, name_len);
        if (i >= 0 && i < 64 && (!plain_only || k == 1)) set |= 1ull << i;
    }
    return set;
}

static uint64_t refs_in(const struct domain_pack *p, const struct json *v, bool plain_only)
{
    uint64_t set = 0;
    if (json_is(v, JSON_STRING)) return refs_in_text(p, json_str(v, NULL), plain_only);
    if (json_is(v, JSON_ARRAY))
        for (size_t i = 0; i < json_len(v); i++) set |= refs_in(p, json_at(v, i), plain_only);
    if (json_is(v, JSON_OBJECT))
        for (struct json_iter it = json_iter(v); json_next(&it);)
            set |= refs_in(p, it.value, plain_only);
    return set;
}

static bool load_slots(struct domain_pack *p, struct err *e)
{
    const struct json *slots = json_get(p->root, "slots");
    p->slot = mem_zero((json_len(slots) + 1) * sizeof *p->slot);
    for (struct json_iter it = json_iter(slots); json_next(&it);)
        if (!slot_load(&p->slot[p->n_slot++], it.key, it.value, e)) return false;
    for (int i = 0; i < p->n_slot; i++) {
        struct slot *s = &p->slot[i];
        if (!s->list) continue;
        const char *of = json_str(s->list, NULL);
        s->item = of ? pack_slot_find(p, of, strlen(of)) : -1;
        if (s->item < 0 || p->slot[s->item].list)
            return err_set(e, ERR_FORMAT, "slot %s: list of %s, which is no slot of single values",
                           s->name, of ? of : "nothing");
    }
    return p->n_slot <= 64 ? true
                           : err_set(e, ERR_LIMIT, "%d slots, at most 64 are possible", p->n_slot);
}

static int tool_find(const struct domain_pack *p, const char *name)
{
    for (int i = 0; i < p->n_tool; i++)
        if (name && !strcmp(p->tool[i].name, name)) return i;
    return -1;
}

static bool check_props(const struct pack_tool *t, struct err *e)
{
    if (!t->name || !*t->name || !json_is(t->props, JSON_OBJECT))
        return err_set(e, ERR_FORMAT, "a name and parameters with properties are expected");
    if (json_len(t->props) > PACK_PROPS_MOST)
        return err_set(e, ERR_LIMIT, "at most %d parameters are possible", PACK_PROPS_MOST);
    for (struct json_iter it = json_iter(t->props); json_next(&it);)
        if (!json_is(it.value, JSON_OBJECT))
            return err_set(e, ERR_FORMAT, "parameter \"%s\": a schema object is expected", it.key);
    return true;
}

static bool load_tools(struct domain_pack *p, struct err *e)
{
    const struct json *tools = json_get(p->root, "tools");
    size_t n = json_len(tools);
    if (!n || n > PACK_TOOLS_MOST)
        return err_set(e, ERR_FORMAT, "tools: 1 to %d tools are expected", PACK_TOOLS_MOST);
    for (size_t i = 0; i < n; i++) {
        const struct json *t = json_at(tools, i), *par = json_get(t, "parameters");
        struct pack_tool *q = &p->tool[p->n_tool++];
        q->name = json_str(json_get(t, "name"), NULL);
        q->desc = json_str(json_get(t, "description"), NULL);
        q->props = json_get(par, "properties");
        q->required = json_get(par, "required");
        if (!q->desc) q->desc = "";
        if (!check_props(q, e)) return err_in(e, "tools/%zu", i);
    }
    return true;
}

/* A value that lands where the schema has members, a format or a pattern may not be invented. */
static void close_slots(struct domain_pack *p, const struct json *schema, const struct json *value)
{
    if (json_is(value, JSON_STRING)) {
        int k, whole = pack_whole_ref(p, json_str(value, NULL), &k);
        const struct json *items = json_get(schema, "items");
        if (whole >= 0 && p->slot[whole].list &&
            (json_get(items, "enum") || json_get(items, "pattern")))
            p->slot[p->slot[whole].item].closed = true;
        if (!schema || (!json_get(schema, "enum") && !json_get(schema, "const") &&
                        !json_get(schema, "pattern")))
            return;
        uint64_t set = refs_in(p, value, false);
        for (int i = 0; i < p->n_slot; i++)
            if (set >> i & 1) p->slot[i].closed = true;
    }
    if (json_is(value, JSON_ARRAY))
        for (size_t i = 0; i < json_len(value); i++)
            close_slots(p, json_get(schema, "items"), json_at(value, i));
    if (json_is(value, JSON_OBJECT))
        for (struct json_iter it = json_iter(value); json_next(&it);)
            close_slots(p, json_get(json_get(schema, "properties"), it.key), it.value);
}

static bool load_call(struct domain_pack *p, const struct json *g, const char *tool_key,
                      struct pack_call *c, struct err *e)
{
    const char *name = json_str(json_get(g, tool_key), NULL);
    c->tool = tool_find(p, name);
    c->args = json_get(g, "args");
    if (c->tool < 0) return err_set(e, ERR_FORMAT, "tool \"%s\" is not declared", name ? name : "");
    if (!c->args) return true;
    for (struct json_iter it = json_iter(c->args); json_next(&it);) {
        const struct json *schema = json_get(p->tool[c->tool].props, it.key);
        if (!schema) return err_set(e, ERR_FORMAT, "%s has no parameter \"%s\"", name, it.key);
        close_slots(p, schema, it.value);
    }
    return true;
}

static bool load_texts(const struct json *g, const char *key, struct err *e)
{
    const struct json *t = json_get(g, key);
    if (!json_len(t))
        return err_set(e, ERR_FORMAT, "\"%s\" must be a list of at least one text", key);
    for (size_t i = 0; i < json_len(t); i++)
        if (!json_is(json_at(t, i), JSON_STRING))
            return err_set(e, ERR_FORMAT, "%s/%zu: a text is expected", key, i);
    return true;
}

static bool load_group(struct domain_pack *p, enum group_kind kind, const struct json *g,
                       struct group *out, struct err *e)
{
    out->g = g;
    if (kind == GROUP_NONE)
        return json_str(json_get(g, "text"), NULL) && json_str(json_get(g, "reply"), NULL)
                   ? true
                   : err_set(e, ERR_FORMAT, "\"text\" and \"reply\" are expected");
    if (kind != GROUP_RESULT && !load_texts(g, "text", e)) return false;
    if (kind == GROUP_PARALLEL) {
        const struct json *calls = json_get(g, "calls");
        out->n_call = (int)MIN(json_len(calls), CALLS_MOST);
        for (int i = 0; i < out->n_call; i++)
            if (!load_call(p, json_at(calls, (size_t)i), "tool", &out->call[i], e)) return false;
        return out->n_call ? true : err_set(e, ERR_FORMAT, "\"calls\" are expected");
    }
    out->n_call = 1;
    if (kind == GROUP_ASK && !load_texts(g, "question", e)) return false;
    if (kind == GROUP_RESULT && !load_texts(g, "answer", e)) return false;
    if (kind == GROUP_FOLLOWUP) {
        out->first = tool_find(p, json_str(json_get(g, "first"), NULL));
        if (out->first < 0) return err_set(e, ERR_FORMAT, "\"first\" names no tool");
    }
    return load_call(p, g, "tool", &out->call[0], e);
}

static bool load_groups(struct domain_pack *p, enum group_kind kind, struct err *e)
{
    static const char *const keys[] = { "requests", "parallel", "ask",
                                        "none",     "results",  "followups" };
    const struct json *list = json_get(p->root, keys[kind]);
    size_t n = json_len(list);
    p->group[kind] = mem_zero((n + 1) * sizeof *p->group[kind]);
    for (size_t i = 0; i < n; i++)
        if (!load_group(p, kind, json_at(list, i), &p->group[kind][p->n_group[kind]++], e))
            return err_in(e, "%s/%zu", keys[kind], i);
    return true;
}

/* ---- words that link tools and requests ------------------------------------------------------ */

/* Words that carry grammar or a time, not a topic; they are never swapped. */
static bool is_function_word(const char *w)
{
    static const char *const list[] = {
        "about",  "after",      "again",   "also",      "another", "before", "between", "both",
        "could",  "date",       "days",    "default",   "does",    "each",   "either",  "else",
        "every",  "everything", "first",   "from",      "give",    "given",  "have",    "here",
        "hour",   "hours",      "however", "into",      "just",    "know",   "last",    "least",
        "left",   "like",       "made",    "make",      "many",    "means",  "minute",  "minutes",
        "month",  "more",       "most",    "much",      "must",    "need",   "never",   "next",
        "none",   "only",       "other",   "otherwise", "over",    "please", "same",    "says",
        "should", "show",       "some",    "than",      "that",    "them",   "then",    "there",
        "they",   "this",       "time",    "today",     "until",   "want",   "week",    "what",
        "when",   "where",      "whether", "which",     "will",    "with",   "without", "word",
        "words",  "would",      "year",    "your",      "tell",    "user",   "once",    "name",
        "number", "text",       "long",    "late",      "early",   "true",   "false",   "take",
        "keep"
    };
    for (size_t i = 0; i < LEN(list); i++)
        if (!strcmp(list[i], w)) return true;
    return false;
}

/* Length of the lower-case stem of a word ("Lights," -> "light"), 0 if it is no word of four
 * letters. */
static size_t word_at(const char *s, size_t *whole, char stem[24])
{
    size_t n = 0;
    while ((s[n] >= 'a' && s[n] <= 'z') || (n == 0 && s[0] >= 'A' && s[0] <= 'Z')) n++;
    *whole = n;
    if (n < 4 || n > 20 || (s[n] >= 'A' && s[n] <= 'Z') || (s[n] & 0x80)) return 0;
    memcpy(stem, s, n);
    if (stem[0] <= 'Z') stem[0] = (char)(stem[0] + 32);
    if (n > 4 && stem[n - 1] == 's' && stem[n - 2] != 's') n--;
    stem[n] = 0;
    return n;
}

static int word_find(const struct domain_pack *p, const char *stem)
{
    for (int i = 0; i < p->n_word; i++)
        if (!strcmp(p->word[i].word, stem)) return i;
    return -1;
}

static void offer_words(struct domain_pack *p, const char *s)
{
    char stem[24];
    for (size_t n; *s; s += MAX(n, 1)) {
        if (!word_at(s, &n, stem) || is_function_word(stem) || word_find(p, stem) >= 0) continue;
        MEM_GROW(p->word, p->n_word, p->cap_word);
        p->word[p->n_word++] = (struct swap_word){ mem_str(stem), 0 };
    }
}

static void count_words(struct domain_pack *p, const char *s)
{
    char stem[24];
    for (size_t n; *s; s += MAX(n, 1)) {
        if (*s == '{') { n = strcspn(s, "}"); continue; }
        int i = word_at(s, &n, stem) ? word_find(p, stem) : -1;
        if (i >= 0) p->word[i].uses++;
    }
}

static void ban_words(struct domain_pack *p, const struct json *v)
{
    char stem[24];
    if (json_is(v, JSON_STRING))
        for (const char *s = json_str(v, NULL); *s;) {
            size_t n;
            int i = word_at(s, &n, stem) ? word_find(p, stem) : -1;
            if (i >= 0) p->word[i].uses = -1000000;
            s += MAX(n, 1);
        }
    if (json_is(v, JSON_ARRAY))
        for (size_t i = 0; i < json_len(v); i++) ban_words(p, json_at(v, i));
    if (json_is(v, JSON_OBJECT))
        for (struct json_iter it = json_iter(v); json_next(&it);) {
            if (!strcmp(it.key, "enum")) ban_words(p, it.value);
            else if (json_is(it.value, JSON_OBJECT)) ban_words(p, it.value);
        }
}

/* A word is worth swapping if tools and several requests use it and no member of an enum is made
 * of it. */
static void load_words(struct domain_pack *p)
{
    for (int i = 0; i < p->n_tool; i++) {
        for (const char *s = p->tool[i].name; *s; s++)
            if (s == p->tool[i].name || strchr("_.-", s[-1]) || (*s >= 'A' && *s <= 'Z')) {
                char one[24];
                size_t n;
                if (word_at(s, &n, one)) offer_words(p, one);
            }
        offer_words(p, p->tool[i].desc);
    }
    for (int i = 0; i < p->n_group[GROUP_REQUEST]; i++) {
        const struct json *t = json_get(p->group[GROUP_REQUEST][i].g, "text");
        for (size_t j = 0; j < json_len(t); j++) count_words(p, json_str(json_at(t, j), NULL));
    }
    for (int i = 0; i < p->n_tool; i++) ban_words(p, p->tool[i].props);
    int n = 0;
    for (int i = 0; i < p->n_word; i++) {
        if (p->word[i].uses >= 4) p->word[n++] = p->word[i];
        else mem_free(p->word[i].word);
    }
    p->n_word = n;
}

void swaps_draw(struct draw *d, const struct domain_pack *p, struct swaps *s)
{
    s->n = 0;
    if (!p->n_word) return;
    int want = range(d, 1, SWAPS_MOST);
    for (int i = 0; i < want; i++) {
        const char *from = p->word[below(d, p->n_word)].word;
        bool fresh = true;
        for (int j = 0; j < s->n; j++) fresh = fresh && strcmp(s->from[j], from);
        if (!fresh) continue;
        s->from[s->n] = from;
        s->to[s->n++] = chance(d, 60) ? word_fake(d) : word_noun(d);
    }
}

const char *swapped(struct draw *d, const struct swaps *sw, const char *s)
{
    if (!sw || !sw->n) return s;
    struct str out = { 0 };
    char stem[24];
    for (size_t n; *s; s += n) {
        const char *to = NULL;
        if (*s == MARK_OPEN) {
            n = strcspn(s, (char[]){ MARK_CLOSE, 0 });
            str_put(&out, s, n);
            continue;
        }
        size_t stem_len = word_at(s, &n, stem);
        n = MAX(n, 1);
        for (int i = 0; stem_len && i < sw->n; i++)
            if (!strcmp(sw->from[i], stem)) to = sw->to[i];
        if (!to) { str_put(&out, s, n); continue; }
        if (stem_len < n) to = plural(d, to);
        str_puts(&out, *s <= 'Z' ? capital(d, to) : to);
    }
    const char *r = arena_str(d->a, out.p ? out.p : "", out.len);
    str_done(&out);
    return r;
}

/* ---- the pack as a whole --------------------------------------------------------------------- */

static void pack_done(struct domain_pack *p)
{
    for (int i = 0; i < p->n_word; i++) mem_free(p->word[i].word);
    mem_free(p->word);
    for (int i = 0; p->slot && i < p->n_slot; i++) {
        mem_free(p->slot[i].map_key);
        mem_free(p->slot[i].map_value);
    }
    for (int k = 0; k < GROUP_KINDS; k++) mem_free(p->group[k]);
    mem_free(p->slot);
    json_free(p->root);
}

static void collect_values(struct datagen *g, const struct domain_pack *p)
{
    for (int i = 0; i < p->n_slot; i++) {
        const struct slot *s = &p->slot[i];
        if (s->closed || p->held) continue;
        for (size_t j = 0; j < json_len(s->values); j++) {
            const char *v = json_str(json_at(s->values, j), NULL);
            if (!v || strpbrk(v, "\"\n") || strlen(v) > 60) continue;
            MEM_GROW(g->real_value.item, g->real_value.n, g->real_value.cap);
            g->real_value.item[g->real_value.n++] = v;
        }
    }
}

bool pack_load(struct datagen *g, const char *path, struct err *e)
{
    struct domain_pack p = { .root = json_read(path, e) };
    if (!p.root) return false;
    p.domain = json_str(json_get(p.root, "domain"), NULL);
    const char *split = json_str(json_get(p.root, "split"), NULL);
    if (!p.domain || !split || strcmp(split, "train")) {
        err_set(e, ERR_FORMAT, "split is \"%s\", only packs with split \"train\" are read",
                split ? split : "");
        goto fail;
    }
    if (!load_slots(&p, e) || !load_tools(&p, e)) goto fail;
    for (int k = 0; k < GROUP_KINDS; k++)
        if (!load_groups(&p, (enum group_kind)k, e)) goto fail;
    if (!p.n_group[GROUP_REQUEST]) {
        err_set(e, ERR_FORMAT, "no requests");
        goto fail;
    }
    load_words(&p);
    p.held = hash64(p.domain, strlen(p.domain), 5) % 20 == 0;
    collect_values(g, &p);
    g->pack = mem_resize(g->pack, (size_t)(g->n_pack + 1) * sizeof *g->pack);
    g->pack[g->n_pack++] = p;
    return true;
fail:
    err_in(e, "%s", path);
    pack_done(&p);
    return false;
}

void packs_close(struct datagen *g)
{
    for (int i = 0; i < g->n_pack; i++) pack_done(&g->pack[i]);
    mem_free(g->pack);
    mem_free(g->real_value.item);
}

const struct domain_pack *pack_pick(struct draw *d)
{
    if (!d->g->n_pack) return NULL;
    for (int i = 0; i < 400; i++) {
        const struct domain_pack *p = &d->g->pack[below(d, d->g->n_pack)];
        if (p->held == (d->set == DATA_E4_ALL)) return p;
    }
    return NULL;
}

/* ---- drawing slots --------------------------------------------------------------------------- */

static bool drawn_before(const struct slots *s, int slot, const struct drawn *o)
{
    for (int i = 0; i < s->n; i++) {
        if (s->got[i].slot != slot) continue;
        const struct drawn *q = &s->got[i];
        if (o->value && q->value ? json_equal(o->value, q->value)
            : o->raw && q->raw   ? !strcmp(o->raw, q->raw)
                                 : !strcmp(o->said, q->said))
            return true;
    }
    return false;
}

const struct drawn *slot_get(struct draw *d, struct slots *s, int slot, int k)
{
    for (int i = 0; i < s->n; i++)
        if (s->got[i].slot == slot && s->got[i].k == k) return &s->got[i];
    if (s->n == SLOTS_DRAWN_MOST) return &s->got[0];
    struct drawn o = { 0 };
    for (int tries = 0; tries < 60; tries++) {
        o = slot_draw(d, s->p, slot, s->fill);
        if (!drawn_before(s, slot, &o)) break;
    }
    o.slot = slot;
    o.k = k;
    s->got[s->n] = o;
    return &s->got[s->n++];
}

/* As a result shows it: the assistant repeats what it reads, not what the user would say. */
const char *drawn_plain(struct draw *d, const struct drawn *o)
{
    size_t n = o->raw ? strlen(o->raw) : 0;
    if (!n || o->raw[0] == '[') return o->said;
    return o->raw[0] == '"' ? text(d, "%.*s", (int)n - 2, o->raw + 1) : o->raw;
}

const char *pack_text(struct draw *d, struct slots *s, const char *tmpl, bool mark)
{
    struct str out = { 0 };
    const char *at;
    size_t len, name_len;
    int k;
    for (; pack_next_ref(tmpl, &at, &len, &name_len, &k); tmpl = at + len) {
        str_put(&out, tmpl, (size_t)(at - tmpl));
        int i = pack_slot_find(s->p, at + 1, name_len);
        if (i < 0) { str_put(&out, at, len); continue; }
        str_putc(&out, MARK_OPEN);
        const struct drawn *o = slot_get(d, s, i, k);
        str_puts(&out, mark ? o->said : drawn_plain(d, o));
        str_putc(&out, MARK_CLOSE);
    }
    str_puts(&out, tmpl);
    const char *r = swapped(d, s->swaps, arena_str(d->a, out.p, out.len));
    str_done(&out);
    return mark ? r : phrase_plain(d, r);
}

const char *pack_one_text(struct draw *d, struct slots *s, const struct json *list, bool mark)
{
    return pack_text(d, s, json_str(json_at(list, (size_t)below(d, (int)json_len(list))), NULL),
                     mark);
}

struct json *drawn_json(const struct drawn *o)
{
    struct err e = { 0 };
    if (o->value) return json_copy(o->value);
    if (o->raw) return json_parse(o->raw, strlen(o->raw), &e);
    return o->number ? json_new_number(o->said, strlen(o->said)) : json_new_str(o->said);
}

struct json *pack_value(struct draw *d, struct slots *s, const struct json *v)
{
    if (json_is(v, JSON_STRING)) {
        int k, i = pack_whole_ref(s->p, json_str(v, NULL), &k);
        return i >= 0 ? drawn_json(slot_get(d, s, i, k))
                      : json_new_str(pack_text(d, s, json_str(v, NULL), false));
    }
    if (json_is(v, JSON_ARRAY)) {
        struct json *a = json_new_array();
        for (size_t i = 0; i < json_len(v); i++) json_push(a, pack_value(d, s, json_at(v, i)));
        return a;
    }
    if (!json_is(v, JSON_OBJECT)) return json_copy(v);
    struct json *o = json_new_object();
    for (struct json_iter it = json_iter(v); json_next(&it);)
        json_set(o, it.key, pack_value(d, s, it.value));
    return o;
}

/* ---- how pack tools look in this conversation ------------------------------------------------ */

/* Words that stand for one another in parameter names. */
static const char *const synonyms[] = {
    "location|place|where|loc|area|position",
    "city|town|place|location|cityName",
    "date|day|when|on|the_date|dt",
    "time|at|when|hour|clock|time_of_day",
    "name|title|label|called|display_name",
    "id|identifier|ref|reference|key|no",
    "count|number|amount|quantity|n|how_many|qty|num",
    "query|q|search|text|keywords|what|term",
    "message|text|body|content|note|msg",
    "recipient|to|contact|person|receiver|who",
    "email|mail|address|e_mail",
    "units|unit|system|measure",
    "limit|max|top|max_results|at_most",
    "category|type|kind|group|class",
    "room|zone|area|space",
    "duration|length|period|how_long|minutes_or_hours",
    "price|cost|amount|max_price|budget",
    "item|product|article|thing|what",
    "status|state|condition",
    "language|lang|locale|tongue",
    "destination|to|target|dest|goal",
    "origin|from|source|start",
    "device|unit|appliance|machine",
    "list|collection|list_name|folder",
    "reason|why|cause|explanation",
    "account|acct|account_name|wallet",
    "user|person|member|username|owner",
    "level|value|percent|intensity|setting",
    "phone|number|phone_number|tel",
    "file|path|document|filename",
    "people|guests|persons|party_size|seats",
    "month|period|billing_month",
    "color|colour|shade",
    "mode|setting|program|option",
    "temperature|temp|degrees|setpoint",
};

static const char *synonym_of(struct draw *d, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i < LEN(synonyms); i++)
        for (const char *p = synonyms[i]; p; p = strchr(p, '|')) {
            p += *p == '|';
            if (!strncmp(p, word, n) && (p[n] == '|' || !p[n])) return pick(d, synonyms[i]);
        }
    return NULL;
}

static const char *renamed_param(struct draw *d, const char *name, const char *desc,
                                 const struct look *l)
{
    int r = below(d, 100);
    const char *words = swapped(d, &l->swaps, spoken(d, name)), *syn = synonym_of(d, name);
    if (r < l->opaque_percent && strlen(desc) > 8)
        return chance(d, 50) ? pick(d, "x|arg|a|b|p1|p2|value|param|input|data|v|k|field|s")
                             : identifier(d, word_fake(d), l->style);
    if (r < 40 && syn) return identifier(d, spoken(d, syn), l->style);
    if (r < 44)
        return identifier(
            d, text(d, "%s %s", words, pick(d, "value|name|param|arg|text|field|info")), l->style);
    if (r < 48)
        return identifier(d, text(d, "%s %s", pick(d, "the|target|new|user|given|my|req"), words),
                          l->style);
    return identifier(d, words, l->style);
}

const char *param_renamed(struct draw *d, const char *name, enum style s)
{
    return renamed_param(d, name, "", &(struct look){ .style = s });
}

static const char *reworded_desc(struct draw *d, const char *desc, int drop_percent)
{
    if (!*desc || chance(d, drop_percent)) return "";
    int r = below(d, 100);
    size_t n = strlen(desc), cut = strcspn(desc, ",;(");
    if (r < 12 && cut > 8 && cut < n)
        return text(d, "%.*s", (int)(cut - (desc[cut - 1] == ' ')), desc);
    if (r < 24) return lower(d, desc);
    if (r < 34 && desc[n - 1] == '.') return text(d, "%.*s", (int)n - 1, desc);
    return desc;
}

static bool has_word(const struct json *list, const char *s)
{
    for (size_t i = 0; i < json_len(list); i++)
        if (json_str_is(json_at(list, i), s)) return true;
    return false;
}

static const char *tool_renamed(struct draw *d, const char *name, bool described,
                                const struct look *l)
{
    int r = below(d, 100);
    const char *words = swapped(d, &l->swaps, spoken(d, name)), *space = strchr(words, ' ');
    if (r < l->opaque_percent && described)
        return chance(d, 50)
                   ? text(d, "%s%d", pick(d, "fn_|tool_|op|x|api|t|f_|act_"), range(d, 1, 99))
                   : identifier(d,
                                chance(d, 50) ? word_fake(d)
                                              : text(d, "%s %s", word_fake(d), word_fake(d)),
                                l->style);
    if (r < 34 && space)
        return identifier(d, text(d, "%s %.*s", space + 1, (int)(space - words), words), l->style);
    if (r < 42)
        return text(d, "%s%s", identifier(d, words, l->style),
                    pick(d, "_v2|2|_now|_api|Tool|_request|V3|_x"));
    return identifier(d, words, l->style);
}

static bool param_name_taken(const struct view *v, const char *name)
{
    for (int i = 0; i < v->n_param; i++)
        if (!strcmp(v->param[i].name, name)) return true;
    return false;
}

static void shuffle_params(struct draw *d, struct view *v)
{
    for (int i = v->n_param - 1; i > 0; i--) {
        int j = below(d, i + 1);
        struct view_param x = v->param[i];
        v->param[i] = v->param[j];
        v->param[j] = x;
    }
}

/* What programmers add to the description of a parameter that may be left out; a default is
 * nobody's wish, so it is never called. */
static const char *with_default(struct draw *d, const struct json *schema, const char *desc)
{
    size_t n = strlen(desc);
    const char *type = json_str(json_get(schema, "type"), NULL);
    const char *value = !type                     ? NULL
                        : !strcmp(type, "boolean") ? pick(d, "true|false|False")
                        : !strcmp(type, "integer") ? pick(d, "1|0|10|2|5|100")
                                                   : NULL;
    const char *add = value && chance(d, 60)
                          ? text(d, "%s %s", pick(d, "Default|Default is|Defaults to|Default:"), value)
                          : pick(d, "Optional|Optional parameter|May be left out|If given");
    return text(d, "%s%s%s%s", desc, strchr(".!?)", desc[n - 1]) ? " " : ". ", add,
                chance(d, 60) ? "." : "");
}

static void view_param(struct draw *d, struct view *v, const char *key, const struct json *schema,
                       bool required, const struct tool_use *use, int index, const struct look *l)
{
    bool some = use->some >> index & 1, always = use->always >> index & 1;
    if (!required && !some && chance(d, l->drop_optional_percent)) return;
    struct view_param *p = &v->param[v->n_param];
    const char *desc = json_str(json_get(schema, "description"), NULL);
    p->key = p->name = key;
    p->schema = schema;
    p->desc = reworded_desc(d, swapped(d, &l->swaps, desc ? desc : ""), l->drop_desc_percent);
    if (l->rename && !required && *p->desc && d->set == DATA_TRAIN && chance(d, 12))
        p->desc = with_default(d, schema, p->desc);
    if (l->rename) p->name = renamed_param(d, key, p->desc, l);
    if (param_name_taken(v, p->name))
        p->name = param_name_taken(v, key) ? text(d, "%s_%d", key, v->n_param) : key;
    p->index = index;
    p->required = required || (always && chance(d, 15));
    v->n_param++;
}

/* A parameter that some call gives stays; one that every call gives may become required. */
void view_make(struct draw *d, const struct domain_pack *p, int tool, struct tool_use use,
               const struct look *l, struct view *v)
{
    const struct pack_tool *t = &p->tool[tool];
    *v = (struct view){ .p = p, .tool = tool, .name = t->name, .members = l->members };
    v->desc =
        reworded_desc(d, swapped(d, &l->swaps, t->desc), l->rename ? l->drop_tool_desc_percent : 0);
    if (l->rename) v->name = tool_renamed(d, t->name, strlen(v->desc) > 12, l);
    int i = 0;
    for (struct json_iter it = json_iter(t->props); json_next(&it); i++)
        view_param(d, v, it.key, it.value, has_word(t->required, it.key) || (use.demand >> i & 1),
                   &use, i, l);
    if (l->rename && chance(d, 60)) shuffle_params(d, v);
}

/* ---- members of enums in another spelling ---- */

static bool spelt_as_words(const char *s)
{
    return strlen(s) > 2 && !s[strspn(s, "abcdefghijklmnopqrstuvwxyz_")];
}

static bool all_words(const struct json *members)
{
    for (size_t i = 0; i < json_len(members); i++) {
        const char *s = json_str(json_at(members, i), NULL);
        if (!s || !spelt_as_words(s)) return false;
    }
    return json_len(members) > 0;
}

static struct json *member_here(struct draw *d, const struct json *m, enum members how)
{
    const char *s = json_str(m, NULL), *words = spoken(d, s);
    if (how == MEMBERS_PASCAL) return json_new_str(identifier(d, words, STYLE_PASCAL));
    if (how == MEMBERS_KEBAB) return json_new_str(identifier(d, words, STYLE_KEBAB));
    if (how == MEMBERS_WORDS) return json_new_str(words);
    char *up = arena_str(d->a, s, strlen(s));
    for (char *c = up; *c; c++) if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 32);
    return json_new_str(up);
}

/* The schema (value NULL) or a value of it, with the members of its enums as this view spells them.
 * The caller's. */
static struct json *respelt(struct draw *d, const struct json *schema, const struct json *value,
                            enum members how)
{
    const struct json *members = json_get(schema, "enum"), *props = json_get(schema, "properties"),
                      *items = json_get(schema, "items");
    bool mine = how != MEMBERS_AS_THEY_ARE && all_words(members);
    if (value && json_is(value, JSON_STRING))
        return mine ? member_here(d, value, how) : json_copy(value);
    if (value && json_is(value, JSON_ARRAY)) {
        struct json *a = json_new_array();
        for (size_t i = 0; i < json_len(value); i++)
            json_push(a, respelt(d, items, json_at(value, i), how));
        return a;
    }
    if (value && json_is(value, JSON_OBJECT)) {
        struct json *o = json_new_object();
        for (struct json_iter it = json_iter(value); json_next(&it);)
            json_set(o, it.key, respelt(d, json_get(props, it.key), it.value, how));
        return o;
    }
    if (value) return json_copy(value);
    struct json *s = json_copy(schema);
    if (mine) {
        struct json *a = json_new_array();
        for (size_t i = 0; i < json_len(members); i++)
            json_push(a, member_here(d, json_at(members, i), how));
        json_set(s, "enum", a);
        json_unset(s, "default");
    }
    if (items) json_set(s, "items", respelt(d, items, NULL, how));
    if (json_is(props, JSON_OBJECT)) {
        struct json *o = json_new_object();
        for (struct json_iter it = json_iter(props); json_next(&it);)
            json_set(o, it.key, respelt(d, it.value, NULL, how));
        json_set(s, "properties", o);
    }
    return s;
}

struct json *view_json(struct draw *d, const struct view *v)
{
    struct json *f = json_new_object(), *par = json_new_object(), *props = json_new_object(),
                *req = json_new_array();
    json_set(f, "name", json_new_str(v->name));
    if (*v->desc) json_set(f, "description", json_new_str(v->desc));
    for (int i = 0; i < v->n_param; i++) {
        struct json *s = respelt(d, v->param[i].schema, NULL, v->members);
        json_unset(s, "description");
        if (*v->param[i].desc) json_set(s, "description", json_new_str(v->param[i].desc));
        json_set(props, v->param[i].name, s);
        if (v->param[i].required) json_push(req, json_new_str(v->param[i].name));
    }
    json_set(par, "type", json_new_str("object"));
    json_set(par, "properties", props);
    json_set(par, "required", req);
    json_set(f, "parameters", par);
    return f;
}

/* Copied text for a numeric parameter becomes its digits ("20%" -> 20), as the packs' README
 * says. */
static struct json *coerced(const struct json *schema, struct json *v)
{
    const char *type = json_str(json_get(schema, "type"), NULL);
    if (!type || !json_is(v, JSON_STRING) || (strcmp(type, "integer") && strcmp(type, "number")))
        return v;
    char num[32];
    size_t n = 0;
    int dots = 0;
    for (const char *s = json_str(v, NULL); *s && n < sizeof num - 1; s++)
        if ((*s >= '0' && *s <= '9') || (*s == '.' && n && !dots++)) num[n++] = *s;
    while (n && num[n - 1] == '.') n--;
    size_t zeros = 0;
    while (zeros + 1 < n && num[zeros] == '0' && num[zeros + 1] != '.') zeros++;
    if (!n) return v;
    json_free(v);
    return json_new_number(num + zeros, n - zeros);
}

/* NULL when the call uses a parameter that this view does not show. */
struct json *view_args(struct draw *d, const struct view *v, struct slots *s,
                       const struct json *args)
{
    struct json *o = json_new_object();
    size_t used = 0;
    for (int i = 0; i < v->n_param; i++) {
        const struct json *a = json_get(args, v->param[i].key);
        if (!a) continue;
        struct json *raw = coerced(v->param[i].schema, pack_value(d, s, a)),
                    *here = respelt(d, v->param[i].schema, raw, v->members);
        json_set(o, v->param[i].name, json_in_order(v->param[i].schema, here));
        json_free(here);
        json_free(raw);
        used++;
    }
    if (used == json_len(args)) return o;
    json_free(o);
    return NULL;
}

uint64_t pack_refs(const struct domain_pack *p, const struct json *v, bool plain_only)
{
    return refs_in(p, v, plain_only);
}
uint64_t pack_text_refs(const struct domain_pack *p, const char *s)
{
    return refs_in_text(p, s, true);
}

uint32_t args_keep(const struct pack_tool *t, const struct json *args)
{
    uint32_t keep = 0;
    int i = 0;
    for (struct json_iter it = json_iter(t->props); json_next(&it); i++)
        if (json_get(args, it.key)) keep |= 1u << i;
    return keep;
}
