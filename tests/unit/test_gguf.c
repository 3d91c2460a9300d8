/* GGUF files: what is written is read again; what is wrong is refused with a line. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "model/gguf.h"
#include "test.h"

static char folder[] = "/tmp/test_gguf-XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

/* A file's bytes by hand, so that the reader is not tested by the writer alone. */

static void le(struct buf *b, uint64_t v, int size)
{
	for (int i = 0; i < size; i++)
		buf_addc(b, (char)(unsigned char)(v >> (8 * i)));
}

static void str(struct buf *b, const char *s)
{
	le(b, strlen(s), 8);
	buf_adds(b, s);
}

static void head(struct buf *b, uint32_t version, uint64_t ntensors, uint64_t nkvs)
{
	buf_reset(b);
	buf_adds(b, "GGUF");
	le(b, version, 4);
	le(b, ntensors, 8);
	le(b, nkvs, 8);
}

static void tensor(struct buf *b, const char *name, int ndims, const uint64_t *dims, uint32_t type,
    uint64_t offset)
{
	str(b, name);
	le(b, (uint64_t)ndims, 4);
	for (int i = 0; i < ndims; i++)
		le(b, dims[i], 8);
	le(b, type, 4);
	le(b, offset, 8);
}

static void pad(struct buf *b, size_t to)
{
	while (b->len % to)
		buf_addc(b, 0);
}

/* Two values, two tensors: F32 (4, 2), Q8_0 (32). */
static void small(struct buf *b, uint32_t version)
{
	head(b, version, 2, 2);
	str(b, "general.architecture");
	le(b, GGUF_STRING, 4);
	str(b, "llama");
	str(b, "list");
	le(b, GGUF_ARRAY, 4);
	le(b, GGUF_STRING, 4);
	le(b, 2, 8);
	str(b, "one");
	str(b, "");
	tensor(b, "a", 2, (uint64_t[]){ 4, 2 }, TENSOR_F32, 0);
	tensor(b, "b", 1, (uint64_t[]){ 32 }, TENSOR_Q8_0, 32);
	pad(b, 32);
	for (int i = 0; i < 8; i++) {
		float x = (float)i + 0.5f;
		buf_add(b, &x, 4);
	}
	le(b, 0x3c00, 2);
	for (int i = 0; i < 32; i++)
		le(b, (uint64_t)i, 1);
}

static struct gguf *open_bytes(const void *data, size_t len, struct err *err)
{
	const char *path = in_folder("bytes.gguf");
	FILE *f = fopen(path, "wb");
	struct gguf *g;

	err->msg[0] = '\0';
	if (!f || fwrite(data, 1, len, f) != len || fclose(f) != 0)
		return NULL;
	g = gguf_open(path, err);
	unlink(path);
	return g;
}

static void a_file_by_hand(void)
{
	for (uint32_t version = 2; version <= 3; version++) {
		struct buf b = { 0 };
		struct err err;
		struct gguf_str s, *list;
		size_t n;
		float y[32];
		struct gguf *g;

		small(&b, version);
		g = open_bytes(b.data, b.len, &err);
		CHECK_STR(err.msg, "");
		buf_free(&b);
		if (!g)
			return;
		CHECK(g->version == version && g->nkvs == 2 && g->ntensors == 2);
		CHECK(gguf_get_str(g, "general.architecture", &s, NULL) == 1 && gguf_str_is(s, "llama"));
		CHECK(gguf_get_strs(g, "list", &list, &n, NULL) == 1 && n == 2);
		CHECK(gguf_str_is(list[0], "one") && list[1].len == 0);
		free(list);
		CHECK(gguf_tensor(g, "a")->ndims == 2 && gguf_tensor(g, "a")->dims[1] == 2);
		CHECK(gguf_tensor(g, "a")->dims[2] == 1 && gguf_elements(gguf_tensor(g, "a")) == 8);
		CHECK(((const float *)gguf_tensor(g, "a")->data)[7] == 7.5f);
		dequantize_row(TENSOR_Q8_0, gguf_tensor(g, "b")->data, y, 32);
		CHECK(y[31] == 31 && gguf_tensor(g, "b")->size == 34);
		CHECK(gguf_tensor(g, "c") == NULL && gguf_find(g, "lis") == NULL);
		gguf_close(g);
	}
}

static void every_cut_is_refused(void)
{
	struct buf b = { 0 };
	struct err err;

	small(&b, 3);
	for (size_t len = 0; len < b.len; len++) {
		struct gguf *g = open_bytes(b.data, len, &err);
		CHECK(g == NULL);
		CHECK(strstr(err.msg, len < 4 ? "not a GGUF file" : "truncated: ") != NULL);
		gguf_close(g);
	}
	buf_free(&b);
}

