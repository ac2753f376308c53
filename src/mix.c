/* mix.c -- which number format each tensor of a model gets.
 *
 * A type on the command line names a mix: most matrices get its base format, those that suffer most
 * (output, values, the second half of the feed-forward part) a finer one. The mixes are those other
 * tools write under the same names, so that files can be compared. Vectors, norms, routers and
 * convolution taps stay as they are. Rows that are not whole blocks fall back to a format they fit. */
#include <strings.h>

#include "mix.h"

/* ---- mixes ---- */

/* How a finer format spreads over the layers: i of n. */
enum spread { ALL, FIRST_2, FIRST_4, FIRST_EIGHTH, FIRST_SIXTEENTH, MORE };
struct rule { enum dtype fine; enum spread where; enum dtype rest; };
static const struct mix {
    const char *name;
    uint32_t file_type;
    enum dtype base, output;
    struct rule attn_v, ffn_down, attn_output;
    enum dtype attn_v_gqa;                              /* instead, where 4 heads share a value head */
    bool mx_experts;                                    /* stacked experts get MXFP4 */
} mixes[] = {
#define SAME(d) { d, ALL, d }
#define PLAIN(name, id, d, out) { name, id, d, out, SAME(d), SAME(d), SAME(d), DT_NONE }
    PLAIN("F32", 0, DT_F32, DT_F32), PLAIN("F16", 1, DT_F16, DT_F16), PLAIN("BF16", 32, DT_BF16, DT_BF16),
    PLAIN("Q8_0", 7, DT_Q8_0, DT_Q8_0), PLAIN("Q4_0", 2, DT_Q4_0, DT_Q6_K), PLAIN("Q4_1", 3, DT_Q4_1, DT_Q6_K),
    PLAIN("Q5_0", 8, DT_Q5_0, DT_Q6_K), PLAIN("Q5_1", 9, DT_Q5_1, DT_Q6_K), PLAIN("Q6_K", 18, DT_Q6_K, DT_Q6_K),
    { "Q2_K", 10, DT_Q2_K, DT_Q6_K, SAME(DT_Q3_K), SAME(DT_Q3_K), SAME(DT_Q3_K), DT_Q4_K },
    { "Q3_K_S", 11, DT_Q3_K, DT_Q6_K, SAME(DT_Q3_K), SAME(DT_Q3_K), SAME(DT_Q3_K), DT_NONE },
    { "Q3_K_M", 12, DT_Q3_K, DT_Q6_K, { DT_Q5_K, FIRST_2, DT_Q4_K }, { DT_Q5_K, FIRST_SIXTEENTH, DT_Q4_K },
      SAME(DT_Q4_K), DT_NONE },
    { "Q3_K_L", 13, DT_Q3_K, DT_Q6_K, SAME(DT_Q5_K), SAME(DT_Q5_K), SAME(DT_Q5_K), DT_NONE },
    { "Q4_K_S", 14, DT_Q4_K, DT_Q6_K, { DT_Q5_K, FIRST_4, DT_Q4_K }, { DT_Q5_K, FIRST_EIGHTH, DT_Q4_K },
      SAME(DT_Q4_K), DT_NONE },
    { "Q4_K_M", 15, DT_Q4_K, DT_Q6_K, { DT_Q6_K, MORE, DT_Q4_K }, { DT_Q6_K, MORE, DT_Q4_K },
      SAME(DT_Q4_K), DT_NONE },
    { "Q5_K_S", 16, DT_Q5_K, DT_Q6_K, SAME(DT_Q5_K), SAME(DT_Q5_K), SAME(DT_Q5_K), DT_NONE },
    { "Q5_K_M", 17, DT_Q5_K, DT_Q6_K, { DT_Q6_K, MORE, DT_Q5_K }, { DT_Q6_K, MORE, DT_Q5_K },
      SAME(DT_Q5_K), DT_NONE },
    { "IQ4_NL", 25, DT_IQ4_NL, DT_Q6_K, SAME(DT_IQ4_NL), { DT_Q5_K, FIRST_EIGHTH, DT_IQ4_NL },
      SAME(DT_IQ4_NL), DT_Q5_K },
    { "IQ4_XS", 30, DT_IQ4_XS, DT_Q6_K, SAME(DT_IQ4_XS), { DT_Q5_K, FIRST_EIGHTH, DT_IQ4_XS },
      SAME(DT_IQ4_XS), DT_Q5_K },
    { "MXFP4_MOE", 38, DT_Q8_0, DT_Q8_0, SAME(DT_Q8_0), SAME(DT_Q8_0), SAME(DT_Q8_0), DT_NONE, .mx_experts = true },
};

bool mix_find(const char *name, const struct mix **out, struct err *e)
{
    static const char *const alias[][2] = { { "Q3_K", "Q3_K_M" },
                                            { "Q4_K", "Q4_K_M" },
                                            { "Q5_K", "Q5_K_M" } };
    const char *full = name;
    for (size_t i = 0; i < LEN(alias); i++)
        if (!strcasecmp(name, alias[i][0])) full = alias[i][1];
    struct str all = { 0 };
    for (size_t i = 0; i < LEN(mixes); i++) {
        str_fmt(&all, " %s", mixes[i].name);
        if (!strcasecmp(full, mixes[i].name)) *out = &mixes[i];
    }
    if (!*out) err_set(e, ERR_ARG, "type '%s' is unknown; these are:%s", name, all.p);
    str_done(&all);
    return *out != NULL;
}

const char *mix_name(const struct mix *m)
{
    return m->name;
}

