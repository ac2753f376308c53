/* embed.h -- the model that travels inside the binary (models/tenon.gguf, linked as it is). */
#ifndef TENON_EMBED_H
#define TENON_EMBED_H

#include "format/format.h"

/* Opens the embedded model; ERR_UNSUPPORTED in a build that was made without one. */
struct gguf *embed_open(struct err *e);
size_t       embed_bytes(void);                                       /* 0: none */

#endif
