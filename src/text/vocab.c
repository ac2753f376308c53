/* vocab.c -- the tokenizer of a model file: tables, special tokens, and the way text takes through
 * them.
 *
 * Everything comes from tokenizer.ggml.*; its model says which of two kinds the vocabulary is,
 * byte-level BPE (bpe.c) or SPM (spm.c). Either way tokens are decoded to bytes once at opening, and
 * all later work is on bytes. Control tokens have a table of their own that ordinary text never
 * reaches: a user who types "<|im_end|>" gets the letters, not the token. Only TOK_SPECIAL, and only
 * for text that we wrote ourselves, looks control tokens up by their text; user-defined tokens always
 * match.
 *
 * True once open: every id in a table is inside the vocabulary, but for the parts of SPM merges that
 * are characters without a token (spm.c).
 * Read-only from then on, so threads share it freely. The strings of tok_text lend from the file,
 * which must stay open as long as the tokenizer.
 * Not here: how text without special tokens is cut and merged (split.c, bpe.c, spm.c, merge.c). */
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

/* Half of the hash stands in the slot, so that only the right key is looked at: each lies somewhere else in memory. */
static size_t strmap_slot(const struct strmap *m, const char *p, size_t len, uint32_t *mark)
{
    uint64_t h = hash64(p, len, 0);
    size_t i = h & m->mask;
    *mark = (uint32_t)(h >> 32);
    for (; m->slot[i].next; i = (i + 1) & m->mask) {
        if (m->slot[i].mark != *mark) continue;
        struct bytes k = m->key[m->slot[i].next - 1];
        if (k.len == len && !memcmp(k.p, p, len)) break;
    }
    return i;
}

bool strmap_add(struct strmap *m, int32_t id)
{
    uint32_t mark;
    size_t i = strmap_slot(m, m->key[id].p, m->key[id].len, &mark);
    if (m->slot[i].next) return false;
    m->slot[i] = (struct strslot){ id + 1, mark };
    return true;
}

