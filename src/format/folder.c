/* folder.c -- a Hugging Face folder opened as if it were the GGUF file it converts to.
 *
 * The head of that file is written into memory and read back, so that whoever asks for keys and tensors
 * sees no difference. Matrices that a GGUF file would hold as they lie stay in the mapped safetensors;
 * only what must be gathered (turned rows, stacked experts, vectors) is held in memory. */
#include <sys/stat.h>

#include "format/int.h"

/* What must live as long as the file that was made up. */
struct folder { struct hf *hf; struct str head; void **made; size_t *bytes, n; };

static void folder_close(void *ctx)
{
    struct folder *f = ctx;
    for (size_t i = 0; i < f->n; i++) mem_slab_free(f->made[i], f->bytes[i]);
    mem_free(f->made);
    mem_free(f->bytes);
    str_done(&f->head);
    hf_close(f->hf);
    mem_free(f);
}

bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Tensors of g, in the order of the folder's, get their data. */
static bool place(struct folder *f, struct gguf *g, struct err *e)
{
    f->made = mem_zero((f->n = hf_n_tensor(f->hf)) * sizeof *f->made);
    f->bytes = mem_zero(f->n * sizeof *f->bytes);
    for (size_t i = 0; i < f->n; i++) {
        const struct tensor *t = hf_tensor(f->hf, i);
        g->tensor[i].data = t->data;
        if (t->data) continue;
        f->bytes[i] = t->bytes;
        if (!(f->made[i] = mem_slab(t->bytes, e))) return false;
        hf_fill(f->hf, i, f->made[i]);
        g->tensor[i].data = f->made[i];
    }
    return true;
}

struct gguf *gguf_open_folder(const char *dir, struct err *e)
{
    struct folder *f = mem_zero(sizeof *f);
    struct gguf_out *out = gguf_out_new();
    struct gguf *g = NULL;
    size_t size;
    if ((f->hf = hf_open(dir, out, e))) {
        for (size_t i = 0; i < hf_n_tensor(f->hf); i++) gguf_out_tensor(out, hf_tensor(f->hf, i));
        if (gguf_out_head(out, &f->head, &size, e)) g = gguf_open_mem(f->head.p, size, dir, e);
    }
    gguf_out_free(out);
    if (!g) {
        folder_close(f);
        return NULL;
    }
    g->done = folder_close;
    g->done_ctx = f;
    if (place(f, g, e)) return g;
    gguf_close(g);
    return NULL;
}
