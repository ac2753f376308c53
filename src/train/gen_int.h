/* gen_int.h -- what the files of the data generator share; nobody outside train/gen_*.c includes
 * it.
 *
 * One conversation is drawn by one `struct draw`: a counter-based random source, the hold-out rules
 * of its set, and an arena for all text. Text that must reach the arguments unchanged stands
 * between MARK_OPEN and MARK_CLOSE until the utterance is finished, so that noise never touches a
 * value. */
#ifndef TENON_TRAIN_GEN_INT_H
#define TENON_TRAIN_GEN_INT_H

#include "train/train.h"

#define MARK_OPEN  '\001'
#define MARK_CLOSE '\002'

struct domain_pack;
/* Words with what they mean; lists are "a|b"; all of it lies in text. */
struct sense { const char *word, *same, *wider, *meaning; char part; };
struct lexicon { struct str text; struct sense *sense; int n; };
struct dialogues { struct str text; struct bytes *line; int n; };     /* recorded conversations */
struct datagen {
    uint64_t seed;
    struct domain_pack *pack; int n_pack;
    /* open-class values of the train packs; lent from them */
    struct str_list { const char **item; int n, cap; } real_value;
    struct lexicon lexicon;                                           /* n 0: none given */
    struct dialogues dialogues;
    struct own_tool *own; int n_own;                                  /* the user's tools: then nothing else is drawn */
};

struct draw {
    const struct datagen *g;
    struct rng r;
    /* everything drawn lives here */
    struct arena *a;
    enum data_set set;
    int stage;
    /* draw from the test part instead of the train part */
    bool held_word, held_rule, held_shape;
    /* share of invented names and values in this conversation */
    int fake_percent;
};

/* ---- gen_word.c: chance, alternatives, words, identifiers ------------------------------------ */

