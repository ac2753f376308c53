/* test_refs.c -- what references mean: URIs, resources, anchors, pointers, other documents, dialects. */
#include <pthread.h>
#include <unistd.h>

#include "grammar/int.h"
#include "test.h"

static struct json *parse(const char *text)
{
    struct err e = { 0 };
    struct json *v = json_parse(text, strlen(text), &e);
    if (!v) fprintf(stderr, "test data: %s: %s\n", text, e.msg);
    return v;
}

/* ---- URIs ------------------------------------------------------------------------------------------ */

static const struct { const char *base, *ref, *want; } uris[] = {
    /* RFC 3986, 5.4 */
    { "http://a/b/c/d;p?q", "g:h", "g:h" },               { "http://a/b/c/d;p?q", "g", "http://a/b/c/g" },
    { "http://a/b/c/d;p?q", "./g", "http://a/b/c/g" },    { "http://a/b/c/d;p?q", "g/", "http://a/b/c/g/" },
    { "http://a/b/c/d;p?q", "/g", "http://a/g" },         { "http://a/b/c/d;p?q", "//g", "http://g" },
    { "http://a/b/c/d;p?q", "?y", "http://a/b/c/d;p?y" }, { "http://a/b/c/d;p?q", "g?y", "http://a/b/c/g?y" },
    { "http://a/b/c/d;p?q", "", "http://a/b/c/d;p?q" },   { "http://a/b/c/d;p?q", ";x", "http://a/b/c/;x" },
    { "http://a/b/c/d;p?q", ".", "http://a/b/c/" },       { "http://a/b/c/d;p?q", "./", "http://a/b/c/" },
    { "http://a/b/c/d;p?q", "..", "http://a/b/" },        { "http://a/b/c/d;p?q", "../g", "http://a/b/g" },
    { "http://a/b/c/d;p?q", "../..", "http://a/" },       { "http://a/b/c/d;p?q", "../../g", "http://a/g" },
    { "http://a/b/c/d;p?q", "../../../g", "http://a/g" }, { "http://a/b/c/d;p?q", "/./g", "http://a/g" },
    { "http://a/b/c/d;p?q", "/../g", "http://a/g" },      { "http://a/b/c/d;p?q", "g.", "http://a/b/c/g." },
    { "http://a/b/c/d;p?q", "..g", "http://a/b/c/..g" },  { "http://a/b/c/d;p?q", "./../g", "http://a/b/g" },
    { "http://a/b/c/d;p?q", "g/./h", "http://a/b/c/g/h" }, { "http://a/b/c/d;p?q", "g/../h", "http://a/b/c/h" },
    { "http://a/b/c/d;p?q", "g;x=1/../y", "http://a/b/c/y" }, { "http://a/b/c/d;p?q", "g?y/../x", "http://a/b/c/g?y/../x" },
    { "http://a", "g", "http://a/g" },                    { "http://a/b/", "c/../..", "http://a/" },
    /* names without segments, bases that are relative or empty */
    { "urn:uuid:dead-beef", "", "urn:uuid:dead-beef" },   { "http://a/b", "urn:x:y/../z", "urn:x:y/../z" },
    { "tag:example.com,2020:root", "http://x/y", "http://x/y" }, { "tag:e.org,2020:a", "b", "tag:b" },
    { "", "item.json", "item.json" },                     { "", "../../x", "x" },
    { "dir/root.json", "item.json", "dir/item.json" },    { "dir/root.json", "../item.json", "item.json" },
    { "root.json", "", "root.json" },                     { "", "", "" },
    { "file:///folder/file.json", "other.json", "file:///folder/other.json" }, { "c:\\x", "1a:b", "c:1a:b" },
};

TEST(references_resolve_against_a_base)
{
    for (size_t i = 0; i < LEN(uris); i++) {
        struct str s = { 0 };
        uri_resolve(&s, uris[i].base, uris[i].ref, strlen(uris[i].ref));
        CHECK(!strcmp(s.p ? s.p : "", uris[i].want), "%s + %s = %s, not %s", uris[i].base, uris[i].ref, s.p, uris[i].want);
        str_done(&s);
    }
}

