/* tenon_int.h -- what the files of the public library share. */
#ifndef TENON_TENON_INT_H
#define TENON_TENON_INT_H

#include "agent/agent.h"
#include "speaker.h"
#include "tenon.h"

bool tn_report(struct tn_error *out, const struct err *e);            /* false */
bool tn_event_of(const struct event *ev, struct tn_event *out);       /* without bytes; false: not public */
struct speaker *tn_engine_speaker(struct tn_engine *engine);
/* An engine generates for one thread at a time; others wait for their turn. */
enum engine_turn { TURN_MINE, TURN_CANCELLED, TURN_REFUSED };                /* refused: e; this thread has the turn already */
enum engine_turn tn_engine_take(struct tn_engine *engine, const struct cancel *cancel, struct err *e);
void tn_engine_give(struct tn_engine *engine);
int64_t tn_engine_n_ctx(const struct tn_engine *engine);              /* as asked for */

#endif
