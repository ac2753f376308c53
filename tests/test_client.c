/* Tests of client/: streams of server-sent events, cut anywhere; requests that cannot be made. */
#include "test.h"

#include "client/client.h"

/* What came: "name|data\n" for each event. */
static bool note(void *ctx, const char *event, const char *data, size_t len)
{
    struct str *s = ctx;
    str_fmt(s, "%s|", event);
    str_put(s, data, len);
    str_putc(s, '\n');
    return strcmp(data, "STOP") != 0;
}

static const struct { const char *why, *stream, *events; bool ok; } streams[] = {
    { "two events", "data: a\n\ndata: b\n\n", "|a\n|b\n", true },
    { "no blank after the colon, one blank only is dropped", "data:a\n\ndata:  b\n\n", "|a\n| b\n", true },
    { "lines of one event are joined", "data: a\ndata: b\ndata\n\n", "|a\nb\n\n", true },
    { "CRLF", "data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", "|a\nb\n|c\n", true },
    { "CR alone", "data: a\rdata: b\r\rdata: c\r\r", "|a\nb\n|c\n", true },
    { "comments and other fields", ": hello\nid: 7\nretry: 10\ndata: a\nfoo: x\n\n", "|a\n", true },
    { "names", "event: error\ndata: a\n\ndata: b\n\n", "error|a\n|b\n", true },
    { "a name without data is no event", "event: ping\n\ndata: b\n\n", "|b\n", true },
    { "empty data is an event", "data:\n\n", "|\n", true },
    { "byte order mark", "\xEF\xBB\xBF" "data: a\n\n", "|a\n", true },
    { "many empty lines", "\n\n\ndata: a\n\n\n\n\ndata: b\n\n", "|a\n|b\n", true },
    { "what the end cuts off is no event", "data: a\n\ndata: b\n", "|a\n", true },
    { "a colon in the data", "data: {\"a\": 1}\n\n", "|{\"a\": 1}\n", true },
    { "left", "data: STOP\n\ndata: b\n\n", "|STOP\n", false },
};

/* Fed in pieces of at most `piece` bytes; 0: of random lengths. */
static bool feed(const char *stream, size_t piece, struct rng *r, struct str *out)
{
    struct sse s;
    struct err e = { 0 };
    bool ok = true;
    sse_init(&s, note, out, 100);
    for (size_t at = 0, len = strlen(stream); ok && at < len;) {
        size_t most = piece ? piece : 1 + rng_below(r, 9), n = MIN(most, len - at);
        ok = sse_feed(&s, stream + at, n, &e);
        at += n;
    }
    CHECK(ok || s.ended, "%s", e.msg);
    sse_done(&s);
    return ok;
}

TEST(streams_are_read_however_they_are_cut)
{
    struct rng r = rng_make(1, 2, 3);
    for (size_t i = 0; i < LEN(streams); i++)
        for (int k = 0; k < 40; k++) {
            struct str out = { 0 };
            bool ok = feed(streams[i].stream, k < 8 ? (size_t)k : 0, &r, &out);
            CHECK(ok == streams[i].ok && !strcmp(out.p ? out.p : "", streams[i].events), "%s, cut %d: %s", streams[i].why, k, out.p);
            str_done(&out);
        }
}

static const struct { const char *why, *stream, *id; int retry_ms; } marks[] = {
    { "the last id is kept", "id: a\ndata: x\n\nid: b\ndata: y\n\ndata: z\n\n", "b", 0 },
    { "an empty id takes it back", "id: a\ndata: x\n\nid\n\n", "", 0 },
    { "an event without data has one too", "id: prime\nretry: 500\ndata: \n\n", "prime", 500 },
    { "retry is digits", "retry: 12x\nretry: -3\nretry: \n\n", "", 0 },
    { "and of this world", "retry: 99999999999\n\n", "", 0 },
};

TEST(a_stream_says_where_it_stopped_and_when_to_come_back)
{
    for (size_t i = 0; i < LEN(marks); i++) {
        struct sse s;
        struct err e = { 0 };
        struct str out = { 0 };
        sse_init(&s, note, &out, 1000);
        CHECK(sse_feed(&s, marks[i].stream, strlen(marks[i].stream), &e), "%s", e.msg);
        CHECK(!strcmp(s.id.p ? s.id.p : "", marks[i].id) && s.retry_ms == marks[i].retry_ms, "%s: %s, %d", marks[i].why, s.id.p, s.retry_ms);
        sse_done(&s);
        str_done(&out);
    }
}

TEST(an_event_has_a_limit)
{
    struct sse s;
    struct err e = { 0 };
    struct str out = { 0 };
    bool ok = true;
    sse_init(&s, note, &out, 1000);
    for (int i = 0; ok && i < 1000; i++) ok = sse_feed(&s, "data: 0123456789\n", 17, &e);
    CHECK(!ok && e.code == ERR_LIMIT && strstr(e.msg, "1000"), "%s", e.msg);
    sse_done(&s);
    sse_init(&s, note, &out, 1000);
    for (ok = true; ok && s.line.len < 5000;) ok = sse_feed(&s, "xxxxxxxxxx", 10, &e);
    CHECK(!ok && s.line.len <= 1001, "%zu bytes of a line kept", s.line.len);
    sse_done(&s);
    str_done(&out);
}

TEST(requests_that_cannot_be_made_are_refused)
{
    static const struct { const char *url, *name, *value; enum err_code code; } bad[] = {
        { "http://127.0.0.1:1/", "X-A", "b\r\nX-Evil: 1", ERR_ARG },
        { "http://127.0.0.1:1/", "X\nA", "b", ERR_ARG },
        { "file:///etc/passwd", "X-A", "b", ERR_ARG },
        { "ftp://127.0.0.1/", "X-A", "b", ERR_ARG },
        { "http://127.0.0.1:1/", "X-A", "b", ERR_IO },
    };
    if (!client_available()) SKIP("built without libcurl");
    struct err e = { 0 };
    struct client *c = client_open(&(struct client_opts){ .connect_ms = 2000, .total_ms = 3000 }, &e);
    assert_non_null(c);
    for (size_t i = 0; i < LEN(bad); i++) {
        struct client_header h = { bad[i].name, bad[i].value };
        struct client_reply reply;
        struct err why = { 0 };
        CHECK(!client_send(c, &(struct client_request){ .method = "GET", .url = bad[i].url, .header = &h, .n_header = 1 }, &reply, &why), "%s", bad[i].url);
        CHECK(why.code == bad[i].code && why.msg[0], "%s: %s: %s", bad[i].url, err_name(why.code), why.msg);
    }
    client_close(c);
}

TEST_MAIN
