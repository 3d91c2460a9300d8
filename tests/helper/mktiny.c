/*
 * mktiny OUT.gguf [SEED] [TYPE] [ARCHITECTURE] [TOKENIZER] [WIDTH]: a small random model for the
 * tests of the tools, of the architecture llama, qwen2 or biased (a llama with biases),
 * with the tokenizer smollm, gpt-2, llama-bpe or qwen2, which differ in how they cut
 * texts, spm (SentencePiece), or that of a GGUF file (which has a / in its name),
 * of a width of 64, or another multiple of that (256 for types in blocks of 256),
 * made in a few milliseconds. Its text is noise made of common words, but it
 * has all that a real file has: a vocabulary with merges or scores, control tokens, a
 * chat template, grouped-query attention, a tied embedding.
 *
 * The last dimension carries each token's readiness to be sampled: no layer
 * writes to it, and the last norm's weight brings it out, so that words are
 * frequent, bytes that are no text are rare, and <|im_end|> comes up every
 * few dozen tokens.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "model/gguf.h"

enum { LAYERS = 2, HEADS = 4, KV_HEADS = 2, CONTEXT = 2048 };
enum { MAX_TOKENS = 2048, MAX_FILE_TOKENS = 1 << 18, CONTROLS = 3 };

static int width = 64;          /* in HEADS heads; the feed-forward's is twice that */

static const char words[] =
    "the of and to in is that it was for on are with as his they be at one have this from or had "
    "by not but what all were when we there can an your which their said if do will each about "
    "how up out them then she many some so these would other into has more her two like him see "
    "time could no make than first been its who now people my made over did down only way find "
    "use may water long little very after words called just where most know get through back much "
    "before go good new write our used me man too any day same right look think also around "
    "another came come work three word must because does part even place well such here take why "
    "things help put years different away again off went old number great tell men say small "
    "every found still between name should home big give air line set own under read last never "
    "us left end along while might next sound below saw something thought both few those always "
    "looked show large often together asked house world going want school important until form "
    "food keep children feet land side without boy once animals life enough took four head above "
    "kind began almost live page got earth need far hand high year mother light parts country "
    "father let night following picture being study second eyes soon times story boys since white "
    "days ever paper hard near sentence better best across during today others however sure means "
    "knew try told young miles sun ways thing whole hear example heard several change answer room "
    "sea against top turned learn point city play toward five using himself usually score "
    "response question judge user clear useful correct missing points";

static const char chat_template[] =
    "{% for turn in messages %}"
    "{% if loop.first and turn['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou answer in plain words.<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + turn['role'] + '\\n' + turn['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

struct vocab {
	const char *token[MAX_TOKENS];
	const char *merge[MAX_TOKENS];
	int32_t type[MAX_TOKENS];
	float readiness[MAX_TOKENS];
	float score[MAX_TOKENS];
	int ntokens, nmerges;
	bool spm;
	struct arena text;
};

static int find_token(const struct vocab *v, const char *s)
{
	for (int i = CONTROLS; i < v->ntokens; i++)
		if (strcmp(v->token[i], s) == 0)
			return i;
	return -1;
}

static int add_token(struct vocab *v, const char *s, int type, float readiness)
{
	if (v->ntokens == MAX_TOKENS) {
		fprintf(stderr, "mktiny: too many tokens\n");
		exit(1);
	}
	v->token[v->ntokens] = arena_strndup(&v->text, s, strlen(s));
	v->type[v->ntokens] = type;
	v->readiness[v->ntokens] = readiness;
	v->score[v->ntokens] = type == 1 ? (float)-v->ntokens : 0;
	return v->ntokens++;
}

static void add_bytes(struct vocab *v)
{
	unsigned next = 256;

	for (unsigned b = 0; b < 256; b++) {
		char s[5] = "";
		int printed = (b > ' ' && b < 127) || (b > 160 && b != 173);

		utf8_encode(printed ? b : next++, s);
		add_token(v, s, 1, b == '\n' || b == ' ' ? 0.45f : b > ' ' && b < 127 ? 0.35f : 0.05f);
	}
}

