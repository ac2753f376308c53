/* gen_value.c -- argument values: how a person says one and what stands in the call.
 *
 * Most kinds are copied character for character; the others are the short list of transformations
 * the model must learn (number words, thousands separators, units dropped, percent to fraction,
 * phrases to lists). A value that is written in a form of its own (ISO dates, fractions) is drawn
 * only for parameters whose description asks for that form, so the text always decides.
 *
 * Half of the names are invented even where real ones exist: a value must be copied, not
 * recognised. */
#include "train/gen_int.h"

static struct value same(const char *s) { return (struct value){ s, json_new_str(s) }; }

char *marked(struct draw *d, const char *value)
{
    return text(d, "%c%s%c", MARK_OPEN, value, MARK_CLOSE);
}

/* ---- invented look-alikes -------------------------------------------------------------------- */

/* One run of letters or digits becomes another of the same case; everything else stays. */
static const char *run_like(struct draw *d, const char *p, size_t n)
{
    if (p[0] >= '0' && p[0] <= '9') {
        char *s = arena_str(d->a, p, n);
        for (size_t i = 0; i < n; i++)
            s[i] = (char)('0' + (i == 0 && n > 1 ? range(d, 1, 9) : below(d, 10)));
        return s;
    }
    bool up = p[0] >= 'A' && p[0] <= 'Z', all_up = up && n > 1 && p[1] >= 'A' && p[1] <= 'Z';
    if (all_up || n == 1) {
        char *s = arena_str(d->a, p, n);
        for (size_t i = 0; i < n; i++) s[i] = (char)((up ? 'A' : 'a') + below(d, 26));
        return s;
    }
    return up ? capital(d, word_foreign(d)) : word_foreign(d);
}

static bool is_small_word(const char *p, size_t n)
{
    static const char *const small[] = { "of", "the", "and", "in", "at", "on",   "de",
                                         "la", "to",  "for", "a",  "an", "with", "by" };
    for (size_t i = 0; i < LEN(small); i++)
        if (strlen(small[i]) == n && !memcmp(small[i], p, n)) return true;
    return false;
}

const char *value_like(struct draw *d, const char *sample)
{
    struct str s = { 0 };
    for (const char *p = sample; *p;) {
        size_t n = 0;
        bool digit = *p >= '0' && *p <= '9';
        while (p[n] && (digit ? p[n] >= '0' && p[n] <= '9'
                              : (p[n] >= 'a' && p[n] <= 'z') || (p[n] >= 'A' && p[n] <= 'Z') ||
                                    (p[n] & 0x80)))
            n++;
        if (!n) str_putc(&s, *p++);
        else {
            bool suffix = !digit && p > sample && p[-1] >= '0' && p[-1] <= '9'; /* 12th, 6pm */
            if (suffix || is_small_word(p, n) || (!digit && chance(d, 8))) str_put(&s, p, n);
            else str_puts(&s, run_like(d, p, n));
            p += n;
        }
    }
    const char *out = arena_str(d->a, s.p ? s.p : "", s.len);
    str_done(&s);
    return out;
}

/* ---- names ----------------------------------------------------------------------------------- */

static const char first_names[] =
    "Ana|Ben|Chloé|Dmitri|Elif|Farid|Greta|Hiro|Imani|Jakub|Keiko|Leila|Mateo|Nora|Omar|Priya|"
    "Quentin|Rosa|Sven|Tuva|Ugo|Vera|Wiktor|Ximena|Yusuf|Zoë|Alice|Bob|Carol|David|Emma|Frank|"
    "Grace|Henry|Isabel|Jack|Kate|Liam|Maria|Noah|Olivia|Paul|Ruth|Sam|Tina|Victor|Wendy|Anders|"
    "Bianca|Cem|Daria|Emil|Fatima|Goran|Hanna|Igor|Jonas|Katya|Lars|Mina|Nils|Olga|Pablo|Rania|"
    "Sofia|Tomás|Uma|Viktor|Yara|Zeynep|Mom|Dad|Mr Patel|Dr. Osei|Aunt May";
