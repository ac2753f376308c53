/* spm.c -- SPM vocabularies ("llama": Llama-2, Mistral, Mixtral): reading them, and text becomes token
 * ids.
 *
 * The rule: the characters of a text are symbols; of all neighbours that together are a piece of the
 * vocabulary the best-scored merge, the leftmost of equal ones, until none do. What is no piece in the
 * end is written with one byte token per byte. A space is written U+2581 in such files; here it is a
 * space, in pieces from the opening on and in text as it is met, and a U+2581 that stands in a text
 * reads as one too.
 *
 * Opening turns "together are a piece" into a table: every piece is taken apart between any two of its
 * characters, and where both parts can be symbols that is a merge (merge.c), ordered by the score. A
 * character may be part of pieces without being one: it gets an id behind those of the vocabulary.
 *
 * Nothing says where one word ends, yet a text need not be merged as a whole: where no piece has the
 * last byte of one character before the first of the next, no merge reaches across, and what lies on
 * either side can be merged, and remembered, by itself. Mostly these cuts are before spaces.
 *
 * Unused tokens (type 5) take part in merging, but are then written as the two parts they came from, as
 * the models learnt it. What comes of such a token's text when it stands alone is what comes of it
 * anywhere: no merge inside it crosses its ends. So its parts are found out at opening.
 *
 * Characters are as long as their first byte says, cut off at the end of the text; bytes that are not
 * UTF-8 need nothing of their own.
 * Not here: special tokens, and where a text begins with a space of its own (vocab.c). */
#include "text/int.h"

#include <stdlib.h>

#define PIECE_MOST 512                 /* bytes; taking a piece apart costs the square of its length */
#define SPACE "\xe2\x96\x81"                                          /* U+2581 */

struct spm {
    int32_t char_id[256];                                             /* of characters of one byte */
    uint64_t *odd; int n_odd;       /* characters that are in pieces but none: packed, sorted */
    uint8_t joined[65536 / 8];      /* bit (b0 * 256 + b1): they meet between two characters */
    int32_t *from;                  /* [n_vocab] merge that makes an unused token, -1: none; or NULL */
};

/* ---- characters ------------------------------------------------------------------------------ */

/* A character: its bytes in the text, its ends as bytes of pieces (a space is ' '). */
struct letter { size_t len; uint8_t first, last; };

static inline struct letter letter_at(const char *p, const char *end)
{
    static const uint8_t by_lead[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4 };
    size_t len = MIN((size_t)by_lead[(uint8_t)*p >> 4], (size_t)(end - p));
    if (len == 3 && !memcmp(p, SPACE, 3)) return (struct letter){ 3, ' ', ' ' };
    return (struct letter){ len, (uint8_t)p[0], (uint8_t)p[len - 1] };
}

/* Sorts by bytes, tells lengths apart. */
static uint64_t pack(const char *p, size_t len)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 4; i++) v = v << 8 | (i < len ? (uint8_t)p[i] : 0);
    return v << 8 | len;
}

static struct bytes unpack(uint64_t v, char buf[4])
{
    for (int i = 0; i < 4; i++) buf[i] = (char)(v >> (32 - 8 * i));
    return (struct bytes){ buf, v & 7 };
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Symbol of a character written as in pieces, -1: none has it. */
static int32_t find_letter(const struct tokenizer *t, const char *p, size_t len)
{
    const struct spm *s = t->spm;
    int32_t id = strmap_find(&t->plain, p, len);
    if (id >= 0 || !s->n_odd) return id;
    uint64_t key = pack(p, len);
    const uint64_t *at = bsearch(&key, s->odd, (size_t)s->n_odd, sizeof key, by_value);
    return at ? t->n_vocab + (int32_t)(at - s->odd) : -1;
}

static int32_t letter_id(const struct tokenizer *t, const char *p, struct letter l)
{
    if (l.len == 1 || l.first == ' ') return t->spm->char_id[l.first];
    return find_letter(t, p, l.len);
}

int spm_byte(struct bytes text)
{
    int v = 0;
    if (text.len != 6 || memcmp(text.p, "<0x", 3) || text.p[5] != '>') return -1;
    for (int i = 3; i < 5; i++) {
        char c = text.p[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'A' && c <= 'F')) return -1;
        v = v * 16 + (digit ? c - '0' : c - 'A' + 10);
    }
    return v;
}

