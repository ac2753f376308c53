/* seq.c -- one request from its grammar to its last event: forced runs, masks, the token budget.
 *
 * What the language forces is never sampled: a forced run is committed at once and reaches the
 * model as one batch with the next token that needs logits. Where there is a choice, the best token
 * is tried against the matcher first; only if it is refused (or the request samples) is a mask
 * computed. Tokens that are all but forced, and after them what the request makes likely (draft.c), are
 * drafts: they go along with that batch, so that their logits are there if they are chosen. Nothing else
 * depends on them: the token is chosen as it would be without, sampled ones too, since what is drawn depends
 * on the place alone. How many are made follows how many were chosen.
 *
 * The budget: before a token is taken it is known that the output can still be finished within what
 * is left, so a limit shortens an answer but never breaks a call. The end-of-turn token need not be
 * generated when the limit stops the answer, therefore the matcher is asked with one token more.
 * `limited` remembers that the limit changed the answer: a token that would have been taken was
 * excluded, or the answer might have gone on.
 *
 * Without a grammar (unconstrained: what a model says by itself, to be measured) there is no matcher, and
 * nothing is forced, masked or promised.
 *
 * A sequence never calls the model. It says what it waits for (seq_next) and is handed the logits, so that
 * whoever runs many of them can compute for all at once (loop.c). */
#include <ctype.h>
#include <math.h>

#include "gen/seq_int.h"

#define FORCED_MOST 256
/* Drafts are paid for: a token computed ahead costs a fifth of a pass or less (rows of one pass share its weights), one that
 * is chosen saves a pass. So many are given at first, which is what a request can lose. */
#define DRAFT_CREDIT 4
#define DRAFT_WORTH 4
#define DRAFT_AGAIN 16  /* tokens after which one more is given to who has none left */
#define DRAFT_PIECES 24 /* guesses in a row */

/* ---- what is refused before the first token -------------------------------------------------- */

static bool is_offered(const struct request *r, size_t i)
{
    const char *name = tool_name(json_at(r->tools, i));
    if (!name || r->choice == CHOICE_NONE) return false;
    if (r->choice == CHOICE_NAMED) return !strcmp(name, r->choice_name);
    return !r->allowed || r->allowed[i];
}

static void list_tools(struct seq *s)
{
    const struct request *r = s->o.r;
    s->tool = mem_zero((json_len(r->tools) + 1) * sizeof *s->tool);
    for (size_t i = 0; i < json_len(r->tools); i++) {
        if (!is_offered(r, i)) continue;
        const struct json *f = tool_function(json_at(r->tools, i));
        if (!f && s->o.voice.dialect->raw_code) s->turn.code = true;
        if (!f && s->o.voice.dialect->raw_code) continue;
        struct json *open = tool_schema(json_at(r->tools, i));
        s->tool[s->n_tool++] = (struct call_tool){
            .name = tool_name(json_at(r->tools, i)),
            .description = json_get(f, "description"),
            .schema = schema_closed(open), /* a model that invents arguments is guessing */
            .is_strict = r->strict || json_bool(json_get(f, "strict"))};
        json_free(open);
    }
}

static void fill_turn(struct seq *s)
{
    const struct request *r = s->o.r;
    s->turn.tools = r->tools;
    s->turn.choice = s->n_tool || s->turn.code ? r->choice : CHOICE_NONE;
    s->turn.name = r->choice_name;
    s->turn.tok = s->o.voice.tok;
    s->turn.parallel = r->parallel;
    s->turn.n_pair = s->n_tool;
}

static void fill_opts(const struct seq *s, struct grammar_opts *g)
{
    const struct request *r = s->o.r;
    const struct dialect *d = s->o.voice.dialect;
    bool fixed = d->spelling && !strcmp(d->spelling, "fixed");
    *g = (struct grammar_opts){.spelling = fixed ? SPELL_FIXED : SPELL_LOCK,
                               .item_sep = d->item_sep,
                               .key_sep = d->key_sep,
                               .declared_order = d->declared_order,
                               .relax = true};
    if (r->spelling >= 0) g->spelling = (enum spelling)r->spelling;
    if (r->declared_order >= 0) g->declared_order = r->declared_order;
}

