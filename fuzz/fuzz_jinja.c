/* fuzz_jinja.c -- a template is compiled and rendered: it must end, within bounds, and no byte of the
 * variables may come out as one of the template's.
 *
 * The variables hold the character U+00A7 everywhere and no other that is not ASCII; templates without a
 * byte that is not ASCII, an escape or an entity cannot make one, so every U+00A7 that is printed is theirs. */
#include <stdlib.h>

#include "text/text.h"

#define P "\xc2\xa7"
static const char vars_text[] =
    "{\"messages\":[{\"role\":\"user" P "\",\"content\":\"Hi " P "\"},{\"role\":\"assistant" P "\",\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"function\":"
    "{\"name\":\"f" P "\",\"arguments\":{\"a\":1.10,\"b\":[true,null,\"x" P "y\"]}}}]},{\"role\":\"tool\",\"content\":\"a,b " P "\"}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{\"a" P "\":{\"type\":\"integer\"}}}}}],"
    "\"x\":3,\"f\":2.5,\"s\":\"Hello" P "\",\"l\":[3,1,2],\"d\":{\"b\":1,\"a\":\"" P "\"},\"n\":null,\"t\":true,\"add_generation_prompt\":true,\"bos_token\":\"<s>\"}";

static bool is_plain(const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] >= 0x80 || s[i] == '\\' || s[i] == '&') return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json *vars;
    struct err e = { 0 };
    struct prompt p = { 0 };
    if (!vars) vars = json_parse(vars_text, sizeof vars_text - 1, &e);
    struct jinja *j = jinja_open((const char *)data, size, "fuzz", &e);
    if (!j != (e.code != ERR_NONE)) abort();
    if (j && !jinja_render(j, vars, &p, &e) && !*e.msg) abort();
    size_t end = 0;
    for (size_t i = 0; i < p.n_piece; i++) {
        if (p.piece[i].off != end || !p.piece[i].len) abort();
        end += p.piece[i].len;
        if (p.piece[i].trusted && is_plain(data, size) && memmem(p.text.p + p.piece[i].off, p.piece[i].len, P, 2)) abort();
    }
    if (end != p.text.len) abort();
    prompt_done(&p);
    jinja_close(j);
    return 0;
}
