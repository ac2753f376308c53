/* detect.c -- which dialect a model file speaks, and why.
 *
 * The key tenon.dialect says it outright. Else the chat template is looked at, then special tokens, then
 * the model's name: each rule that holds gives its dialect a score and a reason, the highest score wins. A
 * template that was made for calls is worth more than tokens that a vocabulary has for other reasons
 * (every Llama 3 has the reserved ones), and those more than a name, which anyone may give.
 *
 * Nothing that holds: the generic JSON dialect, which any model can be asked to speak, and a warning.
 * tenon inspect prints what is found here; --dialect overrides it (whoever opens the model). */
#include "text/int.h"

#include <ctype.h>

#define WORDS_MOST 4

/* Texts that all stand in the template, and texts of which none does. */
struct text_rule { const char *dialect; int score; const char *all[WORDS_MOST], *none[WORDS_MOST]; };
static const struct text_rule text_rules[] = {
    { "lfm2-json", 100, { "<|tool_list_start|>", "tools_as" }, { 0 } },
    { "lfm2", 100, { "<|tool_list_start|>", "<|tool_list_end|>" }, { "tools_as" } },
    { "lfm2", 100, { "List of tools: [" }, { "<|tool_list_start|>" } },
    { "functionary-v4r", 120, { "Reasoning Mode", "<function=", "<|start_header_id|>" }, { 0 } },
    { "functionary-v3.1", 120, { "version=v3-llama3.1" }, { "Reasoning Mode" } },
    { "functionary-v3.1", 110, { "<function=", "{start_tag}" }, { "Reasoning Mode" } },
    { "functionary-v3.1", 110, { "<function=", "<｜Assistant｜>" }, { 0 } },
    { "functionary-v3.2", 120, { "version=v3.llama3" }, { 0 } },
    { "functionary-v3.2", 120, { "version=v3.llava_llama" }, { 0 } },
    { "functionary-v3.2", 110, { ">>>all", "<|start_header_id|>" }, { 0 } },
    { "functionary-v2.llama3", 120, { "version=v2.llama3" }, { 0 } },
    { "functionary-v2.llama3", 110, { "<|reserved_special_token_249|>" }, { 0 } },
    { "functionary-v2", 120, { "version=v2 " }, { 0 } },
    { "functionary-v2", 110, { "<|from|>", "<|recipient|>" }, { 0 } },
    { "functionary-v1", 110, { "<|START_OF_FUNCTION_CALL|>" }, { 0 } },
    { "hermes", 90, { "<tool_call>", "arguments" }, { "<function=", "<arg_key>" } },
    { "llama3.1", 90, { "<|start_header_id|>", "\"parameters\": ", "ipython" }, { "<function=", ">>>" } },
    { "json", 100, { "answer with a JSON list and nothing else" }, { 0 } },
};

/* Special tokens that the vocabulary has, all of them. */
struct token_rule { const char *dialect; int score; const char *token[WORDS_MOST]; };
static const struct token_rule token_rules[] = {
    { "functionary-v1", 60, { "<|START_OF_FUNCTION_CALL|>", "<|END_OF_FUNCTION_CALL|>" } },
    { "functionary-v2", 60, { "<|from|>", "<|recipient|>", "<|content|>" } },
    { "lfm2", 20, { "<|tool_call_start|>", "<|tool_call_end|>", "<|im_start|>" } },
    { "lfm2-json", 15, { "<|tool_call_start|>", "<|tool_call_end|>", "<|im_start|>" } },
    { "hermes", 10, { "<tool_call>", "</tool_call>", "<|im_start|>" } },
    { "llama3.1", 10, { "<|python_tag|>", "<|eom_id|>", "<|start_header_id|>" } },
};

