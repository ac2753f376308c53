/* gen_own.c -- tools that a user has, as the generator sees its own inventions.
 *
 * A JSON Schema says types, members, bounds and names; what people say around a value is guessed from
 * the name of the parameter (the roles of gen_tool.c, and the tables below) and from its unit. Values
 * come from `examples` where the schema has some, else from the kind that name and format suggest.
 * What the action is called comes from the tool's name and the first sentence of its description.
 *
 * Every call is checked against its schema before it is used (gen_example.c), so a wrong guess costs
 * a drawing, never a lesson. Refused: a required parameter for which no value can be made up. */
#include "train/gen_int.h"

enum { TRIES = 400 };

struct own_tool { const struct json *function; }; /* lent */

/* ---- what can be made up --------------------------------------------------------------------- */

static const char *const types[] = { "string", "integer", "number", "boolean", "array", "object" };

/* The one type of a schema; "string" also for members of an enum; NULL: several, or none that is known. */
static const char *type_of(const struct json *s)
{
    const struct json *t = json_get(s, "type"), *members = json_get(s, "enum");
    for (size_t i = 0; i < LEN(types); i++)
        if (json_str_is(t, types[i])) return types[i];
    if (json_is(t, JSON_ARRAY)) /* ["string", "null"] */
        for (size_t i = 0; i < LEN(types); i++)
            if (json_str_is(json_at(t, 0), types[i])) return types[i];
    return !t && json_len(members) && json_is(json_at(members, 0), JSON_STRING) ? "string" : NULL;
}

static bool is_required(const struct json *schema, const char *name)
{
    const struct json *r = json_get(schema, "required");
    for (size_t i = 0; i < json_len(r); i++)
        if (json_str_is(json_at(r, i), name)) return true;
    return false;
}

static bool can_make(const struct json *s)
{
    if (json_len(json_get(s, "examples")) || json_len(json_get(s, "enum")) || json_get(s, "const")) return true;
    const char *type = type_of(s);
    if (!type || json_get(s, "$ref") || json_get(s, "anyOf") || json_get(s, "oneOf")) return false;
    if (!strcmp(type, "array")) return can_make(json_get(s, "items"));
    if (strcmp(type, "object")) return !json_get(s, "pattern");
    const struct json *props = json_get(s, "properties");
    bool any = false;
    for (struct json_iter it = json_iter(props); json_is(props, JSON_OBJECT) && json_next(&it);) {
        bool can = can_make(it.value);
        if (!can && is_required(s, it.key)) return false;
        any |= can;
    }
    return any;
}

static bool check_tool(const struct json *f, struct err *e)
{
    const char *name = json_str(json_get(f, "name"), NULL);
    const struct json *par = json_get(f, "parameters"), *props = json_get(par, "properties");
    int required = 0;
    for (struct json_iter it = json_iter(props); json_is(props, JSON_OBJECT) && json_next(&it);) {
        if (!is_required(par, it.key)) continue;
        required++;
        if (!can_make(it.value))
            return err_set(e, ERR_UNSUPPORTED, "tool %s: no value can be made up for the required parameter %s; "
                                               "its schema may list some as \"examples\"", name, it.key);
    }
    return required <= PARAMS_MOST ||
           err_set(e, ERR_UNSUPPORTED, "tool %s: %d required parameters; at most %d", name, required, PARAMS_MOST);
}

bool own_load(struct datagen *g, const struct json *tools, struct err *e)
{
    g->own = mem_zero((json_len(tools) + 1) * sizeof *g->own);
    for (size_t i = 0; i < json_len(tools); i++) {
        const struct json *f = tool_function(json_at(tools, i));
        if (!f) return err_set(e, ERR_UNSUPPORTED, "tools[%zu]: only functions can be asked for", i);
        if (!check_tool(f, e)) return false;
        g->own[g->n_own++].function = f;
    }
    return g->n_own || err_set(e, ERR_ARG, "there is no tool");
}

/* ---- parameters ------------------------------------------------------------------------------ */

