/* Direct system calls; buffers small enough for a signal handler's stack. */
#include "shim/stack/range.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shim/prim.h"
#include "shim/stack/code.h"
#include "shim/sys.h"

#define JOINED_MAPPINGS 8 /* neighbouring mappings that are taken as one stack */

uint32_t ht_stack_version = STACK_VERSION_STEP;

/* PROCMAP_QUERY of <linux/fs.h>, Linux 6.11; older headers do not have it. */
struct map_query {
	uint64_t size;
	uint64_t flags;
	uint64_t address;
	uint64_t start;
	uint64_t end;
	uint64_t vma_flags;
	uint64_t page_size;
	uint64_t offset;
	uint64_t inode;
	uint32_t major, minor;
	uint32_t name_bytes, build_id_bytes;
	uint64_t name, build_id;
};

#define MAP_QUERY 0xc0686611ul /* _IOWR('f', 17, struct map_query) */
#define MAP_QUERY_READABLE 1u
#define MAP_QUERY_WRITABLE 2u
#define MAP_QUERY_EXECUTABLE 4u
#define MAP_QUERY_SHARED 8u

_Static_assert(sizeof(struct map_query) == 0x68, "PROCMAP_QUERY's struct");

/* Lowest and highest address of stacks that are neither a thread's own nor the first one. */
static uintptr_t foreign_start = UINTPTR_MAX, foreign_end;

static long open_maps(void)
{
	if (!prim_may(PRIM_OPEN))
		return -EPERM;
	return sys_call4(SYS_openat, AT_FDCWD, "/proc/thread-self/maps", O_RDONLY | O_CLOEXEC, 0);
}

/* ret_constant: nobody writes there. */
static bool query(int fd, uintptr_t address, uint64_t flags, struct stack_range *ret,
		  bool *ret_constant)
{
	struct map_query ask = { .size = sizeof(ask), .flags = flags, .address = address };

	if (sys_call3(SYS_ioctl, fd, MAP_QUERY, &ask) < 0)
		return false;
	*ret = (struct stack_range){ ask.start, ask.end };
	*ret_constant = ask.inode && !(ask.vma_flags & (MAP_QUERY_WRITABLE | MAP_QUERY_SHARED));
	return true;
}

/* The same from the text of /proc/thread-self/maps (self is the main thread, which may be gone);
 * joins neighbours on the way. */
static bool scan(int fd, uintptr_t address, uint64_t flags, struct stack_range *ret)
{
	enum { START, END, RIGHTS, REST } field = START;
	struct stack_range range = { 0, 0 }, found = { 0, 0 };
	char wanted = flags == MAP_QUERY_EXECUTABLE ? 'x' : 'r';
	bool has = false;
	char text[512] = "";
	long bytes;

	while ((bytes = sys_call3(SYS_read, fd, text, sizeof(text))) > 0 || bytes == -EINTR) {
		for (long i = 0; i < bytes; i++) {
			char c = text[i];
			uintptr_t digit = (uintptr_t)(c <= '9' ? c - '0' : c - 'a' + 10);

			switch (field) {
			case START:
				if (c == '-')
					field = END;
				else
					range.start = range.start << 4 | digit;
				break;
			case END:
				if (c == ' ')
					field = RIGHTS;
				else
					range.end = range.end << 4 | digit;
				break;
			case RIGHTS:
				has |= c == wanted;
				if (c != ' ')
					break;
				if (has && found.end && found.end == range.start)
					found.end = range.end;
				else if (has && address >= range.start && address < range.end)
					found = range;
				else if (found.end)
					goto out;
				field = REST;
				has = false;
				break;
			case REST:
				if (c == '\n') {
					field = START;
					range = (struct stack_range){ 0, 0 };
				}
				break;
			}
		}
	}
out:
	*ret = found;
	return found.end != 0;
}

/* Without /proc: counts the readable pages from `address` on. */
static bool probe(uintptr_t address, struct stack_range *ret)
{
	enum { AT_ONCE = 32, MOST = 16384 };
	uintptr_t page = address & ~(uintptr_t)4095, end = page;
	long got;

	if (!prim_may(PRIM_PEEK))
		return false;
	do {
		char bytes[AT_ONCE];
		struct iovec local = { bytes, sizeof(bytes) }, remote[AT_ONCE];

		for (unsigned i = 0; i < AT_ONCE; i++)
			remote[i] = (struct iovec){ (void *)(end + i * 4096), 1 };
		got = sys_call6(SYS_process_vm_readv, sys_call0(SYS_getpid), (long)&local, 1,
				(long)remote, AT_ONCE, 0);
		if (got > 0)
			end += (uintptr_t)got * 4096;
	} while (got == AT_ONCE && end - page < (uintptr_t)MOST * 4096);
	*ret = (struct stack_range){ page, end };
	return end > page;
}

