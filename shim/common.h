/* What every file of the shim may need: the compiler's hints, how names are seen, pages. */
#ifndef HEAPTAPE_SHIM_COMMON_H
#define HEAPTAPE_SHIM_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#ifndef HT_DEBUG
#define HT_DEBUG 0
#endif

/* Names the program sees. In unit tests they are out of the way of the test's own malloc. */
#if defined(HT_UNIT_TEST) && HT_UNIT_TEST
#define HT_API(name) ht_api_##name
#else
#define HT_API(name) name
#endif
#define HT_EXPORT __attribute__((visibility("default")))
/* Said where a variable is declared, it saves the fast paths an instruction. */
#define HT_HIDDEN __attribute__((visibility("hidden")))

#define PAGE_SHIFT 12
#define PAGE_BYTES ((size_t)1 << PAGE_SHIFT)
#define PAGES_OF(bytes) (((bytes) + PAGE_BYTES - 1) >> PAGE_SHIFT)

#endif
