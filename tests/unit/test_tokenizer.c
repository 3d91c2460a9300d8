/* Text to tokens and back. */
#include "base/rng.h"
#include "model/bpe.h"
#include "model/split.h"
#include "vocab.h"

#include <time.h>

#ifdef __SANITIZE_ADDRESS__
#define SLOWER 8
#else
#define SLOWER 1
#endif

/* How texts are cut: the words between bars. */
static const struct { const char *text, *words; } cuts[] = {
	{ "Hello world", "Hello| world" },
	{ "it's we'll they'd I'm 'tis O'RE", "it|'s| we|'ll| they|'d| I|'m| '|tis| O|'|RE" },
	{ "a''s b'x", "a|''|s| b|'|x" },
	{ "x=10, y = 2.5", "x|=|10|,| y| =| 2|.|5" },
	{ "  two   three  ", " | two|  | three|  " },
	{ "a \n b\n\nc", "a| \n| b|\n|\n|c" },
	{ "\n1", "\n|1" },
	{ "\t\tx", "\t|\t|x" },
	{ "!!! ???", "!!!| ???" },
	{ " -- ", " --| " },
	{ "caf\xc3\xa9s \xc3\xa9t\xc3\xa9", "caf\xc3\xa9s| \xc3\xa9t\xc3\xa9" },
	{ "e\xcc\x81", "e|\xcc\x81" },                        /* a combining mark is no letter */
	{ "a\xc2\xa0\xc2\xa0y", "a|\xc2\xa0|\xc2\xa0|y" },  /* no-break spaces are white space */
	{ "\xe3\x80\x80x", "\xe3\x80\x80|x" },
	{ "\xd9\xa3\xd9\xa4 \xc2\xbd", "\xd9\xa3\xd9\xa4| \xc2\xbd" },          /* other numbers */
	{ "\xf0\x9f\x98\x80ok", "\xf0\x9f\x98\x80|ok" },
	{ "a\xff\xfey", "a|\xff\xfe|y" },                    /* bytes that are no characters */
	{ "\xe2\x82", "\xe2\x82" },
};

/* The same for the patterns of Llama 3 and Qwen 2; qwen2 NULL: the same. */
static const struct { const char *text, *llama3, *qwen2; } cuts_by_lines[] = {
	{ "Hello world", "Hello| world", NULL },
	{ "it's WE'LL I'M 'tis x'\xc5\xbf", "it|'s| WE|'LL| I|'M| '|tis| x|'\xc5\xbf", NULL },
	{ "12345 67", "123|45| |67", "1|2|3|4|5| |6|7" },
	{ "x=10;\n\n  y", "x|=|10|;\n\n| | y", "x|=|1|0|;\n\n| | y" },
	{ "(word) \t(\"x", "(word|)| |\t|(\"|x", NULL },
	{ "\tx \ty", "\tx| |\ty", NULL },
	{ "\nx", "\n|x", NULL },
	{ "a \n \r\n  b  ", "a| \n \r\n| | b|  ", NULL },
	{ "a   \n", "a|   \n", NULL },
	{ "  !!\r\n?", " | !!\r\n|?", NULL },
	{ "e\xcc\x81t", "e|\xcc\x81t", NULL },
	{ "a\xc2\xa0y \xe3\x80\x80", "a|\xc2\xa0y| \xe3\x80\x80", NULL },
	{ "\xf0\x9f\x98\x80ok", "\xf0\x9f\x98\x80ok", NULL },
	{ "\xff\xfe 1", "\xff\xfe| |1", NULL },
	{ "'", "'", NULL },
};

static const char *cut(size_t (*split)(const char *, size_t), const char *s)
{
	static char words[256];
	size_t len = strlen(s);

	words[0] = '\0';
	while (len > 0) {
		size_t n = split(s, len);
		if (n < 1 || n > len)
			break;
		strncat(words, s, n);
		s += n;
		len -= n;
		if (len > 0)
			strcat(words, "|");
	}
	return words;
}

static void texts_are_cut_into_words(void)
{
	for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
		CHECK_STR(cut(split_gpt2, cuts[i].text), cuts[i].words);
}