static const char last_names[] =
    "Abebe|Bianchi|Castro|Dvořák|Eriksen|Fischer|García|Haddad|Ivanova|Jensen|Kowalski|Lindqvist|"
    "Moreau|Nakamura|Okafor|Petrov|Quinn|Rossi|Silva|Tanaka|Ueda|Vargas|Weber|Xu|Yilmaz|Zhang|"
    "Smith|Jones|Brown|Taylor|Miller|Davis|Wilson|Clark|Lewis|Walker|Young|King|Wright|Hill|Green|"
    "Baker|Adams|Nelson|Carter|O'Brien|Müller|Schmidt|Novak|Horvat|Nguyen|Kim|Park|Singh|Khan";
static const char cities[] =
    "Lisbon|Oslo|Porto Alegre|Kraków|Nairobi|San José|Osaka|Ghent|Tallinn|Cusco|Aarhus|New Delhi|"
    "Fez|Bergen|Quito|Leipzig|Busan|Valparaíso|Turin|Halifax|Berlin|Paris|London|Madrid|Rome|"
    "Vienna|Prague|Dublin|Boston|Chicago|Denver|Seattle|Austin|Toronto|Lima|Cairo|Dakar|Accra|"
    "Hanoi|Seoul|Kyoto|Sydney|Perth|Auckland|Geneva|Lyon|Porto|Split|Riga|Vilnius|New York|"
    "Los Angeles|Cape Town";
static const char countries[] =
    "Portugal|Norway|Kenya|Japan|Peru|Estonia|Canada|Morocco|South Korea|Chile|Italy|Vietnam|"
    "France|Germany|Spain|Brazil|Mexico|India|Greece|Poland|Ireland|Ghana|Egypt|Turkey|Sweden|"
    "Austria|New Zealand|Argentina";
static const char companies[] = "Northwind Traders|Helix Labs|Blue Fjord AS|Kestrel & Sons|Oryx "
                                "Logistics|Tamarind Foods|Acme Corp|Globex|Initech|Umbra Systems";
static const char products[] = "desk lamp|hiking boots|espresso machine|rain jacket|cordless "
                               "drill|yoga mat|phone case|water bottle|running shoes|office chair";
static const char phrases[] =
    "the blue one by the door|call me when you are done|bring the spare key|"
    "second shelf on the left|leave it with the neighbour|please handle with care|"
    "running ten minutes late|back gate is open|no onions please|see you at the station|"
    "happy birthday|I will be there soon|pick up the kids|the meeting moved to the big room|"
    "do not ring the bell|water the plants|dinner is ready|can we talk tomorrow|buy milk and eggs|"
    "thanks for the help";

static const char *fake_name(struct draw *d, int words)
{
    const char *s = capital(d, word_foreign(d));
    for (int i = 1; i < words; i++) s = text(d, "%s %s", s, capital(d, word_any(d)));
    return s;
}

static const char *name_or(struct draw *d, const char *real, int words)
{
    return d->held_word || chance(d, d->fake_percent) ? fake_name(d, words) : pick(d, real);
}

static const char *first_name(struct draw *d) { return name_or(d, first_names, 1); }
static const char *last_name(struct draw *d) { return name_or(d, last_names, 1); }
static const char *month(struct draw *d, bool shortened)
{
    return pick(d, shortened ? "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
                             : "January|February|March|April|May|June|July|August|September|"
                               "October|November|December");
}

static const char *title(struct draw *d)
{
    int n = range(d, 1, 4);
    const char *s = capital(d, word_any(d));
    for (int i = 1; i < n; i++) {
        const char *w = word_any(d);
        s = text(d, "%s%s%s", s, chance(d, 15) ? pick(d, " of the | and | in | for the ") : " ",
                 chance(d, 60) ? capital(d, w) : w);
    }
    return s;
}

static const char *free_text(struct draw *d)
{
    if (!d->held_word && chance(d, 35)) return pick(d, phrases);
    int n = range(d, 2, chance(d, 20) ? 9 : 5);
    const char *s = word_any(d);
    for (int i = 1; i < n; i++)
        s = text(d, "%s %s%s", s,
                 chance(d, 30) ? pick(d, "the |in the |with |and |a |to the |of |for ") : "",
                 word_any(d));
    return chance(d, 30) ? capital(d, s) : s;
}

