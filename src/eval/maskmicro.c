#include "eval/int.h"

struct json *mask_micro(const struct mask_opts *o, struct err *e)
{
    (void)o;
    err_set(e, ERR_UNSUPPORTED, "not yet");
    return NULL;
}
