/* A folder that appears whole or not at all: made beside its place, then
 * renamed. Private to lib/model. */
#ifndef MR_MODEL_HF_FOLDER_H
#define MR_MODEL_HF_FOLDER_H

#include "base/err.h"

struct hf_folder;

/* Refused where something is there already that is no empty folder. */
struct hf_folder *hf_folder_create(const char *path, struct err *err);
/* The path of a file in it, "" for the folder's own; good until the next call. */
const char *hf_folder_path(struct hf_folder *f, const char *name);
/* Both free f. */
int hf_folder_commit(struct hf_folder *f, struct err *err);
void hf_folder_abort(struct hf_folder *f);

#endif
