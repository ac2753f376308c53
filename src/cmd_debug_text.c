/* cmd_debug_text.c -- tenon debug tokenize, render, parse: the text room by itself, for tests and
 * for people who want to see what a model is given and how its answer is read. */
#include "front.h"
#include "gen/gen.h"
#include "text/text.h"

static void print_line(const struct json *v)
{
    struct str s = { 0 };
    json_write(&s, v, JSON_COMPACT);
    str_putc(&s, '\n');
    fwrite(s.p, 1, s.len, stdout);
    str_done(&s);
}

static const struct dialect *find_dialect(const char *name, struct err *e)
{
    const struct dialect *d = dialect_find(name);
    struct str list = { 0 };
    if (d) return d;
    for (size_t i = 0; dialect_at(i); i++) str_fmt(&list, "%s%s", i ? ", " : "", dialect_at(i)->name);
    err_set(e, ERR_ARG, "dialect \"%.60s\" is not known; there are %s", name, list.p);
    str_done(&list);
    return NULL;
}

/* ---- tokenize -------------------------------------------------------------------------------- */

struct tokenize_opts { struct model_opts m; bool no_special; };

static void print_ids(const struct ids *ids)
{
    putchar('[');
    for (size_t i = 0; i < ids->n; i++) printf("%s%d", i ? "," : "", (int)ids->id[i]);
    puts("]");
}

/* One JSON string; bytes that are not UTF-8 become U+FFFD. */
static void print_string(const struct str *text)
{
    struct str s = { 0 };
    if (text->len) str_put_utf8(&s, text->p, text->len);
    struct json *v = json_new_strn(s.p ? s.p : "", s.len);
    print_line(v);
    json_free(v);
    str_done(&s);
}

static bool print_text(const struct tokenizer *t, const struct json *list, struct err *e)
{
    struct ids ids = { 0 };
    struct str text = { 0 };
    bool ok = true;
    for (size_t i = 0; ok && i < json_len(list); i++) {
        int64_t id = -1;
        ok = (json_i64(json_at(list, i), &id) && id >= 0 && id < tok_n_vocab(t)) ||
             err_set(e, ERR_ARG, "element %zu is no id of this vocabulary, 0 to %d", i,
                     tok_n_vocab(t) - 1);
        ids_put(&ids, (int32_t)id);
    }
    if (ok) {
        tok_decode(t, ids.id, ids.n, &text);
        print_string(&text);
    }
    str_done(&text);
    mem_free(ids.id);
    return ok;
}

static bool tokenize_line(const struct tokenizer *t, const char *line, size_t len, unsigned flags,
                          struct err *e)
{
    struct ids ids = { 0 };
    size_t n = 0;
    struct json *v = json_parse(line, len, e);
    const char *s = json_str(v, &n);
    bool ok = v != NULL;
    if (ok && json_is(v, JSON_ARRAY)) ok = print_text(t, v, e);
    else if (ok && !s)
        ok = err_set(e, ERR_ARG, "is %s; a JSON string or an array of ids is accepted",
                     json_type_name(json_type(v)));
    else if (ok && (ok = tok_encode(t, s, n, flags, &ids, e))) print_ids(&ids);
    mem_free(ids.id);
    json_free(v);
    return ok;
}

static bool tokenize_lines(const struct tokenizer *t, const struct str *in, unsigned flags,
                           struct err *e)
{
    const char *p = in->p, *end = p + in->len;
    for (size_t n = 1; p && p < end; n++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        if (!tokenize_line(t, p, (size_t)(stop - p), flags, e)) return err_in(e, "line %zu", n);
        p = stop + 1;
    }
    return true;
}

static int run_tokenize(const void *opts, int n_arg, char **arg)
{
    const struct tokenize_opts *o = opts;
    struct err e = { 0 };
    struct str in = { 0 };
    struct tokenizer *t = NULL;
    struct gguf *g = front_gguf(o->m.model, &e);
    bool ok = g && (t = tok_open(g, &e)) && file_read("-", &in, &e) &&
              tokenize_lines(t, &in, o->no_special ? 0 : TOK_ADD | TOK_SPECIAL, &e);
    tok_close(t);
    gguf_close(g);
    str_done(&in);
    return ok ? 0 : front_fail("debug tokenize", &e);
}

