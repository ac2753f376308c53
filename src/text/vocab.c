/* vocab.c -- the tokenizer of a model file: tables, special tokens, and the way text takes through
 * them.
 *
 * Everything comes from tokenizer.ggml.*. Vocabulary files of this kind write each byte as a
 * printable character; here tokens are decoded to bytes once at opening, and all later work is on
 * bytes. Control tokens have a table of their own that ordinary text never reaches: a user who
 * types "<|im_end|>" gets the letters, not the token. Only TOK_SPECIAL, and only for text that we
 * wrote ourselves, looks control tokens up by their text; user-defined tokens always match.
 *
 * True once open: every id in a table is inside the vocabulary, merge rank r is unique to its pair.
 * Read-only from then on, so threads share it freely. The strings of tok_text lend from the file,
 * which must stay open as long as the tokenizer.
 * Not here: splitting and merging (split.c, bpe.c). SentencePiece vocabularies are refused. */
#include "text/int.h"

#include <stdatomic.h>
#include <stdlib.h>

#define TEXT_MOST ((size_t)1 << 30)                    /* bytes in one call; positions are 32 bit */

/* ---- byte strings to ids --------------------------------------------------------------------- */

void strmap_init(struct strmap *m, const struct bytes *key, size_t n_most)
{
    size_t cap = 16;
    while (cap < n_most * 2) cap *= 2;
    *m = (struct strmap){ mem_zero(cap * sizeof *m->slot), cap - 1, key };
}

static int32_t *strmap_slot(const struct strmap *m, const char *p, size_t len)
{
    size_t i = hash64(p, len, 0) & m->mask;
    for (; m->slot[i]; i = (i + 1) & m->mask) {
        struct bytes k = m->key[m->slot[i] - 1];
        if (k.len == len && !memcmp(k.p, p, len)) break;
    }
    return &m->slot[i];
}

bool strmap_add(struct strmap *m, int32_t id)
{
    int32_t *slot = strmap_slot(m, m->key[id].p, m->key[id].len);
    if (*slot) return false;
    *slot = id + 1;
    return true;
}

int32_t strmap_find(const struct strmap *m, const char *p, size_t len)
{
    return *strmap_slot(m, p, len) - 1;
}

/* ---- bytes and the characters that stand for them -------------------------------------------- */

static bool is_own_char(int b)
{
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
}

uint32_t byte_to_char(uint8_t b)
{
    if (is_own_char(b)) return b;
    uint32_t c = 256;
    for (int i = 0; i < b; i++) c += !is_own_char(i);
    return c;
}

int char_to_byte(int32_t cp)
{
    if (cp >= 0 && cp < 256) return is_own_char(cp) ? cp : -1;
    if (cp < 256 || cp > 323) return -1;
    int n = cp - 256;                             /* the n-th byte without a character of its own */
    if (n <= 32) return n;
    return n <= 66 ? 127 + n - 33 : 173;
}

/* Decodes mapped text to out (at least len bytes); returns the byte count or -1 if a character
 * stands for no byte. */
