/* marked.c -- strings of template variables that are partly ours.
 *
 * Template variables are JSON, and JSON has no way to say whose bytes a string is made of. A marked
 * string is an object with one member whose key is no UTF-8, so nothing that was parsed can be one:
 *     { "\xff": [text of ours or "", text from outside or "", …] }
 * Not here: who reads it (jinja_load.c). */
#include "text/int.h"

struct json *marked_new(void)
{
    struct json *v = json_new_object();
    json_set(v, MARKED_KEY, json_new_array());
    return v;
}

void marked_put(struct json *marked, bool trusted, const char *s, size_t len)
{
    struct json *list = (struct json *)(uintptr_t)json_get(marked, MARKED_KEY);
    if ((json_len(list) % 2 == 0) != trusted) json_push(list, json_new_strn("", 0));
    json_push(list, json_new_strn(s, len));
}
