/* hf.h -- what the files that read a Hugging Face folder share: the numbers of its config.json, the table
 * of tensor names of a model type, the parts in which a GGUF tensor is found. */
#ifndef TENON_FORMAT_HF_H
#define TENON_FORMAT_HF_H

#include "base/json.h"
#include "format/int.h"

#define HF_LAYERS  1024
#define HF_EXPERTS 1024

/* A length that a config names; row tables give shapes in these. */
enum hf_dim { HF_ONE, HF_VOCAB, HF_EMBD, HF_EMBD3, HF_Q, HF_KV, HF_HEAD, HF_FF, HF_EXPERT_FF, HF_EXPERT,
              HF_TAPS, HF_DIMS };

/* In which layers a row is looked for; a row without # in its name belongs to the whole model. */
enum hf_where { HF_ANY, HF_ATTN, HF_CONV, HF_DENSE, HF_MOE };
enum { HF_OPTIONAL = 1,      /* may be absent */
       HF_F32 = 2,           /* kept in F32 whatever the type: routers, taps, biases of the choice */
       HF_PERMUTE = 4,       /* rows of each head from half-rotate to interleaved order */
       HF_TAP = 8 };         /* [d, 1, K] in the folder, [d, K] here */

/* Name in the folder, with # for the layer and * for the expert, name in the GGUF file, shape [out, in].
 * fused: the other name, of one tensor with all experts, [experts, n_slice * out, in]; this is slice `slice`. */
struct hf_row {
    const char *hf, *gguf;
    enum hf_dim out, in;
    enum hf_where where;
    unsigned flags;
    const char *fused;
    int slice, n_slice;
};

/* A model type: its name in config.json, the architecture it becomes, its tensors. */
struct hf_kind {
    const char *type, *arch;
    const struct hf_row *row;
    size_t n_row;
    double rope_theta;                                                /* where config.json is silent */
};
const struct hf_kind *hf_kind_find(const char *type);
const char           *hf_kind_names(void);
/* The row of a tensor's name in a folder whose model type becomes arch, with its layer; NULL if there is none. */
const struct hf_row  *hf_row_find(const char *arch, const char *name, int *layer);

struct hf_config {
    const struct hf_kind *kind;
    int dim[HF_DIMS];
    int n_layer, n_head, n_head_kv, n_expert, n_dense;               /* experts from layer n_dense on */
    bool is_attn[HF_LAYERS];                                          /* else a convolution */
    bool has_head;                                                    /* output.weight apart from the embedding */
    /* Divisors of the rotation frequencies [head_dim / 2], or NULL: rope_freqs.weight. */
    float *rope_freqs;
};
/* Reads and checks config.json, and writes the keys of the architecture. The tensors are asked for what a
 * config may leave open: the width of the feed-forward part, an output matrix of its own. */
bool hf_config_read(struct hf_config *c, const struct json *config, const struct safetensors *st,
                    struct gguf_out *out, struct err *e);
void hf_config_done(struct hf_config *c);

/* The tokens of a tokenizer.json, by id. Types are those of tokenizer.ggml.token_type. */
enum { HF_NORMAL = 1, HF_UNKNOWN = 2, HF_CONTROL = 3, HF_USER = 4, HF_UNUSED = 5, HF_BYTE = 6 };
struct hf_vocab {
    const struct json *tokenizer, *vocab, *merges;                    /* vocab: token -> id */
    int n;                                                            /* rows of the embedding */
    struct bytes *token;                                              /* [n] */
    int32_t *type;                                                    /* [n] */
    struct arena made;                                                /* texts of unused tokens */
};
/* Reads tokenizer.json and writes the vocabulary; calls hf_special_read. */
bool hf_tokenizer_read(const char *dir, const struct json *config, const struct hf_config *c,
                       struct gguf_out *out, struct err *e);
/* What only a vocabulary of SentencePiece has: checks that it is one, writes its keys. */
bool hf_spm_read(struct hf_vocab *v, struct gguf_out *out, struct err *e);
/* One merge, "A B" or ["A", "B"]: line becomes "A B", joined "AB", *gap the length of A; all three must be
 * in the vocabulary. Errors name merge i. */
bool hf_merge_read(const struct hf_vocab *v, size_t i, struct str *line, struct str *joined, size_t *gap,
                   struct err *e);
/* The name with # and * replaced by layer and expert: hf.c. */
char *hf_spell(struct arena *a, const char *name, int layer, int expert);
/* Where row r of a head goes when halves become neighbours: i and i + half to 2i and 2i + 1. */
static inline int64_t hf_turned(int64_t r, int64_t head_dim)
{
    int64_t i = r % head_dim, half = head_dim / 2;
    return r - i + (i < half ? 2 * i : 2 * (i - half) + 1);
}
struct bytes hf_text(const struct json *v);                           /* p is NULL if it is no string */
/* Special ids, whether bos and eos are added, chat templates: from tokenizer_config.json,
 * generation_config.json, config.json and the post-processor of tokenizer.json. */
bool hf_special_read(const char *dir, const struct json *tokenizer, const struct json *config, int n_vocab,
                     struct gguf_out *out, struct err *e);
/* The id of a token by its text, added tokens first; -1 if there is none below n_vocab. */
int32_t hf_token_id(const struct json *tokenizer, struct bytes text, int n_vocab);

/* A JSON file of the folder. optional: a missing one is NULL without an error. */
bool hf_json(const char *dir, const char *name, bool optional, struct json **out, struct err *e);

#endif
