#include "model/lora_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct lora_file {
	struct gguf *g;
	double alpha;
};

/* The tensor NAME.lora_a or NAME.lora_b; NULL: there is none. */
static const struct gguf_tensor *part(const struct gguf *g, const char *name, char which)
{
	size_t len = strlen(name);
	char *whole = mem_zalloc(len + 8, 1);
	const struct gguf_tensor *x;

	memcpy(whole, name, len);
	memcpy(whole + len, ".lora_", 6);
	whole[len + 6] = which;
	x = gguf_tensor(g, whole);
	free(whole);
	return x;
}

static int check_key(const struct gguf *g, const char *key, const char *wanted, struct err *err)
{
	struct gguf_str s;
	int r = gguf_get_str(g, key, &s, err);

	if (r < 0)
		return -1;
	return r > 0 && gguf_str_is(s, wanted) ? 0 :
	    err_set(err, "this is no LoRA adapter: %s is not \"%s\"", key, wanted);
}

static int check_architecture(const struct gguf *g, const struct gguf *base, struct err *err)
{
	struct gguf_str a, b;

	if (gguf_get_str(g, "general.architecture", &a, err) <= 0 ||
	    gguf_get_str(base, "general.architecture", &b, err) <= 0)
		return err_set(err, "general.architecture is missing");
	if (a.len != b.len || memcmp(a.s, b.s, a.len) != 0)
		return err_set(err, "the adapter is for the architecture %.*s, the model is of %.*s",
		    (int)(a.len < 40 ? a.len : 40), a.s, (int)(b.len < 40 ? b.len : 40), b.s);
	return 0;
}

static int check_shapes(const struct gguf *g, const struct gguf_tensor *x, struct err *err)
{
	const struct gguf_tensor *a = part(g, x->name, 'a'), *b = part(g, x->name, 'b');

	if (!a || !b)
		return err_set(err, "%s.lora_%c is missing", x->name, a ? 'b' : 'a');
	if (x->ndims != 2 || a->ndims != 2 || b->ndims != 2 || a->dims[0] != x->dims[0] ||
	    b->dims[1] != x->dims[1] || a->dims[1] != b->dims[0])
		return err_set(err, "%s: %lld x %lld and %lld x %lld do not fit the model's %lld x %lld", a->name,
		    (long long)b->dims[1], (long long)b->dims[0], (long long)a->dims[1], (long long)a->dims[0],
		    (long long)x->dims[1], (long long)x->dims[0]);
	return 0;
}

static int check_tensor(const struct gguf *g, const struct gguf_tensor *y, const struct gguf *base, struct err *err)
{
	size_t len = strlen(y->name);
	const char *end = len > 7 ? y->name + len - 7 : "";
	const struct gguf_tensor *x;
	char *name;

	if (strcmp(end, ".lora_a") != 0 && strcmp(end, ".lora_b") != 0)
		return err_set(err, "%s is no part of an adapter (NAME.lora_a, NAME.lora_b)", y->name);
	if (!tensor_readable(y->type))
		return err_set(err, "%s: tensor type %u is not supported", y->name, (unsigned)y->type);
	name = mem_strndup(y->name, len - 7);
	x = gguf_tensor(base, name);
	free(name);
	return x ? check_shapes(g, x, err) : err_set(err, "the model has nothing that %s belongs to", y->name);
}

struct lora_file *lora_file_open(const char *path, const struct gguf *base, struct err *err)
{
	struct lora_file *f = mem_zalloc(1, sizeof *f);
	int r;

	if (!(f->g = gguf_open(path, err))) {
		free(f);
		return NULL;
	}
	r = check_key(f->g, "general.type", "adapter", err);
	if (r == 0)
		r = check_key(f->g, "adapter.type", "lora", err);
	if (r == 0)
		r = check_architecture(f->g, base, err);
	if (r == 0 && (gguf_get_f64(f->g, "adapter.lora.alpha", &f->alpha, err) <= 0 || !(f->alpha > 0) ||
	    !isfinite(f->alpha)))
		r = err_set(err, "adapter.lora.alpha is no number above 0");
	for (size_t i = 0; r == 0 && i < f->g->ntensors; i++)
		r = check_tensor(f->g, &f->g->tensors[i], base, err);
	if (r == 0)
		return f;
	lora_file_close(f);
	return NULL;
}

void lora_file_close(struct lora_file *f)
{
	if (!f)
		return;
	gguf_close(f->g);
	free(f);
}

static float *read_part(const struct gguf_tensor *x, struct err *err)
{
	size_t n = (size_t)gguf_elements(x);
	float *v = mem_try(n, sizeof *v);

	if (v)
		dequantize_row(x->type, x->data, v, n);
	else
		err_set(err, "not enough memory for %s", x->name);
	return v;
}

int lora_delta_read(const struct lora_file *f, const struct gguf_tensor *x, struct lora_delta *d, struct err *err)
{
	const struct gguf_tensor *a = part(f->g, x->name, 'a'), *b = part(f->g, x->name, 'b');

	*d = (struct lora_delta){ .a = NULL };
	if (!a || !b)
		return 0;
	d->rank = (size_t)a->dims[1];
	d->cols = (size_t)a->dims[0];
	d->scale = (float)(f->alpha / (double)d->rank);
	d->a = read_part(a, err);
	d->b = read_part(b, err);
	if (d->a && d->b)
		return 1;
	lora_delta_free(d);
	return -1;
}

void lora_delta_free(struct lora_delta *d)
{
	free(d->a);
	free(d->b);
	d->a = d->b = NULL;
}

void lora_delta_add(const struct lora_delta *d, size_t r, float *w)
{
	for (size_t k = 0; k < d->rank; k++) {
		const float *a = d->a + k * d->cols, b = d->scale * d->b[r * d->rank + k];

		for (size_t i = 0; i < d->cols; i++)
			w[i] += b * a[i];
	}
}
