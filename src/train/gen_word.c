/* gen_word.c -- words of the generator: real ones from lists, invented ones from syllables, and how
 * programmers spell them as identifiers.
 *
 * Hold-out: a word belongs to the test part when its hash says so (one in eight), a syllable
 * language when its row says so, a phrasing rule when its hash says so (one in seven). The training
 * stream can draw none of them; the test sets ask for them. The decision depends on the bytes
 * alone, so adding a word never moves another one across the border. */
#include <ctype.h>

#include "train/gen_int.h"

bool chance(struct draw *d, int percent) { return (int)rng_below(&d->r, 100) < percent; }
int  below(struct draw *d, int n) { return (int)rng_below(&d->r, (uint32_t)MAX(n, 1)); }
int  range(struct draw *d, int lo, int hi) { return lo + below(d, hi - lo + 1); }

char *text(struct draw *d, const char *fmt, ...)
{
    char small[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n < (int)sizeof small) return arena_str(d->a, small, (size_t)n);
    char *p = arena_alloc(d->a, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

/* ---- alternatives ---------------------------------------------------------------------------- */

enum { ALTERNATIVES_MOST = 128 };

static int split(const char *s, const char **at, size_t *len)
{
    int n = 0;
    for (;;) {
        const char *bar = strchr(s, '|');
        at[n] = s;
        len[n] = bar ? (size_t)(bar - s) : strlen(s);
        n++;
        if (!bar || n == ALTERNATIVES_MOST) return n;
        s = bar + 1;
    }
}

const char *pick(struct draw *d, const char *alternatives)
{
    const char *at[ALTERNATIVES_MOST];
    size_t len[ALTERNATIVES_MOST];
    int i = below(d, split(alternatives, at, len));
    return arena_str(d->a, at[i], len[i]);
}

bool rule_is_held(const char *one, size_t len) { return hash64(one, len, 77) % 7 == 0; }

/* The first alternative is always open to training, so that no list is empty on the training side;
 * a list without any held-out member gives the test sets what it has. */
const char *rule(struct draw *d, const char *alternatives)
{
    const char *at[ALTERNATIVES_MOST];
    size_t len[ALTERNATIVES_MOST];
    int n = split(alternatives, at, len), open[ALTERNATIVES_MOST], n_open = 0;
    for (int i = 0; i < n; i++)
        if ((i > 0 && rule_is_held(at[i], len[i])) == d->held_rule) open[n_open++] = i;
    int i = n_open ? open[below(d, n_open)] : below(d, n);
    return arena_str(d->a, at[i], len[i]);
}

/* ---- invented words -------------------------------------------------------------------------- */

static const struct language { bool held; const char *onset, *nucleus, *coda;
} languages[] = {
    { false, "b|br|d|f|g|k|l|m|n|p|r|s|t|v|z|tr|pl|gr|st|cl", "a|e|i|o|u|ee|oo|ai",
      "|n|r|l|s|t|m|x|ck|nd|sh" },
    { false, "k|t|s|n|h|m|y|r|w|sh|ch|ts|ky|j", "a|i|u|e|o|ou|ei", "|||n" },
    { false, "b|c|d|f|g|l|m|n|p|r|s|t|v|qu|gi|ch|sc", "a|e|i|o|ia|io", "||n|r|l|s|z|tt|ll" },
    { false, "kr|sk|v|l|d|m|n|zh|p|st|b|t|gr|vl|dr|sl", "a|o|e|i|u|y|ov|ev", "|k|v|n|sk|ts|r|l|j" },
    { false, "h|k|l|m|n|p|t|v|j|r|s", "aa|ää|ö|e|i|o|u|uo|ie|y", "|n|s|l|r|t" },
    { false, "al|b|d|f|gh|h|j|kh|m|n|q|r|s|sh|t|w|z", "a|i|u|aa|ee", "|b|d|m|n|r|l|q|f" },
    { false, "th|wh|str|bl|cr|fl|gl|h|sw|tw|dr|sn|w|qu", "a|e|i|o|u|ea|ow|ay|igh",
      "|ck|ng|mp|ft|lt|ll|p|b|g" },
    { false, "x|z|q|v|k|j|w|zl|xr|vv|kh", "a|e|i|o|u|y|ae|ux", "|x|q|z|k|v|rn" },
    { false, "ph|ps|th|chr|m|n|l|d|t|k|p|r|s|gn", "a|e|i|o|y|eu|ai|oi", "|s|n|x|r|m|on|is" },
    { false, "m|n|ng|k|p|t|w|l|h", "a|e|i|o|u|oa|ao|ue", "" },
    { true, "bw|dj|fy|gv|hl|jr|lw|mb|nd|pf|rh|sv|tch|zw", "a|e|i|o|u|ao|ea", "|dge|lm|rk|st|v" },
    { true, "c|ch|cu|h|i|ll|m|n|ñ|p|t|tz|x", "a|e|i|o|u|ui|ah|é", "|l|c|tl|n|z" },
};

bool word_is_held(const char *w) { return hash64(w, strlen(w), 41) % 8 == 0; }

static const char *syllable_word(struct draw *d, const struct language *l)
{
    int n = chance(d, 15) ? 1 : chance(d, 70) ? 2 : 3;
    const char *w = "";
    for (int i = 0; i < n; i++)
        w = text(d, "%s%s%s%s", w, i == 0 && chance(d, 12) ? "" : pick(d, l->onset),
                 pick(d, l->nucleus), i + 1 == n || chance(d, 40) ? pick(d, l->coda) : "");
    return w;
}

/* Letters beyond ASCII lose their marks: names of tools and parameters have none. */
static const char *plain_letters(struct draw *d, const char *w)
{
    static const struct {
        const char *from;
        char to;
    } rows[] = { { "ä", 'a' }, { "ö", 'o' }, { "ñ", 'n' }, { "é", 'e' } };
    char *out = arena_str(d->a, w, strlen(w)), *o = out;
    while (*w) {
        *o = *w;
        size_t n = 1;
        for (size_t i = 0; i < LEN(rows); i++)
            if (!strncmp(w, rows[i].from, 2)) *o = rows[i].to, n = 2;
        o++;
        w += n;
    }
    *o = 0;
    return out;
}

/* Test sets take a held-out language half of the time; their words are held out by hash in any
 * case, so that no training word can be among them. */
static const char *invent(struct draw *d, bool plain)
{
    bool foreign = d->held_word && chance(d, 50);
    /* one draw in fifty fits at worst */
    for (;;) {
        const struct language *l = &languages[below(d, LEN(languages))];
        if (l->held != foreign) continue;
        const char *w = syllable_word(d, l);
        if (plain) w = plain_letters(d, w);
        if (strlen(w) < 2 || strlen(w) > 12) continue;
        if (word_is_held(w) == d->held_word) return w;
    }
}

const char *word_fake(struct draw *d) { return invent(d, true); }
const char *word_foreign(struct draw *d) { return invent(d, false); }

/* ---- real words ------------------------------------------------------------------------------ */

static const char *const nouns[] = {
    "account",      "address",      "agenda",       "alarm",      "album",       "alert",
    "ambulance",    "anchor",       "apartment",    "appliance",  "appointment", "archive",
    "arrow",        "article",      "artist",       "asset",      "auction",     "audience",
    "badge",        "bag",          "balance",      "balcony",    "banner",      "barrel",
    "basket",       "batch",        "battery",      "beacon",     "bed",         "bell",
    "bench",        "bicycle",      "bill",         "blanket",    "blind",       "boat",
    "boiler",       "book",         "booking",      "bottle",     "box",         "branch",
    "bridge",       "broadcast",    "brush",        "bucket",     "budget",      "building",
    "bus",          "button",       "cabin",        "cable",      "calendar",    "call",
    "camera",       "campaign",     "candle",       "car",        "card",        "cargo",
    "cart",         "case",         "catalogue",    "chair",      "channel",     "charger",
    "chart",        "check",        "choir",        "circuit",    "city",        "class",
    "client",       "clock",        "cloud",        "coach",      "coat",        "code",
    "coin",         "collection",   "comment",      "company",    "complaint",   "container",
    "contest",      "contract",     "conversation", "cottage",    "coupon",      "course",
    "courier",      "crane",        "crate",        "credit",     "crew",        "crop",
    "cup",          "curtain",      "customer",     "dashboard",  "database",    "deck",
    "delivery",     "deposit",      "desk",         "device",     "diagram",     "dish",
    "district",     "document",     "door",         "drawer",     "drill",       "drink",
    "driver",       "drone",        "dryer",        "elevator",   "email",       "engine",
    "entry",        "envelope",     "episode",      "essay",      "estate",      "event",
    "exam",         "exhibition",   "expense",      "fabric",     "factory",     "fan",
    "farm",         "feature",      "fee",          "fence",      "ferry",       "field",
    "file",         "film",         "filter",       "fine",       "firewall",    "flag",
    "fleet",        "flight",       "floor",        "flower",     "folder",      "form",
    "fountain",     "frame",        "freezer",      "fund",       "gallery",     "game",
    "garage",       "garden",       "gate",         "gift",       "glass",       "goal",
    "grant",        "group",        "guest",        "guide",      "habit",       "hall",
    "harvest",      "heater",       "helmet",       "hotel",      "house",       "image",
    "incident",     "index",        "inspection",   "instrument", "insurance",   "interview",
    "invoice",      "island",       "item",         "jacket",     "job",         "journal",
    "journey",      "key",          "kiosk",        "kitchen",    "label",       "ladder",
    "lamp",         "lane",         "laptop",       "lease",      "lecture",     "ledger",
    "lens",         "lesson",       "letter",       "library",    "licence",     "light",
    "link",         "list",         "loan",         "locker",     "log",         "lottery",
    "machine",      "magazine",     "mailbox",      "map",        "market",      "match",
    "meal",         "medal",        "meeting",      "member",     "memo",        "menu",
    "message",      "meter",        "milestone",    "mirror",     "mission",     "model",
    "module",       "monitor",      "museum",       "network",    "newsletter",  "note",
    "notebook",     "notification", "object",       "offer",      "office",      "orchard",
    "orchestra",    "order",        "oven",         "package",    "page",        "painting",
    "panel",        "parcel",       "park",         "part",       "partner",     "passenger",
    "passport",     "path",         "patient",      "payment",    "pencil",      "permit",
    "phone",        "photo",        "piano",        "picture",    "pipe",        "pipeline",
    "plan",         "plant",        "plate",        "playlist",   "podcast",     "poem",
    "policy",       "poll",         "pond",         "pool",       "port",        "poster",
    "prescription", "price",        "printer",      "prize",      "process",     "product",
    "profile",      "program",      "project",      "pump",       "puzzle",      "queue",
    "quote",        "radio",        "railway",      "ranking",    "receipt",     "recipe",
    "record",       "recording",    "refund",       "region",     "relay",       "reminder",
    "rental",       "repair",       "report",       "request",    "reservation", "review",
    "reward",       "ring",         "river",        "road",       "robot",       "role",
    "roof",         "room",         "rope",         "route",      "router",      "sample",
    "sauna",        "scanner",      "schedule",     "school",     "score",       "screen",
    "season",       "seat",         "sensor",       "server",     "session",     "shelf",
    "shift",        "ship",         "shipment",     "shop",       "signal",      "site",
    "slide",        "snapshot",     "sofa",         "song",       "speaker",     "sprinkler",
    "stable",       "stage",        "stamp",        "station",    "statue",      "stock",
    "storage",      "story",        "stove",        "stream",     "street",      "studio",
    "subscription", "suitcase",     "supplier",     "survey",     "switch",      "table",
    "tag",          "tank",         "target",       "task",       "tax",         "taxi",
    "team",         "telescope",    "template",     "tenant",     "tent",        "terminal",
    "theatre",      "thread",       "ticket",       "tile",       "timer",       "token",
    "tool",         "tournament",   "towel",        "tower",      "toy",         "track",
    "trailer",      "train",        "transfer",     "tree",       "trip",        "truck",
    "tunnel",       "turbine",      "tutor",        "unit",       "vacation",    "valve",
    "van",          "vase",         "vehicle",      "vendor",     "venue",       "video",
    "village",      "vineyard",     "visit",        "visitor",    "volunteer",   "voucher",
    "wagon",        "wall",         "wallet",       "warehouse",  "warranty",    "watch",
    "wheel",        "window",       "workflow",     "workout",    "workshop",    "yacht",
    "zone",
};
static const char *const adjectives[] = {
    "active",  "annual",    "blue",     "broken",   "central",   "cheap",    "clean",   "cold",
    "daily",   "dark",      "deep",     "digital",  "draft",     "dry",      "early",   "eastern",
    "empty",   "extra",     "fast",     "final",    "foreign",   "fragile",  "frozen",  "full",
    "golden",  "green",     "grey",     "heavy",    "hidden",    "hot",      "indoor",  "internal",
    "large",   "late",      "light",    "linen",    "local",     "long",     "main",    "medium",
    "mobile",  "monthly",   "narrow",   "new",      "northern",  "old",      "open",    "orange",
    "outdoor", "paper",     "personal", "plain",    "portable",  "premium",  "primary", "private",
    "public",  "quick",     "quiet",    "rare",     "red",       "regional", "remote",  "round",
    "rural",   "secondary", "secure",   "shared",   "short",     "silver",   "simple",  "slow",
    "small",   "smart",     "soft",     "southern", "spare",     "special",  "square",  "static",
    "steel",   "striped",   "sunny",    "tall",     "temporary", "urban",    "urgent",  "vintage",
    "virtual", "warm",      "weekly",   "western",  "white",     "wide",     "wooden",  "yellow",
};

static const char *from_list(struct draw *d, const char *const *list, size_t n)
{
    for (int i = 0; i < 300; i++) {
        const char *w = list[below(d, (int)n)];
        if (word_is_held(w) == d->held_word) return w;
    }
    return list[0];
}

/* A lexicon knows many more words than the lists, where there is one. */
static const char *real_word(struct draw *d, const char *part, const char *const *list, size_t n)
{
    const struct sense *s = has_senses(d) && chance(d, 60) ? sense_draw(d, part) : NULL;
    return s ? s->word : from_list(d, list, n);
}

const char *word_noun(struct draw *d) { return real_word(d, "n", nouns, LEN(nouns)); }
const char *word_adj(struct draw *d) { return real_word(d, "a", adjectives, LEN(adjectives)); }

const char *word_any(struct draw *d)
{
    if (chance(d, d->fake_percent)) return word_fake(d);
    return chance(d, 75) ? word_noun(d) : word_adj(d);
}

/* ---- shapes of words ------------------------------------------------------------------------- */

const char *capital(struct draw *d, const char *w)
{
    char *s = arena_str(d->a, w, strlen(w));
    if (s[0] >= 'a' && s[0] <= 'z') s[0] = (char)(s[0] - 32);
    return s;
}

const char *lower(struct draw *d, const char *w)
{
    char *s = arena_str(d->a, w, strlen(w));
    for (char *p = s; *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
    return s;
}

const char *article(const char *noun) { return noun[0] && strchr("aeiou", noun[0]) ? "an" : "a"; }

const char *plural(struct draw *d, const char *noun)
{
    size_t n = strlen(noun);
    if (n > 1 && noun[n - 1] == 'y' && !strchr("aeiou", noun[n - 2]))
        return text(d, "%.*sies", (int)n - 1, noun);
    if (n &&
        (strchr("sxz", noun[n - 1]) || (n > 1 && noun[n - 1] == 'h' && strchr("cs", noun[n - 2]))))
        return text(d, "%ses", noun);
    return text(d, "%ss", noun);
}

enum style style_draw(struct draw *d)
{
    int r = below(d, 100);
    return r < 54   ? STYLE_SNAKE
           : r < 77 ? STYLE_CAMEL
           : r < 83 ? STYLE_PASCAL
           : r < 88 ? STYLE_KEBAB
           : r < 97 ? STYLE_DOT
                    : STYLE_FLAT;
}

static const char *joiner(enum style s, int i)
{
    if (s == STYLE_SNAKE) return "_";
    if (s == STYLE_KEBAB) return "-";
    if (s == STYLE_DOT) return i == 1 ? "." : "_";
    return "";
}

const char *identifier(struct draw *d, const char *words, enum style s)
{
    char *out = arena_alloc(d->a, strlen(words) * 2 + 1), *o = out;
    int i = 0;
    for (const char *p = words; *p; i++) {
        size_t n = strcspn(p, " -'");
        if (i) o += sprintf(o, "%s", joiner(s, i));
        memcpy(o, p, n);
        if ((s == STYLE_PASCAL || (s == STYLE_CAMEL && i)) && *o >= 'a' && *o <= 'z')
            *o = (char)(*o - 32);
        o += n;
        p += n;
        while (*p && strchr(" -'", *p)) p++;
    }
    *o = 0;
    return out;
}

const char *spoken(struct draw *d, const char *name)
{
    char *out = arena_alloc(d->a, strlen(name) * 2 + 1), *o = out;
    for (const char *p = name; *p; p++) {
        bool upper = *p >= 'A' && *p <= 'Z', was_lower = p > name && p[-1] >= 'a' && p[-1] <= 'z';
        bool digit = isdigit((unsigned char)*p) && p > name && isalpha((unsigned char)p[-1]);
        if (strchr("_-.", *p)) { if (o > out && o[-1] != ' ') *o++ = ' '; continue; }
        if (((upper && was_lower) || digit) && o > out && o[-1] != ' ') *o++ = ' ';
        *o++ = upper ? (char)(*p + 32) : *p;
    }
    *o = 0;
    return out;
}
