/* gen_tool.c -- invented tools: a verb, a noun, and parameters drawn from a table of roles.
 *
 * A request must decide the call, so what links the two is drawn on purpose: the name, the
 * description or both carry the action; the parameter's name, its description, its type or its
 * members carry the argument. A link is only dropped where another one stays.
 *
 * Nouns and parameter names are invented in more than half of the tools, because a model that has
 * seen a name in training has learned nothing about names. */
#include "train/gen_int.h"

/* ---- verbs: what tools are called, what they say they do, how people ask for it -------------- */

static const struct verb {
    const char *name, *does, *ask;
} verbs[] = {
    { "create|add|make|new|register", "Creates|Adds|Registers",
      "create|add|make|set up|register|I need|put in|get me|open" },
    { "delete|remove|drop|erase|purge", "Deletes|Removes|Erases",
      "delete|remove|get rid of|erase|drop|throw away|wipe|clear out" },
    { "get|show|fetch|read|view|describe|retrieve", "Returns|Shows|Fetches|Reads|Retrieves",
      "show me|what is|what's|get|fetch|look up|tell me about|pull up|what about|give me|display|let me see" },
    { "search|find|query|lookup", "Searches|Finds|Looks up",
      "find|search for|look for|look up|hunt down|locate|do you have" },
    { "update|edit|modify|change|set", "Updates|Changes|Edits|Modifies",
      "update|change|edit|modify|adjust|alter|revise" },
    { "send|dispatch|transmit|forward", "Sends|Transmits|Dispatches",
      "send|dispatch|forward|pass on|transmit|ship off" },
    { "book|reserve", "Books|Reserves", "book|reserve|get|secure|hold|arrange" },
    { "start|run|launch|begin|execute", "Starts|Runs|Launches",
      "start|run|launch|kick off|begin|fire up|get going with" },
    { "stop|halt|end|terminate", "Stops|Halts|Ends", "stop|halt|end|shut down|terminate|finish" },
    { "enable|activate", "Enables|Activates|Switches on", "enable|activate|switch on|turn on" },
    { "disable|deactivate", "Disables|Deactivates|Switches off",
      "disable|deactivate|switch off|turn off" },
    { "list|enumerate|all", "Lists|Enumerates",
      "list|show me all|which are|enumerate|give me a list of" },
    { "count|tally", "Counts|Tallies", "count|how many are there of|tally|get the number of" },
    { "convert|transform", "Converts|Transforms", "convert|transform|turn|change the format of" },
    { "calculate|compute|find", "Calculates|Computes|Finds",
      "calculate|compute|work out|figure out|what is|what's|find|determine|I need to know" },
    { "predict|forecast|estimate", "Predicts|Forecasts|Estimates",
      "predict|forecast|estimate|what will be|give me an estimate of" },
    { "analyze|evaluate|assess", "Analyzes|Evaluates|Assesses",
      "analyze|evaluate|assess|look into|study" },
    { "generate|produce|make", "Generates|Produces",
      "generate|produce|come up with|make up|I want you to make" },
    { "recommend|suggest|propose", "Recommends|Suggests|Proposes",
      "recommend|suggest|propose|what would be a good|advise me on" },
    { "solve|simulate", "Solves|Simulates", "solve|simulate|find a solution for" },
    { "validate|verify", "Validates|Verifies", "validate|verify|make sure of|is this a valid" },
    { "sort|filter|group", "Sorts|Filters|Groups", "sort|filter|group|put in order" },
    { "open|unlock", "Opens|Unlocks", "open|unlock|open up" },
    { "close|lock", "Closes|Locks", "close|lock|shut" },
    { "move|relocate|transfer", "Moves|Relocates|Transfers", "move|relocate|transfer|shift|bring" },
    { "copy|duplicate|clone", "Copies|Duplicates|Clones", "copy|duplicate|clone|make a copy of" },
    { "rename|relabel", "Renames|Relabels", "rename|relabel|give a new name to" },
    { "print", "Prints", "print|print out|put on paper" },
    { "play", "Plays", "play|put on|let me hear" },
    { "pause|suspend", "Pauses|Suspends", "pause|suspend|hold|put on hold" },
    { "order|buy|purchase", "Orders|Buys|Purchases", "order|buy|purchase|get me|pick up" },
    { "pay|settle", "Pays|Settles", "pay|settle|pay for" },
    { "share|publish", "Shares|Publishes", "share|publish|make public|post" },
    { "export|download", "Exports|Downloads", "export|download|save out|dump" },
    { "import|upload|load", "Imports|Uploads|Loads", "import|upload|load|read in|bring in" },
    { "approve|accept|confirm", "Approves|Accepts|Confirms",
      "approve|accept|confirm|sign off on|okay" },
    { "reject|decline|refuse", "Rejects|Declines|Refuses",
      "reject|decline|refuse|turn down|say no to" },
    { "assign|allocate", "Assigns|Allocates", "assign|allocate|hand|give" },
    { "archive|store|save", "Archives|Stores|Saves", "archive|store|save|keep|file away" },
    { "restore|recover|undelete", "Restores|Recovers", "restore|recover|bring back|undelete" },
    { "track|trace|monitor|watch", "Tracks|Traces|Monitors",
      "track|trace|monitor|keep an eye on|follow|watch" },
    { "measure|test|check|inspect", "Measures|Tests|Checks|Inspects",
      "measure|test|check|inspect|examine" },
    { "schedule|plan", "Schedules|Plans", "schedule|plan|pencil in|arrange" },
    { "cancel|abort|revoke", "Cancels|Aborts|Revokes", "cancel|abort|call off|revoke|drop" },
    { "rate|score|review", "Rates|Scores|Reviews", "rate|score|review|grade" },
    { "translate", "Translates", "translate|put into another language" },
    { "compare|diff", "Compares", "compare|contrast|diff|hold side by side" },
    { "merge|join|combine", "Merges|Joins|Combines", "merge|join|combine|put together" },
    { "clean|wash", "Cleans|Washes", "clean|wash|tidy|scrub" },
    { "fix|repair", "Repairs|Fixes", "fix|repair|mend|patch up" },
    { "rent|hire|lease", "Rents|Hires|Leases", "rent|hire|lease|borrow" },
    { "invite|add_member", "Invites", "invite|bring in|ask" },
    { "refill|replenish", "Refills|Replenishes", "refill|top up|replenish|restock" },
    { "log|note|write", "Logs|Notes|Writes down", "log|note|note down|record|write down|jot down" },
    { "block|ban", "Blocks|Bans", "block|ban|shut out" },
};