/* A changed byte gives a file or a message, never a crash. */
static void every_changed_byte_is_survived(void)
{
	static const unsigned char values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	struct buf b = { 0 };
	struct err err;
	int opened = 0, refused = 0;

	small(&b, 3);
	for (size_t i = 0; i < b.len; i++)
		for (size_t v = 0; v < sizeof values; v++) {
			char old = b.data[i];
			struct gguf *g;

			b.data[i] = (char)values[v];
			g = open_bytes(b.data, b.len, &err);
			CHECK(g || err.msg[0]);
			opened += g != NULL;
			refused += g == NULL;
			for (size_t t = 0; g && t < g->ntensors; t++)
				if (g->tensors[t].size) {
					const unsigned char *p = g->tensors[t].data;
					CHECK(p[0] + p[g->tensors[t].size - 1] >= 0);
				}
			gguf_close(g);
			b.data[i] = old;
		}
	CHECK(opened > 100 && refused > 100);
	buf_free(&b);
}

/* One tensor in a file of its own; what is wrong with it. */
static const struct {
	const char *name;
	int ndims;
	uint32_t type;
	uint64_t dims[4];
	uint64_t offset;
	const char *message;    /* NULL: it is fine */
} tensors[] = {
	{ "t", 1, TENSOR_F32, { 8 }, 0, NULL },
	{ "t", 4, TENSOR_F32, { 2, 2, 2, 1 }, 0, NULL },
	{ "t", 0, TENSOR_F32, { 0 }, 0, "has 0 dimensions" },
	{ "t", 5, TENSOR_F32, { 1 }, 0, "has 5 dimensions" },
	{ "t", 1, TENSOR_F32, { 0 }, 0, "impossible shape" },
	{ "t", 2, TENSOR_F32, { 1ull << 63, 1 }, 0, "impossible shape" },
	{ "t", 2, TENSOR_F32, { 1ull << 32, 1ull << 32 }, 0, "impossible shape" },
	{ "t", 2, TENSOR_F32, { 1ull << 31, 1ull << 31 }, 0, "impossible shape" },
	{ "t", 1, TENSOR_F32, { 1ull << 50 }, 0, "truncated: tensor \"t\" ends" },
	{ "t", 1, TENSOR_F32, { 16 }, 0, "truncated: tensor \"t\" ends" },
	{ "t", 1, TENSOR_F32, { 8 }, 32, "truncated: tensor \"t\" ends" },
	{ "t", 1, TENSOR_F32, { 8 }, 8, "no multiple of the alignment" },
	{ "t", 1, TENSOR_F32, { 8 }, ~31ull, "impossible offset" },
	{ "t", 1, TENSOR_Q8_0, { 8 }, 0, "no whole Q8_0 blocks" },
	{ "t", 2, TENSOR_Q4_0, { 16, 2 }, 0, "no whole Q4_0 blocks" },
	{ "t", 1, 4, { 8 }, 0, NULL },                          /* unknown types: opened, unreadable */
	{ "t", 1, 0xffffffff, { 8 }, 0, NULL },
	{ "", 1, TENSOR_F32, { 8 }, 0, "no proper name" },
	{ "\x1b[31m", 1, TENSOR_F32, { 0 }, 0, "tensor \"?[31m\" has" },
};

static void tensors_are_checked(void)
{
	for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
		struct buf b = { 0 };
		struct err err;
		struct gguf *g;

		head(&b, 3, 1, 0);
		tensor(&b, tensors[i].name, tensors[i].ndims > 4 ? 4 : tensors[i].ndims, tensors[i].dims,
		    tensors[i].type, tensors[i].offset);
		if (tensors[i].ndims > 4)
			b.data[24 + 8 + strlen(tensors[i].name)] = (char)tensors[i].ndims;
		pad(&b, 32);
		for (int k = 0; k < 32; k++)
			buf_addc(&b, 0);
		g = open_bytes(b.data, b.len, &err);
		if (tensors[i].message) {
			CHECK(g == NULL);
			if (!strstr(err.msg, tensors[i].message)) {
				printf("# row %zu: \"%s\"\n", i, err.msg);
				CHECK(!"the message");
			}
		} else {
			CHECK(g != NULL);
			CHECK(g && tensor_readable(g->tensors[0].type) == (g->tensors[0].data != NULL));
		}
		gguf_close(g);
		buf_free(&b);
	}
}

