/* claim.c -- does the request speak of an optional parameter, or of one more element of a list?
 *
 * A tiny model fills optional parameters that nothing in the request speaks of (`dogs_allowed`, a `unit`) and goes on with lists when all
 * has been said. So where the arguments may go on or end, the mass of either is weighed by what the words and numbers of the request that
 * no value has taken yet say of the parameters that are left: a number wants a number, a boolean its words, an enum one of its members,
 * a string some words that are not the tool's own. Which parameter comes next is then chosen as a whole with the same priors. Required
 * parameters are never weighed against. */
#include <math.h>
#include <stdlib.h>

#include "gen/value.h"

/* Logarithms of odds, for the parameter or against it. */
#define NO_NUMBER (-12)  /* every number of the request has its place already */
#define BOOL_SAID 3      /* a word of the boolean's name or description is said, */
#define BOOL_NOT (-5)    /* or none */
#define MEMBER_SAID 3    /* a word of a member or of the enum's name, */
#define MEMBER_NOT (-4)  /* or none: it may be meant by another word */
#define TEXT_SAID 2      /* a word of the name or description of a string, */
#define NUMBER_NEAR 3    /* the words near a free number speak of it */
#define OBJECT_UNSAID (-4) /* no word of an object or its members is said */
#define FOLLOWS 0.5      /* what an earlier call said may be meant: so much of what speaks against counts */
#define TEXT_UNSAID (-6) /* none, and the description has a default, */
#define TEXT_NONE (-7)   /* or nothing is left that it might be made of */
#define ITEM_NEXT 6      /* a number stands where the next item of a list would, */
#define ITEM_TEXT 3      /* or a text */

/* What of the request is still free: no value has it, the tool's own words aside. */
struct rest {
    bool taken[WORDS_MOST];                                           /* in a value */
    bool number[WORDS_MOST];                                          /* says a number that no value has */
    bool tools[WORDS_MOST];                                           /* a word of the tool's name or description */
};


static struct rest rest_of(const struct offer *o, const struct place *p, const struct call_tool *tool)
{
    struct rest r = { 0 };
    struct stems own = { 0 };
    size_t len;
    const char *about = json_str(tool->description, &len);
    stems_add(&own, tool->name, strlen(tool->name));
    if (about) stems_add(&own, about, len);
    offer_taken(o, p, r.taken);
    for (int i = 0; i < o->n_word; i++) r.tools[i] = stems_have(&own, o->word[i].stem);
    for (int i = 0; i < o->n_number; i++) r.number[o->number[i].word] = !r.taken[o->number[i].word];
    for (int i = 0; i < o->n_number; i++) {
        double v = strtod(o->number[i].text, NULL);
        if (place_times_given(p, v) >= offer_times_said(o, v)) r.number[o->number[i].word] = false, r.taken[o->number[i].word] = true;
    }
    return r;
}

/* Does a free word of the request stand in this text? Words of the tool say nothing of its parameters. */
static bool says(const struct offer *o, const struct rest *r, const char *p, size_t n)
{
    struct stems s = { 0 };
    stems_add(&s, p, n);
    for (int i = 0; i < o->n_word; i++)
        if (!r->taken[i] && !r->tools[i] && !o->word[i].function && stems_have(&s, o->word[i].stem)) return true;
    return false;
}

static bool says_string(const struct offer *o, const struct rest *r, const struct json *v)
{
    size_t n;
    const char *s = json_str(v, &n);
    return s && says(o, r, s, n);
}

static bool says_member(const struct offer *o, const struct rest *r, const struct json *members)
{
    for (size_t i = 0; i < json_len(members); i++)
        if (says_string(o, r, json_at(members, i))) return true;
    return false;
}

static int numbers_left(const struct rest *r)
{
    int n = 0;
    for (int i = 0; i < WORDS_MOST; i++) n += r->number[i];
    return n;
}

/* Words that a string might be made of. */
static int words_left(const struct offer *o, const struct rest *r)
{
    int n = 0;
    for (int i = 0; i < o->n_word; i++) n += !r->taken[i] && !r->tools[i] && !o->word[i].function;
    return n;
}

/* Has the description a default, or does it say that the parameter may be left out? */
static bool may_be_left_out(const struct json *schema)
{
    static const char *const marks[] = { "efault", "ptional", "leave out", "f not ", "f left out" };
    size_t n;
    const char *about = json_str(json_get(schema, "description"), &n);
    for (size_t k = 0; about && k < LEN(marks); k++)
        if (memmem(about, n, marks[k], strlen(marks[k]))) return true;
    return json_get(schema, "default") != NULL;
}

static bool says_stems(const struct offer *o, const struct rest *r, const struct stems *s)
{
    for (int i = 0; i < o->n_word; i++)
        if (!r->taken[i] && !o->word[i].function && stems_have(s, o->word[i].stem)) return true;
    return false;
}

/* A string that may be left out wants its name or one of its examples. */
static double claim(const struct offer *o, const struct rest *r, const struct place *p, struct bytes key, const struct json *schema);

