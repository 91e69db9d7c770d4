/*
 * What a program file is, before it is executed: can the shim be loaded into it and be its allocator?
 * The command asks this of the program it starts, the shim of those that the program starts in turn.
 *
 * No C library function is called: the shim asks in vfork children, and programs replace such. Hence by
 * hand and not with libelf, which the shim could not bring into a program either.
 * Files that cannot be read get the benefit of the doubt.
 */
#ifndef HEAPTAPE_PROTO_IMAGE_H
#define HEAPTAPE_PROTO_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

/* Why a program is not recorded; travels in message Unrecorded. */
/*      NAME          sentence, in table processes and for people */
#define IMAGE_REASONS(ROW)                                                                       \
	ROW(RECORDABLE, "")                                                                      \
	ROW(STATIC, "it is statically linked, so there is no malloc to take over")               \
	ROW(SETUID, "it is setuid, and the system does not load anything foreign into such a "   \
		    "program")                                                                   \
	ROW(SETGID, "it is setgid, and the system does not load anything foreign into such a "   \
		    "program")                                                                   \
	ROW(RIGHTS, "its effective user or group is not the real one, and the system does not "  \
		    "load anything foreign into such a program")                                 \
	ROW(CAPABILITIES, "it has file capabilities, and the system does not load anything "     \
			  "foreign into such a program")                                         \
	ROW(MACHINE, "it is made for another kind of processor than heaptape")                   \
	ROW(MUSL, "it uses the musl C library, heaptape needs glibc")                            \
	ROW(SANITIZER, "it is built with a sanitizer, which brings its own allocator")           \
	ROW(CHECKER, "LD_PRELOAD brings a memory checker, which has its own allocator")          \
	ROW(DATA_LIMIT, "its RLIMIT_DATA is too low for heaptape's memory beside its own")       \
	ROW(UNREACHABLE, "heaptape cannot be reached from its root folder or as its user")       \
	ROW(FILTER, "a seccomp filter that it inherits forbids what recording needs")            \
	ROW(ENVIRONMENT, "it was started with an environment without heaptape's (see --follow)") \
	ROW(REPLACED, "it runs inside a tool that replaces every allocator with its own "        \
		      "(valgrind)")

enum image_reason {
#define ROW(NAME, text) IMAGE_##NAME,
	IMAGE_REASONS(ROW)
#undef ROW
		IMAGE_REASON_COUNT
};

/* The sentence; that of an unknown number says so. */
const char *image_reason_text(unsigned reason);

/* Must such a program not even be asked to load the shim? (Else programs that it starts in turn are
 * recorded.) */
bool image_bars_shim(enum image_reason reason);

/* Makes a system call; negative errno on failure. */
typedef long image_call(long number, long a, long b, long c, long d, long e);

struct image {
	enum image_reason reason;
	uint64_t device,
		inode; /* of the file, for a script of its interpreter; 0: it was not read */
};

/* Looks at what execveat(folder, path) would execute; the path "" means the descriptor `folder`. */
void image_look(image_call *call, int folder, const char *path, struct image *ret_image);

/* A list for LD_PRELOAD names a sanitizer's library, which has its own allocator. */
bool image_list_has_checker(const char *list);

#endif