/* ---- one document ----------------------------------------------------------------------------------- */

/* A reference at the schema that the pointer `from` leads to; want: title of the target, or NULL and a code. */
struct find { const char *from, *ref, *want; enum err_code code; };
static void check_find(struct refs *r, const struct find *f, const char *why)
{
    struct err e = { 0 };
    struct spot at = { 0 }, to = { 0 };
    if (!refs_find(r, 0, f->from, &at, &e)) { CHECK(false, "%s: %s: %s", why, f->from, e.msg); return; }
    bool ok = refs_find(r, at.res, f->ref, &to, &e);
    CHECK(ok == (f->want != NULL), "%s: %s: %s", why, f->ref, e.msg);
    if (ok && f->want) {
        const char *title = json_str(json_get(to.v, "title"), NULL);
        CHECK(title && !strcmp(title, f->want), "%s: %s leads to %s, not %s", why, f->ref, title ? title : "?", f->want);
    }
    if (!ok) CHECK(e.code == f->code, "%s: %s: %s %s", why, f->ref, err_name(e.code), e.msg);
}

static const struct { const char *why, *draft, *schema; struct find find[6]; } finds[] = {
    { "pointers", NULL,
      "{\"title\":\"root\",\"$defs\":{\"a/b\":{\"title\":\"slash\"},\"c~d\":{\"title\":\"tilde\"},\"e%f\":{\"title\":\"percent\"},"
      "\"\":{\"title\":\"empty\"},\"n\":[{\"title\":\"first\"}]},\"new\":{\"title\":\"unknown\"}}",
      { { "#", "", "root" }, { "#", "#", "root" }, { "#", "#/$defs/a~1b", "slash" }, { "#", "#/$defs/c~0d", "tilde" },
        { "#", "#/$defs/e%25f", "percent" }, { "#", "#/%24defs/n/0", "first" } } },
    { "odd pointers", NULL,
      "{\"$defs\":{\"\":{\"title\":\"empty\"},\"n\":[{\"title\":\"first\"}]},\"new\":{\"x\":[0,{\"title\":\"unknown\"}]}}",
      { { "#", "#/$defs/", "empty" }, { "#", "#/$defs/n/00", NULL, ERR_SCHEMA }, { "#", "#/new/x/1", "unknown" },
        { "#", "#/$defs/n/1", NULL, ERR_SCHEMA }, { "#", "#/$defs/n/0%00", NULL, ERR_SCHEMA }, { "#", "#%2F$defs%2F", "empty" } } },
    { "anchors", NULL,
      "{\"$defs\":{\"a\":{\"$anchor\":\"here\",\"title\":\"anchor\"},\"b\":{\"$dynamicAnchor\":\"there\",\"title\":\"dynamic\"},"
      "\"c\":{\"const\":{\"$anchor\":\"value\"}},\"d\":{\"unknown\":{\"$anchor\":\"nowhere\"}}}}",
      { { "#", "#here", "anchor" }, { "#", "#there", "dynamic" }, { "#", "#value", NULL, ERR_SCHEMA },
        { "#", "#nowhere", NULL, ERR_SCHEMA }, { "#", "#her%65", "anchor" } } },
    { "resources", NULL,
      "{\"$id\":\"http://x.org/root.json\",\"title\":\"root\",\"$defs\":{\"a\":{\"$id\":\"sub/a.json\",\"title\":\"a\",\"$anchor\":\"t\","
      "\"$defs\":{\"b\":{\"$id\":\"b.json\",\"title\":\"b\"},\"c\":{\"title\":\"c\"}}}}}",
      { { "#", "sub/b.json", "b" }, { "#/$defs/a", "b.json", "b" }, { "#/$defs/a", "#/$defs/c", "c" },
        { "#/$defs/a/$defs/b", "../root.json", "root" }, { "#", "#t", NULL, ERR_SCHEMA }, { "#", "sub/a.json#t", "a" } } },
    { "pointers across resources", NULL,
      "{\"$id\":\"http://x.org/\",\"properties\":{\"p\":{\"$id\":\"p/\",\"items\":{\"$id\":\"q\",\"title\":\"q\"},\"not\":{\"title\":\"n\"}}}}",
      { { "#/properties/p/items", "q", "q" }, { "#/properties/p/not", "#/not", "n" }, { "#", "p/#/items", "q" },
        { "#/properties/p/items", "http://x.org/p/#/not", "n" }, { "#", "http://x.org/p/q#", "q" }, { "#", "q", NULL, ERR_UNSUPPORTED } } },
    { "urn and tag", NULL,
      "{\"$id\":\"urn:uuid:deadbeef-1234-ffff-ffff-4321feebdaed\",\"title\":\"urn\",\"$defs\":{\"t\":{\"$id\":\"tag:e.org,2020:t\","
      "\"title\":\"tag\",\"$defs\":{\"x\":{\"title\":\"x\"}}}}}",
      { { "#", "urn:uuid:deadbeef-1234-ffff-ffff-4321feebdaed", "urn" }, { "#", "tag:e.org,2020:t#/$defs/x", "x" },
        { "#/$defs/t", "urn:uuid:deadbeef-1234-ffff-ffff-4321feebdaed#", "urn" }, { "#/$defs/t", "#/$defs/x", "x" } } },
    { "a document without a name", NULL, "{\"$defs\":{\"a\":{\"$id\":\"dir/a\",\"title\":\"a\",\"$defs\":{\"b\":{\"$id\":\"b\",\"title\":\"b\"}}}}}",
      { { "#", "dir/a", "a" }, { "#", "dir/b", "b" }, { "#/$defs/a", "b", "b" }, { "#", "b", NULL, ERR_UNSUPPORTED } } },
    { "ids that are none", NULL,
      "{\"enum\":[{\"$id\":\"http://x/e\"}],\"default\":{\"$id\":\"http://x/d\"},\"properties\":{\"$id\":{\"title\":\"property\"},"
      "\"enum\":{\"$id\":\"http://x/real\",\"title\":\"real\"}},\"what\":{\"$id\":\"http://x/u\"}}",
      { { "#", "http://x/e", NULL, ERR_UNSUPPORTED }, { "#", "http://x/d", NULL, ERR_UNSUPPORTED },
        { "#", "http://x/u", NULL, ERR_UNSUPPORTED }, { "#", "http://x/real", "real" }, { "#", "#/properties/$id", "property" } } },
    { "draft 7 ids", "draft7",
      "{\"$id\":\"http://x/root\",\"definitions\":{\"a\":{\"$id\":\"#a\",\"title\":\"a\"},\"b\":{\"$id\":\"b#c\",\"title\":\"b\"},"
      "\"r\":{\"$ref\":\"#a\",\"$id\":\"http://y/r\",\"title\":\"r\"}}}",
      { { "#", "#a", "a" }, { "#", "b", "b" }, { "#", "b#c", "b" }, { "#", "http://y/r", NULL, ERR_UNSUPPORTED },
        { "#/definitions/r", "#a", "a" } } },
    { "draft 4 ids", NULL,
      "{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"id\":\"http://x/root\",\"title\":\"root\",\"definitions\":{"
      "\"a\":{\"id\":\"a\",\"title\":\"a\"},\"b\":{\"id\":\"#b\",\"title\":\"b\"},\"c\":{\"$id\":\"http://x/c\"},\"d\":{\"properties\":{\"id\":{\"title\":\"d\"}}}}}",
      { { "#", "a", "a" }, { "#", "#b", "b" }, { "#", "http://x/c", NULL, ERR_UNSUPPORTED }, { "#/definitions/a", "root#b", "b" },
        { "#", "#/definitions/d/properties/id", "d" } } },
    { "spellings of other drafts", NULL,
      "{\"id\":\"http://x/root.json\",\"title\":\"root\",\"definitions\":{\"a\":{\"id\":\"#a\",\"title\":\"a\"},\"b\":{\"$id\":\"#b\",\"title\":\"b\"}}}",
      { { "#", "#a", "a" }, { "#", "#b", "b" }, { "#", "http://x/root.json", "root" } } },
    { "metaschemas", NULL, "{}",
      { { "#", "https://json-schema.org/draft/2020-12/schema", "Core and Validation specifications meta-schema" },
        { "#", "https://json-schema.org/draft/2019-09/meta/core", "Core vocabulary meta-schema" },
        { "#", "http://json-schema.org/draft-07/schema#", "Core schema meta-schema" },
        { "#", "https://json-schema.org/draft-06/schema", "Core schema meta-schema" },
        { "#", "http://json-schema.org/draft-05/schema", NULL, ERR_UNSUPPORTED } } },
    { "not at hand", NULL, "{\"$id\":\"http://x/\"}",
      { { "#", "other.json", NULL, ERR_UNSUPPORTED }, { "#", "file:///etc/passwd", NULL, ERR_UNSUPPORTED },
        { "#", "http://localhost:1234/integer.json", NULL, ERR_UNSUPPORTED }, { "#", "#nothing", NULL, ERR_SCHEMA } } },
};

