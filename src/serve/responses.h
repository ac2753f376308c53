/* responses.h -- what the two halves of /v1/responses share: the request as it was understood. */
#ifndef TENON_SERVE_RESPONSES_H
#define TENON_SERVE_RESPONSES_H

#include "serve/int.h"

enum item { ITEM_NONE, ITEM_REASONING, ITEM_MESSAGE, ITEM_CALL, ITEM_CODE };
struct answer {
    struct json *echo;                                                /* members of the response that repeat the request */
    struct json *items;                                               /* input, with what a previous response brought along */
    bool store, logprobs, sealed, stored, code;                       /* sealed: reasoning.encrypted_content is wanted; code: a code
                                                                       * interpreter was declared, and the client runs it */
    struct served *served;                                            /* tools that run here; NULL: none. The job takes it */
    int sequence;                                                     /* number of the next event */
    enum item open; char item_id[40], call_id[40];
    struct str text, name;                                            /* of the open item */
    struct json *output, *logprob;                                    /* items that are whole; log-probabilities of the open one */
    double completed;
};
struct answer *answer_new(void);
void answer_done(void *answer);
extern const struct teller responses_teller;

#endif
