#include "model/inspect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "model/model.h"

/* Text out of a file, for the terminal: no control characters. */
static void add_shown(struct buf *b, struct gguf_str s, size_t most)
{
	size_t n;

	for (size_t i = 0; i < s.len; i += n) {
		uint32_t cp = utf8_decode(s.s + i, s.len - i, &n);
		if (i >= most) {
			buf_adds(b, "...");
			return;
		}
		if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == UTF8_BAD)
			buf_addc(b, cp == '\n' ? ' ' : '?');
		else
			buf_add(b, s.s + i, n);
	}
}

/* "134515008" → "134,515,008" */
static void add_grouped(struct buf *b, uint64_t n)
{
	char s[24];
	int len = snprintf(s, sizeof s, "%llu", (unsigned long long)n);

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf_addc(b, ',');
		buf_addc(b, s[i]);
	}
}

static void add_bytes(struct buf *b, uint64_t n)
{
	double v = (double)n;

	if (n < 1000)
		buf_printf(b, "%llu bytes", (unsigned long long)n);
	else if (v < 1e6)
		buf_printf(b, "%.1f kB", v / 1e3);
	else if (v < 1e9)
		buf_printf(b, "%.1f MB", v / 1e6);
	else
		buf_printf(b, "%.2f GB", v / 1e9);
}

enum { MOST_TYPES = 16, MOST_PROBLEMS = 3 };

struct type_count {
	unsigned type;
	uint64_t tensors, values, bytes;
};

struct info {
	const struct gguf *g;
	struct gguf_str name, arch, tokenizer, pre;
	uint64_t values, tokens;
	struct type_count types[MOST_TYPES];
	size_t ntypes;
	struct model *model;            /* NULL: it cannot be used, for the reasons in problem */
	struct err problem[MOST_PROBLEMS];
	int nproblems;
	/* Looked at by themselves, also where the model cannot be used; NULL: not
	 * supported, for the reason in … */
	struct tokenizer *tok;
	struct chat *chat;
	struct err no_tok, no_chat;
};

/* The tensors of a type; the last place is for all others. */
static struct type_count *type_of(struct info *f, unsigned type)
{
	size_t i = 0;

	while (i < f->ntypes && f->types[i].type != type)
		i++;
	if (i == MOST_TYPES)
		return &f->types[MOST_TYPES - 1];
	if (i == f->ntypes)
		f->types[f->ntypes++].type = type;
	return &f->types[i];
}

static void add_problem(struct info *f, const struct err *problem)
{
	for (int i = 0; i < f->nproblems; i++)
		if (strcmp(f->problem[i].msg, problem->msg) == 0)
			return;
	f->problem[f->nproblems++] = *problem;
}

/* model_open ends at the first thing that it cannot use: what else there is
 * that speaks against the file. */
static void find_problems(struct info *f, const struct err *first)
{
	add_problem(f, first);
	if (*f->no_tok.msg)
		add_problem(f, &f->no_tok);
	if (*f->no_chat.msg)
		add_problem(f, &f->no_chat);
}

static struct info gather(const struct gguf *g, const char *path)
{
	struct info f = { .g = g };
	const struct gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens");
	struct err err = { "" };

	gguf_get_str(g, "general.name", &f.name, NULL);
	gguf_get_str(g, "general.architecture", &f.arch, NULL);
	gguf_get_str(g, "tokenizer.ggml.model", &f.tokenizer, NULL);
	gguf_get_str(g, "tokenizer.ggml.pre", &f.pre, NULL);
	f.tokens = tokens && tokens->kind == GGUF_ARRAY ? tokens->n : 0;
	for (size_t i = 0; i < g->ntensors; i++) {
		struct type_count *t = type_of(&f, (unsigned)g->tensors[i].type);

		t->tensors++;
		t->values += (uint64_t)gguf_elements(&g->tensors[i]);
		t->bytes += g->tensors[i].size;
		f.values += (uint64_t)gguf_elements(&g->tensors[i]);
	}
	if (f.tokenizer.s)
		f.tok = tokenizer_new(g, &f.no_tok);
	if (f.tok && gguf_find(g, "tokenizer.chat_template"))
		f.chat = chat_new(g, f.tok, NULL, &f.no_chat);
	f.model = model_open(path, NULL, &err);
	if (!f.model)
		find_problems(&f, &err);
	return f;
}

/* An integer of the architecture's; 0: not there. */
static uint64_t arch_number(const struct info *f, const char *key)
{
	char name[128];
	uint64_t v = 0;

	snprintf(name, sizeof name, "%.*s.%s", (int)(f->arch.len < 64 ? f->arch.len : 64),
	    f->arch.len ? f->arch.s : "", key);
	return gguf_get_u64(f->g, name, &v, NULL) == 1 ? v : 0;
}

