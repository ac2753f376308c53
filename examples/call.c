/* call.c -- one request through the C API of Tenon.
 *
 *     cc call.c $(pkg-config --cflags --libs tenon) -o call && ./call [model.gguf] */
#include <stdio.h>
#include <tenon.h>

static const char request[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"dim the kitchen to 10\"}],"
    " \"tool_choice\": \"required\", \"max_tokens\": 100, \"tools\": [{\"type\": \"function\", "
    "\"function\": {"
    "   \"name\": \"set_light\", \"description\": \"Dims the light in a room\", \"parameters\": {"
    "     \"type\": \"object\", \"required\": [\"room\", \"brightness\"], \"properties\": {"
    "       \"room\": {\"type\": \"string\"},"
    "       \"brightness\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": 100}}}}}]}";

static bool on_event(void *ctx, const struct tn_event *event)
{
    if (event->kind == TN_CALL_BEGIN) printf("%s ", event->name);
    if (event->kind == TN_CALL_ARGS) fwrite(event->bytes, 1, event->len, stdout);
    if (event->kind == TN_CALL_END) putchar('\n');
    return true;                                        /* false would stop the answer */
}

int main(int argc, char **argv)
{
    struct tn_error error;
    struct tn_engine *engine = tn_open(argc > 1 ? argv[1] : NULL, NULL, &error);
    bool ok = engine && tn_run(engine, request, on_event, NULL, &error);
    if (!ok) fprintf(stderr, "call: %s\n", error.message);
    tn_close(engine);
    return ok ? 0 : 1;
}