TEST(references_lead_where_the_drafts_say)
{
    for (size_t i = 0; i < LEN(finds); i++) {
        struct grammar_opts o = { .draft = finds[i].draft };
        struct err e = { 0 };
        struct json *root = parse(finds[i].schema);
        struct refs *r = refs_open(root, &o, &e);
        CHECK(r, "%s: %s", finds[i].why, e.msg);
        for (size_t k = 0; r && k < LEN(finds[i].find) && finds[i].find[k].ref; k++)
            check_find(r, &finds[i].find[k], finds[i].why);
        refs_close(r);
        json_free(root);
    }
}

TEST(resources_know_base_and_draft)
{
    struct json *root = parse("{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"$id\":\"http://x/a/b\",\"definitions\":{\"c\":{\"$id\":\"c\"},"
                              "\"n\":{\"$schema\":\"https://json-schema.org/draft/2019-09/schema\",\"$id\":\"n\"},\"p\":{}}}");
    struct refs *r = refs_open(root, NULL, NULL);
    const struct json *defs = json_get(root, "definitions");
    struct spot c = refs_enter(r, 0, json_get(defs, "c")), n = refs_enter(r, 0, json_get(defs, "n")), p = refs_enter(r, 0, json_get(defs, "p"));
    CHECK(!strcmp(refs_res(r, 0)->base, "http://x/a/b") && refs_res(r, 0)->draft == DRAFT7, "%s", refs_res(r, 0)->base);
    CHECK(!strcmp(refs_res(r, c.res)->base, "http://x/a/c") && refs_res(r, c.res)->draft == DRAFT7, "%s", refs_res(r, c.res)->base);
    CHECK(!strcmp(refs_res(r, n.res)->base, "http://x/a/n") && refs_res(r, n.res)->draft == DRAFT2019, "%s", refs_res(r, n.res)->base);
    CHECK(p.res == 0 && p.v == json_get(defs, "p"), "%u", p.res);
    CHECK(refs_enter(r, 0, json_get(defs, "c")).res == c.res && refs_enter(r, c.res, c.v).res == c.res, "entered twice");
    refs_close(r);
    json_free(root);
}