/* ---- roles: what a parameter is for ---------------------------------------------------------- */

static const struct role {
    const char *names, *descs;
    enum value_kind kind;
    const char *attach;
} roles[] = {
    { "recipient|to|contact|receiver|addressee|send_to",
      "who gets it|name of the recipient|the person it goes to|Recipient.", V_PERSON,
      "to {v}|for {v}|addressed to {v}|so that {v} gets it|going to {v}" },
    { "person|owner|assignee|user|customer|guest|member|patient|client",
      "full name|the person's name|whom it concerns|Name of the person.", V_PERSON,
      "for {v}|on behalf of {v}|in the name of {v}|it's for {v}|, the {p} is {v}|under {v}" },
    { "name|title|label|caption|heading",
      "name to use|title|what to call it|display name|Its name.", V_TITLE,
      "called {v}|named {v}|with the {p} {v}|titled {v}|labelled {v}|and call it {v}|, name it "
      "{v}|by the name of {v}" },
    { "city|location|place|town|destination|area|region|where|site",
      "city|where|place name, as the user says it|town or area|Location.", V_CITY,
      "in {v}|at {v}|near {v}|around {v}|somewhere in {v}|over in {v}|, {v}|located in {v}" },
    { "from|origin|source|departure|start_point", "where it starts|origin|starting point", V_CITY,
      "from {v}|starting in {v}|out of {v}|leaving {v}|departing from {v}" },
    { "destination|to|target|arrival|end_point", "where it goes|destination|end point", V_CITY,
      "to {v}|heading to {v}|ending in {v}|bound for {v}|towards {v}|arriving in {v}" },
    { "country|nation|market", "country|name of the country", V_COUNTRY,
      "in {v}|for {v}|within {v}|from {v}" },
    { "date|day|when|on|due|due_date|deadline",
      "date as written by the user|day|when|which day|Date, in the user's words.", V_DATE,
      "on {v}|for {v}|, {v}|due {v}|by {v}|{v}|dated {v}|scheduled for {v}" },
    { "date|start_date|day|delivery_date",
      "date, YYYY-MM-DD|ISO date|date as YYYY-MM-DD|day in ISO format", V_ISO_DATE,
      "on {v}|for {v}|, {v}|dated {v}|by {v}" },
    { "time|at|start|start_time|hour|when", "time of day|time as said|when it starts|Time.", V_TIME,
      "at {v}|for {v}|starting at {v}|from {v}|around {v}|, {v}|{v}" },
    { "duration|length|for|how_long|period", "how long|duration|length of time, as said",
      V_DURATION, "for {v}|lasting {v}|of {v}|that takes {v}|, {v} long|over {v}" },
    { "weekday|day|day_of_week", "day of the week|weekday", V_WEEKDAY,
      "on {v}|every {v}|for {v}|, {v}s" },
    { "month|billing_month", "month|name of the month", V_MONTH, "in {v}|for {v}|from {v}|of {v}" },
    { "year|model_year|vintage", "year|four digits", V_YEAR, "from {v}|of {v}|in {v}|, {v}" },
    { "quantity|count|amount|number|n|qty|copies|pieces",
      "how many|number of items|quantity|How many of them.", V_INT,
      "{v} of them|, {v} pieces|times {v}|, {v} in total|with {v} pieces|make that {v}|{v} times" },
    { "guests|people|persons|seats|party_size|passengers|adults",
      "how many people|number of people|party size", V_INT,
      "for {v} people|for {v}|for a group of {v}|, {v} persons|seating {v}|, we are {v}|with {v} "
      "people" },
    { "limit|max_results|top|max|maximum", "most results to return|upper bound|limit", V_INT,
      "at most {v}|up to {v}|no more than {v}|the first {v}|, {v} at most|limited to {v}" },
    { "min|minimum|at_least|lower_bound", "lower bound|minimum|least value", V_INT,
      "at least {v}|no less than {v}|from {v} up|, minimum {v}|{v} or more" },
    { "price|max_price|budget|cost|amount|sum|value",
      "amount of money|price, number only|budget|sum in the account's currency", V_AMOUNT,
      "for {v}|under {v}|up to {v}|costing {v}|worth {v}|of {v}|for no more than {v}|, {v}" },
    { "rate|discount|ratio|share|tip",
      "fraction between 0 and 1|as a fraction (0.15 = 15 percent)|share from 0 to 1", V_FRACTION,
      "at {v}|with {v}|of {v}|, {v}|plus {v}" },
    { "percent|level|volume|brightness|intensity|opacity|progress",
      "0-100|percent|level from 0 to 100", V_INT,
      "at {v}|to {v} percent|at {v} percent|to {v}|on {v}|at level {v}|, {v}%" },
    { "temperature|degrees|setpoint|heat", "degrees|temperature|target temperature", V_DECIMAL,
      "at {v} degrees|to {v}|at {v}|to {v} degrees|, {v} degrees" },
    { "weight|length|width|height|size|depth|distance|radius|volume",
      "number|in the user's unit|measured value", V_DECIMAL,
      "with a {p} of {v}|, {p} {v}|of {p} {v}|within {v}|measuring {v}|at {v}" },
    { "email|address|mail|contact_email", "e-mail address|email|where to send mail", V_EMAIL,
      "to {v}|at {v}|via {v}|, {v}|mail {v}|for {v}|, reach me at {v}" },
    { "url|link|website|endpoint|webhook", "web address|URL|full URL", V_URL,
      "from {v}|at {v}|using {v}|, {v}|on {v}|see {v}" },
    { "path|file|filename|folder|directory|output", "file path|path of the file|file to use",
      V_PATH, "in {v}|from {v}|at {v}|into {v}|to {v}|, {v}|stored in {v}" },
    { "id|identifier|reference|ref|order_id|number|ticket|key",
      "identifier|reference as printed|id|its id", V_ID,
      "with id {v}|number {v}|, reference {v}|{v}|id {v}|, that's {v}|with the number {v}|no. "
      "{v}|listed as {v}" },
    { "code|coupon|promo|pin|voucher", "code|code as given|promo code", V_CODE,
      "with code {v}|using {v}|code {v}|with the code {v}|, the code is {v}|apply {v}" },
    { "phone|phone_number|number|mobile", "phone number|number to call", V_PHONE,
      "at {v}|on {v}|via {v}|, phone {v}|, call {v}|under {v}" },
    { "message|text|body|note|content|comment|description|reason",
      "text|what to say|free text|note to attach", V_PHRASE,
      "saying \"{v}\"|saying {v}|with the note {v}|that says \"{v}\"|: {v}|with the text \"{v}\"|, "
      "note: {v}|, message: \"{v}\"|because {v}" },
    { "query|q|keyword|search|term|topic|subject", "what to look for|search words|topic|keywords",
      V_REAL,
      "about {v}|on {v}|matching {v}|for {v}|regarding {v}|with {v}|containing {v}|related to "
      "{v}|\"{v}\"" },
    { "item|product|article|what|object|thing|model|dish",
      "what|the item as named|product name|which one", V_REAL,
      "for the {v}|: {v}|, {v}|the {v}|namely {v}|for {v}|specifically {v}|\"{v}\"|of {v}" },
    { "company|brand|vendor|supplier|manufacturer|employer", "company|name of the company|brand",
      V_COMPANY, "from {v}|by {v}|at {v}|made by {v}|for {v}|with {v}" },
    { "street|address|delivery_address|pickup", "street address|address|where exactly", V_STREET,
      "at {v}|to {v}|on {v}|, {v}|for {v}" },
    { "host|server|ip|machine|node|domain", "host name or address|server|machine", V_HOST,
      "on {v}|at {v}|for {v}|from {v}|against {v}|, host {v}" },
    { "tag|branch|version|channel|category|group|topic", "name|label|which one", V_TAG,
      "on {v}|in {v}|tagged {v}|under {v}|for {v}|, {p} {v}" },
    { "color|material|type|kind|variant|flavor|theme|style", "which kind|variant|type", V_WORD,
      "in {v}|of {p} {v}|with {v}|, {v}|the {v} kind|, the {v} one" },
    { "project|team|department|list|folder|album|playlist|account|workspace|queue",
      "name|which one|name of it", V_NAME,
      "in {v}|to {v}|for {v}|under {v}|from {v}|on {v}|in the {v} {p}|to the {v} {p}|from my {v} "
      "{p}" },
    { "airport|station|stop|venue|shop|store|restaurant|hotel|school",
      "name|which one|the place's name", V_NAME, "at {v}|near {v}|from {v}|at the {v}|in {v}" },
};

