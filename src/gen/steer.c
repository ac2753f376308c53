/* steer.c -- where a tiny model gets help in choosing: names and values as wholes, call or text, one more or the end.
 *
 * Each kind of help is a bit of `steer`, and none lets anything through that the grammar forbids: it says which of the allowed
 * tokens to take. What the request says for and against comes from lexical.c, offer.c, span.c and claim.c. */
#include <ctype.h>
#include <math.h>

#include "gen/seq_int.h"

#define TURN_SHARE (4.0 / PRIOR_WEIGHT) /* of the best prior counts for a call, */
#define TURN_BIAS 0.3   /* and this, */
#define TURN_LACKS 4    /* and this against a tool whose required numbers the request has not */
#define MORE_BIAS 1.5   /* against another call, */
#define MORE_NOTHING 8  /* and if the calls so far say all numbers and names of the request, */
#define MORE_NEVER 14   /* and if they say all of its words */
#define MEMBER_EXACT 5  /* a member is said as it is written, */
#define MEMBER_TWICE 12 /* or stands in the list already */
#define SPAN_FLOOR 0.2  /* share of all values that spans of the request must have, */
#define NUMBER_FLOOR 0.01 /* and its numbers, to be chosen from */

/* ---- names and values as wholes -------------------------------------------------------------- */

static struct whole_item one_end(const char *text, double prior)
{
    return (struct whole_item){ .text = text, .n_stop = 1, .stop = { { strlen(text), prior } } };
}

static int list_names(struct seq *s)
{
    if (s->n_tool > ITEMS_MOST) return 0;
    for (int i = 0; i < s->n_tool; i++) s->item[i] = one_end(s->tool[i].name, s->prior[i]);
    return s->n_tool;
}

/* A member that is said as it is written, or that the list has already. */
static double member_prior(const struct seq *s, const struct place *p, const char *member)
{
    double prior = p->open != '[' && s->offer && offer_says(s->offer, member) ? MEMBER_EXACT : 0;
    for (int i = p->list_from; p->open == '[' && i < p->n_given; i++)
        if (bytes_eq(p->given[i], member)) prior -= MEMBER_TWICE;
    return prior;
}

/* The members of the enum that may stand here with what the request says of them. Few or none: 0. */
static int list_members(struct seq *s, const struct place *p, const struct json *list)
{
    struct call_tool as_tool[ITEMS_MOST] = { 0 };
    double prior[ITEMS_MOST];
    int n = 0;
    if (json_len(list) > ITEMS_MOST) return 0;
    for (size_t i = 0; i < json_len(list); i++)
        if (json_str(json_at(list, i), NULL)) as_tool[n++].name = json_str(json_at(list, i), NULL);
    lexical_scores(s->o.r->messages, as_tool, n, prior);
    for (int i = 0; i < n; i++) s->item[i] = one_end(as_tool[i].name, PRIOR_WEIGHT * prior[i] + member_prior(s, p, as_tool[i].name));
    return n;
}

/* Does the text end where the arguments do? The parser holds a number back until its end. */
static bool args_are_whole(const struct seq *s)
{
    return s->em.args.len && s->said.len && s->em.args.p[s->em.args.len - 1] == s->said.p[s->said.len - 1];
}

/* The arguments so far with the number, true or false that is held back. */
static void all_args(const struct seq *s, struct str *out)
{
    size_t from = s->said.len;
    str_put(out, s->em.args.p, s->em.args.len);
    if (args_are_whole(s)) return;
    while (from && (isalnum((unsigned char)s->said.p[from - 1]) || strchr("+-.", s->said.p[from - 1]))) from--;
    str_put(out, s->said.p + from, s->said.len - from);
}

/* Is something to be chosen as a whole here: a tool's name, a member of an enum, a value that the request offers? */
bool steer_whole(struct seq *s, const float *logits)
{
    struct whole *w = &s->whole;
    struct place p;
    w->item = s->item, w->least = 2, w->floor = 0, w->ends = "\"";
    if (!s->em.in_call) {
        if (!(s->o.steer & STEER_NAME)) return false;
        w->n_item = list_names(s), w->ends = "\"(";
        return whole_begin(w, s->matcher, logits);
    }
    if (!s->em.current || !(s->o.steer & (STEER_MEMBER | STEER_VALUE | STEER_KEY)) || !args_are_whole(s)) return false;
    if (!place_find(&p, s->em.current->schema, s->em.args.p, s->em.args.len)) {
        if (!(s->o.steer & STEER_KEY) || !p.begins_key || p.depth != 1) return false;
        w->n_item = claim_keys(s->offer, &p, s->em.current, s->item, ITEMS_MOST);
        return w->n_item && whole_begin(w, s->matcher, logits);
    }
    const struct json *members = p.in_string ? json_get(p.schema, "enum") : NULL;
    if (members) w->n_item = s->o.steer & STEER_MEMBER ? list_members(s, &p, members) : 0;
    else {
        w->n_item = s->o.steer & STEER_VALUE ? offer_values(s->offer, &p, s->item, ITEMS_MOST) : 0;
        w->least = 1, w->floor = p.in_string ? SPAN_FLOOR : !s->offer->follows && offer_has_number(s->offer, &p) ? 0 : NUMBER_FLOOR;
        if (!p.in_string) w->ends = ",]}";
    }
    return w->n_item && whole_begin(w, s->matcher, logits);
}

/* Is this the first token of a turn that may be a call or text, and help is wanted? */
bool steer_is_turn(const struct seq *s)
{
    return s->o.steer & STEER_TURN && s->used == 0 && s->o.r->choice == CHOICE_AUTO;
}

