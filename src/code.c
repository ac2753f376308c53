/* code.c -- code that comes a character at a time, in colours: keywords, strings, numbers, comments.
 *
 * Nothing is parsed. A word is held back until it ends, and one character where two begin a comment; the rest goes out
 * as it comes. A string ends with its line at the latest, so that an apostrophe in a wrong place colours no page. */
#include <ctype.h>
#include <strings.h>

#include "markdown.h"

struct lang {
    const char *names;                                                /* of fences, between blanks */
    const char *line, *line2;                                         /* what begins a comment to the end of the line; of one or two characters */
    bool block;                                                       /* C's comments */
    const char *quotes, *keywords;
    bool any_case;
};

static const struct lang langs[] = {
    { " python py python3 ", "#", NULL, false, "'\"",
      " False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda match nonlocal not or "
      "pass raise return try while with yield ", false },
    { " sh bash shell zsh console ", "#", NULL, false, "'\"",
      " if then else elif fi for in do done while until case esac function return exit export local echo cd set unset read ", false },
    { " c h cpp c++ cc cxx objc cuda java js javascript jsx ts typescript tsx go golang rust rs kotlin kt swift cs csharp php scala dart zig ", "//", NULL, true, "'\"`",
      " auto bool break case catch char class const continue default defer delete do double else enum export extends extern false final finally float fn for func function go "
      "goto if impl implements import in inline instanceof int interface let long match mut namespace new nil null override package private protected pub public return "
      "self short signed sizeof static struct super switch template this throw trait true try type typedef typeof union unsigned use using var virtual void volatile while "
      "async await yield range chan map val when is as ", false },
    { " json jsonc json5 ", "//", NULL, true, "\"", " true false null ", false },
    { " sql sqlite postgresql mysql ", "--", NULL, true, "'\"",
      " select from where and or not insert into values update set delete create table drop alter index primary key foreign references join left right inner outer on as "
      "group by order having limit offset union all distinct null is in like between case when then else end count sum avg min max ", true },
    { " yaml yml toml ini conf make makefile dockerfile nginx ", "#", ";", false, "'\"", " true false yes no null on off FROM RUN COPY CMD ENV ", false },
    { " ruby rb perl pl r julia elixir ", "#", NULL, false, "'\"",
      " def end if else elsif unless while until for in do return class module begin rescue ensure nil true false self yield function my sub use require puts ", false },
    { " lua haskell hs ", "--", NULL, false, "'\"",
      " local function end if then else elseif for in do while repeat until return nil true false and or not where let case of module import data type instance class deriving ", false },
};

static bool among(const char *list, const char *word, size_t n, bool any_case)
{
    for (const char *p = list; (p = strchr(p, ' ')) && p[1]; p++)
        if (!(any_case ? strncasecmp(p + 1, word, n) : strncmp(p + 1, word, n)) && p[1 + n] == ' ') return true;
    return false;
}

void code_open(struct code *c, const char *name, size_t n, struct wrap *to)
{
    *c = (struct code){ .to = to };
    for (size_t i = 0; i < LEN(langs) && n; i++)
        if (!c->lang && among(langs[i].names, name, n, true)) c->lang = &langs[i];
    if (!c->lang) wrap_mark(to, MD_CYAN);
}

void code_done(struct code *c)
{
    code_end_line(c);
    wrap_mark(c->to, MD_OFF);
    str_done(&c->word);
    *c = (struct code){ 0 };
}

static void put_in(struct code *c, const char *colour, const char *p, size_t n)
{
    wrap_mark(c->to, colour);
    wrap_put(c->to, p, n, true);
    wrap_mark(c->to, MD_OFF);
}

static void end_word(struct code *c)
{
    if (!c->word.len) return;
    if (isdigit((unsigned char)*c->word.p)) put_in(c, MD_YELLOW, c->word.p, c->word.len);
    else if (among(c->lang->keywords, c->word.p, c->word.len, c->lang->any_case)) put_in(c, MD_MAGENTA, c->word.p, c->word.len);
    else wrap_put(c->to, c->word.p, c->word.len, true);
    str_clear(&c->word);
}

/* The character that was held back was no comment after all. */
static void end_held(struct code *c)
{
    if (c->held) wrap_put(c->to, &c->held, 1, true);
    c->held = 0;
}

void code_end_line(struct code *c)
{
    if (!c->lang) return;
    end_word(c);
    end_held(c);
    if (c->comment || c->quote || c->block) wrap_mark(c->to, MD_OFF);
    if (c->block) wrap_mark(c->to, MD_DIM);                           /* it goes on in the next line */
    c->comment = c->escaped = false;
    c->quote = c->last = 0;
}

static bool begins(const char *mark, char a, char b) { return mark && mark[0] == a && mark[1] == b; }

/* A comment begins at the held character and this one, or at this one alone. */
static bool open_comment(struct code *c, char ch)
{
    const struct lang *l = c->lang;
    bool line = c->held ? begins(l->line, c->held, ch) || begins(l->line2, c->held, ch) : begins(l->line, ch, 0) || begins(l->line2, ch, 0);
    bool block = l->block && c->held == '/' && ch == '*';
    if (!line && !block) return false;
    wrap_mark(c->to, MD_DIM);
    end_held(c);
    wrap_put(c->to, &ch, 1, true);
    c->comment = line;
    c->block = block;
    return true;
}

static void put_string(struct code *c, const char *p, size_t n)
{
    wrap_put(c->to, p, n, true);
    if (!c->escaped && *p == c->quote) {
        c->quote = 0;
        wrap_mark(c->to, MD_OFF);
    }
    c->escaped = !c->escaped && *p == '\\';
}

static bool may_begin_comment(const struct lang *l, char ch)
{
    return (l->line[1] && l->line[0] == ch) || (l->block && ch == '/');
}

static void put_plain(struct code *c, const char *p, size_t n)
{
    bool word = n > 1 || isalnum((unsigned char)*p) || *p == '_';
    if (word && !c->held) {
        str_put(&c->word, p, n);
        return;
    }
    end_word(c);
    if (n == 1 && open_comment(c, *p)) return;
    end_held(c);
    if (word) str_put(&c->word, p, n);
    else if (strchr(c->lang->quotes, *p)) {
        c->quote = *p;
        wrap_mark(c->to, MD_GREEN);
        wrap_put(c->to, p, n, true);
    } else if (may_begin_comment(c->lang, *p)) c->held = *p;
    else wrap_put(c->to, p, n, true);
}

void code_put(struct code *c, const char *p, size_t n)
{
    if (!c->lang || c->comment) wrap_put(c->to, p, n, true);
    else if (c->block) {
        wrap_put(c->to, p, n, true);
        if (c->last == '*' && *p == '/') c->block = false, wrap_mark(c->to, MD_OFF);
    } else if (c->quote) put_string(c, p, n);
    else put_plain(c, p, n);
    c->last = *p;
}
