/* embed.c -- where the linked model lies. The build puts the file into read-only data on a page
 * border (embed.S), so opening it copies nothing and reads only what is touched. */
#include "embed.h"

#ifdef TENON_EMBEDDED
extern const char tenon_model_start[], tenon_model_end[];

size_t embed_bytes(void)
{
    return (size_t)(tenon_model_end - tenon_model_start);
}

struct gguf *embed_open(struct err *e)
{
    return gguf_open_mem(tenon_model_start, embed_bytes(), "the embedded model", e);
}
#else
size_t embed_bytes(void)
{
    return 0;
}

struct gguf *embed_open(struct err *e)
{
    err_set(e, ERR_UNSUPPORTED, "this build carries no model (models/tenon.gguf was absent); name one with -m FILE");
    return NULL;
}
#endif