/* Words of the model's name, small letters. A token beside them: only with it in the vocabulary. */
struct name_rule { const char *dialect; int score; const char *word[WORDS_MOST]; const char *token; };
static const struct name_rule name_rules[] = {
    { "functionary-v4r", 80, { "functionary", "v4r" }, NULL },
    { "functionary-v3.1", 80, { "functionary", "v3.1" }, NULL },
    { "functionary-v3.2", 80, { "functionary", "v3.2" }, NULL },
    { "functionary-v3.2", 80, { "functionary", "v3.0" }, NULL },
    { "functionary-v2.llama3", 80, { "functionary", "v2.5" }, NULL },
    { "functionary-v2", 79, { "functionary", "v2" }, NULL },
    { "functionary-v1", 80, { "functionary", "v1" }, NULL },
    { "functionary-v3.1", 51, { "functionary" }, "<|eom_id|>" },
    { "functionary-v3.2", 50, { "functionary" }, "<|reserved_special_token_249|>" },
    { "hermes", 30, { "hermes" }, "<|im_start|>" },
    { "lfm2", 30, { "lfm2" }, "<|im_start|>" },
};

/* What there is to go by. */
struct clues { char *text, *name; const struct tokenizer *t; };

static bool text_holds(const struct text_rule *r, const char *text)
{
    for (int i = 0; i < WORDS_MOST && r->all[i]; i++)
        if (!strstr(text, r->all[i])) return false;
    for (int i = 0; i < WORDS_MOST && r->none[i]; i++)
        if (strstr(text, r->none[i])) return false;
    return true;
}

static bool has_token(const struct tokenizer *t, const char *text) { return t && tok_special(t, text) >= 0; }

static bool tokens_hold(const struct token_rule *r, const struct tokenizer *t)
{
    for (int i = 0; i < WORDS_MOST && r->token[i]; i++)
        if (!has_token(t, r->token[i])) return false;
    return true;
}

static bool name_holds(const struct name_rule *r, const struct clues *c)
{
    for (int i = 0; i < WORDS_MOST && r->word[i]; i++)
        if (!strstr(c->name, r->word[i])) return false;
    return !r->token || has_token(c->t, r->token);
}

/* 'a' and 'b' and 'c' */
static void put_words(struct str *out, const char *const *word)
{
    for (int i = 0; i < WORDS_MOST && word[i]; i++) str_fmt(out, "%s'%s'", i ? " and " : "", word[i]);
}

/* Takes a reason if it is better than what there is; rows that are not in this build do not count. */
static void offer(struct detection *d, int *most, const char *dialect, int score, const char *what,
                  const char *const *word)
{
    const struct dialect *row = dialect_find(dialect);
    if (!row || score <= *most) return;
    struct str s = { 0 };
    str_puts(&s, what);
    put_words(&s, word);
    *most = score;
    d->dialect = row;
    d->guessed = false;
    snprintf(d->why, sizeof d->why, "%s", s.p);
    str_done(&s);
}

static void weigh(const struct clues *c, struct detection *d)
{
    int most = 0;
    for (size_t i = 0; c->text && i < LEN(text_rules); i++)
        if (text_holds(&text_rules[i], c->text))
            offer(d, &most, text_rules[i].dialect, text_rules[i].score, "the chat template holds ", text_rules[i].all);
    for (size_t i = 0; c->t && i < LEN(token_rules); i++)
        if (tokens_hold(&token_rules[i], c->t))
            offer(d, &most, token_rules[i].dialect, token_rules[i].score, "the vocabulary has the tokens ", token_rules[i].token);
    for (size_t i = 0; c->name && i < LEN(name_rules); i++)
        if (name_holds(&name_rules[i], c))
            offer(d, &most, name_rules[i].dialect, name_rules[i].score, "the model's name says ", name_rules[i].word);
}

/* A string of the metadata as one of the caller's; NULL: not there. */
static char *meta_text(const struct gguf *g, const char *key)
{
    struct err ignored = { 0 };
    struct bytes b;
    if (!g || !gguf_has(g, key) || !gguf_str(g, key, &b, &ignored)) return NULL;
    char *s = mem_zero(b.len + 1);
    memcpy(s, b.p, b.len);
    return s;
}

