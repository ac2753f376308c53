/* cmd_debug_grammar.c -- `tenon debug grammar`: which texts a schema accepts, said by the recogniser that
 * generation uses.
 *
 * One JSON text per line of stdin, itself written as a JSON string; one line of verdict each. With
 * --vocab the text is cut into tokens and every token must be in the mask, so that a disagreement
 * between masks and bytes shows as a rejection. */
#include <stdlib.h>

#include "front.h"
#include "gen/gen.h"
#include "grammar/grammar.h"
#include "text/text.h"

struct grammar_cmd { const char *schema, *mode, *draft, *formats, *remotes, *vocab; };
static const struct grammar_cmd defaults = { .mode = "generate", .formats = "assert" };
static const struct opt opts[] = {
    { "Schema", 0, "schema", "S.json", OPT_STR, offsetof(struct grammar_cmd, schema),
      "the JSON Schema (required)" },
    { "Schema", 0, "draft", "NAME", OPT_STR, offsetof(struct grammar_cmd, draft),
      "draft4, draft6, draft7, draft2019-09 or draft2020-12 (default: $schema, else "
      "draft2020-12)" },
    { "Schema", 0, "formats", "WHAT", OPT_STR, offsetof(struct grammar_cmd, formats),
      "assert or annotate (default: assert)" },
    { "Schema", 0, "remotes", "DIR", OPT_STR, offsetof(struct grammar_cmd, remotes),
      "folder that answers for http://localhost:1234/ (default: none)" },
    { "Reading", 0, "mode", "MODE", OPT_STR, offsetof(struct grammar_cmd, mode),
      "generate: what may be written; validate: every spelling of a value (default: generate)" },
    { "Reading", 0, "vocab", "V.gguf", OPT_STR, offsetof(struct grammar_cmd, vocab),
      "cut into the tokens of this file and ask the masks (default: bytes)" },
};

struct session {
    const struct grammar *g;
    struct gguf *file;
    struct tokenizer *tok;
    struct vocab *vocab;
    uint32_t *bits;
};

static bool choices(const struct grammar_cmd *o, struct grammar_opts *g, struct err *e)
{
    if (!o->schema) return err_set(e, ERR_USAGE, "--schema FILE is required");
    g->validate = !strcmp(o->mode, "validate");
    if (!g->validate && strcmp(o->mode, "generate"))
        return err_set(e, ERR_USAGE, "--mode %.40s: accepted are generate and validate", o->mode);
    g->annotate_formats = !strcmp(o->formats, "annotate");
    if (!g->annotate_formats && strcmp(o->formats, "assert"))
        return err_set(e, ERR_USAGE, "--formats %.40s: accepted are assert and annotate",
                       o->formats);
    g->draft = o->draft;
    g->remotes = o->remotes;
    return true;
}

/* Feeds tokens; each must be in the mask and accepted. *off: where it stopped. */
static bool feed_tokens(const struct session *s, struct matcher *m, const char *p, size_t len,
                        size_t *off)
{
    struct ids ids = { 0 };
    bool ok = tok_encode(s->tok, p, len, TOK_INSIDE, &ids, NULL);
    for (size_t i = 0; i < ids.n && ok; i++) {
        int32_t t = ids.id[i];
        matcher_mask(m, s->bits);
        ok = (s->bits[t / 32] >> (t % 32) & 1) && matcher_commit(m, t);
        if (ok) *off += tok_bytes(s->tok, t).len;
    }
    mem_free(ids.id);
    return ok;
}

static void judge(const struct session *s, const char *p, size_t len)
{
    struct err e = { 0 };
    struct matcher *m = matcher_new(s->g, s->vocab, &e);
    size_t off = 0;
    if (!m) printf("reject: %s\n", e.msg);
    else if (!(s->vocab ? feed_tokens(s, m, p, len, &off) : matcher_commit_bytes(m, p, len))) {
        if (*matcher_why(m)) printf("reject: %s\n", matcher_why(m));
        else printf("reject: byte %zu: the token there is not in the mask\n", off);
    } else if (!matcher_accepting(m)) printf("reject: byte %zu: the text ends too early\n", len);
    else puts("accept");
    matcher_free(m);
}

static void read_lines(const struct session *s)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) >= 0) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
        struct err e = { 0 };
        struct json *v = json_parse(line, (size_t)n, &e);
        size_t len;
        const char *text = json_str(v, &len);
        if (text) judge(s, text, len);
        else printf("reject: the line is not a JSON string: %s\n", v ? "another type" : e.msg);
        json_free(v);
    }
    free(line);
}

static bool open_vocab(struct session *s, const char *path, struct err *e)
{
    s->file = front_gguf(path, e);
    s->tok = s->file ? tok_open(s->file, e) : NULL;
    s->vocab = s->tok ? vocab_of_tokenizer(s->tok, dialect_detect(s->file, s->tok), e) : NULL;
    if (s->vocab) s->bits = mem_zero(MASK_WORDS(tok_n_vocab(s->tok)) * sizeof *s->bits);
    return s->vocab != NULL;
}

static int run(const void *opts_, int n_arg, char **arg)
{
    (void)n_arg, (void)arg;
    const struct grammar_cmd *o = opts_;
    struct grammar_opts go = { 0 };
    struct session s = { 0 };
    struct err e = { 0 };
    struct json *schema = NULL;
    struct grammar *g = NULL;
    bool ok = choices(o, &go, &e) && (!o->vocab || open_vocab(&s, o->vocab, &e)) &&
              (schema = json_read(o->schema, &e)) && (s.g = g = grammar_of_schema(schema, &go, &e));
    if (ok) read_lines(&s);
    grammar_free(g);
    json_free(schema);
    vocab_close(s.vocab);
    tok_close(s.tok);
    gguf_close(s.file);
    mem_free(s.bits);
    return ok ? 0 : front_fail("debug grammar", &e);
}

const struct command cmd_debug_grammar = {
    .verb = "debug grammar",
    .args = "",
    .sentence = "Which JSON texts a schema accepts, decided by the automaton of generation",
    .example = "echo '\"{\\\"a\\\": 1}\"' | tenon debug grammar --schema S.json --mode validate",
    .opt = opts,
    .n_opt = LEN(opts),
    .defaults = &defaults,
    .opts_bytes = sizeof(struct grammar_cmd),
    .run = run,
};