/* The schema of response_format, NULL without one; json_object: any object. */
static const struct json *answer_schema(struct seq *s)
{
    const struct format *f = &s->o.r->format;
    if (f->kind == FORMAT_OBJECT && !s->any_object)
        s->any_object = json_parse("{\"type\":\"object\"}", 17, NULL);
    return f->kind == FORMAT_OBJECT ? s->any_object : f->schema;
}

static bool format_is_strict(const struct request *r) { return r->strict || r->format.strict; }

/* response_format as a piece of an envelope, its schema the one with number 0. */
static void format_piece(const struct format *f, struct str *out)
{
    if (!f->text) {
        str_puts(out, "schema(0, json)");
        return;
    }
    str_puts(out, f->kind == FORMAT_REGEX  ? "regex(\""
                  : f->kind == FORMAT_GBNF ? "gbnf(\""
                                           : "envelope(\"");
    for (const char *p = f->text; *p; p++) {
        if (*p == '"' || *p == '\\') str_putc(out, '\\');
        str_putc(out, *p);
    }
    str_puts(out, "\")");
}

/* The envelope of the turn. Where text has a format, the turn is either calls or that. */
static void make_envelope(struct seq *s, bool formatted, struct str *out)
{
    struct str piece = { 0 };
    if (formatted) format_piece(&s->o.r->format, &piece);
    s->turn.text = formatted ? piece.p : NULL;
    s->o.voice.dialect->grammar(&s->turn, out);
    s->turn.text = NULL;
    str_done(&piece);
}

/* The whole answer is what response_format says. */
static bool compile_format(struct seq *s, struct grammar_opts *g, struct err *e)
{
    const struct request *r = s->o.r;
    if (r->spelling < 0) g->spelling = SPELL_FLEXIBLE;
    if (r->declared_order < 0) g->declared_order = false;
    g->relax = !format_is_strict(r);
    const struct json *value = answer_schema(s);
    struct str envelope = { 0 };
    make_envelope(s, true, &envelope);
    s->grammar = grammars_take(s->o.grammars, &(struct grammar_source){ envelope.p, NULL, 0, value, *g }, e);
    str_done(&envelope);
    if (!s->grammar) return err_in(e, "response_format");
    for (size_t i = 0; i < grammar_n_relaxed(s->grammar); i++)
        log_line(LOG_INFO, "relaxed what=\"response_format: %s\"", grammar_relaxed(s->grammar, i));
    return true;
}

/* A keyword that was relaxed although its tool, or response_format, is strict. Entries begin with "tool NAME:". */
static bool refuse_relaxed(const struct seq *s, struct err *e)
{
    for (size_t i = 0; i < grammar_n_relaxed(s->grammar); i++) {
        const char *what = grammar_relaxed(s->grammar, i);
        if (strncmp(what, "tool ", 5) && format_is_strict(s->o.r))
            return err_set(
                e, ERR_UNSUPPORTED,
                "response_format: %s: this keyword cannot be enforced while the answer is written",
                what);
        for (int t = 0; t < s->n_tool; t++) {
            size_t n = strlen(s->tool[t].name);
            bool mine = !strncmp(what, "tool ", 5) && !strncmp(what + 5, s->tool[t].name, n) &&
                        what[5 + n] == ':';
            if (mine && s->tool[t].is_strict)
                return err_set(e, ERR_UNSUPPORTED,
                               "%s: this keyword cannot be enforced while the call is "
                               "written",
                               what);
        }
        log_line(LOG_INFO, "relaxed what=\"%s\"", what);
    }
    return true;
}

static bool compile_calls(struct seq *s, struct grammar_opts *g, struct err *e)
{
    bool formatted = s->turn.choice == CHOICE_AUTO && s->o.r->format.kind != FORMAT_TEXT;
    const struct json *value = formatted ? answer_schema(s) : NULL;
    struct str envelope = { 0 };
    struct grammar_pair *pair = mem_zero(((size_t)s->n_tool + 1) * sizeof *pair);
    g->relax = value && !format_is_strict(s->o.r);
    for (int i = 0; i < s->n_tool; i++) {
        pair[i] = (struct grammar_pair){ s->tool[i].name, s->tool[i].schema };
        if (!s->tool[i].is_strict) g->relax = true; /* then the strict ones are looked at below */
    }
    make_envelope(s, formatted, &envelope);
    s->grammar = grammars_take(s->o.grammars, &(struct grammar_source){ envelope.p, pair, s->n_tool, value, *g }, e);
    str_done(&envelope);
    mem_free(pair);
    if (!s->grammar && formatted && strncmp(e->msg, "tool ", 5))
        return err_in(e, "response_format");
    return s->grammar && refuse_relaxed(s, e);
}

