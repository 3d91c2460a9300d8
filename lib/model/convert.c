#include "model/convert.h"

#include <stdlib.h>
#include <string.h>

#include "model/gguf.h"
#include "model/hf.h"
#include "model/hf_folder.h"
#include "model/lora_file.h"
#include "model/safetensors.h"

enum { PIECE = 1 << 20 };       /* elements in memory at a time, or one row */

bool convert_type(int type, bool folder)
{
	return type == TENSOR_F32 || type == TENSOR_F16 || type == TENSOR_BF16 ||
	    (!folder && type >= 0 && tensor_writable((unsigned)type));
}

/* A tensor on its way. Of g and s one is there, or none: zeros. */
struct way {
	const struct gguf_tensor *g;
	const struct safetensor *s;
	const char *name;
	int64_t rows, cols;
	int64_t (*row)(int64_t r, int head_size);       /* NULL: in the same order */
	int head_size;
	const struct lora_delta *delta;                 /* NULL: none */
	enum tensor_type type;                          /* that is written */
	int (*put)(void *to, const float *data, size_t n, struct err *err);
	void *to;
};

static void read_row(const struct way *w, int64_t r, float *dst)
{
	size_t cols = (size_t)w->cols;

	if (w->g)
		dequantize_row(w->g->type, (const unsigned char *)w->g->data + (size_t)r * (w->g->size /
		    (size_t)w->rows), dst, cols);
	else if (w->s)
		safetensor_read(w->s, (size_t)r * cols, cols, dst);
	else
		memset(dst, 0, cols * sizeof *dst);
	if (w->delta)
		lora_delta_add(w->delta, (size_t)r, dst);
}

/* What rounds to no finite F16. */
static int check_range(const struct way *w, const float *x, size_t n, struct err *err)
{
	for (size_t i = 0; w->type == TENSOR_F16 && i < n; i++)
		if ((x[i] >= 65520 || x[i] <= -65520) && x[i] - x[i] == 0)
			return err_set(err, "%s has the value %g, which is too large for F16", w->name,
			    (double)x[i]);
	return 0;
}

static int copy_rows(const struct way *w, struct err *err)
{
	int64_t most = PIECE / w->cols > 0 ? PIECE / w->cols : 1;
	float *piece;
	int r = 0;

	if (most > w->rows)
		most = w->rows;
	if (!(piece = mem_try((size_t)most * (size_t)w->cols, sizeof *piece)))
		return err_set(err, "%s: not enough memory for %lld elements", w->name,
		    (long long)(most * w->cols));
	for (int64_t at = 0, n; at < w->rows && r == 0; at += n) {
		n = w->rows - at < most ? w->rows - at : most;
		for (int64_t i = 0; i < n; i++)
			read_row(w, w->row ? w->row(at + i, w->head_size) : at + i, piece + i * w->cols);
		r = check_range(w, piece, (size_t)(n * w->cols), err);
		if (r == 0)
			r = w->put(w->to, piece, (size_t)(n * w->cols), err);
	}
	free(piece);
	return r;
}

static int put_gguf(void *to, const float *data, size_t n, struct err *err)
{
	return gguf_put_part(to, data, n, err);
}

static int put_safetensors(void *to, const float *data, size_t n, struct err *err)
{
	return safetensors_put(to, data, n, err);
}

static int go_on(const struct convert_hooks *hooks, uint64_t done, uint64_t total, struct err *err)
{
	if (hooks && hooks->stopping && hooks->stopping(hooks->arg))
		return err_set(err, "stopped; nothing was written");
	if (hooks && hooks->progress)
		hooks->progress(hooks->arg, done, total);
	return 0;
}

/* Four bits are too few for the matrix that the logits come from: it gets
 * eight. Where rows are no whole blocks of 256, blocks of 32 take as many bits
 * or a little more. */
