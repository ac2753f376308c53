/* dialect_llama3_1.c -- how Llama 3.1, 3.2 and 3.3 write calls: one JSON object as the whole answer.
 *
 *     {"name": "get_weather", "parameters": {"city": "Oslo", "days": 3}}
 *
 * An answer that begins with {"name": " is a call, or one with {"type": "function", "name": " as the small
 * ones repeat from the list of their tools; any other is text, so no text of ours begins like that. The
 * family's template knows one call a turn, and so does the grammar; the parser also reads several, apart
 * by `;` or line ends, a call behind <|python_tag|>, built-in ones,
 * brave_search.call(query="…"), and behind the tag the source for a declared code interpreter. That the
 * template cannot say of a past turn, so we give the interpreter as a function python(code). */
#include "text/int.h"

static const char *const stop[] = { "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", NULL };
static const char *const markers[] = { "<|python_tag|>", NULL };

static void grammar(const struct turn *t, struct str *envelope)
{
    static const char *const begins[] = { LLAMA_CALL_BEGINS, NULL };
    struct turn_parts p = { .single = true, .apart = true };
    put_text_without(&p.text, t, markers, begins);
    str_puts(&p.each, "each { \"{\" \"\\\"type\\\": \\\"function\\\", \"? \"\\\"name\\\": \\\"\" name \"\\\", \\\"parameters\\\": \" value(json) \"}\" } ");
    put_turn(envelope, t, &p);
}

const struct dialect dialect_llama3_1 = {
    .name = "llama3.1",
    .prepare = prepare_llama31, .template_name = "llama3.1", .grammar = grammar, .parser_open = blocks_llama,
    .stop = stop, .markers = markers,
    .spelling = "lock", .item_sep = ", ", .key_sep = ": ", .declared_order = false,
};