static int64_t unmap(struct bytes text, char *out)
{
    const char *p = text.p, *end = p + text.len;
    int64_t n = 0;
    while (p < end) {
        int step = 1, b = char_to_byte(utf8_next(p, end, &step));
        if (b < 0) return -1;
        out[n++] = (char)b;
        p += step;
    }
    return n;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool read_types(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    memset(t->type, TOKEN_NORMAL, (size_t)t->n_vocab);
    if (!gguf_has(g, "tokenizer.ggml.token_type")) return true;
    int32_t *v = NULL;
    size_t n = 0;
    if (!gguf_ints(g, "tokenizer.ggml.token_type", 0, 6, &v, &n, e)) return false;
    bool ok = n == (size_t)t->n_vocab;
    for (size_t i = 0; ok && i < n; i++) t->type[i] = (uint8_t)(v[i] ? v[i] : TOKEN_NORMAL);
    mem_free(v);
    return ok || err_set(e, ERR_FORMAT, "tokenizer.ggml.token_type has %zu entries and "
                         "tokenizer.ggml.tokens %d; both need one per token", n, t->n_vocab);
}

static bool read_tokens(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    size_t n = 0, total = 0;
    if (!gguf_strs(g, "tokenizer.ggml.tokens", &t->text, &n, e)) return false;
    if (!n || n > INT32_MAX / 4)
        return err_set(e, ERR_FORMAT,
                       "tokenizer.ggml.tokens has %zu entries; a vocabulary has at least one", n);
    t->n_vocab = (int)n;
    t->bytes = mem_zero(n * sizeof *t->bytes);
    t->type = mem_alloc(n);
    t->eog = mem_zero(n);
    for (size_t i = 0; i < n; i++) total += t->text[i].len;
    t->blob = mem_alloc(total + 1);
    return read_types(t, g, e);
}

/* Optional key with a token id. */
static bool read_id(const struct tokenizer *t, const struct gguf *g, const char *key, int32_t *id,
                    struct err *e)
{
    int64_t v = -1;
    *id = -1;
    if (!gguf_has(g, key)) return true;
    if (!gguf_int(g, key, -1, UINT32_MAX, &v, e)) return false;
    if (v >= t->n_vocab && v != UINT32_MAX)                    /* all ones: some tools' "none" */
        return err_set(e, ERR_FORMAT, "%s is %lld; the vocabulary has the ids 0 to %d", key,
                       (long long)v, t->n_vocab - 1);
    *id = v < t->n_vocab ? (int32_t)v : -1;
    return true;
}

static bool is_special(const struct tokenizer *t, int32_t id)
{
    return t->type[id] == TOKEN_CONTROL || t->type[id] == TOKEN_USER ||
           t->type[id] == TOKEN_UNKNOWN;
}

static bool read_special_ids(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    static const char *const ends[] = {
        "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id" };
    if (!read_id(t, g, "tokenizer.ggml.bos_token_id", &t->bos, e)) return false;
    for (size_t i = 0; i < LEN(ends); i++) {
        int32_t id;
        if (!read_id(t, g, ends[i], &id, e)) return false;
        if (!i) t->eos = id;
        if (id >= 0) t->eog[id] = 1;
    }
    /* A file without token types marks at least these as what they are. */
    for (int i = 0; i < t->n_vocab; i++)
        if ((i == t->bos || t->eog[i]) && t->type[i] == TOKEN_NORMAL) t->type[i] = TOKEN_CONTROL;
    t->add_bos = split_adds_bos(t->split);
    if (gguf_has(g, "tokenizer.ggml.add_bos_token") &&
        !gguf_bool(g, "tokenizer.ggml.add_bos_token", &t->add_bos, e)) return false;
    if (gguf_has(g, "tokenizer.ggml.add_eos_token") &&
        !gguf_bool(g, "tokenizer.ggml.add_eos_token", &t->add_eos, e)) return false;
    t->add_bos = t->add_bos && t->bos >= 0;
    t->add_eos = t->add_eos && t->eos >= 0;
    return true;
}

/* Files often name one end of turn by id and leave the others to be known by their text. */
static void mark_ends(struct tokenizer *t)
{
    static const char *const texts[] = { "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>",
                                         "<|end_of_text|>", "<|end|>", "</s>" };
    for (size_t i = 0; i < LEN(texts); i++) {
        int32_t id = strmap_find(&t->special, texts[i], strlen(texts[i]));
        if (id >= 0) t->eog[id] = 1;
    }
}

/* Decodes every token and fills the two tables. */
static void index_tokens(struct tokenizer *t)
{
    char *at = t->blob;
    strmap_init(&t->plain, t->bytes, (size_t)t->n_vocab);
    strmap_init(&t->special, t->text, (size_t)t->n_vocab);
    memset(t->byte_id, 0xff, sizeof t->byte_id);
    for (int i = 0; i < t->n_vocab; i++) {
        if (is_special(t, i)) {
            if (t->type[i] == TOKEN_USER) t->bytes[i] = t->text[i];
            if (t->text[i].len) strmap_add(&t->special, i);
            t->n_user += t->type[i] == TOKEN_USER && t->text[i].len;
            continue;
        }
        int64_t n = unmap(t->text[i], at);
        if (n < 0) {                        /* not written in mapped characters: taken literally, */
            t->bytes[i] = t->text[i];                             /* and never produced from text */
            continue;
        }
        t->bytes[i] = (struct bytes){ at, (size_t)n };
        at += n;
        if (n && strmap_add(&t->plain, i) && n == 1) t->byte_id[(uint8_t)t->bytes[i].p[0]] = i;
    }
}

static int by_length_down(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x < y) - (x > y);
}