/* A request that shares words with a tool is rather a call; one that shares none, or has not the numbers that a call needs, rather text.
 * Of a request that a result has answered already its words say nothing more. */
double steer_to_call(const struct seq *s)
{
    const struct json *messages = s->o.r->messages, *last = json_at(messages, json_len(messages) - 1);
    double most = -INFINITY;
    if (!json_str_is(json_get(last, "role"), "user")) return 0;
    for (int i = 0; i < s->n_tool; i++)
        most = MAX(most, TURN_SHARE * s->prior[i] - (s->offer && offer_lacks(s->offer, &s->tool[i]) ? TURN_LACKS : 0));
    return most + TURN_BIAS;
}

static enum list_step step_of(const struct seq *s, int32_t t, const struct str *text, int depth)
{
    return voice_is_special(&s->o.voice, t) ? LIST_SAME : place_step(text->p, text->len, tok_bytes(s->o.voice.tok, t), depth);
}

/* Does the model want another call here, and is that to be weighed? */
bool steer_is_more(const struct seq *s, const float *logits)
{
    if (!logits || !(s->o.steer & STEER_MORE) || !s->matcher || !s->said.len) return false;
    enum list_step step = step_of(s, sample_argmax(logits, NULL, s->n_vocab), &s->said, 1);
    return step == LIST_MORE || step == LIST_ENDS;
}

/* Another call is rather wanted while the request says something that no call has said. */
static double lean_to_more(const struct seq *s)
{
    enum offer_rest left = offer_left(s->offer, s->em.current, s->said.p, s->said.len);
    return -(left == LEFT_NAMES ? MORE_BIAS : left == LEFT_WORDS ? MORE_NOTHING : MORE_NEVER);
}

/* What the tokens that may come do to the list or object at this depth of `text`: mass and best of each. */
struct steps { double mass[3]; int32_t best[3]; };
static struct steps weigh_steps(const struct seq *s, const float *logits, const uint32_t *mask, const struct str *text, int depth)
{
    struct steps y = { { 0 }, { -1, -1, -1 } };
    int32_t top = sample_argmax(logits, mask, s->n_vocab);
    for (int32_t t = 0; top >= 0 && t < s->n_vocab; t++) {
        if (!(mask[t >> 5] >> (t & 31) & 1) || !(logits[t] > logits[top] - 25)) continue;
        enum list_step step = step_of(s, t, text, depth);
        y.mass[step] += exp((double)logits[t] - logits[top]);
        if (y.best[step] < 0 || logits[t] > logits[y.best[step]]) y.best[step] = t;
    }
    return y;
}

/* Another call or the end of the list, by mass; -1: the end may not stand here. */
int32_t steer_more(const struct seq *s, const float *logits, const uint32_t *mask)
{
    struct steps y = weigh_steps(s, logits, mask, &s->said, 1);
    if (y.best[LIST_MORE] < 0) return -1;
    bool ends = y.mass[LIST_ENDS] > y.mass[LIST_MORE] * exp(lean_to_more(s));
    return ends ? y.best[LIST_ENDS] : y.mass[LIST_MORE] + y.mass[LIST_ENDS] > y.mass[LIST_SAME] ? y.best[LIST_MORE] : -1;
}

/* Within arguments, where the model would go on to another parameter or element, or end: is that to be weighed? The place, and the
 * text up to it, are filled then. */
static bool is_member_end(const struct seq *s, const float *logits, struct place *p, struct str *args)
{
    if (!logits || !(s->o.steer & STEER_KEY) || !s->matcher || !s->offer || !s->em.in_call || !s->em.current || !s->em.args.len) return false;
    struct bytes b = tok_bytes(s->o.voice.tok, sample_argmax(logits, NULL, s->n_vocab));
    if (!memchr(b.p, ',', b.len) && !memchr(b.p, ']', b.len) && !memchr(b.p, '}', b.len)) return false;
    all_args(s, args);
    place_find(p, s->em.current->schema, args->p, args->len);
    return p->depth > 0 && (p->depth == 1 || p->open == '[');
}

bool steer_is_member(const struct seq *s, const float *logits)
{
    struct place p = { 0 };
    struct str args = { 0 };
    bool may = is_member_end(s, logits, &p, &args);
    str_done(&args);
    return may;
}

/* Another parameter or element, or the end, by mass, and by what the request says of those that are left; -1: nothing to decide. */
int32_t steer_member(const struct seq *s, const float *logits, const uint32_t *mask)
{
    struct place p = { 0 };
    struct str args = { 0 };
    int32_t t = -1;
    if (is_member_end(s, logits, &p, &args)) {
        struct steps y = weigh_steps(s, logits, mask, &args, p.depth);
        bool both = y.mass[LIST_MORE] > 0 && y.mass[LIST_ENDS] > 0, more = false;
        if (both) more = y.mass[LIST_MORE] * exp(claim_more(s->offer, &p, s->em.current)) > y.mass[LIST_ENDS];
        bool ends = y.mass[LIST_ENDS] > y.mass[LIST_MORE];
        if (both && y.mass[LIST_SAME] < y.mass[LIST_MORE] + y.mass[LIST_ENDS] && more == ends) t = y.best[more ? LIST_MORE : LIST_ENDS];
        if (t >= 0 && !more && s->o.steer & STEER_MORE && step_of(s, t, &s->said, 1) == LIST_MORE) { /* the token that ends them begins another call */
            int32_t end = steer_more(s, logits, mask);
            t = end >= 0 ? end : t;
        }
    }
    str_done(&args);
    return t;
}