static void texts_are_cut_by_lines(void)
{
	for (size_t i = 0; i < sizeof cuts_by_lines / sizeof *cuts_by_lines; i++) {
		const char *llama3 = cuts_by_lines[i].llama3, *qwen2 = cuts_by_lines[i].qwen2;

		CHECK_STR(cut(split_llama3, cuts_by_lines[i].text), llama3);
		CHECK_STR(cut(split_qwen2, cuts_by_lines[i].text), qwen2 ? qwen2 : llama3);
	}
}

/* The definition, in quadratic time. */
static size_t merge_slowly(uint32_t rank[16][16], int32_t result[16][16], int32_t *ids, size_t n)
{
	for (;;) {
		size_t best = n;

		for (size_t i = 0; i + 1 < n; i++)
			if (rank[ids[i]][ids[i + 1]] != UINT32_MAX &&
			    (best == n || rank[ids[i]][ids[i + 1]] < rank[ids[best]][ids[best + 1]]))
				best = i;
		if (best == n)
			return n;
		ids[best] = result[ids[best]][ids[best + 1]];
		memmove(ids + best + 1, ids + best + 2, (n - best - 2) * sizeof *ids);
		n--;
	}
}

static void merges_follow_their_definition(void)
{
	struct bpe_scratch scratch = { 0 };

	for (uint64_t trial = 0; trial < 300; trial++) {
		struct rng r = rng_stream(trial, "merges", "test", 0);
		uint32_t rank[16][16];
		int32_t result[16][16], word[200];
		struct bpe *b = bpe_new(60);
		struct ids got = { 0 };
		size_t n = rng_below(&r, 0, 200);
		uint64_t draw = 1;

		memset(rank, 0xff, sizeof rank);
		memset(result, 0, sizeof result);
		for (uint32_t k = 0; k < 60; k++) {
			uint64_t x = rng_below(&r, draw++, 16), y = rng_below(&r, draw++, 16);
			if (rank[x][y] != UINT32_MAX)
				continue;
			rank[x][y] = k;
			result[x][y] = (int32_t)rng_below(&r, draw++, 16);
			bpe_add(b, (int32_t)x, (int32_t)y, k, result[x][y]);
			bpe_add(b, (int32_t)x, (int32_t)y, k + 100, 0);         /* the lower rank stands */
		}
		for (size_t i = 0; i < n; i++)
			word[i] = (int32_t)rng_below(&r, draw++, 16);
		bpe_merge(b, &scratch, word, n, &got);
		n = merge_slowly(rank, result, word, n);
		CHECK(got.n == n && (n == 0 || memcmp(got.v, word, n * sizeof *word) == 0));
		ids_free(&got);
		bpe_free(b);
	}
	bpe_scratch_free(&scratch);
}

static const struct small_vocab small = {
	.model = "gpt2", .pre = "smollm", .eos = 261,
	.extra = { "ab", "\304\240ab", "abab", "<|im_start|>", "<|im_end|>", "<|end|>", "<think>",
		"<|odd|>" },
	.type = { 1, 1, 1, 3, 3, 3, 4, 4 },
	.merges = { "a b", "\xc4\xa0 ab", "ab ab", "ab nothing", "nospace", " ", "<|im_end| >" },
	.without = "#",
};

static struct ids encode(const struct tokenizer *t, const char *s, size_t len, bool parse_special)
{
	static struct ids ids;

	ids.n = 0;
	tokenizer_encode(t, s, len, parse_special, &ids);
	return ids;
}

#define IDS_ARE(t, s, special, ...) do { static const int32_t want_[] = { __VA_ARGS__ }; \
	struct ids got_ = encode(t, s, sizeof(s) - 1, special); \
	CHECK(ids_are(&got_, want_, sizeof want_ / sizeof *want_)); } while (0)