/* " word" out of its letters, from left to right: each beginning of it is a
 * token too, shared by all words that begin so. */
static void add_word(struct vocab *v, const char *word, size_t len)
{
	const char *space = v->spm ? "\xe2\x96\x81" : "\xc4\xa0";
	int token = find_token(v, space);

	for (size_t i = 0; i < len; i++) {
		char whole[64];
		int longer;

		snprintf(whole, sizeof whole, "%s%.*s", space, (int)i + 1, word);
		if ((longer = find_token(v, whole)) < 0) {
			longer = add_token(v, whole, 1, 0.2f);
			v->merge[v->nmerges++] = arena_printf(&v->text, "%s %c", v->token[token], word[i]);
		}
		token = longer;
	}
	v->readiness[token] = 0.6f;
}

/* Bytes, then characters; then a few texts that words are made of as well. */
static void add_pieces(struct vocab *v)
{
	static const char *const more[] = { "th", "er", "in", "the", "ing", "nd", "ou", "ea" };
	char s[8];

	for (unsigned b = 0; b < 256; b++) {
		snprintf(s, sizeof s, "<0x%02X>", b);
		add_token(v, s, 6, b == '\n' ? 0.45f : 0.05f);
	}
	add_token(v, "\xe2\x96\x81", 1, 0.45f);
	for (int c = '!'; c <= '~'; c++)
		add_token(v, (char[]){ (char)c, '\0' }, 1, 0.35f);
	add_token(v, "\xc3\xa9", 1, 0.05f);
	for (size_t i = 0; i < sizeof more / sizeof *more; i++)
		add_token(v, more[i], 1, 0.2f);
}

static void make_vocab(struct vocab *v)
{
	if (v->spm)
		add_token(v, "<unk>", 2, 0.05f);
	else
		add_token(v, "<|endoftext|>", 3, 0.05f);
	add_token(v, "<|im_start|>", 3, 0.05f);
	add_token(v, "<|im_end|>", 3, 1.3f);
	(v->spm ? add_pieces : add_bytes)(v);
	for (const char *s = words; *s; ) {
		size_t len = strcspn(s, " ");
		add_word(v, s, len);
		s += len + strspn(s + len, " ");
	}
}

static void normal(uint64_t seed, const char *name, float *x, size_t n, double sd)
{
	struct rng r = rng_stream(seed, name, "mktiny", 0);

	for (size_t i = 0; i < n; i++) {
		double u = 1 - rng_uniform(&r, 2 * i), a = 2 * 3.14159265358979 * rng_uniform(&r, 2 * i + 1);
		x[i] = (float)(sd * sqrt(-2 * log(u)) * cos(a));
	}
}

static void fill(uint64_t seed, const char *name, const struct vocab *v, float *x, int rows, int cols)
{
	if (strstr(name, ".bias"))
		normal(seed, name, x, (size_t)cols, 1);
	else if (strcmp(name, "token_embd.weight") == 0) {
		normal(seed, name, x, (size_t)rows * (size_t)cols, 0.3);
		for (int t = 0; t < rows; t++)
			x[t * cols + width - 1] = t < MAX_TOKENS ? v->readiness[t] : 0;
		for (int i = 0; i < width - 1; i++)
			x[2 * cols + i] *= 0.3f;
	} else if (strstr(name, "norm")) {
		int last = strcmp(name, "output_norm.weight") == 0;

		/* Random signs, so that no token is its own best successor. */
		normal(seed, name, x, (size_t)cols, 1);
		for (int i = 0; i < cols; i++)
			x[i] = !last ? 1 : i == width - 1 ? 6 : x[i] < 0 ? -1 : 1;
	} else {
		int writes = strstr(name, "attn_output") || strstr(name, "ffn_down");
		int queries = strstr(name, "attn_q") || strstr(name, "attn_k");
		double sd = writes ? 0.4 : queries ? 2 : 1;

		normal(seed, name, x, (size_t)rows * (size_t)cols, sd / sqrt(cols));
		for (int i = 0; writes && i < cols; i++)
			x[(width - 1) * cols + i] = 0;
	}
}

