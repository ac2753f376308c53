/* test.h -- a thin layer over cmocka: tests register themselves, a check names its row.
 *
 *     TEST(schema_accepts_exactly_its_language) { CHECK(ok == want, "%s", row->why); }
 *
 * A file of tests ends with TEST_MAIN. CHECK goes on after a failure, so that one run shows every bad
 * row; the test fails at its end. SKIP says aloud why nothing was tested. */
#ifndef TENON_TEST_H
#define TENON_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/base.h"

/* Sanitizers make everything some ten times as long, and so does an emulator (tools/arm): what is many of a kind may be
 * fewer there. */
#if defined(__SANITIZE_ADDRESS__) || defined(TENON_EMULATED)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

#define TEST_MOST 256
static struct CMUnitTest test_list[TEST_MOST];
static size_t test_count;
static int test_bad;

#define TEST(name) \
    static void body_##name(void); \
    static void run_##name(void **state) { (void)state; test_bad = 0; body_##name(); \
        if (test_bad) fail_msg("%d checks failed", test_bad); } \
    __attribute__((constructor)) static void add_##name(void) { \
        test_list[test_count++] = (struct CMUnitTest){ #name, run_##name, NULL, NULL, NULL }; } \
    static void body_##name(void)

#define CHECK(cond, ...) \
    do { if (!(cond)) { test_bad++; fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond); \
        fprintf(stderr, __VA_ARGS__); fputc('\n', stderr); } } while (0)
#define SKIP(...) do { printf("skipped: "); printf(__VA_ARGS__); putchar('\n'); skip(); } while (0)

/* Path below ../shared (or $TENON_SHARED); NULL when it is not there. Static buffer. */
static inline const char *shared_path(const char *below)
{
    static char path[1024];
    const char *root = getenv("TENON_SHARED");
    snprintf(path, sizeof path, "%s/%s", root ? root : "../shared", below);
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f ? path : NULL;
}

/* Tests run from the project's root (meson's workdir), with an optional name filter as argument. */
#define TEST_MAIN \
    int main(int argc, char **argv) { \
        if (argc > 1) cmocka_set_test_filter(argv[1]); \
        return _cmocka_run_group_tests(__FILE__, test_list, test_count, NULL, NULL); }

#endif
