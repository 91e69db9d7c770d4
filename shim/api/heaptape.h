/*
 * What a program can say to heaptape while it is recorded:
 *
 *     heaptape_mark("level loaded");
 *
 * names this moment in the recording. A mark can be given wherever heaptape asks for a moment
 * (`heaptape leaks --since "level loaded"`), and stands in every timeline.
 *
 * Nothing has to be linked. When the program runs without heaptape, a call costs a load and a branch. May be
 * called from any thread, from C and C++, from programs and shared objects; not from signal handlers. errno
 * stays. In a program that is linked statically it does nothing, as such a program cannot be recorded.
 */
#ifndef HEAPTAPE_H
#define HEAPTAPE_H

#ifdef __cplusplus
extern "C" {
#endif

/* In libheaptape.so, where that is loaded. */
extern void heaptape_mark_here(const char *text) __attribute__((weak));

/* dlsym(), under another name, for <dlfcn.h> declares it in ways that differ. */
extern void *heaptape_find_symbol(void *handle, const char *name) __asm__("dlsym")
	__attribute__((weak));

#ifdef __cplusplus
}
#endif

typedef void (*heaptape_mark_function)(const char *text);

static inline heaptape_mark_function heaptape_mark_find(void)
{
	heaptape_mark_function found = heaptape_mark_here;

	/* Linkers that make a program for one fixed address may settle that nothing is there. */
	if (!found && heaptape_find_symbol)
		*(void **)&found = heaptape_find_symbol((void *)0, "heaptape_mark_here");
	return found;
}

/* `text` is copied: at most 200 bytes, the rest is cut. NULL does nothing. */
static inline void heaptape_mark(const char *text)
{
	/* 0: not looked yet, 1: heaptape is here, 2: it is not. Threads that look at once find the same. */
	static int state;
	static heaptape_mark_function mark;
	int now = __atomic_load_n(&state, __ATOMIC_ACQUIRE);

	if (__builtin_expect(now == 2, 1))
		return;
	if (now == 0) {
		heaptape_mark_function found = heaptape_mark_find();

		__atomic_store_n(&mark, found, __ATOMIC_RELAXED);
		__atomic_store_n(&state, now = found ? 1 : 2, __ATOMIC_RELEASE);
	}
	if (now == 1 && text)
		__atomic_load_n(&mark, __ATOMIC_RELAXED)(text);
}

#endif