TEST(drafts_have_names)
{
    static const struct { const char *name; enum draft draft; } all[] = {
        { "draft4", DRAFT4 }, { "draft6", DRAFT6 }, { "draft7", DRAFT7 }, { "draft2019-09", DRAFT2019 }, { "draft2020-12", DRAFT2020 },
        { "draft-07", DRAFT7 }, { "draft5", 0 }, { "", 0 } };
    struct json *root = parse("true");
    for (size_t i = 0; i < LEN(all); i++) {
        struct grammar_opts o = { .draft = all[i].name };
        struct err e = { 0 };
        struct refs *r = refs_open(root, &o, &e);
        CHECK(r ? refs_res(r, 0)->draft == all[i].draft : !all[i].draft && e.code == ERR_ARG, "%s: %s", all[i].name, e.msg);
        refs_close(r);
    }
    json_free(root);
}

/* ---- dynamic references ----------------------------------------------------------------------------- */

static void check_dynamic(const char *schema, const char *draft, const char *const *enter, uint32_t n, const char *ref, const char *want)
{
    struct grammar_opts o = { .draft = draft };
    struct err e = { 0 };
    struct json *root = parse(schema);
    struct refs *r = refs_open(root, &o, &e);
    uint32_t scope[8] = { 0 };
    struct spot to = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        CHECK(refs_find(r, 0, enter[i], &to, &e), "%s", e.msg);
        scope[i] = to.res;
    }
    bool ok = refs_find_dynamic(r, scope[n - 1], ref, scope, n, &to, &e);
    const char *title = ok ? json_str(json_get(to.v, "title"), NULL) : NULL;
    CHECK(title && !strcmp(title, want), "%s: %s, not %s (%s)", ref, title ? title : "?", want, e.msg);
    CHECK(refs_dynamic(r), "%s", schema);
    refs_close(r);
    json_free(root);
}