/* Beside the roles: names of things that a request puts in one place or another. */
static const struct { const char *names, *attach; } places[] = {
    { "room|zone|area|floor|tank|bed|garden|building|house|kitchen|shelf|hall|ward|field|barn|lane|bay|section",
      "in the {v}|for the {v}|the {v} {p}|in the {v} {p}|of the {v}|in {v}|, {v}|for {v}|{v}" },
    { "door|window|lamp|light|device|machine|pump|valve|fan|printer|camera|robot|vehicle|car|bike|boat|line|channel",
      "the {v}|{v}|the {v} {p}|of the {v}|on the {v}|{p} {v}|on {v}|, {v}|for the {v}" },
    { "song|album|artist|track|movie|show|book|game|recipe|dish|drink|plant|animal|fish|species|part|material|tool|product|item|thing",
      "{v}|the {v}|some {v}|, {v}|called {v}|: {v}|of {v}|for {v}|\"{v}\"" },
};
static const char attach_bare[] = "{v}|the {v}|for {v}|, {v}|of {v}|the {v} {p}|{p} {v}|in {v}|on {v}|with {v}|: {v}|for the {v}";
static const char attach_member[] = "{v}|the {v}|, {v}|{v} {p}|in {v}|on {v}|to {v}|with {v}|{p} {v}|the {v} {p}|, {p} {v}|as {v}";
static const char attach_unit[] = "{v} {p}|of {v} {p}|with {v} {p}|to {v} {p}|for {v} {p}|by {v} {p}|, {v} {p}|at {v} {p}|{p}: {v}|{v}";
static const char attach_number[] = "{p} {v}|to {v}|at {v}|with {p} {v}|{v}|, {v}|of {v}|, {p} {v}|for {v}|a {p} of {v}|on {v}";
static const char attach_percent[] = "to {v}|to {v} percent|at {v} percent|{v}%|at {v}|to {v}%|, {v} percent|on {v}";

static bool has_word(const char *list, const char *w, size_t n)
{
    for (size_t len; *list; list += len + (list[len] == '|')) {
        len = strcspn(list, "|");
        if (len == n && !memcmp(list, w, n)) return true;
    }
    return false;
}

static const char *place_of(const char *words)
{
    const char *last = strrchr(words, ' ');
    last = last ? last + 1 : words;
    for (size_t i = 0; i < LEN(places); i++)
        if (has_word(places[i].names, last, strlen(last))) return places[i].attach;
    return NULL;
}

static int format_kind(const struct json *s)
{
    static const struct { const char *format; enum value_kind k; } rows[] = {
        { "date", V_ISO_DATE }, { "email", V_EMAIL }, { "uri", V_URL }, { "hostname", V_HOST }, { "ipv4", V_HOST }
    };
    for (size_t i = 0; i < LEN(rows); i++)
        if (json_str_is(json_get(s, "format"), rows[i].format)) return (int)rows[i].k;
    return -1;
}

static int bound(const struct json *s, const char *key, int otherwise)
{
    double v = json_f64(json_get(s, key));
    return json_is(json_get(s, key), JSON_NUMBER) && v > -1e8 && v < 1e8 ? (int)v : otherwise;
}

/* Members as people say them: the words of the identifier; at most so many in one conversation. */
static void put_members(struct draw *d, struct tool_param *p, const struct json *members)
{
    int n = (int)json_len(members), from = below(d, n);
    p->kind = V_ENUM;
    for (int i = 0; i < n && p->n_member < MEMBERS_MOST; i++) {
        const char *m = json_str(json_at(members, (size_t)((from + i) % n)), NULL);
        if (!m) continue;
        p->member[p->n_member] = m;
        p->said[p->n_member++] = chance(d, 85) ? spoken(d, m) : m;
    }
    if (!p->attach) p->attach = attach_member;
}

static void put_number(struct draw *d, struct tool_param *p, const struct json *s, const char *type)
{
    bool bounded = json_get(s, "minimum") || json_get(s, "maximum");
    size_t n = strlen(p->words);
    bool percent = strstr(p->desc, "percent") || strstr(p->words, "percent") || strstr(p->desc, "0-100");
    p->kind = !strcmp(type, "number") && chance(d, bounded ? 35 : 60) ? V_DECIMAL : V_INT;
    p->lo = bound(s, "minimum", bound(s, "exclusiveMinimum", 0) + (json_get(s, "exclusiveMinimum") != NULL));
    p->hi = MAX(p->lo, bound(s, "maximum", bound(s, "exclusiveMaximum", MAX(p->lo, 0) + 101) - 1));
    p->attach = percent ? attach_percent : n && p->words[n - 1] == 's' ? attach_unit : p->attach ? p->attach : attach_number;
}

