/* voice.h -- a speaker as the model of agent/'s loop. */
#ifndef TENON_VOICE_H
#define TENON_VOICE_H

#include "agent/agent.h"
#include "speaker.h"

/* s is lent for the life of the loop; n_ctx: what was asked for, 0: the engine's default. */
struct agent_model voice_of(struct speaker *s, int64_t n_ctx);
/* The same for an endpoint; its prompts cannot be counted. */
struct agent_model voice_far(struct remote *r);

/* The prompt of a request as the model reads it, markers and all, appended. */
bool voice_prompt(struct speaker *s, const struct json *body, struct str *out, struct err *e);

#endif