/* Generic parameters have no role: only their name (often invented) and what the request says. */
static const enum value_kind generic_kinds[] = { V_WORD,  V_WORD,   V_NAME, V_INT,
                                                 V_INT,   V_TAG,    V_ID,   V_DECIMAL,
                                                 V_TITLE, V_PHRASE, V_CODE, V_REAL,
                                                 V_REAL,  V_PATH,   V_TIME, V_DATE };

static const char *param_words(struct draw *d)
{
    if (chance(d, d->fake_percent))
        return chance(d, 20) ? text(d, "%s %s", word_fake(d),
                                    pick(d, "name|id|level|size|code|mode|type|count"))
                             : word_fake(d);
    const char *w = word_noun(d);
    int r = below(d, 10);
    return r < 4   ? w
           : r < 6 ? text(d, "%s %s", word_adj(d), w)
                   : text(d, "%s %s", w,
                          pick(d, "name|id|level|size|code|mode|type|count|label|number|key"));
}

static bool name_taken(const struct tool *t, const char *name)
{
    for (int i = 0; i < t->n_param; i++)
        if (!strcmp(t->param[i].name, name)) return true;
    return false;
}

/* Two lists of alternatives share one. */
static bool overlap(const char *s, const char *t)
{
    while (*s) {
        size_t n = strcspn(s, "|");
        for (const char *q = t; *q;) {
            size_t m = strcspn(q, "|");
            if (n == m && !memcmp(s, q, n)) return true;
            q += m + (q[m] == '|');
        }
        s += n + (s[n] == '|');
    }
    return false;
}