static bool make_param(struct draw *d, struct tool_param *p, const char *name, const struct json *s, bool required)
{
    const char *type = type_of(s), *desc = json_str(json_get(s, "description"), NULL);
    const struct json *members = json_get(s, "enum");
    int kind = format_kind(s);
    if (!can_make(s)) return false;
    *p = (struct tool_param){ .name = name, .words = spoken(d, name), .desc = desc ? desc : "", .required = required,
                              .kind = V_REAL, .sample = json_get(s, "examples") };
    if (json_get(s, "const")) p->constant = json_get(s, "const");
    p->attach = place_of(p->words);
    if (!type || !strcmp(type, "string")) {
        enum value_kind k;
        const char *attach;
        if (!p->attach && role_of(p->words, &k, &attach) && json_type_is(k, "string")) {
            p->attach = attach;
            p->kind = k;
        } else p->kind = (enum value_kind[]){ V_REAL, V_NAME, V_WORD, V_TITLE }[below(d, 4)];
        if (kind >= 0) p->kind = (enum value_kind)kind;
        if (json_len(members) && json_is(json_at(members, 0), JSON_STRING)) put_members(d, p, members);
        if (!p->attach) p->attach = attach_bare;
    } else if (!strcmp(type, "integer") || !strcmp(type, "number")) {
        enum value_kind k;
        role_of(p->words, &k, &p->attach);
        put_number(d, p, s, type);
    } else if (!strcmp(type, "boolean")) p->kind = V_BOOL;
    else if (!strcmp(type, "array")) {
        p->kind = V_LIST;
        p->field = arena_zero(d->a, sizeof *p->field);
        p->n_field = make_param(d, p->field, "", json_get(s, "items"), true);
        if (!p->attach) p->attach = attach_bare;
    } else {
        const struct json *props = json_get(s, "properties");
        p->kind = V_OBJECT;
        p->field = arena_zero(d->a, PARAMS_MOST * sizeof *p->field);
        for (struct json_iter it = json_iter(props); json_next(&it) && p->n_field < PARAMS_MOST;)
            if (is_required(s, it.key) || chance(d, 40))
                p->n_field += make_param(d, &p->field[p->n_field], it.key, it.value, true);
    }
    if (json_len(members) && !p->n_member) p->sample = members;
    return true;
}

/* Two open strings without a role in one tool could be exchanged: only the first goes without its name. */
static void tell_apart(struct tool *t)
{
    bool bare = false;
    for (int i = 0; i < t->n_param; i++) {
        struct tool_param *p = &t->param[i];
        if (p->attach != attach_bare && p->attach != attach_number) continue;
        if (bare) p->attach = NULL;
        bare = true;
    }
}

static void make_tool(struct draw *d, const struct json *f, struct tool *t)
{
    const struct json *par = json_get(f, "parameters"), *props = json_get(par, "properties");
    const char *desc = json_str(json_get(f, "description"), NULL);
    *t = (struct tool){ .name = json_str(json_get(f, "name"), NULL), .desc = desc ? desc : "", .noun = "", .verb = -1, .given = f };
    for (int round = 0; round < 2; round++) /* those that must be there come first */
        for (struct json_iter it = json_iter(props); json_is(props, JSON_OBJECT) && json_next(&it);) {
            bool required = is_required(par, it.key);
            if (required == (round == 0) && t->n_param < PARAMS_MOST)
                t->n_param += make_param(d, &t->param[t->n_param], it.key, it.value, required);
        }
    tell_apart(t);
}

