/* datagen.h -- a generator over the packs of the repository, its conversations as text, and what holds for their answers. */
#ifndef TENON_TEST_DATAGEN_H
#define TENON_TEST_DATAGEN_H

#include <math.h>
#include <unistd.h>

#include "test.h"
#include "train/gen_int.h"

static inline struct datagen *open_packs(uint64_t seed)
{
    struct err e = { 0 };
    struct datagen *g = datagen_open(
        &(struct datagen_opts){ .packs = "data/domains", .stage = 2, .seed = seed }, &e);
    CHECK(g != NULL, "%s", e.msg);
    return g;
}

static inline char *printed(const struct datagen *g, enum data_set set, int stage, uint64_t i)
{
    struct err e = { 0 };
    struct json *c = datagen_conversation(g, set, stage, i, &e);
    struct str s = { 0 };
    CHECK(c != NULL, "%s", e.msg);
    if (c) json_write(&s, c, JSON_COMPACT);
    json_free(c);
    return str_take(&s);
}

static inline const struct json *schema_of(const struct json *tools, const char *name)
{
    for (size_t i = 0; i < json_len(tools); i++) {
        const struct json *f = tool_function(json_at(tools, i));
        if (json_str_is(json_get(f, "name"), name)) return json_get(f, "parameters");
    }
    return NULL;
}

static inline bool in_schema_order(const struct json *schema, const struct json *args)
{
    struct json_iter a = json_iter(args);
    bool more = json_next(&a);
    for (struct json_iter p = json_iter(json_get(schema, "properties")); more && json_next(&p);)
        if (!strcmp(p.key, a.key)) more = json_next(&a);
    return !more;
}

/* Every expected call is declared, valid, in the order of its schema; their number. */
static inline int check_answer(const struct json *c)
{
    const struct json *calls = json_get(json_get(c, "answer"), "tool_calls"),
                      *expect = json_get(c, "expect");
    const char *id = json_str(json_get(c, "id"), NULL);
    CHECK(json_len(calls) == json_len(expect), "%s: %zu calls, %zu expected", id, json_len(calls),
          json_len(expect));
    for (size_t i = 0; i < json_len(calls); i++) {
        struct err e = { 0 };
        size_t len;
        const struct json *f = json_get(json_at(calls, i), "function");
        const char *name = json_str(json_get(f, "name"), NULL),
                   *text_ = json_str(json_get(f, "arguments"), &len);
        const struct json *schema = schema_of(json_get(c, "tools"), name),
                          *want = json_get(json_at(expect, i), name);
        struct json *args = json_parse(text_, len, &e);
        CHECK(schema && args && want, "%s: %s is not declared, not expected or no JSON", id, name);
        if (schema && args) {
            CHECK(schema_check(schema, args, &(struct grammar_opts){ 0 }, &e), "%s: %s: %s", id,
                  name, e.msg);
            CHECK(in_schema_order(schema, args), "%s: %s: arguments out of schema order", id, name);
            CHECK(json_len(args) == json_len(want), "%s: %s: expectation has other arguments", id,
                  name);
        }
        json_free(args);
    }
    return (int)json_len(calls);
}

#endif
