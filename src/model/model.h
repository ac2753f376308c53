/* model.h -- the door of model/: tokens in, logits out.
 *
 * Weights are read-only once open and stay in the file mapping. What a sequence has computed is its
 * state: a list of KV pages and, for LFM2, the convolution state; both live in a `kv`, with checkpoints
 * of the convolution state at page borders, so that any prefix can be resumed exactly. */
#ifndef TENON_MODEL_H
#define TENON_MODEL_H

#include "base/base.h"
#include "format/format.h"
#include "tensor/tensor.h"

#define MODEL_LAYERS 1024                                             /* most layers accepted */

struct model_config {                                                 /* every number from the file */
    char arch[32];
    int n_layer, n_embd, n_ff, n_head, head_dim, n_vocab, n_ctx, conv_taps;
    int n_head_kv[MODEL_LAYERS];                                      /* 0: convolution layer */
    float rms_eps, rope_theta, rope_scale;                            /* positions count 1 / rope_scale (0: 1) */
    /* YaRN: a context of n_ctx stretched by factor (0: not at all). beta: turns within it from which a pair keeps
     * its speed (fast) or is slowed whole (slow); ext: share of that ramp; attn: further factor of cos and sin. */
    struct { float factor, beta_fast, beta_slow, ext, attn; int n_ctx; } yarn;
    int window;                                                       /* positions that attention looks back on, its own included; 0: all */
    /* Mixture of experts: in all layers from n_dense on, n_used of n_expert work on a token. 0: none. */
    int n_expert, n_used, n_ff_expert, n_dense;
    bool sigmoid;                                                     /* the router's scores; else softmax */
    float expert_scale;                                               /* of what the experts give together */
};

struct model;                                                         /* any thread may share */

/* Reads the configuration and checks every range; ERR_FORMAT names the key. */
bool model_config_read(struct model_config *c, const struct gguf *g, struct err *e);

/* Binds every tensor of the architecture; exact shapes demanded. g and ops are lent for the life of the model. */
struct model *model_open(const struct gguf *g, const struct ops *ops, struct err *e);
void          model_close(struct model *m);                           /* NULL is fine */
const struct model_config *model_config(const struct model *m);
const struct ops *model_ops(const struct model *m);
size_t        model_n_param(const struct model *m);
size_t        model_step_bytes(const struct model *m);                /* weight bytes one decoded token reads */

/* ---- KV cache: kv.c ------------------------------------------------------------------------ */

#define KV_PAGE 64                                                    /* positions of a page */

struct kv;                                                            /* engine thread only */
/* Room for n_ctx positions over all sequences (rounded up to pages) and n_seq sequences. ERR_NOMEM. */
struct kv *kv_open(const struct model *m, int n_ctx, int n_seq, struct err *e);
/* The same, keys and values stored as type: F32, F16, BF16 or Q8_0 (head dimension a multiple of 32). */
struct kv *kv_open_as(const struct model *m, int n_ctx, int n_seq, enum dtype type, struct err *e);
void kv_close(struct kv *kv);
int  kv_seq_new(struct kv *kv);                                       /* empty sequence, -1 if no slot is free */
void kv_seq_free(struct kv *kv, int seq);
int  kv_seq_fork(struct kv *kv, int seq);                             /* shares whole pages; -1 if no slot or page is free */
int  kv_len(const struct kv *kv, int seq);                            /* positions stored */
/* Cuts the sequence back so that at most len positions stay and returns how many do: exact for
 * attention-only models, else the largest checkpoint <= len (page borders, and where kv_mark was called). */
int  kv_truncate(struct kv *kv, int seq, int len);
bool kv_mark(struct kv *kv, int seq);                                 /* checkpoint here; false if there is no room for it */
/* The same at a position that is yet to come: the forward pass that writes it keeps the state on its way. */
bool kv_mark_at(struct kv *kv, int seq, int pos);
void kv_unmark(struct kv *kv, int seq, int pos);                      /* nothing if there is none */
int  kv_free_positions(const struct kv *kv);                          /* positions in free pages */

/* Pages and kept states one by one, for whoever keeps prefixes after their sequence (gen/prefix.c). Both are counted: a
 * page or state is free when nobody holds it. A page that is held twice is never written; whoever goes on in it gets a
 * copy. Every page that is full ends in a state of its own. */
int  kv_page(const struct kv *kv, int seq, int i);                    /* number of page i of a sequence */
int  kv_n_page(const struct kv *kv);
int  kv_free_pages(const struct kv *kv);
int  kv_page_refs(const struct kv *kv, int page);
void kv_page_hold(struct kv *kv, int page);
void kv_page_drop(struct kv *kv, int page);
int  kv_page_take(struct kv *kv);                                     /* a free page to be filled through kv_page_data; -1 */
int  kv_state(const struct kv *kv, int seq, int pos);                 /* of the mark at pos, which is computed; -1: none */
int  kv_state_take(struct kv *kv);                                    /* a free one; -1 */
int  kv_free_states(const struct kv *kv);
void kv_state_hold(struct kv *kv, int state);
void kv_state_drop(struct kv *kv, int state);
void *kv_page_data(const struct kv *kv, int page, size_t *bytes);     /* keys, values, and the state at its end */
void *kv_state_data(const struct kv *kv, int state, size_t *bytes);
/* A sequence of len positions over these pages, which it holds too; state: kept at len (-1 at a page border, or where the
 * model has no convolution). -1 if no slot is free. */
int  kv_seq_on(struct kv *kv, const int *page, int len, int state);
bool kv_has_state(const struct kv *kv);                               /* the model has convolutions: only marks and borders can be resumed */