TEST(dynamic_references_follow_the_way_taken)
{
    static const char lists[] =
        "{\"$id\":\"http://x/root\",\"$defs\":{"
        "\"strings\":{\"$id\":\"strings\",\"$ref\":\"list\",\"$defs\":{\"t\":{\"$dynamicAnchor\":\"item\",\"title\":\"string\"}}},"
        "\"plain\":{\"$id\":\"plain\",\"$ref\":\"list\",\"$defs\":{\"t\":{\"$anchor\":\"item\",\"title\":\"no\"}}},"
        "\"list\":{\"$id\":\"list\",\"items\":{\"$dynamicRef\":\"#item\"},\"$defs\":{\"d\":{\"$dynamicAnchor\":\"item\",\"title\":\"default\"},"
        "\"e\":{\"$anchor\":\"fixed\",\"title\":\"fixed\"}}}}}";
    check_dynamic(lists, NULL, (const char *const[]){ "#", "strings", "list" }, 3, "#item", "string");
    check_dynamic(lists, NULL, (const char *const[]){ "#", "plain", "list" }, 3, "#item", "default");
    check_dynamic(lists, NULL, (const char *const[]){ "#", "list" }, 2, "#item", "default");
    check_dynamic(lists, NULL, (const char *const[]){ "#", "strings", "list" }, 3, "#fixed", "fixed");
    check_dynamic(lists, NULL, (const char *const[]){ "#", "strings", "list" }, 3, "#/$defs/d", "default");
    check_dynamic(lists, NULL, (const char *const[]){ "#", "plain", "strings", "list" }, 4, "#item", "string");
    static const char trees[] =
        "{\"$id\":\"http://x/strict\",\"$recursiveAnchor\":true,\"title\":\"strict\",\"$defs\":{"
        "\"tree\":{\"$id\":\"tree\",\"$recursiveAnchor\":true,\"title\":\"tree\"},\"shut\":{\"$id\":\"shut\",\"title\":\"shut\"}}}";
    check_dynamic(trees, "draft2019-09", (const char *const[]){ "#", "tree" }, 2, "#", "strict");
    check_dynamic(trees, "draft2019-09", (const char *const[]){ "#", "shut" }, 2, "#", "shut");
    check_dynamic(trees, "draft2019-09", (const char *const[]){ "tree" }, 1, "#", "tree");
}

/* ---- documents elsewhere ---------------------------------------------------------------------------- */

