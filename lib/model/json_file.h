/* JSON in a model's folder: config.json, tokenizer.json and the like.
 * Private to lib/model. */
#ifndef MR_MODEL_JSON_FILE_H
#define MR_MODEL_JSON_FILE_H

#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/err.h"

/* Strict JSON (base/json.h), an object, and no U+0000 in any string. what
 * names it in messages. cJSON_Delete it. */
cJSON *json_object_parse(const char *text, size_t len, const char *what, struct err *err);
/* A file of folder. NULL with a message that names it, or with *there false
 * and no message where there is none. there may be NULL: then that is an
 * error too. */
cJSON *json_object_file(const char *folder, const char *name, int *there, struct err *err);
/* The whole file, followed by a NUL; the same rules. free() it. */
char *text_file(const char *folder, const char *name, size_t *len, int *there, struct err *err);

/* 1: a whole number from 0 to 2^53. */
int json_whole(const cJSON *value, uint64_t *v);
/* An object's member; NULL: none, or it is null. */
const cJSON *json_get(const cJSON *object, const char *key);

#endif