static bool check_budget(struct seq *s, struct err *e)
{
    int need =
        MAX(1, matcher_shortest(s->matcher) - 1); /* the end of the turn need not be generated */
    if (s->o.budget >= need) return true;
    return err_set(e, ERR_LIMIT,
                   "max_tokens_too_small: the shortest valid answer needs %d tokens, %s %d", need,
                   s->o.budget_why, MAX(0, s->o.budget));
}

static void set_prior(struct seq *s)
{
    s->prior = mem_zero((size_t)s->n_tool * sizeof *s->prior);
    lexical_scores(s->o.r->messages, s->tool, s->n_tool, s->prior);
    for (int i = 0; i < s->n_tool; i++) s->prior[i] *= PRIOR_WEIGHT;
}

/* The grammar of the turn and its matcher. */
static bool compile(struct seq *s, struct err *e)
{
    struct grammar_opts g;
    fill_opts(s, &g);
    bool only_format = s->turn.choice == CHOICE_NONE && s->o.r->format.kind != FORMAT_TEXT;
    if (!(only_format ? compile_format(s, &g, e) : compile_calls(s, &g, e))) return false;
    s->matcher = matcher_new(s->grammar, s->o.voice.vocab, e);
    return s->matcher && check_budget(s, e);
}

struct seq *seq_open(const struct seq_opts *o, struct err *e)
{
    struct seq *s = mem_zero(sizeof *s);
    s->o = *o;
    s->n_vocab = tok_n_vocab(o->voice.tok);
    list_tools(s);
    for (int i = 0; i < o->r->n_bias; i++)
        if (o->r->bias[i].id >= s->n_vocab) {
            err_set(e, ERR_ARG, "logit_bias: there is no token %d; ids below %d are accepted", o->r->bias[i].id, s->n_vocab);
            goto fail;
        }
    fill_turn(s);
    if (o->r->unconstrained) s->o.steer = 0;
    else if (!compile(s, e)) goto fail;
    s->mask = mem_zero(MASK_WORDS(s->n_vocab) * sizeof *s->mask);
    s->full = mem_zero(MASK_WORDS(s->n_vocab) * sizeof *s->full);
    if (o->r->want_share && !o->no_model) s->legal = mem_zero(MASK_WORDS(s->n_vocab) * sizeof *s->legal);
    sampler_init(&s->sampler, s->n_vocab);
    if (!s->n_tool || o->r->sampling.temperature > 0) s->o.steer = 0;
    if (s->o.steer) set_prior(s);
    if (s->n_tool && s->matcher && !o->no_model && !o->r->no_draft) s->drafter = drafter_open(o->r->messages, s->tool, s->n_tool);
    s->credit = DRAFT_CREDIT;
    if (s->o.steer) s->offer = offer_open(o->r->messages);
    s->whole = (struct whole){ .voice = s->o.voice, .n_vocab = s->n_vocab, .stride = s->o.stride };
    if (o->r->want_tokens && o->r->top >= 0 && !o->no_model) s->raw = mem_alloc((size_t)s->n_vocab * sizeof *s->raw);
    return s;
fail:
    seq_close(s);
    return NULL;
}