/* What a scan for special tokens asks first: two bytes they may begin with, and their lengths. */
static void index_specials(struct tokenizer *t)
{
    int n = 0;
    t->special_pair = mem_zero(65536 / 8);
    t->special_len = mem_alloc((size_t)t->n_vocab * sizeof *t->special_len);
    for (int i = 0; i < t->n_vocab; i++) {
        struct bytes s = t->text[i];
        if (!is_special(t, i) || !s.len) continue;
        unsigned first = (uint8_t)s.p[0] * 256u;
        if (s.len > 1)
            t->special_pair[(first + (uint8_t)s.p[1]) / 8] |=
                (uint8_t)(1u << ((uint8_t)s.p[1] & 7));
        else memset(t->special_pair + first / 8, 0xff, 32);
        t->special_len[n++] = (uint32_t)MIN(s.len, UINT32_MAX);
    }
    qsort(t->special_len, (size_t)n, sizeof *t->special_len, by_length_down);
    for (int i = 0; i < n; i++)
        if (!i || t->special_len[i] != t->special_len[i - 1])
            t->special_len[t->n_special_len++] = t->special_len[i];
}

/* ---- merges ---------------------------------------------------------------------------------- */

static uint32_t *merge_slot(const struct tokenizer *t, int32_t a, int32_t b)
{
    uint64_t h = ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) * 0x9e3779b97f4a7c15u;
    size_t i = (h ^ h >> 29) >> 7 & t->merge_mask;
    for (; t->merge_slot[i]; i = (i + 1) & t->merge_mask) {
        const struct merge *m = &t->merge[t->merge_slot[i] - 1];
        if (m->a == a && m->b == b) break;
    }
    return &t->merge_slot[i];
}

int32_t merge_find(const struct tokenizer *t, int32_t a, int32_t b)
{
    if (a < 0 || b < 0) return -1;
    return (int32_t)*merge_slot(t, a, b) - 1;
}

/* One line "A B": both parts and the two joined must be tokens. buf: room for the line. */
static bool read_merge(const struct tokenizer *t, struct bytes line, char *buf, struct merge *m,
                       struct err *e)
{
    const char *gap = line.len > 2 ? memchr(line.p + 1, ' ', line.len - 2) : NULL;
    if (!gap) return err_set(e, ERR_FORMAT, "\"%.*s\" is not two tokens with a space between them",
                             (int)MIN(line.len, 60), line.p);
    struct bytes a = { line.p, (size_t)(gap - line.p) }, b = { gap + 1, line.len - a.len - 1 };
    int64_t na = unmap(a, buf), nb = na < 0 ? -1 : unmap(b, buf + na);
    if (nb >= 0) {
        m->a = strmap_find(&t->plain, buf, (size_t)na);
        m->b = strmap_find(&t->plain, buf + na, (size_t)nb);
        m->ab = strmap_find(&t->plain, buf, (size_t)(na + nb));
        if (m->a >= 0 && m->b >= 0 && m->ab >= 0) return true;
    }
    const char *what = nb < 0     ? "is not written in byte-level characters"
                       : m->a < 0 ? "begins with an unknown token"
                       : m->b < 0 ? "ends with an unknown token"
                                  : "makes a token that is not in the vocabulary";
    return err_set(e, ERR_FORMAT, "\"%.*s\" %s", (int)MIN(line.len, 60), line.p, what);
}

