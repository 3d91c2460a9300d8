/* lib/base without files and options: errors, memory, bytes, UTF-8, hashes,
 * random numbers, threads. */
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "base/sha256_compress.h"
#include "base/utf8.h"
#include "test.h"

static void errors(void)
{
	struct err e;
	CHECK(err_set(&e, "%d of %s", 3, "four") == -1);
	CHECK_STR(e.msg, "3 of four");
	CHECK(err_set(NULL, "nobody listens") == -1);
	errno = ENOENT;
	CHECK(err_sys(&e, "cannot open \"%s\"", "x") == -1);
	CHECK_STR(e.msg, "cannot open \"x\": No such file or directory");
	CHECK(errno == ENOENT);
	err_set(&e, "inner");
	err_set(&e, "outer: %s", e.msg);
	CHECK_STR(e.msg, "outer: inner");
}

/* 511 bytes fit; a character of three that would be cut is left out. */
static void long_error_is_cut_on_a_character(void)
{
	struct err e;
	char text[1024];
	for (size_t lead = 505; lead <= 513; lead++) {
		memset(text, 'a', lead);
		strcpy(text + lead, "€€€€");
		err_set(&e, "%s", text);
		size_t len = strlen(e.msg), whole = lead > 511 ? 511 : lead + (511 - lead) / 3 * 3;
		CHECK(len == whole);
		CHECK(utf8_check(e.msg, len) == len);
	}
}

static _Noreturn void on_exhaustion(size_t n)
{
	_Exit(n == SIZE_MAX ? 0 : 2);
}

static void memory(void)
{
	unsigned char *p = mem_zalloc(10, 3);
	for (int i = 0; i < 30; i++)
		CHECK(p[i] == 0);
	p = mem_grow(p, 100, 3);
	CHECK(p[0] == 0 && p[29] == 0);
	free(p);
	char *s = mem_strndup("abcdef", 3);
	CHECK_STR(s, "abc");
	free(s);
	CHECK(mem_try(SIZE_MAX / 2, 3) == NULL);
	CHECK(mem_try(SIZE_MAX, 1) == NULL);
	for (size_t n = 0; n < 300; n += 37) {
		void *aligned = mem_try(n, 1);
		CHECK(aligned && (uintptr_t)aligned % 64 == 0);
		free(aligned);
	}
}

static void arenas(void)
{
	struct arena a = { 0 };
	char *first = arena_strndup(&a, "first", 5);
	for (size_t size = 0; size < 200000; size = size * 2 + 1) {
		char *p = arena_alloc(&a, size);
		CHECK((uintptr_t)p % 16 == 0);
		for (size_t i = 0; i < size; i++)
			CHECK(p[i] == 0);
		memset(p, 0xff, size);
	}
	char *text = arena_printf(&a, "%s %d %s", "x", 17, "é");
	CHECK_STR(text, "x 17 é");
	CHECK_STR(first, "first");
	arena_reset(&a);
	/* What is taken again from a kept block is zeroed again. */
	char *again = arena_alloc(&a, 40000);
	for (int i = 0; i < 40000; i++)
		CHECK(again[i] == 0);
	arena_free(&a);
	CHECK(a.blocks == NULL);
	arena_reset(&a);
	arena_free(&a);
}

static void bytes(void)
{
	struct buf b = { 0 };
	buf_add(&b, NULL, 0);
	CHECK_STR(b.data, "");
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	CHECK(b.len == 10 * 2 + 90 * 3 + 900 * 4 && b.data[b.len] == '\0');
	CHECK(strncmp(b.data, "0,1,2,", 6) == 0 && strcmp(b.data + b.len - 8, "998,999,") == 0);
	buf_reset(&b);
	CHECK_STR(b.data, "");
	buf_add(&b, "a\0b", 3);
	buf_adds(&b, "cd");
	buf_addc(&b, 'e');
	CHECK(b.len == 6 && memcmp(b.data, "a\0bcde", 7) == 0);
	char *taken = buf_take(&b);
	CHECK(memcmp(taken, "a\0bcde", 7) == 0 && b.data == NULL && b.len == 0);
	free(taken);
	taken = buf_take(&b);
	CHECK_STR(taken, "");
	free(taken);
	char big[5001];
	memset(big, 'x', 5000);
	big[5000] = '\0';
	buf_printf(&b, "<%s>", big);
	CHECK(b.len == 5002 && b.data[0] == '<' && b.data[5001] == '>' && b.data[5002] == '\0');
	buf_free(&b);
}