uint32_t mix_file_type(const struct mix *m)
{
    return m->file_type;
}

bool mix_is_quantised(const struct mix *m)
{
    return dtype_info(m->base)->block > 1;
}

static bool spread_has(enum spread s, int i, int n)
{
    switch (s) {
    case ALL:             return true;
    case FIRST_2:         return i < 2;
    case FIRST_4:         return i < 4;
    case FIRST_EIGHTH:    return i < n / 8;
    case FIRST_SIXTEENTH: return i < n / 16;
    default:              return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    }
}

static enum dtype rule_at(const struct rule *r, int i, int n)
{
    return spread_has(r->where, i, n) ? r->fine : r->rest;
}

/* ---- which format a tensor gets ---- */

/* "blk.7.attn_v.weight": layer 7, rest "attn_v.weight". */
static const char *layer_part(const char *name, int *layer)
{
    int used = 0;
    if (sscanf(name, "blk.%6d.%n", layer, &used) != 1 || !used) return NULL;
    if (*layer < 0 || *layer >= MIX_LAYERS) return NULL;
    return name + used;
}

static bool is_part(const char *name, const char *part, int *layer)
{
    const char *rest = layer_part(name, layer);
    return rest && !strncmp(rest, part, strlen(part));
}

static bool is_value(const char *name, int *layer)
{
    return is_part(name, "attn_v.weight", layer) || is_part(name, "attn_qkv.weight", layer);
}

void mix_see(struct mix_model *s, const char *name)
{
    int layer;
    if (!strcmp(name, "output.weight")) s->has_output = true;
    else if (is_value(name, &layer)) s->attn_v[layer]++;
    else if (is_part(name, "ffn_down", &layer)) s->ffn_down[layer]++;
}

/* Such matrices in the layers below the given one. */
static int below(const int *count, int layer)
{
    int n = 0;
    for (int l = 0; l < layer; l++) n += count[l];
    return n;
}

static bool eligible(const struct tensor *t)
{
    static const char *const never[] = { "_norm.weight", "ffn_gate_inp.weight",
                                         "shortconv.conv.weight" };
    if (t->n_dim < 2 || !ends_with(t->name, "weight") || strstr(t->name, "ssm_conv1d"))
        return false;
    for (size_t i = 0; i < LEN(never); i++)
        if (ends_with(t->name, never[i])) return false;
    return dtype_info(t->dtype)->unpack != NULL;
}

static enum dtype value_type(const struct mix *m, const struct mix_model *s, int layer)
{
    if (s->n_expert == 8) return DT_Q8_0;
    enum dtype d = rule_at(&m->attn_v, below(s->attn_v, layer), below(s->attn_v, MIX_LAYERS));
    if (m->attn_v_gqa != DT_NONE && s->gqa >= 4) d = m->attn_v_gqa;
    if (s->is_llama && s->n_layer == 80 && (d == DT_Q3_K || d == DT_Q4_K)) d = DT_Q5_K;
    return d;
}

/* An importance matrix changes the first eighth: the symmetric formats get a minimum, IQ4 needs no help. */
static enum dtype down_type(const struct mix *m, const struct mix_model *s, int i)
{
    if (s->has_importance && i < s->n_layer / 8) {
        if (m->base == DT_Q4_0) return DT_Q4_1;
        if (m->base == DT_Q5_0) return DT_Q5_1;
        if (m->base == DT_IQ4_NL || m->base == DT_IQ4_XS) return m->base;
    }
    return rule_at(&m->ffn_down, i, s->n_layer);
}

/* Before looking at the row length. */
static enum dtype wanted(const struct mix *m, const struct mix_model *s, const char *name)
{
    int layer;
    if (dtype_info(m->base)->block == 1 || m->base == DT_Q8_0) return m->base;
    if (!strcmp(name, "output.weight") || (!s->has_output && !strcmp(name, "token_embd.weight")))
        return m->output;
    if (is_value(name, &layer)) return value_type(m, s, layer);
    if (is_part(name, "attn_k.weight", &layer) && s->n_expert == 8) return DT_Q8_0;
    if (is_part(name, "ffn_down", &layer)) return down_type(m, s, below(s->ffn_down, layer));
    if (!is_part(name, "attn_output.weight", &layer)) return m->base;
    bool coarse = m->base == DT_Q2_K || m->base == DT_Q3_K || m->base == DT_Q4_K ||
                  m->base == DT_IQ4_NL || m->base == DT_IQ4_XS;
    return s->n_expert == 8 && coarse ? DT_Q5_K : m->attn_output.fine;
}

static enum dtype fit_row(enum dtype d, int64_t row)
{
    static const struct { enum dtype from, to; } smaller[] = {
        { DT_Q2_K, DT_Q4_0 }, { DT_Q3_K, DT_Q4_0 }, { DT_Q4_K, DT_Q5_0 }, { DT_Q5_K, DT_Q5_1 },
        { DT_Q6_K, DT_Q8_0 }, { DT_IQ4_XS, DT_IQ4_NL },
    };
    for (size_t i = 0; i < LEN(smaller) && row % dtype_info(d)->block; i++)
        if (smaller[i].from == d) d = smaller[i].to;
    return row % dtype_info(d)->block ? DT_F16 : d;
}

enum dtype mix_type(const struct mix *m, const struct mix_model *s, const struct tensor *t, bool pure)
{
    if (!eligible(t)) return t->dtype;
    if (m->mx_experts && t->n_dim == 3) return fit_row(DT_MXFP4, t->ne[0]);
    return fit_row(pure ? m->base : wanted(m, s, t->name), t->ne[0]);
}
