/* metrics.h -- what is counted here; the scheduler counts the rest. I/O thread only. */
#ifndef TENON_SERVE_METRICS_H
#define TENON_SERVE_METRICS_H

#include "serve/int.h"

struct metrics *metrics_open(void);
void metrics_close(struct metrics *m);
void metrics_http(const struct exchange *x);                          /* an exchange is over */
void metrics_error(struct metrics *m, const char *code);
void metrics_calls(struct metrics *m, const struct message *msg, enum tool_choice choice);

#endif