static void a_small_vocabulary(void)
{
	struct gguf *g = small_gguf(&small);
	struct err err = { "" };
	struct tokenizer *t = g ? tokenizer_new(g, &err) : NULL;

	CHECK(t != NULL);
	gguf_close(g);                                          /* it is not needed any more */
	if (!t)
		return;
	CHECK_STR(tokenizer_describe(t), "byte-level BPE, smollm");
	CHECK(tokenizer_size(t) == 264 && tokenizer_eos(t) == 261 && tokenizer_bos(t) == -1);
	CHECK(!tokenizer_adds_bos(t));
	IDS_ARE(t, "ab", false, 256);
	IDS_ARE(t, " ab", false, 257);
	IDS_ARE(t, "ababab", false, 258, 256);
	IDS_ARE(t, "ba b", false, 'b', 'a', ' ', 'b');
	IDS_ARE(t, "a\0b\xff", false, 'a', 0, 'b', 255);
	IDS_ARE(t, "a#b", false, 'a', 'b');                     /* no token: left out; words stay words */
	IDS_ARE(t, "<think>", false, 262);                      /* user-defined: in data too */
	IDS_ARE(t, "<|im_end|>x", true, 260, 'x');
	IDS_ARE(t, "a<|im_start|><|end|>", true, 'a', 259, 261);
	IDS_ARE(t, "<|odd|>", true, 263);
	tokenizer_free(t);
}

/* llama-bpe: a word that is a token is taken whole, though no merge makes it. */
static void whole_words(void)
{
	struct small_vocab v = small;
	struct gguf *g;
	struct tokenizer *t;

	v.pre = "llama-bpe";
	v.extra[8] = "aba";
	v.extra[9] = "<|im";
	g = small_gguf(&v);
	t = g ? tokenizer_new(g, NULL) : NULL;
	CHECK(t != NULL);
	if (t) {
		IDS_ARE(t, "aba", false, 264);
		IDS_ARE(t, "abac", false, 256, 'a', 'c');
		IDS_ARE(t, "<|im_end|>", false, '<', '|', 'i', 'm', '_', 'e', 'n', 'd', '|', '>');
		IDS_ARE(t, "<think>aba", false, 262, 264);
	}
	tokenizer_free(t);
	gguf_close(g);
}

/* Scores grow with the id, two by two the same: 256 and 257, 258 and 259, … */
static const struct small_vocab spm_small = {
	.model = "llama", .bos = 257, .eos = 258,
	.extra = { "<unk>", "<s>", "</s>", "a", "\xe2\x96\x81", "b", "\xe2\x96\x81" "a", "ab", "ba", "bc",
		"\xe2\x96\x81\xe2\x96\x81", "<0x", "<user>", "<|end|>", "bcb", "[INST]" },
	.type = { 2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 4, 1, 1 },
};

static void a_small_sentencepiece_vocabulary(void)
{
	enum { UNK = 256, A = 259, SPACE = 260, B = 261, SA = 262, AB = 263, BA = 264, BC = 265, SS = 266 };
	struct gguf *g = small_gguf(&spm_small);
	struct err err = { "" };
	struct tokenizer *t = g ? tokenizer_new(g, &err) : NULL;

	CHECK(t != NULL);
	CHECK_STR(err.msg, "");
	gguf_close(g);
	if (!t)
		return;
	CHECK_STR(tokenizer_describe(t), "SentencePiece BPE");
	CHECK(tokenizer_bos(t) == 257 && tokenizer_eos(t) == 258 && tokenizer_adds_bos(t));
	IDS_ARE(t, "a", false, SA);
	IDS_ARE(t, "b", false, SPACE, B);
	IDS_ARE(t, " a", false, SS, A);                 /* two spaces and a: the better pair first */
	IDS_ARE(t, "ab", false, SA, B);                 /* the leftmost of two pairs as good */
	IDS_ARE(t, "bab", false, SPACE, BA, B);         /* ba before ab */
	IDS_ARE(t, "bba", false, SPACE, B, BA);
	IDS_ARE(t, "bcbc", false, SPACE, 270, 'c');     /* c is no token, bc and bcb are */
	IDS_ARE(t, "c\xc3\xa9\xff\n", false, SPACE, 'c', 0xc3, 0xa9, 0xff, '\n');
	IDS_ARE(t, "b\xe2\x96\x81" "a", false, SPACE, B, SA);
	IDS_ARE(t, "<0x0A>", false, SPACE, '<', '0', 'x', '0', 'A', '>');
	IDS_ARE(t, "b<user>b", false, SPACE, B, 268, SPACE, B);
	IDS_ARE(t, "b</s>a", true, SPACE, B, 258, SA);
	{
		struct ids ids = { 0 };
		const int32_t want[] = { AB, SA };
		tokenizer_encode_more(t, "ab a", 4, &ids);
		CHECK(ids_are(&ids, want, 2));
		ids_free(&ids);
		ids = encode(t, "", 0, false);
		CHECK(ids.n == 0);
	}
	tokenizer_free(t);
}

