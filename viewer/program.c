#include "viewer/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "proto/ring.h"
#include "viewer/cli.h"

static int program_check(const char *path)
{
	struct stat status;

	if (stat(path, &status))
		return -errno;
	if (S_ISDIR(status.st_mode))
		return -EISDIR;
	if (!S_ISREG(status.st_mode))
		return -EACCES;
	return access(path, X_OK) ? -errno : 0;
}

int program_find(const char *name, char **ret_path)
{
	const char *list = getenv("PATH");
	int result = -ENOENT;

	if (!*name)
		return -ENOENT;
	if (strchr(name, '/')) {
		result = program_check(name);
		if (!result)
			*ret_path = must_copy(name);
		return result == -ENOTDIR ? -ENOENT : result;
	}
	for (list = list ? list : "/bin:/usr/bin"; list;) {
		const char *end = strchrnul(list, ':');
		char *path = end == list ? must_print("./%s", name)
					 : must_print("%.*s/%s", (int)(end - list), list, name);
		int found = program_check(path);

		if (!found) {
			*ret_path = path;
			return 0;
		}
		free(path);
		/* A directory of that name, or a file nobody may run, hides nothing further on. */
		if (found == -EACCES)
			result = -EACCES;
		list = *end ? end + 1 : NULL;
	}
	return result;
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ELF_OUR_DATA ELFDATA2LSB
#else
#define ELF_OUR_DATA ELFDATA2MSB
#endif
#ifdef __x86_64__
#define ELF_OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define ELF_OUR_MACHINE EM_AARCH64
#else
#define ELF_OUR_MACHINE EM_NONE
#endif

static const char *elf_obstacle(int fd, const Elf64_Ehdr *head, bool *ret_passes_on)
{
	Elf64_Phdr segment;

	if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_ident[EI_DATA] != ELF_OUR_DATA ||
	    head->e_machine != ELF_OUR_MACHINE) {
		*ret_passes_on = false;
		return "it is made for another kind of processor than heaptape";
	}
	if (head->e_phentsize != sizeof(segment))
		return NULL;
	for (unsigned i = 0; i < head->e_phnum; i++) {
		off_t at = (off_t)(head->e_phoff + i * sizeof(segment));
		char interpreter[256] = "";

		if (pread(fd, &segment, sizeof(segment), at) != (ssize_t)sizeof(segment))
			return NULL;
		if (segment.p_type != PT_INTERP)
			continue;
		if (segment.p_filesz < sizeof(interpreter) &&
		    pread(fd, interpreter, segment.p_filesz, (off_t)segment.p_offset) > 0 &&
		    strstr(interpreter, "ld-musl")) {
			*ret_passes_on = false;
			return "it uses the musl C library, heaptape needs glibc";
		}
		return NULL;
	}
	return "it is statically linked, so there is no malloc to take over";
}

/* The dynamic linker ignores LD_PRELOAD when the program gains rights by being run. */
static const char *privilege_obstacle(int fd)
{
	struct stat status;

	if (fstat(fd, &status))
		return NULL;
	if ((status.st_mode & S_ISUID) && status.st_uid != getuid())
		return "it is setuid, and the system does not load anything foreign into such a "
		       "program";
	if ((status.st_mode & S_ISGID) && status.st_gid != getgid())
		return "it is setgid, and the system does not load anything foreign into such a "
		       "program";
	if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return "it has file capabilities, and the system does not load anything foreign "
		       "into "
		       "such a program";
	return NULL;
}

static const char *file_obstacle(const char *path, int depth, bool *ret_passes_on)
{
	union {
		Elf64_Ehdr elf;
		char text[256];
	} head = { .text = "" };
	const char *obstacle = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t bytes;

	if (fd < 0)
		return NULL;
	bytes = read(fd, &head, sizeof(head) - 1);
	if (bytes > 2 && head.text[0] == '#' && head.text[1] == '!') {
		char *interpreter = head.text + 2 + strspn(head.text + 2, " \t");

		interpreter[strcspn(interpreter, " \t\r\n")] = 0;
		if (depth < 4 && *interpreter)
			obstacle = file_obstacle(interpreter, depth + 1, ret_passes_on);
	} else {
		obstacle = privilege_obstacle(fd);
		if (!obstacle && bytes >= (ssize_t)sizeof(head.elf) &&
		    !memcmp(head.elf.e_ident, ELFMAG, SELFMAG))
			obstacle = elf_obstacle(fd, &head.elf, ret_passes_on);
	}
	close(fd);
	return obstacle;
}

const char *program_obstacle(const char *path, bool *ret_passes_on)
{
	const char *obstacle;
	struct rlimit limit;

	*ret_passes_on = true;
	obstacle = file_obstacle(path, 0, ret_passes_on);
	if (obstacle || getrlimit(RLIMIT_DATA, &limit) != 0 ||
	    limit.rlim_cur >= RING_LEAST_DATA_BYTES)
		return obstacle;
	*ret_passes_on = false;
	return "its RLIMIT_DATA is too low for heaptape's memory beside its own";
}

int program_exec(const char *path, char **argv, char **environment)
{
	size_t count = 0;
	char **words;

	execve(path, argv, environment);
	if (errno != ENOEXEC)
		return -errno;
	while (argv[count])
		count++;
	words = must_alloc((count + 3) * sizeof(*words));
	words[0] = (char *)"sh";
	words[1] = (char *)path;
	for (size_t i = 1; i < count; i++)
		words[i + 1] = argv[i];
	execve("/bin/sh", words, environment);
	return -errno;
}