/* An open-class value of some pack ("a birthday cake", "Lake Tahoe"), or its invented look-
 * alike. */
static const char *real_value(struct draw *d)
{
    if (!d->g->real_value.n) return title(d);
    const char *s = d->g->real_value.item[below(d, d->g->real_value.n)];
    return d->held_word || chance(d, d->fake_percent) ? value_like(d, s) : s;
}

/* ---- identifiers, addresses ------------------------------------------------------------------ */

static const char *from_letters(struct draw *d, const char *set, int n)
{
    char *s = arena_zero(d->a, (size_t)n + 1);
    for (int i = 0; i < n; i++) s[i] = set[below(d, (int)strlen(set))];
    return s;
}
#define UPPER "ABCDEFGHJKLMNPQRSTUVWXYZ"
#define DIGITS "0123456789"

static const char *make_id(struct draw *d)
{
    switch (below(d, 8)) {
    case 0: return text(d, "%s-%d", from_letters(d, UPPER, 2), range(d, 100, 99999));
    case 1: return text(d, "#%d", range(d, 100, 99999));
    case 2: return text(d, "%s_%d", word_any(d), range(d, 1, 999));
    case 3:
        return text(d, "%s-%s", from_letters(d, "abcdef" DIGITS, 4),
                    from_letters(d, "abcdef" DIGITS, 4));
    case 4:
        return text(d, "%s%s", from_letters(d, UPPER, 1), from_letters(d, DIGITS, range(d, 3, 7)));
    case 5: return from_letters(d, DIGITS, range(d, 4, 9));
    case 6: return text(d, "%s-%s", word_any(d), from_letters(d, DIGITS, 2));
    default:
        return text(d, "%s/%d/%s", from_letters(d, UPPER, 3), range(d, 2019, 2030),
                    from_letters(d, DIGITS, 4));
    }
}

static const char *ascii(struct draw *d, const char *w)
{
    char *s = arena_str(d->a, lower(d, w), strlen(w)), *o = s;
    for (char *p = s; *p; p++)
        if ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9')) *o++ = *p;
    *o = 0;
    return *s ? s : "x";
}

static const char *host(struct draw *d)
{
    return text(d, "%s%s.%s", chance(d, 30) ? pick(d, "mail.|docs.|shop.|api.|wiki.|www.") : "",
                ascii(d, word_any(d)),
                pick(d, "com|org|net|example.com|example|io|de|co.uk|fr|test"));
}

static const char *email(struct draw *d)
{
    return text(d, "%s%s%s@%s", ascii(d, first_name(d)), pick(d, ".|_||-"),
                chance(d, 70) ? ascii(d, last_name(d)) : from_letters(d, DIGITS, 2), host(d));
}

static const char *path(struct draw *d)
{
    const char *s = pick(d, "/|~/|./||/home/|/var/|C:/|docs/");
    int n = range(d, 1, 3);
    for (int i = 0; i < n; i++) s = text(d, "%s%s%s", s, i ? "/" : "", ascii(d, word_any(d)));
    return chance(d, 75)
               ? text(d, "%s.%s", s, pick(d, "txt|pdf|csv|json|md|png|c|py|log|docx|mp3|xlsx"))
               : s;
}

/* ---- dates and times ------------------------------------------------------------------------- */