static void refused(struct buf *b, const char *message)
{
	struct err err;
	struct gguf *g = open_bytes(b->data, b->len, &err);

	CHECK(g == NULL);
	if (!strstr(err.msg, message))
		printf("# wanted \"%s\", got \"%s\"\n", message, err.msg);
	CHECK(strstr(err.msg, message) != NULL);
	gguf_close(g);
}

static void heads_are_checked(void)
{
	struct buf b = { 0 };

	buf_adds(&b, "This is a text and no model, but it is long enough for a header.\n");
	refused(&b, "not a GGUF file");
	head(&b, 1, 0, 0);
	refused(&b, "version 1");
	head(&b, 4, 0, 0);
	refused(&b, "version 4");
	head(&b, 0x03000000, 0, 0);
	refused(&b, "big-endian");
	head(&b, 3, 1, 0);
	refused(&b, "truncated: 1 tensors");
	head(&b, 3, 0, 1ull << 60);
	refused(&b, "truncated: 1152921504606846976 metadata values");
	head(&b, 3, ~0ull, 0);
	refused(&b, "truncated: ");
	buf_free(&b);
}

static void kv(struct buf *b, const char *key, uint32_t kind)
{
	str(b, key);
	le(b, kind, 4);
}

static void metadata_is_checked(void)
{
	struct buf b = { 0 };

	head(&b, 3, 0, 2);
	kv(&b, "twice", GGUF_U8);
	le(&b, 1, 1);
	kv(&b, "twice", GGUF_U8);
	le(&b, 2, 1);
	refused(&b, "\"twice\" is there twice");

	head(&b, 3, 0, 1);
	kv(&b, "k", 13);
	le(&b, 0, 8);
	refused(&b, "\"k\" is of unknown type 13");

	head(&b, 3, 0, 1);
	kv(&b, "k", GGUF_STRING);
	le(&b, ~0ull, 8);
	refused(&b, "truncated: the file ends within metadata value 1");

	head(&b, 3, 0, 1);
	kv(&b, "k", GGUF_ARRAY);
	le(&b, GGUF_ARRAY, 4);
	le(&b, 1, 8);
	le(&b, 0, 8);
	refused(&b, "array of arrays");

	head(&b, 3, 0, 1);
	kv(&b, "k", GGUF_ARRAY);
	le(&b, GGUF_U64, 4);
	le(&b, (1ull << 61) + 1, 8);            /* times 8 this is 8 */
	le(&b, 0, 8);
	refused(&b, "truncated: ");

	head(&b, 3, 0, 1);
	kv(&b, "k", GGUF_ARRAY);
	le(&b, GGUF_STRING, 4);
	le(&b, 1ull << 60, 8);
	le(&b, 0, 8);
	refused(&b, "truncated: ");

	for (int i = 0; i < 4; i++) {
		static const uint64_t bad[] = { 0, 4, 48, 1ull << 31 };

		head(&b, 3, 0, 1);
		kv(&b, "general.alignment", GGUF_U32);
		le(&b, bad[i], 4);
		refused(&b, "alignment");
	}
	buf_free(&b);
}

static void tensors_of_one_name(void)
{
	struct buf b = { 0 };

	head(&b, 3, 2, 0);
	tensor(&b, "same", 1, (uint64_t[]){ 8 }, TENSOR_F32, 0);
	tensor(&b, "same", 1, (uint64_t[]){ 8 }, TENSOR_F32, 0);
	pad(&b, 32);
	le(&b, 0, 8);
	le(&b, 0, 8);
	le(&b, 0, 8);
	le(&b, 0, 8);
	refused(&b, "\"same\" is there twice");
	buf_free(&b);
}

static void things_that_are_no_files(void)
{
	struct err err;
	const char *pipe;

	CHECK(gguf_open(folder, &err) == NULL);
	CHECK(strstr(err.msg, "is a directory") != NULL);
	CHECK(gguf_open(in_folder("nothing"), &err) == NULL);
	CHECK(strstr(err.msg, "No such file") != NULL);
	CHECK(gguf_open("/dev/null", &err) == NULL);
	CHECK(strstr(err.msg, "no regular file") != NULL);
	pipe = in_folder("pipe");
	CHECK(mkfifo(pipe, 0600) == 0);
	CHECK(gguf_open(pipe, &err) == NULL);           /* and it does not wait for a writer */
	CHECK(strstr(err.msg, "no regular file") != NULL);
	unlink(pipe);
	CHECK(open_bytes("", 0, &err) == NULL);
	CHECK(strstr(err.msg, "is empty") != NULL);
}

