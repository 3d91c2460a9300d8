/* Safetensors files: what is written is read again; what is wrong is refused
 * with a line. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/outfile.h"
#include "model/hf.h"
#include "model/safetensors.h"
#include "test.h"

static char folder[] = "/tmp/test_safetensors-XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

static void write_file(const char *name, const void *data, size_t len)
{
	CHECK(out_file(in_folder(name), data, len, NULL) == 0);
}

/* A header of so many bytes, and zeros behind it. */
static struct safetensors *open_made(uint64_t len, const char *header, size_t data, struct err *err)
{
	struct buf b = { 0 };

	for (int i = 0; i < 8; i++)
		buf_addc(&b, (char)(unsigned char)(len >> (8 * i)));
	buf_adds(&b, header);
	for (size_t i = 0; i < data; i++)
		buf_addc(&b, '\0');
	write_file("x", b.data, b.len);
	buf_free(&b);
	return safetensors_open(in_folder("x"), err);
}

static void hostile_files(void)
{
	static const struct {
		uint64_t len;           /* 0: the header's own */
		const char *header;
		size_t data;
		const char *message;
	} cases[] = {
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, "truncated: tensor \"a\"" },
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, "1 bytes at the end" },
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, "bytes that belong to none" },
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "no proper data_offsets" },
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "no proper data_offsets" },
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8.5]}}", 9, "no proper data_offsets" },
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, "no proper data_offsets" },
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,1e300]}}", 8, "no proper data_offsets" },
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "no proper data_offsets" },
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8,
		    "takes 8 bytes, its shape and dtype 12" },
		{ 0, "{\"a\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,8]},"
		    "\"b\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[6,10]}}", 10, "overlaps" },
		{ 0, "{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]},"
		    "\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[4,8]}}", 8, "\"a\" is there twice" },
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,0]}}", 0,
		    "impossible shape" },
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}}", 0, "impossible shape" },
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
		    "more than 8 dimensions" },
		{ 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":7,\"data_offsets\":[0,4]}}", 4, "has no shape" },
		{ 0, "{\"a\":{\"dtype\":\"Q9\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "unknown dtype \"Q9\"" },
		{ 0, "{\"a\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "has no dtype" },
		{ 0, "{\"a\":[]}", 0, "not described by an object" },
		{ 0, "{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "has no name" },
		{ 0, "{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "U+0000" },
		{ 0, "[1]", 0, "no JSON object" },
		{ 0, "{\"a\":", 0, "not JSON" },
		{ 0, "{} x", 0, "not JSON" },
		{ 3, "{}", 0, "a header of 3 bytes in a file of 10" },
		{ UINT64_MAX, "{}", 0, "a header of 18446744073709551615 bytes" },
		{ UINT64_MAX - 7, "{}", 0, "truncated" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t len = cases[i].len ? cases[i].len : strlen(cases[i].header);
		struct err err = { "" };
		struct safetensors *s = open_made(len, cases[i].header, cases[i].data, &err);

		CHECK(!s);
		if (!strstr(err.msg, cases[i].message)) {
			printf("# case %zu: \"%s\", wanted \"%s\"\n", i, err.msg, cases[i].message);
			CHECK(!"the message");
		}
		safetensors_close(s);
	}
}

static void short_files(void)
{
	struct err err;

	for (size_t n = 1; n < 8; n++) {
		write_file("x", "\2\0\0\0\0\0\0\0", n);
		CHECK(!safetensors_open(in_folder("x"), &err));
		CHECK(strstr(err.msg, "shorter than 8 bytes"));
	}
	CHECK(!safetensors_open(in_folder(""), &err) && strstr(err.msg, "no regular file"));
	CHECK(!safetensors_open(in_folder("nowhere"), &err) && strstr(err.msg, "No such file"));
}

/* By hand; the header's length makes the data unaligned. */
static void reads_what_is_there(void)
{
	static const char header[] = "{\"b\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[4,8]},"
	    "\"__metadata__\":{\"format\":\"pt\"},\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]},"
	    "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
	    "\"z\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[4,4]}}";
	static const unsigned char data[16] = { 0, 0, 0x20, 0xc0, 0xc0, 0x3f, 0, 0xbf };
	struct buf b = { 0 };
	struct safetensors *s;
	float x[2];

	for (int i = 0; i < 8; i++)
		buf_addc(&b, (char)(unsigned char)((uint64_t)(sizeof header - 1) >> (8 * i)));
	buf_add(&b, header, sizeof header - 1);
	buf_add(&b, data, sizeof data);
	write_file("x", b.data, b.len);
	buf_free(&b);
	s = safetensors_open(in_folder("x"), NULL);
	CHECK(s && s->n == 4);
	if (!s)
		return;
	CHECK(safetensors_find(s, "a")->ndims == 1 && safetensors_find(s, "b")->dims[1] == 2);
	CHECK(safetensors_find(s, "n")->type == -1 && safetensors_find(s, "n")->ndims == 0);
	CHECK(safetensors_find(s, "z")->size == 0);
	CHECK(!safetensors_find(s, "__metadata__"));
	safetensor_read(safetensors_find(s, "a"), 0, 1, x);
	CHECK(x[0] == -2.5f);
	safetensor_read(safetensors_find(s, "b"), 0, 2, x);
	CHECK(x[0] == 1.5f && x[1] == -0.5f);
	safetensors_close(s);
}

static void written_and_read(void)
{
	static const int types[] = { TENSOR_F32, TENSOR_F16, TENSOR_BF16 };
	static const struct safetensors_out t[] = { { "m", 2, { 3, 500 } }, { "v", 1, { 7, 0 } } };
	float x[1507], y[1500];

	for (int i = 0; i < 1507; i++)
		x[i] = (float)(i % 256 - 128) / 64;     /* exact in all three */
	for (size_t k = 0; k < 3; k++) {
		struct safetensors_writer *w = safetensors_create(in_folder("w"), (enum tensor_type)types[k], t, 2,
		    NULL);
		struct safetensors *s;

		CHECK(w && safetensors_put(w, x, 3, NULL) == 0 && safetensors_put(w, x + 3, 1504, NULL) == 0);
		CHECK(safetensors_put(w, x, 1, NULL) != 0);
		CHECK(safetensors_commit(w, NULL) == 0);
		CHECK((s = safetensors_open(in_folder("w"), NULL)));
		if (!s)
			return;
		CHECK(safetensors_find(s, "m")->type == types[k] && safetensors_find(s, "m")->dims[0] == 3);
		safetensor_read(safetensors_find(s, "m"), 0, 1500, y);
		CHECK(memcmp(x, y, sizeof y) == 0);
		safetensor_read(safetensors_find(s, "v"), 2, 5, y);
		CHECK(memcmp(x + 1502, y, 5 * sizeof *y) == 0);
		safetensors_close(s);
	}
}

static void a_missing_element_leaves_no_file(void)
{
	static const struct safetensors_out t[] = { { "v", 1, { 7, 0 } } };
	struct safetensors_writer *w = safetensors_create(in_folder("none"), TENSOR_F32, t, 1, NULL);
	struct stat st;

	CHECK(w && safetensors_put(w, (float[6]){ 0 }, 6, NULL) == 0);
	CHECK(safetensors_commit(w, NULL) != 0);
	CHECK(stat(in_folder("none"), &st) != 0);
}

/* A head of six rows: GGUF's a0 b0 a1 b1 a2 b2 are Hugging Face's a0 a1 a2 b0 b1 b2. */
static void rows_of_a_head(void)
{
	static const int from[] = { 0, 2, 4, 1, 3, 5 };

	for (int64_t r = 0; r < 18; r++) {
		CHECK(hf_gguf_row_of(r, 6) == r / 6 * 6 + from[r % 6]);
		CHECK(hf_row_of_gguf(hf_gguf_row_of(r, 6), 6) == r);
	}
}

/* Long waves are stretched by the factor, short ones not, those between by
 * something between. */
static void rope_factors(void)
{
	const struct hf_rope rope = { 8, 1, 4, 8192 };
	float f[64];

	hf_rope_factors(&rope, 500000, 64, f);
	CHECK(f[0] == 1 && f[28] == 1 && f[36] == 8 && f[63] == 8);
	/* i = 32: a wave of 2 pi sqrt(500000) = 4442.88; smooth = (8192 / 4442.88 - 1) / 3 = 0.281283 */
	CHECK_NEAR(f[32], 1 / ((1 - 0.281283) / 8 + 0.281283), 1e-4);
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	TEST(hostile_files);
	TEST(short_files);
	TEST(reads_what_is_there);
	TEST(written_and_read);
	TEST(a_missing_element_leaves_no_file);
	TEST(rows_of_a_head);
	TEST(rope_factors);
	unlink(in_folder("x"));
	unlink(in_folder("w"));
	rmdir(folder);
	return tests_done();
}
