#include "train/train.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/progress.h"
#include "train/gemm.h"
#include "train/head.h"
#include "train/layers.h"
#include "train/lora.h"
#include "train/tree.h"

enum { ALIGN = 16 };            /* floats: a cache line */

struct trainer {
	const struct model *m;
	struct pool *pool;
	size_t n, matrices;
	struct lora_parts lora; /* rank 0: all weights are trained */
	int recompute;          /* layers whose activations are not kept; -1: the logits are, too */
	ptrdiff_t *offset;      /* of each tensor of the file; -1: not trained */
	float *w, *g;
	struct layer *wl, *gl;  /* L each: where a layer's tensors are in w and g */
	float *embd, *dembd;
	struct head_weights wh, gh;
	/* the last forward */
	struct tree tree;
	struct pass pass;
	struct acts *acts;      /* L */
	struct acts again;      /* where a layer that is not kept is computed */
	struct head head;
	float *last;            /* (T, C) the last layer's output */
	float *dx;              /* (T, C) */
	double *logp;           /* (N) */
	struct trainer_seconds seconds;
	struct layer unpacked;  /* with adapters: the weights of one layer */
	float *bias_room[4];
	bool kept;
	char *room;             /* what all these point into */
	size_t room_size;
};

static size_t elements(const struct gguf_tensor *t)
{
	return (size_t)(t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3]);
}

static size_t index_of(const struct trainer *t, const struct gguf_tensor *x)
{
	return (size_t)(x - t->m->gguf->tensors);
}

/* Places the tensors that the model is made of: matrices, then vectors. */
static void place_tensors(struct trainer *t)
{
	const struct model *m = t->m;
	size_t ntensors = m->gguf->ntensors;
	bool *used = mem_zalloc(ntensors, sizeof *used);

	used[index_of(t, m->embd)] = used[index_of(t, m->output)] = used[index_of(t, m->output_norm)] = true;
	for (int l = 0; l < m->config.layers; l++) {
		const struct layer_tensors *y = &m->layer[l];
		const struct gguf_tensor *of[] = { y->attn_norm, y->q, y->k, y->v, y->o, y->ffn_norm, y->gate, y->up,
		    y->down, y->q_bias, y->k_bias, y->v_bias, y->o_bias };

		for (size_t i = 0; i < sizeof of / sizeof *of; i++)
			if (of[i])
				used[index_of(t, of[i])] = true;
	}
	t->offset = mem_zalloc(ntensors, sizeof *t->offset);
	for (int vectors = 0; vectors < 2; vectors++) {
		for (size_t i = 0; i < ntensors; i++) {
			const struct gguf_tensor *x = &m->gguf->tensors[i];

			if (!used[i])
				t->offset[i] = -1;
			else if ((x->ndims < 2) == vectors) {
				t->offset[i] = (ptrdiff_t)t->n;
				t->n += (elements(x) + ALIGN - 1) / ALIGN * ALIGN;
			}
		}
		if (!vectors)
			t->matrices = t->n;
	}
	free(used);
}

static float *in(const struct trainer *t, float *block, const struct gguf_tensor *x)
{
	return x && t->offset[index_of(t, x)] >= 0 ? block + t->offset[index_of(t, x)] : NULL;
}

static void find_layers(const struct trainer *t, struct layer *out, float *block)
{
	for (int l = 0; l < t->m->config.layers; l++) {
		const struct layer_tensors *y = &t->m->layer[l];

		out[l] = (struct layer){
			in(t, block, y->attn_norm), in(t, block, y->q), in(t, block, y->k), in(t, block, y->v),
			in(t, block, y->o), in(t, block, y->ffn_norm), in(t, block, y->gate), in(t, block, y->up),
			in(t, block, y->down), in(t, block, y->q_bias), in(t, block, y->k_bias),
			in(t, block, y->v_bias), in(t, block, y->o_bias),
		};
	}
}


static void load_job(void *arg, int job)
{
	struct trainer *t = arg;
	const struct gguf_tensor *x = &t->m->gguf->tensors[job];

	if (t->offset[job] >= 0)
		dequantize_row(x->type, x->data, t->w + t->offset[job], elements(x));
}