int64_t spm_decode(struct bytes text, char *out)
{
    int64_t n = 0;
    for (const char *p = text.p, *end = p + text.len; p < end;) {
        struct letter l = letter_at(p, end);
        if (l.first == ' ' && l.len == 1) return -1;
        if (l.first == ' ') out[n] = ' ';
        else memcpy(out + n, p, l.len);
        n += l.first == ' ' ? 1 : (int64_t)l.len;
        p += l.len;
    }
    return n;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Is text made of it? Not the second of two tokens that say the same. */
static bool is_piece(const struct tokenizer *t, int32_t id)
{
    return strmap_find(&t->plain, t->bytes[id].p, t->bytes[id].len) == id;
}

/* What the characters of all pieces tell: which of them are no pieces, and which bytes meet. */
static void read_letters(struct tokenizer *t)
{
    struct spm *s = t->spm;
    size_t n = 0, cap = 0, kept = 0;
    for (int32_t id = 0; id < t->n_vocab; id++) {
        if (!is_piece(t, id)) continue;
        const char *p = t->bytes[id].p, *end = p + t->bytes[id].len;
        for (unsigned last = 0, begun = 0; p < end; begun = 1) {
            struct letter l = letter_at(p, end);
            unsigned pair = last * 256 + l.first;
            if (begun) s->joined[pair / 8] |= (uint8_t)(1u << (pair & 7));
            if (strmap_find(&t->plain, p, l.len) < 0) {
                MEM_GROW(s->odd, n, cap);
                s->odd[n++] = pack(p, l.len);
            }
            last = l.last;
            p += l.len;
        }
    }
    if (n) qsort(s->odd, n, sizeof *s->odd, by_value);
    for (size_t i = 0; i < n; i++)
        if (!i || s->odd[i] != s->odd[kept - 1]) s->odd[kept++] = s->odd[i];
    s->n_odd = (int)kept;
    for (int b = 0; b < 256; b++) s->char_id[b] = find_letter(t, (char[]){ (char)b }, 1);
}

/* Symbol of a part of a piece, -1: none. */
static int32_t part_id(const struct tokenizer *t, const char *p, size_t len)
{
    struct letter l = letter_at(p, p + len);
    return l.len == len ? letter_id(t, p, l) : strmap_find(&t->plain, p, len);
}

static void take_apart(struct tokenizer *t, int32_t id, uint32_t order, size_t *cap)
{
    const char *begin = t->bytes[id].p, *end = begin + t->bytes[id].len;
    for (const char *p = begin + letter_at(begin, end).len; p < end; p += letter_at(p, end).len) {
        int32_t a = part_id(t, begin, (size_t)(p - begin));
        int32_t b = a < 0 ? -1 : part_id(t, p, (size_t)(end - p));
        if (b < 0) continue;
        MEM_GROW(t->merge, t->n_merge, *cap);
        t->merge[t->n_merge++] = (struct merge){ a, b, id, order };
    }
}

struct scored { float score; int32_t id; };

static int by_score_down(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static bool make_merges(struct tokenizer *t, const float *score, struct err *e)
{
    struct scored *list = mem_alloc((size_t)t->n_vocab * sizeof *list);
    size_t n = 0, cap = 0;
    bool ok = true;
    for (int32_t id = 0; id < t->n_vocab; id++)
        if (is_piece(t, id)) list[n++] = (struct scored){ score[id], id };
    qsort(list, n, sizeof *list, by_score_down);
    uint32_t order = 0;
    for (size_t i = 0; ok && i < n; i++) {
        size_t len = t->bytes[list[i].id].len;
        if (i) order += list[i].score != list[i - 1].score;
        ok = (len <= PIECE_MOST && t->n_merge < INT32_MAX / 4) ||
             err_set(e, ERR_LIMIT,
                     "tokenizer.ggml.tokens[%d] has %zu bytes; a token of this kind has at most %d",
                     (int)list[i].id, len, PIECE_MOST);
        if (ok) take_apart(t, list[i].id, order, &cap);
    }
    mem_free(list);
    if (ok) merge_index(t);
    return ok;
}

static bool read_scores(struct tokenizer *t, const struct gguf *g, float **score, struct err *e)
{
    size_t n = 0;
    if (!gguf_f32s(g, "tokenizer.ggml.scores", score, &n, e)) return false;
    return n == (size_t)t->n_vocab ||
           err_set(e, ERR_FORMAT, "tokenizer.ggml.scores has %zu entries and "
                   "tokenizer.ggml.tokens %d; both need one per token", n, t->n_vocab);
}

/* ---- encoding -------------------------------------------------------------------------------- */

static struct symbol *lay_out(const struct tokenizer *t, struct bytes piece)
{
    struct symbol *sym = merge_room(piece.len);
    const char *p = piece.p, *end = p + piece.len;
    for (int32_t prev = -1; p < end;) {
        struct letter l = letter_at(p, end);
        int32_t at = (int32_t)(p - piece.p), next = (int32_t)(p + l.len < end ? at + (int)l.len : -1);
        sym[at] = (struct symbol){ letter_id(t, p, l), prev, next, -1 };
        prev = at;
        p += l.len;
    }
    return sym;
}

static void put_bytes(const struct tokenizer *t, const char *p, size_t len, struct ids *out)
{
    for (size_t i = 0; i < len; i++) {
        int32_t id = t->byte_id[(uint8_t)p[i]];
        if (id < 0) id = t->unknown;
        if (id >= 0) ids_put(out, id);
    }
}

/* A character byte by byte; of a space the bytes of what stands for it. */
static void put_letter(const struct tokenizer *t, const char *p, struct letter l, struct ids *out)
{
    if (l.first == ' ') put_bytes(t, SPACE, 3, out);
    else put_bytes(t, p, l.len, out);
}

static bool is_written(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->n_vocab && t->type[id] != TOKEN_UNUSED;
}

/* An unused token or a character without one: the parts it came from, at last their bytes. */
static void put_parts(const struct tokenizer *t, int32_t id, struct ids *out)
{
    struct ids todo = { 0 };
    char buf[4];
    ids_put(&todo, id);
    while (todo.n) {
        id = todo.id[--todo.n];
        int32_t m = id < t->n_vocab && t->spm->from ? t->spm->from[id] : -1;
        if (is_written(t, id)) {
            ids_put(out, id);
        } else if (m >= 0) {
            ids_put(&todo, t->merge[m].b);
            ids_put(&todo, t->merge[m].a);
        } else {
            struct bytes b = id < t->n_vocab ? t->bytes[id] : unpack(t->spm->odd[id - t->n_vocab], buf);
            put_letter(t, b.p, letter_at(b.p, b.p + b.len), out);
        }
    }
    mem_free(todo.id);
}

static void encode_piece(const struct tokenizer *t, struct bytes piece, struct ids *out)
{
    const struct symbol *sym = lay_out(t, piece);
    merge_all(t);
    for (int32_t i = 0; i >= 0; i = sym[i].next) {
        const char *p = piece.p + i;
        if (is_written(t, sym[i].id)) ids_put(out, sym[i].id);
        else if (sym[i].id >= 0) put_parts(t, sym[i].id, out);
        else put_letter(t, p, letter_at(p, piece.p + piece.len), out);
    }
}

/* What can be merged by itself: up to where no piece joins one character with the next. */
static bool next_piece(const struct spm *s, const char **at, const char *end, struct bytes *piece)
{
    const char *p = *at;
    if (p == end) return false;
    struct letter l = letter_at(p, end);
    for (p += l.len; p < end; p += l.len) {
        unsigned last = l.last;
        l = letter_at(p, end);
        unsigned pair = last * 256 + l.first;
        if (!(s->joined[pair / 8] >> (pair & 7) & 1)) break;
    }
    *piece = (struct bytes){ *at, (size_t)(p - *at) };
    *at = p;
    return true;
}

void spm_encode(const struct tokenizer *t, const char *s, size_t len, bool space, struct ids *out)
{
    const char *end = s + len;
    struct bytes piece;
    if (space && next_piece(t->spm, &s, end, &piece)) {
        struct str first = { 0 };
        str_putc(&first, ' ');
        str_put(&first, piece.p, piece.len);
        merge_cached(t, (struct bytes){ first.p, first.len }, encode_piece, out);
        str_done(&first);
    }
    while (next_piece(t->spm, &s, end, &piece)) merge_cached(t, piece, encode_piece, out);
    merge_rest();
}

/* ---- opening, once merging works ------------------------------------------------------------- */

static void find_unused_parts(struct tokenizer *t)
{
    for (int32_t id = 0; id < t->n_vocab; id++) {
        if (t->type[id] != TOKEN_UNUSED || !is_piece(t, id)) continue;
        if (!t->spm->from) {
            t->spm->from = mem_alloc((size_t)t->n_vocab * sizeof *t->spm->from);
            memset(t->spm->from, 0xff, (size_t)t->n_vocab * sizeof *t->spm->from);
        }
        lay_out(t, t->bytes[id]);
        int32_t last = merge_all(t);
        if (last >= 0 && t->merge[last].ab == id) t->spm->from[id] = last;
    }
    merge_rest();
}

bool spm_open(struct tokenizer *t, const struct gguf *g, struct err *e)
{
    float *score = NULL;
    t->spm = mem_zero(sizeof *t->spm);
    bool ok = read_scores(t, g, &score, e);
    if (ok) {
        read_letters(t);
        ok = make_merges(t, score, e);
    }
    if (ok) find_unused_parts(t);
    mem_free(score);
    return ok;
}

void spm_close(struct spm *s)
{
    if (!s) return;
    mem_free(s->odd);
    mem_free(s->from);
    mem_free(s);
}
