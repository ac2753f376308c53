/* copy.c -- string values of a call are mostly copied from the conversation: a nudge to copy
 * exactly.
 *
 * While the value of a string argument is being written, the tokens that go on with some place of
 * the conversation (user and tool turns) are told apart from those that do not. A value begins and
 * ends where a word does. If what may be copied holds at least half of the probability among what
 * the grammar allows, the best of it is taken; else the model means something else and is left
 * alone for the rest of this value. Only the choice among allowed tokens changes, never what is
 * allowed.
 *
 * The state follows the bytes of the arguments: inside which string, how it began, where it
 * matches. Values with escapes and keys are left alone. */
#include <ctype.h>
#include <math.h>

#include "gen/int.h"

#define HAY_MOST (256 * 1024)

static bool is_word_byte(unsigned char c) { return isalnum(c) || c >= 0x80; }

/* Does a word begin (or end) between bytes at - 1 and at? */
static bool is_border(const struct copier *c, size_t at)
{
    if (at == 0 || at >= c->hay.len) return true;
    return !is_word_byte((unsigned char)c->hay.p[at - 1]) ||
           !is_word_byte((unsigned char)c->hay.p[at]);
}

void copy_open(struct copier *c, const struct json *messages)
{
    *c = (struct copier){ 0 };
    for (size_t i = 0; i < json_len(messages); i++) {
        const struct json *m = json_at(messages, i), *role = json_get(m, "role");
        size_t len = 0;
        const char *s = json_str(json_get(m, "content"), &len);
        if (!s || (!json_str_is(role, "user") && !json_str_is(role, "tool"))) continue;
        if (c->hay.len + len > HAY_MOST) break;
        str_put(&c->hay, s, len);
        str_putc(&c->hay, '\n');
    }
    c->at = mem_alloc((c->hay.len + 1) * sizeof *c->at);
}

void copy_close(struct copier *c)
{
    str_done(&c->hay);
    mem_free(c->at);
    *c = (struct copier){ 0 };
}

/* ---- the state: where in the arguments are we ------------------------------------------------ */

static void begin_string(struct copier *c)
{
    c->in_string = true;
    c->is_free = c->want_key;
    c->len = 0;
    c->n_at = 0;
    for (size_t i = 0; i < c->hay.len; i++)
        if (is_border(c, i) && !isspace((unsigned char)c->hay.p[i])) c->at[c->n_at++] = i;
}

static void string_byte(struct copier *c, char b)
{
    if (c->escaped) { c->escaped = false; return; }
    if (b == '\\') { c->escaped = c->is_free = true; return; }
    if (b == '"') { c->in_string = false; return; }
    size_t n = 0;
    for (size_t i = 0; i < c->n_at; i++)
        if (c->at[i] < c->hay.len && c->hay.p[c->at[i]] == b) c->at[n++] = c->at[i] + 1;
    c->n_at = n;
    c->len++;
}

/* Objects and arrays alternate in a stack of bits: 1 = object. Deeper than the stack, values are
 * left alone. */
static void plain_byte(struct copier *c, char b)
{
    if (b == '{' || b == '[') {
        c->stack = c->stack << 1 | (b == '{');
        c->want_key = b == '{';
    } else if (b == '}' || b == ']') {
        c->stack >>= 1;
        c->want_key = false;
    } else if (b == ',') c->want_key = c->stack & 1;
    else if (b == ':') c->want_key = false;
    else if (b == '"') begin_string(c);
}

void copy_begin(struct copier *c)
{
    c->stack = 0;
    c->in_string = c->escaped = c->want_key = false;
}

void copy_bytes(struct copier *c, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c->in_string) string_byte(c, p[i]);
        else plain_byte(c, p[i]);
}

bool copy_is_on(const struct copier *c) { return c->in_string && !c->is_free && c->n_at; }

/* ---- the choice ------------------------------------------------------------------------------ */

/* Do these bytes go on at one of the places, and if they close the string, does a word end there?
 */
static bool goes_on(const struct copier *c, const char *p, size_t n)
{
    const char *quote = memchr(p, '"', n);
    size_t body = quote ? (size_t)(quote - p) : n;
    if (!n || memchr(p, '\\', n) || (quote && !body && !c->len)) return false;
    for (size_t i = 0; i < c->n_at; i++) {
        size_t at = c->at[i];
        if (c->hay.len - at < body || memcmp(c->hay.p + at, p, body)) continue;
        if (!quote || is_border(c, at + body)) return true;
    }
    return false;
}

int32_t copy_pick(struct copier *c, const struct voice *v, const float *logits,
                  const uint32_t *mask, int n_vocab)
{
    int32_t best = sample_argmax(logits, mask, n_vocab), copied = -1;
    double all = 0, share = 0;
    if (best < 0 || !(logits[best] > -INFINITY)) return best;
    for (int t = 0; t < n_vocab; t++) {
        if (!(mask[t >> 5] >> (t & 31) & 1) || !(logits[t] > logits[best] - 20)) continue;
        double p = exp((double)logits[t] - logits[best]);
        struct bytes b = tok_bytes(v->tok, t);
        all += p;
        if (!goes_on(c, b.p, b.len)) continue;
        share += p;
        if (copied < 0 || logits[t] > logits[copied]) copied = t;
    }
    if (copied >= 0 && share >= 0.5 * all) return copied;
    c->is_free = true;
    return best;
}
