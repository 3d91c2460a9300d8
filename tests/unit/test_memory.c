/* Sizes as options have them, and the process's own memory. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static void sizes(void)
{
	static const struct {
		const char *text;
		uint64_t bytes;         /* 0: refused */
	} all[] = {
		{ "1", 1 }, { "100000", 100000 }, { "8G", 8589934592 }, { "512M", 536870912 }, { "1.5k", 1536 },
		{ "2T", 2199023255552 }, { "", 0 }, { "G", 0 }, { "8GiB", 8589934592 }, { "8kiB", 8192 },
		{ "8GB", 0 }, { "8Gi", 0 }, { "8iB", 0 }, { "8GiBs", 0 }, { "8X", 0 }, { "-1", 0 }, { "0", 0 },
		{ "nan", 0 }, { "inf", 0 }, { " 8G", 0 }, { "1e30", 0 }, { "0.5", 0 },
	};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct err err = { "" };
		uint64_t bytes = 0;

		CHECK(memory_parse(all[i].text, &bytes, &err) == (all[i].bytes ? 0 : -1));
		CHECK(bytes == all[i].bytes);
		CHECK(all[i].bytes || strstr(err.msg, "is no size"));
	}
}

static void what_is_taken_is_counted(void)
{
	enum { MUCH = 64 << 20 };
	uint64_t before = memory_used();
	char *p = malloc(MUCH);

	CHECK(memory_available() > MUCH);
	CHECK(before > 0);
	memset(p, 1, MUCH);
	CHECK(memory_used() >= before + MUCH - (8 << 20));
	free(p);
	CHECK(memory_peak() >= before + MUCH - (8 << 20));
}

int main(void)
{
	TEST(sizes);
	TEST(what_is_taken_is_counted);
	return tests_done();
}
