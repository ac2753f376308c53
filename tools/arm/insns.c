/* insns.c -- a plugin of qemu-user that counts the instructions a program runs and prints their
 * number on stderr as it ends:
 *
 *     cc -O2 -shared -fPIC tools/arm/insns.c -o insns.so
 *     qemu-aarch64 -cpu max -plugin ./insns.so build-arm/tenon bench -t 1 …
 *
 * The few functions of QEMU's plugin interface (version 1) that it needs are declared here: Debian
 * ships no header. Other machines' qemu-* count the same way, AVX2 programs under qemu-x86_64
 * among them. One thread only: the counter is not atomic. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#define EXPORT __attribute__((visibility("default")))
struct tb; /* a translated block */
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*fn)(uint64_t id, struct tb *tb));
size_t qemu_plugin_tb_n_insns(const struct tb *tb);
void qemu_plugin_register_vcpu_tb_exec_inline(struct tb *tb, int op, void *counter, uint64_t by);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*fn)(uint64_t id, void *ctx), void *ctx);

EXPORT int qemu_plugin_version = 1;
static uint64_t count;

static void translated(uint64_t id, struct tb *tb)
{
    enum { ADD_U64 = 0 };
    qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &count, qemu_plugin_tb_n_insns(tb));
}

static void at_exit(uint64_t id, void *ctx)
{
    fprintf(stderr, "insns: %" PRIu64 "\n", count);
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