/* Kinds whose values cannot be told apart by their looks: an invented city may be an invented
 * person. */
static bool looks_like_name(enum value_kind k)
{
    switch (k) {
    case V_NAME:
    case V_PERSON:
    case V_FIRST_NAME:
    case V_CITY:
    case V_COUNTRY:
    case V_WORD:
    case V_PHRASE:
    case V_TITLE:
    case V_COMPANY: case V_PRODUCT: case V_REAL: case V_TAG: return true;
    default: return false;
    }
}

/* "in {v}" may stand for a city or for a folder, not for both in one tool. */
static bool mistakable(const struct tool *t, const struct tool_param *p)
{
    for (int i = 0; i < t->n_param; i++) {
        const struct tool_param *q = &t->param[i];
        if (!strcmp(q->words, p->words)) return true;
        bool alike = q->kind == p->kind || (looks_like_name(q->kind) && looks_like_name(p->kind));
        if (q->attach && p->attach && alike && overlap(q->attach, p->attach)) return true;
    }
    return false;
}

/* Members that people call by another word. */
static void members_by_meaning(struct draw *d, struct tool_param *p)
{
    for (int i = 0; i < p->n_member; i++) {
        const struct sense *s = chance(d, 60) ? sense_draw(d, "na") : NULL;
        if (!s || !*s->same) continue;
        bool fresh = true;
        const char *m = identifier(d, pick(d, s->same), STYLE_SNAKE);
        for (int j = 0; j < p->n_member; j++)
            fresh = fresh && (j == i || (strcmp(p->member[j], m) && strcmp(p->said[j], s->word)));
        if (!fresh) continue;
        p->said[i] = s->word;
        p->member[i] = m;
    }
}