static bool read_merges(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    struct bytes *line = NULL;
    size_t n = 0, longest = 0, cap = 16;
    if (!gguf_strs(g, "tokenizer.ggml.merges", &line, &n, e)) return false;
    bool ok =
        n <= INT32_MAX / 4 || err_set(e, ERR_FORMAT, "tokenizer.ggml.merges has %zu entries", n);
    for (size_t i = 0; i < n; i++) longest = MAX(longest, line[i].len);
    while (cap < n + n / 2) cap *= 2;
    char *buf = mem_alloc(longest + 1);
    t->merge = mem_alloc(MAX(n, 1) * sizeof *t->merge);
    t->merge_slot = mem_zero(cap * sizeof *t->merge_slot);
    t->merge_mask = cap - 1;
    for (size_t i = 0; ok && i < n; i++) {
        struct merge m;
        ok = read_merge(t, line[i], buf, &m, e) || err_in(e, "tokenizer.ggml.merges[%zu]", i);
        if (!ok) break;
        t->merge[i] = m;
        uint32_t *slot = merge_slot(t, m.a, m.b);
        if (!*slot) *slot = (uint32_t)i + 1;        /* the same pair again: the first rank counts */
    }
    t->n_merge = (int)n;
    mem_free(buf);
    mem_free(line);
    return ok;
}

static bool read_kind(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    struct bytes model, pre = { "gpt-2", 5 };
    if (!gguf_str(g, "tokenizer.ggml.model", &model, e)) return false;
    if (!bytes_eq(model, "gpt2"))
        return err_set(e, ERR_UNSUPPORTED,
                       "tokenizer.ggml.model is \"%.*s\"; this build reads byte-level BPE "
                       "(\"gpt2\")",
                       (int)MIN(model.len, 40), model.p);
    if (gguf_has(g, "tokenizer.ggml.pre")) {
        if (!gguf_str(g, "tokenizer.ggml.pre", &pre, e)) return false;
    } else {
        log_line(LOG_WARN, "pre_tokenizer_missing file=%s used=gpt-2", gguf_name(g));
    }
    t->split = split_open(pre.p, pre.len, e);
    if (!t->split) return err_in(e, "tokenizer.ggml.pre");
    t->whole_first = split_whole_first(t->split);
    return true;
}

struct tokenizer *tok_open(const struct gguf *g, struct err *e)
{
    static atomic_uint_fast64_t serial;
    struct tokenizer *t = mem_zero(sizeof *t);
    t->serial = atomic_fetch_add(&serial, 1) + 1;
    t->bos = t->eos = -1;
    if (!read_kind(t, g, e) || !read_tokens(t, g, e) || !read_special_ids(t, g, e)) goto fail;
    index_tokens(t);
    index_specials(t);
    mark_ends(t);
    if (!read_merges(t, g, e)) goto fail;
    return t;
fail:
    err_in(e, "%s", gguf_name(g));
    tok_close(t);
    return NULL;
}

void tok_close(struct tokenizer *t)
{
    if (!t) return;
    void *const parts[] = { t->text, t->bytes, t->type, t->eog, t->blob, t->plain.slot,
                            t->special.slot, t->special_pair, t->special_len, t->merge,
                            t->merge_slot };
    for (size_t i = 0; i < LEN(parts); i++) mem_free(parts[i]);
    split_close(t->split);
    mem_free(t);
}

/* ---- what the door lends --------------------------------------------------------------------- */

static bool is_id(const struct tokenizer *t, int32_t id) { return id >= 0 && id < t->n_vocab; }

int tok_n_vocab(const struct tokenizer *t) { return t->n_vocab; }

struct bytes tok_bytes(const struct tokenizer *t, int32_t id)
{
    return is_id(t, id) ? t->bytes[id] : (struct bytes){ "", 0 };
}

struct bytes tok_text(const struct tokenizer *t, int32_t id)
{
    return is_id(t, id) ? t->text[id] : (struct bytes){ "", 0 };
}

