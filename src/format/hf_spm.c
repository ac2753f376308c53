/* hf_spm.c -- a SentencePiece vocabulary (Llama-2, Mistral, Mixtral) as a tokenizer.json holds it:
 * tokens, and merges in the order of the scores that the file itself has lost.
 *
 * A GGUF file has a score for each piece instead, and no merges: wherever two neighbours together
 * are a piece they may become it, the best score first, the leftmost of equals. The two say the
 * same if the merges of a piece stand together and every way to make a piece of two others is among
 * them; then the score of a piece is its place in that order. Both are checked, so a vocabulary
 * trained as merges is refused and not bent. One mixture is known and harmless: runs of spaces have
 * equal scores, and their merges are sorted by length, which for a single letter comes to the
 * leftmost pair, too.
 *
 * Spaces are U+2581 in the pieces; the pipeline must replace them and do nothing else. */
#include "format/hf.h"

#define SPACE "\xe2\x96\x81"                                          /* U+2581 */

/* What normalizer and pre-tokenizer do together. */
struct pipeline { bool has_spaces, has_prefix; };

static bool refuse(struct err *e, const struct json *type, const char *accepted)
{
    char show[80] = "missing";
    if (hf_text(type).p) gguf_show(hf_text(type), show);
    return err_set(e, ERR_UNSUPPORTED, "its type is %s; a SentencePiece vocabulary is read with %s",
                   show, accepted);
}

static bool read_normalizer(const struct json *v, int depth, struct pipeline *p, struct err *e)
{
    const struct json *type = json_get(v, "type"), *list = json_get(v, "normalizers");
    if (!v || json_is(v, JSON_NULL)) return true;
    if (json_str_is(type, "Prepend") && json_str_is(json_get(v, "prepend"), SPACE))
        return p->has_prefix = true;
    if (json_str_is(type, "Replace") &&
        json_str_is(json_get(json_get(v, "pattern"), "String"), " ") &&
        json_str_is(json_get(v, "content"), SPACE))
        return p->has_spaces = true;
    if (!json_str_is(type, "Sequence") || depth > 3)
        return refuse(e, type, "Prepend and Replace of spaces by U+2581, or none");
    for (size_t i = 0; i < json_len(list); i++)
        if (!read_normalizer(json_at(list, i), depth + 1, p, e)) return false;
    return true;
}

static bool read_pre(const struct json *v, struct pipeline *p, struct err *e)
{
    const struct json *split = json_get(v, "split"), *scheme = json_get(v, "prepend_scheme");
    if (!v || json_is(v, JSON_NULL)) return true;
    if (!json_str_is(json_get(v, "type"), "Metaspace"))
        return refuse(e, json_get(v, "type"), "Metaspace or none");
    if (!json_str_is(json_get(v, "replacement"), SPACE) || !json_is(split, JSON_BOOL) ||
        json_bool(split))
        return err_set(e, ERR_UNSUPPORTED,
                       "Metaspace must have U+2581 as replacement and split false");
    p->has_spaces = true;
    p->has_prefix |= json_str_is(scheme, "first") || json_str_is(scheme, "always");
    return true;
}

static bool read_pipeline(const struct hf_vocab *v, struct pipeline *p, struct err *e)
{
    if (!read_normalizer(json_get(v->tokenizer, "normalizer"), 0, p, e))
        return err_in(e, "normalizer");
    if (!read_pre(json_get(v->tokenizer, "pre_tokenizer"), p, e)) return err_in(e, "pre_tokenizer");
    if (json_bool(json_get(json_get(v->tokenizer, "model"), "ignore_merges")))
        return err_set(e, ERR_UNSUPPORTED,
                       "model.ignore_merges is true; a SentencePiece vocabulary has false");
    return p->has_spaces ||
           err_set(e, ERR_UNSUPPORTED,
                   "neither normalizer nor pre_tokenizer replaces spaces by U+2581; a "
                   "SentencePiece vocabulary needs that");
}

/* ---- scores --------------------------------------------------------------------------------- */

/* The piece that each merge makes, the last merge of each piece, and the merges as lines. */
struct ranks { int32_t *made, *last; struct names lines; struct arena mem; };

static bool read_ranks(const struct hf_vocab *v, struct ranks *r, struct err *e)
{
    struct str line = { 0 }, joined = { 0 };
    size_t n = json_len(v->merges), gap;
    bool ok = true;
    for (size_t i = 0; i < n && (ok = hf_merge_read(v, i, &line, &joined, &gap, e)); i++) {
        int64_t id = 0;
        names_add(&r->lines, (struct bytes){ arena_str(&r->mem, line.p, line.len), line.len });
        json_i64(json_get(v->vocab, joined.p), &id); /* checked when the tokens were read */
        r->made[i] = (int32_t)id;
        r->last[id] = (int32_t)i;
    }
    str_done(&line);
    str_done(&joined);
    return ok;
}

/* Both are one and the same letter, repeated. */
static bool is_same_letter(struct bytes a, struct bytes b)
{
    int n;
    utf8_next(a.p, a.p + a.len, &n);
    for (size_t i = 0; i < a.len; i++)
        if (a.p[i] != a.p[i % (size_t)n]) return false;
    for (size_t i = 0; i < b.len; i++)
        if (b.p[i] != a.p[i % (size_t)n]) return false;
    return true;
}

