/* format_text.c -- stub. */
#include "grammar/regex.h"

const char *format_pattern(const char *name)
{
    (void)name;
    return NULL;
}