static const struct gguf_out_tensor out_tensors[] = {
	{ "first", 2, { 32, 3, 1, 1 }, TENSOR_Q8_0 },
	{ "second", 1, { 5, 1, 1, 1 }, TENSOR_F32 },
	{ "third", 2, { 64, 2, 1, 1 }, TENSOR_BF16 },
};

static struct gguf_writer *write_metadata(const char *path, struct err *err)
{
	struct gguf_writer *w = gguf_create(path, NULL, NULL, out_tensors, 3, err);

	if (!w)
		return NULL;
	CHECK(gguf_put_str(w, "s", "text \xc3\xa4", err) == 0);
	CHECK(gguf_put_u32(w, "u", 4000000000u, err) == 0);
	CHECK(gguf_put_f32(w, "f", 0.25f, err) == 0);
	CHECK(gguf_put_bool(w, "b", true, err) == 0);
	CHECK(gguf_put_strs(w, "ss", (const char *[]){ "x", "", "yz" }, 3, err) == 0);
	CHECK(gguf_put_i32s(w, "is", (const int32_t[]){ -1, 7 }, 2, err) == 0);
	CHECK(gguf_put_f32s(w, "fs", (const float[]){ 1.5f }, 1, err) == 0);
	return w;
}

static int write_tensors(struct gguf_writer *w, struct err *err)
{
	float x[128];

	for (int i = 0; i < 128; i++)
		x[i] = (float)(i % 32 - 16) / 8;
	for (int i = 0; i < 3; i++)
		if (gguf_put_tensor(w, x, err) != 0)
			return -1;
	return 0;
}

static void check_metadata(const struct gguf *g)
{
	struct gguf_str s, *ss;
	uint64_t u;
	double f;
	bool b;
	int32_t *is;
	size_t n;
	struct err err;

	CHECK(gguf_get_str(g, "s", &s, NULL) == 1 && gguf_str_is(s, "text \xc3\xa4"));
	CHECK(gguf_get_u64(g, "u", &u, NULL) == 1 && u == 4000000000u);
	CHECK(gguf_get_f64(g, "f", &f, NULL) == 1 && f == 0.25);
	CHECK(gguf_get_f64(g, "u", &f, NULL) == 1 && f == 4e9);
	CHECK(gguf_get_bool(g, "b", &b, NULL) == 1 && b);
	CHECK(gguf_get_strs(g, "ss", &ss, &n, NULL) == 1 && n == 3 && gguf_str_is(ss[2], "yz"));
	free(ss);
	CHECK(gguf_get_i32s(g, "is", &is, &n, NULL) == 1 && n == 2 && is[0] == -1 && is[1] == 7);
	free(is);
	CHECK(gguf_get_u64(g, "s", &u, &err) == -1);
	CHECK_STR(err.msg, "\"s\" is string, not an integer");
	CHECK(gguf_get_u64(g, "f", &u, &err) == -1);
	CHECK(gguf_get_str(g, "ss", &s, &err) == -1);
	CHECK_STR(err.msg, "\"ss\" is an array of string, not a string");
	CHECK(gguf_get_i32s(g, "fs", &is, &n, &err) == -1);
	CHECK(gguf_get_bool(g, "u", &b, &err) == -1);
	CHECK(gguf_get_u64(g, "none", &u, &err) == 0 && gguf_get_strs(g, "none", &ss, &n, &err) == 0);
}

static void check_tensors(const struct gguf *g)
{
	float y[128];

	CHECK(g->ntensors == 3);
	for (size_t i = 0; i < g->ntensors; i++) {
		const struct gguf_tensor *t = &g->tensors[i];

		CHECK_STR(t->name, out_tensors[i].name);
		CHECK(t->ndims == out_tensors[i].ndims);
		CHECK(memcmp(t->dims, out_tensors[i].dims, sizeof t->dims) == 0);
		CHECK(t->type == out_tensors[i].type);
		CHECK(((const unsigned char *)t->data - g->file.data) % 32 == 0);
		dequantize_row(t->type, t->data, y, (size_t)gguf_elements(t));
		for (int64_t k = 0; k < gguf_elements(t); k++)
			CHECK_NEAR(y[k], (double)(k % 32 - 16) / 8, 0.008);
	}
}

