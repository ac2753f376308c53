/* tenon_int.h -- what the files of the public library share. */
#ifndef TENON_TENON_INT_H
#define TENON_TENON_INT_H

#include "speaker.h"
#include "tenon.h"

bool tn_report(struct tn_error *out, const struct err *e);            /* false */
bool tn_event_of(const struct event *ev, struct tn_event *out);       /* without bytes; false: not public */
struct speaker *tn_engine_speaker(struct tn_engine *engine);
int64_t tn_engine_n_ctx(const struct tn_engine *engine);              /* as asked for */

#endif