static void draw_members(struct draw *d, struct tool_param *p)
{
    p->n_member = range(d, 2, MEMBERS_MOST - 1);
    int shape = below(d, 6);
    for (int i = 0; i < p->n_member; i++) {
        const char *w = "";
        for (bool fresh = false; !fresh;) {
            w = chance(d, 25) ? text(d, "%s %s", word_any(d), word_any(d)) : word_any(d);
            fresh = true;
            for (int j = 0; j < i; j++) fresh = fresh && strcmp(p->said[j], w);
        }
        p->said[i] = w;
        p->member[i] = shape == 0   ? text(d, "%s", identifier(d, w, STYLE_PASCAL))
                       : shape == 1 ? identifier(d, w, STYLE_KEBAB)
                       : shape == 2 ? w
                                    : identifier(d, w, STYLE_SNAKE);
        /* constants of some other language */
        if (shape == 3) {
            char *up = arena_str(d->a, p->member[i], strlen(p->member[i]));
            for (char *c = up; *c; c++) if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 32);
            p->member[i] = up;
        }
        if (chance(d, 15)) p->said[i] = p->member[i];
    }
    if (has_senses(d) && chance(d, 20)) members_by_meaning(d, p);
}

static void draw_generic(struct draw *d, struct tool_param *p, enum style s)
{
    p->words = param_words(d);
    p->name = identifier(d, p->words, s);
    p->desc = chance(d, 40) ? ""
                            : rule(d, "the {}|which {}|{} to use|value of the {}|{}|{} as the user "
                                      "says it|its {}|The {}.|{} of the item");
    const char *hole = strstr(p->desc, "{}");
    if (hole) p->desc = text(d, "%.*s%s%s", (int)(hole - p->desc), p->desc, p->words, hole + 2);
    int r = below(d, 100);
    p->kind = r < 60   ? generic_kinds[below(d, LEN(generic_kinds))]
              : r < 78 ? V_ENUM
              : r < 92 ? V_BOOL
                       : V_LIST;
    if (p->kind == V_ENUM) draw_members(d, p);
    p->inner = p->kind == V_LIST ? (enum value_kind[]){ V_WORD, V_NAME, V_FIRST_NAME, V_TAG,
                                                        V_REAL, V_INT,  V_WORD }[below(d, 7)]
                                 : V_WORD;
    p->lo = 0;
    p->hi = chance(d, 70) ? 100 : 5000;
}

/* A parameter whose name says nothing: then the description must say what it is. */
static void make_opaque(struct draw *d, struct tool_param *p, enum style s)
{
    if (!p->desc[0]) p->desc = p->words;
    p->name = chance(d, 40) ? pick(d, "x|y|a|b|k|v|arg|p1|p2|arg0|arg1|val|param|data|input|opt")
                            : identifier(d, word_fake(d), s);
}

static void draw_role(struct draw *d, struct tool_param *p, enum style s)
{
    const struct role *r = &roles[below(d, LEN(roles))];
    const char *base = pick(d, r->names);
    p->words = spoken(d, base);
    p->kind = r->kind;
    p->attach = r->attach;
    p->desc =
        r->kind == V_ISO_DATE || r->kind == V_FRACTION || chance(d, 60) ? pick(d, r->descs) : "";
    if (chance(d, 12))
        p->words = text(d, "%s %s", chance(d, 50) ? word_any(d) : word_adj(d), p->words);
    p->name = identifier(d, p->words, s);
    p->lo = 1;
    p->hi = strstr(r->names, "guests")    ? 12
            : strstr(r->names, "percent") ? 100
            : strstr(r->names, "limit")   ? 50
                                          : 200;
    /* then the description says the words */
    if (chance(d, 14)) {
        p->desc = p->desc[0] && chance(d, 50) ? text(d, "%s, %s", p->words, p->desc) : p->words;
        make_opaque(d, p, s);
    }
}

