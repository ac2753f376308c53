/* dialect_lfm2.c -- how LFM2, LFM2-Tool and LFM2.5 write calls: Pythonic, between special tokens.
 *
 *     <|tool_call_start|>[get_weather(city="Oslo", days=3)]<|tool_call_end|>Looking it up.
 *
 * Tools are given as a JSON list in the system turn, bare function objects, as these models were
 * trained. Text may stand before the calls and after them. Generated strings use double quotes and
 * few escapes, a subset that every reader of this family accepts; the parser reads all the rest. */
#include "text/int.h"

const char *const lfm2_stop[] = { "<|im_end|>", "<|endoftext|>", NULL };
const char *const lfm2_markers[] = { "<|tool_call_start|>", "<|tool_call_end|>", "<|im_end|>",
                                     "<|endoftext|>", NULL };

void lfm2_envelope(enum tool_choice choice, bool parallel, const char *call, const char *sep,
                   bool text_after, struct str *out)
{
    static const char *const text = "text(@\"<|tool_call_start|>\")";
    bool more = parallel && choice != CHOICE_NAMED, after = text_after && choice == CHOICE_AUTO;
    if (choice == CHOICE_NONE) {
        str_puts(out, "root = text;\n");
        return;
    }
    if (choice == CHOICE_AUTO) str_fmt(out, "root = %s block?;\n", text);
    else str_puts(out, "root = block;\n");
    str_puts(out, "block = @\"<|tool_call_start|>\" \"[\" call");
    if (more) str_fmt(out, " (\"%s\" call)*", sep);
    str_fmt(out, " \"]\" @\"<|tool_call_end|>\"%s%s;\ncall = %s;\n", after ? " " : "",
            after ? text : "", call);
}

static bool grammar(enum tool_choice choice, bool parallel, struct str *envelope, struct err *e)
{
    lfm2_envelope(choice, parallel, "each { name \"(\" value(python-arguments) \")\" }", ", ", true,
                  envelope);
    return true;
}

const struct dialect dialect_lfm2 = {
    .name = "lfm2",
    .prepare = prepare_lfm2, .template_name = "lfm2", .grammar = grammar,
    .parser_open = parser_new, .parser_feed = parser_input, .parser_close = parser_finish,
    .stop = lfm2_stop, .markers = lfm2_markers,
    .spelling = "lock", .item_sep = ", ", .key_sep = ": ", .declared_order = false,
};
