/* hf_special.c -- what a Hugging Face folder says about its vocabulary outside of it: special
 * tokens, which of them are added to a prompt, the chat templates.
 *
 * The same fact may stand in several files. tokenizer_config.json names tokens by text and goes
 * first; generation_config.json and config.json name them by id. A list of ids that end an answer
 * becomes eos and, for what is left, the keys for the end of a turn and of a message. */
#include "format/hf.h"

#define KEY "tokenizer.ggml."
#define MOST_ENDS 16

struct special {
    const struct json *tokenizer, *config; /* tokenizer.json, config.json */
    struct json *own, *generation; /* tokenizer_config.json, generation_config.json, or NULL */
    int n_vocab;
    int32_t bos, eos;
    struct gguf_out *out;
    struct err *e;
};

static void put_id(struct special *s, const char *key, int32_t id)
{
    if (id >= 0) gguf_out_u32(s->out, key, (uint32_t)id);
}

/* ---- single tokens -------------------------------------------------------------------------- */

/* A token that tokenizer_config.json names: its text, or an object with the text as content. */
static bool named_id(struct special *s, const char *name, int32_t *id)
{
    char show[80];
    struct bytes text = { NULL, 0 };
    const struct json *v = json_get(s->own, name);
    if (json_is(v, JSON_OBJECT)) v = json_get(v, "content");
    text.p = json_str(v, &text.len);
    *id = -1;
    if (!text.p || !text.len) return true;
    *id = hf_token_id(s->tokenizer, text, s->n_vocab);
    return *id >= 0 ||
           err_set(s->e, ERR_FORMAT, "%s %s is not in the vocabulary", name, gguf_show(text, show));
}

/* A number or a list of numbers; ids outside of the vocabulary are refused. */
static bool numbered_ids(struct special *s, const struct json *file, const char *key, int32_t *id,
                         int *n)
{
    const struct json *v = json_get(file, key);
    bool is_list = json_is(v, JSON_ARRAY);
    size_t len = is_list ? json_len(v) : v && !json_is(v, JSON_NULL);
    for (size_t i = 0; i < len; i++) {
        int64_t x;
        if (!json_i64(is_list ? json_at(v, i) : v, &x) || x >= s->n_vocab)
            return err_set(s->e, ERR_FORMAT, "%s is not an id of 0 to %d", key, s->n_vocab - 1);
        if (*n == MOST_ENDS)
            return err_set(s->e, ERR_LIMIT, "%s has more than %d ids", key, MOST_ENDS);
        if (x >= 0) id[(*n)++] = (int32_t)x;                          /* -1: some writers' "none" */
    }
    return true;
}

static bool read_one(struct special *s, const char *name, const char *id_key, const char *out_key,
                     int32_t *id)
{
    int32_t ids[MOST_ENDS];
    int n = 0;
    if (!named_id(s, name, id)) return err_in(s->e, "tokenizer_config.json");
    if (*id < 0 && !numbered_ids(s, s->config, id_key, ids, &n)) return err_in(s->e, "config.json");
    if (*id < 0 && n) *id = ids[0];
    put_id(s, out_key, *id);
    return true;
}

/* ---- ends of an answer ---------------------------------------------------------------------- */

static bool is_text(const struct special *s, int32_t id, const char *text)
{
    return hf_token_id(s->tokenizer, (struct bytes){ text, strlen(text) }, s->n_vocab) == id;
}

static bool read_ends(struct special *s)
{
    int32_t ids[MOST_ENDS], eot = -1, eom = -1;
    int n = 0;
    bool has = s->generation && json_get(s->generation, "eos_token_id");
    if (!numbered_ids(s, has ? s->generation : s->config, "eos_token_id", ids, &n))
        return err_in(s->e, has ? "generation_config.json" : "config.json");
    if (!named_id(s, "eos_token", &s->eos)) return err_in(s->e, "tokenizer_config.json");
    if (s->eos < 0 && n) s->eos = ids[0];
    for (int i = 0; i < n; i++) {
        if (ids[i] == s->eos || ids[i] == eot || ids[i] == eom) continue;
        if (eom < 0 && is_text(s, ids[i], "<|eom_id|>")) eom = ids[i];
        else if (eot < 0) eot = ids[i];
        else if (eom < 0) eom = ids[i];
        else log_line(LOG_WARN, "end_of_answer id=%d: no key is left for it", (int)ids[i]);
    }
    put_id(s, KEY "eos_token_id", s->eos);
    put_id(s, KEY "eot_token_id", eot);
    put_id(s, KEY "eom_token_id", eom);
    return true;
}

/* ---- what is added to a prompt -------------------------------------------------------------- */

