/* families.c -- what each family of models wants prepared.
 *
 * The rows of the dialects point here. A row of `struct family` is all there is to say about a family's
 * prompts beyond its template: shapes of tools and calls (prepare.c does the work). */
#include "text/int.h"

static const struct family
    lfm2 = { .template_name = "lfm2", .syntax = CALLS_PYTHON, .bare_tools = true, .one_system = true, .calls_first = true },
    lfm2_json = { .template_name = "tenon", .signatures = true, .syntax = CALLS_JSON, .text_arguments = true, .compact = true, .bare_tools = true, .one_system = true, .calls_first = true },
    functionary_v1 = { .template_name = "functionary-v1", .strict_tools = true, .text_arguments = true, .typescript = "python" },
    functionary_v2 = { .template_name = "functionary-v2", .strict_tools = true, .text_arguments = true, .raw_code = true, .typescript = "python" },
    functionary_v2_llama3 = { .template_name = "functionary-v2.llama3", .strict_tools = true, .text_arguments = true, .raw_code = true, .typescript = "python" },
    functionary_v32 = { .template_name = "functionary-v3.2", .strict_tools = true, .text_arguments = true, .raw_code = true },
    functionary_v31 = { .template_name = "functionary-v3.1", .strict_tools = true, .text_arguments = true, .raw_code = true },
    functionary_v4r = { .template_name = "functionary-v4r", .strict_tools = true, .text_arguments = true, .raw_code = true, .reasoning = true },
    llama31 = { .template_name = "llama3.1", .syntax = CALLS_LLAMA },
    hermes = { .template_name = "hermes", .syntax = CALLS_TAGS, .tool_use = true },
    generic = { .template_name = "json", .syntax = CALLS_PLAIN, .text_arguments = true, .compact = true, .one_system = true, .generic = true };

struct json *prepare_lfm2(const struct dialect_request *r, struct err *e) { return prepare_family(r, &lfm2, e); }
struct json *prepare_lfm2_json(const struct dialect_request *r, struct err *e) { return prepare_family(r, &lfm2_json, e); }
struct json *prepare_functionary_v1(const struct dialect_request *r, struct err *e) { return prepare_family(r, &functionary_v1, e); }
struct json *prepare_functionary_v2(const struct dialect_request *r, struct err *e) { return prepare_family(r, &functionary_v2, e); }
struct json *prepare_functionary_v2_llama3(const struct dialect_request *r, struct err *e) { return prepare_family(r, &functionary_v2_llama3, e); }
struct json *prepare_functionary_v32(const struct dialect_request *r, struct err *e) { return prepare_family(r, &functionary_v32, e); }
struct json *prepare_functionary_v31(const struct dialect_request *r, struct err *e) { return prepare_family(r, &functionary_v31, e); }
struct json *prepare_functionary_v4r(const struct dialect_request *r, struct err *e) { return prepare_family(r, &functionary_v4r, e); }
struct json *prepare_llama31(const struct dialect_request *r, struct err *e) { return prepare_family(r, &llama31, e); }
struct json *prepare_hermes(const struct dialect_request *r, struct err *e) { return prepare_family(r, &hermes, e); }
struct json *prepare_json(const struct dialect_request *r, struct err *e) { return prepare_family(r, &generic, e); }

/* v4r reasons when this is among its tools; its server always put it there. enable_thinking: false does not. */
void reasoning_tool(struct json *tools, const struct dialect_request *r)
{
    const struct json *wanted = json_get(r->vars, "enable_thinking");
    for (size_t i = 0; i < json_len(tools); i++)
        if (json_str_is(json_get(json_at(tools, i), "type"), "reasoning")) return;
    if (json_is(wanted, JSON_BOOL) && !json_bool(wanted)) return;
    struct json *tool = json_new_object();
    json_set(tool, "type", json_new_str("reasoning"));
    json_push(tools, tool);
}