/* ---- running: decoder.c --------------------------------------------------------------------- */

/* ---- adapters: lora.c ----------------------------------------------------------------------- */

/* Low-rank additions to matrices of a model (LoRA, arXiv:2106.09685): y += scale * alpha / r * B (A x). */
struct adapter;                                                       /* any thread may share */
/* From a GGUF adapter of the same architecture; g is lent for its life. ERR_FORMAT names the tensor. */
/* The file of an adapter for this model: GGUF, or a folder that the PEFT library wrote. */
struct gguf    *adapter_file(const struct model *m, const char *path, struct err *e);
struct adapter *adapter_open(const struct model *m, const struct gguf *g, struct err *e);
void            adapter_close(struct adapter *a);                     /* NULL is fine */
struct lora_use { const struct adapter *a; float scale; };
/* Does the adapter change the model's matrix of this tensor name? */
bool adapter_changes(const struct model *m, const struct adapter *a, const char *name);
/* Can the adapter go into the model's own tensors? ERR_UNSUPPORTED says why not. */
bool adapter_can_merge(const struct model *m, const struct adapter *a, struct err *e);
/* The same change made to a tensor itself: w [n_out, n_in] (experts one behind the other) += scale * alpha / r * B A. Nothing
 * if it changes another. */
void adapter_merge(const struct model *m, const struct lora_use *use, const char *name, float *w);

struct rows {                                                         /* n rows of one sequence, appended at its end */
    int n, seq;
    const struct lora_use *lora; int n_lora;                          /* adapters of this sequence, added up */
    const int32_t *token;                                             /* [n] in [0, n_vocab) */
    int n_logits;                                                     /* logits of the last n_logits rows are wanted: 0 .. n */
};
/* Rows of several sequences go through the weights together; each sequence once. What a row gives does not depend on the
 * others. Appends to every sequence and writes logits: f32 [sum of n_logits, n_vocab] in the order of the rows, caller's
 * memory. Scratch from tmp. ERR_FULL (no free page), ERR_LIMIT (past n_ctx), ERR_ARG (token id) leave kv as it was. */
bool model_forward_rows(const struct model *m, struct kv *kv, const struct rows *rows, int n_rows, enum phase phase,
                        struct arena *tmp, float *logits, struct err *e);

struct batch {                                                        /* n rows of ONE sequence, appended at its end */
    int n, seq;
    const struct lora_use *lora; int n_lora;
    const int32_t *token;
    enum phase phase;
    int n_logits;
};
/* The same for one sequence. */
bool model_forward(const struct model *m, struct kv *kv, const struct batch *b, struct arena *tmp,
                   float *logits, struct err *e);

/* ---- training: decoder_grad.c -- forward with kept activations and its gradient -------------- */

/* Master weights in f32 as one flat array; tensors are views into it. Layout in file order of names. */
struct param { char name[80]; size_t off; int rows, cols; bool is_matrix, is_embedding; }; /* vectors: rows 1 */
struct net;                                                           /* shape + parameter table, read-only */
struct net *net_new(const struct model_config *c, struct err *e);
void        net_free(struct net *n);
const struct model_config *net_config(const struct net *n);
size_t              net_n_param(const struct net *n);                 /* floats in the flat array */
size_t              net_n_tensor(const struct net *n);
const struct param *net_param(const struct net *n, size_t i);
const struct param *net_find(const struct net *n, const char *name);  /* NULL: there is none */
/* Fills what is trained as training begins; the rest is the caller's. */
void                net_init(const struct net *n, float *w, uint64_t seed);
/* The trainable form of an open model, tied or not: lfm2, llama, qwen3; conversations of at most n_ctx tokens.
 * ERR_UNSUPPORTED names what has no gradient (experts, biases, a window). g: the file of m; neither is kept. */
struct net *net_of_model(const struct model *m, const struct gguf *g, int n_ctx, struct err *e);
/* Reads the file's tensors into w as f32: those that net_add_lora() did not add. */
bool        net_read(const struct net *n, const struct gguf *g, float *w, struct err *e);
/* Low-rank additions (arXiv:2106.09685) to the matrices of these kinds: y += alpha / rank * B (A x), as parameters
 * NAME.lora_a [rank, in] and NAME.lora_b [out, rank] behind all others, which are frozen from now on. Once. */
enum lora_target { LORA_ATTN = 1, LORA_CONV = 2, LORA_FFN = 4 };
bool        net_add_lora(struct net *n, int rank, float alpha, unsigned targets, struct err *e);
size_t      net_frozen(const struct net *n);                          /* floats at the front that get no gradient */
size_t      net_frozen_tensors(const struct net *n);

struct pack {                                                         /* whole conversations, back to back */
    int n, n_seq;
    const int32_t *token, *target;                                    /* [n]; target -1: no loss */
    const float *weight;                                              /* [n] loss weight of the target */
    const int32_t *start, *length, *pos0;                             /* [n_seq] first row, rows, RoPE offset */
};
struct pack_loss { double loss, weight; };                            /* weighted sum of losses, sum of weights */
/* Forward and, if grad is not NULL, backward of one pack on the calling thread: adds to grad (flat, like w from
 * net_frozen() on) the gradient of (sum of weighted losses) * scale. row_loss, row_hit [n] may be NULL:
 * loss and "arg-max is the target" of every row with target >= 0. */
bool net_step(const struct net *n, const float *w, const struct pack *p, const struct grad_ops *op, float scale, float z_loss,
              float *grad, float *row_loss, uint8_t *row_hit, struct arena *tmp, struct pack_loss *out, struct err *e);

#endif
