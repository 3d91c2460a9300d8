#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_BLOCK ((size_t)64 << 10)
#define ARENA_KEPT ((size_t)1 << 20)    /* a larger block is not kept by arena_reset */

struct arena_block {
	struct arena_block *next;
	size_t size, used;
	_Alignas(16) char data[];
};

static void (*exhausted)(size_t wanted);

void mem_on_exhaustion(void (*handler)(size_t wanted))
{
	exhausted = handler;
}

_Noreturn static void fail(size_t n, size_t size)
{
	size_t wanted;
	if (__builtin_mul_overflow(n, size, &wanted))
		wanted = SIZE_MAX;
	if (exhausted)
		exhausted(wanted);
	abort();
}

void *mem_zalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);
	if (!p)
		fail(n, size);
	return p;
}

void *mem_grow(void *p, size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes) || bytes > PTRDIFF_MAX)
		fail(n, size);
	p = realloc(p, bytes ? bytes : 1);
	if (!p)
		fail(n, size);
	return p;
}

char *mem_strndup(const char *s, size_t n)
{
	if (n >= PTRDIFF_MAX)
		fail(n, 1);
	char *p = malloc(n + 1);
	if (!p)
		fail(n + 1, 1);
	if (n)
		memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

void *mem_try(size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes) || bytes > PTRDIFF_MAX - 64)
		return NULL;
	bytes = (bytes + 63) & ~(size_t)63;
	return aligned_alloc(64, bytes ? bytes : 64);
}

void *mem_pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
#ifdef MADV_HUGEPAGE
	madvise(p, size, MADV_HUGEPAGE);
#endif
	return p;
}

void mem_pages_free(void *p, size_t size)
{
	if (p)
		munmap(p, size);
}

static struct arena_block *new_block(size_t size)
{
	if (size > PTRDIFF_MAX - sizeof(struct arena_block))
		fail(size, 1);
	struct arena_block *b = malloc(sizeof(*b) + size);
	if (!b)
		fail(size, 1);
	*b = (struct arena_block){ .size = size };
	return b;
}

/* Not zeroed. */
static void *arena_take(struct arena *a, size_t size)
{
	if (size > PTRDIFF_MAX - 64)
		fail(size, 1);
	size = (size + 15) & ~(size_t)15;
	struct arena_block *b = a->blocks;
	if (!b || b->size - b->used < size) {
		b = new_block(size > ARENA_BLOCK ? size : ARENA_BLOCK);
		/* A large one stands behind the block in use, which still has room. */
		if (a->blocks && size > ARENA_BLOCK / 4) {
			b->next = a->blocks->next;
			a->blocks->next = b;
		} else {
			b->next = a->blocks;
			a->blocks = b;
		}
	}
	void *p = b->data + b->used;
	b->used += size;
	return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
	return memset(arena_take(a, size), 0, size);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	if (n == SIZE_MAX)
		fail(n, 1);
	char *p = arena_take(a, n + 1);
	if (n)
		memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		fail(SIZE_MAX, 1);
	char *p = arena_take(a, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

static void free_blocks(struct arena_block *b)
{
	while (b) {
		struct arena_block *next = b->next;
		free(b);
		b = next;
	}
}

void arena_reset(struct arena *a)
{
	struct arena_block *b = a->blocks;
	if (!b)
		return;
	free_blocks(b->next);
	b->next = NULL;
	b->used = 0;
	if (b->size > ARENA_KEPT)
		arena_free(a);
}

void arena_free(struct arena *a)
{
	free_blocks(a->blocks);
	a->blocks = NULL;
}
