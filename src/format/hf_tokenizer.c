/* hf_tokenizer.c -- the vocabulary of a Hugging Face folder (tokenizer.json) as tokenizer.ggml.*
 * keys.
 *
 * Byte-level BPE: the same tokens and merges mean the same there and here, given that text is cut
 * into the same pieces first. A GGUF file names that pre-tokenizer instead of carrying its pattern,
 * so the pattern must be one whose name we know; anything else in the pipeline that would change
 * the result is refused by name. SentencePiece vocabularies, told by byte_fallback, have a file of
 * their own (hf_spm.c).
 *
 * Rows of the embedding that no token has become unused tokens, as other tools write them. */
#include "format/hf.h"

struct bytes hf_text(const struct json *v)
{
    struct bytes b = { NULL, 0 };
    b.p = json_str(v, &b.len);
    return b;
}

static bool is_absent(const struct json *v)
{
    size_t len;
    return !v || json_is(v, JSON_NULL) || (json_str(v, &len) && !len) ||
           (json_is(v, JSON_NUMBER) && json_f64(v) == 0);
}

int32_t hf_token_id(const struct json *tokenizer, struct bytes text, int n_vocab)
{
    const struct json *added = json_get(tokenizer, "added_tokens"),
                      *vocab = json_get(json_get(tokenizer, "model"), "vocab"), *found = NULL;
    int64_t id;
    for (size_t i = 0; i < json_len(added) && !found; i++) {
        struct bytes b = hf_text(json_get(json_at(added, i), "content"));
        if (b.p && bytes_same(b, text)) found = json_get(json_at(added, i), "id");
    }
    if (!found && !memchr(text.p, 0, text.len)) found = json_get(vocab, text.p);
    return json_i64(found, &id) && id >= 0 && id < n_vocab ? (int32_t)id : -1;
}

/* ---- what the pipeline does to text --------------------------------------------------------- */

static bool check_model(const struct json *model, struct err *e)
{
    static const char *const none[] = { "dropout", "continuing_subword_prefix",
                                        "end_of_word_suffix" };
    char show[80] = "missing";
    struct bytes type = hf_text(json_get(model, "type"));
    if (type.p) gguf_show(type, show);
    if (strcmp(show, "BPE"))
        return err_set(e, ERR_UNSUPPORTED, "model.type is %s; only BPE is converted", show);
    for (size_t i = 0; i < LEN(none); i++)
        if (!is_absent(json_get(model, none[i])))
            return err_set(e, ERR_UNSUPPORTED,
                           "model.%s is set; only vocabularies without it are converted", none[i]);
    return true;
}

/* NFC leaves composed text as it is, and text is taken as it is here. */
static bool check_normalizer(const struct json *v, struct err *e)
{
    char show[80] = "of no type";
    if (is_absent(v) || json_str_is(json_get(v, "type"), "NFC")) return true;
    struct bytes type = hf_text(json_get(v, "type"));
    if (type.p) gguf_show(type, show);
    return err_set(e, ERR_UNSUPPORTED, "normalizer is %s; none or NFC are accepted", show);
}

#define WORDS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define TAIL  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define ENDS  " ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
static const struct { const char *pattern, *pre; } patterns[] = {
    { "(?i:'s|'t|'re|'ve|'m|'ll|'d)|" WORDS "\\p{N}{1,3}" TAIL, "llama-bpe" },
    { "(?i:'s|'t|'re|'ve|'m|'ll|'d)|" WORDS "\\p{N}" TAIL, "qwen2" },
    { "'s|'t|'re|'ve|'m|'ll|'d|" ENDS, "gpt-2" },
    { "'(?:[sdmt]|ll|ve|re)|" ENDS, "gpt-2" },
};

/* What one pre-tokenizer, or a sequence of them, does. */
struct cut { struct bytes pattern; bool is_byte_level, has_own_pattern; int n_split; };

static bool read_split(const struct json *v, struct cut *c, struct err *e)
{
    const struct json *how = json_get(v, "behavior");
    bool invert = json_bool(json_get(v, "invert"));
    c->pattern = hf_text(json_get(json_get(v, "pattern"), "Regex"));
    if (!c->pattern.p) return err_set(e, ERR_UNSUPPORTED, "its pattern is not a Regex");
    if (++c->n_split > 1) return err_set(e, ERR_UNSUPPORTED, "there is more than one Split");
    if (invert ? json_str_is(how, "Removed") : json_str_is(how, "Isolated")) return true;
    return err_set(e, ERR_UNSUPPORTED, "its behavior is not to isolate what the pattern matches");
}

static bool read_cut(const struct json *v, int depth, struct cut *c, struct err *e)
{
    char show[80] = "missing";
    const struct json *type = json_get(v, "type"), *list = json_get(v, "pretokenizers");
    if (json_str_is(type, "Split")) return read_split(v, c, e);
    if (json_str_is(type, "ByteLevel")) {
        const struct json *own = json_get(v, "use_regex");
        c->is_byte_level = true;
        c->has_own_pattern = !own || json_bool(own);
        return !json_bool(json_get(v, "add_prefix_space")) ||
               err_set(e, ERR_UNSUPPORTED,
                       "ByteLevel adds a space in front; only add_prefix_space false is accepted");
    }
    if (json_str_is(type, "Sequence") && depth < 4) {
        for (size_t i = 0; i < json_len(list); i++)
            if (!read_cut(json_at(list, i), depth + 1, c, e)) return false;
        return true;
    }
    if (hf_text(type).p) gguf_show(hf_text(type), show);
    return err_set(e, ERR_UNSUPPORTED,
                   "its type is %s; ByteLevel, Split and a Sequence of them are accepted", show);
}