static void draw_object(struct draw *d, struct tool_param *p, enum style s)
{
    p->words = param_words(d);
    p->name = identifier(d, p->words, s);
    p->desc = "";
    p->kind = V_OBJECT;
    p->n_field = range(d, 1, 3);
    p->field = arena_zero(d->a, sizeof *p->field * 3);
    for (int i = 0; i < p->n_field; i++) {
        struct tool_param *f = &p->field[i];
        for (bool fresh = false; !fresh;) {
            draw_generic(d, f, s);
            fresh = f->kind != V_LIST && f->kind != V_BOOL;
            for (int j = 0; j < i; j++) fresh = fresh && strcmp(p->field[j].name, f->name);
        }
        f->required = true;
    }
}

static void add_param(struct draw *d, struct tool *t, enum style s)
{
    for (int tries = 0; tries < 30; tries++) {
        struct tool_param p = { 0 };
        int r = below(d, 100);
        if (r < 52) draw_role(d, &p, s);
        else if (r < 96 || d->stage < 2) draw_generic(d, &p, s);
        else draw_object(d, &p, s);
        if (name_taken(t, p.name) || mistakable(t, &p)) continue;
        p.required = chance(d, 62);
        t->param[t->n_param++] = p;
        return;
    }
}

/* The shape of a schema as one number: shapes, too, have a test part. */
static bool shape_is_held(const struct tool *t)
{
    char key[64];
    int n = 0;
    for (int i = 0; i < t->n_param && n < 60; i++) {
        key[n++] = (char)('A' + (int)t->param[i].kind);
        key[n++] = t->param[i].required ? '!' : '?';
    }
    return t->n_param >= 3 && hash64(key, (size_t)n, 19) % 8 == 0;
}

/* ---- the whole tool -------------------------------------------------------------------------- */

static const char *draw_noun(struct draw *d)
{
    if (chance(d, d->fake_percent))
        return chance(d, 25) ? text(d, "%s %s", word_fake(d), word_noun(d)) : word_fake(d);
    return chance(d, 35)
               ? text(d, "%s %s", chance(d, 50) ? word_adj(d) : word_noun(d), word_noun(d))
               : word_noun(d);
}

static const char *verb_name(struct draw *d, const struct tool *t)
{
    return t->verb < 0 ? t->fake_verb : spoken(d, pick(d, verbs[t->verb].name));
}

static const char *full_desc(struct draw *d, const struct tool *t)
{
    const char *does =
        t->verb < 0 ? text(d, "%ss", capital(d, t->fake_verb)) : pick(d, verbs[t->verb].does);
    const char *n = t->noun;
    switch (below(d, 9)) {
    case 0: return text(d, "%s %s %s.", does, article(n), n);
    case 1: return text(d, "%s the %s.", does, n);
    case 2: return text(d, "%s %s", does, plural(d, n));
    case 3:
        return text(d, "%s %s %s%s", does, article(n), n,
                    pick(d, " for the user.| with the given details.| in the system.| right away.| "
                            "and returns it.|, nothing else."));
    case 4: return text(d, "Use this to %s %s %s.", verb_name(d, t), article(n), n);
    case 5: return text(d, "%s %s", verb_name(d, t), n);
    case 6:
        return text(d, "Call it when the user wants to %s %s.", verb_name(d, t),
                    chance(d, 50) ? plural(d, n) : text(d, "%s %s", article(n), n));
    case 7: return text(d, "%s one %s", does, n);
    default:
        return text(d, "%s %s %s", does, pick(d, "a single|an existing|the given|one|a|any"), n);
    }
}

/* Which link carries the action: the name, the description, or both. */
static void draw_names(struct draw *d, struct tool *t, enum style s)
{
    const char *v = verb_name(d, t),
               *words = chance(d, 82) ? text(d, "%s %s", v, t->noun) : text(d, "%s %s", t->noun, v);
    int link = below(d, 100);
    t->desc = full_desc(d, t);
    if (link < 60) t->name = identifier(d, words, s);
    else if (link < 82) {
        t->name = identifier(d, words, s);
        t->desc = "";
    } else {
        t->name =
            chance(d, 40)
                ? text(d, "%s%d", pick(d, "fn_|tool|op_|x|api_v|t|f|cmd_|act"), range(d, 1, 99))
                : identifier(d,
                             chance(d, 50) ? word_fake(d)
                                           : text(d, "%s %s", word_fake(d), word_fake(d)),
                             s);
        if (chance(d, 50))
            t->desc = text(d, "%s %s %s.",
                           t->verb < 0 ? text(d, "%ss", capital(d, t->fake_verb))
                                       : pick(d, verbs[t->verb].does),
                           article(t->noun), t->noun);
    }
    if (chance(d, 8)) t->name = text(d, "%s%s", t->name, pick(d, "_v2|2|_now|_api|Tool"));
}