static enum tensor_type matrix_type(const char *name, int64_t cols, enum tensor_type type, const char *logits)
{
	if ((type == TENSOR_Q4_0 || type == TENSOR_Q4_1 || type == TENSOR_Q4_K) && strcmp(name, logits) == 0)
		type = TENSOR_Q8_0;
	if (cols % (int64_t)tensor_block_len(type) && tensor_block_len(type) == 256)
		type = type == TENSOR_Q4_K ? TENSOR_Q5_0 : type == TENSOR_Q5_K ? TENSOR_Q5_1 : TENSOR_Q8_0;
	return cols % (int64_t)tensor_block_len(type) ? TENSOR_F16 : type;
}

/* How a tensor is copied: a vector whose elements are in another order, as
 * rows of one. */
static struct way way_of(const struct hf_tensor *t, enum tensor_type type, int64_t (*row)(int64_t, int),
    int head_size)
{
	int64_t rows = t->rows ? t->rows : t->heads ? t->cols : 1;

	return (struct way){ .rows = rows, .cols = t->rows || !t->heads ? t->cols : 1, .type = type,
	    .row = t->heads ? row : NULL, .head_size = head_size };
}

static const char *logits_matrix(bool tied)
{
	return tied ? "token_embd.weight" : "output.weight";
}

static int put_type(struct gguf_writer *w, enum tensor_type type, struct err *err)
{
	if (gguf_put_u32(w, "general.file_type", gguf_file_type(type), err) != 0)
		return -1;
	return tensor_block_len(type) == 1 ? 0 : gguf_put_u32(w, "general.quantization_version", 2, err);
}

/* lora NULL: as it is */
static int copy_tensor(struct gguf_writer *w, const struct gguf_tensor *t, enum tensor_type type,
    const struct lora_file *lora, struct err *err)
{
	struct lora_delta delta = { .a = NULL };
	int has = lora ? lora_delta_read(lora, t, &delta, err) : 0, r;
	struct way way = { .g = t, .name = t->name, .rows = gguf_elements(t) / t->dims[0], .cols = t->dims[0],
	    .delta = has > 0 ? &delta : NULL, .type = type, .put = put_gguf, .to = w };

	if (has < 0)
		return -1;
	r = t->type == type && !has ? gguf_put_bytes(w, t->data, t->size, err) : copy_rows(&way, err);
	lora_delta_free(&delta);
	return r;
}

static int write_gguf(const struct gguf *g, const struct lora_file *lora, const char *out, enum tensor_type type,
    const struct convert_hooks *hooks, struct err *err)
{
	static const char *const drop[] = { "general.file_type", "general.quantization_version", NULL };
	const char *logits = logits_matrix(!gguf_tensor(g, "output.weight"));
	struct gguf_out_tensor *t = mem_zalloc(g->ntensors, sizeof *t);
	struct gguf_writer *w = NULL;
	int r = -1;

	for (size_t i = 0; i < g->ntensors; i++) {
		const struct gguf_tensor *x = &g->tensors[i];
		const char *name = tensor_type_name(x->type);

		if (!tensor_readable(x->type)) {
			err_set(err, "%s: tensor type %s (%u) is not supported", x->name, name ? name : "unknown",
			    (unsigned)x->type);
			goto out;
		}
		t[i] = (struct gguf_out_tensor){ .name = x->name, .ndims = x->ndims,
		    .type = gguf_elements(x) == x->dims[0] ? TENSOR_F32 :
		        matrix_type(x->name, x->dims[0], type, logits) };
		memcpy(t[i].dims, x->dims, sizeof t[i].dims);
	}
	if (!(w = gguf_create(out, g, drop, t, g->ntensors, err)))
		goto out;
	r = put_type(w, type, err);
	for (size_t i = 0; i < g->ntensors && r == 0; i++)
		if ((r = go_on(hooks, i, g->ntensors, err)) == 0)
			r = copy_tensor(w, &g->tensors[i], t[i].type, lora, err);
	if (r == 0)
		r = gguf_commit(w, err);
	else
		gguf_abort(w);
out:
	free(t);
	return r;
}

