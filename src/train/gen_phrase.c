/* gen_phrase.c -- the paraphrase grammar: how people ask for what an invented tool does.
 *
 * A request is an action ("set up a new lamp") plus one mention for every given argument. Mentions
 * have three shapes: attached to the action ("with size 4", "for Ana"), a sentence of their own
 * ("The size is 4."), or a line of a form ("size: 4"); frames say in which order they come. Every
 * alternative between bars is one rule of the grammar and falls under the phrasing hold-out
 * (gen_word.c).
 *
 * True at all times: a given argument is mentioned exactly once, its value stands between marks,
 * and nothing that is not given is mentioned. Noise (15 %) changes only text outside the marks. */
#include "train/gen_int.h"

/* ---- templates ------------------------------------------------------------------------------- */

const char *phrase_template(struct draw *d, const char *r, const char *const *kv)
{
    struct str s = { 0 };
    while (*r) {
        size_t n = strcspn(r, "{");
        str_put(&s, r, n);
        r += n;
        const char *end = *r ? strchr(r, '}') : NULL;
        if (!end) { str_puts(&s, r); break; }
        for (int i = 0; kv[i]; i += 2)
            if (strlen(kv[i]) == (size_t)(end - r - 1) && !memcmp(kv[i], r + 1, strlen(kv[i])))
                str_puts(&s, kv[i + 1]);
        r = end + 1;
    }
    const char *out = arena_str(d->a, s.p ? s.p : "", s.len);
    str_done(&s);
    return out;
}

static const char *mention(struct draw *d, const char *rules, const struct given *g)
{
    const char *v = g->param->kind == V_BOOL ? g->said : marked(d, g->said);
    return phrase_template(d, rule(d, rules),
                           (const char *const[]){ "v", v, "p", g->param->words, NULL });
}

/* ---- mentions -------------------------------------------------------------------------------- */

static const char attach_any[] =
    "with {p} {v}|with the {p} {v}|, {p} {v}|with {v} as {p}|, {p}: {v}|using {v} as the {p}|"
    "whose {p} is {v}|where the {p} is {v}|and {p} {v}|({p} {v})|with {v} for the {p}|"
    ", {p} should be {v}|having {p} {v}|with {p} set to {v}|with a {p} of {v}|, the {p} is {v}|"
    "and use {v} as {p}|, {p} = {v}|, {v} as the {p}|{p}={v}|, for {p} take {v}|and the {p} {v}|"
    "with {p} being {v}|, let the {p} be {v}|under {p} {v}|that has {p} {v}|, {p} is {v}|"
    "by {p} {v}|, with {v} as its {p}|and set the {p} to {v}|, {v} being the {p}|{p} {v}";
static const char attach_enum[] =
    "with {p} {v}|in {v} {p}|, {p} {v}|as {p} {v}|with {v} as the {p}|, {p}: {v}|with the {v} {p}|"
    ", {v} for {p}|and {p} {v}|using the {v} {p}|on {v} {p}|, {p} should be {v}|"
    "with {p} set to {v}|, make the {p} {v}|in the {p} {v}|, {v} {p} please|whose {p} is {v}";
static const char attach_yes[] =
    "with {p}|and {p}|, {p} on|with the {p} on|, {p}: yes|, including {p}|, make it {p}|"
    "with {p} enabled|, {p} = true|and do use {p}|, yes to {p}|with {p} switched on|, {p} too|"
    "{p}=true";
static const char attach_no[] =
    "without {p}|, no {p}|, {p} off|but not {p}|, {p}: no|with {p} off|and no {p}|, leave out {p}|"
    "with {p} disabled|, {p} = false|minus the {p}|, skip {p}|{p}=false|, not {p}";