static const char *date(struct draw *d)
{
    int day = range(d, 1, 28);
    static const char *const nth[] = { "th", "st", "nd", "rd" };
    const char *th = nth[day % 10 < 4 && day / 10 != 1 ? day % 10 : 0];
    switch (below(d, 9)) {
    case 0: return text(d, "%d %s", day, month(d, false));
    case 1: return text(d, "%s %d", month(d, false), day);
    case 2: return text(d, "%s %d%s", month(d, chance(d, 40)), day, th);
    case 3: return text(d, "%d-%02d-%02d", range(d, 2019, 2031), range(d, 1, 12), day);
    case 4: return text(d, "the %d%s of %s", day, th, month(d, false));
    case 5:
        return pick(d, "tomorrow|today|tonight|next Monday|next Tuesday|next Friday|this "
                       "Thursday|this weekend|the day after tomorrow|next week|on the weekend|"
                       "Sunday morning|Friday night|Saturday afternoon|Wednesday evening|tomorrow "
                       "morning|in two weeks|the first Sunday in May");
    case 6: return text(d, "%d %s", day, month(d, true));
    case 7: return text(d, "%d/%d/%d", range(d, 1, 12), day, range(d, 2019, 2031));
    default: return text(d, "%s %d", month(d, true), day);
    }
}

static const char *clock_time(struct draw *d)
{
    switch (below(d, 6)) {
    case 0:
        return text(d, "%d:%02d %s", range(d, 1, 12), below(d, 12) * 5, pick(d, "am|pm|a.m.|p.m."));
    case 1: return text(d, "%d:%02d", below(d, 24), below(d, 60));
    case 2: return text(d, "%02d:%02d", below(d, 24), below(d, 12) * 5);
    case 3: return text(d, "%d %s", range(d, 1, 12), pick(d, "am|pm"));
    case 4: return text(d, "%d%s", range(d, 1, 12), pick(d, "am|pm"));
    default:
        return pick(d, "noon|midnight|half past eight|quarter to six|eight in the evening|half "
                       "past two|six sharp|ten past four|lunchtime");
    }
}

static struct value iso_date(struct draw *d)
{
    int y = range(d, 2019, 2031), m = range(d, 1, 12), day = range(d, 1, 28);
    static const char *const names[] = { "January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December" };
    const char *said = text(d, "%d-%02d-%02d", y, m, day), *iso = said;
    if (chance(d, 50))
        said = chance(d, 50) ? text(d, "%d %s %d", day, names[m - 1], y)
                             : text(d, "%s %d, %d", names[m - 1], day, y);
    return (struct value){ said, json_new_str(iso) };
}

static const char *part_of_day(int h)
{
    return h < 12 ? "in the morning" : h < 18 ? "in the afternoon" : "in the evening";
}

/* A time as people say it, for a parameter that wants HH:MM. */
static struct value clock_value(struct draw *d)
{
    static const char *const hours[] = { "twelve", "one",   "two",   "three", "four", "five",
                                         "six",    "seven", "eight", "nine",  "ten",  "eleven" };
    int h = below(d, 24), m = below(d, 12) * 5, h12 = h % 12 ? h % 12 : 12, r = below(d, 7);
    bool spoken_hour = h >= 5 && h < 22 && h != 12 && h != 11;
    const char *said, *half = h < 12 ? "am" : "pm";
    if (r >= 4 && r < 6 && !spoken_hour) {
        h = h < 12 ? 0 : 12;
        m = 0;
        said = h ? "noon" : "midnight";
    } else if (r == 0) said = text(d, "%02d:%02d", h, m);
    else if (r == 1) said = text(d, "%d:%02d %s", h12, m, half);
    else if (r < 4) {
        m = 0;
        said = text(d, "%d%s%s", h12, r == 2 ? " " : "", half);
    } else if (r == 4) {
        m = 30;
        said = text(d, "half past %s %s", hours[h % 12], part_of_day(h));
    } else if (r == 5) {
        m = chance(d, 50) ? 15 : 45;
        int said_h = m == 15 ? h : h + 1;
        said = text(d, "quarter %s %s %s", m == 15 ? "past" : "to", hours[said_h % 12],
                    part_of_day(said_h));
    } else {
        m = below(d, 60);
        said = text(d, "%d:%02d %s", h12, m, h < 12 ? "a.m." : "p.m.");
    }
    return (struct value){ said, json_new_str(text(d, "%02d:%02d", h, m)) };
}