static void what_is_written_is_read(void)
{
	char path[256];
	struct err err = { "" };
	struct gguf_writer *w;
	struct gguf *g;

	snprintf(path, sizeof path, "%s", in_folder("written.gguf"));
	w = write_metadata(path, &err);
	CHECK(w != NULL);
	if (!w)
		return;
	CHECK(gguf_put_u32(w, "u", 1, &err) == -1);
	CHECK(strstr(err.msg, "twice") != NULL);
	CHECK(write_tensors(w, &err) == 0);
	CHECK(gguf_put_tensor(w, NULL, &err) == -1);            /* one more than announced */
	CHECK(gguf_put_u32(w, "late", 1, &err) == -1);
	CHECK(access(path, F_OK) != 0);                         /* not there before it is whole */
	CHECK(gguf_commit(w, &err) == 0);
	g = gguf_open(path, &err);
	CHECK(g != NULL);
	if (g) {
		check_metadata(g);
		check_tensors(g);
	}
	gguf_close(g);
	unlink(path);
}

static void a_copy_keeps_the_metadata(void)
{
	static const char *const drop[] = { "u", "fs", NULL };
	char from[256], to[256];
	struct err err = { "" };
	struct gguf_writer *w;
	struct gguf *base, *g;
	uint64_t u;

	snprintf(from, sizeof from, "%s", in_folder("from.gguf"));
	snprintf(to, sizeof to, "%s", in_folder("to.gguf"));
	w = write_metadata(from, &err);
	CHECK(w && write_tensors(w, &err) == 0 && gguf_commit(w, &err) == 0);
	base = gguf_open(from, &err);
	CHECK(base != NULL);
	if (!base)
		return;
	w = gguf_create(to, base, drop, out_tensors + 1, 1, &err);
	CHECK(w && gguf_put_u32(w, "u", 5, &err) == 0);
	CHECK(w && gguf_put_u32(w, "b", 5, &err) == -1);        /* copied: it is there already */
	CHECK(w && gguf_put_tensor(w, (const float[5]){ 0 }, &err) == 0 && gguf_commit(w, &err) == 0);
	g = gguf_open(to, &err);
	CHECK(g && g->nkvs == 6 && g->ntensors == 1);
	CHECK(g && gguf_get_u64(g, "u", &u, NULL) == 1 && u == 5 && !gguf_find(g, "fs"));
	for (size_t i = 0; g && i < base->nkvs; i++) {
		const struct gguf_kv *old = &base->kvs[i], *new;
		char key[16];

		snprintf(key, sizeof key, "%.*s", (int)old->key.len, old->key.s);
		new = gguf_find(g, key);
		if (strcmp(key, "u") != 0 && strcmp(key, "fs") != 0)
			CHECK(new && new->size == old->size && memcmp(new->data, old->data, old->size) == 0 &&
			    new->kind == old->kind && new->elem == old->elem && new->n == old->n);
	}
	gguf_close(g);
	gguf_close(base);
	unlink(from);
	unlink(to);
}

static void nothing_half_written_stays(void)
{
	static const struct gguf_out_tensor bad[] = {
		{ "t", 1, { 33, 1, 1, 1 }, TENSOR_Q8_0 }, { "t", 1, { 96, 1, 1, 1 }, TENSOR_Q6_K },
		{ "t", 1, { 0, 1, 1, 1 }, TENSOR_F32 }, { "", 1, { 1, 1, 1, 1 }, TENSOR_F32 },
	};
	char path[256];
	struct err err;
	struct gguf_writer *w;

	snprintf(path, sizeof path, "%s", in_folder("half.gguf"));
	w = write_metadata(path, &err);
	CHECK(w != NULL);
	if (!w)
		return;
	CHECK(gguf_put_tensor(w, (const float[96]){ 0 }, &err) == 0);
	CHECK(gguf_commit(w, &err) == -1);
	CHECK_STR(err.msg, "2 of 3 tensors were not written");
	w = write_metadata(path, &err);
	CHECK(w && write_tensors(w, &err) == 0);
	gguf_abort(w);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(gguf_create(path, NULL, NULL, &bad[i], 1, &err) == NULL);
	CHECK(gguf_create(folder, NULL, NULL, NULL, 0, &err) == NULL);
	CHECK(rmdir(folder) == 0);                              /* nothing was left in it */
	CHECK(mkdir(folder, 0700) == 0);
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	TEST(a_file_by_hand);
	TEST(every_cut_is_refused);
	TEST(every_changed_byte_is_survived);
	TEST(heads_are_checked);
	TEST(metadata_is_checked);
	TEST(tensors_are_checked);
	TEST(tensors_of_one_name);
	TEST(things_that_are_no_files);
	TEST(what_is_written_is_read);
	TEST(a_copy_keeps_the_metadata);
	TEST(nothing_half_written_stays);
	rmdir(folder);
	return tests_done();
}
