/* dialect_functionary_v3_2.c -- how Functionary v3.0 and v3.2 write calls: segments behind `>>>`.
 *
 *     all
 *     I look it up.>>>get_weather
 *     {"city": "Oslo"}>>>python
 *     print(1)
 *
 * The prompt ends with the first `>>>`. Nothing here is a special token: only `>>>`, a known name and its
 * line end together are a mark, so text and source may hold any other `>>>`. */
#include "text/int.h"

#define MARKS_MOST 3500 /* bytes of all marks together that a text can be kept free of */

static const char *const stop[] = { "<|eot_id|>", "<|end_of_text|>", NULL };
static const char *const markers[] = { NULL };

static void prefix(enum tool_choice choice, const char *name, struct prompt *out)
{
    if (choice != CHOICE_NONE && choice != CHOICE_NAMED) return;
    prompt_puts(out, choice == CHOICE_NONE ? "all" : name);
    prompt_puts(out, "\n");
}

/* Text without >>>NAME of any tool; where there are too many of them, without >>>. */
static void put_text(struct str *out, const struct turn *t)
{
    size_t n = json_len(t->tools), bytes = 0;
    const char **mark = mem_zero((n + 3) * sizeof *mark);
    struct arena tmp;
    arena_init(&tmp, 0);
    size_t k = 0;
    mark[k++] = ">>>all\n";
    if (tools_have_code(t->tools)) mark[k++] = ">>>python\n";
    for (size_t i = 0; i < n; i++) {
        const char *name = json_str(json_get(tool_function(json_at(t->tools, i)), "name"), NULL);
        if (!name) continue;
        bytes += strlen(name) + 4;
        mark[k++] = arena_fmt(&tmp, ">>>%s\n", name);
    }
    static const char *const any[] = { ">>>", NULL };
    put_text_without(out, t, NULL, bytes > MARKS_MOST ? any : mark);
    arena_done(&tmp);
    mem_free(mark);
}

static void grammar(const struct turn *t, struct str *envelope)
{
    struct turn_parts p = { 0 };
    str_puts(&p.head, "\"all\\n\" ");
    put_text(&p.text, t);
    str_puts(&p.between, "\">>>\" ");
    str_puts(&p.each, "each { name \"\\n\" value(json) } ");
    str_puts(&p.code, "\"python\\n\" ");
    put_text(&p.code, t);
    str_puts(&p.sep, "\">>>\"");
    put_turn(envelope, t, &p);
}

const struct dialect dialect_functionary_v3_2 = {
    .name = "functionary-v3.2",
    .prepare = prepare_functionary_v32, .template_name = "functionary-v3.2", .prefix = prefix, .grammar = grammar,
    .parser_open = segment_v3, .stop = stop, .markers = markers, .raw_code = true,
    .spelling = "lock", .item_sep = ", ", .key_sep = ": ", .declared_order = false,
};