int convert_gguf(const char *in, const char *out, enum tensor_type type, const struct convert_hooks *hooks,
    struct err *err)
{
	struct err why;
	struct gguf *g = gguf_open(in, &why);
	int r;

	if (!g)
		return err_set(err, "%s: %s", in, why.msg);
	r = write_gguf(g, NULL, out, type, hooks, err);
	gguf_close(g);
	return r;
}

int convert_merge(const char *in, const char *adapter, const char *out, enum tensor_type type,
    const struct convert_hooks *hooks, struct err *err)
{
	struct lora_file *lora;
	struct err why;
	struct gguf *g = gguf_open(in, &why);
	int r = -1;

	if (!g)
		return err_set(err, "%s: %s", in, why.msg);
	lora = lora_file_open(adapter, g, &why);
	if (lora)
		r = write_gguf(g, lora, out, type, hooks, err);
	else
		err_set(err, "%s: %s", adapter, why.msg);
	lora_file_close(lora);
	gguf_close(g);
	return r;
}

static int write_weights(const struct model *m, const char *path, enum tensor_type type,
    const struct convert_hooks *hooks, struct err *err)
{
	size_t n;
	struct hf_tensor *all = hf_tensors(&m->config, hf_model_biased(m), &n);
	struct safetensors_out *t = mem_zalloc(n, sizeof *t);
	struct safetensors_writer *w;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		t[i] = (struct safetensors_out){ all[i].hf, all[i].rows ? 2 : 1,
		    { all[i].rows ? all[i].rows : all[i].cols, all[i].cols } };
	w = safetensors_create(path, type, t, n, err);
	for (size_t i = 0; w && i < n && r == 0; i++) {
		struct way way = way_of(&all[i], type, hf_gguf_row_of, m->config.head_size);

		way.g = gguf_tensor(m->gguf, way.name = all[i].gguf);   /* a bias that is not there is 0 */
		way.put = put_safetensors;
		way.to = w;
		if ((r = go_on(hooks, i, n, err)) == 0)
			r = copy_rows(&way, err);
	}
	if (!w)
		r = -1;
	else if (r == 0)
		r = safetensors_commit(w, err);
	else
		safetensors_abort(w);
	free(t);
	free(all);
	return r;
}

static int write_folder(const struct model *m, const char *out, enum tensor_type type,
    const struct convert_hooks *hooks, struct err *err)
{
	struct hf_folder *f = hf_folder_create(out, err);
	int r;

	if (!f)
		return -1;
	r = hf_write(m, type, hf_folder_path(f, ""), err);
	if (r == 0)
		r = write_weights(m, hf_folder_path(f, "model.safetensors"), type, hooks, err);
	if (r == 0)
		return hf_folder_commit(f, err);
	hf_folder_abort(f);
	return -1;
}

int convert_to_folder(const char *in, const char *out, enum tensor_type type,
    const struct convert_hooks *hooks, struct err *err)
{
	struct err why;
	struct model *m = model_open(in, NULL, &why);
	int r;

	if (!m)
		return err_set(err, "%s: %s", in, why.msg);
	r = write_folder(m, out, type, hooks, err);
	model_close(m);
	return r;
}

/* Each tensor that the model has to have is there, in its shape, and no
 * other; w gets them in GGUF's order. */
static int check_tensors(const struct hf *h, const struct safetensors *s, const struct hf_tensor *all, size_t n,
    struct err *err)
{
	size_t passed = 0;