/* Lets [*start, *end) hold the range as well. */
static void widen(uintptr_t *start, uintptr_t *end, const struct stack_range *range)
{
	uintptr_t old = __atomic_load_n(start, __ATOMIC_RELAXED);

	while (range->start < old &&
	       !__atomic_compare_exchange_n(start, &old, range->start, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED))
		;
	old = __atomic_load_n(end, __ATOMIC_RELAXED);
	while (range->end > old && !__atomic_compare_exchange_n(end, &old, range->end, false,
								__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

extern void *__libc_stack_end;

static bool holds(const struct stack_range *range, uintptr_t address)
{
	return address - range->start < range->end - range->start;
}

bool ht_stack_range_find(uintptr_t address, struct stack_range *ret)
{
	uintptr_t thread = (uintptr_t)__builtin_thread_pointer();
	struct stack_range range, more;
	bool found = false, constant;
	long fd;

	fd = open_maps();
	if (fd >= 0) {
		found = query((int)fd, address, MAP_QUERY_READABLE, &range, &constant);
		for (int i = 0; found && i < JOINED_MAPPINGS && !holds(&range, thread) &&
				query((int)fd, range.end, MAP_QUERY_READABLE, &more, &constant);
		     i++)
			range.end = more.end;
		if (!found)
			found = scan((int)fd, address, MAP_QUERY_READABLE, &range);
		sys_call1(SYS_close, fd);
	}
	if (!found)
		found = probe(address, &range);
	if (!found)
		return false;
	/* A thread's control block lies above its stack; what follows it is something else's. */
	if (holds(&range, thread) && address < thread)
		range.end = thread & ~(uintptr_t)7;
	else if (!holds(&range, (uintptr_t)__libc_stack_end))
		widen(&foreign_start, &foreign_end, &range);
	*ret = range;
	return true;
}

bool ht_code_range_find(uintptr_t address, struct stack_range *ret, bool *ret_constant)
{
	bool found;
	long fd;

	*ret_constant = false;
	fd = open_maps();
	if (fd < 0)
		return false;
	found = query((int)fd, address, MAP_QUERY_EXECUTABLE, ret, ret_constant) ||
		scan((int)fd, address, MAP_QUERY_EXECUTABLE, ret);
	sys_call1(SYS_close, fd);
	return found;
}

void ht_stack_unmapped(uintptr_t start, size_t bytes)
{
	ht_code_forget(start, start + bytes);
	if (__builtin_expect(start < __atomic_load_n(&foreign_end, __ATOMIC_RELAXED) &&
				     start + bytes >
					     __atomic_load_n(&foreign_start, __ATOMIC_RELAXED),
			     0))
		ht_stack_forget();
}

size_t ht_stack_read(uintptr_t address, void *to, size_t bytes)
{
	size_t first = 4096 - (address & 4095);
	struct iovec local = { to, bytes }, remote[2];
	long got;

	/* The kernel copies what lies before a page that is not readable only if it is told apart. */
	first = first < bytes ? first : bytes;
	remote[0] = (struct iovec){ (void *)address, first };
	remote[1] = (struct iovec){ (void *)(address + first), bytes - first };
	if (!prim_may(PRIM_PEEK))
		return 0;
	got = sys_call6(SYS_process_vm_readv, sys_call0(SYS_getpid), (long)&local, 1, (long)remote,
			first < bytes ? 2 : 1, 0);
	return got > 0 ? (size_t)got : 0;
}

bool ht_stack_peek(uintptr_t address, uintptr_t *ret)
{
	uintptr_t word = 0;

	if (ht_stack_read(address, &word, sizeof(word)) != sizeof(word))
		return false;
	*ret = word;
	return true;
}

void *ht_stack_pages(size_t bytes)
{
	long at = sys_call6(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at < 0 && at > -4096 ? NULL : (void *)at;
}

#define HUGE_BYTES ((size_t)2 << 20)
#define SMALL_TABLE_BYTES ((size_t)128 << 10)

static uintptr_t region_next, region_end; /* what is left of the latest huge page */
static bool region_busy;

void *ht_stack_table_pages(size_t bytes)
{
	void *table = NULL;
	size_t whole;

	bytes = (bytes + 63) & ~(size_t)63;
	if (bytes < SMALL_TABLE_BYTES || __atomic_exchange_n(&region_busy, true, __ATOMIC_ACQUIRE))
		return ht_stack_pages(bytes);
	if (region_end - region_next < bytes) {
		whole = (bytes + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
		table = ht_stack_pages(whole + HUGE_BYTES);
		if (!table)
			goto out;
		region_next = ((uintptr_t)table + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1);
		region_end = region_next + whole;
		if (region_next != (uintptr_t)table)
			ht_stack_pages_free(table, region_next - (uintptr_t)table);
		ht_stack_pages_free((void *)region_end,
				    (uintptr_t)table + HUGE_BYTES - region_next);
		if (prim_may(PRIM_MADVISE))
			sys_call3(SYS_madvise, region_next, whole, MADV_HUGEPAGE);
	}
	table = (void *)region_next;
	region_next += bytes;
out:
	__atomic_store_n(&region_busy, false, __ATOMIC_RELEASE);
	return table;
}

void ht_stack_pages_free(void *pages, size_t bytes)
{
	sys_call2(SYS_munmap, pages, bytes);
}