static void draw_params(struct draw *d, struct tool *t, enum style s)
{
    for (int tries = 0; tries < 40; tries++) {
        t->n_param = 0;
        int n = chance(d, 6)    ? 0
                : chance(d, 34) ? 1
                : chance(d, 50) ? 2
                                : range(d, 2, d->stage > 1 ? 5 : 4);
        for (int i = 0; i < n; i++) add_param(d, t, s);
        if (n == 1) t->param[0].required = t->param[0].required || chance(d, 60);
        if (shape_is_held(t) == d->held_shape) return;
    }
    /* shapes below three parameters are never held */
    if (!d->held_shape) t->n_param = MIN(t->n_param, 2);
}

void tool_draw(struct draw *d, struct tool *t, enum style s)
{
    *t = (struct tool){ .verb = chance(d, 14) ? -1 : below(d, LEN(verbs)) };
    const struct sense *real = t->verb < 0 && chance(d, 50) ? sense_draw(d, "v") : NULL;
    if (t->verb < 0) t->fake_verb = real ? real->word : word_fake(d);
    t->noun = draw_noun(d);
    draw_params(d, t, s);
    draw_names(d, t, s);
}

bool tool_same_request(const struct tool *a, const struct tool *b)
{
    if (!strcmp(a->name, b->name)) return true;
    bool verb = a->verb == b->verb && (a->verb >= 0 || !strcmp(a->fake_verb, b->fake_verb));
    return verb && !strcmp(a->noun, b->noun);
}

/* Verbs that people use for one another: "get", "book" and "create" share "get me"; such a pair may
 * not stand beside the same noun. */
static bool verbs_overlap(int a, int b)
{
    if (a < 0 || b < 0) return false;
    return a == b || overlap(verbs[a].ask, verbs[b].ask);
}

void tool_near(struct draw *d, const struct tool *like, struct tool *t, enum style s)
{
    tool_draw(d, t, s);
    int r = below(d, 100);
    /* the same noun under another verb */
    if (r < 35 && like->verb >= 0) {
        t->noun = like->noun;
        for (int i = 0; i < 50 && (t->verb < 0 || verbs_overlap(like->verb, t->verb)); i++)
            t->verb = below(d, LEN(verbs));
        if (t->verb < 0) t->verb = verbs_overlap(like->verb, 10) ? 40 : 10;
    /* the same verb on another noun */
    } else if (r < 70) {
        t->verb = like->verb;
        t->fake_verb = like->fake_verb;
    }
    if (chance(d, 35)) {                                              /* the same parameters */
        t->n_param = like->n_param;
        memcpy(t->param, like->param, sizeof t->param);
    }
    draw_names(d, t, s);
}

bool role_of(const char *words, enum value_kind *kind, const char **attach)
{
    const char *last = strrchr(words, ' ');
    last = last ? last + 1 : words;
    for (size_t i = 0; i < LEN(roles); i++)
        if (overlap(roles[i].names, words) || overlap(roles[i].names, last)) {
            *kind = roles[i].kind;
            *attach = roles[i].attach;
            return true;
        }
    return false;
}

const char *verb_ask(struct draw *d, const char *verb, size_t len)
{
    const char *w = arena_str(d->a, verb, len);
    for (size_t i = 0; i < LEN(verbs); i++)
        if (overlap(verbs[i].name, w)) return rule(d, verbs[i].ask);
    return NULL;
}

const char *tool_action(struct draw *d, const struct tool *t)
{
    if (t->given) return own_action(d, t);
    const char *v = t->verb < 0 ? t->fake_verb : rule(d, verbs[t->verb].ask);
    const char *n = t->noun;
    switch (below(d, 6)) {
    case 0: return text(d, "%s %s %s", v, article(n), n);
    case 1: return text(d, "%s the %s", v, n);
    case 2: return text(d, "%s my %s", v, n);
    case 3: return text(d, "%s %s", v, n);
    case 4: return text(d, "%s %s %s", v, pick(d, "that|this|our|one|another|a new|the"), n);
    default: return text(d, "%s %s %s", v, article(n), n);
    }
}

/* ---- schemas and values ---------------------------------------------------------------------- */

