/*
 * Debug sections compressed with zstd, which not every libelf can read: a copy of the file without
 * them compressed, in memory. The unpacked sections lie behind the file's own bytes, and the copy's
 * section headers point there. By hand, as libelf reads them only from 0.189 on, built with zstd.
 */
#include "daemon/symbols/symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

/* Of one copy; it is not the kind of memory that the worker's limit counts. */
#define COPY_BYTES_MAX (UINT64_C(3) << 30)
#define ALIGNMENT 64u

#ifndef ELFCOMPRESS_ZSTD
#define ELFCOMPRESS_ZSTD 2
#endif

struct image {
	unsigned char *bytes;
	uint64_t size;
};

static bool inside(const struct image *image, uint64_t at, uint64_t bytes)
{
	return at <= image->size && bytes <= image->size - at;
}

/* Section headers of a 64-bit file in this machine's byte order; NULL: it is no such. */
static Elf64_Shdr *sections_of(const struct image *image, size_t *ret_count)
{
	const Elf64_Ehdr *head = (const Elf64_Ehdr *)image->bytes;
	Elf64_Shdr *sections;
	uint64_t count;

	if (!inside(image, 0, sizeof(*head)) || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
	    head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_ident[EI_DATA] != ELFDATA2LSB ||
	    head->e_shentsize != sizeof(*sections) || head->e_shoff % 8 ||
	    !inside(image, head->e_shoff, sizeof(*sections)))
		return NULL;
	sections = (Elf64_Shdr *)(image->bytes + head->e_shoff);
	count = head->e_shnum ? head->e_shnum : sections[0].sh_size;
	if (!inside(image, head->e_shoff,
		    count < 1u << 24 ? count * sizeof(*sections) : UINT64_MAX))
		return NULL;
	*ret_count = count;
	return sections;
}

/* The head of a section compressed so; false: it is none. */
static bool packed_head(const struct image *image, const Elf64_Shdr *section, Elf64_Chdr *ret_head)
{
	if (!(section->sh_flags & SHF_COMPRESSED) || section->sh_type == SHT_NOBITS ||
	    section->sh_size < sizeof(*ret_head) ||
	    !inside(image, section->sh_offset, section->sh_size))
		return false;
	memcpy(ret_head, image->bytes + section->sh_offset, sizeof(*ret_head));
	return ret_head->ch_type == ELFCOMPRESS_ZSTD;
}

/* Bytes of the copy; 0: there is nothing to unpack, or too much. */
static uint64_t copy_bytes(const struct image *image, const Elf64_Shdr *sections, size_t count)
{
	uint64_t bytes = image->size;
	Elf64_Chdr head;

	for (size_t i = 0; i < count; i++) {
		if (!packed_head(image, &sections[i], &head))
			continue;
		if (head.ch_size > COPY_BYTES_MAX || bytes > COPY_BYTES_MAX)
			return 0;
		bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + head.ch_size;
	}
	return bytes == image->size || bytes > COPY_BYTES_MAX ? 0 : bytes;
}

static void unpack(const struct image *image, struct image *copy)
{
	uint64_t at = image->size;
	size_t count = 0;
	Elf64_Shdr *sections = sections_of(copy, &count);
	Elf64_Chdr head;

	for (size_t i = 0; i < count; i++) {
		if (!packed_head(image, &sections[i], &head))
			continue;
		at = (at + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
		/* A damaged section stays as it is: libdw says what it thinks of it. */
		if (ZSTD_decompress(copy->bytes + at, head.ch_size,
				    image->bytes + sections[i].sh_offset + sizeof(head),
				    sections[i].sh_size - sizeof(head)) != head.ch_size)
			continue;
		sections[i].sh_offset = at;
		sections[i].sh_size = head.ch_size;
		sections[i].sh_addralign = head.ch_addralign;
		sections[i].sh_flags &= ~(Elf64_Xword)SHF_COMPRESSED;
		at += head.ch_size;
	}
}

static int copy_unpacked(const struct image *image, uint64_t bytes)
{
	int fd = memfd_create("unpacked", MFD_CLOEXEC);
	struct image copy = { MAP_FAILED, bytes };

	if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0)
		copy.bytes = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (copy.bytes == MAP_FAILED) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	memcpy(copy.bytes, image->bytes, image->size);
	unpack(image, &copy);
	munmap(copy.bytes, bytes);
	return fd;
}

int symbols_unpack(int fd)
{
	struct image image;
	Elf64_Shdr *sections;
	struct stat status;
	uint64_t bytes;
	size_t count;
	int copy = -1;

	if (fd < 0 || fstat(fd, &status) != 0 || status.st_size <= 0)
		return fd;
	image.size = (uint64_t)status.st_size;
	image.bytes = mmap(NULL, image.size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (image.bytes == MAP_FAILED)
		return fd;
	sections = sections_of(&image, &count);
	bytes = sections ? copy_bytes(&image, sections, count) : 0;
	if (bytes)
		copy = copy_unpacked(&image, bytes);
	munmap(image.bytes, image.size);
	if (copy < 0)
		return fd;
	close(fd);
	return copy;
}