void seq_close(struct seq *s)
{
    if (!s) return;
    struct err ignored = { 0 };
    if (s->emitting) emit_close(&s->em, true, &ignored);
    for (int i = 0; i < s->n_tool; i++) json_free(s->tool[i].schema);
    mem_free(s->tool);
    json_free(s->any_object);
    matcher_free(s->matcher);
    grammars_give(s->o.grammars, s->grammar);
    sampler_done(&s->sampler);
    mem_free(s->mask);
    mem_free(s->full);
    mem_free(s->legal);
    mem_free(s->pending.id);
    whole_done(&s->whole);
    mem_free(s->raw);
    mem_free(s->run.id);
    mem_free(s->prior);
    offer_close(s->offer);
    mem_free(s->text.id);
    str_done(&s->said);
    drafter_close(s->drafter);
    mem_free(s);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static int left(const struct seq *s) { return s->o.budget - s->used; }

/* After a commit of n tokens: can the rest still be written? */
static bool fits(struct seq *s, int n)
{
    if (!s->matcher) return n <= left(s);
    return n <= left(s) && matcher_shortest(s->matcher) <= left(s) - n + 1;
}

static bool ends_turn(const struct seq *s, int32_t id)
{
    const struct voice *v = &s->o.voice;
    return tok_is_eog(v->tok, id) || (voice_is_special(v, id) && dialect_stops(v->dialect, tok_text(v->tok, id)));
}

static bool finished(const struct seq *s) { return s->matcher ? matcher_finished(s->matcher) : s->ended; }

static void say(const struct seq *s, struct str *said, int32_t id)
{
    struct bytes b = tok_bytes(s->o.voice.tok, id);
    str_put(said, b.p, b.len);
}

/* A committed token goes out, and waits for the model. */
static void take(struct seq *s, int32_t id, enum token_origin origin, const struct odds *odds)
{
    s->used++;
    if (s->used % DRAFT_AGAIN == 0) s->credit = MAX(s->credit, 1);
    s->o.usage.completion_tokens++;
    s->o.usage.forced_tokens += origin == ORIGIN_FORCED;
    s->o.usage.accepted_tokens += origin == ORIGIN_DRAFTED;
    ids_put(&s->pending, id);
    if (!s->matcher) s->ended = ends_turn(s, id);
    emit_token(&s->em, id, origin, odds);
    s->o.usage.reasoning_tokens += s->em.thought;
    if (!s->em.in_call && !voice_is_special(&s->o.voice, id)) ids_put(&s->text, id);
    if ((s->drafter || s->offer) && !voice_is_special(&s->o.voice, id)) say(s, &s->said, id);
    if (s->used == 1) s->o.timing.first_token_ms = (double)(clock_ns() - s->o.start_ns) * 1e-6;
}

/* The same with what the model thought of it: raw are the logits before it. */
static void take_odd(struct seq *s, int32_t id, enum token_origin origin, float share)
{
    struct odds odds = { .share = share };
    sample_odds(s->raw, s->n_vocab, id, s->o.r->top, &odds);
    take(s, id, origin, &odds);
}

/* Tokens that the matcher has taken. Where log-probabilities are wanted they wait for the logits before each. */
static void take_run(struct seq *s, const int32_t *token, int n, enum token_origin origin, const float *lp)
{
    s->run.n = s->run_at = 0;
    s->run_origin = origin;
    for (int i = 0; i < n; i++) {
        if (s->raw) ids_put(&s->run, token[i]);
        else take(s, token[i], origin, lp ? &(struct odds){ .logprob = lp[i], .share = 1 } : NULL);
    }
}

/* The tool that is being called has values that are weighed. */
static bool has_wholes(const struct seq *s)
{
    const struct json *props = s->em.current ? json_get(s->em.current->schema, "properties") : NULL;
    if (s->o.steer & STEER_VALUE) return true;
    if (!(s->o.steer & STEER_MEMBER) || !json_is(props, JSON_OBJECT)) return false;
    for (struct json_iter it = json_iter(props); json_next(&it);)
        if (json_get(it.value, "enum")) return true;
    return false;
}

/* A name is weighed as a whole, with logits at its beginning: no draft may lie there. */
static bool may_draft(const struct seq *s)
{
    return !s->o.no_model && !s->o.r->no_draft && s->pending.n && s->credit > 0 && left(s) > 2 &&
           (s->em.in_call ? !has_wholes(s) : !(s->o.steer & STEER_NAME));
}

/* Adds what the language forces, or all but forces, to the text. */
static void say_forced(const struct seq *s, struct matcher *m, struct str *text)
{
    int32_t run[FORCED_MOST];
    int n_held, n = matcher_forced(m, run, FORCED_MOST, &n_held), i = 0;
    while (i < n + n_held && !voice_is_special(&s->o.voice, run[i]) && matcher_commit(m, run[i])) say(s, text, run[i++]);
}

/* Text that is likely to come next and that the language allows. */
static void guess_text(struct seq *s, struct str *text)
{
    struct matcher *m = matcher_fork(s->matcher);
    struct str piece = { 0 };
    say_forced(s, m, text);
    for (int i = 0; s->drafter && i < DRAFT_PIECES && text->len < s->said.len + 8 * (size_t)s->credit; i++) {
        str_clear(&piece);
        if (!drafter_guess(s->drafter, text->p, text->len, &piece) || !piece.len || !matcher_commit_bytes(m, piece.p, piece.len)) break;
        str_put(text, piece.p, piece.len);
        say_forced(s, m, text);
    }
    str_done(&piece);
    matcher_free(m);
}

/* Drafts for the next pass; n_held tokens of run are held back behind what is forced. */
static void set_draft(struct seq *s, const int32_t *run, int n_held)
{
    struct str text = { 0 };
    struct ids ids = { 0 };
    struct err ignored = { 0 };
    bool at_hand = s->n_draft > 0;                                    /* the last of them was taken, and what comes after it is known */
    s->n_draft = s->draft_at = 0;
    if (at_hand || !may_draft(s)) return;
    if (s->drafter) {
        str_put(&text, s->said.p, s->said.len);
        guess_text(s, &text);
        if (text.len == s->said.len || !tok_encode(s->o.voice.tok, text.p + s->said.len, text.len - s->said.len, 0, &ids, &ignored)) ids.n = 0;
        run = ids.id;
        n_held = (int)ids.n;
    }
    s->n_draft = MIN(MIN(n_held, DRAFT_MOST), MIN(s->credit, left(s) - 2));
    if (s->n_draft > 0) memcpy(s->draft, run, (size_t)s->n_draft * sizeof *run);
    s->credit -= s->n_draft;
    s->o.usage.draft_tokens += s->n_draft;
    str_done(&text);
    mem_free(ids.id);
}

/* Was the token that was taken the draft's? */
static bool was_drafted(struct seq *s, int32_t t, int worth)
{
    if (s->draft_at == s->n_draft || s->draft[s->draft_at] != t) {
        s->n_draft = s->draft_at = 0;
        return false;
    }
    s->draft_at++;
    s->credit = MIN(s->credit + worth, DRAFT_CREDIT * DRAFT_MOST);
    return true;
}

/* Takes what the language forces. False: nothing is forced, or it would not fit as it stands. */
static bool take_forced(struct seq *s)
{
    int32_t run[FORCED_MOST];
    if (!s->matcher) return false;
    int n_draft, n = matcher_forced(s->matcher, run, FORCED_MOST, &n_draft), done = 0;
    while (done < n && matcher_commit(s->matcher, run[done])) done++;
    if (done && fits(s, done)) {
        s->ends = NULL;                                               /* one of them was it */
        take_run(s, run, done, ORIGIN_FORCED, NULL);
        for (int i = 0; i < done; i++) was_drafted(s, run[i], 1);     /* its row is used, which is all it cost */
        return true;
    }
    matcher_rollback(s->matcher, done);
    if (s->draft_at == s->n_draft && !n) set_draft(s, run, n_draft);
    return false;
}

static double draw(const struct seq *s)
{
    struct rng r = rng_make(s->o.r->sampling.seed, 1, (uint64_t)s->used);
    return rng_unit(&r);
}

/* ---- choosing --------------------------------------------------------------------------------- */

/* One draw under a mask; without a model every allowed token is as good as the next. */
static int32_t pick(struct seq *s, const float *logits, const uint32_t *mask)
{
    if (!logits) return sample_uniform(mask, s->n_vocab, draw(s));
    if (steer_is_turn(s)) return whole_turn(&s->o.voice, logits, mask, s->n_vocab, steer_to_call(s));
    int32_t member = steer_member(s, logits, mask);
    if (member >= 0) return member;
    int32_t end = steer_is_more(s, logits) ? steer_more(s, logits, mask) : -1;
    if (end >= 0) return end;
    return sample_pick(&s->sampler, logits, mask, &s->o.r->sampling, draw(s));
}

/* Takes the text that was chosen as a whole, if it fits. */
static bool take_whole(struct seq *s)
{
    const float *lp = NULL;
    const int32_t *id = NULL;
    int n = whole_best(&s->whole, &id, &lp), done = 0;
    while (done < n && matcher_commit(s->matcher, id[done])) done++;
    if (!n || done < n || !fits(s, n)) {
        matcher_rollback(s->matcher, done);
        return false;
    }
    float share = s->legal ? whole_share(&s->whole) : 1;              /* its other tokens are not chosen any more */
    if (s->raw) take_odd(s, id[0], ORIGIN_SAMPLED, share);      /* its logits are at hand */
    else take(s, id[0], ORIGIN_SAMPLED, &(struct odds){ .logprob = lp[0], .share = share });
    take_run(s, id + 1, n - 1, ORIGIN_SAMPLED, lp + 1);
    s->ends = s->whole.ends;
    return true;
}

static bool in_mask(const uint32_t *mask, int32_t t) { return mask[t >> 5] >> (t & 31) & 1; }

/* A text that was chosen with its end does not go on: only tokens that begin with one of these bytes stay, if there are any. */
static void only_ends(const struct seq *s, uint32_t *mask, const char *ends)
{
    bool any = false;
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t t = 0; t < s->n_vocab; t++) {
            struct bytes b = tok_bytes(s->o.voice.tok, t);
            bool is_end = b.len && b.p[0] && strchr(ends, b.p[0]) && !voice_is_special(&s->o.voice, t);
            if (!pass) any = any || (is_end && in_mask(mask, t));
            else if (!is_end) mask[t >> 5] &= ~(1u << (t & 31));
        }
        if (!any) return;
    }
}