static const char *json_type_of(enum value_kind k)
{
    switch (k) {
    case V_INT: case V_YEAR: return "integer";
    case V_DECIMAL: case V_AMOUNT: case V_FRACTION: return "number";
    case V_BOOL: return "boolean";
    case V_LIST: return "array";
    case V_OBJECT: return "object";
    default: return "string";
    }
}

bool json_type_is(enum value_kind k, const char *type) { return !strcmp(json_type_of(k), type); }

static struct json *typed(const char *type)
{
    struct json *s = json_new_object();
    json_set(s, "type", json_new_str(type));
    return s;
}

static struct json *param_json(const struct tool_param *p);

static struct json *fields_json(const struct tool_param *p, int n, struct json *schema)
{
    struct json *props = json_new_object(), *req = json_new_array();
    for (int i = 0; i < n; i++) {
        json_set(props, p[i].name, param_json(&p[i]));
        if (p[i].required) json_push(req, json_new_str(p[i].name));
    }
    json_set(schema, "properties", props);
    json_set(schema, "required", req);
    return schema;
}

static struct json *param_json(const struct tool_param *p)
{
    struct json *s = typed(json_type_of(p->kind));
    if (p->desc[0]) json_set(s, "description", json_new_str(p->desc));
    if (p->kind == V_ENUM) {
        struct json *m = json_new_array();
        for (int i = 0; i < p->n_member; i++) json_push(m, json_new_str(p->member[i]));
        json_set(s, "enum", m);
    }
    if (p->kind == V_LIST) json_set(s, "items", typed(json_type_of(p->inner)));
    if (p->kind == V_OBJECT) fields_json(p->field, p->n_field, s);
    return s;
}

struct json *tool_json(struct draw *d, const struct tool *t)
{
    if (t->given) return json_copy(t->given);
    struct json *f = json_new_object();
    json_set(f, "name", json_new_str(t->name));
    if (t->desc[0] || chance(d, 50)) json_set(f, "description", json_new_str(t->desc));
    json_set(f, "parameters", fields_json(t->param, t->n_param, typed("object")));
    return f;
}

static struct value list_value(struct draw *d, const struct tool_param *p)
{
    int n = range(d, 1, 4);
    struct json *items = json_new_array();
    const char *said = "";
    const char *sep = pick(d, ", |, | and | + "), *last = pick(d, " and |, | and |, and ");
    for (int i = 0; i < n; i++) {
        struct value v = p->n_field ? param_value(d, p->field) : value_draw(d, p->inner);
        said = text(d, "%s%s%s", said, i == 0 ? "" : i + 1 == n ? last : sep, v.said);
        json_push(items, v.json);
    }
    return (struct value){ said, items };
}

static struct value object_value(struct draw *d, const struct tool_param *p)
{
    struct json *o = json_new_object();
    const char *said = "";
    bool colon = chance(d, 50);
    for (int i = 0; i < p->n_field; i++) {
        struct value v = param_value(d, &p->field[i]);
        said = text(d, "%s%s%s%s%s", said,
                    i == 0                ? ""
                    : i + 1 == p->n_field ? " and "
                                          : ", ",
                    p->field[i].words, colon ? ": " : " ", v.said);
        json_set(o, p->field[i].name, v.json);
    }
    return (struct value){ said, o };
}

/* A value as it is written in a call, said as it is: text without quotes. */
static struct value as_written(struct draw *d, const struct json *v)
{
    const char *s = json_is(v, JSON_NUMBER) ? json_number(v, NULL) : json_str(v, NULL);
    struct str t = { 0 };
    if (!s) json_write(&t, v, JSON_COMPACT);
    struct value out = { text(d, "%s", s ? s : t.p), json_copy(v) };
    str_done(&t);
    return out;
}

struct value param_value(struct draw *d, const struct tool_param *p)
{
    if (p->constant) return as_written(d, p->constant);
    if (json_len(p->sample) && chance(d, p->kind == V_INT || p->kind == V_DECIMAL ? 50 : 75))
        return as_written(d, json_at(p->sample, (size_t)below(d, (int)json_len(p->sample))));
    switch (p->kind) {
    case V_ENUM: {
        int i = below(d, p->n_member);
        return (struct value){ p->said[i], json_new_str(p->member[i]) };
    }
    case V_BOOL: {
        bool b = chance(d, 60);
        return (struct value){ b ? "yes" : "no", json_new_bool(b) };
    }
    case V_INT: return value_number(d, p->lo, p->hi, true);
    case V_LIST: return list_value(d, p);
    case V_OBJECT: return object_value(d, p);
    default: return value_draw(d, p->kind);
    }
}