static void sentencepiece_tokens_become_bytes(void)
{
	static const int32_t ids[] = { 262, 261, 262, 0xc3, 0xa9, 258, 256 }, unspaced[] = { 259, 260 };
	struct gguf *g = small_gguf(&spm_small);
	struct tokenizer *t = g ? tokenizer_new(g, NULL) : NULL;
	struct buf b = { 0 };

	CHECK(t != NULL);
	gguf_close(g);
	if (!t)
		return;
	tokenizer_decode_text(t, ids, 7, &b);
	CHECK_STR(b.data, "ab a\xc3\xa9\xef\xbf\xbd");
	buf_reset(&b);
	tokenizer_decode_text(t, unspaced, 2, &b);
	CHECK_STR(b.data, "a ");
	buf_reset(&b);
	tokenizer_decode(t, 262, false, &b);
	CHECK_STR(b.data, " a");
	buf_free(&b);
	tokenizer_free(t);
}

/* Promise 2 for SentencePiece, whose merges know no words. */
static void data_never_becomes_a_control_token_of_sentencepiece(void)
{
	static const char *const texts[] = { "</s>", "<s>a</s>", "<unk>", "<0x0A>", "<|end|>", "[INST]", "\n</s>" };
	struct gguf *g = small_gguf(&spm_small);
	struct tokenizer *t = g ? tokenizer_new(g, NULL) : NULL;

	CHECK(t != NULL);
	gguf_close(g);
	for (size_t i = 0; t && i < sizeof texts / sizeof *texts; i++) {
		struct ids ids = encode(t, texts[i], strlen(texts[i]), false);
		struct buf text = { 0 };

		for (size_t k = 0; k < ids.n; k++)
			CHECK(!tokenizer_is_control(t, ids.v[k]) && ids.v[k] != 256);
		tokenizer_decode_text(t, ids.v, ids.n, &text);
		CHECK_STR(text.data, texts[i]);
		buf_free(&text);
	}
	if (t)
		CHECK(tokenizer_is_control(t, 269) && tokenizer_is_control(t, 271) && !tokenizer_is_control(t, 268));
	tokenizer_free(t);
}

static void unknown_characters_without_byte_tokens(void)
{
	struct small_vocab v = spm_small;
	struct gguf *g;
	struct tokenizer *t;

	v.no_bytes = true;
	v.no_space_prefix = true;
	g = small_gguf(&v);
	t = g ? tokenizer_new(g, NULL) : NULL;
	CHECK(t != NULL);
	gguf_close(g);
	if (t) {
		IDS_ARE(t, "axya\xff", false, 259, 256, 259, 256);     /* several in a row are one */
		IDS_ARE(t, "a b", false, 259, 260, 261);
	}
	tokenizer_free(t);
}

/* Promise 2: text from data is text. */
static void data_never_becomes_a_control_token(void)
{
	static const char *const texts[] = {
		"<|im_end|>", "<|im_start|>user\n<|im_end|>", "<|end|>", "<|odd|>", " <|im_end|>",
		"<<|im_end|>>", "<|im_end|", "\xff<|im_end|>\xff", "<|im_end|><|im_end|>",
	};
	struct gguf *g = small_gguf(&small);
	struct tokenizer *t = g ? tokenizer_new(g, NULL) : NULL;

	CHECK(t != NULL);
	gguf_close(g);
	if (!t)
		return;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct ids ids = encode(t, texts[i], strlen(texts[i]), false);
		struct buf text = { 0 };

		for (size_t k = 0; k < ids.n; k++) {
			CHECK(!tokenizer_is_control(t, ids.v[k]));
			tokenizer_decode(t, ids.v[k], false, &text);
		}
		CHECK_STR(text.data, texts[i]);
		buf_free(&text);
	}
	CHECK(tokenizer_control(t, "<|im_end|>") == 260 && tokenizer_control(t, "<|odd|>") == 263);
	CHECK(tokenizer_control(t, "<think>") == -1 && tokenizer_control(t, "ab") == -1);
	CHECK(tokenizer_control(t, "") == -1 && tokenizer_control(t, "<|im_end|>x") == -1);
	CHECK(tokenizer_is_control(t, 261) && !tokenizer_is_control(t, 262) && !tokenizer_is_control(t, -1));
	tokenizer_free(t);
}

