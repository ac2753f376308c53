/* dialect_lfm2.c -- how LFM2, LFM2-Tool and LFM2.5 write calls: Pythonic, between special tokens.
 *
 *     <|tool_call_start|>[get_weather(city="Oslo", days=3)]<|tool_call_end|>Looking it up.
 *
 * Tools are given as a JSON list in the system turn, bare function objects, as these models were
 * trained. Text may stand before the calls and after them. Generated strings use double quotes and
 * few escapes, a subset that every reader of this family accepts; the parser reads all the rest. */
#include "text/int.h"

const char *const lfm2_stop[] = { "<|im_end|>", "<|endoftext|>", NULL };
const char *const lfm2_markers[] = { "<|tool_call_start|>", "<|tool_call_end|>", NULL };

struct turn_parts lfm2_parts(const struct turn *t, const char *call, const char *sep, bool text_after)
{
    struct turn_parts p = { 0 };
    put_text_without(&p.text, t, lfm2_markers, NULL);
    put_marker(&p.between, t, "<|tool_call_start|>");
    str_puts(&p.between, "\"[\" ");
    str_puts(&p.first, p.between.p);
    str_puts(&p.each, call);
    str_fmt(&p.sep, "\"%s\"", sep);
    str_puts(&p.close, "\"]\" ");
    put_marker(&p.close, t, "<|tool_call_end|>");
    if (text_after && t->choice == CHOICE_AUTO && !t->text) str_puts(&p.close, p.text.p);
    return p;
}

static void grammar(const struct turn *t, struct str *envelope)
{
    struct turn_parts p = lfm2_parts(t, "each { name \"(\" value(python-arguments) \")\" } ", ", ", true);
    put_turn(envelope, t, &p);
}

const struct dialect dialect_lfm2 = {
    .name = "lfm2",
    .prepare = prepare_lfm2, .template_name = "lfm2", .grammar = grammar, .parser_open = blocks_lfm2,
    .stop = lfm2_stop, .markers = lfm2_markers,
    .spelling = "lock", .item_sep = ", ", .key_sep = ": ", .declared_order = false,
};
