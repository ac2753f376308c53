/* bpe.c -- byte-level BPE ("gpt2"): reading such vocabularies, and pieces of text become token ids.
 *
 * Vocabulary files of this kind write each byte as a printable character. Here tokens are decoded
 * to bytes once at opening, and all later work is on bytes and token ids (merge.c): a merge is a
 * line "A B" of the file, its order the number of the line.
 *
 * A byte the vocabulary has no token for is dropped, as the format asks. */
#include "text/int.h"

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

int64_t bpe_decode(struct bytes text, char *out)
{
    const char *p = text.p, *end = p + text.len;
    int64_t n = 0;
    while (p < end) {
        uint8_t c = (uint8_t)*p;
        if (c > 32 && c < 127) {                  /* nearly all of them */
            out[n++] = *p++;
            continue;
        }
        bool pair = c >= 0xc2 && c < 0xe0 && end - p > 1 && ((uint8_t)p[1] & 0xc0) == 0x80; /* nearly all others: of two bytes */
        int step = 2, b = char_to_byte(pair ? (c & 31) << 6 | ((uint8_t)p[1] & 63) : utf8_next(p, end, &step));
        if (b < 0) return -1;
        out[n++] = (char)b;
        p += step;
    }
    return n;
}

/* ---- merges ---------------------------------------------------------------------------------- */

/* The token of a merge stands as a rule behind that of the merge before. */
static int32_t find_joined(const struct tokenizer *t, const char *p, size_t len, int32_t guess)
{
    bool may = guess < t->n_vocab && t->is_plain[guess] && t->bytes[guess].len == len;
    return may && !memcmp(t->bytes[guess].p, p, len) ? guess : strmap_find(&t->plain, p, len);
}

/* One line "A B": both parts and the two joined must be tokens. buf: room for the line; guess: the joined one, perhaps. */
static bool read_merge(const struct tokenizer *t, struct bytes line, char *buf, int32_t guess, struct merge *m,
                       struct err *e)
{
    const char *gap = line.len > 2 ? memchr(line.p + 1, ' ', line.len - 2) : NULL;
    if (!gap) return err_set(e, ERR_FORMAT, "\"%.*s\" is not two tokens with a space between them",
                             (int)MIN(line.len, 60), line.p);
    struct bytes a = { line.p, (size_t)(gap - line.p) }, b = { gap + 1, line.len - a.len - 1 };
    int64_t na = bpe_decode(a, buf), nb = na < 0 ? -1 : bpe_decode(b, buf + na);
    if (nb >= 0) {
        m->a = strmap_find(&t->plain, buf, (size_t)na);
        m->b = strmap_find(&t->plain, buf + na, (size_t)nb);
        m->ab = find_joined(t, buf, (size_t)(na + nb), guess);
        if (m->a >= 0 && m->b >= 0 && m->ab >= 0) return true;
    }
    const char *what = nb < 0     ? "is not written in byte-level characters"
                       : m->a < 0 ? "begins with an unknown token"
                       : m->b < 0 ? "ends with an unknown token"
                                  : "makes a token that is not in the vocabulary";
    return err_set(e, ERR_FORMAT, "\"%.*s\" %s", (int)MIN(line.len, 60), line.p, what);
}

bool bpe_merges(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    struct bytes *line = NULL;
    size_t n = 0, longest = 0;
    if (!gguf_strs(g, "tokenizer.ggml.merges", &line, &n, e)) return false;
    bool ok =
        n <= INT32_MAX / 4 || err_set(e, ERR_FORMAT, "tokenizer.ggml.merges has %zu entries", n);
    for (size_t i = 0; i < n; i++) longest = MAX(longest, line[i].len);
    char *buf = mem_alloc(longest + 1);
    t->merge = mem_alloc(MAX(n, 1) * sizeof *t->merge);
    for (size_t i = 0; ok && i < n; i++) {
        t->merge[i].order = (uint32_t)i;
        ok = read_merge(t, line[i], buf, i ? t->merge[i - 1].ab + 1 : 0, &t->merge[i], e) ||
             err_in(e, "tokenizer.ggml.merges[%zu]", i);
    }
    if (ok) {
        t->n_merge = (int)n;
        merge_index(t);
    }
    mem_free(buf);
    mem_free(line);
    return ok;
}

/* ---- encoding -------------------------------------------------------------------------------- */

static void lay_out(const struct tokenizer *t, struct symbol *sym, struct bytes piece)
{
    for (size_t i = 0; i < piece.len; i++)
        sym[i] = (struct symbol){ t->byte_id[(uint8_t)piece.p[i]], (int32_t)i - 1,
                                  i + 1 < piece.len ? (int32_t)i + 1 : -1, -1 };
}

static void encode_piece(const struct tokenizer *t, struct bytes piece, struct ids *out)
{
    if (t->whole_first) {
        int32_t id = strmap_find(&t->plain, piece.p, piece.len);
        if (id >= 0) {
            ids_put(out, id);
            return;
        }
    }
    struct symbol *sym = merge_room(piece.len);
    lay_out(t, sym, piece);
    merge_all(t);
    for (int32_t i = 0; i >= 0; i = sym[i].next)
        if (sym[i].id >= 0) ids_put(out, sym[i].id);
}

void bpe_encode(const struct tokenizer *t, const char *p, size_t len, struct ids *out)
{
    struct split_walk w = { .s = t->split, .p = p, .end = p + len };
    for (struct bytes piece; split_next(&w, &piece);) merge_cached(t, piece, encode_piece, out);
    merge_rest();
}