static void put(const char *dir, const char *name, const char *text)
{
    char path[300];
    struct err e = { 0 };
    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK(file_write(path, text, strlen(text), &e), "%s", e.msg);
}

TEST(remote_documents_come_from_their_folder_only)
{
    static const struct { const char *name, *text; } files[] = {
        { "secret.json", "{\"title\":\"secret\"}" },
        { "in/a.json", "{\"title\":\"a\",\"$defs\":{\"x\":{\"title\":\"x\",\"$anchor\":\"y\"},\"b\":{\"$ref\":\"b.json\"}}}" },
        { "in/b.json", "{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"id\":\"http://elsewhere/b\",\"title\":\"b\"}" },
        { "in/bad.json", "{\"title\":" },
        { "in/m1.json", "{\"$schema\":\"http://localhost:1234/m2.json\",\"title\":\"m1\"}" },
        { "in/m2.json", "{\"$schema\":\"http://localhost:1234/m1.json\",\"title\":\"m2\"}" },
        { "in/voc.json", "{\"$schema\":\"https://json-schema.org/draft/2019-09/schema\",\"$vocabulary\":{"
                         "\"https://json-schema.org/draft/2019-09/vocab/core\":true}}" },
        { "in/fmt.json", "{\"$vocabulary\":{\"https://json-schema.org/draft/2020-12/vocab/validation\":true,"
                         "\"https://json-schema.org/draft/2020-12/vocab/format-assertion\":false}}" } };
    static const struct find all[] = {
        { "#", "a.json", "a" }, { "#", "a.json#/$defs/x", "x" }, { "#", "a.json#y", "x" }, { "a.json#/$defs/b", "b.json", "b" },
        { "#", "http://elsewhere/b", "b" }, { "b.json", "http://localhost:1234/a.json", "a" }, { "b.json", "a.json", NULL, ERR_UNSUPPORTED },
        { "#", "bad.json", NULL, ERR_FORMAT }, { "#", "none.json", NULL, ERR_UNSUPPORTED }, { "#", "m1.json", "m1" },
        { "#", "http://localhost:1234/../secret.json", NULL, ERR_UNSUPPORTED }, { "#", "http://localhost:1234//../secret.json", NULL, ERR_UNSUPPORTED },
        { "#", "link.json", NULL, ERR_UNSUPPORTED }, { "#", "http://localhost:1234/", NULL, ERR_UNSUPPORTED }, { "#", "", "root" }, { "#", "http://localhost:12345/a.json", NULL, ERR_UNSUPPORTED } };
    char dir[] = "/tmp/tenon-refs-XXXXXX", path[300], link[300];
    if (!mkdtemp(dir)) SKIP("no folder for temporary files");
    snprintf(path, sizeof path, "mkdir %s/in", dir);
    CHECK(!system(path), "mkdir");
    for (size_t i = 0; i < LEN(files); i++) put(dir, files[i].name, files[i].text);
    snprintf(path, sizeof path, "%s/secret.json", dir);
    snprintf(link, sizeof link, "%s/in/link.json", dir);
    CHECK(!symlink(path, link), "symlink");
    snprintf(path, sizeof path, "%s/in", dir);
    struct grammar_opts o = { .remotes = path, .annotate_formats = true };
    struct json *root = parse("{\"$id\":\"http://localhost:1234/root.json\",\"title\":\"root\"}");
    struct refs *r = refs_open(root, &o, NULL);
    for (size_t i = 0; i < LEN(all); i++) check_find(r, &all[i], "remote");
    struct spot to = { 0 };
    CHECK(refs_find(r, 0, "b.json", &to, NULL) && refs_res(r, to.res)->draft == DRAFT4, "b.json is of draft 4");
    CHECK(refs_find(r, 0, "a.json", &to, NULL) && refs_res(r, to.res)->draft == DRAFT2020, "a.json is of the draft of who asks");
    refs_close(r);
    json_free(root);

    static const struct { const char *schema; enum draft draft; bool asserts, format; } dialects[] = {
        { "{\"$schema\":\"http://localhost:1234/voc.json\"}", DRAFT2019, false, false },
        { "{\"$schema\":\"http://localhost:1234/fmt.json\"}", DRAFT2020, true, true },
        { "{\"$schema\":\"http://localhost:1234/m1.json\"}", DRAFT2020, true, false },
        { "{\"$schema\":\"http://localhost:1234/none.json\"}", DRAFT2020, true, false },
        { "{\"$schema\":\"http://example.org/our-draft-07\"}", DRAFT7, true, false } };
    for (size_t i = 0; i < LEN(dialects); i++) {
        root = parse(dialects[i].schema);
        r = refs_open(root, &o, NULL);
        const struct res *p = refs_res(r, 0);
        CHECK(p->draft == dialects[i].draft && p->asserts == dialects[i].asserts && p->asserts_format == dialects[i].format, "%s: %d %d %d",
              dialects[i].schema, p->draft, p->asserts, p->asserts_format);
        refs_close(r);
        json_free(root);
    }
    snprintf(path, sizeof path, "rm -r %s", dir);
    CHECK(!system(path), "rm");
}

