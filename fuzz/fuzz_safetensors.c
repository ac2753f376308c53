/* fuzz_safetensors.c -- libFuzzer target: any bytes as a safetensors file. Whatever opens must hold what
 * the door promises: each tensor found by its name, whole inside the bytes, and readable. */
#include "format/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_tensor(const struct tensor *t, const uint8_t *data, size_t size)
{
    const struct dtype_info *d = dtype_info(t->dtype);
    const uint8_t *p = t->data;
    size_t n = t->bytes / (size_t)d->bytes;
    float x[256];
    if (p < data || t->bytes > size || p > data + (size - t->bytes)) __builtin_trap();
    if ((size_t)(t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]) != n) __builtin_trap();
    for (size_t at = 0; at < n; at += LEN(x))
        d->unpack(p + at * (size_t)d->bytes, x, MIN(n - at, LEN(x)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = { 0 };
    struct safetensors *s = safetensors_open_mem(data, size, "fuzz", &e);
    if (!s) {
        if (!e.code || !e.msg[0]) __builtin_trap();                   /* a refusal has a reason */
        return 0;
    }
    for (size_t i = 0; i < safetensors_n(s); i++) {
        const struct tensor *t = safetensors_tensor(s, i);
        if (safetensors_find(s, t->name) != t) __builtin_trap();
        read_tensor(t, data, size);
    }
    safetensors_close(s);
    return 0;
}
