/* gen_example.c -- the door of the generator: opens packs, draws conversation number i of a set,
 * and turns it into tokens with a class each.
 *
 * Conversation i is a function of (seed, set, stage, i) and of nothing else. The prompt is rendered
 * by the template of the embedded model and every text piece is encoded on its own, as the engine
 * does it, so the trainer sees exactly the ids that generation produces. Classes come from the
 * bytes of the assistant's turns: a small scanner says for each byte of a call whether it is
 * structure, tool name, key or value, and a token has the class of its first byte.
 *
 * Threads: a datagen is read-only; a drawing owns its arena and its JSON. */
#include <dirent.h>
#include <stdlib.h>

#include "train/gen_int.h"

/* ---- names ----------------------------------------------------------------------------------- */

const char *data_kind_name(enum data_kind k)
{
    static const char *const names[] = { "copy", "single", "multiple", "parallel",
                                         "none", "ask",    "grounded", "multi_turn" };
    return (unsigned)k < LEN(names) ? names[k] : "?";
}

const char *token_class_name(enum token_class c)
{
    static const char *const names[] = { "prompt",     "struct", "name",   "key",    "value_first",
                                         "value_rest", "ask",    "refuse", "answer", "end" };
    return (unsigned)c < LEN(names) ? names[c] : "?";
}

/* ---- opening --------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Packs are read in the order of their names, so that the stream does not depend on the file
 * system. */
static bool load_folder(struct datagen *g, const char *folder, struct err *e)
{
    DIR *dir = opendir(folder);
    if (!dir) return err_set(e, ERR_IO, "%s: no such folder of domain packs", folder);
    char **name = NULL;
    int n = 0, cap = 0;
    for (struct dirent *f; (f = readdir(dir));) {
        size_t len = strlen(f->d_name);
        if (len < 6 || strcmp(f->d_name + len - 5, ".json")) continue;
        struct str path = { 0 };
        str_fmt(&path, "%s/%s", folder, f->d_name);
        MEM_GROW(name, n, cap);
        name[n++] = str_take(&path);
    }
    closedir(dir);
    if (n) qsort(name, (size_t)n, sizeof *name, by_name);
    bool ok = true;
    for (int i = 0; i < n; i++) {
        ok = ok && pack_load(g, name[i], e);
        mem_free(name[i]);
    }
    mem_free(name);
    return ok;
}

struct datagen *datagen_open(const struct datagen_opts *o, struct err *e)
{
    struct datagen *g = mem_zero(sizeof *g);
    g->seed = o->seed;
    bool ok = (!o->own || own_load(g, o->own, e)) && (!o->packs || load_folder(g, o->packs, e));
    for (int i = 0; ok && i < o->n_extra; i++) ok = pack_load(g, o->extra_pack[i], e);
    ok = ok && (!o->lexicon || lexicon_load(&g->lexicon, o->lexicon, e)) &&
         (!o->dialogues || dialogues_load(&g->dialogues, o->dialogues, e));
    if (ok) return g;
    datagen_close(g);
    return NULL;
}

void datagen_close(struct datagen *g)
{
    if (!g) return;
    packs_close(g);
    lexicon_done(&g->lexicon);
    dialogues_done(&g->dialogues);
    mem_free(g->own);
    mem_free(g);
}

/* ---- the mixture ----------------------------------------------------------------------------- */

/* Shares in percent by stage. Training conversations hold several requests each, so the many
 * singles of stage 2 and 3 also show parallel calls, refusals and results on the way. */
static const int mixture[3][DATA_KINDS] = {
    /*            copy single multiple parallel none ask grounded multi_turn */
    [0] = {         36,    26,      19,       7,   6,  6,       0,         0 },
    [1] = {         15,    10,      28,      12,  11, 12,       5,         7 },
    [2] = {         10,    10,      29,      13,  12, 12,       6,         8 },
};

static enum data_kind kind_draw(struct draw *d)
{
    const int *share = mixture[MIN(MAX(d->stage, 1), 3) - 1];
    for (;;) {
        int r = below(d, 100);
        for (int k = 0; k < DATA_KINDS; k++) {
            if (r >= share[k]) { r -= share[k]; continue; }
            if (k != KIND_COPY || d->set == DATA_TRAIN) return (enum data_kind)k;
            break;
        }
    }
}

/* Share of pack conversations: packs teach the language, invented tools teach to read. */
static bool from_pack(struct draw *d)
{
    switch (d->set) {
    /* their hold-outs are those of the grammar */
    case DATA_E2_TOOLS: case DATA_E3_PHRASING: return false;
    case DATA_E4_ALL: return chance(d, 50);
    default: return chance(d, d->stage == 1 ? 40 : 66);
    }
}

