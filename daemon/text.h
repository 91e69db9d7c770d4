/* Words from messages as text for people. */
#ifndef HEAPTAPE_DAEMON_TEXT_H
#define HEAPTAPE_DAEMON_TEXT_H

#include <stddef.h>

/* Words joined by spaces, quoted as a shell would need. Malloced; NULL: no memory. */
char *text_command(char *const *words, size_t count);

/* Lines joined by newlines. Malloced; NULL: no memory. */
char *text_lines(char *const *lines, size_t count);

#endif
