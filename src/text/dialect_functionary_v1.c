/* dialect_functionary_v1.c -- how Functionary v1 writes its one call a turn.
 *
 *     assistant:
 *     I look it up.
 *     <|START_OF_FUNCTION_CALL|>get_weather:
 *     {"city": "Oslo"}<|END_OF_FUNCTION_CALL|>
 *
 * The prompt ends with `assistant:`, so an answer begins with a line end that belongs to its frame. */
#include "text/int.h"

static const char start[] = "<|START_OF_FUNCTION_CALL|>";
static const char *const stop[] = { "<|END_OF_ASSISTANT|>", "<|END_OF_FUNCTION_CALL|>", "</s>", NULL };
static const char *const markers[] = { start, NULL };

static void grammar(const struct turn *t, struct str *envelope)
{
    struct turn_parts p = { .single = true };
    str_puts(&p.head, "\"\\n\" ");
    put_text_without(&p.text, t, markers, NULL);
    str_puts(&p.between, "\"\\n\" ");
    put_marker(&p.between, t, start);
    str_puts(&p.first, p.between.p);
    str_fmt(&p.each, "%seach { name \":\\n\" value(json) } ", t->tok && t->tok->is_spm ? "\" \"? " : "");
    put_turn(envelope, t, &p);
}

const struct dialect dialect_functionary_v1 = {
    .name = "functionary-v1",
    .prepare = prepare_functionary_v1, .template_name = "functionary-v1", .grammar = grammar,
    .parser_open = segment_v1, .stop = stop, .markers = markers,
    .spelling = "lock", .item_sep = ", ", .key_sep = ": ", .declared_order = false,
};