static const struct json *schema_of(const struct json *tools, const char *name)
{
    for (size_t i = 0; i < json_len(tools); i++) {
        const struct json *f = tool_function(json_at(tools, i));
        if (json_str_is(json_get(f, "name"), name)) return json_get(f, "parameters");
    }
    return NULL;
}

static bool call_fits(const struct json *tools, const struct json *call)
{
    const struct json *f = json_get(call, "function");
    const struct json *schema = schema_of(tools, json_str(json_get(f, "name"), NULL));
    struct err e = { 0 };
    size_t len;
    const char *s = json_str(json_get(f, "arguments"), &len);
    struct json *args = json_parse(s, len, &e);
    bool fits = args && schema && schema_check(schema, args, &(struct grammar_opts){ 0 }, &e);
    json_free(args);
    return fits;
}

static bool turn_fits(const struct json *tools, const struct json *message)
{
    const struct json *calls = json_get(message, "tool_calls");
    for (size_t i = 0; i < json_len(calls); i++)
        if (!call_fits(tools, json_at(calls, i))) return false;
    return true;
}

/* A pack may be anybody's: a call that its own schema refuses teaches nothing. */
bool conv_fits(const struct conv *c)
{
    for (size_t i = 0; i < json_len(c->messages); i++)
        if (!turn_fits(c->tools, json_at(c->messages, i))) return false;
    return turn_fits(c->tools, c->answer);
}

static bool from_any_pack(struct draw *d, enum data_kind kind, struct conv *c)
{
    if (!d->g->n_pack || !from_pack(d) || !pack_conversation(d, kind, c)) return false;
    if (conv_fits(c)) return true;
    conv_drop(c);
    return false;
}

/* Recorded conversations, if there are any: they are longer than the rest by far. */
static bool from_dialogues(struct draw *d, struct conv *c)
{
    int share = d->stage == 1 ? 2 : d->stage == 2 ? 5 : 6;
    return d->g->dialogues.n && d->set == DATA_TRAIN && chance(d, share) &&
           dialogue_conversation(d, c);
}

static void draw_conversation(struct draw *d, struct conv *c)
{
    if (from_dialogues(d, c)) {
        if (conv_fits(c)) return;
        conv_drop(c);
    }
    for (;;) {
        enum data_kind kind = kind_draw(d);
        d->fake_percent = d->held_word ? 100 : chance(d, 25) ? 15 : chance(d, 50) ? 65 : 95;
        if (d->held_word && chance(d, 30)) d->fake_percent = 50;
        if (kind == KIND_COPY) { copy_conversation(d, c); return; }
        if (from_any_pack(d, kind, c)) return;
        if (tool_conversation(d, kind, c)) return;
    }
}

static struct draw draw_make(const struct datagen *g, enum data_set set, int stage, uint64_t index,
                             struct arena *a)
{
    bool held_word = set == DATA_E2_TOOLS || set == DATA_E4_ALL,
         held_rule = set == DATA_E3_PHRASING || set == DATA_E4_ALL;
    return (struct draw){ .g = g,
                          .r = rng_make(g->seed, (uint64_t)set * 16 + (uint64_t)stage, index),
                          .a = a,
                          .set = set,
                          .stage = stage,
                          .held_word = held_word,
                          .held_rule = held_rule,
                          .held_shape = set == DATA_E4_ALL };
}

struct json *datagen_conversation(const struct datagen *g, enum data_set set, int stage,
                                  uint64_t index, struct err *e)
{
    static const char *const sets[] = { "train", "E1", "E2", "E3", "E4" };
    if ((unsigned)set >= DATA_SETS) {
        err_set(e, ERR_ARG, "there is no data set number %d", (int)set);
        return NULL;
    }
    struct arena a;
    arena_init(&a, 0);
    struct draw d = draw_make(g, set, stage, index, &a);
    struct conv c;
    if (!g->n_own) draw_conversation(&d, &c);
    else if (!own_conversation(&d, &c)) {
        arena_done(&a);
        err_set(e, ERR_ARG, "no call that was made up fits the schema of its tool; values in \"examples\" may help");
        return NULL;
    }
    struct json *o = json_new_object();
    json_set(o, "id", json_new_str(text(&d, "%s-%llu", g->n_own ? "synth" : sets[set], (unsigned long long)index)));
    json_set(o, "kind", json_new_str(data_kind_name(c.kind)));
    json_set(o, "tools", c.tools);
    json_set(o, "messages", c.messages);
    json_set(o, "expect", c.expect);
    if (c.must) json_set(o, "must_contain", c.must);
    json_set(o, "answer", c.answer);
    arena_done(&a);
    return o;
}