bool tok_is_control(const struct tokenizer *t, int32_t id)
{
    return is_id(t, id) && (t->type[id] == TOKEN_CONTROL || t->type[id] == TOKEN_UNKNOWN);
}

int32_t tok_special(const struct tokenizer *t, const char *text)
{
    return strmap_find(&t->special, text, strlen(text));
}

int32_t tok_bos(const struct tokenizer *t) { return t->bos; }
bool tok_adds_bos(const struct tokenizer *t) { return t->add_bos; }
bool tok_is_eog(const struct tokenizer *t, int32_t id) { return is_id(t, id) && t->eog[id]; }

void ids_put(struct ids *l, int32_t id)
{
    MEM_GROW(l->id, l->n, l->cap);
    l->id[l->n++] = id;
}

/* ---- special tokens in text ------------------------------------------------------------------ */

struct found { uint32_t pos, len; int32_t id; };
struct finds { struct found *f; size_t n, cap; };

static int by_priority(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->len != y->len) return x->len > y->len ? -1 : 1;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return (x->pos > y->pos) - (x->pos < y->pos);
}

static int by_pos(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return (x->pos > y->pos) - (x->pos < y->pos);
}

static void find_at(const struct tokenizer *t, const char *s, size_t len, size_t pos, bool all,
                    struct finds *out)
{
    for (int i = 0; i < t->n_special_len; i++) {
        uint32_t n = t->special_len[i];
        if (n > len - pos) continue;
        int32_t id = strmap_find(&t->special, s + pos, n);
        if (id < 0 || (!all && t->type[id] != TOKEN_USER)) continue;
        MEM_GROW(out->f, out->n, out->cap);
        out->f[out->n++] = (struct found){ (uint32_t)pos, n, id };
    }
}

/* Keeps what a scan for the longest token first, then the next one, and so on would have taken.
 * Whatever was kept before is at least as long, so an overlap always covers one end of the
 * newcomer. */
static void keep_longest(struct finds *l, size_t len)
{
    uint8_t *taken = mem_zero(len);
    size_t n = 0;
    qsort(l->f, l->n, sizeof *l->f, by_priority);
    for (size_t i = 0; i < l->n; i++) {
        struct found f = l->f[i];
        if (taken[f.pos] || taken[f.pos + f.len - 1]) continue;
        memset(taken + f.pos, 1, f.len);
        l->f[n++] = f;
    }
    l->n = n;
    qsort(l->f, l->n, sizeof *l->f, by_pos);
    mem_free(taken);
}

static void find_specials(const struct tokenizer *t, const char *s, size_t len, bool all,
                          struct finds *out)
{
    if (!t->n_special_len || (!all && !t->n_user)) return;
    for (size_t i = 0; i < len; i++) {
        unsigned pair = (uint8_t)s[i] * 256u + (i + 1 < len ? (uint8_t)s[i + 1] : 0u);
        bool may = i + 1 < len ? t->special_pair[pair / 8] >> (pair & 7) & 1 : true;
        if (may) find_at(t, s, len, i, all, out);
    }
    if (out->n) keep_longest(out, len);
}

bool tok_encode(const struct tokenizer *t, const char *s, size_t len, unsigned flags,
                struct ids *out, struct err *e)
{
    if (len > TEXT_MOST)
        return err_set(e, ERR_LIMIT, "text of %zu bytes; at most %zu can be tokenized at once", len,
                       TEXT_MOST);
    struct finds at = { 0 };
    size_t done = 0;
    find_specials(t, s, len, flags & TOK_SPECIAL, &at);
    if (flags & TOK_ADD && t->add_bos) ids_put(out, t->bos);
    for (size_t i = 0; i < at.n; i++) {
        bpe_encode(t, s + done, at.f[i].pos - done, out);
        ids_put(out, at.f[i].id);
        done = at.f[i].pos + at.f[i].len;
    }
    bpe_encode(t, s + done, len - done, out);
    if (flags & TOK_ADD && t->add_eos) ids_put(out, t->eos);
    mem_free(at.f);
    return true;
}