/* Is nothing said of an object's members? */
static double claim_object(const struct offer *o, const struct rest *r, bool named, const struct json *schema)
{
    const struct json *props = json_get(schema, "properties");
    if (named || says_string(o, r, json_get(schema, "description"))) return 0;
    for (struct json_iter it = json_iter(props); json_next(&it);)
        if (says(o, r, it.key, it.key_len) || says_string(o, r, json_get(it.value, "description")) || says_member(o, r, json_get(it.value, "enum"))) return 0;
    return OBJECT_UNSAID;
}

static double claim_text(const struct offer *o, const struct rest *r, bool named, const struct json *schema)
{
    struct stems examples = { 0 };
    if (named) return TEXT_SAID;
    if (!words_left(o, r)) return TEXT_NONE;
    if (!may_be_left_out(schema)) return says_string(o, r, json_get(schema, "description")) ? TEXT_SAID : 0;
    examples_of(&examples, schema);
    return says_stems(o, r, &examples) ? TEXT_SAID : TEXT_UNSAID;
}

/* Are there more numbers left than the required parameters after this one want? */
static bool numbers_spare(const struct rest *r, const struct json *object, struct bytes key)
{
    const struct json *props = json_get(object, "properties"), *required = json_get(object, "required");
    int wanted = 0;
    bool after = false;
    if (!json_is(props, JSON_OBJECT)) return numbers_left(r) > 0;
    for (struct json_iter it = json_iter(props); json_next(&it);) {
        if (it.key_len == key.len && !memcmp(it.key, key.p, key.len)) after = true;
        else if (after && schema_is_numeric(it.value))
            for (size_t i = 0; i < json_len(required); i++) wanted += json_str_is(json_at(required, i), it.key);
    }
    return numbers_left(r) > wanted;
}

static double claim(const struct offer *o, const struct rest *r, const struct place *p, struct bytes key, const struct json *schema)
{
    const struct json *object = p->object;
    const struct json *about = json_get(schema, "description"), *members = json_get(schema, "enum"), *items = json_get(schema, "items");
    bool named = key.len && says(o, r, key.p, key.len);
    if (items) members = json_get(items, "enum");
    if (members) return says_member(o, r, members) || named ? MEMBER_SAID : MEMBER_NOT;
    if (key.len && schema_is_numeric(schema) && numbers_left(r) && offer_number_near(o, p, key.p, schema)) return NUMBER_NEAR;
    if (schema_is_numeric(schema) || schema_is_numeric(items)) return numbers_spare(r, object, key) ? 0 : NO_NUMBER;
    if (json_str_is(json_get(schema, "type"), "boolean")) return named || says_string(o, r, about) ? BOOL_SAID : BOOL_NOT;
    if (json_get(schema, "properties")) return claim_object(o, r, named, schema);
    return claim_text(o, r, named, schema);
}

static bool is_required(const struct json *object, struct bytes key)
{
    const struct json *list = json_get(object, "required");
    for (size_t i = 0; i < json_len(list); i++) {
        size_t n;
        const char *s = json_str(json_at(list, i), &n);
        if (s && n == key.len && !memcmp(s, key.p, n)) return true;
    }
    return false;
}

int claim_keys(const struct offer *o, const struct place *p, const struct call_tool *tool, struct whole_item *item, int cap)
{
    struct rest r = rest_of(o, p, tool);
    const struct json *props = json_get(p->object, "properties");
    bool after = !p->last_key.len;
    double later = 0;
    int n = 0;
    if (!json_is(props, JSON_OBJECT)) return 0;
    for (struct json_iter it = json_iter(props); json_next(&it) && n < cap;) {
        struct bytes key = { it.key, it.key_len };
        bool here = after;
        if (!after) after = key.len == p->last_key.len && !memcmp(key.p, p->last_key.p, key.len);
        if (!here) continue;
        double prior = is_required(p->object, key) ? 0 : claim(o, &r, p, key, it.value);
        if (o->follows && prior < 0) prior *= FOLLOWS;
        item[n++] = (struct whole_item){ .text = it.key, .n_stop = 1, .stop = { { key.len, prior } } };
    }
    for (int i = n; i-- > 0;) { /* one that comes before does not exclude it: what speaks for it speaks for those too */
        double own = item[i].stop[0].prior;
        item[i].stop[0].prior += later;
        later = MAX(later, own);
    }
    return n;
}

double claim_more(const struct offer *o, const struct place *p, const struct call_tool *tool)
{
    if (p->open == '[') {
        struct rest r = rest_of(o, p, tool);
        const struct json *items = json_get(p->inner, "items");
        if (!items) return 0;
        double more = claim(o, &r, p, (struct bytes){ 0 }, items);
        if (json_get(items, "enum") || p->n_given <= p->list_from) return more;
        bool known = false;
        if (schema_is_numeric(items)) return offer_next_number(o, p, &known) >= 0 ? ITEM_NEXT : known ? -ITEM_NEXT : more;
        if (json_str_is(json_get(items, "type"), "string")) return span_next_item(o, p, &known) >= 0 ? ITEM_TEXT : known ? -ITEM_TEXT : more;
        return more;
    }
    struct whole_item item[ITEMS_MOST];
    double most = -INFINITY;
    int n = p->depth == 1 ? claim_keys(o, p, tool, item, ITEMS_MOST) : 0;
    for (int i = 0; i < n; i++) most = MAX(most, item[i].stop[0].prior);
    return n ? most : 0;
}