static const char sentence_any[] =
    "The {p} is {v}|{p}: {v}|{p} should be {v}|Make the {p} {v}|Take {v} as {p}|For {p} use {v}|"
    "Use {v} as the {p}|Set {p} to {v}|{v} is the {p}|I want {v} for the {p}|As {p} I'd like {v}|"
    "The {p} would be {v}|{p} {v}|Put {v} as {p}|My {p} is {v}|It has {p} {v}|Its {p} is {v}|"
    "{p} must be {v}|The {p}? {v}|Please use {v} as {p}|I chose {v} as the {p}|{v} as {p}|"
    "About the {p}: {v}|{p} = {v}|Let's say {p} {v}|With {v} as {p}|I think {p} {v} is right|"
    "They told me the {p} is {v}|The {p} I have here is {v}|Oh, and the {p} is {v}|Also, {p} {v}|"
    "You need the {p}, it's {v}";
static const char sentence_yes[] =
    "{p}: yes|And {p}, please|Turn {p} on|It should be {p}|Yes to {p}|I want {p}|{p} is a must|{p} "
    "on|I do need {p}|Make sure it's {p}|{p} = true|Don't forget {p}";
static const char sentence_no[] =
    "{p}: no|No {p}|I don't need {p}|Turn {p} off|Skip {p}|It must not be {p}|{p} off|Leave {p} "
    "out|I don't want {p}|{p} = false|We can do without {p}|Never mind {p}";

static const char *attached(struct draw *d, const struct given *g)
{
    const struct tool_param *p = g->param;
    if (p->kind == V_BOOL) return mention(d, g->truth ? attach_yes : attach_no, g);
    if (p->attach && chance(d, 78)) return mention(d, p->attach, g);
    return mention(d, p->kind == V_ENUM ? attach_enum : attach_any, g);
}

static const char *sentence(struct draw *d, const struct given *g)
{
    if (g->param->kind == V_BOOL) return mention(d, g->truth ? sentence_yes : sentence_no, g);
    return mention(d, sentence_any, g);
}

static const char *add(struct draw *d, const char *a, const char *b)
{
    if (!*b) return a;
    return text(d, "%s%s%s", a, *a && *b != ',' && *b != ':' ? " " : "", b);
}

/* ---- openings and closings ------------------------------------------------------------------- */

static const char openings[] =
    "|||||please |could you |can you |would you |hey, |I want to |I need to |I'd like to |let's |"
    "go ahead and |just |now |ok, |kindly |help me |I want you to |we have to |is it possible to |"
    "be so kind and |quick: |next, |then |you should |do me a favour and |"
    "I was wondering if you could |any chance you could |hi, |hello, please |I would love to |"
    "my boss wants me to |we need to |I have to |try to |could we |may I ask you to |"
    "it's time to |don't forget to |I was told to |can you please |could you please |"
    "would it be possible to |right, |so, |alright, |urgent: |I'm supposed to |you can |let me |"
    "I am going to |please help me |good morning, please |when you have a minute, |as discussed, |"
    "one thing: |ok now |yo, |what I need is to |the plan is to |your task: |"
    "mind if I ask you to |";
static const char closings[] =
    "||||| please| thanks| thank you|, please|, thanks|, thank you| for me| asap|, if you can| "
    "right away|, would you| now|. Thanks!|, cheers|, that's all|, ok";

static bool stands_alone(const char *action)
{
    static const char *const own[] = { "I need",    "what about", "how many", "do you have",
                                       "which are", "let me",     "we have",
                                       "what is", "what's",  "what w",   "is this",
                                       "I want you" };
    for (size_t i = 0; i < LEN(own); i++)
        if (!strncmp(action, own[i], strlen(own[i]))) return true;
    return false;
}

static bool is_question(const char *s)
{
    static const char *const q[] = { "could",      "can you", "would", "is it",
                                     "any chance", "may I",   "mind",  "what about",
                                     "how many",   "do you",  "which", "what is", "what's", "what w",
                                     "is this" };
    for (size_t i = 0; i < LEN(q); i++)
        if (!strncmp(s, q[i], strlen(q[i]))) return true;
    return false;
}

static const char *opened(struct draw *d, const char *action)
{
    return stands_alone(action) ? action : text(d, "%s%s", rule(d, openings), action);
}