enum { ZERO_CHUNK = 1 << 20 };

static void zero_job(void *arg, int job)
{
	struct trainer *t = arg;
	size_t from = (size_t)job * ZERO_CHUNK;

	memset(t->g + from, 0, (t->n - from < ZERO_CHUNK ? t->n - from : ZERO_CHUNK) * sizeof *t->g);
}

void trainer_zero_grads(struct trainer *t)
{
	pool_run(t->pool, zero_job, t, (int)((t->n + ZERO_CHUNK - 1) / ZERO_CHUNK));
}

/* None of the file's tensors is trained as it is. */
static int place_adapters(struct trainer *t, const struct lora *lora, struct err *err)
{
	size_t ntensors = t->m->gguf->ntensors;

	t->offset = mem_zalloc(ntensors, sizeof *t->offset);
	for (size_t i = 0; i < ntensors; i++)
		t->offset[i] = -1;
	if (lora_place(&t->lora, t->m, lora, ALIGN, err) != 0)
		return -1;
	t->n = t->matrices = t->lora.n;
	t->pass.rank = lora->rank;
	t->pass.scale = t->lora.scale;
	return 0;
}

struct trainer *trainer_plan(const struct model *m, struct pool *pool, const struct lora *lora, struct err *err)
{
	struct trainer *t = mem_zalloc(1, sizeof *t);
	size_t layers = (size_t)m->config.layers;

	t->m = m;
	t->recompute = -1;
	t->pool = pool;
	t->pass = (struct pass){ .pool = pool, .c = &m->config, .tree = &t->tree,
	    .attention = &t->seconds.attention };
	gemm_init();
	t->wl = mem_zalloc(layers, sizeof *t->wl);
	t->gl = mem_zalloc(layers, sizeof *t->gl);
	t->acts = mem_zalloc(layers, sizeof *t->acts);
	if (!lora) {
		place_tensors(t);
	} else if (place_adapters(t, lora, err) != 0) {
		trainer_free(t);
		return NULL;
	}
	return t;
}

int trainer_load(struct trainer *t, struct err *err)
{
	const struct model *m = t->m;

	t->w = mem_try(t->n, sizeof *t->w);
	t->g = mem_try(t->n, sizeof *t->g);
	if (!t->w || !t->g)
		return err_set(err, "not enough memory for the weights and their gradients (%.1f GiB)",
		    2.0 * (double)t->n * sizeof *t->w / (1 << 30));
	find_layers(t, t->wl, t->w);
	find_layers(t, t->gl, t->g);
	t->embd = in(t, t->w, m->embd);
	t->dembd = in(t, t->g, m->embd);
	t->wh = (struct head_weights){ .norm = in(t, t->w, m->output_norm), .output = in(t, t->w, m->output),
	    .packed = m->output };
	t->gh = (struct head_weights){ .norm = in(t, t->g, m->output_norm), .output = in(t, t->g, m->output) };
	if (t->lora.set.rank)
		lora_start(&t->lora, t->w, t->g);
	for (size_t i = 0; i < m->gguf->ntensors; i++) {        /* the padding */
		size_t end = (elements(&m->gguf->tensors[i]) + ALIGN - 1) / ALIGN * ALIGN;

		for (size_t j = elements(&m->gguf->tensors[i]); t->offset[i] >= 0 && j < end; j++)
			t->w[(size_t)t->offset[i] + j] = 0;
	}
	pool_run(t->pool, load_job, t, (int)m->gguf->ntensors);
	trainer_zero_grads(t);
	return 0;
}

struct trainer *trainer_new(const struct model *m, struct pool *pool, struct err *err)
{
	struct trainer *t = trainer_plan(m, pool, NULL, err);

	if (t && trainer_load(t, err) != 0) {
		trainer_free(t);
		return NULL;
	}
	return t;
}

void trainer_free(struct trainer *t)
{
	if (!t)
		return;
	tree_free(&t->tree);
	free(t->offset);
	lora_free(&t->lora);
	free(t->w);
	free(t->g);
	free(t->wl);
	free(t->gl);
	free(t->acts);
	free(t->room);
	free(t);
}

