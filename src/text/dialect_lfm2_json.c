/* dialect_lfm2_json.c -- how the embedded model writes calls: LFM2's markers around a JSON list.
 *
 *     <|tool_call_start|>[{"name":"get_weather","arguments":{"city":"Oslo","days":3}}]<|tool_call_end|>
 *
 * One spelling, no blanks, arguments in the order of the schema: what the model was trained on is
 * all that the grammar lets it write. Tools are given as signatures (signature.c) through the
 * template `tenon`; with a file that carries the LFM2 template, as JSON through that one. */
#include "text/int.h"

static bool grammar(enum tool_choice choice, bool parallel, struct str *envelope, struct err *e)
{
    lfm2_envelope(
        choice, parallel,
        "each { \"{\\\"name\\\":\\\"\" name \"\\\",\\\"arguments\\\":\" value(json) \"}\" }", ",",
        false, envelope);
    return true;
}

const struct dialect dialect_lfm2_json = {
    .name = "lfm2-json",
    .prepare = prepare_lfm2_json, .template_name = "tenon", .grammar = grammar,
    .parser_open = parser_new, .parser_feed = parser_input, .parser_close = parser_finish,
    .stop = lfm2_stop, .markers = lfm2_markers,
    .spelling = "fixed", .item_sep = ",", .key_sep = ":", .declared_order = true,
};
