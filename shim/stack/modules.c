/* Objects that stacks point into: see modules.h. */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "proto/first_page.h"
#include "proto/wire.h"
#include "shim/clock.h"
#include "shim/control.h"
#include "shim/libc.h"
#include "shim/link.h"
#include "shim/prim.h"
#include "shim/ring.h"
#include "shim/settings.h"
#include "shim/stack/modules.h"
#include "shim/stack/object.h"
#include "shim/stack/range.h"
#include "shim/stack/row_cache.h"
#include "shim/stack/stack_table.h"
#include "shim/sys.h"

#define MODULES_MAX 2048
#define PATHS_BYTES (256u << 10)
#define BUILD_ID_MAX 64
#define SEND_TRIES 100
/* The descriptors that a user has in flight are limited to RLIMIT_NOFILE, and are the program's. */
#define OFFERS_MAX 256u
#define OFFERS_PART 4u
#define OFFER_TRIES 5
/* The tag of Frame.module_file in proto/event.proto. */
#define MODULE_FILE_LOW (uint8_t)(19 << 3 | WIRE_BYTES | 0x80)
#define MODULE_FILE_HIGH (uint8_t)(19 << 3 >> 7)

struct module {
	struct eh_object object;
	uintptr_t base;
	const void *link_map;
	const char *path;
	uint8_t build_id[BUILD_ID_MAX];
	uint8_t build_id_bytes;
	bool ready; /* stored last, with release order */
	bool unloaded;
	bool sent;
	bool unloaded_sent;
};

static struct module modules[MODULES_MAX];
static uint32_t modules_used;
static char paths[PATHS_BYTES];
static uint32_t paths_used;

/* What is to be sent and what was: pending when they differ. */
static uint32_t changes, changes_sent;

static uint32_t modules_count(void)
{
	uint32_t used = __atomic_load_n(&modules_used, __ATOMIC_ACQUIRE);

	return used < MODULES_MAX ? used : MODULES_MAX;
}

static bool ends_with(const char *path, const char *name)
{
	size_t path_bytes = strlen(path), name_bytes = strlen(name);

	return name_bytes <= path_bytes && !strcmp(path + path_bytes - name_bytes, name);
}

/* The name is compared because another thread may be unloading what was here before. */
static const struct module *module_known(const struct eh_object *object, const struct link_map *map)
{
	uint32_t used = modules_count();

	for (uint32_t i = 0; i < used; i++)
		if (modules[i].object.start == object->start &&
		    modules[i].object.end == object->end && !modules[i].unloaded &&
		    __atomic_load_n(&modules[i].ready, __ATOMIC_ACQUIRE) &&
		    modules[i].link_map == map && ends_with(modules[i].path, map->l_name))
			return &modules[i];
	return NULL;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* What was executed, where that is another name of the file `exe`: redis-server, a link to
 * redis-check-rdb. Else NULL; of a script it is the script, of fexecve() a descriptor's number. */
static const char *executed_name(const char *exe)
{
	const char *name = (const char *)ht_libc()->getauxval(AT_EXECFN);
	struct stat executed = { 0 }, running = { 0 };

	if (!name || !strchr(name, '/') || !strcmp(last_part(name), last_part(exe)) ||
	    !strncmp(name, "/proc/", 6) || !strncmp(name, "/dev/", 5) ||
	    sys_call4(SYS_newfstatat, AT_FDCWD, name, &executed, 0) != 0 ||
	    sys_call4(SYS_newfstatat, AT_FDCWD, "/proc/thread-self/exe", &running, 0) != 0 ||
	    executed.st_dev != running.st_dev || executed.st_ino != running.st_ino)
		return NULL;
	return name;
}

const char *ht_path_keep(const char *name)
{
	/* Not on the stack: it may be a signal handler's. */
	char *text = ht_stack_pages(PATH_MAX);
	size_t bytes = 0, more = strlen(name);
	const char *kept = "";
	uint32_t at;
	long got;

	if (!text)
		return "";

	if (!*name && prim_may(PRIM_PATH)) {
		got = sys_call4(SYS_readlinkat, AT_FDCWD, "/proc/thread-self/exe", text,
				PATH_MAX - 1);
		bytes = got > 0 ? (size_t)got : 0;
		text[bytes] = '\0';
		name = executed_name(text);
		if (name)
			bytes = 0;
		else /* No /proc: as it was called. */
			name = bytes ? "" : (const char *)ht_libc()->getauxval(AT_EXECFN);
		name = name ? name : "";
		more = strlen(name);
	}
	if (!bytes && *name != '/' && strchr(name, '/') && prim_may(PRIM_PATH)) {
		got = sys_call2(SYS_getcwd, text, PATH_MAX - 1);
		if (got > 0) {
			bytes = (size_t)got;
			text[bytes - 1] = '/'; /* in place of the terminating 0 */
		}
	}
	if (more > PATH_MAX - 1 - bytes)
		more = PATH_MAX - 1 - bytes;
	memcpy(text + bytes, name, more);
	bytes += more;
	text[bytes++] = '\0';
	at = __atomic_fetch_add(&paths_used, (uint32_t)bytes, __ATOMIC_RELAXED);
	if (at <= PATHS_BYTES && PATHS_BYTES - at >= bytes)
		kept = memcpy(paths + at, text, bytes);
	ht_stack_pages_free(text, PATH_MAX);
	return kept;
}

static void build_id_read(struct module *module)
{
	const ElfW(Ehdr) *ehdr = (const void *)module->object.start;
	const ElfW(Phdr) * phdr;

	module->build_id_bytes = 0;
	if (memcmp(ehdr->e_ident, ELFMAG, SELFMAG) != 0 || ehdr->e_phentsize != sizeof(*phdr) ||
	    ehdr->e_phoff + ehdr->e_phnum * sizeof(*phdr) > 4096)
		return;
	phdr = (const void *)(module->object.start + ehdr->e_phoff);
	for (unsigned i = 0; i < ehdr->e_phnum; i++) {
		uintptr_t at = module->base + phdr[i].p_vaddr, end = at + phdr[i].p_memsz;

		if (phdr[i].p_type != PT_NOTE || at < module->object.start ||
		    end > module->object.end || (at & 3))
			continue;
		while (at + sizeof(ElfW(Nhdr)) <= end) {
			const ElfW(Nhdr) *note = (const void *)at;
			uintptr_t name = at + sizeof(*note);
			uintptr_t data = name + ((note->n_namesz + 3) & ~3u);

			if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
			    data + note->n_descsz <= end && note->n_descsz <= BUILD_ID_MAX &&
			    memcmp((const void *)name, "GNU", 4) == 0) {
				memcpy(module->build_id, (const void *)data, note->n_descsz);
				module->build_id_bytes = (uint8_t)note->n_descsz;
				return;
			}
			at = data + ((note->n_descsz + 3) & ~3u);
		}
	}
}