/* general.name and general.basename in small letters; NULL without either. */
static char *model_name(const struct gguf *g)
{
    char *name = meta_text(g, "general.name"), *base = meta_text(g, "general.basename");
    struct str s = { 0 };
    if (name || base) str_fmt(&s, "%s %s", name ? name : "", base ? base : "");
    for (size_t i = 0; i < s.len; i++) s.p[i] = (char)tolower((unsigned char)s.p[i]);
    mem_free(name);
    mem_free(base);
    return s.p;
}

/* The key that overrules; a name that is unknown here is worth a warning and no more. */
static bool named_by_file(const struct gguf *g, struct detection *d)
{
    char *name = meta_text(g, "tenon.dialect");
    const struct dialect *row = dialect_find(name);
    if (name && !row) log_line(LOG_WARN, "dialect_unknown file=%s tenon.dialect=%.60s", gguf_name(g), name);
    mem_free(name);
    if (!row) return false;
    d->dialect = row;
    snprintf(d->why, sizeof d->why, "the key tenon.dialect says so");
    return true;
}

static void fall_back(const struct clues *c, struct detection *d)
{
    size_t n = 0;
    while (dialect_at(n + 1)) n++;
    d->dialect = dialect_at(n);
    d->guessed = true;
    snprintf(d->why, sizeof d->why, "%s, no special tokens of a known family: calls are asked for as a JSON list",
             c->text ? "the chat template is of no known family" : "no chat template");
}

void dialect_explain(const struct gguf *g, const struct tokenizer *t, struct detection *d)
{
    *d = (struct detection){ 0 };
    if (named_by_file(g, d)) return;
    struct clues c = { .t = t, .name = model_name(g) };
    /* Files with several templates keep the one for tools beside the plain one. */
    c.text = meta_text(g, "tokenizer.chat_template.tool_use");
    if (!c.text) c.text = meta_text(g, "tokenizer.chat_template");
    weigh(&c, d);
    if (!d->dialect) fall_back(&c, d);
    mem_free(c.text);
    mem_free(c.name);
}

void dialect_of_template(const char *text, struct detection *d)
{
    struct clues c = { .text = (char *)(uintptr_t)text };
    *d = (struct detection){ 0 };
    weigh(&c, d);
    if (!d->dialect) fall_back(&c, d);
}

const struct dialect *dialect_detect(const struct gguf *g, const struct tokenizer *t)
{
    struct detection d;
    dialect_explain(g, t, &d);
    if (d.guessed)
        log_line(LOG_WARN, "dialect_guessed file=%s dialect=%s why=\"%s\" other=--dialect", g ? gguf_name(g) : "none",
                 d.dialect->name, d.why);
    return d.dialect;
}

/* ---- dialect and template of a file ----------------------------------------------------------- */

static bool unknown_dialect(const char *name, struct err *e)
{
    struct str list = { 0 };
    for (size_t i = 0; dialect_at(i); i++) str_fmt(&list, "%s%s", i ? ", " : "", dialect_at(i)->name);
    err_set(e, ERR_ARG, "dialect '%.40s' is unknown; there are %s", name, list.p);
    str_done(&list);
    return false;
}

/* The file's template, unless another dialect than the one it was made for was asked for. */
static bool open_template(const struct gguf *g, const struct tokenizer *t, const struct dialect *d, bool asked,
                          struct jinja **out, struct err *e)
{
    struct bytes text;
    struct detection found;
    if (!gguf_has(g, "tokenizer.chat_template")) return true;
    if (asked) dialect_explain(g, t, &found);
    if (asked && found.dialect != d) return true;
    if (!gguf_str(g, "tokenizer.chat_template", &text, e)) return false;
    *out = jinja_open(text.p, text.len, "chat template", e);
    return *out || err_in(e, "%s", gguf_name(g));
}

bool dialect_open(const struct gguf *g, const struct tokenizer *t, const char *name, const struct dialect **d,
                  struct jinja **out, struct err *e)
{
    *out = NULL;
    *d = name ? dialect_find(name) : dialect_detect(g, t);
    if (!*d) return unknown_dialect(name, e);
    return open_template(g, t, *d, name != NULL, out, e);
}