int32_t strmap_find(const struct strmap *m, const char *p, size_t len)
{
    uint32_t mark;
    return m->slot[strmap_slot(m, p, len, &mark)].next - 1;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* What an SPM file without token types says by the text alone. */
static void guess_types(struct tokenizer *t)
{
    for (int i = 0; t->is_spm && i < t->n_vocab; i++)
        if (spm_byte(t->text[i]) >= 0) t->type[i] = TOKEN_BYTE;
        else if (bytes_eq(t->text[i], "<unk>")) t->type[i] = TOKEN_UNKNOWN;
}

static bool read_types(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    memset(t->type, TOKEN_NORMAL, (size_t)t->n_vocab);
    if (!gguf_has(g, "tokenizer.ggml.token_type")) {
        guess_types(t);
        return true;
    }
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
    t->is_plain = mem_zero(n);
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

static int32_t find_text(const struct tokenizer *t, const char *text)
{
    for (int i = 0; i < t->n_vocab; i++)
        if (bytes_eq(t->text[i], text)) return i;
    return -1;
}

static bool read_flag(const struct gguf *g, const char *key, bool *flag, struct err *e)
{
    return !gguf_has(g, key) || gguf_bool(g, key, flag, e);
}

/* Where an SPM file says nothing, the customary texts do. */
static bool read_named(const struct tokenizer *t, const struct gguf *g, const char *key,
                       const char *text, int32_t *id, struct err *e)
{
    if (!read_id(t, g, key, id, e)) return false;
    if (t->is_spm && !gguf_has(g, key)) *id = find_text(t, text);
    return true;
}

static bool read_special_ids(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    static const char *const ends[] = { "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id" };
    if (!read_named(t, g, "tokenizer.ggml.bos_token_id", "<s>", &t->bos, e) ||
        !read_named(t, g, "tokenizer.ggml.eos_token_id", "</s>", &t->eos, e) ||
        (t->is_spm &&
         !read_named(t, g, "tokenizer.ggml.unknown_token_id", "<unk>", &t->unknown, e)))
        return false;
    if (t->eos >= 0) t->eog[t->eos] = 1;
    for (size_t i = 0; i < LEN(ends); i++) {
        int32_t id;
        if (!read_id(t, g, ends[i], &id, e)) return false;
        if (id >= 0) t->eog[id] = 1;
    }
    /* A file without token types marks at least these as what they are. */
    for (int i = 0; i < t->n_vocab; i++)
        if ((i == t->bos || t->eog[i]) && t->type[i] == TOKEN_NORMAL) t->type[i] = TOKEN_CONTROL;
    t->add_bos = t->is_spm || split_adds_bos(t->split);
    t->space_first = t->is_spm;
    if (!read_flag(g, "tokenizer.ggml.add_bos_token", &t->add_bos, e) ||
        !read_flag(g, "tokenizer.ggml.add_eos_token", &t->add_eos, e) ||
        (t->is_spm && !read_flag(g, "tokenizer.ggml.add_space_prefix", &t->space_first, e)))
        return false;
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

static void index_special(struct tokenizer *t, int32_t id)
{
    if (t->type[id] == TOKEN_USER) t->bytes[id] = t->text[id];
    if (t->text[id].len) strmap_add(&t->special, id);
    t->n_user += t->type[id] == TOKEN_USER && t->text[id].len;
}

/* A token of one byte; at: where that is kept. false: its text names none. */
static bool index_byte(struct tokenizer *t, int32_t id, char *at)
{
    int b = t->is_spm && t->type[id] == TOKEN_BYTE ? spm_byte(t->text[id]) : -1;
    if (b < 0) return false;
    *at = (char)b;
    t->bytes[id] = (struct bytes){ at, 1 };
    if (t->byte_id[b] < 0) t->byte_id[b] = id;
    return true;
}

/* As bpe_decode(); a token that should be a byte and names none is no piece of text either. */
static int64_t decode(const struct tokenizer *t, int32_t id, char *at)
{
    if (!t->is_spm) return bpe_decode(t->text[id], at);
    return t->type[id] == TOKEN_BYTE ? -1 : spm_decode(t->text[id], at);
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
            index_special(t, i);
            continue;
        }
        if (index_byte(t, i, at)) {
            at++;
            continue;
        }
        int64_t n = decode(t, i, at);
        if (n < 0) {                        /* not as such a file writes tokens: taken literally, */
            t->bytes[i] = t->text[i];                             /* and never produced from text */
            continue;
        }
        t->bytes[i] = (struct bytes){ at, (size_t)n };
        at += n;
        t->is_plain[i] = n && strmap_add(&t->plain, i);
    }
    for (int b = 0; b < 256; b++)
        if (t->byte_id[b] < 0) t->byte_id[b] = strmap_find(&t->plain, (char[]){ (char)b }, 1);
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

static bool read_splitter(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    struct bytes pre = { "gpt-2", 5 };
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

static bool read_kind(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    struct bytes model;
    if (!gguf_str(g, "tokenizer.ggml.model", &model, e)) return false;
    t->is_spm = bytes_eq(model, "llama");
    if (t->is_spm) return true;
    if (bytes_eq(model, "gpt2")) return read_splitter(t, g, e);
    return err_set(e, ERR_UNSUPPORTED,
                   "tokenizer.ggml.model is \"%.*s\"; this build reads byte-level BPE "
                   "(\"gpt2\") and SPM (\"llama\")",
                   (int)MIN(model.len, 40), model.p);
}

struct tokenizer *tok_open(const struct gguf *g, struct err *e)
{
    static atomic_uint_fast64_t serial;
    struct tokenizer *t = mem_zero(sizeof *t);
    t->serial = atomic_fetch_add(&serial, 1) + 1;
    t->bos = t->eos = t->unknown = -1;
    if (!read_kind(t, g, e) || !read_tokens(t, g, e) || !read_special_ids(t, g, e)) goto fail;
    index_tokens(t);
    index_specials(t);
    mark_ends(t);
    if (!(t->is_spm ? spm_open(t, g, e) : bpe_merges(t, g, e))) goto fail;
    return t;
fail:
    err_at(e, gguf_name(g));
    tok_close(t);
    return NULL;
}

void tok_close(struct tokenizer *t)
{
    if (!t) return;
    void *const parts[] = { t->text, t->bytes, t->type, t->eog, t->is_plain, t->blob, t->plain.slot,
                            t->special.slot, t->special_pair, t->special_len, t->merge,
                            t->merge_slot };
    for (size_t i = 0; i < LEN(parts); i++) mem_free(parts[i]);
    split_close(t->split);
    spm_close(t->spm);
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
int32_t tok_eos(const struct tokenizer *t) { return t->eos; }
bool tok_adds_bos(const struct tokenizer *t) { return t->add_bos; }
bool tok_is_eog(const struct tokenizer *t, int32_t id) { return is_id(t, id) && t->eog[id]; }

void ids_put(struct ids *l, int32_t id)
{
    MEM_GROW(l->id, l->n, l->cap);
    l->id[l->n++] = id;
}

/* ---- special tokens in text ------------------------------------------------------------------ */

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

/* Specials at pos: any that end by `trusted`, the user-defined ones wherever they end. */
static void find_at(const struct tokenizer *t, const char *s, size_t len, size_t pos,
                    size_t trusted, struct finds *out)
{
    for (int i = 0; i < t->n_special_len; i++) {
        uint32_t n = t->special_len[i];
        if (n > len - pos) continue;
        int32_t id = strmap_find(&t->special, s + pos, n);
        if (id < 0 || (pos + n > trusted && t->type[id] != TOKEN_USER)) continue;
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

/* Finds in s[from, to), which is trusted or not. */
static void find_in(const struct tokenizer *t, const char *s, size_t len, size_t from, size_t to,
                    bool trusted, struct finds *out)
{
    if (!t->n_special_len || (!trusted && !t->n_user)) return;
    for (size_t i = from; i < to; i++) {
        unsigned pair = (uint8_t)s[i] * 256u + (i + 1 < len ? (uint8_t)s[i + 1] : 0u);
        bool may = i + 1 < len ? t->special_pair[pair / 8] >> (pair & 7) & 1 : true;
        if (may) find_at(t, s, len, i, trusted ? to : 0, out);
    }
}

static bool fits(size_t len, struct err *e)
{
    return len <= TEXT_MOST ||
           err_set(e, ERR_LIMIT, "text of %zu bytes; at most %zu can be tokenized at once", len,
                   TEXT_MOST);
}

bool tok_find(const struct tokenizer *t, const struct prompt *p, struct finds *out, struct err *e)
{
    if (!fits(p->text.len, e)) return false;
    for (size_t i = 0; i < p->n_piece; i++)
        find_in(t, p->text.p, p->text.len, p->piece[i].off, p->piece[i].off + p->piece[i].len,
                p->piece[i].trusted, out);
    if (out->n) keep_longest(out, p->text.len);
    return true;
}

void tok_put_text(const struct tokenizer *t, const char *s, size_t len, bool begins,
                  struct ids *out)
{
    if (t->is_spm) spm_encode(t, s, len, begins && t->space_first, out);
    else bpe_encode(t, s, len, out);
}

bool tok_encode(const struct tokenizer *t, const char *s, size_t len, unsigned flags,
                struct ids *out, struct err *e)
{
    if (!fits(len, e)) return false;
    struct finds at = { 0 };
    bool begins = !(flags & TOK_INSIDE);
    size_t done = 0;
    find_in(t, s, len, 0, len, flags & TOK_SPECIAL, &at);
    if (at.n) keep_longest(&at, len);
    if (flags & TOK_ADD && t->add_bos) ids_put(out, t->bos);
    for (size_t i = 0; i < at.n; i++, begins = true) {
        tok_put_text(t, s + done, at.f[i].pos - done, begins, out);
        ids_put(out, at.f[i].id);
        done = at.f[i].pos + at.f[i].len;
    }
    tok_put_text(t, s + done, len - done, begins, out);
    if (flags & TOK_ADD && t->add_eos) ids_put(out, t->eos);
    mem_free(at.f);
    return true;
}

void tok_decode(const struct tokenizer *t, const int32_t *id, size_t n, struct str *out)
{
    for (size_t i = 0; i < n; i++) {
        struct bytes b = tok_bytes(t, id[i]);
        if (!i && t->space_first && b.len && b.p[0] == ' ') b.p++, b.len--;
        str_put(out, b.p, b.len);
    }
}
