/*
 * Memory. The small allocations below do not fail: where the system has no
 * more memory they call the handler, which must not return (tools print one
 * line and exit; the default aborts). Large blocks, whose size comes from
 * data or from a model file, go through mem_try, which returns NULL.
 * Everything is released with free(), but for mem_pages.
 */
#ifndef MR_BASE_MEM_H
#define MR_BASE_MEM_H

#include <stddef.h>

void mem_on_exhaustion(void (*handler)(size_t wanted));

void *mem_zalloc(size_t n, size_t size);            /* zeroed; n * size is checked */
void *mem_grow(void *p, size_t n, size_t size);     /* realloc to n elements */
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);         /* n bytes, then a NUL */

/* 64-byte aligned, not zeroed; NULL where there is not enough memory. */
void *mem_try(size_t n, size_t size);

/* Zeroed memory straight from the system, in large pages where it has them;
 * NULL where there is not enough. Released with mem_pages_free, not free(). */
void *mem_pages(size_t size);
void mem_pages_free(void *p, size_t size);

/* An arena: what is taken from it lives until arena_reset or arena_free. */
struct arena {
	struct arena_block *blocks;
};
void *arena_alloc(struct arena *a, size_t size);    /* zeroed, 16-byte aligned */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_reset(struct arena *a);                  /* keeps one block for reuse */
void arena_free(struct arena *a);

#endif