static int describe_sizes(struct gguf_writer *w, const struct vocab *v, const char *arch, struct err *err)
{
	const struct {
		const char *key;
		uint32_t value;
	} all[] = {
		{ "block_count", LAYERS }, { "context_length", CONTEXT }, { "embedding_length", (uint32_t)width },
		{ "feed_forward_length", (uint32_t)(2 * width) }, { "attention.head_count", HEADS },
		{ "attention.head_count_kv", KV_HEADS }, { "rope.dimension_count", (uint32_t)(width / HEADS) },
		{ "vocab_size", (uint32_t)v->ntokens },
	};
	char key[80];

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		snprintf(key, sizeof key, "%s.%s", arch, all[i].key);
		if (gguf_put_u32(w, key, all[i].value, err) != 0)
			return -1;
	}
	snprintf(key, sizeof key, "%s.rope.freq_base", arch);
	if (gguf_put_f32(w, key, 10000, err) != 0)
		return -1;
	snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
	return gguf_put_f32(w, key, 1e-5f, err);
}

static int describe_vocab(struct gguf_writer *w, const struct vocab *v, const char *tokenizer, struct err *err)
{
	const size_t n = (size_t)v->ntokens;

	return gguf_put_str(w, "tokenizer.ggml.model", v->spm ? "llama" : "gpt2", err) ||
	    gguf_put_str(w, "tokenizer.ggml.pre", v->spm ? "default" : tokenizer, err) ||
	    gguf_put_strs(w, "tokenizer.ggml.tokens", v->token, n, err) ||
	    gguf_put_i32s(w, "tokenizer.ggml.token_type", v->type, n, err) ||
	    (v->spm ? gguf_put_f32s(w, "tokenizer.ggml.scores", v->score, n, err) :
	    gguf_put_strs(w, "tokenizer.ggml.merges", v->merge, (size_t)v->nmerges, err)) ||
	    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1, err) ||
	    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 2, err) ||
	    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false, err) ||
	    gguf_put_str(w, "tokenizer.chat_template", chat_template, err);
}

static int describe(struct gguf_writer *w, const struct vocab *v, const char *arch, const char *tokenizer,
    struct err *err)
{
	return gguf_put_str(w, "general.architecture", arch, err) ||
	    gguf_put_str(w, "general.name", "tiny test model", err) ||
	    describe_sizes(w, v, arch, err) ||
	    (tokenizer ? describe_vocab(w, v, tokenizer, err) : 0);
}

static size_t list_tensors(const struct vocab *v, enum tensor_type type, bool biased,
    struct gguf_out_tensor *t, struct arena *names)
{
	const int ffn = 2 * width, kv = width / HEADS * KV_HEADS;
	const struct {
		const char *name;
		int rows, cols;         /* rows 0: a vector */
		int bias;               /* its elements, where there are biases */
	} parts[] = {
		{ "attn_norm", 0, width, 0 },
		{ "attn_q", width, width, width }, { "attn_k", kv, width, kv }, { "attn_v", kv, width, kv },
		{ "attn_output", width, width, 0 },
		{ "ffn_norm", 0, width, 0 },
		{ "ffn_gate", ffn, width, 0 }, { "ffn_up", ffn, width, 0 }, { "ffn_down", width, ffn, 0 },
	};
	size_t n = 0;

	t[n++] = (struct gguf_out_tensor){ "token_embd.weight", 2, { width, v->ntokens, 1, 1 }, type };
	for (int l = 0; l < LAYERS; l++)
		for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
			int rows = parts[p].rows;
			t[n++] = (struct gguf_out_tensor){
				arena_printf(names, "blk.%d.%s.weight", l, parts[p].name),
				rows ? 2 : 1, { parts[p].cols, rows ? rows : 1, 1, 1 },
				rows ? type : TENSOR_F32,
			};
			if (biased && parts[p].bias)
				t[n++] = (struct gguf_out_tensor){
					arena_printf(names, "blk.%d.%s.bias", l, parts[p].name),
					1, { parts[p].bias, 1, 1, 1 }, TENSOR_F32,
				};
		}
	t[n++] = (struct gguf_out_tensor){ "output_norm.weight", 1, { width, 1, 1, 1 }, TENSOR_F32 };
	return n;
}

