/*
 * Whose code a frame is: heaptape's own, the C and C++ runtime's, an allocator's, a library's, or none
 * of these, the program's. The names that tell are rows of tables here.
 */
#ifndef HEAPTAPE_VIEWER_MODEL_ORIGIN_H
#define HEAPTAPE_VIEWER_MODEL_ORIGIN_H

#include <stdbool.h>

bool origin_is_shim(const char *module_name);
bool origin_is_runtime(const char *module_name);
bool origin_is_made(const char *module_name);
bool origin_is_allocator(const char *function);
/* What a function that only passes a call on is part of ("std::function"); NULL: it does more than that.
 * `runtime`: of a module of the C or C++ library. */
const char *origin_plumbing(const char *function, bool runtime);
/* Code of the Rust library, of a crate somebody else wrote, of the C++ library's headers. */
bool origin_is_library_file(const char *file);

#endif