static const char *ended(struct draw *d, const char *s)
{
    s = text(d, "%s%s", s, rule(d, closings));
    size_t n = strlen(s);
    if (n && strchr(".!?", s[n - 1])) return s;
    if (is_question(s)) return chance(d, 75) ? text(d, "%s?", s) : s;
    return chance(d, 45) ? text(d, "%s%s", s, chance(d, 92) ? "." : "!") : s;
}

static const char *first_upper(struct draw *d, const char *s)
{
    return chance(d, 55) ? capital(d, s) : s;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static const char *frame_attached(struct draw *d, const char *action, const struct given *g, int n)
{
    const char *s = opened(d, action);
    for (int i = 0; i < n; i++) s = add(d, s, attached(d, &g[i]));
    return ended(d, first_upper(d, s));
}

/* Some arguments hang on the action, the rest follow as sentences. */
static const char *frame_sentences(struct draw *d, const char *action, const struct given *g, int n)
{
    int k = below(d, n + 1);
    const char *s = opened(d, action);
    for (int i = 0; i < k; i++) s = add(d, s, attached(d, &g[i]));
    s = ended(d, first_upper(d, s));
    if (!strchr(".!?", s[strlen(s) - 1])) s = text(d, "%s.", s);
    for (int i = k; i < n; i++)
        s = text(d, "%s %s%s", s, first_upper(d, sentence(d, &g[i])),
                 chance(d, 85) ? "."
                 : i + 1 < n   ? ";"
                               : "");
    return s;
}

static const char *frame_form(struct draw *d, const char *action, const struct given *g, int n)
{
    const char *sep = pick(d, "\n|\n|, |; | / |\n- "), *eq = pick(d, ": |: |=| = | - | |: ");
    const char *s = text(d, "%s%s", chance(d, 60) ? action : opened(d, action),
                         *sep == '\n' ? ":\n" : pick(d, ": | - | with |, |. "));
    if (*sep == '\n' && sep[1]) s = text(d, "%s- ", s);
    for (int i = 0; i < n; i++)
        s = text(d, "%s%s%s%s%s", s, i ? sep : "", g[i].param->words, eq,
                 g[i].param->kind == V_BOOL ? g[i].said : marked(d, g[i].said));
    return first_upper(d, s);
}

static const char *frame_fronted(struct draw *d, const char *action, const struct given *g, int n)
{
    const char *m = attached(d, &g[0]);
    while (*m == ',' || *m == ' ') m++;
    const char *s = text(d, "%s%s%s", m, pick(d, ", |: |, | - | please |, "),
                         chance(d, 75) ? action : opened(d, action));
    for (int i = 1; i < n; i++) s = add(d, s, attached(d, &g[i]));
    return ended(d, first_upper(d, s));
}

/* The facts first, the wish last. */
static const char *frame_facts(struct draw *d, const char *action, const struct given *g, int n)
{
    const char *s = "";
    for (int i = 0; i < n; i++)
        s = text(d, "%s%s%s", s, first_upper(d, sentence(d, &g[i])), i + 1 < n ? ", " : ". ");
    return text(d, "%s%s", s, ended(d, first_upper(d, opened(d, action))));
}

static const char *frame_telegram(struct draw *d, const char *action, const struct given *g, int n)
{
    const char *s = action;
    for (int i = 0; i < n; i++)
        s = text(d, "%s%s%s %s", s, pick(d, ", | |; | - "), g[i].param->words,
                 g[i].param->kind == V_BOOL ? g[i].said : marked(d, g[i].said));
    return s;
}

static const char *shuffled_frame(struct draw *d, const char *action, const struct given *g, int n)
{
    int r = below(d, 100);
    if (!n || r < 48) return frame_attached(d, action, g, n);
    if (r < 64) return frame_sentences(d, action, g, n);
    if (r < 74) return frame_form(d, action, g, n);
    if (r < 86) return frame_fronted(d, action, g, n);
    return r < 94 ? frame_facts(d, action, g, n) : frame_telegram(d, action, g, n);
}

const char *phrase_request(struct draw *d, const struct tool *t, const struct given *given, int n)
{
    struct given g[PARAMS_MOST];
    memcpy(g, given, (size_t)n * sizeof *g);
    for (int i = n - 1; i > 0; i--) {
        int j = below(d, i + 1);
        struct given x = g[i];
        g[i] = g[j];
        g[j] = x;
    }
    return shuffled_frame(d, tool_action(d, t), g, n);
}

/* ---- several calls of one tool --------------------------------------------------------------- */

static const char *coordinated(struct draw *d, const struct given *const *given, int at, int calls)
{
    const char *s = marked(d, given[0][at].said), *sep = pick(d, ", |, | and "),
               *last = pick(d, " and |, and | and also | as well as | plus |, then ");
    for (int c = 1; c < calls; c++)
        s = text(d, "%s%s%s", s, c + 1 == calls ? last : sep, marked(d, given[c][at].said));
    return s;
}

static const char *group(struct draw *d, const struct given *g, int n)
{
    const char *s = "";
    for (int i = 0; i < n; i++) s = add(d, s, attached(d, &g[i]));
    while (*s == ',' || *s == ' ') s++;
    return s;
}

/* One argument differs: "book a room for Ana, Ben and Caro at 7 pm"; `said` pointers tell which. */
static int only_difference(const struct given *const *given, const int *n, int calls)
{
    int at = -1;
    for (int c = 1; c < calls; c++) {
        if (n[c] != n[0]) return -1;
        for (int i = 0; i < n[0]; i++) {
            if (given[c][i].param->kind == V_BOOL || given[c][i].param->kind == V_LIST ||
                given[c][i].param->kind == V_OBJECT)
                return -1;
            if (given[c][i].said == given[0][i].said) continue;
            if (at >= 0 && at != i) return -1;
            at = i;
        }
    }
    return at;
}

static const char *parallel_one(struct draw *d, const struct tool *t,
                                const struct given *const *given, int n, int at, int calls)
{
    const struct tool_param *p = given[0][at].param;
    const char *rules = p->attach && chance(d, 75) ? p->attach : attach_any;
    const char *s = opened(d, tool_action(d, t)), *m = coordinated(d, given, at, calls);
    m = phrase_template(d, rule(d, rules), (const char *const[]){ "v", m, "p", p->words, NULL });
    bool before = chance(d, 50);
    if (before) s = add(d, s, m);
    for (int i = 0; i < n; i++)
        if (i != at) s = add(d, s, attached(d, &given[0][i]));
    return ended(d, first_upper(d, before ? s : add(d, s, m)));
}

const char *phrase_parallel(struct draw *d, const struct tool *t, const struct given *const *given,
                            const int *n, int calls)
{
    int at = only_difference(given, n, calls);
    if (at >= 0 && chance(d, 85)) return parallel_one(d, t, given, n[0], at, calls);
    int form = below(d, 4);
    const char *s = opened(d, tool_action(d, t));
    if (form == 0) {
        s = text(d, "%s%s:", s, pick(d, "| for each of these| several times"));
        for (int c = 0; c < calls; c++)
            s = text(d, "%s\n%s%s", s, form == 0 && chance(d, 50) ? text(d, "%d. ", c + 1) : "- ",
                     group(d, given[c], n[c]));
        return first_upper(d, s);
    }
    const char *join =
        rule(d, " and one |, another one | and another |; then one |, then another one |; also one "
                "|, plus one |. Then the same | and again |. Next one ");
    const char *g0 = group(d, given[0], n[0]);
    s = text(d, "%s%s%s", s, form == 1 ? ": " : " ", g0);
    for (int c = 1; c < calls; c++)
        s = text(d, "%s%s%s", s, form == 1 ? "; " : join, group(d, given[c], n[c]));
    return ended(d, first_upper(d, s));
}

/* ---- the other turns ------------------------------------------------------------------------- */

const char *phrase_question(struct draw *d, const char *words, const char *desc)
{
    if (d->g->n_own) return text(d, "What is the %s?", words); /* one wording is learned sooner */
    const char *p =
        *desc && strlen(desc) < 40 && chance(d, 15) ? text(d, "%s (%s)", words, desc) : words;
    return phrase_template(
        d,
        pick(d, "Which {p} should I use?|What is the {p}?|What {p} would you like?|Could you tell "
                "me the {p}?|What should the {p} be?|"
                "Sure, what's the {p}?|Which {p}?|I still need the {p}. What is it?|Please tell me "
                "the {p}, would you?|What {p} do you have in mind?"),
        (const char *const[]){ "p", p, NULL });
}

const char *phrase_followup(struct draw *d, const struct given *g)
{
    const char *a = g->param->kind == V_BOOL || chance(d, 50) ? attached(d, g) : NULL;
    while (a && (*a == ',' || *a == ' ')) a++;
    if (a)
        return phrase_template(d,
                               rule(d, "the same {a}|again, but {a}|and now {a}|once more {a}|same "
                                       "thing {a}|do it {a} this time|repeat that {a}|and {a}?|now "
                                       "{a}|no, {a}|sorry, {a}|I meant {a}|actually {a}|"
                                       "rather {a}|could you do that {a}|one more {a}|another one "
                                       "{a}|ok, next one {a}|the same again {a} please"),
                               (const char *const[]){ "a", a, NULL });
    return mention(
        d,
        "the same with {p} {v}|make the {p} {v} instead|no, {p} {v}|change the {p} to {v}|again "
        "with {p} {v}|and for {p} {v}?|not that {p}, {v}|{p} {v} instead|now use {v} as the {p}|"
        "I meant {p} {v}|sorry, the {p} should be {v}|do that again with {v} as {p}|also for {p} "
        "{v}|what about {p} {v}|wrong {p}, take {v}|and {v} for the {p}|same for {p} {v}|switch "
        "the {p} to {v} and do it again",
        g);
}

const char *phrase_refusal(struct draw *d, const struct json *tools)
{
    size_t n = json_len(tools);
    if (d->g->n_own) return "I don't have a tool for that.";
    if (n && chance(d, 12)) {
        const struct json *f = tool_function(json_at(tools, 0));
        return phrase_template(
            d, "I can't do that, but I can use {t}.",
            (const char *const[]){ "t", json_str(json_get(f, "name"), NULL), NULL });
    }
    return pick(d, "I can't do that with the tools I have.|None of my tools can do that.|Sorry, "
                   "that is not something I can do here.|I don't have a tool for that.|Sorry, I "
                   "have no tool for that.|I'm afraid I can't do that.");
}

const char *phrase_done(struct draw *d)
{
    return pick(d, "Done.|Done.|Done.|All set.|OK, done.|It's done.|Done!|That "
                   "worked.|Ready.|Finished.|Sure, that's done.");
}

static const struct { const char *say, *reply;
} chats[] = {
    { "thanks|thank you|thanks a lot|thank you so much|great, thanks|thx|cheers|perfect, thank "
      "you|many thanks|thanks, that helped",
      "You're welcome!|Glad I could help.|Any time." },
    { "hi|hello|hey|good morning|good evening|hi there|hello there|hey you",
      "Hello! What can I do for you?|Hi! How can I help?" },
    { "how are you|how are you doing?|how's it going|are you ok?",
      "I'm fine, thank you. What can I do for you?" },
    { "bye|goodbye|see you|that's all|that's it for today|good night|see you later|nothing else, "
      "thanks",
      "Goodbye!|See you!" },
    { "ok|okay|alright|sounds good|perfect|great|cool|nice|got it|fine",
      "Good. Anything else?|All right." },
    { "what can you do?|what are you able to do|how can you help me|which tools do you have|what "
      "are your tools?|what is this for",
      "I can use the tools in my list. Tell me what you need." },
    { "tell me a joke|make me laugh|do you know a joke",
      "I only know tools. They don't make good jokes." },
    { "who are you|what is your name|are you a robot|are you human?",
      "I'm Tenon, an assistant that calls tools." },
    { "never mind|forget it|no, leave it|I changed my mind|don't do anything|stop, do "
      "nothing|actually no",
      "All right, I won't do anything." },
    { "I'm bored|I'm tired today|what a day|it was a long week|I had a terrible morning|I love "
      "mornings",
      "I hear you. Is there something I can do?" },
    { "why is the sky blue|what is the meaning of life|who wrote Hamlet|how tall is Mount "
      "Everest|what is love|how old is the universe",
      "I can't answer that, I can only use my tools." },
};

const char *phrase_chat(struct draw *d, const char **reply)
{
    int i = below(d, LEN(chats));
    *reply = pick(d, chats[i].reply);
    return rule(d, chats[i].say);
}

/* ---- noise ----------------------------------------------------------------------------------- */

const char *phrase_wrap(struct draw *d, const char *s)
{
    if (chance(d, 80)) return s;
    if (chance(d, 50))
        return text(d, "%s%s",
                    rule(d, "hey, |hi, |hello! |ok, |please |so, |quick one: |one more thing: "
                            "|good morning. |ok next: |sorry to bother you, |next up: |listen, "
                            "|right, |a request: |hi there, "),
                    s);
    size_t n = strlen(s);
    return text(d, "%s%s", s,
                n && strchr(".!?", s[n - 1])
                    ? rule(d, " Thanks!| Thank you.| Please.| It's urgent.| Thanks in advance.| "
                              "Cheers.| That would help a lot.")
                    : rule(d, " please| thanks|, thanks| thank you|, please|, ok?| asap|, if "
                              "possible|, would be great"));
}

/* Swaps two inner letters of one word of five or more letters outside the marks. */
static void typo(struct draw *d, char *s)
{
    int n = 0, seen = 0;
    for (int pass = 0; pass < 2; pass++) {
        int want = pass ? below(d, n) : -1;
        bool in = false;
        seen = 0;
        for (char *p = s; *p; p++) {
            if (*p == MARK_OPEN || *p == MARK_CLOSE) in = *p == MARK_OPEN;
            if (in || *p < 'a' || *p > 'z') continue;
            size_t len = 0;
            while (p[len] >= 'a' && p[len] <= 'z') len++;
            if (len >= 5 && seen++ == want) {
                size_t i = 1 + (size_t)below(d, (int)len - 3);
                char c = p[i];
                p[i] = p[i + 1];
                p[i + 1] = c;
                return;
            }
            p += len - 1;
        }
        n = seen;
        if (!n) return;
    }
}

static void lower_outside(char *s)
{
    bool in = false;
    for (; *s; s++) {
        if (*s == MARK_OPEN || *s == MARK_CLOSE) in = *s == MARK_OPEN;
        else if (!in && *s >= 'A' && *s <= 'Z') *s = (char)(*s + 32);
    }
}

static const char *strip_marks(struct draw *d, const char *s, const char *quote)
{
    char *out = arena_alloc(d->a, strlen(s) * 2 + 1), *o = out;
    for (; *s; s++) {
        if (*s != MARK_OPEN && *s != MARK_CLOSE) { *o++ = *s; continue; }
        bool quoted =
            (*s == MARK_OPEN && o > out && o[-1] == '"') || (*s == MARK_CLOSE && s[1] == '"');
        if (*quote && !quoted) *o++ = *quote;
    }
    *o = 0;
    return out;
}

const char *phrase_plain(struct draw *d, const char *s) { return strip_marks(d, s, ""); }

const char *phrase_noise(struct draw *d, const char *s)
{
    char *w = arena_str(d->a, s, strlen(s));
    const char *quote = "";
    if (chance(d, 15)) {
        int r = below(d, 10);
        size_t n = strlen(w);
        if (r < 4) lower_outside(w);
        if (r >= 3 && r < 6 && n && strchr(".!?", w[n - 1])) w[n - 1] = 0;
        if (r >= 5 && r < 8) typo(d, w);
        if (r == 8) w = text(d, "%s%s", pick(d, "uh, |um, |well, |er... |like, |hmm. "), w);
        if (r == 9 && !strpbrk(w, "\"'")) quote = pick(d, "\"|'");
    }
    return strip_marks(d, w, quote);
}