/* ---- classes of the bytes of a call ---------------------------------------------------------- */

/* Walks [{"name":"x","arguments":{…}},…]. Inside "arguments" at depth one, keys are keys and
 * everything after their colon up to the next comma of that depth is the value, nested punctuation
 * included. */
struct call_scan {
    int depth;
    bool in_string, escaped, in_args, after_colon, is_name;
    size_t key_from;
};

static bool string_is(const char *s, size_t from, size_t to, const char *word)
{
    return to - from == strlen(word) && !memcmp(s + from, word, to - from);
}

/* [ { … and [ { "arguments": { */
enum { DEPTH_CALL = 2, DEPTH_ARGS = 3 };

static uint8_t string_byte(struct call_scan *k, const char *s, size_t i)
{
    bool closing = !k->escaped && s[i] == '"';
    k->escaped = !k->escaped && s[i] == '\\';
    if (closing) {
        k->in_string = false;
        if (k->depth == DEPTH_CALL && !k->after_colon)
            k->is_name = string_is(s, k->key_from, i, "name");
        if (k->depth == DEPTH_CALL && !k->after_colon)
            k->in_args = string_is(s, k->key_from, i, "arguments");
        return k->depth >= DEPTH_ARGS && k->after_colon && k->in_args && k->depth > DEPTH_ARGS
                   ? TC_VALUE_REST
                   : TC_STRUCT;
    }
    if (k->depth == DEPTH_CALL) return k->after_colon && k->is_name ? TC_NAME : TC_STRUCT;
    return k->depth == DEPTH_ARGS && !k->after_colon ? TC_KEY : TC_VALUE_REST;
}

static uint8_t scan_byte(struct call_scan *k, const char *s, size_t i)
{
    char c = s[i];
    if (k->in_string) return string_byte(k, s, i);
    bool inner = k->depth > DEPTH_ARGS;
    switch (c) {
    case '"':
        k->in_string = true;
        k->key_from = i + 1;
        return inner ? TC_VALUE_REST : TC_STRUCT;
    case '[': case '{':
        k->depth++;
        if (k->depth <= DEPTH_ARGS && c == '{') k->after_colon = false;
        return k->depth > DEPTH_ARGS ? TC_VALUE_REST : TC_STRUCT;
    case ']': case '}':
        k->depth--;
        /* the arguments object was a value */
        if (k->depth == DEPTH_CALL) k->after_colon = true;
        return inner ? TC_VALUE_REST : TC_STRUCT;
    case ':':
        if (!inner) k->after_colon = true;
        return inner ? TC_VALUE_REST : TC_STRUCT;
    case ',':
        if (!inner) k->after_colon = false;
        return inner ? TC_VALUE_REST : TC_STRUCT;
    default: return k->depth >= DEPTH_ARGS && k->after_colon ? TC_VALUE_REST : TC_STRUCT;
    }
}

void classify_calls(const char *s, size_t n, uint8_t *cls)
{
    struct call_scan k = { 0 };
    for (size_t i = 0; i < n; i++) {
        uint8_t c = scan_byte(&k, s, i);
        bool starts = c == TC_VALUE_REST &&
                      (i == 0 || (cls[i - 1] != TC_VALUE_REST && cls[i - 1] != TC_VALUE_FIRST));
        cls[i] = starts ? TC_VALUE_FIRST : c;
    }
}

/* ---- tokens ---------------------------------------------------------------------------------- */

void classify_tokens(const struct tokenizer *t, const struct ids *ids, size_t from,
                     const uint8_t *byte, size_t n, uint8_t *cls)
{
    for (size_t i = from, off = 0; i < ids->n && off < n; i++) {
        size_t len = tok_bytes(t, ids->id[i]).len;
        cls[i] = byte[off];
        for (size_t j = off; cls[i] == TC_STRUCT && j < off + len && j < n; j++)
            /* punctuation that reaches into the value */
            if (byte[j] == TC_VALUE_FIRST) cls[i] = TC_VALUE_FIRST;
        off += len;
    }
}

struct writer {
    const struct tokenizer *t;
    struct ids ids;
    uint8_t *cls; size_t cap;
    /* of an assistant's plain text */
    enum token_class text_class;
    bool assistant, in_call, at_role;
};

static void put_class(struct writer *w, size_t from, uint8_t c)
{
    while (w->cap < w->ids.n) {
        w->cap = w->cap ? w->cap * 2 : 512;
        w->cls = mem_resize(w->cls, w->cap);
    }
    memset(w->cls + from, c, w->ids.n - from);
}