/* The name of the pre-tokenizer; NULL on error. */
static const char *pre_of(const struct json *v, const char *arch, struct err *e)
{
    struct cut c = { 0 };
    char show[80];
    if (!read_cut(v, 0, &c, e)) return NULL;
    if (!c.is_byte_level) {
        err_set(e, ERR_UNSUPPORTED, "no ByteLevel is in it; only byte-level BPE is converted");
        return NULL;
    }
    if (!c.n_split && c.has_own_pattern) return "gpt-2";
    for (size_t i = 0; i < LEN(patterns) && !c.has_own_pattern; i++)
        if (c.n_split && bytes_eq(c.pattern, patterns[i].pattern))
            return !i && !strncmp(arch, "lfm2", 4) ? "lfm2" : patterns[i].pre;
    if (!c.n_split)
        err_set(e, ERR_UNSUPPORTED,
                "it does not cut text into words; the patterns of llama-bpe, qwen2 "
                "and gpt-2 are known");
    else if (c.has_own_pattern)
        err_set(e, ERR_UNSUPPORTED, "both Split and ByteLevel cut; only one of them may");
    else
        err_set(e, ERR_UNSUPPORTED,
                "its pattern %s is not one of those known, of llama-bpe, qwen2 and gpt-2",
                gguf_show(c.pattern, show));
    return NULL;
}

/* ---- tokens --------------------------------------------------------------------------------- */

static bool put_token(struct hf_vocab *v, struct bytes text, const struct json *at, int32_t type,
                      struct err *e)
{
    char show[80], other[80];
    int64_t id;
    gguf_show(text, show);
    if (!json_i64(at, &id) || id < 0 || id >= v->n)
        return err_set(e, ERR_FORMAT, "token %s: its id is not one of the %d rows of the embedding",
                       show, v->n);
    if (v->token[id].p && !bytes_same(v->token[id], text))
        return err_set(e, ERR_FORMAT, "tokens %s and %s both have the id %lld",
                       gguf_show(v->token[id], other), show, (long long)id);
    v->token[id] = text;
    v->type[id] = type;
    return true;
}

/* Some files call markers like <|im_start|> ordinary; what a user types must not become one. */
static bool looks_special(struct bytes b)
{
    return b.len >= 4 && b.p[0] == '<' && b.p[1] == '|' && b.p[b.len - 1] == '>' &&
           b.p[b.len - 2] == '|';
}

static bool read_added(struct hf_vocab *v, const struct json *list, struct err *e)
{
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *t = json_at(list, i);
        struct bytes text = hf_text(json_get(t, "content"));
        if (!text.p || !text.len)
            return err_set(e, ERR_FORMAT, "added_tokens[%zu]: content is missing or empty", i);
        bool is_control = json_bool(json_get(t, "special")) || looks_special(text);
        if (!put_token(v, text, json_get(t, "id"), is_control ? HF_CONTROL : HF_USER, e))
            return err_in(e, "added_tokens[%zu]", i);
    }
    return true;
}

static void fill_unused(struct hf_vocab *v)
{
    for (int i = 0; i < v->n; i++) {
        if (v->token[i].p) continue;
        const char *name = arena_fmt(&v->made, "[PAD%d]", i);
        v->token[i] = (struct bytes){ name, strlen(name) };
        v->type[i] = HF_UNUSED;
    }
}

static bool read_tokens(struct hf_vocab *v, struct err *e)
{
    if (!json_is(v->vocab, JSON_OBJECT) || !json_len(v->vocab))
        return err_set(e, ERR_FORMAT, "model.vocab is missing, empty or not an object");
    for (struct json_iter it = json_iter(v->vocab); json_next(&it);)
        if (!put_token(v, (struct bytes){ it.key, it.key_len }, it.value, HF_NORMAL, e))
            return err_in(e, "model.vocab");
    if (!read_added(v, json_get(v->tokenizer, "added_tokens"), e)) return false;
    fill_unused(v);
    return true;
}

/* ---- merges --------------------------------------------------------------------------------- */

/* "A B", or the pair ["A", "B"] that newer files write. */
static bool split_merge(const struct json *v, struct bytes *a, struct bytes *b, struct err *e)
{
    *a = hf_text(v);
    if (a->p) {
        const char *space = a->len > 2 ? memchr(a->p + 1, ' ', a->len - 2) : NULL;
        if (!space) return err_set(e, ERR_FORMAT, "it is not two tokens with a space between them");
        *b = (struct bytes){ space + 1, a->len - (size_t)(space + 1 - a->p) };
        a->len = (size_t)(space - a->p);
    } else {
        *a = hf_text(json_at(v, 0));
        *b = hf_text(json_at(v, 1));
    }
    if (json_len(v) <= 2 && a->p && b->p && a->len && b->len && !memchr(a->p, ' ', a->len) &&
        !memchr(b->p, ' ', b->len) && !memchr(a->p, 0, a->len) && !memchr(b->p, 0, b->len))
        return true;
    return err_set(e, ERR_FORMAT,
                   "it is neither \"A B\" nor [\"A\", \"B\"] with two tokens without spaces");
}