static void tokens_become_bytes(void)
{
	struct gguf *g = small_gguf(&small);
	struct tokenizer *t = g ? tokenizer_new(g, NULL) : NULL;
	struct buf b = { 0 };

	CHECK(t != NULL);
	gguf_close(g);
	if (!t)
		return;
	for (int32_t id = 0; id < 256; id++) {
		buf_reset(&b);
		tokenizer_decode(t, id, false, &b);
		if (id != '#')
			CHECK(b.len == 1 && (unsigned char)b.data[0] == id);
	}
	buf_reset(&b);
	tokenizer_decode(t, 257, false, &b);
	tokenizer_decode(t, 260, false, &b);
	tokenizer_decode(t, 262, false, &b);
	tokenizer_decode(t, 260, true, &b);
	CHECK_STR(b.data, " ab<think><|im_end|>");
	buf_reset(&b);
	tokenizer_decode(t, -1, true, &b);
	tokenizer_decode(t, 264, true, &b);
	CHECK_STR(b.data, "\xef\xbf\xbd\xef\xbf\xbd");
	buf_free(&b);
	tokenizer_free(t);
}

static void refused(struct small_vocab v, const char *message)
{
	struct gguf *g = small_gguf(&v);
	struct err err = { "" };
	struct tokenizer *t = g ? tokenizer_new(g, &err) : NULL;

	CHECK(g != NULL && t == NULL);
	if (!strstr(err.msg, message))
		printf("# wanted \"%s\", got \"%s\"\n", message, err.msg);
	CHECK(strstr(err.msg, message) != NULL);
	tokenizer_free(t);
	gguf_close(g);
}

static void other_tokenizers_are_named(void)
{
	struct small_vocab v = small;

	v.pre = "tekken";
	refused(v, "the pre-tokenizer \"tekken\" is not supported");
	v.pre = NULL;
	refused(v, "the pre-tokenizer \"default\" is not supported");
	v.model = "t5";
	refused(v, "the tokenizer \"t5\" is not supported");
	v.model = NULL;
	refused(v, "no tokenizer");
	v = small;
	v.eos = 264;
	refused(v, "none of its 264 tokens");
}

/* n log n: in quadratic time this would take hours. */
static void a_word_of_a_megabyte(void)
{
	struct gguf *g = small_gguf(&small);
	struct tokenizer *t = g ? tokenizer_new(g, NULL) : NULL;
	size_t len = 1 << 20;
	char *s = malloc(len);
	struct ids ids;

	CHECK(t && s);
	gguf_close(g);
	if (!t || !s) {
		free(s);
		return;
	}
	for (size_t i = 0; i < len; i++)
		s[i] = "ab"[i % 2];
	ids = encode(t, s, len, false);
	CHECK(ids.n == len / 4 && ids.v[0] == 258 && ids.v[ids.n - 1] == 258);
	memset(s, ' ', len);
	ids = encode(t, s, len, false);
	CHECK(ids.n == len);
	free(s);
	tokenizer_free(t);
}

