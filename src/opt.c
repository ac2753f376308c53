/* opt.c -- one table per verb, from which parsing, help and the manual page all come.
 *
 * Accepted: --name value, --name=value, -n value, -nvalue, flags, "--" before positional arguments,
 * and "-" as a positional argument (stdin). Options and positional arguments may be mixed. */
#include <errno.h>
#include <stdlib.h>

#include "opt.h"

static const struct opt *find_long(const struct command *c, const char *name, size_t len)
{
    for (int i = 0; i < c->n_opt; i++)
        if (strlen(c->opt[i].name) == len && !memcmp(c->opt[i].name, name, len)) return &c->opt[i];
    return NULL;
}

static const struct opt *find_letter(const struct command *c, char letter)
{
    for (int i = 0; i < c->n_opt; i++)
        if (c->opt[i].letter == letter) return &c->opt[i];
    return NULL;
}

static bool store_number(const struct opt *o, const char *text, void *at, struct err *e)
{
    char *end;
    errno = 0;
    if (o->kind == OPT_INT) {
        long long v = strtoll(text, &end, 10);
        if (!*text || *end || errno) return err_set(e, ERR_USAGE, "--%s: '%s' is not a whole number", o->name, text);
        *(int64_t *)at = v;
        return true;
    }
    double v = strtod(text, &end);
    if (!*text || *end || v - v != 0) return err_set(e, ERR_USAGE, "--%s: '%s' is not a number", o->name, text);
    *(double *)at = v;
    return true;
}

static bool store(const struct opt *o, const char *text, void *opts, struct err *e)
{
    void *at = (char *)opts + o->off;
    switch (o->kind) {
    case OPT_FLAG: *(bool *)at = true; return true;
    case OPT_STR: *(const char **)at = text; return true;
    case OPT_LIST: {
        struct opt_list *l = at;
        l->item = mem_resize(l->item, (size_t)(l->n + 1) * sizeof *l->item);
        l->item[l->n++] = text;
        return true;
    }
    default: return store_number(o, text, at, e);
    }
}

/* One argument that begins with '-': returns how many arguments it used, 0 on error. */
static int take_option(const struct command *c, int argc, char **argv, void *opts, struct err *e)
{
    const char *a = argv[0], *value = NULL;
    const struct opt *o;
    if (a[1] == '-') {
        const char *eq = strchr(a, '=');
        o = find_long(c, a + 2, eq ? (size_t)(eq - a - 2) : strlen(a + 2));
        value = eq ? eq + 1 : NULL;
    } else {
        o = find_letter(c, a[1]);
        value = a[2] ? a + 2 : NULL;
    }
    if (!o) return err_set(e, ERR_USAGE, "unknown option %s; tenon %s --help lists them", a, c->verb);
    if (o->kind == OPT_FLAG) {
        if (value) return err_set(e, ERR_USAGE, "--%s takes no value", o->name);
        return store(o, NULL, opts, e);
    }
    if (value) return store(o, value, opts, e) ? 1 : 0;
    if (argc < 2) return err_set(e, ERR_USAGE, "--%s needs a value (%s)", o->name, o->arg);
    return store(o, argv[1], opts, e) ? 2 : 0;
}

bool opt_parse(const struct command *c, int argc, char **argv, void *opts, char **arg, int *n_arg, bool *help, struct err *e)
{
    bool only_args = false;
    *n_arg = 0;
    *help = false;
    for (int i = 0; i < argc;) {
        const char *a = argv[i];
        if (only_args || a[0] != '-' || !a[1]) arg[(*n_arg)++] = argv[i++];
        else if (!strcmp(a, "--")) only_args = true, i++;
        else if (!strcmp(a, "--help") || !strcmp(a, "-h")) return *help = true;
        else {
            int used = take_option(c, argc - i, argv + i, opts, e);
            if (!used) return false;
            i += used;
        }
    }
    if (*n_arg < c->min_arg) return err_set(e, ERR_USAGE, "missing argument; usage: tenon %s [options] %s", c->verb, c->args);
    if (c->max_arg >= 0 && *n_arg > c->max_arg)
        return err_set(e, ERR_USAGE, "too many arguments ('%s'); usage: tenon %s [options] %s", arg[c->max_arg], c->verb, c->args);
    return true;
}

void opt_done(const struct command *c, void *opts)
{
    for (int i = 0; i < c->n_opt; i++)
        if (c->opt[i].kind == OPT_LIST) mem_free(((struct opt_list *)((char *)opts + c->opt[i].off))->item);
}

/* ---- help and manual ---- */

static bool group_begins(const struct command *c, int i)
{
    return !i || strcmp(c->opt[i].group, c->opt[i - 1].group);
}

void opt_help(const struct command *c, struct str *out)
{
    str_fmt(out, "usage: tenon %s%s%s%s\n%s\n", c->verb, c->n_opt ? " [options]" : "", *c->args ? " " : "", c->args, c->sentence);
    for (int i = 0; i < c->n_opt; i++) {
        const struct opt *o = &c->opt[i];
        if (group_begins(c, i)) str_fmt(out, "%s\n", o->group);
        struct str left = { 0 };
        if (o->letter) str_fmt(&left, "  -%c, --%s", o->letter, o->name);
        else str_fmt(&left, "      --%s", o->name);
        if (o->arg) str_fmt(&left, " %s", o->arg);
        str_fmt(out, "%-26s %s\n", left.p, o->help);
        str_done(&left);
    }
    str_fmt(out, "example: %s\n", c->example);
}

/* Backslashes and leading dots mean something in man(7). */
static void man_text(struct str *out, const char *s)
{
    if (*s == '.' || *s == '\'') str_puts(out, "\\&");
    for (; *s; s++) {
        if (*s == '\\') str_puts(out, "\\e");
        else if (*s == '-') str_puts(out, "\\-");
        else str_putc(out, *s);
    }
}

void opt_man(const struct command *c, struct str *out)
{
    str_fmt(out, ".SS tenon %s%s%s%s\n", c->verb, c->n_opt ? " [options]" : "", *c->args ? " " : "", c->args);
    man_text(out, c->sentence);
    str_putc(out, '\n');
    for (int i = 0; i < c->n_opt; i++) {
        const struct opt *o = &c->opt[i];
        str_puts(out, ".TP\n.B ");
        if (o->letter) str_fmt(out, "\\-%c, ", o->letter);
        str_puts(out, "\\-\\-");
        man_text(out, o->name);
        if (o->arg) str_fmt(out, " %s", o->arg);
        str_putc(out, '\n');
        man_text(out, o->help);
        str_putc(out, '\n');
    }
    str_puts(out, ".PP\nExample:\n.PP\n.EX\n");
    man_text(out, c->example);
    str_puts(out, "\n.EE\n");
}
