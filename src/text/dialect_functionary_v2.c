/* dialect_functionary_v2.c -- how Functionary v2 to v2.4 write calls: turns from the assistant, each to a recipient.
 *
 *     all
 *     <|content|>I look it up.
 *     <|from|>assistant
 *     <|recipient|>get_weather
 *     <|content|>{"city": "Oslo"}<|stop|>
 *
 * The prompt ends with the first <|recipient|>. SentencePiece writes a space behind a special token, so
 * with such vocabularies one may stand there; it belongs to the mark. */
#include "text/int.h"

static const char *const stop[] = { "<|stop|>", NULL };
static const char *const markers[] = { "<|from|>", "<|recipient|>", "<|content|>", NULL };

static void prefix(enum tool_choice choice, const char *name, struct prompt *out)
{
    if (choice != CHOICE_NONE && choice != CHOICE_NAMED) return;
    prompt_puts(out, choice == CHOICE_NONE ? "all" : name);
    prompt_puts(out, "\n");
    prompt_special(out, "<|content|>");
}

/* One space behind a special token. */
static const char *space(const struct turn *t) { return t->tok && t->tok->is_spm ? "\" \"? " : ""; }

/* From the end of a body to the name of the next recipient. */
static void put_next(struct str *out, const struct turn *t)
{
    str_puts(out, "\"\\n\" ");
    put_marker(out, t, "<|from|>");
    str_fmt(out, "%s\"assistant\\n\" ", space(t));
    put_marker(out, t, "<|recipient|>");
    str_puts(out, space(t));
}

static void grammar(const struct turn *t, struct str *envelope)
{
    struct turn_parts p = { 0 };
    struct str content = { 0 };
    put_marker(&content, t, "<|content|>");
    str_fmt(&p.head, "%s\"all\\n\" %s", space(t), content.p);
    put_text_without(&p.text, t, markers, NULL);
    put_next(&p.between, t);
    str_puts(&p.first, space(t));
    str_fmt(&p.each, "each { name \"\\n\" %s%svalue(json) } ", content.p, space(t));
    str_fmt(&p.code, "\"python\\n\" %s%s", content.p, p.text.p);
    put_next(&p.sep, t);
    str_done(&content);
    put_turn(envelope, t, &p);
}

const struct dialect dialect_functionary_v2 = {
    .name = "functionary-v2",
    .prepare = prepare_functionary_v2, .template_name = "functionary-v2", .prefix = prefix, .grammar = grammar,
    .parser_open = segment_v2, .stop = stop, .markers = markers, .raw_code = true,
    .spelling = "lock", .item_sep = ", ", .key_sep = ": ", .declared_order = false,
};