/* Rows {"text","ids","ids_parse_special"}; without the last, both are equal. */
static int check_rows(const struct tokenizer *t, FILE *f)
{
	char *line = NULL;
	size_t cap = 0;
	int rows = 0;

	while (getline(&line, &cap, f) > 0) {
		cJSON *row = cJSON_Parse(line);
		const cJSON *text = cJSON_GetObjectItemCaseSensitive(row, "text");
		const cJSON *plain = cJSON_GetObjectItemCaseSensitive(row, "ids");
		const cJSON *special = cJSON_GetObjectItemCaseSensitive(row, "ids_parse_special");
		struct ids ids;
		struct buf back = { 0 };

		CHECK(cJSON_IsString(text));
		if (!cJSON_IsString(text))
			break;
		ids = encode(t, text->valuestring, strlen(text->valuestring), false);
		CHECK(same_ids(&ids, plain));
		buf_adds(&back, "");
		for (size_t i = 0; i < ids.n; i++)
			tokenizer_decode(t, ids.v[i], false, &back);
		CHECK_STR(back.data, text->valuestring);
		buf_free(&back);
		ids = encode(t, text->valuestring, strlen(text->valuestring), true);
		CHECK(same_ids(&ids, special ? special : plain));
		cJSON_Delete(row);
		rows++;
	}
	free(line);
	fclose(f);
	return rows;
}

static struct tokenizer *real_tokenizer(void)
{
	struct gguf *g = gguf_open(model_path(), NULL);
	struct tokenizer *t = g ? tokenizer_new(g, NULL) : NULL;

	gguf_close(g);
	return t;
}

static void same_tokens_as_the_excerpt(void)
{
	struct tokenizer *t = real_tokenizer();
	FILE *f = fopen("tests/golden/tokenizer.jsonl", "r");

	CHECK(t && f);
	CHECK(t && f && check_rows(t, f) == 19);
	tokenizer_free(t);
}

static void same_tokens_as_transformers(void)
{
	struct tokenizer *t = real_tokenizer();

	CHECK(t && check_rows(t, golden_file("model/tokenizer-smollm2.jsonl")) == 108);
	tokenizer_free(t);
}

/* .inp: texts between lines "__ggml_vocab_test__"; .out: a line of ids each. */
static void check_vocab_files(const struct tokenizer *t, FILE *in, FILE *out)
{
	static const char bar[] = "\n__ggml_vocab_test__\n";
	char *all = NULL, *line = NULL, *text, *next;
	size_t size = 0, cap = 0;
	int rows = 0;

	CHECK(getdelim(&all, &size, '\0', in) > 0);
	for (text = all; text && getline(&line, &cap, out) > 0; text = next, rows++) {
		char *at = line, *end;
		struct ids want = { 0 }, got;

		if ((next = strstr(text, bar))) {
			*next = '\0';
			next += sizeof bar - 1;
		}
		for (long id = strtol(at, &end, 10); end != at; at = end, id = strtol(at, &end, 10))
			ids_add(&want, (int32_t)id);
		got = encode(t, text, strlen(text), false);
		CHECK(ids_are(&got, want.v, want.n));
		ids_free(&want);
	}
	CHECK(rows == 46);
	free(line);
	free(all);
}

static struct tokenizer *golden_vocab(const char *name)
{
	const char *folder = getenv("MR_GOLDEN");
	char path[512];
	struct gguf *g;
	struct tokenizer *t;

	snprintf(path, sizeof path, "%s/vocab/ggml-vocab-%s.gguf", folder && *folder ? folder : "../shared/golden",
	    name);
	g = gguf_open(path, NULL);
	t = g ? tokenizer_new(g, NULL) : NULL;
	gguf_close(g);
	return t;
}

static void check_vocab(const char *name, const char *description)
{
	char path[128];
	FILE *in, *out;
	struct tokenizer *t = golden_vocab(name);

	snprintf(path, sizeof path, "vocab/ggml-vocab-%s.gguf.inp", name);
	in = golden_file(path);
	snprintf(path, sizeof path, "vocab/ggml-vocab-%s.gguf.out", name);
	out = golden_file(path);
	CHECK(in && out && t);
	if (in && out && t)
		check_vocab_files(t, in, out);
	CHECK_STR(t ? tokenizer_describe(t) : NULL, description);
	if (in)
		fclose(in);
	if (out)
		fclose(out);
	tokenizer_free(t);
}