static void add_type_name(struct buf *b, unsigned type)
{
	const char *name = tensor_type_name(type);

	if (name)
		buf_adds(b, name);
	else
		buf_printf(b, "type-%u", type);
}

static const struct { const char *key, *name; } sizes[] = {
	{ "block_count", "layers" }, { "embedding_length", "width" },
	{ "feed_forward_length", "feed_forward" }, { "attention.head_count", "heads" },
	{ "attention.head_count_kv", "kv_heads" }, { "context_length", "context" },
};

enum { NSIZES = sizeof sizes / sizeof *sizes };

static void print_text(const struct info *f, const char *path, struct buf *b)
{
	const char *system = f->chat ? chat_default_system(f->chat) : NULL;

	buf_printf(b, "%s\n  name            ", path);
	add_shown(b, f->name, 200);
	buf_adds(b, "\n  file            ");
	add_bytes(b, f->g->file.size);
	buf_printf(b, ", GGUF version %u\n  architecture    ", (unsigned)f->g->version);
	add_shown(b, f->arch, 64);
	buf_adds(b, model_knows(f->arch) ? ", supported" : ", not supported");
	for (int i = 0; i < NSIZES; i++)
		if (arch_number(f, sizes[i].key))
			buf_printf(b, "\n    %-14s%llu", sizes[i].name,
			    (unsigned long long)arch_number(f, sizes[i].key));
	if (f->model && (uint64_t)f->model->config.context < arch_number(f, "context_length"))
		buf_printf(b, "\n    window        %d, where the context ends", f->model->config.context);
	buf_adds(b, "\n  parameters      ");
	add_grouped(b, f->values);
	buf_printf(b, "\n  tensors         %zu", f->g->ntensors);
	for (size_t i = 0; i < f->ntypes; i++) {
		const struct type_count *t = &f->types[i];
		buf_adds(b, "\n    ");
		add_type_name(b, t->type);
		buf_printf(b, ": %llu, ", (unsigned long long)t->tensors);
		add_grouped(b, t->values);
		buf_adds(b, " values, ");
		add_bytes(b, t->bytes);
		buf_adds(b, tensor_readable(t->type) ? ", supported" : ", not supported");
	}
	buf_adds(b, "\n  tokenizer       ");
	add_shown(b, f->tokenizer, 64);
	buf_adds(b, f->pre.len ? ", " : "");
	add_shown(b, f->pre, 64);
	buf_printf(b, ", %llu tokens", (unsigned long long)f->tokens);
	if (f->tokenizer.s && !f->tok)
		buf_printf(b, "; not supported: %s", f->no_tok.msg);
	buf_adds(b, "\n  chat template   ");
	buf_adds(b, f->chat ? chat_family(f->chat) :
	    gguf_find(f->g, "tokenizer.chat_template") ? "there" : "none");
	if (*f->no_chat.msg)
		buf_printf(b, "; not supported: %s", f->no_chat.msg);
	if (system) {
		buf_adds(b, ", with a system message: ");
		add_shown(b, (struct gguf_str){ system, strlen(system) }, 200);
	}
	buf_printf(b, "\n  can be used     %s", f->model ? "yes\n" : "no: ");
	for (int i = 0; i < f->nproblems; i++)
		buf_printf(b, "%s%s\n", i ? "                  and: " : "", f->problem[i].msg);
}

static void add_member(struct buf *b, const char *key, struct gguf_str s)
{
	buf_printf(b, ",\"%s\":", key);
	if (s.s)
		buf_json_string(b, s.s, s.len);
	else
		buf_adds(b, "null");
}