	for (size_t i = 0; i < n; i++) {
		const struct safetensor *t = safetensors_find(s, all[i].hf);
		int64_t rows = all[i].rows ? all[i].rows : all[i].cols;

		if (!t)
			return err_set(err, "%s is missing", all[i].hf);
		if (t->type < 0)
			return err_set(err, "%s: dtype %s is not supported; F32, F16 and BF16 are", t->name, t->dtype);
		if (t->ndims != (all[i].rows ? 2 : 1) || t->dims[0] != rows ||
		    (all[i].rows && t->dims[1] != all[i].cols))
			return err_set(err, "%s has not the shape that config.json tells", t->name);
	}
	for (size_t i = 0; i < s->n; i++) {
		const char *name = s->v[i].name;

		if (strstr(name, "rotary_emb.inv_freq") ||
		    (h->config.tied && strcmp(name, "lm_head.weight") == 0))
			passed++;       /* computed, or the embedding again */
	}
	if (s->n - passed != n)
		return err_set(err, "%zu tensors have no place in a %s model of %d layers", s->n - passed - n,
		    h->config.arch, h->config.layers);
	return 0;
}

static int put_rope(const struct hf *h, struct gguf_writer *w, struct err *err)
{
	int n = h->config.rope_dims / 2, r;
	float *factor = mem_zalloc((size_t)n, sizeof *factor);

	hf_rope_factors(&h->rope, (double)h->config.rope_base, n, factor);
	r = gguf_put_tensor(w, factor, err);
	free(factor);
	return r;
}

static int write_from(const struct hf *h, const struct safetensors *s, const struct hf_tensor *all, size_t n,
    const char *out, enum tensor_type type, const struct convert_hooks *hooks, struct err *err)
{
	struct gguf_out_tensor *t = mem_zalloc(n + 1, sizeof *t);
	const char *logits = logits_matrix(h->config.tied);
	bool rope = h->rope.factor > 0;
	struct gguf_writer *w;
	int r;

	for (size_t i = 0; i < n; i++)
		t[i] = (struct gguf_out_tensor){ all[i].gguf, all[i].rows ? 2 : 1,
		    { all[i].cols, all[i].rows ? all[i].rows : 1, 1, 1 },
		    all[i].rows ? matrix_type(all[i].gguf, all[i].cols, type, logits) : TENSOR_F32 };
	if (rope)
		t[n] = (struct gguf_out_tensor){ "rope_freqs.weight", 1, { h->config.rope_dims / 2, 1, 1, 1 },
		    TENSOR_F32 };
	w = gguf_create(out, NULL, NULL, t, n + rope, err);
	r = !w || hf_put_metadata(h, w, err) != 0 ? -1 : put_type(w, type, err);
	for (size_t i = 0; i < n && r == 0; i++) {
		struct way way = way_of(&all[i], t[i].type, hf_row_of_gguf, h->config.head_size);

		way.s = safetensors_find(s, way.name = all[i].hf);
		way.put = put_gguf;
		way.to = w;
		if ((r = go_on(hooks, i, n, err)) == 0)
			r = copy_rows(&way, err);
	}
	if (r == 0 && rope)
		r = put_rope(h, w, err);
	free(t);
	if (r == 0)
		return gguf_commit(w, err);
	gguf_abort(w);
	return -1;
}

int convert_from_folder(const char *in, const char *out, enum tensor_type type,
    const struct convert_hooks *hooks, struct err *err)
{
	struct err why;
	struct hf_tensor *all = NULL;
	struct safetensors *s = NULL;
	struct hf *h = hf_read(in, &why);
	size_t n;
	int r = -1;

	if (h && (s = safetensors_open_folder(in, &why))) {
		h->config.tied = h->config.tied || !safetensors_find(s, "lm_head.weight");
		/* Before memory is taken for so many. */
		if ((size_t)h->config.layers > s->n / 9)
			r = err_set(&why, "%d layers are announced, but there are only %zu tensors",
			    h->config.layers, s->n);
		else if ((all = hf_tensors(&h->config, h->biased, &n)))
			r = check_tensors(h, s, all, n, &why);
	}
	if (r != 0)
		err_set(err, "%s: %s", in, why.msg);
	else
		r = write_from(h, s, all, n, out, type, hooks, err);
	free(all);
	safetensors_close(s);
	hf_free(h);
	return r;
}
