/* gen_pack_slot.c -- the values of domain packs: what a slot may be, and one drawing of it.
 *
 * A drawing has two sides, what the text says and what the argument gets. They are the same
 * characters unless the pack asks for more: a map says "cosy" for warm_white, `say` spells numbers
 * as people do ("twelve thousand", "15 percent"), `times` turns the unit that is said into the one
 * that is wanted, and a list says "a, b and c" for an array. */
#include "train/gen_pack.h"

/* ---- loading --------------------------------------------------------------------------------- */

static bool says_when(const char *s)
{
    static const char *const words[] = {
        "day", "tomorrow", "tonight", "morning", "evening", "noon", "week", "month", "o'clock",
        "January", "February", "March", "April", "June", "July", "August", "September", "October",
        "November", "December", " am", " pm", "night", "hour", "minute", "quarter", "half past"
    };
    for (size_t i = 0; i < LEN(words); i++)
        if (strstr(s, words[i])) return true;
    const char *colon = strchr(s, ':');
    return colon && colon > s && colon[-1] >= '0' && colon[-1] <= '9' && colon[1] >= '0' &&
           colon[1] <= '9';
}

/* Two in five values say when: an invented look-alike would not look like it. */
static bool is_temporal(const struct json *values)
{
    size_t n = 0;
    for (size_t i = 0; i < json_len(values); i++) {
        const char *v = json_str(json_at(values, i), NULL);
        n += v && says_when(v);
    }
    return n * 5 >= json_len(values) * 2;
}

static void load_map(struct slot *s)
{
    s->n_map = json_len(s->map);
    s->map_key = mem_zero((s->n_map + 1) * sizeof *s->map_key);
    s->map_value = mem_zero((s->n_map + 1) * sizeof *s->map_value);
    size_t n = 0;
    for (struct json_iter m = json_iter(s->map); json_next(&m); n++) {
        s->map_key[n] = m.key;
        s->map_value[n] = m.value;
    }
}

static bool load_say(struct slot *s, const struct json *say, struct err *e)
{
    static const struct { const char *name; enum say say;
    } rows[] = { { "words", SAY_WORDS },
                 { "thousands", SAY_THOUSANDS },
                 { "percent", SAY_PERCENT } };
    if (!say) return true;
    for (size_t i = 0; i < LEN(rows); i++)
        if (json_str_is(say, rows[i].name)) {
            s->say = rows[i].say;
            return true;
        }
    return err_set(e, ERR_FORMAT, "slot %s: say is one of words, thousands, percent", s->name);
}

static bool load_list(struct slot *s, const struct json *n, struct err *e)
{
    int64_t lo = 2, hi = 4;
    if (n && (!json_i64(json_at(n, 0), &lo) || !json_i64(json_at(n, 1), &hi) || lo < 1 || hi < lo ||
              hi > 9))
        return err_set(e, ERR_FORMAT, "slot %s: n is [least, most], 1 to 9", s->name);
    s->least = (int)lo;
    s->most = (int)hi;
    return true;
}

bool slot_load(struct slot *s, const char *name, const struct json *form, struct err *e)
{
    const struct json *k = json_get(form, "kind"), *times = json_get(form, "times");
    *s = (struct slot){ .name = name, .item = -1 };
    s->values = json_get(form, "values");
    s->temporal = s->values && is_temporal(s->values);
    s->map = json_get(form, "map");
    s->range = json_get(form, "int");
    s->decimal = json_get(form, "decimal");
    s->list = json_get(form, "list");
    s->kind = k ? value_kind_of(json_str(k, NULL) ? json_str(k, NULL) : "") : -1;
    s->times = times ? json_f64(times) : 1;
    if (s->map) load_map(s);
    bool usable = (s->values && json_is(json_at(s->values, 0), JSON_STRING)) || s->n_map ||
                  (s->range && json_len(s->range) == 2) ||
                  (s->decimal && json_len(s->decimal) == 3) || s->list || s->kind >= 0;
    if (!usable)
        return err_set(e, ERR_FORMAT,
                       "slot %s: one of values, map, int, decimal, list or a known kind is expected",
                       name);
    return load_say(s, json_get(form, "say"), e) && load_list(s, json_get(form, "n"), e);
}

/* ---- numbers as they are said ---------------------------------------------------------------- */