/* score[id] = -(place of its first merge), one place for pieces whose merges are mixed. */
static bool score_pieces(const struct hf_vocab *v, const struct ranks *r, float *score,
                         struct err *e)
{
    char show[80], other[80];
    int32_t start = 0, end = -1, first = 0;
    for (int32_t i = 0; i < (int32_t)json_len(v->merges); i++) {
        int32_t id = r->made[i];
        if (i > end) start = i, first = id;
        if (id != first && !is_same_letter(v->token[first], v->token[id]))
            return err_set(e, ERR_UNSUPPORTED,
                           "model.merges[%d]: merges of %s and %s are mixed; SentencePiece keeps "
                           "those of a piece together, but for runs of one letter",
                           (int)i, gguf_show(v->token[first], show),
                           gguf_show(v->token[id], other));
        score[id] = -(float)start;
        end = MAX(end, r->last[id]);
    }
    return true;
}

static bool is_piece(const struct hf_vocab *v, const char *p, size_t len, struct str *buf)
{
    int64_t id;
    str_clear(buf);
    str_put(buf, p, len);
    return json_i64(json_get(v->vocab, buf->p), &id) && v->type[id] == HF_NORMAL;
}

/* Every way to make this piece of two others is a merge. */
static bool check_splits(const struct hf_vocab *v, struct bytes piece, const struct names *lines,
                         struct str *buf, struct err *e)
{
    char show[80];
    const char *end = piece.p + piece.len;
    int n;
    for (const char *p = piece.p; p < end; p += n) {
        utf8_next(p, end, &n);
        size_t len = (size_t)(p - piece.p);
        if (!len || !is_piece(v, piece.p, len, buf) || !is_piece(v, p, piece.len - len, buf))
            continue;
        str_clear(buf);
        str_put(buf, piece.p, len);
        str_putc(buf, ' ');
        str_put(buf, p, piece.len - len);
        if (names_find(lines, (struct bytes){ buf->p, buf->len }) < 0)
            return err_set(e, ERR_UNSUPPORTED,
                           "model.merges: %s is missing, so this is not the vocabulary of a "
                           "SentencePiece model; byte_fallback is only accepted with one",
                           gguf_show((struct bytes){ buf->p, buf->len }, show));
    }
    return true;
}

/* Pieces that no merge makes come after all others, in the order of their ids. */
static bool finish_scores(const struct hf_vocab *v, const struct names *lines, float *score,
                          struct err *e)
{
    struct str buf = { 0 };
    size_t place = json_len(v->merges);
    bool ok = true;
    for (int i = 0; ok && i < v->n; i++) {
        if (v->type[i] == HF_NORMAL) ok = check_splits(v, v->token[i], lines, &buf, e);
        if (score[i] > 0) score[i] = v->type[i] == HF_NORMAL ? -(float)place++ : 0;
    }
    str_done(&buf);
    return ok;
}

static bool put_scores(const struct hf_vocab *v, struct gguf_out *out, struct err *e)
{
    size_t n_merge = json_len(v->merges);
    if (n_merge + (size_t)v->n >= 1 << 24) /* floats count exactly so far */
        return err_set(e, ERR_LIMIT, "more than %d merges and tokens", 1 << 24);
    struct ranks r = { .made = mem_alloc((n_merge + 1) * sizeof *r.made),
                       .last = mem_zero((size_t)v->n * sizeof *r.last) };
    float *score = mem_alloc((size_t)v->n * sizeof *score);
    for (int i = 0; i < v->n; i++) score[i] = 1;                      /* without merges */
    arena_init(&r.mem, 1 << 20);
    bool ok = read_ranks(v, &r, e) && score_pieces(v, &r, score, e) &&
              finish_scores(v, &r.lines, score, e);
    if (ok) gguf_out_f32s(out, "tokenizer.ggml.scores", score, (size_t)v->n);
    names_done(&r.lines);
    arena_done(&r.mem);
    mem_free(r.made);
    mem_free(r.last);
    mem_free(score);
    return ok;
}

/* ---- types ---------------------------------------------------------------------------------- */

/* What the letters of no piece are written with: one token for each byte, and the unknown one. */
static bool mark_types(struct hf_vocab *v, struct err *e)
{
    char name[8];
    struct bytes unk = hf_text(json_get(json_get(v->tokenizer, "model"), "unk_token"));
    int32_t id = unk.p && unk.len ? hf_token_id(v->tokenizer, unk, v->n) : -1;
    if (id >= 0) v->type[id] = HF_UNKNOWN;
    for (int b = 0; b < 256; b++) {
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        id = hf_token_id(v->tokenizer, (struct bytes){ name, strlen(name) }, v->n);
        if (id < 0)
            return err_set(e, ERR_FORMAT,
                           "model.vocab: %s is missing; byte_fallback needs a token for each byte",
                           name);
        v->type[id] = HF_BYTE;
    }
    return true;
}

bool hf_spm_read(struct hf_vocab *v, struct gguf_out *out, struct err *e)
{
    struct pipeline p = { false, false };
    if (!read_pipeline(v, &p, e) || !mark_types(v, e) || !put_scores(v, out, e)) return false;
    gguf_out_str(out, "tokenizer.ggml.model", "llama", 5);
    gguf_out_str(out, "tokenizer.ggml.pre", "default", 7);
    gguf_out_bool(out, "tokenizer.ggml.add_space_prefix", p.has_prefix);
    return true;
}