float *trainer_weights(struct trainer *t, size_t *n)
{
	*n = t->n;
	return t->w;
}

float *trainer_grads(struct trainer *t)
{
	return t->g;
}

size_t trainer_matrices(const struct trainer *t)
{
	return t->matrices;
}

ptrdiff_t trainer_offset(const struct trainer *t, const char *name, size_t *n)
{
	if (t->lora.set.rank)
		return lora_offset(&t->lora, name, n);
	for (size_t i = 0; i < t->m->gguf->ntensors; i++) {
		if (strcmp(t->m->gguf->tensors[i].name, name) != 0)
			continue;
		*n = elements(&t->m->gguf->tensors[i]);
		return t->offset[i];
	}
	return -1;
}

/* ---- the room for a tree ---- */

/* Takes count elements at *at; base NULL: only counts. */
static void *take(char *base, size_t *at, size_t count, size_t size)
{
	char *p = base ? base + *at : NULL;

	*at += (count * size + 63) / 64 * 64;
	return p;
}

static float *take_floats(char *base, size_t *at, size_t rows, size_t cols)
{
	return take(base, at, rows * cols, sizeof(float));
}

/* All but the layer's input. */
static void lay_acts(const struct model_config *c, struct acts *a, char *base, size_t *at, size_t T)
{
	size_t C = (size_t)c->width, F = (size_t)c->ffn, H = (size_t)c->heads, D = (size_t)c->head_size;
	size_t KD = (size_t)c->kv_heads * D;

	*a = (struct acts){
		.rstd_attn = take_floats(base, at, T, 1),
		.rstd_ffn = take_floats(base, at, T, 1), .q = take_floats(base, at, T, H * D),
		.k = take_floats(base, at, T, KD), .v = take_floats(base, at, T, KD),
		.att = take_floats(base, at, T, H * D), .lse = take_floats(base, at, T, H),
		.mid = take_floats(base, at, T, C), .gate = take_floats(base, at, T, F),
		.up = take_floats(base, at, T, F),
	};
}

/* What adapters need: a layer and a panel of the head unpacked, and their
 * own gradients' room. */
static void lay_unpacked(struct trainer *t, char *base, size_t *at, size_t T)
{
	const struct model_config *c = &t->m->config;
	size_t C = (size_t)c->width, F = (size_t)c->ffn, HD = (size_t)(c->heads * c->head_size);
	size_t KD = (size_t)(c->kv_heads * c->head_size), V = (size_t)c->vocab, R = (size_t)t->pass.rank;
	struct layer w = {
		.attn_norm = take_floats(base, at, 1, C), .q = take_floats(base, at, HD, C),
		.k = take_floats(base, at, KD, C), .v = take_floats(base, at, KD, C),
		.o = take_floats(base, at, C, HD), .ffn_norm = take_floats(base, at, 1, C),
		.gate = take_floats(base, at, F, C), .up = take_floats(base, at, F, C),
		.down = take_floats(base, at, C, F),
	};

	t->bias_room[0] = take_floats(base, at, 1, HD);
	t->bias_room[1] = take_floats(base, at, 1, KD);
	t->bias_room[2] = take_floats(base, at, 1, KD);
	t->bias_room[3] = take_floats(base, at, 1, C);
	t->unpacked = w;
	t->wh.norm = take_floats(base, at, 1, C);
	t->wh.panel = take_floats(base, at, V < HEAD_PANEL ? V : HEAD_PANEL, C);
	for (int i = 0; i < 3; i++) {
		t->pass.s.xa[i] = take_floats(base, at, T, R);
		t->pass.s.dya[i] = take_floats(base, at, T, R);
	}
}

