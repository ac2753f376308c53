/* dialect_json.c -- calls for models that know no call syntax of their own: a JSON list as the
 * answer.
 *
 *     [{"name":"get_weather","arguments":{"city":"Oslo","days":3}}]
 *
 * No special tokens, so any vocabulary will do, and the last resort when a file tells nothing. Text
 * stays text until it says [{"name":" ; from there on it is calls to the end. The prompt is plain
 * turns with the functions as JSON and one sentence on how to call them. */
#include "text/int.h"

static const char *const stop[] = { "<|im_end|>", "<|endoftext|>", "<|eot_id|>",
                                    "<|end_of_text|>", "</s>", NULL };

static bool grammar(enum tool_choice choice, bool parallel, struct str *out, struct err *e)
{
    static const char *const text = "text(\"[{\\\"name\\\":\\\"\")";
    if (choice == CHOICE_NONE) str_puts(out, "root = text;\n");
    else if (choice == CHOICE_AUTO) str_fmt(out, "root = %s calls?;\n", text);
    else str_puts(out, "root = calls;\n");
    if (choice == CHOICE_NONE) return true;
    str_fmt(out, "calls = \"[\" call%s \"]\";\n",
            parallel && choice != CHOICE_NAMED ? " (\",\" call)*" : "");
    str_puts(out, "call = each { \"{\\\"name\\\":\\\"\" name \"\\\",\\\"arguments\\\":\" "
                  "value(json) \"}\" };\n");
    return true;
}

const struct dialect dialect_json = {
    .name = "json",
    .prepare = prepare_json, .template_name = "json", .grammar = grammar,
    .parser_open = parser_new_watching, .parser_feed = parser_input, .parser_close = parser_finish,
    .stop = stop, .markers = stop,
    .spelling = "lock", .item_sep = ", ", .key_sep = ": ", .declared_order = false,
};
