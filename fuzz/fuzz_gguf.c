/* fuzz_gguf.c -- libFuzzer target: any bytes as a GGUF file. Whatever opens must be readable whole:
 * every key by every getter, every weight, and it must survive being written again. */
#include <unistd.h>

#include "format/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_key(const struct gguf *g, struct bytes name)
{
    char *key = mem_alloc(name.len + 1);
    memcpy(key, name.p, name.len);
    key[name.len] = 0;
    struct err e = { 0 };
    struct bytes s, *list;
    int64_t i;
    int32_t *ints;
    float *floats;
    double d;
    bool b;
    size_t n;
    if (gguf_str(g, key, &s, &e) && s.len) utf8_valid(s.p, s.len);
    gguf_int(g, key, 0, 100, &i, &e);
    gguf_f64(g, key, &d, &e);
    gguf_bool(g, key, &b, &e);
    if (gguf_strs(g, key, &list, &n, &e)) mem_free(list);
    if (gguf_ints(g, key, 0, 100, &ints, &n, &e)) mem_free(ints);
    if (gguf_f32s(g, key, &floats, &n, &e)) mem_free(floats);
    mem_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = { 0 };
    struct gguf *g = gguf_open_mem(data, size, "fuzz", &e);
    if (!g) {
        if (!e.code || !e.msg[0]) __builtin_trap();                   /* a refusal has a reason */
        return 0;
    }
    static char path[64];
    snprintf(path, sizeof path, "/dev/shm/tenon-fuzz-%ld.gguf", (long)getpid());
    struct gguf_out *out = gguf_out_new();
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        struct gguf_kv kv = gguf_kv(g, i);
        read_key(g, kv.key);
        gguf_out_kv(out, &kv);
    }
    for (size_t i = 0; i < gguf_n_tensor(g); i++) {
        gguf_out_tensor(out, gguf_tensor(g, i));
        if (gguf_find(g, gguf_tensor(g, i)->name) != gguf_tensor(g, i)) __builtin_trap();
    }
    gguf_scan(g, &e);
    if (!gguf_out_write(out, path, &e)) __builtin_trap();
    struct gguf *again = gguf_open(path, &e);
    if (!again || gguf_n_tensor(again) != gguf_n_tensor(g) || gguf_n_kv(again) != gguf_n_kv(g))
        __builtin_trap();
    gguf_close(again);
    gguf_out_free(out);
    gguf_close(g);
    return 0;
}