static const struct opt tokenize_table[] = {
    { "Model", 'm', "model", "FILE", OPT_STR, offsetof(struct tokenize_opts, m.model), "GGUF file, vocabulary-only is enough (default: the embedded model)" },
    { "Text", 0, "no-special", NULL, OPT_FLAG, offsetof(struct tokenize_opts, no_special), "no bos/eos; text of control tokens is plain text (default: off)" },
};
const struct command cmd_debug_tokenize = {
    .verb = "debug tokenize",
    .args = "< lines",
    .sentence = "A JSON string per line of stdin becomes a JSON array of token ids, an array its text.",
    .example = "echo '\"Hello\"' | tenon debug tokenize --no-special",
    .opt = tokenize_table,
    .n_opt = LEN(tokenize_table),
    .defaults = &(struct tokenize_opts){.no_special = false},
    .opts_bytes = sizeof(struct tokenize_opts),
    .min_arg = 0,
    .max_arg = 0,
    .run = run_tokenize,
};

/* ---- render ---------------------------------------------------------------------------------- */

struct render_opts { struct model_opts m; const char *template; bool lines; };

/* The members of the request that are template variables: all that render itself does not read. */
static struct json *variables(const struct json *body)
{
    static const char *const known[] = { "messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "tool_choice", "template_text" };
    struct json *v = json_copy(body);
    for (size_t i = 0; i < LEN(known); i++) json_unset(v, known[i]);
    return v;
}

static bool read_body(const struct json *body, struct dialect_request *r, struct err *e)
{
    const struct json *bos = json_get(body, "bos_token"), *eos = json_get(body, "eos_token"),
                      *add = json_get(body, "add_generation_prompt");
    if (!json_is(body, JSON_OBJECT)) return err_set(e, ERR_ARG, "the request is no JSON object");
    if (bos && !json_is(bos, JSON_STRING) && !json_is(bos, JSON_NULL))
        return err_set(e, ERR_ARG, "bos_token: is no string");
    if (eos && !json_is(eos, JSON_STRING) && !json_is(eos, JSON_NULL))
        return err_set(e, ERR_ARG, "eos_token: is no string");
    if (add && !json_is(add, JSON_BOOL))
        return err_set(e, ERR_ARG, "add_generation_prompt: is neither true nor false");
    r->messages = json_get(body, "messages");
    r->tools = json_get(body, "tools");
    r->add_generation_prompt = add ? json_bool(add) : true;
    if (json_is(bos, JSON_STRING)) r->bos_token = json_str(bos, NULL);
    if (json_is(eos, JSON_STRING)) r->eos_token = json_str(eos, NULL);
    return true;
}

/* ---- what a tool choice forces ---- */

/* auto, none, required, or the name in an object or alone; without tools there is nothing but text. */
static bool forced_choice(const struct json *v, const struct json *tools, enum tool_choice *choice, const char **name,
                        struct err *e)
{
    static const char *const words[] = { "auto", "none", "required" };         /* in order of the enum */
    const struct json *f = json_get(v, "function");
    if (!json_len(tools) || !v || json_is(v, JSON_NULL)) {
        *choice = json_len(tools) ? CHOICE_AUTO : CHOICE_NONE;
        return true;
    }
    for (size_t i = 0; i < LEN(words); i++)
        if (json_str_is(v, words[i])) {
            *choice = (enum tool_choice)i;
            return true;
        }
    *choice = CHOICE_NAMED;
    *name = json_str(json_is(v, JSON_STRING) ? v : json_get(f ? f : v, "name"), NULL);
    for (size_t i = 0; *name && i < json_len(tools); i++)
        if (json_str_is(json_get(tool_function(json_at(tools, i)), "name"), *name)) return true;
    return err_set(e, ERR_ARG, "tool_choice: no tool is called '%.60s'; auto, none, required or a tool is accepted",
                   *name ? *name : "");
}

static bool put_prefix(const struct dialect *d, const struct json *body, struct prompt *out, struct err *e)
{
    enum tool_choice choice;
    const char *name = NULL;
    const struct json *wanted = json_get(body, "tool_choice"), *add = json_get(body, "add_generation_prompt");
    if (!wanted || (add && !json_bool(add)) || !d || !d->prefix) return true;
    if (!forced_choice(wanted, json_get(body, "tools"), &choice, &name, e)) return false;
    d->prefix(choice, name, out);
    return true;
}

/* ---- rendering ---- */

/* A template of our own by name, or a file: as it stands, nothing prepared. */
static bool render_template(const struct render_opts *o, const struct dialect_request *r, const struct json *body,
                            struct prompt *out, struct err *e)
{
    struct str text = { 0 };
    struct jinja *file = NULL;
    struct detection d = { .dialect = o->m.dialect ? find_dialect(o->m.dialect, e) : NULL };
    if (o->m.dialect && !d.dialect) return false;
    bool own = !file_exists(o->template), ok = own || file_read(o->template, &text, e);
    if (ok && !own) ok = (file = jinja_open(text.p ? text.p : "", text.len, o->template, e)) != NULL;
    const struct jinja *j = own && ok ? template_own(o->template, e) : file;
    if (j && !d.dialect) dialect_of_template(jinja_source(j), &d);
    ok = ok && j && template_render(j, r, out, e) && put_prefix(d.dialect, body, out, e);
    jinja_close(file);
    str_done(&text);
    return ok;
}

static char *text_of(struct bytes b)
{
    char *s = mem_zero(b.len + 1);
    if (b.len) memcpy(s, b.p, b.len);
    return s;
}

/* As a request to this model would be rendered. */
static bool render_model(const struct render_opts *o, struct dialect_request *r, const struct json *body,
                         struct prompt *out, struct err *e)
{
    struct tokenizer *t = NULL;
    struct jinja *j = NULL;
    const struct dialect *d = NULL;
    char *bos = NULL, *eos = NULL;
    struct gguf *g = front_gguf(o->m.model, e);
    bool ok = g && (t = tok_open(g, e)) && dialect_open(g, t, o->m.dialect, &d, &j, e);
    if (ok) {
        bos = text_of(tok_bos(t) < 0 ? (struct bytes){ 0 } : tok_text(t, tok_bos(t)));
        eos = text_of(tok_eos(t) < 0 ? (struct bytes){ 0 } : tok_text(t, tok_eos(t)));
        if (!r->bos_token) r->bos_token = bos;
        if (!r->eos_token) r->eos_token = eos;
        r->template = j;
    }
    ok = ok && dialect_render(d, r, out, e) && put_prefix(d, body, out, e);
    mem_free(bos);
    mem_free(eos);
    jinja_close(j);
    tok_close(t);
    gguf_close(g);
    return ok;
}

/* The template that the request itself carries. */
static bool render_text(const struct json *text, const struct dialect_request *r, struct prompt *out, struct err *e)
{
    size_t len = 0;
    const char *s = json_str(text, &len);
    struct jinja *j = s ? jinja_open(s, len, "template_text", e) : NULL;
    if (!s) err_set(e, ERR_ARG, "template_text: is no string");
    bool ok = j && template_render(j, r, out, e);
    jinja_close(j);
    return ok;
}

static bool render_body(const struct render_opts *o, const struct json *body, struct prompt *out, struct err *e)
{
    struct dialect_request r = { 0 };
    const struct json *text = json_get(body, "template_text");
    if (!read_body(body, &r, e)) return false;
    struct json *vars = variables(body);
    r.vars = vars;
    if ((o->template || text) && !r.bos_token) r.bos_token = "";
    bool ok = text          ? render_text(text, &r, out, e)
              : o->template ? render_template(o, &r, body, out, e)
                            : render_model(o, &r, body, out, e);
    json_free(vars);
    return ok;
}

/* A line of stdin; its answer is a line too, the prompt as a string or what was wrong with it. */
static void render_line(const struct render_opts *o, const char *line, size_t len)
{
    struct err e = { 0 };
    struct prompt p = { 0 };
    struct json *body = json_parse(line, len, &e);
    if (body && render_body(o, body, &p, &e)) {
        print_string(&p.text);
    } else {
        struct json *v = json_new_object();
        json_set(v, "error", json_new_str(e.msg));
        print_line(v);
        json_free(v);
    }
    prompt_done(&p);
    json_free(body);
}

static bool render_lines(const struct render_opts *o, struct err *e)
{
    struct str in = { 0 };
    if (!file_read("-", &in, e)) return false;
    for (const char *p = in.p, *end = in.p + in.len; p && p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        render_line(o, p, (size_t)(stop - p));
        p = stop + 1;
    }
    str_done(&in);
    return true;
}

static int run_render(const void *opts, int n_arg, char **arg)
{
    const struct render_opts *o = opts;
    struct err e = { 0 };
    struct prompt p = { 0 };
    if (o->lines) return render_lines(o, &e) ? 0 : front_fail("debug render", &e);
    struct json *body = json_read("-", &e);
    bool ok = body && render_body(o, body, &p, &e);
    if (ok) fwrite(p.text.p, 1, p.text.len, stdout);
    prompt_done(&p);
    json_free(body);
    return ok ? 0 : front_fail("debug render", &e);
}

static const struct opt render_table[] = {
    { "Model", 'm', "model", "FILE", OPT_STR, offsetof(struct render_opts, m.model), "render as a request to this model (default: the embedded model)" },
    { "Model", 0, "dialect", "NAME", OPT_STR, offsetof(struct render_opts, m.dialect), "how calls are written (default: found in the model file)" },
    { "Template", 0, "template", "NAME", OPT_STR, offsetof(struct render_opts, template), "the bare template instead: the name of one of ours, or a Jinja file (default: off)" },
    { "Request", 0, "lines", NULL, OPT_FLAG, offsetof(struct render_opts, lines), "a request a line, a JSON string or {\"error\"} a line out; its member template_text is a template (default: one request)" },
};
const struct command cmd_debug_render = {
    .verb = "debug render",
    .args = "< request.json",
    .sentence = "Prints the prompt that a request becomes, byte for byte.",
    .example = "echo '{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}' | tenon debug "
               "render --template lfm2",
    .opt = render_table,
    .n_opt = LEN(render_table),
    .defaults = &(struct render_opts){.template = NULL},
    .opts_bytes = sizeof(struct render_opts),
    .min_arg = 0,
    .max_arg = 0,
    .run = run_render,
};

/* ---- parse ----------------------------------------------------------------------------------- */

struct parse_opts { const char *dialect, *tools, *choice; int64_t stream; bool cut; };

/* Parse events become generation events, and those a message or chunks. */
struct reader { struct message message; bool chunks; int n_done; char id[24]; char *name; };

static void print_chunk(const struct event *ev, struct json *delta)
{
    struct json *o = json_new_object(), *list = json_new_array(), *c = json_new_object();
    json_set(c, "index", json_new_int(0));
    json_set(c, "delta", delta);
    json_set(c, "finish_reason", json_new_null());
    if (ev && ev->kind == EV_FINISH)
        json_set(c, "finish_reason",
                 json_new_str(ev->reason == FINISH_LENGTH       ? "length"
                              : ev->reason == FINISH_TOOL_CALLS ? "tool_calls"
                                                                : "stop"));
    json_push(list, c);
    json_set(o, "object", json_new_str("chat.completion.chunk"));
    json_set(o, "choices", list);
    print_line(o);
    json_free(o);
}

static void take_event(struct reader *r, const struct event *ev)
{
    message_event(&r->message, ev);
    struct json *delta = r->chunks ? event_delta(ev) : NULL;
    if (delta) print_chunk(ev, delta);
}

static void on_parse(void *ctx, const struct parse_event *p)
{
    static const enum event_kind kind[] = {[PARSE_REASONING] = EV_REASONING,
                                           [PARSE_TEXT] = EV_TEXT,
                                           [PARSE_CALL_BEGIN] = EV_CALL_BEGIN,
                                           [PARSE_CALL_ARGS] = EV_CALL_ARGS,
                                           [PARSE_CALL_END] = EV_CALL_END};
    struct reader *r = ctx;
    struct event ev = { .kind = kind[p->kind], .bytes = { p->bytes, p->len }, .index = p->index, .schema_ok = true };
    if (p->kind == PARSE_CALL_BEGIN) {
        snprintf(r->id, sizeof r->id, "call_%d", p->index + 1);
        mem_free(r->name);
        r->name = text_of((struct bytes){ p->bytes, p->len });
    }
    r->n_done += p->kind == PARSE_CALL_END;
    ev.id = r->id;
    ev.name = r->name;
    take_event(r, &ev);
}

static void print_role(void)
{
    struct json *delta = json_new_object();
    json_set(delta, "role", json_new_str("assistant"));
    json_set(delta, "content", json_new_null());
    print_chunk(NULL, delta);
}

/* What the choice forced stood before the output and is read with it. */
static void feed_prefix(struct wire *w, const struct dialect *d, const struct turn *t)
{
    struct prompt p = { 0 };
    if (d->prefix) d->prefix(t->choice, t->name, &p);
    wire_feed(w, p.text.p ? p.text.p : "", p.text.len, false);
    prompt_done(&p);
}

static void read_output(struct reader *r, const struct parse_opts *o, const struct dialect *d,
                        const struct turn *t, const struct str *in)
{
    struct wire w;
    struct err e = { 0 };
    size_t step = o->stream > 0 ? (size_t)o->stream : MAX(in->len, 1);
    if (r->chunks) print_role();
    wire_open(&w, d, t, on_parse, r);
    feed_prefix(&w, d, t);
    for (size_t i = 0; i < in->len; i += step) wire_feed(&w, in->p + i, MIN(step, in->len - i), false);
    if (!wire_close(&w, o->cut, &e)) fprintf(stderr, "tenon debug parse: %s\n", e.msg);
    take_event(r, &(struct event){.kind = EV_FINISH,
                                  .reason = o->cut      ? FINISH_LENGTH
                                            : r->n_done ? FINISH_TOOL_CALLS
                                                        : FINISH_STOP});
    if (r->chunks) return;
    struct json *m = message_json(&r->message);
    print_line(m);
    json_free(m);
}

/* auto, none, required or the name of a tool that is there. */
static bool read_choice(const char *choice, const struct json *tools, struct turn *t, struct err *e)
{
    static const struct { const char *word; enum tool_choice choice; } words[] = {
        { "auto", CHOICE_AUTO }, { "none", CHOICE_NONE }, { "required", CHOICE_REQUIRED } };
    t->tools = tools;
    for (size_t i = 0; i < LEN(words); i++)
        if (!choice || !strcmp(choice, words[i].word)) return t->choice = words[i].choice, true;
    t->choice = CHOICE_NAMED;
    t->name = choice;
    for (size_t i = 0; i < json_len(tools); i++) {
        const char *name = tool_name(json_at(tools, i));
        if (name && !strcmp(name, choice)) return true;
    }
    return err_set(e, ERR_ARG,
                   "--tool-choice %.80s: not among the tools; auto, none, required or a tool's "
                   "name is accepted",
                   choice);
}

static int run_parse(const void *opts, int n_arg, char **arg)
{
    const struct parse_opts *o = opts;
    struct err e = { 0 };
    struct str in = { 0 };
    struct json *tools = NULL;
    struct reader r = { .chunks = o->stream > 0 };
    struct turn t = { 0 };
    const struct dialect *d = find_dialect(o->dialect, &e);
    bool ok = d && (!o->tools || (tools = tools_read(o->tools, &e))) &&
              read_choice(o->choice, tools, &t, &e) && file_read("-", &in, &e);
    if (ok) read_output(&r, o, d, &t, &in);
    message_done(&r.message);
    mem_free(r.name);
    json_free(tools);
    str_done(&in);
    return ok ? 0 : front_fail("debug parse", &e);
}

static const struct opt parse_table[] = {
    { "Output", 0, "dialect", "NAME", OPT_STR, offsetof(struct parse_opts, dialect), "how calls are written (default: lfm2-json)" },
    { "Output", 0, "tools", "FILE", OPT_STR, offsetof(struct parse_opts, tools), "the tools of the request (default: none)" },
    { "Output", 0, "tool-choice", "C", OPT_STR, offsetof(struct parse_opts, choice), "auto, none, required or a tool's name (default: auto)" },
    { "Output", 0, "cut", NULL, OPT_FLAG, offsetof(struct parse_opts, cut), "the output ended by a limit, finish_reason length (default: by the model)" },
    { "Output", 0, "stream", "N", OPT_INT, offsetof(struct parse_opts, stream), "cut the output into pieces of N bytes and print chunks (default: 0, the message)" },
};
const struct command cmd_debug_parse = {
    .verb = "debug parse",
    .args = "< output",
    .sentence = "Reads what a model wrote and prints the OpenAI message.",
    .example =
        "echo '<|tool_call_start|>[f(a=1)]<|tool_call_end|>' | tenon debug parse --dialect lfm2",
    .opt = parse_table,
    .n_opt = LEN(parse_table),
    .defaults = &(struct parse_opts){.dialect = "lfm2-json"},
    .opts_bytes = sizeof(struct parse_opts),
    .min_arg = 0,
    .max_arg = 0,
    .run = run_parse,
};