/* ---- hostile and many ------------------------------------------------------------------------------- */

TEST(hostile_schemas_are_bounded)
{
    struct str s = { 0 };
    struct err e = { 0 };
    struct spot to;
    str_puts(&s, "{\"$id\":\"http://x/");                               /* a long name, inherited many times */
    for (int i = 0; i < 4000; i++) str_puts(&s, "y");
    str_puts(&s, "/\",\"$defs\":{\"t\":{\"title\":\"t\"}");
    for (int i = 0; i < 8000; i++) str_fmt(&s, ",\"%d\":{\"$id\":\"%d\"}", i, i);
    str_puts(&s, "}}");
    struct json *root = parse(s.p);
    struct refs *r = refs_open(root, NULL, &e);
    CHECK(refs_find(r, 0, "#/$defs/t", &to, &e), "%s", e.msg);
    CHECK(!refs_find(r, 0, "#anchor", &to, &e) && e.code == ERR_LIMIT, "%s", e.msg);
    refs_close(r);
    json_free(root);

    root = json_new_object();                                          /* deeper than any parsed text */
    for (int i = 0; i < 5000; i++) {
        struct json *up = json_new_object();
        json_set(up, "not", root);
        root = up;
    }
    r = refs_open(root, NULL, &e);
    CHECK(!refs_find(r, 0, "#anchor", &to, &e) && e.code == ERR_LIMIT, "%s", e.msg);
    refs_close(r);
    json_free(root);

    str_clear(&s);                                                     /* a long reference, and one with a long segment */
    for (int i = 0; i < 5000; i++) str_puts(&s, "z");
    root = parse("{}");
    r = refs_open(root, NULL, &e);
    CHECK(!refs_find(r, 0, s.p, &to, &e) && e.code == ERR_LIMIT, "%s", e.msg);
    memcpy(s.p, "#/", 2);
    CHECK(!refs_find(r, 0, s.p, &to, &e) && e.code == ERR_SCHEMA, "%s", e.msg);
    refs_close(r);
    json_free(root);
    str_done(&s);
}

static void *ask_metaschemas(void *ctx)
{
    for (int i = 0; metaschemas[i].uri; i++)
        if (!metaschema_get(metaschemas[i].uri)) *(int *)ctx += 1;
    return NULL;
}

TEST(metaschemas_are_shared_by_threads)
{
    pthread_t t[4];
    int missing[4] = { 0 };
    for (int i = 0; i < 4; i++) CHECK(!pthread_create(&t[i], NULL, ask_metaschemas, &missing[i]), "thread");
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < 4; i++) CHECK(!missing[i], "%d are not there", missing[i]);
    CHECK(metaschema_get("https://json-schema.org/draft-04/schema") == metaschema_get("http://json-schema.org/draft-04/schema"), "http is https");
}

TEST_MAIN