/* The token to take, committed; -1: none is possible (e). */
static int32_t choose(struct seq *s, const float *logits, struct err *e)
{
    const char *ends = s->ends;
    s->ends = NULL;
    bool greedy = !ends && logits && s->o.r->sampling.temperature <= 0 && !steer_is_turn(s) && !steer_is_more(s, logits) && !steer_is_member(s, logits),
         cut = false;
    int32_t t = greedy ? sample_argmax(logits, NULL, s->n_vocab) : -1;
    if (!s->matcher) return greedy ? t : pick(s, logits, NULL);
    if (t >= 0 && matcher_commit(s->matcher, t)) {
        if (fits(s, 1)) return t;
        matcher_rollback(s->matcher, 1);
    }
    uint64_t t0 = clock_ns();
    bool ok = matcher_mask_budget(s->matcher, s->mask, left(s) + 1, &cut);
    if (ok && cut) matcher_mask(s->matcher, s->full);
    if (ok && ends) only_ends(s, cut ? s->full : s->mask, ends);
    s->o.timing.mask_us += (double)(clock_ns() - t0) * 1e-3;
    if (ok) {
        t = pick(s, logits, cut ? s->full : s->mask);
        if (t >= 0 && cut && !in_mask(s->mask, t)) {
            s->limited = true;
            t = pick(s, logits, s->mask);
        }
        if (t >= 0 && matcher_commit(s->matcher, t)) return t;
    }
    err_set(e, ERR_INTERNAL, "no token is possible after %d tokens (%s)", s->used,
            matcher_why(s->matcher));
    return -1;
}

