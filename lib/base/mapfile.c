#include "base/mapfile.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int mapfile_open(struct mapfile *m, const char *path, const char *kind, struct err *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	void *map = MAP_FAILED;

	*m = (struct mapfile){ 0 };
	if (fd < 0)
		return err_sys(err, "cannot be opened");
	if (fstat(fd, &st) != 0)
		err_sys(err, "cannot be read");
	else if (S_ISDIR(st.st_mode) && kind)
		err_set(err, "is a directory, not %s", kind);
	else if (!S_ISREG(st.st_mode))
		err_set(err, "is no regular file, so it cannot be mapped");
	else if (st.st_size == 0)
		err_set(err, "is empty%s%s", kind ? ", not " : "", kind ? kind : "");
	else if ((map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
		err_sys(err, "cannot be mapped");
	close(fd);
	if (map == MAP_FAILED)
		return -1;
	*m = (struct mapfile){ map, (size_t)st.st_size };
	return 0;
}

void mapfile_close(struct mapfile *m)
{
	if (m->data)
		munmap((void *)(uintptr_t)m->data, m->size);
	*m = (struct mapfile){ 0 };
}
