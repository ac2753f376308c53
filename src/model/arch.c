/* arch.c -- the architectures we run, as data: which tensors a layer has and what shape they
 * must be.
 *
 * A new architecture is a row here plus, where it computes something new, a block in decoder.c.
 * The table is walked by weights.c; nothing else knows a tensor's name. */
#include "model/int.h"

#define AT(field) offsetof(struct layer, field)

static const struct slot lfm2_slots[] = {
    { "attn_norm.weight",         AT(norm_mix), SLOT_VECTOR, LAYER_ANY,  DIM_ONE,   DIM_EMBD },
    { "ffn_norm.weight",          AT(norm_ffn), SLOT_VECTOR, LAYER_ANY,  DIM_ONE,   DIM_EMBD },
    { "ffn_gate.weight",          AT(gate),     SLOT_MATRIX, LAYER_ANY,  DIM_FF,    DIM_EMBD },
    { "ffn_up.weight",            AT(up),       SLOT_MATRIX, LAYER_ANY,  DIM_FF,    DIM_EMBD },
    { "ffn_down.weight",          AT(down),     SLOT_MATRIX, LAYER_ANY,  DIM_EMBD,  DIM_FF },
    { "attn_q.weight",            AT(q),        SLOT_MATRIX, LAYER_ATTN, DIM_Q,     DIM_EMBD },
    { "attn_k.weight",            AT(k),        SLOT_MATRIX, LAYER_ATTN, DIM_KV,    DIM_EMBD },
    { "attn_v.weight",            AT(v),        SLOT_MATRIX, LAYER_ATTN, DIM_KV,    DIM_EMBD },
    { "attn_output.weight",       AT(out),      SLOT_MATRIX, LAYER_ATTN, DIM_EMBD,  DIM_Q },
    { "attn_q_norm.weight",       AT(norm_q),   SLOT_VECTOR, LAYER_ATTN, DIM_ONE,   DIM_HEAD },
    { "attn_k_norm.weight",       AT(norm_k),   SLOT_VECTOR, LAYER_ATTN, DIM_ONE,   DIM_HEAD },
    { "shortconv.in_proj.weight", AT(in),       SLOT_MATRIX, LAYER_CONV, DIM_EMBD3, DIM_EMBD },
    { "shortconv.conv.weight",    AT(taps),     SLOT_TAPS,   LAYER_CONV, DIM_EMBD,  DIM_TAPS },
    { "shortconv.out_proj.weight", AT(out),     SLOT_MATRIX, LAYER_CONV, DIM_EMBD,  DIM_EMBD },
};

static const struct arch archs[] = {
    { "lfm2", lfm2_slots, LEN(lfm2_slots) },
};

const struct arch *arch_find(const char *name)
{
    for (size_t i = 0; i < LEN(archs); i++)
        if (!strcmp(archs[i].name, name)) return &archs[i];
    return NULL;
}

const char *arch_names(void)
{
    static char names[256];
    size_t n = 0;
    for (size_t i = 0; i < LEN(archs) && n < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", archs[i].name);
    return names;
}
