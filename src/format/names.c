/* names.c -- an append-only index of names: open addressing over the order of arrival. Used for keys
 * and tensors of a file being read (up to a million, in an order the file chooses) and being written. */
#include "format/int.h"

static size_t slot_of(const struct names *s, struct bytes name)
{
    size_t i = hash64(name.p, name.len, s->seed) & (s->n_slot - 1);
    while (s->slot[i]) {
        struct bytes there = s->name[s->slot[i] - 1];
        if (there.len == name.len && memcmp(there.p, name.p, name.len) == 0) break;
        i = (i + 1) & (s->n_slot - 1);
    }
    return i;
}

/* At most half of the slots are taken, so that a search for something absent ends soon. */
static void grow(struct names *s)
{
    if (s->n_slot && s->n < s->n_slot / 2) return;
    if (!s->seed) s->seed = clock_ns() ^ (uintptr_t)s;
    s->n_slot = s->n_slot ? s->n_slot * 2 : 64;
    mem_free(s->slot);
    s->slot = mem_zero(s->n_slot * sizeof *s->slot);
    for (size_t i = 0; i < s->n; i++) s->slot[slot_of(s, s->name[i])] = (uint32_t)i + 1;
}

bool names_add(struct names *s, struct bytes name)
{
    grow(s);
    size_t at = slot_of(s, name);
    if (s->slot[at]) return false;
    MEM_GROW(s->name, s->n, s->cap);
    s->name[s->n++] = name;
    s->slot[at] = (uint32_t)s->n;
    return true;
}

long names_find(const struct names *s, struct bytes name)
{
    if (!s->n) return -1;
    return (long)s->slot[slot_of(s, name)] - 1;
}

void names_done(struct names *s)
{
    mem_free(s->name);
    mem_free(s->slot);
    *s = (struct names){ 0 };
}