enum { RANGE_MOST = 1000000000 };                                     /* a draw stays an int */

/* "twelve thousand three hundred and five", for 0 to 999999. */
static const char *number_words(struct draw *d, int n)
{
    static const char *const small[] = {
        "zero",    "one",     "two",       "three",    "four",     "five",    "six",
        "seven",   "eight",   "nine",      "ten",      "eleven",   "twelve",  "thirteen",
        "fourteen", "fifteen", "sixteen",  "seventeen", "eighteen", "nineteen"
    };
    static const char *const tens[] = { "",      "",      "twenty",  "thirty", "forty",
                                        "fifty", "sixty", "seventy", "eighty", "ninety" };
    if (n < 20) return small[n];
    if (n < 100)
        return n % 10 ? text(d, "%s-%s", tens[n / 10], small[n % 10]) : tens[n / 10];
    int unit = n < 1000 || (n < 2000 && n % 100 == 0 && chance(d, 70)) ? 100 : 1000;
    const char *head = n / unit == 1 && chance(d, 50) ? "a" : number_words(d, n / unit),
               *word = unit == 100 ? "hundred" : "thousand";
    if (n % unit == 0) return text(d, "%s %s", head, word);
    const char *link = n % unit < 100 ? pick(d, " and | and | ") : unit == 100 ? " and " : " ";
    return text(d, "%s %s%s%s", head, word, link, number_words(d, n % unit));
}

static const char *thousands(struct draw *d, int n)
{
    if (n < 1000) return text(d, "%d", n);
    if (n % 1000 == 0 && n < 1000000 && chance(d, 25))
        return text(d, "%d%s", n / 1000, pick(d, "k| thousand|K"));
    if (n % 100 == 0 && n < 100000 && chance(d, 15)) return text(d, "%d.%dk", n / 1000, n / 100 % 10);
    if (n >= 1000000 && n % 100000 == 0 && chance(d, 50))
        return n % 1000000 ? text(d, "%d.%d million", n / 1000000, n / 100000 % 10)
                           : text(d, "%d million", n / 1000000);
    if (chance(d, 35)) return text(d, "%d", n);
    return n < 1000000 ? text(d, "%d,%03d", n / 1000, n % 1000)
                       : text(d, "%d,%03d,%03d", n / 1000000, n / 1000 % 1000, n % 1000);
}

static const char *whole_said(struct draw *d, const struct slot *s, int n)
{
    if (s->say == SAY_THOUSANDS && n >= 0) return thousands(d, n);
    bool words = n >= 0 && n < 1000000 && chance(d, n <= 20 ? 60 : n <= 100 ? 50 : 30);
    if (s->say == SAY_WORDS && words) return number_words(d, n);
    if (s->say == SAY_PERCENT && n >= 0 && n <= 100 && chance(d, 15))
        return text(d, "%s percent", number_words(d, n));
    return text(d, "%d%s", n, s->say == SAY_PERCENT ? pick(d, "%|%| percent| per cent| %") : "");
}

/* The shortest spelling of x to six places. */
static const char *number_text(struct draw *d, double x)
{
    char num[48];
    snprintf(num, sizeof num, "%.6f", x);
    char *z = num + strlen(num) - 1;
    while (*z == '0') *z-- = 0;
    if (*z == '.') *z = 0;
    return text(d, "%s", strcmp(num, "-0") ? num : "0");
}

static struct drawn draw_whole(struct draw *d, const struct slot *s)
{
    int64_t lo = 0, hi = 0;
    json_i64(json_at(s->range, 0), &lo);
    json_i64(json_at(s->range, 1), &hi);
    lo = MAX(MIN(lo, RANGE_MOST), -RANGE_MOST);
    hi = MAX(MIN(hi, RANGE_MOST), lo);
    int n = range(d, (int)lo, (int)hi);
    /* round numbers are what people say of large ones */
    if (s->say == SAY_THOUSANDS && n >= 1000 && chance(d, 60)) {
        int unit = n >= 100000 ? 10000 : n >= 10000 ? 1000 : 100, near = n / unit * unit;
        if (near >= lo) n = near;
    }
    struct drawn o = { .said = whole_said(d, s, n), .number = true };
    if (s->say != SAY_DIGITS || s->times != 1) o.raw = number_text(d, n * s->times);
    return o;
}