static void lay_scratch(const struct model_config *c, struct scratch *s, char *base, size_t *at, size_t T,
    bool keep)
{
	size_t C = (size_t)c->width, F = (size_t)c->ffn, HD = (size_t)(c->heads * c->head_size);
	size_t KD = (size_t)(c->kv_heads * c->head_size), half = (size_t)c->rope_dims / 2;
	size_t back = keep ? T : 0, behind_attention;

	*s = (struct scratch){
		.h = take_floats(base, at, T, C), .act = take_floats(base, at, T, F),
		.cos = take_floats(base, at, T, half), .sin = take_floats(base, at, T, half),
		.dh = take_floats(base, at, back, C),
		.partial = take_floats(base, at, (size_t)norm_blocks((int)back), C),
	};
	/* a layer's halves go backward one after the other: one room for both */
	behind_attention = *at;
	s->datt = take_floats(base, &behind_attention, back, HD);
	s->dq = take_floats(base, &behind_attention, back, HD);
	s->dkh = take_floats(base, &behind_attention, back, HD);
	s->dvh = take_floats(base, &behind_attention, back, HD);
	s->dk = take_floats(base, &behind_attention, back, KD);
	s->dv = take_floats(base, &behind_attention, back, KD);
	s->dgate = take_floats(base, at, back, F);
	s->dup = take_floats(base, at, back, F);
	if (behind_attention > *at)
		*at = behind_attention;
}

static void lay_head(const struct model_config *c, struct head *h, char *base, size_t *at, int targets,
    bool keep, bool kept)
{
	size_t C = (size_t)c->width, N = (size_t)targets;

	*h = (struct head){
		.hid = take_floats(base, at, N, C), .x = take_floats(base, at, N, C),
		.dhid = take_floats(base, at, keep ? N : 0, C), .rstd = take_floats(base, at, N, 1),
		.target = take_floats(base, at, N, 1), .row = take(base, at, N, sizeof(int)),
		.best = take(base, at, N, sizeof(int32_t)), .max = take(base, at, N, sizeof(double)),
		.sum = take(base, at, N, sizeof(double)),
		.logits = take_floats(base, at, head_logits(targets, c->vocab, kept), 1), .kept = kept,
	};
}

/* Sets every pointer of the forward and backward pass; returns the bytes. */
static size_t lay_out(struct trainer *t, char *base, int tokens, int targets, bool keep)
{
	const struct model_config *c = &t->m->config;
	size_t T = (size_t)tokens, N = (size_t)targets, C = (size_t)c->width, at = 0;
	int again = !keep ? c->layers : t->recompute > 0 ? t->recompute : 0;
	float *x = keep ? NULL : take_floats(base, &at, T, C);

	if (again > 0)
		lay_acts(c, &t->again, base, &at, T);
	for (int l = 0; l < c->layers; l++) {
		if (l < again)
			t->acts[l] = t->again;
		else
			lay_acts(c, &t->acts[l], base, &at, T);
		t->acts[l].x = keep ? take_floats(base, &at, T, C) : x;
	}
	lay_scratch(c, &t->pass.s, base, &at, T, keep);
	if (t->lora.set.rank)
		lay_unpacked(t, base, &at, keep ? T : 0);
	lay_head(c, &t->head, base, &at, targets, keep, keep && t->recompute < 0);
	t->last = keep ? take_floats(base, &at, T, (size_t)c->width) : t->acts[0].x;
	t->dx = take_floats(base, &at, keep ? T : 0, (size_t)c->width);
	t->logp = take(base, &at, N, sizeof(double));
	return at;
}

void trainer_recompute(struct trainer *t, int layers)
{
	t->recompute = layers < -1 ? -1 : layers < t->m->config.layers ? layers : t->m->config.layers;
	t->kept = false;
}

size_t trainer_bytes(const struct trainer *t, int tokens, int targets, bool keep)
{
	struct trainer count = { .m = t->m, .lora = t->lora, .recompute = t->recompute, .pass = t->pass,
	    .acts = mem_zalloc((size_t)t->m->config.layers, sizeof *count.acts) };
	size_t bytes = lay_out(&count, NULL, tokens, targets, keep);

	free(count.acts);
	return bytes;
}

