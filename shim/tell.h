/* One line on stderr, "heaptape: ...", by write(2): no stdio, no allocation. */
#ifndef HEAPTAPE_SHIM_TELL_H
#define HEAPTAPE_SHIM_TELL_H

/* %s text, %d int, %e the text of an errno value. Cut at 1 KiB. */
void ht_tell(const char *format, ...);

#endif
