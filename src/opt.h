/* opt.h -- options of a verb from its table, its --help, its manual page. */
#ifndef TENON_OPT_H
#define TENON_OPT_H

#include "front.h"

/* Parses argv (after the verb) into opts, a copy of c->defaults made by the caller. Positional
 * arguments are gathered into arg (room for argc). False: ERR_USAGE with the sentence.
 * *help is set when --help or -h was seen; nothing else counts then. */
bool opt_parse(const struct command *c, int argc, char **argv, void *opts, char **arg, int *n_arg, bool *help, struct err *e);
void opt_help(const struct command *c, struct str *out);              /* as --help prints it */
void opt_man(const struct command *c, struct str *out);               /* section of the manual page, in man(7) */
void opt_done(const struct command *c, void *opts);                   /* frees lists of repeated options */

#endif
