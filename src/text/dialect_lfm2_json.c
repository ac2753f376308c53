/* dialect_lfm2_json.c -- how the embedded model writes calls: LFM2's markers around a JSON list.
 *
 *     <|tool_call_start|>[{"name":"get_weather","arguments":{"city":"Oslo","days":3}}]<|tool_call_end|>
 *
 * One spelling, no blanks, arguments in the order of the schema: what the model was trained on is
 * all that the grammar lets it write. Tools are given as signatures (signature.c) through the
 * template `tenon`; with a file that carries the LFM2 template, as JSON through that one. */
#include "text/int.h"

static void grammar(const struct turn *t, struct str *envelope)
{
    struct str call = { 0 };
    put_json_call(&call, "arguments", "");
    struct turn_parts p = lfm2_parts(t, call.p, ",", false);
    str_done(&call);
    put_turn(envelope, t, &p);
}

const struct dialect dialect_lfm2_json = {
    .name = "lfm2-json",
    .prepare = prepare_lfm2_json, .template_name = "tenon", .grammar = grammar, .parser_open = blocks_lfm2,
    .stop = lfm2_stop, .markers = lfm2_markers,
    .spelling = "fixed", .item_sep = ",", .key_sep = ":", .declared_order = true,
};
