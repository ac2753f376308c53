/* fuzz_request.c -- arbitrary bytes as a chat request: read or refused with a sentence, never half.
 *
 * What was read must hold what the rest of the house relies on: messages, wrapped tools with legal
 * names, a choice that fits them, schemas of objects; and reading it again gives the same. */
#include <stdlib.h>

#include "gen/gen.h"

static void demand(bool ok)
{
    if (!ok) abort();
}

static void check_tools(const struct request *r)
{
    for (size_t i = 0; i < json_len(r->tools); i++) {
        const struct json *tool = json_at(r->tools, i);
        const char *name = json_str(json_get(json_get(tool, "function"), "name"), NULL);
        demand(name && *name && strlen(name) <= 128);
        struct json *open = tool_schema(tool), *closed = schema_closed(open);
        demand(json_str_is(json_get(open, "type"), "object"));
        demand(json_is(closed, JSON_OBJECT));
        json_free(open);
        json_free(closed);
    }
}

static void check_request(const struct request *r)
{
    demand(json_len(r->messages) > 0 && r->max_tokens >= 0);
    demand(r->tools || r->choice == CHOICE_NONE || r->choice == CHOICE_AUTO);
    demand(r->choice != CHOICE_NAMED || r->choice_name);
    check_tools(r);
    struct err e = { 0 };
    struct request again;
    demand(request_read(&again, json_copy(r->body), &e));
    demand(json_equal(again.body, r->body));
    request_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = { 0 };
    struct request r;
    log_level = LOG_ERROR;
    struct json *body = json_parse((const char *)data, size, &e);
    if (!body) return 0;
    struct json *tools = tools_normalise(body, &e);
    json_free(tools);
    if (request_read(&r, body, &e)) {
        check_request(&r);
        request_done(&r);
    } else demand(e.code && e.msg[0]);
    return 0;
}
