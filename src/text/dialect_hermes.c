/* dialect_hermes.c -- how Hermes 2 and 3, Qwen 2.5 and 3 and their kin write calls: JSON between tags.
 *
 *     I look it up.
 *     <tool_call>
 *     {"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}
 *     </tool_call>
 *
 * The tags are tokens in some vocabularies (Qwen, Hermes on Llama 3) and mere text in others; grammar
 * and parser go by the vocabulary at hand. Where <think> is a token too, reasoning may come first, even
 * before a call that must come. A code interpreter is a function python(code). */
#include "text/int.h"

static const char *const stop[] = { "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>",
                                    "<end_of_turn>", NULL };
static const char *const markers[] = { NULL };
static const char *const tags[] = { "<tool_call>", NULL };

static void prefix(enum tool_choice choice, const char *name, struct prompt *out)
{
    if (choice != CHOICE_REQUIRED && choice != CHOICE_NAMED) return;
    prompt_special(out, "<tool_call>");
    prompt_puts(out, "\n");
    if (choice == CHOICE_REQUIRED) return;
    prompt_puts(out, "{\"name\": \"");
    prompt_puts(out, name);
    prompt_puts(out, "\", \"arguments");
}

/* Reasoning, perhaps: one rule for every place where a turn begins. */
static void put_thought(struct str *out, const struct turn *t)
{
    if (!is_token(t, "<think>") || !is_token(t, "</think>")) return;
    str_puts(out, "(@\"<think>\" text @\"</think>\" \"\\n\\n\"?)? ");
}

static void grammar(const struct turn *t, struct str *envelope)
{
    struct turn_parts p = { 0 };
    struct str call = { 0 };
    put_text_without(&p.text, t, tags, NULL);
    put_thought(&p.head, t);
    put_thought(&p.first, t);
    str_puts(&p.between, "\"\\n\" ");
    put_json_call(&call, "arguments", " ");
    put_marker(&p.each, t, "<tool_call>");
    str_fmt(&p.each, "\"\\n\" %s \"\\n\" ", call.p);
    put_marker(&p.each, t, "</tool_call>");
    str_puts(&p.sep, "\"\\n\"");
    str_done(&call);
    put_turn(envelope, t, &p);
}

const struct dialect dialect_hermes = {
    .name = "hermes",
    .prepare = prepare_hermes, .template_name = "hermes", .prefix = prefix, .grammar = grammar, .parser_open = tagged_hermes,
    .stop = stop, .markers = markers,
    .spelling = "lock", .item_sep = ", ", .key_sep = ": ", .declared_order = false,
};