/* Of a file's vocabulary the number of tokens; all of them are as ready. */
static int count_tokens(const struct gguf *g, struct vocab *v, struct err *err)
{
	struct gguf_str *tokens;
	size_t n;

	if (gguf_get_strs(g, "tokenizer.ggml.tokens", &tokens, &n, err) <= 0)
		return -1;
	free(tokens);
	if (n > MAX_FILE_TOKENS)
		return err_set(err, "too many tokens");
	v->ntokens = (int)n;
	return 0;
}

static int write_model(const char *path, uint64_t seed, enum tensor_type type, const char *arch,
    const char *tokenizer, const struct gguf *file, struct err *err)
{
	static const char *const drop[] = { "general.architecture", "general.name", "general.file_type",
		"llama.block_count", "llama.context_length", "llama.embedding_length", "llama.feed_forward_length",
		"llama.attention.head_count", "llama.attention.head_count_kv", "llama.rope.dimension_count",
		"llama.vocab_size", "llama.rope.freq_base", "llama.attention.layer_norm_rms_epsilon", NULL };
	static struct vocab v;
	const bool biased = strcmp(arch, "llama") != 0;
	struct gguf_out_tensor tensors[2 + 12 * LAYERS];
	struct gguf_writer *w;
	float *x;
	size_t n;

	v.spm = strcmp(tokenizer, "spm") == 0;
	if (file ? count_tokens(file, &v, err) != 0 : (make_vocab(&v), false))
		return -1;
	n = list_tensors(&v, type, biased, tensors, &v.text);
	if (!(w = gguf_create(path, file, file ? drop : NULL, tensors, n, err)))
		return -1;
	x = mem_zalloc(((size_t)v.ntokens + 2 * (size_t)width) * (size_t)width, sizeof *x);
	if (describe(w, &v, strcmp(arch, "biased") == 0 ? "llama" : arch, file ? NULL : tokenizer, err) != 0) {
		gguf_abort(w);
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		fill(seed, tensors[i].name, &v, x, (int)tensors[i].dims[1], (int)tensors[i].dims[0]);
		if (gguf_put_tensor(w, x, err) != 0) {
			gguf_abort(w);
			return -1;
		}
	}
	free(x);
	arena_free(&v.text);
	return gguf_commit(w, err);
}

int main(int argc, char **argv)
{
	int type = argc > 3 ? tensor_type_by_name(argv[3]) : TENSOR_F32;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	const char *arch = argc > 4 ? argv[4] : "llama";
	const char *tokenizer = argc > 5 ? argv[5] : "smollm";
	struct gguf *file = strchr(tokenizer, '/') ? gguf_open(tokenizer, NULL) : NULL;
	struct err err;

	if (argc > 6)
		width = atoi(argv[6]);
	if (argc < 2 || argc > 7 || (strchr(tokenizer, '/') && !file) || type < 0 || !tensor_writable((unsigned)type) ||
	    width < 64 || width % 64) {
		fprintf(stderr, "usage: mktiny OUT.gguf [SEED] [F32|F16|BF16|Q8_0|Q6_K|Q5_K|Q5_1|Q5_0|Q4_K|Q4_1|Q4_0] "
		    "[llama|qwen2|biased] [smollm|gpt-2|llama-bpe|qwen2|spm|./FILE] [WIDTH]\n");
		return 1;
	}
	if (write_model(argv[1], seed, (enum tensor_type)type, arch, tokenizer, file, &err) != 0) {
		fprintf(stderr, "mktiny: %s: %s\n", argv[1], err.msg);
		return 1;
	}
	gguf_close(file);
	return 0;
}