/* One chosen token. */
static bool take_one(struct seq *s, struct err *e)
{
    if (s->legal && s->matcher) matcher_mask(s->matcher, s->legal);   /* choosing commits */
    int32_t t = choose(s, s->logits, e);
    if (t < 0) return false;
    float share = s->legal && s->logits ? sample_share(s->logits, s->matcher ? s->legal : NULL, s->n_vocab, t) : 1;
    enum token_origin origin = was_drafted(s, t, 1 + DRAFT_WORTH) ? ORIGIN_DRAFTED : ORIGIN_SAMPLED;
    if (s->raw && s->logits) take_odd(s, t, origin, share);
    else take(s, t, origin, &(struct odds){ .share = share });
    return true;
}

/* ---- turns ----------------------------------------------------------------------------------- */

void seq_begin(struct seq *s)
{
    emit_open(&s->em, &s->o.voice, s->o.r, &s->turn, s->tool, s->n_tool, s->o.fn, s->o.ctx);
    s->emitting = true;
}

void seq_cancel(struct seq *s) { s->em.cancelled = true; }
const struct usage *seq_usage(const struct seq *s) { return &s->o.usage; }
const struct ids *seq_pending(const struct seq *s) { return &s->pending; }

/* The next name to be tried; if there is none, the best is taken, or else a token as usual. */
static bool next_name(struct seq *s, struct seq_want *w, struct err *e)
{
    const struct ids *name = whole_next(&s->whole);
    if (name) {
        *w = (struct seq_want){ .kind = WAIT_AHEAD, .tok = name->id, .n = (int)name->n };
        return true;
    }
    s->naming = false;
    return take_whole(s) || take_one(s, e);
}

