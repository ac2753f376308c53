/* loop.c -- a program with a tool of its own: the model calls it, reads what it gave, and answers.
 *
 *     cc loop.c -o loop $(pkg-config --cflags --libs tenon) && ./loop "Dim the light in the kitchen to 10" */
#include <stdio.h>

#include <tenon.h>

static void set_light(void *user, const char *arguments, struct tn_call *call)
{
    printf("set_light %s\n", arguments);               /* satisfies the schema below */
    tn_call_finish(call, "{\"ok\":true}", false);
}

int main(int argc, char **argv)
{
    static const char light[] =
        "{\"name\":\"set_light\",\"description\":\"Dims or brightens the light in a room\",\"parameters\":{\"type\":\"object\",\"properties\":{"
        "\"room\":{\"type\":\"string\",\"description\":\"which room\"},"
        "\"brightness\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":100,\"description\":\"percent, 0 is off\"}},"
        "\"required\":[\"room\",\"brightness\"]}}";
    struct tn_error err;
    struct tn_engine *engine = tn_open(NULL, NULL, &err);
    struct tn_loop *loop = engine ? tn_loop_open(engine, "{\"limits\":{\"max_turns\":4}}", &err) : NULL;
    char *answer = NULL;
    if (loop && tn_tool_register(loop, light, set_light, NULL, &err))
        answer = tn_loop_send(loop, argc > 1 ? argv[1] : "Dim the light in the kitchen to 10", NULL, NULL, &err);
    if (answer) puts(answer);
    else fprintf(stderr, "%s\n", err.message);
    tn_free(answer);
    tn_loop_close(loop);
    tn_close(engine);
    return !answer;
}