bool chance(struct draw *d, int percent);
int  below(struct draw *d, int n);
int  range(struct draw *d, int lo, int hi);                           /* inclusive */
char *text(struct draw *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *pick(struct draw *d, const char *alternatives);           /* one of "a|b|c" */
/* the same, under the phrasing hold-out */
const char *rule(struct draw *d, const char *alternatives);
bool rule_is_held(const char *one, size_t len);
bool word_is_held(const char *w);
/* invented, lower case, ASCII */
const char *word_fake(struct draw *d);
/* the same with letters of other languages: for values */
const char *word_foreign(struct draw *d);
const char *word_noun(struct draw *d);
const char *word_adj(struct draw *d);
/* invented or real, by fake_percent */
const char *word_any(struct draw *d);
const char *capital(struct draw *d, const char *w);                   /* first letter upper case */
const char *lower(struct draw *d, const char *w);
const char *plural(struct draw *d, const char *noun);
const char *article(const char *noun);                                /* "a" or "an" */
/* "start date" in one of the styles programmers use; style_draw fixes one style for a whole tool
 * list. */
enum style { STYLE_SNAKE, STYLE_CAMEL, STYLE_PASCAL, STYLE_KEBAB, STYLE_DOT, STYLE_FLAT, STYLES };
enum style style_draw(struct draw *d);
const char *identifier(struct draw *d, const char *words, enum style s);
/* words of an identifier: "startDate" -> "start date" */
const char *spoken(struct draw *d, const char *identifier);

/* ---- gen_value.c: values, as said and as written into the call ------------------------------- */

#define VALUE_KINDS(X) \
    X(NAME) X(PERSON) X(FIRST_NAME) X(CITY) X(COUNTRY) X(STREET) X(WORD) X(PHRASE) X(TITLE) \
    X(EMAIL) X(URL) X(PATH) X(ID) X(CODE) X(PHONE) X(DATE) X(ISO_DATE) X(TIME) X(DURATION) \
    X(WEEKDAY) X(MONTH) X(YEAR) X(MONEY) X(PERCENT) X(FRACTION) X(COMPANY) X(PRODUCT) X(REAL) \
    X(HOST) X(TAG) X(CLOCK) X(MINUTES) X(INT) X(DECIMAL) X(AMOUNT) X(BOOL) X(ENUM) X(LIST) X(OBJECT)
enum value_kind {
#define X(k) V_##k,
    VALUE_KINDS(X)
#undef X
    VALUES };
struct value { const char *said; struct json *json; };                /* json: the caller's */
/* not ENUM, OBJECT, BOOL: their schema decides */
struct value value_draw(struct draw *d, enum value_kind k);
struct value value_number(struct draw *d, int lo, int hi, bool may_be_word);
/* "person" -> V_PERSON; -1 unknown */
int value_kind_of(const char *pack_kind);
/* invented, same shape: words, case, digits */
const char *value_like(struct draw *d, const char *sample);
char *marked(struct draw *d, const char *value);                      /* between the marks */

/* ---- gen_tool.c: invented tools -------------------------------------------------------------- */

#define PARAMS_MOST 8
#define MEMBERS_MOST 6
struct tool_param {
    /* schema name; how a person says it; "" = none */
    const char *name, *words, *desc;
    /* rules of its role ("to {v}|for {v}"), NULL = generic only */
    const char *attach;
    enum value_kind kind, inner;                                      /* inner: what a list holds */
    bool required;
    const char *member[MEMBERS_MOST], *said[MEMBERS_MOST]; int n_member;
    int lo, hi;                                                       /* numbers */
    struct tool_param *field; int n_field; /* objects; of a user's list: what it holds */
    const struct json *sample, *constant;                             /* of a user's tool: values; the only one */
};
struct tool {
    const char *name, *desc, *noun;
    /* row of the verb table, -1: invented */
    int verb;
    const char *fake_verb;
    struct tool_param param[PARAMS_MOST]; int n_param;
    const struct json *given;                                         /* a user's function, shown as it is */
};
void tool_draw(struct draw *d, struct tool *t, enum style s);
/* a near miss of `like` */
void tool_near(struct draw *d, const struct tool *like, struct tool *t, enum style s);
struct json *tool_json(struct draw *d, const struct tool *t);         /* bare function object */
struct value param_value(struct draw *d, const struct tool_param *p);
/* "set up a new lamp": what the request asks for */
const char *tool_action(struct draw *d, const struct tool *t);
/* The role that a parameter of this name would have; false: none. */
bool role_of(const char *words, enum value_kind *kind, const char **attach);
bool json_type_is(enum value_kind k, const char *type);               /* values of this kind are of that type */
/* How people ask for what this verb names ("set", "creates"); NULL: it is not in the table. */
const char *verb_ask(struct draw *d, const char *verb, size_t len);
/* a request could not tell them apart */
bool tool_same_request(const struct tool *a, const struct tool *b);

/* ---- gen_phrase.c: requests ------------------------------------------------------------------ */

struct given { const struct tool_param *param; const char *said; bool truth; };
/* A whole request: the action with every given argument mentioned exactly once. Marked text. */
const char *phrase_request(struct draw *d, const struct tool *t, const struct given *given, int n);
/* "the lamp with size 4 for Ana": the objects of a parallel request, without the action. */
const char *phrase_parallel(struct draw *d, const struct tool *t, const struct given *const *given,
                            const int *n, int calls);
const char *phrase_question(struct draw *d, const char *param_words, const char *desc);
const char *phrase_followup(struct draw *d, const struct given *changed);
/* 15 %: case, typos, fillers; marks removed */
const char *phrase_noise(struct draw *d, const char *marked_text);
/* marks removed, nothing else */
const char *phrase_plain(struct draw *d, const char *marked_text);
/* a greeting or thanks around it, sometimes */
const char *phrase_wrap(struct draw *d, const char *marked_text);
const char *phrase_refusal(struct draw *d, const struct json *tools);
const char *phrase_done(struct draw *d);
/* small talk and its answer */
const char *phrase_chat(struct draw *d, const char **reply);
/* {key} filled; NULL-terminated pairs */
const char *phrase_template(struct draw *d, const char *rule, const char *const *key_value);

/* ---- gen_pack.c: domain packs ---------------------------------------------------------------- */

/* a pack that is not split "train" is refused */
bool pack_load(struct datagen *g, const char *path, struct err *e);
void packs_close(struct datagen *g);
/* held-out domains only for E4 */
const struct domain_pack *pack_pick(struct draw *d);

/* A name of a parameter in this style, or a synonym of it. */
const char *param_renamed(struct draw *d, const char *name, enum style s);

/* ---- gen_lexicon.c, gen_dialogue.c: what a user may add --------------------------------- */

bool lexicon_load(struct lexicon *x, const char *path, struct err *e);
void lexicon_done(struct lexicon *x);
/* There is a lexicon and this set may use it: sets of held-out words are the same without one. */
bool has_senses(const struct draw *d);
/* A sense of a part of speech in `parts`; NULL without a lexicon. */
const struct sense *sense_draw(struct draw *d, const char *parts);
const char *sense_meaning(struct draw *d, const struct sense *s);
/* One word outside the marks gives way to another of the same meaning, if the lexicon has one. */
const char *sense_reword(struct draw *d, const char *marked);
bool dialogues_load(struct dialogues *x, const char *path, struct err *e);
void dialogues_done(struct dialogues *x);

/* ---- gen_example.c: classes of tokens --------------------------------------------------------- */

/* Of the bytes of calls: [{"name":"x","arguments":{…}},…]. */
void classify_calls(const char *s, size_t n, uint8_t *cls);
/* Of the tokens from `from` on, which say the n bytes: each has that of its first byte. */
void classify_tokens(const struct tokenizer *t, const struct ids *ids, size_t from,
                     const uint8_t *byte, size_t n, uint8_t *cls);

/* ---- gen_conv.c: one conversation ------------------------------------------------------------ */

/* owns its JSON */
struct conv {
    struct json *tools, *messages, *expect, *must, *answer;
    enum data_kind kind;
};
struct call { const char *name; struct json *args; };                 /* args owned */
void conv_start(struct conv *c, enum data_kind kind);
void conv_drop(struct conv *c);
void conv_system(struct conv *c, const char *s);
void conv_user(struct conv *c, const char *s);
/* tool turn of call number i (1..) of the turn before */
void conv_result(struct conv *c, int i, const struct json *result);
/* a past turn; also trained on */
void conv_assistant(struct conv *c, const char *s);
/* a past turn whose wording is of no account: "weight": 0 */
void conv_filler(struct conv *c, const char *s);
/* a past turn with calls; takes the args */
void conv_called(struct conv *c, struct call *call, int n);
/* the wanted turn; fills expect; takes the args */
void conv_answer_calls(struct conv *c, struct call *call, int n);
void conv_answer_text(struct conv *c, const char *s);
void conv_shuffle_tools(struct draw *d, struct conv *c);
/* copy with keys in schema order */
struct json *json_in_order(const struct json *schema, const struct json *value);
bool pack_conversation(struct draw *d, enum data_kind kind, struct conv *c);
bool tool_conversation(struct draw *d, enum data_kind kind, struct conv *c);
bool own_tools_conversation(struct draw *d, enum data_kind kind, struct conv *c);
bool conv_fits(const struct conv *c); /* its calls fit their schemas; gen_example.c */
void copy_conversation(struct draw *d, struct conv *c);
bool dialogue_conversation(struct draw *d, struct conv *c);           /* gen_dialogue.c */
/* gen_own.c: tools of the user's */
bool own_load(struct datagen *g, const struct json *tools, struct err *e);
int  own_draw(struct draw *d, struct tool *t, int most);
const char *own_action(struct draw *d, const struct tool *t);
bool own_conversation(struct draw *d, struct conv *c);
/* A result that some tool may have given, and nothing else than "it worked". */
struct json *result_ok(struct draw *d);
const char *system_line(struct draw *d);

#endif
