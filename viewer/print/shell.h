/* Commands that a message tells people to type. */
#ifndef HEAPTAPE_VIEWER_PRINT_SHELL_H
#define HEAPTAPE_VIEWER_PRINT_SHELL_H

/* The option that names the database: "" for the default (also NULL), " --db FILE". */
const char *shell_database_option(const char *database);

/* A word as a shell needs it: quoted when it must be, and shortened when it is long. Valid until the
 * next call. */
const char *shell_word(const char *word);

#endif