static void put_special(struct writer *w, int32_t id)
{
    struct bytes name = tok_text(w->t, id);
    bool end = bytes_eq(name, "<|im_end|>");
    uint8_t c = !w->assistant ? TC_PROMPT : end ? TC_END : TC_STRUCT;
    size_t from = w->ids.n;
    ids_put(&w->ids, id);
    put_class(w, from, c);
    if (bytes_eq(name, "<|im_start|>")) w->at_role = true;
    if (end) w->assistant = false;
    w->in_call = bytes_eq(name, "<|tool_call_start|>");
}

static bool put_text(struct writer *w, const char *s, size_t n, struct err *e)
{
    size_t from = w->ids.n;
    bool role = w->at_role;
    if (!tok_encode(w->t, s, n, 0, &w->ids, e)) return false;
    put_class(w, from, TC_PROMPT);
    w->at_role = false;
    /* bytes before the assistant's own */
    size_t plain = n;
    if (role) {
        const char *nl = memchr(s, '\n', n);
        w->assistant = n >= 10 && !memcmp(s, "assistant\n", 10);
        if (w->assistant && nl) plain = (size_t)(nl + 1 - s);
    } else if (w->assistant) plain = 0;
    if (!w->assistant) return true;
    uint8_t *byte = mem_zero(n + 1);
    memset(byte + plain, w->text_class, n - plain);
    if (w->in_call) classify_calls(s, n, byte);
    memset(byte, TC_PROMPT, plain);
    classify_tokens(w->t, &w->ids, from, byte, n, w->cls);
    mem_free(byte);
    return true;
}

/* The template would write as text what the vocabulary has no token for. */
static bool has_markers(const struct tokenizer *t, struct err *e)
{
    static const char *const list[] = { "<|im_start|>", "<|im_end|>", "<|tool_list_start|>", "<|tool_list_end|>",
                                        "<|tool_call_start|>", "<|tool_call_end|>", "<|tool_response_start|>",
                                        "<|tool_response_end|>" };
    for (size_t i = 0; i < LEN(list); i++)
        if (tok_special(t, list[i]) < 0)
            return err_set(e, ERR_UNSUPPORTED, "the vocabulary has no token %s", list[i]);
    return true;
}

static bool put_prompt(struct writer *w, const struct prompt *p, struct err *e)
{
    struct prompt_part *part = NULL;
    size_t n = 0;
    bool ok = has_markers(w->t, e) && prompt_parts(p, w->t, &part, &n, e);
    for (size_t i = 0; ok && i < n; i++)
        if (part[i].id >= 0) put_special(w, part[i].id);
        else ok = put_text(w, p->text.p + part[i].off, part[i].len, e);
    mem_free(part);
    return ok;
}

static enum token_class answer_class(enum data_kind k)
{
    return k == KIND_ASK ? TC_ASK : k == KIND_NONE ? TC_REFUSE : TC_ANSWER;
}

static void put_vars(struct draw *d, struct conv *c, struct json *vars)
{
    if (json_len(c->tools) && chance(d, 15)) json_set(vars, "tools_as", json_new_str("json"));
}

bool datagen_example(const struct datagen *g, const struct tokenizer *t, enum data_set set,
                     int stage, uint64_t index, int max_tokens, struct arena *a,
                     struct example *out, struct err *e)
{
    size_t mark = arena_mark(a);
    struct draw d = draw_make(g, set, stage, index, a);
    struct conv c;
    draw_conversation(&d, &c);
    struct json *vars = json_new_object();
    put_vars(&d, &c, vars);
    json_push(c.messages, c.answer);
    c.answer = NULL;
    struct dialect_request r = { .bos_token = "<|startoftext|>", .messages = c.messages,
                                 .tools = json_len(c.tools) ? c.tools : NULL,
                                 .vars = vars };
    struct prompt p = { 0 };
    struct writer w = { .t = t, .text_class = answer_class(c.kind) };
    bool ok = dialect_render(dialect_find("lfm2-json"), &r, &p, e) && put_prompt(&w, &p, e);
    if (ok && w.ids.n > (size_t)max_tokens)
        ok = err_set(e, ERR_LIMIT, "conversation %llu has %zu tokens, the limit is %d",
                     (unsigned long long)index, w.ids.n, max_tokens);
    arena_reset(a, mark);
    if (ok) {
        out->n = (int)w.ids.n;
        out->kind = c.kind;
        out->token = arena_alloc(a, w.ids.n * sizeof *out->token);
        out->cls = arena_alloc(a, w.ids.n);
        memcpy(out->token, w.ids.id, w.ids.n * sizeof *out->token);
        memcpy(out->cls, w.cls, w.ids.n);
    }
    mem_free(w.ids.id);
    mem_free(w.cls);
    prompt_done(&p);
    json_free(vars);
    conv_drop(&c);
    return ok;
}