bool seq_next(struct seq *s, struct seq_want *w, struct err *e)
{
    *w = (struct seq_want){ WAIT_NOTHING };
    for (;;) {
        if (s->em.cancelled || s->em.stopped) return true;
        if (s->run_at < s->run.n) {
            *w = (struct seq_want){ WAIT_LOGITS, s->pending.id, (int)s->pending.n, NULL, 0 };
            return true;
        }
        if (finished(s)) return true;
        if (s->naming) {
            if (!next_name(s, w, e)) return false;
            if (w->kind == WAIT_AHEAD) return true;
            continue;
        }
        if (left(s) > 0 && !s->o.r->only_prompt && take_forced(s)) continue;
        if (left(s) <= 0 || s->o.r->only_prompt) { s->limited = true; return true; }
        *w = (struct seq_want){ WAIT_LOGITS, s->pending.id, (int)s->pending.n, s->draft + s->draft_at, s->n_draft - s->draft_at };
        return true;
    }
}

/* What the request adds to logits, before the mask: it can forbid nothing that the language demands. */
static void bias(const struct seq *s, float *logits)
{
    const struct request *r = s->o.r;
    for (int i = 0; i < r->n_bias; i++) logits[r->bias[i].id] += r->bias[i].add;
    if (s->used >= r->min_tokens) return;
    for (int32_t id = 0; id < s->n_vocab; id++)
        if (tok_is_eog(s->o.voice.tok, id)) logits[id] = -1e9f;
}

bool seq_logits(struct seq *s, float *logits, struct err *e)
{
    s->logits = logits;
    s->pending.n = 0;
    if (!logits) return take_one(s, e);
    if (s->raw) memcpy(s->raw, logits, (size_t)s->n_vocab * sizeof *logits);
    if (s->run_at < s->run.n) {
        take_odd(s, s->run.id[s->run_at++], s->run_origin, 1);
        return true;
    }
    bias(s, logits);
    if (!s->em.in_call) sample_penalise(logits, s->n_vocab, &s->text, &s->o.r->sampling);
    s->naming = steer_whole(s, logits);
    return s->naming || take_one(s, e);
}

void seq_ahead(struct seq *s, const float *rows) { whole_rows(&s->whole, rows); }

static enum finish reason(const struct seq *s)
{
    if (s->em.cancelled) return FINISH_CANCEL;
    if (s->limited && !s->em.stopped) return FINISH_LENGTH;
    return s->em.n_call ? FINISH_TOOL_CALLS : FINISH_STOP;
}

bool seq_end(struct seq *s, bool ok, struct err *e)
{
    bool cancelled = s->em.cancelled;
    struct err broken = { 0 };
    bool whole = emit_close(&s->em, !ok || cancelled || s->em.stopped, &broken);
    s->emitting = false;
    if (ok && !whole && !cancelled && s->matcher)
        ok = err_set(e, ERR_INTERNAL, "a call came out broken: %s", broken.msg);
    s->em.cancelled = false; /* whoever cancelled still hears the end */
    if (!ok) {
        emit_event(&s->em, &(struct event){.kind = EV_ERROR, .bytes = {e->msg, strlen(e->msg)}, .code = e->code});
        return false;
    }
    s->em.cancelled = cancelled;
    enum finish why = reason(s);
    s->em.cancelled = false;
    s->o.timing.total_ms = (double)(clock_ns() - s->o.start_ns) * 1e-6;
    emit_event(&s->em,
               &(struct event){
                   .kind = EV_FINISH, .bytes = s->em.met, .reason = why, .usage = s->o.usage, .timing = s->o.timing});
    return true;
}

bool seq_run(struct seq *s, struct err *e)
{
    struct seq_want w = { WAIT_LOGITS };
    bool ok = true;
    seq_begin(s);
    while (ok && (ok = seq_next(s, &w, e)) && w.kind != WAIT_NOTHING) ok = seq_logits(s, NULL, e);
    return seq_end(s, ok, e);
}
