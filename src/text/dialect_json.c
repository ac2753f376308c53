/* dialect_json.c -- calls for models that know no call syntax of their own: a JSON list as the
 * answer.
 *
 *     [{"name":"get_weather","arguments":{"city":"Oslo","days":3}}]
 *
 * No special tokens, so any vocabulary will do, and the last resort when a file tells nothing. Text
 * stays text until it says [{"name":" ; from there on it is calls to the end. Most models write a blank before that quote
 * unasked: it is read, and where the grammar rules it is not offered, because every blank that is left to choice is a
 * pass of the model that is not forced. The prompt is plain turns with the functions as JSON and one sentence on how to
 * call them. */
#include "text/int.h"

static const char *const stop[] = { "<|im_end|>", "<|endoftext|>", "<|eot_id|>",
                                    "<|end_of_text|>", "</s>", NULL };
static const char *const markers[] = { NULL };

static void grammar(const struct turn *t, struct str *envelope)
{
    static const char *const begins[] = { CALLS_BEGIN, CALLS_BEGIN_SPACED, NULL };
    struct turn_parts p = { 0 };
    put_text_without(&p.text, t, NULL, begins);
    str_puts(&p.between, "\"[\" ");
    str_puts(&p.first, "\"[\" ");
    put_json_call(&p.each, "arguments", "");
    str_puts(&p.sep, "\",\"");
    str_puts(&p.close, "\"]\"");
    put_turn(envelope, t, &p);
}

const struct dialect dialect_json = {
    .name = "json",
    .prepare = prepare_json, .template_name = "json", .grammar = grammar, .parser_open = blocks_json,
    .stop = stop, .markers = markers,
    .spelling = "lock", .item_sep = ", ", .key_sep = ": ", .declared_order = false,
};
