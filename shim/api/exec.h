/* The calls by which a process ends or becomes another program, interposed so that its record says
 * which. */
#ifndef HEAPTAPE_SHIM_API_EXEC_H
#define HEAPTAPE_SHIM_API_EXEC_H

/* Finds the libc functions that these call on to; before there are threads, because looking them up
 * later could wait for the dynamic linker's lock. */
void ht_exec_init(void);

#endif
