/* dialect_functionary_v4r.c -- how the reasoning Functionary v4r writes calls: as v3.1, behind its thoughts.
 *
 *     The user asks for the weather, so I need …<function=get_weather>{"city": "Oslo"}</function>
 *
 * The thoughts carry no marks and are text of the answer, as they were for its first clients. Since
 * they are how this model decides, they may come before a call that must come, too. */
#include "text/int.h"

static void grammar(const struct turn *t, struct str *envelope) { function_grammar(t, true, envelope); }

const struct dialect dialect_functionary_v4r = {
    .name = "functionary-v4r",
    .prepare = prepare_functionary_v4r, .template_name = "functionary-v4r", .prefix = function_prefix, .grammar = grammar,
    .parser_open = tagged_function, .stop = function_stop, .markers = function_markers, .raw_code = true,
    .spelling = "lock", .item_sep = ", ", .key_sep = ": ", .declared_order = false,
};
