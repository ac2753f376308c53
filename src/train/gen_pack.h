/* gen_pack.h -- a loaded domain pack and its look in one conversation; shared by gen_pack.c, which
 * loads and draws, gen_pack_slot.c, which draws the values, gen_pack_form.c, which says what a pack
 * has in forms of its own, and gen_pack_kind.c, which makes conversations of it. */
#ifndef TENON_TRAIN_GEN_PACK_H
#define TENON_TRAIN_GEN_PACK_H

#include "train/gen_int.h"

enum { PACK_TOOLS_MOST = 16, PACK_PROPS_MOST = 24, CALLS_MOST = 6, SLOTS_DRAWN_MOST = 48 };
enum group_kind {
    GROUP_REQUEST,
    GROUP_PARALLEL,
    GROUP_ASK,
    GROUP_NONE,
    GROUP_RESULT,
    GROUP_FOLLOWUP,
    GROUP_KINDS
};

/* How a number is said; SAY_DIGITS where the pack says nothing. */
enum say { SAY_DIGITS, SAY_WORDS, SAY_THOUSANDS, SAY_PERCENT };
struct slot {
    const char *name;
    /* one of them, or kind >= 0 */
    const struct json *values, *map, *range, *decimal, *list;
    int kind;
    enum say say;
    double times;                                                     /* value = number said * times */
    int item, least, most;                                            /* list: of which slot, how many */
    const char **map_key; const struct json **map_value; size_t n_map;
    /* its values are members of some schema; are days and times, which look like nothing else */
    bool closed, temporal;
};
struct pack_tool { const char *name, *desc; const struct json *props, *required; };
struct pack_call { int tool; const struct json *args; };
struct group { const struct json *g; struct pack_call call[CALLS_MOST]; int n_call, first; };
struct domain_pack {
    struct json *root;
    const char *domain;
    /* a domain of the test part */
    bool held;
    struct slot *slot; int n_slot;
    struct pack_tool tool[PACK_TOOLS_MOST]; int n_tool;
    struct group *group[GROUP_KINDS]; int n_group[GROUP_KINDS];
    /* words that link tools and requests */
    struct swap_word { char *word; int uses; } *word; int n_word, cap_word;
};

/* Where open-class values come from: the pack's own, invented ones of the same shape, any
 * pack's. */
enum fill { FILL_OWN, FILL_LIKE, FILL_ANY };
/* The drawings of one conversation: the same slot and number give the same value everywhere. */
struct drawn {
    int slot, k;
    const char *said;
    /* what the argument gets: value, or raw (JSON text), else said itself, as digits or characters */
    const struct json *value;
    const char *raw;
    bool number;
};
/* Words of the pack that are other words in this conversation, in its tools and in what is said. */
enum { SWAPS_MOST = 4 };
struct swaps { const char *from[SWAPS_MOST], *to[SWAPS_MOST]; int n; };
struct slots {
    const struct domain_pack *p;
    const struct swaps *swaps;
    struct drawn got[SLOTS_DRAWN_MOST];
    int n;
    enum fill fill;
};
bool slot_load(struct slot *s, const char *name, const struct json *form, struct err *e);
struct drawn slot_draw(struct draw *d, const struct domain_pack *p, int slot, enum fill fill);
const struct drawn *slot_get(struct draw *d, struct slots *s, int slot, int k);
struct json *drawn_json(const struct drawn *o);                       /* the caller's */
const char *drawn_plain(struct draw *d, const struct drawn *o);       /* in the assistant's words */
/* Next "{slot}" or "{slot.2}" at or after s: false when there is none. */
bool pack_next_ref(const char *s, const char **at, size_t *len, size_t *name_len, int *k);
int pack_slot_find(const struct domain_pack *p, const char *name, size_t len);
/* The slot that a whole string names ("{room.2}"), -1 when it is anything else. */
int pack_whole_ref(const struct domain_pack *p, const char *s, int *k);
/* Marked: in the user's words; else as the assistant and arguments have it. */
const char *pack_text(struct draw *d, struct slots *s, const char *tmpl, bool mark);
const char *pack_one_text(struct draw *d, struct slots *s, const struct json *list, bool mark);
struct json *pack_value(struct draw *d, struct slots *s, const struct json *v);
/* bit i: slot i is used */
uint64_t pack_refs(const struct domain_pack *p, const struct json *v, bool plain_only);
uint64_t pack_text_refs(const struct domain_pack *p, const char *s);
uint32_t args_keep(const struct pack_tool *t, const struct json *args);

/* How the tools of a conversation look; view: one tool under that look. */
enum members { MEMBERS_AS_THEY_ARE, MEMBERS_UPPER, MEMBERS_PASCAL, MEMBERS_KEBAB, MEMBERS_WORDS,
               MEMBERS_LAST = MEMBERS_WORDS };
struct look {
    bool rename;
    enum members members;
    struct swaps swaps;
    enum style style;
    int opaque_percent, drop_desc_percent, drop_tool_desc_percent, drop_optional_percent;
};
struct view_param {
    const char *key, *name, *desc;
    const struct json *schema;
    bool required;
    int index;
};
struct view {
    const struct domain_pack *p;
    int tool;
    enum members members;
    const char *name, *desc;
    struct view_param param[PACK_PROPS_MOST];
    int n_param;
};
/* Bit i: parameter i is given by some call, by every call of the conversation, is required whatever
 * the pack says. */
struct tool_use { bool needed; uint32_t some, always, demand; };
void swaps_draw(struct draw *d, const struct domain_pack *p, struct swaps *s);
const char *swapped(struct draw *d, const struct swaps *s, const char *text); /* outside marks */
void view_make(struct draw *d, const struct domain_pack *p, int tool, struct tool_use use,
               const struct look *l, struct view *v);
struct json *view_json(struct draw *d, const struct view *v);
struct json *view_args(struct draw *d, const struct view *v, struct slots *s,
                       const struct json *args);

/* Requests of a group in forms that the pack does not spell out (gen_pack_form.c). */

/* Tool and parameters as this view calls them: "plot function with range 3 and color red". NULL
 * when an argument cannot be said. Marked. */
const char *form_named(struct draw *d, const struct view *v, struct slots *s,
                       const struct json *args);
/* A phrasing in which the speaker corrects a value in mid-sentence; tmpl itself when none can be. */
const char *form_slip(struct draw *d, const struct domain_pack *p, const char *tmpl);
/* A slot of the group that one argument alone takes, and that stands in the phrasing once (tmpl
 * NULL: in all of them): its index, -1 when there is none. */
int form_lone_slot(struct draw *d, const struct domain_pack *p, const struct group *g,
                   const char *tmpl);
/* Numbers, days and times. */
bool form_is_measure(const struct slot *s);
/* Arguments with "{slot}" in place of "{slot.k}". The caller's. */
struct json *form_args_with(const struct domain_pack *p, const struct json *args, int slot, int k);
/* "{room}" becomes "{room}, {room.2} and {room.3}". */
const char *form_spread(struct draw *d, const struct domain_pack *p, const char *tmpl, int slot,
                        int n);

#endif
