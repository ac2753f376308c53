/* hf_spm.c -- a SentencePiece vocabulary (Llama-2, Mistral, Mixtral) as a tokenizer.json holds it: tokens,
 * and merges in the order of the scores that the file itself has lost.
 *
 * A GGUF file has a score for each piece instead, and no merges: wherever two neighbours together are a
 * piece they may become it, the best score first. The two say the same if the merges of a piece stand
 * together and every way to make a piece of two others is among them; then the score of a piece is its
 * place in that order. Both are checked, so a vocabulary trained as merges is refused and not bent.
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
    return err_set(e, ERR_UNSUPPORTED, "its type is %s; a SentencePiece vocabulary is read with %s", show, accepted);
}

static bool read_normalizer(const struct json *v, int depth, struct pipeline *p, struct err *e)
{
    const struct json *type = json_get(v, "type"), *list = json_get(v, "normalizers");
    if (!v || json_is(v, JSON_NULL)) return true;
    if (json_str_is(type, "Prepend") && json_str_is(json_get(v, "prepend"), SPACE)) return p->has_prefix = true;
    if (json_str_is(type, "Replace") && json_str_is(json_get(json_get(v, "pattern"), "String"), " ") &&
        json_str_is(json_get(v, "content"), SPACE)) return p->has_spaces = true;
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
    if (!json_str_is(json_get(v, "type"), "Metaspace")) return refuse(e, json_get(v, "type"), "Metaspace or none");
    if (!json_str_is(json_get(v, "replacement"), SPACE) || !json_is(split, JSON_BOOL) || json_bool(split))
        return err_set(e, ERR_UNSUPPORTED, "Metaspace must have U+2581 as replacement and split false");
    p->has_spaces = true;
    p->has_prefix |= json_str_is(scheme, "first") || json_str_is(scheme, "always");
    return true;
}

static bool read_pipeline(const struct hf_vocab *v, struct pipeline *p, struct err *e)
{
    if (!read_normalizer(json_get(v->tokenizer, "normalizer"), 0, p, e)) return err_in(e, "normalizer");
    if (!read_pre(json_get(v->tokenizer, "pre_tokenizer"), p, e)) return err_in(e, "pre_tokenizer");
    if (json_bool(json_get(json_get(v->tokenizer, "model"), "ignore_merges")))
        return err_set(e, ERR_UNSUPPORTED, "model.ignore_merges is true; a SentencePiece vocabulary has false");
    return p->has_spaces ||
           err_set(e, ERR_UNSUPPORTED, "neither normalizer nor pre_tokenizer replaces spaces by U+2581; a "
                   "SentencePiece vocabulary needs that");
}

/* ---- scores ----------------------------------------------------------------------------------- */

/* score[id] = -(place of its first merge); lines gets every merge. 1 stands for a piece without merges. */
static bool rank_pieces(const struct hf_vocab *v, struct names *lines, struct arena *mem, float *score,
                        struct err *e)
{
    struct str line = { 0 }, joined = { 0 };
    size_t n = json_len(v->merges), gap;
    int64_t id, last = -1;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        ok = hf_merge_read(v, i, &line, &joined, &gap, e);
        if (!ok) break;
        char *copy = arena_str(mem, line.p, line.len);
        names_add(lines, (struct bytes){ copy, line.len });
        if (!json_i64(json_get(v->vocab, joined.p), &id) || id == last) continue;
        if (score[id] <= 0)
            ok = err_set(e, ERR_UNSUPPORTED, "model.merges[%zu]: the merges of one piece do not stand together, as "
                         "those of SentencePiece do", i);
        score[id] = -(float)i;
        last = id;
    }
    str_done(&line);
    str_done(&joined);
    return ok;
}

static bool is_piece(const struct hf_vocab *v, const char *p, size_t len, struct str *buf)
{
    int64_t id;
    str_clear(buf);
    str_put(buf, p, len);
    return json_i64(json_get(v->vocab, buf->p), &id) && v->type[id] == HF_NORMAL;
}

/* Every way to make this piece of two others is a merge. */
static bool check_splits(const struct hf_vocab *v, struct bytes piece, const struct names *lines, struct str *buf,
                         struct err *e)
{
    char show[80];
    const char *end = piece.p + piece.len;
    int n;
    for (const char *p = piece.p; p < end; p += n) {
        utf8_next(p, end, &n);
        size_t len = (size_t)(p - piece.p);
        if (!len || !is_piece(v, piece.p, len, buf) || !is_piece(v, p, piece.len - len, buf)) continue;
        str_clear(buf);
        str_put(buf, piece.p, len);
        str_putc(buf, ' ');
        str_put(buf, p, piece.len - len);
        if (names_find(lines, (struct bytes){ buf->p, buf->len }) < 0)
            return err_set(e, ERR_UNSUPPORTED, "model.merges: %s is missing, so this is not the vocabulary of a "
                           "SentencePiece model; byte_fallback is only accepted with one",
                           gguf_show((struct bytes){ buf->p, buf->len }, show));
    }
    return true;
}

/* Pieces that no merge makes come after all others, in the order of their ids. */
static bool finish_scores(const struct hf_vocab *v, const struct names *lines, float *score, struct err *e)
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
    struct names lines = { 0 };
    struct arena mem;
    float *score = mem_alloc((size_t)v->n * sizeof *score);
    for (int i = 0; i < v->n; i++) score[i] = 1;
    arena_init(&mem, 1 << 20);
    bool ok = json_len(v->merges) + (size_t)v->n < 1 << 24 ||         /* floats count exactly so far */
              err_set(e, ERR_LIMIT, "more than %d merges and tokens", 1 << 24);
    ok = ok && rank_pieces(v, &lines, &mem, score, e) && finish_scores(v, &lines, score, e);
    if (ok) gguf_out_f32s(out, "tokenizer.ggml.scores", score, (size_t)v->n);
    names_done(&lines);
    arena_done(&mem);
    mem_free(score);
    return ok;
}

/* ---- types ------------------------------------------------------------------------------------ */

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
            return err_set(e, ERR_FORMAT, "model.vocab: %s is missing; byte_fallback needs a token for each byte", name);
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
