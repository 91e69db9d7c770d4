/* Files that a traced program, or a debug link inside one of its files, has named. */
#include "daemon/symbols/symbols.h"

#include <dlfcn.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define DEBUG_ROOT "/usr/lib/debug"

int symbols_open(const char *path)
{
	struct stat status;
	int fd;

	/* Looked at before it is opened: opening a device can do things. O_NONBLOCK: a FIFO put there
	 * in between must not hold us. */
	if (stat(path, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	return fd;
}

int symbols_open_kernel(void)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR);
	size_t bytes, page = (size_t)sysconf(_SC_PAGESIZE);
	int fd;

	if (!header || header->e_ident[EI_CLASS] != ELFCLASS64)
		return -ENOENT;
	/* The section headers come last, within whole pages. */
	bytes = header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
	if (bytes > 16 * page)
		return -ENOEXEC;
	fd = memfd_create("vdso", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, header, bytes) != (ssize_t)bytes) {
		close(fd);
		return -EIO;
	}
	return fd;
}

int symbols_build_id(int fd, char *ret_hex, size_t hex_bytes)
{
	const unsigned char *id;
	const void *found;
	ssize_t bytes;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF) {
		elf_end(elf);
		return -ENOEXEC;
	}
	bytes = dwelf_elf_gnu_build_id(elf, &found);
	id = found;
	ret_hex[0] = '\0';
	for (ssize_t i = 0; i < bytes && (size_t)i * 2 + 3 <= hex_bytes; i++)
		snprintf(ret_hex + i * 2, 3, "%02x", id[i]);
	elf_end(elf);
	return 0;
}

/* The checksum .gnu_debuglink holds: CRC-32 of the whole file. */
static bool file_has_crc(int fd, uint32_t want)
{
	unsigned char buffer[65536];
	uLong crc = 0;
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buffer, sizeof(buffer), at)) > 0) {
		crc = crc32_z(crc, buffer, (size_t)n);
		at += n;
	}
	return n == 0 && crc == want;
}

/* Opens `path` if it is the debug file that belongs to the module. */
static int open_matching(const char *path, const char *build_id, uint32_t crc)
{
	int fd = symbols_open(path);
	char id[160];

	if (fd < 0)
		return fd;
	if (symbols_build_id(fd, id, sizeof(id)) == 0 &&
	    (build_id[0] && id[0] ? strcmp(id, build_id) == 0 : file_has_crc(fd, crc)))
		return fd;
	close(fd);
	return -ENOENT;
}

static bool is_hex(const char *text)
{
	return text[strspn(text, "0123456789abcdef")] == '\0';
}

/* elfutils' client for debug information servers, used only if the user has named a server. The
 * library is loaded when it is needed: many machines have none. */
static int find_by_debuginfod(const char *build_id, char **ret_path)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	struct debuginfod_client;
	struct debuginfod_client *(*client_begin)(void);
	int (*find)(struct debuginfod_client *, const unsigned char *, int, char **);
	void (*client_end)(struct debuginfod_client *);
	struct debuginfod_client *client;
	void *library;
	int fd = -ENOENT;

	if (!urls || !urls[0])
		return -ENOENT;
	library = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return -ENOENT;
	*(void **)&client_begin = dlsym(library, "debuginfod_begin");
	*(void **)&find = dlsym(library, "debuginfod_find_debuginfo");
	*(void **)&client_end = dlsym(library, "debuginfod_end");
	if (client_begin && find && client_end && (client = client_begin())) {
		/* Length 0: the id is hexadecimal text. */
		fd = find(client, (const unsigned char *)build_id, 0, ret_path);
		client_end(client);
	}
	return fd >= 0 ? fd : -ENOENT;
}

int symbols_find_debug(const char *path, const char *build_id, const char *link, uint32_t crc,
		       char **ret_path)
{
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash - path) : 0;
	char *candidate = NULL;
	int fd = -ENOENT;

	if (build_id[0] && strlen(build_id) > 2 && is_hex(build_id)) {
		if (asprintf(&candidate, DEBUG_ROOT "/.build-id/%.2s/%s.debug", build_id,
			     build_id + 2) < 0)
			return -ENOMEM;
		fd = open_matching(candidate, build_id, 0);
	}
	/* A link is a plain name; anything else would lead out of the folders meant. */
	if (fd < 0 && link[0] && !strchr(link, '/') && slash) {
		static const char *const places[][2] = { { "", "" },
							 { "", "/.debug" },
							 { DEBUG_ROOT, "" } };

		for (unsigned i = 0; i < 3 && fd < 0; i++) {
			free(candidate);
			if (asprintf(&candidate, "%s%.*s%s/%s", places[i][0], folder, path,
				     places[i][1], link) < 0)
				return -ENOMEM;
			if (strcmp(candidate, path) != 0)
				fd = open_matching(candidate, build_id, crc);
		}
	}
	if (fd >= 0) {
		*ret_path = candidate;
		return fd;
	}
	free(candidate);
	return build_id[0] ? find_by_debuginfod(build_id, ret_path) : -ENOENT;
}
