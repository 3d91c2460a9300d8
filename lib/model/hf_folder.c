#include "model/hf_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "model/convert.h"

struct hf_folder {
	char *path, *part;
	struct buf name;
};

static char *without_slashes(const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	return mem_strndup(path, len);
}

static bool is_empty(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	if (d)
		closedir(d);
	return d && n == 0;
}

static void release(struct hf_folder *f)
{
	free(f->path);
	free(f->part);
	buf_free(&f->name);
	free(f);
}

struct hf_folder *hf_folder_create(const char *path, struct err *err)
{
	struct hf_folder *f = mem_zalloc(1, sizeof *f);
	struct stat st;

	f->path = without_slashes(path);
	buf_printf(&f->name, "%s.part-%ld", f->path, (long)getpid());
	f->part = buf_take(&f->name);
	if (lstat(f->path, &st) == 0 && (!S_ISDIR(st.st_mode) || !is_empty(f->path)))
		err_set(err, "%s: is there already; name a folder that is not, or an empty one", f->path);
	else if (mkdir(f->part, 0777) != 0)
		err_sys(err, "%s: cannot create", f->path);
	else
		return f;
	release(f);
	return NULL;
}

const char *hf_folder_path(struct hf_folder *f, const char *name)
{
	buf_reset(&f->name);
	buf_printf(&f->name, *name ? "%s/%s" : "%s", f->part, name);
	return f->name.data;
}

static void sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

int hf_folder_commit(struct hf_folder *f, struct err *err)
{
	char *slash;

	sync_folder(f->part);
	if (rename(f->part, f->path) != 0) {
		err_sys(err, "%s: cannot rename", f->path);
		hf_folder_abort(f);
		return -1;
	}
	if ((slash = strrchr(f->path, '/')) && slash > f->path)
		*slash = '\0';
	sync_folder(slash ? f->path : ".");
	release(f);
	return 0;
}

void hf_folder_abort(struct hf_folder *f)
{
	static const char *const names[] = {
		"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
		"model.safetensors",
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlink(hf_folder_path(f, names[i]));
	rmdir(f->part);
	release(f);
}

/* Manifests */

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && strcmp(s + n - m, end) == 0;
}

static int is_model_file(const struct dirent *e)
{
	return ends_with(e->d_name, ".json") || ends_with(e->d_name, ".safetensors") ||
	    ends_with(e->d_name, ".jinja");
}

static int add_file(const char *path, struct buf *out, struct err *err)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	struct err why;
	char hex[65];

	if (sha256_file(path, hex, &why) != 0)
		return err_set(err, "%s: %s", path, why.msg);
	buf_adds(out, "{\"file\":");
	buf_json_string(out, base, strlen(base));
	buf_printf(out, ",\"sha256\":\"%s\"}", hex);
	return 0;
}

int convert_describe(const char *path, struct buf *out, struct err *err)
{
	struct dirent **names;
	struct buf file = { 0 };
	struct stat st;
	char *folder;
	const char *base;
	int n, r = 0;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return add_file(path, out, err);
	if ((n = scandir(path, &names, is_model_file, alphasort)) < 0)
		return err_sys(err, "%s: cannot be read", path);
	folder = without_slashes(path);
	base = strrchr(folder, '/') ? strrchr(folder, '/') + 1 : folder;
	buf_adds(out, "{\"folder\":");
	buf_json_string(out, base, strlen(base));
	buf_adds(out, ",\"files\":[");
	for (int i = 0; i < n; i++) {
		buf_reset(&file);
		buf_printf(&file, "%s/%s", folder, names[i]->d_name);
		buf_adds(out, i ? ",\n  " : "\n  ");
		if (r == 0)
			r = add_file(file.data, out, err);
		free(names[i]);
	}
	buf_adds(out, "]}");
	free(names);
	free(folder);
	buf_free(&file);
	return r;
}