static void print_json(const struct info *f, const char *path, struct buf *b)
{
	const char *system = f->chat ? chat_default_system(f->chat) : NULL;

	buf_adds(b, "{\"file\":");
	buf_json_string(b, path, strlen(path));
	add_member(b, "name", f->name);
	buf_printf(b, ",\"bytes\":%zu,\"version\":%u", f->g->file.size, (unsigned)f->g->version);
	add_member(b, "architecture", f->arch);
	for (int i = 0; i < NSIZES; i++)
		buf_printf(b, ",\"%s\":%llu", sizes[i].name,
		    (unsigned long long)arch_number(f, sizes[i].key));
	buf_printf(b, ",\"parameters\":%llu,\"tensors\":[", (unsigned long long)f->values);
	for (size_t i = 0; i < f->ntypes; i++) {
		const struct type_count *t = &f->types[i];
		buf_printf(b, "%s{\"type\":\"", i ? "," : "");
		add_type_name(b, t->type);
		buf_printf(b, "\",\"count\":%llu,\"values\":%llu", (unsigned long long)t->tensors,
		    (unsigned long long)t->values);
		buf_printf(b, ",\"bytes\":%llu,\"supported\":%s}", (unsigned long long)t->bytes,
		    tensor_readable(t->type) ? "true" : "false");
	}
	buf_adds(b, "]");
	add_member(b, "tokenizer", f->tokenizer);
	add_member(b, "pre_tokenizer", f->pre);
	buf_printf(b, ",\"tokens\":%llu,\"chat_template\":", (unsigned long long)f->tokens);
	if (f->chat)
		buf_printf(b, "\"%s\"", chat_family(f->chat));
	else
		buf_adds(b, "null");
	buf_printf(b, ",\"tokenizer_supported\":%s,\"chat_template_supported\":%s", f->tok ? "true" : "false",
	    f->chat ? "true" : "false");
	add_member(b, "system", (struct gguf_str){ system, system ? strlen(system) : 0 });
	buf_printf(b, ",\"usable\":%s", f->model ? "true" : "false");
	add_member(b, "problem", (struct gguf_str){ f->nproblems ? f->problem[0].msg : NULL,
	    strlen(f->problem[0].msg) });
	buf_adds(b, ",\"problems\":[");
	for (int i = 0; i < f->nproblems; i++) {
		buf_adds(b, i ? "," : "");
		buf_json_string(b, f->problem[i].msg, strlen(f->problem[i].msg));
	}
	buf_adds(b, "]}\n");
}

int model_describe(const char *path, bool json, struct buf *out, struct err *err)
{
	struct gguf *g = gguf_open(path, err);
	struct info f;

	if (!g)
		return -1;
	f = gather(g, path);
	if (json)
		print_json(&f, path, out);
	else
		print_text(&f, path, out);
	chat_free(f.chat);
	tokenizer_free(f.tok);
	model_close(f.model);
	gguf_close(g);
	return 0;
}

static int check_tensor(const struct gguf_tensor *t, float **row, size_t *cap, struct err *err)
{
	size_t cols = (size_t)t->dims[0], len = tensor_block_len((unsigned)t->type), rows, size;

	if (len == 0 || !tensor_readable((unsigned)t->type)) {
		struct buf name = { 0 };

		add_type_name(&name, (unsigned)t->type);
		err_set(err, "tensor \"%.64s\": type %s is not supported", t->name, name.data);
		buf_free(&name);
		return -1;
	}
	if (cols > *cap) {
		free(*row);
		*cap = cols;
		if (!(*row = mem_try(cols, sizeof **row))) {
			*cap = 0;
			return err_set(err, "not enough memory for a row of tensor \"%.64s\"", t->name);
		}
	}
	rows = (size_t)(t->dims[1] * t->dims[2] * t->dims[3]);
	size = cols / len * tensor_block_size((unsigned)t->type);
	for (size_t r = 0; r < rows; r++) {
		dequantize_row(t->type, (const char *)t->data + r * size, *row, cols);
		for (size_t i = 0; i < cols; i++)
			if (!isfinite((*row)[i]))
				return err_set(err, "tensor \"%.64s\": value %zu of row %zu is not finite",
				    t->name, i, r);
	}
	return 0;
}

static void hash_mapping(const struct gguf *g, bool (*stopping)(void), char hex[65])
{
	const size_t piece = (size_t)4 << 20;
	struct sha256 s;

	sha256_init(&s);
	for (size_t at = 0; at < g->file.size && !(stopping && stopping()); at += piece)
		sha256_add(&s, g->file.data + at, g->file.size - at < piece ? g->file.size - at : piece);
	sha256_end_hex(&s, hex);
}

int model_check(const char *path, bool (*stopping)(void), struct model_check *result, struct err *err)
{
	struct gguf *g = gguf_open(path, err);
	float *row = NULL;
	size_t cap = 0;
	int r = 0;

	if (!g)
		return -1;
	*result = (struct model_check){ .tensors = g->ntensors };
	hash_mapping(g, stopping, result->sha256);
	for (size_t i = 0; i < g->ntensors && r == 0; i++) {
		if (stopping && stopping())
			r = err_set(err, "stopped");
		else
			r = check_tensor(&g->tensors[i], &row, &cap, err);
		result->values += (uint64_t)gguf_elements(&g->tensors[i]);
	}
	free(row);
	gguf_close(g);
	return r;
}
