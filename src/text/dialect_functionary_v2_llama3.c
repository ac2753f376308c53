/* dialect_functionary_v2_llama3.c -- how Functionary small-v2.5 writes calls: text, then a reserved token before each.
 *
 *     I look it up.<|reserved_special_token_249|>get_weather
 *     {"city": "Oslo"}<|reserved_special_token_249|>python
 *     print(1)<|eot_id|> */
#include "text/int.h"

static const char sep[] = "<|reserved_special_token_249|>";
static const char *const stop[] = { "<|eot_id|>", "<|end_of_text|>", NULL };
static const char *const markers[] = { sep, NULL };

static void prefix(enum tool_choice choice, const char *name, struct prompt *out)
{
    if (choice != CHOICE_REQUIRED && choice != CHOICE_NAMED) return;
    prompt_special(out, sep);
    if (choice == CHOICE_REQUIRED) return;
    prompt_puts(out, name);
    prompt_puts(out, "\n");
}

static void grammar(const struct turn *t, struct str *envelope)
{
    struct turn_parts p = { 0 };
    put_text_without(&p.text, t, markers, NULL);
    put_marker(&p.between, t, sep);
    put_marker(&p.first, t, sep);
    put_marker(&p.sep, t, sep);
    str_puts(&p.each, "each { name \"\\n\" value(json) } ");
    str_fmt(&p.code, "\"python\\n\" %s", p.text.p);
    put_turn(envelope, t, &p);
}

const struct dialect dialect_functionary_v2_llama3 = {
    .name = "functionary-v2.llama3",
    .prepare = prepare_functionary_v2_llama3, .template_name = "functionary-v2.llama3", .prefix = prefix, .grammar = grammar,
    .parser_open = segment_v2_llama3, .stop = stop, .markers = markers, .raw_code = true,
    .spelling = "lock", .item_sep = ", ", .key_sep = ": ", .declared_order = false,
};
