/* folder.c -- a Hugging Face folder opened as if it were the GGUF file it converts to.
 *
 * The head of that file is written into memory and read back, so that whoever asks for keys and tensors
 * sees no difference. Matrices that a GGUF file would hold as they lie stay in the mapped safetensors;
 * only what must be gathered (turned rows, stacked experts, vectors) is held in memory. */
#include <sys/stat.h>

#include "format/int.h"

void *slabs_add(struct slabs *s, size_t bytes, struct err *e)
{
    void *p = mem_slab(bytes, e);
    if (!p) return NULL;
    MEM_GROW(s->p, s->n, s->cap);
    MEM_GROW(s->bytes, s->n, s->cap_bytes);
    s->p[s->n] = p;
    s->bytes[s->n++] = bytes;
    return p;
}

void slabs_done(struct slabs *s)
{
    for (size_t i = 0; i < s->n; i++) mem_slab_free(s->p[i], s->bytes[i]);
    mem_free(s->p);
    mem_free(s->bytes);
}

/* What must live as long as the file that was made up. */
struct folder { struct hf *hf; struct str head; struct slabs made; };

static void folder_close(void *ctx)
{
    struct folder *f = ctx;
    slabs_done(&f->made);
    str_done(&f->head);
    hf_close(f->hf);
    mem_free(f);
}

bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool add_tensors(struct folder *f, struct gguf_out *out, struct err *e)
{
    for (size_t i = 0; i < hf_n_tensor(f->hf); i++) {
        struct tensor t = *hf_tensor(f->hf, i);
        void *made = t.data ? NULL : slabs_add(&f->made, t.bytes, e);
        if (!t.data && !made) return false;
        if (made) hf_fill(f->hf, i, made);
        if (made) t.data = made;
        gguf_out_tensor(out, &t);
    }
    return true;
}

struct gguf *gguf_open_folder(const char *dir, struct err *e)
{
    struct folder *f = mem_zero(sizeof *f);
    struct gguf_out *out = gguf_out_new();
    bool ok = (f->hf = hf_open(dir, out, e)) && add_tensors(f, out, e);
    struct gguf *g = ok ? gguf_out_open(out, &f->head, dir, e) : NULL;
    gguf_out_free(out);
    if (g) {
        g->done = folder_close;
        g->done_ctx = f;
    } else folder_close(f);
    return g;
}