bool hf_merge_read(const struct hf_vocab *v, size_t i, struct str *line, struct str *joined,
                   size_t *gap, struct err *e)
{
    char show[80];
    struct bytes a = { NULL, 0 }, b = { NULL, 0 };
    if (!split_merge(json_at(v->merges, i), &a, &b, e)) return err_in(e, "model.merges[%zu]", i);
    str_clear(line);
    str_clear(joined);
    str_put(line, a.p, a.len);
    str_putc(line, 0); /* two C strings, to look them up */
    str_put(line, b.p, b.len);
    str_put(joined, a.p, a.len);
    str_put(joined, b.p, b.len);
    *gap = a.len;
    bool ok = json_get(v->vocab, line->p) && json_get(v->vocab, line->p + a.len + 1) &&
              json_get(v->vocab, joined->p);
    line->p[a.len] = ' ';
    return ok || err_set(e, ERR_FORMAT,
                         "model.merges[%zu]: %s: both tokens and the two joined must be in "
                         "model.vocab",
                         i, gguf_show((struct bytes){ line->p, line->len }, show));
}

static bool read_merges(const struct hf_vocab *v, struct gguf_out *out, struct err *e)
{
    struct arena lines;
    struct str line = { 0 }, joined = { 0 };
    size_t n = json_len(v->merges), gap = 0;
    bool ok = true;
    struct bytes *all = mem_alloc((n + 1) * sizeof *all);
    arena_init(&lines, 1 << 20);
    for (size_t i = 0; i < n && (ok = hf_merge_read(v, i, &line, &joined, &gap, e)); i++)
        all[i] =
            (struct bytes){ memcpy(arena_small(&lines, line.len), line.p, line.len), line.len };
    if (ok) gguf_out_strs(out, "tokenizer.ggml.merges", all, n);
    arena_done(&lines);
    str_done(&line);
    str_done(&joined);
    mem_free(all);
    return ok;
}

/* ---- the file ------------------------------------------------------------------------------- */

static bool read_byte_level(struct hf_vocab *v, const char *arch, struct gguf_out *out,
                            struct err *e)
{
    if (!check_normalizer(json_get(v->tokenizer, "normalizer"), e)) return false;
    const char *pre = pre_of(json_get(v->tokenizer, "pre_tokenizer"), arch, e);
    if (!pre) return err_in(e, "pre_tokenizer");
    gguf_out_str(out, "tokenizer.ggml.model", "gpt2", 4);
    gguf_out_str(out, "tokenizer.ggml.pre", pre, strlen(pre));
    return read_merges(v, out, e);
}

static bool read_vocab(const struct json *tokenizer, const struct hf_config *c,
                       struct gguf_out *out, struct err *e)
{
    const struct json *model = json_get(tokenizer, "model");
    if (!check_model(model, e)) return false;
    struct hf_vocab v = { .tokenizer = tokenizer, .vocab = json_get(model, "vocab"),
                          .merges = json_get(model, "merges"), .n = c->dim[HF_VOCAB] };
    if (!json_is(v.merges, JSON_ARRAY))
        return err_set(e, ERR_FORMAT, "model.merges is missing or not an array");
    v.token = mem_zero((size_t)v.n * sizeof *v.token);
    v.type = mem_zero((size_t)v.n * sizeof *v.type);
    arena_init(&v.made, 0);
    bool is_spm = json_bool(json_get(model, "byte_fallback")),
         ok = read_tokens(&v, e) &&
              (is_spm ? hf_spm_read(&v, out, e) : read_byte_level(&v, c->kind->arch, out, e));
    if (ok) {
        gguf_out_strs(out, "tokenizer.ggml.tokens", v.token, (size_t)v.n);
        gguf_out_i32s(out, "tokenizer.ggml.token_type", v.type, (size_t)v.n);
    }
    arena_done(&v.made);
    mem_free(v.token);
    mem_free(v.type);
    return ok;
}

bool hf_tokenizer_read(const char *dir, const struct json *config, const struct hf_config *c,
                       struct gguf_out *out, struct err *e)
{
    struct json *tokenizer;
    if (!hf_json(dir, "tokenizer.json", true, &tokenizer, e)) return false;
    if (!tokenizer)
        return err_set(
            e, ERR_IO,
            "%s: tokenizer.json is not in the folder; no other form of a vocabulary is read", dir);
    bool ok = read_vocab(tokenizer, c, out, e) || err_in(e, "%s/tokenizer.json", dir);
    ok = ok && hf_special_read(dir, tokenizer, config, c->dim[HF_VOCAB], out, e);
    json_free(tokenizer);
    return ok;
}