int trainer_reserve(struct trainer *t, int tokens, int targets, bool keep, struct err *err)
{
	size_t bytes = trainer_bytes(t, tokens, targets, keep);

	if (bytes <= t->room_size)
		return 0;
	t->kept = false;
	free(t->room);
	t->room_size = 0;
	t->room = mem_try(bytes, 1);
	if (!t->room)
		return err_set(err, "not enough memory for a sequence of %d tokens (%.1f GiB)", tokens,
		    (double)bytes / (1 << 30));
	t->room_size = bytes;
	return 0;
}

double trainer_flops(const struct trainer *t, int tokens, int targets)
{
	const struct model_config *c = &t->m->config;
	double C = c->width, HD = (double)c->heads * c->head_size, KD = (double)c->kv_heads * c->head_size;

	return 6.0 * ((double)tokens * c->layers * C * (2 * HD + 2 * KD + 3.0 * c->ffn) +
	    (double)targets * c->vocab * C);
}

/* ---- forward and backward ---- */

struct trainer_seconds trainer_seconds(const struct trainer *t)
{
	return t->seconds;
}

/* Adds the time since start to *part, less what attention took of it; returns
 * the time now. */
static double took(struct trainer *t, double *part, double start, double attention_before)
{
	double now = now_seconds();

	*part += now - start - (t->seconds.attention - attention_before);
	return now;
}

/* Layer l's weights, until the next call. */
static const struct layer *weights_of(struct trainer *t, int l)
{
	const struct layer_tensors *y = &t->m->layer[l];

	if (!t->lora.set.rank)
		return &t->wl[l];
	t->unpacked.q_bias = y->q_bias ? t->bias_room[0] : NULL;
	t->unpacked.k_bias = y->k_bias ? t->bias_room[1] : NULL;
	t->unpacked.v_bias = y->v_bias ? t->bias_room[2] : NULL;
	t->unpacked.o_bias = y->o_bias ? t->bias_room[3] : NULL;
	lora_unpack(&t->lora, t->pool, l, &t->unpacked);
	return &t->unpacked;
}

int trainer_forward(struct trainer *t, const struct segment *s, int n, bool keep, double *logps, int *correct,
    struct err *err)
{
	const struct model_config *c = &t->m->config;
	struct pass *p = &t->pass;
	double start = now_seconds(), attention = t->seconds.attention;

	t->kept = false;
	if (tree_build(&t->tree, s, n, c->vocab, c->context, err) != 0 ||
	    trainer_reserve(t, t->tree.tokens, t->tree.ntargets, keep, err) != 0)
		return -1;
	lay_out(t, t->room, t->tree.tokens, t->tree.ntargets, keep);
	if (t->lora.set.rank)
		dequantize_row(t->m->output_norm->type, t->m->output_norm->data, t->wh.norm, (size_t)c->width);
	rope_table(p, t->m->rope_inv_freq);
	embed_forward(p, t->acts[0].x, t->m->embd, t->embd);
	for (int l = 0; l < c->layers; l++)
		layer_forward(p, weights_of(t, l), &t->acts[l], l + 1 < c->layers ? t->acts[l + 1].x : t->last);
	start = took(t, &t->seconds.forward, start, attention);
	head_forward(p, &t->head, &t->wh, t->last, t->logp);
	took(t, &t->seconds.head, start, t->seconds.attention);

	for (int i = 0; i < n; i++) {
		logps[i] = 0;
		if (correct)
			correct[i] = 0;
	}
	for (int i = 0; i < t->tree.ntargets; i++) {
		logps[t->tree.target[i].seg] += t->logp[i];
		if (correct)
			correct[t->tree.target[i].seg] += t->head.best[i] == t->tree.target[i].id;
	}
	t->kept = keep;
	return 0;
}

int trainer_backward(struct trainer *t, const double *dlogps, struct err *err)
{
	const struct model_config *c = &t->m->config;
	const struct pass *p = &t->pass;
	double start = now_seconds(), attention = t->seconds.attention;

	if (!t->kept)
		return err_set(err, "there is no forward pass to go back through");
	t->kept = false;
	memset(t->dx, 0, (size_t)t->tree.tokens * (size_t)c->width * sizeof *t->dx);
	head_backward(p, &t->head, &t->wh, &t->gh, dlogps, t->dx);
	start = took(t, &t->seconds.head, start, attention);
	for (int l = c->layers - 1; l >= 0; l--) {
		const struct layer *w = weights_of(t, l);

		if (l < t->recompute)
			layer_forward(p, w, &t->acts[l], NULL);
		layer_backward(p, w, &t->gl[l],
		    t->lora.set.rank ? t->lora.adapter + (size_t)l * LAYER_MATRICES : NULL, &t->acts[l], t->dx);
	}
	embed_backward(p, t->dembd, t->dx);
	took(t, &t->seconds.backward, start, attention);
	return 0;
}

