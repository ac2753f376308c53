/* dialect_functionary_v3_1.c -- how Functionary v3.1 (Meta's own tool format) writes calls: tags in text.
 *
 *     I look it up.<function=get_weather>{"city": "Oslo"}</function><function=get_time>{}</function>
 *     <|python_tag|>print(1)                                          with a code interpreter, to the end
 *
 * The reasoning model v4r (dialect_functionary_v4r.c) writes the same with its thoughts in front. */
#include "text/int.h"

const char *const function_stop[] = { "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", NULL };
const char *const function_markers[] = { "<|python_tag|>", NULL };

void function_prefix(enum tool_choice choice, const char *name, struct prompt *out)
{
    if (choice != CHOICE_REQUIRED && choice != CHOICE_NAMED) return;
    prompt_puts(out, "<function=");
    if (choice == CHOICE_REQUIRED) return;
    prompt_puts(out, name);
    prompt_puts(out, ">");
}

void function_grammar(const struct turn *t, bool preamble, struct str *envelope)
{
    static const char *const begins[] = { "<function=", NULL };
    struct turn_parts p = { .preamble = preamble };
    put_text_without(&p.text, t, function_markers, begins);
    str_puts(&p.each, "\"<function=\" each { name \">\" value(json) } \"</function>\" ");
    put_marker(&p.last_code, t, "<|python_tag|>");
    put_text_without(&p.last_code, t, function_markers, NULL);
    put_turn(envelope, t, &p);
}

static void grammar(const struct turn *t, struct str *envelope) { function_grammar(t, false, envelope); }

const struct dialect dialect_functionary_v3_1 = {
    .name = "functionary-v3.1",
    .prepare = prepare_functionary_v31, .template_name = "functionary-v3.1", .prefix = function_prefix, .grammar = grammar,
    .parser_open = tagged_function, .stop = function_stop, .markers = function_markers, .raw_code = true,
    .spelling = "lock", .item_sep = ", ", .key_sep = ": ", .declared_order = false,
};