static void json_strings(void)
{
	static const struct { const char *in; size_t len; const char *out; } cases[] = {
		{ "", 0, "\"\"" },
		{ "a\"b\\c/", 6, "\"a\\\"b\\\\c/\"" },
		{ "\b\f\n\r\t\x01\x1f\x7f", 8, "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"" },
		{ "a\0b", 3, "\"a\\u0000b\"" },
		{ "é€😀", 9, "\"é€😀\"" },
		{ "\xff" "a\xe2\x82", 4, "\"\xef\xbf\xbd" "a\xef\xbf\xbd\xef\xbf\xbd\"" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf b = { 0 };
		buf_json_string(&b, cases[i].in, cases[i].len);
		CHECK_STR(b.data, cases[i].out);
		buf_free(&b);
	}
}

static void json_numbers(void)
{
	static const struct { double x; const char *out; } cases[] = {
		{ 0, "0" }, { -0.0, "-0" }, { 1, "1" }, { 0.1, "0.1" }, { 0.1 + 0.2, "0.30000000000000004" },
		{ 1.0 / 3, "0.3333333333333333" }, { 2e9, "2000000000" }, { 1e300, "1e+300" },
		{ 5e-324, "5e-324" }, { 0x1p-1022, "2.2250738585072014e-308" },
		{ 9007199254740993.0, "9007199254740992" },
		{ HUGE_VAL, "null" }, { -HUGE_VAL, "null" }, { NAN, "null" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf b = { 0 };
		buf_json_number(&b, cases[i].x);
		CHECK_STR(b.data, cases[i].out);
		buf_free(&b);
	}
}

/* Every code point there and back; every byte string of two bytes, and of
 * three or four from the edges of the table of RFC 3629. */
static void utf8_every_code_point(void)
{
	for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
		if (cp >= 0xd800 && cp <= 0xdfff)
			continue;
		char s[5];
		size_t len = utf8_encode(cp, s), n;
		if (utf8_decode(s, len, &n) != cp || n != len || utf8_check(s, len) != len ||
		    utf8_length(s, len) != 1 || (len > 1 && utf8_check(s, len - 1) != 0)) {
			CHECK(!"a code point that does not come back");
			return;
		}
	}
}

static void utf8_bad_bytes(void)
{
	static const char *const bad[] = {
		"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x80\x80", "\xe0\x9f\xbf",
		"\xe1\x80",
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xef\xbf\xc0", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf",
		"\xf1\x80\x80",
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfe", "\xff",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		size_t n = 7;
		char s[16] = "ok";
		strcat(s, bad[i]);
		CHECK(utf8_decode(bad[i], strlen(bad[i]), &n) == UTF8_BAD && n == 1);
		CHECK(utf8_check(s, strlen(s)) == 2);
	}
	CHECK(utf8_length("a\xff\xe2\x82\xac\xe2\x82", 7) == 5);
	CHECK(utf8_check("a\0b", 3) == 3);
}

static void check_hash(const char *data, size_t len, const char *want)
{
	struct sha256 s;
	char hex[65];
	/* In one piece, and in pieces of every small size. */
	for (size_t piece = 0; piece < 130; piece = piece ? piece * 3 : 1) {
		sha256_init(&s);
		if (piece == 0)
			sha256_add(&s, data, len);
		for (size_t at = 0; piece && at < len; at += piece)
			sha256_add(&s, data + at, len - at < piece ? len - at : piece);
		sha256_end_hex(&s, hex);
		CHECK_STR(hex, want);
	}
}

/* FIPS 180-4's examples, and lengths around the padding's edges (values of
 * coreutils' sha256sum). */
static void sha256_known_answers(void)
{
	static char a[1000000];
	memset(a, 'a', sizeof(a));
	check_hash("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	check_hash("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	check_hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
	    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	check_hash(a, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	check_hash(a, 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
	check_hash(a, 63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34");
	check_hash(a, 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
	check_hash(a, 119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb");
	check_hash(a, 120, "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c");
}

static void sha256_both_ways_agree(void)
{
	if (!sha256_x86_usable()) {
		printf("# no SHA instructions here\n");
		return;
	}
	unsigned char data[64 * 5];
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * i * 31 + 7);
	for (size_t blocks = 0; blocks <= 5; blocks++) {
		uint32_t plain[8] = { 1, 2, 3, 4, 5, 6, 7, 0x80000000 }, fast[8];
		memcpy(fast, plain, sizeof(fast));
		sha256_portable_compress(plain, data, blocks);
		sha256_x86_compress(fast, data, blocks);
		CHECK(memcmp(plain, fast, sizeof(fast)) == 0);
	}
}

/* The vectors published with Random123. */
static void philox_known_answers(void)
{
	static const struct { uint32_t key[2], ctr[4], out[4]; } cases[] = {
		{ { 0, 0 }, { 0, 0, 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
		{ { 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
		  { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
		{ { 0xa4093822, 0x299f31d0 }, { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
		  { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint32_t out[4];
		philox4x32(cases[i].key, cases[i].ctr, out);
		CHECK(memcmp(out, cases[i].out, sizeof(out)) == 0);
	}
}

/* Worked out apart from this code, from the definition in rng.h. */
static void rng_streams(void)
{
	struct rng r = rng_stream(42, "p1", "sample", 3);
	CHECK(r.key[0] == 0x368c790a && r.key[1] == 0x5226bf01);
	CHECK(r.ctr[0] == 0x22543475 && r.ctr[1] == 0x9d2cfef5);
	CHECK(rng_u64(&r, 0) == 0x85a044c6634a1759);
	CHECK(rng_u64(&r, 1) == 0x300195fbe3653f94);
	CHECK(rng_u64(&r, (uint64_t)1 << 32) == 0x50391a3b4e882b9);
	CHECK(rng_u64(&r, ((uint64_t)1 << 40) + 5) == 0xb0dd0bc7ac2fffa7);
	CHECK(rng_uniform(&r, 0) == 0.5219767555566153);
	CHECK(rng_below(&r, 0, 10) == 5 && rng_below(&r, 1, 10) == 1 && rng_below(&r, 1, 1) == 0);
	struct rng far = rng_stream(UINT64_MAX, "größe", "", (uint64_t)1 << 63);
	CHECK(far.key[0] == 0x66e6dd3c && far.ctr[1] == 0x6ca858bb);
	/* The NULs between the names keep them apart. */
	struct rng ab = rng_stream(1, "ab", "c", 0), a = rng_stream(1, "a", "bc", 0);
	CHECK(ab.key[0] != a.key[0] || ab.key[1] != a.key[1]);
}

static void rng_is_even(void)
{
	struct rng r = rng_stream(7, "x", "test", 0);
	int counts[10] = { 0 };
	double sum = 0;
	for (uint64_t i = 0; i < 100000; i++) {
		double u = rng_uniform(&r, i);
		CHECK(u >= 0 && u < 1);
		sum += u;
		counts[rng_below(&r, i, 10)]++;
	}
	CHECK_NEAR(sum / 100000, 0.5, 0.005);
	for (int i = 0; i < 10; i++)
		CHECK_NEAR(counts[i], 10000, 500);
}

static void rng_shuffles(void)
{
	struct rng r = rng_stream(42, "p1", "sample", 3);
	static const uint32_t want[8] = { 6, 4, 5, 3, 0, 2, 7, 1 };
	uint32_t perm[1000];
	rng_shuffle(&r, perm, 8);
	CHECK(memcmp(perm, want, sizeof(want)) == 0);
	rng_shuffle(&r, perm, 1000);
	unsigned char seen[1000] = { 0 };
	for (int i = 0; i < 1000; i++)
		if (perm[i] < 1000)
			seen[perm[i]]++;
	for (int i = 0; i < 1000; i++)
		CHECK(seen[i] == 1);
	rng_shuffle(&r, perm, 0);
}

struct work {
	atomic_int *done;
	struct pool *pool;
	int inner;
};

static void one_job(void *arg, int job)
{
	struct work *w = arg;
	atomic_fetch_add(&w->done[job], 1);
}

static void job_of_jobs(void *arg, int job)
{
	struct work *w = arg;
	(void)job;
	pool_run(w->pool, one_job, w, w->inner);
}

static void pool_runs_each_job_once(void)
{
	static atomic_int done[1000];
	for (int threads = 1; threads <= 4; threads++) {
		struct pool *p = pool_new(threads);
		struct work w = { done, p, 0 };
		CHECK(pool_threads(p) == threads);
		for (int jobs = 0; jobs <= 1000; jobs = jobs * 3 + 1) {
			for (int i = 0; i < 1000; i++)
				atomic_store(&done[i], 0);
			for (int times = 0; times < 100; times++)
				pool_run(p, one_job, &w, jobs);
			for (int i = 0; i < 1000; i++)
				CHECK(atomic_load(&done[i]) == (i < jobs ? 100 : 0));
		}
		pool_free(p);
	}
	pool_free(NULL);
}

static void pool_inside_a_job(void)
{
	static atomic_int done[20];
	struct pool *p = pool_new(3);
	struct work w = { done, p, 20 };
	pool_run(p, job_of_jobs, &w, 50);
	for (int i = 0; i < 20; i++)
		CHECK(atomic_load(&done[i]) == 50);
	pool_free(p);
}

static void plain_sum(void *arg, int job)
{
	/* Not atomic: pool_run's return must order these writes before the reads. */
	((double *)arg)[job] = job * 0.5;
}

static void pool_results_are_visible(void)
{
	static double out[64];
	struct pool *p = pool_new(4);
	for (int round = 0; round < 500; round++) {
		memset(out, 0, sizeof(out));
		pool_run(p, plain_sum, out, 64);
		for (int i = 0; i < 64; i++)
			CHECK(out[i] == i * 0.5);
	}
	pool_free(p);
}

struct held {
	atomic_int others;
	int jobs;
	bool all;
};

/* The first one is not done before all others are. */
static void held_job(void *arg, int job)
{
	struct held *h = arg;
	if (job > 0) {
		atomic_fetch_add(&h->others, 1);
		return;
	}
	for (int i = 0; i < 20000 && !h->all; i++) {
		usleep(1000);
		h->all = atomic_load(&h->others) == h->jobs - 1;
	}
}

static void pool_takes_over_from_who_is_behind(void)
{
	for (int threads = 2; threads <= 4; threads++) {
		struct pool *p = pool_new(threads);
		for (int jobs = 2; jobs < 50; jobs += 5) {
			struct held h = { .jobs = jobs };
			pool_run(p, held_job, &h, jobs);
			CHECK(h.all);
		}
		pool_free(p);
	}
}

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Workers look for the next run only so long; those that sleep are woken. */
static void pool_sleeps_between_runs(void)
{
	static double out[64];
	for (int threads = 2; threads <= 4; threads++) {
		struct pool *p = pool_new(threads);
		const double before = cpu_seconds();
		for (int round = 0; round < 20; round++) {
			memset(out, 0, sizeof(out));
			pool_run(p, plain_sum, out, 64);
			for (int i = 0; i < 64; i++)
				CHECK(out[i] == i * 0.5);
			usleep(10000);
		}
		CHECK(cpu_seconds() - before < 0.1);    /* of 0.2 and more */
		pool_free(p);
	}
}

static void cpus(void)
{
	long online = sysconf(_SC_NPROCESSORS_CONF);
	int n = cpus_available();
	CHECK(n >= 1 && n <= online);
	struct pool *p = pool_new(0);
	CHECK(pool_threads(p) == n);
	pool_free(p);
}

/* In a child, since the handler must not return. */
static void exhaustion_calls_the_handler(void)
{
	int status = 0;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		mem_on_exhaustion(on_exhaustion);
		mem_grow(NULL, SIZE_MAX, 2);
		_Exit(1);
	}
	CHECK(child > 0 && waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	TEST(errors);
	TEST(long_error_is_cut_on_a_character);
	TEST(memory);
	TEST(arenas);
	TEST(exhaustion_calls_the_handler);
	TEST(bytes);
	TEST(json_strings);
	TEST(json_numbers);
	TEST(utf8_every_code_point);
	TEST(utf8_bad_bytes);
	TEST(sha256_known_answers);
	TEST(sha256_both_ways_agree);
	TEST(philox_known_answers);
	TEST(rng_streams);
	TEST(rng_is_even);
	TEST(rng_shuffles);
	TEST(pool_runs_each_job_once);
	TEST(pool_inside_a_job);
	TEST(pool_results_are_visible);
	TEST(pool_takes_over_from_who_is_behind);
	TEST(pool_sleeps_between_runs);
	TEST(cpus);
	return tests_done();
}
