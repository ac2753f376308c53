/* openapi.h -- what the files about OpenAPI documents share: openapi.c has the document and its operations,
 * openapi_schema.c makes its schemas stand alone, openapi_auth.c finds the keys that an operation needs. */
#ifndef AGENT_OPENAPI_H
#define AGENT_OPENAPI_H

#include "agent/int.h"

/* What "$ref" of v points to within the document ("#/components/parameters/x"); anything else is itself. */
const struct json *openapi_resolve(const struct json *spec, const struct json *v);
/* A copy of a schema that stands alone but for references into $defs: what is read-only is gone (and not required), and what
 * 3.0 writes in its own way ("nullable", a boolean "exclusiveMinimum") is written as in JSON Schema. refs: names of the
 * schemas it refers to, added. */
struct json *openapi_schema(const struct json *spec, const struct json *v, struct words *refs);
/* $defs of all that refs names, and what these name; owned, NULL: nothing. */
struct json *openapi_defs(const struct json *spec, struct words *refs);

/* Keys of an operation, as members of a tool of web.c: headers, cookies, and pairs for the query. */
struct openapi_keys { struct json *headers, *cookies; struct str query; };
/* The first of its ways to say who asks for which all variables of the environment are there, else false: why names them.
 * entry: of the tools file, with "auth" (scheme: variable) and "headers". */
bool openapi_keys(struct toolset *ts, const struct json *spec, const struct json *entry, const struct json *op, struct openapi_keys *out, struct str *why);

#endif