/* How long, for a parameter that wants minutes. */
static struct value minutes_value(struct draw *d)
{
    static const struct { const char *said; int minutes;
    } odd[] = { { "half an hour", 30 },        { "an hour", 60 },
                { "a quarter of an hour", 15 }, { "an hour and a half", 90 },
                { "two hours", 120 },          { "three quarters of an hour", 45 },
                { "twenty minutes", 20 },      { "two and a half hours", 150 },
                { "ten minutes", 10 },         { "ninety minutes", 90 } };
    int h = range(d, 1, 6), m = range(d, 1, 11) * 5, all = 60 * h + m;
    const char *said;
    switch (below(d, 7)) {
    case 0: case 1:
        all = range(d, 2, 120);
        said = text(d, "%d %s", all, pick(d, "minutes|minutes|min|mins"));
        break;
    case 2:
        all = 60 * (h + 1);
        said = text(d, "%d hours", h + 1);
        break;
    case 3: said = text(d, "%dh %d", h, m); break;
    case 4: said = text(d, "%d hour%s and %d minutes", h, h > 1 ? "s" : "", m); break;
    case 5:
        all = 60 * h + 30;
        said = text(d, "%d.5 hours", h);
        break;
    default: {
        int i = below(d, (int)LEN(odd));
        all = odd[i].minutes;
        said = odd[i].said;
    }
    }
    return (struct value){ said, json_new_int(all) };
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* NULL beyond twenty. */
static const char *number_word(int n)
{
    static const char *const w[] = { "zero",    "one",     "two",       "three",    "four",
                                     "five",    "six",     "seven",     "eight",    "nine",
                                     "ten",     "eleven",  "twelve",    "thirteen", "fourteen",
                                     "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
                                     "twenty" };
    return n >= 0 && n < (int)LEN(w) ? w[n] : NULL;
}

struct value value_number(struct draw *d, int lo, int hi, bool may_be_word)
{
    int v = range(d, lo, hi);
    if (chance(d, 55) && hi > 50) v = range(d, lo, MIN(hi, lo + 40));
    const char *word = number_word(v);
    if (may_be_word && word && v > 0 && chance(d, 25))
        return (struct value){ word, json_new_int(v) };
    if (v >= 1000 && chance(d, 40))
        return (struct value){ text(d, "%d,%03d", v / 1000, v % 1000), json_new_int(v) };
    return (struct value){ text(d, "%d", v), json_new_int(v) };
}

static struct value number(struct draw *d, int n)
{
    return (struct value){ text(d, "%d", n), json_new_int(n) };
}

static struct value decimal(struct draw *d)
{
    int whole = range(d, 0, chance(d, 30) ? 900 : 40);
    bool two = chance(d, 30);
    int frac = two ? range(d, 1, 9) * 10 + range(d, 1, 9) : range(d, 1, 9);
    const char *s = text(d, "%s%d.%d", chance(d, 8) ? "-" : "", whole, frac);
    return (struct value){ s, json_new_number(s, strlen(s)) };
}

/* A number with its unit: the call holds the number alone. */
static struct value amount(struct draw *d)
{
    struct value v = chance(d, 60) ? value_number(d, 2, 5000, false) : decimal(d);
    return (struct value){ chance(d, 25) ? text(d, "$%s", v.said)
                                         : text(d, "%s %s", v.said,
                                                pick(d, "euros|dollars|EUR|USD|pounds|bucks")),
                           v.json };
}

static struct value fraction(struct draw *d)
{
    int p = range(d, 1, 99);
    char num[8];
    snprintf(num, sizeof num, p % 10 ? "0.%02d" : "0.%d", p % 10 ? p : p / 10);
    return (struct value){ text(d, "%d%s", p, pick(d, "%| percent| %")),
                           json_new_number(num, strlen(num)) };
}

/* ---- the table ------------------------------------------------------------------------------- */

static const char *said_as_is(struct draw *d, enum value_kind k)
{
    switch (k) {
    case V_NAME: return fake_name(d, range(d, 1, 3));
    case V_PERSON: return text(d, "%s %s", first_name(d), last_name(d));
    case V_FIRST_NAME: return first_name(d);
    case V_CITY: return name_or(d, cities, range(d, 1, 2));
    case V_COUNTRY: return name_or(d, countries, 1);
    case V_STREET:
        return text(d, "%d %s %s", range(d, 1, 240), capital(d, word_any(d)),
                    pick(d, "Street|Road|Lane|Avenue|Square|Way"));
    case V_WORD: return word_any(d);
    case V_PHRASE: return free_text(d);
    case V_TITLE: return title(d);
    case V_EMAIL: return email(d);
    case V_URL:
        return text(d, "http%s://%s/%s%s", chance(d, 85) ? "s" : "", host(d), ascii(d, word_any(d)),
                    chance(d, 40) ? text(d, "/%d", range(d, 1, 999)) : "");
    case V_PATH: return path(d);
    case V_ID: return make_id(d);
    case V_CODE: return from_letters(d, UPPER "23456789", range(d, 4, 8));
    case V_PHONE:
        return chance(d, 60)
                   ? text(d, "+%d %d %d", range(d, 30, 99), range(d, 100, 999),
                          range(d, 1000000, 9999999))
                   : text(d, "%d-%d-%04d", range(d, 200, 999), range(d, 200, 999), below(d, 10000));
    case V_DATE: return date(d);
    case V_TIME: return clock_time(d);
    case V_DURATION:
        return chance(d, 85) ? text(d, "%d %s", range(d, 2, 90),
                                    pick(d, "minutes|hours|days|weeks|seconds|min"))
                             : pick(d, "half an hour|an hour|a week|ten minutes");
    case V_WEEKDAY: return pick(d, "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday");
    case V_MONTH: return month(d, false);
    case V_MONEY: return text(d, chance(d, 50) ? "$%d" : "%d euros", range(d, 5, 900));
    case V_PERCENT: return text(d, "%d%%", range(d, 1, 99));
    case V_COMPANY: return name_or(d, companies, 2);
    case V_PRODUCT:
        return chance(d, d->fake_percent) || d->held_word
                   ? text(d, "%s %s", word_any(d), word_any(d))
                   : pick(d, products);
    case V_REAL: return real_value(d);
    case V_HOST:
        return chance(d, 50) ? host(d)
                             : text(d, "%d.%d.%d.%d", range(d, 1, 223), below(d, 256),
                                    below(d, 256), below(d, 256));
    case V_TAG: return text(d, "%s-%s", word_any(d), word_any(d));
    default: return word_any(d);
    }
}

struct value value_draw(struct draw *d, enum value_kind k)
{
    switch (k) {
    case V_INT: return value_number(d, 0, chance(d, 30) ? 9999 : 100, true);
    case V_DECIMAL: return decimal(d);
    case V_AMOUNT: return amount(d);
    case V_FRACTION: return fraction(d);
    case V_YEAR: return number(d, range(d, 1950, 2030));
    case V_ISO_DATE: return iso_date(d);
    case V_CLOCK: return clock_value(d);
    case V_MINUTES: return minutes_value(d);
    default: return same(said_as_is(d, k));
    }
}

int value_kind_of(const char *pack_kind)
{
    static const struct { const char *name; enum value_kind k;
    } rows[] = {
        { "time", V_TIME },
        { "date", V_DATE },
        { "weekday", V_WEEKDAY },
        { "month", V_MONTH },
        { "duration", V_DURATION },
        { "person", V_PERSON },
        { "first_name", V_FIRST_NAME },
        { "city", V_CITY },
        { "country", V_COUNTRY },
        { "street", V_STREET },
        { "email", V_EMAIL },
        { "phone", V_PHONE },
        { "url", V_URL },
        { "money", V_MONEY },
        { "percent", V_PERCENT },
        { "id", V_ID },
        { "code", V_CODE },
        { "company", V_COMPANY },
        { "product", V_PRODUCT },
        { "word", V_WORD },
        { "phrase", V_PHRASE },
        { "number", V_INT },
        { "year", V_YEAR },
        { "iso_date", V_ISO_DATE },
        { "clock", V_CLOCK },
        { "minutes", V_MINUTES },
    };
    for (size_t i = 0; i < LEN(rows); i++)
        if (!strcmp(rows[i].name, pack_kind)) return rows[i].k;
    return -1;
}
