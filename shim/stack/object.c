#include <dlfcn.h>
#include <link.h>
#include <stddef.h>
#include <sys/auxv.h>

#include "shim/libc.h"
#include "shim/stack/modules.h"
#include "shim/stack/object.h"

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
/* Of a program whose segments leave holes only one segment is told, and its unwind data may be in
 * another. Only programs can have such holes. */
static void program_segment(uintptr_t bias, uintptr_t address, uintptr_t *ret_start,
			    uintptr_t *ret_end)
{
	const ElfW(Phdr) *phdr = (const ElfW(Phdr) *)ht_libc()->getauxval(AT_PHDR);
	unsigned long count = phdr ? ht_libc()->getauxval(AT_PHNUM) : 0;

	for (; count--; phdr++) {
		uintptr_t start = bias + phdr->p_vaddr;

		if (phdr->p_type != PT_LOAD || address < start || address - start >= phdr->p_filesz)
			continue;
		*ret_start = start;
		*ret_end = start + phdr->p_filesz;
		return;
	}
}

bool ht_object_find(uintptr_t address, struct eh_object *ret, const struct link_map **ret_map)
{
	struct dl_find_object found;

	if (!ht_libc()->_dl_find_object || ht_libc()->_dl_find_object((void *)address, &found) != 0)
		return false;
	*ret = (struct eh_object){
		.start = (uintptr_t)found.dlfo_map_start,
		.end = (uintptr_t)found.dlfo_map_end,
		.hdr = (uintptr_t)found.dlfo_eh_frame,
	};
	*ret_map = found.dlfo_link_map;
	if (ret->hdr >= ret->start && ret->hdr < ret->end) {
		ret->data_start = ret->start;
		ret->data_end = ret->end;
	} else {
		program_segment(found.dlfo_link_map->l_addr, ret->hdr, &ret->data_start,
				&ret->data_end);
	}
	return true;
}

static int object_note(struct dl_phdr_info *info, size_t size, void *user)
{
	struct eh_object object;

	(void)size;
	(void)user;
	for (unsigned i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD) {
			ht_module_find(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr, &object);
			break;
		}
	return 0;
}

void ht_objects_list(void)
{
	ht_libc()->dl_iterate_phdr(object_note, NULL);
}
#else
#define OBJECTS_MAX 256

static struct {
	struct eh_object object;
	struct link_map map;
} objects[OBJECTS_MAX];
static unsigned objects_used;

static int object_add(struct dl_phdr_info *info, size_t size, void *user)
{
	struct eh_object object = { .start = UINTPTR_MAX };

	(void)size;
	(void)user;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + phdr->p_vaddr;

		if (phdr->p_type == PT_LOAD && start < object.start)
			object.start = start & ~(uintptr_t)4095;
		if (phdr->p_type == PT_LOAD && start + phdr->p_memsz > object.end)
			object.end = start + phdr->p_memsz;
		if (phdr->p_type == PT_GNU_EH_FRAME)
			object.hdr = start;
	}
	object.data_start = object.start;
	object.data_end = object.end;
	if (objects_used < OBJECTS_MAX && object.end) {
		objects[objects_used].object = object;
		objects[objects_used].map.l_addr = info->dlpi_addr;
		objects[objects_used].map.l_name = (char *)ht_path_keep(info->dlpi_name);
		objects_used++;
	}
	return 0;
}

bool ht_object_find(uintptr_t address, struct eh_object *ret, const struct link_map **ret_map)
{
	for (unsigned i = 0; i < objects_used; i++) {
		if (address < objects[i].object.start || address >= objects[i].object.end)
			continue;
		*ret = objects[i].object;
		*ret_map = &objects[i].map;
		return true;
	}
	return false;
}

void ht_objects_list(void)
{
	if (!objects_used)
		ht_libc()->dl_iterate_phdr(object_add, NULL);
}
#endif
