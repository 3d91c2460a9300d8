#include "model/json_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"

enum { LARGEST = 1 << 28 };     /* bytes of a JSON file */

cJSON *json_object_parse(const char *text, size_t len, const char *what, struct err *err)
{
	struct err why;
	cJSON *json;

	if (json_check(text, len, &why) != 0) {
		err_set(err, "%s: %s", what, why.msg);
		return NULL;
	}
	if (json_has_nul(text, (struct json_span){ 0, len })) {
		err_set(err, "%s has a U+0000 in a text", what);
		return NULL;
	}
	json = cJSON_ParseWithLength(text, len);
	if (!json)
		err_set(err, "%s cannot be read, or there is not enough memory for it", what);
	else if (!cJSON_IsObject(json))
		err_set(err, "%s is no JSON object", what);
	else
		return json;
	cJSON_Delete(json);
	return NULL;
}

static int read_all(int fd, size_t size, char **text, size_t *len, struct err *err)
{
	ssize_t n = 1;

	if (!(*text = mem_try(size + 1, 1)))
		return err_set(err, "not enough memory for %zu bytes", size);
	for (*len = 0; *len < size && n > 0; *len += (size_t)n)
		if ((n = read(fd, *text + *len, size - *len)) < 0) {
			free(*text);
			return err_sys(err, "cannot be read");
		}
	(*text)[*len] = '\0';
	return 0;
}

char *text_file(const char *folder, const char *name, size_t *len, int *there, struct err *err)
{
	struct buf path = { 0 };
	struct err why;
	struct stat st;
	char *text = NULL;
	int fd, failed = -1;

	buf_printf(&path, "%s/%s", folder, name);
	fd = open(path.data, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (there)
		*there = fd >= 0 || errno != ENOENT;
	if (fd < 0)
		err_sys(&why, "cannot be opened");
	else if (fstat(fd, &st) != 0)
		err_sys(&why, "cannot be read");
	else if (!S_ISREG(st.st_mode))
		err_set(&why, "is no regular file");
	else if (st.st_size > LARGEST)
		err_set(&why, "is larger than %d MiB", LARGEST >> 20);
	else
		failed = read_all(fd, (size_t)st.st_size, &text, len, &why);
	if (fd >= 0)
		close(fd);
	buf_free(&path);
	if (failed == 0)
		return text;
	err_set(err, "%s: %s", name, why.msg);
	return NULL;
}

cJSON *json_object_file(const char *folder, const char *name, int *there, struct err *err)
{
	size_t len;
	char *text = text_file(folder, name, &len, there, err);
	cJSON *json;

	if (!text)
		return NULL;
	json = json_object_parse(text, len, name, err);
	free(text);
	return json;
}

int json_whole(const cJSON *value, uint64_t *v)
{
	if (!cJSON_IsNumber(value) || !(value->valuedouble >= 0 && value->valuedouble <= 0x1p53) ||
	    value->valuedouble != floor(value->valuedouble))
		return 0;
	*v = (uint64_t)value->valuedouble;
	return 1;
}

const cJSON *json_get(const cJSON *object, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNull(v) ? NULL : v;
}