static void same_tokens_as_gpt2(void)
{
	check_vocab("gpt-2", "byte-level BPE, gpt-2");
}

static void same_tokens_as_llama3(void)
{
	check_vocab("llama-bpe", "byte-level BPE, llama-bpe");
}

static void same_tokens_as_llama2(void)
{
	check_vocab("llama-spm", "SentencePiece BPE");
}

/* Any bytes: in less than two seconds a megabyte, and back. */
static void a_megabyte_with(const struct tokenizer *t, const char *what, const char *piece, size_t plen, bool lossless)
{
	const size_t len = (size_t)1 << 20;
	char *s = malloc(len);
	struct buf back = { 0 };
	struct rng r = rng_stream(1, what, "test", 0);
	struct ids ids;
	clock_t start;
	double seconds;

	for (size_t i = 0; i < len; i++)
		s[i] = plen ? piece[i % plen] : (char)rng_below(&r, i, 256);
	start = clock();
	ids = encode(t, s, len, false);
	seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
	printf("# %s, %s: %zu tokens, %.2f s\n", tokenizer_describe(t), what, ids.n, seconds);
	CHECK(seconds < 2 * SLOWER);
	tokenizer_decode_text(t, ids.v, ids.n, &back);
	if (lossless)
		CHECK(back.len == len && memcmp(back.data, s, len) == 0);
	buf_free(&back);
	free(s);
}

static void a_megabyte_of_anything(void)
{
	static const char *const names[] = { "gpt-2", "llama-bpe", "llama-spm" };
	static const struct { const char *what, *piece; } texts[] = {
		{ "words", "The quick brown fox's 1234 jumps, over\n  the lazy dog. " }, { "one letter", "a" },
		{ "two letters", "ab" }, { "spaces", " " }, { "newlines", "\n" }, { "mixed space", " \n\t\r" },
		{ "digits", "7" }, { "angles", "<" }, { "control tokens", "<|reserved_special_token_1" },
		{ "tokens of bytes", "<0x0A></s>" }, { "four-byte characters", "\xf0\x9f\x98\x80" },
		{ "no characters", "\xff" },
	};

	for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
		struct tokenizer *t = golden_vocab(names[k]);

		CHECK(t != NULL);
		for (size_t i = 0; t && i < sizeof texts / sizeof *texts; i++)
			a_megabyte_with(t, texts[i].what, texts[i].piece, strlen(texts[i].piece), true);
		if (t)
			a_megabyte_with(t, "random bytes", NULL, 0, true);
		tokenizer_free(t);
	}
}

static bool there(FILE *f)
{
	if (f)
		fclose(f);
	return f != NULL;
}

static void golden_vocabularies(void)
{
	TEST(same_tokens_as_gpt2);
	TEST(same_tokens_as_llama3);
	TEST(same_tokens_as_llama2);
	TEST(a_megabyte_of_anything);
}

int main(void)
{
	bool model = access(model_path(), R_OK) == 0;

	TEST(texts_are_cut_into_words);
	TEST(texts_are_cut_by_lines);
	TEST(merges_follow_their_definition);
	TEST(a_small_vocabulary);
	TEST(data_never_becomes_a_control_token);
	TEST(tokens_become_bytes);
	TEST(whole_words);
	TEST(a_small_sentencepiece_vocabulary);
	TEST(sentencepiece_tokens_become_bytes);
	TEST(data_never_becomes_a_control_token_of_sentencepiece);
	TEST(unknown_characters_without_byte_tokens);
	TEST(other_tokenizers_are_named);
	TEST(a_word_of_a_megabyte);
	if (model)
		TEST(same_tokens_as_the_excerpt);
	else
		printf("ok - same_tokens_as_the_excerpt # SKIP no model\n");
	if (model && there(golden_file("model/tokenizer-smollm2.jsonl")))
		TEST(same_tokens_as_transformers);
	else
		printf("ok - same_tokens_as_transformers # SKIP no model or no golden data\n");
	if (there(golden_file("vocab/ggml-vocab-gpt-2.gguf.inp")))
		golden_vocabularies();
	else
		printf("ok - golden_vocabularies # SKIP no golden data\n");
	return tests_done();
}