/* The first or last piece of the template for one text, if it is a token. */
static struct bytes template_token(const struct json *post, bool last)
{
    struct bytes text = { NULL, 0 };
    const struct json *list = json_get(post, "processors"), *single = json_get(post, "single");
    for (size_t i = 0; i < json_len(list) && !single; i++)
        single = json_get(json_at(list, i), "single");
    size_t n = json_len(single);
    const struct json *piece = n ? json_at(single, last ? n - 1 : 0) : NULL;
    text.p = json_str(json_get(json_get(piece, "SpecialToken"), "id"), &text.len);
    return text;
}

static bool read_adds(struct special *s, const char *own_key, const char *out_key, bool last,
                      int32_t want)
{
    char show[80];
    const struct json *own = json_get(s->own, own_key);
    struct bytes text = template_token(json_get(s->tokenizer, "post_processor"), last);
    bool is_added = json_is(own, JSON_BOOL) ? json_bool(own) : text.p != NULL;
    if (is_added && text.p && hf_token_id(s->tokenizer, text, s->n_vocab) != want)
        return err_set(s->e, ERR_UNSUPPORTED,
                       "tokenizer.json: post_processor adds %s, which is not the %s token",
                       gguf_show(text, show), last ? "eos" : "bos");
    gguf_out_bool(s->out, out_key, is_added && want >= 0);
    return true;
}

/* ---- templates ------------------------------------------------------------------------------ */

static bool put_templates(struct special *s, const struct json *list)
{
    struct bytes names[64];
    size_t n_name = 0;
    for (size_t i = 0; i < json_len(list); i++) {
        struct bytes name = { NULL, 0 }, text = { NULL, 0 };
        name.p = json_str(json_get(json_at(list, i), "name"), &name.len);
        text.p = json_str(json_get(json_at(list, i), "template"), &text.len);
        if (!name.p || !text.p || !name.len || name.len > 64 || strlen(name.p) != name.len ||
            n_name == LEN(names))
            return err_set(
                s->e, ERR_FORMAT,
                "chat_template[%zu] must have a name of 1 to 64 bytes and a template, at "
                "most %zu of them",
                i, LEN(names));
        char key[128];
        snprintf(key, sizeof key, "tokenizer.chat_template.%s", name.p);
        if (!strcmp(name.p, "default")) *strrchr(key, '.') = 0;
        else names[n_name++] = name;
        gguf_out_str(s->out, key, text.p, text.len);
    }
    if (n_name) gguf_out_strs(s->out, "tokenizer.chat_templates", names, n_name);
    return true;
}

/* A file of its own goes before the key. */
static bool read_templates(struct special *s, const char *dir)
{
    struct str path = { 0 }, text = { 0 };
    size_t len;
    const struct json *v = json_get(s->own, "chat_template");
    bool ok = true;
    str_fmt(&path, "%s/chat_template.jinja", dir);
    if (file_exists(path.p)) {
        ok = file_read(path.p, &text, s->e);
        if (ok) gguf_out_str(s->out, "tokenizer.chat_template", text.p ? text.p : "", text.len);
    } else if (json_is(v, JSON_ARRAY)) {
        ok = put_templates(s, v) || err_in(s->e, "%s/tokenizer_config.json", dir);
    } else if (json_str(v, &len)) {
        gguf_out_str(s->out, "tokenizer.chat_template", json_str(v, &len), len);
    }
    str_done(&path);
    str_done(&text);
    return ok;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static bool read_ids(struct special *s)
{
    int32_t id;
    return read_one(s, "bos_token", "bos_token_id", KEY "bos_token_id", &s->bos) && read_ends(s) &&
           read_one(s, "pad_token", "pad_token_id", KEY "padding_token_id", &id) &&
           read_one(s, "unk_token", "unk_token_id", KEY "unknown_token_id", &id) &&
           read_adds(s, "add_bos_token", KEY "add_bos_token", false, s->bos) &&
           read_adds(s, "add_eos_token", KEY "add_eos_token", true, s->eos);
}

bool hf_special_read(const char *dir, const struct json *tokenizer, const struct json *config,
                     int n_vocab, struct gguf_out *out, struct err *e)
{
    struct special s = {
        .tokenizer = tokenizer, .config = config, .n_vocab = n_vocab, .out = out, .e = e
    };
    bool ok = hf_json(dir, "tokenizer_config.json", true, &s.own, e) &&
              hf_json(dir, "generation_config.json", true, &s.generation, e) &&
              (read_ids(&s) || err_in(e, "%s", dir)) && read_templates(&s, dir);
    json_free(s.own);
    json_free(s.generation);
    return ok;
}
