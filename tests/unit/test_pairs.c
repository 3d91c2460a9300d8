#include "method/pairs.h"
#include "unit/test.h"

static void a_pair(void)
{
	struct message prompt[] = { { "system", "Be brief." }, { "user", "Say \"hi\"\n" } };
	struct buf out = { 0 };

	pair_write(&out, "p1/actor", "actor", prompt, 2, "hi", "h\xc3\xa9llo\\", "\"category\":\"a\\u0062\"");
	CHECK_STR(out.data, "{\"id\":\"p1/actor\",\"role\":\"actor\",\"category\":\"a\\u0062\",\"prompt\":["
	    "{\"role\":\"system\",\"content\":\"Be brief.\"},"
	    "{\"role\":\"user\",\"content\":\"Say \\\"hi\\\"\\n\"}],"
	    "\"chosen\":[{\"role\":\"assistant\",\"content\":\"hi\"}],"
	    "\"rejected\":[{\"role\":\"assistant\",\"content\":\"h\xc3\xa9llo\\\\\"}]}\n");
	buf_free(&out);
}

static void no_category(void)
{
	struct message prompt[] = { { "user", "p" } };
	struct buf out = { 0 };

	buf_adds(&out, "before\n");
	pair_write(&out, "x", "judge", prompt, 1, "", "r", NULL);
	CHECK_STR(out.data, "before\n{\"id\":\"x\",\"role\":\"judge\","
	    "\"prompt\":[{\"role\":\"user\",\"content\":\"p\"}],"
	    "\"chosen\":[{\"role\":\"assistant\",\"content\":\"\"}],"
	    "\"rejected\":[{\"role\":\"assistant\",\"content\":\"r\"}]}\n");
	buf_free(&out);
}

int main(void)
{
	TEST(a_pair);
	TEST(no_category);
	return tests_done();
}