/* ---- saving ---- */

static enum tensor_type saved_type(const struct gguf_tensor *x, enum tensor_type type)
{
	return x->ndims < 2 ? TENSOR_F32 : type;
}

static bool saves_adapters(const struct trainer *t)
{
	return t->lora.set.rank && !t->lora.set.merged;
}

int trainer_check_type(const struct trainer *t, enum tensor_type type, struct err *err)
{
	if (saves_adapters(t))
		return 0;
	if (!tensor_writable(type))
		return err_set(err, "cannot write %s", tensor_type_name(type));
	for (size_t i = 0; i < t->m->gguf->ntensors; i++) {
		const struct gguf_tensor *x = &t->m->gguf->tensors[i];
		size_t block = tensor_block_len(saved_type(x, type));

		if ((size_t)x->dims[0] % block != 0)
			return err_set(err, "%s cannot hold %s, whose rows have %lld elements, no multiple of %zu",
			    tensor_type_name(type), x->name, (long long)x->dims[0], block);
	}
	return 0;
}

enum { PIECE = 1 << 20 };       /* elements in memory at a time, or a little more */

/* What is not trained as it is, is copied, adapters added. */
static int put_tensor(const struct trainer *t, struct gguf_writer *w, size_t i, struct err *err)
{
	const struct gguf_tensor *x = &t->m->gguf->tensors[i];
	size_t cols = (size_t)x->dims[0], rows = elements(x) / cols, most = PIECE / cols + 1, n;
	float *piece;
	int rc = 0;

	if (t->offset[i] >= 0)
		return gguf_put_tensor(w, t->w + t->offset[i], err);
	piece = mem_try((most < rows ? most : rows) * cols, sizeof *piece);
	if (!piece)
		return err_set(err, "not enough memory for %s", x->name);
	for (size_t at = 0; rc == 0 && at < rows; at += n) {
		n = rows - at < most ? rows - at : most;
		dequantize_row(x->type, (const char *)x->data + at * (x->size / rows), piece, n * cols);
		if (t->lora.set.rank)
			lora_merge(&t->lora, t->pool, x, at, n, piece);
		rc = gguf_put_part(w, piece, n * cols, err);
	}
	free(piece);
	return rc;
}

int trainer_save(const struct trainer *t, const char *path, enum tensor_type type, struct err *err)
{
	static const char *const drop[] = { "general.file_type", NULL };
	const struct gguf *file = t->m->gguf;
	struct gguf_out_tensor *out;
	struct gguf_writer *w;

	if (saves_adapters(t))
		return lora_save(&t->lora, t->w, path, err);
	if (trainer_check_type(t, type, err) != 0)
		return -1;
	out = mem_zalloc(file->ntensors, sizeof *out);
	for (size_t i = 0; i < file->ntensors; i++) {
		out[i] = (struct gguf_out_tensor){ .name = file->tensors[i].name, .ndims = file->tensors[i].ndims,
		    .type = saved_type(&file->tensors[i], type) };
		memcpy(out[i].dims, file->tensors[i].dims, sizeof out[i].dims);
	}
	w = gguf_create(path, file, drop, out, file->ntensors, err);
	free(out);
	if (!w)
		return -1;
	if (gguf_put_u32(w, "general.file_type", gguf_file_type(type), err) != 0)
		goto fail;
	for (size_t i = 0; i < file->ntensors; i++)
		if (put_tensor(t, w, i, err) != 0)
			goto fail;
	return gguf_commit(w, err);
fail:
	gguf_abort(w);
	return -1;
}