static struct drawn draw_decimal(struct draw *d, const struct slot *s)
{
    double lo = json_f64(json_at(s->decimal, 0)), hi = json_f64(json_at(s->decimal, 1)),
           st = json_f64(json_at(s->decimal, 2));
    int steps = st > 0 && hi > lo ? (int)MIN((hi - lo) / st + 1e-9, RANGE_MOST) : 0;
    double x = lo + st * below(d, steps + 1);
    struct drawn o = { .said = number_text(d, x), .number = true };
    if (s->say == SAY_PERCENT) o.said = text(d, "%s%s", o.said, pick(d, "%|%| percent| per cent"));
    if (s->say != SAY_DIGITS || s->times != 1) o.raw = number_text(d, x * s->times);
    return o;
}

/* ---- lists ----------------------------------------------------------------------------------- */

enum { LIST_MOST = 9 };

static const char *joined(struct draw *d, const char *const *said, int n, bool numbers)
{
    const char *sep = ", ", *last = pick(d, " and | and | and |, and |, |, ");
    if (numbers && chance(d, 15)) sep = last = pick(d, " |; |,| / ");
    else if (n > 2 && chance(d, 8)) sep = last = pick(d, " and |; |, and ");
    bool bracket = numbers && chance(d, 12);
    const char *s = said[0];
    for (int i = 1; i < n; i++)
        s = text(d, "%s%s%s", s, i + 1 == n && !bracket ? last : bracket ? ", " : sep, said[i]);
    return bracket ? text(d, "[%s]", s) : s;
}

/* Different drawings of the item's slot; fewer where it does not have as many. */
static struct drawn draw_list(struct draw *d, const struct domain_pack *p, const struct slot *s,
                              enum fill fill)
{
    const char *said[LIST_MOST] = { "" };
    struct json *all = json_new_array();
    int n = 0, want = range(d, s->least, s->most);
    bool numbers = true;
    for (int tries = 0; n < want && tries < 40; tries++) {
        struct drawn one = slot_draw(d, p, s->item, fill);
        struct json *v = drawn_json(&one);
        bool fresh = true;
        for (int i = 0; i < n; i++) fresh = fresh && !json_equal(json_at(all, (size_t)i), v);
        if (!fresh) { json_free(v); continue; }
        numbers = numbers && one.number;
        said[n++] = one.said;
        json_push(all, v);
    }
    struct str raw = { 0 };
    json_write(&raw, all, JSON_COMPACT);
    struct drawn o = { .said = joined(d, said, n, numbers), .raw = arena_str(d->a, raw.p, raw.len) };
    str_done(&raw);
    json_free(all);
    return o;
}

/* ---- one drawing ----------------------------------------------------------------------------- */

/* Kinds whose argument is written in a form of its own. */
static struct drawn draw_kind(struct draw *d, const struct slot *s)
{
    struct value v = value_draw(d, (enum value_kind)s->kind);
    struct drawn o = { .said = s->kind == V_INT ? text(d, "%d", range(d, 2, 500)) : v.said };
    if (s->kind == V_ISO_DATE || s->kind == V_CLOCK || s->kind == V_MINUTES) {
        struct str raw = { 0 };
        json_write(&raw, v.json, JSON_COMPACT);
        o.raw = arena_str(d->a, raw.p, raw.len);
        str_done(&raw);
    }
    json_free(v.json);
    return o;
}

struct drawn slot_draw(struct draw *d, const struct domain_pack *p, int slot, enum fill fill)
{
    const struct slot *s = &p->slot[slot];
    struct drawn o = { 0 };
    if (s->list) return draw_list(d, p, s, fill);
    if (s->range) return draw_whole(d, s);
    if (s->decimal) return draw_decimal(d, s);
    if (s->map) {
        int i = below(d, (int)s->n_map);
        return (struct drawn){ .said = s->map_key[i], .value = s->map_value[i] };
    }
    if (!s->values) return draw_kind(d, s);
    o.said = json_str(json_at(s->values, (size_t)below(d, (int)json_len(s->values))), NULL);
    if (!o.said) o.said = "";
    if (s->temporal) fill = FILL_OWN;
    if (fill == FILL_LIKE && !s->closed) o.said = value_like(d, o.said);
    if (fill == FILL_ANY && !s->closed && d->g->real_value.n)
        o.said = d->g->real_value.item[below(d, d->g->real_value.n)];
    return o;
}