static void module_fill(struct module *module, const struct eh_object *object,
			const struct link_map *map)
{
	module->object = *object;
	module->base = map->l_addr;
	module->link_map = map;
	build_id_read(module);
	__atomic_store_n(&module->ready, true, __ATOMIC_RELEASE);
	__atomic_fetch_add(&changes, 1, __ATOMIC_RELEASE);
}

/* An object that was here before, went, and has come back: plug-ins do that all the time. */
static bool module_revive(const struct eh_object *object, const struct link_map *map)
{
	uint32_t used = modules_count();

	for (uint32_t i = 0; i < used; i++) {
		struct module *module = &modules[i];
		bool ready = true;

		if (!module->unloaded || !module->unloaded_sent ||
		    module->object.start != object->start || module->object.end != object->end ||
		    !ends_with(module->path, map->l_name) ||
		    !__atomic_compare_exchange_n(&module->ready, &ready, false, false,
						 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		module->sent = false;
		module->unloaded_sent = false;
		module->unloaded = false;
		module_fill(module, object, map);
		return true;
	}
	return false;
}

static bool module_add(const struct eh_object *object, const struct link_map *map)
{
	uint32_t at = __atomic_load_n(&modules_used, __ATOMIC_RELAXED);

	do {
		if (at >= MODULES_MAX)
			return false;
	} while (!__atomic_compare_exchange_n(&modules_used, &at, at + 1, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	modules[at].path = ht_path_keep(map->l_name);
	module_fill(&modules[at], object, map);
	return true;
}

static __attribute__((noinline)) void module_note(const struct eh_object *object,
						  const struct link_map *map)
{
	struct link_hold hold;

	if (!module_revive(object, map) && !module_add(object, map))
		return;
	/* At once when that costs no waiting: modules are not in the shared memory, so a crash would
	 * leave the nodes without names. */
	if (ht_stack_depth && ht_link_try_lock(&hold)) {
		ht_modules_send();
		ht_link_unlock(&hold);
	}
}

bool ht_module_at(uintptr_t address, struct module_at *ret)
{
	const struct module *module;
	struct eh_object object;

	if (!ht_object_find(address, &object, &ret->map))
		return false;
	module = module_known(&object, ret->map);
	ret->path = module ? module->path : ret->map->l_name;
	ret->start = object.start;
	return true;
}

bool ht_module_find(uintptr_t address, struct eh_object *ret)
{
	const struct link_map *map;

	if (!ht_object_find(address, ret, &map))
		return false;
	if (!module_known(ret, map))
		module_note(ret, map);
	return true;
}

void ht_modules_unload_begin(void)
{
	__atomic_fetch_add(&ht_stack_version, 1, __ATOMIC_ACQ_REL);
}

static bool is_gone(const struct module *module)
{
	const struct link_map *map;
	struct eh_object now;

	if (!__atomic_load_n(&module->ready, __ATOMIC_ACQUIRE) || module->unloaded)
		return false;
	return !ht_object_find(module->object.start, &now, &map) || map != module->link_map ||
	       now.start != module->object.start || now.end != module->object.end ||
	       !ends_with(module->path, map->l_name);
}

/* The nodes that point into the object go before the word that it is gone. */
static void send_now(void)
{
	struct link_hold hold;

	for (unsigned tries = 0; tries < SEND_TRIES; tries++) {
		bool pending = false;

		ht_link_lock(&hold);
		if (ht_link.state == LINK_ON) {
			ht_stacks_send();
			pending = ht_stacks_pending() && ht_link.state == LINK_ON;
		}
		ht_link_unlock(&hold);
		if (!pending)
			break;
		ht_link_wait();
	}
}

void ht_modules_unload_end(void)
{
	uint32_t used = modules_count();
	bool sent = false;

	for (uint32_t i = 0; i < used; i++) {
		struct module *module = &modules[i];

		if (!is_gone(module))
			continue;
		if (!sent && ht_stack_depth)
			send_now();
		sent = true;
		module->unloaded = true;
		ht_rows_drop(module->object.start, module->object.end);
		ht_nodes_drop(module->object.start, module->object.end);
		__atomic_fetch_add(&changes, 1, __ATOMIC_RELEASE);
	}
	if (sent && ht_stack_depth)
		send_now();
	__atomic_fetch_add(&ht_stack_version, STACK_VERSION_STEP - 1, __ATOMIC_ACQ_REL);
}

/* What the dynamic linker, too, opens it with: a filter that lets that pass lets this. */
static long open_module(const char *path)
{
	return sys_call4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

/* Files that were offered; under the link's lock. */
static struct file {
	uint64_t device, inode, seconds, nanoseconds;
} offered[OFFERS_MAX];
static uint32_t offers, offers_most;

static bool is_offered(const struct file *file)
{
	for (uint32_t i = 0; i < offers; i++)
		if (!memcmp(&offered[i], file, sizeof(*file)))
			return true;
	return false;
}

static int offer_file(int fd)
{
	static const uint8_t frame[] = {
		5, 0, 0, 0, MODULE_FILE_LOW, MODULE_FILE_HIGH, 2, 1 << 3 | WIRE_VARINT, 1
	};
	struct link_hold hold;
	struct stat status;
	struct file file;
	int error = 0;

	if (sys_call2(SYS_fstat, fd, &status) < 0 || !S_ISREG(status.st_mode))
		return 0;
	file = (struct file){ status.st_dev, status.st_ino, (uint64_t)status.st_ctim.tv_sec,
			      (uint64_t)status.st_ctim.tv_nsec };
	ht_link_lock(&hold);
	if (offers < offers_most && !is_offered(&file)) {
		error = ht_link_pass((struct iovec){ (void *)(uintptr_t)frame, sizeof(frame) }, fd);
		if (!error)
			offered[offers++] = file;
	}
	ht_link_unlock(&hold);
	return error;
}

static int offer(const char *path)
{
	uint64_t signals;
	int error = 0;
	long fd;

	/* A handler that leaves would leave the descriptor behind. */
	sys_signals_block(&signals);
	fd = open_module(path);
	if (fd >= 0) {
		error = offer_file((int)fd);
		sys_call1(SYS_close, fd);
	}
	sys_signals_restore(&signals);
	return error;
}

static bool is_systems(const char *path)
{
	static const char *const folders[] = { "/usr/", "/lib/", "/lib64/" };

	for (unsigned i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (!strncmp(path, folders[i], strlen(folders[i])) &&
		    strncmp(path, "/usr/local/", 11) != 0)
			return true;
	return false;
}

/* A Hello without shared memory might still be on its way: the first descriptor is taken for that. */
void ht_module_offer(const char *path)
{
	if (ht_link.state != LINK_ON || !ht_ring.shared || !ht_settings.stacks ||
	    !prim_may(PRIM_OPEN) || is_systems(path) || sys_call0(SYS_getpid) != ht_pid ||
	    __atomic_load_n(&offers, __ATOMIC_RELAXED) >= offers_most)
		return;
	for (unsigned tries = 0; offer(path) == -EAGAIN && tries < OFFER_TRIES; tries++) {
		if (ht_link.drop_when_full)
			break;
		ht_link_wait();
	}
}

/* What the program was started with. */
static void offer_all(void)
{
	struct rlimit limit = { 0, 0 };

	sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &limit);
	offers_most = limit.rlim_cur / OFFERS_PART < OFFERS_MAX
			      ? (uint32_t)(limit.rlim_cur / OFFERS_PART)
			      : OFFERS_MAX;
	for (uint32_t i = 0; i < modules_count(); i++) {
		bool is_program = !*((const struct link_map *)modules[i].link_map)->l_name;

		if (modules[i].path[0] == '/' && !is_systems(modules[i].path))
			ht_module_offer(is_program ? "/proc/self/exe" : modules[i].path);
	}
}

void ht_modules_attach(void)
{
	if (!modules_used) { /* a fork child knows them already */
		ht_objects_list();
		offer_all();
	}
	for (uint32_t i = 0; i < modules_count(); i++) {
		modules[i].sent = modules[i].unloaded;
		modules[i].unloaded_sent = modules[i].unloaded;
	}
	changes_sent = changes - 1;
}

bool ht_modules_pending(void)
{
	return changes_sent != __atomic_load_n(&changes, __ATOMIC_ACQUIRE);
}

static bool send_module(const struct module *module, bool unloaded)
{
	size_t path_bytes = strlen(module->path);
	uint8_t heads[2][112];
	struct wire_put tail = { heads[1], heads[1] + sizeof(heads[1]), 0 };
	struct wire_put put = { heads[0] + WIRE_HEADER_BYTES, heads[0] + sizeof(heads[0]), 0 };
	struct iovec parts[3];
	uint32_t payload;
	size_t fixed = 3 * 9, body;

	if (module->build_id_bytes)
		wire_put_bytes(&tail, 5, module->build_id, module->build_id_bytes);
	if (unloaded)
		wire_put_uint(&tail, 6, 1);
	wire_put_fixed64(&tail, 7, ht_clock_ticks());
	if (!unloaded)
		wire_put_fixed64(&tail, 8, first_page_sum((const void *)module->object.start));
	body = fixed + wire_head_bytes(path_bytes) + path_bytes + (size_t)(tail.at - heads[1]);
	wire_put_head(&put, 6, body);
	payload = (uint32_t)(body + (size_t)(put.at - heads[0]) - WIRE_HEADER_BYTES);
	memcpy(heads[0], &payload, sizeof(payload));
	wire_put_fixed64(&put, 1, module->base);
	wire_put_fixed64(&put, 2, module->object.start);
	wire_put_fixed64(&put, 3, module->object.end);
	wire_put_head(&put, 4, path_bytes);
	parts[0] = (struct iovec){ heads[0], (size_t)(put.at - heads[0]) };
	parts[1] = (struct iovec){ (void *)(uintptr_t)module->path, path_bytes };
	parts[2] = (struct iovec){ heads[1], (size_t)(tail.at - heads[1]) };
	return ht_link_send(parts, 3) == 0;
}

/* Another thread noted the same object at the same time, and that one was sent. */
static bool module_is_twin(uint32_t at)
{
	for (uint32_t i = 0; i < at; i++)
		if (modules[i].sent && !modules[i].unloaded &&
		    modules[i].object.start == modules[at].object.start &&
		    modules[i].object.end == modules[at].object.end)
			return true;
	return false;
}

/* Another object was found in its place before its end was noticed: that one said it. */
static bool is_replaced(uint32_t at)
{
	for (uint32_t i = at + 1; i < modules_count(); i++)
		if (modules[i].sent && !modules[i].unloaded &&
		    modules[i].object.start < modules[at].object.end &&
		    modules[i].object.end > modules[at].object.start)
			return true;
	return false;
}

bool ht_modules_send(void)
{
	uint32_t seen = __atomic_load_n(&changes, __ATOMIC_ACQUIRE), used = modules_count();

	if (seen == changes_sent)
		return true;
	for (uint32_t i = 0; i < used; i++) {
		struct module *module = &modules[i];

		if (!__atomic_load_n(&module->ready, __ATOMIC_ACQUIRE))
			continue;
		if (!module->sent) {
			if (!module_is_twin(i) && !send_module(module, false))
				return false;
			module->sent = true;
		}
		if (module->unloaded && !module->unloaded_sent) {
			if (!is_replaced(i) && !send_module(module, true))
				return false;
			module->unloaded_sent = true;
		}
	}
	changes_sent = seen;
	return true;
}
