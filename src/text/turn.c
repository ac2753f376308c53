/* turn.c -- the envelope of an assistant turn from its parts: what a choice of tools makes of it.
 *
 *                one turn                                      p.single, or not parallel: one call
 *     none       head text
 *     auto       head text (between calls)?  |  first calls           p.apart: head text | first calls
 *     required   first calls                                   p.preamble: head text between calls, too
 *     named      first call close
 *     calls =    call (sep call)* close
 *
 * Where response_format says what a text is, the turn is either calls or that. Every dialect is this
 * with its own parts, so that choice and parallel mean the same in all of them. */
#include "text/int.h"

bool is_token(const struct turn *t, const char *marker) { return t->tok && tok_special(t->tok, marker) >= 0; }

/* Between the quotes of envelope text. */
static void put_quoted(struct str *out, const char *s)
{
    str_putc(out, '"');
    for (; *s; s++) {
        if (*s == '\n') {
            str_puts(out, "\\n");
            continue;
        }
        if (*s == '"' || *s == '\\') str_putc(out, '\\');
        str_putc(out, *s);
    }
    str_putc(out, '"');
}

void put_marker(struct str *out, const struct turn *t, const char *marker)
{
    if (!t->tok || is_token(t, marker)) str_putc(out, '@');
    put_quoted(out, marker);
    str_putc(out, ' ');
}

void put_text_without(struct str *out, const struct turn *t, const char *const *marker, const char *const *text)
{
    const char *open = "(";
    str_puts(out, "text");
    for (; marker && *marker; marker++)
        if (t->tok && !is_token(t, *marker)) {
            str_puts(out, open);
            put_quoted(out, *marker);
            open = ", ";
        }
    for (; text && *text; text++) {
        str_puts(out, open);
        put_quoted(out, *text);
        open = ", ";
    }
    if (*open == ',') str_putc(out, ')');
    str_putc(out, ' ');
}

void put_json_call(struct str *out, const char *key, const char *blank)
{
    str_fmt(out, "each { \"{\\\"name\\\":%s\\\"\" name \"\\\",%s\\\"%s\\\":%s\" value(json) \"}\" } ", blank, blank, key, blank);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static const char *of(const struct str *s) { return s->p ? s->p : ""; }

static bool has_code(const struct turn *t, const struct turn_parts *p) { return t->code && (p->code.len || p->last_code.len); }

/* `call`, any one; `calls`, as many as may be; a turn may end in source that nothing can follow. */
static void put_calls(struct str *out, const struct turn *t, const struct turn_parts *p)
{
    bool many = t->parallel && !p->single && t->choice != CHOICE_NAMED;
    bool code = t->code && p->code.len, last = t->code && p->last_code.len, call = t->n_pair || code;
    if (call)
        str_fmt(out, "call = %s%s%s;\n", t->n_pair ? of(&p->each) : "", t->n_pair && code ? "| " : "", code ? of(&p->code) : "");
    if (last) str_fmt(out, "last = %s;\n", of(&p->last_code));
    str_puts(out, "calls = ");
    if (call) str_puts(out, "call ");
    if (call && many) str_fmt(out, "(%s call)* ", of(&p->sep));
    if (call && last && many) str_fmt(out, "(%s last)? ", of(&p->sep));
    if (call) str_puts(out, of(&p->close));
    if (last) str_fmt(out, "%slast", call ? " | " : "");
    str_puts(out, ";\n");
}

/* Text, perhaps with calls behind it, or calls. */
static void put_auto(struct str *out, const struct turn *t, const struct turn_parts *p)
{
    bool same = !p->head.len && !strcmp(of(&p->between), of(&p->first));
    str_fmt(out, "root = %s%s", of(&p->head), t->text ? t->text : of(&p->text));
    if (!t->text && !p->apart) str_fmt(out, "(%scalls)?", of(&p->between));
    if (t->text || p->apart || !same) str_fmt(out, " | %scalls", of(&p->first));
    str_puts(out, ";\n");
}

static void done(struct turn_parts *p)
{
    struct str *all[] = { &p->head, &p->text, &p->between, &p->first, &p->each, &p->code, &p->last_code, &p->sep, &p->close };
    for (size_t i = 0; i < LEN(all); i++) str_done(all[i]);
}

void put_turn(struct str *out, const struct turn *t, struct turn_parts *p)
{
    bool none = t->choice == CHOICE_NONE || (!t->n_pair && !has_code(t, p));
    if (none) str_fmt(out, "root = %s%s;\n", of(&p->head), t->text ? t->text : of(&p->text));
    else if (t->choice == CHOICE_AUTO) put_auto(out, t, p);
    else if (p->preamble) str_fmt(out, "root = %s%s%scalls;\n", of(&p->head), of(&p->text), of(&p->between));
    else str_fmt(out, "root = %scalls;\n", of(&p->first));
    if (!none) put_calls(out, t, p);
    done(p);
}