/* So many of the user's tools, in any order. */
int own_draw(struct draw *d, struct tool *t, int most)
{
    int n = d->g->n_own, *at = arena_alloc(d->a, (size_t)n * sizeof *at);
    for (int i = 0; i < n; i++) at[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int j = below(d, i + 1), x = at[i];
        at[i] = at[j];
        at[j] = x;
    }
    int take = n > most ? most : n > 2 && chance(d, 25) ? range(d, 2, n) : n;
    for (int i = 0; i < take; i++) make_tool(d, d->g->own[at[i]].function, &t[i]);
    return take;
}

/* ---- the action ------------------------------------------------------------------------------ */

/* "Feeds" and "feed": the base form of a verb in the third person. */
static const char *base_form(struct draw *d, const char *w, size_t n)
{
    char *s = arena_str(d->a, w, n);
    if (*s >= 'A' && *s <= 'Z' && !(n > 1 && s[1] >= 'A' && s[1] <= 'Z')) *s = (char)(*s + 32);
    if (n < 4 || s[n - 1] != 's' || s[n - 2] == 's') return s;
    bool es = s[n - 2] == 'e' && (strchr("sxzo", s[n - 3]) || (s[n - 3] == 'h' && strchr("sc", s[n - 4])));
    if (n > 4 && !memcmp(s + n - 3, "ies", 3)) {
        s[n - 3] = 'y';
        s[n - 2] = 0;
    } else s[n - (es ? 2 : 1)] = 0;
    return s;
}

/* The first sentence of a description as a wish; half of the time without what hangs on its object. */
static const char *from_description(struct draw *d, const char *desc)
{
    static const char *const tails[] = { " of ", " in ", " for ", " to ", " on ", " at ", " from ", " with ", " by ", " and ", ", ", " (" };
    size_t n = strcspn(desc, ".;:\n"), verb = strcspn(desc, " .;:\n");
    if (!verb || verb >= n || n > 90) return NULL;
    const char *rest = arena_str(d->a, desc + verb, n - verb);
    for (size_t i = 0; i < LEN(tails) && chance(d, 70); i++) {
        const char *cut = strstr(rest + 1, tails[i]);
        if (cut) rest = arena_str(d->a, rest, (size_t)(cut - rest));
    }
    return text(d, "%s%s", base_form(d, desc, verb), rest);
}

const char *own_action(struct draw *d, const struct tool *t)
{
    const char *said = chance(d, 60) ? from_description(d, t->desc) : NULL;
    if (said) {
        const char *space = strchr(said, ' ');
        const char *other = space ? verb_ask(d, said, (size_t)(space - said)) : NULL;
        return other && chance(d, 50) ? text(d, "%s%s", other, space) : said;
    }
    const char *words = spoken(d, t->name), *space = strchr(words, ' ');
    if (!space) return words;
    const char *ask = chance(d, 60) ? verb_ask(d, words, (size_t)(space - words)) : NULL;
    if (!ask) ask = arena_str(d->a, words, (size_t)(space - words));
    return text(d, "%s %s%s", ask, pick(d, "the |the ||my |a |"), space + 1);
}

/* ---- conversations --------------------------------------------------------------------------- */

/* Shares in percent; a set of one tool has nothing to choose from. */
static enum data_kind kind_of_own(struct draw *d)
{
    static const struct { enum data_kind k; int share; } rows[] = {
        { KIND_MULTIPLE, 52 }, { KIND_PARALLEL, 12 }, { KIND_NONE, 14 }, { KIND_ASK, 12 }, { KIND_GROUNDED, 4 }, { KIND_MULTI_TURN, 6 }
    };
    int r = below(d, 100);
    size_t i = 0;
    while (r >= rows[i].share) r -= rows[i++].share;
    return rows[i].k == KIND_MULTIPLE && d->g->n_own == 1 ? KIND_SINGLE : rows[i].k;
}

bool own_conversation(struct draw *d, struct conv *c)
{
    d->fake_percent = 30;
    enum data_kind kind = kind_of_own(d), plain = d->g->n_own == 1 ? KIND_SINGLE : KIND_MULTIPLE;
    for (int i = 0; i < TRIES; i++) {
        if (i == TRIES / 4) kind = plain; /* small talk is no way out where no call fits */
        if (!own_tools_conversation(d, kind, c)) continue;
        if (conv_fits(c)) return true;
        conv_drop(c);
    }
    return false;
}
