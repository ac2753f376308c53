/* metaschema.c -- the metaschemas of the drafts, which travel inside the library.
 *
 * The build puts the files of data/metaschema/ into one array (tools/embed_json.py). Each is parsed
 * when somebody first asks for it and then kept for the life of the process: it is read-only, so any
 * number of schemas share it. */
#include "grammar/int.h"

enum { MOST_META = 32 };
static const struct json *parsed[MOST_META];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What follows the scheme: http and https mean the same document here. */
static const char *behind_scheme(const char *uri)
{
    if (!strncmp(uri, "http://", 7)) return uri + 7;
    return strncmp(uri, "https://", 8) ? uri : uri + 8;
}

const struct json *metaschema_get(const char *uri)
{
    const char *name = behind_scheme(uri);
    if (name == uri) return NULL;
    for (int i = 0; i < MOST_META && metaschemas[i].uri; i++) {
        if (strcmp(behind_scheme(metaschemas[i].uri), name)) continue;
        const char *text = metaschemas[i].text;
        pthread_mutex_lock(&lock);
        if (!parsed[i]) parsed[i] = json_parse(text, strlen(text), NULL);
        const struct json *v = parsed[i];
        pthread_mutex_unlock(&lock);
        return v;
    }
    return NULL;
}
